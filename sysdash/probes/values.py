"""The values of an argument that the probe counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from sysdash.probes import layout
from sysdash.probes.loader import Program
from sysdash.records import (
    VALUE_BUCKETS,
    VALUE_BYTES,
    VALUE_HISTOGRAM,
    VALUE_NUMBER,
    VALUE_STRING,
    ValueRule,
)

_Counts = dict[int | bytes, int]


class Values:
    """Counts how often each value came since the last time."""

    def __init__(self, program: Program, rule: ValueRule) -> None:
        """Count from now on.

        Args:
            program: the probe.
            rule: what it counts.
        """
        self._program = program
        readers: dict[int, Callable[[int], _Counts]] = {
            VALUE_NUMBER: self._numbers,
            VALUE_HISTOGRAM: self._buckets,
            VALUE_STRING: self._strings,
        }
        self._read = readers[rule.kind]
        self._signed = rule.signed
        self._buckets_before: list[int] = [0] * VALUE_BUCKETS
        self._taken: Counter[int | bytes] = Counter()

    def take(self, bank: int) -> None:
        """Take what is in a bank that the probe does not write to any more.

        Raises:
            OSError: the kernel refuses it.
        """
        self._taken.update(self._read(bank))

    def read(self) -> _Counts:
        """How many calls had each value, of all that was taken since the last time."""
        taken, self._taken = self._taken, Counter()
        return taken

    def _numbers(self, bank: int) -> _Counts:
        dtype = np.dtype("<i8" if self._signed else "<u8")
        return self._entries(("numbers", "numbers2")[bank], dtype, layout.NUMBERS)

    def _strings(self, bank: int) -> _Counts:
        dtype = np.dtype(f"S{VALUE_BYTES}")
        return self._entries(("strings", "strings2")[bank], dtype, layout.STRINGS)

    def _entries(self, table: str, dtype: np.dtype[Any], most: int) -> _Counts:
        keys, counts = self._program.take_entries(table, dtype, most)
        return dict(zip(keys.tolist(), counts.tolist(), strict=True))

    def _buckets(self, _bank: int) -> _Counts:
        # These only ever grow, and there is nothing to run out of.
        now = self._program.per_cpu("value_buckets", VALUE_BUCKETS, layout.possible_cpus())
        before, self._buckets_before = self._buckets_before, now.tolist()
        new = zip(self._buckets_before, before, strict=True)
        return {i: count - was for i, (count, was) in enumerate(new) if count != was}
