/* Sleeps within functions whose names must be demangled. Prints its PID. */
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include <cstdio>
#include <unistd.h>

volatile int after;

namespace deep::within
{

template <typename Key, typename Value> class Holder
{
      public:
	__attribute__((noinline)) int nap(const std::map<Key, Value> &held) const;
};

template <typename Key, typename Value>
int Holder<Key, Value>::nap(const std::map<Key, Value> &held) const
{
	timespec time = {60, 0};
	int failed = nanosleep(&time, nullptr);

	after = failed;
	return failed + static_cast<int>(held.size());
}

} // namespace deep::within

/* The test gives it a name that would clear a terminal's screen. */
extern "C" __attribute__((noinline)) int hostile_name(int amount)
{
	deep::within::Holder<std::string, std::vector<int>> holder;
	int got = holder.nap({{"one", {amount}}});

	after = got;
	return got + amount;
}

int main()
{
	printf("%d\n", getpid());
	fflush(stdout);
	after = hostile_name(3);
	return after;
}
