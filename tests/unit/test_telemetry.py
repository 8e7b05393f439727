"""Frames in, publications out: across lost links, refusals, restarts and full outboxes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agent.config import Config, parse_config
from agent.forwarding import LATE_S, REFUSAL_PAUSE_S, STORE_RETRY_S
from agent.lookout import LOOK_INTERVAL_S
from agent.model.bus import BusHealth, BusLook, BusSign, LinkCounts
from agent.model.clause import Clause
from agent.model.effects import Effect, Fetch, Log, Persist, Publish
from agent.model.events import BusChanged, BusLooked, ClockSet, ClockTrust
from agent.model.frame import BusState
from agent.model.reception import GoesOn, MessageId, WatchNews
from agent.model.records import OutboxStored, Priority, Recovered, RunNoted, SequenceReserved
from agent.pending import Pending
from agent.profiles.schema import EVENTS_PER_HOUR_MAX, Derivation, DerivedPlan, Profile, ReportRule, SettleRule
from agent.session import Session
from agent.state.bus_health import STAND_S
from agent.telemetry import Telemetry
from agent.uplink.outbox import IN_FLIGHT_MAX, REMOVALS_MAX, UNWRITTEN_BYTES_MAX
from tests.support.disk import OutboxDisk
from tests.support.plans import IS_LOCKED, SPEED, frame_of, message_plan, profile_of, signal_plan

CAR = "5ca1ab1e0ddba115"
BATCH_S = 1.0
STATE_INTERVAL_S = 10.0
HEARTBEAT_S = 60.0
RECORDS_MAX = 100
AGE_S_MAX = 7200

TRUST = {"version": 1, "operators": [1]}
"""Fields of a record that the telemetry never makes by itself."""

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
        outbox_records_max = {RECORDS_MAX}
        outbox_age_s_max = {AGE_S_MAX}
        driving = {{ interval_s = 0.0, heartbeat_s = {HEARTBEAT_S} }}
        awake = {{ interval_s = 0.0, heartbeat_s = {HEARTBEAT_S} }}
        asleep = {{ interval_s = 0.0, heartbeat_s = {HEARTBEAT_S} }}
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
    disk: OutboxDisk = field(default_factory=OutboxDisk)
    store_failure: str | None = None
    boot_id: str = "boot 1"
    profile: Profile = PROFILE

    def __post_init__(self) -> None:
        self.start()

    def start(self, *, sequence_next: int | None = None) -> None:
        """The process begins, with what the disk holds."""
        if sequence_next is not None:
            self.recovered = replace(self.recovered, sequence_next=sequence_next)
        found = self.disk.found(is_car_new=self.recovered.sequence_next == 1)
        self.recovered = replace(self.recovered, outbox=found)
        self.pending = Pending(self.recovered.sequence_next)
        self.telemetry = Telemetry(
            self.profile,
            config(),
            self.recovered,
            Session(b"session1", self.now_s),
            self.pending,
            self.now_s,
            operator=1,
            boot_id=self.boot_id,
        )
        self.unanswered: list[int] = []

    @property
    def outbox(self) -> dict[int, OutboxStored]:
        return self.disk.records

    def perform(self) -> None:
        """Perform all effects; the broker answers each publication at once unless it is told not to."""
        while (effect := self.pending.pop()) is not None:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Persist(records, token):
                if isinstance(records[0], SequenceReserved):
                    return
                if self.store_failure is not None:
                    assert self.telemetry.store_failed(token, self.store_failure, self.now_s)
                    return
                for record in records:
                    self.disk.write(record)  # type: ignore[arg-type]
                self.telemetry.stored(token, self.now_s)
            case Fetch(sequences, token):
                self.telemetry.fetched(token, self.disk.fetch(sequences), self.now_s)
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
    assert topics == [f"v1/1/{CAR}/caps", f"v1/1/{CAR}/state"]
    assert all(publish.is_retained for publish in car.published)
    (state,) = car.taken("state")
    assert {path: reading["quality"] for path, reading in state["readings"].items()} == {
        SPEED: "unknown",
        IS_LOCKED: "unknown",
    }


def test_frame_that_waited_for_longer_than_its_values_are_fresh_is_no_event_sr_05() -> None:
    car = Car()
    car.connect()
    car.run(2 * BATCH_S, 50, 0)
    car.taken("evt")
    heard_s = car.now_s
    car.now_s += 6.0
    car.hear(50, 1, at_s=heard_s + 0.1)
    car.telemetry.handle_timer(car.now_s)
    car.perform()
    assert [document["kind"] for document in car.taken("evt") if document["kind"] == "event"] == []


def test_derived_event_is_told_with_the_frame_it_follows_from() -> None:
    path = "Vehicle.Carshare.IsSecured"
    clauses = (Clause(IS_LOCKED, equals=True),)
    event = ReportRule(0.0, 0.0, is_event=True)
    plan = DerivedPlan(path, None, "boolean", Derivation.ALL, clauses, 1.0, 0, None, event)
    car = Car(profile=replace(PROFILE, derived=(plan,)))
    car.connect()
    car.run(2 * BATCH_S, 50, 0)
    car.taken("evt")
    car.hear(50, 1)
    # Not yet time to look at what time alone changes.
    assert car.telemetry.next_timer() == float("-inf")
    car.telemetry._tell_due(car.now_s)
    car.perform()
    assert path in json.dumps(car.taken("evt"))


def test_value_that_is_none_is_counted_with_its_cause_as_often_as_it_comes_anew() -> None:
    speed = signal_plan(SPEED, invalid_raw=frozenset({255, 254}))
    car = Car(profile=profile_of(message_plan(speed)))
    for raw in (50, 255, 255, 254, 50):
        car.hear(raw)
    assert car.telemetry.status(car.now_s)["values_refused"] == {"Status": {"invalid_marker": 2}}


def test_event_is_told_at_once_and_the_sample_with_its_batch() -> None:
    car = Car()
    car.connect()
    car.run(2 * BATCH_S, 50, 0)
    car.taken("evt")
    car.run(0.2, 50, 1)
    (event,) = (document for document in car.taken("evt") if document["kind"] == "event")
    assert event["event"] == "locked"
    assert [(row["path"], row["value"]) for row in event["readings"]] == [(IS_LOCKED, True)]
    car.run(BATCH_S + 0.2, 60, 1)
    (samples,) = (document for document in car.taken("evt") if document["kind"] == "readings")
    assert [(row["path"], row["value"]) for row in samples["readings"]] == [(SPEED, 60)]


def test_input_that_flaps_is_told_up_to_its_cap_and_then_how_often_it_was_held_back() -> None:
    """SR-09."""
    car = Car()
    car.connect()
    for turn in range(200):
        car.run(0.1, 0, turn % 2)
    car.run(7200.0)
    told = car.taken("evt")
    flaps = sum(document["kind"] == "event" for document in told)
    held_back = [entry for document in told if document["kind"] == "suppressed" for entry in document["inputs"]]
    assert {entry["name"] for entry in held_back} == {IS_LOCKED}
    assert (
        flaps + sum(entry["capped"] + entry["bounced"] for entry in held_back) == 199
    )  # the first value changes nothing


def test_silence_is_told_as_stale_and_asleep() -> None:
    """SR-05, SR-10."""
    car = Car()
    car.connect()
    car.telemetry.bus_changed(BusChanged("body", BusState.UP), car.now_s)
    car.run(2.0, 0, 1)
    car.taken("evt")
    car.run(20.0)
    events = car.taken("evt")
    rows = [(row["path"], row["value"], row["quality"]) for event in events for row in event.get("readings", ())]
    assert rows == [(SPEED, None, "stale"), (IS_LOCKED, None, "stale")]
    assert [event["kind"] for event in events if "bus" in event] == ["bus_asleep"]
    state = car.taken("state")[-1]
    assert state["buses"] == {"body": "asleep"}
    assert state["readings"][SPEED]["value"] is None
    assert state["readings"][SPEED]["last_value"] == 0


def test_silence_of_a_car_that_was_driving_is_a_fault_and_no_sleep() -> None:
    """SR-10: told by itself; and what is heard again is no waking."""
    car = Car()
    car.connect()
    car.telemetry.bus_changed(BusChanged("body", BusState.UP), car.now_s)
    car.run(2.0, 50, 1)
    car.taken("evt")
    car.run(20.0)
    events = [event for event in car.taken("evt") if "bus" in event]
    assert [(event["kind"], event["state"], event["before"], event["cause"]) for event in events] == [
        ("bus_health", "silent", "error_active", "silence")
    ]
    car.telemetry.report_now(car.now_s)
    car.perform()
    assert car.taken("state")[-1]["buses"] == {"body": "silent"}
    assert car.telemetry.is_asleep("body", car.now_s)  # a command wakes it, or says that it does not wake
    car.run(STAND_S + 1.0, 0, 1)
    events = [event for event in car.taken("evt") if "bus" in event]
    assert [(event["kind"], event["state"], event["cause"]) for event in events] == [
        ("bus_health", "error_active", "heard")
    ]
    car.run(20.0)
    assert [event["kind"] for event in car.taken("evt") if "bus" in event] == ["bus_asleep"]


def test_a_bus_that_cannot_be_heard_is_not_said_to_sleep() -> None:
    """SR-05: nobody knows."""
    car = Car()
    car.connect()
    car.telemetry.bus_changed(BusChanged("body", BusState.UP), car.now_s)
    car.run(2.0, 0, 1)
    car.telemetry.bus_changed(BusChanged("body", BusState.GONE), car.now_s)
    car.taken("evt")
    car.run(20.0)
    assert [event["kind"] for event in car.taken("evt") if "bus" in event] == ["bus_health"]
    car.telemetry.bus_changed(BusChanged("body", BusState.UP), car.now_s)
    car.run(STAND_S + 1.0)
    assert [event["kind"] for event in car.taken("evt") if "bus" in event] == ["bus_health", "bus_asleep"]


def test_a_change_of_a_bus_is_told_with_its_cause_and_counters_and_no_oftener_than_the_cap() -> None:
    """SR-09."""
    car = Car()
    car.connect()
    car.telemetry.bus_changed(BusChanged("body", BusState.UP, BusSign.LINK_UP), car.now_s)
    look = BusLook({BusSign.CONTROLLER_OFF: 1}, 0, LinkCounts(9, 8, 7, 6, 5, 4))
    car.telemetry.bus_looked(BusLooked("body", look), car.now_s)
    car.perform()
    car.taken("evt")
    for _ in range(2 * EVENTS_PER_HOUR_MAX):
        car.telemetry.bus_changed(BusChanged("body", BusState.BUS_OFF, BusSign.CONTROLLER_OFF), car.now_s)
        car.telemetry.bus_changed(BusChanged("body", BusState.UP, BusSign.CONTROLLER_RESTARTED), car.now_s)
        car.run(STAND_S + 1.0)
    told = [event for event in car.taken("evt") if event["kind"] == "bus_health"]
    link = {"rx_packets": 9, "tx_packets": 8, "rx_errors": 7, "tx_errors": 6, "rx_dropped": 5, "tx_dropped": 4}
    assert [(event["state"], event["cause"]) for event in told[:2]] == [
        ("bus_off", "controller_off"),
        ("error_active", "controller_restarted"),
    ]
    assert told[0]["counters"] == {"errors": {"controller_off": 1}, "link": link}
    assert len(told) == EVENTS_PER_HOUR_MAX - 1


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
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.telemetry.clock_set(ClockSet(1e9, ClockTrust.ESTIMATED), car.now_s)
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    before, clock, after = car.taken("evt")
    assert (before["time_unix_s"], before["clock_trust"]) == (None, 0)
    assert (after["time_unix_s"], after["clock_trust"]) == (1e9 + 1000, 1)
    # What came before the time was known gets it from the record that tells when the session began.
    assert before["sid"] == clock["sid"] == b"session1".hex()
    assert clock["session_started_unix_s"] + before["session_ms"] / 1000 == 1e9 + 1000


def test_a_bus_of_which_nothing_was_said_is_unknown() -> None:
    """SR-05: no interface has a state by default."""
    car = Car()
    status = car.telemetry.status(car.now_s)
    assert status["buses"] == {"body": "unknown"}
    assert status["bus_health"] == {
        "body": {
            "state": "unknown",
            "shown": "unknown",
            "cause": None,
            "before": None,
            "age_s": None,
            "changes": 0,
            "counters": {"errors": {}},
        }
    }


def test_state_of_a_bus_is_logged_once_for_each_change() -> None:
    car = Car()
    for state in (BusState.UP, BusState.UP, BusState.BUS_OFF):
        car.telemetry.bus_changed(BusChanged("body", state), car.now_s)
    car.perform()
    assert [line.fields["state"] for line in car.logged] == ["error_active", "bus_off"]
    assert car.telemetry.state_of("body") is BusHealth.BUS_OFF
    assert car.telemetry.status(car.now_s)["buses"] == {"body": "bus_off"}


# --- what is kept -------------------------------------------------------------------------------------------------


def test_record_is_told_only_when_its_write_came_through() -> None:
    """SR-07: a number that was told is never given again, so it must be on the card first."""
    car = Car()
    car.connect()
    car.telemetry.tell("trust", TRUST, car.now_s)
    effects = list(iter(car.pending.pop, None))
    reserved, stored = (effect for effect in effects if isinstance(effect, Persist))
    assert isinstance(reserved.records[0], SequenceReserved)
    assert isinstance(stored.records[0], OutboxStored)
    assert not any(isinstance(effect, Publish) for effect in effects)
    car.telemetry.stored(stored.token, car.now_s)
    assert any(isinstance(effect, Publish) for effect in iter(car.pending.pop, None))


def test_records_made_without_a_connection_are_told_later_as_historical() -> None:
    car = Car()
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    assert car.published == []
    car.connect()
    car.telemetry.tell("store", {"note": "second"}, car.now_s)
    car.perform()
    assert [(document["kind"], document.get("historical", False)) for document in car.taken("evt")] == [
        ("trust", True),
        ("store", False),
    ]


def test_records_of_the_last_run_are_told_as_historical_under_their_old_numbers() -> None:
    car = Car()
    record = {"v": 1, "kind": "trust", "seq": 7, "session_ms": 5, "time_unix_s": 1e9, "clock_trust": 1, **TRUST}
    car.disk.write(OutboxStored(7, Priority.EVENT, json.dumps(record).encode()))
    car.start(sequence_next=1000)
    car.connect()
    assert car.taken("evt") == [{**record, "historical": True}]


def test_link_lost_before_the_answer_tells_the_same_record_again() -> None:
    """H78."""
    car = Car(is_acknowledging=False)
    car.connect()
    car.telemetry.tell("trust", TRUST, car.now_s)
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
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    car.telemetry.disconnected()
    car.connect()
    assert sequences(car.taken("evt")) == [1, 1]


def test_lost_link_is_no_refusal_and_holds_nothing_up() -> None:
    car = Car(is_acknowledging=False)
    car.connect()
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    car.lose_link()
    car.now_s += 1.0
    car.connect()
    assert len(car.taken("evt")) == 2


def test_refused_records_wait_and_are_logged_in_one_line() -> None:
    """SR-09: log lines are bounded like everything else."""
    car = Car(refusal="quota exceeded")
    for _ in range(5):
        car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    car.connect()
    assert len(car.taken("evt")) == 5
    assert [line.event for line in car.logged] == ["event_refused"]
    car.refusal = None
    car.run(REFUSAL_PAUSE_S - LOOK_INTERVAL_S)
    assert car.taken("evt") == []
    car.run(2 * LOOK_INTERVAL_S)
    assert len(car.taken("evt")) == 5


def test_refusal_of_an_earlier_connection_does_not_count_for_a_later_one() -> None:
    car = Car(refusal="quota exceeded")
    car.telemetry.tell("trust", TRUST, car.now_s)
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
        car.telemetry.tell("trust", TRUST, car.now_s)
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


def accounted_for(documents: list[Any]) -> set[int]:
    """Numbers of records that came, and those in a gap's spans."""
    spans = [span for document in documents if document["kind"] == "gap" for span in document["spans"]]
    told = set(sequences(documents))
    given_up = {number for first, last, _, _ in spans for number in range(first, last + 1)} - told
    assert len(given_up) == sum(count + unused for _, _, count, unused in spans)
    return told | given_up


