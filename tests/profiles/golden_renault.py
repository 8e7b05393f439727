"""What the Zoe of 2012 to 2019 and the smart EQ send alike, message by message, for their recordings.

Only the layout of the frames is that of the cars; all else is made up.
"""

from __future__ import annotations

from tests.profiles.golden_log import MARKER, OUT_OF_RANGE, No, Shown, Stands
from tests.profiles.golden_series import Notes, Place, Sent, Signal
from tests.profiles.golden_signals import BATTERY, CABLE, IS_CHARGING, OURS, flag, number

DOORS = tuple(f"{OURS}.Door.{door}.IsOpen" for door in ("FrontLeft", "FrontRight", "RearLeft", "RearRight"))
BOOT = "Vehicle.Body.Trunk.Rear.IsOpen"
OPENINGS = (*DOORS, BOOT)

_CONDITION_UNMET = No("invalid", "condition_unmet")
_SPEED_RAW_MAX = 15_300
_SPEEDS = (0, 1, 0x1234, 0x2AAA, 15_300, 15_301, 0x6E36, 0xFFFF, 0, 0x1555, 0x0AAA, 0, 50)
_WAYS = (1_234_567, 1_234_568, 1_235_000, 0x2AAAAAA, 0x1555555, 0x1555556, 0x36E36E3, 7, 0xFFFFFFF, 99_999_999)
_MORE_WAYS = (100_000_000, 100_000_001, 0, 42)


def _speed(raw: int, _: Notes) -> Shown:
    if raw == 0xFFFF:
        return MARKER
    return raw / 100 if raw <= _SPEED_RAW_MAX else OUT_OF_RANGE


def _way(raw: int, notes: Notes) -> Shown:
    if notes["speed"] > _SPEED_RAW_MAX:
        return _CONDITION_UNMET
    if raw in (0, 0xFFFFFFF):
        return MARKER
    return raw * 10 if raw <= 100_000_000 else OUT_OF_RANGE


def motion() -> Sent:
    """0x5D7; where it holds cell voltages the speed is beyond every limit, and the odometer counts no more."""
    place = Place(1, 0, 16)
    signals = [
        Signal("speed", place, _SPEEDS, lambda raw, _: raw, note="speed"),
        Signal("Vehicle.Speed", place, _SPEEDS, _speed),
        Signal("Vehicle.TraveledDistance", Place(5, 4, 28), _WAYS + _MORE_WAYS, _way, Stands(300, 4000.0)),
    ]
    return Sent("v", 0x5D7, 6, 100, 1000, {0: signals}, hold=6)


def openings() -> Sent:
    """0x5DE."""
    signals = [
        flag(DOORS[0], 1, 3, (0, 1, 0, 0, 1, 1, 0)),
        flag(DOORS[1], 1, 1, (0, 0, 1, 0, 1, 0, 1)),
        flag(DOORS[2], 2, 6, (0, 0, 0, 1, 0, 1, 1)),
        flag(DOORS[3], 2, 4, (0, 1, 0, 0, 1, 1, 0)),
        flag(BOOT, 7, 4, (0, 1, 1, 0, 0, 1, 0)),
    ]
    return Sent("v", 0x5DE, 8, 100, 1000, {0: signals}, hold=3)


def pack_voltage() -> Signal:
    """In 0x42E."""
    raws = (0, 0x3FF, 399, 400, 722, 853, 682, 899, 900, 512)
    place = Place(4, 5, 10)
    path = f"{BATTERY}.CurrentVoltage"
    return number(path, place, raws, lambda raw: raw / 2, markers=(0, 0x3FF), limits=(200.0, 449.5))


def charge(*, charge_bits: int) -> Sent:
    """0x654; the one car's charge has a bit more."""
    signals = [
        number(
            f"{BATTERY}.StateOfCharge.Displayed",
            Place(3, 0, charge_bits),
            (0, 101, (1 << charge_bits) - 1, 85, 42, 41, 100, 64, 1, 70),
            float,
            markers=(0, *range(101, 1 << charge_bits)),
            stands=Stands(1000, 5.0),
        ),
        flag(CABLE, 0, 5, (0, 1, 1, 0, 1)),
        number(
            f"{BATTERY}.Charging.TimeToComplete",
            Place(5, 6, 10),
            (0x3FF, 0, 1, 0x155, 0x2AA, 0x3FE),
            lambda raw: raw * 60,
            markers=(0x3FF,),
        ),
        number(
            f"{BATTERY}.Range", Place(6, 4, 10), (0x3FF, 1, 0x2AA, 0x155, 0), lambda raw: raw * 1000, markers=(0x3FF,)
        ),
    ]
    return Sent("v", 0x654, 7, 500, 5000, {0: signals}, hold=4)


def battery_health() -> Sent:
    """0x658."""
    raws = (0, 101, 127, 100, 85, 42, 1, 64)
    health = number(f"{BATTERY}.StateOfHealth", Place(4, 0, 7), raws, float, markers=(0, *range(101, 128)))
    return Sent("v", 0x658, 6, 3000, 30_000, {0: [health, flag(IS_CHARGING, 5, 5, (0, 1, 1, 0, 1))]})
