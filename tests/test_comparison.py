"""What has changed between two pieces of time, and what of it is called noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from synthetic import SECOND_NS, START_NS, Calls, many, nr, rows, sample

from sysdash import tally
from sysdash.aggregates import Accumulator
from sysdash.buckets import EDGES_NS
from sysdash.comparison import BY, LEAST_NEW, SORTS, Change, Comparison, compare
from sysdash.model import Table, derive, quantile_ns, table_of
from sysdash.records import ROW, Rows
from sysdash.significance import (
    Series,
    binomial_two_sided,
    differences,
    false_discoveries,
    incomplete_beta,
    least_possible,
    student_two_sided,
)
from sysdash.tally import BLOCKS, Tally

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def tallied(
    intervals: Sequence[Sequence[Calls]], by: Sequence[str] = BY, length_s: float = 1.0
) -> Tally:
    """These calls, one interval after the other."""
    result = Tally(by)
    for second, calls in enumerate(intervals, 1):
        result.add(table_of(rows(calls), length_s), START_NS + round(second * length_s * SECOND_NS))
    return result


def steady(seconds: int, *calls: Calls) -> list[list[Calls]]:
    """The same calls in every interval."""
    return [[*calls] for _ in range(seconds)]


def poisson(seed: int, seconds: int, mean: float, calls: Calls) -> list[list[Calls]]:
    """Independent calls, so many a second on average."""
    counts = np.random.default_rng(seed).poisson(mean, seconds)
    return [[replace(calls, count=int(count))] if count else [] for count in counts]


def only(found: Comparison) -> Change:
    """Its single row."""
    (change,) = found.rows(found.order().tolist())
    return change


# --- Distributions, against exact ones ---


@pytest.mark.parametrize(
    ("t", "freedom", "probability"),
    [
        # Exact for 1, 2 and 4 degrees of freedom: arctan, and rational functions of t.
        (1.0, 1, 0.5),
        (3.0, 1, 1 - 2 / math.pi * math.atan(3.0)),
        (2.0, 2, 1 - 2 / math.sqrt(2 + 4)),
        (50.0, 2, 1 - 50 / math.sqrt(2 + 2500)),
        # Tables of critical values.
        (2.228139, 10, 0.05),
        (4.587, 10, 0.001),
        (2.0395, 31, 0.05),
        (1.962339, 1000, 0.05),
        (1.959963985, math.inf, 0.05),
    ],
)
def test_student_is_as_in_the_tables(t: float, freedom: float, probability: float) -> None:
    found = student_two_sided(np.array([t, -t]), np.array([freedom, freedom], dtype=float))
    assert found == pytest.approx(probability, rel=5e-4)


def test_student_is_the_integral_of_its_density() -> None:
    for t, freedom in ((0.3, 3.7), (2.5, 7.3), (5.0, 29.5)):
        x = np.linspace(0, t, 20_001)
        log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
        density = np.exp(log_scale) / math.sqrt(freedom * math.pi)
        inside = 2 * np.trapezoid(density * (1 + x * x / freedom) ** (-(freedom + 1) / 2), x)
        (found,) = student_two_sided(np.array([t]), np.array([freedom]))
        assert found == pytest.approx(1 - inside, abs=1e-7)


@pytest.mark.parametrize("trials", [1, 2, 7, 40, 300])
def test_the_binomial_test_is_the_sum_of_its_terms(trials: int) -> None:
    share = Fraction(3, 10)
    terms = [
        math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)
    ]
    successes = np.arange(trials + 1, dtype=float)
    found = binomial_two_sided(
        successes, np.full(trials + 1, float(trials)), np.full(trials + 1, 0.3)
    )
    for k in range(trials + 1):
        tail = min(sum(terms[: k + 1]), sum(terms[k:]))
        assert found[k] == pytest.approx(float(min(2 * tail, 1)), rel=1e-9)


def test_the_incomplete_beta_function_is_exact_where_it_is_a_polynomial() -> None:
    # I_x(a, 1) = x^a and I_x(1, b) = 1 - (1 - x)^b (DLMF 8.17.7 with one parameter 1).
    x = np.linspace(0.001, 0.999, 50)
    for a in (0.5, 1.0, 31.5, 1000.0):
        ones = np.ones(50)
        assert incomplete_beta(np.full(50, a), ones, x) == pytest.approx(x**a, rel=1e-9, abs=0)
        assert incomplete_beta(ones, np.full(50, a), x) == pytest.approx(
            1 - (1 - x) ** a, abs=1e-12
        )


def test_so_few_events_can_tell_nothing() -> None:
    half = np.full(3, 0.5)
    found = least_possible(np.array([0.0, 1.0, 8.0]), half)
    assert found.tolist() == pytest.approx([1.0, 1.0, 2 * 0.5**8])
    (as_tested,) = binomial_two_sided(np.array([8.0]), np.array([8.0]), np.array([0.5]))
    assert as_tested == pytest.approx(found[2])


def test_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    # The example of their paper, 15 tests at 5%: the four smallest are significant.
    p = np.array(
        [
            *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
            *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
        ]
    )
    shuffled = np.random.default_rng(1).permutation(p)
    assert sorted(shuffled[false_discoveries(shuffled, 0.05)]) == p[:4].tolist()
    assert not false_discoveries(np.ones(3), 0.05).any()
    assert false_discoveries(np.zeros(0), 0.05).tolist() == []


# --- The test of two series ---


def bursty(
    seed: int, many_rows: int, seconds: int, *, lasting_s: float, mean: float = 50
) -> Floats:
    """Calls a second of stationary processes whose activity comes and goes; its logarithm is AR(1).

    Its standard deviation is about 80% of the mean.
    """
    random = np.random.default_rng(seed)
    keeps = math.exp(-1 / lasting_s)
    level = random.standard_normal(many_rows)
    counts = np.empty((many_rows, seconds))
    for second in range(seconds):
        counts[:, second] = random.poisson(mean * np.exp(0.7 * level - 0.7**2 / 2))
        level = keeps * level + math.sqrt(1 - keeps**2) * random.standard_normal(many_rows)
    return counts


def chances(before: Floats, after: Floats) -> Floats:
    """Of two series of counts a second."""
    return differences(
        Series(before, np.ones((1, before.shape[1]))), Series(after, np.ones((1, after.shape[1])))
    )


def test_it_is_welchs_test_where_blocks_are_independent() -> None:
    # Large counts that alternate: no correlation, and far more scatter than Poisson's.
    before = np.array([[900.0, 1100, 1000, 1200, 800, 1050, 950, 1010, 880, 1130]])
    after = np.array([[1500.0, 1100, 1600, 1200, 1450, 1250, 1550, 1000]])
    a, b = before[0], after[0]
    error = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    t = (b.mean() - a.mean()) / math.sqrt(sum(error))
    freedom = sum(error) ** 2 / (error[0] ** 2 / (len(a) - 1) + error[1] ** 2 / (len(b) - 1))
    expected = student_two_sided(np.array([t]), np.array([freedom]))
    assert chances(before, after) == pytest.approx(expected)


def test_bursts_that_last_make_blocks_count_for_less() -> None:
    other = np.full((1, 24), 2500.0)
    apart = np.tile([[1000.0, 1000, 3000, 3000]], 6)
    lasting = np.sort(apart)
    assert apart.mean() == lasting.mean()
    assert chances(lasting, other) > 10 * chances(apart, other)


@pytest.mark.parametrize(
    ("seconds", "lasting_s", "most"),
    # The rates that were measured are 0.004, 0.0035, 0.005 and 0.006.
    [(20, 1.0, 0.012), (60, 1.0, 0.01), (60, 5.0, 0.01), (300, 5.0, 0.01)],
)
def test_one_in_a_hundred_stationary_processes_seems_to_change_at_the_level_of_one_percent(
    seconds: int, lasting_s: float, most: float
) -> None:
    series = [bursty(seed, 4000, seconds, lasting_s=lasting_s) for seed in (1, 2)]
    blocked = [_in_blocks(each) for each in series]
    exposures = [np.full((1, each.shape[1]), seconds / each.shape[1]) for each in blocked]
    found = differences(*(Series(x, e) for x, e in zip(blocked, exposures, strict=True)))
    assert 0 < (found < 0.01).mean() <= most


def _in_blocks(counts: Floats) -> Floats:
    """As :class:`sysdash.tally.Tally` does it, for lengths that its blocks divide."""
    size = 1
    while counts.shape[1] / size > BLOCKS:
        size *= 2
    whole = counts.shape[1] // size * size
    blocks: Floats = counts[:, :whole].reshape(len(counts), -1, size).sum(axis=2)
    return blocks


def test_without_times_to_look_at_only_counts_decide() -> None:
    one = [np.array([[float(n)]]) for n in (100, 100, 400, 0, 1, 0)]
    same, more, gone = (
        chances(*pair) for pair in ((one[0], one[1]), (one[0], one[2]), (one[4], one[5]))
    )
    assert same == 1
    assert more < 1e-20
    assert gone == 1


def test_a_single_interval_varies_as_the_other_side_does() -> None:
    before = bursty(3, 2000, 30, lasting_s=0.2)
    after = bursty(4, 2000, 1, lasting_s=0.2)
    # Not a Poisson process's 0.01, which would call most of them changed.
    assert (chances(before, after) < 0.01).mean() < 0.05
    assert (chances(before[:, :1], after) < 0.01).mean() > 0.5


# --- Adding up ---


def test_all_that_happened_is_in_the_blocks() -> None:
    samples = [many(300, seed) for seed in range(90)]
    accumulator, summed = Accumulator(BY), Tally(BY)
    for second, each in enumerate(samples, 1):
        snapshot = derive(replace(sample(second=second), rows=each))
        accumulator.add(snapshot)
        summed.add(snapshot.calls, snapshot.time_ns)
    whole = accumulator.take()
    assert whole is not None
    found = compare(summed, tallied(steady(5))).before.calls
    assert by_key(found) == by_key(whole.calls)
    assert summed.seconds == pytest.approx(90)
    assert summed.window is not None
    assert summed.window.length_ns == 90 * SECOND_NS


def by_key(table: Table) -> dict[tuple[int, bytes], list[object]]:
    """All that is known of each row."""
    numbers = ("count", "errors", "timed", "total_ns", "off_ns", "min_ns", "max_ns")
    return {
        (int(table.nr[i]), bytes(table.comm[i])): [
            *(int(getattr(table, name)[i]) for name in numbers),
            pytest.approx(float(table.squares[i]), rel=1e-12),
            *table.hist[i].tolist(),
        ]
        for i in range(len(table))
    }


def test_calls_without_times_do_not_make_a_minimum_of_zero() -> None:
    calls = [Calls("read", 3, 400), Calls("read", 2, None)]
    table = compare(tallied(steady(40, *calls)), tallied(steady(3))).before.calls
    assert (table.min_ns.tolist(), table.max_ns.tolist()) == ([400], [400])
    assert (table.count.tolist(), table.timed.tolist()) == ([200], [120])


@pytest.mark.parametrize("intervals", [1, 5, 31, 32, 33, 64, 65, 100, 127, 1000])
def test_blocks_are_few_and_of_about_one_length(intervals: int) -> None:
    blocks = tallied(steady(intervals, Calls("read", 2))).blocks()
    lengths = [block.intervals for block in blocks]
    assert sum(lengths) == intervals
    assert sum(int(block.sums.count.sum()) for block in blocks) == 2 * intervals
    assert min(intervals, BLOCKS // 2) <= len(blocks) <= BLOCKS
    assert len(set(lengths[:-1])) <= 1
    assert lengths[0] / 2 <= lengths[-1] < lengths[0] * 2


def test_looking_at_blocks_does_not_change_them() -> None:
    once, twice = (tallied(steady(33, Calls("read", 2))) for _ in range(2))
    twice.blocks()
    for each in (once, twice):
        each.add(table_of(rows([Calls("read", 7)]), 1.0), START_NS + 34 * SECOND_NS)
    assert [b.sums.count.tolist() for b in once.blocks()] == [
        b.sums.count.tolist() for b in twice.blocks()
    ]


def test_a_long_time_of_few_calls_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[int] = []
    merged = tally.merged

    def counted(some: Sequence[tally.Sums], by: Sequence[str]) -> object:
        parts.append(len(some))
        return merged(some, by)

    monkeypatch.setattr(tally, "merged", counted)
    one, summed = table_of(rows([Calls("read", 2)]), 1.0), Tally(BY)
    for second in range(1, 40_001):
        summed.add(one, START_NS + second * SECOND_NS)
    assert max(parts) <= 501
    assert len(summed.blocks()) <= BLOCKS
    assert sum(int(block.sums.count.sum()) for block in summed.blocks()) == 80_000


def test_rare_rows_make_room_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_ROWS", 3)
    calls = [Calls("read", 10 * n, comm=f"p{n}".encode()) for n in range(1, 6)]
    found = compare(tallied(steady(8, *calls)), tallied(steady(8, *calls)))
    assert sorted(found.before.calls.comm.tolist()) == [b"p3", b"p4", b"p5"]
    assert found.left_out == 2 * 8 * (10 + 20)
    again = tallied(steady(65, *calls))
    assert len({compare(again, again).left_out for _ in range(3)}) == 1
    assert found.before.calls.hist.sum() == 8 * (30 + 40 + 50)


# --- What has changed ---


def load(seed: int, seconds: int, scale: Floats, slower: float = 1.0) -> Tally:
    """Many rows of a bursty machine; each one's rate times its scale, all latencies longer."""
    random = np.random.default_rng(seed)
    counts = bursty(seed, len(scale), seconds, lasting_s=1.0, mean=60)
    result = Tally(BY)
    table: Rows = np.zeros(len(scale), dtype=ROW)
    table["nr"] = np.arange(len(scale)) % 60
    table["comm"] = [f"p{i // 60}".encode() for i in range(len(scale))]
    table["min_ns"], table["max_ns"] = 1, 1 << 40
    for second in range(seconds):
        n = random.poisson(counts[:, second] * scale)
        own = np.repeat(np.arange(len(scale)), n)
        took = np.exp(8 + math.log(slower) + 0.8 * random.standard_normal(len(own)))
        bucket = np.searchsorted(EDGES_NS[:-1], took, side="right") - 1
        table["hist"] = np.bincount(own * 128 + bucket, minlength=len(scale) * 128).reshape(-1, 128)
        table["count"] = n
        table["total_ns"] = np.bincount(own, took, minlength=len(scale)).astype(np.uint64)
        table["squares_low"] = np.bincount(own, took**2, minlength=len(scale)).astype(np.uint64)
        result.add(table_of(table[n > 0], 1.0), START_NS + second * SECOND_NS)
    return result


