"""The records that the probe writes, as numpy dtypes, and the immutable sample made of them.

The C side is ``probes/sysdash.h``; the loader compares its sizes and offsets with the dtypes here
when it loads the program, so the two cannot drift apart unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from sysdash.buckets import BUCKETS

COMM_LEN = 16
"""Bytes of a process name in the kernel (TASK_COMM_LEN)."""

ARGS = 6
"""Arguments a system call can have."""

SYSCALLS = 1024
"""System calls that can have a threshold or be filtered have numbers below this, in each ABI."""

ABI_CODES = {"NATIVE": 0, "IA32": 1, "X32": 2}
"""The tables that a number can belong to, as in :mod:`sysdash.syscalls`."""

ABIS = len(ABI_CODES)

OTHER_NR = -(2**31)
"""Stands for numbers that no table has, where there are too many of them to tell apart."""

ROW = np.dtype(
    [
        ("count", "<u8"),
        ("total_ns", "<u8"),
        ("min_ns", "<u8"),
        ("max_ns", "<u8"),
        ("squares_low", "<u8"),
        ("squares_high", "<u8"),
        ("key", "<u8"),
        ("cgroup", "<u8"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("nr", "<i4"),
        ("errno", "<u2"),
        ("abi", "<u2"),
        ("comm", f"S{COMM_LEN}"),
        ("untimed", "<u8"),
        ("ppid", "<u4"),
        ("reserved", "<u4", 5),
        ("hist", "<u4", BUCKETS),
    ]
)
"""One row of the kernel: calls of one process, syscall, ABI and errno that ended on one CPU.

Times are nanoseconds. ``squares_low`` and ``squares_high`` are the halves of a 128-bit sum of
squares. ``count`` includes the ``untimed`` calls, whose start was not seen or that never return;
times and histogram have only the others.
"""

EVENT = np.dtype(
    [
        ("end_ns", "<u8"),
        ("duration_ns", "<u8"),
        ("ret", "<i8"),
        ("args", "<u8", ARGS),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("nr", "<i4"),
        ("abi", "<u2"),
        ("cpu", "<u2"),
        ("comm", f"S{COMM_LEN}"),
        ("flags", "<u4"),
        ("reserved", "<u4"),
    ]
)
"""One slow call. ``end_ns`` is CLOCK_MONOTONIC at its return."""

CONFIG = np.dtype(
    [
        ("epoch", "<u8"),
        ("slow_min_ns", "<u8"),
        ("flags", "<u4"),
        ("self_pid", "<u4"),
        ("pid_ns", "<u4"),
        ("cgroups", "<u4"),
        ("slow_limit", "<u4", 2),
        ("command", "<u4"),
        ("reserved", "<u4"),
        ("errnos", "<u8", 64),
    ]
)
"""What the probe is asked to do; user space writes it while the probe runs."""

SYSCALL_CONFIG = np.dtype([("threshold_ns", "<u8"), ("drop", "<u4"), ("waits", "<u4")])
"""What is asked of one syscall; the array of them is indexed ABI code * 1024 + number."""

CPU = np.dtype(
    [
        ("used", "<u4", 2),
        ("lost", "<u8"),
        ("limited", "<u8"),
        ("ring_full", "<u8"),
        ("window_ns", "<u8"),
        ("window_calls", "<u8", 2),
        ("segment", "<u4"),
        ("odd", "<u4", 2),
        ("unused", "<u4"),
        ("unfollowed", "<u8"),
        ("reserved", "<u4", 12),
    ]
)
"""What one CPU counts: rows in use in each bank, losses since the start; and where its rows are."""

THREAD = np.dtype(
    [
        ("regs", "<u8"),
        ("start_ns", "<u8"),
        ("nr", "<i4"),
        ("abi", "<u2"),
        ("skip", "<u2"),
        ("epoch", "<u4"),
        ("slot", "<u4"),
        (
            "who",
            [
                ("pid", "<u4"),
                ("tid", "<u4"),
                ("ppid", "<u4"),
                ("unused", "<u4"),
                ("comm", f"S{COMM_LEN}"),
            ],
        ),
        ("cache", [("tag", "<u8"), ("row", "<u4"), ("unused", "<u4")], 16),
    ]
)
"""What one thread is doing; ``start_ns`` is 0 outside of calls."""

Rows = npt.NDArray[np.void]
"""A structured array of dtype :data:`ROW`."""

Events = npt.NDArray[np.void]
"""A structured array of dtype :data:`EVENT`."""


@dataclass(frozen=True, slots=True)
class Host:
    """What the machine and sysdash itself did during a sample's interval.

    Attributes:
        name: the host's name.
        cpus: CPUs online.
        kernel_cpu: CPU time spent in the kernel, in CPUs (1.0 is one CPU all the time).
        processes: processes that exist at the sample's end.
        self_cpu: CPU time of sysdash, in CPUs.
        self_bytes: resident memory of sysdash.
    """

    name: str = ""
    cpus: int = 1
    kernel_cpu: float = 0.0
    processes: int = 0
    self_cpu: float = 0.0
    self_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything that was collected in one interval; never changed after it is made.

    Attributes:
        time_ns: wall clock (Unix time) at the end of the interval.
        mono_ns: CLOCK_MONOTONIC at the same moment.
        interval_ns: length of the interval.
        rows: the kernel's rows, dtype :data:`ROW`; several may have the same key (one per CPU).
        events: slow calls, dtype :data:`EVENT`, in the order in which they ended.
        lost: every way in which data can be missing, with its count *in this interval*.
        host: the machine and sysdash itself.
        cgroups: paths of cgroups by their ids, where they were asked for and are known: safe text,
            below the hierarchy's mount, as in ``/proc/PID/cgroup``.
    """

    time_ns: int
    mono_ns: int
    interval_ns: int
    rows: Rows
    events: Events
    lost: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    host: Host = field(default_factory=Host)
    cgroups: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
