"""Calls that have not returned, at no cost for the threads that make them.

What a thread is doing is known from three places: its slot, which is mapped memory; task storage,
of threads whose slot is another's; and /proc, of threads that were inside a call already when the
probe was attached, so that it has never seen them.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sysdash.filters import Filters
from sysdash.probes import tasks
from sysdash.probes.aside import Aside
from sysdash.probes.descriptors import Descriptors
from sysdash.probes.schedclock import SchedulerClock
from sysdash.probes.sleepers import Sleeper, UserStack, UserStacks
from sysdash.probes.symbols import Stacks
from sysdash.probes.targets import cgroup_root
from sysdash.records import (
    ABI_CODES,
    ABIS,
    COMM_LEN,
    DATA_BYTES,
    DATA_SIZED_AT,
    DATA_STRING,
    EVENT,
    EVENT_AT_LEAST,
    EVENT_NO_ARGUMENTS,
    FD_CWD,
    NO_DETAIL,
    SYSCALLS,
    THREAD,
    Data,
    DataRule,
    Detail,
    Events,
    File,
    Reads,
)

_WANTED = 0  # of struct thread's skip, in sysdash.bpf.c

_EXPLORE_S, _FIRST_EXPLORE_S = 0.02, 0.5
"""CPU time to look for threads at each look; the longer time where their details are wanted and
not every thread has been found once."""

_AGAIN_S, _SOON_S = 5.0, 1.0
"""Threads are looked for anew after this time; the shorter one if somebody is missed."""

_CHECK_S, _THOROUGH_CHECK_S = 0.005, 0.02
"""CPU time to look, each time, whether threads that the probe has not seen are still inside."""

_DETAILS_S = 0.3

_MOST_STACKS = 200
"""Calls whose place in the kernel is looked at again at each look."""

_MOST_TRIES = 4
"""A sleeper whose user stack cannot be had is told without it at this look."""

_SILENCE_S = 30.0
"""A process whose reader was stuck is left alone for so long."""

_MOST_BEFORE, _MOST_STORED = 20_000, 5_000
"""Threads that the probe has not seen, or keeps in task storage, and that are remembered."""

_MOST_DATA = 256
"""Bytes of one piece of memory, a string's NUL among them, as in the probe."""

_MOST_ANCESTORS = 64

_MANY_PROCESSES = 100

_AT_FDCWD = -100  # include/uapi/linux/fcntl.h

_IA32 = ABI_CODES["IA32"]

_ACCEPTS = {(43, 0), (288, 0), (43, 2), (288, 2), (364, 1)}
"""accept and accept4, which wait on one descriptor and return another."""

Stored = Callable[[int], npt.NDArray[np.void] | None]
"""What task storage has of a thread: a record of dtype THREAD and shape (); None for nothing."""

_Ran = tuple[int | None, int | None]

_T = TypeVar("_T")

Thresholds = Callable[[npt.NDArray[np.int32], npt.NDArray[np.uint16]], npt.NDArray[np.uint64]]
"""Nanoseconds from which calls are slow, by their numbers and ABI codes."""


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
class _Before:
    """A thread that has been inside a call since before the probe was there.

    Attributes:
        began_ns: CLOCK_MONOTONIC; the call began then or earlier.
        ran: when the thread ran last on the scheduler's clock and, where that is not told, how
            often it has gone to sleep.
        look: the number of the look at which it was last looked at.
        sleeps: whether it slept in the call then; if not, it ran.
        sleeper: what was told of it, and its user stack.
        tries: how often its user stack could not be had.
    """

    pid: int
    comm: bytes
    inside: tasks.Inside
    began_ns: int
    ran: _Ran
    look: int
    sleeps: bool = True
    sleeper: tuple[Sleeper, UserStack | None] | None = None
    tries: int = 0


