"""What was lost, in one line for standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    "off_cpu": (
        "time off the CPU not measured, of a thread there was no room for",
        "times off the CPU not measured, of threads there was no room for",
    ),
}

# The losses that come of more rows, processes or values than the probe has room for.
_CROWDED = ("calls", "unattributed", "values", "off_cpu")


def dropped(lost: Mapping[str, int], per_second: int) -> str:
    """Which slow calls are not listed or lack something, why, and what helps; empty for none.

    Args:
        lost: :attr:`sysdash.model.Snapshot.lost`.
        per_second: how many are listed each second at the most.
    """
    limited, full = lost.get("slow_limit", 0), lost.get("slow_ring", 0)
    why = []
    if limited:
        why.append(
            f"{limited:,} over the limit of {per_second:,} a second, of which each CPU has its "
            "share, and calls that wait by their nature a quarter (see --per-second)"
        )
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
    """The losses of an interval as a line; empty where nothing is missing.

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


def inexact_line(lost: Mapping[str, int]) -> str:
    """What of an interval is not exact, though nothing is missing, as a line; empty for nothing.

    The kernel hides some threads from BPF, such as those of a virtual machine's agents, and does
    not show a switch from one of them to another thread.

    Args:
        lost: :attr:`sysdash.aggregates.Aggregate.lost`.
    """
    waits = lost.get("switches", 0)
    if not waits:
        return ""
    one = "1 wait is counted up to the end of its call, as its end was not seen"
    more = f"{waits:,} waits are counted up to the end of their call, as their end was not seen"
    return f"sysdash: inexact: {one if waits == 1 else more}"


def closed_line(threads: int, lacking: Sequence[str]) -> str:
    """What is missing of threads that could not be looked into; empty for none of them.

    Args:
        threads: :attr:`sysdash.model.Snapshot.in_flight_unreadable`.
        lacking: the capabilities that would help; none if nothing does.
    """
    if not threads:
        return ""
    one = threads == 1
    why = f"that needs {' and '.join(lacking)}" if lacking else "the kernel refuses it"
    return (
        f"{threads:,} thread{'' if one else 's'} could not be looked into ({why}): calls that "
        f"{'it' if one else 'they'} began before the start are missing"
    )
