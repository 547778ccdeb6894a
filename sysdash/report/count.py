"""The text of ``sysdash count``: bcc's layout, and a table of any other keys.

Scripts read these lines, so titles, widths and order are those of the tools that they were written
for: bcc's tools/syscount.py, and SystemTap's syscallbypid where calls are grouped by other keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sysdash.aggregates import Aggregate, under_one_name
from sysdash.model import Row, Table
from sysdash.report.keys import key_text
from sysdash.units import pad, width

DETACHING = "Detaching..."
"""The last line."""

_NAME_COLUMNS = 22

# Title and least width of each key's column.
_KEY_COLUMNS = {
    "pid": ("PID", 8),
    "tid": ("TID", 8),
    "comm": ("CMD", 16),
    "syscall": ("SYSCALL", 20),
    "cgroup": ("CGROUP", 24),
    "errno": ("ERRNO", 16),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns there are besides the keys and COUNT.

    Attributes:
        latency: the time spent in the calls, which also sorts them.
        milliseconds: that time in ms, not in µs.
        rate: calls per second.
    """

    latency: bool = False
    milliseconds: bool = False
    rate: bool = False

    @property
    def sort(self) -> str:
        """The order of the rows, one of :data:`sysdash.limits.SORTS`."""
        return "total" if self.latency else "rate"

    def titles(self) -> str:
        """The titles of RATE and TIME."""
        titles = f" {'RATE':>10}" if self.rate else ""
        if self.latency:
            titles += f" {'TIME (ms)' if self.milliseconds else 'TIME (us)':>16}"
        return titles

    def values(self, row: Row) -> str:
        """The same columns of a row."""
        values = f" {row.rate:10.1f}" if self.rate else ""
        if self.latency and self.milliseconds:
            values += f" {row.total_ns / 1e6:16.6f}"
        elif self.latency:
            values += f" {row.total_ns / 1e3:16.3f}"
        return values


def beginning(*, failures: bool, names: Sequence[str], top: int | None) -> str:
    """The first line, printed once the probe counts.

    Args:
        failures: only calls that fail are counted.
        names: the only syscalls that are counted; empty for all.
        top: rows that are printed of an interval; None for all.
    """
    failed = "failed " if failures else ""
    if names:
        what = f"{failed}syscall '{','.join(names)}'"
    else:
        what = f"{failed}syscalls" + (f", printing top {top}" if top is not None else "")
    return f"Tracing {what}... Ctrl+C to quit."


def table(interval: Aggregate, *, clock: str, top: int | None, columns: Columns) -> list[str]:
    """An interval in bcc's layout.

    Args:
        interval: by syscall or by (pid, comm).
        clock: the local time of its end, ``HH:MM:SS``.
        top: rows at the most; None for all.
        columns: which there are.
    """
    by_syscall = "syscall" in interval.calls.by
    name = "SYSCALL" if by_syscall else "PID    COMM"
    # A process has one row, whatever it calls itself in the meantime.
    calls = interval.calls if by_syscall else under_one_name(interval.calls, "pid")
    lines = [f"[{clock}]", f"{name:{_NAME_COLUMNS}} {'COUNT':>8}{columns.titles()}"]
    lines += [
        f"{_padded(_name(row), _NAME_COLUMNS)} {row.count:8}{columns.values(row)}"
        for row in _first(calls, top, columns)
    ]
    return [*lines, ""]


def grouped(
    interval: Aggregate, *, clock: str | None, top: int | None, columns: Columns
) -> list[str]:
    """An interval with a column for each key, wide enough for what is in it.

    Args:
        interval: by any keys.
        clock: the local time of its end, ``HH:MM:SS``; None to leave it out.
        top: rows at the most; None for all.
        columns: which there are besides the keys and COUNT.
    """
    by = interval.calls.by
    titles = [_KEY_COLUMNS[key][0] for key in by]
    texts = [
        (
            [key_text(row, key, interval.cgroups) for key in by],
            str(row.count),
            columns.values(row),
        )
        for row in _first(interval.calls, top, columns)
    ]
    widths = [
        max([_KEY_COLUMNS[key][1], *(width(keys[column]) for keys, _, _ in texts)])
        for column, key in enumerate(by)
    ]

    def line(cells: Sequence[str], count: str, rest: str) -> str:
        keys = " ".join(pad(cell, room) for cell, room in zip(cells, widths, strict=True))
        return f"{keys} {count:>12}{rest}"

    lines = [] if clock is None else [f"[{clock}]"]
    lines.append(line(titles, "COUNT", columns.titles()))
    lines += [line(*text) for text in texts]
    return [*lines, ""]


def names(known: Sequence[str]) -> list[str]:
    """The names of syscalls, four to a line."""
    return [
        "   ".join(f"{name:{_NAME_COLUMNS}}" for name in known[start : start + 4])
        for start in range(0, len(known), 4)
    ]


def _first(calls: Table, top: int | None, columns: Columns) -> Iterator[Row]:
    return calls.each(calls.order(columns.sort)[:top])


def _name(row: Row) -> str:
    if row.syscall is not None:
        return row.syscall.name
    return f"{row.pid:<6} {_padded(row.comm or '', 15)}"


def _padded(text: str, columns: int) -> str:
    """The text filled up with spaces; a longer one is not cut, for a script may look for it."""
    return pad(text, max(columns, width(text)))
