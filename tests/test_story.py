"""Slow calls told in words: by hand, for anything a program can do, and against strace."""

from __future__ import annotations

import ast
import re
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probing import build

from sysdash import descriptors, syscalls, units
from sysdash.arguments import Argument, Signatures
from sysdash.model import SlowCall, Syscall
from sysdash.records import FD_RESULT, Data, Detail, File
from sysdash.story import LINE, Story, Teller
from sysdash.syscalls import IA32, NATIVE, X32

TELLER = Teller(Signatures())

FILE = File(ino=9, mode=0o100644, names=(b"2663", b"16384", b"base", b"var"))
HOME = File(ino=2, mode=0o40755, names=(b"me", b"home"))
PIPE = File(ino=123, mode=0o10600, magic=0x50495045)
TCP = File(
    mode=0o140777,
    family=2,
    type=1,
    protocol=6,
    state=1,
    local=(bytes([127, 0, 0, 1]), 4000),
    remote=(bytes([10, 0, 0, 1]), 80),
)


def call(
    name: str,
    *args: int,
    ret: int | None = 0,
    abi: int = NATIVE,
    data: tuple[Data | bytes | None, ...] = (),
    file: File | None = None,
) -> SlowCall:
    """A slow call; missing arguments are 0, negative ones wrap as in a register."""
    (nr,) = (nr for nr, table in syscalls.numbers(name) if table == abi)
    first, second = (
        Data(piece) if isinstance(piece, bytes) else piece for piece in (*data, None, None)[:2]
    )
    return SlowCall(
        time_ns=0,
        syscall=Syscall(nr, abi),
        duration_ns=1,
        pid=1,
        tid=1,
        comm="x",
        args=tuple(value % 2**64 for value in (*args, *[0] * 6)[:6]),
        ret=ret,
        errno=None if ret is None else syscalls.errno_of(ret),
        detail=Detail(data=(first, second), file=file),
    )


def line(*args: object, **more: object) -> str:
    return TELLER.tell(call(*args, **more)).line()  # type: ignore[arg-type]


def values(story: Story) -> dict[str, int | str | None]:
    return {told.name: told.value for told in story.arguments}


def timespec(seconds: int, ns: int = 0) -> bytes:
    return struct.pack("<qq", seconds, ns)


def test_a_call_whose_arguments_are_not_known() -> None:
    story = TELLER.tell(replace(call("read", 3, ret=None), args=()))
    assert (story.arguments, story.line(), story.result, story.path) == ((), "", "", None)
    assert TELLER.tell(replace(call("read", ret=-4), args=())).result == "EINTR"
    assert TELLER.tell(replace(call("fcntl", ret=4), args=())).result == "4"


# --- Lines ---


def test_a_call_on_a_file_tells_its_path() -> None:
    story = TELLER.tell(call("read", 7, 0x7F0000001000, 8192, ret=8192, file=FILE))
    assert story.line() == "fd=7 /var/base/16384/2663 count=8192"
    assert story.target == story.path == "/var/base/16384/2663"
    assert story.result == "8192"
    assert values(story) == {"fd": 7, "buf": "0x7f0000001000", "count": 8192}


def test_a_call_on_a_path_tells_it_whole() -> None:
    story = TELLER.tell(
        call("openat", -100, 1, 0o2000000, 0o7777, ret=5, data=(b"/etc/passwd",), file=HOME)
    )
    assert story.line() == "/etc/passwd O_RDONLY|O_CLOEXEC"
    assert story.path == "/etc/passwd"
    assert story.result == "fd 5"
    # The mode is not read by a call that makes no file.
    assert values(story) == {
        "dfd": "AT_FDCWD",
        "filename": "/etc/passwd",
        "flags": "O_RDONLY|O_CLOEXEC",
    }
    made = call("openat", 3, 1, 0o101, 0o640, ret=-2, data=(b"new",), file=HOME)
    assert TELLER.tell(made).line() == "/home/me/new O_WRONLY|O_CREAT mode=0640"
    assert TELLER.tell(made).result == "ENOENT"


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        (b"x", "/home/me/x"),
        (b"./x", "/home/me/x"),
        (b"../x/y", "/home/x/y"),
        (b"..", "/home"),
        (b"../../..", "/"),
        (b".", "/home/me"),
        (b"/x/../y", "/x/../y"),
        # A name on the way may be a symbolic link, so this is not /home/me/y.
        (b"x/../y", "/home/me/x/../y"),
    ],
)
def test_a_relative_path_is_joined_with_its_folder(path: bytes, whole: str) -> None:
    story = TELLER.tell(call("stat", 1, data=(path,), file=HOME))
    assert story.target == story.path == whole
    assert story.line() == whole


