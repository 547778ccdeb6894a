"""Text for people: short numbers and times, and strings that a terminal can show without harm."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

ELLIPSIS = "…"
"""Stands for what :func:`fit` cuts off."""

_HARMLESS = "\ufffd"

_NS_PER = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign of keyboards
    "μs": 1_000,  # U+03BC, the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}

_DURATION = re.compile(rf"([0-9]+(?:\.[0-9]+)?)\s*({'|'.join(_NS_PER)})", re.ASCII)

_S = 1_000_000_000


# --- Strings of traced processes ---


@lru_cache(maxsize=4096)
def _char_width(char: str) -> int:
    # Imported at the first character that needs it: the library takes 30 ms to load.
    from wcwidth import wcwidth

    return wcwidth(char)


@lru_cache(maxsize=4096)
def _harmless(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    category = unicodedata.category(char)
    if category == "Zs":
        return " "
    # C: control, format (bidi, zero-width), surrogate, private use, unassigned. M: combining.
    if category[0] in "CM" or category in ("Zl", "Zp"):
        return _HARMLESS
    # Flags and skin tones join with their neighbours in some terminals and not in others.
    if 0x1F1E6 <= code <= 0x1F1FF or 0x1F3FB <= code <= 0x1F3FF:
        return _HARMLESS
    # Hangul vowels, finals and fillers take no room, or room without ink.
    if code in (0x115F, 0x3164, 0xFFA0) or _char_width(char) < 1:
        return _HARMLESS
    return char


def safe(text: bytes | str) -> str:
    """Text that came from a traced process, made fit for a terminal, a label or a file.

    Bytes are read up to their first NUL, as UTF-8. In the result every character is printable
    and takes the same room in every terminal: C0 controls show as their control pictures (``␛``),
    spaces of any kind as a space, and what is invalid, invisible, combining, reordering, private
    or unassigned as U+FFFD. Nothing is dropped, so different names seldom look the same. The
    result is a single line, and ``safe(safe(x)) == safe(x)``.
    """
    if isinstance(text, bytes):
        text = text.partition(b"\0")[0].decode("utf-8", "replace")
    if text.isascii() and text.isprintable():
        return text
    # Composing first keeps the accents of names that were written in decomposed form.
    return "".join(map(_harmless, unicodedata.normalize("NFC", text)))


# --- Display width ---


def width(text: str) -> int:
    """Terminal columns that a :func:`safe` text takes: wide characters count two."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def fit(text: str, columns: int) -> str:
    """``text`` cut to at most ``columns`` columns, the cut shown by an ellipsis."""
    if width(text) <= columns:
        return text
    if columns < 1:
        return ""
    room = columns - 1
    if text.isascii():
        return text[:room] + ELLIPSIS
    end = 0
    for char in text:
        room -= _char_width(char)
        if room < 0:
            break
        end += 1
    return text[:end] + ELLIPSIS


def pad(text: str, columns: int, align: str = "<") -> str:
    """``text`` made exactly ``columns`` columns wide: cut, or filled with spaces.

    Args:
        text: a :func:`safe` text.
        columns: the width.
        align: ``<`` left, ``>`` right or ``^`` centred.
    """
    text = fit(text, columns)
    return f"{text:{align}{max(columns - width(text) + len(text), 0)}}"


# --- Numbers ---


def _three_digits(value: float) -> str:
    if value < 9.995:
        return f"{value:.2f}"
    if value < 99.95:
        return f"{value:.1f}"
    return f"{value:.0f}"


def _scaled(value: float, suffixes: str) -> str:
    """Three significant digits of ``value`` >= 999.5 and the suffix of its thousands."""
    value /= 1000
    index = 0
    while value >= 999.5 and index < len(suffixes) - 1:
        value /= 1000
        index += 1
    return _three_digits(value) + suffixes[index]


def rate(value: float) -> str:
    """A number per second in at most five characters: ``0.25``, ``12.3``, ``212``, ``1.21M``."""
    if value >= 999.5:
        return _scaled(value, "KMGTPE")
    if value >= 99.95 or value == int(value):
        return f"{value:.0f}"
    if value >= 0.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.005 else "<0.01"


def count(number: int, columns: int = 11) -> str:
    """A number of things: ``1,103,220``, or short (``1.10M``) where that is over ``columns``."""
    full = f"{number:,}"
    return full if len(full) <= columns or number < 1000 else _scaled(number, "KMGTPE")


def bytes_(number: int) -> str:
    """An amount of memory or data: ``512B``, ``1.50KB``, ``148MB`` (powers of 1000)."""
    return f"{number}B" if number < 1000 else _scaled(number, "KMGTPE") + "B"


def duration(ns: float) -> str:
    """A time in at most six characters: ``412ns``, ``45.2ms``, ``12.0s``, ``2m05s``, ``3d04h``.

    Args:
        ns: nanoseconds, not negative.
    """
    if ns < 999.5:
        return f"{ns:.0f}ns"
    if ns < 999_500:
        return f"{_three_digits(ns / 1e3)}µs"
    if ns < 999_500_000:
        return f"{_three_digits(ns / 1e6)}ms"
    if ns < 59.95 * _S:
        return f"{_three_digits(ns / _S)}s"
    minutes, seconds = divmod(round(ns / _S), 60)
    if minutes < 60:
        return f"{minutes}m{seconds:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02}h" if days < 100 else f"{days}d"


def power_of_two(ns: int) -> str:
    """A power of two of nanoseconds, as the edges of histograms are called: ``1µs`` is 1,024 ns.

    Args:
        ns: a power of two, or 0.
    """
    return "".join(number_and_unit(ns))


def number_and_unit(ns: int) -> tuple[str, str]:
    """A time in units that are powers of 1,024 ns, as a number and its unit: 1,280 ns is 1.25 µs.

    Args:
        ns: nanoseconds, not negative; zero is zero in any unit.
    """
    for step, unit in ((30, "s"), (20, "ms"), (10, "µs")):
        if ns >> step:
            return f"{ns / (1 << step):g}", unit
    return (f"{ns}", "ns") if ns else ("0", "")


@cache
def parse_duration(text: str) -> int:
    """The nanoseconds of ``"10ms"``, ``"1.5s"``: a number and ns, us, µs, ms, s, m or h.

    Raises:
        ValueError: for anything else; the message says what is allowed.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a duration: {text!r} (write it as 500us, 10ms, 1.5s or 2m)")
    number, unit = match.groups()
    whole, _, fraction = number.partition(".")
    per = _NS_PER[unit]
    return int(whole) * per + round(float(f"0.{fraction or 0}") * per)


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
