"""Whether the processes and threads that a collection is limited to are still there."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from typing import Self

from sysdash.filters import Filters

_PIDFD_THREAD = os.O_EXCL  # include/uapi/linux/pidfd.h, since Linux 6.9

_MOST_FILES = 64
"""Files that are kept open; the probe needs some, too."""


class Lifetimes:
    """Watches the processes and threads of filters, from now on; a context manager."""

    def __init__(self, filters: Filters) -> None:
        """Begin to watch.

        Args:
            filters: whose ``pids`` and ``tids`` are watched; what is not there has ended.
        """
        self._watched = [
            (_Watched(numbers, flags), f"the {one if len(numbers) == 1 else many} ended")
            for numbers, flags, one, many in (
                (filters.pids, 0, "process has", "processes have"),
                (filters.tids, _PIDFD_THREAD, "thread has", "threads have"),
            )
            if numbers
        ]

    def over(self) -> str | None:
        """Why nothing more can come, in a few words; None as long as something can."""
        return next((words for watched, words in self._watched if watched.ended()), None)

    def __bool__(self) -> bool:
        """Whether there is anything to watch."""
        return bool(self._watched)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for watched, _words in self._watched:
            watched.close()


class _Watched:
    """Some processes or threads, of which one that is there is enough."""

    def __init__(self, numbers: Iterable[int], flags: int) -> None:
        self._left: list[tuple[int, int | None]] = []
        for number in numbers:
            try:
                # It stays that of this process when the number is given to another one.
                pidfd = os.pidfd_open(number, flags) if len(self._left) < _MOST_FILES else None
            except ProcessLookupError:
                continue
            except OSError:  # an older kernel, or nobody may
                pidfd = None
            self._left.append((number, pidfd))

    def ended(self) -> bool:
        """Whether all have ended."""
        while self._left and _has_ended(*self._left[-1]):
            _close(self._left.pop()[1])
        return not self._left

    def close(self) -> None:
        """Watch no longer."""
        while self._left:
            _close(self._left.pop()[1])


def _has_ended(number: int, pidfd: int | None) -> bool:
    if pidfd is not None:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        return bool(poller.poll(0))
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is there, and another user's
    return False


def _close(pidfd: int | None) -> None:
    if pidfd is not None:
        os.close(pidfd)
