"""What has changed, as text: two numbers and what lies between them."""

from __future__ import annotations

from sysdash import units
from sysdash.comparison import (
    LEAST_CHANGE,
    LEAST_UNSEEN_CHANGE,
    LEAST_UNSTEADY_RATIO,
    Change,
    Comparison,
)

ARROW, ABOUT = "→", "≈"
"""Between two numbers, and before one that has not changed by more than noise."""

UNSTEADY = "?"
"""Behind a difference, and before a number after the arrow: it is large, but not steady."""

NONE = "-"
"""Stands for a number that is not known."""

_FACTOR_FROM = 9.995
_PER_SECOND = ("rate", "errors")


def number(quantity: str, value: float | None) -> str:
    """One of :data:`sysdash.comparison.QUANTITIES` in at most six characters.

    Args:
        quantity: which.
        value: per second, or in ns; None where it has none.
    """
    if value is None:
        return NONE
    if quantity in _PER_SECOND:
        return units.rate(value)
    if not value:
        return "0"
    if quantity == "total" and value >= 6e10:
        # Time for each second that passes has no minutes.
        return f"{units.rate(value / 1e9)}s"
    return units.duration(value)


def relative(change: Change, quantity: str) -> str:
    """By how much a quantity has changed: ``+20%``, ``-3.1%``, ``12.3x``, ``new``, ``gone``."""
    before, after = change.values(quantity)
    if before is None or after is None or before == after:
        return ""
    if not before:
        return "new"
    if not after:
        return "gone"
    ratio = after / before
    if ratio >= _FACTOR_FROM:
        return f"{units.rate(ratio)}x"
    percent = abs(ratio - 1) * 100
    if percent < 0.05:
        return ""
    # What has all but gone is not -100%.
    near = percent < 9.95 or (99 < percent < 100 and ratio < 1)
    digits = f"{min(percent, 99.9):.1f}" if near else f"{percent:.0f}"
    return f"{'+' if ratio > 1 else '-'}{digits}%"


def difference(change: Change, quantity: str) -> str:
    """What a quantity has more or less than before: ``+120ms``, ``-3.20``."""
    before, after = change.values(quantity)
    if before is None or after is None or before == after:
        return ""
    sign = "+" if after > before else "-"
    return f"{sign}{number(quantity, abs(after - before))}"


def verdict(change: Change, quantity: str) -> str:
    """``worse`` or ``better`` where a quantity has changed for the worse or the better.

    Empty where that is noise, and for the rate, of which nobody knows.
    """
    before, after = change.values(quantity)
    if quantity not in change.changed or quantity == "rate" or before is None or after is None:
        return ""
    return "worse" if after > before else "better"


def mark(change: Change, quantity: str) -> str:
    """:data:`UNSTEADY` where a quantity differs by much, but not steadily."""
    return UNSTEADY if quantity in change.unsteady else ""


def noise_words(comparison: Comparison) -> str:
    """What has changed and what is noise, in a few lines; ``sysdash diff --help`` tells it all."""
    if not comparison.seen:
        return (
            "Noise: there are too few intervals to see how much numbers vary by themselves. What "
            "is listed differs by more than independent calls would scatter and by "
            f"{LEAST_UNSEEN_CHANGE:.0%} at least; it may be a burst all the same."
        )
    blocks = " and ".join(f"{side.blocks:,}" for side in (comparison.before, comparison.after))
    words = (
        f"A number has changed if it differs by {LEAST_CHANGE:.0%} at least, and by more than it "
        f"varies from block to block of time ({blocks}). {ABOUT}: it has not"
    )
    if any(which.any() for which in comparison.unsteady.values()):
        words += f"; {UNSTEADY}: not steadily, but {LEAST_UNSTEADY_RATIO} times or more"
    return f"{words}."
