"""The live source of samples: the probe on this machine's kernel."""

from __future__ import annotations

import ctypes
import math
import os
import struct
import time
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.folding import bounded, no_rows
from sysdash.probes import layout, procfs
from sysdash.probes.cgroups import CgroupPaths
from sysdash.probes.loader import Program, missed_runs
from sysdash.records import (
    ABIS,
    COMM_LEN,
    CONFIG,
    CPU,
    EVENT,
    ROW,
    SYSCALL_CONFIG,
    SYSCALLS,
    THREAD,
    Rows,
    Sample,
)
from sysdash.units import safe

NEVER_NS = 2**64 - 1
"""A threshold that no call reaches."""

_ID_FILTERS = {"pids": "PID", "tids": "TID", "ppids": "PPID"}

_MOST_ROWS = 100_000
"""Rows of a sample at the most, 64 MB; what is more is merged into fewer."""

_LONGEST_S = 60.0
"""A bank is swapped after this time at the latest: a row's histogram counts in 32 bits, which takes
twenty minutes at three million calls a second."""

_RESERVE_S = 0.1
"""Rows are taken when there is not room for this time: a swap waits for an RCU grace period."""

_LOOK_S = (0.01, 0.1)
"""Shortest and longest time between looks at how full the rows are."""

_NO_FILTERS = Filters()


def _tracepoints(*, timed: bool, command: bool) -> list[tuple[str, str]]:
    """The probe's functions and where they belong, in an order that misses no thread's end."""
    return [
        ("on_process_exit", "sched_process_exit"),
        ("on_task_rename", "task_rename"),
        *(
            [("on_fork", "sched_process_fork"), ("on_exec", "sched_process_exec")]
            if command
            else []
        ),
        ("on_sys_exit", "sys_exit"),
        *([("on_sys_enter", "sys_enter")] if timed else []),
    ]


def _entry(nr: int, abi: int) -> int:
    """Where the probe looks for what is asked of a system call."""
    if not (0 <= nr < SYSCALLS and 0 <= abi < ABIS):
        raise ValueError(f"not a system call number: {nr} of ABI {abi}")
    return abi * SYSCALLS + nr


