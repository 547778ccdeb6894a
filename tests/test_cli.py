from __future__ import annotations

import argparse
import errno
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import sysdash
from sysdash import cli, config
from sysdash.commands import COMMANDS
from sysdash.commands.top import describe
from sysdash.errors import CannotCollect
from sysdash.filters import Filters
from sysdash.interrupts import ending_at_once
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
        cgroups=(str(root),) if root else (),
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
        (["-d", "5"], 2, "-d/--duration: not in this version yet"),
        (["top", "--duration=5"], 2, "-d/--duration: not in this version yet"),
        (["-xd5"], 2, "-d/--duration: not in this version yet"),
        (["-T"], 2, "-T/--top: not in this version yet"),
        (["top", "--top", "10"], 2, "-T/--top: not in this version yet"),
        (["--", "ls", "-l"], 2, "-- COMMAND: not in this version yet"),
        (["top", "-x", "--", "--help"], 2, "-- COMMAND: not in this version yet"),
        (["-p", "x", "--", "ls"], 2, "'x' is not the number"),
        (["doctor", "--", "ls"], 2, "ls"),
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


@pytest.fixture
def hierarchy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What looks like the mount of the cgroup v2 hierarchy, with a cgroup a.slice/b.scope."""
    root = tmp_path / "cgroup v2"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 20 0:5 / /dev rw shared:1 - devtmpfs dev rw\n"
        f"22 20 0:6 / {str(root).replace(' ', chr(92) + '040')} rw shared:2 - cgroup2 cgroup2 rw\n"
    )
    monkeypatch.setattr(targets, "_MOUNTS", mounts)
    group = root / "a.slice" / "b.scope"
    group.mkdir(parents=True)
    (group / "cgroup.controllers").touch()
    return root


@pytest.mark.parametrize(
    "name", ["/a.slice/b.scope", "a.slice/b.scope", "a.slice/../a.slice//b.scope/"]
)
def test_a_cgroup_by_its_path_in_the_hierarchy(hierarchy: Path, name: str) -> None:
    assert targets.cgroup_root() == hierarchy
    assert targets.cgroup_path(name) == str(hierarchy / "a.slice" / "b.scope")


def test_a_cgroup_by_its_folder(hierarchy: Path, tmp_path: Path) -> None:
    group = hierarchy / "a.slice" / "b.scope"
    assert targets.cgroup_path(str(group)) == str(group)
    link = tmp_path / "link"
    link.symlink_to(group)
    assert targets.cgroup_path(str(link)) == str(group)


def test_what_is_no_cgroup(
    hierarchy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.chdir(hierarchy / "a.slice")
    for name in (str(tmp_path), "..", "../..", "b.scope", "a.slice", "", str(tmp_path / "loop")):
        with pytest.raises(CannotCollect, match=r"is no cgroup .* below .*/cgroup v2,"):
            targets.cgroup_path(name)
    monkeypatch.setattr(targets, "_MOUNTS", Path("/dev/null"))
    with pytest.raises(CannotCollect, match="mount -t cgroup2"):
        targets.cgroup_path("/a.slice/b.scope")


@pytest.mark.usefixtures("hierarchy")
def test_a_cgroup_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(CannotCollect, match=r"cannot read the cgroup a.slice/b.scope: Permission"):
        targets.cgroup_path("a.slice/b.scope")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("/sys/fs/cgroup/system.slice/nginx.service", "…/nginx.service"),
        ("/sys/fs/cgroup/unified/a\x1b[2J", "…/a␛[2J"),
        ("/sys/fs/cgroup/unified/" + "x" * 255, "…/" + "x" * 17 + "…"),
    ],
)
def test_the_header_shows_a_cgroup_shortly(path: str, shown: str) -> None:
    assert describe(Filters(pids=(7,), cgroups=(path,), failures=True)) == (
        f"pid 7 cgroup {shown} failures"
    )


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
        (RuntimeError("a\x1bb\nc"), 1, "internal error: RuntimeError: a␛b␊c (/"),
        (RuntimeError(), 1, "internal error: RuntimeError (/"),
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


def test_an_internal_error_is_told_with_its_place(
    top: Top, capsys: pytest.CaptureFixture[str]
) -> None:
    top.result = raising(RuntimeError("broken"))
    assert cli.main([]) == 1
    line = raising.__code__.co_firstlineno + 2
    expected = f"sysdash: internal error: RuntimeError: broken ({__file__}:{line})\n"
    assert capsys.readouterr().err == expected


# --- Ctrl-C ---


def test_importing_the_command_line_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import sysdash.cli; "
        "print(*sorted(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["__future__", "sysdash", "sysdash.cli"]


EARLY_MS = (0, 1, 2, 4, 7, 10, 15, 20, 30, 40, 60, 80, 120, 180)


@pytest.mark.parametrize("command", ["top", "doctor"])
def test_ctrl_c_at_any_early_moment_ends_it_without_a_traceback(command: str) -> None:
    # What ./.venv/bin/sysdash holds, and a word when Python itself has started.
    code = "import sys; from sysdash.cli import main; print(flush=True); sys.exit(main())"
    ended = []
    for delay_ms in EARLY_MS:
        with subprocess.Popen(
            [sys.executable, "-c", code, command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "\n"
            time.sleep(delay_ms / 1000)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
        assert "Traceback" not in told
        assert "Exception ignored" not in told
        # Some are so late that the command has come to its own end.
        ended.append(process.returncode)
    assert ended[0] in (130, -signal.SIGINT)
    assert set(ended) <= {130, -signal.SIGINT, 0, 1}


def test_while_modules_load_ctrl_c_has_its_default_action() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with ending_at_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with ending_at_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


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
