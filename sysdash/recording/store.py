"""The file that a recording is written to: making it, adding to it, keeping it small."""

from __future__ import annotations

import bisect
import errno
import fcntl
import os
import secrets
import sqlite3
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sysdash.packing import Packed
from sysdash.recording.format import (
    APPLICATION_ID,
    FORMAT,
    HEADER_BYTES,
    MOST_BODY,
    MOST_FACTS,
    TABLES,
    CannotRecord,
    Facts,
    foreign,
    named,
    strange_beside,
    unreadable,
    whole,
)
from sysdash.units import fit

_PAGE_BYTES = 4096
_LOCK_BYTE = 1 << 62
"""A byte far behind the file's end, whose lock is held by who records to it."""

_BUSY_S = 0.2
_MORE_PAGES = 8
"""Pages that a transaction may need beside those of bodies."""

_LOOK = 32
"""Intervals that are looked at together when the oldest go."""

_CHECK_S = 10.0
_OPERATIONS = 10_000
"""How long a file that is gone on with is looked at, and steps of SQLite between two looks at the
clock."""

_EVERYBODYS = stat.S_ISVTX | stat.S_IWOTH
"""The mode of a folder like /tmp."""

_ASLEEP_NS = 10**8
"""What is less than this comes of reading two clocks one after the other."""

_MOST_SLEEPS = 10_000

_SAME = {
    "kernel": "kernel release",
    "limits": "filters",
    "thresholds": "thresholds",
    "stacks": "stacks of slow calls",
    "timed": "times",
}
"""Facts that must not change within a file, and words for them."""

_FACT_COLUMNS = 60

_OLD_COLUMNS = ", ".join(f"coalesce({whole(name)}, 0)" for name in ("time_ns", "mono_ns", "bytes"))


class Existing(Enum):
    """What to do with a file that is there already."""

    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    APPEND = "append"


@dataclass(frozen=True, slots=True)
class Item:
    """One interval as it is stored."""

    packed: Packed
    slow: bytes | None


class Busy(Exception):
    """Somebody reads the file; to be tried again."""


class Broken(Exception):
    """The file cannot be written any more; the message says why."""


