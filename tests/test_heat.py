"""Latency over time: what is added up, held against loops."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import Calls, nr, snapshot
from test_timeline import BEGIN_NS, intervals, moments, timeline, window

from sysdash import heat
from sysdash.buckets import bucket_of
from sysdash.heat import STEP_EDGES_NS, STEPS, Heat, HeatTally, used
from sysdash.model import Filter, Syscall, Table, view
from sysdash.timeline import Timeline, Window, edges

READ = Syscall(nr("read"))
S = 1_000_000_000


def table(*calls: Calls, length_ns: int = S, shown: Filter | None = None) -> Table:
    """The calls of an interval, as the filter shows them."""
    return view(snapshot(calls, interval_ns=length_ns), shown or Filter()).calls


def step_of(latency_ns: int) -> int:
    return next(i for i, high in enumerate(STEP_EDGES_NS[1:]) if latency_ns < high)


def latencies(number: int) -> list[int]:
    """The latencies of the calls of an interval, by its number."""
    random = Random(number)
    return [round(2 ** random.uniform(2, 40)) for _ in range(random.randrange(4))]


def filled(times: Timeline, numbers: range | list[int] | None = None) -> HeatTally:
    """A tally of a timeline's intervals, or of some of them."""
    tally = HeatTally(READ, Filter())
    for i in range(len(times)) if numbers is None else numbers:
        calls = [Calls("read", i + 1, latency) for latency in latencies(i)]
        length = int(times.length_ns[i])
        assert tally.add(int(times.end_ns[i]), table(*calls, length_ns=length))
    return tally


def steps_of(numbers: list[int]) -> list[int]:
    """The calls of some intervals by step."""
    result = [0] * STEPS
    for i in numbers:
        for latency in latencies(i):
            result[step_of(latency)] += i + 1
    return result


def slow_heat(times: Timeline, asked: Window, columns: int) -> list[list[int]]:
    """The numbers of the intervals that each column shows, by loops."""
    shown = list(times.inside(asked))
    if not shown:
        place = times.at(asked.end_ns)
        around = times.begin_ns[place] < asked.end_ns <= times.end_ns[place]
        shown = [place] if around else []
    result: list[list[int]] = []
    for low, high in pairwise(edges(asked, columns).tolist()):
        ending = [i for i in shown if low < times.end_ns[i] <= high]
        around = [i for i in shown if times.begin_ns[i] < high < times.end_ns[i]]
        if len(ending) > 1 and result and result[-1] == ending[:1]:
            ending = ending[1:]
        result.append(ending or around)
    return result


def test_steps_are_octaves_and_what_is_beyond_them() -> None:
    assert STEP_EDGES_NS[:4] == (0, 64, 128, 256)
    assert STEP_EDGES_NS[-2] == 2**37
    assert len(STEP_EDGES_NS) == STEPS + 1
    random = Random(1)
    for latency in [1, 63, 64, 127, 128, 2**37 - 1, 2**37, *(random.randrange(2**39),) * 40]:
        tally = HeatTally(READ, Filter())
        tally.add(S, table(Calls("read", 3, latency)))
        made = tally.heat(timeline([(0, S, 3)], 0), Window(0, S), 1)
        assert made.counts[0, step_of(latency)] == made.counts.sum() == 3
        assert bucket_of(latency) >= 0


@settings(deadline=None)
@given(intervals, moments, moments, st.integers(1, 40))
def test_columns_are_what_loops_add_up(
    made: list[tuple[int, int, int]], one: int, other: int, columns: int
) -> None:
    times, asked = timeline(made), window(one, other)
    got = filled(times).heat(times, asked, columns)
    assert (got.columns, got.missing) == (columns, 0)
    for column, numbers in enumerate(slow_heat(times, asked, columns)):
        assert got.counts[column].tolist() == steps_of(numbers)
        assert got.covered_ns[column] == times.length_ns[numbers].sum()
        if numbers:
            assert got.begin_ns[column] == times.begin_ns[numbers[0]]
            assert got.end_ns[column] == times.end_ns[numbers[-1]]
        else:
            low, high = edges(asked, columns)[column : column + 2]
            assert (got.begin_ns[column], got.end_ns[column]) == (low, high)


@settings(deadline=None)
@given(intervals, moments, moments, st.integers(1, 40))
def test_all_of_a_window_is_every_call_in_it_once(
    made: list[tuple[int, int, int]], one: int, other: int, columns: int
) -> None:
    times, asked = timeline(made), window(one, other)
    got = filled(times).heat(times, asked, columns)
    inside = list(times.inside(asked))
    assert got.intervals == max(len(inside), int(got.covered_ns.any()))
    if inside:
        assert got.calls(range(columns), range(STEPS)) == sum(steps_of(inside))


