"""A slow call in words: its arguments by name, what its descriptor was, what it returned.

Arguments and memory of traced processes may hold anything. What is told is safe and bounded text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from sysdash import descriptors, syscalls
from sysdash.arguments import POLLFDS, Argument, Signatures
from sysdash.constants import tell as constant
from sysdash.model import SlowCall
from sysdash.records import FD_CWD, FD_RESULT, Data, File
from sysdash.units import ELLIPSIS, duration, fit, safe, width

LINE = 200
"""Columns that :meth:`Story.line` takes at most."""

_PART_COLUMNS = 90  # of one word of a line

_AT_FDCWD = -100  # linux/fcntl.h

_U32, _U64 = 2**32 - 1, 2**64 - 1


@dataclass(frozen=True, slots=True)
class Told:
    """One argument.

    Attributes:
        name: as the kernel calls it, or ``arg0`` and so on.
        text: for people.
        value: for programs: a number as such; paths, flags and constants by name, as text; what
            is or can be an address as hexadecimal text; a time as seconds with their unit.
    """

    name: str
    text: str
    value: int | str | None


@dataclass(frozen=True, slots=True)
class Story:
    """One call in words. All text is safe and bounded.

    Attributes:
        arguments: those that the call reads, in their order.
        target: what its descriptor was, or its whole path; empty where that is not known.
        certain: ``target`` was looked up inside the call; otherwise it is what was last seen.
        path: the absolute path that the call is about; None for none, and where it is not certain.
            It ends in " (deleted)", or begins with "…", where :func:`sysdash.descriptors.path` says
            so.
        result: what it returned; empty for a call that has not.
        place: which of ``arguments`` the target belongs to; :data:`sysdash.records.FD_RESULT` for
            the result; None where there is no target.
        words: of a line, the most telling first.
    """

    arguments: tuple[Told, ...]
    target: str
    certain: bool
    path: str | None
    result: str
    place: int | None = None
    words: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def line(self) -> str:
        """The arguments in one compact line, the most telling first; at most 200 columns."""
        return fit(" ".join(self.words), LINE)


# How early an argument is in a line, and whether it is there at all.
_FIRST, _NAMED, _TIME, _SHORT, _NUMBER, _ABSENT = range(6)


# Classes that nobody else sees are no dataclasses, which take half a millisecond each to define.


class _Piece:
    """What is told of one argument: for the list, and for the line.

    There it is ``name=text``, or the text alone if that is ``bare``, or ``short`` if there is one.
    """

    __slots__ = ("bare", "name", "rank", "short", "text", "value")

    def __init__(
        self,
        name: str,
        text: str,
        value: int | str | None,
        rank: int = _NUMBER,
        *,
        bare: bool = False,
    ) -> None:
        self.name = name
        self.text = text
        self.value = value
        self.rank = rank
        self.bare = bare
        self.short = ""


class _Call:
    """A call while it is told: what its handlers look at."""

    __slots__ = ("abi", "args", "data", "name", "ret", "types")

    def __init__(self, plan: _Plan, call: SlowCall) -> None:
        self.name = plan.name
        self.types = plan.types
        self.abi = call.syscall.abi
        self.args = call.args
        self.ret = call.ret
        self.data: dict[int, Data | None] = dict(zip(plan.data, call.detail.data, strict=False))

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


_Handler = Callable[[_Call, int, str], _Piece | None]


# --- Numbers ---


def _int(call: _Call, place: int, name: str) -> _Piece:
    value = _signed(call.args[place])
    return _Piece(name, str(value), value)


def _uint(call: _Call, place: int, name: str) -> _Piece:
    value = call.args[place] & _U32
    return _Piece(name, str(value), value)


def _long(call: _Call, place: int, name: str) -> _Piece:
    value = call.wide(place)
    top = 2**31 if call.abi == syscalls.IA32 else 2**63
    value -= 2 * top if value >= top else 0
    return _Piece(name, str(value), value)


def _size(call: _Call, place: int, name: str) -> _Piece:
    value = call.wide(place)
    return _Piece(name, str(value), value)


def _aside(call: _Call, place: int, name: str) -> _Piece:
    piece = _size(call, place, name)
    piece.rank = _ABSENT
    return piece


def _hex(call: _Call, place: int, name: str) -> _Piece:
    value = call.number(place)
    return _Piece(name, hex(value) if value else "0", value, _NUMBER if value else _ABSENT)


def _any(call: _Call, place: int, name: str) -> _Piece:
    piece = _hex(call, place, name)
    piece.value = hex(call.wide(place))  # it may be an address
    return piece


def _octal(call: _Call, place: int, name: str) -> _Piece | None:
    before = place - 1
    if call.name in ("open", "openat", "mq_open") and not call.args[before] & _MAKES_FILE:
        return None  # the mode is not read
    value = call.args[place] & (0xFFFF if call.types[place].type == "umode_t" else _U32)
    return _Piece(name, f"0{value:o}" if value else "0", value)


_MAKES_FILE = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE (asm-generic/fcntl.h)


def _ipc_mode(call: _Call, place: int, name: str) -> _Piece:
    value = call.args[place] & _U32
    text = ipc_mode(value)
    return _Piece(name, text, value if text[0].isdigit() else text, _NAMED, bare=True)


def ipc_mode(value: int) -> str:
    """Flags and mode of ``shmget`` and the like: ``IPC_CREAT|0600``."""
    mode, flags = value & 0o777, constant("ipc_get", value & ~0o777)
    return f"0{mode:o}" if flags == "0" else f"{flags}|0{mode:o}"


def _milliseconds(call: _Call, place: int, name: str) -> _Piece:
    value = _signed(call.args[place])
    return _Piece(name, str(value) if value < 0 else duration(value * 1_000_000), value, _TIME)


def _address(call: _Call, place: int, name: str) -> _Piece:
    value = call.wide(place)
    rank = _NUMBER if value else _ABSENT
    return _Piece(name, hex(value) if value else "NULL", hex(value), rank)


def _pointer(call: _Call, place: int, name: str) -> _Piece:
    piece = _address(call, place, name)
    piece.rank = _ABSENT
    return piece


def _mremap_address(call: _Call, place: int, name: str) -> _Piece | None:
    # Read only with MREMAP_FIXED or MREMAP_DONTUNMAP (linux/mman.h).
    return _address(call, place, name) if call.args[3] & 6 else None


def _signed(value: int) -> int:
    value &= _U32
    return value - 2**32 if value >= 2**31 else value


# --- Constants ---

HEXADECIMAL = frozenset("ioctl arch_prctl ptrace prctl key".split())
"""Tables of constants whose numbers are told in hexadecimal where they have no name."""


def _named(call: _Call, place: int, name: str, table: str) -> _Piece:
    value = call.number(place)
    text = constant(table, value)
    if text is None:
        number = _signed(value) if value <= _U32 else value
        return _Piece(name, hex(value) if table in HEXADECIMAL else str(number), number)
    if text == "0":
        return _Piece(name, text, 0, _ABSENT)
    return _Piece(name, text, text, _NAMED, bare=True)


def _protocol(call: _Call, place: int, name: str) -> _Piece:
    family = call.args[0] & _U32
    if family == 16:  # AF_NETLINK
        return _named(call, place, name, "netlink")
    known = family in (2, 10)  # AF_INET, AF_INET6
    piece = _named(call, place, name, "ip_protocol") if known else _int(call, place, name)
    if not call.args[place] & _U32:
        piece.rank = _ABSENT  # the type says it
    return piece


_OPTIONS = {0: "ip_option", 1: "socket_option", 6: "tcp_option", 41: "ipv6_option"}


def _option(call: _Call, place: int, name: str) -> _Piece:
    table = _OPTIONS.get(call.args[1] & _U32)
    return _int(call, place, name) if table is None else _named(call, place, name, table)


# What fcntl's commands make of their argument (linux/fcntl.h, asm-generic/fcntl.h).
_F_DUPFD, _F_SETFD, _F_SETFL, _F_DUPFD_CLOEXEC = 0, 2, 4, 1030
_FD_CLOEXEC = 1
_FCNTL_TABLES = {_F_SETFL: "open", 10: "signal", 1033: "seals"}  # F_SETSIG, F_ADD_SEALS
_FCNTL_NOTHING = frozenset((1, 3, 9, 11, 1025, 1032, 1034))
_FCNTL_NUMBER = frozenset((_F_DUPFD, 8, 1024, 1027, _F_DUPFD_CLOEXEC, 1031))
_FCNTL_POINTER = frozenset((5, 6, 7, 12, 13, 14, 15, 16, 17, 36, 37, 38, *range(1035, 1039)))


def _fcntl_argument(call: _Call, place: int, name: str) -> _Piece | None:
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
        return _Piece(name, "FD_CLOEXEC", "FD_CLOEXEC", _NAMED, bare=True)
    if command in _FCNTL_TABLES:
        return _named(call, place, name, _FCNTL_TABLES[command])
    return _any(call, place, name)


_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
# Options of prctl that read no argument, or one (linux/prctl.h).
_PRCTL_NONE = frozenset((3, 7, 21, 27, 30, 31, 32))
_PRCTL_ONE = frozenset((1, 2, 4, 5, 6, 8, 15, 16, 23, 24, 25, 26, 28, 29, 36, 37, 40))


def _prctl_argument(call: _Call, place: int, name: str) -> _Piece | None:
    option = call.args[0] & _U32
    if option in _PRCTL_NONE or (place > 1 and option in _PRCTL_ONE):
        return None
    if option == _PR_SET_PDEATHSIG:
        return _named(call, place, name, "signal")
    if option == _PR_SET_NAME:
        piece = _text(call, place, name)
        piece.rank = min(piece.rank + 1, _ABSENT)  # the option stands before it
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


def _futex_reads(call: _Call) -> str:
    return _FUTEX.get(call.args[1] & _FUTEX_COMMAND, "val val2 uaddr2 val3")


def _futex_operation(call: _Call, place: int, name: str) -> _Piece:
    piece = _named(call, place, name, "futex")
    # Which clock, and that the futex is private, tell less than what comes after them in a line.
    piece.short = piece.text.partition("|")[0].removesuffix("_PRIVATE") if piece.bare else ""
    return piece


def _futex_val(call: _Call, place: int, name: str) -> _Piece | None:
    if "val" not in _futex_reads(call).split():
        return None
    piece = _uint(call, place, name)
    piece.rank = _SHORT  # a line that is cut behind it lacks no more than a part of the address
    return piece


def _futex_time(call: _Call, place: int, name: str) -> _Piece | None:
    reads = _futex_reads(call).split()
    if "time" in reads:
        return _time(call, place, name)
    if "until" in reads:
        return _until(call, place, name)
    return _uint(call, place, "val2") if "val2" in reads else None


def _futex_address(call: _Call, place: int, name: str) -> _Piece | None:
    return _address(call, place, name) if "uaddr2" in _futex_reads(call) else None


def _futex_val3(call: _Call, place: int, name: str) -> _Piece | None:
    if "val3" not in _futex_reads(call):
        return None
    value = call.args[place] & _U32
    if value == _U32 and call.args[1] & _FUTEX_COMMAND in (9, 10):
        anything = "FUTEX_BITSET_MATCH_ANY"
        return _Piece(name, anything, anything, _ABSENT)
    return _Piece(name, hex(value), value)


# --- What pointers point to ---


def _text(call: _Call, place: int, name: str) -> _Piece:
    found = call.data.get(place)
    if found is None:
        return _pointer(call, place, name)
    text = _string(found)
    return _Piece(name, quoted(text), text, _FIRST, bare=True)


def _string(data: Data) -> str:
    text = safe(data.content[: descriptors.LONGEST])
    return text + (ELLIPSIS if data.cut or len(data.content) > descriptors.LONGEST else "")


def quoted(text: str) -> str:
    """A safe text, in quotes if it could be taken for several or for nothing."""
    return f'"{text}"' if not text or _ODD.search(text) else text


# A text with these could be taken for several, or for something else.
_ODD = re.compile(r'[\s"]')


def _seconds(call: _Call, place: int) -> tuple[int, int] | None:
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


def _time(call: _Call, place: int, name: str) -> _Piece:
    found = _seconds(call, place)
    if found is None:
        return _pointer(call, place, name)
    seconds, ns = found
    exact = _exact(seconds, ns)
    proper = _proper(seconds, ns)
    text = duration(seconds * 1_000_000_000 + ns) if proper else exact
    return _Piece(name, text, exact, _TIME)


def _until(call: _Call, place: int, name: str) -> _Piece:
    found = _seconds(call, place)
    if found is None:
        return _pointer(call, place, name)
    exact = _exact(*found)
    return _Piece(name, f"until {exact}", exact, _TIME, bare=True)


def _clock_time(call: _Call, place: int, name: str) -> _Piece:
    absolute = call.args[1] & 1  # TIMER_ABSTIME, linux/time.h
    piece = _until(call, place, name) if absolute else _time(call, place, name)
    if piece.rank == _TIME:
        piece.rank = _FIRST
    return piece


def _sockaddr(call: _Call, place: int, name: str) -> _Piece:
    text = descriptors.sockaddr(call.bytes_of(place))
    if not text:
        return _pointer(call, place, name)
    return _Piece(name, text, text, _FIRST, bare=True)


def _sockaddr_at(call: _Call, place: int, name: str) -> _Piece:
    # Until the call has succeeded, this is whatever was in memory before.
    if call.ret is None or call.ret < 0:
        return _pointer(call, place, name)
    return _sockaddr(call, place, name)


def _pollfds(call: _Call, place: int, name: str) -> _Piece:
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
    return _Piece(name, text, text, _NAMED, bare=True)


def _sigset(call: _Call, place: int, name: str) -> _Piece:
    content = call.bytes_of(place)
    if len(content) < 8:
        return _pointer(call, place, name)
    mask = int.from_bytes(content[:8], "little")
    # Many signals are told by those that are missing, as strace does.
    missing = mask.bit_count() > 32
    mask ^= _U64 if missing else 0
    names = [str(constant("signal", bit + 1)) for bit in range(64) if mask >> bit & 1]
    text = f"{'~' if missing else ''}[{' '.join(names)}]"
    return _Piece(name, text, text, _NAMED, bare=True)


def _open_how(call: _Call, place: int, name: str) -> _Piece:
    content = call.bytes_of(place)
    if len(content) < 24:
        return _pointer(call, place, name)
    flags, mode, resolve = (int.from_bytes(content[at : at + 8], "little") for at in (0, 8, 16))
    text = str(constant("open", flags))
    if flags & _MAKES_FILE:
        text += f" 0{mode:o}"
    if resolve:
        text += f" {constant('resolve', resolve)}"
    return _Piece(name, text, text, _NAMED, bare=True)


# --- Descriptors ---


def _fd(call: _Call, place: int, name: str) -> _Piece:
    value = _signed(call.args[place])
    none = value == -1 and call.name in _WITHOUT_FD
    return _Piece(name, str(value), value, _ABSENT if none else _NAMED)


# Where -1 is no mistake: anonymous memory, a new signalfd.
_WITHOUT_FD = frozenset("mmap mmap2 signalfd signalfd4".split())


def _dirfd(call: _Call, place: int, name: str) -> _Piece:
    value = _signed(call.args[place])
    if value == _AT_FDCWD:
        return _Piece(name, "AT_FDCWD", "AT_FDCWD", _ABSENT)
    return _Piece(name, str(value), value)


_HANDLERS: dict[str, _Handler] = {
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


# --- The teller ---

# Calls that return a descriptor.
_RETURNS_FD = frozenset(
    """
    accept accept4 creat dup dup2 dup3 epoll_create epoll_create1 eventfd eventfd2 fanotify_init
    fsmount fsopen fspick inotify_init inotify_init1 io_uring_setup landlock_create_ruleset
    memfd_create memfd_secret mq_open open open_by_handle_at open_tree open_tree_attr openat openat2
    perf_event_open pidfd_getfd pidfd_open signalfd signalfd4 socket timerfd_create userfaultfd
    """.split()
)
RETURNS_ADDRESS = frozenset("brk mmap mmap2 mremap shmat".split())
"""Calls that return an address."""

_EXECS = frozenset(("execve", "execveat"))


class _Plan(NamedTuple):
    """How the calls of one number are told.

    Attributes:
        name: the call's name.
        types: its arguments.
        handlers: for each, what tells it.
        data: the arguments whose memory was read, in order.
        fd: as in :class:`sysdash.records.Reads`.
        path: the argument that is a path below what ``fd`` says; None for none.
        address: the argument that is a socket's address, which the descriptor may tell as well.
    """

    name: str
    types: tuple[Argument, ...]
    handlers: tuple[_Handler, ...]
    data: tuple[int, ...]
    fd: int | None
    path: int | None
    address: int | None


class Teller:
    """Tells slow calls in words."""

    def __init__(self, signatures: Signatures) -> None:
        """Take the arguments of each call from ``signatures``."""
        self._signatures = signatures
        self._plans: dict[tuple[int, int], _Plan] = {}

    def tell(self, call: SlowCall) -> Story:
        """A call in words; any content of its arguments and memory will do."""
        plan = self._plan(call.syscall.nr, call.syscall.abi)
        if plan is None:
            return _raw(call)
        if plan.name in _EXECS and call.ret == 0:
            return _executed(plan, call)
        if not call.args:
            return Story((), "", True, None, _result(plan.name, call))
        told = _Call(plan, call)
        pieces = [
            handler(told, place, argument.name)
            for place, (argument, handler) in enumerate(zip(plan.types, plan.handlers, strict=True))
        ]
        place = _Place(plan, told, None if plan.fd is None else call.detail.file, pieces)
        target, path, certain = place.target()
        arguments = tuple(
            Told(piece.name, piece.text, piece.value) for piece in pieces if piece is not None
        )
        at = place.among_told() if target else None
        words = place.words(target, certain=certain)
        return Story(arguments, target, certain, path, _result(plan.name, call), at, words)

    def _plan(self, nr: int, abi: int) -> _Plan | None:
        plan = self._plans.get((nr, abi))
        if plan is not None:
            return plan
        signature, name = self._signatures.of(nr, abi), syscalls.name(nr, abi)
        if signature is None or name is None:
            return None
        words = self._signatures.meanings(nr, abi)
        reads = self._signatures.reads_of(nr, abi)
        plan = _Plan(
            name=name,
            types=tuple(Argument(safe(each.name), each.type) for each in signature),
            handlers=tuple(_HANDLERS.get(word) or partial(_named, table=word) for word in words),
            data=tuple(rule.argument for rule in reads.data),
            fd=reads.fd,
            path=_path_place(words, reads.fd),
            address=next(
                (place for place, word in enumerate(words) if word.startswith("sockaddr")), None
            ),
        )
        self._plans[nr, abi] = plan
        return plan


def _path_place(words: tuple[str, ...], fd: int | None) -> int | None:
    if fd == FD_CWD:
        return words.index("path")
    if fd is None or fd == FD_RESULT or words[fd] != "dirfd":
        return None
    return fd + 1 if words[fd + 1 : fd + 2] == ("path",) else None


def _raw(call: SlowCall) -> Story:
    """A call of which nothing is known but its registers."""
    arguments = tuple(
        Told(f"arg{place}", hex(value), hex(value)) for place, value in enumerate(call.args)
    )
    words = tuple(f"{each.name}={each.text}" for each in arguments)
    return Story(arguments, "", True, None, _result("", call), words=words)


def _executed(plan: _Plan, call: SlowCall) -> Story:
    """A successful exec: its registers are the new program's, all that is known is the file."""
    data = call.detail.data[0]
    if data is None:
        return Story((), "", True, None, _result(plan.name, call))
    text = _string(data)
    shown = quoted(text)
    target, path, certain = _below(data, call.detail.file)
    word = quoted(_tail(target)) + ("" if certain else "?") if target else shown
    told, at = Told("filename", shown, text), 0 if target else None
    return Story((told,), target, certain, path, _result(plan.name, call), at, (word,))


