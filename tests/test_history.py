"""What the dashboard remembers."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import SECOND_NS, START_NS, Calls, Slow, detail, file, history, nr, snapshot

from sysdash.aggregates import Accumulator
from sysdash.history import Counts, History, Past, Verdicts
from sysdash.model import KEYS, Filter, Snapshot, aggregate, view
from sysdash.timeline import Window

READ = (nr("read"), 0)
WRITE = (nr("write"), 0)


def test_nothing_at_first() -> None:
    empty = History()
    assert empty.past is None
    assert empty.latest is None
    assert empty.slow == ()


def test_impossible_limits() -> None:
    with pytest.raises(ValueError, match="no negative number"):
        History(-1)


def test_rates_are_per_second_and_follow_the_filter() -> None:
    calls = [
        Calls("read", 100, pid=1, comm=b"one"),
        Calls("read", 20, pid=2, comm=b"two"),
        Calls("write", 7, pid=2, comm=b"two"),
    ]
    past = history(snapshot(calls, interval_ns=500_000_000)).past
    assert past is not None
    assert past.rates(Filter(), 5) == [{READ: 240.0, WRITE: 14.0}]
    assert past.rates(Filter(pid=2), 5) == [{READ: 40.0, WRITE: 14.0}]
    assert past.rates(Filter(name="ONE"), 5) == [{READ: 200.0}]
    assert past.rates(Filter(), 5) == [{READ: 240.0, WRITE: 14.0}]
    assert past.rates(Filter(pid=3), 5) == [{}]
    assert past.rates(Filter(), 0) == []


def test_oldest_first_and_bounded() -> None:
    kept = History(keep_slow=4, max_s=3)
    for second in range(1, 6):
        kept.append(snapshot([Calls("read", second)], [Slow("read", second)] * 2, second=second))
    past = kept.past
    assert past is not None
    assert [rates[READ] for rates in past.rates(Filter(), 10)] == [3.0, 4.0, 5.0]
    assert [rates[READ] for rates in past.rates(Filter(), 2)] == [4.0, 5.0]
    assert [call.duration_ns for call in kept.slow] == [5, 5, 4, 4]
    assert kept.latest is past.snapshot
    assert past.timeline.calls.tolist() == [3, 4, 5]


def test_the_oldest_become_coarser_where_memory_is_short_and_then_go() -> None:
    kept = History(max_bytes=12_000)
    for second in range(1, 200):
        kept.append(
            snapshot(
                [Calls("read", second), Calls("write", 1, pid=second)],
                second=second,
                lost={"calls": 1},
            )
        )
        assert kept.size <= 12_000
        past = kept.past
        assert past is not None
        # Nothing is lost inside of what is there, and the newest is there as it was.
        timeline = past.timeline
        oldest = int(timeline.begin_ns[0] - START_NS) // SECOND_NS
        assert timeline.calls.sum() == sum(range(oldest + 1, second + 1)) + second - oldest
        assert timeline.length_ns[-1] == SECOND_NS
        assert timeline.span.length_ns == timeline.length_ns.sum()
    past = kept.past
    assert past is not None
    timeline = past.timeline
    oldest = int(timeline.begin_ns[0] - START_NS) // SECOND_NS
    lengths = (timeline.length_ns // SECOND_NS).tolist()
    assert set(lengths) >= {1, 4}
    assert all(length in (1, 4, 16, 64, 256) for length in lengths)
    assert sorted(lengths, reverse=True) == lengths
    assert oldest > 0
    first = past.at(0).snapshot
    assert first.interval_s == lengths[0]
    assert first.lost["calls"] == lengths[0]
    assert {row.syscall.name: row.count for row in view(first, Filter()).by_syscall.rows([0, 1])
            if row.syscall} == {
        "read": sum(range(oldest + 1, oldest + lengths[0] + 1)), "write": lengths[0],
    }  # fmt: skip


def test_the_last_interval_is_kept_whatever_it_takes() -> None:
    kept = History(max_bytes=1)
    for second in (1, 2):
        kept.append(snapshot([Calls("read", second)], second=second))
    past = kept.past
    assert past is not None
    assert past.rates(Filter(), 10) == [{READ: 2.0}]


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    kept = history(*(snapshot([Calls("read", 1)], second=second) for second in (5, 6, 2, 3)))
    past = kept.past
    assert past is not None
    assert past.timeline.calls.sum() == 4
    # They follow each other all the same, each as long as it was.
    assert np.diff(past.timeline.end_ns).tolist() == [SECOND_NS] * 3
    assert past.timeline.rates(past.timeline.span, 4).tolist() == [1.0] * 4


def _told(shown: Snapshot) -> dict[str, object]:
    """All that panels read of a snapshot, in a form that can be compared."""
    table = aggregate(shown.calls, KEYS)
    rows = {
        (r.syscall, r.pid, r.tid, r.comm, r.cgroup, r.errno): (
            r.count, r.rate, r.errors, r.timed, r.total_ns, r.min_ns, r.max_ns, r.mean_ns,
            r.stddev_pct, r.p50_ns, r.p90_ns, r.p99_ns, r.off_ns, tuple(r.hist.tolist()),
        )
        for r in table.rows(range(len(table)))
    }  # fmt: skip
    names = (
        "time_ns interval_s slow lost host unlisted cgroups in_flight in_flight_more "
        "in_flight_known off_cpu in_flight_unreadable"
    )
    return {"rows": rows} | {name: getattr(shown, name) for name in names.split()}


def _busy(second: int) -> Snapshot:
    calls = [
        Calls("read", 10 * second, 300 * second, pid=pid, comm=b"p%d" % pid, off_ns=second)
        for pid in range(1, 9)
    ]
    failed = [Calls("openat", second, 7000, errno=2), Calls("nanosleep", 1, None)]
    return snapshot(
        calls + failed,
        [Slow("read", 20_000_000 + second)] * (second % 3),
        second=second,
        lost={"calls": second % 2, "slow_limit": second % 4},
        in_flight=[Slow("futex", 10**9 * second)],
        in_flight_more=second,
        off_cpu=True,
    )


def test_a_moment_is_as_it_was() -> None:
    kept = History(keep_slow=5)
    seen = []
    for second in range(1, 30):
        kept.append(_busy(second))
        assert kept.past is not None
        seen.append(kept.past)
    for place, then in enumerate(seen):
        now = seen[-1].at(place)
        assert _told(now.snapshot) == _told(then.snapshot)
        assert now.slow == then.slow
        assert now.rates(Filter(pid=3), 9) == then.rates(Filter(pid=3), 9)
        assert now.time_ns == then.time_ns
    assert seen[-1].at(28) is seen[-1]


def _whole(work: Generator[float, None, Past]) -> Past:
    done = [-1.0]
    while True:
        try:
            done.append(next(work))
        except StopIteration as end:
            assert sorted(done) == done
            assert done[-1] < 1
            found = end.value
            assert isinstance(found, Past)
            return found


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(1, 20))
def test_a_window_is_the_sum_of_its_intervals(first: int, length: int) -> None:
    snapshots = [_busy(second) for second in range(1, 21)]
    past = history(*snapshots).past
    assert past is not None
    window = Window(START_NS + first * SECOND_NS, START_NS + (first + length) * SECOND_NS)
    inside = snapshots[first : first + length] or snapshots[-1:]
    shown = _whole(past.over(window))
    accumulator = Accumulator(KEYS)
    for each in inside:
        accumulator.add(each)
    expected = accumulator.take()
    assert expected is not None
    assert shown.snapshot.interval_s == expected.interval_s == len(inside)
    summed = replace(inside[-1], calls=expected.calls, interval_s=expected.interval_s)
    assert _told(shown.snapshot)["rows"] == _told(summed)["rows"]
    slow = [call for each in inside for call in each.slow]
    assert list(shown.snapshot.slow) == slow
    assert list(shown.slow) == slow[::-1]
    assert shown.snapshot.unlisted == sum(each.unlisted for each in inside)
    assert shown.snapshot.lost["calls"] == sum(each.lost["calls"] for each in inside)
    assert shown.snapshot.in_flight == inside[-1].in_flight
    assert shown.snapshot.in_flight_more == inside[-1].in_flight_more
    assert shown.window == Window(inside[0].time_ns - SECOND_NS, inside[-1].time_ns)


def test_a_window_of_many_processes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysdash.history._MOST_ROWS", 50)
    monkeypatch.setattr("sysdash.history._PENDING_ROWS", 60)
    snapshots = [
        snapshot([Calls("read", pid, pid=pid) for pid in range(s * 20, s * 20 + 20)], second=s)
        for s in range(1, 30)
    ]
    past = history(*snapshots).past
    assert past is not None
    shown = _whole(past.over(past.timeline.span)).snapshot
    assert shown.calls.count.sum() == sum(int(each.calls.count.sum()) for each in snapshots)
    assert len(shown.calls) <= 50
    others = shown.calls.count[shown.calls.pid == 0].sum()
    assert shown.lost["unattributed"] == others > 0


def test_slow_calls_give_way_where_memory_is_short() -> None:
    kept = History(keep_slow=1000, max_bytes=450_000)
    for second in range(1, 11):
        slow = [Slow("read", 10_000_000 + i) for i in range(30)]
        kept.append(snapshot([], slow, second=second))
    past = kept.past
    assert past is not None
    assert len(past.timeline) == 10
    oldest = past.at(0).snapshot
    # The longest are there, and those that are not are told.
    assert [call.duration_ns for call in oldest.slow] == [10_000_020 + i for i in range(10)]
    assert oldest.unlisted == oldest.lost["slow_forgotten"] == 20
    assert len(past.at(9).snapshot.slow) == 30
    shown = _whole(past.over(past.timeline.span)).snapshot
    assert len(shown.slow) + shown.unlisted == 300
    # What the newest interval brings does not push out the others.
    kept.append(snapshot([], [Slow("read", 10_000_000 + i) for i in range(3000)], second=11))
    past = kept.past
    assert past is not None
    assert len(past.timeline) == 11
    assert kept.size <= 450_000
    assert len(past.slow) == 1000


def test_stacks_of_old_calls_go_before_the_calls_do() -> None:
    kept = History(max_bytes=4_500_000)
    large = replace(detail(file("/a"), ["frame"]), held=9_000)
    for second in range(1, 11):
        slow = [Slow("read", 10_000_000 + i, detail=large) for i in range(30)]
        kept.append(snapshot([], slow, second=second))
    past = kept.past
    assert past is not None
    oldest, newest = past.at(0).snapshot.slow, past.at(9).snapshot.slow
    assert len(oldest) == len(newest) == 30
    assert [bool(call.detail.stack()) for call in oldest] == [False] * 20 + [True] * 10
    assert all(call.detail.file for call in oldest)
    assert all(call.detail.stack() for call in newest)


def test_the_trend_of_a_window_is_all_of_it() -> None:
    past = history(*(snapshot([Calls("read", s)], second=s) for s in range(1, 41))).past
    assert past is not None
    shown = _whole(past.over(Window(START_NS, START_NS + 20 * SECOND_NS)))
    assert [each[READ] for each in shown.rates(Filter(), 100)] == list(range(1, 21))
    assert [each[READ] for each in shown.rates(Filter(), 4)] == [3.0, 8.0, 13.0, 18.0]
    assert shown.rates(Filter(), 0) == []


def test_the_rows_of_a_process_are_kept_as_one() -> None:
    one, hundred = (
        Counts(0, snapshot([Calls("read", 3, errno=i) for i in range(many)]).calls)
        for many in (1, 100)
    )
    assert one.size == hundred.size
    filters = (Filter(), Filter(pid=1842, name="post"))
    assert [hundred.rates(f, Verdicts(f)) for f in filters] == [{READ: 300.0}] * 2


def test_a_name_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [Calls("read", 1, pid=pid, comm=b"name %d" % (pid % 7)) for pid in range(1, 100)]
    past = history(*(snapshot(calls, second=second) for second in range(1, 10))).past
    assert past is not None
    asked: list[bytes] = []
    passes = Filter.passes

    def watched(self: Filter, pid: Any, comm: Any) -> Any:
        asked.extend(comm)
        return passes(self, pid, comm)

    monkeypatch.setattr(Filter, "passes", watched)
    assert past.rates(Filter(name="name 3"), 9) == [{READ: 14.0}] * 9
    assert sorted(asked) == [b"name %d" % n for n in range(7)]


def test_slow_calls_are_newest_first() -> None:
    kept = history(
        snapshot([], [Slow("read", 1, ago_ms=20), Slow("read", 2, ago_ms=10)], second=1),
        snapshot([], [Slow("read", 3)], second=2),
    )
    assert [call.duration_ns for call in kept.slow] == [3, 2, 1]


def test_an_old_reference_does_not_change() -> None:
    kept = history(snapshot([Calls("read", 1)]))
    before = kept.past
    kept.append(snapshot([Calls("read", 2)], second=2))
    assert before is not None
    assert before is not kept.past
    assert before.rates(Filter(), 9) == [{READ: 1.0}]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["read", "write", "futex"]),
            st.integers(1, 10**9),
            st.integers(1, 5),
            st.sampled_from([b"a", b"bb", b"\xff", "漢".encode()]),
        ),
        max_size=12,
    ),
    st.one_of(
        st.none(), st.sampled_from([Filter(pid=2), Filter(name="b"), Filter(name="/^a|漢$/")])
    ),
)
def test_rates_agree_with_the_view(
    made: list[tuple[str, int, int, bytes]], shown: Filter | None
) -> None:
    chosen = shown or Filter()
    one = snapshot([Calls(name, count, pid=pid, comm=comm) for name, count, pid, comm in made])
    past = history(one).past
    assert past is not None
    table = view(one, chosen).by_syscall
    expected = {
        (int(n), int(abi)): float(rate)
        for n, abi, rate in zip(table.nr, table.abi, table.rate, strict=True)
    }
    assert past.rates(chosen, 1) == [expected]
