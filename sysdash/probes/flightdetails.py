"""What calls are about that have not returned: arguments, memory, files, stacks.

It is asked of /proc, whose files can hold up who reads them for ever: so it is done aside, in a
bounded time, and processes that hold up their readers are left alone for a while.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from sysdash.probes import tasks
from sysdash.probes.aside import Aside
from sysdash.probes.descriptors import Descriptors
from sysdash.probes.sleepers import Sleeper, UserStack, UserStacks
from sysdash.probes.symbols import Stacks
from sysdash.records import (
    ABI_CODES,
    DATA_BYTES,
    DATA_SIZED_AT,
    DATA_STRING,
    EVENT_NO_ARGUMENTS,
    FD_CWD,
    NO_DETAIL,
    Data,
    DataRule,
    Detail,
    Events,
    File,
    Reads,
)

_DETAILS_S = 0.3

_MOST_STACKS = 200
"""Calls whose place in the kernel is looked at again at each look."""

_MOST_TRIES = 4
"""A sleeper whose user stack cannot be had is told without it at this look."""

_SILENCE_S = 30.0
"""A process whose reader was stuck is left alone for so long."""

_MOST_DATA = 256
"""Bytes of one piece of memory, a string's NUL among them, as in the probe."""

_IA32 = ABI_CODES["IA32"]

_AT_FDCWD = -100  # include/uapi/linux/fcntl.h

_ACCEPTS = {(43, 0), (288, 0), (43, 2), (288, 2), (364, 1)}
"""accept and accept4, which wait on one descriptor and return another."""

_NOTHING = Reads()

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Told:
    """What has been found out about a call.

    Attributes:
        user: the user stack, which is the same for as long as the call is.
    """

    inside: tasks.Inside
    detail: Detail
    user: UserStack | None = None


@dataclass(slots=True)
class Asleep:
    """A thread that has been inside a call since before the probe was there.

    Attributes:
        sleeper: what was told of it, and its user stack.
        tries: how often its user stack could not be had.
    """

    pid: int
    tid: int
    comm: bytes
    inside: tasks.Inside
    sleeper: tuple[Sleeper, UserStack | None] | None = field(default=None, kw_only=True)
    tries: int = field(default=0, kw_only=True)


class FlightDetails:
    """Finds out what calls are about while their threads are inside of them.

    What was found once is remembered for as long as the call is asked for.
    """

    def __init__(self, reads: Mapping[tuple[int, int], Reads], stacks: Stacks | None) -> None:
        """Know nothing yet.

        Args:
            reads: by (number, ABI code), what is looked up of a call.
            stacks: symbolises user stacks; without, none are read.
        """
        self._reads = reads
        self._told: dict[tuple[int, int, int], _Told] = {}
        self._users = UserStacks(stacks) if stacks else None
        # Process -> when it began, until when it is left alone.
        self._silent: dict[int, tuple[int, float]] = {}
        self._descriptors = Descriptors()
        self._aside = Aside()

    def close(self) -> None:
        """Let go of the thread that reads."""
        self._aside.close()

    def tell(self, events: Events) -> tuple[Detail, ...]:
        """Details of calls; writes their arguments into the events."""
        # The file that a call was given is best known soon after its beginning.
        keys = [
            (int(event["tid"]), int(event["nr"]), int(event["end_ns"] - event["duration_ns"]))
            for event in events
        ]
        self._told = {key: self._told[key] for key in keys if key in self._told}
        self._descriptors.forget()
        heard = ~np.isin(events["pid"], self._left_alone())
        places = np.flatnonzero(heard).tolist()
        new = [i for i in places if keys[i] not in self._told]
        # Where in the kernel they wait can change. New ones come first, if time is short.
        again = [i for i in places[:_MOST_STACKS] if keys[i] in self._told]
        jobs: list[Callable[[], _Told | None]] = [
            functools.partial(self._story, *_place(events[i])) for i in new
        ]
        jobs += [
            functools.partial(_with_stack, self._told[keys[i]], *_place(events[i])[:2], self._users)
            for i in again
        ]
        results = self._ask(jobs, events["pid"][new + again].tolist())
        for i, result in zip(new + again, results, strict=False):
            if result is not None:
                self._told[keys[i]] = result
        for known in self._told.values():
            self._keep(known.user)
        details = []
        for event, key in zip(events, keys, strict=True):
            told = self._told.get(key)
            if told is None:
                event["flags"] |= EVENT_NO_ARGUMENTS
            else:
                event["args"] = told.inside.args
                event["flags"] &= ~np.uint32(EVENT_NO_ARGUMENTS)
            details.append(told.detail if told else NO_DETAIL)
        return tuple(details)

    def sleepers(self, asleep: Sequence[Asleep]) -> list[Sleeper]:
        """What is known of threads, of those that it is known of by now."""
        silent = self._left_alone()
        new = [each for each in asleep if not each.sleeper and each.pid not in silent]
        jobs = [functools.partial(_sleeper, each, self._users) for each in new]
        results = self._ask(jobs, [each.pid for each in new])
        for each, result in zip(new, results, strict=False):
            each.sleeper = result
        found = [each.sleeper for each in asleep if each.sleeper]
        for _, stack in found:
            self._keep(stack)
        return [sleeper for sleeper, _ in found]

    def _ask(self, jobs: Sequence[Callable[[], _T | None]], pids: Sequence[int]) -> list[_T | None]:
        """Results of jobs that look into processes, of as many as there is time for."""
        results, stuck = self._aside.run(jobs, _DETAILS_S)
        if stuck is not None:
            # Whoever blocks its readers is left alone.
            pid = pids[stuck]
            self._silent[pid] = tasks.start_time(pid), time.monotonic() + _SILENCE_S
        return results

    def _keep(self, stack: UserStack | None) -> None:
        if self._users and stack:
            self._users.keep(stack)

    def _left_alone(self) -> list[int]:
        """The processes that are not to be looked into for now."""
        now_s = time.monotonic()
        self._silent = {
            pid: (start, until_s)
            for pid, (start, until_s) in self._silent.items()
            if now_s < until_s and tasks.start_time(pid) == start
        }
        return list(self._silent)

    def _story(self, pid: int, tid: int, nr: int, abi: int) -> _Told | None:
        """Arguments and details of a call; None if the thread runs, or is inside of it no more."""
        inside = tasks.inside(pid, tid, ia32=abi == _IA32)
        if inside is None or (inside.nr, inside.abi) != (nr, abi):
            return None
        reads = self._reads.get((nr, abi), _NOTHING)
        waits_on = 0 if (nr, abi) in _ACCEPTS else reads.fd
        pieces = [_data(pid, tid, inside.args, rule) for rule in reads.data[:2]]
        data = (*pieces, None, None)
        file = self._file(pid, tid, inside.args, waits_on)
        told = _Told(inside, Detail(data=(data[0], data[1]), file=file))
        return _with_stack(told, pid, tid, self._users)

    def _file(self, pid: int, tid: int, args: tuple[int, ...], fd: int | None) -> File | None:
        if fd == FD_CWD:
            return self._descriptors.folder(pid, tid)
        if fd is None or fd >= len(args):
            return None
        number = args[fd] & 0xFFFF_FFFF
        if number == _AT_FDCWD & 0xFFFF_FFFF:
            return self._descriptors.folder(pid, tid)
        return self._descriptors.file(pid, tid, number) if number < 1 << 31 else None


