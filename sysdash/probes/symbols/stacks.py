"""User stacks as text: ```module`function+0x1a``, innermost first."""

from __future__ import annotations

import ctypes
import os
import re
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sysdash.probes.symbols.demangle import Names
from sysdash.probes.symbols.files import UNUSED_S, FileKey, Files
from sysdash.probes.symbols.mappings import Image, Mapping, parse_maps
from sysdash.probes.symbols.perfmap import PerfMap, perf_map_of
from sysdash.probes.symbols.reader import BytesReader
from sysdash.probes.symbols.rules import Rule
from sysdash.probes.symbols.stream import History, MappingStream
from sysdash.probes.symbols.unwind import Frame, RawStack, by_frame_pointers, unwind
from sysdash.probes.symbols.worker import Job, Worker

if TYPE_CHECKING:
    from sysdash.probes.symbols.elf import ElfFile

__all__ = ["RawStack", "Space", "Stacks"]

_VDSO = b"[vdso]"
_NOT_JIT = (_VDSO, b"[vsyscall]", b"[uprobes]")
_4_GB = 1 << 32

_CALL, _THROUGH, _SIZES = 0xE8, 0xFF, (2, 3, 4, 6, 7)
# A linker's stub: endbr64 or not, a jump through memory.
_STUB = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?\xf2?\xff\x25", re.DOTALL)

_MOST_SPACES = 512
_MOST_MAPPINGS = 200_000
_MOST_PERF_MAPS = 64
_MOST_RESULTS, _RESULT_BYTES = 512, 4 << 20
_MOST_NAMES = 4096
_MAPS_BYTES = 8 << 20
_MAPS_PIECE = 64 << 10
_MOST_LOCATED = 256
_PERF_MAPS_BYTES = 64 << 20
# CPU time for reading mappings: a fifth of one CPU. What one takes is known only afterwards.
_CREDIT_PER_S, _MOST_CREDIT_S, _EXPECTED_S = 0.2, 0.4, 0.0005
_WAIT_S = 1.0
# CPU time for one stack, and time by the clock: some of it is taken by others.
_STACK_S, _STACK_CLOCK_S = 2.0, 4.0
_AGAIN_S = 1.0
_GENERATIONS = 8
_OTHER_THREADS = 8


@dataclass(eq=False, slots=True)
class Space:
    """The address space of a process: what :meth:`Stacks.note` remembers of it.

    Attributes:
        pid: the process.
        through: a process that sees the same files, where this one has ended: its parent.
        known: whether its mappings are known; None while they are still being read.
        images: its executable mappings; more than one where it is not known which of the programs
            that the process executed this is: the likeliest first. Replaced, never changed.
        files: keys of the mapped files, by the device and inode of the mapping.
        ended: there is nothing more to be learnt from ``/proc``.
        settled: set unless something is being read for it, and is worth waiting for.
        stuck: something that is being read for it is not; until that ends, nothing else is read.
        remembered: it is found when it is noted again; its mappings, ``counted``, then count
            towards what all of them may have.
    """

    pid: int
    through: int
    known: bool | None = None
    images: tuple[Image, ...] = field(default_factory=lambda: (Image(),))
    files: dict[tuple[int, int], FileKey] = field(default_factory=dict)
    ended: bool = False
    settled: threading.Event = field(default_factory=threading.Event)
    stuck: bool = False
    read_at: float = -_AGAIN_S
    perf_map: PerfMap | None = None
    perf_map_at: float = -_AGAIN_S
    names: dict[tuple[int, bool], str] = field(default_factory=dict)
    remembered: bool = False
    counted: int = 0


def _vdso_of(image: Image) -> int:
    """Where the vDSO is; the kernel puts it to another place for each program."""
    return next((mapping.start for mapping in image if mapping.path == _VDSO), 0)


@dataclass(slots=True)
class _Result:
    frames: tuple[str, ...]
    final: bool
    at: float


