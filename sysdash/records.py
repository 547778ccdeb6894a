"""The records that the probe writes, as numpy dtypes, and the immutable sample made of them.

The C side is ``probes/sysdash.h``; the loader compares its sizes and offsets with the dtypes here
when it loads the program, so the two cannot drift apart unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        ("reserved", "<u4"),
        ("off_ns", "<u8"),
        ("reserved2", "<u4", 2),
        ("hist", "<u4", BUCKETS),
    ]
)
"""One row of the kernel: calls of one process, syscall, ABI and errno that ended on one CPU.

Times are nanoseconds. ``squares_low`` and ``squares_high`` are the halves of a 128-bit sum of
squares. ``count`` includes the ``untimed`` calls, whose start was not seen or that never return;
times and histogram have only the others. ``off_ns`` is the part of ``total_ns`` that the callers
were off the CPU, 0 where that is not measured.
"""

FILE = np.dtype(
    [
        ("ino", "<u8"),
        ("magic", "<u8"),
        ("dev", "<u4"),
        ("peer_pid", "<u4"),
        ("mode", "<u2"),
        ("family", "<u2"),
        ("type", "<u2"),
        ("protocol", "<u2"),
        ("local_port", "<u2"),
        ("remote_port", "<u2"),
        ("state", "u1"),
        ("flags", "u1"),
        ("reserved", "<u2"),
        ("local", "u1", 16),
        ("remote", "u1", 16),
    ]
)
"""What a file descriptor was when a call returned; ``mode`` is 0 where nothing is known.

``ino``, ``dev`` (as in the kernel: major << 20 | minor), ``magic`` (of the file system,
include/uapi/linux/magic.h) and ``mode`` are the inode's. The rest is a socket's: ports in host byte
order, addresses as in the packet, IPv4 in the first four bytes, ``state`` of TCP
(include/net/tcp_states.h). ``flags``: :data:`FILE_DELETED` and so on.
"""

FILE_DELETED, FILE_CUT = 1, 2
"""Bits of a file's ``flags``: it has no name any more; its path's first folders are missing."""

FILE_NAMES = 1024
"""Bytes of a file's names that are kept at the most."""

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
        ("exec_id", "<u4"),
        ("mm", "<u8"),
        ("ip", "<u8"),
        ("sp", "<u8"),
        ("bp", "<u8"),
        ("file", FILE),
        ("data_length", "<u2", 2),
        ("data_state", "u1", 2),
        ("path_length", "<u2"),
        ("frames", "<u2"),
        ("stack_length", "<u2"),
        ("reserved", "<u4"),
    ]
)
"""One slow call. ``end_ns`` is CLOCK_MONOTONIC at its return.

``mm`` and ``exec_id`` tell one address space of a process from the next; ``ip``, ``sp`` and ``bp``
are the registers with which it goes on. In the ring buffer, what has a length follows in the order
of the lengths: two pieces of the process's memory, the names of the file's path, the return
addresses of the stack (u64 each), a copy of the stack from ``sp`` on.
"""

DATA_NONE, DATA_WHOLE, DATA_CUT, DATA_UNREADABLE = range(4)
"""Values of ``data_state``: not asked for, all of it, the beginning of it, or none of it."""

EVENT_AT_LEAST, EVENT_NO_ARGUMENTS, EVENT_EXAMPLE = 1, 2, 4
"""Bits of an event's ``flags``: the call began before it was watched, so it took longer; its
``args`` are not known; it is not slow, but an example that was asked for."""

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
        ("example_nr", "<i4"),
        ("example_abi", "<u2"),
        ("example_errno", "<u2"),
        ("value_argument", "u1"),
        ("value_kind", "u1"),
        ("value_bits", "u1"),
        ("value_signed", "u1"),
        ("helper_pid", "<u4"),
        ("reserved", "<u4"),
        ("regs_at", "<u8"),
        ("block_min_ns", "<u8"),
        ("block_max_ns", "<u8"),
        ("errnos", "<u8", 64),
    ]
)
"""What the probe is asked to do; user space writes it while the probe runs."""

SYSCALL_CONFIG = np.dtype(
    [
        ("threshold_ns", "<u8"),
        ("drop", "u1"),
        ("waits", "u1"),
        ("fd", "u1"),
        ("reserved", "u1"),
        ("data", [("argument", "u1"), ("kind", "u1"), ("size", "<u2")], 2),
        ("reserved2", "<u4"),
    ]
)
"""What is asked of one syscall; the array of them is indexed ABI code * 1024 + number.

``fd`` and ``data`` are those of :class:`Reads`, 0 for nothing, else argument's index + 1."""

