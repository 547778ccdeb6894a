"""Signals: which of them end sysdash, and how they are kept from where they would do harm."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals by which a user, or the system, asks a program to end."""


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Let SIGINT end the process at once, as it ends a program that does not know it.

    While modules are imported, a KeyboardInterrupt can be raised where Python only reports it with
    a traceback and goes on (in the callbacks of the import system's weak references), or be turned
    into another exception. Where SIGINT is ignored or handled otherwise, that stays so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def held_back(numbers: Iterable[int]) -> Iterator[None]:
    """Keep signals pending in the meantime; threads that begin in it keep them so for good."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def for_this_thread_alone() -> Iterator[None]:
    """Keep signals from every thread that is begun in the meantime, for good.

    numpy's libraries begin threads when they are loaded. The kernel gives a signal for the process
    to any thread that does not hold it back; a main thread that takes its signals when it wants to
    (``sigtimedwait``) would miss it.
    """
    with held_back(signal.valid_signals()):
        yield
