"""``sysdash stacks``: its words, its files, and what it tells of programs whose waits are known."""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from probing import build, comm, eventually
from synthetic import nr, snapshot

from sysdash.blocking import UNREAD, Blocked
from sysdash.commands import collecting, completion, lookups, parsers, words
from sysdash.commands import stacks as command
from sysdash.commands.files import Target
from sysdash.commands.lookups import Lookups
from sysdash.config import ConfigError
from sysdash.errors import CannotCollect
from sysdash.model import Snapshot
from sysdash.probes import capabilities
from sysdash.records import INTERRUPTIBLE, Block

SYSDASH = Path(sys.prefix) / "bin" / "sysdash"
_CAP_SYS_PTRACE, _PR_CAPBSET_DROP = 19, 24
US, MS, S = 1_000, 1_000_000, 1_000_000_000


# --- Words ---


def parsed(*argv: str) -> argparse.Namespace:
    return parsers.parse("stacks", [*argv])


def test_defaults() -> None:
    given = parsed()
    assert (given.min_ns, given.max_ns) == (US, None)
    assert given.by == "comm"
    flags = (given.ended, given.folded, given.user_stacks_only, given.kernel_stacks_only)
    assert flags == (False,) * 4
    assert (given.svg, given.speedscope, given.interval_s, given.duration_s) == (None,) * 4


@pytest.mark.parametrize(
    ("word", "ns"),
    [("0", 0), ("1", US), ("2500", 2500 * US), ("0.5", 500), ("400ns", 400), ("10ms", 10 * MS)],
)
def test_times_are_microseconds_or_have_a_unit(word: str, ns: int) -> None:
    assert parsed("-m", word).min_ns == ns
    assert parsed("-m", "0", "--max-block-time", word).max_ns == ns


@pytest.mark.parametrize(
    ("argv", "wrong"),
    [
        (["-k"], "kernel threads make no system calls"),
        (["-x"], "what is blocked has not returned, and so has not failed"),
        (["-e", "ENOENT"], "what is blocked has not returned, and so has not failed"),
        (["-U", "-K"], "-U/--user-stacks-only and -K/--kernel-stacks-only exclude each other"),
        (["-m", "2ms", "-M", "1ms"], "-m/--min-block-time is over -M/--max-block-time"),
        (["-M", "500ns"], "-m/--min-block-time is over -M/--max-block-time"),
        (["-m", "soon"], "'soon' is not a time: write microseconds, or a unit"),
        (["-m", "-5"], "'-5' is not 0 to 31622400 seconds"),
        (["-m=-1"], "'-1' is not 0 to 31622400 seconds"),
        (["-m", "nan"], "'nan' is not 0 to 31622400 seconds"),
        (["-M", "99999999h"], "'99999999h' is not 0 to 31622400 seconds"),
        (["-d", "-3"], "'-3' is not above 0 and up to 31622400 seconds"),
        (["-p", "1 ,, 2"], "'' is not the number of a process"),
        (["-p", ""], "'' is not the number of a process"),
        (["-i", "1", "--svg", "x.svg"], "a file is written once"),
        (["-i", "1", "--speedscope", "x.json"], "a file is written once"),
        (["-T", "5", "-f"], "-T/--top is for the text"),
        (["-T", "5", "--svg", "x.svg"], "-T/--top is for the text"),
        (["--title", "x"], "--title needs --svg or --speedscope"),
        (["--svg", ""], "a file's name cannot be empty"),
        (["--svg", "x", "--speedscope", "./x"], "--svg and --speedscope name the same file"),
        (["--by", "cgroup"], "invalid choice: 'cgroup'"),
        (["-p", "1", "--", "true"], "a command and -p/--pid or -t/--tid exclude"),
    ],
)
def test_wrong_words(argv: list[str], wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parsed(*argv)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert wrong in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "argv",
    [
        ["-u"],
        ["-U", "-f", "-i", "1"],
        ["-K", "-T", "3", "-i", "1"],
        ["-f", "--svg", "x.svg", "--speedscope", "x.json", "--title", "mine"],
        ["-m", "1ms", "-M", "1ms", "--ended", "--by", "tid"],
    ],
)
def test_right_words(argv: list[str]) -> None:
    parsed(*argv)


