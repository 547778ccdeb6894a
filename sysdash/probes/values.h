/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The value of a call that is counted: an argument or what it returned.
 */
#ifndef SYSDASH_VALUES_H
#define SYSDASH_VALUES_H

#include "sysdash.h"
#include "abi.h"

#define NEGATIVE_BUCKETS 64 /* number of the bucket before those of negative values */

struct value_string {
	char text[VALUE_BYTES];
};

/* As many of its bits as its type has; those of a 32-bit program have no more than 32. */
static __always_inline u64 value_of(struct bpf_raw_tracepoint_args *ctx, struct config *conf,
				    u16 abi)
{
	u64 value = ctx->args[1];

	if (conf->value_argument < ARGS)
		value = argument((void *)ctx->args[0], register_of(conf->value_argument, abi), abi);
	else
		/* Of all calls: the error would be lost with the upper half. */
		return value;
	if (conf->value_bits == 64 && abi != ABI_IA32)
		return value;
	return conf->value_signed ? (u64)(s64)(s32)value : (u32)value;
}

/* 0 by itself, then powers of two: 1, 2-3, 4-7 and so on, and the same of negative numbers. */
static __always_inline u32 bucket_of_value(u64 value, bool is_signed)
{
	u32 base = 0, bucket = 1, bits;

	if (!value)
		return 0;
	if (is_signed && (s64)value < 0) {
		base = NEGATIVE_BUCKETS;
		value = -value;
	}
#pragma unroll
	for (bits = 32; bits; bits /= 2) {
		if (value >> bits) {
			value >>= bits;
			bucket += bits;
		}
	}
	return base + bucket;
}

#endif
