"""The dashboard's stories of single calls: slow ones, those in flight, those that failed."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from threading import Event, Thread, current_thread, main_thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screen import CALLS, SLOW, Driver, typical
from synthetic import Calls, Slow, detail, file, nr, snapshot
from urwid.util import set_temporary_encoding

from sysdash import units
from sysdash.model import Filter, SlowCall, Snapshot
from sysdash.panels.calls import line
from sysdash.panels.story import wrapped
from sysdash.story import Story

RELATION = "/var/lib/postgresql/15/main/base/16384/2663"
STACK = (
    "vmlinux`io_schedule+0x42",
    "vmlinux`filemap_update_page+0x2f1",
    "libc.so.6`__read+0x4e",
    "postgres`void read_pages<std::vector<char>>(int)+0x1a",
    "postgres`main+0x2f0",
)
READ = Slow("read", 45_200_000, detail=detail(file(RELATION), STACK), ago_ms=100)
WAITS = Slow("futex", 3_600 * 10**9, 3622, 3701, b"java", args=(0x7F0000001000, 128, 2, 0, 0, 0))
STUCK = Slow("read", 312 * 10**9, detail=detail(file(RELATION), STACK[:2]))
SYNC = Slow("fsync", 50_000_000, 999, 1000, b"redis", detail=detail(file("/data/dump.rdb")))


@pytest.fixture(autouse=True)
def _utf8() -> Iterator[None]:
    with set_temporary_encoding("utf8"):
        yield


def flying(calls: Sequence[Slow], second: int = 1, unlisted: int = 0) -> Snapshot:
    """An interval at whose end these calls are in flight."""
    return snapshot(CALLS, second=second, in_flight=calls, in_flight_more=unlisted)


def body(driver: Driver) -> list[str]:
    """The lines inside the first panel's borders."""
    return [line[1:-1].rstrip() for line in driver.lines()[2:-2]]


# --- The list of slow calls ---


@pytest.mark.parametrize("size", [(80, 24), (132, 43), (200, 60)])
def test_slow_calls_say_what_they_were_about(size: tuple[int, int]) -> None:
    line = Driver(snapshot(CALLS, [READ]), size=size).line(" 45.2ms ")
    assert "16384/2663" in line
    assert ("count=8192" in line) == (size[0] >= 132)


def test_of_a_path_that_does_not_fit_the_end_is_shown() -> None:
    line = Driver(snapshot(CALLS, [READ])).line(" 45.2ms ")
    assert re.search(r"…/(\w+/)*16384/2663 *│", line)


@given(st.lists(st.text(max_size=30).map(units.safe), max_size=6), st.integers(1, 80))
def test_a_line_never_takes_more_than_its_room(words: list[str], columns: int) -> None:
    for path in ("", "/", "…/"):
        told = tuple(path + word for word in words)
        story = Story((), "", certain=True, path=None, result="", words=told)
        assert units.width(line(story, columns)) <= columns


def test_a_path_that_just_fits_is_whole() -> None:
    words = ("fd=7", "/run/jobs", "count=8192")
    story = Story((), "", certain=True, path=None, result="", words=words)
    shown = {columns: line(story, columns) for columns in (10, 12, 14, 15, 16, 17, 25)}
    assert shown == {
        10: "fd=7 /run…",
        12: "fd=7 …/jobs",
        14: "fd=7 /run/jobs",
        15: "fd=7 /run/jobs",
        16: "fd=7 /run/jobs …",
        17: "fd=7 /run/jobs c…",
        25: "fd=7 /run/jobs count=8192",
    }


def test_an_error_is_named_before_the_arguments_where_there_is_no_room_for_a_result() -> None:
    failed = replace(READ, ret=-5)
    assert re.search(r" EIO .*2663", Driver(snapshot(CALLS, [failed])).line(" 45.2ms "))
    wide = Driver(snapshot(CALLS, [failed]), size=(132, 43)).line(" 45.2ms ")
    assert wide.count("EIO") == 1


def test_only_the_calls_on_show_are_told() -> None:
    told: list[SlowCall] = []
    driver = Driver(typical())
    tell = driver.app.slow._tell

    def counting(call: SlowCall) -> object:
        told.append(call)
        return tell(call)

    many = Driver(snapshot(CALLS, [READ] * 500), tell=counting)
    assert len({id(call) for call in told}) == 3
    told.clear()
    many.add(snapshot(CALLS, [READ] * 500, second=2))
    assert len(told) <= 6


def test_a_list_asks_for_no_stack() -> None:
    def asked() -> tuple[str, ...]:
        raise AssertionError

    call = replace(READ, detail=replace(READ.detail, stack=asked))
    for size in [(80, 24), (200, 60)]:
        driver = Driver(snapshot(CALLS, [call]), size=size)
        driver.press("tab", "down")
        with pytest.raises(AssertionError):
            driver.press("enter")


def test_a_stack_is_looked_up_once_for_a_story() -> None:
    asked = []

    def look() -> tuple[str, ...]:
        asked.append(1)
        return STACK

    call = replace(READ, detail=replace(READ.detail, stack=look))
    driver = Driver(snapshot(CALLS, [call]))
    driver.press("tab", "down", "enter", "down", "up", "?", "esc")
    driver.add(snapshot(CALLS, second=2))
    assert "io_schedule" in driver.text()
    assert asked == [1]


