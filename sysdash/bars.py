"""Horizontal bars, and what takes the place of their blocks where there is no UTF-8."""

from __future__ import annotations

_EIGHTHS = " ▏▎▍▌▋▊▉"

_ASCII = str.maketrans(
    "─│┌┐└┘├┤┬┴┼▏▎▍▌▋▊▉█▒▁▂▃▄▅▆▇▸◂·…\u2013µ↑↓±≥",
    "-|+++++++++" + "----===#:" + "_.,-=+#" + "><.~-u^v~>",
)


def bar(share: float, columns: int) -> str:
    """A bar of ``share`` (0 to 1) of ``columns``, in eighths of a column.

    It is not padded. Anything above 0 shows at least one eighth.
    """
    eighths = round(min(max(share, 0.0), 1.0) * columns * 8)
    if share > 0 and columns > 0:
        eighths = max(eighths, 1)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def shaded_bar(share: float, columns: int) -> str:
    """A bar for a part of what another bar shows: of shade, in whole columns.

    It is not padded. What is less than half a column is as :func:`bar` shows it.
    """
    return "▒" * round(min(max(share, 0.0), 1.0) * columns) or bar(share, columns)


def ascii_blocks(text: str) -> str:
    """``text`` with ASCII in place of bars, lines, arrows and the micro sign, as wide as it was."""
    return text.translate(_ASCII)
