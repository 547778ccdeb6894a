"""The kernel's own symbols."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sysdash.units import fit, safe

_KALLSYMS = Path("/proc/kallsyms")
_MOST_BYTES = 128 << 20
_ADDRESS_DIGITS = 16
_TEXT = b"TtWw"
_NAME_COLUMNS = 128
_SCHEDULER = (b"__sched_text_start", b"__sched_text_end")
_FARTHEST = 1 << 20
_MOST_ALIASES = 16


class KernelSymbols:
    """Functions of the kernel and its modules, of ``/proc/kallsyms``, read when first asked for.

    Attributes:
        without: why there are none, once they were asked for; empty otherwise.
    """

    def __init__(self, path: Path = _KALLSYMS) -> None:
        self._path = path
        self.without = ""

    @cached_property
    def _table(self) -> tuple[bytes, npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """The text; of each function, in order of address, its address and where its line is."""
        none = b"", np.zeros(0, np.uint64), np.zeros(0, np.int64)
        try:
            with self._path.open("rb") as file:
                text = file.read(_MOST_BYTES)
        except OSError as error:
            self.without = f"{self._path}: {error.strerror}"
            return none
        content = np.frombuffer(text, np.uint8)
        breaks = np.flatnonzero(content == ord("\n"))
        lines = np.append(0, breaks[:-1] + 1) if len(breaks) else breaks
        # ffffffff81000000 T _text: proc_kallsyms(5)
        lines = lines[breaks - lines >= _ADDRESS_DIGITS + 4]
        kinds = content[lines + _ADDRESS_DIGITS + 1]
        lines = lines[np.isin(kinds, np.frombuffer(_TEXT, np.uint8))]
        digits = content[lines[:, None] + np.arange(_ADDRESS_DIGITS)]
        values = np.where(digits >= ord("a"), digits - ord("a") + 10, digits - ord("0"))
        valid = (values < 16).all(axis=1)
        lines, values = lines[valid], values[valid]
        shifts = np.arange(4 * (_ADDRESS_DIGITS - 1), -1, -4, dtype=np.uint64)
        addresses = (values.astype(np.uint64) << shifts).sum(axis=1, dtype=np.uint64)
        if not addresses.any():
            self.without = (
                "the kernel hides its addresses (sysctl kernel.kptr_restrict, or not root)"
                if len(addresses)
                else f"{self._path} has no functions"
            )
            return none
        order = np.argsort(addresses, kind="stable")
        return text, addresses[order], lines[order]

    @cached_property
    def _scheduler(self) -> range:
        """Where the scheduler's functions lie; empty where that is not known."""
        text = self._table[0]
        bounds = [
            int(text[at - _ADDRESS_DIGITS - 2 : at - 2], 16)
            for name in _SCHEDULER
            # ffffffff821f7be0 T __sched_text_start
            if (at := text.find(b" " + name + b"\n")) >= _ADDRESS_DIGITS + 2
        ]
        return range(*bounds) if len(bounds) == len(_SCHEDULER) else range(0)

    def is_scheduler(self, address: int) -> bool:
        """Whether the function before a return address is of those that only wait.

        As ``in_sched_functions()`` of kernel/sched/core.c.
        """
        return address in self._scheduler

    def __len__(self) -> int:
        return len(self._table[1])

    def name(self, address: int) -> str:
        """```vmlinux`do_sys_poll+0x1b``; the address where it is in no known function.

        Args:
            address: of an instruction; of a call's return address give the byte before and see
                :meth:`caller`.
        """
        return self._named(address, address)

    def caller(self, address: int) -> str:
        """The same of a return address: the function that called, even if that was its last act."""
        return self._named(address - 1, address)

    def _named(self, within: int, address: int) -> str:
        text, addresses, lines = self._table
        if not 0 <= within < 2**64:
            return f"{address:#x}"
        last = int(np.searchsorted(addresses, np.uint64(within), "right")) - 1
        if last < 0 or within - int(addresses[last]) > _FARTHEST:
            return f"{address:#x}"
        start = int(addresses[last])
        first = int(np.searchsorted(addresses, addresses[last], "left"))
        aliases = [_line(text, int(at)) for at in lines[first : last + 1][:_MOST_ALIASES]]
        _, _, _, name, module = min(aliases)
        shown = f"{safe(module or b'vmlinux')}`{safe(name)}"
        return f"{fit(shown, _NAME_COLUMNS)}+{address - start:#x}"


def _line(text: bytes, at: int) -> tuple[int, int, int, bytes, bytes]:
    """Of a line: how good a name it has (less is better), then name and module."""
    line = text[at + _ADDRESS_DIGITS + 1 : text.find(b"\n", at)]
    kind, name_and_module = line[:1], line[2:]
    name, _, module = name_and_module.partition(b"\t")
    underscores = len(name) - len(name.lstrip(b"_"))
    return _TEXT.index(kind), underscores, len(name), name, module.strip(b"[]")
