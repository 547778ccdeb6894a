"""Calls of several samples added up and grouped: what the command-line tools print. Pure.

A tool that prints once an hour still reads the probe every second or so; what it has read is kept
as one :class:`~sysdash.model.Table` of the rows that will be printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from sysdash import syscalls
from sysdash.model import COLUMNS, OTHERS, Histograms, Snapshot, Table, aggregate, no_histograms
from sysdash.records import OTHER_NR

_MOST_ROWS = {True: 50_000, False: 250_000}
"""Rows that are kept, by whether they have times: 60 or 40 MB, for a histogram is most of a row.
Beyond them the rarest processes are added up to one."""

_WHOSE = frozenset({"pid", "tid", "comm", "cgroup"})
"""The keys that say whose a call is."""

_PENDING_ROWS = 20_000
"""New rows that are waited for before they are added up."""


@dataclass(frozen=True)
class Aggregate:
    """The calls of one interval, grouped, and nothing else.

    Attributes:
        time_ns: wall clock at its end.
        interval_s: its length.
        calls: the calls by ``calls.by``, one row for each key, in no particular order.
        timed: whether times were collected; where not, those of ``calls`` mean nothing.
        off_cpu: whether ``calls.off_ns`` was measured.
        lost: every way in which data can be missing, with its count in this interval.
        cgroups: paths of cgroups by their ids, for those of ``calls`` that are known.
    """

    time_ns: int
    interval_s: float
    calls: Table
    timed: bool = True
    off_cpu: bool = False
    lost: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    cgroups: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))


class Accumulator:
    """Adds up snapshots until their sum is taken."""

    def __init__(self, by: Sequence[str], *, timed: bool = True, most: int | None = None) -> None:
        """Begin with nothing.

        Args:
            by: what the calls are grouped by, of :data:`sysdash.model.KEYS`.
            timed: whether the snapshots have times.
            most: rows to keep; of more, those with the fewest calls become one of pid 0 for each
                syscall and errno, whose calls are counted as ``unattributed``, and numbers that no
                table has become one.
        """
        self._by = tuple(by)
        self._timed = timed
        self._most = _MOST_ROWS[timed] if most is None else most
        self._parts: list[Table] = []
        self._time_ns = 0
        # As it was before this interval: a snapshot has the losses since the start.
        self._lost_before: Mapping[str, int] = {}
        self._lost_now: Mapping[str, int] = {}
        self._folded = 0
        self._off_cpu = False
        self._cgroups: dict[int, str] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot."""
        new = aggregate(snapshot.calls, self._by)
        if not self._timed:
            new = replace(new, histograms=no_histograms(len(new)))
        self._parts.append(new)
        # Not each time: that would be to sort all rows again for a few new ones.
        if sum(map(len, self._parts[1:])) > max(len(self._parts[0]), _PENDING_ROWS):
            self._add_up()
        self._time_ns = snapshot.time_ns
        self._lost_now = snapshot.lost
        self._off_cpu = snapshot.off_cpu
        self._cgroups.update(snapshot.cgroups)

    def _add_up(self) -> Table:
        calls = combine(self._parts)
        if len(calls) > self._most:
            calls, folded = _folded(calls, self._most)
            self._folded += folded
        self._parts = [calls]
        return calls

    def take(self) -> Aggregate | None:
        """The sum since the last time; None if nothing was added."""
        if not self._parts:
            return None
        calls = self._add_up()
        self._parts = []
        lost = Counter(self._lost_now)
        lost.subtract(self._lost_before)
        lost["unattributed"] += self._folded
        if not _WHOSE & set(self._by):
            lost["unattributed"] = 0  # nobody asks whose they are
        self._lost_before, self._folded = self._lost_now, 0
        ids = set(calls.cgroup.tolist()) if "cgroup" in self._by else set()
        cgroups, self._cgroups = self._cgroups, {}
        return Aggregate(
            time_ns=self._time_ns,
            interval_s=calls.interval_s,
            calls=calls,
            timed=self._timed,
            off_cpu=self._off_cpu,
            lost=MappingProxyType(dict(lost)),
            cgroups=MappingProxyType({i: p for i, p in cgroups.items() if i in ids}),
        )


def combine(tables: Sequence[Table]) -> Table:
    """One table of several that are grouped by the same keys; their intervals follow each other.

    Raises:
        ValueError: there is none.
    """
    if not tables:
        raise ValueError("no tables to combine")
    first = tables[0]
    if len(tables) == 1:
        return first
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in COLUMNS}
    if any(len(table.histograms.source) for table in tables):
        histograms = _stacked([table.histograms for table in tables])
    else:
        histograms = no_histograms(sum(map(len, tables)))
    together = Table(
        by=first.by,
        interval_s=sum(table.interval_s for table in tables),
        **columns,
        histograms=histograms,
    )
    total = aggregate(together, first.by)
    # Once and for all: the samples whose histograms these are can be let go.
    return replace(total, histograms=_own(total.histograms))


def _stacked(parts: Sequence[Histograms]) -> Histograms:
    sources = [part.sums() for part in parts]
    source = np.concatenate(sources)
    own = np.arange(len(source) + 1)
    return Histograms(source, own[:-1], own)


def _own(histograms: Histograms) -> Histograms:
    if not len(histograms.source):
        return histograms
    return _stacked([histograms])


def under_one_name(calls: Table, key: str) -> Table:
    """The same calls with one name for each process or thread: that of most of its calls.

    Number 0 is no process, but all that there is no number for here; these keep their names.

    Args:
        calls: grouped by at least ``key`` and ``comm``.
        key: ``pid`` or ``tid``.
    """
    if not len(calls):
        return calls
    named = aggregate(calls, (key, "comm"))
    order = np.lexsort((named.count, getattr(named, key)))
    numbers = getattr(named, key)[order]
    last = np.flatnonzero(np.append(numbers[1:] != numbers[:-1], True))
    of_row = np.searchsorted(numbers[last], getattr(calls, key))
    names = np.where(getattr(calls, key) > 0, named.comm[order[last]][of_row], calls.comm)
    return aggregate(replace(calls, comm=names), calls.by)


def _folded(table: Table, most: int) -> tuple[Table, int]:
    """The table in at most ``most`` rows or so, and how many calls have lost their process."""
    order = np.argsort(-table.count, kind="stable")
    # Not just as many as fit, or it would be to do again at once.
    keep = most * 9 // 10
    kept, rest = table.take(order[:keep]), table.take(order[keep:])
    known_nr = [
        syscalls.name(nr, abi) is not None
        for nr, abi in zip(rest.nr.tolist(), rest.abi.tolist(), strict=True)
    ]
    zero = np.zeros(len(rest), dtype=np.int64)
    anonymous = replace(
        rest,
        nr=np.where(np.array(known_nr, dtype=bool), rest.nr, OTHER_NR),
        pid=zero,
        tid=zero,
        cgroup=zero.astype(np.uint64),
        comm=np.full(len(rest), OTHERS, dtype=rest.comm.dtype),
    )
    known = (rest.pid != 0) | (rest.comm != OTHERS)
    folded = replace(aggregate(anonymous, table.by), interval_s=0.0)
    return combine([kept, folded]), int(rest.count[known].sum())
