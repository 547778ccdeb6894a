"""The configuration: TOML to frozen :class:`Settings`, with every key and value checked."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sysdash import syscalls
from sysdash.limits import INTERVAL_S, SORTS
from sysdash.units import fit, parse_duration, safe

SYSTEM_PATH = Path("/etc/sysdash/config.toml")
"""The configuration for everyone on a machine."""

THEMES = ("default", "light", "mono")
DISPLAYS = ("raw", "curses")

Thresholds = Mapping[str, int | None]
"""Nanoseconds by name of syscall; None where no call is slow."""

_MS = 1_000_000
_THRESHOLDS: Thresholds = MappingProxyType(
    {"read": 10 * _MS, "futex": 1 * _MS, "connect": 100 * _MS}
)


class ConfigError(Exception):
    """A configuration that cannot be used; the message is one line and names file and key."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured; the defaults are those of ``config.toml``.

    Attributes:
        interval_s: seconds between refreshes.
        sort: order of the syscalls, one of :data:`sysdash.limits.SORTS`.
        theme: colours, one of :data:`THEMES`.
        display: urwid's screen, one of :data:`DISPLAYS`.
        threshold_ns: a call that takes longer is slow, if ``thresholds_ns`` does not name its
            syscall; None: none is.
        thresholds_ns: the same for single syscalls, by name.
        slow_keep: slow calls that are kept.
        slow_per_second: slow calls recorded each second on the whole machine; the excess is
            counted as lost.
        slow_stacks: whether slow calls come with their stacks.
        history_minutes, history_memory_mb: how far back the history goes, and its most memory.
        export_listen: address and port of the metrics endpoint.
        export_processes: how many of the busiest processes get series of their own.
    """

    interval_s: float = 1.0
    sort: str = "rate"
    theme: str = "default"
    display: str = "raw"
    threshold_ns: int | None = 10 * _MS
    thresholds_ns: Thresholds = field(default_factory=lambda: _THRESHOLDS)
    slow_keep: int = 1000
    slow_per_second: int = 1000
    slow_stacks: bool = True
    history_minutes: float = 15
    history_memory_mb: int = 64
    export_listen: str = "127.0.0.1:9435"
    export_processes: int = 20


# --- Checks: each returns the value as Settings keeps it, or raises with what is allowed ---

_Check = Callable[[object], Any]


class _NotAllowedError(Exception):
    """The argument says what is allowed."""


def _number(low: float, high: float, what: str) -> _Check:
    def check(value: object) -> float:
        # bool is an int to Python and not to anyone who writes a configuration.
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        raise _NotAllowedError(f"{what} from {low:g} to {high:g}")

    return check


def _integer(low: int, high: int) -> _Check:
    def check(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise _NotAllowedError(f"a whole number from {low} to {high}")

    return check


def _choice(allowed: tuple[str, ...]) -> _Check:
    def check(value: object) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise _NotAllowedError(", ".join(f'"{name}"' for name in allowed))

    return check


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _NotAllowedError("true or false")


def _address(value: object) -> str:
    if isinstance(value, str):
        host, colon, port = value.rpartition(":")
        bare = ":" not in host or (host.startswith("[") and host.endswith("]"))
        number = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536
        if colon and bare and number:
            return value
    raise _NotAllowedError('"host:port", "[ipv6]:port" or ":port"')


def _threshold(value: object) -> int | None:
    if value == "off":
        return None
    if isinstance(value, str):
        try:
            ns = parse_duration(value)
        except ValueError:
            pass
        else:
            if ns < 2**63:
                return ns
    raise _NotAllowedError('a duration such as "500us", "10ms" or "1.5s", or "off"')


_CHECKS: dict[str, tuple[str, _Check]] = {
    "interval": ("interval_s", _number(*INTERVAL_S, "seconds")),
    "sort": ("sort", _choice(SORTS)),
    "theme": ("theme", _choice(THEMES)),
    "display": ("display", _choice(DISPLAYS)),
    "slow.keep": ("slow_keep", _integer(1, 1_000_000)),
    "slow.per_second": ("slow_per_second", _integer(0, 1_000_000)),
    "slow.stacks": ("slow_stacks", _boolean),
    "history.minutes": ("history_minutes", _number(0.1, 7 * 24 * 60, "minutes")),
    "history.memory_mb": ("history_memory_mb", _integer(1, 65536)),
    "export.listen": ("export_listen", _address),
    "export.processes": ("export_processes", _integer(0, 10_000)),
}
"""Key in the file -> field of Settings and its check."""

_SECTIONS = ("thresholds", *dict.fromkeys(key.split(".")[0] for key in _CHECKS if "." in key))


_MOST_SHOWN = 40


def _shown(value: object) -> str:
    """A value of the file in TOML's spelling, short, and harmless to print."""
    # Only what is flat: tables and arrays can be nested too deeply to be printed, and whole
    # numbers be too long.
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 10**_MOST_SHOWN:
        return "a huge number"
    return _short(f'"{value}"' if isinstance(value, str) else str(value))


