"""What ``sysdash count`` prints: bcc's lines, tables by other keys, line protocol."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from synthetic import SECOND_NS, START_NS, Calls, rows, snapshot

from sysdash import model, syscalls
from sysdash.aggregates import Accumulator, Aggregate
from sysdash.commands import count as command
from sysdash.report import count, line_protocol
from sysdash.report.count import Columns
from sysdash.report.losses import inexact_line, lost_line
from sysdash.units import safe, width

BY_PROCESS = ("pid", "comm")


def aggregate(
    calls: Sequence[Calls], by: Sequence[str] = ("syscall",), *, second: int = 1, **more: Any
) -> Aggregate:
    timed = more.pop("timed", True)
    accumulator = Accumulator(by, timed=timed)
    accumulator.add(snapshot(calls, second=second, **more))
    found = accumulator.take()
    assert found is not None
    return found


def table(
    calls: Sequence[Calls],
    by: Sequence[str] = ("syscall",),
    *,
    top: int | None = 10,
    columns: Columns = Columns(),  # noqa: B008  (frozen)
) -> str:
    lines = count.table(aggregate(calls, by), clock="12:31:07", top=top, columns=columns)
    return "\n".join(lines)


def grouped(calls: Sequence[Calls], by: Sequence[str], **more: Any) -> list[str]:
    return count.grouped(
        aggregate(calls, by), **{"clock": None, "top": None, "columns": Columns()} | more
    )


# --- bcc's layout ---


def test_the_lines_of_bcc() -> None:
    calls = [Calls("read", 200_000), Calls("write", 12_345), Calls("openat", 1)]
    assert (
        table(calls)
        == """\
[12:31:07]
SYSCALL                   COUNT
read                     200000
write                     12345
openat                        1
"""
    )


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            Columns(latency=True),
            """\
SYSCALL                   COUNT        TIME (us)
futex                         3      3704703.702
read                     200000        80000.000
""",
        ),
        (
            Columns(latency=True, milliseconds=True),
            """\
SYSCALL                   COUNT        TIME (ms)
futex                         3      3704.703702
read                     200000        80.000000
""",
        ),
        (
            Columns(rate=True),
            """\
SYSCALL                   COUNT       RATE
read                     200000   200000.0
futex                         3        3.0
""",
        ),
        (
            Columns(latency=True, rate=True),
            """\
SYSCALL                   COUNT       RATE        TIME (us)
futex                         3        3.0      3704703.702
read                     200000   200000.0        80000.000
""",
        ),
    ],
)
def test_columns(columns: Columns, expected: str) -> None:
    calls = [Calls("read", 200_000, 400), Calls("futex", 3, 1_234_901_234)]
    assert table(calls, columns=columns) == f"[12:31:07]\n{expected}"


def test_processes() -> None:
    calls = [
        Calls("read", 20, pid=1842, comm=b"postgres"),
        Calls("write", 1, pid=1842, comm=b"postgres"),
        Calls("read", 3, pid=4_194_304, comm="読み込み".encode()),
        Calls("read", 2, pid=7, comm=b"\x1b[2J"),
    ]
    assert (
        table(calls, BY_PROCESS)
        == """\
