"""A life of a store: what the engine would write to it, and a process that does so and says what is durable.

python -m tests.support.store_history DIRECTORY [--synchronous LEVEL] [--from STEP] [--on-failing-disk]

It prints `opened STORE_ID` when the store is open and `written STEP` after each write, and nothing else; on a failing
disk `refused` and `degraded` for an opening, and `failed STEP` for a write, too.
"""

from __future__ import annotations

import argparse
import asyncio
import enum
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from agent.adapters.store import Stores
from agent.errors import StoreError
from agent.model.records import (
    BundleTaken,
    Done,
    FloorRaised,
    FloorReset,
    GivenUp,
    Intent,
    JournalEntry,
    JournalPruned,
    OutboxRemoved,
    OutboxStored,
    Record,
    Recovered,
    RecoveredTrust,
    ResultDelivered,
    RunNoted,
    SequenceReserved,
    SessionStarted,
    Span,
    Tombstone,
)
from tests.support.disk import OutboxDisk, trust_after
from tests.support.store_records import CAR, done, intent

COMMANDS = 16
SEQUENCE_BLOCK = 12
CHECKPOINT_PAGES = 30
LOG_BYTES_MAX = 40_000
"""SQLite's own interval of 1,000 pages and our bound of 4 MiB a hundredth as large: the log is folded into the file,
begun again and cut off several times in a short life, by the same code."""


class Restart(enum.Enum):
    """How one run of the agent ends and the next begins."""

    CLOSED = enum.auto()
    KILLED = enum.auto()


Step = tuple[Record, ...] | Restart
"""One `write`, all or none, or a restart."""


@cache
def history() -> tuple[Step, ...]:
    """The whole life, always the same."""
    return tuple(_life())


def _life() -> Iterator[Step]:
    sid = _label(0)
    reserved = SEQUENCE_BLOCK + 1
    sequence = 0
    spans: tuple[Span, ...] = ()
    yield (SessionStarted(sid), SequenceReserved(reserved))
    for number in range(1, COMMANDS + 1):
        if sequence + 7 >= reserved:  # a command uses at most seven numbers
            reserved += SEQUENCE_BLOCK
            yield (SequenceReserved(reserved),)
        yield (intent(number, sid=sid),)
        sequence += 1
        yield (OutboxStored(sequence, 1, _payload(sequence, 180), 100 * number),)
        sequence += 1
        yield (replace(done(number, sequence=sequence), result=_payload(sequence, 330)),)
        yield (ResultDelivered(7, intent(number).cid),)
        if number % 4 == 2:
            # One record gives way to three, the last of which needs several pages.
            batch = tuple(OutboxStored(sequence + n, 3, _payload(sequence + n, 90 * 9**n)) for n in (1, 2, 3))
            sequence += 3
            given_up = batch[0].sequence - 2
            spans += (Span(given_up, given_up, 1),)
            yield (*batch, OutboxRemoved((given_up,)), GivenUp(spans))
        if number % 4 == 3:
            # The spans are told, in the write that says they are.
            yield (RunNoted(f"boot {number}", has_ended=False, running_s=100 * number + 50),)
            sequence += 1
            yield (OutboxStored(sequence, 0, _payload(sequence, 120), 100 * number), GivenUp(()))
            spans = ()
        if number % 5 == 4:
            yield (OutboxRemoved(tuple(range(sequence - 7, sequence - 3))),)
            # The oldest two commands go, and the label of their session with them.
            yield (JournalPruned(tuple((7, intent(old).cid) for old in (number - 3, number - 2))),)
            sid = _label(number)
        if number % 6 == 3:
            yield (_bundle(number),)
        if number % 6 == 5:
            yield (FloorRaised(_date(number)),)
        if number == COMMANDS - 2:
            yield (FloorReset(_label(number) * 2, _date(1)),)
        if number == COMMANDS // 3:
            yield (RunNoted("boot", has_ended=True, running_s=100 * number),)
            yield Restart.CLOSED
        if number == COMMANDS * 2 // 3:
            yield Restart.KILLED
            yield (SessionStarted(sid := _label(number + 1)),)
        if number % 5 == 4:
            yield (SessionStarted(sid),)


def _bundle(number: int) -> BundleTaken:
    """Of the size of one for two operators, with a tombstone more each time; the rows of the one before go."""
    stones = tuple(Tombstone(_label(n)[:4], 7, sha256(b"key %d" % n).digest(), 1) for n in range(number))
    return BundleTaken(number, _payload(number, 700), stones, _date(number))


def _date(number: int) -> int:
    return 1_700_000_000 + number


def _label(number: int) -> bytes:
    return sha256(b"session %d" % number).digest()[:8]


