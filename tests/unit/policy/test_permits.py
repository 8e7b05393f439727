"""Permits by table: both sides of every threshold, and every way of not knowing.

SR-06: when in doubt unlock is refused, lock is allowed, and driving is never disabled without fresh speed 0 and
ignition off.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.model.bus import BusHealth
from agent.model.command import Action, Reason
from agent.model.reading import Quality, Reading, Value
from agent.model.recipe import Precondition
from agent.policy.permits import permit, permit_asleep, permit_bus

SPEED, IGNITION, DOOR, SUPPLY, GEAR = (
    "Vehicle.Speed",
    "Vehicle.IsIgnitionOn",
    "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen",
    "Vehicle.LowVoltageBattery.CurrentVoltage",
    "Vehicle.Powertrain.Transmission.CurrentGear",
)
MOVING, UNKNOWN, STALE = Reason.MOVING, Reason.SPEED_UNKNOWN, Reason.PRECONDITION_STALE

STANDS_STILL = Precondition(SPEED, MOVING, maximum=0.0, when_unknown=UNKNOWN, when_stale=STALE)
IGNITION_IS_OFF = Precondition(
    IGNITION, Reason.IGNITION_ON, equals=False, when_unknown=Reason.IGNITION_ON, when_stale=STALE
)
DOOR_IS_SHUT = Precondition(DOOR, Reason.DOOR_OPEN, equals=False)
SUPPLY_IS_GOOD = Precondition(SUPPLY, Reason.LOW_12V, minimum=11.5, maximum=15.5)

UNLOCK = (STANDS_STILL,)
LOCK = (DOOR_IS_SHUT, replace(IGNITION_IS_OFF, when_unknown=None, when_stale=None))
DISABLE_DRIVE = (STANDS_STILL, IGNITION_IS_OFF)

NOW_S = 100.0


def ok(path: str, value: Value, at_s: float = 99.9) -> Reading:
    return Reading(path, value, None, at_s, Quality.OK, message="Any")


def lacking(path: str, quality: Quality) -> Reading:
    return Reading(path, None, None, 99.0, quality, "not_received", "Any")


def asked(
    rules: tuple[Precondition, ...], *readings: Reading, since_s: float | None = None
) -> tuple[Reason | None, tuple[Reading, ...]]:
    known = {reading.path: reading for reading in readings}
    return permit(rules, lambda path: known.get(path, lacking(path, Quality.UNKNOWN)), NOW_S, since_s)


@pytest.mark.parametrize(
    ("speed", "reason"),
    [
        (ok(SPEED, 0.0), None),  # stands
        (ok(SPEED, -0.0), None),  # the same number
        (ok(SPEED, 0), None),  # an integer signal
        (ok(SPEED, 0.01), MOVING),  # creeps: there is no small speed at which a door may open
        (ok(SPEED, 250.0), MOVING),
        (ok(SPEED, float("nan")), MOVING),  # no number is no proof of standing
        (ok(SPEED, True), MOVING),  # nor is a truth value, though Python has it equal to a number
        (ok(SPEED, False), MOVING),
        (ok(SPEED, "0"), MOVING),
        (lacking(SPEED, Quality.UNKNOWN), UNKNOWN),  # never seen
        (lacking(SPEED, Quality.INVALID), UNKNOWN),  # the car says it does not know either
        (lacking(SPEED, Quality.STALE), STALE),  # seen, but long ago
    ],
)
def test_sr_06_unlock_only_at_a_fresh_standstill(speed: Reading, reason: Reason | None) -> None:
    assert asked(UNLOCK, speed) == (reason, (speed,))


@pytest.mark.hazard("H102")
@pytest.mark.parametrize(
    ("door", "ignition", "reason"),
    [
        (ok(DOOR, False), ok(IGNITION, False), None),
        (ok(DOOR, True), ok(IGNITION, False), Reason.DOOR_OPEN),  # H102
        (ok(DOOR, False), ok(IGNITION, True), Reason.IGNITION_ON),  # H102
        (ok(DOOR, True), ok(IGNITION, True), Reason.DOOR_OPEN),  # the first rule that forbids
        (lacking(DOOR, Quality.UNKNOWN), lacking(IGNITION, Quality.UNKNOWN), None),  # in doubt: lock
        (lacking(DOOR, Quality.STALE), lacking(IGNITION, Quality.INVALID), None),
        (lacking(DOOR, Quality.UNKNOWN), ok(IGNITION, True), Reason.IGNITION_ON),  # what is known still forbids
    ],
)
def test_sr_06_lock_is_allowed_unless_a_fresh_value_forbids(
    door: Reading, ignition: Reading, reason: Reason | None
) -> None:
    assert asked(LOCK, door, ignition)[0] is reason


@pytest.mark.hazard("H101")
@pytest.mark.parametrize(
    ("speed", "ignition", "reason"),
    [
        (ok(SPEED, 0.0), ok(IGNITION, False), None),
        (ok(SPEED, 0.1), ok(IGNITION, False), MOVING),  # H101
        (lacking(SPEED, Quality.UNKNOWN), ok(IGNITION, False), UNKNOWN),  # H101
        (lacking(SPEED, Quality.STALE), ok(IGNITION, False), STALE),  # H101: 600 ms old at a freshness of 500
        (ok(SPEED, 0.0), ok(IGNITION, True), Reason.IGNITION_ON),
        (ok(SPEED, 0.0), lacking(IGNITION, Quality.UNKNOWN), Reason.IGNITION_ON),
        (ok(SPEED, 0.0), lacking(IGNITION, Quality.STALE), STALE),
    ],
)
def test_h101_sr_06_driving_is_disabled_only_at_fresh_standstill_and_ignition_off(
    speed: Reading, ignition: Reading, reason: Reason | None
) -> None:
    assert asked(DISABLE_DRIVE, speed, ignition)[0] is reason


@pytest.mark.parametrize(
    ("volts", "is_allowed"),
    [(11.5, True), (11.499, False), (15.5, True), (15.501, False), (13, True), (float("inf"), False)],
)
def test_limits_are_inclusive_on_both_sides(volts: float, is_allowed: bool) -> None:
    assert (asked((SUPPLY_IS_GOOD,), ok(SUPPLY, volts))[0] is None) == is_allowed


@pytest.mark.parametrize(
    ("wanted", "value", "is_allowed"),
    [
        (False, False, True),
        (False, True, False),
        (False, 0, False),  # zero is not "no"
        (0, False, False),
        (0, 0, True),
        (0, 0.0, True),
        ("P", "P", True),
        ("P", "p", False),
        ("P", 0, False),
    ],
)
def test_equality_is_of_the_same_kind(wanted: Value, value: Value, is_allowed: bool) -> None:
    rule = Precondition(GEAR, Reason.MOVING, equals=wanted)
    assert (asked((rule,), ok(GEAR, value))[0] is None) == is_allowed


def test_rule_that_wants_nothing_is_met_by_nothing() -> None:
    """Deny by default: a profile that forgot the bound must be noticed at the first command."""
    rule = Precondition(SPEED, MOVING)
    assert asked((rule,), ok(SPEED, 0.0))[0] is MOVING


def test_no_preconditions_allow() -> None:
    assert asked(()) == (None, ())


def test_value_that_forbids_is_told_before_a_value_that_is_missing() -> None:
    """The backend should hear what is known, not what is not."""
    rules = (replace(SUPPLY_IS_GOOD, when_unknown=Reason.PRECONDITION_STALE), STANDS_STILL)
    assert asked(rules, ok(SPEED, 5.0))[0] is MOVING
    assert asked(rules, ok(SPEED, 0.0))[0] is STALE


def test_evidence_has_one_reading_for_each_rule_with_the_decisive_one_first() -> None:
    speed, ignition = ok(SPEED, 0.0), ok(IGNITION, True)
    assert asked(DISABLE_DRIVE, ignition, speed) == (Reason.IGNITION_ON, (ignition, speed))


@pytest.mark.parametrize(
    ("at_s", "reason"),
    [
        (99.0, UNKNOWN),  # from before the car woke up: it may have been driven off and parked again
        (99.5, UNKNOWN),  # at the very moment: not after it
        (99.500001, None),
    ],
)
def test_after_a_wake_up_only_what_came_since_counts(at_s: float, reason: Reason | None) -> None:
    """A3."""
    found, (used,) = asked(UNLOCK, ok(SPEED, 0.0, at_s), since_s=99.5)
    assert found is reason
    assert (used.value is None) == (reason is UNKNOWN)


def test_what_came_before_the_wake_up_is_told_as_not_received_with_all_that_is_no_value() -> None:
    """SR-05: the evidence names path, unit and message, and its age is counted from the asking."""
    old = Reading(SPEED, 0.0, "km/h", 99.0, Quality.OK, message="MotionStatus")
    assert asked(UNLOCK, old, since_s=99.5) == (
        UNKNOWN,
        (Reading(SPEED, None, "km/h", NOW_S, Quality.UNKNOWN, "not_received", "MotionStatus"),),
    )


def test_after_a_wake_up_an_old_value_that_forbids_is_unknown_too() -> None:
    """Lock: the door that stood open when the car fell asleep may have been shut without waking it."""
    assert asked(LOCK, ok(DOOR, True, 99.0), since_s=99.5)[0] is None
    assert asked(UNLOCK, lacking(SPEED, Quality.STALE), since_s=99.5)[0] is UNKNOWN


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (ok(SPEED, 0.0), None),
        (ok(SPEED, 3.0), MOVING),  # the last frames before the silence say it moves
        (lacking(SPEED, Quality.UNKNOWN), None),  # asked for again after the wake
        (lacking(SPEED, Quality.STALE), None),
        (lacking(SPEED, Quality.INVALID), None),
    ],
)
def test_on_a_sleeping_bus_only_a_fresh_value_that_forbids_refuses(reading: Reading, reason: Reason | None) -> None:
    """A3, first asking."""
    assert permit_asleep(UNLOCK, lambda path: reading) == (reason, (reading,))


def test_on_a_sleeping_bus_each_rule_is_asked_of_its_own_path() -> None:
    known = {SPEED: ok(SPEED, 0.0), IGNITION: ok(IGNITION, True)}
    found = permit_asleep(DISABLE_DRIVE, known.__getitem__)
    assert found == (Reason.IGNITION_ON, (known[IGNITION], known[SPEED]))


@pytest.mark.parametrize("shown", BusHealth)
@pytest.mark.parametrize("state", BusHealth)
@pytest.mark.parametrize("action", [action for action in Action if action not in (Action.REPORT, Action.CHECK_RETURN)])
def test_a_lock_wants_a_bus_that_sends_now_and_all_else_one_that_has_stood_sr_06(
    action: Action, state: BusHealth, shown: BusHealth
) -> None:
    reasons = {
        BusHealth.UNKNOWN: Reason.CAN_DOWN,
        BusHealth.ERROR_ACTIVE: None,
        BusHealth.SILENT: None,
        BusHealth.ERROR_PASSIVE: None,
        BusHealth.BUS_OFF: Reason.BUS_OFF,
        BusHealth.DOWN: Reason.CAN_DOWN,
        BusHealth.REMOVED: Reason.CAN_DOWN,
    }
    assert permit_bus(action, state, shown) is reasons[shown if action is Action.LOCK else state]
