"""Frames in, publications out: across lost links, refusals, restarts and full outboxes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.config import Config, parse_config
from agent.model.effects import Effect, Log, Persist, Publish
from agent.model.events import BusChanged, ClockSet, ClockTrust
from agent.model.frame import BusState
from agent.model.records import OutboxRemoved, OutboxStored, Recovered, SequenceReserved
from agent.pending import Pending
from agent.profiles.schema import ReportRule
from agent.session import Session
from agent.telemetry import REFUSAL_PAUSE_S, SWEEP_INTERVAL_S, Telemetry
from agent.uplink.outbox import IN_FLIGHT_MAX, PRIORITY_EVENT, REMOVALS_MAX
from tests.support.plans import IS_LOCKED, SPEED, frame_of, message_plan, profile_of, signal_plan

CAR = "5ca1ab1e0ddba115"
BATCH_S = 1.0
STATE_INTERVAL_S = 10.0
HEARTBEAT_S = 60.0
RECORDS_MAX = 100

PROFILE = profile_of(
    message_plan(
        signal_plan(SPEED, unit="km/h", freshness_s=0.85),
        signal_plan(
            IS_LOCKED, byte=1, choices={0: False, 1: True}, report=ReportRule(0.0, 0.0, is_event=True), freshness_s=5.0
        ),
    )
)


def config() -> Config:
    parsed = parse_config(
        f"""
        car = {{ id = "{CAR}", profile = "p", key_file = "k" }}
        buses = {{ body = {{ channel = "can0" }} }}
        broker = {{ host = "127.0.0.1" }}
        [[operators]]
        number = 1
        command_keys = [{{ id = "00000001", public_key = "{"0" * 64}", actions = ["lock"] }}]
        [reporting]
        batch_s = {BATCH_S}
        state_interval_s = {STATE_INTERVAL_S}
        heartbeat_s = {HEARTBEAT_S}
        outbox_records_max = {RECORDS_MAX}
        """,
        source="agent.toml",
    )
    assert isinstance(parsed, Config), parsed
    return parsed


@dataclass
class Car:
    """Telemetry with a store and a broker that do what the test says, in virtual time."""

    recovered: Recovered = field(default_factory=lambda: Recovered(b"store--1"))
    now_s: float = 1000.0
    is_acknowledging: bool = True
    refusal: str | None = None
    published: list[Publish] = field(default_factory=list)
    logged: list[Log] = field(default_factory=list)
    outbox: dict[int, OutboxStored] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pending = Pending(self.recovered.sequence_next)
        self.telemetry = Telemetry(
            PROFILE, config(), self.recovered, Session(b"session1", self.now_s), self.pending, self.now_s, operator=1
        )
        self.outbox = {record.sequence: record for record in self.recovered.outbox}
        self.unanswered: list[int] = []

    def perform(self) -> None:
        """Perform all effects; the broker answers each publication at once unless it is told not to."""
        while (effect := self.pending.pop()) is not None:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Persist(records, token):
                for record in records:
                    match record:
                        case OutboxStored(sequence):
                            assert sequence not in self.outbox, "a sequence number twice"
                            self.outbox[sequence] = record
                        case OutboxRemoved(sequences):
                            for sequence in sequences:
                                del self.outbox[sequence]
                self.telemetry.stored(token, self.now_s)
            case Publish(token=token):
                self.published.append(effect)
                if token is not None and self.is_acknowledging:
                    assert self.telemetry.published(token, self.refusal, self.now_s)
                elif token is not None:
                    self.unanswered.append(token)
            case Log():
                self.logged.append(effect)

    def connect(self) -> None:
        self.telemetry.connected(self.now_s)
        self.perform()

    def lose_link(self) -> None:
        """As the broker's adapter tells it: first what was left unanswered, then the loss itself."""
        for token in self.unanswered:
            self.telemetry.published(token, "connection lost", self.now_s)
        self.unanswered = []
        self.telemetry.disconnected()
        self.perform()

    def hear(self, *data: int, at_s: float | None = None) -> None:
        self.telemetry.receive_frame(frame_of(*data, at_s=self.now_s if at_s is None else at_s), self.now_s)

    def run(self, seconds: float, *data: int) -> None:
        """Let time pass, with a frame every 0.1 s if there are data for one."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s = round(self.now_s + 0.1, 6)
            if data:
                self.hear(*data)
            if self.now_s >= self.telemetry.next_timer():
                self.telemetry.handle_timer(self.now_s)
            self.perform()

    def taken(self, kind: str) -> list[Any]:
        """Documents published under a topic type since the last time asked for any."""
        found = [json.loads(publish.payload) for publish in self.published if publish.topic.endswith("/" + kind)]
        self.published = [publish for publish in self.published if not publish.topic.endswith("/" + kind)]
        return found


def sequences(documents: Iterable[Any]) -> list[int]:
    return [document["seq"] for document in documents]


# --- what is told -------------------------------------------------------------------------------------------------


def test_connection_begins_with_who_is_here_what_it_can_do_and_how_it_is() -> None:
    car = Car()
    car.connect()
    topics = [publish.topic for publish in car.published]
    assert topics == [f"v1/all/{CAR}/presence", f"v1/1/{CAR}/caps", f"v1/1/{CAR}/state"]
    assert all(publish.is_retained for publish in car.published)
    (state,) = car.taken("state")
    assert {path: reading["quality"] for path, reading in state["readings"].items()} == {
        SPEED: "unknown",
        IS_LOCKED: "unknown",
    }


def test_event_is_told_at_once_and_the_sample_with_its_batch() -> None:
    car = Car()
    car.connect()
    car.run(0.2, 50, 1)
    (event,) = (document for document in car.taken("evt") if document["kind"] == "event")
    assert [(row["path"], row["value"]) for row in event["readings"]] == [(IS_LOCKED, True)]
    car.run(BATCH_S, 50, 1)
    (samples,) = (document for document in car.taken("evt") if document["kind"] == "readings")
    assert [(row["path"], row["value"]) for row in samples["readings"]] == [(SPEED, 50)]


def test_silence_is_told_as_stale_and_asleep() -> None:
    """SR-05, SR-10."""
    car = Car()
    car.connect()
    car.telemetry.bus_changed(BusChanged("body", BusState.UP))
    car.run(2.0, 50, 1)
    car.taken("evt")
    car.run(20.0)
    events = car.taken("evt")
    rows = [(row["path"], row["value"], row["quality"]) for event in events for row in event.get("readings", ())]
    assert rows == [(SPEED, None, "stale"), (IS_LOCKED, None, "stale")]
    assert [event["kind"] for event in events if "bus" in event] == ["bus_asleep"]
    state = car.taken("state")[-1]
    assert state["buses"] == {"body": "asleep"}
    assert state["readings"][SPEED]["value"] is None
    assert state["readings"][SPEED]["last_value"] == 50


def test_frame_that_waited_longer_than_its_freshness_is_told_as_stale() -> None:
    """SR-05: what stood in the kernel's buffer through a suspend is no news of now, nor is its bus awake."""
    car = Car()
    car.connect()
    car.hear(50, 1, at_s=car.now_s - 60.0)
    assert car.telemetry.is_asleep("body", car.now_s)
    car.run(2 * BATCH_S)
    rows = [row for document in car.taken("evt") for row in document.get("readings", ())]
    assert {(row["path"], row["value"], row["quality"]) for row in rows} == {
        (SPEED, None, "stale"),
        (IS_LOCKED, None, "stale"),
    }


