"""The one background thread: reads samples, derives snapshots, tells who listens."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from sysdash.model import Snapshot, derive
from sysdash.records import Sample

_FIRST_S = 0.1
"""Length of the first interval at most, so that something is seen soon after the start."""


_HANGING_S = 5.0
"""How long to wait for the thread's end; closing a source takes some tenths of a second."""


class Source(Protocol):
    """Where samples come from: the probe, or a recording.

    Attributes:
        watch_in_flight: find out what calls that have not returned are about, not only that they
            are there; may be set between reads.
        example: syscall number, ABI code and errno of failed calls that are listed however fast
            they are; likewise.
    """

    watch_in_flight: bool
    example: tuple[int, int, int] | None

    def read(self) -> Sample:
        """Everything since the last call."""

    def relieve(self) -> float:
        """Empty buffers that fill up between reads; returns when to call again, in seconds."""

    def close(self) -> None:
        """Stop collecting."""


class Collector:
    """Reads a source at an interval on a thread of its own.

    Attributes:
        interval_s: seconds between samples; may be changed at any time.
        watch_in_flight: as the source's; may be changed at any time.
        example: likewise.
        error: what ended the thread, if something did; nothing is published after it.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        interval_s: float,
        publish: Callable[[Snapshot], None],
        wake: Callable[[], None],
    ) -> None:
        """Prepare; :meth:`start` begins.

        Args:
            open_source: makes the source, on the collector's thread: loading a probe takes a
                moment in which the screen can be drawn already. The thread closes it, too.
            interval_s: seconds between samples; the first may be shorter.
            publish: called with each snapshot, on the collector's thread.
            wake: called after each snapshot and after an error, on the collector's thread.
        """
        self._open_source = open_source
        self._interval_s = interval_s
        self._publish = publish
        self._wake = wake
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self._due = 0.0
        self.watch_in_flight = False
        self.example: tuple[int, int, int] | None = None
        self.error: BaseException | None = None

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` has been called."""
        return self._stop.is_set()

    @property
    def interval_s(self) -> float:
        """Seconds between samples."""
        return self._interval_s

    @interval_s.setter
    def interval_s(self, seconds: float) -> None:
        self._interval_s = seconds
        self._changed.set()

    def start(self) -> None:
        """Begin to collect."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the source; returns when that is done.

        Or a little later, if the thread hangs inside the kernel, on a sick machine: it ends with
        the process, and so do the probes.
        """
        self._stop.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(_HANGING_S)

    def _run(self) -> None:
        try:
            source = self._open_source()
            try:
                self._collect(source)
            finally:
                source.close()
        except BaseException as error:  # noqa: BLE001  (handed to the main thread)
            self.error = error
            self._wake()

    def _collect(self, source: Source) -> None:
        lost: Mapping[str, int] = MappingProxyType({})
        longest_s = _FIRST_S
        self._due = time.monotonic()
        while self._wait(source, longest_s):
            source.watch_in_flight = self.watch_in_flight
            if source.example != self.example:
                source.example = self.example
            snapshot = derive(replace(source.read(), lost_before=lost), lost)
            lost = snapshot.lost
            longest_s = math.inf
            self._publish(snapshot)
            self._wake()

    def _wait(self, source: Source, longest_s: float) -> bool:
        """Sleep until the next sample is due; False when it is time to stop."""
        began = self._due
        look_s = 0.0
        while not self._stop.is_set():
            due = began + min(self._interval_s, longest_s)
            now = time.monotonic()
            if now >= due:
                # Reading takes a while, which would add up; but intervals that have been missed
                # altogether are not made good.
                self._due = due if now - due < self._interval_s else now
                return True
            if self._changed.wait(min(due - now, look_s)):
                self._changed.clear()
            look_s = source.relieve()
        return False
