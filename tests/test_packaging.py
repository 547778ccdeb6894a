"""The wheel: holds all that runs, and runs."""

from __future__ import annotations

import email.parser
import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sysdash

ROOT = Path(__file__).parent.parent
COMMANDS = ("sysdash", "syscount", "syslat", "sysslow")

Words = list[str | Path]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--no-index", "--wheel-dir", folder, ROOT], check=True, capture_output=True
    )
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a virtual environment with the wheel; dependencies are lent by this one."""
    venv = tmp_path_factory.mktemp("installed")
    make: Words = [
        "/usr/bin/python3",
        "-m",
        "venv",
        "--system-site-packages",
        "--without-pip",
        venv,
    ]
    subprocess.run(make, check=True)
    pip: Words = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python"]
    install: Words = [*pip, "install", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, capture_output=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    ours = [path for path in site.getsitepackages() if Path(path).is_relative_to(sys.prefix)]
    (packages / "dependencies.pth").write_text("\n".join(ours))
    return venv / "bin"


def test_holds_every_file_of_the_package_and_the_default_config(wheel: Path) -> None:
    sources = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "sysdash").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        packed = {name for name in names if ".data/" not in name}
        assert packed == sources | {"sysdash/config.toml"}
        assert archive.read("sysdash/config.toml") == (ROOT / "config.toml").read_bytes()
        for source in sources:
            assert archive.read(source) == (ROOT / source).read_bytes()


def test_puts_pages_and_completions_where_they_are_looked_for(installed: Path) -> None:
    shared = {path.relative_to(ROOT) for path in (ROOT / "share").rglob("*") if path.is_file()}
    assert shared
    for path in shared:
        assert (installed.parent / path).read_bytes() == (ROOT / path).read_bytes()
    for name in ("man/man1/sysdash.1", "man/man1/syscount.1", "zsh/site-functions/_sysdash"):
        assert Path("share", name) in shared


def test_does_not_depend_on_the_bcc_of_pypi(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.parser.Parser().parsestr(archive.read(name).decode())
    required = [
        line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line.lower()
    ]
    assert required
    assert not [line for line in required if line.startswith("bcc")]
    assert metadata["License-Expression"] == "GPL-2.0-or-later"
    assert metadata["License-File"] == "LICENSE"


def test_installs_every_command(installed: Path) -> None:
    for command in COMMANDS:
        assert os.access(installed / command, os.X_OK)


def test_runs_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    where: Words = [installed / "python", "-c", "import sysdash; print(sysdash.__file__)"]
    location = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(location.stdout.strip()).is_relative_to(installed.parent)
    ask: Words = [installed / "sysdash", "--version"]
    version = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert version.stdout.split() == ["sysdash", sysdash.__version__]
    script: Words = [installed / "sysdash", "--print-completion", "bash"]
    completion = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "sysdash syscount syslat sysslow" in completion.stdout
