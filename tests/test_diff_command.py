"""``sysdash diff``: its words, its text and its objects."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import SECOND_NS, START_NS, Calls, sample

import sysdash
from sysdash import units
from sysdash.cli import main
from sysdash.commands import rewords
from sysdash.commands.progress import Progress
from sysdash.comparison import SORTS, Change, Comparison, compare
from sysdash.model import Row, Syscall, table_of
from sysdash.packing import pack
from sysdash.recording import Existing, Facts, Recording
from sysdash.recording.store import Item, Store
from sysdash.records import Sample
from sysdash.report.changes import difference, noise_words, number, relative
from sysdash.report.diff import Source, Told, diff_lines, diff_object
from sysdash.tally import Tally

FACTS = Facts(
    host="web-3",
    kernel="6.1.0",
    cpus=2,
    boot_time_ns=0,
    version="0.1.0",
    started_ns=START_NS,
    zone_s=0,
    interval_s=1.0,
)
DEMO = str(Path(sysdash.__file__).parent / "demo" / "demo.sysdash")
BEGIN, MIDDLE, END = "22:13:20", "22:13:50", "22:14:20"
"""When the recording of :func:`both` begins, changes and ends."""


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "80")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def record(path: Path, samples: Sequence[Sample], facts: Facts = FACTS) -> str:
    """A recording of these."""
    store = Store(str(path), facts, existing=Existing.OVERWRITE, max_bytes=None, max_age_s=None)
    store.write([Item(pack(each), None) for each in samples])
    store.close()
    return str(path)


def calls(changed: bool) -> list[Calls]:
    """What a machine does in a second, before and after it has changed."""
    return [
        Calls("read", 1200 if changed else 1000, 1000, 1, b"postgres"),
        Calls("fsync", 20, 9_000_000 if changed else 3_000_000, 1, b"postgres"),
        Calls("openat", 50, 2000, 2, b"nginx", errno=2 if changed else 0),
        Calls("write", 400, 600, 3, b"new" if changed else b"old"),
        Calls("close", 100, 300, 2, b"nginx"),
    ]


def some(changed: bool, seconds: int = 30, first: int = 1, **more: object) -> list[Sample]:
    return [
        sample(calls(changed), second=first + at, **more)  # type: ignore[arg-type]
        for at in range(seconds)
    ]


def both(path: Path) -> str:
    """A minute in the middle of which a machine changes."""
    return record(path, [*some(False), *some(True, first=31)])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs sysdash diff; what it returns and prints."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["diff", *words])
        return code, *capsys.readouterr()

    return run


Run = Callable[..., tuple[int, str, str]]


def table(text: str) -> list[str]:
    """The lines of the table, without its heading."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("SYSCALL"))
    return lines[first + 1 : lines.index("", first)]


# --- Which times are compared ---


def test_two_recordings_are_compared(tmp_path: Path, run: Run) -> None:
    before = record(tmp_path / "a", some(False))
    after = record(tmp_path / "b", some(True))
    code, out, err = run(before, after)
    assert (code, err) == (0, "")
    assert out.startswith(f"before  {units.end_of(before, 60)} on web-3:")
    assert [line.split()[:2] for line in table(out)] == [
        ["fsync", "postgres"],
        ["openat", "nginx"],
        ["write", "new"],
        ["write", "old"],
        ["read", "postgres"],
    ]
    assert "1 more row is noise; --all shows them" in out


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"@..{MIDDLE}", f"@{MIDDLE}.."),
        (f"@{BEGIN}..{MIDDLE}", f"@{MIDDLE}..{END}"),
        ("@+0s..+30s", "@-30s.."),
        ("@2023-11-14T22:13:20..2023-11-14T22:13:50", f"@{MIDDLE}..+1m"),
        ("@..+30s", "@+30s.."),
    ],
)
def test_a_piece_of_a_recording_is_compared_with_another(
    first: str, second: str, tmp_path: Path, run: Run
) -> None:
    path = both(tmp_path / "a")
    for other in (f"{path}{second}", second):
        code, out, err = run(f"{path}{first}", other, "--json")
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert (found["before"]["intervals"], found["after"]["intervals"]) == (30, 30)
        assert found["before"]["begin"] == "2023-11-14T22:13:20.000Z"
        assert found["after"]["begin"] == found["before"]["end"] == "2023-11-14T22:13:50.000Z"
        assert len(found["rows"]) == 5


