"""ELF files: where their code lies, what its functions are called, how its frames are unwound.

A file can say anything: every size in it is bounded, and one that makes no sense has nothing in it.
"""

from __future__ import annotations

import io
import lzma
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from elftools.common.utils import struct_parse
from elftools.elf.elffile import ELFFile
from elftools.elf.notes import iter_notes

from sysdash.probes.symbols.cfi import FrameTable
from sysdash.probes.symbols.reader import BytesReader, FileReader, Reader, Stream, open_regular
from sysdash.probes.symbols.table import Sections, SymbolTable, TablePlace
from sysdash.probes.symbols.unsound import UNSOUND

_MOST_SEGMENTS, _MOST_SECTIONS = 256, 512
_MOST_NOTES_BYTES = 1 << 13
_LONGEST_BUILD_ID, _LONGEST_NAME = 64, 64
_MOST_PACKED, _MOST_UNPACKED = 16 << 20, 32 << 20
_UNPACK_MEMORY = 128 << 20
_MOST_CHECKED = 64 << 20
_DEBUG_FOLDER = Path("/usr/lib/debug")

_EXECUTABLE_SEGMENT = 1
_EXECUTABLE_SECTION = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a file that is loaded."""

    offset: int
    address: int
    size: int
    executable: bool


@dataclass(slots=True)
class _Layout:
    """What the headers of a file say."""

    wide: bool = True
    segments: list[Segment] = field(default_factory=list)
    frame_header: Segment | None = None
    sections: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)
    symbols: TablePlace | None = None
    dynamic: TablePlace | None = None
    ends: Sections = field(default_factory=lambda: Sections(np.zeros(1, bool), np.zeros(1, "u8")))
    build_id: bytes = b""


class ElfFile:
    """One file, parsed as far as it is asked for."""

    def __init__(self, reader: Reader, beside: str | None = None) -> None:
        """Read the headers.

        Args:
            reader: the file.
            beside: the folder in which a separate file with its symbols may lie.

        Raises:
            ValueError: it is no ELF file for this machine.
        """
        self._reader = reader
        self._beside = beside
        self._layout = _read_layout(reader)
        self._tables: tuple[SymbolTable, ...] | None = None
        self._frames: FrameTable | None = None

    @property
    def wide(self) -> bool:
        """Whether it is a 64-bit file."""
        return self._layout.wide

    @property
    def build_id(self) -> bytes:
        """The identity that the linker gave it; empty without one."""
        return self._layout.build_id

    @property
    def nbytes(self) -> int:
        """The memory that the parsed tables take."""
        tables = sum(table.nbytes for table in self._tables or ())
        return tables + (self._frames.nbytes if self._frames else 0)

    def address(self, offset: int) -> int | None:
        """The address, as the file numbers them, of a byte that is loaded as code."""
        holding = [
            segment
            for segment in self._layout.segments
            if segment.offset <= offset < segment.offset + segment.size
        ]
        for segment in sorted(holding, key=lambda segment: not segment.executable):
            return segment.address + offset - segment.offset
        return None

    def code(self, address: int, size: int) -> bytes:
        """The bytes of code at an address; fewer or none where there are no more."""
        for segment in self._layout.segments:
            within = address - segment.address
            if segment.executable and 0 <= within < segment.size:
                return self._reader.read(segment.offset + within, min(size, segment.size - within))
        return b""

    def find(self, address: int) -> tuple[bytes, int] | None:
        """Name (unsafe) and start of the function in which an address lies."""
        if self._tables is None:
            self._tables = tuple(self._read_tables())
        for table in self._tables:
            found = table.find(address)
            if found is not None:
                return found
        return None

    def frames(self) -> FrameTable:
        """How to unwind its frames."""
        if self._frames is None:
            places = [(part.address, part.offset, part.size) for part in self._layout.segments]
            header = self._layout.frame_header
            place = (header.address, header.offset, header.size) if header else None
            section = self._layout.sections.get(b".eh_frame")
            self._frames = FrameTable(self._reader, places, place, section)
        return self._frames

    def _read_tables(self) -> Iterator[SymbolTable]:
        layout = self._layout
        if layout.symbols:
            yield SymbolTable(self._reader, layout.symbols, layout.ends)
        else:
            # What a stripped file left behind has only functions that .dynsym lacks.
            for reader in (self._separate(), self._packed()):
                if reader is None:
                    continue
                try:
                    other = _read_layout(reader)
                except ValueError:
                    continue
                if other.symbols:
                    yield SymbolTable(reader, other.symbols, other.ends)
                    break
        if layout.dynamic:
            yield SymbolTable(self._reader, layout.dynamic, layout.ends)

    def _separate(self) -> Reader | None:
        """The file with what was stripped, by build ID, else by the name that is left behind."""
        name = self.build_id.hex()
        if len(name) > 2:
            found = open_regular(str(_DEBUG_FOLDER / ".build-id" / name[:2] / f"{name[2:]}.debug"))
            if found:
                return found
        section = self._layout.sections.get(b".gnu_debuglink")
        if section is None or self._beside is None:
            return None
        content = self._reader.read(section[1], min(section[2], 4096))
        link, _, _ = content.partition(b"\0")
        # The checksum follows the name at the next multiple of four.
        place = (len(link) + 4) & ~3
        if not link or b"/" in link or len(content) < place + 4:
            return None
        (checksum,) = struct.unpack_from("<I", content, place)
        file = os.fsdecode(link)
        for folder in (
            self._beside,
            f"{self._beside}/.debug",
            f"{_DEBUG_FOLDER}{self._beside}",
        ):
            reader = open_regular(f"{folder}/{file}")
            if reader and self._is_separate(reader, checksum):
                return reader
        return None

    def _is_separate(self, reader: FileReader, checksum: int) -> bool:
        if self.build_id:
            try:
                return _read_layout(reader).build_id == self.build_id
            except ValueError:
                return False
        if reader.size > _MOST_CHECKED:
            return False
        found = 0
        for offset in range(0, reader.size, 1 << 20):
            found = zlib.crc32(reader.read(offset, 1 << 20), found)
        return found == checksum

    def _packed(self) -> Reader | None:
        """MiniDebugInfo: a small ELF file within, packed."""
        section = self._layout.sections.get(b".gnu_debugdata")
        if section is None or section[2] > _MOST_PACKED:
            return None
        unpack = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_UNPACK_MEMORY)
        try:
            content = unpack.decompress(
                self._reader.read(section[1], section[2]), max_length=_MOST_UNPACKED
            )
        except (lzma.LZMAError, EOFError, MemoryError):
            return None
        return BytesReader(content)


def _read_layout(reader: Reader) -> _Layout:
    """Read the headers.

    Raises:
        ValueError: it is no ELF file for this machine.
    """
    with io.BufferedReader(Stream(reader), 1 << 16) as stream:
        try:
            elf = ELFFile(stream)
            if not elf.little_endian or elf["e_machine"] not in ("EM_X86_64", "EM_386"):
                raise ValueError("a file for another machine")
            layout = _Layout(wide=elf.elfclass == 64)
            _read_segments(elf, layout)
        except UNSOUND as error:
            raise ValueError(f"not an ELF file: {error}") from None
        try:
            _read_sections(elf, layout, reader)
        except UNSOUND:
            # Sections are for linkers: what is loaded needs none, and may have lost them.
            layout.sections.clear()
            layout.symbols = layout.dynamic = None
    return layout


def _read_segments(elf: ELFFile, layout: _Layout) -> None:
    number = elf["e_phnum"]
    if number > _MOST_SEGMENTS:
        raise ValueError(f"{number} segments")
    notes = []
    for index in range(number):
        place = elf["e_phoff"] + index * elf["e_phentsize"]
        header = struct_parse(elf.structs.Elf_Phdr, elf.stream, place)
        part = Segment(
            header["p_offset"],
            header["p_vaddr"],
            header["p_filesz"],
            bool(header["p_flags"] & _EXECUTABLE_SEGMENT),
        )
        kind = header["p_type"]
        if kind == "PT_LOAD":
            layout.segments.append(part)
        elif kind == "PT_GNU_EH_FRAME":
            layout.frame_header = part
        elif kind == "PT_NOTE":
            notes.append(part)
    for part in notes:
        try:
            for note in iter_notes(elf, part.offset, min(part.size, _MOST_NOTES_BYTES)):
                if note["n_type"] == "NT_GNU_BUILD_ID" and note["n_name"] == "GNU":
                    layout.build_id = bytes(note["n_descdata"])[:_LONGEST_BUILD_ID]
        except UNSOUND:
            continue


def _read_sections(elf: ELFFile, layout: _Layout, reader: Reader) -> None:
    number = elf["e_shnum"]
    if not 0 < number <= _MOST_SECTIONS:
        return
    headers = [
        struct_parse(elf.structs.Elf_Shdr, elf.stream, elf["e_shoff"] + index * elf["e_shentsize"])
        for index in range(number)
    ]
    names = headers[elf["e_shstrndx"]]["sh_offset"]
    executable, ends = np.zeros(number + 1, bool), np.zeros(number + 1, np.uint64)
    tables = {}
    for index, header in enumerate(headers):
        address, offset, size = header["sh_addr"], header["sh_offset"], header["sh_size"]
        name = reader.read(names + header["sh_name"], _LONGEST_NAME).partition(b"\0")[0]
        layout.sections.setdefault(name, (address, offset, size))
        executable[index] = bool(header["sh_flags"] & _EXECUTABLE_SECTION)
        ends[index] = min(address + size, 2**64 - 1)
        if header["sh_type"] in ("SHT_SYMTAB", "SHT_DYNSYM") and header["sh_link"] < number:
            strings = headers[header["sh_link"]]
            tables[header["sh_type"]] = TablePlace(
                offset,
                size,
                strings["sh_offset"],
                strings["sh_size"],
                layout.wide,
                header["sh_type"] == "SHT_SYMTAB",
            )
    layout.ends = Sections(executable, ends)
    layout.symbols, layout.dynamic = tables.get("SHT_SYMTAB"), tables.get("SHT_DYNSYM")
