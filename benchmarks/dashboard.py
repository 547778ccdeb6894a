"""How soon the dashboard shows something, and what it costs while it runs.

- from calling `sysdash` to the first painted frame and to the first data, in a terminal of its own
- its CPU and memory at one refresh a second with 10,000 live (process, syscall) rows, beside the
  libbpf-tools and bcc tools that keep rows by process
- the time of a frame at 200x60, from the sample to what is written to the terminal
- what a full history takes with 1,000 active rows a second: memory, the time of a frame, and the
  time until a window of all of it is shown
"""

from __future__ import annotations

import fcntl
import gc
import os
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import harness
import numpy as np
import pyte
from harness import Bound, Spread, Unavailable
from urwid.display.raw import Screen as RawScreen

from sysdash.app import App
from sysdash.buckets import EDGES_NS
from sysdash.history import History
from sysdash.keys import Command
from sysdash.model import derive
from sysdash.records import EVENT, ROW, Sample
from sysdash.theme import palette

DEFAULTS = Path(__file__).parent.parent / "config.toml"
COLUMNS, LINES = 200, 60
SYSCALLS_EACH = 10
PERIOD_MS = 250
OURS = "sysdash, its defaults"
FRAME_SIGN = re.compile(r"Top syscalls")
DATA_SIGN = re.compile(r"syscalls/s +\d")
ENDED_S = 5.0

FIRST_FRAME = Bound(1.5, 0.7)
CPU_PERCENT = Bound(5.0, 2.0)
FRAME_MS = Bound(30.0, 10.0)

HISTORY_PROCESSES = 100
HISTORY_MB = 64


# --- A terminal ---


