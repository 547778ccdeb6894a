"""A slow call in words: its arguments by name, what its descriptor was, what it returned.

Arguments and memory of traced processes may hold anything. What is told is safe and bounded text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from sysdash import descriptors, syscalls
from sysdash.arguments import Argument, Signatures
from sysdash.model import SlowCall
from sysdash.pieces import (
    ABSENT,
    DUPLICATES,
    FIRST,
    HANDLERS,
    Call,
    Handler,
    Piece,
    named,
    quoted,
    string,
)
from sysdash.records import FD_CWD, FD_RESULT, Data, File
from sysdash.units import end_of, fit, safe

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
    handlers: tuple[Handler, ...]
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
        told = Call(plan.name, plan.types, plan.data, call)
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
            handlers=tuple(HANDLERS.get(word) or partial(named, table=word) for word in words),
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
    text = string(data)
    shown = quoted(text)
    target, path, certain = _below(data, call.detail.file)
    word = quoted(_tail(target)) + ("" if certain else "?") if target else shown
    told, at = Told("filename", shown, text), 0 if target else None
    return Story((told,), target, certain, path, _result(plan.name, call), at, (word,))


def _below(data: Data, folder: File | None) -> tuple[str, str | None, bool]:
    """Target, path and certainty of a path, which is below a folder if it is relative."""
    text = string(data)
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
    return bool(call.args) and call.args[1] & _U32 in DUPLICATES


class _Place(NamedTuple):
    """Where a call's target belongs, and what it is."""

    plan: _Plan
    call: Call
    file: File | None
    pieces: list[Piece | None]

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
        ranked: tuple[list[str], ...] = tuple([] for _ in range(ABSENT))
        if target and at == FD_RESULT:
            ranked[FIRST].append(shown)
        for place, piece in enumerate(self.pieces):
            if piece is None:
                continue
            if target and place == plan.path:
                # Also where it is empty: the descriptor that is meant stands before it.
                ranked[FIRST].append(shown)
            elif place == plan.fd and plan.path is not None:
                # A folder: it is in the path already.
                if piece.rank != ABSENT and not (named and target):
                    ranked[FIRST].append(f"{piece.name}={piece.text}")
            elif place == at and not named and (target or piece.rank != ABSENT):
                ranked[FIRST].append(f"{piece.name}={piece.text}")
                if target:
                    ranked[FIRST].append(shown)
            elif piece.rank != ABSENT and not (place == plan.address and piece.text in target):
                text = _tail(piece.text) if piece.rank == FIRST else fit(piece.text, _PART_COLUMNS)
                word = text if piece.bare else f"{piece.name}={text}"
                ranked[piece.rank].append(piece.short or word)
        return tuple(word for words in ranked for word in words)


def _tail(text: str) -> str:
    return end_of(text, _PART_COLUMNS)
