"""Stacks as names: address spaces, ELF files, unwinding, just-in-time code, the kernel."""

from sysdash.probes.symbols.kernel import KernelSymbols
from sysdash.probes.symbols.stacks import RawStack, Space, Stacks

__all__ = ["KernelSymbols", "RawStack", "Space", "Stacks"]