class Stacks:
    """Address spaces and their files.

    One thread calls :meth:`note` and :meth:`relieve`, which never wait for what they look at;
    :meth:`frames` may be called from others.

    Attributes:
        without: why processes that ended early are not known; empty if they are.
    """

    def __init__(self, *, most: int = 64, mark: str = "") -> None:
        """Know no process yet.

        Args:
            most: frames of a stack at the most.
            mark: stands behind the frames of a stack whose outermost is not known; nothing if
                empty.
        """
        self._most, self._mark = most, mark
        self._files = Files()
        self._names = Names()
        self._stream = MappingStream()
        self.without = self._stream.without
        self._worker = Worker()
        self._closed = False
        # Of the address spaces and counts: never held while anything is read.
        self._lock = threading.RLock()
        # Of the stream, whose backlog takes a moment to look through.
        self._streaming = threading.Lock()
        # Of what is parsed: held while files are read.
        self._parsing = threading.Lock()
        self._spaces: OrderedDict[tuple[int, int], Space] = OrderedDict()
        self._mappings = 0
        self._with_perf_map: OrderedDict[Space, float] = OrderedDict()
        self._results: OrderedDict[tuple[Space, RawStack, int], _Result] = OrderedDict()
        self._result_bytes = 0
        self._counts: Counter[str] = Counter()
        self._credit, self._credit_at = _MOST_CREDIT_S, time.monotonic()
        self._expired_at = time.monotonic()
        self._until, self._until_clock, self._late = 0.0, 0.0, False

    @property
    def counters(self) -> MappingOf[str, int]:
        """What is missing from stacks, since the start.

        ``unmapped``: address spaces whose mappings could not be learnt, since the process had ended
        or is stuck. ``truncated``: stacks whose outermost frame was not reached. ``unread``:
        address spaces that were not read at once, because there were too many. ``stream_lost``:
        records of the stream of mappings.
        """
        names = ("unmapped", "truncated", "unread")
        return {**{name: self._counts[name] for name in names}, "stream_lost": self._stream.lost}

    @property
    def helper_pid(self) -> int:
        """A process that works for this one, so that its calls are sysdash's own; 0 for none."""
        return self._names.pid

    def close(self) -> None:
        """Give back the stream and the files; stacks that are asked for later have no frames."""
        self._closed = True
        self._worker.close()
        self._names.close()
        with self._streaming:
            self._stream.close()
        with self._lock:
            self._spaces.clear()
            self._with_perf_map.clear()
        self._files.close()
        # Who reads a file that never comes (a dead server's) may hold it for good.
        if self._parsing.acquire(timeout=_WAIT_S):
            self._results.clear()
            self._result_bytes = 0
            self._parsing.release()

    def relieve(self) -> None:
        """Take what the stream of mappings has; call it often."""
        # While somebody looks through the backlog the rings have room.
        if self._streaming.acquire(blocking=False):
            try:
                self._stream.relieve()
            finally:
                self._streaming.release()
        self._worker.check()
        now = time.monotonic()
        if now - self._expired_at >= _AGAIN_S:
            self._expired_at = now
            self._files.expire()
            self._expire_perf_maps(now)

    # --- Address spaces ---

    def note(self, pid: int, space: int, /) -> Space:
        """Remember a process's address space; it is read while the process is there, if possible.

        Args:
            pid: as sysdash's own PID namespace numbers it.
            space: a number that changes when the process executes another program.
        """
        with self._lock:
            found = self.note_if_possible(pid, space)
            if found is None:
                # Not remembered: the next one of this process tries again.
                self._counts["unread"] += not self._closed
                found = Space(pid, pid, known=False)
                found.settled.set()
            return found

    def note_if_possible(self, pid: int, space: int, /) -> Space | None:
        """The same of a process that stays; None if it is to be noted later. From any thread."""
        with self._lock:
            found = self._spaces.get((pid, space))
            if found is not None:
                self._spaces.move_to_end((pid, space))
                return found
            found = Space(pid, pid)
            if self._closed or not self._may_read() or not self._submit(found, self._read):
                return None
            self._spaces[pid, space] = found
            found.remembered = True
            self._account(found)
            return found

    def _may_read(self) -> bool:
        now = time.monotonic()
        self._credit += (now - self._credit_at) * _CREDIT_PER_S
        self._credit, self._credit_at = min(self._credit, _MOST_CREDIT_S), now
        return self._credit > 0

    def _account(self, space: Space) -> None:
        """Count the mappings of a space anew; the spaces that were not noted for long give way."""
        if not space.remembered:
            return
        counted = sum(map(len, space.images))
        self._mappings += counted - space.counted
        space.counted = counted
        while self._spaces and (
            len(self._spaces) > _MOST_SPACES or self._mappings > _MOST_MAPPINGS
        ):
            _, old = self._spaces.popitem(last=False)
            self._mappings -= old.counted
            old.counted, old.remembered = 0, False
            self._with_perf_map.pop(old, None)

    def _become(self, space: Space, images: Iterable[Image]) -> None:
        with self._lock:
            space.images = tuple(images)
            self._account(space)

    def _submit(self, space: Space, read: Callable[[Space], None]) -> bool:
        """Have something read for a space on the other thread."""
        begun = False

        def work() -> None:
            nonlocal begun
            begun, began = True, time.thread_time()
            try:
                read(space)
            finally:
                with self._lock:
                    self._credit -= time.thread_time() - began - _EXPECTED_S
                    space.stuck = False
                    settle()

        def give_up() -> None:
            with self._lock:
                space.stuck = begun
                settle()

        def settle() -> None:
            known = any(map(len, space.images))
            self._counts["unmapped"] += space.known is None and not known and not self._closed
            space.known = known
            space.settled.set()

        space.settled.clear()
        self._credit -= _EXPECTED_S
        if self._worker.submit(Job(work, give_up)):
            return True
        space.settled.set()
        return False

    def _have(self, space: Space, read: Callable[[Space], None]) -> None:
        """Have something read, and wait a little for it; not for what is under way already."""
        if space.stuck or not space.settled.is_set():
            return
        with self._lock:
            submitted = self._submit(space, read)
        if submitted:
            space.settled.wait(_WAIT_S)

    def _read(self, space: Space) -> None:
        """Take the mappings from ``/proc``; those of another program than before are left alone."""
        space.read_at = time.monotonic()
        text = _maps(space.pid)
        if not text:
            space.ended = True
            if not space.known:
                self._recall(space)
            return
        image = Image(parse_maps(text))
        before = _vdso_of(space.images[0])
        if before and _vdso_of(image) != before:
            space.ended = True
            return
        self._become(space, [image])
        self._locate(space, image)
        if space.perf_map is None and any(_may_be_jit(mapping) for mapping in image):
            self._find_perf_map(space)

    def _locate(self, space: Space, image: Image) -> None:
        """Open the files; where there are very many, the rest is opened when it is needed."""
        for mapping in islice((mapping for mapping in image if mapping.file), _MOST_LOCATED):
            self._key(space, mapping)

    def _key(self, space: Space, mapping: Mapping) -> FileKey | None:
        place = mapping.device, mapping.inode
        key = space.files.get(place)
        if key is None and mapping.file is not None:
            key = self._files.locate(space.through, mapping)
            if key is not None:
                space.files[place] = key
        return key

    def _find_perf_map(self, space: Space) -> None:
        now = space.perf_map_at = time.monotonic()
        found = perf_map_of(space.pid)
        with self._lock:
            space.perf_map = found
            if found is not None and not self._closed:
                self._with_perf_map[space] = now

    def _expire_perf_maps(self, now: float) -> None:
        """Let go of maps that nobody used for a while, and of others if they take too much."""
        with self._lock:
            room = _PERF_MAPS_BYTES
            for number, (space, used) in enumerate(reversed(list(self._with_perf_map.items()))):
                room -= space.perf_map.nbytes if space.perf_map else 0
                if room < 0 or number >= _MOST_PERF_MAPS or now - used > UNUSED_S:
                    del self._with_perf_map[space]
                    space.perf_map = None

    def _recall(self, space: Space) -> None:
        """The mappings of a process that has ended, as the stream told them."""
        images = self._remembered(space.pid, _GENERATIONS)
        if images:
            space.through = self._history(space.pid).parent or space.pid
            self._become(space, images)
            for image in images:
                self._locate(space, image)

    def _recall_more(self, space: Space) -> None:
        """Add the programs that the process executed before, or after."""
        images = self._remembered(space.pid, _GENERATIONS)
        self._become(space, (*space.images, *images))

    def _history(self, pid: int) -> History:
        with self._streaming:
            self._stream.relieve()
            return self._stream.history(pid)

    def _remembered(self, pid: int, generations: int) -> list[Image]:
        """Images of a process, the newest first; what it got from its parent is looked up there."""
        history = self._history(pid)
        images = history.images[::-1]
        if history.inherits and generations and images:
            inherited = self._living(history.parent) or next(
                iter(self._remembered(history.parent, generations - 1)), Image()
            )
            whole = Image(inherited)
            for mapping in images[-1]:
                whole.add(mapping)
            images[-1] = whole
        return [image for image in images if len(image)]

    def _living(self, pid: int) -> Image | None:
        text = _maps(pid)
        return Image(parse_maps(text)) if text else None

    # --- Frames ---

    def frames(self, space: Space, raw: RawStack, most: int | None = None) -> tuple[str, ...]:
        """The frames of a stack, innermost first: safe text.

        Waits a second at most for what is being read of the process, and takes a few at most.

        Args:
            space: its process.
            raw: what the kernel tells of it.
            most: frames at the most, where that is not as usual.
        """
        return self.result(space, raw, most)[0]

    def result(
        self, space: Space, raw: RawStack, most: int | None = None
    ) -> tuple[tuple[str, ...], bool]:
        """The same, and whether they stay like that."""
        most = self._most if most is None else most
        space.settled.wait(_WAIT_S)
        if not self._parsing.acquire(timeout=_WAIT_S):
            return (f"{raw.ip:#x}",), False
        try:
            if self._closed:
                return (), False
            key = space, raw, most
            known = self._results.get(key)
            now = time.monotonic()
            if known and (known.final or now - known.at < _AGAIN_S):
                self._results.move_to_end(key)
                return known.frames, known.final
            result = self._symbolise(space, raw, most, first=known is None)
            self._result_bytes += 0 if known else len(raw.memory)
            self._results[key] = result
            while len(self._results) > _MOST_RESULTS or self._result_bytes > _RESULT_BYTES:
                (_, old, _), _ = self._results.popitem(last=False)
                self._result_bytes -= len(old.memory)
            return result.frames, result.final
        finally:
            self._parsing.release()

    def _symbolise(self, space: Space, raw: RawStack, most: int, *, first: bool) -> _Result:
        self._late = False
        self._until = time.thread_time() + _STACK_S
        self._until_clock = time.monotonic() + _STACK_CLOCK_S
        if self._mapping(space, raw.ip) is None:
            self._guess(space, raw)
        mapping = space.images[0].find(raw.ip)

        def is_code(address: int) -> bool:
            return self._mapping(space, address) is not None

        def rule_at(address: int) -> Rule | None:
            found = self._place(space, address)
            return found[0].frames().rule(found[1]) if found else None

        def calls(address: int, within: int) -> bool | None:
            return self._calls(space, address, within)

        if mapping is not None and self._is_narrow(space, mapping):
            frames, complete = by_frame_pointers(raw, is_code, most, word=4)
        elif mapping is None:
            frames, complete = by_frame_pointers(raw, is_code, most)
        else:
            frames, complete = unwind(raw, rule_at, is_code, most, calls=calls)
        if first:
            with self._lock:
                self._counts["truncated"] += not complete and len(space.images[0]) > 0
        names = [self._name(space, frame) for frame in frames[:most]]
        if names and self._mark and not complete:
            names.append(self._mark)
        final = space.ended or (complete and all(self._known(space, f) for f in frames))
        return _Result(tuple(names), final=final and not self._late, at=time.monotonic())

    def _guess(self, space: Space, raw: RawStack) -> None:
        """Choose the program in which the stack makes sense, of those that the process executed."""
        if len(space.images) == 1 and not self._closed:
            self._have(space, self._recall_more)
        images = list(space.images)
        for index, image in enumerate(images):
            if image.find(raw.ip) is not None:
                images.insert(0, images.pop(index))
                self._become(space, images)
                space.names.clear()
                return

    def _mapping(self, space: Space, address: int) -> Mapping | None:
        found = space.images[0].find(address)
        # Something may have been mapped since.
        if found is None and not space.ended and time.monotonic() - space.read_at >= _AGAIN_S:
            self._have(space, self._read)
            found = space.images[0].find(address)
        return found

    def _elf(self, space: Space, mapping: Mapping) -> ElfFile | None:
        if mapping.path == _VDSO:
            return _vdso() if mapping.start >= _4_GB else None
        if self._over():
            return None
        key = self._key(space, mapping)
        return self._files.get(space.through, mapping, key) if key else None

    def _over(self) -> bool:
        """Whether this stack has had its time; it is looked at again later, with what is parsed."""
        self._late |= time.thread_time() > self._until or time.monotonic() > self._until_clock
        return self._late

    def _is_narrow(self, space: Space, mapping: Mapping) -> bool:
        elf = self._elf(space, mapping)
        return not elf.wide if elf else mapping.path == _VDSO and mapping.start < _4_GB

    def _place(self, space: Space, address: int) -> tuple[ElfFile, int] | None:
        """The file in which an address is, and what address it has there."""
        mapping = space.images[0].find(address)
        elf = self._elf(space, mapping) if mapping else None
        if mapping is None or elf is None:
            return None
        there = elf.address(address - mapping.start + mapping.offset)
        return (elf, there) if there is not None else None

    def _calls(self, space: Space, address: int, within: int) -> bool | None:
        """Whether the call before a return address is of the function in which an address lies.

        None if it cannot be told: it goes through a register or memory, or is not to be read.
        """
        caller, callee = self._place(space, address - 1), self._place(space, within)
        if caller is None:
            return None
        elf, last = caller
        code = elf.code(last - 6, 7)
        if len(code) < 7:
            return None
        # Intel's manual, volume 2, CALL: E8 with a distance of 32 bits, FF /2 with all else.
        if code[2] == _CALL:
            target = last + 1 + int.from_bytes(code[3:], "little", signed=True)
            starts = _starts(*callee) if callee and callee[0] is elf else {None}
            if target in starts:
                return True
            if None in starts or _STUB.match(elf.code(target, 16)):
                return None
        through = (code[-size] == _THROUGH and code[1 - size] & 0x38 == 0x10 for size in _SIZES)
        return None if any(through) else False

    def _known(self, space: Space, frame: Frame) -> bool:
        return (frame.address, frame.exact) in space.names

    def _name(self, space: Space, frame: Frame) -> str:
        key = frame.address, frame.exact
        known = space.names.get(key)
        if known is not None:
            return known
        text, lasting = self._look_up(space, frame)
        if lasting and not self._late and len(space.names) < _MOST_NAMES:
            space.names[key] = text
        return text

    def _look_up(self, space: Space, frame: Frame) -> tuple[str, bool]:
        """The name of a frame, and whether it stays the same."""
        mapping = space.images[0].find(frame.within)
        if mapping is None:
            return f"{frame.address:#x}", False
        place = self._place(space, frame.within)
        module = mapping.module
        if place is not None:
            elf, address = place
            found = elf.find(address)
            address += frame.address - frame.within
            if found is None:
                return f"{module}+{address:#x}", True
            name, start = found
            return f"{module}`{self._names.readable(name)}+{address - start:#x}", True
        if _may_be_jit(mapping):
            jit = self._jitted(space, frame.within)
            if jit is not None:
                name, start = jit
                return f"[jit]`{self._names.readable(name)}+{frame.address - start:#x}", False
        if not module:
            return f"[unknown]+{frame.address:#x}", False
        return f"{module}+{frame.address - mapping.start + mapping.offset:#x}", True

    def _jitted(self, space: Space, address: int) -> tuple[bytes, int] | None:
        now = time.monotonic()
        if space.perf_map is None and not space.ended and now - space.perf_map_at >= _AGAIN_S:
            self._find_perf_map(space)
        perf_map = space.perf_map
        if perf_map is None:
            return None
        with self._lock:
            if space in self._with_perf_map:
                self._with_perf_map[space] = now
                self._with_perf_map.move_to_end(space)
        found = perf_map.find(address)
        if found is None and not self._over() and perf_map.grow():
            found = perf_map.find(address)
            self._expire_perf_maps(now)
        return found


