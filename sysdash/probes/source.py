"""The live source of samples: the probe on this machine's kernel."""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from sysdash.filters import Filters
from sysdash.probes import layout, procfs
from sysdash.probes.loader import Program, missed_runs
from sysdash.records import COMM_LEN, CONFIG, CPU, EVENT, ROW, SYSCALL_CONFIG, THREAD, Rows, Sample

NEVER_NS = 2**64 - 1
"""A threshold that no call reaches."""

SYSCALLS = 1024
ABIS = 3
"""As in sysdash.h."""

_FLAGS = {
    "pids": 1 << 0,
    "tids": 1 << 1,
    "ppids": 1 << 2,
    "comms": 1 << 3,
    "cgroups": 1 << 4,
}
_FILTER_SYSCALL = 1 << 5
_FILTER_ERRNO = 1 << 6
_DROP_UNKNOWN = 1 << 7
_BY_TID = 1 << 8
_ID_KINDS = {"pids": 0, "tids": 1, "ppids": 2}
"""enum config_flag and enum id_kind of sysdash.h."""

_NO_FILTERS = Filters()

_TRACEPOINTS = (
    ("on_process_exit", "sched_process_exit"),
    ("on_task_rename", "task_rename"),
    ("on_sys_exit", "sys_exit"),
    ("on_sys_enter", "sys_enter"),
)
"""In this order, so that no thread is known whose end would be missed."""


def _entry(nr: int, abi: int) -> int:
    """Where the probe looks for what is asked of a system call."""
    if not (0 <= nr < SYSCALLS and 0 <= abi < ABIS):
        raise ValueError(f"not a system call number: {nr} of ABI {abi}")
    return abi * SYSCALLS + nr


