"""Offsets of kernel structures, from the running kernel's BTF.

libbpf reads the BTF; it is there wherever bcc is, which depends on it.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Self

from sysdash.errors import CannotCollect

_KIND_STRUCT = 4
_KIND_UNION = 5
_MODIFIERS = (8, 9, 10, 11, 18)  # typedef, volatile, const, restrict, type tag


class _Type(ctypes.Structure):
    """struct btf_type of include/uapi/linux/btf.h."""

    _fields_ = (
        ("name", ctypes.c_uint32),
        ("info", ctypes.c_uint32),
        ("size_or_type", ctypes.c_uint32),
    )

    @property
    def kind(self) -> int:
        return int(self.info >> 24) & 0x1F

    @property
    def members(self) -> int:
        return int(self.info) & 0xFFFF


class _Member(ctypes.Structure):
    """struct btf_member; ``offset`` is in bits, with a bit field's size above bit 24."""

    _fields_ = (
        ("name", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
    )


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError:
        library = ctypes.CDLL("libbpf.so.0", use_errno=True)
    library.btf__load_vmlinux_btf.restype = ctypes.c_void_p
    library.btf__free.argtypes = [ctypes.c_void_p]
    library.btf__find_by_name_kind.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32]
    library.btf__find_by_name_kind.restype = ctypes.c_int32
    library.btf__type_by_id.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.btf__type_by_id.restype = ctypes.POINTER(_Type)
    library.btf__name_by_offset.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.btf__name_by_offset.restype = ctypes.c_char_p
    return library


class KernelTypes:
    """The types of the running kernel. Use as a context manager: the BTF takes some megabytes."""

    def __init__(self) -> None:
        """Load ``/sys/kernel/btf/vmlinux``.

        Raises:
            CannotCollect: libbpf or the kernel's BTF is missing.
        """
        try:
            self._lib = _library()
        except OSError as error:
            raise CannotCollect(f"libbpf is not installed ({error})", "install bcc") from None
        self._btf = self._lib.btf__load_vmlinux_btf()
        # libbpf before 1.0 returns an error as a pointer near the top of the address space.
        if not self._btf or self._btf > 2**64 - 4096:
            raise CannotCollect(
                "the kernel has no BTF (/sys/kernel/btf/vmlinux)",
                "use a kernel built with CONFIG_DEBUG_INFO_BTF=y",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.btf__free(self._btf)

    def _type(self, type_id: int) -> _Type:
        found: _Type = self._lib.btf__type_by_id(self._btf, type_id).contents
        while found.kind in _MODIFIERS:
            found = self._lib.btf__type_by_id(self._btf, found.size_or_type).contents
        return found

    def _struct(self, name: str) -> _Type:
        type_id = self._lib.btf__find_by_name_kind(self._btf, name.encode(), _KIND_STRUCT)
        if type_id < 0:
            raise KeyError(f"struct {name}")
        return self._type(type_id)

    def _find(self, struct: _Type, member: str) -> tuple[int, int] | None:
        """Offset in bytes and type of a member, also one in an unnamed struct or union."""
        start = ctypes.addressof(struct) + ctypes.sizeof(_Type)
        for entry in (_Member * struct.members).from_address(start):
            name = self._lib.btf__name_by_offset(self._btf, entry.name).decode()
            offset = (entry.offset & 0xFFFFFF) // 8
            if name == member:
                return offset, entry.type
            inner = self._type(entry.type)
            if not name and inner.kind in (_KIND_STRUCT, _KIND_UNION):
                found = self._find(inner, member)
                if found:
                    return offset + found[0], found[1]
        return None

    def offset(self, struct: str, path: str) -> int:
        """Offset in bytes of a member such as ``("task_struct", "thread_info.status")``.

        Raises:
            KeyError: this kernel has no such struct or member.
        """
        current, total = self._struct(struct), 0
        for member in path.split("."):
            found = self._find(current, member)
            if found is None:
                raise KeyError(f"struct {struct}: {path}")
            total += found[0]
            current = self._type(found[1])
        return total

    def size(self, struct: str) -> int:
        """Size of a struct in bytes.

        Raises:
            KeyError: this kernel has no such struct.
        """
        return int(self._struct(struct).size_or_type)
