"""Themes: complete in every kind of terminal."""

from __future__ import annotations

import pytest
import urwid

from sysdash.theme import STYLES, THEMES, palette, selected


@pytest.mark.parametrize("name", THEMES)
def test_a_theme_defines_every_style(name: str) -> None:
    assert set(THEMES[name].styles) == set(STYLES)
    wanted = set(STYLES) | {selected(style) for style in STYLES}
    assert {entry[0] for entry in palette(name)} == wanted


@pytest.mark.parametrize("name", THEMES)
def test_every_entry_is_valid_with_256_and_16_colours_and_without(name: str) -> None:
    for _, plain, plain_back, mono, rich, rich_back in palette(name):
        urwid.AttrSpec(rich, rich_back, 256)
        urwid.AttrSpec(plain, plain_back, 16)
        urwid.AttrSpec(mono, "default", 1)


@pytest.mark.parametrize("name", THEMES)
def test_the_selected_row_differs_in_every_terminal(name: str) -> None:
    entries = {entry[0]: entry[1:] for entry in palette(name)}
    for style in ("text", "dim", "strong", "name", "error"):
        plain, plain_back, mono, rich, rich_back = entries[style]
        chosen = entries[selected(style)]
        assert (plain, plain_back) != chosen[:2]
        assert mono != chosen[2]
        assert (rich, rich_back) != chosen[3:]


def test_mono_has_no_colour_at_all() -> None:
    attributes = {"default", "bold", "underline", "standout"}
    for _, plain, plain_back, mono, rich, rich_back in palette("mono"):
        for value in (plain, plain_back, mono, rich, rich_back):
            assert set(value.split(",")) <= attributes


def test_what_must_not_be_missed_stands_out_without_colours() -> None:
    styles = THEMES["default"].styles
    for name in ("lost", "error", "warn", "title.focus", "prompt.error", "badge.paused"):
        assert styles[name].mono != "default"
