"""What has changed since another time: the table of a comparison."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence

from typing_extensions import override

from sysdash import units
from sysdash.comparison import Change, Comparison
from sysdash.model import Syscall
from sysdash.panels.cells import NONE, Line
from sysdash.panels.table import Column, Placed, TablePanel, place
from sysdash.report.changes import ABOUT, ARROW, difference, mark, number, relative, verdict
from sysdash.timeline import Window
from sysdash.ui_state import Scene, UiState

_STYLES = {"worse": "error", "better": "mark"}

_NAME = Column("name", "syscall", 10, 20, rank=0, share=2)
_COMM = Column("comm", "process", 7, 16, rank=0, share=3)
# With room for a mark behind the number; a pair has it in the middle.
_CHANGE = Column("rate.change", "change", 7, align=">", rank=1)
_ERRORS = Column("errors.difference", "err/s", 7, align=">", rank=3)
_TIME = Column("total.difference", "time/s", 8, align=">", rank=2)


def _pair(quantity: str, heading: str, least: int, rank: int) -> Column:
    """A quantity before and after, both of up to ``least`` characters."""
    return Column(f"{quantity}.pair", heading, 2 * least + 3, align=">", rank=rank)


_RATE = _pair("rate", "calls/s", 5, 1)
_P99 = _pair("p99", "p99", 6, 4)

_NARROW = (
    *(_NAME, _COMM, Column("rate.after", "calls/s", 7, align=">", rank=4), _CHANGE, _TIME, _ERRORS),
    Column("p99.change", "p99", 7, align=">", rank=2),
)
_MEDIUM = (_NAME, _COMM, _RATE, _CHANGE, _ERRORS, _TIME, _P99)
_WIDE = (
    *(_NAME, _COMM, _RATE, _CHANGE, _pair("errors", "errors/s", 5, 3)),
    *(_pair("total", "time/s", 6, 2), Column("total.change", "change", 7, align=">", rank=2)),
    *(_pair("p50", "p50", 6, 5), _P99),
)
_MEDIUM_FROM, _WIDE_FROM = 76, 116

Identity = tuple[object, ...]


class ComparisonPanel(TablePanel):
    """Rows by how much they have changed since :attr:`sysdash.ui_state.UiState.compared`.

    Those of which all change is noise come last, and dim. A number that has changed only by noise
    in a row that has not is dim too, after ``≈``; one that differs by much, but not steadily, has a
    ``?`` behind it, and rows of which nothing else has changed come behind those that have.
    """

    def __init__(self, state: UiState) -> None:
        super().__init__(state)
        self._comparison: Comparison | None = None
        self._order: list[int] = []
        self._chosen: Identity | None = None
        self._place = 0

    @property
    def selected_syscall(self) -> Syscall | None:
        """The syscall of the selected row, if there is one."""
        place = self.selected_index()
        if place is None or self._comparison is None:
            return None
        return self._comparison.rows([self._order[place]])[0].after.syscall

    # --- Panel ---

    @override
    def update(self, scene: Scene | None, state: UiState) -> None:
        super().update(scene, state)
        found = state.comparison
        comparison = found if isinstance(found, Comparison) else None
        if comparison is self._comparison:
            return
        self._comparison = comparison
        self._order = []
        if comparison is None or not len(comparison):
            return
        self._order = comparison.order().tolist()[: state.most]
        if self._chosen is None or not state.pinned:
            self.select(0)
        elif self.selected_index() is None:
            self.select(min(self._place, len(self._order) - 1))
        self._place = self.selected_index() or 0

    @override
    def title(self) -> str:
        if self._comparison is None:
            return "Changes"
        before = self._comparison.before
        length = units.duration(before.seconds * 1e9)
        return f"Changes since {_clocks(before.window)} ({length})"

    @override
    def titles(self) -> list[str]:
        if self._comparison is None:
            return [self.title()]
        since = f"Changes since {_clocks(self._comparison.before.window)}"
        return [self.title(), since, "Changes"]

    @override
    def why_empty(self) -> str:
        if isinstance(self.state.comparison, str):
            return self.state.comparison
        if self._comparison is None:
            return "comparing…"
        return (self.scene.nothing if self.scene else "") or "no calls, neither then nor now"

    @override
    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        if not self._order:
            wrapped = textwrap.wrap(self.why_empty(), max(columns - 2, 10))
            return [[("dim", f" {part}")] for part in wrapped]
        note = self._note(columns)
        lines = super().lines(columns, rows - len(note) - 1, focus)
        return [*lines, [], *note]

    def _note(self, columns: int) -> list[Line]:
        """How much is noise, and what that is."""
        comparison = self._comparison
        if comparison is None:
            return []
        noise, unsteady = int(comparison.noise.sum()), int(comparison.only_unsteady.sum())
        real = len(comparison) - noise - unsteady
        sides = " against ".join(
            f"{_clocks(piece.window)} ({units.duration(piece.seconds * 1e9)})"
            for piece in (comparison.before, comparison.after)
        )
        words = f"{sides}: {units.count(real) if real else 'nothing'} changed"
        if unsteady:
            words += f", {units.count(unsteady)} by much, but not steadily (?)"
        if noise:
            words += f", {units.count(noise)} by no more than noise"
        if not comparison.seen:
            words += "; too few intervals to see how much numbers vary by themselves"
        return [[("dim", f" {part}")] for part in textwrap.wrap(words, max(columns - 2, 10))]

    # --- TablePanel ---

    @override
    def placed(self, columns: int) -> list[Placed]:
        if columns >= _WIDE_FROM:
            return place(_WIDE, columns - 2)
        return place(_MEDIUM if columns >= _MEDIUM_FROM else _NARROW, columns - 2)

    @override
    def length(self) -> int:
        return len(self._order)

    def _identity(self, index: int) -> Identity:
        """What tells a row apart, in any comparison by the same keys."""
        if self._comparison is None:
            return ()
        row = self._comparison.before.calls
        columns = [
            name
            for key in self._comparison.by
            for name in (("nr", "abi") if key == "syscall" else (key,))
        ]
        return (self._comparison.by, *(getattr(row, name)[index].item() for name in columns))

    @override
    def selected_index(self) -> int | None:
        if self._chosen is None:
            return None
        # It is looked for many times in a frame.
        here = self._order[self._place : self._place + 1]
        if here and self._identity(here[0]) == self._chosen:
            return self._place
        return next(
            (i for i, index in enumerate(self._order) if self._identity(index) == self._chosen),
            None,
        )

    @override
    def select(self, index: int) -> None:
        self._chosen = self._identity(self._order[index])
        self._place = index

    @override
    def cells(self, indices: Sequence[int], placed: Sequence[Placed]) -> list[list[Line]]:
        if self._comparison is None:
            return []
        changes = self._comparison.rows([self._order[i] for i in indices])
        return [[_cell(item, change) for item in placed] for change in changes]


def _clocks(window: Window) -> str:
    """From when to when, by the local clock."""
    return "\u2013".join(
        time.strftime("%H:%M:%S", time.localtime(ns // 1_000_000_000))
        for ns in (window.begin_ns, window.end_ns)
    )


def _cell(item: Placed, change: Change) -> Line:
    name = item.column.name
    if name == "name":
        text = change.after.syscall.name if change.after.syscall else ""
        return [("dim" if change.noise else "name", text)]
    if name == "comm":
        return [("dim" if change.noise else "text", change.after.comm or "")]
    quantity, _, form = name.partition(".")
    before, after = change.values(quantity)
    if not before and not after:
        return [("dim", NONE)]
    real = quantity in change.changed
    doubt = mark(change, quantity)
    style = _STYLES.get(verdict(change, quantity), "strong" if real else "text" if doubt else "dim")
    # Of a row that is noise as a whole, all is told; and what is new is not like anything before.
    equal = not (real or doubt or change.noise) and before is not None and after is not None
    if form in ("change", "difference") and None in (before, after):
        return [("dim", NONE)]
    now = number(quantity, after)
    half = (item.width - 3) // 2
    if form == "pair":
        between = f"{ARROW}{doubt or ' '}"
        both = f"{number(quantity, before):>{half}} {between}{now:>{half}}"
        return [(style, f"{ABOUT} {now:>{half}}" if equal else both)]
    if form == "after":
        text = f"{ABOUT} {now}" if equal else now
    elif equal:
        text = ABOUT
    else:
        text = (relative if form == "change" else difference)(change, quantity)
    return [(style, f"{text}{doubt}" if text else "")]
