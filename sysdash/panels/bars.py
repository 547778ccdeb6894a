"""The header and the footer."""

from __future__ import annotations

import time

from sysdash import units
from sysdash.keys import Binding, Context, find, footer, label
from sysdash.model import Filter
from sysdash.panels.cells import Line, fill, width
from sysdash.ui_state import REPLAY, Scene, UiState

_MOST_OF_HOST, _LEAST_OF_HOST = 24, 8
_LEAST_OF_FILTER = 8
_MOST_OF_RECORDING = 40


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

    Where it does not fit, the host is shortened, then the words "sort" and "filter" go, then the
    host; at last the filter is cut and the clock left out. The window is always there.
    """
    mode = "PAUSED" if state.paused else state.mode
    badge = {"PAUSED": "badge.paused", "REPLAY": "badge.replay"}.get(mode, "badge.live")
    how_fast = f"{state.speed:g}\u00d7" if state.mode == REPLAY else seconds(state.interval_s)
    pace: Line = [(badge, f" {mode} {how_fast} ")]
    if state.recording:
        pace.append(("badge.recording", f" {units.fit(state.recording, _MOST_OF_RECORDING)} "))
    sort: Line = [("header", f"{state.sorted_by} ↑" if state.inverted else state.sorted_by)]
    shown: Line = [("header.name" if state.filter else "header", filter_text(state.filter))]
    if state.limits:
        shown += [("header.dim", ", only "), ("header", units.safe(state.limits))]
    window: Line = []
    clock, host = "", ""
    if scene is not None:
        snapshot = scene.view.snapshot
        window = [("header.dim", "window "), ("header", seconds(snapshot.interval_s))]
        if state.adding is not None:
            window = [("header.name", f"adding up {state.adding:.0%}")]
        at = time.localtime(snapshot.time_ns // 1_000_000_000)
        tenth = snapshot.time_ns // 100_000_000 % 10
        fine = f".{tenth}" if state.paused and state.interval_s < 1 else ""
        clock = f"  {time.strftime('%H:%M:%S', at)}{fine} "
        host = units.fit(units.safe(snapshot.host.name), _MOST_OF_HOST)
    whole, least = units.width(host), min(units.width(host), _LEAST_OF_HOST)
    worded: list[Line] = [
        pace,
        [("header.dim", "sort "), *sort],
        [("header.dim", "filter "), *shown],
        window,
    ]
    bare = [pace, sort, shown, window]
    for parts, gap, needed in (
        (worded, 3, whole),
        (worded, 2, least),
        (bare, 2, least),
        (bare, 2, 0),
    ):
        room = columns - len(clock) - width(_spaced(parts, gap))
        name = units.fit(host, room - gap) if needed else ""
        if room >= 0 and units.width(name) >= needed:
            first: list[Line] = [[("header", name)]] if name else []
            line = _spaced([*first, *parts], gap)
            return [*fill(line, columns - len(clock), "header"), ("header", clock)]
    room = columns - width(_spaced([pace, sort, window], 2)) - 2
    if room - len(clock) < _LEAST_OF_FILTER:
        clock = ""
    shown = fill(shown, max(min(width(shown), room - len(clock)), 0))
    line = _spaced([pace, sort, shown, window], 2)
    return fill([*fill(line, columns - len(clock), "header"), ("header", clock)], columns)


def _spaced(parts: list[Line], gap: int) -> Line:
    line: Line = [("header.name", " sysdash")]
    for part in filter(None, parts):
        line += [("header", " " * gap), *part]
    return line


def _item(name: str, does: str) -> Line:
    return [("key", name), ("footer", f" {does}")]


def _names(binding: Binding) -> str:
    return label(binding.keys[0])


def keys_line(contexts: list[Context], columns: int) -> Line:
    """The keys that matter now, from the key table: the weightiest that fit, in its order."""
    scrolls = not {Context.HELP, Context.STORY}.isdisjoint(contexts)
    arrows = _item("↑↓", "scroll" if scrolls else "move")
    away = find("left", contexts)
    if Context.PAUSED in contexts and away is not None and away.context is Context.LISTS:
        arrows += [("footer", "  "), *_item("←→", "time")]
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
