// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Count and time every system call, per (process, syscall, ABI, errno).
 *
 * sys_enter leaves the time in the thread's slot; sys_exit adds the call to a row. Rows lie in a
 * memory-mapped array: two banks, in each a segment for every CPU in use, so that only one CPU
 * writes to a row and no atomic operation is needed (a raw tracepoint program is not re-entered on a
 * CPU: the kernel skips the second one and counts it in recursion_misses, which user space reports).
 *
 * What a thread is doing lies in a slot of a plain array, found by the address of its saved registers
 * (the top of its kernel stack, so no two living threads share it): reading an array costs no call
 * of a helper, which is what a probe's time goes to. A slot belongs to the first thread that claims
 * it, until that thread ends. Threads whose slot is another's use task storage.
 *
 * A thread remembers the rows it used last; a per-CPU index finds the others. Both may forget: a
 * row that is not found is begun anew, and user space merges rows with the same key.
 *
 * User space swaps banks by raising config.epoch, waits for running programs to end, then reads and
 * clears the old bank. All that threads remember of an older epoch is void, filter verdicts too, so
 * who is traced is decided once per thread and epoch and costs the common path nothing.
 *
 * With COUNT_ONLY nothing is timed and sys_enter is left alone: sys_exit takes the number of the call
 * from the saved registers. Where the kernel has changed them by then, see exiting_call() and
 * on_task_rename().
 *
 * Defines given by the loader:
 *   CPUS                               CPU numbers are below this
 *   SEGMENTS, ROWS, OTHER_ROWS         segments in a bank, rows in a segment, how many of these only
 *                                      the `other` process may use
 *   ODD_ROWS                           of these, for numbers that no table has
 *   SLOTS, CGROUPS, FILTER_IDS, FILTER_COMMS  sizes; SLOTS is a power of two
 *   RING_BYTES                         size of the slow-call ring, a power of two of pages
 *   TASK_*, PID_*, UPID_*, NS_*        offsets from the running kernel's BTF
 *   TASK_STATUS                        offset of thread_info.status, where the CPU has compat calls
 *   STACK_SHIFT                        log2 of a kernel stack's size
 *   THREADS_HASH                       its size, if the kernel has no task storage for tracing (< 5.13)
 *   COUNT_ONLY                         if nothing is timed
 *   TASK_STACK, REGS_SIZE              if the kernel has no bpf_task_pt_regs() (< 5.15)
 *   OFF_CPU                            if the part of each call off the CPU is measured; with it
 *   TASK_STACK                         as above, and
 *   UNSLOTTED                          how many threads without a slot can be off the CPU at once
 *   BLOCKS                             if that is counted by stack, of which there can be so many; with
 *                                      it the offsets of story.h, and TASK_STATE, MM_*
 *   KERNEL_STACKS, KERNEL_DEPTH        how many different ones of the kernel there is room for, twice,
 *                                      and how deep they can be
 *   SLEEPERS                           threads that slept before the probe was there
 *   FOLLOWED                           threads of a command that can live at once
 *   SLOW                               if slow calls are listed; with it the offsets of story.h, and
 *   VALUES                             if the values of an argument are counted; with it
 *   NUMBERS, STRINGS                   how many different ones there is room for
 *   EXEC_NAMES                         with both: programs that can be between their start and the end
 *                                      of their execve
 */
#include "sysdash.h"
#include "statistics.h"
#include "identity.h"
#include "abi.h"
#if defined(SLOW) || defined(BLOCKS)
#include "story.h"
#endif
#ifdef OFF_CPU
#include "off_cpu.h"
#endif
#ifdef VALUES
#include "values.h"
#endif

#define EEXIST 17
#define ENOSYS 38
#define MAX_ERRNO 4095
#define NSEC_PER_SEC 1000000000ULL

#define CACHE 16 /* rows that a thread remembers; a power of two */
#define WAYS 8	 /* index entries in a cache line */

#define INDEX_LINES (2 * ROWS / WAYS)

#define NO_TAG (~0ULL)

/* What becomes of a thread's calls. */
#define WANTED 0
#define SKIP 1
#define PENDING 2 /* it will execve the command that is traced from there on: timed, not counted */

/* A thread, in its slot or in task storage. */
struct thread {
	__u64 regs;	/* whose slot it is; 0: nobody's */
	__u64 start_ns; /* 0: not inside a call */
	__s32 nr;
	__u16 abi;
	__u16 skip;  /* WANTED, SKIP or PENDING */
	__u32 epoch; /* of all below and of skip */
	__u32 slot;  /* in task storage: the slot it claimed, plus one */
	struct identity who;
	struct {
		__u64 tag;
		__u32 row;
		__u32 unused;
	} cache[CACHE];
};

struct index_line {
	struct {
		__u32 epoch;
		__u32 row;
	} way[WAYS];
};

struct id_key {
	__u32 kind;
	__u32 id;
};

