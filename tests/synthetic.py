"""Samples and snapshots made from numbers, through the same dtypes and functions as live ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sysdash import syscalls
from sysdash.buckets import BUCKETS, bucket_of
from sysdash.history import History
from sysdash.model import Snapshot, derive
from sysdash.records import (
    EVENT,
    EVENT_AT_LEAST,
    EVENT_EXAMPLE,
    EVENT_NO_ARGUMENTS,
    NO_DETAIL,
    ROW,
    Data,
    Detail,
    Events,
    File,
    Host,
    Rows,
    Sample,
)

START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
LOSSES = (
    *("calls", "threads", "missed", "unattributed"),
    *("slow_limit", "slow_ring", "stacks", "off_cpu", "switches"),
)
HOST = Host("web-3", 2, 0.41, 212, 0.006, 148_000_000)


def nr(name: str) -> int:
    """The native number of a syscall."""
    return next(number for number, abi in syscalls.numbers(name) if abi == syscalls.NATIVE)


@dataclass(frozen=True)
class Calls:
    """Some equal calls: ``count`` of them, each of ``latency_ns`` (None: not timed).

    ``off_ns``: the part of it that the caller was off the CPU.
    """

    name: str
    count: int
    latency_ns: int | None = 400
    pid: int = 1842
    comm: bytes = b"postgres"
    errno: int = 0
    abi: int = 0
    number: int | None = None
    off_ns: int = 0


def file(path: str, *, certain: bool = True, deleted: bool = False) -> File:
    """A regular file, as it was found behind a descriptor."""
    names = tuple(name.encode() for name in reversed(path.strip("/").split("/")))
    return File(
        ino=131, dev=8 << 20 | 1, mode=0o100644, names=names, certain=certain, deleted=deleted
    )


def detail(
    target: File | None = None, stack: Sequence[str] = (), data: bytes | None = None
) -> Detail:
    """What is known of a call; ``data`` is what its first pointer pointed to."""
    read = None if data is None else Data(data)
    return Detail((read, None), target, lambda: tuple(stack), tuple(stack))


@dataclass(frozen=True)
class Slow:
    """One slow call that ended ``ago_ms`` before its sample, or is in flight at its end.

    ``example``: it is not slow, but was asked for.
    """

    name: str
    duration_ns: int
    pid: int = 1842
    tid: int = 1845
    comm: bytes = b"postgres"
    ret: int = 8192
    args: tuple[int, ...] = (7, 0x7F3152A01000, 8192, 0, 0, 0)
    ago_ms: int = 10
    detail: Detail = NO_DETAIL
    at_least: bool = False
    example: bool = False


def rows(calls: Sequence[Calls]) -> Rows:
    """The kernel's rows for these calls, one each."""
    result = np.zeros(len(calls), dtype=ROW)
    for row, call in zip(result, calls, strict=True):
        row["nr"] = nr(call.name) if call.number is None else call.number
        row["abi"] = call.abi
        row["pid"] = row["tid"] = call.pid
        row["comm"] = call.comm
        row["errno"] = call.errno
        row["count"] = call.count
        if call.latency_ns is None:
            row["untimed"] = call.count
        else:
            total = call.count * call.latency_ns
            squares = total * call.latency_ns
            row["total_ns"] = total
            row["off_ns"] = call.count * call.off_ns
            row["min_ns"] = row["max_ns"] = call.latency_ns
            row["squares_low"], row["squares_high"] = squares % 2**64, squares >> 64
            row["hist"][bucket_of(call.latency_ns)] = call.count
    return result


def events(slow: Sequence[Slow], end_ns: int, *, returned: bool = True) -> Events:
    """The ring buffer's records for these slow calls."""
    result = np.zeros(len(slow), dtype=EVENT)
    for event, call in zip(result, slow, strict=True):
        event["end_ns"] = end_ns - (call.ago_ms * 1_000_000 if returned else 0)
        event["flags"] = (
            (call.at_least and EVENT_AT_LEAST)
            | (not call.args and EVENT_NO_ARGUMENTS)
            | (call.example and EVENT_EXAMPLE)
        )
        event["duration_ns"] = call.duration_ns
        event["ret"] = call.ret
        if call.args:
            event["args"] = call.args
        event["pid"], event["tid"] = call.pid, call.tid
        event["nr"] = nr(call.name)
        event["comm"] = call.comm
    return result


def sample(
    calls: Sequence[Calls] = (),
    slow: Sequence[Slow] = (),
    *,
    second: int = 1,
    interval_ns: int = SECOND_NS,
    lost: Mapping[str, int] | None = None,
    host: Host = HOST,
    in_flight: Sequence[Slow] = (),
    in_flight_more: int = 0,
    in_flight_known: bool = True,
    off_cpu: bool = False,
) -> Sample:
    """What one interval would collect; it ends ``second`` seconds after an arbitrary start."""
    mono_ns = second * SECOND_NS
    return Sample(
        time_ns=START_NS + mono_ns,
        mono_ns=mono_ns,
        interval_ns=interval_ns,
        rows=rows(calls),
        events=events(slow, mono_ns),
        lost=dict.fromkeys(LOSSES, 0) | dict(lost or {}),
        host=host,
        details=tuple(call.detail for call in slow),
        in_flight=events(in_flight, mono_ns, returned=False),
        in_flight_details=tuple(call.detail for call in in_flight),
        in_flight_more=in_flight_more,
        in_flight_known=in_flight_known,
        off_cpu=off_cpu,
    )


def snapshot(
    calls: Sequence[Calls] = (), slow: Sequence[Slow] = (), *, second: int = 1, **more: object
) -> Snapshot:
    """A sample, derived."""
    return derive(sample(calls, slow, second=second, **more))  # type: ignore[arg-type]


def history(*snapshots: Snapshot) -> History:
    """A history of these."""
    result = History()
    for one in snapshots:
        result.append(one)
    return result


def many(count: int, seed: int = 0) -> Rows:
    """Rows of ``count`` distinct (process, syscall) pairs with plausible random numbers."""
    random = np.random.default_rng(seed)
    result = np.zeros(count, dtype=ROW)
    kinds = 60
    index = np.arange(count)
    result["nr"] = index % kinds
    result["pid"] = result["tid"] = 1000 + index // kinds
    names = np.array([f"process-{i}".encode() for i in range(40)], dtype="S16")
    result["comm"] = names[(index // kinds) % len(names)]
    result["errno"] = np.where(random.random(count) < 0.1, 2, 0)
    buckets = random.integers(4, 60, size=(count, 8))
    for column in range(buckets.shape[1]):
        result["hist"][index, buckets[:, column]] += random.integers(1, 500, size=count).astype(
            np.uint32
        )
    calls = result["hist"].sum(axis=1)
    assert result["hist"].shape == (count, BUCKETS)
    result["count"] = calls
    result["total_ns"] = calls * random.integers(200, 100_000, size=count)
    result["min_ns"] = 100
    result["max_ns"] = random.integers(100_000, 900_000_000, size=count)
    result["squares_low"] = result["total_ns"] * 1000
    return result
