"""The text and the objects of ``sysdash args``, from counts that are known."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import snapshot

from sysdash.aggregates import Accumulator, Aggregate
from sysdash.arguments import Signatures
from sysdash.commands import printing
from sysdash.quantity import Quantity, edges, find
from sysdash.records import VALUE_BUCKETS
from sysdash.report.args import args_lines, args_object, beginning
from sysdash.report.losses import lost_line
from sysdash.units import width

Values = Mapping[int | bytes, int]


def of(text: str, *, histogram: bool = False) -> Quantity:
    syscall, colon, argument = text.partition(":")
    return find(Signatures(), syscall, argument if colon else None, histogram=histogram)


def shown(text: str, values: Values, *, columns: int = 60, top: int = 20) -> list[str]:
    return args_lines(of(text), values, interval_s=2.0, top=top, columns=columns)


def drawn(text: str, values: Values, columns: int = 60) -> list[str]:
    return args_lines(of(text, histogram=True), values, interval_s=2.0, columns=columns)


def interval(**lost: int) -> Aggregate:
    accumulator = Accumulator(("syscall",), timed=False)
    accumulator.add(snapshot(lost=lost))
    found = accumulator.take()
    assert found is not None
    return found


# --- The first line ---


def test_the_first_line_says_what_is_counted() -> None:
    line = beginning(of("read"), failures=False, top=20)
    assert line == "Tracing read:ret, printing top 20... Ctrl+C to quit."
    line = beginning(of("read:0"), failures=True, top=None)
    assert line == "Tracing failed read:fd... Ctrl+C to quit."
    line = beginning(of("read", histogram=True), failures=False, top=20)
    assert line == "Tracing read:ret... Ctrl+C to quit."


# --- Frequencies ---


def test_values_are_sorted_by_their_calls() -> None:
    assert shown("read", {0: 1, 4096: 1013, -11: 13, 100: 13}) == [
        "read:ret: 1,040 calls, 4 values",
        "   VALUE     COUNT  SHARE",
        "    4096     1,013  97.4% ██████████████████████████████████",
        "  EAGAIN        13   1.2% ▍",
        "     100        13   1.2% ▍",
        "       0         1   0.1% ▏",
    ]


def test_constants_and_text_are_to_the_left() -> None:
    lines = shown("mmap:prot", {1: 3, 0: 1})
    assert [line.split()[0] for line in lines[1:]] == ["VALUE", "PROT_READ", "PROT_NONE"]
    assert all(line[0] != " " for line in lines)
    lines = shown("openat:filename", {b"/etc/x": 3, b"/etc/\x1b]0;me\x07": 2})
    assert [line.split()[0] for line in lines[1:]] == ["VALUE", "/etc/x", "/etc/␛]0;me␇"]


def test_what_is_told_alike_is_one_value() -> None:
    values: Values = {b"/\xff": 2, b"/\xfe": 3, b"/a": 4}
    assert [line.split()[:2] for line in shown("openat:filename", values)[2:]] == [
        ["/\ufffd", "5"],
        ["/a", "4"],
    ]
    rows = args_object(of("openat:filename"), values, interval(), top=None)["rows"]
    assert rows == [{"value": "/\ufffd", "count": 5}, {"value": "/a", "count": 4}]


def test_the_rest_is_told() -> None:
    values: Values = {number: 10 - number for number in range(5)}
    lines = shown("read", values, top=3)
    assert [line.split()[0] for line in lines[2:-1]] == ["0", "1", "2"]
    assert lines[-1] == "2 more values, of 13 calls (32.5%); --top 5 shows all"
    assert shown("read", values, top=4)[-1].startswith("1 more value, of 6 calls (15.0%); --top 5")
    assert "more" not in shown("read", values, top=5)[-1]
    assert "more" not in shown("read", values, top=500)[-1]


def test_an_interval_without_calls() -> None:
    assert shown("read", {}) == ["no calls in 2.00s"]
    assert drawn("read", {}) == ["no calls in 2.00s"]
    assert shown("read", {3: 1})[0] == "read:ret: 1 call, 1 value"


def test_of_a_long_path_the_end_is_shown() -> None:
    values: Values = {b"/usr/lib/" + b"deep/" * 12 + b"one": 5, b"/usr/lib/" + b"deep/" * 12: 2}
    lines = shown("openat:filename", values)
    assert re.match(r"…(\w*/)+one +5 ", lines[2])
    assert re.match(r"…(\w*/)+ +2 ", lines[3])
    flags = shown("openat:flags", {0o2000000 | 0o4000 | 0o100 | 0o200 | 0o1000 | 2: 1})
    assert flags[2].startswith("O_RDWR|O_CREAT|O_EXCL|")
    assert all(width(line) <= 60 for line in lines + flags)


@given(
    values=st.dictionaries(
        st.binary(max_size=127).filter(lambda text: b"\0" not in text),
        st.integers(1, 2**50),
        min_size=1,
        max_size=8,
    ),
    columns=st.integers(1, 200),
)
def test_text_of_any_kind_fits_and_adds_up(values: dict[int | bytes, int], columns: int) -> None:
    lines = shown("openat:filename", values, columns=columns)
    total = sum(values.values())
    assert lines[0].startswith(f"openat:filename: {total:,} call")
    counts = [int(re.findall(r" ([\d,]+) +\S+%", line)[-1].replace(",", "")) for line in lines[2:]]
    assert sum(counts) == total
    assert counts == sorted(counts, reverse=True)
    assert max(map(width, lines[1:])) <= max(min(columns, 132), 45)


# --- Histograms ---


def test_the_histogram_of_results() -> None:
    # 3 times EAGAIN, 2 times 0, 1 of 1, 8 of 2 to 3; bars have 34 columns.
    assert drawn("read", {68: 3, 0: 2, 1: 1, 2: 8}) == [
        "read:ret: 14 calls",
        "-15 – -8         3  21.4% " + "█" * 12 + "▊",
        " -7 – -4         0",
        " -3 – -2         0",
        " -1              0",
        "  0              2  14.3% " + "█" * 8 + "▌",
        "  1              1   7.1% " + "█" * 4 + "▎",
        "  2 – 3          8  57.1% " + "█" * 34,
    ]


def test_bars_of_a_histogram_are_in_proportion() -> None:
    lines = drawn("read:count", {13: 1000, 11: 500, 10: 250}, columns=80)
    assert lines[0] == "read:count: 1,750 calls"
    assert [line.split()[:3] for line in lines[1:]] == [
        ["512", "–", "1023"],
        ["1024", "–", "2047"],
        ["2048", "–", "4095"],
        ["4096", "–", "8191"],
    ]
    bars = [line.count("█") for line in lines[1:]]
    assert bars[2] == 0
    assert bars[1] == pytest.approx(bars[3] / 2, abs=1)
    assert bars[0] == pytest.approx(bars[3] / 4, abs=1)
    assert max(map(len, lines)) == 80


def test_the_histogram_of_addresses_is_in_hexadecimal() -> None:
    (line,) = drawn("mmap:addr", {47: 4})[1:]
    assert line.startswith("0x400000000000 – 0x7fffffffffff ")


@given(
    values=st.dictionaries(st.integers(0, VALUE_BUCKETS - 1), st.integers(1, 2**50), min_size=1),
    columns=st.integers(1, 200),
)
def test_any_histogram_is_whole(values: dict[int | bytes, int], columns: int) -> None:
    quantity = of("read", histogram=True)
    lines = args_lines(quantity, values, interval_s=1.0, columns=columns)
    found = {}
    for line in lines[1:]:
        low, _, high, count = re.fullmatch(
            r" *(-?\d+)( – (-?\d+))? +([\d,]+)(?: .*)?", line
        ).groups()  # type: ignore[union-attr]
        if count != "0":
            found[int(low), int(high or low)] = int(count.replace(",", ""))
    assert found == {edges(int(bucket)): count for bucket, count in values.items()}


def test_what_the_output_cannot_encode_is_ascii() -> None:
    for line in drawn("read", {68: 3, 2: 8}) + shown("read", {5: 2}):
        plain = printing.encodable(line, "ascii")
        assert plain.isascii()
        assert len(plain) == len(line)


# --- Objects ---


def test_the_object_of_an_interval() -> None:
    values: Values = {4096: 1013, -2: 13, 0: 1}
    found = args_object(of("read"), values, interval(values=2), top=None)
    assert list(found) == [
        *("schema", "syscall", "arg", "rows", "time", "interval_s", "calls", "lost")
    ]
    assert json.dumps(found).startswith(
        '{"schema": "sysdash.args/1", "syscall": "read", "arg": "ret", "rows": '
        '[{"value": 4096, "count": 1013}, {"value": -2, "count": 13, "name": "ENOENT"}, '
    )
    assert (found["calls"], found["interval_s"]) == (1027, 1.0)
    assert isinstance(found["lost"], dict)
    assert found["lost"]["values"] == 2
    assert len(args_object(of("read"), values, interval(), top=2)["rows"]) == 2  # type: ignore[arg-type]


def test_the_object_of_a_histogram_has_edges_in_place_of_values() -> None:
    found = args_object(of("read", histogram=True), {13: 7, 66: 2}, interval(), top=None)
    assert found["rows"] == [
        {"low": -3, "high": -2, "count": 2},
        {"low": 4096, "high": 8191, "count": 7},
    ]
    assert found["calls"] == 9


def test_numbers_stay_numbers_and_have_their_names_beside() -> None:
    found = args_object(of("openat:flags"), {0o2000000: 3}, interval(), top=None)
    assert found["rows"] == [{"value": 0o2000000, "count": 3, "name": "O_RDONLY|O_CLOEXEC"}]


# --- Losses ---


def test_lost_values_are_told() -> None:
    assert lost_line({"values": 1}) == (
        "sysdash: lost: 1 call whose value there was no room for, or could not be read; "
        "a filter makes them fewer"
    )
    assert "3 calls whose values there was no room for" in lost_line({"values": 3})
    assert lost_line({"values": 0}) == ""