def _below(data: Data, folder: File | None) -> tuple[str, str | None, bool]:
    """Target, path and certainty of a path, which is below a folder if it is relative."""
    text = _string(data)
    if text.startswith("/"):
        return text, text, True
    base = None if folder is None else descriptors.path(folder)
    if base is None or folder is None:
        return "", None, True
    # A folder's path has no symbolic links in it, so the way up from there is known.
    whole = base.startswith("/")
    while text.startswith(("./", "../")) or text in (".", ".."):
        step, _, text = text.partition("/")
        if step == "..":
            if not whole or folder.deleted:
                return "", None, True
            base = base.rpartition("/")[0]
    if text and folder.deleted:
        return text, None, True  # there is no way to it any more
    path = descriptors.limited(f"{base.rstrip('/')}/{text}" if text else base or "/")
    return path, path if folder.certain else None, folder.certain


def _result(name: str, call: SlowCall) -> str:
    if call.ret is None or name in syscalls.SIGRETURNS:
        return ""
    if call.errno is not None:
        return syscalls.errno_name(call.errno)
    if name in _RETURNS_FD or (name in _FCNTLS and _duplicates(call)):
        return f"fd {call.ret}"
    if name in RETURNS_ADDRESS:
        return hex(call.ret & (_U32 if call.syscall.abi == syscalls.IA32 else _U64))
    return str(call.ret)


