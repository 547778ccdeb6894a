/*
 * signals N: N reads of an empty pipe, each interrupted by a signal. Says how often the handler
 * ran, and so how often rt_sigreturn was called.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static volatile long handled;

static void handle(int unused)
{
	(void)unused;
	handled++;
}

int main(int argc, char **argv)
{
	struct itimerval every = {{0, 2000}, {0, 2000}}, never = {0};
	struct sigaction action = {.sa_handler = handle};
	long count = argc > 1 ? atol(argv[1]) : 1, interrupted = 0;
	int ends[2];
	char byte;

	if (pipe(ends))
		return 1;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (interrupted < count)
		if (syscall(SYS_read, ends[0], &byte, 1) == -1 && errno == EINTR)
			interrupted++;
	setitimer(ITIMER_REAL, &never, NULL);
	printf("%ld\n", handled);
	return 0;
}
