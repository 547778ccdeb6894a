"""The panel of totals: the machine, what was lost, and sysdash itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from sysdash import units
from sysdash.panels.base import Panel
from sysdash.panels.cells import NONE, Line, area, spread, time_per_second
from sysdash.ui_state import Scene

_GRAPH_ROWS = 5
_COUNT = 5
_ALWAYS = 0

Entry = tuple[int, Line]
"""A line and how soon it is left out where rows are few: never for 0, the largest first."""


@dataclass(frozen=True)
class Loss:
    """A way in which something can be missing.

    Attributes:
        labels: its names, the longest first, of which the longest that fits is shown.
        missing: whether calls are missing in the numbers; if not, only in what is said about them.
        help: what it means.
    """

    labels: tuple[str, ...]
    missing: bool
    help: str


LOSSES: dict[str, Loss] = {
    "calls": Loss(("calls",), True, "calls that could not be counted at all"),
    "threads": Loss(("threads",), True, "threads of the command that could not be followed"),
    "missed": Loss(("probe missed", "missed"), True, "times that the kernel did not run the probe"),
    "damaged": Loss(("damaged",), True, "intervals of the recording that could not be read"),
    "unattributed": Loss(
        ("unattributed", "unattrib."),
        False,
        "calls of processes that there was no room for: every total is exact, but they are shown "
        "as one process, (others), PID 0",
    ),
    "stacks": Loss(
        ("stacks lost", "no stack"),
        False,
        "stacks of slow calls without names of functions, as the process had ended before it was "
        "known where its program is in memory",
    ),
    "off_cpu": Loss(
        ("waits lost", "no wait"),
        False,
        "times off the CPU that there was no room for, so that they count as work",
    ),
    "switches": Loss(
        ("waits inexact", "inexact"),
        False,
        "times off the CPU whose end was not seen, so that they are taken to last until the call "
        "ends or waits again",
    ),
    "slow_forgotten": Loss(
        ("slow forgotten", "forgotten"),
        False,
        "slow calls of an earlier time that were listed once: there was no room to keep them",
    ),
    "unlisted": Loss(
        ("slow not listed", "not listed"),
        False,
        "slow calls that were counted but are not in the list, as more came than it takes in a "
        "second",
    ),
}
"""What the panel calls losses; one that is not here has its own name and counts as missing."""

_HARMLESS = {kind for kind, loss in LOSSES.items() if not loss.missing}
_UNLISTED = ("slow_limit", "slow_ring")


def losses(lost: Mapping[str, int]) -> dict[str, int]:
    """A snapshot's losses by the names of :data:`LOSSES`, without zeros."""
    merged: dict[str, int] = {}
    for name, count in lost.items():
        kind = "unlisted" if name in _UNLISTED else name
        merged[kind] = merged.get(kind, 0) + count
    return {kind: count for kind, count in merged.items() if count}


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

    @classmethod
    def _count(
        cls, columns: int, name: str, number: int, style: str = "text", label: str = "dim"
    ) -> Line:
        """A pair whose number is short where it would cut the name."""
        room = max(columns - 3 - units.width(name), _COUNT)
        return cls._pair(columns, name, units.count(number, min(room, 7)), style, label)

    def _entries(self, scene: Scene, columns: int, rows: int) -> list[Entry]:
        def pair(name: str, value: str, style: str = "text") -> Line:
            return self._pair(columns, name, value, style)

        totals, snapshot = scene.view.totals, scene.view.snapshot
        host = snapshot.host
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
            (2, pair("mean", units.duration(totals.mean_ns))),
            (8, []),
            (1, pair("working", f"{time_per_second(totals.working * 1e9, 1)}/s")),
            (1, pair("waiting", f"{time_per_second(totals.waiting * 1e9, 1)}/s")),
            (7, [("dim", " (measured)" if totals.measured else " (by kind of call)")]),
            (8, []),
            (3, pair("kernel CPU", f"{100 * host.kernel_cpu:.0f}%")),
            (4, self._count(columns, "processes", totals.processes)),
            # Not "of" these: callers that have ended since are not among them.
            (6, self._count(columns, "alive now", host.processes)),
            (
                _ALWAYS,
                self._count(columns, "slow calls", totals.slow, "warn" if totals.slow else "text"),
            ),
            (1, self._in_flight(scene, columns)),
            *self._losses(scene, columns),
            (8, []),
        ]
        if len(entries) - 3 + 2 > rows:
            entries.append((5, pair("sysdash", f"{cpu} {memory}")))
        else:
            entries.append((5, pair("sysdash CPU", cpu)))
            entries.append((6, pair("memory", memory)))
        return entries

    @staticmethod
    def _in_flight(scene: Scene, columns: int) -> Line:
        """Calls in flight that are not by nature long; then the others."""
        name = ("dim", "in flight")
        if not scene.view.snapshot.in_flight_known:
            return [("text", " "), *spread([name], [("dim", NONE)], columns - 2)]
        unusual, waiting = scene.in_flight_counts
        more = waiting + scene.in_flight_unlisted
        value: Line = [("warn" if unusual else "text", units.count(unusual, _COUNT))]
        if more:
            value.append(("dim", f" +{units.count(more, _COUNT - 1)}"))
        return [("text", " "), *spread([name], value, columns - 2)]

    def _losses(self, scene: Scene, columns: int) -> list[Entry]:
        found = losses(scene.view.snapshot.lost)
        missing = {kind: n for kind, n in found.items() if kind not in _HARMLESS}
        total = self._count(columns, "lost", sum(missing.values()))
        if missing:
            total = [("lost", text) for _, text in total]
        # Which kinds is worth more than anything but the totals.
        lines = [total]
        for kind, count in sorted(found.items(), key=lambda item: item[0] in _HARMLESS):
            style, indent = ("error", " ") if kind in missing else ("warn", "")
            names = LOSSES[kind].labels if kind in LOSSES else (units.safe(kind),)
            room = columns - 3 - _COUNT
            name = next((n for n in names if units.width(indent + n) <= room), names[-1])
            lines.append(self._count(columns, indent + name, count, style, style))
        return [(_ALWAYS, line) for line in lines]

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

    @staticmethod
    def _processes(scene: Scene, columns: int, most: int) -> list[Line]:
        table = scene.view.by_process
        # Table.rows would work out latencies, too.
        top = table.take(np.lexsort([table.pid, -table.count])[: min(most, 20)])
        lines: list[Line] = [[], [("dim", " busiest processes")]]
        for comm, rate in zip(top.comm.tolist(), top.rate.tolist(), strict=True):
            name, value = units.safe(comm), f"{units.rate(rate)}/s"
            lines.append([("text", " "), *spread([("name", name)], [("text", value)], columns - 2)])
        return lines
