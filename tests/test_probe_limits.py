"""More processes and calls than there is room for: totals are exact, and every loss is counted."""

from __future__ import annotations

import errno
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from probing import build, by_call, calls, comm, counted, during, lost, of, opened, run

from sysdash.filters import Filters
from sysdash.model import aggregate, table_of
from sysdash.probes import layout
from sysdash.records import OTHER_NR, Sample

pytestmark = pytest.mark.bpf

ROWS = 1024
ROOM = replace(layout.sizes(), rows=ROWS)
OTHER_ROWS = 128


def _check_storm(samples: list[Sample], workers: int, children: int) -> None:
    rows = counted(samples)
    born = workers + workers * children
    assert calls(rows, "fork") == born
    assert calls(rows, "wait4") == born
    assert calls(rows, "exit_group") == born + 1
    assert calls(rows, "getppid") == workers * children
    assert calls(rows, "close", errno.EBADF) == workers * children
    folded = of(rows, "", pid=0)
    assert len(of(rows, comm("storm"))) + len(folded) == len(rows)
    assert lost(samples) == {
        "unattributed": folded["count"].sum(),
        "calls": 0,
        "threads": 0,
        "missed": 0,
        "slow_limit": 0,
        "slow_ring": 0,
    }


def test_more_processes_than_rows(tmp_path: Path) -> None:
    program = build("storm", tmp_path)
    filters = Filters(comms=(comm("storm"),))
    with opened(filters, default_threshold_ns=None, room=ROOM) as source:
        source.read()
        run(program, 3, 1500)
        sample = source.read()
        _check_storm([sample], 3, 1500)
        # The last rows are kept for `other`, which needs few of them.
        assert len(of(sample.rows, comm("storm"))) <= (ROWS - OTHER_ROWS) * 2
        assert sample.lost["unattributed"] > 5000

        # The room is there again for the next interval.
        run(program, 1, 1)
        _check_storm([sample := source.read()], 1, 1)
        assert sample.lost["unattributed"] == 0

        # Reading all the while, the same storm finds room for most.
        samples = during(source, lambda: run(program, 3, 1500))
        _check_storm(samples, 3, 1500)


def test_reading_early(tmp_path: Path) -> None:
    """What is taken because room runs out belongs to the next sample, and is not lost."""
    program = build("storm", tmp_path)
    filters = Filters(comms=(comm("storm"),))
    with opened(filters, default_threshold_ns=None, room=ROOM) as source:
        source.read()
        for _ in range(10):
            run(program, 1, 200)  # 600 rows, which may all be on one CPU
            source.relieve()
        sample = source.read()
    rows = sample.rows
    assert calls(rows, "fork") == 10 * 201
    assert calls(rows, "exit_group") == 10 * 202
    assert sum(sample.lost.values()) == sample.lost["unattributed"]
    # Without relief, two CPUs have room for fewer than 2048 of the 6000.
    assert len(of(rows, comm("storm"))) > 2 * (ROWS - OTHER_ROWS)


def test_numbers_that_no_table_has(tmp_path: Path) -> None:
    """Whoever makes them up has a few rows for them, and takes no room from others."""
    program = build("numbers", tmp_path)
    filters = Filters(comms=(comm("numbers"),))
    with opened(filters, default_threshold_ns=None, room=ROOM) as source:
        for _ in range(2):
            source.read()
            run(program, 2000, 3000, 2)
            sample = source.read()
            rows = of(sample.rows, comm("numbers"))
            kept = rows[rows["nr"] >= 2000]
            assert sorted(kept["nr"].tolist()) == list(range(2000, 2000 + layout.ODD_ROWS))
            assert set(kept["count"]) == {2}
            (others,) = rows[rows["nr"] == OTHER_NR]
            assert others["count"] == 2 * (3000 - layout.ODD_ROWS)
            assert others["errno"] == errno.ENOSYS
            assert calls(rows, "exit_group") == 1
            assert not any(sample.lost.values())


