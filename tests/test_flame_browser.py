"""The flame graph in a real browser: what Chromium shows after the script has run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from flame_picture import HOSTILE, SVG, Picture, picture, stack

from sysdash.blocking import BlockedStack
from sysdash.report import flame
from sysdash.units import duration

PATIENCE_S = 60
NAMES = ("chromium", "chromium-browser")

STACKS = [
    stack("p:redis-server", "u:redis-server`aeMain", "s:epoll_wait", "k:vmlinux`schedule",
          ns=6_000_000_000, count=60),
    stack("p:redis-server", "u:redis-server`aeMain", "s:fdatasync", "k:ext4`ext4_sync_file",
          ns=997_000_000, count=9),
    # Too narrow for the whole picture, not for a part of it.
    stack("p:redis-server", "u:redis-server`aeMain", "s:fdatasync", "k:ext4`rarely",
          ns=3_000_000),
    stack("p:python3", "u:python3.11`take_gil", "s:futex", "t:[waiting for a CPU]",
          ns=2_000_000_000, count=1234),
    *(stack("p:hostile", f"u:{name}", "s:read", ns=100_000_000) for name in HOSTILE),
]  # fmt: skip

# Tells of errors; then does what a test says, each after the picture is drawn anew.
OBSERVE = """<script><![CDATA[
  const root = document.documentElement;
  root.setAttribute("data-errors", "");
  window.addEventListener("error", (event) => {
    root.setAttribute("data-errors", root.getAttribute("data-errors") + event.message);
  });
  const frame = (name) => [...document.querySelectorAll(".frame")]
    .find((each) => each.querySelector("title").textContent.split("\\n")[0] === name);
  const key = (key, words) => (document.activeElement ?? root).dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...words }));
  const click = (element) => element.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  const type = (text) => {
    const input = document.getElementById("search");
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const note = (name, text) => root.setAttribute(`data-${name}`, text);
  const steps = [%s];
  const step = () => {
    if (!steps.length) return note("done", "yes");
    steps.shift()();
    setTimeout(step, 50);
  };
  window.addEventListener("load", () => setTimeout(step, 50));
]]></script>"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a short path, as Chromium's sockets need it."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def browser() -> str:
    for name in NAMES:
        if found := shutil.which(name):
            return found
    return pytest.fail("no Chromium here")


