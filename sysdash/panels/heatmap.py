"""Latency over time as a picture: time to the right, latency upwards, colour for how many calls."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import ceil, log10
from typing import Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from sysdash import units
from sysdash.heat import STEP_EDGES_NS, STEPS, Heat, used
from sysdash.keys import Command, Context
from sysdash.panels.base import Panel
from sysdash.panels.cells import Line, fill, spread, width
from sysdash.panels.timeaxis import (
    GUTTER,
    AxisRow,
    TimeAxis,
    between,
    length,
    moment,
    plot_columns,
    runs,
)
from sysdash.syscalls import errno_name
from sysdash.timeline import Window
from sysdash.ui_state import UiState

SHADES = 8
"""Colours of the scale; where there are no colours, two of them have the same shade."""

_GLYPHS = "░░▒▒▓▓██"
_GAP = "╌"
_CELL = "┼"

_ROWS_WITH_AXIS = 8
"""Rows from which one of them has the times: with fewer, the title must do."""

_LEAST_SCALE = 10
_MANY_LABELS, _FEW_LABELS = 8, 4
_MIDDLE_NS = 1_000_000
_ROUNDING = 1e-9
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the picture.

    Attributes:
        window: the time of the intervals in it.
        low_ns, high_ns: latencies from and up to; the largest int64 for no end.
    """

    window: Window
    low_ns: int
    high_ns: int


@dataclass(frozen=True)
class Scale:
    """Which shade stands for how many calls: equal factors between them.

    Attributes:
        most: calls at the end of the last shade.
    """

    most: float

    @staticmethod
    def up_to(calls: float) -> Scale:
        """A scale for that many calls: to the next 1, 2 or 5, so that it does not change often."""
        if calls <= _LEAST_SCALE:
            return Scale(_LEAST_SCALE)
        power = 10.0 ** int(log10(calls))
        return Scale(next(n * power for n in (1, 2, 5, 10) if calls <= n * power))

    def shades(self, calls: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """1 to 8 for each number of calls, 0 for none."""
        level = np.log(np.maximum(calls, 1)) / np.log(self.most) * SHADES
        shade = np.clip(level.astype(np.int64) + 1, 1, SHADES)
        return np.where(calls > 0, shade, 0)

    def legend(self, most: int) -> Line:
        """Every shade, and powers of ten where they begin: ``1 ░░ 10 ▒▒ 100 ▓▓ 1K ██``.

        Args:
            most: labels at the most.
        """
        powers = range(int(log10(self.most) + _ROUNDING) + 1)
        apart = ceil(len(powers) / most)
        labels: dict[int, str] = {}
        for power in powers[::apart]:
            shade = ceil(power / log10(self.most) * SHADES - _ROUNDING) + 1
            if shade <= SHADES:
                labels.setdefault(shade, _short(10**power))
        line: Line = []
        for shade in range(1, SHADES + 1):
            if shade in labels:
                line.append(("dim", f"{' ' if line else ''}{labels[shade]} "))
            line.append(shaded(shade))
        return line

    def short(self) -> Line:
        """Every shade between the least and the most: ``1 ░░▒▒▓▓██ 20K``."""
        shades = [shaded(shade) for shade in range(1, SHADES + 1)]
        return [("dim", "1 "), *shades, ("dim", f" {_short(round(self.most))}")]


def _short(number: int) -> str:
    """A round number: ``200``, ``20K``."""
    thousands = (len(str(number)) - 1) // 3
    return f"{number // 1000**thousands}{'KMGTPE'[thousands - 1] if thousands else ''}"


def shaded(shade: int) -> tuple[str, str]:
    """One cell of a shade from 1 to 8."""
    return f"heat.{shade}", _GLYPHS[shade - 1]


def _edge(columns: range, rows: range, row: int) -> list[tuple[int, str]]:
    """The edge of a rectangle in one of its rows: columns and what is drawn there."""
    if row not in rows:
        return []
    first, last = columns[0], columns[-1]
    if len(rows) == 1:
        left, line, right = "[─]"
    elif row == rows[-1]:
        left, line, right = "┌─┐"
    elif row == rows[0]:
        left, line, right = "└─┘"
    else:
        left, line, right = "│ │"
    if len(columns) == 1:
        return [(first, "│")]
    middle = [(column, line) for column in columns[1:-1]] if line != " " else []
    return [(first, left), *middle, (last, right)]


@dataclass(frozen=True)
class _Picture:
    """What was drawn, for finding the cell of a key or of the mouse.

    Attributes:
        heat: the data, in as many columns as there are.
        bounds: the first step of each row, the lowest latencies in row 0; and the step after all.
    """

    heat: Heat
    axis: TimeAxis
    bounds: tuple[int, ...]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.bounds) - 1

    def steps(self, row: int) -> range:
        """The steps of a row."""
        return range(self.bounds[row], self.bounds[row + 1])

    def alike(self, column: int) -> range:
        """The columns that show the same intervals as a column."""
        ends = self.heat.end_ns
        first, after = (int(np.searchsorted(ends, ends[column], side)) for side in _SIDES)
        return range(first, after)

    def row(self, step: int) -> int:
        """The row of a step, the nearest where it is in none."""
        return max(0, min(bisect_right(self.bounds, step) - 1, self.rows - 1))

    def column(self, time_ns: int) -> int:
        """The column of a time, the nearest where it is in none."""
        column = self.axis.column(time_ns)
        if column is None:
            return 0 if time_ns <= self.axis.window.begin_ns else self.axis.columns - 1
        return column


