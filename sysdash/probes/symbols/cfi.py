"""Call frame information: how to get from one frame to its caller's, by the tables for exceptions.

The tables are in ``.eh_frame`` (the psABI and DWARF 5, 6.4); ``.eh_frame_hdr`` has their places in
order of address (Linux Standard Base, 10.6.2). Only the entry that is needed is decoded.
"""

from __future__ import annotations

import io
import re
import struct
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from elftools.dwarf.callframe import FDE, CallFrameInfo, CallFrameInstruction
from elftools.dwarf.constants import DW_CFA
from elftools.dwarf.structs import DWARFStructs

from sysdash.probes.symbols.reader import Reader
from sysdash.probes.symbols.rules import RETURN_ADDRESS, Rule
from sysdash.probes.symbols.unsound import UNSOUND

_UDATA4, _DATAREL_SDATA4 = 0x03, 0x3B
_MOST_ENTRIES = 2 << 20
_LONGEST_SECTION = 4 << 20
_LONGEST_ENTRY = 1 << 15
_MOST_INSTRUCTIONS = 20_000
_MOST_RULES = 512
_DEEPEST = 64
_KEPT_BYTES = 8 << 20

# Numbers of LEB128 have no end of their own: of more than these bytes none is read. Some bytes that
# are no number have their high bit set too, but not as many in a row.
_ENDLESS = re.compile(rb"[\x80-\xff]{24}")
_LARGEST_CODE_FACTOR, _LARGEST_DATA_FACTOR = 16, 64
_INT64 = 1 << 63

_STRUCTS = DWARFStructs(little_endian=True, dwarf_format=32, address_size=8)


@dataclass(slots=True)
class _Entry:
    """The rules of one function, each with the address from which on it holds."""

    end: int
    starts: list[int] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    distinct: dict[Rule, Rule] = field(default_factory=dict)

    def begin(self, address: int, rule: Rule) -> None:
        """From an address on another rule holds."""
        self.starts.append(address)
        self.rules.append(self.distinct.setdefault(rule, rule))
        if len(self.distinct) > _MOST_RULES:
            raise ValueError("too many rules")

    @property
    def nbytes(self) -> int:
        """The memory it takes, about."""
        return 300 + 48 * len(self.starts) + sum(map(_rule_bytes, self.distinct))

    def rule(self, address: int) -> Rule | None:
        index = bisect_right(self.starts, address) - 1
        return self.rules[index] if index >= 0 and address < self.end else None


def _rule_bytes(rule: Rule) -> int:
    return 500 + 150 * (len(rule.saved) + len(rule.elsewhere) + len(rule.lost))


class FrameTable:
    """The call frame information of one file. Addresses are as the file numbers them."""

    def __init__(
        self,
        reader: Reader,
        loaded: Sequence[tuple[int, int, int]],
        header: tuple[int, int, int] | None,
        section: tuple[int, int, int] | None,
    ) -> None:
        """Read the table of places.

        Args:
            reader: the file.
            loaded: address, offset in the file and size of each part that is loaded.
            header: the same of ``.eh_frame_hdr``; None without.
            section: the same of ``.eh_frame``, for files without header (static programs); None
                where it is not known.
        """
        self._reader = reader
        self._loaded = tuple(loaded)
        self._cache: OrderedDict[int, _Entry | None] = OrderedDict()
        self._cached = 0
        starts, places = _by_header(reader, header) if header else _NO_PLACES
        if not len(starts) and section:
            starts, places = _by_section(reader, section)
        self._starts, self._places = starts, places

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def nbytes(self) -> int:
        """The memory it takes, about."""
        return self._starts.nbytes + self._places.nbytes + self._cached

    def rule(self, address: int) -> Rule | None:
        """The rule that holds at an address; None where no entry covers it."""
        entry = self._entry(address)
        return entry.rule(address) if entry else None

    def start(self, address: int) -> int | None:
        """Where the function begins in which an address lies; None where no entry covers it."""
        entry = self._entry(address)
        return entry.starts[0] if entry and entry.rule(address) else None

    def _entry(self, address: int) -> _Entry | None:
        """The last entry that begins at an address or before."""
        if not 0 <= address < 2**63:
            return None
        index = int(np.searchsorted(self._starts, address, "right")) - 1
        if index < 0:
            return None
        place = int(self._places[index])
        if place in self._cache:
            self._cache.move_to_end(place)
        else:
            try:
                self._cache[place] = self._decode(place)
            except UNSOUND:
                self._cache[place] = None
            self._cached += _weight(self._cache[place])
            while self._cached > _KEPT_BYTES and len(self._cache) > 1:
                self._cached -= _weight(self._cache.popitem(last=False)[1])
        return self._cache[place]

    def _bytes(self, address: int) -> bytes:
        """One entry; empty where it is not in the file or cannot be."""
        for start, offset, size in self._loaded:
            if start <= address < start + size:
                place, room = offset + address - start, start + size - address
                head = self._reader.read(place, min(room, 4))
                if len(head) < 4:
                    return b""
                length = int.from_bytes(head, "little")
                if not 0 < length <= min(room - 4, _LONGEST_ENTRY):
                    return b""
                return self._reader.read(place, 4 + length)
        return b""

    def _decode(self, place: int) -> _Entry | None:
        content = self._bytes(place)
        if len(content) < 16:
            return None
        pointer = int.from_bytes(content[4:8], "little")
        common = self._bytes(place + 4 - pointer)
        if len(common) < 12 or common[4:8] != bytes(4):
            return None
        if _ENDLESS.search(content) or _ENDLESS.search(common):
            return None
        # A section of just the two, so that nothing else is decoded: the entry stays at its
        # address, on which its own addresses depend, and the common part moves before it.
        moved = struct.pack("<I", len(common) + 4)
        stream = io.BytesIO(common + content[:4] + moved + content[8:])
        size = len(common) + len(content)
        section = CallFrameInfo(stream, size, place - len(common), _STRUCTS, for_eh_frame=True)
        entries = section.get_entries()
        if len(entries) != 2 or not isinstance(entries[1], FDE):
            return None
        return _rules(entries[1])


