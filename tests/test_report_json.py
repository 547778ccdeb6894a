"""The objects of ``--json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import START_NS, Calls, rows, snapshot

from sysdash import model, syscalls
from sysdash.aggregates import Accumulator, Aggregate
from sysdash.buckets import bucket_of
from sysdash.report.objects import aggregate_object, utc

LOST = {
    "calls": 0,
    "threads": 0,
    "missed": 0,
    "unattributed": 0,
    "slow_limit": 0,
    "slow_ring": 0,
    "stacks": 0,
    "off_cpu": 0,
    "switches": 0,
}


def aggregate(
    calls: Sequence[Calls],
    by: Sequence[str] = ("syscall",),
    *,
    timed: bool = True,
    lost: Mapping[str, int] = MappingProxyType({}),
    off_cpu: bool = False,
) -> Aggregate:
    accumulator = Accumulator(by, timed=timed)
    accumulator.add(snapshot(calls, lost=lost, off_cpu=off_cpu))
    found = accumulator.take()
    assert found is not None
    return found


def of(calls: Sequence[Calls], by: Sequence[str] = ("syscall",), **more: Any) -> dict[str, Any]:
    """The object as its reader gets it."""
    found = aggregate_object(aggregate(calls, by), **{"top": None, "sort": "rate"} | more)
    decoded: dict[str, Any] = json.loads(json.dumps(found))
    return decoded


def test_an_interval() -> None:
    found = aggregate_object(
        aggregate([Calls("read", 45, 800), Calls("write", 5, errno=28)], lost={"missed": 2}),
        top=None,
        sort="rate",
    )
    assert list(found) == ["schema", "time", "interval_s", "by", "rows", "lost"]
    rows = found.pop("rows")
    assert found == {
        "schema": "sysdash.aggregate/1",
        "time": "2023-11-14T22:13:21.000Z",
        "interval_s": 1.0,
        "by": ["syscall"],
        "lost": LOST | {"missed": 2},
    }
    assert rows == [
        {
            "syscall": "read",
            "count": 45,
            "rate": 45.0,
            "errors": 0,
            "total_ns": 36_000,
            "mean_ns": 800.0,
            "min_ns": 800,
            "max_ns": 800,
            "stddev_pct": 0.0,
            "p50_ns": 800,
            "p90_ns": 800,
            "p99_ns": 800,
        },
        {
            "syscall": "write",
            "count": 5,
            "rate": 5.0,
            "errors": 5,
            "total_ns": 2000,
            "mean_ns": 400.0,
            "min_ns": 400,
            "max_ns": 400,
            "stddev_pct": 0.0,
            "p50_ns": 400,
            "p90_ns": 400,
            "p99_ns": 400,
        },
    ]


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_times_are_rfc_3339_in_utc(time_ns: int) -> None:
    text = utc(time_ns)
    assert len(text) == len("2023-11-14T22:13:21.000Z")
    assert text.endswith("Z")
    found = datetime.fromisoformat(text)
    assert found == datetime.fromtimestamp(time_ns // 10**9, UTC).replace(
        microsecond=time_ns // 10**6 % 1000 * 1000
    )


def test_a_count_has_no_times() -> None:
    found: Any = aggregate_object(
        aggregate([Calls("read", 3)], timed=False), top=None, sort="rate", histogram=True
    )
    assert found["rows"] == [{"syscall": "read", "count": 3, "rate": 3.0, "errors": 0}]


def test_time_off_the_cpu_is_there_where_it_was_measured() -> None:
    calls = [
        Calls("read", 4, 500, off_ns=450),
        Calls("read", 1, 100, errno=4),
        Calls("write", 2),
        Calls("exit_group", 1, None),
    ]
    found: Any = aggregate_object(aggregate(calls, off_cpu=True), top=None, sort="total")
    split = [(row["syscall"], row["total_ns"], row["off_cpu_ns"]) for row in found["rows"]]
    assert split == [("read", 2100, 1800), ("write", 800, 0), ("exit_group", 0, 0)]
    found = aggregate_object(aggregate(calls), top=None, sort="total", histogram=True)
    assert not any("off_cpu_ns" in row for row in found["rows"])


def test_of_calls_without_a_time_nothing_is_said_but_that_their_sum_is_0() -> None:
    (row,) = of([Calls("exit_group", 3, None)], histogram=True)["rows"]
    assert row == {
        "syscall": "exit_group",
        "count": 3,
        "rate": 3.0,
        "errors": 0,
        "total_ns": 0,
        "mean_ns": None,
        "min_ns": None,
        "max_ns": None,
        "stddev_pct": None,
        "p50_ns": None,
        "p90_ns": None,
        "p99_ns": None,
        "histogram": [],
    }


def test_keys_come_first_and_in_their_order() -> None:
    by = ("errno", "pid", "comm", "syscall", "tid", "cgroup")
    (row,) = of([Calls("read", 1, errno=2)], by)["rows"]
    assert list(row)[:7] == [*by, "count"]
    assert [row[key] for key in by[:5]] == ["ENOENT", 1842, "postgres", "read", 1842]


def test_other_abis_are_named_apart() -> None:
    calls = [
        Calls("", 3, number=3, abi=syscalls.IA32),
        Calls("", 2, number=0, abi=syscalls.X32),
        Calls("read", 1),
    ]
    assert [(row["syscall"], row.get("abi")) for row in of(calls)["rows"]] == [
        ("read", "ia32"),
        ("read", "x32"),
        ("read", None),
    ]
    native = of(calls)["rows"][2]
    assert "abi" not in native
    assert list(of(calls, ("syscall", "pid"))["rows"][0])[:3] == ["syscall", "abi", "pid"]


def test_unknown_numbers() -> None:
    calls = [Calls("", 2, number=999), Calls("", 1, number=998, abi=syscalls.IA32)]
    assert [(row["syscall"], row.get("abi")) for row in of(calls)["rows"]] == [
        ("[unknown: 999]", None),
        ("[unknown: 998]", "ia32"),
    ]


def test_errnos_are_names_and_a_success_has_none() -> None:
    calls = [Calls("read", 3), Calls("read", 2, errno=11), Calls("read", 1, errno=4000)]
    rows = of(calls, ("errno",))["rows"]
    assert [(row["errno"], row["errors"]) for row in rows] == [
        (None, 0),
        ("EAGAIN", 2),
        ("errno 4000", 1),
    ]


def test_cgroups_are_paths_where_those_are_known() -> None:
    kernel = rows([Calls("read", 3), Calls("read", 2, pid=2)])
    kernel["cgroup"] = [7, 8]
    table = model.aggregate(model.table_of(kernel, 1.0), ("cgroup",))
    found: Any = aggregate_object(
        Aggregate(START_NS, 1.0, table, cgroups={7: "/system.slice/a.service"}),
        top=None,
        sort="rate",
    )
    assert [row["cgroup"] for row in found["rows"]] == ["/system.slice/a.service", "[cgroup 8]"]


def test_order_and_top() -> None:
    calls = [Calls("read", 2, 10_000), Calls("write", 3, 100), Calls("futex", 1, 15_000)]

    def named(**how: Any) -> list[str]:
        return [row["syscall"] for row in of(calls, **how)["rows"]]

    assert named() == ["write", "read", "futex"]
    assert named(sort="total") == ["read", "futex", "write"]
    assert named(sort="latency") == ["futex", "read", "write"]
    assert named(top=2) == ["write", "read"]


def test_the_histogram_has_the_buckets_that_are_not_empty() -> None:
    day = 86_400 * 10**9
    calls = [Calls("read", 2, 63), Calls("read", 4, 70), Calls("read", 1, 1100)]
    (row,) = of([*calls, Calls("read", 3, day)], histogram=True)["rows"]
    assert row["histogram"] == [[0, 64, 2], [64, 80, 4], [1024, 1280, 1], [2**37, None, 3]]


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=30))
def test_the_histogram_holds_every_latency(latencies: list[int]) -> None:
    (row,) = of([Calls("read", 1, ns) for ns in latencies], histogram=True)["rows"]
    bounds = [(low, high) for low, high, _ in row["histogram"]]
    assert bounds == sorted(set(bounds))
    for low, high, count in row["histogram"]:
        inside = [ns for ns in latencies if low <= ns and (high is None or ns < high)]
        assert len(inside) == count > 0
        assert len({bucket_of(ns) for ns in inside}) == 1


@given(st.lists(st.integers(1, 2**40), min_size=1, max_size=30))
def test_statistics_agree_with_each_other(latencies: list[int]) -> None:
    (row,) = of([Calls("read", 1, ns) for ns in latencies])["rows"]
    assert row["total_ns"] == sum(latencies)
    assert (row["min_ns"], row["max_ns"]) == (min(latencies), max(latencies))
    assert row["min_ns"] <= row["p50_ns"] <= row["p90_ns"] <= row["p99_ns"] <= row["max_ns"]
    assert row["mean_ns"] == pytest.approx(sum(latencies) / len(latencies), abs=0.051)
    if len(latencies) == 1:
        assert row["mean_ns"] == row["min_ns"]


def test_hostile_names_stay_in_one_line() -> None:
    names = [b'"};{"', b"\x1b[2J\x07", b"\xff\xfe\xf0", b"\\", b"a\nb\r\tc", "読む".encode(), b""]
    calls = [Calls("read", 9 - i, pid=i + 1, comm=name) for i, name in enumerate(names)]
    found = aggregate_object(aggregate(calls, ("pid", "comm")), top=None, sort="rate")
    line = json.dumps(found, ensure_ascii=False)
    assert line.isprintable()
    decoded = json.loads(line.encode())
    assert [row["comm"] for row in decoded["rows"]] == [
        '"};{"', "␛[2J␇", "\ufffd\ufffd\ufffd", "\\", "a␊b␍␉c", "読む", "",
    ]  # fmt: skip


def test_an_interval_without_calls() -> None:
    found = of([])
    assert found["rows"] == []
    assert found["lost"] == LOST
