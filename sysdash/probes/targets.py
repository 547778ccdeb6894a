"""The processes, threads and cgroups that a filter names: whether, and where, they are there."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sysdash.errors import CannotCollect
from sysdash.units import safe

MOUNT_CGROUPS = "mount -t cgroup2 none /sys/fs/cgroup"
"""What mounts the cgroup v2 hierarchy, where nothing does."""

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


def cgroup_path(path: str) -> str:
    """The folder of a cgroup in the v2 hierarchy, as an absolute path.

    Args:
        path: its folder, or its path below the hierarchy's mount, as in ``/proc/PID/cgroup``.

    Raises:
        CannotCollect: there is no such cgroup, or it cannot be read.
    """
    mounts = _cgroup_mounts()
    candidates = [path] if path.startswith("/") else []
    candidates += [f"{mount}/{path}" for mount in mounts if path]
    for candidate in candidates:
        try:
            folder = Path(candidate).resolve(strict=True)
            if any(folder.is_relative_to(mount) for mount in mounts):
                # Every folder of the hierarchy has this file.
                (folder / "cgroup.controllers").stat()
                return str(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except RuntimeError:  # symbolic links that lead to each other
            continue
        except OSError as error:
            raise CannotCollect(f"cannot read the cgroup {safe(path)}: {error.strerror}") from None
    raise CannotCollect(
        f"{safe(path)} is no cgroup of the v2 hierarchy",
        f"Give its folder below {safe(str(mounts[0]))}, or its path as in /proc/PID/cgroup"
        if mounts
        else f"It is not mounted here: {MOUNT_CGROUPS}",
    )


def cgroup_root() -> Path | None:
    """Where the cgroup v2 hierarchy is mounted; None where it is not."""
    return next(iter(_cgroup_mounts()), None)


def _cgroup_mounts() -> list[Path]:
    # Source: Documentation/filesystems/proc.rst, mountinfo: field 5 is the mount point, and the
    # type follows a lone dash. Spaces and the like are written in octal (fs/proc_namespace.c).
    mounts = []
    for line in _MOUNTS.read_bytes().splitlines():
        fields, _, kind = line.partition(b" - ")
        if kind.startswith(b"cgroup2 "):
            point = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), fields.split(b" ")[4])
            mounts.append(Path(os.fsdecode(point)))
    return mounts
