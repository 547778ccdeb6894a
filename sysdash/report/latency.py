"""The text of ``sysdash lat``: a table of latencies, and the histogram of each of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from sysdash import units
from sysdash.aggregates import Aggregate
from sysdash.bars import bar, shaded_bar
from sysdash.buckets import EDGES_NS, OVER, octaves
from sysdash.model import Ints, Row
from sysdash.report.keys import align, key_text
from sysdash.report.shares import SHARE_COLUMNS, WIDEST, part_of, percent

TOP = 10
"""Rows that are shown unless another number is asked for."""

_FEW_CALLS = 4
"""Of fewer calls, the table says as much as a histogram, in one line."""

_SECOND = 1 << 30
_FEW_OCTAVES = 3

_LEAST_NAME = 8
_COUNT_COLUMNS, _SHORT_COUNT_COLUMNS = 11, 6
_LABEL_COLUMNS = 12

_DROPPED = ("STDDEV", "MIN", "MEAN")
"""Columns that are left out, in this order, where one more is measured and there is no room."""


# --- The whole ---


def latency_lines(
    aggregate: Aggregate, *, top: int = TOP, histograms: int | None = None, columns: int = 80
) -> list[str]:
    """The table and the histograms of the calls that took the most time altogether.

    Args:
        aggregate: timed calls, grouped by anything; with their time off the CPU, if that was
            measured.
        top: how many rows of it to show.
        histograms: how many rows, from the first one, have a histogram below the table; None for
            all but those of few calls. Rows of calls without a time have none.
        columns: the room. Bars fill it, up to a length that can be read, and names are cut to fit
            in; where it is too small for the numbers themselves, lines are longer.
    """
    calls = aggregate.calls
    if not len(calls):
        return [f"no calls in {units.duration(aggregate.interval_s * 1e9)}"]
    order = calls.order("total")
    rows = calls.rows(order[:top])
    lines = _table(rows, calls.by, aggregate.cgroups, columns, off_cpu=aggregate.off_cpu)
    if len(order) > top:
        total_ns = int(calls.total_ns.sum())
        rest_ns = total_ns - sum(row.total_ns for row in rows)
        rest = rest_ns / total_ns if total_ns else 0.0
        lines += ["", _more(len(order) - top, len(order), _kind(calls.by), rest)]
    if aggregate.off_cpu:
        lines += ["", _in_all(int(calls.total_ns.sum()), int(calls.off_ns.sum()), columns)]
    fewest = _FEW_CALLS if histograms is None else 1
    charts = [
        (_heading(row, calls.by, aggregate.cgroups), row, _marked(_bins(row.hist), row))
        for row in rows[:histograms]
        if row.timed >= fewest
    ]
    lines += _histograms(charts, columns)
    few = sum(0 < row.timed < fewest for row in rows)
    return [*lines, "", _without_histogram(few, _kind(calls.by), len(rows))] if few else lines


def _kind(by: Sequence[str]) -> str:
    return "syscall" if by == ("syscall",) else "row"


def _more(hidden: int, every: int, kind: str, rest: float) -> str:
    plural = "" if hidden == 1 else "s"
    share = percent(rest) or "none"
    return f"{hidden} more {kind}{plural} took {share} of the time; --top {every} shows all"


def _in_all(total_ns: int, off_ns: int, columns: int) -> str:
    total, working, waiting = map(units.duration, (total_ns, total_ns - off_ns, off_ns))
    line = f"in all: {total} in calls, {working} working, {waiting} waiting"
    meant = f"{line} (off the CPU)"
    return meant if units.width(meant) <= columns else line


def _without_histogram(few: int, kind: str, every: int) -> str:
    who, has = (f"1 {kind}", "has") if few == 1 else (f"{few} {kind}s", "have")
    return (
        f"{who} with fewer than {_FEW_CALLS} timed calls {has} no histogram; "
        f"--histograms {every} shows all"
    )


# --- The table ---


@dataclass
class _Column:
    title: str
    cells: list[str]
    align: str = ">"
    width: int = 0

    def __post_init__(self) -> None:
        self.width = max(len(self.title), *map(units.width, self.cells))


def _table(
    rows: Sequence[Row],
    by: Sequence[str],
    cgroups: Mapping[int, str],
    columns: int,
    *,
    off_cpu: bool,
) -> list[str]:
    keys = [
        _Column(key.upper(), [key_text(row, key, cgroups) for row in rows], align(key))
        for key in by
    ]
    numbers = _numbers(rows, _COUNT_COLUMNS, off_cpu=off_cpu)
    gap = 2
    if _width([*keys, *numbers], gap) > columns:
        gap = 1
    if _width([*keys, *numbers], gap) > columns:
        numbers = _numbers(rows, _SHORT_COUNT_COLUMNS, off_cpu=off_cpu)
    for title in _DROPPED if off_cpu else ():
        # With one column more, all of them and a name are more than 80 columns.
        if _width([*keys, *numbers], gap) > columns:
            numbers = [column for column in numbers if column.title != title]
    names = [key for key in keys if key.align == "<" and key.width > _LEAST_NAME]
    while names and _width([*keys, *numbers], gap) > columns:
        widest = max(names, key=lambda column: column.width)
        if widest.width == _LEAST_NAME:
            break
        widest.width -= 1
    shown = [*keys, *numbers]
    lines = [(column.title, *column.cells) for column in shown]
    return [
        (" " * gap)
        .join(
            units.pad(cell, column.width, column.align)
            for column, cell in zip(shown, line, strict=True)
        )
        .rstrip()
        for line in zip(*lines, strict=True)
    ]


def _width(columns: Sequence[_Column], gap: int) -> int:
    return sum(column.width for column in columns) + gap * (len(columns) - 1)


def _numbers(rows: Sequence[Row], count_columns: int, *, off_cpu: bool) -> list[_Column]:
    """The columns of numbers; what is not known of calls that were not timed is a dash."""
    waiting = [part_of(row.off_ns, row.total_ns) or "-" for row in rows]

    def times(values: Sequence[float]) -> list[str]:
        return [
            units.duration(value) if row.timed else "-"
            for row, value in zip(rows, values, strict=True)
        ]

    return [
        _Column("CALLS", [units.count(row.count, count_columns) for row in rows]),
        _Column("ERRORS", [units.count(row.errors, count_columns) for row in rows]),
        _Column("TOTAL", times([row.total_ns for row in rows])),
        *([_Column("WAITING", waiting)] if off_cpu else []),
        _Column("MEAN", times([row.mean_ns for row in rows])),
        _Column("MIN", times([row.min_ns for row in rows])),
        _Column("MAX", times([row.max_ns for row in rows])),
        _Column("STDDEV", [_percent(row.stddev_pct) if row.timed else "-" for row in rows]),
        _Column("P50", times([row.p50_ns for row in rows])),
        _Column("P90", times([row.p90_ns for row in rows])),
        _Column("P99", times([row.p99_ns for row in rows])),
    ]


def _percent(value: float) -> str:
    return f"{value:.2f}%" if value < 9.995 else f"{value:.1f}%"


# --- The histograms ---


@dataclass(frozen=True, slots=True)
class _Bin:
    """A line of a histogram: ``count`` calls took ``low_ns`` or more and less than ``high_ns``.

    ``branch`` leads to a bin inside the one above it; a bin that has such is ``split``. ``marks``
    are the quantiles that lie here, and in no bin inside it.
    """

    low_ns: int
    high_ns: int
    count: int
    branch: str = ""
    split: bool = False
    marks: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its edges: from 0 to 1µs, from 512ns to 1µs, ``>1s``."""
        low, high = map(units.number_and_unit, (self.low_ns, self.high_ns))
        if self.high_ns > 1 << 62:
            return f">{''.join(low)}"
        unit = "" if low[1] == high[1] else low[1]
        return f"{low[0]}{unit}\u2013{''.join(high)}"


