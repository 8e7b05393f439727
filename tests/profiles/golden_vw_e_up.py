"""The recording of `dbc/vw_e_up`: every signal goes through invented values, its markers and its words among them.

Only the layout of the frames and the markers at power-on are those of the car.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.profiles import golden_series
from tests.profiles.golden_log import MARKER, MEANINGLESS, OUT_OF_RANGE, GoldenLog, Rule, Shown, Stands
from tests.profiles.golden_series import Place, Sent, Signal

_BATTERY = "Vehicle.Powertrain.TractionBattery"
_OURS = "Vehicle.Carshare"
_SYSTEM = "Vehicle.LowVoltageSystemState"
_DOORS = tuple(f"{_OURS}.Door.{each}.IsOpen" for each in ("FrontLeft", "FrontRight", "RearLeft", "RearRight"))
_HOOD, _BOOT = "Vehicle.Body.Hood.IsOpen", "Vehicle.Body.Trunk.Rear.IsOpen"

_KEY: Mapping[int, tuple[Shown, Shown]] = {
    0: ("OFF", False),
    1: ("OFF", True),
    5: ("ON", True),
    7: ("ON", True),
    15: ("START", True),
    3: ("OFF", True),
    2: (MEANINGLESS, MEANINGLESS),
    0x81: (MEANINGLESS, MEANINGLESS),
    0x40: (MEANINGLESS, MEANINGLESS),
}
_LEVER: Mapping[int, Shown] = {
    0: MARKER,
    0x20: 126,
    0x30: -1,
    0x40: 0,
    0x50: 127,
    0x60: 127,
    0x10: MEANINGLESS,
    0xA0: MEANINGLESS,
    0x21: MEANINGLESS,
}
_LOCK: Mapping[int, Shown] = {0: False, 2: True, 1: MEANINGLESS, 4: MEANINGLESS, 0x82: MEANINGLESS, 0x80: MEANINGLESS}
_CHARGE: Mapping[int, Shown] = {**dict.fromkeys(range(7), True), 7: False, 15: False}

_DERIVED: Mapping[str, Rule] = {
    "Vehicle.IsMoving": (("Vehicle.Speed",), lambda speed: speed >= 0.5),
    f"{_OURS}.Doors.IsAllClosed": ((*_DOORS, _BOOT), lambda *doors: not any(doors)),
}
# One of 0x470 that is cut short: with all doors open.
_CUT_SHORT = ((2010, "comfort", 0x470, bytes([0x40, 0x3F, 0, 0, 0, 0, 0])),)


def write() -> GoldenLog:
    """The whole recording."""
    messages = (
        _road_speed(),
        _lock_state(),
        _temperature("Vehicle.Cabin.HVAC.AmbientAirTemperature", 0x3E3, 2, 8000, 250),
        _body_state(),
        _temperature("Vehicle.Exterior.AirTemperature", 0x527, 5, 2000, 220),
        _range_shown(),
        _low_voltage_supply(),
        _ignition_lock(),
        _drive_state(),
        _charging(),
        _meter(),
    )
    cycles: Rule = ((_SYSTEM,), golden_series.Rises("ON"))
    return golden_series.write(messages, _CUT_SHORT, {**_DERIVED, f"{_OURS}.IgnitionCycles": cycles})


def _standing(raws: Sequence[int], frames: int) -> tuple[int, ...]:
    """Each of the values for so many frames."""
    return tuple(raw for raw in raws for _ in range(frames))


def _little(byte: int, low: int, bits: int) -> Place:
    return Place(byte, low, bits, is_little=True)


def _words(path: str, place: Place, meanings: Mapping[int, Shown]) -> Signal:
    return Signal(path, place, tuple(meanings), lambda raw, _: meanings[raw])


def _within(value: float, low: float, high: float) -> Shown:
    return value if low <= value <= high else OUT_OF_RANGE


def _road_speed() -> Sent:
    """0x320: 1 is 0 km/h."""
    speed = Signal(
        "Vehicle.Speed",
        _little(3, 0, 16),
        (0, 1, 2, 95, 96, 191, 0x1555, 0x2AAA, 38_001, 38_002, 0xFFFF),
        lambda raw, _: MARKER if raw in (0, 0xFFFF) else _within(round((raw - 1) / 190, 9), 0.0, 200.0),
    )
    return Sent("comfort", 0x320, 8, 200, 2000, {0: [speed]})


def _lock_state() -> Sent:
    """0x381."""
    return Sent("comfort", 0x381, 6, 100, 1000, {0: [_words(f"{_OURS}.CentralLock.IsLocked", Place(0, 0, 8), _LOCK)]})


def _temperature(path: str, arbitration_id: int, byte: int, freshness_ms: int, highest: int) -> Sent:
    """0x3E3 and 0x527."""
    temperature = Signal(
        path,
        Place(byte, 0, 8),
        (0xFF, highest + 1, highest, 141, 114, 0x55, 0xAA, 10, 9, 1),
        lambda raw, _: MARKER if raw == 0xFF else _within(raw / 2 - 50, -45.0, highest / 2 - 50),
    )
    return Sent("comfort", arbitration_id, 8, 200, freshness_ms, {0: [temperature]})


def _body_state() -> Sent:
    """0x470: one after the other, then some together."""
    signals = [
        Signal(
            path, Place(1, bit, 1), (0, *(number == bit for number in range(6)), bit % 2, 0), lambda raw, _: bool(raw)
        )
        for bit, path in enumerate((*_DOORS, _HOOD, _BOOT))
    ]
    return Sent("comfort", 0x470, 8, 50, 500, {0: signals}, hold=6)


def _range_shown() -> Sent:
    """0x52D."""
    left = Signal(
        f"{_BATTERY}.Range",
        _little(0, 0, 9),
        (0x1FE, 82, 0, 1, 0x155, 0x0AA, 254, 255, 256, 0x1FF, 450, 451),
        lambda raw, _: MARKER if raw >= 0x1FE else raw * 1000 if raw <= 450 else OUT_OF_RANGE,
    )
    return Sent("comfort", 0x52D, 8, 300, 10_000, {0: [left]})


def _low_voltage_supply() -> Sent:
    """0x571."""
    voltage = Signal(
        "Vehicle.LowVoltageBattery.CurrentVoltage",
        Place(0, 0, 8),
        (0xFF, 149, 145, 0x55, 0xAA, 20, 19, 240, 241, 0),
        lambda raw, _: MARKER if raw == 0xFF else _within(round(raw / 20 + 5, 2), 6.0, 17.0),
    )
    return Sent("comfort", 0x571, 6, 200, 5000, {0: [voltage]})


def _ignition_lock() -> Sent:
    """0x575: the ignition comes on three times, and is on at the end: an answer that says so later is no fourth."""
    raws = (*_KEY, 1, 7, 1, 0, 7)
    signals = [
        Signal(_SYSTEM, Place(0, 0, 8), raws, lambda raw, _: _KEY[raw][0]),
        Signal(f"{_OURS}.IsKeyInIgnitionLock", Place(0, 0, 8), raws, lambda raw, _: _KEY[raw][1]),
    ]
    return Sent("comfort", 0x575, 4, 200, 2000, {0: signals})


def _drive_state() -> Sent:
    """0x61A: a single frame of a stranger among those of the charge."""
    charge = Signal(
        f"{_BATTERY}.StateOfCharge.Displayed",
        Place(7, 0, 8),
        (0, 0, 0xC9, 0xFF, *_standing((137,), 3), 40, *_standing((136, 0x55, 0xAA, 1, 200), 3)),
        lambda raw, _: MARKER if raw == 0 or raw > 200 else raw / 2,
        Stands(700, 2.0),
    )
    lever = _words("Vehicle.Powertrain.Transmission.SelectedGear", Place(3, 0, 8), _LEVER)
    return Sent("comfort", 0x61A, 8, 500, 5000, {0: [lever, charge]})


def _charging() -> Sent:
    """0x61C: looks like charging at first."""
    meanings = {**_CHARGE, 8: MEANINGLESS, 0x47: MEANINGLESS, 0x81: MEANINGLESS}
    raws = (1, *_standing((7, 0, 15), 4), 1, 15, 2, 3, 4, 5, 6, 8, 0x47, 0x81, 7, 7, 7)
    signal = Signal(f"{_BATTERY}.Charging.IsCharging", Place(2, 0, 8), raws, lambda raw, _: meanings[raw], Stands(1500))
    return Sent("comfort", 0x61C, 8, 600, 10_000, {0: [signal]})


def _meter() -> Sent:
    """0x65D."""
    odometer = Signal(
        "Vehicle.TraveledDistance",
        _little(1, 0, 20),
        (0xFFFFE, 0xFFFFF, *_standing((10_027, 10_028), 3), 0x2AAAA, *_standing((10_029, 0x55555, 0xAAAAA, 0), 3)),
        lambda raw, _: MARKER if raw == 0 or raw >= 0xFFFFE else raw * 1000,
        Stands(1500, 2000.0),
    )
    return Sent("comfort", 0x65D, 8, 800, 10_000, {0: [odometer]})
