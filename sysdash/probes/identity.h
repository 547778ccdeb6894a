/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is calling, as user space numbers and names it. Uses offsets from the running kernel's BTF: TASK_*,
 * PID_*, UPID_* and NS_*.
 */
#ifndef SYSDASH_IDENTITY_H
#define SYSDASH_IDENTITY_H

#include "sysdash.h"

#define NS_DEPTH 33 /* PID namespaces in one another: MAX_PID_NS_LEVEL + 1 */

struct comm_key {
	u64 words[COMM_LEN / 8];
};

/* Who is calling, as user space sees it. */
struct identity {
	__u32 pid;
	__u32 tid;
	__u32 ppid;
	__u32 unused;
	struct comm_key comm;
};

/* The number of a struct pid in the wanted namespace; 0 where it has none. */
static __always_inline u32 visible_nr(void *pid, struct config *conf)
{
	u32 level = 0, nr = 0, ino = 0;
	void *ns = NULL;
	int i;

	bpf_probe_read_kernel(&level, sizeof(level), pid + PID_LEVEL);
#pragma clang loop unroll(disable)
	for (i = 0; i < NS_DEPTH; i++) {
		void *upid = pid + PID_NUMBERS + i * UPID_SIZE;

		if (i > level)
			break;
		bpf_probe_read_kernel(&ns, sizeof(ns), upid + UPID_NS);
		bpf_probe_read_kernel(&ino, sizeof(ino), ns + NS_INUM);
		if (ino == conf->pid_ns) {
			bpf_probe_read_kernel(&nr, sizeof(nr), upid + UPID_NR);
			return nr;
		}
	}
	return 0;
}

static __always_inline u32 task_nr(void *task, struct config *conf)
{
	void *pid = NULL;
	u32 nr = 0;

	if (!conf->pid_ns) {
		bpf_probe_read_kernel(&nr, sizeof(nr), task + TASK_PID);
		return nr;
	}
	bpf_probe_read_kernel(&pid, sizeof(pid), task + TASK_THREAD_PID);
	return pid ? visible_nr(pid, conf) : 0;
}

static __always_inline void identify(struct identity *who, struct config *conf)
{
	void *task = (void *)bpf_get_current_task_btf(), *leader = NULL, *parent = NULL;

	bpf_probe_read_kernel(&leader, sizeof(leader), task + TASK_GROUP_LEADER);
	bpf_probe_read_kernel(&parent, sizeof(parent), task + TASK_REAL_PARENT);
	bpf_probe_read_kernel(&parent, sizeof(parent), parent + TASK_GROUP_LEADER);
	who->tid = task_nr(task, conf);
	who->pid = task_nr(leader, conf);
	who->ppid = task_nr(parent, conf);
	/*
	 * The process is known by its first thread's name, as in ps and htop. Before 5.17 the rest of
	 * a longer name can lie behind its NUL.
	 */
	bpf_probe_read_kernel_str(&who->comm, sizeof(who->comm), leader + TASK_COMM);
}

#endif
