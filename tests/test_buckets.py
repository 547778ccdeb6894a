"""The histogram's buckets and the sum of squares: Python's rule and the probe's are the same."""

from __future__ import annotations

import ctypes
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sysdash.probes
from sysdash.buckets import (
    BUCKETS,
    EDGES_NS,
    OVER,
    QUANTILE_ERROR,
    REPRESENTATIVES_NS,
    UNDER,
    bucket_of,
    octaves,
)

# As many small values as large ones, and many beside the edges of buckets.
LATENCIES = st.one_of(
    st.integers(0, 2**63 - 2),
    st.integers(0, 62).flatmap(lambda bits: st.integers(0, 2**bits)),
    st.tuples(st.sampled_from(EDGES_NS[:OVER].tolist()), st.integers(-2, 2)).map(
        lambda pair: max(0, pair[0] + pair[1])
    ),
)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """statistics.h of the probe, compiled for this machine."""
    folder = tmp_path_factory.mktemp("statistics")
    library = folder / "statistics.so"
    source = Path(__file__).parent / "programs" / "statistics.c"
    headers = Path(sysdash.probes.__file__).parent
    subprocess.run(
        ["gcc", "-O2", "-shared", "-fPIC", f"-I{headers}", "-o", library, source], check=True
    )
    loaded = ctypes.CDLL(str(library))
    loaded.host_bucket_of.argtypes = [ctypes.c_uint64]
    loaded.host_bucket_of.restype = ctypes.c_uint32
    words = ctypes.POINTER(ctypes.c_uint64)
    loaded.host_add_square.argtypes = [words, words, ctypes.c_uint64]
    loaded.host_add_square.restype = None
    return loaded


def test_the_same_buckets_at_every_edge(probe: ctypes.CDLL) -> None:
    edges = [*EDGES_NS[: OVER + 1].tolist(), *(1 << bit for bit in range(63)), 2**63 - 1]
    for edge in edges:
        for value in {max(0, edge - 1), edge, edge + 1}:
            assert probe.host_bucket_of(value) == bucket_of(value), value


@given(latency=LATENCIES)
def test_the_same_buckets(probe: ctypes.CDLL, latency: int) -> None:
    assert probe.host_bucket_of(latency) == bucket_of(latency)


@given(latency=LATENCIES)
def test_a_bucket_holds_what_lies_between_its_edges(latency: int) -> None:
    bucket = bucket_of(latency)
    assert UNDER <= bucket <= OVER < BUCKETS
    assert EDGES_NS[bucket] <= latency < EDGES_NS[bucket + 1]


@given(latency=st.integers(64, 2**37 - 1))
def test_a_bucket_stands_for_its_values(latency: int) -> None:
    value = REPRESENTATIVES_NS[bucket_of(latency)]
    assert abs(value - latency) <= latency * QUANTILE_ERROR * (1 + 1e-12)


def test_edges_rise() -> None:
    assert all(low < high for low, high in pairwise(EDGES_NS[: OVER + 2].tolist()))
    assert EDGES_NS[UNDER] == 0
    assert EDGES_NS[1] == 64
    assert EDGES_NS[OVER] == 2**37


@given(latencies=st.lists(LATENCIES, max_size=30))
def test_sums_of_squares(probe: ctypes.CDLL, latencies: list[int]) -> None:
    low, high = ctypes.c_uint64(), ctypes.c_uint64()
    for latency in latencies:
        probe.host_add_square(ctypes.byref(low), ctypes.byref(high), latency)
    # The row has 128 bits: enough for four calls of 292 years, the longest that a u64 can hold.
    expected = sum(latency * latency for latency in latencies) % 2**128
    assert (high.value << 64) + low.value == expected


@given(latencies=st.lists(LATENCIES, max_size=30))
def test_octaves_have_every_call_once(latencies: list[int]) -> None:
    hist = np.bincount([bucket_of(value) for value in latencies], minlength=BUCKETS)
    found = octaves(hist.astype(np.int64))
    assert sum(count for _, _, count in found) == len(latencies)
    assert (found == []) == (latencies == [])
    for low, high, count in found:
        assert count == sum(low <= value < high for value in latencies)
    for before, after in pairwise(found):
        assert before[1] == after[0]
    if found:
        assert found[0][2] > 0
        assert found[-1][2] > 0
