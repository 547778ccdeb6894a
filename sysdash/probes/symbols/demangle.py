"""Names of C++ and Rust functions as their authors wrote them."""

from __future__ import annotations

import math
import re
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from sysdash.probes.symbols import demangler
from sysdash.units import fit, safe

_COLUMNS = 160
_KEPT_NAMES = 8192

# A process that begins reads Python's modules first.
_BEGIN_S, _NAME_S, _END_S = 1.0, 0.1, 1.0
_MOST_OVERRUNS = 3
_PROGRAM = (sys.executable, "-I", "-S", "-E", str(Path(demangler.__file__).resolve()))

# What a name refers back to, it repeats; names that repeat repetitions grow threefold with each
# three references at most. Of most names that would take long this tells before.
_REFERENCE = re.compile(rb"[ST][0-9A-Z]*_|Dp|sp|sZ")
_PACK = (b"Dp", b"sp", b"sZ")
_LONGEST_TEXT = 8 << 20

_RUST_HASH = re.compile(r"::h[0-9a-f]{16}(?=$|\.)")
_RUST_ESCAPE = re.compile(r"\$(SP|BP|RF|LT|GT|LP|RP|C|u[0-9a-f]{1,6})\$")
_RUST_SIGNS = {
    "SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ",",
}  # fmt: skip


def _bounded(name: bytes) -> bool:
    if len(name) > demangler.LONGEST_NAME:
        return False
    # A pack is repeated for each of its elements, of which a name can have many.
    weights = (6 if match in _PACK else 1 for match in _REFERENCE.findall(name))
    growth = sum(weights) / 3 * math.log(3)
    return growth + math.log(len(name)) < math.log(_LONGEST_TEXT)


def _sign(match: re.Match[str]) -> str:
    sign = match[1]
    if sign in _RUST_SIGNS:
        return _RUST_SIGNS[sign]
    code = int(sign[1:], 16)
    return chr(code) if code <= 0x10FFFF else match[0]


def _rust(name: str) -> str:
    """A path of Rust's older mangling, which looks like C++ with a hash at its end."""
    path, found = _RUST_HASH.subn("", name)
    if not found:
        return name
    parts = (part.removeprefix("_") if part.startswith("_$") else part for part in path.split("::"))
    return _RUST_ESCAPE.sub(_sign, "::".join(parts).replace("..", "::"))


class Names:
    """Symbols as text. A lock makes it safe for several threads.

    What demangles runs in a process that begins with the first mangled name. One that does not
    answer in time is killed; after some of these, names stay as they are.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._overruns = 0
        self._known: OrderedDict[bytes, str] = OrderedDict()

    @property
    def pid(self) -> int:
        """The process that does it; 0 while there is none."""
        process = self._process
        return process.pid if process is not None else 0

    def readable(self, name: bytes) -> str:
        """A symbol as text to show: demangled where that takes little time, safe, not long."""
        if not name.startswith(b"_Z") or not _bounded(name):
            return fit(safe(name), _COLUMNS)
        with self._lock:
            known = self._known.get(name)
            if known is not None:
                self._known.move_to_end(name)
                return known
            found = self._demangle(name)
            text = safe(name) if found is None else safe(_rust(found.decode("utf-8", "replace")))
            shown = self._known[name] = fit(text, _COLUMNS)
            if len(self._known) > _KEPT_NAMES:
                self._known.popitem(last=False)
            return shown

    def close(self) -> None:
        """End the process; no other begins."""
        with self._lock:
            self._overruns = _MOST_OVERRUNS
            self._end()

    def _demangle(self, name: bytes) -> bytes | None:
        if self._overruns >= _MOST_OVERRUNS:
            return None
        seconds = _NAME_S
        try:
            if self._process is None:
                seconds = _BEGIN_S
                # Not in the terminal's session, whose Ctrl+C is not for it; at the root, so that
                # no file system is in use by it.
                self._process = subprocess.Popen(
                    _PROGRAM,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    cwd="/",
                    start_new_session=True,
                )
            return _ask(self._process, name, time.monotonic() + seconds)
        except (OSError, EOFError, TimeoutError):
            self._overruns += 1
            self._end()
            return None
        except BaseException:
            # An interrupt: the answer to this name must not be taken for that to the next.
            self._end()
            raise

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)


def _ask(process: subprocess.Popen[bytes], name: bytes, until: float) -> bytes | None:
    """What a process makes of a name.

    Raises:
        TimeoutError: it has not answered in time.
        EOFError: it has ended.
        OSError: the same.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    # Shorter than what a pipe takes at once.
    process.stdin.write(demangler.LENGTH.pack(len(name)) + name)
    ready = select.poll()
    ready.register(process.stdout, select.POLLIN)
    answer, wanted = b"", demangler.LENGTH.size
    while len(answer) < wanted:
        if not ready.poll(max(1000 * (until - time.monotonic()), 0)):
            raise TimeoutError
        piece = process.stdout.read(demangler.LONGEST_TEXT)
        if not piece:
            raise EOFError
        answer += piece
        if len(answer) >= demangler.LENGTH.size:
            (length,) = demangler.LENGTH.unpack_from(answer)
            if length == demangler.NOTHING:
                return None
            wanted = demangler.LENGTH.size + length
    return answer[demangler.LENGTH.size :]
