/* Calls with constants of every kind, in the folder given as argument, for a tracer to name. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void files(void)
{
	struct statx facts;
	int fd = open("a file", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	syscall(SYS_openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_PATH);
	open("a file", O_WRONLY | O_APPEND | O_NONBLOCK | O_DSYNC | O_NOCTTY | O_LARGEFILE);
	open("a file", O_RDONLY | O_SYNC | O_NOATIME | O_DIRECT);
	open(".", O_RDWR | O_TMPFILE, 0600);
	lseek(fd, -1, SEEK_END);
	lseek(fd, 5, SEEK_SET);
	lseek(fd, 0, SEEK_DATA);
	syscall(SYS_fallocate, fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096);
	posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
	flock(fd, LOCK_EX | LOCK_NB);
	fcntl(fd, F_DUPFD_CLOEXEC, 40);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK);
	fcntl(fd, F_GETFL);
	fcntl(fd, F_ADD_SEALS, 1);
	fcntl(fd, F_SETPIPE_SZ, 65536);
	fcntl(fd, F_SETSIG, SIGUSR1);
	faccessat(AT_FDCWD, "a file", R_OK | W_OK, 0);
	access("a file", F_OK);
	statx(AT_FDCWD, "a file", AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
	      STATX_BASIC_STATS | STATX_BTIME, &facts);
	syscall(SYS_renameat2, AT_FDCWD, "a file", AT_FDCWD, "b", RENAME_NOREPLACE);
	sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
	ioctl(fd, TCGETS, 0);
	ioctl(fd, FIONREAD, 0);
	ioctl(fd, TIOCGWINSZ, 0);
	mkdirat(AT_FDCWD, "c", 0700);
	unlinkat(AT_FDCWD, "c", AT_REMOVEDIR);
	umount2("nowhere at all", MNT_DETACH | UMOUNT_NOFOLLOW);
	mount("none", "nowhere at all", "tmpfs", MS_RDONLY | MS_NOSUID | MS_BIND | MS_REC, 0);
	inotify_add_watch(inotify_init1(IN_NONBLOCK | IN_CLOEXEC), ".", IN_CREATE | IN_CLOSE_WRITE);
}

static void memory(void)
{
	char *at = mmap(0, 65536, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	mmap(at, 4096, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
	mprotect(at, 4096, PROT_READ | PROT_EXEC);
	mprotect(at, 4096, PROT_NONE);
	madvise(at, 4096, MADV_DONTNEED);
	madvise(at, 4096, MADV_FREE);
	madvise(at, 4096, 20 /* MADV_COLD */);
	msync(at, 4096, MS_SYNC | MS_INVALIDATE);
	mremap(at + 32768, 4096, 8192, MREMAP_MAYMOVE);
	mlockall(MCL_CURRENT | MCL_ONFAULT);
	munlockall();
	memfd_create("in memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	getrandom(at + 8192, 16, GRND_NONBLOCK);
	shmctl(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), IPC_RMID, 0);
	semctl(semget(IPC_PRIVATE, 1, IPC_CREAT | 0600), 0, IPC_RMID);
}

static void sockets(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct sockaddr_un unix_to = {.sun_family = AF_UNIX, .sun_path = "no/such/socket"};
	struct epoll_event event = {.events = EPOLLIN};
	struct pollfd wanted[2] = {{.fd = 0, .events = 0}, {.fd = 1, .events = POLLOUT | POLLPRI}};
	int one = 1, pair[2],
	    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	int poll_fd = epoll_create1(EPOLL_CLOEXEC);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bind(socket(AF_INET, SOCK_DGRAM, 0), (void *)&to, sizeof(to));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_IP, IP_TTL, &one, sizeof(one));
	connect(fd, (void *)&to, sizeof(to));
	connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&unix_to, sizeof(unix_to));
	socket(AF_NETLINK, SOCK_RAW, 15);
	socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
	send(pair[0], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	recv(pair[1], &one, 1, MSG_PEEK | MSG_TRUNC);
	shutdown(pair[0], SHUT_WR);
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, pair[1], &event);
	epoll_ctl(poll_fd, EPOLL_CTL_DEL, pair[1], 0);
	epoll_wait(poll_fd, &event, 1, 1);
	syscall(SYS_poll, wanted, 2, 0);
	eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
	timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK);
	pipe2(pair, O_CLOEXEC | O_DIRECT);
}

static void processes(void)
{
	struct timespec moment = {0, 1000000}, past = {1, 5};
	struct rlimit limit;
	int word = 1;
	pid_t child;

	syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, &moment, 0, 0);
	syscall(SYS_futex, &word, FUTEX_WAKE, 1);
	syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, &past, 0,
		FUTEX_BITSET_MATCH_ANY);
	syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &moment, 0);
	syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &past, 0);
	syscall(SYS_nanosleep, &moment, 0);
	signal(SIGUSR1, SIG_IGN);
	kill(getpid(), SIGUSR1);
	kill(getpid(), 0);
	syscall(SYS_tgkill, getpid(), getpid(), 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_GET_DUMPABLE);
	getrlimit(RLIMIT_NOFILE, &limit);
	getpriority(PRIO_PROCESS, 0);
	sched_setscheduler(0, SCHED_BATCH, 0);
	unshare(CLONE_FS | CLONE_FILES);
	child = fork();
	if (!child)
		_exit(3);
	syscall(SYS_waitid, P_PID, child, 0, WEXITED | WNOWAIT, 0);
	wait4(child, 0, WNOHANG | 0x40000000 /* __WALL */, 0);
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]))
		return 2;
	files();
	memory();
	sockets();
	processes();
	return 0;
}
