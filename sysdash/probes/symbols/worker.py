"""A thread for work that the kernel may never let end; one that is stuck is left for another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sysdash.interrupts import for_this_thread_alone

_PATIENCE_S = 1.0
_MOST_STUCK = 4
_MOST_WAITING = 512


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do.

    Attributes:
        work: does it; must not raise.
        give_up: called, on another thread, when the work is stuck or will not be begun. Work that
            was stuck may still come to its end.
    """

    work: Callable[[], None]
    give_up: Callable[[], None]


@dataclass(eq=False, slots=True)
class _Run:
    """One thread: what it is at since when, and whether nobody waits for it any more."""

    job: Job | None = None
    began: float = 0.0
    abandoned: bool = False


class Worker:
    """Does jobs in their order. No lock is held while one is done."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._run: _Run | None = None
        self._stuck = 0
        self._closed = False

    def submit(self, job: Job) -> bool:
        """Have a job done, without waiting for it; False if it will not be done."""
        self.check()
        with self._changed:
            if self._closed or self._stuck >= _MOST_STUCK or len(self._jobs) >= _MOST_WAITING:
                return False
            if not self._begin():
                return False
            self._jobs.append(job)
            self._changed.notify()
        return True

    def check(self) -> None:
        """Leave a job that is stuck, and go on with the next; to be called now and then."""
        given_up: list[Job] = []
        with self._changed:
            run = self._run
            if run and run.job and time.monotonic() - run.began > _PATIENCE_S:
                given_up.append(run.job)
                run.abandoned = True
                self._run = None
                self._stuck += 1
            if self._stuck >= _MOST_STUCK:
                given_up += self._jobs
                self._jobs.clear()
            elif self._jobs:
                self._begin()
        for job in given_up:
            job.give_up()

    def close(self) -> None:
        """Let the thread end with what it is at, and give up the rest."""
        with self._changed:
            self._closed = True
            given_up = list(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()
        for job in given_up:
            job.give_up()

    def _begin(self) -> bool:
        """Have a thread; False where the system gives none."""
        if self._run is None:
            run = _Run()
            thread = threading.Thread(target=self._work, args=(run,), name="mappings", daemon=True)
            try:
                # The signals that end sysdash are for the thread that waits for them.
                with for_this_thread_alone():
                    thread.start()
            except RuntimeError:
                return False
            self._run = run
        return True

    def _work(self, run: _Run) -> None:
        while True:
            with self._changed:
                run.job = None
                if run.abandoned:
                    self._stuck -= 1
                    return
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                job = run.job = self._jobs.popleft()
                run.began = time.monotonic()
            job.work()
