"""The heatmap: what it draws, what its colours mean, and how a region is selected."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import urwid
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import Calls, history, nr, snapshot
from test_timeline import timeline
from urwid.util import set_temporary_encoding

from sysdash.heat import Heat, HeatTally
from sysdash.keys import Command, Context
from sysdash.model import Filter, Syscall, view
from sysdash.panels.cells import Line
from sysdash.panels.cells import width as line_width
from sysdash.panels.heatmap import HeatmapPanel, Region, Scale
from sysdash.panels.timeaxis import GUTTER, plot_columns
from sysdash.panels.timeline import TimelinePanel
from sysdash.theme import palette
from sysdash.timeline import Timeline, Window
from sysdash.ui_state import UiState, scene

S = 1_000_000_000
READ = Syscall(nr("read"))
COLUMNS = 58
"""A plot of 50 columns."""
WIDE = 158
PLOT = plot_columns(COLUMNS)

FIFTY = timeline([(0, S, 1)] * 50)
GAP = timeline([(0, S, 1)] * 20 + [(10 * S, S, 1)] + [(0, S, 1)] * 19)

Interval = tuple[Calls, ...]


@pytest.fixture(autouse=True)
def _utc_and_utf8(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with set_temporary_encoding("utf8"):
        yield
    monkeypatch.undo()
    time.tzset()


def reads(count: int, latency_ns: int = 2000) -> Calls:
    return Calls("read", count, latency_ns)


def heat_of(times: Timeline, intervals: Mapping[int, Interval], columns: int = 240) -> Heat:
    """What intervals by number made; those that are not named are still to be added up."""
    tally = HeatTally(READ, Filter())
    for place, calls in intervals.items():
        table = view(snapshot(calls, interval_ns=int(times.length_ns[place])), Filter()).calls
        assert tally.add(int(times.end_ns[place]), table)
    return tally.heat(times, times.span, columns)


def panel(
    intervals: Mapping[int, Interval],
    times: Timeline = FIFTY,
    heat: Heat | None = None,
    **state: Any,
) -> HeatmapPanel:
    made = HeatmapPanel(UiState(**{"syscall": READ, **state}))
    show(made, heat or heat_of(times, intervals), times)
    return made


def show(made: HeatmapPanel, heat: Heat | None, times: Timeline = FIFTY) -> None:
    past = history(snapshot()).past
    assert past is not None
    made.update(scene(past, Filter(), strip=times.span, timeline=times, heat=heat), made.state)


def lines_of(made: HeatmapPanel, rows: int = 6, columns: int = COLUMNS) -> list[Line]:
    lines = made.full(columns, rows, focus=True)
    assert len(lines) == rows
    assert all(line_width(line) == columns for line in lines)
    return lines


def drawn(made: HeatmapPanel, rows: int = 6, columns: int = COLUMNS) -> list[str]:
    return ["".join(text for _, text in line) for line in lines_of(made, rows, columns)]


def styles(line: Line) -> list[str]:
    return [style for style, text in line for _ in text][GUTTER:-1]


def plot(line: str) -> str:
    return line[GUTTER:-1]


def every(calls: Interval) -> dict[int, Interval]:
    return dict.fromkeys(range(50), calls)


def press(made: HeatmapPanel, *commands: Command, rows: int = 6, columns: int = COLUMNS) -> None:
    """Commands, each followed by a frame, as in the dashboard."""
    drawn(made, rows, columns)
    for command in commands:
        assert made.command(command)
        drawn(made, rows, columns)


# --- The picture ---


def test_time_goes_to_the_right_and_latency_upwards() -> None:
    made = panel({**every(()), 10: (reads(5, 2000),), 30: (reads(5, 9000),)})
    lines = drawn(made)
    places = {
        line[:GUTTER].strip(): len(plot(line)) - len(plot(line).lstrip())
        for line in lines[:-1]
        if plot(line).strip()
    }
    assert places == {"≥8µs": 30, "≥1µs": 10}
    labels = [line[:GUTTER].strip() for line in lines[:-1]]
    assert labels == ["≥16µs", "≥8µs", "≥4µs", "≥2µs", "≥1µs"]


def test_each_octave_of_calls_is_on_show_however_few_rows_there_are() -> None:
    wide = tuple(reads(1, 2**octave) for octave in range(6, 37))
    for rows in (2, 3, 6, 12, 25, 34):
        lines = drawn(panel(every(wide)), rows)
        picture = [line for line in lines[: -2 if rows >= 8 else -1] if plot(line).strip()]
        assert len(picture) == min(rows - (2 if rows >= 8 else 1), 31)
        assert all(plot(line) == plot(line)[0] * 50 for line in picture)


def test_nothing_few_many_and_not_known_all_differ() -> None:
    made = panel({i: (reads(10**i),) if i < 6 else () for i in range(40)}, times=GAP)
    row = next(line for line in lines_of(made) if "█" in "".join(text for _, text in line))
    text = plot("".join(part for _, part in row))
    assert text[:7] == "░░▒▓██ "
    assert text[19:31] == " " + "╌" * 10 + " "
    found = styles(row)
    shades = [int(style.removeprefix("heat.")) for style in found[:6]]
    assert shades == sorted(shades)
    assert (shades[0], shades[5]) == (1, 8)
    assert found[6:] == ["text"] * 14 + ["timeline.gap"] * 10 + ["text"] * 20


@given(st.floats(0.01, 1e15))
def test_a_scale_goes_up_to_the_most_calls_in_equal_factors(most: float) -> None:
    scale = Scale.up_to(most)
    assert most <= scale.most <= max(10, 5 * most)
    assert scale.shades(np.array([0.0, 0.2, 1.0, scale.most])).tolist() == [0, 1, 1, 8]
    edges = scale.most ** (np.arange(8) / 8)
    assert scale.shades(edges * 1.0001).tolist() == list(range(1, 9))
    assert scale.shades(edges[1:] * 0.9999).tolist() == list(range(1, 8))


@given(st.floats(1, 1e15), st.integers(1, 8))
def test_a_legend_has_every_shade_and_says_where_powers_of_ten_begin(
    most: float, labels: int
) -> None:
    scale = Scale.up_to(most)
    for line in (scale.legend(labels), scale.short()):
        shades = [style for style, _ in line if style.startswith("heat.")]
        assert shades == [f"heat.{shade}" for shade in range(1, 9)]
    text = [text.strip() for _, text in scale.legend(labels)]
    assert len([part for part in text if part.isalnum()]) <= labels
    for i, part in enumerate(text):
        if part.isalnum():
            thousands = " KMGTPE".index(part[-1]) if part[-1].isalpha() else 0
            number = float(part.rstrip("KMGTPE")) * 1000**thousands
            shade = int(scale.legend(labels)[i + 1][0].removeprefix("heat."))
            assert scale.most ** ((shade - 1) / 8) >= number * 0.999
            assert shade == 1 or scale.most ** ((shade - 2) / 8) < number


def test_the_legend_is_below_the_picture() -> None:
    made = panel(every((reads(1000),)))
    assert drawn(made)[-1].endswith("calls in 1.00s: 1 ░░▒ 10 ▒▓▓ 100 ██ ")
    made = panel(every((reads(1_700_000),)))
    assert drawn(made)[-1].endswith("1 ░░ 10 ▒ 100 ▒ 1K ▓▓ 10K █ 100K █ ")


def test_a_column_of_more_intervals_than_another_is_not_brighter() -> None:
    # 90 intervals in 50 columns: one or two in each.
    times = timeline([(0, S, 1)] * 90)
    made = panel({i: (reads(1000),) for i in range(90)}, times)
    row = next(line for line in lines_of(made) if "heat.8" in styles(line) or "█" in str(line))
    assert len(set(styles(row))) == 1


def test_tall_panels_have_the_times_below() -> None:
    made = panel(every((reads(5),)), cursor_ns=int(FIFTY.end_ns[10]))
    lines = drawn(made, 8)
    assert "▲ 22:13:31" in lines[-2]
    assert "╵22:14:00" in lines[-2]
    assert "22:13" not in drawn(made, 7)[-1]


def test_its_columns_are_those_of_the_strip_of_the_same_width() -> None:
    made = panel({**every(()), 17: (reads(9),)})
    strip = TimelinePanel(made.state)
    strip.update(made.scene, made.state)
    strip.full(COLUMNS, 2, focus=False)
    row = next(line for line in drawn(made) if "░" in plot(line) or "█" in plot(line))
    assert strip.column_of(int(FIFTY.end_ns[17])) == row.index("█" if "█" in row else "▓")


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(12, 250), st.data())
def test_any_size(rows: int, columns: int, data: st.DataObject) -> None:
    made = panel(every((reads(5), reads(10**6, 10**7), reads(1, 10**11))))
    movable = st.sampled_from([
        Command.UP, Command.DOWN, Command.EARLIER, Command.LATER, Command.EXTEND_UP,
        Command.EXTEND_DOWN, Command.EXTEND_EARLIER, Command.EXTEND_LATER, Command.FIRST,
        Command.LAST, Command.MUCH_EARLIER, Command.MUCH_LATER,
    ])  # fmt: skip
    press(made, *data.draw(st.lists(movable, max_size=6)), rows=rows, columns=columns)
    with set_temporary_encoding("ascii"):
        for line in made.render((columns, rows)).text:
            assert len(line.decode("ascii")) == columns


def test_it_can_be_drawn_in_ascii() -> None:
    made = panel({i: (reads(10**i),) if i < 6 else () for i in range(40)}, times=GAP)
    with set_temporary_encoding("ascii"):
        rows = [line.decode("ascii") for line in made.render((COLUMNS, 6)).text]
    row = next(plot(row) for row in rows if "#" in row)
    assert row[:6] == "..:+##"
    assert "~" * 10 in row
    assert rows[-1].endswith("1 .. 10 :: 100 + 1K +# 10K # ")


# --- Colours ---


@pytest.mark.parametrize("theme", ["default", "light"])
def test_shades_are_in_the_order_of_their_lightness(theme: str) -> None:
    entries = {entry[0]: entry for entry in palette(theme)}

    def lightness(shade: int) -> float:
        _, _, _, _, text, back = entries[f"heat.{shade}"]
        assert text == back, "one colour, whatever the shade character"
        red, green, blue = urwid.AttrSpec(text, back, 256).get_rgb_values()[:3]
        assert red is not None
        assert green is not None
        assert blue is not None
        linear = [(value / 255) ** 2.2 for value in (red, green, blue)]
        # Of CIE 1976, from the luminance of sRGB.
        return float(116 * np.cbrt(np.dot(linear, [0.2126, 0.7152, 0.0722])) - 16)

    found = [lightness(shade) for shade in range(1, 9)]
    assert found == sorted(found, reverse=theme == "light")
    # The least can be told from the ground, and each from the next but one.
    ground = 0 if theme == "default" else 100
    assert abs(found[0] - ground) > 15
    assert all(abs(one - other) > 12 for one, other in zip(found, found[2:], strict=False))


@pytest.mark.parametrize("theme", ["default", "light", "mono"])
def test_with_few_colours_shades_differ_by_colour_or_by_character(theme: str) -> None:
    entries = {entry[0]: entry for entry in palette(theme)}
    glyphs = [text for style, text in Scale(10).legend(1) if style.startswith("heat.")]
    for column in (1, 3):
        looks = [(glyph, entries[f"heat.{shade}"][column]) for shade, glyph in enumerate(glyphs, 1)]
        assert len(set(looks)) == 8
    assert "".join(glyphs) == "░░▒▒▓▓██"


# --- What it says ---


def test_the_title_has_the_syscall_the_error_and_the_time() -> None:
    made = panel(every((reads(5),)))
    drawn(made)
    assert made.titles() == [
        "Latency over time: read  22:13:20 – 22:14:10", "Latency over time: read",
    ]  # fmt: skip
    drawn(made, columns=40)
    assert made.titles() == ["Latency over time: read"]
    made = panel(every((reads(5),)), detail=True, errno=11)
    assert made.title() == "Latency over time: read: EAGAIN"
    assert HeatmapPanel(UiState()).title() == "Latency"


def test_it_says_that_it_is_still_adding_up() -> None:
    made = panel(dict.fromkeys(range(30, 50), (reads(5),)))
    lines = drawn(made)
    assert "adding up 20 of 50 intervals…" in lines[-1]
    assert all(plot(line)[:30] == "╌" * 30 for line in lines[:-1])
    show(made, heat_of(FIFTY, {}))
    assert "adding up 0 of 50 intervals…" in drawn(made)[-1]
    show(made, heat_of(FIFTY, every((reads(5),))))
    assert "adding" not in drawn(made)[-1]


def test_it_says_that_there_is_no_room_for_more() -> None:
    part = dict.fromkeys(range(30, 50), (reads(5),))
    heat = heat_of(FIFTY, part, PLOT)
    text = drawn(panel({}, heat=replace(heat, full=True)))[-1]
    assert "only 20 of 50 intervals: zoom in for all" in text


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({}, "read made no calls in this time"),
        ({"filter": Filter(pid=3)}, "read made no calls in this time, among those shown"),
        ({"detail": True, "errno": 11}, "no read failed with EAGAIN in this time"),
    ],
)
def test_it_says_that_there_is_nothing(state: dict[str, Any], text: str) -> None:
    made = panel(every(()), **state)
    assert drawn(made)[0].strip() == text
    assert not made.command(Command.UP)
    assert made.region is None


def test_before_there_is_any_data_it_is_empty() -> None:
    made = HeatmapPanel(UiState())
    assert "".join(drawn(made)).strip() == ""
    show(made, None)
    assert "".join(drawn(made)).strip() == ""
    made.click(20, 2)
    made.drag(30, 3)
    assert (made.region, made.context) == (None, Context.HEATMAP)


# --- Selecting ---


def test_the_first_arrow_goes_to_the_most_calls_of_the_newest_column() -> None:
    made = panel({**every(()), 40: (reads(3), reads(9, 9000))})
    press(made, Command.EARLIER)
    window = Window(int(FIFTY.begin_ns[40]), int(FIFTY.end_ns[40]))
    assert made.region == Region(window, 8192, 16384)
    assert made.context is Context.REGION
    assert drawn(made)[-1].startswith(" 22:14:00.0 – 22:14:01.0  8µs – 16µs  9 calls ")


def test_the_first_arrow_goes_to_the_time_cursor_where_there_is_one() -> None:
    made = panel(every((reads(7),)), cursor_ns=int(FIFTY.end_ns[12]))
    press(made, Command.UP)
    assert made.region is not None
    assert made.region.window.end_ns == FIFTY.end_ns[12]


def test_arrows_move_the_cell_and_it_stays_in_the_picture() -> None:
    made = panel(every((reads(7),)))
    press(made, Command.EARLIER, Command.EARLIER, Command.EARLIER, Command.LATER, Command.UP)
    lines = drawn(made)
    at = [(row, line.index("┼")) for row, line in enumerate(lines) if "┼" in line]
    assert at == [(1, GUTTER + 48)]
    assert made.region is not None
    assert (made.region.low_ns, made.region.high_ns) == (2048, 4096)
    press(made, *[Command.LATER] * 3, *[Command.UP] * 9)
    assert drawn(made)[0].index("┼") == GUTTER + 49
    press(made, Command.FIRST, *[Command.DOWN] * 9)
    assert drawn(made)[4].index("┼") == GUTTER
    press(made, Command.LAST)
    assert drawn(made)[4].index("┼") == GUTTER + 49


def test_extending_makes_a_rectangle_with_all_its_calls() -> None:
    made = panel(every((reads(7, 2000), reads(2, 3000), reads(100, 9000))))
    press(made, *[Command.FIRST] * 2, *[Command.DOWN] * 4)
    press(made, *[Command.EXTEND_LATER] * 3, Command.EXTEND_UP)
    region = made.region
    assert region is not None
    assert region.window == Window(int(FIFTY.begin_ns[0]), int(FIFTY.end_ns[3]))
    assert (region.low_ns, region.high_ns) == (1024, 4096)
    lines = drawn(made)
    assert lines[-1].startswith(" 22:13:20 – 22:13:24  1µs – 4µs  36 calls ")
    edges = [
        [i for i, style in enumerate(styles(line)) if style.startswith("heat.edge")]
        for line in lines_of(made)
    ]
    assert [plot(line)[:4] for line in lines[3:5]] == ["┌──┼", "└──┘"]
    assert sorted(i for row in edges for i in row) == [0, 0, 1, 1, 2, 2, 3]
    # The other way, over the cell where it began.
    press(made, *[Command.EXTEND_EARLIER] * 3, Command.EXTEND_DOWN)
    assert made.region == Region(Window(int(FIFTY.begin_ns[0]), int(FIFTY.end_ns[0])), 1024, 2048)


def test_moving_without_shift_gives_the_rectangle_up() -> None:
    made = panel(every((reads(7),)))
    press(made, Command.EARLIER, Command.EXTEND_EARLIER, Command.EXTEND_EARLIER, Command.EARLIER)
    assert made.region is not None
    assert made.region.window.length_ns == S


def test_escape_drops_the_region() -> None:
    made = panel(every((reads(7),)))
    press(made, Command.EARLIER, Command.EXTEND_UP)
    made.drop()
    assert (made.region, made.context) == (None, Context.HEATMAP)
    assert "┼" not in "".join(drawn(made))
    press(made, Command.EARLIER, Command.DROP_REGION)
    assert made.region is None


def test_commands_that_are_not_its_own_are_left() -> None:
    made = panel(every((reads(7),)))
    drawn(made)
    assert not made.command(Command.OPEN)
    assert not made.command(Command.QUIT)


def test_a_cell_of_a_long_interval_is_all_of_its_columns() -> None:
    times = timeline([(0, 10 * S, 1)] * 5)
    made = panel({i: (reads(i + 1),) for i in range(5)}, times)
    press(made, Command.EARLIER, Command.EARLIER)
    window = Window(int(times.begin_ns[3]), int(times.end_ns[3]))
    assert made.region is not None
    assert made.region.window == window
    assert "  4 calls " in drawn(made)[-1]
    press(made, Command.EXTEND_EARLIER)
    assert "  7 calls " in drawn(made)[-1]
    # In between, columns are of the same interval: each step is another one.
    press(made, Command.EARLIER)
    assert "  2 calls " in drawn(made)[-1]
    press(made, Command.EARLIER)
    assert "  1 call " in drawn(made)[-1]


def test_the_cell_stays_at_its_time_and_latency() -> None:
    made = panel({i: (reads(i + 1),) for i in range(50)})
    press(made, Command.FIRST, Command.EARLIER)
    before = made.region
    # Later, the strip shows other times, and a call that took long.
    later = timeline([(0, S, 1)] * 60)
    calls: dict[int, Interval] = {i: (reads(i + 1),) for i in range(60)}
    show(made, heat_of(later, {**calls, 55: (reads(1, 10**9),)}), later)
    drawn(made, 20, 7 + 60 + 1)
    assert before is not None
    assert made.region == before


def test_the_mouse_selects_a_cell_and_drags_a_rectangle() -> None:
    made = panel(every((reads(7),)))
    drawn(made)
    made.click(GUTTER + 5, 4)
    drawn(made)
    assert made.region == Region(Window(int(FIFTY.begin_ns[5]), int(FIFTY.end_ns[5])), 256, 512)
    made.drag(GUTTER + 9, 2)
    drawn(made)
    assert made.region == Region(Window(int(FIFTY.begin_ns[5]), int(FIFTY.end_ns[9])), 256, 2048)
    # Beside the picture, it goes to its edge; a click there does nothing.
    made.drag(500, -9)
    drawn(made)
    assert made.region is not None
    assert made.region.window.end_ns == FIFTY.end_ns[-1]
    before = made.region
    made.click(2, 2)
    made.click(GUTTER + 5, 5)
    made.drag(GUTTER + 9, 2)
    assert made.region == before


@settings(deadline=None)
@given(st.data())
def test_what_a_region_says_is_what_its_window_holds(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=90))
    times = timeline([(0, length * S, 1) for length in lengths])
    intervals: dict[int, Interval] = {
        i: tuple(reads(i + 1, 2 ** data.draw(st.integers(5, 40)) + 1) for _ in range(2))
        for i in range(len(lengths))
    }
    made = panel(intervals, times)
    drawn(made, 8, WIDE)
    made.click(GUTTER + data.draw(st.integers(0, 149)), data.draw(st.integers(0, 5)))
    made.drag(GUTTER + data.draw(st.integers(0, 149)), data.draw(st.integers(0, 5)))
    foot = drawn(made, 8, WIDE)[-1]
    region = made.region
    assert region is not None
    assert times.whole(region.window) == region.window
    wanted = sum(
        call.count
        for i in times.inside(region.window)
        for call in intervals[i]
        if region.low_ns <= (call.latency_ns or 0) < region.high_ns
    )
    assert f"  {wanted:,} call" in foot
