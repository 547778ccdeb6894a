"""The manual page: says what the program says, and troff has nothing to say about it."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import subprocess
from pathlib import Path

import pytest

from sysdash import cli
from sysdash.commands import COMMANDS, parsers

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "share" / "man"
PAGE = FOLDER / "man1" / "sysdash.1"

script = runpy.run_path(str(ROOT / "scripts" / "refresh_docs.py"))


def rendered(page: Path) -> str:
    """A page as man shows it on a wide terminal, so that no line is broken."""
    environment = {**os.environ, "MANWIDTH": "200", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["man", "--warnings=w", "-l", page],
        env=environment,
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.replace("‐", "-")


def test_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert script["manual"](script["date_of"](page)) == page, (
        "run .venv/bin/python scripts/refresh_docs.py"
    )


def test_a_drift_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text()
    date = script["date_of"](page)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)
    monkeypatch.setattr(parsers, "everything", changed(parsers.everything()))
    assert script["manual"](date) != page


def changed(whole: argparse.ArgumentParser) -> object:
    whole.add_argument("--another", help="an option")
    return lambda: whole


def test_does_not_depend_on_where_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text()
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert script["manual"](script["date_of"](page)) == page


def test_troff_and_mandoc_find_no_fault() -> None:
    rendered(PAGE)
    for command in (["groff", "-ww", "-man", "-Tutf8", "-z"], ["mandoc", "-T", "lint"]):
        done = subprocess.run([*command, PAGE], capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("", "")


def test_a_fault_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.1"
    page.write_text(PAGE.read_text() + ".nosuchmacro\n")
    with pytest.raises(AssertionError):
        rendered(page)


def test_has_every_command_option_and_example() -> None:
    text = rendered(PAGE)
    for name, command in COMMANDS.items():
        assert f"\n   sysdash {name}\n" in text
        for line, what in command.examples:
            assert f"{line}\n" in text
            assert what[1:] in text
        for option, what in parsers.command(name).options():
            names = re.findall(r"(?<!\S)--?\w[-\w]*", option)
            if "--help" not in names:
                assert all(re.search(rf"{name}\b", text) for name in names)
                assert " ".join(what.split()) in " ".join(text.split())
    for heading in ("SYNOPSIS", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"):
        assert f"\n{heading}\n" in text


def test_every_name_of_a_command_has_the_page() -> None:
    others = {name for name, command in cli.ALIASES.items() if command in COMMANDS}
    assert {page.stem for page in PAGE.parent.iterdir()} == {"sysdash", *others}
    for name in others:
        assert rendered(PAGE.with_stem(name)) == rendered(PAGE)
