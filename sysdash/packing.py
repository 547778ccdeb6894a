"""Samples as bytes: what a history keeps and a recording stores.

Columns one after the other, each in the narrowest integers that hold it, and of histograms only the
buckets that have calls: a row of 640 bytes becomes some 80, and zstd makes 15 to 30 of them
(docs/architecture.md). Reading trusts nothing: whatever the bytes are, it gives a sample within
bounds, or raises :class:`Damaged`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import zstandard

from sysdash.buckets import BUCKETS
from sysdash.columns import NAMES, Columns, added_up, bounded, columns
from sysdash.columns import rows as rows_of
from sysdash.records import (
    ABIS,
    COMM_LEN,
    EVENT,
    EVENT_EXAMPLE,
    FILE_NAMES,
    NO_DETAIL,
    ROW,
    Data,
    Detail,
    Events,
    File,
    Host,
    Rows,
    Sample,
)
from sysdash.units import fit, safe

_LEVEL = 1
_MOST_BYTES = 64 << 20
_MOST_ROWS = 250_000
_MOST_ROWS_TOGETHER = 100_000
_MOST_EVENTS = 25_000
_MOST_LOSSES = 64
_MOST_CGROUPS = 10_000
_MOST_DATA = 4096
_MOST_FRAMES = 256
_FRAME_COLUMNS = 500
_PATH_COLUMNS = 4096
_NAME_COLUMNS = 64

_LATEST_NS = 4_102_444_800 * 10**9
"""The year 2100: later times are none."""

_LONGEST_NS = 2**53
"""A hundred days: no interval is longer."""

_LARGEST = 2**62
"""No count or time is larger, so that a few can be added up in 64 bits."""

_ROW_COLUMNS = tuple(name for name in NAMES if name != "comm")
_EVENT_COLUMNS = ("end_ns", "duration_ns", "ret", "args", "pid", "tid", "nr", "abi", "cpu", "flags")

_REFUSALS = (
    # A key of a map may be a list.
    *(zstandard.ZstdError, ValueError, TypeError, RecursionError, msgpack.UnpackException),
)

_MOST_PARTS = 2_000_000
_DEEPEST = 16
_ARRAYS, _MAPS = (0xDC, 0xDD), (0xDE, 0xDF)
"""First bytes of msgpack's longer arrays and maps."""

_CODES = ("u1", "u2", "u4", "u8")
_SIGNED = {"<i4": "<u4", "<i8": "<u8"}


class Damaged(ValueError):
    """These are not the bytes that were written."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One interval, packed, without its slow calls.

    Attributes:
        time_ns, mono_ns, interval_ns: as in :class:`sysdash.records.Sample`.
        calls: calls that ended in it.
        errors: those of them that failed.
        slow: slow calls in it that are listed, without examples.
        body: everything else; see :func:`unpack`.
    """

    time_ns: int
    mono_ns: int
    interval_ns: int
    calls: int
    errors: int
    slow: int
    body: bytes


# --- Columns ---


def _column(values: npt.NDArray[Any]) -> list[Any]:
    """An integer column as its code and its bytes; all zeros are nothing."""
    signed = _SIGNED.get(values.dtype.str)
    if signed:
        values = values.view(signed)
    most = int(values.max()) if values.size else 0
    if not most:
        return ["", b""]
    code = next(code for code in _CODES if most <= np.iinfo(code).max)
    return [code, values.astype(f"<{code}").tobytes()]


