from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import subprocess
import sys
import types
from collections.abc import Collection
from pathlib import Path

import machine
import pytest

from sysdash.commands import doctor
from sysdash.commands.doctor import Terminfo
from sysdash.errors import CannotCollect
from sysdash.probes import bpf, capabilities, layout, targets
from sysdash.probes.capabilities import DEGRADED, FINE, MISSING, Check

CAP_PERFMON, CAP_BPF = 38, 39
NEEDED = {"raw tracepoints", "kernel reads", "ring buffer", "mapped arrays"}

_PR_CAPBSET_DROP = 24


def run_doctor(*, keep: Collection[int]) -> tuple[int, dict[str, Check]]:
    """Run ``sysdash doctor --json`` with no capabilities but ``keep``; exit code and checks."""

    def drop() -> None:
        # What is not in the bounding set is lost at execve, by root too.
        libc = ctypes.CDLL(None)
        for capability in range(64):
            if capability not in keep:
                libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)

    result = subprocess.run(
        [sys.executable, "-m", "sysdash", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=drop,
    )
    assert result.stderr == ""
    (line,) = result.stdout.splitlines()
    answer = json.loads(line)
    assert next(iter(answer)) == "schema"
    assert answer["schema"] == "sysdash.doctor/1"
    found = [
        Check(c["name"], c["status"], c["detail"], c["remedy"] or "") for c in answer["checks"]
    ]
    assert answer["ok"] == doctor.can_run(found)
    assert answer["ok"] == (result.returncode == 0)
    return result.returncode, {check.name: check for check in found}


# --- On this machine ---


@pytest.mark.bpf
def test_two_capabilities_are_enough() -> None:
    code, found = run_doctor(keep={CAP_BPF, CAP_PERFMON})
    assert {name: check for name, check in found.items() if check.status == MISSING} == {}
    assert code == 0
    assert "no CAP_SYS_PTRACE" in found["other processes"].detail


@pytest.mark.bpf
@pytest.mark.parametrize(("keep", "lost"), [(CAP_BPF, "CAP_PERFMON"), (CAP_PERFMON, "CAP_BPF")])
def test_one_of_them_is_not(keep: int, lost: str) -> None:
    code, found = run_doctor(keep={keep})
    assert code == 1
    assert found["privileges"].status == MISSING
    assert lost in found["privileges"].detail
    assert found["raw tracepoints"].status == MISSING


def test_without_privileges_it_says_what_is_missing() -> None:
    code, found = run_doctor(keep=())
    assert code == 1
    assert found["privileges"].status == MISSING
    assert "CAP_BPF" in found["privileges"].detail
    assert found["privileges"].remedy == "sudo sysdash"
    assert found["the probe"].status == MISSING


@pytest.mark.bpf
def test_it_leaves_nothing_in_the_kernel() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    trials = list(capabilities._trials())
    assert {check.name for check in trials} > NEEDED
    assert set(Path("/proc/self/fd").iterdir()) <= before
    assert capabilities.probe().status == FINE
    assert machine.programs_of(os.getpid()) == set()


@pytest.mark.bpf
def test_the_kernel_still_refuses_what_it_must() -> None:
    """A trial that could not fail would tell nothing."""
    with pytest.raises(OSError, match="No such file"):
        bpf.try_raw_tracepoint("no_such_tracepoint")
    with pytest.raises(OSError, match="Permission denied"):  # r0 is not set: the verifier's no
        bpf.try_raw_tracepoint("sys_enter", bpf.NOTHING[8:])
    with bpf.mmapable_array() as array, pytest.raises(OSError, match="Invalid argument"):
        bpf.try_raw_tracepoint("sys_enter", bpf.write_ring(array))
    with bpf.ring_buffer() as ring, pytest.raises(OSError, match="Invalid argument"):
        bpf.try_raw_tracepoint("sys_enter", bpf.use_task_storage(ring))
    with bpf.ring_buffer() as ring, pytest.raises(OSError, match="Invalid argument"):
        bpf.try_raw_tracepoint("sys_enter", bpf.ask_cgroup(ring))


# --- On machines that lack something ---


def refuse(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_kernel_that_refuses_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "_bpf", refuse)
    monkeypatch.setattr(capabilities, "_effective", lambda: 1 << 39 | 1 << 38)
    monkeypatch.setattr(capabilities, "probe", lambda: Check("the probe", MISSING, "refused"))
    found = {check.name: check for check in capabilities.checks()}
    for name in NEEDED:
        assert found[name].status == MISSING
        assert "EPERM" in found[name].detail
        assert found[name].remedy == ""
    assert found["task storage"].status == DEGRADED
    assert "costs more" in found["task storage"].detail
    assert found["cgroups"].status == DEGRADED
    assert "--cgroup does not work" in found["cgroups"].detail
    for name in ("tracepoints", "kprobes", "fentry"):
        assert found[name].status == FINE
        assert "not needed" in found[name].detail


def test_another_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(bpf, "_libc", None)
    found = {check.name: check for check in capabilities.checks()}
    assert found["architecture"].status == MISSING
    assert "riscv64" in found["architecture"].detail
    assert found["the probe"].status == MISSING
    assert not NEEDED & set(found)


@pytest.mark.parametrize(
    ("release", "status"),
    [("5.10.0-30-amd64", MISSING), ("4.19", MISSING), ("5.11.0", FINE), ("6.18.1-x", FINE)],
)
def test_kernel_versions(monkeypatch: pytest.MonkeyPatch, release: str, status: str) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    check = capabilities.kernel()
    assert check.status == status
    assert release in check.detail


def test_no_btf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "vmlinux"
    monkeypatch.setattr(capabilities, "_BTF", file)
    assert capabilities.btf().status == MISSING
    assert "CONFIG_DEBUG_INFO_BTF" in capabilities.btf().remedy
    file.write_bytes(b"\xeb\x9f other byte order")
    assert capabilities.btf().status == MISSING
    file.write_bytes(b"\x9f\xeb\1\0")
    assert capabilities.btf().status == FINE


@pytest.mark.parametrize(
    ("text", "status", "detail"),
    [
        ("[none] integrity confidentiality\n", FINE, "none"),
        ("none [integrity] confidentiality\n", FINE, "integrity"),
        ("none integrity [confidentiality]\n", MISSING, "confidentiality"),
        (None, FINE, "not known"),
    ],
)
def test_lockdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, status: str, detail: str
) -> None:
    file = tmp_path / "lockdown"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(capabilities, "_LOCKDOWN", file)
    check = capabilities.lockdown()
    assert check.status == status
    assert check.detail.startswith(detail)


