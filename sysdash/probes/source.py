"""The live source of samples: the probe on this machine's kernel."""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.folding import bounded
from sysdash.probes import layout, procfs
from sysdash.probes.blocks import FRAMES, INCOMPLETE, BlockReader
from sysdash.probes.cgroups import CgroupPaths
from sysdash.probes.details import Details
from sysdash.probes.inflight import InFlight
from sysdash.probes.loader import Program, missed_runs
from sysdash.probes.symbols import Stacks
from sysdash.probes.values import Values
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
    BlockRule,
    Detail,
    Events,
    Reads,
    Rows,
    Sample,
    ValueRule,
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

_LISTED, _LISTED_UNSEEN = 1000, 250
"""Calls in flight that are listed, and while nobody looks at them; the others are counted."""

_END_NS = struct.Struct("<Q")
"""Of a slow call's record, its beginning: when the call ended."""

_NO_FILTERS = Filters()


def _tracepoints(
    *, timed: bool, command: bool, execs: bool, off_cpu: bool
) -> list[tuple[str, str]]:
    """The probe's functions and where they belong, in an order that misses no thread's end."""
    return [
        *([("on_sched_switch", "sched_switch")] if off_cpu else []),
        ("on_process_exit", "sched_process_exit"),
        ("on_task_rename", "task_rename"),
        *([("on_fork", "sched_process_fork")] if command else []),
        *([("on_exec", "sched_process_exec")] if command or execs else []),
        ("on_sys_exit", "sys_exit"),
        *([("on_sys_enter", "sys_enter")] if timed else []),
    ]


@dataclass(frozen=True, slots=True)
class Stories:
    """What is found out of slow calls, beside their numbers.

    Attributes:
        reads: by (syscall number, ABI code), which of their arguments are looked into.
        stacks: whether their stacks are.
    """

    reads: Mapping[tuple[int, int], Reads] = field(default_factory=lambda: MappingProxyType({}))
    stacks: bool = False


_NO_STORIES = Stories()

Example = tuple[int, int, int]
"""Syscall number, ABI code and errno of a failed call."""


def _any_duration(
    nr: npt.NDArray[np.int32],
    _abi: npt.NDArray[np.uint16],
) -> npt.NDArray[np.uint64]:
    return np.zeros(len(nr), dtype="<u8")


def _entry(nr: int, abi: int) -> int:
    """Where the probe looks for what is asked of a system call."""
    if not (0 <= nr < SYSCALLS and 0 <= abi < ABIS):
        raise ValueError(f"not a system call number: {nr} of ABI {abi}")
    return abi * SYSCALLS + nr


def _together(parts: Sequence[Rows]) -> Rows:
    """All rows in one new array.

    As words, which numpy copies ten times as fast as records; and from where the probe writes them
    at once, for new memory costs more than what is written to it.
    """
    words = [part.view("<u8") for part in parts]
    return np.concatenate([np.empty(0, dtype="<u8"), *words]).view(ROW)


