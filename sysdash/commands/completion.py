"""What a shell offers when the Tab key is pressed, and the script that makes it ask.

The script (``sysdash --print-completion SHELL``) runs the program itself, with ``_ARGCOMPLETE`` in
its environment; argcomplete then walks the very parser that reads the words, so what is offered is
what is understood, and it is the same in every shell.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from argcomplete.finders import CompletionFinder
from argcomplete.lexers import split_line
from argcomplete.shell_integration import shellcode

from sysdash import syscalls
from sysdash.commands import COMMANDS, argtypes, parsers, words
from sysdash.commands.groups import ArgumentParser
from sysdash.probes import targets
from sysdash.units import safe

PROGRAMS = ("sysdash", "syscount", "syslat", "sysslow")

_PROC = Path("/proc")

Offers = Iterable[str] | Mapping[str, str]
"""Words, or words with what they mean. Those that do not begin as the typed one are left out."""


def script(shell: str) -> str:
    """What bash, zsh or fish has to read before it completes the words of :data:`PROGRAMS`."""
    # Without bash's own default, which would offer files where nothing fits.
    return shellcode(PROGRAMS, use_defaults=False, shell=shell)


def answer(command: str | None) -> None:
    """Write what fits the line that the shell asks about, and end the process.

    Args:
        command: the command that the program's name stands for; None for ``sysdash``.
    """
    if command is not None and command not in COMMANDS:
        sys.exit(1)
    _Finder()(parser(command), always_complete_options=False)


def parser(command: str | None) -> ArgumentParser:
    """The parser of a command, or of the whole program, whose options know their values."""
    if command is None:
        whole = parsers.everything()
        COMMANDS["top"].words(whole)
    else:
        whole = parsers.command(command)
    for action in _actions(whole):
        if action.choices is None and action.nargs != 0:
            action.completer = _OFFERS.get(action.dest, _nothing)  # type: ignore[attr-defined]
    return whole


def _actions(of: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every action of a parser and of the parsers of its commands."""
    for action in of._actions:  # noqa: SLF001  (argparse has no public list of them)
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for below in action.choices.values():
                yield from _actions(below)


class _Finder(CompletionFinder):
    """Offers words of ``sysdash``; after ``--``, those of the command that is traced."""

    def collect_completions(
        self,
        active_parsers: list[argparse.ArgumentParser],
        parsed_args: argparse.Namespace,
        cword_prefix: str,
    ) -> list[str]:
        """All that fits ``cword_prefix``, the word that is being typed."""
        before = split_line(os.environ["COMP_LINE"], int(os.environ["COMP_POINT"]))[3]
        begins = {word for each in active_parsers for word in getattr(each, "begins_command", ())}
        if not begins.intersection(before):
            return super().collect_completions(active_parsers, parsed_args, cword_prefix)
        found = _files(cword_prefix)
        if before[-1] in begins and "/" not in cword_prefix:
            found = [*_programs(cword_prefix), *(name for name in found if name.endswith("/"))]
        return found


# --- Values ---


def _nothing(**_: Any) -> Offers:
    """For values that cannot be guessed: seconds, numbers of rows."""
    return ()


def _syscall_names(prefix: str, **_: Any) -> Offers:
    """Names for the last item of a list, also behind a ``!``."""
    typed, word = _last_item(prefix)
    mark = "!" if word.startswith("!") else ""
    given = typed.split(",")
    known = (argtypes.WAITING, *syscalls.names())
    return [f"{typed}{mark}{name}" for name in known if mark + name not in given]


def _keys(prefix: str, action: argparse.Action, **_: Any) -> Iterator[str]:
    """Keys that the option takes behind those that are typed already."""
    typed, _last = _last_item(prefix)
    assert callable(action.type)
    for key in (*words.KEYS, *words.SUMMARY_MODES):
        try:
            action.type(typed + key)
        except argparse.ArgumentTypeError:
            continue
        yield typed + key


def _threshold_names(prefix: str, **_: Any) -> Offers:
    """Names for the last item of a list, for a time to be written behind them."""
    typed, word = _last_item(prefix)
    return [] if "=" in word else [f"{typed}{name}=" for name in syscalls.names()]


