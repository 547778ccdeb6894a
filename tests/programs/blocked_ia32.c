/*
 * A 32-bit program without a library that sleeps 20 ms three times in first(), then five times in
 * second(), whose stacks are alike but for the way that led there.
 */
static int call(int nr, int first, const void *second)
{
	int ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(first), "c"(second), "d"(0) : "memory");
	return ret;
}

static volatile int made;

/* Below them, so that what differs is a return address on the stack. */
__attribute__((noinline)) static void nap(void)
{
	int time[2] = {0, 20000000};

	call(162, (int)time, 0);
	made++;
}

__attribute__((noinline)) static void first(void)
{
	nap();
	made++;
}

__attribute__((noinline)) static void second(void)
{
	nap();
	made++;
}

void _start(void)
{
	int i;

	for (i = 0; i < 3; i++)
		first();
	for (i = 0; i < 5; i++)
		second();
	call(252, 0, 0);
}
