"""Moments of a recording, as they are written after ``--since`` and ``--until``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from sysdash import moments
from sysdash.commands import groups
from sysdash.moments import Outside, between, parse
from sysdash.timeline import Window

S = 1_000_000_000


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/St_Johns"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def ns(text: str) -> int:
    """The local time ``2026-11-21 10:00:03`` as a Unix time in ns."""
    return round(datetime.fromisoformat(text).timestamp()) * S


def window(begin: str, end: str) -> Window:
    return Window(ns(begin), ns(end))


MORNING = ("2026-11-21 10:00:03", "2026-11-21 10:05:07")


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10:01", "2026-11-21 10:01:00"),
        ("10:01:30", "2026-11-21 10:01:30"),
        ("9:30", "2026-11-21 09:30:00"),
        ("10:05:07", "2026-11-21 10:05:07"),
        ("10:06", "2026-11-21 10:06:00"),
        ("+30s", "2026-11-21 10:00:33"),
        ("+30", "2026-11-21 10:00:33"),
        ("-1m", "2026-11-21 10:04:07"),
        ("2026-11-21T10:02:00", "2026-11-21 10:02:00"),
        ("2026-11-21 10:02", "2026-11-21 10:02:00"),
        ("2026-11-20", "2026-11-20 00:00:00"),
    ],
)
def test_a_moment_of_one_morning(text: str, expected: str) -> None:
    assert parse(text).within(window(*MORNING)) == ns(expected)


@pytest.mark.usefixtures("zone")
def test_an_offset_says_which_clock_is_meant() -> None:
    expected = 1_795_255_200 * S
    for text in ("2026-11-21T10:00:00Z", "2026-11-21T12:30:00+02:30", "2026-11-21T05:00-0500"):
        assert parse(text).within(window(*MORNING)) == expected


@pytest.mark.usefixtures("zone")
def test_fractions_of_seconds_are_exact() -> None:
    recorded = window(*MORNING)
    assert parse("10:01:00.123456789").within(recorded) == ns("2026-11-21 10:01:00") + 123_456_789
    assert parse("2026-11-21T10:01:00.5").within(recorded) == ns("2026-11-21 10:01:00") + S // 2
    assert parse("+1500ms").within(recorded) == recorded.begin_ns + 1_500_000_000


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "expected"),
    [("23:30", "2026-11-21 23:30:00"), ("00:30", "2026-11-22 00:30:00")],
)
def test_over_midnight_it_is_the_moment_inside(text: str, expected: str) -> None:
    assert parse(text).within(window("2026-11-21 22:00:00", "2026-11-22 03:00:00")) == ns(expected)


@pytest.mark.usefixtures("zone")
def test_of_several_days_it_is_the_first_and_the_first_after_that() -> None:
    recorded = window("2026-11-20 12:00:00", "2026-11-23 12:00:00")
    assert parse("10:00").within(recorded) == ns("2026-11-21 10:00:00")
    found = between(parse("13:00"), parse("11:00"), recorded)
    assert found == window("2026-11-20 13:00:00", "2026-11-21 11:00:00")
    found = between(parse("2026-11-22"), parse("11:00"), recorded)
    assert found == window("2026-11-22 00:00:00", "2026-11-22 11:00:00")


@pytest.mark.usefixtures("zone")
def test_the_second_of_the_beginning_is_the_beginning() -> None:
    """Not that of a day later, although it began a moment after that second."""
    whole = window("2026-11-20 12:00:03", "2026-11-23 12:00:00")
    recorded = Window(whole.begin_ns + 400_000_000, whole.end_ns)
    assert between(parse("12:00:03"), None, recorded) == recorded


def test_a_clock_that_is_put_back_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        # The night in which three o'clock became two.
        recorded = Window(ns("2026-10-24 22:00:00"), ns("2026-10-25 08:00:00"))
        assert recorded.length_ns == 11 * 3600 * S
        assert parse("07:00").within(recorded) == recorded.end_ns - 3600 * S
        # Half past two is there twice; of the second time alone, it is that one.
        three = ns("2026-10-25 03:00:00")
        minutes = 60 * S
        again = Window(three - 50 * minutes, three - 10 * minutes)
        found = between(parse("02:20"), parse("02:30"), again)
        assert found == Window(three - 40 * minutes, three - 30 * minutes)
        both = Window(three - 110 * minutes, three)
        assert parse("02:30").within(both) == three - 90 * minutes
        assert parse("02:20").within(both, three - 90 * minutes) == three - 40 * minutes
        # Half past two in the night in which two o'clock became three is half past three.
        spring = Window(ns("2026-03-29 00:00:00"), ns("2026-03-29 08:00:00"))
        assert parse("02:30").within(spring) == ns("2026-03-29 03:30:00")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.usefixtures("zone")
def test_what_was_not_recorded_is_left_out() -> None:
    recorded = window(*MORNING)
    assert between(None, None, recorded) == recorded
    assert between(parse("09:00"), parse("11:00"), recorded) == recorded
    found = between(parse("10:02"), parse("-1m"), recorded)
    assert found == window("2026-11-21 10:02:00", "2026-11-21 10:04:07")


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("since", "until", "asked"),
    [
        ("10:30", None, "from 10:30"),
        (None, "09:30", "up to 09:30"),
        ("+6m", None, "from +6m"),
        (None, "-6m", "up to -6m"),
        ("2026-11-22T10:01", None, "from 2026-11-22T10:01"),
    ],
)
def test_where_nothing_was_recorded_it_says_what_was(
    since: str | None, until: str | None, asked: str
) -> None:
    first, last = (None if text is None else parse(text) for text in (since, until))
    with pytest.raises(Outside) as raised:
        between(first, last, window(*MORNING))
    assert str(raised.value) == f"has nothing {asked}, only 2026-11-21 10:00:03 to 10:05:07"


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(("since", "until"), [("10:03", "10:02"), ("+2m", "+1m"), ("-1m", "10:01")])
def test_an_end_before_the_beginning_is_told(since: str, until: str) -> None:
    with pytest.raises(Outside) as raised:
        between(parse(since), parse(until), window(*MORNING))
    asked = f"has nothing from {since} up to {until}"
    assert str(raised.value) == f"{asked}: until is before since"


def test_an_empty_recording_has_nothing() -> None:
    with pytest.raises(Outside, match=r"^has nothing$"):
        between(None, None, Window(0, 0))


@pytest.mark.usefixtures("zone")
def test_a_window_over_midnight_is_told_with_both_dates() -> None:
    spoken = moments.spoken(window("2026-11-21 23:59:50", "2026-11-22 00:04:10"))
    assert spoken == "2026-11-21 23:59:50 to 2026-11-22 00:04:10"


def test_the_help_says_how_moments_are_written() -> None:
    assert groups._MOMENTS == moments.FORMS


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "10", "10:60", "24:00", "10:00:61", "1:2", "+", "-", "+5x", "--5m", "+-5m"),
        *("2026-13-01", "2026-11-21T25:00", "2026-11-21T10", "0001-01-01T00:00", "+99999999999h"),
        "2026-11-21T10:00:00+99:00",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a moment: write 10:00, 10:00:00, "):
        parse(text)
