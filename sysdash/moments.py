"""Moments of a recording as a user writes them: by the clock, or from its beginning or end.

Clocks are local ones; times are Unix times in ns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from sysdash.timeline import Window
from sysdash.units import parse_duration

_S = 1_000_000_000
_DAY_NS = 86_400 * _S

_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?")
_FULL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.([0-9]{1,9}))?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_FROM = re.compile(r"([+-])(.+)")

_LONGEST_NS = 2**62

FORMS = "10:00, 10:00:00, 2026-11-21T10:00:00, +30s (from the beginning) or -5m (from the end)"
"""How a moment can be written, for messages and help."""


class _Kind(Enum):
    AT = "a time"
    CLOCK = "a time of day"
    BEGIN = "from the beginning"
    END = "from the end"


class Outside(ValueError):
    """Nothing was recorded there; the message says so, to follow a file's name, and what was."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of whatever recording it is looked for in; :func:`parse` makes it.

    Attributes:
        text: as it was written.
    """

    text: str
    _kind: _Kind
    _ns: int

    def within(self, window: Window, after_ns: int | None = None) -> int:
        """The moment, for something that was recorded in a window. It may lie outside.

        A time of day is the first one inside the window; if none is, the one nearest to it.

        Args:
            window: what was recorded.
            after_ns: a time of day is the first one after this, if one inside is.
        """
        if self._kind is _Kind.AT:
            return self._ns
        if self._kind is _Kind.BEGIN:
            return window.begin_ns + self._ns
        if self._kind is _Kind.END:
            return window.end_ns - self._ns
        # What is shown of a time is its second: that names the window's own beginning and end too.
        begin = window.begin_ns - _S if after_ns is None else after_ns
        nearest = self._of_day(window.begin_ns, -1)[0]
        for day in range(window.length_ns // _DAY_NS + 4):
            for found in self._of_day(window.begin_ns, day - 1):
                if begin < found <= window.end_ns + _S:
                    return found
                nearest = min(nearest, found, key=lambda ns: _distance(ns, window))
        return nearest

    def _of_day(self, time_ns: int, days: int) -> list[int]:
        """This time of day, so many days after the day of a time.

        There are two where the clock is put back over it.
        """
        day = _local(time_ns).replace(hour=0, minute=0, second=0)
        seconds, ns = divmod(self._ns, _S)
        # Of a naive time: by the clock, also where a day has 23 or 25 hours.
        asked = day + timedelta(days=days, seconds=seconds)
        first, again = (int(asked.replace(fold=fold).timestamp()) for fold in (0, 1))
        # Where it is put forward, the second one is before the first, and is not asked for.
        return [at * _S + ns for at in ((first, again) if first < again else (first,))]


def parse(text: str) -> Moment:
    """Understand a moment.

    Raises:
        ValueError: it is none; the message says how one is written.
    """
    kind, ns = _parsed(text.strip())
    return Moment(text.strip(), kind, ns)


def _parsed(text: str) -> tuple[_Kind, int]:
    clock, full, relative = (pattern.fullmatch(text) for pattern in (_CLOCK, _FULL, _FROM))
    try:
        if clock:
            hours, minutes, seconds = (int(part or 0) for part in clock.groups()[:3])
            if hours < 24 and minutes < 60 and seconds < 60:
                whole = (hours * 60 + minutes) * 60 + seconds
                return _Kind.CLOCK, whole * _S + _fraction(clock[4])
        elif full:
            # Source of a time without an offset: datetime.timestamp() takes it for a local one.
            seconds = int(datetime.fromisoformat(text).replace(microsecond=0).timestamp())
            return _Kind.AT, seconds * _S + _fraction(full[1])
        elif relative:
            ns = _length_ns(relative[2])
            if ns <= _LONGEST_NS:
                return (_Kind.BEGIN if relative[1] == "+" else _Kind.END), ns
    except (ValueError, OverflowError, OSError):
        pass
    raise ValueError(f"{text!r} is not a moment: write {FORMS}")


def _length_ns(text: str) -> int:
    """A length of time, plain seconds or with a unit."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        text += "s"
    return parse_duration(text)


def _fraction(digits: str | None) -> int:
    return int((digits or "").ljust(9, "0"))


def _distance(time_ns: int, window: Window) -> int:
    return max(window.begin_ns - time_ns, time_ns - window.end_ns, 0)


def between(since: Moment | None, until: Moment | None, recorded: Window) -> Window:
    """The piece of a recording from one moment to another, as far as it was recorded.

    Args:
        since: None for the beginning.
        until: None for the end. A time of day is the first one after ``since``.
        recorded: what was recorded.

    Raises:
        Outside: nothing was recorded there.
    """
    begin = recorded.begin_ns if since is None else since.within(recorded)
    end = recorded.end_ns if until is None else until.within(recorded, begin)
    found = Window(max(begin, recorded.begin_ns), min(end, recorded.end_ns))
    # Of a time of day outside of what was recorded, nobody knows which day is meant.
    if end < begin and all(not _distance(ns, recorded) for ns in (begin, end)):
        first, last = (moment.text if moment else "" for moment in (since, until))
        raise Outside(f"has nothing from {first} up to {last}: until is before since")
    if found.length_ns <= 0:
        asked = " ".join(
            f"{word} {moment.text}"
            for word, moment in (("from", since), ("up to", until))
            if moment is not None
        )
        what = f"has nothing {asked}".rstrip()
        raise Outside(f"{what}, only {spoken(recorded)}" if recorded.length_ns > 0 else what)
    return found


def spoken(window: Window) -> str:
    """A window in words: ``2026-11-21 10:00:03 to 10:05:07``; with both dates where they differ."""
    begin, end = _local(window.begin_ns), _local(window.end_ns)
    day = "" if begin.date() == end.date() else f"{end:%Y-%m-%d} "
    return f"{begin:%Y-%m-%d %H:%M:%S} to {day}{end:%H:%M:%S}"


def _local(time_ns: int) -> datetime:
    """The local clock's time, in whole seconds, without its offset."""
    return datetime.fromtimestamp(time_ns // _S, UTC).astimezone().replace(tzinfo=None)
