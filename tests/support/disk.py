"""A disk under virtual time: what survives a power cut is what was made durable, no more and no less."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agent.model.records import (
    Done,
    Intent,
    JournalEntry,
    JournalPruned,
    OutboxRemoved,
    OutboxStored,
    Record,
    Recovered,
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

    def recover(self) -> Recovered:
        return Recovered(
            store_id=b"storeid!",
            journal=tuple(self.journal.values()),
            sessions=frozenset(self.sessions),
            sequence_next=self.sequence_next,
            outbox=tuple(self.outbox.values()),
        )

    def copy(self) -> Disk:
        """The records are immutable; only the shelves they stand on are made anew."""
        return Disk(dict(self.journal), set(self.sessions), self.sequence_next, dict(self.outbox))