def test_a_relative_path_below_an_unknown_folder_is_told_as_it_is() -> None:
    story = TELLER.tell(call("newfstatat", 5, 1, 2, data=(b"x/y",)))
    assert story.line() == "dfd=5 x/y"
    assert (story.target, story.path) == ("", None)
    assert line("newfstatat", -100, 1, 2, data=(b"x/y",)) == "x/y"
    cut = File(mode=0o40755, names=(b"c", b"b"), cut=True)
    assert TELLER.tell(call("stat", 1, data=(b"x",), file=cut)).path == "…/b/c/x"
    assert TELLER.tell(call("stat", 1, data=(b"../../../x",), file=cut)).path is None


def test_a_descriptor_in_place_of_a_path() -> None:
    assert line("newfstatat", 3, 1, 2, 0x1000, data=(b"",), file=FILE) == (
        "dfd=3 /var/base/16384/2663 AT_EMPTY_PATH"
    )
    netlink = File(mode=0o140777, family=16)
    assert line("newfstatat", 3, 1, 2, 0x1000, data=(b"",), file=netlink) == (
        "dfd=3 netlink ROUTE AT_EMPTY_PATH"
    )
    assert line("utimensat", 3, 0, 2, file=FILE) == "dfd=3 /var/base/16384/2663"
    # What does not work without a path says nothing of the descriptor.
    assert TELLER.tell(call("openat", 3, 1, data=(b"",), ret=-2, file=FILE)).path is None


def test_two_paths_are_told_in_their_order() -> None:
    story = TELLER.tell(call("rename", 1, 2, data=(b"/a b", b"/c"), file=HOME))
    assert story.line() == '"/a b" /c'
    assert story.path == "/a b"
    assert line("symlink", 1, 2, data=(b"to", b"link"), file=HOME) == "to /home/me/link"


def test_a_new_working_folder_is_told_as_it_is_now() -> None:
    assert line("chdir", 1, data=(b"me",), file=HOME) == "/home/me"
    assert line("chdir", 1, data=(b"me",), file=HOME, ret=-2) == "/home/me/me"


def test_an_exec_tells_its_file_alone() -> None:
    story = TELLER.tell(call("execve", 0, 0, 0, data=(b"./a.out",), file=HOME))
    assert story.line() == story.path == "/home/me/a.out"
    assert values(story) == {"filename": "./a.out"}
    assert TELLER.tell(call("execveat", 9, 9, 9)).arguments == ()
    failed = TELLER.tell(call("execve", 1, 2, 3, data=(b"/no",), ret=-2))
    assert values(failed) == {"filename": "/no", "argv": "0x2", "envp": "0x3"}


def test_waiting_for_a_lock() -> None:
    times = (timespec(1, 500_000_000),)
    word, later = 0x7F3100000000, 0x7FFF00000000
    assert line("futex", word, 0, 2, 0) == "FUTEX_WAIT val=2 uaddr=0x7f3100000000"
    assert line("futex", word, 128, 2, later, data=times) == (
        "FUTEX_WAIT utime=1.50s val=2 uaddr=0x7f3100000000"
    )
    assert line("futex", word, 265, 2, later, 0, 2**32 - 1, data=times) == (
        "FUTEX_WAIT_BITSET until 1.5s val=2 uaddr=0x7f3100000000"
    )
    # The list has all of it, in the kernel's order.
    whole = TELLER.tell(call("futex", word, 265, 2, later, 0, 2**32 - 1, data=times))
    assert list(values(whole)) == ["uaddr", "op", "val", "utime", "val3"]
    assert values(whole)["op"] == "FUTEX_WAIT_BITSET|FUTEX_CLOCK_REALTIME"
    assert line("futex", word, 99, 2, 0).startswith("0x63 val=2 ")
    # What an operation does not read is whatever was in the register.
    wake = TELLER.tell(call("futex", word, 129, 1, 77, 78, 79, ret=1))
    assert values(wake) == {"uaddr": hex(word), "op": "FUTEX_WAKE_PRIVATE", "val": 1}
    assert list(values(TELLER.tell(call("futex", word, 134, 5, 0)))) == ["uaddr", "op", "utime"]
    requeue = TELLER.tell(call("futex", word, 132, 1, 50, 0x1000, 7))
    assert values(requeue) == {
        "uaddr": hex(word), "op": "FUTEX_CMP_REQUEUE_PRIVATE", "val": 1, "val2": 50,
        "uaddr2": "0x1000", "val3": 7,
    }  # fmt: skip


