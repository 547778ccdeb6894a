"""The text of ``sysdash stacks``."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sysdash import units
from sysdash.blocking import WAITS_FOR_CPU, BlockedStack, Frame, Kind
from sysdash.report.stacks import MOST_FRAMES, beginning, missing, stack_lines, sums, written

MS = 1_000_000


def stack(
    ns: int,
    count: int = 1,
    still: int = 0,
    *,
    user: Sequence[str] = ("redis`main", "libc`read"),
    kernel: Sequence[str] = ("vmlinux`ksys_read", "vmlinux`schedule"),
    comm: str = "redis",
    syscall: str = "read",
    runnable: bool = False,
) -> BlockedStack:
    """Frames outermost first."""
    frames = (
        Frame(comm, Kind.PROCESS),
        *(Frame(text, Kind.USER) for text in user),
        Frame(syscall, Kind.SYSCALL),
        *(Frame(text, Kind.KERNEL) for text in kernel),
        *([WAITS_FOR_CPU] if runnable else []),
    )
    return BlockedStack(frames, ns, count, still)


def lines(*stacks: BlockedStack, top: int = 20, columns: int = 80) -> list[str]:
    return stack_lines(stacks, interval_s=5.0, top=top, columns=columns)


def test_a_stack_with_the_innermost_frame_first() -> None:
    assert lines(stack(750 * MS, 15), stack(250 * MS, comm="tail", kernel=())) == [
        " 750ms  75.0%  redis: read, 15 times, mean 50.0ms",
        "    vmlinux`schedule",
        "    vmlinux`ksys_read",
        "    --",
        "    libc`read",
        "    redis`main",
        "",
        " 250ms  25.0%  tail: read, 1 time",
        "    libc`read",
        "    redis`main",
        "",
        "2 stacks, 1.00s blocked in 5.00s, 16 times",
    ]


def test_threads_that_have_not_come_back_are_marked() -> None:
    found = lines(stack(300 * MS, 2, 1), stack(200 * MS, 1, 1), stack(100 * MS, 3, 3))
    assert [line for line in found if line.startswith(" ") and "redis:" in line] == [
        " 300ms  50.0%  redis: read, 2 times, 1 still blocked, mean 150ms",
        " 200ms  33.3%  redis: read, still blocked",
        " 100ms  16.7%  redis: read, 3 times, 3 still blocked, mean 33.3ms",
    ]
    assert found[-1] == "3 stacks, 600ms blocked in 5.00s, 6 times, 5 still blocked"


def test_who_waits_for_a_cpu_is_the_innermost_frame() -> None:
    found = lines(stack(MS, runnable=True))
    assert found[1:3] == ["    [waiting for a CPU]", "    vmlinux`schedule"]


def test_without_frames_it_says_so() -> None:
    assert lines(stack(MS, user=(), kernel=()))[1:3] == ["    [no frames]", ""]


def test_what_is_not_shown_is_told() -> None:
    found = lines(*(stack(ns * MS, comm=f"c{ns}") for ns in (60, 30, 9, 1)), top=2)
    assert found[-2:] == [
        "2 more stacks, of 10.0ms (10.0%); --top 4 shows all",
        "4 stacks, 100ms blocked in 5.00s, 4 times",
    ]
    assert sum("redis`main" in line for line in found) == 2
    one = lines(stack(3 * MS), stack(MS, comm="b"), top=1)
    assert one[-2] == "1 more stack, of 1.00ms (25.0%); --top 2 shows all"


def test_nothing_blocked() -> None:
    assert lines() == ["nothing was blocked in 5.00s"]
    assert written([]) == "0 stacks, 0ns blocked"


def test_times_of_nothing_have_no_share() -> None:
    found = lines(stack(0), stack(0, comm="b"), top=1)
    assert found[0] == "   0ns         redis: read, 1 time"
    assert found[-2] == "1 more stack, of 0ns; --top 2 shows all"


@pytest.mark.parametrize("columns", [20, 40, 80, 100, 500])
def test_no_line_is_longer_than_the_room(columns: int) -> None:
    long = stack(
        12_345 * MS,
        1_234_567,
        12,
        user=["prog`" + "名" * 300],
        comm="sysdash-worker1 (4194304/4194304)",
        syscall="clock_nanosleep_time64 (ia32)",
    )
    blocks = lines(long, columns=columns)[:-2]
    assert max(map(units.width, blocks)) <= min(columns, 132)
    # What does not fit in one line is in two.
    if columns == 80:
        assert blocks[:2] == [
            " 12.3s 100.0%  sysdash-worker1 (4194304/4194304): clock_nanosleep_time64 (ia32)",
            "               1,234,567 times, 12 still blocked, mean 10.0µs",
        ]


@pytest.mark.parametrize(("kernel", "user"), [(3, 100), (64, 10), (70, 10), (0, 65), (65, 0)])
def test_of_deep_stacks_the_innermost_frames_are_shown(kernel: int, user: int) -> None:
    deep = stack(
        MS,
        user=[f"user{i}" for i in reversed(range(user))],
        kernel=[f"kernel{i}" for i in reversed(range(kernel))],
    )
    shown = lines(deep)[1:-2]
    frames = [line.strip() for line in shown if line.strip() != "--"]
    whole = [f"kernel{i}" for i in range(kernel)] + [f"user{i}" for i in range(user)]
    assert frames[:-1] == whole[:MOST_FRAMES]
    rest = kernel + user - MOST_FRAMES
    assert frames[-1] == f"… {rest} more frame{'s' if rest > 1 else ''}"
    assert ("    --" in shown) == (0 < kernel < MOST_FRAMES and user > 0)


def test_a_stack_that_is_just_not_too_deep_is_whole() -> None:
    found = lines(stack(MS, user=["f"] * 60, kernel=["k"] * 4))
    assert len(found) == 1 + 64 + 1 + 2
    assert not any("more frame" in line for line in found)


def test_what_is_traced_is_told_first() -> None:
    assert (
        beginning() == "Tracing time blocked in syscalls, by user + kernel stack... Ctrl+C to quit."
    )
    assert "syscalls, by user stack..." in beginning(kernel=False)
    assert "syscalls (ended only), by kernel stack..." in beginning(user=False, ended=True)


def test_the_sums_are_those_of_all() -> None:
    stacks = [stack(30 * MS, 3, 1), stack(20 * MS, 2, comm="b")]
    assert sums(stacks, 0.25) == "2 stacks, 50.0ms blocked in 250ms, 5 times, 1 still blocked"
    assert written(stacks[:1]) == "1 stack, 30.0ms blocked"


def test_what_is_missing_is_told() -> None:
    assert missing({"calls": 3, "blocks": 0, "stacks": 0}) == ""
    assert missing({"blocks": 1, "kernel_stacks": 1200, "stacks": 2}) == (
        "lost: 1 time blocked that there was no room for; "
        "1,200 times without the kernel's frames; "
        "2 stacks without the program's frames, for the process had ended too soon; "
        "a filter or -K makes them fewer"
    )
    # No filter makes those fewer, and none of those is missing.
    assert missing({"stacks": 1}) == (
        "lost: 1 stack without the program's frames, for the process had ended too soon"
    )
    assert missing({"switches": 3}) == ""
