"""Tables of failed calls: all of them, or those of one syscall by errno."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from typing_extensions import override

from sysdash import syscalls, units
from sysdash.keys import Context
from sysdash.model import Row, Syscall, Table, aggregate
from sysdash.panels.cells import Line
from sysdash.panels.grouped import P99, TOTAL, GroupedPanel
from sysdash.panels.table import Column, Placed
from sysdash.ui_state import Scene


class ErrorsPanel(GroupedPanel):
    """Failed calls by syscall, errno and process name, always in the order of their rate.

    Not by PID, for many errors are those of processes that end at once.
    """

    identity: tuple[str, ...] = ("nr", "abi", "errno", "comm")
    columns: tuple[Column, ...] = (
        Column("errno", "errno", 10, 16, rank=0, share=1),
        Column("name", "syscall", 12, 20, rank=0, share=2),
        Column("comm", "process", 15, 18, rank=2, share=2),
        Column("procs", "procs", 5, align=">", rank=3),
        Column("bar", "", 4, 120, rank=5, share=8),
        Column("rate", "errors/s", 8, align=">", rank=1),
        replace(P99, rank=5),
        TOTAL,
    )
    empty = "no call failed in this interval"

    @property
    @override
    def sort(self) -> str:
        return "rate"

    @override
    def title(self) -> str:
        return "Errors"

    @override
    def grouped(self, scene: Scene) -> Table:
        return scene.view.by_error

    @override
    def own_cell(self, item: Placed, row: Row, index: int) -> Line:
        match item.column.name:
            case "errno":
                return [("error", syscalls.errno_name(row.errno or 0))]
            case "name":
                return [("name", row.syscall.name if row.syscall else "")]
            case "comm":
                return [("text", row.comm or "")]
            case "procs":
                return [("dim", units.count(self._processes(index), item.width))]
        return super().own_cell(item, row, index)

    def _processes(self, index: int) -> int:
        """How many processes a row's calls come from."""
        if self.scene is None or self.table is None:
            return 0
        failed = self.scene.view.failed
        mine = np.arange(len(failed))
        for name in self.identity:
            mine = mine[getattr(failed, name)[mine] == getattr(self.table, name)[index]]
        return len(np.unique(failed.pid[mine]))


class ErrnosPanel(ErrorsPanel):
    """How the selected syscall failed, by errno."""

    identity: tuple[str, ...] = ("errno",)
    columns: tuple[Column, ...] = (
        Column("errno", "", 8, 20, rank=0, share=1),
        Column("rate", "errors/s", 8, align=">", rank=1),
        Column("count", "count", 9, align=">", rank=2),
    )
    empty = "no errors"

    @override
    def grouped(self, scene: Scene) -> Table:
        calls = scene.view.of_syscall(self.state.syscall or Syscall(-1))
        return aggregate(calls.select(calls.errno > 0), ("errno",))

    @property
    @override
    def context(self) -> Context | None:
        return Context.ERRNOS if self.selected_index() is not None else None

    @property
    def selected_errno(self) -> int | None:
        """The error of the selected row, if there is one."""
        return self.selected[0] if self.selected and self.selected_index() is not None else None

    @override
    def own_cell(self, item: Placed, row: Row, index: int) -> Line:
        if item.column.name == "count":
            return [("dim", units.count(row.count, item.width))]
        if item.column.name == "errno" and self.state.errno not in (None, row.errno):
            return [("dim", syscalls.errno_name(row.errno or 0))]
        return super().own_cell(item, row, index)

    @override
    def highlighted(self, focus: bool) -> bool:
        return focus
