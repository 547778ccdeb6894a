/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cost of a system call that does next to nothing: getppid in a tight loop on one CPU.
 *
 *   calls CPU BLOCKS CALLS
 *
 * prints for each of BLOCKS blocks of CALLS calls the CPU time per call in ns. CPU time, so that
 * other processes on the CPU do not count; blocks, so that their median leaves out what an
 * interrupt or a cold cache adds to a few.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static double block(long calls)
{
	double began = cpu_ns();

	for (long i = 0; i < calls; i++)
		syscall(SYS_getppid);
	return (cpu_ns() - began) / calls;
}

int main(int argc, char **argv)
{
	cpu_set_t set;

	if (argc != 4) {
		fprintf(stderr, "usage: calls CPU BLOCKS CALLS\n");
		return 2;
	}
	long cpu = atol(argv[1]), blocks = atol(argv[2]), calls = atol(argv[3]);

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("sched_setaffinity");
		return 1;
	}
	/* Without the right to it, it is only noisier. */
	setpriority(PRIO_PROCESS, 0, -20);
	block(calls);
	for (long i = 0; i < blocks; i++)
		printf("%.2f\n", block(calls));
	return 0;
}
