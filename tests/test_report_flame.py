"""The flame graph's file: what is drawn without scripts, and the data that the script gets."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Sequence
from typing import Any

import pytest
from flame_picture import HOSTILE, LETTERS, Drawn, Picture, picture, stack, stacks
from hypothesis import given, settings

from sysdash.blocking import BlockedStack, Frame, Kind
from sysdash.report import flame, frametree
from sysdash.units import duration

CODE = {kind: letter for letter, kind in LETTERS.items()}

REDIS = stack(
    "p:redis-server", "u:redis-server`aeMain", "u:libc.so.6`epoll_wait", "s:epoll_wait",
    "k:vmlinux`do_epoll_wait", "k:vmlinux`schedule", ns=6_000_000_000, count=60,
)  # fmt: skip
FSYNC = stack("p:redis-server", "u:redis-server`aeMain", "s:fdatasync", ns=1_000_000_000, count=9)
CAT = stack("p:cat", "s:read", "t:[waiting for a CPU]", ns=3_000_000_000)
ALL = [CAT, REDIS, FSYNC]


def drawn(of: Sequence[BlockedStack], title: str = "Title", subtitle: str = "Subtitle") -> Picture:
    return picture(flame.svg(of, title=title, subtitle=subtitle))


def expected(of: Sequence[BlockedStack]) -> dict[tuple[Frame, ...], tuple[int, int]]:
    """Time and count of every beginning of a stack, added up the plain way."""
    sums: dict[tuple[Frame, ...], tuple[int, int]] = {}
    for each in of:
        for length in range(len(each.frames) + 1):
            ns, count = sums.get(each.frames[:length], (0, 0))
            sums[each.frames[:length]] = ns + each.ns, count + each.count
    return sums


def read_back(data: dict[str, Any]) -> dict[tuple[str, ...], tuple[int, int]]:
    """The same from the data in the file, frames as ``KIND:TEXT``."""
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    path: list[str] = []
    for frame, depth, ns, times in zip(
        data["frame"], data["depth"], data["ns"], data["times"], strict=True
    ):
        del path[depth:]
        path.append(f"{data['classes'][frame][0]}:{data['names'][frame]}")
        assert tuple(path[1:]) not in found
        found[tuple(path[1:])] = ns, times
    return found


def below(frame: Drawn, level: Sequence[Drawn]) -> Drawn:
    """The caller: the frame of the level below whose room this one is in."""
    (caller,) = (
        other
        for other in level
        if other.x - 0.02 <= frame.x and frame.x + frame.width <= other.x + other.width + 0.02
    )
    return caller


# --- The picture ---


def test_the_width_is_the_blocked_time() -> None:
    found = drawn(ALL)
    (root,) = found.called("all")
    assert root.width == pytest.approx(1200 - 2 * 16)
    widths = {frame.name: frame.width / root.width for frame in found.frames}
    assert widths == pytest.approx(
        {
            "all": 1,
            "redis-server": 0.7,
            "redis-server`aeMain": 0.7,
            "libc.so.6`epoll_wait": 0.6,
            "epoll_wait": 0.6,
            "vmlinux`do_epoll_wait": 0.6,
            "vmlinux`schedule": 0.6,
            "fdatasync": 0.1,
            "cat": 0.3,
            "read": 0.3,
            "[waiting for a CPU]": 0.3,
        },
        abs=1e-4,
    )


def test_callers_are_below_and_the_longest_time_is_on_the_left() -> None:
    names = [[frame.name for frame in level] for level in drawn(ALL).levels()]
    assert names[:4] == [
        ["all"],
        ["redis-server", "cat"],
        ["redis-server`aeMain", "read"],
        ["libc.so.6`epoll_wait", "fdatasync", "[waiting for a CPU]"],
    ]


def test_a_frame_says_its_time_share_and_count() -> None:
    found = drawn(ALL)
    numbers = {frame.name: frame.numbers for frame in found.frames}
    assert numbers["all"] == "blocked 10.0s, 100.0% of all, 70 times"
    assert numbers["epoll_wait"] == "blocked 6.00s, 60.0% of all, 60 times"
    assert numbers["cat"] == "blocked 3.00s, 30.0% of all, once"


def test_kinds_have_their_colours_and_names_their_shades() -> None:
    found = drawn(ALL)
    kinds = {frame.name: frame.colour[0] for frame in found.frames}
    assert kinds["all"] == "a"
    assert kinds["redis-server"] == "p"
    assert kinds["redis-server`aeMain"] == "u"
    assert kinds["epoll_wait"] == "s"
    assert kinds["vmlinux`schedule"] == "k"
    assert kinds["[waiting for a CPU]"] == "t"
    legend = "".join(found.element("legend").itertext())
    assert legend == "processprogramsystem callkernelstate"
    assert "kernel" not in "".join(drawn([CAT]).element("legend").itertext())
    # Always the same, in another picture too.
    again = {frame.name: frame.colour for frame in drawn([REDIS]).frames}
    assert again.items() <= {frame.name: frame.colour for frame in found.frames}.items()
    style = next(
        "".join(element.itertext())
        for element in found.root.iter()
        if element.tag.endswith("style")
    )
    shades = {f".{kind}{shade} {{ fill:" for kind in LETTERS for shade in range(6)}
    assert all(shade in style for shade in shades)
    assert len({frame.colour for frame in drawn(_siblings(100)).frames}) == 1 + 6


def _siblings(number: int) -> list[BlockedStack]:
    return [stack(f"p:process {at}", ns=1000) for at in range(number)]


@settings(max_examples=60)
@given(stacks)
def test_everything_drawn_is_as_wide_as_its_time_and_within_its_caller(
    of: list[BlockedStack],
) -> None:
    found = drawn(of)
    sums = expected(of)
    total = sums[()][0] if of else 0
    levels = found.levels()
    (root,) = levels[0]
    callers: dict[Drawn, list[str]] = {root: []}
    inside: dict[Drawn, float] = {}
    seen = set()
    for lower, level in itertools.pairwise(levels):
        for frame in level:
            caller = below(frame, lower)
            path = [*callers[caller], f"{frame.colour[0]}:{frame.name}"]
            callers[frame] = path
            inside[caller] = inside.get(caller, 0) + frame.width
            seen.add(tuple(path))
        for left, right in itertools.pairwise(level):
            assert left.x + left.width <= right.x + 0.02
    by_words = {
        tuple(f"{CODE[frame.kind]}:{frame.text}" for frame in path): ns
        for path, (ns, _) in sums.items()
    }
    # What is wide enough is drawn, and nothing else.
    wide = {path for path, ns in by_words.items() if path and total and ns >= total / 1000}
    assert seen == wide
    for frame, words in callers.items():
        if words:
            share = by_words[tuple(words)] / total
            assert frame.width / root.width == pytest.approx(share, abs=1e-4)
    assert all(width <= frame.width + 0.05 for frame, width in inside.items())
    # What is not drawn is counted.
    left_out = len(by_words) - 1 - len(wide) if of else 0
    said = re.match(
        r"Not drawn: ([\d,]+) narrow frames?, in (\S+) of the time\.", found.text("rest")
    )
    assert (int(said[1].replace(",", "")) if said else 0) == left_out


def test_narrow_frames_are_counted_with_the_time_they_cut_short() -> None:
    wide = stack("p:wide", "s:read", ns=1_000_000_000)
    narrow = [stack(f"p:narrow {at}", "s:read", ns=500_000) for at in range(4)]
    found = drawn([wide, *narrow])
    assert [frame.name for frame in found.frames] == ["all", "wide", "read"]
    assert found.text("rest") == "Not drawn: 8 narrow frames, in 0.2% of the time."
    assert drawn([wide, narrow[0]]).text("rest") == (
        "Not drawn: 2 narrow frames, in <0.1% of the time."
    )
    assert drawn([wide]).text("rest") == ""


def test_a_function_is_kept_longer_than_its_module() -> None:
    def label(text: str, columns: int) -> str:
        # The picture has 1168 units, a label takes 8 and 7.3 a column.
        width = 8 + 7.3 * columns + 1
        rest = round((1168 - width) * 1e6)
        found = drawn([stack(f"u:{text}", ns=round(width * 1e6)), stack("u:rest", ns=rest)])
        (frame,) = found.called(text)
        return frame.label

    assert label("libpq.so.5`PQgetResult", 22) == "libpq.so.5`PQgetResult"
    assert label("libpq.so.5`PQgetResult", 21) == "libpq.so…`PQgetResult"
    assert label("libpq.so.5`PQgetResult", 16) == "lib…`PQgetResult"
    assert label("libpq.so.5`PQgetResult", 15) == "PQgetResult"
    assert label("libpq.so.5`PQgetResult", 10) == "PQgetResu…"
    assert label("libpq.so.5`PQgetResult", 3) == "PQ…"
    assert label("libpq.so.5`PQgetResult", 2) == ""
    assert label("redis-server", 6) == "redis…"
    assert label("日本語日本語", 9) == "日本語日…"
    assert label("module`", 5) == "modu…"


def test_nothing_blocked_is_an_empty_picture() -> None:
    for of in ([], [stack("p:a", ns=0)]):
        found = drawn(of)
        (root,) = found.frames
        assert root.width == 1168
        assert root.numbers.startswith("blocked 0ns, 0% of all, ")


# --- Hostile text ---


def test_names_are_text_whatever_is_in_them() -> None:
    of = [stack(f"p:{name}", f"u:{name}", "s:read", ns=1_000_000) for name in HOSTILE]
    text = flame.svg(of, title="<i>&]]>", subtitle="</text><script>alert(1)</script>")
    found = picture(text)
    assert {frame.name for frame in found.frames} == {*HOSTILE, "all", "read"}
    assert found.text("title") == "<i>&]]>"
    assert found.text("subtitle") == "</text><script>alert(1)</script>"
    # To HTML, in which the file can be put, no name ends or begins an element either.
    assert text.count("<script") == 2
    assert text.count("</script>") == 2
    assert not re.search(r'id="data">[^<]*[<>&][^<]*</script>', text)


def test_the_file_needs_nothing_else() -> None:
    text = flame.svg(ALL, title="Title", subtitle="Subtitle")
    addresses = set(re.findall(r"[a-z]+://[^\s\"'<)]+", text))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}
    assert not re.search(r"@import|url\(|xlink:href|src=|eval\(|innerHTML", text)


# --- The data ---


@given(stacks)
def test_the_data_are_what_was_measured(of: list[BlockedStack]) -> None:
    data = drawn(of).data()
    sums = expected(of) or {(): (0, 0)}
    assert read_back(data) == {
        tuple(f"{CODE[frame.kind]}:{frame.text}" for frame in path): numbers
        for path, numbers in sums.items()
    }
    assert data["leftOut"] == [0, 0]


def test_the_order_of_the_stacks_does_not_matter() -> None:
    assert flame.svg(ALL, title="t", subtitle="s") == flame.svg(ALL[::-1], title="t", subtitle="s")


def test_a_very_long_name_is_cut() -> None:
    data = drawn([stack(f"u:{'x' * 5000}", ns=1)]).data()
    assert data["names"][1] == "x" * 999 + "…"


@pytest.mark.parametrize("alike", [True, False], ids=["the same names", "names of their own"])
def test_very_many_deep_stacks_make_a_file_of_bounded_size(*, alike: bool) -> None:
    of = []
    for at in range(4_000):
        frames = tuple(
            Frame(f"lib.so`function_{depth if alike else 0}_{at * 190 + depth}", Kind.USER)
            if not alike or depth > 120
            else Frame(f"lib.so`function_{depth}_{at >> (depth // 9) & 3}", Kind.USER)
            for depth in range(190)
        )
        of.append(BlockedStack(frames, 10**9 // (at + 1), 1))
    began = time.monotonic()
    text = flame.svg(of, title="t", subtitle="s")
    assert time.monotonic() - began < 20
    assert len(text.encode()) < 6_000_000
    found = picture(text)
    data = found.data()
    frames_left_out, ns_left_out = data["leftOut"]
    total = sum(each.ns for each in of)
    assert data["ns"][0] == total
    assert 0 < ns_left_out < total
    assert f"Not in this file: {frames_left_out:,} narrow frames, in " in found.text("rest")
    # The rest and the kept together are every different beginning of a stack.
    every = set()
    for each in of:
        beginning = 0
        for frame in each.frames:
            beginning = hash((beginning, frame))
            every.add(beginning)
    assert frames_left_out + len(data["ns"]) - 1 == len(every)


def test_of_a_tree_that_is_too_large_the_longest_times_are_kept_with_their_callers() -> None:
    of = [stack("p:a", "s:read", ns=5), stack("p:b", "s:read", ns=3), stack("p:c", ns=4)]
    room = frametree.Room(characters=3 * 10 + len("aread") + len("c"), node=10, once=True)
    nodes, rest = frametree.tree(of, room)
    texts = [(node.depth, node.frame and node.frame.text, node.ns) for node in nodes]
    assert texts == [(0, None, 12), (1, "a", 5), (2, "read", 5), (1, "c", 4)]
    assert rest == frametree.Rest(frames=2, ns=3)


def test_times_are_written_as_everywhere() -> None:
    for ns in (1, 999, 1500, 45_200_000, 61_000_000_000):
        (frame,) = drawn([stack("p:a", ns=ns)]).called("a")
        assert f"blocked {duration(ns)}, " in frame.numbers
