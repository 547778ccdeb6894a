"""The words of the commands: options, their checks, and what they mean as settings and filters.

Nothing heavy is imported here, so that ``--help`` and a wrong word answer at once.
"""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from sysdash import config, limits, syscalls
from sysdash.config import Settings
from sysdash.filters import Filters
from sysdash.probes import targets
from sysdash.units import parse_duration, safe

_T = TypeVar("_T")

Check = Callable[[argparse.Namespace], str | None]
"""What must hold of all words together; returns what is wrong, None if nothing is."""

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

WAITING = "%waiting"
"""What ``--syscall`` takes for all calls of :func:`sysdash.syscalls.waiting`."""

_LONGEST_NS = 2**63

_LEAST_BLOCK_NS = 1000  # as offcputime

_COMM_BYTES = 15  # TASK_COMM_LEN without its NUL


class ArgumentParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line.

    Attributes:
        checks: what must hold of all words together.
        begins_command: the words after which all others are a command's; empty if none can be.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.checks: list[Check] = []
        self.begins_command: tuple[str, ...] = ()

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(2, f"{self.prog}: {safe(message)} (see {self.prog} --help)\n")

    def options(self) -> list[tuple[str, str]]:
        """Every option with its value as it is written, and what it does."""
        options = []
        for action in self._actions:
            if action.help != argparse.SUPPRESS:
                value = action.metavar or ("|".join(action.choices) if action.choices else "")
                names = ", ".join(action.option_strings)
                given = f"{names}[={value}]" if action.nargs == "?" else f"{names} {value}"
                # As argparse prints it.
                options.append((given.strip(), (action.help or "").replace("%%", "%")))
        if self.begins_command:
            options.append((_COMMAND, _COMMAND_HELP))
        return options


# --- What each command understands ---


def top(parser: ArgumentParser) -> None:
    """Add the words of ``sysdash top``."""
    _config(parser)
    show = parser.add_argument_group("what is shown")
    low, high = limits.INTERVAL_S
    show.add_argument(
        "-i",
        "--interval",
        metavar="TIME",
        type=_seconds(low, high),
        help=f"time between refreshes, {low:g} to {high:g} s, as 2 or 500ms (default: 1)",
    )
    _duration(show, f"end after this time{_UNITS}")
    _top(show, "list at most N syscalls, and as many processes, errors and values")
    show.add_argument("--sort", choices=limits.SORTS, help="order of the syscalls (default: rate)")
    _slower(show)
    _off_cpu(show)
    show.add_argument("--theme", choices=config.THEMES, help="colours (default: default)")
    show.add_argument(
        "--display", choices=config.DISPLAYS, help="how the terminal is driven (default: raw)"
    )
    _filters(parser)
    _command(parser)


def count(parser: ArgumentParser) -> None:
    """Add the words of ``sysdash count``."""
    _config(parser)
    show = parser.add_argument_group("what is shown")
    _times(show)
    _top(show, "the first N rows only (default: 10)")
    show.add_argument("-L", "--latency", action="store_true", help="measure the time in calls too")
    show.add_argument("-m", "--milliseconds", action="store_true", help="times in ms (default: µs)")
    show.add_argument(
        "-P", "--process", action="store_true", help="by process instead of by syscall"
    )
    _by(show, KEYS)
    show.add_argument("--rate", action="store_true", help="a column of calls per second")
    _json(show)
    show.add_argument(
        "--output",
        nargs="?",
        const="line",
        choices=("line",),
        type=_format,
        metavar="line",
        help="InfluxDB's line protocol in place of a table",
    )
    show.add_argument(
        "-l", "--list", action="store_true", help="list the syscalls that have names, and end"
    )
    _filters(parser)
    _command(parser, "--exec")
    parser.checks += [
        lambda args: (
            "-P/--process and --by exclude each other" if args.process and args.by else None
        ),
        lambda args: (
            "--json and --output exclude each other" if args.json and args.output else None
        ),
    ]


