"""What control units are made to answer of which only descriptions are known: first values, then what stands for none.

All invented, and each value written twice: as bytes, and as a person says it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.profiles.golden_answers import Asked
from tests.profiles.golden_log import MARKER, MEANINGLESS, OUT_OF_RANGE, Readings, Shown
from tests.profiles.golden_signals import BATTERY, CABLE, OURS, SYSTEM

_SOC, _SHOWN = f"{BATTERY}.StateOfCharge.Current", f"{BATTERY}.StateOfCharge.Displayed"
_HEALTH, _VOLTS, _AMPERES = f"{BATTERY}.StateOfHealth", f"{BATTERY}.CurrentVoltage", f"{BATTERY}.CurrentCurrent"
_CELSIUS, _CABLE_LOCKED = f"{BATTERY}.Temperature.Average", CABLE.replace("Connected", "Locked")
_SPEED, _ODOMETER = "Vehicle.Speed", "Vehicle.TraveledDistance"
_SUPPLY, _OUTSIDE = "Vehicle.LowVoltageBattery.CurrentVoltage", "Vehicle.Exterior.AirTemperature"
_DRIVER_LOCKED = "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
_FAST_MS = 8000


def _asked(
    ids: tuple[str, int, int],
    path: str,
    *answers: tuple[str, Shown],
    period_s: int = 60,
    freshness_ms: int = 0,
    is_extended_id: bool = False,
) -> Asked:
    told: list[tuple[str, Readings]] = [(payload, {path: shown}) for payload, shown in answers]
    return Asked(*ids, period_s, told, freshness_ms, is_extended_id=is_extended_id)


def _renault_zoe_ph1() -> list[Asked]:
    evc = ("v", 0x7E4, 0x7EC)
    return [
        _asked(evc, _SOC, ("622002 0FA0", 80.0), ("622002 1389", OUT_OF_RANGE), ("622002 FFFF", MARKER)),
        _asked(
            *(evc, _ODOMETER),
            ("622006 01E240", 123_456_000),
            ("622006 0F4241", OUT_OF_RANGE),
            ("622006 000000", MARKER),
            ("622006 FFFFFF", MARKER),
        ),
        _asked(
            *(evc, _SUPPLY),
            ("622005 04D8", 12.4),
            ("622005 0709", OUT_OF_RANGE),
            ("622005 0257", OUT_OF_RANGE),
            ("622005 0000", MARKER),
            ("622005 FFFF", MARKER),
        ),
        _asked(
            *(evc, _VOLTS),
            ("623203 02D8", 364.0),
            ("623203 0384", OUT_OF_RANGE),
            ("623203 018F", OUT_OF_RANGE),
            ("623203 0000", MARKER),
            ("623203 FFFF", MARKER),
        ),
        _asked(
            *(evc, _AMPERES),
            ("623204 7FD8", -10.0),
            ("623204 8961", OUT_OF_RANGE),
            ("623204 769F", OUT_OF_RANGE),
            ("623204 8064", 25.0),
            ("623204 FFFF", MARKER),
        ),
        _asked(("v", 0x745, 0x765), _DRIVER_LOCKED, ("610B 00FF00FF40", True), ("610B 00FF00FFBF00", False)),
    ]


def _renault_zoe_ph2() -> list[Asked]:
    def evc(path: str, *answers: tuple[str, Shown], freshness_ms: int = 0) -> Asked:
        ids = ("obd", 0x18DADAF1, 0x18DAF1DA)
        return _asked(ids, path, *answers, freshness_ms=freshness_ms, is_extended_id=True)

    def lbc(path: str, *answers: tuple[str, Shown], period_s: int = 60) -> Asked:
        return _asked(("obd", 0x18DADBF1, 0x18DAF1DB), path, *answers, period_s=period_s, is_extended_id=True)

    return [
        evc(
            _ODOMETER,
            ("622006 016E89", 93_833_000),
            ("622006 0F4241", OUT_OF_RANGE),
            ("622006 000000", MARKER),
            ("622006 FFFFFF", MARKER),
        ),
        evc(
            _SPEED,
            ("622003 0CB2", 32.5),
            ("622003 4E21", OUT_OF_RANGE),
            ("622003 FFFF", MARKER),
            freshness_ms=_FAST_MS,
        ),
        evc(
            _SUPPLY,
            ("622005 0586", 14.14),
            ("622005 0709", OUT_OF_RANGE),
            ("622005 0257", OUT_OF_RANGE),
            ("622005 0000", MARKER),
            ("622005 FFFF", MARKER),
        ),
        evc(
            _OUTSIDE,
            ("622218 0B9A", 24.0),
            ("622218 0D03", OUT_OF_RANGE),
            ("622218 0919", OUT_OF_RANGE),
            ("622218 0A9A", -1.6),
            ("622218 FFFF", MARKER),
        ),
        lbc(_SOC, ("629002 1518", 54.0), ("629002 2711", OUT_OF_RANGE), ("629002 FFFF", MARKER)),
        lbc(
            _HEALTH,
            ("629003 2580", 96.0),
            ("629003 2711", OUT_OF_RANGE),
            ("629003 0000", MARKER),
            ("629003 FFFF", MARKER),
            period_s=600,
        ),
        lbc(
            _VOLTS,
            ("629005 0E4C", 366.0),
            ("629005 1195", OUT_OF_RANGE),
            ("629005 07CF", OUT_OF_RANGE),
            ("629005 0000", MARKER),
            ("629005 FFFF", MARKER),
        ),
        lbc(
            _AMPERES,
            ("62925D 7E80", -8.0),
            ("62925D CA81", OUT_OF_RANGE),
            ("62925D 347F", OUT_OF_RANGE),
            ("62925D 7FA0", 1.0),
            ("62925D FFFF", MARKER),
        ),
        lbc(_CELSIUS, ("629012 03C0", 20.0), ("629012 0781", OUT_OF_RANGE), ("629012 FFFF", MARKER)),
    ]


def _smart_453() -> list[Asked]:
    return [
        _asked(
            *(("v", 0x7E4, 0x7EC), _SUPPLY),
            ("622005 04D8", 12.4),
            ("622005 0709", OUT_OF_RANGE),
            ("622005 0257", OUT_OF_RANGE),
            ("622005 0000", MARKER),
            ("622005 FFFF", MARKER),
            period_s=600,
        ),
        _asked(
            *(("v", 0x743, 0x763), _OUTSIDE),
            ("62200C 55AA 0282", 24.2),
            ("62200C AA55 03E9", OUT_OF_RANGE),
            ("62200C 55AA FFFF", MARKER),
            period_s=600,
        ),
        _asked(
            *(("v", 0x745, 0x765), _DRIVER_LOCKED),
            *((f"622125 {raw:02X}", raw > 0) for raw in (1, 0, 0x80, 0xFF)),
            period_s=600,
        ),
    ]


def _vw_e_up() -> list[Asked]:
    battery, motor = ("obd", 0x7E5, 0x7ED), ("obd", 0x7E0, 0x7E8)
    socket: list[tuple[str, Readings]] = [
        ("621DDA 0100", {CABLE: True, _CABLE_LOCKED: False}),
        ("621DDA 0001", {CABLE: False, _CABLE_LOCKED: True}),
        ("621DDA 8080", {CABLE: MEANINGLESS, _CABLE_LOCKED: MEANINGLESS}),
    ]
    return [
        _asked(("obd", 0x765, 0x7CF), _SHOWN, ("621DD0 89", 68.5), ("621DD0 C9", OUT_OF_RANGE), ("621DD0 FF", MARKER)),
        Asked("obd", 0x765, 0x7CF, 60, socket),
        _asked(
            *(battery, _VOLTS),
            ("621E3B 05DC", 375.0),
            ("621E3B 0709", OUT_OF_RANGE),
            ("621E3B 031F", OUT_OF_RANGE),
            ("621E3B 0000", MARKER),
            ("621E3B FFFF", MARKER),
        ),
        _asked(
            *(battery, _AMPERES),
            ("621E3D 07D4", -10.0),
            ("621E3D 115D", OUT_OF_RANGE),
            ("621E3D 0814", 6.0),
            ("621E3D FFFF", MARKER),
        ),
        _asked(battery, _SOC, ("62028C AA", 68.0), ("62028C FB", OUT_OF_RANGE), ("62028C FF", MARKER)),
        _asked(
            *(battery, _ODOMETER),
            ("6202BD 55 00274B", 10_059_000),
            ("6202BD AA 1E8481", OUT_OF_RANGE),
            ("6202BD 55 FFFFFF", MARKER),
        ),
        _asked(
            *(motor, _SPEED),
            ("62F40D 21", 33.0),
            ("62F40D C9", OUT_OF_RANGE),
            ("62F40D FF", MARKER),
            period_s=5,
            freshness_ms=_FAST_MS,
        ),
        _asked(motor, _OUTSIDE, ("62F446 37", 15.0), ("62F446 65", OUT_OF_RANGE), ("62F446 FF", MARKER)),
        _asked(
            *(motor, f"{OURS}.TractionBattery.StateOfChargeSeenByCar"),
            ("621164 1A90", 68.0),
            ("621164 2711", OUT_OF_RANGE),
            ("621164 0000", 0.0),
            ("621164 FFFF", MARKER),
        ),
        _asked(
            *(motor, SYSTEM),
            *((f"6214D9 {raw:02X}", "ON" if raw == 4 else MEANINGLESS) for raw in (4, 0, 4, 2, 0x84, 4, 8)),
            period_s=10,
            freshness_ms=15_000,
        ),
        _asked(
            *(("obd", 0x7E6, 0x7EE), _SUPPLY),
            ("62465C 1900", 12.5),
            ("62465C 2201", OUT_OF_RANGE),
            ("62465C 0BFF", OUT_OF_RANGE),
            ("62465C 0000", MARKER),
            ("62465C FFFF", MARKER),
        ),
    ]


ANSWERS: Mapping[str, Sequence[Asked]] = {
    "renault_zoe_ph1": _renault_zoe_ph1(),
    "renault_zoe_ph2": _renault_zoe_ph2(),
    "smart_453": _smart_453(),
    "vw_e_up": _vw_e_up(),
}
