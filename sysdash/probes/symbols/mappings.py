"""Which file lies where in an address space: the executable mappings of a process."""

from __future__ import annotations

import os
import re
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sysdash.units import fit, safe

_MOST = 8192
_NAME_COLUMNS = 48

# proc_pid_maps(5); the kernel writes a newline in a path as \012 (fs/proc/task_mmu.c).
_EXECUTABLE = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) ([0-9]+)[ \t]*(.*)$",
    re.MULTILINE,
)
_DELETED = b" (deleted)"


@dataclass(frozen=True, slots=True, order=True)
class Mapping:
    """One executable mapping.

    Attributes:
        start, end: addresses, the end exclusive.
        offset: where in the file it starts, in bytes.
        device: of the file, as ``os.makedev`` makes it; what the kernel's mappings say can differ
            from ``st_dev`` on file systems with several devices.
        inode: of the file; 0 for memory without one.
        path: unsafe bytes; empty, a path, or a name in brackets.
    """

    start: int
    end: int
    offset: int
    device: int
    inode: int
    path: bytes

    @property
    def module(self) -> str:
        """What the file is called, safe and short; empty for memory without a name."""
        path = self.path.removesuffix(_DELETED)
        if not path or path == b"//anon":
            return ""
        name = path if path.startswith(b"[") else path.rpartition(b"/")[2]
        return fit(safe(name), _NAME_COLUMNS)

    @property
    def file(self) -> bytes | None:
        """The path to open, unsafe; None for what has no file."""
        if not self.inode or not self.path.startswith(b"/"):
            return None
        return self.path.removesuffix(_DELETED)

    @property
    def deleted(self) -> bool:
        """Whether the file seemed to have no name any more when the mapping was read."""
        return self.path.endswith(_DELETED)


class Image:
    """The executable mappings of one address space; later ones replace earlier ones."""

    def __init__(self, mappings: Iterable[Mapping] = ()) -> None:
        self._sorted = sorted(mappings)[:_MOST]

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._sorted)

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, mapping: Mapping) -> None:
        """Map something; what was there before gives way."""
        first = max(bisect_right(self._sorted, mapping.start, key=lambda old: old.start) - 1, 0)
        last = first
        kept = []
        while last < len(self._sorted) and self._sorted[last].start < mapping.end:
            old = self._sorted[last]
            if old.start < mapping.start:
                kept.append(replace(old, end=min(old.end, mapping.start)))
            if old.end > mapping.end:
                moved = old.offset + mapping.end - old.start
                kept.append(replace(old, start=mapping.end, offset=moved))
            last += 1
        self._sorted[first:last] = kept
        if len(self._sorted) < _MOST:
            insort(self._sorted, mapping)

    def find(self, address: int) -> Mapping | None:
        """The mapping that an address lies in."""
        index = bisect_right(self._sorted, address, key=lambda mapping: mapping.start) - 1
        if index >= 0 and address < self._sorted[index].end:
            return self._sorted[index]
        return None


def parse_maps(text: bytes) -> list[Mapping]:
    """The executable mappings in the text of ``/proc/PID/maps``; other lines are skipped."""
    found = []
    for match in _EXECUTABLE.finditer(text):
        start, end, offset, major, minor = (int(match[group], 16) for group in range(1, 6))
        path = match[7].replace(rb"\012", b"\n")
        device = os.makedev(major, minor)
        found.append(Mapping(start, end, offset, device, int(match[6]), path))
        if len(found) == _MOST:
            break
    return found
