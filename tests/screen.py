"""Types keys into the dashboard and reads what it shows, without a terminal."""

from __future__ import annotations

from typing import Any

from synthetic import Calls, Slow, history, snapshot

from sysdash import units
from sysdash.app import App
from sysdash.model import Snapshot

SIZE = (80, 24)

CALLS = (
    Calls("read", 1_000_000, 200, 1842, b"postgres"),
    Calls("read", 9_000, 60_000, 2222, b"nginx"),
    Calls("write", 900_000, 500, 4242, b"dd"),
    Calls("futex", 5_000, 12_000_000, 3622, b"java"),
    Calls("futex", 300, 2_000, 3622, b"java", errno=110),
    Calls("openat", 800, 4_000, 777, b"find"),
    Calls("openat", 200, 2_000, 777, b"find", errno=2),
    Calls("exit_group", 4, None, 888, b"cc1"),
)
SLOW = (
    Slow("futex", 12_000_000, 3622, 3701, b"java", 0, ago_ms=300),
    Slow("connect", 130_000_000, 999, 999, b"curl", -110, ago_ms=200),
    Slow("read", 45_200_000, ago_ms=100),
)


def typical(second: int = 1) -> Snapshot:
    """An interval with a bit of everything."""
    return snapshot(CALLS, SLOW, second=second)


class Driver:
    """A dashboard of which every rendered line is checked to be as wide as the screen."""

    def __init__(self, *snapshots: Snapshot, size: tuple[int, int] = SIZE, **options: Any) -> None:
        self.history = history(*snapshots)
        self.app = App(self.history, **options)
        self.size = size
        self.app.refresh()
        self.lines()

    def lines(self, size: tuple[int, int] | None = None) -> list[str]:
        """The screen's lines."""
        columns, rows = size or self.size
        canvas = self.app.root.render((columns, rows), focus=True)
        assert (canvas.cols(), canvas.rows()) == (columns, rows)
        lines = [line.decode() for line in canvas.text]
        for line in lines:
            assert units.width(line) == columns, line
        return lines

    def text(self, size: tuple[int, int] | None = None) -> str:
        """The screen as one text."""
        return "\n".join(self.lines(size))

    def styles(self) -> set[str]:
        """The styles on the screen."""
        canvas = self.app.root.render(self.size, focus=True)
        return {str(style) for row in canvas.content() for style, _, _ in row if style is not None}

    def line(self, part: str) -> str:
        """The first line that has ``part``."""
        return next(line for line in self.lines() if part in line)

    def press(self, *keys: str) -> None:
        """Type keys; the screen is drawn after each, as urwid does."""
        for key in keys:
            self.app.root.keypress(self.size, key)
            self.lines()

    def type(self, text: str) -> None:
        """Type a text."""
        self.press(*text)

    def click(self, column: int, row: int, button: int = 1) -> None:
        """Press a mouse button."""
        self.app.root.mouse_event(self.size, "mouse press", button, column, row, focus=True)
        self.lines()

    def add(self, *snapshots: Snapshot) -> None:
        """New intervals come in."""
        for one in snapshots:
            self.history.append(one)
            self.app.refresh()
            self.lines()

    def selected(self) -> str:
        """The line with the pointer."""
        pointed = [line for line in self.lines() if line.startswith(("│▸", "│▹"))]
        assert len(pointed) == 1
        return pointed[0]

    def names(self) -> list[str]:
        """The first words of the rows of the first panel."""
        lines = self.lines()
        end = next(i for i, line in enumerate(lines) if i > 1 and line[0] in "├└")
        return [line[2:].split()[0] for line in lines[2:end] if line[2:20].strip(" │")]
