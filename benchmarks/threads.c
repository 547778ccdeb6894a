/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads whose calls are the same in every run, however they are scheduled.
 *
 *   threads THREADS LOOPS
 *
 * In each of LOOPS loops each of THREADS threads makes three calls that succeed and two that fail.
 * The first thread waits for the others with one read each, not with a futex, which would be needed
 * only if they are late; and they never end, as what a thread does at its end can be cut short.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long loops;
static int zero, null, ends[2];

static void *work(void *unused)
{
	char byte;

	for (long i = 0; i < loops; i++) {
		syscall(SYS_getppid);
		syscall(SYS_read, zero, &byte, 1);
		syscall(SYS_write, null, &byte, 1);
		syscall(SYS_close, -1);
		syscall(SYS_openat, AT_FDCWD, "/nowhere", O_RDONLY);
	}
	syscall(SYS_write, ends[1], &byte, 1);
	for (;;)
		pause();
	return unused;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: threads THREADS LOOPS\n");
		return 2;
	}
	long threads = atol(argv[1]);
	pthread_t id;
	char byte;

	loops = atol(argv[2]);
	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);
	if (pipe(ends))
		return 1;
	for (long i = 0; i < threads; i++)
		if (pthread_create(&id, NULL, work, NULL))
			return 1;
	for (long i = 0; i < threads; i++)
		if (read(ends[0], &byte, 1) != 1)
			return 1;
	_exit(0);
}
