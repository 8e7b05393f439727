"""What is true of the virtual car, by VSS path and in its unit: the physical car in the words of every profile.

A path that has no line here is one of which this car has nothing to say, unless somebody sets it by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from agent.bench.car_body import RESERVE_PERCENT, CarBody, Gear, Ignition, Opening
from agent.bench.car_immobiliser import Immobiliser, ImmobiliserState
from agent.bench.car_lock import LockState, LockUnit
from agent.model.reading import Value

CELLS = 96
CELL_V = 3.7
CELL_SPREAD_C = 1.5
CELL_SPREAD_V = 0.008
MAINS_V = 230.0
GID_WH = 80.0
CHARGE_BARS = 12
QUICK_CHARGES, NORMAL_CHARGES = 21, 340
CABIN_WARMER_C = 4.0
PILOT_CONNECTED, PILOT_ALONE = 2, 1
POWER_RUNNING, POWER_AWAKE = 7, 1
SUPPLIES_W = {"Quick": 44_000.0, "Fast": 6600.0, "Medium": 3300.0, "Slow": 1400.0}


class Whole(Protocol):
    """The parts of the car that values come from."""

    body: CarBody
    lock: LockUnit
    immobiliser: Immobiliser


def truth(path: str, car: Whole) -> Value | None:
    """What is true under `path`; None where nothing stands here."""
    return None if (of := _TRUTHS.get(path)) is None else of(car)


def word(path: str, car: Whole) -> str | None:
    """How value tables call what is neither one state nor the other; None if it is one of them."""
    if path in _LOCKS:
        state = car.lock.state
        return None if state in (LockState.LOCKED, LockState.UNLOCKED) else state.value
    if path == "Vehicle.Carshare.IsDriveEnabled":
        engaged = car.immobiliser.state
        return None if engaged in (ImmobiliserState.ENGAGED, ImmobiliserState.RELEASED) else engaged.value
    return None


_LOCKS = (
    "Vehicle.Carshare.CentralLock.IsLocked",
    "Vehicle.Carshare.CentralLock.IsLockedBesideDriver",
    "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked",
    "Vehicle.Cabin.Door.Row1.PassengerSide.IsLocked",
    "Vehicle.Cabin.Door.Row2.DriverSide.IsLocked",
    "Vehicle.Cabin.Door.Row2.PassengerSide.IsLocked",
    "Vehicle.Body.Trunk.Front.IsLocked",
    "Vehicle.Body.Trunk.Rear.IsLocked",
)

_OPENINGS: Mapping[str, Opening] = {
    "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen": Opening.DRIVER_DOOR,
    "Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen": Opening.PASSENGER_DOOR,
    "Vehicle.Cabin.Door.Row2.DriverSide.IsOpen": Opening.REAR_DRIVER_DOOR,
    "Vehicle.Cabin.Door.Row2.PassengerSide.IsOpen": Opening.REAR_PASSENGER_DOOR,
    # This car's driver sits on the left.
    "Vehicle.Carshare.Door.FrontLeft.IsOpen": Opening.DRIVER_DOOR,
    "Vehicle.Carshare.Door.FrontRight.IsOpen": Opening.PASSENGER_DOOR,
    "Vehicle.Carshare.Door.RearLeft.IsOpen": Opening.REAR_DRIVER_DOOR,
    "Vehicle.Carshare.Door.RearRight.IsOpen": Opening.REAR_PASSENGER_DOOR,
    "Vehicle.Carshare.Door.FrontA.IsOpen": Opening.DRIVER_DOOR,
    "Vehicle.Carshare.Door.FrontB.IsOpen": Opening.PASSENGER_DOOR,
    "Vehicle.Body.Trunk.Rear.IsOpen": Opening.TRUNK,
    "Vehicle.Body.Hood.IsOpen": Opening.HOOD,
}

_Of = Callable[[Whole], Value]

_BATTERY = "Vehicle.Powertrain.TractionBattery."
_OWN = "Vehicle.Carshare."
_PORT = _BATTERY + "Charging.ChargingPort.AnyPosition."


def _truths() -> Iterator[tuple[str, _Of]]:
    yield from _of_motion()
    yield from _of_battery()
    yield from _of_charging()
    yield from _of_body()


def _of_motion() -> Iterator[tuple[str, _Of]]:
    for name in ("Vehicle.Speed", _OWN + "SpeedShown"):
        yield name, lambda car: car.body.speed_kmh
    yield "Vehicle.IsMoving", lambda car: car.body.speed_kmh > 0
    yield "Vehicle.TraveledDistance", lambda car: car.body.odometer_m
    yield "Vehicle.Powertrain.Transmission.SelectedGear", lambda car: 126 if car.body.gear is Gear.PARK else 127
    yield _OWN + "GearShown", lambda car: "P" if car.body.gear is Gear.PARK else "D"
    yield "Vehicle.Powertrain.Transmission.CurrentGear", lambda car: 0 if car.body.gear is Gear.PARK else 1
    yield "Vehicle.Powertrain.Transmission.PerformanceMode", lambda _: "NORMAL"
    yield "Vehicle.Chassis.ParkingBrake.IsEngaged", lambda car: car.body.is_parking_brake_set
    yield "Vehicle.LowVoltageSystemState", lambda car: "ON" if car.body.ignition is Ignition.ON else "OFF"
    for name in ("IsReadyToDrive", "IsReadyLampOn", "IsIgnitionOn", "IsKeyInHolder", "IsKeyInIgnitionLock"):
        yield _OWN + name, lambda car: car.body.ignition is Ignition.ON
    yield _OWN + "PowerState", lambda car: POWER_RUNNING if car.body.ignition is Ignition.ON else POWER_AWAKE


def _of_battery() -> Iterator[tuple[str, _Of]]:
    for name in (_BATTERY + "StateOfCharge.Current", _OWN + "TractionBattery.StateOfChargeSeenByCar"):
        yield name, lambda car: car.body.state_of_charge_percent
    yield _BATTERY + "StateOfCharge.Displayed", lambda car: car.body.state_of_charge_shown_percent
    yield _BATTERY + "StateOfCharge.CurrentEnergy", lambda car: car.body.energy_wh / 1000
    for name in (_BATTERY + "StateOfHealth", _OWN + "TractionBattery.StateOfHealthSeenByCar"):
        yield name, lambda car: car.body.state_of_health_percent
    yield _BATTERY + "NetCapacity", lambda car: car.body.capacity_wh / 1000
    yield _OWN + "TractionBattery.Capacity", lambda car: car.body.capacity_wh / CELLS / CELL_V
    yield _OWN + "TractionBattery.Hx", lambda car: car.body.state_of_health_percent
    yield _OWN + "TractionBattery.UsableFrom", lambda _: RESERVE_PERCENT
    yield _OWN + "TractionBattery.UsableTo", lambda _: 100 - RESERVE_PERCENT
    yield _OWN + "TractionBattery.Gids", lambda car: car.body.energy_wh / GID_WH
    yield _OWN + "TractionBattery.GidsMax", lambda car: car.body.capacity_wh / GID_WH
    yield _OWN + "TractionBattery.ChargeBars", lambda car: car.body.state_of_charge_shown_percent / 100 * CHARGE_BARS
    for name in (_BATTERY + "Range", "Vehicle.Powertrain.Range"):
        yield name, lambda car: car.body.range_km * 1000
    for name in (_BATTERY + "CurrentVoltage", _OWN + "TractionBattery.VoltageSeenByCar"):
        yield name, lambda car: car.body.pack_voltage_v
    for name in (_BATTERY + "CellVoltage.Max", _OWN + "TractionBattery.CellVoltage"):
        yield name, lambda car: car.body.pack_voltage_v / CELLS
    yield _BATTERY + "CellVoltage.Min", lambda car: car.body.pack_voltage_v / CELLS - CELL_SPREAD_V
    yield _BATTERY + "CurrentCurrent", lambda car: car.body.battery_current_a
    yield _BATTERY + "CurrentPower", lambda car: car.body.battery_current_a * car.body.pack_voltage_v
    yield _BATTERY + "Temperature.Min", lambda car: car.body.cell_temperature_c
    yield _BATTERY + "Temperature.Average", lambda car: car.body.cell_temperature_c + CELL_SPREAD_C / 2
    yield _BATTERY + "Temperature.Max", lambda car: car.body.cell_temperature_c + CELL_SPREAD_C
    yield _OWN + "TractionBattery.IsHighVoltageOn", lambda car: car.body.ignition is Ignition.ON or car.body.is_charging


def _of_charging() -> Iterator[tuple[str, _Of]]:
    for name in (
        _BATTERY + "Charging.IsCharging",
        _OWN + "Charging.IsAC",
        _OWN + "TractionBattery.IsBeingCharged",
        _OWN + "TractionBattery.IsAcRelayClosed",
    ):
        yield name, lambda car: car.body.is_charging
    for name in (_OWN + "Charging.IsDC", _OWN + "TractionBattery.IsQuickChargeRelayClosed"):
        yield name, lambda _: False
    for name in ("IsChargingCableConnected", "IsChargingCableLocked", "IsFlapOpen"):
        yield _PORT + name, lambda car: car.body.is_plugged
    for name in (_OWN + "TractionBattery.GridPower", _OWN + "Charging.Power"):
        yield name, lambda car: car.body.grid_power_w
    yield _OWN + "Charging.State", lambda car: "CHARGING" if car.body.is_charging else "NONE"
    yield _BATTERY + "Charging.TimeToComplete", lambda car: car.body.charging_left_s
    for supply, watts in SUPPLIES_W.items():
        yield _OWN + f"Charging.TimeToFull.{supply}", lambda car, watts=watts: _time_to_full_s(car.body, watts)  # type: ignore[misc]
    yield _OWN + "Charging.QuickCharges", lambda _: QUICK_CHARGES
    yield _OWN + "Charging.NormalCharges", lambda _: NORMAL_CHARGES
    yield _OWN + "Charging.PilotCurrent", lambda car: car.body.charger_w / MAINS_V
    yield _OWN + "Charging.PilotState", lambda car: PILOT_CONNECTED if car.body.is_plugged else PILOT_ALONE
    yield _OWN + "TractionBattery.GridVoltageClass", lambda car: "200V" if car.body.is_charging else "NONE"


def _time_to_full_s(body: CarBody, supply_w: float) -> float:
    return (body.capacity_wh - body.energy_wh) / supply_w * 3600


def _of_body() -> Iterator[tuple[str, _Of]]:
    for path in _LOCKS:
        yield path, lambda car: car.lock.is_locked
    for path, opening in _OPENINGS.items():
        yield path, lambda car, opening=opening: car.body.openings[opening]  # type: ignore[misc]
    yield _OWN + "IsDriveEnabled", lambda car: car.immobiliser.is_drive_enabled
    yield "Vehicle.LowVoltageBattery.CurrentVoltage", lambda car: car.body.low_voltage_v
    yield "Vehicle.Exterior.AirTemperature", lambda car: car.body.outside_temperature_c
    yield "Vehicle.Cabin.HVAC.AmbientAirTemperature", lambda car: car.body.outside_temperature_c + CABIN_WARMER_C


_TRUTHS: Mapping[str, _Of] = dict(_truths())
