"""The histogram's buckets: four to an octave of nanoseconds, from 64 ns to 137 s.

The probe sorts latencies with the same rule (``bucket_of`` in ``probes/sysdash.bpf.c``); a test
runs both over the same values.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SUB_BITS = 2
FIRST_OCTAVE = 6
LAST_OCTAVE = 36
UNDER = 0
OVER = 1 + (LAST_OCTAVE - FIRST_OCTAVE + 1) * (1 << SUB_BITS)
BUCKETS = 128
"""Length of a histogram; those after :data:`OVER` are always 0, the row fills whole cache lines."""


def _low_edges() -> npt.NDArray[np.int64]:
    edges = np.zeros(BUCKETS + 1, dtype=np.int64)
    for bucket in range(1, OVER + 1):
        octave, sub = divmod(bucket - 1, 1 << SUB_BITS)
        edges[bucket] = ((1 << SUB_BITS) + sub) << (octave + FIRST_OCTAVE - SUB_BITS)
    edges[OVER + 1 :] = np.iinfo(np.int64).max
    return edges


EDGES_NS = _low_edges()
"""Lower edges in ns, shape (BUCKETS + 1,), int64: bucket i holds EDGES_NS[i] <= t < EDGES_NS[i+1].
"""

QUANTILE_ERROR = 1 / 9
"""Largest relative error of a quantile between 64 ns and 137 s: the harmonic mean of a bucket's
edges a and 1.25 a is off by at most (1.25 - 1) / (1.25 + 1) of the true value."""


def _representatives() -> npt.NDArray[np.float64]:
    low = EDGES_NS[:-1].astype(np.float64)
    high = EDGES_NS[1:].astype(np.float64)
    values = 2 * low * high / np.maximum(low + high, 1)
    values[UNDER] = EDGES_NS[1] / 2
    values[OVER] = low[OVER]
    return values


REPRESENTATIVES_NS = _representatives()
"""What stands for each bucket: the harmonic mean of its edges, shape (BUCKETS,), float64."""


def bucket_of(latency_ns: int) -> int:
    """The bucket that a latency in ns falls into (0 for less than 64 ns)."""
    octave = latency_ns.bit_length() - 1
    if octave < FIRST_OCTAVE:
        return UNDER
    if octave > LAST_OCTAVE:
        return OVER
    sub = (latency_ns >> (octave - SUB_BITS)) & ((1 << SUB_BITS) - 1)
    return 1 + ((octave - FIRST_OCTAVE) << SUB_BITS) + sub


def octaves(hist: npt.NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """The whole log2 histogram of ``hist`` (shape (BUCKETS,)) as ``(low_ns, high_ns, count)``.

    Leading and trailing empty octaves are left out; empty ones between are kept. The last bucket,
    of calls longer than 137 s, has the largest int64 as its ``high_ns``.
    """
    per_octave = 1 << SUB_BITS
    rows = [(0, int(EDGES_NS[1]), int(hist[UNDER]))]
    for start in range(1, OVER, per_octave):
        count = int(hist[start : start + per_octave].sum())
        rows.append((int(EDGES_NS[start]), int(EDGES_NS[start + per_octave]), count))
    rows.append((int(EDGES_NS[OVER]), int(EDGES_NS[OVER + 1]), int(hist[OVER])))
    used = [i for i, row in enumerate(rows) if row[2]]
    return rows[used[0] : used[-1] + 1] if used else []
