from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import sysdash
from sysdash import cli, config
from sysdash.commands import COMMANDS
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.probes import targets

Result = Callable[[argparse.Namespace], int]


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(config, "SYSTEM_PATH", tmp_path / "none.toml")


class Top:
    """Stands in for the dashboard: keeps the arguments that it was run with."""

    def __init__(self) -> None:
        self.args: argparse.Namespace | None = None
        self.result: Result = lambda _: 0

    def run(self, args: argparse.Namespace) -> int:
        self.args = args
        return self.result(args)

    @property
    def filters(self) -> Filters:
        assert self.args is not None
        filters = self.args.filters
        assert isinstance(filters, Filters)
        return filters


@pytest.fixture
def top(monkeypatch: pytest.MonkeyPatch) -> Top:
    stand_in = Top()
    module = types.ModuleType("top")
    module.run = stand_in.run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, COMMANDS["top"].module, module)
    return stand_in


# --- Which command ---


@pytest.mark.parametrize("argv", [[], ["top"], ["-x"], ["top", "-x"]])
def test_the_dashboard_needs_no_name(top: Top, argv: list[str]) -> None:
    assert cli.main(argv) == 0
    assert top.filters.failures == ("-x" in argv)


def test_the_programs_name_can_be_a_command(
    top: Top, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/syscount", "-x"])
    monkeypatch.setitem(COMMANDS, "count", COMMANDS["top"])
    assert cli.main() == 0
    assert top.filters.failures
    monkeypatch.setattr(sys, "argv", ["/usr/bin/syslat"])
    assert cli.main() == 2
    assert "no command 'lat'" in capsys.readouterr().err


def test_a_commands_exit_code_is_ours(top: Top) -> None:
    top.result = lambda _: 7
    assert cli.main([]) == 7


def test_every_command_has_help_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    everything = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name} " in everything
        assert cli.main([name, "--help"]) == 0
        text = capsys.readouterr().out
        for line, what in command.examples:
            assert line in text
            assert what in text
        assert max(map(len, text.splitlines())) <= 80
    assert max(map(len, everything.splitlines())) <= 80


@pytest.mark.usefixtures("top")
def test_the_examples_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "require_process", lambda _: None)
    for line, _ in COMMANDS["top"].examples:
        assert cli.main(shlex.split(line)[1:]) == 0


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sysdash {sysdash.__version__}\n"


# --- Words that are right ---


def test_all_filters(top: Top) -> None:
    own, parent = os.getpid(), os.getppid()
    tid = threading.get_native_id()
    root = targets.cgroup_root()
    cgroup = ["--cgroup", str(root)] if root else []
    argv = f"-p {own} --pid {own} -t {tid} -c {parent} -e ENOENT -e 11 --include-self".split()
    argv += ["--syscall", "read,!mmap2", "--syscall", "!read"]
    argv += ["--comm", "a", "--comm", "a very long process name", *cgroup]
    assert cli.main(argv) == 0
    assert top.filters == Filters(
        pids=(own,),
        tids=(tid,),
        ppids=(parent,),
        comms=("a", "a very long pro"),
        cgroups=(root.stat().st_ino,) if root else (),
        syscalls=((0, 0), (3, 1), (0, 2)),
        not_syscalls=((192, 1), (0, 0), (3, 1), (0, 2)),
        errnos=(2, 11),
        include_self=True,
    )


def test_no_filter_means_all(top: Top) -> None:
    assert cli.main([]) == 0
    assert top.filters == Filters()


def test_a_name_is_cut_as_the_kernel_cuts_it(top: Top) -> None:
    assert cli.main(["--comm", "漢字漢字漢字"]) == 0
    (name,) = top.filters.comms
    assert os.fsencode(name) == "漢字漢字漢字".encode()[:15]