def _bins(hist: Ints) -> list[_Bin]:
    """The lines of a histogram: up to 1µs, by powers of two up to 1s, beyond, and what is inside.

    Inside are octaves, where the line is more than one; or the data's quarters of octaves, where
    all calls lie in a few octaves. Empty ones at both ends are left out.
    """
    inner = octaves(hist)
    fine = len(inner) <= _FEW_OCTAVES
    if fine:
        used = hist.nonzero()[0]
        inner = [
            (int(EDGES_NS[i]), int(EDGES_NS[i + 1]), int(hist[i]))
            for i in range(used[0], used[-1] + 1)
        ]
    lines: list[_Bin] = []
    for low, high in _whole(inner[0][0], inner[-1][1]):
        inside = [one for one in inner if low <= one[0] < high]
        split = fine or low == 0 or low == _SECOND
        total = sum(count for _, _, count in inside)
        lines.append(_Bin(low, high, total, split=split))
        if split:
            branches = ["├ "] * (len(inside) - 1) + ["└ "]
            lines += [_Bin(*one, branch) for one, branch in zip(inside, branches, strict=True)]
    return lines


def _whole(from_ns: int, to_ns: int) -> list[tuple[int, int]]:
    """The lines that the range touches: edges of 0, 1µs, 2µs, ..., 1s, and no end."""
    edges = [0, *(1 << bit for bit in range(10, 31)), int(EDGES_NS[OVER + 1])]
    return [(low, high) for low, high in pairwise(edges) if low < to_ns and from_ns < high]


