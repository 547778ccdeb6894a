"""Whether sysdash, strace and perf trace tell the same of what a command does.

For each command: the calls and errors of every syscall as sysdash and `strace -c -f` count them,
which must be equal; the mean time of a call as sysdash, `perf trace -s` and `strace -T` measure it,
and why they differ; and for one command the whole tables of sysdash and perf.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import harness
from harness import Unavailable

OURS, STRACE, STRACE_T, PERF = "sysdash", "strace -c -f", "strace -T -f", "perf trace -s"
LONGEST_S = 120.0
MOST_SYSCALLS = 6

# strace counts a call when it returns to the program. These never do; pause is where the threads of
# threads.c are when their process ends.
NOT_RETURNING = ("exit", "exit_group", "pause")

SOURCE = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int digits(int x)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", abs(x));
	return (int)strlen(text);
}
"""

NOTES = """\
Counts: exit, exit_group and pause are left out, as strace counts only calls that return to the
program, which they do not do here. A syscall whose count changes from run to run of one and the
same tool is named, but is no difference, if both have ever said the same.
Where perf shows fewer calls of several threads and no loss, it has missed them without saying so:
its number changes from run to run, and that of the program does not.
Times: sysdash and perf read the clock in the same two tracepoints, at the begin and the end of the
call. Between the two readings sysdash stores a few words; perf writes an event into a buffer for
its own process to read, and may wake it up. What the buffer cannot take is lost. strace -T stops
the process at both ends of the call and reads the clock itself, so that changes of context and
calls of strace are part of the time."""


@dataclass
class Found:
    """What a tool says of one syscall.

    Attributes:
        calls: how many returned.
        errors: how many of them failed.
        total_ns: time in them; None if the tool was not asked.
    """

    calls: int = 0
    errors: int = 0
    total_ns: float | None = None

    def add(self, calls: int, errors: int, ns: float | None) -> None:
        """Add what is said of another thread, or of another error."""
        self.calls += calls
        self.errors += errors
        if ns is not None:
            self.total_ns = (self.total_ns or 0.0) + ns


Told = dict[str, Found]
"""By the syscall's name."""


@dataclass
class Compared:
    """One command and what the tools said of it.

    Attributes:
        name: as the tables show it.
        told: by tool, one for each round.
        lost: events that perf says that it lost, over all rounds.
        absent: tools that do not run, and why.
    """

    name: str
    told: dict[str, list[Told]] = field(default_factory=dict)
    lost: int = 0
    absent: dict[str, str] = field(default_factory=dict)

    def different(self) -> dict[str, str]:
        """Syscalls that sysdash and strace do not agree on, with what each of them says."""
        return self._compare(varying=False)

    def varying(self) -> dict[str, str]:
        """Syscalls of which a tool said different things in different rounds."""
        return self._compare(varying=True)

    def _compare(self, *, varying: bool) -> dict[str, str]:
        ours, strace = self.told.get(OURS, []), self.told.get(STRACE, [])
        if not ours or not strace:
            return {}
        found = {}
        for name in sorted({name for told in (*ours, *strace) for name in told}):
            said = [_counts(told.get(name) for told in by) for by in (ours, strace)]
            if name in NOT_RETURNING or (said[0] == said[1] and len(said[0]) == 1):
                continue
            # What changes from run to run is a difference all the same if they never agree.
            changes = any(len(counts) > 1 for counts in said) and bool(said[0] & said[1])
            if changes == varying:
                texts = (", ".join(f"{c}/{e}" for c, e in sorted(counts)) for counts in said)
                found[name] = f"{OURS} {next(texts)}, strace {next(texts)}"
        return found


def _counts(found: Iterable[Found | None]) -> set[tuple[int, int]]:
    return {(one.calls, one.errors) if one else (0, 0) for one in found}


# --- The tools ---


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
        timeout=LONGEST_S,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise Unavailable(f"{argv[0]} ended with {done.returncode}: {said[-1]}")
    return done


def sysdash() -> str:
    """How sysdash is called."""
    script = Path(sys.executable).parent / "sysdash"
    if not script.exists():
        raise Unavailable("sysdash is not installed beside this Python")
    return str(script)


