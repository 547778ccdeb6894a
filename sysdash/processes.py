"""The names of processes whose rows have the names of their threads. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sysdash.records import COMM_LEN

Numbers = npt.NDArray[np.uint32]
Names = npt.NDArray[np.bytes_]

_MOST = 1 << 17
"""Processes whose names are remembered."""


class Processes:
    """Names of processes, by what has been seen of their first threads."""

    def __init__(self) -> None:
        # The PIDs ascend.
        self._pids: Numbers = np.zeros(0, dtype=np.uint32)
        self._names: Names = np.zeros(0, dtype=f"S{COMM_LEN}")

    def names(self, pid: Numbers, tid: Numbers, comm: Names) -> Names:
        """The names of the processes of an interval's rows, which are remembered.

        That is the name of the process's first thread, in these rows or, where it made no calls, in
        the ones that were seen last with it; and where it is not known, that of the thread with the
        lowest number, so that a process has one name in any case. The first thread's own rows stay
        as they are: it may have taken another name in the middle.

        Args:
            pid: the process of each row.
            tid: its thread.
            comm: that thread's own name.
        """
        if not len(pid):
            return comm
        # By process, its first thread before all others, those by their numbers.
        order = np.lexsort((tid, pid != tid, pid))
        here, first = np.unique(pid[order], return_index=True)
        first = order[first]
        guessed = comm[first].astype(f"S{COMM_LEN}")
        leads = pid[first] == tid[first]
        names = _looked_up(here, self._pids, self._names, guessed)
        names[leads] = guessed[leads]
        self._remember(here[leads], guessed[leads])
        found = names[np.searchsorted(here, pid)]
        return np.where(pid == tid, comm, found)

    def _remember(self, pids: Numbers, names: Names) -> None:
        together = np.concatenate([pids, self._pids])
        kept, newest = np.unique(together, return_index=True)
        if len(kept) > _MOST:
            self._pids, self._names = pids, names
            return
        self._pids, self._names = kept, np.concatenate([names, self._names])[newest]


def _looked_up(pids: Numbers, known: Numbers, names: Names, otherwise: Names) -> Names:
    """The name of each PID among those that are known, which ascend; or another one."""
    if not len(known):
        return otherwise.copy()
    at = np.minimum(np.searchsorted(known, pids), len(known) - 1)
    return np.where(known[at] == pids, names[at], otherwise)
