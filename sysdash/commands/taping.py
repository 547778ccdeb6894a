"""Recording from the dashboard: what R starts and stops, and what is said of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from sysdash.model import Snapshot
from sysdash.packing import Packed
from sysdash.recording import CannotRecord, Facts, Recorded, Recorder
from sysdash.units import bytes_, duration, fit, safe

_TOLD_S = 8.0
"""How long it is said how a recording has ended."""

_NAME_COLUMNS = 60
_MOST_NAMES = 100


class Taping:
    """Recordings of a dashboard, one after the other."""

    def __init__(self, facts: Callable[[], Facts], file: str | None = None) -> None:
        """Record nothing yet.

        Args:
            facts: what holds for a recording that begins now.
            file: the first one's; by default each gets a name by host and time, in the folder from
                which the dashboard was started.
        """
        self._facts = facts
        self._file = file
        self._recorder: Recorder | None = None
        self._said = ""
        self._said_until = 0.0
        self._ending: list[Recorder] = []

    def add(self, snapshot: Snapshot, packed: Packed) -> None:
        """Record an interval, if any are; on any thread."""
        recorder, sample = self._recorder, snapshot.sample
        if recorder is not None and sample is not None:
            recorder.add(packed, sample.events, sample.details)

    @property
    def words(self) -> str:
        """How far the recording is, or how it ended, for some seconds; empty for none."""
        recorder = self._recorder
        if recorder is None:
            return self._said if time.monotonic() < self._said_until else ""
        status = recorder.status
        if status.error:
            self.stop()
            return self._said
        left_out = f" {status.skipped:,} left out" if status.skipped else ""
        return f"REC {duration(status.recorded_ns)} {bytes_(status.bytes)}{left_out}"

    def toggle(self) -> None:
        """Start a recording, or end it."""
        if self._recorder is not None:
            self.stop()
            return
        try:
            self.start()
        except CannotRecord as error:
            # The name is long, and the header short.
            self._say(f"not recorded: {error.reason.rpartition(': ')[2]}")

    def start(self) -> None:
        """Begin a recording.

        Raises:
            CannotRecord: the file cannot be written, or is there already.
        """
        path, self._file = self._file or _name(), None
        self._recorder = Recorder(path, self._facts())

    def stop(self) -> None:
        """End the recording, if there is one: what is left is written in the background."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.stop()
            self._ending.append(recorder)
            status = recorder.status
            name = fit(safe(status.path), _NAME_COLUMNS)
            self._say(f"REC ended: {status.error}" if status.error else f"recorded to {name}")

    def close(self) -> list[Recorded]:
        """End the recording, and wait until all is written; returns how far each one came."""
        self.stop()
        return [recorder.close() for recorder in self._ending]

    def _say(self, text: str) -> None:
        self._said, self._said_until = safe(text), time.monotonic() + _TOLD_S


def _name() -> str:
    """A name for a recording that begins now."""
    host = "".join(c if c.isalnum() or c in "-." else "-" for c in os.uname().nodename)
    began = f"sysdash-{host}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (f"{began}{f'-{i}' if i else ''}.sysdash" for i in range(_MOST_NAMES))
    return next((name for name in names if not Path(name).exists()), began)
