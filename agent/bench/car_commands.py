"""The words with which a person, a script or a test moves the virtual car: one command a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agent.bench.car import CarFault, VirtualCar
from agent.bench.car_body import CarRefusesError, Opening
from agent.model.reading import Value
from agent.profiles.vss import PATHS

LINE_LENGTH_MAX = 200  # the longest command has 30 characters

_OPENINGS = " | ".join(Opening)
_FAULTS = " | ".join(CarFault)

USAGE: Mapping[str, str] = {
    "open": f"open {_OPENINGS}",
    "close": f"close {_OPENINGS}",
    "drive": "drive KILOMETRES [KILOMETRES_PER_HOUR]",
    "charge": "charge [KILOWATTS]",
    "unplug": "unplug",
    "fob": "fob lock | unlock",
    "relock": "relock",
    "immobiliser": "immobiliser release | engage",
    "ignition": "ignition on | off",
    "supply": "supply VOLTS",
    "set": "set PATH VALUE | auto",
    "wake": "wake",
    "sleep": "sleep",
    "fault": f"fault {_FAULTS}",
    "mend": f"mend {_FAULTS} | all",
}


def perform(car: VirtualCar, line: str, now_s: float) -> None:
    """Do what `line` says; raises `CarRefusesError` if the car does not, or the line is not understood."""
    words = line[:LINE_LENGTH_MAX].split()
    if not words:
        return
    verb, arguments = words[0], words[1:]
    if verb not in _VERBS:
        raise CarRefusesError(f"no command {verb!r}; expected one of " + ", ".join(USAGE))
    try:
        _VERBS[verb](car, arguments, now_s)
    except (ValueError, LookupError) as error:
        raise CarRefusesError(f"{line!r} is not understood; expected: {USAGE[verb]}") from error


def state(car: VirtualCar) -> dict[str, object]:
    """The physical truth, for a test or a person to compare with what the agent says."""
    body = car.body
    return {
        "asleep": car.is_asleep,
        "lock": car.lock.state.value,
        "lock_requests_seen": car.lock.requests_seen,
        "lock_frames_seen": car.lock.frames_seen,
        "immobiliser": car.immobiliser.state.value,
        "drive_requests_seen": car.immobiliser.requests_seen,
        "flashes_seen": car.lamps.flashes_seen,
        "wake_frames_seen": car.wake_frames_seen,
        "frames_sent": car.frames_sent,
        "ignition": body.ignition.value,
        "odometer_m": round(body.odometer_m, 1),
        "speed_kmh": round(body.speed_kmh, 2),
        "state_of_charge_percent": round(body.state_of_charge_percent, 2),
        "charging": body.is_charging,
        "low_voltage_v": round(body.low_voltage_v, 2),
        "open": [opening.value for opening, is_open in body.openings.items() if is_open],
        "faults": sorted(car.faults),
        "set": dict(car.shown),
    }


def _only(arguments: Sequence[str], count_max: int) -> None:
    if len(arguments) > count_max:
        raise ValueError("too many words")


def _open(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 1)
    car.set_opening(Opening(arguments[0]), now_s, is_open=True)


def _close(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 1)
    car.set_opening(Opening(arguments[0]), now_s, is_open=False)


def _drive(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 2)
    cruise_kmh = float(arguments[1]) if len(arguments) == 2 else 50.0
    car.drive(float(arguments[0]) * 1000, now_s, cruise_kmh=cruise_kmh)


def _charge(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 1)
    car.charge(now_s, charger_kw=float(arguments[0]) if arguments else 7.4)


def _unplug(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 0)
    car.unplug(now_s)


def _fob(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 1)
    car.press_key_fob(now_s, is_locked={"lock": True, "unlock": False}[_word(arguments, "lock", "unlock")])


def _relock(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 0)
    car.relock(now_s)


def _immobiliser(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 1)
    is_drive_enabled = {"release": True, "engage": False}[_word(arguments, "release", "engage")]
    car.switch_immobiliser(now_s, is_drive_enabled=is_drive_enabled)


def _ignition(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 1)
    car.set_ignition(now_s, is_on=_word(arguments, "on", "off") == "on")


def _supply(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 1)
    car.set_supply(float(arguments[0]), now_s)


def _set(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    """A value for a VSS path, whatever is true; `auto`: what is true again."""
    _only(arguments, 2)
    path, value = arguments
    if path not in PATHS:
        raise CarRefusesError(f"no VSS path {path!r} that a profile may have")
    car.show(path, None if value == "auto" else _value(PATHS[path].datatype, value), now_s)


def _value(datatype: str, text: str) -> Value:
    if datatype == "boolean":
        return {"true": True, "false": False}[text]
    if datatype == "string":
        return text
    return float(text) if datatype in ("float", "double") else int(text)


def _wake(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 0)
    car.rouse(now_s)


def _sleep(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 0)
    car.sleep(now_s)


def _fault(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 1)
    car.set_fault(CarFault(arguments[0]), now_s, is_on=True)


def _mend(car: VirtualCar, arguments: Sequence[str], now_s: float) -> None:
    _only(arguments, 1)
    for fault in sorted(car.faults) if arguments[0] == "all" else [CarFault(arguments[0])]:
        car.set_fault(fault, now_s, is_on=False)


def _word(arguments: Sequence[str], *allowed: str) -> str:
    if arguments[0] not in allowed:
        raise ValueError(arguments[0])
    return arguments[0]


_VERBS: Mapping[str, Callable[[VirtualCar, Sequence[str], float], None]] = {
    "open": _open,
    "close": _close,
    "drive": _drive,
    "charge": _charge,
    "unplug": _unplug,
    "fob": _fob,
    "relock": _relock,
    "immobiliser": _immobiliser,
    "ignition": _ignition,
    "supply": _supply,
    "set": _set,
    "wake": _wake,
    "sleep": _sleep,
    "fault": _fault,
    "mend": _mend,
}
