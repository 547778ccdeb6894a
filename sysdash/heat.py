"""Latency over time: how many calls of a syscall took how long, in each piece of a window. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sysdash.buckets import EDGES_NS, FIRST_OCTAVE, LAST_OCTAVE, OVER, SUB_BITS, UNDER
from sysdash.model import Filter, Syscall, Table, aggregate
from sysdash.timeline import Timeline, Window, edges

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_STARTS = np.array([UNDER, *range(1, OVER, 1 << SUB_BITS), OVER])
"""The bucket with which each step begins."""

STEPS = LAST_OCTAVE - FIRST_OCTAVE + 3
"""Steps of latency: one below the octaves of the histogram, the octaves, and one above them."""

STEP_EDGES_NS: tuple[int, ...] = (
    *(int(EDGES_NS[start]) for start in _STARTS),
    int(np.iinfo(np.int64).max),
)
"""Step i holds latencies of STEP_EDGES_NS[i] <= t < STEP_EDGES_NS[i + 1], in ns."""

MOST_INTERVALS = 100_000
"""Intervals that a tally keeps, more than a day of seconds: 28 MB, twice that while it sorts."""


@dataclass(frozen=True, eq=False)
class Heat:
    """Calls by time and latency.

    A column of time shows the intervals that end in it. Where none does, because intervals are
    longer than columns, it shows the one that it is a part of, whole; where that one ends, others
    that end there are shown instead. So neighbouring columns show the same intervals or have none
    in common, and each interval is in one of them at least.

    Attributes:
        window: the time that the columns divide evenly.
        counts: calls by column and step, shape (columns, STEPS); of calls that were timed.
        covered_ns: how much time the calls of each column are from, shape (columns,); 0 where
            nothing is known.
        begin_ns, end_ns: wall clock at the beginning and end of the intervals that each column
            shows, its own where there are none, likewise.
        intervals: intervals that end in the window, or the one that it is a part of.
        missing: those of them that are not added up yet.
        full: no more will be, of this window.
        added: what it is made of.
    """

    added: Added
    window: Window
    counts: Ints
    covered_ns: Ints
    begin_ns: Ints
    end_ns: Ints
    intervals: int
    missing: int
    full: bool

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return len(self.counts)

    def calls(self, columns: range, steps: range) -> int:
        """The calls in a rectangle of columns and steps, each interval's once."""
        if not len(columns):
            return 0
        ends = self.end_ns[columns.start : columns.stop]
        first = np.concatenate([[True], ends[1:] != ends[:-1]])
        part = self.counts[columns.start : columns.stop, steps.start : steps.stop]
        return int(part[first].sum())

    def resized(self, columns: int) -> Heat:
        """The same in another number of columns (at least 1)."""
        return self if columns == self.columns else self.added.heat(columns)

    def time(self, columns: range) -> Window:
        """The time of all the intervals that some columns show."""
        part = slice(columns.start, columns.stop)
        return Window(int(self.begin_ns[part].min()), int(self.end_ns[part].max()))


@dataclass(frozen=True, eq=False)
class Added:
    """What has been added up of a window, interval by interval; never changed.

    Attributes:
        window: the window.
        begin_ns, end_ns: of the intervals that it shows, shape (n,).
        missing: how many of them are not there.
        full: no more will be.
        first, after: which of ``counts`` belong to each interval; none do to those missing.
        counts: calls by step, shape (m, STEPS).
        lengths: how long that was, in ns, shape (m,).
    """

    window: Window
    begin_ns: Ints
    end_ns: Ints
    missing: int
    full: bool
    first: Ints
    after: Ints
    counts: Ints
    lengths: Ints

    def heat(self, columns: int) -> Heat:
        """It in ``columns`` (at least 1) equal pieces of time."""
        at = edges(self.window, columns)
        place = np.searchsorted(self.end_ns, at, side="right")
        low, high = place[:-1], place[1:].copy()
        # Columns in which none ends, but inside one.
        part = (low == high) & (high < len(self.end_ns))
        part[part] = self.begin_ns[high[part]] < at[1:][part]
        high[part] += 1
        low = low + np.append(False, part[:-1] & (high[1:] - low[1:] > 1))
        filled = high > low
        counts = np.zeros((columns, STEPS), dtype=np.int64)
        covered = np.zeros(columns, dtype=np.int64)
        begin, end = at[:-1].copy(), at[1:].copy()
        if filled.any():
            begin[filled] = self.begin_ns[low[filled]]
            end[filled] = self.end_ns[high[filled] - 1]
            bounds = self.first[low[filled]], self.after[high[filled] - 1]
            counts[filled] = _sums(self.counts, *bounds)
            covered[filled] = _sums(self.lengths[:, None], *bounds)[:, 0]
        intervals = len(self.end_ns)
        return Heat(
            self, self.window, counts, covered, begin, end, intervals, self.missing, self.full
        )


