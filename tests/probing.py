"""What the tests of the probe share: programs in C, and what the probe counted of them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sysdash.probes.source import BpfSource
from sysdash.records import COMM_LEN, ROW, Rows, Sample
from sysdash.syscalls import numbers

_PROGRAMS = Path(__file__).parent / "programs"

Key = tuple[int, int, int]
"""Number, ABI code and errno of a call."""

LOSSES = {"unattributed", "calls", "threads", "missed", "slow_limit", "slow_ring"}


def nr(name: str, abi: int = 0) -> int:
    """The number of a call in one ABI."""
    return next(number for number, table in numbers(name) if table == abi)


def comm(program: str) -> str:
    """What processes of a program are called, in this test run and no other on the machine."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    number, tag = os.getpid(), ""
    while number:
        number, digit = divmod(number, len(digits))
        tag = digits[digit] + tag
    name = f"t{tag}-{program}"
    assert len(name) < COMM_LEN
    return name


def build(name: str, folder: Path, *flags: str, called: str | None = None) -> str:
    """Compile ``tests/programs/NAME.c``; returns the program's path.

    Its name is ``comm(called or name)``, so that its processes are told from all others.
    """
    program = folder / comm(called or name)
    source = _PROGRAMS / f"{name}.c"
    command = ["gcc", "-O1", "-pthread", *flags, "-o", str(program), str(source)]
    subprocess.run(command, check=True)
    return str(program)


def run(*command: str | int | Path, stdin: str | None = None) -> str:
    """Run a program to its end; returns what it wrote. Fails with it."""
    words = [str(word) for word in command]
    done = subprocess.run(words, check=True, capture_output=True, text=True, input=stdin)
    return done.stdout


def counted(samples: Sequence[Sample]) -> Rows:
    """The rows of several samples together."""
    return np.concatenate([np.empty(0, dtype=ROW), *(sample.rows for sample in samples)])


def of(rows: Rows, name: str | None = None, pid: int | None = None) -> Rows:
    """The rows of a process, by its name, or its PID, or both."""
    mask: npt.NDArray[np.bool_] = np.ones(len(rows), dtype=bool)
    if name is not None:
        mask &= rows["comm"] == name.encode()
    if pid is not None:
        mask &= rows["pid"] == pid
    return rows[mask]


def by_call(rows: Rows) -> Counter[Key]:
    """Calls by (number, ABI code, errno)."""
    counts: Counter[Key] = Counter()
    for row in rows:
        counts[int(row["nr"]), int(row["abi"]), int(row["errno"])] += int(row["count"])
    return counts


def calls(rows: Rows, name: str, errno: int | None = None, abi: int = 0) -> int:
    """How many calls of one name there are; all of them, or those with one errno (0: none)."""
    mask = (rows["nr"] == nr(name, abi)) & (rows["abi"] == abi)
    if errno is not None:
        mask &= rows["errno"] == errno
    return int(rows["count"][mask].sum())


def lost(samples: Sequence[Sample]) -> dict[str, int]:
    """The losses of several samples added up; every one of them is named in each sample."""
    for sample in samples:
        assert set(sample.lost) == LOSSES
    return {name: sum(sample.lost[name] for sample in samples) for name in LOSSES}


def lost_calls(samples: Sequence[Sample]) -> dict[str, int]:
    """The losses that concern counts; those of slow calls depend on what else the machine does."""
    return {name: count for name, count in lost(samples).items() if not name.startswith("slow_")}


NOTHING_LOST = {"unattributed": 0, "calls": 0, "threads": 0, "missed": 0}


@contextmanager
def opened(*args: object, **kwargs: object) -> Iterator[BpfSource]:
    """A source, closed at the end."""
    source = BpfSource(*args, **kwargs)  # type: ignore[arg-type]
    try:
        yield source
    finally:
        source.close()


def during(source: BpfSource, work: Callable[[], object], every_s: float = 0.0) -> list[Sample]:
    """All samples of the time that ``work`` takes, read on another thread all the while.

    Args:
        source: where they come from; what it has collected before is thrown away.
        work: runs on this thread.
        every_s: pause between reads; 0 swaps the probe's banks as fast as it can be done.
    """
    samples: list[Sample] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(every_s):
            samples.append(source.read())

    source.read()
    reader = threading.Thread(target=read)
    reader.start()
    try:
        work()
    finally:
        ended.set()
        reader.join()
    samples.append(source.read())
    return samples


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether a condition comes true; for what the kernel does in its own time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
