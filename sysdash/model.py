"""From samples to what is shown: merging, rates, percentiles, grouping. Pure functions only.

The one path is ``Sample -> derive -> Snapshot -> aggregate -> Table``: the dashboard, the
command-line tools and the exporters all show numbers that came along it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from sysdash import syscalls
from sysdash.buckets import BUCKETS, OVER, REPRESENTATIVES_NS
from sysdash.columns import Columns, histograms
from sysdash.grouping import group, halves
from sysdash.records import (
    EVENT,
    EVENT_AT_LEAST,
    EVENT_EXAMPLE,
    EVENT_NO_ARGUMENTS,
    NO_DETAIL,
    Block,
    Detail,
    Events,
    Host,
    Rows,
    Sample,
)
from sysdash.units import safe

KEYS = ("syscall", "pid", "tid", "comm", "cgroup", "errno")
"""What calls can be grouped by."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Syscall:
    """A system call as its caller named it: the number and the table that the number belongs to."""

    nr: int
    abi: int = 0

    @property
    def name(self) -> str:
        """Its name for display; one of another ABI than the native one says so."""
        return syscalls.display_name(self.nr, self.abi)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a :class:`Table`, in Python's own types.

    Attributes:
        syscall, pid, tid, comm, cgroup, errno: the key; None for those the table is not grouped by.
        count: calls that ended, timed or not.
        rate: calls per second over the table's interval.
        errors: calls that returned an error (-4095 to -1).
        timed: calls whose duration is known; the times below are theirs.
        total_ns, min_ns, max_ns, mean_ns: times in ns; 0 where nothing was timed.
        stddev_pct: standard deviation of the mean in percent of the mean, as in ``perf trace -s``.
        p50_ns, p90_ns, p99_ns: quantiles, within :data:`sysdash.buckets.QUANTILE_ERROR`.
        hist: calls per latency bucket, shape (BUCKETS,), int64.
        off_ns: the part of ``total_ns`` that the callers were off the CPU; 0 where that is not
            measured.
    """

    syscall: Syscall | None
    pid: int | None
    tid: int | None
    comm: str | None
    cgroup: int | None
    errno: int | None
    count: int
    rate: float
    errors: int
    timed: int
    total_ns: int
    min_ns: int
    max_ns: int
    mean_ns: float
    stddev_pct: float
    p50_ns: float
    p90_ns: float
    p99_ns: float
    hist: Ints
    off_ns: int = 0


_PIECE = 1000

OTHERS = b"(others)"
"""The name that pid 0 gets where it stands for processes that the probe had no room for."""


def quantile_ns(hist: Ints, q: float, min_ns: Ints, max_ns: Ints) -> Floats:
    """The ``q`` quantile (nearest rank) of each histogram, in ns; 0 where a histogram is empty.

    Args:
        hist: calls per bucket, shape (n, BUCKETS).
        q: 0 to 1.
        min_ns: the shortest latency of each row, shape (n,), which bounds the answer.
        max_ns: the longest.
    """
    cumulative = hist.cumsum(axis=1)
    timed = cumulative[:, -1]
    rank = np.maximum(np.ceil(q * timed), 1)
    bucket = (cumulative < rank[:, None]).sum(axis=1)
    values = np.clip(REPRESENTATIVES_NS[np.minimum(bucket, OVER)], min_ns, max_ns)
    # Beyond the last edge nothing is known but the maximum.
    values = np.where(bucket >= OVER, max_ns, values)
    return np.where(timed > 0, values, 0.0)


def stddev_pct(timed: Ints, total_ns: Ints, squares: Floats) -> Floats:
    """Standard deviation of the mean, in percent of the mean: 100 * sqrt(s^2 / n) / mean.

    s^2 is the sample variance with n - 1, as ``perf stat`` and ``perf trace -s`` compute it
    (tools/perf/util/stat.c, ``stddev_stats`` and ``rel_stddev_stats``). 0 for fewer than two calls.
    """
    n = np.maximum(timed, 2).astype(np.float64)
    mean = total_ns / n
    variance = np.maximum(squares - n * mean * mean, 0) / (n - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        result = 100 * np.sqrt(variance / n) / mean
    return np.where((timed > 1) & (total_ns > 0), result, 0.0)


@dataclass(frozen=True)
class Histograms:
    """The latency histograms of a table's rows, added up only when they are asked for.

    A busy machine's histograms are megabytes an interval, of which a frame shows a few rows.

    Attributes:
        source: histograms of the kernel's rows (uint32) or of sums of them (int64), shape
            (m, BUCKETS).
        members: which of ``source`` belong to which row, grouped by row, int64, shape (k,).
        starts: where each row's members begin in ``members``, int64, shape (n + 1,).
    """

    source: npt.NDArray[np.uint32] | Ints
    members: Ints
    starts: Ints

    def take(self, rows: Ints) -> Histograms:
        """Those of some rows."""
        lengths = np.diff(self.starts)[rows]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        return Histograms(
            self.source, self.members[np.repeat(self.starts[rows], lengths) + within], starts
        )

    def merge(self, order: Ints, firsts: Ints) -> Histograms:
        """Those of groups: ``order`` has the rows by group, ``firsts`` where each group begins."""
        parts = self.take(order)
        return Histograms(self.source, parts.members, parts.starts[np.append(firsts, len(order))])

    def sums(self) -> Ints:
        """The histogram of each row, shape (n, BUCKETS)."""
        total = np.zeros((len(self.starts) - 1, BUCKETS), dtype=np.int64)
        if not len(self.members):
            return total
        bounds = self.starts.tolist()
        for row, (start, end) in enumerate(pairwise(bounds)):
            if end - start == 1:
                total[row] = self.source[self.members[start]]
            else:
                self.source[self.members[start:end]].sum(axis=0, dtype=np.int64, out=total[row])
        return total


@dataclass(frozen=True)
class Table:
    """Calls grouped by some of :data:`KEYS`, one array a column, all of the same length.

    Attributes:
        by: what the rows are grouped by; the other key columns are meaningless.
        interval_s: the time that the calls belong to.
        nr, abi, pid, tid, errno: int64 key columns; ``cgroup`` uint64; ``comm`` S16, unsafe bytes.
        count, errors, timed, total_ns, off_ns, min_ns, max_ns: int64, as in :class:`Row`.
        squares: float64, sum of squared latencies in ns^2.
        histograms: for :attr:`hist`.
    """

    by: tuple[str, ...]
    interval_s: float
    nr: Ints
    abi: Ints
    pid: Ints
    tid: Ints
    errno: Ints
    cgroup: npt.NDArray[np.uint64]
    comm: npt.NDArray[np.bytes_]
    count: Ints
    errors: Ints
    timed: Ints
    total_ns: Ints
    off_ns: Ints
    min_ns: Ints
    max_ns: Ints
    squares: Floats
    histograms: Histograms

    def __len__(self) -> int:
        return len(self.count)

    @cached_property
    def hist(self) -> Ints:
        """Calls per latency bucket, shape (n, BUCKETS)."""
        return self.histograms.sums()

    @cached_property
    def rate(self) -> Floats:
        """Calls per second, shape (n,)."""
        return self.count / self.interval_s if self.interval_s > 0 else np.zeros(len(self))

    @cached_property
    def p99_ns(self) -> Floats:
        """The 99th percentile of each row in ns, shape (n,)."""
        return quantile_ns(self.hist, 0.99, self.min_ns, self.max_ns)

    def select(self, mask: npt.NDArray[np.bool_]) -> Table:
        """The rows where ``mask`` (shape (n,)) is true."""
        return self.take(np.flatnonzero(mask))

    def take(self, indices: Ints) -> Table:
        """The rows at ``indices``, in that order."""
        columns = {name: getattr(self, name)[indices] for name in COLUMNS}
        histograms = self.histograms.take(indices)
        return Table(self.by, self.interval_s, **columns, histograms=histograms)

    def order(self, sort: str, *, inverted: bool = False) -> list[int]:
        """Row indices by ``sort``, largest first, or last if ``inverted``.

        Equal rows keep the order of their keys, so that rows do not jump without reason.

        Args:
            sort: one of :data:`sysdash.limits.SORTS`.
            inverted: smallest first.
        """
        # Percentiles cost far more than the rest, and only one order needs them.
        column = (
            self.p99_ns if sort == "latency" else {"rate": self.count, "total": self.total_ns}[sort]
        )
        words = [word for key in self.by for word in _words(self, key)]
        return [int(i) for i in np.lexsort([*reversed(words), column if inverted else -column])]

    def row(self, index: int) -> Row:
        """One row with everything derived from it."""
        return self.rows([index])[0]

    def rows(self, indices: Sequence[int]) -> list[Row]:
        """The rows at ``indices``, in that order, with everything derived from them."""
        part = self.take(np.asarray(indices, dtype=np.int64))
        p50, p90 = (quantile_ns(part.hist, q, part.min_ns, part.max_ns) for q in (0.5, 0.9))
        deviation = stddev_pct(part.timed, part.total_ns, part.squares)
        by = self.by
        return [
            Row(
                syscall=Syscall(int(part.nr[i]), int(part.abi[i])) if "syscall" in by else None,
                pid=int(part.pid[i]) if "pid" in by else None,
                tid=int(part.tid[i]) if "tid" in by else None,
                comm=safe(bytes(part.comm[i])) if "comm" in by else None,
                cgroup=int(part.cgroup[i]) if "cgroup" in by else None,
                errno=int(part.errno[i]) if "errno" in by else None,
                count=int(part.count[i]),
                rate=float(part.rate[i]),
                errors=int(part.errors[i]),
                timed=int(part.timed[i]),
                total_ns=int(part.total_ns[i]),
                min_ns=int(part.min_ns[i]),
                max_ns=int(part.max_ns[i]),
                mean_ns=float(part.total_ns[i] / part.timed[i]) if part.timed[i] else 0.0,
                stddev_pct=float(deviation[i]),
                p50_ns=float(p50[i]),
                p90_ns=float(p90[i]),
                p99_ns=float(part.p99_ns[i]),
                hist=part.hist[i],
                off_ns=int(part.off_ns[i]),
            )
            for i in range(len(part))
        ]

    def each(self, indices: Sequence[int]) -> Iterator[Row]:
        """The same one after the other, in pieces: many histograms at once take much memory."""
        for start in range(0, len(indices), _PIECE):
            yield from self.rows(indices[start : start + _PIECE])

    def find(self, syscall: Syscall) -> Row | None:
        """The row of a syscall, for a table grouped by syscall alone; None if it made no calls."""
        found = np.flatnonzero((self.nr == syscall.nr) & (self.abi == syscall.abi))
        return self.row(int(found[0])) if len(found) else None


_KEY_COLUMNS = ("nr", "abi", "pid", "tid", "errno", "cgroup", "comm")
_SUMS = ("count", "errors", "timed", "total_ns", "off_ns", "squares")
COLUMNS = (*_KEY_COLUMNS, *_SUMS, "min_ns", "max_ns")
"""The arrays of a :class:`Table`."""

_NO_MIN = np.iinfo(np.int64).max


def _words(table: Table, key: str) -> list[npt.NDArray[np.uint64]]:
    """A key's columns as 64-bit words."""
    if key == "syscall":
        return [((table.nr << 2) | table.abi).view(np.uint64)]
    if key == "comm":
        return [*halves(table.comm)]
    return [getattr(table, key).view(np.uint64)]


