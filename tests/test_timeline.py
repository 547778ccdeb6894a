"""When intervals were: which are in a window, and the rate over time; all held against loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysdash.timeline import Timeline, Window, edges

BEGIN_NS = 1_700_000_000_000_000_000
DAY_NS = 86_400_000_000_000


def timeline(made: list[tuple[int, int, int]], begin_ns: int = BEGIN_NS) -> Timeline:
    """Intervals as (gap before, length, calls), in ns."""
    ends, at = [], begin_ns
    for gap, length, _ in made:
        at += gap + length
        ends.append(at)
    lengths = [length for _, length, _ in made]
    calls = [calls for _, _, calls in made]
    none = np.zeros(len(made), dtype=np.int64)
    return Timeline(
        np.array(ends, dtype=np.int64),
        np.array(lengths, dtype=np.int64),
        np.array(calls, dtype=np.int64),
        none,
        none,
    )


intervals = st.lists(
    st.tuples(st.sampled_from([0, 0, 0, 1, 7, 50]), st.integers(1, 30), st.integers(0, 1000)),
    min_size=1,
    max_size=12,
)
moments = st.integers(BEGIN_NS - 40, BEGIN_NS + 500)


def window(one: int, other: int) -> Window:
    return Window(min(one, other), max(one, other))


@given(st.integers(1, 300), moments, moments)
def test_edges_divide_a_window_evenly(columns: int, one: int, other: int) -> None:
    whole = window(one, other)
    at = edges(whole, columns).tolist()
    assert (at[0], at[-1], len(at)) == (whole.begin_ns, whole.end_ns, columns + 1)
    lengths = [after - before for before, after in pairwise(at)]
    assert max(lengths) - min(lengths) <= 1


@given(st.integers(1, 300))
def test_edges_of_centuries_are_whole_ns_too(columns: int) -> None:
    at = edges(Window(0, 2**63 - 1), columns).tolist()
    assert at == sorted(at)
    assert at[-1] == 2**63 - 1


@given(intervals, moments)
def test_a_time_is_in_the_interval_around_it_or_in_the_last_before(
    made: list[tuple[int, int, int]], time_ns: int
) -> None:
    times = timeline(made)
    pairs = list(zip(times.begin_ns.tolist(), times.end_ns.tolist(), strict=True))
    around = [i for i, (begin, end) in enumerate(pairs) if begin < time_ns <= end]
    before = [i for i, (_, end) in enumerate(pairs) if end < time_ns]
    assert times.at(time_ns) == (around or before[-1:] or [0])[0]


@given(intervals, moments, moments)
def test_inside_a_window_are_those_that_end_in_it(
    made: list[tuple[int, int, int]], one: int, other: int
) -> None:
    times, asked = timeline(made), window(one, other)
    assert list(times.inside(asked)) == [
        i for i, end in enumerate(times.end_ns.tolist()) if asked.holds(end)
    ]


@given(intervals, moments, moments)
def test_a_whole_window_begins_and_ends_with_its_intervals(
    made: list[tuple[int, int, int]], one: int, other: int
) -> None:
    times, asked = timeline(made), window(one, other)
    whole = times.whole(asked)
    inside = list(times.inside(asked)) or [times.at(asked.end_ns)]
    assert list(times.inside(whole)) == inside
    assert whole.begin_ns == times.begin_ns[inside[0]]
    assert whole.end_ns == times.end_ns[inside[-1]]
    assert times.whole(whole) == whole


def slow_rates(times: Timeline, asked: Window, columns: int) -> list[float | None]:
    """The same by loops and whole numbers, None where nothing is known."""
    result: list[float | None] = []
    for low, high in pairwise(edges(asked, columns).tolist()):
        happened, known = 0.0, 0
        for begin, end, calls in zip(
            times.begin_ns.tolist(), times.end_ns.tolist(), times.calls.tolist(), strict=True
        ):
            shared = max(0, min(end, high) - max(begin, low))
            happened += calls * shared / (end - begin)
            known += shared
        result.append(happened / known * 1e9 if known else None)
    return result


@given(intervals, moments, moments, st.integers(1, 40))
def test_rates_are_what_each_piece_of_time_has(
    made: list[tuple[int, int, int]], one: int, other: int, columns: int
) -> None:
    times, asked = timeline(made), window(one, other)
    rates = times.rates(asked, columns)
    wanted = slow_rates(times, asked, columns)
    assert np.isnan(rates).tolist() == [value is None for value in wanted]
    for got, value in zip(rates.tolist(), wanted, strict=True):
        if value is not None:
            assert got == pytest.approx(value, rel=1e-6, abs=1e-3)


@given(intervals, st.integers(1, 40))
def test_rates_over_all_of_it_have_every_call(
    made: list[tuple[int, int, int]], columns: int
) -> None:
    together = [(0, length, calls) for _, length, calls in made]
    times = timeline(together)
    rates = times.rates(times.span, columns)
    lengths = np.diff(edges(times.span, columns))
    assert np.nansum(rates * lengths / 1e9) == pytest.approx(times.calls.sum())


def test_a_short_window_at_the_end_of_a_long_history_is_exact() -> None:
    made = [(0, 1_000_000_000, 9_000_000_000)] * 86_400 + [(0, 1_000_000_000, 3)]
    times = timeline(made)
    end = times.span.end_ns
    assert times.rates(Window(end - 1_000_000_000, end), 5).tolist() == pytest.approx([3.0] * 5)
    assert times.rates(Window(end - 10, end), 5).tolist() == pytest.approx([3.0] * 5)


def test_a_gap_of_days_does_not_hide_the_ends() -> None:
    times = timeline([(0, 10**9, 50), (30 * DAY_NS, 10**9, 70)])
    rates = times.rates(times.span, 100)
    assert np.isnan(rates[1:-1]).all()
    assert rates[[0, -1]].tolist() == pytest.approx([50, 70])


def test_an_interval_of_no_length_is_somewhere_all_the_same() -> None:
    times = timeline([(0, 10, 5), (10, 0, 7)])
    end = times.span.end_ns
    assert times.at(end) == 1
    assert times.rates(Window(end - 1, end), 1).tolist() == [7e9]


def test_clocks_that_were_set_back_leave_no_interval_before_the_one_before_it() -> None:
    times = timeline([(0, 100, 5), (-40, 60, 5)])
    assert times.begin_ns.tolist() == [BEGIN_NS, BEGIN_NS + 100]
    assert times.span == Window(BEGIN_NS, BEGIN_NS + 120)


@pytest.mark.parametrize("columns", [0, 1, 7])
def test_nothing_is_known_of_an_empty_history(columns: int) -> None:
    times = timeline([])
    assert times.span == Window(0, 0)
    assert list(times.inside(Window(0, 100))) == []
    assert np.isnan(times.rates(Window(0, 100), columns)).tolist() == [True] * columns


@given(intervals, moments)
def test_a_window_of_no_length_has_no_rate(made: list[tuple[int, int, int]], time_ns: int) -> None:
    assert np.isnan(timeline(made).rates(Window(time_ns, time_ns), 3)).all()
