"""One argument of one system call, or what it returns: how it is counted, what its values mean.

Values come from traced processes. What is told of them is safe and bounded text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sysdash import constants, meanings, syscalls
from sysdash.arguments import Argument, Signatures
from sysdash.pieces import HEXADECIMAL, ipc_mode, quoted
from sysdash.records import (
    ARGS,
    VALUE_BUCKETS,
    VALUE_BYTES,
    VALUE_HISTOGRAM,
    VALUE_NUMBER,
    VALUE_STRING,
    ValueRule,
)
from sysdash.story import RETURNS_ADDRESS
from sysdash.units import ELLIPSIS, fit, safe

RET = "ret"
"""What the return value is called."""

MOST_VALUES = 200_000
"""Different values that are kept; those that most calls have come early."""

_ECHO_COLUMNS = 40  # of a wrong word in a message

_TEXTS = frozenset(("path", "string"))
_OCTALS = frozenset(("octal", "ipc_mode"))
_DECIMALS = frozenset(
    """
    fd dirfd int uint long ulong size offset milliseconds aside futex_val option protocol result
    """.split()
)
_HEXADECIMALS = frozenset("hex futex_val3 fcntl_argument".split())

# What is a number of so many bits, of whatever type the kernel declares it.
_INTS = frozenset("fd dirfd int milliseconds option protocol".split())
_UINTS = frozenset("uint futex_val futex_val3".split())

_AT_FDCWD = -100  # linux/fcntl.h
_MODE_BITS = 16  # the kernel takes so many of a umode_t

_POWERS = (VALUE_BUCKETS - 1) // 2  # buckets of positive numbers, and of negative ones


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a quantity.

    Attributes:
        text: for people.
        value: for programs: a number as such, an address as hexadecimal text, a string as text.
        name: what the number is called: flags, a constant, an error; None where it has no name.
    """

    text: str
    value: int | str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Quantity:
    """What of a system call is counted.

    Attributes:
        syscall: the call's name.
        argument: the argument's name, ``arg0`` and so on where the kernel has none, or :data:`RET`.
        numbers: (number, ABI code) of the calls that have it.
        rule: how the probe counts it.
        meaning: one of :data:`sysdash.meanings.WORDS`, the name of a table of constants, or
            ``result``.
        mode: whether it is a ``umode_t``.
    """

    syscall: str
    argument: str
    numbers: tuple[tuple[int, int], ...]
    rule: ValueRule
    meaning: str
    mode: bool = False

    @property
    def bucketed(self) -> bool:
        """Whether values are counted by buckets, for :func:`histogram`."""
        return self.rule.kind == VALUE_HISTOGRAM

    @property
    def numeric(self) -> bool:
        """Whether most values are plain numbers, without names."""
        return self.meaning in _DECIMALS

    @property
    def textual(self) -> bool:
        """Whether values are strings."""
        return self.rule.kind == VALUE_STRING

    def tell(self, found: int | bytes) -> Value:
        """What a value that the probe counted is called."""
        if isinstance(found, bytes):
            text = safe(found) + (ELLIPSIS if len(found) >= VALUE_BYTES - 1 else "")
            return Value(quoted(text), text)
        if self.mode:
            found &= (1 << _MODE_BITS) - 1
        if self.meaning == "result":
            errno = None if self.syscall in syscalls.SIGRETURNS else syscalls.errno_of(found)
            name = None if errno is None else syscalls.errno_name(errno)
        else:
            name = self._name(found)
        text = self.digits(found)
        return Value(name or text, hex(found) if self.is_address else found, name)

    def _name(self, found: int) -> str | None:
        if self.meaning == "dirfd" and found == _AT_FDCWD:
            return "AT_FDCWD"
        if self.meaning == "ipc_mode":
            name = ipc_mode(self._unsigned(found))
        elif self.meaning in constants.TABLES:
            name = constants.tell(self.meaning, self._unsigned(found)) or ""
        else:
            return None
        # What begins with a digit is the number.
        return None if name[:1].isdigit() or not name else name

    def _unsigned(self, found: int) -> int:
        return found & ((1 << self.rule.bits) - 1)

    @property
    def is_address(self) -> bool:
        """Whether values are, or can be, addresses of memory."""
        return (
            self.meaning in meanings.WORDS
            and self.meaning not in _DECIMALS | _HEXADECIMALS | _OCTALS | _TEXTS
        )

    def digits(self, found: int) -> str:
        """A number as it is usually written, for what it means."""
        if self.meaning == "result":
            address = self.syscall in RETURNS_ADDRESS and syscalls.errno_of(found) is None
            return hex(found & (1 << 64) - 1) if address and found else str(found)
        if self.meaning in _OCTALS:
            found = self._unsigned(found)
            return f"0{found:o}" if found else "0"
        if self.is_address or self.meaning in _HEXADECIMALS | HEXADECIMAL:
            found = self._unsigned(found)
            return hex(found) if found else "0"
        return str(found)


_NEVER_RETURN = frozenset(("exit", "exit_group"))
_EXECS = frozenset(("execve", "execveat"))  # whose registers are the new program's


