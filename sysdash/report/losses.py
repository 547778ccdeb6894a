"""What was lost, in one line for standard error."""

from __future__ import annotations

from collections.abc import Mapping

# Losses of slow calls are left out: tools that add up calls do not list slow ones.
_TOLD = {
    "calls": ("call not counted", "calls not counted"),
    "threads": ("thread not followed", "threads not followed"),
    "missed": ("time the kernel did not run the probe", "times the kernel did not run the probe"),
    "unattributed": (
        "call of processes there was no room for, counted as (others)",
        "calls of processes there was no room for, counted as (others)",
    ),
}

# The losses that come of more rows or processes than the probe has room for.
_CROWDED = ("calls", "unattributed")


def lost_line(lost: Mapping[str, int]) -> str:
    """The losses of an interval as a line; empty where no call is missing or without its process.

    Args:
        lost: :attr:`sysdash.aggregates.Aggregate.lost`.
    """
    found = [
        f"{lost[name]:,} {one if lost[name] == 1 else more}"
        for name, (one, more) in _TOLD.items()
        if lost.get(name, 0) > 0
    ]
    if any(lost.get(name, 0) > 0 for name in _CROWDED):
        found.append("a filter makes them fewer")
    return f"sysdash: lost: {'; '.join(found)}" if found else ""
