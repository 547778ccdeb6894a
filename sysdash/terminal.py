"""The dashboard in a terminal: urwid's loop, signals, and how all is left as it was.

:func:`run` wires an :class:`sysdash.app.App` to a collector::

    history = History(keep_slow=settings.slow_keep)
    terminal.run(
        lambda wake: Collector(open_source, settings.interval_s, history.append, wake),
        history,
        interval_s=settings.interval_s,
        sort=settings.sort,
        theme=settings.theme,
        display=settings.display,
    )

The collector's thread appends a snapshot to the history and calls ``wake``, which writes a byte to
a pipe that the loop watches; also when it dies of an exception, which ``run`` then raises after the
terminal is restored. Signals take the same way, so that nothing ends in the middle of drawing.
"""

from __future__ import annotations

import curses
import errno
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

import urwid

from sysdash import units
from sysdash.app import App, Recordings
from sysdash.arguments import Signatures
from sysdash.interrupts import ENDING
from sysdash.panels.calls import Tell
from sysdash.theme import palette
from sysdash.travel import Playback, Remembers
from sysdash.ui_state import Example
from sysdash.valuing import Count, Valuing

_POLL_S = 0.1
_DRAWS_S = 0.005

_STDERR = 2
_MOST_SAID = 64 * 1024
_LONGEST_LINE = 300


class Control(Protocol):
    """What the dashboard needs of a collector.

    Attributes:
        interval_s: the refresh interval in seconds; may be set at any time.
        watch_in_flight: whether what is known of calls in flight is on show, so that it is worth
            looking it up; may be set at any time.
        example: syscall number, ABI code and errno of failed calls that are to be listed however
            fast they are; None for none; may be set at any time.
        error: what ended its thread; None while all is well.
    """

    interval_s: float
    watch_in_flight: bool
    example: Example | None
    error: BaseException | None

    def start(self) -> None:
        """Begin to collect."""

    def stop(self) -> None:
        """End; when this returns, ``wake`` is not called any more."""


def _monochrome() -> bool:
    """Whether terminfo says that the terminal has no colours.

    urwid only ever raises the number that it guesses from the terminal's name: a vt100 gets 16.
    """
    if any(os.environ.get(name) for name in ("COLORTERM", "FORCE_COLOR", "CLICOLOR_FORCE")):
        return False
    try:
        curses.setupterm()
    except curses.error:
        return False
    return curses.tigetnum("colors") < 8


def _screen(display: str) -> urwid.BaseScreen:
    if display == "curses":
        from urwid.display.curses import Screen as CursesScreen

        return CursesScreen()
    if display == "raw":
        from urwid.display.raw import Screen as RawScreen

        screen = RawScreen()
        if _monochrome():
            screen.set_terminal_properties(colors=1)
        return screen
    raise ValueError(f"no display is called {display!r}: raw, curses")


def _end_when(done: Callable[[], bool], loop: urwid.MainLoop) -> None:
    """Look now and then whether to end the loop."""

    def look(*_: object) -> None:
        if done():
            raise urwid.ExitMainLoop
        loop.set_alarm_in(_POLL_S, look)

    loop.set_alarm_in(_POLL_S, look)


class _Said:
    """Keeps what is written to standard error while the screen is the dashboard's.

    Libraries that are not Python, as bcc's, write to the descriptor, and would write across the
    screen. A standard error that is no terminal is left as it is.

    Attributes:
        failed: whether something is lost if nobody sees what was written.
    """

    def __init__(self) -> None:
        self.failed = False
        self._kept = bytearray()
        self._new = bytearray()
        self._reader = self._before = -1
        if os.isatty(_STDERR):
            self._reader, writer = os.pipe()
            # Nobody waits for a reader: what a pipe does not hold is lost.
            os.set_blocking(self._reader, False)
            os.set_blocking(writer, False)
            self._before = os.dup(_STDERR)
            os.dup2(writer, _STDERR)
            os.close(writer)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            if self._reader >= 0:
                self._new += os.read(self._reader, _MOST_SAID)

    def line(self) -> str:
        """The last line since the last time, made safe and not too long; empty for none."""
        self._read()
        new, self._new = self._new, bytearray()
        self._kept = (self._kept + new)[-_MOST_SAID:]
        lines = bytes(new).decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return units.fit(units.safe(last.strip()), _LONGEST_LINE)

    def give_back(self) -> None:
        """From now on, what is written goes where it went before; after a failure, all of it."""
        if self._before < 0:
            return
        os.dup2(self._before, _STDERR)
        self.line()
        if self.failed:
            # Where the terminal has gone away, there is nobody to tell.
            with suppress(OSError):
                os.write(_STDERR, self._kept)
        os.close(self._before)
        os.close(self._reader)
        self._before = self._reader = -1

    @property
    def before(self) -> int:
        """The descriptor of what was standard error before; that itself if nothing has changed."""
        return _STDERR if self._before < 0 else self._before