BPF_F_TABLE("array", u32, struct config, config, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct syscall_config, syscall_config, ABIS *SYSCALLS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct row, rows, 2 * SEGMENTS * ROWS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct cpu, cpus, CPUS, BPF_F_MMAPABLE);
BPF_ARRAY(row_index, struct index_line, SEGMENTS *INDEX_LINES);
BPF_HASH(filter_ids, struct id_key, u8, FILTER_IDS);
BPF_HASH(filter_comms, struct comm_key, u8, FILTER_COMMS);
BPF_CGROUP_ARRAY(filter_cgroups, CGROUPS);
#if defined(SLOW) || defined(BLOCKS)
BPF_RINGBUF_OUTPUT(events, RING_BYTES / 4096);
BPF_PERCPU_ARRAY(scratch, struct story, 1);
/* Never used: tells the loader how the compiler laid out an event, as the others do for theirs. */
BPF_ARRAY(event_layout, struct event, 1);
#endif
#ifdef SLOW
BPF_PROG_ARRAY(programs, 1);
#endif
#ifdef OFF_CPU
/* By the number of a thread's slot; by the address of the task, for those that have none. */
BPF_F_TABLE("array", u32, struct away, slotted, SLOTS, BPF_F_MMAPABLE);
BPF_HASH(unslotted, u64, struct away, UNSLOTTED);
#endif
#ifdef BLOCKS
BPF_HASH(blocks, struct block_key, struct block, BLOCKS);
BPF_TABLE("stacktrace", int, struct kernel_frames, kernel_stacks, KERNEL_STACKS);
BPF_TABLE("stacktrace", int, struct kernel_frames, kernel_stacks2, KERNEL_STACKS);
/* By TID; user space enters those that it has found. */
BPF_HASH(sleepers, u32, struct sleeper, SLEEPERS);
#endif
#ifdef VALUES
/* One for each bank. */
BPF_HASH(numbers, u64, u64, NUMBERS);
BPF_HASH(numbers2, u64, u64, NUMBERS);
BPF_HASH(strings, struct value_string, u64, STRINGS);
BPF_HASH(strings2, struct value_string, u64, STRINGS);
BPF_PERCPU_ARRAY(value_buckets, u64, VALUE_BUCKETS);
#endif
#ifdef EXEC_NAMES
/* By the address of the task; those whose execve nobody asks about are forgotten in time. */
BPF_TABLE("lru_hash", u64, struct exec_name, exec_names, EXEC_NAMES);
#endif
/* Writing to a map of maps returns when no program runs that had begun before. */
BPF_ARRAY(barrier_target, u32, 1);
BPF_ARRAY_OF_MAPS(barrier, "barrier_target", 1);

BPF_F_TABLE("array", u32, struct thread, slots, SLOTS, BPF_F_MMAPABLE);
/* Inserting is atomic: of two threads that want a slot, one gets it. */
BPF_HASH(claims, u32, u64, SLOTS);

/* The threads of the followed command, by the address of the task. */
BPF_HASH(followed, u64, u8, FOLLOWED);

#ifdef THREADS_HASH
/* By the address of the task: a thread that calls exec can get another TID. */
BPF_HASH(threads, u64, struct thread, THREADS_HASH);
/* What a new one is copied from; too large for the stack. */
BPF_ARRAY(new_thread, struct thread, 1);
#else
BPF_TASK_STORAGE(threads, struct thread);
#endif

static __always_inline struct config *get_config(void)
{
	u32 zero = 0;

	return config.lookup(&zero);
}

#ifdef THREADS_HASH
static __always_inline struct thread *stored_thread(struct task_struct *task, bool create)
{
	u64 key = (u64)task;
	struct thread *thread = threads.lookup(&key), *blank;
	u32 zero = 0;

	if (thread || !create)
		return thread;
	blank = new_thread.lookup(&zero);
	return blank ? threads.lookup_or_try_init(&key, blank) : NULL;
}

