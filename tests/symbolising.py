"""What the tests of stacks share: programs to look into, and true inputs without BPF."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sysdash.probes.symbols import RawStack

PROGRAMS = Path(__file__).parent / "programs"

_PTRACE_GETREGS, _PTRACE_SEIZE, _PTRACE_INTERRUPT, _PTRACE_DETACH = 12, 0x4206, 0x4207, 17
_WALL = 0x40000000
# struct user_regs_struct, sys/user.h
_REGISTERS, _RBP, _RIP, _RSP = 27, 4, 16, 19

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def build(source: str, program: Path, *flags: str) -> Path:
    """Compile one of ``tests/programs``; returns the program."""
    compiler = "gcc" if source.endswith(".c") else "g++"
    command = [compiler, *flags, "-pthread", "-o", str(program), str(PROGRAMS / source)]
    subprocess.run(command, check=True)
    return program


@contextmanager
def started(*command: str | Path, wait_for: str = "nanosleep") -> Iterator[int]:
    """Run a program that prints its PID, until it sleeps; ended at the end."""
    words = [str(word) for word in command]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            wait_until_blocked(pid, wait_for)
            yield pid
        finally:
            process.kill()


def wait_until_blocked(pid: int, call: str = "nanosleep") -> int:
    """Wait until a thread of a process is inside a call; returns the thread's ID."""
    numbers = {"nanosleep": ("35", "230", "162", "407"), "futex": ("202",), "read": ("0",)}[call]
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            if (thread / "syscall").read_text().split()[0] in numbers:
                return int(thread.name)
        time.sleep(0.005)
    raise AssertionError(f"{pid} never was in {call}")


def _ptrace(request: int, tid: int, address: int = 0, data: object = None) -> None:
    if _libc.ptrace(request, tid, address, data) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def registers(tid: int) -> tuple[int, int, int]:
    """ip, sp and bp of a blocked thread."""
    values = (ctypes.c_ulonglong * _REGISTERS)()
    _ptrace(_PTRACE_SEIZE, tid)
    try:
        _ptrace(_PTRACE_INTERRUPT, tid)
        os.waitpid(tid, _WALL)
        _ptrace(_PTRACE_GETREGS, tid, 0, ctypes.byref(values))
    finally:
        _ptrace(_PTRACE_DETACH, tid)
    return values[_RIP], values[_RSP], values[_RBP]


def raw_stack(tid: int, size: int = 4096, *, frame_pointers: bool = True) -> RawStack:
    """What the probe would tell of a blocked thread; the kernel's walk is done here."""
    ip, sp, bp = registers(tid)
    with Path(f"/proc/{tid}/mem").open("rb", buffering=0) as file:

        def read(address: int, amount: int) -> bytes:
            try:
                return os.pread(file.fileno(), amount, address)
            except (OSError, OverflowError):
                return b""

        memory = b"".join(read(sp + place, 256) for place in range(0, size, 256))
        frames = [ip]
        base = bp
        while frame_pointers and len(frames) < 127:
            words = read(base, 16)
            if len(words) < 16:
                break
            before, address = (int.from_bytes(words[at : at + 8], sys.byteorder) for at in (0, 8))
            frames.append(address)
            if before <= base:
                break
            base = before
    return RawStack(ip, sp, bp, tuple(frames) if frame_pointers else (), memory)


def functions(frames: tuple[str, ...]) -> list[str]:
    """The names alone, without offset and module; a frame without a name as it is."""
    return [
        frame.partition("`")[2].rpartition("+")[0] if "`" in frame else frame for frame in frames
    ]


def at_once(threads: int, work: object) -> None:
    """Run something on several threads together; the first error of any is raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001  it is raised below
            errors.append(error)

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]
