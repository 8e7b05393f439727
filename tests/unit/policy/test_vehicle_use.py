"""How the car is used, from fresh values alone."""

from __future__ import annotations

import pytest

from agent.model.reading import Quality, Reading, Value
from agent.model.use import VehicleUse
from agent.policy.vehicle_use import CHARGING, LOW_VOLTAGE_SYSTEM, READY, SPEED, vehicle_use


def use_of(values: dict[str, Value], *, is_asleep: bool = False, quality: Quality = Quality.OK) -> VehicleUse:
    def read(path: str) -> Reading | None:
        return Reading(path, values[path], None, 0.0, quality) if path in values else None

    return vehicle_use(read, is_asleep=is_asleep)


@pytest.mark.parametrize(
    ("values", "use"),
    [
        ({}, VehicleUse.AWAKE),
        ({SPEED: 0.0, READY: False, LOW_VOLTAGE_SYSTEM: "OFF", CHARGING: False}, VehicleUse.AWAKE),
        ({SPEED: 0.5}, VehicleUse.DRIVING),
        ({READY: True}, VehicleUse.DRIVING),
        ({LOW_VOLTAGE_SYSTEM: "ON"}, VehicleUse.DRIVING),
        ({LOW_VOLTAGE_SYSTEM: "ACC"}, VehicleUse.AWAKE),
        ({CHARGING: True}, VehicleUse.CHARGING),
        ({CHARGING: True, LOW_VOLTAGE_SYSTEM: "ON"}, VehicleUse.DRIVING),
    ],
)
def test_the_first_that_applies_counts(values: dict[str, Value], use: VehicleUse) -> None:
    assert use_of(values) is use


def test_silent_car_is_asleep_whatever_it_said_last() -> None:
    assert use_of({SPEED: 50.0, CHARGING: True}, is_asleep=True) is VehicleUse.ASLEEP


@pytest.mark.parametrize("quality", [Quality.STALE, Quality.INVALID, Quality.UNKNOWN])
def test_value_that_is_none_moves_nothing(quality: Quality) -> None:
    """SR-05."""
    assert use_of({SPEED: 50.0, READY: True, CHARGING: True}, quality=quality) is VehicleUse.AWAKE
