from __future__ import annotations

import ctypes
import errno
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysdash import syscalls
from sysdash.records import ABI_CODES, OTHER_NR
from sysdash.syscalls import IA32, NATIVE, X32


def test_numbers_and_names_of_each_abi() -> None:
    assert syscalls.name(0) == "read"
    assert syscalls.name(3, IA32) == "read"
    assert syscalls.name(120, IA32) == "clone"
    assert syscalls.name(514, X32) == "ioctl"
    assert syscalls.name(0x4000_0000 | 514, X32) == "ioctl"
    assert syscalls.name(514) is None
    assert syscalls.name(-1) is None
    assert syscalls.numbers("read") == ((0, NATIVE), (3, IA32), (0, X32))
    assert syscalls.numbers("mmap2") == ((192, IA32),)
    assert syscalls.numbers("no_such_call") == ()


def test_display_names_tell_the_abi_and_what_is_unknown() -> None:
    assert syscalls.display_name(0) == "read"
    assert syscalls.display_name(3, IA32) == "read (ia32)"
    assert syscalls.display_name(0, X32) == "read (x32)"
    assert syscalls.display_name(9999) == "[unknown: 9999]"
    assert syscalls.display_name(9999, IA32) == "[unknown: 9999] (ia32)"
    assert syscalls.display_name(-1) == "[unknown: -1]"


@given(st.sampled_from(syscalls.names()))
def test_every_name_goes_to_numbers_and_back(name: str) -> None:
    numbers = syscalls.numbers(name)
    assert numbers
    assert all(syscalls.name(nr, abi) == name for nr, abi in numbers)


def test_the_table_is_that_of_this_machine() -> None:
    libc = ctypes.CDLL(None)
    ((getppid, _), *_) = syscalls.numbers("getppid")
    ((getpid, _), *_) = syscalls.numbers("getpid")
    assert libc.syscall(getppid) == libc.getppid()
    assert libc.syscall(getpid) == libc.getpid()


@pytest.mark.parametrize(
    ("typed", "meant"), [("opnat", "openat"), ("raed", "read"), ("EPOLL_WAIT", "epoll_wait")]
)
def test_nearest_names(typed: str, meant: str) -> None:
    assert meant in syscalls.nearest(typed)


def test_nothing_is_near_to_nonsense() -> None:
    assert syscalls.nearest("#####") == []


@pytest.mark.parametrize(
    "name", ["poll", "epoll_wait", "futex", "nanosleep", "wait4", "pause", "rt_sigtimedwait"]
)
def test_calls_that_wait(name: str) -> None:
    assert all(syscalls.waits(nr, abi) for nr, abi in syscalls.numbers(name))


@pytest.mark.parametrize("name", ["read", "write", "openat", "fsync", "flock", "connect", "ipc"])
def test_calls_that_work(name: str) -> None:
    assert not any(syscalls.waits(nr, abi) for nr, abi in syscalls.numbers(name))


def test_the_variants_of_32_bit_programs_wait_too() -> None:
    for name in ("futex_time64", "ppoll_time64", "_newselect", "waitpid"):
        assert syscalls.waits(*syscalls.numbers(name)[0])
    assert not syscalls.waits(9999)


def test_every_call_that_waits_exists() -> None:
    assert set(syscalls.names()) >= syscalls._WAITING


def test_errors_are_minus_1_to_minus_4095() -> None:
    assert syscalls.errno_of(-1) == 1
    assert syscalls.errno_of(-4095) == 4095
    assert syscalls.errno_of(0) is None
    assert syscalls.errno_of(5) is None
    assert syscalls.errno_of(-4096) is None
    assert syscalls.errno_of(-(2**47)) is None


def test_errno_names() -> None:
    assert syscalls.errno_name(2) == "ENOENT"
    assert syscalls.errno_name(11) == "EAGAIN"
    assert syscalls.errno_name(35) == "EDEADLK"
    assert syscalls.errno_name(95) == "EOPNOTSUPP"
    assert syscalls.errno_name(512) == "ERESTARTSYS"
    assert syscalls.errno_name(516) == "ERESTART_RESTARTBLOCK"
    assert syscalls.errno_name(4000) == "errno 4000"


def test_errno_numbers() -> None:
    assert syscalls.errno_number("ENOENT") == 2
    assert syscalls.errno_number("enoent") == 2
    assert syscalls.errno_number("EWOULDBLOCK") == errno.EAGAIN
    assert syscalls.errno_number("EHWPOISON") == 133
    assert syscalls.errno_number("ERESTARTSYS") == 512
    assert syscalls.errno_number("110") == errno.ETIMEDOUT


@given(st.sampled_from([*errno.errorcode, *syscalls._KERNEL_ERRNOS]))
def test_every_errno_goes_to_its_name_and_back(number: int) -> None:
    assert syscalls.errno_number(syscalls.errno_name(number)) == number


@pytest.mark.parametrize("text", ["", "ENOSUCH", "0", "4096", "-2", "errorcode", "²"])
def test_what_is_no_errno(text: str) -> None:
    with pytest.raises(ValueError, match="error n"):
        syscalls.errno_number(text)


def test_the_calls_that_wait_are_those_that_say_so() -> None:
    waiting = set(syscalls.waiting())
    for abi in (syscalls.NATIVE, syscalls.IA32, syscalls.X32):
        for nr in range(1024):
            assert ((nr, abi) in waiting) == syscalls.waits(nr, abi)


def test_abi_codes_are_those_of_the_records() -> None:
    assert {name: getattr(syscalls, name) for name in ("NATIVE", "IA32", "X32")} == ABI_CODES
    assert syscalls.OTHER_NR == OTHER_NR


@pytest.mark.parametrize(("abi", "header"), [(0, "64"), (1, "32"), (2, "x32")])
def test_every_name_of_the_c_headers_is_known(abi: int, header: str) -> None:
    path = Path("/usr/include/x86_64-linux-gnu/asm") / f"unistd_{header}.h"
    pattern = r"#define __NR_(\w+) (?:\(__X32_SYSCALL_BIT \+ )?(\d+)"
    found = dict(re.findall(pattern, path.read_text()))
    assert len(found) > 300
    assert {name: syscalls.name(int(nr), abi) for name, nr in found.items()} == {
        name: name for name in found
    }


def test_numbers_that_no_table_has() -> None:
    assert syscalls.display_name(9999) == "[unknown: 9999]"
    assert syscalls.display_name(syscalls.OTHER_NR, syscalls.IA32) == "[unknown: others] (ia32)"


def test_errors_are_told_in_words() -> None:
    assert syscalls.error_text(2) == "No such file or directory"
    assert syscalls.error_text(133) == "Memory page has hardware error"
    for name in "ERESTARTSYS ERESTARTNOINTR ERESTARTNOHAND ERESTART_RESTARTBLOCK".split():
        assert "interrupted by a signal" in syscalls.error_text(syscalls.errno_number(name))
    # No words are better than "Unknown error 524".
    assert syscalls.error_text(524) == syscalls.error_text(4000) == ""
