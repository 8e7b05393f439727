"""Store and forward: numbered records kept until the broker has acknowledged them, within bounds.

Pure bookkeeping; what must be durable comes back as records to persist.  Three bounds: records, bytes of payload, and
age.  What exceeds them is given up in one declared order, here and nowhere else: the highest `Priority` number first,
the oldest first within it, never one that is under way, never the gap record.  Its numbers are durable as spans with
counts in the very write that removes it, and told in a gap record, so that the backend can tell a hole from silence.

Records leave by three lanes, each in order of its numbers: events made during this connection, events that waited,
and samples.  None can take all of what may be under way, so that a week of samples holds up no event and no event a
sample.  Payloads are held only until they are durable; what waits longer is read back when its turn comes.

Age is counted in the agent's running time, so that no clock can be set to drop or keep anything; time in which it
does not run counts as none, and the other two bounds hold whatever happens.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from agent.model.quick_dataclass import dataclass
from agent.model.records import GivenUp, OutboxHeld, OutboxRemoved, OutboxStored, Priority, Span, TelemetryRecord
from agent.uplink.given_up import bounded, with_number

# Under way at once: enough to fill a slow link, few enough that a reconnect repeats little.
IN_FLIGHT_MAX = 16

# Of these each lane has so many that no other may take.
LANE_SHARE = 4

# Removals are made durable together: a power cut repeats at most this many records, each under its old number.
REMOVALS_MAX = 32

# Payloads in memory because the card does not take them (or has not yet): a day of events, a fraction of a Pi.
UNWRITTEN_BYTES_MAX = 1 << 20


_GIVEN_UP_FIRST_TO_LAST = (Priority.SAMPLE, Priority.NOTE, Priority.EVENT)


class Lane(IntEnum):
    """What is picked first comes first."""

    LIVE = 0
    WAITING = 1
    SAMPLE = 2


@dataclass(frozen=True, slots=True)
class Picked:
    """A record to be told now; without a payload it must be read back first. `made_s` as in `OutboxStored`."""

    sequence: int
    made_s: int
    payload: bytes | None


class Outbox:
    """Records in order of their numbers, with those not durable yet and those under way marked.

    `held` are those found in the store.  If they exceed the bounds (which a person may have tightened), the next
    `add` or `expire` brings them down.
    """

    def __init__(
        self,
        held: Iterable[OutboxHeld] = (),
        given_up: Iterable[Span] = (),
        *,
        records_max: int,
        bytes_max: int,
        age_s_max: float,
    ) -> None:
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._age_s_max = age_s_max
        self._held: dict[Priority, dict[int, OutboxHeld]] = {priority: {} for priority in Priority}
        self._lanes: dict[Lane, dict[int, None]] = {lane: {} for lane in Lane}
        self._under_way: dict[int, Lane] = {}
        # Payloads of what is not durable yet (`_new`), cannot be made so (`_volatile`), or just was.
        self._payloads: dict[int, OutboxStored] = {}
        self._new: set[int] = set()
        self._volatile: set[int] = set()
        self._acknowledged: list[int] = []
        self._spans = bounded(given_up)
        self._records = self._bytes = self._memory_bytes = 0
        self.given_up_count = 0
        for record in sorted(held, key=lambda record: record.sequence):
            self._enter(record)
            self._queue(record.sequence, Lane.WAITING)

    def __len__(self) -> int:
        return self._records

    @property
    def payload_bytes(self) -> int:
        """Of everything held, in memory or not."""
        return self._bytes

    @property
    def memory_bytes(self) -> int:
        """Payloads in memory."""
        return self._memory_bytes

    @property
    def untold(self) -> tuple[Span, ...]:
        """Numbers that will not come and no gap record tells yet; none while the last one is still on its way."""
        return () if self._held[Priority.GAP] else self._spans

    @property
    def volatile(self) -> tuple[OutboxStored, ...]:
        """What the card did not take, in order of the numbers."""
        return tuple(self._payloads[sequence] for sequence in sorted(self._volatile))

    def given_up(self) -> GivenUp:
        """What is in no gap record yet, as it is to be durable."""
        return GivenUp(self._spans)

    # --- in -----------------------------------------------------------------------------------------------------

    def add(self, record: OutboxStored) -> tuple[TelemetryRecord, ...]:
        """Take a record in; returns what to persist in one write: the record, and what had to give way for it.

        The record itself is not among it if it is the first to give way, or larger than all there is room for.
        """
        if len(record.payload) > min(self._bytes_max, UNWRITTEN_BYTES_MAX):
            self._note_given_up(record.sequence)
            return (GivenUp(self._spans),)
        self._take_in(record)
        displaced = self._displace()
        kept = (record,) if record.sequence in self._new else ()
        gone = tuple(sequence for sequence in displaced if sequence != record.sequence)
        return (*kept, *self._removal(gone)) if displaced else kept

    def add_gap(self, record: OutboxStored) -> tuple[TelemetryRecord, ...]:
        """Take in the record that tells `untold`; the one that is let in beyond the bounds, so that it always can."""
        self._spans = ()
        self._take_in(record)
        return record, GivenUp(())

    def skip(self, first: int, last: int) -> None:
        """These numbers are no record's, and the next gap record says so; to be made durable by `given_up`."""
        self._spans = bounded((*self._spans, Span(first, last, 0, last - first + 1)))

    def expire(self, running_s: float) -> tuple[TelemetryRecord, ...]:
        """Give up what is too old; returns what to persist, nothing if there is nothing."""
        expired: list[int] = []
        for priority, held in self._held.items():
            while priority is not Priority.GAP and (oldest := self._oldest_at_rest(held)) is not None:
                if held[oldest].made_s >= running_s - self._age_s_max:
                    break
                self._give_up(oldest)
                expired.append(oldest)
        return self._removal(tuple(expired)) if expired else ()

    def stored(self, sequence: int) -> None:
        """The record is durable now."""
        if sequence in self._new:
            self._new.remove(sequence)
            self._queue(sequence, Lane.LIVE)
        self._volatile.discard(sequence)

    def not_stored(self, sequence: int) -> None:
        """The card does not take the record: it is told all the same, from memory."""
        if sequence in self._new:
            self._new.remove(sequence)
            self._volatile.add(sequence)
            self._queue(sequence, Lane.LIVE)

    def lost(self, sequences: Iterable[int]) -> tuple[TelemetryRecord, ...]:
        """These could not be read back: given up, for there is nothing to tell. Returns what to persist."""
        gone = tuple(sequence for sequence in sequences if sequence in self._under_way)
        for sequence in gone:
            self._give_up(sequence)
        return self._removal(gone) if gone else ()

    # --- out ----------------------------------------------------------------------------------------------------

    def to_send(self) -> tuple[Picked, ...]:
        """The next records to hand to the broker; under way until `settled` or `link_changed`."""
        picked: list[Picked] = []
        for lane, waiting in self._lanes.items():
            if not waiting:
                continue
            for _ in range(min(self._room_for(lane), len(waiting))):
                sequence = next(iter(waiting))
                del waiting[sequence]
                self._under_way[sequence] = lane
                record, held = self._payloads.get(sequence), self._find(sequence)[sequence]
                picked.append(Picked(sequence, held.made_s, None if record is None else record.payload))
        self.forget_payloads()
        return tuple(picked)

    def holds(self, sequence: int) -> bool:
        return any(sequence in held for held in self._held.values())

    def is_unwritten(self, sequence: int) -> bool:
        """The store has not said yet what became of it."""
        return sequence in self._new

    def is_under_way(self, sequence: int) -> bool:
        return sequence in self._under_way

    def forget_payloads(self) -> None:
        """Payloads that are durable now can be read back when their turn comes."""
        for sequence in [each for each in self._payloads if each not in self._new and each not in self._volatile]:
            self._memory_bytes -= len(self._payloads.pop(sequence).payload)

    def settled(self, sequence: int, *, is_acknowledged: bool) -> None:
        """The broker answered for one record: gone if acknowledged; if refused it is to be sent after the others."""
        if (lane := self._under_way.pop(sequence, None)) is None:
            return
        if is_acknowledged:
            self._take_out(sequence)
            self._acknowledged.append(sequence)
        else:
            self._lanes[lane][sequence] = None

    def link_changed(self) -> None:
        """A connection begins or ended: what was under way is to be sent again, and what was live has waited."""
        sequences = sorted((*self._under_way, *(sequence for lane in self._lanes.values() for sequence in lane)))
        self._under_way.clear()
        for lane in self._lanes.values():
            lane.clear()
        for sequence in sequences:
            self._queue(sequence, Lane.WAITING)

    def removals(self, *, is_forced: bool = False) -> OutboxRemoved | None:
        """Acknowledged records to be removed from the store, once there are enough of them or when forced."""
        if not self._acknowledged or (len(self._acknowledged) < REMOVALS_MAX and not is_forced):
            return None
        removed = OutboxRemoved(tuple(self._acknowledged))
        self._acknowledged.clear()
        return removed

    # --- bookkeeping --------------------------------------------------------------------------------------------

    def _room_for(self, lane: Lane) -> int:
        under_way = dict.fromkeys(Lane, 0)
        for each in self._under_way.values():
            under_way[each] += 1
        kept_free = sum(max(0, LANE_SHARE - under_way[other]) for other in Lane if other is not lane)
        return max(0, IN_FLIGHT_MAX - len(self._under_way) - kept_free)

    def _take_in(self, record: OutboxStored) -> None:
        self._enter(OutboxHeld(record.sequence, record.priority, len(record.payload), record.made_s))
        self._payloads[record.sequence] = record
        self._memory_bytes += len(record.payload)
        self._new.add(record.sequence)

    def _enter(self, record: OutboxHeld) -> None:
        self._held[Priority(record.priority)][record.sequence] = record
        self._records += 1
        self._bytes += record.size_bytes

    def _queue(self, sequence: int, lane: Lane) -> None:
        self._lanes[Lane.SAMPLE if sequence in self._held[Priority.SAMPLE] else lane][sequence] = None

    def _displace(self) -> list[int]:
        displaced: list[int] = []
        while self._is_too_large() and (sequence := self._first_to_go()) is not None:
            displaced.append(self._give_up(sequence))
        while self._memory_bytes > UNWRITTEN_BYTES_MAX and (sequence := self._first_in_memory()) is not None:
            displaced.append(self._give_up(sequence))
        return displaced

    def _is_too_large(self) -> bool:
        """The gap record is let in beyond the bounds."""
        gap = self._held[Priority.GAP].values()
        is_too_many = self._records - len(gap) > self._records_max
        return is_too_many or self._bytes - sum(record.size_bytes for record in gap) > self._bytes_max

    def _first_to_go(self) -> int | None:
        """By the declared order; None if all that is left is under way, which is soon over."""
        for priority in _GIVEN_UP_FIRST_TO_LAST:
            if (oldest := self._oldest_at_rest(self._held[priority])) is not None:
                return oldest
        return None

    def _first_in_memory(self) -> int | None:
        """The same order among what the card does not take."""
        at_rest = (
            each
            for each, record in self._payloads.items()
            if each not in self._under_way and record.priority != Priority.GAP
        )
        return max(at_rest, key=lambda each: (self._payloads[each].priority, -each), default=None)

    def _oldest_at_rest(self, held: dict[int, OutboxHeld]) -> int | None:
        return next((sequence for sequence in held if sequence not in self._under_way), None)

    def _give_up(self, sequence: int) -> int:
        self._under_way.pop(sequence, None)
        self._take_out(sequence)
        self._note_given_up(sequence)
        return sequence

    def _note_given_up(self, sequence: int) -> None:
        self._spans = with_number(self._spans, sequence)
        self.given_up_count += 1

    def _removal(self, sequences: tuple[int, ...]) -> tuple[TelemetryRecord, ...]:
        """What must be durable in one write: these are gone, and told to be."""
        return (OutboxRemoved(sequences), GivenUp(self._spans)) if sequences else (GivenUp(self._spans),)

    def _find(self, sequence: int) -> dict[int, OutboxHeld]:
        return next(held for held in self._held.values() if sequence in held)

    def _take_out(self, sequence: int) -> None:
        self._bytes -= self._find(sequence).pop(sequence).size_bytes
        self._records -= 1
        if (record := self._payloads.pop(sequence, None)) is not None:
            self._memory_bytes -= len(record.payload)
        self._new.discard(sequence)
        self._volatile.discard(sequence)
        for lane in self._lanes.values():
            lane.pop(sequence, None)
