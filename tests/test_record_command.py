"""``sysdash record``: its words, and what it writes of programs whose calls are known."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from probing import build, calls, comm, of
from synthetic import Calls, Slow, snapshot
from terminal import Terminal

from sysdash.commands import parsers, record, rewords
from sysdash.config import Settings
from sysdash.packing import Damaged
from sysdash.recording import Recorded, Recording

SYSDASH = Path(sys.prefix) / "bin" / "sysdash"
MS = 1_000_000


# --- Words ---


def parsed(*argv: str) -> argparse.Namespace:
    return parsers.parse("record", [*argv])


def test_defaults() -> None:
    args = parsed("a.sysdash")
    assert (args.file, args.interval_s, args.duration_s) == ("a.sysdash", 1.0, None)
    assert (args.max_bytes, args.max_age_s, args.command) == (None, None, [])
    assert not any((args.overwrite, args.append, args.threads, args.off_cpu))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("60MB", 60_000_000),
        ("60M", 60_000_000),
        ("1GiB", 1 << 30),
        ("1.5gb", 1_500_000_000),
        ("2TiB", 2 << 40),
        ("5000 KB", 5_000_000),
        ("1000000", 1_000_000),
    ],
)
def test_sizes(text: str, found: int) -> None:
    assert rewords.size(text) == found


@pytest.mark.parametrize(
    "text", ["", "-1MB", "1", "999KB", "lots", "1XB", "1e9", "nan", "9" * 400, "1iB", "2000TB"]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        rewords.size(text)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "FILE"),
        ([""], "a file's name cannot be empty"),
        (["-"], "a recording goes to a file, not to the standard output"),
        (["a", "b"], "unrecognized"),
        (["a", "-i", "0.05"], "is not 0.1 to 10 seconds"),
        (["a", "-i", "11"], "is not 0.1 to 10 seconds"),
        (["a", "--max-age", "0"], "seconds"),
        (["a", "--append", "--overwrite"], "not allowed with"),
        (["a", "-p", "1", "--", "true"], "exclude each other"),
    ],
)
def test_wrong_words(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        parsed(*words)
    assert error.value.code == 2
    assert said in capsys.readouterr().err


def test_thresholds_are_told_as_they_are_given() -> None:
    found = Settings(threshold_ns=10 * MS, thresholds_ns={"futex": MS, "read": 10 * MS})
    assert record.thresholds_in_words(found) == "10ms,futex=1ms"
    odd = Settings(threshold_ns=None, thresholds_ns={"read": 0, "write": 1500, "fsync": None})
    assert record.thresholds_in_words(odd) == "off,read=0,write=1500ns"
    again = parsed("a", "--threshold", record.thresholds_in_words(odd)).threshold
    assert again == [(None, None), ("read", 0), ("write", 1500)]


# --- What it says ---

DONE = Recorded("a", intervals=180, kept=180, bytes=4_200_000, recorded_ns=180_000 * MS)


def test_the_last_line() -> None:
    assert record.ending(DONE, "a") == "recorded 3m00s, 180 intervals, 4.20MB to a"
    less = Recorded("a", 1, 1, 900, 1000 * MS, skipped=2, stackless=1)
    assert record.ending(less, "a") == (
        "recorded 1.00s, 1 interval, 900B to a, 2 intervals left out, as there was no room, "
        "1 slow call without a stack"
    )
    rolling = Recorded("a", 180, 60, 4_200_000, 180_000 * MS)
    assert record.ending(rolling, "a").endswith("to a, which has the last 60 of them")
    # Those that were there before count, too.
    assert "last" not in record.ending(Recorded("a", 180, 500, 1, 1), "a")


def test_the_line_meanwhile() -> None:
    words = record.progress(DONE, None, 180_000 * MS)
    assert words == "recording for 3m00s, 180 intervals, 4.20MB"
    one = snapshot([Calls("read", 1200)], [Slow("read", 50 * MS)], lost={"calls": 3})
    assert record.progress(DONE, one, 0).endswith(", 4.20MB, 1.20K/s calls, lost 3")


# --- Really ---


def run(*words: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [SYSDASH, "record", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.mark.bpf
def test_a_commands_calls_are_in_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.sysdash"
    dd = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=3000"]
    options = ["--threads", "--threshold", "10ms,nanosleep=1ms,clock_nanosleep=1ms", "-i", "0.2"]
    script = f"{' '.join(dd)} 2>&1; sleep 0.5; exit 3"
    done = run(path, *options, "--", "sh", "-c", script, status=3)
    assert re.match(r"Recording to .*\.\.\. Ctrl\+C to quit\.\n", done.stdout)
    assert re.search(r"^recorded \S+, \d+ intervals, \S+ to ", done.stdout, re.MULTILINE)
    assert done.stderr == ""
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["a.sysdash"]
    with Recording(str(path)) as found:
        samples = [found.sample(number) for number in range(len(found))]
        assert found.facts.limits.startswith("-- sh -c")
        assert (found.facts.interval_s, found.facts.by_tid) == (0.2, True)
        assert found.facts.thresholds.startswith("10ms,")
        assert len(found) >= 3
        assert int(found.timeline.calls.sum()) == sum(int(s.rows["count"].sum()) for s in samples)
        assert int(found.timeline.slow.sum()) == sum(len(s.events) for s in samples)
    rows = of(np.concatenate([each.rows for each in samples]), "dd")
    assert calls(rows, "read", 0) >= 3000
    assert calls(rows, "write", 0) >= 3000
    slept = [
        (int(event["duration_ns"]), told.stack())
        for each in samples
        for event, told in zip(each.events, each.details, strict=True)
        if event["comm"] == b"sleep"
    ]
    assert len(slept) == 1
    assert 450 * MS < slept[0][0] < 2000 * MS
    assert any("nanosleep" in frame for frame in slept[0][1])


@pytest.mark.bpf
def test_what_is_there_is_kept_replaced_or_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "a.sysdash"
    path.write_text("notes")
    for option in ("--overwrite", "--append"):
        done = run(path, "-d", "1", option, status=1)
        assert "is not a recording of sysdash" in done.stderr
        assert done.stderr.count("\n") == 1
    done = run(path, "-d", "1", status=1)
    assert "exists already. --overwrite replaces" in done.stderr
    assert path.read_text() == "notes"
    path.unlink()
    run(path, "-d", "0.3", "-i", "0.1")
    with Recording(str(path)) as found:
        first = len(found)
    done = run(path, "-d", "0.3", "-i", "0.1", "--append")
    assert done.stdout.startswith("Adding to ")
    with Recording(str(path)) as found:
        assert len(found) > first
        assert found.timeline.span.length_ns > 0


@pytest.mark.bpf
def test_ctrl_c_ends_it_well(tmp_path: Path) -> None:
    path = tmp_path / "a.sysdash"
    with Terminal([SYSDASH, "record", path, "-i", "0.2"], columns=120) as terminal:
        terminal.wait_for("recording for")
        terminal.wait_for("/s calls, lost 0")
        terminal.type("\x03")
        assert terminal.wait_end() == 0
        assert re.search(r"^recorded \S+, \d+ intervals, ", terminal.text, re.MULTILINE)
    with Recording(str(path)) as found:
        assert len(found) >= 2
        for number in range(len(found)):
            found.sample(number)


@pytest.mark.bpf
def test_killed_it_lacks_one_interval_at_most(tmp_path: Path) -> None:
    path = tmp_path / "a.sysdash"
    process = subprocess.Popen(
        [SYSDASH, "record", path, "-i", "0.2"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1.3)
    process.kill()
    now_ns = time.time_ns()
    process.wait()
    process.stdout.close()
    with Recording(str(path)) as found:
        assert len(found) >= 2
        with pytest.raises(IndexError):
            found.sample(len(found))
        for number in range(len(found) - 1):
            found.sample(number)
        try:
            found.sample(len(found) - 1)
        except Damaged:
            pytest.fail("a transaction is whole or not there")
        # Up to an interval, and the time that reading and writing take on a busy machine.
        assert now_ns - int(found.timeline.end_ns[-1]) < 1000 * MS


@pytest.mark.bpf
def test_a_full_disk_ends_the_recording_and_not_the_command(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", mount], check=True)
    try:
        script = f"dd if=/dev/zero of={mount}/fill bs=1k count=100 2>/dev/null; sleep 0.6; echo on"
        done = run(mount / "a", "-i", "0.1", "--", "sh", "-c", script, status=1)
        assert done.stdout.splitlines()[1] == "on"
        assert "has ended: no space left on the device; the command goes on" in done.stderr
        assert done.stderr.count("\n") == 1
        with Recording(str(mount / "a")):
            pass
        done = run(mount / "b", "-d", "30", status=1)
        assert "cannot record to" in done.stderr
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.bpf
def test_a_file_that_is_taken_away_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "a.sysdash"
    process = subprocess.Popen(
        [SYSDASH, "record", path, "-i", "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    path.unlink()
    try:
        _, said = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate()
    assert process.returncode == 1
    assert "has ended: the file is gone" in said


@pytest.mark.bpf
def test_only_what_the_filters_let_through(tmp_path: Path) -> None:
    program = build("waits", tmp_path)
    path = tmp_path / "a.sysdash"
    child = subprocess.Popen([program, "900"], stdout=subprocess.DEVNULL)
    run(path, "-p", str(child.pid), "--syscall", "read", "-d", "5", "--off-cpu")
    child.wait()
    with Recording(str(path)) as found:
        rows = np.concatenate([found.sample(number).rows for number in range(len(found))])
        assert found.sample(0).off_cpu
        assert found.facts.limits == f"pid {child.pid} read"
    assert {*rows["comm"].tolist()} <= {comm("waits").encode()}
    assert {*rows["nr"].tolist()} <= {0}
    assert {*rows["pid"].tolist()} <= {child.pid}


def test_help_has_examples() -> None:
    done = subprocess.run(
        [SYSDASH, "record", "--help"],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "sysdash record a.sysdash --max-age 15m" in done.stdout
    assert "usage: sysdash record FILE [OPTION...] [-- COMMAND [ARG...]]" in done.stdout
