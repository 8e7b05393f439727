"""The VSS paths a profile may name: the part of COVESA VSS 6.0 that shared cars need, and our overlay for the rest.

Paths, datatypes and units are facts of the Vehicle Signal Specification (MPL-2.0,
https://github.com/COVESA/vehicle_signal_specification), restated so that the car needs neither its files nor its tools.
The tree of the tag v6.0 itself could not be read when this table was made, only its neighbours:

- in 5.1 and in the development tree of 7.0 alike: `Powertrain.TractionBattery.*`.
- in the development tree of 7.0 only: `Speed`, `TraveledDistance` and the rest directly under `Vehicle`,
  `LowVoltageSystemState`, `Chassis.ParkingBrake.*`, `Exterior.*`.
- in trees before 6.0 only, no later change known: `Body.*`, `Cabin.*`, `LowVoltageBattery.*`, `Powertrain.Range`,
  `Powertrain.Transmission.*`.
- the unit of temperature: 5.1 writes `celsius`; 7.0, and people who quote 6.0, write `Celsius`, which is used here.

Signs and meanings that profiles lean on: `TractionBattery.CurrentCurrent` and `.CurrentPower` are positive into the
battery; `Transmission.SelectedGear` is 126 for park, 127 for drive, -1 for reverse, 0 for neutral;
`Transmission.PerformanceMode` is one of NORMAL, SPORT, ECONOMY, SNOW, RAIN; `LowVoltageSystemState` is one of
UNDEFINED, LOCK, OFF, ACC, ON, START; a car with one charging inlet uses the instance `ChargingPort.AnyPosition`;
`DriverSide` is the left side of a left-hand-drive car.

The overlay `Vehicle.Carshare.…` holds what VSS has no place for: the central lock as a whole, whether driving is
enabled, doors known by left and right or not known apart at all, and units of one maker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from agent.model.quick_dataclass import dataclass

RELEASE = "6.0"


@dataclass(frozen=True, slots=True)
class VssEntry:
    """One leaf: its datatype (`boolean`, `float`, `uint32`, `string` …) and unit (None: it has none)."""

    datatype: str
    unit: str | None
    is_overlay: bool = False


_STANDARD: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("float", "km/h"): (
        "Vehicle.Speed",
        "Vehicle.AverageSpeed",
        "Vehicle.Powertrain.TractionBattery.Charging.ChargeRate",
    ),
    ("uint32", "m"): (
        "Vehicle.TraveledDistance",
        "Vehicle.TraveledDistanceSinceStart",
        "Vehicle.TripMeterReading",
        "Vehicle.Powertrain.Range",
        "Vehicle.Powertrain.TractionBattery.Range",
    ),
    ("uint32", "s"): (
        "Vehicle.Powertrain.TractionBattery.TimeRemaining",
        "Vehicle.Powertrain.TractionBattery.Charging.TimeToComplete",
    ),
    ("string", None): ("Vehicle.LowVoltageSystemState", "Vehicle.Powertrain.Transmission.PerformanceMode"),
    ("float", "V"): (
        "Vehicle.LowVoltageBattery.CurrentVoltage",
        "Vehicle.Powertrain.TractionBattery.CurrentVoltage",
        "Vehicle.Powertrain.TractionBattery.CellVoltage.Max",
        "Vehicle.Powertrain.TractionBattery.CellVoltage.Min",
        "Vehicle.Powertrain.TractionBattery.Charging.ChargeVoltage.DC",
        "Vehicle.Powertrain.TractionBattery.Charging.ChargeVoltage.Phase1",
    ),
    ("float", "A"): (
        "Vehicle.LowVoltageBattery.CurrentCurrent",
        "Vehicle.Powertrain.TractionBattery.CurrentCurrent",
        "Vehicle.Powertrain.TractionBattery.Charging.ChargeCurrent.DC",
        "Vehicle.Powertrain.TractionBattery.Charging.ChargeCurrent.Phase1",
        "Vehicle.Powertrain.TractionBattery.Charging.ChargeCurrent.Phase2",
        "Vehicle.Powertrain.TractionBattery.Charging.ChargeCurrent.Phase3",
        "Vehicle.Powertrain.TractionBattery.Charging.MaximumChargingCurrent.DC",
        "Vehicle.Powertrain.TractionBattery.Charging.MaximumChargingCurrent.Phase1",
    ),
    ("float", "W"): ("Vehicle.Powertrain.TractionBattery.CurrentPower",),
    ("float", "kWh"): (
        "Vehicle.Powertrain.TractionBattery.StateOfCharge.CurrentEnergy",
        "Vehicle.Powertrain.TractionBattery.AccumulatedChargedEnergy",
        "Vehicle.Powertrain.TractionBattery.AccumulatedConsumedEnergy",
    ),
    ("uint16", "kWh"): ("Vehicle.Powertrain.TractionBattery.NetCapacity",),
    ("float", "percent"): (
        "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
        "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed",
        "Vehicle.Powertrain.TractionBattery.StateOfHealth",
    ),
    ("uint8", "percent"): ("Vehicle.Powertrain.TractionBattery.Charging.ChargeLimit",),
    ("float", "Celsius"): (
        "Vehicle.Exterior.AirTemperature",
        "Vehicle.Cabin.HVAC.AmbientAirTemperature",
        "Vehicle.Powertrain.TractionBattery.Temperature.Average",
        "Vehicle.Powertrain.TractionBattery.Temperature.Max",
        "Vehicle.Powertrain.TractionBattery.Temperature.Min",
        "Vehicle.Powertrain.TractionBattery.Charging.Temperature",
    ),
    ("int8", None): (
        "Vehicle.Powertrain.Transmission.CurrentGear",
        "Vehicle.Powertrain.Transmission.SelectedGear",
    ),
    ("boolean", None): (
        "Vehicle.IsMoving",
        "Vehicle.IsBrokenDown",
        "Vehicle.Body.Hood.IsOpen",
        "Vehicle.Body.Trunk.Front.IsLocked",
        "Vehicle.Body.Trunk.Front.IsOpen",
        "Vehicle.Body.Trunk.Rear.IsLocked",
        "Vehicle.Body.Trunk.Rear.IsOpen",
        "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked",
        "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen",
        "Vehicle.Cabin.Door.Row1.PassengerSide.IsLocked",
        "Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen",
        "Vehicle.Cabin.Door.Row2.DriverSide.IsLocked",
        "Vehicle.Cabin.Door.Row2.DriverSide.IsOpen",
        "Vehicle.Cabin.Door.Row2.PassengerSide.IsLocked",
        "Vehicle.Cabin.Door.Row2.PassengerSide.IsOpen",
        "Vehicle.Chassis.ParkingBrake.IsEngaged",
        "Vehicle.Powertrain.Transmission.IsParkLockEngaged",
        "Vehicle.Powertrain.TractionBattery.IsPowerConnected",
        "Vehicle.Powertrain.TractionBattery.Charging.IsCharging",
        "Vehicle.Powertrain.TractionBattery.Charging.IsDischarging",
        "Vehicle.Powertrain.TractionBattery.Charging.ChargingPort.AnyPosition.IsChargingCableConnected",
        "Vehicle.Powertrain.TractionBattery.Charging.ChargingPort.AnyPosition.IsChargingCableLocked",
        "Vehicle.Powertrain.TractionBattery.Charging.ChargingPort.AnyPosition.IsFlapOpen",
    ),
}

_OVERLAY: Mapping[str, tuple[str, str | None]] = {
    # The doors as a whole, where the car speaks of them as one.
    "Vehicle.Carshare.CentralLock.IsLocked": ("boolean", None),
    # All doors but the driver's, where the car has one bit for them.
    "Vehicle.Carshare.CentralLock.IsLockedBesideDriver": ("boolean", None),
    # Whether the car may be driven: the immobiliser, or what stands in for it. VSS has no such switch.
    "Vehicle.Carshare.IsDriveEnabled": ("boolean", None),
    # Pressing the pedal would move the car. `LowVoltageSystemState` = ON is not enough for that in an electric car.
    "Vehicle.Carshare.IsReadyToDrive": ("boolean", None),
    # The READY lamp of the dashboard, where the car tells it beside READY itself.
    "Vehicle.Carshare.IsReadyLampOn": ("boolean", None),
    # How awake the car is, in the maker's own numbers: 0 asleep to 7 running.
    "Vehicle.Carshare.PowerState": ("uint8", None),
    # What the dashboard shows, where drive and wheels tell theirs too: speed, and one of P, R, N, D and B_OR_ECO.
    "Vehicle.Carshare.SpeedShown": ("float", "km/h"),
    "Vehicle.Carshare.GearShown": ("string", None),
    # A car key or card is in its holder.
    "Vehicle.Carshare.IsKeyInHolder": ("boolean", None),
    # A key is in the ignition lock, whatever it is turned to.
    "Vehicle.Carshare.IsKeyInIgnitionLock": ("boolean", None),
    # The ignition is on, where off and accessory are not told apart.
    "Vehicle.Carshare.IsIgnitionOn": ("boolean", None),
    # Front doors of which it is not known which one is the driver's.
    "Vehicle.Carshare.Door.FrontA.IsOpen": ("boolean", None),
    "Vehicle.Carshare.Door.FrontB.IsOpen": ("boolean", None),
    # Doors by side of the body, in a car built left- and right-hand drive.
    "Vehicle.Carshare.Door.FrontLeft.IsOpen": ("boolean", None),
    "Vehicle.Carshare.Door.FrontRight.IsOpen": ("boolean", None),
    "Vehicle.Carshare.Door.RearLeft.IsOpen": ("boolean", None),
    "Vehicle.Carshare.Door.RearRight.IsOpen": ("boolean", None),
    # Every door and the trunk, as one state derived from each of them.
    "Vehicle.Carshare.Doors.IsAllClosed": ("boolean", None),
    # How often the ignition came on since the agent started.
    "Vehicle.Carshare.IgnitionCycles": ("uint32", None),
    # What kind of charging it is, where the car tells the current's or the charger's state.
    "Vehicle.Carshare.Charging.IsAC": ("boolean", None),
    "Vehicle.Carshare.Charging.IsDC": ("boolean", None),
    # Why it charges or does not: NONE, STARTING, CHARGING, QUICK_CHARGING, PAUSED, WAITING_FOR_TIMER,
    # WAITING_FOR_CURRENT, FINISHED, FAILED or FLAP_OPEN.
    "Vehicle.Carshare.Charging.State": ("string", None),
    # How long it would take until full at each supply: a quick charger, and three of alternating current.
    "Vehicle.Carshare.Charging.TimeToFull.Quick": ("uint32", "s"),
    "Vehicle.Carshare.Charging.TimeToFull.Fast": ("uint32", "s"),
    "Vehicle.Carshare.Charging.TimeToFull.Medium": ("uint32", "s"),
    "Vehicle.Carshare.Charging.TimeToFull.Slow": ("uint32", "s"),
    # What the charging point allows by its pilot signal.
    "Vehicle.Carshare.Charging.PilotCurrent": ("float", "A"),
    # Power of charging where it is not known whether it is drawn or allowed.
    "Vehicle.Carshare.Charging.Power": ("float", "W"),
    # What the car makes of the pilot line of the charging cable, in the maker's own numbers.
    "Vehicle.Carshare.Charging.PilotState": ("uint8", None),
    # Power drawn from the grid while charging, before the charger's losses.
    "Vehicle.Carshare.TractionBattery.GridPower": ("float", "W"),
    # The pack's voltage, charge and health as another unit than the battery tells them, where both do.
    "Vehicle.Carshare.TractionBattery.VoltageSeenByCar": ("float", "V"),
    "Vehicle.Carshare.TractionBattery.StateOfChargeSeenByCar": ("float", "percent"),
    "Vehicle.Carshare.TractionBattery.StateOfHealthSeenByCar": ("float", "percent"),
    # What the pack holds when full, in ampere-hours, as its own computer has it.
    "Vehicle.Carshare.TractionBattery.Capacity": ("float", "Ah"),
    # A maker's figure for the conductance of the pack, of a new one.
    "Vehicle.Carshare.TractionBattery.Hx": ("float", "percent"),
    # How often it was charged in the car's life.
    "Vehicle.Carshare.Charging.QuickCharges": ("uint32", None),
    "Vehicle.Carshare.Charging.NormalCharges": ("uint32", None),
    # One cell of many, not known which.
    "Vehicle.Carshare.TractionBattery.CellVoltage": ("float", "V"),
    # That it is charged as the battery tells it, where the charger does so too.
    "Vehicle.Carshare.TractionBattery.IsBeingCharged": ("boolean", None),
    # The high-voltage circuit is live, for driving or for charging.
    "Vehicle.Carshare.TractionBattery.IsHighVoltageOn": ("boolean", None),
    # Energy left, and of the full battery, in a maker's own steps of about 80 Wh: not exact enough to be told as kWh.
    "Vehicle.Carshare.TractionBattery.Gids": ("uint16", None),
    "Vehicle.Carshare.TractionBattery.GidsMax": ("uint16", None),
    # The part of the battery's own charge that is used: what is shown as empty and as full.
    "Vehicle.Carshare.TractionBattery.UsableFrom": ("float", "percent"),
    "Vehicle.Carshare.TractionBattery.UsableTo": ("float", "percent"),
    # The bars of a maker's charge display.
    "Vehicle.Carshare.TractionBattery.ChargeBars": ("uint8", None),
    # What the charger finds at the socket: NONE, 100V, 200V or ABNORMAL.
    "Vehicle.Carshare.TractionBattery.GridVoltageClass": ("string", None),
    # The battery's contacts to the charger and to the quick-charge socket. Closed is not yet charging.
    "Vehicle.Carshare.TractionBattery.IsAcRelayClosed": ("boolean", None),
    "Vehicle.Carshare.TractionBattery.IsQuickChargeRelayClosed": ("boolean", None),
}


def _entries() -> Iterator[tuple[str, VssEntry]]:
    for (datatype, unit), paths in _STANDARD.items():
        for path in paths:
            yield path, VssEntry(datatype, unit)
    for path, (datatype, unit) in _OVERLAY.items():
        yield path, VssEntry(datatype, unit, is_overlay=True)


PATHS: Mapping[str, VssEntry] = MappingProxyType(dict(_entries()))