def test_a_file_may_be_called_like_a_piece_of_one(tmp_path: Path, run: Run) -> None:
    path = record(tmp_path / f"a@{BEGIN}..{MIDDLE}", some(False))
    code, out, _ = run(path, f"{path}@..+10s")
    assert code == 0
    assert "30 intervals" in " ".join(out.split())
    assert "10 intervals" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{a}@10:00", "{a}"], "there is no such file; a piece of one is FILE@10:00:00..10:05:00"),
        (["{a}@10:00..noon", "{a}"], "'noon' is not a moment"),
        (["{a}"], "required: B"),
        (["@..", "{a}"], "A needs a file"),
        (["{a}", "{a}", "--sort", "size"], "invalid choice"),
        (["{a}", "{a}", "--by", "colour"], "unknown key 'colour'"),
        (["{a}", "{a}", "--syscall", "raed"], "did you mean read"),
    ],
)
def test_wrong_words_are_told(words: list[str], message: str, tmp_path: Path, run: Run) -> None:
    path = record(tmp_path / "a", some(False, 3))
    code, out, err = run(*(word.format(a=path) for word in words))
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("{a}x", "cannot read"),
        ("{a}@+2s..+1s", "has nothing from +2s up to +1s: until is before since"),
        ("{a}@23:00..23:01", "has nothing from 23:00 up to 23:01, only 2023-11-14 22:13:20 to"),
        ("{text}", "is not a recording of sysdash"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(
    second: str, message: str, tmp_path: Path, run: Run
) -> None:
    path = record(tmp_path / "a", some(False, 3))
    (tmp_path / "text").write_text("hello")
    code, out, err = run(path, second.format(a=path, text=tmp_path / "text"))
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1


def test_how_far_it_is_is_told_while_one_waits(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    cleared: list[int] = []
    monkeypatch.setattr(Progress, "due", True)
    monkeypatch.setattr(Progress, "show", lambda _, words: said.append(words))
    monkeypatch.setattr(Progress, "clear", lambda _: cleared.append(len(said)))
    path = record(tmp_path / "a", some(False, 4))
    assert run(path, path)[0] == 0
    assert [words.rpartition(" ")[2] for words in said] == [
        *("0%", "12%", "25%", "38%", "50%", "62%", "75%", "88%")
    ]
    assert cleared == [8]


def test_threads_are_refused_where_they_are_not_told_apart(tmp_path: Path, run: Run) -> None:
    path = record(tmp_path / "a", some(False, 3))
    code, _, err = run(path, path, "--by", "tid")
    assert code == 1
    assert "does not tell the threads of a process apart" in err


# --- What is said of both ---


def test_what_makes_them_hard_to_compare_is_told(tmp_path: Path, run: Run) -> None:
    other = replace(
        FACTS,
        host="web-4",
        kernel="6.5.0",
        cpus=8,
        limits="pid 7",
        thresholds="1ms",
        off_cpu=True,
        interval_s=0.5,
    )
    before = record(tmp_path / "a", some(False, 6))
    after = record(tmp_path / "b", some(False, 6, lost={"calls": 2}), other)
    _, out, _ = run(before, after, "--json")
    assert json.loads(out)["warnings"] == [
        "hosts differ: web-3 before, web-4 after",
        "kernels differ: 6.1.0 before, 6.5.0 after",
        "CPUs differ: 2 before, 8 after",
        "filters differ: none before, pid 7 after",
        "thresholds of slow calls differ: none before, 1ms after",
        "times off the CPU differ: not measured before, measured after",
        "intervals differ: 1 s before, 0.5 s after",
        "lost after: 12 calls not counted; a filter makes them fewer",
    ]
    _, out, _ = run(before, after)
    assert "warning: kernels differ: 6.1.0 before, 6.5.0 after" in out
    _, out, _ = run(before, f"{before}@..+3s")
    assert "warning: the two times overlap" in out
    assert out.count("warning") == 1
    _, out, _ = run(f"{before}@..+3s", f"{before}@+3s..")
    assert "warning" not in out


def test_damaged_intervals_are_left_out_and_told(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record(tmp_path / "a", some(False, 20))
    good = Recording.packed

    def packed(recording: Recording, number: int) -> object:
        found = good(recording, number)
        return replace(found, body=b"no") if number in bad else found

    monkeypatch.setattr(Recording, "packed", packed)
    bad = {3}
    code, out, _ = run(path, path, "--json")
    assert code == 0
    assert json.loads(out)["before"]["intervals"] == 19
    assert "1 interval before is damaged, and left out" in json.loads(out)["warnings"]
    bad = set(range(20))
    code, out, err = run(path, path)
    assert (code, out) == (1, "")
    assert "has of this time is damaged" in err


# --- Filters ---


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--comm", "postgres"], {"read", "fsync"}),
        (["--syscall", "read,close"], {"read", "close"}),
        (["--syscall", "!read"], {"fsync", "openat", "write", "close"}),
        (["-p", "2"], {"openat", "close"}),
        (["-x"], {"openat"}),
        (["-e", "ENOENT"], {"openat"}),
        (["-e", "EINTR"], set()),
    ],
)
def test_filters_choose_what_is_compared(
    words: list[str], expected: set[str], tmp_path: Path, run: Run
) -> None:
    path = both(tmp_path / "a")
    code, out, _ = run(f"{path}@..+30s", f"{path}@+30s..", "--all", "--json", *words)
    assert code == 0
    assert {row["syscall"] for row in json.loads(out)["rows"]} == expected
    code, out, _ = run(f"{path}@..+30s", f"{path}@+30s..", *words)
    assert code == 0
    assert expected or "no calls before and none after" in out


# --- Objects ---


def test_an_object_has_all_numbers(tmp_path: Path, run: Run) -> None:
    path = both(tmp_path / "a")
    _, out, _ = run(f"{path}@..+30s", "@+30s..", "--json", "--all")
    assert out.count("\n") == 1
    assert out.startswith('{"schema": "sysdash.diff/1", "by": ["syscall", "comm"], "before": {')
    found = json.loads(out)
    assert found["before"] == {
        "file": path,
        "host": "web-3",
        "kernel": "6.1.0",
        "begin": "2023-11-14T22:13:20.000Z",
        "end": "2023-11-14T22:13:50.000Z",
        "interval_s": 30.0,
        "intervals": 30,
        "blocks": 30,
        "lost": found["after"]["lost"],
    }
    assert set(found["after"]["lost"].values()) == {0}
    assert found["unsteady"]["rows"] == 0
    assert found["noise"] == {
        "level": 0.01,
        "least_change": 0.05,
        "least_quantile_ratio": 1.25,
        "variation_seen": True,
        "rows": 1,
    }
    rows = {(row["syscall"], row["comm"]): row for row in found["rows"]}
    fsync = rows["fsync", "postgres"]
    assert fsync["before"] == {
        "count": 600,
        "errors": 0,
        "total_ns": 1_800_000_000,
        "rate": 20.0,
        "error_rate": 0.0,
        "total_ns_per_s": 60_000_000.0,
        "p50_ns": 3_000_000,
        "p99_ns": 3_000_000,
    }
    assert fsync["after"]["p99_ns"] == 9_000_000
    assert fsync["change"] == {
        "rate": 0.0,
        "error_rate": None,
        "total_ns_per_s": 2.0,
        "p50_ns": 2.0,
        "p99_ns": 2.0,
    }
    assert fsync["changed"] == ["total_ns_per_s", "p50_ns", "p99_ns"]
    assert fsync["noise"] is False
    assert 0 < fsync["score"] <= 1
    new = rows["write", "new"]
    assert new["before"]["p50_ns"] is None
    assert new["change"]["rate"] is None
    assert rows["write", "old"]["change"]["rate"] == -1.0
    assert rows["openat", "nginx"]["changed"] == ["error_rate"]
    assert rows["close", "nginx"]["changed"] == []
    assert rows["close", "nginx"]["noise"] is True


def test_rows_can_be_by_other_keys_and_fewer(tmp_path: Path, run: Run) -> None:
    path = both(tmp_path / "a")
    pieces = (f"{path}@..+30s", "@+30s..")
    _, out, _ = run(*pieces, "--json", "--all", "--by", "pid,errno")
    rows = json.loads(out)["rows"]
    assert {(row["pid"], row["errno"]) for row in rows} == {
        (1, None),
        (2, None),
        (2, "ENOENT"),
        (3, None),
    }
    assert list(rows[0])[:2] == ["pid", "errno"]
    _, out, _ = run(*pieces, "--json", "-T", "2")
    assert [row["syscall"] for row in json.loads(out)["rows"]] == ["fsync", "openat"]
    _, out, _ = run(*pieces, "--json", "--sort", "rate", "-T", "1")
    assert json.loads(out)["rows"][0]["syscall"] == "write"


# --- Text ---


def change(before: Row, after: Row, *changed: str) -> Change:
    return Change(before, after, frozenset(changed), 0.5)


def row(rate: float = 10, errors: int = 0, total_ns: int = 0, p99_ns: float = 0) -> Row:
    """A row of ten seconds."""
    return Row(
        syscall=Syscall(0),
        pid=None,
        tid=None,
        comm="x",
        cgroup=None,
        errno=None,
        count=round(rate * 10),
        rate=rate,
        errors=errors,
        timed=bool(p99_ns),
        total_ns=total_ns,
        min_ns=0,
        max_ns=0,
        mean_ns=0,
        stddev_pct=0,
        p50_ns=p99_ns,
        p90_ns=p99_ns,
        p99_ns=p99_ns,
        hist=np.zeros(128, dtype=np.int64),
    )


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (100, 120, "+20%"),
        (100, 103.14, "+3.1%"),
        (100, 80, "-20%"),
        (100, 97, "-3.0%"),
        (100, 300, "+200%"),
        (100, 2460, "24.6x"),
        (10_000, 1, "-99.9%"),
        (10_000, 60, "-99.4%"),
        (0, 5, "new"),
        (5, 0, "gone"),
        (5, 5, ""),
        (5000, 5001, ""),
    ],
)
def test_relative_changes_are_short(before: float, after: float, text: str) -> None:
    found = relative(change(row(before), row(after)), "rate")
    assert found == text
    assert len(found) <= 6


