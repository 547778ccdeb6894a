"""Calls that are unlike others: other ABIs, unknown numbers, those that never or twice return."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from probing import (
    NOTHING_LOST,
    build,
    by_call,
    calls,
    comm,
    eventually,
    lost_calls,
    nr,
    of,
    opened,
    run,
)

from sysdash.model import Syscall, aggregate, derive
from sysdash.probes import layout
from sysdash.probes.source import BpfSource
from sysdash.records import Rows

pytestmark = pytest.mark.bpf

# include/linux/errno.h: what an interrupted call returns inside the kernel
ERESTARTSYS = 512


@pytest.fixture(scope="module", params=["task storage", "hash", "counting", "counting, no helper"])
def source(request: pytest.FixtureRequest) -> Iterator[BpfSource]:
    """The probe that times calls and the one that counts them, as kernels old and new have them."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "hash":  # before 5.13
            patch.setattr(layout, "has_task_storage", lambda: False)
        elif request.param == "counting, no helper":  # before 5.15
            patch.setattr(layout, "has_task_pt_regs", lambda: False)
        with opened(timed="counting" not in request.param) as opened_source:
            yield opened_source


def _check_timed(source: BpfSource, rows: Rows, count: int) -> None:
    """So many of the calls are timed, if any is."""
    timed = count if source.timed else 0
    assert rows["hist"].sum() == timed
    assert rows["count"].sum() - rows["untimed"].sum() == timed


def _of(source: BpfSource, program: str, *words: str | int) -> Rows:
    """The rows of one run of a program, by its name."""
    source.read()
    run(program, *words)
    sample = source.read()
    assert lost_calls([sample]) == NOTHING_LOST
    return of(sample.rows, Path(program).name)


def test_tables_are_told_apart(source: BpfSource, tmp_path: Path) -> None:
    source.read()
    run(build("abis", tmp_path), 500)
    snapshot = derive(source.read())
    calls_of = snapshot.calls.select(snapshot.calls.comm == comm("abis").encode())
    table = aggregate(calls_of, ("syscall",))
    counts = {row.syscall: (row.count, row.errors) for row in table.rows(range(len(table)))}
    assert counts[Syscall(20)] == (500, 0)
    assert counts[Syscall(20, 1)] == (500, 0)
    assert counts[Syscall(6, 1)] == (500, 500)
    assert Syscall(20).name == "writev"
    assert Syscall(20, 1).name == "getpid (ia32)"
    assert Syscall(6, 1).name == "close (ia32)"
    # Whether a kernel has the x32 table or answers ENOSYS, the call is named as it was made.
    assert counts[Syscall(39, 2)][0] == 500
    assert Syscall(39, 2).name == "getpid (x32)"
    assert counts[Syscall(39)][0] == 500  # the program's own check


def test_a_32_bit_program(source: BpfSource, tmp_path: Path) -> None:
    flags = ("-m32", "-nostdlib", "-static", "-ffreestanding", "-no-pie")
    rows = _of(source, build("ia32", tmp_path, *flags))
    found = by_call(rows)
    assert found.pop((59, 0, 0)) == 1  # it was started by a 64-bit execve
    assert found == {
        (20, 1, 0): 1000,
        (6, 1, errno.EBADF): 1,
        (2, 1, 0): 1,  # fork returns twice
        (7, 1, 0): 1,
        (252, 1, 0): 2,
    }


def test_unknown_numbers(source: BpfSource, tmp_path: Path) -> None:
    program = build("numbers", tmp_path)
    rows = _of(source, program, 9999, 3)
    assert {key: n for key, n in by_call(rows).items() if key[0] >= 9999} == {
        (number, 0, errno.ENOSYS): 1 for number in (9999, 10_000, 10_001)
    }
    assert Syscall(9999).name == "[unknown: 9999]"
    # Below zero bit 30 is set, as in numbers of x32, but these belong to no table.
    rows = _of(source, program, -3, 3)
    found = {key: n for key, n in by_call(rows).items() if key[0] < 0}
    assert found == {(number, 0, errno.ENOSYS): 1 for number in (-3, -2, -1)}
    # 513 is rt_sigreturn for x32 only; here it is just a failed call.
    assert by_call(_of(source, program, 513, 1))[513, 0, errno.ENOSYS] == 1


