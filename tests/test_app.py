"""The dashboard by its keys and its mouse, and its loop in a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
import urwid
from screen import CALLS, SLOW, Driver, typical
from synthetic import Calls, Slow, nr, snapshot
from urwid.util import set_temporary_encoding

from sysdash.model import Filter, Syscall
from sysdash.ui_state import INTERVALS_S


@pytest.fixture(autouse=True)
def _utf8() -> Iterator[None]:
    with set_temporary_encoding("utf8"):
        yield


@pytest.fixture
def driver() -> Driver:
    return Driver(typical())


MANY = "read write close fstat mmap brk ioctl pipe dup getpid socket bind uname fcntl".split()


def ranked(names: list[str], second: int = 1) -> Driver:
    return Driver(snapshot([Calls(name, 1000 - i) for i, name in enumerate(names)], second=second))


def test_the_first_row_is_selected_at_first(driver: Driver) -> None:
    assert "▸read" in driver.selected()


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["down"], "write"),
        (["j", "j", "k"], "write"),
        (["up"], "read"),
        (["end"], "fcntl"),
        (["end", "down"], "fcntl"),
        (["end", "home"], "read"),
        (["page down"], "socket"),
        (["page down", "page up"], "read"),
    ],
)
def test_moving_the_selection(keys: list[str], name: str) -> None:
    driver = ranked(MANY)
    driver.press(*keys)
    assert f"▸{name} " in driver.selected()
    assert f" Latency {name} " in driver.text()


def test_rows_past_the_tenth_scroll_into_view() -> None:
    driver = ranked(MANY)
    driver.press(*["down"] * 11)
    assert driver.names() == MANY[2:12]


def test_the_selection_stays_on_its_syscall() -> None:
    driver = ranked(MANY)
    driver.press("down")
    driver.add(snapshot([Calls("read", 1), Calls("close", 9), Calls("write", 5)], second=2))
    assert driver.names() == ["close", "write", "read"]
    assert "▸write" in driver.selected()
    # Far down: still in sight, on the last row, with the others where they were.
    others = [Calls(name, 1000 - i) for i, name in enumerate(MANY) if name != "write"]
    driver.add(snapshot([*others, Calls("write", 1)], second=3))
    assert driver.names() == [*[name for name in MANY if name != "write"][:9], "write"]
    # Not called at all: stays, with 0.
    driver.add(snapshot(others, second=4))
    assert re.search(r"▸write +.* 0/s", driver.selected())
    driver.press("up")
    assert f"▸{MANY[9]} " in driver.selected()


def test_lists_can_be_limited_to_the_first() -> None:
    calls = [Calls(name, 1000 - i) for i, name in enumerate(MANY)]
    driver = Driver(snapshot(calls), most=3)
    assert driver.names() == MANY[:3]
    # One that is selected stays in sight below them, with its own numbers.
    driver.press("down")
    others = [Calls(name, 1000 - i) for i, name in enumerate(MANY) if name != "write"]
    driver.add(snapshot([*others, Calls("write", 7)], second=2))
    assert driver.names() == ["read", "close", "fstat", "write"]
    assert re.search(r"▸write +.* 7/s", driver.selected())
    driver.press("I")
    assert driver.names() == ["write", "fcntl", "uname"]
    driver.press("I", "v")
    pids = [Calls("read", 10 + pid, pid=pid, comm=b"p%d" % pid) for pid in range(1, 9)]
    driver.add(snapshot(pids, second=3))
    assert re.findall(r"\bp\d\b", driver.text().partition("busiest")[0]) == ["p8", "p7", "p6"]


def test_sorting() -> None:
    driver = Driver(typical())
    assert driver.names()[:3] == ["read", "write", "futex"]
    driver.press("s")
    assert driver.app.state.sort == "latency"
    assert driver.names()[0] == "futex"
    assert re.search(r"sort by +r rate +l latency +t total", driver.lines()[-1])
    driver.press("t")
    assert driver.app.state.sort == "total"
    assert "sort by" not in driver.lines()[-1]
    driver.press("r")
    assert driver.app.state.sort == "total"
    driver.press("f6")
    assert driver.app.state.sort == "rate"
    driver.press("I")
    assert driver.names()[0] == "exit_group"
    assert "sort rate ↑" in driver.lines()[0]


def test_the_hint_of_s_goes_away_by_itself() -> None:
    driver = Driver(typical())
    waiting: list[Callable[[], None]] = []
    driver.app.later = lambda *args: waiting.append(args[1])
    driver.press("s", "s")
    waiting[0]()
    assert "sort by" in driver.lines()[-1]
    waiting[1]()
    assert "sort by" not in driver.lines()[-1]


def test_a_key_after_s_that_is_no_sort_does_its_own(driver: Driver) -> None:
    driver.press("s", "down")
    assert not driver.app.state.sorting
    assert "▸read" not in driver.text()


def test_filter_by_pid(driver: Driver) -> None:
    driver.press("p")
    assert " PID: " in driver.lines()[-1]
    driver.type("4242")
    driver.press("enter")
    assert driver.app.state.filter == Filter(pid=4242)
    assert "filter pid 4242" in driver.lines()[0]
    # read stays selected, though this process makes none.
    assert driver.names() == ["write", "read"]
    assert re.search(r"processes +1 ", driver.text())
    assert "Ctrl-L clear" in driver.lines()[-1]
    driver.press("p")
    assert "(now 4242)" in driver.lines()[-1]
    driver.press("enter")
    assert driver.app.state.filter == Filter()
    assert "futex" in driver.names()


def test_filter_by_name_and_clearing_all(driver: Driver) -> None:
    driver.press("/")
    driver.type("/^(java|find)$/")
    driver.press("enter")
    assert driver.names()[:2] == ["futex", "openat"]
    assert "curl" not in driver.text()
    driver.press("p")
    driver.type("777")
    driver.press("enter")
    assert driver.names()[0] == "openat"
    assert "filter pid 777 name /^(java|find)$/" in driver.lines((120, 24))[0]
    driver.press("ctrl l")
    assert driver.app.state.filter == Filter()


@pytest.mark.parametrize(
    ("key", "typed", "complaint"),
    [
        ("p", "abc", "a PID is a number"),
        ("p", "4194305", "a PID is a number up to 4194304"),
        ("p", "0" * 20 + "1", "a PID is a number"),
        ("p", "-5", "a PID is a number"),
        ("p", "99999999999999999999", "a PID is a number"),
        ("p", "٣", "a PID is a number"),
        ("f4", "/[/", "not a regular expression"),
        ("f4", "/a{99999999999}/", "not a regular expression"),
    ],
)
def test_what_cannot_be_is_said_and_kept(
    driver: Driver, key: str, typed: str, complaint: str
) -> None:
    driver.press(key)
    driver.type(typed)
    driver.press("enter")
    assert complaint in driver.lines()[-1]
    assert typed in driver.lines((120, 24))[-1]
    assert driver.app.state.filter == Filter()
    driver.press("esc")
    assert complaint not in driver.text()
    assert driver.app.state.prompt is None


def test_a_line_is_cleared_and_a_complaint_goes_with_its_text(driver: Driver) -> None:
    driver.press("p")
    driver.type("abc")
    driver.press("enter")
    assert "a PID is a number" in driver.lines()[-1]
    driver.press("left")
    assert "a PID is a number" in driver.lines()[-1]
    driver.type("1")
    assert "a PID is a number" not in driver.lines()[-1]
    driver.press("enter", "ctrl u")
    assert "a PID is a number" not in driver.lines()[-1]
    driver.type("4242")
    driver.press("enter")
    assert driver.app.state.filter == Filter(pid=4242)


@pytest.mark.parametrize("columns", range(60, 140, 7))
@pytest.mark.parametrize("key", ["p", "/"])
def test_hints_in_a_prompt_are_never_cut(driver: Driver, key: str, columns: int) -> None:
    driver.size = (columns, 24)
    driver.press(key)
    for typed in ("", "a", "bc|d", "efghijklmnopqrstuvwxyz"):
        driver.type(typed)
        assert "…" not in driver.lines()[-1].replace("/…/", "")
    driver.press("ctrl u")
    assert "Esc cancel" in driver.lines()[-1]
    assert ("empty clears" in driver.lines((140, 24))[-1]) is True


def test_a_prompt_says_how_to_write_an_expression(driver: Driver) -> None:
    driver.size = (120, 24)
    driver.press("/")
    assert "case is ignored" in driver.lines()[-1]
    driver.type("/^ja")
    assert "a regular expression: /…/" in driver.lines((80, 24))[-1]
    assert "a regular expression goes between slashes: /…/" in driver.lines()[-1]
    driver.type("/")
    assert "between slashes" not in driver.lines()[-1]


def test_a_long_complaint_has_the_room_of_the_hint(driver: Driver) -> None:
    driver.press("/")
    driver.type("/[/")
    driver.press("enter")
    assert "not a regular expression: unterminated character set" in driver.lines()[-1]


def test_what_cannot_be_shown_cannot_be_typed(driver: Driver) -> None:
    driver.press("/")
    driver.type("/\x85\u202e[\u200b\ud800\u0301é漢/")
    assert ": /[é漢/ " in driver.lines()[-1]
    driver.press("enter")
    assert driver.lines()[-1].isprintable()
    # What came by another way than the keyboard.
    driver.app.state.filter = Filter(name="a\x1b\u202eb")
    driver.press("esc", "/")
    assert "(now a␛\ufffdb)" in driver.lines()[-1]


def test_the_processes_that_there_was_no_room_for() -> None:
    calls = [*CALLS, Calls("read", 1, pid=0, comm=b"")]
    driver = Driver(snapshot(calls))
    driver.press("v", "end")
    assert re.search(r"▸ +0 \(others\) ", driver.selected())
    driver.press("enter")
    assert "pid 0" in driver.lines()[0]
    assert driver.app.state.filter == Filter(pid=0)
    driver.press("ctrl l", "p", "0", "enter")
    assert driver.app.state.filter == Filter(pid=0)
    assert re.search(r"▸read .* 1/s", driver.selected())
    driver.press("p")
    assert "(now 0)" in driver.lines()[-1]


def test_keys_are_text_in_a_prompt(driver: Driver) -> None:
    driver.press("/")
    driver.type("qs ?")
    driver.press("backspace")
    assert "qs " in driver.lines()[-1]
    driver.press("esc")
    assert driver.app.state.filter == Filter()
    assert driver.app.state.sort == "rate"


def test_the_trend_follows_the_filter() -> None:
    both = [Calls("read", 100, pid=1), Calls("read", 900, pid=2)]
    driver = Driver(snapshot(both), snapshot([*both[:1], Calls("read", 1, pid=2)], second=2))
    assert "▇▂ │" in driver.selected()
    driver.app.show(Filter(pid=1))
    assert "▇▇ │" in driver.selected()


def test_pause_holds_the_picture_and_collection_goes_on(driver: Driver) -> None:
    driver.press(" ")
    before = driver.text()
    assert "PAUSED" in before
    assert "Space go on" in driver.lines()[-1]
    driver.add(snapshot([Calls("getpid", 5)], [Slow("poll", 10**9)], second=2))
    assert driver.text() == before
    driver.press("down", "s")
    assert "▸write" in driver.text()
    assert "getpid" not in driver.text()
    driver.press(" ")
    assert "PAUSED" not in driver.text()
    assert "getpid" in driver.names()
    assert "poll" in driver.text()


def test_the_interval_goes_through_its_steps(driver: Driver) -> None:
    chosen: list[float] = []
    driver.app.set_interval = chosen.append
    driver.press(*["+"] * 5)
    assert chosen == [2.0, 5.0, 10.0]
    driver.press(*["-"] * 8)
    assert chosen[3:] == sorted(INTERVALS_S[:-1], reverse=True)
    assert "LIVE 0.1s" in driver.lines()[0]


def test_an_interval_between_the_steps() -> None:
    driver = Driver(typical())
    chosen: list[float] = []
    driver.app.set_interval = chosen.append
    driver.app.state.interval_s = 3.0
    driver.press("-", "+", "+")
    assert chosen == [2.0, 5.0, 10.0]


def test_into_a_syscall_and_back(driver: Driver) -> None:
    driver.press("down", "down", "enter")
    text = driver.text()
    assert " Processes in futex " in text
    assert "java" in driver.selected()
    assert "ETIMEDOUT" in text
    assert " Latency futex " in text
    assert " Slow calls futex " in text
    assert "postgres" not in text
    driver.press("backspace")
    assert " Top syscalls " in driver.text()
    driver.press("enter", "esc")
    assert " Top syscalls " in driver.text()


def test_enter_on_a_process_filters(driver: Driver) -> None:
    driver.press("enter", "enter")
    assert driver.app.state.filter == Filter(pid=1842)
    assert driver.app.state.detail
    driver.press("esc", "ctrl l", "v", "down", "enter")
    assert driver.app.state.filter == Filter(pid=4242)
    assert " Top syscalls " in driver.text()


def test_views(driver: Driver) -> None:
    driver.press("v")
    assert " Processes " in driver.text()
    assert driver.names()[:2] == ["1842", "4242"]
    driver.press("f2")
    assert " In flight " in driver.text()
    driver.press("v")
    assert driver.names() == ["ETIMEDOUT", "ENOENT"]
    driver.press("down", "enter")
    assert " Processes in openat: ENOENT " in driver.text()
    driver.press("esc", "v")
    assert " Top syscalls " in driver.text()


def test_tab_moves_the_focus_and_shows_it(driver: Driver) -> None:
    assert "title.focus" in driver.styles()
    driver.press("tab", "down", "down")
    assert "▹read" in driver.text()
    assert driver.app.slow.selected is not None
    assert driver.app.slow.selected.syscall == Syscall(nr("connect"))
    driver.press("enter")
    assert " Slow call connect " in driver.text()
    driver.press("enter")
    assert " Processes in connect " in driver.text()
    driver.press("esc", "esc", "tab", "down")
    assert "▸write" in driver.text()


def test_the_focus_is_seen_without_colours(driver: Driver) -> None:
    driver.size = (132, 43)

    def heavy() -> list[str]:
        return [line.split()[1] for line in driver.lines() if set("━┯┷┿") & set(line)]

    assert heavy() == ["Top"]
    assert "▹" not in driver.text()
    driver.press("tab")
    assert heavy() == ["Slow"]
    assert "┷" in driver.line(" Slow calls ")
    driver.press("down")
    assert len([line for line in driver.lines() if "▸" in line]) == 1
    assert "▹read " in driver.text()
    driver.press("tab")
    assert heavy() == ["Top"]
    # The bar of a list that keeps its selection says less than the pointer does.
    assert "▸read " in driver.text()
    assert len([line for line in driver.lines() if "▹" in line]) == 1


def test_the_footer_follows_the_focus(driver: Driver) -> None:
    driver.press("enter")
    assert "Enter filter" in driver.lines()[-1]
    for _ in range(2):
        driver.press("tab")
        assert "Enter" not in driver.lines()[-1]
        before = driver.text()
        driver.press("enter")
        assert driver.text() == before
    driver.press("tab")
    assert "Enter filter" in driver.lines()[-1]
    driver.press("p")
    assert driver.app.root.keypress(driver.size, "enter") is None
    assert driver.app.state.filter == Filter()


@pytest.mark.parametrize("key", ["esc", "backspace"])
def test_back_to_the_dashboard(driver: Driver, key: str) -> None:
    driver.press("v", key)
    assert " Top syscalls " in driver.text()
    driver.press("v", "v", key)
    assert " Top syscalls " in driver.text()
    driver.press("v", "v", "v", "enter", key)
    assert " Errors " in driver.text()
    driver.press("/", "x", "esc")
    assert " Errors " in driver.text()
    driver.press(key)
    assert " Top syscalls " in driver.text()


def test_the_first_row_is_selected_until_a_key_chooses_one() -> None:
    driver = Driver(snapshot([Calls("exit_group", 1)]))
    driver.add(snapshot([Calls("read", 5), Calls("write", 4)], second=2))
    assert driver.names() == ["read", "write"]
    assert "▸read" in driver.selected()
    driver.add(snapshot([Calls("write", 9), Calls("read", 5)], second=3))
    assert "▸write" in driver.selected()
    # What says nothing of rows does not choose one.
    driver.press("s", "r", " ", " ")
    driver.add(snapshot([Calls("write", 4), Calls("read", 5)], second=4))
    assert "▸read" in driver.selected()
    driver.press("down")
    assert "▸write" in driver.selected()
    driver.add(snapshot([Calls("write", 4), Calls("read", 5)], second=4))
    assert "▸write" in driver.selected()
    driver.add(snapshot([Calls("read", 9)], second=5))
    assert re.search(r"▸write .* 0/s", driver.selected())


def test_a_click_pins_the_selection_too() -> None:
    driver = Driver(snapshot([Calls("read", 5), Calls("write", 4)]))
    driver.click(5, 3)
    driver.add(snapshot([Calls("read", 5)], second=2))
    assert "▸write" in driver.selected()


def test_nothing_is_added_up_again_for_a_key(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.press("enter", "esc", "v", "v", "v", "v")
    before = driver.app.root.scene
    added = []
    for room in ("model", "panels.errors", "panels.latency", "panels.processes"):
        monkeypatch.setattr(f"sysdash.{room}.aggregate", lambda *_: added.append(1))
    driver.press("enter", "down", "tab", "esc", " ", "v", "down", "s", "v", "I", "v", "v", " ")
    driver.press("end", "tab", "down", "enter", "n", "esc")
    assert not added
    assert driver.app.root.scene is before
    monkeypatch.undo()
    driver.app.show(Filter(pid=4242))
    assert driver.names()[0] == "write"
    driver.add(typical(2))
    assert driver.app.root.scene is not before


def test_a_selected_slow_call_stays_while_newer_ones_come() -> None:
    driver = Driver(typical())
    driver.press("tab", "down", "down")
    line = next(line for line in driver.lines() if "▸" in line and "connect" in line)
    place = driver.lines().index(line)
    driver.add(snapshot(CALLS, [Slow("poll", 10**9)] * 2, second=2))
    assert driver.lines()[place] == line
    assert not any(" poll " in line for line in driver.lines())
    driver.press("home")
    assert any(" poll " in line for line in driver.lines())


@pytest.mark.parametrize("key", ["esc", "home"])
@pytest.mark.parametrize("detail", [False, True])
def test_held_slow_calls_say_so_and_are_released(key: str, detail: bool) -> None:
    driver = Driver(typical())
    driver.press(*["enter", "tab", "tab"] if detail else ["tab"], "down")
    assert ": held " in driver.text()
    assert "Esc follow" in driver.lines()[-1]
    driver.add(snapshot(CALLS, [Slow("read", 10**9)] * 312, second=2))
    assert ": held, 312 newer " in driver.text()
    driver.press(key)
    assert driver.app.state.detail == detail
    assert "held" not in driver.text()
    assert driver.app.slow.selected is None
    driver.add(snapshot(CALLS, [Slow("read", 7 * 10**9)], second=3))
    assert "7.00s" in driver.text()
    # Now Esc is free again for what it does otherwise.
    driver.press("esc")
    assert " Top syscalls" in driver.text()


def test_the_newest_slow_calls_are_on_show_when_none_is_selected() -> None:
    driver = Driver(typical())
    driver.add(snapshot(CALLS, [Slow("poll", 10**9)], second=2))
    assert any(" poll " in line for line in driver.lines())


@pytest.mark.parametrize("key", ["?", "h", "f1"])
def test_help(driver: Driver, key: str) -> None:
    driver.press(key)
    assert " Help " in driver.text()
    # What the keys do where one is comes first.
    assert "Keys here, now" in driver.text()
    assert "into the selected syscall" in driver.text()
    seen = driver.text()
    for _ in range(16):
        driver.press("page down")
        seen += driver.text()
    assert "Lost" in seen
    assert "move the selection up" in seen
    assert "clear every filter" in seen
    assert "by the kind of call" in " ".join(seen.split()).replace("│ │ ", "")
    driver.press("esc")
    assert " Top syscalls " in driver.text()


@pytest.mark.parametrize("key", ["q", "f10"])
def test_quitting(driver: Driver, key: str) -> None:
    for before in ([], ["?"]):
        driver.press(*before)
        with pytest.raises(urwid.ExitMainLoop):
            driver.press(key)


def test_unbound_keys_are_left_to_others(driver: Driver) -> None:
    for key in ("x", "Q", "f5", "["):
        assert driver.app.root.keypress(driver.size, key) == key


# --- Mouse ---


def test_a_click_selects_a_row_and_focuses_its_panel(driver: Driver) -> None:
    driver.click(5, 4)
    assert "▸futex" in driver.selected()
    driver.click(5, 20)
    assert driver.lines()[20].startswith("│▸")
    driver.click(5, 1)
    driver.press("up")
    assert any(line.startswith("│▸write") for line in driver.lines())


def test_clicks_beside_the_rows_do_nothing(driver: Driver) -> None:
    before = driver.text()
    for column, row in [(5, 11), (5, 14), (70, 5), (0, 0), (79, 23), (0, 5)]:
        driver.click(column, row)
    assert driver.text() == before


def test_the_wheel_scrolls_without_selecting() -> None:
    driver = ranked(MANY)
    driver.click(5, 5, button=5)
    assert driver.names() == MANY[3:13]
    assert not set("▸▹") & set(driver.text())
    driver.click(5, 5, button=4)
    assert driver.names() == MANY[:10]


def test_the_wheel_hides_no_row_and_a_key_comes_back_to_the_selection() -> None:
    driver = ranked(MANY)
    driver.press("down")
    driver.add(snapshot([Calls(n, 1000 - i) for i, n in enumerate(MANY) if n != "write"], second=2))
    assert driver.names()[-1] == "write"
    seen = set(driver.names())
    for _ in range(3):
        driver.click(5, 5, button=5)
        seen.update(driver.names())
    assert seen == set(MANY)
    assert driver.names()[-1] == "write"
    assert re.search(r"▸write .* 0/s", driver.selected())
    driver.click(5, 5, button=4)
    assert not set("▸▹") & set(driver.text())
    # What cannot be seen is shown, not opened.
    driver.press("enter")
    assert "▸write" in driver.selected()
    assert not driver.app.state.detail
    driver.click(5, 5, button=4)
    driver.press("up")
    assert "▸fcntl" in driver.selected()


@pytest.mark.parametrize("where", [["v"], ["enter"]])
def test_the_selection_moves_on_when_its_process_is_gone(where: list[str]) -> None:
    def some(*pids: int) -> list[Calls]:
        return [Calls("read", 100 - pid, pid=pid) for pid in pids]

    driver = Driver(snapshot(some(1, 2, 3, 4)))
    driver.press(*where, "down", "down")
    assert re.match(r"│▸ +3 ", driver.selected())
    driver.add(snapshot(some(1, 2, 4), second=2))
    assert re.match(r"│▸ +4 ", driver.selected())
    driver.add(snapshot(some(1, 2), second=3))
    assert re.match(r"│▸ +2 ", driver.selected())
    driver.add(snapshot([], second=4))
    driver.press("enter")
    assert driver.app.state.filter == Filter()
    driver.add(snapshot(some(7, 2, 8), second=5))
    assert re.match(r"│▸ +2 ", driver.selected())
    driver.press("enter")
    assert driver.app.state.filter == Filter(pid=2)


def test_the_selection_moves_on_when_its_error_is_gone() -> None:
    driver = Driver(typical())
    driver.press("v", "v", "v", "down")
    assert "▸ENOENT" in driver.selected()
    driver.add(snapshot([call for call in CALLS if call.errno != 2], second=2))
    assert "▸ETIMEDOUT" in driver.selected()
    driver.press("enter")
    assert " Processes in futex: ETIMEDOUT " in driver.text()


def test_clicks_in_tables_and_help(driver: Driver) -> None:
    driver.press("v")
    driver.click(5, 3)
    assert "4242" in driver.selected()
    driver.press("?")
    before = driver.text()
    driver.click(5, 5, button=5)
    assert driver.text() != before


def test_the_mouse_in_a_help_that_does_not_fill_the_screen(driver: Driver) -> None:
    driver.size = (200, 24)
    driver.press("?")
    before = driver.text()
    driver.click(20, 5, button=5)
    assert driver.text() == before
    left = driver.lines()[1].index("┌")
    for column in (left + 1, left + 90):
        driver.click(column, 5, button=5)
        assert driver.text() != before
        before = driver.text()
    driver.press("esc")
    driver.click(5, 4)
    assert "▸futex" in driver.selected()


# --- Sizes ---


def test_a_screen_that_is_too_small_takes_no_keys_but_q(driver: Driver) -> None:
    small = (59, 14)
    for key in ("p", "/", " ", "v", "down", "?"):
        assert driver.app.root.keypress(small, key) == key
    assert driver.app.state.prompt is None
    with pytest.raises(urwid.ExitMainLoop):
        driver.app.root.keypress(small, "q")
    # A prompt that was open before cannot be seen either.
    driver.press("/")
    with pytest.raises(urwid.ExitMainLoop):
        driver.app.root.keypress(small, "q")


def test_too_small_says_so_and_recovers(driver: Driver) -> None:
    for size in [(59, 24), (80, 14), (59, 14), (20, 2), (1, 1)]:
        text = driver.text(size)
        assert "Top syscalls" not in text
    assert "59x14 is too small" in driver.text((59, 14))
    assert "sysdash needs 60x15" in driver.text((59, 14))
    assert " Top syscalls " in driver.text((60, 15))


def test_resizing_keeps_the_selection_in_sight() -> None:
    driver = ranked(MANY)
    driver.press("end")
    for size in [(60, 15), (250, 70), (80, 24), (61, 16)]:
        assert any(line.startswith("│▸fcntl") for line in driver.lines(size))


def test_slow_calls_of_another_process_are_filtered() -> None:
    driver = Driver(snapshot(CALLS, SLOW))
    driver.app.show(Filter(pid=999))
    assert "ETIMEDOUT" in driver.text()
    assert "postgres" not in driver.text()
