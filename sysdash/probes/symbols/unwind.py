"""From registers and a copy of the top of the stack to the chain of callers."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sysdash.probes.symbols.rules import CALLEE_SAVED, RBP, RBX, RETURN_ADDRESS, RSP, Rule

_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")

# arch/x86/include/asm/sigframe.h, uapi/asm/ucontext.h: when a handler has returned, the stack
# pointer is at the ucontext; its registers follow uc_flags, uc_link and uc_stack.
_SAVED_REGISTERS = 40
_R8_TO_R15, _SAVED_RBP, _SAVED_RBX, _SAVED_RSP, _SAVED_RIP = 0, 80, 88, 120, 128

# A frame pointer that is not known is looked for in so many words, so many that are not certain are
# followed, and it leads no farther up.
_MOST_WORDS = 1024
_MOST_TRIED = 8
_LARGEST_FRAME = 1 << 20

Calls = Callable[[int, int], bool | None]
"""Told a return address and an address in a function: whether the call before the former is of that
function; None if that cannot be told."""


@dataclass(frozen=True, slots=True)
class RawStack:
    """What the kernel tells of a thread's user stack.

    Attributes:
        ip, sp, bp: the registers with which it goes on; ``bp`` is None where it is not known.
        frames: return addresses by frame pointers, innermost first, the first is ``ip`` or close;
            may be empty.
        memory: the stack from ``sp`` on.
    """

    ip: int
    sp: int
    bp: int | None
    frames: tuple[int, ...]
    memory: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        address: of the instruction with which it goes on.
        exact: that was interrupted or is next; otherwise it is a return address, and the call is
            just before.
    """

    address: int
    exact: bool = False

    @property
    def within(self) -> int:
        """An address that is surely in the function: a call can be its last instruction."""
        return self.address if self.exact else self.address - 1


@dataclass(slots=True)
class _Walk:
    raw: RawStack
    rule_at: Callable[[int], Rule | None]
    is_code: Callable[[int], bool]
    calls: Calls
    most: int
    # Whether this follows what may be a frame pointer; whether there may be more frames beyond the
    # copy, or more than are wanted.
    trying: bool = False
    cut: bool = False
    frames: list[Frame] = field(default_factory=list)
    values: dict[int, int] = field(default_factory=dict)

    def _load(self, address: int) -> int | None:
        offset = address - self.raw.sp
        if 0 <= offset <= len(self.raw.memory) - 8:
            return int(_U64.unpack_from(self.raw.memory, offset)[0])
        self.cut |= 0 < offset < len(self.raw.memory) + _LARGEST_FRAME
        return None

    def run(self) -> bool:
        """Collect the frames; returns whether the outermost was reached."""
        self.values = {RSP: self.raw.sp}
        if self.raw.bp is not None:
            self.values[RBP] = self.raw.bp
        return self.follow(Frame(self.raw.ip, exact=True))

    def follow(self, frame: Frame) -> bool:
        """Collect a frame and those that called it; the registers are those of that frame."""
        while self.is_code(frame.within):
            self.frames.append(frame)
            if len(self.frames) >= self.most:
                self.cut = True
                return False
            rule = self.rule_at(frame.within)
            if rule is not None and rule.outermost:
                return True
            if rule is not None and rule.signal:
                # Nothing called it: the kernel made the handler return to its first byte.
                self.frames[-1] = Frame(frame.address, exact=True)
                caller = self._interrupted()
            elif rule is not None and rule.register is not None:
                caller = self._by_rule(rule, frame)
            else:
                caller = self._by_frame_pointer(frame)
            if caller is None:
                return self._by_kernel()
            if caller.address == 0:
                return True
            frame = caller
        return self._by_kernel()

    def _by_rule(self, rule: Rule, frame: Frame) -> Frame | None:
        base = self.values.get(rule.register) if rule.register is not None else None
        if base is None and _keeps_frame_pointer(rule):
            base = self._guess(frame)
        if base is None:
            return None
        top: int | None = base + rule.offset
        if rule.indirect:
            top = self._load(base + rule.offset)
        if top is None or top <= self.values[RSP]:
            return None
        values = {
            register: value
            for register, value in self.values.items()
            if register in CALLEE_SAVED and register not in rule.lost
        }
        address = None
        places = [(register, top + offset) for register, offset in rule.saved]
        for register, other, offset in rule.elsewhere:
            places.append((register, self.values.get(other, -offset) + offset))
        for register, place in places:
            value = self._load(place)
            if register == RETURN_ADDRESS:
                address = value
            elif register in CALLEE_SAVED and value is not None:
                values[register] = value
            else:
                values.pop(register, None)
        if address is None:
            return None
        self.values = {**values, RSP: top}
        return Frame(address)

    def _by_frame_pointer(self, frame: Frame) -> Frame | None:
        base = self.values.get(RBP)
        if base is None:
            base = self._guess(frame)
        if base is None or base < self.values[RSP]:
            return None
        before, address = self._load(base), self._load(base + 8)
        if before is None or address is None:
            return None
        if address and not self.is_code(address - 1):
            return None
        # What the function saved of the other registers is not known.
        self.values = {RSP: base + 16, RBP: before}
        return Frame(address)

    def _guess(self, frame: Frame) -> int | None:
        """The frame pointer of the current frame, where no inner one tells it; None if none fits.

        A function that keeps one has put its caller's beside the return address, so such a pair is
        looked for. What calls that have ended left behind, in a part of this frame that has not
        been used since, looks the same: so before the return address must be a call of this very
        function; or, where no such pair is found, one through a pointer or to a place that is not
        known, and the pair must lead on to the outermost frame, or else beyond the copy.
        """
        if self.raw.bp is not None or self.trying:
            return None
        possible = []
        start = max(self.values[RSP], self.raw.sp)
        start += -start % 8
        for place in range(start, start + 8 * _MOST_WORDS, 8):
            before, address = self._load(place), self._load(place + 8)
            if before is None or address is None:
                break
            called = self.calls(address, frame.within) if self.is_code(address - 1) else False
            if called:
                return place
            if called is None and self._may_be(before, place, address):
                possible.append(place)
        cut = None
        for place in possible[:_MOST_TRIED]:
            values = {**self.values, RBP: place}
            walk = replace(self, frames=[], values=values, trying=True, cut=False)
            if walk.follow(frame):
                return place
            if walk.cut and cut is None:
                cut = place
        return cut

    def _may_be(self, before: int, place: int, address: int) -> bool:
        """Whether a word can be the frame pointer of the caller, which goes on at an address."""
        rule = self.rule_at(address - 1)
        if rule is not None and (rule.outermost or rule.register == RSP):
            # The caller has none: the register can have held anything.
            return True
        return place < before <= place + _LARGEST_FRAME and before % 8 == 0

    def _interrupted(self) -> Frame | None:
        """What a signal interrupted: the kernel saved all its registers on the handler's stack."""
        place = self.values[RSP] + _SAVED_REGISTERS
        address, sp = self._load(place + _SAVED_RIP), self._load(place + _SAVED_RSP)
        if address is None or sp is None:
            return None
        values = {RSP: sp}
        registers = {RBP: _SAVED_RBP, RBX: _SAVED_RBX}
        registers.update({12 + index: _R8_TO_R15 + 8 * (4 + index) for index in range(4)})
        for register, offset in registers.items():
            value = self._load(place + offset)
            if value is not None:
                values[register] = value
        self.values = values
        return Frame(address, exact=True)

    def _by_kernel(self) -> bool:
        """Go on with what the kernel found, from the last frame that both know.

        The kernel followed frame pointers as far as the stack goes, which the copy does not.
        """
        places: dict[int, list[int]] = {}
        for place, address in enumerate(self.raw.frames):
            places.setdefault(address, []).append(place)
        addresses = [frame.address for frame in self.frames]
        for index in range(len(addresses) - 1, -1, -1):
            same = places.get(addresses[index])
            if same is None:
                continue
            # A function that calls itself is there many times: the third here is the third there.
            place = same[min(addresses[: index + 1].count(addresses[index]), len(same)) - 1]
            rest: list[Frame] = []
            for address in self.raw.frames[place + 1 :]:
                if not self.is_code(address - 1):
                    break
                rest.append(Frame(address))
            # Frames that only the rules found are kept unless the kernel got further.
            if index + 1 + len(rest) > len(self.frames):
                self.frames[index + 1 :] = rest
                del self.frames[self.most :]
            break
        return False


