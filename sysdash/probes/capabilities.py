"""What this machine offers to the probe, found out by trying, and what to do about what is missing.

Nothing here raises for a machine that lacks something: that is what the checks report.
"""

from __future__ import annotations

import errno
import mmap
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sysdash.errors import CannotCollect
from sysdash.probes import bpf, targets
from sysdash.probes.btf import KernelTypes
from sysdash.units import ELLIPSIS, bytes_, safe, width

FINE, DEGRADED, MISSING = "fine", "degraded", "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was looked at.
        status: ``fine``, ``degraded`` (``detail`` says what is lost) or ``missing`` (the
            dashboard cannot run).
        detail: what was found.
        remedy: what mends it; empty where nothing needs to be mended, or nothing can be.
    """

    name: str
    status: str
    detail: str
    remedy: str = ""


OLDEST_KERNEL = (5, 11)
"""Before it, memory of BPF maps was charged to RLIMIT_MEMLOCK, and the probe's helpers lacked."""

# include/uapi/linux/capability.h
_CAP_SYS_ADMIN = 21
_NEEDED_CAPABILITIES = {"CAP_BPF": 39, "CAP_PERFMON": 38}
_LOOKING = {"CAP_SYS_PTRACE": 19, "CAP_DAC_READ_SEARCH": 2}
_SYSLOG = {"CAP_SYSLOG": 34}
_CAP_DAC_OVERRIDE = 1

_BTF = Path("/sys/kernel/btf/vmlinux")
_KALLSYMS = Path("/proc/kallsyms")
_KALLSYMS_BYTES = 64 * 1024
_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_KPROBE_TYPE = Path("/sys/bus/event_source/devices/kprobe/type")

# A function to try kprobes and fentry on: every kernel has it, and it is seldom run.
_FUNCTION = "ksys_sync"

_PROGRAMS = ("sysdash", "syscount", "syslat", "sysslow")

_MOST_COLUMNS = 200
"""Of a command line that is repeated."""

# How each family of distributions installs bcc's Python module.
_INSTALL_BCC = {
    "debian": "sudo apt-get install python3-bpfcc",
    "fedora": "sudo dnf install python3-bcc",
    "arch": "sudo pacman -S python-bcc",
    "suse": "sudo zypper install python3-bcc",
}
_FAMILIES = {
    "ubuntu": "debian",
    "rhel": "fedora",
    "centos": "fedora",
    "opensuse": "suse",
    "sles": "suse",
}


def install_bcc(release: Mapping[str, str] | None = None) -> str:
    """The command that installs bcc on this distribution; all of them if it is not known.

    Args:
        release: the fields of os-release(5); by default this machine's.
    """
    if release is None:
        try:
            release = platform.freedesktop_os_release()
        except OSError:
            release = {}
    for name in (release.get("ID", ""), *release.get("ID_LIKE", "").split()):
        command = _INSTALL_BCC.get(_FAMILIES.get(name, name))
        if command:
            return command
    return " or ".join(_INSTALL_BCC.values())


# --- What the user may do ---


def needs() -> str:
    """What the user must be allowed to do, in one sentence without a full stop."""
    return f"watching system calls needs root, or {' and '.join(_NEEDED_CAPABILITIES)}"


def missing_capabilities() -> list[str]:
    """The names of the capabilities that the probe needs and this process does not have.

    CAP_BPF creates the maps and CAP_PERFMON loads tracing programs that read kernel memory
    (include/uapi/linux/capability.h); CAP_SYS_ADMIN includes both.
    """
    return [] if _is_held(_CAP_SYS_ADMIN) else _lacking(_NEEDED_CAPABILITIES)


def missing_to_look() -> list[str]:
    """The names of the capabilities that this process lacks to look into others' processes.

    :func:`sysdash.probes.tasks.is_closed` tells what they are for. CAP_DAC_OVERRIDE includes
    CAP_DAC_READ_SEARCH here, and containers' root mostly has that one.
    """
    opens = _is_held(_CAP_DAC_OVERRIDE)
    return [name for name in _lacking(_LOOKING) if name != "CAP_DAC_READ_SEARCH" or not opens]


def _lacking(capabilities: Mapping[str, int]) -> list[str]:
    return [name for name, bit in capabilities.items() if not _is_held(bit)]


def _is_held(bit: int) -> bool:
    return bool(_effective() >> bit & 1)


