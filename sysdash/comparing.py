"""Compares the present with a window that was marked, a little at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

from sysdash.comparison import BY, Comparison, compare
from sysdash.history import Past
from sysdash.model import Filter, table_of_columns
from sysdash.tally import Tally
from sysdash.timeline import Window
from sysdash.travel import SLICE_S, Later

_PARTS = 12
"""A comparison is made anew when such a part of the time it is about has passed."""

_LEAST_NS = 2 * 10**9
"""And at least so much time."""

NOTHING_YET = "nothing has happened since then yet"

THE_MARKED_ONE = "this is the marked window: move on, or wait, to compare it with what comes then"
OVERLAPPING = "this overlaps the marked window: move on to compare it with what comes then"


class Comparing:
    """Makes comparisons, and keeps the last one until the next is there."""

    def __init__(self, later: Later, redraw: Callable[[], None]) -> None:
        """Begin with nothing.

        Args:
            later: has ``redraw`` called, which asks again, until all is added up.
            redraw: draws anew.
        """
        self._later = later
        self._redraw = redraw
        self._about: tuple[Window, Filter] | None = None
        self._before: Tally | None = None
        self._after: Window | None = None
        self._work: Generator[None, None, None] | None = None
        self._made: Comparison | None = None

    def comparison(
        self, past: Past, shown: Filter, before: Window, after: Window, *, still: bool = False
    ) -> Comparison | str | None:
        """What has changed from one window to another; why nothing can be said; None for not yet.

        While a newer one is being made, the one before it.

        Args:
            past: has the intervals.
            shown: which calls are compared.
            before: the window that was marked.
            after: the present.
            still: whether the present does not go on by itself, so that every step of it counts.
        """
        if before.begin_ns <= after.begin_ns and after.end_ns <= before.end_ns:
            return THE_MARKED_ONE
        if after.begin_ns < before.end_ns and before.begin_ns < after.end_ns:
            return OVERLAPPING
        if self._about != (before, shown):
            self._about, self._before, self._after = (before, shown), None, None
            self._work = self._made = None
        if not len(past.timeline.inside(after)):
            return self._made or NOTHING_YET
        if self._work is None and (self._is_due(after) or (still and after != self._after)):
            self._after = after
            self._work = self._add_up(past, shown, before, after)
        until = time.monotonic() + SLICE_S
        while self._work is not None:
            try:
                next(self._work)
            except StopIteration:
                self._work = None
                if still and after != self._after:
                    self._later(0.0, self._redraw)
                break
            if time.monotonic() >= until:
                self._later(0.0, self._redraw)
                break
        return self._made

    def _is_due(self, after: Window) -> bool:
        known = self._after
        if known is None or known.length_ns != after.length_ns:
            return True
        apart_ns = abs(after.end_ns - known.end_ns)
        return apart_ns >= max(after.length_ns // _PARTS, _LEAST_NS)

    def _add_up(
        self, past: Past, shown: Filter, before: Window, after: Window
    ) -> Generator[None, None, None]:
        if self._before is None:
            marked = Tally(BY)
            yield from _fill(marked, past, shown, before)
            self._before = marked
        present = Tally(BY)
        yield from _fill(present, past, shown, after)
        if self._before.intervals and present.intervals:
            self._made = compare(self._before, present)


def _fill(tally: Tally, past: Past, shown: Filter, window: Window) -> Generator[None, None, None]:
    timeline = past.timeline
    for place in timeline.inside(window):
        length_s = int(timeline.length_ns[place]) / 1e9
        calls = table_of_columns(past.steps.rows(place), length_s)
        tally.add(shown.calls(calls), int(timeline.end_ns[place]))
        yield