@pytest.mark.parametrize("seconds", [20, 60])
def test_a_machine_that_only_goes_up_and_down_has_not_changed(seconds: int) -> None:
    # 3 comparisons of 180 rows of 5 numbers: measured are 0 rows that are called changed.
    flagged = 0
    for seed in range(3):
        found = compare(*(load(10 * seed + side, seconds, np.ones(180)) for side in (1, 2)))
        assert found.seen
        flagged += len(found) - int(found.noise.sum())
    assert flagged <= 0.005 * 3 * 180


def test_a_rate_of_twenty_percent_more_is_found() -> None:
    steadily = [poisson(s, 60, mean, Calls("read", 1)) for s, mean in ((1, 100), (2, 120))]
    change = only(compare(*map(tallied, steadily)))
    assert "rate" in change.changed
    assert change.relative("rate") == pytest.approx(0.2, abs=0.05)
    # Of calls that take equally long.
    assert "total" in change.changed
    assert not {"errors", "p50", "p99"} & change.changed


def test_nearly_all_rates_of_twenty_percent_more_are_found_among_many() -> None:
    random = np.random.default_rng(5)
    tallies = []
    for scale in (1.0, 1.2):
        mean = np.where(np.arange(200) < 20, 100 * scale, 100)
        names = [Calls("read", 1, comm=f"p{i}".encode()) for i in range(200)]
        tallies.append(
            tallied(
                [
                    [
                        replace(c, count=int(n))
                        for c, n in zip(names, random.poisson(mean), strict=True)
                    ]
                    for _ in range(60)
                ]
            )
        )
    result = compare(*tallies)
    more = np.array([int(name[1:]) < 20 for name in result.before.calls.comm.tolist()])
    found = int(result.changed["rate"][more].sum())
    assert found >= 19
    assert int((~result.noise[~more]).sum()) <= 1


