"""What lists of single calls have in common: cells, and columns as wide as their contents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from typing_extensions import override

from sysdash import units
from sysdash.model import SlowCall
from sysdash.panels.cells import Line
from sysdash.panels.table import GAP, Column, Placed, TablePanel, place
from sysdash.story import Story
from sysdash.ui_state import UiState

Tell = Callable[[SlowCall], Story]
"""Says what is known of a call, as :meth:`sysdash.story.Teller.tell` does."""

_SAME_NS, _SAME_BEFORE_NS = 1_000_000, 20_000_000
_LEAST_OF_PATH = 6
_PATHS = ("/", f"{units.ELLIPSIS}/")

NAME = Column("name", "", 7, 22, rank=1, share=1)
DURATION = Column("duration", "took", 7, align=">", rank=0)
COMM = Column("comm", "process", 8, 15, rank=3, share=4)
IDS = Column("ids", "pid/tid", 9, rank=4)
ARGUMENTS = Column("args", "arguments", 10, 400, rank=2, share=12)

_MOST_GROWN = {"name": 15, "ids": 15}
"""Widths up to which columns grow by their contents: of two of the largest numbers, for one."""

_MOST_OF_WHERE = 40
_WIDE, _MOST_OF_NAME = 72, 12
"""In a panel that is narrower than this, who makes a call is worth more than all of its name."""


UNKNOWN = "…"
"""Stands for what has not been looked up, or cannot be just now."""

PAUSED = "not looked up: paused"
"""Says so of what will not be looked up as long as the picture stands still."""

_NOTHING = Story(arguments=(), target="", certain=True, path=None, result="")


def told(tell: Tell, call: SlowCall) -> Story:
    """A call's story; an empty one of a call in flight of which no more is known than its name."""
    return tell(call) if call.args else _NOTHING


def begin_ns(call: SlowCall) -> int:
    """When a call began, in Unix time."""
    return call.time_ns - call.duration_ns


def same(one: SlowCall, other: SlowCall) -> bool:
    """Whether these are two looks at the same call: a thread is in one call at a time.

    The beginning is worked out anew at each look, from clocks that do not quite agree; least of all
    for a call of which it is only known that it began before it was watched.
    """
    apart = _SAME_BEFORE_NS if one.at_least or other.at_least else _SAME_NS
    return one is other or (
        one.tid == other.tid and one.syscall == other.syscall and _apart_ns(one, other) < apart
    )


def _apart_ns(one: SlowCall, other: SlowCall) -> int:
    return abs(begin_ns(one) - begin_ns(other))


def find(call: SlowCall, calls: Iterable[SlowCall]) -> int | None:
    """The place of another look at a call: of those that may be one, the nearest; None for none."""
    found = [(_apart_ns(call, other), i) for i, other in enumerate(calls) if same(call, other)]
    return min(found)[1] if found else None


def took(call: SlowCall) -> str:
    """How long, with a sign where it may be longer."""
    return f"{'≥' if call.at_least else ''}{units.duration(call.duration_ns)}"


def ids(call: SlowCall) -> str:
    """Process and thread."""
    return f"{call.pid}/{call.tid}"


def line(story: Story, columns: int) -> str:
    """A story's line in at most ``columns``: of a path the end is worth more than what follows."""
    text = story.line()
    if units.width(text) <= columns:
        return text
    shown = ""
    for word in story.words:
        gap = " " if shown else ""
        room = columns - units.width(shown + gap)
        if units.width(word) > room:
            if word.startswith(_PATHS) and room >= _LEAST_OF_PATH:
                return shown + gap + units.end_of(word, room)
            return units.fit(shown + gap + word, columns) if room > 0 else shown
        shown += gap + word
    return units.fit(text, columns)


class CallsPanel(TablePanel):
    """A table of calls.

    Names and numbers take the room that they need, so that little is left unused where a line is
    short. Columns only ever grow: they stay where they are while calls come and go.
    """

    growing: ClassVar[dict[str, Callable[[SlowCall], str]]] = {
        "name": lambda call: call.syscall.name,
        "ids": ids,
    }

    def __init__(self, state: UiState, tell: Tell) -> None:
        """A panel that has ``tell`` say what is known of each call on show."""
        super().__init__(state)
        self._tell = tell
        self._calls: Sequence[SlowCall] = ()
        self._grown = dict.fromkeys(self.growing, 0)
        self.selected: SlowCall | None = None

    @property
    def calls(self) -> Sequence[SlowCall]:
        """The calls of the list, in its order."""
        return self._calls

    def grow(self, calls: Iterable[SlowCall]) -> None:
        """Have the columns wide enough for these calls."""
        for call in calls:
            for name, text in self.growing.items():
                self._grown[name] = max(self._grown[name], units.width(text(call)))

    def left_out(self) -> set[str]:
        """Columns that would say the same in every row."""
        return set()

    @override
    def placed(self, columns: int) -> list[Placed]:
        most = _MOST_GROWN | {"where": min(columns // 5, _MOST_OF_WHERE)}
        if columns < _WIDE:
            most["name"] = _MOST_OF_NAME
        grown = {name: min(width, most[name]) for name, width in self._grown.items()}
        wanted = [
            replace(column, least=max(column.least, grown.get(column.name, 0)))
            for column in self.columns
        ]
        left_out = self.left_out()
        # Their room is for the arguments.
        freed = sum(column.least + GAP for column in wanted if column.name in left_out)
        wanted = [
            replace(column, least=column.least + freed) if column.name == "args" else column
            for column in wanted
            if column.name not in left_out
        ]
        return place(wanted, columns - 2)

    @override
    def length(self) -> int:
        return len(self._calls)

    @override
    def select(self, index: int) -> None:
        self.selected = self._calls[index]

    @override
    def cells(self, indices: Sequence[int], placed: Sequence[Placed]) -> list[list[Line]]:
        shown = {item.column.name for item in placed}
        return [self._cells(self._calls[i], placed, shown) for i in indices]

    def _cells(self, call: SlowCall, placed: Sequence[Placed], shown: set[str]) -> list[Line]:
        story = told(self._tell, call)
        return [self.cell(item, call, story, shown) for item in placed]

    def cell(
        self,
        item: Placed,
        call: SlowCall,
        story: Story,
        shown: set[str],  # noqa: ARG002  (for those where it matters)
    ) -> Line:
        """The content of a column; ``shown`` are all columns for which there is room."""
        match item.column.name:
            case "name":
                return [("name", call.syscall.name)]
            case "duration":
                return [("warn", took(call))]
            case "comm":
                return [("text", call.comm)]
            case "ids":
                return [("dim", ids(call))]
            case "args":
                return [("text", line(story, item.width)) if call.args else ("dim", UNKNOWN)]
        raise LookupError(f"{type(self).__name__} has no column {item.column.name!r}")
