"""Recordings of real cars, where this machine has them: they are not ours to ship, so the tests are skipped elsewhere.

What they must and must not decode to stands beside the recordings (`expected.json`), not here.
"""

from __future__ import annotations

import json
import lzma
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from agent.decode.decoder import Decoder
from agent.model.reading import Quality, Value
from tests.profiles import candump
from tests.profiles.shipped import profile

LOGS = Path(__file__).parents[2].parent / "shared" / "logs"
NEEDS_LOGS = pytest.mark.skipif(not LOGS.is_dir(), reason="recordings of real cars are not part of this repository")

_BATTERY = "Vehicle.Powertrain.TractionBattery"
# key of expected.json -> path, and what one unit of the key is in the path's unit
PATHS: Mapping[str, tuple[str, float]] = {
    "hv_voltage_v": (f"{_BATTERY}.CurrentVoltage", 1),
    "hv_current_a_charge_positive": (f"{_BATTERY}.CurrentCurrent", 1),
    "soc_bms_pct": (f"{_BATTERY}.StateOfCharge.Current", 1),
    "soc_dashboard_pct": (f"{_BATTERY}.StateOfCharge.Displayed", 1),
    "soh_pct": (f"{_BATTERY}.StateOfHealth", 1),
    "gids": ("Vehicle.Carshare.TractionBattery.Gids", 1),
    "gids_max": ("Vehicle.Carshare.TractionBattery.GidsMax", 1),
    "odometer_km": ("Vehicle.TraveledDistance", 1000),
    "odometer_miles": ("Vehicle.TraveledDistance", 1609.344),
    "speed_kmh": ("Vehicle.Speed", 1),
    "outside_temp_c": ("Vehicle.Exterior.AirTemperature", 1),
}
STATES: Mapping[str, tuple[str, Mapping[object, Value]]] = {
    "ready": ("Vehicle.Carshare.IsReadyToDrive", {True: True, False: False}),
    "gear": ("Vehicle.Powertrain.Transmission.SelectedGear", {"P": 126, "R": -1, "N": 0, "D": 127}),
}
LEAFS_ZE1 = ("leaf_ze1_62kwh_drive_b", "leaf_ze1_62kwh_startup", "leaf_ze1_62kwh_parked_nots")
# Sister cars, whose battery and climate frames are laid out alike and begin with other start-up values.
SISTERS = (
    "leaf_ze0_shift_p_d_eco_n",
    "leaf_ze0_30kwh_ready",
    "leaf_ze0_30kwh_quickcharge_fail",
    "env200_40kwh_startup2",
    "env200_2015_accharge_two_buses",
)
ALIKE = ("hv_voltage_v", "soc_bms_pct", "soh_pct", "gids", "outside_temp_c")

# Start-up and invalid values of the frames the profile reads, in its units: none may ever be shown as a value.
NEVER: Mapping[str, frozenset[Value]] = {
    f"{_BATTERY}.CurrentVoltage": frozenset({0.0, 511.5}),
    f"{_BATTERY}.CurrentCurrent": frozenset({511.5}),
    f"{_BATTERY}.StateOfCharge.Current": frozenset({102.0, 102.3}),
    f"{_BATTERY}.StateOfHealth": frozenset({0.0, 127.0}),
    "Vehicle.Carshare.TractionBattery.Gids": frozenset({1023}),
    "Vehicle.Carshare.TractionBattery.GidsMax": frozenset({1023}),
    "Vehicle.Exterior.AirTemperature": frozenset({87.5}),
    "Vehicle.LowVoltageBattery.CurrentVoltage": frozenset({25.5}),
}


def expected(log: str) -> tuple[Mapping[str, tuple[float, float]], Mapping[str, list[tuple[float, object]]]]:
    """Valid ranges, and transitions as time after the first frame and new state, by key."""
    entry = json.loads((LOGS / "expected.json").read_text())[log]
    valid = {key: (span[0], span[1]) for key, span in entry["valid"].items() if isinstance(span, list)}
    steps = {key: steps for key, steps in entry.get("transitions", {}).items() if isinstance(steps, list)}
    return valid, {key: [(at_s, state) for at_s, state in listed] for key, listed in steps.items()}


@cache
def believed(log: str) -> Mapping[str, list[tuple[float, Value]]]:
    """Every value the log shows, by path, with its time after the first frame."""
    decoder = Decoder(profile("nissan_leaf_ze1"))
    values: dict[str, list[tuple[float, Value]]] = defaultdict(list)
    started_at_s: float | None = None
    with lzma.open(LOGS / f"{log}.log.xz", "rt") as lines:
        for frame in candump.frames(lines):
            started_at_s = frame.received_at_s if started_at_s is None else started_at_s
            for reading in decoder.receive(frame):
                assert (reading.value is not None) == (reading.quality is Quality.OK)
                if reading.value is not None:
                    values[reading.path].append((frame.received_at_s - started_at_s, reading.value))
    return values


