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
from fractions import Fraction
from pathlib import Path

import pytest

import sysdash
from sysdash import cli, config, model, syscalls
from sysdash.buckets import QUANTILE_ERROR
from sysdash.commands import COMMANDS, words
from sysdash.commands.described import describe
from sysdash.errors import CannotCollect, CannotRun
from sysdash.filters import Filters
from sysdash.interrupts import ending_at_once, for_this_thread_alone
from sysdash.probes import capabilities, targets

Result = Callable[[argparse.Namespace], int]


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(config, "SYSTEM_PATH", tmp_path / "none.toml")


class Top:
    """Stands in for the commands that collect: keeps the arguments that one was run with."""

    def __init__(self) -> None:
        self.args: argparse.Namespace | None = None
        self.result: Result = lambda _: 0

    def run(self, args: argparse.Namespace) -> int:
        self.args = args
        return self.result(args)

    @property
    def words(self) -> dict[str, object]:
        assert self.args is not None
        return vars(self.args)

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
    for command in COMMANDS.values():
        if command.collects:
            monkeypatch.setitem(sys.modules, command.module, module)
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
    assert cli.main() == 0
    assert top.filters.failures
    assert top.words["process"] is False
    monkeypatch.setattr(sys, "argv", ["/usr/bin/sysslow", "-T", "none"])
    assert cli.main() == 2
    assert "sysdash slow --help" in capsys.readouterr().err


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
    for command in COMMANDS.values():
        if command.collects:
            for line, _ in command.examples:
                assert cli.main(shlex.split(line)[1:]) == 0


def test_help_is_a_word_too(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["lat"], ["doctor"]):
        assert cli.main(["help", *command]) == 0
        by_word = capsys.readouterr().out
        assert cli.main([*command, "--help"]) == 0
        assert capsys.readouterr().out == by_word


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version(capsys: pytest.CaptureFixture[str], option: str) -> None:
    for command in ([], *([name] for name in COMMANDS)):
        assert cli.main([*command, option]) == 0
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


def test_lists_are_as_good_as_several_options(top: Top) -> None:
    own, parent = os.getpid(), os.getppid()
    both = f"{own}, {parent}"
    assert cli.main(["-p", both, "-t", both, "-c", both, "-e", "ENOENT,eagain", "-e", "5"]) == 0
    pids = (own, parent)
    assert top.filters == Filters(pids=pids, tids=pids, ppids=pids, errnos=(2, 11, 5))


def test_the_class_of_calls_that_wait(top: Top) -> None:
    waiting = syscalls.waiting()
    assert cli.main(["--syscall", "%waiting,read"]) == 0
    assert top.filters == Filters(syscalls=(*waiting, *syscalls.numbers("read")))
    assert describe(top.filters) == "%waiting,read"
    assert cli.main(["count", "--syscall", "!%waiting", "--syscall", "!futex"]) == 0
    assert top.filters == Filters(not_syscalls=waiting)
    assert describe(top.filters) == "!%waiting"


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


def test_thresholds_of_the_dashboard_are_those_of_slow(top: Top, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[thresholds]\ndefault = "20ms"\nfsync = "2ms"')
    for name in ("top", "slow"):
        words = [name, "--config", str(file), "--threshold"]
        assert cli.main([*words, "futex=off,read=5us"]) == 0
        assert top.args is not None
        settings = top.args.settings
        assert settings.threshold_ns == 20_000_000
        named = settings.thresholds_ns
        assert (named["fsync"], named["futex"], named["read"]) == (2_000_000, None, 5_000)
        assert cli.main([*words, "1ms"]) == 0
        settings = top.args.settings
        assert (settings.threshold_ns, dict(settings.thresholds_ns)) == (1_000_000, {})


def test_how_long_and_how_much(top: Top) -> None:
    for name in ("count", "lat", "summary"):
        assert cli.main([name, "-i", "0.25", "-d", "1e2", "-T", "7", "--json"]) == 0
        words = top.words
        assert (words["interval_s"], words["duration_s"], words["top"]) == (0.25, 100.0, 7)
        assert words["json"] is True
        assert cli.main([name]) == 0
        assert top.words["interval_s"] is top.words["duration_s"] is top.words["top"] is None
        assert (top.words["json"], top.words["by"], top.words["command"]) == (False, (), [])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), ("0.5", 0.5), ("500ms", 0.5), ("5s", 5.0), ("0.1m", 6.0), ("2e0", 2.0)],
)
def test_times_may_have_units(top: Top, text: str, seconds: float) -> None:
    assert cli.main(["count", "-i", text, "-d", text]) == 0
    assert (top.words["interval_s"], top.words["duration_s"]) == (seconds, seconds)
    assert cli.main(["-i", text, "-d", text]) == 0
    assert (top.words["interval"], top.words["duration_s"]) == (seconds, seconds)


