"""Slow calls: what is told of each, and that none disappears without being counted."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from probing import build, calls, comm, lost, nr, of, opened, run

from sysdash.filters import Filters
from sysdash.model import SlowCall, Syscall, derive
from sysdash.probes.source import BpfSource

pytestmark = pytest.mark.bpf

READ = Syscall(nr("read"))


@pytest.fixture(scope="module")
def source() -> Iterator[BpfSource]:
    thresholds = {(nr("read"), 0): 30_000_000, (nr("wait4"), 0): None}
    with opened(Filters(comms=(comm("waits"),)), thresholds) as opened_source:
        yield opened_source


def _waits(source: BpfSource, tmp_path: Path, wait_ms: int) -> tuple[list[SlowCall], list[str]]:
    program = build("waits", tmp_path)
    source.read()
    with subprocess.Popen([program, str(wait_ms), "5"], stdout=subprocess.PIPE, text=True) as waits:
        said = waits.communicate()[0].splitlines()
    sample = source.read()
    assert not any(lost([sample]).values())
    slow = derive(sample).slow
    assert [call.time_ns for call in slow] == sorted(call.time_ns for call in slow)
    # The child's sleeps are over the default threshold.
    sleeps = [call for call in slow if call.pid != waits.pid]
    assert {call.syscall for call in sleeps} <= {Syscall(nr("clock_nanosleep"))}
    mine = [call for call in slow if call.pid == waits.pid]
    return mine, said


def test_what_is_told(source: BpfSource, tmp_path: Path) -> None:
    offset_ns = time.time_ns() - time.monotonic_ns()
    slow, said = _waits(source, tmp_path, 50)
    assert len(slow) == len(said) == 5
    for call, line in zip(slow, said, strict=True):
        fd, buffer, ended_ns, duration_ns = map(int, line.split())
        assert call.syscall == READ
        assert call.pid == call.tid
        assert call.comm == comm("waits")
        assert call.args[:3] == (fd, buffer, 64)
        assert call.ret == 5
        assert call.errno is None
        # Both measured the same wait, so the machine's load is in both; the program was within
        # its two readings of the clock, and can lose its CPU only between them and the call.
        assert call.duration_ns <= duration_ns
        assert call.duration_ns == pytest.approx(duration_ns, rel=0.05) or duration_ns > 60_000_000
        assert 0 <= ended_ns + offset_ns - call.time_ns < 50_000_000


def test_below_the_threshold(source: BpfSource, tmp_path: Path) -> None:
    """The wait is over the default threshold, 10 ms, but not over that of read, 30 ms."""
    slow, said = _waits(source, tmp_path, 12)
    durations = [int(line.split()[3]) for line in said]
    # Unless the machine was so busy that it took longer by the program's own clock.
    assert len(slow) <= sum(duration >= 30_000_000 for duration in durations)


def test_wait4_never(source: BpfSource, tmp_path: Path) -> None:
    program = build("storm", tmp_path, called="waits")
    sleep = tmp_path / "t-sleep"
    sleep.write_text("#!/bin/sh\nsleep 0.05\n")
    sleep.chmod(0o755)
    source.read()
    run(program, 1, 2, str(sleep))
    sample = source.read()
    rows = of(sample.rows, comm("waits"))
    assert calls(rows, "wait4") == 3
    waited = rows[(rows["nr"] == nr("wait4"))]
    assert waited["max_ns"].max() > 50_000_000
    assert derive(sample).slow == ()


def test_none_at_all(tmp_path: Path) -> None:
    with opened(Filters(comms=(comm("waits"),)), default_threshold_ns=None) as source:
        slow, said = _waits(source, tmp_path, 20)
    assert slow == []
    assert len(said) == 5


def test_every_slow_call_is_listed_or_counted(tmp_path: Path) -> None:
    """Threshold 0: far more slow calls than the limit lets pass and the buffer holds."""
    program = build("calls", tmp_path)
    for limit in (1000, 2**32 - 1):
        with opened(
            Filters(comms=(comm("calls"),)), default_threshold_ns=0, slow_per_second=limit
        ) as source:
            source.read()
            run(program, 2, 15_000)
            sample = source.read()
        timed = int(sample.rows["hist"].sum())
        assert timed > 150_000
        losses = lost([sample])
        assert len(sample.events) + losses["slow_limit"] + losses["slow_ring"] == timed
        assert len(sample.events) > 0
        assert losses["calls"] == losses["missed"] == 0
        if limit == 1000:
            seconds = sample.interval_ns / 1e9
            # Per CPU, the limit is rounded up.
            assert len(sample.events) <= (limit + (os.cpu_count() or 1)) * (seconds + 1)
            assert losses["slow_ring"] == 0
        else:
            assert losses["slow_limit"] == 0
            assert losses["slow_ring"] > 0
        assert set(sample.events["comm"]) == {comm("calls").encode()}


def test_unknown_numbers_have_the_default_threshold(tmp_path: Path) -> None:
    program = build("numbers", tmp_path)
    for default, expected in ((None, 0), (0, 200)):
        with opened(
            Filters(comms=(comm("numbers"),)), {(nr("read"), 0): 0}, default_threshold_ns=default
        ) as source:
            source.read()
            run(program, 5000, 200)
            events = source.read().events
        assert (events["nr"] >= 5000).sum() == expected
        assert (events["nr"] == nr("read")).sum() >= 1


def test_32_bit_arguments(tmp_path: Path) -> None:
    program = build("abis", tmp_path)
    with opened(Filters(comms=(comm("abis"),)), {(6, 1): 0}, default_threshold_ns=None) as source:
        source.read()
        run(program, 10)
        slow = derive(source.read()).slow
    assert len(slow) == 10
    for call in slow:
        assert call.syscall == Syscall(6, 1)
        assert call.args[0] == 0xFFFF_FFFF  # close(-1) by way of a 32-bit register
        assert (call.ret, call.errno) == (-9, 9)