def _picture(heat: Heat, rows: int) -> _Picture:
    """The latencies that have calls in ``rows`` rows: some steps share one where these are few."""
    steps = used(heat.counts)
    if not steps:
        middle = next(i for i in range(STEPS) if STEP_EDGES_NS[i + 1] > _MIDDLE_NS)
        steps = range(middle, middle + 1)
    rows = max(min(rows, STEPS), 1)
    if len(steps) < rows:
        # What is left over is shown on both sides.
        first = max(0, min(steps.start - (rows - len(steps)) // 2, STEPS - rows))
        steps = range(first, first + rows)
    bounds = tuple(steps.start + len(steps) * row // rows for row in range(rows + 1))
    return _Picture(heat, TimeAxis(heat.window, heat.columns), bounds)


def latencies(low_ns: int, high_ns: int) -> str:
    """A range of latencies: from and up to, or from only."""
    if high_ns > 2**62:
        return f"≥ {units.power_of_two(low_ns)}"
    return f"{units.power_of_two(low_ns)} \u2013 {units.power_of_two(high_ns)}"


class HeatmapPanel(Panel):
    """How long the selected syscall took over time; a part of it can be selected."""

    def __init__(self, state: UiState) -> None:
        super().__init__(state)
        self._picture: _Picture | None = None
        self._columns = 0
        self._asked: Heat | None = None
        self._resized: Heat | None = None
        self._cell: tuple[int, int] | None = None
        self._anchor: tuple[int, int] | None = None
        self._held = False

    @property
    @override
    def context(self) -> Context | None:
        return Context.HEATMAP if self._cell is None else Context.REGION

    # --- What is selected ---

    @property
    def region(self) -> Region | None:
        """The selected cell or rectangle, as last drawn; None for none."""
        found = self._rectangle()
        if found is None or self._picture is None:
            return None
        columns, rows = found
        low, high = self._picture.steps(rows[0]), self._picture.steps(rows[-1])
        return Region(
            self._picture.heat.time(columns), STEP_EDGES_NS[low.start], STEP_EDGES_NS[high.stop]
        )

    def drop(self) -> None:
        """Select nothing."""
        self._cell = self._anchor = None

    def _rectangle(self) -> tuple[range, range] | None:
        picture = self._picture
        if self._cell is None or picture is None:
            return None
        corners = [self._cell, self._anchor or self._cell]
        left, right = sorted(picture.column(time_ns) for time_ns, _ in corners)
        bottom, top = sorted(picture.row(step) for _, step in corners)
        # An interval in several columns is selected whole.
        columns = range(picture.alike(left).start, picture.alike(right).stop)
        return columns, range(bottom, top + 1)

    def _go_to(self, column: int, row: int, *, extend: bool) -> None:
        picture = self._picture
        if picture is None:
            return
        column = max(0, min(column, picture.axis.columns - 1))
        row = max(0, min(row, picture.rows - 1))
        if not extend:
            self._anchor = None
        elif self._anchor is None:
            self._anchor = self._cell
        self._cell = (picture.axis.piece(column).end_ns, picture.steps(row).start)

    def _begin(self, picture: _Picture) -> None:
        """Select the cell that has the most calls in the column with any nearest to the cursor."""
        counts = picture.heat.counts
        some = np.flatnonzero(counts.any(axis=1))
        at_ns = self.moment_ns
        column = picture.axis.columns - 1 if at_ns is None else picture.column(at_ns)
        if len(some):
            column = int(some[np.abs(some - column).argmin()])
        self._go_to(column, picture.row(int(counts[column].argmax())), extend=False)

    @override
    def command(self, command: Command) -> bool:
        picture = self._picture
        if command is Command.DROP_REGION:
            self.drop()
            return True
        far = max((picture.axis.columns if picture else 0) // 10, 1)
        steps = {
            Command.UP: (0, 1),
            Command.DOWN: (0, -1),
            Command.EARLIER: (-1, 0),
            Command.LATER: (1, 0),
            Command.MUCH_EARLIER: (-far, 0),
            Command.MUCH_LATER: (far, 0),
            Command.FIRST: (-(2**31), 0),
            Command.LAST: (2**31, 0),
            Command.EXTEND_UP: (0, 1),
            Command.EXTEND_DOWN: (0, -1),
            Command.EXTEND_EARLIER: (-1, 0),
            Command.EXTEND_LATER: (1, 0),
        }
        if picture is None or command not in steps:
            return False
        if self._cell is None:
            self._begin(picture)
            return True
        time_ns, step = self._cell
        right, up = steps[command]
        column = picture.column(time_ns)
        if right:
            alike = picture.alike(column)
            column = max(alike.start + right, 0) if right < 0 else alike.stop - 1 + right
        extend = command.name.startswith("EXTEND")
        self._go_to(column, picture.row(step) + up, extend=extend)
        return True

    @override
    def click(self, column: int, row: int) -> None:
        picture = self._picture
        self._held = False
        if picture is None:
            return
        place, height = column - GUTTER, picture.rows - 1 - row
        if 0 <= place < picture.axis.columns and 0 <= height < picture.rows:
            self._held = True
            self._go_to(place, height, extend=False)

    def drag(self, column: int, row: int) -> None:
        """The mouse was moved to a cell of the panel, or beside it, since it was pressed on one."""
        if self._picture is not None and self._held:
            self._go_to(column - GUTTER, self._picture.rows - 1 - row, extend=True)

    # --- Titles ---

    @override
    def title(self) -> str:
        syscall = self.state.syscall
        return f"Latency over time: {self.state.only(syscall.name)}" if syscall else "Latency"

    @override
    def titles(self) -> list[str]:
        title = self.title()
        if self._picture is None or not self.state.syscall:
            return [title]
        long = f"{title}  {between(self._picture.axis.window)}"
        return [long, title] if units.width(long) + 2 <= self._columns else [title]

    # --- Drawing ---

    @override
    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        self._columns = columns
        self._picture = None
        heat = self.scene.heat if self.scene is not None else None
        if heat is None or self.state.syscall is None or rows < 1 or heat.window.length_ns <= 0:
            return []
        if not heat.counts.any() and not heat.missing:
            return [[("dim", f" {self._none()}")]]
        with_axis, with_legend = rows >= _ROWS_WITH_AXIS, rows > 1
        # Where nothing has changed, what was resized for the frame before will do.
        if self._asked is not heat or self._resized is None:
            self._asked, self._resized = heat, heat
        self._resized = self._resized.resized(plot_columns(columns))
        picture = _picture(self._resized, rows - with_axis - with_legend)
        self._picture = picture
        shown, scale = _shades(picture)
        lines = self._plot(picture, shown)
        if with_axis:
            lines.append(self._axis_row(picture.axis))
        if with_legend:
            lines.append(self._foot(picture, scale, columns))
        return lines

    def _none(self) -> str:
        name = self.state.syscall.name if self.state.syscall else ""
        filtered = ", among those shown" if self.state.filter else ""
        if self.state.detail and self.state.errno is not None:
            return f"no {name} failed with {errno_name(self.state.errno)} in this time{filtered}"
        return f"{name} made no calls in this time{filtered}"

    def _plot(self, picture: _Picture, shown: npt.NDArray[np.int64]) -> list[Line]:
        gaps = (picture.heat.covered_ns == 0).tolist()
        region = self._rectangle()
        lines: list[Line] = []
        for row in reversed(range(picture.rows)):
            shades: list[int] = shown[row].tolist()
            chars = [
                _GLYPHS[shade - 1] if shade else _GAP if gap else " "
                for shade, gap in zip(shades, gaps, strict=True)
            ]
            styles = [
                f"heat.{shade}" if shade else "timeline.gap" if gap else "text"
                for shade, gap in zip(shades, gaps, strict=True)
            ]
            for column, char in _edge(*region, row) if region else ():
                chars[column], styles[column] = char, f"heat.edge.{shades[column]}"
            if self._cell is not None and row == picture.row(self._cell[1]):
                at = picture.column(self._cell[0])
                chars[at], styles[at] = _CELL, "heat.cell"
            label = f"≥{units.power_of_two(STEP_EDGES_NS[picture.steps(row).start])}"
            lines.append([("dim", f"{label:>{GUTTER - 1}} "), *runs(chars, styles)])
        return lines

    def _axis_row(self, axis: TimeAxis) -> Line:
        row = AxisRow(axis.columns, "timeline.axis")
        at_ns = self.moment_ns
        cursor = axis.column(at_ns) if at_ns is not None else None
        if cursor is not None and at_ns is not None:
            at = moment(at_ns, axis.window.length_ns)
            row.point(cursor, at, "timeline.pointer")
        for column, label in axis.ticks():
            row.put(column, label, "timeline.axis")
        return [("text", " " * GUTTER), *row.line()]

    def _foot(self, picture: _Picture, scale: Scale, columns: int) -> Line:
        """What is selected, or how far the adding up is; and the scale."""
        each = units.duration(picture.axis.window.length_ns / picture.axis.columns)
        legend = scale.legend(_MANY_LABELS)
        rights: list[Line] = [
            [("dim", f"calls in {each}: "), *legend],
            legend,
            scale.legend(_FEW_LABELS),
            scale.short(),
        ]
        lefts = self._selected(picture) or self._adding(picture.heat)
        for left in lefts:
            for right in rights:
                if width(left) + width(right) + 2 <= columns:
                    return spread(left, [*right, ("text", " ")], columns)
        return fill(lefts[0], columns)

    def _selected(self, picture: _Picture) -> list[Line]:
        found, region = self._rectangle(), self.region
        if found is None or region is None:
            return []
        columns, rows = found
        steps = range(picture.steps(rows[0]).start, picture.steps(rows[-1]).stop)
        number = picture.heat.calls(columns, steps)
        calls = "call" if number == 1 else "calls"
        latency = latencies(region.low_ns, region.high_ns)
        window = region.window
        # A cell's time can be told by its end, that of a rectangle by how long it is.
        short = (
            moment(window.end_ns, picture.axis.window.length_ns)
            if columns == picture.alike(columns.start)
            else length(window.length_ns)
        )
        many, few = f"{number:,} {calls}", units.count(number, 6)
        return [
            [("mark", f" {when}{latency}"), ("text", f"  {count}")]
            for when, count in (
                (f"{between(window)}  ", many),
                (f"{between(window, fine=False)}  ", many),
                (f"{short}  ", many),
                (f"{short}  ", few),
                ("", few),
            )
        ]

    @staticmethod
    def _adding(heat: Heat) -> list[Line]:
        if not heat.missing:
            return [[]]
        done = f"{heat.intervals - heat.missing:,} of {heat.intervals:,}"
        if heat.full:
            return [[("warn", f" {text}")] for text in (
                f"only {done} intervals: zoom in for all", f"only {done}",
            )]  # fmt: skip
        return [[("warn", f" {text}")] for text in (
            f"adding up {done} intervals…", f"adding up {done}…",
        )]  # fmt: skip


def _shades(picture: _Picture) -> tuple[npt.NDArray[np.int64], Scale]:
    """The shade of each cell, shape (rows, columns), and what it stands for.

    As many calls as there would be in the time of a column: one that shows more intervals than its
    neighbour, or of which less is known, is not brighter for that.
    """
    heat = picture.heat
    *bounds, after = picture.bounds
    calls = np.add.reduceat(heat.counts[:, :after], bounds, axis=1).astype(np.float64)
    each_ns = heat.window.length_ns / heat.columns
    calls *= (each_ns / np.maximum(heat.covered_ns, 1))[:, None]
    scale = Scale.up_to(float(calls.max()))
    return scale.shades(calls).T, scale
