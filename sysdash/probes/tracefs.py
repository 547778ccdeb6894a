"""What the running kernel calls the arguments of its system calls, as tracefs says it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
_EVENTS = Path("events/syscalls")
_PREFIX = "sys_enter_"

_MOST_ARGUMENTS = 6
_FORMAT_BYTES = 4096  # a page, which the kernel does not exceed here

# "	field:const char * filename;	offset:24;	size:8;	signed:0;"
_FIELD = re.compile(
    r"^\tfield:(?P<type>.+?)\s*\b(?P<name>[A-Za-z_]\w*);\toffset:(?P<at>\d+);", re.MULTILINE
)

# Fields of every event, the number of the call among them, end at this offset.
_HEADER_BYTES = 16

# Functions of the kernel that have another name than the call in the tables of x86-64.
_OTHER_NAMES = {
    "newstat": "stat",
    "newlstat": "lstat",
    "newfstat": "fstat",
    "newuname": "uname",
    "sendfile64": "sendfile",
    "umount": "umount2",
}
# Functions that would be taken for a call of the tables, but are its older form.
_OLDER_FORMS = frozenset(("stat", "lstat", "fstat", "uname", "olduname", "sendfile", "old_mmap"))


def formats(places: Iterable[Path] | None = None) -> dict[str, tuple[tuple[str, str], ...]]:
    """The name and C type of each argument, by the name of the call in the tables of x86-64.

    They are those of 64-bit programs; calls that only 32-bit programs have are missing, and so are
    a few whose entry the kernel does not declare like the others.

    Args:
        places: where tracefs is mounted, by default what the table of mounts says; the first that
            has events is read.

    Returns:
        Nothing where tracefs is not mounted or cannot be read; it is never mounted, not even by the
        kernel, which does so when somebody looks into debugfs's folder ``tracing``.
    """
    for place in mounted() if places is None else places:
        try:
            folders = sorted((place / _EVENTS).glob(f"{_PREFIX}*"))
        except OSError:
            continue
        found = {}
        for folder in folders:
            name = folder.name.removeprefix(_PREFIX)
            text = _read(folder / "format")
            if text is not None and name not in _OLDER_FORMS:
                found[_OTHER_NAMES.get(name, name)] = arguments(text)
        if found:
            return found
    return {}


def mounted(mounts: Path = _MOUNTS) -> list[Path]:
    """Where tracefs is mounted, by a table of mounts as in /proc/self/mounts; empty if nowhere."""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return []
    # "DEVICE FOLDER TYPE OPTIONS 0 0", proc_pid_mounts(5).
    rows = (line.split(b" ") for line in lines)
    return [Path(os.fsdecode(_plain(row[1]))) for row in rows if row[2:3] == [b"tracefs"]]


def _plain(name: bytes) -> bytes:
    # mangle_path(), fs/seq_file.c: spaces, tabs, newlines and backslashes are octal.
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8) & 0xFF]), name)


def arguments(text: str) -> tuple[tuple[str, str], ...]:
    """The name and type of each argument in the text of a ``format`` file."""
    fields = (
        (match["name"], " ".join(match["type"].split()))
        for match in _FIELD.finditer(text)
        if int(match["at"]) >= _HEADER_BYTES
    )
    return tuple(fields)[:_MOST_ARGUMENTS]


def _read(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_FORMAT_BYTES)
    except OSError:
        return None
