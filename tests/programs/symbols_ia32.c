/* A 32-bit program without a library that sleeps in a chain of calls. Prints nothing. */
static int call(int nr, const void *first)
{
	int ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(first), "c"(0), "d"(0) : "memory");
	return ret;
}

__attribute__((noinline)) int nap32(int seconds)
{
	int time[2] = {seconds, 0};

	return call(162, time);
}

__attribute__((noinline)) int outer32(int seconds)
{
	return nap32(seconds) + seconds;
}

void _start(void)
{
	outer32(60);
	call(252, 0);
}
