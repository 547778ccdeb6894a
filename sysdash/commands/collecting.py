"""What the command-line tools share: collect, and end as a tool ends."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from sysdash.collector import Source
from sysdash.commands import printing
from sysdash.commands.intervals import Intervals, forget
from sysdash.commands.lifetimes import Lifetimes
from sysdash.filters import Filters
from sysdash.interrupts import ENDING, held_back
from sysdash.model import Snapshot, derive
from sysdash.probes import capabilities
from sysdash.units import fit, safe
from sysdash.workload import Workload

_READ_S = 1.0
"""The probe is read after this time at the latest, so that its rows are few."""

_LIVE_S = 0.1
"""The same, where somebody waits for what is read."""

_WATCH_S = 0.1
"""How often it is looked whether the processes of the filters are still there."""

_SILENT_S = 1.0
"""How long a command may go on after Ctrl-C before the user is told who is waited for."""

_NAMES_COLUMNS = 60

_SAME_MOMENT_S = 0.001
"""An interval that would end so shortly before the duration ends with it."""


def intervals(
    args: argparse.Namespace,
    by: Sequence[str],
    *,
    timed: bool = True,
    off_cpu: bool = False,
    data: bool = False,
) -> Intervals:
    """What a command that adds up calls prints from: a recording, or else a run of the probe.

    The arguments are those of :class:`Collection` and of
    :class:`sysdash.commands.recorded.Recorded`.

    Raises:
        CannotCollect: the recording cannot be read, or has nothing of what is wanted.
    """
    if args.from_file is None:
        return Collection(args, by, timed=timed, off_cpu=off_cpu, data=data)
    # Only here: others need not wait for what reads recordings to be imported.
    from sysdash.commands.recorded import Recorded

    return Recorded(args, by, timed=timed, off_cpu=off_cpu)


class Collection(Intervals):
    """One run of the probe for a command-line tool; its exit code is the command's, or 0."""

    def __init__(
        self,
        args: argparse.Namespace,
        by: Sequence[str] = (),
        *,
        timed: bool = True,
        off_cpu: bool = False,
        data: bool = False,
        open_source: Callable[[Filters], Source] | None = None,
    ) -> None:
        """Prepare; nothing happens yet.

        Args:
            args: of a command that collects, with ``filters``, ``command``, ``interval_s`` and
                ``duration_s``.
            by: what calls are grouped by, of :data:`sysdash.model.KEYS`, for :meth:`aggregates`.
            timed: whether to measure the time in calls.
            off_cpu: whether to measure also how much of it the callers are off the CPU.
            data: whether what is printed is for programs: then what the command writes to standard
                output goes to standard error.
            open_source: makes the source; by default the probe, without slow calls.
        """
        super().__init__(by, timed=timed)
        self._open_source = open_source or self._open_plain_source
        self._filters: Filters = args.filters
        self._command: list[str] = args.command
        self._interval_s: float | None = args.interval_s
        self._duration_s: float = args.duration_s or math.inf
        self._off_cpu = off_cpu
        self._command_output = sys.stderr.fileno() if data else None
        self._signals = {n for n in ENDING if signal.getsignal(n) is not signal.SIG_IGN}
        if self._command:
            self._signals.add(signal.SIGCHLD)
        self._counted = 0

    def snapshots(
        self, ready: Callable[[], None], *, live: bool = True
    ) -> Generator[tuple[Snapshot, bool], None, None]:
        """Collect, and yield snapshots, and whether an interval ends with each.

        The last one is the end: that of the duration, of the command or of all processes or threads
        that the filters name, or SIGINT, SIGTERM or SIGHUP. To a command, the first of these is
        passed on, unless the terminal has sent it to both, and collecting goes on until the command
        ends; the second one ends both. A generator that is closed early ends the command too.

        Args:
            ready: called when the probe is attached, before the command begins.
            live: whether somebody waits for what is in them: then there are ten a second, and one
                otherwise.

        Raises:
            CannotCollect: this machine, or user, or command cannot.
            CannotRun: there is no such command.
            KeyboardInterrupt: SIGINT came before there was anything to yield.
        """
        return self._collect(ready, _LIVE_S if live else _READ_S)

    def _collect(
        self, ready: Callable[[], None], read_s: float
    ) -> Generator[tuple[Snapshot, bool], None, None]:
        capabilities.require_privileges()
        with held_back(self._signals), ExitStack() as at_last, ExitStack() as stack:
            filters, workload = self._filters, None
            lifetimes = stack.enter_context(Lifetimes(filters))
            if self._command:
                # Before bcc is loaded: this is the moment when the process is smallest.
                workload = stack.enter_context(Workload(self._command, output=self._command_output))
                filters = replace(filters, command=workload.pid)
            source = self._open_source(filters)
            stack.callback(source.close)
            if signal.sigpending() & set(ENDING) & self._signals:
                return  # they are let go now, and do what they do to any program
            at_last.callback(forget, self._signals)
            ready()
            if workload is not None:
                workload.release(lambda: bool(signal.sigpending() & set(ENDING)))
            yield from self._read(source, workload, lifetimes, read_s)
            if workload is None and not self._counted:
                _tell_of_nothing(filters)

    def _open_plain_source(self, filters: Filters) -> Source:
        # Only here: bcc takes a while to import.
        from sysdash.probes.source import BpfSource

        return BpfSource(
            filters,
            default_threshold_ns=None,
            by_tid="tid" in self._by,
            timed=self._timed,
            off_cpu=self._off_cpu,
            cgroups="cgroup" in self._by,
        )

    def _read(
        self, source: Source, workload: Workload | None, lifetimes: Lifetimes, read_s: float
    ) -> Generator[tuple[Snapshot, bool], None, None]:
        lost: Mapping[str, int] = MappingProxyType({})

        def taken() -> Snapshot:
            nonlocal lost
            snapshot = derive(source.read(), lost)
            lost = snapshot.lost
            inside = len(snapshot.in_flight) + len(snapshot.blocked)
            self._counted += int(snapshot.calls.count.sum()) + inside
            return snapshot

        start = time.monotonic()
        end = start + self._duration_s
        interval_s = math.inf if self._interval_s is None else self._interval_s
        intervals, due = 1, start + interval_s
        read_at, look_at = start + read_s, start
        watch_s = _WATCH_S if lifetimes else math.inf
        tell_at = math.inf
        warned = ended = False
        while not ended:
            if due > end - _SAME_MOMENT_S:
                due = math.inf
            wait_s = min(due, end, read_at, look_at, tell_at) - time.monotonic()
            got = signal.sigtimedwait(self._signals, max(min(wait_s, watch_s), 0.0))
            if got is not None and got.si_signo in ENDING:
                ended = warned or workload is None
                warned = True
                if got.si_signo == signal.SIGINT:
                    self.interrupted = True
                    tell_at = time.monotonic() + _SILENT_S
                # From the terminal the command got it, too.
                if workload is not None and got.si_code <= 0:
                    workload.send(got.si_signo)
            now = time.monotonic()
            ended |= now >= end or (workload is not None and workload.poll() is not None)
            over = None if ended else lifetimes.over()
            if over:
                printing.tell(over)
                ended = True
            if now >= tell_at and not ended:
                tell_at = math.inf
                if sys.stderr.isatty():
                    print(file=sys.stderr)  # not in the line where the terminal shows ^C
                    printing.tell("waiting for the command to end; Ctrl-C again ends it")
            if not ended and now >= min(due, read_at):
                read_at = now + read_s
                yield taken(), now >= due
            if not ended and now >= due:
                # Those that were missed while the last one was printed are not made good.
                intervals = max(intervals, int((time.monotonic() - start) / interval_s)) + 1
                due = start + intervals * interval_s
            look_at = time.monotonic() + source.relieve()
        last = taken()
        if workload is not None:
            self.status = workload.terminate()
        yield last, True


def _tell_of_nothing(filters: Filters) -> None:
    """Say that nothing was counted because of the filters, if there are any."""
    if replace(filters, include_self=False) == Filters():
        return
    absent = _absent(filters.comms)
    names = fit(safe(" or ".join(absent)), _NAMES_COLUMNS)
    hint = f" (no process is called {names}: names are whole, of 15 bytes)" if absent else ""
    printing.tell(f"no call passed the filters{hint}")


def _absent(comms: Sequence[str]) -> list[str]:
    """The names that no process has now."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/comm") if comms else ():
        try:
            found.add(os.fsdecode(file.read_bytes().removesuffix(b"\n")))
        except OSError:
            continue  # ended since it was listed
    return [comm for comm in comms if comm not in found]
