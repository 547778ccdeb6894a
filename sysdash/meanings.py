"""What each argument of a system call means: which is a descriptor, a path, a set of flags.

A meaning is a word: one of :data:`WORDS`, or the name of a table of :mod:`sysdash.constants`. They
are given by the place of the argument, which never changes, not by its name, which can.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

IA32 = 1
"""ABI code of 32-bit programs, as in :mod:`sysdash.syscalls`."""

WORDS = frozenset(
    """
    fd dirfd path string pointer address any int uint long ulong size hex octal offset milliseconds
    aside time until clock_time futex_val futex_time futex_address futex_val3 mremap_address
    sockaddr sockaddr_at pollfds sigset open_how fcntl_argument option protocol
    prctl_argument ipc_mode
    """.split()
)
"""The meanings that are not tables of constants.

``path`` names a file and ``string`` is another string; ``pointer`` is memory whose address tells
little, ``address`` one that tells something, ``any`` an address or a number, as other arguments
say; ``aside`` tells little of the call. ``time`` is a
timespec of a duration, ``until`` that of a point in time; which of them ``clock_time`` and
``futex_time`` are depends on other arguments, and so do the other words that begin with a call's
name, ``option`` and ``protocol``. ``sockaddr`` has its length in the next argument,
``sockaddr_at`` a pointer to it.
"""

# One call a line. "." is what the argument's type says.
_TABLE = """
access path access
acct path
accept fd sockaddr_at pointer
accept4 fd sockaddr_at pointer socket_type
add_key string string pointer size int
arch_prctl arch_prctl address
bind fd sockaddr aside
bpf bpf pointer aside
brk address
capget pointer pointer
capset pointer pointer
cachestat fd
chdir path
chmod path octal
chown path
chroot path
clock_adjtime clock
clock_getres clock
clock_gettime clock
clock_nanosleep clock timer clock_time pointer
clock_settime clock until
clone clone address pointer pointer aside
clone3 pointer aside
close fd
close_range uint uint close_range
connect fd sockaddr aside
copy_file_range fd pointer fd pointer size hex
creat path octal
dup fd
dup2 fd fd
dup3 fd fd fd_flags
delete_module string fd_flags
epoll_create1 epoll_create
epoll_ctl fd epoll_ctl fd pointer
epoll_ctl_old fd epoll_ctl fd pointer
epoll_wait fd pointer int milliseconds
epoll_pwait fd pointer int milliseconds pointer aside
epoll_pwait2 fd pointer int time pointer aside
eventfd2 uint eventfd
execve path pointer pointer
execveat dirfd path pointer pointer at_exec
faccessat dirfd path access
faccessat2 dirfd path access at_access
fadvise64 fd offset size fadvise
fallocate fd fallocate offset size
fanotify_init hex open
fanotify_mark fd hex hex dirfd path
fchdir fd
fchmod fd octal
fchmodat dirfd path octal
fchmodat2 dirfd path octal at
fchown fd
fchownat dirfd path . . at
fcntl fd fcntl fcntl_argument
fdatasync fd
fgetxattr fd string pointer size
file_getattr dirfd path pointer aside at
file_setattr dirfd path pointer aside at
finit_module fd pointer hex
flistxattr fd pointer size
flock fd flock
fremovexattr fd string
fsconfig fd fsconfig string pointer int
fsetxattr fd string pointer size xattr
fsmount fd hex hex
fsopen string hex
fspick dirfd path hex
fstat fd
fstatfs fd
fsync fd
ftruncate fd size
futex address futex futex_val futex_time futex_address futex_val3
futex_requeue pointer hex int int
futex_wait address ulong hex futex2 until clock
futex_waitv pointer uint hex until clock
futex_wake address hex int futex2
futimesat dirfd path pointer
getcwd pointer size
getdents fd pointer size
getdents64 fd pointer size
getitimer itimer
get_mempolicy pointer pointer ulong address hex
getpeername fd sockaddr_at pointer
getpriority priority int
getrandom pointer size random
getrlimit rlimit
getrusage rusage
getsockname fd sockaddr_at pointer
getsockopt fd level option pointer pointer
getxattr path string pointer size
getxattrat dirfd path at string pointer aside
inotify_add_watch fd path inotify
inotify_init1 inotify_init
inotify_rm_watch fd int
io_cancel address
io_destroy address
io_getevents address long long pointer time
io_pgetevents address long long pointer time pointer
io_submit address long pointer
io_uring_enter fd uint uint io_uring_enter pointer aside
io_uring_register fd io_uring_register pointer uint
ioctl fd ioctl any
ioprio_get ioprio int
ioprio_set ioprio int hex
kcmp int int int any any
kexec_load address ulong pointer hex
kexec_file_load fd fd size pointer hex
keyctl int any any any any
kill int signal
landlock_add_rule fd int pointer hex
landlock_restrict_self fd hex
lchown path
lgetxattr path string pointer size
link path path
linkat dirfd path dirfd path at
listen fd int
listxattr path pointer size
listxattrat dirfd path at pointer size
llistxattr path pointer size
lremovexattr path string
lseek fd offset whence
lsetxattr path string pointer size xattr
madvise address size madvise
map_shadow_stack address size hex
mbind address size memory_policy pointer ulong hex
membarrier membarrier hex int
memfd_create string memfd
memfd_secret fd_flags
mincore address size pointer
mkdir path octal
mkdirat dirfd path octal
mknod path octal hex
mknodat dirfd path octal hex
mlock address size
mlock2 address size mlock
mlockall mlockall
mmap address size prot map fd hex
mount string path string mount pointer
mount_setattr dirfd path at pointer aside
move_mount dirfd path dirfd path move_mount
mprotect address size prot
mq_getsetattr fd pointer pointer
mq_notify fd pointer
mq_open string open octal pointer
mq_timedreceive fd pointer size pointer until
mq_timedsend fd pointer size uint until
mq_unlink string
mremap address size size mremap mremap_address
mseal address size hex
msgctl int msgctl pointer
msgget key ipc_mode
msgrcv int pointer size long message_queue
msgsnd int pointer size message_queue
msync address size msync
munlock address size
munmap address size
name_to_handle_at dirfd path pointer pointer at_handle
nanosleep time pointer
newfstatat dirfd path pointer at
open path open octal
open_by_handle_at dirfd pointer open
open_tree dirfd path open_tree
open_tree_attr dirfd path open_tree pointer aside
openat dirfd path open octal
openat2 dirfd path open_how aside
perf_event_open pointer int int fd hex
personality hex
pidfd_getfd fd int hex
pidfd_open int pidfd_open
pidfd_send_signal fd signal pointer hex
pipe2 pointer fd_flags
pivot_root path path
pkey_mprotect address size prot int
poll pollfds uint milliseconds
ppoll pollfds uint pointer pointer aside
prctl prctl prctl_argument prctl_argument prctl_argument prctl_argument
pread64 fd pointer size offset
preadv fd pointer uint offset aside
preadv2 fd pointer uint offset aside read_write
prlimit64 int rlimit pointer pointer
process_madvise fd pointer size madvise hex
process_mrelease fd hex
process_vm_readv int pointer ulong pointer ulong hex
process_vm_writev int pointer ulong pointer ulong hex
pselect6 int pointer pointer pointer pointer pointer
ptrace ptrace int address any
pwrite64 fd pointer size offset
pwritev fd pointer uint offset aside
pwritev2 fd pointer uint offset aside read_write
quotactl hex path int pointer
quotactl_fd fd hex int pointer
read fd pointer size
readahead fd offset size
readlink path pointer size
readlinkat dirfd path pointer size
readv fd pointer uint
reboot hex hex hex pointer
recvfrom fd pointer size message sockaddr_at pointer
recvmmsg fd pointer uint message pointer
recvmsg fd pointer message
remap_file_pages address size prot ulong map
removexattr path string
removexattrat dirfd path at string
rename path path
renameat dirfd path dirfd path
renameat2 dirfd path dirfd path rename
request_key string string pointer int
rmdir path
rseq pointer aside hex aside
rt_sigaction signal pointer pointer aside
rt_sigpending pointer aside
rt_sigprocmask sigprocmask sigset pointer aside
rt_sigqueueinfo int signal pointer
rt_sigsuspend sigset aside
rt_sigtimedwait sigset pointer time aside
rt_tgsigqueueinfo int int signal pointer
sched_get_priority_max scheduler
sched_get_priority_min scheduler
sched_setscheduler int scheduler pointer
seccomp seccomp hex pointer
semctl int int semctl any
semget key int ipc_mode
semtimedop int pointer uint time
sendfile fd fd pointer size
sendmmsg fd pointer uint message
sendmsg fd pointer message
sendto fd pointer size message sockaddr aside
set_mempolicy memory_policy pointer ulong
set_mempolicy_home_node address size ulong hex
set_robust_list pointer aside
setitimer itimer
setns fd namespaces
setpriority priority int int
setrlimit rlimit
setsockopt fd level option pointer aside
setxattr path string pointer size xattr
setxattrat dirfd path at string pointer aside
shmat int address shmat
shmctl int shmctl pointer
shmdt address
shmget key size ipc_mode
shutdown fd shutdown
signalfd fd sigset aside
signalfd4 fd sigset aside signalfd
socket family socket_type protocol
socketpair family socket_type protocol pointer
splice fd pointer fd pointer size splice
stat path
lstat path
statfs path
statx dirfd path at statx pointer
swapoff path
swapon path hex
symlink string path
symlinkat string dirfd path
sync_file_range fd offset size sync_file_range
syncfs fd
sysfs int any any
tee fd fd size splice
tgkill int int signal
timer_create clock pointer pointer
timer_settime int timer pointer pointer
timerfd_create clock timerfd
timerfd_gettime fd pointer
timerfd_settime fd timerfd_set pointer pointer
tkill int signal
truncate path size
umask octal
umount2 path umount
unlink path
unlinkat dirfd path at_unlink
unshare namespaces
uselib path
userfaultfd fd_flags
utime path pointer
utimensat dirfd path pointer at
utimes path pointer
vmsplice fd pointer ulong splice
wait4 int pointer wait pointer
waitid waitid int pointer waitid_flags pointer
write fd pointer size
writev fd pointer uint
_llseek fd aside offset pointer whence
fadvise64_64 fd offset aside size aside fadvise
fcntl64 fd fcntl fcntl_argument
fstatfs64 fd aside pointer
statfs64 path aside pointer
ftruncate64 fd size aside
truncate64 path size aside
oldfstat fd
oldlstat path
oldstat path
readdir fd pointer int
sigaction signal pointer pointer
signal signal address
sigprocmask sigprocmask pointer pointer
waitpid int pointer wait
ia32/clone clone address pointer aside pointer
ia32/fadvise64 fd offset aside size fadvise
ia32/fallocate fd fallocate offset aside size aside
ia32/fanotify_mark fd hex hex hex dirfd path
ia32/ipc uint int any any pointer any
ia32/mmap pointer
ia32/pread64 fd pointer size offset aside
ia32/pwrite64 fd pointer size offset aside
ia32/readahead fd offset aside size
ia32/select pointer
ia32/sync_file_range fd offset aside size aside sync_file_range
ia32/umount path
mmap2 address size prot map fd hex
vm86 any any
"""

# Calls that differ from another one in the size of a number, or are the same by another name.
_COUNTERPARTS = {
    "clock_adjtime64": "clock_adjtime",
    "clock_getres_time64": "clock_getres",
    "clock_gettime64": "clock_gettime",
    "clock_settime64": "clock_settime",
    "timer_gettime64": "timer_gettime",
    "timer_settime64": "timer_settime",
    "timerfd_gettime64": "timerfd_gettime",
    "timerfd_settime64": "timerfd_settime",
    "stat64": "stat",
    "lstat64": "lstat",
    "fstat64": "fstat",
    "fstatat64": "newfstatat",
    "sendfile64": "sendfile",
    "ugetrlimit": "getrlimit",
    "epoll_wait_old": "epoll_wait",
}


def counterpart(name: str) -> str:
    """The call that has the same arguments, for those that are another one in a different size."""
    found = _COUNTERPARTS.get(name)
    if found is None and name.endswith("_time64"):
        found = name.removesuffix("_time64")
    elif found is None and name.endswith("32"):
        # The calls about users and groups, which 32-bit programs have twice.
        found = name.removesuffix("32")
    return found or name


@cache
def _table() -> dict[str, tuple[str, ...]]:
    lines = (line.split() for line in _TABLE.splitlines() if line)
    return {name: tuple(words) for name, *words in lines}


def meanings(name: str, abi: int, arguments: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The meaning of each argument of a call.

    Args:
        name: the call's name in its table.
        abi: code of the ABI.
        arguments: the name and C type of each, for what is not known by its place.
    """
    table = _table()
    known = (abi == IA32 and table.get(f"ia32/{name}")) or table.get(counterpart(name), ())
    return tuple(
        known[place] if place < len(known) and known[place] != "." else by_type(*argument)
        for place, argument in enumerate(arguments)
    )


