/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a slow call was about: its arguments, the memory they point to, its file, its stack. All of it
 * is read when the call returns, and only for calls that are listed. Uses offsets from the running
 * kernel's BTF; what a kernel lacks (unix sockets as a module) has no define, and is left out.
 */
#ifndef SYSDASH_STORY_H
#define SYSDASH_STORY_H

#include "sysdash.h"
#include "identity.h"
#include "abi.h"

#define NAME_MOST 256	 /* NAME_MAX and the NUL */
#define PATH_STEPS 40	 /* names and mount points on the way to a file */
#define STACK_FRAMES 127 /* what bpf_get_stack() gives at the most */
#define STACK_COPY 8192
#define STACK_PIECE 512
#define TAIL_MASK 16383

#define AT_FDCWD -100
#define EBADF 9
#define S_IFMT 00170000
#define S_IFSOCK 0140000
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define USER_STACK (1ULL << 8) /* BPF_F_USER_STACK */

/* An event and what follows it, put together before it goes to the ring buffer. */
struct story {
	struct event event;
	/* Every piece begins at an offset of TAIL_MASK at the most; the rest is room for the last one. */
	u8 tail[TAIL_MASK + 1 + STACK_FRAMES * 8];
	/*
	 * Bytes of tail in use. In memory, because the verifier forgets what it knows of such a value: of
	 * a variable, it would follow every combination of lengths.
	 */
	u32 used;
};

/* Where the next piece goes. */
static __always_inline void *next_piece(struct story *story)
{
	return &story->tail[story->used & TAIL_MASK];
}

/* A bound that the compiler cannot take away because it knows better than the verifier. */
static __always_inline u32 bounded(u32 value, u32 mask)
{
	asm volatile("" : "+r"(value));
	return value & mask;
}

/* The caller's registers, which still hold what the call was given. */
static __always_inline void take_registers(struct event *event, void *regs)
{
	u16 abi = event->abi;
	u32 i;

	bpf_probe_read_kernel(&event->ip, sizeof(event->ip), regs + REGS_IP);
	bpf_probe_read_kernel(&event->sp, sizeof(event->sp), regs + REGS_SP);
	bpf_probe_read_kernel(&event->bp, sizeof(event->bp), regs + REGS_BP);
#pragma unroll
	for (i = 0; i < ARGS; i++)
		event->args[i] = argument(regs, register_of(i, abi), abi);
}

static __always_inline u64 nth_argument(struct event *event, u32 index)
{
	return event->args[index < 6 ? index : 0];
}

/* How many bytes of memory a rule asks for. */
static __always_inline u32 data_size(struct event *event, u8 kind, u16 size)
{
	u32 wanted = size;

	if (kind == DATA_BYTES)
		return wanted;
	wanted = nth_argument(event, size);
	if (kind == DATA_SIZED_AT &&
	    bpf_probe_read_user(&wanted, sizeof(wanted), (void *)nth_argument(event, size)))
		return 0;
	return wanted;
}

/* Copy what an argument points to. */
static __always_inline void put_data(struct story *story, struct syscall_config *asked, u32 i)
{
	u8 argument = asked->data[i].argument, kind = asked->data[i].kind;
	struct event *event = &story->event;
	u32 size, state = DATA_WHOLE;
	void *from;
	long read;

	if (!argument)
		return;
	from = (void *)nth_argument(event, argument - 1);
	if (kind == DATA_STRING) {
		read = bpf_probe_read_user_str(next_piece(story), DATA_MOST, from);
		size = read > 0 ? read - 1 : 0;
		if (size >= DATA_MOST - 1)
			state = DATA_CUT;
	} else {
		size = data_size(event, kind, asked->data[i].size);
		if (size > DATA_MOST - 1) {
			size = DATA_MOST - 1;
			state = DATA_CUT;
		}
		read = bpf_probe_read_user(next_piece(story), bounded(size, DATA_MOST - 1), from);
	}
	if (read < 0) {
		event->data_state[i] = DATA_UNREADABLE;
		return;
	}
	event->data_state[i] = state;
	event->data_length[i] = size;
	story->used += size;
}

static __always_inline void put_exec_name(struct story *story, struct exec_name *name)
{
	u32 size = bpf_probe_read_kernel_str(next_piece(story), DATA_MOST, name->path) - 1;

	size &= DATA_MOST - 1;
	story->event.data_state[0] = size < DATA_MOST - 1 ? DATA_WHOLE : DATA_CUT;
	story->event.data_length[0] = size;
	story->used += size;
}

/*
 * The names on the way from a file to the root of its mount namespace, each with its NUL, the file's
 * own first: as d_path() does it, which is not to be had here.
 */
