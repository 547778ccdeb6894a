"""What a recording is: an SQLite database of four tables, and the facts that stand in it.

``application_id`` says that it is one, ``user_version`` which format. Every interval is a row of
``intervals``, small enough for all of a day to be read at once, and under the same number a row of
``bodies`` (:func:`sysdash.packing.pack`) and, if calls were slow, of ``slow_calls``
(:func:`sysdash.packing.pack_slow`). Numbers ascend in the order in which intervals were recorded,
whatever the wall clock did. ``runs`` has the :class:`Facts` of each time that something was
recorded to the file, as JSON, and the number of its first interval.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Container
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import sysdash
from sysdash.errors import CannotCollect
from sysdash.units import fit, safe

APPLICATION_ID = 0x5359_5344  # "SYSD"
FORMAT = 1

TABLES = {
    "runs": "CREATE TABLE runs(id INTEGER PRIMARY KEY, first INTEGER NOT NULL, "
    "facts BLOB NOT NULL)",
    "intervals": "CREATE TABLE intervals(id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, "
    "mono_ns INTEGER NOT NULL, interval_ns INTEGER NOT NULL, calls INTEGER NOT NULL, "
    "errors INTEGER NOT NULL, slow INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "bodies": "CREATE TABLE bodies(id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "slow_calls": "CREATE TABLE slow_calls(id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
}
"""The statement of each table; a file whose schema is another one is not read at all."""

MOST_BODY = 16 << 20
"""Bytes that one interval, or its slow calls, may have at the most: some million rows."""

MOST_FACTS = 1 << 16

HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_COLUMNS = 200

_BOUNDS = {
    "cpus": (1, 1 << 20),
    "boot_time_ns": (0, 2**62),
    "started_ns": (0, 4_102_444_800 * 10**9),
    "zone_s": (-86_400, 86_400),
    "interval_s": (0.0, 86_400.0),
    "per_second": (0, 1 << 30),
}


class CannotRecord(CannotCollect):
    """A recording cannot be written; the reason is one line."""


class BadRecording(CannotCollect):
    """A file is no recording that can be read; the reason is one line and names the file."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What holds for all intervals of one run of a recording.

    Attributes:
        host, kernel: the machine's name and the release of its kernel.
        cpus: CPUs online when it began.
        boot_time_ns: when the machine was booted, Unix time.
        version: of the sysdash that recorded.
        started_ns: when recording began, Unix time.
        zone_s: seconds that the local time was ahead of UTC then.
        interval_s: seconds between samples that were asked for.
        limits: what was collected, in words for the header; empty for everything.
        thresholds: which calls were slow, in words.
        stacks: whether slow calls come with their stacks.
        by_tid: whether threads are kept apart.
        timed: whether calls were timed, and not only counted.
        off_cpu: whether times off the CPU were measured.
        per_second: slow calls that were listed each second at the most; 0 where that is not known.
    """

    host: str
    kernel: str
    cpus: int
    boot_time_ns: int
    version: str
    started_ns: int
    zone_s: int
    interval_s: float
    limits: str = ""
    thresholds: str = ""
    stacks: bool = True
    by_tid: bool = False
    timed: bool = True
    off_cpu: bool = False
    per_second: int = 0

    @classmethod
    def here(
        cls,
        interval_s: float,
        *,
        limits: str = "",
        thresholds: str = "",
        stacks: bool = True,
        by_tid: bool = False,
        timed: bool = True,
        off_cpu: bool = False,
        per_second: int = 0,
    ) -> Self:
        """Those of a recording that begins now on this machine; for the rest see the class."""
        machine, now_ns = os.uname(), time.time_ns()
        return cls(
            host=safe(machine.nodename),
            kernel=safe(machine.release),
            cpus=os.sysconf("SC_NPROCESSORS_ONLN"),
            boot_time_ns=now_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            version=sysdash.__version__,
            started_ns=now_ns,
            zone_s=time.localtime(now_ns // 1_000_000_000).tm_gmtoff,
            interval_s=interval_s,
            limits=limits,
            thresholds=thresholds,
            stacks=stacks,
            by_tid=by_tid,
            timed=timed,
            off_cpu=off_cpu,
            per_second=per_second,
        )

    def written(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, stored: bytes) -> Self:
        """From JSON.

        Raises:
            ValueError: it is not what :meth:`written` gives.
        """
        try:
            found: Any = json.loads(stored)
        except RecursionError:
            raise ValueError("facts of no known kind") from None
        if not isinstance(found, dict):
            raise ValueError("facts of no known kind")  # noqa: TRY004  (of what comes from outside)
        found = {**_ADDED, **found}
        return cls(**{f.name: _fact(f.name, str(f.type), found.get(f.name)) for f in fields(cls)})


_ADDED = {"per_second": 0}
"""Facts that were not told from the beginning, and what the first recordings have for them."""

_KINDS = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def _fact(name: str, kind: str, found: Any) -> Any:
    if type(found) not in _KINDS[kind]:
        raise ValueError(f"no {name}")
    if isinstance(found, str):
        return fit(safe(found), _COLUMNS)
    low, high = _BOUNDS.get(name, (0, 1))
    if not low <= found <= high:
        raise ValueError(f"no {name}")
    return found


_BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite opens beside a database, by the end of its name."""


def strange_beside(path: str, owners: Container[int] | None = None) -> str | None:
    """What lies beside a recording that SQLite must not find there, by its name; None for nothing.

    It opens a pipe like a file, which takes for ever, and does to a recording what a journal says.

    Args:
        path: the recording, not a link to it.
        owners: whose files may be there, by UID; None for anybody's.

    Raises:
        OSError: it cannot be looked for.
    """
    for end in _BESIDE:
        try:
            found = os.lstat(path + end)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode) or (owners is not None and found.st_uid not in owners):
            return path + end
    return None


def whole(column: str) -> str:
    """SQL for a column that must be a whole number; NULL, unread, for whatever else is there."""
    return f"CASE typeof({column}) WHEN 'integer' THEN {column} END"


def named(path: str) -> str:
    """A file's name for a message."""
    return fit(safe(path), 120)


def foreign(header: bytes) -> str | None:
    """Why a file that begins so is not a recording of any format; None if it is."""
    if not header:
        return "is empty"
    if header[: len(_MAGIC)] != _MAGIC or len(header) < HEADER_BYTES:
        return "is not a recording of sysdash"
    # Offsets: https://www.sqlite.org/fileformat.html#the_database_header
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        return "is not a recording of sysdash"
    return None


def unreadable(header: bytes) -> str | None:
    """Why a file that begins so cannot be read here; None if it can be."""
    wrong = foreign(header)
    if wrong:
        return wrong
    version = int.from_bytes(header[60:64])
    if version > FORMAT:
        return f"was written by a newer sysdash (format {version}); this one reads {FORMAT}"
    # Formats of writing and reading are 1 where no write-ahead log is used; text is UTF-8.
    if version < 1 or header[18:20] != b"\1\1" or int.from_bytes(header[56:60]) != 1:
        return "is damaged: its header is not one that sysdash writes"
    return None
