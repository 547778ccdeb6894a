/*
 * storm WORKERS CHILDREN [PROGRAM]: processes pinned to the CPUs by turns, each of which starts
 * children one after the other. A child calls getppid, fails in close and ends, or runs PROGRAM.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void child(char *program)
{
	char *argv[] = {program, NULL}, *env[] = {NULL};

	syscall(SYS_getppid);
	syscall(SYS_close, -1);
	if (program)
		syscall(SYS_execve, program, argv, env);
	syscall(SYS_exit_group, 0);
}

int main(int argc, char **argv)
{
	long workers = atol(argv[1]), children = atol(argv[2]), cpus, i, j, pid;
	char *program = argc > 3 ? argv[3] : NULL;

	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	for (i = 0; i < workers; i++) {
		cpu_set_t set;

		if (syscall(SYS_fork))
			continue;
		CPU_ZERO(&set);
		CPU_SET(i % cpus, &set);
		sched_setaffinity(0, sizeof(set), &set);
		for (j = 0; j < children; j++) {
			pid = syscall(SYS_fork);
			if (!pid)
				child(program);
			syscall(SYS_wait4, pid, NULL, 0, NULL);
		}
		syscall(SYS_exit_group, 0);
	}
	for (i = 0; i < workers; i++)
		syscall(SYS_wait4, -1, NULL, 0, NULL);
	syscall(SYS_exit_group, 0);
}
