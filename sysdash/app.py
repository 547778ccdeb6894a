"""The dashboard: the screen's arrangement, and what keys and the mouse do.

:class:`App` needs no terminal: give ``app.root`` keys by ``keypress(size, key)`` and read
``app.root.render(size).decoded_text``. :func:`sysdash.terminal.run` shows it in one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import urwid
from typing_extensions import override

from sysdash import units
from sysdash.arguments import Signatures
from sysdash.comparing import Comparing
from sysdash.distribution import Distribution, Question, choices, most_telling, other_kind
from sysdash.history import Past
from sysdash.keys import Command, Context, find
from sysdash.limits import MAX_PID, SMALLEST_SCREEN, SORTS, SPEEDS
from sysdash.model import Filter, Syscall
from sysdash.panels import bars
from sysdash.panels.base import Panel
from sysdash.panels.calls import CallsPanel, Tell, same
from sysdash.panels.calls import find as find_call
from sysdash.panels.cells import Line, canvas, fill
from sysdash.panels.comparison import ComparisonPanel
from sysdash.panels.errors import ErrnosPanel, ErrorsPanel
from sysdash.panels.heatmap import HeatmapPanel
from sysdash.panels.help import HelpPanel
from sysdash.panels.in_flight import InFlightPanel
from sysdash.panels.latency import LatencyPanel
from sysdash.panels.processes import CallersPanel, ProcessesPanel
from sysdash.panels.slow import SlowPanel
from sysdash.panels.stacks import Stacks
from sysdash.panels.story import StoryPanel
from sysdash.panels.summary import SummaryPanel
from sysdash.panels.table import TablePanel
from sysdash.panels.tiles import Tile, Tiles
from sysdash.panels.timeline import TimelinePanel
from sysdash.panels.top import TopPanel
from sysdash.panels.values import ValuesPanel
from sysdash.quantity import Quantity
from sysdash.story import Teller
from sysdash.timeline import Window
from sysdash.travel import Heating, Playback, Remembers, Travel
from sysdash.ui_state import (
    INTERVALS_S,
    REPLAY,
    Example,
    Origin,
    Page,
    Prompt,
    Scene,
    UiState,
    regex_hint,
    scene,
)
from sysdash.valuing import Valuing

_SORT_HINT_S = 4.0
_LINES_A_WHEEL_STEP = 3
_LEAST_TYPED = 20
_TALL, _VERY_TALL = 36, 50
_HELP_COLUMNS = 92
_CHOOSE_NOTHING = {
    *(Command.SORT_NEXT, Command.SORT_RATE, Command.SORT_LATENCY, Command.SORT_TOTAL),
    *(Command.SORT_INVERT, Command.PAUSE, Command.RESUME, Command.TO_THE_PRESENT, Command.HEAT),
    *(Command.EARLIER, Command.LATER, Command.MUCH_EARLIER, Command.MUCH_LATER, Command.MARK),
    *(Command.WINDOW_START, Command.WINDOW_END, Command.ZOOM, Command.ZOOM_OUT, Command.RECORD),
    *(Command.SLOWER, Command.FASTER, Command.PLAY_FASTER, Command.PLAY_SLOWER, Command.HELP),
    *(Command.EXTEND_EARLIER, Command.EXTEND_LATER, Command.COMPARE, Command.CLOSE_HELP),
    *(Command.NEXT_VIEW, Command.QUIT),
}
"""What says nothing of rows: until something does, the first row is the selected one."""

_IN_HEATMAP = {Command.EARLIER, Command.LATER, Command.EXTEND_EARLIER, Command.EXTEND_LATER}
"""Keys that move in the heatmap while it has the focus, be it still empty, and not in time."""
_EXAMPLES = 200
_NOT_LIVE = "values are only counted live"
_HINTS = {
    Prompt.PID: (
        "Enter take  Esc cancel  empty clears",
        "Enter take  Esc cancel",
        "Esc cancel",
    ),
    Prompt.NAME: (
        "case is ignored  Enter take  Esc cancel  empty clears",
        "case is ignored  Enter take  Esc cancel",
        "Enter take  Esc cancel",
        "Esc cancel",
    ),
}

Size = tuple[int, int]


class Recordings(Protocol):
    """What R starts and stops."""

    @property
    def words(self) -> str:
        """What to say of the recording; empty while there is none. Safe text."""

    def toggle(self) -> None:
        """Start a recording, or end it. Failures are told by :attr:`words`."""


class App:
    """The dashboard without a terminal: state, panels, and what commands do to them."""

    def __init__(
        self,
        history: Remembers,
        *,
        interval_s: float = 1.0,
        sort: str = "rate",
        limits: str = "",
        most: int | None = None,
        mode: str = "LIVE",
        tell: Tell | None = None,
        signatures: Signatures | None = None,
    ) -> None:
        """A dashboard that shows ``history``.

        Args:
            history: is read whenever :meth:`refresh` is called.
            interval_s: the refresh interval that the collector starts with.
            sort: one of :data:`sysdash.limits.SORTS`.
            limits: what was limited when collecting, in words, for the header.
            most: rows of a list of calls, processes or errors at the most; None for all.
            mode: LIVE or REPLAY.
            tell: says what is known of a call; None for a teller that knows the arguments' names
                that come with sysdash.
            signatures: the arguments of all calls; None for those that come with sysdash.
        """
        self.state = UiState(mode=mode, limits=limits, interval_s=interval_s, sort=sort, most=most)
        self.set_interval: Callable[[float], None] = lambda _: None
        self.set_watch: Callable[[bool], None] = lambda _: None
        self.set_example: Callable[[Example | None], None] = lambda _: None
        self.valuing: Valuing | None = None
        self.later: Callable[[float, Callable[[], None]], None] = lambda *_: None
        self.recordings: Recordings | None = None
        self._going_on = False
        self._travel = Travel(history, self.state, self._go_on_later, self.redraw)
        self._heating = Heating(self._go_on_later, self.redraw)
        self._comparing = Comparing(self._go_on_later, self.redraw)
        self._sort_hints = 0
        self._watching = False
        self._asked: Example | None = None
        self._examples_of: tuple[Example | None, Past | None] = (None, None)
        self._answered: tuple[Question | None, Distribution | str | None] = (None, None)

        self._signatures = signatures or Signatures()
        self._choices: tuple[Quantity, ...] = ()

        state = self.state
        tell = tell or Teller(self._signatures).tell
        self.top = TopPanel(state)
        self.latency = LatencyPanel(state)
        self.heatmap = HeatmapPanel(state)
        self.timeline = TimelinePanel(state)
        self.slow = SlowPanel(state, tell)
        self.summary = SummaryPanel(state)
        self.callers = CallersPanel(state)
        self.values = ValuesPanel(state)
        self.errnos = ErrnosPanel(state)
        self.processes = ProcessesPanel(state)
        self.errors = ErrorsPanel(state)
        self.comparison = ComparisonPanel(state)
        self.in_flight = InFlightPanel(state, tell)
        stacks = Stacks(self._do_later, self.redraw)
        self.story = StoryPanel(state, tell, stacks)
        self._story_of: CallsPanel = self.slow
        self._origin_of: CallsPanel = self.slow
        self.help = HelpPanel(state)
        self._focus: dict[object, Panel] = {}
        self._dragged: Panel | None = None
        self._pressed_ns: int | None = None
        self.root = Root(self)

    def _do_later(self, seconds: float, action: Callable[[], None]) -> None:
        self.later(seconds, action)

    def _go_on_later(self, seconds: float, _: Callable[[], None]) -> None:
        """Draw anew soon, once for all that go on with something then."""
        if self._going_on:
            return
        self._going_on = True

        def go_on() -> None:
            self._going_on = False
            self.redraw()

        self.later(seconds, go_on)

    # --- Data ---

    @property
    def playback(self) -> Playback | None:
        """The player, where a recording is on show."""
        return self._travel.playback

    @playback.setter
    def playback(self, player: Playback) -> None:
        self._travel.playback = player
        self.state.speed = player.speed

    def refresh(self) -> None:
        """Show the newest data, unless the picture is paused."""
        words = "" if self.recordings is None else self.recordings.words
        if self.state.paused and not self.outdated and words == self.state.recording:
            return  # nothing moves
        # First: at the end of a recording, what is on show by then is its last interval.
        stands = self.playback is not None and not self.playback.playing
        self._travel.refresh()
        self.state.paused = self.state.paused or stands
        self.redraw()

    @property
    def outdated(self) -> bool:
        """Whether there is something newer than what is on show."""
        values, question = self.valuing, self.state.question
        asked = values is not None and question is not None and values.question == question
        if values is not None and asked and values.behind:
            return True
        if self._travel.outdated:
            return True
        if self.state.paused:
            return False
        return values is not None and asked and values.answer != self.state.values

    def redraw(self) -> None:
        """Draw what is known anew, after data or choices have changed."""
        if self.recordings is not None:
            self.state.recording = self.recordings.words
        past = self._travel.past()
        self.root.scene = self._scene(past) if past else None
        if past and self.state.page is Page.COMPARISON:
            self._compare(past)
        self._take_examples(past)
        self._take_values()
        # The list behind a story goes on: its next call may be newer than the story.
        behind = [self._story_of] if self.state.story else []
        for panel in [*self.panels(), *behind]:
            panel.update(self.root.scene, self.state)
        self.timeline.update(self.root.scene, self.state)
        self._say_place()
        self._watch()
        self.root.invalidate()

    def _scene(self, past: Past) -> Scene:
        state, strip, heat = self.state, self._travel.strip, None
        if self._heated and state.syscall is not None:
            errno = state.errno if state.detail else None
            heat = self._heating.heat(past, state.syscall, state.filter, errno, strip)
        return scene(
            past,
            state.filter,
            self.root.scene,
            strip=strip,
            timeline=self._travel.timeline,
            heat=heat,
        )

    def _compare(self, past: Past) -> None:
        state = self.state
        if state.compared is not None:
            present = self._travel.present(state.compared)
            state.comparison = self._comparing.comparison(
                past, state.filter, state.compared, present, still=state.paused
            )

    @property
    def _heated(self) -> bool:
        """Whether the heatmap is on show."""
        return self.heatmap in self.panels()

    def _say_place(self) -> None:
        """Have a story say which of how many its call is."""
        listed, now = self._story_of, self.state.story
        is_now = now and listed.selected and same(listed.selected, now)
        self.story.stands(listed.selected_index() if is_now else None, listed.length())

    def _take_examples(self, past: Past | None) -> None:
        """Keep the last calls that failed with the chosen error, as long as it is chosen."""
        state = self.state
        example, seen = self._examples_of
        if example != state.example:
            state.examples, seen = (), None
        self._examples_of = (state.example, past)
        if state.example is None or past is None or past is seen:
            return
        new = (
            call
            for call in reversed(past.snapshot.examples)
            if (call.syscall.nr, call.syscall.abi, call.errno) == state.example
        )
        state.examples = (*new, *state.examples)[:_EXAMPLES]

    def _take_values(self) -> None:
        """Have the values counted that are on show, and nothing else; keep those of a pause."""
        state, valuing = self.state, self.valuing
        question = state.question
        if valuing is None or question is None:
            if valuing is not None:
                valuing.count(None)
            elif question is not None:
                state.values = _NOT_LIVE
            self._answered = None, None
            state.counted = state.countable = False
            return
        # What is counted already goes on behind a picture that is paused, whatever is looked at
        # meanwhile; nothing begins there.
        if not state.paused or (valuing.question == question and not valuing.refused):
            valuing.count(question)
            if not state.paused:
                self._answered = question, valuing.answer
        state.counted = valuing.question == question
        state.countable = not valuing.refused
        answered, answer = self._answered
        state.values = answer if answered == question else None

    def _watch(self) -> None:
        """Have looked up what is on show and nothing else; nothing while the picture is paused."""
        state = self.state
        example = None if state.paused else state.example
        if self._asked != example:
            self._asked = example
            self.set_example(example)
        listed = state.page is Page.IN_FLIGHT and not state.detail
        followed = state.story is not None and state.story.ret is None
        if self._watching != ((listed or followed) and not state.paused):
            self._watching = not self._watching
            self.set_watch(self._watching)

    # --- Panels ---

    def panels(self) -> list[Panel]:
        """The panels of the current view, in the order of Tab."""
        if self.state.story:
            return [self.story]
        middle = self.heatmap if self.state.heatmap else self.latency
        if self.state.detail:
            main = self.values if self.state.by_value else self.callers
            return [main, self.errnos, middle, self.slow]
        if self.state.page is Page.PROCESSES:
            return [self.processes, self.summary]
        if self.state.page is Page.IN_FLIGHT:
            return [self.in_flight, self.summary]
        if self.state.page is Page.ERRORS:
            return [self.errors, self.summary]
        if self.state.page is Page.COMPARISON:
            return [self.comparison, self.summary]
        return [self.top, self.summary, middle, self.slow]

    @property
    def _where(self) -> object:
        if self.state.story:
            return "story"
        return "detail" if self.state.detail else self.state.page

    @property
    def focused(self) -> Panel:
        """The panel that keys move in."""
        panels = self.panels()
        panel = self._focus.get(self._where)
        return panel if panel in panels else panels[0]

    def focus(self, panel: Panel) -> None:
        """Move the focus, if the panel can have it."""
        if panel.focusable and panel in self.panels():
            self._focus[self._where] = panel

    def arrangement(self, columns: int, rows: int) -> list[Tile]:
        """Where the current view's panels go in a body of this size."""
        strip = self._strip_rows(rows)
        if not strip:
            return self._tiles(columns, rows)
        above = rows - strip - 1
        box = (1, above, columns - 2, strip)
        return [*self._tiles(columns, above), Tile(self.timeline, box)]

    def _strip_rows(self, rows: int) -> int:
        """The height of the timeline inside its borders; 0 where there is none."""
        state = self.state
        if state.story:
            return 0
        if state.paused or state.mode == REPLAY:
            return 2 if rows < _TALL else 4 if rows < _VERY_TALL else 6
        return 0 if rows < _TALL else 3

    def _tiles(self, columns: int, rows: int) -> list[Tile]:
        side = 18 if columns < 72 else 20 if columns < 110 else 26 if columns < 170 else 32
        left = columns - side - 3
        panels = self.panels()
        if len(panels) == 1:
            return [Tile(panels[0], (1, 1, columns - 2, rows - 2))]
        if len(panels) == 2:
            height = rows - 2
            return [
                Tile(panels[0], (1, 1, left, height)),
                Tile(panels[1], (left + 2, 1, side, height)),
            ]
        free = rows - 4
        slow = max(2, round(free * 0.18))
        # Latency over time needs room, and has no headings to say it all.
        share, most = (0.42, 24) if self.state.heatmap else (0.28, 20)
        latency = min(max(3, round(free * share)), most)
        top = free - slow - latency
        main, beside, middle, bottom = panels
        return [
            Tile(main, (1, 1, left, top)),
            Tile(beside, (left + 2, 1, side, top + 1 + latency)),
            Tile(middle, (1, top + 2, left, latency)),
            Tile(bottom, (1, top + latency + 3, columns - 2, slow)),
        ]

    # --- Commands ---

    @property
    def contexts(self) -> list[Context]:
        """The contexts in which keys are looked up now, the most special first."""
        return self.state.contexts(self.focused.context)

    def keypress(self, key: str) -> bool:
        """Do what a key means now; False if it means nothing."""
        contexts = self.contexts
        was_telling = self.state.sorting or self.state.refused
        self.state.sorting = self.state.refused = False
        binding = find(key, contexts)
        if binding is None:
            if was_telling:
                self.root.invalidate()
            return False
        if binding.command not in _CHOOSE_NOTHING:
            self.state.pinned = True
        self.do(binding.command)
        return True

    def do(self, command: Command) -> None:
        """Do a command.

        Raises:
            urwid.ExitMainLoop: for the one that quits.
        """
        state = self.state
        match command:
            case Command.QUIT:
                raise urwid.ExitMainLoop
            case Command.HELP:
                state.help = True
                self.help.scroll_to(0)
            case Command.CLOSE_HELP:
                state.help = False
            case Command.SORT_NEXT:
                self._sort(SORTS[(SORTS.index(state.sort) + 1) % len(SORTS)])
                self._offer_sorts()
            case Command.SORT_RATE:
                self._sort("rate")
            case Command.SORT_LATENCY:
                self._sort("latency")
            case Command.SORT_TOTAL:
                self._sort("total")
            case Command.SORT_INVERT:
                state.inverted = not state.inverted
                self._to_the_top()
            case Command.PROMPT_PID:
                self.root.ask(Prompt.PID)
            case Command.PROMPT_NAME:
                self.root.ask(Prompt.NAME)
            case Command.CLEAR_FILTERS:
                self.show(Filter())
            case Command.PAUSE:
                self._travel.pause()
            case Command.RESUME:
                self._travel.resume()
            case Command.TO_THE_PRESENT:
                self._travel.to_the_present()
            case _ if self._travels(command):
                pass
            case Command.MARK:
                self._mark()
            case Command.COMPARE if state.compared is not None:
                self._go_to_page(Page.COMPARISON)
            case Command.HEAT:
                state.heatmap = not state.heatmap
            case Command.RECORD:
                if self.recordings is not None:
                    self.recordings.toggle()
            case Command.PLAY_FASTER | Command.PLAY_SLOWER if self.playback is not None:
                self._change_speed(2 if command is Command.PLAY_FASTER else 0.5)
            case Command.NEXT_PANEL:
                self._next_panel()
            case Command.NEXT_VIEW:
                self._next_view()
            case Command.SLOWER:
                self._change_interval([s for s in INTERVALS_S if s > state.interval_s][:1])
            case Command.FASTER:
                self._change_interval([s for s in INTERVALS_S if s < state.interval_s][-1:])
            case (
                Command.OPEN | Command.OPEN_STORY | Command.CHOOSE_ERRNO | Command.FILTER_PROCESS
            ) if self._bring_back():
                pass
            case Command.OPEN:
                self._open()
            case Command.OPEN_STORY:
                self._open_story()
            case Command.NEXT_CALL:
                self._go_on(Command.DOWN)
            case Command.PREVIOUS_CALL:
                self._go_on(Command.UP)
            case Command.CHOOSE_ERRNO:
                chosen = self.errnos.selected_errno
                self._choose_errno(None if chosen == state.errno else chosen)
            case Command.ALL_ERRNOS:
                self._choose_errno(None)
            case Command.SHOW_VALUES:
                self._show_values()
            case Command.NEXT_ARGUMENT:
                self._next_argument(1)
            case Command.PREVIOUS_ARGUMENT:
                self._next_argument(-1)
            case Command.CHANGE_KIND:
                if state.quantity is not None:
                    state.quantity = other_kind(state.quantity)
            case Command.COUNT_ANEW:
                if self.valuing is not None:
                    self.valuing.count(None)
            case Command.STAND_STILL:
                state.refused = True
            case Command.LEAVE_VALUES if state.origin and state.origin.by_value:
                self._back()  # to the story, behind which they were on show already
            case Command.LEAVE_VALUES:
                self._leave_values()
            case Command.FILTER_PROCESS:
                self._filter_process()
            case Command.RELEASE:
                self.slow.release()
            case Command.BACK:
                self._back()
            case _:
                (self.help if state.help else self.focused).command(command)
        self.redraw()

    def _travels(self, command: Command) -> bool:
        """Do a command that moves in time; False if it does not."""
        travel, heatmap = self._travel, self.heatmap
        if self.focused is heatmap and (heatmap.command(command) or command in _IN_HEATMAP):
            return True
        match command:
            case Command.EARLIER:
                travel.move(-1)
            case Command.LATER:
                travel.move(1)
            case Command.MUCH_EARLIER:
                travel.move_far(-1)
            case Command.MUCH_LATER:
                travel.move_far(1)
            case Command.WINDOW_START:
                travel.begin_window()
            case Command.WINDOW_END:
                travel.end_window()
            case Command.EXTEND_EARLIER:
                travel.extend(-1)
            case Command.EXTEND_LATER:
                travel.extend(1)
            case Command.ZOOM:
                travel.zoom()
            case Command.ZOOM_OUT:
                travel.zoom_out()
            case Command.ZOOM_REGION if heatmap.region is not None:
                region = heatmap.region
                heatmap.drop()
                travel.zoom(region.window, (region.low_ns, region.high_ns))
            case Command.DROP_REGION:
                heatmap.drop()
            case _:
                return False
        return True

    def _change_speed(self, factor: float) -> None:
        assert self.playback is not None
        low, high = SPEEDS
        self.state.speed = min(max(self.state.speed * factor, low), high)
        self.playback.speed = self.state.speed

    def _sort(self, sort: str) -> None:
        self.state.sort = sort
        self._to_the_top()

    def _to_the_top(self) -> None:
        for panel in (
            self.top,
            self.callers,
            self.values,
            self.errnos,
            self.processes,
            self.in_flight,
            self.errors,
        ):
            panel.scroll_to(0)

    def _offer_sorts(self) -> None:
        self.state.sorting = True
        self._sort_hints += 1
        this_one = self._sort_hints

        def forget() -> None:
            if self._sort_hints == this_one:
                self.state.sorting = False
                self.root.invalidate()

        self.later(_SORT_HINT_S, forget)

    def show(self, shown: Filter) -> None:
        """Show what passes a filter, and its beginning."""
        self.state.filter = shown
        self._to_the_top()
        self.redraw()

    def _next_panel(self) -> None:
        panels = [panel for panel in self.panels() if panel.focusable]
        self.focus(panels[(panels.index(self.focused) + 1) % len(panels)])

    def _next_view(self) -> None:
        pages = [page for page in Page if page is not Page.COMPARISON]
        now = self.state.page
        self._go_to_page(pages[(pages.index(now) + 1) % len(pages)] if now in pages else pages[0])

    def _go_to_page(self, page: Page) -> None:
        self.state.story = None
        self._close_syscall()
        self.state.page = page

    def _mark(self) -> None:
        """Mark what was chosen, and show what has changed since."""
        chosen = self._travel.chosen
        if chosen is not None:
            self.state.compared, self.state.marked, self.state.comparison = chosen, None, None
            self._go_to_page(Page.COMPARISON)

    def _change_interval(self, chosen: Sequence[float]) -> None:
        for interval_s in chosen:
            self.state.interval_s = interval_s
            self.set_interval(interval_s)
            if self.valuing is not None:
                self.valuing.set_interval(interval_s)

    def _bring_back(self) -> bool:
        """Show the selected row instead of doing something with it, if it cannot be seen."""
        panel = self.focused
        if not isinstance(panel, TablePanel):
            return False
        chosen = panel.selected_index()
        if chosen is None or panel.selection_on_show:
            return False
        panel.go_to(chosen)
        return True

    def _open(self) -> None:
        state = self.state
        if state.story:
            errno = state.errno if state.detail else None
            origin = Origin(
                state.story, state.detail, state.syscall, errno, state.by_value, state.quantity
            )
            self._open_syscall(state.story.syscall)
            state.origin, self._origin_of = origin, self._story_of
            # The way back is not by way of letting go of a list that is held.
            self._focus.pop("detail", None)
            return
        # The list of slow calls has a selection of its own, or none.
        panel = self.top if self.focused is self.slow else self.focused
        if not isinstance(panel, TablePanel) or not panel.selection_on_show:
            return
        if panel is self.comparison and self.comparison.selected_syscall:
            self._open_syscall(self.comparison.selected_syscall)
        elif panel is self.errors and self.errors.selected:
            nr, abi, errno, _ = self.errors.selected
            self._open_syscall(Syscall(nr, abi), errno)
        elif state.syscall is not None:
            self._open_syscall(state.syscall)

    def _open_syscall(self, syscall: Syscall, errno: int | None = None) -> None:
        state = self.state
        if not state.detail or state.syscall != syscall:
            self._leave_values()
            self._focus.pop("detail", None)
            state.errno = errno
        state.story = None
        state.syscall = syscall
        state.detail = True

    def _close_syscall(self) -> None:
        self._leave_values()
        self.state.detail = False
        self.state.errno = None
        self.state.origin = None

    def _choose_errno(self, errno: int | None) -> None:
        self.state.errno = errno
        self.callers.scroll_to(0)
        if errno is not None:
            self._focus.pop("detail", None)

    # --- Values ---

    def _show_values(self) -> None:
        """Show the opened syscall's calls by the values of its most telling argument."""
        state = self.state
        if state.syscall is None:
            return
        state.by_value = True
        self._focus.pop("detail", None)
        try:
            self._choices = choices(self._signatures, state.syscall)
            state.quantity = most_telling(self._choices)
        except ValueError as error:
            self._choices, state.quantity, state.values = (), None, str(error)

    def _next_argument(self, step: int) -> None:
        names = [quantity.argument for quantity in self._choices]
        if self.state.quantity is not None:
            place = names.index(self.state.quantity.argument)
            self.state.quantity = self._choices[(place + step) % len(names)]

    def _leave_values(self) -> None:
        self.state.by_value, self.state.quantity, self.state.values = False, None, None

    # --- Stories ---

    def _open_story(self) -> None:
        panel = self.focused
        if isinstance(panel, CallsPanel) and panel.selected and panel.selection_on_show:
            self._story_of = panel
            self.story.open(panel.selected)

    def _go_on(self, direction: Command) -> None:
        """To the story of a neighbour; where the call has left the list, to what took its place."""
        panel, now = self._story_of, self.state.story
        if panel.selected and now and same(panel.selected, now):
            panel.command(direction)
        if panel.selected and panel.selected is not now:
            self.story.open(panel.selected)

    def _back(self) -> None:
        if self.state.story:
            self.state.story = None
        elif self.state.origin:
            self._back_to_story(self.state.origin)
        elif self.state.detail:
            self._close_syscall()
        else:
            self.state.page = Page.DASHBOARD

    def _back_to_story(self, origin: Origin) -> None:
        state = self.state
        state.origin, state.story = None, origin.story
        state.detail, state.syscall, state.errno = origin.detail, origin.syscall, origin.errno
        if not origin.by_value:
            self._leave_values()
        elif not state.by_value or state.quantity != origin.quantity:
            self._show_values()
            state.quantity = origin.quantity
        self._story_of = self._origin_of
        if origin.detail:
            self._focus["detail"] = self._story_of
        self.redraw()
        place = find_call(origin.story, self._story_of.calls)
        if place is not None:
            self._story_of.select(place)

    def _filter_process(self) -> None:
        panel = self.focused
        if isinstance(panel, ProcessesPanel) and panel.selected and panel.selection_on_show:
            self.state.page = Page.DASHBOARD if not self.state.detail else self.state.page
            self.show(Filter(pid=panel.selected[0], name=self.state.filter.name))

    def answer(self, prompt: Prompt, text: str) -> str | None:
        """Take what was typed into a prompt; returns what is wrong with it, or None."""
        shown = self.state.filter
        text = text.strip()
        try:
            if prompt is Prompt.PID:
                new = Filter(pid=_pid(text) if text else None, name=shown.name)
            else:
                new = Filter(pid=shown.pid, name=text or None)
        except ValueError as error:
            return str(error)
        self.show(new)
        return None

    # --- Mouse ---

    def mouse(self, event: str, button: int, column: int, row: int) -> bool:
        """A mouse event in the body; False if it means nothing here."""
        pressed = event.startswith("mouse press")
        if not pressed and not (event.startswith("mouse drag") and self._dragged):
            return False
        tile = self.root.tiles.tile_at(column, row)
        if pressed:
            self._dragged = tile.panel if tile and button == 1 else None
        elif tile is None or tile.panel is not self._dragged:
            return False
        if tile is None:
            return False
        self.state.pinned = True
        x, y, _, _ = tile.box
        if not pressed:
            self._drag(tile.panel, column - x, row - y)
        elif tile.panel is self.timeline:
            self._click_timeline(button, column - x)
        elif button == 1:
            self.focus(tile.panel)
            if row >= y:
                tile.panel.click(column - x, row - y)
        elif button in (4, 5):
            tile.panel.wheel(_LINES_A_WHEEL_STEP if button == 5 else -_LINES_A_WHEEL_STEP)
        else:
            return False
        self.redraw()
        return True

    def _click_timeline(self, button: int, column: int) -> None:
        """Move the cursor; into the window that is set: zoom. The wheel zooms too."""
        at_ns, marked = self.timeline.time_at(column), self.state.marked
        if button == 1 and at_ns is not None:
            self._pressed_ns = at_ns
            if marked is not None and marked.holds(at_ns):
                self._travel.zoom()
            else:
                self.state.marked = None
                self._travel.go_to(at_ns)
        elif button in (3, 5):
            self._travel.zoom_out()
        elif button == 4 and at_ns is not None:
            strip = self._travel.strip
            half_ns = strip.length_ns // 4
            self._travel.go_to(at_ns)
            self._travel.zoom(Window(at_ns - half_ns, at_ns + half_ns))

    def _drag(self, panel: Panel, column: int, row: int) -> None:
        """With the button held: a window in the timeline, a region in the heatmap."""
        if panel is self.heatmap:
            self.heatmap.drag(column, row)
        elif panel is self.timeline:
            at_ns = self.timeline.time_at(column, nearest=True)
            if at_ns is not None and self._pressed_ns is not None:
                self._travel.go_to(at_ns)
                self._travel.mark(self._pressed_ns, at_ns)


