"""Lines of styled text, bars and sparklines, and the canvas made of them.

A line is a list of (style, text) whose display widths add up to the width of its panel; every
function here keeps that sum, so that a name of any width cannot push a border aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import urwid

from sysdash import units
from sysdash.theme import selected

Segment = tuple[str, str]
"""A style's name and safe text."""

Line = list[Segment]

_EIGHTHS = " ▏▎▍▌▋▊▉"
_LEVELS = "▁▂▃▄▅▆▇"
_FULL_LEVELS = " ▁▂▃▄▅▆▇█"

# What takes the place of these where the terminal's encoding has no such characters.
_ASCII = str.maketrans(
    "─│┌┐└┘├┤┬┴┼▏▎▍▌▋▊▉█▁▂▃▄▅▆▇▸◂·…‥µ↑↓±≥",
    "-|+++++++++" + "----===#" + "_.,-=+#" + "><.~-u^v~>",
)


def width(line: Iterable[Segment]) -> int:
    """Terminal columns of a line."""
    return sum(units.width(text) for _, text in line)


def fill(line: Line, columns: int, style: str = "text") -> Line:
    """A line made exactly ``columns`` wide: cut with an ellipsis, or filled with spaces."""
    room = columns
    result: Line = []
    for name, text in line:
        needed = units.width(text)
        if needed > room:
            cut = units.fit(text, room)
            result.append((name, cut))
            room -= units.width(cut)
            break
        result.append((name, text))
        room -= needed
    if room > 0:
        result.append((style, " " * room))
    return result


def spread(left: Line, right: Line, columns: int) -> Line:
    """``left`` and ``right`` at the two ends of a line; where both do not fit, the left is cut."""
    right = fill(right, min(width(right), columns))
    return fill(left, columns - width(right)) + right


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


def bar(share: float, columns: int) -> str:
    """A horizontal bar of ``share`` (0 to 1) of ``columns``, in eighths of a column.

    It is not padded. Anything above 0 shows at least one eighth.
    """
    eighths = round(min(max(share, 0.0), 1.0) * columns * 8)
    if share > 0 and columns > 0:
        eighths = max(eighths, 1)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


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


def _encode(text: str) -> bytes:
    if text.isascii():
        return text.encode("ascii")
    if urwid.get_encoding_mode() == "utf8":
        return text.encode("utf-8")
    encoding = urwid.get_encoding()
    return b"".join(
        char.encode(encoding, "replace").ljust(units.width(char), b"?")
        for char in text.translate(_ASCII)
    )


def canvas(lines: Sequence[Line], columns: int) -> urwid.TextCanvas:
    """Lines, each ``columns`` wide, as urwid draws them; in ASCII where the encoding demands it."""
    texts: list[bytes] = []
    attributes: list[list[tuple[str, int]]] = []
    for line in lines:
        encoded = [(style, _encode(text)) for style, text in line]
        texts.append(b"".join(text for _, text in encoded))
        runs: list[tuple[str, int]] = []
        for style, text in encoded:
            if runs and runs[-1][0] == style:
                runs[-1] = (style, runs[-1][1] + len(text))
            elif text:
                runs.append((style, len(text)))
        attributes.append(runs)
    return urwid.TextCanvas(texts, attributes, maxcol=columns)  # type: ignore[arg-type]
