"""What the user has chosen, and what a frame is drawn from. Plain data: no urwid here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

from sysdash.comparison import Comparison
from sysdash.distribution import Distribution, Question
from sysdash.heat import Heat
from sysdash.history import Past
from sysdash.keys import Context
from sysdash.limits import INTERVAL_S
from sysdash.model import CallsInFlight, Filter, SlowCall, Syscall, Table, View, view
from sysdash.quantity import Quantity
from sysdash.syscalls import errno_name, waits
from sysdash.timeline import Timeline, Window

INTERVALS_S = (INTERVAL_S[0], 0.2, 0.5, 1.0, 2.0, 5.0, INTERVAL_S[1])
"""The refresh intervals that + and - go through, in seconds."""

Example = tuple[int, int, int]
"""Syscall number, ABI code and errno of failed calls."""


class Page(Enum):
    """The views that v goes through."""

    DASHBOARD = "dashboard"
    PROCESSES = "processes"
    IN_FLIGHT = "in-flight calls"
    ERRORS = "errors"
    COMPARISON = "changes"


_ALWAYS_BY = {Page.ERRORS: "rate", Page.IN_FLIGHT: "duration", Page.COMPARISON: "change"}

REPLAY = "REPLAY"
"""The mode in which a recording is on show."""

_IN_ONE_ORDER = {Context.ERRORS, Context.IN_FLIGHT, Context.COMPARISON, Context.STORY}

NOTHING = Window(0, 0)
"""No time at all."""


@dataclass(frozen=True)
class Origin:
    """A story that is come back to, and what was chosen behind it, as in :class:`UiState`."""

    story: SlowCall
    detail: bool
    syscall: Syscall | None
    errno: int | None
    by_value: bool
    quantity: Quantity | None


class Prompt(Enum):
    """What is being asked in the footer; the value is its label."""

    PID = "PID"
    NAME = "name or /regex/"


@dataclass
class UiState:
    """Everything that keys and the mouse change. The app writes it, panels read it.

    Attributes:
        mode: LIVE or REPLAY.
        limits: what is collected at all, in words; empty for everything.
        interval_s: the refresh interval.
        most: rows of a list of calls, processes or errors at the most; None for all.
        sort, inverted: the order of tables, see :data:`sysdash.limits.SORTS`.
        filter: what is shown of what is collected.
        page: the view.
        detail: whether the selected syscall is opened.
        syscall: the selected syscall; stays selected while it makes no calls.
        errno: of the opened syscall, only the calls that failed with this error; None for all.
        examples: the last calls that failed with it, however fast, newest first.
        by_value: whether its calls are shown by the values of an argument, not by process.
        quantity: which argument, or what is returned; None where none can be counted.
        values: the counts so far; why there are none; None while counting begins.
        counted: whether what is on show is being counted, or about to be.
        countable: whether another argument, or counting anew, could be of any use.
        refused: the last key asked for something that a pause does not allow.
        origin: the story from which the syscall was opened; None if it was not from one.
        story: the call whose story is on show, over everything else.
        pinned: the user has done something: what is selected stays selected, wherever it moves.
        paused: the picture stands still.
        cursor_ns: the moment on show, while paused: the end of an interval; None for the newest.
        marked: the window that is being set while paused; None for none.
        zoom: the window that every panel shows; None for the interval at the cursor.
        adding: how much of the window has been added up, from 0 to 1; None where all has.
        heatmap: latency over time is on show in place of the histogram.
        band_ns: of slow calls only those that took so long, from and up to; None for all.
        compared: the window that the present is compared with; None for none.
        comparison: what has changed since; why nothing can be said; None while it is looked for.
        recording: what is said of the recording in the header; empty while there is none.
        speed: how fast a recording is replayed.
        sorting: ``s`` was the last key.
        prompt: the open prompt.
        help: the help is open.
    """

    mode: str = "LIVE"
    limits: str = ""
    interval_s: float = 1.0
    most: int | None = None
    sort: str = "rate"
    inverted: bool = False
    filter: Filter = field(default_factory=Filter)
    page: Page = Page.DASHBOARD
    detail: bool = False
    syscall: Syscall | None = None
    errno: int | None = None
    examples: tuple[SlowCall, ...] = ()
    by_value: bool = False
    quantity: Quantity | None = None
    values: Distribution | str | None = None
    counted: bool = False
    countable: bool = False
    refused: bool = False
    origin: Origin | None = None
    story: SlowCall | None = None
    pinned: bool = False
    paused: bool = False
    cursor_ns: int | None = None
    marked: Window | None = None
    zoom: Window | None = None
    adding: float | None = None
    heatmap: bool = False
    band_ns: tuple[int, int] | None = None
    compared: Window | None = None
    comparison: Comparison | str | None = None
    recording: str = ""
    speed: float = 1.0
    sorting: bool = False
    prompt: Prompt | None = None
    help: bool = False

    @property
    def sorted_by(self) -> str:
        """What the main table is ordered by: some are always by the same."""
        if self.detail and self.by_value:
            return "value" if self.quantity and self.quantity.bucketed else "calls"
        return self.sort if self.detail else _ALWAYS_BY.get(self.page, self.sort)

    @property
    def example(self) -> Example | None:
        """Which failed calls are to be listed one by one, however fast."""
        if not self.detail or self.syscall is None or self.errno is None:
            return None
        return self.syscall.nr, self.syscall.abi, self.errno

    @property
    def question(self) -> Question | None:
        """Which values are on show, and of which of the opened syscall's calls.

        Those that the filter shows, as far as it can be had: it is applied by the probe, which
        knows no part of a name and no regular expression.
        """
        if not self.detail or not self.by_value or self.quantity is None:
            return None
        return Question(self.quantity, self.filter.pid, self.errno)

    def only(self, syscall: str) -> str:
        """The opened syscall's name for a title, with the error that was chosen, if one was."""
        chosen = f": {errno_name(self.errno)}" if self.detail and self.errno is not None else ""
        return f"{syscall}{chosen}"

    def contexts(self, panel: Context | None = None) -> list[Context]:
        """The contexts in which keys are looked up now, the most special first.

        ``panel`` is the one of the panel that has the focus, if it has keys of its own.
        """
        if self.prompt:
            return [Context.PROMPT]
        if self.help:
            return [Context.HELP]
        where = Context.DETAIL if self.detail else Context[self.page.name]
        if self.story:
            where = Context.STORY
        pace = [Context.PAUSED if self.paused else Context.LIVE]
        if self.mode == REPLAY:
            pace.append(Context.REPLAY)
            if self.zoom or self.marked:
                pace.append(Context.AWAY)
        else:
            pace.append(Context.COLLECTING)
            if self.paused:
                pace.append(Context.BEHIND)
        if self.zoom:
            pace.insert(0, Context.ZOOMED)
        contexts = [where, *pace, Context.ALWAYS]
        by_value = where is Context.DETAIL and self.by_value
        if by_value:
            contexts.remove(where)
        elif where not in _IN_ONE_ORDER:
            contexts.insert(1, Context.SORTED)
        if where is not Context.STORY:
            contexts.insert(1, Context.LISTS)
        # From the list of errors, the way back is not by way of the syscall's other calls.
        # Nor is that to a story behind which the error was chosen already.
        direct = self.page is Page.ERRORS or (
            self.origin is not None and self.origin.errno == self.errno
        )
        if where is Context.DETAIL and self.errno is not None and not direct:
            contexts.insert(0, Context.ERRNO)
        if by_value:
            contexts[:0] = [*self._counting(), Context.VALUES]
        if panel is Context.REGION:
            contexts.insert(0, Context.HEATMAP)
        if panel is not None:
            contexts.insert(0, panel)
        if self.filter and where is not Context.STORY:
            contexts.insert(0, Context.FILTERED)
        if self.sorting:
            contexts.insert(0, Context.SORTING)
        return contexts

    def _counting(self) -> list[Context]:
        """The contexts of what can be done with the values on show."""
        if self.quantity is None or not self.countable:
            return []
        if self.paused:
            return [Context.STILL]
        if self.quantity.textual:
            return [Context.COUNTED]
        kind = Context.RANGES if self.quantity.bucketed else Context.NUMBERS
        return [kind, Context.COUNTED]