def test_differences_have_their_sign() -> None:
    found = change(row(10, 5, 10**9, 1000), row(10, 25, 5 * 10**8, 3_000_000))
    assert difference(found, "errors") == "+2"
    assert difference(found, "total") == "-50.0ms"
    assert difference(found, "p99") == "+3.00ms"
    assert difference(found, "rate") == ""


@pytest.mark.parametrize(
    ("quantity", "value", "text"),
    [
        ("rate", 1_213_000.0, "1.21M"),
        ("errors", 0.0, "0"),
        ("total", 0.0, "0"),
        ("total", 1.2e8, "120ms"),
        ("total", 7.5e10, "75s"),
        ("p99", 4.52e7, "45.2ms"),
        ("p99", None, "-"),
    ],
)
def test_numbers_are_short(quantity: str, value: float | None, text: str) -> None:
    assert number(quantity, value) == text


def compared(by: tuple[str, ...] = ("syscall", "comm")) -> Comparison:
    tallies = []
    for changed in (False, True):
        tallies.append(Tally(by))
        for each in some(changed):
            tallies[-1].add(table_of(each.rows, 1.0), each.time_ns)
    return compare(*tallies)


SOURCES = (
    Source("a.sysdash", "web-3", "6.1.0", "10:00 to 10:05"),
    Source("b.sysdash", "web-3", "6.1.0", "10:05 to 10:10"),
)


