"""ELF files: their symbols agree with what binutils say, and no file does harm."""

from __future__ import annotations

import lzma
import os
import random
import re
import shutil
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from symbolising import build

from sysdash.probes.symbols.elf import ElfFile
from sysdash.probes.symbols.reader import BytesReader, FileReader, Stream, open_regular
from sysdash.probes.symbols.table import SYMBOL_64, Sections, SymbolTable, TablePlace

LIBC = next(
    Path(line.split()[-1])
    for line in Path("/proc/self/maps").read_text().splitlines()
    if line.endswith("/libc.so.6")
)


def _opened(path: Path, beside: str | None = None) -> ElfFile:
    reader = open_regular(str(path))
    assert reader is not None
    return ElfFile(reader, beside)


def _listed(path: Path, *options: str) -> dict[str, tuple[int, int]]:
    """Address and size of each function by its name and version, as nm has them."""
    text = subprocess.run(
        ["nm", "-S", *options, path], check=True, capture_output=True, text=True
    ).stdout
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and words[2] in "TtWwi":
            found[words[3]] = int(words[0], 16), int(words[1], 16)
    return found


@pytest.fixture(scope="module")
def nap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("symbols_nap.c", tmp_path_factory.mktemp("elf") / "nap", "-O2", "-g")


@pytest.fixture(scope="module")
def content(nap: Path) -> bytes:
    return nap.read_bytes()


