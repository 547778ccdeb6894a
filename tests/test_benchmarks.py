"""The benchmarks run, at tiny sizes, and print their tables. No timing is asserted."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

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
    for subject in ("no tracing", "empty raw tracepoints", "sysdash: everything"):
        (cost,) = found["samples"][subject]["ns a call"]
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
    words = ("--rounds", "1", "--processes", "20", "--seconds", "0.5")
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
