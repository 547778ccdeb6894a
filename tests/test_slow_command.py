"""``sysdash slow``: its words, and what it prints of programs whose calls are known."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from probing import build, comm
from synthetic import Slow, snapshot

from sysdash.commands import collecting, completion, parsers, printing, slow, words
from sysdash.config import ConfigError, Settings
from sysdash.model import Snapshot
from sysdash.probes import capabilities

SYSDASH = Path(sys.prefix) / "bin" / "sysdash"
MS = 1_000_000

Object = dict[str, Any]


# --- Words ---


def parsed(*argv: str) -> argparse.Namespace:
    return parsers.parse("slow", [*argv])


def settings(tmp_path: Path, *argv: str, config: str = "") -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(config)
    return words.settings(parsed("--config", str(file), *argv))


def test_the_configurations_thresholds_are_used_by_default(tmp_path: Path) -> None:
    found = settings(tmp_path, config='[thresholds]\ndefault = "20ms"\nfsync = "2ms"')
    assert found.threshold_ns == 20 * MS
    assert found.thresholds_ns["fsync"] == 2 * MS
    assert found.thresholds_ns["futex"] == MS


def test_a_threshold_for_all_replaces_those_of_the_configuration(tmp_path: Path) -> None:
    found = settings(tmp_path, "--threshold", "3ms", config='[thresholds]\nfsync = "2ms"')
    assert (found.threshold_ns, dict(found.thresholds_ns)) == (3 * MS, {})


def test_a_threshold_with_a_name_is_on_top(tmp_path: Path) -> None:
    config = '[thresholds]\ndefault = "20ms"\nfsync = "2ms"\nread = "7ms"'
    found = settings(tmp_path, "--threshold", "read=5us,futex=off", config=config)
    assert found.threshold_ns == 20 * MS
    assert found.thresholds_ns["read"] == 5000
    assert found.thresholds_ns["futex"] is None
    assert found.thresholds_ns["fsync"] == 2 * MS
    found = settings(tmp_path, "--threshold", "read=5us", "--threshold", "1ms", config=config)
    assert (found.threshold_ns, dict(found.thresholds_ns)) == (MS, {"read": 5000})


@pytest.mark.parametrize(
    ("word", "ns"),
    [
        ("0", 0),
        ("0ms", 0),
        ("400ns", 400),
        ("1.5us", 1500),
        ("1.5µs", 1500),
        ("2ms", 2 * MS),
        ("2s", 2000 * MS),
        ("1m", 60_000 * MS),
        ("1h", 3_600_000 * MS),
        ("off", None),
    ],
)
def test_units_of_thresholds(word: str, ns: int | None) -> None:
    assert parsed("--threshold", word).threshold == [(None, ns)]
    assert parsed("--threshold", f"read={word}").threshold == [("read", ns)]


@pytest.mark.parametrize(
    ("argv", "wrong"),
    [
        (["--threshold", "5"], "'5' is not a threshold: write it as 10ms"),
        (["--threshold", "read=-1ms"], "'read=-1ms' is not a threshold"),
        (["--threshold", "99999999h"], "'99999999h' is not a threshold"),
        (["--threshold", "10ms,"], "'' is not a threshold"),
        (["--threshold", "raed=1ms"], "unknown syscall 'raed'; did you mean read"),
        (["--threshold", "=1ms"], "unknown syscall ''"),
        (["--per-second", "-1"], "'-1' is not a whole number"),
        (["--per-second", "0"], "'0' is not a whole number from 1"),
        (["-i", "1"], "-i/--interval needs -T/--top or --in-flight"),
        (["--in-flight", "-x"], "what has not returned has not failed"),
        (["--in-flight", "-e", "ENOENT"], "what has not returned has not failed"),
        (["--in-flight", "--", "true"], "--in-flight with a command needs"),
        (["--in-flight", "--per-second", "5"], "exclude each other"),
    ],
)
def test_wrong_words(argv: list[str], wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parsed(*argv)
    assert left.value.code == 2
    assert wrong in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["-T", "3"],
        ["-T", "3", "-i", "1"],
        ["--in-flight", "-i", "1"],
        ["--in-flight", "-d", "1", "--", "true"],
        ["--in-flight", "-T", "3", "--syscall", "!%waiting"],
    ],
)
def test_right_words(argv: list[str]) -> None:
    parsed(*argv)


def test_when_no_call_can_be_slow_it_says_so(tmp_path: Path) -> None:
    args = parsed("--threshold", "off")
    args.settings = settings(tmp_path, "--threshold", "off")
    with pytest.raises(ConfigError, match="every threshold is off"):
        slow.run(args)


@pytest.mark.parametrize(
    ("typed", "offered", "not_offered"),
    [
        ("", "futex=", "futex"),
        ("fu", "futex=", ""),
        ("futex=1ms,re", "futex=1ms,read=", "read="),
    ],
)
def test_names_of_syscalls_are_completed(typed: str, offered: str, not_offered: str) -> None:
    found = completion._threshold_names(prefix=typed)
    assert offered in found
    assert not_offered not in found


def test_behind_a_name_nothing_is_offered() -> None:
    assert completion._threshold_names(prefix="read=1") == []


# --- Which calls are printed, and when ---


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> SimpleNamespace:
    """Runs the command on given snapshots; returns its lines."""

    def run(parts: Sequence[tuple[Snapshot, bool]], *argv: str) -> list[str]:
        args = parsed(*argv)
        args.settings, args.filters = settings(tmp_path), words.filters(args)

        def snapshots(_self: object, ready: Any) -> Any:
            ready()
            yield from parts

        monkeypatch.setattr(collecting.Collection, "snapshots", snapshots)
        assert slow.run(args) == 0
        return capfd.readouterr().out.splitlines()

    return SimpleNamespace(run=run)


def heads(lines: Sequence[str]) -> list[str]:
    return [line.split(" took ")[1] for line in lines if line.startswith("SLOW SYSCALL")]


def part(*slow: Slow, second: int, over: bool = False, **more: Any) -> tuple[Snapshot, bool]:
    return snapshot((), slow, second=second, **more), over


def test_calls_are_printed_in_the_order_in_which_they_end(printed: SimpleNamespace) -> None:
    # The second of the first snapshot ended after it was taken, one of the next before that.
    parts = [
        part(Slow("read", 11 * MS, ago_ms=5), Slow("read", 13 * MS, ago_ms=-5), second=1),
        part(Slow("read", 12 * MS, ago_ms=1001 - 5), Slow("read", 14 * MS), second=2, over=True),
    ]
    lines = printed.run(parts, "--no-stack")
    assert heads(lines) == ["11.0ms", "12.0ms", "13.0ms", "14.0ms"]
    assert lines[-2:] == ["", "4 slow calls"]


def test_the_longest_are_printed_at_the_end(printed: SimpleNamespace) -> None:
    parts = [
        part(*(Slow("read", (10 + i) * MS) for i in (5, 9, 2)), second=1),
        part(*(Slow("read", (10 + i) * MS) for i in (7, 1)), second=2, over=True),
    ]
    lines = printed.run(parts, "-T", "2")
    assert heads(lines) == ["19.0ms", "17.0ms"]
    assert lines[-1] == "the 2 longest of 5 slow calls"


def test_the_longest_of_each_interval(printed: SimpleNamespace) -> None:
    parts = [
        part(Slow("read", 11 * MS), Slow("read", 12 * MS), second=1, over=True),
        part(Slow("read", 10 * MS), second=2, over=True),
    ]
    lines = printed.run(parts, "-T", "1", "-i", "1")
    assert heads(lines) == ["12.0ms", "10.0ms"]
    assert [bool(re.fullmatch(r"\[\d\d:\d\d:\d\d\]", line)) for line in lines].count(True) == 2
    assert lines[-1] == "the longest of each interval, of 3 slow calls in all"


def test_an_interval_without_slow_calls_says_so(printed: SimpleNamespace) -> None:
    parts = [
        part(second=1, over=True),
        part(second=2, over=True, lost={"slow_limit": 7}),
        part(Slow("read", 10 * MS), second=3, over=True, lost={"slow_limit": 7}),
        part(second=4, over=True, lost={"slow_limit": 7}),
    ]
    lines = printed.run(parts, "-T", "1", "-i", "1", "--no-stack")
    under = [lines[at + 2] for at, line in enumerate(lines) if line.startswith("[")]
    assert under[:2] == ["no slow calls", "0 slow calls listed"]
    assert under[2].startswith("SLOW SYSCALL: read() took 10.0ms")
    assert under[3] == "no slow calls"
    # Objects need no such words.
    assert len(printed.run(parts, "-T", "1", "-i", "1", "--json")) == 1


def test_the_longest_of_a_storm_are_those_of_what_was_listed(printed: SimpleNamespace) -> None:
    slow = (Slow("read", 11 * MS), Slow("read", 12 * MS), Slow("read", 13 * MS))
    parts = [part(*slow, second=1, over=True, lost={"slow_limit": 2_199_252})]
    last = printed.run(parts, "-T", "1", "--threshold", "0", "--no-stack")[-1]
    assert last.startswith("the longest of the 3 listed; 2,199,252 more not listed: ")
    assert "a higher --threshold" in last
    assert last.endswith("; longer ones may be among those not listed")
    # Where all that is listed is printed, nothing is said of what is longer.
    assert "longer" not in printed.run(parts, "--threshold", "0", "--no-stack")[-1]


def test_what_is_dropped_is_told_at_the_end(printed: SimpleNamespace) -> None:
    parts = [part(Slow("read", 11 * MS), second=1, over=True, lost={"slow_limit": 17})]
    lines = printed.run(parts)
    assert lines[-1].startswith("1 slow call; 17 more not listed: 17 over the limit of 1,000 a sec")
    lines = printed.run(parts, "--per-second", "20")
    assert "over the limit of 20 a second" in lines[-1]


@pytest.mark.parametrize("argv", [(), ("-i", "1"), ("--json",)])
def test_threads_that_could_not_be_looked_into_are_told_at_the_end(
    printed: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
) -> None:
    monkeypatch.setattr(capabilities, "_effective", lambda: 1 << 2)
    monkeypatch.setattr(printing, "tell", print)
    both = [replace(part(second=n, over=True)[0], in_flight_unreadable=1) for n in (1, 2)]
    lines = printed.run([(each, True) for each in both], "--in-flight", *argv)
    told = (
        "1 thread could not be looked into (that needs CAP_SYS_PTRACE): "
        "calls that it began before the start are missing"
    )
    assert [line for line in lines if "thread" in line] == lines[-1:] == [told]


# --- Real calls ---


def run(*argv: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [SYSDASH, "slow", *argv], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    return done


def objects(text: str) -> list[Object]:
    return [json.loads(line) for line in text.splitlines()]


KNOWN = "read,futex,clock_nanosleep,connect,fsync"


@pytest.mark.bpf
def test_calls_that_are_known_are_told_as_they_are(tmp_path: Path) -> None:
    program = build("slowcalls", tmp_path, "-fno-omit-frame-pointer")
    file, socket = tmp_path / "file", tmp_path / "socket"
    thresholds = "40ms,fsync=0,connect=0,read=0"
    done = run("--json", "--threshold", thresholds, "--syscall", KNOWN, "--", program, file, socket)
    # With --json, the command writes to standard error.
    said = [line.split() for line in done.stderr.splitlines()]
    pid = next(o["pid"] for o in objects(done.stdout) if o["syscall"] == "futex")
    calls = [o for o in objects(done.stdout) if o["tid"] == pid]
    by_call: dict[str, list[Object]] = {}
    for call in calls:
        assert list(call) == [
            *("schema", "time", "syscall", "duration_ns", "pid", "tid", "comm", "args", "ret"),
            *("errno", "path", "stack"),
        ]
        assert (call["schema"], call["comm"]) == ("sysdash.slow/1", comm("slowcalls"))
        by_call.setdefault(call["syscall"], []).append(call)
    for name, ns, fd, _number in said:
        # Measured around the call, which takes a little longer than the call.
        near = [
            call
            for call in by_call[name]
            if call["args"].get("fd", -1) == int(fd)
            and call["duration_ns"] <= int(ns) <= call["duration_ns"] * 1.05 + 0.2 * MS
        ]
        assert near, (name, ns, by_call[name])
    numbers = {(name, int(fd)): int(number) for name, _, fd, number in said}

    def the(name: str, fd: int | None = None) -> Object:
        return next(o for o in by_call[name] if fd is None or o["args"]["fd"] == fd)

    fds = {name: [int(fd) for each, _, fd, _ in said if each == name] for name in KNOWN.split(",")}
    pipe, writer = fds["read"]
    waited = [o for o in by_call["read"] if o["args"]["fd"] == pipe][-1]
    assert (waited["args"]["count"], waited["ret"], waited["errno"]) == (64, 5, None)
    assert (the("read", writer)["errno"], the("read", writer)["path"]) == ("EBADF", str(file))
    assert (the("fsync")["ret"], the("fsync")["path"]) == (0, str(file))
    assert the("futex")["args"]["uaddr"] == hex(numbers["futex", -1])
    assert the("futex")["args"]["op"] == "FUTEX_WAIT_PRIVATE"
    internet, local = fds["connect"]
    assert the("connect", internet)["errno"] == "EINPROGRESS"
    port = numbers["connect", internet]
    assert the("connect", internet)["args"]["uservaddr"] == f"127.0.0.1:{port}"
    assert (the("connect", local)["errno"], the("connect", local)["path"]) == (
        "ENOENT",
        str(socket),
    )
    name = Path(program).name
    functions = [frame.partition("+")[0] for frame in the("clock_nanosleep")["stack"]]
    at = functions.index(f"{name}`named_function")
    assert functions[at + 1] == f"{name}`main"


@pytest.mark.bpf
def test_the_text_of_a_known_call(tmp_path: Path) -> None:
    program = build("waits", tmp_path)
    done = run("--syscall", "read", "--threshold", "30ms", "--", program, "50")
    fd, buffer, _, ns = next(
        line for line in done.stdout.splitlines() if re.fullmatch(r"\d+ \d+ \d+ \d+", line)
    ).split()
    blocks = done.stdout.split("\n\n")
    assert blocks[0].splitlines()[0] == "Tracing calls slower than 30ms... Ctrl+C to quit."
    lines = next(block for block in blocks if "SLOW" in block).splitlines()
    head = re.fullmatch(r"SLOW SYSCALL: read\(\) took ([\d.]+)ms", lines[0])
    assert head is not None
    assert float(head[1]) == pytest.approx(int(ns) / MS, rel=0.05)
    who = re.fullmatch(r"  TIME \d\d:\d\d:\d\d\.\d\d\d  PID (\d+)  COMM (\S+)  TID (\d+)", lines[1])
    assert who is not None
    assert who[1] == who[3]
    assert who[2] == comm("waits")
    assert re.fullmatch(rf"  fd     = {fd} → pipe:\[\d+\]", lines[2])
    assert lines[3:7] == [
        f"  buf    = {int(buffer):#x}",
        "  count  = 64",
        "  result = 5",
        "  stack:",
    ]
    assert any(line.startswith(f"    {comm('waits')}`main+0x") for line in lines[7:])
    assert blocks[-1] == "1 slow call\n"
    assert done.stderr == ""


@pytest.mark.bpf
def test_interrupted_calls_and_returns_from_signals(tmp_path: Path) -> None:
    program = build("signals", tmp_path)
    words = ["--threshold", "0", "--no-stack", "--syscall", "read,rt_sigreturn"]
    found = objects(run(*words, "--json", "--", program, "3").stdout)
    # The register that is restored is what the read will return.
    assert [o["errno"] for o in found if o["syscall"] == "rt_sigreturn" and o["ret"] == -4] == (
        [None] * 3
    )
    reads = [o for o in found if o["syscall"] == "read" and o["errno"] == "ERESTARTSYS"]
    assert len(reads) == 3
    text = run(*words, "--", program, "3").stdout
    assert text.count("= ERESTARTSYS (interrupted by a signal") == 3
    returns = [block for block in text.split("\n\n") if "rt_sigreturn()" in block]
    assert len(returns) >= 3
    assert not any("error" in block or "result" in block for block in returns)


WAITS_FOR_NOBODY = """
import os, select, socket
epoll, pipe = select.epoll(), os.pipe()
epoll.register(pipe[0])
os.symlink("link", "link")
listening = socket.create_server(("127.0.0.1", 0))
listening.setblocking(False)
try:
    listening.accept()
