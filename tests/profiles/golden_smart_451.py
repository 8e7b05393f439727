"""The recording of `dbc/smart_451`. Only the layout of the frames is that of the car; all else is made up."""

from __future__ import annotations

from tests.profiles import golden_series
from tests.profiles.golden_log import MARKER, GoldenLog, No, Rule, Shown, Stands
from tests.profiles.golden_series import Notes, Place, Sent, Signal
from tests.profiles.golden_signals import BATTERY, CABLE, IS_CHARGING, OURS, SYSTEM, derived, flag, number, word

_OPENINGS = (
    "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen",
    "Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen",
    "Vehicle.Body.Trunk.Rear.IsOpen",
)
_POWER: Rule = (
    (f"{BATTERY}.CurrentVoltage", f"{BATTERY}.CurrentCurrent"),
    lambda volts, amperes: round(volts * amperes, 3),
)
_CONDITION_UNMET = No("invalid", "condition_unmet")


def write() -> GoldenLog:
    """The whole recording."""
    messages = (
        _charger(),
        _motion(),
        _battery_charge(),
        _range(),
        _supply(),
        Sent(*("obd", 0x3D7, 1, 500, 5000), {0: [_high_voltage()]}),
        _outside(),
        _meter(),
        _lever(),
        _body_state(),
        _voltage(),
        _current(),
        _charge(),
    )
    rules = {**derived(_OPENINGS, is_always_ac=True), f"{BATTERY}.CurrentPower": _POWER}
    return golden_series.write(messages, derived=rules)


def _charger() -> Sent:
    """Every value of the byte."""
    is_charging = {raw: raw in (0x20, 0x40) for raw in range(256)}
    return Sent("obd", 0x168, 8, 100, 5000, {0: [word(IS_CHARGING, Place(7, 0, 8), is_charging)]})


def _motion() -> Sent:
    """Every value of the brake's byte."""
    signals = [
        number(
            "Vehicle.Speed",
            Place(3, 0, 16),
            (0xFFFF, 0, 1, 9, 0x0555, 0x0AAA, 3600, 3601, 0x8001),
            lambda raw: round(raw / 18, 9),
            markers=(0xFFFF,),
            limits=(0.0, 200.0),
        ),
        word("Vehicle.Chassis.ParkingBrake.IsEngaged", Place(0, 0, 8), {raw: raw > 0 for raw in range(256)}),
    ]
    return Sent("obd", 0x200, 4, 100, 2000, {0: signals})


def _battery_charge() -> Sent:
    charge = number(
        f"{BATTERY}.StateOfCharge.Current",
        Place(5, 0, 10),
        (1023, 1001, 1000, 832, 830, 341, 682, 1, 0),
        lambda raw: raw / 10,
        markers=range(1001, 1024),
        stands=Stands(1000, 5.0),
    )
    return Sent("obd", 0x2D5, 6, 250, 10_000, {0: [charge]}, hold=6)


def _range() -> Sent:
    raws = (0xFF, 0, 1, 85, 170, 254)
    left = number(f"{BATTERY}.Range", Place(7, 0, 8), raws, lambda raw: raw * 1000, markers=(0xFF,))
    return Sent("obd", 0x318, 8, 500, 10_000, {0: [left]})


def _supply() -> Sent:
    path, raws = "Vehicle.LowVoltageBattery.CurrentVoltage", (0xFF, 59, 60, 127, 85, 170, 180, 181, 128)
    volts = number(path, Place(3, 0, 8), raws, lambda raw: raw / 10, markers=(0xFF,), limits=(6.0, 18.0))
    return Sent("obd", 0x3D5, 4, 500, 5000, {0: [volts]})


def _high_voltage() -> Signal:
    path = f"{OURS}.TractionBattery.IsHighVoltageOn"
    return word(path, Place(0, 0, 8), {0: False, 1: True}, (0, 1, 2, 0, 0xFF, 1))