def test_at_least_is_marked() -> None:
    driver = Driver(snapshot(CALLS, [replace(READ, at_least=True)]))
    assert " ≥45.2ms postgres " in driver.text()
    driver.press("tab", "down", "enter")
    assert "read took ≥45.2ms" in driver.text()
    assert re.search(r"when +before \d\d:\d\d:\d\d\.\d{3} to ", driver.text())


# --- A story ---


def test_a_story_says_it_all() -> None:
    driver = Driver(snapshot(CALLS, [READ]), size=(80, 40))
    driver.press("tab", "down", "enter")
    text = driver.text()
    assert " Slow call read " in driver.lines()[1]
    for pattern in (
        r"read took 45\.2ms",
        r"when +\d\d:\d\d:20\.854 to \d\d:\d\d:20\.900 ",
        r"process +postgres ",
        r"pid, tid +1842, 1845 ",
        r"result +8192 ",
        rf"file +{RELATION} ",
        r"last 1\.0s +p50 \d+ns, p99 \d+ns, max 60\.0µs ",
        r"Arguments *│\n│ fd +7.*│\n│ buf +0x7f3152a01000 .*│\n│ count +8192 ",
        r"vmlinux +io_schedule\+0x42 ",
        r"libc\.so\.6 +__read\+0x4e ",
        r"postgres +void read_pages<std::vector<char>>\(int\)\+0x1a ",
    ):
        assert re.search(pattern, text), pattern
    # One column for what they are, one for what is in them.
    ends = {re.match(r" \S+ +", line).end() for line in body(driver) if "+0x" in line}  # type: ignore[union-attr]
    assert len(ends) == 1


def test_the_stack_stands_beside_the_facts_where_there_is_room() -> None:
    driver = Driver(snapshot(CALLS, [READ]), size=(200, 60))
    driver.press("tab", "down", "enter")
    assert re.search(r"read took 45\.2ms .*│ Stack, innermost first", driver.text())
    assert all(line.count("│") == 3 for line in driver.lines()[2:-2])


def test_an_error_is_explained() -> None:
    driver = Driver(snapshot(CALLS, [replace(READ, ret=-2), replace(READ, ret=-512)]))
    driver.press("tab", "end", "enter")
    assert re.search(r"result +ENOENT: No such file or directory", driver.text())
    driver.press("N")
    assert re.search(r"result +ERESTARTSYS: interrupted by a signal", driver.text())


def test_what_is_not_certain_is_said() -> None:
    closed = replace(READ, detail=detail(file(RELATION, certain=False)))
    driver = Driver(snapshot(CALLS, [closed]))
    driver.press("tab", "down", "enter")
    assert f"was {RELATION} when last seen" in driver.text()


def test_a_missing_stack_is_explained() -> None:
    driver = Driver(snapshot(CALLS, [replace(READ, detail=detail())]))
    driver.press("tab", "down", "enter")
    assert "stacks are switched off" in driver.text()


def test_a_story_scrolls_by_keys_and_wheel() -> None:
    deep = replace(READ, detail=detail(None, [f"vmlinux`f{i}+0x1" for i in range(60)]))
    driver = Driver(snapshot(CALLS, [deep]))
    driver.press("tab", "down", "enter")
    assert re.search(r" lines 1\u201320 of \d+ ", driver.lines()[1])
    seen = driver.text()
    for _ in range(4):
        driver.press("page down")
        seen += driver.text()
    assert all(f"f{i}+0x1 " in seen for i in range(60))
    driver.press("home")
    assert "read took" in driver.text()
    driver.press("down")
    assert "read took" not in driver.text()
    driver.press("up")
    driver.click(5, 5, button=5)
    assert "read took" not in driver.text()
    assert "↑↓ scroll" in driver.lines()[-1]


@pytest.mark.parametrize("key", ["esc", "backspace"])
@pytest.mark.parametrize("detail_first", [False, True])
def test_back_from_a_story_the_call_is_still_selected(key: str, detail_first: bool) -> None:
    driver = Driver(snapshot(CALLS, [READ, *SLOW, READ]))
    driver.press(*["enter", "tab"] if detail_first else [], "tab", "down", "down")
    before = driver.app.slow.selected
    line = next(line for line in driver.lines()[18:] if "▸" in line)
    driver.press("enter")
    assert " Slow call read " in driver.text() or not detail_first
    driver.add(snapshot(CALLS, [Slow("read", 10**9)] * 2, second=2))
    assert "postgres" in driver.text()
    driver.press(key)
    assert driver.app.slow.selected is before
    assert line in driver.lines()
    assert ": held, " in driver.text()
    assert driver.app.state.detail == detail_first


def test_enter_in_a_story_opens_the_syscall() -> None:
    driver = Driver(typical())
    driver.press("tab", "down", "down", "enter", "enter")
    assert " Processes in connect " in driver.text()


