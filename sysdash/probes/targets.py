"""The processes, threads and cgroups that a filter names: whether they are there, and their IDs."""

from __future__ import annotations

import os
from pathlib import Path

from sysdash.errors import CannotCollect
from sysdash.units import safe

_MOUNTS = Path("/proc/self/mountinfo")


def require_process(pid: int) -> None:
    """Check that a process is there.

    Raises:
        CannotCollect: there is none, or ``pid`` is one of a process's other threads.
    """
    _require(pid, "process")
    try:
        tgid = _tgid(pid)
    except OSError:
        return  # it may be hidden from us, or have ended just now
    if tgid != pid:
        raise CannotCollect(f"{pid} is a thread of process {tgid}", f"Use --tid {pid}")


def require_thread(tid: int) -> None:
    """Check that a thread is there.

    Raises:
        CannotCollect: there is none.
    """
    _require(tid, "thread")


def _require(number: int, kind: str) -> None:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        raise CannotCollect(f"there is no {kind} {number}") from None
    except PermissionError:
        pass  # it is there, and another user's


def _tgid(tid: int) -> int:
    # Source: fs/proc/array.c, proc_pid_status.
    for line in Path(f"/proc/{tid}/status").read_bytes().splitlines():
        if line.startswith(b"Tgid:"):
            return int(line[5:])
    raise OSError(f"/proc/{tid}/status has no Tgid")


def cgroup_id(path: str) -> int:
    """The ID of a cgroup of the v2 hierarchy.

    Args:
        path: its folder, or its path below the hierarchy's mount, as in ``/proc/PID/cgroup``.

    Raises:
        CannotCollect: there is no such cgroup, or it cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        root = cgroup_root()
        if root is not None:
            folder = root / path.lstrip("/")
    try:
        # On 64-bit machines the inode number is the ID (include/linux/kernfs.h, kernfs_ino).
        number = folder.stat().st_ino
        # Every folder of a cgroup v2 hierarchy has this file, and no other folder does.
        (folder / "cgroup.controllers").stat()
    except (FileNotFoundError, NotADirectoryError):
        raise CannotCollect(
            f"{safe(path)} is no cgroup of the v2 hierarchy",
            "Give its folder below /sys/fs/cgroup, or its path as in /proc/PID/cgroup",
        ) from None
    except OSError as error:
        raise CannotCollect(f"cannot read the cgroup {safe(path)}: {error.strerror}") from None
    return number


def cgroup_root() -> Path | None:
    """Where the cgroup v2 hierarchy is mounted; None where it is not."""
    # Source: Documentation/filesystems/proc.rst, mountinfo: field 5 is the mount point, and the
    # type follows a lone dash.
    for line in _MOUNTS.read_text(errors="surrogateescape").splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(fields.split(" ")[4])
    return None
