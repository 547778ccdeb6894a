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
        self._look(set())

    def of(self, ids: npt.NDArray[np.uint64]) -> dict[int, str]:
        """Paths by number, as in ``/proc/PID/cgroup`` and safe to show, where they are known.

        A cgroup that was made and removed within a second or so may stay unknown.

        Args:
            ids: numbers, each as often as you like.
        """
        wanted = {int(number) for number in np.unique(ids)}
        if not wanted <= self._paths.keys() and time.monotonic() - self._looked_s >= _LOOK_S:
            self._look(wanted)
        return {number: self._paths[number] for number in wanted if number in self._paths}

    def _look(self, wanted: set[int]) -> None:
        """Find those that are there; of those that are not any more, keep the wanted ones."""
        self._looked_s = time.monotonic()
        self._paths = {n: path for n, path in self._paths.items() if n in wanted}
        if self._root is not None:
            self._paths.update(_paths(self._root))


def _paths(root: Path) -> Iterator[tuple[int, str]]:
    yield root.stat().st_ino, "/"
    folders = [(str(root), "")]
    while folders:
        folder, path = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:  # removed meanwhile, not ours to read, or nested too deep for a path
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below = f"{path}/{entry.name}"
                yield entry.inode(), safe(os.fsencode(below))
                folders.append((entry.path, below))
