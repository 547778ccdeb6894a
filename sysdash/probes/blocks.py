"""Where threads are off the CPU inside calls, and for how long."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sysdash.probes import layout, tasks
from sysdash.probes.details import raw_stack_of, space_of
from sysdash.probes.inflight import InFlight
from sysdash.probes.loader import Program
from sysdash.probes.sleepers import Sleeper, UserStack
from sysdash.probes.symbols import KernelSymbols, Stacks
from sysdash.records import (
    AWAY,
    BLOCK,
    BLOCK_KEY,
    EVENT,
    INTERRUPTIBLE,
    SLEEPER,
    UNINTERRUPTIBLE,
    Block,
    BlockRule,
)
from sysdash.units import safe

FRAMES = 192
"""Of a program. A stack that is deeper than what is shown would look like another one."""

INCOMPLETE = "[incomplete]"
"""Outermost frame of those whose callers are not known."""

_BEFORE_SWITCH = 8
"""Frames among which the scheduler's innermost is; those that it calls are the probe's."""

_LOCKS = ("mutex", "rwsem", "semaphore", "down", "rtlock", "rt_write", "rt_read", "ww_")
"""What the scheduler's functions have in their names that wait for the kernel's own locks."""

_TASK, _TID = np.dtype("<u8"), np.dtype("<u4")

_Entries = tuple[npt.NDArray[Any], npt.NDArray[Any]]

Blocks = dict[Block, tuple[int, int]]
Blocked = dict[Block, int]


_CROWDED = 3 / 4
"""So much of the room for places is taken that some have to go."""

_MOST_PLACES = 1 << 16
"""Places that are remembered, though the probe has let go of some."""


class _Place:
    """What is known of a place, and what was counted there when it was read last.

    Attributes:
        idle: whether nothing was added then.
    """

    __slots__ = ("block", "count", "idle", "ns")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.ns = self.count = 0
        self.idle = False


class BlockReader:
    """Reads what the probe counts of times off the CPU."""

    def __init__(
        self,
        program: Program,
        rule: BlockRule,
        slots: int,
        stacks: Stacks | None,
        looker: InFlight,
    ) -> None:
        """Know nothing yet.

        Args:
            program: the probe.
            rule: what it was asked for.
            slots: threads that can have slots.
            stacks: symbolises the programs' stacks, if they are wanted.
            looker: finds threads that sleep since before the probe was there; is closed with this.
        """
        self._program = program
        self._rule = rule
        self._stacks = stacks
        self._looker = looker
        self._kernel = KernelSymbols()
        self._kernel_depth = layout.kernel_depth()
        # By number: the kernel's stacks stay as they are while the probe runs.
        self._kernel_frames: dict[int, tuple[str, ...]] = {}
        program.check_layout("event_layout", EVENT)
        program.check_layout("blocks", BLOCK_KEY, key=True)
        program.check_layout("blocks", BLOCK)
        program.check_layout("sleepers", SLEEPER)
        self._away = program.mapped("slotted", AWAY, slots)
        self._began_ns = 0
        # By identity: the object is kept, so that no other one can be where it is.
        self._sleepers: dict[int, tuple[Sleeper, Block]] = {}
        self._listed: dict[int, Sleeper] = {}
        self._ended_sleepers: set[int] = set()
        self._places: dict[bytes, _Place] = {}
        self._taken: tuple[_Entries, npt.NDArray[np.void], _Entries] = (
            (np.zeros(0, BLOCK_KEY), np.zeros(0, BLOCK)),
            np.zeros(0, AWAY),
            (np.zeros(0, _TID), np.zeros(0, SLEEPER)),
        )

    def note(self, record: bytes) -> None:
        """Take what the probe tells of a place when it is met; to be called as soon as it comes."""
        event = np.frombuffer(record, dtype=EVENT, count=1)[0]
        key = np.zeros((), dtype=BLOCK_KEY)
        for name in ("ip", "sp", "bp", "pid", "tid", "nr", "abi"):
            key[name] = event[name]
        key["callers"] = event["args"][0]
        key["kernel_stack"] = event["args"][1].astype("<i8")
        key["state"] = event["args"][2]
        number = int(key["kernel_stack"])
        block = Block(
            pid=int(event["pid"]),
            tid=int(event["tid"]),
            comm=safe(bytes(event["comm"])),
            nr=int(event["nr"]),
            abi=int(event["abi"]),
            state=int(key["state"]),
            user=self._user_frames(record, event),
            kernel=lambda: self._frames_in_kernel(number),
        )
        # One that it has let go of is the same when it is met again.
        self._places.setdefault(key.tobytes(), _Place(block))

    def _user_frames(self, record: bytes, event: np.void) -> Callable[[], tuple[str, ...]]:
        if self._stacks is None or not event["sp"]:
            return _no_frames
        space = self._stacks.note(int(event["pid"]), space_of(event))
        return UserStack(self._stacks, space, raw_stack_of(record, event)).frames

    def _frames_in_kernel(self, number: int) -> tuple[str, ...]:
        if number < 0:
            return ()
        known = self._kernel_frames.get(number)
        if known is None:
            table = "kernel_stacks" if number < layout.KERNEL_STACKS else "kernel_stacks2"
            addresses = self._program.array_of(
                table, number % layout.KERNEL_STACKS, self._kernel_depth
            )
            waits = self._where_it_waits([address for address in addresses if address])
            known = self._kernel_frames[number] = tuple(map(self._kernel.caller, waits))
        return known

    def _where_it_waits(self, addresses: list[int]) -> list[int]:
        """The return addresses from where the kernel decided to wait.

        Without the probe and the scheduler, of which the kernel tells nothing either where it shows
        the stack of a thread that sleeps (``stack_trace_save_tsk()``, kernel/stacktrace.c). But for
        its own locks, which are a reason to wait.
        """
        inner = next(
            (i for i, each in enumerate(addresses[:_BEFORE_SWITCH]) if self._schedules(each)), 0
        )
        outer = inner
        while outer < len(addresses) and self._schedules(addresses[outer]):
            outer += 1
        return addresses[outer:] or addresses

    def _schedules(self, address: int) -> bool:
        if not self._kernel.is_scheduler(address):
            return False
        name = self._kernel.caller(address)
        return not any(lock in name for lock in _LOCKS)

    def begin(self, now_ns: int) -> None:
        """Count from then on what threads go on to sleep that sleep already.

        Args:
            now_ns: CLOCK_MONOTONIC.

        Raises:
            OSError: the kernel refuses it.
        """
        self._began_ns = now_ns
        self._watch_sleepers(now_ns)

    def _watch_sleepers(self, now_ns: int) -> None:
        """Have the probe tell when threads wake that have slept since before it was there."""
        helper_pid = self._stacks.helper_pid if self._stacks else 0
        found = self._looker.sleeping_since_before(now_ns)
        self._listed = {id(each): each for each in found if each.pid != helper_pid}
        self._ended_sleepers &= self._listed.keys()
        for each in self._listed.values():
            if id(each) not in self._sleepers and id(each) not in self._ended_sleepers:
                key = struct.pack("=I", each.tid)
                self._program.update("sleepers", key, bytes(SLEEPER.itemsize))
                self._sleepers[id(each)] = each, self._block_of(each)

    def take(self) -> None:
        """Take what the probe has counted until now, for :meth:`read`."""
        still = self._away.copy()
        program = self._program
        unslotted = program.entries("unslotted", _TASK, AWAY, layout.UNSLOTTED)[1]
        self._taken = (
            program.entries("blocks", BLOCK_KEY, BLOCK, layout.BLOCKS),
            np.concatenate([still, unslotted]),
            program.entries("sleepers", _TID, SLEEPER, layout.SLEEPERS),
        )

    def read(self, now_ns: int) -> tuple[Blocks, Blocked]:
        """What had ended since the last time at each place, and who was off the CPU for how long.

        At the last :meth:`take`; what the probe tells of places has to be read since.

        Args:
            now_ns: CLOCK_MONOTONIC at that time.

        Raises:
            OSError: the kernel refuses it.
        """
        self._watch_sleepers(now_ns)
        (keys, sums), away, (tids, sleepers) = self._taken
        woken, asleep = self._slept(tids, sleepers, now_ns)
        return self._ended(keys, sums) | woken, self._still(away, now_ns) | asleep

    def _ended(self, keys: npt.NDArray[np.void], sums: npt.NDArray[np.void]) -> Blocks:
        ended: Blocks = {}
        for key, ns, count in zip(keys, sums["ns"].tolist(), sums["count"].tolist(), strict=True):
            self._add(ended, self._places.get(key.tobytes()), ns, count)
        if len(keys) > layout.BLOCKS * _CROWDED:
            self._make_room(ended, keys)
        if len(self._places) > _MOST_PLACES:
            # Of those that the probe has let go of: it tells of them again.
            there = set(map(np.void.tobytes, keys))
            self._places = {key: place for key, place in self._places.items() if key in there}
        return ended

    @staticmethod
    def _add(ended: Blocks, place: _Place | None, ns: int, count: int) -> None:
        # One that is not known yet has just been met, and comes with the next sample.
        if place is None:
            return
        place.idle = count == place.count
        if place.idle:
            return
        before_ns, before = ended.get(place.block, (0, 0))
        ended[place.block] = before_ns + ns - place.ns, before + count - place.count
        place.ns, place.count = ns, count

    def _make_room(self, ended: Blocks, keys: npt.NDArray[np.void]) -> None:
        """Have the probe let go of places of threads that have ended; if need be, of idle ones."""
        known = {
            key: place for key in map(np.void.tobytes, keys) if (place := self._places.get(key))
        }
        threads = {(place.block.pid, place.block.tid) for place in known.values()}
        gone = {thread for thread in threads if not tasks.exists(*thread)}
        over = len(keys) - int(layout.BLOCKS * _CROWDED)
        for key, place in known.items():
            dead = (place.block.pid, place.block.tid) in gone
            if not dead and not (place.idle and over > 0):
                continue
            over -= 1
            # What has been added since it was read; whoever is there now begins it anew.
            found = self._program.entry("blocks", key, BLOCK)
            self._program.delete("blocks", key)
            if found is not None:
                self._add(ended, place, int(found["ns"]), int(found["count"]))
            place.ns = place.count = 0
            if dead:
                del self._places[key]

    def _still(self, away: npt.NDArray[np.void], now_ns: int) -> Blocked:
        rule = self._rule
        blocked: Blocked = {}
        inside = (away["left_ns"] > 0) & (away["left_ns"] <= now_ns) & (away["key"]["pid"] > 0)
        for each in away[inside]:
            place = self._places.get(each["key"].tobytes())
            ns = now_ns - int(each["left_ns"])
            if place is not None and rule.min_ns <= ns <= rule.max_ns:
                blocked[place.block] = ns
        return blocked

    def _slept(
        self, tids: npt.NDArray[np.uint32], sleepers: npt.NDArray[np.void], now_ns: int
    ) -> tuple[Blocks, Blocked]:
        """Those that have slept since before: who has woken up, and who sleeps on."""
        woken: Blocks = {}
        asleep: Blocked = {}
        known = dict(zip(tids.tolist(), sleepers, strict=True))
        for identity, (sleeper, block) in list(self._sleepers.items()):
            found = known.get(sleeper.tid)
            if found is None:
                continue  # it has just been met
            ended = bool(found["returned"])
            if not ended and identity not in self._listed:
                # It may just run for a moment inside of the call.
                ended = not tasks.exists(sleeper.pid, sleeper.tid)
            until_ns = min(int(found["woke_ns"]) or now_ns, now_ns) if ended else now_ns
            ns = max(until_ns - self._began_ns, 0)
            if ended:
                del self._sleepers[identity]
                # Who looks for sleepers may not know yet.
                self._ended_sleepers.add(identity)
                self._program.delete("sleepers", struct.pack("=I", sleeper.tid))
            if self._rule.min_ns <= ns <= self._rule.max_ns:
                if ended:
                    woken[block] = ns, 1
                else:
                    asleep[block] = ns
        return woken, asleep

    def _block_of(self, sleeper: Sleeper) -> Block:
        state = UNINTERRUPTIBLE if sleeper.state == "D" else INTERRUPTIBLE
        return Block(
            pid=sleeper.pid,
            tid=sleeper.tid,
            comm=safe(sleeper.comm),
            nr=sleeper.nr,
            abi=sleeper.abi,
            state=state,
            user=sleeper.user if self._rule.user else _no_frames,
            kernel=(lambda: sleeper.kernel) if self._rule.kernel else _no_frames,
            since_before=True,
        )

    @property
    def unreadable(self) -> int:
        """As :attr:`sysdash.probes.inflight.InFlight.unreadable`."""
        return self._looker.unreadable

    def close(self) -> None:
        """Let go of the mapped memory."""
        vars(self).pop("_away", None)
        self._looker.close()


def _no_frames() -> tuple[str, ...]:
    return ()
