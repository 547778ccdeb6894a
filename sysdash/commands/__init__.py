"""The commands, by name. A new one is a module here and a line in :data:`COMMANDS`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from sysdash.commands import words


@dataclass(frozen=True, slots=True)
class Command:
    """What ``sysdash`` needs to know of a command before it runs.

    Attributes:
        summary: one line for ``sysdash --help``.
        words: adds its options to a parser.
        module: what holds its ``run(args: argparse.Namespace) -> int``, imported only to run it.
        collects: whether it collects, so that ``args.settings`` (:class:`sysdash.config.Settings`)
            and ``args.filters`` (:class:`sysdash.filters.Filters`) are made for it.
        examples: command lines and what they do.
    """

    summary: str
    words: Callable[[argparse.ArgumentParser], None]
    module: str
    collects: bool
    examples: tuple[tuple[str, str], ...]


COMMANDS = {
    "top": Command(
        "the live dashboard (what sysdash does without a command)",
        words.top,
        "sysdash.commands.top",
        collects=True,
        examples=(
            ("sysdash", "all syscalls of this machine"),
            ("sysdash -p 1842 -i 0.5", "those of one process, twice a second"),
            ("sysdash --syscall '!futex,!epoll_wait'", "all but these two"),
            ("sysdash -e ENOENT --comm nginx", "what nginx looks for in vain"),
        ),
    ),
    "doctor": Command(
        "what this machine offers, what is missing, what to do about it",
        words.doctor,
        "sysdash.commands.doctor",
        collects=False,
        examples=(
            ("sysdash doctor", "a table to read"),
            ("sysdash doctor --json", "one JSON object to process"),
        ),
    ),
}
