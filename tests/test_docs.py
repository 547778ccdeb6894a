"""The documentation: what it repeats from the program is what the program says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from sysdash.commands import COMMANDS, doctor
from sysdash.commands.doctor import Terminfo
from sysdash.probes import capabilities
from sysdash.probes.capabilities import FINE, Check

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))

script = runpy.run_path(str(ROOT / "scripts" / "refresh_docs.py"))
refreshed = script["refreshed"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_generated_is_up_to_date(page: Path) -> None:
    text = page.read_text()
    assert text == refreshed(text), "run .venv/bin/python scripts/refresh_docs.py"


def test_every_generated_part_is_in_a_page() -> None:
    found = [
        name for page in PAGES for name in re.findall(r"<!-- generated: (.+) -->", page.read_text())
    ]
    assert sorted(found) == sorted(script["PARTS"])


def test_a_drift_would_be_seen() -> None:
    page = "before\n<!-- generated: options of doctor -->\nold\n<!-- end -->\nafter\n"
    new = refreshed(page)
    assert "old" not in new
    assert "| `--json` | print one JSON object |" in new
    assert new.startswith("before\n<!-- generated: options of doctor -->\n")
    assert new.endswith("<!-- end -->\nafter\n")
    assert refreshed(new) == new
    with pytest.raises(KeyError):
        refreshed(page.replace("doctor", "dance"))


def test_every_command_has_a_page_that_the_readme_links() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in (*COMMANDS, "architecture"):
        assert (ROOT / "docs" / f"{name}.md").is_file()
        assert f"(docs/{name}.md)" in readme


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_to_what_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not target.startswith(("http", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_every_check_of_the_doctor_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "probe", lambda: Check("the probe", FINE, ""))
    text = (ROOT / "docs" / "doctor.md").read_text()
    found = [
        *capabilities.checks(),
        *doctor.terminal({}, None, None),
        *doctor.terminal({}, (80, 24), Terminfo(256, mouse=True)),
    ]
    table = text.partition("## The checks")[2].partition("## ")[0]
    explained = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(.+?)`", line.split(" | ")[0])
    }
    assert explained == {check.name for check in found}
