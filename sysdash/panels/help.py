"""The help: what the keys do, from the key table, and what the numbers mean."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from sysdash.buckets import QUANTILE_ERROR
from sysdash.keys import BINDINGS, Context, find, label
from sysdash.panels.cells import Line
from sysdash.panels.scrolling import ScrollingPanel
from sysdash.panels.summary import LOSSES

_KEYS_WIDTH = 22


def _losses(*, missing: bool) -> str:
    """The losses of a kind, explained by every name that they have."""
    return "; ".join(
        f"{' or '.join(loss.labels)}, {loss.help}"
        for loss in LOSSES.values()
        if loss.missing is missing
    )


NOTES: dict[str, str] = {
    "Mouse": """
        A click selects a row and gives its panel the focus; the wheel scrolls. In the timeline a
        click moves the cursor, dragging sets a window, a click into it zooms, and so does the
        wheel. In the heatmap a click selects a cell, dragging a region.
        """,
    "Time": """
        What is on show is the newest interval; paused, the one at the cursor, as it was seen then;
        zoomed, all of the window, with rates over its length. The timeline shows all calls per
        second, whatever is filtered. Old time may be coarser, where there is too little memory.
        """,
    "Heatmap": """
        A column is a piece of the timeline's time, a row the latencies from its label up to the
        next one's, a colour how many calls there were, by powers of ten.
        """,
    "Changes": """
        m marks a window; what comes later, or the window on show, is compared with it. Rows that
        differ by no more than they go up and down by themselves are dim.
        """,
    "calls/s, errors/s, time/s": """
        Calls, failed calls, and time spent in calls, for each second of the window. Ten threads
        that wait all the time spend 10 s/s. A call counts in the window in which it ends.
        """,
    "p50, p90, p99": f"""
        Half, 90 % and 99 % of the calls took at most this long; true within
        {100 * QUANTILE_ERROR:.0f} %. max is exact.
        """,
    "Bars and trends": """
        A bar compares what the table is sorted by. The trend at the right (rates, calls/s over
        time) compares a row's rate with its own largest, one block an interval, the newest last.
        """,
    "Working and waiting": """
        Waiting is the time in calls whose purpose is to wait (poll, select, epoll_wait, futex,
        nanosleep, wait4, accept and their like), working the time in all others. This goes by
        the kind of call: a read that blocks counts as working. With --off-cpu it is measured:
        waiting is the time in any call during which its thread is off the CPU, asleep or because
        others have the CPU, and working the time on it. Then it is shown of the selected syscall,
        too, and a column tells the share of waiting of a row's time, where there is room.
        """,
    "Slow calls and their story": """
        A call is slow that took longer than its threshold. Its line says what its arguments stand
        for: the file behind a descriptor, paths, addresses, names of flags; its story says it all,
        with the stack that led to the call. A file that was closed by the time it was looked up
        is shown as what it was when it was last seen, and says so.
        """,
    "Examples": """
        While an error of a syscall is chosen, the calls that fail with it are listed one by one,
        however fast they are: the last 200 since it was chosen, of those that come very fast only
        some in each second. They do not count as slow.
        """,
    "Values of an argument": """
        "a" in an opened syscall counts how many of its calls have each value of an argument, or of
        what they return, from that moment on: of all calls that are collected, or of one process
        (p), or of those that fail with the chosen error. They are counted as long as they are on
        show, also behind a pause; another argument, PID or error begins anew. During a pause
        nothing does: what is on show is kept.
        """,
    "In flight": """
        Calls that have been inside the kernel for longer than their threshold and have not
        returned, with how long so far; "≥" where a call began before sysdash did. Those whose
        purpose is to wait come last and dimmed, for that is what they do all day. In the summary,
        "2 +35" is two calls of other kinds, which may wait as well, as a read of a pipe does, and
        35 more that wait by nature or are not listed.
        """,
    "Filters": """
        The prompts choose what is shown of everything that is collected, so clearing them loses
        nothing. A name is a part of the process's name, in any case; a regular expression goes
        between slashes, and there case matters. What was limited when sysdash was started stands
        in the header after "only".
        """,
    "Processes": """
        Those that made calls in the window; some of them may have ended since. "alive now" counts
        all that were there at its end.
        """,
    "Lost": f"""
        Calls that are missing in the numbers since the start: {_losses(missing=True)}. 0 means
        that the numbers are complete. Nothing is missing in them where one of these is shown:
        {_losses(missing=False)}.
        """,
}


def key_lines() -> list[tuple[str, list[tuple[str, str]]]]:
    """The key table by context: (heading, [(keys, what they do)]); without the help's own keys."""
    sections: dict[Context, list[tuple[str, str]]] = {}
    for binding in BINDINGS:
        if binding.context is not Context.HELP:
            names = "  ".join(label(key) for key in binding.keys)
            sections.setdefault(binding.context, []).append((names, binding.help))
    return [
        (f"Keys: {context.value}" if context.value else "Keys", lines)
        for context, lines in sorted(
            sections.items(), key=lambda item: item[0] is not Context.ALWAYS
        )
    ]


def keys_now(contexts: Sequence[Context]) -> list[tuple[str, str]]:
    """Keys and what they do in some contexts; not those that hold always."""
    found = []
    for binding in BINDINGS:
        names = [label(key) for key in binding.keys if find(key, contexts) is binding]
        if names and binding.context is not Context.ALWAYS:
            found.append(("  ".join(names), binding.help))
    return found


class HelpPanel(ScrollingPanel):
    """The whole help."""

    @override
    def title(self) -> str:
        return "Help"

    @override
    def text(self, columns: int) -> list[Line]:
        lines: list[Line] = []
        now = replace(self.state, help=False).contexts()
        for heading, keys in [("Keys here, now", keys_now(now)), *key_lines()]:
            lines += [[], [("title", f" {heading}")]]
            for names, does in keys:
                wrapped = textwrap.wrap(does, max(columns - _KEYS_WIDTH - 2, 10))
                for i, part in enumerate(wrapped):
                    shown = names if i == 0 else ""
                    lines.append([("key", f" {shown:<{_KEYS_WIDTH}}"), ("text", part)])
        for heading, note in NOTES.items():
            lines += [[], [("title", f" {heading}")]]
            lines += [
                [("text", f" {part}")]
                for part in textwrap.wrap(" ".join(note.split()), max(columns - 2, 10))
            ]
        return lines[1:]
