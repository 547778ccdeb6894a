"""``sysdash top``: the live dashboard."""

from __future__ import annotations

import argparse
import errno
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from sysdash import app, syscalls
from sysdash.arguments import Signatures, of_formats
from sysdash.collector import Collector, Source
from sysdash.commands.words import WAITING, by_number
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.history import History
from sysdash.probes import capabilities, tracefs
from sysdash.story import Teller
from sysdash.units import bytes_, fit, safe, width
from sysdash.workload import Tail, Workload

_CGROUP_COLUMNS = 20
_COMMAND_COLUMNS = 30

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
        keep_slow=settings.slow_keep, max_bytes=settings.history_memory_mb * 1_000_000
    )

    signatures = Signatures(of_formats(tracefs.formats()))
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
        )
        if workload is not None:
            try:
                workload.release(lambda: collector is not None and collector.stopping)
            except BaseException:
                source.close()
                raise
        end = time.monotonic() + (args.duration_s or math.inf)
        return source

    def collect(wake: Callable[[], None]) -> Collector:
        nonlocal collector
        collector = Collector(open_source, settings.interval_s, history.append, wake)
        return collector

    def done() -> bool:
        return time.monotonic() >= end or (workload is not None and workload.poll() is not None)

    with ExitStack() as stack:
        if args.command:
            workload = stack.enter_context(_behind(args.command))
        app.run(
            collect,
            history,
            interval_s=settings.interval_s,
            sort=settings.sort,
            theme=settings.theme,
            display=settings.display,
            limits=describe(filters, args.command),
            most=args.top,
            tell=Teller(signatures).tell,
            done=None if workload is None and args.duration_s is None else done,
        )
    return 0 if workload is None else workload.terminate()


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


def describe(filters: Filters, command: Sequence[str] = ()) -> str:
    """What the filters let through, in a few words for the header; empty where all is collected."""
    words = []
    for name, values in (
        ("pid", filters.pids),
        ("tid", filters.tids),
        ("ppid", filters.ppids),
        ("comm", [safe(comm) for comm in filters.comms]),
        ("cgroup", [_short(path) for path in filters.cgroups]),
        ("", _names(filters.syscalls)),
        ("", [f"!{name}" for name in _names(filters.not_syscalls)]),
        ("", [*map(syscalls.errno_name, filters.errnos)]),
        ("", ["failures"] if filters.failures else []),
    ):
        if values:
            words.append(f"{name} {','.join(map(str, values))}".strip())
    if command:
        words.append(fit(safe(" ".join(["--", *command])), _COMMAND_COLUMNS))
    return " ".join(words)


def _short(path: str) -> str:
    """A cgroup's path, or of a long one the end."""
    text = safe(path)
    return (
        text
        if width(text) <= _CGROUP_COLUMNS
        else fit(f"…/{safe(Path(path).name)}", _CGROUP_COLUMNS)
    )


def _names(numbers: tuple[tuple[int, int], ...]) -> list[str]:
    """Each syscall's name once, though it has a number in every ABI; one word for a class."""
    waiting = {*syscalls.waiting()}
    head = []
    if waiting <= {*numbers}:
        head, numbers = [WAITING], tuple(number for number in numbers if number not in waiting)
    return head + list(dict.fromkeys(syscalls.name(nr, abi) or str(nr) for nr, abi in numbers))