def test_the_text_at_80_columns() -> None:
    assert diff_lines(Told(compared(), SOURCES), noise=True, columns=80)[:11] == [
        "before  a.sysdash on web-3: 10:00 to 10:05 (30.0s, 30 intervals)",
        "after   b.sysdash on web-3: 10:05 to 10:10 (30.0s, 30 intervals)",
        "",
        "SYSCALL  PROCESS      CALLS/s     CHANGE  ERR/s  TIME/s        LATENCY",
        "fsync    postgres        ≈    20                 +120ms  p99 3.00ms → 9.00ms",
        "openat   nginx           ≈    50            +50          p99        ≈ 2.00µs",
        "write    new           0 →   400     new         +240µs  p99      - →  600ns",
        "write    old         400 →     0    gone         -240µs  p99  600ns →      -",
        "read     postgres  1.00K → 1.20K    +20%         +200µs  p99        ≈ 1.00µs",
        "noise:",
        "close    nginx       100 →   100                         p99  300ns →  300ns",
    ]


def test_the_text_where_there_is_room() -> None:
    lines = diff_lines(Told(compared(), SOURCES), columns=140)
    heading = "SYSCALL PROCESS CALLS/s CHANGE ERRORS/s TIME/s CHANGE P50 P99"
    assert lines[3].split() == heading.split()
    assert lines[4].split()[2:] == (
        "≈ 20 60.0ms → 180ms +200% 3.00ms → 9.00ms 3.00ms → 9.00ms".split()
    )
    assert lines[5].split()[2:] == "≈ 50 0 → 50 ≈ 100µs ≈ 2.00µs ≈ 2.00µs".split()