class Terminal:
    """A program in a terminal of its own, of which we are the screen."""

    def __init__(self, argv: Sequence[str]) -> None:
        """Start the program."""
        self._master, slave = os.openpty()
        size = struct.pack("HHHH", LINES, COLUMNS, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        # Compiled once, as after an installation.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            argv,
            env=environment,
            # The terminal hangs up, which ends the program, if this process dies.
            preexec_fn=lambda: os.login_tty(slave),  # noqa: PLW1509  (no threads run here)
        )
        os.close(slave)

    def seconds_until(self, sign: re.Pattern[str], timeout_s: float = 20.0) -> float:
        """When a text was seen first, in seconds since the start.

        Raises:
            Unavailable: it was not.
        """
        while (elapsed := time.perf_counter() - self.began) < timeout_s:
            if not self._read(0.05):
                continue
            elapsed = time.perf_counter() - self.began
            if any(sign.search(line) for line in self._screen.display):
                return elapsed
        shown = " ".join(line.strip() for line in self._screen.display if line.strip())
        raise Unavailable(f"the dashboard did not show {sign.pattern!r}: {shown[:200]}")

    def watch(self, seconds: float) -> None:
        """Take what is written, for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._read(left)

    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(self._screen.display)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self._master, 1 << 20)
        except OSError:  # EIO: it has ended
            data = b""
        if not data:
            raise Unavailable(f"the dashboard ended: {self.text().strip()[:500]}")
        self._stream.feed(data)
        return True

    def close(self) -> None:
        """End the program as a user does, or else by force."""
        try:
            os.write(self._master, b"q")
            end = time.monotonic() + ENDED_S
            while self.process.poll() is None and time.monotonic() < end:
                try:
                    self._read(0.05)
                except Unavailable:
                    break
            self.process.wait(1)
        except (OSError, subprocess.TimeoutExpired):
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        finally:
            os.close(self._master)


@contextmanager
def dashboard(config: Path = DEFAULTS) -> Iterator[Terminal]:
    """The dashboard, configured by a file."""
    terminal = Terminal([*command(), "--config", str(config)])
    try:
        yield terminal
    finally:
        terminal.close()


def command() -> list[str]:
    """How sysdash is called."""
    script = Path(sys.executable).parent / "sysdash"
    return [str(script)] if script.exists() else [sys.executable, "-m", "sysdash"]


# --- Start ---


def measure_start(rounds: int) -> dict[str, list[float]]:
    """Seconds until things happen, and what Python alone takes of them."""
    found: dict[str, list[float]] = {}
    floors = {
        "floor: python -c pass": "pass",
        "floor: python, import urwid and numpy": "import urwid, numpy",
    }
    with dashboard() as terminal:  # fills the caches
        terminal.seconds_until(FRAME_SIGN)
    for number in range(1, rounds + 1):
        harness.progress(f"start {number} of {rounds}")
        with dashboard() as terminal:
            first = terminal.seconds_until(FRAME_SIGN)
            found.setdefault("first frame", []).append(first)
            found.setdefault("first data", []).append(terminal.seconds_until(DATA_SIGN))
        for name, code in floors.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            found.setdefault(name, []).append(time.perf_counter() - began)
    return found


# --- Running ---


@dataclass
class Usage:
    """What a program takes while it runs.

    Attributes:
        cpu_percent: of one CPU, one value a window.
        resident_mb: resident memory at the end, in MB.
        seen: what its screen says about what it sees.
    """

    cpu_percent: list[float]
    resident_mb: float
    seen: str = ""


def measure_running(
    processes: int, rounds: int, seconds: float
) -> tuple[dict[str, Usage], dict[str, str]]:
    """Usage by program, over windows of ``seconds``; and programs that do not run, with why."""
    peers = {
        "libbpf-tools syscount -P -L -i 1": ("syscount", "-P", "-L", "-i", "1"),
        "bcc syscount -P -L -i 1": ("syscount-bpfcc", "-P", "-L", "-i", "1"),
    }
    found: dict[str, Usage] = {}
    absent: dict[str, str] = {}
    lasts_s = 60 + (2 + len(peers)) * (rounds * seconds + 30)
    with tempfile.TemporaryDirectory() as folder:
        program = str(harness.compiled("rows.c", Path(folder)))
        load = [program, str(processes), str(PERIOD_MS), str(lasts_s)]
        with harness.started(load):
            time.sleep(2)
            no_slow_calls = Path(folder) / "config.toml"
            no_slow_calls.write_text('[thresholds]\ndefault = "off"\n')
            for name, config in {OURS: DEFAULTS, "sysdash, no thresholds": no_slow_calls}.items():
                with dashboard(config) as terminal:
                    terminal.seconds_until(DATA_SIGN)
                    terminal.watch(3)
                    found[name] = _usage(
                        name, terminal.process.pid, rounds, seconds, terminal.watch
                    )
                    found[name].seen = _seen(terminal.text())
            for name, argv in peers.items():
                try:
                    with harness.running_peer(*argv) as process:
                        found[name] = _usage(name, process.pid, rounds, seconds, time.sleep)
                except Unavailable as reason:
                    absent[name] = str(reason)
    return found, absent


def _usage(
    name: str, pid: int, rounds: int, seconds: float, wait: Callable[[float], None]
) -> Usage:
    percents = []
    for number in range(1, rounds + 1):
        harness.progress(f"CPU of {name}, {number} of {rounds}")
        used, began = harness.cpu_s(pid), time.perf_counter()
        wait(seconds)
        percents.append(100 * (harness.cpu_s(pid) - used) / (time.perf_counter() - began))
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage(percents, pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def _seen(screen: str) -> str:
    """What the summary says of processes and losses."""
    found = re.findall(r"\b(processes|lost) +([\d,./KM]+)", screen)
    return ", ".join(f"{name} {value}" for name, value in found)


# --- A frame ---


def synthetic(processes: int, seed: int) -> Sample:
    """One second of ``processes`` processes with ten syscalls each, on one CPU."""
    random = np.random.default_rng(seed)
    rows = np.zeros(processes * SYSCALLS_EACH, dtype=ROW)
    pids = np.arange(processes) + 1000
    rows["pid"] = np.repeat(pids, SYSCALLS_EACH)
    rows["nr"] = np.tile(np.arange(SYSCALLS_EACH) * 7, processes)
    rows["comm"] = np.repeat([f"worker-{pid % 50}".encode() for pid in pids], SYSCALLS_EACH)
    buckets = random.integers(20, 80, (len(rows), 8))
    for column in buckets.T:
        rows["hist"][np.arange(len(rows)), column] += random.integers(1, 100, len(rows)).astype(
            "u4"
        )
    rows["count"] = rows["hist"].sum(axis=1)
    rows["min_ns"] = EDGES_NS[buckets.min(axis=1)]
    rows["max_ns"] = EDGES_NS[buckets.max(axis=1) + 1] - 1
    rows["total_ns"] = rows["count"] * rows["min_ns"]
    rows["squares_low"] = rows["count"] * rows["min_ns"].astype("u8") ** 2
    events = np.zeros(100, dtype=EVENT)
    events["pid"] = events["tid"] = random.choice(pids, len(events))
    events["comm"] = b"worker-1"
    events["duration_ns"] = random.integers(10**7, 10**9, len(events))
    second = 1_000_000_000
    return Sample(
        time_ns=(1_700_000_000 + seed) * second,
        mono_ns=(1000 + seed) * second,
        interval_ns=second,
        rows=rows,
        events=events,
    )


@contextmanager
def screen_for_nobody() -> Iterator[RawScreen]:
    """A terminal's screen of which nobody sees what is written to it."""
    with Path(os.devnull).open("w") as nowhere:
        screen = RawScreen(output=nowhere)
        screen.register_palette(palette("default"))
        screen.start()
        try:
            yield screen
        finally:
            screen.stop()


