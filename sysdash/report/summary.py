"""The text of ``sysdash summary``: the tables of ``perf trace -s``.

Titles, widths, units and order are those of perf (tools/perf/builtin-trace.c), for eyes and scripts
that know them. Where perf lets a long value push the line aside, the whole column is wider here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sysdash import syscalls, units
from sysdash.aggregates import Aggregate, under_one_name
from sysdash.model import Row, Table, aggregate
from sysdash.report.keys import NUMBERS, align, key_text

MODES = {
    "total": ("syscall",),
    "process": ("pid", "comm", "syscall"),
    "thread": ("pid", "tid", "comm", "syscall"),
    "cgroup": ("cgroup", "syscall"),
}
"""What ``--by`` may say besides keys, and what the calls are grouped by for it."""

# What has a table of its own.
_TABLE_FOR = {
    "total": (),
    "process": ("pid", "comm"),
    "thread": ("tid", "comm"),
    "cgroup": ("cgroup",),
}

_TABLE_KINDS = {
    "process": ("process", "processes"),
    "thread": ("thread", "threads"),
    "cgroup": ("cgroup", "cgroups"),
}

_BESIDE_ERRNO = "\t\t\t\t"

# perf's titles, and where the columns after the name begin and the last one ends.
_TITLES = (
    "   syscall            calls  errors  total       min       avg       max       stddev",
    "                                     (msec)    (msec)    (msec)    (msec)        (%)",
    "   --------------- --------  ------ -------- --------- --------- ---------     ------",
)
_NUMBERS = _TITLES[0].split()[1:]
_UNITS = ["", "", *_TITLES[1].split()]
_CUTS = (18, 27, 35, 44, 54, 64, 74, 85)
# Its values: the errors end a column before their title.
_WIDTHS = (9, 7, 10, 10, 10, 10, 11)

_WIDEST_GAP = 3

_LEAST_COLUMNS = {"syscall": 15, "comm": 15, "pid": 7, "tid": 7}

_Key = tuple[object, ...]


def keys_of(by: Sequence[str], *, errno_summary: bool = False) -> tuple[str, ...]:
    """What calls are to be grouped by for a mode or for keys.

    Args:
        by: a mode of :data:`MODES` alone, or some of :data:`sysdash.model.KEYS`; empty is total.
        errno_summary: whether errors are told apart, for which they are a key.
    """
    mode = _mode(by)
    keys = MODES[mode] if mode else tuple(by)
    return (*keys, "errno") if errno_summary and "errno" not in keys else keys


def has_tables(by: Sequence[str]) -> bool:
    """Whether there is a table for each of something, and not one for all calls."""
    return _mode(by) in _TABLE_KINDS


def _mode(by: Sequence[str]) -> str | None:
    if not by:
        return "total"
    return by[0] if len(by) == 1 and by[0] in MODES else None


def summary_lines(
    interval: Aggregate,
    by: Sequence[str] = (),
    *,
    errno_summary: bool = False,
    tables: int | None = None,
    rows: int | None = None,
    columns: int | None = None,
) -> list[str]:
    """The table of all calls, or one for each process, thread or cgroup, the busiest first.

    Args:
        interval: timed calls, grouped by ``keys_of(by, errno_summary=errno_summary)``.
        by: a mode, or keys: then it is one table with a column for each.
        errno_summary: list under each row with which errors how many of its calls failed.
        tables: how many at the most; None for all.
        rows: of each table at the most; None for all.
        columns: the room, in which perf's layout is made narrower if it must; None for perf's.
    """
    mode = _mode(by)
    table_for = _TABLE_FOR[mode] if mode else ()
    names = ("syscall",) if mode else tuple(by)
    keys = (*table_for, *names)
    calls = interval.calls
    if mode in ("process", "thread"):
        # It may change its name, and is one nevertheless.
        calls = under_one_name(calls, table_for[0])
    every = calls
    if calls.by != keys:
        calls = aggregate(calls, keys)
    errors = _errors(every, keys) if errno_summary and "errno" not in keys else {}
    every_section = list(_sections(calls, len(table_for), rows))
    sections = every_section[:tables]
    headings = _headings(calls, table_for, interval.cgroups)
    shown = [row for one in sections for row in one.rows]
    layout = _layout(names, shown, interval.cgroups, columns)
    lines = ["", " Summary of events:", ""]
    for section in sections:
        heading = f" {headings.get(section.key, 'total')}, {section.count} events"
        if table_for:
            heading += f", {100 * section.count / int(calls.count.sum()):.1f}%"
        lines += [heading, "", *layout.titles()]
        for row, key in zip(section.rows, section.keys, strict=True):
            lines.append(layout.line(row))
            lines += [f"{_BESIDE_ERRNO}{name}: {count}" for name, count in errors.get(key, ())]
        if section.hidden:
            kind = ("syscall", "syscalls") if names == ("syscall",) else ("row", "rows")
            rest = section.count - sum(row.count for row in section.rows)
            lines += ["", layout.indent + _more(section.hidden, kind, rest)]
        lines.append("")
    hidden = every_section[len(sections) :]
    if hidden and mode:
        rest = sum(section.count for section in hidden)
        lines += [f" {_more(len(hidden), _TABLE_KINDS[mode], rest)}", ""]
    return lines


def _more(hidden: int, kind: tuple[str, str], events: int) -> str:
    return f"{hidden} more {kind[hidden > 1]}, {events} events"


# --- What belongs together ---


@dataclass(frozen=True, slots=True)
class _Section:
    """A table.

    Attributes:
        key: whose it is.
        count: all its calls.
        rows: those that are shown, and their ``keys``.
        hidden: how many rows are not.
    """

    key: _Key
    count: int
    rows: list[Row]
    keys: list[_Key]
    hidden: int


def _sections(calls: Table, leading: int, most: int | None) -> Iterator[_Section]:
    """The tables, one for each value of the ``leading`` keys, those with the most calls first."""
    keys = _keys(calls, calls.by)
    members: dict[_Key, list[int]] = {} if leading else {(): []}
    for index in calls.order("total"):
        members.setdefault(keys[index][:leading], []).append(index)
    counts = {key: int(calls.count[indices].sum()) for key, indices in members.items()}
    for key in sorted(members, key=lambda key: -counts[key]):
        indices = members[key]
        shown = indices[:most]
        yield _Section(
            key=key,
            count=counts[key],
            rows=calls.rows(shown),
            keys=[keys[index] for index in shown],
            hidden=len(indices) - len(shown),
        )


def _headings(calls: Table, tables: Sequence[str], cgroups: Mapping[int, str]) -> dict[_Key, str]:
    """The heading of each table."""
    if not tables:
        return {}
    named = aggregate(calls, tables)
    texts = (
        " ".join(
            f"({key_text(row, key, cgroups)})" if key in NUMBERS else key_text(row, key, cgroups)
            for key in reversed(tables)
        )
        for row in named.rows(range(len(named)))
    )
    return dict(zip(_keys(named, tables), texts, strict=True))


def _errors(calls: Table, keys: Sequence[str]) -> dict[_Key, list[tuple[str, int]]]:
    """The errors of the calls of each key, and how many there were, the most frequent first."""
    failed = calls.select(calls.errno > 0)
    found: dict[_Key, list[tuple[str, int]]] = {}
    of = _keys(failed, keys)
    for index in failed.order("rate"):
        name = syscalls.errno_name(int(failed.errno[index]))
        found.setdefault(of[index], []).append((name, int(failed.count[index])))
    return found


def _keys(calls: Table, keys: Sequence[str]) -> list[_Key]:
    """The keys of every row, as what can be looked up."""
    columns = [
        list(zip(calls.nr.tolist(), calls.abi.tolist(), strict=True))
        if key == "syscall"
        else getattr(calls, key).tolist()
        for key in keys
    ]
    return list(zip(*columns, strict=True)) if columns else [()] * len(calls)


# --- Columns ---


@dataclass(frozen=True, slots=True)
class _Perf:
    """perf's columns, the same in every table of an output, so that they are under one another.

    Attributes:
        keys: the keys and the width of each.
        wider: by how much each column of numbers is wider than perf's.
        cgroups: paths by id.
    """

    keys: list[tuple[str, int]]
    wider: list[int]
    cgroups: Mapping[int, str]
    indent: str = "   "

    @staticmethod
    def of(keys: Sequence[str], rows: Sequence[Row], cgroups: Mapping[int, str]) -> _Perf:
        widths = [
            max(
                [
                    _LEAST_COLUMNS.get(key, len(key)),
                    *(units.width(key_text(row, key, cgroups)) for row in rows),
                ]
            )
            for key in keys
        ]
        numbers = [_numbers(row) for row in rows]
        needed = [
            max([width, *(1 + len(line[column]) for line in numbers)])
            for column, width in enumerate(_WIDTHS)
        ]
        wider = [need - width for need, width in zip(needed, _WIDTHS, strict=True)]
        return _Perf(list(zip(keys, widths, strict=True)), wider, cgroups)

    @property
    def width(self) -> int:
        """The columns of a row."""
        names = sum(width for _, width in self.keys) + len(self.keys) - 1
        return len(self.indent) + names + sum(_WIDTHS) + sum(self.wider)

    def titles(self) -> list[str]:
        """The three lines above the rows."""
        names = (
            " ".join(units.pad(key, width, align(key)) for key, width in self.keys),
            " ".join(" " * width for _, width in self.keys),
            " ".join("-" * width for _, width in self.keys),
        )
        return [
            "".join([f"{self.indent}{name}", *self._widened(title)]).rstrip()
            for name, title in zip(names, _TITLES, strict=True)
        ]

    def _widened(self, title: str) -> Iterator[str]:
        for (start, end), wider in zip(pairwise(_CUTS), self.wider, strict=True):
            part = title[start:end]
            yield part.replace("-", "-" * (wider + 1), 1) if "-" in part else " " * wider + part

    def line(self, row: Row) -> str:
        """A row."""
        names = " ".join(
            units.pad(key_text(row, key, self.cgroups), width, align(key))
            for key, width in self.keys
        )
        numbers = "".join(
            text.rjust(width + wider)
            for text, width, wider in zip(_numbers(row), _WIDTHS, self.wider, strict=True)
        )
        return f"{self.indent}{names}{numbers}"


@dataclass(frozen=True, slots=True)
class _Narrow:
    """The same columns, each as narrow as its values and its title, for a narrow terminal.

    Attributes:
        keys: the keys before the numbers.
        widths: of each column, that of keys or of numbers.
        gap: columns between two of them.
        cgroups: paths by id.
    """

    keys: Sequence[str]
    widths: list[int]
    gap: int
    cgroups: Mapping[int, str]
    indent: str = ""

    @staticmethod
    def of(
        keys: Sequence[str], rows: Sequence[Row], cgroups: Mapping[int, str], columns: int
    ) -> _Narrow:
        lines = [
            [*keys, *_NUMBERS],
            [*keys, *_UNITS],
            *([*(key_text(row, key, cgroups) for key in keys), *_numbers(row)] for row in rows),
        ]
        widths = [max(map(units.width, column)) for column in zip(*lines, strict=True)]
        room = (columns - sum(widths)) // (len(widths) - 1)
        return _Narrow(keys, widths, min(max(room, 1), _WIDEST_GAP), cgroups)

    def titles(self) -> list[str]:
        """The three lines above the rows."""
        return [
            self._joined([*self.keys, *_NUMBERS]),
            self._joined([*("" for _ in self.keys), *_UNITS]),
            self._joined(["-" * width for width in self.widths]),
        ]

    def line(self, row: Row) -> str:
        """A row."""
        return self._joined(
            [*(key_text(row, key, self.cgroups) for key in self.keys), *_numbers(row)]
        )

    def _joined(self, cells: Sequence[str]) -> str:
        aligns = [*map(align, self.keys), *(">" for _ in _NUMBERS)]
        return (" " * self.gap).join(
            units.pad(cell, width, align)
            for cell, width, align in zip(cells, self.widths, aligns, strict=True)
        )


def _layout(
    keys: Sequence[str], rows: Sequence[Row], cgroups: Mapping[int, str], columns: int | None
) -> _Perf | _Narrow:
    perf = _Perf.of(keys, rows, cgroups)
    if columns is None or perf.width <= columns:
        return perf
    return _Narrow.of(keys, rows, cgroups, columns)


def _numbers(row: Row) -> tuple[str, ...]:
    """Calls, errors, and times in ms; those of calls that were not timed are 0, as in perf."""
    times = (row.total_ns, row.min_ns, row.mean_ns, row.max_ns)
    return (
        str(row.count),
        str(row.errors),
        *(f"{time_ns / 1e6:.3f}" for time_ns in times),
        f"{row.stddev_pct:.2f}%",
    )
