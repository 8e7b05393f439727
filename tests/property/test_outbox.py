"""Laws of the outbox for every order of records, answers, lost links, failing writes and restarts (SR-07, SR-09)."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.model.records import GivenUp, OutboxRemoved, OutboxStored, Priority, TelemetryRecord
from agent.uplink.given_up import SPANS_MAX
from agent.uplink.outbox import IN_FLIGHT_MAX, LANE_SHARE, REMOVALS_MAX, Outbox
from tests.support.disk import OutboxDisk

# Priority and size in bytes.
RECORDS = st.tuples(st.sampled_from([Priority.EVENT, Priority.NOTE, Priority.SAMPLE]), st.integers(0, 60))
AGE_S_MAX = 1000


def urgency(record: OutboxStored) -> tuple[int, int]:
    """What gives way first comes first."""
    return -record.priority, record.sequence


class OutboxLaws(RuleBasedStateMachine):
    """An outbox on a disk that writes when it likes, with a broker that answers when it likes."""

    @initialize(records_max=st.integers(1, 40), bytes_max=st.integers(20, 2000))
    def start(self, records_max: int, bytes_max: int) -> None:
        self.records_max, self.bytes_max = records_max, bytes_max
        self.disk = OutboxDisk()
        self.unwritten: list[tuple[TelemetryRecord, ...]] = []
        self.sequence = 0
        self.running_s = 0
        self.received: set[int] = set()
        self.told_gaps: dict[int, GivenUp] = {}
        self.all: dict[int, OutboxStored] = {}
        self.open()

    def open(self) -> None:
        found = self.disk.found()
        self.box = Outbox(
            found.held,
            found.given_up,
            records_max=self.records_max,
            bytes_max=self.bytes_max,
            age_s_max=AGE_S_MAX,
        )
        self.known = dict(self.disk.records)
        self.under_way: dict[int, None] = {}
        self.acknowledged: set[int] = set()
        self.is_connected = False
        self.has_refused = False

    @rule(records=st.integers(1, 25).flatmap(lambda count: st.lists(RECORDS, min_size=count, max_size=count)))
    def add(self, records: list[tuple[Priority, int]]) -> None:
        for priority, size_bytes in records:
            self.add_one(priority, size_bytes)

    def numbered(self, priority: Priority, payload: bytes) -> OutboxStored:
        self.sequence += 1
        self.all[self.sequence] = OutboxStored(self.sequence, priority, payload, self.running_s)
        return self.all[self.sequence]

    def add_one(self, priority: Priority, size_bytes: int) -> None:
        record = self.numbered(priority, bytes(size_bytes))
        before, held = self.box.given_up_count, {**self.known, record.sequence: record}
        persisted = self.box.add(record)
        gone = self.persisted(persisted)
        if record not in persisted:
            gone |= {record.sequence}
        assert self.box.given_up_count - before == len(gone)
        self.known = {sequence: held[sequence] for sequence in held if sequence not in gone}
        assert not gone & self.under_way.keys(), "given up while the broker may be taking it"
        if size_bytes <= self.bytes_max:
            at_rest = [urgency(each) for each in self.at_rest()]
            assert all(urgency(held[sequence]) < min(at_rest, default=(1, 0)) for sequence in gone), "declared order"
        bounded = [each for each in self.known.values() if each.priority != Priority.GAP]
        under_way = len(self.under_way)
        assert len(bounded) <= max(self.records_max, under_way)
        size_under_way = sum(len(self.known[each].payload) for each in self.under_way)
        assert sum(len(each.payload) for each in bounded) <= max(self.bytes_max, size_under_way)

    def at_rest(self) -> list[OutboxStored]:
        return [
            each
            for each in self.known.values()
            if each.sequence not in self.under_way and each.priority != Priority.GAP
        ]

    def persisted(self, records: tuple[TelemetryRecord, ...]) -> set[int]:
        """Queue a write; returns the numbers it removes, which it must account for in the very same write."""
        if records:
            self.unwritten.append(records)
        removed = {s for each in records if isinstance(each, OutboxRemoved) for s in each.sequences}
        if removed:
            (given_up,) = (each for each in records if isinstance(each, GivenUp))
            for sequence in removed:
                assert any(span.first <= sequence <= span.last for span in given_up.spans)
        return removed

    @rule()
    def tell_gap(self) -> None:
        if spans := self.box.untold:
            record = self.numbered(Priority.GAP, b"gap")
            self.told_gaps[record.sequence] = GivenUp(spans)
            self.unwritten.append(self.box.add_gap(record))
            self.known[record.sequence] = record
            assert self.box.untold == ()

    @rule(passed_s=st.integers(1, 400))
    def grow_old(self, passed_s: int) -> None:
        self.running_s += passed_s
        gone = self.persisted(self.box.expire(self.running_s))
        old = {each.sequence for each in self.at_rest() if each.made_s < self.running_s - AGE_S_MAX}
        assert gone == old
        for sequence in gone:
            del self.known[sequence]

    @rule(count=st.integers(1, 40))
    def write(self, count: int) -> None:
        for _ in range(min(count, len(self.unwritten))):
            for record in self.unwritten.pop(0):
                self.disk.write(record)
                if isinstance(record, OutboxStored):
                    self.box.stored(record.sequence)

    @precondition(lambda self: not self.is_connected)
    @rule()
    def connect(self) -> None:
        self.is_connected, self.has_refused = True, False
        self.box.link_changed()

    @rule()
    def send(self) -> None:
        if not self.is_connected:
            return
        picked = self.box.to_send()
        for lane in (
            [each.sequence for each in picked if self.all[each.sequence].priority == Priority.SAMPLE],
            [each.sequence for each in picked if self.all[each.sequence].priority != Priority.SAMPLE],
        ):
            # Of events the live ones come first, so at most once does the order begin again; refused ones come last.
            assert self.has_refused or sum(one > other for one, other in pairwise(lane)) <= 1
        for pick in picked:
            sequence = pick.sequence
            assert sequence in self.disk.records, "told before it was kept"
            assert sequence in self.known, "told after it gave way"
            assert sequence not in self.under_way, "told twice at once"
            assert sequence not in self.acknowledged, "told after it was acknowledged"
            assert pick.payload in (None, self.disk.records[sequence].payload)
            assert pick.made_s == self.disk.records[sequence].made_s
            self.under_way[sequence] = None
        self.no_lane_starves()

    def no_lane_starves(self) -> None:
        """Whatever else is under way, a durable sample and a durable event each have room."""
        waiting = [each for each in self.at_rest() if each.sequence in self.disk.records]
        for is_sample in (True, False):
            of_kind = [each for each in self.under_way if (self.all[each].priority == Priority.SAMPLE) is is_sample]
            if any((each.priority == Priority.SAMPLE) is is_sample for each in waiting):
                assert len(of_kind) >= LANE_SHARE

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), is_acknowledged=st.booleans())
    def answer(self, data: st.DataObject, is_acknowledged: bool) -> None:
        for sequence in data.draw(st.sets(st.sampled_from(sorted(self.under_way)), min_size=1)):
            self.answer_one(sequence, is_acknowledged)

    def answer_one(self, sequence: int, is_acknowledged: bool) -> None:
        del self.under_way[sequence]
        self.box.settled(sequence, is_acknowledged=is_acknowledged)
        self.has_refused |= not is_acknowledged
        if is_acknowledged:
            self.acknowledged.add(sequence)
            self.received.add(sequence)
            del self.known[sequence]
            if (removed := self.box.removals()) is not None:
                self.unwritten.append((removed,))

    @rule(sequence=st.integers(-1, 200))
    def answer_for_something_else(self, sequence: int) -> None:
        if sequence not in self.known:
            self.box.settled(sequence, is_acknowledged=True)

    @rule()
    def end_orderly(self) -> None:
        if (removed := self.box.removals(is_forced=True)) is not None:
            self.unwritten.append((removed,))
        self.write(len(self.unwritten))
        assert not self.acknowledged & self.disk.records.keys()

    @precondition(lambda self: self.is_connected)
    @rule()
    def lose_link(self) -> None:
        self.box.link_changed()
        self.under_way = {}
        self.is_connected = False

    @rule()
    def cut_power(self) -> None:
        queued = [each for write in self.unwritten for each in write]
        unremoved = {s for each in queued if isinstance(each, OutboxRemoved) for s in each.sequences}
        assert len(self.acknowledged & self.disk.records.keys() - unremoved) < REMOVALS_MAX, "told again after the cut"
        # What was never durable is nobody's: the next start says so of its numbers.
        last = max(self.disk.sequence_last or 0, 0)
        self.unwritten = []
        self.open()
        if last < self.sequence:
            self.box.skip(last + 1, self.sequence)
            self.unwritten.append((self.box.given_up(),))
            self.write(1)
            record = self.numbered(Priority.EVENT, b"")
            self.known[record.sequence] = record
            gone = self.persisted(self.box.add(record))
            self.known = {sequence: each for sequence, each in self.known.items() if sequence not in gone}
            if not self.box.holds(record.sequence):
                del self.known[record.sequence]
            self.write(len(self.unwritten))

    @invariant()
    def holds_what_was_neither_acknowledged_nor_counted(self) -> None:
        assert len(self.box) == len(self.known)
        assert len(self.under_way) <= IN_FLIGHT_MAX
        assert self.box.payload_bytes == sum(len(each.payload) for each in self.known.values())
        assert len(self.box.given_up().spans) <= SPANS_MAX

    def teardown(self) -> None:
        """Whatever happened, in the end the backend can account for every number there ever was."""
        self.box.link_changed()
        self.write(len(self.unwritten))
        self.run_dry()
        self.tell_gap()
        self.write(len(self.unwritten))
        self.run_dry()
        assert self.known == {}
        spans = [span for sequence, gap in self.told_gaps.items() if sequence in self.received for span in gap.spans]
        missing = set(self.all) - self.received
        for sequence in missing:
            assert any(span.first <= sequence <= span.last for span in spans), f"{sequence} is nowhere"
        # A record may have been received by a broker whose acknowledgement was lost, and given up later; never fewer.
        assert sum(span.count + span.unused for span in spans) >= len(missing)

    def run_dry(self) -> None:
        while picked := self.box.to_send():
            for pick in picked:
                self.received.add(pick.sequence)
                self.box.settled(pick.sequence, is_acknowledged=True)
                self.known.pop(pick.sequence)


TestOutboxLaws = OutboxLaws.TestCase
