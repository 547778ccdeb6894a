from __future__ import annotations

import unicodedata

import pytest
import urwid
from hypothesis import given
from hypothesis import strategies as st

from sysdash import units

ANY_TEXT = st.text(st.characters(codec=None))  # lone surrogates included
HOSTILE = {
    b"": "",
    b"plain name": "plain name",
    b"0123456789abcdef": "0123456789abcdef",
    b"cut\0here": "cut",
    b"\x1b[2J\x1b]0;owned\x07": "␛[2J␛]0;owned␇",
    b"two\nlines\r": "two␊lines␍",
    b"tab\tdel\x7f": "tab␉del␡",
    b"\xff\xfe\x80": "���",
    "漢字".encode(): "漢字",
    "漢".encode()[:2]: "�",
    "\x9b31m".encode(): "�31m",
    "\u202eabc\u2066".encode(): "�abc�",
    "a\u200bb\ufeff\u00ad".encode(): "a�b��",
    "e\u0301".encode(): "é",
    "z\u0335\u0489".encode(): "z��",
    "\u00a0\u3000\u2003".encode(): "   ",
    "\u2028\u2029".encode(): "��",
    "\ue000\U0010ffff".encode(): "��",
    "\U0001f1e9\U0001f1ea\U0001f44d\U0001f3fd".encode(): "��👍�",
    "\u3164\u115f\u1160\uffa0".encode(): "����",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_become_harmless(name: bytes) -> None:
    assert units.safe(name) == HOSTILE[name]


def test_a_lone_surrogate_is_replaced() -> None:
    assert units.safe("a\udcff") == "a�"


@given(st.binary() | ANY_TEXT)
def test_safe_text_has_only_harmless_characters(raw: bytes | str) -> None:
    text = units.safe(raw)
    assert all(unicodedata.category(char)[0] not in "CM" for char in text)
    assert text.splitlines() in ([], [text])
    assert text.encode().decode() == text
    assert all(units.width(char) in (1, 2) for char in text)


@given(st.binary() | ANY_TEXT)
def test_safe_changes_a_safe_text_no_more(raw: bytes | str) -> None:
    once = units.safe(raw)
    assert units.safe(once) == once


@given(ANY_TEXT)
def test_the_width_of_safe_text_is_what_the_screen_library_counts(raw: str) -> None:
    text = units.safe(raw)
    assert units.width(text) == urwid.calc_width(text, 0, len(text))


@given(ANY_TEXT.map(units.safe), st.integers(0, 30))
def test_fit_and_pad_keep_to_the_width(text: str, columns: int) -> None:
    fitted = units.fit(text, columns)
    assert units.width(fitted) <= columns
    assert fitted == text or columns == 0 or fitted.endswith(units.ELLIPSIS)
    for align in "<>^":
        assert units.width(units.pad(text, columns, align)) == columns


def test_fit_and_pad() -> None:
    assert units.fit("epoll_wait", 10) == "epoll_wait"
    assert units.fit("epoll_wait", 6) == "epoll…"
    assert units.fit("漢字漢字", 4) == "漢…"
    assert units.pad("漢", 4) == "漢  "
    assert units.pad("漢", 4, ">") == "  漢"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.001, "<0.01"),
        (0.25, "0.25"),
        (3, "3"),
        (12.34, "12.3"),
        (99.97, "100"),
        (212.4, "212"),
        (999.4, "999"),
        (999.5, "1.00K"),
        (9_100, "9.10K"),
        (999_499, "999K"),
        (999_500, "1.00M"),
        (1_210_000, "1.21M"),
        (2.4e9, "2.40G"),
    ],
)
def test_rate(value: float, text: str) -> None:
    assert units.rate(value) == text


@given(st.floats(0, 1e18))
def test_a_rate_takes_five_columns_at_most(value: float) -> None:
    assert len(units.rate(value)) <= 5


def test_count_is_short_only_where_it_must_be() -> None:
    assert units.count(1_103_220) == "1,103,220"
    assert units.count(1_103_220, 8) == "1.10M"
    assert units.count(123_456_789_012) == "123G"
    assert units.count(999, 1) == "999"


def test_bytes() -> None:
    assert units.bytes_(0) == "0B"
    assert units.bytes_(999) == "999B"
    assert units.bytes_(1500) == "1.50KB"
    assert units.bytes_(148_000_000) == "148MB"


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0ns"),
        (412, "412ns"),
        (999.6, "1.00µs"),
        (1_240, "1.24µs"),
        (45_200_000, "45.2ms"),
        (999_600_000, "1.00s"),
        (12_000_000_000, "12.0s"),
        (59_949_000_000, "59.9s"),
        (59_960_000_000, "1m00s"),
        (125_000_000_000, "2m05s"),
        (3_599_700_000_000, "1h00m"),
        (11_520_000_000_000, "3h12m"),
        (273_600_000_000_000, "3d04h"),
        (100 * 86_400_000_000_000, "100d"),
    ],
)
def test_duration(ns: float, text: str) -> None:
    assert units.duration(ns) == text


@given(st.integers(0, 2**63))
def test_a_duration_takes_seven_columns_at_most(ns: int) -> None:
    assert len(units.duration(ns)) <= 7


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0ms", 0),
        ("500ns", 500),
        ("1.5us", 1_500),
        ("1.5µs", 1_500),
        ("1.5μs", 1_500),
        ("10ms", 10_000_000),
        (" 1 s ", 1_000_000_000),
        ("0.1s", 100_000_000),
        ("2m", 120_000_000_000),
        ("1h", 3_600_000_000_000),
        ("9007199254740993ns", 9007199254740993),
    ],
)
def test_parse_duration(text: str, ns: int) -> None:
    assert units.parse_duration(text) == ns


@pytest.mark.parametrize(
    "text", ["", "10", "ms", "-1ms", "1e3s", "1 day", "1ms2", "inf s", "\uff11ms"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0"), (64, "64ns"), (512, "512ns"), (1 << 10, "1µs"), (1 << 20, "1ms"), (1 << 36, "64s")],
)
def test_powers_of_two_are_called_by_their_unit(ns: int, text: str) -> None:
    assert units.power_of_two(ns) == text
