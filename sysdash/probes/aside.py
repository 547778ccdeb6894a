"""A thread for work that may never end, so that whoever wants its result can go on without."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

from sysdash.interrupts import for_this_thread_alone

_T = TypeVar("_T")

_MOST_STUCK = 4
"""Threads that are given up at once; while there are so many, no more work is taken."""

_PATIENCE_S = 0.2
"""How long one job may take when there is no time left for others."""


class _Batch(Generic[_T]):
    def __init__(self, jobs: Sequence[Callable[[], _T | None]]) -> None:
        self.jobs = jobs
        self.results: list[_T | None] = []
        self.stop = False
        self.ended = threading.Event()

    def work(self) -> None:
        for job in self.jobs:
            if self.stop:
                break
            try:
                result = job()
            except Exception:  # noqa: BLE001  (a thread's traceback would be printed over the screen)
                result = None
            self.results.append(result)
        self.ended.set()


class Aside:
    """Does jobs on a thread of its own; one that is stuck is left behind for another."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Batch[object] | None] | None = None
        self._stuck: list[_Batch[object]] = []

    def run(
        self, jobs: Sequence[Callable[[], _T | None]], seconds: float
    ) -> tuple[list[_T | None], int | None]:
        """Do jobs, in their order, as many as there is time for.

        While too many threads are stuck, nothing is done; one that comes back counts no more.

        Args:
            jobs: the result of one that raises is None.
            seconds: how long to wait for all of them.

        Returns:
            The results of those that are done, and the index of the one that is stuck, if one is.
        """
        self._stuck = [batch for batch in self._stuck if not batch.ended.is_set()]
        if not jobs or len(self._stuck) >= _MOST_STUCK:
            return [], None
        if self._queue is None:
            self._queue = SimpleQueue()
            thread = threading.Thread(target=_work, args=(self._queue,), name="aside", daemon=True)
            # The signals that end sysdash are for the thread that waits for them.
            with for_this_thread_alone():
                thread.start()
        batch = _Batch(jobs)
        self._queue.put(batch)  # type: ignore[arg-type]
        if not batch.ended.wait(seconds):
            batch.stop = True
            if not batch.ended.wait(_PATIENCE_S):
                self._stuck.append(batch)  # type: ignore[arg-type]
                self.close()
                done = list(batch.results)
                return done, len(done) if len(done) < len(jobs) else None
        return batch.results, None

    def close(self) -> None:
        """Let the thread end when it has done what it is at."""
        if self._queue is not None:
            self._queue.put(None)
            self._queue = None


def _work(queue: SimpleQueue[_Batch[object] | None]) -> None:
    while (batch := queue.get()) is not None:
        batch.work()
