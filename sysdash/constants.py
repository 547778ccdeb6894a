"""Names of the constants that system calls take: ``O_RDONLY|O_CLOEXEC`` for 524288.

Where Python's standard library has a constant it is taken from there, the rest are facts of the
kernel's headers, which are named beside each table (under include/uapi unless the path says else).
Where there are two names for a number, it is the one that strace prints. A table is made when it is
first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from types import MappingProxyType, ModuleType
from typing import NamedTuple

_U32 = 0xFFFF_FFFF


class Table(NamedTuple):
    """Names of one kind of constant.

    Attributes:
        names: by number, 32 bits unsigned.
        bits: which bits of a value are a number of ``names``; 0 if all are.
        flags: names of the other bits, by their values; several bits may have one name.
        zero: what no flag at all is called.
    """

    names: Mapping[int, str] = MappingProxyType({})
    bits: int = 0
    flags: tuple[tuple[int, str], ...] = ()
    zero: str = "0"

    def tell(self, value: int) -> str | None:
        """What an unsigned value is called; None if it is a number that has no name.

        Flags without a name are told together in hexadecimal.
        """
        if not self.flags and not self.bits:
            return self.names.get(value)
        number, rest = value & self.bits, value & ~self.bits
        parts = []
        if self.bits:
            named = self.names.get(number)
            if named is None:
                rest |= number
            elif named:
                parts.append(named)
        for flag, name in self.flags:
            if flag & rest == flag:
                parts.append(name)
                rest &= ~flag
        if rest:
            parts.append(hex(rest))
        return "|".join(parts) or self.zero


@lru_cache(maxsize=4096)
def tell(table: str, value: int) -> str | None:
    """What a value is called in the table of that name (of :data:`TABLES`).

    Args:
        table: its name.
        value: unsigned.

    Returns:
        The name, or flags joined with ``|``; None for a number without a name.

    Raises:
        KeyError: there is no such table.
    """
    return _table(table).tell(value)


@cache
def _table(name: str) -> Table:
    return TABLES[name]()


def _own(text: str, prefix: str = "") -> dict[int, str]:
    """A table written as ``NAME=VALUE NAME=VALUE``; names without a value count on."""
    found: dict[int, str] = {}
    following = 0
    for word in text.split():
        name, _, value = word.partition("=")
        number = int(value, 0) if value else following
        found[number & _U32 if number < 0 else number] = prefix + name
        following = number + 1
    return found


def _of(module: ModuleType, pattern: str, but: str = "") -> dict[int, str]:
    """The numbers of a module of the standard library whose names match, ``but`` some names."""
    wanted, unwanted = re.compile(pattern), set(but.split())
    return {
        int(value) & _U32: name
        for name, value in vars(module).items()
        if isinstance(value, int) and name not in unwanted and wanted.fullmatch(name)
    }


def _flags(found: Mapping[int, str]) -> tuple[tuple[int, str], ...]:
    """Flags in the order of their bits, but those of several bits first: they include others."""
    return tuple(
        sorted(
            ((value, name) for value, name in found.items() if value),
            key=lambda flag: (-flag[0].bit_count(), flag[0]),
        )
    )


def _bits(text: str, prefix: str = "", zero: str = "0") -> Callable[[], Table]:
    return lambda: Table(flags=_flags(_own(text, prefix)), zero=zero)


def _numbers(text: str, prefix: str = "") -> Callable[[], Table]:
    return lambda: Table(_own(text, prefix))


# --- Files ---


def _open_flags() -> dict[int, str]:
    import os

    # asm-generic/fcntl.h; the C library of 64-bit programs calls O_LARGEFILE 0.
    found = _of(
        os, "O_[A-Z]+", "O_RDONLY O_WRONLY O_RDWR O_ACCMODE O_NDELAY O_RSYNC O_FSYNC O_ASYNC"
    )
    return found | {0o100000: "O_LARGEFILE", 0o20000: "FASYNC"}


def _open() -> Table:
    access = {0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR", 3: "O_ACCMODE"}
    return Table(access, 3, _flags(_open_flags()))


def _fd_flags() -> Table:
    return Table(flags=_flags(_open_flags()))


def _fcntl() -> Table:
    import fcntl

    # linux/fcntl.h and asm-generic/fcntl.h; the numbers of 32-bit programs end in 64.
    more = """
    F_SETOWN_EX=15 F_GETOWN_EX F_GETOWNER_UIDS F_GETLK64=12 F_SETLK64 F_SETLKW64 F_OFD_GETLK=36
    F_OFD_SETLK F_OFD_SETLKW F_DUPFD_QUERY=1027 F_CREATED_QUERY F_CANCELLK F_DUPFD_CLOEXEC
    F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS F_GET_RW_HINT F_SET_RW_HINT
    F_GET_FILE_RW_HINT F_SET_FILE_RW_HINT
    """
    commands = (
        r"F_(DUPFD|GETFD|SETFD|GETFL|SETFL|[GS]ETLKW?|[GS]ETOWN|[GS]ETSIG|[GS]ETLEASE|NOTIFY)"
    )
    return Table(_own(more) | _of(fcntl, commands))


def _whence() -> Table:
    import os

    return Table(_of(os, "SEEK_[A-Z]+"))


def _access() -> Table:
    import os

    return Table(flags=_flags(_of(os, "[RWX]_OK")), zero="F_OK")


def _flock() -> Table:
    import fcntl

    return Table(flags=_flags(_of(fcntl, "LOCK_(SH|EX|NB|UN|MAND)")))


def _fadvise() -> Table:
    import os

    return Table(_of(os, "POSIX_FADV_[A-Z]+"))


def _poll() -> Table:
    import select

    return Table(flags=_flags(_of(select, "POLL[A-Z]+")))


# --- Memory ---


def _prot() -> Table:
    import mmap

    # asm-generic/mman-common.h
    more = _own("PROT_SEM=8 PROT_GROWSDOWN=0x1000000 PROT_GROWSUP=0x2000000")
    return Table(flags=_flags(_of(mmap, "PROT_[A-Z]+") | more), zero="PROT_NONE")


def _map() -> Table:
    import mmap

    # asm-generic/mman-common.h, asm-generic/mman.h, linux/mman.h, and of x86 asm/mman.h
    more = """
    MAP_FIXED=0x10 MAP_32BIT=0x40 MAP_ABOVE4G=0x80 MAP_GROWSDOWN=0x100 MAP_LOCKED=0x2000
    MAP_NORESERVE=0x4000 MAP_NONBLOCK=0x10000 MAP_HUGETLB=0x40000 MAP_SYNC=0x80000
    MAP_FIXED_NOREPLACE=0x100000 MAP_UNINITIALIZED=0x4000000
    """
    flags = _of(mmap, "MAP_[A-Z]+", "MAP_ANON MAP_SHARED MAP_PRIVATE") | _own(more)
    kinds = {0: "", 1: "MAP_SHARED", 2: "MAP_PRIVATE", 3: "MAP_SHARED_VALIDATE", 8: "MAP_DROPPABLE"}
    return Table(kinds, 0xF, _flags(flags))


def _madvise() -> Table:
    import mmap

    # asm-generic/mman-common.h
    more = """
    SOFT_OFFLINE=101 GUARD_INSTALL GUARD_REMOVE WIPEONFORK=18 KEEPONFORK COLD PAGEOUT POPULATE_READ
    POPULATE_WRITE DONTNEED_LOCKED COLLAPSE
    """
    return Table(_own(more, "MADV_") | _of(mmap, "MADV_[A-Z]+"))


# --- Sockets ---


def _family() -> Table:
    import socket

    # include/linux/socket.h
    more = _own("AF_IB=27 AF_MPLS=28 AF_RXRPC=33 AF_PHONET=35 AF_NFC=39 AF_KCM=41 AF_SMC=43 AF_XDP")
    return Table(more | _of(socket, "AF_[A-Za-z0-9]+", "AF_ROUTE AF_DECnet"))


def _socket_type() -> Table:
    import socket

    # linux/net.h: the low four bits are the type.
    flags = _of(socket, "SOCK_(CLOEXEC|NONBLOCK)")
    kinds = {6: "SOCK_DCCP", 10: "SOCK_PACKET"} | _of(
        socket, "SOCK_(STREAM|DGRAM|RAW|RDM|SEQPACKET)"
    )
    return Table(kinds, 0xF, _flags(flags))


def _ip_protocol() -> Table:
    import socket

    return Table(_of(socket, "IPPROTO_[A-Z0-9]+", "IPPROTO_HOPOPTS") | {0: "IPPROTO_IP"})


def _message() -> Table:
    import socket

    # include/linux/socket.h
    more = _own(
        "PROXY=0x10 FIN=0x200 SYN=0x400 RST=0x1000 WAITFORONE=0x10000 ZEROCOPY=0x4000000", "MSG_"
    )
    return Table(flags=_flags(_of(socket, "MSG_[A-Z_]+") | more))


def _level() -> Table:
    import socket

    # include/linux/socket.h
    more = """
    SOL_RAW=255 SOL_PACKET=263 SOL_NETLINK=270 SOL_PPPOL2TP=273 SOL_BLUETOOTH SOL_PNPIPE
    SOL_IUCV=277 SOL_NFC=280 SOL_KCM SOL_TLS SOL_XDP SOL_MPTCP SOL_MCTP SOL_SMC SOL_VSOCK
    """
    levels = "SOL_(IP|SOCKET|TCP|UDP|ALG|TIPC|RDS)"
    return Table(
        _own(more) | _of(socket, levels) | {1: "SOL_SOCKET", 41: "SOL_IPV6", 58: "SOL_ICMPV6"}
    )


def _socket_option() -> Table:
    # asm-generic/socket.h
    text = """
    DEBUG=1 REUSEADDR TYPE ERROR DONTROUTE BROADCAST SNDBUF RCVBUF KEEPALIVE OOBINLINE NO_CHECK
    PRIORITY LINGER BSDCOMPAT REUSEPORT PASSCRED PEERCRED RCVLOWAT SNDLOWAT RCVTIMEO_OLD
    SNDTIMEO_OLD SECURITY_AUTHENTICATION SECURITY_ENCRYPTION_TRANSPORT SECURITY_ENCRYPTION_NETWORK
    BINDTODEVICE ATTACH_FILTER DETACH_FILTER PEERNAME TIMESTAMP_OLD ACCEPTCONN PEERSEC SNDBUFFORCE
    RCVBUFFORCE PASSSEC TIMESTAMPNS_OLD MARK TIMESTAMPING_OLD PROTOCOL DOMAIN RXQ_OVFL WIFI_STATUS
    PEEK_OFF NOFCS LOCK_FILTER SELECT_ERR_QUEUE BUSY_POLL MAX_PACING_RATE BPF_EXTENSIONS
    INCOMING_CPU ATTACH_BPF ATTACH_REUSEPORT_CBPF ATTACH_REUSEPORT_EBPF CNX_ADVICE MEMINFO=55
    INCOMING_NAPI_ID COOKIE PEERGROUPS=59 ZEROCOPY TXTIME BINDTOIFINDEX TIMESTAMP_NEW
    TIMESTAMPNS_NEW TIMESTAMPING_NEW RCVTIMEO_NEW SNDTIMEO_NEW DETACH_REUSEPORT_BPF
    PREFER_BUSY_POLL BUSY_POLL_BUDGET NETNS_COOKIE BUF_LOCK RESERVE_MEM TXREHASH RCVMARK PASSPIDFD
    PEERPIDFD
    """
    return Table(_own(text, "SO_"))


def _tcp_option() -> Table:
    # linux/tcp.h
    text = """
    NODELAY=1 MAXSEG CORK KEEPIDLE KEEPINTVL KEEPCNT SYNCNT LINGER2 DEFER_ACCEPT WINDOW_CLAMP INFO
    QUICKACK CONGESTION MD5SIG THIN_LINEAR_TIMEOUTS=16 THIN_DUPACK USER_TIMEOUT REPAIR REPAIR_QUEUE
    QUEUE_SEQ REPAIR_OPTIONS FASTOPEN TIMESTAMP NOTSENT_LOWAT CC_INFO SAVE_SYN SAVED_SYN
    REPAIR_WINDOW FASTOPEN_CONNECT ULP MD5SIG_EXT FASTOPEN_KEY FASTOPEN_NO_COOKIE ZEROCOPY_RECEIVE
    INQ TX_DELAY
    """
    return Table(_own(text, "TCP_"))


def _ip_option() -> Table:
    # linux/in.h
    text = """
    TOS=1 TTL HDRINCL OPTIONS ROUTER_ALERT RECVOPTS RETOPTS PKTINFO PKTOPTIONS MTU_DISCOVER RECVERR
    RECVTTL RECVTOS MTU FREEBIND IPSEC_POLICY XFRM_POLICY PASSSEC TRANSPARENT ORIGDSTADDR=20 MINTTL
    NODEFRAG CHECKSUM BIND_ADDRESS_NO_PORT RECVFRAGSIZE RECVERR_RFC4884 MULTICAST_IF=32
    MULTICAST_TTL MULTICAST_LOOP ADD_MEMBERSHIP DROP_MEMBERSHIP UNBLOCK_SOURCE BLOCK_SOURCE
    ADD_SOURCE_MEMBERSHIP DROP_SOURCE_MEMBERSHIP MSFILTER MULTICAST_ALL=49 UNICAST_IF
    LOCAL_PORT_RANGE PROTOCOL
    """
    return Table(_own(text, "IP_"))


def _ipv6_option() -> Table:
    # linux/in6.h
    text = """
    ADDRFORM=1 2292PKTINFO 2292HOPOPTS 2292DSTOPTS 2292RTHDR 2292PKTOPTIONS CHECKSUM 2292HOPLIMIT
    NEXTHOP FLOWINFO=11 UNICAST_HOPS=16 MULTICAST_IF MULTICAST_HOPS MULTICAST_LOOP ADD_MEMBERSHIP
    DROP_MEMBERSHIP ROUTER_ALERT MTU_DISCOVER MTU RECVERR V6ONLY JOIN_ANYCAST LEAVE_ANYCAST
    MULTICAST_ALL ROUTER_ALERT_ISOLATE RECVERR_RFC4884 FLOWLABEL_MGR=32 FLOWINFO_SEND IPSEC_POLICY
    XFRM_POLICY HDRINCL RECVPKTINFO=49 PKTINFO RECVHOPLIMIT HOPLIMIT RECVHOPOPTS HOPOPTS
    RTHDRDSTOPTS RECVRTHDR RTHDR RECVDSTOPTS DSTOPTS RECVPATHMTU PATHMTU DONTFRAG RECVTCLASS=66
    TCLASS AUTOFLOWLABEL=70 ADDR_PREFERENCES=72 MINHOPCOUNT ORIGDSTADDR TRANSPARENT UNICAST_IF
    RECVFRAGSIZE FREEBIND
    """
    return Table(_own(text, "IPV6_"))


def _shutdown() -> Table:
    import socket

    return Table(_of(socket, "SHUT_[A-Z]+"))


# --- Processes, signals, time ---


def _signal() -> Table:
    import signal

    # asm-generic/signal.h; real-time signals as the kernel counts them.
    found = {int(number): number.name for number in signal.Signals if number < 32}
    found |= {6: "SIGABRT", 17: "SIGCHLD", 29: "SIGIO", 32: "SIGRTMIN"}
    return Table(found | {number: f"SIGRT_{number - 32}" for number in range(33, 65)})


# linux/sched.h
_CLONE = """
VM=0x100 FS=0x200 FILES=0x400 SIGHAND=0x800 PIDFD=0x1000 PTRACE=0x2000 VFORK=0x4000 PARENT=0x8000
THREAD=0x10000 NEWNS=0x20000 SYSVSEM=0x40000 SETTLS=0x80000 PARENT_SETTID=0x100000
CHILD_CLEARTID=0x200000 DETACHED=0x400000 UNTRACED=0x800000 CHILD_SETTID=0x1000000
NEWCGROUP=0x2000000 NEWUTS=0x4000000 NEWIPC=0x8000000 NEWUSER=0x10000000 NEWPID=0x20000000
NEWNET=0x40000000 IO=0x80000000 CLEAR_SIGHAND=0x100000000 INTO_CGROUP=0x200000000
"""


def _clone() -> Table:
    # The low byte is the signal for the parent (CSIGNAL).
    signals = {0: ""} | dict(_signal().names)
    return Table(signals, 0xFF, _flags(_own(_CLONE, "CLONE_")))


def _clock() -> Table:
    import time

    # linux/time.h
    more = _own(
        "REALTIME_COARSE=5 MONOTONIC_COARSE REALTIME_ALARM=8 BOOTTIME_ALARM SGI_CYCLE", "CLOCK_"
    )
    return Table(more | _of(time, "CLOCK_[A-Z_]+"))


def _rlimit() -> Table:
    import resource

    return Table({10: "RLIMIT_LOCKS"} | _of(resource, "RLIMIT_[A-Z]+", "RLIMIT_OFILE"))


def _rusage() -> Table:
    import resource

    return Table(_of(resource, "RUSAGE_[A-Z]+"))


def _priority() -> Table:
    import os

    return Table(_of(os, "PRIO_[A-Z]+"))


def _waitid() -> Table:
    import os

    return Table(_of(os, "P_(ALL|PID|PGID|PIDFD)"))


def _wait() -> Table:
    import os

    # linux/wait.h
    more = _own("__WNOTHREAD=0x20000000 __WALL=0x40000000 __WCLONE=0x80000000")
    found = _of(os, "W(NOHANG|UNTRACED|EXITED|CONTINUED|NOWAIT)")
    return Table(flags=_flags(found | more))


def _waitid_flags() -> Table:
    # What WUNTRACED is called there.
    table = _wait()
    return Table(
        flags=tuple((value, "WSTOPPED" if value == 2 else name) for value, name in table.flags)
    )


def _futex() -> Table:
    # linux/futex.h
    operations = _own(
        """
        WAIT=0 WAKE FD REQUEUE CMP_REQUEUE WAKE_OP LOCK_PI UNLOCK_PI TRYLOCK_PI WAIT_BITSET
        WAKE_BITSET WAIT_REQUEUE_PI CMP_REQUEUE_PI LOCK_PI2
        """,
        "FUTEX_",
    )
    private = {number | 128: f"{name}_PRIVATE" for number, name in operations.items()}
    return Table(operations | private, 0xFF, ((256, "FUTEX_CLOCK_REALTIME"),))


def _ioctl() -> Table:
    import termios

    found = _of(termios, "(TC|TIOC|FIO)[A-Z0-9]+", "TIOCINQ TCSANOW TCSADRAIN TCSAFLUSH")
    # asm-generic/ioctls.h, linux/sockios.h, linux/fs.h, linux/random.h, linux/if_tun.h,
    # linux/perf_event.h, linux/kvm.h, linux/loop.h
    more = """
    TIOCVHANGUP=0x5437 TIOCGSID=0x5429 TCGETS2=0x802c542a TCSETS2=0x402c542b TCSETSW2 TCSETSF2
    TIOCGPTN=0x80045430 TIOCSPTLCK=0x40045431 TIOCGPTPEER=0x5441 TIOCSIG=0x40045436
    FIOQSIZE=0x5460 FIOSETOWN=0x8901 SIOCSPGRP FIOGETOWN SIOCGPGRP SIOCATMARK SIOCGSTAMP_OLD
    SIOCGSTAMPNS_OLD SIOCADDRT=0x890b SIOCDELRT SIOCGIFNAME=0x8910 SIOCSIFLINK SIOCGIFCONF
    SIOCGIFFLAGS SIOCSIFFLAGS SIOCGIFADDR SIOCSIFADDR SIOCGIFDSTADDR SIOCSIFDSTADDR SIOCGIFBRDADDR
    SIOCSIFBRDADDR SIOCGIFNETMASK SIOCSIFNETMASK SIOCGIFMETRIC SIOCSIFMETRIC SIOCGIFMTU=0x8921
    SIOCSIFMTU SIOCSIFNAME SIOCSIFHWADDR SIOCGIFHWADDR=0x8927 SIOCGIFINDEX=0x8933
    SIOCGIFTXQLEN=0x8942 SIOCSIFTXQLEN SIOCETHTOOL=0x8946 SIOCGSKNS=0x894c
    BLKROSET=0x125d BLKROGET BLKRRPART BLKGETSIZE
    BLKFLSBUF BLKRASET BLKRAGET BLKSECTGET=0x1267 BLKSSZGET BLKPG BLKBSZGET=0x80081270
    BLKBSZSET=0x40081271 BLKGETSIZE64=0x80081272 BLKDISCARD=0x1277 BLKIOMIN BLKIOOPT BLKALIGNOFF
    BLKPBSZGET BLKDISCARDZEROES BLKSECDISCARD BLKROTATIONAL BLKZEROOUT FIBMAP=1 FIGETBSZ
    FIFREEZE=0xc0045877 FITHAW FITRIM=0xc0185879 FICLONE=0x40049409 FICLONERANGE=0x4020940d
    FIDEDUPERANGE=0xc0189436 FS_IOC_GETFLAGS=0x80086601 FS_IOC_SETFLAGS=0x40086602
    FS_IOC_GETVERSION=0x80087601 FS_IOC_SETVERSION=0x40087602 FS_IOC_FIEMAP=0xc020660b
    FS_IOC_FSGETXATTR=0x801c581f FS_IOC_FSSETXATTR=0x401c5820 RNDGETENTCNT=0x80045200
    TUNSETIFF=0x400454ca TUNSETPERSIST TUNGETIFF=0x800454d2 PERF_EVENT_IOC_ENABLE=0x2400
    PERF_EVENT_IOC_DISABLE PERF_EVENT_IOC_REFRESH PERF_EVENT_IOC_RESET KVM_CREATE_VM=0xae01
    KVM_CHECK_EXTENSION=0xae03 KVM_GET_VCPU_MMAP_SIZE KVM_CREATE_VCPU=0xae41 KVM_RUN=0xae80
    LOOP_SET_FD=0x4c00 LOOP_CLR_FD LOOP_SET_STATUS LOOP_GET_STATUS LOOP_SET_STATUS64
    LOOP_GET_STATUS64 LOOP_CONFIGURE=0x4c0a LOOP_CTL_GET_FREE=0x4c82
    """
    return Table(_own(more) | {value: name for value, name in found.items() if value > 0x5400})


def _scheduler() -> Table:
    # linux/sched.h; the policy's high bit is a flag.
    policies = _own(
        "SCHED_OTHER=0 SCHED_FIFO SCHED_RR SCHED_BATCH SCHED_IDLE=5 SCHED_DEADLINE SCHED_EXT"
    )
    return Table(policies, 0xFFFF, ((0x4000_0000, "SCHED_RESET_ON_FORK"),))


def _memory_policy() -> Table:
    # linux/mempolicy.h
    kinds = _own(
        "DEFAULT=0 PREFERRED BIND INTERLEAVE LOCAL PREFERRED_MANY WEIGHTED_INTERLEAVE", "MPOL_"
    )
    flags = _own("F_NUMA_BALANCING=0x2000 F_RELATIVE_NODES=0x4000 F_STATIC_NODES=0x8000", "MPOL_")
    return Table(kinds, 0xFFF, _flags(flags))


def _ipc(kind: str, more: str, mask: int = 0xFF) -> Callable[[], Table]:
    """Commands of semctl, shmctl or msgctl, with the bit of 32-bit programs (linux/ipc.h)."""
    common = _own("IPC_RMID=0 IPC_SET IPC_STAT IPC_INFO")
    return lambda: Table(common | _own(more, kind), mask, ((0x100, "IPC_64"),))


def _key() -> Table:
    return Table({0: "IPC_PRIVATE"})


TABLES: Mapping[str, Callable[[], Table]] = {
    "open": _open,
    "fd_flags": _fd_flags,
    "fcntl": _fcntl,
    "whence": _whence,
    "access": _access,
    "flock": _flock,
    "fadvise": _fadvise,
    "poll": _poll,
    "prot": _prot,
    "map": _map,
    "madvise": _madvise,
    "family": _family,
    "socket_type": _socket_type,
    "ip_protocol": _ip_protocol,
    "message": _message,
    "level": _level,
    "socket_option": _socket_option,
    "tcp_option": _tcp_option,
    "ip_option": _ip_option,
    "ipv6_option": _ipv6_option,
    "shutdown": _shutdown,
    "signal": _signal,
    "clone": _clone,
    "clock": _clock,
    "rlimit": _rlimit,
    "rusage": _rusage,
    "priority": _priority,
    "waitid": _waitid,
    "wait": _wait,
    "waitid_flags": _waitid_flags,
    "futex": _futex,
    "ioctl": _ioctl,
    "scheduler": _scheduler,
    "memory_policy": _memory_policy,
    "key": _key,
    # linux/ipc.h, linux/sem.h, linux/shm.h, linux/msg.h
    "ipc_get": _bits("IPC_CREAT=0x200 IPC_EXCL=0x400 SHM_HUGETLB=0x800 SHM_NORESERVE=0x1000"),
    "semctl": _ipc(
        "", "GETPID=11 GETVAL GETALL GETNCNT GETZCNT SETVAL SETALL SEM_STAT SEM_INFO SEM_STAT_ANY"
    ),
    "shmctl": _ipc("SHM_", "LOCK=11 UNLOCK STAT INFO STAT_ANY"),
    "msgctl": _ipc("MSG_", "STAT=11 INFO STAT_ANY"),
    "shmat": _bits("SHM_RDONLY=0x1000 SHM_RND=0x2000 SHM_REMAP=0x4000 SHM_EXEC=0x8000"),
    "message_queue": _bits("IPC_NOWAIT=0x800 MSG_NOERROR=0x1000 MSG_EXCEPT=0x2000 MSG_COPY=0x4000"),
    # linux/fcntl.h
    "at": _bits(
        """
        SYMLINK_NOFOLLOW=0x100 SYMLINK_FOLLOW=0x400 NO_AUTOMOUNT=0x800 EMPTY_PATH=0x1000
        STATX_FORCE_SYNC=0x2000 STATX_DONT_SYNC=0x4000 RECURSIVE=0x8000
        """,
        "AT_",
    ),
    "at_access": _bits("SYMLINK_NOFOLLOW=0x100 EACCESS=0x200 EMPTY_PATH=0x1000", "AT_"),
    "at_unlink": _bits("REMOVEDIR=0x200", "AT_"),
    "at_exec": _bits("SYMLINK_NOFOLLOW=0x100 EMPTY_PATH=0x1000 EXECVE_CHECK=0x10000", "AT_"),
    "at_handle": _bits(
        "HANDLE_MNT_ID_UNIQUE=1 HANDLE_CONNECTABLE=2 HANDLE_FID=0x200 SYMLINK_FOLLOW=0x400"
        " EMPTY_PATH=0x1000",
        "AT_",
    ),
    "seals": _bits("SEAL=1 SHRINK=2 GROW=4 WRITE=8 FUTURE_WRITE=0x10 EXEC=0x20", "F_SEAL_"),
    # linux/openat2.h
    "resolve": _bits(
        "NO_XDEV=1 NO_MAGICLINKS=2 NO_SYMLINKS=4 BENEATH=8 IN_ROOT=0x10 CACHED=0x20", "RESOLVE_"
    ),
    # linux/falloc.h
    "fallocate": _bits(
        """
        KEEP_SIZE=1 PUNCH_HOLE=2 NO_HIDE_STALE=4 COLLAPSE_RANGE=8 ZERO_RANGE=0x10 INSERT_RANGE=0x20
        UNSHARE_RANGE=0x40 WRITE_ZEROES=0x80
        """,
        "FALLOC_FL_",
    ),
    # linux/fs.h
    "rename": _bits("NOREPLACE=1 EXCHANGE=2 WHITEOUT=4", "RENAME_"),
    "sync_file_range": _bits("WAIT_BEFORE=1 WRITE=2 WAIT_AFTER=4", "SYNC_FILE_RANGE_"),
    "read_write": _bits(
        "HIPRI=1 DSYNC=2 SYNC=4 NOWAIT=8 APPEND=0x10 NOAPPEND=0x20 ATOMIC=0x40 DONTCACHE=0x80",
        "RWF_",
    ),
    # linux/stat.h
    "statx": _bits(
        """
        ALL=0xfff BASIC_STATS=0x7ff TYPE=1 MODE=2 NLINK=4 UID=8 GID=0x10 ATIME=0x20 MTIME=0x40
        CTIME=0x80 INO=0x100 SIZE=0x200 BLOCKS=0x400 BTIME=0x800 MNT_ID=0x1000 DIOALIGN=0x2000
        MNT_ID_UNIQUE=0x4000 SUBVOL=0x8000 WRITE_ATOMIC=0x10000 DIO_READ_ALIGN=0x20000
        """,
        "STATX_",
    ),
    # linux/xattr.h
    "xattr": _bits("CREATE=1 REPLACE=2", "XATTR_"),
    # linux/mount.h
    "mount": _bits(
        """
        RDONLY=1 NOSUID=2 NODEV=4 NOEXEC=8 SYNCHRONOUS=16 REMOUNT=32 MANDLOCK=64 DIRSYNC=128
        NOSYMFOLLOW=256 NOATIME=1024 NODIRATIME=2048 BIND=4096 MOVE=8192 REC=16384 SILENT=32768
        POSIXACL=0x10000 UNBINDABLE=0x20000 PRIVATE=0x40000 SLAVE=0x80000 SHARED=0x100000
        RELATIME=0x200000 KERNMOUNT=0x400000 I_VERSION=0x800000 STRICTATIME=0x1000000
        LAZYTIME=0x2000000
        """,
        "MS_",
    ),
    "open_tree": _bits(
        """
        OPEN_TREE_CLONE=1 AT_SYMLINK_NOFOLLOW=0x100 AT_NO_AUTOMOUNT=0x800 AT_EMPTY_PATH=0x1000
        AT_RECURSIVE=0x8000 OPEN_TREE_CLOEXEC=0x80000
        """
    ),
    "move_mount": _bits(
        """
        F_SYMLINKS=1 F_AUTOMOUNTS=2 F_EMPTY_PATH=4 T_SYMLINKS=0x10 T_AUTOMOUNTS=0x20
        T_EMPTY_PATH=0x40 SET_GROUP=0x100 BENEATH=0x200
        """,
        "MOVE_MOUNT_",
    ),
    "fsconfig": _numbers(
        "SET_FLAG=0 SET_STRING SET_BINARY SET_PATH SET_PATH_EMPTY SET_FD CMD_CREATE CMD_RECONFIGURE"
        " CMD_CREATE_EXCL",
        "FSCONFIG_",
    ),
    # include/linux/fs.h
    "umount": _bits("MNT_FORCE=1 MNT_DETACH=2 MNT_EXPIRE=4 UMOUNT_NOFOLLOW=8"),
    # linux/inotify.h
    "inotify": _bits(
        """
        ALL_EVENTS=0xfff ACCESS=1 MODIFY=2 ATTRIB=4 CLOSE_WRITE=8 CLOSE_NOWRITE=0x10 OPEN=0x20
        MOVED_FROM=0x40 MOVED_TO=0x80 CREATE=0x100 DELETE=0x200 DELETE_SELF=0x400 MOVE_SELF=0x800
        ONLYDIR=0x1000000 DONT_FOLLOW=0x2000000 EXCL_UNLINK=0x4000000 MASK_CREATE=0x10000000
        MASK_ADD=0x20000000 ISDIR=0x40000000 ONESHOT=0x80000000
        """,
        "IN_",
    ),
    # linux/eventpoll.h, linux/eventfd.h, linux/timerfd.h, linux/memfd.h, linux/random.h
    "epoll_ctl": _numbers("ADD=1 DEL MOD", "EPOLL_CTL_"),
    "epoll_create": _bits("EPOLL_CLOEXEC=0x80000"),
    "eventfd": _bits("SEMAPHORE=1 NONBLOCK=0x800 CLOEXEC=0x80000", "EFD_"),
    "signalfd": _bits("NONBLOCK=0x800 CLOEXEC=0x80000", "SFD_"),
    "timerfd": _bits("NONBLOCK=0x800 CLOEXEC=0x80000", "TFD_"),
    "timerfd_set": _bits("ABSTIME=1 CANCEL_ON_SET=2", "TFD_TIMER_"),
    "inotify_init": _bits("NONBLOCK=0x800 CLOEXEC=0x80000", "IN_"),
    "pidfd_open": _bits("THREAD=0x80 NONBLOCK=0x800", "PIDFD_"),
    "memfd": _bits("CLOEXEC=1 ALLOW_SEALING=2 HUGETLB=4 NOEXEC_SEAL=8 EXEC=0x10", "MFD_"),
    "random": _bits("NONBLOCK=1 RANDOM=2 INSECURE=4", "GRND_"),
    "close_range": _bits("UNSHARE=2 CLOEXEC=4", "CLOSE_RANGE_"),
    # include/linux/splice.h
    "splice": _bits("MOVE=1 NONBLOCK=2 MORE=4 GIFT=8", "SPLICE_F_"),
    # asm-generic/mman.h, asm-generic/mman-common.h, linux/mman.h
    "mlockall": _bits("CURRENT=1 FUTURE=2 ONFAULT=4", "MCL_"),
    "mlock": _bits("ONFAULT=1", "MLOCK_"),
    "msync": _bits("ASYNC=1 INVALIDATE=2 SYNC=4", "MS_"),
    "mremap": _bits("MAYMOVE=1 FIXED=2 DONTUNMAP=4", "MREMAP_"),
    # linux/sched.h
    "namespaces": _bits(_CLONE + " NEWTIME=0x80", "CLONE_"),
    # linux/time.h
    "timer": _bits("ABSTIME=1", "TIMER_"),
    "itimer": _numbers("REAL=0 VIRTUAL PROF", "ITIMER_"),
    # linux/futex.h
    "futex2": lambda: Table(
        _own("SIZE_U8=0 SIZE_U16 SIZE_U32 SIZE_U64", "FUTEX2_"),
        3,
        ((4, "FUTEX2_NUMA"), (8, "FUTEX2_MPOL"), (128, "FUTEX2_PRIVATE")),
    ),
    # asm-generic/signal-defs.h
    "sigprocmask": _numbers("BLOCK=0 UNBLOCK SETMASK", "SIG_"),
    # linux/prctl.h
    "prctl": _numbers(
        """
        SET_PDEATHSIG=1 GET_PDEATHSIG GET_DUMPABLE SET_DUMPABLE GET_UNALIGN SET_UNALIGN GET_KEEPCAPS
        SET_KEEPCAPS GET_FPEMU SET_FPEMU GET_FPEXC SET_FPEXC GET_TIMING SET_TIMING SET_NAME GET_NAME
        GET_ENDIAN=19 SET_ENDIAN GET_SECCOMP SET_SECCOMP CAPBSET_READ CAPBSET_DROP GET_TSC SET_TSC
        GET_SECUREBITS SET_SECUREBITS SET_TIMERSLACK GET_TIMERSLACK TASK_PERF_EVENTS_DISABLE
        TASK_PERF_EVENTS_ENABLE MCE_KILL MCE_KILL_GET SET_MM SET_CHILD_SUBREAPER GET_CHILD_SUBREAPER
        SET_NO_NEW_PRIVS GET_NO_NEW_PRIVS GET_TID_ADDRESS SET_THP_DISABLE GET_THP_DISABLE
        MPX_ENABLE_MANAGEMENT MPX_DISABLE_MANAGEMENT SET_FP_MODE GET_FP_MODE CAP_AMBIENT
        SVE_SET_VL=50 SVE_GET_VL GET_SPECULATION_CTRL SET_SPECULATION_CTRL
        PAC_RESET_KEYS SET_TAGGED_ADDR_CTRL
        GET_TAGGED_ADDR_CTRL SET_IO_FLUSHER GET_IO_FLUSHER SET_SYSCALL_USER_DISPATCH
        PAC_SET_ENABLED_KEYS PAC_GET_ENABLED_KEYS SCHED_CORE SME_SET_VL SME_GET_VL SET_MDWE GET_MDWE
        SET_MEMORY_MERGE GET_MEMORY_MERGE SET_PTRACER=0x59616d61 SET_VMA=0x53564d41
        """,
        "PR_",
    ),
    # asm/prctl.h of x86
    "arch_prctl": _numbers(
        """
        SET_GS=0x1001 SET_FS GET_FS GET_GS GET_CPUID=0x1011 SET_CPUID GET_XCOMP_SUPP=0x1021
        GET_XCOMP_PERM REQ_XCOMP_PERM GET_XCOMP_GUEST_PERM REQ_XCOMP_GUEST_PERM XCOMP_TILECFG=17
        MAP_VDSO_X32=0x2001 MAP_VDSO_32 MAP_VDSO_64 GET_UNTAG_MASK=0x4001 ENABLE_TAGGED_ADDR
        GET_MAX_TAG_BITS FORCE_TAGGED_SVA SHSTK_ENABLE=0x5001 SHSTK_DISABLE SHSTK_LOCK SHSTK_UNLOCK
        SHSTK_STATUS
        """,
        "ARCH_",
    ),
    # linux/ptrace.h, asm/ptrace-abi.h of x86
    "ptrace": _numbers(
        """
        TRACEME=0 PEEKTEXT PEEKDATA PEEKUSER POKETEXT POKEDATA POKEUSER CONT KILL SINGLESTEP
        GETREGS=12 SETREGS GETFPREGS SETFPREGS ATTACH DETACH GETFPXREGS SETFPXREGS SYSCALL=24
        GET_THREAD_AREA SET_THREAD_AREA ARCH_PRCTL=30 SYSEMU SYSEMU_SINGLESTEP SINGLEBLOCK
        SETOPTIONS=0x4200 GETEVENTMSG GETSIGINFO SETSIGINFO GETREGSET SETREGSET SEIZE INTERRUPT
        LISTEN PEEKSIGINFO GETSIGMASK SETSIGMASK SECCOMP_GET_FILTER SECCOMP_GET_METADATA
        GET_SYSCALL_INFO GET_RSEQ_CONFIGURATION SET_SYSCALL_USER_DISPATCH_CONFIG
        GET_SYSCALL_USER_DISPATCH_CONFIG SET_SYSCALL_INFO
        """,
        "PTRACE_",
    ),
    # linux/bpf.h
    "bpf": _numbers(
        """
        MAP_CREATE=0 MAP_LOOKUP_ELEM MAP_UPDATE_ELEM MAP_DELETE_ELEM MAP_GET_NEXT_KEY PROG_LOAD
        OBJ_PIN OBJ_GET PROG_ATTACH PROG_DETACH PROG_TEST_RUN PROG_GET_NEXT_ID MAP_GET_NEXT_ID
        PROG_GET_FD_BY_ID MAP_GET_FD_BY_ID OBJ_GET_INFO_BY_FD PROG_QUERY RAW_TRACEPOINT_OPEN
        BTF_LOAD BTF_GET_FD_BY_ID TASK_FD_QUERY MAP_LOOKUP_AND_DELETE_ELEM MAP_FREEZE
        BTF_GET_NEXT_ID MAP_LOOKUP_BATCH MAP_LOOKUP_AND_DELETE_BATCH MAP_UPDATE_BATCH
        MAP_DELETE_BATCH LINK_CREATE LINK_UPDATE LINK_GET_FD_BY_ID LINK_GET_NEXT_ID ENABLE_STATS
        ITER_CREATE LINK_DETACH PROG_BIND_MAP TOKEN_CREATE
        """,
        "BPF_",
    ),
    # linux/io_uring.h
    "io_uring_enter": _bits(
        """
        GETEVENTS=1 SQ_WAKEUP=2 SQ_WAIT=4 EXT_ARG=8 REGISTERED_RING=0x10 ABS_TIMER=0x20
        EXT_ARG_REG=0x40 NO_IOWAIT=0x80
        """,
        "IORING_ENTER_",
    ),
    "io_uring_register": _numbers(
        """
        REGISTER_BUFFERS=0 UNREGISTER_BUFFERS REGISTER_FILES UNREGISTER_FILES REGISTER_EVENTFD
        UNREGISTER_EVENTFD REGISTER_FILES_UPDATE REGISTER_EVENTFD_ASYNC REGISTER_PROBE
        REGISTER_PERSONALITY UNREGISTER_PERSONALITY REGISTER_RESTRICTIONS REGISTER_ENABLE_RINGS
        REGISTER_FILES2 REGISTER_FILES_UPDATE2 REGISTER_BUFFERS2 REGISTER_BUFFERS_UPDATE
        REGISTER_IOWQ_AFF UNREGISTER_IOWQ_AFF REGISTER_IOWQ_MAX_WORKERS REGISTER_RING_FDS
        UNREGISTER_RING_FDS REGISTER_PBUF_RING UNREGISTER_PBUF_RING REGISTER_SYNC_CANCEL
        REGISTER_FILE_ALLOC_RANGE
        """,
        "IORING_",
    ),
    # linux/membarrier.h
    "membarrier": _numbers(
        """
        QUERY=0 GLOBAL=1 GLOBAL_EXPEDITED=2 REGISTER_GLOBAL_EXPEDITED=4 PRIVATE_EXPEDITED=8
        REGISTER_PRIVATE_EXPEDITED=16 PRIVATE_EXPEDITED_SYNC_CORE=32
        REGISTER_PRIVATE_EXPEDITED_SYNC_CORE=64 PRIVATE_EXPEDITED_RSEQ=128
        REGISTER_PRIVATE_EXPEDITED_RSEQ=256 GET_REGISTRATIONS=512
        """,
        "MEMBARRIER_CMD_",
    ),
    # linux/seccomp.h
    "seccomp": _numbers(
        "SET_MODE_STRICT=0 SET_MODE_FILTER GET_ACTION_AVAIL GET_NOTIF_SIZES", "SECCOMP_"
    ),
    # linux/ioprio.h
    "ioprio": _numbers("PROCESS=1 PGRP USER", "IOPRIO_WHO_"),
    # linux/netlink.h
    "netlink": _numbers(
        """
        ROUTE=0 UNUSED USERSOCK FIREWALL SOCK_DIAG NFLOG XFRM SELINUX ISCSI AUDIT FIB_LOOKUP
        CONNECTOR NETFILTER IP6_FW DNRTMSG KOBJECT_UEVENT GENERIC SCSITRANSPORT=18 ECRYPTFS RDMA
        CRYPTO SMC
        """,
        "NETLINK_",
    ),
    # include/net/tcp_states.h
    "tcp_state": _numbers(
        """
        ESTABLISHED=1 SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK
        LISTEN CLOSING NEW_SYN_RECV
        """
    ),
}
"""What makes each table, by its name."""
