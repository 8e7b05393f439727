"""The recording of `dbc/bmw_i3`: every signal goes through invented values, its markers and its words among them.

Single frames of a stranger stand among those of the battery's display; only the layout of the frames and the markers
at power-on are those of the car.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.profiles import golden_series
from tests.profiles.golden_log import MARKER, MEANINGLESS, OUT_OF_RANGE, GoldenLog, Rule, Shown, Stands
from tests.profiles.golden_series import Place, Sent, Signal

_BATTERY = "Vehicle.Powertrain.TractionBattery"
_OURS = "Vehicle.Carshare"
_SYSTEM = "Vehicle.LowVoltageSystemState"

_TERMINALS: Mapping[int, Shown] = {
    2: "OFF",
    6: "OFF",
    9: MARKER,
    10: "ON",
    13: "START",
    8: "ACC",
    0: MEANINGLESS,
    5: MEANINGLESS,
    15: MEANINGLESS,
}
_CHARGE: Mapping[int, Shown] = {
    15: MARKER,
    0: False,
    1: False,
    2: True,
    3: False,
    4: False,
    5: False,
    6: MEANINGLESS,
    10: MEANINGLESS,
}
_CHARGE_WORDS: Mapping[int, Shown] = {
    15: MARKER,
    0: "NONE",
    1: "STARTING",
    2: "CHARGING",
    3: "PAUSED",
    4: "FINISHED",
    5: "FAILED",
    **dict.fromkeys((6, 10), MEANINGLESS),
}
_LOCK: Mapping[int, Shown] = {4: True, 1: False, 0: MEANINGLESS, 5: MEANINGLESS, 12: MEANINGLESS, 15: MEANINGLESS}
_GEAR: Mapping[int, Shown] = {15: MARKER, 0: MARKER, 3: 126, 1: MEANINGLESS, 2: MEANINGLESS, 11: MEANINGLESS}
_PLUG: Mapping[int, Shown] = {3: MARKER, 0: False, 1: True, 2: MEANINGLESS}

_DOORS = tuple(
    f"Vehicle.Cabin.Door.{door}.IsOpen"
    for door in ("Row1.DriverSide", "Row1.PassengerSide", "Row2.DriverSide", "Row2.PassengerSide")
)

_DERIVED: Mapping[str, Rule] = {
    f"{_OURS}.Doors.IsAllClosed": (
        (*_DOORS, "Vehicle.Body.Trunk.Rear.IsOpen"),
        lambda *are_open: not any(are_open),
    ),
    "Vehicle.IsMoving": (("Vehicle.Speed",), lambda speed: speed >= 0.5),
    f"{_BATTERY}.CurrentPower": (
        (f"{_BATTERY}.CurrentVoltage", f"{_BATTERY}.CurrentCurrent"),
        lambda volts, amperes: round(volts * amperes, 3),
    ),
}


def write() -> GoldenLog:
    """The whole recording."""
    messages = (
        _battery_power(),
        _terminals(),
        _road_speed(),
        _climate(),
        _body_state(),
        _meter(),
        _charging_socket(),
        _charging(),
        _selector(),
        _battery_shown(),
    )
    cycles: Rule = ((_SYSTEM,), golden_series.Rises("ON"))
    return golden_series.write(messages, derived={**_DERIVED, f"{_OURS}.IgnitionCycles": cycles})


def _standing(raws: Sequence[int], frames: int) -> tuple[int, ...]:
    """Each of the values for so many frames."""
    return tuple(raw for raw in raws for _ in range(frames))


def _little(byte: int, low: int, bits: int) -> Place:
    return Place(byte, low, bits, is_little=True)


def _words(path: str, place: Place, meanings: Mapping[int, Shown]) -> Signal:
    return Signal(path, place, tuple(meanings), lambda raw, _: meanings[raw])


def _battery_power() -> Sent:
    """0x112."""
    current = Signal(
        f"{_BATTERY}.CurrentCurrent",
        _little(0, 0, 16),
        (0xFFFF, 8192, 8179, 8094, 0x2AAA, 0x1555, 2192, 2191, 14192, 14193),
        lambda raw, _: MARKER if raw == 0xFFFF else _within(round(raw / 10 - 819.2, 1), -600.0, 600.0),
    )
    voltage = Signal(
        f"{_BATTERY}.CurrentVoltage",
        _little(2, 0, 16),
        (0xFFFF, 0, 3764, 3622, 0x0D55, 0x0EAA, 2000, 1999, 4500, 4501, 28_926),
        lambda raw, _: MARKER if raw in (0, 0xFFFF) else _within(raw / 10, 200.0, 450.0),
    )
    charge = Signal(
        f"{_BATTERY}.StateOfCharge.Current",
        _little(4, 0, 12),
        (0xFFF, 437, 438, 199, 3711, 0, 1000, 1001, 0x155, 0x2AA),
        lambda raw, _: MARKER if raw in (0, 0xFFF) else _within(raw / 10, 0.0, 100.0),
        Stands(100, 2.0),
    )
    return Sent("pt", 0x112, 8, 10, 500, {0: [current, voltage, charge]}, hold=13)


def _within(value: float, low: float, high: float) -> Shown:
    return value if low <= value <= high else OUT_OF_RANGE


def _terminals() -> Sent:
    """0x12F, with a checksum and a counter; the ignition comes on twice."""
    raws = (*_TERMINALS, 6, 10, 6)
    return Sent(
        *("pt", 0x12F, 8, 100, 1000),
        {0: [Signal(_SYSTEM, _little(2, 0, 4), raws, lambda raw, _: _TERMINALS[raw])]},
        hold=3,
        crc_polynomial=0x1D,
        crc_start=0x60,
        is_crc_first=True,
        counter=Place(1, 0, 4),
        bad_at=(1, 10, 16),
    )


def _road_speed() -> Sent:
    """0x1A1, likewise."""
    speed = Signal(
        "Vehicle.Speed",
        _little(2, 0, 16),
        (0, 1, 31, 32, 64, 0x0555, 0x0AAA, 12_800, 12_801, 0xFFFF, 0x27FE),
        lambda raw, _: MARKER if raw == 0xFFFF else _within(raw / 64, 0.0, 200.0),
    )
    return Sent(
        *("pt", 0x1A1, 5, 20, 500),
        {0: [speed]},
        hold=3,
        crc_polynomial=0x1D,
        crc_start=0x77,
        is_crc_first=True,
        counter=Place(1, 0, 4),
    )


def _climate() -> Sent:
    """0x2CA."""
    outside = Signal(
        "Vehicle.Exterior.AirTemperature",
        Place(0, 0, 8),
        (0xFF, 116, 142, 0x55, 0xAA, 200, 201, 0, 1),
        lambda raw, _: MARKER if raw in (0, 0xFF) else _within(raw / 2 - 40, -40.0, 60.0),
    )
    return Sent("pt", 0x2CA, 2, 100, 10_000, {0: [outside]})


def _body_state() -> Sent:
    """0x2FC: of the boot only that it is closed is known."""
    signals = [
        _words(f"{_OURS}.CentralLock.IsLocked", Place(0, 0, 4), _LOCK),
        Signal(f"{_OURS}.Door.FrontA.IsOpen", Place(1, 0, 1), (0, 1, 1, 0), lambda raw, _: bool(raw)),
        Signal(
            "Vehicle.Body.Trunk.Rear.IsOpen",
            Place(2, 0, 8),
            (0, 1, 0x80, 0, 0x55, 0xAA),
            lambda raw, _: MEANINGLESS if raw else False,
        ),
    ]
    return Sent("pt", 0x2FC, 3, 100, 10_000, {0: signals}, hold=2)


def _meter() -> Sent:
    """0x330."""
    odometer = Signal(
        "Vehicle.TraveledDistance",
        _little(0, 0, 24),
        (0xFFFFFF, *_standing((78_631, 78_632), 3), 0x27FFFE, *_standing((78_635, 0x155555, 0x0AAAAA, 0), 3)),
        lambda raw, _: MARKER if raw in (0, 0xFFFFFF) else raw * 1000 if raw <= 2_000_000 else OUT_OF_RANGE,
        Stands(200, 4000.0),
    )
    return Sent("pt", 0x330, 8, 150, 60_000, {0: [odometer]})


def _charging_socket() -> Sent:
    """0x3B4."""
    pilot = Signal(
        f"{_OURS}.Charging.PilotState",
        Place(4, 0, 3),
        (7, 1, 2, 5, 0, 6, 3, 4),
        lambda raw, _: MARKER if raw == 7 else raw,
    )
    port = f"{_BATTERY}.Charging.ChargingPort.AnyPosition.IsChargingCableConnected"
    return Sent("pt", 0x3B4, 5, 200, 5000, {0: [pilot, _words(port, Place(4, 5, 2), _PLUG)]})


def _charging() -> Sent:
    """0x3E9."""
    power = Signal(
        f"{_OURS}.TractionBattery.GridPower",
        _little(3, 4, 12),
        (0xFFF, 0, 1, 264, 0x155, 0x2AA, 0x555, 2000, 2001, 0xAAA),
        lambda raw, _: MARKER if raw == 0xFFF else _within(raw * 25.0, 0.0, 50_000.0),
    )
    charge = _words(f"{_BATTERY}.Charging.IsCharging", Place(2, 4, 4), _CHARGE)
    state = _words(f"{_OURS}.Charging.State", Place(2, 4, 4), _CHARGE_WORDS)
    return Sent("pt", 0x3E9, 8, 200, 2000, {0: [charge, state, power]})


def _selector() -> Sent:
    """0x3F9, with a checksum."""
    return Sent(
        *("pt", 0x3F9, 8, 200, 10_000),
        {0: [_words("Vehicle.Powertrain.Transmission.SelectedGear", Place(6, 0, 4), _GEAR)]},
        crc_polynomial=0x1D,
        crc_start=0x38,
        is_crc_first=True,
    )


def _battery_shown() -> Sent:
    """0x432, with single frames of a stranger in it."""
    stands = Stands(500, 2.0)
    shown = Signal(
        f"{_BATTERY}.StateOfCharge.Displayed",
        Place(4, 0, 8),
        (0xFF, *_standing((53,), 5), 127, 53, 159, 53, *_standing((54, 0x55, 0xAA, 0, 200, 201), 5)),
        lambda raw, _: MARKER if raw == 0xFF else _within(raw / 2, 0.0, 100.0),
        stands,
    )
    usable_from = Signal(
        f"{_OURS}.TractionBattery.UsableFrom",
        Place(2, 0, 8),
        (0xFF, *_standing((16, 17), 5), 254, 17, *_standing((0x2A, 0x55, 0, 200, 201), 5)),
        lambda raw, _: MARKER if raw == 0xFF else _within(raw / 2, 0.0, 100.0),
        stands,
    )
    usable_to = Signal(
        f"{_OURS}.TractionBattery.UsableTo",
        Place(3, 0, 8),
        (0xFF, 0xC8, *_standing((150, 148), 5), 39, 148, *_standing((0x55, 0xAA, 0, 199), 5)),
        lambda raw, _: MARKER if raw >= 0xC8 else raw / 2,
        stands,
    )
    return Sent("pt", 0x432, 8, 200, 2000, {0: [shown, usable_from, usable_to]})