def aggregate(table: Table, by: Sequence[str]) -> Table:
    """Group a table by ``by`` (of :data:`KEYS`), adding up counts, times and histograms.

    ``table`` must itself be grouped by at least those keys. The result is in no particular order.
    """
    words = [word for key in by for word in _words(table, key)]
    if len(table) == 0:
        return replace(table, by=tuple(by))
    if not words:
        words = [np.zeros(len(table), dtype=np.uint64)]
    order, firsts = group(words)
    representative = order[firsts]
    columns = {name: getattr(table, name)[representative] for name in _KEY_COLUMNS}
    for name in _SUMS:
        columns[name] = np.add.reduceat(getattr(table, name)[order], firsts)
    smallest = np.where(table.timed > 0, table.min_ns, _NO_MIN)[order]
    smallest = np.minimum.reduceat(smallest, firsts)
    columns["min_ns"] = np.where(smallest == _NO_MIN, 0, smallest)
    columns["max_ns"] = np.maximum.reduceat(table.max_ns[order], firsts)
    histograms = table.histograms.merge(order, firsts)
    return Table(tuple(by), table.interval_s, **columns, histograms=histograms)


def table_of(rows: Rows, interval_s: float) -> Table:
    """The kernel's rows as a table by every key; several rows may have the same one."""
    own = np.arange(len(rows) + 1)
    return _table(rows, Histograms(rows["hist"], own[:-1], own), interval_s)


