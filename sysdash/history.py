"""What the dashboard remembers: the newest snapshot, the counts behind sparklines, slow calls.

One thread appends, others read. Everything that is published is immutable and reachable from one
reference, :attr:`History.past`, which is replaced as a whole: readers need no lock, and whoever
keeps an old reference (a paused dashboard) keeps a consistent picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from sysdash.grouping import Words, group, halves
from sysdash.model import Filter, SlowCall, Snapshot, Table

SyscallKey = tuple[int, int]
"""A syscall as (number, ABI code): what :class:`sysdash.model.Syscall` holds, cheap to look up."""

Ints = npt.NDArray[np.int64]

_SYSCALL_BYTES = 250
"""What a key and a rate of one syscall take as Python objects, measured with CPython 3.11."""


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
        verdicts = Verdicts(shown)
        chosen = self.counts[-points:] if points > 0 else ()
        return [counts.rates(shown, verdicts) for counts in chosen]


class History:
    """The last intervals and slow calls, bounded by number and, for the intervals, by memory."""

    def __init__(
        self, keep_snapshots: int = 120, keep_slow: int = 500, max_bytes: int = 64_000_000
    ) -> None:
        """Keep nothing yet.

        Args:
            keep_snapshots: intervals whose counts are kept, at least 1.
            keep_slow: slow calls that are kept.
            max_bytes: memory for the counts, which are fewer intervals where many processes make
                many different calls. The last interval is kept whatever it takes.
        """
        if keep_snapshots < 1 or keep_slow < 0:
            raise ValueError(
                "a history keeps at least one snapshot and no negative number of calls"
            )
        self._keep_snapshots = keep_snapshots
        self._keep_slow = keep_slow
        self._max_bytes = max_bytes
        self._past: Past | None = None

    def append(self, snapshot: Snapshot) -> None:
        """Add the newest interval. Only one thread may call this."""
        before = self._past
        counts = before.counts if before else ()
        slow = before.slow if before else ()
        self._past = Past(
            snapshot=snapshot,
            counts=self._kept((*counts, Counts(snapshot.time_ns, snapshot.calls))),
            slow=(*reversed(snapshot.slow), *slow)[: self._keep_slow],
        )

    def _kept(self, counts: tuple[Counts, ...]) -> tuple[Counts, ...]:
        newest_first = counts[: -self._keep_snapshots - 1 : -1]
        sizes = accumulate(each.size for each in newest_first)
        fitting = sum(size <= self._max_bytes for size in sizes)
        return counts[-max(fitting, 1) :]

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