def draw(app: App, screen: RawScreen) -> Iterator[float]:
    """Draw what there is; the times at which each part of that was done."""
    canvas = app.root.render((COLUMNS, LINES), focus=True)
    yield time.perf_counter()
    screen.draw_screen((COLUMNS, LINES), canvas)
    yield time.perf_counter()


def frame(app: App, history: History, screen: RawScreen, sample: Sample) -> dict[str, float]:
    """Milliseconds of each part of a frame of a new sample, and of all."""
    laps = [time.perf_counter()]
    snapshot = derive(sample)
    laps.append(time.perf_counter())
    history.append(snapshot)
    laps.append(time.perf_counter())
    app.refresh()
    laps.append(time.perf_counter())
    laps += draw(app, screen)
    parts = dict(zip(PARTS, np.diff(laps).tolist(), strict=True))
    return {name: 1000 * s for name, s in {"frame": laps[-1] - laps[0], **parts}.items()}


def measure_frame(processes: int, frames: int) -> dict[str, list[float]]:
    """Milliseconds of each part of a frame and of all, each of a new sample of one second."""
    history = History()
    app = App(history)
    found: dict[str, list[float]] = {}
    samples = [synthetic(processes, seed) for seed in range(1, 6)]
    with screen_for_nobody() as screen:
        for number in range(frames + 1):
            harness.progress(f"frame {number} of {frames}")
            times = frame(app, history, screen, samples[number % len(samples)])
            if number == 0:
                continue  # imports and caches
            for name, milliseconds in times.items():
                found.setdefault(name, []).append(milliseconds)
    return found


PARTS = ("derive", "append to the history", "update the panels", "render", "draw")


# --- A full history ---


@dataclass
class Remembered:
    """What a full history takes.

    Attributes:
        seconds: how far back it goes.
        intervals: how many it consists of.
        counted_mb: memory by its own account, in MB.
        grown_mb: how much more resident memory there is than with one interval.
        times_ms: times of whole frames, of appending, and for a window of all of it.
    """

    seconds: float = 0.0
    intervals: int = 0
    counted_mb: float = 0.0
    grown_mb: float = 0.0
    times_ms: dict[str, list[float]] = field(default_factory=dict)


def measure_history(minutes: float, rounds: int) -> Remembered:
    """Fill a history with samples of 1,000 rows a second, as fast as it goes."""
    history = History(max_bytes=HISTORY_MB * 1_000_000, max_s=60 * minutes)
    app = App(history)
    pending: list[Callable[[], None]] = []
    app.later = lambda _, action: pending.append(action)
    seeds = iter(range(1, 10**9))

    def sample() -> Sample:
        return synthetic(HISTORY_PROCESSES, next(seeds))

    found = Remembered()
    with screen_for_nobody() as screen:
        frame(app, history, screen, sample())  # imports and caches
        before_mb = _resident_mb()
        count = max(round(60 * minutes), 1)
        for number in range(1, count):
            if number % 60 == 0:
                harness.progress(f"interval {number} of {count}")
            history.append(derive(sample()))
        found.grown_mb = _resident_mb() - before_mb
        for number in range(1, 5 * rounds + 1):
            harness.progress(f"frame {number} of {5 * rounds} with a full history")
            times = frame(app, history, screen, sample())
            for name in ("frame", "append to the history"):
                found.times_ms.setdefault(name, []).append(times[name])
        for number in range(1, rounds + 1):
            harness.progress(f"window {number} of {rounds} of a full history")
            for name, seconds in _show_all(app, screen, pending).items():
                found.times_ms.setdefault(name, []).append(1000 * seconds)
    past = history.past
    assert past is not None
    found.seconds = past.timeline.span.length_ns / 1e9
    found.intervals = len(past.timeline)
    found.counted_mb = history.size / 1e6
    return found