def test_more_calls_than_other_can_keep_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one CPU: 896 rows for the process, 128 for `other`, and what is beyond is lost."""
    monkeypatch.setattr(layout, "ODD_ROWS", ROWS)
    program = build("numbers", tmp_path)
    filters = Filters(comms=(comm("numbers"),))
    with opened(filters, default_threshold_ns=None, room=ROOM) as source:
        source.read()
        run(program, 2000, 3000)
        sample = source.read()
    unknown = sample.rows[sample.rows["nr"] >= 2000]
    kept = int(unknown["count"].sum())
    assert len(of(unknown, "", pid=0)) == OTHER_ROWS
    assert sample.lost["unattributed"] == OTHER_ROWS
    # All 3000 numbers and exit_group.
    assert sample.lost["calls"] == 3000 - kept + 1
    assert sample.lost["missed"] == 0
    # It is the first numbers that found room.
    assert sorted(unknown["nr"].tolist()) == list(range(2000, 2000 + kept))


def test_rows_forgotten_by_the_index_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of its lines are full with so many rows, and forget one that is wanted again."""
    monkeypatch.setattr(layout, "ODD_ROWS", 8192)
    program = build("numbers", tmp_path)
    room = replace(layout.sizes(), rows=8192)
    filters = Filters(comms=(comm("numbers"),))
    with opened(filters, default_threshold_ns=None, room=room) as source:
        source.read()
        run(program, 2000, 6500, 2)
        sample = source.read()
    unknown = sample.rows[sample.rows["nr"] >= 2000]
    assert len(unknown) > 6500
    assert by_call(unknown) == {(number, 0, errno.ENOSYS): 2 for number in range(2000, 8500)}
    table = aggregate(table_of(unknown, 1.0), ("syscall",))
    assert table.nr.tolist() == list(range(2000, 8500))
    assert set(table.count) == {2}
    assert not any(sample.lost.values())


def test_rows_come_clean(tmp_path: Path) -> None:
    """A row that is used again begins at nothing, whoever had it before."""
    program = build("calls", tmp_path)
    with opened(Filters(comms=(comm("calls"),)), default_threshold_ns=None) as source:
        source.read()
        for _ in range(4):
            run(program, 2, 2000)
            rows = source.read().rows
            assert calls(rows, "getppid") == 4000
            for row in rows:
                assert row["hist"].sum() + row["untimed"] == row["count"]
            timed = rows[rows["hist"].sum(axis=1) > 0]
            assert np.all(timed["max_ns"].astype(np.float64) * timed["count"] >= timed["total_ns"])
            assert np.all(timed["min_ns"] <= timed["max_ns"])


def test_what_is_written_while_the_banks_are_swapped(tmp_path: Path) -> None:
    """A program that began before the swap may still write to the old bank until the wait ends."""
    program = build("numbers", tmp_path)
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(Filters(comms=(comm("numbers"),)), default_threshold_ns=None) as source,
    ):
        source.read()
        run(program, 9999, 1)
        bank = int(source._config["epoch"][0]) & 1
        update = source._program.update

        def write_late(table: str, key: bytes, value: bytes) -> None:
            if table == "barrier":
                old = source._rows[bank]
                old["count"][old["nr"] == 9999] += np.uint64(41)
            update(table, key, value)

        patch.setattr(source._program, "update", write_late)
        assert by_call(source.read().rows)[9999, 0, errno.ENOSYS] == 42
        # And the room was cleared after that.
        assert not source._rows[bank]["count"].any()


def test_a_cpu_that_comes_into_use(tmp_path: Path) -> None:
    """Its first calls are lost, and counted as such; then it gets rows."""
    program = tmp_path / comm("dd")
    shutil.copy("/bin/dd", program)
    copy = "taskset", "-c", "1", program, "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000"
    filters = Filters(comms=(program.name,))
    with opened(filters, default_threshold_ns=None, online=[0]) as source:
        source.read()
        run(*copy)
        sample = source.read()
        assert calls(sample.rows, "write") == 0
        assert sample.lost["calls"] > 1000
        source.relieve()
        run(*copy)
        sample = source.read()
        assert calls(sample.rows, "write") == 1000 + 3  # what it says at the end
        assert sample.lost["calls"] == 0


def test_the_verifier_has_room_to_spare() -> None:
    # It gives up after a million instructions, and another kernel's may go through more of them.
    with opened(default_threshold_ns=0) as source:
        fds = source._program_fds
        texts = [Path(f"/proc/self/fdinfo/{fd}").read_text() for fd in fds]
    found = [re.search(r"^verified_insns:\s*(\d+)$", text, re.MULTILINE) for text in texts]
    counts = [int(each.group(1)) for each in found if each]
    if not counts:
        pytest.skip("this kernel does not tell (it does since 5.16)")
    assert len(counts) == len(fds)
    assert max(counts) < 250_000
