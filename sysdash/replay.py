"""A recording as a past that can be moved through, and the player that moves on by itself."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sysdash.columns import Columns, columns
from sysdash.history import Counts, CountsKept, Past, Steps, counts_of, past_at
from sysdash.model import SlowCall, slow_calls
from sysdash.packing import Damaged, unpack_rest, unpack_rows, unpack_slow
from sysdash.processes import Processes
from sysdash.recording import Recording
from sysdash.records import EVENT, EVENT_EXAMPLE, ROW, Sample
from sysdash.timeline import Timeline

_MOST_COUNTS_BYTES = 32_000_000
_MOST_SLOW = 20_000
"""Slow calls of intervals that were shown, which are kept in case they are shown again."""

_GAP = 5
"""Where nothing was recorded for more than so many intervals, the player goes on at once."""

_SHORTEST_S = 0.05
"""Between two pictures: of a recording that is replayed faster, intervals are left out."""


class RecordedSteps:
    """The intervals of a recording. One that is damaged is empty, and counted as lost."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._lock = threading.Lock()
        self._counts = CountsKept(_MOST_COUNTS_BYTES)
        self._slow: OrderedDict[int, tuple[SlowCall, ...]] = OrderedDict()
        self._slow_kept = 0
        self._processes = Processes() if recording.facts.by_tid else None

    @property
    def timeline(self) -> Timeline:
        """When they were."""
        return self._recording.timeline

    def rows(self, place: int) -> Columns:
        """The rows of one of them, under the names of their processes."""
        try:
            found = unpack_rows(self._recording.packed(place))
        except Damaged:
            return columns(np.zeros(0, dtype=ROW))
        if self._processes is None:
            return found
        of = found.of
        with self._lock:
            names = self._processes.names(of["pid"], of["tid"], of["comm"])
        return replace(found, of={**of, "comm": names})

    def rest(self, place: int) -> Sample:
        """All else of it, but for slow calls."""
        try:
            return unpack_rest(self._recording.packed(place))
        except Damaged:
            nothing = np.zeros(0, dtype=EVENT)
            return Sample(
                time_ns=int(self.timeline.end_ns[place]),
                mono_ns=0,
                interval_ns=int(self.timeline.length_ns[place]),
                rows=np.zeros(0, dtype=ROW),
                events=nothing,
                lost={"damaged": 1},
            )

    def slow(self, place: int) -> tuple[SlowCall, ...]:
        """Its slow calls, in the order in which they ended."""
        with self._lock:
            found = self._slow.get(place)
            if found is not None:
                self._slow.move_to_end(place)
                return found
        found = self._read_slow(place)
        with self._lock:
            if place not in self._slow:
                self._slow[place] = found
                self._slow_kept += len(found)
            while self._slow_kept > _MOST_SLOW and len(self._slow) > 1:
                _, oldest = self._slow.popitem(last=False)
                self._slow_kept -= len(oldest)
        return found

    def _read_slow(self, place: int) -> tuple[SlowCall, ...]:
        if not self.timeline.slow[place]:
            return ()
        try:
            packed = self._recording.packed(place)
            stored = self._recording.slow_calls(place)
            if stored is None:
                return ()
            events, details = unpack_slow(stored)
        except Damaged:
            return ()
        calls = slow_calls(events, packed.time_ns - packed.mono_ns, details)
        examples = (events["flags"] & EVENT_EXAMPLE).tolist()
        return tuple(call for call, example in zip(calls, examples, strict=True) if not example)

    def counts(self, place: int) -> Counts:
        """Its counts alone."""
        found = self._counts.get((place, 0))
        if found is None:
            found = counts_of(self, place)
            self._counts.add((place, 0), found)
        return found


class Player:
    """Plays a recording: what :class:`sysdash.collector.Collector` and a history are to a machine.

    Attributes:
        interval_s, watch_in_flight, example: as a collector's; nothing comes of them here.
        speed: how fast it plays; may be changed at any time.
        wake: called when there is something new to show, on the player's thread.
        error: what ended the thread, if something did.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        speed: float = 1.0,
        keep_slow: int = 500,
        place: int = 0,
        playing: bool = True,
    ) -> None:
        """Prepare; :meth:`start` begins.

        Args:
            recording: it must have an interval, and is not closed here.
            speed: how fast to play.
            keep_slow: slow calls that are listed at the most.
            place: the interval with which to begin.
            playing: whether to go on by itself from there.
        """
        self.wake: Callable[[], None] = lambda: None
        self.interval_s = 1.0
        self.watch_in_flight = False
        self.example: tuple[int, int, int] | None = None
        self.error: BaseException | None = None
        self._steps: Steps = RecordedSteps(recording)
        self._keep_slow = keep_slow
        self._speed = speed
        self._past: Past | None = None
        self._place = place
        self._playing = playing
        self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    @property
    def past(self) -> Past | None:
        """The recording up to what is on show; None at the very beginning."""
        return self._past

    @property
    def ended(self) -> bool:
        """Whether the last interval is on show."""
        past = self._past
        return past is not None and past.place == len(past.timeline) - 1

    @property
    def playing(self) -> bool:
        """Whether it goes on by itself."""
        return self._playing and not self.ended

    @property
    def speed(self) -> float:
        """How fast it plays."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._changed:
            self._speed = speed
            self._changed.notify()

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def pause(self) -> None:
        """Stand still."""
        with self._changed:
            self._playing = False
            self._changed.notify()

    def play(self, place: int) -> None:
        """Go on from an interval."""
        with self._changed:
            self._place, self._playing = place, True
            self._past = past_at(self._steps, place, self._keep_slow)
            self._changed.notify()
        self.wake()

    def _run(self) -> None:
        try:
            self._show(self._place)
            while self._wait():
                self._show(self._place)
        except BaseException as error:  # noqa: BLE001  (handed to the main thread)
            self.error = error
            self.wake()

    def _show(self, place: int) -> None:
        past = self._past
        new = past.at(place) if past else past_at(self._steps, place, self._keep_slow)
        with self._changed:
            # Unless it was moved meanwhile.
            if self._place == place:
                self._past = new
        self.wake()

    def _wait(self) -> bool:
        """Sleep until the next interval is to be shown; False when it is time to end."""
        timeline = self._steps.timeline
        last = len(timeline) - 1
        with self._changed:
            began = time.monotonic()
            from_place = self._place
            while not self._stopped:
                if self._place != from_place:
                    began, from_place = time.monotonic(), self._place
                if not self._playing or from_place >= last:
                    self._changed.wait()
                    began = time.monotonic()
                    continue
                passed_s = time.monotonic() - began
                place = self._reached(from_place, passed_s * self._speed)
                due_s = self._until(from_place, from_place + 1) / self._speed
                if place > from_place and passed_s >= min(_SHORTEST_S, due_s):
                    self._place = place
                    return True
                self._changed.wait(max(due_s, _SHORTEST_S) - passed_s)
        return False

    def _until(self, place: int, later: int) -> float:
        """Seconds of recorded time between the ends of two neighbouring intervals."""
        timeline = self._steps.timeline
        length_ns = int(timeline.length_ns[later])
        apart_ns = int(timeline.end_ns[later] - timeline.end_ns[place])
        return (length_ns if apart_ns > _GAP * length_ns else apart_ns) / 1e9

    def _reached(self, place: int, recorded_s: float) -> int:
        """Where one is some recorded time after an interval."""
        last = len(self._steps.timeline) - 1
        while place < last:
            recorded_s -= self._until(place, place + 1)
            if recorded_s < 0:
                break
            place += 1
        return place
