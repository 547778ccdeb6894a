"""How late the scheduler's clock is, by which /proc tells when a thread ran last."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections import Counter
from contextlib import suppress

from sysdash.probes import layout, tasks
from sysdash.probes.aside import Aside

_MEASURE_S = 0.05

_ATTEMPTS = 3
"""A CPU is given up after so many: it may be another's, or busy with what nobody can interrupt."""


class SchedulerClock:
    """Compares each CPU's clock with CLOCK_MONOTONIC.

    The clock of a CPU stands still while it serves interrupts and while the host runs something
    else, as far as the kernel takes account of these (update_rq_clock_task(), kernel/sched/core.c).
    So it falls behind, each CPU's by another time. To see how far, a thread goes there.
    """

    def __init__(self) -> None:
        """Measure nothing yet."""
        # Of its own: it may have to wait for a CPU.
        self._aside = Aside()
        self._late: dict[int, int | None] = {}
        self._in_vain: Counter[int] = Counter()
        # Nobody is to be disturbed there.
        self._kept_free = _listed("isolated") | _listed("nohz_full")

    def close(self) -> None:
        """End the thread that measures."""
        self._aside.close()

    def forget(self) -> None:
        """Measure anew when it is asked for."""
        self._late.clear()

    def late_ns(self, cpu: int) -> int | None:
        """How far a CPU's clock is behind CLOCK_MONOTONIC; None if that cannot be told."""
        if cpu not in self._late:
            self._late[cpu] = self._measure(cpu)
        return self._late[cpu]

    def _measure(self, cpu: int) -> int | None:
        if cpu < 0 or cpu in self._kept_free or self._in_vain[cpu] >= _ATTEMPTS:
            return None
        done, _ = self._aside.run([functools.partial(_measured, cpu)], _MEASURE_S)
        found = done[0] if done else None
        if found is None:
            self._in_vain[cpu] += 1
        return found


def _measured(cpu: int) -> int | None:
    try:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {cpu})
    except OSError:  # not in use, or not ours to use
        return None
    try:
        # That of a thread that runs is the time at which it began to, or of the last tick.
        ran_ns = tasks.last_ran_ns(os.getpid(), threading.get_native_id())
        return None if ran_ns is None else max(time.monotonic_ns() - ran_ns, 0)
    finally:
        _go_to(before)


def _go_to(cpus: set[int]) -> None:
    try:
        os.sched_setaffinity(0, cpus)
    except OSError:  # none of them is ours any more: the cpuset has changed meanwhile
        with suppress(OSError, ValueError):
            os.sched_setaffinity(0, range(layout.possible_cpus()))


def _listed(name: str) -> set[int]:
    """The CPUs of a list in sysfs; none where there is no such list."""
    try:
        return set(layout.cpu_list(name))
    except (OSError, ValueError):  # "(null)", on some kernels
        return set()