def test_slower_calls_are_found_though_the_load_goes_up_and_down() -> None:
    found = compare(load(1, 60, np.ones(180)), load(2, 60, np.ones(180), slower=2.0))
    assert found.changed["p50"].mean() > 0.95
    assert found.changed["p99"].mean() > 0.6
    assert found.changed["rate"].mean() < 0.02


def tail(seed: int, seconds: int, slow_ns: int) -> list[list[Calls]]:
    """A hundred calls a second, of which three are slow or so."""
    counts = np.random.default_rng(seed).binomial(100, 0.03, seconds)
    return [
        [Calls("read", 100 - int(n), 400), *([Calls("read", int(n), slow_ns)] if n else [])]
        for n in counts
    ]


def test_a_doubled_p99_is_found_where_the_median_stays() -> None:
    change = only(compare(tallied(tail(1, 60, 50_000)), tallied(tail(2, 60, 100_000))))
    assert {"p99"} <= change.changed <= {"p99", "total"}
    assert change.relative("p99") == pytest.approx(1.0, abs=0.25)


def test_percentiles_in_buckets_that_touch_are_the_same() -> None:
    # 447 ns and 448 ns: at the two sides of an edge, in all calls.
    sides = [tallied(steady(30, Calls("read", 1000, ns))) for ns in (447, 448)]
    assert not only(compare(*sides)).changed


