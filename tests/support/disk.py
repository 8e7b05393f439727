"""A disk under virtual time: what survives a power cut is what was made durable, no more and no less."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agent.model.records import (
    BundleTaken,
    Done,
    FloorRaised,
    FloorReset,
    GivenUp,
    Intent,
    JournalEntry,
    JournalPruned,
    OutboxFound,
    OutboxHeld,
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
    TelemetryRecord,
)


@dataclass
class OutboxDisk:
    """The telemetry file by the contract of its records, worked out apart from the store."""

    records: dict[int, OutboxStored] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    run: RunNoted | None = None
    sequence_last: int | None = None

    def write(self, record: TelemetryRecord) -> None:
        match record:
            case OutboxStored(sequence):
                assert self.records.get(sequence, record) == record, "a sequence number twice"
                self.records[sequence] = record
                self.sequence_last = max(self.sequence_last or 0, sequence)
            case OutboxRemoved(sequences):
                for sequence in sequences:
                    self.records.pop(sequence, None)
                self.sequence_last = max(self.sequence_last or 0, *sequences)
            case GivenUp(spans):
                self.spans = spans
            case RunNoted():
                self.run = record

    def found(self, *, is_car_new: bool = True) -> OutboxFound:
        """As a start finds it; of a car that is not new an outbox without numbers is a new one."""
        return OutboxFound(
            tuple(
                OutboxHeld(record.sequence, int(record.priority), len(record.payload), record.made_s)
                for _, record in sorted(self.records.items())
            ),
            self.spans,
            max([self.run.running_s if self.run else 0, *(record.made_s for record in self.records.values())]),
            0 if self.sequence_last is None and is_car_new else self.sequence_last,
            self.run,
        )

    def fetch(self, sequences: Iterable[int]) -> tuple[OutboxStored, ...]:
        return tuple(self.records[sequence] for sequence in sequences if sequence in self.records)

    def clear(self) -> None:
        """Lost, and made anew."""
        self.records, self.spans, self.run, self.sequence_last = {}, (), None, None

    def copy(self) -> OutboxDisk:
        """The records are immutable; only the shelf they stand on is made anew."""
        return OutboxDisk(dict(self.records), self.spans, self.run, self.sequence_last)


@dataclass
class Disk:
    """What survives: the effect of every record that was made durable."""

    journal: dict[tuple[int, bytes], JournalEntry] = field(default_factory=dict)
    sessions: set[bytes] = field(default_factory=set)
    sequence_next: int = 1
    outbox: OutboxDisk = field(default_factory=OutboxDisk)
    trust: RecoveredTrust = field(default_factory=RecoveredTrust)

    def write(self, records: Iterable[Record]) -> None:
        for record in records:
            match record:
                case Intent(operator, cid):
                    assert (operator, cid) not in self.journal, "an intent twice"
                    self.journal[operator, cid] = JournalEntry(record)
                case Done(operator, cid):
                    entry = self.journal[operator, cid]
                    assert entry.done is None, "two ends of one command"
                    self.journal[operator, cid] = replace(entry, done=record)
                case ResultDelivered(operator, cid):
                    self.journal[operator, cid] = replace(self.journal[operator, cid], is_delivered=True)
                case SessionStarted(sid):
                    self.sessions.add(sid)
                case SequenceReserved(upto):
                    self.sequence_next = upto
                case JournalPruned(keys):
                    for key in keys:  # as the real store: of a session with a gap nothing is known any more
                        self.sessions.discard(self.journal.pop(key).intent.sid)
                case OutboxStored() | OutboxRemoved() | GivenUp() | RunNoted():
                    self.outbox.write(record)
                case BundleTaken() | FloorRaised() | FloorReset():
                    self.trust = trust_after(self.trust, record)

    def recover(self) -> Recovered:
        return Recovered(
            store_id=b"storeid!",
            journal=tuple(self.journal.values()),
            sessions=frozenset(self.sessions),
            sequence_next=self.sequence_next,
            outbox=self.outbox.found(is_car_new=self.sequence_next == 1),
            trust=self.trust,
        )

    def copy(self) -> Disk:
        """The records are immutable; only the shelves they stand on are made anew."""
        return Disk(dict(self.journal), set(self.sessions), self.sequence_next, self.outbox.copy(), self.trust)


def trust_after(trust: RecoveredTrust, record: BundleTaken | FloorRaised | FloorReset) -> RecoveredTrust:
    """The trust that a start finds once `record` is durable too."""
    match record:
        case BundleTaken(version, raw, tombstones, floor_unix_s):
            floor_unix_s = max(trust.floor_unix_s, floor_unix_s)
            return replace(trust, version=version, raw=raw, tombstones=tombstones, floor_unix_s=floor_unix_s)
        case FloorRaised(unix_s):
            return replace(trust, floor_unix_s=max(trust.floor_unix_s, unix_s))
        case FloorReset(order_id, unix_s):
            return replace(trust, floor_unix_s=unix_s, resets=trust.resets | {order_id})
