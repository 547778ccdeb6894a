"""The stream of mappings: what every process on the machine maps, told as it happens.

A process can be gone a moment after its slow call; its mappings are then known only from here. The
kernel writes perf records (linux/perf_event.h) into a ring for each CPU. They are kept as they are,
and looked into only for a process that has ended.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sysdash.probes import layout
from sysdash.probes.symbols.mappings import Image, Mapping

_SYS_PERF_EVENT_OPEN = 298  # asm/unistd_64.h
_TYPE_SOFTWARE, _COUNT_DUMMY = 1, 9
_SAMPLE_TIME = 1 << 2
_FD_CLOEXEC = 1 << 3
_CLOCK_MONOTONIC = 1
# Bits of struct perf_event_attr, in the order in which it has them.
_EXCLUDE_KERNEL, _EXCLUDE_HV = 1 << 5, 1 << 6
_MMAP, _COMM, _TASK, _WATERMARK = 1 << 8, 1 << 9, 1 << 13, 1 << 14
_SAMPLE_ID_ALL, _MMAP2, _COMM_EXEC, _USE_CLOCKID = 1 << 18, 1 << 23, 1 << 24, 1 << 25
_ATTR_SIZE = 112  # PERF_ATTR_SIZE_VER5
_ATTR = struct.Struct("<IIQQQQQIIQQQQIiQIHH")

_HEAD, _TAIL, _DATA_OFFSET = 1024, 1032, 1040  # struct perf_event_mmap_page

_LOST, _COMM_RECORD, _FORK, _MMAP2_RECORD = 2, 3, 7, 10
_MISC_COMM_EXEC = 1 << 13
_HEADER = struct.Struct("<IHH")
_PIDS = struct.Struct("<II")
_U64 = struct.Struct("<Q")
_MAPPED = struct.Struct("<QQQIIQ")

_MOST_PAGES, _FEWEST_PAGES, _PAGES_IN_ALL = 256, 16, 4096
_BACKLOG_BYTES = 8 << 20
_CHUNK_BYTES = 64 << 10
_MOST_RECORDS = 20_000
_MOST_IMAGES = 16
_LOOK_FOR_CPUS_S = 5.0


class _Ring:
    """One CPU's ring of records."""

    def __init__(self, cpu: int, pages: int) -> None:
        flags = (
            _EXCLUDE_KERNEL | _EXCLUDE_HV | _MMAP | _COMM | _TASK | _WATERMARK
            | _SAMPLE_ID_ALL | _MMAP2 | _COMM_EXEC | _USE_CLOCKID
        )  # fmt: skip
        size = pages * mmap.PAGESIZE
        attr = _ATTR.pack(
            _TYPE_SOFTWARE, _ATTR_SIZE, _COUNT_DUMMY, 0, _SAMPLE_TIME, 0, flags,
            size, 0, 0, 0, 0, 0, 0, _CLOCK_MONOTONIC, 0, 0, 0, 0,
        )  # fmt: skip
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.syscall(_SYS_PERF_EVENT_OPEN, attr, -1, cpu, -1, _FD_CLOEXEC)
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        try:
            self._memory = mmap.mmap(fd, mmap.PAGESIZE + size)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        # numpy reads and writes such a number at once, which struct need not do.
        self._numbers: npt.NDArray[np.uint64] = np.frombuffer(self._memory, np.uint64, 512)
        self._start, self._size = int(self._numbers[_DATA_OFFSET // 8]), size

    def take(self) -> bytes:
        """All records that are there, removed."""
        head, tail = int(self._numbers[_HEAD // 8]), int(self._numbers[_TAIL // 8])
        if head == tail:
            return b""
        first, last = tail % self._size, head % self._size
        start, memory = self._start, self._memory
        if first < last:
            content = memory[start + first : start + last]
        else:
            content = memory[start + first : start + self._size] + memory[start : start + last]
        self._numbers[_TAIL // 8] = head
        return content

    def close(self) -> None:
        del self._numbers
        self._memory.close()
        os.close(self._fd)


@dataclass(slots=True)
class _Chunk:
    """Some records; ``places`` of a process's records are found when first needed."""

    content: bytes
    places: dict[int, list[int]] | None = None

    def of(self, pid: int) -> Iterator[bytes]:
        if self.places is None:
            self.places = {}
            for kind, place, _ in _walk(self.content):
                if kind in (_COMM_RECORD, _FORK, _MMAP2_RECORD):
                    (owner,) = struct.unpack_from("<I", self.content, place + 8)
                    self.places.setdefault(owner, []).append(place)
        for place in self.places.get(pid, ()):
            size = _HEADER.unpack_from(self.content, place)[2]
            yield self.content[place : place + size]


def _walk(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, place and size of each record."""
    place, end = 0, len(content)
    unpack = _HEADER.unpack_from
    while place + 16 <= end:
        kind, _, size = unpack(content, place)
        if size < 16 or place + size > end:
            return
        yield kind, place, size
        place += size


@dataclass(slots=True)
class History:
    """What the stream tells of one process.

    Attributes:
        images: its last address spaces, the oldest first: one for each program that it executed.
        parent: the process that forked it; 0 if that was not seen.
        inherits: whether the first image began as a copy of the parent's.
    """

    images: list[Image] = field(default_factory=list)
    parent: int = 0
    inherits: bool = False


class MappingStream:
    """Use :meth:`relieve` often enough that no ring fills up.

    Attributes:
        without: why the kernel does not give the stream; empty if it does.
        lost: records that a ring had no room for; a CPU that came later counts as one.
    """

    def __init__(self) -> None:
        self.without = ""
        self.lost = 0
        self._rings: dict[int, _Ring] = {}
        self._chunks: deque[_Chunk] = deque()
        self._kept = 0
        self._looked_at = time.monotonic()
        try:
            cpus = layout.online_cpus()
            # A power of two, as the kernel wants it.
            pages = 1 << (_PAGES_IN_ALL // len(cpus)).bit_length() >> 1
            self._pages = min(max(pages, _FEWEST_PAGES), _MOST_PAGES)
            for cpu in cpus:
                self._open(cpu)
        except (OSError, ValueError) as error:
            self.close()
            self.without = f"the kernel gives no stream of mappings: {error}"

    def _open(self, cpu: int) -> None:
        try:
            self._rings[cpu] = _Ring(cpu, self._pages)
        except OSError as error:
            # It went offline meanwhile: nothing runs on it.
            if error.errno != errno.ENODEV:
                raise

    def _follow_cpus(self) -> None:
        """Have a ring for each CPU that is there now."""
        try:
            cpus = set(layout.online_cpus())
            for cpu in self._rings.keys() - cpus:
                # The kernel has ended it; the CPU needs another when it comes back.
                ring = self._rings.pop(cpu)
                self._keep(ring.take())
                ring.close()
            for cpu in cpus - self._rings.keys():
                self.lost += 1
                self._open(cpu)
        except (OSError, ValueError):
            # The rings that there are go on; it is tried again.
            return

    def relieve(self) -> None:
        """Empty the rings into the backlog, of which the oldest part gives way."""
        for ring in self._rings.values():
            self._keep(ring.take())
        now = time.monotonic()
        if self._rings and now - self._looked_at >= _LOOK_FOR_CPUS_S:
            self._looked_at = now
            self._follow_cpus()

    def _keep(self, content: bytes) -> None:
        if not content:
            return
        # Losses are rare, and so is this pattern: only then every record is looked at.
        if _HEADER.pack(_LOST, 0, 32) in content:
            for kind, place, size in _walk(content):
                if kind == _LOST and size >= 24:
                    self.lost += _U64.unpack_from(content, place + 16)[0]
        self._kept += len(content)
        if self._chunks and len(self._chunks[-1].content) + len(content) <= _CHUNK_BYTES:
            content = self._chunks.pop().content + content
        self._chunks.append(_Chunk(content))
        while self._kept > _BACKLOG_BYTES and len(self._chunks) > 1:
            self._kept -= len(self._chunks.popleft().content)

    def history(self, pid: int) -> History:
        """What is known of a process, from the backlog alone."""
        return _history(self._of(pid), pid)

    def _of(self, pid: int) -> list[tuple[int, bytes]]:
        records: list[tuple[int, bytes]] = []
        for chunk in reversed(self._chunks):
            # The time is the last field of each.
            records.extend(
                (_U64.unpack_from(record, len(record) - 8)[0], record) for record in chunk.of(pid)
            )
            if len(records) >= _MOST_RECORDS:
                break
        records.sort(key=lambda record: record[0])
        return records

    def close(self) -> None:
        """Give the rings back."""
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()


def _history(records: list[tuple[int, bytes]], pid: int) -> History:
    found = History()
    for _, record in records:
        kind, misc, size = _HEADER.unpack_from(record)
        if kind == _FORK:
            # pid, ppid, tid, ptid; a thread's has its own process as the parent.
            _, parent = _PIDS.unpack_from(record, 8)
            if parent != pid:
                # A PID that is used again: what was known is of another process.
                found = History([Image()], parent, inherits=True)
        elif kind == _COMM_RECORD:
            if misc & _MISC_COMM_EXEC:
                found.images.append(Image())
                if len(found.images) > _MOST_IMAGES:
                    del found.images[0]
                    found.inherits = False
        elif size >= 80:
            if not found.images:
                found.images.append(Image())
            found.images[-1].add(_mapping(record))
    return found


def _mapping(record: bytes) -> Mapping:
    start, length, offset, major, minor, inode = _MAPPED.unpack_from(record, 16)
    path = record[72:-8].partition(b"\0")[0]
    return Mapping(
        start, min(start + length, 2**64 - 1), offset, os.makedev(major, minor), inode, path
    )
