"""The dashboard as a person meets it: the installed program, real BPF, a terminal, keys."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import machine
import pytest
from terminal import PATIENCE_S, Terminal

from sysdash.units import safe

pytestmark = pytest.mark.bpf

SYSDASH = Path(sys.prefix) / "bin" / "sysdash"

UP, DOWN, HOME = "\x1b[A", "\x1b[B", "\x1b[H"
ENTER, ESC, TAB, CTRL_C, CTRL_L = "\r", "\x1b", "\t", "\x03", "\x0c"


@pytest.fixture
def dd() -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads and writes single bytes as fast as it can, for a minute or so."""
    command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=60000000"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


@pytest.fixture(autouse=True)
def _no_config_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("LC_ALL", "NO_COLOR", "SUDO_USER", "TERM"):
        monkeypatch.delenv(name, raising=False)


# --- Reading the screen ---


def top_syscalls(text: str) -> dict[str, str]:
    """The names in the panel `Top syscalls`, in order, each with its rate as shown."""
    lines = text.partition("Top syscalls")[2].partition("Latency")[0].splitlines()[1:]
    rows = (re.match(r"│[▸▹ ](\S+) .*?([\d.]+[KMG]?)/s", line) for line in lines)
    return {row[1]: row[2] for row in rows if row}


def number(short: str) -> float:
    """What a short number such as 1.21M stands for."""
    factor = {"K": 1e3, "M": 1e6, "G": 1e9}.get(short[-1], 1)
    return float(short.rstrip("KMG")) * factor


def selected(text: str) -> str:
    match = re.search(r"│[▸▹] *(\S+)", text)
    assert match, text
    return match[1]


def header(text: str) -> str:
    return text.partition("\n")[0]


def busiest_are_read_and_write(text: str) -> bool:
    return set(list(top_syscalls(text))[:2]) == {"read", "write"}


def processes(text: str) -> list[tuple[int, str]]:
    """PIDs and the rest of their lines, of the panel `Processes`."""
    rows = re.findall(r"^│[▸▹ ] *(\d+) (.*)$", text.partition("Processes")[2], re.MULTILINE)
    return [(int(pid), rest) for pid, rest in rows]


def show(terminal: Terminal, keys: str, *words: str) -> str:
    """Type keys and wait for words on the screen."""
    terminal.type(keys)
    return terminal.wait_for(*words)


def header_says(terminal: Terminal, keys: str, words: str) -> None:
    """Type keys and wait for words in the header, which must not be there before."""
    assert words not in header(terminal.text)
    terminal.type(keys)
    terminal.wait(lambda text: words in header(text), what=f"{words!r} in the header")


# --- A session ---


def test_read_and_write_of_dd_lead(dd: subprocess.Popen[bytes]) -> None:
    with Terminal([SYSDASH]) as terminal:
        terminal.wait(busiest_are_read_and_write, what="read and write at the top")
        terminal.type(HOME)
        terminal.wait(lambda text: selected(text) in ("read", "write"), what="one of them selected")
        name = selected(terminal.text)
        assert f"Latency {name} " in terminal.text
        terminal.type(DOWN)
        terminal.wait(lambda text: selected(text) != name, what="another selection")
        assert f"Latency {selected(terminal.text)} " in terminal.text

        header_says(terminal, "/dd" + ENTER, "name dd")
        text = terminal.wait(
            lambda text: set(top_syscalls(text)) == {"read", "write"}, what="only the calls of dd"
        )
        # dd makes one of each for every byte.
        read, write = (number(rate) for rate in top_syscalls(text).values())
        assert read == pytest.approx(write, rel=0.02)
        show(terminal, "v", "Processes")
        terminal.wait(lambda text: [pid for pid, _ in processes(text)] == [dd.pid], what="dd alone")
        terminal.type("q")
        assert terminal.wait_end() == 0