def lat(parser: ArgumentParser) -> None:
    """Add the words of ``sysdash lat``."""
    _config(parser)
    show = parser.add_argument_group("what is shown")
    _times(show)
    _top(show, "the first N rows only (default: 10)")

    show.add_argument(
        "--histograms",
        metavar="N",
        type=_from_zero,
        help="histograms of the first N rows only, 0: none (default: of all with 4 calls or more)",
    )
    _by(show, KEYS)
    _off_cpu(show)
    _json(show)
    _filters(parser)
    _command(parser)
    parser.checks.append(
        lambda args: (
            "--json and --histograms exclude each other"
            if args.json and args.histograms is not None
            else None
        )
    )


def summary(parser: ArgumentParser) -> None:
    """Add the words of ``sysdash summary``."""
    _config(parser)
    show = parser.add_argument_group("what is shown")
    _times(show)
    _top(show, "by process, thread or cgroup: the first N tables only; else as --max")
    show.add_argument("--max", metavar="N", type=_whole, help="the first N rows of a table only")
    _by(show, KEYS, SUMMARY_MODES)
    show.add_argument(
        "--errno-summary", action="store_true", help="under each syscall, which errors how often"
    )
    _json(show)
    _filters(parser)
    _command(parser)

    def one_limit(args: argparse.Namespace) -> str | None:
        several = args.by in {(mode,) for mode in SUMMARY_MODES if mode != "total"}
        if args.top and args.max and (args.json or not several):
            return "-T/--top and --max exclude each other, but for tables by process and the like"
        return None

    parser.checks.append(one_limit)


def slow(parser: ArgumentParser) -> None:
    """Add the words of ``sysdash slow``."""
    _config(parser)
    show = parser.add_argument_group("what is shown")
    _slower(show)
    show.add_argument(
        "--in-flight",
        action="store_true",
        help="calls that have not returned, the longest first: once, or after each interval",
    )
    _times(show, "with -T or --in-flight: print after each interval", once=False)
    _top(show, "the N longest calls only, at the end or after each interval")
    show.add_argument(
        "--per-second",
        metavar="N",
        type=_whole,
        help="list at most N slow calls a second of the whole machine (default: that of the "
        "configuration, 1000)",
    )
    show.add_argument("--no-stack", action="store_true", help="leave out the stacks")
    _json(show, "call")
    _filters(parser)
    _command(parser)
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
    ]


def args(parser: ArgumentParser) -> None:
    """Add the words of ``sysdash args``."""
    parser.add_argument(
        "what",
        metavar="SYSCALL[:ARG]",
        type=_call_and_argument,
        help="a syscall, and one of its arguments by name or by number from 0; ret, or none: what "
        "it returns",
    )
    _config(parser)
    show = parser.add_argument_group("what is shown")
    show.add_argument(
        "-C",
        "--count",
        action="store_true",
        help="the most frequent values (what it does without -H)",
    )
    show.add_argument("-H", "--histogram", action="store_true", help="a histogram by powers of two")
    _times(show)
    _top(show, "the N most frequent values only (default: 20)")
    _json(show)
    _filters(parser)
    _command(parser)
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


