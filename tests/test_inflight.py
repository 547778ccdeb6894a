"""Calls that have not returned: of threads the probe has seen, and of those it has not."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from probing import build, comm, eventually, nr
from symbolising import functions

from sysdash.arguments import Signatures
from sysdash.descriptors import describe
from sysdash.filters import Filters
from sysdash.probes import flightdetails, inflight, schedclock, sleepers, tasks
from sysdash.probes.descriptors import Descriptors
from sysdash.probes.inflight import InFlight
from sysdash.probes.symbols import Stacks
from sysdash.records import (
    EVENT,
    EVENT_AT_LEAST,
    EVENT_NO_ARGUMENTS,
    THREAD,
    Data,
    DataRule,
    Detail,
    Events,
    Reads,
)

S = 1_000_000_000
MS = 1_000_000
NOW = 100 * S
FUTEXES = 3

Array = npt.NDArray[np.void]
Open = Callable[..., InFlight]


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, what is read aside is read."""
    monkeypatch.setattr(flightdetails, "_DETAILS_S", 10)
    monkeypatch.setattr(schedclock, "_MEASURE_S", 10)


@pytest.fixture
def open_reader() -> Iterator[Open]:
    """Makes readers that are closed at the end."""
    with ExitStack() as stack:

        def make(
            slots: Array | None = None,
            filters: Filters | None = None,
            *,
            stored: Mapping[int, Array] | None = None,
            threshold_ns: int = 10 * MS,
            reads: Mapping[tuple[int, int], Reads] | None = None,
            waiting: Collection[tuple[int, int]] = (),
            stacks: Stacks | None = None,
        ) -> InFlight:
            def thresholds(nr: npt.NDArray[np.int32], _abi: object) -> npt.NDArray[np.uint64]:
                return np.full(len(nr), threshold_ns, dtype="<u8")

            found = InFlight(
                np.zeros(8, THREAD) if slots is None else slots,
                ({} if stored is None else stored).get,
                thresholds,
                filters or Filters(),
                Signatures().reads() if reads is None else reads,
                waiting,
                stacks,
            )
            stack.callback(found.close)
            return found

        yield make


NOBODY = Filters(pids=(2**22 - 1,))
"""So that no thread of this machine is among those that are found."""


def inside(
    name: str, ago_ns: int, *, tid: int = 11, regs: int = 64, epoch: int = 2, skip: int = 0
) -> Array:
    """What the probe keeps of a thread that has been inside of a call for so long."""
    thread = np.zeros((), THREAD)
    thread["regs"], thread["start_ns"], thread["nr"] = regs, NOW - ago_ns, nr(name)
    thread["epoch"], thread["skip"] = epoch, skip
    thread["who"]["pid"], thread["who"]["tid"], thread["who"]["comm"] = 10, tid, b"postgres"
    return thread


def slots(*threads: Array) -> Array:
    found = np.zeros(8, THREAD)
    for place, thread in enumerate(threads):
        found[place] = thread
    return found


def names(events: Events) -> list[tuple[int, int]]:
    return [(int(event["tid"]), int(event["duration_ns"])) for event in events]


# --- Slots ---


def test_calls_that_wait_do_not_crowd_out_others(open_reader: Open) -> None:
    threads = [inside("epoll_wait", (30 - i) * S, tid=20 + i, regs=64 + i) for i in range(4)] + [
        inside("read", 45 * MS, tid=11),
        inside("futex", 60 * MS, tid=12),
    ]
    reader = open_reader(slots(*threads), NOBODY, waiting=[(nr("epoll_wait"), 0)])
    events, _, more = reader.look(NOW, details=False, most=3)
    assert names(events) == [(20, 30 * S), (12, 60 * MS), (11, 45 * MS)]
    assert more == 3


def test_a_call_that_takes_longer_than_its_threshold_is_found(open_reader: Open) -> None:
    reader = open_reader(slots(inside("read", 45 * MS)), NOBODY)
    events, details, more = reader.look(NOW, details=False)
    (event,) = events
    assert events.dtype == EVENT
    assert (event["nr"], event["abi"], event["duration_ns"]) == (nr("read"), 0, 45 * MS)
    assert (event["pid"], event["tid"], event["comm"]) == (10, 11, b"postgres")
    assert (event["end_ns"], event["flags"]) == (NOW, EVENT_NO_ARGUMENTS)
    assert (details, more) == ((), 0)


@pytest.mark.parametrize(
    "thread",
    [
        inside("read", 10 * MS - 1),
        inside("read", NOW),  # not inside of a call
        inside("read", 45 * MS, regs=0),  # nobody's slot
        inside("read", 45 * MS, skip=1),  # filtered out
        inside("read", 45 * MS, skip=2),  # a command that has not begun
        inside("read", -1),  # begun since the clock was read
    ],
)
def test_others_are_not(open_reader: Open, thread: Array) -> None:
    events, _, more = open_reader(slots(thread), NOBODY).look(NOW, details=False)
    assert (len(events), more) == (0, 0)


def test_a_threshold_is_reached_when_it_is_over(open_reader: Open) -> None:
    reader = open_reader(slots(inside("read", 10 * MS)), NOBODY)
    assert len(reader.look(NOW, details=False)[0]) == 1


def test_the_longest_come_first_and_the_others_are_counted(open_reader: Open) -> None:
    threads = [inside("read", (20 + i % 5) * MS, tid=10 + i, regs=i + 1) for i in range(5)]
    reader = open_reader(slots(*threads), NOBODY)
    events, _, more = reader.look(NOW, details=False, most=3)
    assert names(events) == [(14, 24 * MS), (13, 23 * MS), (12, 22 * MS)]
    assert more == 2


