"""``sysdash lat``: how long calls take, as a table and as histograms."""

from __future__ import annotations

import argparse
import shutil

from sysdash.commands import printing
from sysdash.commands.collecting import Collection
from sysdash.report.latency import TOP, latency_lines
from sysdash.report.objects import aggregate_object

_NO_TERMINAL = (100, 24)
"""Columns and rows where the output goes elsewhere: no syscall's name is cut in these."""


def run(args: argparse.Namespace) -> int:
    """Collect until the end, print every interval, and return the exit code."""
    collection = Collection(args, args.by or ("syscall",), timed=True)
    for aggregate in collection.aggregates(lambda: printing.announce(args)):
        if args.json:
            found = aggregate_object(aggregate, top=args.top, sort="total", histogram=True)
            printing.data(aggregate, found)
        else:
            # Each time: the window may have another size by now.
            columns = shutil.get_terminal_size(_NO_TERMINAL).columns
            top = TOP if args.top is None else args.top
            printing.text(args, aggregate, latency_lines(aggregate, top=top, columns=columns))
    return collection.status
