"""How much tracing slows down real work: redis-benchmark, a compilation, `find /`.

In each round every subject sees all the work once, in random order; slow-downs compare, within a
round, with no tracing. Both the time that passes and the CPU time are shown: on a busy machine the
second is the steadier one.
"""

from __future__ import annotations

import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import harness
from harness import Bound, Results, Spread, Unavailable

NONE, FLOOR, OURS, PEER = (
    "no tracing",
    "floor: both, one clock reading each",
    "sysdash: everything",
    "libbpf-tools syscount -L",
)
BOUND = Bound(5.0, 2.0)
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
LONGEST_S = 120.0

Work = Callable[[], tuple[float, float]]
"""Does the work and returns the seconds that passed and the CPU seconds that it took."""


def _timed(argv: Sequence[str]) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=LONGEST_S
    )
    elapsed = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def redis(requests: int) -> Iterator[Work]:
    """GETs and SETs from 50 connections to a server of our own."""
    for tool in ("redis-server", "redis-benchmark"):
        if harness.installed(tool) is None:
            raise Unavailable(f"{tool} is not installed")
    port = _free_port()
    server = ["redis-server", "--bind", "127.0.0.1", "--port", str(port)]
    server += ["--save", "", "--appendonly", "no"]
    client = ["redis-benchmark", "-p", str(port), "-t", "get,set", "-n", str(requests), "-q"]
    with harness.started(server) as process:
        _wait_for_port(port)

        def work() -> tuple[float, float]:
            before = harness.cpu_s(process.pid)
            elapsed, used = _timed(client)
            return elapsed, used + harness.cpu_s(process.pid) - before

        yield work


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise Unavailable("redis-server does not answer") from None
            time.sleep(0.05)
        else:
            return


@contextmanager
def compilation(files: int) -> Iterator[Work]:
    """As many small C files as asked for, each with the usual headers, by make on all CPUs."""
    for tool in ("make", "gcc"):
        if harness.installed(tool) is None:
            raise Unavailable(f"{tool} is not installed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects = [f"unit{i}.o" for i in range(files)]
        for number, target in enumerate(objects):
            (folder / target).with_suffix(".c").write_text(_unit(number))
        (folder / "Makefile").write_text(f"all: {' '.join(objects)}\n")
        jobs = f"-j{os.cpu_count()}"
        yield lambda: _timed(["make", "-s", "-B", jobs, "-C", name, "CC=gcc", "CFLAGS=-O1"])


def _unit(number: int) -> str:
    headers = "stdio stdlib string unistd errno math time pthread sys/socket netinet/in".split()
    lines = [f"#include <{header}.h>" for header in headers]
    lines += [
        f'int f{number}_{i}(int x) {{ char s[64]; snprintf(s, 64, "%d", x * {i}); '
        f"return atoi(s) + (int)strlen(s); }}"
        for i in range(20)
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def find(root: Path, *, cold: bool = False) -> Iterator[Work]:
    """Every file below ``root`` on its file system, with warm caches or with none."""
    if harness.installed("find") is None:
        raise Unavailable("find is not installed")

    def work() -> tuple[float, float]:
        if cold:
            os.sync()
            DROP_CACHES.write_text("3")  # Documentation/admin-guide/sysctl/vm.rst
        return _timed(["find", str(root), "-xdev"])

    yield work


def _measure(works: Mapping[str, Work]) -> dict[str, float]:
    found = {}
    for name in random.sample(list(works), len(works)):
        found[name], found[_cpu(name)] = works[name]()
    return found


def _cpu(work: str) -> str:
    return f"{work}: CPU"


def report(results: Results, rounds: int, works: Sequence[str], absent: Mapping[str, str]) -> str:
    """The table and its notes."""
    rows = []
    for work in works:
        for subject in results.samples:
            row = [f"{work}: {subject}"]
            for quantity in (work, _cpu(work)):
                row += _columns(results, subject, quantity)
            if subject == OURS:
                slow_down = _slow_down(results, subject, work)
                row += ["< 5%", "< 2%", BOUND.verdict(Spread.of(slow_down))]
            else:
                row += ["", "", ""]
            rows.append(row)
    head = ("work: tracing", "seconds", "slower", "", "CPU s", "more", "", "must", "aim", "")
    lines = [
        harness.heading("Slow-down of real work"),
        f"{rounds} rounds, medians; against no tracing in the same round, with quartiles\n",
        harness.table(head, rows),
        *(f"{work}: {reason}" for work, reason in absent.items()),
        harness.footnotes(results),
    ]
    return "\n".join(lines).rstrip()


def _slow_down(results: Results, subject: str, quantity: str) -> list[float]:
    ratios = harness.ratios(results.values(subject, quantity), results.values(NONE, quantity))
    return [100 * (ratio - 1) for ratio in ratios]


def _columns(results: Results, subject: str, quantity: str) -> list[str]:
    seconds = f"{Spread.of(results.values(subject, quantity)).median:.3f}"
    if subject == NONE:
        return [seconds, "", ""]
    spread = Spread.of(_slow_down(results, subject, quantity))
    return [seconds, f"{spread.median:+.1f}%", f"[{spread.low:+.1f} {spread.high:+.1f}]"]


def run() -> None:
    """Read the words, measure, print."""
    parser = harness.arguments(__doc__, rounds=9)
    parser.add_argument(
        "--requests", type=harness.positive, default=50_000, help="of each kind: %(default)s"
    )
    parser.add_argument(
        "--files", type=harness.positive, default=20, help="C files to compile: %(default)s"
    )
    parser.add_argument(
        "--cold", action="store_true", help="find without caches too: drops those of the machine"
    )
    parser.add_argument("--root", type=Path, default=Path("/"), help="where find starts")
    harness.add_patience(parser)
    args = parser.parse_args()
    subjects = [
        harness.nothing(),
        harness.bare(FLOOR, "floor"),
        harness.ours(OURS),
        harness.peer(PEER, "syscount", "-L"),
    ]
    wanted = {
        "redis-benchmark": redis(args.requests),
        "compilation": compilation(args.files),
        "find /": find(args.root),
    }
    if args.cold:
        wanted["find /, cold caches"] = find(args.root, cold=True)
    works: dict[str, Work] = {}
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        for name, prepared in wanted.items():
            try:
                works[name] = stack.enter_context(prepared)
            except Unavailable as reason:
                absent[name] = str(reason)
        harness.progress("warming up")
        _measure(works)
        results = harness.interleave(subjects, lambda: _measure(works), args.rounds, args.patience)
    if args.json:
        harness.print_json("workloads", absent_work=absent, **asdict(results))
    else:
        print(report(results, args.rounds, list(works), absent))


if __name__ == "__main__":
    sys.exit(harness.main(run))