@pytest.mark.parametrize("surplus", [0, 1, 50])
def test_every_record_is_told_or_in_the_spans_of_a_gap(surplus: int) -> None:
    """SR-07: the backend proves it from the numbers alone."""
    car = Car()
    for _ in range(RECORDS_MAX + surplus):
        car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    assert len(car.outbox) == RECORDS_MAX
    car.connect()
    car.run(2.0)
    documents = car.taken("evt")
    assert dropped(documents) == surplus
    assert accounted_for(documents) == set(range(1, max(sequences(documents)) + 1))


def test_what_was_given_up_outlives_a_power_cut() -> None:
    """SR-07: the count is on the card in the very write that gave it rise."""
    car = Car()
    for _ in range(RECORDS_MAX + 7):
        car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    car.start(sequence_next=1001)
    car.telemetry.chronicle.started({"interrupted": 0}, car.now_s)
    car.perform()
    car.connect()
    car.run(2.0)
    documents = car.taken("evt")
    # The start itself needs room too.
    assert dropped(documents) == 8
    assert accounted_for(documents) == set(range(1, max(sequences(documents)) + 1))
    car.start(sequence_next=2001)
    car.connect()
    assert dropped(car.taken("evt")) == 0


def test_gap_that_opens_during_a_connection_is_told_too() -> None:
    """SR-07: a slow link loses records without ever being lost itself."""
    car = Car(is_acknowledging=False)
    car.connect()
    for _ in range(RECORDS_MAX + 5):
        car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    car.is_acknowledging = True
    for token in car.unanswered:
        car.telemetry.published(token, None, car.now_s)
    car.run(70.0)
    assert dropped(car.taken("evt")) == 5