static __always_inline void forget(struct task_struct *task, struct thread *stored)
{
	u64 key = (u64)task;

	threads.delete(&key);
}
#else
static __always_inline struct thread *stored_thread(struct task_struct *task, bool create)
{
	return threads.task_storage_get(task, 0, create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
}

/* The kernel frees it with the task. */
static __always_inline void forget(struct task_struct *task, struct thread *stored)
{
	stored->start_ns = 0;
	stored->slot = 0;
}
#endif

static __always_inline u32 slot_of(u64 regs)
{
	return (regs >> STACK_SHIFT) * 0x9e3779b97f4a7c15ULL >> 32 & (SLOTS - 1);
}

/* Take a free slot for the calls to come; not inside a call, whose start is in task storage. */
static __always_inline void claim(struct thread *stored, struct thread *slot, u32 number, u64 regs)
{
	if (slot->regs || stored->slot || claims.insert(&number, &regs))
		return;
	stored->slot = number + 1;
	slot->start_ns = 0;
	slot->epoch = 0;
	slot->skip = 0;
	slot->regs = regs;
}

static __always_inline void release(struct thread *stored)
{
	u32 number = stored->slot - 1;
	struct thread *slot;

	if (!stored->slot)
		return;
	slot = slots.lookup(&number);
	if (slot)
		slot->regs = 0;
	claims.delete(&number);
}

static __always_inline void count_lost(u32 cpu_nr)
{
	struct cpu *cpu = cpus.lookup(&cpu_nr);

	if (cpu)
		cpu->lost++;
}

#ifdef VALUES
static __always_inline void count_unvalued(u32 cpu_nr)
{
	struct cpu *cpu = cpus.lookup(&cpu_nr);

	if (cpu)
		cpu->unvalued++;
}
#endif

#ifdef OFF_CPU
/* A call begins. Of a thread without a slot, what is remembered is forgotten when a call ends. */
static __always_inline void stay(bool has_slot, u32 number)
{
	struct away *away = has_slot ? slotted.lookup(&number) : NULL;

	if (!away)
		return;
	away->left_ns = 0;
	away->off_ns = 0;
}

#ifdef BLOCKS
static __always_inline void count_unblocked(void)
{
	u32 cpu_nr = bpf_get_smp_processor_id();
	struct cpu *cpu = cpus.lookup(&cpu_nr);

	if (cpu)
		cpu->unblocked++;
}

static __always_inline void end_block(struct away *away, struct config *conf, u64 ns)
{
	struct block *block, none = {};

	if (!away->key.pid || ns < conf->block_min_ns || ns > conf->block_max_ns)
		return;
	/* User space may have made room meanwhile. */
	block = blocks.lookup_or_try_init(&away->key, &none);
	if (!block) {
		count_unblocked();
		return;
	}
	__sync_fetch_and_add(&block->ns, ns);
	__sync_fetch_and_add(&block->count, 1);
}
#endif

/* A thread has the CPU again. */
static __always_inline void come_back(struct away *away, struct config *conf, u64 now)
{
	u64 ns = now - away->left_ns;

#ifdef BLOCKS
	end_block(away, conf, ns);
#endif
	away->off_ns += ns;
	away->left_ns = 0;
}

/*
 * A thread that runs has come back. Switches from threads that the kernel hides from BPF are not seen,
 * so that this can be the first that is known of it.
 */
static __always_inline void has_come_back(struct away *away, struct config *conf, u64 now)
{
	u32 cpu_nr = bpf_get_smp_processor_id();
	struct cpu *cpu = cpus.lookup(&cpu_nr);

	if (!away->left_ns)
		return;
	come_back(away, conf, now);
	if (cpu)
		cpu->unseen++;
}

#ifdef BLOCKS
/* A call returns that began before the probe was there. */
static __always_inline void end_sleep(u32 tid, u64 now)
{
	struct sleeper *sleeper = sleepers.lookup(&tid);

	if (!sleeper || sleeper->returned)
		return;
	if (!sleeper->woke_ns)
		sleeper->woke_ns = now;
	sleeper->returned = 1;
}
#endif

/* How long the thread was off the CPU in the call that ends now. */
static __always_inline u64 off_cpu_ns(struct thread *thread, struct config *conf, u64 now)
{
	u64 key = bpf_get_current_task(), ns;
	u32 number = slot_of(thread->regs);
	struct away *away;

	if (thread->regs) {
		away = slotted.lookup(&number);
		if (!away)
			return 0;
		has_come_back(away, conf, now);
		return away->off_ns;
	}
	away = unslotted.lookup(&key);
	if (!away)
		return 0;
	has_come_back(away, conf, now);
	ns = away->off_ns;
	unslotted.delete(&key);
	return ns;
}
#endif

#ifndef COUNT_ONLY
int on_sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	u32 nr = ctx->args[1], number = slot_of(ctx->args[0]);
	struct thread *thread = slots.lookup(&number);
	bool own = thread && thread->regs == ctx->args[0];
	struct task_struct *task;

	/* Calls that are not wanted cost no more than this. */
	if (!thread || (own && thread->skip == SKIP))
		return 0;
	task = (struct task_struct *)bpf_get_current_task_btf();
	if (!own) {
		thread = stored_thread(task, true);
		/* Without one, the call is counted without a time when it returns. */
		if (!thread || thread->skip == SKIP)
			return 0;
	}
#ifdef OFF_CPU
	stay(own, number);
#endif
	thread->abi = split_number(task, nr, &thread->nr);
	thread->start_ns = bpf_ktime_get_ns();
	return 0;
}
#endif

static __always_inline bool id_passes(u32 kind, u32 id)
{
	struct id_key key = {.kind = kind, .id = id};

	return filter_ids.lookup(&key) != NULL;
}

/* A cgroup stands for everything below it. */
static __always_inline bool cgroup_passes(struct config *conf)
{
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i < CGROUPS; i++) {
		if (i >= conf->cgroups)
			break;
		if (filter_cgroups.check_current_task(i) == 1)
			return true;
	}
	return false;
}

static __always_inline bool is_followed(struct task_struct *task)
{
	u64 key = (u64)task;

	return followed.lookup(&key) != NULL;
}

static __always_inline u16 verdict(struct identity *who, struct config *conf)
{
	struct comm_key thread = {};
	u32 flags = conf->flags;

	if (conf->self_pid && who->pid == conf->self_pid)
		return SKIP;
	if (conf->helper_pid && who->pid == conf->helper_pid)
		return SKIP;
	if (flags & FILTER_COMMAND &&
	    !is_followed((struct task_struct *)bpf_get_current_task_btf()))
		return conf->command && who->tid == conf->command ? PENDING : SKIP;
	if (flags & FILTER_PID && !id_passes(ID_PID, who->pid))
		return SKIP;
	if (flags & FILTER_TID && !id_passes(ID_TID, who->tid))
		return SKIP;
	if (flags & FILTER_PPID && !id_passes(ID_PPID, who->ppid))
		return SKIP;
	if (flags & FILTER_COMM) {
		bpf_get_current_comm(&thread, sizeof(thread));
		if (!filter_comms.lookup(&thread) && !filter_comms.lookup(&who->comm))
			return SKIP;
	}
	if (flags & FILTER_CGROUP && !cgroup_passes(conf))
		return SKIP;
	return WANTED;
}

/* A new epoch for this thread: forget its rows, decide again whether it is traced. */
static __always_inline void renew(struct thread *thread, struct config *conf)
{
	struct identity who = {};
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i < CACHE; i++)
		thread->cache[i].tag = NO_TAG;
	identify(&who, conf);
	thread->skip = verdict(&who, conf);
	if (conf->flags & BY_TID)
		bpf_get_current_comm(&who.comm, sizeof(who.comm));
	thread->who = who;
	thread->epoch = conf->epoch;
}

static __always_inline u64 make_tag(s32 nr, u16 errno, u16 abi, u32 cpu)
{
	return (u64)(u32)nr << 32 | (u32)errno << 20 | (u32)abi << 18 | cpu;
}

