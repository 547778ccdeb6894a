"""Call frame information agrees with what binutils read, and odd stacks end in time."""

from __future__ import annotations

import re
import struct
import subprocess
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symbolising import build, functions, raw_stack, started, wait_until_blocked

from sysdash.probes.symbols import Stacks
from sysdash.probes.symbols.cfi import FrameTable
from sysdash.probes.symbols.elf import ElfFile
from sysdash.probes.symbols.reader import BytesReader, open_regular
from sysdash.probes.symbols.rules import RBP, RETURN_ADDRESS, RSP, Rule
from sysdash.probes.symbols.unwind import Calls, RawStack, by_frame_pointers, unwind

LIBC = next(
    Path(line.split()[-1])
    for line in Path("/proc/self/maps").read_text().splitlines()
    if line.endswith("/libc.so.6")
)

# readelf's names of registers, by DWARF's numbers.
REGISTERS = {
    "rax": 0, "rdx": 1, "rcx": 2, "rbx": 3, "rsi": 4, "rdi": 5, "rbp": 6, "rsp": 7,
    **{f"r{number}": number for number in range(8, 16)}, "ra": 16,
}  # fmt: skip


def _elf(path: Path) -> ElfFile:
    reader = open_regular(str(path))
    assert reader is not None
    return ElfFile(reader)


def _interpreted(path: Path) -> list[tuple[int, int, list[tuple[int, str, dict[int, str]]]]]:
    """What readelf says: of each entry start, end and rows (address, CFA, registers)."""
    text = subprocess.run(
        ["readelf", "--debug-dump=frames-interp", path],
        check=False,  # it also complains of separate files that it does not find
        capture_output=True,
        text=True,
    ).stdout
    entries: list[tuple[int, int, list[tuple[int, str, dict[int, str]]]]] = []
    columns: list[str] = []
    for line in text.splitlines():
        if found := re.search(r" FDE .*pc=(\w+)\.\.(\w+)", line):
            entries.append((int(found[1], 16), int(found[2], 16), []))
        elif " CIE " in line:
            entries.append((0, 0, []))
        elif line.lstrip().startswith("LOC"):
            columns = line.split()[2:]
        elif entries and re.match(r"^[0-9a-f]{16} ", line):
            address, cfa, *rules = re.sub(r" \(\w+\)", "", line).split()
            named = {REGISTERS[name]: rule for name, rule in zip(columns, rules, strict=True)}
            entries[-1][2].append((int(address, 16), cfa, named))
    return [entry for entry in entries if entry[1]]


def _said(rule: Rule) -> tuple[str, dict[int, str]]:
    """A rule as readelf writes it; only what is followed."""
    names = {number: name for name, number in REGISTERS.items()}
    cfa = (
        "exp"
        if rule.register is None or rule.indirect
        else f"{names[rule.register]}{rule.offset:+d}"
    )
    rules = {register: f"c{offset:+d}" for register, offset in rule.saved}
    return cfa, rules


@pytest.mark.parametrize("which", ["libc", "static", "C++"])
def test_rules_agree_with_readelf(which: str, tmp_path: Path) -> None:
    """Each row of each entry."""
    if which == "libc":
        path = LIBC
    elif which == "static":
        path = build("symbols_nap.c", tmp_path / "prog", "-O2", "-static")
    else:
        path = build("symbols_templates.cc", tmp_path / "prog", "-O2", "-std=c++17")
    frames = _elf(path).frames()
    entries = _interpreted(path)
    assert len(frames) == len(entries)
    compared = 0
    # Every seventh of a large file, so that all kinds are there and it takes little time.
    for start, end, rows in entries[:: 7 if len(entries) > 500 else 1]:
        for index, (address, cfa, registers) in enumerate(rows):
            following = rows[index + 1][0] if index + 1 < len(rows) else end
            if not start <= address < following <= end:
                continue  # rows of no length, which the next ones replace
            rule = frames.rule(address)
            assert rule is not None
            assert frames.rule(following - 1) == rule
            said, saved = _said(rule)
            assert said == cfa
            assert saved == {
                register: text for register, text in registers.items() if text.startswith("c")
            }
            assert rule.outermost == (registers.get(RETURN_ADDRESS) == "u")
            compared += 1
    assert compared > 50


def test_places_without_entry() -> None:
    frames = _elf(LIBC).frames()
    for address in (0, 1, 1 << 40, 2**63, 2**64 - 1, -5):
        assert frames.rule(address) is None


