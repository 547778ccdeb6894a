"""The panel of slow calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from typing_extensions import override

from sysdash import syscalls, units
from sysdash.keys import Context
from sysdash.model import SlowCall
from sysdash.panels.cells import Line
from sysdash.panels.table import Column, Placed, TablePanel
from sysdash.ui_state import Scene, UiState


def registers(call: SlowCall) -> str:
    """The argument registers as numbers: small ones decimal, addresses and flags hexadecimal."""
    return " ".join(str(value) if value < 1_000_000 else f"{value:#x}" for value in call.args)


def result(call: SlowCall) -> str:
    """What a call returned, or its error's name."""
    if call.errno is not None:
        return syscalls.errno_name(call.errno)
    return str(call.ret) if abs(call.ret) < 1_000_000_000 else f"{call.ret & (2**64 - 1):#x}"


def _ids(call: SlowCall) -> str:
    return f"{call.pid}/{call.tid}"


class SlowPanel(TablePanel):
    """Calls over their threshold, newest first.

    Nothing is selected at first, and the newest are on show. A call that is selected stays, and
    stays where it is on the screen, while newer ones come: the list is held until it is released.
    """

    columns: tuple[Column, ...] = (
        Column("time", "", 8, rank=0),
        Column("name", "", 15, 22, rank=1, share=20),
        Column("duration", "took", 6, align=">", rank=2),
        Column("comm", "process", 8, 16, rank=3, share=40),
        # Two of the largest numbers.
        Column("ids", "pid/tid", 15, rank=4),
        Column("result", "result", 9, 12, align=">", rank=5, share=20),
        Column("args", "arguments", 9, 400, rank=6, share=2),
    )

    def __init__(self, state: UiState, format_args: Callable[[SlowCall], str] = registers) -> None:
        """A panel that writes arguments as ``format_args`` says (safe text)."""
        super().__init__(state)
        self._format_args = format_args
        self._calls: Sequence[SlowCall] = ()
        self.selected: SlowCall | None = None

    @override
    def update(self, scene: Scene | None, state: UiState) -> None:
        before = self.selected_index()
        super().update(scene, state)
        calls: Sequence[SlowCall] = scene.slow if scene else ()
        if state.detail:
            calls = [call for call in calls if call.syscall == state.syscall]
        self._calls = calls
        self.empty = "no call took longer than its threshold"
        if state.filter:
            self.empty += ", among those shown"
        after = self.selected_index()
        if after is None:
            self.selected = None
            self.offset = 0
        elif before is not None:
            self.offset += after - before

    @override
    def title(self) -> str:
        if self.state.detail and self.state.syscall:
            title = f"Slow calls {self.state.syscall.name}"
        else:
            title = "Slow calls"
        newer = self.selected_index()
        if newer is None:
            return title
        return f"{title}: held, {units.count(newer, 6)} newer" if newer else f"{title}: held"

    @property
    @override
    def context(self) -> Context | None:
        return Context.HELD if self.selected_index() is not None else None

    def release(self) -> None:
        """Select nothing and follow the newest again."""
        self.selected = None
        self.scroll_to(0)

    @override
    def length(self) -> int:
        return len(self._calls)

    @override
    def selected_index(self) -> int | None:
        if self.selected is None:
            return None
        return next((i for i, call in enumerate(self._calls) if call is self.selected), None)

    @override
    def select(self, index: int) -> None:
        self.selected = self._calls[index]

    @override
    def cells(self, indices: Sequence[int], placed: Sequence[Placed]) -> list[list[Line]]:
        return [[self._cell(item, self._calls[i]) for item in placed] for i in indices]

    def _cell(self, item: Placed, call: SlowCall) -> Line:
        match item.column.name:
            case "time":
                at = time.localtime(call.time_ns // 1_000_000_000)
                return [("dim", time.strftime("%H:%M:%S", at))]
            case "name":
                return [("name", call.syscall.name)]
            case "duration":
                return [("warn", units.duration(call.duration_ns))]
            case "comm":
                return [("text", call.comm)]
            case "ids":
                return [("dim", _ids(call))]
            case "result":
                return [("error" if call.errno is not None else "text", result(call))]
            case "args":
                return [("dim", self._format_args(call))]
        raise LookupError(f"no column {item.column.name!r}")

    @override
    def highlighted(self, focus: bool) -> bool:
        return focus
