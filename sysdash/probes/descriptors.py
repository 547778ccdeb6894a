"""What a file descriptor of another process is, from /proc: for calls that have not returned.

Looking at a file can wait for the disk or the server that the file lies on, so these functions are
called where waiting does no harm (:class:`sysdash.probes.inflight.InFlight`).
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sysdash.probes.tasks import read
from sysdash.records import File

_MOST_TABLE_BYTES = 16 << 20
"""Of a table of sockets: some 100,000 sockets."""

_MOST_TABLES = 64
_MOST_NAMES = 256

# include/uapi/linux/magic.h
_ANON_INODE, _PIPE, _SOCKET, _TMPFS = 0x09041934, 0x50495045, 0x534F434B, 0x01021994

_DELETED = b" (deleted)"

# net/unix/af_unix.c, unix_seq_show(): Num RefCount Protocol Flags Type St Inode Path.
_UNIX_LINE = re.compile(
    rb"[0-9a-f]{8,16}: [0-9A-F]{8} [0-9A-F]{8} [0-9A-F]{8} (?P<type>[0-9A-F]{4}) [0-9A-F]{2} "
    rb"+(?P<inode>\d+)(?: (?P<path>.*))?",
    re.DOTALL,
)

_KIND = re.compile(rb"(socket|pipe|anon_inode):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of sockets in /proc/PID/net, and what is the same for all in it."""

    name: str
    family: int
    type: int
    protocol: int


_INTERNET = (
    _Table("tcp", socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP),
    _Table("tcp6", socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP),
    _Table("udp", socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    _Table("udp6", socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_UDP),
)


class Descriptors:
    """Looks up descriptors; the sockets of a network namespace are read once."""

    def __init__(self) -> None:
        self._tables: dict[tuple[int, str], bytes] = {}

    def forget(self) -> None:
        """Read the sockets anew when one is looked up."""
        self._tables.clear()

    def file(self, pid: int, tid: int, fd: int) -> File | None:
        """What a thread's descriptor is; None if it has none of this number, or has ended."""
        return self._at(pid, tid, f"/proc/{pid}/task/{tid}/fd/{fd}")

    def folder(self, pid: int, tid: int) -> File | None:
        """A thread's working directory."""
        return self._at(pid, tid, f"/proc/{pid}/task/{tid}/cwd")

    def _at(self, pid: int, tid: int, link: str) -> File | None:
        try:
            target = os.readlink(os.fsencode(link))  # noqa: PTH115  (of bytes)
            found = os.stat(link)  # noqa: PTH116  (of what it leads to, with or without a name)
        except OSError:
            return None
        kind = _KIND.fullmatch(target)
        if kind and kind[1] == b"socket":
            return self._socket(pid, tid, link, found)
        file = File(
            ino=found.st_ino,
            dev=os.major(found.st_dev) << 20 | os.minor(found.st_dev),
            mode=found.st_mode,
        )
        if kind and kind[1] == b"pipe":
            return replace(file, magic=_PIPE)
        if kind:
            return replace(file, magic=_ANON_INODE, names=(kind[2],))
        # A file can be called so; one that is in no folder has no link.
        deleted = not found.st_nlink and target.endswith(_DELETED)
        path = target.removesuffix(_DELETED) if deleted else target
        if deleted and path.startswith(b"/memfd:"):  # mm/memfd.c
            return replace(file, magic=_TMPFS, names=(path[1:],), deleted=True)
        names = tuple(reversed([name for name in path.split(b"/") if name]))
        return replace(
            file, names=names[:_MOST_NAMES], deleted=deleted, cut=len(names) > _MOST_NAMES
        )

    def _socket(self, pid: int, tid: int, link: str, found: os.stat_result) -> File:
        file = File(ino=found.st_ino, mode=found.st_mode, magic=_SOCKET)
        try:
            namespace = os.stat(f"/proc/{pid}/task/{tid}/ns/net").st_ino  # noqa: PTH116
        except OSError:
            return file
        if _is_unix(link):
            known = _unix_row(self._table(namespace, pid, tid, "unix"), found.st_ino)
            return _unix(file, known) if known else file
        for table in _INTERNET:
            row = _row(self._table(namespace, pid, tid, table.name), found.st_ino)
            if row:
                return _internet(file, table, row)
        return file

    def _table(self, namespace: int, pid: int, tid: int, name: str) -> bytes:
        key = namespace, name
        if key not in self._tables:
            if len(self._tables) >= _MOST_TABLES:
                return b""
            try:
                table = read(f"/proc/{pid}/task/{tid}/net/{name}", _MOST_TABLE_BYTES)
            except OSError:
                table = b""
            self._tables[key] = table
        return self._tables[key]


def _is_unix(link: str) -> bool:
    """Whether a socket is one of AF_UNIX, by the name of its protocol (net/socket.c, sockfs)."""
    try:
        return os.getxattr(link, "system.sockprotoname").startswith(b"UNIX")
    except OSError:
        return False


def _lines_with(table: bytes, inode: int) -> Iterator[bytes]:
    """The lines in which the inode's number is a field."""
    wanted, at = b" %d" % inode, -1
    while (at := table.find(wanted, at + 1)) >= 0:
        if table[at + len(wanted) : at + len(wanted) + 1] in (b" ", b"\n", b""):
            begin, end = table.rfind(b"\n", 0, at) + 1, table.find(b"\n", at)
            at = end if end >= 0 else len(table)
            yield table[begin:at]


def _row(table: bytes, inode: int) -> list[bytes]:
    """The fields of an Internet socket's line; empty if there is none."""
    for line in _lines_with(table, inode):
        fields = line.split()
        if len(fields) > 9 and fields[9] == b"%d" % inode:
            return fields
    return []


def _unix_row(table: bytes, inode: int) -> tuple[bytes, bytes] | None:
    """Type and path in a socket's line of /proc/net/unix; None if there is none, or more than one.

    Paths can hold anything, newlines too: a path can end in what looks like another socket's line.
    So the inode must be that of a socket of this table. Its true line is there then, and with
    two, nobody can say which it is. A table that was cut off may lack the true one.
    """
    if len(table) >= _MOST_TABLE_BYTES:
        return None
    found = [row for line in _lines_with(table, inode) if (row := _UNIX_LINE.fullmatch(line))]
    rows = [row for row in found if int(row["inode"]) == inode]
    return (rows[0]["type"], rows[0]["path"] or b"") if len(rows) == 1 else None


def _internet(file: File, table: _Table, row: list[bytes]) -> File:
    # net/ipv4/tcp_ipv4.c, get_tcp4_sock(): the address as 32-bit words of this machine, the port as
    # a number, the state.
    try:
        local, remote, state = _address(row[1]), _address(row[2]), int(row[3], 16)
    except ValueError:
        return file
    return replace(
        file,
        family=table.family,
        type=table.type,
        protocol=table.protocol,
        local=local,
        remote=remote,
        state=state,
    )


def _address(text: bytes) -> tuple[bytes, int]:
    address, _, port = text.partition(b":")
    words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
    return b"".join(word.to_bytes(4, "little") for word in words), int(port, 16)


def _unix(file: File, row: tuple[bytes, bytes]) -> File:
    kind, path = row
    if path.startswith(b"@"):  # an abstract address, whose zeros are shown so
        path = b"\0" + path[1:]
    # Who is at the other end is not told.
    return replace(file, family=socket.AF_UNIX, type=int(kind, 16), names=(path, b""))
