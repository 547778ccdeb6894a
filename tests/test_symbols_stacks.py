"""Stacks of real programs: what is shown is the chain of calls that their source has."""

from __future__ import annotations

import ctypes
import io
import os
import re
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from symbolising import (
    at_once,
    build,
    functions,
    raw_stack,
    started,
    wait_until_blocked,
)

from sysdash.probes.symbols import RawStack, Space, Stacks
from sysdash.probes.symbols import files as files_module
from sysdash.probes.symbols import stacks as stacks_module
from sysdash.probes.symbols.elf import ElfFile
from sysdash.probes.symbols.reader import FileReader

CHAIN = ["nap", "middle", "outer"]
FLAGS = {
    "frame pointers": ("-O0", "-fno-omit-frame-pointer"),
    "no frame pointers": ("-O2", "-fomit-frame-pointer"),
    "static": ("-O2", "-static"),
    "static PIE": ("-O2", "-static-pie"),
    "fixed address": ("-O2", "-no-pie"),
    "large pages": ("-O2", "-Wl,-z,max-page-size=0x200000", "-Wl,-z,noseparate-code"),
}


@pytest.fixture(scope="module")
def stacks() -> Iterator[Stacks]:
    opened = Stacks()
    assert opened.without == ""
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def nap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("symbols_nap.c", tmp_path_factory.mktemp("nap") / "nap", "-O2")