def by_sysdash(command: Sequence[str]) -> Told:
    """Count and time with sysdash."""
    done = _run([sysdash(), "summary", "--json", "--errno-summary", "--", *command])
    told: Told = {}
    for line in done.stdout.splitlines():
        if not line.startswith('{"schema": "sysdash.aggregate/1"'):
            continue  # the command's own output
        found = json.loads(line)
        lost = {name: n for name, n in found["lost"].items() if n and not name.startswith("slow")}
        if lost:
            raise Unavailable(f"sysdash lost {lost}")
        for row in found["rows"]:
            one = told.setdefault(row["syscall"], Found())
            one.add(row["count"], row["errors"], row["total_ns"])
    return told


def by_strace(command: Sequence[str]) -> Told:
    """Count with strace."""
    return _strace(["-c"], command, read_counts)


def by_strace_times(command: Sequence[str]) -> Told:
    """Time each call with strace."""
    return _strace(["-T"], command, read_times)


def _strace(words: Sequence[str], command: Sequence[str], read: Callable[[str], Told]) -> Told:
    if harness.installed("strace") is None:
        raise Unavailable("strace is not installed")
    with tempfile.NamedTemporaryFile() as output:
        _run(["strace", *words, "-f", "-o", output.name, *command])
        return read(output.read().decode(errors="replace"))


def read_counts(text: str) -> Told:
    """The table of strace -c."""
    told: Told = {}
    # % time, seconds, usecs/call, calls, errors (or nothing), name
    line = re.compile(r" *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:(\d+) +)?(\w+)")
    for one in text.splitlines():
        found = line.fullmatch(one.rstrip())
        if found and found[3] != "total":
            told.setdefault(found[3], Found()).add(int(found[1]), int(found[2] or 0), None)
    return told


def read_times(text: str) -> Told:
    """The lines of strace -T, each with the time in its call at its end."""
    told: Told = {}
    line = re.compile(r"\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*) <(\d+\.\d+)>")
    for one in text.splitlines():
        found = line.fullmatch(one.rstrip())
        if found:
            failed = " = -1 E" in found[2]
            told.setdefault(found[1], Found()).add(1, int(failed), float(found[3]) * 1e9)
    return told


def by_perf(command: Sequence[str]) -> tuple[Told, int, str]:
    """Count and time with perf; also the events that it lost, and its whole output."""
    if harness.installed("perf") is None:
        raise Unavailable("perf is not installed")
    with tempfile.NamedTemporaryFile() as output:
        perf = ["perf", "trace", "-s", "-o", output.name, "--", *command]
        done = _run([*harness.WITH_TRACEFS, *perf])
        text = output.read().decode(errors="replace")
    lost = sum(map(int, re.findall(r"LOST (\d+) events", done.stderr + text)))
    return read_perf(text), lost, text


def read_perf(text: str) -> Told:
    """The tables of perf trace -s, one for each thread."""
    told: Told = {}
    # name, calls, errors, total, min, avg, max (msec), stddev
    line = re.compile(r" +(\w+) +(\d+) +(\d+) +([\d.]+)(?: +[\d.]+){3} +[\d.]+%")
    for one in text.splitlines():
        found = line.fullmatch(one.rstrip())
        if found:
            calls, errors, total_ms = int(found[2]), int(found[3]), float(found[4])
            told.setdefault(found[1], Found()).add(calls, errors, total_ms * 1e6)
    return told


def compare(name: str, command: Sequence[str], rounds: int) -> Compared:
    """What every tool says of a command, in so many rounds."""
    compared = Compared(name)

    def perf(command: Sequence[str]) -> Told:
        told, lost, _ = by_perf(command)
        compared.lost += lost
        return told

    tools = {OURS: by_sysdash, STRACE: by_strace, STRACE_T: by_strace_times, PERF: perf}
    _run(command)  # makes the files that later runs find
    for number in range(1, rounds + 1):
        for tool, ask in tools.items():
            if tool in compared.absent:
                continue
            harness.progress(f"round {number} of {rounds}: {name}, {tool}")
            try:
                compared.told.setdefault(tool, []).append(ask(command))
            except Unavailable as reason:
                compared.absent[tool] = str(reason)
                compared.told.pop(tool, None)
    return compared


# --- Output ---


