/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records shared by the probe and user space. records.py has the same as numpy dtypes; the
 * loader compares the two through the layout that the probe exports (struct layout below).
 */
#ifndef SYSDASH_H
#define SYSDASH_H

/*
 * COMM_LEN, BUCKETS, SYSCALLS, ABIS and the values of ABI_*, FILTER_*, ID_*, DROP_UNKNOWN and BY_TID are
 * defined when the probe is compiled, by layout.py.
 */

struct config {
	__u64 epoch;	   /* changes when the banks are swapped; its last bit is the bank */
	__u64 slow_min_ns; /* smallest threshold of any syscall; ~0 where none is wanted */
	__u32 flags;
	__u32 self_pid; /* left out; 0 leaves nothing out */
	__u32 pid_ns;	/* inode of the PID namespace whose numbers are used; 0: the initial one */
	__u32 cgroups;	/* entries of filter_cgroups in use */
	__u32 slow_limit[2]; /* a second and CPU: of calls that work, of calls that wait */
	__u32 command;	     /* process whose execve begins a followed command; 0 once it has */
	__u32 reserved;
	__u64 errnos[64]; /* bit set of the errnos that pass FILTER_ERRNO */
};

/* What is asked of one (ABI, number). */
struct syscall_config {
	__u64 threshold_ns;
	__u32 drop;
	__u32 waits; /* waiting is its purpose */
};

struct row {
	__u64 count;
	__u64 total_ns;
	__u64 min_ns;
	__u64 max_ns;
	__u64 squares_low;
	__u64 squares_high;
	__u64 key;
	__u64 cgroup;
	__u32 pid;
	__u32 tid;
	__s32 nr;
	__u16 errno;
	__u16 abi;
	char comm[COMM_LEN];
	__u64 untimed; /* of count: calls whose start was not seen, or that never return */
	__u32 ppid;
	__u32 reserved[5];
	__u32 hist[BUCKETS];
};

struct event {
	__u64 end_ns;
	__u64 duration_ns;
	__s64 ret;
	__u64 args[6];
	__u32 pid;
	__u32 tid;
	__s32 nr;
	__u16 abi;
	__u16 cpu;
	char comm[COMM_LEN];
	__u32 flags;
	__u32 reserved;
};

/* Written by one CPU, read and cleared by user space; a cache line pair of its own. */
struct cpu {
	__u32 used[2];	 /* rows in use, per bank */
	__u64 lost;	 /* calls that found no row at all */
	__u64 limited;	 /* slow calls over the rate limit */
	__u64 ring_full; /* slow calls that the ring buffer refused */
	__u64 window_ns; /* start of the rate limit's second */
	__u64 window_calls[2];
	__u32 segment; /* number of its segment, plus one; 0: it has none */
	__u32 odd[2];  /* of used: with numbers that no table has */
	__u32 unused;
	__u64 unfollowed; /* threads of the command that there was no room to follow */
	__u32 reserved[12];
};

#endif