def stacks(parser: ArgumentParser) -> None:
    """Add the words of ``sysdash stacks``."""
    _config(parser)
    show = parser.add_argument_group("what is shown")
    _times(show)
    _top(show, "the N stacks with the longest times only (default: 20)")
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
    show.add_argument("--svg", metavar="FILE", type=_file, help="write a flame graph; - prints it")
    show.add_argument(
        "--speedscope",
        metavar="FILE",
        type=_file,
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
            type=_microseconds,
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
    _filters(parser, of_errors="refused: what is blocked has not failed")
    _command(parser)
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


def doctor(parser: ArgumentParser) -> None:
    """Add the words of ``sysdash doctor``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _config(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"read this configuration, not the user's or {config.SYSTEM_PATH}",
    )


_Group = argparse._ArgumentGroup  # noqa: SLF001  (it has no public name)

_COMMAND = "-- COMMAND [ARG...]"
_COMMAND_HELP = (
    "at the end: start this command, collect its calls and those of all that it starts, "
    "end with it and with its exit status"
)


_UNITS = ", as 5, 0.5, 500ms or 2m"


def _slower(group: _Group) -> None:
    group.add_argument(
        "--threshold",
        metavar="[NAME=]TIME[,...]",
        type=_thresholds,
        action="extend",
        default=[],
        help="a call that takes so long is slow: 10ms, 500us, 0 (every call), off (none); alone of "
        "every syscall, with NAME= of that one (default: those of the configuration)",
    )


def _times(group: _Group, when: str = "print after each interval", *, once: bool = True) -> None:
    group.add_argument(
        "-i",
        "--interval",
        dest="interval_s",
        metavar="TIME",
        type=_seconds(*limits.TABLES_S),
        help=f"{when}{_UNITS}" + (" (default: once, at the end)" if once else ""),
    )
    _duration(group, f"end after this time{_UNITS} (default: at Ctrl-C)")


def _duration(group: _Group, what: str) -> None:
    group.add_argument(
        "-d",
        "--duration",
        dest="duration_s",
        metavar="TIME",
        type=_seconds(0, limits.LONGEST_DURATION_S),
        help=what,
    )


def _top(group: _Group, what: str) -> None:
    group.add_argument("-T", "--top", metavar="N", type=_whole, help=what)


def _by(group: _Group, keys: tuple[str, ...], modes: tuple[str, ...] = ()) -> None:
    group.add_argument(
        "--by",
        metavar="KEY[,KEY...]",
        type=_keys(keys, modes),
        default=(),
        help=f"group by any of {', '.join(keys)}" + (f"; or {', '.join(modes)}" if modes else ""),
    )


def _off_cpu(group: _Group) -> None:
    group.add_argument(
        "--off-cpu",
        action="store_true",
        help="measure how long calls are off the CPU, through sched_switch; costs a little at "
        "every context switch",
    )


def _json(group: _Group, each: str = "interval") -> None:
    article = "an" if each[0] in "aeiou" else "a"
    group.add_argument(
        "--json", action="store_true", help=f"print one JSON object {article} {each}"
    )


def _command(parser: ArgumentParser, *also: str) -> None:
    """Let a command stand at the end, after ``--`` or one of ``also``."""
    parser.begins_command = ("--", *also)
    group = parser.add_argument_group("a command", textwrap.fill(f"{_COMMAND} {_COMMAND_HELP}", 78))
    for name in also:
        group.add_argument(
            name,
            nargs=argparse.REMAINDER,
            dest="command",
            default=[],
            metavar="COMMAND [ARG...]",
            help="the same as -- COMMAND",
        )
    parser.checks.append(_command_alone)


def _filters_fit(args: argparse.Namespace) -> str | None:
    """What the probe has room for."""
    for most, what, given in (
        (limits.FILTER_IDS, "processes and threads", [*args.pid, *args.tid, *args.ppid]),
        (limits.FILTER_COMMS, "process names", args.comm),
        (limits.FILTER_CGROUPS, "cgroups", args.cgroup),
    ):
        if len(given) > most:
            return f"{len(given)} {what} are more than the {most} that can be filtered by"
    return None


def _command_alone(args: argparse.Namespace) -> str | None:
    if args.command and (args.pid or args.tid):
        return "a command and -p/--pid or -t/--tid exclude each other"
    return None


def _filters(parser: ArgumentParser, *, of_errors: str | None = None) -> None:
    """Add the filters.

    Args:
        parser: of a command.
        of_errors: what those that ask for errors do, if that is not what they do elsewhere.
    """
    parser.checks.append(_filters_fit)
    ends = "args, count, lat, slow, stacks and summary end with it"
    group = parser.add_argument_group(
        "what is collected",
        "Applied in the kernel, where what is left out costs almost nothing. A filter\n"
        "that is given several times, or a list, passes any of its values; a call must\n"
        "pass all filters.",
    )
    for flag, name, what in (
        ("-p", "--pid", f"this process, without its children; {ends}"),
        ("-t", "--tid", f"this thread; {ends}"),
        ("-c", "--ppid", "children of this process"),
    ):
        group.add_argument(
            flag,
            name,
            metavar="N[,N...]",
            type=_pids,
            action="extend",
            default=[],
            help=f"only {what}",
        )
    group.add_argument(
        "--comm",
        metavar="NAME",
        type=_comm,
        action="append",
        default=[],
        help="only processes of this name",
    )
    group.add_argument(
        "--cgroup",
        metavar="PATH",
        action="append",
        default=[],
        help="only this cgroup and those below it",
    )
    group.add_argument(
        "--syscall",
        metavar="NAME[,NAME...]",
        type=_syscalls,
        action="extend",
        default=[],
        # "%%": argparse replaces words after a single one.
        help="only these syscalls; '!NAME' leaves one out; '%%waiting' or '!%%waiting': all "
        "calls whose purpose is to wait",
    )
    group.add_argument(
        "-x", "--failures", action="store_true", help=of_errors or "only calls that fail"
    )
    group.add_argument(
        "-e",
        "--errno",
        metavar="NAME|N[,...]",
        type=_errnos,
        action="extend",
        default=[],
        help=of_errors or "only calls that fail with this error",
    )
    group.add_argument(
        "--include-self", action="store_true", help="collect the calls of sysdash itself too"
    )


# --- Types of words: argparse puts the option's name before their messages ---


def _seconds(low: float, high: float) -> Callable[[str], float]:
    """Seconds, from ``low`` (not 0 itself) to ``high``, plain or with a unit."""
    allowed = f"{low:g} to {high:.0f}" if low else f"above 0 and up to {high:.0f}"

    def seconds(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            try:
                value = parse_duration(text) / 1e9
            except (ValueError, OverflowError):
                raise argparse.ArgumentTypeError(
                    f"{text!r} is not a time: write seconds, or a unit as in 500ms, 5s, 2m"
                ) from None
        if not low <= value <= high or not value:
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed} seconds")
        return value

    return seconds


def _microseconds(text: str) -> int:
    """Nanoseconds; plain numbers are microseconds, as in bcc's offcputime."""
    try:
        ns = float(text) * 1e3
    except ValueError:
        try:
            ns = parse_duration(text)
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a time: write microseconds, or a unit as in 500us, 10ms, 2s"
            ) from None
    longest_s = limits.LONGEST_DURATION_S
    if not 0 <= ns <= longest_s * 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 to {longest_s:.0f} seconds")
    return round(ns)