def _starts(elf: ElfFile, address: int) -> set[int | None]:
    """Where the function in which an address lies begins; None is among them if it is not known."""
    found = elf.find(address)
    starts = {elf.frames().start(address), found[1] if found else None}
    return starts - {None} or {None}


def _may_be_jit(mapping: Mapping) -> bool:
    if mapping.path in _NOT_JIT:
        return False
    return not mapping.inode or mapping.deleted


def _maps(pid: int) -> bytes:
    """The text of a process's mappings; empty if it has none (any more)."""
    folder = Path(f"/proc/{pid}")
    text = _read_bounded(folder / "maps")
    if not text:
        # Where the first thread has ended and others go on, only those have an address space.
        try:
            with os.scandir(folder / "task") as threads:
                for thread in islice(threads, _OTHER_THREADS):
                    text = _read_bounded(Path(thread.path) / "maps")
                    if text:
                        break
        except OSError:
            pass
    return text


def _read_bounded(path: Path) -> bytes:
    try:
        with path.open("rb", buffering=_MAPS_PIECE) as file:
            return file.read(_MAPS_BYTES)
    except OSError:
        return b""


@cache
def _vdso() -> ElfFile | None:
    """The kernel's code in every 64-bit process, as it is in this one."""
    from sysdash.probes.symbols.elf import ElfFile

    for mapping in parse_maps(_maps(os.getpid())):
        if mapping.path == _VDSO:
            try:
                return ElfFile(
                    BytesReader(ctypes.string_at(mapping.start, mapping.end - mapping.start))
                )
            except ValueError:
                return None
    return None