def _short(text: str) -> str:
    return fit(safe(text[: _MOST_SHOWN + 1]), _MOST_SHOWN)


_KEY = r"^[ \t]*([\w.-]+)[ \t]*=[ \t]*"
_DIGITS = re.compile(_KEY + r"[+-]?[0-9_]{4000}", re.MULTILINE)
_NESTED = re.compile(_KEY + r"(?:\[[ \t]*){50}", re.MULTILINE)


def _key_before(value: re.Pattern[str], text: str) -> str:
    """The key whose value stopped the TOML parser, which does not tell; empty if not found."""
    match = value.search(text)
    return f"{_short(match[1])}: " if match else ""


def _checked(where: str, key: str, value: object, check: _Check) -> Any:
    try:
        return check(value)
    except _NotAllowedError as error:
        raise ConfigError(f"{where}: {key}: found {_shown(value)}, allowed: {error}") from None


def parse(text: str, path: Path) -> Settings:
    """The settings of a configuration file; what it does not name keeps its default.

    Args:
        text: the file's content.
        path: its name, for error messages.

    Raises:
        ConfigError: not TOML, an unknown key, a wrong type or an impossible value.
    """
    where = safe(os.fspath(path))
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {safe(str(error))}") from None
    except RecursionError:
        key = _key_before(_NESTED, text)
        raise ConfigError(f"{where}: {key}found a value nested too deeply to be read") from None
    except ValueError:
        # Python limits how many digits it converts (sys.get_int_max_str_digits).
        key = _key_before(_DIGITS, text)
        raise ConfigError(f"{where}: {key}found a number with too many digits") from None
    fields: dict[str, Any] = {}
    thresholds = dict(_THRESHOLDS)
    for key, value in document.items():
        if key not in _SECTIONS:
            _read(where, key, value, fields)
        elif not isinstance(value, dict):
            raise ConfigError(f"{where}: {key}: found {_shown(value)}, allowed: a table [{key}]")
        elif key == "thresholds":
            _read_thresholds(where, value, fields, thresholds)
        else:
            for name, inner in value.items():
                _read(where, f"{key}.{name}", inner, fields)
    fields["thresholds_ns"] = MappingProxyType(thresholds)
    return Settings(**fields)


def _read(where: str, key: str, value: object, fields: dict[str, Any]) -> None:
    if key not in _CHECKS:
        section, dot, _ = key.rpartition(".")
        known = [k.removeprefix(section + dot) for k in _CHECKS if k.rpartition(".")[0] == section]
        if not section:
            known += [f"[{name}]" for name in _SECTIONS]
        raise ConfigError(f"{where}: {_short(key)}: unknown key, allowed: {', '.join(known)}")
    name, check = _CHECKS[key]
    fields[name] = _checked(where, key, value, check)


def _read_thresholds(
    where: str,
    section: dict[str, object],
    fields: dict[str, Any],
    thresholds: dict[str, int | None],
) -> None:
    for name, value in section.items():
        key = f"thresholds.{_short(name)}"
        if name != "default" and not syscalls.numbers(name):
            near = ", ".join(syscalls.nearest(name)) or "the name of a syscall"
            raise ConfigError(f"{where}: {key}: unknown syscall, allowed: default, {near}, …")
        ns = _checked(where, key, value, _threshold)
        if name == "default":
            fields["threshold_ns"] = ns
        else:
            thresholds[name] = ns


# --- Files ---


def user_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration of the user, of the one who called sudo if somebody did."""
    folder = Path(environ.get("XDG_CONFIG_HOME", ""))
    # The XDG specification has relative paths ignored.
    if not folder.is_absolute():
        folder = Path(_home(environ), ".config")
    return folder / "sysdash" / "config.toml"


def _home(environ: Mapping[str, str]) -> str:
    caller = environ.get("SUDO_USER")
    if caller and os.geteuid() == 0:
        import pwd

        try:
            return pwd.getpwnam(caller).pw_dir
        except KeyError:
            pass  # a name from another machine's environment says nothing about this one
    return environ.get("HOME", "/")


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of ``path``, else of the user's file, else of the system's, else the defaults.

    Raises:
        ConfigError: as :func:`parse`; also for a file that is there and cannot be read, and for
            a ``path`` that is not there.
    """
    for candidate in [path] if path is not None else [user_path(environ), SYSTEM_PATH]:
        try:
            text = candidate.read_bytes().decode()
        except (FileNotFoundError, NotADirectoryError) as error:
            if path is not None:
                raise ConfigError(f"{safe(os.fspath(path))}: {error.strerror}") from None
        except OSError as error:
            # What is in a folder that is closed to us was not meant for us: HOME can be another
            # user's, where a program was started with fewer rights.
            if path is not None or os.access(candidate.parent, os.X_OK):
                raise ConfigError(f"{safe(os.fspath(candidate))}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{safe(os.fspath(candidate))}: not UTF-8 at byte {error.start}"
            ) from None
        else:
            return parse(text, candidate)
    return Settings()
