"""What /proc tells about the machine and about sysdash itself."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from sysdash.records import Host

INIT_PID_NS = 0xEFFFFFFC
"""Inode of the initial PID namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h)."""

_PROC = "/proc"
_STAT = Path("/proc/stat")
_STATM = Path("/proc/self/statm")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

_MOST_TRIES = 5
_AGAIN_S = 60.0
"""Folders of /proc that are no process's are counted anew after this time: only a kernel module
that is loaded or unloaded changes them."""


def pid_namespace() -> int:
    """Inode of the PID namespace that sysdash lives in; 0 for the initial one."""
    inode = Path("/proc/self/ns/pid").stat().st_ino
    return 0 if inode == INIT_PID_NS else inode


def _kernel_ticks() -> int:
    with _STAT.open(encoding="ascii") as file:
        fields = file.readline().split()
    # cpu user nice system idle iowait irq softirq: proc_stat(5)
    return int(fields[3]) + int(fields[6]) + int(fields[7])


class ProcessCounter:
    """Counts the processes that exist.

    A folder has a link from each folder in it, and of /proc the kernel counts them without listing
    any: ``nr_processes()`` (fs/proc/root.c, proc_root_getattr(); kernel/fork.c). To list a thousand
    processes takes it more than a millisecond.
    """

    def __init__(self) -> None:
        self._others: int | None = None
        self._counted_at = -_AGAIN_S
        # It counts those of the machine, so what a container sees must be listed.
        self._has_links = pid_namespace() == 0 and self._links_are_right()

    def count(self) -> int:
        """How many there are now, those among them that have ended and were not waited for."""
        if not self._has_links:
            return _listed()
        return self._linked()

    def _linked(self) -> int:
        now = time.monotonic()
        if self._others is None or now - self._counted_at >= _AGAIN_S:
            self._others, self._counted_at = _other_links(), now
        return os.stat(_PROC).st_nlink - self._others  # noqa: PTH116

    def _links_are_right(self) -> bool:
        """Whether both ways give the same number, if there is a moment in which none changes."""
        for _ in range(_MOST_TRIES):
            before, listed, after = self._linked(), _listed(), self._linked()
            if before == listed == after:
                return True
        return False


def _listed() -> int:
    return sum(name.isdigit() for name in os.listdir(_PROC))  # noqa: PTH208


def _other_links() -> int:
    """Links of /proc that are not processes': two, as of every folder, and the other folders'."""
    with os.scandir(_PROC) as entries:
        return 2 + sum(
            not entry.name.isdigit() and entry.is_dir(follow_symlinks=False) for entry in entries
        )


@dataclass
class HostMeter:
    """Measures :class:`sysdash.records.Host` from one call of :meth:`read` to the next."""

    def __post_init__(self) -> None:
        self._name = socket.gethostname()
        self._processes = ProcessCounter()
        self._at = time.monotonic()
        self._ticks = _kernel_ticks()
        self._own = time.process_time()

    def read(self) -> Host:
        """The machine since the last call."""
        now, ticks, own = time.monotonic(), _kernel_ticks(), time.process_time()
        seconds = max(now - self._at, 1e-9)
        host = Host(
            name=self._name,
            cpus=os.cpu_count() or 1,
            kernel_cpu=(ticks - self._ticks) / _TICKS / seconds,
            processes=self._processes.count(),
            self_cpu=(own - self._own) / seconds,
            self_bytes=_resident_bytes(),
        )
        self._at, self._ticks, self._own = now, ticks, own
        return host


def _resident_bytes() -> int:
    return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE
