"""Laws of completeness: whatever a link, a broker and two restarting ends do, every number has one fate (SR-07).

The car's end is the real outbox: what it sends, in what order, and what it gives up is not made up here.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.backend.completeness import (
    CarNumbers,
    GivenUp,
    Missing,
    Notice,
    Numbered,
    numbers_document,
    read_numbers,
)
from agent.backend.numbering import SETTLE_S, Arrival, Fate
from agent.backend.records import parse_record
from agent.model.records import OutboxStored, Priority
from agent.uplink import wire
from agent.uplink.outbox import Outbox

SETTLING_S = 3 * SETTLE_S


class Watcher:
    """The backend's end, which holds every notice against those before it."""

    def __init__(self) -> None:
        self.numbers = CarNumbers("demo")
        self.fates: dict[int, Fate | Arrival] = {}
        self.now_s = 0.0

    def deliver(self, payload: bytes) -> None:
        record = parse_record("demo", json.loads(payload))
        assert record is not None
        self.numbers, notices = self.numbers.taken(record, self.now_s)
        self.judge(notices)

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.numbers, notices = self.numbers.looked_at(self.now_s)
        self.judge(notices)

    def restart(self) -> None:
        saved = json.loads(json.dumps(numbers_document([self.numbers])))
        self.now_s = 0.0
        before = self.numbers
        self.numbers = read_numbers(saved)["demo"].resumed(self.now_s)
        assert [self.numbers.count(fate) for fate in Fate] == [before.count(fate) for fate in Fate]

    def judge(self, notices: tuple[Notice, ...]) -> None:
        for notice in notices:
            match notice:
                case Numbered(record, arrival):
                    before = self.fates.get(record.sequence)
                    assert not isinstance(before, Arrival) or arrival is Arrival.UNCOUNTED, "told twice"
                    assert (arrival is Arrival.AFTER_ALL) is (before in (Fate.MISSING, Fate.GIVEN_UP))
                    self.fates[record.sequence] = arrival
                case Missing(_, first, last):
                    for number in range(first, last + 1):
                        assert number not in self.fates, "missing, though it had a fate"
                        self.fates[number] = Fate.MISSING
                case GivenUp(_, first, last, was_missing):
                    for number in range(first, last + 1):
                        assert self.fates.get(number) is (Fate.MISSING if was_missing else None)
                        self.fates[number] = Fate.GIVEN_UP


@dataclass
class Car:
    """An outbox on a card that always works, and a broker that may lose what it has acknowledged."""

    watcher: Watcher
    records_max: int

    def __post_init__(self) -> None:
        self.sequence = 0
        self.fresh_from = 1
        self.is_connected = False
        self.payloads: dict[int, tuple[str, bytes, Priority]] = {}
        self.arrived: set[int] = set()
        self.box = Outbox(records_max=self.records_max, bytes_max=10**6, age_s_max=1e9)

    def tell(self, priority: Priority, kind: str, fields: dict[str, object] | None = None) -> None:
        self.sequence += 1
        payload = wire.named_record(kind, self.sequence, wire.Moment(0, None, 0), fields or {})
        record = OutboxStored(self.sequence, priority, payload)
        self.payloads[self.sequence] = (kind, payload, priority)
        self.box.add_gap(record) if priority is Priority.GAP else self.box.add(record)
        if self.box.holds(self.sequence):
            self.box.stored(self.sequence)

    def tell_gap(self) -> None:
        if spans := self.box.untold:
            fields = {
                "dropped": sum(span.count for span in spans),
                "unused": sum(span.unused for span in spans),
                "spans": [[span.first, span.last, span.count, span.unused] for span in spans],
            }
            self.tell(Priority.GAP, "gap", fields)

    def skip(self, count: int) -> None:
        self.box.skip(self.sequence + 1, self.sequence + count)
        self.sequence += count

    def connect(self) -> None:
        self.is_connected = True
        self.fresh_from = self.sequence + 1
        self.box.link_changed()
        self.tell_gap()

    def disconnect(self) -> None:
        self.is_connected = False
        self.box.link_changed()

    def send(self, losses: list[bool], *, is_acknowledged: bool = True, times: int = 1) -> None:
        if not self.is_connected:
            return
        for index, pick in enumerate(self.box.to_send()):
            _, payload, _ = self.payloads[pick.sequence]
            told = wire.as_historical(payload) if pick.sequence < self.fresh_from else payload
            if not losses[index % len(losses)]:
                for _ in range(times):
                    self.watcher.deliver(told)
                self.arrived.add(pick.sequence)
            if is_acknowledged:
                self.box.settled(pick.sequence, is_acknowledged=True)
        if not is_acknowledged:
            self.disconnect()


STEPS = st.one_of(
    st.tuples(st.just("samples"), st.integers(1, 12)),
    st.tuples(st.just("events"), st.integers(1, 6)),
    st.tuples(st.just("send"), st.lists(st.booleans(), min_size=1, max_size=4), st.booleans(), st.integers(1, 2)),
    st.tuples(st.just("send"), st.just([False]), st.just(True), st.just(1)),
    st.tuples(st.just("connect")),
    st.tuples(st.just("disconnect")),
    st.tuples(st.just("gap")),
    st.tuples(st.just("skip"), st.integers(1, 30)),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 60.0, SETTLE_S, 1000.0])),
    st.tuples(st.just("restart")),
)


