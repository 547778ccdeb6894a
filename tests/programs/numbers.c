/* numbers FIRST COUNT [ROUNDS]: call COUNT numbers from FIRST, each once a round, on one CPU. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long first = atol(argv[1]), count = atol(argv[2]), i;
	long rounds = argc > 3 ? atol(argv[3]) : 1;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
	while (rounds--)
		for (i = 0; i < count; i++)
			syscall(first + i);
	syscall(SYS_exit_group, 0);
}