def test_keys(dd: subprocess.Popen[bytes]) -> None:
    with Terminal([SYSDASH]) as terminal:
        terminal.wait(top_syscalls, what="any syscall")
        header_says(terminal, "/dd" + ENTER, "name dd")
        terminal.type(HOME)
        terminal.wait(
            lambda text: selected(text) in ("read", "write"), what="a call of dd selected"
        )

        header_says(terminal, "sl", "sort latency")
        header_says(terminal, "st", "sort total")
        header_says(terminal, "sr", "sort rate")
        header_says(terminal, "I", "sort rate ↑")
        terminal.type("I")
        terminal.wait(lambda text: "↑" not in header(text), what="the sort as it was")

        header_says(terminal, "/no such name" + ENTER, "name no such name")
        header_says(terminal, CTRL_L, "filter none")
        header_says(terminal, f"p{dd.pid}{ENTER}", f"pid {dd.pid}")
        header_says(terminal, "p" + ENTER, "filter none")
        show(terminal, "pword" + ENTER, "word", "a PID is a number")
        terminal.type(ESC)
        terminal.wait(lambda text: "word" not in text, what="the prompt gone")
        assert "filter none" in header(terminal.text)

        header_says(terminal, " ", "PAUSED")
        still = terminal.text
        terminal.read(2.5)
        assert terminal.text == still
        header_says(terminal, " ", "LIVE")
        terminal.wait(lambda text: header(text)[-9:] != header(still)[-9:], what="time going on")

        header_says(terminal, "+", "LIVE 2.0s")
        header_says(terminal, "-", "LIVE 1.0s")

        show(terminal, "v", "Processes", "Summary")
        show(terminal, "v", "In flight", "Summary")
        show(terminal, "v", "Errors", "Summary")
        show(terminal, "v", "Top syscalls", "Summary")
        show(terminal, "?", "Help", "Keys here, now", "quit")
        show(terminal, ESC, "Top syscalls", "Slow calls")

        name = selected(terminal.text)
        show(terminal, ENTER, f"Processes in {name}", " dd ", "Errors", f"Slow calls {name}")
        show(terminal, ESC, "Top syscalls")

        # Tab leads away from the syscalls, where the arrows do not change the selection.
        name = selected(terminal.text)
        terminal.type(TAB + DOWN + UP)
        terminal.read(0.5)
        assert selected(terminal.text) == name

        # A click on the second row, as the mouse protocol with SGR coordinates has it.
        row = next(i for i, line in enumerate(terminal.lines) if line.startswith(("│▸", "│▹")))
        other = row + 1 if row == 2 else 2
        terminal.type(f"\x1b[<0;5;{other + 1}M\x1b[<0;5;{other + 1}m")
        terminal.wait(lambda text: selected(text) != name, what="the clicked selection")

        terminal.type("q")
        assert terminal.wait_end() == 0


# Reads a pipe for as long as nothing is written to it, once for each line of its own input.
READER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(15, b"pipe-reader")
to_read, to_write = os.pipe()
os.write(1, b"%d %d\\n" % (os.stat(to_read).st_ino, to_write))
while os.read(to_read, 4321):
    pass
