"""``sysdash doctor``: what this machine offers, what is missing, what to do about it."""

from __future__ import annotations

import argparse
import json
import locale
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import sysdash
from sysdash.limits import SMALLEST_SCREEN
from sysdash.probes.capabilities import DEGRADED, FINE, MISSING, Check, checks
from sysdash.units import pad, safe

SCHEMA = "sysdash.doctor/1"

_COLOURS = {FINE: "32", DEGRADED: "33", MISSING: "31"}
_WIDEST = 100


def run(args: argparse.Namespace) -> int:
    """Check this machine, print what was found, and return 0 if the dashboard can run here."""
    found: list[Check] = []
    every = _every_check()
    if args.json:
        found.extend(every)
        print(json.dumps(as_object(found), ensure_ascii=False))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        columns = min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)
        for check in every:
            # One remedy can mend many things: it is told once.
            told = any(check.remedy == other.remedy for other in found)
            shown = replace(check, remedy="") if told else check
            print("\n".join(lines(shown, columns, colour=colour)), flush=True)
            found.append(check)
        print("\n" + textwrap.fill(verdict(found), columns))
    return 0 if can_run(found) else 1


def _every_check() -> Iterator[Check]:
    yield from checks()
    yield from terminal(os.environ, _terminal_size(), _terminfo(os.environ.get("TERM", "")))


def can_run(found: Iterable[Check]) -> bool:
    """Whether the dashboard can run with these results."""
    return all(check.status != MISSING for check in found)


def as_object(found: Sequence[Check]) -> dict[str, object]:
    """The results as the JSON object that ``--json`` prints."""
    return {
        "schema": SCHEMA,
        "version": sysdash.__version__,
        "ok": can_run(found),
        "checks": [
            {"name": c.name, "status": c.status, "detail": c.detail, "remedy": c.remedy or None}
            for c in found
        ],
    }


def verdict(found: Sequence[Check]) -> str:
    """The result of all checks in one line."""
    missing = [check.name for check in found if check.status == MISSING]
    if missing:
        return f"sysdash cannot run here yet: {', '.join(missing)}."
    degraded = [check.name for check in found if check.status == DEGRADED]
    return "sysdash can run here" + (f"; degraded: {', '.join(degraded)}." if degraded else ".")


def lines(check: Check, columns: int, *, colour: bool) -> list[str]:
    """A check as aligned lines.

    Args:
        check: what was found.
        columns: room; a command in a remedy may be longer, for a broken one could not be copied.
        colour: whether the terminal shows colours.
    """
    status = pad(check.status, 9)
    if colour:
        status = f"\x1b[{_COLOURS[check.status]}m{status}\x1b[0m"
    left = pad(check.name, 16)
    detail = textwrap.wrap(check.detail, columns - 26, break_long_words=False) or [""]
    remedy = [f"mend it: {check.remedy}"] if check.remedy else []
    first, *more = detail
    return [f"{left} {status}{first}", *(" " * 26 + line for line in [*more, *remedy])]


# --- The terminal ---


def _terminal_size() -> tuple[int, int] | None:
    for stream in (sys.stdout, sys.stdin, sys.stderr):
        try:
            columns, rows = os.get_terminal_size(stream.fileno())
        except (OSError, ValueError):
            continue
        return columns, rows
    return None


class Terminfo(NamedTuple):
    """What terminfo knows about a terminal."""

    colours: int
    mouse: bool


def _terminfo(term: str) -> Terminfo | None:
    """What terminfo knows about a terminal; None if it does not know it."""
    import curses

    try:
        curses.setupterm(term, fd=2)
    except curses.error:
        return None
    return Terminfo(max(curses.tigetnum("colors"), 0), curses.tigetstr("kmous") is not None)


def terminal(
    environ: Mapping[str, str], size: tuple[int, int] | None, terminfo: Terminfo | None
) -> Iterator[Check]:
    """Check what the terminal can show.

    Args:
        environ: TERM, COLORTERM and NO_COLOR are read.
        size: columns and rows; None where there is no terminal.
        terminfo: what is known about the terminal; None where nothing is.
    """
    if size is None:
        yield Check("terminal", DEGRADED, "none here: the dashboard needs one", "run it in one")
        return
    term = safe(environ.get("TERM", ""))
    columns, rows = size
    least_columns, least_rows = SMALLEST_SCREEN
    if columns < least_columns or rows < least_rows:
        detail = f"{columns}x{rows}; the dashboard needs {least_columns}x{least_rows}"
        yield Check("terminal size", DEGRADED, detail, "make the window larger")
    else:
        yield Check("terminal size", FINE, f"{columns}x{rows}")
    yield _colour_check(environ, term, terminfo)
    yield _mouse_check(term, terminfo)
    codeset = locale.getpreferredencoding(do_setlocale=False)
    if codeset.lower().replace("-", "") == "utf8":
        yield Check("UTF-8", FINE, "bars and lines are drawn with it")
    else:
        detail = f"the locale's characters are {codeset}: bars and lines are drawn in ASCII"
        yield Check("UTF-8", DEGRADED, detail, "export LANG=C.UTF-8")


def _mouse_check(term: str, terminfo: Terminfo | None) -> Check:
    if terminfo is not None and terminfo.mouse:
        return Check("mouse", FINE, "selects and scrolls")
    return Check("mouse", DEGRADED, f"none that terminfo knows of (TERM={term}); keys do it all")


def _colour_check(environ: Mapping[str, str], term: str, terminfo: Terminfo | None) -> Check:
    if environ.get("NO_COLOR"):
        return Check("colours", FINE, "not used, as NO_COLOR asks")
    if terminfo is None:
        detail = f"terminfo does not know TERM={term!r}: no colours"
        return Check("colours", DEGRADED, detail, "export TERM=xterm-256color")
    colours = terminfo.colours
    if environ.get("COLORTERM") in ("truecolor", "24bit") or colours >= 256:
        return Check("colours", FINE, f"256 or more (TERM={term})")
    if colours >= 8:
        return Check("colours", DEGRADED, f"{colours} (TERM={term}): fewer shades")
    return Check("colours", DEGRADED, f"none (TERM={term}): bold and reverse instead")