DATA_STRING, DATA_BYTES, DATA_SIZED, DATA_SIZED_AT = range(4)
"""Kinds of memory that is read: a string, ``size`` bytes, as many as argument ``size`` says, as
many as the 32-bit number says that argument ``size`` points to."""

FD_RESULT, FD_CWD = ARGS, ARGS + 1
"""In place of an argument's index: the descriptor that the call returns, the working directory."""


@dataclass(frozen=True, slots=True)
class DataRule:
    """What memory is read for a slow call.

    Attributes:
        argument: index of the argument that has its address.
        kind: one of :data:`DATA_STRING` and so on.
        size: what it means depends on ``kind``.
    """

    argument: int
    kind: int = DATA_STRING
    size: int = 0


@dataclass(frozen=True, slots=True)
class Reads:
    """What is looked up inside the kernel for a slow call.

    Attributes:
        fd: index of the argument that is a file descriptor or a folder's (AT_FDCWD stands for the
            working directory), or :data:`FD_RESULT` or :data:`FD_CWD`; None for none.
        data: up to two pieces of memory.
    """

    fd: int | None = None
    data: tuple[DataRule, ...] = ()


VALUE_NUMBER, VALUE_HISTOGRAM, VALUE_STRING = range(3)
"""How the values of an argument are counted: each by itself, by powers of two, strings."""

VALUE_BUCKETS = 129
"""Of a histogram: 0; from 1 on by powers of two; from 65 on the same of negative numbers."""

VALUE_BYTES = 128
"""Bytes of a string by which it is counted, with its NUL."""


@dataclass(frozen=True, slots=True)
class ValueRule:
    """Which value of the calls is counted.

    Attributes:
        argument: its index; :data:`ARGS` for the return value.
        kind: one of :data:`VALUE_NUMBER` and so on.
        bits: of a number, 32 or 64.
        signed: whether the number can be negative.
    """

    argument: int
    kind: int = VALUE_NUMBER
    bits: int = 64
    signed: bool = False


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
        ("examples", "<u8"),
        ("unvalued", "<u8"),
        ("unmeasured", "<u8"),
        ("unseen", "<u8"),
        ("unblocked", "<u8"),
        ("unwalked", "<u8"),
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