static __always_inline u64 mix(u64 hash, u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

static __always_inline bool row_is(struct row *row, u64 tag, struct identity *who)
{
	u64 *have = (u64 *)row->comm, *want = who->comm.words;

	return row->key == tag && row->pid == who->pid && row->tid == who->tid &&
	       have[0] == want[0] && have[1] == want[1];
}

static __always_inline struct row *begin_row(u32 number, u64 tag, struct identity *who, s32 nr,
					     u16 errno, u16 abi)
{
	struct row *row = rows.lookup(&number);

	if (!row)
		return NULL;
	row->key = tag;
	row->pid = who->pid;
	row->tid = who->tid;
	row->ppid = who->ppid;
	row->nr = nr;
	row->errno = errno;
	row->abi = abi;
	row->cgroup = bpf_get_current_cgroup_id();
	row->min_ns = ~0ULL;
	__builtin_memcpy(row->comm, &who->comm, sizeof(row->comm));
	return row;
}

/* The slow way to a row: through the index, beginning a row where there is none. */
static __always_inline struct row *find_row(struct thread *thread, struct config *conf, s32 nr,
					    u16 errno, u16 abi, u32 cpu_nr, u32 *number)
{
	u32 epoch = conf->epoch, bank = epoch & 1, line_nr, free_way = WAYS;
	u64 tag = make_tag(nr, errno, abi, cpu_nr), hash = 0;
	bool odd = (u32)nr >= SYSCALLS, crowded = false;
	struct identity who = thread->who;
	struct index_line *line = NULL;
	struct row *row;
	struct cpu *cpu;
	int i, attempt;

	if (!(conf->flags & BY_TID))
		who.tid = 0;
	cpu = cpus.lookup(&cpu_nr);
	if (!cpu || !cpu->segment)
		return NULL;
#pragma clang loop unroll(disable)
	for (attempt = 0; attempt < 3; attempt++) {
		hash = mix(mix(tag, (u64)who.pid << 32 | who.tid), who.comm.words[0]);
		hash = mix(hash, who.comm.words[1]);
		line_nr = (cpu->segment - 1) * INDEX_LINES + (hash >> 32) % INDEX_LINES;
		line = row_index.lookup(&line_nr);
		if (!line)
			return NULL;
		free_way = WAYS;
#pragma clang loop unroll(disable)
		for (i = 0; i < WAYS; i++) {
			if (line->way[i].epoch != epoch) {
				free_way = i;
				break;
			}
			*number = line->way[i].row;
			row = rows.lookup(number);
			if (row && row_is(row, tag, &who))
				return row;
		}
		/* Whoever calls with all numbers there are must not take the room of others. */
		if (odd && cpu->odd[bank] >= ODD_ROWS) {
			odd = false;
			nr = OTHER_NR;
			tag = make_tag(nr, errno, abi, cpu_nr);
			continue;
		}
		if (crowded || cpu->used[bank] < ROWS - OTHER_ROWS)
			break;
		crowded = true;
		/* No room for more processes: pid 0 takes the calls of all that have no row. */
		who.pid = who.tid = who.ppid = 0;
		__builtin_memset(&who.comm, 0, sizeof(who.comm));
	}
	if (cpu->used[bank] >= ROWS)
		return NULL;
	*number = (bank * SEGMENTS + cpu->segment - 1) * ROWS + cpu->used[bank];
	cpu->used[bank]++;
	if (odd)
		cpu->odd[bank]++;
	/* A full line forgets one of its rows, which will then be begun twice and merged. */
	if (free_way == WAYS)
		free_way = hash;
	line->way[free_way & (WAYS - 1)].epoch = epoch;
	line->way[free_way & (WAYS - 1)].row = *number;
	return begin_row(*number, tag, &who, nr, errno, abi);
}

static __always_inline void add_time(struct row *row, u64 ns)
{
	row->total_ns += ns;
	if (ns < row->min_ns)
		row->min_ns = ns;
	if (ns > row->max_ns)
		row->max_ns = ns;
	add_square(&row->squares_low, &row->squares_high, ns);
	row->hist[bucket_of(ns) & (BUCKETS - 1)]++;
}

/* The row of a call, from what the thread remembers or else from the index. */
static __always_inline struct row *row_of(struct thread *thread, struct config *conf, s32 nr,
					  u16 errno, u16 abi, u32 cpu)
{
	u64 tag = make_tag(nr, errno, abi, cpu);
	u32 slot = (nr ^ errno ^ cpu << 2) & (CACHE - 1);
	struct row *row;
	u32 number;

	if (thread->cache[slot].tag == tag) {
		number = thread->cache[slot].row;
		return rows.lookup(&number);
	}
	row = find_row(thread, conf, nr, errno, abi, cpu, &number);
	if (row) {
		thread->cache[slot].tag = tag;
		thread->cache[slot].row = number;
	}
	return row;
}

static __always_inline struct syscall_config *get_syscall_config(s32 nr, u16 abi)
{
	u32 number = abi * SYSCALLS + (u32)nr;

	return (u32)nr < SYSCALLS ? syscall_config.lookup(&number) : NULL;
}

static __always_inline bool syscall_passes(struct config *conf, s32 nr, u16 abi)
{
	struct syscall_config *asked = get_syscall_config(nr, abi);

	return asked ? !asked->drop : !(conf->flags & DROP_UNKNOWN);
}

#ifdef SLOW
static __always_inline void begin_second(struct cpu *cpu, u64 now)
{
	if (now - cpu->window_ns < NSEC_PER_SEC)
		return;
	cpu->window_ns = now;
	cpu->window_calls[0] = 0;
	cpu->window_calls[1] = 0;
	cpu->examples = 0;
}

/* Calls that wait by their nature have a limit of their own, or they would crowd out all others. */
static __always_inline bool over_limit(struct cpu *cpu, struct config *conf, bool waits)
{
	if (waits)
		return cpu->window_calls[1]++ >= conf->slow_limit[1];
	return cpu->window_calls[0]++ >= conf->slow_limit[0];
}

/* Every call over the smallest threshold comes here, of which few are over their own; and examples. */
static __always_inline void slow_call(struct bpf_raw_tracepoint_args *ctx, struct thread *thread,
				      struct config *conf, u32 cpu_nr, s32 nr, u16 abi, u64 now,
				      u64 ns, bool example)
{
	struct syscall_config *asked = get_syscall_config(nr, abi);
	struct story *story;
	struct event *event;
	struct cpu *cpu;
	u32 zero = 0;

	/* No call has the last number, so its threshold is the default. */
	if (!asked)
		asked = get_syscall_config(SYSCALLS - 1, abi);
	if (!asked)
		return;
	if (ns >= asked->threshold_ns)
		example = false;
	else if (!example)
		return;
	cpu = cpus.lookup(&cpu_nr);
	if (!cpu)
		return;
	begin_second(cpu, now);
	if (example) {
		if (cpu->examples++ >= EXAMPLES)
			return;
	} else if (over_limit(cpu, conf, asked->waits)) {
		cpu->limited++;
		return;
	}
	story = scratch.lookup(&zero);
	if (!story)
		return;
	event = &story->event;
	__builtin_memset(event, 0, sizeof(*event));
	event->end_ns = now;
	event->duration_ns = ns;
	event->ret = ctx->args[1];
	event->pid = thread->who.pid;
	event->tid = thread->who.tid;
	event->nr = nr;
	event->abi = abi;
	event->cpu = cpu_nr;
	event->flags = example ? EVENT_EXAMPLE : 0;
	__builtin_memcpy(event->comm, &thread->who.comm, sizeof(event->comm));
	/* Goes on in on_slow_call(), in a program of its own so that this one stays small. */
	programs.call(ctx, 0);
}

/* The rest of a slow call's record, which slow_call() has begun. */
int on_slow_call(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct config *conf = get_config();
	struct syscall_config *asked;
	u32 zero = 0, size;
	u64 key = (u64)task;
	struct exec_name *name;
	struct story *story;
	struct event *event;
	struct cpu *cpu;

	story = scratch.lookup(&zero);
	if (!story || !conf)
		return 0;
	story->used = 0;
	event = &story->event;
	asked = get_syscall_config(event->nr, event->abi);
	bpf_probe_read_kernel(&event->mm, sizeof(event->mm), (void *)task + TASK_MM);
	bpf_probe_read_kernel(&event->exec_id, sizeof(u32), (void *)task + TASK_EXEC_ID);
	if (event->ret == 0 && is_exec(event->nr, event->abi)) {
		name = exec_names.lookup(&key);
		if (name)
			put_exec_name(story, name);
		put_descriptor(story, task, AT_FDCWD, conf);
	} else {
		take_registers(event, (void *)ctx->args[0]);
		if (asked) {
			put_data(story, asked, 0);
			put_data(story, asked, 1);
			put_descriptor(story, task, which_fd(event, asked), conf);
		}
		if (conf->flags & STACKS)
			put_stack(ctx, story);
	}
	size = bounded(sizeof(*event) + story->used, TAIL_MASK);
	/* User space reads at its own pace. */
	if (!events.ringbuf_output(story, size, BPF_RB_NO_WAKEUP))
		return 0;
	zero = event->cpu;
	cpu = cpus.lookup(&zero);
	if (cpu)
		cpu->ring_full++;
	return 0;
}
#endif

#if defined(COUNT_ONLY) && !defined(TASK_STACK)
#define current_regs(task) ((char *)bpf_task_pt_regs(task))
/* A typed pointer: the verifier checks this load and the kernel makes it safe. */
#define regs_nr(regs) (*(volatile u32 *)((regs) + REGS_NR))
#else
static __always_inline u32 regs_nr(void *regs)
{
	u32 nr = 0;

	bpf_probe_read_kernel(&nr, sizeof(nr), regs + REGS_NR);
	return nr;
}
#endif

#if defined(COUNT_ONLY) && defined(TASK_STACK)
/* Kernels without the helper have nothing above the registers (arch/x86/include/asm/processor.h). */
static __always_inline void *current_regs(struct task_struct *task)
{
	void *stack = NULL;

	bpf_probe_read_kernel(&stack, sizeof(stack), (void *)task + TASK_STACK);
	return stack + (1 << STACK_SHIFT) - REGS_SIZE;
}
#endif

/* Which call ends, where sys_enter has not told: nothing is timed, the call began before the probe was
 * there, or seccomp refused it before sys_enter. False for the second return of a fork.
 */
static __always_inline bool exiting_call(struct bpf_raw_tracepoint_args *ctx, s32 *nr, u16 *abi)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	u32 number;

#ifdef COUNT_ONLY
	number = regs_nr(current_regs(task));
#else
	number = regs_nr((void *)ctx->args[0]);
#endif
	*abi = split_number(task, number, nr);
	/*
	 * rt_sigreturn takes the number away with the registers it restores. A call that somebody made
	 * with this number, or a tracer turned into one, has failed.
	 */
	if (*nr == -1 && ctx->args[1] != (u64)-ENOSYS) {
#ifdef COUNT_ONLY
		*nr = sigreturn_nr(*abi);
		return true;
#else
		return false;
#endif
	}
	return !(is_fork(*nr, *abi) && ctx->args[1] == 0);
}

