"""A command is followed from its execve on, with all that it starts, and with nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from probing import NOTHING_LOST, build, by_call, calls, comm, lost_calls, nr, of, opened, run

from sysdash.filters import Filters
from sysdash.probes import layout
from sysdash.records import Rows, Sample

pytestmark = pytest.mark.bpf


@contextmanager
def _gated(command: Sequence[str | int]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that becomes the command when a line is written to its standard input."""
    words = ["sh", "-c", 'read line; exec "$@"', "sh", *map(str, command)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        yield process


@pytest.fixture(params=["timed", "counting", "hash"])
def timed(request: pytest.FixtureRequest) -> Iterator[bool]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "hash":
            patch.setattr(layout, "has_task_storage", lambda: False)
        yield request.param != "counting"


def _followed(*command: str | int, timed: bool, **filters: tuple[str, ...]) -> Sample:
    """All that is collected of a command."""
    with _gated(command) as process:
        chosen = Filters(command=process.pid, **filters)  # type: ignore[arg-type]
        with opened(chosen, timed=timed) as source:
            # One epoch or another, the process waits for its line.
            assert len(source.read().rows) == 0
            process.communicate(b"\n")
            sample = source.read()
    assert lost_calls([sample]) == NOTHING_LOST
    return sample


def _check_begin(rows: Rows, *, timed: bool) -> None:
    """The first call is the execve that made the command what it is."""
    begin = rows[rows["nr"] == nr("execve")]
    assert begin["count"].sum() == 1
    assert begin["untimed"].sum() == (0 if timed else 1)


def test_it_begins_with_its_execve(timed: bool, tmp_path: Path) -> None:
    program = build("returns", tmp_path)
    rows = _followed(program, 40, timed=timed).rows
    _check_begin(rows, timed=timed)
    assert set(rows["comm"]) == {comm("returns").encode()}
    assert calls(rows, "lseek") == 40
    assert calls(rows, "exit_group") == 1
    # The shell that waited read its line, which nobody asked about.
    assert calls(rows, "read") <= 2


def test_threads_and_processes(timed: bool, tmp_path: Path) -> None:
    program, other = build("storm", tmp_path), build("returns", tmp_path, called="after")
    workers, children = 2, 40
    rows = _followed(program, workers, children, other, timed=timed).rows
    before, after = of(rows, comm("storm")), of(rows, comm("after"))
    assert len(before) + len(after) == len(rows)
    _check_begin(before, timed=timed)
    assert calls(before, "fork") == workers + workers * children
    assert calls(after, "execve", 0) == workers * children
    assert calls(after, "exit_group") == workers * children
    rows = _followed(build("threads", tmp_path), 3, 50, timed=timed).rows
    assert calls(rows, "getppid") == 2 * 3 * 50
    assert calls(rows, "exit") == 3 * 50 + 3


def test_those_that_outlive_their_parent(timed: bool, tmp_path: Path) -> None:
    program = build("returns", tmp_path, called="orphan")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # The shell between them has ended when the orphan starts; the last one waits for it to end.
    script = f"sh -c '(sleep 0.2; {program} 7; echo done >{fifo}) &'; read line <{fifo}"
    rows = _followed("sh", "-c", script, timed=timed).rows
    assert calls(of(rows, comm("orphan")), "lseek") == 7


def test_nothing_else(timed: bool, tmp_path: Path) -> None:
    """Not the same program, when somebody else runs it at the same time."""
    program = build("returns", tmp_path)
    with (
        _gated([program, 30]) as process,
        opened(Filters(command=process.pid), timed=timed) as source,
    ):
        run(program, 50)
        process.communicate(b"\n")
        run(program, 50)
        rows = source.read().rows
    assert set(rows["pid"]) == {process.pid}
    assert calls(rows, "lseek") == 30


def test_other_filters_apply_too(timed: bool, tmp_path: Path) -> None:
    program, other = build("storm", tmp_path), build("returns", tmp_path, called="after")
    rows = _followed(program, 1, 9, other, timed=timed, comms=(comm("after"),)).rows
    assert set(rows["comm"]) == {comm("after").encode()}
    assert calls(rows, "lseek") == 9


def test_a_command_that_execs_again(timed: bool, tmp_path: Path) -> None:
    program = build("exec", tmp_path)
    rows = _followed(program, "again", 20, timed=timed).rows
    assert calls(rows, "execve") == 21
    rows = _followed(program, "thread", build("returns", tmp_path), timed=timed).rows
    assert calls(rows, "lseek") == 1
    assert calls(rows, "exit_group") == 1


def test_room_for_threads_that_are_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those that there is no room for are a loss, and told."""
    monkeypatch.setattr(layout, "FOLLOWED", 1)
    program = build("storm", tmp_path)
    with _gated([program, 2, 1]) as process, opened(Filters(command=process.pid)) as source:
        process.communicate(b"\n")
        sample = source.read()
    assert sample.lost["threads"] == 2
    assert calls(sample.rows, "fork") == 2
    assert by_call(sample.rows)[nr("getppid"), 0, 0] == 0
