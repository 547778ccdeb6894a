"""The values of an argument in the dashboard: keys in, text out, and what counts them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest
from screen import Driver, typical
from synthetic import SECOND_NS, START_NS, nr, snapshot
from urwid.util import set_temporary_encoding

from sysdash import syscalls
from sysdash.arguments import Signatures
from sysdash.commands.top import narrowed
from sysdash.distribution import Gathering, Question, choices, most_telling, other_kind
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.model import Snapshot, Syscall
from sysdash.quantity import Quantity
from sysdash.valuing import LONGEST_S, Publish, Valuing, Wake

PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def _utf8() -> Iterator[None]:
    with set_temporary_encoding("utf8"):
        yield


def values(
    counts: Mapping[int | bytes, int], second: int = 1, lost: Mapping[str, int] | None = None
) -> Snapshot:
    """An interval of a second in which these values were counted."""
    return replace(snapshot(second=second, lost=lost), values=dict(counts))


class Counting:
    """Stands for the collector of a probe that counts values."""

    def __init__(self, question: Question, publish: Publish, may_end: threading.Event) -> None:
        self.question = question
        self.publish = publish
        self.interval_s = 0.0
        self.error: BaseException | None = None
        self.started = self.stopped = False
        self._may_end = may_end

    def start(self) -> None:
        self.started = True

    def stop(self) -> None:
        assert self._may_end.wait(PATIENCE_S)
        self.stopped = True


class Screen(Driver):
    """A dashboard that counts values, of what the tests give it."""

    def __init__(self, *snapshots: Snapshot, **options: object) -> None:
        super().__init__(*(snapshots or (typical(),)), **options)  # type: ignore[arg-type]
        self.made: list[Counting] = []
        self.refusal = ""
        self.may_end = threading.Event()
        self.may_end.set()
        self.app.valuing = Valuing(self._count, lambda: None)

    def _count(
        self, question: Question, interval_s: float, publish: Publish, _: Wake
    ) -> Counting | str:
        if self.refusal:
            return self.refusal
        self.made.append(Counting(question, publish, self.may_end))
        self.made[-1].interval_s = interval_s
        return self.made[-1]

    def settle(self) -> None:
        """Wait until what is to end has ended, and what is to begin has begun."""
        wanted = self.app.state.question
        until(lambda: self._is_settled(wanted))

    def _is_settled(self, wanted: Question | None) -> bool:
        self.app.refresh()
        running = [counting.question for counting in self.running()]
        return running == ([] if wanted is None else [wanted])

    def running(self) -> list[Counting]:
        """What counts now."""
        return [counting for counting in self.made if counting.started and not counting.stopped]

    def open(self, name: str, *keys: str) -> None:
        """Open a syscall's values, and type keys."""
        number = nr(name)
        self.app.state.syscall, self.app.state.pinned = Syscall(number), True
        self.app.redraw()
        self.press("enter", "a", *keys)
        self.settle()

    def give(self, counts: Mapping[int | bytes, int], second: int = 1, **more: object) -> None:
        """An interval comes from what counts."""
        self.running()[0].publish(values(counts, second, **more))  # type: ignore[arg-type]
        self.app.refresh()
        self.lines()

    def title(self) -> str:
        """What the main panel is called."""
        found = re.match(r"┌ (.*?) (?:[━─]|\d+–)", self.lines()[1])
        assert found
        return found[1]

    def body(self, size: tuple[int, int] | None = None) -> list[str]:
        """The lines of the main panel, without its borders."""
        lines = self.lines(size)
        end = next(i for i, line in enumerate(lines) if i > 1 and line[0] in "├└")
        return [line[1:].split("│")[0].rstrip() for line in lines[2:end]]


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def screen() -> Iterator[Screen]:
    screen = Screen()
    yield screen
    screen.may_end.set()
    assert screen.app.valuing
    screen.app.valuing.close()
    assert not screen.running()


# --- What is shown ---


def test_the_values_of_the_most_telling_argument(screen: Screen) -> None:
    assert not screen.made
    screen.open("read")
    assert screen.title() == "Values of read:count"
    assert screen.body()[0] == " starting to count…"
    screen.give({4093: 990, 1: 10})
    screen.give({4093: 9_000, 512: 5}, second=2)
    assert screen.body()[:4] == [
        f" 10,005 calls, 3 values         in 2.00s, since {clock(0)}",
        "▸     4093 ████████████████████████████     9,990  99.9%",
        "         1 ▏                                   10   0.1%",
        "       512 ▏                                    5  <0.1%",
    ]
    # The parts beside it stay.
    text = screen.text()
    assert "Latency read" in text
    assert "Errors" in text
    assert "Slow calls read" in text
    assert "sort calls" in screen.lines()[0]


