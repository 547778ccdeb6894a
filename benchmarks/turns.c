/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cost of a context switch: two processes on one CPU hand a byte to and fro. A turn of one is a
 * write, a read and the switch in it.
 *
 *   turns CPU BLOCKS TURNS
 *
 * prints for each of BLOCKS blocks of TURNS turns the CPU time per turn in ns, of one process: what the
 * other does is the same.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int there[2], back[2];

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Nobody is preempted by the one that it wakes, so each read waits and is a switch. */
static int prepare(long cpu)
{
	struct sched_param none = {};
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* Without the right to it, it is only noisier. */
	setpriority(PRIO_PROCESS, 0, -20);
	return sched_setaffinity(0, sizeof(set), &set) || sched_setscheduler(0, SCHED_BATCH, &none);
}

static double block(long turns)
{
	double began = cpu_ns();
	char byte = 0;

	for (long i = 0; i < turns; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			exit(1);
	return (cpu_ns() - began) / turns;
}

static void answer(void)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(there[0], &byte, 1) == 1)
		if (write(back[1], &byte, 1) != 1)
			break;
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: turns CPU BLOCKS TURNS\n");
		return 2;
	}
	long blocks = atol(argv[2]), turns = atol(argv[3]);
	pid_t other;

	if (prepare(atol(argv[1])) || pipe(there) || pipe(back)) {
		perror("turns");
		return 1;
	}
	other = fork();
	if (other < 0) {
		perror("fork");
		return 1;
	}
	if (!other)
		answer();
	block(turns);
	for (long i = 0; i < blocks; i++)
		printf("%.2f\n", block(turns));
	kill(other, SIGKILL);
	return 0;
}
