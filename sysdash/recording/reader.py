"""Reading a recording, which may be damaged, or made to do harm: nothing in it is trusted."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sysdash.packing import Damaged, Packed, unpack, with_slow
from sysdash.recording.format import (
    HEADER_BYTES,
    MOST_BODY,
    MOST_FACTS,
    TABLES,
    BadRecording,
    Facts,
    named,
    strange_beside,
    unreadable,
    whole,
)
from sysdash.recording.journal import restored
from sysdash.records import Sample
from sysdash.timeline import Ints, Timeline
from sysdash.units import fit, safe

_MOST_INTERVALS = 5_000_000
_BLOCK = 16_384
"""Intervals that are read together: who writes waits as long as one reads."""

_BUSY_S = 5.0
_OPENING_S = 10.0
_INTERVALS_S = 30.0
_LONGEST_S = 60.0
"""Reading of the tables, of when all intervals were, and of one interval: what takes longer has no
end."""

_OPERATIONS = 10_000
"""Steps of SQLite between looks at the clock."""

_LATEST_NS = 4_102_444_800 * 10**9
_LONGEST_NS = 2**53
_MOST_CALLS = 2**40

_SQLITE = (sqlite3.Error, UnicodeDecodeError)
"""What it raises where a file is damaged; the second where the name of what is damaged is."""

_WORDS_COLUMNS = 80

_COLUMNS = ", ".join(
    ["id", *(whole(name) for name in ("time_ns", "interval_ns", "calls", "errors", "slow"))]
)
_OF_ONE = ", ".join(
    whole(name) for name in ("time_ns", "mono_ns", "interval_ns", "calls", "errors", "slow")
)
_HIGHEST = np.array([2**62, _LATEST_NS, _LONGEST_NS, _MOST_CALLS, _MOST_CALLS, _MOST_CALLS])


class Recording:
    """A recording, to be read from any thread. A context manager.

    What is added to it after it was opened is not in it.

    Attributes:
        path: the file.
        facts: those of its newest run.
        timeline: when its intervals were, and how much happened in each. Where the wall clock was
            set back while they were recorded, those after it are shown behind those before it.
        damaged: intervals that are known to be damaged; there may be more.
    """

    def __init__(self, path: str) -> None:
        """Open a file and read when its intervals were.

        Raises:
            BadRecording: it is not one that can be read.
        """
        self.path = path
        self.damaged = 0
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._until = 0.0
        self._immutable = False
        # Until the end: the locks of a process on a file end when it closes any descriptor of it.
        self._fd = _opened(path)
        try:
            if self._is_beset() or not self._is_read(path):
                self._read_what_is_there(path)
        except BaseException:
            self.close()
            raise

    def _is_beset(self) -> bool:
        """Whether something lies beside the file that SQLite must not open."""
        try:
            return strange_beside(os.path.realpath(self.path)) is not None
        except OSError:
            return True

    def _is_read(self, path: str) -> bool:
        """Read a file that may be written to meanwhile; returns whether it could be."""
        try:
            self._read(f"{_uri(path)}?mode=ro")
        except _SQLITE as error:
            if _code(error) == sqlite3.SQLITE_BUSY:
                raise BadRecording(f"{named(path)} is held by another program") from None
            if _code(error) == sqlite3.SQLITE_INTERRUPT:
                raise BadRecording(f"{named(path)} is damaged ({_told(error)})") from None
            self._close_connection()
            return False
        return True

    def _read_what_is_there(self, path: str) -> None:
        """Read what a crash has left.

        That is the file and, if the crash came in the middle of a transaction, a journal to undo
        it. Where the file has been copied without it, what can be read is read: the newest pages
        of the tables may be wrong, and with them the last interval.
        """
        copy = None
        self._immutable = True
        try:
            with suppress(OSError):
                copy = restored(self._fd, os.path.realpath(path))
            self._read(f"{_uri(copy or path)}?mode=ro&immutable=1", salvage=True)
        except _SQLITE as error:
            raise BadRecording(f"{named(path)} is damaged ({_told(error)})") from None
        finally:
            if copy is not None:
                # It is open, and goes when it is closed.
                Path(copy).unlink(missing_ok=True)

    def _read(self, uri: str, *, salvage: bool = False) -> None:
        self._until = time.monotonic() + _OPENING_S
        self._connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        # Before anything else: whatever is asked first reads the tables of the file.
        self._connection.set_progress_handler(self._is_late, _OPERATIONS)
        _prepare(self._connection, salvage=salvage)
        self._check_schema(self._connection)
        self.facts = self._read_facts(self._connection)
        self._until = time.monotonic() + _INTERVALS_S
        numbers = self._read_intervals(self._connection, salvage=salvage)
        self._ids = numbers[:, 0].copy()
        end = _ascending(numbers[:, 1], numbers[:, 2])
        self.timeline = Timeline(end, *(numbers[:, i].copy() for i in range(2, 6)))

    def _is_late(self) -> bool:
        return time.monotonic() > self._until

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT type, name, sql FROM sqlite_master LIMIT 100")
        wanted = {(b"table", name.encode(), sql.encode()) for name, sql in TABLES.items()}
        if {*found} != wanted:
            raise BadRecording(f"{named(self.path)} is damaged: its tables are others")

    def _read_facts(self, connection: sqlite3.Connection) -> Facts:
        found = connection.execute(
            "SELECT facts FROM runs WHERE typeof(facts) = 'blob' AND length(facts) <= ? "
            "ORDER BY id DESC LIMIT 1",
            (MOST_FACTS,),
        ).fetchone()
        try:
            return Facts.read(found[0])
        except (TypeError, ValueError):
            raise BadRecording(f"{named(self.path)} is damaged: it lacks its facts") from None

    def _read_intervals(
        self, connection: sqlite3.Connection, *, salvage: bool
    ) -> npt.NDArray[np.int64]:
        blocks: list[npt.NDArray[np.int64]] = []
        read, last = 0, -1
        try:
            (newest,) = connection.execute("SELECT max(id) FROM intervals").fetchone()
            while isinstance(newest, int) and read < _MOST_INTERVALS:
                rows = connection.execute(
                    f"SELECT {_COLUMNS} FROM intervals "
                    "WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
                    (last, newest, _BLOCK),
                ).fetchall()
                if not rows:
                    break
                block = self._checked(rows, last)
                blocks.append(block)
                read += len(rows)
                if rows[-1][0] <= last:
                    break  # in circles
                last = rows[-1][0]
        except _SQLITE:
            if not salvage:
                raise
        return np.concatenate(blocks) if blocks else np.zeros((0, 6), dtype=np.int64)

    def _checked(self, rows: Sequence[tuple[Any, ...]], last: int) -> npt.NDArray[np.int64]:
        """Those of the rows that can be: numbers, within bounds, in order."""
        block = np.array(rows, dtype=object)
        whole = np.array([all(type(value) is int for value in row) for row in rows])
        good: npt.NDArray[np.int64] = block[whole].astype(np.int64)
        good = good[((good >= 0) & (good <= _HIGHEST)).all(axis=1)]
        highest = np.maximum.accumulate(np.append(last, good[:, 0]))[:-1]
        good = good[good[:, 0] > highest]
        self.damaged += len(rows) - len(good)
        return good

    # --- What is in it ---

    def __len__(self) -> int:
        return len(self._ids)

    def packed(self, number: int) -> Packed:
        """An interval as it is stored, without its slow calls, its end that of the timeline.

        Args:
            number: from 0, the oldest, as in the timeline.

        Raises:
            Damaged: it cannot be read, or is no longer there.
        """
        with self._reading() as connection:
            identity = int(self._ids[number])
            found = connection.execute(
                f"SELECT {_OF_ONE} FROM intervals WHERE id = ?",
                (identity,),
            ).fetchone()
            if found is None or not all(type(value) is int for value in found):
                raise Damaged("the interval is not there any more")
            body = _body(connection, "bodies", identity)
        if body is None:
            raise Damaged("the interval is empty")
        _, mono_ns, interval_ns, calls, errors, slow = found
        return Packed(
            time_ns=int(self.timeline.end_ns[number]),
            mono_ns=mono_ns,
            interval_ns=interval_ns,
            calls=calls,
            errors=errors,
            slow=slow,
            body=body,
        )

    def slow_calls(self, number: int) -> bytes | None:
        """The slow calls of an interval, for :func:`sysdash.packing.unpack_slow`; None for none.

        Raises:
            Damaged: they cannot be read.
        """
        with self._reading() as connection:
            return _body(connection, "slow_calls", int(self._ids[number]))

    def sample(self, number: int) -> Sample:
        """An interval as it was collected, with its slow calls.

        Args:
            number: from 0, the oldest, as in the timeline.

        Raises:
            Damaged: it cannot be read, or is no longer there.
        """
        sample, slow = unpack(self.packed(number)), self.slow_calls(number)
        return sample if slow is None else with_slow(sample, slow)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._connection is None:
                raise Damaged("the recording is closed")
            if not self._immutable and self._is_beset():
                raise Damaged("what lies beside the recording is no journal")
            self._until = time.monotonic() + _LONGEST_S
            try:
                yield self._connection
            except _SQLITE as error:
                raise Damaged(_told(error)) from None

    # --- The end ---

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close_connection()
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _opened(path: str) -> int:
    """A descriptor of a file that begins as a recording.

    Raises:
        BadRecording: there is none.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.errno == errno.EACCES:
            raise BadRecording(
                f"cannot read {named(path)}: {reason}", "only its owner and root may read it"
            ) from None
        raise BadRecording(f"cannot read {named(path)}: {reason}") from None
    wrong = _wrong(fd)
    if wrong:
        os.close(fd)
        raise BadRecording(f"{named(path)} {wrong}")
    return fd


