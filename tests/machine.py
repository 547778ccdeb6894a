"""What the tests ask of the machine that they run on: BPF programs, child processes, mounts."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import re
import struct
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

# linux/bpf.h
_SYS_BPF = 321
_PROG_LOAD, _PROG_GET_NEXT_ID, _RAW_TRACEPOINT_OPEN = 5, 11, 17
_PROG_TYPE_RAW_TRACEPOINT = 17
_ATTR_SIZE = 128

# linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36


def _bpf(command: int, attr: bytes) -> tuple[int, bytes]:
    """Call bpf(2); return its result and the attributes as the kernel left them."""
    buffer = ctypes.create_string_buffer(attr, _ATTR_SIZE)
    result = _libc.syscall(_SYS_BPF, command, buffer, _ATTR_SIZE)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result, buffer.raw


@functools.cache
def bpf_problem() -> str | None:
    """Why BPF programs cannot be used here, or None if they can.

    Loads the smallest raw tracepoint program, without bcc and without sysdash: what goes wrong
    in those is a failed test, not a machine without BPF.
    """
    # r0 = 0; exit
    instructions = ctypes.create_string_buffer(struct.pack("<QQ", 0xB7, 0x95), 16)
    gpl = ctypes.create_string_buffer(b"GPL")
    name = ctypes.create_string_buffer(b"sys_enter")
    load = struct.pack(
        "<IIQQ",
        _PROG_TYPE_RAW_TRACEPOINT,
        2,
        ctypes.addressof(instructions),
        ctypes.addressof(gpl),
    )
    try:
        program, _ = _bpf(_PROG_LOAD, load)
    except OSError as error:
        return f"loading a BPF program: {error.strerror}"
    try:
        link, _ = _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI", ctypes.addressof(name), program))
        os.close(link)
    except OSError as error:
        return f"attaching a BPF program to a raw tracepoint: {error.strerror}"
    finally:
        os.close(program)
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "the kernel has no BTF: no /sys/kernel/btf/vmlinux"
    return None


def loaded_programs() -> set[int]:
    """The IDs of all BPF programs in the kernel."""
    found: set[int] = set()
    last = 0
    while True:
        try:
            _, attr = _bpf(_PROG_GET_NEXT_ID, struct.pack("<I", last))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return found
            raise
        (last,) = struct.unpack_from("<I", attr, 4)
        found.add(last)


def programs_of(pid: int) -> set[int]:
    """The IDs of the BPF programs that a process has loaded or attached, by its open files."""
    found: set[int] = set()
    for fdinfo in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = fdinfo.read_text()
        except FileNotFoundError:
            continue  # closed since it was listed
        found.update(
            int(number) for number in re.findall(r"^prog_id:\s*(\d+)$", text, re.MULTILINE)
        )
    return found


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def children() -> dict[int, str]:
    """PID and name of every child of this process that has not ended."""
    found: dict[int, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended since it was listed
        # "pid (name) state ppid ...", where the name can hold anything
        head, _, tail = text.rpartition(")")
        state, ppid = tail.split()[:2]
        if int(ppid) == os.getpid() and state != "Z":
            pid, _, name = head.partition(" (")
            found[int(pid)] = name
    return found


def mounts() -> set[str]:
    """Every mount of this process's mount namespace, as /proc/self/mountinfo has it."""
    return set(Path("/proc/self/mountinfo").read_text().splitlines())
