"""``sysdash replay``: the dashboard on a recording. No root and no bcc."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import resources

from sysdash import terminal
from sysdash.arguments import Signatures
from sysdash.commands import words
from sysdash.errors import CannotCollect
from sysdash.moments import Moment, spoken
from sysdash.recording import BadRecording, Recording
from sysdash.replay import Player
from sysdash.story import Teller
from sysdash.ui_state import REPLAY
from sysdash.units import fit, safe

_COLUMNS = 60


def run(args: argparse.Namespace) -> int:
    """Show the dashboard on a recording until the user leaves it.

    Raises:
        CannotCollect: there is no terminal, or the file is no recording that can be read.
        ConfigError: the configuration cannot be used.
    """
    if not args.demo:
        return _play(args, args.file)
    with resources.as_file(resources.files("sysdash") / "demo" / "demo.sysdash") as path:
        return _play(args, str(path))


def _play(args: argparse.Namespace, path: str) -> int:
    settings = words.settings(args)
    with Recording(path) as recording:
        if not len(recording):
            raise BadRecording(f"{fit(safe(path), _COLUMNS)} has no intervals")
        place = _place(recording, args.at)
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise CannotCollect(
                "the dashboard needs a terminal",
                "Run it in one; without, count, lat, summary and slow take --from FILE",
            )
        player = Player(
            recording,
            speed=args.speed,
            keep_slow=settings.slow_keep,
            place=place,
            playing=not args.paused,
        )

        def begin(wake: Callable[[], None]) -> Player:
            player.wake = wake
            return player

        terminal.run(
            begin,
            player,
            interval_s=recording.facts.interval_s,
            sort=settings.sort,
            theme=settings.theme,
            display=settings.display,
            limits=recording.facts.limits,
            most=args.top,
            mode=REPLAY,
            tell=Teller(Signatures()).tell,
            playback=player,
        )
    return 0


def _place(recording: Recording, at: Moment | None) -> int:
    """The interval with which to begin."""
    if at is None:
        return 0
    span = recording.timeline.span
    time_ns = at.within(span)
    if not span.begin_ns <= time_ns <= span.end_ns:
        name = fit(safe(recording.path), _COLUMNS)
        raise BadRecording(f"{name} has nothing at {at.text}, only from {spoken(span)}")
    return recording.timeline.at(time_ns)
