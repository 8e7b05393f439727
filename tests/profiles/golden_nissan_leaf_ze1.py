"""The recording of `dbc/nissan_leaf_ze1`: an invented car is unlocked, driven round the yard, locked, and charges.

All values are made up; only the layout of the frames and the markers at power-on are those of the real car.  Not to be
believed: a frame with a wrong checksum, one sent twice, one cut short, one on the wrong bus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tests.profiles.golden_log import (
    MARKER,
    MEANINGLESS,
    OUT_OF_RANGE,
    UNIT_UNKNOWN,
    GoldenLog,
    Readings,
    Rule,
    Shown,
    Stands,
    crc8,
)

_BATTERY = "Vehicle.Powertrain.TractionBattery"
_DOOR = "Vehicle.Carshare.Door"
_DRIVER_LOCK = "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
_OTHERS_LOCK = "Vehicle.Carshare.CentralLock.IsLockedBesideDriver"
_METRES = {"km": 1000, "mi": 1609.344}

_FRESHNESS_MS: Mapping[str, int] = {
    "Vehicle.Speed": 500,
    "Vehicle.Carshare.SpeedShown": 400,
    "Vehicle.TraveledDistance": 1000,
    "Vehicle.Carshare.GearShown": 2000,
    "Vehicle.Powertrain.Transmission.SelectedGear": 500,
    "Vehicle.Carshare.IsReadyToDrive": 1000,
    "Vehicle.Chassis.ParkingBrake.IsEngaged": 1000,
    f"{_BATTERY}.CurrentVoltage": 500,
    f"{_BATTERY}.CurrentCurrent": 500,
    f"{_BATTERY}.StateOfCharge.Current": 1000,
    f"{_BATTERY}.StateOfCharge.Displayed": 5000,
    f"{_BATTERY}.StateOfHealth": 1000,
    "Vehicle.Carshare.TractionBattery.Gids": 1000,
    "Vehicle.Carshare.TractionBattery.GidsMax": 1000,
    "Vehicle.Carshare.TractionBattery.ChargeBars": 5000,
    f"{_BATTERY}.Charging.IsCharging": 1000,
    "Vehicle.Carshare.Charging.State": 1000,
    **{f"Vehicle.Carshare.Charging.TimeToFull.{supply}": 20_000 for supply in ("Quick", "Fast", "Medium", "Slow")},
    "Vehicle.Carshare.TractionBattery.GridPower": 1000,
    "Vehicle.Carshare.TractionBattery.GridVoltageClass": 1000,
    "Vehicle.Exterior.AirTemperature": 1000,
    "Vehicle.LowVoltageBattery.CurrentVoltage": 5000,
    "Vehicle.LowVoltageSystemState": 1000,
    f"{_DOOR}.FrontA.IsOpen": 1000,
    f"{_DOOR}.FrontB.IsOpen": 1000,
    f"{_DOOR}.RearLeft.IsOpen": 1000,
    f"{_DOOR}.RearRight.IsOpen": 1000,
    "Vehicle.Body.Trunk.Rear.IsOpen": 1000,
    _DRIVER_LOCK: 1000,
    _OTHERS_LOCK: 1000,
}

_STANDS: Mapping[str, Stands] = {
    "Vehicle.TraveledDistance": Stands(300, 4000.0),
    "Vehicle.Carshare.TractionBattery.ChargeBars": Stands(1000),
    f"{_BATTERY}.StateOfCharge.Current": Stands(300, 5.0),
    f"{_BATTERY}.StateOfCharge.Displayed": Stands(900, 5.0),
}
_IS_DC: Rule = (
    (f"{_BATTERY}.CurrentVoltage", f"{_BATTERY}.CurrentCurrent", "Vehicle.Carshare.IsReadyToDrive"),
    lambda volts, amperes, is_ready: volts > 200 and amperes > 25 and not is_ready,
)
_GRID: Mapping[int, Shown] = {0: "NONE", 1: "100V", 2: "200V", 3: "ABNORMAL"}
_START_BUTTON: Mapping[int, Shown] = {0: "OFF", 1: "ACC", 2: "ON", 3: MEANINGLESS}
_LEVER: Mapping[int, Shown] = {0: 126, 1: 126, 2: -1, 3: 0, 4: 127}
_CHARGER: Mapping[int, Shown] = {0: MEANINGLESS, 1: False, 2: False, 4: True, 8: False, 9: False, 12: False}
_IDLE: Mapping[int, Shown] = dict.fromkeys((1, 8, 9), "NONE")
_CHARGING: Mapping[int, Shown] = {**_IDLE, 0: MEANINGLESS, 2: "FINISHED", 4: "CHARGING", 12: "WAITING_FOR_TIMER"}
_READY: Mapping[int, Shown] = {0: False, 2: True}
_GEARS: tuple[Shown, ...] = ("P", "P", "R", "N", "D", MEANINGLESS, MEANINGLESS, "B_OR_ECO")
_SUPPLIES: Mapping[int, str] = {4: "Quick", 8: "Fast", 12: "Medium", 16: "Slow"}
_TIMES = (4, 17, 8, 12, 16)
"""Selectors of times to full, in their turn; 17 is another."""
_NO_SPEED, _NO_ODOMETER, _NO_CHARGE_SHOWN = 0xFFFF, 0xFFFFFF, 0xFF


@dataclass(frozen=True, slots=True)
class _Car:
    """The car at one moment; enumerated states as the numbers on the bus, None where the unit does not know yet."""

    is_body_awake: bool = False
    is_drive_awake: bool = False
    doors: int = 0
    start_button: int = 0
    is_driver_locked: bool = True
    are_others_locked: bool = True
    low_v: float | None = None
    pack_a: float | None = None
    pack_v: float | None = None
    charge_raw: int = 1023
    shown_percent: float | None = None
    gids: int = 1023
    gids_max: int = 1023
    health_percent: int | None = None
    ready: int = 0
    lever: int = 0
    selector: int = 0
    minutes: tuple[int, ...] = (0x1FFF, 0x1FFF, 0x1FFF, 0x1FFF, 0x1FFF)
    is_meter_on_car: bool = False
    bars: int = 0
    speed_kmh: float | None = None
    is_brake_set: bool = True
    outside_celsius: float | None = None
    odometer: int | None = None
    units: str | None = None
    charger: int = 0
    grid_kw: float = 0.0
    grid: int = 0


_SCRIPT: tuple[tuple[int, Mapping[str, object]], ...] = (
    (300, {"is_body_awake": True}),
    (700, {"low_v": 12.4}),
    (800, {"is_driver_locked": False, "start_button": 3}),
    (900, {"are_others_locked": False, "start_button": 0}),
    (1500, {"doors": 0x08}),
    (2200, {"doors": 0}),
    (3000, {"is_drive_awake": True, "start_button": 1}),
    (3060, {"pack_v": 0.0, "pack_a": 0.0, "charge_raw": 0, "outside_celsius": -40.0}),
    (3100, {"pack_v": 386.5, "pack_a": -0.5, "start_button": 2}),
    (3200, {"charge_raw": 1020, "gids": 512, "gids_max": 750, "health_percent": 0}),
    (3300, {"charge_raw": 1015, "health_percent": 93, "outside_celsius": -1.5}),
    (3400, {"charge_raw": 684, "shown_percent": 71.5}),
    (3480, {"units": "mi"}),
    (3500, {"bars": 13}),
    (3600, {"odometer": 0}),
    (3700, {"odometer": 12_345}),
    (4000, {"bars": 31}),
    (4500, {"bars": 10}),
    (4500, {"ready": 2, "start_button": 3, "low_v": 14.1}),
    (4600, {"minutes": (0x0AAA, 0x1234, 0x1555, 0x1001, 0x0FFE)}),
    (5000, {"lever": 2, "selector": 2}),
    (5100, {"lever": 3, "selector": 3}),
    (5200, {"lever": 4, "selector": 4, "is_brake_set": False}),
    (5600, {"is_meter_on_car": True, "selector": 7}),
    (6000, {"bars": 5}),
    (6100, {"selector": 5}),
    (6600, {"selector": 6}),
    (6900, {"is_meter_on_car": False, "selector": 4, "minutes": (42, 7, 100, 148, 394)}),
    (
        7400,
        {
            "lever": 1,
            "selector": 1,
            "is_brake_set": True,
            "odometer": 12_346,
            "gids": 511,
            "charge_raw": 683,
            "pack_a": -1.0,
        },
    ),
    (7500, {"bars": 12}),
    (8000, {"ready": 0, "start_button": 0, "low_v": 12.6}),
    (9000, {"is_drive_awake": False}),
    (9200, {"doors": 0x90}),
    (9600, {"doors": 0x60}),
    (9900, {"doors": 0}),
    (10_400, {"is_driver_locked": True, "are_others_locked": True}),
    (11_000, {"is_drive_awake": True, "pack_a": 0.0, "charger": 8}),
    (11_000, {"units": "km", "odometer": 19_869}),
    (11_100, {"charger": 12}),
    (11_200, {"charger": 9}),
    (11_300, {"charger": 4}),
    (11_400, {"grid": 3}),
    (11_500, {"grid": 2, "grid_kw": 6.6, "pack_a": 16.5, "pack_v": 388.0}),
    (13_500, {"grid": 1}),
    (14_000, {"charger": 2, "grid": 0, "grid_kw": 0.0, "pack_a": -1.0}),
    (14_200, {"charger": 0, "pack_a": 80.0, "pack_v": 390.0}),
    (14_500, {"charger": 1, "pack_a": 0.0}),
    (12_500, {"is_body_awake": False}),
)
_END_MS = 15_000

_WAKE, _REQUEST = 0x68C, 0x56E
_SENT: Mapping[int, tuple[int, bytes]] = {
    0: (_WAKE, bytes(1)),
    50: (_REQUEST, bytes([0x46, 0x08, 0, 0])),
    200: (_WAKE, bytes(1)),
    250: (_REQUEST, bytes([0x46, 0x08, 0, 0])),
    600: (_REQUEST, bytes([0x11, 0, 0, 0])),
    700: (_REQUEST, bytes([0x11, 0, 0, 0])),
    10_100: (_REQUEST, bytes([0x60, 0x80, 0, 0])),
    10_200: (_REQUEST, bytes([0x60, 0x80, 0, 0])),
    10_300: (_REQUEST, bytes([0x60, 0x80, 0, 0])),
}


def write() -> GoldenLog:
    """The whole recording."""
    golden = GoldenLog(_FRESHNESS_MS, {"Vehicle.Carshare.Charging.IsDC": _IS_DC}, _STANDS)
    car = _Car()
    script = list(_SCRIPT)
    for now_ms in range(0, _END_MS, 10):
        while script and script[0][0] <= now_ms:
            car = replace(car, **script.pop(0)[1])  # type: ignore[arg-type]
        car = replace(car, speed_kmh=_speed_kmh(now_ms) if now_ms >= 3300 else None)
        if now_ms in _SENT:
            golden.frame(now_ms, "car", *_SENT[now_ms])
        if car.is_body_awake and now_ms % 100 == 0:
            golden.frame(now_ms + 1, "car", 0x60D, *_body_state(car))
            golden.frame(now_ms + 2, "car", 0x421, *_selector(car))
            if now_ms % 500 == 0:
                golden.frame(now_ms + 2, "car", 0x292, *_low_voltage_supply(car))
        if car.is_drive_awake:
            _send_drive(golden, car, now_ms)
    return golden


def _speed_kmh(now_ms: int) -> float:
    """Up to 28.8 km/h, a second of rolling, and down again; 0.01 km/h is the resolution of the bus."""
    if not 5400 <= now_ms <= 7200:
        return 0.0
    return min((now_ms - 5400) * 4, 2880, (7200 - now_ms) * 6) / 100


def _send_drive(golden: GoldenLog, car: _Car, now_ms: int) -> None:
    tick = now_ms // 10

    def send(offset_ms: int, arbitration_id: int, packed: tuple[bytes, Readings], bus: str = "ev") -> None:
        golden.frame(now_ms + offset_ms, bus, arbitration_id, *packed)

    meter_bus = "car" if car.is_meter_on_car else "ev"

    strange = _STRANGE.get(now_ms)
    if strange:
        strange(golden, car, now_ms)
    else:
        send(0, 0x1DB, _battery_power(car, tick % 4))
    send(1, 0x11A, (bytes([car.lever << 4, 0x40, 0, 0, 0, 0, tick % 4, 0]), _lever(car)))
    if tick % 2 == 0:
        send(2, 0x284, _wheel_speeds(car), meter_bus)
    if tick % 4 == 0 and car.units:
        send(3, 0x355, _meter_units(car), meter_bus)
    if tick % 10 == 0:
        send(4, 0x50A, (bytes([car.ready << 6 | 4, 0, 0, 0, 0, 0, 0, 0]), _ready(car)))
        send(5, 0x54C, _climate(car))
        send(6, 0x55B, _battery_charge(car, tick // 10 % 4))
        send(7, 0x5BC, _battery_capacity(car, tick // 10))
        send(8, 0x5C5, _meter(car), meter_bus)
        send(9, 0x390, _charger(car))
    if tick % 50 == 0:
        send(9, 0x59E, _battery_shown(car))
        send(9, 0x5B9, _battery_bars(car), meter_bus)


def _leaf_crc(covered: bytes) -> bytes:
    return bytes([crc8(covered, polynomial=0x85, start=0, final=0)])


def _battery_power(car: _Car, counter: int) -> tuple[bytes, Readings]:
    current = 0x3FF if car.pack_a is None else round(car.pack_a * 2) % 2048
    voltage = 0x3FF if car.pack_v is None else round(car.pack_v * 2)
    covered = (current << 5).to_bytes(2, "big") + (voltage << 6).to_bytes(2, "big") + bytes([0, 0, counter])
    return covered + _leaf_crc(covered), {
        f"{_BATTERY}.CurrentCurrent": MARKER if car.pack_a is None else car.pack_a,
        f"{_BATTERY}.CurrentVoltage": car.pack_v or MARKER,
    }


def _battery_charge(car: _Car, counter: int) -> tuple[bytes, Readings]:
    covered = (car.charge_raw << 6).to_bytes(2, "big") + bytes([0, 0, 0xFF, 0xC0, 0x10 | counter])
    shown: Shown = car.charge_raw / 10 if car.charge_raw <= 1000 else OUT_OF_RANGE
    if car.charge_raw in {0, 1020, 1023}:
        shown = MARKER
    return covered + _leaf_crc(covered), {f"{_BATTERY}.StateOfCharge.Current": shown}


def _battery_shown(car: _Car) -> tuple[bytes, Readings]:
    shown = _NO_CHARGE_SHOWN if car.shown_percent is None else round(car.shown_percent * 2)
    value: Shown = MARKER if car.shown_percent is None else car.shown_percent
    return bytes(7) + bytes([shown]), {f"{_BATTERY}.StateOfCharge.Displayed": value}


def _battery_bars(car: _Car) -> tuple[bytes, Readings]:
    shown: Shown = car.bars if 1 <= car.bars <= 12 else MARKER
    return bytes([car.bars << 3 | 5, 0x11, 0, 0, 0, 0, 0]), {"Vehicle.Carshare.TractionBattery.ChargeBars": shown}


def _battery_capacity(car: _Car, turn: int) -> tuple[bytes, Readings]:
    is_maximum, selector, minutes = turn % 2 == 1, _TIMES[turn % 5], car.minutes[turn % 5]
    gids = car.gids_max if is_maximum else car.gids
    health = 0x7F if car.health_percent is None else car.health_percent
    last = (is_maximum << 20 | selector << 13 | minutes).to_bytes(3, "big")
    path = f"Vehicle.Carshare.TractionBattery.Gids{'Max' if is_maximum else ''}"
    readings: dict[str, Shown] = {
        path: MARKER if gids == 1023 else gids,
        f"{_BATTERY}.StateOfHealth": float(car.health_percent) if car.health_percent else MARKER,
    }
    if selector in _SUPPLIES:
        path = f"Vehicle.Carshare.Charging.TimeToFull.{_SUPPLIES[selector]}"
        readings[path] = MARKER if minutes == 0x1FFF else minutes * 60
    return (gids << 6).to_bytes(2, "big") + bytes([0, 0, health << 1]) + last, readings


def _meter_units(car: _Car) -> tuple[bytes, Readings]:
    """The speed shown is a little above the true one, and comes when the meter knows its odometer."""
    is_known = car.speed_kmh is not None and car.odometer is not None
    shown = round((car.speed_kmh or 0.0) * 102.6) if is_known else _NO_SPEED
    value: Shown = shown / 100 if is_known else MARKER
    payload = shown.to_bytes(2, "big") + bytes([0, 0, 0, 0, 0x60 if car.units == "mi" else 0x40, 0])
    return payload, {"Vehicle.Carshare.SpeedShown": value}


def _wheel_speeds(car: _Car) -> tuple[bytes, Readings]:
    speed = _NO_SPEED if car.speed_kmh is None else round(car.speed_kmh * 100)
    value: Shown = MARKER if car.speed_kmh is None else car.speed_kmh
    return bytes(4) + speed.to_bytes(2, "big") + bytes(2), {"Vehicle.Speed": value}


def _selector(car: _Car) -> tuple[bytes, Readings]:
    return bytes([car.selector << 3, 0, 0]), {"Vehicle.Carshare.GearShown": _GEARS[car.selector]}


def _lever(car: _Car) -> Readings:
    return {"Vehicle.Powertrain.Transmission.SelectedGear": _LEVER[car.lever]}


def _ready(car: _Car) -> Readings:
    return {"Vehicle.Carshare.IsReadyToDrive": _READY[car.ready]}


def _climate(car: _Car) -> tuple[bytes, Readings]:
    outside = 0xFF if car.outside_celsius is None else round((car.outside_celsius + 40) * 2)
    shown: Shown = MARKER if outside in (0, 0xFF) or car.outside_celsius is None else car.outside_celsius
    return bytes([0x59, 0xFF, 0, 0, 0, 0xF8, outside, 0]), {"Vehicle.Exterior.AirTemperature": shown}


def _meter(car: _Car) -> tuple[bytes, Readings]:
    if car.units is None:
        distance: Shown = UNIT_UNKNOWN
    else:
        distance = MARKER if not car.odometer else round(car.odometer * _METRES[car.units])
    counted = _NO_ODOMETER if car.odometer is None else car.odometer
    return bytes([0x40 | car.is_brake_set << 2]) + counted.to_bytes(3, "big") + bytes(4), {
        "Vehicle.TraveledDistance": distance,
        "Vehicle.Chassis.ParkingBrake.IsEngaged": car.is_brake_set,
    }


def _charger(car: _Car) -> tuple[bytes, Readings]:
    power = round(car.grid_kw * 10)
    payload = bytes([power >> 8, power & 0xFF, 1, car.grid << 3, 0, car.charger << 1, 0x3C, 0])
    return payload, {
        f"{_BATTERY}.Charging.IsCharging": _CHARGER[car.charger],
        "Vehicle.Carshare.Charging.State": _CHARGING[car.charger],
        "Vehicle.Carshare.TractionBattery.GridVoltageClass": _GRID[car.grid],
        "Vehicle.Carshare.TractionBattery.GridPower": car.grid_kw * 1000,
    }


def _body_state(car: _Car) -> tuple[bytes, Readings]:
    locks = car.are_others_locked << 3 | car.is_driver_locked << 4
    return bytes([car.doors, car.start_button << 1, locks, 0, 0, 0, 0, 0]), {
        f"{_DOOR}.FrontA.IsOpen": bool(car.doors & 0x08),
        f"{_DOOR}.FrontB.IsOpen": bool(car.doors & 0x10),
        f"{_DOOR}.RearLeft.IsOpen": bool(car.doors & 0x20),
        f"{_DOOR}.RearRight.IsOpen": bool(car.doors & 0x40),
        "Vehicle.Body.Trunk.Rear.IsOpen": bool(car.doors & 0x80),
        "Vehicle.LowVoltageSystemState": _START_BUTTON[car.start_button],
        _DRIVER_LOCK: car.is_driver_locked,
        _OTHERS_LOCK: car.are_others_locked,
    }


def _low_voltage_supply(car: _Car) -> tuple[bytes, Readings]:
    low_v = 0xFF if car.low_v is None else round(car.low_v * 10)
    shown: Shown = MARKER if car.low_v is None else car.low_v
    return bytes([0, 0, 0, low_v, 0, 0, 0, 0]), {"Vehicle.LowVoltageBattery.CurrentVoltage": shown}


def _wrong_checksum(golden: GoldenLog, car: _Car, now_ms: int) -> None:
    payload, _ = _battery_power(replace(car, pack_a=-400.0), now_ms // 10 % 4)
    golden.frame(now_ms, "ev", 0x1DB, payload[:7] + bytes([payload[7] ^ 1]))


def _sent_twice(golden: GoldenLog, car: _Car, now_ms: int) -> None:
    payload, readings = _battery_power(car, now_ms // 10 % 4)
    golden.frame(now_ms, "ev", 0x1DB, payload, readings)
    again, _ = _battery_power(replace(car, pack_a=-400.0), now_ms // 10 % 4)
    golden.frame(now_ms, "ev", 0x1DB, again)


def _cut_short(golden: GoldenLog, car: _Car, now_ms: int) -> None:
    golden.frame(now_ms, "ev", 0x1DB, _battery_power(car, now_ms // 10 % 4)[0][:7])


def _on_the_wrong_bus(golden: GoldenLog, car: _Car, now_ms: int) -> None:
    golden.frame(now_ms, "ev", 0x1DB, *_battery_power(car, now_ms // 10 % 4))
    golden.frame(now_ms, "ev", 0x60D, _body_state(replace(car, is_driver_locked=True, doors=0xF8))[0])
    golden.frame(now_ms, "car", 0x1DB, _battery_power(replace(car, pack_a=-400.0), (now_ms // 10 + 1) % 4)[0])


_STRANGE: Mapping[int, Callable[[GoldenLog, _Car, int], None]] = {
    4000: _wrong_checksum,
    4100: _sent_twice,
    4200: _cut_short,
    4300: _on_the_wrong_bus,
}