def table_of_columns(stored: Columns, interval_s: float) -> Table:
    """The same of rows that are kept as columns."""
    if not len(stored.row):
        return _table(stored.of, no_histograms(len(stored)), interval_s)
    own = np.arange(len(stored) + 1)
    whole = Histograms(histograms(stored), own[:-1], own)
    return _table(stored.of, whole, interval_s)


def no_histograms(rows: int) -> Histograms:
    """Empty histograms, which take no room."""
    return Histograms(
        np.zeros((0, BUCKETS), dtype=np.int64),
        np.zeros(0, dtype=np.int64),
        np.zeros(rows + 1, dtype=np.int64),
    )


def _table(
    rows: Rows | Mapping[str, npt.NDArray[Any]], whole: Histograms, interval_s: float
) -> Table:
    as_int = {
        name: rows[name].astype(np.int64)
        for name in ("nr", "abi", "pid", "tid", "errno", "count", "total_ns", "off_ns", "max_ns")
    }
    timed = as_int["count"] - rows["untimed"].astype(np.int64)
    return Table(
        by=KEYS,
        interval_s=interval_s,
        **as_int,
        cgroup=rows["cgroup"].copy(),
        comm=np.where((rows["pid"] == 0) & (rows["comm"] == b""), OTHERS, rows["comm"]),
        errors=np.where(rows["errno"] > 0, as_int["count"], 0),
        timed=timed,
        min_ns=np.where(timed > 0, rows["min_ns"], 0).astype(np.int64),
        squares=rows["squares_low"] + rows["squares_high"] * 2.0**64,
        histograms=whole,
    )