except BlockingIOError:
    pass
print(pipe[0], listening.fileno(), listening.getsockname()[1])
"""


@pytest.mark.bpf
def test_what_was_looked_up_stands_behind_its_argument(tmp_path: Path) -> None:
    words = ["--threshold", "0", "--no-stack", "--syscall", "epoll_ctl,symlink,accept4"]
    script = f"import os; os.chdir({str(tmp_path)!r}){WAITS_FOR_NOBODY}"
    text = run(*words, "--", sys.executable, "-c", script).stdout
    (said,) = (line for line in text.splitlines() if re.fullmatch(r"\d+ \d+ \d+", line))
    pipe, listening, port = said.split()
    assert re.search(rf"^  fd     = {pipe} → pipe:\[\d+\]$", text, re.MULTILINE)
    assert f"\n  newname = link → {tmp_path}/link\n" in text
    assert re.search(rf"^  fd  +  = {listening} → TCP 127.0.0.1:{port} LISTEN$", text, re.MULTILINE)
    assert text.count("→") == 3


@pytest.mark.bpf
def test_calls_are_printed_soon_after_they_end_and_in_order(tmp_path: Path) -> None:
    program = build("waits", tmp_path)
    command = [str(SYSDASH), "slow", "--json", "--no-stack", "--threshold", "20ms"]
    with subprocess.Popen(
        [*command, "--", program, "50", "20"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        late, times = [], []
        for line in process.stdout:
            found = json.loads(line)
            assert found["stack"] == []
            ended = dt.datetime.fromisoformat(found["time"]).timestamp()
            late.append(time.time() - ended)
            times.append(ended)
    assert process.returncode == 0
    assert len(late) >= 40  # reads, and the sleeps of the child
    assert times == sorted(times)
    assert sorted(late)[len(late) // 2] < 0.2
    assert max(late) < 1.0


@pytest.mark.bpf
def test_it_exits_with_the_commands_status() -> None:
    done = run("--threshold", "30ms", "--", "sh", "-c", "sleep 0.1; exit 7", status=7)
    assert "SLOW SYSCALL: wait4() took" in done.stdout
    assert done.stdout.endswith(" slow calls\n")


@pytest.mark.bpf
def test_ctrl_c_ends_it_with_the_closing_line() -> None:
    with subprocess.Popen(
        [SYSDASH, "slow", "--comm", "nobody-has-this"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Tracing calls slower than")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out == "\nno slow calls\n"
    assert "no call passed the filters (no process is called nobody-has-this" in err


@pytest.mark.bpf
def test_over_the_limit_calls_are_counted() -> None:
    command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=20000", "status=none"]
    words = ["--syscall", "read,write", "--threshold", "0", "--per-second", "100", "--no-stack"]
    done = run(*words, "--", *command)
    last = done.stdout.splitlines()[-1]
    counts = re.match(r"([\d,]+) slow calls; ([\d,]+) more not listed: \2 over the limit", last)
    assert counts is not None, last
    shown, dropped = (int(text.replace(",", "")) for text in counts.groups())
    assert shown == done.stdout.count("SLOW SYSCALL")
    assert shown + dropped == 40_003  # the loader reads, too
    assert shown < 1000


@pytest.mark.bpf
def test_threads_that_were_blocked_before_are_in_flight(tmp_path: Path) -> None:
    program = build("inflight", tmp_path)
    with subprocess.Popen(
        [program, "3", tmp_path / "fifo", tmp_path / "socket"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().split() for _ in range(8)]
        threads = {int(tid): name for name, tid, _ in said} | {process.pid: "read"}
        time.sleep(0.2)
        began = time.monotonic()
        found = objects(
            run("--in-flight", "--json", "--threshold", "1ms", "-p", str(process.pid)).stdout
        )
        took = time.monotonic() - began
        text = run("--in-flight", "-T", "4", "--threshold", "1ms", "-p", str(process.pid)).stdout
        process.communicate("")
    assert took < 5
    assert {o["tid"]: o["syscall"] for o in found} == threads
    durations = [o["duration_ns"] for o in found]
    assert durations == sorted(durations, reverse=True)
    for each in found:
        assert (each["schema"], each["ret"], each["errno"]) == ("sysdash.inflight/1", None, None)
        assert each["duration_ns"] > 200 * MS * 0.9
    by_name = {o["syscall"]: o for o in found}
    assert by_name["openat"]["args"]["filename"] == str(tmp_path / "fifo")
    assert by_name["recvfrom"]["path"] == str(tmp_path / "socket")
    assert any("nanosleep" in frame for frame in by_name["clock_nanosleep"]["stack"])
    assert text.startswith("Calls in flight for longer than 1ms:\n\nIN FLIGHT: ")
    # They began before sysdash.
    assert text.count("() for at least ") == text.count("IN FLIGHT: ") == 4
    assert text.endswith("\n\nthe 4 longest of 9 calls in flight\n")


@pytest.mark.bpf
def test_a_commands_calls_in_flight_are_timed_exactly(tmp_path: Path) -> None:
    program = build("inflight", tmp_path)
    held, other = os.pipe()
    try:
        done = subprocess.run(
            [
                *(SYSDASH, "slow", "--in-flight", "--json", "--threshold", "300ms", "-d", "1"),
                *("--", program, "50", tmp_path / "fifo", tmp_path / "socket"),
            ],
            stdin=held,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(held)
        os.close(other)
    said = {int(line.split()[1]): line.split()[0] for line in done.stderr.splitlines()}
    found = objects(done.stdout)
    main = next(o["pid"] for o in found)
    assert {o["tid"]: o["syscall"] for o in found} == said | {main: "read"}
    for each in found:
        assert 500 * MS < each["duration_ns"] < 1500 * MS
        assert each["comm"] == comm("inflight")
    addresses = {o["args"]["uaddr"] for o in found if o["syscall"] == "futex"}
    assert len(addresses) == 1


@pytest.mark.bpf
def test_calls_in_flight_after_each_interval(tmp_path: Path) -> None:
    program = build("waits", tmp_path)
    command = ["--in-flight", "-i", "0.2", "--syscall", "read", "--threshold", "10ms"]
    done = run(*command, "--", program, "900")
    told = re.findall(r"^IN FLIGHT: read\(\) for ([\d.]+)ms$", done.stdout, re.MULTILINE)
    times = [float(ms) for ms in told]
    assert len(times) >= 3
    assert all(120 < after - before < 400 for before, after in pairwise(times))
    assert done.stdout.count("\n1 call in flight\n") == len(times)


@pytest.mark.bpf
def test_a_32_bit_call_says_so(tmp_path: Path) -> None:
    flags = ("-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector", "-no-pie")
    program = build("inflight32", tmp_path, *flags)
    script = f"(sleep 0.1; echo) | {program}"
    arguments = ["--comm", comm("inflight32"), "--threshold", "30ms"]
    found = objects(run("--json", *arguments, "--", "sh", "-c", script).stdout)
    (call,) = found
    assert (call["syscall"], call["abi"], call["ret"]) == ("read", "ia32", 1)
    assert call["args"]["fd"] == 0
