"""A program in a terminal of its own: a pseudo-terminal with an emulator at its other end."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

# A run of the tests beside other work can be slow; what takes longer than this does not happen.
PATIENCE_S = 30.0


class Terminal:
    """Starts a program, types to it, shows what its screen looks like.

    Attributes:
        process: the program, which leads a session that has this terminal.
        screen: what the emulator makes of all that the program wrote.
        raw: all that it wrote.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._master, self._slave = pty.openpty()
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = bytearray()
        self._set_size(columns, rows)
        self.blank_modes = frozenset(self.screen.mode)
        self._settings = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={"TERM": "xterm-256color", **(os.environ if environment is None else environment)},
            start_new_session=True,
            # The tests start no threads of their own.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.hang_up()
        os.close(self._slave)

    # --- Typing ---

    def type(self, keys: str) -> None:
        """Send what a keyboard sends for these keys."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Change the window's size, which the program is told by SIGWINCH."""
        self.screen.resize(rows, columns)
        self._set_size(columns, rows)

    def hang_up(self) -> None:
        """Close the terminal's window."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    # --- Looking ---

    def read(self, seconds: float) -> None:
        """Take in what the program writes within this time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._master], [], [], min(left, 0.05))[0]:
                written = os.read(self._master, 65536)
                self.raw += written
                self._stream.feed(written)

    @property
    def lines(self) -> list[str]:
        """The screen's lines, a wide character as one."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """The screen's lines as one text."""
        return "\n".join(self.lines)

    def wait(self, seen: Callable[[str], object], *, what: str) -> str:
        """Read until ``seen`` is true of the screen's text, and return that; else fail."""
        end = time.monotonic() + PATIENCE_S
        while not (seen(self.text) and self._is_whole(seen)):
            ended = self.process.poll()
            if ended is not None:
                self.read(0.1)
                raise AssertionError(f"ended with {ended} before {what}:\n{self.text}")
            if time.monotonic() > end:
                raise AssertionError(f"no {what}:\n{self.text}")
            self.read(0.1)
        return self.text

    def _is_whole(self, seen: Callable[[str], object]) -> bool:
        """Whether it is still true when the rest of the frame has come, which comes in pieces."""
        self.read(0.05)
        return bool(seen(self.text))

    def wait_for(self, *words: str) -> str:
        """Read until all of ``words`` are on the screen."""
        return self.wait(lambda text: all(word in text for word in words), what=repr(words))

    # --- Afterwards ---

    def wait_end(self) -> int:
        """Wait for the program's end and return its exit status."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError(f"did not end:\n{self.text}")
            if self._master >= 0:
                self.read(0.05)
            else:
                time.sleep(0.05)
        if self._master >= 0:
            self.read(0.1)
        return self.process.returncode

    def settings_restored(self) -> bool:
        """Whether the line settings (echo, line mode, signals...) are those from before."""
        return termios.tcgetattr(self._slave) == self._settings