@dataclass(frozen=True, slots=True)
class SlowCall:
    """A call that took longer than its threshold, or has and is still inside the kernel.

    Attributes:
        time_ns: wall clock at its end; of a call in flight, when it was looked at.
        ret: what it returned, None if it has not; ``errno`` is None unless that was an error.
        args: the six argument registers, unsigned; empty where they are not known.
        comm: safe text.
        detail: what else is known of it; :mod:`sysdash.story` tells it in words.
        at_least: it began before it was watched: ``duration_ns`` is the least that it took.
    """

    time_ns: int
    syscall: Syscall
    duration_ns: int
    pid: int
    tid: int
    comm: str
    args: tuple[int, ...]
    ret: int | None
    errno: int | None
    detail: Detail = field(default=NO_DETAIL, compare=False, repr=False)
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Totals:
    """What the summary shows of one interval, for the calls that are shown.

    Attributes:
        rate, error_rate: calls and failed calls per second.
        mean_ns: mean latency of the timed calls.
        working, waiting: seconds spent in syscalls per second; each call counted when it ends.
            Where ``measured``, those on the CPU and off it; otherwise those in calls that do work
            and in calls whose purpose is to wait (:func:`sysdash.syscalls.waits`).
        measured: whether that is measured.
        processes: processes that made calls.
        slow: slow calls in the interval.
    """

    rate: float
    error_rate: float
    mean_ns: float
    working: float
    waiting: float
    measured: bool
    processes: int
    slow: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One interval, ready to be shown; never changed.

    Attributes:
        time_ns: wall clock at its end.
        interval_s: its length.
        calls: calls by every key, which several rows may have: see :func:`aggregate`.
        slow: its slow calls, in the order in which they ended.
        lost: everything lost *since the start*, each way with its count, zeros included.
        unlisted: slow calls of this interval that were counted but are not in ``slow``.
        in_flight: calls that have taken longer than their threshold and have not returned at its
            end, the longest first; those beyond a bound are counted in ``in_flight_more``.
        cgroups: paths of cgroups by their ids, for those of ``calls`` that are known.
        in_flight_known: whether there are others than those; not where filters ask for errors.
        in_flight_unreadable: as in :class:`sysdash.records.Sample`.
        examples: failed calls that were asked for, whether they are slow or not, but for those in
            ``slow``.
        values, blocks, blocked, off_cpu: as in :class:`sysdash.records.Sample`.
        sample: what it was made of; None for one that is of several intervals.
    """

    time_ns: int
    interval_s: float
    calls: Table
    slow: tuple[SlowCall, ...]
    lost: Mapping[str, int]
    host: Host
    unlisted: int = 0
    cgroups: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    in_flight: Sequence[SlowCall] = ()
    in_flight_more: int = 0
    in_flight_known: bool = True
    examples: tuple[SlowCall, ...] = ()
    values: Mapping[int | bytes, int] = field(default_factory=lambda: MappingProxyType({}))
    blocks: Mapping[Block, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))
    blocked: Mapping[Block, int] = field(default_factory=lambda: MappingProxyType({}))
    off_cpu: bool = False
    in_flight_unreadable: int = 0
    sample: Sample | None = field(default=None, compare=False, repr=False)

    @property
    def lost_total(self) -> int:
        """All losses added up."""
        return sum(self.lost.values())


def derive(sample: Sample, lost_before: Mapping[str, int] = MappingProxyType({})) -> Snapshot:
    """Make the snapshot of a sample: columns of its rows, slow calls decoded, losses added up.

    Args:
        sample: what was collected in one interval.
        lost_before: the losses of all samples before it.
    """
    interval_s = sample.interval_ns / 1e9
    lost = {name: lost_before.get(name, 0) + count for name, count in sample.lost.items()}
    for name, count in lost_before.items():
        lost.setdefault(name, count)
    calls = slow_calls(sample.events, sample.time_ns - sample.mono_ns, sample.details)
    told = list(zip(calls, (sample.events["flags"] & EVENT_EXAMPLE).tolist(), strict=True))
    return Snapshot(
        time_ns=sample.time_ns,
        interval_s=interval_s,
        calls=table_of(sample.rows, interval_s),
        slow=tuple(call for call, example in told if not example),
        examples=tuple(call for call, example in told if example),
        lost=MappingProxyType(lost),
        host=sample.host,
        unlisted=sample.lost.get("slow_limit", 0) + sample.lost.get("slow_ring", 0),
        cgroups=sample.cgroups,
        in_flight=CallsInFlight(sample),
        in_flight_more=sample.in_flight_more,
        in_flight_known=sample.in_flight_known,
        values=sample.values,
        blocks=sample.blocks,
        blocked=sample.blocked,
        off_cpu=sample.off_cpu,
        in_flight_unreadable=sample.in_flight_unreadable,
        sample=sample,
    )


class CallsInFlight(Sequence[SlowCall]):
    """A sample's calls in flight, decoded when somebody looks: a busy machine has hundreds."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample

    @cached_property
    def _calls(self) -> tuple[SlowCall, ...]:
        sample = self._sample
        offset_ns = sample.time_ns - sample.mono_ns
        return slow_calls(sample.in_flight, offset_ns, sample.in_flight_details, returned=False)

    def waiting(self) -> int:
        """How many of them are calls whose purpose is to wait."""
        events = self._sample.in_flight
        codes, counts = np.unique(
            events["nr"].astype(np.int64) << 2 | events["abi"], return_counts=True
        )
        numbers = zip(codes.tolist(), counts.tolist(), strict=True)
        return sum(count for code, count in numbers if syscalls.waits(code >> 2, code & 3))

    def __len__(self) -> int:
        return len(self._sample.in_flight)

    @overload
    def __getitem__(self, place: int) -> SlowCall: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[SlowCall, ...]: ...

    @override
    def __getitem__(self, place: int | slice) -> SlowCall | tuple[SlowCall, ...]:
        return self._calls[place]

    @override
    def __eq__(self, other: object) -> bool:
        if isinstance(other, CallsInFlight):
            other = other._calls
        return self._calls == other

    @override
    def __hash__(self) -> int:
        return hash(self._calls)