def test_all_lines_fit_and_columns_are_aligned() -> None:
    told = Told(compared(), SOURCES, ["kernels differ: " + "6.1.0 " * 30])
    for columns in (72, 80, 100, 120, 132, 200):
        lines = diff_lines(told, noise=True, columns=columns)
        assert max(map(units.width, lines)) <= columns
        body = table("\n".join(lines))
        arrows = {
            tuple(m.start() for m in re.finditer("[→≈]", line))[:1]
            for line in body
            if line != "noise:"
        }
        assert len(arrows) == 1


def test_colours_take_no_room_and_say_nothing_that_text_does_not() -> None:
    told = Told(compared(), SOURCES)
    plain = diff_lines(told, noise=True, columns=120)
    coloured = diff_lines(told, noise=True, columns=120, colours=True)
    assert coloured != plain
    assert [re.sub(r"\x1b\[[0-9]*m", "", line).rstrip() for line in coloured] == plain


def test_more_rows_than_are_shown_are_counted() -> None:
    told = Told(compared(), SOURCES)
    assert "3 more rows changed; --top 5 shows all" in diff_lines(told, top=2)
    assert "1 more row is noise; --all shows them" in diff_lines(told, top=2)
    assert "4 more rows are noise" not in "\n".join(diff_lines(told, top=2, noise=True))


def test_how_noise_is_told_apart_is_said() -> None:
    words = noise_words(compared())
    assert "(30 and 30)" in words
    assert "5%" in words
    assert "≈: it has not." in words
    assert "≈: it has not; ?: not steadily, but 2 times or more." in noise_words(with_a_burst())
    few = Tally(("syscall",))
    few.add(table_of(sample(calls(False)).rows, 1.0), START_NS + SECOND_NS)
    words = noise_words(compare(few, few))
    assert "too few intervals" in words
    assert "25%" in words


def with_a_burst(rows: int = 1) -> Comparison:
    """Where nothing changes but in three seconds, in which locks are waited for."""
    tallies = []
    for side in range(2):
        tallies.append(Tally(("syscall", "comm")))
        for each in some(False):
            waits = 2000 if side and each.time_ns % (30 * SECOND_NS) < 3 * SECOND_NS else 10
            locks = [Calls("futex", waits, 9_000_000, 9, b"l%d" % at) for at in range(rows)]
            table = table_of(sample([*calls(False), *locks]).rows, 1.0)
            tallies[-1].add(table, each.time_ns)
    return compare(*tallies)


