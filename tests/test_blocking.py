"""Times off the CPU: added up over snapshots, and merged where stacks read the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import nr, snapshot

from sysdash import blocking
from sysdash.blocking import (
    BY,
    Blocked,
    BlockedStack,
    BlockTally,
    Frame,
    Kind,
    merged,
    stack_of,
    without_program,
)
from sysdash.commands import words
from sysdash.model import Snapshot
from sysdash.records import INTERRUPTIBLE, RUNNABLE, UNINTERRUPTIBLE, Block, BlockRule


def block(
    user: Sequence[str] = (), kernel: Sequence[str] = (), *, state: int = INTERRUPTIBLE
) -> Block:
    return Block(
        1842, 1845, "postgres", nr("read"), 0, state, lambda: tuple(user), lambda: tuple(kernel)
    )


def seen(
    ended: dict[Block, tuple[int, int]] | None = None, blocked: dict[Block, int] | None = None
) -> Snapshot:
    return replace(snapshot(), blocks=ended or {}, blocked=blocked or {})


# --- Adding up ---


def test_what_has_not_ended_counts_with_the_part_so_far() -> None:
    tally, place = BlockTally(), block()
    tally.add(seen({place: (70, 2)}, {place: 5}))
    tally.add(seen(blocked={place: 15}))
    assert tally.take() == {place: Blocked(85, 3, 1)}
    # Its first part was in the interval before.
    tally.add(seen(blocked={place: 40}))
    assert tally.take() == {place: Blocked(25, 1, 1)}
    tally.add(seen({place: (61, 2)}))
    assert tally.take() == {place: Blocked(21, 2, 0)}
    assert tally.take() == {}


def test_where_only_ended_ones_count_they_count_as_a_whole() -> None:
    tally, place = BlockTally(still=False), block()
    tally.add(seen(blocked={place: 15}))
    assert tally.take() == {}
    tally.add(seen({place: (40, 1)}))
    assert tally.take() == {place: Blocked(40, 1, 0)}


# Of each thread, by turns: how long it is on the CPU, and off it at which of its places.
TURNS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 90), st.integers(0, 2)), max_size=8)


@given(
    threads=st.lists(TURNS, min_size=1, max_size=3),
    steps=st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=12),
)
def test_over_all_intervals_the_sums_are_the_time_that_threads_were_off_the_cpu(
    threads: list[list[tuple[int, int, int]]], steps: list[tuple[int, bool]]
) -> None:
    spans: list[tuple[Block, int, int]] = []
    for turns in threads:
        places, now = [block() for _ in range(3)], 0
        for on, off, at in turns:
            spans.append((places[at], now + on, now + on + off))
            now += on + off
    tally, whole_only = BlockTally(), BlockTally(still=False)
    ns: Counter[Block] = Counter()
    ended: Counter[Block] = Counter()
    whole: Counter[Block] = Counter()
    last = begin = 0
    for i, (step, complete) in enumerate(steps):
        now = last + step
        found: dict[Block, tuple[int, int]] = {}
        for place, left, back in spans:
            if last < back <= now:
                before = found.get(place, (0, 0))
                found[place] = before[0] + back - left, before[1] + 1
        blocked = {place: now - left for place, left, back in spans if left < now < back}
        last = now
        for each in (tally, whole_only):
            each.add(seen(found, blocked))
        if not complete and i + 1 < len(steps):
            continue
        taken = tally.take()
        for place, sums in taken.items():
            ns[place] += sums.ns
            ended[place] += sums.count - sums.still
        for place, sums in whole_only.take().items():
            assert sums.still == 0
            whole[place] += sums.ns
        # Each interval has its own time and no other.
        inside = sum(max(min(back, now) - max(left, begin), 0) for _, left, back in spans)
        assert sum(sums.ns for sums in taken.values()) == inside
        begin = now
    for place in {place for place, _, _ in spans}:
        own = [(left, back) for each, left, back in spans if each is place]
        assert ns[place] == sum(max(min(back, last) - left, 0) for left, back in own)
        assert ended[place] == sum(back <= last for _, back in own)
        assert whole[place] == sum(back - left for left, back in own if back <= last)


# --- Stacks ---


def test_a_stack_from_its_process_to_the_kernel() -> None:
    place = block(
        ["libc.so.6`read+0x19", "postgres`main+0x1a", "postgres+0x4c"],
        ["vmlinux`io_schedule+0x2c", "vmlinux`ksys_read+0x7"],
        state=UNINTERRUPTIBLE,
    )
    assert stack_of(place) == (
        Frame("postgres", Kind.PROCESS),
        Frame("postgres+0x4c", Kind.USER),  # no function: the offset is the file's
        Frame("postgres`main", Kind.USER),
        Frame("libc.so.6`read", Kind.USER),
        Frame("read", Kind.SYSCALL),
        Frame("vmlinux`ksys_read", Kind.KERNEL),
        Frame("vmlinux`io_schedule", Kind.KERNEL),
    )


def test_who_waits_for_a_cpu_is_told_from_who_sleeps() -> None:
    assert stack_of(block(state=RUNNABLE))[-1] == blocking.WAITS_FOR_CPU
    assert stack_of(block(state=INTERRUPTIBLE))[-1].kind is Kind.SYSCALL


@pytest.mark.parametrize(
    ("by", "process"),
    [("comm", "postgres"), ("pid", "postgres (1842)"), ("tid", "postgres (1842/1845)")],
)
def test_the_process_is_told_as_it_is_asked(by: str, process: str) -> None:
    assert stack_of(block(), by)[0] == Frame(process, Kind.PROCESS)


def test_what_can_be_asked_is_what_the_command_takes() -> None:
    assert words.STACKS_BY == BY


def test_a_program_that_cannot_be_read_is_not_looked_at() -> None:
    def never() -> tuple[str, ...]:
        raise AssertionError

    place = replace(block(kernel=["vmlinux`schedule+0x2c"]), user=never)
    assert [frame.text for frame in stack_of(without_program(place))] == [
        "postgres",
        blocking.UNREAD,
        "read",
        "vmlinux`schedule",
    ]


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3)
FOUND = st.tuples(NAMES, st.integers(0, 10**12), st.integers(1, 99), st.integers(0, 9))


@given(st.lists(FOUND))
def test_merging_loses_nothing_and_leaves_no_stack_twice(
    found: list[tuple[list[str], int, int, int]],
) -> None:
    stacks = [
        (tuple(Frame(name, Kind.USER) for name in names), Blocked(ns, count, still))
        for names, ns, count, still in found
    ]
    result = merged(stacks)
    assert {stack.frames for stack in result} == {frames for frames, _ in stacks}
    assert len({stack.frames for stack in result}) == len(result)
    for of in ("ns", "count", "still"):
        for stack in result:
            own = [getattr(sums, of) for frames, sums in stacks if frames == stack.frames]
            assert getattr(stack, of) == sum(own)
    assert [stack.ns for stack in result] == sorted((stack.ns for stack in result), reverse=True)
    assert merged(reversed(stacks)) == result


def test_merging_leaves_what_it_was_given_as_it_was() -> None:
    frames, sums = (Frame("a", Kind.USER),), Blocked(5, 1)
    assert merged([(frames, sums), (frames, sums)]) == [BlockedStack(frames, 10, 2)]
    assert sums == Blocked(5, 1)


def test_what_the_probe_is_asked_for() -> None:
    assert blocking.rule(1000) == BlockRule()
    assert blocking.rule(5, 7, kernel=False) == BlockRule(5, 7, user=True, kernel=False)
