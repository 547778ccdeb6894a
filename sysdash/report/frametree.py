"""Stacks as a tree of frames, of bounded size."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sysdash.blocking import BlockedStack, Frame


class Room(NamedTuple):
    """How much a tree may take where it is written.

    Attributes:
        characters: altogether.
        node: what a node takes without its name.
        once: whether a name is written once for all nodes that have it.
    """

    characters: int
    node: int
    once: bool


class Node(NamedTuple):
    """A frame below its callers.

    Attributes:
        frame: what it is; None for the root.
        depth: how many callers it has; 0 for the root.
        ns: blocked time of the stacks that go through it.
        times: how often they blocked.
    """

    frame: Frame | None
    depth: int
    ns: int
    times: int


class Rest(NamedTuple):
    """What was left out: so many frames, and the blocked time of the stacks that they cut short."""

    frames: int
    ns: int


class _Nodes:
    """Nodes in columns, depth first, because there can be millions: all stacks times their frames.

    A frame is an index into ``frames``, whose first is the root's.
    """

    def __init__(self) -> None:
        self.frames: list[Frame | None] = [None]
        self.frame = array("l", [0])
        self.depth = array("l", [0])
        self.ns = array("q", [0])
        self.times = array("q", [0])


def tree(stacks: Sequence[BlockedStack], room: Room) -> tuple[list[Node], Rest]:
    """The frames that most time was blocked in, and what was left out.

    Args:
        stacks: in any order.
        room: what the nodes may take. The root is always there.

    Returns:
        The nodes, depth first; of those with the same caller, the longest time first.
    """
    nodes = _all(stacks)
    kept = _largest(nodes.ns, lambda index: nodes.frames[nodes.frame[index]], room)
    rest = _rest(nodes.depth, nodes.ns, kept)
    return _longest_first(nodes, sorted(kept)), rest


def prune(
    nodes: Sequence[Node], room: Room, least_ns: float
) -> tuple[list[tuple[Node, int]], Rest]:
    """The nodes of a tree that are large enough, each with its time from the left.

    Args:
        nodes: as from :func:`tree`.
        room: what the nodes may take. The root is always there.
        least_ns: what has less time is left out.
    """
    lengths_ns = [node.ns for node in nodes]
    kept = _largest(lengths_ns, lambda index: nodes[index].frame, room, least_ns)
    placed = []
    # Where the next node of each depth begins.
    left = [0]
    for index, node in enumerate(nodes):
        del left[node.depth + 1 :]
        begin = left[-1]
        left[-1] += node.ns
        left.append(begin)
        if index in kept:
            placed.append((node, begin))
    return placed, _rest([node.depth for node in nodes], lengths_ns, kept)


def _all(stacks: Sequence[BlockedStack]) -> _Nodes:
    """Every node. Stacks that begin alike are next to each other once they are sorted."""
    numbers: dict[Frame, int] = {}
    rows = sorted(
        ([numbers.setdefault(frame, len(numbers) + 1) for frame in stack.frames], at)
        for at, stack in enumerate(stacks)
    )
    nodes = _Nodes()
    nodes.frames += numbers
    before: list[int] = []
    path = [0]
    for row, at in rows:
        shared = 0
        while shared < min(len(row), len(before)) and row[shared] == before[shared]:
            shared += 1
        del path[shared + 1 :]
        for depth, frame in enumerate(row[shared:], shared + 1):
            path.append(len(nodes.frame))
            nodes.frame.append(frame)
            nodes.depth.append(depth)
            nodes.ns.append(0)
            nodes.times.append(0)
        stack = stacks[at]
        for node in path:
            nodes.ns[node] += stack.ns
            nodes.times[node] += stack.count
        before = row
    return nodes


def _largest(
    lengths_ns: Sequence[int],
    frame_of: Callable[[int], Frame | None],
    room: Room,
    least_ns: float = 0,
) -> set[int]:
    """The nodes with the most time, as many as there is room for.

    Callers come before what they call, in this order as well: they have no less time, and the
    order of equals stays. So the caller of a node that is kept is kept.
    """
    kept = {0}
    seen: set[Frame] = set()
    left = room.characters
    most = left // room.node + 1
    for index in heapq.nlargest(most, range(len(lengths_ns)), key=lengths_ns.__getitem__):
        frame = frame_of(index)
        if frame is None:
            continue
        left -= room.node + (0 if room.once and frame in seen else len(frame.text))
        if left < 0 or lengths_ns[index] < least_ns:
            break
        seen.add(frame)
        kept.add(index)
    return kept


def _rest(depths: Sequence[int], lengths_ns: Sequence[int], kept: set[int]) -> Rest:
    ns = 0
    # The depth of the frame that is left out and has this one within.
    cut: int | None = None
    for index, depth in enumerate(depths):
        if cut is not None and depth > cut:
            continue
        cut = None
        if index not in kept:
            cut = depth
            ns += lengths_ns[index]
    return Rest(len(depths) - len(kept), ns)


def _longest_first(nodes: _Nodes, kept: Sequence[int]) -> list[Node]:
    within: dict[int, list[int]] = {index: [] for index in kept}
    path: list[int] = []
    for index in kept:
        del path[nodes.depth[index] :]
        if path:
            within[path[-1]].append(index)
        path.append(index)

    def order(index: int) -> tuple[int, str]:
        frame = nodes.frames[nodes.frame[index]]
        return -nodes.ns[index], "" if frame is None else frame.text

    result = []
    ahead = [0]
    while ahead:
        index = ahead.pop()
        frame = nodes.frames[nodes.frame[index]]
        result.append(Node(frame, nodes.depth[index], nodes.ns[index], nodes.times[index]))
        ahead += sorted(within[index], key=order, reverse=True)
    return result
