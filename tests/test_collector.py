"""The collector's thread: snapshots in order, an end when asked, and no error that stays unseen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import pytest

from sysdash.collector import Collector
from sysdash.errors import CannotCollect
from sysdash.model import Snapshot
from sysdash.records import EVENT, ROW, Sample

WAIT_S = 20.0


class FakeSource:
    """A source that does what a test asks for, and remembers what was asked of it."""

    def __init__(self, fail_at: int | None = None, close_fails: bool = False) -> None:
        self.fail_at = fail_at
        self.close_fails = close_fails
        self.reads = 0
        self.watch_in_flight = False
        self.example: tuple[int, int, int] | None = None
        self.watched: list[bool] = []
        self.relieved = threading.Event()
        self.closed = threading.Event()
        self.thread: threading.Thread | None = None

    def read(self) -> Sample:
        self.thread = threading.current_thread()
        if self.reads == self.fail_at:
            raise OSError("the source broke")
        self.reads += 1
        self.watched.append(self.watch_in_flight)
        return Sample(
            time_ns=self.reads,
            mono_ns=self.reads,
            interval_ns=1,
            rows=np.empty(0, dtype=ROW),
            events=np.empty(0, dtype=EVENT),
            lost=MappingProxyType({"calls": 1}),
        )

    def relieve(self) -> float:
        assert not self.closed.is_set()
        self.relieved.set()
        return 0.01

    def close(self) -> None:
        self.closed.set()
        if self.close_fails:
            raise OSError("closing broke")


class Running:
    """A collector and what it published."""

    def __init__(self, source: FakeSource, interval_s: float) -> None:
        self.snapshots: list[Snapshot] = []
        self.wakes = 0
        self._changed = threading.Condition()
        self.collector = Collector(lambda: source, interval_s, self.snapshots.append, self._wake)

    def _wake(self) -> None:
        with self._changed:
            self.wakes += 1
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_S)


def test_snapshots_in_order_with_all_losses() -> None:
    source = FakeSource()
    running = Running(source, 0.001)
    running.collector.start()
    running.wait(lambda: len(running.snapshots) >= 5)
    running.collector.stop()
    assert source.closed.is_set()
    assert running.collector.error is None
    assert [snapshot.time_ns for snapshot in running.snapshots] == list(
        range(1, len(running.snapshots) + 1)
    )
    # Each sample tells of its own loss; a snapshot of all so far.
    assert [snapshot.lost["calls"] for snapshot in running.snapshots] == list(
        range(1, len(running.snapshots) + 1)
    )
    assert running.wakes == len(running.snapshots)
    assert source.thread is not threading.current_thread()


def test_nothing_is_published_after_stop() -> None:
    source = FakeSource()
    running = Running(source, 0.001)
    running.collector.start()
    running.wait(lambda: bool(running.snapshots))
    running.collector.stop()
    published, wakes = len(running.snapshots), running.wakes
    assert source.thread is not None
    assert not source.thread.is_alive()
    assert (len(running.snapshots), running.wakes) == (published, wakes)
    running.collector.stop()


def test_stop_does_not_wait_for_the_interval() -> None:
    source = FakeSource()
    running = Running(source, 1e6)
    running.collector.start()
    assert source.relieved.wait(WAIT_S)
    running.collector.stop()
    assert source.closed.is_set()
    assert running.collector.error is None


def test_stop_before_start() -> None:
    source = FakeSource()
    running = Running(source, 1.0)
    running.collector.stop()
    assert running.snapshots == []
    assert not source.closed.is_set()


def test_the_first_sample_comes_early() -> None:
    source = FakeSource()
    running = Running(source, 1e6)
    running.collector.start()
    running.wait(lambda: len(running.snapshots) == 1)
    running.collector.stop()
    assert len(running.snapshots) == 1


def test_a_new_interval_counts_at_once() -> None:
    source = FakeSource()
    running = Running(source, 1e6)
    running.collector.start()
    running.wait(lambda: len(running.snapshots) == 1)
    running.collector.interval_s = 0.001
    assert running.collector.interval_s == 0.001
    running.wait(lambda: len(running.snapshots) >= 4)
    running.collector.stop()


def test_buffers_are_relieved_between_samples() -> None:
    source = FakeSource()
    running = Running(source, 1e6)
    running.collector.start()
    running.wait(lambda: len(running.snapshots) == 1)
    source.relieved.clear()
    assert source.relieved.wait(WAIT_S)
    running.collector.stop()
    assert len(running.snapshots) == 1


def test_an_error_of_the_source_ends_it() -> None:
    source = FakeSource(fail_at=2)
    running = Running(source, 0.001)
    running.collector.start()
    running.wait(lambda: running.collector.error is not None)
    assert str(running.collector.error) == "the source broke"
    assert source.closed.is_set()
    assert len(running.snapshots) == 2
    # One for each snapshot, one for the error.
    assert running.wakes == 3
    running.collector.stop()


def test_a_source_that_cannot_be_opened() -> None:
    def fail() -> FakeSource:
        raise CannotCollect("no BPF here")

    woken = threading.Event()
    collector = Collector(fail, 1.0, lambda _: None, woken.set)
    collector.start()
    assert woken.wait(WAIT_S)
    assert isinstance(collector.error, CannotCollect)
    collector.stop()


def test_an_error_of_who_listens_ends_it() -> None:
    source, woken = FakeSource(), threading.Event()

    def refuse(_: Snapshot) -> None:
        raise RuntimeError("no room")

    collector = Collector(lambda: source, 0.001, refuse, woken.set)
    collector.start()
    assert woken.wait(WAIT_S)
    assert isinstance(collector.error, RuntimeError)
    assert source.closed.is_set()
    collector.stop()


def test_an_error_while_closing_is_told() -> None:
    source = FakeSource(close_fails=True)
    running = Running(source, 1e6)
    running.collector.start()
    assert source.relieved.wait(WAIT_S)
    running.collector.stop()
    assert str(running.collector.error) == "closing broke"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_even_the_worst_errors_are_told(error: type[BaseException]) -> None:
    woken = threading.Event()

    def fail() -> FakeSource:
        raise error

    collector = Collector(fail, 1.0, lambda _: None, woken.set)
    collector.start()
    assert woken.wait(WAIT_S)
    assert isinstance(collector.error, error)
    collector.stop()
