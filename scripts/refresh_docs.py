"""Write what the documentation repeats from the program: tables of keys and options, the defaults.

``.venv/bin/python scripts/refresh_docs.py`` rewrites, in every page of ``docs/``, what lies between

    <!-- generated: NAME -->
    <!-- end -->

by the function of that name in :data:`PARTS`, and the manual page ``share/man/man1/sysdash.1``. A
test fails where one of them is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from argparse_manpage.manpage import Manpage  # noqa: E402

import sysdash  # noqa: E402
from sysdash import cli, keys  # noqa: E402
from sysdash.commands import COMMANDS, parsers  # noqa: E402

_PART = re.compile(r"(<!-- generated: (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def options(command: str) -> str:
    """The options of a command."""
    lines = ["| option | what it does |", "|---|---|"]
    for option, what in parsers.command(command).options():
        cell = option.replace("|", "\\|")
        lines.append(f"| `{cell}` | {what} |")
    return "\n".join(lines)


def examples(command: str) -> str:
    """The examples of a command's help."""
    lines = ["| example | what it shows |", "|---|---|"]
    lines += [f"| `{line}` | {what} |" for line, what in COMMANDS[command].examples]
    return "\n".join(lines)


def configuration() -> str:
    """The file with every key and its default."""
    text = (ROOT / "config.toml").read_text(encoding="utf-8")
    return f"```toml\n{text.rstrip()}\n```"


PARTS: dict[str, Callable[[], str]] = {
    "keys": keys.markdown,
    "configuration": configuration,
    **{f"options of {name}": partial(options, name) for name in COMMANDS},
    **{f"examples of {name}": partial(examples, name) for name in COMMANDS},
}


def refreshed(text: str) -> str:
    """A page with its generated parts made anew.

    Raises:
        KeyError: it names a part that is not one of :data:`PARTS`.
    """
    return _PART.sub(
        lambda part: f"{part[1]}\n{PARTS[part[2]]().rstrip()}\n\n{part[4]}",
        text,
    )


# --- The manual page ---

MANUAL = ROOT / "share/man/man1/sysdash.1"

# What commands have alike is on the page once: its title in their help, and on the page.
_SHARED = {"what is collected": "filters", "a command": "a command"}

_SECTIONS = {
    "exit status": r"""
.TP
.B 0
All is well, also after Ctrl\-C and when the reader of a pipe has gone.
.TP
.B 1
Nothing could be collected; standard error has the reason and what to do about it.
.TP
.B 2
Wrong words, or a configuration that cannot be used.
.TP
.B 130
Ended by Ctrl\-C before there was anything to print.
.PP
With
.B \-\-
.IR COMMAND ,
the exit status is the command's, as a shell gives it: 128 and the signal's number for one that was
killed.""",
    "files": r"""
.TP
.I ~/.config/sysdash/config.toml
The user's configuration; under sudo, that of the user who called it.
.TP
.I /etc/sysdash/config.toml
The configuration of those who have none of their own.
.PP
The first that is there is read, and no other. The file
.I config.toml
of the distribution has every key with its default.""",
    "environment": r"""
.TP
.B COLUMNS
How wide the tables of
.B lat
and the texts of
.B \-\-help
may be, in place of the terminal's width.
.TP
.B NO_COLOR
If not empty, no colours.
.TP
.B XDG_CONFIG_HOME
Where the user's configuration is, in place of
.IR ~/.config .""",
    "see also": r"""
.BR strace (1),
.BR perf\-trace (1),
.BR syscalls (2),
.BR errno (3),
.BR cgroups (7)""",
}


def manual(date: str) -> str:
    """The manual page of sysdash and all its commands.

    Args:
        date: of its last change, as ``2026-01-31``.
    """
    whole = parsers.everything()
    whole.epilog = None
    whole.description = f"{whole.description}\n\n{_other_names()}"
    for command in COMMANDS:
        _leave_own_options(command, _subparsers(whole)[command])
    shared = _groups(parsers.command("count"))
    for title, here in _SHARED.items():
        group = whole.add_argument_group(here, shared[title].description)
        for action in shared[title]._group_actions:  # noqa: SLF001
            group._add_action(action)  # noqa: SLF001
    page = Manpage(whole, format="single-commands-section")
    page.date = date
    page.source = f"sysdash {sysdash.__version__}"
    page.manual = "User Commands"
    page.description = "which system calls are made, by whom, how long they take, which fail"
    page.add_section("examples", "=", _man_examples())
    for heading, text in _SECTIONS.items():
        page.add_section(heading, "=", text.strip())
    return _tidy(str(page), date)


def _other_names() -> str:
    names = {name: command for name, command in cli.ALIASES.items() if command in COMMANDS}
    return (
        f"{' and '.join(names)} are other names of "
        f"{' and '.join(f'sysdash {command}' for command in names.values())}."
    )


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    raise ValueError(f"{parser.prog} has no commands")


def _groups(parser: argparse.ArgumentParser) -> dict[str | None, argparse._ArgumentGroup]:
    return {group.title: group for group in parser._action_groups}  # noqa: SLF001


def _leave_own_options(command: str, parser: argparse.ArgumentParser) -> None:
    """Take from a command's parser what the page says elsewhere."""
    usual = {action.dest: action.help for action in parsers.command("count")._actions}  # noqa: SLF001
    for title, group in _groups(parser).items():
        if title not in _SHARED:
            continue
        own = [each for each in group._group_actions if each.help != usual.get(each.dest)]  # noqa: SLF001
        if own:
            group._group_actions = own  # noqa: SLF001
            group.title, group.description = _SHARED[title], None
        else:
            parser._action_groups.remove(group)  # noqa: SLF001
    parser.description = COMMANDS[command].note or None
    if command == "top":
        parser.description = "These options work without the command's name, too."
    filters = " [FILTER...] [-- COMMAND [ARG...]]" if COMMANDS[command].collects else ""
    parser.usage = f"{parsers.begins(parser)}{filters}"


def _man_examples() -> str:
    lines = []
    for command in COMMANDS.values():
        for line, what in command.examples:
            lines += [".TP", f".B {_escaped(line)}", _escaped(f"{what[0].upper()}{what[1:]}.")]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{text}" if text.startswith(".") else text


def _tidy(page: str, date: str) -> str:
    """Formatted text without what the tool leaves that troff frowns upon."""
    page = page.replace(date.replace("-", r"\-"), date, 1)
    page = page.replace("µ", r"\(mc").replace("\n.SH\n", "\n.SH ")
    tidy: list[str] = []
    paragraph = False
    for line in map(str.rstrip, page.splitlines()):
        if line.startswith("."):
            tidy.append(line)
        elif line:
            # An empty line would be set as one.
            tidy += [".PP"] if paragraph else []
            tidy += textwrap.wrap(line, 78, break_on_hyphens=False, break_long_words=False)
        paragraph = not line
    return "\n".join(tidy) + "\n"


def date_of(page: str) -> str:
    """The date in a manual page's heading."""
    found = re.match(r'\.TH SYSDASH "1" "([\d-]+)"', page)
    return found[1] if found else ""


def main() -> None:
    """Refresh every page."""
    before = MANUAL.read_text(encoding="utf-8") if MANUAL.exists() else ""
    if manual(date_of(before)) != before:
        MANUAL.write_text(manual(time.strftime("%Y-%m-%d")), encoding="utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = refreshed(before)
        if after != before:
            page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
