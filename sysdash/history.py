"""What is remembered: intervals, packed, their slow calls, and the counts behind sparklines.

One thread appends, others read. Everything that is published is immutable and reachable from one
reference, :attr:`History.past`, which is replaced as a whole: readers need no lock, and whoever
keeps an old reference (a paused dashboard) keeps a consistent picture.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sysdash.columns import Columns, added_up, bounded, without_histograms
from sysdash.grouping import Words, group, halves
from sysdash.model import Filter, SlowCall, Snapshot, Table, derive, table_of_columns
from sysdash.packing import Packed, pack, pack_together, together, unpack_rest, unpack_rows
from sysdash.records import Detail, Sample
from sysdash.timeline import Timeline, Window, follows

SyscallKey = tuple[int, int]
"""A syscall as (number, ABI code): what :class:`sysdash.model.Syscall` holds, cheap to look up."""

Ints = npt.NDArray[np.int64]

_SYSCALL_BYTES = 250
"""What a key and a rate of one syscall take as Python objects, measured with CPython 3.11."""

_STEP_BYTES = 500
_SLOW_BYTES = 1200
"""The same of an interval and of a slow call, beside what they keep of bytes."""

_MOST_COUNTS = 240
"""Intervals whose counts are kept: more than a sparkline has columns."""

_AT_ONCE = 4
"""Intervals that become one where memory is short."""

_MOST_LEVELS = 5
"""How often: of seconds become intervals of 17 minutes at the most."""

_SLOW_PART = 3
"""Such a part of the memory is for slow calls."""

_LONGEST_KEPT = 10
"""Slow calls of an interval that are kept where there is no room for all of them."""

_TREND = 120
"""Parts of a window of which the counts are kept apart."""

_PENDING_ROWS = 40_000
"""Rows that are waited for before they are added up."""

_MOST_ROWS = 50_000
"""Rows of a window; of more, the rarest become calls of no process."""

_MOST_SLOW_OF_WINDOW = 10_000
"""Slow calls of a window that are listed, the newest."""


def _starts(*columns: npt.NDArray[np.integer]) -> Ints:
    """Where each run of equal rows begins."""
    differs = np.zeros(len(columns[0]), dtype=bool)
    differs[:1] = True
    for column in columns:
        differs[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(differs)


def _sums(values: Ints, starts: Ints) -> Ints:
    """The sum of each run."""
    return np.add.reduceat(values, starts) if len(starts) else np.zeros(0, dtype=np.int64)


def _numbered(words: Sequence[Words]) -> tuple[Ints, npt.NDArray[np.int32]]:
    """A first row of each distinct one, and for each row which of these it equals."""
    numbers = np.zeros(len(words[0]), dtype=np.int32)
    if not len(numbers):
        return np.zeros(0, dtype=np.int64), numbers
    order, firsts = group(words)
    numbers[order[firsts[1:]]] = 1
    numbers[order] = np.cumsum(numbers[order])
    return order[firsts], numbers


class Verdicts:
    """Which process names pass a filter. A name is in many intervals, and looked at once."""

    def __init__(self, shown: Filter) -> None:
        self._by_name = Filter(name=shown.name)
        self._known: dict[bytes, bool] = {}

    def of(self, names: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
        """Whether each name passes, shape (n,)."""
        listed: list[bytes] = names.tolist()
        new = np.array([name for name in listed if name not in self._known], dtype=names.dtype)
        passing = self._by_name.passes(np.zeros(len(new), dtype=np.int64), new)
        self._known.update(zip(new.tolist(), passing.tolist(), strict=True))
        return np.array([self._known[name] for name in listed], dtype=bool)


class Counts:
    """How often each process made each syscall in one interval: a snapshot without its times.

    A snapshot of 10,000 rows takes 10 MB, nearly all of it histograms; its counts take 0.2 MB.
    """

    def __init__(self, time_ns: int, calls: Table) -> None:
        self.time_ns = time_ns
        self.interval_s = calls.interval_s
        # Which process each row is of; then one row for each (syscall, process), by syscall.
        processes, self._who = _numbered([calls.pid.view(np.uint64), *halves(calls.comm)])
        names, self._named = _numbered([*halves(calls.comm[processes])])
        self._pid = calls.pid[processes].astype(np.int32)
        self._names: npt.NDArray[np.bytes_] = calls.comm[processes][names]
        codes = (calls.nr << 2) | calls.abi
        order = np.lexsort([self._who, codes])
        codes, self._who = codes[order], self._who[order]
        firsts = _starts(codes, self._who)
        self._count = _sums(calls.count[order], firsts)
        codes, self._who = codes[firsts], self._who[firsts]
        self._starts = _starts(codes)
        self._syscalls = [(code >> 2, code & 3) for code in codes[self._starts].tolist()]
        # The filter seldom changes and sparklines are drawn every interval: each interval is added
        # up once for a filter. Only the reading thread touches this.
        self._rates: tuple[Filter, Mapping[SyscallKey, float]] | None = None

    @property
    def size(self) -> int:
        """Bytes of memory, roughly, with what :meth:`rates` keeps."""
        arrays = (self._who, self._named, self._pid, self._names, self._count, self._starts)
        return sum(array.nbytes for array in arrays) + _SYSCALL_BYTES * len(self._syscalls)

    def rates(self, shown: Filter, verdicts: Verdicts) -> Mapping[SyscallKey, float]:
        """Calls per second of every syscall that was called, for the calls that pass ``shown``.

        ``verdicts`` are those of the same filter.
        """
        if self._rates is None or self._rates[0] != shown:
            self._rates = (shown, self._add_up(shown, verdicts))
        return self._rates[1]

    def _add_up(self, shown: Filter, verdicts: Verdicts) -> Mapping[SyscallKey, float]:
        if self.interval_s <= 0:
            return {}
        count = self._count
        if shown:
            passing = np.ones(len(self._pid), dtype=bool)
            if shown.pid is not None:
                passing &= self._pid == shown.pid
            if shown.name:
                passing &= verdicts.of(self._names)[self._named]
            count = count * passing[self._who]
        sums = _sums(count, self._starts) / self.interval_s
        return {
            syscall: rate
            for syscall, rate in zip(self._syscalls, sums.tolist(), strict=True)
            if rate
        }


class Steps(Protocol):
    """The intervals of the past, oldest first, as they were at one moment; never changed.

    Any thread may read them.
    """

    @property
    def timeline(self) -> Timeline:
        """When they were, and how much happened in each."""

    def rows(self, place: int) -> Columns:
        """The rows of one of them."""

    def rest(self, place: int) -> Sample:
        """All else of it that was collected, but for slow calls."""

    def slow(self, place: int) -> tuple[SlowCall, ...]:
        """Its slow calls, in the order in which they ended."""

    def counts(self, place: int) -> Counts:
        """Its counts alone."""


@dataclass(frozen=True, eq=False)
class Past:
    """The past up to a moment, or a window of it; never changed.

    Attributes:
        snapshot: what is on show: the newest interval, or all of the window's as one.
        slow: the last slow calls, or those in the window; newest first.
        steps: the intervals that are known.
        place: the one that is the newest, or the window's last.
        keep_slow: slow calls that are listed at the most.
        window: the window; None where it is one interval as it was seen live.
        trend: the counts of equal parts of the window, one after the other.
    """

    snapshot: Snapshot
    slow: tuple[SlowCall, ...] = field(repr=False)
    steps: Steps = field(repr=False)
    place: int
    keep_slow: int
    window: Window | None = None
    trend: tuple[Counts, ...] = field(default=(), repr=False)

    @property
    def timeline(self) -> Timeline:
        """All intervals that are known, those after the moment too."""
        return self.steps.timeline

    @property
    def time_ns(self) -> int:
        """The moment at which it ends, as :attr:`timeline` has it."""
        return int(self.timeline.end_ns[self.place])

    def rates(self, shown: Filter, points: int) -> list[Mapping[SyscallKey, float]]:
        """Calls per second by syscall under a filter, in the last ``points`` intervals.

        Oldest first, and fewer than ``points`` while there are no more. Of a window, all of it in
        as many parts.
        """
        verdicts = Verdicts(shown)
        if self.window is not None:
            return _resampled([each.rates(shown, verdicts) for each in self.trend], points)
        places = range(max(self.place + 1 - points, 0), self.place + 1) if points > 0 else ()
        return [self.steps.counts(place).rates(shown, verdicts) for place in places]

    def at(self, place: int) -> Past:
        """The past as it was seen at the end of one of the intervals."""
        if self.window is not None:
            return past_at(self.steps, place, self.keep_slow)
        if place == self.place:
            return self
        return past_at(self.steps, place, self.keep_slow, self if place == self.place + 1 else None)

    def over(self, window: Window) -> Generator[float, None, Past]:
        """The intervals that end in a window as one, which may take a while.

        Where none does, the one that is nearest to its end.

        Yields:
            How much of it is done, from 0 to 1.

        Returns:
            The past with the sum as its snapshot: counts and histograms added up, rates over its
            length, the slow calls in it, the calls in flight at its end.
        """
        steps, timeline = self.steps, self.timeline
        places = timeline.inside(window) or range(0)
        if not len(places):
            place = timeline.at(window.end_ns)
            places = range(place, place + 1)
        whole = _Sum()
        rests: list[Sample] = []
        trend: list[Counts] = []
        for ahead in np.array_split(np.array(places), min(len(places), _TREND)):
            part = _Sum()
            for place in ahead.tolist():
                part.add(steps.rows(place))
                rests.append(steps.rest(place))
                yield (len(rests) - 1) / len(places)
            rows = part.take()
            whole.folded += part.folded
            whole.add(rows)
            length_s = int(timeline.length_ns[ahead].sum()) / 1e9
            table = table_of_columns(without_histograms(rows), length_s)
            trend.append(Counts(int(timeline.end_ns[ahead[-1]]), table))
        merged = whole.take()
        rest = together(rests, whole.folded)
        told = derive(rest, rest.lost_before)
        slow = self._slow_of(places)
        # Those that were listed then, and those that were not.
        listed = int(timeline.slow[places.start : places.stop].sum())
        happened = listed + told.unlisted
        return replace(
            self,
            snapshot=replace(
                told,
                calls=table_of_columns(merged, told.interval_s),
                slow=slow,
                unlisted=happened - len(slow),
                lost=_with_forgotten(told.lost, listed - len(slow)),
                sample=None,
            ),
            slow=slow[::-1],
            place=places[-1],
            window=timeline.whole(window),
            trend=tuple(trend),
        )

    def _slow_of(self, places: range) -> tuple[SlowCall, ...]:
        """The last slow calls of some intervals, in the order in which they ended."""
        newest_first: list[SlowCall] = []
        for place in reversed(places):
            if len(newest_first) >= _MOST_SLOW_OF_WINDOW:
                break
            newest_first += reversed(self.steps.slow(place))
        return tuple(reversed(newest_first[:_MOST_SLOW_OF_WINDOW]))


class _Sum:
    """Adds up rows a few intervals at a time.

    Attributes:
        folded: calls that have lost their process, as there were too many rows.
    """

    def __init__(self) -> None:
        self.folded = 0
        self._parts: list[Columns] = []

    def add(self, rows: Columns) -> None:
        self._parts.append(rows)
        pending = sum(map(len, self._parts[1:]))
        if len(self._parts) > 1 and pending > _PENDING_ROWS + len(self._parts[0]):
            self.take()

    def take(self) -> Columns:
        """The sum so far; it stays in it."""
        rows, lost = bounded(added_up(self._parts), _MOST_ROWS)
        self.folded += lost
        self._parts = [rows]
        return rows


def _resampled(
    rates: Sequence[Mapping[SyscallKey, float]], points: int
) -> list[Mapping[SyscallKey, float]]:
    """The means of neighbours, so that there are at most ``points``."""
    if points <= 0 or len(rates) <= points:
        return list(rates) if points > 0 else []
    means: list[Mapping[SyscallKey, float]] = []
    for some in np.array_split(np.arange(len(rates)), points):
        total: dict[SyscallKey, float] = {}
        for place in some.tolist():
            for key, rate in rates[place].items():
                total[key] = total.get(key, 0.0) + rate
        means.append({key: rate / len(some) for key, rate in total.items()})
    return means


def _with_forgotten(lost: Mapping[str, int], count: int) -> Mapping[str, int]:
    """Losses, and how many slow calls were listed once but are not kept any more."""
    return lost if count <= 0 else MappingProxyType({**lost, "slow_forgotten": count})


def past_at(steps: Steps, place: int, keep_slow: int, before: Past | None = None) -> Past:
    """The past as it was seen at the end of one of the intervals.

    Args:
        steps: the intervals.
        place: which one.
        keep_slow: slow calls that are listed at the most.
        before: the same of the interval before it, if that is known.
    """
    rest = steps.rest(place)
    told = derive(rest, rest.lost_before)
    now = steps.slow(place)
    slow = [*reversed(now), *(before.slow if before else ())]
    having = np.flatnonzero(steps.timeline.slow[:place]).tolist()
    while having and before is None and len(slow) < keep_slow:
        slow += reversed(steps.slow(having.pop()))
    return Past(
        snapshot=replace(
            told,
            calls=table_of_columns(steps.rows(place), told.interval_s),
            slow=now,
            unlisted=int(steps.timeline.slow[place]) + told.unlisted - len(now),
            lost=_with_forgotten(told.lost, int(steps.timeline.slow[place]) - len(now)),
            sample=None,
        ),
        slow=tuple(slow[:keep_slow]),
        steps=steps,
        place=place,
        keep_slow=keep_slow,
    )


# --- The live history ---


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One interval, or several that were added up.

    Attributes:
        packed: all but its slow calls.
        slow: its slow calls, as far as they are still there.
        slow_bytes: memory that ``slow`` takes, roughly.
        level: how often its like were added up.
        end_ns: wall clock at its end, but later than the one before it.
    """

    packed: Packed
    slow: tuple[SlowCall, ...]
    slow_bytes: int
    level: int
    end_ns: int

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from all others, those that it was made of too."""
        return self.end_ns, self.level

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""
        return _STEP_BYTES + len(self.packed.body) + self.slow_bytes


def _bytes_of(calls: Sequence[SlowCall]) -> int:
    return sum(_SLOW_BYTES + call.detail.held for call in calls)


class CountsKept:
    """The counts of the last intervals that were asked for, within a bound of memory.

    For any thread. An interval's key is whatever tells it from all others.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int], Counts] = OrderedDict()
        self._size = 0

    def add(self, key: tuple[int, int], counts: Counts) -> None:
        """Keep the counts of an interval; those that were asked for longest ago may go."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = counts
            self._size += counts.size
            while len(self._kept) > 1 and (
                self._size > self._most_bytes or len(self._kept) > _MOST_COUNTS
            ):
                _, oldest = self._kept.popitem(last=False)
                self._size -= oldest.size

    def get(self, key: tuple[int, int]) -> Counts | None:
        """The counts of an interval, if they are kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    @property
    def size(self) -> int:
        """Bytes of memory that they take, roughly."""
        return self._size