def test_sample_that_finds_no_room_among_events_is_counted_and_not_written() -> None:
    """SR-07: events are not given up for samples."""
    car = Car()
    car.run(2 * BATCH_S, 50, 1)
    for _ in range(RECORDS_MAX):
        car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    before = dict(car.outbox)
    given_up = car.telemetry.status(car.now_s)["outbox_given_up"]
    car.run(1.5 * BATCH_S, 60, 1)
    assert car.outbox == before
    assert car.telemetry.status(car.now_s)["outbox_given_up"] == 1 + given_up  # type: ignore[operator]


def test_numbers_in_memory_do_not_outlive_their_records() -> None:
    """SR-09: a month without a connection."""
    car = Car()
    for _ in range(20 * RECORDS_MAX):
        car.telemetry.tell("trust", TRUST, car.now_s)
        car.perform()
    assert len(car.outbox) == RECORDS_MAX
    status = car.telemetry.status(car.now_s)
    assert (status["outbox_records"], status["outbox_given_up"]) == (RECORDS_MAX, 19 * RECORDS_MAX)
    assert car.telemetry._forwarding._outbox.memory_bytes == 0


def test_record_that_grew_too_old_is_given_up_whatever_the_clock_says() -> None:
    """The age is the agent's running time: neither a clock set forward nor one set back changes it."""
    car = Car()
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    for offset_s in (0.0, 1e9, -1e9):
        car.telemetry.clock_set(ClockSet(offset_s, ClockTrust.ESTIMATED), car.now_s)
        car.run(100.0)
    assert 1 in car.outbox
    car.now_s += AGE_S_MAX
    car.run(1.0)
    assert 1 not in car.outbox