@contextmanager
def _standard_error_kept() -> Iterator[_Said]:
    """Standard error is kept in the meantime, and given back after the last of the screen.

    What must be seen is: all of it after an exception, also in a thread, and at once what Python
    tells of a crash.
    """
    said, hook = _Said(), threading.excepthook

    def told(args: threading.ExceptHookArgs) -> None:
        said.failed = True
        hook(args)

    crashes = faulthandler.is_enabled() and said.before != _STDERR
    threading.excepthook = told
    try:
        if crashes:
            faulthandler.enable(said.before)
        yield said
    except BaseException:
        said.failed = True
        raise
    finally:
        threading.excepthook = hook
        said.give_back()
        if crashes:
            faulthandler.enable(_STDERR)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP go to ``handler`` in the meantime."""
    before = {number: signal.signal(number, handler) for number in ENDING}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def run(
    make_collector: Callable[[Callable[[], None]], Control],
    history: Remembers,
    *,
    interval_s: float = 1.0,
    sort: str = "rate",
    theme: str = "default",
    display: str = "raw",
    limits: str = "",
    most: int | None = None,
    mode: str = "LIVE",
    tell: Tell | None = None,
    signatures: Signatures | None = None,
    count_values: Count | None = None,
    done: Callable[[], bool] | None = None,
    recordings: Recordings | None = None,
    playback: Playback | None = None,
) -> None:
    """Show the dashboard until the user or a signal ends it; the terminal is restored in any case.

    Must be called in the main thread, with a terminal at standard input and output.

    Args:
        make_collector: makes the collector, given the function that it calls from its thread after
            each snapshot and when it dies. It is started and stopped here.
        history: what the collector fills.
        interval_s: see :class:`App`.
        sort: see :class:`App`.
        limits: see :class:`App`.
        most: see :class:`App`.
        mode: see :class:`App`.
        tell: see :class:`App`.
        signatures: see :class:`App`.
        count_values: makes what counts the values of an argument, while they are on show; None
            where that cannot be done.
        done: asked ten times a second; the dashboard ends when it says so.
        recordings: what R starts and stops; None where nothing can be recorded.
        playback: the player, where a recording is on show.
        theme: one of :data:`sysdash.theme.THEMES`.
        display: ``raw`` or ``curses``, urwid's two screens.

    Raises:
        BaseException: whatever ended the collector's thread.
    """
    app = App(
        history,
        interval_s=interval_s,
        sort=sort,
        limits=limits,
        most=most,
        mode=mode,
        tell=tell,
        signatures=signatures,
    )
    # urwid's curses screen does not look at NO_COLOR.
    styles = palette("mono" if os.environ.get("NO_COLOR") else theme)
    loop = urwid.MainLoop(app.root, styles, _screen(display), handle_mouse=True)
    ending = False

    def look() -> None:
        if ending or control.error is not None:
            raise urwid.ExitMainLoop
        app.refresh()

    def poll(*_: object) -> None:
        if ending or control.error is not None or app.outdated:
            look()
        loop.set_alarm_in(_POLL_S, poll)

    pipe = loop.watch_pipe(lambda _: look())
    # A full pipe means that the loop has a wake-up to come anyway.
    os.set_blocking(pipe, False)

    def wake() -> None:
        with suppress(BlockingIOError):
            os.write(pipe, b"\0")

    def end(number: int, _: FrameType | None) -> None:
        nonlocal ending
        ending = True
        wake()
        if display == "curses" and (number == signal.SIGHUP or _is_gone()):
            # urwid would ask curses for keys for ever, and look at nothing else.
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    control = make_collector(wake)

    def set_interval(seconds: float) -> None:
        control.interval_s = seconds

    def set_watch(on: bool) -> None:
        control.watch_in_flight = on

    def set_example(example: Example | None) -> None:
        control.example = example

    app.recordings = recordings
    if playback is not None:
        app.playback = playback
    app.set_interval = set_interval
    app.set_watch = set_watch
    app.set_example = set_example
    app.later = lambda seconds, action: loop.set_alarm_in(
        # urwid draws only where no alarm is due at once.
        max(seconds, _DRAWS_S),
        lambda *_: action(),
    )
    if display == "curses":
        # urwid waits for keys inside curses then, and watches no pipe.
        loop.set_alarm_in(_POLL_S, poll)
    with _standard_error_kept() as said:
        if count_values is not None:
            app.valuing = Valuing(count_values, wake, said.line)
            app.valuing.set_interval(interval_s)
        try:
            with _handled(end):
                try:
                    control.start()
                    app.refresh()
                    if done is not None:
                        _end_when(done, loop)
                    loop.run()
                finally:
                    try:
                        control.stop()
                    finally:
                        if app.valuing is not None:
                            app.valuing.close()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            _leave_terminal()
        finally:
            loop.remove_watch_pipe(pipe)
            os.close(pipe)
        if control.error is not None:
            raise control.error


def _is_gone() -> bool:
    """Whether the terminal has been closed."""
    try:
        os.tcgetpgrp(sys.stdin.fileno())
    except OSError:
        return True
    return False


def _leave_terminal() -> None:
    """The terminal has gone away: let what is still to be written to it go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