def regex_hint(name: str, before: str = "") -> str:
    """How to write a regular expression, after ``before``, if a name looks like an attempt at one.

    Empty if it does not, or is one.
    """
    is_one = len(name) > 1 and name.startswith("/") and name.endswith("/")
    if is_one or not (name.startswith("/") or set(name) & set("|^$[]()*+?\\")):
        return ""
    return f"{before}a regular expression goes between slashes: /…/"


@dataclass(frozen=True, eq=False)
class Scene:
    """What frames show: the past up to a moment, and its newest interval under the filter.

    The same one as long as neither changes, for it keeps what has been added up.

    Attributes:
        past: the past, up to the moment on show or in the window on show.
        view: its snapshot under the filter.
        timeline: all intervals that are known; None where there is no strip to show them.
        strip: the time that strip and heatmap show.
        heat: latencies over that time; None where there is no heatmap.
    """

    past: Past
    view: View
    timeline: Timeline | None = None
    strip: Window = NOTHING
    heat: Heat | None = None

    @property
    def nothing(self) -> str:
        """What to say where the filter leaves no calls at all; empty if there are some."""
        shown = self.view.filter
        if not shown or len(self.view.calls):
            return ""
        return f"no process matches the filter{regex_hint(shown.name or '', '; ')}"

    @cached_property
    def slow(self) -> list[SlowCall]:
        """The slow calls that pass the filter, newest first."""
        return self.view.filter.slow(self.past.slow)

    @cached_property
    def in_flight(self) -> tuple[list[SlowCall], list[SlowCall]]:
        """The calls in flight that pass the filter, the longest first.

        First those that are not by nature long, then those whose purpose is to wait.
        """
        calls = self.view.filter.slow(self.view.snapshot.in_flight)
        by_waiting: tuple[list[SlowCall], list[SlowCall]] = ([], [])
        for call in calls:
            by_waiting[waits(call.syscall.nr, call.syscall.abi)].append(call)
        return by_waiting

    @property
    def in_flight_counts(self) -> tuple[int, int]:
        """How many these are; cheaper where nothing is filtered."""
        calls = self.view.snapshot.in_flight
        if self.view.filter or not isinstance(calls, CallsInFlight):
            others, by_nature = self.in_flight
            return len(others), len(by_nature)
        waiting = calls.waiting()
        return len(calls) - waiting, waiting

    @property
    def in_flight_unlisted(self) -> int:
        """Calls in flight that are not listed; whose they are is not known, so no filter passes."""
        return 0 if self.view.filter else self.view.snapshot.in_flight_more

    def of_syscall(self, state: UiState) -> Table:
        """The calls of the opened syscall, of the chosen error if there is one, by every key."""
        calls = self.view.of_syscall(state.syscall or Syscall(-1))
        if state.detail and state.errno is not None:
            return calls.select(calls.errno == state.errno)
        return calls


def scene(
    past: Past,
    shown: Filter,
    before: Scene | None = None,
    *,
    strip: Window = NOTHING,
    timeline: Timeline | None = None,
    heat: Heat | None = None,
) -> Scene:
    """The past as a filter shows it; ``before``, if it shows the same."""
    if before is not None and before.past is past and before.view.filter == shown:
        if before.strip == strip and before.timeline is timeline and before.heat is heat:
            return before
        return replace(before, strip=strip, timeline=timeline, heat=heat)
    return Scene(past, view(past.snapshot, shown), timeline, strip, heat)
