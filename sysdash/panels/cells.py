"""Lines of styled text, bars and sparklines, and the canvas made of them.

A line is a list of (style, text) whose display widths add up to the width of its panel; every
function here keeps that sum, so that a name of any width cannot push a border aside.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache

import urwid
from urwid.util import get_encoding, get_encoding_mode

from sysdash import units
from sysdash.bars import ascii_blocks, bar
from sysdash.theme import selected

Segment = tuple[str, str]
"""A style's name and safe text."""

Line = list[Segment]

NONE = "·"
"""Stands for a number that there is none of."""

_ASCII = str.maketrans("━┯┷┿▹—░▓╌╵•▲→≈", "=+++--.+~'*^>~")
"""What only panels draw; the rest is in :func:`sysdash.bars.ascii_blocks`."""

_LEVELS = "▁▂▃▄▅▆▇"
_FULL_LEVELS = " ▁▂▃▄▅▆▇█"

# Bars and sparklines repeat, and a screen measures each piece of text several times.
_text_width = lru_cache(maxsize=4096)(units.width)


def width(line: Iterable[Segment]) -> int:
    """Terminal columns of a line."""
    total = 0
    for _, text in line:
        total += len(text) if text.isascii() else _text_width(text)
    return total


def fill(line: Line, columns: int, style: str = "text") -> Line:
    """A line made exactly ``columns`` wide: cut with an ellipsis, or filled with spaces."""
    used = width(line)
    if used == columns:
        return line
    if used < columns:
        return [*line, (style, " " * (columns - used))]
    room = columns
    result: Line = []
    for name, text in line:
        needed = _text_width(text)
        if needed > room:
            cut = units.fit(text, room)
            result.append((name, cut))
            room -= _text_width(cut)
            break
        result.append((name, text))
        room -= needed
    if room > 0:
        result.append((style, " " * room))
    return result


def spread(left: Line, right: Line, columns: int) -> Line:
    """``left`` and ``right`` at the two ends of a line, a space at least between them.

    Where both do not fit, the left is cut.
    """
    right = fill(right, min(width(right), columns))
    room = columns - width(right)
    return [*fill(left, max(room - 1, 0)), ("text", " " * min(room, 1)), *right]


def cell(line: Line, columns: int, align: str = "<") -> Line:
    """A line aligned left (``<``) or right (``>``) in exactly ``columns``."""
    if align == ">":
        used = width(line)
        return [("text", " " * (columns - used)), *line] if used <= columns else fill(line, columns)
    return fill(line, columns)


def highlight(line: Line) -> Line:
    """The line as the selected row shows it."""
    return [(selected(style), text) for style, text in line]


def blank(columns: int) -> Line:
    """An empty line."""
    return [("text", " " * columns)]


def graded_bar(share: float, columns: int) -> Line:
    """A bar whose colour rises along its way, padded to ``columns``."""
    text = bar(share, columns)
    steps = 5
    line: Line = []
    for step in range(steps):
        part = text[columns * step // steps : columns * (step + 1) // steps]
        if part:
            line.append((f"bar.{step + 1}", part))
    return fill(line, columns)


def time_per_second(total_ns: float, seconds: float) -> str:
    """Time spent for each second that passed; always in seconds where it is over one minute."""
    spent_ns = total_ns / seconds if seconds > 0 else 0.0
    return f"{units.rate(spent_ns / 1e9)}s" if spent_ns >= 6e10 else units.duration(spent_ns)


def sparkline(values: Sequence[float], columns: int) -> str:
    """The last values as blocks of rising height, the newest at the right, ``columns`` wide.

    The largest value is full height. Zero is the lowest block, which no other value has, and
    blank means that there is no value yet.
    """
    shown = values[-columns:] if columns > 0 else []
    top = max(shown, default=0.0)
    steps = len(_LEVELS) - 1
    blocks = [
        _LEVELS[max(1, round(value / top * steps))] if value > 0 else _LEVELS[0] for value in shown
    ]
    return "".join(blocks).rjust(columns)


def area(values: Sequence[float], columns: int, rows: int) -> list[str]:
    """The last values as columns, the newest at the right; the largest is ``rows`` high."""
    shown = values[-columns:] if columns > 0 else []
    top = max(shown, default=0.0)
    steps = len(_FULL_LEVELS) - 1
    heights = [max(1, round(value / top * rows * steps)) if value > 0 else 0 for value in shown]
    return [
        "".join(_FULL_LEVELS[min(max(height - row * steps, 0), steps)] for height in heights).rjust(
            columns
        )
        for row in reversed(range(rows))
    ]


def _in_encoding(text: str, encoding: str) -> bytes:
    """The text for a terminal that is not UTF-8; a character that it lacks keeps its width."""
    return b"".join(
        char.encode(encoding, "replace").ljust(units.width(char), b"?")
        for char in ascii_blocks(text.translate(_ASCII))
    )


def canvas(lines: Sequence[Line], columns: int) -> urwid.TextCanvas:
    """Lines, each ``columns`` wide, as urwid draws them; in ASCII where the encoding demands it."""
    encoding = None if get_encoding_mode() == "utf8" else get_encoding()
    texts: list[bytes] = []
    attributes: list[list[tuple[Hashable, int]]] = []
    for line in lines:
        encoded: list[bytes] = []
        runs: list[tuple[Hashable, int]] = []
        current, length = "", 0
        for style, text in line:
            part = text.encode() if encoding is None else _in_encoding(text, encoding)
            encoded.append(part)
            if style != current:
                if length:
                    runs.append((current, length))
                current, length = style, 0
            length += len(part)
        if length:
            runs.append((current, length))
        texts.append(b"".join(encoded))
        attributes.append(runs)
    # Measuring all of it again would take as long as drawing it.
    return urwid.TextCanvas(texts, attributes, maxcol=columns, check_width=False)
