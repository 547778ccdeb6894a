"""Symbols by address, for tables of any size: numbers in arrays, names read only when needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sysdash.probes.symbols.reader import Reader

SYMBOL_64 = np.dtype(
    [
        ("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"),
        ("value", "<u8"), ("size", "<u8"),
    ]
)  # fmt: skip
"""Elf64_Sym, elf(5)."""

SYMBOL_32 = np.dtype(
    [
        ("name", "<u4"), ("value", "<u4"), ("size", "<u4"), ("info", "u1"), ("other", "u1"),
        ("section", "<u2"),
    ]
)  # fmt: skip
"""Elf32_Sym."""

_MOST_BYTES = 32 << 20
_LONGEST_NAME = 4096
_MOST_ALIASES = 32
_FARTHEST = 256
_END = 2**64 - 1

_NOTYPE, _FUNC, _GNU_IFUNC = 0, 2, 10
_LOCAL = 0


@dataclass(frozen=True, slots=True)
class Sections:
    """What a symbol table must know of the sections, by their number.

    Attributes:
        executable: whether there is code in it.
        end: address of its end.
    """

    executable: npt.NDArray[np.bool_]
    end: npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class TablePlace:
    """Where in a file a symbol table and its names are.

    Attributes:
        offset, size: of the table, in bytes.
        names_offset, names_size: of its names.
        wide: it is a 64-bit file's.
        complete: every function of the file is in it, so one without a size ends where the next
            begins.
    """

    offset: int
    size: int
    names_offset: int
    names_size: int
    wide: bool
    complete: bool


class SymbolTable:
    """The functions of one table, sorted by address."""

    def __init__(self, reader: Reader, place: TablePlace, sections: Sections) -> None:
        self._reader = reader
        self._names_offset = place.names_offset
        dtype = SYMBOL_64 if place.wide else SYMBOL_32
        content = reader.read(place.offset, min(place.size, _MOST_BYTES))
        symbols = np.frombuffer(content, dtype, len(content) // dtype.itemsize)

        section = np.minimum(symbols["section"], len(sections.end) - 1)
        kind, local = symbols["info"] & 15, symbols["info"] >> 4 == _LOCAL
        function = (kind == _FUNC) | (kind == _GNU_IFUNC)
        # Functions written in assembly are often without a type; local ones are labels within.
        label = (kind == _NOTYPE) & ~local & sections.executable[section]
        wanted = (function | label) & (symbols["section"] != 0) & (symbols["value"] != 0)
        wanted &= (symbols["name"] != 0) & (symbols["name"] < place.names_size)
        if not place.complete:
            wanted &= symbols["size"] != 0
        # Of aliases the best comes first: with a size, a function, for others to call.
        rank = (4 * (symbols["size"] == 0) + 2 * ~function + local).astype(np.uint8)[wanted]
        starts = symbols["value"][wanted].astype(np.uint64)
        order = np.lexsort((rank, starts))

        self._starts = starts[order]
        self._names = symbols["name"][wanted][order]
        self._rank = rank[order]
        sizes = symbols["size"][wanted][order].astype(np.uint64)
        ends = self._starts + np.minimum(sizes, np.uint64(_END) - self._starts)
        following = np.append(self._starts, np.uint64(_END))[
            np.searchsorted(self._starts, self._starts, "right")
        ]
        sectioned = sections.end[section[wanted][order]]
        self._ends = np.where(sizes == 0, np.minimum(following, sectioned), ends)
        self._reach = np.maximum.accumulate(self._ends)

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def nbytes(self) -> int:
        """The memory it takes, with a file that was unpacked for it."""
        arrays = (self._starts, self._ends, self._reach, self._names, self._rank)
        return sum(array.nbytes for array in arrays) + self._reader.held

    def find(self, address: int) -> tuple[bytes, int] | None:
        """Best name and start of the innermost function in which an address lies."""
        if not 0 <= address < _END:
            return None
        index = int(np.searchsorted(self._starts, np.uint64(address), "right")) - 1
        aliases: list[int] = []
        for at in range(index, max(index - _FARTHEST, -1), -1):
            if self._reach[at] <= address:
                break
            if aliases and self._starts[at] != self._starts[aliases[0]]:
                break
            if self._ends[at] > address:
                aliases.append(at)
        if not aliases:
            return None
        start = int(self._starts[aliases[0]])
        best = min(self._key(at) for at in aliases[:_MOST_ALIASES])
        return best[-1], start

    def _key(self, at: int) -> tuple[int, int, int, bytes]:
        name = self._name(int(self._names[at])).partition(b"@")[0]
        underscores = 0 if name.startswith(b"_Z") else len(name) - len(name.lstrip(b"_"))
        return int(self._rank[at]), underscores, len(name), name

    def _name(self, offset: int) -> bytes:
        place = self._names_offset + offset
        name, end, _ = self._reader.read(place, 128).partition(b"\0")
        return name if end else self._reader.read(place, _LONGEST_NAME).partition(b"\0")[0]
