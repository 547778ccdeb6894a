"""What measuring the time off the CPU adds to a context switch: two processes and a pipe on a CPU.

The tools run on the other CPUs. A turn is a write, a read and one switch, so it has the cost of
tracing the calls as well: the ratio of what is added tells the two apart.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import harness
from harness import Results, Spread, Subject

TURNS_PER_BLOCK = 5_000
NS = "ns a turn"

NONE = "no tracing"
OURS = "sysdash: everything"
OFF_CPU = "sysdash: everything, off-CPU too"
STACKS = "sysdash: stacks"
PEER = "libbpf-tools offcputime"

RATIOS = ((OFF_CPU, OURS), (STACKS, PEER))
"""What is compared: what the first adds, in parts of what the second does."""


def subjects(quick: bool) -> list[Subject]:
    """Everything that is compared; with ``quick`` only ours."""
    own = [
        harness.nothing(),
        harness.ours(OURS),
        harness.ours(OFF_CPU, off_cpu=True),
        harness.ours(STACKS, blocks=True),
    ]
    return own if quick else [*own, harness.peer(PEER, "offcputime")]


def load(program: Path, cpu: int, turns: int) -> Callable[[], dict[str, float]]:
    """A measurement: CPU time per turn in ns, the median over blocks of turns."""
    blocks = max(1, turns // TURNS_PER_BLOCK)
    argv = [str(program), str(cpu), str(blocks), str(min(turns, TURNS_PER_BLOCK))]

    def measure() -> dict[str, float]:
        # Two turns and stacks of both take tens of microseconds under the slowest tool.
        timeout_s = 10 + turns * 2e-4
        found = subprocess.run(argv, capture_output=True, check=True, text=True, timeout=timeout_s)
        return {NS: statistics.median(map(float, found.stdout.split()))}

    return measure


def report(results: Results, rounds: int, turns: int) -> str:
    """The table and its notes."""
    rows = []
    for name in results.samples:
        row = [name, f"{Spread.of(results.values(name, NS)).median:.0f}", "", ""]
        if name != NONE:
            spread = Spread.of(_added(results, name))
            row[2:] = [f"{spread.median:.0f}", f"[{spread.low:.0f} {spread.high:.0f}]"]
        rows.append(row)
    lines = [
        harness.heading("ns added to a turn (a write, a read and a context switch)"),
        f"{rounds} rounds of {turns:,} turns, medians; in brackets the quartiles\n",
        harness.table(("what", NS, "added", ""), rows),
        "",
        *(line for pair in RATIOS for line in _ratio(results, *pair)),
        harness.footnotes(results),
    ]
    return "\n".join(lines).rstrip()


def _added(results: Results, name: str) -> list[float]:
    pairs = zip(results.values(name, NS), results.values(NONE, NS), strict=True)
    return [traced - untraced for traced, untraced in pairs]


def _ratio(results: Results, one: str, other: str) -> list[str]:
    if not {one, other} <= set(results.samples):
        return []
    found = harness.ratios(_added(results, one), _added(results, other))
    if not found:
        return [f"{one} / {other}: lost in noise"]
    spread = Spread.of(found)
    quartiles = f"[{spread.low:.2f} {spread.high:.2f}]"
    return [f"ratio of what is added, {one} / {other}: {spread.median:.2f} {quartiles}"]


def run() -> None:
    """Read the words, measure, print."""
    parser = harness.arguments(__doc__, rounds=15)
    parser.add_argument(
        "--turns", type=harness.positive, default=100_000, help="turns a round: %(default)s"
    )
    parser.add_argument("--quick", action="store_true", help="leave out other tools")
    harness.add_patience(parser)
    args = parser.parse_args()
    cpu = harness.leave_a_cpu()
    with tempfile.TemporaryDirectory() as folder:
        measure = load(harness.compiled("turns.c", Path(folder)), cpu, args.turns)
        results = harness.interleave(subjects(args.quick), measure, args.rounds, args.patience)
    if args.json:
        harness.print_json("switches", turns=args.turns, **asdict(results))
    else:
        print(report(results, args.rounds, args.turns))


if __name__ == "__main__":
    sys.exit(harness.main(run))