def test_sleeping() -> None:
    assert line("nanosleep", 1, 0, data=(timespec(0, 50_000_000),)) == "rqtp=50.0ms"
    story = TELLER.tell(call("clock_nanosleep", 1, 0, 1, data=(timespec(90, 1),)))
    assert story.line() == "rqtp=1m30s CLOCK_MONOTONIC"
    assert list(values(story)) == ["which_clock", "flags", "rqtp", "rmtp"]
    assert values(story)["rqtp"] == "90.000000001s"
    assert line("clock_nanosleep", 0, 1, 1, data=(timespec(90),)) == (
        "until 90s CLOCK_REALTIME TIMER_ABSTIME"
    )
    # Where the time could not be read, its address tells nothing.
    assert line("clock_nanosleep", 1, 0, 1) == "CLOCK_MONOTONIC"
    old = struct.pack("<ii", 2, 1000)
    assert line("nanosleep", 1, 0, abi=IA32, data=(old,)) == "rqtp=2.00s"
    assert line("nanosleep", 1, 0, data=(timespec(-1, 2),)) == "rqtp=-1s+2ns"
    assert line("nanosleep", 1, 0) == ""


def test_polling() -> None:
    three = struct.pack("<iHHiHHiHH", 3, 1, 1, 5, 5, 0, -1, 0, 0)
    assert line("poll", 1, 3, 250, data=(three,)) == (
        "[3:POLLIN, 5:POLLIN|POLLOUT, -1:0] timeout_msecs=250ms nfds=3"
    )
    assert line("poll", 1, 1, -1, data=(three,)) == "[3:POLLIN] timeout_msecs=-1 nfds=1"
    assert line("poll", 1, 9, 0, data=(three,)).startswith("[3:POLLIN, 5:POLLIN|POLLOUT, -1:0, …]")
    epoll = File(mode=0o600, magic=0x09041934, names=(b"[eventpoll]",))
    assert line("epoll_wait", 4, 1, 64, -1, ret=None, file=epoll) == (
        "epfd=4 epoll timeout=-1 maxevents=64"
    )
    assert line("epoll_ctl", 4, 1, 7, 1, file=TCP) == (
        "fd=7 TCP 127.0.0.1:4000 → 10.0.0.1:80 epfd=4 EPOLL_CTL_ADD"
    )


def test_sockets() -> None:
    to = struct.pack("<H2s4s8x", 2, b"\0\x50", bytes([10, 0, 0, 1]))
    assert line("connect", 5, 1, 16, data=(to,), ret=-115) == "fd=5 10.0.0.1:80"
    # An address is told once.
    assert line("connect", 5, 1, 16, data=(to,), file=TCP) == (
        "fd=5 TCP 127.0.0.1:4000 → 10.0.0.1:80"
    )
    assert line("accept4", 3, 1, 2, 0o2000000, ret=6, data=(to,), file=TCP) == (
        "TCP 127.0.0.1:4000 → 10.0.0.1:80 fd=3 SOCK_CLOEXEC"
    )
    # Before an accept has succeeded, there is no address.
    assert line("accept4", 3, 1, 2, data=(to,), ret=None) == "fd=3"
    assert line("accept", 3, 1, 2, data=(to,), ret=-11) == "fd=3"
    assert (
        line("socket", 2, 0o2004001, 6)
        == "AF_INET SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC IPPROTO_TCP"
    )
    assert line("socket", 2, 1, 0) == "AF_INET SOCK_STREAM"
    assert line("socket", 16, 3, 15) == "AF_NETLINK SOCK_RAW NETLINK_KOBJECT_UEVENT"
    assert line("setsockopt", 3, 6, 1, 9, 4) == "fd=3 SOL_TCP TCP_NODELAY"
    assert line("setsockopt", 3, 1, 9, 9, 4) == "fd=3 SOL_SOCKET SO_KEEPALIVE"
    assert line("getsockopt", 3, 999, 9, 9, 4) == "fd=3 level=999 optname=9"
    unix = TELLER.tell(call("connect", 3, 1, 12, data=(b"\1\0/run/sock\0",), ret=-2))
    assert (unix.line(), unix.path) == ("fd=3 /run/sock", "/run/sock")


def test_memory() -> None:
    assert line("mmap", 0, 8192, 3, 0x22, -1, 0, ret=0x7F0000000000) == (
        "PROT_READ|PROT_WRITE MAP_PRIVATE|MAP_ANONYMOUS len=8192"
    )
    mapped = TELLER.tell(call("mmap", 0, 8192, 5, 2, 3, 4096, ret=0x7F0000000000, file=FILE))
    assert mapped.line() == (
        "fd=3 /var/base/16384/2663 PROT_READ|PROT_EXEC MAP_PRIVATE len=8192 off=0x1000"
    )
    assert mapped.result == "0x7f0000000000"
    assert values(mapped)["addr"] == "0x0"
    assert line("madvise", 0x1000, 4096, 4) == "MADV_DONTNEED start=0x1000 len_in=4096"
    assert line("mremap", 0x1000, 1, 2, 1, 0x77) == "MREMAP_MAYMOVE addr=0x1000 old_len=1 new_len=2"
    assert "new_addr=0x77" in line("mremap", 0x1000, 1, 2, 3, 0x77)


