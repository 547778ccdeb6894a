"""Which values the calls of a system call have: what can be asked, and the answer as it grows.

Values come from traced processes. What is kept of them is safe and bounded text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sysdash import constants, syscalls
from sysdash.arguments import Signatures
from sysdash.model import Snapshot, Syscall
from sysdash.quantity import RET, Quantity, argument_names, find, histogram
from sysdash.records import ARGS, VALUE_HISTOGRAM, VALUE_NUMBER

MOST_VALUES = 10_000
"""Different values that are kept; those that most calls have come early."""

# Of these it is the address of memory that would be counted, which tells nothing.
_MEMORY = frozenset(
    """
    pointer aside time until clock_time futex_time sockaddr sockaddr_at pollfds sigset open_how
    """.split()
)
_SPREAD = frozenset(("offset",))
"""Meanings that hardly two calls share a value of."""

TO = " \u2013 "
"""Stands between the ends of a range."""

_RESULT = "result"
_RANKS = {"prot": 1, "size": 2, "milliseconds": 4, "fd": 5, _RESULT: 6}
_OF_TEXT, _OF_NAMES, _OF_FLAGS, _LAST = 0, 1, 3, 7


@dataclass(frozen=True)
class Question:
    """What is to be counted.

    Attributes:
        quantity: the values.
        pid: of this process alone; None for all.
        errno: of the calls that fail with this error alone; None for all.
    """

    quantity: Quantity
    pid: int | None = None
    errno: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One value, or one range of them.

    Attributes:
        value: tells it from the others; of a range, the lowest number.
        text: for people.
        calls: how many calls had it.
        failed: whether it is an error.
    """

    value: int | str
    text: str
    calls: int
    failed: bool = False


@dataclass(frozen=True, eq=False)
class Distribution:
    """How many calls had each value, from the moment at which counting began.

    Attributes:
        question: what was counted.
        began_ns, time_ns: from when to when, in Unix time.
        calls: how many calls had a value that was counted.
        entries: the most frequent value first; ranges in ascending order, without the empty ones at
            both ends.
        others: calls whose values are not among the entries, as there are too many different ones.
        lost: everything lost since then, as in :attr:`sysdash.model.Snapshot.lost`.
    """

    question: Question
    began_ns: int
    time_ns: int
    calls: int
    entries: tuple[Entry, ...]
    others: int
    lost: Mapping[str, int]


class Gathering:
    """Adds up the values of one interval after another; bounded."""

    def __init__(self, question: Question, most: int = MOST_VALUES) -> None:
        """Count nothing yet; ``most`` different values at the most."""
        self._question = question
        self._most = most
        self._began_ns: int | None = None
        self._told: dict[int | bytes, int | str] = {}
        self._texts: dict[int | str, tuple[str, bool]] = {}
        self._counts: Counter[int | str] = Counter()
        self._others = 0

    def add(self, snapshot: Snapshot) -> Distribution:
        """Add an interval; returns all that there was until its end."""
        if self._began_ns is None:
            self._began_ns = snapshot.time_ns - round(snapshot.interval_s * 1e9)
        for found, calls in snapshot.values.items():
            value = self._value(found)
            if value is None:
                self._others += calls
            else:
                self._counts[value] += calls
        entries = self._ranges() if self._question.quantity.bucketed else self._values()
        return Distribution(
            question=self._question,
            began_ns=self._began_ns,
            time_ns=snapshot.time_ns,
            calls=self._counts.total() + self._others,
            entries=entries,
            others=self._others,
            lost=snapshot.lost,
        )

    def _value(self, found: int | bytes) -> int | str | None:
        """What a value of the probe is counted as; None for one that there is no room for."""
        quantity = self._question.quantity
        if quantity.bucketed:
            return found if isinstance(found, int) else None
        if found in self._told:
            return self._told[found]
        if len(self._told) >= self._most:
            return None
        told = quantity.tell(found)
        self._told[found] = told.value
        failed = quantity.meaning == _RESULT and told.name is not None
        self._texts[told.value] = told.text, failed
        return told.value

    def _values(self) -> tuple[Entry, ...]:
        # Values of a quantity are all numbers, or all text.
        order = sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(
            Entry(value, self._texts[value][0], calls, self._texts[value][1])
            for value, calls in order
        )

    def _ranges(self) -> tuple[Entry, ...]:
        digits = self._question.quantity.digits
        buckets: dict[int | bytes, int] = {
            bucket: calls for bucket, calls in self._counts.items() if isinstance(bucket, int)
        }
        found = [(low, high, digits(low), calls) for low, high, calls in histogram(buckets)]
        width = max((len(first) for _, _, first, _ in found), default=0)
        return tuple(
            Entry(low, f"{first:>{width}}" + (f"{TO}{digits(high)}" if low != high else ""), calls)
            for low, high, first, calls in found
        )


# --- What can be asked ---


def choices(signatures: Signatures, syscall: Syscall) -> tuple[Quantity, ...]:
    """What can be counted of a call: its arguments in their order, then what it returns.

    Arguments that are addresses of memory that the call reads or writes are left out.

    Raises:
        ValueError: nothing can, for a reason that the message tells in one line.
    """
    name = syscalls.name(syscall.nr, syscall.abi)
    if name is None:
        raise ValueError("the arguments of a call without a name are not known")
    returns = find(signatures, name, None)
    names = argument_names(signatures, name)
    if signatures.of(*returns.numbers[0]) is None:
        names = tuple(map(str, range(ARGS)))
    found = [_argument(signatures, name, argument) for argument in names if argument != RET]
    quantities = [
        replace(quantity, numbers=numbers)
        for quantity in (*found, returns)
        if quantity is not None
        and quantity.meaning not in _MEMORY
        and (numbers := tuple(n for n in quantity.numbers if n[1] == syscall.abi))
    ]
    return tuple(quantities)


def _argument(signatures: Signatures, syscall: str, argument: str) -> Quantity | None:
    try:
        quantity = find(signatures, syscall, argument)
    except ValueError:
        return None  # execve's arguments are gone when it returns
    return other_kind(quantity) if quantity.meaning in _SPREAD else quantity


def most_telling(quantities: tuple[Quantity, ...]) -> Quantity:
    """What to count first: a path, else what says what the call is to do, else how much, and so on.

    Args:
        quantities: what :func:`choices` gives.
    """
    return min(quantities, key=_rank)


def _rank(quantity: Quantity) -> int:
    if quantity.textual:
        return _OF_TEXT
    if quantity.meaning in _RANKS:
        return _RANKS[quantity.meaning]
    if quantity.meaning in constants.TABLES:
        return _OF_NAMES if constants.TABLES[quantity.meaning]().names else _OF_FLAGS
    return _LAST


def other_kind(quantity: Quantity) -> Quantity:
    """The same by powers of two if it is by single values, and the other way round.

    Text, which has no powers of two, stays as it is.
    """
    if quantity.textual:
        return quantity
    kind = VALUE_NUMBER if quantity.bucketed else VALUE_HISTOGRAM
    return replace(quantity, rule=replace(quantity.rule, kind=kind))
