"""The panel of the busiest syscalls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from typing_extensions import override

from sysdash import units
from sysdash.buckets import BUCKETS
from sysdash.history import SyscallKey
from sysdash.model import Row, Syscall, Table
from sysdash.panels.cells import NONE, Line, sparkline
from sysdash.panels.grouped import (
    ERRORS,
    MAX,
    P50,
    P99,
    RATE,
    TOTAL,
    WAITING,
    GroupedPanel,
    Identity,
)
from sysdash.panels.table import Column, Placed
from sysdash.report.shares import part_of
from sysdash.ui_state import Scene, UiState


def _no_calls(syscall: Syscall) -> Row:
    return Row(
        syscall=syscall,
        pid=None,
        tid=None,
        comm=None,
        cgroup=None,
        errno=None,
        count=0,
        rate=0.0,
        errors=0,
        timed=0,
        total_ns=0,
        min_ns=0,
        max_ns=0,
        mean_ns=0.0,
        stddev_pct=0.0,
        p50_ns=0.0,
        p90_ns=0.0,
        p99_ns=0.0,
        hist=np.zeros(BUCKETS, dtype=np.int64),
    )


class TopPanel(GroupedPanel):
    """Syscalls by the chosen sort.

    The selection is the app's, :attr:`UiState.syscall`. A selected syscall that is not among those
    listed has a row after them, of zeros if it makes no calls.
    """

    identity: tuple[str, ...] = ("nr", "abi")
    waits = True
    columns: tuple[Column, ...] = (
        Column("name", "", 13, 22, rank=0, share=3),
        Column("bar", "", 8, 60, rank=4, share=7),
        RATE,
        Column("share", "share", 6, align=">", rank=10, from_width=100),
        ERRORS,
        P50,
        P99,
        MAX,
        TOTAL,
        WAITING,
        Column("trend", "rates", 6, 100, rank=5, share=6, long_heading="calls/s over time"),
    )
    empty = "no system calls in this interval"

    def __init__(self, state: UiState) -> None:
        super().__init__(state)
        self._calls = 0
        self._past: list[Mapping[SyscallKey, float]] = []

    @override
    def update(self, scene: Scene | None, state: UiState) -> None:
        super().update(scene, state)
        self._calls = int(self.table.count.sum()) if self.table is not None else 0

    @override
    def title(self) -> str:
        return "Top syscalls"

    @override
    def grouped(self, scene: Scene) -> Table:
        return scene.view.by_syscall

    @property
    @override
    def selected(self) -> Identity | None:
        chosen = self.state.syscall
        return None if chosen is None else (chosen.nr, chosen.abi)

    @selected.setter
    @override
    def selected(self, chosen: Identity) -> None:
        self.state.syscall = Syscall(*chosen)

    def _absent(self) -> bool:
        if self.scene is None or self.scene.nothing or self.selected is None:
            return False
        return self.find(self.selected) is None

    @override
    def length(self) -> int:
        return len(self.order) + self._absent()

    @override
    def selected_index(self) -> int | None:
        return len(self.order) if self._absent() else super().selected_index()

    @override
    def select(self, index: int) -> None:
        if index < len(self.order):
            super().select(index)

    @override
    def cells(self, indices: Sequence[int], placed: Sequence[Placed]) -> list[list[Line]]:
        if self.scene is None:
            return []
        points = next((item.width for item in placed if item.column.name == "trend"), 0)
        self._past = self.scene.past.rates(self.scene.view.filter, points)
        present = [i for i in indices if i < len(self.order)]
        contents = super().cells(present, placed)
        chosen = self.state.syscall
        if len(present) < len(indices) and self.table is not None and chosen is not None:
            absent = self.table.find(chosen) or _no_calls(chosen)
            contents.append([self.cell(item, absent, -1) for item in placed])
        return contents

    @override
    def own_cell(self, item: Placed, row: Row, index: int) -> Line:
        assert row.syscall is not None
        match item.column.name:
            case "name":
                return [("name", units.fit(row.syscall.name, item.width))]
            case "share":
                return [("dim", part_of(row.count, self._calls) or NONE)]
            case "trend":
                key = (row.syscall.nr, row.syscall.abi)
                values = [rates.get(key, 0.0) for rates in self._past]
                return [("trend", sparkline(values, item.width))]
        return super().own_cell(item, row, index)
