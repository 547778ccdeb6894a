"""The list of calls that have not returned."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from typing_extensions import override

from sysdash import units
from sysdash.model import SlowCall
from sysdash.panels.calls import (
    ARGUMENTS,
    COMM,
    DURATION,
    IDS,
    NAME,
    PAUSED,
    CallsPanel,
    Tell,
    find,
)
from sysdash.panels.cells import Line
from sysdash.panels.table import Column, Placed, loading
from sysdash.story import Story
from sysdash.syscalls import waits
from sysdash.ui_state import REPLAY, Scene, UiState


def _where(call: SlowCall) -> str:
    """The innermost function, without the module and the offset."""
    frame = next(iter(call.detail.kernel), "")
    return frame.rpartition("`")[2].rpartition("+")[0] or frame


class InFlightPanel(CallsPanel):
    """Calls inside the kernel for longer than their threshold, the longest first.

    Those whose purpose is to wait come after the others: they are the rule, not the exception.
    """

    columns: tuple[Column, ...] = (
        # As wide as the title above it.
        replace(NAME, least=9),
        replace(DURATION, heading="so far"),
        COMM,
        IDS,
        Column("where", "in the kernel", 14, rank=5, from_width=80),
        ARGUMENTS,
    )

    growing: ClassVar[dict[str, Callable[[SlowCall], str]]] = CallsPanel.growing | {"where": _where}

    def __init__(self, state: UiState, tell: Tell) -> None:
        super().__init__(state, tell)
        self._others = 0
        self._unlisted = 0
        self._place = 0

    @override
    def update(self, scene: Scene | None, state: UiState) -> None:
        super().update(scene, state)
        others, waiting = scene.in_flight if scene else ([], [])
        step = -1 if state.inverted else 1
        self._calls = [*others[::step], *waiting[::step]]
        self._others = len(others)
        self._unlisted = scene.in_flight_unlisted if scene else 0
        self.grow(self._calls)
        if not self._calls:
            return
        place = None if self.selected is None else find(self.selected, self._calls)
        if self.selected is None or not state.pinned:
            place = 0
        # What has returned leaves the selection to the call that takes its place.
        self.select(min(self._place, len(self._calls) - 1) if place is None else place)

    @override
    def title(self) -> str:
        return "In flight"

    @override
    def why_empty(self) -> str:
        if self.scene and not self.scene.view.snapshot.in_flight_known:
            return "not collected with -x or -e"
        return (self.scene.nothing if self.scene else "") or (
            "no call has been inside the kernel for longer than its threshold"
            + (", among those shown" if self.state.filter else "")
        )

    @override
    def selected_index(self) -> int | None:
        return None if self.selected is None else find(self.selected, self._calls)

    @override
    def select(self, index: int) -> None:
        super().select(index)
        self._place = index

    def _note(self, columns: int) -> list[Line]:
        """What the order and the list leave to be said."""
        waiting = len(self._calls) - self._others
        notes = []
        if waiting:
            # By the kind of call: what they do in the kernel is not known, and may be to wait.
            first = f"{units.count(self._others)} of other kinds, then " if self._others else ""
            verb = "waits" if waiting == 1 else "wait"
            notes.append(f"{first}{units.count(waiting)} that {verb} by nature")
        if self._unlisted:
            notes.append(f"and {units.count(self._unlisted)} more")
        if self.state.paused and not all(call.args for call in self._calls):
            notes.append(f"arguments {PAUSED}")
        return [
            [("dim", f" {part}")] for part in textwrap.wrap(", ".join(notes), max(columns - 2, 10))
        ]

    @override
    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        if self.scene is None:
            return loading(columns, rows, recorded=self.state.mode == REPLAY)
        note = self._note(columns)
        lines = super().lines(columns, rows - len(note) - bool(note), focus)
        return [*lines, [], *note] if note else lines

    @override
    def cell(self, item: Placed, call: SlowCall, story: Story, shown: set[str]) -> Line:
        name = item.column.name
        if name == "where":
            content: Line = [("text", _where(call))]
        else:
            content = super().cell(item, call, story, shown)
        if waits(call.syscall.nr, call.syscall.abi):
            return [("dim", text) for _, text in content]
        return content