def clock(second: int) -> str:
    at = time.localtime((START_NS + second * SECOND_NS) // SECOND_NS)
    return time.strftime("%H:%M:%S", at)


@pytest.mark.parametrize(
    ("name", "counts", "title", "row"),
    [
        (
            "openat",
            {b"/etc/passwd": 5, b"/no/such": 1},
            "openat:filename",
            r"▸/etc/passwd +█+ .* 83",
        ),
        ("futex", {0: 3, 129: 7}, "futex:op", r"▸FUTEX_WAKE_PRIVATE +█+ +7  70.0%"),
        ("getpid", {42: 3}, "getpid:ret", r"▸ +42 █+ +3 100.0%"),
    ],
)
def test_values_are_told_in_words(
    screen: Screen, name: str, counts: Mapping[int | bytes, int], title: str, row: str
) -> None:
    screen.open(name)
    assert screen.title() == f"Values of {title}"
    screen.give(counts)
    assert re.match(row, screen.body()[1])


def test_what_is_returned_names_errors(screen: Screen) -> None:
    screen.open("read", "a")
    assert screen.title() == "Values of read:ret"
    screen.give({-11: 3, 4096: 1})
    assert re.match(r"▸ +EAGAIN █+ +3  75.0%", screen.body()[1])
    assert "error" in {style.removeprefix("selected ") for style in screen.styles()}


def test_hostile_paths_are_shown_safely_and_by_their_end(screen: Screen) -> None:
    screen.open("openat")
    screen.give({b"/tmp/\x1b[31mred\x07": 9, b"/" + b"long/" * 12 + b"the-end": 1})
    assert screen.body()[1].startswith("▸/tmp/␛[31mred␇ ")
    assert re.match(r" ….*long/the-end ", screen.body()[2])
    assert "\x1b" not in screen.text()


def test_next_and_previous_argument(screen: Screen) -> None:
    screen.open("read")
    seen = [screen.title()]
    for key in ("a", "a", "a", "A", "A"):
        screen.press(key)
        screen.settle()
        seen.append(screen.title())
    names = ["count", "ret", "fd", "count", "fd", "ret"]
    assert seen == [f"Values of read:{name}" for name in names]
    assert [counting.question.quantity.argument for counting in screen.made] == names
    # An address of memory would tell nothing.
    assert "buf" not in names


def test_a_histogram_and_back(screen: Screen) -> None:
    screen.open("read", "b")
    assert screen.running()[0].question.quantity.bucketed
    # Buckets 1, 3 and 13 of the probe: 1, 4 to 7, 4096 to 8191.
    screen.give({1: 5, 3: 1, 13: 94})
    body = screen.body()
    assert body[0].startswith(" 100 calls  ")
    shown = "\n".join(body)
    assert re.search(r"▸4096 – 8191 +█+ +94  94.0%", shown)
    screen.press("home")
    shown = "\n".join(screen.body())
    assert re.search(r"▸ +1 +▍? *\S* +5   5.0%", shown)
    assert re.search(r"   2 – 3 +0$", shown, re.MULTILINE)
    assert "sort value" in screen.lines()[0]
    assert "b values" in screen.lines()[-1]
    screen.press("b")
    screen.settle()
    assert not screen.running()[0].question.quantity.bucketed


def test_text_has_no_histogram(screen: Screen) -> None:
    screen.open("openat")
    before = screen.app.state.quantity
    assert " b " not in screen.lines()[-1]
    screen.press("b")
    assert screen.app.state.quantity == before


def test_no_calls_and_losses(screen: Screen) -> None:
    screen.open("read")
    screen.give({})
    assert screen.body()[0] == f" no calls in 1.00s, since {clock(0)}"
    screen.give({7: 1}, second=2, lost={"values": 3, "unattributed": 9})
    assert screen.body()[0].startswith(" 1 call, 1 value ")
    assert screen.body()[1] == " lost: 3 calls, or their values"


def test_lists_can_be_limited_and_inverted() -> None:
    screen = Screen(most=2)
    screen.open("read")
    screen.give({1: 3, 2: 2, 3: 1})
    assert [line.strip("▸ ").split()[0] for line in screen.body()[1:] if line] == ["1", "2"]
    screen.press("I")
    assert [line.strip("▸ ").split()[0] for line in screen.body()[1:] if line] == ["3", "2"]


def test_a_histogram_is_never_limited() -> None:
    screen = Screen(most=2)
    screen.open("read", "b")
    screen.give({1: 5, 3: 1, 13: 94})
    assert len([line for line in screen.body((80, 40))[1:] if line]) == 13
    screen.press("end")
    assert screen.body()[-1].split()[:3] == ["▸4096", "–", "8191"]


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (100, 30), (200, 60), (250, 70)])
def test_every_size(screen: Screen, size: tuple[int, int]) -> None:
    screen.open("openat")
    screen.give({b"/" + b"x" * length: 1000 // length for length in range(1, 120)})
    screen.app.state.filter = replace(screen.app.state.filter, name="x")
    text = screen.text(size)
    assert re.search(r"│▸…?[/x]+ +█+ .* 18" if size[0] > 60 else r"│▸…?[/x]+ .* 18", text)
    assert screen.text((59, 14)).count("too small") == 1


@pytest.mark.parametrize("columns", [60, 70, 80, 100])
def test_a_long_title_leaves_the_headings_of_numbers(screen: Screen, columns: int) -> None:
    screen.open("openat")
    screen.give({b"/etc/passwd": 1})
    assert re.match(
        "┌ (Values of )?openat:filename ━+ calls  share ┯", screen.lines((columns, 24))[1]
    )


def test_a_bar_gives_its_room_to_the_values(screen: Screen) -> None:
    screen.open("epoll_ctl")
    screen.give({1: 50, 2: 30, 3: 20})
    assert [line.split() for line in screen.body((60, 15))[1:4]] == [
        ["▸EPOLL_CTL_ADD", "50", "50.0%"],
        ["EPOLL_CTL_DEL", "30", "30.0%"],
        ["EPOLL_CTL_MOD", "20", "20.0%"],
    ]
    assert re.match("▸EPOLL_CTL_ADD █+ ", screen.body()[1])


@pytest.mark.parametrize("size", [(60, 15), (66, 15), (80, 24)])
def test_a_number_is_never_cut(screen: Screen, size: tuple[int, int]) -> None:
    screen.open("pread64", "a", "b")
    assert screen.title() == "Values of pread64:pos"
    screen.give({**dict.fromkeys(range(200), 9), **dict.fromkeys(range(2**63 - 99, 2**63), 1)})
    screen.press("end")
    assert screen.body(size)[-1].startswith("▸9223372036854775807 ")
    screen.press("b")
    screen.settle()
    screen.give({1: 9, 63: 1})
    screen.press("end")
    last = screen.body(size)[-1]
    assert re.match("▸4611686018427387904 –( 9223372036854775807)? +", last)
    assert "…" not in last
    assert screen.body()[-1].startswith("▸4611686018427387904 – 9223372036854775807 ")


def test_the_column_is_as_wide_as_what_is_on_show(screen: Screen) -> None:
    screen.open("openat")
    far = b"/beyond-the-others"
    screen.give({**{b"/%d" % number: 9 for number in range(100)}, far: 1})
    narrow = screen.body()[1].index("█")
    screen.press("end")
    assert screen.body()[-1].startswith(f"▸{far.decode()} ")
    screen.press("home")
    # It does not go back and forth.
    assert screen.body()[1].index("█") > narrow


# --- Keys and the mouse ---


def test_until_something_is_selected_the_pointer_is_on_what_most_calls_have(
    screen: Screen,
) -> None:
    screen.open("read", "b")
    screen.give({1: 1})
    screen.give({1: 1, 13: 94}, second=2)
    assert "▸4096 – 8191" in "\n".join(screen.body())
    # Not what it was, nor where it was, but the largest: also of single values.
    screen.press("b")
    screen.settle()
    screen.give({1: 1})
    screen.give({2: 5}, second=2)
    assert re.match("▸ +2 ", screen.body()[1])


@pytest.mark.parametrize("select", [["down", "up"], ["click"]])
def test_what_was_selected_is_forgotten_when_counting_begins_anew(
    screen: Screen, select: list[str]
) -> None:
    screen.open("read")
    screen.give({1: 3, 2: 2})
    if select == ["click"]:
        screen.click(5, 3)
    else:
        screen.press(*select)
    screen.give({2: 1, 3: 9}, second=2)
    assert re.match("▸ +3 ", screen.body()[1]) is None
    screen.press("c")
    screen.settle()
    screen.give({1: 3}, second=8)
    screen.give({3: 9}, second=9)
    assert re.match("▸ +3 ", screen.body()[1])


def test_the_wheel_is_not_undone_by_new_values(screen: Screen) -> None:
    screen.open("read")
    screen.give({number: 100 - number for number in range(1, 50)})
    screen.click(5, 5, button=5)
    assert " 4–12 of 49 " in screen.lines()[1]
    screen.give({1: 1}, second=2)
    assert " 4–12 of 49 " in screen.lines()[1]


def test_the_selection_stays_on_its_value(screen: Screen) -> None:
    screen.open("read")
    screen.give({1: 30, 2: 20, 3: 10})
    screen.press("down")
    screen.give({3: 100}, second=2)
    assert [line.split()[0] for line in screen.body()[1:4]] == ["3", "1", "▸"]
    assert re.match(r"▸ +2 ", screen.body()[3])


def test_the_mouse_selects_and_scrolls(screen: Screen) -> None:
    screen.open("read")
    screen.give({number: 100 - number for number in range(1, 50)})
    assert " 1–9 of 49 " in screen.lines()[1]
    screen.click(5, 2)
    assert re.match(r"▸ +1 ", screen.body()[1])
    screen.click(5, 5)
    assert re.match(r"▸ +3 ", screen.body()[3])
    screen.click(5, 5, button=5)
    assert " 4–12 of 49 " in screen.lines()[1]
    assert screen.body()[0].startswith(" 3,675 calls")


def test_escape_goes_back_to_the_processes_then_to_the_dashboard(screen: Screen) -> None:
    screen.open("read")
    screen.press("esc")
    assert screen.title() == "Processes in read"
    assert "a values" in screen.lines()[-1]
    screen.press("esc")
    assert screen.title() == "Top syscalls"


def test_the_footer_and_the_focus(screen: Screen) -> None:
    screen.open("read")
    for words in ("a next", "b histogram", "c anew", "Esc back"):
        assert words in screen.lines()[-1]
    screen.press("tab")
    assert screen.app.focused.title() == "Errors"
    screen.press("esc", "a")
    assert screen.app.focused.title() == "Values of read:count"


# --- When it is counted ---


def test_nothing_is_counted_unless_it_is_on_show(screen: Screen) -> None:
    screen.press("enter", "down", "v", "v", "v", "v")
    assert not screen.made
    screen.open("read")
    first = screen.running()[0]
    assert first.interval_s == LONGEST_S
    for keys in (["esc"], ["a", "v"], ["v", "v", "v", "enter", "a", "esc", "esc"]):
        screen.press(*keys)
        screen.settle()
        assert not screen.running()
    assert first.stopped


def test_an_old_count_has_ended_before_a_new_one_begins(screen: Screen) -> None:
    screen.open("read")
    screen.may_end.clear()
    screen.press("a", "a", "a", "a")
    assert len(screen.made) == 1
    assert screen.body()[0] == " starting to count…"
    screen.may_end.set()
    screen.settle()
    # Of those in between, none began.
    assert [counting.question.quantity.argument for counting in screen.made] == ["count", "ret"]


def test_the_interval_is_that_of_the_dashboard_or_shorter(screen: Screen) -> None:
    screen.open("read", "-")
    assert screen.running()[0].interval_s == 0.5
    screen.press("+", "+", "+")
    assert screen.running()[0].interval_s == LONGEST_S


def test_the_filters_of_the_screen(screen: Screen) -> None:
    screen.open("read", "p", *"1842", "enter")
    screen.settle()
    assert screen.running()[0].question.pid == 1842
    screen.give({1: 1})
    assert "not filtered" not in screen.text()
    screen.press("/", *"post", "enter")
    screen.settle()
    # A name is not applied, and that is said; nothing begins anew for it.
    assert len(screen.made) == 2
    assert screen.body()[1] == " not filtered by name"
    screen.press("ctrl l")
    screen.settle()
    assert screen.running()[0].question.pid is None


def test_of_a_chosen_error_only_the_calls_that_fail_with_it(screen: Screen) -> None:
    screen.open("openat", "tab", "enter")
    screen.settle()
    assert screen.title() == "Values of openat:filename: ENOENT"
    assert screen.running()[0].question.errno == 2
    screen.press("esc")
    assert screen.title() == "Processes in openat: ENOENT"
    screen.press("a", "esc", "esc", "a")
    screen.settle()
    assert screen.running()[0].question.errno is None


def test_counting_anew(screen: Screen) -> None:
    screen.open("read")
    screen.give({1: 5})
    screen.press("c")
    screen.settle()
    assert len(screen.made) == 2
    assert screen.body()[0] == " starting to count…"
    screen.give({1: 2}, second=9)
    assert screen.body()[0].startswith(" 2 calls, 1 value ")
    assert f"since {clock(8)}" in screen.body()[0]


def test_a_pause_stands_still_and_begins_nothing(screen: Screen) -> None:
    screen.open("read")
    screen.give({1: 5})
    screen.press(" ")
    still = screen.text()
    screen.give({1: 5}, second=2)
    assert screen.text() == still
    for key in ("a", "A", "b", "c"):
        screen.press(key)
        said = screen.text()
        assert " 5 calls, 1 value                  paused: Space goes on │" in said
        screen.press("j")
        assert screen.text() == still
    assert not re.search(" (next|histogram|anew) ", screen.lines()[-1])
    assert [counting.stopped for counting in screen.made] == [False]
    screen.press(" ")
    assert screen.title() == "Values of read:count"
    assert screen.body()[0].startswith(" 10 calls, ")


def test_a_pause_says_so_where_there_are_no_calls_yet(screen: Screen) -> None:
    screen.open("read")
    screen.give({})
    screen.press(" ", "c")
    assert screen.body()[0] == " paused: Space goes on"


def test_another_process_during_a_pause_is_not_counted_and_takes_nothing_away(
    screen: Screen,
) -> None:
    screen.open("read")
    screen.give({1: 5})
    screen.press(" ")
    still = screen.text()
    screen.press("p", *"1842", "enter")
    assert screen.body()[0] == " nothing is counted anew while the picture is paused"
    assert len(screen.running()) == 1
    screen.press("ctrl l")
    assert screen.text().splitlines()[1:-1] == still.splitlines()[1:-1]
    screen.press("p", *"1842", "enter", " ")
    screen.settle()
    assert [counting.question.pid for counting in screen.made] == [None, 1842]


def test_values_opened_during_a_pause_are_counted_after_it(screen: Screen) -> None:
    screen.press("enter", " ", "a", "a", "c")
    assert screen.body()[0] == " nothing is counted anew while the picture is paused"
    assert not screen.made
    screen.press(" ")
    screen.settle()
    assert len(screen.made) == 1


def test_counting_that_began_just_before_a_pause_says_so(screen: Screen) -> None:
    screen.open("read")
    screen.give({1: 5})
    screen.may_end.clear()
    screen.press("c", " ")
    assert screen.body()[0] == " starting to count…"
    screen.may_end.set()
    until(lambda: screen.app.outdated)
    screen.settle()
    screen.give({1: 2}, second=2)
    assert screen.body()[0] == " starting to count…"
    screen.press(" ")
    assert screen.body()[0].startswith(" 2 calls, ")


def test_what_was_counted_behind_a_pause_is_there_after_it(screen: Screen) -> None:
    screen.open("read")
    screen.give({1: 5})
    screen.press(" ")
    screen.give({1: 7}, second=2)
    screen.press(" ")
    assert screen.body()[0].startswith(" 12 calls, ")


def test_a_story_leaves_it_running_and_comes_back_to_it(screen: Screen) -> None:
    screen.open("read", "tab", "tab", "down", "enter")
    assert screen.app.state.story
    screen.give({1: 5})
    screen.press("esc")
    assert screen.body()[0].startswith(" 5 calls, ")
    assert len(screen.made) == 1


def test_from_a_story_into_its_syscall_and_back_nothing_begins_anew(screen: Screen) -> None:
    screen.open("read", "tab", "tab", "down", "enter")
    screen.give({1: 5})
    screen.press("enter")
    assert screen.body()[0].startswith(" 5 calls, ")
    screen.press("esc")
    assert screen.app.state.story
    screen.press("enter", "a")
    screen.settle()
    assert screen.title() == "Values of read:ret"
    # The way back leads to what was on show before.
    screen.press("esc", "esc")
    screen.settle()
    assert screen.title() == "Values of read:count"
    assert len(screen.made) == 3


def test_a_syscall_that_is_opened_elsewhere_begins_with_its_processes(screen: Screen) -> None:
    screen.open("read")
    screen.press("esc", "esc", "down", "enter")
    assert screen.title().startswith("Processes in ")
    screen.settle()
    assert not screen.running()


def test_what_cannot_be_counted_says_why(screen: Screen) -> None:
    screen.open("read")
    screen.running()[0].error = CannotCollect("there is no room", "try later")
    screen.app.refresh()
    assert screen.body()[0] == " cannot be counted: there is no room. Try later."
    # It is not tried over and over.
    screen.add(typical(2))
    assert len(screen.made) == 1
    # Another argument is another try.
    screen.press("a")
    screen.settle()
    assert len(screen.made) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [("exit_group", "exit_group never returns"), (None, "a call without a name")],
)
def test_calls_that_have_nothing_to_count_say_why(
    name: str | None, words: str, screen: Screen
) -> None:
    screen.app.state.syscall = Syscall(9999 if name is None else nr(name))
    screen.app.state.pinned = True
    screen.app.redraw()
    screen.press("end", "enter", "a")
    assert not re.search(" (a|b|c) ", screen.lines()[-1])
    assert "Esc back" in screen.lines()[-1]
    for key in ("a", "A", "b", "c"):
        screen.press(key)
    assert words in " ".join(" ".join(screen.body()).split())
    assert not screen.made


def test_without_anything_that_counts_it_says_so() -> None:
    driver = Driver(typical())
    driver.press("enter", "a")
    assert "values are only counted live" in driver.text()
    assert not re.search(" (a|b|c) ", driver.lines()[-1])


def test_what_cannot_be_counted_now_is_asked_again_with_each_interval(screen: Screen) -> None:
    screen.refusal = "process 7 has made no call of late."
    screen.press("enter", "a")
    assert screen.body()[0] == " cannot be counted: process 7 has made no call of late."
    assert not re.search(" (a|b|c) ", screen.lines()[-1])
    screen.add(typical(2))
    assert not screen.made
    assert not screen.app.outdated
    screen.press(" ")
    screen.refusal = ""
    screen.add(typical(3))
    assert not screen.made
    screen.press(" ")
    assert len(screen.running()) == 1
    assert screen.body()[0] == " starting to count…"


def test_what_a_library_said_is_part_of_the_reason(screen: Screen) -> None:
    said = ["something else"]

    def last() -> str:
        return said.pop() if said else ""

    screen.app.valuing = Valuing(screen._count, lambda: None, last)
    screen.open("read")
    assert not said
    said.append("could not open bpf map: Too many open files")
    screen.running()[0].error = CannotCollect("it failed")
    screen.app.refresh()
    for _ in range(2):
        reason = " ".join(" ".join(screen.body()).split())
        assert reason == (
            "cannot be counted: could not open bpf map: Too many open files; it failed."
        )
        screen.add(typical(2))


def test_what_is_newer_is_known_without_a_wake(screen: Screen) -> None:
    def newer() -> bool:
        return screen.app.outdated

    screen.open("read")
    assert not newer()
    screen.running()[0].publish(values({1: 1}))
    assert newer()
    screen.app.refresh()
    assert not newer()
    screen.may_end.clear()
    screen.press("c")
    assert not newer()
    screen.may_end.set()
    until(newer)


def test_the_end_waits_until_nothing_counts_any_more() -> None:
    screen = Screen()
    screen.open("read")
    assert screen.app.valuing
    screen.app.valuing.close()
    assert [counting.stopped for counting in screen.made] == [True]


# --- What can be asked ---


def telling(name: str) -> Quantity:
    return most_telling(choices(Signatures(), Syscall(nr(name))))


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("read", "count"), ("write", "count"), ("pread64", "count"), ("sendto", "len"),
        ("openat", "filename"), ("execve", "filename"), ("rename", "oldname"),
        ("futex", "op"), ("ioctl", "cmd"), ("fcntl", "cmd"), ("madvise", "behavior"),
        ("mmap", "prot"), ("kill", "sig"), ("socket", "family"), ("lseek", "whence"),
        ("epoll_ctl", "op"), ("epoll_wait", "timeout"), ("close", "fd"), ("getpid", "ret"),
    ],
)  # fmt: skip
def test_the_most_telling_argument(name: str, argument: str) -> None:
    assert telling(name).argument == argument


