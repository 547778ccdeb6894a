"""Where ``sysdash slow`` has its calls from: the probe, or a recording."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sysdash import syscalls
from sysdash.arguments import Signatures
from sysdash.collector import Source
from sysdash.commands import argtypes, printing
from sysdash.commands.collecting import Collection
from sysdash.commands.intervals import Intervals
from sysdash.commands.words import by_number, over
from sysdash.config import ConfigError, Thresholds
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.model import SlowCall
from sysdash.probes import capabilities
from sysdash.probes.aside import Aside
from sysdash.report.losses import closed_line

_STACK_S = 5.0
"""How long one stack may take: its files may lie on a server that does not answer."""


Pair = tuple[int | None, Mapping[str, int | None]]
"""The threshold of all syscalls that have none of their own, None for never; and those, by name."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What there is to be known of slow calls, beside the calls.

    Attributes:
        intervals: the calls.
        thresholds: from which duration on a call is slow; None where that is not known.
        per_second: slow calls that are listed each second at the most.
        with_stack: finds the stack of a call out, which may take a while.
        closed: says which threads could not be looked into, given how many; empty for none.
    """

    intervals: Intervals
    thresholds: Pair | None
    per_second: int
    with_stack: Callable[[SlowCall], SlowCall]
    closed: Callable[[int], str]


def origin(args: argparse.Namespace, signatures: Signatures, *, stacks: bool) -> Origin:
    """What the words ask for.

    Args:
        args: of ``sysdash slow``.
        signatures: of the calls.
        stacks: whether their stacks are wanted.

    Raises:
        CannotCollect: a recording cannot be read, or has no slow calls.
        ConfigError: no call can be slow.
    """
    if args.from_file is not None:
        return _recorded(args)
    return _live(args, signatures, stacks=stacks)


# --- The probe ---


def _live(args: argparse.Namespace, signatures: Signatures, *, stacks: bool) -> Origin:
    settings = args.settings
    _require_any(settings.threshold_ns, settings.thresholds_ns)
    per_second = args.per_second or settings.slow_per_second

    def open_source(filters: Filters) -> Source:
        # Only here: bcc takes a while to import.
        from sysdash.probes.source import BpfSource, Stories

        source = BpfSource(
            filters,
            by_number(settings.thresholds_ns),
            default_threshold_ns=settings.threshold_ns,
            slow_per_second=per_second,
            stories=Stories(signatures.reads(), stacks=stacks),
            in_flight=args.in_flight,
            waiting=syscalls.waiting(),
        )
        source.watch_in_flight = args.in_flight
        return source

    return Origin(
        Collection(args, data=args.json, open_source=open_source),
        (settings.threshold_ns, settings.thresholds_ns),
        per_second,
        _Unwinding() if stacks else lambda call: call,
        lambda threads: closed_line(threads, capabilities.missing_to_look()),
    )


class _Unwinding:
    """Finds stacks out on a thread of its own."""

    def __init__(self) -> None:
        self._aside = Aside()

    def __call__(self, call: SlowCall) -> SlowCall:
        """The call with its stack looked up; without, where the program cannot be read."""
        found, _ = self._aside.run([call.detail.stack], _STACK_S)
        frames = (found[0] if found else None) or ()
        return replace(call, detail=replace(call.detail, stack=lambda: frames))


def _require_any(default_ns: int | None, thresholds_ns: Thresholds) -> None:
    if all(ns is None for ns in (default_ns, *thresholds_ns.values())):
        raise ConfigError("every threshold is off, so that no call can be slow (see --threshold)")


# --- A recording ---


def _recorded(args: argparse.Namespace) -> Origin:
    # Only here: others need not wait for what reads recordings to be imported.
    from sysdash.commands.recorded import Recorded
    from sysdash.selection import Thresholds as Reached

    at_once = args.interval_s is None and args.duration_s is None
    recorded = Recorded(args, slow=True, last=args.in_flight and at_once)
    try:
        words = recorded.facts.thresholds
        then = slower = _thresholds_then(words)
        if args.threshold:
            asked = over(*(then or (0, {})), args.threshold)
            _require_any(*asked)
            slower = None if then is None else _slower(then, asked)
            recorded.thresholds = Reached(asked[0], MappingProxyType(by_number(asked[1])))
            if slower is not None and not _same(slower, asked):
                printing.tell(f"only calls over the thresholds of then were recorded: {words}")
    except BaseException:
        recorded.close()
        raise
    return Origin(
        recorded,
        slower,
        recorded.facts.per_second or args.settings.slow_per_second,
        lambda call: call,
        _closed_then,
    )


def _thresholds_then(words: str) -> Pair | None:
    """Those that a recording was made with; None where its words for them are others.

    Raises:
        CannotCollect: none.
    """
    try:
        default_ns, named = over(0, {}, argtypes.thresholds(words))
    except argparse.ArgumentTypeError:
        return None
    if all(ns is None for ns in (default_ns, *named.values())):
        raise CannotCollect("it was recorded without slow calls: every threshold was off")
    return default_ns, named


def _slower(one: Pair, other: Pair) -> Pair:
    """The higher of two thresholds, for each syscall."""
    (one_ns, one_named), (other_ns, other_named) = one, other

    def higher(*both: int | None) -> int | None:
        return None if None in both else max(ns for ns in both if ns is not None)

    names = dict.fromkeys((*one_named, *other_named))
    return higher(one_ns, other_ns), {
        name: higher(one_named.get(name, one_ns), other_named.get(name, other_ns)) for name in names
    }


def _same(one: Pair, other: Pair) -> bool:
    """Whether the same calls are slow."""
    names = (*one[1], *other[1])
    return one[0] == other[0] and all(
        one[1].get(name, one[0]) == other[1].get(name, other[0]) for name in names
    )


def _closed_then(threads: int) -> str:
    if not threads:
        return ""
    one = threads == 1
    return (
        f"{threads:,} thread{'' if one else 's'} could not be looked into then: calls that "
        f"{'it' if one else 'they'} began before the start are missing"
    )
