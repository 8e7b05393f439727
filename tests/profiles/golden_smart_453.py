"""The recording of `dbc/smart_453`."""

from __future__ import annotations

from tests.profiles import golden_renault as renault
from tests.profiles import golden_series
from tests.profiles.golden_log import GoldenLog
from tests.profiles.golden_series import Place, Sent
from tests.profiles.golden_signals import OURS, SYSTEM, derived, flag, number, word


def write() -> GoldenLog:
    """The whole recording."""
    messages = (
        _lever(),
        _body_command(),
        _cabin(),
        Sent("v", 0x42E, 5, 100, 1000, {0: [renault.pack_voltage()]}),
        Sent(
            "v", 0x4F8, 1, 500, 5000, {0: [flag("Vehicle.Chassis.ParkingBrake.IsEngaged", 0, 3, (0, 1, 1, 0, 1, 0, 0))]}
        ),
        renault.motion(),
        renault.openings(),
        renault.charge(charge_bits=8),
        renault.battery_health(),
    )
    return golden_series.write(messages, derived=derived(renault.OPENINGS, is_always_ac=True))


def _lever() -> Sent:
    path, meanings = "Vehicle.Powertrain.Transmission.SelectedGear", {0: 126, 0x10: -1, 0x20: 0, 0x70: 127}
    return Sent("v", 0x17E, 7, 500, 5000, {0: [word(path, Place(6, 0, 8), meanings, (*meanings, 1, 0xF0, 0x71))]})


def _body_command() -> Sent:
    """Every value of the byte that says whether the car is locked."""
    words = ("OFF", "OFF", "OFF", "OFF", "ACC", "ON", "START", "ON")
    states = tuple(range(0xC0, 0xC8))
    raws = (*states, 0xC8, 0x40, 0, 0xC5, 0xC0, 0xC6, 0xC4, 0xC7, 0xE1)
    is_ready = {state: state == 0xC7 for state in states}
    is_locked = {raw: raw == 0x96 for raw in range(256)}
    signals = [
        word(SYSTEM, Place(0, 0, 8), dict(zip(states, words, strict=True)), raws),
        word(f"{OURS}.IsReadyToDrive", Place(0, 0, 8), is_ready, raws),
        word(f"{OURS}.PowerState", Place(0, 0, 8), {state: state - 0xC0 for state in states}, raws),
        word(f"{OURS}.CentralLock.IsLocked", Place(6, 0, 8), is_locked),
    ]
    return Sent("v", 0x350, 7, 100, 5000, {0: signals})


def _cabin() -> Sent:
    path, raws = "Vehicle.Cabin.HVAC.AmbientAirTemperature", (0xFF, 0, 121, 120, 85, 42, 1)
    cabin = number(path, Place(5, 0, 8), raws, lambda raw: raw - 40.0, markers=(0, 0xFF), limits=(-40.0, 80.0))
    return Sent("v", 0x392, 6, 500, 60_000, {0: [cabin]})
