"""The parsers of the command line: the program's own, and one for each command."""

from __future__ import annotations

import argparse
from typing import Any

import sysdash
from sysdash.commands import COMMANDS, Command
from sysdash.commands.words import ArgumentParser


class _PrintCompletion(argparse.Action):
    """Prints the script of a shell and leaves."""

    def __call__(self, parser: argparse.ArgumentParser, _: object, shell: Any, *__: Any) -> None:
        from sysdash.commands import completion

        print(completion.script(shell), end="")
        parser.exit()


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
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=("bash", "zsh", "fish"),
        help="print what makes this shell complete the words of sysdash",
    )
    return parser


def command(name: str) -> ArgumentParser:
    """The parser of one of :data:`sysdash.commands.COMMANDS`."""
    meant = COMMANDS[name]
    parser = ArgumentParser(
        prog=f"sysdash {name}",
        description=f"sysdash {name}: {meant.summary}.",
        epilog="\n\n".join(filter(None, (meant.note, _examples(meant)))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    meant.words(parser)
    if parser.begins_command:
        parser.usage = f"sysdash {name} [OPTION...] [-- COMMAND [ARG...]]"
    return parser


def everything() -> ArgumentParser:
    """The program's parser with those of all commands, to be read by other programs.

    Words are parsed by :func:`parse`: this one knows nothing of ``--`` and of checks.
    """
    whole = program()
    below = whole.add_subparsers(title="commands", metavar="COMMAND")
    for name, meant in COMMANDS.items():
        own = command(name)
        added = below.add_parser(
            name,
            prog=own.prog,
            parents=[own],
            add_help=False,
            help=meant.summary,
            usage=own.usage,
            description=own.description,
            epilog=own.epilog,
            formatter_class=own.formatter_class,
            allow_abbrev=False,
        )
        added.begins_command = own.begins_command
    return whole


def parse(name: str, argv: list[str]) -> argparse.Namespace:
    """What the words after a command's name say; leaves with exit code 2 if they are wrong.

    ``args.command`` has the words of the command to start; it is empty if there is none.
    """
    parser = command(name)
    begins = next((i for i, word in enumerate(argv) if word in parser.begins_command), None)
    args = parser.parse_args(argv[:begins])
    if parser.begins_command:
        args.command = getattr(args, "command", []) if begins is None else argv[begins + 1 :]
        if begins is not None and not args.command:
            parser.error(f"{argv[begins]}: the command is missing")
    for check in parser.checks:
        wrong = check(args)
        if wrong:
            parser.error(wrong)
    return args


def _examples(*commands: Command) -> str:
    examples = [example for command in commands for example in command.examples]
    width = max(len(line) for line, _ in examples)
    return "\n".join(["examples:", *(f"  {line:{width}}  {what}" for line, what in examples)])
