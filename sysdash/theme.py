"""Named styles and their colours: 256 colours, 16 colours, and none.

Panels know only the names. Each theme defines all of them; urwid picks the column that the
terminal can show (``NO_COLOR``, ``TERM`` and terminfo decide). Every style has a second form for
the selected row, see :func:`selected`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Style(NamedTuple):
    """One style in the three kinds of terminal.

    Attributes:
        rich, rich_back: foreground and background with 256 colours (urwid's notation).
        plain, plain_back: with 16.
        mono: attributes where there are no colours.
    """

    rich: str = "default"
    rich_back: str = "default"
    plain: str = "default"
    plain_back: str = "default"
    mono: str = "default"


@dataclass(frozen=True)
class Theme:
    """Styles by name, and the backgrounds of the selected row.

    Attributes:
        styles: every name of :data:`STYLES`.
        selected_back: background with 256 and with 16 colours; None reverses the row instead.
        selected_text: what the default foreground becomes there, likewise.
    """

    styles: Mapping[str, Style]
    selected_back: tuple[str, str] | None
    selected_text: tuple[str, str] = ("default", "default")


STYLES = (
    "text",
    "dim",
    "strong",
    "name",
    "error",
    "warn",
    "lost",
    "mark",
    "border",
    "border.focus",
    "title",
    "title.focus",
    "heading",
    "pointer",
    "trend",
    "bar.1",
    "bar.2",
    "bar.3",
    "bar.4",
    "bar.5",
    "latency.1",
    "latency.2",
    "latency.3",
    "latency.4",
    *(f"heat.{shade}" for shade in range(1, 9)),
    *(f"heat.edge.{shade}" for shade in range(9)),
    "heat.cell",
    "timeline.area",
    "timeline.gap",
    "timeline.slow",
    "timeline.window",
    "timeline.compared",
    "timeline.cursor",
    "timeline.axis",
    "timeline.pointer",
    "header",
    "header.dim",
    "header.name",
    "badge.live",
    "badge.paused",
    "badge.replay",
    "badge.recording",
    "footer",
    "key",
    "prompt",
    "prompt.error",
)
"""Every style that a panel may use."""

_MONO = {
    "strong": "bold",
    "name": "default",
    "error": "bold",
    "warn": "bold",
    "lost": "standout",
    "mark": "bold",
    "border.focus": "bold",
    "title": "bold",
    "title.focus": "standout",
    "pointer": "bold",
    **{f"heat.{shade}": "bold" for shade in (2, 4, 6, 8)},
    **{f"heat.edge.{shade}": "standout" for shade in range(9)},
    "heat.cell": "standout",
    "timeline.slow": "bold",
    "timeline.window": "bold,underline",
    "timeline.compared": "underline",
    "timeline.cursor": "standout",
    "timeline.pointer": "bold",
    "header": "standout",
    "header.dim": "standout",
    "header.name": "standout",
    "badge.live": "standout",
    "badge.paused": "bold,underline",
    "badge.replay": "bold,underline",
    "badge.recording": "bold",
    "key": "bold",
    "prompt": "bold",
    "prompt.error": "standout",
}


def _heat(*ramp: tuple[str, str], none: str, dark: range) -> dict[str, tuple[str, str, str, str]]:
    """The shades of heatmaps, and the same under the edge of a region.

    Text and background are alike, so that shade characters become solid where there are colours
    enough. Each shade is lighter than the one before it, or darker, for those who see few colours.

    Args:
        ramp: 256 and 16 colours, from few to many.
        none: the edge's background where there is nothing.
        dark: the shades, of which 0 is nothing, on which the edge is to be light.
    """
    styles = {}
    for shade, (rich, plain) in enumerate(ramp, 1):
        styles[f"heat.{shade}"] = (rich, rich, plain, "default")
    for shade, (rich, _) in enumerate([(none, ""), *ramp]):
        text = "h231" if shade in dark else "h16"
        styles[f"heat.edge.{shade}"] = (text, rich, "white", "dark blue")
    return styles


_DARK = {
    "dim": ("h245", "default", "default", "default"),
    "strong": ("default,bold", "default", "default,bold", "default"),
    "error": ("h167", "default", "light red", "default"),
    "warn": ("h172", "default", "brown", "default"),
    "lost": ("h231,bold", "h160", "white", "dark red"),
    "mark": ("h38,bold", "default", "dark cyan", "default"),
    "border": ("h241", "default", "default", "default"),
    "border.focus": ("h37", "default", "dark cyan", "default"),
    "title": ("default,bold", "default", "default,bold", "default"),
    "title.focus": ("h37,bold", "default", "dark cyan,bold", "default"),
    "heading": ("h245", "default", "default", "default"),
    "pointer": ("h37,bold", "default", "dark cyan,bold", "default"),
    "trend": ("h67", "default", "dark cyan", "default"),
    "bar.1": ("h25", "default", "dark blue", "default"),
    "bar.2": ("h31", "default", "dark cyan", "default"),
    "bar.3": ("h37", "default", "dark cyan", "default"),
    "bar.4": ("h43", "default", "dark cyan", "default"),
    "bar.5": ("h79", "default", "light cyan", "default"),
    "latency.1": ("h37", "default", "dark cyan", "default"),
    "latency.2": ("h71", "default", "dark green", "default"),
    "latency.3": ("h178", "default", "brown", "default"),
    "latency.4": ("h173", "default", "dark red", "default"),
    **_heat(
        ("h54", "light blue"),
        ("h25", "dark cyan"),
        ("h31", "dark cyan"),
        ("h37", "light cyan"),
        ("h78", "light cyan"),
        ("h149", "light green"),
        ("h191", "light green"),
        ("h230", "yellow"),
        none="h238",
        dark=range(5),
    ),
    "heat.cell": ("h231,bold", "h161", "white", "dark red"),
    "timeline.area": ("h67", "default", "dark cyan", "default"),
    "timeline.gap": ("h241", "default", "default", "default"),
    "timeline.slow": ("h173", "default", "brown", "default"),
    "timeline.window": ("h79", "h238", "light cyan", "dark blue"),
    "timeline.compared": ("h178", "h236", "yellow", "default"),
    "timeline.cursor": ("h231", "h31", "white", "dark red"),
    "timeline.axis": ("h245", "default", "default", "default"),
    "timeline.pointer": ("h79,bold", "default", "light cyan", "default"),
    "header": ("h252", "h236", "white", "dark blue"),
    "header.dim": ("h246", "h236", "light gray", "dark blue"),
    "header.name": ("h79,bold", "h236", "white,bold", "dark blue"),
    "badge.live": ("h16", "h72", "black", "dark green"),
    "badge.paused": ("h16", "h214", "black", "brown"),
    "badge.replay": ("h16", "h110", "black", "dark cyan"),
    "badge.recording": ("h231,bold", "h124", "white", "dark red"),
    "footer": ("h245", "default", "default", "default"),
    "key": ("h37,bold", "default", "dark cyan,bold", "default"),
    "prompt": ("default,bold", "default", "default,bold", "default"),
    "prompt.error": ("h167,bold", "default", "light red", "default"),
}

_LIGHT = _DARK | {
    "dim": ("h242", "default", "default", "default"),
    "error": ("h124", "default", "dark red", "default"),
    "warn": ("h130", "default", "brown", "default"),
    "mark": ("h24,bold", "default", "dark blue", "default"),
    "border": ("h248", "default", "default", "default"),
    "border.focus": ("h25", "default", "dark blue", "default"),
    "title.focus": ("h25,bold", "default", "dark blue,bold", "default"),
    "heading": ("h242", "default", "default", "default"),
    "pointer": ("h25,bold", "default", "dark blue,bold", "default"),
    "trend": ("h67", "default", "dark blue", "default"),
    "bar.1": ("h74", "default", "dark cyan", "default"),
    "bar.2": ("h38", "default", "dark cyan", "default"),
    "bar.3": ("h32", "default", "dark blue", "default"),
    "bar.4": ("h26", "default", "dark blue", "default"),
    "bar.5": ("h25", "default", "dark blue", "default"),
    "latency.1": ("h31", "default", "dark cyan", "default"),
    "latency.2": ("h28", "default", "dark green", "default"),
    "latency.3": ("h136", "default", "brown", "default"),
    "latency.4": ("h130", "default", "dark red", "default"),
    # On a light ground the few are light, and what is many is dark.
    **_heat(
        ("h186", "dark cyan"),
        ("h114", "dark green"),
        ("h73", "dark green"),
        ("h31", "dark blue"),
        ("h25", "dark blue"),
        ("h55", "dark magenta"),
        ("h53", "dark magenta"),
        ("h16", "black"),
        none="h253",
        dark=range(4, 9),
    ),
    "heat.cell": ("h231,bold", "h161", "white", "dark red"),
    "timeline.area": ("h67", "default", "dark blue", "default"),
    "timeline.gap": ("h248", "default", "default", "default"),
    "timeline.slow": ("h130", "default", "dark red", "default"),
    "timeline.window": ("h25", "h153", "dark blue", "light gray"),
    "timeline.compared": ("h94", "h223", "brown", "default"),
    "timeline.cursor": ("h16", "h74", "black", "dark cyan"),
    "timeline.axis": ("h242", "default", "default", "default"),
    "timeline.pointer": ("h25,bold", "default", "dark blue,bold", "default"),
    "header": ("h236", "h253", "black", "light gray"),
    "header.dim": ("h241", "h253", "black", "light gray"),
    "header.name": ("h25,bold", "h253", "dark blue", "light gray"),
    "badge.live": ("h231", "h29", "white", "dark green"),
    "badge.paused": ("h16", "h214", "black", "brown"),
    "badge.replay": ("h231", "h25", "white", "dark blue"),
    "badge.recording": ("h231,bold", "h160", "white", "dark red"),
    "footer": ("h242", "default", "default", "default"),
    "key": ("h25,bold", "default", "dark blue,bold", "default"),
    "prompt.error": ("h124,bold", "default", "dark red", "default"),
}

_PLAIN_TEXT = frozenset({"text", "name"})


def _coloured(colours: Mapping[str, tuple[str, str, str, str]]) -> dict[str, Style]:
    default = dict.fromkeys(_PLAIN_TEXT, ("default",) * 4)
    return {
        name: Style(*values, mono=_MONO.get(name, "default"))
        for name, values in (default | dict(colours)).items()
    }


def _uncoloured() -> dict[str, Style]:
    styles = {}
    for name in STYLES:
        mono = _MONO.get(name, "default")
        settings = "default" if mono == "default" else f"default,{mono}"
        styles[name] = Style(settings, "default", settings, "default", mono)
    return styles


THEMES: Mapping[str, Theme] = {
    "default": Theme(_coloured(_DARK), ("h238", "dark blue"), ("h231", "white")),
    "light": Theme(_coloured(_LIGHT), ("h153", "light gray"), ("h16", "black")),
    "mono": Theme(_uncoloured(), None),
}
"""The themes by the name that the ``theme`` setting has."""

_SELECTED = "selected "


def selected(style: str) -> str:
    """The form of a style for the selected row."""
    return _SELECTED + style


PaletteEntry = tuple[str, str, str, str, str, str]


def _selected_colour(colour: str, text: str) -> str:
    base, _, settings = colour.partition(",")
    return ",".join(filter(None, [text if base == "default" else base, settings]))


def palette(name: str) -> list[PaletteEntry]:
    """A theme as urwid's palette, the selected forms included.

    Raises:
        KeyError: there is no theme of that name.
    """
    theme = THEMES[name]
    entries: list[PaletteEntry] = []
    for style, s in theme.styles.items():
        entries.append((style, s.plain, s.plain_back, s.mono, s.rich, s.rich_back))
        if theme.selected_back is None:
            chosen = Style("default,standout", "default", "default,standout", "default")
        else:
            rich_back, plain_back = theme.selected_back
            # Sixteen colours have too little contrast for coloured text on a coloured row.
            chosen = Style(
                _selected_colour(s.rich, theme.selected_text[0]),
                rich_back,
                theme.selected_text[1],
                plain_back,
            )
        entries.append(
            (
                selected(style),
                chosen.plain,
                chosen.plain_back,
                "standout",
                chosen.rich,
                chosen.rich_back,
            )
        )
    return entries