def test_age_goes_on_counting_in_the_next_run_and_not_in_between() -> None:
    car = Car()
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    car.run(AGE_S_MAX / 2)
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    car.now_s += 1e7  # months without power
    car.start(sequence_next=1001)
    car.run(1.0)
    assert set(car.outbox) == {1, 2}
    car.now_s += AGE_S_MAX / 2
    car.run(61.0)
    assert 1 not in car.outbox
    assert 2 in car.outbox


def test_record_that_waited_though_the_link_was_up_is_late() -> None:
    car = Car(refusal="quota exceeded")
    car.connect()
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    car.taken("evt")
    car.refusal = None
    car.now_s += LATE_S + 1.0
    car.run(REFUSAL_PAUSE_S)
    assert [document["historical"] for document in car.taken("evt") if document["kind"] == "trust"] == [True]


# --- a card that takes nothing --------------------------------------------------------------------------------------


def test_telemetry_that_cannot_be_stored_is_told_all_the_same_and_stored_once_it_can_be() -> None:
    """As H84, for telemetry: nothing stops, and that it is not durable is itself told."""
    car = Car()
    car.connect()
    car.store_failure = "database or disk is full"
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    told = car.taken("evt")
    assert [document["kind"] for document in told] == ["trust", "store"]
    assert told[1]["is_durable"] is False
    car.lose_link()
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    assert car.outbox == {}
    car.store_failure = None
    car.run(STORE_RETRY_S + 1.0)
    kinds = [json.loads(record.payload)["kind"] for record in car.outbox.values()]
    assert kinds == ["trust", "store"]
    car.connect()
    car.run(1.0)
    assert [document["kind"] for document in car.taken("evt")] == ["trust", "store"]


