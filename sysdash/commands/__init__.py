"""The commands, by name. A new one is a module here and a line in :data:`COMMANDS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sysdash.commands import groups, rewords, words


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
            ("sysdash count -d 5", "the ten most frequent in 5 seconds"),
            ("sysdash count -i 1 -L", "every second, with the time in calls"),
            ("sysdash count -P -x", "which processes fail most often"),
            ("sysdash count --by pid,comm,syscall", "each process's calls"),
            ("sysdash count -- make", "the calls of a command"),
            ("sysdash count --output -i 10", "for InfluxDB, every ten seconds"),
            ("sysdash count --from a.sysdash -i 1m", "what was recorded, each minute"),
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
            ("sysdash lat --from a.sysdash --since -5m", "a recording's last five minutes"),
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
            ("sysdash summary --from a.sysdash -d 1m", "a recording's first minute"),
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
            ("sysdash slow --from a.sysdash -T 10", "the ten longest of a recording"),
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
    "record": Command(
        "record all that the dashboard shows to a file, for later",
        rewords.record,
        "sysdash.commands.record",
        collects=True,
        examples=(
            ("sysdash record a.sysdash", "until Ctrl-C"),
            ("sysdash record a.sysdash --max-age 15m", "the last 15 minutes, always"),
            ("sysdash record a.sysdash --max-size 60MB", "as much as fits in 60 MB"),
            ("sysdash record --append a.sysdash -d 10m", "ten minutes more of the same"),
            ("sysdash record make.sysdash -- make -j4", "a command, until it ends"),
        ),
    ),
    "replay": Command(
        "the dashboard on a recording, without root",
        rewords.replay,
        "sysdash.commands.replay",
        collects=False,
        examples=(
            ("sysdash replay --demo", "a recording that comes with it"),
            ("sysdash replay a.sysdash --at 10:05", "begin at five past ten"),
            ("sysdash replay a.sysdash --speed 16", "an hour in four minutes"),
        ),
        note="Space pauses and goes on; the arrows left and right, < and > move in time, as\n"
        "does the mouse on the timeline at the bottom; [ ] and z zoom into a window. The\n"
        "help, on ?, has all keys.",
    ),
    "diff": Command(
        "what has changed between two recordings, and what is only noise",
        rewords.diff,
        "sysdash.commands.diff",
        collects=False,
        examples=(
            ("sysdash diff old.sysdash new.sysdash", "two recordings"),
            ("sysdash diff a.sysdash@..10:05 @10:05..", "before and after five past ten"),
            ("sysdash diff a.sysdash@..+30s @-30s..", "its beginning and its end"),
            ("sysdash diff a.sysdash b.sysdash --all", "what is only noise, too"),
            ("sysdash diff a.sysdash b.sysdash --json", "for a program to read"),
        ),
        note=rewords.NOISE_NOTE,
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
