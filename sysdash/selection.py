"""What of a recorded sample a command line asks for, decided as the probe decides it. Pure.

What the probe sees of a call is not all recorded: where threads are not kept apart, a row has the
name of the process, and not the thread's own, which the probe compares too; of a slow call the
parent and the cgroup are not recorded, and are taken to be those of the process's rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import compress
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from sysdash import syscalls
from sysdash.filters import Filters
from sysdash.processes import Processes
from sysdash.records import COMM_LEN, EVENT, Events, Rows, Sample
from sysdash.units import safe

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_NEVER_NS = 2**64 - 1

_SLOW_LOSSES = frozenset({"slow_limit", "slow_ring", "stacks"})
_OFF_CPU_LOSSES = frozenset({"off_cpu", "switches"})
"""The losses that are about slow calls, and about times off the CPU, alone."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which duration on a call is slow.

    Attributes:
        default_ns: of all calls that are not in ``by_number``; None for never.
        by_number: of single ones, by (syscall number, ABI code).
    """

    default_ns: int | None = 0
    by_number: Mapping[tuple[int, int], int | None] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def reached(self, events: Events) -> Mask:
        """Which calls, dtype :data:`sysdash.records.EVENT`, took so long."""
        default, *own = (
            _NEVER_NS if ns is None else ns for ns in (self.default_ns, *self.by_number.values())
        )
        needed = np.full(len(events), default, dtype=np.uint64)
        if own:
            known = _codes(self.by_number)
            order = np.argsort(known)
            asked = _code(events["nr"], events["abi"])
            at = np.minimum(np.searchsorted(known[order], asked), len(known) - 1)
            found = known[order][at] == asked
            needed[found] = np.array(own, dtype=np.uint64)[order][at[found]]
        return np.asarray(events["duration_ns"] >= needed)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of samples.

    Attributes:
        filters: which calls; ``cgroups`` are paths below the hierarchy's mount, beginning with a
            slash. ``tids`` is for samples whose rows keep threads apart, or for slow calls alone;
            ``command`` and ``include_self`` say nothing here.
        slow: whether slow calls and calls in flight are wanted, or only sums.
        thresholds: how long those must have taken; None for as long as then.
        off_cpu: whether times off the CPU are wanted.
        threads: whether threads are to be kept apart, where they are.
    """

    filters: Filters = field(default_factory=Filters)
    slow: bool = False
    thresholds: Thresholds | None = None
    off_cpu: bool = False
    threads: bool = False


