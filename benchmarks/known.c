/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes a known number of system calls that hardly any other program makes.
 *
 *   known THREADS CALLS PROCESSES
 *
 * Each of THREADS threads makes each of the four calls CALLS times; then each of PROCESSES
 * processes, one after the other on every CPU, makes each of them once and ends. The last of the
 * four always fails.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long calls;

static void once(void)
{
	struct timespec t;

	syscall(SYS_sched_get_priority_max, 0);
	syscall(SYS_sched_get_priority_min, 0);
	syscall(SYS_sched_rr_get_interval, 0, &t);
	syscall(SYS_timer_delete, -1);
}

static void *thread(void *unused)
{
	for (long i = 0; i < calls; i++)
		once();
	return unused;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: known THREADS CALLS PROCESSES\n");
		return 2;
	}
	long threads = atol(argv[1]), processes = atol(argv[3]);
	long at_once = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t *ids = calloc(threads, sizeof(*ids));

	calls = atol(argv[2]);
	for (long i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, thread, NULL))
			return 1;
	for (long i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	for (long i = 0; i < processes; i++) {
		pid_t child;

		if (i >= at_once)
			wait(NULL);
		child = fork();
		if (child < 0) {
			perror("fork");
			return 1;
		}
		if (!child) {
			once();
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