@pytest.mark.parametrize("word", ["7,8", "7 8", "7\n8\n", "7, 8"])
def test_processes_can_be_listed_as_pgrep_lists_them(word: str) -> None:
    assert parsed("-p", word).pid == parsed("-t", word).tid == parsed("-c", word).ppid == [7, 8]


def test_filters_by_error_say_that_they_are_refused() -> None:
    of = dict(completion.parser("stacks").options())
    whys = {of[name] for name in ("-x, --failures", "-e, --errno NAME|N[,...]")}
    assert whys == {"refused: what is blocked has not failed"}
    assert dict(completion.parser("lat").options())["-x, --failures"] == "only calls that fail"


def test_files_are_completed() -> None:
    of = {action.dest: action for action in completion.parser("stacks")._actions}
    assert of["svg"].completer is of["speedscope"].completer is completion._files  # type: ignore[attr-defined]


# --- Files ---


def test_a_file_is_written_whole_and_alone(tmp_path: Path) -> None:
    file = tmp_path / "new"
    mask = os.umask(0o027)
    try:
        target = Target(str(file))
        assert list(tmp_path.iterdir()) == []
        target.write(["one ", "tw\u00f6\n"])
    finally:
        os.umask(mask)
    assert file.read_bytes() == "one tw\u00f6\n".encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_is_there_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    file, link = tmp_path / "old", tmp_path / "link"
    file.write_text("old, and longer")
    file.chmod(0o604)
    link.symlink_to("old")
    Target(str(link)).write(["new"])
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o604


def test_a_file_that_is_there_outlives_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "old"
    file.write_text("old")

    def pieces() -> Iterator[str]:
        yield "new " * 100_000
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(CannotCollect, match=r"cannot write .*old: Input/output error"):
        Target(str(file)).write(pieces())
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    def pieces() -> Iterator[str]:
        yield "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Target(str(tmp_path / "new")).write(pieces())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("", "it is a folder"),
        ("nowhere/x.svg", "there is no folder .*nowhere"),
        ("new/", "it is a folder's name"),
        ("file/x.svg", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("a\0b", "embedded null byte"),
        ("socket", "it is no file"),
    ],
)
def test_what_cannot_be_written_is_told_at_once(name: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(ConfigError, match=f"^cannot write .*: {wrong}"):
            Target(f"{tmp_path}/{name}")


def test_a_device_is_written_directly() -> None:
    Target("/dev/null").write(["x"])
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(CannotCollect, match="cannot write /dev/full: No space left on device"):
        Target("/dev/full").write(["x"])


# --- Looking up ---


def place(
    user: Sequence[str] = ("app`main+0x1",), pid: int = 1842, look: Any = None, name: str = "read"
) -> Block:
    return Block(
        pid,
        pid,
        "app",
        nr(name),
        0,
        INTERRUPTIBLE,
        look or (lambda: tuple(user)),
        lambda: ("vmlinux`schedule+0x2",),
    )


def texts(found: Sequence[Any]) -> list[list[str]]:
    return [[frame.text for frame in stack.frames] for stack in found]


def test_places_that_read_the_same_are_one_stack() -> None:
    sums = {place(): Blocked(5, 1), place(("app`main+0x9",)): Blocked(7, 2, 1)}
    (found,) = Lookups("comm").stacks(sums)
    assert (found.ns, found.count, found.still) == (12, 3, 1)
    assert len(Lookups("pid").stacks({place(pid=1): Blocked(1), place(pid=2): Blocked(1)})) == 2


def test_a_program_whose_files_do_not_answer_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lookups, "_STACK_S", 0.05)
    answered = threading.Event()
    asked = []

    def hangs() -> tuple[str, ...]:
        asked.append(1)
        answered.wait(20)
        return ()

    sums = {
        place(look=hangs, pid=7): Blocked(30, 1),
        place(look=hangs, pid=7, name="write"): Blocked(20, 1),
        place(): Blocked(10, 1),
    }
    began = time.monotonic()
    try:
        found = Lookups("comm").stacks(sums)
    finally:
        answered.set()
    assert time.monotonic() - began < 2
    assert asked == [1]  # such a process is not asked again
    assert texts(found) == [
        ["app", UNREAD, "read", "vmlinux`schedule"],
        ["app", UNREAD, "write", "vmlinux`schedule"],
        ["app", "app`main", "read", "vmlinux`schedule"],
    ]
    said = capsys.readouterr().err
    assert said == "sysdash: 2 places without the program's frames: they were not read in time\n"


