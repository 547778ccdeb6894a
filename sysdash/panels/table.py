"""Tables: columns that fit a width, a selection that stays on its item, and scrolling."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from sysdash import units
from sysdash.keys import Command
from sysdash.panels.base import Panel
from sysdash.panels.cells import Line, blank, cell, fill, highlight
from sysdash.ui_state import UiState

GAP = 1

_LOADING, _READING = "loading the probe…", "reading the recording…"


def loading(columns: int, rows: int, *, recorded: bool = False) -> list[Line]:
    """What a main table shows before the first interval."""
    text = _READING if recorded else _LOADING
    left = max((columns - units.width(text)) // 2, 0)
    return [blank(columns)] * (max(rows - 1, 0) // 2) + [[("text", " " * left), ("dim", text)]]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: what :meth:`TablePanel.cell` calls it.
        heading: the text above it.
        long_heading: the text where there is room for it.
        least, most: its width, as the panel's allows.
        align: ``<`` or ``>``.
        rank: the order in which columns get room; one that finds none is left out.
        share: its part of the room that is left over.
        from_width: the panel's width from which it is worth its room.
    """

    name: str
    heading: str
    least: int
    most: int = 0
    align: str = "<"
    rank: int = 0
    share: int = 0
    from_width: int = 0
    long_heading: str = ""


@dataclass(frozen=True)
class Placed:
    """A column with its width in a certain panel."""

    column: Column
    width: int

    @property
    def heading(self) -> str:
        """The text above it."""
        long = self.column.long_heading
        return long if long and units.width(long) <= self.width else self.column.heading