@pytest.mark.parametrize(
    ("held", "status", "detail"),
    [
        (1 << 38 | 1 << 39, DEGRADED, "no CAP_SYS_PTRACE and no CAP_DAC_READ_SEARCH: calls that"),
        (1 << 19, DEGRADED, "no CAP_DAC_READ_SEARCH: calls that began before the start are"),
        (1 << 1, DEGRADED, "no CAP_SYS_PTRACE: calls that began before the start are"),
        (1 << 19 | 1 << 1, DEGRADED, "can be looked into; no CAP_SYS_ADMIN"),
        (1 << 19 | 1 << 2, DEGRADED, "can be looked into; no CAP_SYS_ADMIN"),
        (1 << 19 | 1 << 2 | 1 << 21, FINE, "can be looked into"),
    ],
)
def test_who_may_look_into_other_processes(
    monkeypatch: pytest.MonkeyPatch, held: int, status: str, detail: str
) -> None:
    monkeypatch.setattr(capabilities, "_effective", lambda: held)
    check = capabilities.other_processes()
    assert (check.status, bool(check.remedy)) == (status, status == DEGRADED)
    assert check.detail.startswith(detail)


@pytest.mark.parametrize(
    ("text", "held", "status", "detail"),
    [
        (b"0000000000000000 A x\nffffffff81000000 T _stext\n", 0, FINE, "names"),
        (b"0000000000000000 A x\n0000000000000000 T _stext\n", 0, DEGRADED, "CAP_SYSLOG"),
        (b"0000000000000000 T _stext\n", 1 << 34, DEGRADED, "sysctl kernel.kptr_restrict"),
        (None, 1 << 34, DEGRADED, "No such file"),
    ],
)
def test_names_of_the_kernels_functions(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: bytes | None,
    held: int,
    status: str,
    detail: str,
) -> None:
    file = tmp_path / "kallsyms"
    if text is not None:
        file.write_bytes(text)
    monkeypatch.setattr(capabilities, "_KALLSYMS", file)
    monkeypatch.setattr(capabilities, "_effective", lambda: held)
    check = capabilities.kernel_names()
    assert check.status == status
    assert detail in check.detail


def test_no_cgroups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "_bpf", lambda *_: os.open("/dev/null", os.O_RDONLY))
    monkeypatch.setattr(targets, "_MOUNTS", Path("/dev/null"))
    check = capabilities.cgroups()
    assert check.status == DEGRADED
    assert check.remedy.startswith("mount -t cgroup2")


def test_the_memory_that_the_probe_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "kernel_bytes", lambda: 27_500_000)
    monkeypatch.setattr(layout, "online_cpus", lambda: [0, 1])
    check = capabilities.memory()
    assert check.status == FINE
    assert check.detail == "the probe takes 27.5MB for 2 CPUs"

    def refuse() -> int:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/sys/x")

    monkeypatch.setattr(layout, "kernel_bytes", refuse)
    assert capabilities.memory().detail == "not known: /sys/x: No such file or directory"


def test_no_bcc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bcc", None)
    check = capabilities.bcc()
    assert check.status == MISSING
    assert check.remedy == capabilities.install_bcc()