def test_arguments_that_depend_on_others() -> None:
    assert line("fcntl", 3, 4, 0o4000) == "fd=3 F_SETFL O_RDONLY|O_NONBLOCK"
    assert line("fcntl", 3, 3, 77) == "fd=3 F_GETFL"
    assert line("fcntl", 3, 2, 1) == "fd=3 F_SETFD FD_CLOEXEC"
    assert line("fcntl", 3, 7, 0x7F00, file=FILE) == "fd=3 /var/base/16384/2663 F_SETLKW"
    duplicate = TELLER.tell(call("fcntl", 3, 1030, 10, ret=11))
    assert (duplicate.line(), duplicate.result) == ("fd=3 F_DUPFD_CLOEXEC arg=10", "fd 11")
    assert line("prctl", 1, 15, 3, 4, 5) == "PR_SET_PDEATHSIG SIGTERM"
    assert line("prctl", 3, 15, 3, 4, 5) == "PR_GET_DUMPABLE"
    assert line("ioctl", 0, 0x5401, 0x7F00) == "fd=0 TCGETS arg=0x7f00"
    assert line("ioctl", 0, 0xABCD, 0) == "fd=0 cmd=0xabcd"
    assert line("kill", -5, 9) == "SIGKILL pid=-5"
    assert line("shmget", 0, 4096, 0o1600) == "IPC_PRIVATE IPC_CREAT|0600 size=4096"
    how = struct.pack("<QQQ", 0o100, 0o644, 8)
    assert line("openat2", -100, 1, 2, 24, data=(b"/x", how)) == (
        "/x O_RDONLY|O_CREAT 0644 RESOLVE_BENEATH"
    )
    signals = struct.pack("<Q", 0b110)
    assert line("rt_sigtimedwait", 1, 0, 2, 8, data=(signals, timespec(3))) == (
        "[SIGINT SIGQUIT] uts=3.00s"
    )
    most = TELLER.tell(call("rt_sigsuspend", 1, 8, data=(struct.pack("<Q", 2**64 - 2),)))
    assert most.line() == "~[SIGHUP]"


def test_numbers_have_the_width_and_sign_of_their_type() -> None:
    assert values(TELLER.tell(call("kill", 0xFFFF_FFFF, 9)))["pid"] == -1
    assert values(TELLER.tell(call("kill", 0xABCD_0000_0001, 9)))["pid"] == 1
    assert values(TELLER.tell(call("lseek", 3, -5, 2)))["offset"] == -5
    assert values(TELLER.tell(call("lseek", 3, 0xFFFF_FFFB, 2, abi=IA32)))["offset"] == -5
    assert values(TELLER.tell(call("read", 3, 0, 2**63, abi=X32)))["count"] == 2**63
    assert values(TELLER.tell(call("read", 3, 0, -1, abi=IA32)))["count"] == 2**32 - 1


def test_results() -> None:
    for made, result in (
        (call("read", ret=0), "0"),
        (call("read", ret=None), ""),
        (call("read", ret=-4), "EINTR"),
        (call("read", ret=-512), "ERESTARTSYS"),
        (call("socket", ret=3), "fd 3"),
        (call("brk", ret=0x555500000000), "0x555500000000"),
        (call("mmap2", ret=-0x1000_0000, abi=IA32), "0xf0000000"),
        (call("lseek", ret=-5000), "-5000"),
        (call("rt_sigreturn", ret=77), ""),
        (call("fork", ret=4711), "4711"),
    ):
        assert TELLER.tell(made).result == result


def test_a_call_without_a_signature_tells_its_registers() -> None:
    unknown = call("read", 1, 2)
    story = TELLER.tell(
        SlowCall(0, Syscall(999, NATIVE), 1, 1, 1, "x", unknown.args, 5, None, unknown.detail)
    )
    assert values(story) == {
        "arg0": "0x1", "arg1": "0x2", "arg2": "0x0", "arg3": "0x0", "arg4": "0x0", "arg5": "0x0",
    }  # fmt: skip
    assert story.line().startswith("arg0=0x1 arg1=0x2 ")
    assert story.result == "5"


def test_what_is_uncertain_is_marked() -> None:
    closed = File(ino=9, mode=0o100644, names=(b"x",), certain=False)
    story = TELLER.tell(call("close", 3, file=closed))
    assert (story.line(), story.certain, story.target) == ("fd=3 /x?", False, "/x")
    assert (story.path, story.place) == (None, 0)
    # The folder was not needed for a whole path.
    assert TELLER.tell(call("stat", 1, data=(b"/y",), file=closed)).path == "/y"
    folder = replace(closed, mode=0o40755)
    below = TELLER.tell(call("openat", 5, 1, data=(b"y",), file=folder))
    assert (below.line(), below.certain, below.path) == ("/x/y? O_RDONLY", False, None)
    # The address that was asked for is certain.
    unix = replace(closed, mode=0o140777, family=1, names=(b"/run/other", b""))
    asked = TELLER.tell(call("connect", 3, 1, 12, data=(b"\1\0/run/sock\0",), file=unix))
    assert (asked.path, asked.certain) == ("/run/sock", False)