def test_a_latency_that_a_tenth_of_calls_has_now_is_found() -> None:
    # Where the median of both together is that of the calls that are not slow.
    before = steady(30, Calls("read", 1000, 400))
    after = steady(30, Calls("read", 900, 400), Calls("read", 100, 4000))
    change = only(compare(tallied(before), tallied(after)))
    assert "p99" in change.changed
    assert "p50" not in change.changed


def test_errors_that_appear_are_found() -> None:
    before = [[Calls("openat", 20)] for _ in range(30)]
    counts = np.random.default_rng(1).poisson(5, 30)
    after = [[Calls("openat", 20), Calls("openat", int(n), errno=2)] for n in counts]
    change = only(compare(tallied(before), tallied(after)))
    assert "errors" in change.changed
    assert change.values("errors") == pytest.approx((0, counts.mean()))
    assert change.relative("errors") is None


def test_rows_that_come_and_go_are_found() -> None:
    here, there = Calls("read", 50, comm=b"old"), Calls("read", 50, comm=b"new")
    both = Calls("write", 50, comm=b"both")
    found = compare(tallied(steady(20, here, both)), tallied(steady(20, there, both)))
    changes = {change.after.comm: change for change in found.rows(found.order().tolist())}
    assert "rate" in changes["old"].changed
    assert "rate" in changes["new"].changed
    assert changes["both"].noise
    assert changes["old"].values("rate") == (50, 0)
    assert changes["new"].values("p99") == (None, 400)