def test_what_the_card_does_not_take_is_bounded_in_memory() -> None:
    """SR-09."""
    car = Car(store_failure="input/output error")
    for _ in range(3 * RECORDS_MAX):
        car.telemetry.tell("store", {"note": "x" * 40_000}, car.now_s)
        car.perform()
    assert car.telemetry._forwarding._outbox.memory_bytes <= UNWRITTEN_BYTES_MAX
    car.store_failure = None
    car.run(STORE_RETRY_S + 1.0)
    car.connect()
    car.run(70.0)
    documents = car.taken("evt")
    assert accounted_for(documents) == set(range(1, max(sequences(documents)) + 1))


def test_removal_the_card_did_not_take_is_made_up_for() -> None:
    car = Car()
    for _ in range(REMOVALS_MAX + 1):
        car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    car.store_failure = "input/output error"
    car.connect()
    assert len(car.outbox) == REMOVALS_MAX + 1
    car.store_failure = None
    car.run(STORE_RETRY_S + 1.0)
    car.telemetry.end(car.now_s)
    car.perform()
    assert car.outbox == {}


def test_record_that_cannot_be_read_back_is_counted() -> None:
    car = Car()
    for _ in range(3):
        car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    del car.disk.records[2]
    car.connect()
    car.run(70.0)
    documents = car.taken("evt")
    assert dropped(documents) == 1
    assert accounted_for(documents) == set(range(1, max(sequences(documents)) + 1))


