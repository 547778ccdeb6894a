"""Every filter of the kernel, alone and with others: what passes is exactly what was asked for."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from probing import Key, build, by_call, calls, comm, nr, of, opened, run

from sysdash.filters import Filters
from sysdash.probes import targets
from sysdash.probes.cgroups import CgroupPaths
from sysdash.probes.source import BpfSource
from sysdash.syscalls import numbers

pytestmark = pytest.mark.bpf

ROOT = Path(__file__).parent.parent
LOOPS = 3
UNKNOWN = 9999

# What tests/programs/family.c does in each loop.
PER_LOOP: dict[Key, int] = {
    (nr("getppid"), 0, 0): 1,
    (nr("close"), 0, errno.EBADF): 1,
    (nr("openat"), 0, errno.ENOENT): 1,
    (UNKNOWN, 0, errno.ENOSYS): 1,
}
KNOWN = {number for number, _, _ in PER_LOOP}


@dataclass(frozen=True)
class Task:
    """A thread of the family, as it is seen by a filter."""

    pid: int
    tid: int
    ppid: int
    comms: tuple[str, ...]
    loops: int


@dataclass
class Family:
    """The running program: waiting until :meth:`go`."""

    process: subprocess.Popen[str]
    first: Task
    thread: Task
    child: Task

    @property
    def tasks(self) -> tuple[Task, Task, Task]:
        return self.first, self.thread, self.child

    def go(self) -> None:
        self.process.communicate("x")
        assert self.process.returncode == 0


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    program = build("family", tmp_path)
    with subprocess.Popen(
        [program, str(LOOPS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid, tid, child = map(int, process.stdout.readline().split())
        yield Family(
            process,
            Task(pid, pid, os.getpid(), (comm("family"),), LOOPS),
            Task(pid, tid, os.getpid(), (comm("family"), "family-thread"), 10 * LOOPS),
            Task(child, child, pid, (comm("family"),), 100 * LOOPS),
        )


@pytest.fixture(scope="module")
def source() -> Iterator[BpfSource]:
    with opened() as opened_source:
        yield opened_source


def _filter(source: BpfSource, filters: Filters) -> None:
    """Give the source other filters: one compiled program serves all, and compiling takes long."""
    for table in (b"filter_ids", b"filter_comms"):
        source._program._bpf[table].clear()
    source._syscalls["drop"] = 0
    source._config["errnos"] = 0
    epoch = int(source._config["epoch"][0])
    source._configure(filters, False)
    source._config["epoch"] = epoch
    source.read()


def _collected(family: Family, source: BpfSource, filters: Filters) -> Counter[Key]:
    """What the source with these filters counts of the family's known calls."""
    _filter(source, filters)
    family.go()
    sample = source.read()
    assert all(not sample.lost[name] for name in ("calls", "missed", "unattributed"))
    rows = sample.rows
    mine = rows[(rows["pid"] == family.first.pid) | (rows["pid"] == family.child.pid)]
    return Counter({key: n for key, n in by_call(mine).items() if key[0] in KNOWN and n})


def _expected(
    family: Family,
    of_task: Callable[[Task], bool] = lambda _: True,
    of_call: Callable[[Key], bool] = lambda _: True,
) -> Counter[Key]:
    loops = sum(task.loops for task in family.tasks if of_task(task))
    # The program closes other descriptors too, which does not fail.
    return Counter({key: loops * n for key, n in PER_LOOP.items() if loops and of_call(key)})


def _failed(counts: Counter[Key]) -> Counter[Key]:
    """Without the closes that did not fail."""
    return Counter({key: n for key, n in counts.items() if key != (nr("close"), 0, 0)})


TASK_FILTERS: dict[str, tuple[Callable[[Family], Filters], Callable[[Family, Task], bool]]] = {
    "none": (lambda _: Filters(), lambda _, __: True),
    "pid": (lambda f: Filters(pids=(f.child.pid,)), lambda f, t: t.pid == f.child.pid),
    "pids": (lambda f: Filters(pids=(f.child.pid, f.first.pid, 1)), lambda _, __: True),
    "tid": (lambda f: Filters(tids=(f.thread.tid,)), lambda f, t: t.tid == f.thread.tid),
    "ppid": (lambda f: Filters(ppids=(f.first.pid,)), lambda f, t: t is f.child),
    "comm of the process": (lambda _: Filters(comms=(comm("family"),)), lambda _, __: True),
    "comm of a thread": (
        lambda _: Filters(comms=("family-thread",)),
        lambda _, t: "family-thread" in t.comms,
    ),
    "comm of none": (
        lambda _: Filters(comms=(comm("famil"), comm("family2"))),
        lambda _, __: False,
    ),
    "pid and tid": (
        lambda f: Filters(pids=(f.first.pid,), tids=(f.first.tid, f.child.tid)),
        lambda f, t: t is f.first,
    ),
    "pid and ppid that exclude each other": (
        lambda f: Filters(pids=(f.first.pid,), ppids=(f.first.pid,)),
        lambda _, __: False,
    ),
}


