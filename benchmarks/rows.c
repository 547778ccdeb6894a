/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many processes that each make ten different system calls over and over, without much work.
 *
 *   rows PROCESSES PERIOD_MS SECONDS
 *
 * Each process makes its ten calls once a period. All end after SECONDS, or at SIGINT, or when the
 * first one ends.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void pause_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static void nine_calls(void)
{
	syscall(SYS_getppid);
	syscall(SYS_getpid);
	syscall(SYS_gettid);
	syscall(SYS_getuid);
	syscall(SYS_geteuid);
	syscall(SYS_getgid);
	syscall(SYS_getegid);
	syscall(SYS_sched_yield);
	syscall(SYS_umask, 022);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: rows PROCESSES PERIOD_MS SECONDS\n");
		return 2;
	}
	long processes = atol(argv[1]), period_ms = atol(argv[2]);
	double end = now() + atof(argv[3]);
	pid_t parent = getpid(), *children = calloc(processes, sizeof(*children));
	struct sigaction on_interrupt = {.sa_handler = stop};
	long started = 0;

	sigaction(SIGINT, &on_interrupt, NULL);
	for (long i = 0; i < processes && !stopped; i++) {
		pid_t child = fork();

		if (child < 0) {
			perror("fork");
			return 1;
		}
		if (child) {
			children[started++] = child;
			continue;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			return 1;
		pause_ms(i * period_ms / processes);
		while (now() < end) {
			nine_calls();
			pause_ms(period_ms); /* the tenth */
		}
		_exit(0);
	}
	/* They end by themselves, unless it is interrupted. Nobody else would wait for them. */
	for (long i = 0; i < started; i++) {
		if (stopped)
			kill(children[i], SIGKILL);
		while (waitpid(children[i], NULL, 0) < 0 && stopped)
			kill(children[i], SIGKILL);
	}
	return 0;
}
