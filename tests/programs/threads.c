/*
 * threads WORKERS THREADS: threads pinned to the CPUs by turns, each of which starts threads one
 * after the other. Such a thread calls getppid twice and ends.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long threads, cpus;

static void *live(void *unused)
{
	syscall(SYS_getppid);
	syscall(SYS_getppid);
	return unused;
}

static void *work(void *number)
{
	pthread_t thread;
	cpu_set_t set;
	long i;

	CPU_ZERO(&set);
	CPU_SET((long)number % cpus, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (i = 0; i < threads; i++) {
		if (pthread_create(&thread, NULL, live, NULL))
			abort();
		pthread_join(thread, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long i, workers = argc > 2 ? atol(argv[1]) : 1;
	pthread_t started[64];

	threads = atol(argv[2]);
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	for (i = 0; i < workers; i++)
		pthread_create(&started[i], NULL, work, (void *)i);
	for (i = 0; i < workers; i++)
		pthread_join(started[i], NULL);
	return 0;
}