def test_who_wants_to_end_does_not_wait_for_all_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "_GRACE_S", 0.1)

    def slow() -> tuple[str, ...]:
        time.sleep(0.03)
        return ("app`main",)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        signal.raise_signal(signal.SIGINT)
        sums = {place(look=slow, pid=pid): Blocked(pid, 1) for pid in range(1, 100)}
        began = time.monotonic()
        found = Lookups("comm").stacks(sums)
        assert time.monotonic() - began < 1.5
    finally:
        signal.sigtimedwait({signal.SIGINT}, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert sum(stack.ns for stack in found) == sum(range(1, 100))
    counts = {
        ("app`main" in frames): stack.count
        for frames, stack in zip(texts(found), found, strict=True)
    }
    assert 1 <= counts[True] <= 6
    assert counts[True] + counts[False] == 99


class Terminal:
    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_a_person_who_waits_is_told_and_the_line_is_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    Lookups("comm").stacks({place(): Blocked(1, 1)})
    assert terminal.text == ""
    monkeypatch.setattr(lookups, "_SILENT_S", 0.0)
    Lookups("comm").stacks({place(): Blocked(1, 1)})
    line = "sysdash: reading stacks, 1 of 1"
    assert terminal.text == f"\r{line}\r{' ' * len(line)}\r"


# --- Intervals ---


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> SimpleNamespace:
    """Runs the command on given snapshots; returns what it writes."""

    def run(parts: Sequence[tuple[Snapshot, bool]], *argv: str) -> tuple[str, str]:
        def snapshots(_self: object, ready: Any, *, live: bool) -> Iterator[Any]:
            assert not live
            ready()
            yield from parts

        monkeypatch.setattr(collecting.Collection, "snapshots", snapshots)
        given = parsed(*argv)
        given.filters = words.filters(given)
        assert command.run(given) == 0
        found = capfd.readouterr()
        return found.out, found.err

    return SimpleNamespace(run=run)


def part(
    ended: Mapping[Block, tuple[int, int]],
    blocked: Mapping[Block, int],
    second: int,
    *,
    over: bool,
) -> tuple[Snapshot, bool]:
    return replace(snapshot(second=second), blocks=ended, blocked=blocked), over


READS, NAPS = place(), place(("app`nap+0x4", "app`main+0x1"), name="nanosleep")
PARTS = [
    part({READS: (3 * MS, 2)}, {}, 1, over=False),
    part({READS: (MS, 1), NAPS: (10 * MS, 1)}, {NAPS: 100 * MS}, 2, over=True),
    part({}, {NAPS: 1100 * MS}, 3, over=True),
    part({NAPS: (1200 * MS, 1)}, {}, 4, over=True),
]


def test_each_interval_has_its_own_part_of_what_has_not_ended(printed: SimpleNamespace) -> None:
    out, _ = printed.run(PARTS, "-i", "2")
    assert re.sub(r"\[..:..:..\]", "[TIME]", out) == (
        "Tracing time blocked in syscalls, by user + kernel stack... Ctrl+C to quit.\n"
        "[TIME]\n"
        " 110ms  96.5%  app: nanosleep, 2 times, 1 still blocked, mean 55.0ms\n"
        "    vmlinux`schedule\n"
        "    --\n"
        "    app`nap\n"
        "    app`main\n"
        "\n"
        "4.00ms   3.5%  app: read, 3 times, mean 1.33ms\n"
        "    vmlinux`schedule\n"
        "    --\n"
        "    app`main\n"
        "\n"
        "2 stacks, 114ms blocked in 2.00s, 5 times, 1 still blocked\n"
        "\n"
        "[TIME]\n"
        " 1.00s 100.0%  app: nanosleep, still blocked\n"
        "    vmlinux`schedule\n"
        "    --\n"
        "    app`nap\n"
        "    app`main\n"
        "\n"
        "1 stack, 1.00s blocked in 1.00s, still blocked\n"
        "\n"
        "[TIME]\n"
        " 100ms 100.0%  app: nanosleep, 1 time\n"
        "    vmlinux`schedule\n"
        "    --\n"
        "    app`nap\n"
        "    app`main\n"
        "\n"
        "1 stack, 100ms blocked in 1.00s, 1 time\n"
        "\n"
    )


def test_only_what_ended_is_counted_where_that_is_asked(printed: SimpleNamespace) -> None:
    out, _ = printed.run(PARTS, "-i", "2", "--ended")
    assert [line for line in out.splitlines() if "in " in line and "Tracing" not in line] == [
        "2 stacks, 14.0ms blocked in 2.00s, 4 times",
        "nothing was blocked in 1.00s",
        "1 stack, 1.20s blocked in 1.00s, 1 time",
    ]


def test_with_an_upper_bound_only_what_has_ended_is_counted(printed: SimpleNamespace) -> None:
    """Of the others it is not known yet how long they are."""
    out, _ = printed.run(PARTS, "-i", "2", "-M", "1h")
    assert [line for line in out.splitlines() if "in " in line and "Tracing" not in line] == [
        "2 stacks, 14.0ms blocked in 2.00s, 4 times",
        "nothing was blocked in 1.00s",
        "1 stack, 1.20s blocked in 1.00s, 1 time",
    ]


def test_losses_are_those_of_the_interval(printed: SimpleNamespace) -> None:
    lost = {"blocks": 2, "off_cpu": 0, "calls": 5}
    parts = [(replace(each, lost=lost), over) for each, over in PARTS]
    _, err = printed.run(parts, "-i", "2")
    assert err == (
        "sysdash: lost: 2 times blocked that there was no room for; "
        "a filter or -K makes them fewer\n"
        "sysdash: lost: 5 calls not counted; a filter makes them fewer\n"
    )


def test_what_is_not_exact_is_no_loss(printed: SimpleNamespace) -> None:
    parts = [(replace(each, lost={"switches": 2}), over) for each, over in PARTS]
    _, err = printed.run(parts, "-i", "2")
    assert err == (
        "sysdash: inexact: 2 waits are counted up to the end of their call, "
        "as their end was not seen\n"
    )


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (0, "that needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"),
        (1 << 19, "that needs CAP_DAC_READ_SEARCH"),
        (1 << 19 | 1 << 2, "the kernel refuses it"),
    ],
)
@pytest.mark.parametrize("argv", [(), ("-i", "2"), ("-f",), ("--svg",)])
def test_threads_that_could_not_be_looked_into_are_told_at_the_end(
    printed: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    held: int,
    why: str,
    argv: tuple[str, ...],
) -> None:
    monkeypatch.setattr(capabilities, "_effective", lambda: held)
    parts = [(replace(each, in_flight_unreadable=27), over) for each, over in PARTS]
    argv = (*argv, str(tmp_path / "x.svg")) if argv == ("--svg",) else argv
    _, err = printed.run(parts, *argv)
    told = (
        f"sysdash: 27 threads could not be looked into ({why}): "
        "calls that they began before the start are missing"
    )
    assert err.splitlines()[-1:] == [told]
    assert err.count("looked into") == 1
    # Those are left out there, whether they can be looked into or not.
    assert "looked into" not in printed.run(parts, "--ended")[1]


