"""Which calls in flight are listed, in which order, and how many are only counted."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sysdash.filters import Filters
from sysdash.probes import inflight, tasks
from sysdash.probes.inflight import InFlight
from sysdash.probes.schedclock import SchedulerClock
from sysdash.records import EVENT_AT_LEAST, EVENT_NO_ARGUMENTS, SYSCALLS, THREAD

NOW = 1_000_000
SLOTS = 16
NOT_YET = -1
FIRST_PID = 2**22 + 1
"""So that nothing of this machine's processes is looked at: none has such a number."""

THRESHOLDS = {0: 5, 1: 5, 2: 0, 3: 20, 202: 10}
OTHER_THRESHOLD = 8
WAITING = {(202, 0), (3, 0), (0, 1)}
FILTERS = (Filters(), Filters(not_syscalls=((1, 0), (2, 2))))
NUMBERS = (*THRESHOLDS, SYSCALLS - 1, SYSCALLS, -1, 999_999)


@dataclass(frozen=True)
class Slot:
    """A thread that the probe has seen; ``ago`` is when its call began, 0 outside of calls."""

    ago: int
    nr: int
    abi: int
    empty: bool
    skip: int
    judged: bool
    known: bool


@dataclass(frozen=True)
class Old:
    """A thread that has been inside its call since before the probe was there."""

    ago: int
    nr: int


@dataclass(frozen=True)
class Call:
    """What is told of a call."""

    duration: int
    nr: int
    abi: int
    tid: int
    comm: bytes
    at_least: bool

    def passes(self, filters: Filters) -> bool:
        threshold = THRESHOLDS.get(self.nr, OTHER_THRESHOLD)
        return (self.nr, self.abi) not in filters.not_syscalls and self.duration >= threshold

    @property
    def waits(self) -> bool:
        return (self.nr, self.abi) in WAITING


# Few durations, so that many calls have the same.
AGO = st.one_of(st.just(0), st.just(NOT_YET), st.integers(1, 30))
SLOT = st.builds(
    Slot,
    ago=AGO,
    nr=st.sampled_from(NUMBERS),
    abi=st.integers(0, 2),
    empty=st.sampled_from([False] * 7 + [True]),
    skip=st.sampled_from([0] * 6 + [1, 2]),
    judged=st.sampled_from([True] * 5 + [False]),
    known=st.booleans(),
)
OLD = st.builds(Old, ago=st.integers(1, 30), nr=st.sampled_from((0, 3, 202)))


def record(slot: Slot, place: int) -> npt.NDArray[np.void]:
    thread = np.zeros((), THREAD)
    thread["regs"] = 0 if slot.empty else 64 + place
    thread["start_ns"] = 0 if slot.ago == 0 else NOW - slot.ago
    thread["nr"], thread["abi"], thread["skip"] = slot.nr, slot.abi, slot.skip
    thread["epoch"] = 4 if slot.judged else 0
    who = thread["who"]
    who["pid"] = who["tid"] = FIRST_PID + place
    who["comm"] = f"judged-{place}".encode()
    return thread


def thresholds(nr: npt.NDArray[np.int32], _abi: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint64]:
    return np.array([THRESHOLDS.get(each, OTHER_THRESHOLD) for each in nr.tolist()], dtype="<u8")


def brute_force(
    threads: Sequence[Slot], olds: Sequence[Old], filters: Filters, most: int
) -> tuple[list[Call], int]:
    """The calls that are listed, and how many others there are."""
    calls, unnamed = [], 0
    for place, slot in enumerate(threads):
        call = Call(
            duration=slot.ago,
            nr=slot.nr,
            abi=slot.abi,
            tid=FIRST_PID + place,
            comm=f"judged-{place}".encode() if slot.judged else b"looked up",
            at_least=False,
        )
        if slot.ago <= 0 or slot.empty or slot.skip or not call.passes(filters):
            continue
        if slot.judged or slot.known:
            calls.append(call)
        else:
            # Where there are filters, it might not pass them.
            unnamed += filters == Filters()
    for number, old in enumerate(olds):
        tid = FIRST_PID + SLOTS + number
        call = Call(old.ago, old.nr, 0, tid, b"looked up", at_least=True)
        if call.passes(filters):
            calls.append(call)
    longest_first = sorted(calls, key=lambda call: call.duration)[::-1]
    chosen = sorted(longest_first, key=lambda call: call.waits)[:most]
    return [call for call in longest_first if call in chosen], len(calls) - len(chosen) + unnamed


