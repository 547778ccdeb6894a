"""Which arguments each system call has, and what is looked up of them."""

from __future__ import annotations

import pytest

from sysdash import arguments, constants, meanings, syscalls
from sysdash.arguments import Argument, Signatures
from sysdash.records import (
    ARGS,
    DATA_BYTES,
    DATA_SIZED,
    DATA_SIZED_AT,
    DATA_STRING,
    FD_CWD,
    FD_RESULT,
    DataRule,
    Reads,
)
from sysdash.syscalls import IA32, NATIVE, X32

# Native calls of which nothing is known: they were never in a released kernel of this
# architecture, or are gone since Linux 2.6, and only their numbers are left.
WITHOUT_SIGNATURE = frozenset(
    """
    afs_syscall create_module get_kernel_syms getpmsg putpmsg query_module security tuxcall vserver
    """.split()
)

SIGNATURES = Signatures()


def of(name: str, abi: int = NATIVE, signatures: Signatures = SIGNATURES) -> list[str]:
    """The names of a call's arguments."""
    (nr,) = (nr for nr, table in syscalls.numbers(name) if table == abi)
    return [argument.name for argument in signatures.of(nr, abi) or ()]


def reads(name: str, abi: int = NATIVE) -> Reads:
    (nr,) = (nr for nr, table in syscalls.numbers(name) if table == abi)
    return SIGNATURES.reads().get((nr, abi), Reads())


def calls() -> list[tuple[str, int, int]]:
    """Every (name, number, ABI) of the tables."""
    return [(name, nr, abi) for name in syscalls.names() for nr, abi in syscalls.numbers(name)]


def test_arguments_have_the_kernels_names_and_types() -> None:
    assert SIGNATURES.of(257, NATIVE) == (
        Argument("dfd", "int"),
        Argument("filename", "const char *"),
        Argument("flags", "int"),
        Argument("mode", "umode_t"),
    )
    assert of("read") == ["fd", "buf", "count"]
    assert of("mmap") == ["addr", "len", "prot", "flags", "fd", "off"]
    assert of("getpid") == []


def test_every_native_call_has_a_signature_but_for_those_that_are_gone() -> None:
    without = {
        name for name, nr, abi in calls() if abi == NATIVE and SIGNATURES.of(nr, abi) is None
    }
    assert without == WITHOUT_SIGNATURE


def test_calls_of_other_abis_have_one_too() -> None:
    without = {name for name, nr, abi in calls() if SIGNATURES.of(nr, abi) is None}
    # Of the 32-bit table, numbers that were never used.
    never = "break ftime gtty idle lock mpx prof profil stty ulimit".split()
    assert without == WITHOUT_SIGNATURE | set(never)
    assert of("openat", X32) == of("openat")
    assert of("stat64", IA32) == of("stat")
    assert of("clock_nanosleep_time64", IA32) == of("clock_nanosleep")
    assert of("getuid32", IA32) == []
    assert of("waitpid", IA32) == ["pid", "stat_addr", "options"]


def test_a_32_bit_form_of_a_call_has_its_own_arguments() -> None:
    assert of("mmap", IA32) == ["arg"]
    assert of("mmap2", IA32)[-1] == "pgoff"
    assert of("pread64", IA32) == ["fd", "buf", "count", "pos_low", "pos_high"]
    assert of("clone", IA32)[3:] == ["tls", "child_tidptr"]
    assert of("clone")[3:] == ["child_tidptr", "tls"]
    assert of("umount", IA32) == ["name"]
    assert of("umount2", IA32) == ["name", "flags"]


def test_numbers_without_a_call_have_no_signature() -> None:
    for nr in (-1, 999, 2**31, -(2**31), 10**9):
        for abi in (NATIVE, IA32, X32):
            assert SIGNATURES.of(nr, abi) is None
            assert SIGNATURES.reads_of(nr, abi) == Reads()


