"""What is collected, in a few words: for the header, and for the facts of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sysdash import syscalls
from sysdash.commands.argtypes import WAITING
from sysdash.filters import Filters
from sysdash.units import fit, safe, width

_CGROUP_COLUMNS = 20
_COMMAND_COLUMNS = 30


def describe(filters: Filters, command: Sequence[str] = ()) -> str:
    """What the filters let through, in a few words for the header; empty where all is collected."""
    words = []
    for name, values in (
        ("pid", filters.pids),
        ("tid", filters.tids),
        ("ppid", filters.ppids),
        ("comm", [safe(comm) for comm in filters.comms]),
        ("cgroup", [_short(path) for path in filters.cgroups]),
        ("", _names(filters.syscalls)),
        ("", [f"!{name}" for name in _names(filters.not_syscalls)]),
        ("", [*map(syscalls.errno_name, filters.errnos)]),
        ("", ["failures"] if filters.failures else []),
    ):
        if values:
            words.append(f"{name} {','.join(map(str, values))}".strip())
    if command:
        words.append(fit(safe(" ".join(["--", *command])), _COMMAND_COLUMNS))
    return " ".join(words)


def _short(path: str) -> str:
    """A cgroup's path, or of a long one the end."""
    text = safe(path)
    return (
        text
        if width(text) <= _CGROUP_COLUMNS
        else fit(f"…/{safe(Path(path).name)}", _CGROUP_COLUMNS)
    )


def _names(numbers: tuple[tuple[int, int], ...]) -> list[str]:
    """Each syscall's name once, though it has a number in every ABI; one word for a class."""
    waiting = {*syscalls.waiting()}
    head = []
    if waiting <= {*numbers}:
        head, numbers = [WAITING], tuple(number for number in numbers if number not in waiting)
    return head + list(dict.fromkeys(syscalls.name(nr, abi) or str(nr) for nr, abi in numbers))
