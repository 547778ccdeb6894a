"""Which file lies where: the text of /proc, the kernel's stream of mappings, maps of made code."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sysdash.probes import layout
from sysdash.probes.symbols import Stacks
from sysdash.probes.symbols import stream as stream_module
from sysdash.probes.symbols.mappings import Image, Mapping, parse_maps
from sysdash.probes.symbols.perfmap import PerfMap
from sysdash.probes.symbols.reader import open_regular
from sysdash.probes.symbols.stream import MappingStream


def test_text_of_maps() -> None:
    text = rb"""
55d0a0000000-55d0a0001000 r--p 00000000 08:01 77                         /usr/bin/app
55d0a0001000-55d0a0003000 r-xp 00001000 08:01 77                         /usr/bin/app
7f0000000000-7f0000001000 rwxp 00000000 00:00 0
7f0000002000-7f0000003000 r-xs 00000000 00:2a 9                          /tmp/a\012b (x) y (deleted)
7fff00000000-7fff00001000 r-xp 00000000 00:00 0                          [vdso]
nonsense r-xp
"""
    app, made, deleted, vdso = parse_maps(text)
    device = os.makedev(8, 1)
    assert app == Mapping(0x55D0A0001000, 0x55D0A0003000, 0x1000, device, 77, b"/usr/bin/app")
    assert (app.module, app.file, app.deleted) == ("app", b"/usr/bin/app", False)
    assert (made.module, made.file) == ("", None)
    assert (deleted.module, deleted.file) == ("a␊b (x) y", b"/tmp/a\nb (x) y")
    assert deleted.deleted
    assert (vdso.module, vdso.file) == ("[vdso]", None)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_text(text: bytes) -> None:
    assert parse_maps(text) == []


def test_agrees_with_a_program_of_this_machine() -> None:
    text = Path("/proc/self/maps").read_bytes()
    found = parse_maps(text)
    assert len(found) == sum(line.split()[1][2:3] == b"x" for line in text.splitlines())
    image = Image(found)
    for mapping in found:
        assert image.find(mapping.start) == image.find(mapping.end - 1) == mapping


def _mapping(start: int, end: int, inode: int) -> Mapping:
    return Mapping(start, end, start, 0, inode, b"/f%d" % inode)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=25))
def test_later_mappings_replace_earlier_ones(parts: list[tuple[int, int]]) -> None:
    """Held against an array with one place for each address."""
    image, expected = Image(), [0] * 90
    for inode, (start, size) in enumerate(parts, 1):
        image.add(_mapping(start, start + size, inode))
        expected[start : start + size] = [inode] * size
    for address, inode in enumerate(expected):
        found = image.find(address)
        assert (found.inode if found else 0) == inode
        # The place in the file stays that of the address.
        assert found is None or found.offset + address - found.start == address


# --- The stream ---


@pytest.fixture
def stream() -> Iterator[MappingStream]:
    opened = MappingStream()
    assert opened.without == ""
    yield opened
    opened.close()


def _run(*command: str) -> int:
    with subprocess.Popen(command) as process:
        process.wait()
    return process.pid


def test_a_program_that_has_ended(stream: MappingStream) -> None:
    pid = _run("/bin/true")
    stream.relieve()
    (image,) = stream.history(pid).images[-1:]
    modules = {mapping.module for mapping in image}
    assert {Path("/bin/true").resolve().name, "libc.so.6", "[vdso]"} <= modules
    mapped = next(mapping for mapping in image if mapping.module == "libc.so.6")
    assert mapped.file is not None
    status = Path(os.fsdecode(mapped.file)).stat()
    assert (mapped.inode, mapped.device) == (status.st_ino, status.st_dev)


def test_programs_one_after_the_other(stream: MappingStream) -> None:
    """A shell that executes another program has had two."""
    pid = _run("/bin/sh", "-c", "exec /bin/true")
    stream.relieve()
    history = stream.history(pid)
    first = [{mapping.module for mapping in image} for image in history.images]
    assert Path("/bin/true").resolve().name in first[-1]
    assert Path("/bin/sh").resolve().name in first[-2]
    assert history.inherits
    assert history.parent == os.getpid()


def test_what_it_knows_of_a_process_is_what_proc_says(stream: MappingStream) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        try:
            end = time.monotonic() + 10
            while b"sleep" not in Path(f"/proc/{process.pid}/cmdline").read_bytes() or not (
                Path(f"/proc/{process.pid}/syscall").read_text().startswith(("230", "35"))
            ):
                assert time.monotonic() < end
                time.sleep(0.01)
            now = parse_maps(Path(f"/proc/{process.pid}/maps").read_bytes())
            stream.relieve()
            told = stream.history(process.pid).images[-1]
        finally:
            process.kill()
    assert [mapping for mapping in told if mapping.inode] == [
        mapping for mapping in now if mapping.inode
    ]


def test_what_a_full_ring_loses_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody empties it while some hundred programs run."""
    monkeypatch.setattr("sysdash.probes.symbols.stream._MOST_PAGES", 16)
    stream = MappingStream()
    try:
        script = "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done"
        subprocess.run(["/bin/sh", "-c", script], check=True)
        assert stream.lost == 0
        # The kernel tells when there is room again.
        for _ in range(10):
            stream.relieve()
            _run("/bin/true")
        stream.relieve()
        assert stream.lost > 0
    finally:
        stream.close()


