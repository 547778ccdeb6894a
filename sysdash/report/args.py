"""The values of an argument or of a return value, as lines and as objects.

Lines are a table of the most frequent values, or a histogram by powers of two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sysdash import units
from sysdash.aggregates import Aggregate
from sysdash.bars import bar
from sysdash.quantity import Quantity, Value, histogram
from sysdash.report.objects import utc
from sysdash.report.shares import SHARE_COLUMNS, WIDEST, percent

SCHEMA = "sysdash.args/1"

TOP = 20
"""Values that are shown unless another number is asked for."""

_LEAST_BAR = 10
_LEAST_VALUE = 8
_COUNT_COLUMNS = 9

Values = Mapping[int | bytes, int]
"""How many calls had each value, as in :attr:`sysdash.model.Snapshot.values`."""


def beginning(quantity: Quantity, *, failures: bool, top: int | None) -> str:
    """The first line, printed once the probe counts.

    Args:
        quantity: what is counted.
        failures: only calls that fail are.
        top: how many values will be shown; None for all.
    """
    failed = "failed " if failures else ""
    shown = "" if quantity.bucketed or top is None else f", printing top {top}"
    what = f"{quantity.syscall}:{quantity.argument}"
    return f"Tracing {failed}{what}{shown}... Ctrl+C to quit."


# --- Text ---


def args_lines(
    quantity: Quantity, values: Values, *, interval_s: float, top: int = TOP, columns: int = 80
) -> list[str]:
    """How many calls there were, and which values they had.

    Args:
        quantity: what was counted.
        values: the counts of the interval.
        interval_s: its length.
        top: how many values to show; a histogram is shown as a whole.
        columns: the room. Bars fill it, up to a length that can be read, and long values are cut.
    """
    total = sum(values.values())
    if not total:
        return [f"no calls in {units.duration(interval_s * 1e9)}"]
    calls = f"{quantity.syscall}:{quantity.argument}: {_number(total, 'call')}"
    if quantity.bucketed:
        return [calls, *_histogram(quantity, values, columns)]
    found = _frequencies(quantity, values)
    lines = [
        f"{calls}, {_number(len(found), 'value')}",
        *_table(quantity, found[:top], total, columns),
    ]
    rest = sum(count for _, count in found[top:])
    if rest:
        more = f"{_number(len(found) - top, 'more value')}, of {_number(rest, 'call')}"
        lines.append(f"{more} ({percent(rest / total)}); --top {len(found)} shows all")
    return lines


def _number(number: int, kind: str) -> str:
    return f"{number:,} {kind}{'' if number == 1 else 's'}"


def _frequencies(quantity: Quantity, values: Values) -> list[tuple[Value, int]]:
    """The values, the most frequent first; those that are told alike are one."""
    told: Counter[Value] = Counter()
    for found, count in values.items():
        told[quantity.tell(found)] += count
    # Values of a quantity are all numbers, or all text.
    return sorted(told.items(), key=lambda pair: (-pair[1], pair[0].value))


def _table(
    quantity: Quantity, found: Sequence[tuple[Value, int]], total: int, columns: int
) -> list[str]:
    counts = max(_COUNT_COLUMNS, len(f"{found[0][1]:,}"))
    room = min(columns, WIDEST) - 1 - counts - 1 - SHARE_COLUMNS - 1
    widest = max(units.width(value.text) for value, _ in found)
    label = max(min(widest, room - _LEAST_BAR), _LEAST_VALUE)
    align = ">" if quantity.numeric else "<"
    title = f"{units.pad('VALUE', label, align)} {'COUNT':>{counts}} {'SHARE':>{SHARE_COLUMNS}}"
    labels = [
        units.pad(units.end_of(value.text, label) if quantity.textual else value.text, label, align)
        for value, _ in found
    ]
    numbers = [count for _, count in found]
    return [title, *_bars(labels, numbers, total, counts, room - label)]


def _histogram(quantity: Quantity, values: Values, columns: int) -> list[str]:
    found = histogram(values)
    edges = [(quantity.digits(low), quantity.digits(high)) for low, high, _ in found]
    lows = max(len(low) for low, _ in edges)
    labels = [f"{low:>{lows}}" + (f" \u2013 {high}" if low != high else "") for low, high in edges]
    label = max(map(len, labels))
    numbers = [count for _, _, count in found]
    counts = max(_COUNT_COLUMNS, len(f"{max(numbers):,}"))
    room = min(columns, WIDEST) - label - 1 - counts - 1 - SHARE_COLUMNS - 1
    padded = [f"{each:{label}}" for each in labels]
    return _bars(padded, numbers, sum(numbers), counts, room)


def _bars(
    labels: Sequence[str], numbers: Sequence[int], total: int, counts: int, room: int
) -> list[str]:
    most = max(numbers)
    return [
        f"{label} {count:{counts},} {percent(count / total):>{SHARE_COLUMNS}} "
        f"{bar(count / most, room)}".rstrip()
        for label, count in zip(labels, numbers, strict=True)
    ]


# --- JSON ---


def args_object(
    quantity: Quantity, values: Values, interval: Aggregate, *, top: int | None
) -> dict[str, object]:
    """An interval as what :func:`json.dumps` makes one line of, schema ``sysdash.args/1``.

    Args:
        quantity: what was counted.
        values: the counts of the interval.
        interval: when it was, and what was lost in it.
        top: how many values to list; None for all. A histogram has all that have calls.
    """
    return {
        "schema": SCHEMA,
        "syscall": quantity.syscall,
        "arg": quantity.argument,
        "rows": _rows(quantity, values, top),
        "time": utc(interval.time_ns),
        "interval_s": round(interval.interval_s, 9),
        "calls": sum(values.values()),
        "lost": dict(interval.lost),
    }


def _rows(quantity: Quantity, values: Values, top: int | None) -> list[dict[str, object]]:
    if quantity.bucketed:
        return [
            {"low": low, "high": high, "count": count}
            for low, high, count in histogram(values)
            if count
        ]
    return [
        {
            "value": value.value,
            "count": count,
            **({} if value.name is None else {"name": value.name}),
        }
        for value, count in _frequencies(quantity, values)[:top]
    ]