def test_what_the_running_kernel_says_wins() -> None:
    running = Signatures({"read": (Argument("descriptor", "unsigned int"),)})
    assert of("read", NATIVE, running) == ["descriptor"]
    assert of("read", X32, running) == ["descriptor"]
    assert of("write", NATIVE, running) == ["fd", "buf", "count"]
    other = Signatures({"pread64": (Argument("fd", "unsigned int"),), "stat": ()})
    assert of("pread64", IA32, other) == of("pread64", IA32)
    assert of("stat64", IA32, other) == []


def test_no_signature_is_longer_than_a_call_can_be() -> None:
    running = Signatures({"read": tuple(Argument(f"a{at}", "int") for at in range(20))})
    assert len(of("read", NATIVE, running)) == ARGS
    assert all(len(SIGNATURES.of(nr, abi) or ()) <= ARGS for _, nr, abi in calls())


# --- What is looked up ---


def test_the_descriptor_is_looked_up() -> None:
    assert reads("read") == Reads(fd=0)
    assert reads("mmap") == Reads(fd=4)
    assert reads("mmap2", IA32) == Reads(fd=4)
    assert reads("epoll_ctl").fd == 2
    assert reads("sendfile").fd == 0
    assert reads("accept4").fd == FD_RESULT
    assert reads("getpid") == Reads()
    assert reads("mq_timedsend").fd == 0


def test_the_folder_of_a_path_is_looked_up() -> None:
    path = (DataRule(0, DATA_STRING),)
    assert reads("openat") == Reads(fd=0, data=(DataRule(1, DATA_STRING),))
    assert reads("open") == Reads(fd=FD_CWD, data=path)
    assert reads("execve") == Reads(fd=FD_CWD, data=path)
    assert reads("execveat").fd == 0
    assert reads("symlinkat").fd == 1
    assert reads("inotify_add_watch") == Reads(fd=FD_CWD, data=(DataRule(1, DATA_STRING),))
    assert reads("fanotify_mark").fd == 3
    assert reads("fanotify_mark", IA32) == Reads(fd=4, data=(DataRule(5, DATA_STRING),))
    # A name that is not a path.
    assert reads("memfd_create").fd is None


def test_two_pieces_of_memory_are_read_at_most() -> None:
    assert reads("rename").data == (DataRule(0), DataRule(1))
    assert reads("renameat2").data == (DataRule(1), DataRule(3))
    assert reads("mount").data == (DataRule(0), DataRule(1))
    assert all(len(found.data) <= 2 for found in SIGNATURES.reads().values())


def test_addresses_are_read_in_their_length() -> None:
    assert reads("connect") == Reads(fd=0, data=(DataRule(1, DATA_SIZED, 2),))
    assert reads("sendto") == Reads(fd=0, data=(DataRule(4, DATA_SIZED, 5),))
    assert reads("getpeername").data == (DataRule(1, DATA_SIZED_AT, 2),)
    assert reads("recvfrom").data == (DataRule(4, DATA_SIZED_AT, 5),)


def test_times_are_read_in_the_size_that_they_have() -> None:
    assert reads("nanosleep").data == (DataRule(0, DATA_BYTES, 16),)
    assert reads("nanosleep", IA32).data == (DataRule(0, DATA_BYTES, 8),)
    assert reads("futex").data == (DataRule(3, DATA_BYTES, 16),)
    assert reads("futex", IA32).data == (DataRule(3, DATA_BYTES, 8),)
    assert reads("futex_time64", IA32).data == (DataRule(3, DATA_BYTES, 16),)
    # These came when times had 64 bits everywhere.
    assert reads("epoll_pwait2", IA32).data == (DataRule(3, DATA_BYTES, 16),)
    assert reads("futex_waitv", X32).data == (DataRule(3, DATA_BYTES, 16),)


def test_the_first_descriptors_of_poll_are_read() -> None:
    assert reads("poll").data == (DataRule(0, DATA_BYTES, 64),)
    assert reads("ppoll_time64", IA32).data == (DataRule(0, DATA_BYTES, 64),)


