"""What the probe finds out of slow calls beside their numbers: memory, files, registers."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import symbolising
from probing import comm, nr, opened

from sysdash.filters import Filters
from sysdash.model import derive
from sysdash.probes.source import BpfSource, Stories
from sysdash.records import (
    DATA_BYTES,
    DATA_SIZED,
    DATA_SIZED_AT,
    FD_CWD,
    FD_RESULT,
    Data,
    DataRule,
    Detail,
    File,
    Reads,
)
from sysdash.syscalls import numbers

pytestmark = pytest.mark.bpf

NAME = comm("story")

READS = {
    "read": Reads(fd=0),
    "write": Reads(fd=0),
    "close": Reads(fd=0),
    "sendto": Reads(fd=0),
    "epoll_wait": Reads(fd=0),
    "openat": Reads(fd=0, data=(DataRule(1),)),
    "open": Reads(fd=FD_CWD, data=(DataRule(0),)),
    "rename": Reads(data=(DataRule(0), DataRule(1))),
    "connect": Reads(fd=0, data=(DataRule(1, DATA_SIZED, 2),)),
    "accept4": Reads(fd=FD_RESULT, data=(DataRule(1, DATA_SIZED_AT, 2),)),
    "clock_nanosleep": Reads(data=(DataRule(2, DATA_BYTES, 16),)),
    "execve": Reads(fd=FD_CWD, data=(DataRule(0),)),
    "getdents64": Reads(fd=0),
}

READS_BY_NUMBER = {number: rule for name, rule in READS.items() for number in numbers(name)}

Call = tuple[np.void, Detail]

BEGINNING = f"""
import os, socket, sys, select, threading, time, ctypes
with open("/proc/self/comm", "w") as name: name.write({NAME!r})
"""


@pytest.fixture(scope="module")
def source() -> Iterator[BpfSource]:
    """Takes every call of the test's programs for slow."""
    with opened(
        Filters(comms=(NAME,)),
        default_threshold_ns=0,
        slow_per_second=1_000_000,
        stories=Stories(READS_BY_NUMBER),
    ) as opened_source:
        yield opened_source


def python(script: str, *before: str) -> list[str]:
    """Run a Python program; returns the lines that it wrote."""
    words = [*before, "/usr/bin/python3", "-S", "-E", "-c", BEGINNING + script]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()


def told(source: BpfSource, script: str, *before: str) -> tuple[list[Call], list[str]]:
    """The calls of a Python program, and the lines that it wrote."""
    source.read()
    lines = python(script, *before)
    sample = source.read()
    assert sample.lost["slow_limit"] == sample.lost["slow_ring"] == 0
    assert len(sample.events) == len(sample.details) > 0
    return list(zip(sample.events, sample.details, strict=True)), lines


def named(calls: list[Call], name: str, ret: int | None = None) -> list[Call]:
    return [
        (event, detail)
        for event, detail in calls
        if (int(event["nr"]), int(event["abi"])) == (nr(name), 0)
        and (ret is None or event["ret"] == ret)
    ]


def one(calls: list[Call], name: str, ret: int | None = None) -> Call:
    found = named(calls, name, ret)
    assert len(found) == 1
    return found[0]


def file_of(call: Call) -> File:
    file = call[1].file
    assert file is not None
    return file


def path_of(file: File) -> str:
    assert not file.cut
    return "/" + "/".join(name.decode() for name in reversed(file.names))