def changes(values: list[tuple[float, Value]]) -> list[tuple[float, Value]]:
    return [now for before, now in zip([(0.0, None), *values], values, strict=False) if before[1] != now[1]]


@NEEDS_LOGS
@pytest.mark.parametrize("log", LEAFS_ZE1)
def test_values_of_a_real_leaf_lie_where_they_must_and_every_one_is_seen(log: str) -> None:
    for key, (low, high) in expected(log)[0].items():
        path, unit = PATHS[key]
        numbers = [value for _, value in believed(log)[path] if isinstance(value, int | float)]
        assert numbers, f"{key} was never seen"
        # A metre of rounding for the odometer, a millionth for the rest.
        slack = 1.0 if path == "Vehicle.TraveledDistance" else 1e-6
        assert low * unit - slack <= min(numbers), key
        assert max(numbers) <= high * unit + slack, key
        if unit == 1:
            assert min(numbers) == pytest.approx(low, abs=0.11), f"{key}: the lowest value of the log is missing"
            assert max(numbers) == pytest.approx(high, abs=0.11), f"{key}: the highest value of the log is missing"


@NEEDS_LOGS
@pytest.mark.parametrize("log", SISTERS)
def test_values_of_sister_cars_lie_where_they_must_too(log: str) -> None:
    for key in expected(log)[0].keys() & ALIKE:
        numbers = {value for _, value in believed(log)[PATHS[key][0]] if isinstance(value, int | float)}
        low, high = expected(log)[0][key]
        assert (min(numbers), max(numbers)) == pytest.approx((low, high)), key


@NEEDS_LOGS
def test_doors_locks_and_charging_of_a_sister_car_with_both_buses() -> None:
    shown = believed("env200_2015_accharge_two_buses")
    states = {path: changes(values) for path, values in shown.items()}
    doors = {
        "Vehicle.Carshare.Door.FrontA.IsOpen": True,
        "Vehicle.Carshare.Door.FrontB.IsOpen": False,
        "Vehicle.Carshare.Door.RearLeft.IsOpen": True,
        "Vehicle.Carshare.Door.RearRight.IsOpen": False,
        "Vehicle.Body.Trunk.Rear.IsOpen": False,
        "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked": False,
        "Vehicle.Carshare.CentralLock.IsLockedBesideDriver": False,
        "Vehicle.LowVoltageSystemState": "OFF",
        "Vehicle.Carshare.IsReadyToDrive": False,
    }
    for path, state in doors.items():
        assert [value for _, value in states[path]] == [state], path
    # The charger's start-up state 0 is no "not charging": the first thing known is that it charges.
    ((charges_at_s, is_charging),) = states[f"{_BATTERY}.Charging.IsCharging"]
    assert is_charging is True
    assert charges_at_s == pytest.approx(0.15, abs=0.01)
    powers = [(at_s, value) for at_s, value in states["Vehicle.Carshare.TractionBattery.GridPower"] if value]
    assert powers[0][0] == pytest.approx(6.36, abs=0.01)
    assert max(value for _, value in powers if isinstance(value, float)) == pytest.approx(2200.0)


@NEEDS_LOGS
@pytest.mark.parametrize("log", LEAFS_ZE1)
def test_states_of_a_real_leaf_change_when_they_must(log: str) -> None:
    for key, transitions in expected(log)[1].items():
        path, meanings = STATES[key]
        found = changes(believed(log)[path])
        assert [value for _, value in found] == [meanings[state] for _, state in transitions], key
        for (at_s, _), (expected_at_s, _) in zip(found, transitions, strict=True):
            assert at_s == pytest.approx(expected_at_s, abs=0.2), key


@NEEDS_LOGS
@pytest.mark.parametrize("log", sorted(path.name.removesuffix(".log.xz") for path in LOGS.glob("*.log.xz")) or ["any"])
def test_start_up_markers_never_appear_as_values_whatever_car_the_recording_is_of(log: str) -> None:
    shown = believed(log)
    for path, markers in NEVER.items():
        assert not markers & {value for _, value in shown.get(path, ())}, path
    for path in (f"{_BATTERY}.StateOfCharge.Current", f"{_BATTERY}.StateOfCharge.Displayed"):
        assert all(isinstance(value, float) and 0 <= value <= 100 for _, value in shown.get(path, ())), path


@NEEDS_LOGS
def test_a_recording_of_another_make_shows_nothing() -> None:
    assert not believed("zoe_ph2_hevcan_isolator_removed")
    assert not believed("i3_ignition_on")
