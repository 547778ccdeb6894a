"""Tables of calls grouped by something, in the order that the user chose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from sysdash import units
from sysdash.model import Row, Table
from sysdash.panels.cells import Line, graded_bar, time_per_second
from sysdash.panels.table import Column, Placed, TablePanel
from sysdash.ui_state import Scene, UiState

Identity = tuple[Any, ...]
"""The values of a row's :attr:`GroupedPanel.identity` columns: int, or bytes for ``comm``."""

RATE = Column("rate", "calls/s", 7, align=">", rank=1)
ERRORS = Column("errors", "errors", 7, align=">", rank=3)
P50 = Column("p50", "p50", 6, align=">", rank=9, from_width=90)
P99 = Column("p99", "p99", 6, align=">", rank=2)
MAX = Column("max", "max", 6, align=">", rank=8, from_width=80)
TOTAL = Column("total", "time/s", 6, align=">", rank=6, from_width=68)

NONE = "·"


class GroupedPanel(TablePanel):
    """A table of a :class:`sysdash.model.Table`. Only the rows on show become Python objects."""

    identity: tuple[str, ...] = ()
    """The table's columns that tell its rows apart."""

    def __init__(self, state: UiState) -> None:
        super().__init__(state)
        self.table: Table | None = None
        self.order: list[int] = []
        self._largest = 0.0
        self._chosen: Identity | None = None

    # --- What a subclass provides ---

    def grouped(self, scene: Scene) -> Table:
        """The table to show."""
        raise NotImplementedError

    def own_cell(self, item: Placed, row: Row) -> Line:
        """The content of a column that is not one of those defined in this module."""
        raise NotImplementedError

    @property
    def selected(self) -> Identity | None:
        """The selected row's identity, which it keeps while there is no such row."""
        return self._chosen

    @selected.setter
    def selected(self, chosen: Identity) -> None:
        self._chosen = chosen

    # --- TablePanel ---

    @override
    def update(self, scene: Scene | None, state: UiState) -> None:
        super().update(scene, state)
        self.table = self.grouped(scene) if scene else None
        self.order = []
        if self.table is not None and len(self.table):
            self.order = self.table.order(state.sort, inverted=state.inverted)
            first = self.order[-1 if state.inverted else 0]
            self._largest = self._sorted_by(self.table.row(first))
            if self.selected is None:
                self.select(0)

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
        return self.order.index(int(found[0])) if len(found) else None

    @override
    def selected_index(self) -> int | None:
        return None if self.selected is None else self.find(self.selected)

    @override
    def select(self, index: int) -> None:
        if self.table is not None:
            values = (getattr(self.table, name)[self.order[index]] for name in self.identity)
            self.selected = tuple(value.item() for value in values)

    @override
    def cells(self, indices: Sequence[int], placed: Sequence[Placed]) -> list[list[Line]]:
        if self.table is None:
            return []
        rows = self.table.rows([self.order[i] for i in indices])
        return [[self.cell(item, row) for item in placed] for row in rows]

    # --- Cells ---

    def _sorted_by(self, row: Row) -> float:
        values = {"rate": row.rate, "latency": row.p99_ns, "total": float(row.total_ns)}
        return values[self.state.sort]

    def cell(self, item: Placed, row: Row) -> Line:
        """The content of a column."""
        interval_s = self.table.interval_s if self.table is not None else 0.0
        seconds = interval_s or 1.0
        match item.column.name:
            case "bar":
                share = self._sorted_by(row) / self._largest if self._largest > 0 else 0.0
                return graded_bar(share, item.width)
            case "rate":
                return [("strong", f"{units.rate(row.rate)}/s")]
            case "errors":
                if not row.errors:
                    return [("dim", NONE)]
                return [("error", f"{units.rate(row.errors / seconds)}/s")]
            case "total":
                return [("dim", time_per_second(row.total_ns, seconds))]
            case "p50":
                return self._latency(row, row.p50_ns, "dim")
            case "p99":
                return self._latency(row, row.p99_ns, "text")
            case "max":
                return self._latency(row, row.max_ns, "dim")
        return self.own_cell(item, row)

    @staticmethod
    def _latency(row: Row, value_ns: float, style: str) -> Line:
        return [(style, units.duration(value_ns))] if row.timed else [("dim", NONE)]