static __always_inline bool call_passes(struct config *conf, s32 nr, u16 abi, u16 errno)
{
	if (!(conf->flags & (FILTER_SYSCALL | FILTER_ERRNO)))
		return true;
	if (conf->flags & FILTER_SYSCALL && !syscall_passes(conf, nr, abi))
		return false;
	return !(conf->flags & FILTER_ERRNO) || conf->errnos[errno >> 6 & 63] >> (errno & 63) & 1;
}

#ifdef VALUES
static __always_inline void count_bucket(u32 number)
{
	u64 *count = value_buckets.lookup(&number);

	if (count)
		(*count)++;
}

static __always_inline bool count_number(u64 value, u32 bank)
{
	u64 zero = 0, *count;

	if (bank)
		count = numbers2.lookup_or_try_init(&value, &zero);
	else
		count = numbers.lookup_or_try_init(&value, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
	return count;
}

static __always_inline bool count_string(struct value_string *string, u32 bank)
{
	u64 zero = 0, *count;

	if (bank)
		count = strings2.lookup_or_try_init(string, &zero);
	else
		count = strings.lookup_or_try_init(string, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
	return count;
}

/* Count the value that is asked for; false if it is not to be had or there is no room for it. */
static __always_inline bool count_value(struct bpf_raw_tracepoint_args *ctx, struct config *conf,
					s32 nr, u16 abi)
{
	u64 value = value_of(ctx, conf, abi), key = bpf_get_current_task();
	bool exec = ctx->args[1] == 0 && is_exec(nr, abi);
	struct value_string string = {};
	u32 bank = conf->epoch & 1;
	struct exec_name *name;

	if (conf->value_kind == VALUE_NUMBER)
		return count_number(value, bank);
	if (conf->value_kind == VALUE_HISTOGRAM) {
		count_bucket(bucket_of_value(value, conf->value_signed));
		return true;
	}
	/* The memory is another program's by now. */
	if (exec) {
		name = exec_names.lookup(&key);
		if (!name)
			return false;
		bpf_probe_read_kernel_str(&string, sizeof(string), name);
	} else if (bpf_probe_read_user_str(&string, sizeof(string), (void *)value) < 0) {
		return false;
	}
	return count_string(&string, bank);
}
#endif

static __always_inline void finish(struct bpf_raw_tracepoint_args *ctx, struct thread *thread,
				   struct config *conf, u32 cpu_nr, u64 now)
{
	u64 start_ns = thread->start_ns, ret = ctx->args[1];
	u16 errno = 0, abi = thread->abi;
	s32 nr = thread->nr;
	struct row *row;
#ifndef COUNT_ONLY
	u64 ns;
#endif
#ifdef OFF_CPU
	/* Of every call, or those that are not counted would be a part of one that is. */
	u64 off_ns = off_cpu_ns(thread, conf, now);
#endif
#ifdef SLOW
	bool example;
#endif

	thread->start_ns = 0;
	if (thread->epoch != (u32)conf->epoch)
		renew(thread, conf);
	if (thread->skip)
		return;
	if (!start_ns) {
#ifdef BLOCKS
		end_sleep(thread->who.tid, now);
#endif
		if (!exiting_call(ctx, &nr, &abi))
			return;
		thread->nr = nr;
		thread->abi = abi;
	}
	if (ret >= (u64)-MAX_ERRNO && !is_sigreturn(nr, abi))
		errno = -ret;
	/*
	 * Read them once more: the verifier has followed every comparison into a state of its own, and
	 * would follow each of them through all that comes.
	 */
	nr = *(volatile s32 *)&thread->nr;
	abi = *(volatile u16 *)&thread->abi;
	if (!call_passes(conf, nr, abi, errno))
		return;
	row = row_of(thread, conf, nr, errno, abi, cpu_nr);
	if (!row) {
		count_lost(cpu_nr);
		return;
	}
	row->count++;
#ifdef VALUES
	if (!count_value(ctx, conf, nr, abi))
		count_unvalued(cpu_nr);
#endif
#ifndef COUNT_ONLY
	if (!start_ns) {
		row->untimed++;
		return;
	}
	ns = now - start_ns;
	add_time(row, ns);
#ifdef OFF_CPU
	row->off_ns += off_ns;
#endif
#ifdef SLOW
	example = errno && errno == conf->example_errno && nr == conf->example_nr &&
		  abi == conf->example_abi;
	if (ns >= conf->slow_min_ns || example)
		slow_call(ctx, thread, conf, cpu_nr, nr, abi, now, ns, example);
#endif
#endif
}

int on_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 regs = ctx->args[0], now = 0;
	u32 number = slot_of(regs), cpu_nr;
	struct thread *slot = slots.lookup(&number), *thread = slot;
	struct config *conf = get_config();

	if (!conf || !slot)
		return 0;
	if (slot->regs == regs && slot->skip == SKIP && slot->epoch == (u32)conf->epoch)
		return 0;
#ifndef COUNT_ONLY
	now = bpf_ktime_get_ns();
#endif
#ifdef OFF_CPU
	if (!conf->regs_at)
		conf->regs_at = regs - stack_of((void *)bpf_get_current_task());
#endif
	cpu_nr = bpf_get_smp_processor_id();
	if (slot->regs != regs) {
		thread = stored_thread((void *)bpf_get_current_task_btf(), true);
		if (!thread) {
			count_lost(cpu_nr);
			return 0;
		}
	}
	/* A slow call does not return from finish(). */
	if (thread != slot)
		claim(thread, slot, number, regs);
	finish(ctx, thread, conf, cpu_nr, now);
	return 0;
}

/* The call that a thread is inside of when it ends: counted with no time. */
static __always_inline void never_returned(struct thread *thread, struct config *conf, s32 nr,
					   u16 abi)
{
	u32 cpu_nr = bpf_get_smp_processor_id(), number;
	struct row *row;

	if (thread->epoch != (u32)conf->epoch)
		renew(thread, conf);
	if (thread->skip || !call_passes(conf, nr, abi, 0))
		return;
	row = find_row(thread, conf, nr, 0, abi, cpu_nr, &number);
	if (!row) {
		count_lost(cpu_nr);
		return;
	}
	row->count++;
	row->untimed++;
}

/* Where a thread's state is, if it has any: in its slot, or in task storage. */
static __always_inline struct thread *thread_of(struct thread *stored)
{
	u32 number;

	if (!stored || !stored->slot)
		return stored;
	number = stored->slot - 1;
	return slots.lookup(&number);
}

#ifdef OFF_CPU
/* Whoever comes after it, in its slot or at its address, has not been away. */
static __always_inline void forget_away(struct thread *stored, u64 task)
{
	u32 number = stored->slot - 1;

	if (stored->slot)
		stay(true, number);
	unslotted.delete(&task);
}
#endif

/* A thread ends, inside exit or exit_group: counted here, for it never returns. */
int on_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	u64 key = (u64)task;
	struct config *conf = get_config();
	struct thread *stored, *thread;
#ifdef COUNT_ONLY
	s32 nr;
	u16 abi = split_number(task, regs_nr(current_regs(task)), &nr);
	bool inside = is_exit(nr, abi);
#endif

	if (!conf)
		return 0;
#ifdef COUNT_ONLY
	/* Its exit may be the first that is seen of it. */
	stored = stored_thread(task, inside);
	thread = thread_of(stored);
	if (thread && inside)
		never_returned(thread, conf, nr, abi);
#else
	stored = stored_thread(task, false);
	thread = thread_of(stored);
	if (thread && thread->start_ns)
		never_returned(thread, conf, thread->nr, thread->abi);
#endif
	if (conf->flags & FILTER_COMMAND)
		followed.delete(&key);
	if (!stored)
		return 0;
#ifdef OFF_CPU
	forget_away(stored, key);
#endif
	release(stored);
	forget(task, stored);
	return 0;
}

