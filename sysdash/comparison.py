"""What has changed between two pieces of time, and which of it is only noise. Pure.

Each piece is added up in a :class:`sysdash.tally.Tally`, block of time by block of time, so that
it is known how much every number varies by itself; :func:`compare` sets one against the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sysdash import syscalls
from sysdash.buckets import BUCKETS, QUANTILE_ERROR
from sysdash.model import Floats, Histograms, Ints, Row, Table, quantile_ns
from sysdash.significance import (
    LEAST_BLOCKS,
    Bools,
    Series,
    differences,
    false_discoveries,
    least_possible,
)
from sysdash.tally import (
    KEY_COLUMNS,
    LARGEST,
    NO_MIN,
    SUM_COLUMNS,
    Block,
    Sums,
    Tally,
    busiest,
    calls_in,
    merged,
    without_histograms,
)
from sysdash.timeline import Window

QUANTITIES = ("rate", "errors", "total", "p50", "p99")
"""What is compared: calls a second, errors a second, time in calls a second, two percentiles."""

SORTS = ("change", "rate", "errors", "total", "p99")
"""The orders of changes: by :attr:`Comparison.score`, or by how much one quantity has changed."""

BY = ("syscall", "comm")
"""What is compared by default: processes have other numbers in another run."""

LEVEL = 0.01
"""Of all the changes that are not called noise, at most this share is noise after all."""

LEAST_CHANGE = 0.05
"""A smaller relative change is called noise, however certain it is."""

LEAST_UNSEEN_CHANGE = 0.25
"""The same, where there are too few intervals to see how much a number varies by itself."""

LEAST_NEW = 50
"""So many calls, or errors, in one piece are no noise where the other piece has none."""

LEAST_UNSTEADY_RATIO = 2
"""So many times larger, or smaller, is what is told though it does not differ steadily."""

LEAST_UNSTEADY_SCORE = 0.05
"""And so much of the machine's activity (:attr:`Comparison.score`) is that of such a row.

