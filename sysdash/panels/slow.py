"""The panel of slow calls."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import takewhile

from typing_extensions import override

from sysdash import units
from sysdash.keys import Context
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
    line,
)
from sysdash.panels.cells import Line
from sysdash.panels.heatmap import latencies
from sysdash.panels.table import Column, Placed
from sysdash.story import Story
from sysdash.syscalls import errno_name
from sysdash.ui_state import REPLAY, Example, Scene, UiState

_MOST_OF_ERROR = 13

_HELD = 500
"""Calls on each side of the selected one that stay in a list that is held."""


class SlowPanel(CallsPanel):
    """Calls over their threshold, newest first.

    Nothing is selected at first, and the newest are on show. A call that is selected stays, and
    stays where it is on the screen, while newer ones come: the list is held until it is released,
    and so are the calls around it, though the history has forgotten them.

    While an error is chosen, all calls that failed with it are examples, however fast.
    """

    columns: tuple[Column, ...] = (
        Column("time", "", 8, rank=3),
        NAME,
        DURATION,
        COMM,
        IDS,
        # Where there is no room for it, an error stands before the arguments.
        Column("result", "result", 9, 12, align=">", rank=5, share=2, from_width=100),
        ARGUMENTS,
    )

    def __init__(self, state: UiState, tell: Tell) -> None:
        super().__init__(state, tell)
        self._newest: SlowCall | None = None
        self._held: Sequence[SlowCall] = ()
        self._forgotten = False
        self._example: Example | None = None

    @override
    def update(self, scene: Scene | None, state: UiState) -> None:
        before = self.selected_index()
        super().update(scene, state)
        if scene is not None:
            self.grow(takewhile(lambda call: call is not self._newest, scene.past.slow))
            self._newest = next(iter(scene.past.slow), None)
        self.grow(state.examples)
        if self._example != state.example:
            # What is an example of one error is none of another.
            self._example, self._held = state.example, ()
        self._calls = self._listed(scene) if scene else ()
        after = self.selected_index()
        if after is None:
            self.selected, self._held = None, ()
            self.offset = 0
        elif before is not None:
            self.offset += after - before

    def _listed(self, scene: Scene) -> Sequence[SlowCall]:
        state, shown = self.state, scene.view.filter
        calls = [*scene.slow, *self._then(scene, shown.slow(state.examples))]
        known = {id(call) for call in calls}
        self._forgotten = id(self.selected) not in known
        held = self._then(scene, shown.slow(self._held))
        calls += [call for call in held if id(call) not in known]
        if len(calls) > len(scene.slow):
            calls.sort(key=lambda call: call.time_ns, reverse=True)
        if state.detail or state.band_ns:
            low_ns, high_ns = state.band_ns or (0, 2**64)
            errno = state.errno if state.detail else None
            return [
                call
                for call in calls
                if call.syscall == state.syscall
                and errno in (None, call.errno)
                and low_ns <= call.duration_ns < high_ns
            ]
        return calls

    def _then(self, scene: Scene, calls: Sequence[SlowCall]) -> Sequence[SlowCall]:
        """Those that were there at the moment on show, or ended in the window on show."""
        if not self.state.paused:
            return calls
        window = scene.past.window
        end_ns = scene.view.snapshot.time_ns
        begin_ns = window.begin_ns if window else 0
        return [call for call in calls if begin_ns < call.time_ns <= end_ns]

    @override
    def left_out(self) -> set[str]:
        # The title has them.
        left_out = {"name"} if self.state.detail else set()
        return left_out | {"result"} if self.state.example else left_out

    @override
    def select(self, index: int) -> None:
        super().select(index)
        self._held = self._calls[max(index - _HELD, 0) : index + _HELD + 1]

    @override
    def why_empty(self) -> str:
        state = self.state
        among = ", among those shown" if state.filter else ""
        if state.example is not None and state.errno is not None:
            if state.mode == REPLAY:
                return "examples are only listed live"
            if state.paused:
                return PAUSED
            return f"waiting for the next one that fails with {errno_name(state.errno)}{among}…"
        missing = self.scene.view.snapshot.unlisted if self.scene and not state.filter else 0
        but = f", but {units.count(missing)} are not listed" if missing else ""
        if state.band_ns:
            return f"no slow call took so long in this time{among}{but}"
        return f"no call took longer than its threshold{among}{but}"

    @override
    def title(self) -> str:
        title = "Slow calls"
        if self.state.detail and self.state.syscall:
            title = "Examples of" if self.state.example else title
            title = f"{title} {self.state.only(self.state.syscall.name)}"
        if self.state.band_ns and self.state.syscall:
            low_ns, high_ns = self.state.band_ns
            name = "" if self.state.detail else f" {self.state.syscall.name}"
            title = f"{title}{name} {latencies(low_ns, high_ns)}"
        newer = self.selected_index()
        if newer is None:
            return title
        separator = "," if ":" in title else ":"
        held = f"{title}{separator} held"
        # Those between the calls that are held and those that are remembered are not counted.
        more = "+" if self._forgotten else ""
        return f"{held}, {units.count(newer, 6)}{more} newer" if newer else held

    @property
    @override
    def part_first(self) -> bool:
        # Of a list that stands still, it is to be seen where one is.
        return self.selected_index() is not None

    @property
    @override
    def context(self) -> Context | None:
        return Context.HELD if self.selected_index() is not None else None

    def release(self) -> None:
        """Select nothing and follow the newest again."""
        self.selected, self._held = None, ()
        self.scroll_to(0)

    @override
    def selected_index(self) -> int | None:
        if self.selected is None:
            return None
        return next((i for i, call in enumerate(self._calls) if call is self.selected), None)

    @override
    def cell(self, item: Placed, call: SlowCall, story: Story, shown: set[str]) -> Line:
        match item.column.name:
            case "time":
                at = time.localtime(call.time_ns // 1_000_000_000)
                return [("dim", time.strftime("%H:%M:%S", at))]
            case "result":
                return [("error" if call.errno is not None else "text", story.result)]
            case "args" if (
                call.errno is not None and "result" not in shown and not self.state.example
            ):
                error = units.fit(errno_name(call.errno), _MOST_OF_ERROR)
                room = item.width - units.width(error) - 1
                return [("error", error), ("text", f" {line(story, room)}")]
        return super().cell(item, call, story, shown)

    @override
    def highlighted(self, focus: bool) -> bool:
        return focus
