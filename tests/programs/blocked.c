/*
 * blocked FIRST SECOND: sleeps 20 ms so many times in first(), then in second(), whose stacks are alike
 * but for the way that led there. Then says "ready" and waits for its standard input in waiting().
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static volatile int made;

static __attribute__((noinline)) void first(void)
{
	struct timespec pause = {0, 20000000};

	nanosleep(&pause, NULL);
	made++;
}

static __attribute__((noinline)) void second(void)
{
	struct timespec pause = {0, 20000000};

	nanosleep(&pause, NULL);
	made++;
}

static __attribute__((noinline)) void waiting(void)
{
	char byte;

	if (read(0, &byte, 1) > 0)
		made++;
}

int main(int argc, char **argv)
{
	int i;

	for (i = 0; argc > 2 && i < atoi(argv[1]); i++)
		first();
	for (i = 0; argc > 2 && i < atoi(argv[2]); i++)
		second();
	puts("ready");
	fflush(stdout);
	waiting();
	return 0;
}
