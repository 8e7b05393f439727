"""A disk that loses power, as a model: what of a folder may be found again after each call of a traced process.

The promises kept are those SQLite asks of a disk (https://sqlite.org/atomiccommit.html §2) and no others:

- a file's bytes are durable once an `fsync` or `fdatasync` of that file has returned; of what came after, any subset
  may be there, in any order, and any write may be torn at any byte, at a sector's edge or within one;
- a name (made, renamed, removed) is durable once the folder was synced, and the folder's own once its parent was;
  until then the old one may be back. Syncing a file does not sync its name: ext4 does so, POSIX does not promise it;
- where a later write outlived an earlier one, the hole between holds zeros or what lay on the disk before;
- SQLite's index of the log is not there, or holds anything;
- bytes that no write touched stay as they are (SQLite calls it powersafe overwrite, and takes it for granted).

This is more hostile than ext4 with `data=ordered`, which loses names only from the end and never shows old sectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.support.syscall_trace import (
    SHARED_MEMORY,
    Call,
    Created,
    FolderMade,
    FolderSynced,
    ParentSynced,
    Removed,
    Renamed,
    Said,
    Synced,
    Truncated,
    Written,
)

SECTOR_BYTES = 512

ZEROS = b"\0"

INDEX_BYTES = 32 * 1024
"""SQLite's index of a short log."""

LOG = "-wal"

Image = Mapping[str, bytes]
"""A folder as it is found: name and content of each file. Without the folder, there is none."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One way to lose power: which of the calls not yet durable are found again, each by its place among them.

    `kept` maps it to the number of bytes of a write that are there, None for all of it. Bytes that were never written
    read as `filling`, repeated, and so does an index of a log; zero bytes stand for none.
    """

    words: str
    kept: Mapping[int, int | None]
    filling: bytes = ZEROS