static __always_inline void put_path(struct story *story, void *mnt, void *dentry)
{
	struct file_facts *file = &story->event.file;
	void *root = NULL, *parent = NULL, *name = NULL, *hashed = NULL;
	u32 end = story->used + FILE_NAMES;
	bool done = false;
	long length;
	int i;

	bpf_probe_read_kernel(&hashed, sizeof(hashed), dentry + DENTRY_HASHED);
	bpf_probe_read_kernel(&parent, sizeof(parent), dentry + DENTRY_PARENT);
	/* A file without a name, but not one that never had any. */
	if (!hashed && parent != dentry)
		file->flags |= FILE_DELETED;
#pragma clang loop unroll(disable)
	for (i = 0; i < PATH_STEPS; i++) {
		bpf_probe_read_kernel(&root, sizeof(root), mnt + MNT_ROOT);
		bpf_probe_read_kernel(&parent, sizeof(parent), dentry + DENTRY_PARENT);
		if (dentry == root) {
			void *mount = mnt - MOUNT_MNT, *above = NULL;

			bpf_probe_read_kernel(&above, sizeof(above), mount + MOUNT_PARENT);
			if (!above || above == mount) {
				done = true;
				break;
			}
			bpf_probe_read_kernel(&dentry, sizeof(dentry), mount + MOUNT_POINT);
			mnt = above + MOUNT_MNT;
			continue;
		}
		if (story->used + NAME_MOST > end)
			break;
		bpf_probe_read_kernel(&name, sizeof(name), dentry + DENTRY_NAME);
		length = bpf_probe_read_kernel_str(next_piece(story), NAME_MOST, name);
		if (length > 0)
			story->used += length;
		if (length <= 0 || parent == dentry) {
			/* The root of something that is mounted nowhere. */
			done = true;
			break;
		}
		dentry = parent;
	}
	if (!done)
		file->flags |= FILE_CUT;
}

static __always_inline void take_inode(struct file_facts *file, void *inode)
{
	void *sb = NULL;

	bpf_probe_read_kernel(&file->ino, sizeof(file->ino), inode + INODE_INO);
	bpf_probe_read_kernel(&file->mode, sizeof(file->mode), inode + INODE_MODE);
	bpf_probe_read_kernel(&sb, sizeof(sb), inode + INODE_SB);
	bpf_probe_read_kernel(&file->dev, sizeof(file->dev), sb + SB_DEV);
	bpf_probe_read_kernel(&file->magic, sizeof(file->magic), sb + SB_MAGIC);
}

#ifdef UNIX_ADDR
/* sun_path of a unix socket's address, with its length in one byte before it. */
static __always_inline void put_unix(struct story *story, void *sk)
{
	void *address = NULL;
	u32 length = 0;

	if (sk)
		bpf_probe_read_kernel(&address, sizeof(address), sk + UNIX_ADDR);
	if (address)
		bpf_probe_read_kernel(&length, sizeof(length), address + UNIX_ADDRESS_LEN);
	length -= sizeof(u16); /* sun_family */
	if (length > 108)
		length = 0;
	*(u8 *)next_piece(story) = length;
	story->used++;
	bpf_probe_read_kernel(next_piece(story), bounded(length, 127),
			      address + UNIX_ADDRESS_NAME + sizeof(u16));
	story->used += length;
}
#endif

static __always_inline void take_socket(struct story *story, void *file_pointer,
					struct config *conf)
{
	struct file_facts *file = &story->event.file;
	void *socket = NULL, *sk = NULL, *other = NULL;
	u16 port = 0;

	bpf_probe_read_kernel(&socket, sizeof(socket), file_pointer + FILE_PRIVATE);
	bpf_probe_read_kernel(&sk, sizeof(sk), socket + SOCKET_SK);
	if (!sk)
		return;
	bpf_probe_read_kernel(&file->family, sizeof(file->family), sk + SK_FAMILY);
	bpf_probe_read_kernel(&file->type, sizeof(file->type), sk + SK_TYPE);
	bpf_probe_read_kernel(&file->protocol, sizeof(file->protocol), sk + SK_PROTOCOL);
	bpf_probe_read_kernel(&file->state, sizeof(file->state), sk + SK_STATE);
	if (file->family == AF_INET || file->family == AF_INET6) {
		bpf_probe_read_kernel(&file->local_port, sizeof(u16), sk + SK_LOCAL_PORT);
		bpf_probe_read_kernel(&port, sizeof(port), sk + SK_REMOTE_PORT);
		file->remote_port = __builtin_bswap16(port);
	}
	if (file->family == AF_INET) {
		bpf_probe_read_kernel(file->local, 4, sk + SK_LOCAL);
		bpf_probe_read_kernel(file->remote, 4, sk + SK_REMOTE);
	}
#ifdef SK_LOCAL6
	if (file->family == AF_INET6) {
		bpf_probe_read_kernel(file->local, 16, sk + SK_LOCAL6);
		bpf_probe_read_kernel(file->remote, 16, sk + SK_REMOTE6);
	}
#endif
#ifdef UNIX_ADDR
	if (file->family == AF_UNIX) {
		put_unix(story, sk);
		bpf_probe_read_kernel(&other, sizeof(other), sk + UNIX_PEER);
		put_unix(story, other);
		bpf_probe_read_kernel(&other, sizeof(other), sk + SK_PEER_PID);
		if (other && conf->pid_ns)
			file->peer_pid = visible_nr(other, conf);
		else if (other)
			bpf_probe_read_kernel(&file->peer_pid, sizeof(u32),
					      other + PID_NUMBERS + UPID_NR);
	}
#endif
}

