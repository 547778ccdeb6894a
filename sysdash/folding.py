"""Making many of the kernel's rows fewer, without losing a call."""

from __future__ import annotations

import numpy as np

from sysdash.grouping import group, halves
from sysdash.records import ROW, Rows

_LOW_32 = np.uint64(2**32 - 1)
_32 = np.uint64(32)
_16 = np.uint64(16)


def merge(rows: Rows) -> Rows:
    """Add up rows of the same process, thread, call and errno; a row's CPU is not kept."""
    if not len(rows):
        return rows
    ids = rows["pid"].astype(np.uint64) << _32 | rows["tid"]
    calls = rows["nr"].view(np.uint32).astype(np.uint64) << _32
    calls |= rows["errno"].astype(np.uint64) << _16 | rows["abi"]
    order, firsts = group([ids, calls, *halves(rows["comm"])])
    merged = rows[order[firsts]]
    for name in ("count", "total_ns", "off_ns", "untimed"):
        merged[name] = np.add.reduceat(rows[name][order], firsts)
    merged["min_ns"] = np.minimum.reduceat(rows["min_ns"][order], firsts)
    merged["max_ns"] = np.maximum.reduceat(rows["max_ns"][order], firsts)
    merged["hist"] = np.add.reduceat(rows["hist"][order], firsts, axis=0)
    # 32 bits at a time, so that no sum of fewer than 2**32 rows overflows.
    low, high = rows["squares_low"][order], rows["squares_high"][order]
    lowest = np.add.reduceat(low & _LOW_32, firsts)
    middle = np.add.reduceat(low >> _32, firsts) + (lowest >> _32)
    merged["squares_low"] = middle << _32 | lowest & _LOW_32
    merged["squares_high"] = np.add.reduceat(high, firsts) + (middle >> _32)
    return merged


def without_processes(rows: Rows) -> Rows:
    """The same calls as those of pid 0, which stands for processes that there is no room for."""
    folded = rows.copy()
    for name in ("pid", "tid", "ppid", "cgroup"):
        folded[name] = 0
    folded["comm"] = b""
    return merge(folded)


def bounded(parts: list[Rows], most: int) -> list[Rows]:
    """The same calls in at most about ``most`` rows: merged, and where that does not do, folded."""
    if sum(map(len, parts)) <= most:
        return parts
    merged = merge(np.concatenate(parts))
    if len(merged) <= most // 2:
        return [merged]
    # The newest rows are most likely of processes that go on.
    kept = len(merged) - most // 4
    return [without_processes(merged[:kept]), merged[kept:]]


def no_rows() -> Rows:
    """None."""
    return np.empty(0, dtype=ROW)
