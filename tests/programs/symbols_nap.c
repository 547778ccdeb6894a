/*
 * Sleeps at the end of a known chain of calls: main, outer, middle, nap, and libc's nanosleep. With
 * "signal", a handler does; with "thread", another thread; with "deep", after 200 more calls; with
 * "aligned", called by a function that aligns the stack; with "fork", a child; with "orphan", when
 * the main thread has ended; with "exec", the program again afterwards; with "jit", called by code
 * that is made while it runs. Prints the PID of who sleeps.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALLED __attribute__((noinline, noclone))

volatile int after;
static long milliseconds;
static int plain;

CALLED int nap(int amount)
{
	struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
	/* syscall() leaves the frame pointer alone; nanosleep() does not. */
	int failed = plain ? (int)syscall(SYS_nanosleep, &time, NULL) : nanosleep(&time, NULL);
	after = failed;
	return amount + failed;
}

CALLED int middle(int amount)
{
	volatile char room[300];
	memset((char *)room, amount, sizeof room);
	int got = nap(amount + 1);
	return got + room[after & 7];
}

CALLED int outer(int amount)
{
	int got = middle(amount * 3);
	after = got;
	return got * 2;
}

/* So many arguments and so large an alignment make the compiler keep a second frame pointer. */
CALLED int aligned(int a, int b, int c, int d, int e, int f, int g, int h)
{
	volatile char room[64] __attribute__((aligned(64)));
	char *more = __builtin_alloca((size_t)h + 1);

	more[0] = (char)g;
	room[0] = (char)(a + b + c + d + e + f);
	int got = outer(h);
	after = got + more[0];
	return got + room[0] + more[0];
}

CALLED int deeper(int levels, int amount)
{
	volatile char room[64];
	room[0] = (char)amount;
	int got = levels ? deeper(levels - 1, amount) : outer(amount);
	after = got;
	return got + room[0];
}

static void handler(int number)
{
	after = outer(number);
}

CALLED int interrupted(int amount)
{
	raise(SIGUSR1);
	after = amount;
	return amount + 1;
}

static void *run(void *amount)
{
	after = outer(*(int *)amount);
	return NULL;
}

static void *orphan(void *nothing)
{
	(void)nothing;
	after = outer(1);
	exit(0);
}

/* push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret */
static const char code[] = "\x55\x48\x89\xe5\xff\xd7\x5d\xc3";

CALLED int outer_of_one(void)
{
	return outer(1) + after;
}

CALLED int jitted(int amount)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(page, code, sizeof code);
	printf("%p\n", (void *)page);
	fflush(stdout);
	return ((int (*)(int (*)(void)))page)(outer_of_one) + amount;
}

int main(int count, char **words)
{
	milliseconds = count > 1 ? atol(words[1]) : 100;
	const char *how = count > 2 ? words[2] : "";
	pid_t child = strcmp(how, "fork") ? 0 : fork();
	if (child) {
		waitpid(child, NULL, 0);
		return 0;
	}
	printf("%d\n", (int)getpid());
	fflush(stdout);
	pthread_t thread;
	if (strcmp(how, "signal") == 0) {
		signal(SIGUSR1, handler);
		after = interrupted(count);
	} else if (strcmp(how, "thread") == 0) {
		pthread_create(&thread, NULL, run, &count);
		pthread_join(thread, NULL);
	} else if (strcmp(how, "orphan") == 0) {
		pthread_create(&thread, NULL, orphan, NULL);
		pthread_exit(NULL);
	} else if (strcmp(how, "deep") == 0) {
		plain = 1;
		after = deeper(200, count);
	} else if (strcmp(how, "aligned") == 0) {
		after = aligned(1, 2, 3, 4, 5, 6, 7, count);
	} else if (strcmp(how, "jit") == 0) {
		after = jitted(count);
	} else {
		after = outer(count);
	}
	if (strcmp(how, "exec") == 0) {
		execl(words[0], words[0], "60000", NULL);
	}
	return after & 1;
}