def test_time_off_the_cpu_is_measured_only_if_asked_for(top: Top) -> None:
    for name in ("top", "lat"):
        assert cli.main([name, "--off-cpu"]) == 0
        assert top.words["off_cpu"] is True
        assert cli.main([name]) == 0
        assert top.words["off_cpu"] is False


def test_the_dashboard_has_an_interval_of_its_own(top: Top) -> None:
    assert cli.main(["-i", "2", "--duration", "0.5", "--top", "3"]) == 0
    assert (top.words["interval"], top.words["duration_s"], top.words["top"]) == (2.0, 0.5, 3)
    # The interval of a table is none of the dashboard's settings.
    assert cli.main(["count", "-i", "3600"]) == 0
    assert top.args is not None
    assert top.args.settings.interval_s == 1.0


def test_the_words_of_syscount(top: Top) -> None:
    own = str(os.getpid())
    every = f"-p {own} -t {own} -c {own} -i 1 -d 2 -T 3 -x -e EPERM -L -m -P --syscall read"
    assert cli.main(["count", *every.split()]) == 0
    words = top.words
    assert words["latency"] is words["milliseconds"] is words["process"] is True
    assert words["list"] is words["rate"] is False
    assert (words["syscall"], words["failures"], words["errno"]) == (["read"], True, [1])
    for line, output in (
        ("--output -i 1", "line"),
        ("--output=line", "line"),
        ("--output line", "line"),
        ("-i 1 --output", "line"),
        ("-i 1", None),
    ):
        assert cli.main(["count", *line.split()]) == 0
        assert top.words["output"] == output
    # As there, it has no effect without -L.
    assert cli.main(["count", "-m"]) == 0


@pytest.mark.parametrize("word", ["-l", "--list"])
def test_the_list_of_syscalls_needs_nothing(top: Top, tmp_path: Path, word: str) -> None:
    (tmp_path / "sysdash").mkdir()
    (tmp_path / "sysdash" / "config.toml").write_text("interval = 0")
    assert cli.main(["count", word, "-p", "4194304"]) == 0
    assert top.words["list"] is True
    assert "filters" not in top.words


def test_keys(top: Top) -> None:
    assert words.KEYS == model.KEYS
    assert cli.main(["lat", "--by", " pid,comm ,syscall"]) == 0
    assert top.words["by"] == ("pid", "comm", "syscall")


def test_keys_of_a_summary(top: Top) -> None:
    assert cli.main(["summary", "--by", "cgroup,errno"]) == 0
    assert top.words["by"] == ("cgroup", "errno")


@pytest.mark.parametrize("mode", words.SUMMARY_MODES)
def test_tables_of_a_summary(top: Top, mode: str) -> None:
    assert cli.main(["summary", "--by", mode, "--errno-summary", "--max", "5"]) == 0
    assert top.words["by"] == (mode,)
    assert (top.words["errno_summary"], top.words["max"]) == (True, 5)


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["count", "--", "ls", "-l"], ["ls", "-l"]),
        (["count", "-L", "--exec", "ls", "-L", "--", "x"], ["ls", "-L", "--", "x"]),
        (["count", "--", "--exec", "x"], ["--exec", "x"]),
        (["count", "--exec=ls"], ["ls"]),
        (
            ["lat", "--", "sh", "-c", "exit 7", "--", "--help"],
            ["sh", "-c", "exit 7", "--", "--help"],
        ),
        (["summary", "-x", "--", "--", "x"], ["--", "x"]),
        (["top", "--", "ls"], ["ls"]),
        (["--", "ls", ""], ["ls", ""]),
    ],
)
def test_a_command_takes_all_words_after_it(top: Top, argv: list[str], command: list[str]) -> None:
    assert cli.main(argv) == 0
    assert top.words["command"] == command


