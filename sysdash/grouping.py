"""Grouping rows of arrays by several 64-bit words at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_MIX = np.uint64(0x9E3779B97F4A7C15)


def group(words: Sequence[Words]) -> tuple[Ints, Ints]:
    """Group rows whose words are all equal.

    Args:
        words: columns of uint64, at least one, each of shape (n,) with n > 0.

    Returns:
        The row numbers, group by group, shape (n,), and where each group begins among them.
    """
    if len(words) == 1:
        order = np.argsort(words[0], kind="stable")
    else:
        # Sorting by one hash is several times faster than by many columns.
        mixed = np.zeros(len(words[0]), dtype=np.uint64)
        for word in words:
            mixed = (mixed ^ word) * _MIX
            mixed ^= mixed >> np.uint64(32)
        order = np.argsort(mixed, kind="stable")
        changed = np.flatnonzero(np.diff(mixed[order])) + 1
        firsts = np.concatenate(([0], changed))
        representative = np.repeat(order[firsts], np.diff(np.append(firsts, len(order))))
        if all(bool((word[order] == word[representative]).all()) for word in words):
            return order, firsts
        # Two groups have the same hash.
        order = np.lexsort(words)
    differs = np.zeros(len(order) - 1, dtype=bool)
    for word in words:
        differs |= np.diff(word[order]) != 0
    return order, np.concatenate(([0], np.flatnonzero(differs) + 1))


def halves(names: npt.NDArray[np.bytes_]) -> tuple[Words, Words]:
    """A column of 16-byte names as two of words."""
    words = np.ascontiguousarray(names).view(np.uint64).reshape(-1, 2)
    return words[:, 0], words[:, 1]
