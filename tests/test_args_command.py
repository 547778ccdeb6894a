"""``sysdash args``: its words, and what it counts of programs whose calls are known."""

from __future__ import annotations

import argparse
import errno
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from probing import build, comm
from synthetic import snapshot

from sysdash.commands import args as command
from sysdash.commands import collecting, completion, parsers, words
from sysdash.config import ConfigError
from sysdash.model import Snapshot

SYSDASH = Path(sys.prefix) / "bin" / "sysdash"
DD = ("dd", "if=/dev/zero", "of=/dev/null", "status=none")

Object = dict[str, Any]


# --- Words ---


def parsed(*argv: str) -> argparse.Namespace:
    return parsers.parse("args", [*argv])


def test_a_call_and_its_argument() -> None:
    assert parsed("read").what == ("read", None)
    assert parsed("read:ret").what == ("read", "ret")
    assert parsed("-H", "read:2", "-i", "1").what == ("read", "2")
    assert parsed("openat:flags", "-C", "-T", "3", "--", "ls", "-l").command == ["ls", "-l"]


@pytest.mark.parametrize(
    ("argv", "wrong"),
    [
        ([], "the following arguments are required: SYSCALL[:ARG]"),
        (["raed:count"], "unknown syscall 'raed'; did you mean read"),
        (["READ:count"], "unknown syscall 'READ'; did you mean read? (see"),
        (["read,write"], "'read,write': it takes one syscall"),
        (["read:fd,count"], "'read:fd,count': it takes one syscall, and one of its arguments"),
        ([":count"], "unknown syscall ''"),
        (["read", "write"], "unrecognized arguments: write"),
        (["read", "-H", "-C"], "-H/--histogram and -C/--count exclude each other"),
        (["read", "-H", "-T", "3"], "-H/--histogram and -T/--top exclude each other"),
        (["read", "-p", "1", "--", "true"], "a command and -p/--pid or -t/--tid exclude"),
    ],
)
def test_wrong_words(argv: list[str], wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parsed(*argv)
    assert left.value.code == 2
    assert wrong in capsys.readouterr().err


def ready(*argv: str) -> argparse.Namespace:
    given = parsed(*argv)
    given.filters = words.filters(given)
    return given


def test_an_argument_that_is_not_there_is_told_before_anything_is_collected() -> None:
    with pytest.raises(ConfigError, match="read has no argument 'size'; it has fd, buf, count, an"):
        command.run(ready("read:size"))
    with pytest.raises(ConfigError, match="filename of openat is text"):
        command.run(ready("openat:filename", "-H"))


@pytest.mark.parametrize("only", ["write", "write,futex", "!read"])
def test_a_filter_that_leaves_the_call_out_is_told(only: str) -> None:
    with pytest.raises(ConfigError, match="--syscall leaves out read"):
        command.run(ready("read", "--syscall", only))


@pytest.mark.parametrize(
    ("typed", "offered", "not_offered"),
    [
        ("", "read:", "read"),
        ("openat", "openat:", "openat:flags"),
        ("openat:", "openat:flags", "read:"),
        ("openat:f", "openat:ret", "openat:count"),
        ("getpid:", "getpid:ret", "getpid:fd"),
    ],
)
def test_calls_and_their_arguments_are_completed(
    typed: str, offered: str, not_offered: str
) -> None:
    found = list(completion._values(prefix=typed))
    assert offered in found
    assert not_offered not in found


def test_of_an_unknown_call_nothing_is_offered() -> None:
    assert list(completion._values(prefix="raed:")) == []


# --- Intervals ---


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> SimpleNamespace:
    """Runs the command on given snapshots; returns its lines."""

    def run(parts: Sequence[tuple[Snapshot, bool]], *argv: str) -> list[str]:
        def snapshots(_self: object, ready: Any, *, live: bool) -> Iterator[Any]:
            assert not live
            ready()
            yield from parts

        monkeypatch.setattr(collecting.Collection, "snapshots", snapshots)
        assert command.run(ready(*argv)) == 0
        return capfd.readouterr().out.splitlines()

    return SimpleNamespace(run=run)


def part(values: Mapping[int | bytes, int], second: int, *, over: bool) -> tuple[Snapshot, bool]:
    return replace(snapshot(second=second), values=values), over


PARTS = [
    part({4096: 3, 0: 1}, 1, over=False),
    part({4096: 2}, 2, over=True),
    part({512: 7}, 3, over=True),
    part({}, 4, over=True),
]


def test_an_interval_has_its_own_calls_and_no_others(printed: SimpleNamespace) -> None:
    found = [json.loads(line) for line in printed.run(PARTS, "read", "--json", "-i", "2")]
    assert [each["rows"] for each in found] == [
        [{"value": 4096, "count": 5}, {"value": 0, "count": 1}],
        [{"value": 512, "count": 7}],
        [],
    ]
    assert [each["interval_s"] for each in found] == [2.0, 1.0, 1.0]
    assert [each["calls"] for each in found] == [6, 7, 0]


def test_each_interval_is_under_its_time(printed: SimpleNamespace) -> None:
    lines = printed.run(PARTS, "read", "-i", "2")
    assert lines[0] == "Tracing read:ret, printing top 20... Ctrl+C to quit."
    times = [at for at, line in enumerate(lines) if re.fullmatch(r"\[\d\d:\d\d:\d\d\]", line)]
    assert [lines[at + 1] for at in times] == [
        "read:ret: 6 calls, 2 values",
        "read:ret: 7 calls, 1 value",
        "no calls in 1.00s",
    ]
    assert [lines[at - 1] for at in times[1:]] == ["", ""]


def test_the_most_frequent_are_printed(printed: SimpleNamespace) -> None:
    parts = [part({number: 100 - number for number in range(30)}, 1, over=True)]
    assert "10 more values, of" in printed.run(parts, "read")[-2]
    assert len(json.loads(printed.run(parts, "read", "--json")[0])["rows"]) == 30
    found = json.loads(printed.run(parts, "read", "--json", "-T", "2")[0])
    assert found["rows"] == [{"value": 0, "count": 100}, {"value": 1, "count": 99}]
    assert found["calls"] == sum(range(71, 101))


# --- Real calls ---


def run(*argv: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [SYSDASH, "args", *argv], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    return done


def counts(*argv: str | Path) -> dict[int | str, int]:
    """The rows of the only interval."""
    found = json.loads(run("--json", *argv).stdout)
    assert found["schema"] == "sysdash.args/1"
    assert set(found["lost"].values()) == {0}
    rows = {row["value"]: row["count"] for row in found["rows"]}
    assert len(rows) == len(found["rows"])
    assert sum(rows.values()) == found["calls"]
    return rows


@pytest.fixture
def program(tmp_path: Path) -> str:
    """What opens files with flags and paths that are known."""
    return build("opens", tmp_path)


OPENED = {"/": 7, "/nowhere/␛[31mred␊": 3, "/etc/hostname": 5}


@pytest.mark.bpf
@pytest.mark.parametrize("argument", ["read:ret", "read:count", "read:2", "read"])
def test_sizes_of_dd_are_exact(argument: str) -> None:
    found = counts(argument, "--", *DD, "bs=4093", "count=1013")
    assert found[4093] == 1013
    assert sum(found.values()) < 1013 + 10  # the loader reads, too


@pytest.mark.bpf
def test_calls_are_those_that_strace_counts(tmp_path: Path) -> None:
    words = [*DD, "bs=1", "count=500"]
    log = tmp_path / "log"
    subprocess.run(["strace", "-f", "-o", log, "-e", "trace=read,openat", *words], check=True)
    lines = log.read_text().splitlines()
    results = Counter(
        -errno_of(match[2]) if match[1] == "-1" else int(match[1])
        for line in lines
        if (match := re.search(r"read\(.*\) += (-?\d+)(?: (E\w+))?", line))
    )
    flags = Counter(
        match[1] for line in lines if (match := re.search(r"openat\(.*, (O_[A-Z_|]+)", line))
    )
    assert counts("read:ret", "--", *words) == results
    found = json.loads(run("openat:flags", "--json", "--", *words).stdout)
    assert {row["name"]: row["count"] for row in found["rows"]} == flags


@pytest.mark.bpf
def test_there_are_as_many_calls_as_strace_sums_up(tmp_path: Path) -> None:
    words = [*DD, "bs=4096", "count=300"]
    summary = tmp_path / "summary"
    subprocess.run(["strace", "-c", "-f", "-o", summary, *words], check=True)
    rows = [line.split() for line in summary.read_text().splitlines()]
    known = {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit()}
    for name in ("read", "write", "openat", "mmap"):
        assert sum(counts(name, "--", *words).values()) == known[name]


def errno_of(name: str) -> int:
    return int(getattr(errno, name))


@pytest.mark.bpf
def test_flags_paths_and_errors_of_a_known_program(program: str) -> None:
    own = ("--comm", Path(program).name)
    flags = json.loads(run("openat:flags", "--json", *own, "--", program).stdout)["rows"]
    named = {row["name"]: row["count"] for row in flags}
    # With the loader's own O_RDONLY|O_CLOEXEC.
    assert named["O_RDONLY|O_DIRECTORY"] == 7
    assert named["O_WRONLY|O_NOFOLLOW"] == 3
    assert named["O_RDONLY|O_NONBLOCK"] == 5
    paths = counts("openat:filename", *own, "--", program)
    assert {path: paths[path] for path in OPENED} == OPENED
    failed = counts("openat:filename", "-x", *own, "--", program)
    assert failed == {"/nowhere/␛[31mred␊": 3}
    found = json.loads(run("openat", "--json", "-e", "ENOENT", *own, "--", program).stdout)
    assert found["rows"] == [{"value": -2, "count": 3, "name": "ENOENT"}]


@pytest.mark.bpf
def test_hostile_paths_are_safe_in_the_text(program: str) -> None:
    done = run("openat:filename", "--comm", Path(program).name, "--", program)
    assert "\x1b" not in done.stdout
    assert re.search(r"^/nowhere/␛\[31mred␊ +3 +[\d.]+% █", done.stdout, re.MULTILINE)


@pytest.mark.bpf
def test_a_histogram_of_real_calls() -> None:
    done = run("read:count", "-H", "--json", "--", *DD, "bs=70000", "count=300")
    rows = {(row["low"], row["high"]): row["count"] for row in json.loads(done.stdout)["rows"]}
    assert rows[65536, 131071] == 300
    text = run("read:count", "-H", "--", *DD, "bs=70000", "count=300").stdout.splitlines()
    assert text[0] == "Tracing read:count... Ctrl+C to quit."
    assert re.fullmatch(r"\[\d\d:\d\d:\d\d\]", text[1])
    assert re.fullmatch(r"read:count: 30\d calls", text[2])
    assert re.fullmatch(r"65536 – 131071 +300 +9\d.\d% █+", text[-2])


@pytest.mark.bpf
def test_a_descriptor_and_an_address() -> None:
    assert counts("write:fd", "--", *DD, "bs=1", "count=77") == {1: 77}
    addresses = counts("write:buf", "--", *DD, "bs=1", "count=77")
    ((address, count),) = addresses.items()
    assert count == 77
    assert re.fullmatch(r"0x[0-9a-f]+", str(address))


@pytest.mark.bpf
def test_intervals_add_up_to_the_total() -> None:
    words = ["read:ret", "--json", "-i", "0.1", "--", *DD, "bs=512", "count=2000000"]
    found = [json.loads(line) for line in run(*words).stdout.splitlines()]
    assert len(found) > 3
    total: Counter[int] = Counter()
    for each in found:
        assert each["calls"] == sum(row["count"] for row in each["rows"])
        total.update({row["value"]: row["count"] for row in each["rows"]})
    assert total[512] == 2_000_000
    assert sum(each["interval_s"] > 0.09 for each in found) >= len(found) - 1


@pytest.mark.bpf
def test_it_exits_with_the_commands_status() -> None:
    done = run("wait4", "--", "sh", "-c", "true & wait; exit 7", status=7)
    assert "wait4:ret: " in done.stdout
    assert done.stderr == ""


@pytest.mark.bpf
def test_ctrl_c_prints_what_was_counted(tmp_path: Path) -> None:
    sleeper = tmp_path / comm("args")
    sleeper.symlink_to("/usr/bin/sleep")
    with subprocess.Popen(
        [SYSDASH, "args", "clock_nanosleep:which_clock", "--comm", comm("args")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        for _ in range(3):
            subprocess.run([sleeper, "0.01"], check=True)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert first == "Tracing clock_nanosleep:which_clock, printing top 20... Ctrl+C to quit.\n"
    assert re.search(r"^CLOCK_REALTIME +3 100.0% █+$", out, re.MULTILINE)
    assert err == ""


@pytest.mark.bpf
def test_what_no_call_passes_is_told() -> None:
    done = run("read", "--comm", "nobody-has-this", "-d", "0.2")
    assert "\nno calls in 2" in done.stdout
    assert "no call passed the filters" in done.stderr


@pytest.mark.bpf
def test_values_that_cannot_be_read_are_lost_and_told() -> None:
    script = (
        "import ctypes; libc = ctypes.CDLL(None)\n"
        "[libc.openat(-100, ctypes.c_void_p(8), 0) for _ in range(4)]"
    )
    done = run("openat:filename", "--json", "-e", "EFAULT", "--", sys.executable, "-c", script)
    found = json.loads(done.stdout)
    assert (found["rows"], found["calls"], found["lost"]["values"]) == ([], 0, 4)
    assert "sysdash: lost: 4 calls whose values there was no room for, or" in done.stderr


@pytest.mark.bpf
def test_calls_of_32_bit_programs_are_counted_too(tmp_path: Path) -> None:
    flags = ("-m32", "-nostdlib", "-static", "-ffreestanding", "-no-pie")
    ia32 = build("ia32", tmp_path, *flags)
    # Their mmap has other arguments, so those are not mistaken.
    assert counts("close:fd", "--comm", comm("ia32"), "--", ia32) == {-1: 1}


def test_a_wrong_argument_ends_with_status_2() -> None:
    done = run("read:size", status=2)
    assert done.stderr == (
        "sysdash: read has no argument 'size'; it has fd, buf, count, and ret for what it returns\n"
    )