As the number has doubled at least, the row then has a tenth of all calls or of all time in calls,
or a fifth of all errors or of all time in calls that wait. Whatever chance does, there are not many
such rows; and who looks at a machine wants to know of them, be they only one burst.
"""

LEAST_QUANTILE_RATIO = (1 + QUANTILE_ERROR) / (1 - QUANTILE_ERROR)
"""Percentiles that are nearer to each other (1.25 times) may be the same, by their buckets."""

_ERRORS_WEIGHT, _WAITING_WEIGHT = 0.5, 0.5

_FEW_ERRORS = 0.01
"""Errors are measured by at least this part of all calls: there are always a few."""

_QUANTILES = {"p50": 0.5, "p99": 0.99}


@dataclass(frozen=True)
class Piece:
    """A piece of time that is compared.

    Attributes:
        window: from its beginning to its end.
        seconds: how long its intervals are together.
        intervals, blocks: of how many it is, and into how many blocks they were put.
        calls: its calls, one row for each of those that either piece has, in the same order.
    """

    window: Window
    seconds: float
    intervals: int
    blocks: int
    calls: Table

    def values(self, quantity: str) -> Floats:
        """One of :data:`QUANTITIES` of each row: per second, or in ns; NaN where it has none."""
        calls = self.calls
        if quantity in _QUANTILES:
            return np.where(calls.timed > 0, _quantile(calls, _QUANTILES[quantity]), np.nan)
        column = {"rate": calls.count, "errors": calls.errors, "total": calls.total_ns}[quantity]
        return column / self.seconds if self.seconds > 0 else np.zeros(len(calls))


@dataclass(frozen=True, slots=True)
class Change:
    """One row of a :class:`Comparison`.

    Attributes:
        before, after: the row in both pieces, with the same key; of no calls where it was not.
        changed: those of :data:`QUANTITIES` that have changed by more than noise.
        score: as :attr:`Comparison.score`.
        unsteady: those that differ by much, but not steadily, as :attr:`Comparison.unsteady`.
    """

    before: Row
    after: Row
    changed: frozenset[str]
    score: float
    unsteady: frozenset[str] = frozenset()

    @property
    def noise(self) -> bool:
        """Whether it is to be passed over."""
        return not self.changed and not self.unsteady

    @property
    def only_unsteady(self) -> bool:
        """Whether it differs by much, but not steadily."""
        return not self.changed and bool(self.unsteady)

    def values(self, quantity: str) -> tuple[float | None, float | None]:
        """A quantity before and after: per second, or in ns; None where it has none."""
        return self._value(self.before, quantity), self._value(self.after, quantity)

    @staticmethod
    def _value(row: Row, quantity: str) -> float | None:
        if quantity == "rate":
            return row.rate
        if quantity in _QUANTILES:
            return (row.p50_ns if quantity == "p50" else row.p99_ns) if row.timed else None
        # The row's rate knows how long the piece is.
        per_call = row.rate / row.count if row.count else 0.0
        return (row.errors if quantity == "errors" else row.total_ns) * per_call

    def relative(self, quantity: str) -> float | None:
        """By which part of it a quantity has grown (0.2 is a fifth); None if it was nothing."""
        before, after = self.values(quantity)
        return after / before - 1 if before and after is not None else None


@dataclass(frozen=True)
class Comparison:
    """What has changed from one piece of time to another.

    Attributes:
        by: what the rows are, of :data:`sysdash.model.KEYS`.
        before, after: the two pieces.
        changed: for each of :data:`QUANTITIES`, which rows' have changed by more than noise.
        unsteady: likewise those that differ by more than independent events would scatter, and
            are at least twice the other one, but by no more than they vary from block to block: one
            burst is enough for that. Only in rows that have changed, or that come to a score of
            :data:`LEAST_UNSTEADY_SCORE` by such numbers.
        score: for each row how much of the machine's activity its change is, 0 to 1. It is the
            largest of these, each the row's share in the piece where that is larger, times the
            relative change: its share of all calls, of all errors, and of all time in calls, the
            latter times the change of the time and times that of the 99th percentile. Errors count
            half, and are never measured by less than 1% of all calls. The time of calls whose
            purpose is to wait is measured by that of such calls alone, and counts half. What is
            noise counts only in rows that have nothing else.
        seen: whether it is known how much the numbers vary by themselves; where not, only the
            scatter of independent events is.
        left_out: calls of rows that there was no room for.
    """

    by: tuple[str, ...]
    before: Piece
    after: Piece
    changed: dict[str, Bools]
    unsteady: dict[str, Bools]
    score: Floats
    seen: bool
    left_out: int

    def __len__(self) -> int:
        return len(self.score)

    @cached_property
    def noise(self) -> Bools:
        """Which rows are to be passed over."""
        return np.asarray(~_any(self.changed) & ~_any(self.unsteady))

    @cached_property
    def only_unsteady(self) -> Bools:
        """Which rows differ by much, but not steadily."""
        return np.asarray(~_any(self.changed) & _any(self.unsteady))

    def order(self, sort: str = "change") -> Ints:
        """All rows: those that have changed, the unsteady ones, noise; the largest change first.

        Args:
            sort: one of :data:`SORTS`; by one quantity, rows in which that is noise come later.
        """
        kind = self.only_unsteady + 2 * self.noise
        words = [word for key in reversed(self.by) for word in _row_words(self.before.calls, key)]
        if sort == "change":
            return np.lexsort([*words, -self.score, kind])
        before, after = self.before.values(sort), self.after.values(sort)
        if sort in _QUANTILES:
            with np.errstate(divide="ignore", invalid="ignore"):
                size = np.abs(np.log(after / before))
        else:
            size = np.abs(after - before)
        size = np.nan_to_num(size, nan=0.0)
        own = 2 * self.changed[sort] + self.unsteady[sort]
        return np.lexsort([*words, -size, -own, kind])

    def rows(self, indices: Sequence[int]) -> list[Change]:
        """Some rows, in that order, with everything derived from them."""
        return [
            Change(
                before,
                after,
                frozenset(name for name in QUANTITIES if self.changed[name][index]),
                float(self.score[index]),
                frozenset(name for name in QUANTITIES if self.unsteady[name][index]),
            )
            for before, after, index in zip(
                self.before.calls.rows(indices),
                self.after.calls.rows(indices),
                indices,
                strict=True,
            )
        ]


def _any(of: dict[str, Bools]) -> Bools:
    return np.asarray(np.any(np.stack([*of.values()]), axis=0))


def _row_words(calls: Table, key: str) -> list[npt.NDArray[np.generic]]:
    return [calls.abi, calls.nr] if key == "syscall" else [getattr(calls, key)]


def compare(before: Tally, after: Tally) -> Comparison:
    """Set two pieces of time against each other.

    Raises:
        ValueError: they are grouped by different keys, or one of them has no intervals.
    """
    if before.by != after.by:
        raise ValueError("grouped by different keys")
    if before.window is None or after.window is None:
        raise ValueError("nothing to compare")
    sides = (before.blocks(), after.blocks())
    sums = [without_histograms(block.sums) for blocks in sides for block in blocks]
    whole, numbers = merged(sums, before.by)
    keys, kept = busiest(whole)
    places = np.split(kept[numbers], np.cumsum(list(map(len, sums)))[:-1])
    begins = len(sides[0])
    laid = (
        _Laid(len(keys), sides[0], places[:begins]),
        _Laid(len(keys), sides[1], places[begins:]),
    )
    pieces = [
        Piece(
            window=tally.window,
            seconds=tally.seconds,
            intervals=tally.intervals,
            blocks=len(blocks),
            calls=side.table(keys, before.by, tally.seconds),
        )
        for tally, blocks, side in zip((before, after), sides, laid, strict=True)
        if tally.window is not None
    ]
    seen = max(map(len, sides)) >= LEAST_BLOCKS
    changed, large = _changed(laid[0], laid[1], pieces[0], pieces[1], seen=seen)
    parts = _parts(pieces[0], pieces[1])
    unsteady = _unsteady(changed, large, parts)
    return Comparison(
        by=before.by,
        before=pieces[0],
        after=pieces[1],
        changed=changed,
        unsteady=unsteady,
        score=_score(parts, changed, unsteady),
        seen=seen,
        left_out=before.left_out + after.left_out + calls_in(whole) - calls_in(keys),
    )


class _Laid:
    """The blocks of one piece, each row of it at the same place in each."""

    def __init__(self, rows: int, blocks: Sequence[Block], places: Sequence[Ints]) -> None:
        """Lay them out.

        Args:
            rows: how many there are in all.
            blocks: of the piece.
            places: where each block's rows are to be, -1 for those that are left out.
        """
        self.rows = rows
        self.blocks = blocks
        self.places = places
        self.seconds = np.array([[block.seconds for block in blocks]])

    def column(self, name: str) -> Floats:
        """A column of each row in each block, shape (rows, blocks)."""
        result = np.zeros((self.rows, len(self.blocks)))
        for i, (block, place) in enumerate(zip(self.blocks, self.places, strict=True)):
            mine = place >= 0
            result[place[mine], i] = getattr(block.sums, name)[mine]
        return result

    def above(self, buckets: Ints) -> Floats:
        """The calls of each row in each block that are in buckets above the row's one."""
        result = np.zeros((self.rows, len(self.blocks)))
        for i, (block, place) in enumerate(zip(self.blocks, self.places, strict=True)):
            row = place[block.sums.row]
            mine = (row >= 0) & (block.sums.bucket > buckets[row])
            result[:, i] = np.bincount(row[mine], block.sums.calls[mine], minlength=self.rows)
        return result

    def table(self, keys: Sums, by: tuple[str, ...], seconds: float) -> Table:
        """All blocks added up, with the keys of all rows."""
        columns = {name: getattr(keys, name) for name in KEY_COLUMNS}
        for name in SUM_COLUMNS:
            columns[name] = np.zeros(self.rows, dtype=getattr(keys, name).dtype)
        smallest = np.full(self.rows, NO_MIN)
        largest = np.zeros(self.rows, dtype=np.int64)
        hist = np.zeros((self.rows, BUCKETS), dtype=np.int64)
        for block, place in zip(self.blocks, self.places, strict=True):
            mine = place >= 0
            at = place[mine]
            sums = block.sums
            for name in SUM_COLUMNS:
                column, more = columns[name], getattr(sums, name)[mine]
                if column.dtype == np.int64:
                    more = np.minimum(more, LARGEST - column[at])
                column[at] += more
            timed = np.where(sums.timed > 0, sums.min_ns, NO_MIN)[mine]
            smallest[at] = np.minimum(smallest[at], timed)
            largest[at] = np.maximum(largest[at], sums.max_ns[mine])
            row = place[sums.row]
            known = row >= 0
            # A bucket of a row is in a block once.
            hist[row[known], sums.bucket[known]] += sums.calls[known]
        own = np.arange(self.rows + 1)
        return Table(
            by,
            seconds,
            **columns,
            min_ns=np.where(smallest == NO_MIN, 0, smallest),
            max_ns=largest,
            histograms=Histograms(hist, own[:-1], own),
        )


