"""Which module may know which: the table of docs/architecture.md, read from the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "sysdash"
MODULES = sorted(ROOT.rglob("*.py"))

OUTSIDE = ("bcc", "urwid")
CLOCK_THREADS_IO = (
    "time", "datetime", "threading", "asyncio", "queue", "multiprocessing", "subprocess",
    "os", "io", "pathlib", "shutil", "socket", "select", "signal", "sys", "tempfile", "mmap",
)  # fmt: skip

# Room -> what it must not import. A room is a module, or a folder and all in it.
FORBIDDEN = {
    "units": ("sysdash", *OUTSIDE, "numpy"),
    "syscalls": ("sysdash", *OUTSIDE, "numpy"),
    "errors": ("sysdash", *OUTSIDE, "numpy"),
    "filters": ("sysdash", *OUTSIDE, "numpy"),
    "limits": ("sysdash", *OUTSIDE, "numpy"),
    "interrupts": ("sysdash", *OUTSIDE, "numpy"),
    "buckets": ("sysdash", *OUTSIDE, *CLOCK_THREADS_IO),
    "records": (*OUTSIDE, *CLOCK_THREADS_IO, "ctypes"),
    "columns": (*OUTSIDE, *CLOCK_THREADS_IO),
    "packing": (*OUTSIDE, *CLOCK_THREADS_IO),
    "timeline": ("sysdash", *OUTSIDE, *CLOCK_THREADS_IO),
    "model": (*OUTSIDE, *CLOCK_THREADS_IO),
    "heat": (*OUTSIDE, *CLOCK_THREADS_IO),
    "processes": (*OUTSIDE, *CLOCK_THREADS_IO),
    "selection": (*OUTSIDE, *CLOCK_THREADS_IO),
    "moments": (*OUTSIDE, "numpy"),
    "comparison": (*OUTSIDE, *CLOCK_THREADS_IO),
    "tally": (*OUTSIDE, *CLOCK_THREADS_IO),
    "significance": ("sysdash", *OUTSIDE, *CLOCK_THREADS_IO),
    "bars": ("sysdash", *OUTSIDE, "numpy"),
    "constants": ("sysdash", *OUTSIDE, "numpy"),
    "meanings": ("sysdash", *OUTSIDE, "numpy"),
    "arguments": (*OUTSIDE, "numpy"),
    "descriptors": (*OUTSIDE, "numpy"),
    "quantity": (*OUTSIDE, *CLOCK_THREADS_IO, "numpy"),
    "distribution": (*OUTSIDE, *CLOCK_THREADS_IO, "numpy"),
    "valuing": (*OUTSIDE, "numpy"),
    "pieces": (*OUTSIDE, *CLOCK_THREADS_IO, "numpy"),
    "story": (*OUTSIDE, *CLOCK_THREADS_IO, "numpy"),
    "aggregates": (*OUTSIDE, *CLOCK_THREADS_IO),
    "blocking": (*OUTSIDE, *CLOCK_THREADS_IO),
    "report": (*OUTSIDE, *CLOCK_THREADS_IO),
    "workload": (*OUTSIDE, "numpy"),
    "history": (*OUTSIDE,),
    "collector": (*OUTSIDE,),
    "recording": (*OUTSIDE, "sysdash.model", "sysdash.panels"),
    "replay": (*OUTSIDE, "sysdash.panels"),
    "travel": (*OUTSIDE, "sysdash.panels"),
    "comparing": (*OUTSIDE, "sysdash.panels"),
    "config": (*OUTSIDE, "numpy"),
    "cli": (*OUTSIDE, "numpy", "ctypes", "struct", "sysdash.records", "sysdash.panels"),
    "commands": ("bcc", "ctypes", "struct", "sysdash.records", "sysdash.panels"),
    "app": ("bcc", "sysdash.probes", "sysdash.records", "sysdash.commands", "sysdash.cli"),
    "terminal": ("bcc", "sysdash.probes", "sysdash.records", "sysdash.commands", "sysdash.cli"),
    "keys": ("bcc",),
    "theme": ("bcc",),
    "panels": (
        "bcc", "sysdash.collector", "sysdash.config", "sysdash.probes", "sysdash.records",
        "sysdash.app", "sysdash.commands", "sysdash.cli",
    ),
    "probes": ("urwid", "sysdash.syscalls", "sysdash.model"),
}  # fmt: skip

# Room -> what it may do of printing and exiting: a forked child ends without returning.
EXITS = {"workload": ["os._exit"]}

# Room -> the only modules of sysdash that it may import.
ALLOWED = {
    "records": ("sysdash.buckets",),
    "columns": ("sysdash.buckets", "sysdash.grouping", "sysdash.records"),
    "packing": ("sysdash.buckets", "sysdash.columns", "sysdash.records", "sysdash.units"),
    "model": (
        "sysdash.buckets", "sysdash.columns", "sysdash.grouping", "sysdash.records",
        "sysdash.syscalls", "sysdash.units",
    ),
    "heat": ("sysdash.buckets", "sysdash.model", "sysdash.timeline"),
    "processes": ("sysdash.records",),
    "selection": (
        "sysdash.filters", "sysdash.processes", "sysdash.records", "sysdash.syscalls",
        "sysdash.units",
    ),
    "moments": ("sysdash.timeline", "sysdash.units"),
    "history": (
        "sysdash.columns", "sysdash.grouping", "sysdash.model", "sysdash.packing",
        "sysdash.records", "sysdash.timeline",
    ),
    "replay": (
        "sysdash.columns", "sysdash.history", "sysdash.model", "sysdash.packing",
        "sysdash.processes", "sysdash.recording", "sysdash.records", "sysdash.timeline",
    ),
    "arguments": ("sysdash.meanings", "sysdash.records", "sysdash.syscalls"),
    "descriptors": ("sysdash.constants", "sysdash.records", "sysdash.units"),
    "pieces": (
        "sysdash.arguments", "sysdash.constants", "sysdash.descriptors", "sysdash.model",
        "sysdash.records", "sysdash.syscalls", "sysdash.units",
    ),
    "story": (
        "sysdash.arguments", "sysdash.descriptors", "sysdash.model", "sysdash.pieces",
        "sysdash.records", "sysdash.syscalls", "sysdash.units",
    ),
    "quantity": (
        "sysdash.arguments", "sysdash.constants", "sysdash.meanings", "sysdash.pieces",
        "sysdash.records", "sysdash.story", "sysdash.syscalls", "sysdash.units",
    ),
    "distribution": (
        "sysdash.arguments", "sysdash.constants", "sysdash.model", "sysdash.quantity",
        "sysdash.records", "sysdash.syscalls",
    ),
    "valuing": ("sysdash.distribution", "sysdash.interrupts", "sysdash.model"),
    "aggregates": (
        "sysdash.buckets", "sysdash.model", "sysdash.records", "sysdash.syscalls",
    ),
    "blocking": ("sysdash.model", "sysdash.records", "sysdash.syscalls"),
    "report": (
        "sysdash.aggregates", "sysdash.bars", "sysdash.blocking", "sysdash.buckets",
        "sysdash.comparison", "sysdash.timeline",
        "sysdash.limits", "sysdash.model", "sysdash.quantity", "sysdash.story", "sysdash.syscalls",
        "sysdash.units",
    ),
    "workload": ("sysdash.errors", "sysdash.units"),
    "collector": ("sysdash.history", "sysdash.model", "sysdash.records"),
    "config": ("sysdash.limits", "sysdash.syscalls", "sysdash.units"),
    "keys": (),
    "theme": (),
    "probes": (
        "sysdash.buckets", "sysdash.errors", "sysdash.filters", "sysdash.folding", "sysdash.probes",
        "sysdash.interrupts", "sysdash.limits", "sysdash.records", "sysdash.units",
    ),
}  # fmt: skip


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(source: str, package: str = "sysdash") -> Iterator[str]:
    """Every module that a source imports, wherever in it, ``from a import b`` as ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], base]).rstrip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def violations(room: str, source: str, package: str = "sysdash") -> list[str]:
    forbidden = FORBIDDEN.get(room, ("bcc",))
    allowed = (f"sysdash.{room}", *ALLOWED.get(room, ("sysdash",)))
    return [
        module
        for module in imports(source, package)
        if not within(module, (f"sysdash.{room}",))
        and (
            within(module, forbidden)
            or (within(module, ("sysdash",)) and not within(module, allowed))
        )
    ]