/* A thread has a new name, from exec or its own wish: its calls get rows of that name. */
int on_task_rename(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct thread *thread;

	/* Another thread's name is seen when the epoch changes. */
	if (ctx->args[0] != (u64)task)
		return 0;
#ifdef COUNT_ONLY
	thread = thread_of(stored_thread(task, true));
#else
	thread = thread_of(stored_thread(task, false));
#endif
	if (!thread)
		return 0;
	thread->epoch = 0;
#ifdef COUNT_ONLY
	/*
	 * From here on, exec replaces the number by that of the new program's execve, of its ABI and
	 * whichever call it was (arch/x86/kernel/process_64.c, set_personality_64bit()).
	 */
	thread->abi = split_number(task, regs_nr(current_regs(task)), &thread->nr);
	thread->start_ns = 1;
#endif
	return 0;
}

#ifdef EXEC_NAMES
/* The caller's memory has been replaced: what it was given is only to be had here. */
static __always_inline void keep_exec_name(void *binprm, u64 task)
{
	struct exec_name name = {};
	void *path = NULL;

	bpf_probe_read_kernel(&path, sizeof(path), binprm + BINPRM_FILENAME);
	bpf_probe_read_kernel_str(&name.path, sizeof(name.path), path);
	exec_names.update(&task, &name);
}
#endif

