"""Slow calls and calls in flight, as blocks of text and as objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from synthetic import nr

from sysdash import syscalls
from sysdash.arguments import Signatures
from sysdash.model import SlowCall, Syscall
from sysdash.records import Data, Detail, File
from sysdash.report.losses import dropped
from sysdash.report.slow import (
    Shown,
    beginning,
    ending,
    in_flight_block,
    in_flight_object,
    slow_block,
    slow_object,
)
from sysdash.story import Teller

MS = 1_000_000
SHOWN = Shown(clock="12:31:06.123")
FRAMES = ("vmlinux`pipe_read+0x2f", "libc.so.6`read+0x1a", "postgres`mdread+0x4c")
BASE = File(mode=0o100600, ino=9, names=(b"2663", b"16384", b"base", b"postgres", b"lib", b"var"))

tell = Teller(Signatures()).tell


def call(
    name: str = "read",
    *args: int,
    ret: int | None = 8192,
    abi: int = syscalls.NATIVE,
    number: int | None = None,
    detail: Detail | None = None,
) -> SlowCall:
    return SlowCall(
        time_ns=1_700_000_000_123_456_789,
        syscall=Syscall(nr(name) if number is None else number, abi),
        duration_ns=45_200_000,
        pid=1842,
        tid=1845,
        comm="postgres",
        args=(*args, 0, 0, 0, 0, 0, 0)[:6],
        ret=ret,
        errno=None if ret is None else syscalls.errno_of(ret),
        detail=detail or Detail(file=BASE, stack=lambda: FRAMES),
    )


READ = call("read", 7, 0x7F3152A01000, 8192)


def text(of: SlowCall, shown: Shown = SHOWN) -> str:
    return "\n".join(slow_block(of, tell(of), shown))


# --- Blocks ---


def test_a_slow_call_is_told_in_a_block() -> None:
    assert (
        text(READ)
        == """\
