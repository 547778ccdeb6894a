"""Recordings: what goes in comes out, whatever happens to the writer, the disk or the file."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import SECOND_NS, START_NS, Calls, Slow, detail, file, many, sample

from sysdash.packing import Damaged, Packed, pack, pack_slow, unpack, unpack_slow
from sysdash.recording import (
    BadRecording,
    CannotRecord,
    Existing,
    Facts,
    Recorded,
    Recorder,
    Recording,
    RecordingSource,
    reader,
    recorder,
    store,
)
from sysdash.recording.format import TABLES
from sysdash.recording.store import Busy, Item, Store
from sysdash.records import Detail, Sample

FACTS = Facts.here(1.0, limits="comm redis", thresholds="10ms,futex=1ms")
STALLED = Slow(
    "read", 10**8, detail=detail(file("/var/lib/base/16384"), ["read+0x1", "main+0x2"], b"hello")
)


def at(second: int, *, rows: int = 0, slow: Sequence[Slow] = ()) -> Sample:
    """The sample of one second; ``rows`` of them, or a few calls."""
    found = sample([Calls("read", second), Calls("openat", 3, errno=2)], slow, second=second)
    return replace(found, rows=many(rows, second)) if rows else found


def add(to: Recorder, one: Sample) -> None:
    to.add(pack(one), one.events, one.details)


def record(path: Path, samples: Sequence[Sample], **more: object) -> Recorded:
    """Record samples one by one, and end."""
    found = Recorder(str(path), FACTS, **more)  # type: ignore[arg-type]
    for number, one in enumerate(samples, start=1):
        add(found, one)
        eventually(lambda number=number: found.status.intervals + found.status.skipped >= number)  # type: ignore[misc]
    return found.close()


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@contextmanager
def opened(path: Path) -> Iterator[Recording]:
    with Recording(str(path)) as found:
        yield found


def seconds(found: Recording) -> list[int]:
    """Which seconds the intervals ended in, from the arbitrary start."""
    return [(int(end) - START_NS) // SECOND_NS for end in found.timeline.end_ns]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.sysdash"


@pytest.fixture
def recorded(path: Path) -> Path:
    """A recording of twenty seconds."""
    slow = {2: [STALLED], 5: [STALLED] * 3, 9: [STALLED] * 2}
    record(path, [at(n, slow=slow.get(n, [])) for n in range(1, 21)])
    return path


# --- What goes in comes out ---


def test_intervals_come_back_as_they_were(path: Path) -> None:
    samples = [at(n, rows=30, slow=[STALLED] * (n % 3)) for n in range(1, 6)]
    record(path, samples)
    with opened(path) as found:
        assert len(found) == 5
        for number, before in enumerate(samples):
            after = found.sample(number)
            wanted = unpack(pack(before))
            assert np.array_equal(after.rows, wanted.rows)
            assert (after.time_ns, after.mono_ns) == (before.time_ns, before.mono_ns)
            assert after.interval_ns == before.interval_ns
            assert after.host == before.host
            assert after.lost == before.lost
            for name in ("end_ns", "duration_ns", "ret", "args", "pid", "tid", "comm"):
                assert np.array_equal(after.events[name], before.events[name])
            for told, known in zip(after.details, before.details, strict=True):
                assert (told.data, told.file, told.stack()) == (
                    known.data,
                    known.file,
                    known.stack(),
                )


def test_a_stored_interval_and_its_slow_calls_apart(recorded: Path) -> None:
    with opened(recorded) as found:
        packed = found.packed(4)
        assert packed == pack(at(5, slow=[STALLED] * 3))
        events, _ = unpack_slow(found.slow_calls(4) or b"")
        assert len(events) == 3
        assert found.slow_calls(0) is None


def test_the_timeline_tells_what_happened_when(recorded: Path) -> None:
    with opened(recorded) as found:
        line = found.timeline
        assert seconds(found) == [*range(1, 21)]
        assert line.length_ns.tolist() == [SECOND_NS] * 20
        assert line.calls.tolist() == [n + 3 for n in range(1, 21)]
        assert line.errors.tolist() == [3] * 20
        assert line.slow.nonzero()[0].tolist() == [1, 4, 8]
        assert found.damaged == 0


def test_facts(recorded: Path) -> None:
    with opened(recorded) as found:
        assert found.facts == FACTS
    assert FACTS.host == os.uname().nodename
    assert FACTS.kernel == os.uname().release
    assert abs(FACTS.started_ns - time.time_ns()) < 3600 * SECOND_NS
    assert FACTS.boot_time_ns < FACTS.started_ns


def test_a_recording_without_intervals(path: Path) -> None:
    record(path, [])
    with opened(path) as found:
        assert len(found) == 0
        assert len(found.timeline) == 0


def test_a_source_is_recorded_as_it_is_read(path: Path) -> None:
    class Twice:
        watch_in_flight = False
        example: tuple[int, int, int] | None = None
        closed = 0

        def read(self) -> Sample:
            return at(1, slow=[STALLED])

        def relieve(self) -> float:
            return 0.25

        def close(self) -> None:
            self.closed += 1

    inner = Twice()
    source = RecordingSource(inner, Recorder(str(path), FACTS))
    source.watch_in_flight, source.example = True, (1, 0, 2)
    assert (inner.watch_in_flight, inner.example) == (True, (1, 0, 2))
    assert source.relieve() == 0.25
    assert source.read().time_ns == at(1).time_ns
    source.close()
    assert inner.closed == 1
    with opened(path) as found:
        assert len(found) == 1
        assert found.sample(0).details[0].stack() == ("read+0x1", "main+0x2")


# --- Clocks ---


def test_a_clock_that_is_set_back_loses_no_interval(path: Path) -> None:
    back = 3600 * SECOND_NS
    samples = [at(n) for n in range(1, 6)]
    samples += [replace(at(n), time_ns=at(n).time_ns - back) for n in range(6, 11)]
    samples += [at(n) for n in range(11, 13)]
    record(path, samples)
    with opened(path) as found:
        assert seconds(found) == [*range(1, 13)]
        assert [found.sample(n).time_ns for n in range(12)] == found.timeline.end_ns.tolist()


def test_two_intervals_at_the_same_time(path: Path) -> None:
    record(path, [replace(at(3), interval_ns=0), replace(at(3), interval_ns=0)])
    with opened(path) as found:
        assert np.diff(found.timeline.end_ns).tolist() == [1]


# --- Files that are there ---


def test_nothing_is_overwritten_unasked(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(CannotRecord, match="exists already"):
        Recorder(str(path), FACTS)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("existing", [Existing.OVERWRITE, Existing.APPEND])
@pytest.mark.parametrize("content", [b"precious", b"SQLite format 3\0" + bytes(84)])
def test_what_is_no_recording_is_never_overwritten(
    path: Path, existing: Existing, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(CannotRecord, match="not a recording of sysdash"):
        Recorder(str(path), FACTS, existing=existing)
    assert path.read_bytes() == content


def test_another_programs_database_is_never_overwritten(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious(a)")
    connection.close()
    with pytest.raises(CannotRecord, match="not a recording of sysdash"):
        Recorder(str(path), FACTS, existing=Existing.OVERWRITE)


def test_a_recording_is_replaced_where_that_is_asked_for(recorded: Path) -> None:
    record(recorded, [at(1)], existing=Existing.OVERWRITE)
    with opened(recorded) as found:
        assert len(found) == 1
    assert [*recorded.parent.iterdir()] == [recorded]


@pytest.mark.parametrize("existing", [Existing.OVERWRITE, Existing.APPEND])
def test_an_empty_file_or_none_is_begun(path: Path, existing: Existing) -> None:
    for _ in range(2):
        record(path, [at(1)], existing=existing)
        with opened(path) as found:
            assert len(found) == 1
        path.write_bytes(b"")


def test_going_on_with_a_recording(recorded: Path) -> None:
    status = record(recorded, [at(n) for n in range(30, 33)], existing=Existing.APPEND)
    assert (status.intervals, status.kept) == (3, 23)
    with opened(recorded) as found:
        assert seconds(found) == [*range(1, 21), 30, 31, 32]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (replace(FACTS, host="web-4"), "is a recording of"),
        (replace(FACTS, by_tid=True), "was recorded without --threads"),
        (replace(FACTS, off_cpu=True), "was recorded without --off-cpu"),
        (replace(FACTS, kernel="6.1"), rf"other kernel release \({FACTS.kernel}, now 6.1\)"),
        (replace(FACTS, limits=""), r"has other filters \(comm redis, now none\)"),
        (replace(FACTS, thresholds="0"), r"thresholds \(10ms,futex=1ms, now 0\)"),
        (replace(FACTS, stacks=False), r"stacks of slow calls \(on, now off\)"),
        (replace(FACTS, timed=False), r"times \(on, now off\)"),
    ],
)
def test_another_kind_of_recording_is_not_gone_on_with(
    recorded: Path, facts: Facts, words: str
) -> None:
    with pytest.raises(CannotRecord, match=words):
        Recorder(str(recorded), facts, existing=Existing.APPEND)
    with opened(recorded) as found:
        assert len(found) == 20


def test_facts_that_are_cut_are_no_difference(path: Path) -> None:
    facts = replace(FACTS, limits="comm " + "x" * 5000)
    for _ in range(2):
        Recorder(str(path), facts, existing=Existing.APPEND).close()
    with opened(path) as found:
        assert len(found.facts.limits) == 200


def test_facts_of_the_first_recordings() -> None:
    told = json.loads(replace(FACTS, per_second=50).written())
    assert Facts.read(json.dumps(told).encode()).per_second == 50
    del told["per_second"]
    assert Facts.read(json.dumps(told).encode()) == FACTS


def test_a_newer_recording_is_not_gone_on_with(recorded: Path) -> None:
    changed(recorded, "PRAGMA user_version = 2")
    with pytest.raises(CannotRecord, match="written by a newer sysdash"):
        Recorder(str(recorded), FACTS, existing=Existing.APPEND)


def test_two_cannot_record_to_one_file(path: Path) -> None:
    first = Recorder(str(path), FACTS)
    for existing in (Existing.APPEND, Existing.OVERWRITE):
        with pytest.raises(CannotRecord, match="another sysdash is recording to"):
            Recorder(str(path), FACTS, existing=existing)
    add(first, at(1))
    assert first.close().intervals == 1
    assert record(path, [at(2)], existing=Existing.APPEND).kept == 2


@pytest.mark.parametrize("name", ["", "missing/a", "folder", "a\0b"])
def test_where_nothing_can_be_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    for existing in Existing:
        with pytest.raises(CannotRecord):
            Recorder(f"{tmp_path}/{name}", FACTS, existing=existing)


def test_a_start_that_fails_leaves_nothing(path: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        for existing in Existing:
            with pytest.raises(CannotRecord, match="cannot record to"):
                Recorder(str(path), FACTS, existing=existing)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [*tmp_path.iterdir()] == []


def test_a_start_that_fails_leaves_what_was_there(recorded: Path) -> None:
    content = recorded.read_bytes()
    Path(f"{recorded}-journal").symlink_to("/dev/null")
    with pytest.raises(CannotRecord, match="-journal is in its way"):
        Recorder(str(recorded), FACTS, existing=Existing.APPEND)
    assert recorded.read_bytes() == content


def test_links_in_a_folder_of_everybody_are_not_followed(recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "everybodys"
    folder.mkdir()
    folder.chmod(0o1777)
    link, content = folder / "link", recorded.read_bytes()
    link.symlink_to(recorded)
    for existing in (Existing.OVERWRITE, Existing.APPEND):
        with pytest.raises(CannotRecord, match="is a link in a folder that everybody can write"):
            Recorder(str(link), FACTS, existing=existing)
    assert recorded.read_bytes() == content
    folder.chmod(0o755)
    assert record(link, [at(30)], existing=Existing.APPEND).kept == 21


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_somebody_elses_file_in_a_folder_of_everybody_is_left_alone(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.parent.chmod(0o1777)
    os.chown(recorded, 65533, 65532)
    for existing in (Existing.OVERWRITE, Existing.APPEND):
        with pytest.raises(CannotRecord, match="is somebody else's"):
            Recorder(str(recorded), FACTS, existing=existing)
    # His who called sudo.
    monkeypatch.setenv("SUDO_UID", "65533")
    monkeypatch.setenv("SUDO_GID", "65532")
    assert record(recorded, [at(30)], existing=Existing.APPEND).kept == 21


def test_a_file_of_the_user_alone(recorded: Path) -> None:
    assert recorded.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_who_called_sudo(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "65533")
    monkeypatch.setenv("SUDO_GID", "65532")
    record(path, [at(1)])
    assert (path.stat().st_uid, path.stat().st_gid) == (65533, 65532)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a?b#c%41 \xff")
    record(path, [at(1)])
    with opened(path) as found:
        assert len(found) == 1


# --- A rolling window ---


def test_the_largest_size_holds_and_the_newest_stay(path: Path) -> None:
    most, sizes = 300_000, []
    found = Recorder(str(path), FACTS, max_bytes=most)
    for n in range(1, 151):
        add(found, at(n, rows=random.Random(n).choice([5, 60, 120]), slow=[STALLED] * (n % 3)))
        eventually(lambda n=n: found.status.intervals == n)  # type: ignore[misc]
        sizes.append(path.stat().st_size)
    status = found.close()
    assert most * 0.8 < max(sizes) <= most
    assert 0 < status.kept < 150
    with opened(path) as recording:
        assert seconds(recording) == [*range(151 - status.kept, 151)]
        for number in range(len(recording)):
            recording.sample(number)


def test_an_interval_that_is_larger_than_all_is_left_out(path: Path) -> None:
    samples = [at(1), at(2, rows=4000), at(3)]
    status = record(path, samples, max_bytes=120_000)
    assert (status.intervals, status.skipped, status.error) == (2, 1, None)
    with opened(path) as found:
        assert seconds(found)[-1] == 3


def test_older_intervals_than_the_age_go(path: Path) -> None:
    record(path, [at(n) for n in range(1, 31)], max_age_s=9.5)
    with opened(path) as found:
        assert seconds(found) == [*range(21, 31)]


def test_age_is_not_by_a_clock_that_can_be_set(path: Path) -> None:
    samples = [at(n) for n in range(1, 6)]
    samples += [replace(at(n), time_ns=at(n).time_ns + 10**15) for n in range(6, 9)]
    record(path, samples, max_age_s=60)
    with opened(path) as found:
        assert len(found) == 8


def test_time_that_the_machine_slept_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept_s = iter([0, 0, 0, 40, 40, 65, 65])
    monkeypatch.setattr(store, "_slept_ns", lambda: next(slept_s) * SECOND_NS)
    record(path, [at(n) for n in range(1, 8)], max_age_s=60)
    with opened(path) as found:
        # Of those before both nights all are older than a minute, of those between them none is.
        assert seconds(found) == [4, 5, 6, 7]


def test_what_another_run_recorded_ages_too(path: Path) -> None:
    facts = replace(FACTS, started_ns=START_NS + 100 * SECOND_NS)
    record(path, [at(n) for n in range(1, 11)])
    # After a boot the clock of intervals begins again.
    later = [replace(at(n), mono_ns=n * SECOND_NS) for n in range(1, 4)]
    found = Recorder(str(path), facts, existing=Existing.APPEND, max_age_s=95)
    for one in later:
        add(found, one)
    assert found.close().kept == 3 + 4  # those from second 7 on, two seconds after second 100


# --- The recorder does no harm ---


class Stuck:
    """A store whose disk answers when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.writes = 0
        write = Store.write

        def held(found: Store, items: Sequence[Item]) -> list[int]:
            self.writes += 1
            self.go_on.wait(30)
            return write(found, items)

        monkeypatch.setattr(Store, "write", held)


