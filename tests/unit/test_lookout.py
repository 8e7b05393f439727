"""What leaves is what is known when it leaves, whatever waited to be told (SR-05)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.model.clause import Clause
from agent.model.frame import BitField
from agent.model.reception import GoesOn, MessageId, WatchNews
from agent.model.use import Pace, VehicleUse
from agent.profiles.schema import Derivation, DerivedPlan, ReportRule, SettleRule, UnitChoice
from tests.support.plans import ARBITRATION_ID, ODOMETER, SPEED, frame_of, message_plan, profile_of, signal_plan
from tests.unit.test_telemetry import BATCH_S, Car

RANGE = "Vehicle.Powertrain.Range"
UNIT_ID = 0x300
UNIT = UnitChoice(UNIT_ID, False, BitField(0, 8, is_little_endian=True, size_bytes=1), {1: 1.0})
OF_RANGE, OF_OTHER = 7, 9
"""Raw values of the unit, one with a meaning and one without."""

MINUTE = ReportRule(0.0, 60.0, is_event=False)
GOING = [GoesOn(MessageId("body", ARBITRATION_ID, False), 0.4)]


def rows(car: Car, path: str) -> list[Any]:
    """What was told of a path since the last time: each value, or in its place the reason why there is none."""
    told = [row for document in car.taken("evt") for row in document.get("readings", ()) if row["path"] == path]
    return [row["reason"] if row["value"] is None else row["value"] for row in told]


def watched(car: Car, seconds: float, *data: int) -> None:
    """The kernel tells a change, and that the message goes on."""
    changes = [frame_of(*data, at_s=car.now_s)]
    car.telemetry.receive_watched(WatchNews("body", (), car.now_s, changes, GOING), car.now_s)
    car.run(seconds)


def car_of_unknown_unit(freshness_s: float, settle: SettleRule | None = None) -> Car:
    """Of its range nobody can say anything while the unit is not known."""
    distance = replace(signal_plan(RANGE, freshness_s=freshness_s), unit_choice=UNIT, settle=settle)
    unit = message_plan(signal_plan("Vehicle.Unit", freshness_s=100.0), name="Unit", arbitration_id=UNIT_ID)
    car = Car(profile=profile_of(message_plan(distance), unit, silent_after_s=100.0))
    car.connect()
    return car


def hear(car: Car, raw: int, unit: int, *, at_s: float | None = None) -> None:
    car.telemetry.receive_frame(frame_of(unit, at_s=car.now_s, arbitration_id=UNIT_ID), car.now_s)
    car.hear(raw, at_s=at_s)


def test_a_use_that_quickens_the_pace_tells_what_is_known_now_not_what_began_to_wait() -> None:
    quick = replace(MINUTE, paces={VehicleUse.DRIVING: Pace(0.0)})
    odometer = signal_plan(ODOMETER, byte=1, freshness_s=100.0, report=quick)
    car = Car(profile=profile_of(message_plan(signal_plan(SPEED, freshness_s=100.0), odometer), silent_after_s=100.0))
    car.connect()
    watched(car, 3.0, 0, 1)
    watched(car, 3.0, 0, 2)  # waits for the end of its minute
    watched(car, 1.0, 0, 3)
    assert rows(car, ODOMETER) == [1]
    watched(car, 0.8, 50, 3)
    assert rows(car, ODOMETER) == [3]


def test_why_nothing_is_known_is_told_as_it_is_when_that_leaves() -> None:
    car = car_of_unknown_unit(5.0, SettleRule(0.5))

    def hear_for(steps: int, raw: int, unit: int) -> None:
        for _ in range(steps):
            hear(car, raw, unit)
            car.run(0.1)

    hear_for(30, 50, 1)
    hear_for(3, 60, 1)  # has to stand
    hear_for(30, 60, 2)
    assert rows(car, RANGE) == [50, "unit_unknown"]


def test_what_was_stale_when_it_began_to_wait_is_told_as_what_came_since() -> None:
    car = car_of_unknown_unit(2.0)
    hear(car, 7, 1)
    car.run(1.5)
    hear(car, 7, 2)
    unknown_s = car.now_s
    car.run(2.5)
    assert rows(car, RANGE) == [7, "unit_unknown"]
    assert car.telemetry._reporter.waiting[RANGE].reason == "not_received"
    hear(car, 7, 2, at_s=unknown_s + 1.0)  # was read late, and changes nothing
    hear(car, 7, 2)
    car.run(2 * BATCH_S)
    assert rows(car, RANGE) == []


def test_what_follows_from_a_value_is_told_at_once_though_an_earlier_one_of_it_waits() -> None:
    path = "Vehicle.Carshare.IsFar"
    event = ReportRule(0.0, 0.0, is_event=True)
    plan = DerivedPlan(path, None, "boolean", Derivation.ALL, (Clause(ODOMETER, equals=3),), 1.0, 0, None, event)
    odometer = signal_plan(ODOMETER, freshness_s=100.0, report=MINUTE)
    car = Car(profile=replace(profile_of(message_plan(odometer), silent_after_s=100.0), derived=(plan,)))
    car.connect()
    for raw in (1, 2):
        car.hear(raw)
        car.run(2.0)
    car.hear(3)
    car.run(0.1)
    assert [document["event"] for document in car.taken("evt") if document["kind"] == "event"] == ["changed"]


def test_of_what_goes_on_unchanged_the_value_is_told_again_after_its_longest_interval() -> None:
    rule = replace(MINUTE, paces={use: Pace(0.0, 30.0) for use in VehicleUse})
    car = Car(
        profile=profile_of(message_plan(signal_plan(ODOMETER, freshness_s=100.0, report=rule)), silent_after_s=100.0)
    )
    car.connect()
    watched(car, 2.0, 5)
    assert rows(car, ODOMETER) == [5]
    for _ in range(31):
        car.run(1.0)
        car.telemetry.receive_watched(WatchNews("body", known_at_s=car.now_s), car.now_s)
    assert rows(car, ODOMETER) == [5]


def test_a_value_that_is_none_is_counted_though_another_of_its_path_waits() -> None:
    odometer = signal_plan(ODOMETER, freshness_s=100.0, invalid_raw=frozenset({255, 254}), report=MINUTE)
    car = Car(profile=profile_of(message_plan(odometer), silent_after_s=100.0))
    car.connect()
    for raw in (255, 254, 255):
        car.hear(raw)
    assert car.telemetry.status(car.now_s)["values_refused"] == {"Status": {"invalid_marker": 3}}