@pytest.mark.parametrize("key", ["esc", "backspace"])
def test_back_from_a_syscall_to_the_story_it_was_opened_from_and_to_the_list(key: str) -> None:
    driver = Driver(typical())
    driver.press("tab", "down", "down")
    listed = driver.text()
    driver.press("enter")
    story = driver.text()
    driver.press("enter", key)
    assert driver.text() == story
    # Another call's story on the way does not change where the way leads.
    driver.press("enter", "tab", "tab", "enter")
    assert " Slow call connect — 1 of 1 " in driver.text()
    # Esc lets the held list go first.
    driver.press(key, *["esc"] if key == "esc" else [], key)
    assert driver.text() == story
    driver.press(key)
    assert driver.text() == listed


def test_another_view_forgets_the_story_that_a_syscall_was_opened_from() -> None:
    driver = Driver(typical())
    driver.press("tab", "down", "enter", "enter", "v", "v", "v", "v")
    assert " Top syscalls " in driver.text()
    driver.press("tab", "enter")
    assert " Processes in read " in driver.text()
    driver.press("esc")
    assert " Top syscalls " in driver.text()


def test_back_to_the_story_of_an_example_with_its_error_chosen() -> None:
    driver = Driver(snapshot(CALLS, [replace(READ, ret=-2), READ]))
    failed = Calls("read", 5, errno=2)
    driver.add(snapshot([*CALLS, failed], [replace(READ, ret=-2)], second=2))
    driver.press("enter", "tab", "enter")
    assert ": ENOENT" in driver.text()
    driver.press("tab", "tab", "down", "enter")
    story = driver.text()
    assert " ENOENT: No such file" in story
    driver.press("enter", "esc")
    assert driver.text() == story
    driver.press("enter", "esc", "esc")
    assert driver.app.state.errno == 2
    driver.press("esc")  # lets the held list go
    driver.press("esc")
    assert driver.app.state.example is None
    assert " Processes in read " in driver.text()


def test_a_story_says_which_of_how_many_it_is() -> None:
    driver = Driver(typical())
    driver.press("tab", "down", "enter")
    assert " Slow call read — 1 of 3 " in driver.lines()[1]
    driver.press("n")
    assert " Slow call connect — 2 of 3 " in driver.lines()[1]
    driver.add(snapshot(CALLS, [Slow("poll", 10**9)] * 2, second=2))
    assert " Slow call connect — 4 of 5 " in driver.lines()[1]


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (200, 60)])
def test_a_held_list_says_which_part_of_it_is_on_show(size: tuple[int, int]) -> None:
    driver = Driver(snapshot(CALLS, [READ] * 481), size=size)
    driver.press("tab", "down", "down")
    driver.add(snapshot(CALLS, [READ] * 12, second=2))
    assert re.search(r": held, 13 newer \d+\u2013\d+ of 493 ", driver.line(" held"))


def test_the_times_of_other_calls_are_those_on_show() -> None:
    driver = Driver(snapshot(CALLS, [READ]), interval_s=1.0)
    driver.press("tab", "down", "enter")
    assert re.search(r"last 1\.0s +p50 \d+ns, p99 \d+ns, max 60\.0µs ", driver.text())
    driver.app.show(Filter(name="postgres"))
    assert re.search(r"last 1\.0s .* max 200ns, of those shown ", driver.text())
    driver.app.show(Filter())
    driver.add(snapshot([Calls("write", 5)], second=2))
    assert re.search(r"last 1\.0s +no other calls ", driver.text())


def test_a_frame_without_a_name_stands_in_the_same_columns() -> None:
    frames = ("libjemalloc.so.2+0x39ad8", "libc.so.6`__read+0x4e", "0x7f3152a01000")
    driver = Driver(snapshot(CALLS, [replace(READ, detail=detail(None, frames))]), size=(80, 40))
    driver.press("tab", "down", "enter")
    shown = [line for line in body(driver) if "+0x" in line or line.endswith("0x7f3152a01000")]
    assert shown[-3:] == [
        " libjemalloc.so.2  +0x39ad8",
        " libc.so.6         __read+0x4e",
        "                   0x7f3152a01000",
    ]


# --- Stacks that take their time ---


class Clock:
    """What the dashboard wants done later."""

    def __init__(self, driver: Driver) -> None:
        self.actions: list[Callable[[], None]] = []
        driver.app.later = lambda _, action: self.actions.append(action)

    def tick(self) -> None:
        due, self.actions = self.actions, []
        for action in due:
            action()


