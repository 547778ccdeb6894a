/*
 * Calls of which it is known how long the caller is off the CPU. Each says in ns, by the kernel's own
 * clocks: how long its loop took, and how long it was on the CPU meanwhile.
 *
 *   offcpu sleep COUNT MS     COUNT times nanosleep
 *   offcpu work COUNT         COUNT reads of a megabyte of random numbers
 *   offcpu crowd COUNT        the same, beside a process that wants the same CPU all the time
 *   offcpu rally COUNT        COUNT bytes to a child and back, both on one CPU
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];

static long now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void stay_on_this_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		exit(1);
}

static pid_t started(void)
{
	pid_t child = fork();

	if (child < 0)
		exit(1);
	if (!child)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return child;
}

static void nap(long count, long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	while (count--)
		syscall(SYS_nanosleep, &time, NULL);
}

static void work(long count)
{
	int file = open("/dev/urandom", O_RDONLY);

	while (count--)
		if (read(file, buffer, sizeof(buffer)) != sizeof(buffer))
			exit(1);
}

/* Throws a byte COUNT times, and waits for it each time; the other side first waits for it. */
static void play(int in, int out, long count, int begins)
{
	if (begins && write(out, buffer, 1) != 1)
		exit(1);
	while (count--) {
		if (read(in, buffer, 1) != 1)
			exit(1);
		if ((count || !begins) && write(out, buffer, 1) != 1)
			exit(1);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	long count = argc > 2 ? atol(argv[2]) : 0, began, ran;
	int there[2], back[2];
	pid_t child = 0;

	stay_on_this_cpu();
	if (pipe(there) || pipe(back))
		return 1;
	if (!strcmp(what, "crowd")) {
		child = started();
		if (!child)
			for (;;)
				;
	} else if (!strcmp(what, "rally")) {
		/* Who is woken waits until the other one sleeps, and that is in a call. */
		struct sched_param none = {};

		if (sched_setscheduler(0, SCHED_BATCH, &none))
			return 1;
		child = started();
		if (!child) {
			play(there[0], back[1], count, 0);
			_exit(0);
		}
	}
	began = now(CLOCK_MONOTONIC);
	ran = now(CLOCK_PROCESS_CPUTIME_ID);
	if (!strcmp(what, "sleep"))
		nap(count, atol(argv[3]));
	else if (!strcmp(what, "rally"))
		play(back[0], there[1], count, 1);
	else
		work(count);
	ran = now(CLOCK_PROCESS_CPUTIME_ID) - ran;
	began = now(CLOCK_MONOTONIC) - began;
	if (child) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	printf("%ld %ld\n", began, ran);
	return 0;
}
