"""Time blocked inside system calls, by stack, as lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from sysdash import units
from sysdash.blocking import BlockedStack, Frame, Kind
from sysdash.report.shares import SHARE_COLUMNS, WIDEST, percent

TOP = 20
"""Stacks that are shown unless another number is asked for."""

MOST_FRAMES = 64
"""Frames of a stack that are shown at the most: the innermost ones."""

LOSSES = {
    "blocks": ("time", "times", "blocked that there was no room for"),
    "off_cpu": ("time", "times", "of threads there was no room for"),
    "kernel_stacks": ("time", "times", "without the kernel's frames"),
    "stacks": (
        "stack",
        "stacks",
        "without the program's frames, for the process had ended too soon",
    ),
}
"""The losses that concern stacks, and how they are told."""

# The losses that come of more places and threads than there is room for.
_CROWDED = ("blocks", "off_cpu", "kernel_stacks")

_ADDRESS = re.compile("0x[0-9a-f]+")

_INDENT = "    "
_TIME_COLUMNS = 6  # of units.duration()


def beginning(*, user: bool = True, kernel: bool = True, ended: bool = False) -> str:
    """The first line, printed once the probe counts.

    Args:
        user: whether the programs' frames are looked up.
        kernel: whether the kernel's are.
        ended: whether threads that are still blocked are left out.
    """
    which = " + ".join(name for name, wanted in (("user", user), ("kernel", kernel)) if wanted)
    only = " (ended only)" if ended else ""
    return f"Tracing time blocked in syscalls{only}, by {which} stack... Ctrl+C to quit."


def stack_lines(
    stacks: Sequence[BlockedStack], *, interval_s: float, top: int = TOP, columns: int = 80
) -> list[str]:
    """A block for each stack, then what is not shown, and the sums.

    Args:
        stacks: those of the interval, the longest time first.
        interval_s: its length.
        top: how many of them to show.
        columns: the room; longer frames are cut.
    """
    columns = min(columns, WIDEST)
    total = sum(stack.ns for stack in stacks)
    lines: list[str] = []
    for stack in stacks[:top]:
        lines += [*_head(stack, total, columns), *_frames(stack, columns), ""]
    rest = stacks[top:]
    if rest:
        ns = sum(stack.ns for stack in rest)
        share = percent(ns / total) if total else ""
        more = f"{_number(len(rest), 'more stack')}, of {units.duration(ns)}"
        lines.append(f"{more}{share and f' ({share})'}; --top {len(stacks)} shows all")
    return [*lines, sums(stacks, interval_s)]


def sums(stacks: Sequence[BlockedStack], interval_s: float) -> str:
    """How many stacks there were, and how long and how often threads were blocked at them."""
    watched = units.duration(interval_s * 1e9)
    if not stacks:
        return f"nothing was blocked in {watched}"
    times = _times(sum(stack.count for stack in stacks), sum(stack.still for stack in stacks))
    return f"{written(stacks)} in {watched}, {times}"


def written(stacks: Sequence[BlockedStack]) -> str:
    """What a file of these stacks has in it."""
    blocked = units.duration(sum(stack.ns for stack in stacks))
    return f"{_number(len(stacks), 'stack')}, {blocked} blocked"


def missing(lost: Mapping[str, int]) -> str:
    """What is not in the stacks, or not whole; empty for nothing.

    Args:
        lost: :attr:`sysdash.aggregates.Aggregate.lost`.
    """
    found = [name for name in LOSSES if lost.get(name, 0) > 0]
    told = []
    for name in found:
        one, more, why = LOSSES[name]
        told.append(f"{lost[name]:,} {one if lost[name] == 1 else more} {why}")
    if any(name in _CROWDED for name in found):
        told.append("a filter or -K makes them fewer")
    return f"lost: {'; '.join(told)}" if told else ""


def has_nameless(stacks: Iterable[BlockedStack]) -> bool:
    """Whether functions of the kernel are only addresses in them."""
    return any(
        frame.kind is Kind.KERNEL and _ADDRESS.fullmatch(frame.text)
        for stack in stacks
        for frame in stack.frames
    )


def _head(stack: BlockedStack, total: int, columns: int) -> list[str]:
    """Time, share, process and call, and how often; in two lines where one is too short."""
    of = {frame.kind: frame.text for frame in stack.frames}
    time = f"{units.duration(stack.ns):>{_TIME_COLUMNS}}"
    share = f"{percent(stack.ns / total) if total else '':>{SHARE_COLUMNS}}"
    what = f"{time} {share}  {of[Kind.PROCESS]}: {of[Kind.SYSCALL]}"
    often = _times(stack.count, stack.still)
    if stack.count > 1:
        often += f", mean {units.duration(stack.ns / stack.count)}"
    whole = f"{what}, {often}"
    if units.width(whole) <= columns:
        return [whole]
    indent = " " * (_TIME_COLUMNS + 1 + SHARE_COLUMNS + 2)
    return [units.fit(what, columns), units.fit(indent + often, columns)]


def _frames(stack: BlockedStack, columns: int) -> list[str]:
    """The frames, innermost first, with a line where the program entered the kernel."""
    kernel = _texts(stack.frames, Kind.STATE) + _texts(stack.frames, Kind.KERNEL)
    user = _texts(stack.frames, Kind.USER)
    cut = max(len(kernel) + len(user) - MOST_FRAMES, 0)
    kernel = kernel[:MOST_FRAMES]
    user = user[: MOST_FRAMES - len(kernel)]
    found = [*kernel, *(["--"] if kernel and user else []), *user] or ["[no frames]"]
    if cut:
        found.append(f"{units.ELLIPSIS} {_number(cut, 'more frame')}")
    return [units.fit(_INDENT + text, columns) for text in found]


def _texts(frames: Sequence[Frame], kind: Kind) -> list[str]:
    return [frame.text for frame in reversed(frames) if frame.kind is kind]


def _times(count: int, still: int) -> str:
    """How often: ``3 times, 1 still blocked``."""
    if count == still == 1:
        return "still blocked"
    return _number(count, "time") + (f", {still:,} still blocked" if still else "")


def _number(number: int, kind: str) -> str:
    return f"{number:,} {kind}{'' if number == 1 else 's'}"
