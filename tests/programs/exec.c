/*
 * exec fail N: N times execve of what is not there.
 * exec again N PROGRAM...: execve of itself, N times.
 * exec thread PROGRAM: execve by a thread that is not the first, while a third one waits.
 * exec vfork N PROGRAM: N children by vfork that execve.
 * exec rename N: N getppid, a new name, N getppid.
 * exec at PROGRAM: execveat of it.
 * exec leave N: the first thread ends, another one calls getppid N times after it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *empty[] = {NULL};

static void *run(void *program)
{
	char *argv[] = {program, NULL};

	usleep(20000);
	syscall(SYS_execve, program, argv, empty);
	abort();
}

static void *wait_forever(void *unused)
{
	syscall(SYS_pause);
	return unused;
}

static void *stay(void *count)
{
	long i;

	usleep(20000);
	for (i = 0; i < (long)count; i++)
		syscall(SYS_getppid);
	return NULL;
}

int main(int argc, char **argv)
{
	long count = argc > 2 ? atol(argv[2]) : 0, i;
	pthread_t thread;
	char text[24];

	if (!strcmp(argv[1], "fail")) {
		for (i = 0; i < count; i++)
			syscall(SYS_execve, "/nowhere", empty, empty);
	} else if (!strcmp(argv[1], "again") && count > 0) {
		char *words[] = {argv[0], "again", text, NULL};

		sprintf(text, "%ld", count - 1);
		syscall(SYS_execve, "/proc/self/exe", words, empty);
		return 1;
	} else if (!strcmp(argv[1], "thread")) {
		pthread_create(&thread, NULL, wait_forever, NULL);
		pthread_create(&thread, NULL, run, argv[2]);
		syscall(SYS_pause);
	} else if (!strcmp(argv[1], "vfork")) {
		for (i = 0; i < count; i++) {
			char *words[] = {argv[3], NULL};
			pid_t pid = vfork();

			if (!pid) {
				syscall(SYS_execve, argv[3], words, empty);
				_exit(1);
			}
			waitpid(pid, NULL, 0);
		}
	} else if (!strcmp(argv[1], "rename")) {
		for (i = 0; i < count; i++)
			syscall(SYS_getppid);
		prctl(PR_SET_NAME, "renamed");
		for (i = 0; i < count; i++)
			syscall(SYS_getppid);
	} else if (!strcmp(argv[1], "at")) {
		char *words[] = {argv[2], NULL};

		syscall(SYS_execveat, AT_FDCWD, argv[2], words, empty, 0);
		return 1;
	} else if (!strcmp(argv[1], "leave")) {
		pthread_create(&thread, NULL, stay, (void *)count);
		syscall(SYS_exit, 0);
	}
	return 0;
}
