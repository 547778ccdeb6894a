"""The stacks of blocked threads looked up, beside a progress line for a person who waits."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

from sysdash.blocking import Blocked, BlockedStack, Frame, Sums, merged, stack_of, without_program
from sysdash.commands import printing
from sysdash.interrupts import ENDING
from sysdash.probes.aside import Aside

_STACK_S = 5.0
"""How long one stack may take: its files may lie on a server that does not answer."""

_SILENT_S = 2.0
"""How long it may take altogether before it is told."""

_GRACE_S = 1.0
"""How long it goes on when the user wants to end."""


class Lookups:
    """Looks up stacks; what a program's files keep from being read is left out, and told."""

    def __init__(self, by: str) -> None:
        """Know nothing yet.

        Args:
            by: what tells stacks apart, of :data:`sysdash.blocking.BY`.
        """
        self._by = by
        self._aside = Aside()
        self._stuck: set[int] = set()
        self._unread = 0

    def stacks(self, sums: Sums) -> list[BlockedStack]:
        """The stacks of what was added up, the longest time first."""
        self._unread = 0
        with closing(_Progress(len(sums))) as progress:
            found = merged(self._each(sums, progress))
        if self._unread:
            places = "1 place" if self._unread == 1 else f"{self._unread:,} places"
            printing.tell(f"{places} without the program's frames: they were not read in time")
        return found

    def _each(self, sums: Sums, progress: _Progress) -> Iterator[tuple[tuple[Frame, ...], Blocked]]:
        end = None
        for block, blocked in sums.items():
            # Signals are held back while calls are collected.
            if end is None and signal.sigpending() & set(ENDING):
                end = time.monotonic() + _GRACE_S
            left_s = _STACK_S if end is None else min(_STACK_S, end - time.monotonic())
            frames = None
            if left_s > 0 and block.pid not in self._stuck:
                found, stuck = self._aside.run([partial(stack_of, block, self._by)], left_s)
                frames = found[0] if found else None
                if stuck is not None:
                    self._stuck.add(block.pid)
            if frames is None:
                self._unread += 1
                frames = stack_of(without_program(block), self._by)
            progress.step()
            yield frames, blocked


class _Progress:
    """A line on a terminal's standard error, if it takes long; gone when it is closed."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._done = self._columns = 0
        self._told_at = time.monotonic() + (_SILENT_S if sys.stderr.isatty() else float("inf"))

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        now = time.monotonic()
        if now >= self._told_at:
            self._told_at = now + 0.1
            line = f"sysdash: reading stacks, {self._done:,} of {self._whole:,}"
            self._columns = len(line)
            print(f"\r{line}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Erase it."""
        if self._columns:
            print(f"\r{' ' * self._columns}\r", end="", file=sys.stderr, flush=True)
            self._columns = 0
