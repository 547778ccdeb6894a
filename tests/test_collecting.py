"""What the command-line tools share: intervals, endings, and the command they trace."""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import machine
import pytest
from probing import build, comm, eventually
from synthetic import Calls, sample
from terminal import Terminal

from sysdash.aggregates import Aggregate
from sysdash.commands import collecting
from sysdash.commands.collecting import Collection
from sysdash.errors import CannotCollect, CannotRun
from sysdash.filters import Filters
from sysdash.probes import capabilities
from sysdash.records import Sample

SYSDASH = Path(sys.prefix) / "bin" / "sysdash"
CALLS_PER_S = 1000


class Source:
    """Stands in for the probe: a thousand reads a second by the clock, each second ten lost."""

    def __init__(self) -> None:
        self.opened: list[tuple[Filters, dict[str, object]]] = []
        self.opening: Callable[[], object] = lambda: None
        self.relieving: Callable[[int], object] = lambda _: None
        self.failing = False
        self.calls_per_s = CALLS_PER_S
        self.looks = self.reads = 0
        self.closed = 0

    def open(self, filters: Filters, **options: object) -> Source:
        self.opened.append((filters, options))
        self.opening()
        self.last = time.monotonic()
        return self

    def read(self) -> Sample:
        if self.failing:
            raise OSError("the source broke")
        self.reads += 1
        now = time.monotonic()
        calls = round(now * self.calls_per_s) - round(self.last * self.calls_per_s)
        interval_ns = round((now - self.last) * 1e9)
        self.last = now
        lost = {"calls": 10}
        rows = [Calls("read", calls)] if calls else []
        return sample(rows, interval_ns=interval_ns, lost=lost)

    def relieve(self) -> float:
        assert not self.closed
        self.looks += 1
        self.relieving(self.looks)
        return 0.05

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    stand_in = Source()
    monkeypatch.setattr("sysdash.probes.source.BpfSource", stand_in.open)
    monkeypatch.setattr(capabilities, "require_privileges", lambda: None)
    return stand_in


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A clock that goes on only while something waits, or when it is told to."""
    it = SimpleNamespace(now=100.0)

    def wait(_: object, seconds: float) -> None:
        it.now += seconds

    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: it.now)
        patch.setattr(signal, "sigtimedwait", wait)
        # What is still pending at the end is taken by the same function.
        patch.setattr(collecting, "forget", lambda _: None)
        yield it


def collection(
    *command: str,
    interval_s: float | None = None,
    duration_s: float | None = None,
    by: Sequence[str] = ("syscall",),
    timed: bool = True,
    off_cpu: bool = False,
    filters: Filters | None = None,
) -> Collection:
    words = argparse.Namespace(
        filters=filters or Filters(),
        command=list(command),
        interval_s=interval_s,
        duration_s=duration_s,
    )
    return Collection(words, by, timed=timed, off_cpu=off_cpu)


def aggregates(of: Collection) -> list[Aggregate]:
    return list(of.aggregates(lambda: None))


def seconds(of: Sequence[Aggregate]) -> list[float]:
    return [round(aggregate.interval_s, 6) for aggregate in of]


def calls(of: Sequence[Aggregate]) -> list[int]:
    return [int(aggregate.calls.count.sum()) for aggregate in of]


def signals_are_as_before() -> bool:
    return not signal.pthread_sigmask(signal.SIG_BLOCK, ()) and not signal.sigpending()


# --- Intervals ---


@pytest.mark.parametrize(
    ("interval_s", "duration_s", "expected"),
    [
        (1.0, 3.5, [1, 1, 1, 0.5]),
        (2.5, 5.0, [2.5, 2.5]),
        (0.1, 0.3, [0.1, 0.1, 0.1]),
        (0.7, 0.5, [0.5]),
        (None, 10.0, [10]),
        (4.0, 10.0, [4, 4, 2]),
        (0.05, 0.25, [0.05] * 5),
    ],
)
@pytest.mark.usefixtures("clock")
def test_each_interval_is_yielded_once(
    source: Source, interval_s: float | None, duration_s: float, expected: list[float]
) -> None:
    it = collection(interval_s=interval_s, duration_s=duration_s)
    found = aggregates(it)
    assert seconds(found) == expected
    assert calls(found) == [round(CALLS_PER_S * length) for length in expected]
    assert (it.status, source.closed) == (0, 1)


@pytest.mark.usefixtures("clock")
def test_a_long_interval_is_read_in_short_ones(source: Source) -> None:
    (aggregate,) = aggregates(collection(duration_s=60.0))
    assert 60 <= source.reads <= 62
    assert aggregate.lost["calls"] == 10 * source.reads


@pytest.mark.usefixtures("source")
def test_intervals_do_not_drift_with_a_slow_reader(clock: SimpleNamespace) -> None:
    it = collection(interval_s=1.0, duration_s=10.0)
    ends = []
    for aggregate, pause_s in zip(
        it.aggregates(lambda: None), itertools.chain([0.3, 2.5], itertools.repeat(0)), strict=False
    ):
        ends.append(round(clock.now - 100, 6))
        clock.now += pause_s
        assert calls([aggregate]) == [round(aggregate.interval_s * CALLS_PER_S)]
    # What came after the second was missed, and is in the third.
    assert ends == [1, 2, 5, 6, 7, 8, 9, 10]


@pytest.mark.usefixtures("clock")
def test_losses_are_each_intervals_own(source: Source) -> None:
    found = aggregates(collection(interval_s=0.5, duration_s=1.5))
    assert [aggregate.lost["calls"] for aggregate in found] == [10, 10, 10]
    assert source.reads == 3


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("by", "timed", "off_cpu", "by_tid", "cgroups"),
    [
        (("syscall",), True, False, False, False),
        (("syscall",), True, True, False, False),
        (("pid", "comm", "tid"), False, False, True, False),
        (("cgroup",), False, False, False, True),
    ],
)
def test_what_is_asked_of_the_probe(
    source: Source, by: tuple[str, ...], timed: bool, off_cpu: bool, by_tid: bool, cgroups: bool
) -> None:
    (aggregate,) = aggregates(collection(duration_s=1, by=by, timed=timed, off_cpu=off_cpu))
    assert source.opened == [
        (
            Filters(),
            {
                "default_threshold_ns": None,
                "by_tid": by_tid,
                "timed": timed,
                "off_cpu": off_cpu,
                "cgroups": cgroups,
            },
        )
    ]
    assert (aggregate.calls.by, aggregate.timed) == (by, timed)


# --- Endings without a command ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_what_there_is(source: Source, number: signal.Signals) -> None:
    def send(look: int) -> None:
        if look in (3, 4):
            signal.raise_signal(number)

    source.relieving = send
    it = collection(interval_s=3600)
    (aggregate,) = aggregates(it)
    assert calls([aggregate]) == [pytest.approx(aggregate.interval_s * CALLS_PER_S, abs=2)]
    assert (it.status, source.closed, source.looks) == (0, 1, 4)
    assert signals_are_as_before()


def test_what_sysdash_was_told_to_ignore_does_not_end_it(source: Source) -> None:
    source.relieving = lambda look: signal.raise_signal(
        signal.SIGHUP if look < 5 else signal.SIGTERM
    )
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert len(aggregates(collection())) == 1
    finally:
        signal.signal(signal.SIGHUP, before)
    assert source.looks >= 5


def test_ctrl_c_before_anything_is_attached_leaves_nothing(source: Source) -> None:
    source.opening = lambda: signal.raise_signal(signal.SIGINT)
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        list(collection("sleep", "60").aggregates(lambda: told.append("ready")))
    assert (told, source.closed, source.looks) == ([], 1, 0)
    assert signals_are_as_before()
    assert machine.children() == {}


def test_an_error_leaves_nothing(source: Source) -> None:
    source.failing = True
    with pytest.raises(OSError, match="the source broke"):
        aggregates(collection("sleep", "60", interval_s=0.01))
    assert source.closed == 1
    assert signals_are_as_before()
    assert machine.children() == {}


def test_a_reader_that_stops_leaves_nothing(source: Source) -> None:
    it = collection("sleep", "60", interval_s=0.01).aggregates(lambda: None)
    assert next(it).calls is not None
    assert len(machine.children()) == 1
    signal.raise_signal(signal.SIGINT)  # with Ctrl-C at the same time
    it.close()  # type: ignore[attr-defined]
    assert source.closed == 1
    assert signals_are_as_before()
    assert machine.children() == {}


# --- Filters that nothing can pass ---


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("kind", ["pids", "tids"])
def test_it_ends_with_the_processes_of_its_filters(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(["sleep", "0.2"]) as one, subprocess.Popen(["sleep", "0.4"]) as other:
        numbers = (other.pid, one.pid)
        filters = Filters(pids=numbers) if kind == "pids" else Filters(tids=numbers)
        began = time.monotonic()
        (aggregate,) = aggregates(collection(filters=filters))
        assert other.poll() == 0 or other.wait() == 0
    assert 0.2 < aggregate.interval_s < time.monotonic() - began + 0.01 < 5
    what = "processes" if kind == "pids" else "threads"
    assert capsys.readouterr().err == f"sysdash: the {what} have ended\n"
    assert signals_are_as_before()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("filters", "told"),
    [
        (Filters(failures=True), ""),
        (
            Filters(comms=("no\x1b such", "none")),
            " (no process is called no␛ such or none: names are whole, of 15 bytes)",
        ),
        (Filters(include_self=True), None),
        (Filters(), None),
    ],
)
def test_filters_that_let_nothing_through_are_told_of(
    source: Source, capsys: pytest.CaptureFixture[str], filters: Filters, told: str | None
) -> None:
    source.calls_per_s = 0
    found = aggregates(collection(duration_s=1, interval_s=0.5, filters=filters))
    assert calls(found) == [0, 0]
    line = "" if told is None else f"sysdash: no call passed the filters{told}\n"
    assert capsys.readouterr().err == line


@pytest.mark.usefixtures("clock", "source")
def test_one_call_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    filters = Filters(comms=("none",))
    found = aggregates(collection(duration_s=1, interval_s=0.4, filters=filters))
    assert sum(calls(found)) == CALLS_PER_S
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("clock")
def test_a_name_that_a_process_has_is_not_doubted(
    source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    source.calls_per_s = 0
    own = os.fsdecode(Path("/proc/self/comm").read_bytes().removesuffix(b"\n"))
    aggregates(collection(duration_s=1, filters=Filters(comms=(own,))))
    assert capsys.readouterr().err == "sysdash: no call passed the filters\n"


def test_of_a_command_that_calls_nothing_nothing_is_told(
    source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    source.calls_per_s = 0
    assert len(aggregates(collection("true", filters=Filters(failures=True)))) == 1
    assert capsys.readouterr().err == ""


# --- Endings with a command ---


def test_it_ends_with_the_command(source: Source) -> None:
    told: list[str] = []
    it = collection("sh", "-c", "sleep 0.1; exit 7")
    (aggregate,) = it.aggregates(lambda: told.append("ready"))
    assert (told, it.status, source.closed) == (["ready"], 7, 1)
    assert aggregate.interval_s >= 0.1
    ((filters, _),) = source.opened
    assert filters.command
    assert signals_are_as_before()


def test_the_command_begins_after_ready(source: Source, tmp_path: Path) -> None:
    began = tmp_path / "began"
    seen: list[bool] = []
    source.opening = lambda: seen.append(began.exists())
    it = collection("touch", str(began))
    assert len(list(it.aggregates(lambda: seen.append(began.exists())))) == 1
    assert seen == [False, False]
    assert began.exists()


def test_the_duration_ends_the_command(source: Source) -> None:
    it = collection("sleep", "60", duration_s=0.1)
    (aggregate,) = aggregates(it)
    assert aggregate.interval_s == pytest.approx(0.1, abs=0.09)
    assert (it.status, source.closed) == (143, 1)
    assert machine.children() == {}


class Patient:
    """A command that says when it has begun, and what a signal makes of it."""

    def __init__(self, folder: Path, trap: str) -> None:
        self.began = folder / "began"
        line = f"trap {trap}; touch {self.began}; while :; do sleep 0.02; done"
        self.words = ("sh", "-c", line)

    def when_it_has_begun(self, *numbers: signal.Signals) -> Callable[[int], None]:
        """Send each of these to ourselves, one at a look, from then on."""
        left = list(numbers)

        def send(_: int) -> None:
            if left and self.began.exists():
                signal.raise_signal(left.pop(0))

        return send


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "INT"), (signal.SIGTERM, "TERM"), (signal.SIGHUP, "HUP")]
)
def test_a_signal_for_us_alone_is_passed_on_once(
    source: Source, tmp_path: Path, number: signal.Signals, name: str
) -> None:
    told = tmp_path / "told"
    command = Patient(tmp_path, f"'echo {name} >>{told}; sleep 0.2; exit 5' {name}")
    source.relieving = command.when_it_has_begun(number)
    it = collection(*command.words)
    assert len(aggregates(it)) == 1
    assert (it.status, told.read_text()) == (5, f"{name}\n")
    assert eventually(lambda: machine.children() == {})


def test_the_second_signal_ends_a_command_that_goes_on(source: Source, tmp_path: Path) -> None:
    command = Patient(tmp_path, "'' INT")
    source.relieving = command.when_it_has_begun(signal.SIGINT, signal.SIGINT)
    it = collection(*command.words)
    assert len(aggregates(it)) == 1
    assert it.status == 143
    assert eventually(lambda: machine.children() == {})


@pytest.mark.parametrize("terminal", [True, False])
def test_a_user_is_told_who_is_waited_for(
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
) -> None:
    monkeypatch.setattr(collecting, "_SILENT_S", 0.2)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    command = Patient(tmp_path, "'' INT")
    told: list[str] = []
    interrupted: list[float] = []

    def look(_: int) -> None:
        if not command.began.exists():
            return
        told.append(capsys.readouterr().err)
        if not interrupted or time.monotonic() > interrupted[0] + 0.6:
            interrupted.append(time.monotonic())
            signal.raise_signal(signal.SIGINT)

    source.relieving = look
    it = collection(*command.words)
    assert len(aggregates(it)) == 1
    assert it.status == 143
    words = "\nsysdash: waiting for the command to end; Ctrl-C again ends it\n"
    assert "".join(told) + capsys.readouterr().err == (words if terminal else "")


def test_a_command_that_cannot_be_run(source: Source, tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="cannot run 'no-such-command'"):
        aggregates(collection("no-such-command"))
    assert source.opened == []
    program = tmp_path / "program"
    program.write_text("no program")
    program.chmod(0o755)
    with pytest.raises(CannotCollect, match="Exec format error"):
        aggregates(collection(str(program)))
    assert source.closed == 1
    assert signals_are_as_before()


# --- On this machine ---


def count(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SYSDASH, "count", *words], capture_output=True, text=True, check=False, timeout=60
    )


def counted(*words: str) -> dict[str, int]:
    """Calls by name, of a command under ``sysdash count``."""
    done = count("--json", *words)
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith('{"schema"')]
    found = json.loads(line)
    assert found["lost"]["calls"] == found["lost"]["missed"] == 0
    return {row["syscall"]: row["count"] for row in found["rows"]}


def strace(folder: Path, *command: str) -> dict[str, int]:
    """Calls by name of a command under ``strace -c``."""
    table = folder / "strace"
    subprocess.run(
        ["strace", "-c", "-f", "-o", str(table), *command],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rows = re.findall(
        r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", table.read_text(), re.MULTILINE
    )
    return {name: int(number) for number, name in rows if name != "total"}


@pytest.mark.bpf
def test_dd_is_counted_as_by_strace(tmp_path: Path) -> None:
    command = ("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000")
    found = counted("--", *command)
    assert (found["read"], found["write"], found["execve"]) == (1003, 1003, 1)
    # strace counts a call when it returns, and this one does not.
    assert found.pop("exit_group") == 1
    assert found == strace(tmp_path, *command)


@pytest.mark.bpf
def test_threads_and_what_the_command_starts_are_counted(tmp_path: Path) -> None:
    program = build("threads", tmp_path)
    command = ("--", "sh", "-c", f"{program} 3 50; {program} 2 20; :")
    found = counted("--comm", comm("threads"), *command)
    assert found["getppid"] == 2 * 3 * 50 + 2 * 2 * 20
    assert found["execve"] == 2
    assert found["exit"] == 3 * 50 + 3 + 2 * 20 + 2
    assert counted(*command)["execve"] == 3


@pytest.mark.bpf
def test_nothing_else_is_counted(tmp_path: Path) -> None:
    program = build("returns", tmp_path)
    with subprocess.Popen(
        ["sh", "-c", "while :; do /bin/true; done"], start_new_session=True
    ) as other:
        try:
            done = count("--json", "--by", "comm", "--", program, "40")
        finally:
            os.killpg(other.pid, signal.SIGKILL)
    (row,) = json.loads(done.stdout.splitlines()[0])["rows"]
    assert row["comm"] == comm("returns")


@pytest.mark.bpf
@pytest.mark.parametrize(
    ("line", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_the_commands_exit_status_is_ours(line: str, status: int) -> None:
    for name in ("count", "lat", "summary"):
        done = subprocess.run(
            [SYSDASH, name, "--", "sh", "-c", line], capture_output=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (status, b"")


@pytest.mark.bpf
@pytest.mark.parametrize("format_", ["--json", "--output"])
def test_data_is_not_mixed_with_what_the_command_writes(format_: str) -> None:
    command = ("--syscall", "write", "--", "sh", "-c", "echo out; echo err >&2")
    done = count(format_, *command)
    assert (done.returncode, done.stderr) == (0, "out\nerr\n")
    assert done.stdout.startswith("{" if format_ == "--json" else "syscount,syscall=write count=2")
    assert done.stdout.count("\n") == 1
    done = count(*command)
    assert (done.returncode, done.stderr) == (0, "err\n")
    assert "\nout\n" in done.stdout


@pytest.mark.bpf
def test_standard_error_may_be_closed() -> None:
    line = "exec 2>&-; exec \"$0\" count --json -- sh -c 'echo out; echo err >&2; exit 3'"
    done = subprocess.run(
        ["sh", "-c", line, SYSDASH], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert json.loads(done.stdout)["by"] == ["syscall"]


@pytest.mark.bpf
def test_it_ends_with_a_process() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 3; exit 5"]) as process:
        done = count("--json", "-p", str(process.pid))
        assert process.wait() == 5
    assert (done.returncode, done.stderr) == (0, "sysdash: the process has ended\n")
    counts = {row["syscall"]: row["count"] for row in json.loads(done.stdout)["rows"]}
    assert counts["exit_group"] == 1
    assert "execve" not in counts  # its child's


def stop_before_it_begins(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> int:
    """Stop the command of a sysdash that is still being started."""
    file = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    assert eventually(lambda: file.read_text().split() != [], 30)
    (child,) = map(int, file.read_text().split())
    os.kill(child, signal.SIGSTOP)
    assert eventually(lambda: ") T " in Path(f"/proc/{child}/stat").read_text())
    return child


@pytest.mark.bpf
def test_a_command_that_is_stopped_before_it_begins_can_be_given_up() -> None:
    with subprocess.Popen(
        [SYSDASH, "count", "--", "sleep", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        child = stop_before_it_begins(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Tracing")
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "")
    assert out.count("SYSCALL") == 1
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.bpf
def test_a_dashboard_gives_up_a_command_that_is_stopped_before_it_begins() -> None:
    with Terminal([SYSDASH, "--", "sleep", "60"]) as terminal:
        child = stop_before_it_begins(terminal.process)
        # It has nothing to show.
        terminal.read(3)
        assert terminal.process.poll() is None
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait_end() == 143
        assert terminal.settings_restored()
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.bpf
def test_a_pipe_that_is_closed_ends_everything_quietly(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    with subprocess.Popen(
        [SYSDASH, "count", "-i", "0.05", "--", "sh", "-c", f"echo $$ >{told}; exec sleep 60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert eventually(lambda: told.exists() and told.read_text() != "", 30)
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == b""
    assert not Path(f"/proc/{told.read_text().strip()}").exists()


@pytest.mark.bpf
def test_a_reader_that_has_stopped_does_not_keep_it_from_ending() -> None:
    """Nothing can be printed any more, as its exit code says."""
    with subprocess.Popen(
        [SYSDASH, "count", "--json", "-i", "0.05", "--by", "syscall,errno,pid", "--include-self"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        # One page: the first interval fills it, or is the last that it takes.
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        assert eventually(lambda: _waiting_to_be_read(process.stdout) > 0, 30)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == b""


def _waiting_to_be_read(pipe: IO[bytes] | None) -> int:
    """Bytes in a pipe (FIONREAD, pipe(7))."""
    assert pipe is not None
    answer = bytearray(4)
    fcntl.ioctl(pipe, termios.FIONREAD, answer)
    return int.from_bytes(answer, sys.byteorder)


@pytest.mark.bpf
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_from_without(number: signal.Signals) -> None:
    with subprocess.Popen(
        [SYSDASH, "count", "--include-self"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Tracing")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out.count("SYSCALL") == 1


@pytest.mark.bpf
def test_ctrl_c_reaches_the_command_once_and_by_the_terminal(tmp_path: Path) -> None:
    told = tmp_path / "told"
    line = f"trap 'echo INT >>{told}' INT; echo begun; sleep 0.5; sleep 0.5; exit 5"
    with Terminal([SYSDASH, "count", "-T", "3", "--", "sh", "-c", line]) as terminal:
        terminal.wait_for("begun")
        terminal.type("\x03")
        assert terminal.wait_end() == 5
        assert "SYSCALL" in terminal.text
    assert told.read_text() == "INT\n"


@pytest.mark.bpf
def test_ctrl_c_says_that_the_command_goes_on() -> None:
    line = "trap '' INT; echo begun; exec sleep 60"
    with Terminal([SYSDASH, "count", "-T", "3", "--", "sh", "-c", line]) as terminal:
        terminal.wait_for("begun")
        terminal.type("\x03")
        terminal.wait_for("sysdash: waiting for the command to end; Ctrl-C again ends it")
        terminal.type("\x03")
        assert terminal.wait_end() == 143


@pytest.mark.bpf
def test_ctrl_c_ends_it_with_the_last_table() -> None:
    with Terminal([SYSDASH, "count", "-T", "3"]) as terminal:
        terminal.wait_for("Tracing")
        terminal.type("\x03")
        assert terminal.wait_end() == 0
        assert "SYSCALL" in terminal.text


# --- The dashboard with a command ---


def written_afterwards(terminal: Terminal) -> str:
    """What was written after the dashboard had left its screen and shown the cursor again."""
    rest = terminal.raw.decode(errors="replace").rpartition("\x1b[?1049l")[2]
    return rest.removeprefix("\x1b[?25h")


@pytest.mark.bpf
def test_the_dashboard_ends_with_its_command() -> None:
    line = "echo begun; for i in 1 2 3 4; do sleep 0.5; cat /dev/null; done; echo over >&2; exit 9"
    with Terminal([SYSDASH, "top", "-i", "0.2", "--", "sh", "-c", line]) as terminal:
        text = terminal.wait_for("only -- sh -c", "wait4")
        assert "begun" not in text.replace("sh -c echo begun", "")
        assert terminal.wait_end() == 9
        assert terminal.settings_restored()
        assert written_afterwards(terminal) == "begun\r\nover\r\n"


@pytest.mark.bpf
@pytest.mark.parametrize(("keys", "statuses"), [("q", {143}), ("\x03", {130, 143})])
def test_leaving_the_dashboard_ends_its_command(
    keys: str, statuses: set[int], tmp_path: Path
) -> None:
    began = tmp_path / "began"
    line = f"echo begun; touch {began}; exec sleep 60"
    with Terminal([SYSDASH, "--", "sh", "-c", line]) as terminal:
        terminal.wait(lambda _: began.exists(), what="command")
        terminal.type(keys)
        assert terminal.wait_end() in statuses
        assert terminal.settings_restored()
        assert written_afterwards(terminal) == "begun\r\n"


@pytest.mark.bpf
def test_of_much_output_the_end_is_shown() -> None:
    with Terminal([SYSDASH, "--", "sh", "-c", "seq 100000; sleep 1"]) as terminal:
        assert terminal.wait_end() == 0
        first, *lines = written_afterwards(terminal).splitlines()
    assert first == "[327KB of the command's output are left out here]"
    assert lines[1:] == [str(i) for i in range(100_001 - len(lines[1:]), 100_001)]


@pytest.mark.bpf
def test_the_dashboard_hangs_up_with_its_terminal(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    line = f"trap '' HUP; echo begun; echo $$ >{told}; exec sleep 60"
    with Terminal([SYSDASH, "--", "sh", "-c", line]) as terminal:
        terminal.wait(lambda _: told.exists() and told.read_text(), what="command")
        terminal.hang_up()
        assert terminal.wait_end() == 143
    assert not Path(f"/proc/{told.read_text().strip()}").exists()


@pytest.mark.bpf
def test_the_dashboard_ends_after_its_duration() -> None:
    with Terminal([SYSDASH, "-d", "2", "-i", "0.2"]) as terminal:
        terminal.wait(lambda text: "sysdash CPU" in text, what="the first data")
        seen = time.monotonic()
        assert terminal.wait_end() == 0
        assert 0.5 < time.monotonic() - seen < 10


@pytest.mark.bpf
def test_a_dashboard_whose_command_the_kernel_refuses(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("no program")
    program.chmod(0o755)
    with Terminal([SYSDASH, "--", program]) as terminal:
        assert terminal.wait_end() == 1
        assert terminal.settings_restored()
        assert "Exec format error." in terminal.text.replace("\n", "")
