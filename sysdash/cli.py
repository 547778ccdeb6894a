"""The command line: from words to an exit code.

Importing this imports nothing else: what Ctrl-C meets while modules load is then :func:`main`, and
no traceback.
"""

from __future__ import annotations

import os
import sys

OK, CANNOT_COLLECT, WRONG_WORDS, INTERRUPTED = 0, 1, 2, 130

_DEFAULT = "top"
_PROGRAM_OPTIONS = ("-h", "--help", "-V", "--version", "--print-completion")
ALIASES = {"syscount": "count", "syslat": "lat", "sysslow": "slow"}
"""Commands that are called by a name of their own, with that name."""


def main(argv: list[str] | None = None) -> int:
    """Run ``sysdash`` and return its exit code.

    Args:
        argv: the words after the program's name; by default those of this process, whose own name
            may stand for a command (``syscount`` for ``sysdash count``).
    """
    if sys.stderr is None:  # closed; print() would write messages to standard output instead
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115  (for as long as we live)
    try:
        if argv is None:
            alias = ALIASES.get(os.path.basename(sys.argv[0]))  # noqa: PTH119  (pathlib is slow)
            if "_ARGCOMPLETE" in os.environ:
                from sysdash.commands import completion

                completion.answer(alias)
            argv = [*([alias] if alias else []), *sys.argv[1:]]
        return _answer(argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def _answer(argv: list[str]) -> int:
    from sysdash.interrupts import ending_at_once

    with ending_at_once():
        from sysdash.config import ConfigError
        from sysdash.errors import CannotCollect, CannotRun
    if sys.stdout is None:  # closed; the next file that is opened would take its place
        return _fail("standard output is closed", CANNOT_COLLECT)
    try:
        try:
            code = _run(argv)
        except SystemExit as leave:  # argparse, after --help or a wrong word
            code = leave.code if isinstance(leave.code, int) else WRONG_WORDS
        # A reader that has gone is met here, and not by Python when it ends.
        print(end="", flush=True)
    except (ConfigError, CannotRun) as error:
        return _fail(str(error), WRONG_WORDS)
    except CannotCollect as error:
        return _fail(str(error), CANNOT_COLLECT)
    except BrokenPipeError:
        # The reader has seen enough.
        _drop_output()
        return OK
    except Exception as error:  # noqa: BLE001  (whatever it is, a user gets one line)
        reason = _output_fails()
        if reason:
            _drop_output()
            return _fail(f"cannot write the output: {reason}.", CANNOT_COLLECT)
        return _fail(f"internal error: {_described(error)}", CANNOT_COLLECT)
    return code


def _output_fails() -> str | None:
    """Why standard output cannot be written to; None if it can be."""
    try:
        # What could not be written is still in the buffer.
        print(end="", flush=True)
    except OSError as error:
        return error.strerror
    return None


def _drop_output() -> None:
    """Let what is still buffered go nowhere: it would fail once more at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _prepare_output(*, utf8: bool) -> None:
    """Let every name be printed, whatever characters the locale has.

    Args:
        utf8: write UTF-8 in any case, as formats for programs want it.
    """
    import io

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8" if utf8 else None, errors="backslashreplace")


def _described(error: Exception) -> str:
    """An exception in one line: its type, its message and where it was raised."""
    import traceback

    from sysdash.units import safe

    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    frames = traceback.extract_tb(error.__traceback__)
    return safe(f"{what} ({frames[-1].filename}:{frames[-1].lineno})")


def _fail(message: str, code: int) -> int:
    print(f"sysdash: {message}", file=sys.stderr)
    return code


def _run(argv: list[str]) -> int:
    from sysdash.interrupts import ending_at_once, for_this_thread_alone

    with ending_at_once():
        import importlib

        from sysdash.commands import COMMANDS, parsers, words

        if not argv or (
            argv[0].startswith("-") and argv[0].partition("=")[0] not in _PROGRAM_OPTIONS
        ):
            argv = [_DEFAULT, *argv]
        if argv[0].startswith("-"):
            parsers.program().parse_args(argv)
        name, *rest = argv
        command = COMMANDS.get(name)
        if command is None:
            wrong = parsers.print_help(rest) if name == "help" else parsers.unknown_command(argv)
            return _fail(wrong, WRONG_WORDS) if wrong else OK
        args = parsers.parse(name, rest)
        asked = vars(args)
        for_programs = any(asked.get(word) for word in ("json", "output", "folded"))
        _prepare_output(utf8=for_programs)
        if command.collects and not asked.get("list"):
            args.settings = words.settings(args)
            args.filters = words.filters(args)
        with for_this_thread_alone():
            module = importlib.import_module(command.module)
    code: int = module.run(args)
    return code