def _show_all(app: App, screen: RawScreen, pending: list[Callable[[], None]]) -> dict[str, float]:
    """Seconds until a window of the whole history is shown, and of them the longest without keys.

    Drawing anew is put into ``pending`` for as long as there is more to add up.
    """
    began = time.perf_counter()
    app.do(Command.PAUSE)
    scene = app.root.scene
    assert scene is not None
    assert scene.timeline is not None
    app.state.marked = scene.timeline.span
    app.do(Command.ZOOM)
    app.redraw()
    *_, lap = began, *draw(app, screen)
    longest = lap - began
    while pending:
        pending.pop()()
        *_, now = draw(app, screen)
        longest, lap = max(longest, now - lap), now
    app.do(Command.TO_THE_PRESENT)
    app.redraw()
    return {"a window of all of it": lap - began, "the longest without keys": longest}


def _resident_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


# --- Output ---


def report(
    start: Mapping[str, list[float]],
    running: Mapping[str, Usage],
    absent: Mapping[str, str],
    frames: Mapping[str, list[float]],
    remembered: Remembered,
    processes: int,
) -> str:
    """The four tables."""
    rows = processes * SYSCALLS_EACH
    past, seconds_rows = remembered, HISTORY_PROCESSES * SYSCALLS_EACH
    lines = [
        harness.heading("The dashboard"),
        f"called as: {' '.join(command())}\n",
        harness.table(
            (f"start, {COLUMNS}x{LINES}", "seconds", "", "must", "aim", ""),
            [_row(n, v, 3, FIRST_FRAME if n == "first frame" else None) for n, v in start.items()],
        ),
        "",
        harness.table(
            (f"1 s refresh, {rows:,} live rows", "% CPU", "", "must", "aim", "", "MB"),
            [
                [
                    *_row(n, u.cpu_percent, 2, CPU_PERCENT if n == OURS else None),
                    f"{u.resident_mb:.0f}",
                ]
                for n, u in running.items()
            ],
        ),
        *(f"{name} shows: {usage.seen}" for name, usage in running.items() if usage.seen),
        *(f"{name}: {reason}" for name, reason in absent.items()),
        "",
        harness.table(
            (f"frame at {COLUMNS}x{LINES}, {rows:,} rows", "ms", "", "must", "aim", ""),
            [_row(n, v, 1, FRAME_MS if n == "frame" else None) for n, v in frames.items()],
        ),
        "",
        harness.table(
            (f"full history, {seconds_rows:,} rows a second", "ms", "", "must", "aim", ""),
            [_row(n, v, 1, FRAME_MS if n == "frame" else None) for n, v in past.times_ms.items()],
        ),
        f"the last {past.seconds / 60:.1f} minutes in {past.intervals} intervals",
        f"{past.counted_mb:.1f} MB of {HISTORY_MB} by its own account",
        f"{past.grown_mb:.1f} MB more resident memory than with one interval",
    ]
    return "\n".join(lines)


def _row(name: str, values: Sequence[float], digits: int, bound: Bound | None) -> list[str]:
    spread = Spread.of(values)
    quartiles = f"[{spread.low:.{digits}f} {spread.high:.{digits}f}]"
    row = [name, f"{spread.median:.{digits}f}", quartiles, "", "", ""]
    if bound:
        row[3:] = [f"< {bound.must:g}", f"< {bound.aim:g}", bound.verdict(spread)]
    return row


def run() -> None:
    """Read the words, measure, print."""
    parser = harness.arguments(__doc__, rounds=7)
    parser.add_argument(
        "--processes", type=harness.positive, default=1000, help="with ten rows each: %(default)s"
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="to measure CPU, each round: %(default)s"
    )
    parser.add_argument(
        "--minutes", type=float, default=15.0, help="of the full history: %(default)s"
    )
    args = parser.parse_args()
    # First, while nothing else has taken memory that it could use.
    remembered = measure_history(args.minutes, args.rounds)
    start = measure_start(args.rounds)
    running, absent = measure_running(args.processes, args.rounds, args.seconds)
    frames = measure_frame(args.processes, 5 * args.rounds)
    harness.progress("")
    if args.json:
        usage = {name: asdict(usage) for name, usage in running.items()}
        harness.print_json(
            "dashboard",
            start_s=start,
            running=usage,
            absent=absent,
            frame_ms=frames,
            history=asdict(remembered),
        )
    else:
        print(report(start, running, absent, frames, remembered, args.processes))


if __name__ == "__main__":
    sys.exit(harness.main(run))