def _effective() -> int:
    # Source: fs/proc/array.c, task_cap.
    for line in (
        Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    ):
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def run_privileged(words: Iterable[str] = ()) -> str:
    """The command that starts sysdash as root, also where sudo's PATH does not have it.

    Args:
        words: its arguments; they are made fit for a terminal, and what is too long is left out.
    """
    program = Path(sys.argv[0])
    line = f"sudo {_quoted(str(program.absolute()) if program.name in _PROGRAMS else 'sysdash')}"
    for word in words:
        longer = f"{line} {_quoted(word)}"
        if width(longer) > _MOST_COLUMNS:
            return f"{line} {ELLIPSIS}"
        line = longer
    return line


def _quoted(word: str) -> str:
    return safe(shlex.quote(word))


def require_privileges() -> None:
    """Check that this process may use the probe.

    Raises:
        CannotCollect: it may not; the message is what a user without privileges reads.
    """
    missing = missing_capabilities()
    if missing:
        raise CannotCollect(
            f"{needs()}, and you do not have {' or '.join(missing)}",
            f"Run `{run_privileged(sys.argv[1:])}`; "
            "`sysdash doctor` tells what else this machine may lack",
        )


def privileges() -> Check:
    """Whether this process holds what the probe needs."""
    missing = missing_capabilities()
    if missing:
        detail = f"no {' and no '.join(missing)}; root has both, and they are enough without it"
        return Check("privileges", MISSING, detail, run_privileged())
    if os.geteuid() == 0:
        return Check("privileges", FINE, "root (CAP_BPF and CAP_PERFMON would do)")
    return Check("privileges", FINE, "CAP_BPF and CAP_PERFMON, without root")


def other_processes() -> Check:
    """Whether this process may look into those of other users."""
    name = "other processes"
    missing = missing_to_look()
    if missing:
        detail = (
            f"no {' and no '.join(missing)}: calls that began before the start are missing, and "
            "those in flight come without arguments and stacks, but for your own processes"
        )
        return Check(name, DEGRADED, detail, run_privileged())
    if not _is_held(_CAP_SYS_ADMIN):
        # fs/proc/base.c, proc_pid_stack() and proc_pid_wchan()
        detail = (
            "can be looked into; no CAP_SYS_ADMIN: of the kernel's stack, a call in flight comes "
            "with one function"
        )
        return Check(name, DEGRADED, detail, run_privileged())
    return Check(name, FINE, "can be looked into")


def without_kernel_names() -> str:
    """Why the addresses of the kernel's functions cannot be told; empty if they can.

    The file has zeros in their place where they are not shown (kernel/ksyms_common.c,
    kallsyms_show_value()).
    """
    try:
        with _KALLSYMS.open("rb") as file:
            lines = file.read(_KALLSYMS_BYTES).splitlines()
    except OSError as error:
        return f"{_KALLSYMS}: {error.strerror}"
    if any(line.split(b" ", 1)[0].strip(b"0") for line in lines):
        return ""
    if _lacking(_SYSLOG):
        return "that needs root, or CAP_SYSLOG"
    return "the kernel shows their addresses to nobody: sysctl kernel.kptr_restrict"


def kernel_names() -> Check:
    """Whether the kernel's functions can be told by name."""
    name = "kernel names"
    reason = without_kernel_names()
    if reason:
        hidden = "sysctl kernel.kptr_restrict=1" if _KALLSYMS.exists() else ""
        remedy = run_privileged() if _lacking(_SYSLOG) else hidden
        detail = f"the kernel's functions have addresses for names: {reason}"
        return Check(name, DEGRADED, detail, remedy)
    return Check(name, FINE, "the kernel's functions have names")


# --- The kernel ---


def architecture() -> Check:
    """Whether the probe knows this machine's registers and syscall tables."""
    machine = platform.machine()
    if machine == "x86_64":
        return Check("architecture", FINE, machine)
    return Check("architecture", MISSING, f"{machine}; sysdash knows x86_64 only so far")


def kernel() -> Check:
    """The kernel's version."""
    release = platform.release()
    match = re.match(r"(\d+)\.(\d+)", release)
    oldest = ".".join(map(str, OLDEST_KERNEL))
    if match is None or (int(match[1]), int(match[2])) < OLDEST_KERNEL:
        return Check(
            "kernel", MISSING, f"Linux {release}; {oldest} is needed", "boot a newer kernel"
        )
    return Check("kernel", FINE, f"Linux {release} ({oldest} is needed)")


