"""Time as a person meets it: pause, cursor, window, recording, replay, in a terminal."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import Terminal

pytestmark = pytest.mark.bpf

SYSDASH = Path(sys.prefix) / "bin" / "sysdash"
WITHOUT_RIGHTS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
"""What is run behind these words is root in name only."""

LEFT, RIGHT, SHIFT_LEFT = "\x1b[D", "\x1b[C", "\x1b[1;2D"


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("LC_ALL", "NO_COLOR", "SUDO_USER", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def dd() -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads and writes single bytes as fast as it can, for a minute or so."""
    command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=60000000"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def header(text: str) -> str:
    return text.partition("\n")[0]


def clock(text: str) -> str:
    """The moment on show."""
    found = re.search(r"(\d\d:\d\d:\d\d)(\.\d)? *$", header(text))
    assert found, header(text)
    return found[0].strip()


def strip_row(terminal: Terminal) -> int:
    """The row of the strip's curve, from 1."""
    lines = terminal.lines
    return next(i for i, line in enumerate(lines) if "Timeline" in line) + 2


def mouse(button: int, column: int, row: int, *, down: bool = True) -> str:
    """What a terminal sends for the mouse (SGR 1006)."""
    return f"\x1b[<{button};{column};{row}{'M' if down else 'm'}"


def test_the_past_is_there_live_and_recorded(dd: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with Terminal([SYSDASH, "-i", "0.2", "-p", str(dd.pid)], columns=100, rows=40) as terminal:
        terminal.wait_for("read", "write", "window 0.2s")
        terminal.type("R")
        terminal.wait(lambda text: re.search(r"REC [4-9]\.\d+s", header(text)), what="a recording")

        # Back in time, and to a window, by keys.
        terminal.type(" ")
        terminal.wait(lambda text: "PAUSED" in header(text) and "Timeline" in text, what="a strip")
        now = clock(terminal.text)
        terminal.type(LEFT * 6)
        terminal.wait(lambda text: clock(text) != now, what="another moment")
        terminal.type("]" + LEFT * 5 + "[z")
        terminal.wait(
            lambda text: re.search(r"window 1\.[1-5]s", header(text)), what="six intervals"
        )
        terminal.type("Z")
        terminal.wait(
            lambda text: re.search(r"window 0\.[2-4]s", header(text)), what="one interval"
        )

        # By mouse: a click, a window that is dragged, a click into it.
        row = strip_row(terminal)
        terminal.type(mouse(0, 70, row) + mouse(0, 70, row, down=False))
        terminal.wait_for("cursor")
        terminal.type(mouse(0, 30, row) + mouse(32, 45, row) + mouse(32, 60, row))
        terminal.type(mouse(0, 60, row, down=False))
        terminal.wait(lambda text: re.search(r"window \d\d:\d\d:\d\d.* intervals", text), what="it")
        terminal.type(mouse(0, 45, row) + mouse(0, 45, row, down=False))
        terminal.wait(lambda text: "Timeline zoomed" in text, what="a zoom")

        terminal.type("H")
        terminal.wait_for("Latency over time: ")
        terminal.type("H ")
        terminal.wait(lambda text: "LIVE" in header(text), what="the present")
        terminal.type("R")
        terminal.wait(lambda text: "recorded to sysdash-" in header(text), what="its end")
        terminal.type("q")
        assert terminal.wait_end() == 0
        assert terminal.settings_restored()
        terminal.read(0.2)
        said = re.search(r"recorded .* to (sysdash-\S+\.sysdash)", terminal.text)
        assert said, terminal.text
    (file,) = tmp_path.glob("*.sysdash")
    assert file.name == said[1].rstrip(",")

    # Nobody with rights, and no bcc.
    (tmp_path / "bcc.py").write_text("raise SystemError('bcc is imported')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command: list[str | Path] = [*WITHOUT_RIGHTS, SYSDASH, "replay", file, "--speed", "8"]
    with Terminal(command, columns=100, rows=40, environment=environment) as terminal:
        terminal.wait(lambda text: "REPLAY 8×" in header(text), what="a replay")
        terminal.wait_for("read", "write", f"only pid {dd.pid}")
        terminal.wait(lambda text: "PAUSED" in header(text), what="its end")
        end = clock(terminal.text)
        terminal.type("<" * 30)
        terminal.wait(lambda text: clock(text) < end, what="the beginning")
        terminal.type("- ")
        terminal.wait(lambda text: "REPLAY 4×" in header(text), what="it going on")
        terminal.type("q")
        assert terminal.wait_end() == 0


def test_the_demo_needs_nothing() -> None:
    with Terminal([*WITHOUT_RIGHTS, SYSDASH, "replay", "--demo", "--at", "+30s"]) as terminal:
        terminal.wait(lambda text: "REPLAY 1×" in header(text), what="a replay")
        terminal.wait_for("Top syscalls", "Timeline", "futex")
        terminal.type("q")
        assert terminal.wait_end() == 0


@pytest.mark.parametrize("display", ["raw", "curses"])
def test_it_ends_with_its_terminal(display: str) -> None:
    with Terminal([SYSDASH, "replay", "--demo", "--display", display]) as terminal:
        terminal.wait_for("Top syscalls", "Timeline")
        terminal.hang_up()
        terminal.wait_end()


def test_a_file_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    for file in (other, tmp_path, tmp_path / "missing"):
        with Terminal([SYSDASH, "replay", file]) as terminal:
            assert terminal.wait_end() == 1
            lines = [line for line in terminal.lines if line]
            assert len("".join(lines)) < 160, lines
            assert lines[0].startswith("sysdash: ")
