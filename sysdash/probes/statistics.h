/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arithmetic of a row, apart so that tests can compile it for the host and compare it with
 * Python's integers. Needs the __u types and __always_inline.
 */
#ifndef SYSDASH_STATISTICS_H
#define SYSDASH_STATISTICS_H

/* buckets.py: four buckets to an octave of nanoseconds, from 2^6 to 2^37. */
static __always_inline __u32 bucket_of(__u64 ns)
{
	__u32 octave = 0, rest;

	if (ns < 1 << 6)
		return 0;
	if (ns >= 1ULL << 37)
		return 125;
	rest = (__u32)ns;
	if (ns >> 32) {
		octave = 32;
		rest = ns >> 32;
	}
	if (rest >= 1 << 16) {
		octave += 16;
		rest >>= 16;
	}
	if (rest >= 1 << 8) {
		octave += 8;
		rest >>= 8;
	}
	if (rest >= 1 << 4) {
		octave += 4;
		rest >>= 4;
	}
	if (rest >= 1 << 2) {
		octave += 2;
		rest >>= 2;
	}
	octave += rest >> 1;
	return 1 + ((octave - 6) << 2) + (ns >> (octave - 2) & 3);
}

/* Add ns * ns to the 128-bit sum: a call that lasts for days has a square of more than 64 bits. */
static __always_inline void add_square(__u64 *sum_low, __u64 *sum_high, __u64 ns)
{
	__u64 high = ns >> 32, low = (__u32)ns, part = low * low;

	*sum_low += part;
	if (*sum_low < part)
		(*sum_high)++;
	if (!high)
		return;
	/* (high * 2^32 + low)^2; ns is below 2^63, so 2 * high * low fits. */
	part = 2 * high * low;
	*sum_high += high * high + (part >> 32);
	part <<= 32;
	*sum_low += part;
	if (*sum_low < part)
		(*sum_high)++;
}

#endif