def btf() -> Check:
    """Whether the kernel describes its own structures."""
    try:
        with _BTF.open("rb") as file:
            valid = file.read(2) == b"\x9f\xeb"
        size = _BTF.stat().st_size
    except OSError as error:
        return Check(
            "BTF",
            MISSING,
            f"{_BTF}: {error.strerror}",
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are",
        )
    if not valid:
        return Check("BTF", MISSING, f"{_BTF} is not BTF of this machine's byte order")
    return Check("BTF", FINE, f"{_BTF} ({size / 1e6:.1f} MB)")


def headers() -> Check:
    """Whether kernel headers are there, which nothing needs."""
    folder = Path("/lib/modules", platform.release(), "build")
    found = f"{folder}" if folder.is_dir() else "none"
    return Check("kernel headers", FINE, f"{found}; not needed, sysdash brings its own")


def lockdown() -> Check:
    """Whether the kernel is locked down so far that nothing may read its memory."""
    name = "lockdown"
    try:
        text = _LOCKDOWN.read_text(encoding="ascii")
    except FileNotFoundError:
        return Check(name, FINE, "not known: securityfs is not mounted, or there is no lockdown")
    except OSError as error:
        return Check(name, FINE, f"not known: {error.strerror}")
    match = re.search(r"\[(\w+)\]", text)
    mode = match[1] if match else text.strip()
    if mode == "confidentiality":
        return Check(
            name,
            MISSING,
            "confidentiality: the kernel lets nobody read its memory",
            "boot with lockdown=integrity, or without lockdown=",
        )
    return Check(name, FINE, mode)


def tracefs() -> Check:
    """Whether tracefs is mounted, which nothing needs yet."""
    found = _tracefs()
    where = f"mounted at {found}" if found else "not mounted, or not readable"
    return Check("tracefs", FINE, f"{where}; not needed")


def _tracefs() -> Path | None:
    for folder in _TRACEFS:
        try:
            if (folder / "events").is_dir():
                return folder
        except OSError:
            continue
    return None


# --- What works, by trying ---


def _refusal(error: OSError) -> str:
    return f"{errno.errorcode.get(error.errno or 0, error.errno)} ({error.strerror})"


def _try_needed(name: str, trial: Callable[[], None], detail: str) -> Check:
    try:
        trial()
    except OSError as error:
        remedy = run_privileged() if missing_capabilities() else ""
        return Check(name, MISSING, f"refused: {_refusal(error)}", remedy)
    return Check(name, FINE, detail)


def _raw_tracepoints() -> None:
    for name in ("sys_enter", "sys_exit", "sched_process_exit", "task_rename"):
        bpf.try_raw_tracepoint(name)


def _ring_buffer() -> None:
    with bpf.ring_buffer() as fd:
        bpf.try_raw_tracepoint("sys_enter", bpf.write_ring(fd))


def _mmapable_array() -> None:
    with bpf.mmapable_array() as fd:
        mmap.mmap(fd, mmap.PAGESIZE).close()


def task_storage() -> Check:
    """Whether raw tracepoints can keep data with each task."""
    name = "task storage"
    try:
        with bpf.task_storage() as fd:
            bpf.try_raw_tracepoint("sys_enter", bpf.use_task_storage(fd))
    except OSError as error:
        if missing_capabilities():
            return Check(name, MISSING, f"refused: {_refusal(error)}", run_privileged())
        return Check(
            name,
            DEGRADED,
            f"refused: {_refusal(error)}; a hash is used instead, and each syscall costs more",
            "boot Linux 5.13 or newer",
        )
    return Check(name, FINE, "works")


def cgroups() -> Check:
    """Whether the probe can ask in which cgroup a task is."""
    name = "cgroups"
    try:
        with bpf.cgroup_array() as fd:
            bpf.try_raw_tracepoint("sys_enter", bpf.ask_cgroup(fd))
    except OSError as error:
        detail = f"refused: {_refusal(error)}; --cgroup does not work"
        if missing_capabilities():
            return Check(name, DEGRADED, detail, run_privileged())
        return Check(name, DEGRADED, detail, "boot a kernel built with CONFIG_CGROUPS=y")
    root = targets.cgroup_root()
    if root is None:
        detail = "their v2 hierarchy is not mounted; --cgroup does not work"
        return Check(name, DEGRADED, detail, targets.MOUNT_CGROUPS)
    return Check(name, FINE, f"can be filtered by; v2 is mounted at {safe(str(root))}")


def _try_unneeded(name: str, trial: Callable[[], None]) -> Check:
    try:
        trial()
    except OSError as error:
        return Check(name, FINE, f"not available: {_refusal(error)}; not needed")
    except CannotCollect as reason:
        return Check(name, FINE, f"not tried: {reason.reason}; not needed")
    return Check(name, FINE, "works; not needed")