@pytest.mark.parametrize("name", TASK_FILTERS)
def test_whose_calls(family: Family, source: BpfSource, name: str) -> None:
    make, passes = TASK_FILTERS[name]
    found = _failed(_collected(family, source, make(family)))
    assert found == _expected(family, lambda task: passes(family, task))


CALL_FILTERS: dict[str, tuple[Filters, Callable[[Key], bool]]] = {
    "syscalls": (
        Filters(syscalls=(*numbers("getppid"), *numbers("close"))),
        lambda key: key[0] in (nr("getppid"), nr("close")),
    ),
    "not a syscall": (
        Filters(not_syscalls=numbers("getppid")),
        lambda key: key[0] != nr("getppid"),
    ),
    "syscalls but one": (
        Filters(syscalls=(*numbers("getppid"), *numbers("close")), not_syscalls=numbers("getppid")),
        lambda key: key[0] == nr("close"),
    ),
    "the same number of another ABI": (
        Filters(syscalls=((nr("getppid"), 1), (nr("close"), 2))),
        lambda _: False,
    ),
    "failures": (Filters(failures=True), lambda key: key[2] != 0),
    "errnos": (
        Filters(errnos=(errno.ENOENT, errno.ENOSYS)),
        lambda key: key[2] in (errno.ENOENT, errno.ENOSYS),
    ),
    "failures with an errno": (
        Filters(failures=True, errnos=(errno.EBADF,)),
        lambda key: key[2] == errno.EBADF,
    ),
    "an errno of a syscall": (
        Filters(errnos=(errno.ENOENT, errno.EBADF), syscalls=numbers("openat")),
        lambda key: key == (nr("openat"), 0, errno.ENOENT),
    ),
}


@pytest.mark.parametrize("name", CALL_FILTERS)
def test_which_calls(family: Family, source: BpfSource, name: str) -> None:
    filters, passes = CALL_FILTERS[name]
    assert _failed(_collected(family, source, filters)) == _expected(family, of_call=passes)


def test_whose_and_which(family: Family, source: BpfSource) -> None:
    filters = Filters(
        tids=(family.thread.tid, family.child.tid),
        comms=("family-thread",),
        syscalls=(*numbers("openat"), *numbers("getppid")),
        failures=True,
    )
    assert _collected(family, source, filters) == _expected(
        family, lambda task: task is family.thread, lambda key: key[2] == errno.ENOENT
    )


def test_an_impossible_number() -> None:
    for filters in (Filters(syscalls=((1024, 0),)), Filters(not_syscalls=((-1, 0),))):
        with pytest.raises(ValueError, match="system call number"), opened(filters):
            pass


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup with one inside it, removed after the test."""
    root = targets.cgroup_root()
    assert root is not None
    folder = root / f"t-sysdash-{os.getpid()}"
    inner = folder / "inner"
    inner.mkdir(parents=True)
    yield folder
    inner.rmdir()
    folder.rmdir()


@pytest.mark.parametrize("where", ["", "inner"])
def test_cgroups(family: Family, source: BpfSource, cgroup: Path, where: str) -> None:
    """A cgroup stands for those inside it, and not for those around it."""
    (cgroup / where / "cgroup.procs").write_text(str(family.child.pid))
    outer = Filters(cgroups=(str(cgroup),))
    found = _collected(family, source, outer)
    assert _failed(found) == _expected(family, lambda task: task is family.child)


def test_the_cgroup_around(family: Family, source: BpfSource, cgroup: Path) -> None:
    (cgroup / "cgroup.procs").write_text(str(family.child.pid))
    (cgroup / "inner" / "cgroup.procs").write_text(str(family.first.pid))
    inner = Filters(cgroups=(str(cgroup / "inner"),), pids=(family.first.pid,))
    _filter(source, inner)
    family.go()
    rows = source.read().rows
    assert set(rows["pid"]) == {family.first.pid}
    assert set(rows["cgroup"]) == {(cgroup / "inner").stat().st_ino}
    assert calls(rows, "getppid") == 11 * LOOPS


def test_paths_of_cgroups(family: Family, cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those that are made later, and with names that are no text for a terminal."""
    monkeypatch.setattr("sysdash.probes.cgroups._LOOK_S", 0)
    made = cgroup / "made\x1b[2J"
    around = Path(f"/proc/{family.first.pid}/cgroup").read_text().split("\n0::")[-1].strip()
    with opened(Filters(pids=(family.first.pid, family.child.pid)), cgroups=True) as source:
        made.mkdir()
        try:
            (made / "cgroup.procs").write_text(str(family.child.pid))
            family.go()
            sample = source.read()
        finally:
            made.rmdir()
    paths = {
        sample.cgroups[int(row["cgroup"])]: int(row["pid"])
        for row in sample.rows
        if row["nr"] == nr("getppid")
    }
    assert paths == {
        around.removeprefix("0::"): family.first.pid,
        f"/{cgroup.name}/made␛[2J": family.child.pid,
    }