_EVENT_COLUMNS = (
    *("end_ns", "duration_ns", "ret", "args", "pid", "tid", "nr", "abi", "comm", "flags"),
)


def slow_calls(
    events: Events,
    wall_offset_ns: int,
    details: Sequence[Detail] = (),
    *,
    returned: bool = True,
) -> tuple[SlowCall, ...]:
    """Decode slow-call records.

    Args:
        events: dtype :data:`sysdash.records.EVENT`.
        wall_offset_ns: wall clock minus CLOCK_MONOTONIC.
        details: what else is known of each, or nothing.
        returned: whether the calls have returned.
    """
    if events.dtype != EVENT:
        raise TypeError(f"slow calls must have dtype EVENT, not {events.dtype}")
    # Columns, not records: a busy machine has a thousand calls in flight, each time.
    columns = zip(*(events[name].tolist() for name in _EVENT_COLUMNS), strict=True)
    return tuple(
        SlowCall(
            time_ns=end_ns + wall_offset_ns,
            syscall=Syscall(nr, abi),
            duration_ns=duration_ns,
            pid=pid,
            tid=tid,
            comm=safe(comm),
            args=() if flags & EVENT_NO_ARGUMENTS else tuple(args),
            ret=ret if returned else None,
            errno=syscalls.errno_of(ret) if returned else None,
            detail=detail,
            at_least=bool(flags & EVENT_AT_LEAST),
        )
        for (end_ns, duration_ns, ret, args, pid, tid, nr, abi, comm, flags), detail in zip(
            columns, details or [NO_DETAIL] * len(events), strict=True
        )
    )