class _Parts(NamedTuple):
    """What was added, by its end.

    Attributes:
        ends: wall clock, strictly ascending, shape (n,).
        lengths: in ns, likewise.
        counts: calls by step, shape (n, STEPS).
    """

    ends: Ints
    lengths: Ints
    counts: Ints

    def at(self, which: Ints | Bools | slice) -> _Parts:
        """Some of them."""
        return _Parts(self.ends[which], self.lengths[which], self.counts[which])

    def and_(self, other: _Parts) -> _Parts:
        """These and others after them."""
        return _Parts(*(np.concatenate(columns) for columns in zip(self, other, strict=True)))


class HeatTally:
    """The latencies of one syscall under one filter, interval by interval. For one thread.

    Attributes:
        of: what it is about: syscall, filter, and errno or None for all calls.
    """

    def __init__(self, syscall: Syscall, shown: Filter, errno: int | None = None) -> None:
        self.of = (syscall, shown, errno)
        self._window = Window(0, 0)
        self._last: tuple[Timeline, Heat] | None = None
        self._new: dict[int, tuple[int, Ints]] = {}
        none = np.zeros(0, dtype=np.int64)
        self._parts = _Parts(none, none, np.zeros((0, STEPS), dtype=np.int64))

    def __len__(self) -> int:
        return len(self._parts.ends) + len(self._new)

    def known(self, end_ns: int) -> bool:
        """Whether an interval that ended then has been added, be it a part of what is one now."""
        ends = self._parts.ends
        place = int(np.searchsorted(ends, end_ns))
        return end_ns in self._new or (place < len(ends) and int(ends[place]) == end_ns)

    def add(self, end_ns: int, table: Table) -> bool:
        """Add an interval's calls; False if there is no room for them.

        One that ended at the same time is replaced: a history merges old intervals into longer
        ones, and those that were added before count as the whole as long as all of them are there.

        Args:
            end_ns: wall clock at its end.
            table: the calls that the filter shows, of any syscall, by every key.
        """
        if len(self) >= MOST_INTERVALS and not self.known(end_ns):
            self._forget_outside(self._window)
            if len(self) >= MOST_INTERVALS:
                return False
        syscall, _, errno = self.of
        mask = (table.nr == syscall.nr) & (table.abi == syscall.abi)
        if errno is not None:
            mask &= table.errno == errno
        calls = aggregate(table.select(mask), ("syscall",))
        hist = calls.hist.sum(axis=0)
        length_ns = round(table.interval_s * 1e9)
        self._new[end_ns] = (length_ns, np.add.reduceat(hist, _STARTS))
        return True

    def missing(self, timeline: Timeline, window: Window) -> list[int]:
        """Numbers of the intervals of a window that are still to be added, the newest first."""
        self._sort(timeline.span.begin_ns)
        shown = _shown(timeline, window)
        known, _, _, _ = self._found(timeline, shown)
        return [shown.start + int(i) for i in np.flatnonzero(~known)[::-1]]

    def heat(self, timeline: Timeline, window: Window, columns: int) -> Heat:
        """What has been added of a window, in ``columns`` (at least 1) equal pieces of time."""
        before = self._last
        if before and not self._new and before[0] is timeline and before[1].window == window:
            heat = before[1].resized(columns)
        else:
            heat = self._added(timeline, window).heat(columns)
        self._last = (timeline, heat)
        return heat

    def _added(self, timeline: Timeline, window: Window) -> Added:
        self._window = window
        self._sort(timeline.span.begin_ns)
        shown = _shown(timeline, window)
        known, first, last, taken = self._found(timeline, shown)
        missing = len(known) - int(known.sum())
        between = slice(int(first[0]), int(last[-1])) if len(known) else slice(0)
        parts = self._parts.at(between)
        if not taken.all():
            parts = parts.at(taken)
        before_each = np.append(0, np.cumsum(taken))
        return Added(
            window=window,
            begin_ns=timeline.begin_ns[shown.start : shown.stop],
            end_ns=timeline.end_ns[shown.start : shown.stop],
            missing=missing,
            full=missing > 0 and len(self) >= MOST_INTERVALS and self._all_inside(window),
            first=before_each[first - between.start] if len(known) else first,
            after=before_each[last - between.start] if len(known) else last,
            counts=parts.counts,
            lengths=parts.lengths,
        )

    def _all_inside(self, window: Window) -> bool:
        ends = self._parts.ends
        return bool(len(ends)) and window.holds(int(ends[0])) and window.holds(int(ends[-1]))

    def _forget_outside(self, window: Window) -> None:
        self._sort(0)
        bounds = [window.begin_ns, window.end_ns]
        part = slice(*np.searchsorted(self._parts.ends, bounds, side="right"))
        self._parts = _Parts(*(column.copy() for column in self._parts.at(part)))

    def _sort(self, begin_ns: int) -> None:
        """Put what is new in its place, and let go of what ended up to ``begin_ns``."""
        if not self._new:
            return
        in_order = sorted(self._new.items())
        new = _Parts(
            np.array([end for end, _ in in_order], dtype=np.int64),
            np.array([length for _, (length, _) in in_order], dtype=np.int64),
            np.stack([steps for _, (_, steps) in in_order]),
        )
        first = int(np.searchsorted(self._parts.ends, begin_ns, side="right"))
        old = self._parts.at(slice(first, None))
        if not len(old.ends) or new.ends[0] > old.ends[-1]:
            self._parts = old.and_(new)
        elif new.ends[-1] < old.ends[0]:
            self._parts = new.and_(old)
        else:
            both = old.at(~np.isin(old.ends, new.ends)).and_(new)
            self._parts = both.at(np.argsort(both.ends, kind="stable"))
        self._new, self._last = {}, None

    def _found(self, timeline: Timeline, shown: range) -> tuple[Bools, Ints, Ints, Bools]:
        """What has been added of some intervals of a timeline.

        An interval is known if what was added at its end is as long, or if what was added up to
        its end from the end of the one before it is so together: then it has been merged since.

        Returns:
            Which are known; between which places the added ones of each are; and which of the
            places, from the first one's on, are to be counted.
        """
        parts = self._parts
        ends = timeline.end_ns[shown.start : shown.stop]
        lengths = timeline.length_ns[shown.start : shown.stop]
        before = np.concatenate([timeline.begin_ns[shown.start : shown.start + 1], ends[:-1]])
        first = np.searchsorted(parts.ends, before, side="right")
        last = np.searchsorted(parts.ends, ends, side="right")
        if not len(parts.ends) or not len(ends):
            return np.zeros(len(ends), dtype=bool), first, last, np.zeros(0, dtype=bool)
        # Lengths that were seconds in a float once are not exact where they are long.
        inexact = lengths >> 30
        total = np.append(0, np.cumsum(parts.lengths))
        some = last > first
        together = some & (np.abs(total[last] - total[first] - lengths) <= inexact)
        final = np.maximum(last - 1, 0)
        whole = some & (parts.ends[final] == ends)
        whole &= np.abs(parts.lengths[final] - lengths) <= inexact
        # Parts that were added before the whole are not counted beside it.
        taken = np.repeat(together, last - first)
        taken[final[whole & ~together] - first[0]] = True
        return whole | together, first, last, taken


