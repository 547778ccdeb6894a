/*
 * Sleeps in a function that can be found in its stack.
 *
 * naps COUNT MS: sleeps COUNT times for MS in takes_naps(), and prints how many ns that took in all. Then
 * it waits in stays() until its standard input ends.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

__attribute__((noinline)) long long takes_naps(int count, long ms)
{
	struct timespec nap = {ms / 1000, ms % 1000 * 1000000};
	long long took = 0;

	for (int i = 0; i < count; i++) {
		long long began = now();

		nanosleep(&nap, NULL);
		took += now() - began;
	}
	return took;
}

__attribute__((noinline)) int stays(void)
{
	char byte;
	int bytes = 0;

	while (read(0, &byte, 1) == 1)
		bytes++;
	return bytes;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	printf("%lld\n", takes_naps(atoi(argv[1]), atol(argv[2])));
	fflush(stdout);
	return stays() > 0;
}
