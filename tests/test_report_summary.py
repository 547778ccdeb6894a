"""The text of ``sysdash summary``: perf's layout, and what belongs under which heading."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import Calls, sample

from sysdash import units
from sysdash.aggregates import Accumulator, Aggregate
from sysdash.commands import groups, summary, words
from sysdash.model import KEYS, derive
from sysdash.report.summary import MODES, keys_of, summary_lines

MS = 1_000_000


def interval(calls: Sequence[Calls], keys: Sequence[str]) -> Aggregate:
    accumulator = Accumulator(keys)
    accumulator.add(derive(sample(calls)))
    aggregate = accumulator.take()
    assert aggregate is not None
    return aggregate


def shown(
    calls: Sequence[Calls],
    *by: str,
    errno_summary: bool = False,
    tables: int | None = None,
    rows: int | None = None,
    columns: int | None = None,
) -> list[str]:
    aggregate = interval(calls, keys_of(by, errno_summary=errno_summary))
    return summary_lines(
        aggregate, by, errno_summary=errno_summary, tables=tables, rows=rows, columns=columns
    )


# What perf 6.1 printed for these numbers, but for the events, of which it counts two a call.
PERF = """
 Summary of events:

 dd (29762), 2010 events, 99.9%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   read                1003      0    20.060     0.020     0.020     0.020      0.00%
   write               1003     16    16.048     0.016     0.016     0.016      0.00%
   set_robust_list        1      0     0.015     0.015     0.015     0.015      0.00%
   lseek                  2      0     0.014     0.005     0.007     0.009     28.57%
   execve                 1      0     0.000     0.000     0.000     0.000      0.00%
