"""Rows that are merged or folded hold the same calls."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sysdash.folding import bounded, merge, without_processes
from sysdash.records import ROW, Rows

_ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),  # pid
        st.integers(0, 2),  # nr
        st.integers(0, 1),  # cpu
        st.sampled_from([b"a", b"b"]),
        st.integers(1, 2**40),  # count
        st.integers(0, 2**56),  # latency
        st.integers(0, 125),  # bucket
    ),
    max_size=40,
)


def _rows(made: list[tuple[int, int, int, bytes, int, int, int]]) -> Rows:
    rows = np.zeros(len(made), dtype=ROW)
    for row, (pid, nr, cpu, comm, count, ns, bucket) in zip(rows, made, strict=True):
        row["pid"], row["nr"], row["comm"], row["count"] = pid, nr, comm, count
        row["key"] = nr << 32 | cpu
        row["total_ns"] = row["min_ns"] = row["max_ns"] = ns
        row["squares_high"], row["squares_low"] = divmod(ns * ns, 2**64)
        row["hist"][bucket] = 1
    return rows


def _summed(rows: Rows, with_process: bool = True) -> dict[object, object]:
    groups = defaultdict(list)
    for row in rows:
        who = (int(row["pid"]), bytes(row["comm"])) if with_process else ()
        groups[who, int(row["nr"])].append(row)
    return {
        key: (
            sum(int(row["count"]) for row in group),
            sum(int(row["total_ns"]) for row in group) % 2**64,
            min(int(row["min_ns"]) for row in group),
            max(int(row["max_ns"]) for row in group),
            sum(int(row["squares_low"]) + (int(row["squares_high"]) << 64) for row in group)
            % 2**128,
            tuple(sum(row["hist"].astype(int) for row in group).tolist()),
        )
        for key, group in groups.items()
    }


def test_what_has_no_room_in_63_bits_is_as_large_as_there_is_room_for() -> None:
    rows = _rows([(1, 0, cpu, b"a", 2**40, 2**61, 1) for cpu in range(9)])
    (merged,) = merge(rows)
    assert merged["total_ns"] == 2**62
    assert merged["count"] == 9 * 2**40


@given(_ROWS)
def test_merging_keeps_every_call(made: list[tuple[int, int, int, bytes, int, int, int]]) -> None:
    rows = _rows(made)
    merged = merge(rows)
    assert len(merged) == len(_summed(rows))
    assert _summed(merged) == _summed(rows)


@given(_ROWS)
def test_folding_keeps_all_but_the_process(
    made: list[tuple[int, int, int, bytes, int, int, int]],
) -> None:
    rows = _rows(made)
    folded = without_processes(rows)
    assert set(folded["pid"]) <= {0}
    assert set(folded["comm"]) <= {b""}
    assert _summed(folded, with_process=False) == _summed(rows, with_process=False)


@given(_ROWS, st.integers(1, 30))
def test_rows_are_bounded(
    made: list[tuple[int, int, int, bytes, int, int, int]], most: int
) -> None:
    rows = _rows(made)
    parts = bounded([rows[:10], rows[10:]], most)
    # Folding leaves a row for each call, of which there are three here.
    assert sum(map(len, parts)) <= max(most, 3 + most // 4)
    joined = np.concatenate(parts)
    assert _summed(joined, with_process=False) == _summed(rows, with_process=False)


def test_few_rows_are_left_alone() -> None:
    rows = _rows([(1, 0, 0, b"a", 1, 1, 1), (1, 0, 1, b"a", 1, 1, 1)])
    parts = [rows]
    assert bounded(parts, 2) is parts