def test_signal_frame() -> None:
    """glibc's return from a handler is marked, and begins a byte early."""
    entries = _interpreted(LIBC)
    frames = _elf(LIBC).frames()
    signals = [rule for start, _, _ in entries if (rule := frames.rule(start)) and rule.signal]
    assert len(signals) == 1


def test_a_table_out_of_order() -> None:
    """Each start is found though the file says the table is sorted and it is not."""
    header = bytes((1, 0x1B, 3, 0x3B)) + struct.pack("<iI", 0, 2)
    header += struct.pack("<iiii", 0x400, 0x40, 0x200, 0x20)
    table = FrameTable(BytesReader(header), [(0, 0, len(header))], (0, 0, len(header)), None)
    assert len(table) == 2
    assert table.rule(0x250) is None


@given(st.binary(max_size=600), st.integers(0, 700))
@settings(max_examples=300, deadline=2000)
def test_any_entries(entries: bytes, address: int) -> None:
    """As entries, whatever they are, with a table that leads into them."""
    header = bytes((1, 0x1B, 3, 0x3B)) + struct.pack("<iI", 0, 8)
    header += b"".join(struct.pack("<ii", place * 80, 76 + place * 40) for place in range(8))
    content = header + entries
    frames = FrameTable(BytesReader(content), [(0, 0, len(content))], (0, 0, len(header)), None)
    assert frames.rule(address) is None or isinstance(frames.rule(address), Rule)


def _entry(instructions: bytes, factors: bytes = b"\x01\x78") -> FrameTable:
    """A table with one function from 0x1000 to 0x9000."""
    common = b"\0\0\0\0\x01zR\0" + factors + b"\x10\x01\x1b\x0c\x07\x08\x90\x01\0\0"
    common = struct.pack("<I", len(common)) + common
    at = 20 + len(common)
    body = struct.pack("<Iii", at + 4 - 20, 0x1000 - (at + 8), 0x8000) + b"\0" + instructions
    body += b"\0" * (-len(body) % 4)
    header = bytes((1, 0x1B, 3, 0x3B)) + struct.pack("<iIii", 0, 1, 0x1000, at)
    content = header + common + struct.pack("<I", len(body)) + body
    return FrameTable(BytesReader(content), [(0, 0, len(content))], (0, 0, 20), None)


def test_one_entry() -> None:
    advance, offset_16, save_rbp = b"\x41", b"\x0e\x10", b"\x86\x02"
    frames = _entry(advance + offset_16 + save_rbp)
    assert frames.rule(0x1000) == Rule(RSP, 8, ((RETURN_ADDRESS, -8),))
    assert frames.rule(0x1001) == Rule(RSP, 16, ((RBP, -16), (RETURN_ADDRESS, -8)))
    assert frames.rule(0x9000) is None


@pytest.mark.parametrize(
    "instructions",
    [b"\x0a" * 32000, b"\x41" * 32000, b"\x0a\x41\x0b" * 9000, b"\x05\xff\xff\x7f\x01" * 6000],
    ids=["states kept", "rows", "states kept and restored", "registers"],
)
def test_instructions_without_end(instructions: bytes) -> None:
    """Time and memory grow with the length of an entry and no faster."""
    began = time.thread_time()
    _entry(instructions).rule(0x1500)
    assert time.thread_time() - began < 5


def _leb128(length: int) -> bytes:
    """A number of that many bytes."""
    return b"\xff" * (length - 1) + b"\x7f"


@pytest.mark.parametrize("length", [2, 10, 11, 24, 30_000])
@pytest.mark.parametrize(
    "place", ["code factor", "data factor", "offset", "register", "signed", "expression"]
)
def test_numbers_without_end(length: int, place: str) -> None:
    """A number can be as long as its entry, and thousands of rules can be made with it."""
    number = _leb128(length)
    factors, instructions = b"\x01\x78", b""
    if place == "code factor":
        factors = number + b"\x78"
    elif place == "data factor":
        factors = b"\x01" + number
    else:
        parts = {
            "offset": b"\x0e" + number,
            "register": b"\x0c" + number + b"\x08",
            "signed": b"\x13" + number,
            "expression": b"\x10\x06" + number,
        }
        instructions = parts[place]
    instructions += b"\x41\x86\x02" * 700
    tracemalloc.start()
    try:
        began = time.thread_time()
        frames = _entry(instructions, factors)
        rules = [frames.rule(address) for address in (0x1000, 0x1100, 0x8FFF)]
        assert time.thread_time() - began < 5
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    for rule in rules:
        assert rule is None or abs(rule.offset) < 2**70
    # What made sense before still does: 0x3fff is a possible offset.
    if length == 2 and place == "offset":
        assert rules[0] is not None
        assert rules[0].offset == 0x3FFF


