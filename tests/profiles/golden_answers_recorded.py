"""What control units of which answers were recorded are made to answer: first values, then what stands for none.

All invented, and each value written twice: as bytes, and as a person says it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.profiles.golden_answers import Asked
from tests.profiles.golden_log import MARKER, MEANINGLESS, OUT_OF_RANGE, Readings, Shown
from tests.profiles.golden_signals import BATTERY, CABLE, IS_CHARGING, OURS

_SOC, _SHOWN = f"{BATTERY}.StateOfCharge.Current", f"{BATTERY}.StateOfCharge.Displayed"
_HEALTH, _VOLTS, _AMPERES = f"{BATTERY}.StateOfHealth", f"{BATTERY}.CurrentVoltage", f"{BATTERY}.CurrentCurrent"
_AH, _HX = f"{OURS}.TractionBattery.Capacity", f"{OURS}.TractionBattery.Hx"
_SPEED, _ODOMETER, _RANGE = "Vehicle.Speed", "Vehicle.TraveledDistance", f"{BATTERY}.Range"
_SUPPLY, _OUTSIDE = "Vehicle.LowVoltageBattery.CurrentVoltage", "Vehicle.Exterior.AirTemperature"
_LEVER, _GEAR = "Vehicle.Powertrain.Transmission.SelectedGear", "Vehicle.Powertrain.Transmission.CurrentGear"
_DOOR, _LOCKED = "Vehicle.Cabin.Door", f"{OURS}.CentralLock.IsLocked"
_DRIVER_LOCKED = f"{_DOOR}.Row1.DriverSide.IsLocked"
_BOOT, _BONNET = "Vehicle.Body.Trunk.Rear.IsOpen", "Vehicle.Body.Hood.IsOpen"
_FAST_MS = 8000


def _block(length: int, places: Mapping[int, str]) -> str:
    """A Leaf's battery block: noise, and at these bytes after service and identifier what is written."""
    data = bytearray((index * 37 + 11) & 0xFF for index in range(length))
    for first, text in places.items():
        data[first : first + len(text) // 2] = bytes.fromhex(text)
    return "6101" + data.hex()


def _blocks(
    length: int, *, hx: int, soc: int, capacity: int, percents: tuple[str, float]
) -> list[tuple[str, Readings]]:
    """Values; the same with their topmost bits set, which cannot be; and the least, of which some cannot be."""
    return [
        (
            _block(length, {18: "8CA0", hx: percents[0], soc: "09FBF1", capacity: "08E2C9"}),
            {_VOLTS: 360.0, _HX: percents[1], _SOC: 65.4321, _AH: 58.2345},
        ),
        (
            _block(length, {18: "AFC9", hx: "9DE6", soc: "89FBF1", capacity: "88E2C9"}),
            {_VOLTS: OUT_OF_RANGE, _HX: OUT_OF_RANGE, _SOC: OUT_OF_RANGE, _AH: OUT_OF_RANGE},
        ),
        (
            _block(length, {18: "4E1F", hx: "0000", soc: "0F4240", capacity: "01869F"}),
            {_VOLTS: OUT_OF_RANGE, _HX: 0.0, _SOC: 100.0, _AH: OUT_OF_RANGE},
        ),
    ]


def _nissan(*, is_newest: bool = False) -> list[Asked]:
    """The newest reckons the charge it shows, and tells a quick charge by volts and amperes instead."""
    kinds = {f"{OURS}.Charging.IsAC": (1, 2)} | ({} if is_newest else {f"{OURS}.Charging.IsDC": (3,)})
    newest = _blocks(51, hx=28, soc=31, capacity=35, percents=("22CD", 87.001953125))
    if is_newest:
        reckoned: tuple[Shown, ...] = (62.8925941, OUT_OF_RANGE, OUT_OF_RANGE, OUT_OF_RANGE)
        empty = _block(51, {18: "8CA0", 28: "22CD", 31: "021F37", 35: "08E2C9"})
        newest.append((empty, {_VOLTS: 360.0, _HX: 87.001953125, _SOC: 13.9063, _AH: 58.2345}))
        newest = [
            (payload, {**readings, _SHOWN: shown}) for (payload, readings), shown in zip(newest, reckoned, strict=True)
        ]
    blocks = [
        *_blocks(39, hx=26, soc=29, capacity=33, percents=("1DE6", 76.54)),
        *_blocks(41, hx=26, soc=29, capacity=33, percents=("22CC", 89.08)),
        *newest,
    ]

    charge_modes: list[tuple[str, Readings]] = [
        (f"62114E {raw:02X}", {path: MEANINGLESS if raw > 3 else raw in raws for path, raws in kinds.items()})
        for raw in (2, 0, 1, 3, 0x82)
    ]

    def control(period_s: int, *answers: tuple[str, Readings], freshness_ms: int = 0) -> Asked:
        return Asked("ev", 0x797, 0x79A, period_s, answers, freshness_ms)

    return [
        Asked("ev", 0x79B, 0x7BB, 60, blocks),
        Asked(
            *("ev", 0x79B, 0x7BB, 600),
            (
                ("6161 0AD3 2329 1306 0513 0C03", {_HEALTH: 90.01}),
                ("6161 0AD3 2711", {_HEALTH: OUT_OF_RANGE}),
                ("6161 1D4C A079 E000 7532", {_HEALTH: OUT_OF_RANGE}),
                ("6161 1D4C 2079 E000 7532", {_HEALTH: 83.13}),
                ("6161 0AD3 0000", {_HEALTH: MARKER}),
            ),
        ),
        control(60, ("621234 02", {CABLE: True}), ("621234 00", {CABLE: False}), ("621234 82", {CABLE: MEANINGLESS})),
        control(60, *charge_modes),
        control(
            60,
            ("621103 9B", {_SUPPLY: 12.4}),
            ("621103 E2", {_SUPPLY: OUT_OF_RANGE}),
            ("621103 4A", {_SUPPLY: OUT_OF_RANGE}),
            ("621103 4B", {_SUPPLY: 6.0}),
            ("621103 FF", {_SUPPLY: MARKER}),
        ),
        control(
            5,
            *(
                (f"621156 {raw:02X}", {_LEVER: gear})
                for raw, gear in ((4, 127), (1, 126), (2, -1), (3, 0), (7, 127), (0x84, MEANINGLESS))
            ),
            freshness_ms=_FAST_MS,
        ),
        control(
            5,
            ("62121A 0141", {_SPEED: 32.1}),
            ("62121A 07D1", {_SPEED: OUT_OF_RANGE}),
            ("62121A 0000", {_SPEED: 0.0}),
            ("62121A FFFF", {_SPEED: MARKER}),
            freshness_ms=_FAST_MS,
        ),
        control(
            10,
            ("621304 80FE", {f"{OURS}.IsIgnitionOn": True}),
            ("621304 7FFE", {f"{OURS}.IsIgnitionOn": False}),
            freshness_ms=15_000,
        ),
        control(
            60,
            ("62115D 7E", {_OUTSIDE: 22.5}),
            ("62115D 00", {_OUTSIDE: OUT_OF_RANGE}),
            ("62115D FE", {_OUTSIDE: OUT_OF_RANGE}),
            ("62115D 51", {_OUTSIDE: 0.0}),
            ("62115D FF", {_OUTSIDE: MARKER}),
        ),
        control(
            600,
            ("621203 015C", {f"{OURS}.Charging.QuickCharges": 348}),
            ("621203 FFFF", {f"{OURS}.Charging.QuickCharges": MARKER}),
        ),
        control(
            600,
            ("621205 066C", {f"{OURS}.Charging.NormalCharges": 1644}),
            ("621205 FFFF", {f"{OURS}.Charging.NormalCharges": MARKER}),
        ),
        Asked(
            *("car", 0x743, 0x763, 60),
            (
                ("620E01 0210CE", {_ODOMETER: 135_374_000}),
                ("620E01 800001", {_ODOMETER: OUT_OF_RANGE}),
                ("620E01 FFFFFF", {_ODOMETER: MARKER}),
            ),
        ),
        Asked(
            *("car", 0x743, 0x763, 60),
            (
                ("620E2E 007B", {_RANGE: 123_000}),
                ("620E2E 03E9", {_RANGE: OUT_OF_RANGE}),
                ("620E2E 0104", {_RANGE: 260_000}),
                ("620E2E 07FF", {_RANGE: MARKER}),
                ("620E2E FFFF", {_RANGE: MARKER}),
            ),
        ),
    ]


def _bmw_i3() -> list[Asked]:
    def unit(address: int, period_s: int, *answers: tuple[str, Readings], freshness_ms: int = 0) -> Asked:
        return Asked("obd", 0x6F1, 0x600 + address, period_s, answers, freshness_ms, address)

    usable_from, usable_to = f"{OURS}.TractionBattery.UsableFrom", f"{OURS}.TractionBattery.UsableTo"
    row1, row2, is_ready = f"{_DOOR}.Row1", f"{_DOOR}.Row2", f"{OURS}.IsReadyToDrive"
    doors = (f"{row1}.DriverSide", f"{row1}.PassengerSide", f"{row2}.DriverSide", f"{row2}.PassengerSide")
    openings = (*(f"{door}.IsOpen" for door in doors), _BONNET, _BOOT)

    def opened(*are_open: bool, lock: bool | None) -> Readings:
        return {**dict(zip(openings, are_open, strict=True)), _LOCKED: MEANINGLESS if lock is None else lock}

    return [
        unit(
            *(0x07, 600),
            ("626335 0000004A", {_HEALTH: 74.0}),
            ("626335 00000065", {_HEALTH: OUT_OF_RANGE}),
            ("626335 FFFFFFFF", {_HEALTH: MARKER}),
            ("626335 00000000", {_HEALTH: MARKER}),
        ),
        unit(
            *(0x07, 60),
            ("62DD68 91CA", {_VOLTS: 373.22}),
            ("62DD68 AFC9", {_VOLTS: OUT_OF_RANGE}),
            ("62DD68 4E1F", {_VOLTS: OUT_OF_RANGE}),
            ("62DD68 FFFF", {_VOLTS: MARKER}),
            ("62DD68 0000", {_VOLTS: MARKER}),
        ),
        unit(
            *(0x07, 60),
            ("62DD69 FFFFFD07", {_AMPERES: -7.61}),
            ("62DD69 0000EA61", {_AMPERES: OUT_OF_RANGE}),
            ("62DD69 00000C8A", {_AMPERES: 32.1}),
            ("62DD69 80000C8A", {_AMPERES: OUT_OF_RANGE}),
        ),
        unit(
            *(0x07, 60),
            ("62DDBC 02CF 02D5 0050", {_SOC: 71.9, usable_to: 72.5, usable_from: 8.0}),
            ("62DDBC 06A3 03E9 03E9", {_SOC: OUT_OF_RANGE, usable_to: OUT_OF_RANGE, usable_from: OUT_OF_RANGE}),
            ("62DDBC FFFF FFFF FFFF", {_SOC: MARKER, usable_to: MARKER, usable_from: MARKER}),
        ),
        unit(
            *(0x60, 5),
            ("62D107 0145", {_SPEED: 32.5}),
            ("62D107 07D1", {_SPEED: OUT_OF_RANGE}),
            ("62D107 FFFF", {_SPEED: MARKER}),
            freshness_ms=_FAST_MS,
        ),
        unit(
            *(0x60, 60),
            ("62D10D 0001E814 0001E815", {_ODOMETER: 124_948_000}),
            ("62D10D 001E8481 0001E814", {_ODOMETER: OUT_OF_RANGE}),
            ("62D10D FFFFFFFF 0001E814", {_ODOMETER: MARKER}),
        ),
        unit(
            *(0x60, 60),
            ("62D111 01AE 038E 03FC FFFF 6523 0052", {_RANGE: 43_000}),
            ("62D111 2711 038E 03FC FFFF 6523 0052", {_RANGE: OUT_OF_RANGE}),
            ("62D111 FFFF 038E 03FC FFFF 6523 0052", {_RANGE: MARKER}),
        ),
        unit(
            *(0x60, 60),
            ("62420C 003F 003A 003E 0047", {"Vehicle.Powertrain.Range": 62_000}),
            ("62420C 003F 003A 07D1 0047", {"Vehicle.Powertrain.Range": OUT_OF_RANGE}),
            ("62420C 003F 003A FFFF 0047", {"Vehicle.Powertrain.Range": MARKER}),
        ),
        unit(
            *(0x60, 60),
            ("62D112 696A", {_OUTSIDE: 12.5}),
            ("62D112 C96A", {_OUTSIDE: OUT_OF_RANGE}),
            ("62D112 FF6A", {_OUTSIDE: MARKER}),
        ),
        unit(
            *(0x56, 10),
            ("62DCDD 00 01 00 00 00 01 02 02 00000000", opened(False, True, False, False, False, True, lock=True)),
            ("62DCDD 01 00 01 00 01 00 02 01 00000000", opened(True, False, True, False, True, False, lock=False)),
            ("62DCDD 00 00 00 01 00 00 02 02 00000000", opened(False, False, False, True, False, False, lock=True)),
            ("62DCDD 00 00 00 00 00 00 02 03 00000000", opened(False, False, False, False, False, False, lock=None)),
            ("62DCDD 80 80 80 80 80 80 01 82 00000000", {**dict.fromkeys(openings, MEANINGLESS), _LOCKED: MEANINGLESS}),
            freshness_ms=15_000,
        ),
        unit(
            *(0x63, 5),
            ("62D031 0100", {_GEAR: 1}),
            ("62D031 0200", {_GEAR: 0}),
            ("62D031 0000", {_GEAR: -1}),
            ("62D031 8101", {_GEAR: MEANINGLESS}),
            freshness_ms=_FAST_MS,
        ),
        unit(
            *(0x1A, 60),
            ("62DE00 000187 01 00 01 00 00", {CABLE: True, IS_CHARGING: False, is_ready: True}),
            ("62DE00 000187 00 01 00 01 01", {CABLE: False, IS_CHARGING: True, is_ready: False}),
            ("62DE00 000187 80 80 80 00 00", {CABLE: MEANINGLESS, IS_CHARGING: MEANINGLESS, is_ready: MEANINGLESS}),
            freshness_ms=70_000,
        ),
    ]


ANSWERS: Mapping[str, Sequence[Asked]] = {
    "bmw_i3": _bmw_i3(),
    **dict.fromkeys(("nissan_env200", "nissan_leaf_aze0", "nissan_leaf_ze0"), _nissan()),
    "nissan_leaf_ze1": _nissan(is_newest=True),
}