def test_a_disk_that_does_not_answer_holds_up_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_MOST_WAITING", 50_000)
    monkeypatch.setattr(recorder, "_ENDING_S", 0.2)
    stuck = Stuck(monkeypatch)
    found = Recorder(str(path), FACTS)
    one = at(1, rows=100)
    weight = len(pack(one).body)
    add(found, one)
    eventually(lambda: stuck.writes == 1)
    began = time.monotonic()
    for n in range(2, 52):
        add(found, at(n, rows=100))
    assert time.monotonic() - began < 5
    waiting = 50 - found.status.skipped
    assert 0 < waiting * weight * 0.8 < 50_000
    assert found.close().error is not None
    assert time.monotonic() - began < 10
    stuck.go_on.set()
    eventually(lambda: found.ended)
    # Those that waited were written together, which is sooner done.
    assert stuck.writes == 2
    with opened(path) as recording:
        assert len(recording) == 1 + waiting


def test_somebody_who_reads_is_waited_for(path: Path) -> None:
    found = Recorder(str(path), FACTS)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN")
    holder.execute("SELECT * FROM intervals").fetchall()
    add(found, at(1))
    time.sleep(0.5)
    assert found.status == replace(found.status, intervals=0, error=None)
    holder.close()
    assert found.close().intervals == 1


