"""What the dashboard remembers: the newest snapshot, the counts behind sparklines, slow calls.

One thread appends, others read. Everything that is published is immutable and reachable from one
reference, :attr:`History.past`, which is replaced as a whole: readers need no lock, and whoever
keeps an old reference (a paused dashboard) keeps a consistent picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sysdash.model import Filter, SlowCall, Snapshot, Table

SyscallKey = tuple[int, int]
"""A syscall as (number, ABI code): what :class:`sysdash.model.Syscall` holds, cheap to look up."""


class Counts:
    """How often each (syscall, process) was called in one interval: a snapshot without its times.

    A snapshot of 10,000 rows takes 10 MB, nearly all of it histograms; its counts take 0.4 MB.
    """

    def __init__(self, time_ns: int, calls: Table) -> None:
        self.time_ns = time_ns
        self.interval_s = calls.interval_s
        self._nr = calls.nr.astype(np.int32)
        self._abi = calls.abi.astype(np.int32)
        self._pid = calls.pid.astype(np.int32)
        self._comm: npt.NDArray[np.bytes_] = calls.comm
        self._count = calls.count
        # The filter seldom changes and sparklines are drawn every interval: each interval is added
        # up once for a filter. Only the reading thread touches this.
        self._rates: tuple[Filter, Mapping[SyscallKey, float]] | None = None

    def rates(self, shown: Filter) -> Mapping[SyscallKey, float]:
        """Calls per second of every syscall that was called, for the calls that pass ``shown``."""
        if self._rates is None or self._rates[0] != shown:
            self._rates = (shown, self._add_up(shown))
        return self._rates[1]

    def _add_up(self, shown: Filter) -> Mapping[SyscallKey, float]:
        nr, abi, count = self._nr, self._abi, self._count
        if shown:
            passing = shown.passes(self._pid, self._comm)
            nr, abi, count = nr[passing], abi[passing], count[passing]
        if not len(count) or self.interval_s <= 0:
            return {}
        codes = (nr.astype(np.int64) << 2) | abi
        distinct, inverse = np.unique(codes, return_inverse=True)
        sums = np.bincount(inverse, weights=count) / self.interval_s
        return {
            (code >> 2, code & 3): rate
            for code, rate in zip(distinct.tolist(), sums.tolist(), strict=True)
        }


@dataclass(frozen=True)
class Past:
    """The history at one moment; never changed.

    Attributes:
        snapshot: the newest interval, whole.
        counts: the counts of the last intervals, oldest first; the last one is ``snapshot``'s.
        slow: the last slow calls, newest first.
    """

    snapshot: Snapshot
    counts: tuple[Counts, ...] = field(repr=False)
    slow: tuple[SlowCall, ...] = field(repr=False)

    def rates(self, shown: Filter, points: int) -> list[Mapping[SyscallKey, float]]:
        """Calls per second by syscall under a filter, in the last ``points`` intervals.

        Oldest first, and fewer than ``points`` while there are no more.
        """
        return [counts.rates(shown) for counts in self.counts[-points:]] if points > 0 else []


class History:
    """The last intervals and slow calls, bounded by number."""

    def __init__(self, keep_snapshots: int = 120, keep_slow: int = 500) -> None:
        """Keep nothing yet.

        Args:
            keep_snapshots: intervals whose counts are kept, at least 1.
            keep_slow: slow calls that are kept.
        """
        if keep_snapshots < 1 or keep_slow < 0:
            raise ValueError(
                "a history keeps at least one snapshot and no negative number of calls"
            )
        self._keep_snapshots = keep_snapshots
        self._keep_slow = keep_slow
        self._past: Past | None = None

    def append(self, snapshot: Snapshot) -> None:
        """Add the newest interval. Only one thread may call this."""
        before = self._past
        counts = before.counts if before else ()
        slow = before.slow if before else ()
        self._past = Past(
            snapshot=snapshot,
            counts=(*counts, Counts(snapshot.time_ns, snapshot.calls))[-self._keep_snapshots :],
            slow=(*reversed(snapshot.slow), *slow)[: self._keep_slow],
        )

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
