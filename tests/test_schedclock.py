"""How late the scheduler's clock is."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from sysdash.probes import layout, schedclock, tasks
from sysdash.probes.schedclock import SchedulerClock

MS = 1_000_000


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedclock, "_MEASURE_S", 10)


@pytest.fixture
def clock() -> Iterator[SchedulerClock]:
    found = SchedulerClock()
    yield found
    found.close()


def test_every_cpus_clock_is_compared_with_ours(clock: SchedulerClock) -> None:
    before = os.sched_getaffinity(0)

    def near(cpu: int) -> bool:
        clock.forget()
        late = clock.late_ns(cpu)
        assert late is not None
        assert clock.late_ns(cpu) == late
        # It is that of the threads that run there: of this one, if it does.
        os.sched_setaffinity(0, {cpu})
        ran = tasks.last_ran_ns(os.getpid(), threading.get_native_id())
        os.sched_setaffinity(0, before)
        assert ran is not None
        return abs(ran + late - time.monotonic_ns()) < 100 * MS

    for cpu in before:
        # Either thread can be kept from its CPU for a while between two readings.
        assert any(near(cpu) for _ in range(20))


def test_of_cpus_where_nobody_can_go_nothing_is_known(clock: SchedulerClock) -> None:
    assert clock.late_ns(-1) is None
    for _ in range(5):
        assert clock.late_ns(1_000_000) is None
        clock.forget()


def test_cpus_that_are_kept_free_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = min(os.sched_getaffinity(0))

    def listed(name: str) -> list[int]:
        if name == "isolated":
            return [cpu]
        raise ValueError("(null)")

    monkeypatch.setattr(layout, "cpu_list", listed)
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("went there"))
    assert SchedulerClock().late_ns(cpu) is None


def test_one_that_could_not_be_measured_is_tried_again_but_not_forever(
    clock: SchedulerClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, tries = min(os.sched_getaffinity(0)), []

    def measured(cpu: int) -> int | None:
        tries.append(cpu)
        return None if len(tries) < 3 else 5

    monkeypatch.setattr(schedclock, "_measured", measured)
    found = []
    for _ in range(4):
        found.append(clock.late_ns(cpu))
        clock.forget()
    assert found == [None, None, 5, 5]
    monkeypatch.setattr(schedclock, "_measured", tries.append)
    del tries[:]
    for _ in range(20):
        clock.late_ns(cpu)
        clock.forget()
    assert 0 < len(tries) < 5


def test_the_cpus_that_it_came_from_may_be_gone(
    clock: SchedulerClock, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    cpu, before = min(os.sched_getaffinity(0)), os.sched_getaffinity(0)
    asked: list[set[int]] = []
    to_go = os.sched_setaffinity

    def shrunk(pid: int, cpus: Iterable[int]) -> None:
        asked.append(set(cpus))
        if len(asked) % 3 == 2:  # on the way back
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        to_go(pid, asked[-1])

    monkeypatch.setattr(os, "sched_setaffinity", shrunk)
    for _ in range(2):
        assert clock.late_ns(cpu) is not None
        clock.forget()
    # Wherever it may still go, then.
    assert asked == [{cpu}, before, set(range(layout.possible_cpus()))] * 2
    assert capfd.readouterr() == ("", "")
