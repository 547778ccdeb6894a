"""Making many of the kernel's rows fewer, without losing a call."""

from __future__ import annotations

import numpy as np

from sysdash import columns
from sysdash.records import Rows


def merge(rows: Rows) -> Rows:
    """Add up rows of the same process, thread, call and errno; a row's CPU is not kept."""
    return columns.rows(columns.added_up([columns.columns(rows)]))


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