def test_somebody_who_reads_for_good_ends_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_ENDING_S", 1.0)
    found = Recorder(str(path), FACTS)

    def busy(*_: object) -> None:
        time.sleep(0.01)
        raise Busy

    monkeypatch.setattr(Store, "write", busy)
    add(found, at(1))
    found.stop()
    eventually(lambda: found.ended)
    assert found.status.error == "somebody else holds it"


def test_an_error_ends_the_recording_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Recorder(str(path), FACTS)
    add(found, at(1))
    eventually(lambda: found.status.intervals == 1)
    monkeypatch.setattr(Store, "write", lambda *_: 1 // 0)
    add(found, at(2))
    eventually(lambda: found.status.error is not None)
    add(found, at(3))
    status = found.close()
    assert status.intervals == 1
    assert "ZeroDivisionError" in (status.error or "")
    with opened(path) as recording:
        assert len(recording) == 1


def test_a_pipe_as_its_journal_ends_it(path: Path) -> None:
    found = Recorder(str(path), FACTS)
    add(found, at(1))
    eventually(lambda: found.status.intervals == 1)
    os.mkfifo(f"{path}-journal")
    add(found, at(2))
    eventually(lambda: found.ended)
    assert (found.status.error or "").endswith("a.sysdash-journal is in its way")
    with opened(path) as recording:
        assert seconds(recording) == [1]


def test_a_file_that_is_taken_away_ends_it(path: Path) -> None:
    found = Recorder(str(path), FACTS)
    add(found, at(1))
    eventually(lambda: found.status.intervals == 1)
    path.unlink()
    add(found, at(2))
    eventually(lambda: found.status.error is not None)
    assert "gone" in (found.close().error or "")
    assert not path.exists()


def fill(path: Path) -> Recorded:
    found = Recorder(str(path), FACTS)
    for n in range(1, 300):
        add(found, at(n, rows=100))
        eventually(lambda n=n: found.status.error is not None or found.status.intervals == n)  # type: ignore[misc]
        if found.status.error:
            break
    return found.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk_ends_it_and_the_file_opens(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", mount], check=True)
    try:
        status = fill(mount / "a")
        assert status.error == "no space left on the device"
        assert status.intervals > 5
        with opened(mount / "a") as found:
            assert seconds(found) == [*range(1, status.intervals + 1)]
            for number in range(len(found)):
                found.sample(number)
        assert [each.name for each in mount.iterdir()] == ["a"]
    finally:
        subprocess.run(["umount", mount], check=True)


def test_a_file_that_may_not_grow_ends_it(path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        status = fill(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status.error == "input or output failed"
    with opened(path) as found:
        assert len(found) == status.intervals > 5


def stacks(path: Path, number: int = 0) -> list[tuple[str, ...]]:
    with opened(path) as found:
        return [told.stack() for told in found.sample(number).details]


KNOWN = ("read+0x1", "main+0x2")


def hanging(until: threading.Event) -> Slow:
    """A slow call whose stack takes its time."""

    def stack() -> tuple[str, ...]:
        until.wait(30)
        return ("late",)

    return replace(STALLED, detail=replace(STALLED.detail, stack=stack))


def test_stacks_that_never_come(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_ENDING_S", 3.5)
    never = threading.Event()
    began = time.monotonic()
    status = record(path, [at(1, slow=[STALLED, hanging(never)]), at(2, slow=[STALLED])])
    assert time.monotonic() - began < 10
    never.set()
    assert (status.intervals, status.stackless, status.error) == (2, 1, None)
    assert stacks(path) == [KNOWN, ()]
    assert stacks(path, 1) == [KNOWN]


def test_stacks_that_come_late_are_added(path: Path) -> None:
    late = threading.Event()
    found = Recorder(str(path), FACTS, max_bytes=10**6)
    add(found, at(1, slow=[STALLED, hanging(late), STALLED]))
    eventually(lambda: found.status.intervals == 1)
    assert stacks(path) == [KNOWN, (), ()]
    add(found, at(2))
    eventually(lambda: found.status.intervals == 2)
    late.set()
    eventually(lambda: stacks(path) == [KNOWN, ("late",), KNOWN])
    assert found.close().stackless == 0
    with opened(path) as recording:
        assert recording.timeline.slow.tolist() == [3, 0]


def test_short_intervals_wait_for_no_stack(path: Path) -> None:
    late = threading.Event()
    found = Recorder(str(path), FACTS)
    short = replace(at(1, slow=[hanging(late)]), interval_ns=SECOND_NS // 10)
    began = time.monotonic()
    add(found, short)
    eventually(lambda: found.status.intervals == 1)
    assert time.monotonic() - began < recorder._STACKS_S
    assert stacks(path) == [()]
    late.set()
    eventually(lambda: stacks(path) == [("late",)])
    found.close()


def test_stacks_of_the_end_are_waited_for(path: Path) -> None:
    late = threading.Event()
    found = Recorder(str(path), FACTS)
    add(found, at(1, slow=[hanging(late)]))
    threading.Timer(1.0, late.set).start()
    assert found.close().stackless == 0
    assert stacks(path) == [("late",)]


def test_stacks_are_looked_up_up_to_a_number(path: Path) -> None:
    looked = []

    def stack() -> tuple[str, ...]:
        looked.append(threading.current_thread().name)
        return ("f",)

    call = replace(STALLED, detail=Detail(stack=stack))
    status = record(path, [at(1, slow=[call] * 500)])
    assert len(looked) == 500 - status.stackless
    assert 100 <= len(looked) < 500
    assert threading.current_thread().name not in looked


# --- Crashes ---

_RECORD_UNTIL_KILLED = """
import sys, time
from dataclasses import replace
sys.path.insert(0, {tests!r})
from test_recording import FACTS, STALLED, add, at, Recorder
import os, random

random.seed(int(sys.argv[2]))
for number in range(int(sys.argv[3])):
    here, there = os.pipe()
    child = os.fork()
    if not child:
        path = f"{{sys.argv[1]}}/{{number}}"
        found = Recorder(path, FACTS, max_bytes=random.choice([None, 200_000]))
        n = 0
        while True:
            n += 1
            add(found, at(n, rows=random.choice([3, 50]), slow=[STALLED] * (n % 2)))
            while found.status.intervals < n:
                time.sleep(0.0002)
            # What is told here has been written.
            os.write(there, b".")
    os.close(there)
    told = len(os.read(here, 1))
    time.sleep(random.uniform(0.0, 0.15))
    os.kill(child, 9)
    os.waitpid(child, 0)
    while got := len(os.read(here, 65536)):
        told += got
    os.close(here)
    print(told, flush=True)
"""


def test_killed_at_any_moment_it_lacks_one_interval_at_most(tmp_path: Path) -> None:
    script = _RECORD_UNTIL_KILLED.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", script, str(tmp_path), "7", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    written = [int(line) for line in done.stdout.split()]
    assert len(written) == 20
    assert max(written) > 5
    for number, told in enumerate(written):
        alone = tmp_path / "alone"
        shutil.copy(tmp_path / str(number), alone)
        for each in (alone, tmp_path / str(number)):
            with opened(each) as found:
                readable = [n for n, good in zip(seconds(found), whole(found), strict=True) if good]
                assert readable[-1] >= told
                assert readable == [*range(readable[0], readable[-1] + 1)]


def whole(found: Recording) -> list[bool]:
    """Of each interval, whether it can be read."""
    result = []
    for number in range(len(found)):
        try:
            found.sample(number)
            result.append(True)
        except Damaged:
            result.append(False)
    return result


def interrupted(path: Path) -> bytes:
    """Kill who writes to a recording in the middle of a transaction that rewrites all of it.

    Returns:
        What was in the file before.
    """
    before = path.read_bytes()
    script = f"""
import os, sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("PRAGMA cache_size = 2")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE bodies SET body = randomblob(length(body) + 5000)")
connection.execute("UPDATE intervals SET calls = -1")
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() != before
    return before


def test_a_transaction_that_is_half_done_is_undone_for_the_reader_alone(path: Path) -> None:
    samples = [at(n, rows=100) for n in range(1, 31)]
    record(path, samples)
    interrupted(path)
    torn = path.read_bytes()
    with opened(path) as found:
        assert all(whole(found))
        assert seconds(found) == [*range(1, 31)]
        assert found.packed(29) == pack(samples[29])
    assert path.read_bytes() == torn
    assert Path(f"{path}-journal").exists()


def test_recording_goes_on_after_a_crash(path: Path) -> None:
    record(path, [at(n, rows=100) for n in range(1, 31)])
    interrupted(path)
    record(path, [at(31)], existing=Existing.APPEND)
    assert not Path(f"{path}-journal").exists()
    with opened(path) as found:
        assert all(whole(found))
        assert seconds(found) == [*range(1, 32)]


def test_a_journal_that_is_left_is_nothing_to_a_new_recording(path: Path) -> None:
    record(path, [at(n, rows=100) for n in range(1, 31)])
    interrupted(path)
    record(path, [at(1)], existing=Existing.OVERWRITE)
    with opened(path) as found:
        assert seconds(found) == [1]


@pytest.mark.parametrize("change", [b"", b"\xff", b"\xd9\xd5\x05\xf9"])
def test_a_journal_that_is_damaged_does_no_harm(path: Path, change: bytes) -> None:
    record(path, [at(n, rows=20) for n in range(1, 31)])
    interrupted(path)
    journal = Path(f"{path}-journal")
    content = journal.read_bytes()
    for place in (0, 8, 12, 16, 20, 24, 28, 512, 600, len(content) - 8):
        journal.write_bytes(
            (content[:place] + change + content[place + len(change) :])[: -len(change) or place]
        )
        with suppress(BadRecording), opened(path) as found:
            whole(found)


def test_whatever_pages_had_come_to_the_disk_the_journal_brings_all_back(path: Path) -> None:
    """As after a power cut."""
    record(path, [at(n, rows=100) for n in range(1, 31)])
    before = interrupted(path)
    torn = path.read_bytes()
    rng = random.Random(1)
    for _ in range(10):
        some = bytearray(torn[: rng.randrange(len(before), len(torn) + 1) // 4096 * 4096])
        for page in range(0, len(before), 4096):
            if rng.random() < 0.5:
                some[page : page + 4096] = before[page : page + 4096]
        path.write_bytes(some)
        with opened(path) as found:
            assert whole(found) == [True] * 30


def roots(content: bytes) -> list[int]:
    """The kinds of the first pages of all tables."""
    return [content[place * 4096] for place in range(1, 1 + len(TABLES))]


def test_copied_without_its_journal_it_lacks_one_interval_at_most(path: Path) -> None:
    rng = random.Random(1)
    alone = path.with_name("alone")
    kept = Store(str(path), FACTS)
    try:
        for n in range(1, 121):
            before = path.read_bytes()
            one = at(n, rows=rng.choice([3, 40, 100]), slow=[STALLED] * (n % 3))
            slow = pack_slow(one.events, one.details) if len(one.events) else None
            kept.write([Item(pack(one), slow)])
            after = path.read_bytes()
            # When a table outgrows its first page, which happens three times in all, all that it
            # has is elsewhere for a moment.
            if n % 5 or roots(before) != roots(after):
                continue
            pages = [i for i in range(0, len(after), 4096) if after[i:][:4096] != before[i:][:4096]]
            for count in {0, 1, *rng.choices(range(len(pages) + 1), k=3)}:
                torn = bytearray(before.ljust(max([len(before), *pages[:count]]), b"\0"))
                for i in pages[:count]:
                    torn[i : i + 4096] = after[i : i + 4096]
                alone.write_bytes(torn)
                with opened(alone) as found:
                    good = [s for s, fine in zip(seconds(found), whole(found), strict=True) if fine]
                    assert good[: n - 1] == [*range(1, n)]
    finally:
        kept.close()


# --- While it is being written ---


def test_what_is_there_is_shown_while_more_comes(path: Path) -> None:
    found = Recorder(str(path), FACTS)
    add(found, at(1))
    eventually(lambda: found.status.intervals == 1)
    with opened(path) as recording:
        add(found, at(2))
        eventually(lambda: found.status.intervals == 2)
        assert len(recording) == 1
        assert recording.sample(0).time_ns == at(1).time_ns
        with opened(path) as later:
            assert len(later) == 2
    assert found.close().intervals == 2


def test_an_interval_that_has_gone_since(path: Path) -> None:
    found = Recorder(str(path), FACTS, max_age_s=5)
    add(found, at(1))
    eventually(lambda: found.status.intervals == 1)
    with opened(path) as recording:
        add(found, at(100))
        eventually(lambda: found.status.intervals == 2)
        with pytest.raises(Damaged, match="not there any more"):
            recording.sample(0)
    found.close()


def test_from_several_threads(recorded: Path) -> None:
    wrong: list[BaseException] = []

    def read(recording: Recording) -> None:
        try:
            for number in [*range(20)] * 5:
                assert recording.sample(number).time_ns == at(number + 1).time_ns
        except BaseException as error:  # noqa: BLE001
            wrong.append(error)

    with opened(recorded) as recording:
        threads = [threading.Thread(target=read, args=(recording,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_nothing_is_read_after_the_end(recorded: Path) -> None:
    found = Recording(str(recorded))
    found.close()
    with pytest.raises(Damaged, match="closed"):
        found.sample(0)


# --- Files that mean no good ---


def changed(path: Path, *statements: str) -> None:
    """Run statements on a file, whatever its schema forbids."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def reason(path: Path | str) -> str:
    with pytest.raises(BadRecording) as error:
        Recording(str(path))
    words = str(error.value)
    assert "\n" not in words
    assert words.isprintable()
    return words


def test_files_that_are_none_of_ours(tmp_path: Path, path: Path) -> None:
    assert "is a folder" in reason(tmp_path)
    assert "No such file" in reason(path)
    assert "null byte" in reason("a\0b")
    path.write_bytes(b"")
    assert "is empty" in reason(path)
    path.write_bytes(b"SQLite format 3\0 and so on")
    assert "is not a recording of sysdash" in reason(path)
    path.write_bytes(b"x" * 10_000)
    assert "is not a recording of sysdash" in reason(path)
    path.unlink()
    changed(path, "CREATE TABLE a(b)")
    assert "is not a recording of sysdash" in reason(path)
    path.unlink()
    os.mkfifo(path)
    assert "is no file" in reason(path)
    assert "is no file" in reason("/dev/zero")


def test_a_hostile_name_is_harmless_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\n\u202eb"
    path.write_bytes(b"x")
    assert "\x1b" not in reason(path)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("PRAGMA user_version = 2", "was written by a newer sysdash (format 2); this one reads 1"),
        ("PRAGMA user_version = -1", "newer sysdash"),
        ("PRAGMA user_version = 0", "is damaged"),
        ("PRAGMA journal_mode = WAL", "is damaged"),
        ("DROP TABLE bodies", "its tables are others"),
        ("CREATE TABLE more(a)", "its tables are others"),
        ("CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT 1; END", "its tables are others"),
        ("ALTER TABLE intervals ADD COLUMN a AS (randomblob(1000000000))", "its tables are others"),
        ("UPDATE sqlite_master SET sql = 'CREATE TABLE \u202e(a)'", "is damaged"),
        ("UPDATE sqlite_master SET rootpage = 1000000", "is damaged"),
        ("DELETE FROM runs", "it lacks its facts"),
        ("UPDATE runs SET facts = zeroblob(70000)", "it lacks its facts"),
        ("UPDATE runs SET facts = CAST(facts AS TEXT)", "it lacks its facts"),
        ("UPDATE runs SET facts = CAST('[1]' AS BLOB)", "it lacks its facts"),
        ("UPDATE runs SET facts = CAST('{}' AS BLOB)", "it lacks its facts"),
        (f"UPDATE runs SET facts = CAST('{'[' * 30_000}' AS BLOB)", "it lacks its facts"),
        ("UPDATE runs SET facts = x'ff'", "it lacks its facts"),
    ],
)
def test_a_file_that_is_made_to_do_harm(recorded: Path, statement: str, words: str) -> None:
    changed(recorded, statement)
    assert words in reason(recorded)


@pytest.mark.parametrize("end", ["-journal", "-wal", "-shm"])
def test_a_pipe_beside_a_file_is_not_opened(recorded: Path, end: str) -> None:
    with opened(recorded) as before:
        os.mkfifo(f"{recorded}{end}")
        with pytest.raises(Damaged, match="is no journal"):
            before.sample(0)
    with opened(recorded) as found:
        assert whole(found) == [True] * 20
    with pytest.raises(CannotRecord, match=f"{end} is in its way"):
        Recorder(str(recorded), FACTS, existing=Existing.APPEND)
    recorded.unlink()
    with pytest.raises(CannotRecord, match=f"{end} is in its way"):
        Recorder(str(recorded), FACTS)
    assert not recorded.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_somebody_elses_journal_is_not_followed(path: Path) -> None:
    record(path, [at(n, rows=100) for n in range(1, 31)])
    interrupted(path)
    torn = path.read_bytes()
    os.chown(f"{path}-journal", 65533, 65532)
    with pytest.raises(CannotRecord, match="-journal is in its way"):
        Recorder(str(path), FACTS, existing=Existing.APPEND)
    assert path.read_bytes() == torn


def inner_page(child: int, before: bytes = b"", first: int = 0) -> bytes:
    """A page of a table whose 400 children are all the same, but for the first one."""
    cells = 4096 - 10
    header = struct.pack(">BHHHBI", 5, 0, 400, cells, 0, child)
    pointers = struct.pack(">H", cells) + struct.pack(">H", cells + 5) * 399
    both = struct.pack(">IBIB", first or child, 1, child, 1)
    return (before + header + pointers).ljust(cells, b"\0") + both


def leaf_page(of: bytes, pointers: bytes) -> bytes:
    """A page with some of the rows that the first page of a file has."""
    header = struct.pack(">BHHHB", 13, 0, len(pointers) // 2, 0, 0)
    at = min(struct.unpack(f">{len(pointers) // 2}H", pointers))
    header = header[:5] + struct.pack(">H", at) + header[7:]
    return (header + pointers).ljust(at, b"\0") + of[at:4096]


def test_tables_without_end(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of an index that comes of a table's own statement there may be any number of rows.
    changed(recorded, "CREATE TABLE more(a UNIQUE)")
    content = recorded.read_bytes()
    pointers = content[108 : 108 + 2 * int.from_bytes(content[103:105])]
    content += leaf_page(content, pointers) + leaf_page(content, pointers[-2:] * 100)
    child = len(content) // 4096
    tables = child - 1
    for _ in range(4):
        content += inner_page(child)
        child += 1
    content = inner_page(child, content[:100], tables) + content[4096:]
    recorded.write_bytes(content[:28] + struct.pack(">I", child) + content[32:])
    monkeypatch.setattr(reader, "_OPENING_S", 0.2)
    monkeypatch.setattr(store, "_CHECK_S", 0.2)
    began = time.monotonic()
    assert "is damaged (interrupted)" in reason(recorded)
    with pytest.raises(CannotRecord, match="the file is damaged"):
        Recorder(str(recorded), FACTS, existing=Existing.APPEND)
    assert time.monotonic() - began < 5


def test_what_is_no_number_is_not_read(path: Path) -> None:
    record(path, [at(n) for n in range(1, 121)])
    changed(
        path,
        "UPDATE intervals SET time_ns = zeroblob(60000), bytes = zeroblob(60000) WHERE id <= 100",
        "UPDATE intervals SET calls = zeroblob(20000000) WHERE id = 110",
    )
    tracemalloc.start()
    try:
        with opened(path) as found:
            assert found.damaged == 101
            assert seconds(found) == [n for n in range(101, 121) if n != 110]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert record(path, [at(121)], existing=Existing.APPEND, max_age_s=15).error is None


def test_a_view_in_place_of_a_table(recorded: Path) -> None:
    endless = "WITH RECURSIVE a(b) AS (SELECT 1 UNION ALL SELECT b FROM a) SELECT b id FROM a"
    changed(recorded, "DROP TABLE bodies", f"CREATE VIEW bodies AS {endless}")
    assert "its tables are others" in reason(recorded)


def test_facts_that_mean_no_good(path: Path) -> None:
    hostile = replace(FACTS, host="\x1b[2J" + "x" * 5000, limits="\u202e")
    Recorder(str(path), hostile).close()
    with opened(path) as found:
        assert found.facts.host.startswith("␛[2J")
        assert len(found.facts.host) <= 200
        assert found.facts.limits.isprintable()
    for wrong in ({"cpus": 0}, {"cpus": True}, {"interval_s": -1.0}, {"started_ns": 2**63}):
        with pytest.raises(ValueError, match="no "):
            Facts.read(replace(FACTS, **wrong).written())


@pytest.mark.parametrize(
    "change",
    [
        "calls = 'many'",
        "time_ns = 1.5",
        "calls = x'00'",
        "calls = -1",
        "calls = 9223372036854775807",
        "time_ns = 9223372036854775807",
        "interval_ns = 9223372036854775807",
        "slow = -9223372036854775808",
    ],
)
def test_intervals_that_cannot_be_are_left_out(recorded: Path, change: str) -> None:
    changed(recorded, f"UPDATE intervals SET {change} WHERE id IN (3, 20)")
    with opened(recorded) as found:
        assert found.damaged == 2
        assert seconds(found) == [n for n in range(1, 20) if n != 3]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE bodies SET body = x'00'",
        "UPDATE bodies SET body = 'text'",
        "UPDATE bodies SET body = 17",
        "UPDATE bodies SET body = randomblob(1000)",
        "UPDATE bodies SET body = zeroblob(20000000)",
        "UPDATE intervals SET mono_ns = 'x'",
        "UPDATE intervals SET mono_ns = -1",
        "UPDATE slow_calls SET body = x'28b52ffd'",
        "UPDATE slow_calls SET body = zeroblob(20000000)",
        "DELETE FROM bodies",
    ],
)
def test_an_interval_that_is_damaged_is_so_alone(recorded: Path, change: str) -> None:
    changed(recorded, f"{change} WHERE id = 5")
    with opened(recorded) as found:
        assert whole(found) == [n != 4 for n in range(20)]


def test_a_table_that_leads_in_circles_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(path, [at(n) for n in range(1, 400)])
    monkeypatch.setattr(reader, "_BLOCK", 50)
    connection = sqlite3.connect(path)
    (root,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'intervals'"
    ).fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    page = (root - 1) * 4096
    assert content[page] == 5  # an inner page, whose children all become the first
    cells = int.from_bytes(content[page + 3 : page + 5])
    first = int.from_bytes(content[page + 12 : page + 14])
    child = content[page + first : page + first + 4]
    for n in range(cells):
        place = page + int.from_bytes(content[page + 12 + 2 * n : page + 14 + 2 * n])
        content[place : place + 4] = child
    content[page + 8 : page + 12] = child
    path.write_bytes(content)
    with opened(path) as found:
        assert len(found) < 400
        assert (np.diff(found.timeline.end_ns) > 0).all()


def test_what_takes_too_long_has_no_end(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_OPENING_S", -1.0)
    monkeypatch.setattr(reader, "_OPERATIONS", 1)
    assert "interrupted" in reason(recorded)


def test_any_byte_may_be_another(path: Path, tmp_path: Path) -> None:
    record(path, [at(n, rows=10, slow=[STALLED] * (n % 3)) for n in range(1, 41)])
    content = path.read_bytes()
    victim = tmp_path / "victim"
    rng = random.Random(5)
    refused = damaged = 0
    end = time.monotonic() + 5
    for number in range(300):
        changed_ = bytearray(content)
        if number % 5 == 0:
            del changed_[rng.randrange(len(content)) :]
        elif number % 5 == 1:
            for _ in range(3):
                changed_[rng.randrange(200)] = rng.randrange(256)
        elif number % 5 == 2:
            to, of = (rng.randrange(len(content) // 4096) * 4096 for _ in range(2))
            changed_[to : to + 4096] = content[of : of + 4096]
        else:
            for _ in range(rng.randint(1, 20)):
                changed_[rng.randrange(len(content))] = rng.randrange(256)
        victim.write_bytes(changed_)
        try:
            with opened(victim) as found:
                assert (np.diff(found.timeline.end_ns) > 0).all()
                damaged += not all(whole(found))
        except BadRecording:
            refused += 1
        if time.monotonic() > end:
            break
    assert refused > 3
    assert damaged > 3


def test_a_day_opens_at_once(path: Path) -> None:
    Recorder(str(path), FACTS).close()
    connection = sqlite3.connect(path)
    ends = (START_NS + n * SECOND_NS for n in range(86_400))
    connection.executemany(
        "INSERT INTO intervals VALUES (NULL, ?, 1, 1000000000, 5, 1, 0, 100)", ((e,) for e in ends)
    )
    connection.commit()
    connection.close()
    began = time.monotonic()
    with opened(path) as found:
        assert len(found) == 86_400
        assert int(found.timeline.calls.sum()) == 5 * 86_400
    assert time.monotonic() - began < 5


def test_more_intervals_than_can_be_kept_in_mind(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_MOST_INTERVALS", 10)
    monkeypatch.setattr(reader, "_BLOCK", 5)
    with opened(recorded) as found:
        assert seconds(found) == [*range(1, 11)]


def test_the_tables_are_as_they_are_written(recorded: Path) -> None:
    connection = sqlite3.connect(recorded)
    assert dict(connection.execute("SELECT name, sql FROM sqlite_master")) == TABLES
    assert connection.execute("PRAGMA application_id").fetchone() == (0x53595344,)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_an_interval_that_nobody_could_read_is_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_BODY", 1000)
    large = Packed(START_NS, 1, 1, 1, 0, 0, bytes(1001))
    found = Recorder(str(path), FACTS)
    found.add(large, at(1).events, ())
    assert found.close().skipped == 1
