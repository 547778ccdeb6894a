"""Aggregates as InfluxDB line protocol.

https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sysdash.aggregates import Aggregate
from sysdash.model import Row
from sysdash.report.keys import key_text

MEASUREMENT = "syscount"

_SPECIAL = re.compile("[,= ]")
# There is no escape for a backslash itself. One at the end escapes the delimiter that follows, and
# of one before another special character readers differ on which of the two it belongs to.
_AMBIGUOUS = re.compile(r"\\(?=[,= ]|\Z)")
_REPLACEMENT = "\ufffd"


@dataclass(slots=True)
class _Fields:
    count: int = 0
    total_ns: int = 0
    timed: int = 0

    def add(self, row: Row) -> None:
        self.count += row.count
        self.total_ns += row.total_ns
        self.timed += row.timed


def points(aggregate: Aggregate, *, top: int | None, sort: str, time_s: int) -> list[str]:
    """A line for each row: measurement, tags by key, ``count`` and, if timed, ``latency`` in µs.

    A server keeps one point of those with equal tags and time. So rows whose keys are written the
    same (two names that only differ in what cannot be shown) are added up.

    Args:
        aggregate: the interval.
        top: rows at the most; None for all.
        sort: their order, one of :data:`sysdash.limits.SORTS`.
        time_s: the points' time in seconds since 1970.
    """
    calls = aggregate.calls
    series: dict[str, _Fields] = {}
    for row in calls.rows(calls.order(sort)[:top]):
        series.setdefault(_tags(row, aggregate), _Fields()).add(row)
    return [
        f"{MEASUREMENT}{tags} {_fields(fields, timed=aggregate.timed)} {time_s}"
        for tags, fields in series.items()
    ]


def _tags(row: Row, aggregate: Aggregate) -> str:
    # Sorted, as the documentation advises. A tag that is not there is an empty one to the server,
    # which takes no other: a process can have an empty name, and a success has no errno.
    keys = sorted(key for key in aggregate.calls.by if key != "errno" or row.errno)
    values = [(key, key_text(row, key, aggregate.cgroups)) for key in keys]
    return "".join(f",{key}={escaped(value)}" for key, value in values if value)


def _fields(fields: _Fields, *, timed: bool) -> str:
    count = f"count={fields.count}"
    # Calls none of which was timed took some time, but nobody knows it: no field is not 0.
    return f"{count},latency={(fields.total_ns + 500) // 1000}" if timed and fields.timed else count


def escaped(value: str) -> str:
    """A tag's value, :func:`~sysdash.units.safe` and not empty, as the protocol wants it."""
    return _SPECIAL.sub(r"\\\g<0>", _AMBIGUOUS.sub(_REPLACEMENT, value))
