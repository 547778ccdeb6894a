"""The words of the commands: options, their checks, and what they mean as settings and filters.

Nothing heavy is imported here, so that ``--help`` and a wrong word answer at once.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from sysdash import config, limits, syscalls
from sysdash.config import Settings
from sysdash.filters import Filters
from sysdash.probes import targets
from sysdash.units import safe

_T = TypeVar("_T")

NOT_YET = "not in this version yet"

_COMM_BYTES = 15  # TASK_COMM_LEN without its NUL


class ArgumentParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

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
                options.append((f"{names} {value}".rstrip(), action.help or ""))
        return options


class _NotYet(argparse.Action):
    """An option that every command has sooner or later, and this one not in this version."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        parser.error(f"{'/'.join(self.option_strings)}: {NOT_YET}")


# --- What each command understands ---


def top(parser: argparse.ArgumentParser) -> None:
    """Add the words of ``sysdash top``."""
    _config(parser)
    show = parser.add_argument_group("what is shown")
    low, high = limits.INTERVAL_S
    show.add_argument(
        "-i",
        "--interval",
        metavar="SECONDS",
        type=_seconds(low, high),
        help=f"time between refreshes, {low:g} to {high:g}, fractions allowed (default: 1)",
    )
    show.add_argument("--sort", choices=limits.SORTS, help="order of the syscalls (default: rate)")
    show.add_argument("--theme", choices=config.THEMES, help="colours (default: default)")
    show.add_argument(
        "--display", choices=config.DISPLAYS, help="how the terminal is driven (default: raw)"
    )
    _filters(parser)
    for flag, name in (("-d", "--duration"), ("-T", "--top")):
        # With a value or without one: the answer is the same.
        parser.add_argument(flag, name, action=_NotYet, nargs="?", help=argparse.SUPPRESS)


def doctor(parser: argparse.ArgumentParser) -> None:
    """Add the words of ``sysdash doctor``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"read this configuration, not the user's or {config.SYSTEM_PATH}",
    )


def _filters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "what is collected",
        "Applied in the kernel, where what is left out costs almost nothing. A filter\n"
        "that is given several times passes any of its values; a call must pass all.",
    )
    for flag, name, what in (
        ("-p", "--pid", "this process"),
        ("-t", "--tid", "this thread"),
        ("-c", "--ppid", "children of this process"),
    ):
        group.add_argument(
            flag, name, metavar="N", type=_pid, action="append", default=[], help=f"only {what}"
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
        help="only these syscalls; '!NAME' leaves one out",
    )
    group.add_argument("-x", "--failures", action="store_true", help="only calls that fail")
    group.add_argument(
        "-e",
        "--errno",
        metavar="NAME|N",
        type=_errno,
        action="append",
        default=[],
        help="only calls that fail with this error",
    )
    group.add_argument(
        "--include-self", action="store_true", help="collect the calls of sysdash itself too"
    )


# --- Types of words: argparse puts the option's name before their messages ---


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def seconds(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not {low:g} to {high:g} seconds")
        return value

    return seconds


def _pid(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= limits.MAX_PID:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not the number of a process or thread")


def _comm(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a process name cannot be empty")
    # The kernel cuts names there, so a longer one would never match.
    return os.fsdecode(os.fsencode(text)[:_COMM_BYTES])


def _syscalls(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        name = word.removeprefix("!")
        if not syscalls.numbers(name):
            near = syscalls.nearest(name)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise argparse.ArgumentTypeError(f"unknown syscall {name!r}{hint}")
    return words


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
    words = {
        "interval_s": args.interval,
        "sort": args.sort,
        "theme": args.theme,
        "display": args.display,
    }
    given = {name: value for name, value in words.items() if value is not None}
    return replace(config.load(args.config), **given)


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
    return _unique(number for name in names for number in syscalls.numbers(name))
