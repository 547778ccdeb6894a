/* A 32-bit program without a library: getpid 1000 times, a failing close, a fork, an exit. */
static int call(int nr, int arg)
{
	int ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(arg), "c"(0), "d"(0) : "memory");
	return ret;
}

void _start(void)
{
	int i;

	for (i = 0; i < 1000; i++)
		call(20, 0);
	call(6, -1);
	if (call(2, 0) > 0)
		call(7, -1);
	call(252, 0);
}