def _place(event: np.void) -> tuple[int, int, int, int]:
    return int(event["pid"]), int(event["tid"]), int(event["nr"]), int(event["abi"])


def _with_stack(told: _Told, pid: int, tid: int, users: UserStacks | None) -> _Told:
    """The same with where the thread is now, if it is still inside of the call."""
    # Now, though it may never be asked for: to wait for it is for this thread only.
    kernel = tasks.kernel_stack(pid, tid)
    user = told.user
    if user is None and users is not None:
        state = tasks.state(pid, tid)
        user = users.take(pid, tid, told.inside, state.program) if state else None
    # Those of another call are not its stacks.
    if not (kernel or user) or not _is_inside(pid, tid, told.inside):
        return told
    stack = functools.partial(_frames, kernel, user)
    return _Told(told.inside, replace(told.detail, stack=stack, kernel=kernel), user)


def _is_inside(pid: int, tid: int, inside: tasks.Inside) -> bool:
    return tasks.inside(pid, tid, ia32=inside.abi == _IA32) == inside


def _frames(kernel: tuple[str, ...], user: UserStack | None) -> tuple[str, ...]:
    return (*kernel, *(user.frames() if user else ()))


def _sleeper(asleep: Asleep, users: UserStacks | None) -> tuple[Sleeper, UserStack | None] | None:
    """What is known of a thread; None if it is inside of its call no more, or more comes soon."""
    pid, tid, inside = asleep.pid, asleep.tid, asleep.inside
    kernel, state = tasks.kernel_stack(pid, tid), tasks.state(pid, tid)
    user = users.take(pid, tid, inside, state.program) if users and state else None
    if not _is_inside(pid, tid, inside):
        return None
    if users and not user:
        asleep.tries += 1
        if asleep.tries < _MOST_TRIES:
            return None
    return Sleeper(
        pid=pid,
        tid=tid,
        comm=asleep.comm,
        nr=inside.nr,
        abi=inside.abi,
        state=state.letter if state else "",
        kernel=kernel,
        user=functools.partial(_frames, (), user),
    ), user


def _data(pid: int, tid: int, args: tuple[int, ...], rule: DataRule) -> Data | None:
    """What an argument points to; None if there is nothing to be read."""
    try:
        with open(f"/proc/{pid}/task/{tid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
            wanted = _size(memory.fileno(), args, rule)
            content = os.pread(memory.fileno(), min(wanted, _MOST_DATA), args[rule.argument])
    except (OSError, OverflowError, IndexError):  # ended, not ours, no such address
        return None
    if rule.kind == DATA_STRING:
        text, end, _ = content.partition(b"\0")
        return Data(text[: _MOST_DATA - 1], cut=not end)
    return Data(content[: _MOST_DATA - 1], cut=wanted > min(len(content), _MOST_DATA - 1))


def _size(memory: int, args: tuple[int, ...], rule: DataRule) -> int:
    if rule.kind == DATA_STRING:
        return _MOST_DATA
    if rule.kind == DATA_BYTES:
        return rule.size
    if rule.kind == DATA_SIZED_AT:
        return int.from_bytes(os.pread(memory, 4, args[rule.size]), "little")
    return args[rule.size] & 0xFFFF_FFFF