@pytest.mark.parametrize("seconds", [1, 3, 20, 300])
@pytest.mark.parametrize("times", [1, 2])
def test_a_call_or_two_are_noise(seconds: int, times: int) -> None:
    calls = [[Calls("read", 1, 10_000_000)] if second < times else [] for second in range(seconds)]
    assert only(compare(tallied(calls), tallied(steady(seconds)))).noise
    assert only(compare(tallied(steady(seconds)), tallied(calls))).noise


def burst(count: int, otherwise: int, errno: int = 0) -> Tally:
    """Half a minute with as many calls in one second, and as many in each of the others."""
    return tallied(
        [
            [Calls("read", count if second == 7 else otherwise, errno=errno)]
            if second == 7 or otherwise
            else []
            for second in range(30)
        ]
    )


def test_one_large_burst_of_what_is_there_at_other_times_is_unsteady() -> None:
    change = only(compare(tallied(steady(30, Calls("read", 5))), burst(100_000, 5)))
    assert change.only_unsteady
    assert not change.noise
    assert not change.changed
    assert change.unsteady == {"rate", "total"}


def beside(counts: Sequence[int], others: int) -> Tally:
    """These many calls a second, beside as many others in each, of a hundred programs."""
    rest = [Calls("write", others // 100, comm=b"p%d" % at) for at in range(100)]
    return tallied([[*rest, Calls("read", count)] for count in counts])


@pytest.mark.parametrize(
    ("burst_of", "others", "expected"),
    [
        (2000, 500, True),
        # It is no twentieth of what the machine does.
        (2000, 10_000, False),
        # It is not twice as much: 100 a second, and in one of thirty 2,000.
        (2000, 100, False),
    ],
)
def test_unsteady_is_what_is_large_for_the_machine_and_has_doubled(
    burst_of: int, others: int, expected: bool
) -> None:
    usual = 100 if others == 100 else 10
    calm = [usual] * 30
    burst_at = [*calm[:9], burst_of, *calm[10:]]
    found = compare(beside(calm, others), beside(burst_at, others))
    (read,) = np.flatnonzero(found.before.calls.nr == nr("read")).tolist()
    assert bool(found.only_unsteady[read]) is expected
    assert bool(found.noise[read]) is not expected
    assert int(found.only_unsteady.sum()) == expected


def test_few_events_that_scatter_are_not_unsteady() -> None:
    # All that the machine does, and twice as much: as chance has it.
    before, after = (
        tallied([[Calls("read", 1)] if second < many else [] for second in range(30)])
        for many in (4, 9)
    )
    assert only(compare(before, after)).noise


def test_what_a_burst_changes_is_marked_in_rows_that_have_changed() -> None:
    # All calls are slower, and in one second there are many of them.
    before = steady(30, Calls("read", 100, 1000))
    after = [[Calls("read", 20_000 if second == 9 else 100, 9000)] for second in range(30)]
    change = only(compare(tallied(before), tallied(after)))
    assert {"p50", "p99"} <= change.changed
    assert "rate" in change.unsteady
    assert not change.unsteady & change.changed
    assert not change.only_unsteady
    assert not change.noise


def test_of_too_few_intervals_nothing_is_called_unsteady() -> None:
    found = compare(tallied([[Calls("read", 100)]] * 2), tallied([[Calls("read", 9000)]] * 2))
    assert not found.seen
    assert only(found).changed
    assert not found.only_unsteady.any()


def test_unsteady_rows_come_behind_those_that_have_changed() -> None:
    calm = steady(30, Calls("read", 5), Calls("write", 100), Calls("close", 7))
    loud = [
        [Calls("read", 90_000 if second == 9 else 5), Calls("write", 130), Calls("close", 7)]
        for second in range(30)
    ]
    found = compare(tallied(calm), tallied(loud))
    for sort in SORTS:
        assert found.before.calls.nr[found.order(sort)].tolist() == [
            nr("write"),
            nr("read"),
            nr("close"),
        ]


@pytest.mark.parametrize("seconds", [20, 60])
def test_on_a_machine_that_only_goes_up_and_down_nearly_nothing_is_unsteady(seconds: int) -> None:
    # Twelve rows of equal weight. Measured: one of the 48 in 20 intervals, none in 60.
    listed = 0
    for seed in range(4):
        found = compare(*(load(10 * seed + side, seconds, np.ones(12)) for side in (1, 2)))
        listed += int(found.only_unsteady.sum())
    assert listed <= 2


def test_what_has_begun_or_ended_is_none_be_it_one_burst() -> None:
    nothing = tallied(steady(30))
    assert only(compare(nothing, burst(LEAST_NEW, 0))).changed >= {"rate", "total"}
    assert only(compare(burst(LEAST_NEW, 0), nothing)).changed >= {"rate", "total"}
    assert not only(compare(nothing, burst(LEAST_NEW - 1, 0))).changed
    # As many where the other time is far longer are no surprise the other way round.
    long = tallied([[Calls("read", LEAST_NEW)] if second == 7 else [] for second in range(9_000)])
    assert only(compare(long, tallied(steady(30)))).noise
    # Errors alone, of calls that are on both sides.
    failing = [
        [Calls("read", 1000), *([Calls("read", 60, errno=5)] if second == 7 else [])]
        for second in range(30)
    ]
    found = only(compare(tallied(steady(30, Calls("read", 1000))), tallied(failing)))
    assert found.changed == {"errors"}


def test_a_small_change_is_noise_however_certain_it_is() -> None:
    sides = [tallied(steady(30, Calls("read", count))) for count in (1_000_000, 1_040_000)]
    assert only(compare(*sides)).noise
    sides = [tallied(steady(30, Calls("read", count))) for count in (1_000_000, 1_060_000)]
    assert only(compare(*sides)).changed == {"rate", "total"}


def test_of_single_intervals_only_large_changes_are_told() -> None:
    sides = [tallied([[Calls("read", count)]]) for count in (10_000, 12_000, 14_000)]
    small, large = compare(sides[0], sides[1]), compare(sides[0], sides[2])
    assert not small.seen
    assert only(small).noise
    assert "rate" in only(large).changed


def test_intervals_need_not_be_of_one_length() -> None:
    fast = tallied([[Calls("read", 10)] for _ in range(100)], length_s=0.1)
    slow = tallied([[Calls("read", 500)] for _ in range(10)], length_s=5.0)
    change = only(compare(fast, slow))
    assert change.noise
    assert change.values("rate") == pytest.approx((100, 100))


def test_numbers_are_those_that_other_commands_show() -> None:
    calls = [Calls("read", 90, 400), Calls("read", 10, 9000), Calls("read", 5, 2000, errno=4)]
    before = compare(tallied(steady(10, *calls)), tallied(steady(20, *calls))).before
    table = before.calls
    assert before.values("rate").tolist() == [105]
    assert before.values("errors").tolist() == [5]
    assert before.values("total").tolist() == [90 * 400 + 10 * 9000 + 5 * 2000]
    for name, q in (("p50", 0.5), ("p99", 0.99)):
        expected = quantile_ns(table.hist, q, table.min_ns, table.max_ns)
        assert before.values(name).tolist() == expected.tolist()


# --- Order ---


def ranked(found: Comparison, sort: str = "change") -> list[str]:
    return [str(change.after.comm) for change in found.rows(found.order(sort).tolist())]


def test_what_costs_the_machine_most_comes_first() -> None:
    def machine(worker: int, errors: int, idle_ns: int) -> list[list[Calls]]:
        return steady(
            20,
            Calls("read", worker, 100_000, comm=b"worker"),
            Calls("openat", errors, 1000, comm=b"errors", errno=2),
            Calls("epoll_wait", 10, idle_ns, comm=b"idle"),
            Calls("write", 3000, 1000, comm=b"same"),
        )

    found = compare(
        tallied(machine(1000, 400, 50_000_000)), tallied(machine(2000, 440, 100_000_000))
    )
    # All time in calls that wait is one's, and counts half; all errors are one's, and likewise.
    assert ranked(found) == ["worker", "idle", "errors", "same"]
    scores = dict(zip(ranked(found), found.score[found.order()], strict=True))
    calls_after = 2000 + 440 + 10 + 3000
    work_after = 2000 * 100_000 + 440 * 1000 + 3000 * 1000
    assert scores["worker"] == pytest.approx(
        max(2000 / calls_after, 2000 * 100_000 / work_after) / 2
    )
    assert scores["idle"] == pytest.approx(0.5 / 2)
    assert scores["errors"] == pytest.approx(40 / 440 / 2)
    assert scores["same"] == 0
    assert found.noise[found.order()].tolist() == [False, False, False, True]


def test_a_few_errors_of_a_busy_machine_weigh_little() -> None:
    def machine(errors: int) -> list[list[Calls]]:
        return steady(
            20, Calls("read", 100_000), *([Calls("openat", errors, errno=2)] if errors else [])
        )

    def score(errors: int) -> float:
        found = compare(tallied(machine(0)), tallied(machine(errors)))
        (change,) = (each for each in found.rows(found.order().tolist()) if not each.noise)
        return change.score

    # All errors there are: of 1% of all calls, which are 1,000; from there on, of themselves.
    assert score(5) == pytest.approx(0.5 * 5 / (0.01 * 100_005))
    assert score(5000) == pytest.approx(0.5)


def test_noise_is_no_part_of_what_a_change_costs() -> None:
    # Its errors are all there are, and go up and down.
    random = np.random.default_rng(2)
    before, after = (
        [
            [
                Calls("read", reads - int(errors), 1000),
                Calls("read", int(errors), 1000, errno=4),
                Calls("write", 100_000, 1000),
            ]
            for errors in random.choice([1, 60], 30)
        ]
        for reads in (400, 800)
    )
    found = compare(tallied(before), tallied(after))
    (changed,) = (c for c in found.rows(found.order().tolist()) if not c.noise)
    assert changed.changed == {"rate", "total"}
    errors = changed.relative("errors")
    assert errors is not None
    assert abs(errors) > 0.1
    assert changed.score == pytest.approx(400 / 100_800)


def test_each_order_is_by_its_own_quantity() -> None:
    before = steady(
        20,
        Calls("read", 1000, 1000, comm=b"rate"),
        Calls("read", 50, 1000, comm=b"errors", errno=4),
        Calls("read", 50, 1_000_000, comm=b"total"),
        Calls("read", 50, 1000, comm=b"p99"),
    )
    after = steady(
        20,
        Calls("read", 2000, 1000, comm=b"rate"),
        Calls("read", 150, 1000, comm=b"errors", errno=4),
        Calls("read", 50, 3_000_000, comm=b"total"),
        Calls("read", 50, 20_000, comm=b"p99"),
    )
    found = compare(tallied(before), tallied(after))
    for sort in SORTS:
        if sort != "change":
            assert ranked(found, sort)[0] == sort


def test_the_rest_has_an_order_too() -> None:
    names = [b"c", b"a", b"b"]
    calls = [Calls("read", 5, comm=name) for name in names]
    found = compare(tallied(steady(9, *calls)), tallied(steady(9, *calls)))
    for sort in SORTS:
        assert ranked(found, sort) == ["a", "b", "c"]


# --- Keys, and what is not there ---


def test_processes_are_told_apart_by_any_keys() -> None:
    calls = [Calls("read", 5, pid=1), Calls("read", 5, pid=2), Calls("write", 5, pid=2, errno=9)]
    for by, expected in ((("pid",), 2), (("syscall",), 2), (("pid", "errno"), 3)):
        found = compare(tallied(steady(6, *calls), by), tallied(steady(6), by))
        assert len(found) == expected
        assert found.by == by
    found = compare(tallied(steady(6, *calls)), tallied(steady(6)))
    assert {c.after.syscall and c.after.syscall.nr for c in found.rows([0, 1])} == {
        nr("read"),
        nr("write"),
    }


def test_calls_without_times_have_rates_alone() -> None:
    sides = [tallied(steady(10, Calls("exit_group", n, None))) for n in (100, 200)]
    change = only(compare(*sides))
    assert change.changed == {"rate"}
    assert change.values("p99") == (None, None)
    assert change.values("total") == (0, 0)


def test_nothing_at_all_is_no_change() -> None:
    found = compare(tallied(steady(10)), tallied(steady(3)))
    assert len(found) == 0
    assert found.rows(found.order().tolist()) == []


def test_intervals_of_no_length_do_no_harm() -> None:
    found = compare(
        tallied(steady(10, Calls("read", 5)), length_s=0.0),
        tallied(steady(10, Calls("read", 5)), length_s=0.0),
    )
    assert only(found).noise


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="different keys"):
        compare(tallied(steady(1), ("pid",)), tallied(steady(1), ("comm",)))
    with pytest.raises(ValueError, match="nothing"):
        compare(Tally(BY), tallied(steady(1)))
