"""``sysdash top``: the live dashboard."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from sysdash import app, syscalls
from sysdash.collector import Collector, Source
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.history import History
from sysdash.probes import capabilities
from sysdash.units import fit, safe, width

_CGROUP_COLUMNS = 20


def run(args: argparse.Namespace) -> int:
    """Show the dashboard until the user leaves it.

    Raises:
        CannotCollect: this machine, user or terminal cannot.
    """
    settings, filters = args.settings, args.filters
    capabilities.require_privileges()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CannotCollect(
            "the dashboard needs a terminal", "Run it in one, without a pipe (ssh needs -t)"
        )
    history = History(
        keep_slow=settings.slow_keep, max_bytes=settings.history_memory_mb * 1_000_000
    )

    def open_source() -> Source:
        # Only here: bcc takes a while to import, and the screen is drawn meanwhile.
        from sysdash.probes.source import BpfSource

        return BpfSource(
            filters,
            thresholds(settings.thresholds_ns),
            default_threshold_ns=settings.threshold_ns,
            slow_per_second=settings.slow_per_second,
            waiting=syscalls.waiting(),
        )

    def collect(wake: Callable[[], None]) -> Collector:
        return Collector(open_source, settings.interval_s, history.append, wake)

    app.run(
        collect,
        history,
        interval_s=settings.interval_s,
        sort=settings.sort,
        theme=settings.theme,
        display=settings.display,
        limits=describe(filters),
    )
    return 0


def thresholds(by_name: Mapping[str, int | None]) -> dict[tuple[int, int], int | None]:
    """Thresholds in ns by (syscall number, ABI code); None where no call is slow."""
    return {
        number: threshold_ns
        for name, threshold_ns in by_name.items()
        for number in syscalls.numbers(name)
    }


def describe(filters: Filters) -> str:
    """What the filters let through, in a few words for the header; empty where all is collected."""
    words = []
    for name, values in (
        ("pid", filters.pids),
        ("tid", filters.tids),
        ("ppid", filters.ppids),
        ("comm", [safe(comm) for comm in filters.comms]),
        ("cgroup", [_short(path) for path in filters.cgroups]),
        ("", _names(filters.syscalls)),
        ("", [f"!{name}" for name in _names(filters.not_syscalls)]),
        ("", [syscalls.errno_name(errno) for errno in filters.errnos]),
        ("", ["failures"] if filters.failures else []),
    ):
        if values:
            words.append(f"{name} {','.join(map(str, values))}".strip())
    return " ".join(words)


def _short(path: str) -> str:
    """A cgroup's path, or of a long one the end."""
    text = safe(path)
    return (
        text
        if width(text) <= _CGROUP_COLUMNS
        else fit(f"…/{safe(Path(path).name)}", _CGROUP_COLUMNS)
    )


def _names(numbers: tuple[tuple[int, int], ...]) -> list[str]:
    """Each syscall's name once, though it has a number in every ABI."""
    return list(dict.fromkeys(syscalls.name(nr, abi) or str(nr) for nr, abi in numbers))
