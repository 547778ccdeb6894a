"""How far something that takes long has come, in a line of standard error that is written over."""

from __future__ import annotations

import math
import sys
import time

from sysdash.units import width

_QUIET_S = 2.0
"""What takes no longer needs no words."""

_EVERY_S = 0.2


class Progress:
    """One line on the terminal, after a while; nothing where standard error is not one."""

    def __init__(self) -> None:
        """Begin to wait."""
        self._due = time.monotonic() + _QUIET_S if sys.stderr.isatty() else math.inf
        self._columns = 0

    @property
    def due(self) -> bool:
        """Whether it is time to say something."""
        return time.monotonic() >= self._due

    def show(self, words: str) -> None:
        """Say how far it is, in safe text that fits in a line, in place of what was said before."""
        self._due = time.monotonic() + _EVERY_S
        line = f"sysdash: {words}"
        print(f"\r{line}{' ' * (self._columns - width(line))}", end="", file=sys.stderr, flush=True)
        self._columns = width(line)

    def clear(self) -> None:
        """Take it back, before something else is printed, or at the end."""
        if self._columns:
            print(f"\r{' ' * self._columns}\r", end="", file=sys.stderr, flush=True)
            self._columns = 0
