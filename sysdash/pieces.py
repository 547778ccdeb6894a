"""One argument of a slow call in words, by what it means.

Arguments and memory of traced processes may hold anything. What is told is safe and bounded text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sysdash import descriptors, syscalls
from sysdash.arguments import POLLFDS, Argument
from sysdash.constants import tell as constant
from sysdash.model import SlowCall
from sysdash.records import Data
from sysdash.units import ELLIPSIS, duration, safe

_AT_FDCWD = -100  # linux/fcntl.h

_U32, _U64 = 2**32 - 1, 2**64 - 1

# How early an argument is in a line, and whether it is there at all.
FIRST, NAMED, TIME, SHORT, NUMBER, ABSENT = range(6)


# These are no dataclasses, which take half a millisecond each to define.


class Piece:
    """What is told of one argument: for the list, and for the line.

    There it is ``name=text``, or the text alone if that is ``bare``, or ``short`` if there is one.
    """

    __slots__ = ("bare", "name", "rank", "short", "text", "value")

    def __init__(
        self,
        name: str,
        text: str,
        value: int | str | None,
        rank: int = NUMBER,
        *,
        bare: bool = False,
    ) -> None:
        self.name = name
        self.text = text
        self.value = value
        self.rank = rank
        self.bare = bare
        self.short = ""


class Call:
    """A call while it is told: what its handlers look at."""

    __slots__ = ("abi", "args", "data", "name", "ret", "types")

    def __init__(
        self, name: str, types: tuple[Argument, ...], data: tuple[int, ...], call: SlowCall
    ) -> None:
        self.name = name
        self.types = types
        self.abi = call.syscall.abi
        self.args = call.args
        self.ret = call.ret
        self.data: dict[int, Data | None] = dict(zip(data, call.detail.data, strict=False))

    def wide(self, place: int) -> int:
        """An argument that is a ``long``."""
        return self.args[place] & (_U32 if self.abi == syscalls.IA32 else _U64)

    def number(self, place: int) -> int:
        """An argument as unsigned number of the width that its type has."""
        narrow = self.types[place].narrow
        return self.args[place] & _U32 if narrow else self.wide(place)

    def bytes_of(self, place: int) -> bytes:
        """What an argument points to, as far as it was read."""
        found = self.data.get(place)
        return b"" if found is None else found.content


Handler = Callable[[Call, int, str], Piece | None]


# --- Numbers ---


def _int(call: Call, place: int, name: str) -> Piece:
    value = _signed(call.args[place])
    return Piece(name, str(value), value)


def _uint(call: Call, place: int, name: str) -> Piece:
    value = call.args[place] & _U32
    return Piece(name, str(value), value)


def _long(call: Call, place: int, name: str) -> Piece:
    value = call.wide(place)
    top = 2**31 if call.abi == syscalls.IA32 else 2**63
    value -= 2 * top if value >= top else 0
    return Piece(name, str(value), value)


def _size(call: Call, place: int, name: str) -> Piece:
    value = call.wide(place)
    return Piece(name, str(value), value)


def _aside(call: Call, place: int, name: str) -> Piece:
    piece = _size(call, place, name)
    piece.rank = ABSENT
    return piece


def _hex(call: Call, place: int, name: str) -> Piece:
    value = call.number(place)
    return Piece(name, hex(value) if value else "0", value, NUMBER if value else ABSENT)


def _any(call: Call, place: int, name: str) -> Piece:
    piece = _hex(call, place, name)
    piece.value = hex(call.wide(place))  # it may be an address
    return piece


def _octal(call: Call, place: int, name: str) -> Piece | None:
    before = place - 1
    if call.name in ("open", "openat", "mq_open") and not call.args[before] & _MAKES_FILE:
        return None  # the mode is not read
    value = call.args[place] & (0xFFFF if call.types[place].type == "umode_t" else _U32)
    return Piece(name, f"0{value:o}" if value else "0", value)


_MAKES_FILE = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE (asm-generic/fcntl.h)


def _ipc_mode(call: Call, place: int, name: str) -> Piece:
    value = call.args[place] & _U32
    text = ipc_mode(value)
    return Piece(name, text, value if text[0].isdigit() else text, NAMED, bare=True)


def ipc_mode(value: int) -> str:
    """Flags and mode of ``shmget`` and the like: ``IPC_CREAT|0600``."""
    mode, flags = value & 0o777, constant("ipc_get", value & ~0o777)
    return f"0{mode:o}" if flags == "0" else f"{flags}|0{mode:o}"


def _milliseconds(call: Call, place: int, name: str) -> Piece:
    value = _signed(call.args[place])
    return Piece(name, str(value) if value < 0 else duration(value * 1_000_000), value, TIME)


def _address(call: Call, place: int, name: str) -> Piece:
    value = call.wide(place)
    rank = NUMBER if value else ABSENT
    return Piece(name, hex(value) if value else "NULL", hex(value), rank)


def _pointer(call: Call, place: int, name: str) -> Piece:
    piece = _address(call, place, name)
    piece.rank = ABSENT
    return piece


def _mremap_address(call: Call, place: int, name: str) -> Piece | None:
    # Read only with MREMAP_FIXED or MREMAP_DONTUNMAP (linux/mman.h).
    return _address(call, place, name) if call.args[3] & 6 else None


def _signed(value: int) -> int:
    value &= _U32
    return value - 2**32 if value >= 2**31 else value


# --- Constants ---

HEXADECIMAL = frozenset("ioctl arch_prctl ptrace prctl key".split())
"""Tables of constants whose numbers are told in hexadecimal where they have no name."""


def named(call: Call, place: int, name: str, table: str) -> Piece:
    """An argument that is a constant, or several, of a table of :mod:`sysdash.constants`."""
    value = call.number(place)
    text = constant(table, value)
    if text is None:
        number = _signed(value) if value <= _U32 else value
        return Piece(name, hex(value) if table in HEXADECIMAL else str(number), number)
    if text == "0":
        return Piece(name, text, 0, ABSENT)
    return Piece(name, text, text, NAMED, bare=True)


def _protocol(call: Call, place: int, name: str) -> Piece:
    family = call.args[0] & _U32
    if family == 16:  # AF_NETLINK
        return named(call, place, name, "netlink")
    known = family in (2, 10)  # AF_INET, AF_INET6
    piece = named(call, place, name, "ip_protocol") if known else _int(call, place, name)
    if not call.args[place] & _U32:
        piece.rank = ABSENT  # the type says it
    return piece


_OPTIONS = {0: "ip_option", 1: "socket_option", 6: "tcp_option", 41: "ipv6_option"}


def _option(call: Call, place: int, name: str) -> Piece:
    table = _OPTIONS.get(call.args[1] & _U32)
    return _int(call, place, name) if table is None else named(call, place, name, table)


# What fcntl's commands make of their argument (linux/fcntl.h, asm-generic/fcntl.h).
_F_DUPFD, _F_SETFD, _F_SETFL, _F_DUPFD_CLOEXEC = 0, 2, 4, 1030
DUPLICATES = (_F_DUPFD, _F_DUPFD_CLOEXEC)
"""The commands of ``fcntl`` that return a descriptor."""


_FD_CLOEXEC = 1
_FCNTL_TABLES = {_F_SETFL: "open", 10: "signal", 1033: "seals"}  # F_SETSIG, F_ADD_SEALS
_FCNTL_NOTHING = frozenset((1, 3, 9, 11, 1025, 1032, 1034))
_FCNTL_NUMBER = frozenset((_F_DUPFD, 8, 1024, 1027, _F_DUPFD_CLOEXEC, 1031))
_FCNTL_POINTER = frozenset((5, 6, 7, 12, 13, 14, 15, 16, 17, 36, 37, 38, *range(1035, 1039)))


def _fcntl_argument(call: Call, place: int, name: str) -> Piece | None:
    command = call.args[1] & _U32
    if command in _FCNTL_NOTHING:
        return None
    if command in _FCNTL_NUMBER:
        return _int(call, place, name)
    if command in _FCNTL_POINTER:
        return _pointer(call, place, name)
    if command == _F_SETFD:
        if call.args[place] & _U32 != _FD_CLOEXEC:
            return _uint(call, place, name)
        return Piece(name, "FD_CLOEXEC", "FD_CLOEXEC", NAMED, bare=True)
    if command in _FCNTL_TABLES:
        return named(call, place, name, _FCNTL_TABLES[command])
    return _any(call, place, name)


_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
# Options of prctl that read no argument, or one (linux/prctl.h).
_PRCTL_NONE = frozenset((3, 7, 21, 27, 30, 31, 32))
_PRCTL_ONE = frozenset((1, 2, 4, 5, 6, 8, 15, 16, 23, 24, 25, 26, 28, 29, 36, 37, 40))


def _prctl_argument(call: Call, place: int, name: str) -> Piece | None:
    option = call.args[0] & _U32
    if option in _PRCTL_NONE or (place > 1 and option in _PRCTL_ONE):
        return None
    if option == _PR_SET_PDEATHSIG:
        return named(call, place, name, "signal")
    if option == _PR_SET_NAME:
        piece = _text(call, place, name)
        piece.rank = min(piece.rank + 1, ABSENT)  # the option stands before it
        return piece
    return _any(call, place, name)


# --- futex ---

# Arguments beyond the operation that each reads (kernel/futex/syscalls.c): val, the timeout
# (a duration or a point in time), a second number in its place, uaddr2, val3.
_FUTEX = {
    0: "val time", 1: "val", 2: "val", 3: "val val2 uaddr2", 4: "val val2 uaddr2 val3",
    5: "val val2 uaddr2 val3", 6: "until", 7: "", 8: "", 9: "val until val3", 10: "val val3",
    11: "val until uaddr2", 12: "val val2 uaddr2 val3", 13: "until",
}  # fmt: skip
_FUTEX_COMMAND = 0x7F  # without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME, as below 0x80


def _futex_reads(call: Call) -> str:
    return _FUTEX.get(call.args[1] & _FUTEX_COMMAND, "val val2 uaddr2 val3")


def _futex_operation(call: Call, place: int, name: str) -> Piece:
    piece = named(call, place, name, "futex")
    # Which clock, and that the futex is private, tell less than what comes after them in a line.
    piece.short = piece.text.partition("|")[0].removesuffix("_PRIVATE") if piece.bare else ""
    return piece


def _futex_val(call: Call, place: int, name: str) -> Piece | None:
    if "val" not in _futex_reads(call).split():
        return None
    piece = _uint(call, place, name)
    piece.rank = SHORT  # a line that is cut behind it lacks no more than a part of the address
    return piece


def _futex_time(call: Call, place: int, name: str) -> Piece | None:
    reads = _futex_reads(call).split()
    if "time" in reads:
        return _time(call, place, name)
    if "until" in reads:
        return _until(call, place, name)
    return _uint(call, place, "val2") if "val2" in reads else None


def _futex_address(call: Call, place: int, name: str) -> Piece | None:
    return _address(call, place, name) if "uaddr2" in _futex_reads(call) else None


def _futex_val3(call: Call, place: int, name: str) -> Piece | None:
    if "val3" not in _futex_reads(call):
        return None
    value = call.args[place] & _U32
    if value == _U32 and call.args[1] & _FUTEX_COMMAND in (9, 10):
        anything = "FUTEX_BITSET_MATCH_ANY"
        return Piece(name, anything, anything, ABSENT)
    return Piece(name, hex(value), value)


# --- What pointers point to ---


def _text(call: Call, place: int, name: str) -> Piece:
    found = call.data.get(place)
    if found is None:
        return _pointer(call, place, name)
    text = string(found)
    return Piece(name, quoted(text), text, FIRST, bare=True)


def string(data: Data) -> str:
    """Memory as text: safe, bounded, and marked where it was cut."""
    text = safe(data.content[: descriptors.LONGEST])
    return text + (ELLIPSIS if data.cut or len(data.content) > descriptors.LONGEST else "")


def quoted(text: str) -> str:
    """A safe text, in quotes if it could be taken for several or for nothing."""
    return f'"{text}"' if not text or _ODD.search(text) else text


# A text with these could be taken for several, or for something else.
_ODD = re.compile(r'[\s"]')


def _seconds(call: Call, place: int) -> tuple[int, int] | None:
    """Seconds and nanoseconds of a timespec, 32 bits each or 64; None where it was not read."""
    content = call.bytes_of(place)
    half = 8 if len(content) >= 16 else 4
    if len(content) < 2 * half:
        return None
    seconds, ns = (
        int.from_bytes(content[at : at + half], "little", signed=True) for at in (0, half)
    )
    return seconds, ns


def _proper(seconds: int, ns: int) -> bool:
    return seconds >= 0 and 0 <= ns < 1_000_000_000


def _exact(seconds: int, ns: int) -> str:
    if not _proper(seconds, ns):  # which calls refuse
        return f"{seconds}s{ns:+}ns"
    return f"{seconds}.{ns:09}".rstrip("0").rstrip(".") + "s"


def _time(call: Call, place: int, name: str) -> Piece:
    found = _seconds(call, place)
    if found is None:
        return _pointer(call, place, name)
    seconds, ns = found
    exact = _exact(seconds, ns)
    proper = _proper(seconds, ns)
    text = duration(seconds * 1_000_000_000 + ns) if proper else exact
    return Piece(name, text, exact, TIME)


def _until(call: Call, place: int, name: str) -> Piece:
    found = _seconds(call, place)
    if found is None:
        return _pointer(call, place, name)
    exact = _exact(*found)
    return Piece(name, f"until {exact}", exact, TIME, bare=True)


def _clock_time(call: Call, place: int, name: str) -> Piece:
    absolute = call.args[1] & 1  # TIMER_ABSTIME, linux/time.h
    piece = _until(call, place, name) if absolute else _time(call, place, name)
    if piece.rank == TIME:
        piece.rank = FIRST
    return piece


def _sockaddr(call: Call, place: int, name: str) -> Piece:
    text = descriptors.sockaddr(call.bytes_of(place))
    if not text:
        return _pointer(call, place, name)
    return Piece(name, text, text, FIRST, bare=True)


def _sockaddr_at(call: Call, place: int, name: str) -> Piece:
    # Until the call has succeeded, this is whatever was in memory before.
    if call.ret is None or call.ret < 0:
        return _pointer(call, place, name)
    return _sockaddr(call, place, name)


def _pollfds(call: Call, place: int, name: str) -> Piece:
    content, asked = call.bytes_of(place), call.args[place + 1] & _U32
    shown = min(asked, POLLFDS, len(content) // 8)
    if not shown:
        return _pointer(call, place, name)
    words = []
    for at in range(0, shown * 8, 8):
        fd = int.from_bytes(content[at : at + 4], "little", signed=True)
        events = int.from_bytes(content[at + 4 : at + 6], "little")
        words.append(f"{fd}:{constant('poll', events)}")
    if asked > shown:
        words.append(ELLIPSIS)
    text = f"[{', '.join(words)}]"
    return Piece(name, text, text, NAMED, bare=True)


def _sigset(call: Call, place: int, name: str) -> Piece:
    content = call.bytes_of(place)
    if len(content) < 8:
        return _pointer(call, place, name)
    mask = int.from_bytes(content[:8], "little")
    # Many signals are told by those that are missing, as strace does.
    missing = mask.bit_count() > 32
    mask ^= _U64 if missing else 0
    names = [str(constant("signal", bit + 1)) for bit in range(64) if mask >> bit & 1]
    text = f"{'~' if missing else ''}[{' '.join(names)}]"
    return Piece(name, text, text, NAMED, bare=True)


def _open_how(call: Call, place: int, name: str) -> Piece:
    content = call.bytes_of(place)
    if len(content) < 24:
        return _pointer(call, place, name)
    flags, mode, resolve = (int.from_bytes(content[at : at + 8], "little") for at in (0, 8, 16))
    text = str(constant("open", flags))
    if flags & _MAKES_FILE:
        text += f" 0{mode:o}"
    if resolve:
        text += f" {constant('resolve', resolve)}"
    return Piece(name, text, text, NAMED, bare=True)


# --- Descriptors ---


def _fd(call: Call, place: int, name: str) -> Piece:
    value = _signed(call.args[place])
    none = value == -1 and call.name in _WITHOUT_FD
    return Piece(name, str(value), value, ABSENT if none else NAMED)


# Where -1 is no mistake: anonymous memory, a new signalfd.
_WITHOUT_FD = frozenset("mmap mmap2 signalfd signalfd4".split())


def _dirfd(call: Call, place: int, name: str) -> Piece:
    value = _signed(call.args[place])
    if value == _AT_FDCWD:
        return Piece(name, "AT_FDCWD", "AT_FDCWD", ABSENT)
    return Piece(name, str(value), value)


HANDLERS: dict[str, Handler] = {
    "fd": _fd,
    "dirfd": _dirfd,
    "path": _text,
    "string": _text,
    "pointer": _pointer,
    "address": _address,
    "any": _any,
    "int": _int,
    "uint": _uint,
    "long": _long,
    "ulong": _size,
    "size": _size,
    "hex": _hex,
    "octal": _octal,
    "offset": _long,
    "ipc_mode": _ipc_mode,
    "milliseconds": _milliseconds,
    "aside": _aside,
    "time": _time,
    "until": _until,
    "clock_time": _clock_time,
    "futex": _futex_operation,
    "futex_val": _futex_val,
    "futex_time": _futex_time,
    "futex_address": _futex_address,
    "futex_val3": _futex_val3,
    "mremap_address": _mremap_address,
    "sockaddr": _sockaddr,
    "sockaddr_at": _sockaddr_at,
    "pollfds": _pollfds,
    "sigset": _sigset,
    "open_how": _open_how,
    "fcntl_argument": _fcntl_argument,
    "option": _option,
    "protocol": _protocol,
    "prctl_argument": _prctl_argument,
}
"""What tells an argument, by its meaning; of all others, :func:`named` with the table."""
