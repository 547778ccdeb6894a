"""The benchmarks run, at tiny sizes, and print their tables. No timing is asserted."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NAMES = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem != "harness")


def run(name: str, *words: str) -> str:
    found = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *words],
        capture_output=True,
        check=False,
        text=True,
        timeout=150,
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)},
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_it_measures(name: str) -> None:
    text = run(name, "--help")
    assert "--rounds" in text
    assert "--json" in text


def test_every_benchmark_is_described() -> None:
    text = (BENCHMARKS / "README.md").read_text()
    assert [name for name in NAMES if f"`{name}.py`" not in text] == []


@pytest.mark.bpf
def test_overhead_compares_ours_with_the_floor() -> None:
    words = ("--rounds", "1", "--calls", "2000", "--quick", "--patience", "0")
    text = run("overhead", *words)
    assert "sysdash: everything / floor: both, one clock reading each" in text
    found = json.loads(run("overhead", *words, "--json"))
    for subject in (
        "no tracing",
        "empty raw tracepoints",
        "sysdash: everything",
        "sysdash: everything, off-CPU too",
    ):
        (cost,) = found["samples"][subject]["ns a call"]
        assert cost > 0


@pytest.mark.bpf
def test_switches_compares_with_and_without_the_time_off_the_cpu() -> None:
    words = ("--rounds", "1", "--turns", "2000", "--quick", "--patience", "0")
    text = run("switches", *words)
    assert "sysdash: everything, off-CPU too / sysdash: everything" in text
    found = json.loads(run("switches", *words, "--json"))
    for subject in (
        "no tracing",
        "sysdash: everything",
        "sysdash: everything, off-CPU too",
        "sysdash: stacks",
    ):
        (cost,) = found["samples"][subject]["ns a turn"]
        assert cost > 0


def test_a_tool_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    harness = importlib.import_module("harness")
    subject = harness.peer("a tool", "no-such-tool-anywhere")
    results = harness.interleave([harness.nothing(), subject], lambda: {"x": 1.0}, 2, 0.0)
    assert results.samples == {"no tracing": {"x": [1.0, 1.0]}}
    assert harness.footnotes(results).startswith("a tool: not installed")


@pytest.mark.bpf
def test_workloads_compares_work_with_and_without(tmp_path: Path) -> None:
    sizes = ("--requests", "100", "--files", "1", "--root", str(tmp_path))
    text = run("workloads", "--rounds", "1", "--patience", "0", *sizes)
    assert "compilation: sysdash: everything" in text
    assert "find /: sysdash: everything" in text


@pytest.mark.bpf
def test_dashboard_measures_start_running_and_frame() -> None:
    words = ("--rounds", "1", "--processes", "20", "--seconds", "0.5", "--minutes", "1")
    found = json.loads(run("dashboard", *words, "--json"))
    assert found["start_s"]["first frame"] <= found["start_s"]["first data"]
    assert found["running"]["sysdash, its defaults"]["resident_mb"] > 0
    assert len(found["frame_ms"]["frame"]) > 0


@pytest.mark.bpf
def test_exactness_finds_ours_exact() -> None:
    words = ("--rounds", "1", "--calls", "5000", "--processes", "20", "--json")
    found = json.loads(run("exactness", *words))
    ours = [r for r in found["runs"] if r["tool"].startswith("sysdash")]
    assert len(ours) == 2
    assert [(r["made"], r["made"] // 4) for r in ours] == [(r["calls"], r["errors"]) for r in ours]


STRACE_TABLE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.54    0.005237           2      2003           read
  0.57    0.000059           1        35        16 openat
------ ----------- ----------- --------- --------- ----------------
100.00    0.010363           2      2038        16 total
"""

STRACE_LINES = """\
17478 execve("/usr/bin/dd", ["dd"], 0x7fffe8e01eb0 /* 35 vars */) = 0 <0.000341>
17478 openat(AT_FDCWD, "/a) <1>", O_RDONLY) = -1 ENOENT (No such file or directory) <0.000010>
17478 read(0,  <unfinished ...>
17479 openat(AT_FDCWD, "/b", O_RDONLY) = 3 <0.000030>
17478 <... read resumed> "x", 1) = 1 <1.500000>
17478 exit_group(0)                     = ?
17478 +++ exited with 0 +++
"""

PERF_TABLE = """\
 dd (17485), 8250 events, 99.9%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   read                2003      0    49.881     0.010     0.025     1.590      3.54%

 dd (17486), 2 events, 0.1%

   read                   1      1     0.119     0.119     0.119     0.119      0.00%
"""


def test_compare_reads_the_tables_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    compare = importlib.import_module("compare")
    found = compare.Found
    assert compare.read_counts(STRACE_TABLE) == {"read": found(2003, 0), "openat": found(35, 16)}
    assert compare.read_times(STRACE_LINES) == {
        "execve": found(1, 0, 341_000),
        "openat": found(2, 1, 40_000),
        "read": found(1, 0, 1_500_000_000),
    }
    assert compare.read_perf(PERF_TABLE) == {"read": found(2004, 1, 50_000_000)}


def test_compare_tells_a_difference_from_a_command_that_varies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    compare = importlib.import_module("compare")
    found = compare.Found

    def compared(ours: list[tuple[int, int]], strace: list[tuple[int, int]]) -> object:
        told = {
            compare.OURS: [{"read": found(*counts)} for counts in ours],
            compare.STRACE: [{"read": found(*counts), "exit": found(1)} for counts in strace],
        }
        return compare.Compared("x", told)

    same: Any = compared([(5, 1), (5, 1)], [(5, 1), (5, 1)])
    assert (same.different(), same.varying()) == ({}, {})
    errors: Any = compared([(5, 1)], [(5, 2)])
    assert errors.different() == {"read": "sysdash 5/1, strace 5/2"}
    vary: Any = compared([(5, 0), (6, 0)], [(5, 0), (5, 0)])
    assert (vary.different(), vary.varying()) == ({}, {"read": "sysdash 5/0, 6/0, strace 5/0"})
    never: Any = compared([(5, 0), (5, 0)], [(7, 0), (8, 0)])
    assert (never.different(), never.varying()) == ({"read": "sysdash 5/0, strace 7/0, 8/0"}, {})
    missing: Any = compare.Compared("x", {compare.OURS: [{}], compare.STRACE: [{"read": found(1)}]})
    assert missing.different() == {"read": "sysdash 0/0, strace 1/0"}
    assert "read DIFFERS: sysdash 5/1, strace 5/2" in compare.report([errors], "")


@pytest.mark.bpf
def test_compare_finds_the_counts_of_strace() -> None:
    found = json.loads(run("compare", "--rounds", "1", "--calls", "1000", "--json"))
    dd, threads, gcc = found["commands"]
    for command in (dd, threads, gcc):
        assert command["absent"] == {}
        assert command["different"] == {}
        for tool in ("sysdash", "strace -T -f", "perf trace -s"):
            assert all(one["total_ns"] is not None for one in command["told"][tool][0].values())
    (told,) = dd["told"]["sysdash"]
    assert told["write"] == told["write"] | {"calls": 1000, "errors": 0}
    (told,) = threads["told"]["sysdash"]
    assert (told["getppid"]["calls"], told["getppid"]["errors"]) == (200, 0)
    assert (told["openat"]["calls"] >= 202, told["openat"]["errors"] >= 200) == (True, True)
    (told,) = gcc["told"]["sysdash"]
    assert told["execve"]["calls"] >= 4
