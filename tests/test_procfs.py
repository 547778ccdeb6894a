"""What the machine says of itself: how many processes there are, and what sysdash takes."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from probing import eventually

from sysdash.probes import procfs
from sysdash.probes.procfs import HostMeter, ProcessCounter


def listed() -> int:
    return sum(name.isdigit() for name in os.listdir("/proc"))  # noqa: PTH208


def agree(counter: ProcessCounter) -> bool:
    """Both ways of counting give one number, in a moment in which none comes or goes."""
    before, counted, after = listed(), counter.count(), listed()
    return before == counted == after


def test_processes_are_counted_as_they_are_listed() -> None:
    counter = ProcessCounter()
    assert eventually(lambda: agree(counter))
    with subprocess.Popen(["sleep", "100"]) as process:
        try:
            assert eventually(lambda: agree(counter))
        finally:
            process.kill()
        # It has ended, and stays in the list until somebody waits for it.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert eventually(lambda: agree(counter))
    assert eventually(lambda: agree(counter))


def test_it_is_the_links_that_are_counted_where_they_are_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert eventually(lambda: ProcessCounter()._has_links) or procfs.pid_namespace()
    counter = ProcessCounter()
    monkeypatch.setattr(procfs, "_listed", lambda: 3)
    if counter._has_links:
        assert counter.count() > 3


def test_a_container_lists_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "pid_namespace", lambda: 4026531900)
    counter = ProcessCounter()
    assert eventually(lambda: agree(counter))
    monkeypatch.setattr(procfs, "_listed", lambda: 3)
    assert counter.count() == 3


def test_links_that_tell_something_else_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = procfs._other_links()
    monkeypatch.setattr(procfs, "_other_links", lambda: right + 100)
    assert eventually(lambda: agree(ProcessCounter()))


def test_folders_that_a_module_adds_are_counted_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counter = ProcessCounter()
    if not counter._has_links:
        pytest.skip("in a container processes are listed")
    others = procfs._other_links()
    monkeypatch.setattr(procfs, "_other_links", lambda: others - 1000)
    assert counter.count() < 1000 + listed()
    monkeypatch.setattr(procfs, "_AGAIN_S", 0.0)
    assert counter.count() > 1000


def test_a_meter_tells_of_the_time_since_the_last_reading() -> None:
    meter = HostMeter()
    end = time.thread_time() + 0.2
    while time.thread_time() < end:
        pass
    host = meter.read()
    assert host.self_cpu > 0.1
    assert host.self_bytes > 1_000_000
    assert host.cpus == os.cpu_count()
    assert host.processes > 1