def test_memory_of_entries_is_counted() -> None:
    """Many rows with few rules take little; many rules are those of no function."""
    rows = _entry(b"\x41\x0e\x10\x41\x0e\x18" * 3000)
    assert rows.rule(0x1000) is not None
    assert 6000 * 16 < rows.nbytes < 1 << 20
    rules = _entry(
        b"".join(b"\x41\x0e" + bytes((0x80 | n % 128, n // 128)) for n in range(128, 3000))
    )
    assert rules.rule(0x1000) is None
    assert rules.nbytes < 1000


def test_restored_states() -> None:
    remember, restore, advance = b"\x0a", b"\x0b", b"\x41"
    frames = _entry(remember + advance + b"\x0e\x20" + advance + restore + advance + b"\x0e\x30")
    rules = [frames.rule(0x1000 + place) for place in range(4)]
    assert [rule and rule.offset for rule in rules] == [8, 32, 8, 48]
    assert _entry(restore).rule(0x1000) is None


# --- Walking ---

SP = 0x7FFF_0000_0000


def _stack(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}Q", *words)


def _in_code(address: int) -> bool:
    return 0x1000 <= address < 0x9000


def _addresses(raw: RawStack, **rules: Rule) -> tuple[list[int], bool]:
    """Walk with rules by address (``x2000=…``)."""
    table = {int(name[1:], 16): rule for name, rule in rules.items()}
    frames, complete = unwind(raw, table.get, _in_code)
    return [frame.address for frame in frames], complete


def test_by_rules() -> None:
    saved = ((RETURN_ADDRESS, -8),)
    raw = RawStack(0x2000, SP, 1, (), _stack(7, 0x3001, 8, 9, 0x4001))
    walked = _addresses(
        raw, x2000=Rule(RSP, 16, saved), x3000=Rule(RSP, 24, saved), x4000=Rule(outermost=True)
    )
    assert walked == ([0x2000, 0x3001, 0x4001], True)


def test_a_frame_pointer_that_was_saved_by_one_function_leads_on_from_the_next() -> None:
    with_rbp = ((RBP, -16), (RETURN_ADDRESS, -8))
    raw = RawStack(0x2000, SP, 1, (), _stack(SP + 24, 0x3001, 0, 0, 0x4001))
    assert _addresses(raw, x2000=Rule(RSP, 16, with_rbp)) == ([0x2000, 0x3001, 0x4001], False)


def test_a_register_that_is_lost_is_not_used() -> None:
    with_return = ((RETURN_ADDRESS, -8),)
    raw = RawStack(0x2000, SP, SP + 24, (), _stack(0, 0x3001, 0, 0, 0x4001))
    rules = {"x3000": Rule(RBP, 16, with_return)}
    kept = _addresses(raw, x2000=Rule(RSP, 16, with_return), **rules)
    lost = _addresses(raw, x2000=Rule(RSP, 16, with_return, frozenset({RBP})), **rules)
    assert kept[0] == [0x2000, 0x3001, 0x4001]
    assert lost[0] == [0x2000, 0x3001]


def test_a_function_that_aligned_the_stack() -> None:
    """Where its frame begins is in memory, and where it kept a register is by another one."""
    rule = Rule(RBP, -8, ((RETURN_ADDRESS, -8),), indirect=True, elsewhere=((RBP, RBP, 0),))
    raw = RawStack(0x2000, SP, SP + 16, (), _stack(0, SP + 48, SP + 56, 0, 0, 0x3001, 0, 0, 0x4001))
    last = Rule(RBP, 16, ((RETURN_ADDRESS, -8),))
    assert _addresses(raw, x2000=rule, x3000=last)[0] == [0x2000, 0x3001, 0x4001]


def test_no_progress_ends_it() -> None:
    same = Rule(RBP, 0, ((RETURN_ADDRESS, 8),))
    raw = RawStack(0x2000, SP, SP, (), _stack(SP, 0x2001, SP, 0x2001))
    assert _addresses(raw, x2000=same) == ([0x2000], False)


def test_the_kernels_frames_go_on_where_both_were() -> None:
    rule = Rule(RSP, 16, ((RETURN_ADDRESS, -8),))
    kernels = (0x2000, 0x3001, 0x4001, 0x5001, 0x99, 0x6001)
    raw = RawStack(0x2000, SP, 0, kernels, _stack(0, 0x3001))
    assert _addresses(raw, x2000=rule) == ([0x2000, 0x3001, 0x4001, 0x5001], False)


def test_recursion_at_the_seam() -> None:
    rule = Rule(RSP, 8, ((RETURN_ADDRESS, -8),))
    kernels = (0x2000, 0x3001, 0x3001, 0x3001, 0x3001, 0x4001)
    raw = RawStack(0x2000, SP, 0, kernels, _stack(0x3001, 0x3001))
    walked, _ = _addresses(raw, x2000=rule, x3000=rule)
    assert walked == list(kernels)


def test_32_bit_words() -> None:
    memory = struct.pack("<6I", 0, 0, 0x8010, 0x3001, 0, 0x4001)
    raw = RawStack(0x2000, 0x8000, 0x8008, (), memory)
    frames, _ = by_frame_pointers(raw, _in_code, word=4)
    assert [frame.address for frame in frames] == [0x2000, 0x3001, 0x4001]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1) | st.integers(SP, SP + 512) | st.integers(0x1000, 0x9000)),
    st.none() | st.integers(SP - 8, SP + 512),
    st.lists(st.integers(0x1000, 0x9000), max_size=8),
    st.sampled_from([Rule(RSP, 16, ((16, -8),)), Rule(RBP, 16, ((6, -16), (16, -8))), None]),
    st.booleans(),
)
def test_any_stack_ends(
    words: list[int], bp: int | None, kernels: list[int], rule: Rule | None, signal: bool
) -> None:
    if signal:
        rule = Rule(signal=True)
    raw = RawStack(0x2000, SP, bp, tuple(kernels), _stack(*words))
    frames, _ = unwind(raw, lambda _: rule, _in_code, 64)
    assert 1 <= len(frames) <= 64
    assert all(_in_code(frame.within) for frame in frames)
    assert len(by_frame_pointers(raw, _in_code, 64)[0]) <= 64