def test_snapshot_is_repeated_when_something_changed_and_as_a_heartbeat() -> None:
    """SR-10: between the two there is silence, and it is bounded."""
    car = Car()
    car.connect()
    car.run(30.0)
    assert len(car.taken("state")) == 1
    car.run(HEARTBEAT_S)
    assert len(car.taken("state")) == 1
    for speed in range(100):
        car.run(0.5, speed, 1)
    assert 50 / STATE_INTERVAL_S <= len(car.taken("state")) <= 50 / STATE_INTERVAL_S + 2


def test_records_carry_the_wall_time_as_far_as_it_is_known() -> None:
    car = Car()
    car.connect()
    car.telemetry.tell("started", {}, car.now_s)
    car.telemetry.clock_set(ClockSet(1e9, ClockTrust.ESTIMATED))
    car.telemetry.tell("started", {}, car.now_s)
    car.perform()
    before, after = car.taken("evt")
    assert (before["time_unix_s"], before["clock_trust"]) == (None, 0)
    assert (after["time_unix_s"], after["clock_trust"]) == (1e9 + 1000, 1)


def test_state_of_a_bus_is_logged_once_for_each_change() -> None:
    car = Car()
    for state in (BusState.UP, BusState.UP, BusState.BUS_OFF):
        car.telemetry.bus_changed(BusChanged("body", state))
    car.perform()
    assert [line.fields["state"] for line in car.logged] == ["up", "bus_off"]
    assert car.telemetry.state_of("body") is BusState.BUS_OFF
    assert car.telemetry.status(car.now_s)["buses"] == {"body": "bus_off"}