def test_below_a_folder_that_was_deleted_there_is_no_path() -> None:
    gone = File(mode=0o40755, names=(b"x", b"tmp"), deleted=True)
    story = TELLER.tell(call("open", 1, data=(b"./file",), ret=-2, file=gone))
    assert (story.line(), story.target, story.path) == ("file O_RDONLY", "file", None)
    story = TELLER.tell(call("stat", 1, data=(b"../file",), ret=-2, file=gone))
    assert (story.line(), story.target, story.path) == ("../file", "", None)
    # The folder itself is still what it was.
    assert TELLER.tell(call("stat", 1, data=(b".",), file=gone)).path == "/tmp/x (deleted)"
    story = TELLER.tell(call("execve", 0, data=(b"file",), file=gone))
    assert (story.line(), story.path) == ("file", None)


# --- What the target belongs to ---


@pytest.mark.parametrize(
    ("made", "place"),
    [
        (call("read", 3, file=FILE), 0),
        (call("read", 3), None),
        (call("epoll_ctl", 3, 1, 4, file=PIPE), 2),
        (call("pidfd_getfd", 3, 1, ret=4, file=PIPE), 0),
        (call("splice", 3, 0, 4, file=PIPE), 0),
        (call("mmap", 0, 8, 1, 2, 3, ret=4096, file=FILE), 4),
        (call("openat", 3, 1, data=(b"x",), file=HOME), 1),
        (call("newfstatat", 3, 1, 2, 0x1000, data=(b"",), file=HOME), 0),
        (call("symlink", 1, 2, data=(b"x", b"x"), file=HOME), 1),
        (call("mount", 1, 2, data=(b"x", b"x"), file=HOME), 1),
        (call("chdir", 1, data=(b"me",), file=HOME), 0),
        (call("execve", data=(b"x",), file=HOME), 0),
        (call("execve", data=(b"x",)), None),
        (call("accept", 3, ret=4, file=TCP), FD_RESULT),
        (call("accept", 3, ret=-11, file=TCP), 0),
        (call("accept4", 3, ret=None, file=TCP), 0),
        (call("accept4", 3, ret=None), None),
        (call("getpid"), None),
    ],
)
def test_a_target_belongs_to_what_was_looked_up(made: SlowCall, place: int | None) -> None:
    assert TELLER.tell(made).place == place


def test_an_accept_that_waits_tells_the_socket_that_it_listens_on() -> None:
    listening = replace(TCP, state=10, remote=None)
    assert line("accept4", 3, 1, 2, 0o4000, ret=None, file=listening) == (
        "fd=3 TCP 127.0.0.1:4000 LISTEN SOCK_NONBLOCK"
    )


# --- Values for programs ---


def test_what_can_be_an_address_is_hexadecimal_text() -> None:
    assert values(TELLER.tell(call("ioctl", 0, 0x5401, 0x7F00)))["arg"] == "0x7f00"
    assert values(TELLER.tell(call("ioctl", 0, 0xABCD, 0))) == {
        "fd": 0, "cmd": 0xABCD, "arg": "0x0",
    }  # fmt: skip
    asked = values(TELLER.tell(call("prctl", 0x53564D41, 0, 0x7F00, 8, 9)))
    assert (asked["arg3"], asked["arg5"]) == ("0x7f00", "0x9")
    assert values(TELLER.tell(call("semctl", 1, 0, 17, 0x7F00)))["arg"] == "0x7f00"
    assert values(TELLER.tell(call("keyctl", 11, 5, 0x7F00)))["arg3"] == "0x7f00"
    assert values(TELLER.tell(call("fcntl", 3, 9999, 0x7F00)))["arg"] == "0x7f00"
    assert values(TELLER.tell(call("ioctl", 0, 0, 2**33 + 1, abi=IA32)))["arg"] == "0x1"


def test_what_has_no_name_is_a_number() -> None:
    assert values(TELLER.tell(call("recvfrom", 3, 1, 2, 0)))["flags"] == 0
    assert values(TELLER.tell(call("recvfrom", 3, 1, 2, 2)))["flags"] == "MSG_PEEK"
    assert values(TELLER.tell(call("fcntl", 3, 2, 0)))["arg"] == 0
    assert values(TELLER.tell(call("fcntl", 3, 2, 5)))["arg"] == 5
    assert values(TELLER.tell(call("shmget", 0, 4096, 0o600)))["shmflg"] == 0o600
    assert values(TELLER.tell(call("shmget", 0, 4096, 0o1600)))["shmflg"] == "IPC_CREAT|0600"


