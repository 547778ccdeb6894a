"""What a file descriptor was, in words: a path, ``pipe:[123]``, ``TCP 10.0.0.1:22 → 10.0.0.9:80``.

Everything here comes from traced processes. What is returned is safe and bounded text.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from functools import lru_cache

from sysdash.constants import tell
from sysdash.records import File
from sysdash.units import ELLIPSIS, safe

LONGEST = 4096
"""Characters of a path or name that are kept (PATH_MAX, linux/limits.h)."""

# linux/magic.h; that of pidfs is in linux/pidfd.h.
_PIPEFS = 0x50495045
_ANON_INODES = 0x09041934
_MEMFDS = (0x01021994, 0x958458F6)  # tmpfs, hugetlbfs
_PIDFS = 0x50494446
_WITHOUT_PATH = {0x6E736673: "namespace", 0x444D4142: "dma-buf", 0x5345434D: "secretmem"}

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK, _AF_PACKET, _AF_VSOCK = 1, 2, 10, 16, 17, 40
_STREAM, _DATAGRAM, _RAW = 1, 2, 3
_TCP_ESTABLISHED, _TCP_LISTEN = 1, 10

# What IP sockets are called: by protocol (linux/in.h), or where that is not set by type.
_PROTOCOLS = {6: "TCP", 17: "UDP", 33: "DCCP", 132: "SCTP", 136: "UDPLITE", 262: "MPTCP"}
_IP_TYPES = {_STREAM: "TCP", _DATAGRAM: "UDP", _RAW: "raw"}
_WITH_STATES = frozenset(("TCP", "MPTCP"))

# Files without a name in any folder, whose own name is not what they are called (fs/eventpoll.c).
_ANON_NAMES = {"eventpoll": "epoll"}


def limited(text: str) -> str:
    """A text of at most :data:`LONGEST` characters."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + ELLIPSIS


def describe(file: File) -> str:
    """What a descriptor was; empty where nothing is known of it."""
    kind = stat.S_IFMT(file.mode)
    if kind == stat.S_IFSOCK:
        return limited(_socket(file))
    if kind == stat.S_IFIFO and file.magic == _PIPEFS:
        return f"pipe:[{file.ino}]"
    if file.magic == _ANON_INODES:
        name = safe(file.names[0]).strip("[]") if file.names else ""
        return limited(_ANON_NAMES.get(name, name) or "anonymous")
    if file.magic == _PIDFS:
        return "pidfd"
    if file.magic in _WITHOUT_PATH:
        return f"{_WITHOUT_PATH[file.magic]}:[{file.ino}]"
    if _in_memory(file):
        return limited(safe(file.names[0]))
    return path(file) or ""


def path(file: File) -> str | None:
    """The path of a file or folder, or of a unix socket; None for what has none.

    It ends in " (deleted)" where the file has no name any more, and begins with "…" where the
    first folders are not known.
    """
    if stat.S_IFMT(file.mode) == stat.S_IFSOCK:
        if file.family != _AF_UNIX:
            return None
        names = [safe(name) for name in file.names[:2] if name.startswith(b"/")]
        return limited(names[0]) if names else None
    if (stat.S_IFMT(file.mode) == stat.S_IFIFO and file.magic == _PIPEFS) or file.magic in (
        _ANON_INODES,
        _PIDFS,
        *_WITHOUT_PATH,
    ):
        return None
    if _in_memory(file) or (not file.names and not file.mode):
        return None
    return limited(join(file.names, cut=file.cut)) + (" (deleted)" if file.deleted else "")


def join(names: Sequence[bytes], *, cut: bool = False) -> str:
    """The path to a file from the names on the way to it, its own first."""
    parts = [safe(name) for name in reversed(names[:LONGEST]) if name not in (b"", b"/")]
    return (ELLIPSIS if cut else "") + "/" + "/".join(parts)


def _in_memory(file: File) -> bool:
    """Whether it was made by memfd_create, which has no folder."""
    names = file.names
    return file.magic in _MEMFDS and len(names) == 1 and names[0].startswith(b"memfd:")


# --- Sockets ---


def _socket(file: File) -> str:
    if file.family in (_AF_INET, _AF_INET6):
        return _ip_socket(file)
    if file.family == _AF_UNIX:
        return _unix_socket(file)
    if file.family == _AF_NETLINK:
        name = tell("netlink", file.protocol) or f"protocol {file.protocol}"
        return f"netlink {name.removeprefix('NETLINK_')}"
    return family(file.family).removeprefix("AF_").lower()


def _ip_socket(file: File) -> str:
    name = _PROTOCOLS.get(file.protocol) or _IP_TYPES.get(file.type, "IP")
    words = [name]
    # An end that is not set has port 0; in sockets without ports, it has no address.
    if file.local is not None and (file.local[1] or any(file.local[0])):
        words.append(ip_address(*file.local))
    if file.remote is not None and (file.remote[1] or any(file.remote[0])):
        words.append("→ " + ip_address(*file.remote))
    if name in _WITH_STATES and file.state not in (0, _TCP_ESTABLISHED):
        words.append(tell("tcp_state", file.state) or f"state {file.state}")
    return " ".join(words)


def _unix_socket(file: File) -> str:
    names = [unix_address(name) for name in file.names[:2]]
    own, peer = (*names, "", "")[:2]
    text = f"unix:{own}" if own else "unix"
    if file.state == _TCP_LISTEN:
        return f"{text} LISTEN"  # its "peer" is whoever listens
    if peer:
        return f"{text} → {peer}" if own else f"unix:{peer}"
    return f"{text} → pid {file.peer_pid}" if file.peer_pid else text


def family(number: int) -> str:
    """``AF_INET`` for 2."""
    return tell("family", number) or f"family {number}"


@lru_cache(maxsize=1024)
def ip_address(address: bytes, port: int) -> str:
    """``127.0.0.1:80``, ``[::1]:80``."""
    from socket import AF_INET, AF_INET6, inet_ntop

    if len(address) == 4:
        return f"{inet_ntop(AF_INET, address)}:{port}"
    if len(address) == 16:
        return f"[{inet_ntop(AF_INET6, address)}]:{port}"
    return f"?:{port}"


def unix_address(name: bytes) -> str:
    """The address of a unix socket, given its ``sun_path``: a path, ``@abstract`` or nothing."""
    if name[:1] == b"\0":
        return limited("@" + safe(name[1:].rstrip(b"\0").replace(b"\0", b"@")))
    return limited(safe(name))


def sockaddr(content: bytes) -> str:
    """A socket's address as a call gets it (``struct sockaddr`` of any family); may be cut off."""
    if len(content) < 2:
        return ""
    number = int.from_bytes(content[:2], "little")
    port = int.from_bytes(content[2:4], "big")
    if number == _AF_INET and len(content) >= 8:
        return ip_address(content[4:8], port)
    if number == _AF_INET6 and len(content) >= 24:
        return ip_address(content[8:24], port)
    if number == _AF_UNIX:
        return unix_address(content[2:]) or "AF_UNIX"
    if number == _AF_NETLINK and len(content) >= 8:
        return f"netlink:{int.from_bytes(content[4:8], 'little')}"
    if number == _AF_VSOCK and len(content) >= 12:
        cid, port = (int.from_bytes(content[at : at + 4], "little") for at in (8, 4))
        return f"vsock:{cid}:{port}"
    return family(number)