def _noted(stacks: Stacks, pid: int, number: int = 1) -> Space:
    """Note a process and wait until its mappings are read."""
    space = stacks.note(pid, number)
    assert space.settled.wait(20)
    return space


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _chain(frames: tuple[str, ...]) -> list[str]:
    """Functions of the program, without those of libc around them."""
    return [name for name in functions(frames) if name in {*CHAIN, "main", "handler", "run"}]


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_chain(stacks: Stacks, tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = build("symbols_nap.c", tmp_path / "prog", *flags)
    before = stacks.counters["truncated"]
    with started(program, "60000") as pid:
        frames = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    assert _chain(frames) == [*CHAIN, "main"]
    # libc's wrapper keeps no frame pointer, and its caller is there all the same.
    assert "nanosleep" in functions(frames)[0]
    called = functions(frames).index("nap")
    assert frames[called].startswith("prog`nap+0x")
    assert frames[-1].startswith("prog`_start+0x")
    assert stacks.counters["truncated"] == before


def test_offsets_are_those_of_the_program(stacks: Stacks, tmp_path: Path) -> None:
    """A stripped program shows where in the file; binutils then finds the function."""
    whole = build("symbols_nap.c", tmp_path / "whole", "-O2", "-g")
    stripped = tmp_path / "prog"
    subprocess.run(["strip", "-o", stripped, whole], check=True)
    with started(stripped, "60000") as pid:
        frames = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    mine = [frame for frame in frames if frame.startswith("prog")]
    assert all(re.fullmatch(r"prog\+0x[0-9a-f]+", frame) for frame in mine)
    # The call is before the return address.
    places = [hex(int(frame.partition("+")[2], 16) - 1) for frame in mine]
    said = subprocess.run(
        ["addr2line", "-f", "-e", whole, *places], check=True, capture_output=True, text=True
    ).stdout.splitlines()[::2]
    assert said == [*CHAIN, "main", "_start"]


def test_offsets_are_from_the_start_of_the_function(stacks: Stacks, nap: Path) -> None:
    with started(nap, "60000") as pid:
        frames = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    listing = subprocess.run(["nm", nap], check=True, capture_output=True, text=True).stdout
    starts = {
        line.split()[-1]: int(line.split()[0], 16)
        for line in listing.splitlines()
        if line[0] != " "
    }
    assembly = subprocess.run(
        ["objdump", "-d", nap], check=True, capture_output=True, text=True
    ).stdout
    for frame in frames:
        module, _, rest = frame.partition("`")
        name, _, offset = rest.rpartition("+")
        if module == "nap" and name in CHAIN:
            # The instruction before the address shown is a call.
            shown = f"{starts[name] + int(offset, 16):x}:"
            lines = assembly.splitlines()
            at = next(index for index, line in enumerate(lines) if line.strip().startswith(shown))
            assert "call" in lines[at - 1]


def test_signal_handler(stacks: Stacks, nap: Path) -> None:
    """The handler's caller is what the signal interrupted, with all its callers."""
    with started(nap, "60000", "signal") as pid:
        frames = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    assert _chain(frames) == [*CHAIN, "handler", "main"]
    names = functions(frames)
    assert names.index("handler") < names.index("raise") < names.index("interrupted")


def test_thread(stacks: Stacks, nap: Path) -> None:
    before = stacks.counters["truncated"]
    with started(nap, "60000", "thread") as pid:
        tid = wait_until_blocked(pid)
        assert tid != pid
        frames = stacks.frames(stacks.note(pid, 1), raw_stack(tid))
    assert _chain(frames) == [*CHAIN, "run"]
    assert stacks.counters["truncated"] == before


def test_function_that_aligns_the_stack(stacks: Stacks, tmp_path: Path) -> None:
    """Its frame is described by an expression."""
    program = build("symbols_nap.c", tmp_path / "nap", "-O2", "-mforce-drap")
    elf = ElfFile(FileReader(os.open(program, os.O_RDONLY)))
    with started(program, "60000", "aligned") as pid:
        frames = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    listing = subprocess.run(
        ["nm", program], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    (start,) = (int(line.split()[0], 16) for line in listing if line.endswith(" aligned"))
    offset = next(int(frame.rpartition("+")[2], 16) for frame in frames if "`aligned+" in frame)
    rule = elf.frames().rule(start + offset - 1)
    assert rule is not None
    assert rule.indirect
    names = functions(frames)
    at = names.index("nap")
    assert names[at : at + 5] == [*CHAIN, "aligned", "main"]
    assert frames[-1].startswith("nap`_start+")


def test_the_first_thread_has_ended(stacks: Stacks, nap: Path) -> None:
    with started(nap, "60000", "orphan") as pid:
        tid = wait_until_blocked(pid)
        frames = stacks.frames(stacks.note(pid, 1), raw_stack(tid))
    assert _chain(frames) == CHAIN
    assert "orphan" in functions(frames)


def test_the_kernels_frames_follow_where_the_copy_ends(stacks: Stacks, tmp_path: Path) -> None:
    flags = FLAGS["frame pointers"]
    program = build("symbols_nap.c", tmp_path / "prog", *flags)
    before = stacks.counters["truncated"]
    with started(program, "60000", "deep") as pid:
        space = stacks.note(pid, 1)
        raw = raw_stack(pid)
        frames = stacks.frames(space, raw, 100)
        few = stacks.frames(space, raw, 10)
        alone = stacks.frames(space, RawStack(raw.ip, raw.sp, raw.bp, (), raw.memory), 100)
    assert functions(frames)[1:5] == [*CHAIN, "deeper"]
    # Both know the part that is in the copy; there is no frame doubled or lost at the seam.
    assert frames[: len(alone) - 1] == alone[:-1]
    assert len(alone) < 60 < len(frames) == 100
    assert len(set(frames[5:])) == 1
    assert few == frames[:10]
    assert stacks.counters["truncated"] == before + 3


def test_without_any_stack(stacks: Stacks, nap: Path) -> None:
    with started(nap, "60000") as pid:
        raw = raw_stack(pid)
        bare = RawStack(raw.ip, raw.sp, raw.bp, (), b"")
        frames = stacks.frames(stacks.note(pid, 1), bare)
    assert len(frames) == 1
    assert "nanosleep" in frames[0]


def test_names_of_cplusplus(stacks: Stacks, tmp_path: Path) -> None:
    program = build("symbols_templates.cc", tmp_path / "prog", "-O2", "-std=c++17")
    with started(program) as pid:
        frames = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    names = functions(frames)
    called = next(name for name in names if name.startswith("deep::within::Holder<std::"))
    assert len(called) <= 160
    assert names[names.index(called) + 1 : names.index(called) + 3] == ["hostile_name", "main"]


def test_hostile_names(stacks: Stacks, tmp_path: Path) -> None:
    """Of a symbol, and of the program's file."""
    program = build("symbols_templates.cc", tmp_path / "prog", "-O2", "-std=c++17")
    content = program.read_bytes().replace(b"hostile_name", b"bad\x1b[2Jname!")
    bad = tmp_path / "a\x1b[2J\nb"
    bad.write_bytes(content)
    bad.chmod(0o755)
    with started(bad) as pid:
        frames = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    assert all("".join(frame.split("\n")).isprintable() for frame in frames)
    assert all("\n" not in frame for frame in frames)
    assert any(frame.startswith("a␛[2J␊b`bad␛[2Jname!+0x") for frame in frames)


def test_ended_after_it_was_noted(stacks: Stacks, tmp_path: Path) -> None:
    """Also where its program's file is gone by then, which nobody had opened before."""
    program = build("symbols_nap.c", tmp_path / "prog", "-O2")
    with started(program, "60000") as pid:
        space = _noted(stacks, pid)
        raw = raw_stack(pid)
    program.unlink()
    assert _chain(stacks.frames(space, raw)) == [*CHAIN, "main"]


def test_ended_before_it_was_noted(stacks: Stacks, nap: Path) -> None:
    with started(nap, "60000") as pid:
        raw = raw_stack(pid)
    assert not Path(f"/proc/{pid}").exists()
    before = stacks.counters
    assert _chain(stacks.frames(stacks.note(pid, 1), raw)) == [*CHAIN, "main"]
    assert stacks.counters == before


def test_forked_and_ended_before_it_was_noted(stacks: Stacks, nap: Path) -> None:
    """A child that executes nothing has the mappings of its parent, which has ended too."""
    with started(nap, "60000", "fork") as pid:
        raw = raw_stack(pid)
        os.kill(pid, 9)
        end = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
    assert _chain(stacks.frames(stacks.note(pid, 1), raw)) == [*CHAIN, "main"]


def test_ended_before_the_stream_began(nap: Path) -> None:
    """Nothing is known of it but numbers."""
    with started(nap, "60000") as pid:
        raw = raw_stack(pid)
    late = Stacks()
    try:
        frames = late.frames(late.note(pid, 1), raw)
        assert frames[0] == f"{raw.ip:#x}"
        assert late.counters["unmapped"] == 1
    finally:
        late.close()


def test_another_program_since_the_call(stacks: Stacks, nap: Path) -> None:
    """It executed itself again, to other addresses, before anyone looked."""
    with started(nap, "300", "exec") as pid:
        raw = raw_stack(pid)
        before = Path(f"/proc/{pid}/maps").read_text()
        end = time.monotonic() + 20
        while Path(f"/proc/{pid}/cmdline").read_bytes().count(b"\0") != 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        wait_until_blocked(pid)
        assert Path(f"/proc/{pid}/maps").read_text() != before
        old = stacks.frames(stacks.note(pid, 1), raw)
        new = stacks.frames(stacks.note(pid, 2), raw_stack(pid))
    assert _chain(old) == _chain(new) == [*CHAIN, "main"]


def test_library_loaded_later(stacks: Stacks, tmp_path: Path) -> None:
    library = build(
        "symbols_plugin.c", tmp_path / "plugin.so", "-DPLUGIN", "-shared", "-fPIC", "-O2"
    )
    program = build("symbols_plugin.c", tmp_path / "prog", "-O2")
    with subprocess.Popen(
        [program, library], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            space = _noted(stacks, pid)
            process.stdin.write("go\n")
            process.stdin.flush()
            wait_until_blocked(pid)
            raw = raw_stack(pid)
            # At most once a second.
            time.sleep(1.1)
            frames = stacks.frames(space, raw)
        finally:
            process.kill()
    assert any(frame.startswith("plugin.so`plugged+0x") for frame in frames)
    assert "main" in functions(frames)


def test_deleted_program(stacks: Stacks, tmp_path: Path) -> None:
    """Also where another file has its name by then."""
    program = build("symbols_nap.c", tmp_path / "prog", "-O2")
    with started(program, "60000") as pid:
        program.unlink()
        shutil.copy("/bin/true", program)
        frames = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    assert _chain(frames) == [*CHAIN, "main"]
    assert any(frame.startswith("prog`nap+0x") for frame in frames)


def test_changed_program(stacks: Stacks, tmp_path: Path) -> None:
    """The same file with another content is not the one that was parsed before."""
    program = tmp_path / "prog"
    other = build("symbols_templates.cc", tmp_path / "other", "-O2", "-std=c++17")
    build("symbols_nap.c", program, "-O2")
    with started(program, "60000") as pid:
        first = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    inode = program.stat().st_ino
    program.write_bytes(other.read_bytes())
    assert program.stat().st_ino == inode
    with started(program) as pid:
        second = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    assert "nap" in functions(first)
    assert "hostile_name" in functions(second)


@pytest.mark.parametrize("look", ["while it runs", "afterwards"])
def test_other_mount_namespace(stacks: Stacks, nap: Path, tmp_path: Path, look: str) -> None:
    """The program lies where this namespace has another one."""
    place = tmp_path / "there"
    place.mkdir()
    shutil.copy("/bin/true", place / "inner")
    script = f"mount -t tmpfs none {place} && cp {nap} {place}/inner && exec {place}/inner 60000"
    with started("unshare", "-m", "sh", "-c", script) as pid:
        space = _noted(stacks, pid)
        raw = raw_stack(pid)
        early = stacks.frames(space, raw) if look == "while it runs" else ()
    frames = early or stacks.frames(space, raw)
    assert _chain(frames) == [*CHAIN, "main"]
    assert any(frame.startswith("inner`nap+0x") for frame in frames)


def test_other_mount_namespace_and_ended_before_it_was_noted(
    stacks: Stacks, nap: Path, tmp_path: Path
) -> None:
    """The file is then found by way of the parent, which sees the same files."""
    place = tmp_path / "there"
    place.mkdir()
    script = (
        f"mount -t tmpfs none {place} && cp {nap} {place}/inner && {place}/inner 60000;"
        "echo ended; sleep 60"
    )
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True
    ) as shell:
        try:
            assert shell.stdout is not None
            pid = int(shell.stdout.readline())
            wait_until_blocked(pid)
            raw = raw_stack(pid)
            os.kill(pid, 9)
            assert shell.stdout.readline() == "ended\n"
            frames = stacks.frames(stacks.note(pid, 1), raw)
        finally:
            for child in Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split():
                os.kill(int(child), 9)
            shell.kill()
    assert _chain(frames) == [*CHAIN, "main"]


def _jitted(process: subprocess.Popen[str]) -> tuple[int, int]:
    """The PID that the program says, and where its code is."""
    assert process.stdout is not None
    return int(process.stdout.readline()), int(process.stdout.readline(), 16)


def test_just_in_time_code(stacks: Stacks, nap: Path) -> None:
    with subprocess.Popen([nap, "60000", "jit"], stdout=subprocess.PIPE, text=True) as process:
        pid, page = _jitted(process)
        written = Path(f"/tmp/perf-{pid}.map")
        try:
            wait_until_blocked(pid)
            space, raw = stacks.note(pid, 1), raw_stack(pid)
            without = stacks.frames(space, raw)
            written.write_text(f"{page - 4096:x} 20 before\nnonsense\n{page:x} zz bad\n")
            time.sleep(1.1)
            unknown = stacks.frames(space, raw)
            with written.open("a") as file:
                file.write(
                    f"{page:x} 40 older\n0x{page:x} 0x10 LazyCompile:~made /a b.js:3\n{page:x}"
                )
            time.sleep(1.1)
            frames = stacks.frames(space, raw)
        finally:
            process.kill()
            written.unlink(missing_ok=True)
    names = functions(frames)
    at = frames.index("[jit]`LazyCompile:~made /a b.js:3+0x6")
    # Frame pointers lead through it: to it from code with tables, and from it to such code.
    assert names[at - 1] == "outer_of_one"
    assert names[at + 1] == "jitted"
    assert without[at] == unknown[at] == f"[unknown]+{page + 6:#x}"


def test_just_in_time_code_in_a_pid_namespace(stacks: Stacks, nap: Path, tmp_path: Path) -> None:
    """Its map has the number by which the process knows itself, in its own /tmp."""
    shutil.copy(nap, tmp_path / "nap")
    inner = f"mount --bind {tmp_path} /mnt; mount -t tmpfs none /tmp; exec /mnt/nap 60000 jit"
    with subprocess.Popen(
        ["unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c", inner],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            own, page = _jitted(process)
            assert own == 1
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            pid = int(children.split()[0])
            wait_until_blocked(pid)
            Path(f"/proc/{pid}/root/tmp/perf-1.map").write_text(f"{page:x} 10 within\n")
            frames = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
        finally:
            process.kill()
    assert "[jit]`within+0x6" in frames


@pytest.mark.parametrize("kind", ["fifo", "link", "someone else's"])
def test_maps_of_code_that_are_not_trusted(
    stacks: Stacks, nap: Path, tmp_path: Path, kind: str
) -> None:
    with subprocess.Popen([nap, "60000", "jit"], stdout=subprocess.PIPE, text=True) as process:
        pid, page = _jitted(process)
        written = Path(f"/tmp/perf-{pid}.map")
        line = f"{page:x} 10 lie\n"
        try:
            if kind == "fifo":
                os.mkfifo(written)
            elif kind == "link":
                (tmp_path / "lie").write_text(line)
                written.symlink_to(tmp_path / "lie")
            else:
                written.write_text(line)
                os.chown(written, 65534, 65534)
            wait_until_blocked(pid)
            began = time.monotonic()
            frames = stacks.frames(stacks.note(pid, 1), raw_stack(pid))
            assert time.monotonic() - began < 5
        finally:
            process.kill()
            written.unlink(missing_ok=True)
    assert f"[unknown]+{page + 6:#x}" in frames


def test_32_bit(stacks: Stacks, tmp_path: Path) -> None:
    flags = ("-m32", "-nostdlib", "-static", "-ffreestanding", "-no-pie", "-O1")
    program = build("symbols_ia32.c", tmp_path / "prog", *flags, "-fno-omit-frame-pointer")
    listing = subprocess.run(["nm", program], check=True, capture_output=True, text=True).stdout
    starts = {line.split()[2]: int(line.split()[0], 16) for line in listing.splitlines()}
    with subprocess.Popen([program]) as process:
        try:
            wait_until_blocked(process.pid)
            raw = raw_stack(process.pid, frame_pointers=False)
            frames = stacks.frames(stacks.note(process.pid, 1), raw)
            kernels = (raw.ip, starts["nap32"] + 5, starts["_start"] + 7)
            told = RawStack(raw.ip, raw.sp, raw.bp, kernels, b"")
            by_kernel = stacks.frames(stacks.note(process.pid, 1), told)
        finally:
            process.kill()
    names = functions(frames)
    assert names[-2:] == ["outer32", "_start"]
    assert by_kernel[1:] == ("prog`nap32+0x5", "prog`_start+0x7")


def test_vdso(stacks: Stacks) -> None:
    """A signal while it reads the clock is a frame in the kernel's code for that."""
    maps = Path("/proc/self/maps").read_text()
    line = next(line for line in maps.splitlines() if line.endswith("[vdso]"))
    start, end = (int(part, 16) for part in line.split()[0].split("-"))
    symbols = ELFFile(io.BytesIO(ctypes.string_at(start, end - start))).get_section_by_name(
        ".dynsym"
    )
    assert isinstance(symbols, SymbolTableSection)
    (clock,) = symbols.get_symbol_by_name("__vdso_clock_gettime") or []
    raw = RawStack(start + clock["st_value"] + 5, 0, 0, (), b"")
    shown = stacks.frames(stacks.note(os.getpid(), 7), raw)
    assert shown in {("[vdso]`clock_gettime+0x5",), ("[vdso]`__vdso_clock_gettime+0x5",)}


def test_nonsense_is_shown_as_numbers(stacks: Stacks) -> None:
    space = stacks.note(os.getpid(), 8)
    assert stacks.frames(space, RawStack(0x1234, 0, 0, (0x1234, 0x10), b"")) == ("0x1234",)
    huge = RawStack(2**64 - 1, 2**64 - 8, 2**64 - 1, (2**64 - 1,), b"\xff" * 4096)
    assert stacks.frames(space, huge) == ("0xffffffffffffffff",)


def test_no_such_process(stacks: Stacks) -> None:
    assert stacks.frames(stacks.note(0, 1), RawStack(0x55, 0, 0, (), b"")) == ("0x55",)
    assert stacks.frames(stacks.note(2**22 + 5, 1), RawStack(0x55, 0, 0, (), b"")) == ("0x55",)


def test_several_threads(stacks: Stacks, nap: Path) -> None:
    """One reads while others show."""
    with started(nap, "60000") as pid, started(nap, "60000", "signal") as other:
        expected = [
            (stacks.note(process, 1), raw, stacks.frames(stacks.note(process, 1), raw))
            for process in (pid, other)
            for raw in (raw_stack(process),)
        ]

        def work() -> None:
            for count in range(30):
                for process in (pid, other):
                    stacks.note(process, 10 + count)
                stacks.relieve()
                for space, raw, frames in expected:
                    assert stacks.frames(space, raw) == frames

        at_once(4, work)


class _Stuck:
    """Processes whose mappings cannot be read until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *pids: int) -> None:
        self.release = threading.Event()
        self.asked: list[int] = []

        def maps(pid: int) -> bytes:
            if pid in pids:
                self.asked.append(pid)
                assert self.release.wait(60)
            return real(pid)

        real = stacks_module._maps
        monkeypatch.setattr(stacks_module, "_maps", maps)


def _settle(stacks: Stacks, *spaces: Space) -> None:
    """Go on as the collector does, until nothing is waited for."""
    end = time.monotonic() + 30
    while not all(space.settled.is_set() for space in spaces):
        assert time.monotonic() < end
        stacks.relieve()
        time.sleep(0.01)


def test_a_process_that_is_stuck(nap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever notes it does not wait, others are read, and it is counted."""
    stacks = Stacks()
    try:
        with started(nap, "60000") as pid, started(nap, "60000") as other:
            stuck = _Stuck(monkeypatch, pid)
            raw = raw_stack(pid)
            began = time.monotonic()
            space, second = stacks.note(pid, 1), stacks.note(other, 1)
            stacks.relieve()
            assert time.monotonic() - began < 0.5
            assert not space.settled.is_set()
            _settle(stacks, space, second)
            assert space.known is False
            assert second.known is True
            assert stacks.counters["unmapped"] == 1
            assert _chain(stacks.frames(second, raw_stack(other))) == [*CHAIN, "main"]
            began = time.monotonic()
            assert stacks.frames(space, raw)[0] == f"{raw.ip:#x}"
            time.sleep(1.1)
            assert stacks.frames(space, raw)[0] == f"{raw.ip:#x}"
            assert time.monotonic() - began < 5
            # It is not asked for again while the first one that did is stuck.
            assert stuck.asked == [pid]
            assert stacks.counters["unmapped"] == 1
            stuck.release.set()
            end = time.monotonic() + 20
            while len(space.images[0]) == 0:
                assert time.monotonic() < end
                time.sleep(0.01)
            time.sleep(1.1)
            assert _chain(stacks.frames(space, raw)) == [*CHAIN, "main"]
    finally:
        stacks.close()


def test_many_processes_that_are_stuck(nap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is an end to threads that are left; when they come back it goes on."""
    before = set(threading.enumerate())
    stuck = _Stuck(monkeypatch, *range(-20, 0))
    monkeypatch.setattr("sysdash.probes.symbols.worker._PATIENCE_S", 0.1)
    stacks = Stacks()
    try:
        with started(nap, "60000") as pid:
            spaces = [stacks.note(-number, 1) for number in range(1, 20)]
            _settle(stacks, *spaces)
            assert [space.known for space in spaces] == [False] * 19
            assert stacks.counters["unmapped"] == 19
            assert len(stuck.asked) == 4
            assert len(set(threading.enumerate()) - before) == 4
            assert stacks.note(pid, 1).known is False
            assert stacks.counters["unread"] == 1
            stuck.release.set()
            end = time.monotonic() + 20
            while not stacks.note(pid, 1).known:
                assert time.monotonic() < end
                time.sleep(0.01)
    finally:
        stacks.close()
    end = time.monotonic() + 20
    while set(threading.enumerate()) - before:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_file_that_cannot_be_reached(nap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a server that is gone: neither who notes nor who ends waits for it."""
    release = threading.Event()

    def open_regular(*_: object) -> None:
        assert release.wait(60)

    monkeypatch.setattr(files_module, "open_regular", open_regular)
    stacks = Stacks()
    try:
        with started(nap, "60000") as pid:
            began = time.monotonic()
            space = stacks.note(pid, 1)
            stacks.relieve()
            assert time.monotonic() - began < 0.5
            _settle(stacks, space)
            assert space.known is True
            began = time.monotonic()
            stacks.close()
            assert time.monotonic() - began < 5
    finally:
        release.set()
        stacks.close()


def test_reading_takes_a_part_of_one_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it took is known afterwards, and those that come then pay for it."""
    real = stacks_module._maps

    def maps(pid: int) -> bytes:
        end = time.thread_time() + 0.6
        while time.thread_time() < end:
            pass
        return real(pid)

    monkeypatch.setattr(stacks_module, "_maps", maps)
    stacks = Stacks()
    try:
        assert _noted(stacks, os.getpid(), 1).known
        assert stacks.note(os.getpid(), 2).known is False
        assert stacks.counters["unread"] == 1
    finally:
        stacks.close()


def test_after_close(nap: Path) -> None:
    stacks = Stacks()
    with started(nap, "60000") as pid:
        space, raw = _noted(stacks, pid), raw_stack(pid)
        stacks.close()
        assert stacks.frames(space, raw) == ()
        assert stacks.frames(stacks.note(pid, 2), raw) == ()
        stacks.relieve()
        stacks.close()
    assert set(stacks.counters.values()) == {0}


def test_a_stack_that_takes_long(nap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing of it is there the next time."""
    monkeypatch.setattr(stacks_module, "_STACK_S", -1.0)
    stacks = Stacks()
    try:
        with started(nap, "60000") as pid:
            space, raw = stacks.note(pid, 1), raw_stack(pid)
            (first, *_) = stacks.frames(space, raw)
            assert "`" not in first
            monkeypatch.setattr(stacks_module, "_STACK_S", 60.0)
            time.sleep(1.1)
            assert _chain(stacks.frames(space, raw)) == [*CHAIN, "main"]
    finally:
        stacks.close()


def test_files_that_nobody_uses_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they lie can be unmounted then; they are found again while they are there."""
    program = build("symbols_nap.c", tmp_path / "prog", "-O2")

    def is_open() -> bool:
        files = (path for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
        return program in {path.readlink() for path in files}

    stacks = Stacks()
    try:
        with started(program, "60000") as pid:
            space, raw = _noted(stacks, pid), raw_stack(pid)
        assert _chain(stacks.frames(space, raw)) == [*CHAIN, "main"]
        stacks.relieve()
        assert is_open()
        monkeypatch.setattr(files_module, "UNUSED_S", 0.0)
        time.sleep(1.1)
        stacks.relieve()
        assert not is_open()
        space.names.clear()
        stacks._results.clear()
        assert _chain(stacks.frames(space, raw)) == [*CHAIN, "main"]
    finally:
        stacks.close()


def test_mappings_are_counted_as_they_change(nap: Path) -> None:
    """Also where they are read again, or another program's are added."""
    stacks = Stacks()
    try:
        with started(nap, "60000") as pid:
            space = _noted(stacks, pid)
            for _ in range(2):
                time.sleep(1.1)
                stacks.frames(space, RawStack(0x1234, 0, 0, (), b""))
            assert len(space.images) > 1
            assert stacks._mappings == sum(map(len, space.images)) > 0
            for number in range(2, 600):
                stacks._credit = 0.4
                _noted(stacks, pid, number)
            assert not space.remembered
            kept = stacks._spaces.values()
            assert stacks._mappings == sum(len(image) for one in kept for image in one.images)
    finally:
        stacks.close()


def test_memory_and_files_are_bounded(nap: Path) -> None:
    """However many processes and programs there are."""
    stacks = Stacks()
    try:
        with started(nap, "60000") as pid:
            raw = raw_stack(pid)
            for space in range(3000):
                stacks.note(pid, space)
            # More were asked for than are read in that time: they are told, and read when needed.
            assert stacks.counters["unread"] > 0
            assert len(stacks._spaces) <= 512
            time.sleep(1.1)
            frames = stacks.frames(stacks.note(pid, 5000), raw)
            assert _chain(frames) == [*CHAIN, "main"]
        descriptors = _descriptors()
        assert descriptors < resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
    finally:
        stacks.close()


def test_few_files_at_a_time(nap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was closed, or forgotten, is found and read again."""
    monkeypatch.setattr("sysdash.probes.symbols.files._MOST_OPEN", 2)
    monkeypatch.setattr("sysdash.probes.symbols.files._MOST_PARSED_BYTES", 0)
    other = build("symbols_nap.c", tmp_path / "other", "-O2", "-static")
    stacks = Stacks()
    try:
        with started(nap, "60000") as first, started(other, "60000") as second:
            for _ in range(3):
                for pid in (first, second):
                    space = stacks.note(pid, 1)
                    space.names.clear()
                    stacks._results.clear()
                    assert _chain(stacks.frames(space, raw_stack(pid))) == [*CHAIN, "main"]
                    assert len(stacks._files) <= 2
    finally:
        stacks.close()


def test_what_is_open_is_closed(nap: Path) -> None:
    before = _descriptors()
    stacks = Stacks()
    with started(nap, "60000") as pid:
        stacks.frames(stacks.note(pid, 1), raw_stack(pid))
    assert _descriptors() > before
    stacks.close()
    assert _descriptors() == before
