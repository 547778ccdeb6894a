"""A row of columns that is a piece of time: which column a moment is in, and how it is labelled."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass, field

from sysdash import units
from sysdash.panels.cells import Line
from sysdash.timeline import Timeline, Window, edges

GUTTER = 7
"""Columns to the left of a plot, for the labels of its scale: all plots of a screen line up."""

MARGIN = 1
"""Columns to the right of a plot."""

_S = 1_000_000_000
_M = 60 * _S
_H = 60 * _M
_D = 24 * _H
_TICKS_NS = (
    *(_S // part for part in (1000, 500, 200, 100, 50, 20, 10, 5, 2)),
    *(_S * s for s in (1, 2, 5, 10, 15, 30)),
    *(_M * m for m in (1, 2, 5, 10, 15, 30)),
    *(_H * h for h in (1, 2, 3, 6, 12)),
    *(_D * d for d in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)
_MOST_TICKS = 100


def plot_columns(columns: int) -> int:
    """How many columns of time a panel of a width has."""
    return max(columns - GUTTER - MARGIN, 1)


def moment(time_ns: int, span_ns: int, fine_ns: int = _S) -> str:
    """A moment as the local clock shows it, with the date where a span is over a day.

    Args:
        time_ns: wall clock.
        span_ns: the time that is on show.
        fine_ns: what must be told apart: below a second, fractions are shown, from a minute on
            no seconds, from a day on no clock.
    """
    at = time.localtime(time_ns // _S)
    date = f"{at.tm_mon:02}-{at.tm_mday:02}"
    if fine_ns >= _D:
        return date
    clock = f"{at.tm_hour:02}:{at.tm_min:02}"
    if fine_ns < _M:
        clock += f":{at.tm_sec:02}"
    if fine_ns < _S:
        digits = 1 if fine_ns * 10 >= _S else 3
        clock += f".{time_ns % _S:09}"[: digits + 1]
    return f"{date} {clock}" if span_ns > _D else clock


def length(ns: int) -> str:
    """How long a window is: ``15m``, ``62.0s``, ``1h05m``."""
    text = units.duration(ns)
    for whole in ("00s", "00m", "00h"):
        if text.endswith(whole) and text[-4:-3].isalpha():
            return text.removesuffix(whole)
    return text


def between(window: Window, *, fine: bool = True) -> str:
    """When a window began and when it ended; a short one in tenths of seconds, if ``fine``."""
    step = _S // 10 if fine and window.length_ns < 5 * _S else _S
    begin, end = (moment(at, window.length_ns, step) for at in (window.begin_ns, window.end_ns))
    return f"{begin} \u2013 {end}"


@dataclass(frozen=True)
class TimeAxis:
    """Columns that divide a window of time evenly.

    Attributes:
        window: the time; of no length where there is none.
        columns: how many columns there are.
    """

    window: Window
    columns: int
    _edges: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_edges", edges(self.window, self.columns).tolist())

    def column(self, time_ns: int) -> int | None:
        """The column of something that ended at a time; None outside the window."""
        return bisect_left(self._edges, time_ns) - 1 if self.window.holds(time_ns) else None

    def piece(self, column: int) -> Window:
        """The time of a column."""
        return Window(self._edges[column], self._edges[column + 1])

    def span(self, window: Window) -> range:
        """The columns that a window has a part in; empty outside."""
        begin = max(window.begin_ns, self.window.begin_ns)
        end = min(window.end_ns, self.window.end_ns)
        if begin >= end:
            return range(0)
        return range(bisect_left(self._edges, begin + 1) - 1, bisect_left(self._edges, end))

    def moment_in(self, column: int, timeline: Timeline) -> int:
        """The end of the last interval that ends in a column, or of the one it is a part of."""
        window = self.piece(column)
        inside = timeline.inside(window)
        return int(timeline.end_ns[inside[-1] if len(inside) else timeline.at(window.end_ns)])

    def ticks(self) -> list[tuple[int, str]]:
        """Columns and their labels, at round times, with room for each and a space after it."""
        span = self.window.length_ns
        if span <= 0:
            return []
        for step in _TICKS_NS:
            sample = moment(self.window.begin_ns, span, step)
            if step * self.columns >= (len(sample) + 4) * span:
                break
        else:
            return []
        # Round ones of the local clock.
        offset = time.localtime(self.window.begin_ns // _S).tm_gmtoff * _S
        at = -(-(self.window.begin_ns + offset) // step) * step - offset
        found = []
        for _ in range(_MOST_TICKS):
            column = self.column(at)
            if column is not None:
                found.append((column, f"╵{moment(at, span, step)}"))
            elif at > self.window.end_ns:
                break
            at += step
        return found


class AxisRow:
    """A row of labels under a plot, of which none covers another."""

    def __init__(self, columns: int, style: str) -> None:
        self._chars = [" "] * columns
        self._styles = [style] * columns
        self._taken = [False] * columns

    def draw(self, columns: range, char: str, style: str) -> None:
        """Draw a line along columns, where nothing is yet."""
        for column in columns:
            if not self._taken[column]:
                self._chars[column], self._styles[column] = char, style

    def put(self, start: int, text: str, style: str, margin: int = 1) -> bool:
        """Write a text of characters of one column; False if there is no room at that place."""
        end = start + len(text)
        if start < 0 or end > len(self._chars):
            return False
        if any(self._taken[max(start - margin, 0) : end + margin]):
            return False
        self._chars[start:end] = text
        self._styles[start:end] = [style] * len(text)
        self._taken[start:end] = [True] * len(text)
        return True

    def point(self, column: int, text: str, style: str) -> None:
        """Point at a column, with a text on the side where there is room for it."""
        for start, label in (
            (column, f"▲ {text}"),
            (column - len(text) - 1, f"{text} ▲"),
            (column, "▲"),
        ):
            if self.put(start, label, style, margin=0):
                return

    def line(self) -> Line:
        """The row."""
        return runs(self._chars, self._styles)


def runs(chars: list[str], styles: list[str]) -> Line:
    """Characters and their styles as a line, equal neighbours together."""
    line: Line = []
    start = 0
    for i in range(1, len(chars) + 1):
        if i == len(chars) or styles[i] != styles[start]:
            line.append((styles[start], "".join(chars[start:i])))
            start = i
    return line
