"""Looking up the stack of the call on show, beside the main thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum

from sysdash.interrupts import for_this_thread_alone
from sysdash.model import SlowCall

INLINE_S = 0.15
"""How long a frame waits for a stack that was just asked for: most come sooner."""

MOST_S = 10.0
"""After this time a lookup is left behind."""

_POLL_S = 0.1
_MOST_LEFT = 3

Later = Callable[[float, Callable[[], None]], None]
"""Does something after some seconds, in the thread that draws."""


class Missing(Enum):
    """Why there is no stack; the value says so."""

    PENDING = "looking up the stack…"
    LATE = "the stack could not be read in time"


class _Lookup:
    """One call's stack, looked up in a thread of its own."""

    def __init__(self, call: SlowCall) -> None:
        self.call = call
        self.frames: tuple[str, ...] = ()
        self.error: BaseException | None = None
        self.done = threading.Event()
        self._until = time.monotonic() + MOST_S
        with for_this_thread_alone():
            threading.Thread(target=self._run, name="stack", daemon=True).start()

    @property
    def late(self) -> bool:
        return not self.done.is_set() and time.monotonic() >= self._until

    @property
    def pending(self) -> bool:
        return not self.done.is_set() and not self.late

    def _run(self) -> None:
        try:
            self.frames = self.call.detail.stack()
        except BaseException as error:  # noqa: BLE001  (raised where the stack is asked for)
            self.error = error
        self.done.set()


class Stacks:
    """Stacks by call, one lookup at a time; the last one is kept.

    Symbols are read from files, which may be large, or on a disk that does not answer.
    """

    def __init__(self, later: Later, redraw: Callable[[], None]) -> None:
        """Lookups that call ``redraw`` by way of ``later`` when there is something new to show."""
        self._later = later
        self._redraw = redraw
        self._lookup: _Lookup | None = None
        self._left: list[_Lookup] = []
        self._polling = False

    def of(self, call: SlowCall) -> tuple[str, ...] | Missing:
        """A call's stack, as far as it is known now.

        Raises:
            BaseException: whatever the lookup raised.
        """
        lookup = self._lookup
        if lookup is None or lookup.call is not call:
            if lookup is not None and lookup.pending:
                # The next draw after that one's end starts this one.
                self._poll()
                return Missing.PENDING
            lookup = self._begin(call)
            if lookup is None:
                return Missing.LATE
            lookup.done.wait(INLINE_S)
        if lookup.error is not None:
            raise lookup.error
        if lookup.done.is_set():
            return lookup.frames
        if lookup.late:
            return Missing.LATE
        self._poll()
        return Missing.PENDING

    def _begin(self, call: SlowCall) -> _Lookup | None:
        """Start a lookup; None where too many hang already."""
        known = [*self._left, *([self._lookup] if self._lookup else [])]
        self._left = [lookup for lookup in known if not lookup.done.is_set()]
        self._lookup = None
        if len(self._left) >= _MOST_LEFT:
            return None
        self._lookup = _Lookup(call)
        return self._lookup

    def _poll(self) -> None:
        """Look now and then whether there is something new."""
        if not self._polling:
            self._polling = True
            self._later(_POLL_S, self._look)

    def _look(self) -> None:
        self._polling = False
        if self._lookup is not None and self._lookup.pending:
            self._poll()
        else:
            self._redraw()
