"""Undoing a transaction that a crash left half done, in a copy, without a right to write.

SQLite would write to the recording itself, which its reader may have no right to; and it would do
more that a journal asks for, which whoever made it may have made to do harm. Nothing is done here
but what brings pages back: https://www.sqlite.org/fileformat.html#the_rollback_journal.
"""

from __future__ import annotations

import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

_MAGIC = bytes.fromhex("d9d505f920a163d7")
_HEADER = struct.Struct(">8sIIIII")
_UNKNOWN = 0xFFFF_FFFF
_SECTORS = range(32, 65_537)
_MOST_COPIED = 4 << 30
_PIECE = 1 << 26


def restored(fd: int, path: str) -> str | None:
    """Copy a recording as it was before the transaction that is half done.

    Args:
        fd: descriptor of the recording.
        path: its name, beside which the journal is.

    Returns:
        The copy's name, for the caller to remove; None where there is no journal that tells more
        than the recording itself.

    Raises:
        OSError: the journal cannot be read, or the copy not be written.
    """
    try:
        journal = os.open(
            f"{path}-journal", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        )
    except FileNotFoundError:
        return None
    with os.fdopen(journal, "rb") as file:
        size = os.fstat(fd).st_size
        if not stat.S_ISREG(os.fstat(journal).st_mode) or size > _MOST_COPIED:
            return None
        page = int.from_bytes(os.pread(fd, 2, 16))
        page = 65_536 if page == 1 else page
        first = next(pages := _pages(file, page), None)
        if first is None:
            return None
        copy, name = tempfile.mkstemp(prefix="sysdash-")
        try:
            _copy(fd, copy, size)
            whole = first[2] * page
            if whole <= size:
                os.ftruncate(copy, whole)
            _put_back(copy, first, pages, whole, page)
        except BaseException:
            os.unlink(name)  # noqa: PTH108  (a name, as it came)
            raise
        finally:
            os.close(copy)
    return name


_Page = tuple[int, bytes, int]
"""Its number from 1, what was on it, and how many pages there were."""


def _pages(file: BinaryIO, page: int) -> Iterator[_Page]:
    """The pages that a journal has, as far as it is whole."""
    at, whole = 0, None
    while True:
        file.seek(at)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return
        magic, records, nonce, before, sector, its_page = _HEADER.unpack(header)
        if magic != _MAGIC or sector not in _SECTORS or its_page != page:
            return
        whole = before if whole is None else whole
        at += sector
        file.seek(at)
        while records:
            record = file.read(page + 8)
            if len(record) < page + 8:
                return
            number, content = int.from_bytes(record[:4]), record[4:-4]
            total = nonce + sum(content[at] for at in range(page - 200, 0, -200))
            if not number or total % 2**32 != int.from_bytes(record[-4:]):
                return
            yield number, content, whole
            at += page + 8
            records -= records != _UNKNOWN
        at += -at % sector


def _copy(fd: int, copy: int, size: int) -> None:
    at = 0
    while at < size:
        piece = os.pread(fd, min(_PIECE, size - at), at)
        if not piece:
            break
        at += os.pwrite(copy, piece, at)


def _put_back(copy: int, first: _Page, others: Iterator[_Page], whole: int, page: int) -> None:
    done = set()
    for number, content, _ in (first, *others):
        # Of a page that is there twice, the first is the older one.
        if number * page <= whole and number not in done:
            done.add(number)
            os.pwrite(copy, content, (number - 1) * page)
