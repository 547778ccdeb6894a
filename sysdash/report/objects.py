"""Aggregates as objects for JSON, schema ``sysdash.aggregate/1``."""

from __future__ import annotations

import numpy as np

from sysdash import syscalls
from sysdash.aggregates import Aggregate
from sysdash.buckets import EDGES_NS, OVER
from sysdash.model import Ints, Row, Syscall
from sysdash.report.keys import key_text

SCHEMA = "sysdash.aggregate/1"

_ABIS = {syscalls.IA32: "ia32", syscalls.X32: "x32"}


def aggregate_object(
    aggregate: Aggregate, *, top: int | None, sort: str, histogram: bool = False
) -> dict[str, object]:
    """An interval as what :func:`json.dumps` makes one line of.

    Args:
        aggregate: the interval.
        top: rows at the most; None for all.
        sort: their order, one of :data:`sysdash.limits.SORTS`.
        histogram: whether each row has its latencies' histogram.
    """
    calls = aggregate.calls
    rows = calls.each(calls.order(sort)[:top])
    return {
        "schema": SCHEMA,
        "time": utc(aggregate.time_ns),
        "interval_s": round(aggregate.interval_s, 9),
        "by": list(calls.by),
        "rows": [_row(row, aggregate, histogram=histogram) for row in rows],
        "lost": dict(aggregate.lost),
    }


def utc(time_ns: int) -> str:
    """A wall-clock time in ns since 1970 as RFC 3339 in UTC, to the millisecond."""
    return f"{np.datetime64(time_ns // 1_000_000, 'ms')}Z"


def syscall_keys(syscall: Syscall) -> dict[str, object]:
    """The name of a system call, and of its table where that is not the native one."""
    nr, abi = syscall.nr, syscall.abi
    name: dict[str, object] = {"syscall": syscalls.name(nr, abi) or syscalls.unknown(nr)}
    return name if abi == syscalls.NATIVE else {**name, "abi": _ABIS[abi]}


def _row(row: Row, aggregate: Aggregate, *, histogram: bool) -> dict[str, object]:
    result: dict[str, object] = {}
    for key in aggregate.calls.by:
        result |= _key(row, key, aggregate)
    result |= {"count": row.count, "rate": round(row.rate, 6), "errors": row.errors}
    if aggregate.timed:
        result |= _times(row)
        if aggregate.off_cpu:
            result["off_cpu_ns"] = row.off_ns
        if histogram:
            result["histogram"] = _histogram(row.hist)
    return result


def _key(row: Row, key: str, aggregate: Aggregate) -> dict[str, object]:
    if key in ("pid", "tid"):
        return {key: getattr(row, key)}
    if key == "errno" and not row.errno:
        return {key: None}
    if key == "syscall" and row.syscall is not None:
        return syscall_keys(row.syscall)
    return {key: key_text(row, key, aggregate.cgroups)}


def _times(row: Row) -> dict[str, object]:
    """The times of a row; of calls none of which was timed, only their sum is known: none."""
    timed = row.timed > 0
    return {
        "total_ns": row.total_ns,
        "mean_ns": round(row.mean_ns, 1) if timed else None,
        "min_ns": row.min_ns if timed else None,
        "max_ns": row.max_ns if timed else None,
        "stddev_pct": round(row.stddev_pct, 3) if timed else None,
        "p50_ns": round(row.p50_ns) if timed else None,
        "p90_ns": round(row.p90_ns) if timed else None,
        "p99_ns": round(row.p99_ns) if timed else None,
    }


def _histogram(hist: Ints) -> list[list[int | None]]:
    """``[low_ns, high_ns, count]`` of each bucket that has calls; the last one has no upper end."""
    return [
        [int(EDGES_NS[i]), int(EDGES_NS[i + 1]) if i < OVER else None, int(hist[i])]
        for i in np.flatnonzero(hist).tolist()
    ]
