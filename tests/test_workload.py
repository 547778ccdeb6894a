"""The command after ``--``: how it begins, what it inherits, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import machine
import pytest
from probing import eventually

from sysdash.errors import CannotCollect, CannotRun
from sysdash.workload import Tail, Workload


@contextmanager
def writing(*words: str) -> Iterator[tuple[Workload, Tail]]:
    """A command that has not begun, and what it will write."""
    with Tail(1 << 16) as tail, Workload(words, output=tail.fileno()) as workload:
        tail.begin()
        yield workload, tail


def wait(workload: Workload) -> int:
    end = time.monotonic() + 30
    while (code := workload.poll()) is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    return code


def written_by(*words: str) -> str:
    """What a command writes until its end."""
    with writing(*words) as (workload, tail):
        workload.release()
        wait(workload)
        return tail.end()[0].decode()


def script(folder: Path, name: str, text: str = "#!/bin/sh\necho it\n", mode: int = 0o755) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def mask(status: str, name: str) -> int:
    """A set of signals, as /proc/PID/status has it."""
    return int(dict(line.split(":", 1) for line in status.splitlines())[name], 16)


def is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False  # it was that of the listing


# --- Its beginning and its end ---


def test_it_waits_until_it_is_released() -> None:
    with writing("echo", "here") as (workload, tail):
        assert Path(f"/proc/{workload.pid}/cmdline").read_bytes() != b"echo\0here\0"
        time.sleep(0.1)
        assert workload.poll() is None
        workload.release()
        assert wait(workload) == 0
        assert tail.end() == (b"here\n", 0)


@pytest.mark.parametrize(
    ("line", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
def test_its_exit_status_is_a_shells(line: str, code: int) -> None:
    with Workload(["sh", "-c", line]) as workload:
        workload.release()
        assert wait(workload) == code
        assert workload.terminate() == code
    assert workload.poll() == code


def test_it_stays_in_our_process_group() -> None:
    with Workload(["sleep", "60"]) as workload:
        workload.release()
        assert os.getpgid(workload.pid) == os.getpgrp()
        assert os.getsid(workload.pid) == os.getsid(0)


def test_it_is_terminated_with_us() -> None:
    began = time.monotonic()
    with Workload(["sleep", "60"]) as workload:
        workload.release()
    assert workload.poll() == 143
    assert time.monotonic() - began < 1.5
    assert machine.children() == {}


def test_one_that_does_not_go_is_killed() -> None:
    with Workload(["sh", "-c", "trap '' TERM; exec sleep 60"]) as workload:
        workload.release()
        assert eventually(lambda: comm(workload.pid) == "sleep")
        began = time.monotonic()
        assert workload.terminate() == 137
        assert 1.5 < time.monotonic() - began < 10


def test_one_that_is_stopped_goes_too() -> None:
    with Workload(["sleep", "60"]) as workload:
        workload.release()
        os.kill(workload.pid, signal.SIGSTOP)
        os.waitpid(workload.pid, os.WUNTRACED)
        began = time.monotonic()
        assert workload.terminate() == 143
        assert time.monotonic() - began < 1.5


def test_one_that_never_began_leaves_without_a_word() -> None:
    with writing("echo", "here") as (workload, tail):
        workload.terminate()
        assert tail.end() == (b"", 0)
    assert machine.children() == {}


def test_it_leaves_when_sysdash_is_killed_before_it_began(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    code = (
        "import os, sys; from pathlib import Path; from sysdash.workload import Workload; "
        "workload = Workload(['touch', sys.argv[1] + '-began']); "
        "Path(sys.argv[1]).write_text(str(workload.pid)); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(told)], check=False)
    # The tests adopt orphans.
    pid = int(told.read_text())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 127
    assert not (tmp_path / "pid-began").exists()


def test_signals_are_passed_on_while_it_runs() -> None:
    with Workload(["sleep", "60"]) as workload:
        workload.release()
        workload.send(signal.SIGHUP)
        assert wait(workload) == 129
        workload.send(signal.SIGHUP)  # it has ended: there is nobody to send it to


# --- What it inherits ---


def test_signal_actions_and_the_mask_are_the_default_ones() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGCHLD])
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        status = written_by("cat", "/proc/self/status")
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGCHLD])
    for name in ("SigBlk", "SigIgn", "SigCgt", "ShdPnd"):
        assert mask(status, name) == 0


def test_what_sysdash_was_told_to_ignore_it_ignores_too() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        status = written_by("cat", "/proc/self/status")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert mask(status, "SigIgn") == 1 << (signal.SIGHUP - 1)


def test_its_end_is_seen_where_the_parent_ignored_the_ends_of_children() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with Workload(["sh", "-c", "exit 3"]) as workload:
            workload.release()
            assert wait(workload) == 3
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_it_has_our_folder_and_environment_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYSDASH_TEST", "a\udcffb")
    everything = written_by("sh", "-c", "pwd; echo $SYSDASH_TEST | od -An -tx1; ls /proc/self/fd")
    folder, variable, *files = everything.splitlines()
    assert (folder, variable) == (str(tmp_path), " 61 ff 62 0a")
    # Those that the tests were started with, and the one that ls lists with.
    inherited = {fd.name for fd in Path("/proc/self/fd").iterdir() if is_inheritable(int(fd.name))}
    assert len({*files} - inherited) == 1


def test_standard_input_can_be_another() -> None:
    reader, writer = os.pipe()
    try:
        os.write(writer, b"from there\n")
        with Tail(100) as tail:
            with Workload(["head", "-n", "1"], stdin=reader, output=tail.fileno()) as workload:
                tail.begin()
                workload.release()
                assert wait(workload) == 0
            assert tail.end() == (b"from there\n", 0)
    finally:
        os.close(reader)
        os.close(writer)


# --- Finding it ---


def test_it_is_found_as_a_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    script(first, "not-executable", mode=0o644)
    (first / "a-folder").mkdir()
    for name in ("not-executable", "a-folder", "plain"):
        script(second, name, f"#!/bin/sh\necho $0 {name}\n")
    monkeypatch.setenv("PATH", f"/no/such:{script(tmp_path, 'file')}:{first}:{second}:/usr/bin")
    for name in ("not-executable", "a-folder", "plain"):
        assert written_by(name) == f"{second}/{name} {name}\n"
    monkeypatch.chdir(second)
    assert written_by("./plain") == "./plain plain\n"
    with pytest.raises(CannotRun, match="No such file or directory"):
        Workload(["no-such-command"])
    monkeypatch.setenv("PATH", "/usr/bin:")
    assert written_by("plain") == "./plain plain\n"
    monkeypatch.delenv("PATH")
    assert written_by("sh", "-c", "echo it") == "it\n"


def test_its_first_word_is_as_it_was_typed() -> None:
    assert written_by("sh", "-c", "tr '\\0' ' ' </proc/$$/cmdline; :") == (
        "sh -c tr '\\0' ' ' </proc/$$/cmdline; : "
    )


def test_what_is_no_command(tmp_path: Path) -> None:
    for name, reason in (
        ("", "No such file or directory"),
        ("no-such-command", "No such file or directory"),
        ("/no/such", "No such file or directory"),
        ("/etc/passwd/x", "No such file or directory"),
        (str(tmp_path), "Permission denied"),
        (str(script(tmp_path, "data", mode=0o644)), "Permission denied"),
        ("x" * 5000, "File name too long"),
    ):
        with pytest.raises(CannotRun) as caught:
            Workload([name])
        assert str(caught.value) == f"cannot run {name!r}: {reason}"
    with pytest.raises(CannotRun, match="cannot run '␛c': No such"):
        Workload(["\x1bc"])
    assert machine.children() == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("no program", "Exec format error"), ("#!/no/such\n", "No such file or directory")],
)
def test_what_the_kernel_does_not_execute(tmp_path: Path, text: str, reason: str) -> None:
    path = str(script(tmp_path, "program", text))
    with Workload([path]) as workload, pytest.raises(CannotCollect) as caught:
        workload.release()
    assert str(caught.value) == f"cannot run {path!r}: {reason}."
    assert machine.children() == {}


def test_one_that_is_stopped_is_waited_for_as_long_as_anybody_wants() -> None:
    asked: list[float] = []

    def abandoned() -> bool:
        asked.append(time.monotonic())
        return len(asked) == 3

    with Workload(["sleep", "60"]) as workload:
        os.kill(workload.pid, signal.SIGSTOP)
        os.waitpid(workload.pid, os.WUNTRACED)
        began = time.monotonic()
        workload.release(abandoned)
        assert len(asked) == 3
        assert 0.2 < time.monotonic() - began < 5
        assert workload.poll() is None
    # It had been released, and the signal waited for it.
    assert workload.poll() == 143
    assert machine.children() == {}


def test_one_that_is_killed_while_it_waits_can_be_released() -> None:
    with Workload(["sleep", "60"]) as workload:
        os.kill(workload.pid, signal.SIGKILL)
        assert wait(workload) == 137
        workload.release()
        assert workload.poll() == 137


# --- What it writes ---


def test_the_end_of_what_it_writes_is_kept() -> None:
    with Tail(1000) as tail:
        with Workload(["seq", "100000"], output=tail.fileno()) as workload:
            tail.begin()
            workload.release()
            assert wait(workload) == 0
        kept, cut = tail.end()
    everything = "".join(f"{i}\n" for i in range(1, 100001)).encode()
    assert kept == everything[-1000:]
    assert cut == len(everything) - 1000


def test_both_its_outputs_are_kept() -> None:
    assert written_by("sh", "-c", "echo one; echo two >&2") == "one\ntwo\n"


def test_a_child_that_it_leaves_behind_does_not_hold_us() -> None:
    with writing("sh", "-c", "sleep 60 & echo $!") as (workload, tail):
        workload.release()
        assert wait(workload) == 0
        kept, _ = tail.end()
        child = int(kept)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