# --- what is kept -------------------------------------------------------------------------------------------------


def test_record_is_told_only_when_its_write_came_through() -> None:
    """SR-07: a number that was told is never given again, so it must be on the card first."""
    car = Car()
    car.connect()
    car.telemetry.tell("started", {}, car.now_s)
    effects = list(iter(car.pending.pop, None))
    reserved, stored = (effect for effect in effects if isinstance(effect, Persist))
    assert isinstance(reserved.records[0], SequenceReserved)
    assert isinstance(stored.records[0], OutboxStored)
    assert not any(isinstance(effect, Publish) for effect in effects)
    car.telemetry.stored(stored.token, car.now_s)
    assert any(isinstance(effect, Publish) for effect in iter(car.pending.pop, None))


def test_records_made_without_a_connection_are_told_later_as_historical() -> None:
    car = Car()
    car.telemetry.tell("first", {}, car.now_s)
    car.perform()
    assert car.published == []
    car.connect()
    car.telemetry.tell("second", {}, car.now_s)
    car.perform()
    assert [(document["kind"], document.get("historical", False)) for document in car.taken("evt")] == [
        ("first", True),
        ("second", False),
    ]


def test_records_of_the_last_run_are_told_as_historical_under_their_old_numbers() -> None:
    recovered = Recovered(
        b"store--1", sequence_next=1000, outbox=(OutboxStored(7, PRIORITY_EVENT, b'{"kind":"door","seq":7}'),)
    )
    car = Car(recovered)
    car.connect()
    assert car.taken("evt") == [{"kind": "door", "seq": 7, "historical": True}]


def test_link_lost_before_the_answer_tells_the_same_record_again() -> None:
    """H78."""
    car = Car(is_acknowledging=False)
    car.connect()
    car.telemetry.tell("door", {}, car.now_s)
    car.perform()
    car.lose_link()
    car.is_acknowledging = True
    car.connect()
    first, second = car.taken("evt")
    assert second == {**first, "historical": True}
    car.run(1.0)
    car.lose_link()
    car.connect()
    assert car.taken("evt") == []


def test_link_that_is_lost_without_a_word_tells_the_same_record_again() -> None:
    car = Car(is_acknowledging=False)
    car.connect()
    car.telemetry.tell("door", {}, car.now_s)
    car.perform()
    car.telemetry.disconnected()
    car.connect()
    assert sequences(car.taken("evt")) == [1, 1]


def test_lost_link_is_no_refusal_and_holds_nothing_up() -> None:
    car = Car(is_acknowledging=False)
    car.connect()
    car.telemetry.tell("door", {}, car.now_s)
    car.perform()
    car.lose_link()
    car.now_s += 1.0
    car.connect()
    assert len(car.taken("evt")) == 2


def test_refused_records_wait_and_are_logged_in_one_line() -> None:
    """SR-09: log lines are bounded like everything else."""
    car = Car(refusal="quota exceeded")
    for _ in range(5):
        car.telemetry.tell("door", {}, car.now_s)
    car.perform()
    car.connect()
    assert len(car.taken("evt")) == 5
    assert [line.event for line in car.logged] == ["event_refused"]
    car.refusal = None
    car.run(REFUSAL_PAUSE_S - SWEEP_INTERVAL_S)
    assert car.taken("evt") == []
    car.run(2 * SWEEP_INTERVAL_S)
    assert len(car.taken("evt")) == 5


def test_refusal_of_an_earlier_connection_does_not_count_for_a_later_one() -> None:
    car = Car(refusal="quota exceeded")
    car.telemetry.tell("door", {}, car.now_s)
    car.perform()
    car.connect()
    car.telemetry.disconnected()
    car.refusal = None
    car.taken("evt")
    car.connect()
    assert len(car.taken("evt")) == 1


def test_answer_to_somebody_else_is_not_ours() -> None:
    car = Car()
    assert not car.telemetry.stored(999, car.now_s)
    assert not car.telemetry.published(999, None, car.now_s)


def test_every_record_reaches_the_broker_once_through_a_long_absence() -> None:
    car = Car()
    for _ in range(3 * IN_FLIGHT_MAX):
        car.telemetry.tell("door", {}, car.now_s)
    car.perform()
    car.connect()
    assert len(car.outbox) < REMOVALS_MAX
    car.telemetry.end(car.now_s)
    car.perform()
    assert sequences(car.taken("evt")) == list(range(1, 3 * IN_FLIGHT_MAX + 1))
    assert car.outbox == {}


