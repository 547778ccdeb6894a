/*
 * Sleeps in a function whose large array is not written to, so that on the stack below its frame is
 * what is left of a chain of other calls, which ended there before: main, outer, sleeper. Prints its
 * PID.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CALLED __attribute__((noinline, noclone))

CALLED int leftover(int depth)
{
	volatile char room[64];

	room[0] = (char)depth;
	return depth ? leftover(depth - 1) + room[0] : (int)getpid();
}

CALLED int other(void)
{
	return leftover(20) + 1;
}

CALLED int sleeper(int place)
{
	volatile char array[4096];
	struct timespec time = {60, 0};

	array[place] = 1;
	syscall(SYS_nanosleep, &time, NULL);
	return array[place];
}

CALLED int outer(int place)
{
	return sleeper(place + 1) + 1;
}

int main(void)
{
	/* Both before, so that nothing of them is left in the array. */
	printf("%d\n", getpid());
	fflush(stdout);
	return outer(other() & 63) + 1;
}
