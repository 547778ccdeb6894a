"""The whole story of one call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest

from typing_extensions import override

from sysdash import units
from sysdash.model import SlowCall
from sysdash.panels.bars import seconds
from sysdash.panels.calls import PAUSED, UNKNOWN, Tell, begin_ns, find, same, told, took
from sysdash.panels.cells import Line, Segment, blank, fill
from sysdash.panels.scrolling import ScrollingPanel
from sysdash.panels.stacks import Missing, Stacks
from sysdash.story import Story
from sysdash.syscalls import errno_name, error_text, waits
from sysdash.ui_state import Scene, UiState

_WIDE = 120
_MOST_OF_FACTS = 90
_LEAST_OF_LABEL, _MOST_OF_LABEL = 8, 16
_LEAST_OF_MODULE, _MOST_OF_MODULE = 6, 24

_Fact = Callable[[str, str, str], list[Line]]


def wrapped(text: str, columns: int) -> list[str]:
    """A text in pieces of at most ``columns``, cut at a space or slash if one is near the end."""
    pieces = []
    while units.width(text) > columns:
        # Wide characters may leave a column over.
        piece = units.fit(text, columns + 1)[:-1]
        end = max(piece.rfind(" ") + 1, piece.rfind("/"))
        if end > len(piece) * 2 // 3:
            piece = piece[:end]
        if not piece:
            break
        pieces.append(piece.rstrip())
        text = text[len(piece) :].lstrip()
    return [*pieces, text] if text or not pieces else pieces


def _clock(time_ns: int) -> str:
    at = time.localtime(time_ns // 1_000_000_000)
    return f"{time.strftime('%H:%M:%S', at)}.{time_ns // 1_000_000 % 1000:03}"


def _moment(time_ns: int, now_ns: int) -> str:
    """A time of day, with its date if that is not today's."""
    days = [time.localtime(ns // 1_000_000_000)[:3] for ns in (time_ns, now_ns)]
    date = "" if days[0] == days[1] else "{}-{:02}-{:02} ".format(*days[0])
    return date + _clock(time_ns)


class StoryPanel(ScrollingPanel):
    """What is known of one call; one that is in flight is followed until it returns."""

    def __init__(self, state: UiState, tell: Tell, stacks: Stacks) -> None:
        """A panel that shows what ``tell`` says of the call, and its stack from ``stacks``."""
        super().__init__(state)
        self._tell = tell
        self._stacks = stacks
        self._place: tuple[int, int] | None = None
        self._gone = False
        self._seen = True
        self._stack_of: tuple[SlowCall | None, tuple[str, ...]] = (None, ())

    def open(self, call: SlowCall) -> None:
        """Show a call's story, from its beginning."""
        self.state.story = call
        self._gone, self._seen = False, True
        self.scroll_to(0)

    def stands(self, place: int | None, count: int) -> None:
        """Say that the call has this place, from 0 on, in a list of so many; None for none."""
        self._place = None if place is None else (place + 1, count)

    @override
    def update(self, scene: Scene | None, state: UiState) -> None:
        super().update(scene, state)
        call = state.story
        if scene is None or call is None or call.ret is not None:
            return
        snapshot = scene.view.snapshot
        calls = (*snapshot.in_flight, *scene.past.slow)
        place = find(call, calls)
        self._seen = place is not None or call.time_ns >= snapshot.time_ns
        # There may be more calls in flight than are listed.
        self._gone = not self._seen and not snapshot.in_flight_more
        if place is not None:
            now = calls[place]
            # A glance that saw nothing does not make what is known unknown.
            known = now.args or not call.args
            state.story = now if known else replace(now, args=call.args, detail=call.detail)

    @override
    def title(self) -> str:
        call = self.state.story
        if call is None:
            return "Story"
        chosen = self.state.example is not None
        kind = "Failed call" if chosen and call.errno is not None else "Slow call"
        if call.ret is None and not self._gone:
            kind = "In flight"
        title = f"{kind} {call.syscall.name}"
        return "{} — {:,} of {:,}".format(title, *self._place) if self._place else title

    # --- The text ---

    @override
    def text(self, columns: int) -> list[Line]:
        call = self.state.story
        if call is None:
            return []
        story = told(self._tell, call)
        if columns < _WIDE:
            return [*self._facts(call, story, columns), [], *self._stack(call, columns)]
        left = min(columns * 9 // 20, _MOST_OF_FACTS)
        facts = self._facts(call, story, left)
        stack = self._stack(call, columns - left - 2)
        stack += [[]] * (self._rows - len(stack))
        return [
            [*(fill(fact, left) if fact else blank(left)), ("border", " │"), *(frame or [])]
            for fact, frame in zip_longest(facts, stack)
        ]

    def _headline(self, call: SlowCall) -> Line:
        name: Line = [("text", " "), ("strong", call.syscall.name)]
        duration = ("warn", took(call))
        if call.ret is not None:
            return [*name, ("text", " took "), duration]
        if self._gone:
            after = [("text", " has returned, after "), ("warn", f"≥{took(call).lstrip('≥')}")]
            return [*name, *after]
        if not self._seen:
            return [*name, ("text", " was last seen after "), duration]
        waiting = waits(call.syscall.nr, call.syscall.abi)
        doing = " has waited for " if waiting else " has not returned for "
        return [*name, ("text", doing), duration]

    def _facts(self, call: SlowCall, story: Story, columns: int) -> list[Line]:
        last = f"last {seconds(self.scene.view.snapshot.interval_s)}" if self.scene else ""
        labels = [last, *(argument.name for argument in story.arguments)]
        width = max(_LEAST_OF_LABEL, *map(units.width, labels))
        width = min(width, _MOST_OF_LABEL)

        def fact(label: str, text: str, style: str = "text") -> list[Line]:
            lines: list[Line] = []
            for part in wrapped(text, max(columns - width - 4, 10)):
                shown = "" if lines else units.fit(label, width)
                lines.append([("dim", f" {units.pad(shown, width)}  "), (style, part)])
            return lines

        lines: list[Line] = [self._headline(call), []]
        now_ns = self.scene.view.snapshot.time_ns if self.scene else call.time_ns
        began, until = _moment(begin_ns(call), now_ns), _moment(call.time_ns, now_ns)
        when = f"before {began}" if call.at_least else began
        if call.ret is not None:
            lines += fact("when", f"{when} to {until}")
        else:
            lines += fact("since", when if self._seen else f"{when}, last seen at {until}")
        lines += fact("process", call.comm, "name")
        lines += fact("pid, tid", f"{call.pid}, {call.tid}")
        lines += self._result(call, story, fact)
        if story.target:
            target = story.target if story.certain else f"was {story.target} when last seen"
            lines += fact("file", target)
        if story.path is not None and story.path != story.target:
            lines += fact("path", story.path)
        if last:
            lines += fact(last, self._others(call), "dim")
        lines += [[], [("title", " Arguments")]]
        if not call.args:
            return [*lines, [self._not_known()]]
        for argument in story.arguments:
            lines += fact(argument.name, argument.text)
        if not story.arguments:
            lines.append([("dim", " none")])
        return lines

    def _result(self, call: SlowCall, story: Story, fact: _Fact) -> list[Line]:
        if call.ret is None:
            unknown = "none yet"
            if self._gone:
                unknown = "not known: it was not recorded, or the thread has ended"
            elif not self._seen:
                unknown = "not known: more calls are in flight than are listed"
            return fact("result", unknown, "dim")
        if call.errno is None:
            return fact("result", story.result, "text")
        words = error_text(call.errno)
        name = errno_name(call.errno)
        return fact("result", f"{name}: {words}" if words else name, "error")

    def _not_known(self) -> Segment:
        return "dim", f" {PAUSED if self.state.paused else f'{UNKNOWN} not known yet'}"

    def _others(self, call: SlowCall) -> str:
        """How long the calls of this syscall took in the interval on show, under the filter."""
        shown = ", of those shown" if self.state.filter else ""
        row = self.scene.view.by_syscall.find(call.syscall) if self.scene else None
        if row is None:
            return f"no other calls{shown}"
        if not row.timed:
            return f"no times of other calls{shown}"
        p50, p99, most = map(units.duration, (row.p50_ns, row.p99_ns, row.max_ns))
        return f"p50 {p50}, p99 {p99}, max {most}{shown}"

    def _frames(self, call: SlowCall) -> tuple[str, ...] | Missing:
        """A call's stack, which takes its time: looked up once for a story that is on show."""
        before, known = self._stack_of
        if before is call:
            return known
        frames = self._stacks.of(call)
        if not isinstance(frames, Missing):
            self._stack_of = (call, frames)
        elif before is not None and known and same(before, call):
            # Another look at a call in flight: what was seen last, until there is more.
            return known
        return frames

    def _stack(self, call: SlowCall, columns: int) -> list[Line]:
        lines: list[Line] = [[("title", " Stack"), ("dim", ", innermost first")]]
        if not call.args:
            return [*lines, [self._not_known()]]
        found = self._frames(call)
        if isinstance(found, Missing) or not found:
            why = found.value if isinstance(found, Missing) else _no_stack(call)
            return [*lines, *([("dim", f" {part}")] for part in wrapped(why, columns - 2))]
        frames = [_split(frame) for frame in found]
        width = max(_LEAST_OF_MODULE, *(units.width(module) for module, _ in frames))
        width = min(width, _MOST_OF_MODULE)
        for module, function in frames:
            shown = units.pad(module, width)
            for part in wrapped(function, max(columns - width - 4, 10)):
                lines.append([("dim", f" {shown}  "), ("text", part)])
                shown = " " * width
        return lines


def _split(frame: str) -> tuple[str, str]:
    """Where a frame is from, and the function; the place in the file where it has no name."""
    module, named, function = frame.rpartition("`")
    if named:
        return module, function
    file, plus, offset = frame.rpartition("+0x")
    return (file, plus + offset) if plus else ("", frame)


def _no_stack(call: SlowCall) -> str:
    if call.ret is None:
        return "not readable: the thread runs just now, has ended, or may not be looked into"
    return (
        "none: stacks are switched off ([slow] stacks = false), or the process had ended before "
        "its stack could be read"
    )