/* Another program begins. Its name has just changed, so that it is judged anew. */
int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct config *conf = get_config();
	struct thread *thread;
	u64 key = (u64)task;
	u8 yes = 1;

#ifdef EXEC_NAMES
	keep_exec_name((void *)ctx->args[2], key);
#endif
	/* The command that is to be followed. */
	if (!conf || !conf->command || task_nr(task, conf) != conf->command)
		return 0;
	followed.update(&key, &yes);
	conf->command = 0;
	/* It may have been judged since it has its new name, when it was off the CPU. */
	thread = thread_of(stored_thread(task, false));
	if (thread)
		thread->epoch = 0;
	return 0;
}

/* A thread or process of the followed command starts another, which has not run yet. */
int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	u64 parent = ctx->args[0], child = ctx->args[1];
	u32 cpu_nr = bpf_get_smp_processor_id();
	struct cpu *cpu;
	u8 yes = 1;

	if (!followed.lookup(&parent))
		return 0;
	if (followed.update(&child, &yes)) {
		cpu = cpus.lookup(&cpu_nr);
		if (cpu)
			cpu->unfollowed++;
	}
	return 0;
}

#ifdef OFF_CPU
#ifdef BLOCKS
/* Tell user space what the program's stack is like, once for each place; false if there is no room. */
static __always_inline bool tell_place(struct bpf_raw_tracepoint_args *ctx, struct story *story,
				       struct thread *thread, struct config *conf,
				       struct block_key *key)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct event *event = &story->event;
	u32 size;

	story->used = 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->pid = key->pid;
	event->tid = key->tid;
	event->nr = key->nr;
	event->abi = key->abi;
	event->ip = key->ip;
	event->sp = key->sp;
	event->bp = key->bp;
	event->args[0] = key->callers;
	event->args[1] = key->kernel_stack;
	event->args[2] = key->state;
	__builtin_memcpy(event->comm, &thread->who.comm, sizeof(event->comm));
	bpf_probe_read_kernel(&event->mm, sizeof(event->mm), (void *)task + TASK_MM);
	bpf_probe_read_kernel(&event->exec_id, sizeof(u32), (void *)task + TASK_EXEC_ID);
	if (conf->flags & STACKS)
		put_stack(ctx, story);
	size = bounded(sizeof(*event) + story->used, TAIL_MASK);
	return !events.ringbuf_output(story, size, BPF_RB_NO_WAKEUP);
}