def listed() -> dict[str, tuple[str, ...]]:
    """The meanings that are known by place; ``ia32/`` begins the name of a form of 32-bit calls."""
    return dict(_table())


_FDS = frozenset("fd epfd sockfd fildes oldfd newfd ufd out_fd in_fd fd_in fd_out mqdes".split())
_DIRFDS = frozenset("dfd dirfd olddfd newdfd at_fd".split())
_PATHS = frozenset("filename pathname path oldname newname".split())

_SIGNED = frozenset(
    "int pid_t uid_t gid_t key_t clockid_t timer_t key_serial_t mqd_t s32 rwf_t qid_t".split()
)
_LONG = frozenset("long loff_t off_t ssize_t".split())


def by_type(name: str, kind: str) -> str:
    """What an argument's name and C type say of its meaning, for calls that are new."""
    words = kind.replace("const ", "").replace("enum ", "").strip("_ ")
    if "*" in kind:
        return "path" if words == "char *" and name in _PATHS else "pointer"
    if name in _FDS:
        return "fd"
    if name in _DIRFDS:
        return "dirfd"
    if words == "umode_t":
        return "octal"
    if words == "size_t":
        return "size"
    if words in _SIGNED:
        return "int"
    if words in _LONG:
        return "long"
    if words in ("unsigned int", "unsigned", "u32"):
        return "hex" if "flag" in name or name == "mask" else "uint"
    if words == "unsigned long":
        return "hex" if "flag" in name or "addr" in name else "ulong"
    return "hex"
