"""The one table of keys: dispatch, footer, help and documentation all read it.

A key does something in a *context*: always, in one view, while paused, right after ``s``, in a
prompt, in the help. :func:`find` gets the contexts that hold now, the most special first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto


class Context(Enum):
    """Where a binding holds; the value says so in the help."""

    ALWAYS = ""
    LISTS = "all but a call's story"
    DASHBOARD = "dashboard"
    DETAIL = "one syscall"
    CALLERS = "one syscall's processes"
    ERRNOS = "one syscall's errors"
    ERRNO = "one syscall's error"
    VALUES = "one syscall's values"
    COUNTED = "one syscall's values, if they can be counted"
    NUMBERS = "one syscall's values that are numbers"
    RANGES = "one syscall's values by powers of two"
    STILL = "one syscall's values, paused"
    HELD = "slow calls or examples, one selected"
    STORY = "a call's story"
    PROCESSES = "processes"
    IN_FLIGHT = "in-flight calls"
    ERRORS = "errors"
    COMPARISON = "changes"
    BEHIND = "paused, not in a replay"
    AWAY = "a replay, in a window"
    COLLECTING = "not in a replay"
    HEATMAP = "the heatmap"
    REGION = "the heatmap, with a region"
    LIVE = "running"
    REPLAY = "replay"
    PAUSED = "paused"
    ZOOMED = "zoomed in"
    SORTED = "dashboard, one syscall, processes"
    FILTERED = "with a filter"
    SORTING = "right after s"
    PROMPT = "prompt"
    HELP = "help"


class Command(Enum):
    """What a key can do."""

    UP = auto()
    DOWN = auto()
    PAGE_UP = auto()
    PAGE_DOWN = auto()
    FIRST = auto()
    LAST = auto()
    OPEN = auto()
    OPEN_STORY = auto()
    NEXT_CALL = auto()
    PREVIOUS_CALL = auto()
    CHOOSE_ERRNO = auto()
    ALL_ERRNOS = auto()
    SHOW_VALUES = auto()
    NEXT_ARGUMENT = auto()
    PREVIOUS_ARGUMENT = auto()
    CHANGE_KIND = auto()
    COUNT_ANEW = auto()
    STAND_STILL = auto()
    LEAVE_VALUES = auto()
    FILTER_PROCESS = auto()
    BACK = auto()
    SORT_NEXT = auto()
    SORT_RATE = auto()
    SORT_LATENCY = auto()
    SORT_TOTAL = auto()
    SORT_INVERT = auto()
    PROMPT_PID = auto()
    PROMPT_NAME = auto()
    CLEAR_FILTERS = auto()
    PAUSE = auto()
    RESUME = auto()
    EARLIER = auto()
    LATER = auto()
    MUCH_EARLIER = auto()
    MUCH_LATER = auto()
    WINDOW_START = auto()
    WINDOW_END = auto()
    EXTEND_EARLIER = auto()
    EXTEND_LATER = auto()
    EXTEND_UP = auto()
    EXTEND_DOWN = auto()
    ZOOM = auto()
    ZOOM_OUT = auto()
    ZOOM_REGION = auto()
    DROP_REGION = auto()
    TO_THE_PRESENT = auto()
    HEAT = auto()
    MARK = auto()
    COMPARE = auto()
    RECORD = auto()
    PLAY_FASTER = auto()
    PLAY_SLOWER = auto()
    NEXT_PANEL = auto()
    NEXT_VIEW = auto()
    SLOWER = auto()
    FASTER = auto()
    HELP = auto()
    CLOSE_HELP = auto()
    RELEASE = auto()
    CLEAR_LINE = auto()
    ACCEPT = auto()
    CANCEL = auto()
    QUIT = auto()


@dataclass(frozen=True)
class Binding:
    """Keys and what they do somewhere.

    Attributes:
        keys: urwid's names.
        command: what they do.
        context: where.
        help: one line for the help and the documentation.
        short: a word for the footer; empty leaves it out there.
        weight: which bindings the footer keeps where not all fit; larger is kept longer.
    """

    keys: tuple[str, ...]
    command: Command
    context: Context
    help: str
    short: str = ""
    weight: int = 0


_A = Context.ALWAYS
_LISTS = Context.LISTS

BINDINGS: tuple[Binding, ...] = (
    Binding(("up", "k"), Command.UP, _A, "move the selection up"),
    Binding(("down", "j"), Command.DOWN, _A, "move the selection down"),
    Binding(("page up",), Command.PAGE_UP, _A, "a page up"),
    Binding(("page down",), Command.PAGE_DOWN, _A, "a page down"),
    Binding(("home",), Command.FIRST, _A, "to the first"),
    Binding(("end",), Command.LAST, _A, "to the last"),
    Binding(
        ("enter",),
        Command.OPEN,
        Context.DASHBOARD,
        "into the selected syscall: by process, by errno, by argument, its slow calls",
        "open",
        70,
    ),
    Binding(
        ("enter",),
        Command.FILTER_PROCESS,
        Context.CALLERS,
        "show only the selected process",
        "filter",
        55,
    ),
    Binding(
        ("enter",),
        Command.CHOOSE_ERRNO,
        Context.ERRNOS,
        "show only the calls that fail with the selected error, with examples; again: all",
        "filter",
        55,
    ),
    Binding(
        ("enter",),
        Command.OPEN_STORY,
        Context.HELD,
        "the whole story of the selected call: arguments, file, result, stack",
        "story",
        89,
    ),
    Binding(
        ("enter",),
        Command.OPEN_STORY,
        Context.IN_FLIGHT,
        "the whole story of the selected call, followed until it returns",
        "story",
        70,
    ),
    Binding(
        ("enter",),
        Command.OPEN,
        Context.STORY,
        "into the call's syscall",
        "syscall",
        70,
    ),
    Binding(
        ("n", "tab"),
        Command.NEXT_CALL,
        Context.STORY,
        "the story of the next call in the list",
        "next",
        72,
    ),
    Binding(
        ("N", "shift tab"),
        Command.PREVIOUS_CALL,
        Context.STORY,
        "the story of the call before it",
        "previous",
        52,
    ),
    Binding(
        ("enter",),
        Command.FILTER_PROCESS,
        Context.PROCESSES,
        "show only the selected process",
        "filter",
        70,
    ),
    Binding(
        ("enter",),
        Command.OPEN,
        Context.ERRORS,
        "into the selected error: who gets it, examples",
        "open",
        70,
    ),
    Binding(
        ("esc", "backspace"),
        Command.BACK,
        Context.STORY,
        "back to the list of calls",
        "back",
        80,
    ),
    Binding(
        ("esc", "backspace"),
        Command.ALL_ERRNOS,
        Context.ERRNO,
        "back to all calls of the syscall",
        "all calls",
        81,
    ),
    Binding(
        ("a",),
        Command.SHOW_VALUES,
        Context.DETAIL,
        "by argument: count its calls by the values of an argument, or of what they return",
        "values",
        68,
    ),
    Binding(
        ("a",),
        Command.NEXT_ARGUMENT,
        Context.COUNTED,
        "the next argument, at last what is returned",
        "next",
        72,
    ),
    Binding(("A",), Command.PREVIOUS_ARGUMENT, Context.COUNTED, "the argument before it"),
    Binding(
        ("b",),
        Command.CHANGE_KIND,
        Context.NUMBERS,
        "a histogram of them, by powers of two",
        "histogram",
        71,
    ),
    Binding(("b",), Command.CHANGE_KIND, Context.RANGES, "every value by itself", "values", 71),
    Binding(("c",), Command.COUNT_ANEW, Context.COUNTED, "count anew, from 0", "anew", 58),
    Binding(
        ("a", "A", "b", "c"),
        Command.STAND_STILL,
        Context.STILL,
        "nothing: what is on show is kept until Space",
    ),
    Binding(
        ("esc", "backspace"),
        Command.LEAVE_VALUES,
        Context.VALUES,
        "back to the syscall's processes; counting ends",
        "back",
        82,
    ),
    Binding(
        ("esc", "backspace"),
        Command.BACK,
        Context.DETAIL,
        "back from the syscall: to the story from which it was opened, if it was",
        "back",
        80,
    ),
    Binding(
        ("esc", "backspace"),
        Command.BACK,
        Context.PROCESSES,
        "back to the dashboard",
        "back",
        80,
    ),
    Binding(
        ("esc", "backspace"),
        Command.BACK,
        Context.IN_FLIGHT,
        "back to the dashboard",
        "back",
        80,
    ),
    Binding(
        ("esc", "backspace"),
        Command.BACK,
        Context.ERRORS,
        "back to the dashboard",
        "back",
        80,
    ),
    Binding(
        ("esc", "home"),
        Command.RELEASE,
        Context.HELD,
        "to the newest calls, and follow them again",
        "follow",
        88,
    ),
    Binding(
        ("r",),
        Command.SORT_RATE,
        Context.SORTING,
        "sort by rate: calls per second",
        "rate",
        95,
    ),
    Binding(
        ("l",),
        Command.SORT_LATENCY,
        Context.SORTING,
        "sort by latency: p99",
        "latency",
        95,
    ),
    Binding(
        ("t",),
        Command.SORT_TOTAL,
        Context.SORTING,
        "sort by total: time spent in the call",
        "total",
        95,
    ),
    Binding(
        ("s", "f6"),
        Command.SORT_NEXT,
        Context.SORTED,
        "next sort: rate, latency, total",
        "sort",
        60,
    ),
    Binding(("I",), Command.SORT_INVERT, _LISTS, "invert the sort", "invert", 10),
    Binding(("p",), Command.PROMPT_PID, _LISTS, "filter by process ID (empty clears)", "pid", 50),
    Binding(
        ("/", "f4"),
        Command.PROMPT_NAME,
        _LISTS,
        "filter by process name: part of it in any case, or /regular expression/ (empty clears)",
        "name",
        50,
    ),
    Binding(
        ("ctrl l",), Command.CLEAR_FILTERS, Context.FILTERED, "clear every filter", "clear", 85
    ),
    Binding(
        (" ",),
        Command.PAUSE,
        Context.LIVE,
        "pause the picture; collection continues behind",
        "pause",
        65,
    ),
    Binding(
        (" ",),
        Command.RESUME,
        Context.PAUSED,
        "go on with the newest; in a replay, from the cursor, at its end from the beginning",
        "go on",
        90,
    ),
    Binding(
        ("esc",),
        Command.TO_THE_PRESENT,
        Context.BEHIND,
        "back to the newest",
        "live",
        79,
    ),
    Binding(
        ("esc",),
        Command.TO_THE_PRESENT,
        Context.AWAY,
        "out of the window, to the cursor",
        "out",
        79,
    ),
    Binding(
        ("left",),
        Command.EARLIER,
        _LISTS,
        "back in time: pauses, and moves the cursor to the interval before",
    ),
    Binding(("right",), Command.LATER, _LISTS, "the cursor to the next interval"),
    Binding(
        ("<", "ctrl left"),
        Command.MUCH_EARLIER,
        _LISTS,
        "the cursor far back: ten intervals, or a twentieth of the timeline if that is more",
    ),
    Binding((">", "ctrl right"), Command.MUCH_LATER, _LISTS, "the same, on"),
    Binding(
        ("[",), Command.WINDOW_START, Context.PAUSED, "the window begins at the cursor", "begin", 47
    ),
    Binding(("]",), Command.WINDOW_END, Context.PAUSED, "the window ends at the cursor", "end", 46),
    Binding(
        ("shift left",),
        Command.EXTEND_EARLIER,
        Context.PAUSED,
        "move the cursor back, and have the window end or begin there",
    ),
    Binding(("shift right",), Command.EXTEND_LATER, Context.PAUSED, "the same, on"),
    Binding(
        ("z",),
        Command.ZOOM,
        Context.PAUSED,
        "zoom into the window: every panel shows it; without one, the minute up to the cursor; "
        "in a zoom, the half of it around the cursor",
        "zoom",
        64,
    ),
    Binding(
        ("z",),
        Command.ZOOM,
        Context.LIVE,
        "pause, and zoom into the last minute",
        "zoom",
        54,
    ),
    Binding(("Z",), Command.ZOOM_OUT, Context.ZOOMED, "zoom out, to the cursor", "out", 66),
    Binding(("Z",), Command.ZOOM_OUT, Context.PAUSED, "zoom to all that is remembered or recorded"),
    Binding(("Z",), Command.ZOOM_OUT, Context.LIVE, "pause, and zoom to all that is remembered"),
    Binding(
        ("H", "f12"),
        Command.HEAT,
        _LISTS,
        "heatmap of the selected syscall's latency over time, in place of the histogram",
        "heat",
        45,
    ),
    Binding(
        ("enter", "z"),
        Command.ZOOM_REGION,
        Context.REGION,
        "zoom to the cell or region, and list the slow calls in it",
        "zoom",
        72,
    ),
    Binding(("left",), Command.EARLIER, Context.HEATMAP, "move the cell to the left", "cell", 73),
    Binding(("right",), Command.LATER, Context.HEATMAP, "move the cell to the right"),
    Binding(("shift left",), Command.EXTEND_EARLIER, Context.HEATMAP, "extend the region"),
    Binding(("shift right",), Command.EXTEND_LATER, Context.HEATMAP, "extend the region"),
    Binding(("shift up",), Command.EXTEND_UP, Context.HEATMAP, "extend the region"),
    Binding(("shift down",), Command.EXTEND_DOWN, Context.HEATMAP, "extend the region"),
    Binding(
        ("esc",), Command.DROP_REGION, Context.REGION, "drop the region and the cell", "drop", 83
    ),
    Binding(
        ("m",),
        Command.MARK,
        _LISTS,
        "mark the window, or the last minute, and compare the present with it",
        "compare",
        40,
    ),
    Binding(("M",), Command.COMPARE, _LISTS, "compare with what is marked already"),
    Binding(
        ("esc", "backspace"),
        Command.BACK,
        Context.COMPARISON,
        "back to the dashboard",
        "back",
        80,
    ),
    Binding(("enter",), Command.OPEN, Context.COMPARISON, "into the selected syscall", "open", 70),
    Binding(("R",), Command.RECORD, Context.COLLECTING, "start or stop recording", "record", 25),
    Binding(("+",), Command.PLAY_FASTER, Context.REPLAY, "play faster, twice", "faster", 44),
    Binding(("-",), Command.PLAY_SLOWER, Context.REPLAY, "play slower, half as fast", "slower", 43),
    Binding(("tab",), Command.NEXT_PANEL, _A, "next panel", "panel", 20),
    Binding(
        ("v", "f2"),
        Command.NEXT_VIEW,
        _A,
        "next view: dashboard, processes, in-flight calls, errors",
        "view",
        55,
    ),
    Binding(("+",), Command.SLOWER, _A, "longer refresh interval, up to 10 s"),
    Binding(("-",), Command.FASTER, _A, "shorter refresh interval, down to 0.1 s"),
    Binding(("?", "h", "f1"), Command.HELP, _A, "help", "help", 92),
    Binding(("q", "f10"), Command.QUIT, _A, "quit", "quit", 91),
    Binding(("enter",), Command.ACCEPT, Context.PROMPT, "take what was typed", "take", 90),
    Binding(("ctrl u",), Command.CLEAR_LINE, Context.PROMPT, "clear the line"),
    Binding(("esc",), Command.CANCEL, Context.PROMPT, "leave everything as it was", "cancel", 90),
    Binding(("up", "k"), Command.UP, Context.HELP, "scroll up"),
    Binding(("down", "j"), Command.DOWN, Context.HELP, "scroll down"),
    Binding(("page up",), Command.PAGE_UP, Context.HELP, "scroll a page up"),
    Binding(("page down", " "), Command.PAGE_DOWN, Context.HELP, "scroll a page down", "page", 70),
    Binding(("home",), Command.FIRST, Context.HELP, "to the top"),
    Binding(("end",), Command.LAST, Context.HELP, "to the end"),
    Binding(
        ("esc", "backspace", "enter", "?", "h", "f1"),
        Command.CLOSE_HELP,
        Context.HELP,
        "close the help",
        "close",
        80,
    ),
    Binding(("q", "f10"), Command.QUIT, Context.HELP, "quit", "quit", 60),
)

_LABELS = {
    "up": "↑",
    "down": "↓",
    "page up": "PgUp",
    "page down": "PgDn",
    "home": "Home",
    "end": "End",
    "enter": "Enter",
    "backspace": "Backspace",
    "esc": "Esc",
    " ": "Space",
    "tab": "Tab",
    "shift tab": "Shift-Tab",
    "left": "←",
    "right": "→",
    "shift left": "Shift-←",
    "shift right": "Shift-→",
    "shift up": "Shift-↑",
    "shift down": "Shift-↓",
    "ctrl left": "Ctrl-←",
    "ctrl right": "Ctrl-→",
    "ctrl l": "Ctrl-L",
    "ctrl u": "Ctrl-U",
}


def label(key: str) -> str:
    """A key as people write it: ``Ctrl-L`` for urwid's ``ctrl l``, ``F10``, ``PgUp``."""
    if key in _LABELS:
        return _LABELS[key]
    return key.upper() if len(key) > 1 and key.startswith("f") else key


_BY_KEY = {(binding.context, key): binding for binding in BINDINGS for key in binding.keys}


def find(key: str, contexts: Iterable[Context]) -> Binding | None:
    """What a key does now; the first context of ``contexts`` that knows it decides."""
    for context in contexts:
        binding = _BY_KEY.get((context, key))
        if binding is not None:
            return binding
    return None


def footer(contexts: Sequence[Context]) -> list[Binding]:
    """The bindings that a footer can show, in the table's order; a shadowed key's is left out."""
    return [
        binding
        for binding in BINDINGS
        if binding.short and find(binding.keys[0], contexts) is binding
    ]


def markdown() -> str:
    """The table for the documentation."""
    lines = ["| key | where | does |", "|---|---|---|"]
    for binding in BINDINGS:
        names = " ".join(label(key) for key in binding.keys)
        lines.append(f"| {names} | {binding.context.value} | {binding.help} |")
    return "\n".join(lines) + "\n"