def test_every_call_has_something_to_count_or_a_reason() -> None:
    signatures = Signatures()
    without = []
    for name in syscalls.names():
        for number in syscalls.numbers(name):
            try:
                found = choices(signatures, Syscall(*number))
            except ValueError:
                without.append(name)
                continue
            assert {abi for quantity in found for _, abi in quantity.numbers} == {number[1]}
            assert most_telling(found) in found
            assert found[-1].argument == "ret"
    assert set(without) == {"exit", "exit_group"}


def test_of_another_abi_only_its_own_calls() -> None:
    number = next(n for n in syscalls.numbers("read") if n[1] == syscalls.IA32)
    for quantity in choices(Signatures(), Syscall(*number)):
        assert quantity.numbers == (number,)


def test_offsets_are_a_histogram_from_the_start() -> None:
    kinds = {q.argument: q.bucketed for q in choices(Signatures(), Syscall(nr("pread64")))}
    assert kinds == {"fd": False, "count": False, "pos": True, "ret": False}


def test_the_other_kind_of_a_kind_is_itself() -> None:
    quantity = telling("read")
    assert other_kind(quantity).bucketed
    assert other_kind(other_kind(quantity)) == quantity
    assert other_kind(telling("openat")) == telling("openat")


def test_different_values_are_bounded() -> None:
    gathering = Gathering(Question(telling("read")), most=2)
    gathering.add(values({1: 10, 2: 10}))
    found = gathering.add(values({1: 1, 3: 5, 4: 6}))
    assert [(entry.value, entry.calls) for entry in found.entries] == [(1, 11), (2, 10)]
    assert (found.calls, found.others) == (32, 11)


