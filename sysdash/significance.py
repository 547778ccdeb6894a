"""Whether two series differ by more than they vary by themselves. Pure.

System calls come in bursts, and the seconds of a burst are not independent of each other. So the
scatter of a rate is taken from blocks of time, and widened by how much each block resembles the
one before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEAST_BLOCKS = 5
"""Blocks from which on a series tells by itself how much it varies."""

_LARGEST_CORRELATION = 0.9

_EXACT_UP_TO = 1000
"""Events up to which they are compared exactly; more of them are normally distributed."""


@dataclass(frozen=True)
class Series:
    """What happened in blocks of time, for many rows at once.

    Attributes:
        happened: events, or their sum, of each row in each block, shape (rows, blocks).
        exposure: in how many seconds, or how many calls, likewise, or shape (1, blocks).
        squares: the sum over all events of what each adds, squared, shape (rows,); None where each
            adds one.
    """

    happened: Floats
    exposure: Floats
    squares: Floats | None = None

    @property
    def total(self) -> Floats:
        """All that happened, shape (rows,)."""
        return np.asarray(self.happened.sum(axis=1))

    @property
    def whole(self) -> Floats:
        """The whole exposure, shape (rows,)."""
        return np.broadcast_to(self.exposure.sum(axis=1), len(self.happened)).astype(np.float64)

    @property
    def blocks(self) -> int:
        """How many there are."""
        return int(self.happened.shape[1])

    def in_one(self) -> Series:
        """The same in a single block, of which nobody sees how much it varies."""
        return Series(self.total[:, None], self.whole[:, None], self.squares)

    def take(self, rows: npt.NDArray[np.int64]) -> Series:
        """Those of some rows."""
        return Series(
            self.happened[rows],
            self.exposure if len(self.exposure) == 1 else self.exposure[rows],
            None if self.squares is None else self.squares[rows],
        )


def differences(before: Series, after: Series) -> Floats:
    """For each row the probability that chance alone makes so large a difference, shape (rows,).

    It is the larger one of two. Welch's unequal variances t-test compares the means of the blocks;
    the variance of each mean is raised by (1 + r) / (1 - r), where r is the correlation of blocks
    that follow each other, and is never less than that of events which know nothing of each other.
    A series of fewer than :data:`LEAST_BLOCKS` blocks is taken to vary as the other one does; where
    both are, only such a variance is left. For few events, the exact conditional test of two
    Poisson rates is the other (Przyborowski and Wilenski, Biometrika 31, 1940).
    """
    a, b = before.whole, after.whole
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = _squares(before) + _squares(after)
        pooled = pooled / (a + b)
        rates = before.total / a, after.total / b
        floors = pooled / a, pooled / b
        own = [_scatter(s) if s.blocks >= LEAST_BLOCKS else None for s in (before, after)]
        factor = np.maximum.reduce([np.ones(len(a)), *(s.inflation for s in own if s)])
        variances, freedoms = [], []
        for mine, other, whole, others_whole, floor in (
            (own[0], own[1], a, b, floors[0]),
            (own[1], own[0], b, a, floors[1]),
        ):
            if mine is not None:
                variance, blocks = mine.variance * factor, float(mine.blocks)
            elif other is not None:
                variance = other.variance * factor * others_whole / whole
                # One scatter is no more certain for being used twice.
                blocks = other.blocks / 2
            else:
                variance, blocks = np.zeros(len(a)), np.inf
            variances.append(np.maximum(variance, floor))
            freedoms.append(np.maximum(blocks / factor - 1, 1))
        both = variances[0] + variances[1]
        freedom = both**2 / sum(v**2 / n for v, n in zip(variances, freedoms, strict=True))
        t = (rates[1] - rates[0]) / np.sqrt(both)
    known = (a > 0) & (b > 0) & (both > 0)
    result = np.ones(len(a))
    result[known] = student_two_sided(t[known], freedom[known])
    if before.squares is None and after.squares is None:
        result[known] = np.maximum(
            result[known],
            binomial_two_sided(
                after.total[known],
                (before.total + after.total)[known],
                (b[known] / (a + b)[known]),
            ),
        )
    return result


def _squares(series: Series) -> Floats:
    return series.total if series.squares is None else series.squares


@dataclass(frozen=True)
class _Scatter:
    variance: Floats
    inflation: Floats
    blocks: int


def _scatter(series: Series) -> _Scatter:
    """The variance of a ratio of sums, and by how much correlated blocks raise it."""
    n = series.blocks
    whole = series.whole
    rest = series.happened - (series.total / whole)[:, None] * series.exposure
    squares = (rest * rest).sum(axis=1)
    correlation = np.nan_to_num((rest[:, 1:] * rest[:, :-1]).sum(axis=1) / squares)
    # Of a few blocks it comes out too small by (1 + 3 r) / n (Kendall, Biometrika 41, 1954).
    correlation = np.clip((n * correlation + 1) / (n - 3), 0, _LARGEST_CORRELATION)
    return _Scatter(
        np.nan_to_num(n / (n - 1) * squares / whole**2),
        (1 + correlation) / (1 - correlation),
        n,
    )


def least_possible(total: Floats, share: Floats) -> Floats:
    """The smallest probability that :func:`binomial_two_sided` can give for so many events."""
    rarer = np.minimum(share, 1 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, np.minimum(2 * np.exp(total * np.log(rarer)), 1), 1.0)


def false_discoveries(probabilities: Floats, level: float) -> Bools:
    """Which of many differences are real, so that at most ``level`` of these are not.

    Benjamini and Hochberg, J. R. Statist. Soc. B 57, 1995.
    """
    if not probabilities.size:
        return np.zeros(probabilities.shape, dtype=bool)
    ordered = np.sort(probabilities, axis=None)
    allowed = level * np.arange(1, ordered.size + 1) / ordered.size
    passing = np.flatnonzero(ordered <= allowed)
    return probabilities <= (ordered[passing[-1]] if len(passing) else -1.0)


# --- Distributions ---


def student_two_sided(t: Floats, freedom: Floats) -> Floats:
    """The probability of a value of Student's t at least so far from 0.

    I_x(n/2, 1/2), x = n / (n + t^2) (Abramowitz and Stegun 26.5.27, 26.7.1).

    Args:
        t: shape (n,).
        freedom: degrees of freedom, likewise; infinity for the normal distribution.
    """
    normal = np.isinf(freedom)
    few = np.where(normal, 1.0, freedom)
    result = incomplete_beta(few / 2, np.full(len(t), 0.5), few / (few + t * t))
    result[normal] = [math.erfc(abs(value) / math.sqrt(2)) for value in t[normal].tolist()]
    return result


def binomial_two_sided(successes: Floats, trials: Floats, share: Floats) -> Floats:
    """Twice the smaller tail of the binomial distribution; 0 for more trials than are exact.

    Args:
        successes: whole numbers, shape (n,).
        trials: whole numbers, likewise.
        share: the probability of a success, between 0 and 1, likewise.
    """
    result = np.zeros(len(trials))
    few = trials <= _EXACT_UP_TO
    k, n, p = successes[few], trials[few], share[few]
    at_most = np.ones(len(k))
    inside = k < n
    at_most[inside] = incomplete_beta((n - k)[inside], (k + 1)[inside], (1 - p)[inside])
    at_least = np.ones(len(k))
    inside = k > 0
    at_least[inside] = incomplete_beta(k[inside], (n - k + 1)[inside], p[inside])
    result[few] = np.minimum(2 * np.minimum(at_most, at_least), 1)
    return result


def incomplete_beta(a: Floats, b: Floats, x: Floats) -> Floats:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22).

    Args:
        a: above 0, up to about 1,000, shape (n,).
        b: likewise.
        x: 0 to 1.
    """
    # On the other side of the maximum it converges slowly.
    swap = x > (a + 1) / (a + b + 2)
    a, b, x = np.where(swap, b, a), np.where(swap, a, b), np.where(swap, 1 - x, x)
    fraction = np.ones(len(x))
    # It needs some square roots of the parameters: with so many, ten digits are right.
    terms = 16 + int(4 * math.sqrt(max(a.max(initial=1), b.max(initial=1))))
    for term in range(terms, 0, -1):
        m = term // 2
        if term % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        fraction = 1 + d / fraction
    log_beta = _lgamma(a) + _lgamma(b) - _lgamma(a + b)
    with np.errstate(divide="ignore"):
        front = np.exp(a * np.log(x) + b * np.log1p(-x) - log_beta) / a
    result = np.clip(front / fraction, 0, 1)
    return np.where(swap, 1 - result, result)


def _lgamma(values: Floats) -> Floats:
    given: Sequence[float] = values.tolist()
    return np.array([math.lgamma(value) for value in given])
