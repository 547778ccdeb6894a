"""What the running kernel says of its system calls' arguments."""

from __future__ import annotations

import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysdash import arguments
from sysdash.arguments import Argument, Signatures
from sysdash.probes import tracefs
from sysdash.syscalls import NATIVE, numbers

SCRIPT = Path(__file__).parent.parent / "scripts/refresh_signatures.py"

HEADER = """\
name: sys_enter_{name}
ID: 782
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;
"""
OPENAT = """\
\tfield:int dfd;\toffset:16;\tsize:8;\tsigned:0;
\tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;
\tfield:int flags;\toffset:32;\tsize:8;\tsigned:0;
\tfield:umode_t mode;\toffset:40;\tsize:8;\tsigned:0;

print fmt: "dfd: 0x%08lx, filename: 0x%08lx", ((unsigned long)(REC->dfd)), 0
"""


def tell(root: Path, name: str, fields: str = "") -> None:
    """Put a call into a folder that looks like tracefs."""
    folder = root / "events/syscalls" / f"sys_enter_{name}"
    folder.mkdir(parents=True)
    (folder / "format").write_text(HEADER.format(name=name) + fields)


def test_the_names_and_types_are_those_of_the_format(tmp_path: Path) -> None:
    tell(tmp_path, "openat", OPENAT)
    tell(tmp_path, "getpid")
    (tmp_path / "events/syscalls/sys_exit_openat").mkdir()
    assert tracefs.formats([tmp_path]) == {
        "openat": (
            ("dfd", "int"),
            ("filename", "const char *"),
            ("flags", "int"),
            ("mode", "umode_t"),
        ),
        "getpid": (),
    }


def test_calls_have_the_names_of_the_tables(tmp_path: Path) -> None:
    path = "\tfield:const char * filename;\toffset:16;\tsize:8;\tsigned:0;\n"
    for name in ("newstat", "stat", "newuname", "umount", "sendfile64"):
        tell(tmp_path, name, path if name == "newstat" else "")
    found = tracefs.formats([tmp_path])
    assert set(found) == {"stat", "uname", "umount2", "sendfile"}
    assert found["stat"] == (("filename", "const char *"),)


def test_the_first_place_with_events_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    tell(tmp_path / "first", "read")
    tell(tmp_path / "second", "write")
    places = [tmp_path / name for name in ("missing", "empty", "first", "second")]
    assert set(tracefs.formats(places)) == {"read"}


def test_without_tracefs_nothing_is_found(tmp_path: Path) -> None:
    assert tracefs.formats([tmp_path, tmp_path / "missing"]) == {}
    (tmp_path / "events").write_text("not a folder")
    assert tracefs.formats([tmp_path]) == {}


def test_it_is_looked_for_only_where_it_is_mounted(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "debugfs /sys/kernel/debug debugfs rw,nosuid 0 0\n"
        "tracefs /mnt/a\\040b\\134 tracefs rw,nosuid 0 0\n"
        "tracefs /tracefs ext4 rw 0 0\n"
        "\n"
        "none /sys/kernel/tracing tracefs rw 0 0\n"
    )
    assert tracefs.mounted(mounts) == [Path("/mnt/a b\\"), Path("/sys/kernel/tracing")]
    assert tracefs.mounted(tmp_path / "nothing") == []


def test_a_format_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    tell(tmp_path, "read")
    (tmp_path / "events/syscalls/sys_enter_write/format").mkdir(parents=True)
    assert tracefs.formats([tmp_path]) == {"read": ()}


def test_no_call_has_more_than_six_arguments() -> None:
    fields = "".join(f"\tfield:int a{at};\toffset:{16 + 8 * at};\n" for at in range(9))
    assert [name for name, _ in tracefs.arguments(fields)] == [f"a{at}" for at in range(6)]


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert len(tracefs.arguments(f"\tfield:{text};\toffset:16;")) <= 6


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "tracing"
    place.mkdir()
    subprocess.run(["mount", "-t", "tracefs", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.bpf
def test_the_running_kernel_agrees_with_the_shipped_table(mounted: Path) -> None:
    found = arguments.of_formats(tracefs.formats([mounted]))
    assert {"read", "openat", "futex", "stat", "umount2"} <= set(found)
    shipped, running = Signatures(), Signatures(found)
    for name in ("read", "openat", "futex", "stat", "umount2", "sendfile", "uname", "clone"):
        ((nr, abi),) = (number for number in numbers(name) if number[1] == NATIVE)
        here, there = running.of(nr, abi), shipped.of(nr, abi)
        assert here is not None
        assert there is not None
        assert len(here) == len(there)
    # Whatever a kernel calls its arguments, what is looked up stays the same.
    assert {number: running.reads()[number] for number in shipped.reads()} == shipped.reads()


@pytest.mark.bpf
def test_a_refreshed_table_keeps_what_the_kernel_does_not_tell(mounted: Path) -> None:
    merged = runpy.run_path(str(SCRIPT))["merged"]
    found = arguments.of_formats(tracefs.formats([mounted]))
    before = "read int old\nmmap2 unsigned long addr\nia32/umount char * name\n"
    after = merged(before, found, "6.1.0")
    parsed = arguments.parse(after)
    assert parsed["read"] == found["read"]
    assert parsed["mmap2"] == (Argument("addr", "unsigned long"),)
    assert parsed["ia32/umount"] == (Argument("name", "char *"),)
    assert "Linux 6.1.0" in after
    assert merged(after, found, "6.1.0") == after
