/*
 * waits MILLISECONDS COUNT: COUNT reads of a pipe that a child writes to after so long. Says
 * "FD BUFFER END_NS DURATION_NS" of each, by CLOCK_MONOTONIC around the call.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

int main(int argc, char **argv)
{
	long wait_ms = atol(argv[1]), count = argc > 2 ? atol(argv[2]) : 1, i, began, ended;
	char buffer[64];
	int ends[2];

	if (pipe(ends))
		return 1;
	if (!fork()) {
		for (i = 0; i < count; i++) {
			usleep(wait_ms * 1000);
			if (write(ends[1], "hello", 5) != 5)
				_exit(1);
		}
		_exit(0);
	}
	for (i = 0; i < count; i++) {
		began = now();
		syscall(SYS_read, ends[0], buffer, 64L);
		ended = now();
		printf("%d %lu %ld %ld\n", ends[0], (unsigned long)buffer, ended, ended - began);
	}
	wait(NULL);
	return 0;
}
