"""The kinds of signals that recordings are made of, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

from tests.profiles.golden_log import MARKER, MEANINGLESS, OUT_OF_RANGE, Rule, Shown, Stands
from tests.profiles.golden_series import Notes, Place, Signal

BATTERY = "Vehicle.Powertrain.TractionBattery"
OURS = "Vehicle.Carshare"
CABLE = f"{BATTERY}.Charging.ChargingPort.AnyPosition.IsChargingCableConnected"
SYSTEM = "Vehicle.LowVoltageSystemState"
IS_CHARGING = f"{BATTERY}.Charging.IsCharging"


def number(
    path: str,
    place: Place,
    raws: Sequence[int],
    value: Callable[[int], float],
    *,
    markers: Container[int] = (),
    limits: tuple[float, float] = (-1e12, 1e12),
    stands: Stands | None = None,
) -> Signal:
    """A measured number; `value` is in the path's unit, already rounded, and shown if it lies within `limits`."""

    def shown(raw: int, _: Notes) -> Shown:
        if raw in markers:
            return MARKER
        return value(raw) if limits[0] <= value(raw) <= limits[1] else OUT_OF_RANGE

    return Signal(path, place, raws, shown, stands)


def word(path: str, place: Place, meanings: Mapping[int, Shown], raws: Sequence[int] = ()) -> Signal:
    """A raw value that is a word; one without a meaning is none."""
    return Signal(path, place, raws or tuple(meanings), lambda raw, _: meanings.get(raw, MEANINGLESS))


def flag(path: str, byte: int, low: int, raws: Sequence[int] = (0, 1, 1, 0)) -> Signal:
    """One bit, 1 for yes."""
    return Signal(path, Place(byte, low, 1), raws, lambda raw, _: bool(raw))


class _Rises:
    """How often the ignition came on."""

    def __init__(self) -> None:
        self._was_on: bool | None = None
        self._count = 0

    def __call__(self, state: Shown) -> Shown:
        is_on = state == "ON"
        self._count += is_on and self._was_on is False
        self._was_on = is_on
        return self._count


def derived(openings: Sequence[str], *, is_always_ac: bool = False) -> dict[str, Rule]:
    """What each of the profiles derives, with the doors of the car."""
    rules: dict[str, Rule] = {
        f"{OURS}.Doors.IsAllClosed": (tuple(openings), lambda *are_open: not any(are_open)),
        "Vehicle.IsMoving": (("Vehicle.Speed",), lambda speed_kmh: speed_kmh >= 0.5),
        f"{OURS}.IgnitionCycles": ((SYSTEM,), _Rises()),
    }
    if is_always_ac:
        rules[f"{OURS}.Charging.IsAC"] = ((IS_CHARGING,), lambda is_charging: is_charging)
    return rules
