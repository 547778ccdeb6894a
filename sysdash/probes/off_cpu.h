/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of a call that its thread spent off the CPU, and with BLOCKS where in the program and in the
 * kernel that was.
 */
#ifndef SYSDASH_OFF_CPU_H
#define SYSDASH_OFF_CPU_H

#include "sysdash.h"
#include "identity.h"

#define TASK_INTERRUPTIBLE 1 /* include/linux/sched.h */
#define TASK_UNINTERRUPTIBLE 2

/* A thread that is off the CPU, inside a call. */
struct away {
	__u64 left_ns; /* since when; 0: it is on a CPU */
	__u64 off_ns;  /* of the call that it is inside of, before that */
#ifdef BLOCKS
	struct block_key key;
#endif
};

/* Where a thread's kernel stack begins. */
static __always_inline u64 stack_of(void *task)
{
	u64 stack = 0;

	bpf_probe_read_kernel(&stack, sizeof(stack), task + TASK_STACK);
	return stack;
}

#ifdef BLOCKS
/* Why the current thread leaves the CPU. */
static __always_inline u16 state_of(void *task, bool preempted)
{
	u32 state = 0;

	if (preempted)
		return STATE_RUNNABLE;
	bpf_probe_read_kernel(&state, sizeof(state), task + TASK_STATE);
	if (state & TASK_UNINTERRUPTIBLE)
		return STATE_UNINTERRUPTIBLE;
	return state ? STATE_INTERRUPTIBLE : STATE_RUNNABLE;
}

struct kernel_frames {
	u64 ip[KERNEL_DEPTH];
};

#define MIX 0x9e3779b97f4a7c15ULL

/* What tells a program from the next one of the same thread, and a new name from the old one. */
static __always_inline u64 program_of(void *task, struct identity *who)
{
	u64 mm = 0;
	u32 exec_id = 0;

	bpf_probe_read_kernel(&mm, sizeof(mm), task + TASK_MM);
	bpf_probe_read_kernel(&exec_id, sizeof(exec_id), task + TASK_EXEC_ID);
	return (((mm ^ exec_id) * MIX ^ who->comm.words[0]) * MIX ^ who->comm.words[1]) * MIX;
}

/*
 * What tells one way through a program to a call from another, which may have left the stack pointer
 * at the same place: the addresses on the stack's end that are of the program's own code. Others are
 * data, and change with each call.
 */
static __always_inline u64 callers_of(void *task, u64 sp, u16 abi, u64 words[CALLERS], u64 hash)
{
	u64 start = 0, end = 0, narrow = abi == ABI_IA32;
	void *mm = NULL;
	int i;

	bpf_probe_read_kernel(&mm, sizeof(mm), task + TASK_MM);
	bpf_probe_read_kernel(&start, sizeof(start), mm + MM_START_CODE);
	bpf_probe_read_kernel(&end, sizeof(end), mm + MM_END_CODE);
	if (bpf_probe_read_user(words, CALLERS * sizeof(u64), (void *)sp))
		return hash;
	end -= start;
#pragma clang loop unroll(disable)
	for (i = 0; i < CALLERS; i++) {
		u64 word = words[i], low = (u32)word, high = word >> 32;

		/* Without branches, whose ways the verifier would follow. */
		word *= word - start < end;
		word += narrow * (low * (low - start < end) + high * (high - start < end) * MIX);
		hash = (hash ^ word) * MIX;
	}
	return hash;
}
#endif

#endif
