"""The player: when it shows what, and a recording as a past."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import SECOND_NS, START_NS, Calls, Slow, sample

from sysdash.history import Verdicts
from sysdash.model import Filter, derive, view
from sysdash.packing import pack
from sysdash.recording import Facts, Recorder, Recording
from sysdash.replay import Player, RecordedSteps

INTERVALS = 30


def recorded(path: str, ends_ns: list[int] | None = None, *, damage: int | None = None) -> None:
    recorder = Recorder(path, Facts.here(1.0))
    for number in range(INTERVALS):
        one = sample(
            [Calls("read", number + 1)],
            [Slow("read", number + 1)] * (number % 3),
            second=number + 1,
        )
        if ends_ns:
            one = replace(one, time_ns=ends_ns[number])
        packed = pack(one)
        if number == damage:
            packed = replace(packed, body=b"damaged")
        recorder.add(packed, one.events, one.details)
    assert recorder.close().error is None


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    path = str(tmp_path / "r.sysdash")
    recorded(path)
    with Recording(path) as found:
        yield found


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def shown(player: Player) -> int:
    """Which interval is on show: it has as many calls."""
    past = player.past
    return int(past.snapshot.calls.count.sum()) - 1 if past else -1


def test_it_begins_where_it_is_told_and_stands_still(recording: Recording) -> None:
    player = Player(recording, place=7, playing=False)
    woken: list[int] = []
    player.wake = lambda: woken.append(shown(player))
    player.start()
    wait_for(lambda: bool(woken))
    time.sleep(0.05)
    assert woken == [7]
    assert not player.playing
    player.stop()


def test_it_plays_to_the_end_in_the_time_that_it_took(recording: Recording) -> None:
    player = Player(recording, speed=20.0)
    seen: list[tuple[float, int]] = []
    player.wake = lambda: seen.append((time.monotonic(), shown(player)))
    began = time.monotonic()
    player.start()
    wait_for(lambda: shown(player) == INTERVALS - 1)
    player.stop()
    # 29 seconds at 20 times
    assert time.monotonic() - began > 1.4
    places = [place for _, place in seen]
    assert places == sorted(places)
    assert places[0] == 0
    assert not player.playing


def test_a_very_fast_one_leaves_intervals_out(recording: Recording) -> None:
    player = Player(recording, speed=1024.0)
    seen: list[int] = []
    player.wake = lambda: seen.append(shown(player))
    player.start()
    wait_for(lambda: shown(player) == INTERVALS - 1)
    player.stop()
    assert len(seen) < INTERVALS


def test_pausing_playing_on_and_changing_speed(recording: Recording) -> None:
    player = Player(recording, speed=0.125)
    player.start()
    wait_for(lambda: shown(player) == 0)
    player.speed = 50.0
    wait_for(lambda: shown(player) >= 5)
    player.pause()
    # What was being made is shown yet.
    time.sleep(0.1)
    stands = shown(player)
    time.sleep(0.1)
    assert shown(player) == stands
    player.play(20)
    assert shown(player) == 20
    wait_for(lambda: shown(player) >= 24)
    player.play(2)
    wait_for(lambda: 3 <= shown(player) < 20)
    player.stop()
    assert player.error is None


def test_a_gap_in_the_recording_is_not_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "r.sysdash")
    ends = [START_NS + (i + (100_000 if i > 3 else 0)) * SECOND_NS for i in range(INTERVALS)]
    recorded(path, ends)
    with Recording(path) as recording:
        player = Player(recording, speed=50.0)
        player.start()
        wait_for(lambda: shown(player) == INTERVALS - 1, 10)
        player.stop()


def test_a_recording_is_a_past(recording: Recording) -> None:
    player = Player(recording, playing=False)
    player.start()
    wait_for(lambda: player.past is not None)
    player.stop()
    first = player.past
    assert first is not None
    assert len(first.timeline) == INTERVALS
    later = first.at(10)
    assert later.time_ns == START_NS + 11 * SECOND_NS
    assert [call.duration_ns for call in later.slow[:3]] == [11, 9, 9]
    whole = first.over(first.timeline.span)
    past = None
    while past is None:
        try:
            next(whole)
        except StopIteration as end:
            past = end.value
    assert past.snapshot.calls.count.sum() == sum(range(1, INTERVALS + 1))
    assert len(past.snapshot.slow) == sum(i % 3 for i in range(INTERVALS))


def test_threads_go_by_the_name_of_their_process(tmp_path: Path) -> None:
    path = str(tmp_path / "r.sysdash")
    recorder = Recorder(path, Facts.here(1.0, by_tid=True))
    for second, tids in enumerate([(10, 101), (102, 103)], start=1):
        calls = [Calls("read", 1, pid=10, comm=b"java"), Calls("read", 2, pid=10, comm=b"GC")]
        one = sample(calls, second=second)
        one.rows["tid"] = tids
        if second == 2:
            one.rows["comm"] = [b"C2", b"GC"]
        recorder.add(pack(one), one.events, one.details)
    assert recorder.close().error is None
    with Recording(path) as recording:
        alone = RecordedSteps(recording)
        assert alone.rows(1).of["comm"].tolist() == [b"C2", b"C2"]
        steps = RecordedSteps(recording)
        assert steps.rows(0).of["comm"].tolist() == [b"java", b"java"]
        assert steps.rows(1).of["comm"].tolist() == [b"java", b"java"]


def test_a_damaged_interval_is_empty_and_told(tmp_path: Path) -> None:
    path = str(tmp_path / "r.sysdash")
    recorded(path, damage=4)
    with Recording(path) as recording:
        steps = RecordedSteps(recording)
        told = derive(steps.rest(4))
        assert told.lost["damaged"] == 1
        assert len(steps.rows(4)) == 0
        assert not any(steps.counts(4).rates(Filter(), Verdicts(Filter())))
        assert len(steps.rows(5)) == 1
        player = Player(recording, place=4, playing=False)
        player.start()
        wait_for(lambda: player.past is not None)
        player.stop()
        past = player.past
        assert past is not None
        assert not len(view(past.snapshot, Filter()).by_syscall)
        assert np.isclose(past.snapshot.interval_s, 1.0)
