"""What /proc tells of one thread: the call it is inside of, since when, and where in the kernel.

The files belong to processes that can end at any moment and may be hostile: reads are bounded, and
whatever cannot be read or understood is None or empty.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from sysdash.records import ABI_CODES
from sysdash.units import safe

_X32_BIT = 0x4000_0000  # __X32_SYSCALL_BIT, arch/x86/include/uapi/asm/unistd.h

_MOST_BYTES = 64 * 1024
"""Of a file in /proc; those read here have a few hundred."""

_MOST_FRAMES = 128
_LONGEST_FRAME = 200

# "[<0>] pipe_read+0x2f/0x420 [module]": fs/proc/base.c, proc_pid_stack(), "%pB".
_FRAME = re.compile(rb"\[<[0-9a-f]*>\] ([^ /]+)(?:/0x[0-9a-f]+)?(?: \[([^\]]+)\])?")

_EXEC_START = re.compile(rb"se\.exec_start +: +(\d+)\.(\d{6})")

_SWITCHES = re.compile(rb"^voluntary_ctxt_switches:\t(\d+)$", re.MULTILINE)

_ELF_CLASS_32 = 1  # ELFCLASS32, elf(5)

_NO_CALLS = 0x0020_0010
"""Of a thread's flags, PF_KTHREAD and PF_IO_WORKER (include/linux/sched.h): the kernel's own."""

_AWAKE = (b"R", b"Z", b"X")
"""States of threads that run or have ended: proc_pid_stat(5)."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The call that a sleeping thread is inside of.

    Attributes:
        nr, abi: the number, and the table it belongs to.
        args: the six argument registers.
        sp, ip: stack pointer and instruction pointer with which the thread goes on; by them, too,
            one call is told from another with the same arguments.
    """

    nr: int
    abi: int
    args: tuple[int, ...]
    sp: int
    ip: int


def read(path: str, most: int = _MOST_BYTES) -> bytes:
    """At most ``most`` bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    # Several times as fast as Path.read_bytes(), and thousands of threads are looked at.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        parts = []
        while most > 0 and (part := os.read(file, min(most, _MOST_BYTES))):
            parts.append(part)
            most -= len(part)
        return b"".join(parts)
    finally:
        os.close(file)


def _lines(pid: int, tid: int, name: str) -> bytes:
    """A thread's file; empty where it cannot be read."""
    try:
        return read(f"/proc/{pid}/task/{tid}/{name}")
    except OSError:  # it has ended, or is not ours to look at
        return b""


def process_ids() -> set[int]:
    """The processes there are."""
    return set(_numbers("/proc"))


def thread_ids(pid: int) -> list[int]:
    """The threads of a process; none if it has ended."""
    return _numbers(f"/proc/{pid}/task")


def exists(pid: int, tid: int) -> bool:
    """Whether a thread is there."""
    return os.access(f"/proc/{pid}/task/{tid}", os.F_OK)