def drive(car: Car, step: tuple[object, ...]) -> None:
    match step:
        case "samples", int(count):
            for _ in range(count):
                car.tell(Priority.SAMPLE, "readings")
        case "events", int(count):
            for _ in range(count):
                car.tell(Priority.EVENT, "something")
        case "send", list(losses), bool(is_acknowledged), int(times):
            car.send(losses, is_acknowledged=is_acknowledged, times=times)
        case ("connect",):
            car.connect()
        case ("disconnect",):
            car.disconnect()
        case ("gap",):
            car.tell_gap()
        case "skip", int(count):
            car.skip(count)
        case "wait", float(seconds):
            car.watcher.passes(seconds)
        case ("restart",):
            car.watcher.restart()


def settle(car: Car) -> None:
    """In the end the link holds, everything is told, and the car goes on telling."""
    car.connect()
    for _ in range(4):
        while len(car.box):
            car.send([False])
        car.tell_gap()
        car.watcher.passes(SETTLING_S)
        car.tell(Priority.SAMPLE, "readings")
        car.tell(Priority.EVENT, "something")
    while len(car.box):
        car.send([False])


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40), st.integers(2, 60))
def test_every_number_has_exactly_one_fate_in_the_end(steps: list[tuple[object, ...]], records_max: int) -> None:
    watcher = Watcher()
    car = Car(watcher, records_max)
    car.tell(Priority.EVENT, "started")
    car.connect()
    car.send([False])
    explained: set[int] = set()
    for step in steps:
        drive(car, step)
    settle(car)
    for number, (kind, payload, _) in car.payloads.items():
        if kind == "gap" and number in car.arrived:
            for first, last, count, unused in json.loads(payload)["spans"]:
                if count + unused == last - first + 1:
                    explained |= set(range(first, last + 1))
    run = watcher.numbers.runs[-1].numbering
    assert len(watcher.numbers.runs) == 1
    assert run.count(Fate.AWAITED) == 0
    assert (run.known_from, run.last) == (1, car.sequence)
    by_fate = Counter(watcher.fates.values())
    assert sum(by_fate.values()) == car.sequence
    for number in range(1, car.sequence + 1):
        fate = watcher.fates[number]
        if number in car.arrived:
            assert isinstance(fate, Arrival), f"{number} came, and is said to be {fate}"
        elif fate is Fate.MISSING:
            assert number not in explained
        else:
            assert fate is Fate.GIVEN_UP
            spans = [s for s in car.payloads.items() if s[1][0] == "gap" and s[0] in car.arrived]
            assert any(
                first <= number <= last for _, (_, raw, _) in spans for first, last, *_ in json.loads(raw)["spans"]
            )


EVENTS_WAIT_LONGER_THAN_SAMPLES: list[tuple[object, ...]] = [
    ("disconnect",),
    ("events", 6),
    ("events", 6),
    ("events", 4),
    ("samples", 3),
    ("connect",),
    ("send", [False], True, 1),
    ("wait", SETTLE_S),
]


@settings(max_examples=150, deadline=None)
@example(EVENTS_WAIT_LONGER_THAN_SAMPLES, 60)
@given(st.lists(STEPS, max_size=40), st.integers(2, 60))
def test_nothing_is_said_to_be_missing_that_is_only_late(steps: list[tuple[object, ...]], records_max: int) -> None:
    """Where no broker loses anything, nothing is ever missing but for a moment that a late gap record ends."""
    watcher = Watcher()
    car = Car(watcher, records_max)
    car.tell(Priority.EVENT, "started")
    car.connect()
    for step in steps:
        drive(car, ("send", [False], *step[2:]) if step[0] == "send" else step)
    settle(car)
    assert not {Fate.MISSING, Arrival.AFTER_ALL} & set(watcher.fates.values())


@given(st.lists(st.tuples(st.integers(1, 2**53 - 1), st.booleans(), st.booleans()), max_size=60))
def test_any_numbers_at_all_do_no_harm_and_lose_no_record(told: list[tuple[int, bool, bool]]) -> None:
    numbers = CarNumbers("demo")
    came: set[int] = set()
    for index, (number, is_sample, is_historical) in enumerate(told):
        payload = wire.named_record("readings" if is_sample else "odd", number, wire.Moment(0, None, 0), {})
        record = parse_record("demo", json.loads(wire.as_historical(payload) if is_historical else payload))
        assert record is not None
        numbers, notices = numbers.taken(record, index * 50.0)
        is_told = any(isinstance(notice, Numbered) for notice in notices)
        assert is_told or number in came
        came.add(number)
        assert read_numbers(numbers_document([numbers]))["demo"].count(Fate.AWAITED) == numbers.count(Fate.AWAITED)
