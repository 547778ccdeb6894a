"""Line protocol, as a real InfluxDB reads it: what is written can be queried, point for point."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from synthetic import Calls, snapshot

from sysdash.aggregates import Accumulator
from sysdash.report import line_protocol

PATIENCE_S = 15.0
SYSDASH = Path(sys.executable).parent / "sysdash"

Point = tuple[frozenset[tuple[str, str]], int, frozenset[tuple[str, object]]]
"""Tags, time in seconds, fields."""

# The system chooses the ports.
CONFIGURATION = """
reporting-enabled = false
bind-address = "127.0.0.1:0"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "127.0.0.1:0"
[monitor]
  store-enabled = false
"""


class Influx:
    """A server on this machine alone, with one database for each test."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._numbers = itertools.count()
        self._name = ""

    def empty(self) -> None:
        """Begin a new database."""
        self._name = f"test{next(self._numbers)}"
        self._query(f"CREATE DATABASE {self._name}", method="POST")

    def write(self, lines: Sequence[str]) -> int:
        """Write lines; return the status, 204 if all were taken."""
        where = urllib.parse.urlencode({"db": self._name, "precision": "s"})
        body = "".join(f"{line}\n" for line in lines).encode()
        request = urllib.request.Request(f"{self._url}/write?{where}", data=body)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                status: int = response.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        return status

    def points(self) -> list[Point]:
        """Every point of the database."""
        found: list[Point] = []
        results = self._query("SELECT * FROM syscount GROUP BY *")["results"]
        for series in results[0].get("series", []):
            # A tag that a point does not have is an empty one.
            tags = frozenset((key, value) for key, value in series["tags"].items() if value)
            for values in series["values"]:
                row = dict(zip(series["columns"], values, strict=True))
                at = row.pop("time")
                fields = frozenset((name, v) for name, v in row.items() if v is not None)
                found.append((tags, at, fields))
        return found

    def _query(self, text: str, method: str = "GET") -> Any:
        words = urllib.parse.urlencode({"db": self._name, "epoch": "s", "q": text})
        request = urllib.request.Request(f"{self._url}/query?{words}", method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            answer = json.load(response)
        assert "error" not in json.dumps(answer)
        return answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    folder = tmp_path_factory.mktemp("influxdb")
    configuration = folder / "influxdb.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["influxd", "-config", configuration],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Influx(port_in(log, process))
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def port_in(log: Path, process: subprocess.Popen[bytes]) -> int:
    """The port of the server's HTTP interface, once it listens there."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        text = log.read_text(errors="replace")
        assert process.poll() is None, text
        found = re.search(r"Listening on HTTP.*?127\.0\.0\.1:(\d+)", text)
        if found:
            return int(found[1])
        time.sleep(0.02)
    raise AssertionError(f"does not listen:\n{log.read_text(errors='replace')}")


@pytest.fixture
def influx(server: Influx) -> Influx:
    server.empty()
    return server


def lines_of(calls: Sequence[Calls], by: Sequence[str], time_s: int = 1_700_000_000) -> list[str]:
    accumulator = Accumulator(by)
    accumulator.add(snapshot(calls))
    aggregate = accumulator.take()
    assert aggregate is not None
    return line_protocol.points(aggregate, top=None, sort="rate", time_s=time_s)


def point(time_s: int, count: int, latency: int, **tags: str) -> Point:
    return frozenset(tags.items()), time_s, frozenset({("count", count), ("latency", latency)})


def parsed(line: str) -> Point:
    """What a line says, whose tags have no backslash but those that escape."""
    found = re.fullmatch(r"syscount((?:,\w+=(?:\\.|[^\\, ])+)*) (\S+) (\d+)", line)
    assert found, line
    pairs = re.findall(r",(\w+)=((?:\\.|[^\\, ])+)", found[1])
    tags = frozenset((key, re.sub(r"\\(.)", r"\1", value)) for key, value in pairs)
    fields = (field.split("=") for field in found[2].split(","))
    return tags, int(found[3]), frozenset((name, int(value)) for name, value in fields)


def test_what_is_wrong_is_refused(influx: Influx) -> None:
    assert influx.write(["syscount,syscall=read count=1 1700000000"]) == 204
    assert influx.write(["syscount,syscall= count=1 1700000000"]) == 400
    assert len(influx.points()) == 1


def test_points_come_back_as_they_were(influx: Influx) -> None:
    calls = [Calls("read", 3, 2_000), Calls("read", 2, 7_000), Calls("openat", 1, 900, errno=2)]
    assert influx.write(lines_of(calls, ["syscall"], 1_700_000_000)) == 204
    assert influx.write(lines_of(calls[:1], ["syscall"], 1_700_000_001)) == 204
    assert sorted(influx.points(), key=repr) == sorted(
        [
            point(1_700_000_000, 5, 20, syscall="read"),
            point(1_700_000_000, 1, 1, syscall="openat"),
            point(1_700_000_001, 3, 6, syscall="read"),
        ],
        key=repr,
    )


def test_every_key_is_a_tag(influx: Influx) -> None:
    call = Calls("openat", 4, 1_000, pid=77, comm=b"sh", errno=2)
    keys = ["syscall", "pid", "comm", "errno"]
    assert influx.write(lines_of([call], keys)) == 204
    tags = {"syscall": "openat", "pid": "77", "comm": "sh", "errno": "ENOENT"}
    assert influx.points() == [point(1_700_000_000, 4, 4, **tags)]


@pytest.mark.parametrize(
    ("comm", "tag"),
    [
        (b'say "hi"', 'say "hi"'),
        (b"it's", "it's"),
        (b"a,b", "a,b"),
        (b"a b=c, d", "a b=c, d"),
        (b" ", " "),
        (b"=", "="),
        (b",,==  ", ",,==  "),
        (b"#comment", "#comment"),
        (b"C:\\x", "C:\\x"),
        (b"a\\", "a\ufffd"),
        (b"a\\,b", "a\ufffd,b"),
        (b"\\\\ ", "\\\ufffd "),
        (b"new\nline", "new\N{SYMBOL FOR LINE FEED}line"),
        (b"\x1b[31m", "\N{SYMBOL FOR ESCAPE}[31m"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("🦀".encode(), "🦀"),
        ("漢字".encode(), "漢字"),
        (b"", None),
    ],
)
def test_any_name_of_a_process_comes_back(influx: Influx, comm: bytes, tag: str | None) -> None:
    assert influx.write(lines_of([Calls("read", 2, 3_000, comm=comm)], ["comm", "pid"])) == 204
    tags = {"pid": "1842"} | ({} if tag is None else {"comm": tag})
    assert influx.points() == [point(1_700_000_000, 2, 6, **tags)]


def test_no_names_are_taken_for_each_other(influx: Influx) -> None:
    special = [b"a", b"\\", b",", b"=", b" ", b'"', b"\n", b"\xf0"]
    names = [b"".join(parts) for n in (1, 2, 3) for parts in itertools.product(special, repeat=n)]
    calls = [Calls("read", 1, 1_000, pid=number, comm=name) for number, name in enumerate(names, 1)]
    assert influx.write(lines_of(calls, ["comm", "pid"])) == 204
    found = {dict(tags)["pid"]: dict(tags)["comm"] for tags, _, _ in influx.points()}
    assert len(found) == len(names)
    for number, name in enumerate(names, 1):
        text = name.decode("utf-8", "replace").replace("\n", "\N{SYMBOL FOR LINE FEED}")
        # What cannot be said with certainty is replaced, and nothing else.
        sure = re.sub(r"\\(?=[,= ]|$)", "\ufffd", text)
        assert found[str(number)] == sure


@pytest.mark.bpf
@pytest.mark.parametrize("by", [[], ["-P"], ["--by", "pid,comm,syscall"]], ids=" ".join)
def test_what_count_prints_is_taken_whole(influx: Influx, by: list[str]) -> None:
    words = [*by, "--output", "-L", "-i", "0.5", "-d", "1.5", "--include-self"]
    done = subprocess.run([SYSDASH, "count", *words], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert influx.write(lines) == 204
    points = influx.points()
    assert sorted(points, key=repr) == sorted(map(parsed, lines), key=repr)
    # Several intervals, none of which replaced points of another.
    assert len({at for _, at, _ in points}) >= 2
