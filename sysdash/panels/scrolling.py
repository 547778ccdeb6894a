"""A text that scrolls: the help, and the story of a call."""

from __future__ import annotations

from typing_extensions import override

from sysdash.keys import Command
from sysdash.panels.base import Panel
from sysdash.panels.cells import Line
from sysdash.ui_state import UiState


class ScrollingPanel(Panel):
    """Lines from a place on. A subclass writes :meth:`text`."""

    def __init__(self, state: UiState) -> None:
        super().__init__(state)
        self.offset = 0
        self._length = 0
        self._rows = 1

    def text(self, columns: int) -> list[Line]:
        """All lines, each at most ``columns`` wide."""
        raise NotImplementedError

    @override
    def part(self) -> str:
        if self._length <= self._rows:
            return ""
        last = min(self.offset + self._rows, self._length)
        return f"lines {self.offset + 1}\u2013{last} of {self._length}"

    @override
    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        self._rows = max(rows, 1)
        text = self.text(columns)
        self._length = len(text)
        self.scroll_to(self.offset)
        return text[self.offset : self.offset + rows]

    def scroll_to(self, offset: int) -> None:
        """Show the text from a line on."""
        self.offset = max(0, min(offset, self._length - self._rows))

    @override
    def command(self, command: Command) -> bool:
        targets = {
            Command.UP: self.offset - 1,
            Command.DOWN: self.offset + 1,
            Command.PAGE_UP: self.offset - self._rows,
            Command.PAGE_DOWN: self.offset + self._rows,
            Command.FIRST: 0,
            Command.LAST: self._length,
        }
        if command not in targets:
            return False
        self.scroll_to(targets[command])
        return True

    @override
    def wheel(self, steps: int) -> None:
        self.scroll_to(self.offset + steps)