def test_help_says_how_exact_percentiles_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lat", "--help"]) == 0
    assert f"{Fraction(QUANTILE_ERROR).limit_denominator(100)} (about 11%)" in (
        capsys.readouterr().out
    )


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
        (["--syscall", "!%file"], 2, "unknown class of syscalls '%file', known: %waiting"),
        (["-e", "ENOENT,ENOSUCH"], 2, "unknown error name: ENOSUCH"),
        (["-e", "ENOENT,"], 2, "unknown error name: "),
        (["-p", "1,python3"], 2, "'python3' is not the number of a process or thread (a name goes"),
        (["-p", "1,,2"], 2, "'' is not the number of a process or thread (see"),
        (["-c", "1,4194304"], 1, "there is no process 4194304"),
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
        (["-i", "0"], 2, "'0' is not 0.1 to 10 seconds"),
        (["-i", "nan"], 2, "'nan' is not 0.1 to 10 seconds"),
        (["-i", "-1"], 2, "'-1' is not 0.1 to 10 seconds"),
        (["-i", "1m"], 2, "'1m' is not 0.1 to 10 seconds"),
        (["-i", "soon"], 2, "'soon' is not a time: write seconds, or a unit as in 500ms, 5s, 2m"),
        (["-d", "5S"], 2, "'5S' is not a time"),
        (["-d", "1m30s"], 2, "'1m30s' is not a time"),
        (["-d", ""], 2, "'' is not a time"),
        (["-d", "9" * 400 + "h"], 2, "is not a time"),
        (["-d", "9000h"], 2, "'9000h' is not above 0 and up to 31622400 seconds"),
        (["--sort", "speed"], 2, "speed"),
        (["--config", "/no/such"], 2, "/no/such: No such file"),
        (["--inc"], 2, "--inc"),
        (["-d", "0"], 2, "'0' is not above 0 and up to 31622400 seconds"),
        (["-d", "0ms"], 2, "'0ms' is not above 0"),
        (["top", "--duration=nan"], 2, "'nan' is not above 0"),
        (["-xd-5"], 2, "'-5' is not above 0"),
        (["-T"], 2, "-T/--top"),
        (["top", "--top", "0"], 2, "'0' is not a whole number from 1"),
        (["count", "-T", "1.5"], 2, "'1.5' is not a whole number from 1"),
        (["count", "-T", "9" * 30], 2, "is not a whole number from 1"),
        (["summary", "--max", "-1"], 2, "'-1' is not a whole number from 1"),
        (["count", "-i", "0"], 2, "'0' is not 0.001 to 86400 seconds"),
        (["lat", "-i", "-1"], 2, "'-1' is not 0.001 to 86400 seconds"),
        (["summary", "-i", "inf"], 2, "'inf' is not 0.001 to 86400 seconds"),
        (["count", "-i", "1e9"], 2, "'1e9' is not 0.001 to 86400 seconds"),
        (["count", "-i", "1e-320"], 2, "'1e-320' is not 0.001 to 86400 seconds"),
        (["count", "-i", "999us"], 2, "'999us' is not 0.001 to 86400 seconds"),
        (["count", "-i", "soon"], 2, "'soon' is not a time"),
        (["count", "-d", "inf"], 2, "'inf' is not above 0"),
        (["count", "--by", "pid,user"], 2, f"unknown key 'user', known: {', '.join(words.KEYS)}"),
        (["count", "--by", "process"], 2, "unknown key 'process'"),
        (["summary", "--by", "user"], 2, "known: total, process, thread, cgroup, syscall, pid,"),
        (["summary", "--by", "process,pid"], 2, "'process' stands alone"),
        (["lat", "--by", "pid,comm,pid"], 2, "'pid,comm,pid' names a key twice"),
        (["lat", "--by", ""], 2, "unknown key ''"),
        (["count", "-P", "--by", "pid"], 2, "-P/--process and --by exclude each other"),
        (["count", "--json", "--output"], 2, "--json and --output exclude each other"),
        (["count", "--output", "a.csv"], 2, "a format, line; write to a file with >"),
        (["summary", "-T", "1", "--max", "1"], 2, "-T/--top and --max exclude each other"),
        (["count", "--"], 2, "--: the command is missing"),
        (["--"], 2, "--: the command is missing"),
        (["count", "--exec"], 2, "--exec: the command is missing"),
        (["lat", "--exec", "ls"], 2, "--exec"),
        (["count", "-p", "1", "--", "ls"], 2, "a command and -p/--pid or -t/--tid exclude"),
        (["top", "-t", "1", "--", "ls"], 2, "a command and -p/--pid or -t/--tid exclude"),
        (["-p", "x", "--", "ls"], 2, "'x' is not the number"),
        (["doctor", "--", "ls"], 2, "ls"),
        (["count", "ls"], 2, "arguments: ls; to run it, write: sysdash count -- ls (see"),
        (
            ["lat", "-T", "3", "--comm", "ls", "ls", "a b", "-x"],
            2,
            "arguments: ls a b; to run it, write: sysdash lat -T 3 --comm ls -- ls 'a b' -x (see",
        ),
        (["-d", "1", "true"], 2, "to run it, write: sysdash top -d 1 -- true"),
        (["-d", "1", "count"], 2, "; the command comes first: sysdash count -d 1 (see"),
        (["--comm", "lat", "lat"], 2, "; the command comes first: sysdash lat --comm lat (see"),
        (["--theme=mono", "count"], 2, "; the command comes first: sysdash count (see"),
        (["count", "lat"], 2, "arguments: lat (see"),
        (["count", "5"], 2, "arguments: 5; a number needs its option: -i or -d TIME, -p PID"),
        (["doctor", "ls"], 2, "arguments: ls (see"),
        (["count", "x" * 500], 2, f"arguments: {'x' * 119}… (see"),
        (["cuont"], 2, "no command 'cuont'; did you mean count?\n"),
        (["ls", "-l"], 2, "'ls'; to trace the program: sysdash summary -- ls -l\n"),
        (["cat"], 2, "did you mean lat? Or, to trace the program: sysdash summary -- cat\n"),
        (["ls", "\x1b[2J", "x" * 200], 2, f" -- ls '␛[2J' {'x' * 90}…\n"),
        (["help", "cuont"], 2, "no command 'cuont'; did you mean count?\n"),
        (["help", "count", "x"], 2, "help: it takes one command\n"),
        *(
            (wrong, code, message)
            for name in ("count", "lat", "summary")
            for wrong, code, message in (
                ([name, "--syscall", "raed"], 2, "unknown syscall 'raed'; did you mean read"),
                ([name, "-e", "ENOSUCH"], 2, "unknown error name: ENOSUCH"),
                ([name, "-p", "4194304"], 1, "there is no process 4194304"),
                ([name, "--cgroup", "/no/such"], 1, "/no/such is no cgroup"),
                ([name, "--config", "/no/such"], 2, "/no/such: No such file"),
            )
        ),
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
        (CannotRun("cannot run 'x': No"), 2, "sysdash: cannot run 'x': No\n"),
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


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["sysdash", "count", "-d", "1"], f"sudo {Path.cwd()}/sysdash count -d 1"),
        (["/opt/a b/syscount", "--syscall", "!read"], "sudo '/opt/a b/syscount' --syscall '!read'"),
        (["/opt/__main__.py", "lat"], "sudo sysdash lat"),
        (["sysdash", "-p", "1"], f"sudo {Path.cwd()}/sysdash -p 1"),
        (["sysdash.py", "\x1b[2J", "a\nb", "$(x)"], "sudo sysdash '␛[2J' 'a␊b' '$(x)'"),
        (["x", "y" * 100, "z" * 100, "w"], f"sudo sysdash {'y' * 100} …"),
    ],
)
def test_what_a_user_without_privileges_is_told(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], line: str
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(capabilities, "missing_capabilities", lambda: ["CAP_BPF"])
    with pytest.raises(CannotCollect) as caught:
        capabilities.require_privileges()
    assert f"do not have CAP_BPF. Run `{line}`; " in str(caught.value)


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


