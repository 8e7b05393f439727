"""A disk under virtual time: what survives a power cut is what was made durable, no more and no less."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agent.model.records import (
    BundleTaken,
    Done,
    FloorRaised,
    FloorReset,
    Intent,
    JournalEntry,
    JournalPruned,
    OutboxRemoved,
    OutboxStored,
    Record,
    Recovered,
    RecoveredTrust,
    ResultDelivered,
    SequenceReserved,
    SessionStarted,
)


@dataclass
class Disk:
    """What survives: the effect of every record that was made durable."""

    journal: dict[tuple[int, bytes], JournalEntry] = field(default_factory=dict)
    sessions: set[bytes] = field(default_factory=set)
    sequence_next: int = 1
    outbox: dict[int, OutboxStored] = field(default_factory=dict)
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
                case OutboxStored(sequence):
                    assert sequence not in self.outbox, "a sequence number twice"
                    self.outbox[sequence] = record
                case OutboxRemoved(sequences):
                    for sequence in sequences:
                        self.outbox.pop(sequence, None)
                case BundleTaken() | FloorRaised() | FloorReset():
                    self.trust = trust_after(self.trust, record)

    def recover(self) -> Recovered:
        return Recovered(
            store_id=b"storeid!",
            journal=tuple(self.journal.values()),
            sessions=frozenset(self.sessions),
            sequence_next=self.sequence_next,
            outbox=tuple(self.outbox.values()),
            trust=self.trust,
        )

    def copy(self) -> Disk:
        """The records are immutable; only the shelves they stand on are made anew."""
        return Disk(dict(self.journal), set(self.sessions), self.sequence_next, dict(self.outbox), self.trust)


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