SLOW SYSCALL: read() took 45.2ms
  TIME 12:31:06.123  PID 1842  COMM postgres  TID 1845
  fd     = 7 → /var/lib/postgres/base/16384/2663
  buf    = 0x7f3152a01000
  count  = 8192
  result = 8192
  stack:
    vmlinux`pipe_read+0x2f
    libc.so.6`read+0x1a
    postgres`mdread+0x4c"""
    )


def test_an_error_is_told_by_its_name_and_meaning() -> None:
    failed = replace(READ, ret=-9, errno=9)
    block = text(failed)
    assert "\n  error = EBADF (Bad file descriptor)\n" in block
    assert "result" not in block


def test_an_error_of_the_kernel_alone_is_told_in_words_or_by_its_name() -> None:
    block = text(replace(READ, ret=-512, errno=512))
    assert "\n  error = ERESTARTSYS (interrupted by a signal, begun again after it" in block
    assert "\n  error = ENOTSUPP\n" in text(replace(READ, ret=-524, errno=524))


@pytest.mark.parametrize(
    ("name", "abi"),
    [
        ("rt_sigreturn", syscalls.NATIVE),
        ("rt_sigreturn", syscalls.IA32),
        ("sigreturn", syscalls.IA32),
    ],
)
def test_a_register_that_is_restored_is_no_error(name: str, abi: int) -> None:
    number = next(number for number, table in syscalls.numbers(name) if table == abi)
    restored = call(number=number, abi=abi, ret=-4, detail=Detail())
    lines = [line.split()[0] for line in text(restored).splitlines()]
    assert not {"error", "result"} & set(lines)
    found = slow_object(restored, tell(restored), stack=False)
    assert (found["ret"], found["errno"]) == (-4, None)


def test_a_stack_that_is_not_wanted_is_not_made() -> None:
    def never() -> tuple[str, ...]:
        raise AssertionError("the stack was made")

    unwanted = replace(READ, detail=Detail(stack=never))
    assert "stack" not in text(unwanted, replace(SHOWN, stack=False))
    slow_object(unwanted, tell(unwanted), stack=False)


def test_without_frames_there_is_no_heading_for_them() -> None:
    assert "stack" not in text(replace(READ, detail=Detail()))


def test_what_a_closed_descriptor_was_is_marked() -> None:
    detail = Detail(file=replace(BASE, certain=False))
    assert "\n  fd     = 7 → was /var/lib/postgres/base/16384/2663 when last seen\n" in text(
        replace(READ, detail=detail)
    )


@pytest.mark.parametrize(
    ("abi", "name", "suffix"),
    [(syscalls.IA32, "read", "  ABI ia32"), (syscalls.X32, "read", "  ABI x32")],
)
def test_calls_of_another_abi_say_so(abi: int, name: str, suffix: str) -> None:
    number = next(number for number, table in syscalls.numbers(name) if table == abi)
    lines = text(call(number=number, abi=abi)).splitlines()
    assert lines[0] == "SLOW SYSCALL: read() took 45.2ms"
    assert lines[1] == f"  TIME 12:31:06.123  PID 1842  COMM postgres  TID 1845{suffix}"


def test_a_number_that_no_table_has() -> None:
    lines = text(call(number=999, detail=Detail())).splitlines()
    assert lines[0] == "SLOW SYSCALL: [unknown: 999]() took 45.2ms"
    assert lines[2].split() == ["arg0", "=", "0x0"]


OPEN_DATA = (Data(b"16384/2663"), None)
FOLDER = File(mode=0o040700, names=(b"base", b"pg"))


@pytest.mark.parametrize(
    ("of", "line"),
    [
        # A relative path: the whole one stands behind it.
        (
            call("openat", 2**64 - 100, 5, 0, ret=3, detail=Detail((Data(b"f/g"), None), FOLDER)),
            "filename = f/g → /pg/base/f/g",
        ),
        # One that is whole already.
        (
            call("openat", 2**64 - 100, 5, 0, ret=3, detail=Detail((Data(b"/x/y"), None), FOLDER)),
            "filename = /x/y",
        ),
        # The folder itself.
        (
            call("newfstatat", 2**64 - 100, 5, 6, 0, detail=Detail((Data(b"."), None), FOLDER)),
            "filename = . → /pg/base",
        ),
        # No path: the descriptor.
        (
            call("newfstatat", 4, 5, 6, 0x1000, detail=Detail((Data(b""), None), FOLDER)),
            "dfd      = 4 → /pg/base",
        ),
        # A descriptor that the call has made.
        (
            call(
                "accept4",
                *(3, 0, 0, 0),
                ret=4,
                detail=Detail(
                    file=File(
                        mode=0o140777, family=2, type=1, protocol=6, state=1,
                        local=(bytes((127, 0, 0, 1)), 80), remote=(bytes((127, 0, 0, 1)), 4000),
                    )
                ),
            ),
            "result         = fd 4 → TCP 127.0.0.1:80 → 127.0.0.1:4000",
        ),
    ],
)  # fmt: skip
def test_what_is_meant_stands_where_it_belongs(of: SlowCall, line: str) -> None:
    assert f"  {line}" in text(of).splitlines()
    assert text(of).count("/pg/base") <= 1


PIPE = Detail(file=File(mode=0o10600, ino=1, magic=0x50495045))
CWD = 2**64 - 100


@pytest.mark.parametrize(
    ("of", "line"),
    [
        (call("epoll_ctl", 3, 1, 4, detail=PIPE), "fd = 4 → pipe:[1]"),
        (call("pidfd_getfd", 4, 5, ret=6, detail=PIPE), "pidfd = 4 → pipe:[1]"),
        (call("open_by_handle_at", 4, 5, ret=6, detail=PIPE), "mountdirfd = 4 → pipe:[1]"),
        (call("fsmount", 4, 0, 0, ret=6, detail=PIPE), "fs_fd = 4 → pipe:[1]"),
        (call("perf_event_open", 1, 2, 3, 4, ret=6, detail=PIPE), "group_fd = 4 → pipe:[1]"),
        (call("splice", 4, 0, 5, detail=PIPE), "fd_in = 4 → pipe:[1]"),
        (call("tee", 4, 5, detail=PIPE), "fdin = 4 → pipe:[1]"),
        (call("copy_file_range", 4, 0, 5, detail=PIPE), "fd_in = 4 → pipe:[1]"),
        (
            call("symlink", 1, 2, detail=Detail((Data(b"a"), Data(b"a")), FOLDER)),
            "newname = a → /pg/base/a",
        ),
        (
            call("symlinkat", 1, CWD, 2, detail=Detail((Data(b"a"), Data(b"a")), FOLDER)),
            "newname = a → /pg/base/a",
        ),
        (
            call("mount", 1, 2, 3, detail=Detail((Data(b"a"), Data(b"a")), FOLDER)),
            "dir_name = a → /pg/base/a",
        ),
        (call("mmap", 0, 8, 1, 2, 4, ret=4096, detail=PIPE), "fd = 4 → pipe:[1]"),
        # Until an accept has succeeded, there is only the socket that listens.
        (call("accept", 4, 0, 0, ret=None, detail=PIPE), "fd = 4 → pipe:[1]"),
        (call("accept4", 4, 0, 0, ret=-11, detail=PIPE), "fd = 4 → pipe:[1]"),
        (call("accept4", 4, 0, 0, ret=6, detail=PIPE), "result = fd 6 → pipe:[1]"),
    ],
)  # fmt: skip
def test_a_target_stands_behind_the_argument_that_was_looked_up(of: SlowCall, line: str) -> None:
    told = [re.sub(" +", " ", line.strip()) for line in text(of).splitlines()]
    assert line in told
    assert text(of).count("→") == 1


def test_a_whole_path_that_is_quoted_is_told_once() -> None:
    of = call("open", 1, 0, ret=3, detail=Detail((Data(b"/a b"), None), FOLDER))
    assert '  filename = "/a b"' in text(of).splitlines()


def test_a_call_in_flight_is_told_in_a_block() -> None:
    waiting = replace(READ, ret=None, duration_ns=3_720_000_000_000)
    block = in_flight_block(waiting, tell(waiting), SHOWN)
    assert block[0] == "IN FLIGHT: read() for 1h02m"
    assert block[4] == "  count = 8192"
    assert not any("result" in line or "error" in line for line in block)


def test_a_call_in_flight_that_began_earlier_took_at_least_so_long() -> None:
    waiting = replace(call("futex", 1, 0, ret=None, detail=Detail()), at_least=True)
    block = in_flight_block(waiting, tell(waiting), SHOWN)
    assert block[0] == "IN FLIGHT: futex() for at least 45.2ms (its purpose is to wait)"


# --- First and last lines ---


@pytest.mark.parametrize(
    ("default", "own", "only", "line"),
    [
        (10 * MS, {}, (), "calls slower than 10ms"),
        (
            10 * MS,
            {"read": 10 * MS, "futex": MS, "connect": 100 * MS},
            (),
            "calls slower than 10ms (futex 1ms, connect 100ms)",
        ),
        (10 * MS, {"futex": MS, "connect": MS}, ("futex", "read"), "slower than 10ms (futex 1ms)"),
        (10 * MS, {"futex": 1500}, ("futex",), "slower than their threshold (futex 1.5µs)"),
        (None, {"futex": MS, "read": None}, (), "slower than their threshold (futex 1ms)"),
        (0, {"futex": None}, (), "slower than 0 (futex off)"),
        (90 * 1000 * MS, {}, (), "slower than 1.5m"),
        (MS, {f"s{i}": i for i in range(11)}, (), "s7 7ns, 3 more)"),
    ],
)
def test_the_first_line_says_what_is_slow(
    default: int | None, own: dict[str, int | None], only: tuple[str, ...], line: str
) -> None:
    found = beginning(default, own, syscalls_only=only)
    assert found.startswith("Tracing calls slower than ")
    assert found.endswith(f"{line}... Ctrl+C to quit.")


@pytest.mark.parametrize(
    ("default", "own", "only"),
    [(0, {}, ()), (0, {"read": 0}, ()), (MS, {"read": 0, "futex": MS}, ("read",))],
)
def test_calls_slower_than_nothing_are_all_calls(
    default: int, own: dict[str, int | None], only: tuple[str, ...]
) -> None:
    found = beginning(default, own, syscalls_only=only)
    assert found == "Tracing all calls... Ctrl+C to quit."
    found = beginning(default, own, syscalls_only=only, in_flight=True)
    assert found == "Tracing all calls in flight... Ctrl+C to quit."
    found = beginning(default, own, syscalls_only=only, in_flight=True, goes_on=False)
    assert found == "All calls in flight:"


def test_the_first_line_of_calls_in_flight() -> None:
    assert (
        beginning(MS, {}, in_flight=True, goes_on=False) == "Calls in flight for longer than 1ms:"
    )
    assert beginning(MS, {}, in_flight=True).startswith(
        "Tracing calls in flight for longer than 1ms"
    )


@pytest.mark.parametrize(
    ("shown", "happened", "in_flight", "line"),
    [
        (0, 0, False, "no slow calls"),
        (1, 1, False, "1 slow call"),
        (1234, 1234, False, "1,234 slow calls"),
        (3, 1234, False, "the 3 longest of 1,234 slow calls"),
        (1, 1234, False, "the longest of 1,234 slow calls"),
        (1, 5, True, "the longest of 5 calls in flight"),
        (0, 0, True, "no calls in flight"),
        (2, 2, True, "2 calls in flight"),
    ],
)
def test_the_last_line_says_how_many_there_were(
    shown: int, happened: int, in_flight: bool, line: str
) -> None:
    assert ending(shown, happened, "", in_flight=in_flight) == line
    assert ending(shown, happened, "5 more", in_flight=in_flight) == f"{line}; 5 more"


def test_the_longest_of_those_listed_are_not_called_the_longest_of_all() -> None:
    line = ending(1, 750, "9 more", unlisted=9, longest=1)
    assert line == "the longest of the 750 listed; 9 more"
    assert ending(2, 2, "9 more", unlisted=9, longest=3) == "2 slow calls; 9 more"
    assert ending(0, 0, "9 more", unlisted=9) == "0 slow calls listed; 9 more"


def test_the_last_line_of_intervals() -> None:
    each = partial(ending, longest=2, each_interval=True)
    assert each(4, 50) == "the 2 longest of each interval, of 50 slow calls in all"
    assert each(4, 50, "9 more", unlisted=9).startswith(
        "the 2 longest of each interval, of the 50 listed; 9 more"
    )
    assert each(4, 4) == "4 slow calls"
    assert ending(2, 9, longest=1, each_interval=True).startswith("the longest of each interval")


def test_what_is_not_listed_is_told_with_its_reasons() -> None:
    assert dropped({"calls": 4, "slow_limit": 0, "slow_ring": 0}, 1000) == ""
    told = dropped({"slow_limit": 1200, "slow_ring": 4}, 1000)
    assert told.startswith(
        "1,204 more not listed: 1,200 over the limit of 1,000 a second, of which each CPU has its "
        "share, and calls that wait by their nature a quarter (see --per-second)"
    )
    assert "and 4 for which the buffer was full" in told
    assert "--threshold" in told
    assert dropped({"stacks": 3}, 1000) == "3 without a stack, for the process had ended too soon"


# --- JSON ---


def test_a_slow_call_as_an_object() -> None:
    found = slow_object(READ, tell(READ), stack=True)
    assert json.dumps(found, ensure_ascii=False) == (
        '{"schema": "sysdash.slow/1", "time": "2023-11-14T22:13:20.123Z", "syscall": "read", '
        '"duration_ns": 45200000, "pid": 1842, "tid": 1845, "comm": "postgres", '
        '"args": {"fd": 7, "buf": "0x7f3152a01000", "count": 8192}, "ret": 8192, "errno": null, '
        '"path": "/var/lib/postgres/base/16384/2663", '
        '"stack": ["vmlinux`pipe_read+0x2f", "libc.so.6`read+0x1a", "postgres`mdread+0x4c"]}'
    )


