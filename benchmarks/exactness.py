"""Whether any call is missing or counted twice: known numbers of calls against what tools count.

Two loads: threads that call without a pause on all CPUs while the tools read and print every
interval, and a storm of short-lived processes. The calls are such as hardly any other program
makes, so whole-system counts can be compared. strace is given fewer, as it is slow.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import harness
from harness import Unavailable

from sysdash import syscalls
from sysdash.errors import CannotCollect
from sysdash.probes.source import BpfSource
from sysdash.records import Sample

NAMES = ("sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval")
FAILING = "timer_delete"
READ_EVERY_S = 0.1
LONGEST_S = 300.0
STRACE_SHARE = 200


@dataclass(frozen=True)
class Load:
    """A run of the program known.c.

    Attributes:
        name: as the table shows it.
        threads, calls, processes: its arguments.
    """

    name: str
    threads: int
    calls: int
    processes: int

    @property
    def each(self) -> int:
        """How often each of the calls is made."""
        return self.threads * self.calls + self.processes

    def smaller(self, divisor: int) -> Load:
        """The same with so many times fewer calls and processes."""
        calls, processes = (-(-n // divisor) for n in (self.calls, self.processes))
        return Load(self.name, self.threads, calls, processes)

    def argv(self, program: Path) -> list[str]:
        """How it is called."""
        return [str(program), str(self.threads), str(self.calls), str(self.processes)]


@dataclass
class Counted:
    """What a tool counted.

    Attributes:
        calls: of all four calls together.
        errors: those that failed; None if the tool does not tell.
        lost: what it says that it lost; a dash if it never says.
    """

    calls: int
    errors: int | None = None
    lost: str = "-"


def _run(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, timeout=LONGEST_S)


def by_sysdash(argv: Sequence[str]) -> Counted:
    """Count with the probe, which is read ten times a second meanwhile."""
    try:
        source = BpfSource()
    except CannotCollect as error:
        raise Unavailable(str(error)) from None
    samples: list[Sample] = []
    done = threading.Event()

    def read() -> None:
        while not done.wait(READ_EVERY_S):
            samples.append(source.read())

    reader = threading.Thread(target=read)
    try:
        reader.start()
        try:
            _run(argv)
        finally:
            done.set()
            reader.join()
        samples.append(source.read())
    finally:
        source.close()
    return _added_up(samples)


def _added_up(samples: Sequence[Sample]) -> Counted:
    numbers = {nr for name in (*NAMES, FAILING) for nr, abi in syscalls.numbers(name) if abi == 0}
    counted = Counted(0, 0)
    lost: dict[str, int] = {}
    for sample in samples:
        rows = sample.rows[[int(nr) in numbers for nr in sample.rows["nr"]]]
        rows = rows[rows["abi"] == 0]
        counted.calls += int(rows["count"].sum())
        counted.errors = (counted.errors or 0) + int(rows["count"][rows["errno"] > 0].sum())
        for name, count in sample.lost.items():
            # Slow calls that were not listed are counted like all others.
            if count and not name.startswith("slow"):
                lost[name] = lost.get(name, 0) + count
    counted.lost = ", ".join(f"{name} {count}" for name, count in lost.items()) or "0"
    return counted


def by_syscount(*tool: str) -> Callable[[Sequence[str]], Counted]:
    """Count with a syscount that prints every second."""

    def count(argv: Sequence[str]) -> Counted:
        with tempfile.TemporaryFile() as output:
            with harness.running_peer(*tool, "-i", "1", "-T", "1000", stdout=output):
                _run(argv)
                time.sleep(1.5)  # until it has printed the last interval
            output.seek(0)
            text = output.read().decode(errors="replace")
        found = re.findall(rf"^(?:{'|'.join((*NAMES, FAILING))})\s+(\d+)", text, re.MULTILINE)
        return Counted(sum(map(int, found)))

    return count


def by_strace(argv: Sequence[str]) -> Counted:
    """Count with strace -c -f."""
    with tempfile.NamedTemporaryFile() as output:
        try:
            _run(["strace", "-c", "-f", "-o", output.name, *argv])
        except FileNotFoundError:
            raise Unavailable("not installed") from None
        lines = [line.split() for line in output.read().decode().splitlines()]
    counted = Counted(0, 0)
    for words in lines:
        # % time, seconds, usecs/call, calls, errors (or nothing), name
        if words and words[-1] in (*NAMES, FAILING):
            counted.calls += int(words[3])
            counted.errors = (counted.errors or 0) + (int(words[4]) if len(words) == 6 else 0)
    return counted


TOOLS: dict[str, Callable[[Sequence[str]], Counted]] = {
    "sysdash, read every 0.1 s": by_sysdash,
    "libbpf-tools syscount -i 1": by_syscount("syscount"),
    "bcc syscount -i 1": by_syscount("syscount-bpfcc"),
    "strace -c -f": by_strace,
}


def measure(
    program: Path, loads: Sequence[Load], rounds: int
) -> tuple[list[tuple[Load, str, Counted]], dict[str, str]]:
    """What each tool counted of each load, and tools that do not run, with why."""
    found: list[tuple[Load, str, Counted]] = []
    absent: dict[str, str] = {}
    for number in range(1, rounds + 1):
        for load in loads:
            for name, count in TOOLS.items():
                if name in absent:
                    continue
                harness.progress(f"round {number} of {rounds}: {load.name}, {name}")
                given = load
                if count is by_strace:
                    given = load.smaller(STRACE_SHARE)
                try:
                    found.append((given, name, count(given.argv(program))))
                except Unavailable as reason:
                    absent[name] = str(reason)
    harness.progress("")
    return found, absent


def report(found: Sequence[tuple[Load, str, Counted]], absent: dict[str, str]) -> str:
    """One line for each load and tool, all rounds added up."""
    rows = []
    for load, tool in dict.fromkeys((load, tool) for load, tool, _ in found):
        counts = [counted for one, by, counted in found if (one, by) == (load, tool)]
        made, failed = 4 * load.each * len(counts), load.each * len(counts)
        calls = sum(c.calls for c in counts)
        errors = [c.errors for c in counts if c.errors is not None]
        rows.append(
            [
                f"{load.name}: {tool}",
                f"{made:,}",
                f"{calls - made:+,}" if calls != made else "0",
                f"{failed:,}",
                (f"{sum(errors) - failed:+,}" if sum(errors) != failed else "0") if errors else "-",
                "; ".join(dict.fromkeys(c.lost for c in counts)),
            ]
        )
    head = ("load: tool", "calls made", "off by", "failing", "off by", "said to be lost")
    lines = [
        harness.heading("Calls missing or doubled (must: 0, or said to be lost)"),
        harness.table(head, rows),
        *(f"{name}: {reason}" for name, reason in absent.items()),
    ]
    return "\n".join(lines)


def run() -> None:
    """Read the words, measure, print."""
    parser = harness.arguments(__doc__, rounds=3)
    parser.add_argument(
        "--calls",
        type=harness.positive,
        default=1_000_000,
        help="of each of four kinds, each thread: %(default)s",
    )
    parser.add_argument(
        "--processes", type=harness.positive, default=5_000, help="in a storm: %(default)s"
    )
    args = parser.parse_args()
    loads = (
        Load("threads", 2 * (os.cpu_count() or 1), args.calls, 0),
        Load("short-lived processes", 0, 0, args.processes),
    )
    with tempfile.TemporaryDirectory() as folder:
        found, absent = measure(harness.compiled("known.c", Path(folder)), loads, args.rounds)
    if args.json:
        runs = [
            {"load": asdict(load), "tool": tool, "made": 4 * load.each, **asdict(counted)}
            for load, tool, counted in found
        ]
        harness.print_json("exactness", runs=runs, absent=absent)
    else:
        print(report(found, absent))


if __name__ == "__main__":
    sys.exit(harness.main(run))