def test_what_is_large_but_not_steady_has_a_section_of_its_own() -> None:
    told = Told(with_a_burst(), SOURCES)
    for sort in SORTS:
        lines = diff_lines(told, sort=sort, columns=80)
        assert lines[3:9] == [
            "SYSCALL  PROCESS  CALLS/s   CHANGE  ERR/s   TIME/s        LATENCY",
            "large, but not steady; each may be one burst:",
            "futex    l0       10 →?209  20.9x?         +1.79s?  p99        ≈ 9.00ms",
            "",
            "nothing else has changed by more than noise",
            "5 more rows are noise; --all shows them",
        ], sort


def test_unsteady_rows_are_shown_however_many_have_changed() -> None:
    before, after = (Tally(("syscall", "comm")) for _ in range(2))
    for second in range(30):
        for side, summed in enumerate((before, after)):
            waits = 2000 if side and second in (8, 9, 10) else 10
            workers = [Calls("read", 10 + 90 * side, comm=b"w%d" % at) for at in range(6)]
            made = [*workers, Calls("futex", waits, 9_000_000, 9, b"lock")]
            summed.add(table_of(sample(made).rows, 1.0), START_NS + second * SECOND_NS)
    found = Told(compare(before, after), SOURCES)
    lines = diff_lines(found, top=2, columns=80)
    assert [line.split()[0] for line in lines[4:8]] == ["read", "read", "large,", "futex"]
    assert "4 more rows changed; --top 6 shows all" in lines
    rows = diff_object(found, top=2)["rows"]
    assert isinstance(rows, list)
    assert [(row["syscall"], row["unsteady"]) for row in rows] == [
        ("read", False),
        ("read", False),
        ("futex", True),
    ]


def test_unsteady_rows_that_are_not_shown_are_counted() -> None:
    told = Told(with_a_burst(3), SOURCES)
    lines = diff_lines(told, top=2)
    assert "1 more row differs by much, but not steadily; --top 3 shows all" in lines
    lines = diff_lines(told, top=8, noise=True)
    at = lines.index("noise:")
    assert sum("?" in line for line in lines[:at]) == 3
    assert lines[at + 6] == ""


def test_an_object_tells_what_is_unsteady() -> None:
    found = diff_object(Told(with_a_burst(), SOURCES))
    assert found["unsteady"] == {"least_ratio": 2, "least_score": 0.05, "rows": 1}
    assert isinstance(found["noise"], dict)
    assert found["noise"]["rows"] == 5
    assert isinstance(found["rows"], list)
    (row,) = found["rows"]
    assert (row["unsteady"], row["noise"], row["changed"]) == (True, False, [])
    assert row["unsteady_numbers"] == ["rate", "total_ns_per_s"]
    assert row["score"] >= 0.05


def test_the_lock_of_the_demo_is_found_though_the_time_is_cut_a_little_too_late(run: Run) -> None:
    code, out, _ = run(f"{DEMO}@+0s..+28s", "@+28s..+45s", "--json")
    assert code == 0
    (row,) = (row for row in json.loads(out)["rows"] if row["syscall"] == "futex")
    assert (row["comm"], row["unsteady"]) == ("reports", True)
    for words in (["--sort", "total"], ["--sort", "rate", "-T", "1"]):
        _, out, _ = run(f"{DEMO}@+0s..+28s", "@+28s..+45s", *words)
        assert re.search(r"^futex +reports .*[0-9.]+x\?", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("before", "after", "first"),
    [
        ("@..+24s", "@+26s..+42s", ("futex", "reports")),
        ("@..+23s", "@+23s..+60s", ("futex", "reports")),
        ("@+43s..+54s", "@+57s..+72s", ("fdatasync", "backup")),
        ("@+74s..+84s", "@+88s..+98s", ("openat", "agent")),
    ],
)
def test_what_goes_wrong_in_the_demo_comes_first(
    before: str, after: str, first: tuple[str, str], run: Run
) -> None:
    _, out, _ = run(f"{DEMO}{before}", after, "--json", "-T", "1")
    row = json.loads(out)["rows"][0]
    assert (row["syscall"], row["comm"]) == first
    assert not row["unsteady"]


