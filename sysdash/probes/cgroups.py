"""Paths of cgroups, from the numbers by which the probe knows them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sysdash.probes.targets import cgroup_root
from sysdash.units import safe

_LOOK_S = 1.0
"""At most this often the hierarchy is searched for a number that is not known."""


class CgroupPaths:
    """The paths of the cgroups that are there now, or were there when they were looked for.

    A cgroup's number is the inode of its folder (kernfs_ino() of its node, kernel/cgroup/cgroup.c);
    it is not used again while the machine runs.
    """

    def __init__(self) -> None:
        self._root = cgroup_root()
        self._paths: dict[int, str] = {}
        self._looked_s = 0.0
        self._look()

    def of(self, ids: npt.NDArray[np.uint64]) -> dict[int, str]:
        """Paths by number, as in ``/proc/PID/cgroup`` and safe to show, where they are known.

        A cgroup that was made and removed within a second or so may stay unknown.

        Args:
            ids: numbers, each as often as you like.
        """
        wanted = {int(number) for number in np.unique(ids)}
        if not wanted <= self._paths.keys() and time.monotonic() - self._looked_s >= _LOOK_S:
            self._look()
        return {number: self._paths[number] for number in wanted if number in self._paths}

    def _look(self) -> None:
        self._looked_s = time.monotonic()
        if self._root is not None:
            self._paths[self._root.stat().st_ino] = "/"
            self._paths.update(_below(self._root, ""))


def _below(folder: Path | str, path: str) -> Iterator[tuple[int, str]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # removed meanwhile, or not ours to read
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            below = f"{path}/{entry.name}"
            yield entry.inode(), safe(os.fsencode(below))
            yield from _below(entry.path, below)
