"""The recording of `dbc/renault_zoe_ph2`. Only the layout of the frames is that of the car; all else is made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.profiles import golden_series
from tests.profiles.golden_log import MEANINGLESS, GoldenLog, Shown, Stands
from tests.profiles.golden_series import Place, Sent, Signal
from tests.profiles.golden_signals import BATTERY, CABLE, IS_CHARGING, OURS, SYSTEM, derived, flag, number, word

_DOORS = tuple(f"{OURS}.Door.{door}.IsOpen" for door in ("FrontLeft", "FrontRight", "RearLeft", "RearRight"))
_BOOT = "Vehicle.Body.Trunk.Rear.IsOpen"
_WAKE = bytes.fromhex("83C0")
_REQUESTS: Sequence[tuple[int, str, int, bytes]] = (
    # Woken, twice; unlocked; locked; the lamps.
    (3, "v", 0x682, _WAKE),
    (103, "v", 0x682, _WAKE),
    (803, "v", 0x46F, bytes.fromhex("44E34F1804840710")),
    (4103, "v", 0x46F, bytes.fromhex("44E34F1004840710")),
    (6103, "v", 0x46F, bytes.fromhex("F4B7A84024840710")),
)


def write() -> GoldenLog:
    """The whole recording."""
    messages = (
        _direction(),
        _charge(),
        Sent("v", 0x418, 3, 500, 2000, {0: [flag(f"{OURS}.CentralLock.IsLocked", 2, 3, (1, 0, 0, 1, 1, 0))]}),
        _charging(),
        _supply(),
        _openings(),
        _motion(),
        _energy(),
        _seen_by_car(),
        _range(),
        _pack_voltage(),
        _pack_odometer(),
        _pack_state(),
        _cell_extremes(),
        _cell(),
        _pack_charge(),
    )
    return golden_series.write(messages, _REQUESTS, derived((*_DOORS, _BOOT)))


def _direction() -> Sent:
    meanings: Mapping[int, Shown] = {9: -1, 10: 0, 11: 1}
    gear = word("Vehicle.Powertrain.Transmission.CurrentGear", Place(2, 4, 4), meanings, (10, 9, 11, 0, 15, 10, 5))
    return Sent("v", 0x0A4, 3, 500, 2000, {0: [gear]})


def _charge() -> Sent:
    signals = [
        number(
            f"{BATTERY}.StateOfCharge.Displayed",
            Place(3, 0, 7),
            (0, 101, 127, 85, 42, 41, 100, 64, 1),
            float,
            markers=(0, *range(101, 128)),
            stands=Stands(2000, 5.0),
        ),
        number(
            f"{BATTERY}.Charging.TimeToComplete",
            Place(3, 7, 9),
            (0x1FF, 0, 1, 0x155, 0xAA, 0x1FE),
            lambda raw: raw * 300,
            markers=(0x1FF,),
        ),
    ]
    return Sent("v", 0x3C3, 4, 500, 10_000, {0: signals}, hold=6)


def _charging() -> Sent:
    states = {raw: raw == 3 for raw in range(7)}
    words = ("NONE", "WAITING_FOR_TIMER", "FINISHED", "CHARGING", "FAILED", "WAITING_FOR_CURRENT", "FLAP_OPEN")
    raws = (0, 1, 2, 3, 4, 5, 6, 7, 3, 0)
    signals = [
        word(CABLE, Place(0, 6, 2), {0: False, 1: True, 2: True}, (0, 1, 2, 3, 0)),
        word(IS_CHARGING, Place(2, 4, 3), states, raws),
        word(f"{OURS}.Charging.State", Place(2, 4, 3), dict(enumerate(words)), raws),
    ]
    return Sent("v", 0x437, 3, 500, 5000, {0: signals})


def _supply() -> Sent:
    bonnet: Mapping[int, Shown] = {0: False, 1: True, 2: False, 3: MEANINGLESS}
    signals = [
        word(SYSTEM, Place(0, 5, 1), {0: "OFF", 1: "ON"}, (0, 1, 0, 0, 1, 1, 0, 1)),
        number(
            "Vehicle.LowVoltageBattery.CurrentVoltage",
            Place(1, 0, 8),
            (0, 0xFF, 1, 85, 140, 170, 200, 201),
            lambda raw: round(raw * 0.06 + 6, 2),
            markers=(0, 0xFF),
            limits=(6.0, 18.0),
        ),
        word("Vehicle.Body.Hood.IsOpen", Place(4, 6, 2), bonnet),
    ]
    return Sent("v", 0x47C, 5, 500, 2000, {0: signals})


def _contact(path: str, low: int, raws: Sequence[int], byte: int = 3) -> Signal:
    return word(path, Place(byte, low, 2), {0: False, 1: False, 2: True}, raws)


def _openings() -> Sent:
    signals = [
        _contact(_DOORS[0], 6, (1, 2, 1, 1, 1, 0, 3, 1)),
        _contact(_DOORS[1], 2, (1, 1, 2, 1, 1, 0, 1, 3)),
        _contact(_DOORS[2], 0, (1, 1, 1, 2, 1, 0, 3, 1)),
        _contact(_DOORS[3], 4, (1, 1, 1, 1, 2, 0, 1, 3)),
        _contact(_BOOT, 2, (1, 2, 1, 2, 1, 0, 3, 1), byte=2),
    ]
    return Sent("v", 0x47D, 4, 500, 2000, {0: signals})


def _motion() -> Sent:
    raws = (255, 250, 249, 200, 201, 0, 1, 85, 170)
    speed = number("Vehicle.Speed", Place(7, 0, 8), raws, float, markers=range(250, 256), limits=(0.0, 200.0))
    return Sent("v", 0x47F, 8, 500, 2000, {0: [speed]})


def _energy() -> Sent:
    raws = (0x7FF, 0, 1, 0x2AA, 0x455, 1200, 1201)
    path = f"{BATTERY}.StateOfCharge.CurrentEnergy"
    left = number(path, Place(4, 2, 11), raws, lambda raw: round(raw * 0.05, 2), markers=(0x7FF,), limits=(0.0, 60.0))
    return Sent("v", 0x480, 5, 500, 10_000, {0: [left]})


def _volts(path: str, place: Place, raws: Sequence[int], scale: float, digits: int) -> Signal:
    markers = (0, (1 << place.bits) - 1)
    return number(path, place, raws, lambda raw: round(raw * scale, digits), markers=markers, limits=(200.0, 450.0))


def _seen_by_car() -> Sent:
    path, raws = f"{OURS}.TractionBattery.VoltageSeenByCar", (0, 0x1FFF, 1999, 2000, 0x0AAA, 4200, 4500, 4501)
    return Sent("v", 0x6C9, 6, 500, 5000, {0: [_volts(path, Place(5, 0, 13), raws, 0.1, 1)]})


def _range() -> Sent:
    raws = (0, 500, 1023, 499, 1, 0x155, 0xAA)
    markers = (0, *range(500, 1024))
    left = number(f"{BATTERY}.Range", Place(5, 4, 10), raws, lambda raw: raw * 1000, markers=markers)
    return Sent("v", 0x6E9, 6, 500, 10_000, {0: [left]})


def _pack_voltage() -> Sent:
    raws = (0, 0xFFFF, 15_999, 16_000, 28_896, 0x5555, 36_000, 36_001, 33_000)
    return Sent(
        "hev", 0x0F8, 4, 250, 2000, {0: [_volts(f"{BATTERY}.CurrentVoltage", Place(3, 0, 16), raws, 0.0125, 4)]}
    )


def _pack_odometer() -> Sent:
    odometer = number(
        "Vehicle.TraveledDistance",
        Place(6, 4, 28),
        (0, 0xFFFFFFF, 4_166_644, 4_166_645, 0x2AAAAAA, 0x1555555, 100_000_000, 100_000_001, 4_166_644),
        lambda raw: raw * 10,
        markers=(0, 0xFFFFFFF),
        limits=(0, 1_000_000_000),
        stands=Stands(1000, 4000.0),
    )
    return Sent("hev", 0x376, 7, 250, 10_000, {0: [odometer]}, hold=6)


def _pack_state() -> Sent:
    path, meanings = f"{OURS}.TractionBattery.IsBeingCharged", {0x1F: False, 0x5F: True}
    return Sent("hev", 0x4CE, 1, 500, 5000, {0: [word(path, Place(0, 0, 8), meanings, (0x1F, 0x5F, 0, 0xFF, 0x1F))]})


def _cell_volts(path: str, place: Place, raws: Sequence[int], offset: float, low: float) -> Signal:
    return number(path, place, raws, lambda raw: round(raw / 1000 + offset, 3), markers=(0, 0xFFF), limits=(low, 4.5))


def _cell_extremes() -> Sent:
    raws = (0, 0xFFF, 499, 500, 2763, 0x555, 0xAAA, 3500, 3501)
    signals = [
        _cell_volts(f"{BATTERY}.CellVoltage.Max", Place(1, 4, 12), raws, 1.0, 1.5),
        _cell_volts(f"{BATTERY}.CellVoltage.Min", Place(2, 0, 12), raws[::-1], 1.0, 1.5),
    ]
    return Sent("hev", 0x4DB, 3, 500, 10_000, {0: signals})


def _cell() -> Sent:
    raws = (0, 0xFFF, 99, 100, 1763, 0x555, 0x8AA, 2500, 2501)
    path = f"{OURS}.TractionBattery.CellVoltage"
    return Sent("hev", 0x5D7, 2, 500, 10_000, {0: [_cell_volts(path, Place(1, 4, 12), raws, 2.0, 2.1)]})


def _pack_charge() -> Sent:
    charge = number(
        f"{BATTERY}.StateOfCharge.Current",
        Place(0, 0, 8),
        (0, 101, 255, 100, 85, 59, 42, 1, 64),
        float,
        markers=(0, *range(101, 256)),
        stands=Stands(1000, 5.0),
    )
    return Sent("hev", 0x612, 1, 250, 10_000, {0: [charge]}, hold=6)