class Library:
    """A file of symbols that is read when it is released."""

    def __init__(self) -> None:
        self.released, self.asked = Event(), 0
        self.thread: Thread | None = None
        self.blocked: set[signal.Signals | int] = set()

    def stack(self) -> tuple[str, ...]:
        self.asked += 1
        self.thread = current_thread()
        self.blocked = set(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        assert self.released.wait(20)
        return STACK

    def call(self, pid: int = 1842) -> Slow:
        return replace(READ, pid=pid, tid=pid, detail=replace(READ.detail, stack=self.stack))

    def end(self) -> None:
        self.released.set()
        if self.thread is not None:
            self.thread.join()


@pytest.fixture
def library() -> Iterator[Library]:
    library = Library()
    yield library
    library.end()


def test_the_dashboard_goes_on_while_a_stack_is_looked_up(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(snapshot(CALLS, [library.call()]))
    clock = Clock(driver)
    driver.press("tab", "down", "enter")
    assert "looking up the stack…" in driver.text()
    driver.press("?", "esc", " ")
    clock.tick()
    assert "looking up the stack…" in driver.text()
    assert library.thread is not main_thread()
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= library.blocked
    library.end()
    redrawn: list[int] = []
    monkeypatch.setattr(driver.app.root, "invalidate", lambda: redrawn.append(1))
    clock.tick()
    assert redrawn
    assert "io_schedule" in driver.text()
    assert not clock.actions
    assert library.asked == 1


def test_a_stack_that_does_not_come_is_left_behind(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysdash.panels.stacks.MOST_S", 0.3)
    driver = Driver(snapshot(CALLS, [READ, library.call()]))
    clock = Clock(driver)
    driver.press("tab", "down", "enter")
    assert "looking up the stack…" in driver.text()
    # One at a time: the next call's has to wait.
    driver.press("n")
    assert "looking up the stack…" in driver.text()
    time.sleep(0.2)
    clock.tick()
    assert "io_schedule" in driver.text()
    driver.press("N")
    time.sleep(0.2)
    clock.tick()
    assert "the stack could not be read in time" in driver.text()
    assert not clock.actions


def test_not_many_stacks_are_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysdash.panels.stacks.MOST_S", 0.01)
    libraries = [Library() for _ in range(5)]
    try:
        calls = [library.call(pid) for pid, library in enumerate(libraries, 100)]
        driver = Driver(snapshot(CALLS, calls))
        driver.press("tab", "down", "enter", "n", "n", "n", "n")
        assert "the stack could not be read in time" in driver.text()
        assert sum(library.asked for library in libraries) == 3
    finally:
        for library in libraries:
            library.end()


def test_to_the_story_of_the_next_call_and_back() -> None:
    driver = Driver(typical())
    driver.press("tab", "down", "enter")
    assert " Slow call read " in driver.text()
    driver.press("n")
    assert " Slow call connect " in driver.text()
    driver.press("tab")
    assert " Slow call futex " in driver.text()
    driver.press("n")
    assert " Slow call futex " in driver.text()
    driver.press("N", "shift tab", "N")
    assert " Slow call read " in driver.text()
    driver.add(snapshot(CALLS, [Slow("poll", 10**9)], second=2))
    assert " Slow call read " in driver.text()
    driver.press("N")
    assert " Slow call poll " in driver.text()
    driver.press("esc")
    assert driver.line("▸").startswith("│ ") or " poll " in driver.text()
    assert driver.app.slow.selected is not None
    assert driver.app.slow.selected.syscall.name == "poll"


def forgetful(calls: Sequence[Slow]) -> Driver:
    """A dashboard whose history keeps ten slow calls."""
    driver = Driver(snapshot(CALLS, calls))
    driver.history._keep_slow = 10
    return driver


def numbered(first: int) -> list[Slow]:
    """Ten slow calls with PIDs from ``first`` on."""
    return [Slow("poll", 10**9, first + i, first + i, ago_ms=90 - i) for i in range(10)]


def test_a_call_on_show_keeps_its_neighbours_when_they_are_forgotten() -> None:
    driver = forgetful(numbered(100))
    driver.press("tab", *["down"] * 3, "enter")
    assert re.search(r"pid, tid +107,", driver.text())
    for second in range(2, 5):
        driver.add(snapshot(CALLS, numbered(100 * second), second=second))
    assert 107 not in {call.pid for call in driver.history.slow}
    driver.press("n")
    assert re.search(r"pid, tid +106,", driver.text())
    driver.press("N", "N", "N")
    assert re.search(r"pid, tid +109,", driver.text())
    # What came in between is gone.
    driver.press("N")
    assert re.search(r"pid, tid +400,", driver.text())
    driver.press("n", "esc")
    assert driver.app.slow.selected is not None
    assert driver.app.slow.selected.pid == 109
    assert ": held, 10+ newer" in driver.text()
    driver.press("esc")
    assert len(driver.app.slow.calls) == 10
    assert "held" not in driver.text()


def test_a_held_list_does_not_grow_without_end() -> None:
    driver = forgetful(numbered(100))
    driver.press("tab")
    for second in range(2, 300):
        driver.press("down", "up", "down")
        driver.add(snapshot(CALLS, numbered(100 * second), second=second))
    assert len(driver.app.slow.calls) <= 1_100


def test_a_held_call_goes_when_it_passes_the_filter_no_more() -> None:
    driver = forgetful(numbered(100))
    driver.press("tab", "down", "down")
    driver.add(snapshot(CALLS, numbered(200), second=2))
    driver.app.show(Filter(pid=203))
    assert [call.pid for call in driver.app.slow.calls] == [203]
    assert "held" not in driver.text()


def test_the_keys_of_the_list_do_nothing_under_a_story() -> None:
    driver = Driver(flying([STUCK, SYNC]))
    driver.app.show(Filter(name="s"))
    driver.press("v", "v", "enter")
    before = driver.text()
    driver.press("I", "p", "/", "ctrl l")
    assert driver.text() == before
    for short in ("I invert", "p pid", "/ name", "Ctrl-L clear"):
        assert short not in driver.text((250, 24))
    driver.press("esc")
    assert in_flight(driver) == ["read", "fsync"]


def test_another_view_closes_the_story() -> None:
    driver = Driver(typical())
    driver.press("tab", "down", "enter", "v")
    assert " Processes " in driver.text()
    driver.press("esc")
    assert " Top syscalls " in driver.text()


@pytest.mark.parametrize("size", [(60, 15), (61, 17), (119, 30), (120, 30), (250, 70)])
def test_a_story_at_every_size(size: tuple[int, int]) -> None:
    long = detail(file("/" + "/".join(["long-name"] * 60)), [f"m`{'f' * 300}+0x1"] * 3)
    driver = Driver(snapshot(CALLS, [replace(READ, detail=long)]), size=size)
    driver.press("tab", "down", "enter")
    seen = body(driver)
    while driver.app.story.part() and not re.search(r"\u2013(\d+) of \1\b", driver.lines()[1]):
        driver.press("down")
        seen.append(body(driver)[-1])
    # Nothing is cut.
    facts = "".join(line.partition("│")[0].strip() for line in seen)
    stack = "".join(line.rpartition("│")[2] for line in seen)
    assert facts.count("long-name") == 60
    assert stack.count("f") >= 900
    assert driver.text((59, 14)).count("too small") == 1
    assert " Slow call read " in driver.text()


@given(st.text(max_size=200).map(units.safe), st.integers(10, 60))
def test_wrapping_keeps_every_character_within_the_width(text: str, columns: int) -> None:
    pieces = wrapped(text, columns)
    assert all(units.width(piece) <= columns for piece in pieces)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


# --- In flight ---


def in_flight(driver: Driver) -> list[str]:
    """The names of the calls listed in the view."""
    return [line[1:].split()[0] for line in body(driver) if re.match(r"[ ▸]\w+ +≥?\d", line)]


def test_calls_in_flight_those_that_only_wait_last() -> None:
    driver = Driver(flying([WAITS, STUCK, SYNC]))
    driver.press("v", "v")
    assert in_flight(driver) == ["read", "fsync", "futex"]
    assert re.search(r"▸read +5m12s postgres .*2663", driver.selected())
    assert "2 of other kinds, then 1 that waits by nature" in driver.text()
    assert "sort duration" in driver.lines()[0]
    driver.press("I")
    assert in_flight(driver) == ["fsync", "read", "futex"]
    assert "s sort" not in driver.lines()[-1]


@pytest.mark.parametrize("size", [(80, 24), (132, 43), (200, 60)])
def test_every_column_of_calls_in_flight_has_its_heading(size: tuple[int, int]) -> None:
    driver = Driver(flying([STUCK]), size=size)
    driver.press("v", "v")
    for heading in ("In flight", "so far", "process", "pid/tid", "arguments"):
        assert f" {heading} " in driver.lines()[1]


def test_what_waits_by_nature_is_dimmed() -> None:
    driver = Driver(flying([WAITS]))
    driver.press("v", "v")
    canvas = driver.app.root.render(driver.size, focus=True)
    row = next(row for row in canvas.content() if b"1h00m" in b"".join(part for _, _, part in row))
    styles = {str(style) for style, _, text in row if text.strip(b" \xe2\x94\x82\xe2\x96\xb8")}
    assert styles & {"selected dim"}
    assert not styles & {"selected warn", "warn"}


def test_where_in_the_kernel_a_call_is() -> None:
    driver = Driver(flying([STUCK, SYNC]), size=(132, 43))
    driver.press("v", "v")
    assert re.search(r"read .* io_schedule +", driver.line("▸read"))


def test_calls_in_flight_that_are_not_listed_are_counted() -> None:
    driver = Driver(flying([STUCK], unlisted=12))
    assert re.search(r"in flight +1 \+12 ", driver.text())
    driver.press("v", "v")
    assert " and 12 more " in driver.text()
    # Whose they are is not known.
    driver.app.show(Filter(pid=1842))
    assert "12 more" not in driver.text()
    assert re.search(r"in flight +1 ", driver.text())


def test_what_the_list_leaves_to_be_said_is_not_cut() -> None:
    waiting = [replace(WAITS, tid=tid) for tid in range(6)]
    driver = Driver(flying([STUCK, SYNC, *waiting], unlisted=5), size=(60, 15))
    driver.press("v", "v")
    shown = " ".join(line.partition("│")[0].strip() for line in body(driver))
    assert "2 of other kinds, then 6 that wait by nature, and 5 more" in shown


def test_another_order_begins_at_the_top() -> None:
    driver = Driver(flying([replace(STUCK, tid=tid) for tid in range(60)]))
    driver.press("v", "v", "end")
    assert driver.app.in_flight.offset > 30
    driver.press("I")
    assert driver.app.in_flight.offset == 0


def test_a_function_takes_no_more_room_than_it_needs() -> None:
    for function in ("pipe_read", "filemap_update_page_range"):
        call = replace(STUCK, detail=detail(file(RELATION), [f"vmlinux`{function}+0x42"]))
        driver = Driver(flying([call]), size=(200, 60))
        driver.press("v", "v")
        room = max(len(function), len("in the kernel") + 1)
        assert f" {function.ljust(room)} fd=7 {RELATION} count=8192 " in driver.selected()


def test_nothing_in_flight() -> None:
    driver = Driver(typical())
    assert re.search(r"in flight +0 ", driver.text())
    driver.press("v", "v")
    assert "no call has been inside the kernel for longer" in " ".join(body(driver))
    before = driver.text()
    driver.press("enter", "down")
    assert driver.text() == before


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (200, 60)])
def test_the_summary_counts_calls_in_flight(size: tuple[int, int]) -> None:
    calls = [STUCK, SYNC] + [replace(WAITS, tid=tid) for tid in range(35)]
    text = Driver(flying(calls), size=size).text()
    assert re.search(r"in flight +2 \+35 ", text)


def test_filters_apply_to_calls_in_flight() -> None:
    driver = Driver(flying([STUCK, SYNC]))
    driver.press("v", "v")
    driver.app.show(Filter(name="redis"))
    assert in_flight(driver) == ["fsync"]
    assert re.search(r"in flight +1 ", driver.text())


def test_the_selection_stays_on_its_call_while_that_is_in_flight() -> None:
    driver = Driver(flying([STUCK, SYNC]))
    driver.press("v", "v", "down")
    assert "▸fsync" in driver.selected()
    other = replace(STUCK, tid=5, duration_ns=100 * 10**9)
    later = replace(SYNC, duration_ns=SYNC.duration_ns + 10**9 + 900_000)
    driver.add(flying([STUCK, other, later], second=2))
    assert re.search(r"▸fsync +1\.05s", driver.selected())
    # Another call of the same thread is another call.
    driver.add(flying([STUCK, other, SYNC], second=3))
    assert "▸fsync" in driver.selected()
    driver.add(flying([STUCK], second=4))
    assert "▸read" in driver.selected()


def test_a_story_follows_its_call_until_it_returns() -> None:
    driver = Driver(flying([SYNC]))
    driver.press("v", "v", "enter")
    assert " In flight fsync " in driver.text()
    assert "fsync has not returned for 50.0ms" in driver.text()
    assert re.search(r"result +none yet", driver.text())
    later = replace(SYNC, duration_ns=SYNC.duration_ns + 10**9)
    driver.add(flying([later], second=2))
    assert "fsync has not returned for 1.05s" in driver.text()
    # It returned half a second before the next look.
    ended = replace(SYNC, duration_ns=SYNC.duration_ns + 1_500_000_000, ret=0, ago_ms=500)
    driver.add(snapshot(CALLS, [ended], second=3))
    assert " Slow call fsync " in driver.text()
    assert "fsync took 1.55s" in driver.text()
    assert re.search(r"result +0", driver.text())
    assert "/data/dump.rdb" in driver.text()
    driver.press("esc")
    assert " In flight " in driver.text()


def test_a_call_that_is_gone_without_a_trace_keeps_its_story() -> None:
    driver = Driver(flying([STUCK, SYNC]))
    driver.press("v", "v", "down", "enter")
    driver.add(flying([STUCK], second=2))
    text = driver.text()
    assert "fsync has returned, after ≥50.0ms" in text
    assert "/data/dump.rdb" in text
    assert re.search(r"result +not known", text)
    driver.press("n")
    assert " In flight read " in driver.text()


def test_a_call_that_is_listed_no_more_is_not_said_to_have_returned() -> None:
    driver = Driver(flying([STUCK, SYNC]))
    driver.press("v", "v", "down", "enter")
    driver.add(flying([STUCK], second=2, unlisted=3))
    text = driver.text()
    assert " In flight fsync " in text
    assert "has returned" not in text
    assert "fsync was last seen after 50.0ms" in text
    assert re.search(r"result +not known: more calls are in flight than are listed", text)
    # Seen again, and gone.
    driver.add(flying([STUCK, replace(SYNC, duration_ns=2_050_000_000)], second=3))
    assert "fsync has not returned for 2.05s" in driver.text()
    driver.add(flying([STUCK], second=4))
    assert "fsync has returned, after ≥2.05s" in driver.text()


def test_a_story_follows_the_nearest_call_and_no_other() -> None:
    """Calls of the same thread one after the other, 5 ms each."""
    driver = Driver(flying([SYNC]))
    driver.press("v", "v", "enter")
    ended = [
        replace(SYNC, duration_ns=duration, ret=ret, ago_ms=ago)
        for duration, ret, ago in [
            (60_000_000, 1, 990),
            (5_000_000, 2, 984),
            (5_000_000, 3, 978),
        ]
    ]
    driver.add(snapshot(CALLS, ended, second=2))
    assert re.search(r"result +1 ", driver.text())
    # One that began 5 ms later is another one.
    driver = Driver(flying([SYNC]))
    driver.press("v", "v", "enter")
    driver.add(flying([replace(SYNC, duration_ns=SYNC.duration_ns + 995_000_000)], second=2))
    assert "fsync has returned, after ≥50.0ms" in driver.text()


def test_of_calls_that_began_before_they_were_watched_the_nearest_is_followed() -> None:
    first = replace(SYNC, at_least=True)
    driver = Driver(flying([first]))
    driver.press("v", "v", "enter")
    second = SYNC.duration_ns + 10**9
    far, near = (replace(first, duration_ns=second + ns) for ns in (10_000_000, 3_000_000))
    driver.add(flying([far, near], second=2))
    assert driver.app.state.story is not None
    assert driver.app.state.story.duration_ns == near.duration_ns


def test_a_call_that_waits_is_said_to_wait() -> None:
    driver = Driver(flying([WAITS]))
    driver.press("v", "v", "enter")
    assert "futex has waited for 1h00m" in driver.text()


def test_details_are_asked_for_only_while_they_are_on_show() -> None:
    driver = Driver(flying([SYNC]))
    asked: list[bool] = []
    driver.app.set_watch = asked.append
    driver.press("v")
    assert asked == []
    driver.press("v")
    assert asked == [True]
    driver.press("enter", "down", "esc")
    assert asked == [True]
    driver.press("v")
    assert asked == [True, False]
    driver.press("v", "tab", "down", "enter", "esc", "v", "v", "enter", "enter")
    assert " Processes in fsync " in driver.text()
    assert asked == [True, False, True, False]


def test_what_has_not_been_looked_at_yet_is_not_made_up() -> None:
    unread = replace(SYNC, args=(), detail=detail())
    driver = Driver(flying([unread]))
    driver.press("v", "v")
    assert re.search(r"▸fsync +50\.0ms .* …", driver.selected())
    driver.press("enter")
    assert driver.text().count("not known yet") == 2
    assert "fd " not in driver.text()
    looked = replace(SYNC, duration_ns=SYNC.duration_ns + 10**9)
    driver.add(flying([looked], second=2))
    assert "/data/dump.rdb" in driver.text()
    # What is known stays known while the thread cannot be looked at.
    driver.add(flying([replace(unread, duration_ns=SYNC.duration_ns + 2 * 10**9)], second=3))
    assert "fsync has not returned for 2.05s" in driver.text()
    assert "/data/dump.rdb" in driver.text()


def test_nothing_is_looked_up_for_a_picture_that_stands_still() -> None:
    unread = replace(SYNC, args=(), detail=detail())
    driver = Driver(flying([unread]))
    asked: list[bool] = []
    driver.app.set_watch = asked.append
    driver.press(" ", "v", "v")
    assert asked == []
    assert "not looked up: paused" in driver.text()
    driver.press("enter")
    assert driver.text().count("not looked up: paused") == 2
    assert "not known yet" not in driver.text()
    driver.press(" ")
    assert asked == [True]
    assert driver.text().count("not known yet") == 2
    driver.press(" ")
    assert asked == [True, False]


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
def test_calls_in_flight_that_are_not_collected_are_not_said_to_be_none(
    size: tuple[int, int],
) -> None:
    driver = Driver(snapshot(CALLS, in_flight_known=False), size=size)
    assert re.search(r"in flight +· ", driver.text())
    driver.press("v", "v")
    assert "not collected with -x or -e" in driver.text()
    assert "no call has been" not in driver.text()


# --- From an error to an example ---

FAILED = replace(READ, name="openat", ret=-2, pid=777, comm=b"find", duration_ns=20_000_000)
DENIED = replace(FAILED, ret=-13, pid=888, comm=b"cat", duration_ns=30_000_000)
WITH_ERRORS = (
    *CALLS,
    Calls("openat", 50, 9_000, 888, b"cat", errno=13),
    Calls("openat", 500, 4_000, 999, b"fine"),
)


@pytest.fixture
def opened() -> Driver:
    """The syscall with two kinds of errors, opened, its errors in the focus."""
    driver = Driver(snapshot(WITH_ERRORS, [FAILED, DENIED]))
    driver.press("down", "down", "down", "enter", "tab")
    assert " Processes in openat " in driver.text()
    return driver


def test_from_an_error_to_its_processes_to_an_example(opened: Driver) -> None:
    assert "Enter filter" in opened.lines()[-1]
    opened.press("down", "enter")
    text = opened.text()
    for title in (
        "Processes in openat: EACCES",
        "Latency openat: EACCES",
        "Examples of openat: EACCES",
    ):
        assert f" {title} " in text
    assert " cat " in text
    assert " find " not in text
    assert re.search(r" 50 ◂", text)
    opened.press("tab", "tab", "down", "enter")
    assert re.search(r"result +EACCES: Permission denied", opened.text())
    opened.press("enter")
    assert " Processes in openat: EACCES " in opened.text()


@pytest.mark.parametrize("key", ["esc", "backspace"])
def test_back_from_an_error_to_the_syscall(opened: Driver, key: str) -> None:
    opened.press("enter", key)
    assert " Processes in openat " in opened.text()
    assert " find " in opened.text()
    assert " cat " in opened.text()
    opened.press(key)
    assert " Top syscalls " in opened.text()


def test_enter_on_the_chosen_error_shows_all_again(opened: Driver) -> None:
    opened.press("enter")
    assert " Processes in openat: ENOENT " in opened.text()
    opened.press("tab", "enter")
    assert " Processes in openat " in opened.text()


FAST = replace(FAILED, duration_ns=3_000, example=True)


def words(driver: Driver) -> str:
    """The text on the screen without its layout."""
    return " ".join(" ".join(body(driver)).replace("│", " ").split())


def test_an_error_s_examples_come_however_fast_they_are(opened: Driver) -> None:
    opened.press("enter")
    missing = replace(FAST, detail=detail(data=b"/lib/missing.so"))
    opened.add(snapshot(WITH_ERRORS, [missing], second=2))
    assert re.search(r"slow calls +0 ", Driver(snapshot(WITH_ERRORS, [missing])).text())
    opened.press("tab", "tab", "down")
    assert re.search(r"▸\d\d:\d\d:\d\d +3\.00µs find .* /lib/missing\.so", opened.text())
    opened.press("enter")
    assert " Failed call openat " in opened.text()
    assert "openat took 3.00µs" in opened.text()
    assert "ENOENT: No such file or directory" in opened.text()
    # The older ones are still there.
    opened.press("n")
    assert "openat took 20.0ms" in opened.text()
    opened.press("esc", "esc", "esc")
    assert " Slow calls openat " in opened.text()
    assert "3.00µs find" not in opened.text()


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (200, 60)])
def test_a_list_does_not_repeat_what_its_title_says(opened: Driver, size: tuple[int, int]) -> None:
    opened.size = size
    opened.press("enter")
    opened.add(snapshot(WITH_ERRORS, [replace(FAST, pid=4_194_304, tid=4_194_304)], second=2))
    line = opened.line(" 3.00µs ")
    assert "openat" not in line
    assert "ENOENT" not in line
    # The room is for the arguments.
    assert units.width(line.rpartition("find")[2]) >= 30


