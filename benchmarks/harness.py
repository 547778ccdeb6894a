"""What the benchmarks share: subjects that come up and go down, fair rounds, statistics, tables.

A benchmark compares *subjects* (no tracing, the floor, sysdash, other tools). Every round measures
each of them once, in random order, and a ratio is taken within a round before the median is taken
over the rounds: so slow changes of the machine, and the order, cancel out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from sysdash.collector import Collector
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.probes.loader import Program
from sysdash.probes.source import BpfSource
from sysdash.records import BlockRule

HERE = Path(__file__).parent
STUB_HEADERS = HERE.parent / "sysdash" / "probes" / "kernel_headers"

_ALL = Filters()
_UP_S = 20.0
_DOWN_S = 5.0
_SETTLE_S = 0.3
_TRACING = {"raw_tracepoint", "raw_tracepoint_writable", "tracepoint", "kprobe", "tracing"}


class Unavailable(Exception):
    """A subject or a whole benchmark cannot run on this machine; the text says why."""


@dataclass(frozen=True)
class Subject:
    """Something whose cost is measured.

    Attributes:
        name: as the table shows it; unique in a benchmark.
        up: makes it run inside a ``with`` block; raises :class:`Unavailable`.
    """

    name: str
    up: Callable[[], AbstractContextManager[object]]


# --- Processes ---


@contextmanager
def started(
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives no longer than the block, nor than this process.

    It is ended as with Ctrl-C, and killed if that does not help.
    """
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *argv],
        env=None if env is None else {**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=stdout or subprocess.DEVNULL,
        stderr=stderr or subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_DOWN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def installed(tool: str) -> str | None:
    """Where a program is; also those that are only on root's path."""
    return shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def compiled(source: str, folder: Path) -> Path:
    """Compile a C file of this folder into ``folder``.

    Raises:
        Unavailable: there is no C compiler.
    """
    if installed("gcc") is None:
        raise Unavailable("gcc is not installed, and the load is a C program")
    program = folder / Path(source).stem
    command = ["gcc", "-O2", "-Wall", "-Werror", "-pthread", "-o", str(program), str(HERE / source)]
    subprocess.run(command, check=True)
    return program


def tracing_programs() -> frozenset[int]:
    """IDs of the BPF programs in the kernel that can slow down system calls."""
    bpftool = installed("bpftool")
    if bpftool is None:
        return frozenset()
    listed = subprocess.run(
        [bpftool, "--json", "prog", "show"], capture_output=True, check=False, text=True
    )
    programs = json.loads(listed.stdout) if listed.returncode == 0 else []
    return frozenset(p["id"] for p in programs if p.get("type") in _TRACING)


# --- Subjects ---


def nothing() -> Subject:
    """No tracing at all."""
    return Subject("no tracing", nullcontext)


def bare(name: str, prefix: str) -> Subject:
    """Programs of floor.bpf.c on both raw tracepoints."""

    @contextmanager
    def up() -> Iterator[None]:
        try:
            with Program(str(HERE / "floor.bpf.c"), {}) as program:
                program.attach(f"{prefix}_exit", "sys_exit")
                program.attach(f"{prefix}_enter", "sys_enter")
                yield
        except CannotCollect as error:
            raise Unavailable(str(error)) from None

    return Subject(name, up)


def leave_a_cpu() -> int:
    """Keep this process and its children off one CPU, if there are several; returns its number."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:
        os.sched_setaffinity(0, cpus[:-1])
    return cpus[-1]


def ours(
    name: str,
    filters: Filters = _ALL,
    *,
    timed: bool = True,
    off_cpu: bool = False,
    blocks: bool = False,
) -> Subject:
    """The probe, read and evaluated once a second as the dashboard does.

    Args:
        name: the subject's.
        filters: what is collected.
        timed: everything on; otherwise it only counts.
        off_cpu: also measure how long calls are off the CPU.
        blocks: count that by stack, and find no slow calls, as ``sysdash stacks`` does.
    """
    threshold_ns = None if blocks else 10_000_000
    rule = BlockRule() if blocks else None

    @contextmanager
    def up() -> Iterator[None]:
        try:
            source = BpfSource(
                filters,
                default_threshold_ns=threshold_ns,
                timed=timed,
                off_cpu=off_cpu,
                blocks=rule,
            )
        except CannotCollect as error:
            raise Unavailable(str(error)) from None
        collector = Collector(lambda: source, 1.0, lambda _: None, lambda: None)
        collector.start()
        try:
            yield
        finally:
            collector.stop()
        if collector.error:
            raise collector.error

    return Subject(name, up)


# Some tools need tracefs, which need not be mounted; this mount is theirs alone.
WITH_TRACEFS = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    '[ -e /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing;exec "$@"',
    "sh",
)


def peer(name: str, *argv: str) -> Subject:
    """Another tool, as it is installed."""
    return Subject(name, lambda: running_peer(*argv))


@contextmanager
def running_peer(*argv: str, stdout: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Another tool's process, from when it has attached something and is at rest."""
    tool = installed(argv[0])
    if tool is None:
        raise Unavailable("not installed")
    with ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        env = stack.enter_context(_bcc_environment())
        process = stack.enter_context(
            started([*WITH_TRACEFS, tool, *argv[1:]], env, stdout, errors)
        )
        _wait_until_attached(process, errors)
        yield process
        if process.poll() is not None:
            raise Unavailable(f"ended while it was measured: {_last_line(errors)}")


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else "it said nothing"


@contextmanager
def _bcc_environment() -> Iterator[dict[str, str]]:
    """What lets bcc's own tools compile where the kernel's headers are not installed."""
    if Path(f"/lib/modules/{platform.release()}/build").exists():
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(STUB_HEADERS, folder, dirs_exist_ok=True)
        (Path(folder) / "include/linux/sched.h").touch()
        yield {"BCC_KERNEL_SOURCE": folder}


def _wait_until_attached(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    began = stable_since = time.monotonic()
    attached = 0
    while time.monotonic() - began < _UP_S:
        if process.poll() is not None:
            raise Unavailable(f"does not run: {_last_line(errors)}")
        before, attached = attached, _attachments(process.pid)
        if attached != before:
            stable_since = time.monotonic()
        if attached and time.monotonic() - stable_since > _SETTLE_S:
            return
        time.sleep(0.02)
    raise Unavailable(f"attached nothing in {_UP_S:.0f} s")


def _attachments(pid: int) -> int:
    """How many BPF links and perf events a process holds."""
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = descriptor.readlink().name
        except OSError:
            continue  # closed since it was listed
        count += target in ("anon_inode:bpf_link", "anon_inode:[perf_event]")
    return count


# --- Rounds ---


@dataclass(frozen=True)
class Results:
    """What was measured.

    Attributes:
        samples: by subject and quantity, one value a round, in the order of the rounds.
        absent: subjects that could not be measured, and why.
        disturbed: measurements during which somebody else's tracing programs were there too.
    """

    samples: Mapping[str, Mapping[str, list[float]]]
    absent: Mapping[str, str]
    disturbed: int

    def values(self, subject: str, quantity: str) -> list[float]:
        """One value a round; none if the subject is absent."""
        return list(self.samples.get(subject, {}).get(quantity, []))


def interleave(
    subjects: Sequence[Subject],
    measure: Callable[[], Mapping[str, float]],
    rounds: int,
    patience_s: float,
) -> Results:
    """Measure every subject once a round, in a random order each time.

    While other tracing programs are loaded a measurement is repeated, until ``patience_s`` are
    spent on it. A subject that cannot run is left out from then on.

    Args:
        subjects: what is compared.
        measure: called with a subject up; gives one value for every quantity of interest.
        rounds: how often.
        patience_s: see above; 0 measures in any case.
    """
    samples: dict[str, dict[str, list[float]]] = {subject.name: {} for subject in subjects}
    absent: dict[str, str] = {}
    own: set[int] = set()
    disturbed = 0
    for number in range(1, rounds + 1):
        order = [subject for subject in subjects if subject.name not in absent]
        random.shuffle(order)
        for subject in order:
            progress(f"round {number} of {rounds}: {subject.name}")
            try:
                values, alone = _undisturbed(subject, measure, patience_s, own)
            except Unavailable as reason:
                absent[subject.name] = str(reason)
                continue
            for quantity, value in values.items():
                samples[subject.name].setdefault(quantity, []).append(value)
            disturbed += not alone
    progress("")
    whole = {name: found for name, found in samples.items() if name not in absent}
    return Results(whole, absent, disturbed)


def _undisturbed(
    subject: Subject,
    measure: Callable[[], Mapping[str, float]],
    patience_s: float,
    own: set[int],
) -> tuple[Mapping[str, float], bool]:
    """What ``measure`` gives with a subject up, and whether nobody else was tracing meanwhile.

    ``own`` collects the programs of all subjects: the kernel frees them up to a second after they
    are detached.
    """
    deadline = time.monotonic() + patience_s
    while True:
        others = tracing_programs() - own
        if not others or time.monotonic() > deadline:
            with subject.up() as running:
                values = measure()
                own |= _programs_of(os.getpid())
                if isinstance(running, subprocess.Popen):
                    own |= _programs_of(running.pid)
                others |= tracing_programs() - own
            if not others or time.monotonic() > deadline:
                return values, not others
        time.sleep(0.2)


def _programs_of(pid: int) -> set[int]:
    """IDs of the BPF programs that a process has loaded or attached, by its open files."""
    found: set[int] = set()
    for descriptor in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = descriptor.read_text()
        except OSError:
            continue  # closed since it was listed
        found.update(
            int(number) for number in re.findall(r"^prog_id:\s*(\d+)$", text, re.MULTILINE)
        )
    return found


def progress(text: str) -> None:
    """Show what is being done, on standard error; an empty text ends it."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


# --- Statistics ---


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Those of some values, at least one."""
        low, median, high = np.percentile(np.asarray(values), [25, 50, 75])
        return cls(float(median), float(low), float(high))


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round, without the rounds in which noise left nothing to divide by.

    Empty if one of them was not measured.
    """
    if not over or not under:
        return []
    return [a / b for a, b in zip(over, under, strict=True) if b > 0]


@dataclass(frozen=True)
class Bound:
    """A number to hold: at most ``must``, better ``aim``."""

    must: float
    aim: float

    def verdict(self, found: Spread) -> str:
        """How a median stands to it; with a question mark if the quartiles stand otherwise."""
        words = {self._word(value) for value in (found.low, found.high)}
        return self._word(found.median) + ("?" if len(words) > 1 else "")

    def _word(self, value: float) -> str:
        if value <= self.aim:
            return "aim met"
        return "held" if value <= self.must else "MISSED"


# --- Output ---


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of aligned columns: the first to the left, the others to the right."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process's threads so far (Documentation/scheduler/sched-stats.rst)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def machine() -> dict[str, object]:
    """What the numbers depend on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "kernel": platform.release(),
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def heading(title: str) -> str:
    """The first lines of a benchmark's output."""
    facts = machine()
    return (
        f"{title}\n{facts['time']}  Linux {facts['kernel']}  {facts['cpus']} x {facts['cpu']}  "
        f"load average {facts['load']}\n"
    )


def footnotes(results: Results) -> str:
    """What a reader of the table must know besides."""
    lines = [f"{name}: {reason}" for name, reason in results.absent.items()]
    if results.disturbed:
        lines.append(
            f"{results.disturbed} measurements had tracing programs of others beside them."
        )
    if installed("bpftool") is None:
        lines.append("bpftool is not installed: tracing programs of others would not be noticed.")
    return "\n".join(lines)


def arguments(description: str, rounds: int) -> argparse.ArgumentParser:
    """A parser with the words that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=positive, default=rounds, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print every sample as one JSON object")
    return parser


def add_patience(parser: argparse.ArgumentParser) -> None:
    """Add ``--patience``, for benchmarks that other tracing programs would disturb."""
    parser.add_argument(
        "--patience",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="to wait for other tracing programs to go away, each time: %(default)s",
    )


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def print_json(benchmark: str, **found: object) -> None:
    """One object with everything that was measured."""
    print(json.dumps({"benchmark": benchmark, **machine(), **found}))


def main(run: Callable[[], None]) -> int:
    """Run a benchmark; an exit code."""
    try:
        run()
    except Unavailable as reason:
        print(f"cannot run: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
