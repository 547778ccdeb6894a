"""The strip of time: what it draws, what its title says, and which time is under a column."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import history, snapshot
from test_timeline import BEGIN_NS, DAY_NS, timeline
from urwid.util import set_temporary_encoding

from sysdash.model import Filter
from sysdash.panels.cells import Line
from sysdash.panels.cells import width as line_width
from sysdash.panels.timeaxis import GUTTER, AxisRow, TimeAxis, length, moment, plot_columns
from sysdash.panels.timeline import TimelinePanel, heights
from sysdash.timeline import Timeline, Window
from sysdash.ui_state import Scene, UiState, scene

S = 1_000_000_000
M = 60 * S
COLUMNS = 78
"""Inside the border of a screen of 80: a plot of 70 columns."""


@pytest.fixture(autouse=True)
def _utc_and_utf8(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with set_temporary_encoding("utf8"):
        yield
    monkeypatch.undo()
    time.tzset()


def seconds(*calls: int, slow: tuple[int, ...] = ()) -> Timeline:
    """Intervals of a second; None calls would be a gap."""
    made = timeline([(0, S, number) for number in calls])
    marks = np.array([i in slow for i in range(len(calls))], dtype=np.int64)
    return replace(made, slow=marks)


def scene_of(times: Timeline | None, strip: Window | None = None) -> Scene:
    past = history(snapshot()).past
    assert past is not None
    whole = times.span if times is not None else Window(0, 0)
    return scene(past, Filter(), strip=strip or whole, timeline=times)


def panel(times: Timeline, strip: Window | None = None, **state: object) -> TimelinePanel:
    made = TimelinePanel(UiState(**state))  # type: ignore[arg-type]
    made.update(scene_of(times, strip), made.state)
    return made


def drawn(made: TimelinePanel, rows: int = 2, columns: int = COLUMNS) -> list[str]:
    lines = made.full(columns, rows, focus=False)
    assert all(line_width(line) == columns for line in lines)
    return ["".join(text for _, text in line) for line in lines]


def styles(line: Line) -> list[str]:
    """The style of each column of a line."""
    return [style for style, text in line for _ in text]


def plot(line: str) -> str:
    return line[GUTTER:-1]


SEVENTY = seconds(*range(70))


# --- The plot ---


@given(st.lists(st.floats(0, 1e9) | st.just(float("nan")), max_size=40), st.integers(1, 6))
def test_nothing_is_as_high_as_no_calls_and_the_most_is_the_highest(
    rates: list[float], rows: int
) -> None:
    known = [rate for rate in rates if rate == rate]
    for rate, height in zip(rates, heights(rates, rows), strict=True):
        assert (height is None) == (rate != rate)
        assert (height == 1) == (rate == 0)
        if rate > 0:
            assert height is not None
            assert 2 <= height <= rows * 8
            assert rate < max(known) or height == rows * 8


def test_more_calls_are_higher_and_a_gap_is_not_zero() -> None:
    made = panel(timeline([(0, 10 * S, 0), (0, 10 * S, 50), (20 * S, 10 * S, 100), (0, 20 * S, 0)]))
    row = plot(drawn(made)[0])
    assert row == "▁" * 10 + "▄" * 10 + "╌" * 20 + "█" * 10 + "▁" * 20


def test_more_rows_are_finer() -> None:
    top, bottom, _ = (plot(row) for row in drawn(panel(seconds(1, 2, 3, 4, *[8] * 66)), rows=3))
    assert top[:5] == "    █"
    assert bottom[:5] == "▂▄▆██"


def test_the_scale_is_beside_the_plot() -> None:
    lines = drawn(panel(seconds(1000, 372_000)), rows=4)
    assert [line[:GUTTER] for line in lines] == ["  372K ", "     0 ", "  slow ", "    /s "]
    assert drawn(panel(seconds(1000, 372_000)), rows=1)[0].startswith("  372K ")


def test_slow_calls_have_a_row_of_marks_or_the_colour_of_their_column() -> None:
    made = panel(seconds(*[5] * 70, slow=(3, 9)))
    row = plot(drawn(made, rows=4)[2])
    assert [i for i, char in enumerate(row) if char == "•"] == [3, 9]
    found = styles(made.full(COLUMNS, 2, focus=False)[0])[GUTTER:]
    assert [i for i, style in enumerate(found) if style == "timeline.slow"] == [3, 9]


def test_every_slow_call_has_its_mark_where_a_column_is_many_intervals() -> None:
    times = seconds(*[5] * 700, slow=(0, 699, 345))
    assert drawn(panel(times), rows=6)[4].count("•") == 3


# --- Cursor and windows ---


def test_the_cursor_is_in_the_column_of_its_interval_with_its_time() -> None:
    made = panel(SEVENTY, cursor_ns=int(SEVENTY.end_ns[30]))
    lines = drawn(made)
    found = styles(made.full(COLUMNS, 2, focus=False)[0])[GUTTER:]
    assert [i for i, style in enumerate(found) if style == "timeline.cursor"] == [30]
    assert plot(lines[1])[30:].startswith("▲ 22:13:51")


def test_the_cursor_is_as_wide_as_its_interval() -> None:
    times = seconds(*[5] * 7)
    made = panel(times, cursor_ns=int(times.end_ns[2]))
    found = styles(made.full(COLUMNS, 2, focus=False)[0])[GUTTER:]
    assert [i for i, style in enumerate(found) if style == "timeline.cursor"] == list(range(20, 30))


@pytest.mark.parametrize(("place", "text"), [(69, "22:14:30 ▲"), (0, "▲ 22:13:21")])
def test_the_cursor_s_time_is_where_there_is_room(place: int, text: str) -> None:
    row = plot(drawn(panel(SEVENTY, cursor_ns=int(SEVENTY.end_ns[place])))[1])
    assert text in row
    assert row.index("▲") == place


def test_windows_are_told_by_style_and_by_brackets() -> None:
    marked = Window(int(SEVENTY.begin_ns[40]), int(SEVENTY.end_ns[60]))
    compared = Window(int(SEVENTY.begin_ns[5]), int(SEVENTY.end_ns[15]))
    made = panel(SEVENTY, marked=marked, compared=compared)
    top, axis = made.full(COLUMNS, 2, focus=False)
    found = styles(top)[GUTTER:]
    assert [i for i, style in enumerate(found) if style == "timeline.window"] == [*range(40, 61)]
    assert [i for i, style in enumerate(found) if style == "timeline.compared"] == [*range(5, 16)]
    row = plot("".join(text for _, text in axis))
    assert (row[40], row[60], row[5], row[15]) == ("[", "]", "(", ")")


def test_a_window_that_goes_on_beside_the_strip_has_no_bracket_there() -> None:
    marked = Window(int(SEVENTY.begin_ns[0]) - S, int(SEVENTY.end_ns[20]))
    row = plot(drawn(panel(SEVENTY, marked=marked))[1])
    assert "[" not in row
    assert row[20] == "]"


# --- Times under the plot ---


@given(st.integers(0, 2**62), st.integers(1, 400 * DAY_NS), st.integers(1, 300))
def test_ticks_are_in_their_columns_and_apart(begin: int, span: int, columns: int) -> None:
    axis = TimeAxis(Window(begin, begin + span), columns)
    ticks = axis.ticks()
    for (column, label), (following, _) in pairwise(ticks):
        assert column + len(label) < following
    labels = [label for _, label in ticks]
    assert len(set(labels)) == len(labels) or span > 300 * DAY_NS


@pytest.mark.parametrize(
    ("span", "label"),
    [
        (70 * S // 1000, "╵22:13:20.020"),
        (7 * S, "╵22:13:22"),
        (70 * S, "╵22:13:30"),
        (15 * M, "╵22:16"),
        (7 * 60 * M, "╵23:00"),
        (2 * DAY_NS, "╵11-15 00:00"),
        (40 * DAY_NS, "╵11-"),
    ],
)
def test_round_times_are_under_the_plot(span: int, label: str) -> None:
    assert label in drawn(panel(timeline([(0, span, 5)])))[1]


def test_round_times_are_those_of_the_local_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "NPT-5:45")
    time.tzset()
    labels = [label for _, label in TimeAxis(Window(BEGIN_NS, BEGIN_NS + 7 * 60 * M), 70).ticks()]
    assert labels == ["╵04:00", "╵05:00", "╵06:00", "╵07:00", "╵08:00", "╵09:00", "╵10:00"]


def test_a_tick_stands_under_its_time() -> None:
    row = plot(drawn(panel(SEVENTY))[1])
    # The column of what ended up to 22:13:30, ten seconds after the beginning.
    assert row.index("╵22:13:30") == 9


def test_labels_do_not_cover_each_other() -> None:
    row = AxisRow(12, "text")
    assert row.put(0, "one", "text")
    assert not row.put(3, "two", "text")
    assert row.put(4, "two", "text")
    assert not row.put(10, "six", "text")
    row.point(8, "far too long", "mark")
    assert "".join(text for _, text in row.line()) == "one two ▲   "


def test_lengths_and_moments() -> None:
    assert [length(ns) for ns in (15 * M, 904 * S, 62 * S, 2 * S, 2 * 60 * M, DAY_NS)] == [
        "15m", "15m04s", "1m02s", "2.00s", "2h", "1d",
    ]  # fmt: skip
    assert moment(BEGIN_NS, S) == "22:13:20"
    assert moment(BEGIN_NS, 2 * DAY_NS) == "11-14 22:13:20"
    assert moment(BEGIN_NS + S // 2, S, S // 10) == "22:13:20.5"
    assert moment(BEGIN_NS, DAY_NS, M) == "22:13"


# --- Titles ---


def longest(made: TimelinePanel, columns: int = COLUMNS) -> str:
    drawn(made, columns=columns)
    titles = made.titles()
    assert all(len(title) + 2 <= columns for title in titles)
    return titles[0]


def test_the_title_says_what_time_it_is_about() -> None:
    made = panel(seconds(*[5] * 900))
    assert longest(made) == "Timeline 22:13:20 – 22:28:20 (15m)"
    strip = Window(BEGIN_NS + M, BEGIN_NS + 2 * M)
    made = panel(seconds(*[5] * 900), strip, zoom=strip)
    assert longest(made) == "Timeline zoomed 22:14:20 – 22:15:20 (1m)  60 intervals"


def test_the_title_says_which_window_is_marked_as_far_as_there_is_room() -> None:
    times = seconds(*[5] * 900)
    made = panel(times, marked=Window(BEGIN_NS + M, BEGIN_NS + M + 62 * S))
    assert longest(made, 120) == (
        "Timeline 22:13:20 – 22:28:20 (15m)  window 22:14:20 – 22:15:22, 1m02s, 62 intervals"
    )
    assert longest(made) == "Timeline 22:13:20 – 22:28:20 (15m)  window 22:14:20 – 22:15:22, 1m02s"
    assert longest(made, 62) == "Timeline  window 22:14:20 – 22:15:22, 1m02s, 62 intervals"
    assert longest(made, 12) == "Timeline"


def test_the_title_says_what_is_at_the_cursor_or_compared() -> None:
    made = panel(SEVENTY, cursor_ns=int(SEVENTY.end_ns[30]))
    assert longest(made).endswith("cursor 22:13:51, 30 calls/s")
    made = panel(SEVENTY, compared=Window(BEGIN_NS, BEGIN_NS + S))
    assert "compared with 22:13:20.0 – 22:13:21.0, 1.00s, 1 interval" in longest(made, 100)


# --- Columns and times ---


@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 5 * S]), st.integers(1000, 9 * S), st.just(1)),
             min_size=1, max_size=200),
    st.integers(0, 69),
)  # fmt: skip
def test_the_time_at_a_column_is_shown_in_it(made: list[tuple[int, int, int]], column: int) -> None:
    times = timeline(made)
    strip = panel(times)
    strip.full(COLUMNS, 2, focus=False)
    at = strip.time_at(GUTTER + column)
    assert at in times.end_ns.tolist()
    assert at is not None
    place = times.at(at)
    axis = TimeAxis(times.span, plot_columns(COLUMNS))
    shown = axis.span(Window(int(times.begin_ns[place]), at))
    # In a gap, it is the interval before it.
    assert column in shown or np.isnan(times.rates(axis.piece(column), 1)[0])
    assert column >= shown[0]
    assert strip.column_of(at) == GUTTER + shown[-1]


def test_a_column_of_many_intervals_is_the_last_of_them() -> None:
    times = seconds(*[5] * 700)
    made = panel(times)
    drawn(made)
    assert made.time_at(GUTTER) == times.end_ns[9]
    assert made.time_at(GUTTER + 69) == times.end_ns[-1]


def test_beside_the_plot_there_is_no_time_unless_the_nearest_will_do() -> None:
    made = panel(SEVENTY)
    drawn(made)
    assert made.time_at(GUTTER - 1) is made.time_at(COLUMNS - 1) is made.time_at(-3) is None
    assert made.time_at(-3, nearest=True) == SEVENTY.end_ns[0]
    assert made.time_at(500, nearest=True) == SEVENTY.end_ns[-1]
    assert made.column_of(BEGIN_NS) is made.column_of(BEGIN_NS + 71 * S) is None


# --- Nothing to show ---


def test_without_intervals_it_says_so_and_does_nothing_else() -> None:
    made = TimelinePanel(UiState())
    assert drawn(made) == [" " * COLUMNS] * 2
    for times in (None, timeline([])):
        made.update(scene_of(times), made.state)
        assert drawn(made)[0].strip() == "no intervals yet"
        assert made.titles() == ["Timeline"]
        assert made.time_at(GUTTER) is made.column_of(BEGIN_NS) is None


@given(st.integers(1, 6), st.integers(10, 250), st.integers(1, 5 * S), st.integers(0, 80 * S))
def test_any_size_and_any_strip(rows: int, columns: int, span: int, begin: int) -> None:
    strip = Window(BEGIN_NS + begin, BEGIN_NS + begin + span)
    made = panel(SEVENTY, strip, cursor_ns=BEGIN_NS + begin, marked=strip)
    assert len(drawn(made, rows, columns)) == rows


def test_it_can_be_drawn_in_ascii() -> None:
    times = timeline([(0, 10 * S, 1), (5 * S, 10 * S, 9), (0, 45 * S, 5)])
    made = panel(times, cursor_ns=int(times.end_ns[1]), marked=times.span)
    with set_temporary_encoding("ascii"):
        text = [line.decode("ascii") for line in made.render((COLUMNS, 2)).text]
    assert "~~~~" in text[0]
    assert "^ 22:13:45" in text[1]