class BpfSource:
    """System calls of this machine, from the moment it is made until :meth:`close`.

    Attributes:
        timed: whether it times calls, not only counts them.
        watch_in_flight: find out what calls that have not returned are about, not only that they
            are there; may be set between reads.

    Losses, the keys of ``Sample.lost``:
        ``unattributed``: calls counted for pid 0, for there was no room for more processes.
        ``calls``: calls not counted at all.
        ``threads``: threads of a followed command that there was no room to follow.
        ``missed``: times that the kernel did not run the probe.
        ``slow_limit``: slow calls over the limit per second; they are counted, but not listed.
        ``slow_ring``: slow calls for which the buffer was full, likewise.
        ``values``: calls whose value could not be read or that there was no room for; they are
            counted. Only where values are.
        ``stacks``: stacks that cannot be told, for the process had ended before its mappings were
            known. Only where stacks are looked up.
        ``off_cpu``: times off the CPU of threads that there was no room for. Only where that is
            measured, as the next.
        ``switches``: times off the CPU whose end was not seen, so that they are counted up to when
            the thread was seen next.
        ``blocks``: times off the CPU whose stack there was no room for. Only where they are
            counted by stack, as the next.
        ``kernel_stacks``: times off the CPU that are counted without the kernel's stack, for there
            was no room for it.
    """

    def __init__(
        self,
        filters: Filters = _NO_FILTERS,
        thresholds_ns: Mapping[tuple[int, int], int | None] = MappingProxyType({}),
        *,
        default_threshold_ns: int | None = 10_000_000,
        slow_per_second: int = 1000,
        stories: Stories = _NO_STORIES,
        in_flight: bool = True,
        waiting: Collection[tuple[int, int]] = (),
        by_tid: bool = False,
        timed: bool = True,
        value: ValueRule | None = None,
        off_cpu: bool = False,
        blocks: BlockRule | None = None,
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
            stories: what is found out of slow calls.
            in_flight: look for calls that have not returned, where slow calls are listed.
            waiting: (number, ABI code) of the calls whose purpose is to wait, which would crowd
                out all other slow calls.
            by_tid: keep threads apart, each under its own name; otherwise a process's threads share
                rows with tid 0, under the name of the first.
            timed: take the time of calls, and find slow ones if any can be; otherwise they are only
                counted, at half the price, and every one is ``untimed``.
            value: what value of the calls is counted, if one is.
            off_cpu: measure the part of calls that their threads are off the CPU.
            blocks: count that by stack, too, if at all; not together with slow calls.
            cgroups: find the paths of the cgroups that calls came from.
            room: sizes, where the machine's own are not wanted.
            online: the CPUs that have rows from the start; by default those in use.

        Raises:
            CannotCollect: this machine or user cannot run the probe.
            ValueError: a number in ``filters`` or ``thresholds_ns`` is that of no system call; or
                blocks are wanted where nothing is timed, or together with slow calls.
        """
        self._room = room or (layout.sizes(layout.MEMORY_FOR_ONE_CALL) if value else layout.sizes())
        self.timed = timed
        self._cgroups = CgroupPaths() if cgroups else None
        command = filters.command is not None
        thresholds = [default_threshold_ns, *thresholds_ns.values()]
        self._slow = timed and any(threshold is not None for threshold in thresholds)
        self._off_cpu = off_cpu or blocks is not None
        if (self._off_cpu and not timed) or (blocks is not None and self._slow):
            raise ValueError("blocks need times, and exclude slow calls")
        defines = layout.defines(
            self._room,
            timed=timed,
            command=command,
            slow=self._slow,
            values=value is not None,
            off_cpu=self._off_cpu,
            blocks=blocks is not None,
        )
        self._details: Details | None = None
        self._blocks: BlockReader | None = None
        self._stacks: Stacks | None = None
        self._in_flight: InFlight | None = None
        self.watch_in_flight = False
        self._example: Example | None = None
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
            self._records: list[bytes] = []
            if self._slow:
                self._stacks = Stacks() if stories.stacks else None
                self._details = self._listen(stories)
            if blocks is not None:
                self._stacks = Stacks(most=FRAMES, mark=INCOMPLETE) if blocks.user else None
                self._blocks = self._count_blocks(blocks, filters)
            if self._stacks:
                self._config["flags"] |= layout.CONSTANTS["STACKS"]
            if self._slow and in_flight:
                self._in_flight = InFlight(
                    self._slots,
                    self._stored,
                    self._thresholds_of,
                    filters,
                    stories.reads,
                    waiting,
                    self._stacks,
                )
            self._stashed: list[Rows] = []
            self._lost_before: dict[str, int] = {}
            self._looked = (time.monotonic(), 0)
            self._values = self._count_values(value) if value else None
            tracepoints = _tracepoints(
                timed=timed,
                command=command,
                execs=self._slow or value is not None,
                off_cpu=self._off_cpu,
            )
            self._program_fds = [self._program.attach(*pair) for pair in tracepoints]
            self._last_ns = self._swapped_ns = time.monotonic_ns()
            if self._blocks:
                self._blocks.begin(self._last_ns)
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
        self._slots = program.mapped("slots", THREAD, room.slots)

    def _listen(self, stories: Stories) -> Details:
        self._program.check_layout("event_layout", EVENT)
        self._program.open_ring("events", self._receive)
        self._program.let_call("on_slow_call", "programs")
        for (nr, abi), reads in stories.reads.items():
            entry = self._syscalls[_entry(nr, abi)]
            entry["fd"] = 0 if reads.fd is None else reads.fd + 1
            for i, rule in enumerate(reads.data):
                entry["data"][i] = (rule.argument + 1, rule.kind, rule.size)
        return Details(stories.reads, self._stacks)

    def _count_blocks(self, rule: BlockRule, filters: Filters) -> BlockReader:
        self._config["block_min_ns"], self._config["block_max_ns"] = rule.min_ns, rule.max_ns
        self._config["flags"] |= layout.CONSTANTS["KERNEL_FRAMES"] if rule.kernel else 0
        looker = InFlight(
            self._slots, self._stored, _any_duration, filters, {}, stacks=self._stacks
        )
        reader = BlockReader(self._program, rule, self._room.slots, self._stacks, looker)
        self._program.open_ring("events", reader.note)
        return reader

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

    def _count_values(self, rule: ValueRule) -> Values:
        self._config["value_argument"] = rule.argument
        self._config["value_kind"] = rule.kind
        self._config["value_bits"] = rule.bits
        self._config["value_signed"] = rule.signed
        return Values(self._program, rule)

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

    def _stored(self, tid: int) -> npt.NDArray[np.void] | None:
        return self._program.of_thread("threads", tid, THREAD)

    def _thresholds_of(
        self, nr: npt.NDArray[np.int32], abi: npt.NDArray[np.uint16]
    ) -> npt.NDArray[np.uint64]:
        # As the probe does it: no call has the last number, so its threshold is the default.
        known = np.where((nr >= 0) & (nr < SYSCALLS), nr, SYSCALLS - 1)
        found: npt.NDArray[np.uint64] = self._syscalls["threshold_ns"][abi * SYSCALLS + known]
        return found

    @property
    def example(self) -> Example | None:
        """Which failed calls are listed however fast they are; may be set between reads."""
        return self._example

    @example.setter
    def example(self, example: Example | None) -> None:
        self._example = example
        nr, abi, errno = example or (0, 0, 0)
        self._config["example_errno"] = 0
        self._config["example_nr"], self._config["example_abi"] = nr, abi
        self._config["example_errno"] = errno

    def _receive(self, record: bytes) -> None:
        self._records.append(record)
        if self._details:
            self._details.note(record)

    def _bank(self) -> int:
        return int(self._config["epoch"][0]) & 1

    def _swap(self) -> Rows:
        """Give the probe the other bank and take what is in this one."""
        bank = self._bank()
        self._config["epoch"] += np.uint64(1)
        self._swapped_ns = time.monotonic_ns()
        self._looked = (time.monotonic(), 0)
        # Returns when every program that may still write to the old bank has ended.
        target = struct.pack("=I", self._program.fd("barrier_target"))
        self._program.update("barrier", struct.pack("=I", 0), target)
        used = []
        for cpu in np.flatnonzero(self._cpu["used"][:, bank]):
            segment = int(self._cpu["segment"][cpu]) - 1
            used.append(self._rows[bank, segment, : self._cpu["used"][cpu, bank]])
        taken = _together(used)
        for rows in used:
            rows.view("<u8")[:] = 0
        if self._values:
            self._values.take(bank)
        self._cpu["used"][:, bank] = 0
        self._cpu["odd"][:, bank] = 0
        return taken

    def relieve(self) -> float:
        """Empty what fills up before the next :meth:`read`.

        Returns:
            The time in seconds after which this should be called again.
        """
        self._read_rings()
        if self._stacks:
            self._stacks.relieve()
            if self._config["self_pid"]:
                self._config["helper_pid"] = self._stacks.helper_pid
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
            self._stashed = bounded([*self._stashed, self._swap()], _MOST_ROWS)
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
        parts = bounded([*self._stashed, self._swap()], _MOST_ROWS)
        self._stashed = []
        if self._blocks:
            # At once: what ends later is of the next interval.
            self._blocks.take()
        rows = parts[0] if len(parts) == 1 else _together(parts)
        if not self.timed:
            rows["untimed"] = rows["count"]
        mono_ns = self._swapped_ns
        time_ns = time.time_ns() - (time.monotonic_ns() - mono_ns)
        self._read_rings()
        events, details = self._slow_calls()
        in_flight, in_flight_details, more = self._look_inside()
        ended, blocked = self._blocks.read(mono_ns) if self._blocks else ({}, {})
        interval_ns, self._last_ns = mono_ns - self._last_ns, mono_ns
        return Sample(
            time_ns=time_ns,
            mono_ns=mono_ns,
            interval_ns=interval_ns,
            rows=rows,
            events=events,
            details=details,
            in_flight=in_flight,
            in_flight_details=in_flight_details,
            in_flight_more=more,
            in_flight_known=self._in_flight is not None and self._in_flight.known,
            values=MappingProxyType(self._values.read() if self._values else {}),
            blocks=MappingProxyType(ended),
            blocked=MappingProxyType(blocked),
            in_flight_unreadable=sum(
                looked.unreadable for looked in (self._in_flight, self._blocks) if looked
            ),
            off_cpu=self._off_cpu,
            lost=MappingProxyType(self._losses(rows)),
            host=self._host.read(),
            cgroups=MappingProxyType(self._cgroups.of(rows["cgroup"]) if self._cgroups else {}),
        )

    def _read_rings(self) -> None:
        if self._slow or self._blocks:
            self._program.read_rings()

    def _slow_calls(self) -> tuple[Events, tuple[Detail, ...]]:
        """The slow calls since the last time, in the order in which they ended."""
        records = sorted(self._records, key=_END_NS.unpack_from)
        self._records = []
        events = np.frombuffer(b"".join(each[: EVENT.itemsize] for each in records), dtype=EVENT)
        return events, self._details.of(records, events) if self._details else ()

    def _look_inside(self) -> tuple[Events, tuple[Detail, ...], int]:
        """The calls that have not returned."""
        if self._in_flight is None:
            return np.zeros(0, dtype=EVENT), (), 0
        events, details, more = self._in_flight.look(
            time.monotonic_ns(),
            details=self.watch_in_flight,
            most=_LISTED if self.watch_in_flight else _LISTED_UNSEEN,
        )
        # It waits for work inside a call that began before it was left out.
        others = events["pid"] != (self._config["helper_pid"] or 2**32 - 1)
        return events[others], tuple(compress(details, others)), more

    def _losses(self, rows: Rows) -> dict[str, int]:
        now = {
            "calls": int(self._cpu["lost"].sum()),
            "threads": int(self._cpu["unfollowed"].sum()),
            "missed": sum(missed_runs(fd) for fd in self._program_fds),
            "slow_limit": int(self._cpu["limited"].sum()),
            "slow_ring": int(self._cpu["ring_full"].sum()),
            **({"values": int(self._cpu["unvalued"].sum())} if self._values else {}),
            **(self._off_cpu_lost() if self._off_cpu else {}),
            **(self._blocks_lost() if self._blocks else {}),
            **(self._stacks_lost(self._stacks) if self._stacks else {}),
        }
        new = {name: count - self._lost_before.get(name, 0) for name, count in now.items()}
        self._lost_before = now
        nobodys = rows[np.flatnonzero(rows["pid"] == 0)]
        folded = nobodys["count"][nobodys["comm"] == b""].sum()
        return {"unattributed": int(folded), **new}

    def _off_cpu_lost(self) -> Mapping[str, int]:
        return {
            "off_cpu": int(self._cpu["unmeasured"].sum()),
            "switches": int(self._cpu["unseen"].sum()),
        }

    def _blocks_lost(self) -> Mapping[str, int]:
        return {
            "blocks": int(self._cpu["unblocked"].sum()),
            "kernel_stacks": int(self._cpu["unwalked"].sum()),
        }

    @staticmethod
    def _stacks_lost(stacks: Stacks) -> Mapping[str, int]:
        counters = stacks.counters
        return {"stacks": counters["unmapped"] + counters["unread"]}

    def close(self) -> None:
        """Detach the probe and free its memory."""
        self._program.close()
        # A map lives on for as long as it is mapped.
        if self._in_flight:
            self._in_flight.close()
            self._in_flight = None
        if self._blocks:
            self._blocks.close()
        if self._stacks:
            self._stacks.close()
        for name in ("_rows", "_cpu", "_config", "_syscalls", "_slots"):
            vars(self).pop(name, None)
