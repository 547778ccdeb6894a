/*
 * abis LOOPS: number 20 in the 64-bit table (writev) and in the 32-bit one (getpid), number 39 with
 * the bit of x32, and a failing 32-bit close (number 6).
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long int80(long nr, long arg)
{
	long ret;

	asm volatile("int $0x80"
		     : "=a"(ret)
		     : "a"(nr), "b"(arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

int main(int argc, char **argv)
{
	long loops = argc > 1 ? atol(argv[1]) : 1, i;

	for (i = 0; i < loops; i++) {
		syscall(SYS_writev, 1, NULL, 0);
		if (int80(20, 0) != getpid())
			return 1;
		if ((int)int80(6, -1) != -9)
			return 1;
		syscall(0x40000000 | 39);
	}
	return 0;
}
