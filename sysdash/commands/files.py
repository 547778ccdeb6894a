"""Files that a command writes when it ends: whole, or not at all."""

from __future__ import annotations

import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sysdash.config import ConfigError
from sysdash.errors import CannotCollect
from sysdash.units import fit, safe

_NAME_COLUMNS = 120


class Target:
    """Where something will be written.

    Attributes:
        name: the file's name as it was given, safe text.
        is_output: whether it is the standard output, where nothing else is to be printed then.
    """

    def __init__(self, given: str) -> None:
        """Look whether it can be written, before anything is collected for it.

        Args:
            given: a file's name; ``-`` is the standard output.

        Raises:
            ConfigError: it cannot.
        """
        given = "/dev/stdout" if given == "-" else given
        self.name = fit(safe(given), _NAME_COLUMNS)
        self._path = Path(given)
        self._before: os.stat_result | None = None
        self._direct: str | None = None
        self.is_output = False
        try:
            self._look(given)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ConfigError(f"cannot write {self.name}: {reason}") from None

    def _look(self, given: str) -> None:
        # A file that a symbolic link leads to is replaced, and not the link.
        self._path = Path(os.path.realpath(given))
        try:
            found = os.stat(given)  # noqa: PTH116  (Path drops a slash at the end)
        except FileNotFoundError:
            if given.endswith("/"):
                raise ValueError("it is a folder's name") from None
            _look_at_folder(self._path.parent)
            return
        if stat.S_ISDIR(found.st_mode):
            raise ValueError("it is a folder")
        if stat.S_ISBLK(found.st_mode) or stat.S_ISSOCK(found.st_mode):
            raise ValueError("it is no file")
        self.is_output = _is_output(found)
        if self.is_output or not stat.S_ISREG(found.st_mode):
            self._direct = given
        else:
            self._before = found
            _look_at_folder(self._path.parent)

    def write(self, pieces: Iterable[str]) -> None:
        """Write it. A file that was there is replaced when the new one is whole.

        Raises:
            BrokenPipeError: it is a pipe that nobody reads any more.
            CannotCollect: it cannot be written; a file that was there is as it was.
        """
        try:
            if self._direct is None:
                self._replace(pieces)
            else:
                _write(_opened(self._direct, is_output=self.is_output), pieces)
        except BrokenPipeError:
            raise  # who reads has seen enough
        except OSError as error:
            raise CannotCollect(f"cannot write {self.name}: {error.strerror}") from None

    def _replace(self, pieces: Iterable[str]) -> None:
        beside = self._path.with_name(f".sysdash-{secrets.token_hex(8)}")
        # By its mode as the user's other files.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            if self._before is not None:
                with suppress(OSError):
                    os.fchown(descriptor, self._before.st_uid, self._before.st_gid)
                os.fchmod(descriptor, self._before.st_mode & 0o777)
            _write(descriptor, pieces)
            beside.replace(self._path)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise


def _is_output(found: os.stat_result) -> bool:
    try:
        return os.path.samestat(found, os.fstat(sys.stdout.fileno()))
    except OSError:  # not a file
        return False


def _look_at_folder(folder: Path) -> None:
    """Raise what would be raised if a file were made in a folder.

    Raises:
        OSError: nothing can be made in it.
        ValueError: there is no such folder.
    """
    if not folder.exists():
        raise ValueError(f"there is no folder {fit(safe(str(folder)), _NAME_COLUMNS)}")
    with tempfile.TemporaryFile(dir=folder):
        pass


def _opened(path: str, *, is_output: bool) -> int:
    if is_output:
        sys.stdout.flush()
        return os.dup(sys.stdout.fileno())
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def _write(descriptor: int, pieces: Iterable[str]) -> None:
    with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces)
