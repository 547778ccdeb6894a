"""The probe's counts are exact: nothing is missed, doubled, or put down to the wrong call."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from probing import (
    NOTHING_LOST,
    build,
    by_call,
    calls,
    comm,
    counted,
    during,
    lost_calls,
    nr,
    of,
    opened,
    run,
)

from sysdash import syscalls
from sysdash.filters import Filters
from sysdash.probes import layout
from sysdash.probes.source import BpfSource
from sysdash.records import Rows

pytestmark = pytest.mark.bpf

_NAMES = (comm("calls"), comm("threads"), comm("storm"), comm("after"))


@pytest.fixture(scope="module", params=["task storage", "hash", "few slots", "counting"])
def source(request: pytest.FixtureRequest) -> Iterator[BpfSource]:
    """A source of the programs here, in each way that the probe has to remember threads."""
    room = layout.sizes()
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "hash":  # as on kernels before 5.13
            patch.setattr(layout, "has_task_storage", lambda: False)
        elif request.param == "few slots":  # most threads find theirs taken
            room = replace(room, slots=8)
        timed = request.param != "counting"
        with opened(Filters(comms=_NAMES), room=room, timed=timed) as opened_source:
            yield opened_source


def _check_calls(rows: Rows, threads: int, loops: int) -> None:
    """What tests/programs/calls.c makes, besides what the loader and libc do."""
    each = threads * loops
    assert calls(rows, "getppid", 0) == each
    assert calls(rows, "getppid") == each
    # The loader reads the libraries: libc.so.6, and nothing else since glibc 2.34.
    assert 0 <= calls(rows, "read", 0) - each <= 2
    assert calls(rows, "write") == each
    assert calls(rows, "close", errno.EBADF) == each
    # The loader looks for /etc/ld.so.preload with access, and for no file that is not there.
    assert calls(rows, "openat", errno.ENOENT) == each
    assert calls(rows, "exit_group") == 1
    assert calls(rows, "exit") == threads
    assert calls(rows, "execve") == 1


def test_threads_on_all_cpus(source: BpfSource, tmp_path: Path) -> None:
    program = build("calls", tmp_path)
    source.read()
    run(program, 4, 6000)
    sample = source.read()
    rows = of(sample.rows, comm("calls"))
    _check_calls(rows, 4, 6000)
    assert lost_calls([sample]) == NOTHING_LOST
    # Both CPUs have rows of their own for the same call.
    assert len({row["key"] & 0x3FFFF for row in rows}) == os.cpu_count()
    # A call is in the histogram exactly when it was timed. The exec began under a name that does
    # not pass the filter.
    not_timed = (nr("exit"), nr("exit_group"), nr("execve"))
    for row in rows:
        timed = int(row["count"]) if source.timed and row["nr"] not in not_timed else 0
        assert row["hist"].sum() == timed
        assert row["count"] - row["untimed"] == timed
        if timed:
            assert 0 < row["min_ns"] <= row["max_ns"] <= row["total_ns"]
            mean = int(row["total_ns"]) / timed
            assert row["min_ns"] <= mean <= row["max_ns"]
            squares = int(row["squares_low"]) + (int(row["squares_high"]) << 64)
            assert squares >= timed * mean * mean * 0.999
            assert squares <= int(row["max_ns"]) * int(row["total_ns"])


def test_no_call_is_lost_or_doubled_by_reading(source: BpfSource, tmp_path: Path) -> None:
    program = build("calls", tmp_path)
    samples = during(source, lambda: run(program, 4, 200_000))
    assert len(samples) > 20
    _check_calls(of(counted(samples), comm("calls")), 4, 200_000)
    assert lost_calls(samples) == NOTHING_LOST


def test_threads_on_used_stacks(source: BpfSource, tmp_path: Path) -> None:
    """A thread's stack is that of a dead one: it must not end the dead one's exit."""
    program = build("threads", tmp_path)
    workers, threads = 3, 17_000
    samples = during(source, lambda: run(program, workers, threads), every_s=0.05)
    rows = of(counted(samples), comm("threads"))
    assert calls(rows, "getppid") == 2 * workers * threads
    assert calls(rows, "exit") == workers * threads + workers
    assert calls(rows, "exit_group") == 1
    # Returned twice each, counted once.
    assert calls(rows, "clone3") + calls(rows, "clone") == workers * threads + workers
    assert calls(rows, "set_robust_list") in (workers * threads + workers + 1, 1)
    assert calls(rows, "rseq") == workers * threads + workers + 1
    assert lost_calls(samples) == NOTHING_LOST


def test_processes_that_live_shortly(source: BpfSource, tmp_path: Path) -> None:
    program = build("storm", tmp_path)
    workers, children = 3, 7000
    samples = during(source, lambda: run(program, workers, children), every_s=0.05)
    # Where the machine is so busy that reading cannot keep up, calls lose their process. Nothing
    # else has passed the source's filter, so all of them are the storm's.
    rows = counted(samples)
    folded = of(rows, "", pid=0)
    assert len(of(rows, comm("storm"))) + len(folded) == len(rows)
    born = workers + workers * children
    assert calls(rows, "fork") == born
    assert calls(rows, "wait4") == born
    assert calls(rows, "exit_group") == born + 1
    assert calls(rows, "getppid") == workers * children
    assert calls(rows, "close", errno.EBADF) == workers * children
    assert lost_calls(samples) == {**NOTHING_LOST, "unattributed": folded["count"].sum()}


def test_processes_that_exec(source: BpfSource, tmp_path: Path) -> None:
    storm = build("storm", tmp_path)
    other = build("returns", tmp_path, called="after")
    workers, children = 2, 250
    samples = during(source, lambda: run(storm, workers, children, other), every_s=0.05)
    before, after = (of(counted(samples), name) for name in (comm("storm"), comm("after")))
    assert calls(before, "fork") == workers + workers * children
    assert calls(before, "execve") == 1  # of t-storm itself
    assert calls(before, "exit_group") == workers + 1
    # exec ends under the new name
    assert calls(after, "execve", 0) == workers * children
    assert calls(after, "exit_group") == workers * children
    assert calls(after, "lseek") == workers * children
    assert calls(after, "getppid") == calls(after, "fork") == 0
    assert len({int(row["pid"]) for row in after}) == workers * children
    assert lost_calls(samples) == NOTHING_LOST


def _by_strace(table: Path, *command: str | int) -> dict[str, tuple[int, int]]:
    """Calls and errors by name, as ``strace -f -c`` counts them while it runs the command."""
    run("strace", "-f", "-c", "-o", str(table), *command)
    line = re.compile(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?(\w+)$")
    found = filter(None, map(line.match, table.read_text().splitlines()))
    return {each[3]: (int(each[1]), int(each[2] or 0)) for each in found if each[3] != "total"}


def test_strace_counts_the_same(tmp_path: Path) -> None:
    """The whole of one run, by strace and by the probe at the same time."""
    program = build("calls", tmp_path)
    with opened(Filters(comms=_NAMES)) as source:
        source.read()
        by_strace = _by_strace(tmp_path / "strace", program, 4, 5000)
        sample = source.read()
    assert lost_calls([sample]) == NOTHING_LOST
    ours: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for (number, abi, error), count in by_call(of(sample.rows, comm("calls"))).items():
        name = syscalls.display_name(number, abi)
        ours[name] += count
        errors[name] += count if error else 0
    # strace lists no calls that never return.
    assert ours.pop("exit") == 4
    assert ours.pop("exit_group") == 1
    assert {name: (ours[name], errors[name]) for name in ours} == by_strace
    assert sum(ours.values()) > 100_000


def test_dd(tmp_path: Path) -> None:
    """As many calls more than it copies bytes as strace says: the loader reads, and dd reports."""
    words = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1"]
    few, many = 10, 200_000
    by_strace = _by_strace(tmp_path / "strace", *words, f"count={few}")
    with opened(Filters(comms=("dd",))) as source:
        source.read()
        with subprocess.Popen(
            [*words, f"count={many}"], stderr=subprocess.PIPE, text=True
        ) as process:
            report = process.communicate()[1]
        sample = source.read()
    assert lost_calls([sample]) == NOTHING_LOST
    rows = of(sample.rows, "dd", process.pid)
    for name in ("read", "write"):
        assert calls(rows, name) == many + by_strace[name][0] - few
    # dd takes its own time of the copying, which all but a few of the calls belong to.
    copying = re.search(r"([\d.]+) s,", report)
    assert copying is not None
    in_calls_ns = sum(
        int(row["total_ns"]) for row in rows if row["nr"] in (nr("read"), nr("write"))
    )
    assert 0 < in_calls_ns / 1e9 < float(copying[1]) + 0.1
