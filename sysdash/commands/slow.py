"""``sysdash slow``: calls over their threshold with their whole story, and those in flight."""

from __future__ import annotations

import argparse
import heapq
import itertools
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing

from sysdash.arguments import Signatures, of_formats
from sysdash.commands import printing
from sysdash.commands.origins import origin
from sysdash.model import SlowCall, Snapshot
from sysdash.probes import tracefs
from sysdash.report import slow
from sysdash.report.losses import dropped
from sysdash.story import Teller


def run(args: argparse.Namespace) -> int:
    """Print slow calls until the end, or the calls in flight, and return the exit code.

    Raises:
        CannotCollect: this machine or user cannot, or a recording has no slow calls.
        CannotRun: there is no such command.
        ConfigError: no call can be slow.
    """
    return _Run(args).run()


class _Run:
    """One run of the command."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._signatures = Signatures(of_formats(tracefs.formats()))
        self._teller = Teller(self._signatures)
        self._stacks = args.settings.slow_stacks and not args.no_stack
        self._origin = origin(args, self._signatures, stacks=self._stacks)
        self._at_once = args.interval_s is None and args.duration_s is None
        self._shown = self._happened = 0
        self._last: Snapshot | None = None

    def run(self) -> int:
        args = self._args
        intervals = self._origin.intervals
        with closing(intervals.snapshots(self._begin)) as snapshots:
            if args.in_flight:
                self._show_in_flight(snapshots)
            elif args.top is not None:
                self._show_longest(snapshots)
            else:
                self._show_each(snapshots)
        self._end(apart=intervals.interrupted and sys.stdout.isatty())
        return intervals.status

    # --- Which calls ---

    def _show_each(self, snapshots: Iterable[tuple[Snapshot, bool]]) -> None:
        """Every slow call when it has ended, in the order in which they end."""
        later: list[SlowCall] = []
        for snapshot, _ in snapshots:
            # What ends while the probe is read can come before what ended a little earlier.
            calls = sorted([*later, *snapshot.slow], key=lambda call: call.time_ns)
            later = [call for call in calls if call.time_ns > snapshot.time_ns]
            self._show([call for call in calls if call.time_ns <= snapshot.time_ns])
            self._last = snapshot
        self._show(later)

    def _show_longest(self, snapshots: Iterable[tuple[Snapshot, bool]]) -> None:
        """The longest of each interval when it is over."""
        args = self._args
        longest: list[tuple[int, int, SlowCall]] = []
        numbers, before = itertools.count(), 0
        for snapshot, complete in snapshots:
            for call in snapshot.slow:
                entry = (call.duration_ns, -next(numbers), call)
                if len(longest) < args.top:
                    heapq.heappush(longest, entry)
                else:
                    heapq.heappushpop(longest, entry)
            self._happened += len(snapshot.slow)
            self._last = snapshot
            if complete:
                self._head(snapshot)
                unlisted = _unlisted(snapshot)
                if not longest and args.interval_s is not None and not args.json:
                    printing.show(["", slow.ending(0, 0, unlisted=unlisted - before)])
                self._show([call for _, _, call in sorted(longest, reverse=True)])
                longest, before = [], unlisted

    def _show_in_flight(self, snapshots: Iterable[tuple[Snapshot, bool]]) -> None:
        """The calls in flight when an interval is over; without one, as soon as they are known."""
        args = self._args
        closed = 0
        for snapshot, complete in snapshots:
            closed = snapshot.in_flight_unreadable
            if complete or self._at_once:
                self._head(snapshot)
                calls = snapshot.in_flight[: args.top]
                self._show(calls)
                happened = len(snapshot.in_flight) + snapshot.in_flight_more
                line = slow.ending(len(calls), happened, in_flight=True)
                if not args.json:
                    printing.show(["", line])
                elif snapshot.in_flight_more and len(calls) == len(snapshot.in_flight):
                    printing.tell(line)
            if self._at_once:
                break
        words = self._origin.closed(closed)
        if words:
            printing.tell(words)

    # --- How they are shown ---

    def _begin(self) -> None:
        args = self._args
        if self._origin.thresholds is None and not args.json:
            printing.show(["Slow calls:" if not args.in_flight else "Calls in flight:"])
        elif self._origin.thresholds is not None and not args.json:
            names = [name for name in args.syscall if not name.startswith(("!", "%"))]
            line = slow.beginning(
                *self._origin.thresholds,
                syscalls_only=names if len(names) == len(args.syscall) else (),
                in_flight=args.in_flight,
                goes_on=not (args.in_flight and self._at_once),
            )
            printing.show([line])

    def _head(self, snapshot: Snapshot) -> None:
        if self._args.interval_s is not None and not self._args.json:
            printing.show(["", f"[{_clock(snapshot.time_ns)}]"])

    def _show(self, calls: Sequence[SlowCall]) -> None:
        args = self._args
        self._shown += len(calls)
        for call in map(self._origin.with_stack, calls):
            # One by one: the stack of the next may take a while.
            story = self._teller.tell(call)
            if args.json:
                make = slow.in_flight_object if args.in_flight else slow.slow_object
                printing.objects([make(call, story, stack=self._stacks)])
            else:
                block = slow.in_flight_block if args.in_flight else slow.slow_block
                shown = slow.Shown(
                    clock=f"{_clock(call.time_ns)}.{call.time_ns // 1_000_000 % 1000:03}",
                    stack=self._stacks,
                )
                printing.show(["", *block(call, story, shown)])

    def _end(self, *, apart: bool) -> None:
        if self._args.in_flight or self._last is None:
            return
        missing, unlisted = dropped(self._last.lost, self._origin.per_second), _unlisted(self._last)
        if unlisted and self._args.top is not None:
            missing += "; longer ones may be among those not listed"
        if not self._args.json:
            line = slow.ending(
                self._shown,
                max(self._happened, self._shown),
                missing,
                unlisted=unlisted,
                longest=self._args.top,
                each_interval=self._args.interval_s is not None,
            )
            # Not in the line where the terminal shows ^C.
            printing.show(["", *([""] if apart else []), line])
        elif missing:
            printing.tell(missing)
        printing.tell_losses(self._last)


def _unlisted(snapshot: Snapshot) -> int:
    """How many slow calls have not been listed since the beginning."""
    return snapshot.lost.get("slow_limit", 0) + snapshot.lost.get("slow_ring", 0)


def _clock(time_ns: int) -> str:
    """A local time, ``HH:MM:SS``."""
    return time.strftime("%H:%M:%S", time.localtime(time_ns // 1_000_000_000))