"""

DD = [
    Calls("lseek", 1, 5_000, 29762, b"dd"),
    Calls("lseek", 1, 9_000, 29762, b"dd"),
    Calls("execve", 1, None, 29762, b"dd"),
    Calls("write", 987, 16_000, 29762, b"dd"),
    Calls("write", 16, 16_000, 29762, b"dd", errno=28),
    Calls("set_robust_list", 1, 15_000, 29762, b"dd"),
    Calls("read", 1003, 20_000, 29762, b"dd"),
]

TITLES = PERF.splitlines()[5:8]


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_the_layout_is_that_of_perf(mode: str) -> None:
    other = [Calls("read", 2, 1_000, 7, b"sh")]
    lines = shown([*DD, *other], mode)
    assert lines[: len(PERF.splitlines())] == PERF.splitlines()
    assert lines[len(PERF.splitlines()) :] == [
        "",
        " sh (7), 2 events, 0.1%",
        "",
        *TITLES,
        "   read                   2      0     0.002     0.001     0.001     0.001      0.00%",
        "",
    ]


def test_the_total_is_one_table() -> None:
    lines = shown([*DD, Calls("read", 1003, 20_000, 7, b"sh")])
    assert lines == shown([*DD, Calls("read", 1003, 20_000, 7, b"sh")], "total")
    assert lines[:4] == ["", " Summary of events:", "", " total, 3013 events"]
    assert lines[5:9] == [
        *TITLES,
        "   read                2006      0    40.120     0.020     0.020     0.020      0.00%",
    ]
    assert len(lines) == len(PERF.splitlines()) + 1


def test_no_calls() -> None:
    assert shown([]) == ["", " Summary of events:", "", " total, 0 events", "", *TITLES, ""]
    assert shown([], "process") == ["", " Summary of events:", ""]


def test_a_long_value_widens_its_column_everywhere() -> None:
    calls = [
        Calls("sched_get_priority_max", 1, 1_000, 7, b"sh"),
        Calls("futex", 1_234_567_890, 123_456_789, 8, b"sh"),
    ]
    lines = [line for line in shown(calls, "process") if line.startswith("   ")]
    assert lines[2] == lines[6]
    assert lines[2].startswith(f"   {'-' * 22} {'-' * 10}  ------ {'-' * 15} ---------")
    assert lines[7].startswith("   sched_get_priority_max          1 ")
    assert lines[3].startswith("   futex                  1234567890 ")
    ends = [[match.end() for match in re.finditer(r"\S+", lines[i])][1:] for i in (3, 7)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("columns", [85, 86, 200, None])
def test_the_layout_is_that_of_perf_where_there_is_room(columns: int | None) -> None:
    assert shown(DD, columns=columns) == shown(DD)
    assert max(map(len, shown(DD))) == 85


def test_a_narrow_terminal_has_the_same_columns_nearer_to_each_other() -> None:
    assert shown(DD, "process", rows=4, columns=80) == [
        "",
        " Summary of events:",
        "",
        " dd (29762), 2010 events, 100.0%",
        "",
        "syscall           calls   errors    total      min      avg      max   stddev",
        "                                   (msec)   (msec)   (msec)   (msec)      (%)",
        "---------------   -----   ------   ------   ------   ------   ------   ------",
        "read               1003        0   20.060    0.020    0.020    0.020    0.00%",
        "write              1003       16   16.048    0.016    0.016    0.016    0.00%",
        "set_robust_list       1        0    0.015    0.015    0.015    0.015    0.00%",
        "lseek                 2        0    0.014    0.005    0.007    0.009   28.57%",
        "",
        "1 more syscall, 1 events",
        "",
    ]
    assert shown(DD, columns=76)[8] == (
        "read              1003       0  20.060   0.020   0.020   0.020   0.00%"
    )
    for too_few in (64, 10):
        assert shown(DD, columns=too_few)[8] == (
            "read             1003      0 20.060  0.020  0.020  0.020  0.00%"
        )
    assert shown(DD, "pid", "syscall", columns=80)[5:9:3] == [
        "  pid  syscall          calls  errors   total     min     avg     max  stddev",
        "29762  read              1003       0  20.060   0.020   0.020   0.020   0.00%",
    ]


CALLS = st.builds(
    Calls,
    name=st.sampled_from(["read", "clock_nanosleep", "sched_get_priority_max", "exit_group"]),
    count=st.integers(1, 10**8),
    latency_ns=st.none() | st.integers(0, 2**32),
    pid=st.sampled_from([0, 1, 4_000_000]),
    comm=st.sampled_from([b"sh", b"ls", "日本語".encode(), b"\x1b[2J\xff"]),
    errno=st.sampled_from([0, 2, 512]),
)
BY = st.one_of(
    st.sampled_from([(), *((mode,) for mode in MODES)]),
    st.lists(st.sampled_from(KEYS), min_size=1, unique=True).map(tuple),
)


@given(calls=st.lists(CALLS, min_size=1, max_size=12), by=BY, errno_summary=st.booleans())
def test_every_call_is_in_one_row_and_in_one_heading(
    calls: list[Calls], by: tuple[str, ...], errno_summary: bool
) -> None:
    lines = shown(calls, *by, errno_summary=errno_summary)
    narrow = shown(calls, *by, errno_summary=errno_summary, columns=60)
    assert [line.split() for line in narrow if "--" not in line] == [
        line.split() for line in lines if "--" not in line
    ]
    assert max(map(units.width, narrow)) <= max(map(units.width, lines))
    every = sum(call.count for call in calls)
    headings = [int(n) for line in lines for n in re.findall(r", (\d+) events", line)]
    assert sum(headings) == every
    assert headings == sorted(headings, reverse=True)
    rows = [line for line in lines if line.endswith("%") and line.startswith("   ")]
    numbers = [line.split()[-7:] for line in rows]
    assert sum(int(count) for count, *_ in numbers) == every
    assert sum(int(errors) for _, errors, *_ in numbers) == sum(
        call.count for call in calls if call.errno
    )
    told = [int(line.partition(": ")[2]) for line in lines if line.startswith("\t")]
    wanted = errno_summary and "errno" not in by
    assert sum(told) == (sum(call.count for call in calls if call.errno) if wanted else 0)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", "".join(lines))
    assert len({units.width(line) for line in rows}) == 1


# --- Modes ---


def test_a_process_that_changes_its_name_is_one() -> None:
    calls = [
        Calls("read", 1, 1_000, 7, b"sh"),
        Calls("read", 3, 2_000, 7, b"ls", errno=4),
        Calls("read", 1, 1_000, 8, b"sh"),
    ]
    lines = shown(calls, "process", errno_summary=True)
    assert [line for line in lines if "events," in line] == [
        " ls (7), 4 events, 80.0%",
        " sh (8), 1 events, 20.0%",
    ]
    row = lines.index(
        "   read                   4      3     0.007     0.001     0.002     0.002     14.29%"
    )
    assert lines[row + 1] == "\t\t\t\tEINTR: 3"


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_processes_without_a_number_have_a_table_for_each_name(mode: str) -> None:
    calls = [
        Calls("read", 3, 1_000, 0, b"nginx"),
        Calls("read", 2, 2_000, 0, b"redis"),
        Calls("write", 2, 2_000, 0, b"redis", errno=4),
        Calls("read", 2, 1_000, 7, b"sh"),
        Calls("read", 1, 1_000, 7, b"ls"),
    ]
    lines = shown(calls, mode, errno_summary=True)
    assert [line for line in lines if "events," in line] == [
        " redis (0), 4 events, 40.0%",
        " nginx (0), 3 events, 30.0%",
        " sh (7), 3 events, 30.0%",
    ]
    found = [line.split()[:3] for line in lines if line.endswith("0%") and line[0] != "\t"]
    rows = [words for words in found if words[0] in ("read", "write")]
    assert rows == [["read", "2", "0"], ["write", "2", "2"], ["read", "3", "0"], ["read", "3", "0"]]
    assert [line for line in lines if line[:1] == "\t"] == ["\t\t\t\tEINTR: 2"]


def test_tables_are_sorted_by_calls_and_rows_by_time() -> None:
    calls = [
        Calls("read", 1, 900 * MS, 7),
        Calls("write", 5, 1_000, 8),
        Calls("read", 4, 1_001, 8),
        Calls("fsync", 1, 1_000 * MS, 8),
    ]
    lines = shown(calls, "thread")
    found = [line.split()[0] for line in lines if line.startswith("   ") and line.endswith("0%")]
    assert found == ["fsync", "write", "read", "read"]
    assert [line for line in lines if "events," in line] == [
        " postgres (8), 10 events, 90.9%",
        " postgres (7), 1 events, 9.1%",
    ]


def test_a_cgroup_is_its_path() -> None:
    aggregate = interval([Calls("read", 3, 1_000)], keys_of(("cgroup",)))
    assert aggregate.calls.by == ("cgroup", "syscall")
    assert " [unknown], 3 events, 100.0%" in summary_lines(aggregate, ("cgroup",))
    named = replace(
        aggregate,
        calls=replace(aggregate.calls, cgroup=np.array([7], dtype=np.uint64)),
        cgroups={7: "/system.slice"},
    )
    assert " /system.slice, 3 events, 100.0%" in summary_lines(named, ("cgroup",))
    assert " [cgroup 7], 3 events, 100.0%" in summary_lines(replace(named, cgroups={}), ("cgroup",))


def test_keys_are_columns_before_those_of_perf() -> None:
    lines = shown([*DD, Calls("read", 1, 1_000, 7, b"sh")], "pid", "syscall", rows=2)
    pids = "       pid ", " " * 11, "   ------- ", "     29762 ", "     29762 "
    assert lines[3:] == [
        " total, 2011 events",
        "",
        *(pid + line[3:] for pid, line in zip(pids, PERF.splitlines()[5:10], strict=True)),
        "",
        "   4 more rows, 5 events",
        "",
    ]


def test_errors_are_under_their_call_the_most_frequent_first() -> None:
    calls = [
        Calls("openat", 1, 1_000, errno=13),
        Calls("openat", 2, 1_000, errno=2),
        Calls("openat", 7, 1_000, 8, errno=2),
        Calls("openat", 5, 1_000),
        Calls("futex", 4, 900, errno=110),
        Calls("read", 1, 1),
    ]
    lines = shown(calls, errno_summary=True)
    assert [line if line.startswith("\t") else line.split()[0] for line in lines[8:-1]] == [
        *("openat", "\t\t\t\tENOENT: 9", "\t\t\t\tEACCES: 1"),
        *("futex", "\t\t\t\tETIMEDOUT: 4", "read"),
    ]
    assert [line for line in lines if not line.startswith("\t")] == shown(calls)


def test_how_many_rows_are_not_shown() -> None:
    lines = shown([*DD, Calls("read", 1, 1_000, 7, b"sh")], "process", rows=4)
    assert "   1 more syscall, 1 events" in lines
    assert not [line for line in shown(DD, rows=5) if "more" in line]


def test_how_many_tables_are_not_shown() -> None:
    calls = [Calls("read", n, 1_000, n) for n in (5, 6, 7)] + [Calls("fsync", 7, 1_000, 6)]
    for mode, one, more in (("process", "process", "processes"), ("thread", "thread", "threads")):
        every = shown(calls, mode)
        first, second, third = (i for i, line in enumerate(every) if " events, " in line)
        assert every[first] == " postgres (6), 13 events, 52.0%"
        assert shown(calls, mode, tables=1) == [*every[:second], f" 2 more {more}, 12 events", ""]
        assert shown(calls, mode, tables=2) == [*every[:third], f" 1 more {one}, 5 events", ""]
        assert shown(calls, mode, tables=3) == every
        assert "   1 more syscall, 6 events" in shown(calls, mode, tables=1, rows=1)


def test_how_many_cgroups_are_not_shown() -> None:
    aggregate = interval([Calls("read", 3), Calls("fsync", 2), Calls("write", 1)], ("syscall",))
    ids = np.array([4, 5, 6], dtype=np.uint64)[np.argsort(np.argsort(-aggregate.calls.count))]
    calls = replace(aggregate.calls, by=("cgroup", "syscall"), cgroup=ids)
    lines = summary_lines(replace(aggregate, calls=calls), ("cgroup",), tables=1)
    assert [line for line in lines if "events" in line][1:] == [
        " [cgroup 4], 3 events, 50.0%",
        " 2 more cgroups, 3 events",
    ]


def test_one_table_is_shown_whatever_the_number() -> None:
    for by in ((), ("total",), ("pid", "syscall")):
        assert shown(DD, *by, tables=1) == shown(DD, *by)


def test_the_keys_of_modes() -> None:
    assert keys_of(()) == keys_of(("total",)) == ("syscall",)
    assert keys_of(("process",)) == ("pid", "comm", "syscall")
    assert keys_of(("thread",)) == ("pid", "tid", "comm", "syscall")
    assert keys_of(("cgroup",)) == ("cgroup", "syscall")
    assert keys_of(("cgroup", "pid")) == ("cgroup", "pid")
    assert keys_of(("pid",), errno_summary=True) == ("pid", "errno")
    assert keys_of(("errno", "pid"), errno_summary=True) == ("errno", "pid")
    assert tuple(MODES) == words.SUMMARY_MODES


# --- The command ---


class Collection:
    """Stands for the one that runs the probe."""

    made: tuple[object, ...] = ()
    calls: Sequence[Calls] = DD

    def __init__(
        self, args: argparse.Namespace, by: Sequence[str], *, timed: bool, data: bool
    ) -> None:
        assert data == args.json
        self.by = tuple(by)
        self.status = 0
        type(self).made = (self.by, timed)

    def aggregates(self, ready: Callable[[], None]) -> Iterator[Aggregate]:
        ready()
        yield interval(self.calls, self.by)
        self.status = 3


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    monkeypatch.setattr(summary, "intervals", Collection)

    def run(**changed: object) -> list[str]:
        usual = {"by": (), "top": None, "max": None, "json": False, "errno_summary": False}
        usual["from_file"] = None
        given = {"interval_s": None, "duration_s": 1.0, **usual, **changed}
        assert summary.run(argparse.Namespace(**given)) == 3
        out, err = capsys.readouterr()
        assert err == ""
        return out.splitlines()

    return run


def test_the_command_prints_the_summary(run: Callable[..., list[str]]) -> None:
    assert run() == shown(DD)
    assert run(by=("process",), max=2) == shown(DD, "process", rows=2)
    assert run(by=("thread",), max=2, errno_summary=True) == shown(
        DD, "thread", rows=2, errno_summary=True
    )
    assert Collection.made == (("pid", "tid", "comm", "syscall", "errno"), True)


def test_one_number_limits_tables_and_one_their_rows(
    run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [*DD, Calls("read", 1, 1_000, 7, b"sh"), Calls("write", 1, 1_000, 8, b"sh")]
    monkeypatch.setattr(Collection, "calls", calls)
    for mode in ("process", "thread", "cgroup"):
        assert run(by=(mode,), top=1) == shown(calls, mode, tables=1)
        assert run(by=(mode,), top=2, max=1) == shown(calls, mode, tables=2, rows=1)
    for by in ((), ("total",), ("pid", "comm")):
        assert run(by=by, top=1) == run(by=by, max=1) == shown(calls, *by, rows=1)
    (line,) = run(json=True, by=("process",), top=2)
    assert len(json.loads(line)["rows"]) == 2


def test_a_terminal_may_be_narrow(
    run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run() == shown(DD)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run() == shown(DD, columns=80)
    monkeypatch.setenv("COLUMNS", "85")
    assert run() == shown(DD)


def parsed(*arguments: str) -> argparse.Namespace:
    """What the parser makes of the words, if its checks let them pass."""
    parser = groups.ArgumentParser()
    words.summary(parser)
    args = parser.parse_args(arguments, argparse.Namespace(command=[]))
    for check in parser.checks:
        message = check(args)
        if message:
            parser.error(message)
    return args


def test_both_numbers_make_sense_where_there_are_tables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    both = ("-T", "3", "--max", "5")
    for mode in ("process", "thread", "cgroup"):
        args = parsed("--by", mode, *both)
        assert (args.top, args.max) == (3, 5)
    for one in ([], ["--by", "total"], ["--by", "cgroup,pid"], ["--by", "process", "--json"]):
        with pytest.raises(SystemExit):
            parsed(*one, *both)
        assert "-T/--top and --max exclude each other" in capsys.readouterr().err


def test_each_interval_is_under_its_time(run: Callable[..., list[str]]) -> None:
    blank, clock, *lines = run(interval_s=1.0)
    assert blank == ""
    assert re.fullmatch(r"\[\d\d:\d\d:\d\d\]", clock)
    assert lines == shown(DD)


def test_json_has_the_keys_of_the_mode(run: Callable[..., list[str]]) -> None:
    (line,) = run(json=True, by=("process",), max=2)
    found = json.loads(line)
    assert found["by"] == ["pid", "comm", "syscall"]
    assert [row["syscall"] for row in found["rows"]] == ["read", "write"]
    assert "histogram" not in found["rows"][0]
    (line,) = run(json=True, errno_summary=True)
    assert json.loads(line)["by"] == ["syscall", "errno"]


@pytest.mark.bpf
def test_a_command_and_its_children() -> None:
    program = str(Path(sys.prefix) / "bin" / "sysdash")
    summary_of = [program, "summary", "--by", "process", "--errno-summary"]
    script = "dd if=/dev/zero of=/dev/null bs=1 count=2000 status=none; cd /nowhere"
    done = subprocess.run(
        [*summary_of, "--syscall", "write,chdir", "--", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert lines[:3] == ["", " Summary of events:", ""]
    assert re.fullmatch(r" dd \(\d+\), 2000 events, 99\.\d%", lines[3])
    assert lines[5:8] == TITLES
    assert re.fullmatch(r"   write +2000      0 +\d+\.\d{3}( +\d\.\d{3}){3} +\d+\.\d\d%", lines[8])
    assert re.fullmatch(r" sh \(\d+\), \d events, 0\.\d%", lines[10])
    chdir = next(i for i, line in enumerate(lines) if line.startswith("   chdir  "))
    assert lines[chdir].split()[:3] == ["chdir", "1", "1"]
    assert lines[chdir + 1] == "\t\t\t\tENOENT: 1"
