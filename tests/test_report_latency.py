"""The text of ``sysdash lat``, the statistics in it, and how its command prints."""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import Calls, sample

from sysdash import bars, units
from sysdash.aggregates import Accumulator, Aggregate
from sysdash.buckets import QUANTILE_ERROR
from sysdash.commands import lat, printing
from sysdash.model import Row, derive
from sysdash.report.latency import latency_lines

MS, S = 1_000_000, 1_000_000_000


def interval(
    *samples: Sequence[Calls], by: Sequence[str] = ("syscall",), off_cpu: bool = False
) -> Aggregate:
    """These samples, one a second, added up."""
    accumulator = Accumulator(by)
    for second, calls in enumerate(samples, 1):
        accumulator.add(derive(sample(calls, second=second, off_cpu=off_cpu)))
    aggregate = accumulator.take()
    assert aggregate is not None
    return aggregate


def one(*samples: Sequence[int]) -> Row:
    """The one row that single calls of these latencies make, each on a CPU of its own."""
    aggregate = interval(*([Calls("read", 1, latency) for latency in each] for each in samples))
    (row,) = aggregate.calls.rows([0])
    return row


LATENCIES = st.integers(6, 36).flatmap(lambda bit: st.integers(1 << bit, (2 << bit) - 1))


# --- Statistics ---


