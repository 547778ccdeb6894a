"""Names for people: of C++ and Rust, of the kernel, and that none takes long or does harm."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sysdash.probes.symbols import KernelSymbols, demangle
from sysdash.probes.symbols.demangle import Names
from sysdash.units import width

# It keeps libstdc++ busy for ever.
ENDLESS = b"_Zli3fooDTsrilDpDpflPUt_UlvE_Js_iLZfRtlS_DTUlvE__"


def _children() -> set[int]:
    """Processes that this one began, also those that ended and nobody waited for."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found.update(map(int, (task / "children").read_text().split()))
    return found


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    before = _children()
    opened = Names()
    yield opened
    opened.close()
    assert _children() <= before


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(demangle, "_BEGIN_S", 30.0)
    monkeypatch.setattr(demangle, "_NAME_S", 10.0)


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("read", "read"),
        ("_start", "_start"),
        ("_ZN3foo3barEi", "foo::bar(int)"),
        ("_ZNSt6vectorIiSaIiEE9push_backERKi",
         "std::vector<int, std::allocator<int> >::push_back(int const&)"),
        ("_ZN3foo3barEi.constprop.0", "foo::bar(int) [clone .constprop.0]"),
        ("_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place"),
        ("_ZN65_$LT$std..path..Path$u20$as$u20$core..convert..AsRef$LT$T$GT$$GT$6as_ref17h0123456789abcdefE",
         "<std::path::Path as core::convert::AsRef<T>>::as_ref"),
        ("_ZN4main28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE", "main::{{closure}}"),
        ("_Znonsense", "_Znonsense"),
        ("_Z", "_Z"),
        ("main.main", "main.main"),
        ("bad\x1b[2Jname", "bad␛[2Jname"),
        ("_ZN1\x1bE", "␛"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("patient")
def test_as_their_authors_wrote_them(names: Names, symbol: str, shown: str) -> None:
    assert names.readable(symbol.encode()) == shown


def _reference(number: int) -> str:
    """A reference to what was there before, in base 36."""
    if number == 0:
        return "S_"
    number, digits = number - 1, ""
    while True:
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number % 36] + digits
        number //= 36
        if number == 0:
            return f"S{digits}_"


