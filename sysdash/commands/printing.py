"""How the command-line tools print: whole intervals at once, in what the output can encode."""

from __future__ import annotations

import argparse
import codecs
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from sysdash.aggregates import Aggregate
from sysdash.bars import ascii_blocks
from sysdash.errors import CannotCollect
from sysdash.interrupts import ENDING
from sysdash.model import Snapshot
from sysdash.report.losses import inexact_line, lost_line

_STUCK_MS = 100
"""How long the output may take nothing before pending signals are looked for."""

_NO_TERMINAL = 100
"""Columns where there is no terminal: no syscall's name is cut in these."""


def columns() -> int:
    """The columns of the terminal that the output is read on, be it through a pager.

    ``COLUMNS`` in the environment decides before any terminal does. Windows change, so that this
    is to be asked each time.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and len(given) < 10 and int(given):
        return int(given)
    # A pipe leads to a pager on the terminal that messages or keys are on.
    for descriptor in (1, 2, 0):
        with suppress(OSError):
            found = os.get_terminal_size(descriptor).columns
            if found:  # not a serial line, which has no size
                return found
    return _NO_TERMINAL


def announce(args: argparse.Namespace) -> None:
    """Say that calls are being collected, to a person who waits for the result."""
    if not args.json and args.from_file is None and sys.stderr.isatty():
        print("Tracing syscalls... Ctrl+C to end.", file=sys.stderr, flush=True)


def tell(words: str) -> None:
    """Say something on standard error."""
    print(f"sysdash: {words}", file=sys.stderr, flush=True)


def clock(aggregate: Aggregate) -> str:
    """The local time of an interval's end, ``HH:MM:SS``."""
    return time.strftime("%H:%M:%S", time.localtime(aggregate.time_ns // 1_000_000_000))


def text(args: argparse.Namespace, aggregate: Aggregate, lines: Sequence[str]) -> None:
    """Print an interval's lines, with ``-i`` under its local time, and tell what was lost."""
    if args.interval_s is not None:
        lines = ["", f"[{clock(aggregate)}]", *lines]
    elif sys.stdout.isatty() and lines[0]:
        # Not in the line where the terminal shows ^C.
        lines = ["", *lines]
    show(lines)
    tell_losses(aggregate)


def show(lines: Iterable[str]) -> None:
    """Print lines at once, in what standard output can encode."""
    encoding = sys.stdout.encoding
    _print("".join(f"{encodable(line, encoding)}\n" for line in lines))


def data(aggregate: Aggregate, found: Mapping[str, object]) -> None:
    """Print an interval as a line of JSON, and tell what was lost."""
    objects([found])
    tell_losses(aggregate)


def objects(found: Iterable[Mapping[str, object]]) -> None:
    """Print objects as lines of JSON, all at once."""
    # Escapes are ASCII, which is UTF-8 whatever the locale is.
    ascii_only = not _is_utf8(sys.stdout.encoding)
    _print("".join(f"{json.dumps(each, ensure_ascii=ascii_only)}\n" for each in found))


def tell_losses(found: Aggregate | Snapshot) -> None:
    """Say on standard error which calls are missing, if any are, and what is not exact."""
    for line in filter(None, (lost_line(found.lost), inexact_line(found.lost))):
        print(line, file=sys.stderr, flush=True)


def _print(whole: str) -> None:
    """Write at once, for whoever reads a pipe waits for this interval and not for a full buffer.

    Raises:
        BrokenPipeError: nobody reads any more.
        CannotCollect: the output is full.
        KeyboardInterrupt: it takes nothing, and the user wants to end.
    """
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # not a file
        print(whole, end="", flush=True)
        return
    sys.stdout.flush()
    data = whole.encode(sys.stdout.encoding, sys.stdout.errors or "strict")
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    while data:
        # Signals are held back while calls are collected, and a reader may have stopped to read.
        while not poller.poll(_STUCK_MS):
            if signal.sigpending() & set(ENDING):
                raise KeyboardInterrupt
        try:
            # So much is taken without waiting by a pipe that takes anything (pipe(7)).
            data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
        except BrokenPipeError:
            raise
        except BlockingIOError:  # somebody else has filled it meanwhile
            time.sleep(_STUCK_MS / 1000)
        except OSError as error:
            raise CannotCollect(f"cannot write the output: {error.strerror}") from None


def encodable(line: str, encoding: str) -> str:
    """The line as an output can take it: where that is not UTF-8, bars and lines are ASCII."""
    if _is_utf8(encoding):
        return line
    return ascii_blocks(line).encode(encoding, "replace").decode(encoding)


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"