class BpfSource:
    """System calls of this machine, from the moment it is made until :meth:`close`.

    Attributes:
        timed: whether it times calls, not only counts them.

    Losses, the keys of ``Sample.lost``:
        ``unattributed``: calls counted for pid 0, for there was no room for more processes.
        ``calls``: calls not counted at all.
        ``threads``: threads of a followed command that there was no room to follow.
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
        waiting: Collection[tuple[int, int]] = (),
        by_tid: bool = False,
        timed: bool = True,
        cgroups: bool = False,
        room: layout.Sizes | None = None,
        online: Sequence[int] | None = None,
    ) -> None:
        """Compile the probe and attach it.

        Args:
            filters: what is collected.
            thresholds_ns: by (syscall number, ABI code), the duration from which a call is slow;
                None for never.
            default_threshold_ns: the same of all other syscalls; None for never.
            slow_per_second: slow calls listed per second at the most, shared among the CPUs; a
                quarter of them are for calls of ``waiting``.
            waiting: (number, ABI code) of the calls whose purpose is to wait, which would crowd
                out all other slow calls.
            by_tid: keep threads apart, each under its own name; otherwise a process's threads share
                rows with tid 0, under the name of the first.
            timed: take the time of calls, and find slow ones; otherwise they are only counted, at
                half the price, and every one is ``untimed``.
            cgroups: find the paths of the cgroups that calls came from.
            room: sizes, where the machine's own are not wanted.
            online: the CPUs that have rows from the start; by default those in use.

        Raises:
            CannotCollect: this machine or user cannot run the probe.
            ValueError: a number in ``filters`` or ``thresholds_ns`` is that of no system call.
        """
        self._room = room or layout.sizes()
        self.timed = timed
        self._cgroups = CgroupPaths() if cgroups else None
        command = filters.command is not None
        defines = layout.defines(self._room, timed=timed, command=command)
        self._program = Program("sysdash.bpf.c", defines)
        try:
            self._map_arrays()
            online = layout.online_cpus() if online is None else online
            self._cpu["segment"][list(online)] = np.arange(1, len(online) + 1)
            self._configure(filters, by_tid)
            self._set_thresholds(thresholds_ns, default_threshold_ns)
            self._syscalls["waits"][[_entry(*number) for number in waiting]] = 1
            share = slow_per_second / max(len(online), 1)
            self._config["slow_limit"] = [math.ceil(share * 3 / 4), math.ceil(share / 4)]
            self._host = procfs.HostMeter()
            self._events: list[bytes] = []
            self._program.open_ring("events", self._receive)
            self._stashed: list[Rows] = []
            self._lost_before: dict[str, int] = {}
            self._looked = (time.monotonic(), 0)
            tracepoints = _tracepoints(timed=timed, command=command)
            self._program_fds = [self._program.attach(*pair) for pair in tracepoints]
            self._last_ns = self._swapped_ns = time.monotonic_ns()
        except BaseException:
            self.close()
            raise

    def _map_arrays(self) -> None:
        program, room = self._program, self._room
        rows = program.mapped("rows", ROW, 2 * room.segments * room.rows)
        self._rows = rows.reshape(2, room.segments, room.rows)
        self._cpu = program.mapped("cpus", CPU, room.cpus)
        self._config = program.mapped("config", CONFIG, 1)
        self._syscalls = program.mapped("syscall_config", SYSCALL_CONFIG, ABIS * SYSCALLS)
        program.check_layout("slots", THREAD)
        program.check_layout("event_layout", EVENT)

    def _configure(self, filters: Filters, by_tid: bool) -> None:
        bits = layout.CONSTANTS
        flags = bits["BY_TID"] if by_tid else 0
        yes = b"\1"
        for name, kind in _ID_FILTERS.items():
            for number in getattr(filters, name):
                flags |= bits[f"FILTER_{kind}"]
                key = struct.pack("=II", bits[f"ID_{kind}"], number)
                self._program.update("filter_ids", key, yes)
        for comm in filters.comms:
            flags |= bits["FILTER_COMM"]
            key = comm.encode("utf-8", "surrogateescape")[: COMM_LEN - 1]
            self._program.update("filter_comms", key.ljust(COMM_LEN, b"\0"), yes)
        for i, path in enumerate(filters.cgroups):
            flags |= bits["FILTER_CGROUP"]
            self._add_cgroup(i, path)
        self._config["cgroups"] = len(filters.cgroups)
        if filters.syscalls or filters.not_syscalls:
            flags |= bits["FILTER_SYSCALL"]
            if filters.syscalls:
                flags |= bits["DROP_UNKNOWN"]
                self._syscalls["drop"] = 1
            for keep, numbers in ((0, filters.syscalls), (1, filters.not_syscalls)):
                for nr, abi in numbers:
                    self._syscalls["drop"][_entry(nr, abi)] = keep
        if filters.failures or filters.errnos:
            flags |= bits["FILTER_ERRNO"]
            for errno in filters.errnos or range(1, 4096):
                self._config["errnos"][0][errno >> 6] |= np.uint64(1 << (errno & 63))
        if filters.command is not None:
            flags |= bits["FILTER_COMMAND"]
            self._config["command"] = filters.command
        self._config["flags"] = flags
        self._config["self_pid"] = 0 if filters.include_self else os.getpid()
        self._config["pid_ns"] = procfs.pid_namespace()
        self._config["epoch"] = 2

    def _add_cgroup(self, i: int, path: str) -> None:
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                entry = struct.pack("=I", i), struct.pack("=I", folder)
                self._program.update("filter_cgroups", *entry)
            finally:
                os.close(folder)
        except OSError as error:
            raise CannotCollect(
                f"the cgroup {safe(path)} cannot be used: {error.strerror}"
            ) from None

    def _set_thresholds(
        self, thresholds_ns: Mapping[tuple[int, int], int | None], default_ns: int | None
    ) -> None:
        default = NEVER_NS if default_ns is None else default_ns
        self._syscalls["threshold_ns"] = default
        for (nr, abi), threshold in thresholds_ns.items():
            wanted = NEVER_NS if threshold is None else threshold
            self._syscalls["threshold_ns"][_entry(nr, abi)] = wanted
        self._config["slow_min_ns"] = min(default, int(self._syscalls["threshold_ns"].min()))

    def _receive(self, _context: Any, data: int, size: int) -> None:
        self._events.append(ctypes.string_at(data, size))

    def _bank(self) -> int:
        return int(self._config["epoch"][0]) & 1

    def _swap(self) -> list[Rows]:
        """Give the probe the other bank and take what is in this one."""
        bank = self._bank()
        self._config["epoch"] += np.uint64(1)
        self._swapped_ns = time.monotonic_ns()
        self._looked = (time.monotonic(), 0)
        # Returns when every program that may still write to the old bank has ended.
        target = struct.pack("=I", self._program.fd("barrier_target"))
        self._program.update("barrier", struct.pack("=I", 0), target)
        taken = []
        for cpu in np.flatnonzero(self._cpu["used"][:, bank]):
            segment = int(self._cpu["segment"][cpu]) - 1
            used = self._rows[bank, segment, : self._cpu["used"][cpu, bank]]
            taken.append(used.copy())
            used[:] = 0
        self._cpu["used"][:, bank] = 0
        self._cpu["odd"][:, bank] = 0
        return taken

    def relieve(self) -> float:
        """Empty what fills up before the next :meth:`read`.

        Returns:
            The time in seconds after which this should be called again.
        """
        self._program.read_rings()
        self._serve_new_cpus()
        used = int(self._cpu["used"][:, self._bank()].max())
        room = self._room.rows - self._room.other_rows
        now = time.monotonic()
        before, used_before = self._looked
        per_s = max(used - used_before, 0) / max(now - before, 1e-6)
        # A busy machine uses all its rows soon after a swap and few new ones later: what counts is
        # how fast they go now.
        full = used + per_s * _RESERVE_S >= room or used >= room * 7 // 8
        if full or time.monotonic_ns() - self._swapped_ns > _LONGEST_S * 1e9:
            self._stashed = bounded([*self._stashed, *self._swap()], _MOST_ROWS)
            return _LOOK_S[0]
        self._looked = (now, used)
        safe_s = (room - used) / per_s / 2 if per_s else math.inf
        return min(max(safe_s, _LOOK_S[0]), _LOOK_S[1])

    def _serve_new_cpus(self) -> None:
        """Give rows to CPUs that came into use after the start; their first calls are lost."""
        for cpu in np.flatnonzero((self._cpu["lost"] > 0) & (self._cpu["segment"] == 0)):
            given = int(self._cpu["segment"].max())
            if given < self._room.segments:
                self._cpu["segment"][cpu] = given + 1

    def read(self) -> Sample:
        """Everything since the last call."""
        parts = bounded([*self._stashed, *self._swap()], _MOST_ROWS)
        self._stashed = []
        rows = np.concatenate([no_rows(), *parts])
        if not self.timed:
            rows["untimed"] = rows["count"]
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
            cgroups=MappingProxyType(self._cgroups.of(rows["cgroup"]) if self._cgroups else {}),
        )

    def _losses(self, rows: Rows) -> dict[str, int]:
        now = {
            "calls": int(self._cpu["lost"].sum()),
            "threads": int(self._cpu["unfollowed"].sum()),
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
        for name in ("_rows", "_cpu", "_config", "_syscalls"):
            vars(self).pop(name, None)