"""


@pytest.fixture
def reader() -> Iterator[tuple[int, Callable[[], None]]]:
    """A process that reads a pipe: the pipe's inode, and what writes a byte to it."""
    command = [sys.executable, "-c", READER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        inode, descriptor = map(int, process.stdout.readline().split())

        def write() -> None:
            Path(f"/proc/{process.pid}/fd/{descriptor}").write_bytes(b"x")

        yield inode, write
        process.kill()


def test_a_call_in_flight_its_story_and_its_end(reader: tuple[int, Callable[[], None]]) -> None:
    inode, write = reader
    command: list[str | Path] = [SYSDASH, "--comm", "pipe-reader", "-i", "0.2"]
    with Terminal(command, columns=132, rows=43) as terminal:
        terminal.wait_for("Summary", "in flight")
        # It waited before sysdash was there: for how long is not known.
        show(terminal, "vv", "In flight", "read", "≥", "pipe-reader", f"pipe:[{inode}]")
        write()
        terminal.wait(
            lambda text: re.search(r"[▸▹]read +[\d.]+m?s", text), what="a call whose start was seen"
        )
        text = show(terminal, ENTER, "In flight read", "read has not returned for", "none yet")
        for pattern in (rf"file +pipe:\[{inode}\]", r"count +4321", r"vmlinux +\w*pipe_read\+0x"):
            assert re.search(pattern, text), pattern
        write()
        text = terminal.wait_for("Slow call read", "read took")
        for pattern in (
            r"process +pipe-reader",
            r"result +1 ",
            rf"file +pipe:\[{inode}\]",
            r"count +4321",
            r"Stack, innermost first",
        ):
            assert re.search(pattern, text), pattern
        assert "none: stacks" not in text
        terminal.type("q")
        assert terminal.wait_end() == 0


def test_a_slow_call_and_its_story(reader: tuple[int, Callable[[], None]]) -> None:
    inode, write = reader
    command: list[str | Path] = [SYSDASH, "--comm", "pipe-reader", "-i", "0.2"]
    with Terminal(command, columns=132, rows=43) as terminal:
        terminal.wait_for("Summary", "in flight")
        write()
        # The call that is begun now is seen from its beginning to its end.
        time.sleep(0.1)
        write()
        line = terminal.wait(
            lambda text: re.search(rf" read .*pipe-reader .* fd=\d+ pipe:\[{inode}\].*", text),
            what="the slow call",
        )
        assert "count=4321" in line
        show(terminal, TAB + DOWN, ": held", "Enter story")
        text = show(terminal, ENTER, "Slow call read", "Stack, innermost first", "Enter syscall")
        assert re.search(r"took 1\d\dms", text)
        show(terminal, ENTER, "Processes in read")
        show(terminal, ESC, "Slow call read")
        show(terminal, ESC, "Top syscalls")
        terminal.type("q")
        assert terminal.wait_end() == 0


OPENER = """
import os, time
with open("/proc/self/comm", "w") as name:
    name.write("opener")
while True:
    try:
        os.stat("/no/such/place")
    except OSError:
        time.sleep(0.02)
"""


@pytest.fixture
def opener() -> Iterator[None]:
    """A process that looks for a file that is not there, fifty times a second."""
    with subprocess.Popen([sys.executable, "-c", OPENER]) as process:
        yield
        process.kill()


@pytest.mark.usefixtures("opener")
def test_from_an_error_to_a_fast_call_that_failed_with_it() -> None:
    calls = "stat,newfstatat,statx"
    command: list[str | Path] = [SYSDASH, "--comm", "opener", "--syscall", calls, "-i", "0.2"]
    with Terminal(command, columns=132, rows=43) as terminal:
        terminal.wait_for("Summary", "stat")
        show(terminal, "vvv", "ENOENT", "opener")
        text = show(terminal, ENTER, "Examples of ", ": ENOENT", "/no/such/place")
        assert re.search(r"\d\d:\d\d:\d\d +[\d.]+[nµ]s opener .* /no/such/place", text)
        show(terminal, TAB + TAB + DOWN, ": ENOENT, held", "Enter story")
        text = show(terminal, ENTER, "Failed call ", "ENOENT: No such file or directory")
        for pattern in (r"path +/no/such/place|file +/no/such/place", r"process +opener", r"libc"):
            assert re.search(pattern, text), pattern
        # They are not slow.
        show(terminal, ESC, "Examples of ")
        terminal.type("v")
        text = terminal.wait_for("Top syscalls")
        assert re.search(r"slow calls +0 ", text)
        terminal.type("q")
        assert terminal.wait_end() == 0


def test_with_errors_alone_no_calls_in_flight_are_told() -> None:
    with Terminal([SYSDASH, "-x", "-i", "0.2"]) as terminal:
        terminal.wait(lambda text: re.search(r"in flight +· ", text), what="no number")
        show(terminal, "vv", "not collected with -x or -e")
        terminal.type("q")
        assert terminal.wait_end() == 0


def read_by_dd(size: int, times: int) -> None:
    """Have a new dd make so many reads of a size; it makes some others when it starts."""
    command = ["dd", "if=/dev/zero", "of=/dev/null", f"bs={size}", f"count={times}"]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True, timeout=PATIENCE_S)