# --- Where the frame pointer is not known ---

WITH_POINTER = Rule(RBP, 16, ((RBP, -16), (RETURN_ADDRESS, -8)))
PLAIN = Rule(RSP, 8, ((RETURN_ADDRESS, -8),))
OUTERMOST = Rule(outermost=True)


def _guessed(
    memory: bytes,
    said: dict[int, bool | None],
    rules: dict[int, Rule],
    bp: int | None = None,
) -> list[int]:
    """Walk where it is said which return addresses are behind a call of the function."""

    def calls(address: int, within: int) -> bool | None:
        assert within == 0x2000
        return said[address]

    raw = RawStack(0x2000, SP, bp, (), memory)
    return [frame.address for frame in unwind(raw, rules.get, _in_code, calls=calls)[0]]


def test_a_frame_pointer_that_is_not_known_is_found_by_the_call() -> None:
    # A number, the leftovers of a call of something else, and the pair.
    memory = _stack(7, SP + 48, 0x5001, 9, SP + 48, 0x3001, 1, 0x4001)
    rules = {0x2000: WITH_POINTER, 0x3000: WITH_POINTER, 0x4000: OUTERMOST, 0x5000: OUTERMOST}
    for other in (False, None):
        assert _guessed(memory, {0x5001: other, 0x3001: True}, rules) == [0x2000, 0x3001, 0x4001]
    # Nothing is shown rather than something that cannot be.
    assert _guessed(memory, dict.fromkeys((0x5001, 0x3001, 0x4001), False), rules) == [0x2000]


def test_where_calls_cannot_be_told_it_must_lead_to_the_outermost_frame() -> None:
    said: dict[int, bool | None] = dict.fromkeys((0x3001, 0x4001, 0x5001))
    leftover, pair = (SP + 16, 0x5001), (SP + 48, 0x3001)
    rules = {0x2000: WITH_POINTER, 0x3000: WITH_POINTER, 0x5000: WITH_POINTER}
    memory = _stack(*leftover, 0, 9, *pair, 1, 0x4001)
    assert _guessed(memory, said, {**rules, 0x4000: OUTERMOST}) == [0x2000, 0x3001, 0x4001]
    # Where neither does, the one that leads beyond the copy.
    memory = _stack(*leftover, 0, 9, SP + 8000, 0x3001)
    assert _guessed(memory, said, rules) == [0x2000, 0x3001]