def _shown(timeline: Timeline, window: Window) -> range:
    """The intervals that a window shows: those that end in it, or the one that it is a part of."""
    inside = timeline.inside(window)
    if len(inside) or not len(timeline):
        return inside
    place = timeline.at(window.end_ns)
    begin, end = int(timeline.begin_ns[place]), int(timeline.end_ns[place])
    return range(place, place + (begin < window.end_ns <= end))


def _sums(rows: Ints, lows: Ints, highs: Ints) -> Ints:
    """The sums of ``rows[low:high]`` for each pair, which are ascending; some may be equal."""
    result = np.zeros((len(lows), rows.shape[1]), dtype=np.int64)
    some = np.flatnonzero(highs > lows)
    if not len(some):
        return result
    pairs, which = np.unique(
        np.stack([lows[some], highs[some]], axis=1), axis=0, return_inverse=True
    )
    # reduceat sums up to the next index, and the array's own end can be none.
    bounds = pairs.reshape(-1)
    bounds = bounds[:-1] if bounds[-1] == len(rows) else bounds
    result[some] = np.add.reduceat(rows, bounds, axis=0)[::2][which.reshape(-1)]
    return result


def used(counts: Ints) -> range:
    """The steps from the lowest that has calls to the highest; empty if none has.

    Args:
        counts: shape (columns, STEPS).
    """
    some: Sequence[int] = np.flatnonzero(counts.any(axis=0)).tolist()
    return range(some[0], some[-1] + 1) if some else range(0)
