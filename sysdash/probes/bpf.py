"""The bpf(2) system call itself, as far as trying out what a kernel allows takes it.

The probe goes through bcc. This needs neither bcc nor a compiler: its programs are a few
instructions, and what they make is gone when the ``with`` block ends. Only for x86-64.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

# arch/x86/entry/syscalls/syscall_64.tbl
_SYS_BPF = 321
_SYS_PERF_EVENT_OPEN = 298

# enum bpf_cmd, include/uapi/linux/bpf.h
_MAP_CREATE = 0
_PROG_LOAD = 5
_RAW_TRACEPOINT_OPEN = 17
_BTF_LOAD = 18

# enum bpf_map_type
ARRAY = 2
CGROUP_ARRAY = 8
RINGBUF = 27
TASK_STORAGE = 29

# enum bpf_prog_type
KPROBE = 2
TRACEPOINT = 5
RAW_TRACEPOINT = 17
TRACING = 26

# flags of maps, and enum bpf_attach_type
_NO_PREALLOC = 1 << 0
_MMAPABLE = 1 << 10
_TRACE_FENTRY = 24

# include/uapi/linux/perf_event.h
_PERF_TYPE_TRACEPOINT = 2
_PERF_ATTR_SIZE = 128
_PERF_FLAG_FD_CLOEXEC = 8
_PERF_IOC_SET_BPF = 0x4004_2408

# enum bpf_func_id
_CURRENT_TASK_UNDER_CGROUP = 37
_PROBE_READ_KERNEL = 113
_RINGBUF_OUTPUT = 130
_TASK_STORAGE_GET = 156
_GET_CURRENT_TASK_BTF = 158
_TASK_PT_REGS = 175

_libc = ctypes.CDLL(None, use_errno=True)


def _result(value: int) -> int:
    if value < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return value


def _bpf(command: int, attr: bytes) -> int:
    buffer = ctypes.create_string_buffer(attr, len(attr))
    return _result(_libc.syscall(_SYS_BPF, command, buffer, len(attr)))


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


# --- Maps ---


def _create_map(
    kind: int, key: int, value: int, entries: int, flags: int = 0, btf: int = 0, type_id: int = 0
) -> int:
    attr = struct.pack("<5I", kind, key, value, entries, flags) + bytes(28)
    return _bpf(_MAP_CREATE, attr + struct.pack("<3I", btf, type_id, type_id))


@contextmanager
def mmapable_array() -> Iterator[int]:
    """An array of one page that can be mapped.

    Raises:
        OSError: the kernel refuses it.
    """
    with _closing(_create_map(ARRAY, 4, 8, 512, _MMAPABLE)) as fd:
        yield fd


@contextmanager
def cgroup_array() -> Iterator[int]:
    """An array for one cgroup, which is empty.

    Raises:
        OSError: the kernel refuses it.
    """
    with _closing(_create_map(CGROUP_ARRAY, 4, 4, 1)) as fd:
        yield fd


@contextmanager
def ring_buffer() -> Iterator[int]:
    """A ring buffer of one page.

    Raises:
        OSError: the kernel refuses it.
    """
    with _closing(_create_map(RINGBUF, 0, 0, 4096)) as fd:
        yield fd


@contextmanager
def task_storage() -> Iterator[int]:
    """Storage of four bytes for every task.

    Raises:
        OSError: the kernel refuses it.
    """
    # Its key and value must have types: one "int" (Documentation/bpf/btf.rst).
    names = b"\0int\0"
    types = struct.pack("<4I", 1, 1 << 24, 4, 1 << 24 | 32)
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names))
    blob = ctypes.create_string_buffer(header + types + names)
    size = len(blob) - 1
    with (
        _closing(
            _bpf(_BTF_LOAD, struct.pack("<2Q3I", ctypes.addressof(blob), 0, size, 0, 0))
        ) as btf,
        _closing(_create_map(TASK_STORAGE, 4, 4, 0, _NO_PREALLOC, btf, 1)) as fd,
    ):
        yield fd


# --- Programs ---


def _instruction(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, to | source << 4, offset, value)


def _set(register: int, value: int) -> bytes:
    return _instruction(0xB7, register, value=value)


def _copy(register: int, source: int) -> bytes:
    return _instruction(0xBF, register, source)


def _call(helper: int) -> bytes:
    return _instruction(0x85, value=helper)


def _set_map(register: int, fd: int) -> bytes:
    return _instruction(0x18, register, 1, value=fd) + bytes(8)  # 1: BPF_PSEUDO_MAP_FD


# r1 = address of eight zero bytes on the stack
_R1_TO_STACK = _instruction(0x7A, 10, offset=-8) + _copy(1, 10) + _instruction(0x07, 1, value=-8)
_RETURN_0 = _set(0, 0) + _instruction(0x95)

NOTHING = _RETURN_0
"""A program that does nothing."""

READ_KERNEL = _R1_TO_STACK + _set(2, 8) + _set(3, 0) + _call(_PROBE_READ_KERNEL) + _RETURN_0
"""A program that reads kernel memory."""


def write_ring(fd: int) -> bytes:
    """A program that writes eight bytes to a ring buffer."""
    data = _R1_TO_STACK + _copy(2, 1)
    return data + _set_map(1, fd) + _set(3, 8) + _set(4, 0) + _call(_RINGBUF_OUTPUT) + _RETURN_0


def use_task_storage(fd: int) -> bytes:
    """A program that gets the current task's storage, making it if need be."""
    task = _call(_GET_CURRENT_TASK_BTF) + _copy(2, 0)
    return task + _set_map(1, fd) + _set(3, 0) + _set(4, 1) + _call(_TASK_STORAGE_GET) + _RETURN_0


