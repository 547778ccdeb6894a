"""The files that processes have mapped: found exactly, kept open, parsed once for all processes."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysdash.probes.symbols.mappings import Mapping
from sysdash.probes.symbols.reader import FileReader, open_regular

if TYPE_CHECKING:
    from sysdash.probes.symbols.elf import ElfFile

_MOST_OPEN = 256
_MOST_PARSED_BYTES = 128 << 20
_MOST_ALIASES = 64

UNUSED_S = 30.0
"""How long a file stays open that nobody needs; its file system is in use meanwhile."""


@dataclass(frozen=True, slots=True)
class FileKey:
    """A file with its content: another content has another key."""

    device: int
    inode: int
    size: int
    mtime_ns: int


def _key(status: os.stat_result) -> FileKey:
    return FileKey(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(slots=True)
class _Entry:
    reader: FileReader
    beside: str | None
    used: float
    elf: ElfFile | None = None
    no_elf: bool = False
    weight: int = 0


class Files:
    """Open files by their keys, those used last. Several threads may use it.

    Its lock is not held while anything is read or opened, which can take for ever.
    """

    def __init__(self) -> None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        # Each can have a second file with its symbols; the rest of the program needs some too.
        self._most = _MOST_OPEN if limit < 0 else min(_MOST_OPEN, max(limit // 8, 8))
        self._lock = threading.Lock()
        self._closed = False
        self._entries: OrderedDict[FileKey, _Entry] = OrderedDict()
        self._by_mapping: dict[tuple[int, int], FileKey] = {}
        self._devices: dict[int, frozenset[int]] = {}
        self._last: _Entry | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def locate(self, pid: int, mapping: Mapping) -> FileKey | None:
        """Find and open the file of a mapping, so that it can be read when the process has ended.

        Args:
            pid: the process that has it mapped; it may have ended.
            mapping: one with a file.
        """
        place = mapping.device, mapping.inode
        with self._lock:
            known = self._by_mapping.get(place)
            entry = self._entries.get(known) if known else None
        if known and entry:
            # While it is open its number cannot be given to another file.
            entry.reader.refresh()
            if _key(entry.reader.status) == known and self._use(known):
                return known
        for reader, beside in self._ways(pid, mapping):
            key = _key(reader.status)
            self._add(key, reader, beside)
            with self._lock:
                self._by_mapping[place] = key
            return key
        return None

    def get(self, pid: int, mapping: Mapping, key: FileKey) -> ElfFile | None:
        """The parsed file; None if it is no ELF file, or cannot be found any more.

        Only one thread at a time may call this, and use what it returns.
        """
        entry = self._use(key)
        if entry is None:
            for reader, beside in self._ways(pid, mapping):
                if _key(reader.status) == key:
                    entry = self._add(key, reader, beside)
                    break
        if entry is None or entry.no_elf:
            return None
        if entry is not self._last:
            self._weigh(entry)
        if entry.elf is None:
            # The library behind it takes a while to load, and few ever look at a stack.
            from sysdash.probes.symbols.elf import ElfFile

            try:
                entry.elf = ElfFile(entry.reader, entry.beside)
            except ValueError:
                entry.no_elf = True
        return entry.elf

    def expire(self) -> None:
        """Close what nobody used for a while, so that its file system can be unmounted."""
        now = time.monotonic()
        old = []
        with self._lock:
            while self._entries:
                key, entry = next(iter(self._entries.items()))
                if now - entry.used <= UNUSED_S:
                    break
                del self._entries[key]
                old.append(entry)
                if self._last is entry:
                    self._last = None

    def close(self) -> None:
        """Close what nobody uses, and open no more."""
        with self._lock:
            self._closed = True
            self._last = None
            entries, self._entries = self._entries, OrderedDict()
            self._by_mapping.clear()
        entries.clear()

    def _use(self, key: FileKey) -> _Entry | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry:
                entry.used = time.monotonic()
                self._entries.move_to_end(key)
            return entry

    def _add(self, key: FileKey, reader: FileReader, beside: str | None) -> _Entry:
        known = self._use(key)
        if known:
            return known
        entry = _Entry(reader, beside, time.monotonic())
        with self._lock:
            if not self._closed:
                self._entries[key] = entry
                self._shrink()
        return entry

    def _ways(self, pid: int, mapping: Mapping) -> Iterator[tuple[FileReader, str | None]]:
        """The file by every name it may have, if it is that file, and the folder it is in."""
        path = mapping.file
        if path is None:
            return
        folder = os.fsdecode(os.path.dirname(path))  # noqa: PTH120  unsafe bytes
        devices = {mapping.device, *self._devices.get(mapping.device, ())}

        def same(reader: FileReader) -> bool:
            status = reader.status
            return status.st_ino == mapping.inode and status.st_dev in devices

        if not mapping.deleted:
            reader = open_regular(path)
            if reader and same(reader):
                yield reader, folder
        # Exact whatever its name is and wherever it is mounted, where the kernel allows it.
        reader = open_regular(f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}")
        if reader:
            status = reader.status
            if status.st_ino == mapping.inode:
                # Some file systems have several devices, of which a mapping names another one.
                if status.st_dev != mapping.device and len(self._devices) < _MOST_ALIASES:
                    known = self._devices.get(mapping.device, frozenset())
                    self._devices[mapping.device] = known | {status.st_dev}
                yield reader, f"/proc/{pid}/root{folder}"
        reader = open_regular(os.fsencode(f"/proc/{pid}/root") + path)
        if reader and same(reader):
            yield reader, f"/proc/{pid}/root{folder}"

    def _shrink(self) -> None:
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
        if len(self._by_mapping) > 4 * self._most:
            held = self._entries.keys()
            self._by_mapping = {
                place: key for place, key in self._by_mapping.items() if key in held
            }

    def _weigh(self, current: _Entry) -> None:
        """Give up tables that were not used for long, when all of them take too much memory.

        A file's tables grow while it is used, so this is done whenever another one is.
        """
        with self._lock:
            last, self._last = self._last, current
            if last is None or last.elf is None:
                return
            before, last.weight = last.weight, last.elf.nbytes
            if last.weight == before:
                return
            room = _MOST_PARSED_BYTES
            for entry in reversed(self._entries.values()):
                room -= entry.weight
                if room < 0 and entry is not current:
                    entry.elf, entry.weight = None, 0
