"""What a flame graph shows, read back from its SVG; and stacks to draw."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from sysdash.blocking import BlockedStack, Frame, Kind
from sysdash.units import safe

SVG = "{http://www.w3.org/2000/svg}"

HOSTILE = ("<b>&amp;", "\"'", "]]>", "</script><script>", "שלום", "日本語", "a;b", "`", "m`", "`f")
"""Names that are safe for a terminal, but not where text is markup."""

LETTERS = {"p": Kind.PROCESS, "u": Kind.USER, "s": Kind.SYSCALL, "k": Kind.KERNEL, "t": Kind.STATE}


def stack(*texts: str, ns: int, count: int = 1) -> BlockedStack:
    """A stack of frames written as ``KIND:TEXT``, with the kind's letter."""
    frames = (Frame(text[2:], LETTERS[text[0]]) for text in texts)
    return BlockedStack(tuple(frames), ns, count)


names = st.sampled_from([*HOSTILE, "read", "libc.so.6`read", "vmlinux`schedule"]) | st.text(
    max_size=12
).map(safe)
frames = st.builds(Frame, names, st.sampled_from(Kind))
stacks = st.lists(
    st.builds(
        BlockedStack,
        st.lists(frames, min_size=1, max_size=6).map(tuple),
        st.integers(0, 10**12),
        st.integers(1, 10**6),
    ),
    max_size=25,
)


@dataclass(frozen=True)
class Drawn:
    """A frame of the picture: positions and widths in its own units."""

    tooltip: str
    label: str
    colour: str
    x: float
    y: float
    width: float
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The whole name."""
        return self.tooltip.rpartition("\n")[0]

    @property
    def numbers(self) -> str:
        """What the tooltip says of it."""
        return self.tooltip.rpartition("\n")[2]


@dataclass(frozen=True)
class Picture:
    """An SVG file's content."""

    root: ET.Element
    frames: tuple[Drawn, ...]

    def called(self, name: str) -> list[Drawn]:
        """The frames of that name."""
        return [frame for frame in self.frames if frame.name == name]

    def text(self, id_: str) -> str:
        """The text of the element with an id."""
        return "".join(self.element(id_).itertext())

    def element(self, id_: str) -> ET.Element:
        """The element with an id."""
        (found,) = (element for element in self.root.iter() if element.get("id") == id_)
        return found

    def data(self) -> dict[str, Any]:
        """The data that the script reads."""
        found: dict[str, Any] = json.loads(self.text("data"))
        return found

    def levels(self) -> list[list[Drawn]]:
        """The frames by level, the root's first, each from left to right."""
        found: dict[float, list[Drawn]] = {}
        for frame in self.frames:
            found.setdefault(frame.y, []).append(frame)
        return [sorted(found[y], key=lambda frame: frame.x) for y in sorted(found, reverse=True)]


def picture(text: str) -> Picture:
    """Read an SVG file; fails if it is not well-formed."""
    root = ET.fromstring(text)
    return Picture(root, tuple(_frames(root)))


def _frames(root: ET.Element) -> Iterator[Drawn]:
    for group in root.iter(f"{SVG}g"):
        words = tuple((group.get("class") or "").split())
        if "frame" in words:
            rect = _only(group.iter(f"{SVG}rect"))
            label = group.find(f"{SVG}text")
            yield Drawn(
                tooltip="".join(_only(group.iter(f"{SVG}title")).itertext()),
                label="" if label is None else "".join(label.itertext()),
                colour=rect.get("class") or "",
                x=float(rect.get("x") or "nan"),
                y=float(rect.get("y") or "nan"),
                width=float(rect.get("width") or "nan"),
                words=words,
            )


def _only(elements: Iterable[ET.Element]) -> ET.Element:
    (element,) = elements
    return element
