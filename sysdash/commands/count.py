"""``sysdash count``: which calls are made how often, in the lines of bcc's syscount and others."""

from __future__ import annotations

import argparse
import sys

from sysdash import syscalls
from sysdash.aggregates import Aggregate
from sysdash.commands import printing
from sysdash.commands.collecting import intervals
from sysdash.report import count, line_protocol
from sysdash.report.objects import aggregate_object

_TOP = 10
"""Rows of bcc's tables, if ``-T`` does not say."""

_SECOND_NS = 1_000_000_000


def run(args: argparse.Namespace) -> int:
    """Count until the end, print every interval, and return the exit code."""
    if args.list:
        printing.show(count.names(syscalls.names()))
        return 0
    if args.output and args.interval_s is not None and args.interval_s < 1:
        # Two points of one second would replace each other.
        printing.tell("times of --output are whole seconds: one interval each")
        args.interval_s = 1.0
    data = bool(args.json or args.output)
    collection = intervals(args, keys(args), timed=args.latency, data=data)
    columns = count.Columns(latency=args.latency, milliseconds=args.milliseconds, rate=args.rate)
    time_s = 0
    for aggregate in collection.aggregates(
        lambda: None if data else printing.show([_beginning(args)])
    ):
        if args.json:
            found = aggregate_object(aggregate, top=args.top, sort=columns.sort)
            printing.data(aggregate, found)
        elif args.output:
            # The last interval may end in the second of the one before it, and points of the
            # same time would replace each other.
            time_s = max(aggregate.time_ns // _SECOND_NS, time_s + 1)
            printing.show(
                line_protocol.points(aggregate, top=args.top, sort=columns.sort, time_s=time_s)
            )
            printing.tell_losses(aggregate)
        else:
            lines = _table(args, aggregate, columns)
            # Not in the line where the terminal shows ^C.
            apart = collection.interrupted and sys.stdout.isatty()
            printing.show(["", *lines] if apart else lines)
            printing.tell_losses(aggregate)
    if not data:
        printing.show([count.DETACHING])
    return collection.status


def keys(args: argparse.Namespace) -> tuple[str, ...]:
    """What the calls are grouped by."""
    if args.by:
        return tuple(args.by)
    if args.process:
        # A process has one series of points, whatever it calls itself in the meantime.
        return ("pid",) if args.output else ("pid", "comm")
    return ("syscall",)


def _top(args: argparse.Namespace) -> int | None:
    """The rows of a table; all where ``--by`` asks for a list."""
    top: int | None = args.top
    return _TOP if top is None and not args.by else top


def _table(args: argparse.Namespace, aggregate: Aggregate, columns: count.Columns) -> list[str]:
    top = _top(args)
    clock = printing.clock(aggregate)
    if not args.by:
        return count.table(aggregate, clock=clock, top=top, columns=columns)
    # Of one table alone, as of SystemTap's, the time is not told.
    shown = clock if args.interval_s is not None else None
    return count.grouped(aggregate, clock=shown, top=top, columns=columns)


def _beginning(args: argparse.Namespace) -> str:
    names = list(dict.fromkeys(name for name in args.syscall if not name.startswith("!")))
    return count.beginning(failures=args.failures, names=names, top=_top(args))
