"""Calls that have not returned, at no cost for the threads that make them.

What a thread is doing is known from three places: its slot, which is mapped memory; task storage,
of threads whose slot is another's; and /proc, of threads that were inside a call already when the
probe was attached, so that it has never seen them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from sysdash.filters import Filters
from sysdash.probes import tasks
from sysdash.probes.flightdetails import Asleep, FlightDetails
from sysdash.probes.schedclock import SchedulerClock
from sysdash.probes.sleepers import Sleeper
from sysdash.probes.symbols import Stacks
from sysdash.probes.targets import cgroup_root
from sysdash.records import (
    ABI_CODES,
    ABIS,
    COMM_LEN,
    EVENT,
    EVENT_AT_LEAST,
    EVENT_NO_ARGUMENTS,
    SYSCALLS,
    THREAD,
    Detail,
    Events,
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

_MOST_BEFORE, _MOST_STORED = 20_000, 5_000
"""Threads that the probe has not seen, or keeps in task storage, and that are remembered."""

_MOST_ANCESTORS = 64

_MANY_PROCESSES = 100

_IA32 = ABI_CODES["IA32"]

Stored = Callable[[int], npt.NDArray[np.void] | None]
"""What task storage has of a thread: a record of dtype THREAD and shape (); None for nothing."""

_Ran = tuple[int | None, int | None]

Thresholds = Callable[[npt.NDArray[np.int32], npt.NDArray[np.uint16]], npt.NDArray[np.uint64]]
"""Nanoseconds from which calls are slow, by their numbers and ABI codes."""


# A slot without the rows that its thread remembers, which are four fifths of it.
_HEAD = np.dtype([(name, THREAD[name]) for name in THREAD.names or () if name != "cache"])


@dataclass(slots=True)
class _Before(Asleep):
    """A thread that has been inside a call since before the probe was there.

    Attributes:
        began_ns: CLOCK_MONOTONIC; the call began then or earlier.
        ran: when the thread ran last on the scheduler's clock and, where that is not told, how
            often it has gone to sleep.
        look: the number of the look at which it was last looked at.
        sleeps: whether it slept in the call then; if not, it ran.
    """

    began_ns: int
    ran: _Ran
    look: int
    sleeps: bool = True


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls in flight by column, for a record of each is made only where it is listed.

    Attributes:
        at_least: whether the call may have begun earlier than its duration says.
    """

    duration_ns: npt.NDArray[np.uint64]
    nr: npt.NDArray[np.int32]
    abi: npt.NDArray[np.uint16]
    pid: npt.NDArray[np.uint32]
    tid: npt.NDArray[np.uint32]
    comm: npt.NDArray[np.bytes_]
    at_least: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.duration_ns)

    def take(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> _Calls:
        """Those of a mask, or those at some places, in their order."""
        return _Calls(*(getattr(self, column.name)[which] for column in fields(_Calls)))

    def events(self, now_ns: int) -> Events:
        """Their records, without arguments."""
        events = np.zeros(len(self), EVENT)
        events["end_ns"] = now_ns
        for name in ("duration_ns", "nr", "abi", "pid", "tid", "comm"):
            events[name] = getattr(self, name)
        events["flags"] = EVENT_NO_ARGUMENTS
        events["flags"][self.at_least] |= EVENT_AT_LEAST
        return events


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
        # Threads that may not be looked into: in the last round, and in this one.
        self._closed: set[int] = set()
        self._closed_so_far: set[int] = set()
        self._looks = 0
        self._details = FlightDetails(reads, stacks)
        self._clock = SchedulerClock()

    def close(self) -> None:
        """Let go of the mapped memory and of the threads that read details and clocks."""
        self._details.close()
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
        seen = _joined([from_slots, self._from_storage(now_ns)])
        before, unchecked = self._from_before(now_ns)
        # A thread may have gone on, into a call that the probe has seen, since it was checked.
        found = _joined([seen, before.take(~np.isin(before.tid, seen.tid))])
        unlisted += unchecked + max(self._left_out, self._left_out_so_far)
        events = found.take(self._chosen(found, most)).events(now_ns)
        told = self._details.tell(events) if details else ()
        return events, told, len(found) - len(events) + unlisted

    def _chosen(self, calls: _Calls, most: int) -> npt.NDArray[np.int64]:
        """Where the calls are that are listed, the longest first."""
        longest = np.argsort(calls.duration_ns, kind="stable")[::-1]
        if len(longest) <= most:
            return longest
        waits = self._waits[_entries(calls.nr, calls.abi)][longest]
        return longest[np.sort(np.argsort(waits, kind="stable")[:most])]

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
        return self._details.sleepers(
            [each for each in self._before.values() if each.sleeps and not self._is_dropped(each)]
        )

    # --- Threads that the probe has seen ---

    def _from_slots(self, now_ns: int) -> tuple[_Calls, int]:
        """Calls of threads that have a slot; and how many there are that cannot be told whose."""
        starts = self._words[:, 1].copy()
        at = np.flatnonzero((starts != 0) & (starts <= now_ns))
        words = self._words[:, : _HEAD.itemsize // 8][at]
        records = _heads(words)
        # A thread may have gone on while its record was copied.
        same = (self._words[at, 1] == starts[at]) & (records["start_ns"] == starts[at])
        same &= (records["regs"] != 0) & (records["skip"] == _WANTED)
        at, words = at[same], words[same]
        records = _heads(words)
        wanted = self._wanted(records["nr"], records["abi"], now_ns - records["start_ns"])
        at, records = at[wanted], _heads(words[wanted])
        calls = _calls(records, now_ns)
        unjudged = np.flatnonzero(records["epoch"] == 0).tolist()
        if not unjudged:
            return calls, 0
        kept = np.ones(len(calls), dtype=bool)
        unnamed = 0
        for i in unjudged:
            owner = self._owner(int(at[i]), records[i])
            if owner is None:
                unnamed += self._filters == _ALL
                kept[i] = False
            elif self._passes(*owner):
                (calls.pid[i], calls.tid[i]), calls.comm[i] = owner, tasks.comm(owner[0])
            else:
                kept[i] = False
        return calls.take(kept), unnamed

    def _owner(self, slot: int, record: np.void) -> tuple[int, int] | None:
        """Process and thread whose slot it is, though the probe has not asked yet who they are."""
        # What is written there may be the one who had the slot before.
        for pid, tid in filter(None, (self._owners.get(slot), _who(record))):
            found = self._stored(tid) if tid else None
            if found is not None and int(found["slot"]) == slot + 1:
                return pid, tid
        self._next_round_s = min(self._next_round_s, self._round_ended_s + _SOON_S)
        return None

    def _from_storage(self, now_ns: int) -> _Calls:
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
        calls = _calls(records[:count], now_ns)
        return calls.take(self._wanted(calls.nr, calls.abi, calls.duration_ns))

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
        for pid in self._filters.pids or tasks.process_ids():
            for tid in [pid] if _has_one_thread(pid) else tasks.thread_ids(pid):
                yield pid, tid

    def _in_slots(self) -> set[int]:
        """The threads whose slots say so."""
        owned = (self._words[:, 0] != 0) & (self._slots["epoch"] != 0)
        return set(self._slots["who"]["tid"][owned].tolist())

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
            self._before[tid] = _Before(pid, tid, name, inside, began_ns, ran, self._looks)
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

    def _from_before(self, now_ns: int) -> tuple[_Calls, int]:
        """Calls of threads that slept in them at this look; how many there was no time to check."""
        known = [each for each in self._before.values() if each.sleeps]
        began_ns = np.array([each.began_ns for each in known], dtype="<u8")
        calls = _Calls(
            duration_ns=now_ns - np.minimum(began_ns, now_ns),
            nr=np.array([each.inside.nr for each in known], dtype="<i4"),
            abi=np.array([each.inside.abi for each in known], dtype="<u2"),
            pid=np.array([each.pid for each in known], dtype="<u4"),
            tid=np.array([each.tid for each in known], dtype="<u4"),
            comm=np.array([each.comm[: COMM_LEN - 1] for each in known], dtype=f"S{COMM_LEN}"),
            at_least=np.ones(len(known), dtype=bool),
        )
        wanted = self._wanted(calls.nr, calls.abi, calls.duration_ns)
        checked = np.array([each.look == self._looks for each in known], dtype=bool)
        return calls.take(wanted & checked), int((wanted & ~checked).sum())

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

    def _is_dropped(self, asleep: Asleep) -> bool:
        nr, abi = asleep.inside.nr, asleep.inside.abi
        return bool(self._dropped[abi, nr if 0 <= nr < SYSCALLS else SYSCALLS])

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


_ALL = Filters()


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


def _has_one_thread(pid: int) -> bool:
    """Whether a process has no other thread than its first, at half the price of listing them."""
    try:
        # fs/proc/base.c, proc_task_getattr(): two as of every folder, and one for each thread.
        return os.stat(f"/proc/{pid}/task").st_nlink == 3  # noqa: PTH116
    except OSError:  # it has ended
        return False


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


def _heads(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.void]:
    """The beginnings of slots as records, by their 64-bit words; of those, copies go faster."""
    return np.ascontiguousarray(words).view(_HEAD).reshape(len(words))


def _calls(records: npt.NDArray[np.void], now_ns: int) -> _Calls:
    """The calls that threads are inside of, by their records in slots or in task storage."""
    who = records["who"]
    return _Calls(
        duration_ns=now_ns - records["start_ns"],
        nr=records["nr"],
        abi=records["abi"],
        pid=who["pid"],
        tid=who["tid"],
        comm=who["comm"],
        at_least=np.zeros(len(records), dtype=bool),
    )


def _joined(parts: Sequence[_Calls]) -> _Calls:
    """All of them, in their order."""
    return _Calls(
        *(
            np.concatenate([getattr(part, column.name) for part in parts])
            for column in fields(_Calls)
        )
    )


def _ran(pid: int, tid: int) -> _Ran:
    """What changes when a thread goes on; None where the kernel does not tell."""
    ran_ns = tasks.last_ran_ns(pid, tid)
    return ran_ns, tasks.switches(pid, tid) if ran_ns is None else None
