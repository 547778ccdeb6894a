"""``sysdash lat``: how long calls take, as a table and as histograms."""

from __future__ import annotations

import argparse

from sysdash.commands import printing
from sysdash.commands.collecting import intervals
from sysdash.report.latency import TOP, latency_lines
from sysdash.report.objects import aggregate_object


def run(args: argparse.Namespace) -> int:
    """Collect until the end, print every interval, and return the exit code."""
    collection = intervals(args, args.by or ("syscall",), off_cpu=args.off_cpu, data=args.json)
    for aggregate in collection.aggregates(lambda: printing.announce(args)):
        if args.json:
            found = aggregate_object(aggregate, top=args.top, sort="total", histogram=True)
            printing.data(aggregate, found)
        else:
            lines = latency_lines(
                aggregate,
                top=TOP if args.top is None else args.top,
                histograms=args.histograms,
                columns=printing.columns(),
            )
            printing.text(args, aggregate, lines)
    return collection.status
