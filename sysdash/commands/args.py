"""``sysdash args``: which values an argument or the return value of a system call has."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from dataclasses import replace
from types import MappingProxyType

from sysdash.aggregates import Accumulator
from sysdash.arguments import Signatures, of_formats
from sysdash.collector import Source
from sysdash.commands import printing
from sysdash.commands.collecting import Collection
from sysdash.config import ConfigError
from sysdash.filters import Filters
from sysdash.probes import tracefs
from sysdash.quantity import Quantity, Tally, find
from sysdash.report.args import TOP, args_lines, args_object, beginning


def run(args: argparse.Namespace) -> int:
    """Count until the end, print every interval, and return the exit code.

    Raises:
        CannotCollect: this machine or user cannot.
        CannotRun: there is no such command.
        ConfigError: the call has no such argument, or is left out.
    """
    quantity = _quantity(args)
    top = TOP if args.top is None else args.top

    def begin() -> None:
        if not args.json:
            printing.show([beginning(quantity, failures=args.failures, top=top)])

    def open_source(filters: Filters) -> Source:
        # Only here: bcc takes a while to import.
        from sysdash.probes.source import BpfSource

        only = replace(filters, syscalls=quantity.numbers, not_syscalls=())
        return BpfSource(only, default_threshold_ns=None, timed=False, value=quantity.rule)

    collection = Collection(args, data=args.json, open_source=open_source)
    # Of the calls themselves nothing is asked but what was lost.
    accumulator = Accumulator(("syscall",), timed=False)
    tally = Tally()
    with closing(collection.snapshots(begin, live=False)) as snapshots:
        for snapshot, complete in snapshots:
            accumulator.add(snapshot)
            tally.add(snapshot.values)
            interval = accumulator.take() if complete else None
            if interval is None:
                continue
            values, refused = tally.take()
            lost = {**interval.lost, "values": interval.lost.get("values", 0) + refused}
            interval = replace(interval, lost=MappingProxyType(lost))
            if args.json:
                printing.data(interval, args_object(quantity, values, interval, top=args.top))
            else:
                lines = args_lines(
                    quantity,
                    values,
                    interval_s=interval.interval_s,
                    top=top,
                    columns=printing.columns(),
                )
                # Not in the line where the terminal shows ^C.
                apart = [""] if collection.interrupted and sys.stdout.isatty() else []
                printing.show([*apart, f"[{printing.clock(interval)}]", *lines, ""])
                printing.tell_losses(interval)
    return collection.status


def _quantity(args: argparse.Namespace) -> Quantity:
    """What is counted, of the calls that the filters pass."""
    syscall, argument = args.what
    signatures = Signatures(of_formats(tracefs.formats()))
    try:
        quantity = find(signatures, syscall, argument, histogram=args.histogram)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    filters: Filters = args.filters
    numbers = filters.passing(quantity.numbers)
    if not numbers:
        raise ConfigError(f"--syscall leaves out {syscall}, whose values are asked for")
    return replace(quantity, numbers=numbers)