@dataclass
class _File:
    """`durable` is what a sync has made so; the name may be another by now."""

    durable: bytes = b""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A call that is not durable yet; `file` is None where it changed names only."""

    call: Call
    file: _File | None


class Disk:
    """Follows the calls of a trace, one after the other. It begins with `image`, all of it durable.

    Without an image not even the folder is there.
    """

    def __init__(self, image: Image | None) -> None:
        self._is_folder_durable = image is not None
        self._durable_names = {name: _File(content) for name, content in (image or {}).items()}
        self._names = dict(self._durable_names)
        self._pending: list[_Pending] = []

    @property
    def pending(self) -> Sequence[Call]:
        """Calls that a loss of power may undo, oldest first."""
        return [pending.call for pending in self._pending]

    def take(self, call: Call) -> None:
        match call:
            case FolderMade():
                self._pending.append(_Pending(call, None))
            case Created(name):
                self._names[name] = _File()
                self._pending.append(_Pending(call, self._names[name]))
            case Removed(name):
                self._pending.append(_Pending(call, self._names.pop(name)))
            case Renamed(name, to):
                self._names[to] = self._names.pop(name)
                self._pending.append(_Pending(call, self._names[to]))
            case Written(name) | Truncated(name):
                self._pending.append(_Pending(call, self._names[name]))
            case Synced(name):
                file = self._names[name]
                file.durable = _content(file.durable, [p.call for p in self._pending if p.file is file], ZEROS)
                self._forget(lambda pending: pending.file is file and isinstance(pending.call, Written | Truncated))
            case FolderSynced():
                for pending in self._pending:
                    _rename(self._durable_names, pending)
                self._forget(lambda pending: isinstance(pending.call, Created | Removed | Renamed))
            case ParentSynced():
                self._forget(lambda pending: isinstance(pending.call, FolderMade))
                self._is_folder_durable = True
            case Said():
                pass

    def _forget(self, is_durable: Callable[[_Pending], bool]) -> None:
        self._pending = [pending for pending in self._pending if not is_durable(pending)]

    def after(self, loss: Loss) -> Image:
        """What is found after this loss."""
        kept = [(self._pending[index], size) for index, size in sorted(loss.kept.items())]
        if not self._is_folder_durable and not any(isinstance(pending.call, FolderMade) for pending, _ in kept):
            return {}
        names = dict(self._durable_names)
        calls: dict[int, list[Call]] = {}
        for pending, size in kept:
            _rename(names, pending)
            call = pending.call
            if isinstance(call, Written) and size is not None:
                call = Written(call.name, call.offset, call.content[:size])
            calls.setdefault(id(pending.file), []).append(call)
        image = {name: _content(file.durable, calls.get(id(file), []), loss.filling) for name, file in names.items()}
        if loss.filling != ZEROS:
            logs = [name for name in image if name.endswith(LOG)]
            image |= {name.removesuffix(LOG) + SHARED_MEMORY: _filled(INDEX_BYTES, loss.filling) for name in logs}
        return image


def after_all_of(calls: Sequence[Call]) -> Image:
    """The folder as these calls left it, with nothing lost."""
    disk = Disk({})
    for call in calls:
        disk.take(call)
    return disk.after(Loss("everything", dict.fromkeys(range(len(disk.pending)))))


def _rename(names: dict[str, _File], pending: _Pending) -> None:
    match pending:
        case _Pending(Created(name), _File() as file):
            names[name] = file
        case _Pending(Removed(name), _File() as file) if names.get(name) is file:
            del names[name]
        case _Pending(Renamed(name, to), _File() as file):
            if names.get(name) is file:
                del names[name]
            names[to] = file


def _content(durable: bytes, calls: Sequence[Call], filling: bytes) -> bytes:
    content = bytearray(durable)
    for call in calls:
        match call:
            case Written(_, offset, written):
                content += _filled(max(offset - len(content), 0), filling)
                content[offset : offset + len(written)] = written
            case Truncated(_, size):
                content[size:] = bytes(max(size - len(content), 0))
    return bytes(content)


def _filled(size: int, filling: bytes) -> bytes:
    return (filling * (size // len(filling) + 1))[:size]


def losses(pending: Sequence[Call], chance: Random, *, cuts: int, subsets: int) -> Iterator[Loss]:
    """The ways to lose power that are tried at one point: the plain ones all, of the others so many at random."""
    every = dict.fromkeys(range(len(pending)))
    yield Loss("nothing unsynced", {})
    if not pending:
        return
    yield Loss("everything", every)
    is_name = [not isinstance(call, Written | Truncated) for call in pending]
    if any(is_name) and not all(is_name):
        yield Loss("names only", {index: None for index in every if is_name[index]})
        yield Loss("contents only", {index: None for index in every if not is_name[index]})
    last = len(pending) - 1
    if isinstance(call := pending[last], Written):
        for size in _cuts(call, chance, cuts):
            yield Loss(f"last write torn at {size} of {len(call.content)} bytes", every | {last: size})
    if last > 0:
        first = chance.randrange(1, last + 1)
        yield Loss(f"the first {first} of {last + 1} calls", dict.fromkeys(range(first)))
    for _ in range(subsets if last > 0 else 0):
        yield _subset(pending, chance)


def _cuts(call: Written, chance: Random, count: int) -> Iterator[int]:
    """Sizes to tear a write at: edges of the disk's sectors, and one odd byte."""
    size = len(call.content)
    first = SECTOR_BYTES - call.offset % SECTOR_BYTES
    edges = range(first, size, SECTOR_BYTES)
    yield from sorted(chance.sample(edges, min(count, len(edges))))
    if size > 1:
        yield chance.randrange(1, size) | 1 if size > 2 else 1


def _subset(pending: Sequence[Call], chance: Random) -> Loss:
    kept: dict[int, int | None] = {}
    for index, call in enumerate(pending):
        if chance.random() < 0.6:
            kept[index] = None
            if isinstance(call, Written) and chance.random() < 0.2:
                kept[index] = chance.choice([*_cuts(call, chance, 2), 0])
    filling = chance.choice([ZEROS, chance.randbytes(251)])
    return Loss(f"{len(kept)} of {len(pending)} calls, drawn", kept, filling)