def test_values_that_are_told_alike_are_one() -> None:
    quantity = next(q for q in choices(Signatures(), Syscall(nr("openat"))) if q.argument == "mode")
    # The kernel takes 16 bits of a mode.
    found = Gathering(Question(quantity)).add(values({0o644: 2, 0o644 | 1 << 20: 3}))
    assert [(entry.text, entry.calls) for entry in found.entries] == [("0644", 5)]


# --- What is collected for it ---

READ = nr("read"), syscalls.NATIVE


def test_what_is_collected_is_what_the_question_is_about() -> None:
    base = Filters(comms=("dd",), not_syscalls=((1, 0),), include_self=True)
    found = narrowed(base, Question(telling("read"), pid=7, errno=11))
    assert found == Filters(
        comms=("dd",), syscalls=(READ,), pids=(7,), errnos=(11,), include_self=True
    )
    assert narrowed(Filters(pids=(7, 8)), Question(telling("read"))).pids == (7, 8)
    assert narrowed(Filters(pids=(7, 8)), Question(telling("read"), pid=8)).pids == (8,)


@pytest.mark.parametrize(
    ("filters", "question"),
    [
        (Filters(not_syscalls=(READ,)), Question(telling("read"))),
        (Filters(syscalls=((1, 0),)), Question(telling("read"))),
        (Filters(pids=(7,)), Question(telling("read"), pid=8)),
        (Filters(errnos=(2,)), Question(telling("read"), errno=11)),
    ],
)
def test_no_more_is_collected_than_the_command_line_lets_through(
    filters: Filters, question: Question
) -> None:
    with pytest.raises(CannotCollect, match="not collected at all"):
        narrowed(filters, question)


def test_which_calls_the_filters_leave() -> None:
    write = nr("write"), syscalls.NATIVE
    assert Filters().passing([READ, write]) == (READ, write)
    assert Filters(syscalls=(write,)).passing([READ, write]) == (write,)
    assert Filters(not_syscalls=(write,)).passing([READ, write]) == (READ,)
    assert Filters(syscalls=(write,), not_syscalls=(write,)).passing([READ, write]) == ()


def test_of_a_command_only_a_process_that_is_known_to_be_its() -> None:
    every, one = Question(telling("read")), Question(telling("read"), pid=7)
    with pytest.raises(CannotCollect, match=r"Esc, then Enter on one of its processes, or p\."):
        narrowed(Filters(), every, of_command=False)
    with pytest.raises(CannotCollect, match="process 7 has made no call"):
        narrowed(Filters(), one, of_command=False)
    assert narrowed(Filters(), one, of_command=True).pids == (7,)
