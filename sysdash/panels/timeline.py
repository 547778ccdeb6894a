"""The strip of time: how much happened when, and which of it is on show."""

from __future__ import annotations

from math import isnan

import numpy as np
from typing_extensions import override

from sysdash import units
from sysdash.panels.base import Panel
from sysdash.panels.cells import Line
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
from sysdash.timeline import Timeline, Window
from sysdash.ui_state import UiState

_BLOCKS = " ▁▂▃▄▅▆▇█"
_FULL = len(_BLOCKS) - 1
_GAP = "╌"

_ROWS_WITH_SLOW = 4
"""Rows from which one of them is for slow calls."""


def heights(rates: list[float], rows: int) -> list[int | None]:
    """How high each column is, in eighths of a row; None where nothing is known.

    The largest is as high as the rows allow. Zero is one eighth, which nothing else is.
    """
    most = max((rate for rate in rates if not isnan(rate)), default=0.0)
    full = rows * _FULL
    return [
        None if isnan(rate) else max(2, round(rate / most * full)) if rate > 0 else 1
        for rate in rates
    ]


class TimelinePanel(Panel):
    """Calls per second over time, with the cursor and the windows that are marked."""

    focusable = False

    def __init__(self, state: UiState) -> None:
        super().__init__(state)
        self._columns = 0

    # --- Times and columns ---

    @property
    def _timeline(self) -> Timeline | None:
        timeline = self.scene.timeline if self.scene is not None else None
        return timeline if timeline is not None and len(timeline) else None

    def _axis(self, columns: int) -> TimeAxis | None:
        if self.scene is None or self._timeline is None or self.scene.strip.length_ns <= 0:
            return None
        return TimeAxis(self.scene.strip, plot_columns(columns))

    def time_at(self, column: int, *, nearest: bool = False) -> int | None:
        """The end of the interval that a column of the panel, as last drawn, shows, in ns.

        None beside the plot, unless the nearest column will do, as when the mouse is dragged.
        """
        axis, timeline = self._axis(self._columns), self._timeline
        if axis is None or timeline is None:
            return None
        place = column - GUTTER
        if nearest:
            place = max(0, min(place, axis.columns - 1))
        if not 0 <= place < axis.columns:
            return None
        return axis.moment_in(place, timeline)

    def column_of(self, time_ns: int) -> int | None:
        """The column of the panel, as last drawn, that shows a moment; None for none."""
        axis = self._axis(self._columns)
        column = axis.column(time_ns) if axis is not None else None
        return None if column is None else column + GUTTER

    # --- Titles ---

    @override
    def title(self) -> str:
        if self.scene is None or self._timeline is None:
            return "Timeline"
        strip = self.scene.strip
        zoomed = "zoomed " if self.state.zoom is not None else ""
        return f"Timeline {zoomed}{between(strip)} ({length(strip.length_ns)})"

    @override
    def titles(self) -> list[str]:
        title = self.title()
        short = "Timeline zoomed" if self.state.zoom is not None else "Timeline"
        forms = [f"{name}  {fact}" for fact in self._facts() for name in (title, short)]
        # A fact that is cut is worse than a shorter one.
        forms.sort(key=units.width, reverse=True)
        return [form for form in (*forms, title) if units.width(form) + 2 <= self._columns] or [
            short
        ]

    def _facts(self) -> list[str]:
        """What there is to say of the window or the cursor, the longest first."""
        timeline, state = self._timeline, self.state
        if self.scene is None or timeline is None:
            return []
        if state.marked is not None:
            window, name = state.marked, "window"
        elif self.moment_ns is not None:
            place = timeline.at(self.moment_ns)
            rate = units.rate(_rate_of(timeline, place))
            at = moment(self.moment_ns, self.scene.strip.length_ns)
            return [f"cursor {at}, {rate} calls/s", f"cursor {at}"]
        elif state.compared is not None:
            window, name = state.compared, "compared with"
        elif state.zoom is not None:
            return [_count(len(timeline.inside(state.zoom)))]
        else:
            return []
        many = _count(len(timeline.inside(window)))
        long = length(window.length_ns)
        return [
            f"{name} {between(window)}, {long}, {many}",
            f"{name} {between(window)}, {long}",
            f"{name} {long}, {many}",
            f"{name} {long}",
        ]

    # --- Drawing ---

    @override
    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        self._columns = columns
        axis, timeline = self._axis(columns), self._timeline
        if axis is None or timeline is None or rows < 1:
            return [] if self.scene is None else [[("dim", " no intervals yet")]]
        rates = timeline.rates(axis.window, axis.columns).tolist()
        slow = _slow(timeline, axis)
        with_axis, with_slow = rows > 1, rows >= _ROWS_WITH_SLOW
        coloured = [] if with_slow else slow
        lines = self._plot(axis, timeline, rates, coloured, rows - with_axis - with_slow)
        if with_slow:
            lines.append(self._slow_row(slow))
        if with_axis:
            lines.append(self._axis_row(axis, timeline))
        return lines

    def _cursor(self, axis: TimeAxis, timeline: Timeline) -> range:
        """The columns of the interval at the cursor."""
        if self.moment_ns is None:
            return range(0)
        place = timeline.at(self.moment_ns)
        return axis.span(Window(int(timeline.begin_ns[place]), int(timeline.end_ns[place])))

    def _plot(
        self,
        axis: TimeAxis,
        timeline: Timeline,
        rates: list[float],
        slow: list[int],
        rows: int,
    ) -> list[Line]:
        high = heights(rates, rows)
        base = [
            "timeline.gap" if height is None or height == 1 else "timeline.area" for height in high
        ]
        for i, calls in enumerate(slow):
            if calls:
                base[i] = "timeline.slow"
        over: list[str | None] = [None] * axis.columns
        for window, style in (
            (self.state.compared, "timeline.compared"),
            (self.state.marked, "timeline.window"),
        ):
            for column in axis.span(window) if window is not None else ():
                over[column] = style
        for column in self._cursor(axis, timeline):
            over[column] = "timeline.cursor"
        styles = [above or below for above, below in zip(over, base, strict=True)]
        most = max((rate for rate in rates if not isnan(rate)), default=0.0)
        lines: list[Line] = []
        for row in reversed(range(rows)):
            chars = [
                (_GAP if row == 0 else " ")
                if height is None
                else _BLOCKS[min(max(height - row * _FULL, 0), _FULL)]
                for height in high
            ]
            label = units.rate(most) if row == rows - 1 else "0" if row == 0 else ""
            lines.append([("dim", f"{label:>{GUTTER - 1}} "), *runs(chars, styles)])
        return lines

    @staticmethod
    def _slow_row(slow: list[int]) -> Line:
        marks = ["•" if calls else " " for calls in slow]
        return [("dim", f"{'slow':>{GUTTER - 1}} "), ("timeline.slow", "".join(marks))]

    def _axis_row(self, axis: TimeAxis, timeline: Timeline) -> Line:
        row = AxisRow(axis.columns, "timeline.axis")
        cursor = self._cursor(axis, timeline)
        if cursor and self.moment_ns is not None:
            at = moment(self.moment_ns, axis.window.length_ns)
            row.point(cursor[-1], at, "timeline.pointer")
        for window, ends, line, style in (
            (self.state.marked, "[]", "─", "timeline.pointer"),
            (self.state.compared, "()", "─", "timeline.axis"),
        ):
            span = axis.span(window) if window is not None else range(0)
            if not span or window is None:
                continue
            if window.begin_ns >= axis.window.begin_ns:
                row.put(span[0], ends[0], style, margin=0)
            if window.end_ns <= axis.window.end_ns:
                row.put(span[-1], ends[1], style, margin=0)
            row.draw(span, line, style)
        for column, label in axis.ticks():
            row.put(column, label, "timeline.axis")
        return [("dim", f"{'/s':>{GUTTER - 1}} "), *row.line()]


def _count(intervals: int) -> str:
    return f"{intervals:,} interval{'' if intervals == 1 else 's'}"


def _rate_of(timeline: Timeline, place: int) -> float:
    length_ns = int(timeline.length_ns[place])
    return int(timeline.calls[place]) * 10**9 / length_ns if length_ns > 0 else 0.0


def _slow(timeline: Timeline, axis: TimeAxis) -> list[int]:
    """The slow calls of the intervals that end in each column, or of the one that goes on in it."""
    at = [axis.piece(column).begin_ns for column in range(axis.columns)] + [axis.window.end_ns]
    places = np.searchsorted(timeline.end_ns, at, side="right")
    totals = np.concatenate([[0], np.cumsum(timeline.slow)])
    found = np.diff(totals[places])
    # Where no interval ends, there may be one that goes on.
    around = np.minimum(places[1:], len(timeline) - 1)
    inside = (found == 0) & (timeline.begin_ns[around] < np.array(at[1:]))
    of_each: list[int] = np.where(
        inside & (places[1:] < len(timeline)), timeline.slow[around], found
    ).tolist()
    return of_each
