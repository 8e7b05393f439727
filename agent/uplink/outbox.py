"""Store and forward: numbered records kept until the broker has acknowledged them, within bounds.

Pure bookkeeping; what must be durable comes back as records to persist.  Dropping follows a declared order:
the highest priority number first, the oldest first within it; what was dropped is counted and told in a gap
record, so that the backend can tell a hole from silence.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.records import OutboxRemoved, OutboxStored

PRIORITY_EVENT = 0
PRIORITY_SAMPLE = 1

# Under way at once: enough to fill a slow link, few enough that a reconnect repeats little.
IN_FLIGHT_MAX = 16

# Removals are made durable together: a power cut repeats at most this many records, each under its old number.
REMOVALS_MAX = 32


class Outbox:
    """Records in order of their numbers, with those not durable yet and those under way marked.

    `records` are those found in the store.  If they exceed the bounds (which a person may have tightened), the next
    `add` brings them down.
    """

    def __init__(self, records: Iterable[OutboxStored], *, records_max: int, bytes_max: int) -> None:
        self._records = {record.sequence: record for record in sorted(records, key=lambda record: record.sequence)}
        self._bytes = sum(len(record.payload) for record in self._records.values())
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._unwritten: set[int] = set()
        self._in_flight: set[int] = set()
        self._acknowledged: list[int] = []
        self.dropped_count = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: OutboxStored) -> tuple[OutboxStored | OutboxRemoved, ...]:
        """Take a record in; returns what to persist: the record, and the removal of what had to give way.

        Nothing is returned for a record that is itself the first to give way, or larger than all there is room for.
        """
        may_fit = len(record.payload) <= self._bytes_max
        if may_fit:
            self._records[record.sequence] = record
            self._bytes += len(record.payload)
            self._unwritten.add(record.sequence)
        displaced = self._displace()
        self.dropped_count += len(displaced) + (not may_fit)
        kept = (record,) if record.sequence in self._records else ()
        removed = tuple(sequence for sequence in displaced if sequence != record.sequence)
        return (*kept, OutboxRemoved(removed)) if removed else kept

    def stored(self, sequence: int) -> None:
        """The record is durable now."""
        self._unwritten.discard(sequence)

    def to_send(self) -> tuple[OutboxStored, ...]:
        """The next durable records to hand to the broker; under way until `settled` or `link_lost`."""
        picked: list[OutboxStored] = []
        for record in self._records.values():
            if len(self._in_flight) >= IN_FLIGHT_MAX:
                break
            if record.sequence not in self._in_flight and record.sequence not in self._unwritten:
                self._in_flight.add(record.sequence)
                picked.append(record)
        return tuple(picked)

    def settled(self, sequence: int, *, is_acknowledged: bool) -> None:
        """The broker answered for one record: gone if acknowledged, to be sent again if refused."""
        self._in_flight.discard(sequence)
        if is_acknowledged and sequence in self._records:
            self._take(sequence)
            self._acknowledged.append(sequence)

    def link_lost(self) -> None:
        """What was under way is to be sent again."""
        self._in_flight.clear()

    def removals(self, *, is_forced: bool = False) -> OutboxRemoved | None:
        """Acknowledged records to be removed from the store, once there are enough of them or when forced."""
        if not self._acknowledged or (len(self._acknowledged) < REMOVALS_MAX and not is_forced):
            return None
        removed = OutboxRemoved(tuple(self._acknowledged))
        self._acknowledged.clear()
        return removed

    def _displace(self) -> list[int]:
        displaced: list[int] = []
        if not self._is_too_large():
            return displaced
        for record in sorted(self._records.values(), key=lambda record: (-record.priority, record.sequence)):
            self._take(record.sequence)
            displaced.append(record.sequence)
            if not self._is_too_large():
                break
        return displaced

    def _is_too_large(self) -> bool:
        return len(self._records) > self._records_max or self._bytes > self._bytes_max

    def _take(self, sequence: int) -> None:
        self._bytes -= len(self._records.pop(sequence).payload)
        self._unwritten.discard(sequence)
        self._in_flight.discard(sequence)