def test_negative_returns_that_are_no_errors(source: BpfSource, tmp_path: Path) -> None:
    rows = _of(source, build("returns", tmp_path), 300)
    assert calls(rows, "lseek", 0) == calls(rows, "lseek") == 300
    assert calls(rows, "mmap", errno.EINVAL) == 300
    assert calls(rows, "mmap", 0) >= 300
    assert calls(rows, "mmap") == calls(rows, "mmap", 0) + 300
    assert calls(rows, "munmap", 0) - 300 in (0, 1)


def test_exec_that_fails(source: BpfSource, tmp_path: Path) -> None:
    rows = _of(source, build("exec", tmp_path), "fail", 200)
    assert calls(rows, "execve", errno.ENOENT) == 200
    assert calls(rows, "execve", 0) == 1


def test_exec_again_and_again(source: BpfSource, tmp_path: Path) -> None:
    program = build("exec", tmp_path)
    source.read()
    run(program, "again", 100)
    sample = source.read()
    # Run through /proc/self/exe, a program is called "exe" from its second exec on.
    first = of(sample.rows, comm("exec"))
    later = of(sample.rows, "exe", pid=int(first["pid"][0]))
    assert calls(first, "execve") == 1
    assert calls(later, "execve") == calls(later, "execve", 0) == 100
    assert calls(later, "exit_group") == 1
    assert calls(first, "exit_group") == 0
    _check_timed(source, later[later["nr"] == nr("execve")], 100)


def test_exec_by_another_name(source: BpfSource, tmp_path: Path) -> None:
    """The kernel says execve in the new program's registers, and 11 in those of a 32-bit one."""
    program = build("exec", tmp_path)
    flags = ("-m32", "-nostdlib", "-static", "-ffreestanding", "-no-pie")
    source.read()
    run(program, "at", build("returns", tmp_path, called="after"))
    run(program, "at", build("ia32", tmp_path, *flags, called="narrow"))
    rows = source.read().rows
    for name in ("after", "narrow"):
        found = by_call(of(rows, comm(name)))
        assert found[nr("execveat"), 0, 0] == 1
        assert found[nr("execve"), 0, 0] == found[nr("execve", 1), 1, 0] == 0


def test_exec_by_another_thread(source: BpfSource, tmp_path: Path) -> None:
    """It ends the other threads and takes the first one's TID."""
    program = build("exec", tmp_path)
    other = build("returns", tmp_path, called="after")
    source.read()
    for _ in range(20):
        run(program, "thread", other)
    rows = source.read().rows
    before, after = of(rows, comm("exec")), of(rows, comm("after"))
    assert calls(before, "execve") == 20
    assert calls(after, "execve", 0) == 20
    assert calls(after, "exit_group") == 20
    assert calls(after, "lseek") == 20
    # The waiting threads return to be killed.
    assert calls(before, "pause") == calls(before, "pause", 514) == 40  # ERESTARTNOHAND
    assert calls(before, "exit") == calls(before, "exit_group") == 0
    assert set(before["pid"]) == set(after["pid"])


def test_vfork(source: BpfSource, tmp_path: Path) -> None:
    program = build("exec", tmp_path)
    other = build("returns", tmp_path, called="after")
    source.read()
    run(program, "vfork", 100, other)
    rows = source.read().rows
    before, after = of(rows, comm("exec")), of(rows, comm("after"))
    assert calls(before, "vfork") + calls(before, "clone") + calls(before, "clone3") == 100
    assert calls(before, "wait4") == 100
    assert calls(after, "execve", 0) == calls(after, "exit_group") == 100


