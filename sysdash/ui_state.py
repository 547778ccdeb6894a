"""What the user has chosen, and what a frame is drawn from. Plain data: no urwid here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from sysdash.history import Past
from sysdash.keys import Context
from sysdash.limits import INTERVAL_S
from sysdash.model import Filter, SlowCall, Syscall, View, view

INTERVALS_S = (INTERVAL_S[0], 0.2, 0.5, 1.0, 2.0, 5.0, INTERVAL_S[1])
"""The refresh intervals that + and - go through, in seconds."""


class Page(Enum):
    """The views that v goes through."""

    DASHBOARD = "dashboard"
    PROCESSES = "processes"
    ERRORS = "errors"


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
        pinned: the user has done something: what is selected stays selected, wherever it moves.
        paused: the picture stands still.
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
    pinned: bool = False
    paused: bool = False
    sorting: bool = False
    prompt: Prompt | None = None
    help: bool = False

    @property
    def sorted_by(self) -> str:
        """What the main table is ordered by: errors are always by their rate."""
        return "rate" if self.page is Page.ERRORS and not self.detail else self.sort

    def contexts(self, panel: Context | None = None) -> list[Context]:
        """The contexts in which keys are looked up now, the most special first.

        ``panel`` is the one of the panel that has the focus, if it has keys of its own.
        """
        if self.prompt:
            return [Context.PROMPT]
        if self.help:
            return [Context.HELP]
        where = Context.DETAIL if self.detail else Context[self.page.name]
        pace = Context.PAUSED if self.paused else Context.LIVE
        contexts = [where, pace, Context.ALWAYS]
        if where is not Context.ERRORS:
            contexts.insert(1, Context.SORTED)
        if panel is not None:
            contexts.insert(0, panel)
        if self.filter:
            contexts.insert(0, Context.FILTERED)
        if self.sorting:
            contexts.insert(0, Context.SORTING)
        return contexts


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
    """

    past: Past
    view: View

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


def scene(past: Past, shown: Filter, before: Scene | None = None) -> Scene:
    """The past as a filter shows it; ``before``, if it shows the same."""
    if before is not None and before.past is past and before.view.filter == shown:
        return before
    return Scene(past=past, view=view(past.snapshot, shown))
