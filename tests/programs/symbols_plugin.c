/* With PLUGIN a library with one function that sleeps; without, a program that loads it when told. */
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

volatile int after;

#ifdef PLUGIN
int plugged(int seconds)
{
	struct timespec time = {seconds, 0};
	int failed = nanosleep(&time, NULL);

	after = failed;
	return failed + seconds;
}
#else
int main(int count, char **words)
{
	char line[16];
	void *library;
	int (*plugged)(int);

	printf("%d\n", (int)getpid());
	fflush(stdout);
	if (count != 2 || !fgets(line, sizeof(line), stdin))
		return 1;
	library = dlopen(words[1], RTLD_NOW);
	plugged = (int (*)(int))dlsym(library, "plugged");
	after = plugged(60);
	return after;
}
#endif
