"""What the probe is compiled with: sizes for this machine, offsets of this kernel."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from sysdash.errors import CannotCollect
from sysdash.probes import bpf
from sysdash.probes.btf import KernelTypes

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

# Where each argument of a call lies in struct pt_regs (arch/x86/include/asm/syscall.h).
_X86_64_ARGS = ("di", "si", "dx", "r10", "r8", "r9")
_IA32_ARGS = ("bx", "cx", "dx", "si", "di", "bp")

_MACHINES = ("x86_64",)

_MEMORY_FOR_ROWS = 32 << 20
_MOST_ROWS_PER_CPU = 8192
_FEWEST_ROWS_PER_CPU = 1024
"""Two banks of rows share about 32 MB; many CPUs get fewer rows each and are drained more often."""

RING_BYTES = 1 << 20

SLOTS = 1 << 14
"""Threads that the probe can follow the fastest way; a power of two."""

STORED_THREADS = 1 << 15
"""Threads that can live at once on a kernel without task storage; the calls of more are lost."""


def possible_cpus() -> int:
    """CPUs that the kernel could ever use; its numbers are below this (sysfs, ``possible``)."""
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(text.replace("-", ",").split(",")[-1]) + 1


def rows_per_cpu(cpus: int, row_bytes: int) -> int:
    """Rows in each CPU's segment of a bank: a power of two."""
    wanted = _MEMORY_FOR_ROWS // (2 * cpus * row_bytes)
    rows = 1 << (max(wanted, 1).bit_length() - 1)
    return max(_FEWEST_ROWS_PER_CPU, min(_MOST_ROWS_PER_CPU, rows))


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


def defines(cpus: int, rows: int) -> Mapping[str, int]:
    """The probe's ``-D`` values for the running kernel.

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
    values = {
        "CPUS": cpus,
        "ROWS_PER_CPU": rows,
        "RING_BYTES": RING_BYTES,
        "SLOTS": SLOTS,
        "STACK_SHIFT": 14,
    }
    if not has_task_storage():
        values["THREADS_HASH"] = STORED_THREADS
    with KernelTypes() as types:
        try:
            for name, (struct, path) in _OFFSETS.items():
                values[name] = types.offset(struct, path)
            values["UPID_SIZE"] = types.size("upid")
            values["TASK_STATUS"] = types.offset("task_struct", "thread_info.status")
            values["REGS_NR"] = types.offset("pt_regs", "orig_ax")
            for i in range(6):
                values[f"REGS_ARG{i}"] = types.offset("pt_regs", _X86_64_ARGS[i])
                values[f"IA32_ARG{i}"] = types.offset("pt_regs", _IA32_ARGS[i])
        except KeyError as error:
            raise CannotCollect(f"this kernel's BTF has no {error.args[0]}", "report it") from None
    return values
