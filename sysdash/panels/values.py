"""The opened syscall's calls by the values of one argument, or of what they return."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from sysdash import units
from sysdash.distribution import TO, Distribution, Entry, Question
from sysdash.panels.cells import Line, graded_bar, spread, width
from sysdash.panels.table import GAP, Column, Placed, TablePanel, place
from sysdash.quantity import Quantity
from sysdash.report.shares import percent
from sysdash.ui_state import Scene, UiState

_VALUE = Column("value", "", 9, rank=0)
_BAR = Column("bar", "", 8, 120, rank=3, share=1)
_CALLS = Column("calls", "calls", 9, align=">", rank=1)
_SHARE = Column("share", "share", 6, align=">", rank=2)

_PART_OF_BAR = 6
"""A sixth of the room is the bar's, where values are long even without one."""

_PAUSED = "nothing is counted anew while the picture is paused"
_PAUSED_TOO = ("paused: Space goes on ", "paused ")

_NOT_FOUND = ("calls", "missed", "threads", "values")
"""Losses by which calls, or their values, are missing."""


class ValuesPanel(TablePanel):
    """Values with the number of calls that had each, since they were asked for."""

    columns: tuple[Column, ...] = (_VALUE, _BAR, _CALLS, _SHARE)

    def __init__(self, state: UiState) -> None:
        super().__init__(state)
        self._entries: Sequence[Entry] = ()
        self._found: Distribution | None = None
        self._quantity: Quantity | None = None
        self._run: tuple[Question, int] | None = None
        self._chosen: int | str | None = None
        self._taken = self._scrolled = False
        self._widest = 0
        self._head = 0

    @override
    def update(self, scene: Scene | None, state: UiState) -> None:
        super().update(scene, state)
        if self._quantity != state.quantity:
            self._quantity = state.quantity
            self._begin(None)
        self._found = state.values if isinstance(state.values, Distribution) else None
        found = self._found
        if found and self._run != (found.question, found.began_ns):
            self._begin((found.question, found.began_ns))
        entries = found.entries if found else ()
        self._entries = entries[::-1] if state.inverted else entries
        if not self._bucketed:
            # The first of a histogram are the lowest numbers, not what most calls have.
            self._entries = self._entries[: state.most]
        if self._entries and (not self._taken or self.selected_index() is None):
            self._follow()

    def _begin(self, run: tuple[Question, int] | None) -> None:
        """Forget what was selected among the values of another run of counting."""
        self._run = run
        self._chosen, self._widest = None, 0
        self._taken = self._scrolled = False
        self.scroll_to(0)

    def _follow(self) -> None:
        """Select what most calls have; in a histogram it is somewhere in the middle."""
        calls = [entry.calls for entry in self._entries]
        most = calls.index(max(calls)) if self._bucketed else 0
        self._chosen = self._entries[most].value
        if not self._scrolled:
            self.scroll_to(most - self.rows_on_show // 2)

    @property
    def _bucketed(self) -> bool:
        return self._quantity is not None and self._quantity.bucketed

    @property
    def _numeric(self) -> bool:
        """Whether values are numbers, or ranges of them, which are never cut."""
        return self._bucketed or (self._quantity is not None and self._quantity.numeric)

    @override
    def title(self) -> str:
        syscall, quantity = self.state.syscall, self.state.quantity
        if syscall is None:
            return "Values"
        named = f"{syscall.name}:{quantity.argument}" if quantity else syscall.name
        return f"Values of {self.state.only(named)}"

    @override
    def titles(self) -> list[str]:
        whole = self.title()
        return [whole, whole.removeprefix("Values of ")]

    @override
    def why_empty(self) -> str:
        values = self.state.values
        if self.state.refused:
            return _PAUSED
        if isinstance(values, str):
            return f"cannot be counted: {units.safe(values)}"
        if self.state.quantity is None or values is not None:
            return ""
        return "starting to count…" if self.state.counted else _PAUSED

    # --- What was counted ---

    def _about(self, found: Distribution, columns: int) -> list[Line]:
        """How many calls, since when, and what there is to say about them."""
        began = time.strftime("%H:%M:%S", time.localtime(found.began_ns // 1_000_000_000))
        took = units.duration(max(found.time_ns - found.began_ns, 0))
        calls = _number(found.calls, "call")
        style = "warn" if self.state.refused else "dim"
        if not found.calls:
            none = _PAUSED_TOO[0] if self.state.refused else f"no calls in {took}, since {began}"
            return [[(style, f" {none}")], *self._notes(found, columns)]
        number = len(found.entries)
        counted = "" if found.question.quantity.bucketed else f", {_number(number, 'value')}"
        if found.others:
            counted = f", {number:,}+ values"
        left: Line = [("text", " "), ("strong", calls), ("dim", counted)]
        room = columns - width(left) - 1
        times = (f"in {took}, since {began} ", f"since {began} ", f"in {took} ")
        texts: tuple[str, ...] = _PAUSED_TOO if self.state.refused else times
        right = next((text for text in texts if units.width(text) <= room), "")
        return [spread(left, [(style, right)], columns), *self._notes(found, columns)]

    def _notes(self, found: Distribution, columns: int) -> list[Line]:
        notes = []
        if self.state.filter.name:
            notes.append(("dim", "not filtered by name"))
        if found.others:
            notes.append(("dim", f"{_number(found.others, 'call')} had yet other values"))
        lost = sum(found.lost.get(kind, 0) for kind in _NOT_FOUND)
        if lost:
            notes.append(("error", f"lost: {_number(lost, 'call')}, or their values"))
        return [
            [(style, f" {part}")]
            for style, note in notes
            for part in textwrap.wrap(note, max(columns - 2, 10))
        ]

    # --- The table ---

    @override
    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        about = self._about(self._found, columns) if self._found else []
        # The values themselves are worth more than the last of what is said about them.
        about = about[: max(rows - 2, 1)]
        self._head = len(about)
        # Wide enough for what is on show; never narrower, so that nothing jumps to and fro.
        shown = (self._entries[i].text for i in self.window(max(rows - len(about), 0)))
        self._widest = max([self._widest, *map(units.width, shown)])
        return [*about, *super().lines(columns, rows - len(about), focus)]

    @override
    def placed(self, columns: int) -> list[Placed]:
        room = columns - 2
        beside = room - _CALLS.least - GAP
        least = min(self._widest, beside)
        if not self._numeric:
            # What is no number is cut at last, but not for a bar, unless that is of no use.
            beside -= _SHARE.least + GAP
            bar = room // _PART_OF_BAR
            if bar >= _BAR.least and self._widest > beside:
                beside -= bar + GAP
            least = min(self._widest, beside)
        align = ">" if self._numeric and not self._bucketed else "<"
        value = replace(_VALUE, least=max(_VALUE.least, least), align=align)
        return place((value, *self.columns[1:]), room)

    @override
    def cells(self, indices: Sequence[int], placed: Sequence[Placed]) -> list[list[Line]]:
        found = self._found
        if found is None:
            return []
        most = max(entry.calls for entry in found.entries)
        return [
            [self._cell(self._entries[i], item, most, found.calls) for item in placed]
            for i in indices
        ]

    def _cell(self, entry: Entry, item: Placed, most: int, total: int) -> Line:
        match item.column.name:
            case "value":
                text = self._value(entry, item.width)
                return [("error" if entry.failed else "name" if entry.calls else "dim", text)]
            case "bar":
                return graded_bar(entry.calls / most, item.width)
            case "calls":
                text = units.count(entry.calls, item.width)
                return [("strong" if entry.calls else "dim", text)]
            case "share":
                return [("dim", percent(entry.calls / total))]
        raise LookupError(f"{type(self).__name__} has no column {item.column.name!r}")

    def _value(self, entry: Entry, room: int) -> str:
        """A value in so much room: of a path the end, of a range only where it begins."""
        if units.width(entry.text) <= room:
            return entry.text
        if self._bucketed:
            return f"{entry.text.partition(TO)[0]}{TO}".rstrip()
        textual = self._quantity is not None and self._quantity.textual
        return units.end_of(entry.text, room) if textual else entry.text

    @override
    def length(self) -> int:
        return len(self._entries)

    @override
    def selected_index(self) -> int | None:
        if self._chosen is None:
            return None
        places = (i for i, entry in enumerate(self._entries) if entry.value == self._chosen)
        return next(places, None)

    @override
    def select(self, index: int) -> None:
        self._chosen = self._entries[index].value
        self._taken = True

    @override
    def wheel(self, steps: int) -> None:
        self._scrolled = True
        super().wheel(steps)

    @override
    def click(self, column: int, row: int) -> None:
        if row >= self._head:
            super().click(column, row - self._head)


def _number(number: int, kind: str) -> str:
    return f"{number:,} {kind}{'' if number == 1 else 's'}"