# --- a start --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "cause"),
    [
        (None, "first_start"),
        (RunNoted("boot 1", has_ended=True, running_s=5), "stopped"),
        (RunNoted("boot 1", has_ended=False, running_s=5), "crashed"),
        (RunNoted("boot 0", has_ended=False, running_s=5), "power_or_reboot"),
    ],
)
def test_start_says_how_the_last_run_ended(run: RunNoted | None, cause: str) -> None:
    car = Car()
    car.disk.run = run
    car.start()
    car.telemetry.chronicle.started({"interrupted": 0}, car.now_s)
    car.perform()
    assert car.disk.run == RunNoted("boot 1", has_ended=False, running_s=run.running_s if run else 0)
    car.connect()
    (started,) = car.taken("evt")
    assert (started["kind"], started["cause"]) == ("started", cause)


def test_numbers_that_a_restart_skipped_are_told_once() -> None:
    """SR-07: numbers are reserved in blocks, so every restart leaves a hole in which there never was anything."""
    car = Car()
    car.telemetry.tell("trust", TRUST, car.now_s)
    car.perform()
    car.start(sequence_next=1001)
    car.telemetry.chronicle.started({"interrupted": 0}, car.now_s)
    car.perform()
    car.connect()
    car.run(1.0)
    documents = car.taken("evt")
    (gap,) = (document for document in documents if document["kind"] == "gap")
    assert gap["spans"] == [[2, 1000, 0, 999]]
    assert accounted_for(documents) == set(range(1, max(sequences(documents)) + 1))


