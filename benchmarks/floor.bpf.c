// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What any tool pays that times system calls with raw tracepoints.
 *
 * empty_*: nothing but being called. floor_*: one clock reading each, kept where it cannot be
 * optimised away.
 */
BPF_ARRAY(last, u64, 1);

int empty_enter(struct bpf_raw_tracepoint_args *ctx)
{
	return 0;
}

int empty_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return 0;
}

static __always_inline void read_clock(void)
{
	u64 now = bpf_ktime_get_ns(), *kept;
	int zero = 0;

	kept = last.lookup(&zero);
	if (kept)
		*kept = now;
}

int floor_enter(struct bpf_raw_tracepoint_args *ctx)
{
	read_clock();
	return 0;
}

int floor_exit(struct bpf_raw_tracepoint_args *ctx)
{
	read_clock();
	return 0;
}
