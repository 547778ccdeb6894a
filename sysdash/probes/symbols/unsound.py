"""What goes wrong in a library that believes what a file says."""

from __future__ import annotations

import struct

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError

UNSOUND = (
    ELFError, DWARFError, ConstructError, AssertionError, ValueError, LookupError, TypeError,
    AttributeError, ArithmeticError, struct.error, RecursionError, MemoryError, OSError, EOFError,
)  # fmt: skip
"""What pyelftools raises when a file makes no sense."""
