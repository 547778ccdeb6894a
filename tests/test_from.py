"""``--from FILE``: what count, lat, summary and slow print of a recording is what they did live."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from probing import build, comm
from synthetic import START_NS, Calls, Slow, detail, sample
from terminal import Terminal

from sysdash import cli, syscalls
from sysdash.arguments import Signatures
from sysdash.commands import collecting, parsers, printing
from sysdash.commands.recorded import recorded_in, steps
from sysdash.filters import Filters
from sysdash.model import derive
from sysdash.moments import Outside
from sysdash.packing import pack
from sysdash.probes import capabilities
from sysdash.recording import Facts, Recorder, Recording, RecordingSource
from sysdash.records import Detail, Sample
from sysdash.timeline import Timeline, Window

SYSDASH = Path(sys.prefix) / "bin" / "sysdash"
MS = 1_000_000
THRESHOLDS = "10ms,futex=1ms,connect=100ms"


def facts(**known: Any) -> Facts:
    return Facts.here(1.0, **{"thresholds": THRESHOLDS, "off_cpu": True, **known})


def record(path: Path, samples: Sequence[Sample], **known: Any) -> str:
    """A recording of these samples."""
    recorder = Recorder(str(path), facts(**known))
    for each in samples:
        recorder.add(pack(each), each.events, each.details)
    status = recorder.close()
    assert (status.intervals, status.error) == (len(samples), None)
    return str(path)


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    config = tmp_path / "config.toml"
    config.write_text("")

    def command(name: str, *words: str) -> Done:
        status = cli.main([name, "--config", str(config), *words])
        return Done(status, *capfd.readouterr())

    return command


# --- The same as live ---


class Ticking:
    """Stands in for the probe: different calls at each read, by a clock that a test moves."""

    def __init__(self, recording: str, options: Mapping[str, Any]) -> None:
        self.watch_in_flight = False
        self.example: tuple[int, int, int] | None = None
        self._last_s = time.monotonic()
        self._by_tid = bool(options.get("by_tid"))
        self._reads = 0
        self.recorder = Recorder(recording, facts(by_tid=self._by_tid))

    def read(self) -> Sample:
        self._reads += 1
        n, now = self._reads, time.monotonic()
        calls = [
            Calls("read", 1000 * n, 300 * n, pid=10, comm=b"postgres", off_ns=100),
            Calls("read", n, 2000, pid=10, errno=4),
            Calls("futex", n % 5, 40_000 * n, pid=11, comm=b"java", off_ns=39_000 * n),
            Calls("openat", 3 + n % 2, 7000, pid=12 + n % 3, comm=b"bash\x1b[0m", errno=2),
            Calls("exit_group", 1, None, pid=12 + n % 3, comm=b"bash\x1b[0m"),
        ]
        slow = [
            Slow("read", (11 + n % 7) * MS, ago_ms=5 * n % 60, detail=detail(stack=("f+0x1", "g"))),
            Slow("openat", 20 * MS, ret=-2, detail=detail(data=b"/etc/none")),
            Slow("futex", (1 + n) * MS, ago_ms=-3, comm=b"java", ret=-110),
        ]
        found = sample(
            [each for each in calls if each.count],
            slow,
            interval_ns=round((now - self._last_s) * 1e9),
            lost={"calls": n % 2, "slow_limit": n % 3},
            in_flight=[Slow("read", 500 * MS * n, at_least=True), Slow("futex", 30 * MS * n)],
            in_flight_more=n % 4,
            off_cpu=True,
        )
        found.rows["cgroup"] = np.arange(len(found.rows)) % 2 + 5
        if self._by_tid:
            found.rows["tid"] += np.arange(len(found.rows), dtype=np.uint32) % 2
        mono_ns = round(now * 1e9)
        shift = mono_ns - found.mono_ns
        found.events["end_ns"] += np.uint64(shift)
        found.in_flight["end_ns"] += np.uint64(shift)
        self._last_s = now
        return replace(
            found,
            time_ns=START_NS + mono_ns,
            mono_ns=mono_ns,
            cgroups=MappingProxyType({5: "/system.slice/a", 6: "/user.slice"}),
        )

    def relieve(self) -> float:
        return 0.05

    def close(self) -> None:
        pass


class Asked(RecordingSource):
    """Records all that there is, and gives what the command has asked the probe for."""

    def __init__(self, source: Ticking, options: Mapping[str, Any]) -> None:
        super().__init__(source, source.recorder)
        self._off_cpu = bool(options.get("off_cpu"))
        self._slow = options["default_threshold_ns"] is not None

    def read(self) -> Sample:
        found = super().read()
        lost = found.lost if self._slow else {**found.lost, "slow_limit": 0}
        return replace(found, off_cpu=self._off_cpu, lost=lost)


@pytest.fixture
def live(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Callable[..., Done]
) -> Callable[..., Done]:
    """Runs a command on the stand-in, which is recorded; its clock moves only while it waits."""

    def command(name: str, *words: str) -> Done:
        now = 1000.0

        def waiting(_: object, seconds: float) -> None:
            nonlocal now
            now += seconds

        def opened(_filters: Filters, *_: object, **options: Any) -> Asked:
            return Asked(Ticking(str(tmp_path / "recording"), options), options)

        with monkeypatch.context() as patch:
            patch.setattr("sysdash.probes.source.BpfSource", opened)
            patch.setattr(capabilities, "require_privileges", lambda: None)
            patch.setattr(time, "monotonic", lambda: now)
            patch.setattr(signal, "sigtimedwait", waiting)
            patch.setattr(collecting, "forget", lambda _: None)
            return run(name, *words)

    return command


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("count", ()),
        ("count", ("-i", "1")),
        ("count", ("-i", "2.5", "-L", "-T", "2")),
        ("count", ("-P", "-L", "-m")),
        ("count", ("--by", "pid,comm,syscall,errno", "--rate")),
        ("count", ("--json", "-i", "1")),
        ("count", ("--output", "-i", "1", "-P")),
        ("lat", ()),
        ("lat", ("-i", "1", "--histograms", "1")),
        ("lat", ("--by", "pid,tid,comm")),
        ("lat", ("--off-cpu", "-i", "2")),
        ("lat", ("--json", "--off-cpu")),
        ("summary", ()),
        ("summary", ("--by", "process", "--errno-summary")),
        ("summary", ("--by", "thread", "-i", "1")),
        ("summary", ("--by", "cgroup")),
        ("summary", ("--by", "syscall,cgroup", "--json", "-i", "3")),
        ("slow", ()),
        ("slow", ("--no-stack",)),
        ("slow", ("-T", "3")),
        ("slow", ("-T", "1", "-i", "1")),
        ("slow", ("--json",)),
        ("slow", ("--in-flight",)),
        ("slow", ("--in-flight", "-i", "2", "-T", "1")),
        ("slow", ("--in-flight", "--json")),
    ],
)
def test_it_prints_what_was_printed_live(
    name: str,
    words: tuple[str, ...],
    live: Callable[..., Done],
    run: Callable[..., Done],
    tmp_path: Path,
) -> None:
    words = (*words, "-d", "6.3")
    printed = live(name, *words)
    assert printed.status == 0
    assert len(printed.out.splitlines()) >= 1
    assert run(name, *words, "--from", str(tmp_path / "recording")) == printed
    # The whole of it is as long as it was collected.
    rest = [word for word in words if word not in ("-d", "6.3")]
    if "--in-flight" not in words:
        assert run(name, *rest, "--from", str(tmp_path / "recording")) == printed


def test_calls_in_flight_are_those_of_the_end(
    live: Callable[..., Done], run: Callable[..., Done], tmp_path: Path
) -> None:
    live("slow", "--in-flight", "-i", "1", "-d", "4")
    path = str(tmp_path / "recording")
    found = run("slow", "--in-flight", "--from", path)
    assert found.out.startswith(
        "Calls in flight for longer than 10ms (futex 1ms, connect 100ms):\n"
    )
    last = run("slow", "--in-flight", "--from", path, "-i", "1").out.rpartition("[")[2]
    assert found.out.partition("IN FLIGHT")[2] == last.partition("IN FLIGHT")[2]
    assert found.out.count("IN FLIGHT") == 2
    first = run("slow", "--in-flight", "--from", path, "--until", "+500ms", "--json")
    assert first.out.count("\n") == 2
    assert first.out != run("slow", "--in-flight", "--from", path, "--json").out


# --- A real run ---

REAL = [
    ("count", ()),
    ("count", ("--by", "pid,comm,syscall,errno", "-L")),
    ("count", ("--json", "-i", "1")),
    ("lat", ()),
    ("lat", ("--off-cpu", "--by", "comm,syscall")),
    ("lat", ("--json",)),
    ("summary", ("--by", "process", "--errno-summary")),
    ("summary", ("--by", "cgroup")),
    ("slow", ()),
    ("slow", ("-T", "3", "--no-stack")),
    ("slow", ("--json", "-T", "2", "-i", "1")),
    ("slow", ("--in-flight", "--no-stack", "-i", "1")),
]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Sample], str]]:
    """Five samples of the probe on this machine, and a recording of them."""
    from conftest import require_bpf

    from sysdash.probes.source import BpfSource, Stories

    require_bpf()
    folder = tmp_path_factory.mktemp("real")
    program = build("waits", folder)
    source = BpfSource(
        Filters(),
        dict.fromkeys(syscalls.numbers("futex"), MS),
        stories=Stories(Signatures().reads(), stacks=True),
        waiting=syscalls.waiting(),
        off_cpu=True,
        cgroups=True,
    )
    try:
        source.watch_in_flight = True
        samples = []
        for _ in range(5):
            with subprocess.Popen([program, "30"], stdout=subprocess.DEVNULL) as child:
                end = time.monotonic() + 0.6
                while time.monotonic() < end:
                    time.sleep(min(source.relieve(), 0.05))
                child.wait(30)
            samples.append(with_stacks_known(source.read()))
    finally:
        source.close()
    path = record(folder / "recording", samples, thresholds="10ms,futex=1ms")
    yield samples, path
    shutil.rmtree(folder)


def with_stacks_known(found: Sample) -> Sample:
    """The sample with stacks that stay as they are when their programs have ended.

    Of a busy machine's calls only so many as have their stacks recorded, which are not all.
    """

    def fixed(each: Detail) -> Detail:
        frames = each.stack()
        return replace(each, stack=lambda: frames)

    own = found.events["comm"] == comm("waits").encode()
    kept = own | (np.cumsum(~own) <= 80)
    details = tuple(map(fixed, compress(found.details, kept.tolist())))
    return replace(found, events=found.events[kept], details=details)


@pytest.mark.bpf
@pytest.mark.parametrize(("name", "words"), REAL)
def test_of_a_real_run_it_prints_what_was_printed_live(
    name: str,
    words: tuple[str, ...],
    real: tuple[list[Sample], str],
    run: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples, path = real
    step_s = [each.interval_ns / 1e9 for each in samples]
    # As the intervals of one second that these steps fall into.
    seconds = [int(sum(step_s[:i]) + step_s[i] / 2) for i in range(len(samples))]

    def collected(_self: object, ready: Callable[[], None], _s: float) -> Any:
        ready()
        lost: Mapping[str, int] = {}
        for i, each in enumerate(samples):
            # As it would have been measured, and what would not have been could not be lost.
            off_cpu = "--off-cpu" in words
            none: tuple[str, ...] = ("slow_limit", "slow_ring", "stacks") if name != "slow" else ()
            none += () if off_cpu else ("off_cpu", "switches")
            own = {**each.lost, **dict.fromkeys(none, 0)}
            snapshot = derive(replace(each, off_cpu=off_cpu, lost=own), lost)
            lost = snapshot.lost
            last = i == len(samples) - 1
            yield snapshot, last or ("-i" in words and seconds[i] != seconds[i + 1])

    with monkeypatch.context() as patch:
        patch.setattr(collecting.Collection, "_collect", collected)
        more = ("--threshold", "10ms,futex=1ms") if name == "slow" else ()
        printed = run(name, *words, *more)
    assert printed.status == 0
    assert len(printed.out) > 200
    again = run(name, *words, "--from", path)
    assert again.out == printed.out
    assert again.status == 0


@pytest.mark.bpf
def test_what_was_recorded_of_a_program_can_be_asked_for_later(
    real: tuple[list[Sample], str], run: Callable[..., Done]
) -> None:
    _, path = real
    words = ("--from", path, "--comm", comm("waits"), "--json", "--no-stack")
    found = run("slow", *words, "--syscall", "read")
    # One read of each run waits for thirty milliseconds.
    assert found.out.count('"ret": 5,') == 5
    assert '"ret": 5,' not in run("slow", *words, "--syscall", "!read").out
    fewer = run("slow", *words, "--threshold", "10s")
    assert (fewer.status, fewer.out) == (0, "")


# --- Intervals ---


def timeline(*ends: float, lengths: Sequence[float] | None = None) -> Timeline:
    """Steps that end at these seconds, each as long as there is room."""
    end = np.array([round(each * 1e9) for each in ends], dtype=np.int64)
    length = np.diff(end, prepend=0)
    if lengths is not None:
        length = np.array([round(each * 1e9) for each in lengths], dtype=np.int64)
    zero = np.zeros(len(end), dtype=np.int64)
    return Timeline(end, length, zero, zero, zero)


def numbered(*given: Any) -> list[tuple[int, int]]:
    """The steps that are read, each with the number of its interval."""
    read, numbers = steps(*given)
    return list(zip(read, numbers.tolist(), strict=True))


@pytest.mark.parametrize(
    ("ends", "interval_s", "duration_s", "expected"),
    [
        ((1, 2, 3), None, None, [0, 0, 0]),
        ((1, 2, 3), 1, None, [0, 1, 2]),
        # A moment late, as live, and later each time.
        ((1.01, 2.02, 3.03, 4.04), 1, None, [0, 1, 2, 3]),
        ((0.97, 1.99, 2.96), 1, None, [0, 1, 2]),
        ((1, 2, 3, 4, 5), 2, None, [0, 0, 1, 1, 2]),
        ((1, 2, 3, 4, 5), 2.5, None, [0, 0, 1, 1, 1]),
        # No interval is shorter than a step.
        ((1, 2), 0.5, None, [1, 3]),
        ((0.5, 1, 1.2, 1.9, 2), 1, None, [0, 0, 1, 1, 1]),
        ((1, 2, 3), None, 2, [0, 0]),
        ((1.01, 2.02, 3.03), 1, 2, [0, 1]),
        ((1, 2, 3), 1, 0.1, [0]),
        ((1, 2, 3), 1, 100, [0, 1, 2]),
    ],
)
def test_steps_belong_to_intervals(
    ends: tuple[float, ...],
    interval_s: float | None,
    duration_s: float | None,
    expected: list[int],
) -> None:
    found = numbered(timeline(*ends), range(len(ends)), interval_s, duration_s)
    assert found == list(enumerate(expected))


def test_intervals_begin_with_the_first_step() -> None:
    found = numbered(timeline(1, 2, 3.5, 4, 5), range(2, 5), 1.5, None)
    assert found == [(2, 0), (3, 1), (4, 1)]


def test_in_a_gap_there_are_no_intervals() -> None:
    gap = timeline(1, 2, 62, 63, lengths=[1, 1, 1, 1])
    assert numbered(gap, range(4), 1, None) == [(0, 0), (1, 1), (2, 61), (3, 62)]
    assert numbered(gap, range(4), 10, None) == [(0, 0), (1, 0), (2, 6), (3, 6)]
    assert numbered(gap, range(4), None, 30) == [(0, 0), (1, 0)]


def test_steps_of_a_window_are_those_that_lie_in_it_for_the_most_part() -> None:
    gap = timeline(1, 2, 62, 63, lengths=[1, 1, 1, 1])
    second = 10**9
    assert recorded_in(gap, Window(0, 2 * second)) == range(2)
    assert recorded_in(gap, Window(second, 62 * second)) == range(1, 3)
    # A moment late, as live.
    late = timeline(1.001, 2.002, 3.004)
    assert recorded_in(late, Window(second, 2 * second)) == range(1, 2)
    # Of less than half of a step, that step.
    assert recorded_in(gap, Window(1_200 * MS, 1_300 * MS)) == range(1, 2)
    assert recorded_in(gap, Window(1_900 * MS, 30 * second)) == range(1, 2)
    with pytest.raises(
        Outside, match=r"has nothing from 1970-01-01 .* to .*, only from 1970-01-01"
    ):
        recorded_in(gap, Window(20 * second, 30 * second))


# --- Pieces and filters ---


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where a clock shows 22:13:20 when the synthetic samples begin."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def minute(path: Path, **known: Any) -> str:
    """Sixty seconds; in the n-th there are n reads of cat and one of dd that fails, none timed."""
    return record(
        path,
        [
            sample(
                [
                    Calls("read", n, pid=10, comm=b"cat"),
                    Calls("read", 1, pid=11, comm=b"dd", errno=4),
                ],
                [Slow("read", n * MS, pid=10, comm=b"cat")],
                second=n,
                lost={"unattributed": 1},
            )
            for n in range(1, 61)
        ],
        **known,
    )


def counted(done: Done) -> list[list[str]]:
    """The cells of the lines below the head."""
    assert done.status == 0
    lines = done.out.splitlines()
    return [line.split() for line in lines if line.startswith(("read", "["))]


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("words", "calls"),
    [
        ((), 60 * 61 // 2 + 60),
        (("--since", "+58s"), 59 + 60 + 2),
        (("--since", "-2s"), 59 + 60 + 2),
        (("--until", "+2s"), 1 + 2 + 2),
        (("--since", "22:14:00", "--until", "22:14:02"), 41 + 42 + 2),
        (("--since", "22:14", "-d", "3s"), 41 + 42 + 43 + 3),
        (("--until", "2023-11-14T22:13:21Z"), 1 + 1),
        (("--until", "2023-11-14T23:13:21+01:00"), 1 + 1),
    ],
)
def test_a_piece_of_it(
    words: tuple[str, ...], calls: int, run: Callable[..., Done], tmp_path: Path
) -> None:
    path = minute(tmp_path / "recording")
    assert counted(run("count", "--from", path, *words))[-1] == ["read", str(calls)]


@pytest.mark.usefixtures("zone")
def test_intervals_are_those_of_then(run: Callable[..., Done], tmp_path: Path) -> None:
    path = minute(tmp_path / "recording")
    found = counted(run("count", "--from", path, "-i", "1", "--since", "-2s"))
    assert found == [["[22:14:19]"], ["read", "60"], ["[22:14:20]"], ["read", "61"]]
    found = counted(run("count", "--from", path, "-i", "30"))
    assert found == [["[22:13:50]"], ["read", "495"], ["[22:14:20]"], ["read", "1395"]]


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (("-p", "10"), 1830),
        (("--comm", "dd"), 60),
        (("-x",), 60),
        (("-e", "EINTR", "-p", "11"), 60),
        (("--syscall", "read,write"), 1890),
    ],
)
def test_filters_choose_among_what_was_recorded(
    words: tuple[str, ...], calls: int, run: Callable[..., Done], tmp_path: Path
) -> None:
    """Whether there are such processes now is of no interest."""
    path = minute(tmp_path / "recording")
    assert counted(run("count", "--from", path, *words))[-1] == ["read", str(calls)]


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (("--cgroup", "/system.slice"), 3),
        (("--cgroup", "/sys/fs/cgroup/system.slice/web.service/"), 1),
        (("--cgroup", "system.slice/web.service", "--cgroup", "user.slice"), 5),
        (("--cgroup", "/sys/fs/cgroup"), 7),
        (("-c", "77"), 2),
        (("-c", "77,78"), 6),
    ],
)
def test_cgroups_and_parents_are_those_of_then(
    words: tuple[str, ...], calls: int, run: Callable[..., Done], tmp_path: Path
) -> None:
    found = sample([Calls("read", 2**i, pid=10 + i) for i in range(3)])
    found.rows["cgroup"] = [5, 6, 7]
    found.rows["ppid"] = [1, 77, 78]
    paths = {5: "/system.slice/web.service", 6: "/system.slice", 7: "/user.slice"}
    path = record(tmp_path / "recording", [replace(found, cgroups=MappingProxyType(paths))])
    assert counted(run("count", "--from", path, *words))[-1] == ["read", str(calls)]


def test_where_nothing_passes_it_says_so(run: Callable[..., Done], tmp_path: Path) -> None:
    path = minute(tmp_path / "recording")
    for words in (("--syscall", "write"), ("-p", "4194304"), ("--cgroup", "/none/such")):
        done = run("lat", "--from", path, *words)
        assert (done.status, done.err.splitlines()[-1]) == (
            0,
            "sysdash: no call passed the filters",
        )
    assert "no call passed" not in run("lat", "--from", path).err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "Tracing calls slower than 10ms (futex 1ms, connect 100ms)... Ctrl+C to quit."),
        (("--threshold", "59ms"), "Tracing calls slower than 59ms (connect 100ms)... "),
        (("--threshold", "59ms,connect=100ms"), "Tracing calls slower than 59ms (connect 100ms)"),
        (("--threshold", "read=off"), "Tracing calls slower than 10ms (futex 1ms, connect 100ms, "),
        (("--threshold", "1ms"), "Tracing calls slower than 10ms (futex 1ms, connect 100ms)... "),
    ],
)
def test_thresholds_can_only_be_higher_than_then(
    words: tuple[str, ...], line: str, run: Callable[..., Done], tmp_path: Path
) -> None:
    path = minute(tmp_path / "recording")
    done = run("slow", "--from", path, "--since", "-5s", *words)
    assert done.out.startswith(line)
    took = [each.split(" took ")[1] for each in done.out.splitlines() if " took " in each]
    given = words[-1] if words else ""
    longest = [f"{n}.0ms" for n in range(56, 61)]
    assert took == (longest[3:] if "59ms" in given else [] if "off" in given else longest)
    told = "sysdash: only calls over the thresholds of then were recorded: 10ms,futex=1ms,connect=1"
    # That of connect was higher then.
    assert (told in done.err) == (given in ("59ms", "1ms"))


def test_what_was_not_listed_is_told_with_the_limit_of_then(
    tmp_path: Path, run: Callable[..., Done]
) -> None:
    parts = [
        sample([Calls("read", 9)], [Slow("read", 20 * MS)], second=n, lost={"slow_limit": 5 * n})
        for n in (1, 2)
    ]
    for per_second, told in ((37, "limit of 37 a second"), (0, "limit of 1,000 a second")):
        path = record(tmp_path / f"{per_second}.sysdash", parts, per_second=per_second)
        done = run("slow", "--from", path)
        assert told in done.out + done.err


def test_where_every_threshold_is_off_no_call_can_be_slow(
    run: Callable[..., Done], tmp_path: Path
) -> None:
    path = minute(tmp_path / "recording")
    done = run("slow", "--from", path, "--threshold", "off")
    assert (done.status, done.out) == (2, "")
    assert "every threshold is off" in done.err


def test_thresholds_in_words_that_are_none_are_not_told(
    run: Callable[..., Done], tmp_path: Path
) -> None:
    path = minute(tmp_path / "recording", thresholds="as slow as it gets")
    done = run("slow", "--from", path, "-T", "2", "--no-stack", "--threshold", "59ms")
    assert done.out.startswith("Slow calls:\n\nSLOW SYSCALL: read() took 60.0ms\n")
    assert done.out.endswith("\n2 slow calls\n")


def test_threads_are_told_apart_only_where_they_were(
    run: Callable[..., Done], tmp_path: Path
) -> None:
    apart = minute(tmp_path / "threads", by_tid=True)
    assert "TID" in run("lat", "--from", apart, "--by", "tid,syscall").out
    assert counted(run("count", "--from", apart, "-t", "10"))[-1] == ["read", "1830"]
    together = minute(tmp_path / "processes")
    for words in (("--by", "tid"), ("-t", "10")):
        done = run("lat", "--from", together, *words)
        assert (done.status, done.out) == (1, "")
        assert done.err.endswith("/processes was recorded without --threads.\n")
    # Slow calls know their thread in any case.
    assert run("slow", "--from", together, "-t", "1845", "-T", "1").out.count("SLOW") == 1


@pytest.mark.parametrize(
    ("known", "name", "words", "wrong"),
    [
        ({"timed": False}, "lat", (), "has no times, as its calls were only counted."),
        ({"timed": False}, "count", ("-L",), "has no times, as its calls were only counted."),
        ({"off_cpu": False}, "lat", ("--off-cpu",), "was recorded without --off-cpu."),
        (
            {"thresholds": "off"},
            "slow",
            (),
            "recorded without slow calls: every threshold was off.",
        ),
        (
            {},
            "count",
            ("--since", "23:00"),
            "has nothing from 23:00, only 2023-11-14 22:13:20 to 22:14:20.",
        ),
        ({}, "count", ("--until", "+0s"), "has nothing up to +0s, only 2023-11-14 22:13:20 to "),
    ],
)
@pytest.mark.usefixtures("zone")
def test_what_it_does_not_have(
    known: dict[str, Any],
    name: str,
    words: tuple[str, ...],
    wrong: str,
    run: Callable[..., Done],
    tmp_path: Path,
) -> None:
    path = minute(tmp_path / "recording", **known)
    done = run(name, "--from", path, *words)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert wrong in done.err


def test_counts_need_no_times(run: Callable[..., Done], tmp_path: Path) -> None:
    path = minute(tmp_path / "recording", timed=False)
    assert counted(run("count", "--from", path))[-1] == ["read", "1890"]


@pytest.mark.parametrize("name", ["count", "lat", "summary", "slow"])
def test_files_that_are_no_recordings(name: str, run: Callable[..., Done], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("something else\n" * 20)
    for path in (other, tmp_path, tmp_path / "none"):
        done = run(name, "--from", str(path))
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("--since", "10:00"), "--since needs --from"),
        (("--until", "-5m"), "--until needs --from"),
        (("--from", "f", "--since", "-5x"), "'-5x' is not a moment: write 10:00, 10:00:00, "),
        (("--from", "f", "--include-self"), "--from and --include-self exclude each other"),
        (("--from", "f", "--", "true"), "--from and a command exclude each other"),
        (("--from", ""), "a file's name cannot be empty"),
    ],
)
@pytest.mark.parametrize("name", ["count", "lat", "summary", "slow"])
def test_wrong_words(
    name: str, words: tuple[str, ...], wrong: str, run: Callable[..., Done]
) -> None:
    done = run(name, *words)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert wrong in done.err


@pytest.mark.parametrize(
    "words", [("--per-second", "5"), ("--in-flight", "-c", "1"), ("--in-flight", "--cgroup", "/")]
)
def test_wrong_words_of_slow_calls(words: tuple[str, ...], run: Callable[..., Done]) -> None:
    done = run("slow", "--from", "file", *words)
    assert done.status == 2
    assert "exclude each other" in done.err


def test_a_moment_from_the_end_is_no_option() -> None:
    for line in (["--until", "-5m", "--since", "-1h"], ["--until=-5m", "--since=-1h"]):
        args = parsers.parse("count", ["--from", "f", *line])
        assert (args.until.text, args.since.text) == ("-5m", "-1h")
    # Nor is what only looks like one taken from another option.
    with pytest.raises(SystemExit):
        parsers.parse("count", ["--from", "f", "-T", "-5"])


# --- Damage, and the end ---


def damage(path: str, numbers: Sequence[int]) -> None:
    connection = sqlite3.connect(path)
    for number in numbers:
        connection.execute(
            "UPDATE bodies SET body = zeroblob(20) WHERE id = (SELECT id FROM intervals "
            "ORDER BY id LIMIT 1 OFFSET ?)",
            (number,),
        )
    connection.commit()
    connection.close()


@pytest.mark.usefixtures("zone")
def test_damaged_intervals_are_left_out_and_counted(
    run: Callable[..., Done], tmp_path: Path
) -> None:
    path = minute(tmp_path / "recording")
    damage(path, [0, 29, 59])
    done = run("count", "--from", path, "-i", "30")
    assert counted(done) == [["[22:13:49]"], ["read", "462"], ["[22:14:19]"], ["read", "1334"]]
    (told,) = (line for line in done.err.splitlines() if "damaged" in line)
    assert told.startswith("sysdash: 3 intervals of ")
    assert told.endswith(" are damaged, and left out")
    done = run("count", "--from", path, "--until", "+1s")
    assert done.status == 1
    assert done.err.endswith(" has of this time is damaged.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_what_there_is(
    number: signal.Signals,
    run: Callable[..., Done],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = minute(tmp_path / "recording")
    packed = Recording.packed

    def interrupted(self: Recording, step: int) -> object:
        if step in (9, 10):
            signal.raise_signal(number)
        return packed(self, step)

    monkeypatch.setattr(Recording, "packed", interrupted)
    done = run("count", "--from", path)
    assert counted(done)[-1] == ["read", "65"]
    assert done.out.endswith("Detaching...\n")
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert not signal.sigpending()


def test_ctrl_c_before_anything_was_read(
    run: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = minute(tmp_path / "recording")
    monkeypatch.setattr(printing, "announce", lambda _: signal.raise_signal(signal.SIGINT))
    done = run("lat", "--from", path)
    assert (done.status, done.out) == (130, "")


def test_on_a_terminal_it_says_how_far_it_is(tmp_path: Path) -> None:
    path = minute(tmp_path / "recording")
    # Quick as it is, it is made to think that it takes long.
    script = (
        "import sys, time; from sysdash import cli; from sysdash.commands import progress; "
        "progress._QUIET_S = progress._EVERY_S = 0.0; "
        f"sys.exit(cli.main(['count', '--from', {path!r}, '-T', '1']))"
    )
    with Terminal(
        [sys.executable, "-c", script], environment={**os.environ, "TZ": "UTC"}
    ) as terminal:
        assert terminal.wait_end() == 0
        raw = terminal.raw.decode()
        assert "\rsysdash: reading 22:13:21 of 22:14:20\r" in raw
        assert "reading" not in terminal.text
        assert "read                       1890" in terminal.text


def test_it_needs_neither_root_nor_the_probe(tmp_path: Path) -> None:
    path = minute(tmp_path / "recording")
    nothing = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--ambient-caps=-all"]
    script = (
        "import sys; from sysdash import cli; code = cli.main(sys.argv[1:]); "
        "sys.exit(code or 10 * any(name in sys.modules for name in ('bcc', 'urwid')))"
    )

    def status(*words: str) -> int:
        return subprocess.run(
            [*nothing, sys.executable, "-c", script, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        ).returncode

    assert status("count", "-d", "0.1") == 1
    for name in ("count", "lat", "summary", "slow"):
        assert status(name, "--from", path) == 0


def test_what_is_read_is_let_go(run: Callable[..., Done], tmp_path: Path) -> None:
    """No descriptor stays open, also where the end is not reached."""
    path = minute(tmp_path / "recording")
    before = open_files()
    for words in ((), ("--since", "+70s"), ("--by", "tid")):
        run("count", "--from", path, *words)
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_files_are_completed() -> None:
    from sysdash.commands import completion

    actions = completion.parser("lat")._actions
    (action,) = (each for each in actions if each.dest == "from_file")
    assert action.completer is completion._files  # type: ignore[attr-defined]
