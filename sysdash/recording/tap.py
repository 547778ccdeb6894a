"""A source whose samples are recorded as they are read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from sysdash.collector import Source
from sysdash.packing import pack
from sysdash.recording.recorder import Recorder
from sysdash.records import Sample


class RecordingSource:
    """Another source, and a recorder that gets every sample of it.

    Attributes:
        watch_in_flight, example: those of the source.
    """

    def __init__(self, source: Source, recorder: Recorder) -> None:
        """Take both over: :meth:`close` closes them."""
        self._source = source
        self._recorder = recorder
        self._lost: Counter[str] = Counter()

    @property
    def watch_in_flight(self) -> bool:
        """As the source's."""
        return self._source.watch_in_flight

    @watch_in_flight.setter
    def watch_in_flight(self, watch: bool) -> None:
        self._source.watch_in_flight = watch

    @property
    def example(self) -> tuple[int, int, int] | None:
        """As the source's."""
        return self._source.example

    @example.setter
    def example(self, example: tuple[int, int, int] | None) -> None:
        self._source.example = example

    def read(self) -> Sample:
        """Everything since the last call, which is recorded, too."""
        sample = replace(self._source.read(), lost_before=dict(self._lost))
        self._lost.update(sample.lost)
        self._recorder.add(pack(sample), sample.events, sample.details)
        return sample

    def relieve(self) -> float:
        """As the source's."""
        return self._source.relieve()

    def close(self) -> None:
        """Write what is left, then close the source, which knows the stacks until then."""
        try:
            self._recorder.close()
        finally:
            self._source.close()
