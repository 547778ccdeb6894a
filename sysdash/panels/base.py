"""What all panels share: they are updated with a scene, and draw lines of an exact width."""

from __future__ import annotations

from typing import ClassVar

import urwid
from typing_extensions import override

from sysdash.keys import Command, Context
from sysdash.panels.cells import Line, blank, canvas, fill
from sysdash.ui_state import REPLAY, Scene, UiState


class Panel(urwid.Widget):
    """A part of the screen inside a border that :class:`sysdash.panels.tiles.Tiles` draws.

    A subclass writes :meth:`title` and :meth:`lines`, from :attr:`scene` and :attr:`state` alone.
    """

    _sizing = frozenset([urwid.Sizing.BOX])
    _selectable = True
    no_cache: ClassVar[list[str]] = ["render"]

    focusable = True
    """Whether Tab stops here."""

    def __init__(self, state: UiState) -> None:
        super().__init__()
        self.state = state
        self.scene: Scene | None = None

    def update(self, scene: Scene | None, state: UiState) -> None:
        """Take what is to be shown from now on; None before the first interval."""
        self.scene = scene
        self.state = state

    @property
    def moment_ns(self) -> int | None:
        """The moment on show, where one is marked: the cursor's, or how far a replay is."""
        state = self.state
        if state.cursor_ns is not None or state.zoom is not None or self.scene is None:
            return state.cursor_ns
        return self.scene.past.time_ns if state.mode == REPLAY else None

    @property
    def context(self) -> Context | None:
        """Where the keys are that hold now only while this panel has the focus."""
        return None

    def title(self) -> str:
        """The text in the border."""
        raise NotImplementedError

    def titles(self) -> list[str]:
        """The title and shorter ones, the longest first, for where headings would have no room."""
        return [self.title()]

    def part(self) -> str:
        """Which part of its items is on show, such as ``4-13 of 57``; empty for all of them."""
        return ""

    @property
    def part_first(self) -> bool:
        """Whether :meth:`part` is worth more than the headings in its way."""
        return False

    def headings(self, columns: int) -> Line:  # noqa: ARG002  (for those that have some)
        """What stands in the border above the panel, ``columns`` wide or empty.

        Its blanks let the border show through, so that it works as a row of column headings.
        """
        return []

    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        """At most ``rows`` lines, each ``columns`` wide."""
        raise NotImplementedError

    def full(self, columns: int, rows: int, focus: bool) -> list[Line]:
        """Exactly ``rows`` lines, each ``columns`` wide."""
        lines = [fill(line, columns) for line in self.lines(columns, rows, focus)[:rows]]
        return lines + [blank(columns)] * (rows - len(lines))

    @override
    def render(self, size: tuple[int, int], focus: bool = False) -> urwid.Canvas:  # type: ignore[override]
        """The panel alone, as a urwid widget."""
        columns, rows = size
        return canvas(self.full(columns, rows, focus), columns)

    @override
    def keypress(self, size: tuple[int, int], key: str) -> str | None:  # type: ignore[override]
        """Keys come as commands, see :meth:`command`."""
        return key

    def command(self, command: Command) -> bool:  # noqa: ARG002  (for those that move)
        """Do a command that moves something in this panel; False if there is nothing to move."""
        return False

    def click(self, column: int, row: int) -> None:
        """The mouse was pressed at a cell of the panel."""

    def wheel(self, steps: int) -> None:
        """The wheel was turned over the panel, down if ``steps`` is positive."""