def show_values(terminal: Terminal, keys: str, title: str) -> None:
    """Type keys and wait until values are counted from 0 on."""
    show(terminal, keys, title)
    terminal.wait(
        lambda text: re.search(r"no calls in [\d.]+m?s, since", text), what="counting to begin"
    )


def test_the_values_of_an_argument_are_counted_while_they_are_on_show() -> None:
    command: list[str | Path] = [SYSDASH, "--comm", "dd", "--syscall", "read", "-i", "0.2"]
    with Terminal(command) as terminal:
        terminal.wait_for("Summary", "in flight")
        read_by_dd(4093, 10)
        terminal.wait(lambda text: "read" in top_syscalls(text), what="the reads of dd")
        show(terminal, ENTER, "Processes in read", "a values")
        programs = machine.programs_of(terminal.process.pid)
        show_values(terminal, "a", "Values of read:count")
        assert machine.programs_of(terminal.process.pid) > programs
        # Each of them is there, those of before are not, and the sum goes on.
        read_by_dd(4093, 1234)
        row = r"4093 █+ +{} +\d"
        terminal.wait(lambda text: re.search(row.format("1,234"), text), what="1,234 reads")
        read_by_dd(4093, 4321)
        terminal.wait(lambda text: re.search(row.format("5,555"), text), what="5,555 reads")
        show_values(terminal, "b", "Values of read:count")
        read_by_dd(4093, 777)
        terminal.wait(
            lambda text: re.search(r"2048 \u2013 4095 +█+ +777 ", text), what="a histogram of them"
        )
        # What counted is gone with its view.
        show(terminal, ESC, "Processes in read")
        terminal.wait(
            lambda _: machine.programs_of(terminal.process.pid) == programs,
            what="only the dashboard's own probe",
        )
        # The end comes while it counts, too; and while that begins.
        show_values(terminal, "a", "Values of read:count")
        programs = machine.programs_of(terminal.process.pid)
        show(terminal, "a", "Values of read:ret")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait_end() == 0
        assert_terminal_usable(terminal)
        assert_nothing_left(programs)
        assert "Traceback" not in terminal.text


def fills(terminal: Terminal, columns: int, rows: int) -> bool:
    """Whether header, borders and footer stand where a screen of this size ends."""
    lines = terminal.lines
    edges = lines[1], lines[-2]
    return (
        len(lines) == rows
        and [len(edge) for edge in edges] == [columns, columns]
        and (edges[0][0], edges[1][0]) == ("┌", "└")
        and "q quit" in lines[-1]
    )


def test_resizing() -> None:
    with Terminal([SYSDASH]) as terminal:
        terminal.wait(top_syscalls, what="any syscall")
        for size in ((200, 60), (80, 24), (60, 15), (250, 70)):
            terminal.resize(*size)
            terminal.wait(
                lambda _, size=size: fills(terminal, *size),  # type: ignore[misc]
                what=f"a full screen of {size}",
            )
        terminal.resize(59, 14)
        terminal.wait_for("too small", "60x15")
        terminal.resize(80, 24)
        terminal.wait_for("Top syscalls", "Summary", "Slow calls")
        terminal.type("q")
        assert terminal.wait_end() == 0


