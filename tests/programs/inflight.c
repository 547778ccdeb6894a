/*
 * inflight FUTEXES FIFO SOCKET: threads that are each inside of one call until standard input ends:
 * FUTEXES of them in futex, one in read of a pipe, one in clock_nanosleep of an hour, one in openat of
 * a FIFO that nobody writes to, one in accept4 of a TCP socket on loopback, one in recvfrom of a
 * datagram socket that is bound to SOCKET. Says "NAME TID NUMBER" of each when all are inside: the
 * futex's address, the descriptor, the port or 0.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int word, ends[2], listener, datagrams;
static char *fifo, buffer[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void say(const char *name, long number)
{
	pthread_mutex_lock(&lock);
	printf("%s %d %ld\n", name, gettid(), number);
	fflush(stdout);
	pthread_mutex_unlock(&lock);
}

static void *in_futex(void *unused)
{
	say("futex", (long)&word);
	syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return unused;
}

static void *in_read(void *unused)
{
	say("read", ends[0]);
	syscall(SYS_read, ends[0], buffer, 64L);
	return unused;
}

static void *in_sleep(void *unused)
{
	struct timespec hour = {3600, 0};

	say("clock_nanosleep", 0);
	syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &hour, NULL);
	return unused;
}

static void *in_open(void *unused)
{
	say("openat", 0);
	syscall(SYS_openat, AT_FDCWD, fifo, O_RDONLY);
	return unused;
}

static void *in_accept(void *unused)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	getsockname(listener, (struct sockaddr *)&address, &size);
	say("accept4", ntohs(address.sin_port));
	syscall(SYS_accept4, listener, NULL, NULL, 0);
	return unused;
}

static void *in_receive(void *unused)
{
	say("recvfrom", datagrams);
	syscall(SYS_recvfrom, datagrams, buffer, 64L, 0, NULL, NULL);
	return unused;
}

static void start(void *(*function)(void *))
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 * 1024);
	if (pthread_create(&thread, &small, function, NULL))
		abort();
}

int main(int argc, char **argv)
{
	struct sockaddr_in loopback = {.sin_family = AF_INET};
	struct sockaddr_un named = {.sun_family = AF_UNIX};
	long i;

	if (argc < 4)
		return 2;
	fifo = argv[2];
	strncpy(named.sun_path, argv[3], sizeof(named.sun_path) - 1);
	loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	datagrams = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (pipe(ends) || mkfifo(fifo, 0600) ||
	    bind(listener, (struct sockaddr *)&loopback, sizeof(loopback)) || listen(listener, 1) ||
	    bind(datagrams, (struct sockaddr *)&named, sizeof(named)))
		return 1;
	for (i = 0; i < atol(argv[1]); i++)
		start(in_futex);
	start(in_read);
	start(in_sleep);
	start(in_open);
	start(in_accept);
	start(in_receive);
	while (read(0, buffer, 1) > 0)
		;
	return 0;
}