/* Make sure that a place is known; false if it cannot be. */
static __always_inline bool know_place(struct bpf_raw_tracepoint_args *ctx, struct story *story,
				       struct thread *thread, struct config *conf,
				       struct block_key *key)
{
	struct block none = {};

	if (blocks.lookup(key))
		return true;
	if (blocks.insert(key, &none)) {
		/* No room: what has come there in different ways is taken for one. */
		key->callers = 0;
		if (blocks.lookup(key))
			return true;
		if (blocks.insert(key, &none))
			return false;
	}
	if (tell_place(ctx, story, thread, conf, key))
		return true;
	blocks.delete(key);
	return false;
}

/*
 * The number of the kernel's stack. One that another has taken is free without the innermost function,
 * which is the probe's anyway.
 */
static __always_inline s32 kernel_stack(struct bpf_raw_tracepoint_args *ctx)
{
	s32 number = kernel_stacks.get_stackid(ctx, 0);

	if (number != -EEXIST)
		return number;
	number = kernel_stacks2.get_stackid(ctx, 1);
	return number < 0 ? number : number + KERNEL_STACKS;
}

static __always_inline void begin_block(struct bpf_raw_tracepoint_args *ctx, struct thread *thread,
					struct away *away, struct config *conf, void *regs)
{
	void *task = (void *)bpf_get_current_task_btf();
	u32 zero = 0, cpu_nr = bpf_get_smp_processor_id();
	struct story *story = scratch.lookup(&zero);
	struct cpu *cpu = cpus.lookup(&cpu_nr);
	struct block_key *key = &away->key;
	u64 hash;

	/* Threads that user space cannot see from its PID namespace have no number there. */
	if (!story || !cpu || !thread->who.pid)
		return;
	__builtin_memset(key, 0, sizeof(*key));
	hash = program_of(task, &thread->who);
	if (conf->flags & STACKS) {
		bpf_probe_read_kernel(&key->ip, sizeof(key->ip), regs + REGS_IP);
		bpf_probe_read_kernel(&key->sp, sizeof(key->sp), regs + REGS_SP);
		bpf_probe_read_kernel(&key->bp, sizeof(key->bp), regs + REGS_BP);
		hash = callers_of(task, key->sp, thread->abi, (u64 *)story->tail, hash);
	}
	key->callers = hash >> 32;
	key->kernel_stack = -1;
	if (conf->flags & KERNEL_FRAMES) {
		key->kernel_stack = kernel_stack(ctx);
		if (key->kernel_stack < 0)
			cpu->unwalked++;
	}
	key->pid = thread->who.pid;
	key->tid = thread->who.tid;
	key->nr = thread->nr;
	key->abi = thread->abi;
	key->state = state_of(task, ctx->args[0]);
	if (!know_place(ctx, story, thread, conf, key)) {
		key->pid = 0;
		cpu->unblocked++;
	}
}

#endif

/* The current thread leaves the CPU. */
static __always_inline void leave(struct bpf_raw_tracepoint_args *ctx, struct task_struct *task,
				  u64 regs, struct config *conf, u64 now)
{
	u32 number = slot_of(regs), cpu_nr = bpf_get_smp_processor_id();
	struct thread *thread = slots.lookup(&number);
	struct cpu *cpu = cpus.lookup(&cpu_nr);
	struct away none = {}, *away;
	u64 key = (u64)task;

	if (!thread || !cpu)
		return;
	if (thread->regs != regs)
		thread = stored_thread(task, false);
	/* What is in task storage of a thread that has a slot is old. */
	if (!thread || !thread->start_ns || thread->slot)
		return;
	if (thread->epoch != (u32)conf->epoch)
		renew(thread, conf);
	if (thread->skip) {
		stay(thread->regs, number);
		return;
	}
	if (conf->flags & FILTER_SYSCALL && !syscall_passes(conf, thread->nr, thread->abi))
		return;
	if (thread->regs)
		away = slotted.lookup(&number);
	else
		away = unslotted.lookup_or_try_init(&key, &none);
	if (!away) {
		cpu->unmeasured++;
		return;
	}
	has_come_back(away, conf, now);
#ifdef BLOCKS
	begin_block(ctx, thread, away, conf, (void *)regs);
#endif
	away->left_ns = now;
}

#ifdef BLOCKS
/* A thread runs that the probe does not know to be inside a call. */
static __always_inline void wake_sleeper(void *task, struct config *conf, u64 now)
{
	u32 tid = task_nr(task, conf);
	struct sleeper *sleeper = sleepers.lookup(&tid);

	if (sleeper && !sleeper->returned)
		sleeper->woke_ns = now;
}
#endif

/* Another one gets it. */
static __always_inline void arrive(u64 task, u64 regs, struct config *conf, u64 now)
{
	u32 number = slot_of(regs);
	struct thread *thread = slots.lookup(&number);
	struct away *away;

	if (thread && thread->regs == regs)
		away = slotted.lookup(&number);
	else
		away = unslotted.lookup(&task);
	if (away && away->left_ns)
		come_back(away, conf, now);
#ifdef BLOCKS
	if (!away)
		wake_sleeper((void *)task, conf, now);
#endif
}

int on_sched_switch(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct config *conf = get_config();
	u64 now = bpf_ktime_get_ns();

	/* No call has returned yet, so none has begun either that would be known. */
	if (!conf || !conf->regs_at)
		return 0;
	leave(ctx, task, stack_of(task) + conf->regs_at, conf, now);
	arrive(ctx->args[2], stack_of((void *)ctx->args[2]) + conf->regs_at, conf, now);
	return 0;
}
#endif