def test_every_function_of_libc() -> None:
    elf = _opened(LIBC)
    listed = _listed(LIBC, "-D")
    assert len(listed) > 1000
    starts: dict[str, set[int]] = {}
    for name, (start, _) in listed.items():
        starts.setdefault(name.partition("@")[0], set()).add(start)
    for start, size in listed.values():
        for place in (start, start + size // 2, start + size - 1):
            found = elf.find(place)
            # Of functions within each other it is the inner one, which nm may not list.
            assert found is not None
            assert start <= found[1] <= place
            if found[1] == start:
                assert start in starts[found[0].decode()]


def test_the_name_that_people_use() -> None:
    """Not ``__read`` or ``__libc_read``, which are at the same place."""
    elf = _opened(LIBC)
    starts = {name.partition("@")[0]: place for name, (place, _) in _listed(LIBC, "-D").items()}
    for name in ("read", "write", "poll", "nanosleep", "ppoll", "connect"):
        assert elf.find(starts[name]) == (name.encode(), starts[name])


def test_beyond_the_end_of_a_function(tmp_path: Path, nap: Path) -> None:
    """A file with only some of its functions must not give others their names."""
    bare = tmp_path / "bare"
    subprocess.run(["strip", "-K", "middle", "-o", bare, nap], check=True)
    start, size = _listed(nap)["middle"]
    elf = _opened(bare)
    assert elf.find(start + size - 1) == (b"middle", start)
    assert elf.find(start + size) is None
    assert elf.find(start - 1) is None


def test_address_of_an_offset(tmp_path: Path) -> None:
    """Where code does not lie at the address that is its place in the file."""
    program = build("symbols_nap.c", tmp_path / "prog", "-O2", "-no-pie")
    dump = subprocess.run(
        ["readelf", "-lW", program], check=True, capture_output=True, text=True
    ).stdout
    loaded = re.search(r"LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+) 0x\w+ R E", dump)
    assert loaded is not None
    offset, address, size = (int(group, 16) for group in loaded.groups())
    elf = _opened(program)
    assert address != offset
    assert elf.address(offset) == address
    assert elf.address(offset + size - 1) == address + size - 1
    assert elf.address(1 << 40) is None


def test_symbols_in_a_separate_file_beside_it(tmp_path: Path, nap: Path) -> None:
    stripped, debug = tmp_path / "prog", tmp_path / ".debug" / "prog.debug"
    debug.parent.mkdir()
    subprocess.run(["objcopy", "--only-keep-debug", nap, debug], check=True)
    subprocess.run(["strip", "-o", stripped, nap], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", stripped], check=True)
    start = _listed(nap)["middle"][0]
    assert _opened(stripped).find(start) is None
    assert _opened(stripped, str(tmp_path)).find(start) == (b"middle", start)
    # Another program's symbols are none.
    other = build("symbols_plugin.c", tmp_path / "other", "-O2")
    shutil.copy(other, debug)
    assert _opened(stripped, str(tmp_path)).find(start) is None


@pytest.mark.parametrize("damaged", [False, True])
def test_separate_file_without_build_id(tmp_path: Path, damaged: bool) -> None:
    """Then the checksum of the file is what tells."""
    nap = build("symbols_nap.c", tmp_path / "whole", "-O2", "-Wl,--build-id=none")
    stripped, debug = tmp_path / "prog", tmp_path / "prog.debug"
    subprocess.run(["objcopy", "--only-keep-debug", nap, debug], check=True)
    subprocess.run(["strip", "-o", stripped, nap], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", stripped], check=True)
    if damaged:
        debug.write_bytes(debug.read_bytes() + b"x")
    start = _listed(nap)["middle"][0]
    found = _opened(stripped, str(tmp_path)).find(start)
    assert found == (None if damaged else (b"middle", start))


def test_symbols_packed_within(tmp_path: Path, nap: Path) -> None:
    """MiniDebugInfo, as Fedora's programs have it."""
    stripped, packed = tmp_path / "prog", tmp_path / "mini"
    subprocess.run(["objcopy", "-S", "--keep-symbol=middle", nap, packed], check=True)
    packed.write_bytes(lzma.compress(packed.read_bytes()))
    subprocess.run(["strip", "-o", stripped, nap], check=True)
    section = f".gnu_debugdata={packed}"
    subprocess.run(["objcopy", "--add-section", section, stripped], check=True)
    start = _listed(nap)["middle"][0]
    elf = _opened(stripped)
    assert elf.find(start) == (b"middle", start)
    # What was unpacked is in memory, too.
    assert elf.nbytes > len(lzma.decompress(packed.read_bytes()))


def test_packed_symbols_that_would_fill_memory(tmp_path: Path, nap: Path) -> None:
    stripped, packed = tmp_path / "prog", tmp_path / "mini"
    zeros = lzma.compress(bytes(300 << 20), preset=0)
    packed.write_bytes(zeros)
    subprocess.run(["strip", "-o", stripped, nap], check=True)
    section = f".gnu_debugdata={packed}"
    subprocess.run(["objcopy", "--add-section", section, stripped], check=True)
    began = time.thread_time()
    assert _opened(stripped).find(_listed(nap)["middle"][0]) is None
    assert time.thread_time() - began < 10


def test_without_sections(tmp_path: Path, nap: Path) -> None:
    """Only what is loaded is left; its frames can be unwound all the same."""
    content = bytearray(nap.read_bytes())
    content[0x28:0x30] = bytes(8)  # e_shoff
    content[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    path = tmp_path / "prog"
    path.write_bytes(content)
    start = _listed(nap)["middle"][0]
    elf = _opened(path)
    assert elf.find(start) is None
    assert elf.frames().rule(start) is not None


def test_frames_without_the_table_of_their_places(nap: Path) -> None:
    """Some static programs have none; the entries are then walked once."""
    content = bytearray(nap.read_bytes())
    for index in range(struct.unpack_from("<H", content, 0x38)[0]):
        if struct.unpack_from("<I", content, 64 + 56 * index)[0] == 0x6474E550:
            struct.pack_into("<I", content, 64 + 56 * index, 0)
    with_table = ElfFile(BytesReader(nap.read_bytes())).frames()
    without = ElfFile(BytesReader(bytes(content))).frames()
    assert len(without) == len(with_table) > 10
    for start, size in _listed(nap).values():
        for place in (start, start + size // 2, start + size - 1):
            assert without.rule(place) == with_table.rule(place)


def _table(symbols: np.ndarray[tuple[int], np.dtype[np.void]], names: bytes) -> SymbolTable:
    content = symbols.tobytes()
    sections = Sections(np.array([False, True, False]), np.array([0, 2**62, 0], np.uint64))
    place = TablePlace(0, len(content), len(content), len(names), wide=True, complete=True)
    return SymbolTable(BytesReader(content + names), place, sections)


def _symbols(*rows: tuple[int, int, int, int]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """name, info, address, size"""
    made = np.zeros(len(rows), SYMBOL_64)
    for index, (name, info, address, size) in enumerate(rows):
        made[index] = (name, info, 0, 1, address, size)
    return made


GLOBAL_FUNCTION, LOCAL_FUNCTION, WEAK_FUNCTION, IFUNC = 0x12, 0x02, 0x22, 0x1A
GLOBAL_LABEL, LOCAL_LABEL, OBJECT = 0x10, 0x00, 0x11


def test_best_of_several_names() -> None:
    names = b"\0__read\0read\0local\0label\0"
    table = _table(
        _symbols(
            (1, GLOBAL_FUNCTION, 100, 10),
            (8, WEAK_FUNCTION, 100, 10),
            (13, LOCAL_FUNCTION, 100, 10),
            (19, GLOBAL_LABEL, 100, 0),
        ),
        names,
    )
    assert table.find(105) == (b"read", 100)


def test_innermost_of_functions_within_each_other() -> None:
    names = b"\0outer\0inner\0last\0"
    table = _table(
        _symbols(
            (1, GLOBAL_FUNCTION, 100, 100),
            (7, LOCAL_FUNCTION, 150, 10),
            (13, IFUNC, 250, 10),
        ),
        names,
    )
    assert table.find(149) == (b"outer", 100)
    assert table.find(150) == table.find(159) == (b"inner", 150)
    assert table.find(160) == table.find(199) == (b"outer", 100)
    assert table.find(200) is None
    assert table.find(255) == (b"last", 250)
    assert table.find(99) is None


def test_without_size_it_goes_to_the_next() -> None:
    names = b"\0start\0next\0data\0in\0"
    table = _table(
        _symbols(
            (1, GLOBAL_LABEL, 100, 0),
            (7, GLOBAL_FUNCTION, 200, 10),
            (12, OBJECT, 120, 8),
            (17, LOCAL_LABEL, 150, 0),
        ),
        names,
    )
    assert table.find(199) == (b"start", 100)
    assert table.find(200) == (b"next", 200)


def test_half_a_million_symbols() -> None:
    number = 500_000
    symbols = np.zeros(number, SYMBOL_64)
    symbols["name"] = 1 + 9 * np.arange(number)
    symbols["info"] = GLOBAL_FUNCTION
    symbols["section"] = 1
    symbols["value"] = np.random.default_rng(1).permutation(np.arange(number) + 1) * 64
    symbols["size"] = 60
    names = b"\0" + b"".join(b"f%07d\0" % index for index in range(number))
    began = time.perf_counter()
    table = _table(symbols, names)
    took = time.perf_counter() - began
    assert len(table) == number
    for index in (0, 17, number - 1):
        start = int(symbols["value"][index])
        assert table.find(start + 59) == (b"f%07d" % index, start)
        assert table.find(start + 60) is None
    assert took < 1.0


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 200),
            st.sampled_from([GLOBAL_FUNCTION, LOCAL_FUNCTION, GLOBAL_LABEL, OBJECT, 0xFF]),
            st.integers(0, 1000) | st.sampled_from([2**63, 2**64 - 1]),
            st.integers(0, 50) | st.sampled_from([2**63, 2**64 - 1]),
        ),
        max_size=40,
    ),
    st.integers(0, 1100) | st.sampled_from([2**63, 2**64 - 1]),
)
def test_any_table(rows: list[tuple[int, int, int, int]], address: int) -> None:
    """What is found has the address in it, and is the function that starts last of those."""
    names = b"\0" + bytes(range(33, 126)) + b"\0tail\0"
    found = _table(_symbols(*rows), names).find(address)
    functions = [
        (start, min(start + size, 2**64 - 1))
        for name, info, start, size in rows
        if info in (GLOBAL_FUNCTION, LOCAL_FUNCTION) and size and start and 0 < name < len(names)
    ]
    holding = [start for start, end in functions if start <= address < end]
    if holding:
        assert found is not None
        assert found[1] >= max(holding)
    elif found is not None:
        assert found[1] <= address


# --- Files that do harm ---


def _use(content: bytes, places: list[int]) -> None:
    """Everything that is ever done with a file."""
    try:
        elf = ElfFile(BytesReader(content), "/nonexistent")
    except ValueError:
        return
    for place in places:
        elf.find(place)
        elf.address(place)
        elf.frames().rule(place)
    assert elf.nbytes >= 0


@pytest.fixture(scope="module")
def places(nap: Path) -> list[int]:
    return [start + 1 for start, _ in _listed(nap).values()] + [0, 2**63, 2**64 - 1]


def test_truncated_anywhere(content: bytes, places: list[int]) -> None:
    header = struct.unpack_from("<QQ", content, 0x20)
    edges = {0, 1, 4, 16, 63, 64, 65, *header, len(content) - 1, len(content)}
    around = {edge + change for edge in edges for change in (-1, 0, 1)}
    some = random.Random(7).sample(range(len(content)), 120)
    began = time.monotonic()
    for size in sorted({*around, *some}):
        _use(content[: max(size, 0)], places[:5])
    assert time.monotonic() - began < 60


@settings(max_examples=150, deadline=5000, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_bytes_changed_anywhere(content: bytes, places: list[int], data: st.DataObject) -> None:
    """Most of all in what is parsed: headers, tables of sections, of frames."""
    changed = bytearray(content)
    sections = struct.unpack_from("<Q", content, 0x28)[0]
    regions = [(0, 64), (64, 800), (0, len(content)), (sections, len(content))]
    regions.append((content.find(b"\x01\x1b\x03\x3b"), content.find(b"\x01\x1b\x03\x3b") + 1500))
    for _ in range(data.draw(st.integers(1, 12))):
        low, high = data.draw(st.sampled_from(regions))
        place = data.draw(st.integers(low, min(high, len(content)) - 1))
        changed[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    _use(bytes(changed), data.draw(st.permutations(places))[:6])


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_anything_after_the_magic_number(tail: bytes) -> None:
    _use(b"\x7fELF\x02\x01\x01" + tail, [0, 100])


def test_sizes_that_cannot_be(tmp_path: Path, content: bytes, places: list[int]) -> None:
    """A file of a terabyte without content, in which every size is as large as the file."""
    huge = bytearray(content)
    number = struct.unpack_from("<H", content, 0x3C)[0]
    sections = struct.unpack_from("<Q", content, 0x28)[0]
    for index in range(number):
        struct.pack_into("<Q", huge, sections + 64 * index + 0x20, 1 << 40)
    programs = struct.unpack_from("<H", content, 0x38)[0]
    for index in range(programs):
        struct.pack_into("<Q", huge, 64 + 56 * index + 0x20, 1 << 40)
    path = tmp_path / "huge"
    path.write_bytes(huge)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    reader = open_regular(str(path))
    assert reader is not None
    began = time.thread_time()
    elf = ElfFile(reader, str(tmp_path))
    for place in places[:4]:
        elf.find(place)
        elf.frames().rule(place)
    assert elf.nbytes < 128 << 20
    assert time.thread_time() - began < 20


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/bin/true")
    assert open_regular(str(tmp_path / "fifo")) is None
    assert open_regular("/dev/zero") is None
    assert open_regular(str(tmp_path)) is None
    assert open_regular(str(tmp_path / "none")) is None
    assert open_regular(b"/a\0b") is None
    assert open_regular(str(tmp_path / "link"), follow=False) is None
    assert open_regular(str(tmp_path / "link")) is not None


def test_a_file_cut_short_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)
    reader = open_regular(str(path))
    assert isinstance(reader, FileReader)
    path.write_bytes(b"xy")
    assert reader.read(0, 5000) == b"xy"
    assert reader.read(4000, 10) == b""
    assert reader.read(-5, 10) == b""


def test_streams_read_no_gigabytes() -> None:
    with Stream(BytesReader(b"abcdef")) as stream:
        assert stream.read(2) == b"ab"
        assert stream.seek(-1, 2) == 5
        assert stream.read(10) == b"f"
        with pytest.raises(ValueError, match="at once"):
            stream.read(1 << 30)
        with pytest.raises(ValueError, match="at once"):
            stream.read()
        with pytest.raises(ValueError, match="before"):
            stream.seek(-9)
