"""System calls and errors: numbers to names and back, for each ABI of x86-64.

The numbers come from the kernel's own tables by way of the ``system-calls`` package.
"""

from __future__ import annotations

import errno
import os
from functools import cache, lru_cache

import system_calls

NATIVE = 0
"""ABI code: the 64-bit table."""

IA32 = 1
"""ABI code: the 32-bit table, of ia32 programs and of ``int $0x80``."""

X32 = 2
"""ABI code: the x32 table; its numbers are taken with or without their bit 30."""

_ARCHITECTURES = ("x86_64", "i386", "x32")
_SUFFIXES = ("", " (ia32)", " (x32)")
_X32_BIT = 0x4000_0000  # __X32_SYSCALL_BIT, arch/x86/include/uapi/asm/unistd.h

OTHER_NR = -(2**31)
"""Stands for numbers that no table has, where there are too many of them to tell apart."""

# What the tables of the package leave out: numbers that today's kernels answer with ENOSYS
# (arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl), and old programs still try.
_GONE: dict[int, dict[str, int]] = {
    NATIVE: {
        "uselib": 134,
        "_sysctl": 156,
        "create_module": 174,
        "get_kernel_syms": 177,
        "query_module": 178,
        "nfsservctl": 180,
        "getpmsg": 181,
        "putpmsg": 182,
        "afs_syscall": 183,
        "tuxcall": 184,
        "security": 185,
        "vserver": 236,
    },
    IA32: {
        "break": 17,
        "stty": 31,
        "gtty": 32,
        "ftime": 35,
        "prof": 44,
        "lock": 53,
        "mpx": 56,
        "ulimit": 58,
        "uselib": 86,
        "profil": 98,
        "idle": 112,
        "create_module": 127,
        "get_kernel_syms": 130,
        "bdflush": 134,
        "afs_syscall": 137,
        "_sysctl": 149,
        "query_module": 167,
        "nfsservctl": 169,
        "getpmsg": 188,
        "putpmsg": 189,
        "vserver": 273,
    },
    X32: {"getpmsg": 181, "putpmsg": 182, "afs_syscall": 183, "tuxcall": 184, "security": 185},
}

MAX_ERRNO = 4095
"""The largest number a failed call can return, negated (include/linux/err.h)."""

# include/linux/errno.h: restarts of interrupted calls, which a tracer sees and a program does not,
# and errors of drivers and NFS that can leak. And one that Python's module lacks.
_KERNEL_ERRNOS = {
    133: "EHWPOISON",
    512: "ERESTARTSYS",
    513: "ERESTARTNOINTR",
    514: "ERESTARTNOHAND",
    515: "ENOIOCTLCMD",
    516: "ERESTART_RESTARTBLOCK",
    517: "EPROBE_DEFER",
    518: "EOPENSTALE",
    519: "ENOPARAM",
    521: "EBADHANDLE",
    522: "ENOTSYNC",
    523: "EBADCOOKIE",
    524: "ENOTSUPP",
    525: "ETOOSMALL",
    526: "ESERVERFAULT",
    527: "EBADTYPE",
    528: "EJUKEBOX",
    529: "EIOCBQUEUED",
    530: "ERECALLCONFLICT",
    531: "ENOGRACE",
}

# Where C has two names for a number, the one that the kernel and strace use.
_PREFERRED_ERRNOS = {11: "EAGAIN", 35: "EDEADLK", 95: "EOPNOTSUPP"}

_ERRNO_NAMES = {**errno.errorcode, **_PREFERRED_ERRNOS, **_KERNEL_ERRNOS}

# What these mean: what a program sees of the restarts is EINTR, or that its call goes on.
_RESTARTS = frozenset((512, 513, 514, 516))
_RESTARTED = "interrupted by a signal, begun again after it or ended with EINTR"

SIGRETURNS = frozenset(("rt_sigreturn", "sigreturn"))
"""Calls that return the register of an interrupted program, so that no value is an error."""

