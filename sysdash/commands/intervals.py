"""What a command-line tool prints from: snapshots that follow each other, in intervals."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing

from sysdash.aggregates import Accumulator, Aggregate
from sysdash.model import Snapshot


class Intervals(ABC):
    """One run of the probe, or the reading of a recording, for a command-line tool.

    Attributes:
        interrupted: whether Ctrl-C has been pressed, which a terminal shows in the line it is at.
        status: the exit code, once nothing more is yielded.
    """

    def __init__(self, by: Sequence[str] = (), *, timed: bool = True) -> None:
        """Prepare; nothing happens yet.

        Args:
            by: what calls are grouped by, of :data:`sysdash.model.KEYS`, for :meth:`aggregates`.
            timed: whether the times of calls are wanted.
        """
        self._by = tuple(by)
        self._timed = timed
        self.interrupted = False
        self.status = 0

    def aggregates(self, ready: Callable[[], None]) -> Iterator[Aggregate]:
        """Yield one aggregate an interval, and the last, shorter one at the end.

        The end, ``ready`` and what is raised are those of :meth:`snapshots`.
        """
        accumulator = Accumulator(self._by, timed=self._timed)
        with closing(self.snapshots(ready, live=False)) as snapshots:
            for snapshot, complete in snapshots:
                accumulator.add(snapshot)
                aggregate = accumulator.take() if complete else None
                if aggregate is not None:
                    yield aggregate

    @abstractmethod
    def snapshots(
        self, ready: Callable[[], None], *, live: bool = True
    ) -> Generator[tuple[Snapshot, bool], None, None]:
        """Yield snapshots, and whether an interval ends with each; the last one is the end.

        SIGINT, SIGTERM and SIGHUP end it with what there is.

        Args:
            ready: called when there is nothing that can go wrong any more.
            live: whether somebody waits for what is in each of them, and not for their sum.

        Raises:
            CannotCollect: there is nothing to be had.
            KeyboardInterrupt: SIGINT came before there was anything to yield.
        """


def forget(numbers: AbstractSet[signal.Signals]) -> None:
    """Drop the signals that are pending: what they ask for is being done."""
    while signal.sigtimedwait(numbers, 0) is not None:
        pass
