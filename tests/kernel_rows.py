"""Rows of the kernel, made from the calls that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sysdash.buckets import BUCKETS, bucket_of
from sysdash.records import ROW, Rows


@dataclass(frozen=True)
class Calls:
    """The calls of one row of the kernel."""

    nr: int = 0
    abi: int = 0
    pid: int = 1
    tid: int = 0
    comm: bytes = b"a"
    cgroup: int = 1
    errno: int = 0
    latencies: tuple[int, ...] = (100,)
    untimed: int = 0
    off_ns: int = 0

    @property
    def count(self) -> int:
        return len(self.latencies) + self.untimed


def rows_of(calls: Sequence[Calls]) -> Rows:
    """What the probe would have in its rows; those without a time have its starting minimum."""
    rows = np.zeros(len(calls), dtype=ROW)
    for row, call in zip(rows, calls, strict=True):
        for name in (
            "nr",
            "abi",
            "pid",
            "tid",
            "comm",
            "cgroup",
            "errno",
            "count",
            "untimed",
            "off_ns",
        ):
            row[name] = getattr(call, name)
        row["min_ns"] = min(call.latencies, default=2**64 - 1)
        row["max_ns"] = max(call.latencies, default=0)
        row["total_ns"] = sum(call.latencies)
        squares = sum(latency * latency for latency in call.latencies)
        row["squares_low"], row["squares_high"] = squares % 2**64, squares >> 64
        row["hist"] = np.bincount(
            [bucket_of(latency) for latency in call.latencies], minlength=BUCKETS
        )
    return rows


@dataclass
class Group:
    """What a row of several of them should have, added up in plain Python."""

    count: int = 0
    errors: int = 0
    latencies: list[int] = field(default_factory=list)

    def add(self, calls: Calls) -> None:
        self.count += calls.count
        self.errors += calls.count if calls.errno else 0
        self.latencies += calls.latencies
