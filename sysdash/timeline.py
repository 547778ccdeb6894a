"""When the intervals of a history were, and how much happened in each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of time, wall clock in ns: what ended after ``begin_ns``, up to ``end_ns``."""

    begin_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.begin_ns

    def holds(self, time_ns: int) -> bool:
        """Whether something that ended at ``time_ns`` is in it."""
        return self.begin_ns < time_ns <= self.end_ns


def edges(window: Window, columns: int) -> Ints:
    """Where ``columns`` (at least 1) equal pieces of a window begin, and its end; in whole ns.

    Piece i holds what ended after edge i, up to edge i + 1.
    """
    length = window.length_ns
    # In Python's numbers: the product may be more than 64 bits.
    return np.array(
        [window.begin_ns + length * i // columns for i in range(columns + 1)], dtype=np.int64
    )


def follows(last_ns: int, time_ns: int, length_ns: int) -> int:
    """The end of an interval on a timeline that goes on, whatever the wall clock does.

    Args:
        last_ns: the end of the interval before it.
        time_ns: the wall clock at its end; where that was set back, it is not taken.
        length_ns: how long it is.
    """
    return time_ns if time_ns > last_ns else last_ns + max(length_ns, 1)


@dataclass(frozen=True, eq=False)
class Timeline:
    """Intervals one after the other, oldest first; between two there may be a gap.

    Attributes:
        end_ns: wall clock at the end of each, strictly ascending, shape (n,).
        length_ns: how long each is, likewise.
        calls, errors, slow: calls that ended in each, those that failed, slow calls.
    """

    end_ns: Ints
    length_ns: Ints
    calls: Ints
    errors: Ints
    slow: Ints

    def __len__(self) -> int:
        return len(self.end_ns)

    @cached_property
    def begin_ns(self) -> Ints:
        """Wall clock at the beginning of each, never before the end of the one before it.

        At least 1 ns before its end, so that each is somewhere.
        """
        begin = self.end_ns - np.maximum(self.length_ns, 1)
        begin[1:] = np.maximum(begin[1:], self.end_ns[:-1])
        return begin

    @property
    def span(self) -> Window:
        """All of it; of no length where there are no intervals."""
        if not len(self):
            return Window(0, 0)
        return Window(int(self.begin_ns[0]), int(self.end_ns[-1]))

    def at(self, time_ns: int) -> int:
        """Number of the interval in which a time is.

        In a gap or after the end that of the last one before it, before the beginning the first.
        There must be one.
        """
        place = int(np.searchsorted(self.end_ns, time_ns))
        if place == len(self) or (place and time_ns <= int(self.begin_ns[place])):
            return place - 1
        return place

    def inside(self, window: Window) -> range:
        """Numbers of the intervals that end inside a window."""
        first, last = np.searchsorted(self.end_ns, [window.begin_ns, window.end_ns], side="right")
        return range(int(first), int(last))

    def whole(self, window: Window) -> Window:
        """The window from the beginning of the first interval that ends in it to the last end.

        The interval at its end, where none ends in it.
        """
        inside = self.inside(window)
        if not len(inside):
            place = self.at(window.end_ns)
            inside = range(place, place + 1)
        return Window(int(self.begin_ns[inside[0]]), int(self.end_ns[inside[-1]]))

    def rates(self, window: Window, columns: int) -> Floats:
        """Calls per second in ``columns`` equal pieces of a window; NaN where nothing is known.

        An interval's calls are taken to be spread evenly over it.
        """
        # Sums over the whole of a long history would leave too few digits for a short window.
        first, after = np.searchsorted(self.end_ns, [window.begin_ns, window.end_ns], side="right")
        part = slice(int(first), int(after) + 1)
        begin, end = self.begin_ns[part], self.end_ns[part]
        if columns < 1 or not len(end):
            return np.full(max(columns, 0), np.nan)
        # From the window's beginning on: a Unix time in ns is too much for a float.
        places = (edges(window, columns) - window.begin_ns).astype(np.float64)
        times = (np.stack([begin, end], axis=1).reshape(-1) - window.begin_ns).astype(np.float64)
        # Up to any time: how much had happened, and how much of the time is known.
        calls = _steps(self.calls[part])
        known = _steps(end - begin)
        happened = np.diff(np.interp(places, times, calls))
        covered = np.diff(np.interp(places, times, known))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(covered > 0, np.maximum(happened, 0) / covered * 1e9, np.nan)


def _steps(values: Ints) -> Floats:
    """The sum up to the beginning and up to the end of each interval, one after the other."""
    sums = np.cumsum(values, dtype=np.float64)
    return np.stack([sums - values, sums], axis=1).reshape(-1)
