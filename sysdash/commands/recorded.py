"""What a recording has for a command-line tool: snapshots in intervals of the time then."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from sysdash.commands import printing
from sysdash.commands.intervals import Intervals, forget
from sysdash.commands.progress import Progress
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.interrupts import ENDING, held_back
from sysdash.model import Snapshot, derive
from sysdash.moments import Outside, between, spoken
from sysdash.packing import Damaged, unpack
from sysdash.recording import Facts, Recording
from sysdash.recording.format import named
from sysdash.selection import Selection, Thresholds, Wanted
from sysdash.timeline import Ints, Timeline, Window

_NAME_COLUMNS = 60


class Recorded(Intervals):
    """A recording, or a piece of it, in place of a run of the probe.

    Attributes:
        facts: what is known of how it was recorded.
        thresholds: how long slow calls and calls in flight must have taken; None for as long as
            then. May be set before anything is read.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        by: Sequence[str] = (),
        *,
        timed: bool = True,
        off_cpu: bool = False,
        slow: bool = False,
        last: bool = False,
    ) -> None:
        """Open it.

        Args:
            args: of a command that reads one, with ``from_file``, ``since``, ``until``,
                ``filters``, ``interval_s`` and ``duration_s``.
            by: what calls are grouped by, of :data:`sysdash.model.KEYS`, for :meth:`aggregates`.
            timed: whether the time in calls is wanted.
            off_cpu: whether it is wanted how much of it the callers were off the CPU.
            slow: whether it is about slow calls, and calls in flight, and not about their sums.
            last: whether only the end is wanted.

        Raises:
            CannotCollect: it cannot be read, or has nothing of what is wanted.
        """
        super().__init__(by, timed=timed)
        self._name = named(args.from_file)
        self.thresholds: Thresholds | None = None
        self._off_cpu, self._slow = off_cpu, slow
        self._filters: Filters = args.filters
        self._recording = Recording(args.from_file)
        try:
            self.facts: Facts = self._recording.facts
            self._require_what_is_wanted()
            timeline = self._recording.timeline
            window = between(args.since, args.until, timeline.span)
            inside = recorded_in(timeline, window)
            self._steps, self._numbers = steps(
                timeline, inside[-1:] if last else inside, args.interval_s, args.duration_s
            )
        except Outside as error:
            self.close()
            raise CannotCollect(f"{self._name} {error}") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it, where nothing is read of it; otherwise that is done at the end."""
        self._recording.close()

    def _require_what_is_wanted(self) -> None:
        facts, name = self.facts, self._name
        if self._timed and not facts.timed:
            raise CannotCollect(f"{name} has no times, as its calls were only counted")
        if self._off_cpu and not facts.off_cpu:
            raise CannotCollect(f"{name} was recorded without --off-cpu")
        by_tid = "tid" in self._by or (self._filters.tids and not self._slow)
        if by_tid and not facts.by_tid:
            raise CannotCollect(f"{name} was recorded without --threads")

    def snapshots(
        self, ready: Callable[[], None], *, live: bool = True
    ) -> Generator[tuple[Snapshot, bool], None, None]:
        """Read, and yield snapshots, and whether an interval ends with each; the last is the end.

        SIGINT, SIGTERM and SIGHUP end it with what has been read. Steps that are damaged are left
        out, which is told at the end.

        Args:
            ready: called before anything is read.
            live: whether somebody waits for what is in each of them, and not for their sum.

        Raises:
            CannotCollect: all of it is damaged.
            KeyboardInterrupt: SIGINT came before there was anything to yield.
        """
        signals = {number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN}
        progress = Progress()
        with closing(self._recording), held_back(signals), ExitStack() as at_last:
            at_last.callback(forget, signals)
            at_last.callback(progress.clear)
            if self.facts.limits and sys.stderr.isatty():
                printing.tell(f"{self._name} has only {self.facts.limits}")
            ready()
            found: tuple[Snapshot, int] | None = None
            counted = 0
            for snapshot, interval in self._read(signals, progress):
                counted += int(snapshot.calls.count.sum()) + len(snapshot.in_flight)
                counted += len(snapshot.slow)
                if found is not None:
                    complete = found[1] != interval
                    if complete or live:
                        progress.clear()
                    yield found[0], complete
                found = snapshot, interval
            progress.clear()
            if found is None:
                if self.interrupted:
                    raise KeyboardInterrupt
                raise CannotCollect(f"all that {self._name} has of this time is damaged")
            yield found[0], True
            if not counted and replace(self._filters, include_self=False) != Filters():
                printing.tell("no call passed the filters")

    def _read(
        self, signals: set[signal.Signals], progress: Progress
    ) -> Generator[tuple[Snapshot, int], None, None]:
        """What can be read, each with the number of its interval."""
        wanted = Wanted(
            self._filters,
            slow=self._slow,
            thresholds=self.thresholds,
            off_cpu=self._off_cpu,
            threads="tid" in self._by,
        )
        selection = Selection(wanted, by_tid=self.facts.by_tid)
        lost: Mapping[str, int] = MappingProxyType({})
        end_ns = self._recording.timeline.end_ns
        last_ns = int(end_ns[self._steps[-1]])
        damaged = 0
        for step, number in zip(self._steps, self._numbers, strict=True):
            got = signal.sigtimedwait(signals, 0) if signals else None
            if got is not None:
                self.interrupted = got.si_signo == signal.SIGINT
                break
            if progress.due:
                progress.show(f"reading {_clock(int(end_ns[step]))} of {_clock(last_ns)}")
            try:
                if self._slow:
                    sample = self._recording.sample(step)
                else:
                    sample = unpack(self._recording.packed(step))
            except Damaged:
                damaged += 1
                continue
            snapshot = derive(selection.of(sample), lost)
            lost = snapshot.lost
            yield snapshot, int(number)
        if damaged:
            progress.clear()
            one = damaged == 1
            printing.tell(
                f"{damaged:,} interval{'' if one else 's'} of {self._name} "
                f"{'is' if one else 'are'} damaged, and left out"
            )


def recorded_in(timeline: Timeline, window: Window) -> range:
    """Numbers of the steps whose middle lies in a window, or of one that is at least in part.

    Not by their ends: live, steps end a moment after the second does that they are meant for.

    Raises:
        Outside: nothing was recorded there.
    """
    middle = timeline.begin_ns + (timeline.end_ns - timeline.begin_ns) // 2
    first, last = np.searchsorted(middle, [window.begin_ns, window.end_ns], side="right")
    if first < last:
        return range(int(first), int(last))
    step = timeline.at(window.end_ns)
    if (
        int(timeline.begin_ns[step]) < window.end_ns
        and int(timeline.end_ns[step]) > window.begin_ns
    ):
        return range(step, step + 1)
    raise Outside(f"has nothing from {spoken(window)}, only from {spoken(timeline.span)}")


def steps(
    timeline: Timeline, inside: range, interval_s: float | None, duration_s: float | None
) -> tuple[range, Ints]:
    """Which steps of a recording are read, and the number of the interval each belongs to.

    That is where the middle of the step lies. Intervals without a step are left out.

    Args:
        timeline: of the recording.
        inside: the steps that are asked for, at least one.
        interval_s: the length of intervals; None for one that is as long as everything.
        duration_s: how much of the recorded time is read; None for all.
    """
    begin, end = (each[inside.start : inside.stop] for each in (timeline.begin_ns, timeline.end_ns))
    middle_s = ((begin - begin[0]) + (end - begin) / 2) / 1e9
    if duration_s is not None:
        # What is shorter than a step is a step.
        middle_s = middle_s[: max(int(np.searchsorted(middle_s, duration_s)), 1)]
    read = inside[: len(middle_s)]
    if interval_s is None:
        return read, np.zeros(len(read), dtype=np.int64)
    return read, np.floor(middle_s / interval_s).astype(np.int64)


def _clock(time_ns: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time_ns // 1_000_000_000))
