"""Whether processes and threads that filters name are still there."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from probing import eventually

from sysdash.commands import lifetimes
from sysdash.commands.lifetimes import Lifetimes
from sysdash.filters import Filters

GONE = 1 << 22  # PID_MAX_LIMIT: no process has it


@contextmanager
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def thread() -> Iterator[tuple[int, threading.Event]]:
    """A thread's number, and what ends it."""
    end = threading.Event()
    it = threading.Thread(target=end.wait)
    it.start()
    try:
        assert it.native_id is not None
        yield it.native_id, end
    finally:
        end.set()
        it.join()


@pytest.fixture(params=["pidfd", "no pidfd"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """This one, and one that has no file descriptor for what is watched."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    if request.param == "no pidfd":
        monkeypatch.setattr(os, "pidfd_open", refuse)
    return str(request.param)


def files() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir() if entry.exists()}


def test_without_processes_nothing_is_watched() -> None:
    with Lifetimes(Filters(ppids=(1,), comms=("init",))) as it:
        assert not it
        assert it.over() is None


@pytest.mark.usefixtures("kernel")
def test_a_process() -> None:
    with process() as child, Lifetimes(Filters(pids=(child.pid,))) as it:
        assert it
        assert it.over() is None
        child.kill()
        child.wait()
        assert it.over() == "the process has ended"
        assert it.over() == "the process has ended"


def test_a_process_that_nobody_has_waited_for() -> None:
    with process() as child, Lifetimes(Filters(pids=(child.pid,))) as it:
        child.kill()
        assert eventually(lambda: it.over() == "the process has ended")


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("first", [0, 1])
def test_the_last_of_several_processes(first: int) -> None:
    with process() as one, process() as two:
        both = [one, two]
        with Lifetimes(Filters(pids=(one.pid, two.pid, GONE))) as it:
            both[first].kill()
            both[first].wait()
            assert it.over() is None
            both[1 - first].kill()
            both[1 - first].wait()
            assert it.over() == "the processes have ended"


@pytest.mark.usefixtures("kernel")
def test_a_thread_of_a_process_that_goes_on() -> None:
    with thread() as (tid, end), Lifetimes(Filters(pids=(os.getpid(),), tids=(tid,))) as it:
        assert it.over() is None
        end.set()
        # Its process is there, and no call of it can pass both filters.
        assert eventually(lambda: it.over() == "the thread has ended")


def test_what_is_not_there_has_ended() -> None:
    with Lifetimes(Filters(tids=(GONE, GONE - 1))) as it:
        assert it.over() == "the threads have ended"


def test_files_are_few_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifetimes, "_MOST_FILES", 2)
    before = files()
    with process() as one, process() as two, process() as three:
        with Lifetimes(Filters(pids=(one.pid, two.pid, three.pid))) as it:
            assert len(files() - before) == 2
            for child in (one, two, three):
                assert it.over() is None
                child.kill()
                child.wait()
            assert it.over() == "the processes have ended"
            assert files() == before
        with Lifetimes(Filters(pids=(os.getpid(),))):
            assert len(files() - before) == 1
        assert files() == before
