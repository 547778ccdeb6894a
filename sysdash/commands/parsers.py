"""The parsers of the command line: the program's own, and one for each command."""

from __future__ import annotations

import argparse
import difflib
import shlex
import shutil
from typing import Any

import sysdash
from sysdash.commands import COMMANDS, Command
from sysdash.commands.groups import ArgumentParser
from sysdash.units import fit, safe

_HINT_COLUMNS = 120


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
        usage="sysdash [COMMAND] [OPTION...] [-- PROGRAM [ARG...]]",
        description="Which system calls are being made, by whom, how long they take, which fail.",
        epilog=f"commands:\n{commands}\n\n{_examples(*COMMANDS.values())}\n\n"
        "'sysdash help COMMAND' tells more; the options of top work without its name.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _version(parser, "show the version and exit")
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
    _version(parser, argparse.SUPPRESS)
    meant.words(parser)
    if parser.begins_command:
        parser.usage = f"{begins(parser)} [-- COMMAND [ARG...]]"
    return parser


def begins(parser: argparse.ArgumentParser) -> str:
    """What a command's line begins with: its name, the words that it needs, its options."""
    needed = [
        str(action.metavar)
        for action in parser._actions  # noqa: SLF001  (argparse has no public list of them)
        if not action.option_strings
    ]
    return " ".join((parser.prog, *needed, "[OPTION...]"))


def _version(parser: ArgumentParser, what: str) -> None:
    version = f"sysdash {sysdash.__version__}"
    parser.add_argument("-V", "--version", action="version", version=version, help=what)


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
    args, unknown = parser.parse_known_args(argv[:begins])
    if unknown:
        hint = _place(parser, name, argv[:begins], unknown)
        parser.error(f"unrecognized arguments: {fit(safe(' '.join(unknown)), _HINT_COLUMNS)}{hint}")
    if parser.begins_command:
        args.command = getattr(args, "command", []) if begins is None else argv[begins + 1 :]
        if begins is not None and not args.command:
            parser.error(f"{argv[begins]}: the command is missing")
    for check in parser.checks:
        wrong = check(args)
        if wrong:
            parser.error(wrong)
    return args


def _place(parser: ArgumentParser, name: str, argv: list[str], unknown: list[str]) -> str:
    """Where words that no option takes would be understood, to be added to a message."""
    word = next((word for word in unknown if not word.startswith("-")), None)
    if word is None or not parser.begins_command:
        return ""
    if name == "top" and word in COMMANDS:
        at = _index(parser, argv, word)
        rest = argv[:at] + argv[at + 1 :]
        known = _options(word)
        fine = all(each.partition("=")[0] in known for each in rest if each.startswith("-"))
        return f"; the command comes first: {_line('sysdash', word, *(rest if fine else []))}"
    if word.replace(".", "", 1).isdigit():
        return "; a number needs its option: -i or -d TIME, -p PID"
    if shutil.which(word):
        at = _index(parser, argv, word)
        return f"; to run it, write: {_line('sysdash', name, *argv[:at], '--', *argv[at:])}"
    return ""


def _options(name: str) -> set[str]:
    actions = command(name)._actions  # noqa: SLF001  (argparse has no public list of them)
    return {option for action in actions for option in action.option_strings}


def _index(parser: ArgumentParser, argv: list[str], word: str) -> int:
    """Where ``word`` stands that is no option's value."""
    places = [at for at, each in enumerate(argv) if each == word]
    return next(at for at in places if word in parser.parse_known_args(argv[: at + 1])[1])


def _line(*words: str) -> str:
    """A command line to copy, as far as it is not too long."""
    return fit(safe(shlex.join(words)), _HINT_COLUMNS)


def unknown_command(words: list[str]) -> str:
    """What to say of a command line whose first word is no command."""
    name = words[0]
    near = difflib.get_close_matches(name, COMMANDS, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    if shutil.which(name):
        to_trace = "to trace the program:" if not near else "Or, to trace the program:"
        hint += f"{' ' if near else '; '}{to_trace} {_line('sysdash', 'summary', '--', *words)}"
    hint = hint or f" in this version, only {', '.join(COMMANDS)}"
    return f"no command {fit(safe(name), _HINT_COLUMNS)!r}{hint}"


def print_help(words: list[str]) -> str | None:
    """Print the help of the program, or of the command that is named.

    Returns:
        What is wrong with ``words``; None if nothing is.
    """
    if len(words) > 1:
        return "help: it takes one command"
    if words and words[0] not in COMMANDS:
        return unknown_command(words)
    (command(words[0]) if words else program()).print_help()
    return None


def _examples(*commands: Command) -> str:
    examples = [example for command in commands for example in command.examples]
    width = max(len(line) for line, _ in examples)
    return "\n".join(["examples:", *(f"  {line:{width}}  {what}" for line, what in examples)])
