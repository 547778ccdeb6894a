"""What the probe is compiled with: sizes for this machine, offsets of this kernel."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sysdash import limits
from sysdash.buckets import BUCKETS
from sysdash.errors import CannotCollect
from sysdash.probes import bpf
from sysdash.probes.btf import KernelTypes
from sysdash.records import (
    ABI_CODES,
    ABIS,
    ARGS,
    COMM_LEN,
    DATA_BYTES,
    DATA_CUT,
    DATA_NONE,
    DATA_SIZED,
    DATA_SIZED_AT,
    DATA_STRING,
    DATA_UNREADABLE,
    DATA_WHOLE,
    EVENT_EXAMPLE,
    FD_CWD,
    FD_RESULT,
    FILE_CUT,
    FILE_DELETED,
    FILE_NAMES,
    INTERRUPTIBLE,
    OTHER_NR,
    ROW,
    RUNNABLE,
    SYSCALLS,
    THREAD,
    UNINTERRUPTIBLE,
    VALUE_BUCKETS,
    VALUE_BYTES,
    VALUE_HISTOGRAM,
    VALUE_NUMBER,
    VALUE_STRING,
)

_OFFSETS = {
    "TASK_PID": ("task_struct", "pid"),
    "TASK_COMM": ("task_struct", "comm"),
    "TASK_GROUP_LEADER": ("task_struct", "group_leader"),
    "TASK_REAL_PARENT": ("task_struct", "real_parent"),
    "TASK_THREAD_PID": ("task_struct", "thread_pid"),
    "PID_LEVEL": ("pid", "level"),
    "PID_NUMBERS": ("pid", "numbers"),
    "UPID_NR": ("upid", "nr"),
    "UPID_NS": ("upid", "ns"),
    "NS_INUM": ("pid_namespace", "ns.inum"),
}

_STORY_OFFSETS = {
    "TASK_MM": ("task_struct", "mm"),
    "TASK_EXEC_ID": ("task_struct", "self_exec_id"),
    "TASK_FILES": ("task_struct", "files"),
    "TASK_FS": ("task_struct", "fs"),
    "FS_PWD_MNT": ("fs_struct", "pwd.mnt"),
    "FS_PWD_DENTRY": ("fs_struct", "pwd.dentry"),
    "FILES_TABLE": ("files_struct", "fdt"),
    "TABLE_MOST": ("fdtable", "max_fds"),
    "TABLE_ARRAY": ("fdtable", "fd"),
    "FILE_INODE": ("file", "f_inode"),
    "FILE_MNT": ("file", "f_path.mnt"),
    "FILE_DENTRY": ("file", "f_path.dentry"),
    "FILE_PRIVATE": ("file", "private_data"),
    "INODE_INO": ("inode", "i_ino"),
    "INODE_MODE": ("inode", "i_mode"),
    "INODE_SB": ("inode", "i_sb"),
    "SB_DEV": ("super_block", "s_dev"),
    "SB_MAGIC": ("super_block", "s_magic"),
    "DENTRY_PARENT": ("dentry", "d_parent"),
    "DENTRY_NAME": ("dentry", "d_name.name"),
    "DENTRY_INODE": ("dentry", "d_inode"),
    "DENTRY_HASHED": ("dentry", "d_hash.pprev"),
    "MNT_ROOT": ("vfsmount", "mnt_root"),
    "MOUNT_MNT": ("mount", "mnt"),
    "MOUNT_PARENT": ("mount", "mnt_parent"),
    "MOUNT_POINT": ("mount", "mnt_mountpoint"),
    "BINPRM_FILENAME": ("linux_binprm", "filename"),
    "SOCKET_SK": ("socket", "sk"),
    "SK_FAMILY": ("sock", "__sk_common.skc_family"),
    "SK_STATE": ("sock", "__sk_common.skc_state"),
    "SK_LOCAL": ("sock", "__sk_common.skc_rcv_saddr"),
    "SK_REMOTE": ("sock", "__sk_common.skc_daddr"),
    "SK_LOCAL_PORT": ("sock", "__sk_common.skc_num"),
    "SK_REMOTE_PORT": ("sock", "__sk_common.skc_dport"),
    "SK_TYPE": ("sock", "sk_type"),
    "SK_PROTOCOL": ("sock", "sk_protocol"),
    "SK_PEER_PID": ("sock", "sk_peer_pid"),
}

_BLOCK_OFFSETS = {
    "MM_START_CODE": ("mm_struct", "start_code"),
    "MM_END_CODE": ("mm_struct", "end_code"),
}

# Each group is there whole or not at all: what a kernel has built as a module is not in its BTF.
_OPTIONAL_OFFSETS = (
    {
        "SK_LOCAL6": ("sock", "__sk_common.skc_v6_rcv_saddr"),
        "SK_REMOTE6": ("sock", "__sk_common.skc_v6_daddr"),
    },
    {
        "UNIX_ADDR": ("unix_sock", "addr"),
        "UNIX_PEER": ("unix_sock", "peer"),
        "UNIX_ADDRESS_LEN": ("unix_address", "len"),
        "UNIX_ADDRESS_NAME": ("unix_address", "name"),
    },
)

# Where each argument of a call lies in struct pt_regs (arch/x86/include/asm/syscall.h).
_X86_64_ARGS = ("di", "si", "dx", "r10", "r8", "r9")
_IA32_ARGS = ("bx", "cx", "dx", "si", "di", "bp")

_MACHINES = ("x86_64",)

CONSTANTS = {
    "COMM_LEN": COMM_LEN,
    "BUCKETS": BUCKETS,
    "SYSCALLS": SYSCALLS,
    "ABIS": ABIS,
    "OTHER_NR": OTHER_NR,
    **{f"ABI_{name}": code for name, code in ABI_CODES.items()},
    # Bits of config.flags.
    "FILTER_PID": 1 << 0,
    "FILTER_TID": 1 << 1,
    "FILTER_PPID": 1 << 2,
    "FILTER_COMM": 1 << 3,
    "FILTER_CGROUP": 1 << 4,
    "FILTER_SYSCALL": 1 << 5,
    "FILTER_ERRNO": 1 << 6,
    # With FILTER_SYSCALL: numbers without an entry do not pass.
    "DROP_UNKNOWN": 1 << 7,
    # Threads have rows of their own.
    "BY_TID": 1 << 8,
    # Only the command that config.command names, and what it starts.
    "FILTER_COMMAND": 1 << 9,
    # Slow calls come with their stacks.
    "STACKS": 1 << 10,
    # With BLOCKS: the kernel's stacks are told apart. STACKS is for the program's.
    "KERNEL_FRAMES": 1 << 11,
    "STATE_RUNNABLE": RUNNABLE,
    "STATE_INTERRUPTIBLE": INTERRUPTIBLE,
    "STATE_UNINTERRUPTIBLE": UNINTERRUPTIBLE,
    "CALLERS": 64,  # words of the stack that are looked at to tell its callers
    "EVENT_EXAMPLE": EVENT_EXAMPLE,
    "EXAMPLES": 10,  # a second and CPU
    "DATA_NONE": DATA_NONE,
    "DATA_WHOLE": DATA_WHOLE,
    "DATA_CUT": DATA_CUT,
    "DATA_UNREADABLE": DATA_UNREADABLE,
    "DATA_STRING": DATA_STRING,
    "DATA_BYTES": DATA_BYTES,
    "DATA_SIZED": DATA_SIZED,
    "DATA_SIZED_AT": DATA_SIZED_AT,
    "FD_RESULT": FD_RESULT,
    "FD_CWD": FD_CWD,
    "FILE_DELETED": FILE_DELETED,
    "FILE_CUT": FILE_CUT,
    "FILE_NAMES": FILE_NAMES,
    "ARGS": ARGS,
    "VALUE_NUMBER": VALUE_NUMBER,
    "VALUE_HISTOGRAM": VALUE_HISTOGRAM,
    "VALUE_STRING": VALUE_STRING,
    "VALUE_BUCKETS": VALUE_BUCKETS,
    "VALUE_BYTES": VALUE_BYTES,
    # Kinds of numbers in the map filter_ids.
    "ID_PID": 0,
    "ID_TID": 1,
    "ID_PPID": 2,
}
"""What the probe and user space must agree on, beside the records."""

_MEMORY_FOR_ROWS = 64 << 20

MEMORY_FOR_ONE_CALL = 8 << 20
"""For the rows of one system call, where its values are what is asked for."""

_MOST_ROWS = 16384
_FEWEST_ROWS = 1024

RING_BYTES = 1 << 23
"""A slow call takes up to 10 KB with its stack, half of that on average; the buffer is read ten
times a second, and after a stall of its disk a thousand threads can return at once."""

NUMBERS, STRINGS = 1 << 15, 1 << 12
"""Different values of an argument that can be counted; the calls with more are lost."""

UNSLOTTED = 1 << 12
"""Threads without a slot that can be off the CPU at once, where that is measured."""

BLOCKS, KERNEL_STACKS = 1 << 14, 1 << 13
"""Places at which threads are off the CPU, and stacks of the kernel, that can be told apart."""

_KERNEL_DEPTH = 127
_KERNEL_DEPTH_LIMIT = Path("/proc/sys/kernel/perf_event_max_stack")

SLEEPERS = 1 << 15
"""Threads asleep since before the probe was there whose end of sleep can be told."""

EXEC_NAMES = 1 << 9
"""Programs whose start is remembered until their execve has returned."""

SLOTS = 1 << 14
"""Threads that the probe can follow the fastest way; a power of two."""

FOLLOWED = 1 << 15
"""Threads of a followed command that can live at once; the calls of more are lost."""

STORED_THREADS = 1 << 15
"""Threads that can live at once on a kernel without task storage; the calls of more are lost."""

ODD_ROWS = 64
"""Rows of a CPU in each bank for numbers that no table has; the calls of more share rows."""


def possible_cpus() -> int:
    """CPUs that the kernel could ever use; its numbers are below this (sysfs, ``possible``)."""
    return max(cpu_list("possible")) + 1


def online_cpus() -> list[int]:
    """The numbers of the CPUs in use (sysfs, ``online``)."""
    return cpu_list("online")


def cpu_list(name: str) -> list[int]:
    """The CPUs of one of the kernel's lists, such as ``1-3,7``.

    Args:
        name: a file of /sys/devices/system/cpu.

    Raises:
        OSError: there is no such file.
        ValueError: it lists none.
    """
    text = Path("/sys/devices/system/cpu", name).read_text(encoding="ascii").strip()
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much room the probe has.

    Attributes:
        cpus: CPU numbers are below this.
        segments: CPUs that can have rows: those online now and a few that may join.
        rows: rows of a CPU in each of the two banks; a power of two.
        other_rows: how many of these are kept for pid 0, which takes the calls of processes that
            there is no room for.
        slots: threads that can be followed the fastest way; a power of two.
    """

    cpus: int
    segments: int
    rows: int
    slots: int = SLOTS

    @property
    def other_rows(self) -> int:
        """An eighth: a few hundred different calls are made on a machine."""
        return self.rows // 8

    @property
    def kernel_bytes(self) -> int:
        """Kernel memory that the rows, the index and the slots take."""
        rows = 2 * self.segments * self.rows * ROW.itemsize
        index = 2 * self.segments * self.rows * 8
        return rows + index + self.slots * THREAD.itemsize + RING_BYTES


