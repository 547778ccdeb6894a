"""Groups of options that several commands have, and the parser that they are added to.

Nothing heavy is imported here, so that ``--help`` and a wrong word answer at once.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sysdash import config, limits
from sysdash.commands import argtypes
from sysdash.units import safe

Check = Callable[[argparse.Namespace], str | None]
"""What must hold of all words together; returns what is wrong, None if nothing is."""

_NEGATIVE = re.compile(r"-[0-9]")


class ArgumentParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line.

    Attributes:
        checks: what must hold of all words together.
        begins_command: the words after which all others are a command's; empty if none can be.
        signed: options whose value may begin with a minus and a digit.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.checks: list[Check] = []
        self.begins_command: tuple[str, ...] = ()
        self.signed: tuple[str, ...] = ()

    # argparse declares it twice, for namespaces of other classes.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse what is known; ``--until -5m`` is one option with its value."""
        words = sys.argv[1:] if args is None else [*args]
        for at in range(len(words) - 2, -1, -1):
            if words[at] in self.signed and _NEGATIVE.match(words[at + 1]):
                # Otherwise argparse would take the value for an option.
                words[at : at + 2] = [f"{words[at]}={words[at + 1]}"]
        return super().parse_known_args(words, namespace)

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
            options.append((COMMAND, COMMAND_HELP))
        return options


