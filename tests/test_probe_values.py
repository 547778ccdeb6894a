"""Values of arguments and results that the probe counts: exact, whatever the kind."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from probing import build, calls, comm, counted, nr, opened, run

from sysdash.filters import Filters
from sysdash.probes.source import BpfSource
from sysdash.records import (
    ARGS,
    VALUE_BUCKETS,
    VALUE_BYTES,
    VALUE_HISTOGRAM,
    VALUE_STRING,
    Sample,
    ValueRule,
)
from sysdash.syscalls import numbers

pytestmark = pytest.mark.bpf

NAME = comm("values")


def only(*names: str) -> Filters:
    """The calls of some names, by the tests' programs."""
    wanted = tuple(number for name in names for number in numbers(name))
    return Filters(comms=(NAME,), syscalls=wanted)


def python(script: str) -> str:
    beginning = f"open('/proc/self/comm', 'w').write({NAME!r})\nimport os, ctypes\n"
    done = subprocess.run(
        ["/usr/bin/python3", "-S", "-E", "-c", beginning + script],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def values(samples: Sequence[Sample]) -> Counter[int | bytes]:
    total: Counter[int | bytes] = Counter()
    for sample in samples:
        total.update(sample.values)
    return total


def checked(source: BpfSource, name: str, abi: int = 0) -> Counter[int | bytes]:
    """What was counted; every call has a value, or is counted as one without."""
    sample = source.read()
    found = values([sample])
    assert found.total() + sample.lost["values"] == calls(sample.rows, name, abi=abi)
    return found


def bucket(value: int) -> int:
    return value.bit_length() if value >= 0 else 64 + (-value).bit_length()


@pytest.fixture
def dd(tmp_path: Path) -> str:
    """dd under the name of the tests' programs."""
    program = tmp_path / NAME
    program.symlink_to("/usr/bin/dd")
    return str(program)


def _dd(program: str, size: int, count: int) -> None:
    run(program, "if=/dev/zero", "of=/dev/null", f"bs={size}", f"count={count}", "status=none")


def test_results_and_sizes_of_dd_are_exact(dd: str) -> None:
    for rule in (ValueRule(2), ValueRule(ARGS, signed=True)):
        with opened(only("read"), timed=False, value=rule) as source:
            source.read()
            _dd(dd, 4093, 1013)
            _dd(dd, 100, 777)
            found = checked(source, "read")
            assert (found[4093], found[100]) == (1013, 777)
            # Read once more, there is nothing new.
            assert values([source.read()]) == Counter()


def test_histograms_are_exact(dd: str) -> None:
    rule = ValueRule(ARGS, VALUE_HISTOGRAM, signed=True)
    with opened(only("read"), timed=False, value=rule) as source:
        source.read()
        _dd(dd, 70_000, 1013)
        _dd(dd, 30, 500)
        _dd(dd, 32, 600)
        found = checked(source, "read")
    assert (found[bucket(70_000)], found[bucket(30)], found[bucket(32)]) == (1013, 500, 600)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [32, 64])
def test_numbers_of_every_size_and_sign(bits: int, signed: bool) -> None:
    given = [0, 1, 2, 3, 4, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
    script = f"""
libc = ctypes.CDLL(None)
for value in {given}:
    libc.syscall({nr("alarm")}, ctypes.c_ulong(0), ctypes.c_ulong(value))
"""
    wanted: Counter[int | bytes] = Counter()
    in_buckets: Counter[int | bytes] = Counter()
    for value in given:
        number = value % (1 << bits)
        if signed and number >> (bits - 1):
            number -= 1 << bits
        wanted[number] += 1
        in_buckets[bucket(number)] += 1
    for kind, right in ((0, wanted), (VALUE_HISTOGRAM, in_buckets)):
        rule = ValueRule(1, kind, bits=bits, signed=signed)
        with opened(only("alarm"), timed=False, value=rule) as source:
            source.read()
            python(script)
            assert checked(source, "alarm") == right
    assert max(in_buckets) < VALUE_BUCKETS  # type: ignore[operator]


def test_strings_are_counted_as_they_are(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    long = "x" * 200
    with opened(only("openat"), timed=False, value=ValueRule(1, VALUE_STRING)) as source:
        source.read()
        python(
            f"""
libc = ctypes.CDLL(None)
for path, times in (({str(there)!r}, 3), ("nowhere", 4), ({long!r}, 5), ("\\x1b[31m", 2)):
    for _ in range(times):
        libc.openat(-100, path.encode(), 0)
libc.openat(-100, ctypes.c_void_p(8), 0)
"""
        )
        sample = source.read()
    found = values([sample])
    assert found[str(there).encode()] == 3
    assert found[b"nowhere"] == 4
    assert found[b"x" * (VALUE_BYTES - 1)] == 5
    assert found[b"\x1b[31m"] == 2
    assert sample.lost["values"] == 1
    assert found.total() + 1 == calls(sample.rows, "openat")


def test_what_an_exec_was_given(tmp_path: Path) -> None:
    program = tmp_path / NAME
    program.symlink_to("/usr/bin/true")
    with opened(only("execve"), timed=False, value=ValueRule(0, VALUE_STRING)) as source:
        source.read()
        for _ in range(3):
            run(program)
        assert checked(source, "execve") == Counter({str(program).encode(): 3})


def test_arguments_of_32_bit_calls(tmp_path: Path) -> None:
    flags = ("-m32", "-nostdlib", "-static", "-ffreestanding", "-no-pie")
    program = build("ia32", tmp_path, *flags, called="values")
    # What a 32-bit program has in 64 bits is not more than 32.
    for rule, closed in ((ValueRule(0), 2**32 - 1), (ValueRule(0, signed=True), -1)):
        with opened(only("close"), timed=False, value=rule) as source:
            source.read()
            run(program)
            assert checked(source, "close", abi=1) == Counter({closed: 1})


def test_more_values_than_there_is_room_for_are_counted() -> None:
    with opened(only("alarm"), timed=False, value=ValueRule(1)) as source:
        source.read()
        python(
            f"""
libc = ctypes.CDLL(None)
for value in range(40_000):
    libc.syscall({nr("alarm")}, 0, value)
"""
        )
        sample = source.read()
    found = values([sample])
    assert found.total() + sample.lost["values"] == calls(sample.rows, "alarm") == 40_000
    assert set(found.values()) == {1}
    assert sample.lost["values"] >= 40_000 - (1 << 15)


def test_no_value_is_lost_between_readings(tmp_path: Path) -> None:
    program = tmp_path / NAME
    program.symlink_to("/usr/bin/dd")
    words = [str(program), "if=/dev/zero", "of=/dev/null", "bs=512", "count=400000", "status=none"]
    with opened(only("read"), timed=False, value=ValueRule(ARGS, signed=True)) as source:
        source.read()
        samples = []
        with subprocess.Popen(words) as copying:
            while copying.poll() is None:
                samples.append(source.read())
        samples.append(source.read())
    found = values(samples)
    assert copying.returncode == 0
    assert found[512] == 400_000
    assert found.total() == calls(counted(samples), "read")
    assert len(samples) > 2
