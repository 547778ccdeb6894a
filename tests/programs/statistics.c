/* The probe's arithmetic as a library, for tests that compare it with Python's. */
typedef unsigned int __u32;
typedef unsigned long long __u64;
#define __always_inline inline __attribute__((__always_inline__))
#include "statistics.h"

__u32 host_bucket_of(__u64 ns)
{
	return bucket_of(ns);
}

void host_add_square(__u64 *low, __u64 *high, __u64 ns)
{
	add_square(low, high, ns);
}
