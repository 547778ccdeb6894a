"""What the panels show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from screen import CALLS, Driver, typical
from synthetic import HOST, LOSSES, Calls, Slow, detail, file, nr, snapshot
from urwid.util import set_temporary_encoding

from sysdash import units
from sysdash.bars import bar
from sysdash.buckets import BUCKETS, octaves
from sysdash.model import Filter, Snapshot, Syscall
from sysdash.panels.cells import area, fill, sparkline
from sysdash.panels.cells import width as line_width
from sysdash.panels.help import HelpPanel
from sysdash.panels.latency import merged, step_of
from sysdash.panels.summary import LOSSES as LOSS_KINDS
from sysdash.panels.summary import losses
from sysdash.panels.table import Column, Placed, place
from sysdash.panels.tiles import frame
from sysdash.theme import palette
from sysdash.ui_state import UiState

SIZES = [(60, 15), (61, 17), (80, 24), (100, 30), (132, 43), (200, 60), (250, 70)]

# Names as a hostile process would choose them.
HOSTILE = [
    b"\x1b[31mred\x1b[0m",
    b"new\nline\rback",
    b"0123456789abcdef",
    "漢字漢字漢".encode(),
    b"\xff\xfe\x80 bytes",
    "e\u0301\u0301\u0301clat".encode(),
    "\u202egnp.exe".encode(),
    "👨\u200d👩\u200d👧".encode(),
    b"\x07bell\x08\x7f",
    "\u200b\u2060\ufeff".encode(),
]


@pytest.fixture(autouse=True)
def _utf8() -> Iterator[None]:
    with set_temporary_encoding("utf8"):
        yield


# --- Pieces ---


@given(st.floats(0, 1), st.integers(0, 100))
def test_a_bar_is_as_long_as_its_share(share: float, columns: int) -> None:
    text = bar(share, columns)
    eighths = sum(" ▏▎▍▌▋▊▉█".index(char) for char in text)
    assert len(text) <= columns
    assert eighths == pytest.approx(share * columns * 8, abs=1)
    assert (eighths > 0) == (share > 0 and columns > 0)


@given(st.lists(st.floats(0, 1e9), max_size=40), st.integers(0, 30))
def test_a_sparkline_has_its_width_and_no_value_looks_like_zero(
    values: list[float], columns: int
) -> None:
    text = sparkline(values, columns)
    assert len(text) == columns
    shown = values[-columns:] if columns else []
    for value, block in zip(reversed(shown), reversed(text), strict=False):
        assert (block == "▁") == (value == 0)
        assert (block == "▇") >= (value == max(shown) and value > 0)


@given(st.lists(st.floats(0, 1e9), max_size=40), st.integers(0, 30), st.integers(1, 6))
def test_an_area_is_a_rectangle(values: list[float], columns: int, rows: int) -> None:
    lines = area(values, columns, rows)
    assert len(lines) == rows
    assert all(len(line) == columns for line in lines)


@given(st.lists(st.binary(max_size=16)), st.integers(0, 60))
def test_filling_gives_the_width_whatever_the_text(names: list[bytes], columns: int) -> None:
    line = [("text", units.safe(name)) for name in names]
    assert line_width(fill(line, columns)) == columns


@given(st.lists(st.integers(0, 10**6), min_size=BUCKETS, max_size=BUCKETS), st.integers(1, 40))
def test_merging_a_histogram_loses_nothing(counts: list[int], rows: int) -> None:
    hist = np.array(counts, dtype=np.int64)
    hist[126:] = 0
    whole = octaves(hist)
    steps = merged(whole, rows)
    assert len(steps) <= rows
    assert sum(count for _, _, count in steps) == hist.sum()
    assert [low for low, _, _ in steps[1:]] == [high for _, high, _ in steps[:-1]]
    assert {low for low, _, _ in steps} <= {low for low, _, _ in whole}


@given(st.lists(st.integers(0, 10**6), min_size=BUCKETS, max_size=BUCKETS), st.integers(3, 40))
def test_merging_keeps_marks_apart(counts: list[int], rows: int) -> None:
    hist = np.array(counts, dtype=np.int64)
    hist[126:] = 0
    whole = octaves(hist)
    marks = sorted({low for low, _, _ in (whole[:1] + whole[len(whole) // 2 :][:1] + whole[-1:])})
    steps = merged(whole, rows, marks)
    assert len({step_of(steps, mark) for mark in marks}) == len(marks)


def test_the_tail_is_not_all_in_one_step() -> None:
    bulk = [(2**i, 2 ** (i + 1), 100_000) for i in range(8, 12)]
    tail = [(2**i, 2 ** (i + 1), 2) for i in range(12, 30)]
    steps = merged(bulk + tail, 6, [300, 2**13, 2**29])
    beyond = [high / low for low, high, _ in steps if low >= 2**12]
    assert len(beyond) >= 3
    assert max(beyond) < 2**10


def test_a_value_beyond_the_last_step_belongs_to_it() -> None:
    steps = [(64, 128, 1), (128, 256, 2)]
    assert step_of(steps, 100) == 0
    assert step_of(steps, 128) == 1
    assert step_of(steps, 10_000) == 1


@given(
    st.integers(0, 300),
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 60), st.integers(0, 5)), max_size=10),
)
def test_columns_fit_their_room(room: int, made: list[tuple[int, int, int]]) -> None:
    columns = [
        Column(str(i), "", least, least + more, rank=rank, share=1)
        for i, (least, more, rank) in enumerate(made)
    ]
    placed = place(columns, room)
    assert sum(item.width for item in placed) + max(len(placed) - 1, 0) <= max(room, 0)
    assert all(item.column.least <= item.width for item in placed)
    assert all(item.width <= max(item.column.most, item.column.least) for item in placed)


def test_borders_join() -> None:
    boxes = ((1, 1, 3, 1), (5, 1, 2, 3), (1, 3, 3, 1), (1, 5, 6, 1))
    assert "\n".join(frame(boxes, 8, 7)) == (
        "┌───┬──┐\n│   │  │\n├───┤  │\n│   │  │\n├───┴──┤\n│      │\n└──────┘"
    )


# --- The dashboard ---


@pytest.mark.parametrize("size", SIZES)
def test_all_four_panels_at_every_size(size: tuple[int, int]) -> None:
    lines = Driver(typical(), size=size).lines()
    text = "\n".join(lines)
    for title in ("Top syscalls", "Latency read", "Slow calls", "Summary"):
        assert f" {title} " in text
    assert lines[1][0] == "┌"
    assert lines[1][-1] == "┐"
    assert lines[-2][0] == "└"
    assert lines[-2][-1] == "┘"
    assert all(line[0] in "│├" and line[-1] in "│┤" for line in lines[2:-2])


def test_top_at_80x24() -> None:
    calls = [Calls(name, 1000 - i) for i, name in enumerate(NAMES)]
    driver = Driver(snapshot(calls))
    assert driver.names() == NAMES[:10]
    driver = Driver(typical())
    read = driver.line("▸read")
    assert re.search(r"█+ +1\.01M/s +· +\d+ns ", read)
    assert re.search(r" 1\.00K/s +200/s ", driver.line(" openat"))


NAMES = "read write close fstat mmap brk ioctl pipe dup getpid socket bind uname fcntl".split()


def test_latency_has_exact_counts_and_every_mark() -> None:
    text = Driver(typical()).text()
    row = next(line for line in text.splitlines() if "1,000,000" in line)
    assert "128ns – 256ns" in row
    assert "◂ p50 p90" in row
    assert re.search(r"32µs – 64µs .* 9,000 ◂ max", text)
    for mark in ("p50", "p90", "p99", "max"):
        assert mark in text


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 10**7), st.integers(1, 10**12)), min_size=1, max_size=30),
    st.sampled_from(SIZES),
)
def test_the_marks_are_visible_for_any_distribution(
    made: list[tuple[int, int]], size: tuple[int, int]
) -> None:
    with set_temporary_encoding("utf8"):
        driver = Driver(snapshot([Calls("read", n, ns) for n, ns in made]), size=size)
        marks = " ".join(re.findall(r"◂ ([^│]*)│", driver.text())).split()
    # The narrowest panel has no room for four names on a line.
    if size[0] >= 80:
        assert marks == ["p50", "p90", "p99", "max"]


def test_untimed_calls_are_mentioned() -> None:
    timed, not_timed = Calls("read", 5), Calls("read", 1_234, None)
    assert "1,234 calls not timed" in Driver(snapshot([timed, not_timed])).text()
    assert "not timed" not in Driver(snapshot([timed])).text()


def test_a_selected_syscall_without_calls_says_so() -> None:
    driver = Driver(typical())
    driver.press("down", "up")
    driver.add(snapshot([Calls("write", 5)], second=2))
    assert "read made no calls" in driver.text()
    assert re.search(r"▸read .* 0/s", driver.text())


def test_slow_calls_newest_first_with_result_and_ids() -> None:
    driver = Driver(typical())
    lines = [line for line in driver.lines() if re.match(r"│ \d\d:\d\d:\d\d", line)]
    assert [line.split()[2] for line in lines] == ["read", "connect", "futex"]
    assert re.search(r"45\.2ms postgres +1842/1845 ", lines[0])
    assert "ETIMEDOUT" in lines[1]
    wide = Driver(typical(), size=(132, 43))
    assert re.search(r"1842/1845 +8192 ", wide.line(" 45.2ms "))
    assert re.search(r"999/999 +ETIMEDOUT ", wide.line(" 130ms "))
    assert wide.text().count("ETIMEDOUT") == 1


def test_no_slow_call_among_those_shown() -> None:
    driver = Driver(typical())
    assert "among those shown" not in driver.text()
    driver.app.show(Filter(pid=4242))
    assert "no call took longer than its threshold, among those shown" in driver.text()
    driver.app.show(Filter())
    driver.add(snapshot([]))
    assert "among those shown" not in driver.text()


@pytest.mark.parametrize("room", ["top", "callers", "errnos", "processes", "errors"])
def test_a_column_that_is_not_known_is_a_mistake(room: str) -> None:
    driver = Driver(typical())
    driver.press("v", "v", "v", "enter")
    panel = getattr(driver.app, room)
    with pytest.raises(LookupError, match="no column 'new'"):
        panel.cells([0], [Placed(Column("new", "", 5), 5)])


def test_a_large_pid_is_never_cut() -> None:
    slow = [Slow("clock_nanosleep", 10**9, 4_194_303, 4_194_304, b"0123456789abcdef", -516)]
    for size in SIZES[2:]:
        assert "4194303/4194304" in Driver(snapshot([], slow), size=size).text()


def test_summary_numbers() -> None:
    text = Driver(typical()).text()
    for pattern in (
        r"syscalls/s +1\.92M",
        r"errors/s +500",
        r"mean +\d",
        r"working +1\.19s/s",
        r"waiting +60\.0s/s",
        r"by kind of call",
        r"kernel CPU +41%",
        r"processes +6 ",
        r"alive now +212 ",
        r"slow calls +3",
        r"lost +0",
        r"sysdash CPU +0\.6%",
        r"memory +148MB",
    ):
        assert re.search(pattern, text), pattern


WAITED = (
    Calls("read", 1_000_000, 200, 1842, b"postgres"),
    Calls("read", 9_000, 60_000, 2222, b"nginx", off_ns=55_000),
    Calls("read", 100, 2_000, 2222, b"nginx", off_ns=500, errno=11),
    Calls("futex", 5_000, 12_000_000, 3622, b"java", off_ns=11_990_000),
    Calls("exit_group", 4, None, 888, b"cc1"),
)


def measured() -> Snapshot:
    """An interval for which it was measured how long calls are off the CPU."""
    return snapshot(WAITED, off_cpu=True)


@pytest.mark.parametrize("size", SIZES[2:])
def test_what_is_measured_is_not_by_kind_of_call(size: tuple[int, int]) -> None:
    driver = Driver(measured(), size=size)
    # read: 0.2 s + 9,000 * 5 µs + 100 * 1.5 µs; futex: 5,000 * 10 µs
    assert re.search(r"working +295ms/s", driver.text())
    assert re.search(r"waiting +60\.4s/s", driver.text())
    assert "(measured)" in driver.text()
    assert "by kind" not in driver.text()
    if size[0] >= 132:
        assert re.search(r"working +245ms ", driver.text())
        assert re.search(r"waiting  495ms  66\.9% ", driver.text())
        assert re.search(r"▸read .* 740ms +66\.9% ", driver.line("▸read"))
    else:
        assert "│ working 245ms/s  waiting 495ms/s (66.9%) " in driver.text()
    driver.press("v")
    assert re.search(r" nginx .* 91\.6% ", driver.line(" nginx "))
    assert re.search(r" cc1 .* · ", driver.line(" cc1 "))
    by_kind = Driver(snapshot(WAITED), size=size)
    assert "(by kind of call)" in by_kind.text()
    assert "66.9%" not in by_kind.text()
    by_kind.press("v")
    assert "91.6%" not in by_kind.text()


def test_an_error_s_calls_have_their_own_share_of_waiting() -> None:
    driver = Driver(measured(), size=(132, 43))
    driver.press("enter")
    assert re.search(r" nginx .* 91\.6% ", driver.line(" nginx "))
    driver.press("tab", "enter")
    assert re.search(r" nginx .* 25\.0% ", driver.line(" nginx "))
    assert re.search(r"waiting 50\.0µs  25\.0%", driver.text())


@pytest.mark.parametrize("rows", [29, 30, 34, 38, 43, 60])
@pytest.mark.parametrize("measured_too", [False, True])
def test_quantiles_are_beside_a_wide_histogram_however_low_it_is(
    rows: int, measured_too: bool
) -> None:
    text = Driver(snapshot(WAITED, off_cpu=measured_too), size=(132, rows)).text()
    for name in ("p50", "p90", "p99", "max"):
        assert re.search(rf"│ {name} +[\d.]+[nµm]s │", text), name
    assert bool(re.search(r" waiting +495ms.* \(?66\.9%", text)) is measured_too


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (63, "│ working 245ms/s  waiting 495ms/s (66.9%) │"),
        (60, "│ working 245ms/s, waiting 66.9%        │"),
    ],
)
def test_working_and_waiting_have_a_form_that_fits(columns: int, words: str) -> None:
    assert words in Driver(measured(), size=(columns, 24)).text()


def test_working_and_waiting_are_never_cut() -> None:
    calls = [Calls("read", 3, 3_499_999, off_ns=0), Calls("write", 9, 9_999_999, off_ns=3)]
    driver = Driver(snapshot(calls, off_cpu=True))
    for columns in range(60, 100):
        for _ in range(2):
            driver.press("down")
            lines = driver.lines((columns, 24))
            line = next(line for line in lines if re.match("│ (working|waiting) ", line))
            assert re.match(r"│ [^│]*\d%\)? *│", line), line


def test_a_share_is_never_rounded_to_all_or_nothing() -> None:
    calls = [
        Calls("read", 999_999, 5_000, off_ns=1),
        Calls("write", 1, 5_000_000, off_ns=4_999_999),
    ]
    driver = Driver(snapshot(calls, off_cpu=True), size=(132, 43))
    assert "<0.1%" in driver.line("▸read")
    assert ">99.9%" in driver.line("▸read")
    assert ">99.9%" in driver.line(" write ")
    for name in ("▸read", " write "):
        assert not re.search(r"\b(100|0)\.0%", driver.line(name))


# --- Headings ---


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["clock_nanosleep", "epoll_pwait2", "read"])
@pytest.mark.parametrize("off_cpu", [False, True])
def test_a_long_title_leaves_the_headings_of_numbers(
    size: tuple[int, int], name: str, off_cpu: bool
) -> None:
    driver = Driver(snapshot([Calls(name, 9, 5_000)], off_cpu=off_cpu), size=size)
    driver.press("enter")
    assert re.match(rf"┌ (Processes in |In )?{name} ━+ calls/s ", driver.lines()[1])
    if size[0] >= 100 or name == "read":
        assert driver.lines()[1].startswith(f"┌ Processes in {name} ")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", [[], ["enter"], ["v"]])
@pytest.mark.parametrize("off_cpu", [False, True])
def test_the_order_of_a_table_is_seen_in_it(
    size: tuple[int, int], keys: list[str], off_cpu: bool
) -> None:
    driver = Driver(snapshot(WAITED, off_cpu=off_cpu), size=size)
    driver.press(*keys)
    for letter, heading in (("t", "time/s"), ("l", "p99"), ("r", "calls/s")):
        driver.press("s", letter)
        assert f" {heading} " in driver.lines()[1]


def test_losses_are_loud_and_named() -> None:
    quiet = Driver(typical())
    assert "lost" not in quiet.styles()
    for size in SIZES:
        loud = Driver(snapshot(CALLS, lost={"calls": 10, "missed": 2, "new": 1}), size=size)
        assert "lost" in loud.styles()
        assert re.search(r"lost +13 ", loud.text())
        assert re.search(r"calls +10 ", loud.text())
        assert re.search(r"missed +2 ", loud.text())
        assert re.search(r"new +1 ", loud.text())


@pytest.mark.parametrize("size", SIZES)
def test_what_leaves_the_numbers_complete_is_said_quietly(size: tuple[int, int]) -> None:
    lost = {"unattributed": 28_100_000, "slow_limit": 28_000, "slow_ring": 100}
    driver = Driver(snapshot(CALLS, lost=lost), size=size)
    assert "lost" not in driver.styles()
    assert re.search(r"lost +0 ", driver.text())
    assert re.search(r"unattrib(\.|uted) +28\.1M ", driver.text())
    assert re.search(r"not listed +28(\.1K|,100) ", driver.text())
    assert ("slow not listed" in driver.text()) == (size[0] >= 110)


def test_the_help_explains_every_loss_by_the_names_it_has() -> None:
    text = " ".join("".join(part for _, part in line) for line in HelpPanel(UiState()).text(80))
    text = " ".join(text.split())
    # The last two are of the past.
    assert (
        losses(dict.fromkeys((*LOSSES, "damaged", "slow_forgotten"), 1)).keys() == LOSS_KINDS.keys()
    )
    for loss in LOSS_KINDS.values():
        assert loss.help in text
        assert all(label in text for label in loss.labels)


@pytest.mark.parametrize("size", SIZES[2:])
def test_callers_may_be_more_than_are_alive(size: tuple[int, int]) -> None:
    calls = [Calls("read", 1, pid=pid) for pid in range(1, 1101)]
    text = Driver(snapshot(calls, host=replace(HOST, processes=92)), size=size).text()
    assert re.search(r"processes +1,?100 ", text)
    assert " of 92" not in text
    assert re.search(r"alive now +92 ", text)


def test_the_busiest_processes_are_those_of_the_table() -> None:
    calls = [
        Calls("execve", 5, pid=7, comm=b"bash"),
        Calls("read", 900, pid=7, comm=b"cat"),
        Calls("read", 100, pid=8, comm=b"dd"),
    ]
    text = Driver(snapshot(calls), size=(200, 60)).text()
    found = re.findall(r"(bash|cat|dd) +(\d+)/s", text.partition("busiest processes")[2])
    assert found == [("cat", "900"), ("dd", "100"), ("bash", "5")]


def test_a_program_started_by_another_has_its_own_calls() -> None:
    calls = [
        Calls("execve", 5, pid=7, comm=b"bash"),
        Calls("read", 900, pid=7, comm=b"cat"),
        Calls("write", 800, pid=7, comm=b"cat"),
    ]
    driver = Driver(snapshot(calls), size=(132, 24))
    driver.press("v")
    assert re.search(r"cat .* read, write +│", driver.line(" cat "))
    assert re.search(r"bash .* execve +│", driver.line(" bash "))


def test_header() -> None:
    head = Driver(typical(), sort="latency", limits="pid 12").lines((120, 24))[0]
    assert re.match(r" sysdash +web-3 +LIVE 1\.0s +sort latency +filter none, only pid 12 +", head)
    assert re.search(r"window 1\.0s +\d\d:\d\d:\d\d $", head)
    assert "REPLAY" in Driver(typical(), mode="REPLAY").lines()[0]


@pytest.mark.parametrize("columns", range(60, 140))
def test_the_header_always_has_the_window(columns: int) -> None:
    for name in ("web-3", "ip-10-0-12-34.eu-central-1"):
        one = snapshot(CALLS, host=replace(HOST, name=name), interval_ns=10**10)
        for options in ({}, {"interval_s": 10.0, "sort": "latency", "limits": "comm postgres"}):
            driver = Driver(one, size=(columns, 24), **options)
            assert "window 10.0s" in driver.lines()[0]
            assert re.search(r"\b(rate|latency)\b", driver.lines()[0])
            driver.press(" ", "I")
            driver.app.show(Filter(pid=4_194_304, name="/a very long expression/"))
            head = driver.lines()[0]
            assert "PAUSED" in head
            assert "window 10.0s" in head
            assert " pid 41" in head


def test_the_header_gives_up_the_least_first() -> None:
    def head(columns: int, name: str = "ip-10-0-12-34.internal") -> str:
        return Driver(snapshot(CALLS, host=replace(HOST, name=name))).lines((columns, 24))[0]

    clock = r"\d\d:\d\d:\d\d $"
    assert re.match(r" sysdash   web-3    LIVE 1.0s    sort rate   filter none", head(100, "web-3"))
    assert re.match(r" sysdash  web-3   LIVE 1.0s   sort rate  filter none", head(80, "web-3"))
    assert re.match(r" sysdash  ip-10-0-12-…   LIVE 1.0s   sort rate  filter none", head(83))
    assert re.match(r" sysdash  ip-10-0-12-…   LIVE 1.0s   rate  none  window 1.0s", head(71))
    assert re.match(rf" sysdash   LIVE 1.0s   rate  none  window 1.0s +{clock}", head(60))


@pytest.mark.parametrize("size", SIZES)
def test_before_the_first_interval(size: tuple[int, int]) -> None:
    driver = Driver(size=size)
    lines = driver.lines()
    found = next(i for i, line in enumerate(lines) if "loading the probe…" in line)
    end = next(i for i, line in enumerate(lines) if i > 1 and line[0] == "├")
    assert abs(found - (1 + end) / 2) <= 1
    assert lines[found][0] == lines[found][-1] == "│"
    assert "no system calls" not in driver.text()
    for _ in range(4):
        driver.press("v")
        assert driver.text().count("loading the probe…") == 1


def test_an_interval_without_calls() -> None:
    text = Driver(snapshot([])).text()
    assert "no system calls in this interval" in text
    assert "no call took longer" in text


def test_the_heading_of_the_trend_says_that_it_is_of_rates() -> None:
    driver = Driver(typical())
    assert " rates " in driver.line(" Top syscalls ")
    wide = next(line for line in driver.lines((200, 60)) if " Top syscalls " in line)
    assert " calls/s over time " in wide
    assert "trend" not in wide


def test_the_trend_has_one_block_an_interval() -> None:
    driver = Driver(*(snapshot([Calls("read", 10 * n)], second=n) for n in (1, 2, 4)))
    assert re.search(r"▸read .* ▃▄▇ │|▸read .* [▂▃]▄▇ │", driver.text())


def test_a_table_says_which_part_is_on_show_where_there_is_room() -> None:
    calls = [Calls("read", 1000 - pid, pid=pid) for pid in range(1, 58)]
    driver = Driver(snapshot(calls), size=(132, 24))
    assert " of " not in driver.lines()[1]
    driver.press("v")
    assert " Processes 1\u201320 of 57 " in driver.lines()[1]
    driver.press("end")
    assert " Processes 38\u201357 of 57 " in driver.lines()[1]
    # Not at the cost of a heading.
    for size in SIZES:
        assert "calls/s" in driver.lines(size)[1]
    driver.press("s")
    assert " of 57" not in driver.text((132, 80))


def test_more_room_pulls_the_list_up() -> None:
    driver = Driver(snapshot([Calls(name, 1000 - i) for i, name in enumerate(NAMES)]))
    driver.press("end")
    driver.size = (80, 60)
    assert driver.names() == NAMES


def test_a_filter_that_nothing_passes_says_so() -> None:
    driver = Driver(typical())
    driver.press("down")
    for name, hint in (("nobody", False), ("/nobody", True), ("no|body", True), ("/no|b/", False)):
        driver.app.show(Filter(name=name))
        text = driver.text((160, 40))
        assert "no process matches the filter" in text
        assert ("a regular expression goes between slashes: /…/" in text) == hint
        assert not set("▸▹") & set(text)
        assert "made no calls" not in text
        before = driver.text()
        driver.press("enter")
        assert driver.text() == before


def test_a_part_of_a_name_matches_in_any_case() -> None:
    driver = Driver(typical())
    driver.app.show(Filter(name="DD"))
    assert driver.names()[0] == "write"


def test_errors_are_those_of_all_processes_of_a_name() -> None:
    calls = [Calls("openat", 2, pid=pid, comm=b"cc1", errno=2) for pid in range(1, 31)]
    calls += [Calls("openat", 5, pid=99, comm=b"find", errno=2), Calls("read", 7)]
    driver = Driver(snapshot(calls), sort="latency")
    driver.press("v", "v", "v")
    assert driver.names() == ["ENOENT", "ENOENT"]
    assert re.search(r"openat +cc1 +30 +60/s", driver.line(" cc1 "))
    assert re.search(r"openat +find +1 +5(\.0+)?/s", driver.line(" find "))
    assert "s sort" not in driver.lines()[-1]
    assert "sort rate" in driver.lines((120, 24))[0]
    driver.press("s")
    assert driver.app.state.sort == "latency"


@pytest.mark.parametrize("keys", [["v"], ["v", "v", "v"]])
def test_names_are_whole_at_80_columns(keys: list[str]) -> None:
    driver = Driver(snapshot([Calls("read", 5, pid=4_194_304, comm=b"fifteen-letters", errno=2)]))
    driver.press(*keys)
    assert " fifteen-letters " in driver.text()


@pytest.mark.parametrize("size", SIZES[2:])
def test_the_columns_of_slow_calls_grow_and_then_stay_where_they_are(
    size: tuple[int, int],
) -> None:
    def headings(driver: Driver) -> list[int]:
        line = driver.line(" Slow calls ")
        return [line.index(name) for name in ("took", "process", "pid/tid", "arguments")]

    short = Slow("read", 10**8, 1, 1, b"a", 0)
    long = Slow("clock_nanosleep", 10**9, 4_194_303, 4_194_304, b"fifteen-letters", -516)
    driver = Driver(snapshot(CALLS, [short]), size=size)
    least = headings(driver)
    driver.add(snapshot(CALLS, [long], second=2))
    assert " clock_nanosleep " in driver.text()
    grown = headings(driver)
    assert grown > least
    # Calls that need less, or none at all, move nothing.
    for name in ("a", "nobody"):
        driver.app.show(Filter(name=f"/^{name}$/"))
        assert headings(driver) == grown
    driver.press("enter")
    assert headings(driver) == grown


# --- Hostile and random input ---


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("size", [(60, 15), (80, 24), (200, 60)])
def test_hostile_names_do_no_harm(name: bytes, size: tuple[int, int]) -> None:
    calls = [Calls("read", 10, pid=1, comm=name), Calls("write", 9, pid=2, comm=b"ok", errno=5)]
    text = units.safe(name)
    target = replace(file("/x"), names=(name, b"folder"))
    hostile = Slow("read", 10**8, comm=name, detail=detail(target, [f"{text}`{text}+1"]))
    driver = Driver(snapshot(calls, [hostile], in_flight=[hostile]), size=size)
    for keys in ([], ["enter"], ["v"], ["v"], ["enter"], ["v"], ["v", "tab", "down"], ["enter"]):
        driver.press(*keys)
        for line in driver.lines():
            assert line.isprintable()
            assert not re.search("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]", line)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 260),
    st.integers(1, 80),
    st.lists(
        st.tuples(
            st.integers(-1, 2000),
            st.integers(0, 2),
            st.integers(1, 10**6),
            st.one_of(st.none(), st.integers(0, 10**13)),
            st.binary(max_size=16),
            st.sampled_from([0, 0, 2, 4095]),
        ),
        max_size=30,
    ),
    st.lists(
        st.sampled_from(["down", "end", "enter", "tab", "v", "s", "I", "?", "p", "n", "esc", " "]),
        max_size=8,
    ),
)
def test_any_size_any_data_any_keys(
    columns: int,
    rows: int,
    made: list[tuple[int, int, int, int | None, bytes, int]],
    keys: list[str],
) -> None:
    with set_temporary_encoding("utf8"):
        calls = [
            Calls("read", n % 2**32 + 1, ns, i + 1, comm, errno, abi, number)
            for i, (number, abi, n, ns, comm, errno) in enumerate(made)
        ]
        slow = [
            Slow("read", ns or 0, comm=comm, detail=detail(stack=[units.safe(comm)]))
            for _, _, _, ns, comm, _ in made
        ]
        in_flight = [replace(call, name="poll") for call in slow[::2]] + slow
        one = snapshot(calls, slow, in_flight=in_flight, in_flight_more=len(calls))
        driver = Driver(one, snapshot([], second=2, in_flight=slow), size=(columns, rows))
        driver.press(*keys)
        driver.add(snapshot(calls[::2], slow[:1], second=3, in_flight=slow[1:]))
        driver.press(*keys)


@pytest.mark.parametrize("size", SIZES)
def test_only_styles_of_the_theme_are_used(size: tuple[int, int]) -> None:
    known = {entry[0] for entry in palette("default")}
    lost = {"calls": 1, "unattributed": 1, "slow_ring": 1}
    calls = [Slow("read", 10**9, ret=-2, detail=detail(stack=["kernel`f"])), Slow("poll", 10**9)]
    driver = Driver(snapshot(CALLS, calls, lost=lost, in_flight=calls), size=size)
    for keys in (
        [], ["s"], [" "], ["tab", "down"], ["enter"], ["esc"], ["v"], ["v"], ["enter"], ["v"],
        ["enter"], ["esc"], ["p"],
    ):  # fmt: skip
        driver.press(*keys)
        assert driver.styles() <= known
    driver.press("x", "enter")
    assert "prompt.error" in driver.styles()
    assert driver.styles() <= known


def test_ascii_where_the_encoding_has_no_more() -> None:
    with set_temporary_encoding("ascii"):
        driver = Driver(snapshot([Calls("read", 5, 3_000, comm="漢字".encode())]))
        driver.press("v")
        text = driver.text()
    assert text.isascii()
    assert "+ Processes =" in text
    assert "???? " in text
    assert "3.00us" in text


def test_another_abi_and_unknown_numbers_have_their_names() -> None:
    calls = [
        Calls("read", 30, abi=1, number=3),
        Calls("read", 20),
        Calls("read", 10, number=9999),
    ]
    assert Driver(snapshot(calls), size=(120, 30)).names()[:1] == ["read"]
    text = Driver(snapshot(calls), size=(120, 30)).text()
    assert "read (ia32)" in text
    assert "[unknown: 9999]" in text


def test_the_selected_syscall_is_the_app_s() -> None:
    driver = Driver(typical())
    assert driver.app.state.syscall == Syscall(nr("read"))
