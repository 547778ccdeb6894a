"""``sysdash summary``: the tables of ``perf trace -s``."""

from __future__ import annotations

import argparse

from sysdash.commands import printing
from sysdash.commands.collecting import Collection
from sysdash.report.objects import aggregate_object
from sysdash.report.summary import keys_of, summary_lines


def run(args: argparse.Namespace) -> int:
    """Collect until the end, print every interval, and return the exit code."""
    errors: bool = args.errno_summary
    most: int | None = args.top if args.max is None else args.max
    collection = Collection(args, keys_of(args.by, errno_summary=errors), timed=True)
    for aggregate in collection.aggregates(lambda: printing.announce(args)):
        if args.json:
            printing.data(aggregate, aggregate_object(aggregate, top=most, sort="total"))
        else:
            lines = summary_lines(aggregate, args.by, errno_summary=errors, most=most)
            printing.text(args, aggregate, lines)
    return collection.status
