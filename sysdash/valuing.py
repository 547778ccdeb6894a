"""Counts values of calls while somebody looks: one question at a time, beside the main thread.

A probe of its own counts them, so that nothing is paid for it otherwise. Starting and stopping one
takes some tenths of a second, which the screen does not wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from sysdash.distribution import Distribution, Gathering, Question
from sysdash.interrupts import for_this_thread_alone
from sysdash.model import Snapshot

LONGEST_S = 1.0
"""Counts are taken after this time at the latest: there is not room for any number of values."""


class Counting(Protocol):
    """What counts, such as :class:`sysdash.collector.Collector`.

    Attributes:
        interval_s: seconds between two snapshots; may be set at any time.
        error: what ended it; None while all is well.
    """

    interval_s: float
    error: BaseException | None

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End; when this returns, nothing of it is left in the kernel. May take a while."""


Publish = Callable[[Snapshot], None]
Wake = Callable[[], None]

Count = Callable[[Question, float, Publish, Wake], Counting | str]
"""Makes what counts the answer to a question; or says why nothing can, as things are now.

It is given the seconds between two snapshots. What it makes calls the first function with each
snapshot, and the second after each of these and when it dies of an exception, both from a thread of
its own.
"""

Said = Callable[[], str]
"""The last line that libraries wrote to standard error since it was asked last; empty for none."""


class _Run:
    """One question being answered."""

    def __init__(self, question: Question, wake: Wake, said: Said) -> None:
        self.question = question
        self.ended = False
        self._counting: Counting | None = None
        self._found: Distribution | None = None
        self._why: str | None = None
        self._gathering = Gathering(question)
        self._wake = wake
        self._said = said

    def publish(self, snapshot: Snapshot) -> None:
        """Take what was counted."""
        self._found = self._gathering.add(snapshot)

    def begin(self, counting: Counting) -> None:
        """Have this count."""
        self._counting = counting
        counting.start()

    def set_interval(self, seconds: float) -> None:
        """Have a snapshot as often as this."""
        if self._counting is not None:
            self._counting.interval_s = seconds

    def end(self) -> threading.Thread:
        """Begin to stop it; calls ``wake`` when that is done."""
        with for_this_thread_alone():
            thread = threading.Thread(target=self._stop, name="stop counting", daemon=True)
            thread.start()
        return thread

    def _stop(self) -> None:
        try:
            if self._counting is not None:
                self._counting.stop()
        finally:
            self.ended = True
            self._wake()

    @property
    def answer(self) -> Distribution | str | None:
        error = None if self._counting is None else self._counting.error
        if error is None:
            return self._found
        if self._why is None:
            # A library may have said more than is in the exception that came of it.
            reason = str(error) or type(error).__name__
            self._why = "; ".join(filter(None, (self._said(), reason)))
        return self._why


class Valuing:
    """Answers the question that is on show, and no other; all of it is for the main thread."""

    def __init__(self, count: Count, wake: Wake, said: Said = lambda: "") -> None:
        """Count nothing yet.

        Args:
            count: makes what counts.
            wake: is called, from other threads, whenever :meth:`count` and :attr:`answer` are worth
                a look again.
            said: what libraries have said of an error.
        """
        self._count = count
        self._wake = wake
        self._said = said
        self._interval_s = LONGEST_S
        self._run: _Run | None = None
        self._ending: list[tuple[_Run, threading.Thread]] = []
        self._wanted: Question | None = None
        self._refusal: str | None = None

    @property
    def question(self) -> Question | None:
        """What is being counted, or about to be; None for nothing."""
        return self._wanted

    @property
    def refused(self) -> bool:
        """Whether nothing was begun, as nothing can be counted as things are now."""
        return self._refusal is not None

    @property
    def answer(self) -> Distribution | str | None:
        """The counts so far; why there are none; None as long as neither is known."""
        return self._refusal if self._run is None else self._run.answer

    @property
    def behind(self) -> bool:
        """Whether :meth:`count` has something to begin that had to wait for another's end."""
        waits = self._run is None and self._wanted is not None and not self.refused
        return waits and self._all_ended()

    def count(self, question: Question | None) -> None:
        """Count what answers a question, and nothing else, from now on; None for nothing.

        If it is being answered already, nothing changes. An old one ends before a new one begins,
        so it may be for one of the next calls, with the same question, to begin it. What could not
        be counted is tried again by each call.
        """
        if question != self._wanted:
            self._wanted, self._refusal = question, None
        if self._run is not None and self._run.question != question:
            self._forget()
        if question is not None and self._run is None and self._all_ended():
            self._begin(question)

    def _begin(self, question: Question) -> None:
        self._said()  # what was said before is about something else
        run = _Run(question, self._wake, self._said)
        counting = self._count(question, self._interval_s, run.publish, self._wake)
        if isinstance(counting, str):
            self._refusal = counting
            return
        self._run, self._refusal = run, None
        run.begin(counting)

    def _forget(self) -> None:
        if self._run is not None:
            self._ending.append((self._run, self._run.end()))
            self._run = None

    def set_interval(self, seconds: float) -> None:
        """Have a snapshot as often as this, and often enough."""
        self._interval_s = min(seconds, LONGEST_S)
        if self._run is not None:
            self._run.set_interval(self._interval_s)

    def _all_ended(self) -> bool:
        self._ending = [pair for pair in self._ending if not pair[0].ended]
        return not self._ending

    def close(self) -> None:
        """Count nothing any more; returns when nothing of it is left in the kernel."""
        self._wanted = None
        self._forget()
        for _, thread in self._ending:
            thread.join()
