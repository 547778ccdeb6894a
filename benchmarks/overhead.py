"""What tracing adds to one system call: getppid in a tight loop on a CPU of its own.

The tools run on the other CPUs. In each round every subject is measured once, in random order;
ratios compare, within a round, what two subjects add to the untraced call.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import harness
from harness import Bound, Results, Spread, Subject

from sysdash.filters import Filters

CALLS_PER_BLOCK = 5_000
NS = "ns a call"

NONE = "no tracing"
EMPTY = "empty raw tracepoints"
FLOOR = "floor: both, one clock reading each"
OURS = "sysdash: everything"
OFF_CPU = "sysdash: everything, off-CPU too"
COUNTING = "sysdash: counting only"
EXCLUDED = "sysdash: filter excludes the process"
LIBBPF_COUNT = "libbpf-tools syscount"
LIBBPF_LATENCY = "libbpf-tools syscount -L"
LIBBPF_PROCESS = "libbpf-tools syscount -P -L"
BCC_COUNT = "bcc syscount"
BCC_LATENCY = "bcc syscount -L"
BPFTRACE_COUNT = "bpftrace, count by number"
BPFTRACE_HIST = "bpftrace, stats and hist by number"
PERF = "perf trace -s -a"


def subjects(quick: bool) -> list[Subject]:
    """Everything that is compared; with ``quick`` only ours, the floor and libbpf-tools."""
    fast = [
        Subject(NONE, harness.nothing().up),
        harness.bare(EMPTY, "empty"),
        harness.bare(FLOOR, "floor"),
        harness.ours(OURS),
        harness.ours(OFF_CPU, off_cpu=True),
        # PID 1 never makes the measured calls.
        harness.ours(EXCLUDED, Filters(pids=(1,))),
        harness.ours(COUNTING, timed=False),
        harness.peer(LIBBPF_COUNT, "syscount"),
        harness.peer(LIBBPF_LATENCY, "syscount", "-L"),
        harness.peer(LIBBPF_PROCESS, "syscount", "-P", "-L"),
    ]
    enter, leave = "tracepoint:raw_syscalls:sys_enter", "tracepoint:raw_syscalls:sys_exit"
    count = f"{enter} {{ @[args->id] = count(); }}"
    timed = (
        f"{enter} {{ @start[tid] = nsecs; }} {leave} /@start[tid]/ {{ $t = nsecs - @start[tid];"
        " @stats[args->id] = stats($t); @hist[args->id] = hist($t); delete(@start[tid]); }"
    )
    slow = [
        harness.peer(BCC_COUNT, "syscount-bpfcc"),
        harness.peer(BCC_LATENCY, "syscount-bpfcc", "-L"),
        harness.peer(BPFTRACE_COUNT, "bpftrace", "-e", count),
        harness.peer(BPFTRACE_HIST, "bpftrace", "-e", timed),
        harness.peer(PERF, "perf", "trace", "-s", "-a", "-o", "/dev/null"),
    ]
    return fast if quick else fast + slow


@dataclass(frozen=True)
class Comparison:
    """What one subject adds over what another adds, and the number to hold."""

    subject: str
    over: str
    bound: Bound


COMPARISONS = (
    Comparison(OURS, FLOOR, Bound(1.45, 1.25)),
    Comparison(OFF_CPU, OURS, Bound(1.3, 1.15)),
    Comparison(OURS, LIBBPF_LATENCY, Bound(0.65, 0.55)),
    Comparison(OURS, BCC_LATENCY, Bound(0.65, 0.55)),
    Comparison(COUNTING, LIBBPF_COUNT, Bound(0.9, 0.6)),
    Comparison(COUNTING, BCC_COUNT, Bound(0.9, 0.6)),
)


def load(program: Path, cpu: int, calls: int) -> Callable[[], dict[str, float]]:
    """A measurement: CPU time per call in ns, the median over blocks of calls."""
    blocks = max(1, calls // CALLS_PER_BLOCK)
    argv = [str(program), str(cpu), str(blocks), str(min(calls, CALLS_PER_BLOCK))]

    def measure() -> dict[str, float]:
        # A call under the slowest tool takes a few microseconds.
        timeout_s = 10 + calls * 1e-4
        found = subprocess.run(argv, capture_output=True, check=True, text=True, timeout=timeout_s)
        return {NS: statistics.median(map(float, found.stdout.split()))}

    return measure


def report(results: Results, rounds: int, calls: int) -> str:
    """Both tables."""
    lines = [
        harness.heading("ns added to one call (getppid)"),
        f"{rounds} rounds of {calls:,} calls, medians; in brackets the quartiles\n",
        harness.table(("what", "ns a call", "added", "", "x floor"), _costs(results)),
        "",
        harness.table(
            ("ratio of what is added", "ratio", "", "must", "aim", ""), _comparisons(results)
        ),
        harness.footnotes(results),
    ]
    return "\n".join(lines).rstrip()


def _costs(results: Results) -> list[list[str]]:
    rows = []
    floor = _added(results, FLOOR)
    for name in results.samples:
        row = [name, f"{Spread.of(results.values(name, NS)).median:.1f}", "", "", ""]
        more = _added(results, name)
        if name != NONE and more:
            spread = Spread.of(more)
            row[2:4] = [f"{spread.median:.1f}", f"[{spread.low:.0f} {spread.high:.0f}]"]
            if times := harness.ratios(more, floor):
                row[4] = f"{Spread.of(times).median:.2f}"
        rows.append(row)
    return rows


def _added(results: Results, name: str) -> list[float]:
    pairs = zip(results.values(name, NS), results.values(NONE, NS), strict=False)
    return [traced - untraced for traced, untraced in pairs]


def _comparisons(results: Results) -> list[list[str]]:
    rows = []
    for c in COMPARISONS:
        name = f"{c.subject} / {c.over}"
        bounds = [f"{c.bound.must:.2f}", f"{c.bound.aim:.2f}"]
        pairs = harness.ratios(_added(results, c.subject), _added(results, c.over))
        if pairs:
            spread = Spread.of(pairs)
            verdict = c.bound.verdict(spread)
            quartiles = f"[{spread.low:.2f} {spread.high:.2f}]"
            rows.append([name, f"{spread.median:.3f}", quartiles, *bounds, verdict])
        else:
            rows.append([name, "-", "", *bounds, "not measured"])
    return rows


def run() -> None:
    """Read the words, measure, print."""
    parser = harness.arguments(__doc__, rounds=15)
    parser.add_argument(
        "--calls", type=harness.positive, default=300_000, help="calls a round: %(default)s"
    )
    parser.add_argument(
        "--quick", action="store_true", help="leave out the tools that take seconds to start"
    )
    harness.add_patience(parser)
    args = parser.parse_args()
    cpu = harness.leave_a_cpu()
    with tempfile.TemporaryDirectory() as folder:
        measure = load(harness.compiled("calls.c", Path(folder)), cpu, args.calls)
        results = harness.interleave(subjects(args.quick), measure, args.rounds, args.patience)
    if args.json:
        harness.print_json("overhead", calls=args.calls, **asdict(results))
    else:
        print(report(results, args.rounds, args.calls))


if __name__ == "__main__":
    sys.exit(harness.main(run))