def opened(
    folder: Path,
    state: str = "",
    *,
    of: Sequence[BlockedStack] = STACKS,
    width: int = 1200,
    steps: Sequence[str] = (),
) -> Picture:
    """What the document holds once it was opened and the steps were done, without any error."""
    text = flame.svg(of, title="Blocked", subtitle="A subtitle that is longer than 30 columns")
    script = OBSERVE % ", ".join(f"() => {{ {step} }}" for step in steps)
    file = folder / "flame.svg"
    file.write_text(text.replace("<style>", f"{script}\n<style>", 1))
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900",
        "--virtual-time-budget=5000", "--dump-dom", f"{file.as_uri()}{state}",
    ]  # fmt: skip
    result = subprocess.run(
        command,
        env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = picture(result.stdout)
    assert found.root.get("data-errors") == ""
    assert found.root.get("data-done") == "yes"
    return found


def node(name: str) -> int:
    """The number of the first frame of that name, as addresses have it."""
    data = picture(flame.svg(STACKS, title="", subtitle="")).data()
    return next(at for at, frame in enumerate(data["frame"]) if data["names"][frame] == name)


def names(found: Picture) -> set[str]:
    return {frame.name for frame in found.frames}


def test_draws_what_is_there_without_scripts_too(folder: Path) -> None:
    still = picture(flame.svg(STACKS, title="Blocked", subtitle=""))
    live = opened(folder)
    # The same frames, names, labels, times, shares, colours and places.
    assert len(live.frames) == len(still.frames) > 20
    for one, other in zip(live.frames, still.frames, strict=True):
        assert (one.tooltip, one.label, one.colour) == (other.tooltip, other.label, other.colour)
        assert (one.x, one.width) == pytest.approx((other.x, other.width), abs=0.02)
        assert one.y == other.y
    assert live.text("rest") == (
        "Not drawn: 1 narrow frame, in <0.1% of the time; zoom in to see them."
    )
    assert live.text("details") == "blocked 10.0s, 100.0% of all, 1,314 times: all"
    assert live.element("reset").get("disabled") is not None
    # Names are text: none became an element.
    assert set(HOSTILE) <= names(live)
    assert len(list(live.root.iter(f"{SVG}script"))) == 3


def test_fills_a_narrow_and_a_wide_window(folder: Path) -> None:
    for width in (600, 2400):
        found = opened(folder, width=width)
        (root,) = found.called("all")
        assert (root.x, root.width) == (16, width - 32)
        (redis,) = found.called("redis-server")
        assert redis.width == pytest.approx(root.width * 0.7, abs=0.02)
        assert len(redis.label) == len("redis-server")


def test_an_address_can_ask_for_a_search(folder: Path) -> None:
    found = opened(folder, "#search=SYNC%7Cfutex")
    hits = [frame.name for frame in found.frames if "hit" in frame.words]
    assert sorted(hits) == ["ext4`ext4_sync_file", "fdatasync", "futex"]
    # A frame within a frame that matches is not counted twice.
    assert found.text("said") == "matched 30.0% of all, 3.00s"


def test_an_address_can_ask_for_a_zoom(folder: Path) -> None:
    found = opened(folder, f"#zoom={node('fdatasync')}&search=rarely")
    assert [(frame.name, frame.width) for frame in found.frames[:4]] == [
        ("all", 1168),
        ("redis-server", 1168),
        ("redis-server`aeMain", 1168),
        ("fdatasync", 1168),
    ]
    assert ["below" in frame.words for frame in found.frames[:4]] == [True, True, True, False]
    # What was too narrow before is there now.
    (rarely,) = found.called("ext4`rarely")
    assert rarely.width == pytest.approx(1168 * 0.003, abs=0.02)
    (often,) = found.called("ext4`ext4_sync_file")
    assert often.x == 16
    assert rarely.x == pytest.approx(16 + often.width, abs=0.02)
    assert "hit" in rarely.words
    assert len(found.frames) == 6
    assert found.text("rest") == ""
    assert found.text("said") == "matched 0.3% of this, 3.00ms"
    assert found.text("details") == "blocked 1.00s, 10.0% of all, 10 times: fdatasync"
    assert found.element("reset").get("disabled") is None


def test_an_address_that_makes_no_sense_does_no_harm(folder: Path) -> None:
    found = opened(folder, "#zoom=99999&search=(")
    (root,) = found.called("all")
    assert root.width == 1168
    assert found.text("said") == "not a regular expression"
    assert found.element("search").get("aria-invalid") == "true"
    assert not [frame for frame in found.frames if "hit" in frame.words]


def test_people_zoom_search_and_go_back(folder: Path) -> None:
    found = opened(
        folder,
        steps=[
            "click(frame('fdatasync'));",
            "note('zoomed', location.hash); note('wide', frame('fdatasync').getBBox().width);",
            "key('Escape');",
            "note('reset', location.hash); note('narrow', frame('fdatasync').getBBox().width);",
            "key('f', { ctrlKey: true }); note('focus', document.activeElement.id);",
            "type('epoll');",
            "note('found', document.getElementById('said').textContent);",
            "key('Escape');",
            "note('cleared', document.querySelectorAll('.hit').length);",
            "key('/'); note('again', document.activeElement.id); type('*');",
            "note('wrong', document.getElementById('said').textContent);",
            "type('futex'); document.activeElement.blur();",
            "frame('redis-server').focus(); key('ArrowUp'); key('ArrowUp'); key('ArrowRight');",
            "note('details', document.getElementById('details').textContent); key('Enter');",
            "note('entered', location.hash); click(document.getElementById('reset'));",
            "note('end', location.hash); history.back();",
        ],
    )
    noted = {key.removeprefix("data-"): value for key, value in found.root.attrib.items()}
    fdatasync = node("fdatasync")
    assert noted["zoomed"] == f"#zoom={fdatasync}"
    assert float(noted["wide"]) == pytest.approx(1168)
    assert noted["reset"] == "#zoom=0"
    assert float(noted["narrow"]) == pytest.approx(116.8, abs=0.1)
    assert (noted["focus"], noted["again"]) == ("search", "search")
    assert noted["found"] == f"matched 60.0% of all, {duration(6_000_000_000)}"
    assert noted["cleared"] == "0"
    assert noted["wrong"] == "not a regular expression"
    assert noted["details"] == "blocked 1.00s, 10.0% of all, 10 times: fdatasync"
    assert noted["entered"] == f"#zoom={fdatasync}&search=futex"
    assert noted["end"] == "#zoom=0&search=futex"
    # The way back leads to the zoom.
    (zoomed,) = found.called("fdatasync")
    assert zoomed.width == 1168


def test_a_picture_that_is_higher_than_the_window_begins_at_its_head(folder: Path) -> None:
    deep = [stack("p:app", *(f"u:app`f{at}" for at in range(60)), "s:read", ns=S) for S in (1, 2)]
    steps = [
        "note('at', window.scrollY); note('high', root.getBoundingClientRect().height);",
        "note('head', document.getElementById('head').getAttribute('transform'));",
        "window.scrollTo(0, 300);",
        "note('before', root.getBoundingClientRect().height - window.scrollY);",
        "click(frame('app`f30'));",
        "note('after', root.getBoundingClientRect().height - window.scrollY);",
    ]
    for width in (600, 1200):
        noted = opened(folder, of=deep, width=width, steps=steps).root.attrib
        assert float(noted["data-high"]) > 1000
        assert (noted["data-at"], noted["data-head"]) == ("0", "translate(0 0)")
        # Who has gone down stays as far from the bottom.
        assert float(noted["data-after"]) == pytest.approx(float(noted["data-before"]), abs=1)


def test_nothing_blocked_is_shown_as_that(folder: Path) -> None:
    found = opened(folder, "#search=a", of=[])
    (root,) = found.frames
    assert (root.name, root.width) == ("all", 1168)
    assert found.text("details") == "blocked 0ns, 0% of all, 0 times: all"
    assert found.text("rest") == "Nothing was blocked."
    assert picture(flame.svg([], title="", subtitle="")).text("rest") == "Nothing was blocked."
