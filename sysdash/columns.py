"""Rows as columns, with histograms of which only the buckets that have calls are there.

Of a row's 640 bytes most are zeros. This form is for keeping many intervals and adding them up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sysdash.buckets import BUCKETS
from sysdash.grouping import group, halves
from sysdash.records import ROW, Rows

Ints = npt.NDArray[np.int64]

KEYS = ("cgroup", "pid", "tid", "nr", "errno", "abi", "comm", "ppid")
"""Columns that say whose calls a row's are, and which."""

NAMES = (
    *KEYS,
    *("count", "total_ns", "off_ns", "untimed", "min_ns", "max_ns", "squares_low", "squares_high"),
)
"""The columns; all that a row has but its histogram, and what only the probe needs."""

_SUMS = ("count", "total_ns", "off_ns", "untimed")
_LOW_32 = np.uint64(2**32 - 1)
_16, _32 = np.uint64(16), np.uint64(32)
_MOST = 2**62
_NO_MIN = np.uint64(2**64 - 1)


@dataclass(frozen=True, eq=False)
class Columns:
    """Rows of the kernel.

    Attributes:
        of: the columns by :data:`NAMES`, of the dtypes that they have in
            :data:`sysdash.records.ROW`, shape (n,).
        row, bucket, calls: the buckets that have calls: of which row, which bucket, how many
            (uint64); by row and bucket, shape (k,).
    """

    of: Mapping[str, npt.NDArray[Any]]
    row: Ints
    bucket: Ints
    calls: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.of["count"])


def columns(rows: Rows) -> Columns:
    """The same rows as columns."""
    hist = np.ascontiguousarray(rows["hist"]).reshape(-1)
    # Of truth values it is several times faster.
    at = np.flatnonzero(hist != 0)
    row, bucket = np.divmod(at, BUCKETS)
    return Columns({name: rows[name] for name in NAMES}, row, bucket, hist[at].astype(np.uint64))


def rows(stored: Columns) -> Rows:
    """Columns as rows again.

    Raises:
        OverflowError: a bucket has more calls than a row has room for.
    """
    result = np.zeros(len(stored), dtype=ROW)
    for name in NAMES:
        result[name] = stored.of[name]
    if len(stored.calls) and int(stored.calls.max()) > np.iinfo(np.uint32).max:
        raise OverflowError("more calls in a bucket than 32 bits can count")
    result["hist"][stored.row, stored.bucket] = stored.calls
    return result


def added_up(parts: Sequence[Columns]) -> Columns:
    """One row for each process, thread, call and errno of all parts; nothing is lost."""
    together = _one_after_the_other(parts)
    if not len(together):
        return together
    of = together.of
    ids = of["pid"].astype(np.uint64) << _32 | of["tid"]
    calls = of["nr"].view(np.uint32).astype(np.uint64) << _32
    calls |= of["errno"].astype(np.uint64) << _16 | of["abi"]
    order, firsts = group([ids, calls, *halves(of["comm"])])
    merged = {name: of[name][order[firsts]] for name in KEYS}
    for name in _SUMS:
        merged[name] = _sums(of[name][order], firsts)
    timed = of["untimed"] < of["count"]
    shortest = np.where(timed, of["min_ns"], _NO_MIN)
    merged["min_ns"] = np.minimum.reduceat(shortest[order], firsts)
    merged["max_ns"] = np.maximum.reduceat(of["max_ns"][order], firsts)
    low, high = of["squares_low"][order], of["squares_high"][order]
    merged["squares_low"], merged["squares_high"] = sum_128(low, high, firsts)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(order))))
    return Columns(merged, *_buckets(number[together.row], together.bucket, together.calls))


def selected(stored: Columns, nr: int, abi: int) -> Columns:
    """The rows of one syscall, by its number and ABI code."""
    mask = (stored.of["nr"] == nr) & (stored.of["abi"] == abi)
    number = np.cumsum(mask) - 1
    buckets = mask[stored.row]
    return Columns(
        {name: column[mask] for name, column in stored.of.items()},
        number[stored.row[buckets]],
        stored.bucket[buckets],
        stored.calls[buckets],
    )


def bounded(stored: Columns, most: int) -> tuple[Columns, int]:
    """The same calls in at most about ``most`` rows, and how many have lost their process for it.

    Those of the rows with the fewest calls become calls of pid 0, without a name.
    """
    if len(stored) <= most:
        return stored, 0
    order = np.argsort(-stored.of["count"].astype(np.int64), kind="stable")
    # Not just as many as fit, or it would be to do again at once.
    rare = order[most * 9 // 10 :]
    of = dict(stored.of)
    for name in ("cgroup", "pid", "tid", "ppid", "comm"):
        of[name] = of[name].copy()
        of[name][rare] = b"" if name == "comm" else 0
    known = (stored.of["pid"][rare] != 0) | (stored.of["comm"][rare] != b"")
    folded = Columns(of, stored.row, stored.bucket, stored.calls)
    return added_up([folded]), int(stored.of["count"][rare][known].sum())


def histograms(stored: Columns) -> Ints:
    """The histograms, shape (n, BUCKETS), int64."""
    whole = np.zeros((len(stored), BUCKETS), dtype=np.int64)
    whole[stored.row, stored.bucket] = stored.calls
    return whole


def without_histograms(stored: Columns) -> Columns:
    """The same rows with empty histograms."""
    nothing = np.zeros(0, dtype=np.int64)
    return Columns(stored.of, nothing, nothing, nothing.astype(np.uint64))


def sum_128(
    low: npt.NDArray[np.uint64], high: npt.NDArray[np.uint64], firsts: Ints
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Sums of runs of 128-bit numbers, each in two halves; ``firsts``: where the runs begin."""
    # 32 bits at a time, so that no sum of fewer than 2**32 rows overflows.
    lowest = np.add.reduceat(low & _LOW_32, firsts)
    middle = np.add.reduceat(low >> _32, firsts) + (lowest >> _32)
    sums = np.add.reduceat(high, firsts) + (middle >> _32)
    return middle << _32 | lowest & _LOW_32, sums


def _one_after_the_other(parts: Sequence[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *map(len, parts)])
    empty: list[npt.NDArray[Any]] = [np.zeros(0, dtype=np.int64)]
    return Columns(
        {
            name: np.concatenate([np.zeros(0, dtype=ROW[name]), *(p.of[name] for p in parts)])
            for name in NAMES
        },
        np.concatenate([*empty, *(p.row + s for p, s in zip(parts, starts, strict=False))]),
        np.concatenate([*empty, *(p.bucket for p in parts)]),
        np.concatenate([np.zeros(0, dtype=np.uint64), *(p.calls for p in parts)]),
    )


def _sums(values: npt.NDArray[np.uint64], firsts: Ints) -> npt.NDArray[np.uint64]:
    """Sums of runs; those that have no room in 63 bits are as large as there is room for."""
    sums = np.add.reduceat(values, firsts)
    if float(values.sum(dtype=np.float64)) < _MOST:
        return sums
    rough = np.add.reduceat(values.astype(np.float64), firsts)
    return np.where(rough < _MOST, sums, np.uint64(_MOST))


def _buckets(
    row: Ints, bucket: Ints, calls: npt.NDArray[np.uint64]
) -> tuple[Ints, Ints, npt.NDArray[np.uint64]]:
    """Buckets that are there several times become one."""
    if not len(row):
        return row, bucket, calls
    places = row * BUCKETS + bucket
    order = np.argsort(places, kind="stable")
    places = places[order]
    firsts = np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1])))
    return (
        *np.divmod(places[firsts], BUCKETS),
        _sums(calls[order], firsts),
    )