def _marked(bins: Sequence[_Bin], row: Row) -> list[_Bin]:
    """The bins with the quantiles that lie in them."""
    marks: dict[int, tuple[str, ...]] = {}
    finest = [i for i, one in enumerate(bins) if not one.split]
    for name, value in (("p50", row.p50_ns), ("p90", row.p90_ns), ("p99", row.p99_ns)):
        here = next((i for i in finest if value < bins[i].high_ns), finest[-1])
        marks[here] = (*marks.get(here, ()), name)
    return [replace(one, marks=marks.get(i, ())) for i, one in enumerate(bins)]


def _heading(row: Row, by: Sequence[str], cgroups: Mapping[int, str]) -> str:
    """Whose histogram it is, and how many calls are in it."""
    names = [
        key_text(row, key, cgroups) if key == "syscall" else f"{key} {key_text(row, key, cgroups)}"
        for key in by
    ]
    calls = f"{row.timed:,} {'call' if row.timed == 1 else 'calls'}"
    untimed = row.count - row.timed
    return f"{', '.join(names)}: {calls}" + (f" (and {untimed:,} not timed)" if untimed else "")


def _histograms(charts: Sequence[tuple[str, Row, Sequence[_Bin]]], columns: int) -> list[str]:
    """The histograms under their headings, all with the same widths, so that they compare."""
    every = [one for _, _, bins in charts for one in bins]
    counts = max([9, *(len(f"{one.count:,}") for one in every)])
    marks = max([0, *(len(_mark(one)) for one in every)])
    room = min(columns, WIDEST) - 2 - _LABEL_COLUMNS - 1 - counts - 1 - SHARE_COLUMNS - 1 - marks
    lines: list[str] = []
    for heading, row, bins in charts:
        most = max(one.count for one in bins)
        lines += ["", units.fit(heading, columns)]
        for one in bins:
            draw = shaded_bar if one.branch else bar
            share = percent(one.count / row.timed)
            # Numbers first: in a wide terminal, those after the bars would be far from their line.
            line = (
                f"  {one.branch + one.label:{_LABEL_COLUMNS}} {one.count:{counts},} "
                f"{share:>{SHARE_COLUMNS}} {draw(one.count / most, room)}{_mark(one)}"
            )
            lines.append(line.rstrip())
    return lines


def _mark(one: _Bin) -> str:
    return f" ◂ {' '.join(one.marks)}" if one.marks else ""