def _read_column(stored: object, size: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    code, data = _pair(stored)
    if code == "":
        return np.zeros(size, dtype=dtype)
    if code not in _CODES or not isinstance(data, bytes):
        raise Damaged("a column of no known kind")
    values = np.frombuffer(data, dtype=f"<{code}") if not len(data) % int(code[1]) else None
    if values is None or len(values) != size:
        raise Damaged("a column of another length")
    wide = _SIGNED.get(dtype.str, dtype.str)
    if size and int(values.max()) > np.iinfo(wide).max:
        raise Damaged("a number that is too large")
    return values.astype(wide).view(dtype)


def _read_names(stored: object, size: int) -> npt.NDArray[np.bytes_]:
    if not isinstance(stored, bytes) or len(stored) != size * COMM_LEN:
        raise Damaged("names of another length")
    return np.frombuffer(stored, dtype=f"S{COMM_LEN}")


def _pair(stored: object) -> tuple[Any, Any]:
    if not isinstance(stored, list) or len(stored) != 2:
        raise Damaged("not a pair")
    return stored[0], stored[1]


def _size(stored: object, most: int) -> int:
    if not isinstance(stored, int) or isinstance(stored, bool) or not 0 <= stored <= most:
        raise Damaged("more than there can be")
    return stored


def _get(stored: object, key: str) -> Any:
    if not isinstance(stored, dict) or key not in stored:
        raise Damaged(f"no {key}")
    return stored[key]


# --- Rows ---


def _pack_rows(rows: Columns) -> dict[str, Any]:
    per_row = np.bincount(rows.row, minlength=len(rows)).astype(np.uint64)
    return {
        "n": len(rows),
        **{name: _column(rows.of[name]) for name in _ROW_COLUMNS},
        "comm": rows.of["comm"].tobytes(),
        "per_row": _column(per_row),
        "bucket": rows.bucket.astype("u1").tobytes(),
        "hist": _column(rows.calls),
    }


def _unpack_rows(stored: object) -> Columns:
    size = _size(_get(stored, "n"), _MOST_ROWS)
    of = {name: _read_column(_get(stored, name), size, ROW[name]) for name in _ROW_COLUMNS}
    of["comm"] = _read_names(_get(stored, "comm"), size)
    per_row = _read_column(_get(stored, "per_row"), size, np.dtype("<u8"))
    buckets = _get(stored, "bucket")
    if not isinstance(buckets, bytes) or (size and int(per_row.max()) > BUCKETS):
        raise Damaged("a histogram that is none")
    bucket = np.frombuffer(buckets, dtype="u1").astype(np.int64)
    if len(bucket) != int(per_row.sum()) or (len(bucket) and int(bucket.max()) >= BUCKETS):
        raise Damaged("a histogram of another length")
    calls = _read_column(_get(stored, "hist"), len(bucket), np.dtype("<u8"))
    row = np.repeat(np.arange(size), per_row.astype(np.int64))
    if len(row) and bool(((row[1:] == row[:-1]) & (bucket[1:] <= bucket[:-1])).any()):
        raise Damaged("a histogram with a bucket twice")
    _check_rows(of, calls)
    return Columns(of, row, bucket, calls)


def _check_rows(rows: Mapping[str, npt.NDArray[Any]], calls: npt.NDArray[np.uint64]) -> None:
    """No number is so large that adding it up would overflow, and none contradicts another."""
    for values in (*(rows[name] for name in ("count", "total_ns", "max_ns", "off_ns")), calls):
        if float(values.sum(dtype=np.float64)) > _LARGEST:
            raise Damaged("a number that is too large")
    timed = rows["untimed"] < rows["count"]
    wrong = (rows["untimed"] > rows["count"]) | (timed & (rows["min_ns"] > rows["max_ns"]))
    if bool(wrong.any()) or bool((rows["abi"] >= ABIS).any()):
        raise Damaged("rows that contradict themselves")


# --- Calls ---


def _pack_events(events: Events) -> dict[str, Any]:
    return {
        "n": len(events),
        **{name: _column(events[name].reshape(-1)) for name in _EVENT_COLUMNS},
        "comm": events["comm"].tobytes(),
    }


def _unpack_events(stored: object) -> Events:
    size = _size(_get(stored, "n"), _MOST_EVENTS)
    events = np.zeros(size, dtype=EVENT)
    for name in _EVENT_COLUMNS:
        dtype = EVENT[name]
        whole = size * int(np.prod(dtype.shape, dtype=np.int64))
        column = _read_column(_get(stored, name), whole, dtype.base)
        events[name] = column.reshape((size, *dtype.shape))
    events["comm"] = _read_names(_get(stored, "comm"), size)
    if size and (
        int(events["duration_ns"].max()) > _LARGEST
        or int(events["end_ns"].max()) > _LARGEST
        or int(events["abi"].max()) >= ABIS
    ):
        raise Damaged("calls that contradict themselves")
    return events


def _pack_detail(detail: Detail, stack: Sequence[str]) -> list[Any] | None:
    data = [None if each is None else [each.content, each.cut] for each in detail.data]
    file = None if detail.file is None else list(astuple(detail.file))
    if file is None and not stack and data == [None, None]:
        return None
    return [*data, file, list(stack)]


def _unpack_detail(stored: object) -> Detail:
    if stored is None:
        return NO_DETAIL
    if not isinstance(stored, list) or len(stored) != 4:
        raise Damaged("details of no known kind")
    first, second, file, stack = stored
    frames = _texts(stack, _MOST_FRAMES, _FRAME_COLUMNS)
    return Detail(
        data=(_unpack_data(first), _unpack_data(second)),
        file=None if file is None else _unpack_file(file),
        stack=lambda: frames,
        kernel=frames,
    )


def _unpack_data(stored: object) -> Data | None:
    if stored is None:
        return None
    content, cut = _pair(stored)
    if not isinstance(content, bytes) or not isinstance(cut, bool) or len(content) > _MOST_DATA:
        raise Damaged("memory of no known kind")
    return Data(content, cut)


_FILE_KINDS: tuple[type, ...] = (
    *(int, int, int, int, list, bool, bool, int, int, int, int, object, object, int, bool),
)


def _unpack_file(stored: object) -> File:
    if not isinstance(stored, list) or len(stored) != len(_FILE_KINDS):
        raise Damaged("a file of no known kind")
    for value, kind in zip(stored, _FILE_KINDS, strict=True):
        if not isinstance(value, kind) or (isinstance(value, int) and not 0 <= value < 2**64):
            raise Damaged("a file of no known kind")
    if any(value >= 2**32 for value in (stored[1], stored[3], *stored[7:11], stored[13])):
        raise Damaged("a file of no known kind")
    ino, dev, magic, mode, names, deleted, cut, family, type_, protocol, state = stored[:11]
    local, remote, peer_pid, certain = stored[11:]
    if not all(isinstance(name, bytes) for name in names) or sum(map(len, names)) > FILE_NAMES * 2:
        raise Damaged("a path of no known kind")
    return File(
        ino=ino,
        dev=dev,
        magic=magic,
        mode=mode,
        names=tuple(names),
        deleted=deleted,
        cut=cut,
        family=family,
        type=type_,
        protocol=protocol,
        state=state,
        local=_unpack_address(local),
        remote=_unpack_address(remote),
        peer_pid=peer_pid,
        certain=certain,
    )


def _unpack_address(stored: object) -> tuple[bytes, int] | None:
    if stored is None:
        return None
    address, port = _pair(stored)
    if not isinstance(address, bytes) or len(address) not in (4, 16):
        raise Damaged("an address of no known kind")
    return address, _size(port, 65535)


def _texts(stored: object, most: int, columns: int) -> tuple[str, ...]:
    if not isinstance(stored, list) or len(stored) > most:
        raise Damaged("more than there can be")
    if not all(isinstance(text, str) for text in stored):
        raise Damaged("text that is none")
    return tuple(fit(safe(text), columns) for text in stored)


def _pack_calls(
    events: Events, details: Sequence[Detail], stacks: Sequence[Sequence[str]]
) -> dict[str, Any]:
    told = [
        _pack_detail(detail, stack)
        for detail, stack in zip(
            details or [NO_DETAIL] * len(events), stacks or [()] * len(events), strict=True
        )
    ]
    return {**_pack_events(events), "details": told if any(told) else None}


def _unpack_calls(stored: object) -> tuple[Events, tuple[Detail, ...]]:
    events = _unpack_events(stored)
    told = _get(stored, "details")
    if told is None:
        return events, ()
    if not isinstance(told, list) or len(told) != len(events):
        raise Damaged("details of other calls")
    return events, tuple(map(_unpack_detail, told))


# --- Whole samples ---


def _compressed(stored: object) -> bytes:
    made = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(
        msgpack.packb(stored)
    )
    # A copy: the library's has the memory that the worst case would have needed.
    return bytes(memoryview(made))


def _decompressed(data: bytes) -> Any:
    try:
        _size(zstandard.frame_content_size(data), _MOST_BYTES)
        plain = zstandard.ZstdDecompressor(max_window_size=_MOST_BYTES).decompress(data)
        _count_parts(plain)
        return msgpack.unpackb(plain, strict_map_key=False)
    except _REFUSALS as error:
        raise Damaged(safe(str(error))) from None


def _count_parts(plain: bytes) -> None:
    """Read past all that is there, keeping nothing: a byte of msgpack can be an object of Python.

    Raises:
        Damaged: there is more of it than an interval has.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=_MOST_BYTES, strict_map_key=False)
    unpacker.feed(plain)
    left = [1]
    parts = 0
    while left:
        if not left[-1]:
            left.pop()
            continue
        left[-1] -= 1
        parts += 1
        if parts > _MOST_PARTS or len(left) > _DEEPEST:
            raise Damaged("more parts than there can be")
        kind = plain[unpacker.tell()] if unpacker.tell() < len(plain) else 0
        if kind in _ARRAYS or 0x90 <= kind <= 0x9F:
            left.append(unpacker.read_array_header())
        elif kind in _MAPS or 0x80 <= kind <= 0x8F:
            left.append(2 * unpacker.read_map_header())
        else:
            unpacker.skip()


def pack(sample: Sample) -> Packed:
    """A sample without its slow calls, values and blocks.

    The kernel's rows are kept to the last bit, but for what only the probe needs.
    """
    rows = columns(sample.rows)
    return Packed(
        time_ns=sample.time_ns,
        mono_ns=sample.mono_ns,
        interval_ns=sample.interval_ns,
        **_totals(rows),
        slow=int(((sample.events["flags"] & EVENT_EXAMPLE) == 0).sum()),
        body=_compressed({"rows": _pack_rows(rows), **_pack_rest(sample)}),
    )


def _totals(rows: Columns) -> dict[str, int]:
    count = rows.of["count"]
    return {"calls": int(count.sum()), "errors": int(count[rows.of["errno"] > 0].sum())}


def _pack_rest(sample: Sample) -> dict[str, Any]:
    return {
        "in_flight": _pack_calls(
            sample.in_flight,
            sample.in_flight_details,
            [detail.kernel for detail in sample.in_flight_details],
        ),
        "more": sample.in_flight_more,
        "known": sample.in_flight_known,
        "unreadable": sample.in_flight_unreadable,
        "off_cpu": sample.off_cpu,
        "lost": dict(sample.lost),
        "lost_before": dict(sample.lost_before),
        "host": _pack_host(sample.host),
        "cgroups": dict(islice(sample.cgroups.items(), _MOST_CGROUPS)),
    }


def _pack_host(host: Host) -> list[Any]:
    # Of clocks that are not quite in step, a share can come out below nothing.
    name, cpus, kernel_cpu, processes, self_cpu, self_bytes = astuple(host)
    return [name, cpus, max(kernel_cpu, 0.0), processes, max(self_cpu, 0.0), self_bytes]


def unpack(packed: Packed) -> Sample:
    """The sample again, without slow calls.

    Raises:
        Damaged: it is not what :func:`pack` made.
    """
    stored = _opened(packed)
    try:
        rows = rows_of(_rows_in(packed, stored))
    except OverflowError as error:
        raise Damaged(str(error)) from None
    return _unpack_rest(packed, stored, rows)


def unpack_rows(packed: Packed) -> Columns:
    """The rows alone, which is faster, and has room for intervals that were added up.

    Raises:
        Damaged: it is not what :func:`pack` or :func:`pack_together` made.
    """
    return _rows_in(packed, _opened(packed))


def unpack_rest(packed: Packed) -> Sample:
    """All but the rows, of which there are none.

    Raises:
        Damaged: likewise.
    """
    return _unpack_rest(packed, _opened(packed), np.zeros(0, dtype=ROW))


def pack_together(parts: Sequence[Packed]) -> Packed:
    """Intervals that follow each other as one, with the calls in flight at its end.

    Raises:
        Damaged: they are not what :func:`pack` made.
    """
    opened = [_opened(packed) for packed in parts]
    rows = added_up([_rows_in(*pair) for pair in zip(parts, opened, strict=True)])
    rows, folded = bounded(rows, _MOST_ROWS_TOGETHER)
    rests = [
        _unpack_rest(packed, stored, np.zeros(0, dtype=ROW))
        for packed, stored in zip(parts, opened, strict=True)
    ]
    last = parts[-1]
    return Packed(
        time_ns=last.time_ns,
        mono_ns=last.mono_ns,
        interval_ns=sum(packed.interval_ns for packed in parts),
        **_totals(rows),
        slow=sum(packed.slow for packed in parts),
        body=_compressed({"rows": _pack_rows(rows), **_pack_rest(together(rests, folded))}),
    )


def together(samples: Sequence[Sample], folded: int = 0) -> Sample:
    """What is known of intervals that follow each other as one, but for rows and slow calls.

    Of calls in flight those at the end; the host's CPU times are averages.

    Args:
        samples: the intervals, at least one.
        folded: calls that have lost their process when the rows were added up.
    """
    last = samples[-1]
    whole_ns = sum(sample.interval_ns for sample in samples)
    lost = {"unattributed": folded} if folded else {}
    cgroups: dict[int, str] = {}
    for sample in samples:
        cgroups.update(sample.cgroups)
        for name, count in sample.lost.items():
            lost[name] = lost.get(name, 0) + count

    def mean(values: Sequence[float]) -> float:
        weighted = zip(values, samples, strict=True)
        return sum(value * sample.interval_ns for value, sample in weighted) / max(whole_ns, 1)

    return replace(
        last,
        interval_ns=whole_ns,
        lost=MappingProxyType(lost),
        lost_before=samples[0].lost_before,
        cgroups=MappingProxyType(cgroups),
        host=replace(
            last.host,
            kernel_cpu=mean([sample.host.kernel_cpu for sample in samples]),
            self_cpu=mean([sample.host.self_cpu for sample in samples]),
        ),
        off_cpu=all(sample.off_cpu for sample in samples),
    )


def _rows_in(packed: Packed, stored: object) -> Columns:
    """The rows, which are those of as many calls as there are said to be."""
    rows = _unpack_rows(_get(stored, "rows"))
    if int(rows.of["count"].sum()) != packed.calls:
        raise Damaged("another number of calls")
    return rows


def _opened(packed: Packed) -> Any:
    _check_times(packed)
    return _decompressed(packed.body)


def _unpack_rest(packed: Packed, stored: object, rows: Rows) -> Sample:
    in_flight, in_flight_details = _unpack_calls(_get(stored, "in_flight"))
    return Sample(
        time_ns=packed.time_ns,
        mono_ns=packed.mono_ns,
        interval_ns=packed.interval_ns,
        rows=rows,
        events=np.zeros(0, dtype=EVENT),
        in_flight=in_flight,
        in_flight_details=in_flight_details,
        in_flight_more=_size(_get(stored, "more"), _LARGEST),
        in_flight_known=bool(_get(stored, "known")),
        in_flight_unreadable=_size(_get(stored, "unreadable"), _LARGEST),
        off_cpu=bool(_get(stored, "off_cpu")),
        lost=_unpack_losses(_get(stored, "lost")),
        lost_before=_unpack_losses(_get(stored, "lost_before")),
        host=_unpack_host(_get(stored, "host")),
        cgroups=_unpack_cgroups(_get(stored, "cgroups")),
    )


def _check_times(packed: Packed) -> None:
    for value, most in (
        (packed.time_ns, _LATEST_NS),
        (packed.mono_ns, _LARGEST),
        (packed.interval_ns, _LONGEST_NS),
        (packed.calls, _LARGEST),
        (packed.errors, _LARGEST),
        (packed.slow, _LARGEST),
    ):
        _size(value, most)


def _unpack_losses(stored: object) -> Mapping[str, int]:
    if not isinstance(stored, dict) or len(stored) > _MOST_LOSSES:
        raise Damaged("losses of no known kind")
    if not all(isinstance(name, str) for name in stored):
        raise Damaged("losses of no known kind")
    return MappingProxyType(
        {fit(safe(name), _NAME_COLUMNS): _size(n, _LARGEST) for name, n in stored.items()}
    )


def _unpack_host(stored: object) -> Host:
    if not isinstance(stored, list) or len(stored) != 6 or not isinstance(stored[0], str):
        raise Damaged("a host of no known kind")
    name, cpus, kernel_cpu, processes, self_cpu, self_bytes = stored
    for share in (kernel_cpu, self_cpu):
        if not isinstance(share, int | float) or not 0 <= share < 1e6:
            raise Damaged("a host of no known kind")
    return Host(
        name=fit(safe(name), _NAME_COLUMNS * 4),
        cpus=_size(cpus, 1 << 20),
        kernel_cpu=float(kernel_cpu),
        processes=_size(processes, _LARGEST),
        self_cpu=float(self_cpu),
        self_bytes=_size(self_bytes, _LARGEST),
    )


def _unpack_cgroups(stored: object) -> Mapping[int, str]:
    if not isinstance(stored, dict) or len(stored) > _MOST_CGROUPS:
        raise Damaged("cgroups of no known kind")
    for i, path in stored.items():
        if type(i) is not int or not 0 <= i < 2**64 or not isinstance(path, str):
            raise Damaged("cgroups of no known kind")
    return MappingProxyType({i: fit(safe(path), _PATH_COLUMNS) for i, path in stored.items()})


def pack_slow(
    events: Events, details: Sequence[Detail] = (), stacks: Sequence[Sequence[str]] = ()
) -> bytes:
    """Slow calls.

    Args:
        events: dtype :data:`sysdash.records.EVENT`.
        details: of each; or nothing.
        stacks: frames of each, safe text, innermost first; or nothing.
    """
    return _compressed(_pack_calls(events, details, stacks))


def unpack_slow(data: bytes) -> tuple[Events, tuple[Detail, ...]]:
    """The slow calls again.

    Raises:
        Damaged: it is not what :func:`pack_slow` made.
    """
    return _unpack_calls(_decompressed(data))


def with_slow(sample: Sample, data: bytes) -> Sample:
    """A sample with the slow calls of :func:`pack_slow`.

    Raises:
        Damaged: they are not.
    """
    events, details = unpack_slow(data)
    return replace(sample, events=events, details=details)