def test_examples_are_the_chosen_error_s_and_pass_the_filter(opened: Driver) -> None:
    opened.press("enter")
    others = [
        replace(FAST, ret=-13, comm=b"denied"),
        replace(FAST, name="readlink", comm=b"readlink"),
        replace(FAST, pid=5, comm=b"make"),
    ]
    opened.add(snapshot(WITH_ERRORS, [FAST, *others], second=2))
    listed = [call.comm for call in opened.app.slow.calls]
    assert listed == ["make", "find", "find"]
    # Enter on its process.
    opened.press("enter")
    assert {call.pid for call in opened.app.slow.calls} == {777}
    opened.press("ctrl l")
    assert len(opened.app.slow.calls) == 3


def test_the_last_examples_are_kept_while_the_error_is_chosen(opened: Driver) -> None:
    opened.press("enter")
    for second in range(2, 30):
        calls = [replace(FAST, pid=1000 * second + i, ago_ms=900 - i) for i in range(20)]
        opened.add(snapshot(WITH_ERRORS, calls, second=second))
    fast = [call.pid for call in opened.app.slow.calls if call.duration_ns == FAST.duration_ns]
    assert fast == [1000 * second + i for second in range(29, 19, -1) for i in range(19, -1, -1)]
    # None twice, and none of them after another error was chosen.
    opened.press("down", "up", "esc", "tab", "enter")
    assert not any(call.pid in fast[20:] for call in opened.app.slow.calls)