def test_the_backlog_is_bounded(stream: MappingStream) -> None:
    content = b"\x0a\0\0\0\0\0\x10\0" + bytes(8)
    for _ in range(100):
        stream._keep(content * 16384)
    for _ in range(5000):
        stream._keep(content)
    # Many small ones are kept together.
    assert len(stream._chunks) < 200
    assert sum(len(chunk.content) for chunk in stream._chunks) <= 8 << 20
    began = time.thread_time()
    assert stream.history(12345).images == []
    assert time.thread_time() - began < 5


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100, 0xFFFF])
def test_records_that_make_no_sense(stream: MappingStream, size: int) -> None:
    """Sizes that lead nowhere end the walk."""
    stream._keep(b"\x0a\0\0\0\0\0" + size.to_bytes(2, "little") + b"\x07\0\0\0" * 20)
    assert all(len(image) == 0 for image in stream.history(7).images)


def test_a_cpu_that_went_offline_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says that it is not there; the others are followed all the same."""
    cpus = [*layout.online_cpus(), 4095]
    monkeypatch.setattr(layout, "online_cpus", lambda: cpus)

    def ring(cpu: int, pages: int) -> object:
        if cpu == 4095:
            raise OSError(errno.ENODEV, "No such device")
        return real(cpu, pages)

    real = stream_module._Ring
    monkeypatch.setattr(stream_module, "_Ring", ring)
    opened = MappingStream()
    try:
        assert opened.without == ""
        pid = _run("/bin/true")
        opened.relieve()
        assert opened.history(pid).images
    finally:
        opened.close()


def test_a_cpu_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that goes: what it still had is kept."""
    every = layout.online_cpus()
    there = every[1:] or every
    monkeypatch.setattr(layout, "online_cpus", lambda: there)
    monkeypatch.setattr(stream_module, "_LOOK_FOR_CPUS_S", 0.0)
    opened = MappingStream()
    try:
        assert opened._rings.keys() == set(there)
        there = every
        opened.relieve()
        assert opened._rings.keys() == set(every)
        assert opened.lost == (len(every) > 1)
        pid = _run("/bin/true")
        there = every[:1]
        opened.relieve()
        assert opened._rings.keys() == set(there)
        assert opened.history(pid).images
    finally:
        opened.close()
    opened.relieve()
    assert not opened._rings


def test_a_kernel_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks of what still runs are shown all the same, and the reason is told."""
    monkeypatch.setattr("sysdash.probes.symbols.stream._SYS_PERF_EVENT_OPEN", 1_000_000)
    stacks = Stacks()
    try:
        assert "no stream of mappings" in stacks.without
        assert "not implemented" in stacks.without
        stacks.relieve()
        space = stacks.note(os.getpid(), 1)
        assert space.settled.wait(20)
        assert space.known
        assert len(space.images[0]) > 0
    finally:
        stacks.close()


# --- Maps of made code ---


def _perf_map(path: Path) -> PerfMap:
    reader = open_regular(str(path))
    assert reader is not None
    return PerfMap(reader)


def test_a_map_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "perf-1.map"
    path.write_text("1000 10 first name\nbad line\n0x2000 0x20 second\n30")
    found = _perf_map(path)
    assert found.find(0x1000) is None
    assert found.grow()
    assert not found.grow()
    assert found.find(0x100F) == (b"first name", 0x1000)
    assert found.find(0x1010) is None
    assert found.find(0x2000) == (b"second", 0x2000)
    with path.open("a") as file:
        file.write("00 10 third\n1008 10 over it\n")
    assert found.grow()
    assert found.find(0x3000) == (b"third", 0x3000)
    assert found.find(0x1009) == (b"over it", 0x1008)
    assert found.find(0x1007) == (b"first name", 0x1000)


def test_a_map_without_end(tmp_path: Path) -> None:
    """What is over 16 MB of it is not read, nor a line that never ends."""
    path = tmp_path / "perf-1.map"
    with path.open("wb") as file:
        file.write(b"1000 10 first\n")
        file.write(b"x" * (9 << 20) + b"\n2000 10 second\n")
        file.truncate(1 << 35)
    found = _perf_map(path)
    began = time.thread_time()
    assert found.grow()
    assert time.thread_time() - began < 10
    assert found.find(0x1000) == (b"first", 0x1000)
    assert found.find(0x2000) == (b"second", 0x2000)
    assert not found.grow()


def test_a_map_of_very_many_functions(tmp_path: Path) -> None:
    """It is read in parts that take little time, and its memory has a bound."""
    path = tmp_path / "perf-1.map"
    path.write_bytes(b"1 1 a\n" * (3 << 20))
    found = _perf_map(path)
    began = time.thread_time()
    assert found.grow()
    assert time.thread_time() - began < 5
    assert 0 < found.nbytes < 16 << 20
    while found.grow():
        pass
    assert found.nbytes < 80 << 20


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2**64 - 1))
def test_any_map(tmp_path_factory: pytest.TempPathFactory, text: bytes, address: int) -> None:
    path = tmp_path_factory.mktemp("map") / "perf-1.map"
    path.write_bytes(b"ffffffffffffffff ffffffffffffffff end\n" + text + b"\n1 2 x\n")
    found = _perf_map(path)
    assert found.grow()
    assert found.find(1) is not None
    found.find(address)
