"""Folded stacks and speedscope's files, from stacks that are known."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from flame_picture import stack, stacks
from hypothesis import given

from sysdash.blocking import BlockedStack, Frame, Kind
from sysdash.report.stackfiles import folded, speedscope

READ = stack("p:cat", "u:libc.so.6`read", "s:read", "k:vmlinux`vfs_read", ns=1_234_000)
POLL = stack("p:redis", "s:poll (ia32)", "t:[waiting for a CPU]", ns=2_000_000)


def fold_again(lines: Sequence[str]) -> dict[str, int]:
    """As flamegraph.pl reads lines: the last word is the number."""
    found = {}
    for line in lines:
        names, _, microseconds = line.rpartition(" ")
        assert names not in found
        found[names] = int(microseconds)
    return found


# --- Folded ---


def test_folds_outermost_first_in_microseconds() -> None:
    assert list(folded([READ, POLL])) == [
        "cat;libc.so.6`read;read;vmlinux`vfs_read 1234",
        "redis;poll (ia32);[waiting for a CPU] 2000",
    ]
    assert list(folded([])) == []


def test_a_semicolon_in_a_name_divides_nothing_and_equal_lines_are_one() -> None:
    of = [stack("p:a;b", "s:read", ns=1000), stack("p:a:b", "s:read", ns=3000), READ]
    assert list(folded(of)) == ["a:b;read 4", "cat;libc.so.6`read;read;vmlinux`vfs_read 1234"]


def test_what_is_rounded_off_goes_to_the_next() -> None:
    of = [stack(f"p:{number}", ns=400) for number in range(10)]
    lines = fold_again(list(folded(of)))
    assert sum(lines.values()) == 4
    assert set(lines.values()) == {1}
    assert fold_again(list(folded([stack("p:a", ns=499)]))) == {}
    assert fold_again(list(folded([stack("p:a", ns=500)]))) == {"a": 1}


@given(stacks)
def test_the_sum_and_each_stack_are_as_right_as_whole_numbers_can_be(
    of: list[BlockedStack],
) -> None:
    exact: dict[str, int] = {}
    for each in of:
        names = ";".join(frame.text.replace(";", ":") for frame in each.frames)
        exact[names] = exact.get(names, 0) + each.ns
    lines = fold_again(list(folded(of)))
    assert set(lines) <= set(exact)
    assert all(abs(lines.get(names, 0) * 1000 - ns) < 1000 for names, ns in exact.items())
    assert abs(sum(lines.values()) * 1000 - sum(exact.values())) <= 500


# --- Speedscope ---


def loaded(of: Sequence[BlockedStack], name: str = "blocked") -> Any:
    return json.loads("".join(speedscope(of, name=name)))


def test_is_a_sampled_profile_in_nanoseconds() -> None:
    assert loaded([READ, POLL], 'a "name"') == {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": 'a "name"',
        "exporter": "sysdash",
        "profiles": [
            {
                "type": "sampled",
                "name": 'a "name"',
                "unit": "nanoseconds",
                "startValue": 0,
                "endValue": 3_234_000,
                "samples": [[0, 1, 2, 3], [4, 5, 6]],
                "weights": [1_234_000, 2_000_000],
            }
        ],
        "shared": {
            "frames": [
                {"name": "cat"},
                {"name": "libc.so.6`read"},
                {"name": "read"},
                {"name": "vmlinux`vfs_read"},
                {"name": "redis"},
                {"name": "poll (ia32)"},
                {"name": "[waiting for a CPU]"},
            ]
        },
    }


def test_no_stacks_are_a_profile_too() -> None:
    file = loaded([])
    assert file["shared"] == {"frames": []}
    (profile,) = file["profiles"]
    assert (profile["samples"], profile["weights"], profile["endValue"]) == ([], [], 0)


@given(stacks)
def test_every_stack_can_be_read_back(of: list[BlockedStack]) -> None:
    file = loaded(of)
    shared = [frame["name"] for frame in file["shared"]["frames"]]
    (profile,) = file["profiles"]
    assert [[shared[index] for index in sample] for sample in profile["samples"]] == [
        [frame.text for frame in each.frames] for each in of
    ]
    assert profile["weights"] == [each.ns for each in of]
    # A frame is written once; a function and a system call of one name are two.
    assert len(shared) == len({frame for each in of for frame in each.frames})


# --- Very many ---


@pytest.mark.parametrize("write", [folded, lambda of: speedscope(of, name="x")])
def test_very_many_deep_stacks_come_in_pieces_and_soon(write: Any) -> None:
    names = [Frame(f"library.so`function_{number}", Kind.USER) for number in range(1000)]
    of = [
        BlockedStack(tuple(names[(at * 7 + depth) % 1000] for depth in range(190)), 1000 + at, 1)
        for at in range(16_000)
    ]
    began = time.monotonic()
    sizes = [len(piece) for piece in write(of)]
    assert time.monotonic() - began < 20
    assert len(sizes) >= 1000
    # The longest piece is the list of weights, a number a stack.
    assert max(sizes) < 16_000 * 10