@pytest.mark.parametrize(
    ("wanted", "unwanted", "expected"),
    [
        (("read",), (), [1]),
        ((), ("read",), [3, 2]),
        (("read", "futex"), ("read",), [2]),
        ((), (), [3, 2, 1]),
    ],
)
def test_syscalls_are_filtered(
    open_reader: Open, wanted: tuple[str, ...], unwanted: tuple[str, ...], expected: list[int]
) -> None:
    filters = Filters(
        pids=NOBODY.pids,
        syscalls=tuple((nr(name), 0) for name in wanted),
        not_syscalls=tuple((nr(name), 0) for name in unwanted),
    )
    unknown = inside("read", 43 * MS, tid=3, regs=3)
    unknown["nr"] = 999_999
    reader = open_reader(
        slots(inside("read", 41 * MS, tid=1), inside("futex", 42 * MS, tid=2), unknown), filters
    )
    assert [tid for tid, _ in names(reader.look(NOW, details=False)[0])] == expected


@pytest.mark.parametrize("filters", [Filters(failures=True), Filters(errnos=(errno.ENOENT,))])
def test_what_has_not_returned_has_not_failed(open_reader: Open, filters: Filters) -> None:
    reader = open_reader(slots(inside("read", 45 * MS)), filters)
    assert len(reader.look(NOW, details=True)[0]) == 0


def test_slots_must_be_the_probes(open_reader: Open) -> None:
    with pytest.raises(TypeError, match="THREAD"):
        open_reader(np.zeros(8, EVENT))


def test_a_slot_that_has_a_new_owner_is_told_under_the_right_name(
    open_reader: Open, sleeper: subprocess.Popen[bytes]
) -> None:
    old = inside("read", 45 * MS, epoch=0)
    place = np.zeros((), THREAD)
    place["slot"] = 1
    reader = open_reader(slots(old), stored={sleeper.pid: place})
    (event,) = (e for e in reader.look(NOW, details=True)[0] if e["duration_ns"] == 45 * MS)
    assert (event["pid"], event["tid"], event["comm"]) == (sleeper.pid, sleeper.pid, b"sleep")


def test_a_slot_of_which_it_is_not_known_whose_it_is_is_counted(open_reader: Open) -> None:
    reader = open_reader(slots(inside("read", 45 * MS, epoch=0, tid=2**22 - 1)), stored={})
    events, _, more = reader.look(NOW, details=True)
    assert more == 1
    assert 45 * MS not in events["duration_ns"]


def test_a_thread_in_task_storage_is_found(
    open_reader: Open, sleeper: subprocess.Popen[bytes]
) -> None:
    stored = inside("clock_nanosleep", 45 * MS)
    reader = open_reader(filters=Filters(pids=(sleeper.pid,)), stored={sleeper.pid: stored})
    (event,) = reader.look(NOW, details=True)[0]
    assert (event["tid"], event["duration_ns"]) == (sleeper.pid, 45 * MS)
    assert not event["flags"] & EVENT_AT_LEAST
    # It has got a slot since, and is outside of calls.
    stored["slot"], stored["start_ns"] = 1, 0
    assert len(reader.look(NOW, details=True)[0]) == 0


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "100"]) as process:
        try:
            assert eventually(
                lambda: tasks.inside(process.pid, process.pid, ia32=False) is not None
            )
            yield process
        finally:
            process.kill()


# --- Threads that have been inside of a call since before ---


class Blocked:
    """The program inflight, all of whose threads are inside of a call."""

    def __init__(self, program: str, folder: Path, *, futexes: int = FUTEXES) -> None:
        self.fifo, self.socket = folder / "fifo", folder / "socket"
        self.began_ns = time.monotonic_ns()
        self.process = subprocess.Popen(
            [program, str(futexes), self.fifo, self.socket],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = [self.process.stdout.readline().split() for _ in range(futexes + 5)]
        self.pid = self.process.pid
        self.threads = {int(tid): (name, int(number)) for name, tid, number in said}
        self.threads[self.pid] = ("read", 0)
        assert eventually(lambda: all(map(self._is_inside, self.threads)))
        self.inside_ns = time.monotonic_ns()

    def _is_inside(self, tid: int) -> bool:
        found = tasks.inside(self.pid, tid, ia32=False)
        return found is not None and found.nr == nr(self.threads[tid][0])

    def tid(self, name: str) -> int:
        return next(tid for tid, found in self.threads.items() if found[0] == name)

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="module")
def blocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blocked]:
    folder = tmp_path_factory.mktemp("inflight")
    program = Blocked(build("inflight", folder), folder)
    # Longer than the readers' threshold, and than what the clocks can be off.
    time.sleep(0.3)
    yield program
    program.end()


def look(reader: InFlight, *, details: bool = True) -> dict[int, tuple[np.void, Detail]]:
    events, found, more = reader.look(time.monotonic_ns(), details=details)
    assert more == 0
    return {
        int(event["tid"]): (event, detail)
        for event, detail in zip(events, found or [Detail()] * len(events), strict=True)
    }


def test_every_thread_is_found_with_its_call(open_reader: Open, blocked: Blocked) -> None:
    reader = open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0)
    found = look(reader)
    assert reader.complete
    assert {tid: int(event["nr"]) for tid, (event, _) in found.items()} == {
        tid: nr(name) for tid, (name, _) in blocked.threads.items()
    }
    for event, _ in found.values():
        assert (event["pid"], event["comm"]) == (blocked.pid, comm("inflight").encode())
        assert event["flags"] == EVENT_AT_LEAST


def test_the_time_is_a_lower_bound_and_near_the_truth(open_reader: Open, blocked: Blocked) -> None:
    def near() -> bool:
        now = time.monotonic_ns()
        events, _, more = open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0).look(
            now, details=False
        )
        assert (len(events), more) == (len(blocked.threads), 0)
        assert (events["duration_ns"] <= now - blocked.began_ns).all()
        return bool((events["duration_ns"] >= now - blocked.inside_ns - 100 * MS).all())

    # How late a CPU's clock is may be measured while something else has the CPU.
    assert eventually(near)


