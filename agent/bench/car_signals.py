"""What the demo hatchback's units put into their messages: the physical car under the DBC's signal names."""

from __future__ import annotations

from collections.abc import Mapping

from agent.bench.car_body import CarBody, Ignition, Opening
from agent.bench.car_immobiliser import Immobiliser
from agent.bench.car_lock import LockUnit
from agent.model.reading import Value

BATTERY_PAGES = (0, 1, 0, 2)
"""The order in which BatteryDetails sends its pages."""

CELL_SPREAD_C = 1.5


def signal_values(
    message: str, body: CarBody, lock: LockUnit, immobiliser: Immobiliser, *, page: int
) -> Mapping[str, Value]:
    """Physical values of every signal of `message` but counter and checksum; raises KeyError for one not known."""
    match message:
        case "MotionStatus":
            return {"WheelSpeed": body.speed_kmh, "Odometer": body.odometer_m / 1000}
        case "LockStatus":
            return {"CentralLock": lock.state.value, "LastRequestFrom": lock.last_request_from}
        case "DriveStatus":
            return {"Immobiliser": immobiliser.state.value}
        case "BatteryStatus":
            return {
                "StateOfCharge": body.state_of_charge_percent,
                "StateOfChargeShown": body.state_of_charge_shown_percent,
                "ChargingState": "Charging" if body.is_charging else "Finished" if body.is_plugged else "Idle",
                "PlugState": "PluggedAndLatched" if body.is_plugged else "Unplugged",
                "RangeLeft": body.range_km,
                "ChargePower": body.grid_power_w / 1000,
            }
        case "BatteryDetails":
            return {"Page": page, **_battery_page(body, page)}
        case "BodyStatus":
            return {
                "DoorFrontDriver": _contact(body, Opening.DRIVER_DOOR),
                "DoorFrontPassenger": _contact(body, Opening.PASSENGER_DOOR),
                "DoorRearDriver": _contact(body, Opening.REAR_DRIVER_DOOR),
                "DoorRearPassenger": _contact(body, Opening.REAR_PASSENGER_DOOR),
                "Trunk": _contact(body, Opening.TRUNK),
                "ParkingBrake": "Set" if body.is_parking_brake_set else "Released",
                "ReadyToDrive": "Ready" if body.ignition is Ignition.ON else "NotReady",
                "Ignition": body.ignition.value,
                "Gear": body.gear.value,
                "LowVoltage": body.low_voltage_v,
                "OutsideTemperature": body.outside_temperature_c,
            }
    raise KeyError(message)


def _battery_page(body: CarBody, page: int) -> Mapping[str, Value]:
    match page:
        case 0:
            return {"PackVoltage": body.pack_voltage_v, "PackCurrent": body.battery_current_a}
        case 1:
            return {
                "CellTemperatureMin": body.cell_temperature_c,
                "CellTemperatureMax": body.cell_temperature_c + CELL_SPREAD_C,
            }
        case _:
            return {"StateOfHealth": body.state_of_health_percent}


def _contact(body: CarBody, opening: Opening) -> str:
    return "Open" if body.openings[opening] else "Closed"
