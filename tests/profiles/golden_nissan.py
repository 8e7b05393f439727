"""What the Nissan cars of before 2018 send, message by message, for their recordings.

Only the layout of the frames and the markers at power-on are those of the cars; all else is made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.profiles.golden_log import MARKER, MEANINGLESS, OUT_OF_RANGE, UNIT_UNKNOWN, Shown, Stands
from tests.profiles.golden_series import Notes, Place, Sent, Signal

BATTERY = "Vehicle.Powertrain.TractionBattery"
OURS = "Vehicle.Carshare"

_SPEEDS = (0, 1, 2, 4, 0x1234, 0x4001, 0x4E20, 0x4E21, 0xFFFF, 0x8001)


def _among(meanings: Mapping[int, Shown]) -> dict[str, object]:
    """A signal whose raw values are words."""
    return {"raws": tuple(meanings), "shown": lambda raw, _: meanings[raw]}


def _bit(path: str, byte: int, low: int, raws: Sequence[int] = (0, 1, 1, 0)) -> Signal:
    return Signal(path, Place(byte, low, 1), raws, lambda raw, _: bool(raw))


def _speed(raw: int, _: Notes) -> Shown:
    if raw == 0xFFFF:
        return MARKER
    return raw / 100 if raw <= 20_000 else OUT_OF_RANGE


def _odometer(raw: int, notes: Notes) -> Shown:
    if "miles" not in notes:
        return UNIT_UNKNOWN
    if raw in (0, 0xFFFFFF):
        return MARKER
    metres = round(raw * (1609.344 if notes["miles"] else 1000))
    return metres if metres < 1 << 32 else OUT_OF_RANGE


def battery_power(*, has_charge_shown: bool) -> Sent:
    """0x1DB, with a checksum and a counter."""
    signals = [
        Signal(
            f"{BATTERY}.CurrentCurrent",
            Place(1, 5, 11),
            (0x3FF, 0, 1, 0x7FF, 0x555, 0x2AA, 0x400, 17),
            lambda raw, _: MARKER if raw == 0x3FF else (raw - 2048 * (raw >> 10)) / 2,
        ),
        Signal(
            f"{BATTERY}.CurrentVoltage",
            Place(3, 6, 10),
            (0x3FF, 0, 399, 400, 773, 682, 853, 900, 901),
            lambda raw, _: MARKER if raw in (0, 0x3FF) else raw / 2 if 400 <= raw <= 900 else OUT_OF_RANGE,
        ),
    ]
    if has_charge_shown:
        signals.append(
            Signal(
                f"{BATTERY}.StateOfCharge.Displayed",
                Place(4, 0, 7),
                (127, 101, 85, 99, 84, 42, 100, 0, 64, 1),
                lambda raw, _: MARKER if raw > 100 else float(raw),
            )
        )
    return Sent(
        *("ev", 0x1DB, 8, 10, 500),
        {0: signals},
        hold=45,
        crc_polynomial=0x85,
        counter=Place(6, 0, 2),
        bad_at=(100, 150, 200),
    )


def battery_charge() -> Sent:
    """0x55B."""
    charge = Signal(
        f"{BATTERY}.StateOfCharge.Current",
        Place(1, 6, 10),
        (1023, 1020, 1001, 1000, 511, 512, 530, 341, 0, 682, 1),
        lambda raw, _: raw / 10 if 0 < raw <= 1000 else MARKER,
        Stands(300, 5.0),
    )
    return Sent("ev", 0x55B, 8, 100, 1000, {0: [charge]}, hold=5, crc_polynomial=0x85)


def battery_capacity(*, has_times: bool = False) -> Sent:
    """0x5BC: in turn what is in the battery and what fits in, and in their own turn how long it takes to fill it."""
    health = Signal(
        f"{BATTERY}.StateOfHealth",
        Place(4, 1, 7),
        (0, 127, 101, 100, 85, 42, 1, 64),
        lambda raw, _: float(raw) if 0 < raw <= 100 else MARKER,
    )
    gids = [
        Signal(
            f"{OURS}.TractionBattery.{name}",
            Place(1, 6, 10),
            (1023, 0, 1, 341, 682, 512, 500),
            lambda raw, _: MARKER if raw == 1023 else raw,
        )
        for name in ("Gids", "GidsMax")
    ]
    if not has_times:
        pages = {0: [gids[0], health], 1: [gids[1], health]}
        return Sent("ev", 0x5BC, 8, 500, 5000, pages, selector=Place(5, 4, 1))
    fast, medium, slow = (
        Signal(
            f"{OURS}.Charging.TimeToFull.{supply}",
            Place(7, 0, 13),
            (0x1FFF, 0, 1, 240, 0x1555, 0x0AAA, 0x1000),
            lambda raw, _: MARKER if raw == 0x1FFF else raw * 60,
        )
        for supply in ("Fast", "Medium", "Slow")
    )
    # The topmost of the eight bits tells the two apart, the five lowest are which time it is; with 18 it is another.
    times = {
        0x05: [gids[0], health, fast],
        0x88: [gids[1], health, medium],
        0x0B: [gids[0], health, slow],
        0x92: [gids[1], health],
    }
    return Sent("ev", 0x5BC, 8, 100, 5000, times, selector=Place(6, 5, 8), hold=2)


def battery_bars(bus: str = "ev", *, from_ms: int = 0) -> Sent:
    """0x5B9."""
    bars = Signal(
        f"{OURS}.TractionBattery.ChargeBars",
        Place(0, 3, 5),
        (0, 1, 2, 5, 10, 12, 13, 16, 31, 4),
        lambda raw, _: raw if 1 <= raw <= 12 else MARKER,
        Stands(1000),
    )
    return Sent(bus, 0x5B9, 5, 500, 5000, {0: [bars]}, hold=4, from_ms=from_ms)


def battery_temperature() -> Sent:
    """0x5C0, of whose four pages three count."""
    pages = {
        page: [
            Signal(
                f"{BATTERY}.Temperature.{which}",
                Place(2, 0, 8),
                raws,
                lambda raw, _: MARKER if raw == 0 else raw / 2 - 40 if raw <= 0xF0 else OUT_OF_RANGE,
                Stands(2000, 2.0),
            )
        ]
        for page, which, raws in (
            (
                1,
                "Max",
                (0xFF, 0x46, *(0x4C,) * 3, 0x50, 0xFE, *(0x55,) * 2, *(0xAA,) * 2, *(0,) * 2, 0xF1, *(0xF0,) * 2),
            ),
            (
                2,
                "Average",
                (0xF1, 0, *(0xF0,) * 2, 0xFF, *(0x54,) * 2, 0x40, *(0x54,) * 2, *(0xAB,) * 2, 1, 1, 4, 5, 9),
            ),
            (3, "Min", (0xFE, *(0x53,) * 2, *(0xF0,) * 2, 0xF1, *(0xAA,) * 2, 1, 0xAA, 0xAC, *(0x80,) * 2, 0, 0, 3)),
        )
    }
    return Sent("ev", 0x5C0, 8, 500, 20_000, {0: [], **pages}, selector=Place(0, 6, 2))


def driving_range(size_bytes: int) -> Sent:
    """0x5A9, of which the cars have different lengths."""
    left = Signal(
        f"{BATTERY}.Range",
        Place(2, 4, 12),
        (0xFFF, 0, 1, 0x555, 0xAAA, 0x7FF, 0x800),
        lambda raw, _: MARKER if raw == 0xFFF else raw * 200,
    )
    return Sent("ev", 0x5A9, size_bytes, 500, 5000, {0: [left]})


def shift_lever(*, has_eco: bool) -> Sent:
    """0x11A."""
    meanings: Mapping[int, Shown] = {0: 126, 1: 126, 2: -1, 3: 0, 4: 127, 5: MEANINGLESS, 10: MEANINGLESS}
    signals = [Signal("Vehicle.Powertrain.Transmission.SelectedGear", Place(0, 4, 4), **_among(meanings))]  # type: ignore[arg-type]
    if has_eco:
        path = "Vehicle.Powertrain.Transmission.PerformanceMode"
        signals.append(Signal(path, Place(1, 4, 1), (0, 1, 1, 0), lambda raw, _: "ECONOMY" if raw else "NORMAL"))
    return Sent("ev", 0x11A, 8, 10, 500, {0: signals}, hold=5)


def selector(*, is_lever: bool = False) -> Sent:
    """0x421: what the dashboard shows, and where the lever's own message says nothing the lever too."""
    meanings: Mapping[int, Shown] = {
        0: 126,
        1: 126,
        2: -1,
        3: 0,
        4: 127,
        7: 127,
        5: MEANINGLESS,
        6: MEANINGLESS,
    }
    words: Mapping[int, Shown] = {
        raw: MEANINGLESS if raw in (5, 6) else {0: "P", 1: "P", 2: "R", 3: "N", 4: "D", 7: "B_OR_ECO"}[raw]
        for raw in meanings
    }
    signals = [Signal(f"{OURS}.GearShown", Place(0, 3, 3), **_among(words))]  # type: ignore[arg-type]
    if is_lever:
        path = "Vehicle.Powertrain.Transmission.SelectedGear"
        signals.append(Signal(path, Place(0, 3, 3), **_among(meanings)))  # type: ignore[arg-type]
    return Sent("car", 0x421, 3, 500, 2000, {0: signals})


