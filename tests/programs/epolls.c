/*
 * epolls THREADS: threads that each wait in epoll_wait for 100 ms, again and again, until standard
 * input ends. Says "ready" when all have begun.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static void *wait_again(void *unused)
{
	struct epoll_event event;
	int epoll = epoll_create1(0);

	while (epoll >= 0)
		epoll_wait(epoll, &event, 1, 100);
	return unused;
}

int main(int argc, char **argv)
{
	char byte;
	long i;

	for (i = 0; argc > 1 && i < atol(argv[1]); i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, wait_again, NULL))
			return 1;
	}
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