@settings(deadline=None)
@given(intervals, st.integers(1, 30), st.data())
def test_a_part_of_it_is_what_its_time_shows_by_itself(
    made: list[tuple[int, int, int]], columns: int, data: st.DataObject
) -> None:
    times = timeline(made)
    tally = filled(times)
    got = tally.heat(times, times.span, columns)
    first = data.draw(st.integers(0, columns - 1))
    part = range(first, data.draw(st.integers(first + 1, columns)))
    low = data.draw(st.integers(0, STEPS - 1))
    steps = range(low, data.draw(st.integers(low + 1, STEPS)))
    if got.covered_ns[part.start : part.stop].any():
        alone = tally.heat(times, got.time(part), 1)
        assert alone.counts[0, steps.start : steps.stop].sum() == got.calls(part, steps)


@settings(deadline=None)
@given(intervals, st.integers(1, 20), st.data())
def test_intervals_that_are_not_added_yet_are_counted_as_missing(
    made: list[tuple[int, int, int]], columns: int, data: st.DataObject
) -> None:
    times = timeline(made)
    some = data.draw(st.lists(st.integers(0, len(made) - 1), unique=True))
    tally = filled(times, some)
    rest = [i for i in range(len(made)) if i not in some]
    assert tally.missing(times, times.span) == rest[::-1]
    got = tally.heat(times, times.span, columns)
    assert (got.intervals, got.missing) == (len(made), len(rest))
    for column, numbers in enumerate(slow_heat(times, times.span, columns)):
        there = [i for i in numbers if i in some]
        assert got.counts[column].tolist() == steps_of(there)
        assert got.covered_ns[column] == times.length_ns[there].sum()
    assert all(tally.known(int(times.end_ns[i])) == (i in some) for i in range(len(made)))


@settings(deadline=None)
@given(intervals, st.data())
def test_intervals_that_were_merged_since_are_what_their_parts_were(
    made: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    made = [(0, length, calls) for _, length, calls in made]
    times = timeline(made)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(made)))) | {len(made)})
    groups = [range(low, high) for low, high in pairwise([0, *cuts]) if high > low]
    lost = data.draw(st.sets(st.integers(0, len(made) - 1)))
    tally = filled(times, [i for i in range(len(made)) if i not in lost])
    merged = timeline(
        [(0, sum(made[i][1] for i in group), sum(made[i][2] for i in group)) for group in groups]
    )
    whole = [not lost & set(group) for group in groups]
    assert tally.missing(merged, merged.span) == [
        i for i in reversed(range(len(groups))) if not whole[i]
    ]
    for i, group in enumerate(groups):
        alone = Window(int(merged.begin_ns[i]), int(merged.end_ns[i]))
        wanted = steps_of(list(group)) if whole[i] else [0] * STEPS
        assert tally.heat(merged, alone, 1).counts[0].tolist() == wanted
    # What is added again as a whole takes the place of its parts.
    for i, group in enumerate(groups):
        if not whole[i]:
            calls = [Calls("read", j + 1, latency) for j in group for latency in latencies(j)]
            tally.add(int(merged.end_ns[i]), table(*calls, length_ns=int(merged.length_ns[i])))
    got = tally.heat(merged, merged.span, 1)
    assert got.missing == 0
    assert got.counts[0].tolist() == steps_of(list(range(len(made))))


@settings(deadline=None)
@given(intervals, moments, moments, st.integers(1, 40), st.integers(1, 40))
def test_another_number_of_columns_is_as_if_it_had_been_asked_for(
    made: list[tuple[int, int, int]], one: int, other: int, before: int, after: int
) -> None:
    times, asked = timeline(made), window(one, other)
    resized = filled(times).heat(times, asked, before).resized(after)
    wanted = filled(times).heat(times, asked, after)
    for name in ("counts", "covered_ns", "begin_ns", "end_ns"):
        assert getattr(resized, name).tolist() == getattr(wanted, name).tolist()


def test_what_is_added_later_shows_the_next_time() -> None:
    times = timeline([(0, S, 1)] * 4)
    tally = filled(times, range(3))
    before = tally.heat(times, times.span, 4)
    assert tally.heat(times, times.span, 4) is before
    tally.add(int(times.end_ns[3]), table(Calls("read", 7)))
    assert (before.missing, before.counts[3].sum()) == (1, 0)
    assert tally.missing(times, times.span) == []
    after = tally.heat(times, times.span, 4)
    assert (after.missing, after.counts[3].sum()) == (0, 7)


