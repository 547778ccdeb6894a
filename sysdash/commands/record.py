"""``sysdash record``: what is collected goes to a file, for later."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing

from sysdash import syscalls
from sysdash.arguments import Signatures, of_formats
from sysdash.collector import Source
from sysdash.commands import printing
from sysdash.commands.collecting import Collection
from sysdash.commands.described import describe
from sysdash.commands.progress import Progress
from sysdash.commands.words import by_number
from sysdash.config import Settings
from sysdash.filters import Filters
from sysdash.model import Snapshot
from sysdash.probes import tracefs
from sysdash.recording import Existing, Facts, Recorded, Recorder, RecordingSource
from sysdash.units import bytes_, duration, fit, rate, safe

_TELL_S = 1.0

_WATCHED_S = 1.0
"""With intervals of this length or more it is found out what calls in flight are about."""

_NAME_COLUMNS = 60


def run(args: argparse.Namespace) -> int:
    """Record until the end, and return the exit code.

    That is the command's, or 0; or 1 where recording had to end before.

    Raises:
        CannotCollect: this machine or user cannot, or the file cannot be written.
        CannotRun: there is no such command.
    """
    return _Run(args).run()


def thresholds_in_words(settings: Settings) -> str:
    """What is slow, as ``--threshold`` takes it: ``10ms,futex=1ms``."""
    named = [
        f"{name}={_time(ns)}"
        for name, ns in settings.thresholds_ns.items()
        if ns != settings.threshold_ns
    ]
    return ",".join([_time(settings.threshold_ns), *named])


def _time(ns: int | None) -> str:
    if ns is None:
        return "off"
    for unit, per in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns and ns % per == 0:
            return f"{ns // per}{unit}"
    return f"{ns}ns" if ns else "0"


class _Collection(Collection):
    """One that is read once an interval, however long that is."""

    def intervals(self, ready: Callable[[], None]) -> Generator[tuple[Snapshot, bool], None, None]:
        """As :meth:`snapshots`, each a whole interval but the last."""
        return self._collect(ready, math.inf)


class _Source(RecordingSource):
    """One that says how far it is."""

    def __init__(self, source: Source, recorder: Recorder, tell: Callable[[], None]) -> None:
        super().__init__(source, recorder)
        self._tell = tell

    def relieve(self) -> float:
        self._tell()
        return super().relieve()


class _Run:
    """One run of the command."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._name = fit(safe(args.file), _NAME_COLUMNS)
        self._recorder: Recorder | None = None
        self._progress = Progress()
        self._on_terminal = sys.stderr.isatty()
        self._began_s = self._told_s = 0.0
        self._last: Snapshot | None = None
        self._failed = False

    def run(self) -> int:
        collection = _Collection(self._args, open_source=self._open_source)
        with closing(collection.intervals(self._begin)) as snapshots:
            for snapshot, _ in snapshots:
                self._last = snapshot
                self._look_for_failure()
                if self._failed and not self._args.command:
                    break
        self._progress.clear()
        self._look_for_failure()
        apart = collection.interrupted and sys.stdout.isatty()
        if self._recorder is not None:
            # Not in the line where the terminal shows ^C.
            printing.show([*([""] if apart else []), ending(self._recorder.status, self._name)])
        if self._last is not None:
            printing.tell_losses(self._last)
        return collection.status or int(self._failed)

    def _open_source(self, filters: Filters) -> Source:
        # Only here: bcc takes a while to import.
        from sysdash.probes.source import BpfSource, Stories

        args, settings = self._args, self._args.settings
        signatures = Signatures(of_formats(tracefs.formats()))
        source = BpfSource(
            filters,
            by_number(settings.thresholds_ns),
            default_threshold_ns=settings.threshold_ns,
            slow_per_second=settings.slow_per_second,
            stories=Stories(signatures.reads(), stacks=settings.slow_stacks),
            waiting=syscalls.waiting(),
            by_tid=args.threads,
            off_cpu=args.off_cpu,
            cgroups=True,
        )
        # Who looks at it later cannot ask for what was not found out. It takes its time.
        source.watch_in_flight = args.interval_s >= _WATCHED_S
        try:
            self._recorder = Recorder(
                args.file,
                self._facts(),
                existing=_existing(args),
                max_bytes=args.max_bytes,
                max_age_s=args.max_age_s,
            )
        except BaseException:
            source.close()
            raise
        return _Source(source, self._recorder, self._tell)

    def _facts(self) -> Facts:
        args = self._args
        return Facts.here(
            args.interval_s,
            limits=describe(args.filters, args.command),
            thresholds=thresholds_in_words(args.settings),
            stacks=args.settings.slow_stacks,
            by_tid=args.threads,
            off_cpu=args.off_cpu,
            per_second=args.settings.slow_per_second,
        )

    def _begin(self) -> None:
        self._began_s = time.monotonic()
        verb = "Adding" if self._args.append else "Recording"
        printing.show([f"{verb} to {self._name}... Ctrl+C to quit."])

    def _tell(self) -> None:
        """How far it is, once a second, where somebody sees it."""
        now = time.monotonic()
        if not self._on_terminal or not self._began_s or self._failed or self._recorder is None:
            return
        if now - self._told_s >= _TELL_S:
            self._told_s = now
            self._progress.show(
                progress(self._recorder.status, self._last, (now - self._began_s) * 1e9)
            )

    def _look_for_failure(self) -> None:
        error = None if self._recorder is None else self._recorder.status.error
        if error and not self._failed:
            self._failed = True
            self._progress.clear()
            goes_on = "; the command goes on without it" if self._args.command else ""
            printing.tell(f"recording to {self._name} has ended: {error}{goes_on}")


def _existing(args: argparse.Namespace) -> Existing:
    if args.overwrite:
        return Existing.OVERWRITE
    return Existing.APPEND if args.append else Existing.REFUSE


def progress(status: Recorded, last: Snapshot | None, elapsed_ns: float) -> str:
    """One line while it goes on."""
    words = [
        f"recording for {duration(elapsed_ns)}",
        _counted(status.intervals, "interval"),
        bytes_(status.bytes),
    ]
    if last is not None:
        words.append(f"{rate(int(last.calls.count.sum()) / last.interval_s)}/s calls")
        lost = last.lost.get("calls", 0) + last.lost.get("missed", 0)
        words.append(f"lost {lost:,}")
    return ", ".join(words)


def ending(status: Recorded, name: str) -> str:
    """The last line: what was recorded.

    Args:
        status: how far the recorder came.
        name: the file's, safe text.
    """
    words = [
        f"recorded {duration(status.recorded_ns)}",
        _counted(status.intervals, "interval"),
        f"{bytes_(status.bytes)} to {name}",
    ]
    if status.kept < status.intervals:
        words.append(f"which has the last {status.kept:,} of them")
    if status.skipped:
        words.append(f"{_counted(status.skipped, 'interval')} left out, as there was no room")
    if status.stackless:
        words.append(f"{_counted(status.stackless, 'slow call')} without a stack")
    return ", ".join(words)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