def place(columns: Sequence[Column], room: int) -> list[Placed]:
    """Choose the columns that fit into ``room`` and share out what is left, in the order given."""
    chosen: list[Column] = []
    left = room + GAP
    for column in sorted(columns, key=lambda column: column.rank):
        if column.least + GAP <= left and room >= column.from_width:
            chosen.append(column)
            left -= column.least + GAP
    widths = {column.name: column.least for column in chosen}
    growing = [column for column in chosen if column.most > column.least]
    while left > 0 and growing:
        total = sum(column.share for column in growing)
        extra = left
        for column in growing:
            more = min(
                max(extra * column.share // total, 1), column.most - widths[column.name], left
            )
            widths[column.name] += more
            left -= more
        growing = [column for column in growing if widths[column.name] < column.most]
    return [Placed(column, widths[column.name]) for column in columns if column.name in widths]


class TablePanel(Panel):
    """A scrolling table.

    The selection is an item's key, not a row: it stays on the item wherever that goes. If new data
    carry it out of the rows on show, the first or last line is kept for it, so that neither the
    selection nor the top of the table is lost from sight. Only the wheel leaves it behind, until
    the next key comes back to it.
    """

    columns: tuple[Column, ...] = ()
    empty = "nothing yet"

    def __init__(self, state: UiState) -> None:
        super().__init__(state)
        self.offset = 0
        self.rows_on_show = 1
        self._left_behind = False

    # --- What a subclass provides ---

    def why_empty(self) -> str:
        """What to say where there are no items."""
        return self.empty

    def length(self) -> int:
        """How many items there are."""
        raise NotImplementedError

    def selected_index(self) -> int | None:
        """Where the selected item is; None if nothing is selected or it is gone."""
        raise NotImplementedError

    def select(self, index: int) -> None:
        """Select an item."""
        raise NotImplementedError

    def cells(self, indices: Sequence[int], placed: Sequence[Placed]) -> list[list[Line]]:
        """For each item, the content of each column, of any width up to the column's."""
        raise NotImplementedError

    # --- Drawing ---

    def window(self, rows: int) -> list[int]:
        """The items on show in ``rows`` rows."""
        count = self.length()
        self.offset = max(0, min(self.offset, count - rows))
        window = list(range(self.offset, min(count, self.offset + rows)))
        chosen = self.selected_index()
        if window and chosen is not None and not self._left_behind:
            if chosen < window[0]:
                window[0] = chosen
            elif chosen > window[-1]:
                window[-1] = chosen
        return window

    def scroll_to(self, offset: int) -> None:
        """Show the items from a place on, and the selected one."""
        self.offset = offset
        self._left_behind = False

    @property
    def selection_on_show(self) -> bool:
        """Whether there is a selected item and its row is among those on show."""
        return self.selected_index() in self.window(self.rows_on_show)

    @override
    def part(self) -> str:
        count = self.length()
        window = self.window(self.rows_on_show)
        if len(window) >= count:
            return ""
        return f"{self.offset + 1}\u2013{self.offset + len(window)} of {count}"

    def placed(self, columns: int) -> list[Placed]:
        """The columns for a panel's width, without the pointer's and the margin's."""
        return place(self.columns, columns - 2)

    @override
    def headings(self, columns: int) -> Line:
        line: Line = [("border", " ")]
        for i, item in enumerate(self.placed(columns)):
            gap = " " * (GAP if i else 0)
            heading = cell([("heading", item.heading)], item.width, item.column.align)
            line += [("border", gap), *heading]
        return fill(line, columns)

    @override
    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        self.rows_on_show = max(rows, 1)
        window = self.window(rows)
        if not window:
            if self.scene is None:
                return []
            wrapped = textwrap.wrap(self.why_empty(), max(columns - 2, 10))
            return [[("dim", f" {part}")] for part in wrapped]
        chosen = self.selected_index()
        placed = self.placed(columns)
        pointer = "▸" if focus else "▹"
        result = []
        for index, contents in zip(window, self.cells(window, placed), strict=True):
            is_chosen = index == chosen
            line: Line = [("pointer", pointer if is_chosen else " ")]
            for i, (item, content) in enumerate(zip(placed, contents, strict=True)):
                if i:
                    line.append(("text", " " * GAP))
                line += cell(content, item.width, item.column.align)
            line = fill(line, columns)
            result.append(highlight(line) if is_chosen and self.highlighted(focus) else line)
        return result

    def highlighted(self, focus: bool) -> bool:  # noqa: ARG002  (for those where it matters)
        """Whether the selected row is drawn as a bar, given whether the panel has the focus."""
        return True

    # --- Moving ---

    def _position(self) -> int | None:
        """The selected item's place, taking one that is shown at an end as standing there."""
        chosen = self.selected_index()
        if chosen is None or self._left_behind or not self.length():
            return chosen
        return max(self.offset, min(chosen, self.offset + self.rows_on_show - 1, self.length() - 1))

    def go_to(self, index: int) -> None:
        """Select an item and scroll as little as makes it visible."""
        count = self.length()
        if not count:
            return
        index = max(0, min(index, count - 1))
        self.scroll_to(max(index - self.rows_on_show + 1, min(self.offset, index)))
        self.select(index)

    @override
    def command(self, command: Command) -> bool:
        position = self._position()
        page = self.rows_on_show
        first = -1 if position is None else position
        last = self.length() - 1
        match command:
            case Command.UP:
                target = max(first - 1, 0)
            case Command.DOWN:
                target = first + 1
            case Command.PAGE_UP:
                target = first - page
            case Command.PAGE_DOWN:
                target = first + page
            case Command.FIRST:
                target = 0
            case Command.LAST:
                target = last
            case _:
                return False
        self.go_to(target)
        return True

    @override
    def click(self, column: int, row: int) -> None:
        window = self.window(self.rows_on_show)
        if row < len(window):
            self.select(window[row])
            self._left_behind = False

    @override
    def wheel(self, steps: int) -> None:
        self.offset = max(0, min(self.offset + steps, self.length() - self.rows_on_show))
        chosen = self.selected_index()
        self._left_behind = (
            chosen is not None and not self.offset <= chosen < self.offset + self.rows_on_show
        )
