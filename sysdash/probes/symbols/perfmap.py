"""Functions of just-in-time compilers, which some tell in ``/tmp/perf-PID.map``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sysdash.probes.symbols.reader import FileReader, open_regular

_MOST_BYTES = 16 << 20
_PIECE, _FUNCTIONS_AT_ONCE = 1 << 20, 100_000
_LONGEST_NAME = 4096

# tools/perf/Documentation/jit-interface.txt: START SIZE NAME, numbers in hexadecimal.
_LINE = re.compile(
    rb"^(?:0x)?([0-9a-fA-F]{1,16}) (?:0x)?([0-9a-fA-F]{1,16}) ([^\n]+)$", re.MULTILINE
)


class PerfMap:
    """One process's map; it grows while the process runs."""

    def __init__(self, reader: FileReader) -> None:
        self._reader = reader
        self._read = 0
        self._starts = self._ends = self._names = np.zeros(0, np.uint64)

    @property
    def nbytes(self) -> int:
        """The memory it takes."""
        return self._starts.nbytes + self._ends.nbytes + self._names.nbytes

    def find(self, address: int) -> tuple[bytes, int] | None:
        """Name (unsafe) and start of the function at an address, the newest that was there."""
        found = np.flatnonzero(
            (self._starts <= np.uint64(address)) & (np.uint64(address) < self._ends)
        )
        if not len(found):
            return None
        last = found[-1]
        place = int(self._names[last])
        line, _, _ = self._reader.read(place, _LONGEST_NAME).partition(b"\n")
        return line, int(self._starts[last])

    def grow(self) -> bool:
        """Read of what was added as much as can be done at once; whether that told anything."""
        self._reader.refresh()
        before = len(self._starts)
        starts: list[int] = []
        ends: list[int] = []
        names: list[int] = []
        while len(starts) < _FUNCTIONS_AT_ONCE:
            if self._read >= min(self._reader.size, _MOST_BYTES):
                break
            content = self._reader.read(self._read, _PIECE)
            whole = content.rfind(b"\n") + 1
            for match in _LINE.finditer(content, 0, whole):
                start, size = int(match[1], 16), int(match[2], 16)
                starts.append(start)
                ends.append(min(start + size, 2**64 - 1))
                names.append(self._read + match.start(3))
            if not whole and len(content) < _PIECE:
                break  # a line that is still being written
            self._read += whole or len(content)
        self._starts = np.append(self._starts, np.array(starts, np.uint64))
        self._ends = np.append(self._ends, np.array(ends, np.uint64))
        self._names = np.append(self._names, np.array(names, np.uint64))
        return len(self._starts) > before


def perf_map_of(pid: int) -> PerfMap | None:
    """The map of a living process; None without one, or if someone else wrote it.

    It lies in the process's own ``/tmp`` under the number that the process knows itself by.
    """
    root = Path(f"/proc/{pid}")
    try:
        status = (root / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    own, owner = pid, 0
    for line in status.splitlines():
        name, _, values = line.partition(":")
        if name == "NSpid" and values.split():
            own = int(values.split()[-1])
        elif name == "Uid" and values.split():
            owner = int(values.split()[0])
    reader = open_regular(f"/proc/{pid}/root/tmp/perf-{own}.map", follow=False)
    if reader is None or reader.status.st_uid not in (0, owner):
        return None
    return PerfMap(reader)