class _LiveSteps:
    """The intervals of a live history."""

    def __init__(self, steps: tuple[_Step, ...], counts: CountsKept) -> None:
        self._steps = steps
        self._counts = counts

    @cached_property
    def timeline(self) -> Timeline:
        of = [
            (s.end_ns, s.packed.interval_ns, s.packed.calls, s.packed.errors, s.packed.slow)
            for s in self._steps
        ]
        return Timeline(*np.array(of, dtype=np.int64).reshape(-1, 5).T)

    def rows(self, place: int) -> Columns:
        return unpack_rows(self._steps[place].packed)

    def rest(self, place: int) -> Sample:
        return unpack_rest(self._steps[place].packed)

    def slow(self, place: int) -> tuple[SlowCall, ...]:
        return self._steps[place].slow

    def counts(self, place: int) -> Counts:
        step = self._steps[place]
        found = self._counts.get(step.key)
        if found is None:
            found = counts_of(self, place)
            self._counts.add(step.key, found)
        return found


def counts_of(steps: Steps, place: int) -> Counts:
    """The counts of an interval, from its rows."""
    length_s = int(steps.timeline.length_ns[place]) / 1e9
    table = table_of_columns(without_histograms(steps.rows(place)), length_s)
    return Counts(int(steps.timeline.end_ns[place]), table)