class Tally:
    """How many calls had each value, for as long as an interval lasts; bounded."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        """Count nothing yet; ``most`` different values at the most."""
        self._most = most
        self._counts: Counter[int | bytes] = Counter()
        self._refused = 0

    def add(self, counts: Mapping[int | bytes, int]) -> None:
        """Add what :attr:`sysdash.model.Snapshot.values` has."""
        for value, count in counts.items():
            if value in self._counts or len(self._counts) < self._most:
                self._counts[value] += count
            else:
                self._refused += count

    def take(self) -> tuple[Counter[int | bytes], int]:
        """All since the last time; and how many calls had values that there was no room for."""
        taken = self._counts, self._refused
        self._counts, self._refused = Counter(), 0
        return taken


def find(
    signatures: Signatures, syscall: str, argument: str | None, *, histogram: bool = False
) -> Quantity:
    """What is meant by the name of a call and of one of its arguments.

    Args:
        signatures: the arguments of all calls.
        syscall: a name of :func:`sysdash.syscalls.names`.
        argument: an argument's name, as the native call has it, its number from 0, or :data:`RET`;
            None for that.
        histogram: whether it is counted by powers of two.

    Raises:
        ValueError: there is no such argument, or it cannot be counted so; the message is one line.
    """
    if syscall in _NEVER_RETURN:
        raise ValueError(f"{syscall} never returns, and values are counted when a call returns")
    numbers = syscalls.numbers(syscall)
    kind = VALUE_HISTOGRAM if histogram else VALUE_NUMBER
    signature = signatures.of(*numbers[0])
    if argument is None or (argument == RET and RET not in argument_names(signatures, syscall)):
        return Quantity(syscall, RET, numbers, ValueRule(ARGS, kind, signed=True), "result")
    place = _place(syscall, signature, argument)
    if signature is None:
        return Quantity(syscall, f"arg{place}", numbers, ValueRule(place, kind), "hex")
    wanted = signature[place]
    meaning = signatures.meanings(*numbers[0])[place]
    if syscall in _EXECS and meaning not in _TEXTS:
        raise ValueError(
            f"when {syscall} returns, only filename is known of its arguments, and {RET}"
        )
    if meaning in _TEXTS:
        if histogram:
            raise ValueError(f"{wanted.name} of {syscall} is text, which has no histogram (see -C)")
        kind = VALUE_STRING
    return Quantity(
        syscall=syscall,
        argument=wanted.name,
        numbers=tuple(each for each in numbers if _has(signatures, each, place, wanted)),
        rule=_rule(place, kind, wanted, meaning),
        meaning=meaning,
        mode=wanted.type == "umode_t",
    )


def argument_names(signatures: Signatures, syscall: str) -> tuple[str, ...]:
    """The names of the arguments of a call; none of one that nothing is known of."""
    return tuple(each.name for each in signatures.of(*syscalls.numbers(syscall)[0]) or ())


def _place(syscall: str, signature: tuple[Argument, ...] | None, argument: str) -> int:
    if signature is None:
        names, places = [], ARGS
        known = f"its arguments are only known by number, 0 to {ARGS - 1}"
    else:
        names, places = [each.name for each in signature], len(signature)
        known = f"it has {', '.join(names)}" if names else "it has none"
    if argument in names:
        return names.index(argument)
    if argument.isascii() and argument.isdigit() and len(argument) == 1 and int(argument) < places:
        return int(argument)
    shown = fit(safe(argument), _ECHO_COLUMNS)
    raise ValueError(f"{syscall} has no argument {shown!r}; {known}, and {RET} for what it returns")


def _has(signatures: Signatures, number: tuple[int, int], place: int, wanted: Argument) -> bool:
    """Whether the call of another ABI has the same argument in the same place."""
    signature = signatures.of(*number) or ()
    return place < len(signature) and signature[place].name == wanted.name


def _rule(place: int, kind: int, argument: Argument, meaning: str) -> ValueRule:
    narrow = argument.narrow or meaning in _INTS | _UINTS
    by_type = meanings.by_type("", argument.type) in ("int", "long")
    signed = meaning in _INTS or meaning in ("long", "offset") or by_type
    return ValueRule(place, kind, bits=32 if narrow else 64, signed=signed)


def edges(bucket: int) -> tuple[int, int]:
    """The lowest and the highest number of a bucket of :data:`sysdash.records.VALUE_BUCKETS`."""
    if not bucket:
        return 0, 0
    if bucket <= _POWERS:
        return 1 << bucket - 1, (1 << bucket) - 1
    power = bucket - _POWERS - 1
    # No number of 64 bits is lower than the only one of the last bucket.
    return max(1 - (1 << power + 1), -(1 << 63)), -(1 << power)


def histogram(values: Mapping[int | bytes, int]) -> list[tuple[int, int, int]]:
    """The lowest and highest number of each bucket, and its count, in ascending order.

    Empty buckets at both ends are left out, those between are kept.

    Args:
        values: how many calls were in each bucket.
    """
    places = sorted(_POWERS - each if each > _POWERS else each for each in _numbers(values))
    if not places:
        return []
    buckets = [
        place if place >= 0 else _POWERS - place for place in range(places[0], places[-1] + 1)
    ]
    return [(*edges(bucket), values.get(bucket, 0)) for bucket in buckets]


def _numbers(values: Mapping[int | bytes, int]) -> list[int]:
    return [each for each, count in values.items() if isinstance(each, int) and count]