def test_a_threads_new_name_is_told() -> None:
    story = TELLER.tell(call("prctl", 15, 0x7F00, 3, 4, 5, data=(b"worker 1",)))
    assert story.line() == 'PR_SET_NAME "worker 1"'
    assert values(story) == {"option": "PR_SET_NAME", "arg2": "worker 1"}
    # Other options' memory is no text.
    assert line("prctl", 16, 0x7F00, data=(b"\1\2",)) == "PR_GET_NAME arg2=0x7f00"


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("/a/b", 4, "/a/b"),
        ("/folder/file", 7, "…/file"),
        ("/a/a-long-name", 6, "…-name"),
        ("/日本/語", 6, "…本/語"),
        ("日本", 2, "…"),
        ("abc", 1, "…"),
    ],
)
def test_the_end_of_a_path(text: str, columns: int, shown: str) -> None:
    assert units.end_of(text, columns) == shown


def test_what_was_cut_is_marked() -> None:
    story = TELLER.tell(call("stat", 1, data=(Data(b"/long", cut=True),)))
    assert story.line() == story.path == "/long…"


def test_a_path_too_long_for_a_line_keeps_its_end() -> None:
    deep = File(mode=0o100644, names=(b"file", *[b"folder"] * 40))
    told = line("read", 3, 1, 4096, file=deep)
    assert told.startswith("fd=3 …/folder/")
    assert told.endswith("/folder/file count=4096")
    assert len(told) < 130


def test_the_running_kernels_names_are_used() -> None:
    running = Teller(
        Signatures({"read": (Argument("descriptor", "int"), Argument("to", "char *"))})
    )
    assert running.tell(call("read", 3, 4, file=FILE)).line() == (
        "descriptor=3 /var/base/16384/2663"
    )


# --- Descriptors ---


@pytest.mark.parametrize(
    ("file", "text", "path"),
    [
        (FILE, "/var/base/16384/2663", "/var/base/16384/2663"),
        (File(mode=0o40755, names=()), "/", "/"),
        (File(mode=0o40755, names=(b"/",)), "/", "/"),
        (File(mode=0o100644, names=(b"x",), deleted=True), "/x (deleted)", "/x (deleted)"),
        (File(mode=0o100644, names=(b"b", b"a"), cut=True), "…/a/b", "…/a/b"),
        (File(mode=0o20620, names=(b"0", b"pts", b"dev")), "/dev/pts/0", "/dev/pts/0"),
        (PIPE, "pipe:[123]", None),
        (File(mode=0o10644, magic=0xEF53, names=(b"fifo",)), "/fifo", "/fifo"),
        (File(mode=0o600, magic=0x09041934, names=(b"[eventpoll]",)), "epoll", None),
        (File(mode=0o600, magic=0x09041934, names=(b"[eventfd]",)), "eventfd", None),
        (File(mode=0o600, magic=0x09041934, names=(b"inotify",)), "inotify", None),
        (File(mode=0o600, magic=0x09041934, names=(b"bpf-map",)), "bpf-map", None),
        (File(mode=0o600, magic=0x09041934), "anonymous", None),
        (File(mode=0o100700, magic=0x50494446, ino=5), "pidfd", None),
        (File(mode=0o100444, magic=0x6E736673, ino=5), "namespace:[5]", None),
        (
            File(mode=0o100777, magic=0x01021994, names=(b"memfd:x",)),
            "memfd:x",
            None,
        ),
        (TCP, "TCP 127.0.0.1:4000 → 10.0.0.1:80", None),
        (
            File(mode=0o140777, family=10, type=1, protocol=6, state=10, local=(bytes(16), 80)),
            "TCP [::]:80 LISTEN",
            None,
        ),
        (
            File(
                mode=0o140777, family=2, type=1, protocol=6, state=2,
                local=(bytes(4), 5), remote=(bytes([1, 2, 3, 4]), 6),
            ),
            "TCP 0.0.0.0:5 → 1.2.3.4:6 SYN_SENT",
            None,
        ),
        (
            File(
                mode=0o140777, family=2, type=2, protocol=17, state=7,
                local=(bytes(4), 53), remote=(bytes(4), 0),
            ),
            "UDP 0.0.0.0:53",
            None,
        ),
        (
            File(mode=0o140777, family=10, type=3, protocol=58, local=(b"\0" * 15 + b"\1", 58)),
            "raw [::1]:58",
            None,
        ),
        (
            File(
                mode=0o140777, family=2, type=1, protocol=6, state=7,
                local=(bytes(4), 0), remote=(bytes(4), 0),
            ),
            "TCP CLOSE",
            None,
        ),
        (File(mode=0o140777, family=1, names=(b"/run/x", b"")), "unix:/run/x", "/run/x"),
        (File(mode=0o140777, family=1, names=(b"", b"/run/x")), "unix:/run/x", "/run/x"),
        (
            File(mode=0o140777, family=1, names=(b"/run/x", b""), peer_pid=12),
            "unix:/run/x → pid 12",
            "/run/x",
        ),
        (File(mode=0o140777, family=1, names=(b"\0name", b"")), "unix:@name", None),
        (
            File(mode=0o140777, family=1, names=(b"/run/x", b""), state=10, peer_pid=12),
            "unix:/run/x LISTEN",
            "/run/x",
        ),
        (File(mode=0o140777, family=1), "unix", None),
        (File(mode=0o140777, family=16, protocol=15), "netlink KOBJECT_UEVENT", None),
        (File(mode=0o140777, family=17, type=3), "packet", None),
        (File(mode=0o140777, family=250), "family 250", None),
        (File(), "", None),
    ],
)  # fmt: skip
def test_what_a_descriptor_was(file: File, text: str, path: str | None) -> None:
    assert descriptors.describe(file) == text
    assert descriptors.path(file) == path


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (struct.pack("<H2s4s8x", 2, b"\0\x50", bytes([127, 0, 0, 1])), "127.0.0.1:80"),
        (struct.pack("<H2s4x16s4x", 10, b"\1\xbb", b"\0" * 15 + b"\1"), "[::1]:443"),
        (b"\1\0/run/x\0rest", "/run/x"),
        (b"\1\0relative", "relative"),
        (b"\1\0\0abs\0tract", "@abs@tract"),
        (b"\1\0", "AF_UNIX"),
        (struct.pack("<HHII", 16, 0, 77, 0), "netlink:77"),
        (struct.pack("<HHII", 40, 0, 1024, 2), "vsock:2:1024"),
        (b"\x11\0abc", "AF_PACKET"),
        (b"\2\0", "AF_INET"),
        (b"\xff\xff", "family 65535"),
        (b"\2", ""),
        (b"", ""),
    ],
)
def test_addresses(content: bytes, text: str) -> None:
    assert descriptors.sockaddr(content) == text


