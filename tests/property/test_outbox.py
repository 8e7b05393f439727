"""Laws of the outbox for every order of records, answers, lost links and restarts (SR-07, SR-09)."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.model.records import OutboxRemoved, OutboxStored
from agent.uplink.outbox import IN_FLIGHT_MAX, PRIORITY_EVENT, PRIORITY_SAMPLE, REMOVALS_MAX, Outbox

# Priority and size in bytes.
RECORDS = st.tuples(st.sampled_from([PRIORITY_EVENT, PRIORITY_SAMPLE]), st.integers(0, 60))


def urgency(record: OutboxStored) -> tuple[int, int]:
    """What gives way first comes first."""
    return -record.priority, record.sequence


class OutboxLaws(RuleBasedStateMachine):
    """An outbox on a disk that writes when it likes, with a broker that answers when it likes."""

    @initialize(records_max=st.integers(1, 40), bytes_max=st.integers(20, 2000))
    def start(self, records_max: int, bytes_max: int) -> None:
        self.records_max, self.bytes_max = records_max, bytes_max
        self.disk: dict[int, OutboxStored] = {}
        self.unwritten: list[OutboxStored | OutboxRemoved] = []
        self.sequence = 0
        self.open()

    def open(self) -> None:
        self.box = Outbox(self.disk.values(), records_max=self.records_max, bytes_max=self.bytes_max)
        self.known = dict(self.disk)
        self.under_way: set[int] = set()
        self.acknowledged: set[int] = set()

    @rule(records=st.integers(1, 25).flatmap(lambda count: st.lists(RECORDS, min_size=count, max_size=count)))
    def add(self, records: list[tuple[int, int]]) -> None:
        for priority, size_bytes in records:
            self.add_one(priority, size_bytes)

    def add_one(self, priority: int, size_bytes: int) -> None:
        self.sequence += 1
        record = OutboxStored(self.sequence, priority, bytes(size_bytes))
        dropped_before, held = self.box.dropped_count, {**self.known, record.sequence: record}
        persisted = self.box.add(record)
        self.unwritten += persisted
        removed = {s for each in persisted if isinstance(each, OutboxRemoved) for s in each.sequences}
        gone = removed if record in persisted else removed | {record.sequence}
        assert self.box.dropped_count - dropped_before == len(gone)
        self.known = {sequence: held[sequence] for sequence in held if sequence not in gone}
        self.under_way -= gone
        if size_bytes <= self.bytes_max:
            kept = [urgency(each) for each in self.known.values()]
            assert all(urgency(held[sequence]) < min(kept, default=(1, 0)) for sequence in gone), "the declared order"
        # What a restart finds may exceed the bounds; from the next record on nothing does.
        assert len(self.known) <= self.records_max
        assert sum(len(record.payload) for record in self.known.values()) <= self.bytes_max

    @rule(count=st.integers(1, 40))
    def write(self, count: int) -> None:
        for _ in range(min(count, len(self.unwritten))):
            self.write_one()

    def write_one(self) -> None:
        record = self.unwritten.pop(0)
        if isinstance(record, OutboxStored):
            assert record.sequence not in self.disk, "a number twice"
            self.disk[record.sequence] = record
            self.box.stored(record.sequence)
        else:
            for sequence in record.sequences:
                del self.disk[sequence]

    @rule()
    def send(self) -> None:
        sequences = [record.sequence for record in self.box.to_send()]
        assert sequences == sorted(sequences)
        for sequence in sequences:
            assert sequence in self.disk, "told before it was kept"
            assert sequence in self.known, "told after it gave way"
            assert sequence not in self.under_way, "told twice at once"
            assert sequence not in self.acknowledged, "told after it was acknowledged"
        self.under_way.update(sequences)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), is_acknowledged=st.booleans())
    def answer(self, data: st.DataObject, is_acknowledged: bool) -> None:
        for sequence in data.draw(st.sets(st.sampled_from(sorted(self.under_way)), min_size=1)):
            self.answer_one(sequence, is_acknowledged)

    def answer_one(self, sequence: int, is_acknowledged: bool) -> None:
        self.under_way.remove(sequence)
        self.box.settled(sequence, is_acknowledged=is_acknowledged)
        if is_acknowledged:
            self.acknowledged.add(sequence)
            del self.known[sequence]
            if (removed := self.box.removals()) is not None:
                self.unwritten.append(removed)

    @rule(sequence=st.integers(-1, 200))
    def answer_for_something_else(self, sequence: int) -> None:
        if sequence not in self.known:
            self.box.settled(sequence, is_acknowledged=True)

    @rule()
    def end_orderly(self) -> None:
        if (removed := self.box.removals(is_forced=True)) is not None:
            self.unwritten.append(removed)
        self.write(len(self.unwritten))
        assert not self.acknowledged & self.disk.keys()

    @rule()
    def lose_link(self) -> None:
        self.box.link_lost()
        self.under_way = set()

    @rule()
    def cut_power(self) -> None:
        unremoved = {s for each in self.unwritten if isinstance(each, OutboxRemoved) for s in each.sequences}
        assert len(self.acknowledged & self.disk.keys() - unremoved) < REMOVALS_MAX, "told again after the cut"
        self.unwritten = []
        self.open()

    @invariant()
    def holds_what_was_neither_acknowledged_nor_counted(self) -> None:
        assert len(self.box) == len(self.known)
        assert len(self.under_way) <= IN_FLIGHT_MAX

    def teardown(self) -> None:
        """Whatever happened, in the end each record that was not counted as dropped reaches the broker."""
        self.box.link_lost()
        self.write(len(self.unwritten))
        while records := self.box.to_send():
            for record in records:
                self.box.settled(record.sequence, is_acknowledged=True)
                self.known.pop(record.sequence)
        assert self.known == {}
        assert len(self.box) == 0


TestOutboxLaws = OutboxLaws.TestCase
