/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records shared by the probe and user space. records.py has the same as numpy dtypes; the
 * loader compares the two through the layout that the probe exports (struct layout below).
 */
#ifndef SYSDASH_H
#define SYSDASH_H

/*
 * COMM_LEN, BUCKETS, SYSCALLS, ABIS and the values of ABI_*, FILTER_*, ID_*, DATA_*, FD_*, FILE_* and of
 * other flags are defined when the probe is compiled, by layout.py.
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
	/* With SLOW: failed calls that are listed, too; no errno, none. */
	__s32 example_nr;
	__u16 example_abi;
	__u16 example_errno;
	/* With VALUES: what is counted. */
	__u8 value_argument; /* an index; ARGS is the return value */
	__u8 value_kind;     /* VALUE_NUMBER and so on */
	__u8 value_bits;     /* of a number */
	__u8 value_signed;
	__u32 helper_pid; /* a child of sysdash's own, left out like itself; 0: none */
	__u32 reserved;
	__u64 regs_at; /* with OFF_CPU: from a kernel stack's beginning to the saved registers */
	/* With BLOCKS: shorter and longer times off the CPU are not counted. */
	__u64 block_min_ns;
	__u64 block_max_ns;
	__u64 errnos[64]; /* bit set of the errnos that pass FILTER_ERRNO */
};

/* What is asked of one (ABI, number). */
struct syscall_config {
	__u64 threshold_ns;
	__u8 drop;
	__u8 waits; /* waiting is its purpose */
	__u8 fd;    /* 0: none; index of an argument or FD_*, plus one */
	__u8 reserved;
	struct {
		__u8 argument; /* 0: none; index plus one */
		__u8 kind;     /* DATA_STRING and so on */
		__u16 size;    /* in bytes, or the index of an argument */
	} data[2];
	__u32 reserved2;
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
	__u32 reserved;
	__u64 off_ns; /* of total_ns: off the CPU, where that is measured */
	__u32 reserved2[2];
	__u32 hist[BUCKETS];
};

/* What a file descriptor was. */
struct file_facts {
	__u64 ino;
	__u64 magic; /* of its file system */
	__u32 dev;
	__u32 peer_pid; /* of a unix socket */
	__u16 mode;	/* 0: nothing is known */
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u16 local_port; /* in the CPU's byte order */
	__u16 remote_port;
	__u8 state;
	__u8 flags;
	__u16 reserved;
	__u8 local[16];
	__u8 remote[16];
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
	__u32 exec_id; /* together with mm: whose memory it was */
	__u64 mm;
	__u64 ip;
	__u64 sp;
	__u64 bp;
	struct file_facts file;
	/* What follows the record, in this order. */
	__u16 data_length[2];
	__u8 data_state[2];
	__u16 path_length;
	__u16 frames; /* of 8 bytes each */
	__u16 stack_length;
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
	__u64 examples;	  /* in the rate limit's second */
	__u64 unvalued;	  /* calls whose value there was no room for, or could not be read */
	__u64 unmeasured; /* times off the CPU that there was no room for */
	__u64 unseen;	  /* of those that were measured, whose end was not seen */
	__u64 unblocked;  /* times off the CPU whose stack there was no room for */
	__u64 unwalked;	  /* of those that were counted, without the kernel's stack */
};

/*
 * A place at which a thread is off the CPU inside a call. How the program came there is known by
 * where its stack ends and what is on it, see callers_of().
 */
struct block_key {
	__u64 ip;
	__u64 sp;
	__u64 bp;
	__u32 callers;	    /* and the program, see program_of() */
	__s32 kernel_stack; /* number in kernel_stacks; below 0: not known */
	__u32 pid;
	__u32 tid;
	__s32 nr;
	__u16 abi;
	__u16 state; /* STATE_* */
};

struct block {
	__u64 ns;
	__u64 count;
};

/* A thread that has been asleep inside a call since before the probe was there. */
struct sleeper {
	__u64 woke_ns;	/* when it came back last; 0: not yet */
	__u64 returned; /* whether the call has returned since */
};

#endif