/* What a file descriptor of the current process is. */
static __always_inline void put_file(struct story *story, void *task, s32 fd, struct config *conf)
{
	struct file_facts *facts = &story->event.file;
	void *files = NULL, *table = NULL, *array = NULL, *file = NULL, *inode = NULL;
	void *mnt = NULL, *dentry = NULL;
	u32 most = 0;

	if (fd == AT_FDCWD) {
		bpf_probe_read_kernel(&files, sizeof(files), task + TASK_FS);
		if (!files)
			return;
		bpf_probe_read_kernel(&mnt, sizeof(mnt), files + FS_PWD_MNT);
		bpf_probe_read_kernel(&dentry, sizeof(dentry), files + FS_PWD_DENTRY);
		bpf_probe_read_kernel(&inode, sizeof(inode), dentry + DENTRY_INODE);
		take_inode(facts, inode);
		return put_path(story, mnt, dentry);
	}
	bpf_probe_read_kernel(&files, sizeof(files), task + TASK_FILES);
	if (!files || fd < 0)
		return;
	bpf_probe_read_kernel(&table, sizeof(table), files + FILES_TABLE);
	bpf_probe_read_kernel(&most, sizeof(most), table + TABLE_MOST);
	if ((u32)fd >= most)
		return;
	bpf_probe_read_kernel(&array, sizeof(array), table + TABLE_ARRAY);
	bpf_probe_read_kernel(&file, sizeof(file), array + (u64)fd * sizeof(void *));
	if (!file)
		return;
	bpf_probe_read_kernel(&inode, sizeof(inode), file + FILE_INODE);
	take_inode(facts, inode);
	if ((facts->mode & S_IFMT) == S_IFSOCK)
		return take_socket(story, file, conf);
	bpf_probe_read_kernel(&mnt, sizeof(mnt), file + FILE_MNT);
	bpf_probe_read_kernel(&dentry, sizeof(dentry), file + FILE_DENTRY);
	put_path(story, mnt, dentry);
}

/* The file of a descriptor, and the names that belong to it. */
static __always_inline void put_descriptor(struct story *story, void *task, s32 fd,
					   struct config *conf)
{
	u32 before = story->used;

	put_file(story, task, fd, conf);
	story->event.path_length = story->used - before;
}

/* Which file descriptor the call is about; below 0, other than AT_FDCWD: none. */
static __always_inline s32 which_fd(struct event *event, struct syscall_config *asked)
{
	/* Whoever has the number when close() returns, it is not the file that was closed. */
	if (!asked->fd || (is_close(event->nr, event->abi) && event->ret != -EBADF))
		return -1;
	if (asked->fd - 1 == FD_CWD)
		return AT_FDCWD;
	if (asked->fd - 1 == FD_RESULT)
		/* Where accept fails, what it was asked to accept from. */
		return event->ret < 0 ? (s32)nth_argument(event, 0) : event->ret;
	return nth_argument(event, asked->fd - 1);
}

/* The stack as frame pointers tell it, and a copy of its end for what has none. */
static __always_inline void put_stack(struct bpf_raw_tracepoint_args *ctx, struct story *story)
{
	u64 from = story->event.sp;
	u32 size = STACK_PIECE - (from & (STACK_PIECE - 1)), first;
	long got;
	int i;

	got = bpf_get_stack(ctx, next_piece(story), STACK_FRAMES * 8, USER_STACK);
	if (got > 0) {
		story->event.frames = got / 8;
		story->used += got;
	}
	first = story->used;
	/* In pieces that end where a page may: all of a piece can be read, or nothing. */
#pragma clang loop unroll(disable)
	for (i = 0; i < STACK_COPY / STACK_PIECE; i++) {
		size = bounded(size, 2 * STACK_PIECE - 1);
		if (size > STACK_PIECE ||
		    bpf_probe_read_user(next_piece(story), size, (void *)from))
			break;
		from += size;
		story->used += size;
		size = STACK_PIECE;
	}
	story->event.stack_length = story->used - first;
}

#endif
