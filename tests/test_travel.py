"""Moving through the past: by keys and mouse, live and in a replay."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from screen import CALLS, SLOW, Driver
from synthetic import SECOND_NS, START_NS, Calls, Slow, sample, snapshot

from sysdash.app import App
from sysdash.model import Snapshot, derive
from sysdash.packing import pack
from sysdash.recording import Facts, Recorder, Recording
from sysdash.records import Sample
from sysdash.replay import Player
from sysdash.timeline import Window
from sysdash.ui_state import REPLAY

SECONDS = 40


def at(second: int) -> int:
    return START_NS + second * SECOND_NS


def clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at(second) // SECOND_NS))


def interval(second: int) -> Snapshot:
    """Reads that grow by the second, and a slow call at every tenth."""
    calls = [Calls("read", 100 * second, 1000 * second, 7, b"one"), Calls("write", 5, 300, 8, b"2")]
    slow = [Slow("read", second * 1_000_000, pid=7, comm=b"one")] if second % 10 == 0 else []
    return snapshot(calls, slow, second=second, in_flight=[Slow("futex", second * 10**9)])


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added up in pieces is added up at once, however busy the machine is."""
    for module in ("travel", "comparing"):
        monkeypatch.setattr(f"sysdash.{module}.SLICE_S", 60.0)


@pytest.fixture
def driver() -> Driver:
    return Driver(*map(interval, range(1, SECONDS + 1)))


def rate(driver: Driver) -> str:
    """The rate of read that is on show."""
    found = re.search(r"read +\S* +(\S+/s)", driver.text())
    assert found, driver.text()
    return found[1]


def slow(driver: Driver) -> list[str]:
    """How long the slow calls took that are listed, newest first."""
    return re.findall(r"^│ \d\d:\d\d:\d\d read +(\S+) one", driver.text((80, 40)), re.MULTILINE)


# --- The cursor ---


def test_the_strip_comes_with_a_pause_and_goes_with_it(driver: Driver) -> None:
    assert "Timeline" not in driver.text()
    driver.press(" ")
    assert f"Timeline {clock(0)} \u2013 {clock(40)} (40.0s)" in driver.text()
    driver.press(" ")
    assert "Timeline" not in driver.text()
    # A tall screen has room for it at any time.
    assert "Timeline" in driver.text((120, 50))


def test_the_cursor_shows_the_dashboard_as_it_was(driver: Driver) -> None:
    driver.press("left", "left", "left")
    assert " PAUSED " in driver.lines()[0]
    assert clock(37) in driver.lines()[0]
    assert rate(driver) == "3.70K/s"
    assert slow(driver) == ["30.0ms", "20.0ms", "10.0ms"]
    assert f"▲ {clock(37)}" in driver.text() or f"{clock(37)} ▲" in driver.text()
    driver.press("right")
    assert rate(driver) == "3.80K/s"
    as_it_was = Driver(*map(interval, range(1, 39)), size=(80, 50))
    as_it_was.press(" ")

    def panels(shown: Driver) -> list[str]:
        lines = shown.lines((80, 50))[1:]
        return lines[: next(i for i, line in enumerate(lines) if "Timeline" in line)]

    assert panels(driver) == panels(as_it_was)
    for view in ("v", "v", "v"):
        driver.press(view)
        as_it_was.press(view)
        assert panels(driver) == panels(as_it_was)


def test_the_cursor_stays_inside(driver: Driver) -> None:
    driver.press(*["right"] * 3)
    assert rate(driver) == "4.00K/s"
    driver.press(*["<"] * 60)
    assert rate(driver) == "100/s"
    driver.press(*[">"] * 60)
    assert rate(driver) == "4.00K/s"


@pytest.mark.parametrize("key", [" ", "esc"])
def test_back_to_the_newest(driver: Driver, key: str) -> None:
    driver.press("left", "left", "[", "left", "]", "z")
    driver.history.append(interval(41))
    driver.app.refresh()
    assert clock(40) not in driver.lines()[0]
    driver.press(key)
    assert " LIVE " in driver.lines()[0]
    assert rate(driver) == "4.10K/s"
    driver.history.append(interval(42))
    driver.app.refresh()
    assert rate(driver) == "4.20K/s"


