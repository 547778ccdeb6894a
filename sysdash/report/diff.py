"""What ``sysdash diff`` prints: a table of changes, or an object for JSON, ``sysdash.diff/1``."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sysdash import units
from sysdash.comparison import (
    LEAST_CHANGE,
    LEAST_QUANTILE_RATIO,
    LEAST_UNSEEN_CHANGE,
    LEAST_UNSTEADY_RATIO,
    LEAST_UNSTEADY_SCORE,
    LEVEL,
    Change,
    Comparison,
    Piece,
)
from sysdash.model import Row
from sysdash.report.changes import (
    ABOUT,
    ARROW,
    difference,
    mark,
    noise_words,
    number,
    relative,
    verdict,
)
from sysdash.report.keys import NUMBERS, align, key_text
from sysdash.report.objects import syscall_keys, utc
from sysdash.report.shares import WIDEST

SCHEMA = "sysdash.diff/1"

TOP = 20
"""Rows that are shown unless another number is asked for."""

UNSTEADY_HEADING = "large, but not steady; each may be one burst:"
"""Above the rows that are unsteady."""

NOISE_HEADING = "noise:"
"""Above those that are noise."""

_FILE_COLUMNS = 60
_LEAST_NAME = 8
_MOST_NAME = 15
_PIECE = 1000

_NAMES = {
    "rate": "rate",
    "errors": "error_rate",
    "total": "total_ns_per_s",
    "p50": "p50_ns",
    "p99": "p99_ns",
}
"""What the quantities are called in objects."""

_HEADINGS = {"syscall": "SYSCALL", "comm": "PROCESS"}

_COLOURS = {"worse": "31", "better": "32", "dim": "2"}
"""Select Graphic Rendition (ECMA-48, 8.3.117): red, green, faint."""


@dataclass(frozen=True)
class Source:
    """Where one side of a comparison comes from; safe text.

    Attributes:
        file: the recording's name.
        host, kernel: the machine's.
        spoken: its time in words.
        lost: every way in which data can be missing, with its count.
    """

    file: str
    host: str
    kernel: str
    spoken: str
    lost: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Told:
    """A comparison and what is to be said of it.

    Attributes:
        comparison: what has changed.
        sources: where both sides come from.
        warnings: what makes them hard to compare, a sentence without a full stop each.
        cgroups: paths of cgroups by their ids.
    """

    comparison: Comparison
    sources: tuple[Source, Source]
    warnings: Sequence[str] = ()
    cgroups: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))


# --- Text ---


def diff_lines(
    told: Told,
    *,
    top: int = TOP,
    sort: str = "change",
    noise: bool = False,
    columns: int = 80,
    colours: bool = False,
) -> list[str]:
    """What is compared with what, the rows that have changed the most, and what noise is.

    Args:
        told: the comparison.
        top: how many rows to show of those that have changed, and likewise of the unsteady ones.
        sort: their order, one of :data:`sysdash.comparison.SORTS`.
        noise: show rows that have changed by nothing but noise, too.
        columns: the room; names are cut to fit in.
        colours: use colours.
    """
    comparison = told.comparison
    lines: list[str] = []
    pieces = (comparison.before, comparison.after)
    for name, piece, source in zip(("before", "after"), pieces, told.sources, strict=True):
        lines += _wrapped(f"{name:7} {_origin(piece, source)}", columns, 8)
    for warning in told.warnings:
        lines += _wrapped(f"warning: {warning}", columns, 9)
    shown = comparison.rows(_chosen(comparison, top=top, sort=sort, noise=noise))
    if shown:
        lines += ["", *_table(shown, told, columns, colours=colours)]
    return [*lines, "", *_rest(told, shown, columns)]


def _chosen(comparison: Comparison, *, top: int | None, sort: str, noise: bool) -> list[int]:
    """The rows to be shown, in their order.

    The unsteady ones are few, and what matters most may be among them: the first ones are shown
    however many rows have changed.

    Args:
        comparison: of which.
        top: how many of those that have changed, and of the unsteady ones; None for all.
        sort: their order.
        noise: fill up with rows that are noise.
    """
    order: list[int] = comparison.order(sort).tolist()
    steady, real = _changed(comparison), len(comparison) - _noise(comparison)
    chosen = order[:steady][:top] + order[steady:real][:top]
    if noise:
        chosen += order[real:][: None if top is None else max(top - len(chosen), 0)]
    return chosen


def _noise(comparison: Comparison) -> int:
    return int(comparison.noise.sum())


def _unsteady(comparison: Comparison) -> int:
    return int(comparison.only_unsteady.sum())


def _changed(comparison: Comparison) -> int:
    return len(comparison) - _noise(comparison) - _unsteady(comparison)


def _origin(piece: Piece, source: Source) -> str:
    one = piece.intervals == 1
    length = units.duration(piece.seconds * 1e9)
    return (
        f"{units.end_of(source.file, _FILE_COLUMNS)} on {source.host}: {source.spoken} "
        f"({length}, {piece.intervals:,} interval{'' if one else 's'})"
    )


def _wrapped(text: str, columns: int, indent: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        max(min(columns, WIDEST), 40),
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


def _rest(told: Told, shown: Sequence[Change], columns: int) -> list[str]:
    """What is not in the table, and what noise is."""
    comparison = told.comparison
    every = len(comparison)
    if not every:
        return ["no calls before and none after"]
    lines = []
    noise_shown = sum(change.noise for change in shown)
    unsteady_shown = sum(change.only_unsteady for change in shown)
    changed_shown = len(shown) - noise_shown - unsteady_shown
    more = _changed(comparison) - changed_shown
    if more:
        lines.append(f"{_rows(more, 'more')} changed; --top {changed_shown + more} shows all")
    more = _unsteady(comparison) - unsteady_shown
    if more:
        words = f"{_rows(more, 'more')} differ{'s' if more == 1 else ''} by much, but not steadily"
        lines.append(f"{words}; --top {unsteady_shown + more} shows all")
    if not _changed(comparison) and not noise_shown:
        lines.append(f"nothing {'else ' if shown else ''}has changed by more than noise")
    hidden = _noise(comparison) - noise_shown
    if hidden:
        rows = _rows(hidden, "more" if shown else "")
        option = f"--top {every} shows all" if noise_shown else "--all shows them"
        lines.append(f"{rows} {'is' if hidden == 1 else 'are'} noise; {option}")
    if comparison.left_out:
        lines.append(f"{comparison.left_out:,} calls of rare rows were left out")
    return [*lines, *([""] if lines else []), *_wrapped(noise_words(comparison), columns)]


def _rows(count: int, more: str) -> str:
    return " ".join(filter(None, (f"{count:,}", more, "row" if count == 1 else "rows")))


@dataclass(frozen=True)
class _Cell:
    text: str
    style: str = ""


@dataclass(frozen=True)
class _Column:
    title: str
    cells: Sequence[_Cell]
    align: str = ">"
    width: int = 0


def _column(title: str, cells: Sequence[_Cell], align: str = ">") -> _Column:
    width = max([units.width(title), *(units.width(cell.text) for cell in cells)])
    return _Column(title, cells, align, width)


def _table(changes: Sequence[Change], told: Told, columns: int, *, colours: bool) -> list[str]:
    by = told.comparison.by
    keys = [
        _column(
            _HEADINGS.get(key, key.upper()),
            [_Cell(key_text(c.after, key, told.cgroups), _dim(c)) for c in changes],
            align(key),
        )
        for key in by
    ]
    wide, narrow = _wide(changes), _narrow(changes)
    names = sum(min(key.width, _MOST_NAME) for key in keys)
    numbers, gap = narrow, 1
    for layout, between in ((wide, 2), (narrow, 2)):
        needed = names + sum(c.width for c in layout) + between * (len(keys) + len(layout) - 1)
        if needed <= columns:
            numbers, gap = layout, between
            break
    keys = _cut(keys, columns - sum(column.width + gap for column in numbers), gap)
    shown = [*keys, *numbers]
    heading = (" " * gap).join(units.pad(c.title, c.width, c.align) for c in shown)
    lines = [heading.rstrip()]
    for i, change in enumerate(changes):
        if _section(change) and (not i or _section(changes[i - 1]) != _section(change)):
            lines.append(_section(change))
        cells = [
            _coloured(units.pad(c.cells[i].text, c.width, c.align), c.cells[i].style, colours)
            for c in shown
        ]
        lines.append((" " * gap).join(cells).rstrip())
    return lines


def _section(change: Change) -> str:
    """The heading above rows like this one."""
    if change.noise:
        return NOISE_HEADING
    return UNSTEADY_HEADING if change.only_unsteady else ""


def _cut(keys: Sequence[_Column], room: int, gap: int) -> list[_Column]:
    """Columns of names in the room there is, the widest cut first."""
    keys = list(keys)
    while sum(key.width + gap for key in keys) - gap > room:
        long = [i for i, key in enumerate(keys) if key.align == "<" and key.width > _LEAST_NAME]
        if not long:
            break
        widest = max(long, key=lambda i: keys[i].width)
        keys[widest] = replace(keys[widest], width=keys[widest].width - 1)
    return keys


def _dim(change: Change) -> str:
    return "dim" if change.noise else ""


def _coloured(text: str, style: str, colours: bool) -> str:
    return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if colours and style and text.strip() else text


def _narrow(changes: Sequence[Change]) -> list[_Column]:
    return [
        _pair("CALLS/s", changes, "rate"),
        _single("CHANGE", changes, "rate", relative),
        _single("ERR/s", changes, "errors", difference),
        _single("TIME/s", changes, "total", difference),
        _pair("LATENCY", changes, _percentile, lambda quantity: f"{quantity} "),
    ]


def _percentile(change: Change) -> str:
    """Which of its percentiles a row shows where there is room for one."""
    return "p50" if "p50" in change.changed and "p99" not in change.changed else "p99"


def _wide(changes: Sequence[Change]) -> list[_Column]:
    return [
        _pair("CALLS/s", changes, "rate"),
        _single("CHANGE", changes, "rate", relative),
        _pair("ERRORS/s", changes, "errors"),
        _pair("TIME/s", changes, "total"),
        _single("CHANGE", changes, "total", relative),
        _pair("P50", changes, "p50"),
        _pair("P99", changes, "p99"),
    ]


def _is_noise(change: Change, quantity: str) -> bool:
    """Whether a number is to be told apart from those of its row that have changed."""
    return not (change.noise or quantity in change.changed or quantity in change.unsteady)


def _style(change: Change, quantity: str) -> str:
    return verdict(change, quantity) or _dim(change)


def _pair(
    title: str,
    changes: Sequence[Change],
    quantity: str | Callable[[Change], str],
    label: Callable[[str], str] = lambda _: "",
) -> _Column:
    """A quantity before and after, or the latter alone where it has not changed.

    Args:
        title: of the column.
        changes: its rows.
        quantity: which, or which of each row.
        label: what stands before it.
    """
    which = [quantity if isinstance(quantity, str) else quantity(change) for change in changes]
    values = [change.values(name) for change, name in zip(changes, which, strict=True)]
    texts = [[number(n, value) for value in both] for n, both in zip(which, values, strict=True)]
    left, right = (max(map(units.width, column)) for column in zip(*texts, strict=True))
    cells = []
    for change, name, both, (before, after) in zip(changes, which, values, texts, strict=True):
        if not any(both):
            text = ""
        elif _is_noise(change, name) and None not in both:
            text = f"{label(name)}{'':{left}} {ABOUT} {after:>{right}}"
        else:
            text = (
                f"{label(name)}{before:>{left}} {ARROW}{mark(change, name) or ' '}{after:>{right}}"
            )
        cells.append(_Cell(text, _style(change, name)))
    return _column(title, cells, "^")


def _single(
    title: str,
    changes: Sequence[Change],
    quantity: str,
    text: Callable[[Change, str], str],
) -> _Column:
    """What is said of a quantity alone."""
    marks = [mark(change, quantity) for change in changes]
    cells = []
    for change, own in zip(changes, marks, strict=True):
        said = "" if _is_noise(change, quantity) else text(change, quantity)
        if said and any(marks):
            said += own or " "
        cells.append(_Cell(said, _style(change, quantity)))
    return _column(title, cells)


# --- JSON ---


def diff_object(
    told: Told, *, top: int | None = None, sort: str = "change", noise: bool = False
) -> dict[str, object]:
    """A comparison as what :func:`json.dumps` makes one line of.

    Args:
        told: the comparison.
        top: as for :func:`diff_lines`; None for all.
        sort: as for :func:`diff_lines`.
        noise: with the rows that have changed by nothing but noise.
    """
    comparison = told.comparison
    order = _chosen(comparison, top=top, sort=sort, noise=noise)
    pieces = (comparison.before, comparison.after)
    sides = zip(("before", "after"), pieces, told.sources, strict=True)
    return {
        "schema": SCHEMA,
        "by": list(comparison.by),
        **{name: _side(piece, source) for name, piece, source in sides},
        "warnings": list(told.warnings),
        "noise": {
            "level": LEVEL,
            "least_change": LEAST_CHANGE if comparison.seen else LEAST_UNSEEN_CHANGE,
            "least_quantile_ratio": round(LEAST_QUANTILE_RATIO, 6),
            "variation_seen": comparison.seen,
            "rows": _noise(comparison),
        },
        "unsteady": {
            "least_ratio": LEAST_UNSTEADY_RATIO,
            "least_score": LEAST_UNSTEADY_SCORE,
            "rows": _unsteady(comparison),
        },
        "rows": [
            _row(change, comparison, told)
            for start in range(0, len(order), _PIECE)
            for change in comparison.rows(order[start : start + _PIECE])
        ],
        "left_out": comparison.left_out,
    }


def _side(piece: Piece, source: Source) -> dict[str, object]:
    return {
        "file": source.file,
        "host": source.host,
        "kernel": source.kernel,
        "begin": utc(piece.window.begin_ns),
        "end": utc(piece.window.end_ns),
        "interval_s": round(piece.seconds, 9),
        "intervals": piece.intervals,
        "blocks": piece.blocks,
        "lost": dict(source.lost),
    }


def _row(change: Change, comparison: Comparison, told: Told) -> dict[str, object]:
    result: dict[str, object] = {}
    for key in comparison.by:
        result |= _key(change.after, key, told)
    for name, row in (("before", change.before), ("after", change.after)):
        at = name == "after"
        result[name] = {
            "count": row.count,
            "errors": row.errors,
            "total_ns": row.total_ns,
            **{
                label: _rounded(change.values(quantity)[at], quantity)
                for quantity, label in _NAMES.items()
            },
        }
    result["change"] = {
        label: _rounded(change.relative(quantity)) for quantity, label in _NAMES.items()
    }
    for name, which in (("changed", change.changed), ("unsteady_numbers", change.unsteady)):
        result[name] = [label for quantity, label in _NAMES.items() if quantity in which]
    return {
        **result,
        "score": round(change.score, 6),
        "unsteady": change.only_unsteady,
        "noise": change.noise,
    }


def _key(row: Row, key: str, told: Told) -> dict[str, object]:
    if key in NUMBERS:
        return {key: getattr(row, key)}
    if key == "syscall" and row.syscall is not None:
        return syscall_keys(row.syscall)
    if key == "errno" and not row.errno:
        return {key: None}
    return {key: key_text(row, key, told.cgroups)}


def _rounded(value: float | None, quantity: str = "") -> float | None:
    if value is None:
        return None
    return round(value) if quantity in ("p50", "p99") else round(value, 6)
