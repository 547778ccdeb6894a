"""What was lost, in one line for standard error."""

from __future__ import annotations

from collections.abc import Mapping

# Losses of slow calls are not among them: tools that add up calls do not list slow ones.
_TOLD = {
    "calls": ("call not counted", "calls not counted"),
    "threads": ("thread not followed", "threads not followed"),
    "missed": ("time the kernel did not run the probe", "times the kernel did not run the probe"),
    "unattributed": (
        "call of processes there was no room for, counted as (others)",
        "calls of processes there was no room for, counted as (others)",
    ),
    "values": (
        "call whose value there was no room for, or could not be read",
        "calls whose values there was no room for, or could not be read",
    ),
}

# The losses that come of more rows, processes or values than the probe has room for.
_CROWDED = ("calls", "unattributed", "values")


def dropped(lost: Mapping[str, int], per_second: int) -> str:
    """Which slow calls are not listed or lack something, why, and what helps; empty for none.

    Args:
        lost: :attr:`sysdash.model.Snapshot.lost`.
        per_second: how many are listed each second at the most.
    """
    limited, full = lost.get("slow_limit", 0), lost.get("slow_ring", 0)
    why = []
    if limited:
        why.append(f"{limited:,} over the limit of {per_second:,} a second (see --per-second)")
    if full:
        why.append(f"{full:,} for which the buffer was full")
    told = []
    if why:
        told.append(f"{limited + full:,} more not listed: {' and '.join(why)}")
        told.append("a filter or a higher --threshold makes them fewer")
    stacks = lost.get("stacks", 0)
    if stacks:
        told.append(f"{stacks:,} without a stack, for the process had ended too soon")
    return "; ".join(told)


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
