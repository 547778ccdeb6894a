"""The command after ``--``: a child that waits with its execve until the probe is attached."""

from __future__ import annotations

import errno
import os
import select
import signal
import stat
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn, Self

from sysdash.errors import CannotCollect, CannotRun
from sysdash.units import safe

_PATIENCE_S = 2.0
"""How long a command may take to end after SIGTERM."""

_LOOK_MS = 100
"""How often it is asked, while a command begins, whether anybody still waits for it."""

_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class Workload:
    """A command in a child process, which begins at :meth:`release`.

    The child stays in the process group and at the terminal of sysdash, so the terminal's Ctrl-C
    reaches it by itself. It has the default signal actions, except for those that sysdash itself
    was started to ignore. As a context manager, it leaves no child behind.

    Attributes:
        pid: of the child, and of the command.
    """

    def __init__(
        self, words: Sequence[str], *, stdin: int | None = None, output: int | None = None
    ) -> None:
        """Fork; must be called in the main thread.

        Args:
            words: the command, found as a shell finds it, and its arguments.
            stdin: the command's standard input, a file descriptor; by default that of sysdash.
            output: its standard output and standard error, likewise.

        Raises:
            CannotRun: the command is not found, or is not executable.
        """
        self._name = safe(words[0])
        self._code: int | None = None
        path = _find(words[0])
        # A parent that ignores SIGCHLD is not told how its children ended.
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        go, self._go = os.pipe()
        self._report, report = os.pipe()
        # No handler of sysdash must run in the child.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with warnings.catch_warnings():
                # That other threads may hold locks is no matter to a child that only execs.
                warnings.simplefilter("ignore", DeprecationWarning)
                self.pid = os.fork()
            if self.pid == 0:
                os.close(self._go)
                _wait_and_exec(path, words, go, report, stdin, output)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(go)
            os.close(report)

    def release(self, abandoned: Callable[[], bool] = lambda: False) -> None:
        """Let the command begin; returns when it has.

        Args:
            abandoned: whether there is no use in waiting any longer: a process that is stopped, or
                whose program is on a disk that does not answer, does not begin.

        Raises:
            CannotCollect: the kernel refuses to execute it.
        """
        with suppress(BrokenPipeError):  # it was killed while it waited
            os.write(self._go, b"\0")
        self._close_go()
        poller = select.poll()
        # Closed by the execve.
        poller.register(self._report, select.POLLIN)
        while not poller.poll(_LOOK_MS):
            if abandoned():
                return
        refused = os.read(self._report, 16)
        if refused:
            raise CannotCollect(f"cannot run {self._name!r}: {os.strerror(int(refused))}")

    def poll(self) -> int | None:
        """The exit status as a shell has it, 128 + N after signal N; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = _shell_code(status)
        return self._code

    def send(self, number: int) -> None:
        """Send the command a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> int:
        """End the command, by force if it does not go; returns :meth:`poll`'s status."""
        self._close_go()
        code = self.poll()
        if code is not None:
            return code
        ended = False
        try:
            self.send(signal.SIGTERM)
            self.send(signal.SIGCONT)  # a stopped process would not see it
            ended = self._ends_within(_PATIENCE_S)
        finally:
            if not ended:
                self.send(signal.SIGKILL)
            code = self._code
            if code is None:
                code = self._code = _shell_code(os.waitpid(self.pid, 0)[1])
        return code

    def _ends_within(self, seconds: float) -> bool:
        if self._code is not None:
            return True
        pidfd = os.pidfd_open(self.pid)
        try:
            poller = select.poll()
            poller.register(pidfd, select.POLLIN)
            return bool(poller.poll(seconds * 1000))
        finally:
            os.close(pidfd)

    def _close_go(self) -> None:
        if self._go >= 0:
            os.close(self._go)
            self._go = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.terminate()
        finally:
            os.close(self._report)


class Tail:
    """A pipe for a command to write to; keeps the end of what was written.

    The file descriptor of :meth:`fileno` is the command's; when it has it, :meth:`begin`. As a
    context manager, it leaves nothing open.
    """

    def __init__(self, most: int) -> None:
        """Make the pipe.

        Args:
            most: bytes to keep.
        """
        self._most = most
        self._kept = bytearray()
        self._cut = 0
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._read_on, name="output", daemon=True)

    def fileno(self) -> int:
        """The pipe's other end, to give to a command."""
        return self._writer

    def begin(self) -> None:
        """Begin to read, on a thread of its own."""
        self._close_writer()
        self._thread.start()

    def end(self) -> tuple[bytes, int]:
        """Stop reading.

        Returns:
            The last bytes that were written, and how many before them were not kept.
        """
        os.write(self._end, b"\0")
        self._thread.join()
        self._read()
        return bytes(self._kept), self._cut

    def _read_on(self) -> None:
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        poller.register(self._ended, select.POLLIN)
        while self._ended not in dict(poller.poll()) and self._read():
            pass

    def _read(self) -> bool:
        """Take what is in the pipe now; False if nobody will write to it any more."""
        try:
            # As much as a pipe holds, so that one who writes on and on cannot keep us here.
            written = os.read(self._reader, 1 << 20)
        except BlockingIOError:
            return True
        self._kept += written
        over = max(len(self._kept) - self._most, 0)
        del self._kept[:over]
        self._cut += over
        return bool(written)

    def _close_writer(self) -> None:
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_writer()
        for descriptor in (self._reader, self._ended, self._end):
            os.close(descriptor)


def _find(name: str) -> str:
    """The file that ``execvp`` would execute.

    Found beforehand, so that the command begins with one execve, and no failed ones are counted.

    Raises:
        CannotRun: there is none.
    """
    folders = os.environ.get("PATH", os.defpath).split(":")
    # An empty entry of PATH is the working directory.
    candidates = [name] if "/" in name else [f"{folder or '.'}/{name}" for folder in folders]
    reason = errno.ENOENT
    for path in candidates if name else []:
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116  (the path is used as it was typed)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                reason = error.errno or reason
            continue
        if stat.S_ISREG(mode) and os.access(path, os.X_OK, effective_ids=True):
            return path
        reason = errno.EACCES
    raise CannotRun(f"cannot run {safe(name)!r}: {os.strerror(reason)}")


def _wait_and_exec(
    path: str,
    words: Sequence[str],
    go: int,
    report: int,
    stdin: int | None,
    output: int | None,
) -> NoReturn:
    """The child: wait for a byte, then become the command; leave if there is none to come."""
    try:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)) or number in _IGNORED_BY_PYTHON:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if stdin is not None:
            os.dup2(stdin, 0)
        if output is not None:
            os.dup2(output, 1)
            os.dup2(output, 2)
        if os.read(go, 1):
            try:
                os.execve(path, list(words), os.environ)
            except OSError as error:
                os.write(report, str(error.errno).encode())
    finally:
        # Whatever happened, this process must not go on as a second sysdash.
        os._exit(127)


def _shell_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
