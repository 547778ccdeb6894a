"""The command line: from words to an exit code.

Importing this imports nothing else: what Ctrl-C meets while modules load is then :func:`main`, and
no traceback.
"""

from __future__ import annotations

import os
import sys

OK, CANNOT_COLLECT, WRONG_WORDS, INTERRUPTED = 0, 1, 2, 130

_DEFAULT = "top"
_ALIASES = {"syscount": "count", "syslat": "lat", "sysslow": "slow"}


def main(argv: list[str] | None = None) -> int:
    """Run ``sysdash`` and return its exit code.

    Args:
        argv: the words after the program's name; by default those of this process, whose own name
            may stand for a command (``syscount`` for ``sysdash count``).
    """
    try:
        if argv is None:
            alias = _ALIASES.get(os.path.basename(sys.argv[0]))  # noqa: PTH119  (pathlib is slow)
            argv = [*([alias] if alias else []), *sys.argv[1:]]
        return _answer(argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def _answer(argv: list[str]) -> int:
    from sysdash.interrupts import ending_at_once

    with ending_at_once():
        from sysdash.config import ConfigError
        from sysdash.errors import CannotCollect
    try:
        try:
            code = _run(argv)
        except SystemExit as leave:  # argparse, after --help or a wrong word
            code = leave.code if isinstance(leave.code, int) else WRONG_WORDS
        # A reader that has gone is met here, and not by Python when it ends.
        print(end="", flush=True)
    except ConfigError as error:
        return _fail(str(error), WRONG_WORDS)
    except CannotCollect as error:
        return _fail(str(error), CANNOT_COLLECT)
    except BrokenPipeError:
        # The reader has seen enough. What is still buffered would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:  # noqa: BLE001  (whatever it is, a user gets one line)
        return _fail(f"internal error: {_described(error)}", CANNOT_COLLECT)
    return code


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
    from sysdash.interrupts import ending_at_once

    with ending_at_once():
        import importlib

        from sysdash.commands import COMMANDS, parsers, words

        if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help", "--version")):
            argv = [_DEFAULT, *argv]
        if argv[0].startswith("-"):
            parsers.program().parse_args(argv)
        name, *rest = argv
        command = COMMANDS.get(name)
        if command is None:
            from sysdash.units import safe

            known = ", ".join(COMMANDS)
            return _fail(f"no command {safe(name)!r} in this version, only {known}", WRONG_WORDS)
        args = parsers.parse(name, rest)
        if command.collects:
            args.settings = words.settings(args)
            args.filters = words.filters(args)
        module = importlib.import_module(command.module)
    code: int = module.run(args)
    return code