@contextmanager
def machine(olds: Sequence[Old]) -> Iterator[None]:
    """A /proc that has no threads but these."""
    by_tid = {FIRST_PID + SLOTS + number: old for number, old in enumerate(olds)}

    def inside(_pid: int, tid: int, *, ia32: bool) -> tasks.Inside | None:
        assert not ia32
        return tasks.Inside(by_tid[tid].nr, 0, (0,) * 6, 1, 1) if tid in by_tid else None

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inflight, "_EXPLORE_S", 10)
        patched.setattr(inflight, "_CHECK_S", 10)
        patched.setattr(tasks, "process_ids", lambda: dict.fromkeys(by_tid).keys())
        patched.setattr(tasks, "thread_ids", lambda pid: [pid])
        patched.setattr(tasks, "inside", inside)
        patched.setattr(tasks, "is_ia32", lambda _: False)
        patched.setattr(tasks, "exists", lambda *_: True)
        patched.setattr(tasks, "comm", lambda *_: b"looked up")
        patched.setattr(tasks, "last_ran_ns", lambda _, tid: NOW - by_tid[tid].ago)
        patched.setattr(SchedulerClock, "late_ns", lambda *_: 0)
        yield


@settings(deadline=None)
@given(
    threads=st.lists(SLOT, max_size=SLOTS),
    olds=st.lists(OLD, max_size=4),
    filters=st.sampled_from(FILTERS),
    most=st.integers(0, SLOTS + 5),
)
def test_the_calls_listed_are_those_of_a_brute_force(
    threads: list[Slot], olds: list[Old], filters: Filters, most: int
) -> None:
    slots = np.zeros(SLOTS, THREAD)
    stored = {}
    for place, slot in enumerate(threads):
        slots[place] = record(slot, place)
        if slot.known:
            where = np.zeros((), THREAD)
            where["slot"] = place + 1
            stored[FIRST_PID + place] = where
    with machine(olds):
        reader = InFlight(slots, stored.get, thresholds, filters, {}, WAITING)
        try:
            events, details, more = reader.look(NOW, details=False, most=most)
        finally:
            reader.close()
    expected, others = brute_force(threads, olds, filters, most)
    listed = [
        Call(
            duration=int(event["duration_ns"]),
            nr=int(event["nr"]),
            abi=int(event["abi"]),
            tid=int(event["tid"]),
            comm=bytes(event["comm"]),
            at_least=bool(event["flags"] & EVENT_AT_LEAST),
        )
        for event in events
    ]
    assert listed == expected
    assert (details, more) == ((), others)
    assert (events["flags"] & EVENT_NO_ARGUMENTS).all()
    assert (events["end_ns"] == NOW).all()
    assert (events["pid"] == events["tid"]).all()


def test_a_process_of_one_thread_is_not_listed() -> None:
    with subprocess.Popen(["sleep", "100"]) as process:
        try:
            assert inflight._has_one_thread(process.pid)
        finally:
            process.kill()
    assert not inflight._has_one_thread(process.pid)
    go_on = threading.Event()
    other = threading.Thread(target=go_on.wait)
    other.start()
    try:
        assert not inflight._has_one_thread(os.getpid())
        assert other.native_id in tasks.thread_ids(os.getpid())
    finally:
        go_on.set()
        other.join()