class BpfSource:
    """System calls of this machine, from the moment it is made until :meth:`close`.

    Losses, the keys of ``Sample.lost``:
        ``unattributed``: calls counted for pid 0, for there was no room for more processes.
        ``calls``: calls not counted at all.
        ``missed``: times that the kernel did not run the probe.
        ``slow_limit``: slow calls over the limit per second; they are counted, but not listed.
        ``slow_ring``: slow calls for which the buffer was full, likewise.
    """

    def __init__(
        self,
        filters: Filters = _NO_FILTERS,
        thresholds_ns: Mapping[tuple[int, int], int | None] = MappingProxyType({}),
        *,
        default_threshold_ns: int | None = 10_000_000,
        slow_per_second: int = 1000,
        by_tid: bool = False,
        rows_per_cpu: int | None = None,
    ) -> None:
        """Compile the probe and attach it.

        Args:
            filters: what is collected.
            thresholds_ns: by (syscall number, ABI code), the duration from which a call is slow;
                None for never.
            default_threshold_ns: the same of all other syscalls; None for never.
            slow_per_second: slow calls listed per second and CPU at the most.
            by_tid: keep threads apart; otherwise a process's threads share rows with tid 0.
            rows_per_cpu: room for rows, where the default is not wanted; a power of two.

        Raises:
            CannotCollect: this machine or user cannot run the probe.
            ValueError: a number in ``filters`` or ``thresholds_ns`` is that of no system call.
        """
        self._cpus = layout.possible_cpus()
        self._rows_per_cpu = rows_per_cpu or layout.rows_per_cpu(self._cpus, ROW.itemsize)
        defines = layout.defines(self._cpus, self._rows_per_cpu)
        self._program = Program("sysdash.bpf.c", defines)
        try:
            self._map_arrays(defines["SLOTS"])
            self._configure(filters, by_tid)
            self._set_thresholds(thresholds_ns, default_threshold_ns, slow_per_second)
            self._host = procfs.HostMeter()
            self._events: list[bytes] = []
            self._program.open_ring("events", self._receive)
            self._stashed: list[Rows] = []
            self._lost_before: dict[str, int] = {}
            self._program_fds = [self._program.attach(*pair) for pair in _TRACEPOINTS]
            self._last_ns = time.monotonic_ns()
        except BaseException:
            self.close()
            raise

    def _map_arrays(self, slots: int) -> None:
        program = self._program
        rows = program.mapped("rows", ROW, 2 * self._cpus * self._rows_per_cpu)
        self._rows = rows.reshape(2, self._cpus, self._rows_per_cpu)
        self._cpu = program.mapped("cpus", CPU, self._cpus)
        self._config = program.mapped("config", CONFIG, 1)
        self._syscalls = program.mapped("syscall_config", SYSCALL_CONFIG, ABIS * SYSCALLS)
        self._threads = program.mapped("slots", THREAD, slots)
        program.check_layout("event_layout", EVENT)

    def _configure(self, filters: Filters, by_tid: bool) -> None:
        flags = _BY_TID if by_tid else 0
        for name, flag in _FLAGS.items():
            if getattr(filters, name):
                flags |= flag
        yes = b"\1"
        for name, kind in _ID_KINDS.items():
            for number in getattr(filters, name):
                self._program.update("filter_ids", struct.pack("=II", kind, number), yes)
        for comm in filters.comms:
            key = comm.encode("utf-8", "surrogateescape")[: COMM_LEN - 1]
            self._program.update("filter_comms", key.ljust(COMM_LEN, b"\0"), yes)
        for cgroup in filters.cgroups:
            self._program.update("filter_cgroups", struct.pack("=Q", cgroup), yes)
        if filters.syscalls or filters.not_syscalls:
            flags |= _FILTER_SYSCALL
            if filters.syscalls:
                flags |= _DROP_UNKNOWN
                self._syscalls["drop"] = 1
            for keep, numbers in ((0, filters.syscalls), (1, filters.not_syscalls)):
                for nr, abi in numbers:
                    self._syscalls["drop"][_entry(nr, abi)] = keep
        if filters.failures or filters.errnos:
            flags |= _FILTER_ERRNO
            for errno in filters.errnos or range(1, 4096):
                self._config["errnos"][0][errno >> 6] |= np.uint64(1 << (errno & 63))
        self._config["flags"] = flags
        self._config["self_pid"] = 0 if filters.include_self else os.getpid()
        self._config["pid_ns"] = procfs.pid_namespace()
        self._config["epoch"] = 2

    def _set_thresholds(
        self,
        thresholds_ns: Mapping[tuple[int, int], int | None],
        default_ns: int | None,
        limit: int,
    ) -> None:
        default = NEVER_NS if default_ns is None else default_ns
        self._syscalls["threshold_ns"] = default
        for (nr, abi), threshold in thresholds_ns.items():
            wanted = NEVER_NS if threshold is None else threshold
            self._syscalls["threshold_ns"][_entry(nr, abi)] = wanted
        self._config["slow_min_ns"] = min(default, int(self._syscalls["threshold_ns"].min()))
        self._config["slow_per_second"] = limit

    def _receive(self, _context: Any, data: int, size: int) -> None:
        self._events.append(ctypes.string_at(data, size))

    def _swap(self) -> Rows:
        """Give the probe the other bank and take what is in this one."""
        bank = int(self._config["epoch"][0]) & 1
        self._config["epoch"] += np.uint64(1)
        self._swapped_ns = time.monotonic_ns()
        # Returns when every program that may still write to the old bank has ended.
        target = struct.pack("=I", self._program.fd("barrier_target"))
        self._program.update("barrier", struct.pack("=I", 0), target)
        taken = []
        for cpu in np.flatnonzero(self._cpu["used"][:, bank]):
            used = self._rows[bank, cpu, : self._cpu["used"][cpu, bank]]
            taken.append(used.copy())
            used[:] = 0
        self._cpu["used"][:, bank] = 0
        return np.concatenate(taken) if taken else np.empty(0, dtype=ROW)

    def relieve(self) -> None:
        """Take the rows early if a CPU has filled half of its room, for the next sample."""
        bank = int(self._config["epoch"][0]) & 1
        if int(self._cpu["used"][:, bank].max()) > self._rows_per_cpu // 2:
            self._stashed.append(self._swap())
        self._program.read_rings()

    def read(self) -> Sample:
        """Everything since the last call."""
        rows = self._swap()
        if self._stashed:
            rows = np.concatenate([*self._stashed, rows])
            self._stashed = []
        mono_ns = self._swapped_ns
        time_ns = time.time_ns() - (time.monotonic_ns() - mono_ns)
        self._program.read_rings()
        events = np.frombuffer(b"".join(self._events), dtype=EVENT)
        self._events = []
        interval_ns, self._last_ns = mono_ns - self._last_ns, mono_ns
        return Sample(
            time_ns=time_ns,
            mono_ns=mono_ns,
            interval_ns=interval_ns,
            rows=rows,
            events=events[np.argsort(events["end_ns"], kind="stable")],
            lost=MappingProxyType(self._losses(rows)),
            host=self._host.read(),
        )

    def _losses(self, rows: Rows) -> dict[str, int]:
        now = {
            "calls": int(self._cpu["lost"].sum()),
            "missed": sum(missed_runs(fd) for fd in self._program_fds),
            "slow_limit": int(self._cpu["limited"].sum()),
            "slow_ring": int(self._cpu["ring_full"].sum()),
        }
        new = {name: count - self._lost_before.get(name, 0) for name, count in now.items()}
        self._lost_before = now
        folded = rows["count"][(rows["pid"] == 0) & (rows["comm"] == b"")].sum()
        return {"unattributed": int(folded), **new}

    def close(self) -> None:
        """Detach the probe and free its memory."""
        self._program.close()
        # A map lives on for as long as it is mapped.
        for name in ("_rows", "_cpu", "_config", "_syscalls", "_threads"):
            vars(self).pop(name, None)