def test_lost_outbox_says_from_where_on_nobody_knows() -> None:
    car = Car()
    car.start(sequence_next=1001)
    car.telemetry.chronicle.started({"interrupted": 0}, car.now_s)
    car.perform()
    assert car.disk.spans == ()
    car.connect()
    (started,) = car.taken("evt")
    assert started["unknown_below"] == 1001


# --- the end --------------------------------------------------------------------------------------------------------


def test_end_tells_what_still_waits_and_removes_what_was_acknowledged() -> None:
    car = Car()
    car.connect()
    car.run(0.2, 50, 1)
    car.telemetry.end(car.now_s)
    car.perform()
    *_, last = car.taken("evt")
    assert last["kind"] == "readings"
    assert car.outbox.keys() <= {last["seq"]}
    assert car.disk.run == RunNoted("boot 1", has_ended=True, running_s=0)


def test_last_report_tells_what_waited_as_it_stands_at_the_end() -> None:
    """SR-05."""
    car = Car()
    car.connect()
    car.run(0.2, 50, 1)
    car.now_s += 1.0
    car.telemetry.end(car.now_s)
    car.perform()
    *_, last = car.taken("evt")
    assert [(row["path"], row["value"], row["quality"]) for row in last["readings"]] == [
        (SPEED, None, "stale"),
        (IS_LOCKED, True, "ok"),
    ]


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
    refused = {"refused_length": 1, "refused_checksum": 0, "refused_counter": 0}
    assert status["frames"] == {"Status": {"received": 4, **refused, "unknown_selector": 0}}
    assert status["is_connected"] is False


def test_a_state_that_stays_is_told_once_it_stood_although_the_kernel_gives_its_frame_once() -> None:
    """SR-05: till then it is unknown, and being seen again is all that makes it known."""
    settling = replace(
        signal_plan(
            IS_LOCKED, choices={0: False, 1: True}, report=ReportRule(0.0, 0.0, is_event=True), freshness_s=5.0
        ),
        settle=SettleRule(0.5),
    )
    car = Car(profile=profile_of(message_plan(settling)))
    car.connect()
    message = MessageId("body", 0x100, False)
    for raw in (0, 1):
        came_at_s = car.now_s
        change, going_on = frame_of(raw, at_s=came_at_s), [GoesOn(message, 0.2)]
        car.telemetry.receive_watched(WatchNews("body", (), came_at_s, [change], going_on), came_at_s)
        while (stood_s := round(car.now_s - came_at_s, 1)) < 0.9:
            car.run(0.1)
            seen_at_s = car.now_s - 0.2
            car.telemetry.receive_watched(WatchNews("body", known_at_s=car.now_s), car.now_s)
            reading = car.telemetry.reading(IS_LOCKED, car.now_s)
            has_stood = round(seen_at_s - came_at_s, 1) >= 0.5
            assert (reading.value, reading.reason) == ((bool(raw), None) if has_stood else (None, "settling")), stood_s
    car.run(2.0)
    assert [told["event"] for told in car.taken("evt") if told["kind"] == "event"] == ["locked"]
