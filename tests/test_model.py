"""Merging, statistics and filters of the model, against plain Python."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_rows import Calls, Group, rows_of

from sysdash import grouping, limits, model, syscalls
from sysdash.buckets import BUCKETS, OVER, QUANTILE_ERROR, bucket_of
from sysdash.model import Filter, Syscall, aggregate, derive, table_of, view
from sysdash.records import EVENT, ROW, Rows, Sample
from sysdash.units import safe

LATENCIES = st.integers(0, 2**42)


CALLS = st.builds(
    Calls,
    nr=st.sampled_from([0, 1, 20, 232, 9999, -1]),
    abi=st.sampled_from([0, 1, 2]),
    pid=st.sampled_from([0, 1, 2, 4_000_000]),
    tid=st.sampled_from([0, 1, 3]),
    comm=st.sampled_from([b"", b"a", b"b", b"sixteen-bytes-15", b"sixteen-bytes-16", b"\x1b[2J"]),
    cgroup=st.sampled_from([0, 1, 2**64 - 1]),
    errno=st.sampled_from([0, 0, 2, 512]),
    latencies=st.lists(LATENCIES, max_size=5).map(tuple),
    untimed=st.integers(0, 3),
)
MANY_CALLS = st.lists(CALLS, max_size=40)
KEYS = st.lists(st.sampled_from(model.KEYS), unique=True, max_size=len(model.KEYS))


def _key(calls: Any, by: Sequence[str]) -> tuple[Any, ...]:
    """The key of a row of either kind: Calls, or a model.Row."""
    values: list[Any] = []
    for name in by:
        if name == "syscall":
            called = calls.syscall if isinstance(calls, model.Row) else Syscall(calls.nr, calls.abi)
            values.append(called)
        elif name == "comm" and isinstance(calls, Calls):
            folded = calls.pid == 0 and not calls.comm
            values.append(safe(model.OTHERS if folded else calls.comm))
        else:
            values.append(getattr(calls, name))
    return tuple(values)


def _groups(calls: Sequence[Calls], by: Sequence[str]) -> dict[tuple[Any, ...], Group]:
    groups: dict[tuple[Any, ...], Group] = defaultdict(Group)
    for call in calls:
        groups[_key(call, by)].add(call)
    return dict(groups)


@given(calls=MANY_CALLS, by=KEYS)
def test_groups_are_those_of_plain_python(calls: list[Calls], by: list[str]) -> None:
    table = aggregate(table_of(rows_of(calls), 2.0), by)
    expected = _groups(calls, by)
    found = {_key(row, by): row for row in table.rows(range(len(table)))}
    assert len(found) == len(table)
    assert set(found) == set(expected)
    for key, row in found.items():
        group = expected[key]
        assert row.count == group.count
        assert row.errors == group.errors
        assert row.timed == len(group.latencies)
        assert row.total_ns == sum(group.latencies)
        assert row.min_ns == min(group.latencies, default=0)
        assert row.max_ns == max(group.latencies, default=0)
        assert row.rate == pytest.approx(group.count / 2.0)
        hist = np.bincount([bucket_of(ns) for ns in group.latencies], minlength=BUCKETS)
        assert row.hist.tolist() == hist.tolist()
        if group.latencies:
            assert row.mean_ns == pytest.approx(statistics.fmean(group.latencies))


@given(calls=MANY_CALLS, first=KEYS, second=KEYS)
def test_grouping_in_two_steps_is_grouping_at_once(
    calls: list[Calls], first: list[str], second: list[str]
) -> None:
    table = table_of(rows_of(calls), 1.0)
    both = list(dict.fromkeys([*first, *second]))
    by_steps = aggregate(aggregate(table, both), second)
    at_once = aggregate(table, second)

    def contents(table: model.Table) -> list[Any]:
        rows = table.rows(range(len(table)))
        return sorted(
            (str(_key(r, second)), r.count, r.errors, r.timed, r.total_ns, r.min_ns, r.max_ns)
            for r in rows
        )

    assert contents(by_steps) == contents(at_once)
    assert by_steps.hist.sum() == at_once.hist.sum()


def test_a_row_without_a_time_does_not_become_the_minimum() -> None:
    """The fault of perf trace's --bpf-summary: another CPU's empty row made it 0."""
    calls = [Calls(latencies=(), untimed=1), Calls(latencies=(700, 900)), Calls(latencies=())]
    row = aggregate(table_of(rows_of(calls), 1.0), ("syscall",)).row(0)
    assert (row.count, row.timed, row.min_ns, row.max_ns) == (3, 2, 700, 900)
    lonely = aggregate(table_of(rows_of(calls[:1]), 1.0), ("syscall",)).row(0)
    assert (lonely.count, lonely.timed, lonely.min_ns, lonely.max_ns) == (1, 0, 0, 0)
    assert (lonely.mean_ns, lonely.stddev_pct, lonely.p99_ns) == (0.0, 0.0, 0.0)


@given(latencies=st.lists(LATENCIES, min_size=1, max_size=300))
def test_quantiles_are_near_the_exact_ones(latencies: list[int]) -> None:
    table = table_of(rows_of([Calls(latencies=tuple(latencies))]), 1.0)
    row, ordered = table.row(0), sorted(latencies)
    for percent, found in ((50, row.p50_ns), (90, row.p90_ns), (99, row.p99_ns)):
        exact = ordered[-(-percent * len(ordered) // 100) - 1]  # nearest rank
        assert ordered[0] <= found <= ordered[-1]
        if bucket_of(exact) == OVER:
            assert found == ordered[-1]
        elif exact < 64:
            assert abs(found - exact) <= 64
        else:
            assert abs(found - exact) <= exact * QUANTILE_ERROR * (1 + 1e-9)
    assert row.p50_ns <= row.p90_ns <= row.p99_ns <= row.max_ns


@given(latencies=st.lists(st.integers(0, 2**50), min_size=2, max_size=50))
def test_standard_deviation_of_the_mean(latencies: list[int]) -> None:
    found = table_of(rows_of([Calls(latencies=tuple(latencies))]), 1.0).row(0).stddev_pct
    mean = statistics.mean(latencies)
    if mean == 0:
        assert found == 0
        return
    # perf's stddev_stats and rel_stddev_stats, with Python's exact fractions.
    exact = 100 * statistics.stdev(latencies) / math.sqrt(len(latencies)) / mean
    # The sum of squares is exact, but its difference from n * mean^2 is taken in doubles.
    assert found == pytest.approx(exact, rel=1e-4, abs=1e-4)


def test_a_call_of_days() -> None:
    """Its square needs more than 64 bits."""
    day = 86_400 * 10**9
    row = table_of(rows_of([Calls(latencies=(day, 3 * day))]), 1.0).row(0)
    assert row.mean_ns == 2 * day
    assert row.stddev_pct == pytest.approx(50.0)
    assert row.p99_ns == 3 * day


@given(calls=MANY_CALLS, sort=st.sampled_from(limits.SORTS), inverted=st.booleans())
def test_order(calls: list[Calls], sort: str, inverted: bool) -> None:
    table = aggregate(table_of(rows_of(calls), 1.0), ("syscall",))
    order = table.order(sort, inverted=inverted)
    assert sorted(order) == list(range(len(table)))
    column = {"rate": table.count, "latency": table.p99_ns, "total": table.total_ns}[sort]
    values = [column[i] for i in order]
    assert values == sorted(values, reverse=not inverted)
    # The order is that of the contents alone, wherever the rows came from.
    shuffled = aggregate(table_of(rows_of(calls[::-1]), 1.0), ("syscall",))
    again = shuffled.order(sort, inverted=inverted)
    assert [(table.nr[i], table.abi[i]) for i in order] == [
        (shuffled.nr[i], shuffled.abi[i]) for i in again
    ]


@given(calls=MANY_CALLS, pid=st.sampled_from([None, 0, 2]), name=st.sampled_from([None, "", "A"]))
def test_filter(calls: list[Calls], pid: int | None, name: str | None) -> None:
    shown = Filter(pid=pid, name=name)
    table = shown.calls(table_of(rows_of(calls), 1.0))
    passing = [
        call
        for call in calls
        if (pid is None or call.pid == pid) and (not name or b"a" in call.comm.lower())
    ]
    assert table.count.tolist() == [call.count for call in passing]
    assert bool(shown) == (pid is not None or bool(name))


@pytest.mark.parametrize(
    ("name", "matching"),
    [
        ("post", {"postgres"}),
        ("POST", {"postgres"}),
        ("/^p/", {"postgres", "python"}),
        ("/n$/", {"python"}),
        ("/[0-9]/", set[str]()),
        ("/", {"a/b"}),
        ("//", {"postgres", "python", "a/b"}),
        ("a/b", {"a/b"}),
    ],
)
def test_names(name: str, matching: set[str]) -> None:
    names = ("postgres", "python", "a/b")
    rows = rows_of([Calls(comm=comm.encode()) for comm in names])
    table = Filter(name=name).calls(table_of(rows, 1.0))
    assert {bytes(comm).decode() for comm in table.comm} == matching


def test_a_bad_expression() -> None:
    for name in ("/(/", "/*/", "/[/"):
        with pytest.raises(ValueError, match="not a regular expression"):
            Filter(name=name)


def _sample(rows: Rows, lost: dict[str, int], events: int = 0) -> Sample:
    slow = np.zeros(events, dtype=EVENT)
    slow["end_ns"] = 4_000_000_000 + np.arange(events)
    slow["comm"] = b"a\x1b[31m"
    slow["ret"] = -2
    slow["args"][:, 0] = 2**64 - 1
    return Sample(
        time_ns=1_700_000_000_000_000_000,
        mono_ns=5_000_000_000,
        interval_ns=500_000_000,
        rows=rows,
        events=slow,
        lost=MappingProxyType(lost),
    )


def test_derive() -> None:
    calls = [Calls(pid=1), Calls(pid=1), Calls(pid=2, errno=2, latencies=(), untimed=3)]
    snapshot = derive(_sample(rows_of(calls), {"calls": 2, "missed": 0}, events=2))
    assert snapshot.interval_s == 0.5
    assert snapshot.calls.count.sum() == 5
    assert snapshot.lost == {"calls": 2, "missed": 0}
    first = snapshot.slow[0]
    assert first.time_ns == 1_700_000_000_000_000_000 - 1_000_000_000
    assert first.args[0] == 2**64 - 1
    assert (first.ret, first.errno) == (-2, 2)
    assert "\x1b" not in first.comm

    after = derive(_sample(rows_of([]), {"calls": 1, "missed": 4}), snapshot.lost)
    assert after.lost == {"calls": 3, "missed": 4}
    assert after.lost_total == 7
    # A source may name its losses only when there are some.
    later = derive(_sample(rows_of([]), {}), after.lost)
    assert later.lost == after.lost


def test_wrong_events() -> None:
    with pytest.raises(TypeError):
        model.slow_calls(np.zeros(1, dtype=ROW), 0)


@given(calls=MANY_CALLS)
def test_totals(calls: list[Calls]) -> None:
    totals = view(derive(_sample(rows_of(calls), {}, events=3)), Filter()).totals
    assert totals.rate == pytest.approx(sum(call.count for call in calls) / 0.5)
    errors = sum(call.count for call in calls if call.errno)
    assert totals.error_rate == pytest.approx(errors / 0.5)
    latencies = [ns for call in calls for ns in call.latencies]
    assert totals.mean_ns == pytest.approx(statistics.fmean(latencies) if latencies else 0.0)
    waiting = sum(sum(call.latencies) for call in calls if syscalls.waits(call.nr, call.abi))
    assert totals.waiting == pytest.approx(waiting / 1e9 / 0.5)
    assert totals.working == pytest.approx((sum(latencies) - waiting) / 1e9 / 0.5, abs=1e-9)
    assert not totals.measured
    assert totals.processes == len({call.pid for call in calls})
    assert totals.slow == 3


@given(
    calls=MANY_CALLS,
    shares=st.lists(st.floats(0, 1), min_size=1),
    pid=st.sampled_from([None, 1]),
)
def test_working_and_waiting_are_measured_where_they_are(
    calls: list[Calls], shares: list[float], pid: int | None
) -> None:
    rows = rows_of(calls)
    rows["off_ns"] = [
        int(share * int(total))
        for share, total in zip(itertools.cycle(shares), rows["total_ns"], strict=False)
    ]
    sample = replace(_sample(rows, {}), off_cpu=True)
    totals = view(derive(sample), Filter(pid=pid)).totals
    shown = rows if pid is None else rows[rows["pid"] == pid]
    assert totals.measured
    assert totals.waiting == pytest.approx(int(shown["off_ns"].sum()) / 1e9 / 0.5)
    total = int(shown["total_ns"].sum()) / 1e9 / 0.5
    assert totals.working + totals.waiting == pytest.approx(total)
    assert totals.working >= 0


def test_views() -> None:
    calls = [
        Calls(nr=0, pid=1, comm=b"one", latencies=(100, 200)),
        Calls(nr=0, pid=2, comm=b"two", latencies=(300,), errno=2),
        Calls(nr=1, pid=2, comm=b"two", latencies=(400,)),
        Calls(nr=0, abi=1, pid=2, comm=b"two", latencies=(500,)),
    ]
    snapshot = derive(_sample(rows_of(calls), {}))
    everything = view(snapshot, Filter())
    read = everything.by_syscall.find(Syscall(0))
    assert read is not None
    assert (read.count, read.errors, read.max_ns) == (3, 1, 300)
    assert everything.by_syscall.find(Syscall(0, 1)) is not None
    assert everything.by_syscall.find(Syscall(2)) is None
    processes = everything.by_process.rows(range(2))
    assert {(row.pid, row.comm, row.count) for row in processes} == {(1, "one", 2), (2, "two", 3)}
    assert [row.errno for row in everything.by_error.rows(range(len(everything.by_error)))] == [2]
    assert everything.of_syscall(Syscall(0)).count.sum() == 3
    two = view(snapshot, Filter(name="two"))
    assert two.by_syscall.count.sum() == 3


def test_two_groups_with_the_same_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grouping goes by a hash first; without it, every group has the same one."""
    monkeypatch.setattr(grouping, "_MIX", np.uint64(0))
    calls = [Calls(nr=i % 7, pid=i % 3, latencies=(i,)) for i in range(50)]
    table = aggregate(table_of(rows_of(calls), 1.0), ("syscall", "pid"))
    assert {(row.syscall, row.pid): row.total_ns for row in table.rows(range(len(table)))} == {
        (Syscall(nr), pid): sum(i for i in range(50) if (i % 7, i % 3) == (nr, pid))
        for nr in range(7)
        for pid in range(3)
    }
