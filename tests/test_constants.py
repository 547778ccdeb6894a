"""Names of constants, against the C headers of the machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysdash import constants
from sysdash.constants import TABLES, Table, tell

KERNEL = """
    linux/fcntl linux/futex linux/prctl linux/mman linux/sched linux/openat2 linux/falloc linux/fs
    linux/stat linux/mount linux/inotify linux/eventpoll linux/timerfd linux/memfd linux/random
    linux/close_range linux/time linux/bpf linux/io_uring linux/membarrier linux/seccomp
    linux/ioprio linux/netlink linux/tcp linux/in linux/in6 linux/sockios linux/mempolicy linux/wait
    linux/if_tun linux/perf_event linux/kvm linux/loop linux/xattr linux/ipc linux/sem linux/shm
    linux/msg linux/resource linux/signal linux/if_packet linux/fadvise asm/prctl asm/ptrace-abi
    asm/termbits asm/ioctls asm/socket linux/ptrace linux/fiemap linux/pidfd
"""
C_LIBRARY = """
    sys/socket netinet/in netinet/tcp sys/wait poll unistd fcntl sys/eventfd sys/signalfd sys/mman
    sys/epoll sys/inotify sys/resource signal sched sys/file sys/ptrace sys/shm sys/sem stdio
"""


def every_name(table: Table) -> dict[str, int]:
    """Name to number of all that a table has."""
    names = {name: number for number, name in table.names.items() if name}
    return names | {name: value for value, name in table.flags}


def by_headers(folder: Path, headers: str, names: set[str]) -> dict[str, int]:
    """The numbers that the headers give those of the names that they have."""
    source = folder / "constants.c"
    lines = ["#define _GNU_SOURCE", *(f"#include <{name}.h>" for name in headers.split())]
    source.write_text("\n".join(lines))
    run = ["gcc", "-E", "-dD", str(source)]
    text = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    known = sorted(names & set(re.findall(r"\w+", text)))
    lines += ["int printf(const char *, ...);", "int main(void)", "{"]
    lines += [f'printf("{name} %llu\\n", (unsigned long long)({name}));' for name in known]
    source.write_text("\n".join([*lines, "return 0;", "}"]))
    program = folder / "constants"
    subprocess.run(["gcc", "-w", "-o", str(program), str(source)], check=True)
    said = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: int(number) for name, number in map(str.split, said.splitlines())}


# Names to which C gives another number in 64-bit programs than the kernel has.
OTHERS = {"O_LARGEFILE", "SIGRTMIN", "F_GETLK64", "F_SETLK64", "F_SETLKW64"}


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    folder = tmp_path_factory.mktemp("headers")
    names = {name for table in TABLES for name in every_name(constants._table(table))} - OTHERS
    return by_headers(folder, KERNEL, names) | by_headers(folder, C_LIBRARY, names)


@pytest.mark.parametrize("table", TABLES)
def test_the_numbers_are_those_of_the_headers(table: str, headers: dict[str, int]) -> None:
    ours = every_name(constants._table(table))
    wide = max(ours.values(), default=0) > 2**32
    mask = 2**64 - 1 if wide else 2**32 - 1
    shared = {name: number for name, number in ours.items() if name in headers}
    assert shared == {name: headers[name] & mask for name in shared}


def test_the_headers_have_most_of_the_names(headers: dict[str, int]) -> None:
    # They may be older than what is named here, and a few are in headers for the kernel alone.
    ours = {name for table in TABLES for name in every_name(constants._table(table))}
    assert len(ours & set(headers)) > len(ours) * 0.85


def test_flags_are_told_by_name_and_the_rest_in_hexadecimal() -> None:
    assert tell("open", 0) == "O_RDONLY"
    assert tell("open", 0o2000001) == "O_WRONLY|O_CLOEXEC"
    assert tell("open", 0o4010000) == "O_RDONLY|O_SYNC"
    assert tell("open", 0o10000) == "O_RDONLY|O_DSYNC"
    assert tell("open", 0o20200000) == "O_RDONLY|O_TMPFILE"
    assert tell("open", 1 << 40) == "O_RDONLY|0x10000000000"
    assert tell("prot", 0) == "PROT_NONE"
    assert tell("prot", 3) == "PROT_READ|PROT_WRITE"
    assert tell("map", 0x22) == "MAP_PRIVATE|MAP_ANONYMOUS"
    assert tell("map", 0x20) == "MAP_ANONYMOUS"
    assert tell("map", 0xF) == "0xf"
    assert tell("access", 0) == "F_OK"
    assert tell("at", 0) == "0"
    assert tell("clone", 0x1200011) == "SIGCHLD|CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID"


def test_numbers_are_told_by_name_or_not_at_all() -> None:
    assert tell("futex", 128) == "FUTEX_WAIT_PRIVATE"
    assert tell("futex", 256 + 9) == "FUTEX_WAIT_BITSET|FUTEX_CLOCK_REALTIME"
    assert tell("madvise", 21) == "MADV_PAGEOUT"
    assert tell("madvise", 999) is None
    assert tell("signal", 9) == "SIGKILL"
    assert tell("signal", 0) is None
    assert tell("signal", 34) == "SIGRT_2"
    assert tell("rusage", 2**32 - 1) == "RUSAGE_CHILDREN"
    assert tell("family", 16) == "AF_NETLINK"
    assert tell("ioctl", 0x5401) == "TCGETS"
    assert tell("socket_type", 0o2004001) == "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC"
    assert tell("fcntl", 1030) == "F_DUPFD_CLOEXEC"


def test_no_name_is_in_a_table_twice() -> None:
    for name in TABLES:
        table = constants._table(name)
        names = [
            *(each for each in table.names.values() if each),
            *(each for _, each in table.flags),
        ]
        assert len(names) == len(set(names)), name


@given(st.sampled_from(sorted(TABLES)), st.integers(0, 2**64 - 1) | st.integers(0, 300))
def test_what_is_told_says_the_whole_value(table: str, value: int) -> None:
    text = tell(table, value)
    numbers = every_name(constants._table(table))
    if text is None:
        assert value not in numbers.values()
        return
    parts = [numbers.get(part) for part in text.split("|")]
    if text != constants._table(table).zero:
        rest = text.split("|")[-1]
        total = sum(part or 0 for part in parts)
        total += int(rest, 16) if rest.startswith("0x") else 0
        assert total == value
    else:
        assert value == 0
    assert len(text) < 1000


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(KeyError):
        tell("no such table", 1)
