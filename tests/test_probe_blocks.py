"""Times off the CPU inside calls, by stack: complete, exact, and each at its own place."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from probing import build, comm, eventually, nr, of, opened, run

from sysdash.filters import Filters
from sysdash.probes import layout
from sysdash.probes.source import BpfSource
from sysdash.records import (
    ABI_CODES,
    AWAY,
    INTERRUPTIBLE,
    RUNNABLE,
    Block,
    BlockRule,
    Sample,
)
from sysdash.syscalls import numbers

pytestmark = pytest.mark.bpf

ROOT = Path(__file__).parent.parent

NAME = comm("blocked")
SLEEP_NS = 20_000_000


ALL = BlockRule()


def blocks(rule: BlockRule = ALL, **more: object) -> AbstractContextManager[BpfSource]:
    """A source that counts the program's times off the CPU."""
    return opened(Filters(comms=(NAME,)), default_threshold_ns=None, blocks=rule, **more)


@contextmanager
def blocked(program: str, first: int, second: int) -> Iterator[subprocess.Popen[str]]:
    """The program when it waits for its standard input; it ends with the block."""
    with subprocess.Popen(
        [program, str(first), str(second)], stdin=-1, stdout=-1, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.02)  # it is about to wait
            yield process
        finally:
            process.kill()


def functions(block: Block) -> list[str]:
    """The functions of a place in the program, innermost first."""
    return [frame.partition("`")[2].partition("+")[0] for frame in block.user()]


def sleeps(ended: Mapping[Block, tuple[int, int]], function: str) -> tuple[int, int]:
    """How long the program was asleep below a function, in ns, and how often."""
    found = [
        sums
        for block, sums in ended.items()
        if block.nr in (nr("nanosleep"), nr("clock_nanosleep"))
        and block.state == INTERRUPTIBLE
        and function in functions(block)
    ]
    return sum(ns for ns, _ in found), sum(count for _, count in found)


@pytest.fixture
def program(tmp_path: Path) -> str:
    return build("blocked", tmp_path)


