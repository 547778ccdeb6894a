"""Completion in the shells themselves: what they offer, and what the Tab key makes of a line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from terminal import Terminal

from sysdash.commands import COMMANDS, completion
from sysdash.probes import targets

ROOT = Path(__file__).parent.parent
PROGRAMS = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}

# What bash's own completion would call, as bash would: with the line in its variables.
BASH = """
eval "$2"
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
_python_argcomplete "${1%% *}"
printf '%s\\n' "${COMPREPLY[@]}"
"""

FISH = "echo $argv[2] | source; complete -C $argv[1]"


def lines_of(*command: str) -> list[str]:
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def asked_of_bash(line: str, script: str) -> list[str]:
    return lines_of("bash", "--norc", "-c", BASH, "bash", line, script)


def asked_of_fish(line: str, script: str) -> list[str]:
    return lines_of("fish", "-N", "-c", FISH, "--", line, script)


def bash(line: str) -> list[str]:
    """What bash offers for the last word of a line."""
    # A space ends a word that is the only one.
    return [found.strip() for found in asked_of_bash(line, completion.script("bash"))]


def fish(line: str) -> list[str]:
    """What fish offers for the last word of a line, without what it says about it."""
    return [found.split("\t")[0] for found in asked_of_fish(line, completion.script("fish"))]


Shell = Callable[[str], list[str]]
both = pytest.mark.parametrize("shell", [bash, fish])


# --- What is offered ---


@both
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sysdash do", ["doctor"]),
        ("sysdash top --sy", ["--syscall"]),
        ("sysdash --include", ["--include-self"]),
        ("sysdash doctor --j", ["--json"]),
        ("sysdash count --sy", ["--syscall"]),
        ("syscount --sy", ["--syscall"]),
        ("syslat --err", ["--errno"]),
        ("sysdash --syscall epoll_ct", ["epoll_ctl", "epoll_ctl_old"]),
        ("sysdash count --syscall read,epoll_ct", ["read,epoll_ctl", "read,epoll_ctl_old"]),
        ("sysdash count -e ENOE", ["ENOENT", "ENOEXEC"]),
        ("sysdash count -e EPERM,ENOE", ["EPERM,ENOENT", "EPERM,ENOEXEC"]),
        ("sysdash count --syscall %", ["%waiting"]),
        ("sysdash count --syscall 'read,!%", ["read,!%waiting"]),
        ("sysdash --print-completion ", ["bash", "fish", "zsh"]),
        ("sysdash --sort ", ["latency", "rate", "total"]),
        ("sysdash -i ", []),
        ("sysdash doctor --sy", []),
        ("sysdash count -- basena", ["basename"]),
        ("sysdash count -- cat /etc/hostn", ["/etc/hostname"]),
        ("sysdash count -- cat --sy", []),
        ("syscount --exec basena", ["basename"]),
        ("sysdash count --output ", ["line"]),
        ("sysdash --config /etc/hostn", ["/etc/hostname"]),
    ],
)  # fmt: skip
def test_what_fits_is_offered(shell: Shell, line: str, offered: list[str]) -> None:
    assert sorted(shell(line)) == offered


@both
def test_a_syscall_can_be_left_out(shell: Shell) -> None:
    assert "!futex" in shell("sysdash --syscall '!fut")
    assert "read,!futex" in shell("sysdash --syscall 'read,!fut")


@both
def test_every_command_is_offered(shell: Shell) -> None:
    assert sorted(shell("sysdash ")) == sorted(COMMANDS)


@both
def test_processes_threads_and_names_are_offered(shell: Shell) -> None:
    own = str(os.getpid())
    assert own in shell("sysdash -p ")
    assert f"1,{own}" in shell(f"sysdash -p 1,{own[0]}")
    assert f"1,{own}" in shell(f"sysdash count -t 1,{own[:-1]}")
    assert own in shell(f"sysdash --ppid {own[0]}")
    assert own in shell(f"sysdash -t {own[:-1]}")
    name = Path("/proc/self/comm").read_text().strip()
    assert name in shell(f"sysdash --comm {name[:2]}")


@both
def test_a_groups_keys_are_offered_for_each_item_of_a_list(shell: Shell) -> None:
    assert "syscall" in shell("sysdash count --by ")
    assert shell("sysdash count --by pid,sys") == ["pid,syscall"]
    assert "pid,pid" not in shell("sysdash count --by pid,p")
    assert "thread" in shell("sysdash summary --by ")


@both
def test_a_programs_own_name_is_its_command(shell: Shell) -> None:
    for program, command in (("syscount", "count"), ("syslat", "lat")):
        assert sorted(shell(f"{program} --")) == sorted(shell(f"sysdash {command} --"))


@both
def test_the_folders_of_cgroups_are_offered(shell: Shell) -> None:
    root = targets.cgroup_root()
    assert root is not None
    assert shell(f"sysdash --cgroup {str(root)[:-1]}") == [f"{root}/"]


def test_a_quote_or_blank_in_a_name_stays_in_the_word(tmp_path: Path) -> None:
    (tmp_path / "it's a; file").touch()
    (offered,) = bash(f"sysdash --config {tmp_path}/it")
    assert shlex.split(offered) == [f"{tmp_path}/it's a; file"]
    assert fish(f"sysdash --config {tmp_path}/it") == [f"{tmp_path}/it's a; file"]


def test_processes_are_told_by_their_names_in_fish() -> None:
    name = Path("/proc/self/comm").read_text().strip()
    found = asked_of_fish(f"sysdash -p {os.getpid()}", completion.script("fish"))
    assert f"{os.getpid()}\t{name}" in found


def test_costs_nothing_where_no_shell_asks() -> None:
    code = "import sys; from sysdash import cli; cli.main(['--version']); print(*sys.modules)"
    _, modules = lines_of(sys.executable, "-c", code)
    assert "sysdash.commands.parsers" in modules.split()
    assert [name for name in modules.split() if "argcomplete" in name or "completion" in name] == []


# --- The files that an installation has ---

SHARE = ROOT / "share"
NAMES = sorted(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])


def test_every_program_has_its_files() -> None:
    assert sorted(completion.PROGRAMS) == NAMES
    folder = SHARE / "bash-completion/completions"
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    folder = SHARE / "fish/vendor_completions.d"
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.fish" for name in NAMES]
    first, *_ = (SHARE / "zsh/site-functions/_sysdash").read_text().splitlines()
    assert sorted(first.split()) == ["#compdef", *NAMES]


@pytest.mark.parametrize("name", ["sysdash", "syscount", "syslat"])
def test_bash_completes_with_its_file(name: str) -> None:
    file = (SHARE / "bash-completion/completions" / name).read_text()
    assert asked_of_bash(f"{name} --sy", file) == ["--syscall "]


@pytest.mark.parametrize("name", ["sysdash", "syscount", "syslat"])
def test_fish_completes_with_its_file(name: str) -> None:
    script = "set -p fish_complete_path $argv[2]; complete -C $argv[1]"
    folder = str(SHARE / "fish/vendor_completions.d")
    (found,) = lines_of("fish", "-N", "-c", script, "--", f"{name} --sy", folder)
    assert found.split("\t")[0] == "--syscall"


# --- What a key does ---


@contextmanager
def interactive(*command: str, ready: str, setup: str) -> Iterator[Terminal]:
    environment = {**ENVIRONMENT, "TERM": "xterm", "PS1": ready, "HOME": "/nonexistent"}
    with Terminal(command, columns=100, rows=30, environment=environment) as terminal:
        terminal.wait_for(ready)
        terminal.type(f"{setup}; clear; echo re''ady\n")
        terminal.wait_for("ready")
        yield terminal


SHELLS = {
    "bash": (("bash", "--norc", "--noprofile", "-i"), "source <(sysdash --print-completion bash)"),
    "zsh": (
        ("zsh", "-f", "-i"),
        "autoload -U compinit; compinit -D -u; source <(sysdash --print-completion zsh)",
    ),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "made"),
    [
        ("sysdash doc", "sysdash doctor"),
        ("sysdash count --sysc", "sysdash count --syscall"),
        ("sysdash count --syscall read,fallo", "sysdash count --syscall read,fallocate"),
        ("sysdash --syscall '!fallo", "sysdash --syscall '!fallocate"),
        ("sysdash --syscall '!%w", "sysdash --syscall '!%waiting"),
        ("sysdash --syscall %w", "sysdash --syscall %waiting"),
        ("syscount -e ENOEX", "syscount -e ENOEXEC"),
        ("sysdash --config /etc/hostn", "sysdash --config /etc/hostname"),
    ],
)  # fmt: skip
def test_a_tab_completes_the_word(shell: str, typed: str, made: str) -> None:
    command, setup = SHELLS[shell]
    with interactive(*command, ready="prompt>", setup=setup) as terminal:
        terminal.type(f"{typed}\t")
        terminal.wait_for(made)
        assert re.search(rf"prompt>{re.escape(made)}'?\s*$", terminal.text.rstrip())


@pytest.mark.parametrize("name", ["sysdash", "syscount", "syslat"])
def test_zsh_completes_with_its_file(name: str) -> None:
    command, _ = SHELLS["zsh"]
    folder = shlex.quote(str(SHARE / "zsh/site-functions"))
    setup = f"fpath=({folder} $fpath); autoload -U compinit; compinit -D -u"
    with interactive(*command, ready="prompt>", setup=setup) as terminal:
        # The first time it is read, the second time it is there.
        for typed, made in (("--sysc", "--syscall"), ("read -e ENOEX", "read -e ENOEXEC")):
            terminal.type(f"{name if typed.startswith('--') else ''} {typed}\t")
            terminal.wait_for(made)


def test_zsh_says_what_an_option_does() -> None:
    command, setup = SHELLS["zsh"]
    with interactive(*command, ready="prompt>", setup=setup) as terminal:
        terminal.type("sysdash top --inc\t")
        terminal.wait_for("sysdash top --include-self")
        terminal.type("\025sysdash doc\t --\t\t")
        terminal.wait_for("--json", "print one JSON object")
