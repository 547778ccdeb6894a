/*
 * family LOOPS: a thread called "family-thread", and a child process. Says "PID TID CHILD", waits
 * for a byte on standard input, then makes known calls: the first thread LOOPS times, the other
 * 10 * LOOPS, the child 100 * LOOPS times getppid, a close that fails with EBADF, an openat that
 * fails with ENOENT, and the unknown number 9999.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_barrier_t named, begin;
static long loops;
static int tid;

static void call(long count)
{
	while (count--) {
		syscall(SYS_getppid);
		syscall(SYS_close, -1);
		syscall(SYS_openat, AT_FDCWD, "/nowhere", O_RDONLY);
		syscall(9999);
	}
}

static void *work(void *unused)
{
	pthread_setname_np(pthread_self(), "family-thread");
	tid = gettid();
	pthread_barrier_wait(&named);
	pthread_barrier_wait(&begin);
	call(10 * loops);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	pid_t child;
	int ends[2];
	char byte = 0;

	loops = argc > 1 ? atol(argv[1]) : 1;
	pthread_barrier_init(&named, NULL, 2);
	pthread_barrier_init(&begin, NULL, 2);
	if (pipe(ends))
		return 1;
	child = fork();
	if (!child) {
		close(ends[1]);
		if (read(ends[0], &byte, 1) == 1)
			call(100 * loops);
		_exit(0);
	}
	pthread_create(&thread, NULL, work, NULL);
	pthread_barrier_wait(&named);
	printf("%d %d %d\n", getpid(), tid, child);
	fflush(stdout);
	if (read(0, &byte, 1) != 1 || write(ends[1], &byte, 1) != 1)
		return 1;
	pthread_barrier_wait(&begin);
	call(loops);
	pthread_join(thread, NULL);
	waitpid(child, NULL, 0);
	return 0;
}
