"""Arguments and results as they are counted: which is meant, what its values are called."""

from __future__ import annotations

import errno
import mmap
import os
import signal
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysdash import syscalls
from sysdash.arguments import Argument, Signatures
from sysdash.quantity import Quantity, Tally, Value, edges, find, histogram
from sysdash.records import (
    ARGS,
    VALUE_BUCKETS,
    VALUE_BYTES,
    VALUE_HISTOGRAM,
    VALUE_NUMBER,
    VALUE_STRING,
    ValueRule,
)
from sysdash.units import safe


def of(text: str, *, histogram: bool = False, signatures: Signatures | None = None) -> Quantity:
    """What ``SYSCALL:ARG`` means by the signatures that are shipped."""
    syscall, colon, argument = text.partition(":")
    asked = argument if colon else None
    return find(signatures or Signatures(), syscall, asked, histogram=histogram)


# --- Which one is meant ---


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("read", ValueRule(ARGS, signed=True)),
        ("read:ret", ValueRule(ARGS, signed=True)),
        ("read:count", ValueRule(2)),
        ("read:2", ValueRule(2)),
        ("read:0", ValueRule(0, bits=32, signed=True)),
        ("read:fd", ValueRule(0, bits=32, signed=True)),
        ("read:buf", ValueRule(1)),
        ("lseek:offset", ValueRule(1, signed=True)),
        ("epoll_wait:timeout", ValueRule(3, bits=32, signed=True)),
        ("openat:flags", ValueRule(2, bits=32, signed=True)),
        ("openat:filename", ValueRule(1, VALUE_STRING)),
        ("mmap:prot", ValueRule(2)),
        ("mmap:fd", ValueRule(4, bits=32, signed=True)),
        ("kill:pid", ValueRule(0, bits=32, signed=True)),
        ("futex:val", ValueRule(2, bits=32)),
        ("memfd_create:uname", ValueRule(0, VALUE_STRING)),
        ("execve:filename", ValueRule(0, VALUE_STRING)),
    ],
)
def test_how_an_argument_is_counted(text: str, rule: ValueRule) -> None:
    assert of(text).rule == rule


def test_a_histogram_has_the_same_number_in_buckets() -> None:
    assert of("read:fd", histogram=True).rule == ValueRule(0, VALUE_HISTOGRAM, 32, signed=True)
    assert of("read", histogram=True).rule == ValueRule(ARGS, VALUE_HISTOGRAM, signed=True)
    with pytest.raises(ValueError, match="filename of openat is text, which has no histogram"):
        of("openat:filename", histogram=True)


