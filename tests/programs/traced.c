/*
 * traced N: a child is traced that calls getppid, getpgid, getsid and getuid, N times each. Its
 * parent turns getppid into geteuid, skips getpgid, and answers getsid itself (PTRACE_SYSEMU).
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void child(long count)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	while (count--) {
		syscall(SYS_getppid);
		syscall(SYS_getpgid, 0);
		syscall(SYS_getsid, 0);
		syscall(SYS_getuid);
	}
	syscall(SYS_exit_group, 0);
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1;
	struct user_regs_struct regs;
	int status, request = PTRACE_SYSCALL, inside = 0;
	pid_t pid = fork();

	if (!pid)
		child(count);
	waitpid(pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD);
	for (;;) {
		ptrace(request, pid, NULL, NULL);
		if (waitpid(pid, &status, 0) < 0 || WIFEXITED(status))
			return 0;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		ptrace(PTRACE_GETREGS, pid, NULL, &regs);
		inside = !inside;
		if (request == PTRACE_SYSEMU) {
			regs.rax = 1;
			ptrace(PTRACE_SETREGS, pid, NULL, &regs);
			request = PTRACE_SYSCALL;
			continue;
		}
		if (!inside) {
			/* What comes after getpgid, which was skipped, is getsid. */
			if (regs.orig_rax == (unsigned long)-1)
				request = PTRACE_SYSEMU;
			continue;
		}
		if (regs.orig_rax == SYS_getppid)
			regs.orig_rax = SYS_geteuid;
		else if (regs.orig_rax == SYS_getpgid)
			regs.orig_rax = -1;
		ptrace(PTRACE_SETREGS, pid, NULL, &regs);
	}
}
