"""The words of the commands that make, show and compare recordings.

Nothing heavy is imported here, so that ``--help`` and a wrong word answer at once.
"""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING

from sysdash import limits
from sysdash.commands import argtypes, groups, words

if TYPE_CHECKING:
    from sysdash.moments import Moment

DIFF_SORTS = ("change", "rate", "errors", "total", "p99")
"""What ``--sort`` of ``sysdash diff`` takes: :data:`sysdash.comparison.SORTS`, whose module takes
its time to import."""

NOISE_NOTE = (
    "What is noise: both times are divided into blocks, up to 32. A number has\n"
    "changed if it differs by more than it varies from block to block (Welch's\n"
    "t-test, which allows for bursts; of all changes listed about 1% at most are\n"
    "chance), and by 5% at least; percentiles 1.25 times, as they come from buckets.\n"
    "50 calls, or errors, where the other time has none have changed in any case.\n"
    "Large, but not steady (marked ?): two times as much or more, and more than\n"
    "independent calls would scatter, but no more than from block to block, in rows\n"
    "that are 5% of the machine's activity by it: often one burst, which lies in\n"
    "both times, or in a part of one.\n"
    "Where both times have fewer than five intervals, all is listed that is more than\n"
    "independent calls would scatter, and 25%."
)
"""How :func:`sysdash.comparison.compare` decides, for ``--help``."""

_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(?:([KMGT]?)(i?)B?)?", re.IGNORECASE)
_SMALLEST_SIZE, _LARGEST_SIZE = 1_000_000, 10**15

# --- record ---


def record(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash record``."""
    parser.add_argument("file", metavar="FILE", type=new_file, help="the file to record to")
    groups.configuration(parser)
    what = parser.add_argument_group("how it is recorded")
    low, high = limits.INTERVAL_S
    what.add_argument(
        "-i",
        "--interval",
        dest="interval_s",
        metavar="TIME",
        type=argtypes.seconds(low, high),
        default=1.0,
        help=f"time between intervals, {low:g} to {high:g} s, as 2 or 500ms (default: 1)",
    )
    groups.duration(what, f"end after this time{groups.UNITS} (default: at Ctrl-C)")
    what.add_argument(
        "--max-size",
        dest="max_bytes",
        metavar="SIZE",
        type=size,
        help="the file's largest size, as 60MB or 1GiB: the oldest intervals make room",
    )
    what.add_argument(
        "--max-age",
        dest="max_age_s",
        metavar="TIME",
        type=argtypes.seconds(1, limits.LONGEST_DURATION_S),
        help="keep only the last 15m, 24h: older intervals go",
    )
    existing = what.add_mutually_exclusive_group()
    existing.add_argument(
        "--overwrite", action="store_true", help="replace FILE if it is a recording"
    )
    existing.add_argument(
        "--append", action="store_true", help="go on with FILE if it is a recording of this machine"
    )
    groups.slower(what)
    groups.off_cpu(what)
    what.add_argument(
        "--threads", action="store_true", help="keep the threads of a process apart; costs more"
    )
    groups.filter_options(parser)
    groups.command(parser)


# --- replay ---


def replay(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash replay``."""
    parser.add_argument(
        "file", metavar="FILE", nargs="?", type=argtypes.file, help="the recording to show"
    )
    groups.configuration(parser)
    show = parser.add_argument_group("what is shown")
    low, high = limits.SPEEDS
    show.add_argument(
        "--speed",
        metavar="FACTOR",
        type=factor,
        default=1.0,
        help=f"how fast to play, {low:g} to {high:g} times as it was (default: 1)",
    )
    show.add_argument(
        "--at",
        metavar="TIME",
        type=argtypes.moment,
        help="begin there, and not at the beginning: 10:05, 2026-11-21T10:05:00, +30s or -5m",
    )
    show.add_argument("--paused", action="store_true", help="begin with the picture standing still")
    groups.top_rows(show, "list at most N syscalls, and as many processes and errors")
    show.add_argument("--sort", choices=limits.SORTS, help="order of the syscalls (default: rate)")
    groups.appearance(show)
    show.add_argument(
        "--demo", action="store_true", help="show the recording that comes with sysdash"
    )
    parser.signed += ("--at",)
    parser.checks.append(_one_recording)


def _one_recording(args: argparse.Namespace) -> str | None:
    if args.demo and args.file:
        return "--demo shows a recording of its own: leave FILE away"
    if not args.demo and not args.file:
        return "FILE is missing; --demo shows a recording that comes with sysdash"
    return None


# --- diff ---


def diff(parser: groups.ArgumentParser) -> None:
    """Add the words of ``sysdash diff``."""
    for name, which in (("before", "A"), ("after", "B")):
        parser.add_argument(
            name,
            metavar=which,
            type=piece,
            help="a recording, or a piece of one: FILE@FROM..TO"
            if which == "A"
            else "likewise; without FILE, of the same one",
        )
    show = parser.add_argument_group("what is shown")
    groups.top_rows(
        show, "the N rows that have changed the most only, and N unsteady ones (default: 20)"
    )
    show.add_argument(
        "--all", action="store_true", help="show also the rows of which all change is noise"
    )
    show.add_argument(
        "--sort",
        choices=DIFF_SORTS,
        default=DIFF_SORTS[0],
        help="what the order is by (default: change, the part of the machine's activity)",
    )
    groups.by(show, words.KEYS)
    show.add_argument("--json", action="store_true", help="print one JSON object")
    groups.chosen_of_recorded(parser, "what is compared")
    parser.checks.append(
        lambda args: None if args.before[0] else "A needs a file: FILE, or FILE@FROM..TO"
    )


# --- Values ---


def new_file(text: str) -> str:
    """The name of a file that is written while it grows, which no pipe can be."""
    if text == "-":
        raise argparse.ArgumentTypeError("a recording goes to a file, not to the standard output")
    return argtypes.file(text)


def size(text: str) -> int:
    """Bytes: plain, in powers of 1000 (``60MB``), or of 1024 (``1GiB``)."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write it as 60MB or 1GiB")
    number, unit, binary = match.groups(default="")
    bytes_ = round(
        float(number) * (1024 if binary else 1000) ** ("KMGT".index(unit.upper()) + 1)
        if unit
        else float(number)
    )
    if not _SMALLEST_SIZE <= bytes_ <= _LARGEST_SIZE:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1MB to 1000TB")
    return bytes_


def factor(text: str) -> float:
    """How fast a recording is replayed, as ``4``, ``0.5`` or ``16x``."""
    low, high = limits.SPEEDS
    try:
        number = float(text.removesuffix("x"))
    except ValueError:
        number = 0.0
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a speed from {low:g} to {high:g}")
    return number


def piece(text: str) -> tuple[str, Moment | None, Moment | None]:
    """A file, and from which moment to which; of ``FILE@FROM..TO`` all parts may be empty."""
    if os.path.lexists(text):
        return text, None, None
    file, at, window = text.rpartition("@")
    if not at:
        return argtypes.file(text), None, None
    since, dots, until = window.partition("..")
    if not dots:
        raise argparse.ArgumentTypeError(
            f"{text!r}: there is no such file; a piece of one is FILE@10:00:00..10:05:00"
        )
    return (
        file,
        argtypes.moment(since) if since else None,
        argtypes.moment(until) if until else None,
    )
