"""Compiles, loads and attaches the probe; the only place that imports bcc.

bcc wants kernel headers, which most machines do not have and the probe does not use. It is pointed
at ``kernel_headers/`` instead, which has the few definitions that bcc's own headers ask for.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sysdash.errors import CannotCollect
from sysdash.probes import capabilities

_HERE = Path(__file__).parent

_COUNT = np.dtype("<u8")

_SPARE = 1024
"""Entries that may come into a map while it is read."""

_PIDFD_THREAD = os.O_EXCL  # include/uapi/linux/pidfd.h


@contextmanager
def _own_headers() -> Iterator[None]:
    name = "BCC_KERNEL_SOURCE"
    before = os.environ.get(name)
    os.environ[name] = str(_HERE / "kernel_headers")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _import_bcc() -> Any:
    try:
        import bcc
    except ImportError as error:
        raise CannotCollect(
            f"bcc's Python module cannot be imported ({error})", capabilities.install_bcc()
        ) from None
    if not hasattr(bcc, "BPF"):
        raise CannotCollect(
            f"{bcc.__file__} is not the BPF Compiler Collection", capabilities.install_bcc()
        )
    return bcc


def _give_back_memory() -> None:
    """Have the C library return what the compiler has freed: some 40 MB, which it would keep."""
    # A function of glibc, malloc_trim(3); others return memory by themselves.
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Program:
    """One compiled BPF source file: its maps, and the programs of it that are attached.

    Use as a context manager, or call :meth:`close`; both detach everything.
    """

    def __init__(self, source: str, defines: Mapping[str, int]) -> None:
        """Compile ``source``, a file beside this module, and create its maps.

        Raises:
            CannotCollect: bcc is missing, does not work here, or the user may not use BPF.
        """
        bcc = _import_bcc()
        self._kind = bcc.BPF.RAW_TRACEPOINT
        self._lib = bcc.lib
        self._links = ExitStack()
        flags = [f"-I{_HERE}", "-Wno-unused-function"]
        flags += [f"-D{name}={value}" for name, value in defines.items()]
        try:
            with _own_headers():
                self._bpf = bcc.BPF(src_file=str(_HERE / source).encode(), cflags=flags)
        except Exception as error:  # noqa: BLE001  (bcc raises nothing more precise)
            if os.geteuid():
                capabilities.require_privileges()
            raise CannotCollect(
                f"bcc cannot compile the probe ({error})", "run `sysdash doctor`"
            ) from None
        finally:
            _give_back_memory()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attach(self, function: str, tracepoint: str) -> int:
        """Load a function and attach it to a raw tracepoint; returns the program's descriptor.

        Raises:
            CannotCollect: the kernel refuses it.
        """
        loaded = self._load(function)
        link = self._lib.bpf_attach_raw_tracepoint(loaded, tracepoint.encode())
        if link < 0:
            reason = os.strerror(ctypes.get_errno() or -link)
            raise CannotCollect(
                f"the raw tracepoint {tracepoint} cannot be used: {reason}", capabilities.needs()
            )
        self._links.callback(os.close, link)
        return loaded

    def _load(self, function: str) -> int:
        try:
            return int(self._bpf.load_func(function.encode(), self._kind).fd)
        except Exception as error:  # noqa: BLE001  (bcc raises nothing more precise)
            raise CannotCollect(
                f"the kernel does not load the probe ({error})", capabilities.needs()
            ) from None

    def let_call(self, function: str, table: str) -> None:
        """Load a function that another one goes on in, by the first entry of a map of programs.

        Raises:
            CannotCollect: the kernel refuses it.
        """
        self.update(table, struct.pack("=I", 0), struct.pack("=I", self._load(function)))

    def take_entries(
        self, table: str, key: np.dtype[Any], most: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint64]]:
        """The keys and counts of a hash map that nobody writes to meanwhile; empties it.

        Args:
            table: a hash of 64-bit counts.
            key: its keys.
            most: its size.

        Raises:
            OSError: the kernel refuses it.
        """
        return self._batches(self._lib.bpf_lookup_and_delete_batch, table, key, _COUNT, most)

    def entries(
        self, table: str, key: np.dtype[Any], value: np.dtype[Any], most: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The keys and values of a hash map; of those that come and go meanwhile, some.

        Args:
            table: its name.
            key: its keys.
            value: its values.
            most: its size.

        Raises:
            OSError: the kernel refuses it.
        """
        # A bucket that does not fit in is an error, and more may come before it is read.
        return self._batches(self._lib.bpf_lookup_batch, table, key, value, most + _SPARE)

    def _batches(
        self, look_up: Any, table: str, key: np.dtype[Any], value: np.dtype[Any], most: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        keys, counts = np.zeros(most, dtype=key), np.zeros(most, dtype=value)
        have = 0
        # Of a hash map, where to go on is the number of a bucket.
        cursor, following = None, ctypes.c_uint32()
        while have < most:
            length = ctypes.c_uint32(most - have)
            result = look_up(
                self.fd(table),
                cursor,
                ctypes.byref(following),
                ctypes.c_void_p(keys[have:].ctypes.data),
                ctypes.c_void_p(counts[have:].ctypes.data),
                ctypes.byref(length),
            )
            error = ctypes.get_errno()
            # ENOENT is how it says that it is done. ENOSPC: so much has come in meanwhile that the
            # next bucket does not fit in.
            if result < 0 and error not in (errno.ENOENT, errno.ENOSPC):
                raise OSError(error, f"BPF map {table}: {os.strerror(error)}")
            have += length.value
            cursor = ctypes.byref(ctypes.c_uint32(following.value))
            if result < 0:
                break
        return keys[:have], counts[:have]

    def entry(self, table: str, key: bytes, value: np.dtype[Any]) -> npt.NDArray[Any] | None:
        """The value of one entry of a map, shape (); None if it is not there."""
        found = ctypes.create_string_buffer(value.itemsize)
        if self._lib.bpf_lookup_elem(self.fd(table), ctypes.c_char_p(key), found) < 0:
            return None
        return np.frombuffer(found.raw, dtype=value).reshape(())

    def array_of(self, table: str, number: int, length: int) -> list[int]:
        """The 64-bit words of one entry of a map; all 0 where there is none.

        Args:
            table: a map of such arrays, as of stacks.
            number: its key.
            length: words of an entry.
        """
        words = np.zeros(length, dtype="<u8")
        self._lib.bpf_lookup_elem(
            self.fd(table),
            ctypes.byref(ctypes.c_uint32(number)),
            ctypes.c_void_p(words.ctypes.data),
        )
        found: list[int] = words.tolist()
        return found

    def per_cpu(self, table: str, length: int, cpus: int) -> npt.NDArray[np.uint64]:
        """A per-CPU array of 64-bit counts, summed over the CPUs, shape (length,).

        Args:
            table: its name.
            length: its entries.
            cpus: the CPUs that are possible.

        Raises:
            OSError: the kernel refuses it.
        """
        sums = np.zeros(length, dtype="<u8")
        values = np.zeros(cpus, dtype="<u8")
        for i in range(length):
            result = self._lib.bpf_lookup_elem(
                self.fd(table),
                ctypes.byref(ctypes.c_uint32(i)),
                ctypes.c_void_p(values.ctypes.data),
            )
            if result < 0:
                error = ctypes.get_errno()
                raise OSError(error, f"BPF map {table}: {os.strerror(error)}")
            sums[i] = values.sum()
        return sums

    def of_thread(
        self, table: str, tid: int, dtype: np.dtype[np.void]
    ) -> npt.NDArray[np.void] | None:
        """A thread's record in task storage, shape (); None if it has none, or cannot be asked for.

        Threads other than a process's first can be asked for since Linux 6.9 (PIDFD_THREAD).
        """
        try:
            pidfd = os.pidfd_open(tid, _PIDFD_THREAD)
        except OSError:
            try:
                pidfd = os.pidfd_open(tid)
            except OSError:
                return None
        try:
            key, value = ctypes.c_int(pidfd), ctypes.create_string_buffer(dtype.itemsize)
            if self._lib.bpf_lookup_elem(self.fd(table), ctypes.byref(key), value) < 0:
                return None
        finally:
            os.close(pidfd)
        return np.frombuffer(value.raw, dtype=dtype).reshape(())

    def close(self) -> None:
        """Detach the programs, the last attached first, and free the maps."""
        self._links.close()
        self._bpf.cleanup()

    def fd(self, table: str) -> int:
        """A map's descriptor."""
        return int(self._lib.bpf_table_fd(self._bpf.module, table.encode()))

    def mapped(self, table: str, dtype: np.dtype[np.void], length: int) -> npt.NDArray[np.void]:
        """A memory-mapped array map as a writable array of shape (length,).

        Raises:
            CannotCollect: the compiler laid out its records otherwise than ``dtype``.
        """
        self.check_layout(table, dtype)
        size = -(-length * dtype.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = mmap.mmap(self.fd(table), size, mmap.MAP_SHARED)
        return np.frombuffer(memory, dtype=dtype, count=length)

    def check_layout(self, table: str, dtype: np.dtype[np.void], *, key: bool = False) -> None:
        """Compare a map's record with a dtype: size, and every field's name, offset and size.

        Args:
            table: the map.
            dtype: what sysdash reads.
            key: compare its keys, not its values.

        Raises:
            CannotCollect: they differ.
        """
        maps = self._bpf[table.encode()]
        found = layout_of(maps.Key if key else maps.Leaf)
        wanted = layout_of_dtype(dtype)
        if found != wanted:
            raise CannotCollect(
                f"the probe's {table} is {found}, but sysdash reads {wanted}", "reinstall sysdash"
            )

    def update(self, table: str, key: bytes, value: bytes) -> None:
        """Write one entry of a map.

        Raises:
            OSError: the kernel refuses it.
        """
        result = self._lib.bpf_update_elem(
            self.fd(table), ctypes.c_char_p(key), ctypes.c_char_p(value), 0
        )
        if result < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"BPF map {table}: {os.strerror(error)}")

    def delete(self, table: str, key: bytes) -> None:
        """Delete one entry of a map, if it is there."""
        self._lib.bpf_delete_elem(self.fd(table), ctypes.c_char_p(key))

    def open_ring(self, table: str, receive: Callable[[bytes], object]) -> None:
        """Have :meth:`read_rings` call ``receive`` with each record."""

        def take(_context: object, data: int, size: int) -> int:
            receive(ctypes.string_at(data, size))
            # bcc makes an exception of what is no number, which takes longer than all of this.
            return 0

        self._bpf[table.encode()].open_ring_buffer(take)

    def read_rings(self) -> None:
        """Take what is in the ring buffers; never waits."""
        self._bpf.ring_buffer_consume()


def layout_of(record: type[ctypes.Structure]) -> list[tuple[str, int, int]]:
    """The fields of a ctypes structure as (name, offset, size); last ("", 0, the whole size)."""
    fields = []
    for name, *_ in record._fields_:
        place = getattr(record, name)
        fields.append((name, place.offset, place.size))
    return [*fields, ("", 0, ctypes.sizeof(record))]


def layout_of_dtype(dtype: np.dtype[np.void]) -> list[tuple[str, int, int]]:
    """The same of a numpy dtype."""
    fields = [
        (name, int(offset), int(kind.itemsize))
        for name, (kind, offset, *_) in (dtype.fields or {}).items()
    ]
    return [*fields, ("", 0, dtype.itemsize)]


def missed_runs(program_fd: int) -> int:
    """How often the kernel skipped a program because it was already running on that CPU.

    The kernel counts this since 5.12 (``recursion_misses``); before, 0 is returned.
    """
    for line in Path(f"/proc/self/fdinfo/{program_fd}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "recursion_misses":
            return int(value)
    return 0