def configuration(parser: ArgumentParser) -> None:
    """Let another configuration be read."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"read this configuration, not the user's or {config.SYSTEM_PATH}",
    )


Group = argparse._ArgumentGroup  # noqa: SLF001  (it has no public name)

COMMAND = "-- COMMAND [ARG...]"
COMMAND_HELP = (
    "at the end: start this command, collect its calls and those of all that it starts, "
    "end with it and with its exit status"
)


_MOMENTS = "10:00, 10:00:00, 2026-11-21T10:00:00, +30s (from the beginning) or -5m (from the end)"
"""How a moment is written: :data:`sysdash.moments.FORMS`, whose module takes its time to import."""

UNITS = ", as 5, 0.5, 500ms or 2m"


def slower(group: Group) -> None:
    """Let thresholds be given."""
    group.add_argument(
        "--threshold",
        metavar="[NAME=]TIME[,...]",
        type=argtypes.thresholds,
        action="extend",
        default=[],
        help="a call that takes so long is slow: 10ms, 500us, 0 (every call), off (none); alone of "
        "every syscall, with NAME= of that one (default: those of the configuration)",
    )


def times(group: Group, when: str = "print after each interval", *, once: bool = True) -> None:
    """Let interval and duration be given."""
    group.add_argument(
        "-i",
        "--interval",
        dest="interval_s",
        metavar="TIME",
        type=argtypes.seconds(*limits.TABLES_S),
        help=f"{when}{UNITS}" + (" (default: once, at the end)" if once else ""),
    )
    duration(group, f"end after this time{UNITS} (default: at Ctrl-C)")


def duration(group: Group, what: str) -> None:
    """Let a duration be given."""
    group.add_argument(
        "-d",
        "--duration",
        dest="duration_s",
        metavar="TIME",
        type=argtypes.seconds(0, limits.LONGEST_DURATION_S),
        help=what,
    )


def top_rows(group: Group, what: str) -> None:
    """Let the number of rows be given."""
    group.add_argument("-T", "--top", metavar="N", type=argtypes.whole, help=what)


def by(group: Group, keys: tuple[str, ...], modes: tuple[str, ...] = ()) -> None:
    """Let keys be given."""
    group.add_argument(
        "--by",
        metavar="KEY[,KEY...]",
        type=argtypes.keys(keys, modes),
        default=(),
        help=f"group by any of {', '.join(keys)}" + (f"; or {', '.join(modes)}" if modes else ""),
    )


def off_cpu(group: Group) -> None:
    """Let the time off the CPU be measured."""
    group.add_argument(
        "--off-cpu",
        action="store_true",
        help="measure how long calls are off the CPU, through sched_switch; costs a little at "
        "every context switch",
    )


def json(group: Group, each: str = "interval") -> None:
    """Let JSON be asked for."""
    article = "an" if each[0] in "aeiou" else "a"
    group.add_argument(
        "--json", action="store_true", help=f"print one JSON object {article} {each}"
    )


def command(parser: ArgumentParser, *also: str) -> None:
    """Let a command stand at the end, after ``--`` or one of ``also``."""
    parser.begins_command = ("--", *also)
    group = parser.add_argument_group("a command", textwrap.fill(f"{COMMAND} {COMMAND_HELP}", 78))
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


def recorded(parser: ArgumentParser) -> None:
    """Let a recording be read in place of collecting."""
    group = parser.add_argument_group(
        "what was recorded",
        "Prints what it would have printed then. It needs no root; filters choose among\n"
        "what was recorded, and -i and -d are of the time then.",
    )
    group.add_argument(
        "--from",
        dest="from_file",
        metavar="FILE",
        type=argtypes.file,
        help="read this recording of sysdash record",
    )
    for name, what in (
        ("--since", f"from this moment on: {_MOMENTS}"),
        ("--until", "up to this moment, likewise"),
    ):
        group.add_argument(name, metavar="TIME", type=argtypes.moment, help=what)
    parser.signed += ("--since", "--until")
    parser.checks.append(_recorded_alone)


def _recorded_alone(args: argparse.Namespace) -> str | None:
    if args.from_file is None:
        given = "--since" if args.since else "--until" if args.until else None
        return f"{given} needs --from: it is a time of a recording" if given else None
    if args.command:
        return "--from and a command exclude each other: what was recorded has happened"
    if args.include_self:
        return "--from and --include-self exclude each other: what was left out was not recorded"
    return None


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


def filter_options(parser: ArgumentParser, *, of_errors: str | None = None) -> None:
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
    _ids(group, "-p", "--pid", f"this process, without its children; {ends}")
    _ids(group, "-t", "--tid", f"this thread; {ends}")
    _ids(group, "-c", "--ppid", "children of this process")
    _comm(group)
    group.add_argument(
        "--cgroup",
        metavar="PATH",
        action="append",
        default=[],
        help="only this cgroup and those below it",
    )
    _calls(group, of_errors)
    group.add_argument(
        "--include-self", action="store_true", help="collect the calls of sysdash itself too"
    )


# --- Types of words: argparse puts the option's name before their messages ---


def chosen_of_recorded(parser: ArgumentParser, heading: str) -> None:
    """Add the filters that can be had of what was recorded, under ``heading``."""
    group = parser.add_argument_group(
        heading,
        "A filter that is given several times, or a list, passes any of its values; a\n"
        "call must pass all filters.",
    )
    _ids(group, "-p", "--pid", "this process")
    _comm(group)
    _calls(group, None)
    # What words.filters() asks for besides.
    parser.set_defaults(tid=[], ppid=[], cgroup=[], include_self=False, from_file="")


def _ids(group: Group, flag: str, name: str, what: str) -> None:
    group.add_argument(
        flag,
        name,
        metavar="N[,N...]",
        type=argtypes.pids,
        action="extend",
        default=[],
        help=f"only {what}",
    )


def _comm(group: Group) -> None:
    group.add_argument(
        "--comm",
        metavar="NAME",
        type=argtypes.comm,
        action="append",
        default=[],
        help="only processes of this name",
    )


def _calls(group: Group, of_errors: str | None) -> None:
    group.add_argument(
        "--syscall",
        metavar="NAME[,NAME...]",
        type=argtypes.syscall_names,
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
        type=argtypes.errnos,
        action="extend",
        default=[],
        help=of_errors or "only calls that fail with this error",
    )


def appearance(group: Group) -> None:
    """Let colours and the way of drawing be chosen."""
    group.add_argument("--theme", choices=config.THEMES, help="colours (default: default)")
    group.add_argument(
        "--display", choices=config.DISPLAYS, help="how the terminal is driven (default: raw)"
    )
