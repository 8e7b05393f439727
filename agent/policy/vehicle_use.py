"""Whether the car drives, charges, is awake or asleep: from fresh values alone (SR-05)."""

from __future__ import annotations

from collections.abc import Callable

from agent.model.reading import OK, Reading
from agent.model.use import VehicleUse

SPEED = "Vehicle.Speed"
READY = "Vehicle.Carshare.IsReadyToDrive"
LOW_VOLTAGE_SYSTEM = "Vehicle.LowVoltageSystemState"
CHARGING = "Vehicle.Powertrain.TractionBattery.Charging.IsCharging"

USE_PATHS = frozenset({SPEED, READY, LOW_VOLTAGE_SYSTEM, CHARGING})
"""What the use of a car is told by."""

# Of `LowVoltageSystemState`: the ignition is on.
IGNITION_ON = frozenset({"ON", "START"})


def vehicle_use(read: Callable[[str], Reading | None], *, is_asleep: bool) -> VehicleUse:
    """`read` gives a path as it stands now, None if the car has none of it; `is_asleep` if every bus is silent."""

    def is_so(path: str, holds: Callable[[object], bool]) -> bool:
        reading = read(path)
        return reading is not None and reading.quality is OK and holds(reading.value)

    if is_asleep:
        return VehicleUse.ASLEEP
    if (
        is_so(READY, lambda value: value is True)
        or is_so(LOW_VOLTAGE_SYSTEM, lambda value: value in IGNITION_ON)
        or is_so(SPEED, lambda value: isinstance(value, int | float) and value > 0)
    ):
        return VehicleUse.DRIVING
    if is_so(CHARGING, lambda value: value is True):
        return VehicleUse.CHARGING
    return VehicleUse.AWAKE
