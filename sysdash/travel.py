"""Moving through the past: cursor, window, zoom; and long additions a little at a time.

:class:`Travel` says what is on show; the keys change only :class:`sysdash.ui_state.UiState`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Protocol

from sysdash.columns import selected
from sysdash.heat import Heat, HeatTally
from sysdash.history import Past
from sysdash.model import Filter, Syscall, table_of_columns
from sysdash.timeline import Timeline, Window
from sysdash.ui_state import UiState

SLICE_S = 0.05
"""How long is added up before keys are looked at again."""

_COLUMNS = 240
"""Pieces of time of a heat, which the panel has divided into as many as it has room for."""

_MINUTE_NS = 60 * 10**9
_FAR = 20
"""Parts of the strip by one of which the cursor goes far."""

_LEAST_FAR = 10

Later = Callable[[float, Callable[[], None]], None]
"""Does something after some seconds, in the thread that draws."""


class Remembers(Protocol):
    """Where the past comes from: a live history, or the player of a recording."""

    @property
    def past(self) -> Past | None:
        """Everything known by now; None before the first interval."""


class Playback(Protocol):
    """The player of a recording.

    Attributes:
        speed: how fast it plays; 1 is as it was.
    """

    speed: float

    @property
    def playing(self) -> bool:
        """Whether it goes on by itself: it does not when it is paused, or at its end."""

    def pause(self) -> None:
        """Stand still."""

    def play(self, place: int) -> None:
        """Go on from an interval."""


class Travel:
    """Which part of the past is on show."""

    def __init__(
        self, history: Remembers, state: UiState, later: Later, redraw: Callable[[], None]
    ) -> None:
        """Begin with the newest of ``history``.

        Args:
            history: is asked by :meth:`refresh`.
            state: says where the user is.
            later: has ``redraw`` called, to go on with an addition.
            redraw: draws anew, and so asks for :meth:`past` again.
        """
        self._history = history
        self._state = state
        self._later = later
        self._redraw = redraw
        self.playback: Playback | None = None
        self._newest: Past | None = None
        self._moment: Past | None = None
        self._window: Past | None = None
        self._wanted: Window | None = None
        self._adding: Generator[float, None, Past] | None = None

    # --- What is on show ---

    def refresh(self) -> None:
        """Take the newest, unless the picture stands still."""
        if not self._state.paused or self._newest is None:
            self._newest = self._history.past
            self._moment = None

    @property
    def outdated(self) -> bool:
        """Whether there is something newer than what is on show."""
        stands = self._state.paused and self._newest is not None
        return not stands and self._newest is not self._history.past

    @property
    def timeline(self) -> Timeline | None:
        """All intervals that can be gone to; None before the first."""
        return self._newest.timeline if self._newest else None

    @property
    def strip(self) -> Window:
        """The time that strip and heatmap show."""
        timeline = self.timeline
        return self._state.zoom or (timeline.span if timeline else Window(0, 0))

    def past(self) -> Past | None:
        """What is on show now; while a window is added up, what was on show before."""
        newest, state = self._newest, self._state
        if newest is None:
            return None
        if state.zoom is None:
            self._adding, self._wanted, self._window, state.adding = None, None, None, None
            if state.cursor_ns is None:
                return newest
            place = newest.timeline.at(state.cursor_ns)
            if self._moment is None or self._moment.place != place:
                self._moment = (self._moment or newest).at(place)
            return self._moment
        if state.zoom != self._wanted:
            self._wanted, self._adding = state.zoom, newest.over(state.zoom)
        self._add_up()
        return self._window or self._moment or newest

    def _add_up(self) -> None:
        until = time.monotonic() + SLICE_S
        while self._adding is not None:
            try:
                self._state.adding = next(self._adding)
            except StopIteration as end:
                self._window, self._adding, self._state.adding = end.value, None, None
                return
            if time.monotonic() >= until:
                self._later(0.0, self._redraw)
                return

    # --- Where to ---

    @property
    def _cursor(self) -> int | None:
        """The interval at the cursor."""
        newest, state = self._newest, self._state
        if newest is None:
            return None
        return newest.place if state.cursor_ns is None else newest.timeline.at(state.cursor_ns)

    def pause(self) -> None:
        """Have the picture stand still."""
        self._state.paused = True
        if self.playback is not None:
            self.playback.pause()

    def resume(self) -> None:
        """Go on: live with the newest, in a replay from the cursor."""
        state, place = self._state, self._cursor
        zoomed = state.zoom is not None
        if state.zoom is not None and self._newest is not None and state.cursor_ns is None:
            place = self._newest.timeline.at(state.zoom.end_ns)
        self._leave_window()
        state.paused, state.cursor_ns, state.marked = False, None, None
        if self.playback is not None and place is not None:
            assert self._newest is not None
            last = len(self._newest.timeline) - 1
            self.playback.play(0 if place >= last and not zoomed else place)
        self.refresh()

    def to_the_present(self) -> None:
        """Live: go on with the newest. In a replay: out of the window, to the cursor."""
        if self.playback is None:
            self.resume()
        elif self._state.zoom is not None:
            self.zoom_out()
        else:
            self._state.marked = None

    def go_to(self, time_ns: int) -> None:
        """Move the cursor to the interval at a time."""
        timeline = self.timeline
        if timeline is None or not len(timeline):
            return
        self.pause()
        self._state.cursor_ns = int(timeline.end_ns[timeline.at(time_ns)])

    def move(self, intervals: int) -> None:
        """Move the cursor by some intervals, but not out of the window on show."""
        timeline, place = self.timeline, self._cursor
        if timeline is None or place is None:
            return
        inside = timeline.inside(self.strip) or range(len(timeline))
        self.go_to(int(timeline.end_ns[min(max(place + intervals, inside[0]), inside[-1])]))

    def move_far(self, direction: int) -> None:
        """Move the cursor by a part of what the strip shows."""
        timeline = self.timeline
        shown = len(timeline.inside(self.strip)) if timeline else 0
        self.move(direction * max(shown // _FAR, min(_LEAST_FAR, shown // 4), 1))

    # --- Windows ---

    def begin_window(self) -> None:
        """Have the window begin with the interval at the cursor."""
        self._set_window(begin=True)

    def end_window(self) -> None:
        """Have the window end with the interval at the cursor."""
        self._set_window(begin=False)

    def _set_window(self, *, begin: bool) -> None:
        timeline, place = self.timeline, self._cursor
        if timeline is None or place is None:
            return
        self.pause()
        here = Window(int(timeline.begin_ns[place]), int(timeline.end_ns[place]))
        before = self._state.marked or self.strip
        self._state.marked = (
            Window(here.begin_ns, max(before.end_ns, here.end_ns))
            if begin
            else Window(min(before.begin_ns, here.begin_ns), here.end_ns)
        )

    def extend(self, intervals: int) -> None:
        """Move the cursor, and the end of the window at which it is with it."""
        timeline, before = self.timeline, self._cursor
        if timeline is None or before is None:
            return
        marked = self._state.marked
        inside = timeline.inside(marked) if marked else range(0)
        # The end that stays where it is: the one at which the cursor is not.
        fixed = before
        if inside and before in (inside[0], inside[-1]):
            fixed = inside[-1] if before == inside[0] else inside[0]
        self.move(intervals)
        place = self._cursor
        assert place is not None
        first, last = sorted((fixed, place))
        self._state.marked = Window(int(timeline.begin_ns[first]), int(timeline.end_ns[last]))

    def mark(self, begin_ns: int, end_ns: int) -> None:
        """Set the window from one moment to another."""
        timeline = self.timeline
        if timeline is not None and len(timeline):
            self.pause()
            first, last = sorted((timeline.at(begin_ns), timeline.at(end_ns)))
            self._state.marked = Window(int(timeline.begin_ns[first]), int(timeline.end_ns[last]))

    @property
    def chosen(self) -> Window | None:
        """The window that is set, else the one on show, else the minute up to the cursor."""
        state, timeline, place = self._state, self.timeline, self._cursor
        if timeline is None or place is None:
            return None
        end_ns = int(timeline.end_ns[place])
        minute = Window(end_ns - _MINUTE_NS, end_ns)
        return timeline.whole(state.marked or state.zoom or minute)

    def present(self, since: Window) -> Window:
        """What is compared with an earlier window: the one on show, or as long a time as that was.

        Live, nothing of the earlier window itself.
        """
        state, timeline, place = self._state, self.timeline, self._cursor
        if state.zoom is not None and state.zoom != since:
            return state.zoom
        end_ns = int(timeline.end_ns[place]) if timeline and place is not None else 0
        begin_ns = end_ns - since.length_ns
        return Window(begin_ns if end_ns < since.end_ns else max(begin_ns, since.end_ns), end_ns)

    @property
    def _further(self) -> Window | None:
        """The half of the window on show that is around the cursor, where no other is set."""
        state, timeline, place = self._state, self.timeline, self._cursor
        if state.zoom is None or state.marked is not None or timeline is None or place is None:
            return None
        quarter_ns = state.zoom.length_ns // 4
        middle_ns = min(
            max(int(timeline.end_ns[place]), state.zoom.begin_ns + quarter_ns),
            state.zoom.end_ns - quarter_ns,
        )
        return Window(middle_ns - quarter_ns, middle_ns + quarter_ns)

    def zoom(self, window: Window | None = None, band_ns: tuple[int, int] | None = None) -> None:
        """Have every panel show a window: the one that was chosen, if none is given.

        Args:
            window: it.
            band_ns: list only the slow calls that took so long.
        """
        window = window or self._further or self.chosen
        timeline = self.timeline
        if window is None or timeline is None:
            return
        self.pause()
        state = self._state
        state.zoom, state.marked, state.band_ns = timeline.whole(window), None, band_ns
        place = self._cursor
        if place is not None and not state.zoom.holds(int(timeline.end_ns[place])):
            state.cursor_ns = state.zoom.end_ns

    def zoom_out(self) -> None:
        """Show the interval at the cursor again; where nothing is zoomed, zoom to all there is."""
        state = self._state
        if state.zoom is None:
            timeline = self.timeline
            if timeline is not None and len(timeline):
                self.zoom(timeline.span)
            return
        if state.cursor_ns is None:
            state.cursor_ns = state.zoom.end_ns
        self._leave_window()

    def _leave_window(self) -> None:
        self._state.zoom = self._state.band_ns = None


class Heating:
    """Adds up latencies over time for the heatmap, a little at a time, the newest first."""

    def __init__(self, later: Later, redraw: Callable[[], None]) -> None:
        """Begin with nothing.

        Args:
            later: has ``redraw`` called, which asks again, until all is added up.
            redraw: draws anew.
        """
        self._later = later
        self._redraw = redraw
        self._tally: HeatTally | None = None

    def heat(
        self,
        past: Past,
        syscall: Syscall,
        shown: Filter,
        errno: int | None,
        window: Window,
    ) -> Heat:
        """Latencies of a syscall's calls over a window, as far as they are added up."""
        if self._tally is None or self._tally.of != (syscall, shown, errno):
            self._tally = HeatTally(syscall, shown, errno)
        tally, timeline = self._tally, past.timeline
        until = time.monotonic() + SLICE_S
        missing = tally.missing(timeline, window)
        for done, place in enumerate(missing):
            found = selected(past.steps.rows(place), syscall.nr, syscall.abi)
            length_s = int(timeline.length_ns[place]) / 1e9
            table = shown.calls(table_of_columns(found, length_s))
            if not tally.add(int(timeline.end_ns[place]), table):
                break
            if time.monotonic() >= until and done < len(missing) - 1:
                self._later(0.0, self._redraw)
                break
        return tally.heat(timeline, window, _COLUMNS)
