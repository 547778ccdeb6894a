"""What stands behind the records of slow calls, and how often their callers are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest

from sysdash.probes.details import Details
from sysdash.probes.symbols import RawStack, Space, Stacks
from sysdash.records import (
    DATA_CUT,
    DATA_NONE,
    DATA_UNREADABLE,
    DATA_WHOLE,
    EVENT,
    Data,
    Events,
    Reads,
)

READ, OPEN, SLEEP = 0, 2, 35
READS: Mapping[tuple[int, int], Reads] = {(READ, 0): Reads(fd=0), (OPEN, 0): Reads()}


class Noting:
    """Stands for :class:`Stacks`: knows who was noted, and has stacks that say whose they are."""

    def __init__(self, *, remembers: bool = True) -> None:
        self.remembers = remembers
        self.noted: list[tuple[int, int]] = []

    def note(self, pid: int, space: int) -> Space:
        self.noted.append((pid, space))
        return Space(pid, pid, remembered=self.remembers)

    def frames(self, space: Space, raw: RawStack) -> tuple[str, ...]:
        return (f"{space.pid}", f"{raw.ip:#x}", *(f"{frame:#x}" for frame in raw.frames))


def record(
    nr: int = SLEEP,
    *,
    pid: int = 10,
    exec_id: int = 1,
    sp: int = 0x7FFF_0000,
    ip: int = 0x1000,
    data: Sequence[tuple[bytes, int]] = ((b"", DATA_NONE), (b"", DATA_NONE)),
    names: bytes = b"",
    ino: int = 0,
    frames: Sequence[int] = (),
) -> bytes:
    event = np.zeros((), EVENT)
    event["nr"], event["pid"], event["tid"] = nr, pid, pid
    event["mm"], event["exec_id"], event["sp"], event["ip"] = 0xFF00, exec_id, sp, ip
    event["args"][0] = 7
    event["file"]["mode"], event["file"]["ino"] = 0o100644 if ino else 0, ino
    event["data_length"] = [len(content) for content, _ in data]
    event["data_state"] = [state for _, state in data]
    event["path_length"], event["frames"] = len(names), len(frames)
    addresses: npt.NDArray[np.uint64] = np.array(frames, dtype="<u8")
    content = b"".join(content for content, _ in data)
    return event.tobytes() + content + names + addresses.tobytes()


def events(records: Sequence[bytes]) -> Events:
    return np.frombuffer(b"".join(each[: EVENT.itemsize] for each in records), dtype=EVENT)


def details(stacks: Noting | None = None) -> Details:
    return Details(READS, cast("Stacks | None", stacks))


def test_each_record_has_its_own_memory_file_and_stack() -> None:
    records = [
        record(READ, ino=5, names=b"a\0tmp\0", frames=[0x21, 0x22], pid=10, ip=0x20),
        record(OPEN, data=[(b"/etc", DATA_WHOLE), (b"", DATA_NONE)], frames=[0x31], ip=0x30),
        record(SLEEP, data=[(b"", DATA_UNREADABLE), (b"xy", DATA_CUT)], pid=12, ip=0x40),
        record(SLEEP, sp=0),
    ]
    read, opened, slept, unknown = details(Noting()).of(records, events(records))
    assert read.file is not None
    assert (read.file.ino, read.file.names, read.data) == (5, (b"a", b"tmp"), (None, None))
    assert read.stack() == ("10", "0x20", "0x21", "0x22")
    assert (opened.data, opened.file) == ((Data(b"/etc"), None), None)
    assert opened.stack() == ("10", "0x30", "0x31")
    assert slept.data == (None, Data(b"xy", cut=True))
    assert slept.stack() == ("12", "0x40")
    assert unknown.stack() == ()
    # What is kept for a stack is the whole record, while there is one.
    assert [each.held for each in (read, unknown)] == [len(records[0]), 0]


def test_without_stacks_there_are_none() -> None:
    records = [record(READ, ino=5, frames=[0x21])]
    (found,) = details().of(records, events(records))
    assert (found.stack(), found.held) == ((), 0)
    assert found.file is not None


def test_a_closed_descriptor_is_what_it_was_in_the_same_program() -> None:
    reader = details()
    seen = [record(READ, ino=5), record(READ, exec_id=2), record(READ), record(READ)]
    first, other_program, closed, again = reader.of(seen, events(seen))
    assert first.file is not None
    assert closed.file is not None
    assert (first.file.certain, closed.file.ino, closed.file.certain) == (True, 5, False)
    assert (other_program.file, again.file) == (None, None)


def test_a_caller_is_noted_once_between_two_readings() -> None:
    stacks = Noting()
    reader = details(stacks)
    records = [record(), record(), record(pid=11), record(exec_id=2), record()]
    for _ in range(2):
        for each in records:
            reader.note(each)
        reader.of(records, events(records))
    once = [(10, 0xFF01), (11, 0xFF01), (10, 0xFF02)]
    assert stacks.noted == [*once, *once]


def test_a_caller_that_could_not_be_remembered_is_tried_again() -> None:
    stacks = Noting(remembers=False)
    reader = details(stacks)
    reader.note(record())
    reader.note(record())
    stacks.remembers = True
    (found,) = reader.of([record()], events([record()]))
    assert len(stacks.noted) == 3
    assert found.stack() == ("10", "0x1000")


@pytest.mark.parametrize("remembers", [True, False])
def test_one_that_was_forgotten_meanwhile_is_noted_anew(*, remembers: bool) -> None:
    spaces: list[Space] = []

    class Forgetful(Noting):
        def note(self, pid: int, space: int) -> Space:
            spaces.append(super().note(pid, space))
            return spaces[-1]

    reader = details(Forgetful())
    reader.note(record())
    spaces[0].remembered = remembers
    reader.note(record())
    assert len(spaces) == (1 if remembers else 2)
