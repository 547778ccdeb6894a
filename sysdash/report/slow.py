"""Slow calls, and calls that have not returned, as blocks of lines and as objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sysdash import syscalls, units
from sysdash.model import SlowCall
from sysdash.report.objects import syscall_keys, utc
from sysdash.story import Story

SCHEMA, IN_FLIGHT_SCHEMA = "sysdash.slow/1", "sysdash.inflight/1"

_MOST_NAMED = 8
"""Syscalls that are named for their thresholds in the first line."""


def beginning(
    default_ns: int | None,
    thresholds_ns: Mapping[str, int | None],
    *,
    syscalls_only: Iterable[str] = (),
    in_flight: bool = False,
    goes_on: bool = True,
) -> str:
    """The first line: what is slow.

    Args:
        default_ns: the threshold of all syscalls that have none of their own; None for never.
        thresholds_ns: those of single ones, by name.
        syscalls_only: the names of the only syscalls that are traced, if not all are.
        in_flight: whether it is about calls that have not returned.
        goes_on: whether it does not end by itself at once.
    """
    wanted = list(dict.fromkeys(syscalls_only))
    own = {
        name: ns
        for name, ns in thresholds_ns.items()
        if ns != default_ns and (not wanted or name in wanted)
    }
    named = [f"{name} {_threshold(ns)}" for name, ns in own.items()]
    if len(named) > _MOST_NAMED:
        named[_MOST_NAMED:] = [f"{len(named) - _MOST_NAMED} more"]
    alone = bool(wanted) and own.keys() >= set(wanted)
    if (alone or default_ns == 0) and not any(ns != 0 for ns in own.values()):
        every = "all calls in flight" if in_flight else "all calls"
        return f"Tracing {every}... Ctrl+C to quit." if goes_on else f"{every.capitalize()}:"
    if default_ns is None or alone:
        slower = f"their threshold ({', '.join(named)})"
    else:
        slower = _threshold(default_ns) + (f" ({', '.join(named)})" if named else "")
    what = "in flight for longer than" if in_flight else "slower than"
    if not goes_on:
        return f"Calls {what} {slower}:"
    return f"Tracing calls {what} {slower}... Ctrl+C to quit."


def _threshold(ns: int | None) -> str:
    if ns is None:
        return "off"
    for unit, per in (("h", 3600), ("m", 60), ("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        number = ns / 1e9 / per
        if number >= 1:
            return f"{number:.6g}{unit}"
    return f"{ns}ns" if ns else "0"


# --- Text ---


@dataclass(frozen=True, slots=True)
class Shown:
    """What a block needs beside the call.

    Attributes:
        clock: the local time of the call's end; of one in flight, when it was looked at.
        stack: whether its stack is shown.
    """

    clock: str
    stack: bool = True


def slow_block(call: SlowCall, story: Story, shown: Shown) -> list[str]:
    """The lines of a slow call."""
    head = f"SLOW SYSCALL: {_name(call)}() took {_time(call)}"
    return [head, *_body(call, story, shown)]


def in_flight_block(call: SlowCall, story: Story, shown: Shown) -> list[str]:
    """The lines of a call that has not returned."""
    head = f"IN FLIGHT: {_name(call)}() for {_time(call)}"
    if syscalls.waits(call.syscall.nr, call.syscall.abi):
        head += " (its purpose is to wait)"
    return [head, *_body(call, story, shown)]


def _name(call: SlowCall) -> object:
    return syscall_keys(call.syscall)["syscall"]


def _time(call: SlowCall) -> str:
    return ("at least " if call.at_least else "") + units.duration(call.duration_ns)


def _body(call: SlowCall, story: Story, shown: Shown) -> list[str]:
    who = f"  TIME {shown.clock}  PID {call.pid}  COMM {call.comm}  TID {call.tid}"
    abi = syscall_keys(call.syscall).get("abi")
    rows = [(each.name, each.text) for each in story.arguments]
    errno = _errno(call)
    if errno is not None:
        words = syscalls.error_text(errno)
        rows.append(("error", f"{story.result} ({words})" if words else story.result))
    elif story.result:
        rows.append(("result", story.result))
    if story.place is not None:
        at = min(story.place, len(story.arguments))  # the result stands behind them
        # A path that is whole has been told.
        if story.target not in [each.value for each in story.arguments[at : at + 1]]:
            found = story.target if story.certain else f"was {story.target} when last seen"
            rows[at] = (rows[at][0], f"{rows[at][1]} → {found}")
    width = max((units.width(name) for name, _ in rows), default=0)
    lines = [f"{who}  ABI {abi}" if abi else who]
    lines += [f"  {units.pad(name, width)} = {text}" for name, text in rows]
    frames = call.detail.stack() if shown.stack else ()
    if frames:
        lines += ["  stack:", *(f"    {frame}" for frame in frames)]
    return lines


def _errno(call: SlowCall) -> int | None:
    """What a call failed with; None for a success, and for a register that looks like an error."""
    name = syscalls.name(call.syscall.nr, call.syscall.abi)
    return None if name in syscalls.SIGRETURNS else call.errno


def ending(
    shown: int,
    happened: int,
    dropped: str = "",
    *,
    unlisted: int = 0,
    longest: int | None = None,
    each_interval: bool = False,
    in_flight: bool = False,
) -> str:
    """The last line: how many calls there were.

    Args:
        shown: calls that were printed.
        happened: calls that could have been, had there been no limit to their number.
        dropped: what is missing besides, and why.
        unlisted: how many calls of those in ``dropped`` are not known at all.
        longest: how many of the longest were asked for; None for all calls.
        each_interval: they were asked for of each interval, and not of the whole time.
        in_flight: whether it is about calls that have not returned.
    """
    kind = "call in flight" if in_flight else "slow call"
    kinds = "calls in flight" if in_flight else "slow calls"
    if not happened:
        words = f"0 {kinds} listed" if unlisted else f"no {kinds}"
    elif shown < happened:
        number = longest if longest is not None and each_interval else shown
        those = "the longest" if number == 1 else f"the {number:,} longest"
        of = f"the {happened:,} listed" if unlisted else f"{happened:,} {kinds}"
        if each_interval:
            of = f"each interval, of {of}" + ("" if unlisted else " in all")
        words = f"{those} of {of}"
    else:
        words = f"{shown:,} {kind if shown == 1 else kinds}"
    return f"{words}; {dropped}" if dropped else words


# --- JSON ---


def slow_object(call: SlowCall, story: Story, *, stack: bool) -> dict[str, object]:
    """A slow call as what :func:`json.dumps` makes one line of, schema ``sysdash.slow/1``."""
    return {"schema": SCHEMA, **_fields(call, story, stack=stack)}


def in_flight_object(call: SlowCall, story: Story, *, stack: bool) -> dict[str, object]:
    """A call that has not returned, likewise, schema ``sysdash.inflight/1``."""
    return {"schema": IN_FLIGHT_SCHEMA, **_fields(call, story, stack=stack)}


def _fields(call: SlowCall, story: Story, *, stack: bool) -> dict[str, object]:
    errno = _errno(call)
    return {
        "time": utc(call.time_ns),
        **syscall_keys(call.syscall),
        "duration_ns": call.duration_ns,
        "pid": call.pid,
        "tid": call.tid,
        "comm": call.comm,
        "args": {each.name: each.value for each in story.arguments},
        "ret": call.ret,
        "errno": None if errno is None else syscalls.errno_name(errno),
        "path": story.path or (story.target if story.certain else "") or None,
        "stack": list(call.detail.stack()) if stack else [],
    }