def test_a_pause_is_of_the_past_too(driver: Driver) -> None:
    driver.press(" ")
    for second in range(41, 60):
        driver.history.append(interval(second))
        driver.app.refresh()
    driver.press("right")
    assert rate(driver) == "4.00K/s"
    assert f"\u2013 {clock(40)}" in driver.text()


# --- Windows ---


def test_every_panel_shows_the_window(driver: Driver) -> None:
    driver.press("left", "]", *["left"] * 9, "[")
    assert f"window {clock(29)} \u2013 {clock(39)}, 10.0s, 10 intervals" in driver.text((120, 24))
    assert rate(driver) == "3.00K/s"  # nothing is zoomed yet
    driver.press("z")
    # 3000 to 3900 in ten seconds, with the calls' own times
    assert rate(driver) == "3.45K/s"
    assert "window 10.0s" in driver.lines()[0]
    assert slow(driver) == ["30.0ms"]
    # The one that waits by nature, of the window's end.
    assert re.search(r"in flight +0 \+1 ", driver.text((80, 40)))
    driver.press("v")
    assert "34.5K" not in driver.text()
    assert "3.45K/s" in driver.text()
    driver.press("v", "v", "v", "enter")
    assert "3.45K/s" in driver.text()
    driver.press("esc", "Z")
    assert clock(30) in driver.lines()[0]
    assert rate(driver) == "3.00K/s"


def test_shift_and_arrows_extend_the_window(driver: Driver) -> None:
    driver.press(*["left"] * 5, *["shift left"] * 4)
    assert driver.app.state.marked == Window(at(30), at(35))
    driver.press("shift right")
    assert driver.app.state.marked == Window(at(31), at(35))
    driver.press(*["shift right"] * 5)
    assert driver.app.state.marked == Window(at(34), at(37))
    driver.press("left", "left", "shift left")
    # At the window's beginning, it is that which moves.
    assert driver.app.state.marked == Window(at(33), at(37))
    driver.press("left", "left", "shift left")
    assert driver.app.state.marked == Window(at(30), at(32))


def test_zooming_without_a_window_takes_the_last_minute() -> None:
    driver = Driver(*map(interval, range(1, 101)))
    driver.press("z")
    assert "window 60.0s" in driver.lines()[0]
    assert f"Timeline zoomed {clock(40)} \u2013 {clock(100)}" in driver.text()
    driver.press("<", "<")
    driver.press(*["<"] * 99)
    assert driver.app.state.cursor_ns == at(41)  # inside of what the strip shows
    driver.press("]", "z")
    assert "window 1.0s" in driver.lines()[0]


def test_filters_sort_and_detail_work_on_the_past(driver: Driver) -> None:
    driver.press("left", "left", "]", *["left"] * 9, "[", "z")
    driver.press("/", *"one", "enter")
    assert "write" not in driver.text()
    driver.press("ctrl l", "s", "l", "enter")
    assert "Processes in read" in driver.text()
    assert "3.35K/s" in driver.text()


def test_zooming_further_and_out_to_everything(driver: Driver) -> None:
    driver.press("Z")
    assert driver.app.state.zoom == Window(at(0), at(40))
    driver.press(*["left"] * 19, "z")
    assert driver.app.state.zoom == Window(at(11), at(31))
    driver.press("Z")
    assert "zoomed" not in driver.text()
    assert clock(21) in driver.lines()[0]


def test_a_list_that_is_held_shows_nothing_of_another_time(driver: Driver) -> None:
    driver.press("tab", "down")
    assert driver.app.slow.selected_index() is not None
    driver.press(*["left"] * 15)
    assert slow(driver) == ["20.0ms", "10.0ms"]
    driver.press("[", "right", "right", "]", "z")
    assert slow(driver) == []


def test_long_additions_give_way_to_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysdash.travel.SLICE_S", 0.0)
    driver = Driver(*map(interval, range(1, SECONDS + 1)))
    waiting: list[Callable[[], None]] = []
    driver.app.later = lambda _, action: waiting.append(action)
    driver.press("H", "Z")
    seen = set()
    while waiting:
        # However many things go on, there is one alarm at a time.
        assert len(waiting) == 1
        waiting.pop()()
        seen |= {*re.findall(r"adding up \d+%", driver.lines()[0])}
    assert len(seen) > 10
    assert "window 40.0s" in driver.lines()[0]


