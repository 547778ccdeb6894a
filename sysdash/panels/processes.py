"""Tables of processes: all of them, or those that make one syscall."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from typing_extensions import override

from sysdash import syscalls
from sysdash.keys import Context
from sysdash.model import Row, Table, aggregate
from sysdash.panels.cells import Line
from sysdash.panels.grouped import ERRORS, MAX, P50, P99, RATE, TOTAL, WAITING, GroupedPanel
from sysdash.panels.table import Column, Placed
from sysdash.ui_state import Scene


class ProcessesPanel(GroupedPanel):
    """Processes by the chosen sort, with the calls that they make most.

    A process is its PID and its name: an exec makes another one of it.
    """

    identity: tuple[str, ...] = ("pid", "comm")
    columns: tuple[Column, ...] = (
        Column("pid", "pid", 7, align=">", rank=0),
        # Names have 15 characters, which are worth more than a bar.
        Column("comm", "process", 12, 18, rank=0, share=100),
        Column("bar", "", 6, 120, rank=5, share=6),
        RATE,
        ERRORS,
        P50,
        P99,
        MAX,
        TOTAL,
        # Who asked for it to be measured wants it more than a bar.
        replace(WAITING, rank=4),
        Column("calls", "mostly", 10, 90, rank=5, share=6),
    )
    empty = "no system calls in this interval"

    @override
    def title(self) -> str:
        return "Processes"

    @override
    def grouped(self, scene: Scene) -> Table:
        return scene.view.by_process

    @override
    def own_cell(self, item: Placed, row: Row, index: int) -> Line:
        match item.column.name:
            case "pid":
                return [("dim", str(row.pid))]
            case "comm":
                return [("name", row.comm or "")]
            case "calls":
                return [("dim", self._mostly(index, item.width))]
        return super().own_cell(item, row, index)

    def _mostly(self, index: int, room: int) -> str:
        """The names of a process's calls, the most frequent first, as many as fit."""
        if self.scene is None or self.table is None:
            return ""
        calls = self.scene.view.calls
        mine = np.flatnonzero(calls.pid == self.table.pid[index])
        mine = mine[calls.comm[mine] == self.table.comm[index]]
        codes, inverse = np.unique((calls.nr[mine] << 2) | calls.abi[mine], return_inverse=True)
        counts = np.bincount(inverse.ravel(), weights=calls.count[mine])
        text = ""
        for i in np.argsort(-counts, kind="stable"):
            name = syscalls.display_name(int(codes[i] >> 2), int(codes[i] & 3))
            longer = f"{text}, {name}" if text else name
            if len(longer) > room:
                break
            text = longer
        return text


class CallersPanel(ProcessesPanel):
    """The processes that make the selected syscall."""

    columns: tuple[Column, ...] = tuple(
        column for column in ProcessesPanel.columns if column.name != "calls"
    )

    @property
    @override
    def context(self) -> Context | None:
        return Context.CALLERS

    @override
    def grouped(self, scene: Scene) -> Table:
        return aggregate(scene.of_syscall(self.state), ("pid", "comm"))

    @override
    def title(self) -> str:
        syscall = self.state.syscall
        return f"Processes in {self.state.only(syscall.name)}" if syscall else "Processes"

    @override
    def titles(self) -> list[str]:
        syscall = self.state.syscall
        if syscall is None:
            return [self.title()]
        name = self.state.only(syscall.name)
        return [self.title(), f"In {name}", name]

    @override
    def why_empty(self) -> str:
        if self.state.errno is not None and self.scene and not self.scene.nothing:
            return f"no call failed with {syscalls.errno_name(self.state.errno)} in this interval"
        return super().why_empty()