def _pid(text: str) -> int:
    # 0 is that of the row of all processes that there was no room for.
    if not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= MAX_PID):
        raise ValueError(f"a PID is a number up to {MAX_PID}")
    return int(text)


class _Input(urwid.Edit):
    """A line of typed text, of which every character can be shown."""

    @override
    def valid_char(self, ch: str) -> bool:
        """Whether the character is taken: none that is invisible or moves others."""
        return super().valid_char(ch) and units.safe(ch) == ch


class Root(urwid.Widget):
    """The whole screen: header, tiles, footer; or a prompt, the help, a word about its size."""

    _sizing = frozenset([urwid.Sizing.BOX])
    _selectable = True

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app
        self.scene: Scene | None = None
        self.tiles = Tiles()
        self._left = 0
        self._edit = _Input()
        self._error = ""

    def invalidate(self) -> None:
        """Have the screen drawn anew."""
        self._invalidate()

    @override
    def render(self, size: Size, focus: bool = False) -> urwid.Canvas:  # type: ignore[override]
        """The screen at any size."""
        columns, rows = size
        if _is_too_small(size):
            return canvas(_too_small(columns, rows), columns)
        state = self._app.state
        self._left = 0
        if state.help:
            width = min(columns, _HELP_COLUMNS)
            box = (1, 1, width - 2, rows - 4)
            self.tiles.arrange([Tile(self._app.help, box)], self._app.help)
            self._left = (columns - width) // 2
            right = columns - width - self._left
            body = [
                [("text", " " * self._left), *line, ("text", " " * right)]
                for line in self.tiles.lines(width, rows - 2)
            ]
        else:
            self.tiles.arrange(self._app.arrangement(columns, rows - 2), self._app.focused)
            body = self.tiles.lines(columns, rows - 2)
        head = bars.header(self.scene, state, columns)
        if state.prompt is None:
            foot = bars.keys_line(self._app.contexts, columns)
            return canvas([head, *body, foot], columns)
        edit = self._prompt(state.prompt, columns).render((columns,), focus=True)
        return urwid.CanvasCombine(
            [(canvas([head, *body], columns), 0, False), (edit, rows - 1, True)]
        )

    # --- Keys and mouse ---

    @override
    def keypress(self, size: Size, key: str) -> str | None:  # type: ignore[override]
        """A key in the prompt, or one of the key table.

        Where the screen is too small to see what others would do, only the one that quits.
        """
        if _is_too_small(size):
            binding = find(key, [Context.ALWAYS])
            if binding is None or binding.command is not Command.QUIT:
                return key
            self._app.do(Command.QUIT)
        prompt = self._app.state.prompt
        if prompt is None:
            return None if self._app.keypress(key) else key
        binding = find(key, self._app.contexts)
        if binding is None or binding.command is Command.CLEAR_LINE:
            before = self._edit.edit_text
            unused = None
            if binding is None:
                unused = self._edit.keypress((size[0],), key)
            else:
                self._edit.set_edit_text("")
            if self._edit.edit_text != before:
                self._error = ""
            self._invalidate()
            return unused
        if binding.command is Command.ACCEPT:
            self._error = units.safe(self._app.answer(prompt, self._edit.edit_text) or "")
            if self._error:
                self._invalidate()
                return None
        self._app.state.prompt = None
        self._app.redraw()
        return None

    @override
    def mouse_event(  # type: ignore[override]
        self, size: Size, event: str, button: int, col: int, row: int, focus: bool
    ) -> bool:
        """The mouse over the body."""
        if _is_too_small(size) or self._app.state.prompt or not 0 < row < size[1] - 1:
            return False
        return self._app.mouse(event, button, col - self._left, row - 1)

    # --- Prompt ---

    def ask(self, prompt: Prompt) -> None:
        """Open a prompt in the footer."""
        self._edit = _Input()
        self._error = ""
        self._app.state.prompt = prompt

    def _prompt(self, prompt: Prompt, columns: int) -> urwid.Widget:
        shown = self._app.state.filter
        pid = "" if shown.pid is None else str(shown.pid)
        now = {Prompt.PID: pid, Prompt.NAME: units.safe(shown.name or "")}[prompt]
        caption = f" {prompt.value}{f' (now {units.fit(now, 12)})' if now else ''}: "
        hint = self._hint(prompt, columns - units.width(caption))
        style = "prompt.error" if self._error else "footer"
        return urwid.Columns(
            [
                (units.width(caption), urwid.Text(("prompt", caption), wrap="clip")),
                self._edit,
                (units.width(hint), urwid.Text((style, hint), wrap="clip")),
            ]
        )

    def _hint(self, prompt: Prompt, columns: int) -> str:
        """What is wrong with the text typed, or the longest hint that fits beside it."""
        typed = self._edit.edit_text
        if self._error:
            least = min(units.width(typed) + 1, _LEAST_TYPED)
            return units.fit(f"  {self._error} ", max(columns - least, 0))
        hints = list(_HINTS[prompt])
        about_regex = regex_hint(typed) if prompt is Prompt.NAME else ""
        if about_regex:
            hints = [about_regex, "a regular expression: /…/", "a regex: /…/"]
        room = columns - max(units.width(typed) + 1, _LEAST_TYPED)
        return next((f"  {hint} " for hint in hints if units.width(hint) + 3 <= room), "")


def _is_too_small(size: Size) -> bool:
    return size[0] < SMALLEST_SCREEN[0] or size[1] < SMALLEST_SCREEN[1]


def _centred(text: str, columns: int) -> Line:
    left = max((columns - len(text)) // 2, 0)
    return fill([("text", " " * left), ("text", text)], columns)


def _too_small(columns: int, rows: int) -> list[Line]:
    words = [
        f"{columns}x{rows} is too small:",
        "sysdash needs {}x{}.".format(*SMALLEST_SCREEN),
        "q quits",
    ][:rows]
    above = (rows - len(words)) // 2
    lines = [_centred("", columns)] * above + [_centred(word, columns) for word in words]
    return lines + [_centred("", columns)] * (rows - len(lines))
