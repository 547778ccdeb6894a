"""Work that may not end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from probing import eventually

from sysdash.probes.aside import Aside


@pytest.fixture
def aside() -> Iterator[Aside]:
    found = Aside()
    yield found
    found.close()
    assert eventually(lambda: not any(t.name == "aside" for t in threading.enumerate()))


def fail() -> int:
    raise OSError("no such thing")


def test_jobs_are_done_in_their_order(aside: Aside) -> None:
    numbers = iter(range(5))
    assert aside.run([lambda: next(numbers)] * 5, 10) == ([0, 1, 2, 3, 4], None)
    assert aside.run([], 10) == ([], None)


def test_a_job_that_is_stuck_is_left_behind(aside: Aside) -> None:
    go_on = threading.Event()
    began = time.monotonic()
    done, stuck = aside.run([lambda: True, go_on.wait, lambda: True], 0.05)
    assert (done, stuck) == ([True], 1)
    assert time.monotonic() - began < 2
    # Others are done on another thread.
    assert aside.run([lambda: 7], 10) == ([7], None)
    # But not forever.
    for _ in range(10):
        aside.run([go_on.wait], 0.01)
    assert aside.run([lambda: 7], 0.01) == ([], None)
    assert sum(thread.name == "aside" for thread in threading.enumerate()) <= 5
    go_on.set()


def test_once_the_stuck_ones_are_back_there_is_work_again(aside: Aside) -> None:
    go_on = threading.Event()
    for _ in range(10):
        aside.run([go_on.wait], 0.01)
    assert aside.run([lambda: 7], 0.01) == ([], None)
    go_on.set()
    assert eventually(lambda: aside.run([lambda: 7], 10) == ([7], None))


def test_when_time_is_over_the_rest_is_not_done(aside: Aside) -> None:
    never = threading.Event()
    done, stuck = aside.run([lambda: never.wait(0.02)] * 100, 0.1)
    assert stuck is None
    assert 0 < len(done) < 100


def test_a_job_that_raises_has_no_result(aside: Aside, capfd: pytest.CaptureFixture[str]) -> None:
    assert aside.run([lambda: 1, fail, lambda: 3], 10) == ([1, None, 3], None)
    assert aside.run([lambda: 7], 10) == ([7], None)
    assert capfd.readouterr() == ("", "")
