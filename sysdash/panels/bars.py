"""The header and the footer."""

from __future__ import annotations

import time

from sysdash import units
from sysdash.keys import Binding, Context, footer, label
from sysdash.model import Filter
from sysdash.panels.cells import Line, fill, width
from sysdash.ui_state import Scene, UiState

_GAPS = ("   ", "  ")


def filter_text(shown: Filter) -> str:
    """A filter in words; ``none`` for one that shows all."""
    parts = [f"pid {shown.pid}"] if shown.pid is not None else []
    if shown.name:
        parts.append(f"name {units.safe(shown.name)}")
    return " ".join(parts) or "none"


def seconds(value: float) -> str:
    """A refresh interval or window: ``0.1s``, ``1.0s``, ``10.0s``."""
    return f"{value:.1f}s"


def header(scene: Scene | None, state: UiState, columns: int) -> Line:
    """Who, how and when: the top line, ``columns`` wide.

    Where it does not fit, the host goes first, then the window; long filters are cut.
    """
    mode = "PAUSED" if state.paused else state.mode
    badge = {"PAUSED": "badge.paused", "REPLAY": "badge.replay"}.get(mode, "badge.live")
    arrow = " ↑" if state.inverted else ""
    sort: Line = [("header.dim", "sort "), ("header", f"{state.sort}{arrow}")]
    shown: Line = [
        ("header.dim", "filter "),
        ("header" if not state.filter else "header.name", filter_text(state.filter)),
    ]
    if state.limits:
        shown += [("header.dim", ", only "), ("header", units.safe(state.limits))]
    window: Line = []
    clock, host = "", ""
    if scene is not None:
        snapshot = scene.view.snapshot
        window = [("header.dim", "window "), ("header", seconds(snapshot.interval_s))]
        at = time.localtime(snapshot.time_ns // 1_000_000_000)
        clock, host = time.strftime("%H:%M:%S", at), units.safe(snapshot.host.name)
    name: Line = [("header.name", " sysdash")]
    who: list[Line] = [[("header", units.fit(host, 24))]] if host else []
    pace: Line = [(badge, f" {mode} {seconds(state.interval_s)} ")]
    end: Line = [("header", f"  {clock} ")]
    room = max(columns - width(end), 0)
    line: Line = []
    for parts in (
        [*who, pace, sort, shown, window],
        [pace, sort, shown, window],
        [pace, sort, shown],
    ):
        for gap in _GAPS:
            line = list(name)
            for part in filter(None, parts):
                line += [("header", gap), *part]
            if width(line) <= room:
                return fill(line, room, "header") + end
    return fill(fill(line, room, "header") + end, columns, "header")


def _item(name: str, does: str) -> Line:
    return [("key", name), ("footer", f" {does}")]


def _names(binding: Binding) -> str:
    return label(binding.keys[0])


def keys_line(contexts: list[Context], columns: int) -> Line:
    """The keys that matter now, from the key table: the weightiest that fit, in its order."""
    arrows = _item("↑↓", "move") if Context.HELP not in contexts else _item("↑↓", "scroll")
    bindings = footer(contexts)
    if Context.SORTING in contexts:
        bindings = [b for b in bindings if b.context is Context.SORTING or b.weight > 90]
    gap = "  "
    room = columns - 1 - width(arrows)
    kept: set[Binding] = set()
    for binding in sorted(bindings, key=lambda binding: -binding.weight):
        needed = len(gap) + width(_item(_names(binding), binding.short))
        if needed <= room:
            kept.add(binding)
            room -= needed
    line: Line = [("footer", " "), *arrows]
    if Context.SORTING in contexts:
        line = [("footer", " "), ("prompt", "sort by")]
    for binding in bindings:
        if binding in kept:
            line += [("footer", gap), *_item(_names(binding), binding.short)]
    return fill(line, columns, "footer")
