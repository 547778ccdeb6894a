"""`./run` and `./check`, in copies of the checkout, with what is installed here."""

from __future__ import annotations

import os
import shutil
import signal
import site
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOBODY = 65534

# pip finds what it builds with in this environment, and asks no registry.
OFFLINE = {
    "PIP_NO_BUILD_ISOLATION": "false",
    "PIP_NO_DEPS": "true",
    "PIP_NO_INDEX": "true",
    "PYTHONPATH": next(p for p in site.getsitepackages() if Path(p).is_relative_to(sys.prefix)),
}

SHOW_WORDS = """#!/bin/sh
printf '<%s>' "$PWD" "$@"
"""


def copy_checkout(to: Path) -> Path:
    to.mkdir()
    for name in "run check scripts share pyproject.toml README.md LICENSE sysdash".split():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, to / name)
    shutil.copy(ROOT / "config.toml", to)
    return to


def run(checkout: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "run", *words],
        cwd=cwd,
        env=os.environ | OFFLINE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def shell(
    script: str, *, path: Path | str | None = None, user: int | None = None, checkout: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a piece of shell that has scripts/setup.sh's functions."""
    environment: Mapping[str, str] = os.environ | ({} if path is None else {"PATH": str(path)})
    return subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", f'. "$ROOT/scripts/setup.sh"\n{script}'],
        env={**environment, "ROOT": str(checkout)},
        user=user,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that ./run has set up, at a path with a space and brackets in it."""
    copy = copy_checkout(tmp_path_factory.mktemp("checkouts") / "a checkout [1]")
    result = run(copy, "--version")
    assert result.returncode == 0, result.stderr
    return copy


@pytest.fixture
def words_shown(checkout: Path) -> Iterator[None]:
    """Put a program that shows its words in the place of sysdash."""
    program = checkout / ".venv/bin/sysdash"
    original = program.read_text()
    program.write_text(SHOW_WORDS)
    yield
    program.write_text(original)


def test_the_first_start_sets_up_and_runs(checkout: Path) -> None:
    for command in ("sysdash", "syscount", "syslat", "sysslow"):
        assert (checkout / ".venv/bin" / command).is_file()
    result = run(checkout, "--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("sysdash ")


@pytest.mark.usefixtures("words_shown")
def test_words_arrive_as_typed_and_where_the_user_stands(checkout: Path, tmp_path: Path) -> None:
    words = ("count", "-d 5", "", "*", "$HOME", "a\nb", "--", "é")
    result = run(checkout, *words, cwd=tmp_path)
    assert result.stdout == "".join(f"<{word}>" for word in (str(tmp_path), *words))
    assert result.stderr == ""


@pytest.mark.usefixtures("words_shown")
def test_works_through_a_symbolic_link(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(checkout / "run")
    result = subprocess.run(
        [tmp_path / "link", "x"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout == f"<{tmp_path}><x>"


def test_the_exit_status_is_that_of_sysdash(checkout: Path) -> None:
    assert run(checkout, "--no-such-word").returncode == 2


def test_changed_requirements_are_installed(checkout: Path) -> None:
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text() + "\n# changed\n")
    result = run(checkout, "--version")
    assert result.returncode == 0
    assert "installing sysdash into .venv: done" in result.stderr
    assert "virtual environment" not in result.stderr
    assert run(checkout, "--version").stderr == ""


def test_an_interrupted_set_up_is_finished_by_the_next(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    with subprocess.Popen(
        [checkout / "run", "--version"],
        env=os.environ | OFFLINE,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert "virtual environment" in process.stderr.readline()
        while not (checkout / ".venv/pyvenv.cfg").exists():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    result = run(checkout, "--version")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("sysdash ")


def test_a_moved_checkout_is_set_up_again(checkout: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(checkout, moved, symlinks=True)
    result = run(moved, "--version")
    assert result.returncode == 0, result.stderr
    assert "making a virtual environment" in result.stderr
    python = moved / ".venv/bin/python"
    where = [str(python), "-c", "import sysdash; print(sysdash.__file__)"]
    location = subprocess.run(where, capture_output=True, text=True, check=True, cwd="/").stdout
    assert Path(location).is_relative_to(moved)


def test_two_starts_at_once_set_up_once(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    starts = [
        subprocess.Popen(
            [checkout / "run", "--version"],
            env=os.environ | OFFLINE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [start.communicate() for start in starts]
    assert [start.returncode for start in starts] == [0, 0], outputs
    said = "".join(stderr for _, stderr in outputs)
    assert said.count("making a virtual environment in .venv ...") == 1
    assert said.count("waiting for another set-up") == 1


def test_leaves_a_folder_alone_that_is_no_virtual_environment(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    (checkout / ".venv").mkdir()
    (checkout / ".venv/precious").touch()
    result = run(checkout)
    assert result.returncode == 1
    assert result.stderr == (
        f"sysdash: {checkout}/.venv is there but is no virtual environment: move it away\n"
    )
    assert (checkout / ".venv/precious").exists()


def test_a_failed_step_gives_its_reason_in_one_line(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text().replace(">=3.11", ">=3.99"))
    result = run(checkout)
    assert result.returncode == 1
    *_, last = result.stderr.splitlines()
    assert last.startswith("sysdash: installing sysdash into .venv failed: ERROR: ")
    assert "3.99" in last
    assert last.endswith(f"(all of it: {checkout}/set-up.log)")


@pytest.mark.parametrize(
    ("manager", "packages"),
    [
        ("apt-get", "python3 python3-venv python3-bpfcc"),
        ("dnf", "python3 python3-bcc"),
        ("pacman", "python python-bcc"),
        ("zypper", "python3 python3-bcc"),
    ],
)
def test_missing_packages_are_installed_by_their_names_here(
    tmp_path: Path, manager: str, packages: str
) -> None:
    for name in ("awk", "env", "rm"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    fake = tmp_path / manager
    fake.write_text(f'#!/bin/sh\necho "$0 $*" >>"{tmp_path}/calls"\n')
    fake.chmod(0o755)
    if manager == "apt-get":
        (tmp_path / "apt-cache").symlink_to(fake)
    result = shell(f"PYTHON={tmp_path}/python3; provide_packages python venv bcc", path=tmp_path)
    assert result.returncode == 1
    assert f"still missing after installing {packages}" in result.stderr
    *_, install = (tmp_path / "calls").read_text().splitlines()
    assert install.split()[0] == str(fake)
    assert install.endswith(packages)


@pytest.mark.parametrize("fails", [False, True])
def test_a_server_for_the_tests_is_installed_but_never_started(
    tmp_path: Path, *, fails: bool
) -> None:
    for name in ("awk", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    for name in ("apt-get", "apt-cache", "systemctl"):
        fake = tmp_path / name
        status = int(fails and name == "apt-get")
        fake.write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/calls"\nexit {status}\n')
        fake.chmod(0o755)
    script = f"SYSTEMD={tmp_path}; install_packages apt-get zsh influxdb"
    result = shell(script, path=tmp_path)
    assert result.returncode == int(fails)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == "systemctl mask influxdb.service"
    assert any(
        line.endswith("install --yes --no-install-recommends zsh influxdb") for line in calls
    )
    after = ["unmask", *([] if fails else ["disable"])]
    assert calls[-len(after) :] == [f"systemctl {verb} influxdb.service" for verb in after]


def test_a_package_has_another_name_on_another_system(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    functions = (
        "apt-cache() { [[ ${!#} != linux-perf ]]; }\n"
        f"as_root() {{ echo ${{*: -2}} >>{calls}; }}\n"
    )
    result = shell(f"{functions}install_packages apt-get zsh 'linux-perf|linux-tools-generic'")
    assert (result.returncode, result.stderr) == (0, "")
    assert calls.read_text() == "zsh linux-tools-generic\n"
    nothing = "apt-cache() { false; }\nas_root() { :; }\n"
    result = shell(f"{nothing}install_packages apt-get 'linux-perf|linux-tools-generic'")
    assert result.returncode == 1
    assert "E: apt knows no package linux-perf|linux-tools-generic" in result.stderr


def test_nothing_else_is_told_to_systemd(tmp_path: Path) -> None:
    script = f'SYSTEMD={tmp_path}; apt_install() {{ echo "$@"; }}; install_packages apt-get zsh'
    assert shell(script, path=tmp_path).stdout == "zsh\n"


def test_says_what_is_missing_where_no_package_manager_is_known(tmp_path: Path) -> None:
    result = shell(f"PYTHON={tmp_path}/python3; provide_packages python bcc", path=tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        "sysdash: needed and missing: python bcc; install them "
        "(no apt-get, dnf, pacman or zypper here)\n"
    )


def test_an_old_python_is_named() -> None:
    result = shell("OLDEST_PYTHON=3.99; provide_packages python")
    assert result.returncode == 1
    assert "needs Python 3.99 or newer from the distribution; /usr/bin/python3 is" in result.stderr


def test_a_user_without_sudo_is_told_what_to_do(tmp_path: Path) -> None:
    setup = tmp_path / "scripts"
    setup.mkdir()
    shutil.copy(ROOT / "scripts/setup.sh", setup)
    for folder in (tmp_path, *tmp_path.parents[:2], setup):
        folder.chmod(0o755)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-get").touch(0o755)
    (tools / "awk").symlink_to(shutil.which("awk") or "")
    result = shell(
        "PYTHON=/no/python3; provide_packages bcc", path=tools, user=NOBODY, checkout=tmp_path
    )
    assert result.returncode == 1
    assert result.stderr == (
        "sysdash: needs the packages python3-bpfcc: run ./run as root once, or install sudo\n"
    )


NEEDS_BPF = """
import pytest

@pytest.mark.bpf
def test_marked():
    pass
"""


def run_without_bpf(folder: Path, *, allowed: bool) -> subprocess.CompletedProcess[str]:
    """Run a test that needs BPF as a root without the capabilities for it."""
    for name in ("conftest.py", "machine.py"):
        shutil.copy(ROOT / "tests" / name, folder)
    (folder / "test_it.py").write_text(NEEDS_BPF)
    drop = ["setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon"]
    pytest_here = [
        sys.executable,
        "-m",
        "pytest",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
    ]
    return subprocess.run(
        [*drop, *pytest_here, "--rootdir", folder, folder],
        env={**os.environ, "SYSDASH_ALLOW_NO_BPF": "1" if allowed else "0"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_check_without_bpf_fails(tmp_path: Path) -> None:
    result = run_without_bpf(tmp_path, allowed=False)
    assert result.returncode == 1
    assert "no BPF: loading a BPF program: Operation not permitted" in result.stdout


def test_a_check_without_bpf_is_skipped_with_its_reason_where_allowed(tmp_path: Path) -> None:
    result = run_without_bpf(tmp_path, allowed=True)
    assert result.returncode == 0
    assert "1 skipped" in result.stdout
    assert "no BPF: loading a BPF program: Operation not permitted" in result.stdout