def _outside() -> Sent:
    outside = number(
        "Vehicle.Exterior.AirTemperature",
        Place(4, 0, 8),
        (0xFF, 9, 10, 82, 85, 170, 190, 191, 128),
        lambda raw: round((raw - 82) / 1.8, 9),
        markers=(0xFF,),
        limits=(-40.0, 60.0),
    )
    return Sent("obd", 0x408, 5, 500, 60_000, {0: [outside]})


def _meter() -> Sent:
    odometer = number(
        "Vehicle.TraveledDistance",
        Place(4, 0, 24),
        (0xFFFFFF, 0, 0x00635D, 25_438, 65_536, 0x0AAAAA, 0x055555, 1_000_000, 1_000_001, 25_438),
        lambda raw: raw * 1000,
        markers=(0, 0xFFFFFF),
        limits=(0, 1_000_000_000),
        stands=Stands(1000, 4000.0),
    )
    return Sent("obd", 0x412, 5, 250, 10_000, {0: [odometer]}, hold=6)


def _lever() -> Sent:
    path, meanings = "Vehicle.Powertrain.Transmission.SelectedGear", {0xDD: 126, 0xBB: -1, 0: 0, 0x11: 127}
    return Sent("obd", 0x418, 5, 500, 2000, {0: [word(path, Place(4, 0, 8), meanings, (*meanings, 0xFF, 0xCC, 0xDD))]})


def _body_state() -> Sent:
    signals = [
        word(SYSTEM, Place(0, 0, 1), {0: "OFF", 1: "ON"}, (0, 1, 0, 0, 1, 1, 0, 1)),
        flag(_OPENINGS[0], 2, 0, (0, 1, 0, 0, 1, 1, 0, 0)),
        flag(_OPENINGS[1], 2, 1, (0, 0, 1, 0, 1, 0, 1, 0)),
        flag(_OPENINGS[2], 2, 2, (0, 0, 0, 1, 0, 1, 1, 0)),
    ]
    return Sent("obd", 0x423, 3, 500, 2000, {0: signals})


def _voltage() -> Sent:
    raws = (0xFFFF, 0, 1999, 2000, 3612, 0x0AAA, 4500, 4501, 0x8EEE)
    path, markers = f"{BATTERY}.CurrentVoltage", (0, 0xFFFF)
    volts = number(path, Place(7, 0, 16), raws, lambda raw: raw / 10, markers=markers, limits=(200.0, 450.0))
    return Sent("obd", 0x448, 8, 500, 5000, {0: [volts]})


def _current() -> Sent:
    raws = (0x3FFF, 0x2000, 0x2001, 0x1FFF, 0x1555, 0x2AAA, 0x2300)
    path = f"{BATTERY}.CurrentCurrent"
    amperes = number(path, Place(3, 0, 14), raws, lambda raw: round(raw / 10 - 819.2, 1), markers=(0x3FFF,))
    return Sent("obd", 0x508, 4, 500, 5000, {0: [amperes, flag(CABLE, 2, 6, (0, 1, 1, 0, 1))]})


def _pilot(raw: int, notes: Notes) -> Shown:
    if notes["pilot"] != 1:
        return _CONDITION_UNMET
    return MARKER if raw == 0xFF else raw / 2


def _charge() -> Sent:
    """0x518: the pilot's current counts only while its byte is 1."""
    signals = [
        Signal("pilot", Place(0, 0, 8), (1, 1, 1, 0, 2, 1, 1, 1, 0x81), lambda raw, _: raw, note="pilot"),
        Signal(f"{OURS}.Charging.PilotCurrent", Place(1, 0, 8), (0xFF, 78, 0, 64, 65, 85, 170, 1, 33), _pilot),
        number(
            f"{BATTERY}.StateOfCharge.Displayed",
            Place(7, 0, 8),
            (255, 201, 200, 167, 166, 85, 42, 1, 0),
            lambda raw: raw / 2,
            markers=range(201, 256),
            stands=Stands(1000, 5.0),
        ),
    ]
    return Sent("obd", 0x518, 8, 250, 10_000, {0: signals}, hold=6)
