"""What the dashboard remembers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import Calls, Slow, history, nr, snapshot

from sysdash.history import Counts, History, Verdicts
from sysdash.model import Filter, view

READ = (nr("read"), 0)
WRITE = (nr("write"), 0)


def test_nothing_at_first() -> None:
    empty = History()
    assert empty.past is None
    assert empty.latest is None
    assert empty.slow == ()


@pytest.mark.parametrize(("snapshots", "slow"), [(0, 1), (1, -1)])
def test_impossible_limits(snapshots: int, slow: int) -> None:
    with pytest.raises(ValueError, match="keeps at least"):
        History(snapshots, slow)


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
    kept = History(keep_snapshots=3, keep_slow=4)
    for second in range(1, 6):
        kept.append(snapshot([Calls("read", second)], [Slow("read", second)] * 2, second=second))
    past = kept.past
    assert past is not None
    assert [rates[READ] for rates in past.rates(Filter(), 10)] == [3.0, 4.0, 5.0]
    assert [rates[READ] for rates in past.rates(Filter(), 2)] == [4.0, 5.0]
    assert [call.duration_ns for call in kept.slow] == [5, 5, 4, 4]
    assert kept.latest is past.snapshot


def test_the_oldest_go_where_memory_is_short() -> None:
    size = Counts(0, snapshot([Calls("read", 1)]).calls).size
    kept = History(max_bytes=3 * size)
    for second in range(1, 6):
        kept.append(snapshot([Calls("read", second)], second=second))
    past = kept.past
    assert past is not None
    assert [rates[READ] for rates in past.rates(Filter(), 10)] == [3.0, 4.0, 5.0]
    # One of many processes takes the room of all others, and is kept whatever it takes.
    kept.append(snapshot([Calls("read", 1, pid=pid) for pid in range(1, 500)], second=6))
    past = kept.past
    assert past is not None
    assert past.rates(Filter(), 10) == [{READ: 499.0}]


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
