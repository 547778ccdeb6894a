"""Blocked time by stack as a flame graph: one SVG file that needs nothing else.

As in https://www.brendangregg.com/FlameGraphs/offcpuflamegraphs.html: a frame's width is the time
that its stacks were blocked, callers are below what they call, and the order from left to right
has no meaning but that the longest time is first.

The picture is drawn here for viewers that run no scripts; ``flame.js`` draws it again from the
data in the file, to the window's width, and lets people zoom and search.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from xml.sax.saxutils import escape

from sysdash import units
from sysdash.blocking import BlockedStack, Frame, Kind
from sysdash.report.frametree import Node, Rest, Room, prune, tree
from sysdash.report.shares import percent

ROOT = "all"

LEAST_SHARE = 0.001
"""Of the picture's width: frames that are narrower are not drawn, until someone zooms in."""

_DATA_ROOM = Room(characters=3_000_000, node=24, once=True)
# Of each node, the name is in the tooltip and in the label.
_PICTURE_ROOM = Room(characters=1_500_000, node=250, once=False)
_LONGEST_NAME = 1000

_WIDTH = 1200
_SIDE = 16
_TOP = 122
_BOTTOM = 40
_LEVEL = 18
# A column of the 12 px monospace font: 0.6 em in nearly all of them, and a little more.
_COLUMN = 7.3
_LABEL_SIDE = 4
_LEAST_COLUMNS = 3
_LEAST_MODULE = 4
_RIGHT = _WIDTH - _SIDE

_SHADES = 6
_CLASSES = {
    Kind.PROCESS: ("p", "process"),
    Kind.USER: ("u", "program"),
    Kind.SYSCALL: ("s", "system call"),
    Kind.KERNEL: ("k", "kernel"),
    Kind.STATE: ("t", "state"),
}
_LEGEND_COLUMN = 6.6
_LEGEND_GAP = 22


def svg(stacks: Sequence[BlockedStack], *, title: str, subtitle: str) -> str:
    """The whole SVG file.

    Its size has a bound: of very many frames, those with the least time are left out, and the
    picture says how many that are.

    Args:
        stacks: blocked time; texts are safe ones.
        title: the headline.
        subtitle: what was watched, for how long; one line.
    """
    nodes, left_out = tree(stacks, _DATA_ROOM)
    total = nodes[0].ns
    drawn, narrow = prune(nodes, _PICTURE_ROOM, max(total * LEAST_SHARE, 1))
    levels = 1 + max(node.depth for node, _ in drawn)
    height = _TOP + levels * _LEVEL + _BOTTOM
    rest = _rest_text(narrow, left_out, total) if stacks else "Nothing was blocked."
    return "".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>\n',
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"',
            f' viewBox="0 0 {_WIDTH} {height}">\n',
            f"<title>{escape(title)}</title>\n<desc>{escape(subtitle)}</desc>\n",
            f"<style>{_resource('flame.css')}</style>\n",
            '<rect id="page" width="100%" height="100%"/>\n<g id="graph">\n',
            *(_drawn(node, left, levels, total) for node, left in drawn),
            f'</g>\n<text id="rest" x="{_SIDE}" y="{height - 15}">{escape(rest)}</text>\n',
            '<g id="head"><rect id="cover" width="100%"/>\n',
            f'<text id="title" x="{_SIDE}" y="34">{escape(title)}</text>\n',
            f'<text id="subtitle" x="{_SIDE}" y="56">{escape(subtitle)}</text>\n',
            f'<g id="legend">{"".join(_legend(nodes))}</g>\n',
            f'<text id="details" x="{_SIDE}" y="108"/></g>\n',
            f'<script type="application/json" id="data">{_data(nodes, left_out)}</script>\n',
            f"<script>{_resource('flame.js')}</script>\n</svg>\n",
        )
    )


def _resource(name: str) -> str:
    return f"<![CDATA[\n{(files('sysdash.report') / name).read_text(encoding='utf-8')}]]>"