def _changed(
    a: _Laid, b: _Laid, before: Piece, after: Piece, *, seen: bool
) -> tuple[dict[str, Bools], dict[str, Bools]]:
    """Which quantities of which rows have changed by more than noise; which others are far apart.

    The latter are those that are twice the other, by more than independent events would scatter.
    """
    seconds = before.seconds + after.seconds
    share = np.full(a.rows, after.seconds / seconds if seconds > 0 else 0.5)
    least = LEAST_CHANGE if seen else LEAST_UNSEEN_CHANGE
    timed = (a.column("timed"), b.column("timed"))
    with np.errstate(invalid="ignore"):
        share_of_calls = np.nan_to_num(after.calls.timed / (before.calls.timed + after.calls.timed))
    chances, scatters, large, double = [], [], {}, {}
    for quantity in QUANTITIES:
        x, y = before.values(quantity), after.values(quantity)
        if quantity in _QUANTILES:
            buckets = _parting(before.calls, after.calls, _QUANTILES[quantity])
            x_series = Series(a.above(buckets), timed[0])
            y_series = Series(b.above(buckets), timed[1])
            events, expected = x_series.total + y_series.total, share_of_calls
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = np.nan_to_num(np.maximum(x, y) / np.minimum(x, y), nan=1.0)
            large[quantity] = ratio > LEAST_QUANTILE_RATIO
            double[quantity] = ratio >= LEAST_UNSTEADY_RATIO
        else:
            column = "errors" if quantity == "errors" else "count"
            events = getattr(before.calls, column) + getattr(after.calls, column).astype(np.float64)
            expected = share
            x_series, y_series = _per_second(a, quantity), _per_second(b, quantity)
            large[quantity] = _relative(x, y) >= least
            double[quantity] = _relative(x, y) >= 1 - 1 / LEAST_UNSTEADY_RATIO
        chances.append(_chances(x_series, y_series, events, expected))
        scatters.append(_chances(x_series.in_one(), y_series.in_one(), events, expected))
    real, scattered = _real(chances), _real(scatters)
    changed = {quantity: real[i] & large[quantity] for i, quantity in enumerate(QUANTITIES)}
    for quantity, column, also in (("rate", "count", "total"), ("errors", "errors", "errors")):
        only = _only_in_one(getattr(before.calls, column), getattr(after.calls, column), share)
        changed[quantity] |= only
        changed[also] |= only
    return changed, {
        quantity: scattered[i] & double[quantity] & ~changed[quantity]
        for i, quantity in enumerate(QUANTITIES)
    }