# --- Hostile programs ---

ANY_BYTES = st.binary(max_size=80) | st.sampled_from([b"\x1b[2J", b"a" * 9000, b"../" * 999])
DATA = st.none() | st.builds(Data, ANY_BYTES, st.booleans())
ADDRESS = st.none() | st.tuples(st.binary(max_size=20), st.integers(0, 65535))
FILES = st.none() | st.builds(
    File,
    ino=st.integers(0, 2**64 - 1),
    magic=st.sampled_from([0, 0xEF53, 0x50495045, 0x09041934, 0x01021994, 0x50494446, 0x6E736673]),
    mode=st.integers(0, 0xFFFF) | st.sampled_from([0o140777, 0o100644, 0o10600, 0o600]),
    names=st.lists(ANY_BYTES, max_size=40).map(tuple),
    deleted=st.booleans(),
    cut=st.booleans(),
    family=st.integers(0, 50) | st.sampled_from([1, 2, 10, 16, 65535]),
    type=st.integers(0, 65535),
    protocol=st.integers(0, 65535),
    state=st.integers(0, 255),
    local=ADDRESS,
    remote=ADDRESS,
    peer_pid=st.integers(0, 2**32 - 1),
    certain=st.booleans(),
)
REGISTER = st.integers(0, 2**64 - 1) | st.integers(0, 300) | st.integers(2**64 - 200, 2**64 - 1)
EVERY = sorted({number for name in syscalls.names() for number in syscalls.numbers(name)})
NUMBERS = st.sampled_from(EVERY) | st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2))
CALLS = st.builds(
    lambda number, args, ret, data, file: SlowCall(
        time_ns=0,
        syscall=Syscall(*number),
        duration_ns=1,
        pid=1,
        tid=1,
        comm="x",
        args=tuple(args),
        ret=ret,
        errno=None if ret is None else syscalls.errno_of(ret),
        detail=Detail(data=data, file=file),
    ),
    NUMBERS,
    st.lists(REGISTER, min_size=6, max_size=6),
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 10),
    st.tuples(DATA, DATA),
    FILES,
)


def hold(story: Story) -> None:
    """Everything in a story is safe, and none of it is long."""
    texts = [story.target, story.path or "", story.result, story.line()]
    for told in story.arguments:
        texts += [told.name, told.text, told.value if isinstance(told.value, str) else ""]
    for text in texts:
        assert units.safe(text) == text
        assert len(text) <= descriptors.LONGEST * 2 + 100
    assert units.width(story.line()) <= LINE
    assert len(story.arguments) <= 6
    assert (story.place is None) == (not story.target)
    assert story.place in (None, FD_RESULT) or story.place < len(story.arguments)
    assert story.certain or not story.path or story.path != story.target


@given(CALLS)
def test_whatever_a_program_does_can_be_told(made: SlowCall) -> None:
    hold(TELLER.tell(made))