def test_nothing_that_changed_is_said_so(tmp_path: Path, run: Run) -> None:
    path = record(tmp_path / "a", some(False))
    _, out, _ = run(path, path)
    assert "nothing has changed by more than noise\n5 rows are noise; --all shows them\n" in out
    assert "SYSCALL" not in out
    _, out, _ = run(path, path, "--all")
    assert len(table(out)) == 6
    assert table(out)[0] == "noise:"


def test_hostile_names_do_no_harm(tmp_path: Path, run: Run) -> None:
    evil = b"\x1b[31m\n\xff\xe2\x80\xae"
    samples = [sample([Calls("read", 50, comm=evil)], second=s) for s in range(1, 11)]
    before = record(tmp_path / "a\x1b[2J", some(False, 10))
    after = record(tmp_path / "b", samples)
    for words in ([], ["--json"]):
        code, out, err = run(before, after, *words)
        assert (code, err) == (0, "")
        assert "\x1b" not in out
        assert "\u202e" not in out


def test_hostile_numbers_do_no_harm(tmp_path: Path, run: Run) -> None:
    def made(name: str, interval_ns: int = SECOND_NS, **columns: int) -> str:
        samples = []
        for second in range(1, 40):
            one = sample([Calls("read", 5)], second=second, interval_ns=interval_ns)
            changed = one.rows.copy()
            for column, value in columns.items():
                changed[column] = value
            samples.append(replace(one, rows=changed))
        store = Store(
            str(tmp_path / name), FACTS, existing=Existing.REFUSE, max_bytes=None, max_age_s=None
        )
        store.write([Item(pack(each), None) for each in samples])
        store.close()
        return str(tmp_path / name)

    # Larger ones are refused when they are read.
    most, most_calls = 2**62 - 1, 2**40
    files = [
        made("calls", count=most_calls, errno=2),
        made("times", total_ns=most, max_ns=2**62, off_ns=most, squares_high=2**64 - 1),
        made("short", interval_ns=1, count=most_calls, hist=2**32 - 1),
        made("long", interval_ns=2**53),
        made("none", interval_ns=0, count=most_calls),
        made("usual"),
    ]
    pairs = list(itertools.pairwise(files))
    for before, after in [*pairs, *(pair[::-1] for pair in pairs)]:
        for words in (["--all"], ["--all", "--json"]):
            code, out, err = run(before, after, *words)
            assert (code, err) == (0, "")
            assert "nan" not in out.lower()
            assert not re.search(r"-\d{9}", out)


def test_a_terminal_gets_colours_unless_it_wants_none(tmp_path: Path) -> None:
    path = both(tmp_path / "a")
    for settings, expected in (
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ({"TERM": "vt100"}, False),
    ):
        out = on_terminal([f"{path}@..+30s", "@+30s.."], settings)
        assert ("\x1b[31m" in out) is expected
        assert "fsync" in out


def on_terminal(words: list[str], settings: dict[str, str]) -> str:
    """What ``sysdash diff`` writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONUTF8": "1", **settings}
    if "NO_COLOR" not in settings:
        environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "sysdash", "diff", *words],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    parts = []
    try:
        while part := os.read(ours, 65536):
            parts.append(part)
    except OSError:
        pass  # the terminal's other side is closed
    finally:
        os.close(ours)
        code = process.wait(timeout=60)
    text = b"".join(parts).decode()
    assert code == 0, text
    return text


def test_words_that_are_written_down_twice_are_alike() -> None:
    assert rewords.DIFF_SORTS == SORTS
