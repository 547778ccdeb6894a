"""The parsers of the command line: the program's own, and one for each command."""

from __future__ import annotations

import argparse

import sysdash
from sysdash.commands import COMMANDS, Command
from sysdash.commands.words import NOT_YET, ArgumentParser


def program() -> ArgumentParser:
    """The parser for ``sysdash --help`` and ``sysdash --version``."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {c.summary}" for name, c in COMMANDS.items())
    parser = ArgumentParser(
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


def command(name: str) -> ArgumentParser:
    """The parser of one of :data:`sysdash.commands.COMMANDS`."""
    meant = COMMANDS[name]
    parser = ArgumentParser(
        prog=f"sysdash {name}",
        description=f"sysdash {name}: {meant.summary}.",
        epilog=_examples(meant),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    meant.words(parser)
    return parser


def parse(name: str, argv: list[str]) -> argparse.Namespace:
    """What the words after a command's name say; leaves with exit code 2 if they are wrong."""
    parser = command(name)
    if COMMANDS[name].collects and "--" in argv:
        parser.parse_args(argv[: argv.index("--")])
        parser.error(f"-- COMMAND: {NOT_YET}")
    return parser.parse_args(argv)


def _examples(*commands: Command) -> str:
    examples = [example for command in commands for example in command.examples]
    width = max(len(line) for line, _ in examples)
    return "\n".join(["examples:", *(f"  {line:{width}}  {what}" for line, what in examples)])