def sizes(memory: int = _MEMORY_FOR_ROWS) -> Sizes:
    """The room that suits this machine.

    With more than 40 CPUs or so, each still gets 1,024 rows a bank, 1.3 MB.

    Args:
        memory: bytes that rows may take altogether.
    """
    cpus, online = possible_cpus(), len(online_cpus())
    segments = min(cpus, online + max(2, online // 8))
    wanted = memory // (2 * segments * ROW.itemsize)
    rows = 1 << (max(wanted, 1).bit_length() - 1)
    return Sizes(cpus, segments, max(_FEWEST_ROWS, min(_MOST_ROWS, rows)))


def kernel_bytes() -> int:
    """Kernel memory that the probe takes on this machine, nearly exactly."""
    return sizes().kernel_bytes


def kernel_depth() -> int:
    """Frames of a kernel stack that there are at the most (sysctl, perf_event_max_stack)."""
    try:
        return min(_KERNEL_DEPTH, int(_KERNEL_DEPTH_LIMIT.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return _KERNEL_DEPTH


def has_task_storage() -> bool:
    """Whether a tracing program may use task storage (since Linux 5.13)."""
    try:
        with (
            bpf.task_storage() as storage,
            bpf.program(bpf.RAW_TRACEPOINT, bpf.use_task_storage(storage)),
        ):
            return True
    except OSError:
        return False


def has_task_pt_regs() -> bool:
    """Whether a tracing program can ask for a task's saved registers (since Linux 5.15)."""
    try:
        with bpf.program(bpf.RAW_TRACEPOINT, bpf.USE_TASK_PT_REGS):
            return True
    except OSError:
        return False


def _state_offset(types: KernelTypes) -> int:
    try:
        return types.offset("task_struct", "__state")
    except KeyError:
        return types.offset("task_struct", "state")  # before 5.14


def defines(
    room: Sizes,
    *,
    timed: bool = True,
    command: bool = False,
    slow: bool = False,
    values: bool = False,
    off_cpu: bool = False,
    blocks: bool = False,
) -> Mapping[str, int]:
    """The probe's ``-D`` values for the running kernel.

    Args:
        room: how much room it has.
        timed: whether it times calls, not only counts them.
        command: whether it follows a command.
        slow: whether it lists slow calls.
        values: whether it counts the values of an argument.
        off_cpu: whether it measures how long calls are off the CPU.
        blocks: whether it counts that by stack.

    Raises:
        CannotCollect: the machine is of a kind that the probe does not know, or its kernel lacks a
            structure that the probe reads.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        raise CannotCollect(
            f"sysdash does not know the system calls of {machine} yet",
            f"use it on {', '.join(_MACHINES)}",
        )
    defined = {
        **CONSTANTS,
        "CPUS": room.cpus,
        "SEGMENTS": room.segments,
        "ROWS": room.rows,
        "OTHER_ROWS": room.other_rows,
        "SLOTS": room.slots,
        "ODD_ROWS": ODD_ROWS,
        "CGROUPS": limits.FILTER_CGROUPS,
        "FILTER_IDS": limits.FILTER_IDS,
        "FILTER_COMMS": limits.FILTER_COMMS,
        "FOLLOWED": FOLLOWED if command else 1,
        "RING_BYTES": RING_BYTES,
        # A stack of 16 KB lies at a multiple of that; only how well slots are spread depends on it.
        "STACK_SHIFT": 14,
    }
    if not has_task_storage():
        defined["THREADS_HASH"] = STORED_THREADS
    if not timed:
        defined["COUNT_ONLY"] = 1
    offsets = dict(_OFFSETS)
    if slow:
        defined["SLOW"] = 1
        defined["EXEC_NAMES"] = EXEC_NAMES
        offsets |= _STORY_OFFSETS
    if values:
        defined |= {"VALUES": 1, "NUMBERS": NUMBERS, "STRINGS": STRINGS, "EXEC_NAMES": EXEC_NAMES}
        offsets["BINPRM_FILENAME"] = _STORY_OFFSETS["BINPRM_FILENAME"]
    if off_cpu:
        defined |= {"OFF_CPU": 1, "UNSLOTTED": UNSLOTTED}
        offsets["TASK_STACK"] = ("task_struct", "stack")
    if blocks:
        defined |= {
            "BLOCKS": BLOCKS,
            "KERNEL_STACKS": KERNEL_STACKS,
            "SLEEPERS": SLEEPERS,
            "KERNEL_DEPTH": kernel_depth(),
        }
        offsets |= _STORY_OFFSETS | _BLOCK_OFFSETS
    stack_is_needed = not timed and not has_task_pt_regs()
    with KernelTypes() as types:
        try:
            for name, (struct, path) in offsets.items():
                defined[name] = types.offset(struct, path)
            for group in _OPTIONAL_OFFSETS if slow or blocks else ():
                with suppress(KeyError):
                    defined |= {name: types.offset(*place) for name, place in group.items()}
            if blocks:
                defined["TASK_STATE"] = _state_offset(types)
            defined["UPID_SIZE"] = types.size("upid")
            defined["TASK_STATUS"] = types.offset("task_struct", "thread_info.status")
            if stack_is_needed:
                defined["TASK_STACK"] = types.offset("task_struct", "stack")
                defined["REGS_SIZE"] = types.size("pt_regs")
            defined["REGS_NR"] = types.offset("pt_regs", "orig_ax")
            for name in ("ip", "sp", "bp"):
                defined[f"REGS_{name.upper()}"] = types.offset("pt_regs", name)
            for i in range(6):
                defined[f"REGS_ARG{i}"] = types.offset("pt_regs", _X86_64_ARGS[i])
                defined[f"IA32_ARG{i}"] = types.offset("pt_regs", _IA32_ARGS[i])
        except KeyError as error:
            raise CannotCollect(f"this kernel's BTF has no {error.args[0]}", "report it") from None
    return defined