def test_words_win_over_the_configuration(top: Top, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('interval = 3\nsort = "total"\ntheme = "light"')
    assert cli.main(["--config", str(file), "-i", "0.5", "--theme", "mono"]) == 0
    assert top.args is not None
    settings = top.args.settings
    assert (settings.interval_s, settings.sort, settings.theme) == (0.5, "total", "mono")


# --- Words that are wrong ---


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["dance"], 2, "no command 'dance'"),
        (["\x1b[2J"], 2, "no command '␛[2J'"),
        (["--dance"], 2, "--dance"),
        (["top", "dance"], 2, "dance"),
        (["-\x1b[2J"], 2, "␛[2J"),
        (["--syscall", "opnat"], 2, "unknown syscall 'opnat'; did you mean openat"),
        (["--syscall", "read,"], 2, "unknown syscall ''"),
        (["--syscall", "!"], 2, "unknown syscall ''"),
        (["-e", "ENOSUCH"], 2, "unknown error name: ENOSUCH"),
        (["-e", "5000"], 2, "1 to 4095"),
        (["-p", "x"], 2, "'x' is not the number"),
        (["-p", "0"], 2, "'0' is not the number"),
        (["-p", "9" * 30], 2, "is not the number"),
        (["-p", "4194304"], 1, "there is no process 4194304"),
        (["-c", "4194304"], 1, "there is no process 4194304"),
        (["-t", "4194304"], 1, "there is no thread 4194304"),
        (["--comm", ""], 2, "cannot be empty"),
        (["--cgroup", "/tmp"], 1, "/tmp is no cgroup"),
        (["--cgroup", "/no/such\n"], 1, "/no/such␊ is no cgroup"),
        (["-i", "0"], 2, "0.1 to 10 seconds"),
        (["-i", "nan"], 2, "0.1 to 10 seconds"),
        (["-i", "-1"], 2, "0.1 to 10 seconds"),
        (["-i", "soon"], 2, "0.1 to 10 seconds"),
        (["--sort", "speed"], 2, "speed"),
        (["--config", "/no/such"], 2, "/no/such: No such file"),
        (["--inc"], 2, "--inc"),
    ],
)
def test_wrong_words_get_one_line(
    top: Top, capsys: pytest.CaptureFixture[str], argv: list[str], code: int, message: str
) -> None:
    assert cli.main(argv) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.startswith("sysdash")
    assert captured.err.endswith("\n")
    assert captured.err[:-1].isprintable()
    assert top.args is None


def test_a_wrong_configuration_stops(
    top: Top, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sysdash" / "config.toml"
    file.parent.mkdir()
    file.write_text("interval = 0")
    assert cli.main([]) == 2
    assert f"{file}: interval: found 0" in capsys.readouterr().err
    assert top.args is None


def test_a_thread_is_no_process(top: Top, capsys: pytest.CaptureFixture[str]) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        tid = thread.native_id
        assert cli.main(["-p", str(tid)]) == 1
        message = f"{tid} is a thread of process {os.getpid()}. Use --tid {tid}."
        assert message in capsys.readouterr().err
        assert cli.main(["-t", str(tid)]) == 0
        assert top.filters.tids == (tid,)
    finally:
        done.set()
        thread.join()


def test_a_cgroup_by_its_path_in_the_hierarchy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 20 0:5 / /dev rw shared:1 - devtmpfs dev rw\n"
        f"22 20 0:6 / {tmp_path} rw,relatime shared:2 - cgroup2 cgroup2 rw\n"
    )
    monkeypatch.setattr(targets, "_MOUNTS", mounts)
    group = tmp_path / "a.slice" / "b.scope"
    group.mkdir(parents=True)
    with pytest.raises(CannotCollect):
        targets.cgroup_id("/a.slice/b.scope")
    (group / "cgroup.controllers").touch()
    assert targets.cgroup_id("/a.slice/b.scope") == group.stat().st_ino
    assert targets.cgroup_id(str(group)) == group.stat().st_ino


# --- How a command can end ---


def raising(error: BaseException) -> Result:
    def result(_: argparse.Namespace) -> int:
        raise error

    return result


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (CannotCollect("no BPF here", "boot another kernel"), 1, "no BPF here. Boot another"),
        (CannotCollect("no BPF here"), 1, "no BPF here.\n"),
        (KeyboardInterrupt(), 130, ""),
        (RuntimeError("a\x1bb\nc"), 1, "internal error: RuntimeError: a␛b␊c (SYSDASH_TRACEBACK=1"),
    ],
)
def test_errors_become_exit_codes(
    top: Top,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    top.result = raising(error)
    assert cli.main([]) == code
    captured = capsys.readouterr().err
    assert message in captured
    assert "Traceback" not in captured
    assert captured.count("\n") <= 1


def test_a_traceback_can_be_had(top: Top, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSDASH_TRACEBACK", "1")
    top.result = raising(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        cli.main([])


def sysdash_process(*argv: str, stdout: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sysdash", *argv],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = sysdash_process("--help", stdout=writer)
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys, sysdash.cli; sysdash.cli.main(['top', '--help']); "
        "heavy = {'bcc', 'numpy', 'urwid', 'wcwidth', 'ctypes'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
