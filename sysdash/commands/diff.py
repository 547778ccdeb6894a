"""``sysdash diff``: what has changed between two recordings, or two pieces of one."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self

from sysdash.commands import printing, words
from sysdash.commands.progress import Progress
from sysdash.commands.recorded import recorded_in
from sysdash.comparison import BY, Comparison, compare
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.model import table_of
from sysdash.moments import Moment, Outside, between, spoken
from sysdash.packing import Damaged, unpack
from sysdash.recording import Facts, Recording
from sysdash.report.diff import TOP, Source, Told, diff_lines, diff_object
from sysdash.report.losses import lost_line
from sysdash.selection import Selection, Wanted
from sysdash.tally import Tally
from sysdash.units import fit, safe

_NAME_COLUMNS = 60

_FACTS: tuple[tuple[str, Callable[[Facts], str]], ...] = (
    ("hosts", lambda facts: facts.host),
    ("kernels", lambda facts: facts.kernel),
    ("CPUs", lambda facts: str(facts.cpus)),
    ("filters", lambda facts: facts.limits or "none"),
    ("thresholds of slow calls", lambda facts: facts.thresholds or "none"),
    ("times", lambda facts: "measured" if facts.timed else "not measured"),
    ("times off the CPU", lambda facts: "measured" if facts.off_cpu else "not measured"),
    ("intervals", lambda facts: f"{facts.interval_s:g} s"),
)
"""What makes two recordings hard to compare where it differs."""


def run(args: argparse.Namespace) -> int:
    """Compare, print, and return the exit code."""
    before: tuple[str, Moment | None, Moment | None] = args.before
    file, since, until = args.after
    by = tuple(args.by) or BY
    filters = words.filters(args)
    with ExitStack() as at_last:
        sides = [
            at_last.enter_context(_Side(*piece, by=by, filters=filters))
            for piece in (before, (file or before[0], since, until))
        ]
        progress = Progress()
        at_last.callback(progress.clear)
        steps = sum(len(side.steps) for side in sides)
        done = 0
        for side in sides:
            side.read(progress, done, steps)
            done += len(side.steps)
        comparison = compare(*(side.tally for side in sides))
    told = _told(comparison, sides)
    top: int | None = args.top
    if args.json:
        printing.objects([diff_object(told, top=top, sort=args.sort, noise=args.all)])
    else:
        printing.show(
            diff_lines(
                told,
                top=TOP if top is None else top,
                sort=args.sort,
                noise=args.all,
                columns=printing.columns(),
                colours=_colours(),
            )
        )
    return 0


def _colours() -> bool:
    """Whether what reads the output shows colours, and its user wants some."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") not in ("dumb", "vt100")
    )


class _Side:
    """A recording, or a piece of it, that is added up. A context manager.

    Attributes:
        path: the file.
        name: the same for a message.
        facts: of the recording.
        steps: the numbers of its intervals.
        tally: what has been read.
        lost: what was lost in it.
        cgroups: paths of cgroups by their ids, where they are asked for.
        damaged: how many intervals could not be read.
    """

    def __init__(
        self,
        file: str,
        since: Moment | None,
        until: Moment | None,
        *,
        by: tuple[str, ...],
        filters: Filters,
    ) -> None:
        self.path = file
        self.name = fit(safe(file), _NAME_COLUMNS)
        self._recording = Recording(file)
        try:
            self.facts = self._recording.facts
            timeline = self._recording.timeline
            self.steps = recorded_in(timeline, between(since, until, timeline.span))
            self._require(by)
        except Outside as error:
            self._recording.close()
            raise CannotCollect(f"{self.name} {error}") from None
        except BaseException:
            self._recording.close()
            raise
        self._selection = Selection(Wanted(filters, threads="tid" in by), by_tid=self.facts.by_tid)
        self.tally = Tally(by)
        self.lost: Counter[str] = Counter()
        self.cgroups: dict[int, str] = {}
        self.damaged = 0

    def _require(self, by: tuple[str, ...]) -> None:
        if "tid" in by and not self.facts.by_tid:
            raise CannotCollect(f"{self.name} does not tell the threads of a process apart")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._recording.close()

    def read(self, progress: Progress, done: int, steps: int) -> None:
        """Read all of it.

        Args:
            progress: what tells how far it is.
            done: intervals that were read before.
            steps: how many are read in all.

        Raises:
            CannotCollect: all of it is damaged.
        """
        for place, step in enumerate(self.steps):
            if progress.due:
                progress.show(f"reading {self.name}: {(done + place) / steps:.0%}")
            try:
                sample = self._selection.of(unpack(self._recording.packed(step)))
            except Damaged:
                self.damaged += 1
                continue
            self.tally.add(table_of(sample.rows, sample.interval_ns / 1e9), sample.time_ns)
            self.lost.update(sample.lost)
            if "cgroup" in self.tally.by:
                self.cgroups.update(sample.cgroups)
        if not self.tally.intervals:
            raise CannotCollect(f"all that {self.name} has of this time is damaged")


def _told(comparison: Comparison, sides: Sequence[_Side]) -> Told:
    sources = [
        Source(safe(side.path), side.facts.host, side.facts.kernel, spoken(piece.window), side.lost)
        for side, piece in zip(sides, (comparison.before, comparison.after), strict=True)
    ]
    return Told(
        comparison,
        (sources[0], sources[1]),
        _warnings(sides),
        {**sides[0].cgroups, **sides[1].cgroups},
    )


def _warnings(sides: Sequence[_Side]) -> list[str]:
    """What makes the two hard to compare."""
    warnings = []
    for what, fact in _FACTS:
        before, after = (fact(side.facts) for side in sides)
        if before != after:
            warnings.append(f"{what} differ: {before} before, {after} after")
    for name, side in zip(("before", "after"), sides, strict=True):
        lost = lost_line(side.lost).removeprefix("sysdash: lost: ")
        if lost:
            warnings.append(f"lost {name}: {lost}")
        if side.damaged:
            one = side.damaged == 1
            warnings.append(
                f"{side.damaged:,} interval{'' if one else 's'} {name} "
                f"{'is' if one else 'are'} damaged, and left out"
            )
    first, second = sides
    same = os.path.realpath(first.path) == os.path.realpath(second.path)
    if same and set(first.steps) & set(second.steps):
        warnings.append("the two times overlap")
    return warnings