class Store:
    """A recording that is being written; used by one thread at a time.

    Attributes:
        path: the file.
        bytes: its size.
        kept: intervals in it, those that were there before included.
    """

    def __init__(
        self,
        path: str,
        facts: Facts,
        *,
        existing: Existing = Existing.REFUSE,
        max_bytes: int | None = None,
        max_age_s: float | None = None,
    ) -> None:
        """Make the file, or open it to go on with it.

        Raises:
            CannotRecord: it cannot be made, is there already, or is not one to go on with.
        """
        self.path = path
        self.kept = 0
        self._max_bytes = max_bytes
        self._max_age_ns = None if max_age_s is None else round(max_age_s * 1e9)
        self._started_ns = facts.started_ns
        self._started_mono_ns: int | None = None
        self._asleep: list[tuple[int, int]] = []
        self._fd = -1
        self._is_new = False
        self._connection: sqlite3.Connection | None = None
        try:
            appends = self._open(existing)
            self._begin(facts, appends=appends)
        except BaseException as error:
            self._give_up()
            if isinstance(error, OSError):
                raise CannotRecord(f"cannot record to {named(path)}: {error.strerror}") from None
            if isinstance(error, Broken):
                raise CannotRecord(f"cannot record to {named(path)}: {error}") from None
            if isinstance(error, ValueError):  # a NUL in its name
                raise CannotRecord(f"cannot record to {named(path)}: {error}") from None
            if isinstance(error, sqlite3.Error):
                raise CannotRecord(f"cannot record to {named(path)}: {_why(error)}") from None
            raise
        self.bytes = self._size()

    # --- The file ---

    def _open(self, existing: Existing) -> bool:
        """Open the file and lock it; returns whether it is one to go on with."""
        if existing is not Existing.REFUSE:
            try:
                self._fd = _there(self.path)
            except FileNotFoundError:
                self.path = os.path.realpath(self.path)
            else:
                self.path = os.path.realpath(self.path)
                return self._take_over(existing)
        try:
            self._fd = _new(self.path)
            self._is_new = True
        except FileExistsError:
            raise CannotRecord(
                f"{named(self.path)} exists already",
                "--overwrite replaces a recording, --append goes on with it",
            ) from None
        _lock(self._fd, self.path)
        return False

    def _take_over(self, existing: Existing) -> bool:
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            raise CannotRecord(f"{named(self.path)} is no file")
        header = os.pread(self._fd, HEADER_BYTES, 0)
        wrong = foreign(header) if existing is Existing.OVERWRITE else unreadable(header)
        if wrong and header:
            verb = "replaced" if existing is Existing.OVERWRITE else "added to"
            raise CannotRecord(f"{named(self.path)} {wrong}, and is not {verb}")
        _lock(self._fd, self.path)
        self._look_for_it()
        if existing is Existing.APPEND:
            return bool(header)
        self._replace()
        return False

    def _replace(self) -> None:
        """Put a new file in the place of the old one, which is locked until then."""
        path = Path(self.path)
        beside = path.with_name(f".sysdash-{secrets.token_hex(8)}")
        fd = _new(str(beside))
        try:
            _lock(fd, self.path)
            # What is left of a transaction of the old one would be taken for one of the new one.
            path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
            beside.replace(path)
        except BaseException:
            os.close(fd)
            with suppress(OSError):
                beside.unlink()
            raise
        os.close(self._fd)
        self._fd = fd
        self._is_new = True

    def _begin(self, facts: Facts, *, appends: bool) -> None:
        self._look_beside()
        uri = f"{Path(self.path).absolute().as_uri()}?mode=rw"
        until = time.monotonic() + _CHECK_S
        connection = self._connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._look_for_it()
        if appends:
            # Before anything else: whatever is asked first reads the tables of the file.
            connection.set_progress_handler(lambda: time.monotonic() > until, _OPERATIONS)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_FACTS + 1024)
        for pragma in (
            f"page_size = {_PAGE_BYTES}",
            "auto_vacuum = NONE",
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "secure_delete = OFF",
            "journal_mode = DELETE",
            "synchronous = FULL",
            "cache_size = -1000",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        if appends:
            self._check(facts)
        else:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            for statement in TABLES.values():
                connection.execute(statement)
        oldest, newest = connection.execute("SELECT min(id), max(id) FROM intervals").fetchone()
        self._first = self._next = (newest or 0) + 1
        self.kept = self._next - (oldest or self._next)
        connection.execute(
            "INSERT INTO runs(first, facts) VALUES (?, ?)", (self._first, facts.written())
        )
        connection.execute("COMMIT")
        connection.set_progress_handler(None, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BODY + 1024)

    def _check(self, facts: Facts) -> None:
        """Raise if this is not a recording that can be gone on with."""
        connection = self._open_connection()
        schema = dict(connection.execute("SELECT name, sql FROM sqlite_master LIMIT 100"))
        if schema != TABLES:
            raise CannotRecord(f"{named(self.path)} is damaged, and is not added to")
        found = connection.execute(
            "SELECT facts FROM runs WHERE typeof(facts) = 'blob' AND length(facts) <= ? "
            "ORDER BY id DESC LIMIT 1",
            (MOST_FACTS,),
        ).fetchone()
        try:
            before = Facts.read(found[0])
        except (TypeError, ValueError):
            raise CannotRecord(f"{named(self.path)} is damaged, and is not added to") from None
        # As both are read: what is long is cut.
        differs = _difference(before, Facts.read(facts.written()))
        if differs:
            raise CannotRecord(f"{named(self.path)} {differs}")

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise Broken("it is closed")
        return self._connection

    # --- Intervals ---

    def write(self, items: Sequence[Item]) -> list[int]:
        """Add intervals, all or none of them; the oldest go, where a limit asks for it.

        Returns:
            The number of each; 0 where it is too large to be written.

        Raises:
            Busy: somebody reads at the moment; nothing is written.
            Broken: it cannot be written; the file has what was written before.
        """
        before = self._next, self.kept
        try:
            with self._transaction() as connection:
                return [self._insert(connection, item) for item in items]
        except BaseException:
            self._next, self.kept = before
            raise

    def add_to(self, number: int, slow: bytes) -> None:
        """Replace the slow calls of an interval, if it is still there, as far as there is room.

        Raises:
            Busy, Broken: as :meth:`write`.
        """
        with self._transaction() as connection:
            found = connection.execute(
                "SELECT i.bytes, length(s.body) FROM intervals i JOIN slow_calls s USING (id) "
                "WHERE i.id = ?",
                (number,),
            ).fetchone()
            if found is None or len(slow) > MOST_BODY:
                return
            more = len(slow) - found[1]
            if self._max_bytes is not None and self._missing(connection, more) > 0:
                return
            connection.execute("UPDATE slow_calls SET body = ? WHERE id = ?", (slow, number))
            connection.execute(
                "UPDATE intervals SET bytes = ? WHERE id = ?", (found[0] + more, number)
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done inside, or nothing of it."""
        connection = self._open_connection()
        self._look_for_it()
        self._look_beside()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
            self.bytes = self._size()
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise Busy from None
            raise Broken(_why(error)) from None

    def _look_for_it(self) -> None:
        """Raise if the file has another name now, or none."""
        try:
            there = os.path.samestat(os.stat(self.path), os.fstat(self._fd))  # noqa: PTH116
        except OSError as error:
            raise Broken(f"the file is gone ({error.strerror})") from None
        if not there:
            raise Broken("another file is in its place")

    def _look_beside(self) -> None:
        """Raise if something lies beside the file that SQLite must not take for its own."""
        found = os.fstat(self._fd)
        strange = strange_beside(self.path, {0, os.geteuid(), found.st_uid})
        if strange is not None:
            raise Broken(f"{named(strange)} is in its way")

    def _insert(self, connection: sqlite3.Connection, item: Item) -> int:
        packed, slow = item.packed, item.slow
        if self._started_mono_ns is None:
            self._started_mono_ns = packed.mono_ns
        self._note_sleep()
        size = len(packed.body) + len(slow or b"")
        number = self._next
        if max(len(packed.body), len(slow or b"")) > MOST_BODY or not self._make_room(
            connection, size, number, packed
        ):
            return 0
        self._next += 1
        self.kept += 1
        connection.execute(
            "INSERT INTO intervals VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(number, packed.time_ns, packed.mono_ns, packed.interval_ns),
                *(packed.calls, packed.errors, packed.slow, size),
            ),
        )
        connection.execute("INSERT INTO bodies VALUES (?, ?)", (number, packed.body))
        if slow is not None:
            connection.execute("INSERT INTO slow_calls VALUES (?, ?)", (number, slow))
        # For the next one, too: its pages are then free when its transaction begins, and where that
        # is not completed, nothing that was there before it is overwritten.
        self._make_room(connection, 2 * size, number, packed)
        return number

    def _make_room(
        self, connection: sqlite3.Connection, size: int, before: int, packed: Packed
    ) -> bool:
        """Let the oldest intervals go until as much as this is within the limits; whether it is.

        Args:
            connection: in a transaction.
            size: bytes of an interval to come.
            before: the first interval that stays in any case.
            packed: the newest interval.
        """
        while True:
            over = self._missing(connection, size)
            oldest = connection.execute(
                f"SELECT id, {_OLD_COLUMNS} FROM intervals WHERE id < ? ORDER BY id LIMIT ?",
                (before, _LOOK),
            ).fetchall()
            last = None
            for number, time_ns, mono_ns, stored in oldest:
                if over <= 0 and not self._is_old(number, time_ns, mono_ns, packed):
                    break
                last = number
                over -= stored
            if last is None:
                return over <= 0
            for table in ("intervals", "bodies", "slow_calls"):
                connection.execute(f"DELETE FROM {table} WHERE id <= ?", (last,))
            self.kept = self._next - last - 1
            connection.execute(
                "DELETE FROM runs WHERE id < (SELECT max(id) FROM runs WHERE first <= ?)",
                (last + 1,),
            )

    def _is_old(self, number: int, time_ns: int, mono_ns: int, now: Packed) -> bool:
        if self._max_age_ns is None or self._started_mono_ns is None:
            return False
        # By the clock that is never set, which stands still while the machine sleeps.
        if number >= self._first:
            age = now.mono_ns - mono_ns + self._asleep_ns(number)
        else:
            since_start = now.mono_ns - self._started_mono_ns + self._asleep_ns(self._first)
            age = self._started_ns + since_start - time_ns
        return age > self._max_age_ns

    def _note_sleep(self) -> None:
        """Remember for the interval to come how long the machine has slept before."""
        slept = _slept_ns()
        if not self._asleep or slept - self._asleep[-1][1] > _ASLEEP_NS:
            self._asleep.append((self._next, slept))
            del self._asleep[1:-_MOST_SLEEPS]

    def _asleep_ns(self, number: int) -> int:
        """How long the machine has slept since an interval of this run."""
        at = bisect.bisect_right(self._asleep, number, key=lambda each: each[0])
        return self._asleep[-1][1] - self._asleep[max(at - 1, 0)][1]

    def _missing(self, connection: sqlite3.Connection, size: int) -> int:
        """Bytes that are not there for as much as this, if the largest size is to hold."""
        if self._max_bytes is None:
            return 0
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        need = size + size // 64 + _MORE_PAGES * _PAGE_BYTES
        return int(pages - free) * _PAGE_BYTES + need - self._max_bytes

    def _size(self) -> int:
        return os.fstat(self._fd).st_size

    def _give_up(self) -> None:
        """Close the file, and remove it if it was made here."""
        self._close_connection()
        if self._is_new:
            with suppress(OSError, Broken):
                self._look_for_it()
                Path(self.path).unlink()
        self.close()

    def _close_connection(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Close the file."""
        self._close_connection()
        # After it: the locks of a process on a file end when it closes any descriptor of it.
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _there(path: str) -> int:
    """A descriptor of a file that is there.

    In a folder to which everybody can write, a name may lead to wherever somebody else wants it to.

    Raises:
        CannotRecord: there it is a link, or somebody else's file.
        OSError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    everybodys = _is_everybodys(path)
    try:
        fd = os.open(path, flags | (os.O_NOFOLLOW if everybodys else 0))
    except OSError as error:
        if everybodys and error.errno == errno.ELOOP:
            raise CannotRecord(
                f"{named(path)} is a link in a folder that everybody can write to"
            ) from None
        raise
    invoking = _invoking_user()
    own = {0, os.geteuid(), *([invoking[0]] if invoking else [])}
    everybodys = everybodys or _is_everybodys(os.path.realpath(path))
    if everybodys and os.fstat(fd).st_uid not in own:
        os.close(fd)
        raise CannotRecord(
            f"{named(path)} is somebody else's, in a folder that everybody can write to"
        )
    return fd


def _is_everybodys(path: str) -> bool:
    """Whether a file's folder is one like /tmp."""
    mode = Path(path).parent.stat().st_mode
    return mode & _EVERYBODYS == _EVERYBODYS


def _difference(before: Facts, now: Facts) -> str:
    """Why a recording is not gone on with: what holds for its newest run holds for all of them."""
    if before.host != now.host:
        return f"is a recording of {before.host}, and is not added to"
    for name, words in (("by_tid", "--threads"), ("off_cpu", "--off-cpu")):
        if getattr(before, name) != getattr(now, name):
            verb = "with" if getattr(before, name) else "without"
            return f"was recorded {verb} {words}, and can only be added to so"
    for name, words in _SAME.items():
        then, here = getattr(before, name), getattr(now, name)
        if then != here:
            told = f"{_said(then)}, now {_said(here)}"
            return f"has other {words} ({told}), and is not added to"
    return ""


def _said(fact: str | bool) -> str:
    if isinstance(fact, bool):
        return "on" if fact else "off"
    return fit(fact, _FACT_COLUMNS) or "none"


def _slept_ns() -> int:
    """How long the machine has slept since it was booted."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def _new(path: str) -> int:
    """A new file that only the user can read, the one who called sudo if somebody did."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o600)
    owner = _invoking_user()
    if owner is not None:
        with suppress(OSError):
            os.fchown(fd, *owner)
    return fd


def _invoking_user() -> tuple[int, int] | None:
    found = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not all(each.isascii() and each.isdigit() for each in found):
        return None
    return int(found[0]), int(found[1])


def _lock(fd: int, path: str) -> None:
    # Of the open file, not of the process, whose other descriptors would end it when closed.
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _LOCK_BYTE, 1, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError):
        raise CannotRecord(f"another sysdash is recording to {named(path)}") from None
    except OSError:
        pass  # a file system without locks


_WHY = {
    sqlite3.SQLITE_FULL: "no space left on the device",
    sqlite3.SQLITE_IOERR: "input or output failed",
    sqlite3.SQLITE_CANTOPEN: "nothing can be made in its folder",
    sqlite3.SQLITE_READONLY: "it can no longer be written to",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is damaged",
    sqlite3.SQLITE_BUSY: "somebody else holds it",
    sqlite3.SQLITE_INTERRUPT: "the file is damaged",
}


def _why(error: sqlite3.Error) -> str:
    return _WHY.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, str(error))
