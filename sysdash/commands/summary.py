"""``sysdash summary``: the tables of ``perf trace -s``."""

from __future__ import annotations

import argparse
import sys

from sysdash.commands import printing
from sysdash.commands.collecting import intervals
from sysdash.report.objects import aggregate_object
from sysdash.report.summary import has_tables, keys_of, summary_lines


def run(args: argparse.Namespace) -> int:
    """Collect until the end, print every interval, and return the exit code."""
    errors: bool = args.errno_summary
    several = has_tables(args.by) and not args.json
    # Where there is one table, both are about its rows.
    rows: int | None = args.top if args.max is None and not several else args.max
    collection = intervals(args, keys_of(args.by, errno_summary=errors), timed=True, data=args.json)
    for aggregate in collection.aggregates(lambda: printing.announce(args)):
        if args.json:
            printing.data(aggregate, aggregate_object(aggregate, top=rows, sort="total"))
        else:
            lines = summary_lines(
                aggregate,
                args.by,
                errno_summary=errors,
                tables=args.top if several else None,
                rows=rows,
                columns=printing.columns() if sys.stdout.isatty() else None,
            )
            printing.text(args, aggregate, lines)
    return collection.status
