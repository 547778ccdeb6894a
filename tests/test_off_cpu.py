"""How much of a call its thread is off the CPU, against the clocks that the kernel itself keeps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from probing import NOTHING_LOST, build, calls, comm, counted, during, nr, of, opened, run
from terminal import Terminal

from sysdash.filters import Filters
from sysdash.probes import layout
from sysdash.probes.source import BpfSource
from sysdash.records import Rows

pytestmark = pytest.mark.bpf

SYSDASH = str(Path(sys.prefix) / "bin" / "sysdash")
MS = 1_000_000
EVERY_S = 0.02


@pytest.fixture(scope="module", params=["task storage", "hash", "few slots"])
def source(request: pytest.FixtureRequest) -> Iterator[BpfSource]:
    """A source that measures it, in each way that the probe has to remember threads."""
    room = layout.sizes()
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "hash":  # as on kernels before 5.13
            patch.setattr(layout, "has_task_storage", lambda: False)
        elif request.param == "few slots":  # most threads find theirs taken
            room = replace(room, slots=8)
        with opened(
            Filters(comms=(comm("offcpu"),)), default_threshold_ns=None, room=room, off_cpu=True
        ) as opened_source:
            yield opened_source


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build("offcpu", tmp_path_factory.mktemp("programs"))


@dataclass(frozen=True)
class Run:
    """What a run of tests/programs/offcpu.c says of its loop, in ns, and what was counted."""

    took: int
    on_cpu: int
    rows: Rows

    def split(self, *names: str) -> tuple[int, int]:
        """The time in calls of these names, and the part of it off the CPU."""
        rows = self.rows[[int(row["nr"]) in map(nr, names) for row in self.rows]]
        return int(rows["total_ns"].sum()), int(rows["off_ns"].sum())


def running(source: BpfSource, program: str, *words: str | int) -> Run:
    """Run the program, reading all the while: a call's time is its interval's in which it ends."""
    said: list[str] = []
    samples = during(source, lambda: said.append(run(program, *words)), EVERY_S)
    took, on_cpu = map(int, said[0].split())
    rows = of(counted(samples), comm("offcpu"))
    assert all(sample.off_cpu for sample in samples)
    for name in NOTHING_LOST:
        assert sum(sample.lost[name] for sample in samples) == 0, name
    assert (rows["off_ns"] <= rows["total_ns"]).all()
    return Run(took, on_cpu, rows)


def test_sleeping_is_waiting(source: BpfSource, program: str) -> None:
    found = running(source, program, "sleep", 5, 50)
    assert calls(found.rows, "nanosleep") == 5
    total_ns, off_ns = found.split("nanosleep")
    assert off_ns >= 0.95 * total_ns
    # A machine that has much to do wakes it late; the loop's own clock knows.
    assert 0.95 * found.took <= off_ns <= found.took
    assert off_ns >= 5 * 50 * MS * 0.95


@pytest.mark.parametrize("company", ["work", "crowd"])
def test_working_is_what_the_scheduler_accounts(
    source: BpfSource, program: str, company: str
) -> None:
    count = 60
    found = running(source, program, company, count)
    total_ns, off_ns = found.split("read")
    assert count <= calls(found.rows, "read") <= count + 2  # the loader reads the libraries
    assert total_ns - off_ns == pytest.approx(found.on_cpu, rel=0.1)
    assert total_ns == pytest.approx(found.took, rel=0.1)
    if company == "crowd":  # others have the CPU half of the time, at least
        assert off_ns > 0.3 * total_ns


def test_every_wait_of_many_short_ones_is_measured(source: BpfSource, program: str) -> None:
    count = 20_000
    found = running(source, program, "rally", count)
    assert 2 * count <= calls(found.rows, "read") <= 2 * count + 2
    # The last byte is not answered; what the program says is one more.
    assert 2 * count <= calls(found.rows, "write") <= 2 * count + 1
    total_ns, off_ns = found.split("read", "write")
    # On one CPU, one of them is off it at any moment, and that begins in a call.
    assert off_ns >= 0.95 * found.took
    # Both were busy in turn, of which this is one's share.
    assert 0 < total_ns - off_ns <= 2.2 * found.on_cpu


def test_it_is_measured_only_where_it_is_asked_for(program: str) -> None:
    with opened(Filters(comms=(comm("offcpu"),)), default_threshold_ns=None) as plain:
        samples = during(plain, lambda: run(program, "sleep", 2, 20), EVERY_S)
    rows = of(counted(samples), comm("offcpu"))
    assert calls(rows, "nanosleep") == 2
    assert not any(sample.off_cpu for sample in samples)
    assert rows["off_ns"].sum() == 0
    assert "off_cpu" not in samples[0].lost


def test_lat_tells_it(program: str) -> None:
    command = [SYSDASH, "lat", "--off-cpu"]
    words = ["--", program, "sleep", "4", "50"]
    done = subprocess.run([*command, "--json", *words], check=True, capture_output=True, timeout=60)
    found = json.loads(done.stdout)
    (row,) = [row for row in found["rows"] if row["syscall"] == "nanosleep"]
    assert row["count"] == 4
    assert 0.95 * row["total_ns"] <= row["off_cpu_ns"] <= row["total_ns"]
    assert all(row["off_cpu_ns"] <= row["total_ns"] for row in found["rows"])
    assert "off_cpu" in found["lost"]
    table = subprocess.run([*command, *words], check=True, capture_output=True, timeout=60)
    text = table.stdout.decode()
    assert re.search(r"^nanosleep +4 +0 +2\d\dms +(9\d\.\d|>99\.9)% ", text, re.MULTILINE), text
    assert re.search(r"^in all: .* waiting \(off the CPU\)$", text, re.MULTILINE)


def test_the_dashboard_tells_it(program: str) -> None:
    command = [SYSDASH, "--off-cpu", "-i", "0.5", "--", program, "sleep", "600", "50"]
    with Terminal(command) as terminal:
        text = terminal.wait_for("(measured)", "nanosleep")
        assert "by kind of call" not in text
        text = terminal.wait(
            lambda text: re.search(r"working .*/s  waiting .*/s \((9\d\.\d|>99\.9|100)%\)", text),
            what="the share of waiting of the selected syscall",
        )
        terminal.type("v")
        line = rf"{comm('offcpu')[:12]}.* (9\d\.\d|>99\.9|100\.0)% "
        terminal.wait(lambda text: re.search(line, text), what="the share of the process")
        terminal.type("q")
        terminal.wait_end()
