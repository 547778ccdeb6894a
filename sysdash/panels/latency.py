"""The latency histogram of one syscall."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

from typing_extensions import override

from sysdash import units
from sysdash.bars import bar
from sysdash.buckets import octaves
from sysdash.model import Row, aggregate
from sysdash.panels.base import Panel
from sysdash.panels.cells import Line, blank, cell, fill, spread, time_per_second
from sysdash.report.shares import part_of, percent
from sysdash.syscalls import errno_name
from sysdash.ui_state import UiState

Octave = tuple[int, int, int]
"""Lower and upper edge in ns, and the number of calls between them."""

_STATISTICS_WIDTH = 24
_NARROW = 45

_ROWS_WITH_SPLIT = 5
"""Rows from which one of them can be spared for working and waiting."""

_ROWS_WITH_BOTH = 9
"""Rows from which the numbers beside a wide histogram have working and waiting, too."""

_SPARED = ("time/s", "mean", "min", "  ± of the mean")
"""Numbers beside a wide histogram that are left out where rows are few, the last one first."""


def merged(octaves: list[Octave], rows: int, marks_ns: Sequence[float] = ()) -> list[Octave]:
    """The histogram in at most ``rows`` steps: neighbours become one, and nothing is left out.

    First those that are few octaves and have few calls, so that the steps stay fine where the calls
    are and the tail is not all in one; last those that would put different ``marks_ns``, latencies,
    into one step.
    """
    steps = list(octaves)

    def cost(i: int) -> tuple[bool, float]:
        (low, _, first), (middle, high, second) = steps[i], steps[i + 1]
        below = any(value < middle and step_of(steps, value) == i for value in marks_ns)
        above = any(value >= middle and step_of(steps, value) == i + 1 for value in marks_ns)
        span = log2(high) - log2(max(low, 1))
        return below and above, span * (1 + log2(1 + first + second))

    while len(steps) > max(rows, 1):
        i = min(range(len(steps) - 1), key=cost)
        (low, _, first), (_, high, second) = steps[i], steps[i + 1]
        steps[i : i + 2] = [(low, high, first + second)]
    return steps


def step_of(steps: list[Octave], value_ns: float) -> int:
    """The step that a latency falls into; the last one for anything beyond."""
    return next((i for i, (_, high, _) in enumerate(steps) if value_ns < high), len(steps) - 1)


def _grade(low_ns: int) -> str:
    return f"latency.{1 + (low_ns >= 10_000) + (low_ns >= 1_000_000) + (low_ns >= 100_000_000)}"


class LatencyPanel(Panel):
    """How long the selected syscall takes: calls per octave, quantiles marked at their rows."""

    focusable = False

    def __init__(self, state: UiState) -> None:
        super().__init__(state)
        self._rows = 0
        self._found: tuple[object, Row | None] = (None, None)

    def _row(self) -> Row | None:
        chosen, errno = self.state.syscall, self.state.errno if self.state.detail else None
        if self.scene is None or chosen is None:
            return None
        if errno is None:
            return self.scene.view.by_syscall.find(chosen)
        asked = (self.scene, chosen, errno)
        if self._found[0] != asked:
            failed = aggregate(self.scene.of_syscall(self.state), ("syscall",))
            self._found = (asked, failed.find(chosen))
        return self._found[1]

    @override
    def title(self) -> str:
        syscall = self.state.syscall
        return f"Latency {self.state.only(syscall.name)}" if syscall else "Latency"

    def _none(self) -> str:
        name = self.state.syscall.name if self.state.syscall else ""
        if self.state.detail and self.state.errno is not None:
            return f"no {name} failed with {errno_name(self.state.errno)}"
        return f"{name} made no calls"

    @staticmethod
    def _wide(columns: int, rows: int) -> bool:
        """Whether there is room for the numbers beside the histogram."""
        return columns >= 100 and rows >= 6

    @staticmethod
    def _quantiles(row: Row) -> list[tuple[str, float]]:
        return [
            ("p50", row.p50_ns),
            ("p90", row.p90_ns),
            ("p99", row.p99_ns),
            ("max", float(row.max_ns)),
        ]

    @override
    def headings(self, columns: int) -> Line:
        row = self._row()
        if row is None or not row.timed or self._wide(columns, self._rows):
            return []
        values = [f"{name} {units.duration(value)}" for name, value in self._quantiles(row)]
        room = columns - units.width(self.title()) - 6
        # Dropping from the front: the tail is what one looks for.
        while values and len("  ".join(values)) > room:
            values.pop(0)
        gap = "   " if len("   ".join(values)) <= room else "  "
        return cell([("heading", gap.join(values) + "  ")], columns, ">")

    @override
    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        if self.scene is None or self.state.syscall is None:
            return []
        row = self._row()
        if row is None and self.scene.nothing:
            return []
        if row is None:
            return [[("dim", f" {self._none()} in this interval")]]
        untimed = row.count - row.timed
        wide = self._wide(columns, rows)
        note: list[Line] = []
        beside = wide and rows >= _ROWS_WITH_BOTH
        if self._measured and row.total_ns and rows >= _ROWS_WITH_SPLIT and not beside:
            note.append(self._split(row, columns))
        if untimed > 0:
            calls = "call" if untimed == 1 else "calls"
            text = f" {untimed:,} {calls} not timed (start not seen, or no return)"
            note.append([("dim", units.fit(text, columns - 1))])
        self._rows = rows
        if wide:
            width = columns - _STATISTICS_WIDTH - 3
            chart = self._chart(row, width, rows - len(note)) + note
            side = self._statistics(row, rows)
            chart += [[]] * (rows - len(chart))
            side += [[]] * (rows - len(side))
            return [
                [*fill(left, width), ("border", " │ "), *fill(right, _STATISTICS_WIDTH)]
                for left, right in zip(chart[:rows], side[:rows], strict=True)
            ]
        return self._chart(row, columns, rows - len(note)) + note

    def _chart(self, row: Row, columns: int, rows: int) -> list[Line]:
        steps = merged(octaves(row.hist), rows, [value for _, value in self._quantiles(row)])
        if not steps:
            return []
        marks: list[list[str]] = [[] for _ in steps]
        for name, value in self._quantiles(row):
            marks[step_of(steps, value)].append(name)
        # Each step begins where the one above ends: in a narrow panel its beginning will do.
        narrow = columns < _NARROW
        labels = [
            units.power_of_two(low)
            if narrow
            else f"≥ {units.power_of_two(low)}"
            if high > 2**62
            else f"{units.power_of_two(low)} \u2013 {units.power_of_two(high)}"
            for low, high, _ in steps
        ]
        counts = [f"{count:,}" for _, _, count in steps]
        # Usual widths are a minimum, so that the bars keep their scale from frame to frame.
        label_width = max(5 if narrow else 13, *map(units.width, labels))
        count_width = max(9, *map(len, counts))
        mark_width = max(13, *(len(" ".join(names)) + 2 for names in marks))
        share_width = 7 if columns >= 70 else 0
        bar_width = max(columns - 2 - label_width - count_width - mark_width - share_width - 4, 0)
        most = max(count for _, _, count in steps)
        lines: list[Line] = []
        for (low, _, calls), label, text, names in zip(steps, labels, counts, marks, strict=True):
            line: Line = [("text", " "), *cell([("dim", label)], label_width, ">"), ("text", " ")]
            line += fill([(_grade(low), bar(calls / most, bar_width))], bar_width)
            line += [("text", " "), *cell([("text" if calls else "dim", text)], count_width, ">")]
            if share_width and not calls:
                line += blank(share_width)
            elif share_width:
                line += cell([("dim", percent(calls / row.timed))], share_width, ">")
            if names:
                line += [("text", " "), ("mark", f"◂ {' '.join(names)}")]
            lines.append(line)
        return lines

    @property
    def _measured(self) -> bool:
        """Whether it is known how long the calls were off the CPU."""
        return self.scene is not None and self.scene.view.snapshot.off_cpu

    @staticmethod
    def _working_and_waiting(row: Row) -> tuple[str, str, str]:
        """The time on the CPU and off it in a second, and the share of the latter."""
        seconds = row.count / row.rate if row.rate else 1.0
        return (
            time_per_second(row.total_ns - row.off_ns, seconds),
            time_per_second(row.off_ns, seconds),
            part_of(row.off_ns, row.total_ns),
        )

    @classmethod
    def _split(cls, row: Row, columns: int) -> Line:
        working, waiting, share = cls._working_and_waiting(row)
        forms = [
            f" working {working}/s  waiting {waiting}/s ({share})",
            f" working {working}/s, waiting {share}",
            f" waiting {waiting}/s ({share})",
            f" waiting {share}",
        ]
        text = next((form for form in forms if units.width(form) < columns), forms[-1])
        return [("dim", text)]

    def _statistics(self, row: Row, rows: int) -> list[Line]:
        """As many of the numbers as there are rows: the last of :data:`_SPARED` go first."""
        seconds = row.count / row.rate if row.rate else 1.0
        split = {}
        if self._measured and rows >= _ROWS_WITH_BOTH:
            working, waiting, share = self._working_and_waiting(row)
            split = {"  working": working, "  waiting": f"{waiting} {share:>6}"}
        values = {
            "calls": f"{row.count:,}",
            "errors": f"{row.errors:,}",
            "time/s": time_per_second(row.total_ns, seconds),
            **split,
            "mean": units.duration(row.mean_ns),
            "  ± of the mean": f"{row.stddev_pct:.2f}%",
            "min": units.duration(row.min_ns),
            **{name: units.duration(value) for name, value in self._quantiles(row)},
        }
        for name in reversed(_SPARED):
            if len(values) > rows:
                del values[name]
        return [
            spread(
                [("dim", name)],
                [("error" if name == "errors" and row.errors else "text", text)],
                _STATISTICS_WIDTH - 1,
            )
            for name, text in values.items()
        ]