def _real(chances: Sequence[Floats]) -> Bools:
    """Which differences are real by their probabilities, where these are known."""
    every = np.stack(chances)
    asked = ~np.isnan(every)
    real = np.zeros(every.shape, dtype=bool)
    real[asked] = false_discoveries(every[asked], LEVEL)
    return real


def _unsteady(
    changed: dict[str, Bools], large: dict[str, Bools], parts: Sequence[tuple[str, Floats]]
) -> dict[str, Bools]:
    """See :attr:`Comparison.unsteady`."""
    score = _largest(parts, large)
    listed = _any(changed) | (score >= LEAST_UNSTEADY_SCORE)
    return {quantity: which & listed for quantity, which in large.items()}


def _only_in_one(before: Ints, after: Ints, share: Floats) -> Bools:
    """Which rows have events in one piece only, and more of them than chance puts there.

    How much they vary from block to block does not matter: that something has begun, or has ended,
    is what one wants to know of an incident, be it one burst.
    """
    events = (before + after).astype(np.float64)
    one = (before == 0) != (after == 0)
    # That events which know nothing of each other are all in that piece.
    chance = np.where(after == 0, 1 - share, share) ** events
    return np.asarray(one & (events >= LEAST_NEW) & (chance <= LEVEL))


def _per_second(side: _Laid, quantity: str) -> Series:
    column = {"rate": "count", "errors": "errors", "total": "total_ns"}[quantity]
    squares = side.column("squares").sum(axis=1) if quantity == "total" else None
    return Series(side.column(column), side.seconds, squares)


