/*
 * calls THREADS LOOPS: threads pinned to the CPUs by turns; in each loop a thread calls getppid,
 * reads and writes one byte, and fails in close (EBADF) and openat (ENOENT).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long loops, cpus;
static int zero, null;

static void *work(void *number)
{
	cpu_set_t set;
	char byte;
	long i;

	CPU_ZERO(&set);
	CPU_SET((long)number % cpus, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (i = 0; i < loops; i++) {
		syscall(SYS_getppid);
		syscall(SYS_read, zero, &byte, 1);
		syscall(SYS_write, null, &byte, 1);
		syscall(SYS_close, -1);
		syscall(SYS_openat, AT_FDCWD, "/nowhere", O_RDONLY);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long i, count = argc > 1 ? atol(argv[1]) : 1;
	pthread_t threads[64];

	loops = argc > 2 ? atol(argv[2]) : 1;
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);
	for (i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
