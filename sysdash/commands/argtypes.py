"""What values of options can be, for argparse: each function reads one, or says what is wrong.

Nothing heavy is imported here, so that ``--help`` and a wrong word answer at once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from sysdash import limits, syscalls
from sysdash.units import parse_duration

if TYPE_CHECKING:
    from sysdash.moments import Moment

WAITING = "%waiting"
"""What ``--syscall`` takes for all calls of :func:`sysdash.syscalls.waiting`."""

_LONGEST_NS = 2**63

_COMM_BYTES = 15  # TASK_COMM_LEN without its NUL


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Seconds, from ``low`` (not 0 itself) to ``high``, plain or with a unit."""
    allowed = f"{low:g} to {high:.0f}" if low else f"above 0 and up to {high:.0f}"

    def parsed(text: str) -> float:
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

    return parsed


def microseconds(text: str) -> int:
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


def file(text: str) -> str:
    """A file's name."""
    if not text:
        raise argparse.ArgumentTypeError("a file's name cannot be empty")
    return text


def moment(text: str) -> Moment:
    """A moment of a recording."""
    # Only here: it needs numpy, which takes a while to import.
    from sysdash.moments import parse

    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def format_(text: str) -> str:
    """A format of ``--output``."""
    if text != "line":
        raise argparse.ArgumentTypeError(
            f"{text!r}: it takes a format, line; write to a file with >"
        )
    return text


def from_zero(text: str) -> int:
    """A whole number from 0."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")


def whole(text: str) -> int:
    """A whole number from 1."""
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")


def keys(known_keys: tuple[str, ...], modes: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Keys from ``known_keys``, separated by commas, or one of ``modes`` alone."""

    def by(text: str) -> tuple[str, ...]:
        words = tuple(word.strip() for word in text.split(","))
        if len(words) == 1 and words[0] in modes:
            return words
        for word in words:
            if word in modes and word not in known_keys:
                raise argparse.ArgumentTypeError(f"{word!r} stands alone, without other keys")
            if word not in known_keys:
                known = ", ".join(dict.fromkeys((*modes, *known_keys)))
                raise argparse.ArgumentTypeError(f"unknown key {word!r}, known: {known}")
        if len(set(words)) < len(words):
            raise argparse.ArgumentTypeError(f"{text!r} names a key twice")
        return words

    return by


def listed(text: str) -> list[str]:
    """Words separated by commas."""
    return [word.strip() for word in text.split(",")]


def pids(text: str) -> list[int]:
    """Numbers of processes, separated by commas or blanks."""
    # Between the numbers that pgrep prints are line breaks.
    return [pid(word) for part in text.split(",") for word in part.split() or [""]]


def pid(text: str) -> int:
    """The number of a process or thread."""
    number = text.isascii() and text.isdigit()
    if number and len(text) < 10 and 1 <= int(text) <= limits.MAX_PID:
        return int(text)
    hint = "" if number or not text else " (a name goes to --comm)"
    raise argparse.ArgumentTypeError(f"{text!r} is not the number of a process or thread{hint}")


def comm(text: str) -> str:
    """A process's name as the kernel keeps it."""
    if not text:
        raise argparse.ArgumentTypeError("a process name cannot be empty")
    # The kernel cuts names there, so a longer one would never match.
    return os.fsdecode(os.fsencode(text)[:_COMM_BYTES])


def syscall_names(text: str) -> list[str]:
    """Names of syscalls, separated by commas; ``!`` before one leaves it out."""
    words = listed(text)
    for word in words:
        name = word.removeprefix("!")
        if name.startswith("%"):
            if name != WAITING:
                raise argparse.ArgumentTypeError(
                    f"unknown class of syscalls {name!r}, known: {WAITING}"
                )
        else:
            known_syscall(name)
    return words


def known_syscall(name: str) -> None:
    """Check the name of a syscall."""
    if not syscalls.numbers(name):
        lower = name.lower()
        near = [lower] if syscalls.numbers(lower) else syscalls.nearest(name)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise argparse.ArgumentTypeError(f"unknown syscall {name!r}{hint}")


def call_and_argument(text: str) -> tuple[str, str | None]:
    """The name of a syscall, and what is behind its colon, which takes its time to understand."""
    if "," in text:
        raise argparse.ArgumentTypeError(
            f"{text!r}: it takes one syscall, and one of its arguments"
        )
    name, colon, argument = text.partition(":")
    known_syscall(name)
    return name, argument if colon else None


def thresholds(text: str) -> list[tuple[str | None, int | None]]:
    """Thresholds, separated by commas: see :func:`threshold`."""
    return [threshold(word) for word in listed(text)]


def threshold(word: str) -> tuple[str | None, int | None]:
    """The name of a syscall, None for all, and nanoseconds, None for never."""
    name, equals, value = word.rpartition("=")
    if equals:
        known_syscall(name)
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


def errnos(text: str) -> list[int]:
    """Errors, separated by commas."""
    return [errno(word) for word in listed(text)]


def errno(text: str) -> int:
    """An error by name or number."""
    try:
        return syscalls.errno_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
