/*
 * returns N: N calls each that return a "negative" success (lseek on /proc/self/mem), an address
 * (mmap) and an error (mmap of nothing: EINVAL).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1, i, address;
	int memory = open("/proc/self/mem", O_RDONLY);

	for (i = 0; i < count; i++) {
		if (syscall(SYS_lseek, memory, -8192L, SEEK_SET) != -8192)
			return 1;
		address = syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		syscall(SYS_munmap, address, 4096);
		syscall(SYS_mmap, 0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	return 0;
}
