"""The calls of a piece of time, added up in blocks of it, in memory that is bounded. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sysdash.buckets import BUCKETS
from sysdash.grouping import group, halves
from sysdash.model import Floats, Ints, Table
from sysdash.timeline import Window

BLOCKS = 32
"""Blocks that a piece of time is divided into at the most, and half of it where there is enough."""

MOST_ROWS = 10_000
"""Rows that are kept of each block: those with the most calls."""

_PENDING_ROWS, _PENDING_PARTS = 20_000, 500
"""New rows, and intervals of few rows, that are waited for before they are added up."""

KEY_COLUMNS = ("nr", "abi", "pid", "tid", "errno", "cgroup", "comm")
"""The columns of :class:`Sums` that can be keys."""

SUM_COLUMNS = ("count", "errors", "timed", "total_ns", "off_ns", "squares")
"""The columns of :class:`Sums` that are added up."""

LARGEST = 2**61
"""What a sum is no larger than, so that two of them can be added up in 64 bits."""

NO_MIN = np.iinfo(np.int64).max
"""Stands for the shortest of no calls while others are looked at."""


@dataclass(frozen=True)
class Sums:
    """Calls by key, as in :class:`sysdash.model.Table`, with histograms of little room.

    Attributes:
        row, bucket, calls: which bucket of which row has how many calls, where it has some.
    """

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
    squares: Floats
    min_ns: Ints
    max_ns: Ints
    row: npt.NDArray[np.int32]
    bucket: npt.NDArray[np.uint8]
    calls: Ints

    def __len__(self) -> int:
        return len(self.count)


_COLUMNS = (*KEY_COLUMNS, *SUM_COLUMNS, "min_ns", "max_ns")


@dataclass(frozen=True)
class Block:
    """The calls of some intervals that follow each other."""

    seconds: float
    intervals: int
    sums: Sums


class Tally:
    """Adds up the intervals of a piece of time, in up to 32 blocks of as many intervals each.

    Its memory does not grow with the time: when there are too many blocks, each two become one.

    Attributes:
        by: what calls are grouped by, of :data:`sysdash.model.KEYS`.
        intervals: how many there were.
        seconds: how long they were together.
        window: from the beginning of the first to the end of the last; None before there is one.
        left_out: calls of rows that there was no room for.
    """

    def __init__(self, by: Sequence[str]) -> None:
        self.by = tuple(by)
        self.intervals = 0
        self.seconds = 0.0
        self.window: Window | None = None
        self.left_out = 0
        self._blocks: list[Block] = []
        self._per_block = 1
        self._parts: list[Sums] = []
        self._rows = 0
        self._open = 0
        self._open_seconds = 0.0

    def add(self, calls: Table, time_ns: int) -> None:
        """Add an interval; they come in the order of their time.

        Args:
            calls: its calls, grouped by at least :attr:`by`.
            time_ns: wall clock at its end.
        """
        begin_ns = time_ns - round(calls.interval_s * 1e9)
        self.window = Window(self.window.begin_ns if self.window else begin_ns, time_ns)
        self.intervals += 1
        self.seconds += calls.interval_s
        part = _sums_of(calls)
        self._parts.append(part)
        self._rows += len(part)
        self._open += 1
        self._open_seconds += calls.interval_s
        if self._open == self._per_block:
            self._close()
        elif self._rows > _PENDING_ROWS or len(self._parts) > _PENDING_PARTS:
            self._parts = [self._added_up()]
            self._rows = 0

    def _added_up(self) -> Sums:
        return self._kept(merged(self._parts, self.by)[0])

    def _kept(self, sums: Sums) -> Sums:
        kept, _ = busiest(sums)
        self.left_out += calls_in(sums) - calls_in(kept)
        return kept

    def _close(self) -> None:
        if len(self._blocks) == BLOCKS:
            pairs = zip(self._blocks[::2], self._blocks[1::2], strict=True)
            self._blocks = [_joined(*pair, self._kept(_both(*pair, self.by))) for pair in pairs]
            self._per_block *= 2
            if self._open < self._per_block:
                return  # what was a whole block is half a one from now on
        self._blocks.append(Block(self._open_seconds, self._open, self._added_up()))
        self._parts, self._rows, self._open, self._open_seconds = [], 0, 0, 0.0

    def blocks(self) -> list[Block]:
        """The blocks so far; the last one may be half as long as the others, or nearly twice."""
        if not self._open:
            return list(self._blocks)
        self._parts, self._rows = [self._added_up()], 0
        last = Block(self._open_seconds, self._open, self._parts[0])
        if len(self._blocks) == BLOCKS or (self._blocks and 2 * self._open < self._per_block):
            pair = self._blocks[-1], last
            # Without counting what is left out: it may be looked at again.
            return [*self._blocks[:-1], _joined(*pair, busiest(_both(*pair, self.by))[0])]
        return [*self._blocks, last]


def _both(first: Block, second: Block, by: Sequence[str]) -> Sums:
    return merged([first.sums, second.sums], by)[0]


def _joined(first: Block, second: Block, sums: Sums) -> Block:
    return Block(first.seconds + second.seconds, first.intervals + second.intervals, sums)


def _sums_of(calls: Table) -> Sums:
    parts = calls.histograms
    source = parts.source[parts.members].reshape(-1)
    # Of one dimension and of truth values it is many times faster.
    used = np.flatnonzero(source != 0)
    at, bucket = np.divmod(used, BUCKETS)
    of_row = np.repeat(np.arange(len(calls)), np.diff(parts.starts))
    return Sums(
        **{name: getattr(calls, name) for name in _COLUMNS},
        row=of_row[at].astype(np.int32),
        bucket=bucket.astype(np.uint8),
        calls=source[used].astype(np.int64),
    )


def _words(sums: Sums, by: Sequence[str]) -> list[npt.NDArray[np.uint64]]:
    words: list[npt.NDArray[np.uint64]] = []
    for key in by:
        if key == "syscall":
            words.append(((sums.nr << 2) | sums.abi).view(np.uint64))
        elif key == "comm":
            words += halves(sums.comm)
        else:
            words.append(np.ascontiguousarray(getattr(sums, key)).view(np.uint64))
    return words or [np.zeros(len(sums), dtype=np.uint64)]


def merged(parts: Sequence[Sums], by: Sequence[str]) -> tuple[Sums, Ints]:
    """One row for each key, and for each row of all parts, one after the other, which it is in."""
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    begins = np.cumsum([0, *map(len, parts)])[:-1]
    row = np.concatenate([part.row + begin for part, begin in zip(parts, begins, strict=True)])
    bucket = np.concatenate([part.bucket for part in parts])
    calls = np.concatenate([part.calls for part in parts])
    whole = Sums(**columns, row=row.astype(np.int32), bucket=bucket, calls=calls)
    if not len(whole):
        return whole, np.zeros(0, dtype=np.int64)
    order, firsts = group(_words(whole, by))
    number = np.empty(len(whole), dtype=np.int64)
    number[order] = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(order))))
    sums = {name: columns[name][order[firsts]] for name in KEY_COLUMNS}
    for name in SUM_COLUMNS:
        sums[name] = _summed(columns[name][order], firsts)
    smallest = np.where(whole.timed > 0, whole.min_ns, NO_MIN)[order]
    smallest = np.minimum.reduceat(smallest, firsts)
    sums["min_ns"] = np.where(smallest == NO_MIN, 0, smallest)
    sums["max_ns"] = np.maximum.reduceat(whole.max_ns[order], firsts)
    # As floats, in which counts below 2^53 are exact.
    histograms = np.bincount(number[row] * BUCKETS + bucket, calls)
    used = np.flatnonzero(histograms)
    return (
        Sums(
            **sums,
            row=(used // BUCKETS).astype(np.int32),
            bucket=(used % BUCKETS).astype(np.uint8),
            calls=histograms[used].astype(np.int64),
        ),
        number,
    )


def _summed(values: Ints | Floats, firsts: Ints) -> Ints | Floats:
    """Sums of runs, those of whole numbers no larger than :data:`LARGEST`."""
    result = np.add.reduceat(values, firsts)
    if values.dtype == np.float64:
        return np.asarray(result)
    # A recording may have been made to overflow them.
    nearly = np.add.reduceat(values.astype(np.float64), firsts)
    return np.where(nearly > LARGEST, LARGEST, result)


def busiest(sums: Sums) -> tuple[Sums, Ints]:
    """The rows with the most calls, as many as are kept, and where each row is now, or -1."""
    if len(sums) <= MOST_ROWS:
        return sums, np.arange(len(sums))
    kept = np.sort(np.argsort(-sums.count, kind="stable")[:MOST_ROWS])
    place = np.full(len(sums), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    row = place[sums.row].astype(np.int32)
    mine = row >= 0
    columns = {name: getattr(sums, name)[kept] for name in _COLUMNS}
    return Sums(**columns, row=row[mine], bucket=sums.bucket[mine], calls=sums.calls[mine]), place


def without_histograms(sums: Sums) -> Sums:
    """The same with empty histograms."""
    return replace(sums, row=sums.row[:0], bucket=sums.bucket[:0], calls=sums.calls[:0])


def calls_in(sums: Sums) -> int:
    """All calls; exact below 2^53."""
    return int(sums.count.sum(dtype=np.float64))
