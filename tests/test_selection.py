"""What of recorded samples a command line asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic import START_NS, Calls, Slow, detail, sample

from sysdash import processes, syscalls
from sysdash.filters import Filters
from sysdash.records import Sample
from sysdash.selection import Selection, Thresholds, Wanted
from sysdash.syscalls import IA32, NATIVE

MS = 1_000_000

CALLS = [
    Calls("read", 1, pid=10, comm=b"cat"),
    Calls("read", 2, pid=10, comm=b"cat", errno=2),
    Calls("write", 4, pid=11, comm=b"postgres: write"),
    Calls("openat", 8, pid=12, comm=b"cat", errno=13),
    Calls("read", 16, pid=13, comm=b"cats", abi=IA32, number=3),
    Calls("", 32, pid=14, comm=b"odd", number=999),
    Calls("read", 64, pid=0, comm=b""),
]
SLOW = [
    Slow("read", 11 * MS, pid=10, tid=100, comm=b"cat", detail=detail(stack=("a",))),
    Slow("read", 12 * MS, pid=10, tid=10, comm=b"cat", ret=-2, detail=detail(stack=("b",))),
    Slow("futex", 13 * MS, pid=11, tid=11, comm=b"postgres: write", ret=-110),
    Slow("rt_sigreturn", 14 * MS, pid=11, tid=11, comm=b"postgres: write", ret=-4),
    Slow("mmap", 15 * MS, pid=12, tid=12, comm=b"cat", ret=-(2**40)),
]


def recorded(**changed: Any) -> Sample:
    return replace(sample(CALLS, SLOW, in_flight=SLOW[:2], lost={"slow_limit": 3}), **changed)


def counts(filters: Filters, of: Sample | None = None, **wanted: Any) -> list[int]:
    """The counts of the rows that pass: each is another power of two."""
    found = Selection(Wanted(filters, **wanted)).of(of or recorded())
    return [int(count) for count in found.rows["count"]]


def slow(filters: Filters, *before: Sample, thresholds: Thresholds | None = None) -> list[int]:
    """The durations, in ms, of the slow calls that pass."""
    selection = Selection(Wanted(filters, slow=True, thresholds=thresholds))
    for each in before:
        selection.of(each)
    found = selection.of(recorded())
    assert len(found.details) == len(found.events)
    return [int(ns) // MS for ns in found.events["duration_ns"]]


def numbers(*names: str) -> tuple[tuple[int, int], ...]:
    return tuple(number for name in names for number in syscalls.numbers(name))


ALL = [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), ALL),
        (Filters(include_self=True), ALL),
        (Filters(pids=(10, 12)), [1, 2, 8]),
        (Filters(comms=("cat",)), [1, 2, 8]),
        (Filters(comms=("cat", "odd")), [1, 2, 8, 32]),
        # The kernel keeps fifteen bytes.
        (Filters(comms=("postgres: writer",)), [4]),
        (Filters(syscalls=numbers("read")), [1, 2, 16, 64]),
        (Filters(syscalls=((0, NATIVE),)), [1, 2, 64]),
        (Filters(not_syscalls=numbers("read")), [4, 8, 32]),
        (Filters(syscalls=numbers("read", "write"), not_syscalls=numbers("read")), [4]),
        (Filters(failures=True), [2, 8]),
        (Filters(errnos=(2,)), [2]),
        (Filters(failures=True, errnos=(13,)), [8]),
        (Filters(comms=("cat",), failures=True, pids=(12,)), [8]),
        (Filters(pids=(99,)), []),
    ],
)
def test_rows_pass_all_filters(filters: Filters, expected: list[int]) -> None:
    assert counts(filters) == expected


def test_names_are_compared_as_bytes() -> None:
    found = sample([Calls("read", 1, comm=b"caf\xe9"), Calls("read", 2, comm="café".encode())])
    assert counts(Filters(comms=("caf\udce9",)), found) == [1]
    assert counts(Filters(comms=("café",)), found) == [2]


def with_rows(name: str, values: Sequence[int], **changed: Any) -> Sample:
    found = recorded(**changed)
    found.rows[name] = values
    return found


def test_children_of_a_process() -> None:
    found = with_rows("ppid", [1, 1, 2, 3, 1, 0, 0])
    assert counts(Filters(ppids=(1, 3)), found) == [1, 2, 8, 16]


def test_cgroups_and_those_below_them() -> None:
    paths = {5: "/web.slice", 6: "/web.slice/nginx", 7: "/web.slicer", 8: "/"}
    found = with_rows("cgroup", [5, 6, 7, 8, 9, 5, 6], cgroups=paths)
    assert counts(Filters(cgroups=("/web.slice",)), found) == [1, 2, 32, 64]
    assert counts(Filters(cgroups=("/web.slice/nginx", "/web.slicer")), found) == [2, 4, 64]
    # What has no path is in none.
    assert counts(Filters(cgroups=("/",)), found) == [1, 2, 4, 8, 32, 64]


def test_a_cgroup_with_an_odd_name_is_found_by_it() -> None:
    found = with_rows("cgroup", [5] * 7, cgroups={5: "/a␛b"})
    assert counts(Filters(cgroups=("/a\x1bb",)), found) == ALL


# --- Threads ---


def threads() -> Sample:
    found = sample(
        [
            Calls("read", 1, pid=10, comm=b"java"),
            Calls("read", 2, pid=10, comm=b"GC Thread"),
            Calls("read", 4, pid=11, comm=b"worker"),
        ]
    )
    found.rows["tid"] = [10, 101, 111]
    return found


def names(found: Sample) -> list[bytes]:
    return [bytes(name) for name in found.rows["comm"]]


def test_threads_go_by_the_name_of_their_process_unless_they_are_asked_for() -> None:
    selection = Selection(Wanted(), by_tid=True)
    assert names(selection.of(threads())) == [b"java", b"java", b"worker"]
    # It is known from earlier samples, and changes with them.
    later = threads()
    later.rows["comm"][0] = b"java2"
    assert names(selection.of(later)) == [b"java2", b"java2", b"worker"]
    later.rows["tid"][0] = 102
    assert names(selection.of(later)) == [b"java2", b"java2", b"worker"]
    assert names(later) == [b"java2", b"GC Thread", b"worker"]
    kept = Selection(Wanted(threads=True), by_tid=True).of(threads())
    assert names(kept) == [b"java", b"GC Thread", b"worker"]


def test_a_process_has_one_name_where_its_first_thread_is_not_known() -> None:
    found = threads()
    found.rows["pid"], found.rows["tid"] = [10, 10, 11], [102, 101, 11]
    selection = Selection(Wanted(), by_tid=True)
    assert names(selection.of(found)) == [b"GC Thread", b"GC Thread", b"worker"]
    # What is guessed is not remembered.
    found.rows["tid"] = [102, 103, 11]
    assert names(selection.of(found)) == [b"java", b"java", b"worker"]


def test_a_first_thread_with_two_names_keeps_both() -> None:
    found = threads()
    found.rows["pid"], found.rows["tid"] = 10, [10, 10, 11]
    assert names(Selection(Wanted(), by_tid=True).of(found)) == [b"java", b"GC Thread", b"java"]


def test_only_so_many_processes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_MOST", 2)
    selection = Selection(Wanted(), by_tid=True)
    selection.of(threads())
    others = threads()
    others.rows["pid"] = others.rows["tid"] = [20, 21, 22]
    selection.of(others)
    assert names(selection.of(threads())) == [b"java", b"java", b"worker"]
    later = threads()
    later.rows["tid"] = [101, 102, 111]
    later.rows["pid"] = [10, 10, 20]
    assert names(selection.of(later)) == [b"java", b"java", b"worker"]


def test_a_thread_passes_by_its_own_name_and_by_that_of_its_process() -> None:
    for wanted in (
        Wanted(Filters(comms=("java",))),
        Wanted(Filters(comms=("java",)), threads=True),
    ):
        found = Selection(wanted, by_tid=True).of(threads())
        assert found.rows["count"].tolist() == [1, 2]
    found = Selection(Wanted(Filters(comms=("GC Thread",))), by_tid=True).of(threads())
    assert (found.rows["count"].tolist(), names(found)) == ([2], [b"java"])
    found = Selection(Wanted(Filters(tids=(111,)), threads=True), by_tid=True).of(threads())
    assert found.rows["count"].tolist() == [4]


# --- Slow calls ---


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), [11, 12, 13, 14, 15]),
        (Filters(pids=(10,)), [11, 12]),
        (Filters(tids=(100,)), [11]),
        (Filters(comms=("cat",)), [11, 12, 15]),
        (Filters(syscalls=numbers("read", "futex")), [11, 12, 13]),
        (Filters(not_syscalls=numbers("read")), [13, 14, 15]),
        # Neither a register that is restored nor an address is an error.
        (Filters(failures=True), [12, 13]),
        (Filters(errnos=(110,)), [13]),
    ],
)
def test_slow_calls_pass_all_filters(filters: Filters, expected: list[int]) -> None:
    assert slow(filters) == expected


def test_what_is_known_of_slow_calls_stays_with_them() -> None:
    found = Selection(Wanted(Filters(failures=True), slow=True)).of(recorded())
    assert [each.stack() for each in found.details] == [("b",), ()]
    # What has not returned has not failed, and has not succeeded.
    assert found.in_flight["duration_ns"].tolist() == [11 * MS, 12 * MS]
    found = Selection(Wanted(Filters(tids=(10,)), slow=True)).of(recorded())
    assert [each.stack() for each in found.in_flight_details] == [("b",)]


def test_slow_calls_have_the_parent_and_the_cgroup_of_their_processes_rows() -> None:
    before = with_rows("ppid", [1, 1, 2, 3, 1, 0, 0])
    assert slow(Filters(ppids=(1, 3)), before) == []  # by newer rows, they are nobody's children
    idle = replace(before, rows=before.rows[2:3])
    selection = Selection(Wanted(Filters(ppids=(1, 3)), slow=True))
    selection.of(before)
    found = selection.of(replace(idle, events=recorded().events))
    assert [int(ns) // MS for ns in found.events["duration_ns"]] == [11, 12, 15]
    inside = with_rows("cgroup", [5, 6, 5, 5, 5, 5, 5], cgroups={6: "/web"})
    found = Selection(Wanted(Filters(cgroups=("/web",)), slow=True)).of(inside)
    assert [int(ns) // MS for ns in found.events["duration_ns"]] == [11, 12]


@pytest.mark.parametrize(
    ("default_ms", "own_ms", "expected"),
    [
        (0, {}, [11, 12, 13, 14, 15]),
        (13, {}, [13, 14, 15]),
        (None, {}, []),
        (None, {"futex": 1, "read": 12}, [12, 13]),
        (14, {"read": 0, "futex": None, "mmap": 16}, [11, 12, 14]),
    ],
)
def test_slow_calls_must_have_taken_their_threshold(
    default_ms: int | None, own_ms: dict[str, int | None], expected: list[int]
) -> None:
    def ns(ms: int | None) -> int | None:
        return None if ms is None else ms * MS

    own = {number: ns(ms) for name, ms in own_ms.items() for number in syscalls.numbers(name)}
    assert slow(Filters(), thresholds=Thresholds(ns(default_ms), own)) == expected


# --- What else is wanted ---


def test_sums_need_no_slow_calls() -> None:
    found = Selection(Wanted()).of(recorded())
    assert (len(found.events), len(found.details), len(found.in_flight)) == (0, 0, 0)
    assert found.time_ns == START_NS + 10**9


def test_losses_are_those_of_what_is_wanted() -> None:
    lost = {"calls": 1, "slow_limit": 2, "slow_ring": 3, "stacks": 4, "off_cpu": 5, "switches": 6}
    given = recorded(lost=lost, off_cpu=True)

    def left(wanted: Wanted) -> tuple[set[str], bool]:
        found = Selection(wanted).of(given)
        assert set(found.lost) == set(lost)
        return {name for name, count in found.lost.items() if count}, found.off_cpu

    assert left(Wanted()) == ({"calls"}, False)
    assert left(Wanted(slow=True)) == ({"calls", "slow_limit", "slow_ring", "stacks"}, False)
    assert left(Wanted(off_cpu=True)) == ({"calls", "off_cpu", "switches"}, True)


def test_a_sample_without_rows_is_no_trouble() -> None:
    empty = sample()
    assert len(empty.rows) == 0
    filters = Filters(comms=("cat",), ppids=(1,), cgroups=("/",), errnos=(1,), syscalls=((0, 0),))
    for by_tid in (False, True):
        found = Selection(Wanted(filters, slow=True, threads=by_tid), by_tid=by_tid).of(empty)
        assert (len(found.rows), len(found.events)) == (0, 0)
    thresholds = Thresholds(5, {(0, 0): 1})
    assert thresholds.reached(empty.events).tolist() == []


def test_nothing_is_changed_in_place() -> None:
    given, same = recorded(), recorded()
    Selection(Wanted(Filters(pids=(10,)), slow=True), by_tid=True).of(given)
    assert np.array_equal(given.rows, same.rows)
    assert np.array_equal(given.events, same.events)
