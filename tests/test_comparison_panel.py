"""The table of changes in the dashboard: keys in, text out."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

import pytest
from screen import Driver
from synthetic import SECOND_NS, START_NS, Calls, nr, rows, snapshot
from urwid.util import set_temporary_encoding

from sysdash import units
from sysdash.comparing import OVERLAPPING, THE_MARKED_ONE
from sysdash.comparison import BY, Comparison, compare
from sysdash.keys import Command
from sysdash.model import Syscall, table_of
from sysdash.panels.cells import width
from sysdash.panels.comparison import ComparisonPanel
from sysdash.tally import Tally
from sysdash.theme import STYLES, selected
from sysdash.ui_state import UiState


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with set_temporary_encoding("utf8"):
        yield
    monkeypatch.undo()
    time.tzset()


BEFORE = (
    Calls("read", 1000, 1000, 1, b"postgres"),
    Calls("fsync", 20, 3_000_000, 1, b"postgres"),
    Calls("openat", 50, 2000, 2, b"nginx"),
    Calls("write", 400, 600, 3, b"old"),
    Calls("recvfrom", 100, 90_000, 2, b"nginx"),
    Calls("close", 100, 300, 2, b"nginx"),
)
AFTER = (
    Calls("read", 1200, 1000, 1, b"postgres"),
    Calls("fsync", 20, 9_000_000, 1, b"postgres"),
    Calls("openat", 50, 2000, 2, b"nginx", errno=2),
    Calls("write", 400, 600, 3, b"new"),
    Calls("recvfrom", 100, 30_000, 2, b"nginx"),
    Calls("close", 100, 300, 2, b"nginx"),
)


def tallied(calls: Sequence[Calls], seconds: int, first: int) -> Tally:
    result = Tally(BY)
    for second in range(first, first + seconds):
        result.add(table_of(rows(calls), 1.0), START_NS + second * SECOND_NS)
    return result


def compared(
    before: Sequence[Calls] = BEFORE, after: Sequence[Calls] = AFTER, seconds: int = 62
) -> Comparison:
    return compare(tallied(before, seconds, 1), tallied(after, seconds, 101))


class Panel(ComparisonPanel):
    """A panel on its own, with the keys that move it."""

    def __init__(self, comparison: Comparison | str | None, **state: object) -> None:
        super().__init__(UiState(comparison=comparison, **state))  # type: ignore[arg-type]
        self.update(None, self.state)

    def text(self, columns: int = 78, rows: int = 12) -> list[str]:
        """What it shows; each line is checked to be as wide as the panel."""
        lines = self.full(columns, rows, focus=True)
        for line in lines:
            assert width(line) == columns, line
            assert {style for style, _ in line} <= {*STYLES, *map(selected, STYLES)}
        return ["".join(text for _, text in line).rstrip() for line in lines]

    def styles(self, part: str, columns: int = 78) -> dict[str, str]:
        """The words of a line, but for the selected one, with their styles."""
        line = next(
            line
            for line in self.full(columns, 12, focus=True)
            if part in "".join(text for _, text in line)
        )
        return {text.strip(): style for style, text in line if text.strip()}

    def show(self, comparison: Comparison | str | None) -> None:
        self.state.comparison = comparison
        self.update(None, self.state)

    def press(self, *commands: Command) -> None:
        self.state.pinned = True
        for command in commands:
            self.text()
            assert self.command(command)

    def chosen(self) -> str:
        """The line with the pointer."""
        return next(line for line in self.text() if line.startswith("▸"))


def test_what_has_changed_most_is_first_and_noise_is_last() -> None:
    assert Panel(compared()).text()[:9] == [
        "▸fsync        postgres       ≈    20       ≈       ·   +120ms 3.00ms → 9.00ms",
        " openat       nginx          ≈    50       ≈     +50        ≈        ≈ 2.00µs",
        " write        new          0 →   400     new       ·   +240µs      - →  600ns",
        " write        old        400 →     0    gone       ·   -240µs  600ns →      -",
        " read         postgres 1.00K → 1.20K    +20%       ·   +200µs        ≈ 1.00µs",
        " recvfrom     nginx          ≈   100       ≈       ·  -6.00ms 90.0µs → 30.0µs",
        " close        nginx      100 →   100               ·           300ns →  300ns",
        "",
        " 22:13:20\u201322:14:22 (1m02s) against 22:15:00\u201322:16:02 (1m02s): 6 changed, 1 by",
    ]


def test_the_title_says_since_when() -> None:
    panel = Panel(compared())
    assert panel.title() == "Changes since 22:13:20\u201322:14:22 (1m02s)"
    assert panel.titles()[1:] == ["Changes since 22:13:20\u201322:14:22", "Changes"]


@pytest.mark.parametrize("columns", [57, 60, 75, 76, 78, 100, 115, 116, 140, 200])
def test_columns_fit_any_width(columns: int) -> None:
    panel = Panel(compared())
    text = panel.text(columns)
    assert "fsync" in text[0]
    heading = "".join(part for _, part in panel.headings(columns))
    assert units.width(heading) == columns
    for word in ("syscall", "process", "change", "time/s", "p99"):
        assert word in heading
    assert ("→" in text[0]) is (columns >= 76)


def test_directions_are_read_without_colours() -> None:
    panel = Panel(compared())
    text = "\n".join(panel.text())
    for word in ("+120ms", "+20%", "-6.00ms", "+50", "new", "gone"):
        assert word in text, word
    narrow = "\n".join(panel.text(57))
    for word in ("+200%", "-67%", "new", "gone", "≈"):
        assert word in narrow, word


def test_worse_and_better_have_their_styles() -> None:
    panel = Panel(compared())
    panel.press(Command.LAST)
    fsync, recvfrom = panel.styles("fsync"), panel.styles("recvfrom")
    assert fsync["+120ms"] == fsync["3.00ms → 9.00ms"] == "error"
    assert recvfrom["-6.00ms"] == "mark"
    assert panel.styles("read")["+20%"] == "strong"
    assert panel.styles("openat")["≈    50"] == "dim"


def test_noise_is_dim() -> None:
    panel = Panel(compared())
    assert set(panel.styles("close").values()) == {"dim"}


def burst(seconds: int, first: int) -> Tally:
    """A steady machine where ``futex`` waits much in three seconds out of all."""
    result = Tally(BY)
    for second in range(seconds):
        waits = 2000 if second in (9, 10, 11) else 10
        calls = [*BEFORE, Calls("futex", waits, 9_000_000, 4, b"lock")]
        result.add(table_of(rows(calls), 1.0), START_NS + (first + second) * SECOND_NS)
    return result


def test_what_is_large_but_not_steady_is_marked_and_not_dim() -> None:
    calm = (*BEFORE, Calls("futex", 10, 9_000_000, 4, b"lock"))
    found = compare(tallied(calm, 30, 1), burst(30, 101))
    panel = Panel(found)
    text = panel.text()
    assert text[0] == (
        "▸futex        lock        10 →?  209  20.9x?       ·  +1.79s?        ≈ 9.00ms"
    )
    assert "nothing changed, 1 by much, but not steadily (?), 6 by no more" in " ".join(
        " ".join(text).split()
    )
    panel.press(Command.LAST)
    styles = panel.styles("futex")
    assert styles["futex"] == "name"
    assert styles["20.9x?"] == styles["+1.79s?"] == styles["10 →?  209"] == "text"
    for columns in (57, 76, 140):
        assert "x?" in Panel(found).text(columns)[0]


def test_how_much_is_noise_is_said() -> None:
    both = "22:13:20\u201322:14:22 (1m02s) against 22:15:00\u201322:16:02 (1m02s)"
    words = " ".join(" ".join(Panel(compared()).text()[8:]).split())
    assert words == f"{both}: 6 changed, 1 by no more than noise"
    same = Panel(compared(BEFORE, BEFORE)).text()
    assert "nothing changed, 6 by no more than noise" in " ".join(" ".join(same).split())
    few = "\n".join(Panel(compared(seconds=2)).text(120))
    assert "too few intervals to see how much numbers vary by themselves" in " ".join(few.split())


def test_the_selection_moves_and_stays_on_its_row() -> None:
    panel = Panel(compared())
    assert "fsync" in panel.chosen()
    panel.press(Command.DOWN)
    second = panel.chosen().split()[0].removeprefix("▸")
    assert panel.selected_syscall == Syscall(nr(second))
    # The next comparison has it elsewhere.
    panel.show(compared(BEFORE, (*AFTER[1:], Calls("mmap", 90_000, 90_000, 4, b"x"))))
    assert "mmap" in panel.text()[0]
    assert panel.chosen().split()[0].removeprefix("▸") == second
    panel.press(Command.LAST)
    assert "close" in panel.chosen()
    panel.press(Command.FIRST)
    assert "mmap" in panel.chosen()


def test_the_first_row_is_selected_until_a_key_is_pressed() -> None:
    panel = Panel(compared())
    panel.show(compared(BEFORE, (*AFTER, Calls("mmap", 90_000, 90_000, 4, b"x"))))
    assert "mmap" in panel.chosen()


def test_the_marked_window_is_not_compared_with_itself() -> None:
    intervals = [snapshot([Calls("read", 1000 + second)], second=second) for second in range(1, 61)]
    driver = Driver(*intervals, size=(120, 30))
    driver.press(*["left"] * 40, "]", *["left"] * 10, "[", *["right"] * 10, "m")
    assert driver.app.state.comparison == THE_MARKED_ONE
    assert "this is the marked window" in driver.text()
    driver.press("left")
    assert driver.app.state.comparison == OVERLAPPING
    # Before it, and behind it, there is something to compare.
    for moves in (["left"] * 10, ["right"] * 12):
        driver.press(*moves)
        found = driver.app.state.comparison
        assert isinstance(found, Comparison)
        before, after = found.before.window, found.after.window
        assert before.end_ns <= after.begin_ns or after.end_ns <= before.begin_ns


def test_what_has_gone_leaves_the_selection_to_its_place() -> None:
    panel = Panel(compared())
    panel.press(Command.LAST)
    panel.show(compared(BEFORE[:2], AFTER[:2]))
    assert "read" in panel.chosen()
    panel.show("nothing yet")
    assert panel.selected_syscall is None
    panel.show(compared())
    assert panel.chosen()


def test_without_a_comparison_it_says_why() -> None:
    assert Panel(None).text()[0] == " comparing…"
    assert Panel("nothing was recorded then").text()[0] == " nothing was recorded then"
    assert Panel(None).title() == "Changes"
    assert Panel(compared((), ())).text()[0] == " no calls, neither then nor now"
    assert Panel(None).selected_syscall is None
    assert Panel(None).text(20, 1)


def test_a_list_of_a_few_rows_is_no_longer_than_asked_for() -> None:
    panel = Panel(compared(), most=2)
    assert panel.length() == 2
    assert "recvfrom" not in "\n".join(panel.text())


def test_many_rows_scroll() -> None:
    calls = [Calls("read", 10 + i, comm=f"p{i}".encode()) for i in range(50)]
    panel = Panel(compared(calls, calls))
    panel.text()
    assert re.fullmatch(r"1\u2013\d+ of 50", panel.part())
    panel.press(Command.PAGE_DOWN, Command.PAGE_DOWN)
    panel.text()
    assert not panel.part().startswith("1\u2013")


def test_hostile_names_do_no_harm() -> None:
    calls = [Calls("read", 10, comm=b"\x1b[31m\n\xe2\x80\xae\xff")]
    text = "\n".join(Panel(compared((), calls)).text())
    assert "\x1b" not in text
    assert "\u202e" not in text