USE_TASK_PT_REGS = _call(_GET_CURRENT_TASK_BTF) + _copy(1, 0) + _call(_TASK_PT_REGS) + _RETURN_0
"""A program that gets the current task's saved registers."""


def ask_cgroup(fd: int) -> bytes:
    """A program that asks whether the current task is in the cgroup of an array."""
    return _set_map(1, fd) + _set(2, 0) + _call(_CURRENT_TASK_UNDER_CGROUP) + _RETURN_0


@contextmanager
def program(
    kind: int, instructions: bytes, attach_type: int = 0, function_id: int = 0
) -> Iterator[int]:
    """A loaded program, not attached.

    Args:
        kind: its type.
        instructions: its code.
        attach_type: the expected attach type, for the kinds that have one.
        function_id: BTF ID of the function that it is for, likewise.

    Raises:
        OSError: the kernel refuses it.
    """
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"GPL")
    attr = struct.pack(
        "<IIQQ", kind, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(licence)
    )
    attr = attr.ljust(68, b"\0") + struct.pack("<I", attach_type)
    attr = attr.ljust(108, b"\0") + struct.pack("<I", function_id)
    with _closing(_bpf(_PROG_LOAD, attr)) as fd:
        yield fd


# --- Attaching, for a moment ---


def try_raw_tracepoint(name: str, instructions: bytes = NOTHING) -> None:
    """Attach a program to a raw tracepoint and detach it.

    Raises:
        OSError: the kernel refuses it.
    """
    text = ctypes.create_string_buffer(name.encode())
    with program(RAW_TRACEPOINT, instructions) as fd:
        attr = struct.pack("<QI", ctypes.addressof(text), fd)
        os.close(_bpf(_RAW_TRACEPOINT_OPEN, attr))


def try_fentry(function_id: int) -> None:
    """Attach a program to the entry of a kernel function and detach it.

    Args:
        function_id: BTF ID of the function.

    Raises:
        OSError: the kernel refuses it.
    """
    with program(TRACING, NOTHING, _TRACE_FENTRY, function_id) as fd:
        os.close(_bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI", 0, fd)))


def try_tracepoint(tracepoint_id: int) -> None:
    """Attach a program to a tracepoint by way of perf, and detach it.

    Args:
        tracepoint_id: its ID in tracefs.

    Raises:
        OSError: the kernel refuses it.
    """
    _try_perf(TRACEPOINT, _PERF_TYPE_TRACEPOINT, tracepoint_id)


def try_kprobe(pmu_type: int, function: str) -> None:
    """Attach a program to a kprobe at a function's entry, and detach it.

    Args:
        pmu_type: what ``/sys/bus/event_source/devices/kprobe/type`` says.
        function: name of a kernel function.

    Raises:
        OSError: the kernel refuses it.
    """
    name = ctypes.create_string_buffer(function.encode())
    _try_perf(KPROBE, pmu_type, 0, ctypes.addressof(name))


def _try_perf(kind: int, perf_type: int, config: int, config1: int = 0) -> None:
    # struct perf_event_attr: type, size, config, then config1 at 56.
    attr = struct.pack("<IIQ", perf_type, _PERF_ATTR_SIZE, config).ljust(56, b"\0")
    attr = (attr + struct.pack("<Q", config1)).ljust(_PERF_ATTR_SIZE, b"\0")
    buffer = ctypes.create_string_buffer(attr, len(attr))
    with (
        program(kind, NOTHING) as fd,
        _closing(
            _result(_libc.syscall(_SYS_PERF_EVENT_OPEN, buffer, -1, 0, -1, _PERF_FLAG_FD_CLOEXEC))
        ) as event,
    ):
        fcntl.ioctl(event, _PERF_IOC_SET_BPF, fd)
