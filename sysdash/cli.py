"""The command line: from words to an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import sysdash
from sysdash.commands import COMMANDS, Command, words
from sysdash.config import ConfigError
from sysdash.errors import CannotCollect
from sysdash.units import safe

OK, CANNOT_COLLECT, WRONG_WORDS, INTERRUPTED = 0, 1, 2, 130

_DEFAULT = "top"
_ALIASES = {"syscount": "count", "syslat": "lat", "sysslow": "slow"}
_TRACEBACK = "SYSDASH_TRACEBACK"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``sysdash`` and return its exit code.

    Args:
        argv: the words after the program's name; by default those of this process, whose own name
            may stand for a command (``syscount`` for ``sysdash count``).
    """
    if argv is None:
        alias = _ALIASES.get(Path(sys.argv[0]).name)
        argv = [*([alias] if alias else []), *sys.argv[1:]]
    try:
        try:
            code = _run(list(argv))
        except SystemExit as leave:  # argparse, after --help or a wrong word
            code = leave.code if isinstance(leave.code, int) else WRONG_WORDS
        # A reader that has gone is met here, and not by Python when it ends.
        print(end="", flush=True)
    except ConfigError as error:
        return _fail(str(error), WRONG_WORDS)
    except CannotCollect as error:
        return _fail(str(error), CANNOT_COLLECT)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough. What is still buffered would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            raise
        text = safe(f"{type(error).__name__}: {error}")
        return _fail(f"internal error: {text} ({_TRACEBACK}=1 shows where)", CANNOT_COLLECT)
    return code


def _fail(message: str, code: int) -> int:
    print(f"sysdash: {message}", file=sys.stderr)
    return code


def _run(argv: list[str]) -> int:
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help", "--version")):
        argv = [_DEFAULT, *argv]
    if argv[0].startswith("-"):
        _parser().parse_args(argv)
    name, *rest = argv
    command = COMMANDS.get(name)
    if command is None:
        known = ", ".join(COMMANDS)
        return _fail(f"no command {safe(name)!r} in this version, only {known}", WRONG_WORDS)
    args = _command_parser(name, command).parse_args(rest)
    if command.collects:
        args.settings = words.settings(args)
        args.filters = words.filters(args)
    code: int = importlib.import_module(command.module).run(args)
    return code


def _parser() -> argparse.ArgumentParser:
    """The parser for ``--help`` and ``--version``; each command has one of its own."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {c.summary}" for name, c in COMMANDS.items())
    parser = words.ArgumentParser(
        prog="sysdash",
        usage="sysdash [COMMAND] [OPTION...]",
        description="Which system calls are being made, by whom, how long they take, which fail.",
        epilog=f"commands:\n{commands}\n\n{_examples(*COMMANDS.values())}\n\n"
        "'sysdash COMMAND --help' tells more; the options of top work without its name.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sysdash {sysdash.__version__}")
    return parser


def _command_parser(name: str, command: Command) -> argparse.ArgumentParser:
    parser = words.ArgumentParser(
        prog=f"sysdash {name}",
        description=f"sysdash {name}: {command.summary}.",
        epilog=_examples(command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.words(parser)
    return parser


def _examples(*commands: Command) -> str:
    examples = [example for command in commands for example in command.examples]
    width = max(len(line) for line, _ in examples)
    return "\n".join(["examples:", *(f"  {line:{width}}  {what}" for line, what in examples)])
