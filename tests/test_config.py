from __future__ import annotations

import errno
import os
import pwd
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sysdash import config, limits
from sysdash.config import ConfigError, Settings
from sysdash.ui_state import INTERVALS_S

ROOT = Path(__file__).parent.parent
FILE = Path("the.toml")
NINES = "9" * 5000
DEEP = ".".join("a" * 5000)


def test_the_file_has_every_key_with_its_default() -> None:
    text = (ROOT / "config.toml").read_text()
    assert config.parse(text, FILE) == Settings()
    document = tomllib.loads(text)
    keys = set()
    for key, value in document.items():
        keys |= {f"{key}.{name}" for name in value} if isinstance(value, dict) else {key}
    thresholds = {f"thresholds.{name}" for name in ("default", *Settings().thresholds_ns)}
    assert keys == {*config._CHECKS, *thresholds}


def test_every_key_has_a_comment() -> None:
    for line in (ROOT / "config.toml").read_text().splitlines():
        if " = " in line and not line.startswith("#"):
            assert " # " in line, line


def test_the_wheel_has_that_file() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["force-include"]["config.toml"] == "sysdash/config.toml"


def test_values_are_read() -> None:
    text = """
    interval = 2
    sort = "latency"
    theme = "mono"
    display = "curses"
    [thresholds]
    default = "off"
    futex = "2s"
    epoll_wait = "off"
    [slow]
    keep = 7
    per_second = 0
    stacks = false
    [history]
    minutes = 1.5
    memory_mb = 8
    [export]
    listen = "[::1]:9000"
    processes = 0
    """
    settings = config.parse(text, FILE)
    assert settings == Settings(
        interval_s=2.0,
        sort="latency",
        theme="mono",
        display="curses",
        threshold_ns=None,
        thresholds_ns={
            "read": 10_000_000,
            "futex": 2_000_000_000,
            "connect": 100_000_000,
            "epoll_wait": None,
        },
        slow_keep=7,
        slow_per_second=0,
        slow_stacks=False,
        history_minutes=1.5,
        history_memory_mb=8,
        export_listen="[::1]:9000",
        export_processes=0,
    )


def test_the_keys_reach_every_interval_that_is_allowed() -> None:
    assert (INTERVALS_S[0], INTERVALS_S[-1]) == limits.INTERVAL_S


def test_an_empty_file_means_the_defaults() -> None:
    assert config.parse("", FILE) == Settings()


@pytest.mark.parametrize(
    ("text", "key", "found", "allowed"),
    [
        ("intervall = 1", "intervall", "unknown key", "interval, sort"),
        ("[slow]\nkep = 1", "slow.kep", "unknown key", "keep"),
        ("[slw]", "slw", "unknown key", "[slow]"),
        ("interval = 0", "interval", "found 0", "0.1 to 10"),
        ("interval = 10.5", "interval", "found 10.5", "0.1 to 10"),
        ("interval = nan", "interval", "found nan", "0.1 to 10"),
        ("interval = true", "interval", "found true", "0.1 to 10"),
        ('interval = "1"', "interval", 'found "1"', "0.1 to 10"),
        ('sort = "speed"', "sort", 'found "speed"', '"rate", "latency", "total"'),
        ("sort = ['rate']", "sort", "found", '"rate"'),
        ('theme = "pink"', "theme", 'found "pink"', '"light"'),
        ('display = "web"', "display", 'found "web"', '"raw", "curses"'),
        ("thresholds = 3", "thresholds", "found 3", "[thresholds]"),
        ("[interval]", "interval", "found a table", "seconds"),
        ("[thresholds]\nread = 5", "thresholds.read", "found 5", "10ms"),
        ('[thresholds]\nread = "5"', "thresholds.read", 'found "5"', "10ms"),
        ('[thresholds]\nread = "999999999h"', "thresholds.read", "found", "10ms"),
        ('[thresholds]\nopnat = "1ms"', "thresholds.opnat", "unknown syscall", "openat"),
        ("[slow]\nkeep = 0", "slow.keep", "found 0", "from 1"),
        ("[slow]\nkeep = 1.0", "slow.keep", "found 1.0", "whole number"),
        ("[slow]\nstacks = 1", "slow.stacks", "found 1", "true or false"),
        ('[export]\nlisten = "9435"', "export.listen", 'found "9435"', "host:port"),
        ('[export]\nlisten = "::1:9435"', "export.listen", "found", "[ipv6]:port"),
        ('[export]\nlisten = "a:99999"', "export.listen", "found", "host:port"),
        ('sort = "a\\u001b[2J\\nb"', "sort", "␛[2J␊", "rate"),
        ('"a\\u001bb" = 1', "a␛b", "unknown key", "interval"),
        ("sort = [[]]", "sort", "found an array", '"rate"'),
        # What is too long or too deep for Python, or for a line of an error message.
        (f"interval = 0x{'f' * 5000}", "interval", "found a huge number", "0.1 to 10"),
        (f"interval = [{{{DEEP} = 1}}]", "interval", "found an array", "0.1 to 10"),
        (f"interval.{DEEP} = 1", "interval", "found a table", "0.1 to 10"),
        (f'[export]\nlisten = "h:{NINES}"', "export.listen", 'found "h:999', "host:port"),
        (f'[thresholds]\nread = "{NINES}s"', "thresholds.read", 'found "999', "10ms"),
        (f"sort = '{NINES}'", "sort", "found", "rate"),
        ("x" * 5000 + " = 1", "x" * 39 + "…", "unknown key", "interval"),
        ("thresholds." + "x" * 5000 + " = 1", "thresholds." + "x" * 39 + "…", "unknown", "default"),
    ],
)
def test_what_is_wrong_is_told(text: str, key: str, found: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, FILE)
    message = str(caught.value)
    assert message.startswith(f"the.toml: {key}: ")
    assert found in message
    assert allowed in message
    assert message.isprintable()
    assert len(message) < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"interval = {NINES}", "interval: found a number with too many digits"),
        (f"[slow]\nkeep=-{NINES}", "keep: found a number with too many digits"),
        (f"interval = [1, {NINES}]", "found a number with too many digits"),
        (f"sort = {'[' * 5000}", "sort: found a value nested too deeply to be read"),
        (f"sort = {'[' * 5000}{']' * 5000}", "sort: found a value nested too deeply to be read"),
        (f"sort = {'{a=' * 5000}", "found a value nested too deeply to be read"),
    ],
    ids=range(6),
)
def test_what_the_parser_cannot_take_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, FILE)
    assert str(caught.value) == f"the.toml: {message}"