@pytest.mark.parametrize("command", ["top", "doctor", "count"])
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


def test_output_that_cannot_be_written_is_told_in_one_line() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123  (no Path.open: it is no file)
        result = sysdash_process("count", "--list", stdout=full.fileno())
    told = "sysdash: cannot write the output: No space left on device.\n"
    assert (result.returncode, result.stderr) == (1, told)


@pytest.mark.parametrize(
    ("argv", "written"), [(["count"], b"a\\xe9\\u6f22\n"), (["count", "--json"], "aé漢\n".encode())]
)
def test_what_the_locale_cannot_say_is_printed_all_the_same(
    argv: list[str], written: bytes
) -> None:
    code = (
        "import sys; from sysdash.commands import COMMANDS; from sysdash import cli; "
        "import types; module = types.ModuleType('m'); "
        "module.run = lambda args: print('a\\xe9\\u6f22') or 0; "
        "sys.modules[COMMANDS['count'].module] = module; sys.exit(cli.main(sys.argv[1:]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *argv],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, written, b"")


def test_threads_that_modules_begin_leave_signals_to_the_main_thread() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    masks: list[set[int]] = []

    def look() -> None:
        masks.append({*signal.pthread_sigmask(signal.SIG_BLOCK, ())})

    with for_this_thread_alone():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert masks[0] >= {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys, sysdash.cli; "
        "[sysdash.cli.main([name, '--help']) for name in ('top', 'count', 'lat', 'summary')]; "
        "heavy = {'bcc', 'numpy', 'urwid', 'wcwidth', 'ctypes'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
