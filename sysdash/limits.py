"""What may be chosen, and how large it may be: for configuration, command line and dashboard alike.

It imports nothing, so that every module may import it.
"""

from __future__ import annotations

SORTS = ("rate", "latency", "total")
"""The orders of syscalls: calls per second, p99, time spent in the call."""

INTERVAL_S = (0.1, 10.0)
"""The shortest and the longest refresh interval."""

SPEEDS = (0.125, 1024.0)
"""How slow and how fast a recording can be replayed; 1 is as it was."""

TABLES_S = (0.001, 86_400.0)
"""The shortest and the longest time between two tables of a command-line tool: up to a day."""

LONGEST_DURATION_S = 366 * 86_400.0
"""The longest time after which something can be told to end: a year."""

MAX_PID = 1 << 22
"""PID_MAX_LIMIT of 64-bit kernels (include/linux/threads.h)."""

SMALLEST_SCREEN = (60, 15)
"""Columns and rows below which the dashboard only says that it needs more."""

FILTER_IDS = 4096
"""Processes, threads and parents, together, that can be filtered by."""

FILTER_COMMS = 1024
"""Process names that can be filtered by."""

FILTER_CGROUPS = 64
"""Cgroups that can be filtered by."""