def _weight(entry: _Entry | None) -> int:
    return entry.nbytes if entry else 300


_Places = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

_NO_PLACES: _Places = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def _by_header(reader: Reader, header: tuple[int, int, int]) -> _Places:
    """Starts of functions and addresses of their entries, from the binary search table."""
    address, offset, size = header
    head = reader.read(offset, 12)
    if len(head) < 12 or address >= 2**62:
        return _NO_PLACES
    # version, encodings of: the pointer to .eh_frame, the number of entries, the table
    if (
        head[0] != 1
        or head[2:4] != bytes((_UDATA4, _DATAREL_SDATA4))
        or head[1] & 15 not in (3, 11)
    ):
        return _NO_PLACES
    number = min(int.from_bytes(head[8:12], "little"), _MOST_ENTRIES, max(size - 12, 0) // 8)
    content = reader.read(offset + 12, 8 * number)
    table = np.frombuffer(content, "<i4", len(content) // 8 * 2).reshape(-1, 2)
    return _sorted(table.astype(np.int64) + address)


def _by_section(reader: Reader, section: tuple[int, int, int]) -> _Places:
    """The same from ``.eh_frame`` itself, entry by entry."""
    address, offset, size = section
    if address >= 2**62:
        return _NO_PLACES
    content = reader.read(offset, min(size, _LONGEST_SECTION))
    found = []
    place = 0
    while place + 12 <= len(content):
        length, pointer, start = struct.unpack_from("<IIi", content, place)
        if length in (0, 0xFFFFFFFF):
            break
        # The addresses in it are relative to where they are, as all linkers for x86-64 write them.
        # An entry in which they are not is found wrongly, and then does not cover the address.
        if pointer:
            found.append((address + place + 8 + start, address + place))
        place += 4 + length
    return _sorted(np.array(found, np.int64).reshape(-1, 2))


def _sorted(table: npt.NDArray[np.int64]) -> _Places:
    ordered = table[np.argsort(table[:, 0], kind="stable")]
    return ordered[:, 0].copy(), ordered[:, 1].copy()


@dataclass(slots=True)
class _State:
    """The rules while an entry is followed."""

    register: int | None = None
    offset: int = 0
    indirect: bool = False
    saved: dict[int, int] = field(default_factory=dict)
    elsewhere: dict[int, tuple[int, int]] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    outermost: bool = False

    def copy(self) -> _State:
        return replace(
            self,
            saved=dict(self.saved),
            elsewhere=dict(self.elsewhere),
            lost=set(self.lost),
        )

    def define(self, register: int | None, offset: int, *, indirect: bool = False) -> None:
        self.register, self.offset, self.indirect = register, offset, indirect

    def forget(self, register: int) -> None:
        self.saved.pop(register, None)
        self.elsewhere.pop(register, None)
        self.lost.discard(register)
        if register == RETURN_ADDRESS:
            self.outermost = False

    def rule(self, *, signal: bool) -> Rule:
        return Rule(
            self.register,
            self.offset,
            tuple(sorted(self.saved.items())),
            frozenset(self.lost),
            self.outermost,
            signal,
            self.indirect,
            tuple((register, *place) for register, place in sorted(self.elsewhere.items())),
        )


def _place(expression: Sequence[int]) -> tuple[int, int, bool] | None:
    """What the expressions of functions that align the stack say; None for all others.

    Returns:
        A register, an offset from its value, and whether what is meant is in memory there.
    """
    # DW_OP_breg0 to DW_OP_breg15 with a signed LEB128 number, DW_OP_deref: DWARF 5, 7.7.1.
    if not expression or not 0x70 <= expression[0] <= 0x7F:
        return None
    offset = shift = 0
    for at, byte in enumerate(expression[1:6], 2):
        offset |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            signed = offset - (1 << shift) if byte & 0x40 else offset
            rest = list(expression[at:])
            return (expression[0] - 0x70, signed, bool(rest)) if rest in ([], [0x06]) else None
    return None


def _in_bounds(instruction: CallFrameInstruction) -> bool:
    return all(
        -_INT64 <= argument < _INT64 for argument in instruction.args if isinstance(argument, int)
    )


def _rules(entry: FDE) -> _Entry:
    """Follow the instructions of an entry.

    The library only decodes them: its own table takes time that grows with the square of an
    entry's length, and keeps rules for registers that no machine has.
    """
    common = entry.cie
    if common is None or common["return_address_register"] != RETURN_ADDRESS:
        raise ValueError("an entry for another machine")
    signal = b"S" in common["augmentation"]
    code, data = common["code_alignment_factor"], common["data_alignment_factor"]
    if code > _LARGEST_CODE_FACTOR or abs(data) > _LARGEST_DATA_FACTOR:
        raise ValueError("factors of another machine")
    address = entry["initial_location"]
    found = _Entry(end=address + entry["address_range"])
    state, initial, kept = _State(), _State(), list[_State]()
    for instruction in [*common.instructions, None, *entry.instructions][:_MOST_INSTRUCTIONS]:
        if instruction is None:
            initial = state.copy()
            continue
        if not _in_bounds(instruction):
            raise ValueError("numbers of another machine")
        arguments = instruction.args
        match instruction.opcode:
            case (
                DW_CFA.advance_loc | DW_CFA.advance_loc1 | DW_CFA.advance_loc2 | DW_CFA.advance_loc4
            ):
                found.begin(address, state.rule(signal=signal))
                address += arguments[0] * code
            case DW_CFA.def_cfa:
                state.define(*arguments)
            case DW_CFA.def_cfa_sf:
                state.define(arguments[0], arguments[1] * data)
            case DW_CFA.def_cfa_register:
                state.define(arguments[0], state.offset)
            case DW_CFA.def_cfa_offset:
                state.define(state.register, arguments[0])
            case DW_CFA.def_cfa_offset_sf:
                state.define(state.register, arguments[0] * data)
            case DW_CFA.def_cfa_expression:
                place = _place(arguments[0])
                if place and place[2]:
                    state.define(place[0], place[1], indirect=True)
                else:
                    state.define(None, 0)
            case DW_CFA.offset | DW_CFA.offset_extended | DW_CFA.offset_extended_sf:
                if arguments[0] <= RETURN_ADDRESS:
                    state.forget(arguments[0])
                    state.saved[arguments[0]] = arguments[1] * data
            case DW_CFA.same_value:
                state.forget(arguments[0])
            case DW_CFA.restore | DW_CFA.restore_extended:
                state.forget(arguments[0])
                if arguments[0] in initial.saved:
                    state.saved[arguments[0]] = initial.saved[arguments[0]]
            case DW_CFA.expression if (place := _place(arguments[1])) and not place[2]:
                if arguments[0] <= RETURN_ADDRESS:
                    state.forget(arguments[0])
                    state.elsewhere[arguments[0]] = place[:2]
            case (
                DW_CFA.undefined
                | DW_CFA.register
                | DW_CFA.expression
                | DW_CFA.val_expression
                | DW_CFA.val_offset
                | DW_CFA.val_offset_sf
            ):
                if arguments[0] <= RETURN_ADDRESS:
                    state.forget(arguments[0])
                    state.lost.add(arguments[0])
                undefined = instruction.opcode is DW_CFA.undefined
                if undefined and arguments[0] == RETURN_ADDRESS:
                    state.outermost = True
            case DW_CFA.remember_state:
                if len(kept) >= _DEEPEST:
                    raise ValueError("too many states at once")
                kept.append(state.copy())
            case DW_CFA.restore_state:
                state = kept.pop()
            case DW_CFA.nop | DW_CFA.GNU_args_size:
                pass
            case _:
                raise ValueError(f"not for this machine: {instruction.opcode}")
    found.begin(address, state.rule(signal=signal))
    return found