def test_what_is_not_toml_is_told_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"the.toml: not TOML: .*line 2"):
        config.parse("interval = 1\nsort rate", FILE)


PIECES = (
    *(f"{key} = " for key in config._CHECKS),
    *(f"[{section}]" for section in config._SECTIONS),
    *'= . , [ ] { } [[ ]] " \' """ # \n \\ \\u001b'.split(" "),
    *"0 1 -1 1.5 1e999 inf nan 0x 0xffff 1979-05-27 07:32:00 99:99 true".split(),
    *'"10ms" "off" "rate" "h:1" "::1:1" default read'.split(),
    "[" * 3000,
    "{a=" * 3000,
    NINES,
    "0x" + "f" * 5000,
    f'"h:{NINES}"',
    f'"{NINES}s"',
    DEEP,
)


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join)))
def test_no_text_does_worse_than_a_config_error(text: str) -> None:
    message = ""
    try:
        assert isinstance(config.parse(text, FILE), Settings)
    except ConfigError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 400


def test_the_users_file_comes_before_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "system.toml"
    monkeypatch.setattr(config, "SYSTEM_PATH", system)
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert config.load(environ=environ) == Settings()
    system.write_text("interval = 3")
    assert config.load(environ=environ).interval_s == 3
    own = tmp_path / "sysdash" / "config.toml"
    own.parent.mkdir()
    own.write_text("interval = 4")
    assert config.load(environ=environ).interval_s == 4
    given = tmp_path / "given.toml"
    given.write_text("interval = 5")
    assert config.load(given, environ).interval_s == 5


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        config.load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        config.load(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 2"):
        config.load(latin)


def test_a_closed_folder_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "system.toml"
    system.write_text("interval = 3")
    monkeypatch.setattr(config, "SYSTEM_PATH", system)
    own = tmp_path / "sysdash" / "config.toml"
    own.parent.mkdir()
    own.write_text("interval = 4")
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}

    def refuse(path: Path) -> bytes:
        if path == own:
            raise PermissionError(errno.EACCES, "Permission denied")
        with path.open("rb") as file:
            return file.read()

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(os, "access", lambda folder, _: folder != own.parent)
    assert config.load(environ=environ).interval_s == 3
    with pytest.raises(ConfigError, match="Permission denied"):
        config.load(own)
    monkeypatch.setattr(os, "access", lambda *_: True)
    with pytest.raises(ConfigError, match="Permission denied"):
        config.load(environ=environ)


def test_where_the_users_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def path(**environ: str) -> str:
        return str(config.user_path(environ))

    someone = pwd.getpwall()[-1]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert path(XDG_CONFIG_HOME="/x", HOME="/h") == "/x/sysdash/config.toml"
    assert path(XDG_CONFIG_HOME="relative", HOME="/h") == "/h/.config/sysdash/config.toml"
    assert path(HOME="/h") == "/h/.config/sysdash/config.toml"
    under_sudo = path(HOME="/root", SUDO_USER=someone.pw_name)
    assert under_sudo == f"{someone.pw_dir.rstrip('/')}/.config/sysdash/config.toml"
    assert path(HOME="/h", SUDO_USER="no such user") == "/h/.config/sysdash/config.toml"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert path(HOME="/h", SUDO_USER=someone.pw_name) == "/h/.config/sysdash/config.toml"