def _payload(number: int, size: int) -> bytes:
    """Bytes that are nowhere else, so that half of a record cannot pass for the whole: of a size, the number's own."""
    return (sha256(b"payload %d" % number).digest() * (size // 32 + 1))[:size]


@dataclass
class Contents:
    """What a store holds by the contract of its records, worked out apart from the store."""

    journal: dict[tuple[int, bytes], JournalEntry] = field(default_factory=dict)
    sessions: set[bytes] = field(default_factory=set)
    sequence_next: int = 1
    outbox: OutboxDisk = field(default_factory=OutboxDisk)
    trust: RecoveredTrust = field(default_factory=RecoveredTrust)

    def take(self, records: Sequence[Record]) -> None:
        for record in records:
            match record:
                case Intent(operator, cid):
                    self.journal[operator, cid] = JournalEntry(record)
                case Done(operator, cid):
                    self.journal[operator, cid] = replace(self.journal[operator, cid], done=record)
                case ResultDelivered(operator, cid):
                    self.journal[operator, cid] = replace(self.journal[operator, cid], is_delivered=True)
                case SessionStarted(sid):
                    self.sessions.add(sid)
                case SequenceReserved(upto):
                    self.sequence_next = max(self.sequence_next, upto)
                case JournalPruned(keys):
                    for key in keys:
                        self.sessions.discard(self.journal.pop(key).intent.sid)
                case OutboxStored() | OutboxRemoved() | GivenUp() | RunNoted():
                    self.outbox.write(record)
                case BundleTaken() | FloorRaised() | FloorReset():
                    self.trust = trust_after(self.trust, record)

    def recovered(self) -> Recovered:
        """As a start would find it, but for the store's id."""
        return Recovered(
            b"",
            tuple(self.journal.values()),
            frozenset(self.sessions),
            self.sequence_next,
            self.outbox.found(is_car_new=self.sequence_next == 1),
            self.trust,
        )


@cache
def states() -> tuple[Recovered, ...]:
    """What the store holds before the first step and after each."""
    contents = Contents()
    found = [contents.recovered()]
    for step in history():
        if isinstance(step, tuple):
            contents.take(step)
        found.append(contents.recovered())
    return tuple(found)


def is_whole(record: OutboxStored) -> bool:
    """Whether a record of the outbox has the payload it was written with."""
    return record.payload == _payload(record.sequence, len(record.payload))


def numbers_used(steps: int) -> Iterator[int]:
    """Sequence numbers given out in the first so many steps."""
    for step in history()[:steps]:
        if isinstance(step, tuple):
            yield from (record.sequence for record in step if isinstance(record, Done | OutboxStored))


def say(text: str) -> None:
    """In one system call, so that it is one point in the trace."""
    os.write(1, text.encode())


async def live(directory: Path, first: int, synchronous: str | None) -> None:
    """Take the steps from `first` on; a restart is a new image of this process, or a closed and reopened store."""
    stores = opened(directory, synchronous)
    for index, step in enumerate(history()[first:], start=first):
        if step is Restart.CLOSED:
            stores.close()
            stores = opened(directory, synchronous)
        elif step is Restart.KILLED:
            own = ["-m", "tests.support.store_history", str(directory), "--from", str(index + 1)]
            level = [] if synchronous is None else ["--synchronous", synchronous]
            os.execv(sys.executable, [sys.executable, *own, *level])  # noqa: S606 - nothing is closed before
        else:
            await stores.write(step)
            say(f"written {index}\n")
    stores.close()


def opened(directory: Path, synchronous: str | None) -> Stores:
    """The store with its intervals scaled down and, if so wished, with less durability than it insists on."""
    stores = Stores(directory, CAR)
    recovered = stores.open()
    for file in (stores._authority, stores._telemetry):
        assert file is not None
        file.connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        file.connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_MAX}")
        if synchronous is not None:
            file.connection.execute(f"PRAGMA synchronous = {synchronous}")
    say(f"opened {recovered.store_id.hex()}\n")
    return stores


async def endure(directory: Path, first: int) -> None:
    """Open the store and make all writes from `first` on, whatever becomes of them.

    All of it in the writer's thread, for strace counts the calls of each thread for itself.
    """
    stores = Stores(directory, CAR)
    try:
        recovered = await asyncio.get_running_loop().run_in_executor(stores._writer, stores.open)
    except StoreError:
        say("refused\n")
        return
    apart = "opened" if not recovered.outbox.is_in_memory else "opened-without-outbox"
    say("degraded\n" if recovered.is_degraded else f"{apart} {recovered.store_id.hex()}\n")
    for index, step in enumerate(history()[first:], start=first):
        assert isinstance(step, tuple)
        try:
            await stores.write(step)
            say(f"written {index}\n")
        except StoreError:
            say(f"failed {index}\n")
    stores.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--synchronous")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--on-failing-disk", action="store_true")
    arguments = parser.parse_args()
    if arguments.on_failing_disk:
        asyncio.run(endure(arguments.directory, arguments.first))
    else:
        asyncio.run(live(arguments.directory, arguments.first, arguments.synchronous))


if __name__ == "__main__":
    main()
