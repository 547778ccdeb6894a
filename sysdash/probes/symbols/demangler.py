"""The program that demangles, a process of its own: libstdc++ can be kept busy forever by a name.

It reads names and writes texts, each after its length (a 32-bit number, :data:`NOTHING` for none),
until its input ends. Run as a script, isolated: it imports nothing of sysdash.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable

LENGTH = struct.Struct("<I")
NOTHING = 0xFFFF_FFFF
LONGEST_NAME = 4000
LONGEST_TEXT = 16_000

_MEMORY = 512 << 20
_CPU_S = 2
_PR_SET_NAME = 15  # linux/prctl.h


def _library() -> Callable[[bytes], bytes | None]:
    """libstdc++'s ``__cxa_demangle``; it is there wherever bcc is, whose LLVM is written in C++.

    Raises:
        OSError, AttributeError: there is none.
    """
    demangle = ctypes.CDLL("libstdc++.so.6")["__cxa_demangle"]
    free = ctypes.CDLL(None)["free"]
    demangle.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    demangle.restype = ctypes.c_void_p
    free.argtypes = [ctypes.c_void_p]
    free.restype = None

    def call(name: bytes) -> bytes | None:
        status = ctypes.c_int()
        found = demangle(name, None, None, ctypes.byref(status))
        if not found:
            return None
        try:
            return ctypes.string_at(found) if status.value == 0 else None
        finally:
            free(found)

    return call


def _bound() -> None:
    """Take no more of the machine than a name can need, also when nobody waits any more."""
    # Whoever began this process may have held signals back, also the one that ends it.
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # So that whoever lists processes, sysdash too, sees whose it is.
    ctypes.CDLL(None)["prctl"](_PR_SET_NAME, b"sysdash-names", 0, 0, 0)


def _allow_time() -> None:
    """The next name gets seconds of its own; whole ones, as the kernel counts them."""
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or used + _CPU_S < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (used + _CPU_S, hard))


def main() -> None:
    """Serve until the input ends."""
    _bound()
    demangle = _library()
    # What a name could make the library do, it cannot do to files.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    names = sys.stdin.buffer
    while len(head := names.read(LENGTH.size)) == LENGTH.size:
        name = names.read(min(LENGTH.unpack(head)[0], LONGEST_NAME))
        _allow_time()
        found = demangle(name)
        if found is None:
            os.write(1, LENGTH.pack(NOTHING))
        else:
            found = found[:LONGEST_TEXT]
            os.write(1, LENGTH.pack(len(found)) + found)


if __name__ == "__main__":
    main()