@pytest.mark.parametrize("make", [slow_object, in_flight_object])
def test_an_object_names_an_abi_that_is_not_the_native_one(
    make: Callable[..., dict[str, object]],
) -> None:
    of = call(number=3, abi=syscalls.IA32)
    found = make(of, tell(of), stack=False)
    assert list(found)[:4] == ["schema", "time", "syscall", "abi"]
    assert (found["syscall"], found["abi"]) == ("read", "ia32")


@pytest.mark.parametrize("make", [slow_object, in_flight_object])
def test_the_path_of_what_has_none_is_what_it_is(make: Callable[..., dict[str, object]]) -> None:
    def path(of: SlowCall) -> object:
        return make(of, tell(of), stack=False)["path"]

    internet = File(
        mode=0o140777, family=2, type=1, protocol=6, state=1,
        local=(bytes((127, 0, 0, 1)), 4000), remote=(bytes((127, 0, 0, 1)), 80),
    )  # fmt: skip
    assert path(replace(READ, detail=PIPE)) == "pipe:[1]"
    assert path(replace(READ, detail=Detail(file=internet))) == (
        "TCP 127.0.0.1:4000 → 127.0.0.1:80"
    )
    # What was last seen may be something else by now.
    assert path(replace(READ, detail=Detail(file=replace(internet, certain=False)))) is None
    assert path(replace(READ, detail=Detail())) is None


def test_an_object_of_a_failed_call_without_a_path() -> None:
    of = call("futex", 1, 0, ret=-11, detail=Detail())
    found = slow_object(of, tell(of), stack=True)
    assert (found["ret"], found["errno"], found["path"], found["stack"]) == (
        -11,
        "EAGAIN",
        None,
        [],
    )


def test_a_call_in_flight_as_an_object() -> None:
    waiting = replace(READ, ret=None)
    found = in_flight_object(waiting, tell(waiting), stack=True)
    assert found == {
        **slow_object(READ, tell(READ), stack=True),
        "schema": "sysdash.inflight/1",
        "ret": None,
    }
    assert in_flight_object(replace(waiting, at_least=True), tell(waiting), stack=True) == found
