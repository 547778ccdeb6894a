"""``sysdash top``: the live dashboard."""

from __future__ import annotations

import argparse
import errno
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from sysdash import syscalls, terminal
from sysdash.arguments import Signatures, of_formats
from sysdash.collector import Collector, Source
from sysdash.commands import printing
from sysdash.commands.described import describe
from sysdash.commands.record import ending, thresholds_in_words
from sysdash.commands.taping import Taping
from sysdash.commands.words import by_number
from sysdash.distribution import Question
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.history import History
from sysdash.model import Filter, Snapshot
from sysdash.probes import capabilities, tracefs
from sysdash.recording import Facts
from sysdash.story import Teller
from sysdash.units import bytes_, fit, safe
from sysdash.valuing import Publish, Wake
from sysdash.workload import Tail, Workload

_OF_LATE = 120
"""Intervals in which a process is looked for."""

_FILE_COLUMNS = 60

_MOST_OUTPUT = 256 * 1024
"""Bytes that are kept of what a command writes while the dashboard has the terminal."""


def run(args: argparse.Namespace) -> int:
    """Show the dashboard until the user leaves it, or its time or its command is over.

    Returns:
        The exit code: that of the command, if there is one.

    Raises:
        CannotCollect: this machine, user or terminal cannot.
        CannotRun: there is no such command.
    """
    settings, filters = args.settings, args.filters
    capabilities.require_privileges()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CannotCollect(
            "the dashboard needs a terminal", "Run it in one, without a pipe (ssh needs -t)"
        )
    history = History(
        settings.slow_keep,
        settings.history_memory_mb * 1_000_000,
        settings.history_minutes * 60,
    )

    signatures = Signatures(of_formats(tracefs.formats()))
    limits = describe(filters, args.command)
    taping = Taping(
        lambda: Facts.here(
            settings.interval_s,
            limits=limits,
            thresholds=thresholds_in_words(settings),
            stacks=settings.slow_stacks,
            off_cpu=args.off_cpu,
            per_second=settings.slow_per_second,
        ),
        args.record,
    )
    workload: Workload | None = None
    collector: Collector | None = None
    # The time to load the probe is not the user's.
    end = math.inf

    def open_source() -> Source:
        nonlocal end
        # Only here: bcc takes a while to import, and the screen is drawn meanwhile.
        from sysdash.probes.source import BpfSource, Stories

        source = BpfSource(
            filters if workload is None else replace(filters, command=workload.pid),
            by_number(settings.thresholds_ns),
            default_threshold_ns=settings.threshold_ns,
            slow_per_second=settings.slow_per_second,
            stories=Stories(signatures.reads(), stacks=settings.slow_stacks),
            waiting=syscalls.waiting(),
            off_cpu=args.off_cpu,
        )
        try:
            if args.record is not None:
                taping.start()
            if workload is not None:
                workload.release(lambda: collector is not None and collector.stopping)
        except BaseException:
            source.close()
            raise
        end = time.monotonic() + (args.duration_s or math.inf)
        return source

    def keep(snapshot: Snapshot) -> None:
        taping.add(snapshot, history.append(snapshot))

    def collect(wake: Wake) -> Collector:
        nonlocal collector
        collector = Collector(open_source, settings.interval_s, keep, wake)
        return collector

    def count_values(
        question: Question, interval_s: float, publish: Publish, wake: Wake
    ) -> Collector | str:
        seen = None if workload is None else _seen(history, question.pid)
        try:
            only = narrowed(filters, question, of_command=seen)
        except CannotCollect as error:
            return str(error)

        def open_source() -> Source:
            from sysdash.probes.source import BpfSource

            rule = question.quantity.rule
            return BpfSource(only, default_threshold_ns=None, timed=False, value=rule)

        return Collector(open_source, interval_s, publish, wake)

    def done() -> bool:
        return time.monotonic() >= end or (workload is not None and workload.poll() is not None)

    with ExitStack() as stack:
        stack.callback(_tell_recorded, taping)
        if args.command:
            workload = stack.enter_context(_behind(args.command))
        terminal.run(
            collect,
            history,
            interval_s=settings.interval_s,
            sort=settings.sort,
            theme=settings.theme,
            display=settings.display,
            limits=limits,
            most=args.top,
            tell=Teller(signatures).tell,
            signatures=signatures,
            count_values=count_values,
            done=None if workload is None and args.duration_s is None else done,
            recordings=taping,
        )
    return 0 if workload is None else workload.terminate()


def _tell_recorded(taping: Taping) -> None:
    """Say what was recorded, once the terminal is the shell's again."""
    for status in taping.close():
        lines = [ending(status, fit(safe(status.path), _FILE_COLUMNS))]
        printing.show(lines)
        if status.error:
            printing.tell(f"recording to {safe(status.path)} has ended: {status.error}")


@contextmanager
def _behind(command: Sequence[str]) -> Iterator[Workload]:
    """A command that leaves the terminal to the dashboard; its output is shown afterwards."""
    with Tail(_MOST_OUTPUT) as tail:
        with open(os.devnull) as nothing:  # noqa: PTH123  (opened for its descriptor)
            workload = Workload(command, stdin=nothing.fileno(), output=tail.fileno())
        tail.begin()
        try:
            with workload:
                yield workload
        finally:
            _show(*tail.end())


def _show(output: bytes, cut: int) -> None:
    """Write what a command wrote; nothing if the terminal has gone away."""
    if cut:
        words = f"[{bytes_(cut)} of the command's output are left out here]\n"
        output = words.encode() + output
    left = memoryview(output)
    try:
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]
    except OSError as error:
        if error.errno != errno.EIO:
            raise


def narrowed(filters: Filters, question: Question, *, of_command: bool | None = None) -> Filters:
    """What is collected to answer a question: of what is collected at all, the calls it is about.

    Args:
        filters: those of the command line.
        question: what is asked.
        of_command: where a command's calls alone are collected, whether the question's process is
            known to be one of its. A probe cannot follow a command that has begun, so the question
            must be about one process.

    Raises:
        CannotCollect: no call that is collected is one that the question is about.
    """
    quantity, pid, errno = question.quantity, question.pid, question.errno
    numbers = filters.passing(quantity.numbers)
    if not numbers:
        raise CannotCollect(f"{quantity.syscall} is not collected at all")
    if pid is not None and filters.pids and pid not in filters.pids:
        raise CannotCollect(f"process {pid} is not collected at all")
    if errno is not None and filters.errnos and errno not in filters.errnos:
        raise CannotCollect(f"{syscalls.errno_name(errno)} is not collected at all")
    if of_command is not None and pid is None:
        raise CannotCollect(
            "a command and all that it starts are followed from its start only",
            "Esc, then Enter on one of its processes, or p",
        )
    if of_command is False:
        raise CannotCollect(f"process {pid} has made no call of late that is collected")
    return replace(
        filters,
        syscalls=numbers,
        not_syscalls=(),
        pids=filters.pids if pid is None else (pid,),
        errnos=filters.errnos if errno is None else (errno,),
    )


def _seen(history: History, pid: int | None) -> bool:
    """Whether any call of a process was collected of late."""
    past = history.past
    return past is not None and any(past.rates(Filter(pid=pid), _OF_LATE))
