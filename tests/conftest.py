"""What all tests share: the `bpf` marker, and that a test run leaves nothing behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import machine
import pytest

ALLOW_NO_BPF = "SYSDASH_ALLOW_NO_BPF"


def require_bpf() -> None:
    """Fail the running test where BPF cannot be used, or skip it if that is allowed here."""
    problem = machine.bpf_problem()
    if problem is None:
        return
    if os.environ.get(ALLOW_NO_BPF) == "1":
        pytest.skip(f"no BPF: {problem}")
    pytest.fail(f"no BPF: {problem} ({ALLOW_NO_BPF}=1 allows that)", pytrace=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("bpf"):
        require_bpf()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test has shown nothing, so it counts as failed, but for the one reason allowed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        allowed = os.environ.get(ALLOW_NO_BPF) == "1" and machine.bpf_problem() is not None
        if not (allowed and item.get_closest_marker("bpf")):
            report.outcome = "failed"
    return report


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hold the whole run to leaving no process, BPF program, mount or temporary file."""
    machine.adopt_orphans()
    mounts = machine.mounts()
    temporary = tmp_path_factory.mktemp("tmp")
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
    yield
    tempfile.tempdir = before[0]
    if before[1] is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before[1]
    assert machine.children() == {}
    assert machine.programs_of(os.getpid()) == set()
    assert machine.mounts() - mounts == set()
    assert sorted(Path(temporary).iterdir()) == []