def test_a_new_name(source: BpfSource, tmp_path: Path) -> None:
    program = build("exec", tmp_path)
    source.read()
    run(program, "rename", 300)
    rows = source.read().rows
    before = of(rows, comm("exec"))
    after = of(rows, "renamed", pid=int(before["pid"][0]))
    assert calls(before, "getppid") == 300
    assert calls(after, "getppid") == 300
    assert calls(after, "prctl") == 1
    assert calls(after, "exit_group") == 1


def test_the_first_thread_leaves(source: BpfSource, tmp_path: Path) -> None:
    rows = _of(source, build("exec", tmp_path), "leave", 300)
    assert calls(rows, "getppid") == 300
    assert calls(rows, "exit") == 2
    assert calls(rows, "exit_group") == 0
    assert len(set(rows["pid"])) == 1


def test_changed_by_a_tracer(source: BpfSource, tmp_path: Path) -> None:
    """The kernel's word counts: a call is what the tracer made of it."""
    rows = _of(source, build("traced", tmp_path), 200)
    assert calls(rows, "getppid") == 0
    assert calls(rows, "geteuid", 0) == 200
    assert calls(rows, "getpgid") == 0
    assert by_call(rows)[-1, 0, errno.ENOSYS] == 200
    assert calls(rows, "getsid", 0) == calls(rows, "getsid") == 200
    assert calls(rows, "getuid", 0) == 200


def test_interrupted_calls(source: BpfSource, tmp_path: Path) -> None:
    program = build("signals", tmp_path)
    source.read()
    handled = int(run(program, 50))
    sample = source.read()
    rows = of(sample.rows, comm("signals"))
    assert calls(rows, "read", ERESTARTSYS) == 50
    # It puts -EINTR back in the register where results are, which is no error of its own.
    assert calls(rows, "rt_sigreturn", 0) == calls(rows, "rt_sigreturn") == handled >= 50
    _check_timed(source, rows[rows["nr"] == nr("rt_sigreturn")], handled)


def test_refused_by_seccomp(source: BpfSource, tmp_path: Path) -> None:
    """The probe sees no start of these calls."""
    rows = _of(source, build("denied", tmp_path), 400)
    assert calls(rows, "getppid", errno.EPERM) == calls(rows, "getppid") == 400
    assert calls(rows, "getuid", 0) == calls(rows, "getuid") == 400
    assert calls(rows, "getgid") == 400
    assert calls(rows, "rt_sigreturn") == 400
    assert rows[rows["nr"] == nr("getppid")]["hist"].sum() == 0


def test_calls_that_began_before_the_probe(tmp_path: Path) -> None:
    """They are counted without a time. A child in the middle of its fork is no call."""
    program = build("family", tmp_path)
    with subprocess.Popen(
        [program, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as family:
        assert family.stdin is not None
        assert family.stdout is not None
        family.stdout.readline()
        with opened() as source:
            family.communicate("x")
            rows = of(source.read().rows, comm("family"))
    # Standard input, and the child's pipe.
    assert calls(rows, "read") == 2
    read = rows[rows["nr"] == nr("read")]
    assert read["hist"].sum() == 0
    assert read["untimed"].sum() == 2
    assert calls(rows, "getppid") == 111
    assert rows[rows["nr"] == nr("getppid")]["hist"].sum() == 111


def test_killed_in_a_call(source: BpfSource, tmp_path: Path) -> None:
    """A call that a signal ends for good is counted once, as interrupted."""
    program = build("family", tmp_path)
    source.read()
    with subprocess.Popen(
        [program, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as family:
        assert family.stdout is not None
        family.stdout.readline()
        # In read: its first thread. In futex: the second.
        assert eventually(lambda: _syscall_of(family.pid) == nr("read"))
        family.kill()
        family.wait()
        rows = of(source.read().rows, pid=family.pid)
    assert calls(rows, "read", ERESTARTSYS) == 1
    assert calls(rows, "futex", ERESTARTSYS) == 1
    assert calls(rows, "exit_group") == calls(rows, "exit") == 0


def _syscall_of(pid: int) -> int:
    """The number of the call that a process is in; -1 for none (proc_pid_syscall)."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()
    return int(words[0]) if words[0] != "running" else -1
