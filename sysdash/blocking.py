"""Time off the CPU inside calls: added up, and merged where stacks read the same. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from sysdash import syscalls
from sysdash.model import Snapshot
from sysdash.records import RUNNABLE, Block, BlockRule

BY = ("comm", "pid", "tid")
"""What tells stacks apart beside their frames: the process's name, also its PID, also the TID."""

_OFFSET = re.compile(r"\+0x[0-9a-f]+$")


class Kind(Enum):
    """What a frame stands for."""

    PROCESS = "process"
    USER = "user"
    SYSCALL = "syscall"
    KERNEL = "kernel"
    STATE = "state"


class Frame(NamedTuple):
    """One frame: text, safe and without an offset, and what it stands for."""

    text: str
    kind: Kind


WAITS_FOR_CPU = Frame("[waiting for a CPU]", Kind.STATE)
"""Innermost frame of threads that were ready to run, but had no CPU."""


UNREAD = "[not read in time]"
"""In place of a program's frames that are not there for want of time."""


@dataclass(frozen=True, slots=True)
class BlockedStack:
    """Time off the CPU at one stack.

    Attributes:
        frames: outermost first: the process, its program's frames, the system call, the kernel's.
        ns: how long altogether; of threads that did not come back within the time that was
            watched, the part in it.
        count: how often.
        still: how many of these had not come back.
    """

    frames: tuple[Frame, ...]
    ns: int
    count: int
    still: int = 0


@dataclass(slots=True)
class Blocked:
    """What was added up for one :class:`~sysdash.records.Block`: as in :class:`BlockedStack`."""

    ns: int = 0
    count: int = 0
    still: int = 0


Sums = dict[Block, Blocked]
"""What was added up, by place."""


def rule(
    min_ns: int, max_ns: int | None = None, *, user: bool = True, kernel: bool = True
) -> BlockRule:
    """What the probe is asked for: :class:`~sysdash.records.BlockRule`.

    Args:
        min_ns: shorter times off the CPU are not counted.
        max_ns: longer ones are not; None for no such bound.
        user: whether the programs' frames are wanted.
        kernel: whether the kernel's are.
    """
    longest = BlockRule().max_ns if max_ns is None else max_ns
    return BlockRule(min_ns, longest, user=user, kernel=kernel)


class BlockTally:
    """Adds up the blocks of snapshots until they are taken."""

    def __init__(self, *, still: bool = True) -> None:
        """Begin with nothing.

        Args:
            still: whether threads that are off the CPU when the sums are taken count with the part
                so far; otherwise every time counts as a whole when it ends, and not at all if it
                began before it was watched.
        """
        self._still = still
        self._sums: Sums = {}
        self._now: Mapping[Block, int] = {}
        # What is in an earlier interval already.
        self._before: Mapping[Block, int] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot."""
        for block, (ns, count) in snapshot.blocks.items():
            if block.since_before and not self._still:
                continue  # only a part of it is known
            blocked = self._sums.setdefault(block, Blocked())
            blocked.ns += ns
            blocked.count += count
        if self._still:
            self._now = snapshot.blocked

    def take(self) -> Sums:
        """The sums since the last time, with those that are off the CPU now; begins anew."""
        sums, self._sums = self._sums, {}
        for block, ns in self._now.items():
            blocked = sums.setdefault(block, Blocked())
            blocked.ns += ns
            blocked.count += 1
            blocked.still += 1
        for block, ns in self._before.items():
            if block in sums:
                sums[block].ns = max(sums[block].ns - ns, 0)
        self._before = self._now
        return sums


def stack_of(block: Block, by: str = "comm") -> tuple[Frame, ...]:
    """The frames of a block, outermost first; looks them up.

    Args:
        block: the place.
        by: one of :data:`BY`.
    """
    whose = {"comm": "", "pid": f" ({block.pid})", "tid": f" ({block.pid}/{block.tid})"}[by]
    return (
        Frame(block.comm + whose, Kind.PROCESS),
        *(Frame(_function(text), Kind.USER) for text in reversed(block.user())),
        Frame(syscalls.display_name(block.nr, block.abi), Kind.SYSCALL),
        *(Frame(_function(text), Kind.KERNEL) for text in reversed(block.kernel())),
        *([WAITS_FOR_CPU] if block.state == RUNNABLE else []),
    )


def without_program(block: Block) -> Block:
    """A block of whose program no frame is looked up, because that takes too long."""
    return replace(block, user=lambda: (UNREAD,))


def _function(frame: str) -> str:
    """A frame without the offset in its function; what has no function keeps it."""
    return _OFFSET.sub("", frame) if "`" in frame else frame


def merged(found: Iterable[tuple[tuple[Frame, ...], Blocked]]) -> list[BlockedStack]:
    """One of each stack, the longest time first; equal ones in the order of their frames."""
    sums: dict[tuple[Frame, ...], Blocked] = {}
    for frames, blocked in found:
        total = sums.setdefault(frames, Blocked())
        total.ns += blocked.ns
        total.count += blocked.count
        total.still += blocked.still
    stacks = [
        BlockedStack(frames, each.ns, each.count, each.still) for frames, each in sums.items()
    ]
    return sorted(stacks, key=lambda stack: (-stack.ns, [frame.text for frame in stack.frames]))