def drive_state(size_bytes: int = 6) -> Sent:
    """0x50A, shorter in the older cars."""
    meanings: Mapping[int, Shown] = {0: False, 1: MEANINGLESS, 2: True, 3: MEANINGLESS}
    ready = Signal(f"{OURS}.IsReadyToDrive", Place(0, 6, 2), **_among(meanings))  # type: ignore[arg-type]
    return Sent("ev", 0x50A, size_bytes, 100, 1000, {0: [ready]})


def climate() -> Sent:
    """0x54C."""
    outside = Signal(
        "Vehicle.Exterior.AirTemperature",
        Place(6, 0, 8),
        (0xFF, 0xC9, 0xC8, 0x55, 0xAA, 0, 1),
        lambda raw, _: MARKER if raw in (0, 0xFF) else raw / 2 - 40 if raw <= 0xC8 else OUT_OF_RANGE,
    )
    return Sent("ev", 0x54C, 8, 100, 1000, {0: [outside]})


def relays() -> Sent:
    """0x380."""
    signals = [
        _bit(f"{OURS}.TractionBattery.IsAcRelayClosed", 4, 6),
        _bit(f"{OURS}.TractionBattery.IsQuickChargeRelayClosed", 4, 5, (0, 0, 1, 1)),
    ]
    return Sent("ev", 0x380, 8, 100, 1000, {0: signals})