def _keeps_frame_pointer(rule: Rule) -> bool:
    """Whether RBP points to the caller's RBP, and the return address is behind that."""
    place = rule.register, rule.offset, rule.indirect
    return place == (RBP, 16, False) and {(RBP, -16), (RETURN_ADDRESS, -8)} <= {*rule.saved}


def unwind(
    raw: RawStack,
    rule_at: Callable[[int], Rule | None],
    is_code: Callable[[int], bool],
    most: int = 64,
    *,
    calls: Calls = lambda *_: None,
) -> tuple[list[Frame], bool]:
    """The frames of a 64-bit thread, innermost first, and whether the outermost is among them.

    Args:
        raw: what is known of the stack.
        rule_at: the rule that the call frame information has for an address.
        is_code: whether an address is in an executable mapping.
        most: frames at the most.
        calls: used where a frame pointer is not known.
    """
    walk = _Walk(raw, rule_at, is_code, calls, most)
    complete = walk.run()
    return walk.frames, complete


def by_frame_pointers(
    raw: RawStack, is_code: Callable[[int], bool], most: int = 64, *, word: int = 8
) -> tuple[list[Frame], bool]:
    """The same by frame pointers alone, for code whose other tables are not read (32-bit)."""
    frames = [Frame(raw.ip, exact=True)]
    addresses = list(raw.frames[1:])
    if not addresses:
        unpack = (_U64 if word == 8 else _U32).unpack_from
        # Where it is not known, nothing here could tell a good guess from a bad one.
        base = -1 if raw.bp is None else raw.bp
        while 0 <= base - raw.sp <= len(raw.memory) - 2 * word and len(addresses) < most:
            before, address = (unpack(raw.memory, base - raw.sp + place)[0] for place in (0, word))
            addresses.append(address)
            if before <= base:
                break
            base = before
    for address in addresses[: most - 1]:
        if not is_code(address - 1):
            return frames, address == 0
        frames.append(Frame(address))
    return frames, False