BLOCK_KEY = np.dtype(
    [
        ("ip", "<u8"),
        ("sp", "<u8"),
        ("bp", "<u8"),
        ("callers", "<u4"),
        ("kernel_stack", "<i4"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("nr", "<i4"),
        ("abi", "<u2"),
        ("state", "<u2"),
    ]
)
"""A place at which a thread is off the CPU inside a call; ``pid`` is 0 where there is none.

``callers`` tells ways through the program apart that ``ip``, ``sp`` and ``bp`` do not. In the ring
buffer, a place is an :data:`EVENT` with ``callers``, ``kernel_stack`` and ``state`` as arguments.
"""

BLOCK = np.dtype([("ns", "<u8"), ("count", "<u8")])
"""How long and how often threads were off the CPU at a place, since the start."""

SLEEPER = np.dtype([("woke_ns", "<u8"), ("returned", "<u8")])
"""A thread that slept inside a call before the probe was there: when it ran last (CLOCK_MONOTONIC),
0 if it has not, and whether the call has returned."""

AWAY = np.dtype([("left_ns", "<u8"), ("off_ns", "<u8"), ("key", BLOCK_KEY)])
"""A thread that is off the CPU since ``left_ns`` (CLOCK_MONOTONIC), if that is not 0."""

Rows = npt.NDArray[np.void]
"""A structured array of dtype :data:`ROW`."""

Events = npt.NDArray[np.void]
"""A structured array of dtype :data:`EVENT`."""


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a process's memory that a call was given the address of.

    Attributes:
        content: the bytes; of a string without its NUL.
        cut: there was more of it.
    """

    content: bytes
    cut: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """What a file descriptor was at the time of a call.

    Attributes:
        ino, dev, magic, mode: the inode's number, device (major << 20 | minor), file system's magic
            number, and ``st_mode``.
        names: the names on the way to it: the file's own first, then its folder's and so on, unsafe
            bytes; none for ``/``; for a unix socket its own address and its peer's, as in
            ``sun_path``, empty for none.
        deleted: it has no name any more.
        cut: the first folders of the path are not in ``names``.
        family, type, protocol, state: a socket's, as numbers.
        local, remote: (address, port) of an IP socket; None for others.
        peer_pid: process at the other end of a unix socket; 0 if that is not known.
        certain: it was looked up when the call returned, or in it; otherwise the descriptor was
            closed by then, and this is what it was when it was last seen.
    """

    ino: int = 0
    dev: int = 0
    magic: int = 0
    mode: int = 0
    names: tuple[bytes, ...] = ()
    deleted: bool = False
    cut: bool = False
    family: int = 0
    type: int = 0
    protocol: int = 0
    state: int = 0
    local: tuple[bytes, int] | None = None
    remote: tuple[bytes, int] | None = None
    peer_pid: int = 0
    certain: bool = True


def _no_frames() -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Detail:
    """What is known of one call beside its numbers.

    Attributes:
        data: what the first and second pointer argument that is read pointed to; None where there
            is none or it could not be read.
        file: what the file descriptor of the call was; None where it has none or nothing is known.
        stack: gives the frames, innermost first, symbolised (safe text) when it is first asked for,
            which takes time: kernel frames (if any) before the user's.
        kernel: of a call in flight, the kernel's frames alone, at no cost.
        held: bytes of memory that are kept for the stack.
    """

    data: tuple[Data | None, Data | None] = (None, None)
    file: File | None = None
    stack: Callable[[], tuple[str, ...]] = field(default=_no_frames, compare=False)
    kernel: tuple[str, ...] = field(default=(), compare=False)
    held: int = field(default=0, compare=False)


NO_DETAIL = Detail()


RUNNABLE, INTERRUPTIBLE, UNINTERRUPTIBLE = range(3)
"""Why a thread is off the CPU: another one has it; it sleeps and signals wake it; or none does."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A place of a thread's program at which it is off the CPU, inside a call.

    There is one object for each place, in all samples.

    Attributes:
        pid, tid: the thread.
        comm: its process's name, safe text.
        nr, abi: the call that it is inside of.
        state: :data:`RUNNABLE`, :data:`INTERRUPTIBLE` or :data:`UNINTERRUPTIBLE`.
        user: gives the frames of its program, innermost first, symbolised (safe text) when they are
            first asked for, which takes time; none where they are not known or not wanted.
        kernel: likewise, the frames of the kernel, from where it decided to wait.
        since_before: it has been off the CPU there since before the probe was there.
    """

    pid: int
    tid: int
    comm: str
    nr: int
    abi: int
    state: int
    user: Callable[[], tuple[str, ...]] = _no_frames
    kernel: Callable[[], tuple[str, ...]] = _no_frames
    since_before: bool = False


@dataclass(frozen=True, slots=True)
class BlockRule:
    """Which times off the CPU are counted by stack.

    Attributes:
        min_ns, max_ns: shorter and longer ones are not.
        user, kernel: whether the program's frames are looked up, and the kernel's; otherwise all
            stacks are taken for one.
    """

    min_ns: int = 1000
    max_ns: int = 2**64 - 1
    user: bool = True
    kernel: bool = True


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
        details: what else is known of each of ``events``; empty where nothing is.
        in_flight: calls that have taken longer than their threshold and have not returned, dtype
            :data:`EVENT`, the longest first; ``end_ns`` is when they were looked at and ``ret``
            means nothing. Those beyond a bound are missing, and counted in ``in_flight_more``.
        values: how many calls had each value, where a :class:`ValueRule` asks for it: by number, by
            number of the histogram's bucket, or by string (unsafe bytes).
        blocks: where :class:`BlockRule` asks for it, the times off the CPU that ended in the
            interval: at each place how long altogether, in ns, and how many there were.
        blocked: the threads that are off the CPU at the interval's end, and how long they have been
            so far, in ns; of those that were before collecting began, since then.
        off_cpu: whether the rows have ``off_ns``.
        in_flight_details: likewise, of ``in_flight``.
        in_flight_more: calls in flight that are not in ``in_flight``.
        in_flight_known: whether there are others than those; not where filters ask for errors.
        in_flight_unreadable: threads that may not be looked into, so that calls that they began
            before the probe was there are not among them.
        lost: every way in which data can be missing, with its count *in this interval*.
        lost_before: the same of all intervals before it; nothing where they are not known.
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
    details: tuple[Detail, ...] = ()
    in_flight: Events = field(default_factory=lambda: np.zeros(0, dtype=EVENT))
    in_flight_details: tuple[Detail, ...] = ()
    in_flight_more: int = 0
    in_flight_known: bool = True
    values: Mapping[int | bytes, int] = field(default_factory=lambda: MappingProxyType({}))
    blocks: Mapping[Block, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))
    blocked: Mapping[Block, int] = field(default_factory=lambda: MappingProxyType({}))
    off_cpu: bool = False
    in_flight_unreadable: int = 0
    lost_before: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
