"""Stacks of threads that sleep inside a call, at no cost for them."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from sysdash.probes import tasks
from sysdash.probes.symbols import RawStack, Space, Stacks

_STACK_BYTES = 32768
"""Of a user stack, from its top on: buffers of 16 KB on the stack are not rare."""

_MOST_KEPT, _MOST_KEPT_BYTES = 4096, 16 << 20
"""User stacks that are remembered, and what their copies may take; compressed, most take less than
a kilobyte."""


@dataclass(frozen=True, slots=True, eq=False)
class Sleeper:
    """A thread that has been asleep inside a call since before the probe was attached.

    There is one object for each call.

    Attributes:
        pid, tid: the thread.
        comm: its process's name, unsafe bytes.
        nr, abi: the call that it is inside of.
        state: as in proc_pid_stat(5): ``S`` where signals wake it, ``D`` where none does; another
            letter, or none, where it did not just sleep.
        kernel: the kernel's frames, innermost first: safe text.
        user: gives the frames of its program, innermost first, symbolised (safe text) when they are
            asked for, which takes time; none where they are not known or not wanted.
    """

    pid: int
    tid: int
    comm: bytes
    nr: int
    abi: int
    state: str
    kernel: tuple[str, ...]
    user: Callable[[], tuple[str, ...]]


class UserStack:
    """A thread's user stack while it is inside one call."""

    def __init__(self, stacks: Stacks, space: Space, raw: RawStack) -> None:
        """Keep what it is symbolised from."""
        self._stacks = stacks
        self._space = space
        # There can be many thousand.
        self._packed: RawStack | None = replace(raw, memory=zlib.compress(raw.memory, 1))
        self._frames: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """What the copy takes."""
        return len(packed.memory) if (packed := self._packed) else 0

    def frames(self) -> tuple[str, ...]:
        """The frames, innermost first: safe text; as :meth:`Stacks.frames`."""
        packed = self._packed
        if packed is None:
            return self._frames
        raw = replace(packed, memory=zlib.decompress(packed.memory))
        self._frames, final = self._stacks.result(self._space, raw)
        if final:
            self._packed = None
        return self._frames

    def forget(self) -> None:
        """Let go of the copy: the frames are those that are known by now."""
        self._packed = None


class UserStacks:
    """Takes copies of user stacks, and keeps so many."""

    def __init__(self, stacks: Stacks) -> None:
        """Take none yet."""
        self._stacks = stacks
        # With what each took at first.
        self._kept: OrderedDict[UserStack, int] = OrderedDict()
        self._bytes = 0

    def take(self, pid: int, tid: int, inside: tasks.Inside, program: int) -> UserStack | None:
        """Copy the stack of a thread. From any thread.

        This may hang where the process blocks its readers.

        Args:
            pid: its process.
            tid: the thread.
            inside: the call that it is inside of; whether it still is, is to be looked at
                afterwards.
            program: what :func:`sysdash.probes.tasks.state` told of it.

        Returns:
            None where it cannot be read, or not now.
        """
        memory = tasks.stack_copy(pid, tid, inside.sp, _STACK_BYTES)
        space = self._stacks.note_if_possible(pid, program) if memory else None
        if space is None:
            return None
        # The registers of a thread that is not stopped are these two.
        return UserStack(self._stacks, space, RawStack(inside.ip, inside.sp, None, (), memory))

    def keep(self, stack: UserStack) -> None:
        """Remember a stack that was taken, or is still of use; the oldest give way to it."""
        if stack in self._kept:
            self._kept.move_to_end(stack)
        else:
            self._kept[stack] = stack.nbytes
            self._bytes += stack.nbytes
        while len(self._kept) > _MOST_KEPT or self._bytes > _MOST_KEPT_BYTES:
            old, size = self._kept.popitem(last=False)
            self._bytes -= size
            old.forget()