def test_their_stories(open_reader: Open, blocked: Blocked) -> None:
    found = look(open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0))

    def of(name: str) -> tuple[list[int], Detail, int]:
        tid = blocked.tid(name)
        event, detail = found[tid]
        return event["args"].tolist(), detail, blocked.threads[tid][1]

    args, detail, address = of("futex")
    assert args[0] == address
    assert detail.file is None

    args, detail, fd = of("read")
    assert (args[0], args[2]) == (fd, 64)
    assert detail.file is not None
    pipe = Path(f"/proc/{blocked.pid}/fd/{fd}").stat()
    assert describe(detail.file) == f"pipe:[{pipe.st_ino}]"

    args, detail, _ = of("clock_nanosleep")
    assert detail.data[0] == Data((3600).to_bytes(8, "little") + bytes(8))

    args, detail, _ = of("openat")
    assert detail.data[0] == Data(os.fsencode(blocked.fifo))
    assert detail.file is not None
    assert describe(detail.file) == str(Path.cwd())

    args, detail, port = of("accept4")
    assert detail.file is not None
    assert describe(detail.file) == f"TCP 127.0.0.1:{port} LISTEN"

    args, detail, fd = of("recvfrom")
    assert args[0] == fd
    assert detail.file is not None
    assert describe(detail.file) == f"unix:{blocked.socket}"


def test_kernel_stacks_tell_where_they_wait(open_reader: Open, blocked: Blocked) -> None:
    found = look(open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0))
    for name, word in (("futex", "futex"), ("read", "pipe_read"), ("clock_nanosleep", "nanosleep")):
        frames = found[blocked.tid(name)][1].stack()
        assert any(word in frame for frame in frames)
        assert all(frame.startswith("vmlinux`") for frame in frames)


def test_without_details_nothing_is_read_of_them(open_reader: Open, blocked: Blocked) -> None:
    reader = open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0)
    events, details, _ = reader.look(time.monotonic_ns(), details=False)
    assert len(events) == len(blocked.threads)
    assert details == ()
    assert not events["args"].any()
    assert (events["flags"] == EVENT_AT_LEAST | EVENT_NO_ARGUMENTS).all()


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (lambda it: Filters(tids=(it.tid("openat"),)), 1),
        (lambda _: Filters(ppids=(os.getpid(),), comms=(comm("inflight"),)), FUTEXES + 6),
        (lambda it: Filters(pids=(it.pid,), syscalls=((nr("futex"), 0),)), FUTEXES),
        (lambda it: Filters(pids=(it.pid,), comms=("nobody",)), 0),
        (lambda it: Filters(pids=(it.pid,), ppids=(it.pid,)), 0),
        # A command is followed from its beginning.
        (lambda it: Filters(pids=(it.pid,), command=it.pid), 0),
    ],
)
def test_filters_hold_for_threads_that_the_probe_has_not_seen(
    open_reader: Open, blocked: Blocked, filters: Callable[[Blocked], Filters], count: int
) -> None:
    found = look(open_reader(filters=filters(blocked), threshold_ns=0))
    assert len(found.keys() & blocked.threads.keys()) == len(found) == count


def test_cgroups_hold_for_them_too(open_reader: Open, blocked: Blocked) -> None:
    from sysdash.probes.targets import cgroup_root

    root = cgroup_root()
    if root is None:
        assert tasks.cgroup(blocked.pid, blocked.pid) == b""
        return
    own = f"{root}{os.fsdecode(tasks.cgroup(blocked.pid, blocked.pid))}".rstrip("/")
    for path, count in ((own, len(blocked.threads)), (f"{own}/other", 0)):
        filters = Filters(pids=(blocked.pid,), cgroups=(path,))
        assert len(look(open_reader(filters=filters, threshold_ns=0))) == count


def test_the_whole_machine_is_looked_at_a_little_at_a_time(
    open_reader: Open, blocked: Blocked
) -> None:
    reader = open_reader(threshold_ns=0)
    found: set[int] = set()

    def all_found() -> bool:
        # Not each of them is checked at each look.
        found.update(reader.look(time.monotonic_ns(), details=False, most=10**6)[0]["tid"].tolist())
        return reader.complete and blocked.threads.keys() <= found

    assert eventually(all_found)
    # Neither sysdash nor threads of the kernel, which make no calls.
    assert os.getpid() not in found
    assert 2 not in found


def test_sysdash_itself_is_left_out_unless_it_is_wanted(open_reader: Open) -> None:
    ends = os.pipe()
    thread = threading.Thread(target=os.read, args=(ends[0], 1))
    thread.start()
    try:
        tid = thread.native_id
        assert tid is not None
        assert eventually(lambda: tasks.inside(os.getpid(), tid, ia32=False) is not None)
        for include_self in (False, True):
            filters = Filters(pids=(os.getpid(),), include_self=include_self)
            found = look(open_reader(filters=filters, threshold_ns=0))
            assert (tid in found) == include_self
    finally:
        os.write(ends[1], b"x")
        thread.join()
        for end in ends:
            os.close(end)


def test_a_thread_that_goes_on_is_forgotten(open_reader: Open, tmp_path: Path) -> None:
    program = Blocked(build("inflight", tmp_path), tmp_path, futexes=0)
    reader = open_reader(filters=Filters(pids=(program.pid,)), threshold_ns=0)
    tid = program.tid("openat")
    found = look(reader)
    assert tid in found
    os.close(os.open(program.fifo, os.O_WRONLY))
    assert eventually(lambda: tid not in look(reader))
    program.end()
    assert look(reader) == {}
    # What was found stays known.
    assert found[tid][1].stack()[0].startswith("vmlinux`wait_for_partner+0x")


def test_what_there_was_no_time_to_check_is_counted_only(
    open_reader: Open, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0)
    assert look(reader).keys() == blocked.threads.keys()
    # There is time for one.
    monkeypatch.setattr(inflight, "_THOROUGH_CHECK_S", 0)
    listed = []
    for _ in range(2 * len(blocked.threads)):
        events, _, more = reader.look(time.monotonic_ns(), details=True)
        assert (len(events), more) == (1, len(blocked.threads) - 1)
        listed.append(int(events["tid"][0]))
    # Each has its turn.
    assert {*listed[: len(blocked.threads)]} == blocked.threads.keys()
    assert listed[: len(blocked.threads)] == listed[len(blocked.threads) :]