def _wrong(fd: int) -> str | None:
    """Why a file cannot be read as a recording; None if it may be."""
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            return "is a folder" if stat.S_ISDIR(mode) else "is no file"
        return unreadable(os.pread(fd, HEADER_BYTES, 0))
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _uri(path: str) -> str:
    return Path(path).absolute().as_uri()


def _prepare(connection: sqlite3.Connection, *, salvage: bool) -> None:
    connection.text_factory = bytes
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_FACTS + 1024)
    for pragma in (
        # The header may tell of more pages than there are. It must be known before anything is
        # read; nothing can be written all the same.
        *(["writable_schema = ON"] if salvage else []),
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "query_only = ON",
        "mmap_size = 0",
        "cache_size = -2000",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _body(connection: sqlite3.Connection, table: str, identity: int) -> bytes | None:
    """A blob that is no larger than it may be; None where there is none.

    Raises:
        Damaged: it is larger, or no blob.
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BODY + 1024)
    try:
        return _blob(connection, table, identity)
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_FACTS + 1024)


def _blob(connection: sqlite3.Connection, table: str, identity: int) -> bytes | None:
    kind = connection.execute(
        f"SELECT typeof(body), length(body) FROM {table} WHERE id = ?",
        (identity,),
    ).fetchone()
    if kind is None:
        return None
    if kind[0] != b"blob" or kind[1] > MOST_BODY:
        raise Damaged("no bytes that can be an interval's")
    found = connection.execute(
        f"SELECT body FROM {table} WHERE id = ?",
        (identity,),
    ).fetchone()
    if found is None or not isinstance(found[0], bytes):
        raise Damaged("the interval is not there any more")
    return found[0]


def _ascending(end: Ints, length: Ints) -> Ints:
    """Ends that ascend: where a clock was set back, an interval follows the one before it."""
    end = end.copy()
    back = np.flatnonzero(end[1:] <= end[:-1])
    if len(back):
        first = int(back[0]) + 1
        shown = int(end[first - 1])
        rest = []
        for time_ns, length_ns in zip(end[first:].tolist(), length[first:].tolist(), strict=True):
            shown = time_ns if time_ns > shown else shown + max(length_ns, 1)
            rest.append(shown)
        end[first:] = rest
    return end


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _told(error: Exception) -> str:
    return fit(safe(str(error)), _WORDS_COLUMNS)