class Selection:
    """Takes from samples what is wanted; they must come in the order in which they were made."""

    def __init__(self, wanted: Wanted, *, by_tid: bool = False) -> None:
        """Prepare.

        Args:
            wanted: what to take.
            by_tid: whether the samples' rows keep threads apart, each under its own name.
        """
        self._wanted = wanted
        self._filters = filters = wanted.filters
        self._by_tid = by_tid
        self._names = np.array(
            [name.encode("utf-8", "surrogateescape")[: COMM_LEN - 1] for name in filters.comms],
            dtype=f"S{COMM_LEN}",
        )
        self._cgroups = [safe(path) for path in filters.cgroups]
        self._only, self._not = _codes(filters.syscalls), _codes(filters.not_syscalls)
        self._sigreturns = _codes(
            number for name in syscalls.SIGRETURNS for number in syscalls.numbers(name)
        )
        self._all = replace(filters, include_self=False, command=None) == Filters()
        # The processes whose parent and cgroup pass, as far as is known.
        self._members = np.zeros(0, dtype=np.uint32)
        self._processes = Processes()

    def of(self, sample: Sample) -> Sample:
        """The sample with nothing but what is wanted; of losses nobody knows whose they were."""
        others = (frozenset() if self._wanted.slow else _SLOW_LOSSES) | (
            frozenset() if self._wanted.off_cpu else _OFF_CPU_LOSSES
        )
        lost = {name: 0 if name in others else count for name, count in sample.lost.items()}
        return replace(
            sample,
            rows=self._rows(sample.rows, sample.cgroups),
            **self._calls_one_by_one(sample),
            lost=MappingProxyType(lost),
            off_cpu=self._wanted.off_cpu and sample.off_cpu,
        )

    def _rows(self, rows: Rows, paths: Mapping[int, str]) -> Rows:
        own = rows["comm"]
        processes = self._processes.names(rows["pid"], rows["tid"], own) if self._by_tid else own
        passing = np.ones(len(rows), dtype=bool)
        if not self._all:
            passing &= self._passing(rows, rows["errno"].astype(np.int64), (own, processes))
            passing &= self._belonging(rows, paths)
        if processes is not own and not self._wanted.threads:
            rows = rows.copy()
            rows["comm"] = processes
        return rows if passing.all() else rows[passing]

    def _calls_one_by_one(self, sample: Sample) -> dict[str, Any]:
        if not self._wanted.slow:
            none = np.zeros(0, dtype=EVENT)
            return {"events": none, "details": (), "in_flight": none, "in_flight_details": ()}
        ended, inside = self._slow(sample.events), self._slow(sample.in_flight, returned=False)
        return {
            "events": sample.events[ended],
            "details": tuple(compress(sample.details, ended.tolist())),
            "in_flight": sample.in_flight[inside],
            "in_flight_details": tuple(compress(sample.in_flight_details, inside.tolist())),
        }

    def _slow(self, events: Events, *, returned: bool = True) -> Mask:
        passing = np.ones(len(events), dtype=bool)
        if self._wanted.thresholds is not None:
            passing &= self._wanted.thresholds.reached(events)
        if not self._all:
            errno = self._errno(events) if returned else None
            passing &= self._passing(events, errno, (events["comm"],))
            if self._filters.ppids or self._filters.cgroups:
                passing &= np.isin(events["pid"], self._members)
        return passing

    def _passing(
        self,
        calls: npt.NDArray[Any],
        errno: Ints | None,
        names: Iterable[npt.NDArray[np.bytes_]],
    ) -> Mask:
        """Which rows or events pass by what both have.

        Args:
            calls: the rows or events.
            errno: of each, 0 for none; None: do not look at it.
            names: the names that each has: its process's, its thread's.
        """
        filters = self._filters
        passing = np.ones(len(calls), dtype=bool)
        for numbers, name in ((filters.pids, "pid"), (filters.tids, "tid")):
            if numbers:
                passing &= np.isin(calls[name], numbers)
        if filters.comms:
            passing &= np.any([np.isin(each, self._names) for each in names], axis=0)
        if len(self._only) or len(self._not):
            code = _code(calls["nr"], calls["abi"])
            if len(self._only):
                passing &= np.isin(code, self._only)
            passing &= ~np.isin(code, self._not)
        if errno is not None and filters.errnos:
            passing &= np.isin(errno, filters.errnos)
        elif errno is not None and filters.failures:
            passing &= errno > 0
        return passing

    def _belonging(self, rows: Rows, paths: Mapping[int, str]) -> Mask:
        """Which rows pass by parent and cgroup; remembers whose they are."""
        passing = np.ones(len(rows), dtype=bool)
        if not (self._filters.ppids or self._filters.cgroups):
            return passing
        if self._filters.ppids:
            passing &= np.isin(rows["ppid"], self._filters.ppids)
        if self._filters.cgroups:
            inside = [number for number, path in paths.items() if self._is_inside(path)]
            passing &= np.isin(rows["cgroup"], np.array(inside, dtype=np.uint64))
        others = np.setdiff1d(self._members, rows["pid"])
        self._members = np.union1d(others, rows["pid"][passing])
        return passing

    def _is_inside(self, path: str) -> bool:
        return any(
            path == wanted or path.startswith(wanted.rstrip("/") + "/") for wanted in self._cgroups
        )

    def _errno(self, events: Events) -> Ints:
        """What calls failed with, 0 for a success."""
        ret = events["ret"]
        failed = (ret < 0) & (ret >= -syscalls.MAX_ERRNO)
        failed &= ~np.isin(_code(events["nr"], events["abi"]), self._sigreturns)
        return np.where(failed, -ret, 0)


def _code(nr: npt.NDArray[np.int32], abi: npt.NDArray[np.uint16]) -> Ints:
    return nr.astype(np.int64) << 2 | abi


def _codes(numbers: Iterable[tuple[int, int]]) -> Ints:
    return np.array([nr << 2 | abi for nr, abi in numbers], dtype=np.int64)