def test_a_kernel_without_names_is_told_once(
    printed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kallsyms = tmp_path / "kallsyms"
    kallsyms.write_text("0000000000000000 A fixed_percpu_data\n0000000000000000 T _stext\n")
    monkeypatch.setattr(capabilities, "_KALLSYMS", kallsyms)
    monkeypatch.setattr(capabilities, "_effective", lambda: 0)
    bare = replace(READS, kernel=lambda: ("0xffffffff814b87ac", "0xffffffff821f8298"))
    parts = [part({bare: (MS, 1)}, {}, second, over=True) for second in (1, 2)]
    _, err = printed.run(parts, "-i", "1")
    told = "the kernel's functions have no names (that needs root, or CAP_SYSLOG)"
    assert err == f"sysdash: {told}\n"
    # Where every name is there, an address is of code that has none.
    kallsyms.write_text("0000000000000000 A fixed_percpu_data\nffffffff81000000 T _stext\n")
    assert printed.run(parts, "-i", "1")[1] == ""
    kallsyms.write_text("0000000000000000 T _stext\n")
    assert printed.run(PARTS, "-i", "2")[1] == ""


WHOLE = [(each, i + 1 == len(PARTS)) for i, (each, _) in enumerate(PARTS)]


def test_folded_lines_have_the_sums_of_the_text(printed: SimpleNamespace) -> None:
    out, err = printed.run(WHOLE, "-f")
    assert out.splitlines() == [
        "app;app`main;app`nap;nanosleep;vmlinux`schedule 1210000",
        "app;app`main;read;vmlinux`schedule 4000",
    ]
    assert err == ""
    text, _ = printed.run(WHOLE)
    assert "\n2 stacks, 1.21s blocked in 4.00s, 5 times\n" in text


def test_files_take_the_place_of_the_text(printed: SimpleNamespace, tmp_path: Path) -> None:
    svg, speedscope = str(tmp_path / "a.svg"), str(tmp_path / "a.json")
    both = ["--svg", svg, "--speedscope", speedscope]
    out, err = printed.run(WHOLE, *both, "--title", "mine\x1b")
    assert out == (
        "Tracing time blocked in syscalls, by user + kernel stack... Ctrl+C to quit.\n"
        "2 stacks, 1.21s blocked in 4.00s, 5 times\n"
    )
    assert err == (
        f"wrote {svg}: 2 stacks, 1.21s blocked\nwrote {speedscope}: 2 stacks, 1.21s blocked\n"
    )
    picture = Path(svg).read_text()
    assert "mine␛" in picture
    assert "app`nap" in picture
    profile = json.loads(Path(speedscope).read_text())
    assert profile["name"] == "mine␛"
    assert sum(profile["profiles"][0]["weights"]) == 1214 * MS
    folded, _ = printed.run(WHOLE, *both, "-f")
    assert folded == printed.run(WHOLE, "-f")[0]


def test_a_dash_is_the_standard_output(printed: SimpleNamespace) -> None:
    assert printed.run(WHOLE, "--svg", "-")[0].startswith("<?xml ")


def test_the_standard_output_takes_one_thing(printed: SimpleNamespace) -> None:
    out, err = printed.run(WHOLE, "--speedscope", "/dev/stdout")
    assert sum(json.loads(out)["profiles"][0]["weights"]) == 1214 * MS
    assert err == "wrote /dev/stdout: 2 stacks, 1.21s blocked\n"
    for also in (["-f"], ["--svg", "-"]):
        with pytest.raises(ConfigError, match="only one of --folded, --svg and --speedscope can"):
            printed.run(WHOLE, "--speedscope", "/dev/stdout", *also)


# --- Real waits ---


def run(*argv: str | Path, status: int = 0, stdin: Any = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [SYSDASH, "stacks", *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
    )
    assert done.returncode == status, done.stderr
    return done


def folded(text: str) -> dict[str, int]:
    found = {}
    for line in text.splitlines():
        stack, microseconds = line.rsplit(" ", 1)
        assert stack not in found
        found[stack] = int(microseconds) * US
    return found


@pytest.fixture
def naps(tmp_path: Path) -> str:
    return build("naps", tmp_path)


@pytest.fixture
def waiting() -> Iterator[int]:
    """An input that never has anything."""
    end, other = os.pipe()
    yield end
    os.close(end)
    os.close(other)


@pytest.mark.bpf
def test_known_naps_are_found_in_their_function(naps: str) -> None:
    done = run("-f", "--", naps, "5", "50")
    # What it writes goes to standard error.
    took = int(done.stderr)
    found = folded(done.stdout)
    ours = {stack: ns for stack, ns in found.items() if f";{comm('naps')}`takes_naps;" in stack}
    assert len(ours) == 1
    ((stack, ns),) = ours.items()
    assert took * 0.95 <= ns <= took
    frames = stack.split(";")
    assert frames[0] == comm("naps")
    call = frames.index("clock_nanosleep")
    assert frames.index(f"{comm('naps')}`main") < frames.index(f"{comm('naps')}`takes_naps") < call
    # Which goes to sleep in do_nanosleep(): that is a part of the scheduler.
    assert frames[-1] == "vmlinux`hrtimer_nanosleep"


@pytest.mark.bpf
@pytest.mark.parametrize("name", ["stacks", "slow"])
def test_without_a_capability_what_is_missing_is_told(name: str) -> None:
    def drop() -> None:
        # What is not in the bounding set is lost at execve, by root too.
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_SYS_PTRACE, 0, 0, 0)

    told = "1 thread could not be looked into (that needs CAP_SYS_PTRACE): calls that it began "
    words = ["-d", "0.3"] if name == "stacks" else ["--in-flight", "--threshold", "0"]
    with subprocess.Popen(["sleep", "100"]) as sleeper:
        try:
            asleep = Path(f"/proc/{sleeper.pid}/syscall")
            assert eventually(lambda: asleep.read_text().startswith(f"{nr('clock_nanosleep')} "))
            for lose, shown in ((None, True), (drop, False)):
                done = subprocess.run(
                    [SYSDASH, name, *words, "-p", str(sleeper.pid)],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=True,
                    preexec_fn=lose,
                )
                assert ("clock_nanosleep" in done.stdout) == shown
                assert (told in done.stderr) != shown
        finally:
            sleeper.kill()


@pytest.mark.bpf
def test_the_text_of_known_naps(naps: str) -> None:
    done = run("--comm", comm("naps"), "--syscall", "clock_nanosleep", "--", naps, "5", "50")
    blocks = done.stdout.split("\n\n")
    (ours,) = (block for block in blocks if "`takes_naps" in block)
    head = re.search(
        rf"^ (\d+)ms +[\d.]+%  {comm('naps')}: clock_nanosleep, 5 times, mean 5\d\.\dms$",
        ours,
        re.MULTILINE,
    )
    assert head is not None, ours
    took = int(next(line for line in done.stdout.splitlines() if line.isdigit()))
    assert int(head[1]) == pytest.approx(took / MS, rel=0.05)
    assert re.search(r"^1 stack, \d+ms blocked in \d+ms, 5 times$", done.stdout, re.MULTILINE)
    assert done.stderr == ""


@pytest.mark.bpf
def test_the_programs_or_the_kernels_frames_can_be_left_out(naps: str) -> None:
    only = ["-f", "--comm", comm("naps"), "--syscall", "clock_nanosleep"]
    (user,) = folded(run(*only, "-U", "--", naps, "2", "20").stdout)
    assert user.endswith(";clock_nanosleep")
    assert "`takes_naps;" in user
    (kernel,) = folded(run(*only, "-K", "--", naps, "2", "20").stdout)
    assert kernel.startswith(f"{comm('naps')};clock_nanosleep;vmlinux`")


@pytest.mark.bpf
def test_who_has_not_come_back_is_there_and_marked(naps: str, waiting: int) -> None:
    words = ["--comm", comm("naps"), "--syscall", "read", "-d", "1", "--", naps, "1", "10"]
    # The command is ended by SIGTERM when the time is over.
    out = run(*words, stdin=waiting, status=143).stdout
    block = next(block for block in out.split("\n\n") if "`stays" in block)
    head = rf"^ (1\.0\ds|[5-9]\d\dms) +[\d.]+%  {comm('naps')}: read, still blocked$"
    assert re.search(head, block, re.MULTILINE), block
    ended = run("--ended", *words, stdin=waiting, status=143).stdout
    assert "`stays" not in ended
    assert "still" not in ended


@pytest.mark.bpf
def test_who_was_blocked_before_is_counted_from_the_beginning_on(naps: str) -> None:
    with subprocess.Popen(
        [naps, "0", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.2)
        done = run("-f", "-p", str(process.pid), "-d", "0.5", "--by", "tid")
        process.communicate("")
    ((stack, ns),) = folded(done.stdout).items()
    assert stack.startswith(f"{comm('naps')} ({process.pid}/{process.pid});")
    assert ";read;vmlinux`" in stack
    assert 0.45 * S <= ns <= 0.7 * S
    assert done.stderr == ""


@pytest.mark.bpf
def test_intervals_have_the_time_of_each(naps: str, waiting: int) -> None:
    words = ["--comm", comm("naps"), "--syscall", "read", "-i", "0.3", "-d", "1.2"]
    out = run(*words, "--", naps, "0", "0", stdin=waiting, status=143).stdout
    times = re.findall(r"^ (\d+)ms 100.0%  \S+: read, still blocked$", out, re.MULTILINE)
    assert len(times) >= 2
    assert all(200 <= int(ms) <= 400 for ms in times[1:])


@pytest.mark.bpf
def test_times_that_are_too_short_or_too_long_are_not_counted(naps: str) -> None:
    only = ["-f", "--comm", comm("naps"), "--syscall", "clock_nanosleep"]
    command = ["--", naps, "3", "30"]
    assert run(*only, "-m", "100ms", *command).stdout == ""
    assert run(*only, "-M", "10ms", *command).stdout == ""
    assert len(folded(run(*only, "-m", "20ms", "-M", "1s", *command).stdout)) == 1


@pytest.mark.bpf
def test_folded_lines_and_files_have_the_same_sums(naps: str, tmp_path: Path) -> None:
    svg, profile = tmp_path / "a.svg", tmp_path / "a.json"
    done = run("-f", "--svg", svg, "--speedscope", profile, "--", naps, "3", "10")
    weights = json.loads(profile.read_text())["profiles"][0]["weights"]
    assert abs(sum(folded(done.stdout).values()) - sum(weights)) <= US
    said = re.findall(r"^wrote (\S+): (\d+) stacks?, \S+ blocked$", done.stderr, re.MULTILINE)
    assert said == [(str(svg), str(len(weights))), (str(profile), str(len(weights)))]
    assert "takes_naps" in svg.read_text()


@pytest.mark.bpf
def test_ctrl_c_writes_what_there_is(tmp_path: Path, naps: str) -> None:
    file = tmp_path / "a.svg"
    with subprocess.Popen(
        [SYSDASH, "stacks", "--comm", comm("naps"), "--svg", file],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        subprocess.run([naps, "2", "20"], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert re.fullmatch(r"\d+ stacks?, \d+\.\dms blocked in \S+, \d+ times\n", out)
    assert err.startswith(f"wrote {file}: ")
    assert "takes_naps" in file.read_text()


@pytest.mark.bpf
def test_it_exits_with_the_commands_status() -> None:
    done = run("--", "sh", "-c", "sleep 0.05 & wait; exit 7", status=7)
    assert re.search(r"^\d+ stacks, ", done.stdout, re.MULTILINE)


@pytest.mark.bpf
def test_a_full_disk_loses_neither_the_result_nor_the_old_file(naps: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        f"mount -t tmpfs -o size=8k none {disk} && echo old >{disk}/a.svg && "
        f"{SYSDASH} stacks --svg {disk}/a.svg -- {naps} 2 10; "
        f"echo status $? && ls -A {disk} && cat {disk}/a.svg"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.stderr == f"sysdash: cannot write {disk}/a.svg: No space left on device.\n"
    assert "`takes_naps" in done.stdout
    assert done.stdout.endswith("\nstatus 1\na.svg\nold\n")


@pytest.mark.bpf
def test_a_disk_that_cannot_be_written_is_told_before_anything_begins(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        f"mount -t tmpfs -o ro none {disk} && {SYSDASH} stacks --svg {disk}/a.svg -- echo begun"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sysdash: cannot write {disk}/a.svg: Read-only file system\n"


def test_a_run_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.svg"
    file.write_text("old")
    run("--svg", file, "--", tmp_path / "nothing", status=2)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    done = run("--svg", tmp_path, status=2)
    assert done.stderr == f"sysdash: cannot write {tmp_path}: it is a folder\n"