class History:
    """The last intervals and slow calls, bounded by time and by memory.

    Where memory is short, the oldest intervals are added up to longer ones, and at last forgotten.
    """

    def __init__(
        self, keep_slow: int = 500, max_bytes: int = 64_000_000, max_s: float = 900.0
    ) -> None:
        """Keep nothing yet.

        Args:
            keep_slow: slow calls that are listed at the most.
            max_bytes: memory for it all. The last interval is kept whatever it takes.
            max_s: how far back it goes at the most, in seconds.
        """
        if keep_slow < 0:
            raise ValueError("a history keeps no negative number of calls")
        self._keep_slow = keep_slow
        self._max_bytes = max_bytes
        self._max_ns = int(max_s * 1e9)
        self._counts = CountsKept(max_bytes // 4)
        self._steps: tuple[_Step, ...] = ()
        self._past: Past | None = None

    def append(self, snapshot: Snapshot) -> Packed:
        """Add the newest interval, and return it packed. Only one thread may call this."""
        assert snapshot.sample is not None, "the sum of several intervals is none"
        before = self._past
        last_ns = self._steps[-1].end_ns if self._steps else 0
        step = _Step(
            packed=pack(snapshot.sample),
            slow=snapshot.slow,
            slow_bytes=_bytes_of(snapshot.slow),
            level=0,
            end_ns=follows(last_ns, snapshot.time_ns, snapshot.sample.interval_ns),
        )
        self._counts.add(step.key, Counts(step.end_ns, snapshot.calls))
        self._steps = self._fitting((*self._steps, step))
        slow = before.slow if before else ()
        self._past = Past(
            snapshot=snapshot,
            slow=(*reversed(snapshot.slow), *slow)[: self._keep_slow],
            steps=_LiveSteps(self._steps, self._counts),
            place=len(self._steps) - 1,
            keep_slow=self._keep_slow,
        )
        return step.packed

    def _fitting(self, steps: tuple[_Step, ...]) -> tuple[_Step, ...]:
        oldest_ns = steps[-1].end_ns - self._max_ns
        steps = steps[next(i for i, step in enumerate(steps) if step.end_ns > oldest_ns) :]
        steps = _with_fewer_slow(steps, self._max_bytes // _SLOW_PART)
        room = self._max_bytes - self._counts.size
        if sum(step.size for step in steps) > room:
            steps = _coarser(steps)
        sizes = list(accumulate(step.size for step in reversed(steps)))
        fitting = sum(size <= room for size in sizes)
        return steps[-max(fitting, 1) :]

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, roughly."""
        return self._counts.size + sum(step.size for step in self._steps)

    @property
    def past(self) -> Past | None:
        """Everything known by now; None before the first snapshot."""
        return self._past

    @property
    def latest(self) -> Snapshot | None:
        """The newest snapshot; None before the first."""
        past = self._past
        return past.snapshot if past else None

    @property
    def slow(self) -> tuple[SlowCall, ...]:
        """The last slow calls, newest first."""
        past = self._past
        return past.slow if past else ()


def _with_fewer_slow(steps: tuple[_Step, ...], most_bytes: int) -> tuple[_Step, ...]:
    """The same intervals without slow calls of the oldest, where these take too much memory.

    The newest interval has its calls in the list all the same, as long as it is the newest.
    """
    total = sum(step.slow_bytes for step in steps)
    if total <= most_bytes:
        return steps
    changed = list(steps)
    # First go the stacks of all but the longest of the oldest, then these calls, then all.
    for fewer in (_with_fewer_stacks, _longest, _none):
        for i, step in enumerate(changed):
            if total <= most_bytes:
                return tuple(changed)
            kept = fewer(step.slow)
            if kept is not step.slow:
                changed[i] = replace(step, slow=kept, slow_bytes=_bytes_of(kept))
                total += changed[i].slow_bytes - step.slow_bytes
    return tuple(changed)


def _long_enough(calls: tuple[SlowCall, ...]) -> int:
    """How long the tenth longest of some calls took."""
    return sorted(call.duration_ns for call in calls)[-_LONGEST_KEPT]


def _with_fewer_stacks(calls: tuple[SlowCall, ...]) -> tuple[SlowCall, ...]:
    if sum(call.detail.held > 0 for call in calls) <= _LONGEST_KEPT:
        return calls
    least_ns = _long_enough(calls)
    return tuple(
        call
        if call.duration_ns >= least_ns or not call.detail.held
        else replace(call, detail=Detail(call.detail.data, call.detail.file))
        for call in calls
    )


def _longest(calls: tuple[SlowCall, ...]) -> tuple[SlowCall, ...]:
    if len(calls) <= _LONGEST_KEPT:
        return calls
    least_ns = _long_enough(calls)
    return tuple(call for call in calls if call.duration_ns >= least_ns)[:_LONGEST_KEPT]


def _none(calls: tuple[SlowCall, ...]) -> tuple[SlowCall, ...]:
    return () if calls else calls


def _coarser(steps: tuple[_Step, ...]) -> tuple[_Step, ...]:
    """The same time in fewer intervals: the oldest few that are equally fine become one."""
    levels = [step.level for step in steps]
    for begin in range(len(steps) - _AT_ONCE):
        some = steps[begin : begin + _AT_ONCE]
        if len(set(levels[begin : begin + _AT_ONCE])) == 1 and some[0].level < _MOST_LEVELS:
            merged = _Step(
                packed=pack_together([step.packed for step in some]),
                slow=tuple(call for step in some for call in step.slow),
                slow_bytes=sum(step.slow_bytes for step in some),
                level=some[0].level + 1,
                end_ns=some[-1].end_ns,
            )
            return (*steps[:begin], merged, *steps[begin + _AT_ONCE :])
    return steps
