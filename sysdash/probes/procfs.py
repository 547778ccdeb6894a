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

_STAT = Path("/proc/stat")
_STATM = Path("/proc/self/statm")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def pid_namespace() -> int:
    """Inode of the PID namespace that sysdash lives in; 0 for the initial one."""
    inode = Path("/proc/self/ns/pid").stat().st_ino
    return 0 if inode == INIT_PID_NS else inode


def _kernel_ticks() -> int:
    with _STAT.open(encoding="ascii") as file:
        fields = file.readline().split()
    # cpu user nice system idle iowait irq softirq: proc_stat(5)
    return int(fields[3]) + int(fields[6]) + int(fields[7])


@dataclass
class HostMeter:
    """Measures :class:`sysdash.records.Host` from one call of :meth:`read` to the next."""

    def __post_init__(self) -> None:
        self._name = socket.gethostname()
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
            processes=sum(name.isdigit() for name in os.listdir("/proc")),  # noqa: PTH208
            self_cpu=(own - self._own) / seconds,
            self_bytes=_resident_bytes(),
        )
        self._at, self._ticks, self._own = now, ticks, own
        return host


def _resident_bytes() -> int:
    return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE
