"""Sums over several samples, against plain Python."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_rows import Calls, Group, rows_of

from sysdash import aggregates, model
from sysdash.aggregates import Accumulator, Aggregate, combine, under_one_name
from sysdash.buckets import BUCKETS, bucket_of
from sysdash.model import OTHERS, Row, Snapshot, Syscall, aggregate, derive, table_of
from sysdash.records import EVENT, Sample
from sysdash.units import safe

SECOND_NS = 1_000_000_000
PATHS = {1: "/", 7: "/system.slice/a.service", 2**64 - 1: "/far"}


class Sum(Group):
    """What a row should say."""

    @property
    def numbers(self) -> tuple[int, ...]:
        times = self.latencies
        return (
            self.count, self.errors, len(times), sum(times),
            min(times, default=0), max(times, default=0),
        )  # fmt: skip


def numbers(row: Row) -> tuple[int, ...]:
    return (row.count, row.errors, row.timed, row.total_ns, row.min_ns, row.max_ns)


def snapshot(
    calls: Sequence[Calls],
    *,
    second: int = 1,
    interval_ns: int = SECOND_NS,
    lost: Mapping[str, int] = MappingProxyType({}),
) -> Snapshot:
    sample = Sample(
        time_ns=second * SECOND_NS,
        mono_ns=second * SECOND_NS,
        interval_ns=interval_ns,
        rows=rows_of(calls),
        events=np.zeros(0, dtype=EVENT),
        cgroups=MappingProxyType(PATHS),
    )
    # The losses of a snapshot are those since the start.
    return derive(sample, {"calls": 0, "missed": 0, "unattributed": 0, **lost})


CALLS = st.builds(
    Calls,
    nr=st.sampled_from([0, 1, 232, 9999, -1]),
    abi=st.sampled_from([0, 1]),
    pid=st.sampled_from([0, 1, 2]),
    tid=st.sampled_from([1, 3]),
    comm=st.sampled_from([b"", b"a", b"sixteen-bytes-15", b"\x1b[2J"]),
    cgroup=st.sampled_from([*PATHS, 99]),
    errno=st.sampled_from([0, 0, 2, 512]),
    latencies=st.lists(st.integers(1, 2**42), max_size=4).map(tuple),
    untimed=st.integers(0, 2),
)
SAMPLES = st.lists(st.lists(CALLS, max_size=12), min_size=1, max_size=5)
KEYS = st.lists(st.sampled_from(model.KEYS), unique=True, min_size=1)


def key_of(calls: Any, by: Sequence[str]) -> tuple[Any, ...]:
    """The key of Calls or of a Row."""
    values = {name: getattr(calls, name) for name in by if name != "syscall"}
    if isinstance(calls, Calls):
        folded = calls.pid == 0 and not calls.comm
        values |= {"comm": safe(OTHERS if folded else calls.comm)}
        values |= {"syscall": Syscall(calls.nr, calls.abi)}
    else:
        values |= {"syscall": calls.syscall}
    return tuple(values[name] for name in by)


def sums(samples: Sequence[Sequence[Calls]], by: Sequence[str]) -> dict[tuple[Any, ...], Sum]:
    found: dict[tuple[Any, ...], Sum] = defaultdict(Sum)
    for calls in samples:
        for call in calls:
            found[key_of(call, by)].add(call)
    return dict(found)


def rows(table: model.Table) -> dict[tuple[Any, ...], Row]:
    found = {key_of(row, table.by): row for row in table.rows(range(len(table)))}
    assert len(found) == len(table), "a key has two rows"
    return found


def taken(accumulator: Accumulator) -> Aggregate:
    found = accumulator.take()
    assert found is not None
    return found


@given(samples=SAMPLES, by=KEYS)
def test_combined_tables_are_the_sums_of_their_calls(
    samples: list[list[Calls]], by: list[str]
) -> None:
    tables = [aggregate(table_of(rows_of(calls), 0.5), by) for calls in samples]
    table = combine(tables)
    expected, found = sums(samples, by), rows(table)
    assert {key: numbers(row) for key, row in found.items()} == {
        key: group.numbers for key, group in expected.items()
    }
    assert table.by == tuple(by)
    assert table.interval_s == 0.5 * len(samples)
    for key, row in found.items():
        times = expected[key].latencies
        hist = np.bincount([bucket_of(ns) for ns in times], minlength=BUCKETS)
        assert row.hist.tolist() == hist.tolist()
        assert row.rate == pytest.approx(row.count / (0.5 * len(samples)))
        if len(times) > 1:
            mean = statistics.mean(times)
            exact = 100 * statistics.stdev(times) / math.sqrt(len(times)) / mean
            assert row.stddev_pct == pytest.approx(exact, rel=1e-4, abs=1e-4)


def test_there_must_be_a_table() -> None:
    with pytest.raises(ValueError, match="no tables"):
        combine([])


@given(samples=SAMPLES, by=KEYS, timed=st.booleans())
def test_an_aggregate_is_the_sum_of_its_snapshots(
    samples: list[list[Calls]], by: list[str], timed: bool
) -> None:
    accumulator = Accumulator(by, timed=timed)
    for second, calls in enumerate(samples):
        accumulator.add(snapshot(calls, second=second, interval_ns=250_000_000))
    found = taken(accumulator)
    expected = sums(samples, by)
    counts = {key: (row.count, row.errors) for key, row in rows(found.calls).items()}
    assert counts == {key: (group.count, group.errors) for key, group in expected.items()}
    assert found.time_ns == (len(samples) - 1) * SECOND_NS
    assert found.interval_s == found.calls.interval_s == 0.25 * len(samples)
    assert found.calls.by == tuple(by)
    assert found.timed == timed
    assert not found.off_cpu
    timed_calls = sum(len(group.latencies) for group in expected.values())
    assert found.calls.hist.sum() == (timed_calls if timed else 0)
    used = {call.cgroup for calls in samples for call in calls} if "cgroup" in by else set()
    assert found.cgroups == {i: path for i, path in PATHS.items() if i in used}


@given(samples=SAMPLES, ends=st.sets(st.integers(0, 4)))
def test_each_call_is_in_one_interval(samples: list[list[Calls]], ends: set[int]) -> None:
    accumulator = Accumulator(("syscall", "pid"))
    aggregates, since = [], 0
    for i, calls in enumerate(samples):
        accumulator.add(snapshot(calls, second=i))
        if i in ends or i == len(samples) - 1:
            found = taken(accumulator)
            expected = sums(samples[since : i + 1], ("syscall", "pid"))
            assert {key: numbers(row) for key, row in rows(found.calls).items()} == {
                key: group.numbers for key, group in expected.items()
            }
            aggregates.append(found)
            since = i + 1
    assert accumulator.take() is None
    assert sum(found.interval_s for found in aggregates) == len(samples)


def test_time_off_the_cpu_is_added_up() -> None:
    accumulator = Accumulator(("comm",))
    for off_ns in (300, 0, 50):
        calls = [Calls(latencies=(400,), off_ns=off_ns), Calls(nr=1, latencies=(200,), off_ns=100)]
        accumulator.add(replace(snapshot(calls), off_cpu=True))
    found = taken(accumulator)
    assert found.off_cpu
    row = found.calls.row(0)
    assert (row.total_ns, row.off_ns) == (3 * 600, 350 + 3 * 100)


def test_a_sample_without_times_does_not_make_the_minimum_0() -> None:
    accumulator = Accumulator(("syscall",))
    for latencies in ((), (700, 900), ()):
        accumulator.add(snapshot([Calls(latencies=latencies, untimed=1)]))
    row = taken(accumulator).calls.row(0)
    assert (row.count, row.timed, row.min_ns, row.max_ns) == (5, 2, 700, 900)


def test_losses_are_those_of_the_interval() -> None:
    accumulator = Accumulator(("comm",))
    accumulator.add(snapshot([], lost={"calls": 3, "missed": 1}))
    accumulator.add(snapshot([], lost={"calls": 10, "missed": 1}))
    assert taken(accumulator).lost == {"calls": 10, "missed": 1, "unattributed": 0}
    accumulator.add(snapshot([], lost={"calls": 12, "missed": 1, "unattributed": 5}))
    assert taken(accumulator).lost == {"calls": 2, "missed": 0, "unattributed": 5}
    accumulator.add(snapshot([], lost={"calls": 12, "missed": 1, "unattributed": 5}))
    assert taken(accumulator).lost == {"calls": 0, "missed": 0, "unattributed": 0}


def test_who_is_not_told_is_not_lost() -> None:
    accumulator = Accumulator(("syscall", "errno"))
    accumulator.add(snapshot([], lost={"calls": 3, "unattributed": 5}))
    assert taken(accumulator).lost == {"calls": 3, "missed": 0, "unattributed": 0}


def test_what_was_taken_does_not_change() -> None:
    accumulator = Accumulator(("syscall",))
    accumulator.add(snapshot([Calls()]))
    first = taken(accumulator)
    accumulator.add(snapshot([Calls(latencies=(5, 6))]))
    assert (first.calls.row(0).count, first.calls.hist.sum()) == (1, 1)
    assert taken(accumulator).calls.row(0).count == 2


@st.composite
def crowds(draw: st.DrawFn) -> list[list[Calls]]:
    """Samples of many processes, each with another number of calls."""
    samples = []
    for _ in range(draw(st.integers(1, 4))):
        pids = draw(st.lists(st.integers(1, 40), unique=True, max_size=30))
        samples.append(
            [
                Calls(
                    nr=draw(st.sampled_from([0, 1])),
                    pid=pid,
                    tid=pid,
                    comm=b"p%d" % pid,
                    errno=draw(st.sampled_from([0, 2])),
                    latencies=tuple(draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=3))),
                )
                for pid in pids
            ]
        )
    return samples


@given(samples=crowds(), pending=st.sampled_from([0, 15, 20_000]))
def test_too_many_rows_are_folded_and_no_call_is_lost(
    samples: list[list[Calls]], pending: int
) -> None:
    most = 10
    accumulator = Accumulator(("syscall", "pid", "comm", "errno"), most=most)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregates, "_PENDING_ROWS", pending)
        for calls in samples:
            accumulator.add(snapshot(calls))
        found = taken(accumulator)
    # Two syscalls and two errnos make four rows of (others).
    assert len(found.calls) <= most + 4
    table = rows(found.calls)
    exact = sums(samples, ("syscall", "pid", "comm", "errno"))
    folded = [row for row in table.values() if row.comm == "(others)"]
    assert sum(row.count for row in folded) == found.lost["unattributed"]
    assert all(row.pid == 0 for row in folded)
    if len(exact) <= most:
        assert folded == []
    for key, row in table.items():
        if row.pid != 0:
            assert row.count <= exact[key].count
    by_kind = rows(aggregate(found.calls, ("syscall", "errno")))
    assert {key: numbers(row) for key, row in by_kind.items()} == {
        key: group.numbers for key, group in sums(samples, ("syscall", "errno")).items()
    }


def test_the_busiest_processes_keep_their_rows() -> None:
    accumulator = Accumulator(("pid", "comm"), most=4)
    crowd = [Calls(pid=pid, comm=b"p%d" % pid, latencies=(10,) * pid) for pid in range(1, 7)]
    accumulator.add(snapshot(crowd, lost={"unattributed": 1}))
    found = taken(accumulator)
    counts = Counter({(row.pid, row.comm): row.count for row in rows(found.calls).values()})
    assert counts == {(6, "p6"): 6, (5, "p5"): 5, (4, "p4"): 4, (0, "(others)"): 1 + 2 + 3}
    assert found.lost["unattributed"] == 1 + 6
    assert found.interval_s == 1.0
    # What is folded in one interval is not told again in the next.
    accumulator.add(snapshot(crowd[:1], lost={"unattributed": 1}))
    assert taken(accumulator).lost["unattributed"] == 0


def test_numbers_that_no_table_has_are_folded() -> None:
    accumulator = Accumulator(("syscall",), most=20)
    calls = [Calls(nr=nr, latencies=(10,)) for nr in range(5000, 5100)]
    accumulator.add(snapshot([*calls, Calls(latencies=(10,) * 3), Calls(nr=1, latencies=(7,))]))
    found = taken(accumulator)
    table = {
        row.syscall.name if row.syscall else "": row.count
        for row in found.calls.rows(range(len(found.calls)))
    }
    assert len(table) <= 20
    assert table["read"] == 3
    assert table["write"] == 1
    assert sum(table.values()) == 100 + 3 + 1
    assert table["[unknown: others]"] == 100 - (len(table) - 3)
    assert found.lost["unattributed"] == 0


def test_a_process_has_one_name() -> None:
    calls = [
        Calls(nr=0, pid=7, tid=7, comm=b"sh", latencies=(1,)),
        Calls(nr=1, pid=7, tid=7, comm=b"sh", latencies=(1,)),
        Calls(nr=0, pid=7, tid=7, comm=b"ls", latencies=(1, 1, 1)),
        Calls(nr=0, pid=8, tid=8, comm=b"sh", latencies=(1,)),
        # Those that have no number here are many.
        Calls(nr=0, pid=0, tid=0, comm=b"init", latencies=(1, 1)),
        Calls(nr=0, pid=0, tid=0, comm=b"sshd", latencies=(1,)),
    ]
    accumulator = Accumulator(("pid", "comm", "syscall"))
    accumulator.add(snapshot(calls))
    named = under_one_name(taken(accumulator).calls, "pid")
    table = rows(aggregate(named, ("pid", "comm")))
    assert {(row.pid, row.comm): row.count for row in table.values()} == {
        (7, "ls"): 5,
        (8, "sh"): 1,
        (0, "init"): 2,
        (0, "sshd"): 1,
    }
    assert len(named) == 5
    empty = named.select(named.pid < 0)
    assert len(under_one_name(empty, "pid")) == 0
