"""Tables of calls grouped by something, in the order that the user chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from typing_extensions import override

from sysdash import units
from sysdash.model import Row, Syscall, Table
from sysdash.panels.cells import NONE, Line, graded_bar, time_per_second
from sysdash.panels.table import Column, Placed, TablePanel, loading, place
from sysdash.report.shares import part_of
from sysdash.ui_state import REPLAY, Scene, UiState

Identity = tuple[Any, ...]
"""The values of a row's :attr:`GroupedPanel.identity` columns: int, or bytes for ``comm``."""

RATE = Column("rate", "calls/s", 7, align=">", rank=1)
ERRORS = Column("errors", "errors", 7, align=">", rank=3)
P50 = Column("p50", "p50", 6, align=">", rank=9, from_width=90)
P99 = Column("p99", "p99", 6, align=">", rank=2)
MAX = Column("max", "max", 6, align=">", rank=8, from_width=80)
TOTAL = Column("total", "time/s", 6, align=">", rank=6, from_width=68)
WAITING = Column("waiting", "waiting", 7, align=">", rank=7)
"""The share of a row's time that its callers were off the CPU; only there where it is measured."""

_SORTED_BY = {"rate": "rate", "latency": "p99_ns", "total": "total_ns"}
"""What each sort compares, of a table or a row."""

_SHOWN_AS = {"rate": RATE.name, "latency": P99.name, "total": TOTAL.name}
"""The column of what each sort compares."""


class GroupedPanel(TablePanel):
    """A table of a :class:`sysdash.model.Table`. Only the rows on show become Python objects."""

    identity: tuple[str, ...] = ()
    """The table's columns that tell its rows apart."""

    waits = False
    """Whether the selection stays on what has gone, until it comes back."""

    def __init__(self, state: UiState) -> None:
        super().__init__(state)
        self.table: Table | None = None
        self.order: list[int] = []
        self._made_of: tuple[Scene | None, Syscall | None, int | None, str, bool] | None = None
        self._largest = 0.0
        self._chosen: Identity | None = None
        self._place = 0

    @property
    def sort(self) -> str:
        """What the rows are ordered by, see :data:`sysdash.limits.SORTS`."""
        return self.state.sort

    # --- What a subclass provides ---

    def grouped(self, scene: Scene) -> Table:
        """The table to show."""
        raise NotImplementedError

    def own_cell(self, item: Placed, row: Row, index: int) -> Line:  # noqa: ARG002
        """The content of a column that is not one of those defined in this module.

        Args:
            item: the column.
            row: what to show.
            index: its place in :attr:`table`; -1 for a row that is not in it.
        """
        raise LookupError(f"{type(self).__name__} has no column {item.column.name!r}")

    @property
    def selected(self) -> Identity | None:
        """The selected row's identity, kept while there are no rows at all."""
        return self._chosen

    @selected.setter
    def selected(self, chosen: Identity) -> None:
        self._chosen = chosen

    # --- TablePanel ---

    @override
    def update(self, scene: Scene | None, state: UiState) -> None:
        super().update(scene, state)
        made_of = (scene, state.syscall, state.errno, self.sort, state.inverted)
        if made_of == self._made_of:
            return
        same = self._made_of is not None and self._made_of[1] == state.syscall
        before = self._place if same else 0
        self._made_of = made_of
        self.table = self.grouped(scene) if scene else None
        self.order = []
        if self.table is not None and len(self.table):
            self.order = self.table.order(self.sort, inverted=state.inverted)
            first = self.order[-1 if state.inverted else 0]
            self._largest = float(getattr(self.table, _SORTED_BY[self.sort])[first])
            self.order = self.order[: state.most]
            chosen = self.selected
            # Until the user does something, the first row is selected, whatever it is: what was
            # first when the program started is of no interest.
            if chosen is None or not state.pinned:
                self.select(0)
            elif not self.waits and self.find(chosen) is None:
                self.select(min(before, len(self.order) - 1))
            self._place = self.selected_index() or 0

    @override
    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        if self.scene is None:
            return loading(columns, rows, recorded=self.state.mode == REPLAY)
        return super().lines(columns, rows, focus)

    @override
    def why_empty(self) -> str:
        return (self.scene.nothing if self.scene else "") or self.empty

    @override
    def length(self) -> int:
        return len(self.order)

    def find(self, chosen: Identity) -> int | None:
        """The place of a row in the order; None if there is no such row."""
        if self.table is None:
            return None
        mask = np.ones(len(self.table), dtype=bool)
        for name, value in zip(self.identity, chosen, strict=True):
            mask &= getattr(self.table, name) == value
        found = np.flatnonzero(mask)
        try:
            return self.order.index(int(found[0])) if len(found) else None
        except ValueError:
            return None  # one of those beyond the most that are listed

    @override
    def selected_index(self) -> int | None:
        return None if self.selected is None else self.find(self.selected)

    @override
    def select(self, index: int) -> None:
        if self.table is not None:
            values = (getattr(self.table, name)[self.order[index]] for name in self.identity)
            self.selected = tuple(value.item() for value in values)
            self._place = index

    @override
    def cells(self, indices: Sequence[int], placed: Sequence[Placed]) -> list[list[Line]]:
        if self.table is None:
            return []
        shown = [self.order[i] for i in indices]
        return [
            [self.cell(item, row, index) for item in placed]
            for row, index in zip(self.table.rows(shown), shown, strict=True)
        ]

    @override
    def placed(self, columns: int) -> list[Placed]:
        measured = self.scene is not None and self.scene.view.snapshot.off_cpu
        known = [each for each in self.columns if measured or each.name != WAITING.name]
        # What makes the order is worth more than all but the names and the rate.
        order = _SHOWN_AS[self.sort]
        known = [
            replace(each, rank=min(each.rank, RATE.rank), from_width=0)
            if each.name == order
            else each
            for each in known
        ]
        return place(known, columns - 2)

    # --- Cells ---

    def cell(self, item: Placed, row: Row, index: int) -> Line:
        """The content of a column; see :meth:`own_cell`."""
        interval_s = self.table.interval_s if self.table is not None else 0.0
        seconds = interval_s or 1.0
        match item.column.name:
            case "bar":
                value = float(getattr(row, _SORTED_BY[self.sort]))
                share = value / self._largest if self._largest > 0 else 0.0
                return graded_bar(share, item.width)
            case "rate":
                return [("strong", f"{units.rate(row.rate)}/s")]
            case "errors":
                if not row.errors:
                    return [("dim", NONE)]
                return [("error", f"{units.rate(row.errors / seconds)}/s")]
            case "total":
                return [("dim", time_per_second(row.total_ns, seconds))]
            case "waiting":
                return [("dim", part_of(row.off_ns, row.total_ns) or NONE)]
            case "p50":
                return self._latency(row, row.p50_ns, "dim")
            case "p99":
                return self._latency(row, row.p99_ns, "text")
            case "max":
                return self._latency(row, row.max_ns, "dim")
        return self.own_cell(item, row, index)

    @staticmethod
    def _latency(row: Row, value_ns: float, style: str) -> Line:
        return [(style, units.duration(value_ns))] if row.timed else [("dim", NONE)]
