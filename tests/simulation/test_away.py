"""A car whose broker is away for a week, and what a day of use costs, in virtual time."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass, field

from agent.config import Config, parse_config
from agent.model.effects import Fetch, Persist, Publish
from agent.model.records import Recovered, SequenceReserved
from agent.pending import Pending
from agent.profiles.schema import Profile, ReportRule
from agent.session import Session
from agent.telemetry import Telemetry
from tests.support.disk import OutboxDisk
from tests.support.pair import CONFIG_TEXT, vehicle
from tests.support.plans import IS_LOCKED, ODOMETER, SPEED, frame_of, message_plan, profile_of, signal_plan

PROFILE = profile_of(
    message_plan(
        signal_plan(SPEED, unit="km/h", freshness_s=100.0, report=ReportRule(1.0, 1.0, is_event=False)),
        signal_plan(ODOMETER, byte=1, unit="m", freshness_s=100.0, report=ReportRule(1.0, 1.0, is_event=False)),
        signal_plan(
            IS_LOCKED,
            byte=2,
            choices={0: False, 1: True},
            freshness_s=100.0,
            report=ReportRule(0.0, 0.0, is_event=True),
        ),
    ),
    silent_after_s=100.0,
)

HOUR_S = 3600

# Where a record lies and how old it is: five numbers, twice an entry in a dictionary.
INDEX_BYTES_MAX = 600

# Of one publication at QoS 1: fixed header, topic, packet id and property length, its PUBACK, and for both of them the
# record of TLS 1.3 (5 bytes, 1 of content type, 16 of tag).
OVERHEAD_BYTES = 3 + 2 + len("v1/1/5ca1ab1e0ddba115/state") + 3 + 6 + 2 * 22


def config_of(text: str = "") -> Config:
    """With the reporting every car begins with."""
    parsed = parse_config(CONFIG_TEXT.partition("[reporting]")[0] + text, source="agent.toml")
    assert isinstance(parsed, Config), parsed
    return parsed


@dataclass
class Life:
    """Telemetry alone, with a disk that takes everything and a broker that is there or is not."""

    profile: Profile
    is_broker_there: bool
    reporting: str = ""
    now_s: int = 0
    disk: OutboxDisk = field(default_factory=OutboxDisk)
    published: list[Publish] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pending = Pending(1)
        self.telemetry = Telemetry(
            self.profile,
            config_of(self.reporting),
            Recovered(b"store--1"),
            Session(b"session1", 0.0),
            self.pending,
            0.0,
            operator=1,
        )
        if self.is_broker_there:
            self.telemetry.connected(0.0)

    def perform(self) -> None:
        while (effect := self.pending.pop()) is not None:
            match effect:
                case Persist(records, token):
                    for record in records:
                        if not isinstance(record, SequenceReserved):
                            self.disk.write(record)  # type: ignore[arg-type]
                    self.telemetry.stored(token, self.now_s)
                case Fetch(sequences, token):
                    self.telemetry.fetched(token, self.disk.fetch(sequences), self.now_s)
                case Publish(token=token):
                    self.published.append(effect)
                    if token is not None:
                        self.telemetry.published(token, None, self.now_s)

    def live(self, seconds: int, *data: int) -> None:
        """A frame every 5 s, changed each time in speed and distance; no frame if there are no data."""
        step_s = 5 if data else 60
        for _ in range(seconds // step_s):
            self.now_s += step_s
            if data:
                speed, is_locked = data
                moved = self.now_s // step_s % 50 if speed else 0
                frame = frame_of(speed + moved, 2 * moved, is_locked, at_s=self.now_s)
                self.telemetry.receive_frame(frame, self.now_s)
            self.telemetry.handle_timer(self.now_s)
            self.perform()

    def day(self) -> None:
        """Four hours of driving in eight rides, each with an unlock and a lock; it sleeps in between."""
        for _ in range(8):
            self.live(60, 0, 0)
            self.live(HOUR_S // 2 - 120, 50, 0)
            self.live(60, 0, 1)
            self.live(5 * HOUR_S // 2)


def test_memory_does_not_grow_while_the_broker_is_away_for_a_week() -> None:
    """SR-09: what waits is on the card; in memory is where it lies there, a few numbers for each of 10,000 records."""
    # Told often enough for the outbox to come near its bound.
    life = Life(PROFILE, is_broker_there=False, reporting="[reporting.driving]\ninterval_s = 10.0\n")
    life.day()
    first_day = len(life.disk.records)
    tracemalloc.start()
    try:
        for _ in range(7):
            life.day()
        life.disk = OutboxDisk(sequence_last=life.disk.sequence_last)  # which is no memory of the agent's
        week_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    records = life.telemetry.status(life.now_s)["outbox_records"]
    assert isinstance(records, int)
    assert first_day > 1000
    assert first_day * 6 < records <= 10_000
    assert life.telemetry._forwarding._outbox.memory_bytes == 0
    assert week_bytes < records * INDEX_BYTES_MAX


def test_a_day_of_four_hours_driving_is_below_a_megabyte_at_the_default_pace() -> None:
    """R15. What it costs on the wire is measured elsewhere; this keeps the defaults from growing past it unseen."""
    life = Life(PROFILE, is_broker_there=True)
    life.day()
    records = [publish for publish in life.published if publish.topic.endswith("/evt")]
    snapshots = sum(publish.topic.endswith("/state") for publish in life.published)
    # The snapshot of a car with many paths, each of them stale: the longest there is.
    demo = Life(vehicle()[0], is_broker_there=True)
    demo.perform()
    (snapshot_bytes,) = (len(publish.payload) for publish in demo.published if publish.topic.endswith("/state"))
    snapshot_bytes += len(vehicle()[0].paths) * len('"age_s":100.123,"last_value":12345.6')
    total = sum(len(publish.payload) + OVERHEAD_BYTES for publish in records)
    total += snapshots * (snapshot_bytes + OVERHEAD_BYTES)
    assert len(records) > 200
    assert {json.loads(publish.payload)["kind"] for publish in records} == {
        "event",
        "readings",
        "bus_awake",
        "bus_health",
        "bus_asleep",
    }
    assert total < 1_000_000, f"{len(records)} records, {snapshots} snapshots of {snapshot_bytes}, {total} bytes"


def test_car_whose_load_is_shed_tells_as_seldom_as_one_that_sleeps() -> None:
    """R7: the same hour with a value that changes every five seconds, at the paces a car is shipped with."""
    counts = []
    for is_shedding in (False, True):
        life = Life(PROFILE, is_broker_there=True)
        life.telemetry.shed(is_shedding=is_shedding)
        for _ in range(HOUR_S // 5):
            life.now_s += 5
            life.telemetry.receive_frame(frame_of(0, life.now_s // 5 % 250, 1, at_s=life.now_s), life.now_s)
            life.telemetry.handle_timer(life.now_s)
            life.perform()
        samples = [each for each in life.published if b'"kind":"readings"' in each.payload]
        counts.append(len(samples))
    assert counts == [60, 6]
