"""What the probe tells of a slow call behind its record: memory, file, stack."""

from __future__ import annotations

import functools
import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sysdash.probes.symbols import RawStack, Space, Stacks
from sysdash.records import (
    DATA_CUT,
    DATA_NONE,
    DATA_UNREADABLE,
    EVENT,
    FD_CWD,
    FD_RESULT,
    FILE_CUT,
    FILE_DELETED,
    Data,
    Detail,
    Events,
    File,
    Reads,
)

_KNOWN_FILES = 4096
"""Descriptors whose files are remembered, for calls that end after somebody closed them."""

_COLUMNS = (
    *("data_length", "data_state", "path_length", "pid", "mm", "exec_id", "nr", "abi", "sp"),
)

_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10


class Details:
    """Reads records of slow calls, and remembers what is needed to tell their stories later."""

    def __init__(
        self, reads: Mapping[tuple[int, int], Reads], stacks: Stacks | None = None
    ) -> None:
        """Remember nothing yet.

        Args:
            reads: what the probe was asked to look into, by (syscall number, ABI code).
            stacks: symbolises the stacks that come with the records; None where none do.
        """
        self._reads = reads
        self._stacks = stacks
        # By process, what tells one of its programs from the next, and descriptor.
        self._files: OrderedDict[tuple[int, int, int], File] = OrderedDict()
        # The callers of the records that have come since the last details.
        self._spaces: dict[tuple[int, int], Space] = {}

    def note(self, record: bytes) -> None:
        """Look at the caller while it is still there; to be called as soon as a record comes."""
        if self._stacks:
            pid, exec_id, mm = _CALLER.unpack_from(record)
            self._space(self._stacks, pid, mm ^ exec_id)

    def _space(self, stacks: Stacks, pid: int, number: int) -> Space:
        space = self._spaces.get((pid, number))
        if space is None or not space.remembered:
            space = self._spaces[pid, number] = stacks.note(pid, number)
        return space

    def of(self, records: Sequence[bytes], events: Events) -> tuple[Detail, ...]:
        """The details of slow calls.

        Args:
            records: all bytes of each.
            events: the first of them, dtype :data:`sysdash.records.EVENT`.
        """
        columns = zip(*(events[name].tolist() for name in _COLUMNS), strict=True)
        found = []
        for event, record, values in zip(events, records, columns, strict=True):
            lengths, states, path_length, pid, mm, exec_id, nr, abi, sp = values
            data, at = _data(record, lengths, states)
            reads = self._reads.get((nr, abi))
            file = None
            if reads is not None and reads.fd is not None:
                names = record[at : at + path_length]
                file = self._file(event, reads.fd, (pid, mm ^ exec_id), names)
            if self._stacks is None or not sp:
                found.append(Detail(data=data, file=file))
                continue
            space = self._space(self._stacks, pid, mm ^ exec_id)
            stack = functools.partial(_frames, self._stacks, space, record)
            found.append(Detail(data=data, file=file, stack=stack, held=len(record)))
        self._spaces.clear()
        return tuple(found)

    def _file(
        self, event: np.void, argument: int, space: tuple[int, int], names: bytes
    ) -> File | None:
        """What the call's descriptor was; if it is closed by now, what it was before."""
        found = file_of(event["file"], names)
        if argument in (FD_RESULT, FD_CWD):
            return found
        fd = int(event["args"][argument]) & 0xFFFF_FFFF
        key = (*space, fd)
        if found is None:
            # Once: whatever gets this number later is another file.
            before = self._files.pop(key, None)
            return replace(before, certain=False) if before else None
        if fd < 1 << 31:
            self._files[key] = found
            self._files.move_to_end(key)
            if len(self._files) > _KNOWN_FILES:
                self._files.popitem(last=False)
        return found


def _data(
    record: bytes, lengths: Sequence[int], states: Sequence[int]
) -> tuple[tuple[Data | None, Data | None], int]:
    """The two pieces of memory behind a record, and where they end."""
    at = EVENT.itemsize
    found: list[Data | None] = []
    for length, state in zip(lengths, states, strict=True):
        missing = state in (DATA_NONE, DATA_UNREADABLE)
        found.append(None if missing else Data(record[at : at + length], state == DATA_CUT))
        at += length
    return (found[0], found[1]), at


def _caller() -> struct.Struct:
    """What unpacks ``pid``, ``exec_id`` and ``mm`` of a record, which come in this order."""
    layout, end = "<", 0
    places = {name: int(place) for name, (_, place, *_) in (EVENT.fields or {}).items()}
    for name, code in (("pid", "I"), ("exec_id", "I"), ("mm", "Q")):
        place = places[name]
        layout += f"{place - end}x{code}"
        end = place + struct.calcsize(code)
    return struct.Struct(layout)


_CALLER = _caller()


def _frames(stacks: Stacks, space: Space, record: bytes) -> tuple[str, ...]:
    return stacks.frames(space, raw_stack_of(record, np.frombuffer(record, EVENT, count=1)[0]))


def space_of(event: np.void) -> int:
    """A number that tells one address space of a process from the next."""
    return int(event["mm"]) ^ int(event["exec_id"])


def raw_stack_of(record: bytes, event: np.void) -> RawStack:
    """The user stack of a record.

    Args:
        record: all of its bytes.
        event: the first of them, dtype :data:`sysdash.records.EVENT`.
    """
    begin = EVENT.itemsize + sum(event["data_length"].tolist()) + int(event["path_length"])
    end = begin + 8 * int(event["frames"])
    return RawStack(
        ip=int(event["ip"]),
        sp=int(event["sp"]),
        bp=int(event["bp"]),
        frames=tuple(np.frombuffer(record[begin:end], dtype="<u8").tolist()),
        memory=record[end : end + int(event["stack_length"])],
    )


def file_of(record: np.void, names: bytes) -> File | None:
    """The file of a slow call's record; None where nothing is known.

    Args:
        record: dtype :data:`sysdash.records.FILE`.
        names: the bytes behind it: names that end with a NUL, of unix sockets with their length
            before them.
    """
    if not record["mode"]:
        return None
    family = int(record["family"])
    local = remote = None
    if family in (_AF_INET, _AF_INET6):
        size = 4 if family == _AF_INET else 16
        local = (bytes(record["local"][:size]), int(record["local_port"]))
        remote = (bytes(record["remote"][:size]), int(record["remote_port"]))
    flags = int(record["flags"])
    return File(
        ino=int(record["ino"]),
        dev=int(record["dev"]),
        magic=int(record["magic"]),
        mode=int(record["mode"]),
        names=_unix_names(names) if family == _AF_UNIX else tuple(names.split(b"\0")[:-1]),
        deleted=bool(flags & FILE_DELETED),
        cut=bool(flags & FILE_CUT),
        family=family,
        type=int(record["type"]),
        protocol=int(record["protocol"]),
        state=int(record["state"]),
        local=local,
        remote=remote,
        peer_pid=int(record["peer_pid"]),
    )


def _unix_names(names: bytes) -> tuple[bytes, ...]:
    found = []
    while names:
        length = names[0]
        found.append(names[1 : 1 + length])
        names = names[1 + length :]
    return tuple(found)