def report(found: Sequence[Compared], tables: str) -> str:
    """The counts, the times, and the two whole tables."""
    lines = [
        harness.heading("What sysdash, strace and perf tell of the same commands"),
        harness.table(
            ("calls, all rounds", "syscalls", OURS, "errors", STRACE, "errors", "", PERF, "lost"),
            [_count_row(one) for one in found],
        ),
    ]
    for one in found:
        for verb, which in (("DIFFERS", one.different()), ("varies", one.varying())):
            lines += [f"{one.name}: {name} {verb}: {text}" for name, text in which.items()]
        lines += [f"{one.name}: {tool}: {reason}" for tool, reason in one.absent.items()]
    lines += [
        "",
        harness.table(
            ("mean µs of a call", "calls", OURS, PERF, STRACE_T),
            [row for one in found for row in _time_rows(one)],
        ),
        "",
        NOTES,
    ]
    return "\n".join([*lines, "", tables]).rstrip()


def _count_row(one: Compared) -> list[str]:
    names = {name for told in one.told.get(OURS, []) for name in told} - set(NOT_RETURNING)
    row = [one.name, str(len(names))]
    for tool in (OURS, STRACE):
        row += [str(n) for n in _sum(one.told.get(tool))] if tool in one.told else ["-", "-"]
    if OURS in one.told and STRACE in one.told:
        row.append("DIFFERENT" if one.different() else "equal")
    else:
        row.append("")
    calls, _ = _sum(one.told.get(PERF))
    return [*row, *([str(calls), str(one.lost)] if PERF in one.told else ["-", "-"])]


def _sum(rounds: Sequence[Told] | None) -> tuple[int, int]:
    found = [
        one for told in rounds or [] for name, one in told.items() if name not in NOT_RETURNING
    ]
    return sum(one.calls for one in found), sum(one.errors for one in found)


def _time_rows(one: Compared) -> list[list[str]]:
    """The syscalls that are made most often, first."""
    ours = _added(one.told.get(OURS, []))
    names = sorted(ours.keys() - set(NOT_RETURNING), key=lambda name: -ours[name].calls)
    others = [_added(one.told.get(tool, [])) for tool in (PERF, STRACE_T)]
    return [
        [
            f"{one.name}: {name}",
            str(ours[name].calls),
            *(_mean_us(told.get(name)) for told in (ours, *others)),
        ]
        for name in names[:MOST_SYSCALLS]
    ]


def _added(rounds: Sequence[Told]) -> Mapping[str, Found]:
    added: Told = {}
    for told in rounds:
        for name, one in told.items():
            added.setdefault(name, Found()).add(one.calls, one.errors, one.total_ns)
    return added


def _mean_us(found: Found | None) -> str:
    if found is None or found.total_ns is None or not found.calls:
        return "-"
    return f"{found.total_ns / found.calls / 1000:.2f}"


def whole_tables(command: Sequence[str]) -> str:
    """What sysdash summary and perf trace -s print for a command."""
    ours = _run([sysdash(), "summary", "--by", "thread", "--", *command]).stdout.strip("\n")
    try:
        _, _, perfs = by_perf(command)
    except Unavailable as reason:
        perfs = str(reason)
    words = " ".join(command)
    return f"$ sysdash summary --by thread -- {words}\n{ours}\n\n$ perf trace -s {words}\n{perfs}"


def commands(folder: Path, calls: int) -> dict[str, list[str]]:
    """The commands, by their names."""
    copy = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={calls}", "status=none"]
    threads = str(harness.compiled("threads.c", folder))
    source = folder / "unit.c"
    source.write_text(SOURCE)
    # The heap's place and the names of temporary files, which are random, decide how often brk and
    # getrandom are called.
    compilation = ["setarch", "-R", "gcc", "-c", "-save-temps=obj", str(source)]
    return {
        f"dd, {calls} bytes one by one": copy,
        "4 threads": [threads, "4", str(max(calls // 20, 1))],
        "gcc -c": [*compilation, "-o", str(folder / "unit.o")],
    }


def run() -> None:
    """Read the words, measure, print."""
    parser = harness.arguments(__doc__, rounds=3)
    parser.add_argument(
        "--calls", type=harness.positive, default=20_000, help="bytes that dd copies: %(default)s"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        wanted = commands(Path(name), args.calls)
        found = [compare(which, command, args.rounds) for which, command in wanted.items()]
        tables = "" if args.json else whole_tables(next(iter(wanted.values())))
    harness.progress("")
    if args.json:
        harness.print_json(
            "compare",
            commands=[
                {**asdict(one), "different": one.different(), "varying": one.varying()}
                for one in found
            ],
        )
    else:
        print(report(found, tables))


if __name__ == "__main__":
    sys.exit(harness.main(run))