def _chances(before: Series, after: Series, events: Floats, share: Floats) -> Floats:
    """The probability of each row's difference; NaN where so few events could tell nothing.

    To ask of those, too, would make it harder for all to be told from noise.

    Args:
        before: one side.
        after: the other one.
        events: of both, shape (rows,).
        share: which part of them is expected after.
    """
    result = np.full(len(events), np.nan)
    asked = np.flatnonzero(least_possible(events, share) <= LEVEL)
    result[asked] = differences(before.take(asked), after.take(asked))
    return result


def _relative(before: Floats, after: Floats) -> Floats:
    """By which part of the larger one two numbers differ, 0 to 1."""
    larger = np.maximum(before, after)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(np.abs(after - before) / larger)


def _parting(before: Table, after: Table, q: float) -> Ints:
    """The bucket of each row above which there are more calls after if its quantile has grown.

    That of the quantile of both pieces, each of the same weight; but so that the two quantiles, if
    they differ, are not on the same side.
    """
    shares = []
    for hist in (before.hist, after.hist):
        cumulative = hist.cumsum(axis=1)
        shares.append(cumulative / np.maximum(cumulative[:, -1:], 1))
    own = [(share < q - 1e-12).sum(axis=1) for share in shares]
    middle = ((shares[0] + shares[1]) / 2 < q - 1e-12).sum(axis=1)
    upper = np.maximum(own[0], own[1])
    return np.asarray(np.where(own[0] == own[1], upper, np.minimum(middle, upper - 1)))


def _quantile(calls: Table, q: float) -> Floats:
    return quantile_ns(calls.hist, q, calls.min_ns, calls.max_ns)


def _parts(before: Piece, after: Piece) -> list[tuple[str, Floats]]:
    """What a row's score is the largest of, each with the quantity whose change it is."""
    calls = before.calls
    waits = np.zeros(len(calls), dtype=bool)
    if "syscall" in calls.by:
        numbers = zip(calls.nr.tolist(), calls.abi.tolist(), strict=True)
        waits = np.array([syscalls.waits(nr, abi) for nr, abi in numbers], dtype=bool)
    x, y = {}, {}
    for name in QUANTITIES:
        x[name], y[name] = before.values(name), after.values(name)
    everywhere = np.ones(len(calls), dtype=bool)
    by_purpose = [(~waits, 1.0), (waits, _WAITING_WEIGHT)]
    least = {"errors": _FEW_ERRORS * max(x["rate"].sum(), y["rate"].sum())}
    parts = []
    for share_of, change_of, kinds in (
        ("rate", "rate", [(everywhere, 1.0)]),
        ("errors", "errors", [(everywhere, _ERRORS_WEIGHT)]),
        ("total", "total", by_purpose),
        ("total", "p99", by_purpose),
    ):
        share = np.zeros(len(calls))
        for kind, weight in kinds:
            whole = max(x[share_of][kind].sum(), y[share_of][kind].sum(), least.get(share_of, 0.0))
            if whole > 0:
                share[kind] = np.maximum(x[share_of], y[share_of])[kind] / whole * weight
        parts.append((change_of, share * _relative(x[change_of], y[change_of])))
    return parts


def _largest(parts: Sequence[tuple[str, Floats]], of: dict[str, Bools]) -> Floats:
    """The largest part of each row, of those whose quantity counts."""
    return np.asarray(np.max([np.where(of[name], part, 0.0) for name, part in parts], axis=0))


def _score(
    parts: Sequence[tuple[str, Floats]], changed: dict[str, Bools], unsteady: dict[str, Bools]
) -> Floats:
    """See :attr:`Comparison.score`."""
    noise = ~_any(changed) & ~_any(unsteady)
    return _largest(parts, {name: changed[name] | unsteady[name] | noise for name in QUANTITIES})