def _numbers(folder: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []


def inside(pid: int, tid: int, *, ia32: bool) -> Inside | None:
    """The call that a thread sleeps in; None if it is in none, runs, or has ended.

    Args:
        pid: its process.
        tid: the thread.
        ia32: whether its numbers are those of the 32-bit table, which /proc does not tell.
    """
    # fs/proc/base.c, proc_pid_syscall(): "running", "-1 SP PC" or "NR ARG*6 SP PC".
    fields = _lines(pid, tid, "syscall").split()
    if len(fields) != 9:
        return None
    try:
        nr, *values = int(fields[0]), *(int(field, 16) for field in fields[1:])
    except ValueError:
        return None
    # A kernel thread has no registers: all are 0.
    if nr < 0 or not any(values[6:]):
        return None
    abi = ABI_CODES["NATIVE"]
    if ia32:
        abi = ABI_CODES["IA32"]
        values[:6] = [value & 0xFFFF_FFFF for value in values[:6]]
    elif nr >> 30 == 1:
        abi, nr = ABI_CODES["X32"], nr & ~_X32_BIT
    return Inside(nr, abi, tuple(values[:6]), values[6], values[7])


def is_closed(pid: int, tid: int) -> bool:
    """Whether a program's thread sleeps, and this process may not know inside of which call.

    That takes CAP_DAC_READ_SEARCH to open the file of another user, and CAP_SYS_PTRACE to read it
    (PTRACE_MODE_ATTACH_FSCREDS, fs/proc/base.c, proc_pid_syscall()); some threads are closed to
    everybody.
    """
    try:
        read(f"/proc/{pid}/task/{tid}/syscall", 1)
    except PermissionError:
        fields = _lines(pid, tid, "stat").rpartition(b")")[2].split()
        return len(fields) > 6 and fields[0] not in _AWAKE and not int(fields[6]) & _NO_CALLS
    except OSError:  # it has ended
        pass
    return False


@dataclass(frozen=True, slots=True)
class State:
    """What a thread is, as its ``stat`` has it.

    Attributes:
        letter: its state: ``S`` where signals wake it, ``D`` where none does, and others, as in
            proc_pid_stat(5).
        program: a number that changes when its process executes another program: it is made of
            where program, stack, arguments and environment are in memory, which is at random.
    """

    letter: str
    program: int


# Of the fields of stat, from the third on: startcode to startstack, start_data to env_end.
_LAYOUT = (slice(23, 26), slice(42, 49))


def state(pid: int, tid: int) -> State | None:
    """What a thread is; None if it has ended, or is not ours to look at."""
    # "tid (name) state ...", where the name can hold anything. That of the process, /proc/PID/stat,
    # adds up all of its threads.
    fields = _lines(pid, tid, "stat").rpartition(b")")[2].split()
    if len(fields) < 49:
        return None
    layout = tuple(field for part in _LAYOUT for field in fields[part])
    # Half of the numbers are left to others: addresses of the kernel, for one, are in the other.
    return State(fields[0].decode("ascii", "replace"), hash(layout) & (1 << 63) - 1)


def stack_copy(pid: int, tid: int, sp: int, most: int) -> bytes:
    """The top of a thread's user stack, from ``sp`` on; the part before what cannot be read."""
    try:
        with open(f"/proc/{pid}/task/{tid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
            # The kernel goes page by page, and stops at the first that it cannot read.
            return os.pread(memory.fileno(), most, sp)
    except (OSError, OverflowError):  # ended, not ours, no such address
        return b""


def is_ia32(pid: int) -> bool:
    """Whether a process runs a 32-bit program, by the class in its ELF header."""
    try:
        head = read(f"/proc/{pid}/exe", 20)
    except OSError:  # a kernel thread has none
        return False
    # x32 programs are of this class too, for the machine EM_X86_64 (62).
    return head[:5] == b"\x7fELF" + bytes([_ELF_CLASS_32]) and head[18:20] != b"\x3e\0"


def comm(pid: int, tid: int | None = None) -> bytes:
    """A thread's name, by default the first one's; empty if it has ended."""
    return _lines(pid, pid if tid is None else tid, "comm").removesuffix(b"\n")


def parent(pid: int) -> int:
    """The process whose child a process is; 0 if that cannot be told."""
    # "pid (name) state ppid ...", where the name can hold anything: proc_pid_stat(5).
    fields = _lines(pid, pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def cgroup(pid: int, tid: int) -> bytes:
    """A thread's cgroup below the v2 hierarchy's mount, as ``/a/b``; empty if not known."""
    for line in _lines(pid, tid, "cgroup").splitlines():
        if line.startswith(b"0::"):
            return line[3:]
    return b""


def cpu(pid: int, tid: int) -> int:
    """The CPU on which a thread ran last; -1 if that cannot be told."""
    fields = _lines(pid, tid, "stat").rpartition(b")")[2].split()
    return int(fields[36]) if len(fields) > 36 else -1


def last_ran_ns(pid: int, tid: int) -> int | None:
    """When a sleeping thread ran last, on the scheduler's clock; None if that is not told.

    :class:`sysdash.probes.schedclock.SchedulerClock` tells how that goes.
    """
    found = _EXEC_START.search(_lines(pid, tid, "sched"))
    # 0 stands there from its being woken for another CPU until it runs (kernel/sched/fair.c,
    # migrate_task_rq_fair()).
    return (int(found[1]) * 1_000_000 + int(found[2]) or None) if found else None


def switches(pid: int, tid: int) -> int | None:
    """How often a thread has gone to sleep; None if that is not told."""
    found = _SWITCHES.search(_lines(pid, tid, "status"))
    return int(found[1]) if found else None


def start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot; -1 if it has ended."""
    fields = _lines(pid, pid, "stat").rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 else -1


def kernel_stack(pid: int, tid: int) -> tuple[str, ...]:
    """Where in the kernel a thread sleeps, innermost first, as ``vmlinux`pipe_read+0x2f``.

    Where the kernel shows no stacks, the one function it waits in; empty where nothing is known.
    """
    frames = []
    for line in _lines(pid, tid, "stack").splitlines()[:_MOST_FRAMES]:
        found = _FRAME.match(line)
        if found:
            frames.append(_frame(found[2] or b"vmlinux", found[1]))
    if not frames:
        channel = _lines(pid, tid, "wchan").strip()
        if channel not in (b"", b"0"):
            frames.append(_frame(b"vmlinux", channel))
    return tuple(frames)


def _frame(module: bytes, function: bytes) -> str:
    return safe((module + b"`" + function)[:_LONGEST_FRAME])
