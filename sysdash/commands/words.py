"""The words of the commands: options, their checks, and what they mean as settings and filters.

Nothing heavy is imported here, so that ``--help`` and a wrong word answer at once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from sysdash import config, limits, syscalls
from sysdash.commands import argtypes, groups
from sysdash.config import Settings
from sysdash.filters import Filters
from sysdash.probes import targets

_T = TypeVar("_T")

KEYS = ("syscall", "pid", "tid", "comm", "cgroup", "errno")
"""What ``--by`` takes: :data:`sysdash.model.KEYS`, whose module takes its time to import."""

SUMMARY_MODES = ("total", "process", "thread", "cgroup")
"""What ``--by`` of ``sysdash summary`` takes as well, alone."""

STACKS_BY = ("comm", "pid", "tid")
"""What ``--by`` of ``sysdash stacks`` takes: :data:`sysdash.blocking.BY`."""

PERCENTILE_NOTE = (
    "p50, p90 and p99 come from a histogram with four buckets to an octave: each is\n"
    "at most 1/9 (about 11%) away from the exact one, and within min and max."
)
"""The error bound of percentiles, :data:`sysdash.buckets.QUANTILE_ERROR`, for ``--help``."""

_LEAST_BLOCK_NS = 1000  # as offcputime

_CGROUP_MOUNT = "/sys/fs/cgroup"
"""Where the cgroup v2 hierarchy is mounted almost everywhere (cgroups(7))."""


# --- What each command understands ---


def top(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash top``."""
    groups.configuration(parser)
    show = parser.add_argument_group("what is shown")
    low, high = limits.INTERVAL_S
    show.add_argument(
        "-i",
        "--interval",
        metavar="TIME",
        type=argtypes.seconds(low, high),
        help=f"time between refreshes, {low:g} to {high:g} s, as 2 or 500ms (default: 1)",
    )
    groups.duration(show, f"end after this time{groups.UNITS}")
    groups.top_rows(show, "list at most N syscalls, and as many processes, errors and values")
    show.add_argument("--sort", choices=limits.SORTS, help="order of the syscalls (default: rate)")
    groups.slower(show)
    groups.off_cpu(show)
    groups.appearance(show)
    show.add_argument(
        "--record", metavar="FILE", type=argtypes.file, help="record from the beginning; R ends it"
    )
    groups.filter_options(parser)
    groups.command(parser)


