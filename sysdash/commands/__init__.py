"""The commands, by name. A new one is a module here and a line in :data:`COMMANDS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sysdash.commands import groups, words


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
        note: what its help says besides.
    """

    summary: str
    words: Callable[[groups.ArgumentParser], None]
    module: str
    collects: bool
    examples: tuple[tuple[str, str], ...]
    note: str = ""


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
            ("sysdash -- make -j4", "the calls of a build, until it ends"),
        ),
    ),
    "count": Command(
        "how many calls of which syscall, or by which process",
        words.count,
        "sysdash.commands.count",
        collects=True,
        examples=(
            ("sysdash count -d 5", "the ten most frequent of five seconds"),
            ("sysdash count -i 1 -L", "every second, with the time in calls"),
            ("sysdash count -P -x", "which processes fail most often"),
            ("sysdash count --by pid,comm,syscall", "each process's calls"),
            ("sysdash count -- make", "the calls of a command"),
            ("sysdash count --output -i 10", "for InfluxDB, every ten seconds"),
        ),
    ),
    "lat": Command(
        "how long calls take: percentiles and histograms",
        words.lat,
        "sysdash.commands.lat",
        collects=True,
        examples=(
            ("sysdash lat -d 5 -T 3", "the three that took most of the time"),
            ("sysdash lat --syscall fsync -i 1", "one syscall, every second"),
            ("sysdash lat --off-cpu -d 5", "how much is work, how much waiting"),
            ("sysdash lat -p 1842 --json", "one process, for a program to read"),
            ("sysdash lat -- tar cf /dev/null /usr", "the calls of a command"),
        ),
        note=words.PERCENTILE_NOTE,
    ),
    "summary": Command(
        "calls, errors and times in the table of perf trace -s",
        words.summary,
        "sysdash.commands.summary",
        collects=True,
        examples=(
            ("sysdash summary -d 5", "the whole machine, for five seconds"),
            ("sysdash summary --by thread -p 1842", "each thread of a process"),
            ("sysdash summary --errno-summary -- make", "a command, with its errors"),
        ),
    ),
    "slow": Command(
        "calls that take too long: arguments, files, stacks",
        words.slow,
        "sysdash.commands.slow",
        collects=True,
        examples=(
            ("sysdash slow", "calls over their thresholds"),
            ("sysdash slow --threshold 1ms -p 1842", "those of a process over 1 ms"),
            ("sysdash slow --syscall fsync -T 3", "the three longest, at Ctrl-C"),
            ("sysdash slow --in-flight", "what has not returned yet"),
            ("sysdash slow --json -- make", "a command's, as objects"),
        ),
    ),
    "args": Command(
        "which values an argument or a return value has, and how often",
        words.args,
        "sysdash.commands.args",
        collects=True,
        examples=(
            ("sysdash args read", "what read returns: sizes and errors"),
            ("sysdash args read:count -H -d 5", "the sizes asked for, as a histogram"),
            ("sysdash args openat:flags -i 1", "flags by name, every second"),
            ("sysdash args openat:filename -e ENOENT", "what is looked for in vain"),
            ("sysdash args futex:op --json -- make", "a command's, for a program to read"),
        ),
    ),
    "stacks": Command(
        "where time is spent blocked in system calls, by stack",
        words.stacks,
        "sysdash.commands.stacks",
        collects=True,
        examples=(
            ("sysdash stacks -d 5", "the 20 longest of five seconds"),
            ("sysdash stacks -p 1842 -m 10ms", "a process's, of 10 ms and more"),
            ("sysdash stacks --svg blocked.svg -d 30", "a flame graph for a browser"),
            ("sysdash stacks --syscall futex -U -T 3", "who waits for locks"),
            ("sysdash stacks -f -- make >make.folded", "a command's, for another tool"),
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