def test_paths_are_read_where_they_were_given(source: BpfSource, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_text("x")
    calls, _ = told(
        source,
        f"""
os.chdir({str(tmp_path)!r})
folder = os.open("inner", os.O_RDONLY | os.O_DIRECTORY)
os.open("file", os.O_RDONLY, dir_fd=folder)
os.rename("inner/file", "inner/other")
""",
    )
    opens = [
        (detail.data[0].content, path_of(file))
        for event, detail in named(calls, "openat")
        if (file := detail.file) and detail.data[0] and event["ret"] >= 0
    ]
    assert (b"inner", str(tmp_path)) in opens
    assert (b"file", str(tmp_path / "inner")) in opens
    data = one(calls, "rename")[1].data
    assert data == (Data(b"inner/file"), Data(b"inner/other"))


@pytest.mark.parametrize(
    ("length", "cut"), [(1, False), (254, False), (255, True), (256, True), (4000, True)]
)
def test_long_strings_are_cut_and_say_so(source: BpfSource, length: int, cut: bool) -> None:
    calls, _ = told(
        source,
        f"""
libc = ctypes.CDLL(None)
libc.syscall({nr("open")}, b"/" * {length}, 0)
""",
    )
    assert one(calls, "open")[1].data == (Data(b"/" * min(length, 255), cut), None)


def test_memory_that_cannot_be_read_is_not_made_up(source: BpfSource) -> None:
    calls, _ = told(
        source,
        f"""
libc = ctypes.CDLL(None)
libc.syscall({nr("open")}, ctypes.c_void_p(0), 0)
libc.syscall({nr("rename")}, ctypes.c_void_p(8), b"there")
""",
    )
    assert one(calls, "open")[1].data == (None, None)
    assert one(calls, "rename")[1].data == (None, Data(b"there"))


def test_what_an_exec_was_given(source: BpfSource, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.symlink_to("/usr/bin/true")
    calls, _ = told(
        source,
        f"""
os.chdir({str(tmp_path)!r})
try: os.execv("./no such program", ["x"])
except OSError: pass
# The new program has a name of its own, which does not pass.
os.rename("program", {NAME!r})
os.execv("./" + {NAME!r}, ["x"])
""",
    )
    failed, done = named(calls, "execve")
    assert failed[0]["ret"] == -2
    assert failed[1].data[0] == Data(b"./no such program")
    assert done[0]["ret"] == 0
    assert done[1].data[0] == Data(f"./{NAME}".encode())
    assert path_of(file_of(done)) == str(tmp_path)


def test_times_are_read_as_they_lie_in_memory(source: BpfSource) -> None:
    calls, _ = told(source, "time.sleep(0.003)")
    event, detail = one(calls, "clock_nanosleep")
    assert detail.data[0] is not None
    assert len(detail.data[0].content) == 16
    # Python sleeps until a moment (TIMER_ABSTIME): the end of the call.
    seconds, ns = np.frombuffer(detail.data[0].content, dtype="<i8").tolist()
    assert 0 <= int(event["end_ns"]) - (seconds * 1_000_000_000 + ns) < 1_000_000_000


def test_kinds_of_files(source: BpfSource, tmp_path: Path) -> None:
    path = tmp_path / "plain"
    deleted = tmp_path / "deleted"
    calls, lines = told(
        source,
        f"""
def written(fd, word):
    print(os.fstat(fd).st_ino)
    os.write(fd, word)
written(os.open({str(path)!r}, os.O_CREAT | os.O_WRONLY), b"1")
fd = os.open({str(deleted)!r}, os.O_CREAT | os.O_WRONLY)
os.unlink({str(deleted)!r})
written(fd, b"22")
written(os.pipe()[1], b"333")
written(os.memfd_create("mine"), b"4444")
written(os.eventfd(0), (1).to_bytes(8, "little"))
written(os.open("/dev/null", os.O_WRONLY), b"666666")
select.epoll().poll(0.001)
""",
    )
    inodes = [int(line) for line in lines]
    sizes = [1, 2, 3, 4, 8, 6]
    files = [file_of(one(calls, "write", size)) for size in sizes]
    assert [file.ino for file in files] == inodes
    assert all(file.certain for file in files)
    plain, gone, pipe, memory, event, null = files
    assert path_of(plain) == str(path)
    assert (plain.dev >> 20, plain.dev & 0xFFFFF) == (
        os.major(path.stat().st_dev),
        os.minor(path.stat().st_dev),
    )
    assert (plain.deleted, gone.deleted) == (False, True)
    assert path_of(gone) == str(deleted)
    assert stat.S_ISFIFO(pipe.mode)
    assert memory.names[0] == b"memfd:mine"
    assert event.names[0] == b"[eventfd]"
    assert (path_of(null), stat.S_ISCHR(null.mode)) == ("/dev/null", True)
    assert file_of(one(calls, "epoll_wait")).names[0] == b"[eventpoll]"


def test_the_root_has_no_name(source: BpfSource) -> None:
    calls, _ = told(source, "os.listdir('/')")
    assert {path_of(file_of(call)) for call in named(calls, "getdents64")} == {"/"}


def test_paths_go_through_mounts(source: BpfSource, tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    calls, _ = told(
        source,
        f"""
os.mkdir({str(tmp_path)!r} + "/mount/inside")
os.write(os.open({str(tmp_path)!r} + "/mount/inside/file", os.O_CREAT | os.O_WRONLY), b"12345")
""",
        "unshare",
        "-m",
        "sh",
        "-c",
        f'mount -t tmpfs none {tmp_path}/mount && exec "$@"',
        "sh",
    )
    file = file_of(one(calls, "write", 5))
    assert path_of(file) == str(tmp_path / "mount" / "inside" / "file")
    assert file.magic == 0x01021994  # TMPFS_MAGIC


def test_a_path_that_is_too_long_says_so(source: BpfSource, tmp_path: Path) -> None:
    calls, _ = told(
        source,
        f"""
os.chdir({str(tmp_path)!r})
for i in range(10):
    os.mkdir(str(i) * 200)
    os.chdir(str(i) * 200)
os.write(os.open("file", os.O_CREAT | os.O_WRONLY), b"1234567")
""",
    )
    file = file_of(one(calls, "write", 7))
    assert file.cut
    assert file.names[0] == b"file"
    assert file.names[1] == b"9" * 200
    assert sum(map(len, file.names)) <= 1024


def test_sockets_have_both_ends(source: BpfSource, tmp_path: Path) -> None:
    calls, lines = told(
        source,
        f"""
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    server = socket.create_server((address, 0), family=family)
    client = socket.socket(family)
    client.connect(server.getsockname()[:2])
    other, _ = server.accept()
    client.send(b"1234")
    print(server.getsockname()[1], client.getsockname()[1])
server = socket.socket(socket.AF_UNIX)
server.bind({str(tmp_path)!r} + "/socket")
server.listen()
client = socket.socket(socket.AF_UNIX)
client.connect({str(tmp_path)!r} + "/socket")
other, _ = server.accept()
client.send(b"12345")
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
a.send(b"123456")
print(os.getpid())
""",
    )
    ports = [[int(port) for port in line.split()] for line in lines[:2]]
    sent = [file_of(call) for call in named(calls, "sendto", 4)]
    accepted = [file_of(call) for call in named(calls, "accept4")]
    addresses = [socket.inet_aton("127.0.0.1"), socket.inet_pton(socket.AF_INET6, "::1")]
    for i, address in enumerate(addresses):
        server, client = ports[i]
        assert sent[i].family == (socket.AF_INET, socket.AF_INET6)[i]
        assert (sent[i].type, sent[i].protocol) == (socket.SOCK_STREAM, socket.IPPROTO_TCP)
        assert (sent[i].local, sent[i].remote) == ((address, client), (address, server))
        # The new socket, not the one that was listened on.
        assert (accepted[i].local, accepted[i].remote) == ((address, server), (address, client))
        assert sent[i].state == 1  # TCP_ESTABLISHED
    path = f"{tmp_path}/socket".encode()
    pid = int(lines[2])
    unix = file_of(one(calls, "sendto", 5))
    assert (unix.family, unix.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
    assert [name.rstrip(b"\0") for name in unix.names] == [b"", path]
    assert unix.peer_pid == pid
    assert [name.rstrip(b"\0") for name in accepted[2].names] == [path, b""]
    assert file_of(one(calls, "sendto", 6)).type == socket.SOCK_DGRAM


def test_addresses_are_read_as_long_as_they_are(source: BpfSource) -> None:
    calls, lines = told(
        source,
        """
server = socket.create_server(("127.0.0.1", 0))
socket.socket().connect(server.getsockname())
server.accept()
print(server.getsockname()[1])
""",
    )
    port = int(lines[0])
    wanted = socket.AF_INET.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + b"\x7f\0\0\1"
    data = one(calls, "connect")[1].data[0]
    assert data is not None
    assert (len(data.content), data.content[:8]) == (16, wanted)
    data = one(calls, "accept4")[1].data[0]
    assert data is not None
    assert (len(data.content), data.content[4:8]) == (16, b"\x7f\0\0\1")


def test_a_closed_descriptor_is_uncertain(source: BpfSource, tmp_path: Path) -> None:
    calls, lines = told(
        source,
        f"""
fd = os.open({str(tmp_path)!r} + "/file", os.O_CREAT | os.O_WRONLY)
os.write(fd, b"123456789")
os.close(fd)
print(fd)
try: os.write(fd, b"x")
except OSError: pass
os.close(os.open("/dev/null", os.O_WRONLY))
""",
    )
    assert file_of(one(calls, "write", 9)).certain
    fd = int(lines[0])
    closes = [call for call in named(calls, "close", 0) if call[0]["args"][0] == fd]
    was = file_of(closes[-2])
    assert (path_of(was), was.certain) == (f"{tmp_path}/file", False)
    # What gets the number later is another file.
    assert one(calls, "write", -9)[1].file is None


def test_a_closed_file_is_never_that_of_another_thread(source: BpfSource) -> None:
    calls, _ = told(
        source,
        """
def turn():
    for _ in range(2000): os.close(os.open("/dev/null", os.O_RDONLY))
threads = [threading.Thread(target=turn) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""",
    )
    closed = [detail.file for _, detail in named(calls, "close", 0)]
    assert len(closed) >= 6000
    assert not any(file.certain for file in closed if file)


def test_registers_and_stack_come_only_where_stacks_are_wanted(source: BpfSource) -> None:
    calls, _ = told(source, "time.sleep(0.001)")
    event, detail = one(calls, "clock_nanosleep")
    assert event["sp"] > 0
    assert event["ip"] > 0
    assert event["mm"] > 1 << 63
    assert (event["frames"], event["stack_length"]) == (0, 0)
    assert detail.stack() == ()


def test_an_accept_that_fails_has_the_socket_it_was_asked_of(source: BpfSource) -> None:
    calls, lines = told(
        source,
        """
server = socket.create_server(("127.0.0.1", 0))
server.setblocking(False)
try: server.accept()
except BlockingIOError: pass
print(server.getsockname()[1])
""",
    )
    file = file_of(one(calls, "accept4", -11))
    assert file.local == (b"\x7f\0\0\1", int(lines[0]))


# --- Examples ---


def test_examples_of_an_error_however_fast() -> None:
    enoent = Filters(comms=(NAME,))
    with opened(enoent, stories=Stories(READS_BY_NUMBER)) as found:
        found.example = (nr("openat"), 0, errno.ENOENT)
        found.read()
        script = """
for i in range(1000):
    for path in ("nowhere", "/dev/null/x", "/"):
        try: os.close(os.open(path, os.O_RDONLY))
        except OSError: pass
"""
        python(script)
        sample = found.read()
        snapshot = derive(sample)
        found.example = None
        python(script)
        assert derive(found.read()).examples == ()
    calls = [call for call in snapshot.examples if call.syscall.nr == nr("openat")]
    # Some a second and CPU, which are not counted as lost.
    assert 0 < len(calls) <= 20 * (os.cpu_count() or 1)
    assert {call.errno for call in snapshot.examples} == {errno.ENOENT}
    assert {call.detail.data[0] for call in calls} == {Data(b"nowhere")}
    assert all(call.errno != errno.ENOENT for call in snapshot.slow)
    assert sample.lost["slow_limit"] == 0


# --- Stacks ---


@pytest.fixture(scope="module")
def stacks() -> Iterator[BpfSource]:
    with opened(
        Filters(comms=(NAME,), syscalls=(*numbers("clock_nanosleep"), *numbers("nanosleep"))),
        default_threshold_ns=1_000_000,
        stories=Stories(stacks=True),
    ) as opened_source:
        yield opened_source


def frames(source: BpfSource, *command: str | Path) -> tuple[str, ...]:
    """The stack of the one sleep of a program, which has ended when it is asked for."""
    source.read()
    words = [str(word) for word in command]
    # What the programs return is what they have computed.
    assert subprocess.run(words, check=False, stdout=subprocess.DEVNULL).returncode in (0, 1)
    sample = source.read()
    assert len(sample.details) == 1
    assert sample.lost["stacks"] == 0
    return sample.details[0].stack()


def functions(stack: tuple[str, ...]) -> list[str]:
    return [frame.partition("`")[2].partition("+")[0] for frame in stack]


@pytest.mark.parametrize("flags", [("-fno-omit-frame-pointer", "-O1"), ("-O2",)])
@pytest.mark.parametrize("how", ["", "thread", "deep"])
def test_stacks_name_the_functions(
    stacks: BpfSource, tmp_path: Path, flags: tuple[str, ...], how: str
) -> None:
    program = symbolising.build("symbols_nap.c", tmp_path / NAME, *flags)
    found = functions(frames(stacks, program, "3", *([how] if how else [])))
    chain = ["nap", "middle", "outer"]
    assert chain in [found[i : i + 3] for i in range(len(found))]
    assert {"": "main", "thread": "run", "deep": "deeper"}[how] in found
    assert found[0] in ("clock_nanosleep", "nanosleep", "syscall")


def test_a_program_that_is_gone_at_once(stacks: BpfSource, tmp_path: Path) -> None:
    program = tmp_path / NAME
    program.symlink_to("/usr/bin/sleep")
    found = frames(stacks, program, "0.002")
    assert functions(found)[0] == "clock_nanosleep"
    assert any(frame.startswith("sleep+0x") for frame in found)
    assert "__libc_start_main" in functions(found)


def test_a_stack_is_told_once_it_is_asked_for(stacks: BpfSource, tmp_path: Path) -> None:
    program = symbolising.build("symbols_nap.c", tmp_path / NAME, "-O2")
    first, second = frames(stacks, program, "3"), frames(stacks, program, "3")
    assert functions(first) == functions(second)