@settings(deadline=None)
@given(intervals, st.data())
def test_the_order_in_which_intervals_are_added_does_not_matter(
    made: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    times = timeline(made)
    wanted = filled(times).heat(times, times.span, 9)
    tally = HeatTally(READ, Filter())
    for i in data.draw(st.permutations(range(len(made)))):
        calls = [Calls("read", i + 1, latency) for latency in latencies(i)]
        tally.add(int(times.end_ns[i]), table(*calls, length_ns=int(times.length_ns[i])))
        if data.draw(st.booleans()):
            tally.heat(times, times.span, 9)
    assert tally.heat(times, times.span, 9).counts.tolist() == wanted.counts.tolist()


def test_only_the_calls_asked_for_are_counted() -> None:
    calls = (
        Calls("read", 5, 1000),
        Calls("read", 7, 1000, errno=11),
        Calls("write", 11, 1000),
        Calls("read", 13, None),
        Calls("read", 17, 1000, abi=1),
    )
    times = timeline([(0, S, 53)])

    def counted(errno: int | None, shown: Filter) -> int:
        tally = HeatTally(READ, shown, errno)
        assert tally.of == (READ, shown, errno)
        tally.add(int(times.end_ns[0]), table(*calls, shown=shown))
        return int(tally.heat(times, times.span, 1).counts.sum())

    assert counted(None, Filter()) == 12
    assert counted(11, Filter()) == 7
    assert counted(0, Filter()) == 5
    assert counted(None, Filter(pid=999)) == 0


def test_an_interval_without_calls_is_known() -> None:
    times = timeline([(0, S, 0)])
    tally = HeatTally(READ, Filter())
    tally.add(int(times.end_ns[0]), table())
    got = tally.heat(times, times.span, 3)
    assert (got.missing, got.counts.sum()) == (0, 0)
    assert got.covered_ns.tolist() == [S] * 3


def test_more_calls_than_32_bits_can_count() -> None:
    times = timeline([(0, S, 0)])
    tally = HeatTally(READ, Filter())
    calls = [Calls("read", 4_000_000_000, 1000, pid=pid) for pid in (1, 2, 3)]
    tally.add(int(times.end_ns[0]), table(*calls))
    assert tally.heat(times, times.span, 1).counts.sum() == 12_000_000_000


def test_lengths_that_no_float_has_exactly_are_known_all_the_same() -> None:
    length = 100 * 365 * 86_400 * S + 1
    times = timeline([(0, length, 1)], 0)
    tally = filled(times)
    assert round(length / 1e9 * 1e9) != length
    assert tally.missing(times, times.span) == []


def test_nothing_at_all() -> None:
    times = timeline([])
    tally = HeatTally(READ, Filter())
    got = tally.heat(times, Window(0, 10), 4)
    assert (got.intervals, got.missing, got.counts.sum()) == (0, 0, 0)
    assert tally.missing(times, Window(0, 10)) == []
    assert used(got.counts) == range(0)


def test_a_full_tally_keeps_to_what_was_last_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heat, "MOST_INTERVALS", 10)
    times = timeline([(0, S, 1)] * 20)
    tally = filled(times, list(range(10)))
    got = tally.heat(times, times.span, 5)
    assert (got.missing, got.full) == (10, True)
    assert not tally.add(int(times.end_ns[15]), table())
    # A shorter window makes room.
    late = Window(int(times.begin_ns[5]), int(times.end_ns[14]))
    assert not tally.heat(times, late, 5).full
    for i in tally.missing(times, late):
        assert tally.add(int(times.end_ns[i]), table(Calls("read", 1)))
    got = tally.heat(times, late, 5)
    assert (got.missing, got.full, len(tally)) == (0, False, 10)


def test_what_the_history_has_no_more_is_let_go() -> None:
    times = timeline([(0, S, 1)] * 8)
    tally = filled(times, range(6))
    tally.heat(times, times.span, 5)
    later = Timeline(*(values[4:] for values in (
        times.end_ns, times.length_ns, times.calls, times.errors, times.slow,
    )))  # fmt: skip
    tally.add(int(times.end_ns[6]), table())
    assert tally.missing(later, later.span) == [3]
    assert len(tally) == 3


def test_used_steps() -> None:
    counts = np.zeros((3, STEPS), dtype=np.int64)
    counts[0, 4] = counts[2, 9] = 1
    assert used(counts) == range(4, 10)


def test_the_time_of_columns_is_that_of_their_intervals() -> None:
    times = timeline([(0, 10, 1), (0, 10, 1)])
    got: Heat = filled(times).heat(times, times.span, 8)
    assert got.time(range(1, 2)) == Window(BEGIN_NS, BEGIN_NS + 10)
    assert got.time(range(3, 5)) == Window(BEGIN_NS, BEGIN_NS + 20)