def test_the_running_kernels_names_come_first() -> None:
    mine = Signatures({"read": (Argument("handle", "unsigned int"), Argument("to", "char *"))})
    assert of("read:handle", signatures=mine).argument == "handle"
    assert of("read:1", signatures=mine).argument == "to"
    with pytest.raises(ValueError, match="read has no argument 'fd'; it has handle, to, and ret"):
        of("read:fd", signatures=mine)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("read:cuont", "read has no argument 'cuont'; it has fd, buf, count, and ret for what"),
        ("read:", "read has no argument ''; it has fd"),
        ("read:3", "read has no argument '3'"),
        ("read:-1", "read has no argument '-1'"),
        ("read:²", "read has no argument '²'"),
        ("getpid:0", "getpid has no argument '0'; it has none, and ret for what it returns"),
        ("read:\x1b[31m" + "x" * 99, "read has no argument '␛\\[31mx+…'; "),
        ("tuxcall:what", "only known by number, 0 to 5, and ret"),
        ("tuxcall:6", "only known by number, 0 to 5, and ret"),
        ("exit_group:error_code", "exit_group never returns"),
        ("exit", "exit never returns"),
        ("execve:argv", "when execve returns, only filename is known of its arguments, and ret"),
        ("execveat:flags", "when execveat returns, only filename is known"),
    ],
)
def test_what_is_not_there_is_told(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as error:
        of(text)
    assert "\n" not in str(error.value)


def test_of_a_call_without_a_signature_arguments_are_known_by_number() -> None:
    found = of("tuxcall:5")
    assert (found.argument, found.rule) == ("arg5", ValueRule(5))
    assert found.tell(255) == Value("0xff", 255)
    assert of("tuxcall").argument == "ret"


def test_calls_of_every_table_are_counted_that_have_the_argument() -> None:
    assert {abi for _, abi in of("read:count").numbers} == {0, 1, 2}
    # The 32-bit mmap has one argument, in memory.
    assert {abi for _, abi in of("mmap:prot").numbers} == {0, 2}
    assert {abi for _, abi in of("mmap").numbers} == {0, 1, 2}
    assert [abi for _, abi in of("mmap2:prot").numbers] == [1]


def test_every_argument_of_every_call_can_be_counted() -> None:
    signatures = Signatures()
    kinds: Counter[int] = Counter()
    for name in syscalls.names():
        if name in ("exit", "exit_group", "execve", "execveat"):
            continue
        number = syscalls.numbers(name)[0]
        for place, argument in enumerate(signatures.of(*number) or ()):
            found = find(signatures, name, str(place))
            kinds[found.rule.kind] += 1
            assert (found.argument, found.rule.argument) == (argument.name, place)
            assert number in found.numbers
            assert found == find(signatures, name, argument.name)
            for value in (0, 1, 2**31, 2**63, -1):
                told = found.tell(b"/x" if found.textual else value)
                assert told.text == safe(told.text) != ""
                assert found.digits(value)
    assert set(kinds) == {VALUE_NUMBER, VALUE_STRING}


# --- What values are called ---


@pytest.mark.parametrize(
    ("text", "found", "told"),
    [
        ("read", 4096, Value("4096", 4096)),
        ("read", 0, Value("0", 0)),
        ("openat", -errno.ENOENT, Value("ENOENT", -2, "ENOENT")),
        ("futex", -512, Value("ERESTARTSYS", -512, "ERESTARTSYS")),
        ("lseek", -4096, Value("-4096", -4096)),
        ("rt_sigreturn", -2, Value("-2", -2)),
        ("mmap", 0x7F0000001000, Value("0x7f0000001000", 0x7F0000001000)),
        ("mmap", -errno.ENOMEM, Value("ENOMEM", -12, "ENOMEM")),
        ("read:buf", 0x7FFC00000010, Value("0x7ffc00000010", "0x7ffc00000010")),
        ("read:buf", 0, Value("0", "0x0")),
        ("read:fd", -1, Value("-1", -1)),
        (
            "openat:flags",
            os.O_RDONLY | os.O_CLOEXEC,
            Value("O_RDONLY|O_CLOEXEC", 0o2000000, "O_RDONLY|O_CLOEXEC"),
        ),
        ("openat:dfd", -100, Value("AT_FDCWD", -100, "AT_FDCWD")),
        ("openat:dfd", 5, Value("5", 5)),
        ("openat:mode", 0o644, Value("0644", 0o644)),
        ("openat:mode", 0x10000 | 0o600, Value("0600", 0o600)),
        ("mmap:prot", 0, Value("PROT_NONE", 0, "PROT_NONE")),
        ("mmap:prot", mmap.PROT_READ, Value("PROT_READ", 1, "PROT_READ")),
        ("mmap:flags", 0, Value("0", 0)),
        ("futex:op", 128 | 9, Value("FUTEX_WAIT_BITSET_PRIVATE", 137, "FUTEX_WAIT_BITSET_PRIVATE")),
        ("kill:sig", signal.SIGTERM, Value("SIGTERM", 15, "SIGTERM")),
        ("kill:sig", 99, Value("99", 99)),
        ("kill:sig", -1, Value("-1", -1)),
        ("ioctl:cmd", 0x5401, Value("TCGETS", 0x5401, "TCGETS")),
        ("ioctl:cmd", 0xC0FFEE, Value("0xc0ffee", 0xC0FFEE)),
        ("shmget:shmflg", 0o1600, Value("IPC_CREAT|0600", 0o1600, "IPC_CREAT|0600")),
        ("shmget:shmflg", 0o600, Value("0600", 0o600)),
        ("epoll_wait:timeout", -1, Value("-1", -1)),
        ("fcntl:arg", 2048, Value("0x800", 2048)),
        ("openat:filename", b"/etc/passwd", Value("/etc/passwd", "/etc/passwd")),
        ("openat:filename", b"", Value('""', "")),
        ("openat:filename", b"a b", Value('"a b"', "a b")),
        ("openat:filename", b"\x1b[31m\n\xff", Value("␛[31m␊\ufffd", "␛[31m␊\ufffd")),
    ],
)  # fmt: skip
def test_what_a_value_is_called(text: str, found: int | bytes, told: Value) -> None:
    assert of(text).tell(found) == told


def test_a_string_that_may_go_on_says_so() -> None:
    whole, cut = b"x" * (VALUE_BYTES - 2), b"x" * (VALUE_BYTES - 1)
    quantity = of("openat:filename")
    assert quantity.tell(whole).text == whole.decode()
    assert quantity.tell(cut).text == f"{cut.decode()}…"


@given(found=st.binary(max_size=VALUE_BYTES - 1).filter(lambda text: b"\0" not in text))
def test_strings_of_programs_are_safe(found: bytes) -> None:
    told = of("openat:filename").tell(found)
    assert safe(told.text) == told.text
    assert safe(str(told.value)) == told.value


# --- Histograms ---


@given(value=st.integers(-(2**63), 2**64 - 1))
def test_a_value_lies_in_its_bucket_and_in_no_other(value: int) -> None:
    # As the probe sorts them.
    bucket = value.bit_length() if value >= 0 else 64 + (-value).bit_length()
    low, high = edges(bucket)
    assert low <= value <= high
    assert [each for each in range(VALUE_BUCKETS) if edges(each)[0] <= value <= edges(each)[1]] == [
        bucket
    ]


def test_the_buckets_are_all_numbers_of_64_bits_without_gap() -> None:
    every = sorted(map(edges, range(VALUE_BUCKETS)))
    assert (every[0][0], every[-1][1]) == (-(2**63), 2**64 - 1)
    assert all(after[0] == before[1] + 1 for before, after in pairwise(every))
    assert edges(0) == (0, 0)
    assert edges(1) == (1, 1)
    assert edges(2) == (2, 3)
    assert edges(65) == (-1, -1)
    assert edges(66) == (-3, -2)
    assert edges(128) == (-(2**63), -(2**63))


def test_a_histogram_begins_with_the_negative_and_keeps_gaps() -> None:
    assert histogram({}) == []
    assert histogram({3: 0, 5: 0}) == []
    assert histogram({2: 7}) == [(2, 3, 7)]
    assert histogram({66: 5, 2: 7}) == [
        (-3, -2, 5),
        (-1, -1, 0),
        (0, 0, 0),
        (1, 1, 0),
        (2, 3, 7),
    ]
    assert histogram({65: 1, 67: 2}) == [(-7, -4, 2), (-3, -2, 0), (-1, -1, 1)]


@given(values=st.dictionaries(st.integers(0, VALUE_BUCKETS - 1), st.integers(1, 2**40), min_size=1))
def test_a_histogram_has_every_call_once_and_ascends(values: dict[int | bytes, int]) -> None:
    found = histogram(values)
    assert {(low, high): n for low, high, n in found if n} == {
        edges(int(bucket)): n for bucket, n in values.items()
    }
    assert all(after[0] == before[1] + 1 for before, after in pairwise(found))
    assert found[0][2] > 0
    assert found[-1][2] > 0


def test_a_tally_is_bounded_and_counts_what_it_refuses() -> None:
    tally = Tally(most=3)
    tally.add({1: 10, 2: 20})
    tally.add({3: 1, 4: 5, 1: 1})
    assert tally.take() == ({1: 11, 2: 20, 3: 1}, 5)
    assert tally.take() == ({}, 0)