def _file(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a file's name cannot be empty")
    return text


def _format(text: str) -> str:
    if text != "line":
        raise argparse.ArgumentTypeError(
            f"{text!r}: it takes a format, line; write to a file with >"
        )
    return text


def _from_zero(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")


def _whole(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")


def _keys(keys: tuple[str, ...], modes: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def by(text: str) -> tuple[str, ...]:
        words = tuple(word.strip() for word in text.split(","))
        if len(words) == 1 and words[0] in modes:
            return words
        for word in words:
            if word in modes and word not in keys:
                raise argparse.ArgumentTypeError(f"{word!r} stands alone, without other keys")
            if word not in keys:
                known = ", ".join(dict.fromkeys((*modes, *keys)))
                raise argparse.ArgumentTypeError(f"unknown key {word!r}, known: {known}")
        if len(set(words)) < len(words):
            raise argparse.ArgumentTypeError(f"{text!r} names a key twice")
        return words

    return by


def _list(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _pids(text: str) -> list[int]:
    # Between the numbers that pgrep prints are line breaks.
    return [_pid(word) for part in text.split(",") for word in part.split() or [""]]


def _pid(text: str) -> int:
    number = text.isascii() and text.isdigit()
    if number and len(text) < 10 and 1 <= int(text) <= limits.MAX_PID:
        return int(text)
    hint = "" if number or not text else " (a name goes to --comm)"
    raise argparse.ArgumentTypeError(f"{text!r} is not the number of a process or thread{hint}")


def _comm(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a process name cannot be empty")
    # The kernel cuts names there, so a longer one would never match.
    return os.fsdecode(os.fsencode(text)[:_COMM_BYTES])


def _syscalls(text: str) -> list[str]:
    words = _list(text)
    for word in words:
        name = word.removeprefix("!")
        if name.startswith("%"):
            if name != WAITING:
                raise argparse.ArgumentTypeError(
                    f"unknown class of syscalls {name!r}, known: {WAITING}"
                )
        else:
            _known_syscall(name)
    return words


def _known_syscall(name: str) -> None:
    if not syscalls.numbers(name):
        lower = name.lower()
        near = [lower] if syscalls.numbers(lower) else syscalls.nearest(name)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise argparse.ArgumentTypeError(f"unknown syscall {name!r}{hint}")


def _call_and_argument(text: str) -> tuple[str, str | None]:
    """The name of a syscall, and what is behind its colon, which takes its time to understand."""
    if "," in text:
        raise argparse.ArgumentTypeError(
            f"{text!r}: it takes one syscall, and one of its arguments"
        )
    name, colon, argument = text.partition(":")
    _known_syscall(name)
    return name, argument if colon else None


def _thresholds(text: str) -> list[tuple[str | None, int | None]]:
    return [_threshold(word) for word in _list(text)]


def _threshold(word: str) -> tuple[str | None, int | None]:
    """The name of a syscall, None for all, and nanoseconds, None for never."""
    name, equals, value = word.rpartition("=")
    if equals:
        _known_syscall(name)
    if value == "off":
        ns = None
    elif value == "0":
        ns = 0
    else:
        try:
            ns = parse_duration(value)
        except (ValueError, OverflowError):
            ns = _LONGEST_NS
        if ns >= _LONGEST_NS:
            raise argparse.ArgumentTypeError(
                f"{word!r} is not a threshold: write it as 10ms, futex=500us, 0 or off"
            )
    return name if equals else None, ns


def _errnos(text: str) -> list[int]:
    return [_errno(word) for word in _list(text)]


def _errno(text: str) -> int:
    try:
        return syscalls.errno_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
    """The thresholds of the words over the configured ones; one for all replaces all of those."""
    alone = [ns for name, ns in given if name is None]
    named = {name: ns for name, ns in given if name is not None}
    if alone:
        return replace(configured, threshold_ns=alone[-1], thresholds_ns=named)
    return replace(configured, thresholds_ns={**configured.thresholds_ns, **named})


def by_number(thresholds_ns: config.Thresholds) -> dict[tuple[int, int], int | None]:
    """Thresholds in ns by (syscall number, ABI code), from those by name."""
    return {
        number: threshold_ns
        for name, threshold_ns in thresholds_ns.items()
        for number in syscalls.numbers(name)
    }


def filters(args: argparse.Namespace) -> Filters:
    """The filters of the command line.

    Raises:
        CannotCollect: a process, thread or cgroup is not there.
    """
    for pid in (*args.pid, *args.ppid):
        targets.require_process(pid)
    for tid in args.tid:
        targets.require_thread(tid)
    return Filters(
        pids=_unique(args.pid),
        tids=_unique(args.tid),
        ppids=_unique(args.ppid),
        comms=_unique(args.comm),
        cgroups=_unique(map(targets.cgroup_path, args.cgroup)),
        syscalls=_numbers(word for word in args.syscall if not word.startswith("!")),
        not_syscalls=_numbers(word[1:] for word in args.syscall if word.startswith("!")),
        failures=args.failures,
        errnos=_unique(args.errno),
        include_self=args.include_self,
    )


def _unique(values: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(values))


def _numbers(names: Iterable[str]) -> tuple[tuple[int, int], ...]:
    return _unique(
        number
        for name in names
        for number in (syscalls.waiting() if name == WAITING else syscalls.numbers(name))
    )
