"""The thread that writes a recording, and what it tells of itself."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sysdash.interrupts import for_this_thread_alone
from sysdash.packing import Packed, pack_slow
from sysdash.probes.aside import Aside
from sysdash.recording.format import Facts
from sysdash.recording.store import Broken, Busy, Existing, Item, Store
from sysdash.records import Detail, Events

_T = TypeVar("_T")

_MOST_WAITING = 64 << 20
"""Bytes of intervals that wait to be written; what is more is left out and counted."""

_DETAIL_BYTES = 10_000
"""What a slow call may hold in memory until its stack is known: memory of its program's stack."""

_STACKS_PER_S = 200
"""Stacks that are looked up for a second of recording; the others are left out and counted."""

_LEAST_STACKS = 20
_STACKS_S = 0.2
"""How long an interval waits for its stacks before it is written without: their files may be large,
or lie on a server that does not answer. Those that are found later are added."""

_UNHURRIED_S = 0.9
"""Shorter intervals do not wait at all."""

_AGAIN_S = 0.3
_TRIES = 10
_MOST_UNTOLD = 100
"""Intervals whose stacks are looked for again after they are written."""

_ENDING_S = 5.0
"""How long :meth:`Recorder.close` waits."""

_LATEST_S = 3.0
"""How much of that is left when no more stacks are looked for."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """How far a recording is.

    Attributes:
        path: the file.
        intervals: written by this recorder.
        kept: intervals that the file has, those that were there before included.
        bytes: size of the file.
        recorded_ns: how long the written intervals are together.
        skipped: intervals that were left out, for there was no time or no room for them.
        stackless: slow calls that were written without the stack that they may have.
        error: what ended the recording, in a few words; None as long as nothing did.
    """

    path: str
    intervals: int = 0
    kept: int = 0
    bytes: int = 0
    recorded_ns: int = 0
    skipped: int = 0
    stackless: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    packed: Packed
    events: Events
    details: Sequence[Detail]

    @property
    def weight(self) -> int:
        return len(self.packed.body) + self.events.nbytes + _DETAIL_BYTES * len(self.details)


@dataclass(slots=True)
class _Untold:
    """An interval that is written, but for stacks that were not found in time.

    Attributes:
        number: in the file; 0 where it is not written yet.
        found: the stacks that are known, by number of the slow call.
        missing: numbers of the calls whose stacks may be found yet.
        due_s: when to look again (monotonic clock).
        tries: how often they have been looked for.
    """

    one: _Waiting
    found: dict[int, tuple[str, ...]]
    missing: list[int]
    number: int = 0
    due_s: float = 0.0
    tries: int = 0

    def packed(self) -> bytes:
        stacks = [self.found.get(at, ()) for at in range(len(self.one.details))]
        return pack_slow(self.one.events, self.one.details, stacks)


class Recorder:
    """Writes intervals to a file on a thread of its own."""

    def __init__(
        self,
        path: str,
        facts: Facts,
        *,
        existing: Existing = Existing.REFUSE,
        max_bytes: int | None = None,
        max_age_s: float | None = None,
    ) -> None:
        """Make the file, or open it, and begin.

        Args:
            path: the file.
            facts: what holds for all intervals.
            existing: what to do where the file is there already.
            max_bytes: how large it may become; then the oldest intervals go.
            max_age_s: how old intervals may become, in seconds.

        Raises:
            CannotRecord: it cannot be made, is there already, or is not one to go on with.
        """
        self._store = Store(
            path, facts, existing=existing, max_bytes=max_bytes, max_age_s=max_age_s
        )
        self._waiting: deque[_Waiting] = deque()
        self._weight = 0
        self._overfull = 0
        self._changed = threading.Condition()
        self._stopping_at: float | None = None
        self._aside = Aside()
        self._untold: deque[_Untold] = deque()
        self._status = Recorded(self._store.path, kept=self._store.kept, bytes=self._store.bytes)
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        with for_this_thread_alone():
            self._thread.start()

    @property
    def status(self) -> Recorded:
        """How far it is."""
        status = self._status
        return replace(status, skipped=status.skipped + self._overfull)

    @property
    def ended(self) -> bool:
        """Whether nothing more will be written."""
        return not self._thread.is_alive()

    def add(self, packed: Packed, events: Events, details: Sequence[Detail]) -> None:
        """Have an interval written; returns at once, whatever happens to it.

        Args:
            packed: the interval.
            events: its slow calls.
            details: of each of them; or nothing.
        """
        one = _Waiting(packed, events, details)
        weight = one.weight
        with self._changed:
            if self._stopping_at is not None or self._status.error:
                return
            if self._weight + weight > _MOST_WAITING:
                self._overfull += 1
                return
            self._waiting.append(one)
            self._weight += weight
            self._changed.notify()

    def stop(self) -> None:
        """Let it write what is waiting, and end; returns at once."""
        with self._changed:
            if self._stopping_at is None:
                self._stopping_at = time.monotonic() + _ENDING_S
            self._changed.notify()

    def close(self) -> Recorded:
        """The same, and wait for it, for some seconds at most; returns how far it came."""
        self.stop()
        self._thread.join(_ENDING_S)
        if self._thread.is_alive():
            # A dead server; the thread ends with the process.
            return replace(self.status, error="the file's system does not answer")
        return self.status

    # --- On its thread ---

    def _run(self) -> None:
        try:
            while True:
                batch = self._take()
                if batch:
                    self._write(batch)
                elif self._untold:
                    self._tell_more(self._untold.popleft())
                else:
                    break
        except Broken as error:
            self._end(str(error))
        except Exception as error:  # noqa: BLE001  (whatever it is, collecting goes on)
            self._end(f"internal error: {type(error).__name__}: {error}")
        finally:
            self._aside.close()
            self._store.close()

    def _end(self, reason: str) -> None:
        with self._changed:
            self._status = replace(self._status, error=reason)
            self._waiting.clear()
            self._weight = 0

    def _take(self) -> list[_Waiting]:
        """What is waiting, all of it; nothing when there is something else to do, or to end.

        Usually that is one interval. More than one have waited for the disk, and would be lost in a
        crash all the same: one transaction for all is sooner done than one for each.
        """
        with self._changed:
            while not self._waiting:
                wait_s = self._untold[0].due_s - time.monotonic() if self._untold else None
                if (wait_s or 0.0) <= 0.0 and (self._untold or self._stopping_at is not None):
                    break
                self._changed.wait(wait_s)
            batch = list(self._waiting)
            self._waiting.clear()
            self._weight = 0
            return batch

    def _write(self, batch: Sequence[_Waiting]) -> None:
        told = [self._told(one) for one in batch]
        items = [
            Item(each.one.packed, each.packed() if len(each.one.events) else None) for each in told
        ]
        numbers = self._patiently(lambda: self._store.write(items))
        written = [each for each, number in zip(told, numbers, strict=True) if number]
        status = self._status
        self._status = replace(
            status,
            intervals=status.intervals + len(written),
            kept=self._store.kept,
            bytes=self._store.bytes,
            recorded_ns=status.recorded_ns + sum(each.one.packed.interval_ns for each in written),
            skipped=status.skipped + len(told) - len(written),
            stackless=status.stackless
            + sum(len(each.one.details) - len(each.found) - len(each.missing) for each in written),
        )
        for each, number in zip(told, numbers, strict=True):
            each.number = number
            if number and each.missing:
                self._untold.append(each)
        while len(self._untold) > _MOST_UNTOLD:
            self._give_up(self._untold.popleft())

    def _patiently(self, write: Callable[[], _T]) -> _T:
        """Write, as soon as nobody holds the file."""
        while True:
            try:
                return write()
            except Busy:
                if self._stopping_at is not None and time.monotonic() > self._stopping_at:
                    raise Broken("somebody else holds it") from None

    # --- Stacks ---

    def _told(self, one: _Waiting) -> _Untold:
        """An interval with the stacks of its slow calls, as far as they are found at once.

        Where the next one comes too soon to wait for any, it is written without.
        """
        interval_s = one.packed.interval_ns / 1e9
        most = max(_LEAST_STACKS, round(_STACKS_PER_S * interval_s))
        told = _Untold(one, {}, [*range(min(len(one.details), most))])
        if told.missing and interval_s >= _UNHURRIED_S:
            self._look(told)
        return told

    def _look(self, told: _Untold) -> None:
        """Look for the missing stacks."""
        seconds = _STACKS_S
        if self._stopping_at is not None:
            seconds = min(seconds, max(self._stopping_at - _LATEST_S - time.monotonic(), 0.0))
        jobs = [told.one.details[at].stack for at in told.missing]
        for at, frames in zip(told.missing[:], self._aside.run(jobs, seconds)[0], strict=False):
            told.found[at] = frames or ()
            told.missing.remove(at)
        told.due_s = time.monotonic() + _AGAIN_S
        told.tries += 1

    def _tell_more(self, told: _Untold) -> None:
        """Look for stacks of an interval that is written already, and add them."""
        before = len(told.found)
        self._look(told)
        late = self._stopping_at is not None and time.monotonic() > self._stopping_at - _LATEST_S
        if len(told.found) > before:
            self._patiently(lambda: self._store.add_to(told.number, told.packed()))
        if told.missing and told.tries < _TRIES and not late:
            self._untold.append(told)
        else:
            self._give_up(told)

    def _give_up(self, told: _Untold) -> None:
        status = self._status
        self._status = replace(status, stackless=status.stackless + len(told.missing))