@pytest.mark.parametrize("abi", [NATIVE, IA32, X32])
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_every_call_can_be_told(abi: int, data: st.DataObject) -> None:
    any_args = data.draw(st.lists(REGISTER, min_size=6, max_size=6))
    pieces = data.draw(st.tuples(DATA, DATA))
    file, ret = data.draw(FILES), data.draw(st.sampled_from([None, 0, 5, -2]))
    for nr, table in EVERY:
        if table == abi:
            errno = None if ret is None else syscalls.errno_of(ret)
            detail = Detail(data=pieces, file=file)
            hold(
                TELLER.tell(
                    SlowCall(0, Syscall(nr, abi), 1, 1, 1, "x", tuple(any_args), ret, errno, detail)
                )
            )


# --- Against strace ---

# A constant with its name, as "strace -X verbose" prints it, or a number.
PART = re.compile(r"(?P<number>-?(?:0x[0-9a-f]+|\d+))(?: /\* (?P<names>[^*]+) \*/)?")
# Names for nothing, which we leave out beside others.
NOTHING = {"AT_STATX_SYNC_AS_STAT"}


def split(text: str) -> list[str]:
    """The arguments of a line of strace."""
    parts, depth, quoted, start = [], 0, False, 0
    for at, char in enumerate(text):
        if char == '"' and text[at - 1] != "\\":
            quoted = not quoted
        elif not quoted and char in "([{":
            depth += 1
        elif not quoted and char in ")]}":
            depth -= 1
        elif not quoted and char == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def understood(argument: str) -> tuple[int, set[str], bytes | None]:
    """An argument's register, the names strace gives it, and what it points to."""
    if argument.startswith('"'):
        return 1, set(), ast.literal_eval(f"b{argument}")
    if time := re.fullmatch(r"\{tv_sec=(\d+), tv_nsec=(\d+)\}", argument):
        return 1, set(), timespec(int(time[1]), int(time[2]))
    if argument.startswith("{sa_family") and "sun_path" in argument:
        return 1, set(), b"\1\0" + re.findall(r'sun_path="([^"]+)"', argument)[0].encode()
    if argument.startswith("{sa_family"):
        return 1, set(), struct.pack("<H2s4s8x", 2, b"\0\x09", bytes([127, 0, 0, 1]))
    register, names = 0, set()
    for part in argument.split("|0") if " */|0" in argument else argument.split("*/|"):
        found = PART.match(part.strip())
        if found is None:
            return 1, set(), None
        digits = found["number"]
        octal = re.fullmatch(r"0\d+", digits) or (" */|0" in argument and not found["names"])
        register |= int(digits, 8 if octal else 0)
        if found["names"]:
            names |= set(found["names"].rstrip(" */").split("|"))
    return register, names - NOTHING, None


def test_constants_have_the_names_that_strace_gives_them(tmp_path: Path) -> None:
    program, output = build("arguments", tmp_path), tmp_path / "strace"
    folder = tmp_path / "folder"
    folder.mkdir()
    run = ["strace", "-X", "verbose", "-s", "200", "-o", str(output), program, str(folder)]
    subprocess.run(run, check=True)
    text = output.read_text()
    text = text[text.index("chdir(") :]
    compared: set[str] = set()
    for each in text.splitlines():
        found = re.match(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<ret>\S+)", each)
        if found is None or found["name"] in ("clone", "exit_group") or not found["arguments"]:
            continue
        name, arguments = found["name"], [understood(part) for part in split(found["arguments"])]
        if name == "futex" and len(arguments) == 5:
            arguments.insert(4, (0, set(), None))  # which this operation does not read
        reads = Signatures().reads_of(*syscalls.numbers(name)[0])
        data = [
            arguments[rule.argument][2] for rule in reads.data if rule.argument < len(arguments)
        ]
        told = {
            argument.name: argument
            for argument in TELLER.tell(
                call(name, *(register for register, _, _ in arguments), data=tuple(data))
            ).arguments
        }
        signature = Signatures().of(*syscalls.numbers(name)[0]) or ()
        for argument, (_, names, content) in zip(signature, arguments, strict=False):
            if names:
                shown = str(told[argument.name].value).split("|")
                plain = {part for part in shown if not part.isdigit()}
                assert plain == names, each
                compared.add(name)
            elif content is not None and any(
                signature[rule.argument] == argument for rule in reads.data
            ):
                assert told[argument.name].value == {
                    timespec(0, 1_000_000): "0.001s",
                    timespec(1, 5): "1.000000005s",
                }.get(
                    content,
                    descriptors.sockaddr(content) if "addr" in argument.name else content.decode(),
                ), each
    wanted = """
        openat mmap mprotect socket connect futex epoll_ctl madvise clock_nanosleep kill fcntl
        lseek prctl
    """
    assert set(wanted.split()) - {"connect"} <= compared
