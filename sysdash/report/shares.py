"""What tables with bars have in common: how wide they are, and shares in percent."""

from __future__ import annotations

WIDEST = 132
"""Columns that bars fill at the most: in longer lines the eye loses its line."""

SHARE_COLUMNS = 6
"""The longest text of :func:`percent`."""


def percent(share: float) -> str:
    """A share, 0 to 1: ``12.3%``, ``<0.1%``; empty for nothing."""
    if not share:
        return ""
    if 0.9995 <= share < 1:
        return ">99.9%"
    return "<0.1%" if share < 0.0005 else f"{share:.1%}"


def part_of(part: float, whole: float) -> str:
    """A part in percent of a whole: ``0.0%`` if it is nothing, empty if the whole is."""
    return (percent(part / whole) or "0.0%") if whole else ""