@given(latencies=st.lists(LATENCIES, min_size=1, max_size=200))
def test_percentiles_are_as_near_as_help_says(latencies: list[int]) -> None:
    row = one(latencies)
    exact = sorted(latencies)
    for percent, found in ((50, row.p50_ns), (90, row.p90_ns), (99, row.p99_ns)):
        nearest_rank = exact[-(-len(exact) * percent // 100) - 1]
        assert abs(found - nearest_rank) <= nearest_rank * QUANTILE_ERROR * (1 + 1e-12)
        assert exact[0] <= found <= exact[-1]


@given(samples=st.lists(st.lists(LATENCIES, max_size=5), min_size=1, max_size=5))
def test_merging_never_makes_a_minimum_of_zero(samples: list[list[int]]) -> None:
    every = [latency for each in samples for latency in each]
    untimed = [Calls("read", 2, None)]
    aggregate = interval(*([*(Calls("read", 1, t) for t in each), *untimed] for each in samples))
    (row,) = aggregate.calls.rows([0])
    assert row.min_ns == min(every, default=0)
    assert row.max_ns == max(every, default=0)
    assert row.timed == len(every)
    assert row.count == len(every) + 2 * len(samples)


def test_a_single_call_is_its_own_minimum_maximum_mean_and_percentiles() -> None:
    row = one([], [1_234_567], [])
    times = {row.min_ns, row.max_ns, row.mean_ns, row.total_ns}
    assert times | {row.p50_ns, row.p90_ns, row.p99_ns} == {1_234_567}
    assert row.stddev_pct == 0


@pytest.mark.parametrize("split", [0, 1, 5, 999])
def test_a_long_call_among_short_ones_has_the_right_deviation(split: int) -> None:
    latencies = [300 + i % 7 for i in range(1000)] + [10 * S]
    row = one(latencies[:split], latencies[split:])
    deviation = statistics.stdev(latencies) / math.sqrt(len(latencies))
    assert row.stddev_pct == pytest.approx(100 * deviation / statistics.fmean(latencies), rel=1e-9)
    assert row.max_ns == 10 * S


def test_the_deviation_of_equal_calls_is_nothing() -> None:
    assert one([5 * S] * 3, [5 * S] * 4).stddev_pct == pytest.approx(0, abs=1e-4)


# --- The table ---

DAY = [
    Calls("read", 990, 300),
    Calls("read", 10, 1_500, errno=11),
    Calls("clock_nanosleep", 3, 250 * MS),
    Calls("exit_group", 2, None),
    Calls("fsync", 1, 30 * MS),
]


def test_a_table_and_histograms_by_total_time() -> None:
    lines = latency_lines(interval(DAY), top=3, histograms=2, columns=80)
    assert lines == [
        "SYSCALL     CALLS ERRORS  TOTAL   MEAN    MIN    MAX STDDEV    P50    P90    P99",
        "clock_nano…     3      0  750ms  250ms  250ms  250ms  0.00%  250ms  250ms  250ms",
        "fsync           1      0 30.0ms 30.0ms 30.0ms 30.0ms  0.00% 30.0ms 30.0ms 30.0ms",
        "read        1,000     10  312µs  312ns  300ns 1.50µs  1.21%  300ns  300ns  300ns",
        "",
        "1 more syscall took none of the time; --top 4 shows all",
        "",
        "clock_nanosleep: 3 calls",
        "  128–256ms            3 100.0% ██████████████████████████████████",
        "  └ 224–256ms          3 100.0% ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ ◂ p50 p90 p99",
        "",
        "fsync: 1 call",
        "  16–32ms              1 100.0% ██████████████████████████████████",
        "  └ 28–32ms            1 100.0% ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ ◂ p50 p90 p99",
    ]
    assert latency_lines(interval(DAY), top=3, columns=80) == [
        *lines[:6],
        "",
        "read: 1,000 calls",
        "  0–1µs              990  99.0% ██████████████████████████████████",
        "  ├ 256–320ns        990  99.0% ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ ◂ p50 p90 p99",
        "  ├ 320–384ns          0",
        "  ├ 384–448ns          0",
        "  ├ 448–512ns          0",
        "  ├ 512–640ns          0",
        "  ├ 640–768ns          0",
        "  ├ 768–896ns          0",
        "  └ 896ns–1µs          0",
        "  1–2µs               10   1.0% ▍",
        "  ├ 1–1.25µs           0",
        "  └ 1.25–1.5µs        10   1.0% ▍",
        "",
        "2 syscalls with fewer than 4 timed calls have no histogram; --histograms 3 shows all",
    ]


WAITED = [
    Calls("read", 990, 300),
    Calls("read", 10, 1_500, errno=11, off_ns=1_000),
    Calls("clock_nanosleep", 3, 250 * MS, off_ns=250 * MS - 30_000),
    Calls("exit_group", 2, None),
    Calls("write", 2, 400),
    Calls("flock", 1, 90, off_ns=90),
]


def test_where_it_was_measured_the_table_says_how_much_was_waiting() -> None:
    aggregate = interval(WAITED, off_cpu=True)
    lines = latency_lines(aggregate, histograms=0, columns=90)
    assert lines == [
        "SYSCALL         CALLS ERRORS TOTAL WAITING  MEAN   MIN    MAX STDDEV   P50   P90   P99",
        "clock_nanosleep     3      0 750ms  >99.9% 250ms 250ms  250ms  0.00% 250ms 250ms 250ms",
        "read            1,000     10 312µs    3.2% 312ns 300ns 1.50µs  1.21% 300ns 300ns 300ns",
        "write               2      0 800ns    0.0% 400ns 400ns  400ns  0.00% 400ns 400ns 400ns",
        "flock               1      0  90ns  100.0%  90ns  90ns   90ns  0.00%  90ns  90ns  90ns",
        "exit_group          2      0     -       -     -     -      -      -     -     -     -",
        "",
        "in all: 750ms in calls, 393µs working, 750ms waiting (off the CPU)",
    ]
    narrow = latency_lines(aggregate, top=1, histograms=0, columns=80)
    assert narrow == [
        "SYSCALL         CALLS ERRORS TOTAL WAITING  MEAN   MIN   MAX   P50   P90   P99",
        "clock_nanosleep     3      0 750ms  >99.9% 250ms 250ms 250ms 250ms 250ms 250ms",
        "",
        "4 more syscalls took <0.1% of the time; --top 5 shows all",
        "",
        "in all: 750ms in calls, 393µs working, 750ms waiting (off the CPU)",
    ]
    assert not [line for line in shown(interval(WAITED)) if re.search("(?i)waiting", line)]


def test_what_the_sum_means_is_said_where_there_is_room() -> None:
    aggregate = interval(WAITED, off_cpu=True)
    last = [latency_lines(aggregate, histograms=0, columns=columns)[-1] for columns in (66, 65)]
    short = "in all: 750ms in calls, 393µs working, 750ms waiting"
    assert last == [f"{short} (off the CPU)", short]


def test_the_minimum_is_left_out_before_a_line_is_too_long() -> None:
    calls = [
        Calls("clock_nanosleep", 12_345_678, 12_345_678, pid=4_000_000, comm=b"systemd-journal"),
        Calls("read", 345_678, 678, pid=12, errno=2),
    ]
    aggregate = interval(calls, by=("comm", "pid", "syscall"), off_cpu=True)
    lines = table(latency_lines(aggregate, columns=80))
    assert max(map(units.width, lines)) <= 80
    assert "MIN" not in lines[0].split()
    assert "MIN" in latency_lines(aggregate, columns=110)[0].split()
    assert "MIN" in latency_lines(replace(aggregate, off_cpu=False), columns=80)[0].split()


def test_which_rows_have_a_histogram() -> None:
    calls = [Calls("read", 3, 3000), Calls("write", 4, 2000), Calls("fsync", 9, 100)]
    aggregate = interval([*calls, Calls("read", 9, None), Calls("exit", 9, None)])

    def headings(histograms: int | None) -> list[str]:
        lines = latency_lines(aggregate, histograms=histograms)
        return [line for line in lines if re.search(r" calls( \(|$)|histogram", line)]

    read, others = "read: 3 calls (and 9 not timed)", ["write: 4 calls", "fsync: 9 calls"]
    few = "1 syscall with fewer than 4 timed calls has no histogram; --histograms 4 shows all"
    assert headings(None) == [*others, few]
    assert headings(0) == []
    assert headings(1) == [read]
    assert headings(4) == headings(99) == [read, *others]
    assert latency_lines(aggregate, histograms=0) == table(latency_lines(aggregate))


def shown(aggregate: Aggregate, columns: int = 80, top: int = 100) -> list[str]:
    return latency_lines(aggregate, top=top, histograms=top, columns=columns)


def table(lines: Sequence[str]) -> list[str]:
    return list(lines[: list(lines).index("")] if "" in lines else lines)


def test_no_calls() -> None:
    assert shown(interval([], [])) == ["no calls in 2.00s"]


def test_numbers_are_short_before_names_are_cut() -> None:
    calls = [Calls("clock_nanosleep", 12_345_678, 12_345_678), Calls("read", 1, 400)]
    wide, narrow, tight = (table(shown(interval(calls), columns))[1] for columns in (120, 86, 80))
    assert wide.startswith("clock_nanosleep  12,345,678 ")
    assert narrow.startswith("clock_nanosleep 12.3M ")
    assert tight.startswith("clock_nan")
    assert "…" in tight
    assert "12.3M" in tight


CALLS = st.builds(
    Calls,
    name=st.sampled_from(["read", "clock_nanosleep", "epoll_pwait2", "sched_get_priority_max"]),
    count=st.integers(1, 10**8),
    latency_ns=st.none() | st.integers(0, 2**32),
    pid=st.sampled_from([1, 4_000_000]),
    comm=st.sampled_from([b"sh", "日本語".encode(), b"\x1b[2J\xff"]),
    errno=st.sampled_from([0, 2, 512]),
    off_ns=st.integers(0, 2**32),
)


@given(
    calls=st.lists(CALLS, min_size=1, max_size=10),
    columns=st.sampled_from([80, 81, 100, 200]),
    off_cpu=st.booleans(),
)
def test_lines_fit_the_terminal(calls: list[Calls], columns: int, off_cpu: bool) -> None:
    calls = [replace(call, off_ns=min(call.off_ns, call.latency_ns or 0)) for call in calls]
    lines = shown(interval(calls, off_cpu=off_cpu), columns)
    assert max(map(units.width, lines)) <= columns
    every = shown(interval(calls, by=("comm", "syscall", "pid"), off_cpu=off_cpu), columns)
    assert all(units.width(line) <= columns for line in every[len(table(every)) :])
    assert not re.search(r"[\x00-\x1f\x7f]", "".join(every))


@given(calls=st.lists(CALLS, min_size=1, max_size=10), columns=st.sampled_from([80, 200]))
def test_columns_are_under_their_titles(calls: list[Calls], columns: int) -> None:
    title, *rows = table(shown(interval(calls), columns))
    ends = [match.end() for match in re.finditer(r"\S+", title)][1:]
    for row in rows:
        assert [match.end() for match in re.finditer(r"\S+", row)][-10:] == ends


def test_other_keys_have_columns_and_headings() -> None:
    calls = [Calls("read", 2, 400, pid=7, comm=b"a b", errno=2), Calls("read", 1, 300, pid=12)]
    lines = shown(interval(calls, by=("pid", "comm", "errno")), columns=100)
    assert table(lines)[0].startswith("PID  COMM      ERRNO ")
    assert table(lines)[1].startswith("  7  a b       ENOENT ")
    assert table(lines)[2].startswith(" 12  postgres  - ")
    assert "pid 7, comm a b, errno ENOENT: 2 calls" in lines
    assert "pid 12, comm postgres, errno -: 1 call" in lines


def test_a_cgroup_is_its_path_or_its_number() -> None:
    aggregate = interval([Calls("read", 1)], by=("cgroup",))
    assert table(shown(aggregate))[1].startswith("[unknown]")


def test_how_much_is_not_shown() -> None:
    assert "1 more syscall took <0.1% of the time; --top 2 shows all" in shown(
        interval([Calls("read", 1, S), Calls("write", 1, 400)]), top=1
    )
    by_process = interval([Calls("read", 1, S), Calls("read", 1, S, pid=7)], by=("pid",))
    assert "1 more row took 50.0% of the time; --top 2 shows all" in shown(by_process, top=1)
    lines = shown(interval([Calls("read", 3, 1000), Calls("write", 1, 1000)]), top=1)
    assert lines[2:4] == ["", "1 more syscall took 25.0% of the time; --top 2 shows all"]
    untimed = [Calls("read", 3, 1000), Calls("exit_group", 1, None), Calls("exit", 1, None)]
    assert "2 more syscalls took none of the time; --top 3 shows all" in shown(
        interval(untimed), top=1
    )
    assert not [line for line in shown(interval(DAY)) if "more" in line]


def test_calls_without_a_time_have_dashes_and_no_histogram() -> None:
    lines = shown(interval([Calls("exit_group", 2, None)]))
    assert lines[1].split() == ["exit_group", "2", "0", *"--------"]
    assert len(lines) == 2
    both = shown(interval([Calls("read", 2, None), Calls("read", 1, 400)]))
    assert "read: 1 call (and 2 not timed)" in both


# --- The histograms ---


def chart(latencies: Sequence[int], columns: int = 80) -> dict[str, tuple[str, int, str]]:
    """The lines of the histogram by their labels: bar, calls, marks."""
    lines = shown(interval([Calls("read", 1, latency) for latency in latencies]), columns)
    found = {}
    for line in lines[4:]:
        match = re.fullmatch(
            r"  (\S+|[├└] \S+) +([\d,]+)( +[<>]?[\d.]+%)? ?([█▒▏▎▍▌▋▊▉]*)( ◂ .+)?", line
        )
        assert match, line
        label, count, _, bar, marks = match.groups()
        found[label] = (bar, int(count.replace(",", "")), (marks or " ◂ ")[3:])
    return found


def outer(label: str) -> bool:
    return label[0] not in "├└"


def test_the_octaves_of_the_whole_range() -> None:
    found = chart([1 << bit for bit in range(39)] * 2)
    assert [label for label in found if outer(label)] == [
        *("0–1µs", "1–2µs", "2–4µs", "4–8µs", "8–16µs", "16–32µs", "32–64µs", "64–128µs"),
        *("128–256µs", "256–512µs", "512µs–1ms", "1–2ms", "2–4ms", "4–8ms", "8–16ms", "16–32ms"),
        *("32–64ms", "64–128ms", "128–256ms", "256–512ms", "512ms–1s", ">1s"),
    ]
    assert [label[2:] for label in found if not outer(label)] == [
        *("0–64ns", "64–128ns", "128–256ns", "256–512ns", "512ns–1µs"),
        *("1–2s", "2–4s", "4–8s", "8–16s", "16–32s", "32–64s", "64–128s", ">128s"),
    ]
    bar = found["0–1µs"][0]
    assert found["0–1µs"] == (bar, 20, "")
    assert set(bar) == {"█"}
    assert found["├ 0–64ns"][1] == 12
    assert found["1–2µs"][1] == found["└ 512ns–1µs"][1] == 2
    assert found[">1s"] == (bars.bar(18 / 20, len(bar)), 18, "")
    assert found["└ >128s"] == (bars.shaded_bar(4 / 20, len(bar)), 4, "p99")
    assert found["├ 0–64ns"][0] == "▒" * round(len(bar) * 12 / 20)
    assert found["1–2µs"][0] == bars.bar(2 / 20, len(bar))


def test_quarters_of_octaves_where_there_are_few() -> None:
    assert list(chart([1 << 20, 3 << 20, (1 << 22) - 1])) == [
        *("1–2ms", "├ 1–1.25ms", "├ 1.25–1.5ms", "├ 1.5–1.75ms", "└ 1.75–2ms"),
        *("2–4ms", "├ 2–2.5ms", "├ 2.5–3ms", "├ 3–3.5ms", "└ 3.5–4ms"),
    ]
    assert list(chart([64, 130])) == [
        *("0–1µs", "├ 64–80ns", "├ 80–96ns", "├ 96–112ns", "├ 112–128ns", "└ 128–160ns"),
    ]
    assert list(chart([1 << 20, 1 << 23])) == ["1–2ms", "2–4ms", "4–8ms", "8–16ms"]
    assert list(chart([0, 63])) == ["0–1µs", "└ 0–64ns"]
    assert list(chart([1 << 37])) == [">1s", "└ >128s"]


@given(latencies=st.lists(st.one_of(LATENCIES, st.integers(0, 2**40)), min_size=1, max_size=60))
def test_every_call_is_in_the_histogram_and_percentiles_are_where_they_lie(
    latencies: list[int],
) -> None:
    found = chart(latencies)
    assert sum(count for label, (_, count, _) in found.items() if outer(label)) == len(latencies)
    leaves: list[tuple[int, int, str]] = []
    whole = inside = 0
    for label, (bar, count, marks) in found.items():
        if outer(label):
            assert inside in (0, whole)
            whole, inside = count, 0
        else:
            inside += count
        low, high = edges(label)
        if not outer(label) and leaves and leaves[-1][0] <= low < leaves[-1][1]:
            assert not leaves.pop()[2]  # what is inside has the marks
        assert count == sum(low <= latency < high for latency in latencies)
        leaves.append((low, high, marks))
        assert bool(bar) == (count > 0)
        assert bar or not marks
    exact = sorted(latencies)
    for percent in (50, 90, 99):
        nearest_rank = exact[-(-len(exact) * percent // 100) - 1]
        (at,) = [leaf for leaf in leaves if f"p{percent}" in leaf[2].split()]
        assert at[0] <= nearest_rank < at[1]


def edges(label: str) -> tuple[int, int]:
    """The nanoseconds of a label's two edges."""
    units_ns = {"ns": 1, "µs": 1 << 10, "ms": 1 << 20, "s": 1 << 30}
    text = label.lstrip("├└ ")
    if text.startswith(">"):
        return int(text[1:-1]) << 30, 1 << 63
    match = re.fullmatch(r"([\d.]+)([mµn]?s)?–([\d.]+)([mµn]?s)", text)
    assert match, label
    low, low_unit, high, high_unit = match.groups()
    return (
        int(float(low) * units_ns[low_unit or high_unit]),
        int(float(high) * units_ns[high_unit]),
    )


def test_a_share_is_never_rounded_to_all_or_nothing() -> None:
    lines = shown(interval([Calls("read", 9_999, 400), Calls("read", 1, S)]))
    assert any(line.startswith("  0–1µs            9,999 >99.9% █") for line in lines)
    assert "  512ms–1s             1  <0.1% ▏" in lines


def test_bars_use_the_width_of_the_terminal() -> None:
    latencies = [400] * 5 + [5000] * 10
    lengths = [len(chart(latencies, columns)["4–8µs"][0]) for columns in (80, 100, 132, 133, 500)]
    assert [length - lengths[0] for length in lengths] == [0, 20, 52, 52, 52]
    assert shown(interval([Calls("read", 1)]), 20)[-1].startswith("  └ 384–448ns  ")


def test_all_histograms_have_the_same_scale_of_columns() -> None:
    lines = shown(interval([Calls("read", 10**9, 400), Calls("write", 1, 900 * MS)]))
    ends = {line.index("%") for line in lines if line.startswith("  ")}
    assert len(ends) == 1
    assert lines[5].startswith("  0–1µs        1,000,000,000 100.0% █")


# --- The command ---


class Collection:
    """Stands for the one that runs the probe."""

    made: tuple[object, ...] = ()
    intervals: Sequence[Aggregate] = ()

    def __init__(
        self, args: argparse.Namespace, by: Sequence[str], *, off_cpu: bool, data: bool
    ) -> None:
        assert data == args.json
        type(self).made = (tuple(by), off_cpu)
        self.status = 0

    def aggregates(self, ready: Callable[[], None]) -> Iterator[Aggregate]:
        ready()
        yield from self.intervals
        self.status = 3


def words(**changed: object) -> argparse.Namespace:
    usual = {"by": (), "top": None, "histograms": None, "json": False, "off_cpu": False}
    usual["from_file"] = None
    return argparse.Namespace(**{"interval_s": None, "duration_s": 1.0, **usual, **changed})


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_intervals(*intervals: Aggregate) -> None:
        monkeypatch.setattr(Collection, "intervals", intervals)

    monkeypatch.setattr(lat, "intervals", Collection)
    monkeypatch.setenv("COLUMNS", "80")
    return set_intervals


def test_the_command_prints_ten_rows_and_returns_the_status(
    collected: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    names = "read write open close stat fstat lstat poll lseek mmap brk ioctl".split()
    aggregate = interval([Calls(name, 1, 400 + i) for i, name in enumerate(names)])
    collected(aggregate)
    assert lat.run(words()) == 3
    assert Collection.made == (("syscall",), False)
    out, err = capsys.readouterr()
    assert out.splitlines() == latency_lines(aggregate, top=10, columns=80)
    assert err == ""
    lat.run(words(top=2, histograms=1))
    out, err = capsys.readouterr()
    assert out.splitlines() == latency_lines(aggregate, top=2, histograms=1, columns=80)
    assert "ioctl: 1 call" in out


def test_each_interval_is_under_its_time(
    collected: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = interval([Calls("read", 1, 400)]), interval([], [Calls("read", 2, 400)])
    collected(first, second)
    lat.run(words(interval_s=1.0, by=("pid", "comm"), top=5, off_cpu=True))
    assert Collection.made == (("pid", "comm"), True)
    lines = capsys.readouterr().out.splitlines()
    clocks = [i for i, line in enumerate(lines) if re.fullmatch(r"\[\d\d:\d\d:\d\d\]", line)]
    assert clocks == [1, len(latency_lines(first)) + 3]
    assert lines[0] == ""
    assert lines[2 : clocks[1]] == [*latency_lines(first), ""]
    assert lines[clocks[1] + 1 :] == latency_lines(second)


def test_a_table_begins_below_what_a_terminal_shows_of_ctrl_c(
    collected: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collected(interval(DAY))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lat.run(words())
    assert capsys.readouterr().out.splitlines() == ["", *latency_lines(interval(DAY))]


def test_json_is_a_line_an_interval(
    collected: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    collected(interval(DAY), interval(DAY))
    lat.run(words(json=True, interval_s=1.0, top=2))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    found = json.loads(lines[0])
    assert found["schema"] == "sysdash.aggregate/1"
    assert [row["syscall"] for row in found["rows"]] == ["clock_nanosleep", "fsync"]
    assert found["rows"][1]["histogram"] == [[7 << 22, 8 << 22, 1]]


def test_losses_are_told_on_standard_error(
    collected: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    accumulator = Accumulator(("syscall",))
    accumulator.add(derive(sample([Calls("read", 1)], lost={"calls": 7, "slow_ring": 3})))
    collected(accumulator.take())
    for json_wanted in (False, True):
        lat.run(words(json=json_wanted))
        told = "sysdash: lost: 7 calls not counted; a filter makes them fewer\n"
        assert capsys.readouterr().err == told


@pytest.mark.parametrize(("terminal", "wants_json"), [(True, False), (True, True), (False, False)])
def test_a_person_is_told_that_it_collects(
    terminal: bool,
    wants_json: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    printing.announce(words(json=wants_json))
    said = terminal and not wants_json
    assert capsys.readouterr().err == ("Tracing syscalls... Ctrl+C to end.\n" if said else "")


class Terminals:
    """Stands for what the kernel says of descriptors 0, 1 and 2: columns; None for no terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.columns: dict[int, int | None] = {}
        monkeypatch.setattr(os, "get_terminal_size", self.size)

    def size(self, descriptor: int) -> os.terminal_size:
        columns = self.columns.get(descriptor)
        if columns is None:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        return os.terminal_size((columns, 24))


@pytest.mark.parametrize(
    ("terminals", "columns"),
    [
        ({}, 100),
        ({0: 80}, 80),
        ({0: 80, 2: 90}, 90),
        ({0: 80, 1: 120, 2: 90}, 120),
        ({1: 0, 2: 90}, 90),
        ({1: 0}, 100),
    ],
)
def test_the_width_is_that_of_the_terminal_that_is_looked_at(
    terminals: dict[int, int | None], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Terminals(monkeypatch).columns = terminals
    monkeypatch.delenv("COLUMNS", raising=False)
    assert printing.columns() == columns
    for useless in ("", "0", "-7", "wide", "9" * 5000):
        monkeypatch.setenv("COLUMNS", useless)
        assert printing.columns() == columns
    monkeypatch.setenv("COLUMNS", "73")
    assert printing.columns() == 73


def test_what_the_output_cannot_encode_is_ascii() -> None:
    lines = shown(interval([Calls("read", 3, 3_000), Calls("read", 1, 200_000)], by=("syscall",)))
    assert [printing.encodable(line, "UTF-8") for line in lines] == lines
    for encoding in ("ascii", "latin-1"):
        plain = [printing.encodable(line, encoding) for line in lines]
        assert "".join(plain).isascii()
        assert list(map(len, plain)) == list(map(len, lines))
        assert re.fullmatch(r"  2-4us +3  75.0% #+ < p50", plain[4])
    lines = shown(interval([Calls("read", 3, 3_000)]))
    plain = [printing.encodable(line, "ascii") for line in lines]
    assert re.fullmatch(r"  \+ 2.5-3us +3 100.0% :+ < p50 p90 p99", plain[-1])
    assert printing.encodable("日本 é", "latin-1") == "?? é"


@pytest.mark.bpf
def test_a_command_that_sleeps_and_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    program = str(Path(sys.prefix) / "bin" / "sysdash")
    lat_of = [
        program,
        "lat",
        "-T",
        "2",
        "--histograms",
        "2",
        "--syscall",
        "write,clock_nanosleep,getpid",
        "--",
    ]
    loop = "import os, time; [os.write(1, b'.') for _ in range(500)]; time.sleep(0.3)"
    done = subprocess.run(
        [*lat_of, sys.executable, "-I", "-c", loop],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    dots, _, rest = done.stdout.partition("SYSCALL")
    title, sleep, write = table(f"SYSCALL{rest}".splitlines())
    assert dots == "." * 500
    assert title.split()[:5] == ["SYSCALL", "CALLS", "ERRORS", "TOTAL", "MEAN"]
    name, calls, errors, *times = sleep.split()
    assert (name[:8], calls, errors) == ("clock_na", "1", "0")
    assert set(times) == {times[0], "0.00%"}
    assert 300 <= float(times[0].removesuffix("ms")) < 400
    assert write.split()[:3] == ["write", "500", "0"]
    assert "clock_nanosleep: 1 call" in done.stdout
    assert re.search(r"^  256–512ms +1 100.0% █+$", done.stdout, re.MULTILINE)
    assert "more" not in done.stdout


# --- Bars ---


@given(share=st.floats(-1, 2), columns=st.integers(0, 200))
def test_a_bar_is_as_long_as_its_share(share: float, columns: int) -> None:
    bar = bars.bar(share, columns)
    eighths = 8 * bar.count("█") + sum("▏▎▍▌▋▊▉".index(char) + 1 for char in bar if char != "█")
    wanted = min(max(share, 0), 1) * columns * 8
    assert len(bar) <= columns
    assert abs(eighths - wanted) <= 0.5 or (eighths == 1 and 0 < wanted < 1)
    assert len(bars.ascii_blocks(bar)) == len(bar)
    assert bars.ascii_blocks(bar).isascii()
    shaded = bars.shaded_bar(share, columns)
    if wanted > 4:
        assert set(shaded) == {"▒"}
        assert abs(len(shaded) - wanted / 8) <= 0.5
    else:
        assert shaded == bar
    assert bars.ascii_blocks(shaded).isascii()