def test_nothing_is_drawn_while_nothing_moves(driver: Driver) -> None:
    drawn: list[int] = []
    driver.app.root.invalidate = lambda: drawn.append(1)  # type: ignore[method-assign]
    driver.press(" ", "left")
    drawn.clear()
    driver.history.append(interval(41))
    driver.app.refresh()
    assert drawn == []


# --- The mouse ---


def click(driver: Driver, event: str, button: int, column: int, row: int) -> None:
    driver.app.root.mouse_event(driver.size, event, button, column, row, True)
    driver.lines()


def place(driver: Driver) -> int:
    """The row of the strip."""
    return next(i for i, line in enumerate(driver.lines()) if "Timeline" in line) + 1


def test_the_mouse_moves_and_zooms(driver: Driver) -> None:
    driver.press(" ")
    row = place(driver)
    click(driver, "mouse press", 1, 44, row)
    cursor = driver.app.state.cursor_ns
    assert cursor is not None
    assert at(18) < cursor < at(23)
    click(driver, "mouse press", 1, 30, row)
    click(driver, "mouse drag", 1, 50, row)
    click(driver, "mouse release", 0, 50, row)
    marked = driver.app.state.marked
    assert marked is not None
    assert 9 * SECOND_NS < marked.length_ns <= 13 * SECOND_NS
    click(driver, "mouse press", 1, 40, row)
    assert driver.app.state.zoom == marked
    assert f"window {marked.length_ns / 1e9:.1f}s" in driver.lines()[0]
    click(driver, "mouse press", 5, 40, row)
    assert "zoomed" not in driver.text()
    click(driver, "mouse press", 4, 40, row)
    zoomed = driver.app.state.zoom
    assert zoomed is not None
    assert 18 * SECOND_NS < zoomed.length_ns < 23 * SECOND_NS


# --- The heatmap ---


def test_the_heatmap_stands_in_for_the_histogram(driver: Driver) -> None:
    assert "Latency read" in driver.text()
    driver.press("H")
    assert "Latency over time: read" in driver.text()
    assert "Latency read" not in driver.text()
    driver.press("f12")
    assert "Latency read" in driver.text()


def test_a_region_zooms_and_lists_its_slow_calls() -> None:
    def one(second: int) -> Snapshot:
        calls = [Calls("read", 1, 2**20, 7, b"one"), Calls("read", 1, 2**26, 7, b"one")]
        both = [Slow("read", 2**20, 7, 7, b"one"), Slow("read", 2**26, 7, 7, b"one")]
        return snapshot(calls, both, second=second)

    driver = Driver(*map(one, range(1, 41)), size=(80, 40))
    driver.press("H", "tab", "up")
    driver.press(*["home"], *["shift right"] * 5)
    region = driver.app.heatmap.region
    assert region is not None
    assert region.low_ns <= 2**26 < region.high_ns or region.low_ns <= 2**20 < region.high_ns
    only = 2**26 if region.low_ns <= 2**26 < region.high_ns else 2**20
    assert not (region.low_ns <= 2**20 and region.high_ns > 2**26)
    driver.press("enter")
    assert driver.app.state.zoom == region.window
    listed = re.findall(r"^│ \d\d:\d\d:\d\d read +(\S+) one", driver.text(), re.MULTILINE)
    assert listed
    assert set(listed) == {"67.1ms" if only == 2**26 else "1.05ms"}
    driver.press("Z")
    listed = re.findall(r"^│ \d\d:\d\d:\d\d read +(\S+) one", driver.text(), re.MULTILINE)
    assert set(listed) == {"67.1ms", "1.05ms"}


# --- Comparing ---


