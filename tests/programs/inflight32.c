/* A 32-bit program without a library: reads a byte of standard input, which does not come. */
void _start(void)
{
	char byte;
	int ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(3), "b"(0), "c"(&byte), "d"(1) : "memory");
	asm volatile("int $0x80" : "=a"(ret) : "a"(252), "b"(0) : "memory");
}
