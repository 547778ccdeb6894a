"""Panels side by side in borders that join: the whole screen between header and footer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import urwid
from typing_extensions import override

from sysdash import units
from sysdash.panels.base import Panel
from sysdash.panels.cells import Line, canvas, width

Box = tuple[int, int, int, int]
"""Column, row, columns and rows of a panel's inside. Neighbours share the border between them."""

UP, RIGHT, DOWN, LEFT = 1, 2, 4, 8

_CORNERS = {
    UP | DOWN: "│",
    LEFT | RIGHT: "─",
    RIGHT | DOWN: "┌",
    LEFT | DOWN: "┐",
    UP | RIGHT: "└",
    UP | LEFT: "┘",
    UP | RIGHT | DOWN: "├",
    UP | LEFT | DOWN: "┤",
    LEFT | RIGHT | DOWN: "┬",
    LEFT | RIGHT | UP: "┴",
    UP | RIGHT | DOWN | LEFT: "┼",
}

_HEAVY = str.maketrans("─┬┴┼", "━┯┷┿")
"""The edge above the panel that has the focus, which is to be seen without colours too."""


@dataclass(frozen=True)
class Tile:
    """A panel and where its inside is."""

    panel: Panel
    box: Box


@lru_cache(maxsize=16)
def frame(boxes: tuple[Box, ...], columns: int, rows: int) -> tuple[str, ...]:
    """The borders around boxes as ``rows`` strings of ``columns`` characters."""
    arms = [[0] * columns for _ in range(rows)]
    for x, y, w, h in boxes:
        left, right, top, bottom = x - 1, x + w, y - 1, y + h
        for column in range(left, right):
            for row in (top, bottom):
                arms[row][column] |= RIGHT
                arms[row][column + 1] |= LEFT
        for row in range(top, bottom):
            for column in (left, right):
                arms[row][column] |= DOWN
                arms[row + 1][column] |= UP
    return tuple("".join(_CORNERS.get(arm, " ") for arm in row) for row in arms)


def _border(text: str, row: int, start: int, focused: Box | None) -> Line:
    """A piece of a row of the frame that begins at column ``start``."""
    if focused is None:
        return [("border", text)]
    x, y, w, h = focused
    left, right = x - 1, x + w
    if row in (y - 1, y + h):
        first = max(left - start, 0)
        last = max(right + 1 - start, first)
        edge = text[first:last].translate(_HEAVY if row == y - 1 else {})
        return [
            ("border", text[:first]),
            ("border.focus", edge),
            ("border", text[last:]),
        ]
    if y <= row < y + h:
        return [
            ("border.focus" if start + i in (left, right) else "border", char)
            for i, char in enumerate(text)
        ]
    return [("border", text)]


class Tiles(urwid.Widget):
    """Tiles on a grid; the arrangement is given anew for every frame and size."""

    _sizing = frozenset([urwid.Sizing.BOX])
    _selectable = True
    no_cache: ClassVar[list[str]] = ["render"]

    def __init__(self) -> None:
        super().__init__()
        self.tiles: tuple[Tile, ...] = ()
        self.focused: Panel | None = None

    def arrange(self, tiles: Sequence[Tile], focused: Panel | None) -> None:
        """Show these tiles; they must fit the size that is rendered next."""
        self.tiles = tuple(tiles)
        self.focused = focused

    @override
    def render(self, size: tuple[int, int], focus: bool = False) -> urwid.Canvas:  # type: ignore[override]
        """All tiles with borders and titles."""
        columns, rows = size
        return canvas(self.lines(columns, rows), columns)

    def lines(self, columns: int, rows: int) -> list[Line]:
        """The lines of the whole screen, each ``columns`` wide."""
        borders = frame(tuple(tile.box for tile in self.tiles), columns, rows)
        focused = next((tile.box for tile in self.tiles if tile.panel is self.focused), None)
        pieces: list[list[tuple[int, int, Line]]] = [[] for _ in range(rows)]
        for tile in self.tiles:
            x, y, w, h = tile.box
            has_focus = tile.panel is self.focused
            for i, line in enumerate(tile.panel.full(w, h, has_focus)):
                pieces[y + i].append((x, w, line))
            pieces[y - 1] += self._titles(tile, has_focus)
        result = []
        for row in range(rows):
            line, at = [], 0
            for x, w, piece in sorted(pieces[row], key=lambda piece: piece[0]):
                if x > at:
                    line += _border(borders[row][at:x], row, at, focused)
                line += piece
                at = x + w
            if at < columns:
                line += _border(borders[row][at:], row, at, focused)
            result.append(line)
        return result

    def _titles(self, tile: Tile, has_focus: bool) -> list[tuple[int, int, Line]]:
        x, _, w, _ = tile.box
        plain = "".join(part for _, part in tile.panel.headings(w))
        places = list(re.finditer(r"\S+(?: \S+)*", plain))
        titles = [units.fit(f" {title} ", w) for title in tile.panel.titles()]

        def hidden(title: str) -> int:
            return sum(found.start() - 1 < units.width(title) for found in places)

        # The longest that hides no more of the headings than the shortest does.
        text = min(titles, key=hidden)
        style = "title.focus" if has_focus else "title"
        title: Line = [(style, text)]
        part = tile.panel.part()
        end = units.width(text)
        if part and tile.panel.part_first and end + units.width(part) < w:
            end += units.width(part) + 1
        headings: list[tuple[int, int, Line]] = []
        for found in places:
            start, stop = found.start() - 1, found.end() + 1
            if start >= end and stop <= w:
                label = found.group()
                headings.append((x + start, stop - start, [("heading", f" {label} ")]))
                end = stop
        room = (headings[0][0] - x if headings else w) - units.width(text)
        if part and units.width(part) < room:
            title.append(("heading", f"{part} "))
        return [(x, width(title), title), *headings]

    def tile_at(self, column: int, row: int) -> Tile | None:
        """The tile whose inside or title is at a cell."""
        for tile in self.tiles:
            x, y, w, h = tile.box
            if x <= column < x + w and y - 1 <= row < y + h:
                return tile
        return None