def count(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash count``."""
    groups.configuration(parser)
    show = parser.add_argument_group("what is shown")
    groups.times(show)
    groups.top_rows(show, "the first N rows only (default: 10)")
    show.add_argument("-L", "--latency", action="store_true", help="measure the time in calls too")
    show.add_argument("-m", "--milliseconds", action="store_true", help="times in ms (default: µs)")
    show.add_argument(
        "-P", "--process", action="store_true", help="by process instead of by syscall"
    )
    groups.by(show, KEYS)
    show.add_argument("--rate", action="store_true", help="a column of calls per second")
    groups.json(show)
    show.add_argument(
        "--output",
        nargs="?",
        const="line",
        choices=("line",),
        type=argtypes.format_,
        metavar="line",
        help="InfluxDB's line protocol in place of a table",
    )
    show.add_argument(
        "-l", "--list", action="store_true", help="list the syscalls that have names, and end"
    )
    groups.recorded(parser)
    groups.filter_options(parser)
    groups.command(parser, "--exec")
    parser.checks += [
        lambda args: (
            "-P/--process and --by exclude each other" if args.process and args.by else None
        ),
        lambda args: (
            "--json and --output exclude each other" if args.json and args.output else None
        ),
    ]


def lat(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash lat``."""
    groups.configuration(parser)
    show = parser.add_argument_group("what is shown")
    groups.times(show)
    groups.top_rows(show, "the first N rows only (default: 10)")

    show.add_argument(
        "--histograms",
        metavar="N",
        type=argtypes.from_zero,
        help="histograms of the first N rows only, 0: none (default: of all with 4 calls or more)",
    )
    groups.by(show, KEYS)
    groups.off_cpu(show)
    groups.json(show)
    groups.recorded(parser)
    groups.filter_options(parser)
    groups.command(parser)
    parser.checks.append(
        lambda args: (
            "--json and --histograms exclude each other"
            if args.json and args.histograms is not None
            else None
        )
    )


def summary(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash summary``."""
    groups.configuration(parser)
    show = parser.add_argument_group("what is shown")
    groups.times(show)
    groups.top_rows(show, "by process, thread or cgroup: the first N tables only; else as --max")
    show.add_argument(
        "--max", metavar="N", type=argtypes.whole, help="the first N rows of a table only"
    )
    groups.by(show, KEYS, SUMMARY_MODES)
    show.add_argument(
        "--errno-summary", action="store_true", help="under each syscall, which errors how often"
    )
    groups.json(show)
    groups.recorded(parser)
    groups.filter_options(parser)
    groups.command(parser)

    def one_limit(args: argparse.Namespace) -> str | None:
        several = args.by in {(mode,) for mode in SUMMARY_MODES if mode != "total"}
        if args.top and args.max and (args.json or not several):
            return "-T/--top and --max exclude each other, but for tables by process and the like"
        return None

    parser.checks.append(one_limit)


def slow(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash slow``."""
    groups.configuration(parser)
    show = parser.add_argument_group("what is shown")
    groups.slower(show)
    show.add_argument(
        "--in-flight",
        action="store_true",
        help="calls that have not returned, the longest first: once, or after each interval",
    )
    groups.times(show, "with -T or --in-flight: print after each interval", once=False)
    groups.top_rows(show, "the N longest calls only, at the end or after each interval")
    show.add_argument(
        "--per-second",
        metavar="N",
        type=argtypes.whole,
        help="list at most N slow calls a second of the whole machine (default: that of the "
        "configuration, 1000)",
    )
    show.add_argument("--no-stack", action="store_true", help="leave out the stacks")
    groups.json(show, "call")
    groups.recorded(parser)
    groups.filter_options(parser)
    groups.command(parser)
    parser.checks += [
        lambda args: (
            "-i/--interval needs -T/--top or --in-flight: slow calls are printed as they end"
            if args.interval_s is not None and not (args.top or args.in_flight)
            else None
        ),
        lambda args: (
            "--in-flight and -x/--failures or -e/--errno exclude each other: what has not returned "
            "has not failed"
            if args.in_flight and (args.failures or args.errno)
            else None
        ),
        lambda args: (
            "--in-flight with a command needs -i/--interval or -d/--duration"
            if args.in_flight and args.command and not (args.interval_s or args.duration_s)
            else None
        ),
        lambda args: (
            "--in-flight and --per-second exclude each other"
            if args.in_flight and args.per_second is not None
            else None
        ),
        lambda args: (
            "--from and --per-second exclude each other: what is listed was decided then"
            if args.from_file is not None and args.per_second is not None
            else None
        ),
        lambda args: (
            "--in-flight --from and -c/--ppid or --cgroup exclude each other: parents and cgroups "
            "of calls in flight are not recorded"
            if args.in_flight and args.from_file is not None and (args.ppid or args.cgroup)
            else None
        ),
    ]


def args(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash args``."""
    parser.add_argument(
        "what",
        metavar="SYSCALL[:ARG]",
        type=argtypes.call_and_argument,
        help="a syscall, and one of its arguments by name or by number from 0; ret, or none: what "
        "it returns",
    )
    groups.configuration(parser)
    show = parser.add_argument_group("what is shown")
    show.add_argument(
        "-C",
        "--count",
        action="store_true",
        help="the most frequent values (what it does without -H)",
    )
    show.add_argument("-H", "--histogram", action="store_true", help="a histogram by powers of two")
    groups.times(show)
    groups.top_rows(show, "the N most frequent values only (default: 20)")
    groups.json(show)
    groups.filter_options(parser)
    groups.command(parser)
    parser.checks += [
        lambda args: (
            "-H/--histogram and -C/--count exclude each other"
            if args.histogram and args.count
            else None
        ),
        lambda args: (
            "-H/--histogram and -T/--top exclude each other: a histogram is shown as a whole"
            if args.histogram and args.top
            else None
        ),
    ]


def stacks(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash stacks``."""
    groups.configuration(parser)
    show = parser.add_argument_group("what is shown")
    groups.times(show)
    groups.top_rows(show, "the N stacks with the longest times only (default: 20)")
    show.add_argument(
        "--by",
        choices=STACKS_BY,
        default="comm",
        help="tell the same stack apart by process name, by process, by thread (default: comm)",
    )
    show.add_argument("--ended", action="store_true", help="leave out threads still blocked")
    for flag, name, leaves_out in (
        ("-U", "--user-stacks-only", "kernel's"),
        ("-K", "--kernel-stacks-only", "programs'"),
    ):
        show.add_argument(flag, name, action="store_true", help=f"without the {leaves_out} frames")
    show.add_argument(
        "-f",
        "--folded",
        action="store_true",
        help="a line for each stack, with its microseconds, as flamegraph.pl reads them",
    )
    show.add_argument(
        "--svg", metavar="FILE", type=argtypes.file, help="write a flame graph; - prints it"
    )
    show.add_argument(
        "--speedscope",
        metavar="FILE",
        type=argtypes.file,
        help="write a profile for speedscope.app, likewise",
    )
    show.add_argument("--title", metavar="TEXT", help="what stands above it")
    count = parser.add_argument_group("which times are counted")
    for flag, name, which, default in (
        ("-m", "--min-block-time", "from this time on (default: 1)", _LEAST_BLOCK_NS),
        ("-M", "--max-block-time", "up to this time", None),
    ):
        count.add_argument(
            flag,
            name,
            dest=f"{name[2:5]}_ns",
            metavar="TIME",
            type=argtypes.microseconds,
            default=default,
            help=f"only those {which}; in µs, or as 10ms, 2s",
        )
    count.add_argument(
        "-u",
        "--user-threads-only",
        action="store_true",
        help="changes nothing: kernel threads make no system calls",
    )
    count.add_argument(
        "-k",
        "--kernel-threads-only",
        action="store_true",
        help="refused, for the same reason",
    )
    groups.filter_options(parser, of_errors="refused: what is blocked has not failed")
    groups.command(parser)
    parser.checks += [
        lambda args: (
            "-k/--kernel-threads-only leaves nothing: kernel threads make no system calls"
            if args.kernel_threads_only
            else None
        ),
        lambda args: (
            "-x/--failures and -e/--errno have no use here: what is blocked has not returned, and "
            "so has not failed"
            if args.failures or args.errno
            else None
        ),
        lambda args: (
            "-U/--user-stacks-only and -K/--kernel-stacks-only exclude each other"
            if args.user_stacks_only and args.kernel_stacks_only
            else None
        ),
        lambda args: (
            "-m/--min-block-time is over -M/--max-block-time, so that nothing can be counted"
            if args.max_ns is not None and args.min_ns > args.max_ns
            else None
        ),
        _files_of_stacks_fit,
    ]


def _files_of_stacks_fit(args: argparse.Namespace) -> str | None:
    files = [file for file in (args.svg, args.speedscope) if file]
    if files and args.interval_s is not None:
        return "-i/--interval and --svg or --speedscope exclude each other: a file is written once"
    if args.top and (files or args.folded):
        return "-T/--top is for the text: --folded, --svg and --speedscope have all stacks"
    if args.title is not None and not files:
        return "--title needs --svg or --speedscope"
    if len(set(map(os.path.realpath, files))) < len(files):
        return "--svg and --speedscope name the same file"
    return None


def doctor(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash doctor``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


# --- What the words mean ---


def settings(args: argparse.Namespace) -> Settings:
    """The configuration with the words of the command line over it.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    words = {"interval": "interval_s", "sort": "sort", "theme": "theme", "display": "display"}
    given = {field: getattr(args, word, None) for word, field in words.items()}
    known = {field: value for field, value in given.items() if value is not None}
    return _with_thresholds(
        replace(config.load(args.config), **known), getattr(args, "threshold", [])
    )


def _with_thresholds(
    configured: Settings, given: Iterable[tuple[str | None, int | None]]
) -> Settings:
    default_ns, named = over(configured.threshold_ns, configured.thresholds_ns, given)
    return replace(configured, threshold_ns=default_ns, thresholds_ns=named)


def over(
    default_ns: int | None,
    thresholds_ns: config.Thresholds,
    given: Iterable[tuple[str | None, int | None]],
) -> tuple[int | None, dict[str, int | None]]:
    """Thresholds with those of the words over them; one for all replaces all.

    Args:
        default_ns: that of all syscalls that have none of their own; None for never.
        thresholds_ns: those of single ones, by name.
        given: as :func:`sysdash.commands.argtypes.thresholds` reads them.
    """
    alone = [ns for name, ns in given if name is None]
    named = {name: ns for name, ns in given if name is not None}
    return (alone[-1], named) if alone else (default_ns, {**thresholds_ns, **named})


def by_number(thresholds_ns: config.Thresholds) -> dict[tuple[int, int], int | None]:
    """Thresholds in ns by (syscall number, ABI code), from those by name."""
    return {
        number: threshold_ns
        for name, threshold_ns in thresholds_ns.items()
        for number in syscalls.numbers(name)
    }


def filters(args: argparse.Namespace) -> Filters:
    """The filters of the command line.

    Those for a recording are about what was there when it was made: nothing is looked for now, and
    cgroups are paths below the hierarchy's mount, beginning with a slash.

    Raises:
        CannotCollect: a process, thread or cgroup is not there.
    """
    recorded = getattr(args, "from_file", None) is not None
    if not recorded:
        for pid in (*args.pid, *args.ppid):
            targets.require_process(pid)
        for tid in args.tid:
            targets.require_thread(tid)
    cgroup_path = _recorded_cgroup if recorded else targets.cgroup_path
    return Filters(
        pids=_unique(args.pid),
        tids=_unique(args.tid),
        ppids=_unique(args.ppid),
        comms=_unique(args.comm),
        cgroups=_unique(map(cgroup_path, args.cgroup)),
        syscalls=_numbers(word for word in args.syscall if not word.startswith("!")),
        not_syscalls=_numbers(word[1:] for word in args.syscall if word.startswith("!")),
        failures=args.failures,
        errnos=_unique(args.errno),
        include_self=args.include_self,
    )


def _recorded_cgroup(path: str) -> str:
    """A cgroup's path below the hierarchy's mount, where it may have been given with that."""
    for root in (str(targets.cgroup_root()), _CGROUP_MOUNT):
        if path == root or path.startswith(f"{root}/"):
            path = path.removeprefix(root)
            break
    return f"/{path.strip('/')}"


def _unique(values: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(values))


def _numbers(names: Iterable[str]) -> tuple[tuple[int, int], ...]:
    return _unique(
        number
        for name in names
        for number in (syscalls.waiting() if name == argtypes.WAITING else syscalls.numbers(name))
    )