def _text(frame: Frame | None) -> str:
    return ROOT if frame is None else units.fit(frame.text, _LONGEST_NAME)


def _class(frame: Frame | None) -> str:
    """The kind's letter and a shade that a name always has: ``flame.css`` has their colours."""
    if frame is None:
        return "a0"
    return f"{_CLASSES[frame.kind][0]}{zlib.crc32(frame.text.encode()) % _SHADES}"


# --- The picture ---


def _drawn(node: Node, left: int, levels: int, total: int) -> str:
    # Nothing was blocked for any time: the root alone, over the whole width.
    scale = (_RIGHT - _SIDE) / total if total else 0
    x = _SIDE + left * scale
    width = node.ns * scale if total else _RIGHT - _SIDE
    y = _TOP + (levels - 1 - node.depth) * _LEVEL
    label = _label(_text(node.frame), int((width - 2 * _LABEL_SIDE) / _COLUMN))
    text = ""
    if label:
        # Wide and joined characters differ between fonts: those are made to fit.
        length = "" if label.isascii() else f' textLength="{units.width(label) * _COLUMN:.1f}"'
        adjust = length and ' lengthAdjust="spacingAndGlyphs"'
        text = (
            f'<text x="{x + _LABEL_SIDE:.2f}" y="{y + 13}"{length}{adjust}>{escape(label)}</text>'
        )
    return (
        f'<g class="frame"><title>{escape(_description(node, total))}</title>'
        f'<rect class="{_class(node.frame)}" x="{x:.2f}" y="{y}" width="{width:.2f}"'
        f' height="{_LEVEL}"/>{text}</g>\n'
    )


def _label(text: str, room: int) -> str:
    """A name cut to a number of columns; of a function's module less is kept than of itself."""
    if room < _LEAST_COLUMNS:
        return ""
    if units.width(text) <= room:
        return text
    module, mark, function = text.partition("`")
    if not mark or not function:
        return units.fit(text, room)
    rest = room - units.width(function) - 1
    if rest >= _LEAST_MODULE:
        return f"{units.fit(module, rest)}`{function}"
    return units.fit(function, room)


def _description(node: Node, total: int) -> str:
    share = percent(node.ns / total if total else 0) or "0%"
    often = "once" if node.times == 1 else f"{node.times:,} times"
    return f"{_text(node.frame)}\nblocked {units.duration(node.ns)}, {share} of all, {often}"


def _rest_text(narrow: Rest, left_out: Rest, total: int) -> str:
    text = _rest("Not drawn", narrow, total)
    return " ".join(filter(None, (text, _rest("Not in this file", left_out, total))))


def _rest(where: str, rest: Rest, total: int) -> str:
    if not rest.frames:
        return ""
    share = percent(rest.ns / total if total else 0) or "0%"
    frames = "1 narrow frame" if rest.frames == 1 else f"{rest.frames:,} narrow frames"
    return f"{where}: {frames}, in {share} of the time."


def _legend(nodes: Sequence[Node]) -> Iterator[str]:
    there = {node.frame.kind for node in nodes if node.frame is not None}
    x = float(_SIDE)
    for kind, (letter, name) in _CLASSES.items():
        if kind in there:
            yield (
                f'<g transform="translate({x:.1f} 74)"><rect class="{letter}0" width="12"'
                f' height="12" rx="3"/><text x="18" y="10">{name}</text></g>'
            )
            x += 18 + len(name) * _LEGEND_COLUMN + _LEGEND_GAP


# --- The data ---


def _data(nodes: Sequence[Node], left_out: Rest) -> str:
    """The tree as JSON, in columns, that neither XML nor HTML takes for markup."""
    numbers: dict[Frame | None, int] = {}
    data = {
        "frame": [numbers.setdefault(node.frame, len(numbers)) for node in nodes],
        "depth": [node.depth for node in nodes],
        "ns": [node.ns for node in nodes],
        "times": [node.times for node in nodes],
        "names": [_text(frame) for frame in numbers],
        "classes": [_class(frame) for frame in numbers],
        "leftOut": left_out,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text