@dataclass(frozen=True, slots=True)
class Filter:
    """What is shown, of everything that is collected. None shows all.

    Attributes:
        pid: only this process.
        name: only processes whose name matches: a substring, or ``/regular expression/``.
    """

    pid: int | None = None
    name: str | None = None
    _pattern: re.Pattern[str] | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the expression.

        Raises:
            ValueError: the text between the slashes is not a regular expression.
        """
        name = self.name
        if name and len(name) > 1 and name.startswith("/") and name.endswith("/"):
            try:
                object.__setattr__(self, "_pattern", re.compile(name[1:-1]))
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"not a regular expression: {error}") from None

    @property
    def matches_name(self) -> Callable[[str], bool]:
        """A predicate on a (safe) process name."""
        if self._pattern is not None:
            pattern = self._pattern
            return lambda comm: pattern.search(comm) is not None
        wanted = (self.name or "").casefold()
        return lambda comm: wanted in comm.casefold()

    def __bool__(self) -> bool:
        return self.pid is not None or bool(self.name)

    def passes(
        self, pid: npt.NDArray[np.integer], comm: npt.NDArray[np.bytes_]
    ) -> npt.NDArray[np.bool_]:
        """Which rows pass, given their columns ``pid`` and ``comm`` (S16, unsafe), shape (n,)."""
        mask = np.ones(len(pid), dtype=bool)
        if self.pid is not None:
            mask &= pid == self.pid
        if self.name:
            matches = self.matches_name
            names, inverse = np.unique(comm, return_inverse=True)
            passing = np.array([matches(safe(bytes(name))) for name in names], dtype=bool)
            mask &= passing[inverse.ravel()] if len(names) else False
        return mask

    def calls(self, table: Table) -> Table:
        """The rows of a table (by pid and comm) that pass."""
        return table.select(self.passes(table.pid, table.comm)) if self else table

    def slow(self, calls: Sequence[SlowCall]) -> list[SlowCall]:
        """The slow calls that pass."""
        matches = self.matches_name
        return [
            call
            for call in calls
            if (self.pid is None or call.pid == self.pid) and (not self.name or matches(call.comm))
        ]


@dataclass(frozen=True)
class View:
    """A snapshot as a filter shows it; what the panels draw from.

    Attributes:
        snapshot: the interval.
        calls: its calls that pass the filter, by every key.
    """

    snapshot: Snapshot
    filter: Filter
    calls: Table

    @cached_property
    def by_syscall(self) -> Table:
        """Calls by syscall."""
        return aggregate(self.calls, ("syscall",))

    @cached_property
    def by_process(self) -> Table:
        """Calls by (pid, comm)."""
        return aggregate(self.calls, ("pid", "comm"))

    @cached_property
    def failed(self) -> Table:
        """Failed calls, by every key."""
        return self.calls.select(self.calls.errno > 0)

    @cached_property
    def by_error(self) -> Table:
        """Failed calls by (syscall, errno, comm)."""
        return aggregate(self.failed, ("syscall", "errno", "comm"))

    def of_syscall(self, syscall: Syscall) -> Table:
        """The calls of one syscall, by every key."""
        return self.calls.select((self.calls.nr == syscall.nr) & (self.calls.abi == syscall.abi))

    @cached_property
    def totals(self) -> Totals:
        """The summary's numbers."""
        table = self.by_syscall
        seconds = self.snapshot.interval_s or 1.0
        timed, total = int(table.timed.sum()), int(table.total_ns.sum())
        measured = self.snapshot.off_cpu
        waiting = int(table.off_ns.sum()) if measured else _by_nature(table)
        return Totals(
            rate=float(table.count.sum() / seconds),
            error_rate=float(table.errors.sum() / seconds),
            mean_ns=total / timed if timed else 0.0,
            working=(total - waiting) / 1e9 / seconds,
            waiting=waiting / 1e9 / seconds,
            measured=measured,
            processes=len(np.unique(self.calls.pid)),
            slow=len(self.filter.slow(self.snapshot.slow))
            # Whose those are is not known, so a filter leaves them out.
            + (0 if self.filter else self.snapshot.unlisted),
        )


def _by_nature(table: Table) -> int:
    """The ns in calls whose purpose is to wait, of a table by syscall."""
    waits = [
        syscalls.waits(nr, abi)
        for nr, abi in zip(table.nr.tolist(), table.abi.tolist(), strict=True)
    ]
    return int(table.total_ns[np.array(waits, dtype=bool)].sum())


def view(snapshot: Snapshot, shown: Filter) -> View:
    """The snapshot as ``shown`` filters it."""
    return View(snapshot=snapshot, filter=shown, calls=shown.calls(snapshot.calls))