# The calls that do nothing but wait: for a descriptor, a signal, a child, a lock, a time.
# A read that blocks is not among them, because most reads do work.
_WAITING = frozenset(
    """
    poll ppoll select _newselect pselect6 epoll_wait epoll_wait_old epoll_pwait epoll_pwait2
    futex futex_wait futex_waitv semop semtimedop
    nanosleep clock_nanosleep restart_syscall
    wait4 waitid waitpid
    pause rt_sigsuspend sigsuspend rt_sigtimedwait
    io_getevents io_pgetevents
    accept accept4
    """.split()
)


@cache
def _numbers_by_name(abi: int) -> dict[str, int]:
    table: dict[str, int] = system_calls.syscalls().load_arch_table(_ARCHITECTURES[abi])
    return {name: nr & ~_X32_BIT for name, nr in table.items()} | _GONE[abi]


@cache
def _names_by_number(abi: int) -> dict[int, str]:
    return {nr: name for name, nr in _numbers_by_name(abi).items()}


def name(nr: int, abi: int = NATIVE) -> str | None:
    """The kernel's name of a call, or None where the table has no such number."""
    if abi == X32:
        nr &= ~_X32_BIT
    return _names_by_number(abi).get(nr) if nr >= 0 else None


@lru_cache(maxsize=4096)  # programs can make up numbers
def display_name(nr: int, abi: int = NATIVE) -> str:
    """A name to show: ``read``, ``read (ia32)``, ``[unknown: 999]``."""
    return (name(nr, abi) or unknown(nr)) + _SUFFIXES[abi]


def unknown(nr: int) -> str:
    """What a number is called that no table has."""
    return "[unknown: others]" if nr == OTHER_NR else f"[unknown: {nr}]"


def numbers(name: str) -> tuple[tuple[int, int], ...]:
    """Every (number, ABI code) that a name stands for; empty for a name no table knows."""
    return tuple(
        (table[name], abi)
        for abi in range(len(_ARCHITECTURES))
        if name in (table := _numbers_by_name(abi))
    )


@cache
def names() -> list[str]:
    """All names of all ABIs, sorted."""
    return sorted({name for abi in range(len(_ARCHITECTURES)) for name in _numbers_by_name(abi)})


def nearest(name: str) -> list[str]:
    """Up to three known names that look like ``name``, best first, to help with a typing error."""
    import difflib

    return difflib.get_close_matches(name.lower(), names(), n=3)


@lru_cache(maxsize=4096)
def waits(nr: int, abi: int = NATIVE) -> bool:
    """Whether the purpose of a call is to wait, so that its time is not work."""
    found = name(nr, abi)
    return found is not None and found.removesuffix("_time64") in _WAITING


def waiting() -> tuple[tuple[int, int], ...]:
    """The (number, ABI code) of every call whose purpose is to wait."""
    names = {f"{name}{ending}" for name in _WAITING for ending in ("", "_time64")}
    return tuple(number for name in sorted(names) for number in numbers(name))


def errno_of(ret: int) -> int | None:
    """The error number in a call's return value, -4095 to -1; None for a success.

    Other negative values are successes: addresses, offsets, and results of ``lseek`` on devices.
    """
    return -ret if -MAX_ERRNO <= ret < 0 else None


def errno_name(number: int) -> str:
    """``ENOENT`` for 2, also for the numbers that only the kernel uses; else ``errno N``."""
    return _ERRNO_NAMES.get(number, f"errno {number}")


def error_text(number: int) -> str:
    """What an errno means, in words; empty for those that have none."""
    if number in _RESTARTS:
        return _RESTARTED
    words = os.strerror(number)
    return "" if words.startswith("Unknown error") else words


def errno_number(text: str) -> int:
    """The number of ``"ENOENT"``, ``"enoent"`` or ``"2"``.

    Raises:
        ValueError: for a name that is unknown or a number outside 1 to 4095.
    """
    if text.isascii() and text.isdigit():
        if 1 <= int(text) <= MAX_ERRNO:
            return int(text)
        raise ValueError(f"an error number is 1 to {MAX_ERRNO}, not {text}")
    wanted = text.upper()
    for number, found in _KERNEL_ERRNOS.items():
        if found == wanted:
            return number
    value = getattr(errno, wanted, None) if wanted.startswith("E") else None
    if isinstance(value, int):
        return value
    raise ValueError(f"unknown error name: {text}")
