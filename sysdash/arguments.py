"""Names and C types of the arguments of system calls, and what to look up of them in the kernel.

The table is ``signatures.txt`` beside this module; what the running kernel says comes before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from sysdash import meanings, syscalls
from sysdash.records import (
    ARGS,
    DATA_BYTES,
    DATA_SIZED,
    DATA_SIZED_AT,
    DATA_STRING,
    FD_CWD,
    FD_RESULT,
    SYSCALLS,
    DataRule,
    Reads,
)

SIGNATURES = Path(__file__).with_name("signatures.txt")
"""The table of signatures; ``scripts/refresh_signatures.py`` writes it."""

POLLFDS = 8
"""How many descriptors of ``poll`` are read."""

_IA32 = "ia32/"
_DATA = 2  # pieces of memory that are read for a call

# C types of 32 bits, and the mode's, of which the kernel takes 16.
_NARROW = frozenset(
    """
    int unsigned u32 s32 pid_t uid_t gid_t qid_t key_t clockid_t timer_t key_serial_t mqd_t rwf_t
    umode_t
    """.split()
) | {"unsigned int", "enum landlock_rule_type"}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a system call, as the kernel declares it.

    Attributes:
        name: its name.
        type: its C type.
    """

    name: str
    type: str

    @property
    def narrow(self) -> bool:
        """Whether the kernel takes 32 bits of it, also of a 64-bit program."""
        return self.type.removeprefix("const ").strip("_") in _NARROW


Signature = tuple[Argument, ...]


def parse(text: str) -> dict[str, Signature]:
    """The signatures in a table's text, by name.

    Raises:
        ValueError: a line is not a name and its arguments, at most six.
    """
    found = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(" ")
        arguments = []
        for part in rest.split(", ") if rest else ():
            kind, _, argument = part.strip().rpartition(" ")
            if not kind:
                raise ValueError(f"not an argument with its type: {part!r} of {name}")
            arguments.append(Argument(argument, kind))
        if len(arguments) > ARGS:
            raise ValueError(f"more than {ARGS} arguments: {name}")
        found[name] = tuple(arguments)
    return found


def unparse(name: str, signature: Signature) -> str:
    """The line of a table for one call."""
    arguments = ", ".join(f"{argument.type} {argument.name}" for argument in signature)
    return f"{name} {arguments}".strip()


def of_formats(formats: Mapping[str, Iterable[tuple[str, str]]]) -> dict[str, Signature]:
    """Signatures from what the kernel says: the (name, type) of each argument, by the call's name.

    See :func:`sysdash.probes.tracefs.formats`.
    """
    return {
        name: tuple(Argument(*each) for each in arguments) for name, arguments in formats.items()
    }


@cache
def _shipped() -> Mapping[str, Signature]:
    return MappingProxyType(parse(SIGNATURES.read_text(encoding="utf-8")))


class Signatures:
    """The arguments of every system call of every ABI."""

    def __init__(self, found: Mapping[str, Signature] = MappingProxyType({})) -> None:
        """Take what is shipped, and before it what was found.

        Args:
            found: signatures of 64-bit programs that the running kernel tells of, by the call's
                name in the tables.
        """
        self._found = found
        self._known: dict[tuple[int, int], Signature | None] = {}

    def of(self, nr: int, abi: int) -> Signature | None:
        """The arguments of a call; None where nothing is known of it."""
        if (nr, abi) not in self._known:
            if not 0 <= nr < SYSCALLS:
                return None
            self._known[nr, abi] = self._look_up(syscalls.name(nr, abi), abi)
        return self._known[nr, abi]

    def _look_up(self, name: str | None, abi: int) -> Signature | None:
        if name is None:
            return None
        shipped = _shipped()
        if abi == syscalls.IA32 and _IA32 + name in shipped:
            return shipped[_IA32 + name]
        for known in (name, meanings.counterpart(name)):
            for table in (self._found, shipped):
                if known in table:
                    return table[known][:ARGS]
        return None

    def meanings(self, nr: int, abi: int) -> tuple[str, ...]:
        """What each argument of a call means: words of :mod:`sysdash.meanings`."""
        name, signature = syscalls.name(nr, abi), self.of(nr, abi)
        if name is None or signature is None:
            return ()
        return meanings.meanings(
            name, abi, [(argument.name, argument.type) for argument in signature]
        )

    def reads_of(self, nr: int, abi: int) -> Reads:
        """What the probe shall look up for a call."""
        name, words = syscalls.name(nr, abi), self.meanings(nr, abi)
        if name is None:
            return Reads()
        rules = (_rule(name, abi, place, word) for place, word in enumerate(words))
        data = tuple(rule for rule in rules if rule is not None)[:_DATA]
        return Reads(_descriptor(name, words), data)

    def reads(self) -> Mapping[tuple[int, int], Reads]:
        """What the probe shall look up, by (number, ABI code), for all calls that have any."""
        found = {
            number: self.reads_of(*number)
            for name in syscalls.names()
            for number in syscalls.numbers(name)
            if number[0] < SYSCALLS
        }
        return MappingProxyType(
            {number: reads for number, reads in sorted(found.items()) if reads != Reads()}
        )


# Calls whose most telling descriptor is not the first one.
_TELLING = {"epoll_ctl": 2, "epoll_ctl_old": 2, "inotify_add_watch": FD_CWD}


def _descriptor(name: str, words: tuple[str, ...]) -> int | None:
    if name in _TELLING:
        return _TELLING[name]
    if name.startswith("accept"):
        return FD_RESULT
    if "dirfd" in words:
        return words.index("dirfd")
    if "fd" in words:
        return words.index("fd")
    return FD_CWD if "path" in words else None


# 32-bit calls with 32-bit times (struct old_timespec32); those with 64-bit ones have other names.
_TIME32 = frozenset(
    """
    nanosleep clock_nanosleep clock_settime futex io_getevents io_pgetevents mq_timedreceive
    mq_timedsend rt_sigtimedwait semtimedop
    """.split()
)
_TIMES = frozenset(("time", "until", "clock_time", "futex_time"))
_SIZES = {"pollfds": 8 * POLLFDS, "sigset": 8, "open_how": 24}


def _rule(name: str, abi: int, place: int, word: str) -> DataRule | None:
    if word in ("path", "string") or (word == "prctl_argument" and place == 1):
        # Of prctl it is one for PR_SET_NAME alone; what is no address cannot be read.
        return DataRule(place, DATA_STRING)
    if word == "sockaddr":
        return DataRule(place, DATA_SIZED, place + 1)
    if word == "sockaddr_at":
        return DataRule(place, DATA_SIZED_AT, place + 1)
    if word in _TIMES:
        return DataRule(place, DATA_BYTES, 8 if abi == syscalls.IA32 and name in _TIME32 else 16)
    if word in _SIZES:
        return DataRule(place, DATA_BYTES, _SIZES[word])
    return None