@pytest.mark.parametrize(
    "flags",
    [("-fno-omit-frame-pointer",), ("-fomit-frame-pointer",)],
    ids=["frame pointers", "none"],
)
def test_each_way_to_a_call_has_its_own_time(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = build("blocked", tmp_path, *flags)
    with blocks() as source:
        source.read()
        with blocked(program, 3, 5):
            sample = source.read()
            for function, times in (("first", 3), ("second", 5)):
                ns, count = sleeps(sample.blocks, function)
                assert count == times
                assert times * SLEEP_NS <= ns < times * SLEEP_NS * 1.25
        assert sample.lost["blocks"] == sample.lost["kernel_stacks"] == sample.lost["stacks"] == 0


def test_the_kernel_stack_begins_where_the_thread_decided_to_wait(program: str) -> None:
    with blocks() as source:
        source.read()
        with blocked(program, 1, 0) as process:
            sample = source.read()
            asleep = [block for block in sample.blocks if block.pid == process.pid and block.state]
            assert asleep
            for block in asleep:
                frames = [frame.partition("+")[0] for frame in block.kernel()]
                assert frames[-1].startswith("vmlinux`entry_SYSCALL_64")
                assert not any("bpf" in frame or "schedule" in frame for frame in frames)
                # As the kernel tells of a thread that is asleep there.
                told = Path(f"/proc/{process.pid}/stack").read_text(encoding="ascii")
                if block.nr == nr("read"):
                    functions = [line.split()[1].partition("+")[0] for line in told.splitlines()]
                    assert [frame.partition("`")[2] for frame in frames] == functions


def test_who_has_not_come_back_is_told_with_the_time_so_far(program: str) -> None:
    with blocks() as source:
        source.read()
        with blocked(program, 0, 0) as process:
            began = time.monotonic_ns()
            time.sleep(0.2)
            sample = source.read()
            took_ns = time.monotonic_ns() - began
            (found,) = (block for block in sample.blocked if block.pid == process.pid)
            assert found.nr == nr("read")
            assert found.comm == NAME
            assert "waiting" in functions(found)
            assert 0.95 * 200_000_000 < sample.blocked[found] < took_ns + 100_000_000
            again = source.read()
            assert again.blocked[found] > sample.blocked[found]
            process.communicate("x")
            last = source.read()
            assert found not in last.blocked
            ns, count = last.blocks[found]
            assert count == 1
            assert ns >= again.blocked[found]


def test_who_slept_before_the_probe_was_there_is_told_until_it_wakes(program: str) -> None:
    with blocked(program, 0, 0) as process, blocks() as source:
        began_ns = time.monotonic_ns()
        first = source.read()
        (waits,) = (block for block in first.blocked if block.pid == process.pid)
        assert waits.since_before
        assert waits.nr == nr("read")
        assert "waiting" in functions(waits)
        assert first.blocked[waits] <= first.interval_ns
        time.sleep(0.3)
        process.communicate("x")
        ended_ns = time.monotonic_ns()
        time.sleep(0.3)
        last = source.read()
        assert waits not in last.blocked
        ns, count = last.blocks[waits]
        assert count == 1
        assert ns > 300_000_000
        # It began a little earlier than the test could know.
        assert ns - first.blocked[waits] < ended_ns - began_ns
        assert waits not in source.read().blocks


def test_no_time_is_longer_than_what_was_watched(program: str) -> None:
    with blocked(program, 0, 0) as process, blocks() as source:
        watched_ns = source.read().interval_ns
        with blocked(program, 0, 0) as other:
            for _ in range(5):
                sample = source.read()
                watched_ns += sample.interval_ns
                (ns,) = (ns for block, ns in sample.blocked.items() if block.pid == process.pid)
                assert watched_ns - 20_000_000 < ns <= watched_ns
                (ns,) = (ns for block, ns in sample.blocked.items() if block.pid == other.pid)
                assert ns < watched_ns


def test_all_times_are_those_of_the_rows(program: str) -> None:
    """By stack and by row, the same time is measured in two places."""
    with blocks(rule=BlockRule(min_ns=0)) as source:
        source.read()
        with blocked(program, 10, 10) as process:
            process.communicate("x")
        assert eventually(lambda: not Path(f"/proc/{process.pid}").exists())
        sample = source.read()
        by_stack: Counter[int] = Counter()
        for block, (ns, _) in sample.blocks.items():
            by_stack[block.nr] += ns
        rows = of(sample.rows, NAME)
        assert (rows["off_ns"] <= rows["total_ns"]).all()
        by_row = Counter({int(each): 0 for each in rows["nr"]})
        for row in rows[rows["untimed"] == 0]:
            by_row[int(row["nr"])] += int(row["off_ns"])
        assert by_row[nr("clock_nanosleep")] > 20 * SLEEP_NS
        for number in (nr("clock_nanosleep"), nr("read"), nr("write")):
            assert by_stack[number] == by_row[number]


def test_short_and_long_times_are_left_out(program: str) -> None:
    for rule, expected in (
        (BlockRule(min_ns=2 * SLEEP_NS), 0),
        (BlockRule(max_ns=SLEEP_NS // 2), 0),
        (BlockRule(min_ns=SLEEP_NS // 2, max_ns=2 * SLEEP_NS), 4),
    ):
        with blocks(rule=rule) as source:
            source.read()
            with blocked(program, 4, 0):
                assert sleeps(source.read().blocks, "first")[1] == expected


def test_without_stacks_only_calls_are_told_apart(program: str) -> None:
    with blocks(rule=BlockRule(user=False, kernel=False)) as source:
        source.read()
        with blocked(program, 3, 5):
            sample = source.read()
        (sleep,) = (block for block in sample.blocks if block.nr == nr("clock_nanosleep"))
        assert sample.blocks[sleep][1] == 8
        assert sleep.user() == sleep.kernel() == ()


def test_only_calls_that_pass_the_filters(program: str) -> None:
    filters = Filters(comms=(NAME,), syscalls=numbers("read"))
    with opened(filters, default_threshold_ns=None, blocks=BlockRule()) as source:
        source.read()
        with blocked(program, 3, 0) as process:
            process.communicate("x")
        sample = source.read()
        assert {block.nr for block in sample.blocks} == {nr("read")}


def test_threads_without_a_slot_are_measured_too(program: str) -> None:
    room = replace(layout.sizes(), slots=1)
    with blocks(room=room) as source:
        source.read()
        # Whichever program is first has the slot.
        with blocked(program, 3, 5), blocked(program, 3, 5) as other:
            sample = source.read()
            assert sleeps(sample.blocks, "first")[1] == 6
            assert sleeps(sample.blocks, "second")[1] == 10
            waiting = [block for block in sample.blocked if block.nr == nr("read")]
            assert len(waiting) == 2
            assert other.pid in {block.pid for block in waiting}


def test_a_thread_that_is_ready_but_has_no_cpu() -> None:
    """Two programs that want the same CPU take it from each other, in the middle of calls."""
    busy = ["taskset", "-c", "0", "dd", "if=/dev/zero", "of=/dev/null", "bs=4M", "count=3000"]
    filters = Filters(comms=("dd",))
    with opened(filters, default_threshold_ns=None, blocks=BlockRule()) as source:
        source.read()
        both = [subprocess.Popen(busy, stderr=subprocess.DEVNULL) for _ in range(2)]
        for process in both:
            process.wait()
        sample = source.read()
        waited = [
            sums
            for block, sums in sample.blocks.items()
            if block.state == RUNNABLE and block.pid in {process.pid for process in both}
        ]
        assert sum(count for _, count in waited) >= 10


def lost_or_counted(sample: Sample, name: str) -> int:
    ended = sum(count for block, (_, count) in sample.blocks.items() if block.comm == name)
    return ended + sample.lost["blocks"]


def test_what_there_is_no_room_for_is_counted(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "BLOCKS", 2)
    with blocks(rule=BlockRule(min_ns=0)) as source:
        source.read()
        with blocked(program, 4, 4) as process:
            process.communicate("x")
        sample = source.read()
        assert len(sample.blocks) <= 2
        assert sample.lost["blocks"] > 0
        # Each sleep is at least one time off the CPU, and the read is another.
        assert lost_or_counted(sample, NAME) >= 9


def test_blocks_and_slow_calls_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude"):
        BpfSource(blocks=BlockRule())
    with pytest.raises(ValueError, match="need times"):
        BpfSource(default_threshold_ns=None, timed=False, blocks=BlockRule())


def link_to(tracepoint: str) -> int:
    """The descriptor by which this process has a probe at a tracepoint."""
    for entry in Path("/proc/self/fdinfo").iterdir():
        with suppress(OSError):
            if f"tp_name:\t{tracepoint}\n" in entry.read_text(encoding="ascii"):
                return int(entry.name)
    raise LookupError(tracepoint)


def test_a_return_to_the_cpu_that_is_not_seen_is_known_at_the_end_of_the_call(program: str) -> None:
    with blocks() as source:
        source.read()
        with blocked(program, 0, 0) as process:
            (waits,) = (block for block in source.read().blocked if block.pid == process.pid)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, link_to("sched_switch"))  # which takes the probe away
            os.close(nothing)
            process.communicate("x")
            sample = source.read()
            assert waits not in sample.blocked
            assert sample.blocks[waits][1] == 1
            (row,) = (row for row in of(sample.rows, NAME) if row["nr"] == waits.nr)
            assert row["off_ns"] == sample.blocks[waits][0]
            assert 0 < row["off_ns"] <= row["total_ns"]
            assert sample.lost["switches"] == 1
            assert sample.lost["off_cpu"] == 0


def test_the_ways_of_a_32_bit_program_are_told_apart(tmp_path: Path) -> None:
    flags = ("-m32", "-nostdlib", "-static", "-ffreestanding", "-no-pie", "-fno-omit-frame-pointer")
    program = build("blocked_ia32", tmp_path, *flags, called="blocked")
    with blocks() as source:
        source.read()
        run(program)
        sample = source.read()
        counts = {
            function: sum(
                count
                for block, (_, count) in sample.blocks.items()
                if block.abi == ABI_CODES["IA32"]
                and block.state == INTERRUPTIBLE
                and function in functions(block)
            )
            for function in ("first", "second")
        }
        assert counts == {"first": 3, "second": 5}


RENAMED = f"""
import ctypes, time
prctl = ctypes.CDLL(None).prctl
for name in ({NAME!r}, "renamed", {NAME!r}):
    prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
    time.sleep(0.02)
"""


def test_a_program_with_another_name_has_a_place_of_its_own() -> None:
    filters = Filters(comms=(NAME, "renamed"))
    with opened(filters, default_threshold_ns=None, blocks=BlockRule(user=False)) as source:
        source.read()
        run("/usr/bin/python3", "-S", "-E", "-c", RENAMED)
        slept = {
            block.comm: count
            for block, (_, count) in source.read().blocks.items()
            if block.nr == nr("clock_nanosleep") and block.state == INTERRUPTIBLE
        }
        assert slept == {NAME: 2, "renamed": 1}


def test_time_in_calls_that_are_left_out_is_not_added_to_others() -> None:
    """Neither with a slot nor without."""
    script = f"""
open("/proc/self/comm", "w").write({NAME!r})
import time
for _ in range(20):
    time.sleep(0.01)
    try:
        open("/nonexistent")
    except OSError:
        pass
"""
    filters = Filters(comms=(NAME,), failures=True)
    for room in (None, replace(layout.sizes(), slots=1)):
        with opened(filters, default_threshold_ns=None, off_cpu=True, room=room) as source:
            source.read()
            both = [
                subprocess.Popen(["/usr/bin/python3", "-S", "-E", "-c", script]) for _ in range(2)
            ]
            assert [process.wait() for process in both] == [0, 0]
            rows = of(source.read().rows, NAME)
            assert rows["count"][rows["nr"] == nr("openat")].sum() >= 40
            assert (rows["off_ns"] <= rows["total_ns"]).all()


def test_new_programs_have_room_when_others_have_ended(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "BLOCKS", 64)
    with blocks() as source:
        source.read()
        with blocked(program, 0, 0) as stays:
            counted = lost = 0
            for _ in range(60):
                with blocked(program, 2, 1) as process:
                    process.communicate("x")
                sample = source.read()
                counted += sleeps(sample.blocks, "first")[1] + sleeps(sample.blocks, "second")[1]
                lost += sample.lost["blocks"]
            assert lost == 0
            assert counted == 60 * 3
            (waits,) = (block for block in source.read().blocked if block.pid == stays.pid)
            stays.communicate("x")
            assert source.read().blocks[waits][1] == 1


def test_idle_places_make_room(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And have their own time again when a thread comes back from there."""
    monkeypatch.setattr(layout, "BLOCKS", 16)
    with blocks(rule=BlockRule(min_ns=0)) as source, ExitStack() as stack:
        source.read()
        waiting = []
        for _ in range(15):
            waiting.append(stack.enter_context(blocked(program, 1, 0)))
            source.read()
            source.read()
        for process in waiting:
            process.communicate("x")
        last = source.read()
        read = {block.pid for block in last.blocks if block.nr == nr("read")}
        # Those that are not there are counted.
        assert len(read) + last.lost["blocks"] >= len(waiting)
        assert len(read) > 8


def test_nothing_is_left_of_threads_that_have_ended(program: str) -> None:
    """Also of one that is stopped in the middle of its end, as strace does."""
    room = replace(layout.sizes(), slots=1)
    with blocks(room=room) as source:
        source.read()
        for _ in range(5):
            run("strace", "-f", "-o", "/dev/null", program, 1, 1, stdin="x")
        sample = source.read()
        assert sleeps(sample.blocks, "first")[1] == 5
        assert not any(block.comm == NAME for block in source.read().blocked)
        entries = source._program.entries("unslotted", np.dtype("<u8"), AWAY, layout.UNSLOTTED)[1]
        assert not len(entries)


def test_in_a_pid_namespace_only_its_own_processes(program: str) -> None:
    script = f"""
import subprocess, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from sysdash.probes.source import BpfSource
from sysdash.records import BlockRule
source = BpfSource(default_threshold_ns=None, blocks=BlockRule())
subprocess.run([{program!r}, "3", "5"], input=b"x", check=True, stdout=subprocess.DEVNULL)
sample = source.read()
blocks = [block for block in [*sample.blocks, *sample.blocked]]
print(len(blocks), sorted({{block.comm for block in blocks if not block.pid}}))
print(sum(count for block, (_, count) in sample.blocks.items() if block.comm == {NAME!r}))
source.close()
"""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]
    first, second = run(*command).splitlines()
    assert first.endswith("[]")
    assert int(second) >= 8