def test_what_has_changed_since_a_marked_window() -> None:
    def one(second: int) -> Snapshot:
        many = 1000 if second <= 40 else 3000
        return snapshot(
            [Calls("read", many, 1000, 7, b"one"), Calls("write", 500, 300, 8, b"2")], second=second
        )

    driver = Driver(*map(one, range(1, 81)), size=(120, 30))
    driver.press(*["left"] * 40, "]", *["left"] * 38, "[", "m")
    assert driver.app.state.compared == Window(at(1), at(40))
    driver.press(*[">"] * 60)
    text = driver.text()
    assert re.search(r"read +one .*\+200%|read +one .* 3\.0", text), text
    both = f"{clock(1)}\u2013{clock(40)} (39.0s) against {clock(41)}\u2013{clock(80)} (39.0s)"
    assert f"{both}: 1 changed, 1 by no more than" in text
    # Standing still, every step counts.
    driver.press("left")
    assert f"against {clock(40)}\u2013{clock(79)}" in driver.text()
    driver.press("esc")
    assert "Top syscalls" in driver.text()
    driver.press("M")
    assert "┌ Changes " in driver.text()
    driver.press("enter")
    assert "Processes in read" in driver.text()


# --- Recordings ---


def facts() -> Facts:
    return Facts.here(1.0)


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recording]:
    path = str(tmp_path / "r.sysdash")
    recorder = Recorder(path, facts())
    for one in told(SECONDS):
        assert one.sample is not None
        recorder.add(pack(one.sample), one.sample.events, one.sample.details)
    assert recorder.close().error is None
    with Recording(path) as recording:
        yield recording


def told(seconds: int) -> list[Snapshot]:
    """Intervals as a collector tells them, with all losses since the first."""
    snapshots: list[Snapshot] = []
    for second in range(1, seconds + 1):
        lost = snapshots[-1].lost if snapshots else {}
        snapshots.append(derive(replace(busy(second), lost_before=lost), lost))
    return snapshots


def busy(second: int) -> Sample:
    """An interval with a bit of everything, never the same."""
    calls = [Calls(c.name, c.count + second, c.latency_ns, c.pid, c.comm, c.errno) for c in CALLS]
    return sample(
        calls,
        SLOW if second % 3 else (),
        second=second,
        lost={"calls": second % 5, "slow_limit": second % 2},
        in_flight=[Slow("futex", second * 10**9), Slow("fsync", 2 * second * 10**9)],
        in_flight_more=second % 4,
    )


def player(recording: Recording, place: int, *, playing: bool = False) -> Player:
    return Player(recording, keep_slow=500, place=place, playing=playing)


class Replay(Driver):
    """A dashboard on a recording, standing still."""

    def __init__(self, recording: Recording, place: int, size: tuple[int, int] = (80, 24)) -> None:
        self.player = player(recording, place)
        self.player.start()
        deadline = time.monotonic() + 20
        while self.player.past is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.app = App(self.player, mode=REPLAY)
        self.app.playback = self.player
        self.size = size
        self.app.refresh()
        self.lines()


PLACES = (0, 1, 17, 38, 39)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
@pytest.mark.parametrize("place", PLACES)
def test_a_replay_shows_what_live_did(
    recorded: Recording, place: int, size: tuple[int, int]
) -> None:
    live = Driver(*told(place + 1), size=size)
    live.press(" ")
    replayed = Replay(recorded, place, size)

    def panels(shown: Driver) -> list[str]:
        lines = shown.lines()[1:]
        return lines[: next(i for i, line in enumerate(lines) if "Timeline" in line)]

    for keys in ([], ["v"], ["v"], ["v"], ["v"], ["down", "enter"], ["esc"], ["tab", "tab", "up"]):
        live.press(*keys)
        replayed.press(*keys)
        assert panels(replayed) == panels(live)
    replayed.player.stop()


def test_what_keys_do_in_a_replay(recorded: Recording) -> None:
    replay = Replay(recorded, 20)
    assert replay.app.state.paused
    assert "▲" in replay.text()
    assert "Esc" not in replay.lines()[-1]
    assert "record" not in replay.text((200, 24)).splitlines()[-1]
    replay.press("left", "left", "]")
    assert "Esc out" in replay.lines()[-1]
    replay.press("esc")
    assert replay.app.state.marked is None
    replay.press("-", "+", "+")
    assert replay.app.state.speed == replay.player.speed == 2.0
    replay.press(" ")
    past = replay.player.past
    assert past is not None
    assert past.place == 18
    # What is on show is at once where it goes on.
    assert clock(19) in replay.lines()[0]
    assert " REPLAY " in replay.lines()[0]
    replay.press(" ")
    assert " PAUSED " in replay.lines()[0]
    replay.player.stop()
