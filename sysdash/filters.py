"""Which calls are collected: the filters of the command line, applied in the kernel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Filters:
    """A call is collected when it passes every filter; an empty filter passes all.

    Attributes:
        pids, tids, ppids: process, thread and parent process IDs, as the user's PID namespace
            numbers them.
        comms: process names as the kernel keeps them: at most 15 bytes under :func:`os.fsencode`.
        cgroups: absolute paths of folders in the cgroup v2 hierarchy; each stands for the cgroups
            below it too.
        syscalls: (number, ABI code) of the only calls to collect; see :mod:`sysdash.syscalls`.
        not_syscalls: (number, ABI code) of calls to leave out, also where ``syscalls`` has them.
        failures: only calls that returned an error.
        errnos: only calls that returned one of these errors.
        include_self: collect sysdash's own calls too.
        command: the process whose next execve begins the collection: it and all that it starts
            from there on are collected, and nothing else.
    """

    pids: tuple[int, ...] = ()
    tids: tuple[int, ...] = ()
    ppids: tuple[int, ...] = ()
    comms: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    syscalls: tuple[tuple[int, int], ...] = ()
    not_syscalls: tuple[tuple[int, int], ...] = ()
    failures: bool = False
    errnos: tuple[int, ...] = ()
    include_self: bool = False
    command: int | None = None

    def passing(self, numbers: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Those of these (number, ABI code) that ``syscalls`` and ``not_syscalls`` let through."""
        return tuple(
            number
            for number in numbers
            if number not in self.not_syscalls and (not self.syscalls or number in self.syscalls)
        )
