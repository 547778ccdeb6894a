"""Loading and unloading the probe: it checks what it is told, and leaves nothing in the kernel."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import machine
import numpy as np
import pytest
from probing import eventually, opened

from sysdash import records
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.probes import layout, loader
from sysdash.probes import source as source_module
from sysdash.probes.btf import KernelTypes
from sysdash.probes.source import BpfSource

pytestmark = pytest.mark.bpf

ROOT = Path(__file__).parent.parent


def _open_ids(kind: str, pid: int) -> set[int]:
    """The IDs of the maps or programs that a process has open."""
    found: set[int] = set()
    for fdinfo in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = fdinfo.read_text()
        except FileNotFoundError:
            continue
        found.update(map(int, re.findall(rf"^{kind}_id:\s*(\d+)$", text, re.MULTILINE)))
    return found


def _in_kernel(kind: str) -> set[int]:
    """The IDs of all maps or programs, as bpftool lists them."""
    listing = subprocess.run(
        ["bpftool", kind, "show"], check=True, capture_output=True, text=True
    ).stdout
    return {int(number) for number in re.findall(r"^(\d+): ", listing, re.MULTILINE)}


def _gone(ids: dict[str, set[int]]) -> bool:
    """Whether the kernel has freed all of these; it does so a little later than they are closed."""
    return eventually(lambda: not any(ids[kind] & _in_kernel(kind) for kind in ids))


def _ids(pid: int) -> dict[str, set[int]]:
    return {kind: _open_ids(kind, pid) for kind in ("map", "prog")}


def test_closing_frees_everything() -> None:
    source = BpfSource()
    ids = _ids(os.getpid())
    assert len(ids["map"]) >= 10
    assert len(ids["prog"]) == 6
    assert ids["prog"] <= _in_kernel("prog")
    source.read()
    source.close()
    # While the source is still referred to.
    assert _gone(ids)
    source.close()


@pytest.mark.parametrize(
    ("source", "programs"),
    [
        (lambda: BpfSource(timed=False), 3),  # sys_enter is left alone
        (lambda: BpfSource(default_threshold_ns=None), 4),  # no call is slow
        (lambda: BpfSource(Filters(command=1 << 21)), 7),
        (lambda: BpfSource(Filters(command=1 << 21), timed=False), 5),
    ],
)
def test_no_more_is_attached_than_is_needed(source: Callable[[], BpfSource], programs: int) -> None:
    opened_source = source()
    try:
        assert len(machine.programs_of(os.getpid())) == programs
    finally:
        opened_source.close()


def test_a_constructor_that_fails_frees_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, set[int]]] = []
    attach = loader.Program.attach

    def fail_at_last(program: loader.Program, function: str, tracepoint: str) -> int:
        if tracepoint == "sys_enter":
            seen.append(_ids(os.getpid()))
            raise CannotCollect("the test forbids it")
        return attach(program, function, tracepoint)

    monkeypatch.setattr(loader.Program, "attach", fail_at_last)
    with pytest.raises(CannotCollect, match="the test forbids it"):
        BpfSource()
    assert len(seen[0]["prog"]) == 5
    assert _gone(seen[0])


def test_a_tracepoint_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    tracepoints = source_module._tracepoints(timed=True, command=False, execs=False, off_cpu=False)
    tracepoints[-1] = ("on_sys_enter", "no_such_tracepoint")
    monkeypatch.setattr(source_module, "_tracepoints", lambda **_: tracepoints)
    with pytest.raises(CannotCollect, match="no_such_tracepoint"):
        BpfSource()
    assert machine.programs_of(os.getpid()) == set()


def test_nothing_is_left_of_a_killed_process() -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from sysdash.probes.source import BpfSource
source = BpfSource()
print("ready", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        ids = _ids(process.pid)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(ids["prog"]) == 6
    assert _gone(ids)


def _renamed(dtype: np.dtype[np.void]) -> np.dtype[np.void]:
    names = list(dtype.names or ())
    names[1] = "other"
    return np.dtype([(new, dtype[old]) for new, old in zip(names, dtype.names or (), strict=True)])


def _swapped(dtype: np.dtype[np.void]) -> np.dtype[np.void]:
    names = list(dtype.names or ())
    names[0], names[1] = names[1], names[0]
    return np.dtype([(name, dtype[name]) for name in names])


def _longer(dtype: np.dtype[np.void]) -> np.dtype[np.void]:
    return np.dtype([*((name, dtype[name]) for name in dtype.names or ()), ("more", "<u8")])


@pytest.mark.parametrize("record", ["ROW", "CPU", "CONFIG", "SYSCALL_CONFIG", "THREAD", "EVENT"])
def test_another_layout_is_refused(monkeypatch: pytest.MonkeyPatch, record: str) -> None:
    table = {
        "ROW": "rows",
        "CPU": "cpus",
        "CONFIG": "config",
        "SYSCALL_CONFIG": "syscall_config",
        "THREAD": "slots",
        "EVENT": "event_layout",
    }[record]
    dtype = getattr(records, record)
    with monkeypatch.context() as patch:
        # The constructor itself checks each record.
        patch.setattr(source_module, record, _longer(dtype))
        with pytest.raises(CannotCollect, match=table):
            BpfSource()
    assert machine.programs_of(os.getpid()) == set()


def test_what_makes_a_layout_another(source: BpfSource) -> None:
    changes: tuple[Callable[[np.dtype[np.void]], np.dtype[np.void]], ...]
    changes = (_renamed, _swapped, _longer)
    for change in changes:
        with pytest.raises(CannotCollect, match="rows"):
            source._program.check_layout("rows", change(records.ROW))
    source._program.check_layout("rows", records.ROW)


@pytest.fixture
def source() -> Iterator[BpfSource]:
    with opened() as opened_source:
        yield opened_source


def test_kernel_types() -> None:
    with KernelTypes() as types:
        # x86-64: thread_info is task_struct's first member, and its flags come before its status.
        assert types.offset("task_struct", "thread_info") == 0
        assert types.offset("task_struct", "thread_info.status") > 0
        assert types.offset("pt_regs", "orig_ax") == 15 * 8
        assert types.size("pt_regs") >= 21 * 8
        for struct, path in (("no_such_struct", "a"), ("task_struct", "no_such_member")):
            with pytest.raises(KeyError, match=struct):
                types.offset(struct, path)


def test_task_storage_is_found_out_by_trying() -> None:
    assert layout.has_task_storage()
    assert "THREADS_HASH" not in layout.defines(layout.sizes())


def test_filters_that_do_not_fit() -> None:
    """More than a filter's map holds is an error, not a filter that misses some."""
    ids = set(machine.programs_of(os.getpid()))
    with pytest.raises((OSError, CannotCollect)):
        BpfSource(Filters(pids=tuple(range(1, 5000))))
    assert machine.programs_of(os.getpid()) == ids
