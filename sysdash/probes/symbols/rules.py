"""How one frame's registers follow from another's: what call frame information says."""

from __future__ import annotations

from dataclasses import dataclass

RBX, RBP, RSP, R12, R15, RETURN_ADDRESS = 3, 6, 7, 12, 15, 16
"""DWARF's numbers of registers (System V psABI for x86-64, figure 3.36)."""

CALLEE_SAVED = frozenset({RBX, RBP, *range(R12, R15 + 1)})


@dataclass(frozen=True, slots=True)
class Rule:
    """How the caller's registers are found at one place of the code.

    Attributes:
        register, offset: what the canonical frame address is: a register's value plus an offset;
            the register is None where it is given in a way that is not followed.
        indirect: that is only the place in memory where the canonical frame address is.
        saved: (register, offset from the canonical frame address) of those saved in memory.
        elsewhere: (register, other register, offset) of those saved at a place given by the value
            of another register.
        lost: registers whose values are not known in the caller.
        outermost: there is no caller.
        signal: the frame is a signal handler's return, made by the kernel.
    """

    register: int | None = None
    offset: int = 0
    saved: tuple[tuple[int, int], ...] = ()
    lost: frozenset[int] = frozenset()
    outermost: bool = False
    signal: bool = False
    indirect: bool = False
    elsewhere: tuple[tuple[int, int, int], ...] = ()
