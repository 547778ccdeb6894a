/*
 * slowcalls FILE SOCKET: calls whose durations, arguments and files are known, one after the other:
 * a read of a pipe that is written to after 50 ms, a futex that is woken after 50 ms, a sleep of 50 ms
 * in named_function, a connect to a port of loopback that does not answer for 150 ms, an fsync of
 * FILE, a connect to the unix socket SOCKET, which nobody listens to, and a read of FILE that fails as
 * it is open for writing only. Says "NAME DURATION_NS FD NUMBER" of each; the number is that of the
 * pipe's inode, the futex's address or the port.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define WAIT_US 50000

static int ends[2], word;
static long began;

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void begin(void)
{
	began = now();
}

static void say(const char *name, int fd, long number)
{
	printf("%s %ld %d %ld\n", name, now() - began, fd, number);
	fflush(stdout);
}

static void *write_later(void *unused)
{
	usleep(WAIT_US);
	return write(ends[1], "hello", 5) == 5 ? unused : NULL;
}

static void *wake_later(void *unused)
{
	usleep(WAIT_US);
	word = 1;
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
	return unused;
}

__attribute__((noinline)) void named_function(void)
{
	struct timespec wait = {0, WAIT_US * 1000};

	syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &wait, NULL);
	__asm__ volatile("");
}

int main(int argc, char **argv)
{
	struct sockaddr_in loopback = {.sin_family = AF_INET}, filler;
	struct sockaddr_un named = {.sun_family = AF_UNIX};
	struct timeval patience = {0, 150000};
	socklen_t size = sizeof(loopback);
	int listener, client, other, file;
	pthread_t thread;
	struct stat about;
	char buffer[64];

	if (argc < 3 || pipe(ends) || fstat(ends[0], &about))
		return 1;
	pthread_create(&thread, NULL, write_later, NULL);
	begin();
	syscall(SYS_read, ends[0], buffer, 64L);
	say("read", ends[0], about.st_ino);
	pthread_join(thread, NULL);

	pthread_create(&thread, NULL, wake_later, NULL);
	begin();
	syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL);
	say("futex", -1, (long)&word);
	pthread_join(thread, NULL);

	begin();
	named_function();
	say("clock_nanosleep", -1, 0);

	/* Of a queue that is full, the kernel drops whoever comes next. */
	loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&loopback, size) || listen(listener, 0) ||
	    getsockname(listener, (struct sockaddr *)&loopback, &size))
		return 1;
	filler = loopback;
	client = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(client, (struct sockaddr *)&filler, size))
		return 1;
	other = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(other, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	begin();
	syscall(SYS_connect, other, &loopback, sizeof(loopback));
	say("connect", other, ntohs(loopback.sin_port));

	file = open(argv[1], O_CREAT | O_WRONLY, 0600);
	if (write(file, "hello", 5) != 5)
		return 1;
	begin();
	syscall(SYS_fsync, file);
	say("fsync", file, 0);

	strncpy(named.sun_path, argv[2], sizeof(named.sun_path) - 1);
	other = socket(AF_UNIX, SOCK_STREAM, 0);
	begin();
	syscall(SYS_connect, other, &named, sizeof(named));
	say("connect", other, 0);

	begin();
	syscall(SYS_read, file, buffer, 64L);
	say("read", file, 0);
	return 0;
}
