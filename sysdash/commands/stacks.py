"""``sysdash stacks``: where time is spent blocked inside system calls, by stack."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace

from sysdash import blocking
from sysdash.aggregates import Accumulator, Aggregate
from sysdash.blocking import BlockedStack, BlockTally
from sysdash.collector import Source
from sysdash.commands import printing
from sysdash.commands.collecting import Collection
from sysdash.commands.files import Target
from sysdash.commands.lookups import Lookups
from sysdash.config import ConfigError
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.probes import capabilities
from sysdash.report import flame, stackfiles
from sysdash.report.losses import closed_line
from sysdash.report.stacks import (
    LOSSES,
    TOP,
    beginning,
    has_nameless,
    missing,
    stack_lines,
    sums,
    written,
)
from sysdash.units import safe


def run(args: argparse.Namespace) -> int:
    """Add up until the end, print every interval, write the files, and return the exit code.

    Raises:
        CannotCollect: this machine or user cannot, or a file cannot be written.
        CannotRun: there is no such command.
        ConfigError: a file could not be written.
    """
    return _Run(args).run()


class _Run:
    """One run of the command."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._svg = Target(args.svg) if args.svg else None
        self._speedscope = Target(args.speedscope) if args.speedscope else None
        self._targets = [target for target in (self._svg, self._speedscope) if target]
        if args.folded + sum(target.is_output for target in self._targets) > 1:
            raise ConfigError(
                "only one of --folded, --svg and --speedscope can go to the standard output"
            )
        # What else would be printed goes to standard error.
        self._data = args.folded or any(target.is_output for target in self._targets)
        self._collection = Collection(args, data=self._data, open_source=self._open_source)

    def run(self) -> int:
        # Of the calls themselves nothing is asked but what was lost.
        accumulator = Accumulator(("syscall",), timed=False)
        # How long a time off the CPU is, is known when it ends.
        tally = BlockTally(still=not self._args.ended and self._args.max_ns is None)
        lookups = Lookups(self._args.by)
        last: tuple[list[BlockedStack], Aggregate] | None = None
        closed, nameless = 0, False
        with closing(self._collection.snapshots(self._begin, live=False)) as snapshots:
            for snapshot, complete in snapshots:
                accumulator.add(snapshot)
                tally.add(snapshot)
                closed = snapshot.in_flight_unreadable
                interval = accumulator.take() if complete else None
                if interval is None:
                    continue
                # Here, where the programs are still known.
                stacks = lookups.stacks(tally.take())
                nameless |= has_nameless(stacks)
                if self._targets:
                    last = stacks, interval
                else:
                    self._print(stacks, interval)
        if last is not None:
            self._write(*last)
        # What is blocked since before the start is left out with --ended.
        _tell_hidden(0 if self._args.ended else closed, nameless=nameless)
        return self._collection.status

    def _open_source(self, filters: Filters) -> Source:
        # Only here: bcc takes a while to import.
        from sysdash.probes.source import BpfSource

        args = self._args
        rule = blocking.rule(
            args.min_ns,
            args.max_ns,
            user=not args.kernel_stacks_only,
            kernel=not args.user_stacks_only,
        )
        return BpfSource(filters, default_threshold_ns=None, blocks=rule)

    def _begin(self) -> None:
        args = self._args
        line = beginning(
            user=not args.kernel_stacks_only, kernel=not args.user_stacks_only, ended=args.ended
        )
        if not self._data:
            printing.show([line])
        elif sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)

    # --- Text ---

    def _print(self, stacks: Sequence[BlockedStack], interval: Aggregate) -> None:
        if self._args.folded:
            printing.show(stackfiles.folded(stacks))
            _tell_losses(interval)
        else:
            self._print_text(stacks, interval)

    def _print_text(self, stacks: Sequence[BlockedStack], interval: Aggregate) -> None:
        top = TOP if self._args.top is None else self._args.top
        lines = stack_lines(
            stacks, interval_s=interval.interval_s, top=top, columns=printing.columns()
        )
        self._show([f"[{printing.clock(interval)}]", *lines, ""], interval)

    def _show(self, lines: Iterable[str], interval: Aggregate) -> None:
        # Not in the line where the terminal shows ^C.
        apart = [""] if self._collection.interrupted and sys.stdout.isatty() else []
        printing.show([*apart, *lines])
        _tell_losses(interval)

    # --- Files ---

    def _write(self, stacks: Sequence[BlockedStack], interval: Aggregate) -> None:
        """Write the files; where one cannot be, the result is printed, so that it is not lost."""
        failed: CannotCollect | None = None
        for target, pieces in self._files(stacks, interval):
            try:
                target.write(pieces)
            except CannotCollect as error:
                failed = failed or error
            else:
                print(f"wrote {target.name}: {written(stacks)}", file=sys.stderr, flush=True)
        if self._args.folded or (failed and not self._data):
            self._print(stacks, interval)
        elif not self._data:
            self._show([sums(stacks, interval.interval_s)], interval)
        else:
            _tell_losses(interval)
        if failed:
            raise failed

    def _files(
        self, stacks: Sequence[BlockedStack], interval: Aggregate
    ) -> Iterable[tuple[Target, Iterable[str]]]:
        given = self._args.title
        title = "Time blocked in system calls" if given is None else safe(given)
        if self._svg:
            subtitle = f"{sums(stacks, interval.interval_s)}, until {printing.clock(interval)}"
            yield self._svg, [flame.svg(stacks, title=title, subtitle=subtitle)]
        if self._speedscope:
            yield self._speedscope, stackfiles.speedscope(stacks, name=title)


def _tell_losses(interval: Aggregate) -> None:
    """Say on standard error what is missing of the stacks, and which calls."""
    words = missing(interval.lost)
    if words:
        printing.tell(words)
    others = {name: count for name, count in interval.lost.items() if name not in LOSSES}
    printing.tell_losses(replace(interval, lost=others))


def _tell_hidden(closed: int, *, nameless: bool) -> None:
    """Say on standard error what this user was not shown.

    Args:
        closed: threads that could not be looked into.
        nameless: whether functions of the kernel have no names.
    """
    words = closed_line(closed, capabilities.missing_to_look())
    if words:
        printing.tell(words)
    why = capabilities.without_kernel_names() if nameless else ""
    if why:
        printing.tell(f"the kernel's functions have no names ({why})")