def test_what_programs_read_and_write_is_not_looked_at() -> None:
    for name in "read write pread64 readv writev sendmsg recvmsg getdents64".split():
        assert reads(name).data == ()
    assert reads("sendto").data[0].argument == 4
    assert reads("setxattr").data == (DataRule(0), DataRule(1))
    assert reads("prctl").data == (DataRule(1),)  # a thread's name


def test_every_rule_is_about_an_argument_that_the_call_has() -> None:
    for (nr, abi), found in SIGNATURES.reads().items():
        signature = SIGNATURES.of(nr, abi)
        assert signature is not None
        places = [rule.argument for rule in found.data]
        places += [rule.size for rule in found.data if rule.kind in (DATA_SIZED, DATA_SIZED_AT)]
        if found.fd not in (None, FD_CWD, FD_RESULT):
            places.append(found.fd)
        assert all(place < len(signature) for place in places), (nr, abi)
        for rule in found.data:
            # What an argument of prctl is depends on the option.
            prctl = signature[rule.argument] == Argument("arg2", "unsigned long")
            pointer = prctl or "*" in signature[rule.argument].type
            assert pointer, (syscalls.name(nr, abi), rule)


# --- Meanings ---


def test_every_meaning_is_one_that_there_is() -> None:
    words = {word for listed in meanings.listed().values() for word in listed}
    assert words <= meanings.WORDS | set(constants.TABLES) | {"."}
    assert words >= meanings.WORDS
    assert not meanings.WORDS & set(constants.TABLES)


def test_every_call_with_meanings_is_in_a_table_and_has_that_many_arguments() -> None:
    for listed, words in meanings.listed().items():
        name = listed.removeprefix("ia32/")
        abis = [IA32] if name != listed else [NATIVE, X32, IA32]
        found = [(nr, abi) for nr, abi in syscalls.numbers(name) if abi in abis]
        assert found, listed
        for nr, abi in found:
            if abi == IA32 and name == listed and f"ia32/{name}" in meanings.listed():
                continue
            assert len(words) <= len(SIGNATURES.of(nr, abi) or ()), listed


def test_what_can_be_an_address_is_not_taken_for_a_number() -> None:
    def words(name: str) -> list[str]:
        return list(SIGNATURES.meanings(*syscalls.numbers(name)[0]))

    assert words("ioctl") == ["fd", "ioctl", "any"]
    assert words("keyctl") == ["int", *["any"] * 4]
    assert words("io_getevents")[0] == "address"
    assert words("capget") == ["pointer", "pointer"]
    # Whatever the type does not tell is known by the call.
    for name, nr, abi in calls():
        for argument, word in zip(
            SIGNATURES.of(nr, abi) or (), SIGNATURES.meanings(nr, abi), strict=True
        ):
            if word in ("ulong", "hex"):
                assert argument.name not in ("addr", "arg", "data", "start", "header"), name


def test_a_call_that_is_new_is_told_by_the_types_of_its_arguments() -> None:
    new = (("dfd", "int"), ("filename", "const char *"), ("how", "struct new_how *"))
    assert meanings.meanings("brand_new", NATIVE, new) == ("dirfd", "path", "pointer")
    more = (("fd", "unsigned int"), ("size", "size_t"), ("flags", "unsigned int"))
    assert meanings.meanings("brand_new", NATIVE, more) == ("fd", "size", "hex")
    odd = (("mode", "umode_t"), ("pid", "pid_t"), ("pos", "loff_t"), ("x", "struct y"))
    assert meanings.meanings("brand_new", NATIVE, odd) == ("octal", "int", "long", "hex")


# --- The table's text ---


def test_a_table_is_read_as_it_was_written() -> None:
    text = arguments.SIGNATURES.read_text(encoding="utf-8")
    found = arguments.parse(text)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [arguments.unparse(name, found[name]) for name in found] == lines
    assert lines == sorted(lines, key=lambda line: line.split()[0])
    assert text.isascii()


@pytest.mark.parametrize("line", ["read fd", "read int a, b", "f " + ", ".join(["int a"] * 7)])
def test_a_line_that_is_no_signature_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="argument"):
        arguments.parse(line)