@pytest.mark.parametrize(
    ("term", "no_color"), [("vt100", None), ("xterm-256color", "1")], ids=["vt100", "NO_COLOR"]
)
def test_without_colours(term: str, no_color: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    with Terminal([SYSDASH]) as terminal:
        terminal.wait(top_syscalls, what="any syscall")
        terminal.type("q")
        assert terminal.wait_end() == 0
        codes = {
            int(code or 0)
            for codes in re.findall(rb"\x1b\[([\d;]*)m", terminal.raw)
            for code in codes.split(b";")
        }
    # 39 and 49 are the terminal's own colours.
    assert not codes & {*range(30, 39), *range(40, 49), *range(90, 98), *range(100, 108)}


# --- The end ---


def start_and_collect(terminal: Terminal) -> set[int]:
    """Wait for data; return the IDs of the BPF programs that the dashboard has in the kernel."""
    terminal.wait(top_syscalls, what="any syscall")
    programs = machine.programs_of(terminal.process.pid)
    assert programs
    assert programs <= machine.loaded_programs()
    return programs


def assert_terminal_usable(terminal: Terminal) -> None:
    assert terminal.settings_restored()
    # The cursor shown, the alternate screen left, no mouse reports, no bracketed paste...
    assert terminal.screen.mode == terminal.blank_modes
    attributes = terminal.screen.cursor.attrs
    assert (attributes.fg, attributes.bg, attributes.bold) == ("default", "default", False)
    assert not attributes.reverse


def assert_nothing_left(programs: set[int]) -> None:
    # The kernel frees a program a moment after its last user is gone.
    end = time.monotonic() + PATIENCE_S
    while machine.loaded_programs() & programs:
        assert time.monotonic() < end, "BPF programs are left"
        time.sleep(0.05)
    assert not [name for name in machine.children().values() if name == "sysdash"]


ENDS: dict[str, Callable[[Terminal], None]] = {
    "q": lambda terminal: terminal.type("q"),
    "F10": lambda terminal: terminal.type("\x1b[21~"),
    "Ctrl-C": lambda terminal: terminal.type(CTRL_C),
    "SIGINT": lambda terminal: terminal.process.send_signal(signal.SIGINT),
    "SIGTERM": lambda terminal: terminal.process.send_signal(signal.SIGTERM),
    "SIGHUP": lambda terminal: terminal.process.send_signal(signal.SIGHUP),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_every_end_leaves_all_as_it_was(end: Callable[[Terminal], None]) -> None:
    with Terminal([SYSDASH]) as terminal:
        programs = start_and_collect(terminal)
        assert not terminal.settings_restored()
        assert terminal.screen.mode != terminal.blank_modes
        end(terminal)
        assert terminal.wait_end() == 0
        assert_terminal_usable(terminal)
        assert_nothing_left(programs)
        assert "Traceback" not in terminal.text


def test_a_signal_while_it_starts_leaves_all_as_it_was() -> None:
    with Terminal([SYSDASH]) as terminal:
        # The alternate screen is on, the probe is still being compiled.
        while b"\x1b[?1049h" not in terminal.raw:
            terminal.read(0.01)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait_end() == 0
        assert_terminal_usable(terminal)
        assert "Traceback" not in terminal.text


def test_a_closed_terminal_ends_it() -> None:
    with Terminal([SYSDASH]) as terminal:
        programs = start_and_collect(terminal)
        terminal.hang_up()
        terminal.wait_end()
        assert_nothing_left(programs)


def test_an_exception_while_collecting_leaves_all_as_it_was_and_says_why(tmp_path: Path) -> None:
    # The real program, but its third read of the kernel's rows fails.
    program = tmp_path / "failing.py"
    program.write_text(
        textwrap.dedent(
            """
            import sys
            from sysdash import cli
            from sysdash.probes.source import BpfSource

            read, reads = BpfSource.read, []

            def failing_read(self):
                reads.append(read(self))
                if len(reads) == 3:
                    raise RuntimeError("broken on purpose")
                return reads[-1]

            BpfSource.read = failing_read
            sys.exit(cli.main([]))
            """
        )
    )
    with Terminal([sys.executable, program]) as terminal:
        programs = start_and_collect(terminal)
        assert terminal.wait_end() == 1
        assert_terminal_usable(terminal)
        assert_nothing_left(programs)
        after = terminal.raw.rpartition(b"\x1b[?1049l")[2].decode()
        assert "broken on purpose" in after
        assert "Traceback" not in after


# Another program: the real one, but something happens in its third read of the kernel's rows.
AT_THE_THIRD_READ = """
import os, resource, signal, sys, threading
from sysdash import cli
from sysdash.probes.source import BpfSource

read, reads = BpfSource.read, []

def die():
    raise RuntimeError("broken on purpose")

def read_and_more(self):
    reads.append(read(self))
    if len(reads) == 3:
        {}
    return reads[-1]

BpfSource.read = read_and_more
sys.exit(cli.main(["-i", "0.2"]))
"""

WRITTEN = "written by a library\\n" * 40


@pytest.mark.parametrize(
    ("what", "code", "told"),
    [
        ("pass", 0, ""),
        ("die()", 1, "sysdash: internal error: RuntimeError: broken on purpose"),
        ("threading.Thread(target=die).start()", 0, "RuntimeError: broken on purpose"),
    ],
    ids=["all is well", "an exception", "an exception in a thread"],
)
def test_what_is_written_to_standard_error_waits_until_the_screen_is_left(
    what: str, code: int, told: str, tmp_path: Path
) -> None:
    program = tmp_path / "writing.py"
    program.write_text(AT_THE_THIRD_READ.format(f'os.write(2, b"{WRITTEN}"); {what}'))
    with Terminal([sys.executable, program]) as terminal:
        if not code:
            terminal.wait(lambda text: "▆" in text or "▇" in text, what="some intervals")
            terminal.read(1.0)
            assert fills(terminal, 80, 24)
            terminal.type("q")
        assert terminal.wait_end() == code
        assert_terminal_usable(terminal)
        screen, _, after = terminal.raw.decode().rpartition("\x1b[?1049l")
        assert "written by a library" not in screen
        assert after.count("written by a library\r\n") == (40 if told else 0)
        assert told in after


def test_a_crash_is_told_at_once(tmp_path: Path) -> None:
    program = tmp_path / "crashing.py"
    crash = "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.kill(os.getpid(), signal.SIGSEGV)"
    program.write_text(AT_THE_THIRD_READ.format(crash))
    with Terminal([sys.executable, "-X", "faulthandler", program]) as terminal:
        assert terminal.wait_end() == -signal.SIGSEGV
        assert b"Fatal Python error: Segmentation fault" in terminal.raw


def test_a_probe_that_fails_leaves_the_screen_as_it_was_and_says_why() -> None:
    with Terminal([SYSDASH, "--include-self", "--comm", "sysdash"]) as terminal:
        terminal.wait(top_syscalls, what="any syscall")
        show(terminal, ENTER, "Processes in ", "a values")
        used = len(list(Path(f"/proc/{terminal.process.pid}/fd").iterdir()))
        limits = resource.prlimit(terminal.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(terminal.process.pid, resource.RLIMIT_NOFILE, (used + 4, limits[1]))
        show(terminal, "a", "cannot be counted: ", "Too many", "open files")
        terminal.read(0.5)
        assert fills(terminal, 80, 24)
        assert terminal.lines[1].startswith("┌ Values of ")
        resource.prlimit(terminal.process.pid, resource.RLIMIT_NOFILE, limits)
        terminal.type("c")
        terminal.wait(lambda text: re.search(r" since \d\d:", text), what="values")
        terminal.type("q")
        assert terminal.wait_end() == 0
        assert_terminal_usable(terminal)
        assert b"open files" not in terminal.raw.rpartition(b"\x1b[?1049l")[2]


# --- Hostile process names ---

HOSTILE = {
    "a window title": b"\x1b]0;pwn\x07",
    "colours and a jump": b"\x1b[41m\x1b[1;1HX",
    "a C1 control sequence": "\x9b2Jc1".encode(),
    "a line break": b"two\r\nlines\ttab",
    "no room for a NUL": b"fifteen-bytes-x",
    "wide characters": "宽字符名字".encode(),
    "invalid UTF-8": b"\xff\xfe\xc3(bad)\xe2\x82",
    "a bidi override": "ab\u202egnp.exe".encode(),
    "combining marks": "e\u0301\u0301\u0301\u0301z".encode(),
    "a zero-width joiner": "a\u200d\ufeffb🇩🇪".encode(),
    "spaces, commas, quotes": b"a b,\"c'd\\;`$(x)",
    "markup": b"('bold','x')%s{}",
}

# Each child takes a name and makes 200 calls, then a slow one, over and over: seen, but no load.
MAKE_HOSTILE = """
import ctypes, os, sys, time
PR_SET_NAME, PR_SET_PDEATHSIG = 15, 1
libc = ctypes.CDLL(None)
for name in sys.argv[1:]:
    if os.fork() == 0:
        libc.prctl(PR_SET_PDEATHSIG, 9)
        libc.prctl(PR_SET_NAME, bytes.fromhex(name))
        os.write(1, b".")
        while True:
            for _ in range(200):
                os.getppid()
            time.sleep(0.02)
time.sleep(600)
"""


@pytest.fixture
def hostile_pids() -> Iterator[dict[str, int]]:
    """Processes with the names of HOSTILE, by what is hostile about them."""
    names = [name.hex() for name in HOSTILE.values()]
    command = [sys.executable, "-c", MAKE_HOSTILE, *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(len(HOSTILE)) == b"." * len(HOSTILE)  # all have their names
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        yield dict(zip(HOSTILE, map(int, children), strict=True))
        parent.kill()
    # Adopted by this process when their parent died, and killed by that.
    for pid in children:
        os.waitpid(int(pid), 0)


# What urwid's screen sends: cursor, colours, modes, erasing, character sets.
OWN_SEQUENCES = re.compile(r"\x1b(\[\??[\d;]*\$?[A-DGHJKdhlmpr]|[()][B0]|[=>78])")


def test_hostile_names_neither_break_the_screen_nor_reach_the_terminal(
    hostile_pids: dict[str, int],
) -> None:
    for what, pid in hostile_pids.items():
        assert Path(f"/proc/{pid}/comm").read_bytes() == HOSTILE[what][:15] + b"\n"

    with Terminal([SYSDASH], columns=200, rows=60) as terminal:
        terminal.wait(top_syscalls, what="any syscall")
        show(terminal, "v", "Processes")
        terminal.wait(
            lambda text: set(hostile_pids.values()) <= {pid for pid, _ in processes(text)},
            what="all the hostile processes",
        )
        shown = dict(processes(terminal.text))
        for what, pid in hostile_pids.items():
            name = safe(HOSTILE[what][:15])
            # The emulator's second cell of a wide character reads as nothing, the name as it is.
            assert name.strip() in shown[pid], what

        # The right borders stand where they stand on a screen without such names.
        for line in terminal.screen.buffer.values():
            assert len(line) <= 200
        for y in range(2, 52):  # down to the timeline
            assert terminal.screen.buffer[y][199].data == "│", terminal.lines[y]
            assert terminal.screen.buffer[y][0].data == "│", terminal.lines[y]

        # The same names in the other places that show them.
        target = hostile_pids["a window title"]
        header_says(terminal, f"p{target}{ENTER}", f"pid {target}")
        terminal.type("vv")
        show(
            terminal,
            "v",
            "Slow calls",
            "getppid",
            "clock_nanosleep",
            safe(HOSTILE["a window title"]),
        )
        terminal.type(HOME)
        terminal.wait(lambda text: selected(text) == "getppid", what="getppid selected")
        show(terminal, ENTER, "Processes in", safe(HOSTILE["a window title"]))
        terminal.type("q")
        assert terminal.wait_end() == 0

    written = bytes(terminal.raw).decode()  # valid UTF-8 as a whole
    rest = OWN_SEQUENCES.sub("", written)
    controls = {char for char in rest if char < " " or "\x7f" <= char <= "\x9f"}
    assert controls <= {"\r", "\n", "\x0e", "\x0f"}
    assert not set(rest) & set("\u202e\u200d\ufeff\u0301🇩🇪")