# --- what gives way -----------------------------------------------------------------------------------------------


def dropped(documents: Iterable[Any]) -> int:
    return sum(document["dropped"] for document in documents if document["kind"] == "gap")


@pytest.mark.parametrize("surplus", [0, 1, 50])
def test_every_record_is_told_or_counted_in_a_gap(surplus: int) -> None:
    """SR-07: the records of the gaps themselves are no exception."""
    car = Car()
    for _ in range(RECORDS_MAX + surplus):
        car.telemetry.tell("door", {}, car.now_s)
    car.perform()
    assert len(car.outbox) == RECORDS_MAX
    car.connect()
    car.run(2.0)
    documents = car.taken("evt")
    doors = [document for document in documents if document["kind"] == "door"]
    assert len(doors) + dropped(documents) == RECORDS_MAX + surplus
    assert dropped(documents) > 0 or surplus == 0


def test_gap_that_opens_during_a_connection_is_told_once_there_is_room() -> None:
    """SR-07: a slow link loses records without ever being lost itself."""
    car = Car(is_acknowledging=False)
    car.connect()
    for _ in range(RECORDS_MAX + 5):
        car.telemetry.tell("door", {}, car.now_s)
    car.perform()
    car.is_acknowledging = True
    for token in car.unanswered:
        car.telemetry.published(token, None, car.now_s)
    car.run(2.0)
    assert dropped(car.taken("evt")) == 5


def test_sample_that_finds_no_room_among_events_is_counted_and_not_written() -> None:
    """SR-07: events are not given up for samples."""
    car = Car()
    car.run(2 * BATCH_S, 50, 1)
    for _ in range(RECORDS_MAX):
        car.telemetry.tell("door", {}, car.now_s)
    car.perform()
    before = dict(car.outbox)
    dropped_before = car.telemetry.status(car.now_s)["outbox_dropped"]
    car.run(1.5 * BATCH_S, 60, 1)
    assert car.outbox == before
    assert car.telemetry.status(car.now_s)["outbox_dropped"] == 1 + dropped_before  # type: ignore[operator]


def test_numbers_in_memory_do_not_outlive_their_records() -> None:
    """SR-09: a month without a connection."""
    car = Car()
    for _ in range(20 * RECORDS_MAX):
        car.telemetry.tell("door", {}, car.now_s)
        car.perform()
    assert len(car.outbox) == RECORDS_MAX
    status = car.telemetry.status(car.now_s)
    assert (status["outbox_records"], status["outbox_dropped"]) == (RECORDS_MAX, 19 * RECORDS_MAX)


def test_end_tells_what_still_waits_and_removes_what_was_acknowledged() -> None:
    car = Car()
    car.connect()
    car.run(0.2, 50, 1)
    car.telemetry.end(car.now_s)
    car.perform()
    *_, last = car.taken("evt")
    assert last["kind"] == "readings"
    assert car.outbox.keys() <= {last["seq"]}


def test_last_report_tells_what_waited_as_it_stands_at_the_end() -> None:
    """SR-05."""
    car = Car()
    car.connect()
    car.run(0.2, 50, 1)
    car.now_s += 1.0
    car.telemetry.end(car.now_s)
    car.perform()
    *_, last = car.taken("evt")
    assert [(row["path"], row["value"], row["quality"]) for row in last["readings"]] == [(SPEED, None, "stale")]


@pytest.mark.parametrize("phase_s", [0.0, 0.1, 0.2, 0.3, 0.4])
def test_sample_that_grew_stale_before_its_batch_left_is_told_as_stale(phase_s: float) -> None:
    """SR-05: wherever between two looks for stale values it came."""
    car = Car()
    car.connect()
    car.run(phase_s)
    car.run(0.05, 50, 1)
    car.run(2 * BATCH_S)
    rows = [row for document in car.taken("evt") for row in document.get("readings", ()) if row["path"] == SPEED]
    assert [(row["value"], row["quality"]) for row in rows] == [(None, "stale")]


def test_status_shows_what_came_and_what_was_refused() -> None:
    car = Car()
    car.run(0.3, 50, 1)
    car.hear(50)
    status = car.telemetry.status(car.now_s)
    assert status["frames"] == {
        "Status": {"received": 4, "refused_length": 1, "refused_checksum": 0, "refused_counter": 0}
    }
    assert status["is_connected"] is False