_FCNTLS = frozenset(("fcntl", "fcntl64"))


def _duplicates(call: SlowCall) -> bool:
    """Whether an fcntl returns a descriptor."""
    return bool(call.args) and call.args[1] & _U32 in (_F_DUPFD, _F_DUPFD_CLOEXEC)


class _Place(NamedTuple):
    """Where a call's target belongs, and what it is."""

    plan: _Plan
    call: _Call
    file: File | None
    pieces: list[_Piece | None]

    def target(self) -> tuple[str, str | None, bool]:
        """What the descriptor was or which path is meant, the path, and whether that is certain."""
        if self.plan.path is None:
            return self._of_file(self._socket_path())
        data = self.call.data.get(self.plan.path)
        if self._names_nothing(data):
            failed = self.call.ret is not None and self.call.ret < 0
            return ("", None, True) if failed else self._of_file(None)
        if data is None:
            return "", None, True
        if self.call.name == "chdir" and self.call.ret == 0 and not data.content.startswith(b"/"):
            return self._of_file(None)  # which is the new folder
        return _below(data, self.file)

    def _names_nothing(self, data: Data | None) -> bool:
        """Whether the descriptor itself is meant: by AT_EMPTY_PATH, or a path that is NULL."""
        place = self.plan.path
        if place is None or self.plan.fd == FD_CWD:
            return False
        return not self.call.args[place] if data is None else not data.content

    def _of_file(self, otherwise: str | None) -> tuple[str, str | None, bool]:
        if self.file is None:
            return "", otherwise, True
        path = descriptors.path(self.file) if self.file.certain else None
        return descriptors.describe(self.file), path or otherwise, self.file.certain

    def of_target(self) -> int | None:
        """The argument that the target belongs to, or :data:`FD_RESULT`; None for none."""
        plan = self.plan
        if plan.path is not None and not self._names_nothing(self.call.data.get(plan.path)):
            return plan.path
        if plan.fd == FD_RESULT and (self.call.ret is None or self.call.ret < 0):
            return 0  # there is only the socket that accept listens on
        return plan.fd

    def among_told(self) -> int | None:
        """Likewise, as :attr:`Story.place` has it."""
        place = self.of_target()
        if place is None or place == FD_RESULT:
            return place
        return sum(piece is not None for piece in self.pieces[:place])

    def _socket_path(self) -> str | None:
        """The path in the address of connect or bind."""
        if self.call.name not in ("connect", "bind"):
            return None
        content = self.call.bytes_of(1)
        if content[:2] != b"\1\0" or content[2:3] != b"/":  # AF_UNIX
            return None
        return descriptors.unix_address(content[2:])

    def words(self, target: str, *, certain: bool) -> tuple[str, ...]:
        """The words of a line."""
        plan, at = self.plan, self.of_target()
        named = plan.path is not None and at == plan.path
        shown = _tail(target)
        if named:
            shown = quoted(shown)
        if not certain:
            shown += "?"
        ranked: tuple[list[str], ...] = tuple([] for _ in range(_ABSENT))
        if target and at == FD_RESULT:
            ranked[_FIRST].append(shown)
        for place, piece in enumerate(self.pieces):
            if piece is None:
                continue
            if target and place == plan.path:
                # Also where it is empty: the descriptor that is meant stands before it.
                ranked[_FIRST].append(shown)
            elif place == plan.fd and plan.path is not None:
                # A folder: it is in the path already.
                if piece.rank != _ABSENT and not (named and target):
                    ranked[_FIRST].append(f"{piece.name}={piece.text}")
            elif place == at and not named and (target or piece.rank != _ABSENT):
                ranked[_FIRST].append(f"{piece.name}={piece.text}")
                if target:
                    ranked[_FIRST].append(shown)
            elif piece.rank != _ABSENT and not (place == plan.address and piece.text in target):
                text = _tail(piece.text) if piece.rank == _FIRST else fit(piece.text, _PART_COLUMNS)
                word = text if piece.bare else f"{piece.name}={text}"
                ranked[piece.rank].append(piece.short or word)
        return tuple(word for words in ranked for word in words)


def _tail(text: str) -> str:
    return end_of(text, _PART_COLUMNS)


def end_of(text: str, columns: int) -> str:
    """As much of the end of a text as fits, of a path from a name's beginning if one is soon.

    Args:
        text: safe text.
        columns: the room, at least 1.
    """
    if width(text) <= columns:
        return text
    text = text[max(len(text) - columns + 1, 0) :]
    while width(text) >= columns:
        text = text[1:]
    name = text.find("/")
    return ELLIPSIS + (text[name:] if 0 <= name < len(text) // 2 else text)