def test_a_caller_without_frame_pointer_can_have_anything_in_the_register() -> None:
    said: dict[int, bool | None] = dict.fromkeys((0x3001, 0x4001))
    rules = {0x2000: WITH_POINTER, 0x3000: PLAIN, 0x4000: OUTERMOST}
    assert _guessed(_stack(3, 0x3001, 0x4001), said, rules) == [0x2000, 0x3001, 0x4001]
    rules[0x3000] = WITH_POINTER
    assert _guessed(_stack(3, 0x3001, 0, 0), said, rules) == [0x2000]


def test_a_frame_pointer_that_is_known_is_not_looked_for() -> None:
    memory = _stack(SP + 32, 0x3001, 0, 0, SP + 48, 0x4001)
    rules = {0x2000: WITH_POINTER, 0x4000: OUTERMOST}
    assert _guessed(memory, {}, rules, SP + 32) == [0x2000, 0x4001]
    lost = Rule(RSP, 16, ((RETURN_ADDRESS, -8),), frozenset({RBP}))
    assert _guessed(memory, {}, {0x2000: lost, 0x3000: WITH_POINTER}, SP) == [0x2000, 0x3001]


def test_32_bit_programs_without_frame_pointer_have_one_frame() -> None:
    raw = RawStack(0x2000, 0x8000, None, (), struct.pack("<4I", 0x8008, 0x3001, 0, 0x4001))
    frames, complete = by_frame_pointers(raw, _in_code, word=4)
    assert ([frame.address for frame in frames], complete) == ([0x2000], False)


def test_leftovers_without_end() -> None:
    """However many pairs there are, few are followed, and none of those looks for more."""
    pairs = _stack(*(word for place in range(0, 8192, 16) for word in (SP + place + 16, 0x3001)))
    followed = 0

    def rule_at(address: int) -> Rule:
        nonlocal followed
        followed += address != 0x2000
        return WITH_POINTER

    calls: Calls = lambda *_: None  # noqa: E731
    raw = RawStack(0x2000, SP, None, (), pairs)
    frames, _ = unwind(raw, rule_at, _in_code, 64, calls=calls)
    assert len(frames) == 64
    assert followed < 512 + 10 * 64


@pytest.fixture(scope="module")
def stacks() -> Iterator[Stacks]:
    opened = Stacks()
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "flags",
    [
        ("-O0", "-fno-omit-frame-pointer"),
        ("-O2", "-fno-omit-frame-pointer"),
        ("-O0", "-fno-omit-frame-pointer", "-fno-plt"),
        ("-O0", "-static"),
        ("-O0", "-fno-asynchronous-unwind-tables"),
        ("-O0", "-fno-omit-frame-pointer", "-s"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("mode", ["", "signal", "thread", "aligned", "jit"])
def test_real_programs_have_the_same_frames_without_it(
    stacks: Stacks, tmp_path: Path, flags: tuple[str, ...], mode: str
) -> None:
    program = build("symbols_nap.c", tmp_path / "nap", *flags)
    with started(program, "60000", *([mode] if mode else [])) as pid:
        raw = raw_stack(wait_until_blocked(pid), 8192, frame_pointers=False)
        space = stacks.note(pid, 1)
        known = stacks.frames(space, raw)
        assert stacks.frames(space, replace(raw, bp=None)) == known
    assert len(known) > 6


def test_leftovers_of_other_calls_are_not_taken_for_callers(stacks: Stacks, tmp_path: Path) -> None:
    program = build("symbols_leftovers.c", tmp_path / "prog", "-O0", "-fno-omit-frame-pointer")
    with started(program) as pid:
        raw = raw_stack(pid, 8192, frame_pointers=False)
        frames = stacks.frames(stacks.note(pid, 1), replace(raw, bp=None))
    # They are there, nearer than the true ones: return addresses of a function that calls itself.
    assert raw.bp is not None
    words = struct.unpack(f"<{len(raw.memory) // 8}Q", raw.memory)[: (raw.bp - raw.sp) // 8]
    assert max(Counter(word for word in words if word > 1 << 20).values()) >= 10
    names = functions(frames)
    assert names[: names.index("main") + 1] == ["syscall", "sleeper", "outer", "main"]
    assert frames[-1].startswith("prog`_start+0x")