[12:31:07]
PID    COMM               COUNT
1842   postgres              21
4194304 読み込み               3
7      ␛[2J                   2
"""
    )


def test_names_of_calls_are_whole() -> None:
    calls = [
        Calls("", 5, number=999),
        Calls("", 4, number=3, abi=syscalls.IA32),
        Calls("", 3, number=414, abi=syscalls.IA32),
    ]
    assert (
        table(calls)
        == """\
[12:31:07]
SYSCALL                   COUNT
[unknown: 999]                5
read (ia32)                   4
ppoll_time64 (ia32)           3
"""
    )
    long = Calls("", 1, number=1 << 30, abi=syscalls.IA32)
    assert table([long]).splitlines()[2] == "[unknown: 1073741824] (ia32)        1"


def test_only_the_first_are_printed() -> None:
    calls = [Calls("", i + 1, number=i) for i in range(30)]
    lines = table(calls).splitlines()
    assert len(lines) == 2 + 10
    assert lines[2].split()[-1] == "30"
    assert table(calls, top=None).count("\n") == 2 + 30


def test_an_interval_without_calls_has_its_title() -> None:
    assert table([]) == "[12:31:07]\nSYSCALL                   COUNT\n"


@given(st.lists(st.binary(max_size=15), min_size=1, max_size=5), st.integers(1, 2**32 - 1))
def test_names_of_processes_do_not_move_the_columns(names: list[bytes], calls: int) -> None:
    every = [Calls("read", calls, pid=i + 1, comm=name) for i, name in enumerate(names)]
    for line in table(every, BY_PROCESS).split("\n")[2:-1]:
        assert line.isprintable()
        assert width(line) == max(31, 23 + len(str(calls)))
        assert line.endswith(f" {calls}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, "Tracing syscalls, printing top 10... Ctrl+C to quit."),
        ({"failures": True}, "Tracing failed syscalls, printing top 10... Ctrl+C to quit."),
        ({"top": 3}, "Tracing syscalls, printing top 3... Ctrl+C to quit."),
        ({"top": None}, "Tracing syscalls... Ctrl+C to quit."),
        ({"names": ["stat"]}, "Tracing syscall 'stat'... Ctrl+C to quit."),
        (
            {"names": ["stat"], "failures": True},
            "Tracing failed syscall 'stat'... Ctrl+C to quit.",
        ),
        ({"names": ["read", "write"]}, "Tracing syscall 'read,write'... Ctrl+C to quit."),
    ],
)
def test_the_first_line(words: dict[str, Any], expected: str) -> None:
    every: dict[str, Any] = {"failures": False, "names": [], "top": 10}
    assert count.beginning(**every | words) == expected


def test_the_list_of_names() -> None:
    assert count.names(["accept", "bind", "close", "dup", "execve"]) == [
        f"{'accept':25}{'bind':25}{'close':25}{'dup':22}",
        f"{'execve':22}",
    ]


# --- Other keys ---


def test_the_table_of_syscallbypid() -> None:
    calls = [
        Calls("read", 45, pid=1842),
        Calls("write", 1_234_567, pid=1842),
        Calls("futex", 46, pid=7, comm=b"java"),
    ]
    assert grouped(calls, ("pid", "comm", "syscall")) == [
        "PID      CMD              SYSCALL                     COUNT",
        "1842     postgres         write                     1234567",
        "7        java             futex                          46",
        "1842     postgres         read                           45",
        "",
    ]


def test_columns_are_in_the_order_of_the_keys_and_there_are_no_ends() -> None:
    calls = [Calls("read", i + 1, pid=i + 1) for i in range(3000)]
    lines = grouped(calls, ("errno", "pid"), clock="12:31:07")
    assert lines[:3] == [
        "[12:31:07]",
        "ERRNO            PID             COUNT",
        "-                3000             3000",
    ]
    assert len(lines) == 2 + 3000 + 1
    assert len(grouped(calls, ("errno", "pid"), top=7)) == 1 + 7 + 1


def test_other_columns_of_a_grouped_table() -> None:
    calls = [Calls("read", 4, 500, errno=4), Calls("read", 2, 2_000_000)]
    assert grouped(calls, ("errno",), columns=Columns(latency=True, rate=True)) == [
        "ERRNO                   COUNT       RATE        TIME (us)",
        "-                           2        2.0         4000.000",
        "EINTR                       4        4.0            2.000",
        "",
    ]


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    kernel = rows(
        [
            Calls("", 3, number=1 << 30, abi=syscalls.IA32, comm="記録する人です".encode()[:15]),
            Calls("read", 2),
        ]
    )
    kernel["cgroup"] = [7, 8]
    by = ("cgroup", "syscall", "comm")
    calls = model.aggregate(model.table_of(kernel, 1.0), by)
    path = "/kubepods.slice/kubepods-burstable.slice/cri-containerd-7d.scope"
    lines = count.grouped(
        Aggregate(START_NS, 1.0, calls, cgroups={7: path}),
        clock=None,
        top=None,
        columns=Columns(),
    )
    assert [width(line) for line in lines[:3]] == [64 + 1 + 28 + 1 + 16 + 13] * 3
    assert lines[1].split() == [path, "[unknown:", "1073741824]", "(ia32)", "記録する人", "3"]
    assert lines[2].split() == ["[cgroup", "8]", "read", "postgres", "2"]


# --- Line protocol ---


class Malformed(Exception):
    """A line that a server refuses, or that two servers read differently."""


def _split(text: str, delimiters: str) -> list[str]:
    """Split at the delimiters that are not escaped, as InfluxDB 1 finds them.

    There, what follows a backslash is escaped (models/points.go); elsewhere two backslashes are
    one. A line is well-formed where both find the same.
    """
    parts, start, pairs_escaped = [], 0, False
    for i, char in enumerate(text):
        escaped = i > 0 and text[i - 1] == "\\"
        if char in delimiters:
            if escaped != pairs_escaped:
                raise Malformed(f"ambiguous: {text!r}")
            if not escaped:
                parts.append(text[start:i])
                start = i + 1
        pairs_escaped = char == "\\" and not pairs_escaped
    return [*parts, text[start:]]


def parse(line: str) -> tuple[str, dict[str, str], dict[str, int], int]:
    """Measurement, tags, fields and time of a line, parsed independently of what wrote it."""
    if "\n" in line or line.startswith("#"):
        raise Malformed(line)
    key, fields, time = _split(line, " ")
    measurement, *tags = _split(key, ",")
    found: dict[str, str] = {}
    for tag in tags:
        name, value = _split(tag, "=")
        if not name or not value or name in found:
            raise Malformed(line)
        found[name] = re.sub(r"\\([,= ])", r"\1", value)
    numbers = {}
    for item in fields.split(","):
        name, number = item.split("=")
        if not re.fullmatch("[0-9]+", number):
            raise Malformed(line)
        numbers[name] = int(number)
    if not measurement or list(found) != sorted(found):
        raise Malformed(line)
    return measurement, found, numbers, int(time)


def points(calls: Sequence[Calls], by: Sequence[str], **more: Any) -> list[str]:
    top = more.pop("top", None)
    return line_protocol.points(
        aggregate(calls, by, **more), top=top, sort="rate", time_s=1_744_253_477
    )


def test_points() -> None:
    calls = [
        Calls("read", 45, 1_560_378),
        Calls("openat", 7, 500, errno=2),
        Calls("", 3, number=3, abi=syscalls.IA32),
        Calls("exit_group", 1, None, pid=7, comm=b"a,b=c d"),
    ]
    assert points(calls, ("syscall",)) == [
        "syscount,syscall=read count=45,latency=70217 1744253477",
        "syscount,syscall=openat count=7,latency=4 1744253477",
        r"syscount,syscall=read\ (ia32) count=3,latency=1 1744253477",
        "syscount,syscall=exit_group count=1 1744253477",
    ]
    assert points(calls, ("pid",), timed=False) == [
        "syscount,pid=1842 count=55 1744253477",
        "syscount,pid=7 count=1 1744253477",
    ]
    assert points(calls, ("syscall", "errno", "comm"), timed=False, top=3) == [
        "syscount,comm=postgres,syscall=read count=45 1744253477",
        "syscount,comm=postgres,errno=ENOENT,syscall=openat count=7 1744253477",
        r"syscount,comm=postgres,syscall=read\ (ia32) count=3 1744253477",
    ]
    assert points(calls[3:], ("comm",)) == [r"syscount,comm=a\,b\=c\ d count=1 1744253477"]


def test_points_cover_all_rows() -> None:
    calls = [Calls("", i + 1, number=i) for i in range(300)]
    assert len(points(calls, ("syscall",))) == 300
    assert len(points(calls, ("syscall",), top=5)) == 5


def test_a_process_has_one_point_whatever_its_names() -> None:
    calls = [Calls("read", 4, comm=b"sh"), Calls("execve", 1, comm=b"ls")]
    assert points(calls, ("pid",)) == ["syscount,pid=1842 count=5,latency=2 1744253477"]


HOSTILE = st.one_of(
    st.binary(max_size=16),
    st.text(alphabet="\\,= a\"'#\n\té", max_size=16).map(lambda text: text.encode()[:16]),
)


@given(names=st.lists(HOSTILE, min_size=1, max_size=12))
@example(names=[b"a\\", b"\\", b"\\\\", b"a\\,b", b"\\ ", b"=\\=", b"", b"#", b'"'])
@example(names=[b"\xff", b"\xfe", b"\xef\xbf\xbd", b"\\"])
def test_every_point_is_well_formed_and_no_two_are_of_one_series(names: list[bytes]) -> None:
    calls = [Calls("read", 1, 1000, comm=name) for name in names]
    lines = points(calls, ("pid", "comm"))
    series: Counter[str] = Counter()
    for line in lines:
        assert line.isprintable()
        measurement, tags, fields, time = parse(line)
        assert (measurement, time) == ("syscount", 1_744_253_477)
        assert tags.pop("pid") == "1842"
        assert fields["latency"] == fields["count"]
        name = tags.pop("comm", "")
        assert name not in series
        series[name] = fields["count"]
        assert tags == {}
    # A backslash comes back as it was, but for one before a delimiter or at the end.
    expected = Counter(re.sub(r"\\([,= ]|$)", "\ufffd\\1", safe(name)) for name in names)
    assert series == expected


# --- Losses ---


def test_losses_in_one_line() -> None:
    none = {"calls": 0, "missed": 0, "unattributed": 0, "slow_limit": 9, "slow_ring": 9}
    assert lost_line(none) == lost_line({}) == ""
    assert lost_line(none | {"calls": 1}) == (
        "sysdash: lost: 1 call not counted; a filter makes them fewer"
    )
    assert lost_line(none | {"calls": 1200, "unattributed": 3}) == (
        "sysdash: lost: 1,200 calls not counted; "
        "3 calls of processes there was no room for, counted as (others); "
        "a filter makes them fewer"
    )
    assert lost_line(none | {"off_cpu": 1}) == (
        "sysdash: lost: 1 time off the CPU not measured, of a thread there was no room for; "
        "a filter makes them fewer"
    )
    assert lost_line(none | {"switches": 4}) == inexact_line(none) == ""
    assert inexact_line(none | {"switches": 4}) == (
        "sysdash: inexact: 4 waits are counted up to the end of their call, "
        "as their end was not seen"
    )
    assert inexact_line({"switches": 1}) == (
        "sysdash: inexact: 1 wait is counted up to the end of its call, as its end was not seen"
    )
    assert lost_line(none | {"missed": 2}) == (
        "sysdash: lost: 2 times the kernel did not run the probe"
    )


# --- The command ---


class FakeCollection:
    """Gives what it is told to, and remembers how it was made."""

    intervals: Sequence[Aggregate] = ()
    made: tuple[tuple[str, ...], bool]
    interrupted = False
    status = 0

    def __init__(
        self, args: argparse.Namespace, by: Sequence[str], *, timed: bool, data: bool
    ) -> None:
        assert data == bool(args.json or args.output)
        FakeCollection.made = (tuple(by), timed)

    def aggregates(self, ready: Callable[[], None]) -> Iterator[Aggregate]:
        ready()
        yield from self.intervals
        self.status = 3


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeCollection]]:
    monkeypatch.setattr(command, "intervals", FakeCollection)
    # Where a clock shows 22:13:20 when the synthetic samples begin.
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    FakeCollection.intervals = [
        aggregate([Calls("read", 45, pid=7, comm=b"cat")], timed=False, second=1),
        aggregate([Calls("write", 5)], timed=False, second=2, lost={"calls": 2}),
    ]
    yield FakeCollection
    monkeypatch.undo()
    time.tzset()


def words(**more: Any) -> argparse.Namespace:
    every: dict[str, Any] = {
        "interval_s": 1.0, "duration_s": None, "top": None, "by": (), "json": False, "command": [],
        "latency": False, "milliseconds": False, "process": False, "list": False, "rate": False,
        "output": None, "syscall": [], "failures": False, "errno": [],
    }  # fmt: skip
    return argparse.Namespace(**every | more)


def test_the_whole_output_is_bcc_s(
    fake: type[FakeCollection], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(words()) == 3
    assert fake.made == (("syscall",), False)
    printed = capsys.readouterr()
    assert (
        printed.out
        == """\
Tracing syscalls, printing top 10... Ctrl+C to quit.
[22:13:21]
SYSCALL                   COUNT
read                         45

[22:13:22]
SYSCALL                   COUNT
write                         5

Detaching...
"""
    )
    assert printed.err == "sysdash: lost: 2 calls not counted; a filter makes them fewer\n"


@pytest.mark.parametrize(
    ("given_words", "by", "timed"),
    [
        ({"latency": True}, ("syscall",), True),
        ({"process": True}, ("pid", "comm"), False),
        ({"process": True, "json": True}, ("pid", "comm"), False),
        ({"process": True, "output": "line"}, ("pid",), False),
        ({"by": ("tid", "errno"), "latency": True}, ("tid", "errno"), True),
        ({"by": ("tid",), "output": "line"}, ("tid",), False),
    ],
)
@pytest.mark.usefixtures("fake")
def test_what_is_collected(given_words: dict[str, Any], by: tuple[str, ...], timed: bool) -> None:
    FakeCollection.intervals = []
    assert command.run(words(**given_words)) == 3
    assert FakeCollection.made == (by, timed)


@pytest.mark.usefixtures("fake")
def test_json_is_a_line_an_interval_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    command.run(words(json=True))
    lines = capsys.readouterr().out.splitlines()
    objects = [json.loads(line) for line in lines]
    assert [(found["schema"], found["rows"][0]["syscall"]) for found in objects] == [
        ("sysdash.aggregate/1", "read"),
        ("sysdash.aggregate/1", "write"),
    ]
    assert objects[1]["lost"]["calls"] == 2


@pytest.mark.usefixtures("fake")
def test_line_protocol_is_nothing_but_points(capsys: pytest.CaptureFixture[str]) -> None:
    start = START_NS // SECOND_NS
    command.run(words(output="line"))
    assert capsys.readouterr().out == (
        f"syscount,syscall=read count=45 {start + 1}\nsyscount,syscall=write count=5 {start + 2}\n"
    )


@pytest.mark.usefixtures("fake")
def test_points_of_two_intervals_never_have_the_same_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = FakeCollection.intervals
    # A timer that fired early, and a last interval that ended with the command.
    FakeCollection.intervals = [first, first, first, second]
    command.run(words(output="line"))
    times = [int(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert times == [START_NS // SECOND_NS + i for i in (1, 2, 3, 4)]


@pytest.mark.usefixtures("fake")
def test_points_and_objects_are_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    FakeCollection.intervals = [aggregate([Calls("", 1, number=i) for i in range(30)])]
    command.run(words(output="line"))
    assert len(capsys.readouterr().out.splitlines()) == 30
    command.run(words(json=True))
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 30
    command.run(words(json=True, top=4))
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 4
    command.run(words())
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 + 10 + 2


@pytest.mark.usefixtures("fake")
def test_a_grouped_table_says_when_only_where_there_are_several(
    capsys: pytest.CaptureFixture[str],
) -> None:
    by = ("pid", "comm")
    FakeCollection.intervals = [aggregate([Calls("read", 45)], by)]
    command.run(words(by=by, interval_s=None))
    assert (
        capsys.readouterr().out
        == """\
Tracing syscalls... Ctrl+C to quit.
PID      CMD                     COUNT
1842     postgres                   45

Detaching...
"""
    )
    command.run(words(by=by, top=5, syscall=["!futex"]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Tracing syscalls, printing top 5... Ctrl+C to quit."
    assert lines[1] == "[22:13:21]"
    assert lines[2].startswith("PID ")
    assert lines[-2:] == ["", "Detaching..."]


def test_the_list_needs_no_probe(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(words(list=True)) == 0
    found = capsys.readouterr().out
    assert found.split() == syscalls.names()
    assert found.splitlines()[0].count("   ") >= 3


@pytest.mark.usefixtures("fake")
def test_the_clock_is_the_local_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    command.run(words())
    assert capsys.readouterr().out.splitlines()[1] == "[03:43:21]"


@pytest.mark.usefixtures("fake")
def test_names_that_the_locale_cannot_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    by = ("comm",)
    FakeCollection.intervals = [aggregate([Calls("read", 1, comm="é読".encode())], by, timed=False)]
    command.run(words(by=by))
    assert "é?".encode("latin-1") in written.getvalue()