def test_what_has_returned_is_not_listed_though_nobody_has_looked(
    open_reader: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Blocked(build("inflight", tmp_path), tmp_path)
    reader = open_reader(filters=Filters(pids=(program.pid,)), threshold_ns=0)
    tid = program.tid("openat")
    assert tid in look(reader)
    monkeypatch.setattr(inflight, "_THOROUGH_CHECK_S", 0)
    os.close(os.open(program.fifo, os.O_WRONLY))
    assert eventually(lambda: not tasks.exists(program.pid, tid))
    counts = []
    for _ in program.threads:
        events, _, more = reader.look(time.monotonic_ns(), details=True)
        assert tid not in events["tid"]
        counts.append(len(events) + more)
    # It is counted until its turn has come.
    assert (counts[0], counts[-1]) == (len(program.threads), len(program.threads) - 1)
    program.end()


def test_a_thread_that_has_returned_and_makes_no_calls_is_forgotten(open_reader: Open) -> None:
    loop = "read line; while :; do :; done"
    with subprocess.Popen(["sh", "-c", loop], stdin=subprocess.PIPE) as process:
        try:
            reader = open_reader(filters=Filters(pids=(process.pid,)), threshold_ns=0)
            assert eventually(lambda: process.pid in look(reader))
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert eventually(lambda: tasks.inside(process.pid, process.pid, ia32=False) is None)
            for _ in range(3):
                assert look(reader) == {}
            # That of another call with the same arguments is another.
            assert process.pid not in reader._before
        finally:
            process.kill()


@pytest.mark.parametrize("told", [True, False], ids=["sched", "status"])
def test_where_threads_cannot_be_asked_for_the_same_call_again_is_another(
    open_reader: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    monkeypatch.setattr(inflight, "_threads_can_be_asked", lambda: False)
    if not told:
        monkeypatch.setattr(tasks, "last_ran_ns", lambda *_: None)
    # Each thread is checked once in two seconds or so.
    monkeypatch.setattr(inflight, "_CHECK_S", 0)
    program = build("epolls", tmp_path)
    with subprocess.Popen([program, "8"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        reader = open_reader(filters=Filters(pids=(process.pid,)), threshold_ns=0)
        workers: dict[int, int] = {}
        for _ in range(15):
            events, _, _ = reader.look(time.monotonic_ns(), details=False)
            for event in events[events["tid"] != process.pid]:
                assert event["nr"] == nr("epoll_wait")
                tid = int(event["tid"])
                workers[tid] = max(workers.get(tid, 0), int(event["duration_ns"]))
            time.sleep(0.2)
        assert len(workers) == 8
        # They wait for 0.1 s each time, and have done so for 3 s.
        assert max(workers.values()) < 1 * S


@pytest.mark.parametrize(
    ("said", "expected"), [("12.000345", 12_000_345), ("0.000000", None), ("none", None)]
)
def test_a_thread_that_is_on_its_way_to_another_cpu_does_not_say_when_it_ran(
    monkeypatch: pytest.MonkeyPatch, said: str, expected: int | None
) -> None:
    text = f"se.exec_start                                :        {said}\n".encode()
    monkeypatch.setattr(tasks, "read", lambda *_: text)
    assert tasks.last_ran_ns(1, 1) == expected


def test_where_threads_cannot_be_asked_for_one_that_never_ran_is_still_inside(
    open_reader: Open, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflight, "_threads_can_be_asked", lambda: False)
    monkeypatch.setattr(tasks, "last_ran_ns", lambda *_: None)
    reader = open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0)
    began = time.monotonic_ns()
    look(reader)
    time.sleep(0.2)
    assert all(event["duration_ns"] >= 0.2 * S for event, _ in look(reader).values())
    assert time.monotonic_ns() - began < 60 * S


@pytest.mark.parametrize("calling", [True, False])
def test_a_thread_with_a_slot_is_listed_once_or_not_at_all(
    open_reader: Open, blocked: Blocked, *, calling: bool
) -> None:
    tid, place = blocked.tid("read"), slots()
    reader = open_reader(place, filters=Filters(pids=(blocked.pid,)), threshold_ns=0)
    assert look(reader)[tid][0]["flags"] & EVENT_AT_LEAST
    # Its slot alone tells so; before Linux 6.9 it could not be asked for.
    again = inside("read", 0, tid=tid)
    again["start_ns"] = time.monotonic_ns() - 20 * MS if calling else 0
    again["who"]["pid"] = blocked.pid
    place[3] = again
    events, _, more = reader.look(time.monotonic_ns(), details=True)
    assert more == 0
    (own,) = events[events["tid"] == tid] if calling else [None]
    assert len(events) == len(blocked.threads) - (not calling)
    assert own is None or 20 * MS <= own["duration_ns"] < 10 * S
    assert calling == (tid in events["tid"])


def test_a_thread_that_goes_on_during_the_look_is_listed_once(
    open_reader: Open, blocked: Blocked
) -> None:
    class Late(dict[int, Array]):
        """What the probe has seen by the second time it is asked for."""

        asked = 0

        def get(self, tid: int, _default: object = None) -> Array | None:  # type: ignore[override]
            self.asked += 1
            return self[tid] if self and self.asked > 1 else None

    tid, place, stored = blocked.tid("read"), slots(), Late()
    filters = Filters(pids=(blocked.pid,), tids=(tid,))
    reader = open_reader(place, filters=filters, stored=stored, threshold_ns=0)
    assert looked(reader)[0]["flags"].tolist() == [EVENT_AT_LEAST]
    again, owner = inside("read", 0, tid=tid, epoch=0), np.zeros((), THREAD)
    again["start_ns"], again["who"]["pid"], owner["slot"] = time.monotonic_ns(), blocked.pid, 4
    place[3] = again
    stored.asked = 0
    stored[tid] = owner
    (event,) = looked(reader)[0]
    assert (event["tid"], event["flags"]) == (tid, 0)


def test_threads_there_is_no_room_for_are_counted(
    open_reader: Open, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflight, "_MOST_BEFORE", 4)
    monkeypatch.setattr(inflight, "_MOST_STORED", 1)
    wanted = Filters(pids=(blocked.pid,))
    reader = open_reader(filters=wanted)
    for _ in range(2):
        events, _, more = looked(reader)
        assert (len(events), more) == (4, len(blocked.threads) - 4)
    # Calls that are not over the threshold are none of them.
    events, _, more = looked(open_reader(filters=wanted, threshold_ns=10**6 * S))
    assert (len(events), more) == (0, 0)

    stored = {tid: inside("read", 45 * MS) for tid in blocked.threads}
    for thread in stored.values():
        thread["start_ns"] = time.monotonic_ns() - 45 * MS
    stored[blocked.pid]["start_ns"] = 0
    events, _, more = looked(open_reader(filters=wanted, stored=stored))
    assert len(events) + more == len(blocked.threads) - 1
    assert len(events) <= 1


def looked(reader: InFlight) -> tuple[Events, tuple[Detail, ...], int]:
    return reader.look(time.monotonic_ns(), details=True)


def test_stacks_are_those_of_this_look_and_the_rest_is_read_once(
    open_reader: Open, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, read, data = [0], [], flightdetails._data

    def counted(pid: int, tid: int, args: tuple[int, ...], rule: DataRule) -> Data | None:
        read.append(tid)
        return data(pid, tid, args, rule)

    monkeypatch.setattr(tasks, "kernel_stack", lambda *_: (f"vmlinux`step_{looks[0]}",))
    monkeypatch.setattr(flightdetails, "_data", counted)
    monkeypatch.setattr(flightdetails, "_MOST_STACKS", 2)
    reader = open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0)
    first = looked(reader)
    assert {detail.stack() for detail in first[1]} == {("vmlinux`step_0",)}
    of_data = len(read)
    looks[0] = 1
    events, details, _ = looked(reader)
    told = [detail.stack() for detail in details]
    # Those of the longest calls, for there is time for so many only.
    assert told == [("vmlinux`step_1",)] * 2 + [("vmlinux`step_0",)] * (len(details) - 2)
    assert 0 < of_data == len(read)
    assert events["args"].tolist() == first[0]["args"].tolist()
    # What was handed out does not change.
    assert first[1][0].stack() == ("vmlinux`step_0",)


def test_a_process_that_blocks_its_readers_is_left_alone_for_a_while(
    open_reader: Open, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flightdetails, "_DETAILS_S", 0.05)
    go_on, asked, start = threading.Event(), [], tasks.start_time(blocked.pid)
    stack = tasks.kernel_stack

    def stuck(pid: int, tid: int) -> tuple[str, ...]:
        asked.append(tid)
        go_on.wait()
        return stack(pid, tid)

    monkeypatch.setattr(tasks, "kernel_stack", stuck)
    tids = (blocked.tid("read"),)
    reader = open_reader(filters=Filters(tids=tids, pids=(blocked.pid,)), threshold_ns=0)
    try:
        for _ in range(3):
            assert [int(event["flags"]) for event in looked(reader)[0]] == [
                EVENT_AT_LEAST | EVENT_NO_ARGUMENTS
            ]
        assert len(asked) == 1
        # Another process that has got its number is another.
        monkeypatch.setattr(tasks, "start_time", lambda _: start + 1)
        looked(reader)
        assert len(asked) == 2
        # And it is not for ever.
        monkeypatch.setattr(flightdetails, "_SILENCE_S", 0)
        monkeypatch.setattr(tasks, "start_time", lambda _: start)
        for count in (3, 4):
            looked(reader)
            assert len(asked) == count
    finally:
        go_on.set()
    monkeypatch.setattr(flightdetails, "_DETAILS_S", 10)
    assert eventually(lambda: looked(reader)[0]["flags"].tolist() == [EVENT_AT_LEAST])


def test_readers_that_are_stuck_do_not_keep_clocks_from_being_measured(
    open_reader: Open, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flightdetails, "_DETAILS_S", 0.01)
    monkeypatch.setattr(flightdetails, "_SILENCE_S", 0)
    go_on = threading.Event()
    monkeypatch.setattr(tasks, "kernel_stack", lambda *_: go_on.wait() and ())
    reader = open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0)
    try:
        for _ in range(6):
            looked(reader)
        reader._clock.forget()
        assert reader._clock.late_ns(min(os.sched_getaffinity(0))) is not None
    finally:
        go_on.set()


@pytest.fixture
def closed(blocked: Blocked, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether the calls of all threads of ``blocked`` are kept from this process."""
    read, kept = tasks.read, True

    def refuse(path: str, most: int = 65536) -> bytes:
        if kept and path.startswith(f"/proc/{blocked.pid}/") and path.endswith("/syscall"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return read(path, most)

    def keep(keep: bool) -> None:
        nonlocal kept
        kept = keep

    monkeypatch.setattr(tasks, "read", refuse)
    monkeypatch.setattr(inflight, "_AGAIN_S", 0.0)
    return keep


def test_threads_that_may_not_be_looked_into_are_counted(
    open_reader: Open, blocked: Blocked, closed: Callable[[bool], None]
) -> None:
    known = slots()
    reader = open_reader(known, Filters(pids=(blocked.pid,)), threshold_ns=0)
    assert reader.unreadable == 0
    assert look(reader) == {}
    assert reader.complete
    assert reader.unreadable == len(blocked.threads) > 2
    # Of the others the probe knows as much as of any thread.
    for place, tid in enumerate(list(blocked.threads)[:2]):
        known[place] = inside("read", -1, tid=tid)
    assert reader.unreadable == len(blocked.threads) - 2
    closed(False)
    look(reader)
    assert reader.unreadable == 0


@pytest.mark.parametrize("filters", [{"comms": ("nobody",)}, {"command": 2**22 - 1}])
def test_only_of_those_that_are_wanted(
    open_reader: Open,
    blocked: Blocked,
    closed: Callable[[bool], None],
    filters: Mapping[str, Any],
) -> None:
    closed(True)
    reader = open_reader(filters=Filters(pids=(blocked.pid,), **filters), threshold_ns=0)
    reader.sleeping_since_before(time.monotonic_ns())
    assert (reader.complete, reader.unreadable) == (True, 0)


@pytest.mark.parametrize(
    ("state", "flags", "is_closed"),
    [
        ("S", 0x0040_0000, True),
        ("D", 0x0040_0100, True),
        ("R", 0x0040_0000, False),
        ("Z", 0x0040_0000, False),
        ("I", 0x0420_8060, False),  # a kernel thread
        ("S", 0x0040_0050, False),  # a worker of io_uring
    ],
)
def test_which_threads_are_closed(
    monkeypatch: pytest.MonkeyPatch, state: str, flags: int, is_closed: bool
) -> None:
    def read(path: str, _most: int = 65536) -> bytes:
        if path == "/proc/10/task/11/syscall":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        assert path == "/proc/10/task/11/stat"
        return f"11 (a) S (b) {state} 1 10 10 0 -1 {flags} 1 2 3".encode()

    monkeypatch.setattr(tasks, "read", read)
    assert tasks.is_closed(10, 11) == is_closed


def test_a_thread_that_has_ended_is_not_closed() -> None:
    assert not tasks.is_closed(2**22 - 1, 2**22 - 1)
    assert not tasks.is_closed(os.getpid(), os.getpid())


def test_a_thread_that_the_probe_sees_is_its_own(open_reader: Open, blocked: Blocked) -> None:
    stored: dict[int, Array] = {}
    tid = blocked.tid("read")
    reader = open_reader(filters=Filters(tids=(tid,)), stored=stored, threshold_ns=0)
    assert look(reader)[tid][0]["flags"] & EVENT_AT_LEAST
    # It has returned, and is in the same call for a second time.
    again = np.zeros((), THREAD)
    again["start_ns"], again["epoch"] = time.monotonic_ns() - 20 * MS, 2
    stored[tid] = again
    event = look(reader)[tid][0]
    assert 20 * MS <= event["duration_ns"] < 10 * S
    assert not event["flags"] & EVENT_AT_LEAST


def test_a_32_bit_program(open_reader: Open, tmp_path: Path) -> None:
    flags = ("-m32", "-nostdlib", "-static", "-fno-stack-protector", "-fno-pie", "-no-pie")
    program = build("inflight32", tmp_path, *flags)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        reader = open_reader(filters=Filters(pids=(process.pid,)), threshold_ns=0)
        assert eventually(lambda: process.pid in look(reader))
        event, detail = look(reader)[process.pid]
        assert (event["nr"], event["abi"]) == (3, 1)
        assert event["args"].tolist()[::2][:2] == [0, 1]
        assert detail.file is not None
        assert describe(detail.file).startswith("pipe:")


# --- User stacks ---


@pytest.fixture(scope="module")
def stacks() -> Iterator[Stacks]:
    opened = Stacks()
    yield opened
    opened.close()


CALLERS = {
    "futex": "in_futex",
    "clock_nanosleep": "in_sleep",
    "openat": "in_open",
    "accept4": "in_accept",
    "recvfrom": "in_receive",
}


def is_in(frames: tuple[str, ...], name: str) -> bool:
    """Whether frames are those of a thread of the program, from the kernel to its beginning."""
    first = next(place for place, frame in enumerate(frames) if not frame.startswith("vmlinux`"))
    user = functions(frames[first:])
    if user[-1] == "_start":
        return first > 0 and user[:2] == ["read", "main"]
    return first > 0 and user == ["syscall", CALLERS.get(name, "in_read"), "start_thread", "clone3"]


def test_user_stacks_follow_those_of_the_kernel(
    open_reader: Open, blocked: Blocked, stacks: Stacks
) -> None:
    filters = Filters(pids=(blocked.pid,))
    found = look(open_reader(filters=filters, threshold_ns=0, stacks=stacks))
    for tid, (name, _) in blocked.threads.items():
        detail = found[tid][1]
        assert is_in(detail.stack(), name)
        assert detail.kernel == detail.stack()[: len(detail.kernel)]
        assert all(frame.startswith("vmlinux`") for frame in detail.kernel)


def test_a_user_stack_is_read_once_a_call(
    open_reader: Open, blocked: Blocked, stacks: Stacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, copy = [], tasks.stack_copy

    def counted(pid: int, tid: int, sp: int, most: int) -> bytes:
        copied.append(tid)
        return copy(pid, tid, sp, most)

    monkeypatch.setattr(tasks, "stack_copy", counted)
    filters = Filters(pids=(blocked.pid,))
    reader = open_reader(filters=filters, threshold_ns=0, stacks=stacks)
    for _ in range(3):
        look(reader)
    found = look(reader)
    assert sorted(copied) == sorted(blocked.threads)
    assert is_in(found[blocked.tid("openat")][1].stack(), "openat")
    # Where stacks are not wanted, none is read.
    look(open_reader(filters=filters, threshold_ns=0))
    assert len(copied) == len(blocked.threads)


def test_the_stack_of_a_call_is_known_after_its_end(
    open_reader: Open, stacks: Stacks, tmp_path: Path
) -> None:
    program = Blocked(build("inflight", tmp_path), tmp_path, futexes=0)
    reader = open_reader(filters=Filters(pids=(program.pid,)), threshold_ns=0, stacks=stacks)
    found = look(reader)
    # Its mappings are read while it is there.
    assert all(space.settled.wait(20) for space in stacks._spaces.values())
    program.end()
    assert look(reader) == {}
    assert is_in(found[program.tid("recvfrom")][1].stack(), "recvfrom")


def test_a_call_that_there_was_no_time_for_gets_its_stack_later(
    open_reader: Open, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Stacks()
    reader = open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0, stacks=own)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(own, "_may_read", lambda: False)
            before = look(reader)[blocked.tid("futex")][1]
        assert before.stack() == before.kernel != ()
        # It is not missing, only late.
        assert own.counters["unread"] == 0
        assert is_in(look(reader)[blocked.tid("futex")][1].stack(), "futex")
    finally:
        own.close()


@pytest.mark.parametrize(("limit", "most"), [("_MOST_KEPT", 2), ("_MOST_KEPT_BYTES", 30_000)])
def test_so_many_user_stacks_are_kept(
    open_reader: Open,
    blocked: Blocked,
    stacks: Stacks,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    most: int,
) -> None:
    # Copies that cannot be made smaller.
    copy = tasks.stack_copy
    monkeypatch.setattr(
        tasks, "stack_copy", lambda *place: copy(*place)[:2000] + os.urandom(10_000)
    )
    monkeypatch.setattr(sleepers, limit, most)
    reader = open_reader(filters=Filters(pids=(blocked.pid,)), threshold_ns=0, stacks=stacks)
    found = look(reader)
    whole = [tid for tid, (_, detail) in found.items() if detail.stack() != detail.kernel]
    assert len(whole) == 2


def test_another_program_of_a_process_has_another_number() -> None:
    words = ["sh", "-c", "read line; exec sleep 100"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            pid = process.pid
            assert eventually(lambda: tasks.comm(pid) == b"sh" and asleep(pid))
            before = tasks.state(pid, pid)
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert eventually(lambda: tasks.comm(pid) == b"sleep" and asleep(pid))
            after = tasks.state(pid, pid)
        finally:
            process.kill()
    assert before is not None
    assert after is not None
    assert (before.letter, after.letter) == ("S", "S")
    assert before.program != after.program
    assert tasks.state(pid, pid) is None
    # Those of the probe are addresses of the kernel, more or less.
    assert {before.program >> 63, after.program >> 63} == {0}


def asleep(pid: int) -> bool:
    return tasks.inside(pid, pid, ia32=False) is not None


def test_threads_of_a_process_have_one_program(blocked: Blocked) -> None:
    found = {tasks.state(blocked.pid, tid) for tid in blocked.threads}
    assert len(found) == 1
    assert None not in found


def test_a_copy_ends_where_memory_does() -> None:
    import mmap
    from ctypes import addressof, c_char

    with mmap.mmap(-1, 4 * mmap.PAGESIZE) as memory:
        memory.write(bytes(range(256)) * (len(memory) // 256))
        first = c_char.from_buffer(memory)
        start = addressof(first)
        pid = os.getpid()
        assert tasks.stack_copy(pid, pid, start + 8, 300) == (bytes(range(256)) * 2)[8:308]
        last = start + len(memory) - 16
        assert tasks.stack_copy(pid, pid, last, 8192)[:16] == bytes(range(240, 256))
        del first
    for nowhere in (0, 2**64 - 1, 2**70):
        assert tasks.stack_copy(pid, pid, nowhere, 8192) == b""


# --- Threads that have slept all the while ---


def test_sleepers_are_told_with_their_stacks(
    open_reader: Open, blocked: Blocked, stacks: Stacks
) -> None:
    filters = Filters(pids=(blocked.pid,))
    # However long they have slept.
    reader = open_reader(filters=filters, threshold_ns=10**6 * S, stacks=stacks)
    found = {each.tid: each for each in reader.sleeping_since_before(time.monotonic_ns())}
    assert reader.complete
    assert found.keys() == blocked.threads.keys()
    for tid, each in found.items():
        name = blocked.threads[tid][0]
        assert (each.pid, each.comm) == (blocked.pid, comm("inflight").encode())
        assert (each.nr, each.abi, each.state) == (nr(name), 0, "S")
        assert is_in((*each.kernel, *each.user()), name)
    # The same call is the same object.
    for _ in range(2):
        again = {each.tid: each for each in reader.sleeping_since_before(time.monotonic_ns())}
        assert again == found


def test_sleepers_whose_stacks_cannot_be_had_are_told_without_them_in_the_end(
    open_reader: Open, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Stacks()
    readers = [open_reader(filters=Filters(pids=(blocked.pid,)), stacks=own) for _ in range(2)]
    try:
        with monkeypatch.context() as patched:
            patched.setattr(own, "_may_read", lambda: False)
            told = [[r.sleeping_since_before(time.monotonic_ns()) for r in readers]]
            told += [[readers[0].sleeping_since_before(time.monotonic_ns())] for _ in range(5)]
        assert told[0] == [[], []]
        assert {each.tid for each in told[-1][0]} == blocked.threads.keys()
        assert not any(each.user() for each in told[-1][0])
        # When there is time they are told with them.
        later = readers[1].sleeping_since_before(time.monotonic_ns())
        assert {each.tid for each in later} == blocked.threads.keys()
        assert all(each.user() for each in later)
    finally:
        own.close()


def test_sleepers_that_go_on_are_told_no_more(
    open_reader: Open, tmp_path: Path, stacks: Stacks
) -> None:
    program = Blocked(build("inflight", tmp_path), tmp_path, futexes=0)
    reader = open_reader(filters=Filters(pids=(program.pid,)), stacks=stacks)

    def told() -> set[int]:
        return {each.tid for each in reader.sleeping_since_before(time.monotonic_ns())}

    assert told() == program.threads.keys()
    os.close(os.open(program.fifo, os.O_WRONLY))
    tid = program.tid("openat")
    assert eventually(lambda: tid not in told())
    assert told() == program.threads.keys() - {tid}
    program.end()
    assert told() == set()


def test_sleepers_that_there_is_no_time_to_check_are_still_told(
    open_reader: Open, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflight, "_THOROUGH_CHECK_S", 0)
    reader = open_reader(filters=Filters(pids=(blocked.pid,)))
    for _ in range(3):
        found = reader.sleeping_since_before(time.monotonic_ns())
        assert {each.tid for each in found} == blocked.threads.keys()
        # Without anything to symbolise them by.
        assert all(each.kernel and not each.user() for each in found)


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (lambda pid: Filters(pids=(pid,), syscalls=((nr("openat"), 0),)), {"openat"}),
        (lambda pid: Filters(pids=(pid,), not_syscalls=((nr("futex"), 0),)), {*CALLERS, "read"}),
        (lambda pid: Filters(pids=(pid,), failures=True), set()),
        (lambda pid: Filters(pids=(pid,), command=pid), set()),
    ],
)
def test_filters_hold_for_sleepers(
    open_reader: Open,
    blocked: Blocked,
    filters: Callable[[int], Filters],
    names: set[str],
) -> None:
    wanted = filters(blocked.pid)
    found = open_reader(filters=wanted).sleeping_since_before(time.monotonic_ns())
    told = {blocked.threads[each.tid][0] for each in found}
    assert told == names - ({"futex"} if wanted.not_syscalls else set())


def test_a_sleeper_that_blocks_its_readers_is_left_alone_for_a_while(
    open_reader: Open, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flightdetails, "_DETAILS_S", 0.05)
    go_on, asked = threading.Event(), []

    def stuck(_pid: int, tid: int) -> tuple[str, ...]:
        asked.append(tid)
        go_on.wait()
        return ()

    monkeypatch.setattr(tasks, "kernel_stack", stuck)
    reader = open_reader(filters=Filters(pids=(blocked.pid,)))
    try:
        for _ in range(3):
            assert reader.sleeping_since_before(time.monotonic_ns()) == []
        assert len(asked) == 1
    finally:
        go_on.set()


# --- Descriptors ---


def test_descriptors_are_told_by_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "a b"
    with ExitStack() as stack:

        def opened(fd: int) -> int:
            stack.callback(os.close, fd)
            return fd

        plain = opened(os.open(file, os.O_CREAT | os.O_RDWR))
        gone = opened(os.open(tmp_path / "gone", os.O_CREAT | os.O_RDWR))
        (tmp_path / "gone").unlink()
        odd = opened(os.open(tmp_path / "x (deleted)", os.O_CREAT | os.O_RDWR))
        memory = opened(os.memfd_create("memory"))
        event = opened(os.eventfd(0))
        server = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        client = stack.enter_context(socket.create_connection(server.getsockname()[:2]))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0sysdash-{os.getpid()}")

        def told(fd: int) -> str:
            found = Descriptors().file(os.getpid(), os.getpid(), fd)
            assert found is not None
            assert found.ino == os.fstat(fd).st_ino
            assert stat.S_IFMT(found.mode) == stat.S_IFMT(os.fstat(fd).st_mode)
            return describe(found)

        assert told(plain) == str(file)
        assert told(gone) == f"{tmp_path}/gone (deleted)"
        assert told(odd) == f"{tmp_path}/x (deleted)"
        assert told(memory) == "memfd:memory"
        assert told(event) == "eventfd"
        port, own = server.getsockname()[1], client.getsockname()[1]
        assert told(server.fileno()) == f"TCP [::1]:{port} LISTEN"
        assert told(client.fileno()) == f"TCP [::1]:{own} → [::1]:{port}"
        assert told(udp.fileno()).startswith(f"UDP 127.0.0.1:{udp.getsockname()[1]}")
        assert told(abstract.fileno()) == f"unix:@sysdash-{os.getpid()}"
    assert Descriptors().file(os.getpid(), os.getpid(), plain) is None
    folder = Descriptors().folder(os.getpid(), os.getpid())
    assert folder is not None
    assert describe(folder) == str(Path.cwd())


def test_a_path_cannot_pass_for_the_line_of_another_socket(tmp_path: Path) -> None:
    def line(inode: int, path: str) -> str:
        return f"{0x41611156:016x}: 00000002 00000000 00010000 0001 01 {inode:5d} {path}"

    with ExitStack() as stack:

        def opened(family: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
            return stack.enter_context(socket.socket(family, kind))

        def told(one: socket.socket) -> str:
            found = Descriptors().file(os.getpid(), os.getpid(), one.fileno())
            assert found is not None
            return describe(found)

        unix, plain, odd = (opened(socket.AF_UNIX) for _ in range(3))
        raw = opened(socket.AF_NETLINK, socket.SOCK_RAW)
        unix.bind(str(tmp_path / "own"))
        plain.bind(f"\0sysdash 00000002 {os.fstat(unix.fileno()).st_ino}")
        before = told(raw)
        assert told(unix) == f"unix:{tmp_path}/own"
        for victim in (unix, raw):
            forger = opened(socket.AF_UNIX)
            forger.bind("\0\n" + line(os.fstat(victim.fileno()).st_ino, "/f"))
        # Which line is the true one cannot be told; that there is no true one can.
        assert not told(unix).endswith(("/f", "/own"))
        assert told(raw) == before
        odd.bind("\0a\nb")
        assert told(odd) == "unix:@a"
        assert told(plain).startswith("unix:@sysdash 00000002")


# --- Memory ---


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (DataRule(0), Data(b"hello")),
        (DataRule(0, 1, 3), Data(b"hel")),
        (DataRule(0, 2, 1), Data(b"hello\0x")),
        (DataRule(0, 3, 2), Data(b"he")),
        (DataRule(3), None),
        (DataRule(4), None),
        (DataRule(5), Data(b"y" * 255, cut=True)),
        (DataRule(5, 2, 1), Data(b"y" * 7)),
        (DataRule(5, 1, 300), Data(b"y" * 255, cut=True)),
    ],
)
def test_memory_is_read_as_the_rules_say(rule: DataRule, expected: Data | None) -> None:
    import ctypes

    text = ctypes.create_string_buffer(b"hello\0x")
    number = ctypes.c_uint32(2)
    long = ctypes.create_string_buffer(b"y" * 5000)
    args = (
        ctypes.addressof(text), 7, ctypes.addressof(number), 0, 2**64 - 1, ctypes.addressof(long),
    )  # fmt: skip
    assert flightdetails._data(os.getpid(), os.getpid(), args, rule) == expected
