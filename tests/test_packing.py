"""Samples survive being packed, and what is no sample is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import HOST, Slow, detail, events, file, many, sample

from sysdash.buckets import BUCKETS
from sysdash.packing import (
    Damaged,
    Packed,
    pack,
    pack_slow,
    pack_together,
    unpack,
    unpack_rest,
    unpack_rows,
    unpack_slow,
    with_slow,
)
from sysdash.records import EVENT, ROW, Data, Detail, File, Host, Rows, Sample

_U64 = st.integers(0, 2**50)


@st.composite
def _rows(draw: st.DrawFn) -> Rows:
    size = draw(st.integers(0, 8))
    rows = np.zeros(size, dtype=ROW)
    for row in rows:
        row["nr"] = draw(st.integers(-(2**31), 2**31 - 1))
        row["abi"] = draw(st.integers(0, 2))
        row["errno"] = draw(st.sampled_from([0, 2, 4095]))
        for name in ("pid", "tid", "ppid"):
            row[name] = draw(st.integers(0, 2**32 - 1))
        row["comm"] = draw(st.binary(max_size=16))
        for name in ("total_ns", "off_ns", "max_ns", "cgroup"):
            row[name] = draw(_U64)
        row["min_ns"] = min(draw(_U64), int(row["max_ns"]))
        row["squares_low"] = draw(st.integers(0, 2**64 - 1))
        row["squares_high"] = draw(st.integers(0, 2**64 - 1))
        row["count"] = draw(_U64)
        row["untimed"] = draw(st.integers(0, int(row["count"])))
        for bucket in draw(st.sets(st.integers(0, BUCKETS - 1), max_size=5)):
            row["hist"][bucket] = draw(st.integers(0, 2**32 - 1))
    return rows


def _same(left: Rows, right: Rows) -> None:
    for name in ROW.names or ():
        if name != "key" and not name.startswith("reserved"):
            assert (left[name] == right[name]).all(), name


@settings(deadline=None)
@given(_rows())
def test_rows_come_back_to_the_last_bit(rows: Rows) -> None:
    before = replace(sample(second=3), rows=rows)
    packed = pack(before)
    after = unpack(packed)
    _same(after.rows, rows)
    assert packed.calls == int(rows["count"].sum())
    assert packed.errors == int(rows["count"][rows["errno"] > 0].sum())
    alone = unpack_rows(packed)
    assert alone.of["count"].tolist() == rows["count"].tolist()


DETAIL = Detail(
    data=(Data(b"\x00\xff\x1b[31m", cut=True), None),
    file=File(
        ino=1,
        dev=2,
        magic=3,
        mode=0o140777,
        names=(b"\xff\n", b""),
        deleted=True,
        family=10,
        type=1,
        protocol=6,
        state=1,
        local=(b"\x7f\0\0\1", 80),
        remote=(bytes(16), 65535),
        peer_pid=9,
        certain=False,
    ),
)


def test_all_else_comes_back_too() -> None:
    flying = Slow("futex", 10**12, detail=detail(file("/a/b"), ["frame", "läng"], b"\0"))
    before = replace(
        sample(
            [],
            second=9,
            lost={"calls": 7, "slow_ring": 2},
            host=Host("h\u00e4", 64, 1.5, 10_000, 0.25, 2**33),
            in_flight=[flying, replace(flying, at_least=True, args=())],
            in_flight_more=12,
            in_flight_known=False,
            off_cpu=True,
        ),
        in_flight_unreadable=3,
        cgroups={2**63: "/system.slice/a b"},
        lost_before={"calls": 2**40},
    )
    after = unpack(pack(before))
    for name in (
        *("time_ns", "mono_ns", "interval_ns", "lost", "lost_before", "host", "cgroups"),
        *("in_flight_more", "in_flight_known", "in_flight_unreadable", "off_cpu"),
    ):
        assert getattr(after, name) == getattr(before, name), name
    assert after.in_flight.tobytes() == before.in_flight.tobytes()
    assert after.in_flight_details == before.in_flight_details
    assert after.in_flight_details[0].stack() == ("frame", "läng")
    assert after.in_flight_details[0].kernel == ("frame", "läng")
    rest = unpack_rest(pack(before))
    assert len(rest.rows) == 0
    assert rest.in_flight.tobytes() == before.in_flight.tobytes()


def test_slow_calls_come_back() -> None:
    calls = [Slow("read", 5, detail=DETAIL), Slow("write", 2**60, ret=-4095, example=True)]
    before = events(calls, 10**15)
    details = [call.detail for call in calls]
    found, told = unpack_slow(pack_slow(before, details, [("a", "b"), ()]))
    assert found.tobytes() == before.tobytes()
    assert list(told) == details
    assert told[0].stack() == ("a", "b")
    assert told[1].stack() == ()
    nothing, none = unpack_slow(pack_slow(before[:0]))
    assert (len(nothing), none) == (0, ())
    whole = with_slow(sample(), pack_slow(before, details))
    assert whole.events.tobytes() == before.tobytes()


def test_frames_are_made_safe_again() -> None:
    data = pack_slow(events([Slow("read", 5)], 10**9), [DETAIL], [("\x1b[31mred\n" + "x" * 9000,)])
    _, told = unpack_slow(data)
    (frame,) = told[0].stack()
    assert "\x1b" not in frame
    assert "\n" not in frame
    assert len(frame) <= 500


def test_a_busy_interval_takes_few_bytes() -> None:
    packed = pack(replace(sample(), rows=many(10_000)))
    # Eight random buckets in each row are more than a real one has.
    assert len(packed.body) < 60 * 10_000


def test_intervals_together_are_their_sum() -> None:
    rows = many(500)
    parts = [
        pack(replace(sample(second=second, lost={"calls": second}), rows=rows))
        for second in (1, 2, 3)
    ]
    whole = pack_together(parts)
    assert whole.calls == 3 * parts[0].calls
    assert whole.errors == 3 * parts[0].errors
    assert whole.interval_ns == 3 * parts[0].interval_ns
    assert whole.time_ns == parts[2].time_ns
    after = unpack(whole)
    assert len(after.rows) == 500
    order = np.lexsort([after.rows["pid"], after.rows["nr"], after.rows["errno"]])
    before = rows[np.lexsort([rows["pid"], rows["nr"], rows["errno"]])]
    found = after.rows[order]
    for name in ("count", "total_ns"):
        assert (found[name] == 3 * before[name]).all()
    assert (found["hist"] == 3 * before["hist"]).all()
    for name in ("min_ns", "max_ns"):
        assert (found[name] == before[name]).all()
    assert after.lost["calls"] == 6


def test_a_bucket_may_have_more_calls_than_a_row_of_the_kernel_can_count() -> None:
    rows = many(3)
    rows["hist"][:, 20] = 2**32 - 1
    whole = pack_together([pack(replace(sample(second=s), rows=rows)) for s in (1, 2)])
    assert max(unpack_rows(whole).calls) == 2 * (2**32 - 1)
    with pytest.raises(Damaged):
        unpack(whole)


# --- What is none ---


def _opened(body: bytes) -> Any:
    return msgpack.unpackb(zstandard.decompress(body), strict_map_key=False)


def _closed(stored: object) -> bytes:
    return zstandard.compress(msgpack.packb(stored))


def _packed() -> Packed:
    return pack(
        replace(
            sample([], in_flight=[Slow("futex", 10**12, detail=DETAIL)], host=HOST), rows=many(20)
        )
    )


def _changes() -> list[tuple[str, Any]]:
    huge = ["u8", (2**64 - 1).to_bytes(8, "little") * 20]
    return [
        ("rows/n", 2**60),
        ("rows/n", -1),
        ("rows/n", True),
        ("rows/n", "20"),
        ("rows/n", 19),
        ("rows", []),
        ("rows/count", ["u8", b""]),
        ("rows/count", ["u3", b"123"]),
        ("rows/count", ["u4", b"123"]),
        ("rows/count", b""),
        ("rows/count", huge),
        ("rows/total_ns", huge),
        ("rows/pid", huge),
        ("rows/abi", ["u1", b"\3" * 20]),
        ("rows/untimed", ["u4", b"\xff\xff\xff\xff" * 20]),
        ("rows/comm", b"\xff" * 5),
        ("rows/per_row", ["u1", b"\xff" * 20]),
        ("rows/bucket", b""),
        ("rows/bucket", "text"),
        ("rows/hist", ["u1", b"1"]),
        ("in_flight/n", 10**9),
        ("in_flight/duration_ns", ["u8", b"\xff" * 8]),
        ("in_flight/details", [[1, 2, 3]]),
        ("in_flight/details", [[None, None, None, "text"]]),
        ("in_flight/details", [[None, None, None, [7]]]),
        ("in_flight/details", [[None, None, None, ["x"] * 1000]]),
        ("in_flight/details", [[None, None, [1], []]]),
        ("in_flight/details", [[["text", False], None, None, []]]),
        ("in_flight/details", []),
        ("more", -1),
        ("more", 2**63),
        ("lost", {"x": -1}),
        ("lost", {1: 1}),
        ("lost", {str(i): 1 for i in range(1000)}),
        ("host", ["x"]),
        ("host", ["x", 1, float("nan"), 1, 1.0, 1]),
        ("host", ["x", 1, 1.0, 1, 1.0, 10**19]),
        ("cgroups", {"x": "y"}),
        ("cgroups", {1: 2}),
        ("cgroups", {-1: "/a"}),
        ("cgroups", {True: "/a"}),
        ("rows/count", ["u1", b"\1" * 20]),
        (
            "in_flight/details",
            [[None, None, [2**32] * 4 + [[], False, False, *[0] * 4, None, None, 0, True], []]],
        ),
    ]


@pytest.mark.parametrize(("where", "what"), _changes())
def test_contradictions_are_refused(where: str, what: object) -> None:
    packed = _packed()
    stored = _opened(packed.body)
    *path, last = where.split("/")
    inside = stored
    for name in path:
        inside = inside[name]
    assert last in inside
    inside[last] = what
    with pytest.raises(Damaged):
        unpack(replace(packed, body=_closed(stored)))
    del inside[last]
    with pytest.raises(Damaged):
        unpack(replace(packed, body=_closed(stored)))


def test_examples_do_not_count_as_slow() -> None:
    calls = [Slow("read", 5), Slow("read", 6, example=True)]
    assert pack(sample([], calls)).slow == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        zstandard.compress(b""),
        zstandard.compress(b"\xdd\xff\xff\xff\xff"),
        zstandard.compress(b"\x91" * 100_000),
        _closed([]),
        # Each byte would be an object of its own.
        zstandard.compress(b"\xdd" + (40_000_000).to_bytes(4) + b"\x80" * 40_000_000),
        zstandard.compress(b"\x91" * 30 + b"\x00"),
        # It says that it will be as large as the memory.
        zstandard.compress(b"\0" * (65 << 20)),
        zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100),
    ],
)
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(Damaged):
        unpack(replace(_packed(), body=body))
    with pytest.raises(Damaged):
        unpack_slow(body)


@pytest.mark.parametrize(
    ("name", "value"),
    [("time_ns", 2**62), ("time_ns", -1), ("interval_ns", 2**60), ("mono_ns", 2**63)],
)
def test_times_that_cannot_be_are_refused(name: str, value: int) -> None:
    with pytest.raises(Damaged):
        unpack(replace(_packed(), **{name: value}))  # type: ignore[arg-type]


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_damage_anywhere_is_refused_or_harmless(place: int, byte: int, cut: bool) -> None:
    packed = _packed()
    plain = bytearray(zstandard.decompress(packed.body))
    place %= len(plain)
    if cut:
        del plain[place:]
    else:
        plain[place] = byte
    try:
        after = unpack(replace(packed, body=zstandard.compress(bytes(plain))))
    except Damaged:
        return
    assert isinstance(after, Sample)
    assert after.rows.dtype == ROW
    assert after.in_flight.dtype == EVENT