def charge_state() -> Sent:
    """0x5BF."""
    on_the_way: Mapping[int, Shown] = dict.fromkeys((0x10, 0x20, 0x70, 0x90, 0x98, 0xC9, 0xE1), MARKER)
    idle: Mapping[int, Shown] = dict.fromkeys((0x18, 0x28, 0x30, 0x38, 0x40), False)
    is_charging: Mapping[int, Shown] = {**on_the_way, **idle, 0x60: True, 0xB0: True}
    states: Mapping[int, Shown] = {
        **dict.fromkeys((0x10, 0x18, 0x20), MARKER),
        **dict.fromkeys((0x28, 0x38), "NONE"),
        **dict.fromkeys((0x70, 0x90, 0x98), "STARTING"),
        **dict.fromkeys((0xC9, 0xE1), "FAILED"),
        0x30: "WAITING_FOR_TIMER",
        0x40: "FINISHED",
        0x60: "CHARGING",
        0xB0: "QUICK_CHARGING",
    }
    # Each has to stand as a state; what comes for a moment is none.
    moments = (0x10, 0x18, 0x20, 0x28, 0x11, 0x30, 0x28, 0x51)
    raws = (*moments, *(raw for raw in (*states, 0xD0) for _ in range(7)))
    place = Place(4, 0, 8)
    signals = [
        Signal(f"{BATTERY}.Charging.IsCharging", place, raws, lambda raw, _: is_charging.get(raw, MEANINGLESS)),
        Signal(f"{OURS}.Charging.State", place, raws, lambda raw, _: states.get(raw, MEANINGLESS), Stands(3000)),
    ]
    return Sent("ev", 0x5BF, 8, 100, 1000, {0: signals}, hold=5)


def charger() -> Sent:
    """0x390."""
    states: Mapping[int, Shown] = {
        0: MEANINGLESS,
        1: MEANINGLESS,
        2: False,
        4: True,
        8: False,
        9: False,
        12: False,
        44: MEANINGLESS,
        20: MEANINGLESS,
    }
    named: Mapping[int, Shown] = {2: "FINISHED", 4: "CHARGING", 8: "NONE", 9: "NONE", 12: "WAITING_FOR_TIMER"}
    words = {raw: named.get(raw, MEANINGLESS) for raw in states}
    grid: Mapping[int, Shown] = {0: "NONE", 1: "100V", 2: "200V", 3: "ABNORMAL"}
    power = Signal(
        f"{OURS}.TractionBattery.GridPower",
        Place(1, 0, 9),
        (0, 1, 66, 42, 21, 75, 76, 256, 511),
        lambda raw, _: raw * 100.0 if raw <= 75 else OUT_OF_RANGE,
    )
    signals = [
        Signal(f"{BATTERY}.Charging.IsCharging", Place(5, 1, 6), **_among(states)),  # type: ignore[arg-type]
        Signal(f"{OURS}.Charging.State", Place(5, 1, 6), **_among(words)),  # type: ignore[arg-type]
        Signal(f"{OURS}.TractionBattery.GridVoltageClass", Place(3, 3, 2), **_among(grid)),  # type: ignore[arg-type]
        power,
    ]
    return Sent("ev", 0x390, 8, 100, 1000, {0: signals})


def wheel_speeds() -> Sent:
    """0x284."""
    return Sent("car", 0x284, 8, 20, 500, {0: [Signal("Vehicle.Speed", Place(5, 0, 16), _SPEEDS, _speed)]})


