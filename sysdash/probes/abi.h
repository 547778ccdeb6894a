/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between machines and between the ABIs of one: which table a number belongs to, where
 * arguments lie, which calls do not return as others do. TASK_STATUS is defined where the CPU has
 * compat calls.
 */
#ifndef SYSDASH_ABI_H
#define SYSDASH_ABI_H

#include "sysdash.h"

#define DATA_MOST 256 /* bytes of one piece of a process's memory, with a string's NUL */

/* The path that exec was given: in the new program's memory it is nowhere. */
struct exec_name {
	char path[DATA_MOST];
};

#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h */
#define X32_BIT 0x40000000

static __always_inline u16 current_abi(struct task_struct *task, u32 nr)
{
#ifdef TASK_STATUS
	/* A typed pointer: the verifier checks this load and the kernel makes it safe. */
	if (*(volatile u32 *)((char *)task + TASK_STATUS) & TS_COMPAT)
		return ABI_IA32;
	/* A negative number has the bit too, and is no call of any ABI. */
	if (nr >> 30 == 1)
		return ABI_X32;
#endif
	return ABI_NATIVE;
}

/* The number of the current call in its table, from the one in its registers; returns the table. */
static __always_inline u16 split_number(struct task_struct *task, u32 number, s32 *nr)
{
	u16 abi = current_abi(task, number);

	*nr = abi == ABI_X32 ? number & ~X32_BIT : number;
	return abi;
}

static __always_inline bool is_sigreturn(s32 nr, u16 abi)
{
#ifdef TASK_STATUS
	if (abi == ABI_IA32)
		return nr == 119 || nr == 173;
	return nr == (abi == ABI_X32 ? 513 : 15);
#else
	return nr == 139;
#endif
}

/* The call that restores the registers from before a signal, under the name that programs use. */
static __always_inline s32 sigreturn_nr(u16 abi)
{
#ifdef TASK_STATUS
	if (abi == ABI_IA32)
		return 173;
	return abi == ABI_X32 ? 513 : 15;
#else
	return 139;
#endif
}

/* Calls that never return: exit and exit_group. */
static __always_inline bool is_exit(s32 nr, u16 abi)
{
#ifdef TASK_STATUS
	if (abi == ABI_IA32)
		return nr == 1 || nr == 252;
	return nr == 60 || nr == 231;
#else
	return nr == 93 || nr == 94;
#endif
}

/* Calls that return 0 in a process that never entered them. */
static __always_inline bool is_fork(s32 nr, u16 abi)
{
	if (nr == 435) /* clone3 has the same number everywhere */
		return true;
#ifdef TASK_STATUS
	if (abi == ABI_IA32)
		return nr == 2 || nr == 120 || nr == 190;
	return nr >= 56 && nr <= 58;
#else
	return nr == 220;
#endif
}

/* execve and execveat, which leave the arguments of another program behind. */
static __always_inline bool is_exec(s32 nr, u16 abi)
{
#ifdef TASK_STATUS
	if (abi == ABI_IA32)
		return nr == 11 || nr == 358;
	if (abi == ABI_X32)
		return nr == 520 || nr == 545;
	return nr == 59 || nr == 322;
#else
	return nr == 221 || nr == 281;
#endif
}

static __always_inline bool is_close(s32 nr, u16 abi)
{
#ifdef TASK_STATUS
	return nr == (abi == ABI_IA32 ? 6 : 3);
#else
	return nr == 57;
#endif
}

/* Where an argument lies in the saved registers, which still hold it when the call returns. */
static __always_inline u32 register_of(u32 index, u16 abi)
{
	bool ia32 = abi == ABI_IA32;

	switch (index) {
	case 0:
		return ia32 ? IA32_ARG0 : REGS_ARG0;
	case 1:
		return ia32 ? IA32_ARG1 : REGS_ARG1;
	case 2:
		return ia32 ? IA32_ARG2 : REGS_ARG2;
	case 3:
		return ia32 ? IA32_ARG3 : REGS_ARG3;
	case 4:
		return ia32 ? IA32_ARG4 : REGS_ARG4;
	default:
		return ia32 ? IA32_ARG5 : REGS_ARG5;
	}
}

static __always_inline u64 argument(void *regs, u32 offset, u16 abi)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), regs + offset);
	return abi == ABI_IA32 ? (u32)value : value;
}

#endif
