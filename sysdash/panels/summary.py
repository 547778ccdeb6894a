"""The panel of totals: the machine, what was lost, and sysdash itself."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from sysdash import units
from sysdash.model import Table
from sysdash.panels.base import Panel
from sysdash.panels.cells import Line, area, fill, spread, time_per_second
from sysdash.ui_state import Scene

_GRAPH_ROWS = 5
_ALWAYS = 0

Entry = tuple[int, Line]
"""A line and how soon it is left out where rows are few: never for 0, the largest first."""


def busiest(calls: Table, most: int) -> list[tuple[str, float]]:
    """The names of the ``most`` busiest processes and their calls per second."""
    if not len(calls):
        return []
    pids, first, inverse = np.unique(calls.pid, return_index=True, return_inverse=True)
    counts = np.bincount(inverse.ravel(), weights=calls.count)
    order = np.lexsort([pids, -counts])[:most]
    seconds = calls.interval_s or 1.0
    return [(units.safe(bytes(calls.comm[first[i]])), float(counts[i]) / seconds) for i in order]


class SummaryPanel(Panel):
    """Totals of the interval for what is shown, and facts about the machine and sysdash.

    Where there is room, also the rate over time and the busiest processes.
    """

    focusable = False

    @override
    def title(self) -> str:
        return "Summary"

    @override
    def lines(self, columns: int, rows: int, focus: bool) -> list[Line]:
        if self.scene is None:
            return []
        entries = self._entries(self.scene, columns, rows)
        while len(entries) > rows:
            worst = max(range(len(entries)), key=lambda i: (entries[i][0], i))
            if entries[worst][0] == _ALWAYS:
                break
            del entries[worst]
        lines = [line for _, line in entries]
        if rows - len(lines) >= _GRAPH_ROWS + 2:
            lines += self._graph(self.scene, columns)
        if rows - len(lines) >= 5:
            lines += self._processes(self.scene, columns, rows - len(lines) - 2)
        return lines

    @staticmethod
    def _pair(columns: int, name: str, value: str, style: str = "text", label: str = "dim") -> Line:
        return [("text", " "), *spread([(label, name)], [(style, value)], columns - 2)]

    def _entries(self, scene: Scene, columns: int, rows: int) -> list[Entry]:
        def pair(name: str, value: str, style: str = "text") -> Line:
            return self._pair(columns, name, value, style)

        totals, snapshot = scene.view.totals, scene.view.snapshot
        host = snapshot.host
        processes = f"{units.count(totals.processes, 6)}/{units.count(host.processes, 6)}"
        cpu, memory = f"{100 * host.self_cpu:.1f}%", units.bytes_(host.self_bytes)
        entries: list[Entry] = [
            (_ALWAYS, pair("syscalls/s", units.rate(totals.rate), "strong")),
            (
                _ALWAYS,
                pair(
                    "errors/s",
                    units.rate(totals.error_rate),
                    "error" if totals.error_rate else "text",
                ),
            ),
            (1, pair("mean", units.duration(totals.mean_ns))),
            (7, []),
            (_ALWAYS, pair("working", f"{time_per_second(totals.working * 1e9, 1)}/s")),
            (_ALWAYS, pair("waiting", f"{time_per_second(totals.waiting * 1e9, 1)}/s")),
            (6, [("dim", " (by kind of call)")]),
            (7, []),
            (2, pair("kernel CPU", f"{100 * host.kernel_cpu:.0f}%")),
            (3, pair("processes", processes)),
            (
                _ALWAYS,
                pair("slow calls", units.count(totals.slow, 7), "warn" if totals.slow else "text"),
            ),
            *self._losses(scene, columns),
            (7, []),
        ]
        if len(entries) - 3 + 2 > rows:
            entries.append((4, pair("sysdash", f"{cpu} {memory}")))
        else:
            entries.append((4, pair("sysdash CPU", cpu)))
            entries.append((5, pair("memory", memory)))
        return entries

    def _losses(self, scene: Scene, columns: int) -> list[Entry]:
        snapshot = scene.view.snapshot
        if not snapshot.lost_total:
            return [(_ALWAYS, self._pair(columns, "lost", "0"))]
        total = self._pair(columns, "lost", units.count(snapshot.lost_total), "lost", "lost")
        # Which kinds is worth more than anything but the totals.
        return [
            (_ALWAYS, [("lost" if style == "dim" else style, text) for style, text in total]),
            *(
                (_ALWAYS, self._pair(columns, f" {name}", units.count(count, 7), "error", "error"))
                for name, count in snapshot.lost.items()
                if count
            ),
        ]

    @staticmethod
    def _graph(scene: Scene, columns: int) -> list[Line]:
        width = columns - 2
        past = scene.past.rates(scene.view.filter, width)
        totals = [sum(rates.values()) for rates in past]
        most = units.rate(max(totals, default=0.0))
        title = spread([("dim", "syscalls/s")], [("dim", f"peak {most}")], width)
        rows = area(totals, width, _GRAPH_ROWS)
        return [
            [],
            [("text", " "), *title],
            *([("text", " "), ("trend", row)] for row in rows),
        ]

    def _processes(self, scene: Scene, columns: int, most: int) -> list[Line]:
        lines: list[Line] = [[], [("dim", " busiest processes")]]
        for name, rate in busiest(scene.view.calls, min(most, 20)):
            right: Line = [("text", f" {units.rate(rate)}/s")]
            lines.append(
                fill([("text", " "), *spread([("name", name)], right, columns - 2)], columns)
            )
        return lines