@pytest.mark.parametrize("times", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("levels", [4, 11, 12, 20, 35, 300])
@pytest.mark.usefixtures("patient")
def test_names_that_repeat_themselves(names: Names, times: int, levels: int) -> None:
    """A hundred letters can stand for a terabyte: each level repeats the one before."""
    name = "_Z1f1aIiE" + "".join(
        f"S_I{_reference(level) * times}E" for level in range(1, levels + 1)
    )
    began = time.monotonic()
    assert width(names.readable(name.encode())) <= 160
    assert time.monotonic() - began < 10


def test_a_name_that_never_ends() -> None:
    """Others are demangled all the same; who sends many such names has none demangled."""
    before = _children()
    names = Names()
    try:
        began = time.monotonic()
        shown = [names.readable(ENDLESS + b"v" * count) for count in range(20)]
        assert shown == [(ENDLESS + b"v" * count).decode() for count in range(20)]
        assert time.monotonic() - began < 10
        assert names.readable(b"_ZN3foo3barEi") == "_ZN3foo3barEi"
        assert _children() <= before
    finally:
        names.close()


def test_after_a_name_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names()
    try:
        monkeypatch.setattr(demangle, "_BEGIN_S", 30.0)
        assert names.readable(b"_Z1fv") == "f()"
        assert names.readable(ENDLESS) == ENDLESS.decode()
        assert names.readable(b"_ZN3foo3barEi") == "foo::bar(int)"
        # It is not tried again.
        before = _children()
        assert names.readable(ENDLESS) == ENDLESS.decode()
        assert _children() == before
    finally:
        names.close()


@pytest.mark.usefixtures("patient")
def test_what_demangles_holds_nothing_and_ends_with_us() -> None:
    names = Names()
    held = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(held, True)
    before = _children()
    try:
        assert names.readable(b"_Z1fv") == "f()"
        (pid,) = _children() - before
        process = Path(f"/proc/{pid}")
        assert {path.name for path in (process / "fd").iterdir()} == {"0", "1", "2"}
        assert (process / "cwd").readlink() == Path("/")
        assert (process / "comm").read_text() == "sysdash-names\n"
        assert os.getsid(pid) != os.getsid(0)
        names.close()
        assert not process.exists()
        assert names.readable(b"_Z1gv") == "_Z1gv"
    finally:
        os.close(held)
        names.close()


def test_what_demangles_ends_when_its_input_does() -> None:
    """Also where nobody is left to kill it, and while it is busy with a name."""
    for last in (b"_Z1fv", ENDLESS):
        with subprocess.Popen(
            demangle._PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            try:
                process.communicate(len(last).to_bytes(4, "little") + last, timeout=30)
            finally:
                process.kill()


@pytest.mark.usefixtures("patient")
def test_what_demangles_was_killed() -> None:
    names = Names()
    before = _children()
    try:
        assert names.readable(b"_Z1fv") == "f()"
        (pid,) = _children() - before
        os.kill(pid, 9)
        names.readable(b"_Z1gv")
        assert names.readable(b"_Z1hv") == "h()"
    finally:
        names.close()
    assert _children() <= before


@pytest.mark.usefixtures("patient")
def test_an_interrupt_while_a_name_is_demangled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer that was not read is not taken for another name's."""
    names = Names()

    def ask(process: subprocess.Popen[bytes], name: bytes, _: float) -> bytes | None:
        assert process.stdin is not None
        process.stdin.write(len(name).to_bytes(4, "little") + name)
        raise KeyboardInterrupt

    try:
        with monkeypatch.context() as patched:
            patched.setattr(demangle, "_ask", ask)
            with pytest.raises(KeyboardInterrupt):
                names.readable(b"_Z1fv")
        assert names.readable(b"_Z1gv") == "g()"
    finally:
        names.close()


@pytest.mark.usefixtures("patient")
def test_names_from_several_threads(names: Names) -> None:
    wrong: list[str] = []

    def work() -> None:
        for number in range(200):
            shown = names.readable(b"_Z1fILi%dEEvv" % number)
            if shown != f"void f<{number}>()":
                wrong.append(shown)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.usefixtures("patient")
def test_long_names_are_cut(names: Names) -> None:
    for name in (b"x" * 5000, b"_ZN" + b"3abc" * 2000 + b"Ev", b"_ZN" + b"3abc" * 100 + b"Ev"):
        assert names.readable(name).endswith("…")
        assert width(names.readable(name)) == 160


@given(st.binary(max_size=60) | st.text("ZNSKTIJELRPOv0123_abcDpst", max_size=120).map(str.encode))
@settings(deadline=3000, max_examples=400)
def test_any_name(names: Names, name: bytes) -> None:
    for symbol in (name, b"_Z" + name, b"_ZN" + name + b"17h0123456789abcdefE"):
        shown = names.readable(symbol)
        assert width(shown) <= 160
        assert shown.isprintable()


# --- The kernel's ---


@pytest.fixture(scope="module")
def kernel() -> KernelSymbols:
    return KernelSymbols()


def _address(name: str) -> int:
    for line in Path("/proc/kallsyms").read_text().splitlines():
        words = line.split()
        if words[2] == name:
            return int(words[0], 16)
    raise AssertionError(name)


def test_functions_of_the_kernel(kernel: KernelSymbols) -> None:
    assert kernel.without == ""
    start = _address("do_sys_poll")
    assert kernel.name(start) == "vmlinux`do_sys_poll+0x0"
    assert kernel.name(start + 0x1B) == "vmlinux`do_sys_poll+0x1b"
    assert kernel.caller(start + 0x1B) == "vmlinux`do_sys_poll+0x1b"
    # A call that does not return can be the last of a function.
    assert kernel.caller(start).startswith("vmlinux`")
    assert not kernel.caller(start).startswith("vmlinux`do_sys_poll+")


def test_every_function_of_the_kernel(kernel: KernelSymbols) -> None:
    """Each address is found under one of the names it has."""
    names: dict[int, set[str]] = {}
    for line in Path("/proc/kallsyms").read_text().splitlines():
        words = line.replace("\t", " ").split()
        if words[1] in "tTwW":
            module = words[3].strip("[]") if len(words) > 3 else "vmlinux"
            names.setdefault(int(words[0], 16), set()).add(f"{module}`{words[2]}+0x0")
    assert len(names) > 10_000
    # Programs of BPF come and go.
    wrong = [place for place, known in names.items() if kernel.name(place) not in known]
    assert len(wrong) < 100


def test_it_is_read_in_little_time() -> None:
    began = time.thread_time()
    assert len(KernelSymbols()) > 10_000
    assert time.thread_time() - began < 3


def test_modules_and_aliases(tmp_path: Path) -> None:
    path = tmp_path / "kallsyms"
    path.write_text(
        "ffffffff81000000 T _stext\n"
        "ffffffff81000000 t __local\n"
        "ffffffff81000100 T __do_it\n"
        "ffffffff81000100 T do_it\n"
        "ffffffff81000180 D data\n"
        "ffffffffc0000000 t ext4_sync_file\t[ext4]\n"
        "ffffffffc0000100 t b\x1bad\t[m\x1bod]\n"
        "nonsense\n"
        "zzzzzzzzzzzzzzzz t not_hexadecimal\n"
        "ffffffffc0000200 t cut"
    )
    kernel = KernelSymbols(path)
    assert kernel.name(0xFFFF_FFFF_8100_0001) == "vmlinux`_stext+0x1"
    assert kernel.name(0xFFFF_FFFF_8100_0104) == "vmlinux`do_it+0x4"
    assert kernel.name(0xFFFF_FFFF_C000_001B) == "ext4`ext4_sync_file+0x1b"
    assert kernel.name(0xFFFF_FFFF_C000_0100) == "m␛od`b␛ad+0x0"
    assert kernel.name(0xFFFF_FFFF_8000_0000) == "0xffffffff80000000"
    assert kernel.name(0xFFFF_FFFF_B000_0000) == "0xffffffffb0000000"
    assert kernel.caller(0) == "0x0"


@pytest.mark.parametrize("text", ["0000000000000000 T _stext\n0000000000000000 T b\n", "", "\n\n"])
def test_hidden_addresses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kallsyms"
    path.write_text(text)
    kernel = KernelSymbols(path)
    assert kernel.name(0x1234) == "0x1234"
    assert len(kernel) == 0
    assert kernel.without
    assert ("kptr_restrict" in kernel.without) == bool(text.strip())


def test_no_kallsyms(tmp_path: Path) -> None:
    kernel = KernelSymbols(tmp_path / "none")
    assert len(kernel) == 0
    assert "No such file" in kernel.without