def test_cgroups_nested_deeply(cgroup: Path) -> None:
    """As deep as whoever owns a part of the hierarchy likes; longer than a path can be."""
    made = [cgroup]
    before = Path.cwd()
    os.chdir(cgroup)
    try:
        for _ in range(1200):
            os.mkdir("deeper")  # noqa: PTH102  (relative: the whole path is too long)
            os.chdir("deeper")
            made.append(Path("deeper"))
        paths = CgroupPaths()
    finally:
        for _ in made[1:]:
            os.chdir("..")
            os.rmdir("deeper")  # noqa: PTH106
        os.chdir(before)
    inner = cgroup / "inner"
    ids = np.array([inner.stat().st_ino, 2**63], dtype=np.uint64)
    assert paths.of(ids) == {inner.stat().st_ino: f"/{cgroup.name}/inner"}


def test_itself(source: BpfSource) -> None:
    for include in (False, True):
        _filter(source, Filters(include_self=include))
        for _ in range(500):
            os.getppid()
        rows = of(source.read().rows, pid=os.getpid())
        assert calls(rows, "getppid") == (500 if include else 0)
        assert (len(rows) > 0) == include


def test_threads_apart(family: Family) -> None:
    with opened(Filters(pids=(family.first.pid, family.child.pid)), by_tid=True) as source:
        family.go()
        rows = source.read().rows
    for task in family.tasks:
        found = rows[(rows["pid"] == task.pid) & (rows["tid"] == task.tid)]
        assert calls(found, "getppid") == task.loops
        assert set(found["ppid"]) == {task.ppid}
    assert set(rows["tid"]) == {task.tid for task in family.tasks}
    # Each under its own name.
    (thread,) = {bytes(row["comm"]) for row in rows if row["tid"] != row["pid"]}
    assert thread == b"family-thread"
    assert set(of(rows, "family-thread")["tid"]) == {family.thread.tid}


# Every process counts from 1 here, so that numbers of the machine's namespace would not do.
_INSIDE = """
import json, os, subprocess, sys
sys.path[:0] = {paths!r}
from probing import opened
from sysdash.filters import Filters

def calls(choose):
    with subprocess.Popen(
        [{program!r}, "3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as family:
        pid, tid, child = map(int, family.stdout.readline().split())
        with opened(choose(pid, tid, child), by_tid=True) as source:
            family.communicate("x")
            rows = source.read().rows
    found = {{"first": 0, "thread": 0, "child": 0}}
    names = {{(pid, pid): "first", (pid, tid): "thread", (child, child): "child"}}
    parents = {{pid: os.getpid(), child: pid}}
    for row in rows:
        # A row of any other task is an error, and so is another parent.
        name = names[row["pid"], row["tid"]]
        if parents[row["pid"]] != row["ppid"]:
            sys.exit(f"parent of {{name}}: {{row['ppid']}}")
        if row["nr"] == 110:
            found[name] += int(row["count"])
    return found

if os.getpid() > 100:
    sys.exit("not in a namespace of its own")
print(json.dumps([
    calls(lambda pid, tid, child: Filters(pids=(child,))),
    calls(lambda pid, tid, child: Filters(ppids=(os.getpid(),), tids=(pid, tid))),
]))
"""


def test_in_a_pid_namespace(tmp_path: Path) -> None:
    program = build("family", tmp_path)
    paths = [str(ROOT), str(ROOT / "tests")]
    script = _INSIDE.format(paths=paths, program=program)
    words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    by_pid, by_parent = json.loads(run(*words, sys.executable, "-c", script))
    assert by_pid == {"first": 0, "thread": 0, "child": 300}
    assert by_parent == {"first": 3, "thread": 30, "child": 0}
