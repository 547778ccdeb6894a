"""Names and counts of the command line against strace: 32-bit calls, and numbers without a name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from probing import build

SYSDASH = Path(sys.executable).parent / "sysdash"

Counts = dict[tuple[str, str], tuple[int, int]]
"""Calls and errors by (name, ABI). Those that do not return are missing: strace has none."""

pytestmark = pytest.mark.bpf


def by_sysdash(*command: str) -> Counts:
    done = subprocess.run(
        [SYSDASH, "count", "--json", "--", *command], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert all(count == 0 for name, count in found["lost"].items() if "slow" not in name)
    return {
        (row["syscall"], row.get("abi", "")): (row["count"], row["errors"])
        for row in found["rows"]
        if row["syscall"] != "exit_group"
    }


def by_strace(folder: Path, *command: str) -> Counts:
    output = folder / "strace"
    subprocess.run(["strace", "-c", "-f", "-o", output, *command], check=True)
    counts: Counts = {}
    abi = ""
    for line in output.read_text().splitlines():
        if "32 bit mode" in line:
            abi = "ia32"
        found = re.fullmatch(r" *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:(\d+) +)?(\w+) *", line)
        if found and found[3] != "total":
            counts[found[3], abi] = (int(found[1]), int(found[2] or 0))
    return counts


def test_a_32_bit_program_has_the_names_and_counts_of_strace(tmp_path: Path) -> None:
    flags = ("-m32", "-nostdlib", "-static", "-ffreestanding", "-no-pie")
    program = build("ia32", tmp_path, *flags)
    found = by_sysdash(program)
    assert found["getpid", "ia32"] == (1000, 0)
    assert found["close", "ia32"] == (1, 1)
    assert found == by_strace(tmp_path, program)


def test_a_32_bit_call_is_told_from_a_64_bit_one_of_the_same_number(tmp_path: Path) -> None:
    program = build("abis", tmp_path)
    found = by_sysdash(program, "50")
    # Number 20 in both tables, number 6 in the older one.
    assert found["writev", ""] == (50, 0)
    assert found["getpid", "ia32"] == (50, 0)
    assert found["close", "ia32"] == (50, 50)
    text = subprocess.run(
        [SYSDASH, "count", "-T", "100", "--", program, "50"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for line in ("getpid (ia32) 50", "close (ia32) 50", "writev 50", "getpid (x32) 50"):
        assert line in text_of(text)


def test_a_number_that_no_table_has_is_shown_as_such(tmp_path: Path) -> None:
    program = build("numbers", tmp_path)
    found = by_sysdash(program, "9990", "3", "2")
    for number in (9990, 9991, 9992):
        assert found.pop((f"[unknown: {number}]", "")) == (2, 2)
    # strace's table leaves them out.
    assert found == by_strace(tmp_path, program, "9990", "3", "2")
    text = subprocess.run(
        [SYSDASH, "summary", "--", program, "9990", "3"], capture_output=True, text=True, check=True
    ).stdout
    assert "[unknown: 9990] 1 1" in text_of(text)


def text_of(table: str) -> str:
    """A table with one space between its cells."""
    return "\n".join(" ".join(line.split()) for line in table.splitlines())
