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


@dataclass(frozen=True, eq=False)
class Timeline:
    """Intervals one after the other, oldest first; between two there may be a gap.

    Attributes:
        end_ns: wall clock at the end of each, ascending, shape (n,).
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
        """Wall clock at the beginning of each, never before the end of the one before it."""
        begin = self.end_ns - self.length_ns
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
        edges = np.arange(columns + 1) * (window.length_ns / max(columns, 1))
        # Up to any time: how much had happened, and how much of the time is known.
        times = np.stack([self.begin_ns, self.end_ns], axis=1).reshape(-1)
        # From the window's beginning on: a Unix time in ns is too much for a float.
        times = (times - window.begin_ns).astype(np.float64)
        calls = np.stack([np.zeros(len(self)), self.calls.astype(np.float64)], axis=1).reshape(-1)
        known = np.stack([np.zeros(len(self)), self.end_ns - self.begin_ns], axis=1).reshape(-1)
        if not len(times):
            return np.full(columns, np.nan)
        happened = np.diff(np.interp(edges, times, np.cumsum(calls)))
        covered = np.diff(np.interp(edges, times, np.cumsum(known)))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(covered > 0, happened / covered * 1e9, np.nan)
