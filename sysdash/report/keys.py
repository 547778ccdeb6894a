"""The keys of rows as text: what a call is grouped by, in a column or in a heading."""

from __future__ import annotations

from collections.abc import Mapping

from sysdash import syscalls
from sysdash.model import Row

NUMBERS = frozenset({"pid", "tid"})
"""Keys that are numbers, which are aligned to the right."""


def align(key: str) -> str:
    """To which side the column of a key is aligned, as :func:`sysdash.units.pad` takes it."""
    return ">" if key in NUMBERS else "<"


def key_text(row: Row, key: str, cgroups: Mapping[int, str]) -> str:
    """One key of a row, safe to print.

    Args:
        row: a row that is grouped by ``key``.
        key: one of :data:`sysdash.model.KEYS`.
        cgroups: the paths of cgroups by their ids; one that is not there is shown by its number.

    Returns:
        ``read``, ``1842``, ``postgres``, ``/system.slice``, ``ENOENT``; ``-`` for no error.
    """
    if key == "syscall":
        return row.syscall.name if row.syscall else ""
    if key == "cgroup":
        number = row.cgroup or 0
        return cgroups.get(number) or (f"[cgroup {number}]" if number else "[unknown]")
    if key == "errno":
        return syscalls.errno_name(row.errno) if row.errno else "-"
    return str(getattr(row, key))
