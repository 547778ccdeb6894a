"""Blocked time by stack, in the formats that other tools read: folded stacks and speedscope."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from sysdash.blocking import BlockedStack, Frame

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def folded(stacks: Sequence[BlockedStack]) -> Iterator[str]:
    """Lines ``frame;frame;... MICROSECONDS``, outermost frame first.

    That is what flamegraph.pl reads (https://github.com/brendangregg/FlameGraph, README, 2. "Fold
    stacks"). A ``;`` in a frame becomes ``:``, and stacks that then read the same become one.

    The format has whole numbers only. What rounding takes from a stack goes to the next, so each
    is wrong by less than 1 µs and the sum of all by half a µs at the most. Stacks that get nothing
    are left out.
    """
    sums: dict[tuple[str, ...], int] = {}
    for stack in stacks:
        # Names, not lines: a name is one object, however many stacks have it.
        names = tuple(frame.text.replace(";", ":") for frame in stack.frames)
        sums[names] = sums.get(names, 0) + stack.ns
    rest_ns = 500
    for names, ns in sums.items():
        microseconds, rest_ns = divmod(ns + rest_ns, 1000)
        if microseconds:
            yield f"{';'.join(names)} {microseconds}"


def speedscope(stacks: Sequence[BlockedStack], *, name: str) -> Iterator[str]:
    """The text of a file for https://www.speedscope.app, in pieces.

    One sampled profile by the schema that the file names: each stack is a sample, its weight the
    blocked time in nanoseconds.

    Args:
        stacks: the samples.
        name: what speedscope calls the profile.
    """
    numbers: dict[Frame, int] = {}
    head = {"$schema": _SCHEMA, "name": name, "exporter": "sysdash"}
    profile = {
        "type": "sampled",
        "name": name,
        "unit": "nanoseconds",
        "startValue": 0,
        "endValue": sum(stack.ns for stack in stacks),
    }
    yield f'{json.dumps(head)[:-1]}, "profiles": [{json.dumps(profile)[:-1]}, "samples": ['
    for index, stack in enumerate(stacks):
        sample = [numbers.setdefault(frame, len(numbers)) for frame in stack.frames]
        yield f"{',' if index else ''}\n{json.dumps(sample)}"
    weights = json.dumps([stack.ns for stack in stacks])
    yield f'],\n"weights": {weights}}}],\n"shared": {{"frames": ['
    for frame, number in numbers.items():
        yield f"{',' if number else ''}\n{json.dumps({'name': frame.text})}"
    yield "]}}\n"