def _values(prefix: str, **_: Any) -> Offers:
    """Names of syscalls, and behind a colon those of the arguments with their types."""
    name, colon, _argument = prefix.partition(":")
    if not colon:
        return [f"{each}:" for each in syscalls.names()]
    if not syscalls.numbers(name):
        return ()
    # Only here: these take their time to import.
    from sysdash.arguments import Signatures, of_formats
    from sysdash.probes import tracefs
    from sysdash.quantity import RET

    signature = Signatures(of_formats(tracefs.formats())).of(*syscalls.numbers(name)[0]) or ()
    found = {f"{name}:{each.name}": each.type for each in signature}
    return {**found, f"{name}:{RET}": "what it returns"}


def _errno_names(prefix: str, **_: Any) -> Offers:
    typed, _last = _last_item(prefix)
    names = {n: syscalls.errno_name(n) for n in range(1, syscalls.MAX_ERRNO + 1)}
    return {typed + name: os.strerror(n) for n, name in names.items() if name.startswith("E")}


def _last_item(text: str) -> tuple[str, str]:
    """A list split before its last item: ``"a,b,"`` and ``"c"`` of ``"a,b,c"``."""
    head, comma, tail = text.rpartition(",")
    return head + comma, tail


def _pids(prefix: str, **_: Any) -> Offers:
    """Every process, with its name, which is what a person chooses by."""
    typed, _last = _last_item(prefix)
    found = {}
    for folder in _PROC.glob("[0-9]*"):
        name = _comm(folder)
        if name:
            found[typed + folder.name] = safe(name)
    return found


def _tids(prefix: str, **_: Any) -> Offers:
    """Every thread, with its name, once a digit tells a few from thousands."""
    typed, last = _last_item(prefix)
    if not last.isdigit():
        return _pids(prefix)
    return {
        typed + thread.name: safe(name)
        for thread in _PROC.glob(f"[0-9]*/task/{last}*")
        if (name := _comm(thread))
    }


def _comms(**_: Any) -> Offers:
    """The names of running processes, but those that no one would type."""
    names = {_comm(folder) for folder in _PROC.glob("[0-9]*")}
    return sorted(name for name in names if name and safe(name) == name)


def _comm(folder: Path) -> str:
    try:
        return (folder / "comm").read_text(errors="replace").removesuffix("\n")
    except OSError:
        return ""  # ended since it was listed


def _cgroups(prefix: str, **_: Any) -> Offers:
    """Folders below the hierarchy's mount, for a full path and for one from there."""
    root = targets.cgroup_root()
    if root is None:
        return ()
    if prefix.startswith(f"{root}/"):
        return [path for path in _files(prefix) if path.endswith("/")]
    mark = "/" if prefix.startswith("/") else ""
    found = _files(f"{root}/{prefix.removeprefix('/')}")
    below = [mark + path.removeprefix(f"{root}/") for path in found if path.endswith("/")]
    return [f"{root}/", *below]


def _files(prefix: str, **_: Any) -> list[str]:
    """Files and folders (with a slash behind) whose path begins so."""
    typed, name = os.path.split(prefix)
    folder = Path(typed or ".").expanduser()
    head = prefix[: len(prefix) - len(name)]
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        f"{head}{path.name}{'/' if path.is_dir() else ''}"
        for path in found
        if path.name.startswith(name) and (name or not path.name.startswith("."))
    ]


def _programs(prefix: str) -> list[str]:
    """Programs on the path whose name begins so."""
    found: set[str] = set()
    for folder in os.get_exec_path():
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue  # not there
        found.update(
            entry.name
            for entry in entries
            if entry.name.startswith(prefix) and os.access(entry, os.X_OK)
        )
    return sorted(found)


_OFFERS = {
    "syscall": _syscall_names,
    "threshold": _threshold_names,
    "what": _values,
    "errno": _errno_names,
    "pid": _pids,
    "ppid": _pids,
    "tid": _tids,
    "comm": _comms,
    "cgroup": _cgroups,
    "by": _keys,
    "config": _files,
    "from_file": _files,
    "file": _files,
    "record": _files,
    "before": _files,
    "after": _files,
    "svg": _files,
    "speedscope": _files,
}
"""What is offered for the value of an option, by the name of its value in the parser's result."""