def exits_and_prints(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in ("print", "exit", "quit", "SystemExit"):
            found.append(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if name in ("sys.exit", "os._exit", "os.abort"):
                found.append(name)
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_room_knows_only_what_it_may(path: Path) -> None:
    package = ".".join(("sysdash", *path.relative_to(ROOT).parts[:-1]))
    assert violations(room_of(path), path.read_text(), package) == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_probes_know_bcc(path: Path) -> None:
    if room_of(path) != "probes":
        assert not [name for name in imports(path.read_text()) if within(name, ("bcc",))]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_symbols_read_elf_files(path: Path) -> None:
    if path.parent.name != "symbols":
        assert not [name for name in imports(path.read_text()) if within(name, ("elftools",))]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_command_line_prints_and_exits(path: Path) -> None:
    if room_of(path) not in ("cli", "commands", "__main__"):
        assert exits_and_prints(path.read_text()) == EXITS.get(room_of(path), [])


def test_the_rules_are_about_modules_that_are_there() -> None:
    rooms = {room_of(path) for path in MODULES}
    assert set(FORBIDDEN) <= rooms
    assert set(ALLOWED) <= set(FORBIDDEN)
    assert set(EXITS) <= rooms


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("panels", "import bcc"),
        ("panels", "from sysdash import config"),
        ("panels", "from sysdash.collector import Collector"),
        ("panels", "def f():\n    from .. import collector"),
        ("model", "import time"),
        ("report", "import time"),
        ("report", "from sysdash.commands import words"),
        ("workload", "from sysdash.model import Table"),
        ("model", "from os import path"),
        ("model", "from sysdash.history import History"),
        ("units", "from sysdash import model"),
        ("probes", "import sysdash.model as m"),
        ("app", "if TYPE_CHECKING:\n    import bcc.table"),
    ],
)
def test_a_breach_would_be_seen(room: str, source: str) -> None:
    assert violations(room, source, "sysdash.panels")


@pytest.mark.parametrize(
    "source", ["print(1)", "sys.exit()", "raise SystemExit", "exit(1)", "os._exit(1)"]
)
def test_a_print_or_an_exit_would_be_seen(source: str) -> None:
    assert exits_and_prints(source)


def test_what_is_allowed_is_no_breach() -> None:
    assert violations("panels", "import urwid\nfrom sysdash.model import View") == []
    assert violations("panels", "from sysdash.panels.base import Panel") == []
    assert violations("probes", "import bcc\nfrom sysdash.probes import bpf") == []
    assert exits_and_prints("self.exit = 1\nlog.print()") == []