def _tracepoint() -> None:
    folder = _tracefs()
    if folder is None:
        raise CannotCollect("tracefs is not mounted, or not readable")
    text = (folder / "events/raw_syscalls/sys_enter/id").read_text(encoding="ascii")
    bpf.try_tracepoint(int(text))


def _kprobe() -> None:
    try:
        pmu_type = int(_KPROBE_TYPE.read_text(encoding="ascii"))
    except FileNotFoundError:
        raise CannotCollect("the kernel has no kprobes") from None
    bpf.try_kprobe(pmu_type, _FUNCTION)


class _Functions(KernelTypes):
    _KIND_FUNC = 12  # include/uapi/linux/btf.h

    def id(self, name: str) -> int:
        """BTF ID of a kernel function."""
        found = int(self._lib.btf__find_by_name_kind(self._btf, name.encode(), self._KIND_FUNC))
        if found < 0:
            raise CannotCollect(f"the kernel's BTF has no function {name}")
        return found


def _fentry() -> None:
    if not _BTF.exists():
        raise CannotCollect("the kernel has no BTF")
    with _Functions() as functions:
        function_id = functions.id(_FUNCTION)
    bpf.try_fentry(function_id)


# --- bcc, and the probe itself ---


def bcc() -> Check:
    """Whether bcc's Python module is there, and its version."""
    try:
        import bcc as module
    except ImportError as error:
        reason = safe(str(error)).partition(" (")[0]
        return Check("bcc", MISSING, f"cannot be imported: {reason}", install_bcc())
    except (OSError, AttributeError) as error:
        # Its library is missing, or is older or newer than the module.
        return Check("bcc", MISSING, f"does not load: {safe(str(error))}", install_bcc())
    if module.__file__ is None:
        return Check("bcc", MISSING, "an empty folder has its name", install_bcc())
    where = Path(module.__file__).parent
    if not hasattr(module, "BPF"):
        remedy = f"pip uninstall bcc; {install_bcc()}"
        return Check("bcc", MISSING, f"{where} is another program of the same name", remedy)
    return Check("bcc", FINE, f"{module.__version__}, {where}")


def probe() -> Check:
    """Whether the probe itself compiles, loads and attaches."""
    name = "the probe"
    try:
        from sysdash.probes.source import BpfSource

        BpfSource().close()
    except CannotCollect as reason:
        return Check(name, MISSING, safe(reason.reason), safe(reason.remedy))
    except ImportError as error:
        return Check(name, MISSING, safe(str(error)), "reinstall sysdash")
    return Check(name, FINE, "compiles, loads and attaches")


def memory() -> Check:
    """How much of the kernel's memory the probe takes while it runs."""
    from sysdash.probes import layout

    name = "kernel memory"
    try:
        taken, cpus = layout.kernel_bytes(), len(layout.online_cpus())
    except OSError as error:
        return Check(name, FINE, f"not known: {error.filename}: {error.strerror}")
    for_cpus = f"{cpus} CPU{'s' if cpus > 1 else ''}"
    return Check(name, FINE, f"the probe takes {bytes_(taken)} for {for_cpus}")


def checks() -> Iterator[Check]:
    """All checks of this machine, in the order in which they make sense to a reader."""
    lacking = []
    for look in (architecture, kernel, btf, headers, lockdown, tracefs, bcc, privileges):
        check = look()
        if check.status == MISSING:
            lacking.append(check.name)
        yield check
    # The trials are made of x86-64's numbers.
    if "architecture" not in lacking:
        yield from _trials()
    yield memory()
    if lacking:
        yield Check("the probe", MISSING, f"not tried, for the lack of {', '.join(lacking)}")
    else:
        yield probe()


def _trials() -> Iterator[Check]:
    yield _try_needed("raw tracepoints", _raw_tracepoints, "sys_enter, sys_exit and 2 more attach")
    yield _try_needed(
        "kernel reads", lambda: bpf.try_raw_tracepoint("sys_enter", bpf.READ_KERNEL), "allowed"
    )
    yield _try_needed("ring buffer", _ring_buffer, "works")
    yield _try_needed("mapped arrays", _mmapable_array, "work")
    yield task_storage()
    yield cgroups()
    yield other_processes()
    yield kernel_names()
    yield _try_unneeded("tracepoints", _tracepoint)
    yield _try_unneeded("kprobes", _kprobe)
    yield _try_unneeded("fentry", _fentry)
