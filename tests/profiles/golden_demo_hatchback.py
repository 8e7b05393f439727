"""The recording of `dbc/demo_hatchback`: a charging car is located, unlocked and driven 2 km, locked and disabled,
falls asleep, wakes.

Also in it, and not to be believed: a frame with a wrong checksum, one sent twice, one cut short, one of the right
number among the extended identifiers, a wheel sensor gone mad, a page of details that nobody knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from struct import pack

from tests.profiles.golden_log import MARKER, MEANINGLESS, OUT_OF_RANGE, GoldenLog, Readings, Rule, Shown, crc8

_BATTERY = "Vehicle.Powertrain.TractionBattery"
_DOOR = "Vehicle.Cabin.Door"

_STEP_MS = 100
_ASLEEP_MS = (104_000, 107_200)
_END_MS = 110_000

_FRESHNESS_MS = {
    "MotionStatus": 500,
    "LockStatus": 500,
    "DriveStatus": 1000,
    "BatteryStatus": 5000,
    "BatteryDetails": 2000,
    "BodyStatus": 2000,
}

_PATHS = {
    "MotionStatus": ("Vehicle.Speed", "Vehicle.TraveledDistance"),
    "LockStatus": ("Vehicle.Carshare.CentralLock.IsLocked",),
    "DriveStatus": ("Vehicle.Carshare.IsDriveEnabled",),
    "BatteryStatus": (
        f"{_BATTERY}.StateOfCharge.Current",
        f"{_BATTERY}.StateOfCharge.Displayed",
        f"{_BATTERY}.Range",
        f"{_BATTERY}.Charging.IsCharging",
        f"{_BATTERY}.Charging.ChargingPort.AnyPosition.IsChargingCableConnected",
        "Vehicle.Carshare.TractionBattery.GridPower",
    ),
    "BatteryDetails": (
        f"{_BATTERY}.CurrentVoltage",
        f"{_BATTERY}.CurrentCurrent",
        f"{_BATTERY}.Temperature.Min",
        f"{_BATTERY}.Temperature.Max",
        f"{_BATTERY}.StateOfHealth",
    ),
    "BodyStatus": (
        f"{_DOOR}.Row1.DriverSide.IsOpen",
        f"{_DOOR}.Row1.PassengerSide.IsOpen",
        f"{_DOOR}.Row2.DriverSide.IsOpen",
        f"{_DOOR}.Row2.PassengerSide.IsOpen",
        "Vehicle.Body.Trunk.Rear.IsOpen",
        "Vehicle.Chassis.ParkingBrake.IsEngaged",
        "Vehicle.Carshare.IsReadyToDrive",
        "Vehicle.LowVoltageSystemState",
        "Vehicle.Powertrain.Transmission.SelectedGear",
        "Vehicle.LowVoltageBattery.CurrentVoltage",
        "Vehicle.Exterior.AirTemperature",
    ),
}

_OPENINGS = _PATHS["BodyStatus"][:5]

_DERIVED: Mapping[str, Rule] = {
    "Vehicle.IsMoving": (("Vehicle.Speed",), lambda speed_kmh: speed_kmh >= 0.5),
    "Vehicle.Carshare.Doors.IsAllClosed": (_OPENINGS, lambda *are_open: not any(are_open)),
}

_CONTACT: Mapping[int, Shown] = {0: False, 1: True, 2: MEANINGLESS, 3: MEANINGLESS}
_LOCK: Mapping[int, Shown] = {0: False, 1: True, 2: MEANINGLESS, 3: MEANINGLESS, 7: MEANINGLESS}
_IMMOBILISER: Mapping[int, Shown] = {0: True, 1: False, 2: MEANINGLESS, 3: MEANINGLESS, 7: MEANINGLESS}
_CHARGING: Mapping[int, Shown] = {0: False, 1: True, 2: False, 3: False, 7: MEANINGLESS}
_PLUG: Mapping[int, Shown] = {0: False, 1: True, 2: True, 3: MEANINGLESS}
_IGNITION: Mapping[int, Shown] = {0: "OFF", 1: "ACC", 2: "ON", 3: "START", 15: MEANINGLESS}
_GEAR: Mapping[int, Shown] = {0: 126, 1: -1, 2: 0, 3: 127, 15: MEANINGLESS}


@dataclass(frozen=True, slots=True)
class _Car:
    """The car at one moment; enumerated states as the numbers on the bus, None where the unit does not know yet."""

    speed_kmh: float | None = None
    odometer_m: float | None = None
    lock: int = 7
    lock_asked_by: int = 7
    immobiliser: int = 7
    is_battery_measured: bool = False
    charge_percent: float = 63.87
    charging: int = 7
    plug: int = 3
    grid_kw: float | None = None
    pack_v: float | None = None
    pack_a: float | None = None
    cells_celsius: tuple[float, float] | None = None
    health_percent: float | None = None
    doors: tuple[int, int, int, int] = (3, 3, 3, 3)
    trunk: int = 3
    parking_brake: int = 3
    ready: int = 3
    ignition: int = 15
    gear: int = 15
    low_v: float | None = None
    outside_celsius: float | None = None


_CLOSED = (0, 0, 0, 0)

# What happens, by the millisecond. The units of the car report late, each at its own time.
_SCRIPT: tuple[tuple[int, Mapping[str, object]], ...] = (
    (200, {"lock": 1, "lock_asked_by": 0}),
    (300, {"speed_kmh": 0.0}),
    (
        400,
        {
            "doors": _CLOSED,
            "trunk": 2,
            "parking_brake": 1,
            "ready": 0,
            "ignition": 0,
            "gear": 0,
            "outside_celsius": -3.5,
        },
    ),
    (500, {"odometer_m": 23_456_780.0}),
    (600, {"immobiliser": 1}),
    (600, {"low_v": 13.9, "trunk": 0}),
    (1000, {"is_battery_measured": True, "charging": 1, "plug": 2, "pack_v": 371.4, "pack_a": 18.6}),
    (1500, {"grid_kw": 7.25, "cells_celsius": (11.5, 14.0), "health_percent": 93.5}),
    (4000, {"lock": 2, "lock_asked_by": 2}),
    (4400, {"lock": 0}),
    (5000, {"charging": 2, "grid_kw": 0.0, "pack_a": -0.8}),
    (5500, {"charging": 0, "plug": 1}),
    (5900, {"charging": 3}),
    (6400, {"charging": 0}),
    (6000, {"plug": 0, "grid_kw": None, "low_v": 12.7}),
    (6200, {"doors": (1, 0, 0, 0)}),
    (7000, {"doors": (1, 0, 0, 1)}),
    (8000, {"doors": (0, 0, 0, 1)}),
    (8600, {"doors": _CLOSED}),
    (8800, {"immobiliser": 2}),
    (9000, {"immobiliser": 0}),
    (9000, {"ignition": 1}),
    (9400, {"ignition": 2}),
    (9800, {"ignition": 3}),
    (10_000, {"ignition": 2}),
    (10_000, {"ready": 1, "low_v": 14.2}),
    (10_600, {"gear": 1}),
    (11_000, {"gear": 2}),
    (11_400, {"gear": 3}),
    (12_000, {"parking_brake": 0}),
    (97_000, {"parking_brake": 1, "gear": 0}),
    (98_000, {"ready": 0, "ignition": 0, "low_v": 12.9}),
    (98_600, {"doors": (1, 1, 0, 0), "trunk": 1}),
    (99_400, {"doors": (0, 1, 1, 0)}),
    (100_000, {"doors": _CLOSED}),
    (100_800, {"trunk": 0}),
    (102_000, {"lock": 2, "lock_asked_by": 2}),
    (102_400, {"lock": 1}),
    (102_800, {"immobiliser": 2}),
    (103_000, {"immobiliser": 1}),
)

_STARTS_MS, _ACCELERATION_MS2, _CRUISE_KMH, _BRAKES_AFTER_M = 13_000, 2.5, 100.8, 1843.0


def write() -> GoldenLog:
    """The whole recording."""
    golden = GoldenLog({path: _FRESHNESS_MS[name] for name, paths in _PATHS.items() for path in paths}, _DERIVED)
    car = _Car()
    script = list(_SCRIPT)
    counter = 0
    for now_ms in range(0, _END_MS, _STEP_MS):
        while script and script[0][0] <= now_ms:
            car = replace(car, **script.pop(0)[1])  # type: ignore[arg-type]
        car = _drive(car, now_ms)
        if _ASLEEP_MS[0] <= now_ms < _ASLEEP_MS[1]:
            counter = 0
            continue
        if now_ms == _ASLEEP_MS[1]:
            golden.frame(now_ms - 50, "body", 0x1ABCDFE1, bytes([1, 1]), is_extended_id=True)
            car = replace(car, lock=7, immobiliser=7, low_v=None)
        if now_ms == _ASLEEP_MS[1] + 400:
            car = replace(car, lock=1, immobiliser=1, low_v=12.8)
        _send_due(golden, car, now_ms, counter)
        counter = (counter + 1) % 16
    return golden


def _drive(car: _Car, now_ms: int) -> _Car:
    """Accelerate, keep the speed, brake to a stand 2 km on; the battery gives and takes back."""
    if now_ms < _STARTS_MS or car.speed_kmh is None or car.odometer_m is None or car.gear != 3:
        return car
    driven_m = car.odometer_m - 23_456_780.0
    step_kmh = _ACCELERATION_MS2 * 3.6 * _STEP_MS / 1000
    if driven_m < _BRAKES_AFTER_M:
        speed_kmh = min(_CRUISE_KMH, car.speed_kmh + step_kmh)
        pack_a = -4.2 - 1.9 * speed_kmh if speed_kmh < _CRUISE_KMH else -41.3
    else:
        speed_kmh = max(0.0, car.speed_kmh - step_kmh)
        pack_a = 0.9 * speed_kmh - 2.1
    metres = (car.speed_kmh + speed_kmh) / 2 / 3.6 * _STEP_MS / 1000
    return replace(
        car,
        speed_kmh=round(speed_kmh, 6),
        odometer_m=round(car.odometer_m + metres, 6),
        pack_a=pack_a,
        pack_v=371.0 + 0.06 * pack_a,
        charge_percent=car.charge_percent - metres * 0.00031,
    )


def _send_due(golden: GoldenLog, car: _Car, now_ms: int, counter: int) -> None:
    """The frames of one step, each with its period and its place within the step."""

    def send(offset_ms: int, arbitration_id: int, packed: tuple[bytes, Readings]) -> None:
        golden.frame(now_ms + offset_ms, "body", arbitration_id, *packed)

    if strange := _STRANGE.get(now_ms):
        strange(golden, car, now_ms, counter)
    else:
        send(0, 0x130, _motion_status(car, counter))
    send(11, 0x1F1, _lock_status(car, counter))
    if now_ms % 200 == 0:
        send(17, 0x1F3, _drive_status(car, now_ms // 200 % 16))
        send(23, 0x320, _body_status(car))
        send(37, 0x2A1, _battery_details(car, (0, 1, 0, 2)[now_ms // 200 % 4]))
    if now_ms % 500 == 0:
        send(41, 0x2A0, _battery_status(car))
    if asked := _REQUESTS.get(now_ms):
        arbitration_id, request_counter, request = asked
        covered = bytes([request_counter | request << 4, 0, 0])
        send(60, arbitration_id, (bytes([_j1850(covered)]) + covered, {}))


_LOCK_REQUEST, _DRIVE_REQUEST, _LOCATE_REQUEST = 0x1F0, 0x1F2, 0x1F4

# What telematics asks for, as identifier, counter and request: twice each, the second time with the next counter.
_REQUESTS: Mapping[int, tuple[int, int, int]] = {
    2300: (_LOCATE_REQUEST, 14, 2),
    2400: (_LOCATE_REQUEST, 15, 2),
    3800: (_LOCK_REQUEST, 7, 1),
    3900: (_LOCK_REQUEST, 8, 1),
    8600: (_DRIVE_REQUEST, 7, 1),
    8700: (_DRIVE_REQUEST, 8, 1),
    101_800: (_LOCK_REQUEST, 9, 2),
    101_900: (_LOCK_REQUEST, 10, 2),
    102_600: (_DRIVE_REQUEST, 9, 2),
    102_700: (_DRIVE_REQUEST, 10, 2),
}


def _j1850(covered: bytes) -> int:
    return crc8(covered, polynomial=0x1D, start=0xFF, final=0xFF)


def _motion_status(car: _Car, counter: int) -> tuple[bytes, Readings]:
    speed = 0xFFFF if car.speed_kmh is None else round(car.speed_kmh * 100)
    odometer = 0xFFFFFF if car.odometer_m is None else math.floor(car.odometer_m / 10)
    covered = bytes([counter]) + speed.to_bytes(2, "big") + odometer.to_bytes(3, "big") + b"\x00"
    readings: dict[str, Shown] = {
        "Vehicle.Speed": MARKER if car.speed_kmh is None else speed / 100,
        "Vehicle.TraveledDistance": MARKER if car.odometer_m is None else odometer * 10,
    }
    return bytes([_j1850(covered)]) + covered, readings


def _lock_status(car: _Car, counter: int) -> tuple[bytes, Readings]:
    covered = bytes([counter | car.lock << 4, car.lock_asked_by, 0])
    return bytes([_j1850(covered)]) + covered, {"Vehicle.Carshare.CentralLock.IsLocked": _LOCK[car.lock]}


def _drive_status(car: _Car, counter: int) -> tuple[bytes, Readings]:
    covered = bytes([counter | car.immobiliser << 4, 0, 0])
    return bytes([_j1850(covered)]) + covered, {"Vehicle.Carshare.IsDriveEnabled": _IMMOBILISER[car.immobiliser]}


def _battery_status(car: _Car) -> tuple[bytes, Readings]:
    charge, shown, range_km = 0x3FF, 0x7F, 0x3FF
    values: list[Shown] = [MARKER, MARKER, MARKER]
    if car.is_battery_measured:
        charge = round(car.charge_percent * 10)
        shown = math.floor((car.charge_percent - 4) / 0.92)
        range_km = math.floor(car.charge_percent * 3.2)
        values = [charge / 10, float(shown), range_km * 1000]
    low = charge | shown << 10 | car.charging << 17 | car.plug << 20 | range_km << 22
    power = pack("<f", car.grid_kw) if car.grid_kw is not None else bytes([0x00, 0x00, 0xC0, 0x7F])
    grid: Shown = MARKER if car.grid_kw is None else car.grid_kw * 1000
    readings = (*values, _CHARGING[car.charging], _PLUG[car.plug], grid)
    return low.to_bytes(4, "little") + power, dict(zip(_PATHS["BatteryStatus"], readings, strict=True))


def _battery_details(car: _Car, page: int) -> tuple[bytes, Readings]:
    if page == 0:
        voltage = 0xFFFF if car.pack_v is None else round(car.pack_v * 10)
        current = -32768 if car.pack_a is None else round(car.pack_a * 10)
        return bytes([0]) + pack("<Hh", voltage, current) + bytes(3), {
            f"{_BATTERY}.CurrentVoltage": MARKER if car.pack_v is None else voltage / 10,
            f"{_BATTERY}.CurrentCurrent": MARKER if car.pack_a is None else current / 10,
        }
    if page == 1:
        coldest, hottest = car.cells_celsius or (87.5, 87.5)
        return bytes([1, round((coldest + 40) * 2), round((hottest + 40) * 2), 0, 0, 0, 0, 0]), {
            f"{_BATTERY}.Temperature.Min": coldest if car.cells_celsius else MARKER,
            f"{_BATTERY}.Temperature.Max": hottest if car.cells_celsius else MARKER,
        }
    health = 0xFF if car.health_percent is None else round(car.health_percent * 2)
    return bytes([2, health, 0, 0, 0, 0, 0, 0]), {
        f"{_BATTERY}.StateOfHealth": MARKER if car.health_percent is None else car.health_percent
    }


def _body_status(car: _Car) -> tuple[bytes, Readings]:
    driver, passenger, rear_driver, rear_passenger = car.doors
    low_v = 0xFF if car.low_v is None else round(car.low_v * 10)
    outside = -512 if car.outside_celsius is None else round(car.outside_celsius * 10)
    payload = bytes(
        [
            driver << 6 | passenger << 4 | rear_driver << 2 | rear_passenger,
            car.trunk << 6 | car.parking_brake << 4 | car.ready << 2,
            car.ignition << 4 | car.gear,
            low_v,
        ]
    ) + (outside % 1024 << 6).to_bytes(2, "big")
    readings = (
        *(_CONTACT[door] for door in car.doors),
        _CONTACT[car.trunk],
        _CONTACT[car.parking_brake],
        _CONTACT[car.ready],
        _IGNITION[car.ignition],
        _GEAR[car.gear],
        MARKER if car.low_v is None else car.low_v,
        MARKER if car.outside_celsius is None else car.outside_celsius,
    )
    return payload, dict(zip(_PATHS["BodyStatus"], readings, strict=True))


def _wrong_checksum(golden: GoldenLog, car: _Car, now_ms: int, counter: int) -> None:
    payload, _ = _motion_status(replace(car, speed_kmh=0.0), counter)
    golden.frame(now_ms, "body", 0x130, bytes([payload[0] ^ 0x40]) + payload[1:])


def _sent_twice(golden: GoldenLog, car: _Car, now_ms: int, counter: int) -> None:
    payload, readings = _motion_status(car, counter)
    golden.frame(now_ms, "body", 0x130, payload, readings)
    again, _ = _motion_status(replace(car, speed_kmh=0.0), counter)
    golden.frame(now_ms + 5, "body", 0x130, again)


def _cut_short(golden: GoldenLog, car: _Car, now_ms: int, counter: int) -> None:
    golden.frame(now_ms, "body", 0x130, _motion_status(car, counter)[0][:7])


def _of_another_kind(golden: GoldenLog, car: _Car, now_ms: int, counter: int) -> None:
    payload, readings = _motion_status(car, counter)
    golden.frame(now_ms, "body", 0x130, payload, readings)
    stranger, _ = _motion_status(replace(car, speed_kmh=0.0), (counter + 1) % 16)
    golden.frame(now_ms + 5, "body", 0x130, stranger, is_extended_id=True)
    golden.frame(now_ms + 6, "body", 0x7DF, bytes([2, 1, 0x0D, 0, 0, 0, 0, 0]))


def _gone_mad(golden: GoldenLog, car: _Car, now_ms: int, counter: int) -> None:
    payload, readings = _motion_status(replace(car, speed_kmh=300.0), counter)
    golden.frame(now_ms, "body", 0x130, payload, {**readings, "Vehicle.Speed": OUT_OF_RANGE})


def _page_of_nothing(golden: GoldenLog, car: _Car, now_ms: int, counter: int) -> None:
    golden.frame(now_ms, "body", 0x130, *_motion_status(car, counter))
    golden.frame(now_ms + 5, "body", 0x2A1, bytes([9, 1, 1, 1, 1, 1, 1, 1]))


_STRANGE: Mapping[int, Callable[[GoldenLog, _Car, int, int], None]] = {
    20_000: _wrong_checksum,
    25_000: _sent_twice,
    30_000: _cut_short,
    35_000: _of_another_kind,
    40_000: _gone_mad,
    45_000: _page_of_nothing,
}
