"""Bytes of a file whose size nobody can be trusted about: read in bounded pieces, never mapped.

A mapped file that its owner cuts short would end the reader with SIGBUS.
"""

from __future__ import annotations

import io
import os
import stat
from typing import Protocol

from typing_extensions import Buffer, override

_MOST_AT_ONCE = 1 << 20


class Reader(Protocol):
    """Something to read from at any place."""

    size: int

    @property
    def held(self) -> int:
        """The bytes of it that are in this program's memory."""

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on, or fewer where there are no more."""


class FileReader:
    """Reads an open file; closes it when nobody uses it any more."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.status = os.fstat(fd)
        self.size = self.status.st_size

    def __del__(self) -> None:
        os.close(self._fd)

    @property
    def held(self) -> int:
        """See :class:`Reader`."""
        return 0

    def refresh(self) -> None:
        """Look again at how large the file is."""
        self.status = os.fstat(self._fd)
        self.size = self.status.st_size

    def read(self, offset: int, size: int) -> bytes:
        """See :class:`Reader`."""
        if not 0 <= offset < self.size:
            return b""
        try:
            return os.pread(self._fd, min(size, self.size - offset), offset)
        except OSError:
            return b""


class BytesReader:
    """Reads what is in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    @property
    def held(self) -> int:
        """See :class:`Reader`."""
        return self.size

    def read(self, offset: int, size: int) -> bytes:
        """See :class:`Reader`."""
        return self._content[offset : offset + size] if offset >= 0 else b""


class Stream(io.RawIOBase):
    """A :class:`Reader` as the stream that libraries want.

    Raises:
        ValueError: more is read at once than any header has.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader: Reader = reader
        self._at = 0

    @override
    def close(self) -> None:
        """Let go of the file, however long a library keeps the stream."""
        self._reader = BytesReader(b"")
        super().close()

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._reader.size}[whence]
        if start + offset < 0:
            raise ValueError("a place before the file's first byte")
        self._at = start + offset
        return self._at

    @override
    def tell(self) -> int:
        return self._at

    @override
    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_AT_ONCE:
            raise ValueError(f"{size} bytes at once")
        content = self._reader.read(self._at, size)
        self._at += len(content)
        return content

    @override
    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)


def open_regular(path: bytes | str, *, follow: bool = True) -> FileReader | None:
    """Open a regular file to read; None where there is none or it may not be opened.

    Whatever else has that name, a FIFO or a device, is not opened: that could block, or do harm.
    """
    flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        handle = os.open(path, flags)
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return FileReader(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return None
    finally:
        os.close(handle)