def meter_units(bus: str = "car", *, speed: str = f"{OURS}.SpeedShown", from_ms: int = 1000) -> Sent:
    """0x355: in which unit the odometer counts, and the speed as shown, under the path `speed`."""
    miles = Signal("miles", Place(6, 5, 1), (0,) * 12 + (1,) * 12, lambda raw, _: raw, note="miles")
    shown = Signal(speed, Place(1, 0, 16), _SPEEDS, _speed)
    return Sent(bus, 0x355, 8, 40, 400, {0: [miles, shown]}, hold=5, from_ms=from_ms)


def battery_seen_by_car() -> Sent:
    """0x5B3."""
    health = Signal(
        f"{OURS}.TractionBattery.StateOfHealthSeenByCar",
        Place(1, 1, 7),
        (127, 94, 0, 101, 100, 85, 42, 1, 64),
        lambda raw, _: float(raw) if 0 < raw <= 100 else MARKER,
    )
    return Sent("car", 0x5B3, 8, 100, 5000, {0: [health]}, hold=2)


def ready_lamp() -> Sent:
    """0x50D."""
    meanings: Mapping[int, Shown] = {0: False, 2: True, 1: MEANINGLESS, 3: MEANINGLESS}
    lamp = Signal(f"{OURS}.IsReadyLampOn", Place(2, 6, 2), **_among(meanings))  # type: ignore[arg-type]
    return Sent("car", 0x50D, 8, 500, 2000, {0: [lamp]})


def meter(bus: str = "car", *, from_ms: int = 0) -> Sent:
    """0x5C5."""
    odometer = Signal(
        "Vehicle.TraveledDistance",
        Place(3, 0, 24),
        (0xFFFFFF, 12_345, 12_346, 0x155555, 12_346, 0x2AAAAA, 1, 0, 12_346),
        _odometer,
        Stands(300, 4000.0),
    )
    brake = _bit("Vehicle.Chassis.ParkingBrake.IsEngaged", 0, 2, (0, 1, 1, 0, 1))
    return Sent(bus, 0x5C5, 8, 100, 5000, {0: [odometer, brake]}, hold=6, from_ms=from_ms)


def body_state() -> Sent:
    """0x60D."""
    button: Mapping[int, Shown] = {0: "OFF", 1: "ACC", 2: "ON", 3: MEANINGLESS}
    signals = [
        _bit(f"{OURS}.Door.FrontA.IsOpen", 0, 3, (0, 1, 0, 0, 1, 1, 0)),
        _bit(f"{OURS}.Door.FrontB.IsOpen", 0, 4, (0, 0, 1, 0, 1, 0, 1)),
        _bit(f"{OURS}.Door.RearLeft.IsOpen", 0, 5, (0, 0, 0, 1, 0, 1, 1)),
        _bit(f"{OURS}.Door.RearRight.IsOpen", 0, 6, (1, 0, 0, 0, 1, 1, 0)),
        _bit("Vehicle.Body.Trunk.Rear.IsOpen", 0, 7, (0, 1, 1, 0, 0, 1, 0)),
        Signal("Vehicle.LowVoltageSystemState", Place(1, 1, 2), **_among(button)),  # type: ignore[arg-type]
        _bit(f"{OURS}.CentralLock.IsLockedBesideDriver", 2, 3, (1, 1, 0, 0)),
        _bit("Vehicle.Cabin.Door.Row1.DriverSide.IsLocked", 2, 4, (1, 0, 0, 1, 1)),
    ]
    return Sent("car", 0x60D, 8, 100, 1000, {0: signals}, from_ms=2000)


def low_voltage_supply() -> Sent:
    """0x292."""
    volts = Signal(
        "Vehicle.LowVoltageBattery.CurrentVoltage",
        Place(3, 0, 8),
        (0xFF, 59, 60, 127, 85, 170, 180, 181, 128),
        lambda raw, _: MARKER if raw == 0xFF else raw / 10 if 60 <= raw <= 180 else OUT_OF_RANGE,
    )
    return Sent("car", 0x292, 8, 500, 5000, {0: [volts]})


TELEMATICS: Sequence[tuple[int, str, int, bytes]] = (
    # The wake-up, twice; unlocking; locking.
    (3, "car", 0x68C, bytes(1)),
    (53, "car", 0x56E, bytes([0x46, 0x08, 0, 0])),
    (203, "car", 0x68C, bytes(1)),
    (253, "car", 0x56E, bytes([0x46, 0x08, 0, 0])),
    (603, "car", 0x56E, bytes([0x11, 0, 0, 0])),
    (703, "car", 0x56E, bytes([0x11, 0, 0, 0])),
    (4103, "car", 0x56E, bytes([0x60, 0x80, 0, 0])),
    (4203, "car", 0x56E, bytes([0x60, 0x80, 0, 0])),
)