def test_a_held_example_goes_with_its_error(opened: Driver) -> None:
    opened.press("enter")
    opened.add(snapshot(WITH_ERRORS, [FAST], second=2))
    opened.press("tab", "tab", "down")
    assert opened.app.slow.selected is not None
    assert opened.app.slow.selected.duration_ns == FAST.duration_ns
    opened.press("tab", "tab", "enter")
    assert " Slow calls openat " in opened.text()
    assert {call.duration_ns for call in opened.app.slow.calls} == {20_000_000, 30_000_000}
    assert "held" not in opened.text()


def test_examples_are_asked_for_while_an_error_is_chosen(opened: Driver) -> None:
    asked: list[tuple[int, int, int] | None] = []
    opened.app.set_example = asked.append
    chosen = (nr("openat"), 0, 2)
    opened.press("enter", "tab")
    assert asked == [chosen]
    opened.press("down", "enter")
    assert asked == [chosen, (nr("openat"), 0, 13)]
    opened.press("esc")
    assert asked[2:] == [None]
    opened.press("tab", "up", "enter", " ")
    assert asked[3:] == [chosen, None]
    opened.press(" ", "v")
    assert asked[5:] == [chosen, None]


def test_without_an_example_it_says_that_it_waits(opened: Driver) -> None:
    opened.add(snapshot([*WITH_ERRORS, Calls("openat", 9, 400, 999, b"fine", errno=40)], second=2))
    opened.press("end", "enter")
    assert "waiting for the next one that fails with ELOOP…" in words(opened)
    opened.press(" ")
    assert "not looked up: paused" in words(opened)
    assert "waiting for the next" not in words(opened)


def test_an_error_without_calls_in_an_interval_says_so(opened: Driver) -> None:
    opened.press("enter")
    opened.add(snapshot([Calls("openat", 5)], second=2))
    text = opened.text()
    assert "no call failed with ENOENT in this interval" in text
    assert "no openat failed with ENOENT" in text


def test_the_list_of_errors_opens_one_of_them() -> None:
    driver = Driver(snapshot(WITH_ERRORS, [FAILED, DENIED]))
    driver.press("v", "v", "v", "end", "enter")
    assert " Examples of openat: EACCES " in driver.text()
    driver.press("esc")
    assert driver.names()[-1] == "EACCES"
    # The error was chosen with its syscall, and goes with it.
    driver.press("esc", "enter")
    assert " Processes in openat " in driver.text()