def test_the_other_package_named_bcc(monkeypatch: pytest.MonkeyPatch) -> None:
    impostor = types.ModuleType("bcc")
    impostor.__file__ = "/somewhere/bcc/__init__.py"
    monkeypatch.setitem(sys.modules, "bcc", impostor)
    check = capabilities.bcc()
    assert check.status == MISSING
    assert "/somewhere/bcc is another program" in check.detail
    assert check.remedy.startswith("pip uninstall bcc; ")


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ({"ID": "debian"}, "sudo apt-get install python3-bpfcc"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "sudo apt-get install python3-bpfcc"),
        ({"ID": "fedora"}, "sudo dnf install python3-bcc"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "sudo dnf install python3-bcc"),
        ({"ID": "arch"}, "sudo pacman -S python-bcc"),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "sudo zypper install python3-bcc"),
    ],
)
def test_what_installs_bcc(release: dict[str, str], command: str) -> None:
    assert capabilities.install_bcc(release) == command


def test_what_installs_bcc_on_an_unknown_distribution() -> None:
    text = capabilities.install_bcc({"ID": "unheard-of"})
    assert all(command in text for command in capabilities._INSTALL_BCC.values())


def test_what_is_required_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "_effective", lambda: 0)
    with pytest.raises(CannotCollect) as caught:
        capabilities.require_privileges()
    assert "CAP_BPF and CAP_PERFMON" in str(caught.value)
    assert "sudo" in str(caught.value)
    for enough in (1 << 21, 1 << 38 | 1 << 39):
        monkeypatch.setattr(capabilities, "_effective", lambda held=enough: held)
        capabilities.require_privileges()


# --- The terminal ---


GOOD = Terminfo(256, mouse=True)


def terminal(
    size: tuple[int, int] | None = (80, 24),
    terminfo: Terminfo | None = GOOD,
    **environ: str,
) -> dict[str, Check]:
    environ = {"TERM": "xterm-256color", **environ}
    return {check.name: check for check in doctor.terminal(environ, size, terminfo)}


def test_a_good_terminal() -> None:
    found = terminal()
    assert [check.status for name, check in found.items() if name != "UTF-8"] == [FINE] * 3


def test_poor_terminals() -> None:
    assert terminal(size=None)["terminal"].status == DEGRADED
    assert terminal(size=(59, 24))["terminal size"].status == DEGRADED
    assert terminal(size=(60, 14))["terminal size"].status == DEGRADED
    assert terminal(size=(60, 15))["terminal size"].status == FINE
    assert terminal(terminfo=Terminfo(0, mouse=False), TERM="vt100")["colours"].status == DEGRADED
    assert terminal(terminfo=Terminfo(0, mouse=False), TERM="vt100")["mouse"].status == DEGRADED
    assert "16 (TERM" in terminal(terminfo=Terminfo(16, mouse=True))["colours"].detail
    assert terminal(terminfo=None, TERM="\x1b[2J")["colours"].detail.isprintable()
    assert terminal(terminfo=Terminfo(0, mouse=True), NO_COLOR="1")["colours"].status == FINE
    assert (
        terminal(terminfo=Terminfo(8, mouse=True), COLORTERM="truecolor")["colours"].status == FINE
    )


@pytest.mark.parametrize(("codeset", "status"), [("UTF-8", FINE), ("ANSI_X3.4-1968", DEGRADED)])
def test_the_characters(monkeypatch: pytest.MonkeyPatch, codeset: str, status: str) -> None:
    monkeypatch.setattr("locale.getpreferredencoding", lambda **_: codeset)
    check = terminal()["UTF-8"]
    assert check.status == status
    assert ("ASCII" in check.detail) == (status == DEGRADED)


# --- What is printed ---

FOUND = [
    Check("kernel", FINE, "Linux 6.18.0"),
    Check("task storage", DEGRADED, "refused: EINVAL; " + "words " * 20, "boot another"),
    Check("bcc", MISSING, "cannot be imported", "sudo apt-get install python3-bpfcc"),
]


def test_lines_are_aligned_at_80_columns() -> None:
    for check in FOUND:
        first, *more = doctor.lines(check, 80, colour=False)
        assert first.startswith(f"{check.name:17}{check.status:9}")
        assert all(line.startswith(" " * 26) for line in more)
        assert max(map(len, [first, *more])) <= 80
    assert doctor.lines(FOUND[2], 80, colour=False)[-1].endswith(f"mend it: {FOUND[2].remedy}")


def test_colours_change_nothing_else() -> None:
    for check in FOUND:
        plain = "\n".join(doctor.lines(check, 80, colour=False))
        coloured = "\n".join(doctor.lines(check, 80, colour=True))
        assert "\x1b" in coloured
        for code in ("\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"):
            coloured = coloured.replace(code, "")
        assert coloured == plain


def test_the_verdict() -> None:
    assert doctor.verdict(FOUND) == "sysdash cannot run here yet: bcc."
    assert doctor.verdict(FOUND[:2]) == "sysdash can run here; degraded: task storage."
    assert doctor.verdict(FOUND[:1]) == "sysdash can run here."
    assert not doctor.can_run(FOUND)
    assert doctor.can_run(FOUND[:2])