class InFlight:
    """Finds the calls that threads are inside of.

    Attributes:
        complete: whether every thread of the machine has been looked for once.
        known: whether the filters let any call through that has not returned: none that ask for
            errors do.
    """

    def __init__(
        self,
        slots: npt.NDArray[np.void],
        stored: Stored,
        thresholds_ns: Thresholds,
        filters: Filters,
        reads: Mapping[tuple[int, int], Reads],
        waiting: Collection[tuple[int, int]] = (),
        stacks: Stacks | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            slots: the probe's, dtype :data:`sysdash.records.THREAD`, contiguous.
            stored: looks up a thread by its ID.
            thresholds_ns: from which duration on a call is wanted.
            filters: which calls are wanted; of threads that the probe has judged, its verdict
                counts.
            reads: by (number, ABI code), what is looked up of a call.
            waiting: (number, ABI code) of the calls whose purpose is to wait, which must not crowd
                out all others.
            stacks: symbolises user stacks; without, none are read.

        Raises:
            TypeError: ``slots`` has another dtype.
        """
        if slots.dtype != THREAD:
            raise TypeError(f"slots must have dtype THREAD, not {slots.dtype}")
        self._slots = slots
        self._words = slots.view("<u8").reshape(len(slots), -1)
        self._stored = stored
        self._thresholds_ns = thresholds_ns
        self._filters = filters
        self._reads = reads
        self._dropped = _dropped(filters)
        self._waits = np.zeros((ABIS, SYSCALLS + 1), dtype=bool)
        for nr, abi in waiting:
            self._waits[abi, nr] = True
        self._root = cgroup_root() if filters.cgroups else None
        # What has not returned has not failed.
        self.known = not (filters.failures or filters.errnos)
        self._threads_can_be_asked = _threads_can_be_asked()
        self._round: Iterator[tuple[int, int]] | None = None
        self._named: set[int] = set()
        self._round_ended_s = self._next_round_s = 0.0
        self.complete = False
        # Where threads are: slot -> (pid, tid), tid -> pid, tid -> what it was inside of.
        self._owners: dict[int, tuple[int, int]] = {}
        self._in_storage: dict[int, int] = {}
        self._before: dict[int, _Before] = {}
        # Calls of threads that there was no room for: in the last round, and in this one.
        self._left_out = self._left_out_so_far = 0
        # Likewise, threads that may not be looked into.
        # Threads that may not be looked into: in the last round, and in this one.
        self._closed: set[int] = set()
        self._closed_so_far: set[int] = set()
        self._looks = 0
        self._told: dict[tuple[int, int, int], _Told] = {}
        self._users = UserStacks(stacks) if stacks else None
        # Process -> when it began, until when it is left alone.
        self._silent: dict[int, tuple[int, float]] = {}
        self._descriptors = Descriptors()
        self._aside = Aside()
        self._clock = SchedulerClock()

    def close(self) -> None:
        """Let go of the mapped memory and of the threads that read details and clocks."""
        self._aside.close()
        self._clock.close()
        vars(self).pop("_slots", None)
        vars(self).pop("_words", None)

    @property
    def unreadable(self) -> int:
        """Threads that may not be looked into, and that the probe has not seen.

        Of those that pass the filters by process, thread and the like; as the last complete round
        found them. A call that one of them is inside of is in no result.
        """
        closed = self._closed if self.complete else self._closed_so_far
        return len(closed - self._in_slots()) if closed else 0

    def look(
        self, now_ns: int, *, details: bool, most: int = 1000
    ) -> tuple[Events, tuple[Detail, ...], int]:
        """The calls that have taken longer than their threshold and have not returned.

        Args:
            now_ns: CLOCK_MONOTONIC.
            details: whether to find out their arguments, files and stacks, too; without, arguments
                are 0 and flagged as unknown.
            most: calls that are returned: the longest ones, those that wait by their nature last.

        Returns:
            The calls, dtype :data:`sysdash.records.EVENT`, the longest first; the details of each,
            none unless they were asked for; and how many calls there are beside those returned.
        """
        if not self.known:
            return np.zeros(0, EVENT), (), 0
        self._looks += 1
        thorough = details and not self.complete
        self._explore(now_ns, _FIRST_EXPLORE_S if thorough else _EXPLORE_S)
        self._check(now_ns, _THOROUGH_CHECK_S if details else _CHECK_S)
        from_slots, unlisted = self._from_slots(now_ns)
        seen = np.concatenate([from_slots, self._from_storage(now_ns)])
        before, unchecked = self._from_before(now_ns)
        # A thread may have gone on, into a call that the probe has seen, since it was checked.
        found = np.concatenate([seen, before[~np.isin(before["tid"], seen["tid"])]])
        unlisted += unchecked + max(self._left_out, self._left_out_so_far)
        found = found[np.argsort(found["duration_ns"], kind="stable")[::-1]]
        waits = self._waits[_entries(found["nr"], found["abi"])]
        events = found[np.sort(np.argsort(waits, kind="stable")[:most])]
        told = self._tell(events) if details else ()
        return events, told, len(found) - len(events) + unlisted

    def sleeping_since_before(self, now_ns: int) -> list[Sleeper]:
        """Threads that have been asleep inside one call since before the probe was attached.

        Of the calls that pass the filters, however long they take. Each thread is looked at anew
        when there is time for it, until then it is taken to sleep on; :attr:`complete` tells
        whether all have been found. It is not told of a thread before its stacks are known, nor
        while its process blocks its readers.

        Args:
            now_ns: CLOCK_MONOTONIC.

        Returns:
            For the same call the same object each time.
        """
        if not self.known:
            return []
        self._looks += 1
        self._explore(now_ns, _EXPLORE_S if self.complete else _FIRST_EXPLORE_S)
        self._check(now_ns, _THOROUGH_CHECK_S)
        asleep = [
            (tid, each)
            for tid, each in self._before.items()
            if each.sleeps and not self._is_dropped(each.inside)
        ]
        silent = self._left_alone()
        new = [(tid, each) for tid, each in asleep if not each.sleeper and each.pid not in silent]
        jobs = [functools.partial(_sleeper, tid, each, self._users) for tid, each in new]
        for (_, each), result in zip(
            new, self._ask(jobs, [each.pid for _, each in new]), strict=False
        ):
            each.sleeper = result
        found = [each.sleeper for _, each in asleep if each.sleeper]
        for _, stack in found:
            self._keep(stack)
        return [sleeper for sleeper, _ in found]

    # --- Threads that the probe has seen ---

    def _from_slots(self, now_ns: int) -> tuple[Events, int]:
        """Calls of threads that have a slot; and how many there are that cannot be told whose."""
        starts = self._words[:, 1].copy()
        at = np.flatnonzero((starts != 0) & (starts <= now_ns))
        records = self._slots[at]
        # A thread may have gone on while its record was copied.
        same = (self._words[at, 1] == starts[at]) & (records["start_ns"] == starts[at])
        same &= (records["regs"] != 0) & (records["skip"] == _WANTED)
        at, records = at[same], records[same]
        wanted = self._wanted(records["nr"], records["abi"], now_ns - records["start_ns"])
        at, records = at[wanted], records[wanted]
        events = _events(records, now_ns)
        kept = np.ones(len(events), dtype=bool)
        unnamed = 0
        for i in np.flatnonzero(records["epoch"] == 0).tolist():
            owner = self._owner(int(at[i]), records[i])
            if owner is None:
                unnamed += self._filters == _ALL
                kept[i] = False
            elif self._passes(*owner):
                event = events[i]
                event["pid"], event["tid"], event["comm"] = *owner, tasks.comm(owner[0])
            else:
                kept[i] = False
        return events[kept], unnamed

    def _owner(self, slot: int, record: np.void) -> tuple[int, int] | None:
        """Process and thread whose slot it is, though the probe has not asked yet who they are."""
        # What is written there may be the one who had the slot before.
        for pid, tid in filter(None, (self._owners.get(slot), _who(record))):
            found = self._stored(tid) if tid else None
            if found is not None and int(found["slot"]) == slot + 1:
                return pid, tid
        self._next_round_s = min(self._next_round_s, self._round_ended_s + _SOON_S)
        return None

    def _from_storage(self, now_ns: int) -> Events:
        """Calls of threads that have no slot."""
        records = np.zeros(len(self._in_storage), THREAD)
        count = 0
        for tid, pid in list(self._in_storage.items()):
            found = self._stored(tid)
            if found is None or found["slot"]:
                del self._in_storage[tid]
                if found is not None:
                    self._owners[int(found["slot"]) - 1] = (pid, tid)
                continue
            inside = 0 < int(found["start_ns"]) <= now_ns and found["skip"] == _WANTED
            if inside and (found["epoch"] or self._passes(pid, tid)):
                records[count] = found
                who = records[count]["who"]
                who["pid"], who["tid"] = pid, tid
                if not found["epoch"]:
                    who["comm"] = tasks.comm(pid)
                count += 1
        records = records[:count]
        events = _events(records, now_ns)
        return events[self._wanted(events["nr"], events["abi"], events["duration_ns"])]

    # --- Threads that it has not seen ---

    def _explore(self, now_ns: int, seconds: float) -> None:
        """Go on looking for threads that cannot be seen in the slots."""
        end = time.thread_time() + seconds
        if self._round is None:
            if time.monotonic() < self._next_round_s:
                return
            self._round = self._threads()
            self._named = self._in_slots()
            self._owners.clear()
            self._left_out_so_far = 0
            self._closed_so_far = set()
            self._clock.forget()
        tids = self._filters.tids
        for pid, tid in self._round:
            if tids and tid not in tids:
                continue
            if tid not in self._named and tid not in self._in_storage and tid not in self._before:
                self._meet(pid, tid, now_ns)
            if time.thread_time() >= end:
                return
        self._round = None
        self._left_out = self._left_out_so_far
        self._closed = self._closed_so_far
        self._round_ended_s = time.monotonic()
        self._next_round_s = self._round_ended_s + _AGAIN_S
        self.complete = True

    def _threads(self) -> Iterator[tuple[int, int]]:
        if self._filters.pids:
            return ((pid, tid) for pid in self._filters.pids for tid in tasks.thread_ids(pid))
        return tasks.threads()

    def _in_slots(self) -> set[int]:
        """The threads whose slots say so."""
        owned = self._slots[(self._words[:, 0] != 0) & (self._slots["epoch"] != 0)]
        return set(owned["who"]["tid"].tolist())

    def _meet(self, pid: int, tid: int, now_ns: int) -> None:
        """Find out where a thread is to be looked for from now on."""
        if self._seen(pid, tid, now_ns):
            return
        inside = tasks.inside(pid, tid, ia32=tasks.is_ia32(pid))
        # The probe follows a command from its beginning.
        if self._filters.command is not None or not self._passes(pid, tid):
            return
        if inside is None:
            if len(self._closed_so_far) < _MOST_BEFORE and tasks.is_closed(pid, tid):
                self._closed_so_far.add(tid)
            return
        ran = _ran(pid, tid)
        began_ns = self._began_ns(pid, tid, ran, now_ns)
        # In this order: it may have gone on meanwhile, into a call that the probe has seen.
        if self._seen(pid, tid, now_ns):
            return
        if len(self._before) < _MOST_BEFORE:
            name = tasks.comm(pid)
            self._before[tid] = _Before(pid, name, inside, began_ns, ran, self._looks)
        else:
            self._leave_out(inside.nr, inside.abi, now_ns - began_ns)

    def _began_ns(self, pid: int, tid: int, ran: _Ran, now_ns: int) -> int:
        """When the call that a thread sleeps in began at the latest: when it ran last."""
        late_ns = None if ran[0] is None else self._clock.late_ns(tasks.cpu(pid, tid))
        if ran[0] is None or late_ns is None:
            return now_ns
        return max(min(ran[0] + late_ns, now_ns), 0)

    def _seen(self, pid: int, tid: int, now_ns: int) -> bool:
        """Whether the probe has seen a thread; if so, remember where it keeps it."""
        found = self._stored(tid)
        if found is None:
            return False
        if found["slot"]:
            self._owners[int(found["slot"]) - 1] = (pid, tid)
        elif len(self._in_storage) < _MOST_STORED:
            self._in_storage[tid] = pid
        elif 0 < int(found["start_ns"]) <= now_ns and found["skip"] == _WANTED:
            nr, abi = int(found["nr"]), int(found["abi"])
            self._leave_out(nr, abi, now_ns - int(found["start_ns"]))
        return True

    def _leave_out(self, nr: int, abi: int, duration_ns: int) -> None:
        """Count a call of a thread that there is no room for."""
        call = np.array([nr], "<i4"), np.array([abi], "<u2"), np.array([duration_ns], "<u8")
        self._left_out_so_far += bool(self._wanted(*call)[0])

    def _check(self, now_ns: int, seconds: float) -> None:
        """Forget threads that have left the call they were met in, if there is time to ask."""
        if not self._before:
            return
        end = time.thread_time() + seconds
        pids = {each.pid for each in self._before.values()}
        # To list all takes longer than to look for a few.
        many = len(pids) > _MANY_PROCESSES
        alive = tasks.process_ids() if many else {pid for pid in pids if tasks.exists(pid, pid)}
        in_slots = self._in_slots()
        self._before = {
            tid: each
            for tid, each in self._before.items()
            if each.pid in alive and tid not in in_slots
        }
        # Those that have not been asked for longest come first.
        for tid in [tid for tid, each in self._before.items() if each.look != self._looks]:
            before = self._before.pop(tid)
            if self._still(tid, before, now_ns):
                before.look = self._looks
                self._before[tid] = before
            if time.thread_time() >= end:
                return

    def _still(self, tid: int, before: _Before, now_ns: int) -> bool:
        """Whether a thread is, as far as can be told, inside of the call it was met in."""
        pid = before.pid
        inside = tasks.inside(pid, tid, ia32=before.inside.abi == _IA32)
        # In this order: what it is inside of may be a call that the probe has seen.
        if self._seen(pid, tid, now_ns):
            return False
        if inside is None:
            # It may run for a moment in the kernel. If it is still in the call, it is met anew.
            slept, before.sleeps = before.sleeps, False
            return slept and tasks.exists(pid, tid)
        if inside != before.inside:
            return False
        before.sleeps = True
        if tid != pid and not self._threads_can_be_asked:
            # It may have made the same call again and again; it has not if it never ran.
            ran = _ran(pid, tid)
            if ran == (None, None) or ran != before.ran:
                before.ran, before.began_ns = ran, self._began_ns(pid, tid, ran, now_ns)
        return True

    def _from_before(self, now_ns: int) -> tuple[Events, int]:
        """Calls of threads that slept in them at this look; how many there was no time to check."""
        known = [(tid, each) for tid, each in self._before.items() if each.sleeps]
        events = np.zeros(len(known), EVENT)
        if known:
            began_ns = np.array([each.began_ns for _, each in known], dtype="<u8")
            events["end_ns"], events["duration_ns"] = now_ns, now_ns - np.minimum(began_ns, now_ns)
            events["tid"] = [tid for tid, _ in known]
            events["pid"] = [each.pid for _, each in known]
            events["nr"] = [each.inside.nr for _, each in known]
            events["abi"] = [each.inside.abi for _, each in known]
            events["comm"] = [each.comm[: COMM_LEN - 1] for _, each in known]
            events["flags"] = EVENT_AT_LEAST | EVENT_NO_ARGUMENTS
        wanted = self._wanted(events["nr"], events["abi"], events["duration_ns"])
        checked = np.array([each.look == self._looks for _, each in known], dtype=bool)
        return events[wanted & checked], int((wanted & ~checked).sum())

    # --- Which calls are wanted ---

    def _wanted(
        self,
        nr: npt.NDArray[np.int32],
        abi: npt.NDArray[np.uint16],
        duration_ns: npt.NDArray[np.uint64],
    ) -> npt.NDArray[np.bool_]:
        """Whether calls have taken long enough and are of syscalls that pass the filters."""
        dropped = self._dropped[_entries(nr, abi)]
        wanted: npt.NDArray[np.bool_] = ~dropped & (duration_ns >= self._thresholds_ns(nr, abi))
        return wanted

    def _is_dropped(self, inside: tasks.Inside) -> bool:
        known = 0 <= inside.nr < SYSCALLS
        return bool(self._dropped[inside.abi, inside.nr if known else SYSCALLS])

    def _passes(self, pid: int, tid: int) -> bool:
        """Whether a thread that the probe has not judged passes the filters, as it would judge."""
        wanted = self._filters
        if pid == os.getpid() and not wanted.include_self:
            return False
        if wanted.command is not None and not _descends(pid, wanted.command):
            return False
        return (
            (not wanted.pids or pid in wanted.pids)
            and (not wanted.tids or tid in wanted.tids)
            and (not wanted.ppids or tasks.parent(pid) in wanted.ppids)
            and (not wanted.comms or self._has_name(pid, tid))
            and (not wanted.cgroups or self._in_cgroup(pid, tid))
        )

    def _has_name(self, pid: int, tid: int) -> bool:
        wanted = {os.fsencode(name) for name in self._filters.comms}
        return not wanted.isdisjoint((tasks.comm(pid), tasks.comm(pid, tid)))

    def _in_cgroup(self, pid: int, tid: int) -> bool:
        below = os.fsdecode(tasks.cgroup(pid, tid)).strip("/")
        folder = f"{self._root}/{below}/"
        return any(folder.startswith(f"{path}/") for path in self._filters.cgroups)

    # --- Details ---

    def _tell(self, events: Events) -> tuple[Detail, ...]:
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


_ALL = Filters()
_NOTHING = Reads()


def _entries(
    nr: npt.NDArray[np.int32], abi: npt.NDArray[np.uint16]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where calls are in an array by ABI code and number whose last column is for all others."""
    odd = (nr < 0) | (nr >= SYSCALLS) | (abi >= ABIS)
    return np.where(odd, 0, abi).astype(np.int64), np.where(odd, SYSCALLS, nr).astype(np.int64)


def _dropped(filters: Filters) -> npt.NDArray[np.bool_]:
    """Which calls the filters leave out, by ABI code and number; the last column is all others."""
    dropped = np.full((ABIS, SYSCALLS + 1), bool(filters.syscalls))
    for keep, numbers in ((False, filters.syscalls), (True, filters.not_syscalls)):
        for nr, abi in numbers:
            dropped[abi, nr] = keep
    return dropped


def _threads_can_be_asked() -> bool:
    """Whether task storage can be read of any thread, not only of a process's first (Linux 6.9)."""
    try:
        os.close(os.pidfd_open(threading.get_native_id(), os.O_EXCL))  # PIDFD_THREAD
    except OSError:
        return False
    return True


def _who(record: np.void) -> tuple[int, int]:
    return int(record["who"]["pid"]), int(record["who"]["tid"])


def _descends(pid: int, ancestor: int) -> bool:
    for _ in range(_MOST_ANCESTORS):
        if pid == ancestor:
            return True
        if pid <= 1:
            break
        pid = tasks.parent(pid)
    return False


def _events(records: npt.NDArray[np.void], now_ns: int) -> Events:
    """Events of the calls that threads are inside of, without arguments."""
    events = np.zeros(len(records), EVENT)
    events["end_ns"] = now_ns
    events["duration_ns"] = now_ns - records["start_ns"]
    for name in ("nr", "abi"):
        events[name] = records[name]
    for name in ("pid", "tid", "comm"):
        events[name] = records["who"][name]
    events["flags"] = EVENT_NO_ARGUMENTS
    return events


def _place(event: np.void) -> tuple[int, int, int, int]:
    return int(event["pid"]), int(event["tid"]), int(event["nr"]), int(event["abi"])


def _ran(pid: int, tid: int) -> _Ran:
    """What changes when a thread goes on; None where the kernel does not tell."""
    ran_ns = tasks.last_ran_ns(pid, tid)
    return ran_ns, tasks.switches(pid, tid) if ran_ns is None else None


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


def _sleeper(
    tid: int, before: _Before, users: UserStacks | None
) -> tuple[Sleeper, UserStack | None] | None:
    """What is known of a thread; None if it is inside of its call no more, or more comes soon."""
    pid, inside = before.pid, before.inside
    kernel, state = tasks.kernel_stack(pid, tid), tasks.state(pid, tid)
    user = users.take(pid, tid, inside, state.program) if users and state else None
    if not _is_inside(pid, tid, inside):
        return None
    if users and not user:
        before.tries += 1
        if before.tries < _MOST_TRIES:
            return None
    return Sleeper(
        pid=pid,
        tid=tid,
        comm=before.comm,
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
