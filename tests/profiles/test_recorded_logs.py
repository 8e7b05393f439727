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
from agent.profile_tools.coverage import Coverage
from tests.profiles import candump
from tests.profiles.shipped import profile

LOGS = Path(__file__).parents[2].parent / "shared" / "logs"
NEEDS_LOGS = pytest.mark.skipif(not LOGS.is_dir(), reason="recordings of real cars are not part of this repository")

_BATTERY = "Vehicle.Powertrain.TractionBattery"
_OURS = "Vehicle.Carshare.TractionBattery"
# key of expected.json -> path, and what one unit of the key is in the path's unit
PATHS: Mapping[str, tuple[str, float]] = {
    "hv_voltage_v": (f"{_BATTERY}.CurrentVoltage", 1),
    "hv_current_a_charge_positive": (f"{_BATTERY}.CurrentCurrent", 1),
    "soc_bms_pct": (f"{_BATTERY}.StateOfCharge.Current", 1),
    "soc_dashboard_pct": (f"{_BATTERY}.StateOfCharge.Displayed", 1),
    "soc_display_pct": (f"{_BATTERY}.StateOfCharge.Displayed", 1),
    "soc_pct": (f"{_BATTERY}.StateOfCharge.Displayed", 1),
    "soh_pct": (f"{_BATTERY}.StateOfHealth", 1),
    "gids": (f"{_OURS}.Gids", 1),
    "gids_max": (f"{_OURS}.GidsMax", 1),
    "range_km": (f"{_BATTERY}.Range", 1000),
    "odometer_km": ("Vehicle.TraveledDistance", 1000),
    "odometer_miles": ("Vehicle.TraveledDistance", 1609.344),
    "speed_kmh": ("Vehicle.Speed", 1),
    "outside_temp_c": ("Vehicle.Exterior.AirTemperature", 1),
    "cabin_temp_c": ("Vehicle.Cabin.HVAC.AmbientAirTemperature", 1),
    "v12_v": ("Vehicle.LowVoltageBattery.CurrentVoltage", 1),
    "charge_power_kw": (f"{_OURS}.GridPower", 1000),
}
_YES_NO: Mapping[object, Value] = {True: True, False: False}
STATES: Mapping[str, tuple[str, Mapping[object, Value]]] = {
    "ready": ("Vehicle.Carshare.IsReadyToDrive", _YES_NO),
    "gear": ("Vehicle.Powertrain.Transmission.SelectedGear", {"P": 126, "R": -1, "N": 0, "D": 127}),
    "eco": ("Vehicle.Powertrain.Transmission.PerformanceMode", {True: "ECONOMY", False: "NORMAL"}),
    "ac_relay": (f"{_OURS}.IsAcRelayClosed", _YES_NO),
    "quick_charge_relay": (f"{_OURS}.IsQuickChargeRelayClosed", _YES_NO),
    "parking_brake": ("Vehicle.Chassis.ParkingBrake.IsEngaged", _YES_NO),
    "central_locked": ("Vehicle.Cabin.Door.Row1.DriverSide.IsLocked", _YES_NO),
    # 9 stands between two of them, and is no state.
    "kl_state": ("Vehicle.LowVoltageSystemState", {6: "OFF", 10: "ON"}),
}
AS_A_WHOLE = "Vehicle.Carshare.CentralLock.IsLocked"
"""Where a car tells it of all doors in one, this is what `central_locked` is."""
VEHICLE_OF: Mapping[str, str] = {
    "leaf_ze0_shift_p_d_eco_n": "nissan_leaf_ze0",
    "leaf_ze0_30kwh_ready": "nissan_leaf_ze0",
    "leaf_ze0_30kwh_quickcharge_fail": "nissan_leaf_ze0",
    "leaf_2015_range_only": "nissan_leaf_aze0",
    "env200_40kwh_startup2": "nissan_env200",
    "env200_2015_accharge_two_buses": "nissan_env200",
    "leaf_ze1_62kwh_drive_b": "nissan_leaf_ze1",
    "leaf_ze1_62kwh_startup": "nissan_leaf_ze1",
    "leaf_ze1_62kwh_parked_nots": "nissan_leaf_ze1",
    "i3_ignition_on": "bmw_i3",
    "i3_test7_with_injected": "bmw_i3",
    "eup_kcan_wakeup_errors": "vw_e_up",
    "eup_kcan_klima_69e": "vw_e_up",
    "eup_kcan_setpoint_19c": "vw_e_up",
}
SAME_CARS = (
    ("leaf_ze1_62kwh_drive_b", "leaf_ze1_62kwh_startup"),
    ("i3_ignition_on", "i3_test7_with_injected"),
    ("eup_kcan_wakeup_errors", "eup_kcan_klima_69e", "eup_kcan_setpoint_19c"),
)
"""Recordings of each car in the order they were driven in."""

# Start-up and invalid values of the frames the profile reads, in its units: none may ever be shown as a value.
NEVER: Mapping[str, frozenset[Value]] = {
    f"{_BATTERY}.CurrentVoltage": frozenset({0.0, 511.5}),
    f"{_BATTERY}.CurrentCurrent": frozenset({511.5}),
    f"{_BATTERY}.StateOfCharge.Current": frozenset({102.0, 102.3}),
    f"{_BATTERY}.StateOfHealth": frozenset({0.0, 127.0}),
    f"{_OURS}.Gids": frozenset({1023}),
    f"{_OURS}.GidsMax": frozenset({1023}),
    "Vehicle.Exterior.AirTemperature": frozenset({87.5}),
    "Vehicle.LowVoltageBattery.CurrentVoltage": frozenset({25.5}),
    f"{_BATTERY}.Range": frozenset({819_000, 819_200}),
    f"{_BATTERY}.StateOfCharge.Displayed": frozenset({127.0}),
}


def expected(log: str) -> tuple[Mapping[str, tuple[float, float]], Mapping[str, list[tuple[float, object]]]]:
    """Valid ranges, and transitions as time after the first frame and new state, by key."""
    entry = json.loads((LOGS / "expected.json").read_text())[log]
    valid = {key: (span[0], span[1]) for key, span in entry["valid"].items() if isinstance(span, list)}
    steps = {key: steps for key, steps in entry.get("transitions", {}).items() if isinstance(steps, list)}
    steps |= {key: [(0, state)] for key, state in entry["valid"].items() if isinstance(state, bool)}
    return valid, {key: [(at_s, state) for at_s, state in listed] for key, listed in steps.items()}


@cache
def believed(log: str, vehicle: str = "") -> Mapping[str, list[tuple[float, Value]]]:
    """Every value the log shows by its car's profile, or that of another, by path, with its time after the start."""
    decoder = Decoder(profile(vehicle or VEHICLE_OF[log]))
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
@pytest.mark.parametrize("log", VEHICLE_OF)
def test_values_of_a_real_car_lie_where_they_must_and_every_one_is_seen(log: str) -> None:
    for key, (low, high) in expected(log)[0].items():
        path, unit = PATHS[key]
        numbers = [value for _, value in believed(log)[path] if isinstance(value, int | float)]
        # A metre of rounding for the odometer, a millionth for the rest.
        slack = 1.0 if path == "Vehicle.TraveledDistance" else 1e-6
        assert low * unit - slack <= min(numbers), key
        assert max(numbers) <= high * unit + slack, key
        if unit == 1:
            # Where frames were lost on the way the counter refuses some that came.
            lost = 0.51 if log == "env200_2015_accharge_two_buses" and key.startswith("hv_current") else 0.11
            assert min(numbers) == pytest.approx(low, abs=lost), f"{key}: the lowest value of the log is missing"
            assert max(numbers) == pytest.approx(high, abs=lost), f"{key}: the highest value of the log is missing"


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
        "Vehicle.Carshare.IsReadyLampOn": False,
        "Vehicle.Carshare.GearShown": "P",
        "Vehicle.Carshare.Charging.State": "CHARGING",
        f"{_OURS}.StateOfHealthSeenByCar": 94.0,
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
@pytest.mark.parametrize(
    ("log", "minutes"),
    [
        ("env200_2015_accharge_two_buses", {"Fast": 240, "Medium": 570, "Slow": 1200}),
        ("env200_40kwh_startup2", {"Fast": 450, "Medium": 780, "Slow": 2280}),
        ("leaf_ze1_62kwh_startup", {"Quick": 42, "Fast": 100, "Medium": 148, "Slow": 394}),
        ("leaf_ze1_62kwh_parked_nots", {"Quick": 79, "Fast": 266, "Medium": 459, "Slow": 1388}),
    ],
)
def test_times_to_full_take_turns_and_each_is_kept(log: str, minutes: Mapping[str, int]) -> None:
    for supply, expected_min in minutes.items():
        found = changes(believed(log)[f"Vehicle.Carshare.Charging.TimeToFull.{supply}"])
        assert [value for _, value in found] == [expected_min * 60], supply


@NEEDS_LOGS
def test_temperatures_of_a_battery_are_told_apart_and_stand_in_order() -> None:
    shown = believed("env200_2015_accharge_two_buses")
    kinds = ("Max", "Average", "Min")
    assert [{value for _, value in shown[f"{_BATTERY}.Temperature.{kind}"]} for kind in kinds] == [
        {21.0},
        {19.0},
        {17.0},
    ]


@NEEDS_LOGS
def test_the_speed_shown_is_a_little_above_that_of_the_wheels() -> None:
    shown, wheels = (
        [value for _, value in believed("leaf_ze1_62kwh_drive_b")[path] if isinstance(value, float)]
        for path in ("Vehicle.Carshare.SpeedShown", "Vehicle.Speed")
    )
    assert 1.0 < max(shown) / max(wheels) < 1.03


@NEEDS_LOGS
@pytest.mark.parametrize("log", VEHICLE_OF)
def test_states_of_a_real_car_change_when_they_must(log: str) -> None:
    for key, transitions in expected(log)[1].items():
        if key not in STATES:
            continue
        path, meanings = STATES[key]
        if key == "central_locked" and AS_A_WHOLE in profile(VEHICLE_OF[log]).paths:
            path = AS_A_WHOLE
        found = changes(believed(log)[path])
        states = [(at_s, meanings[state]) for at_s, state in transitions if state in meanings]
        assert [value for _, value in found] == [value for _, value in states], key
        for (at_s, _), (expected_at_s, _) in zip(found, states, strict=True):
            # What held before is known with the first frame: on the van's CAR-CAN most were lost.
            slack = 0.7 if expected_at_s == 0 else 0.2
            assert at_s == pytest.approx(expected_at_s, abs=slack), key


@NEEDS_LOGS
@pytest.mark.parametrize("log", VEHICLE_OF)
def test_what_must_not_appear_in_a_recording_does_not(log: str) -> None:
    entry = json.loads((LOGS / "expected.json").read_text())[log]
    for key, told in entry.get("must_not_appear", {}).items():
        path, unit = PATHS[key]
        shown = [value for _, value in believed(log).get(path, ()) if isinstance(value, int | float)]
        for marker in told if isinstance(told, list) else [told]:
            assert not [value for value in shown if value == pytest.approx(marker * unit)], (key, marker)


@NEEDS_LOGS
def test_a_stranger_s_frames_among_those_of_a_car_are_shown_as_jumps_and_the_value_comes_back() -> None:
    decoder = Decoder(profile("bmw_i3"))
    path = f"{_BATTERY}.StateOfCharge.Displayed"
    told: list[tuple[Value | None, str | None]] = []
    with lzma.open(LOGS / "i3_test7_with_injected.log.xz", "rt") as lines:
        for frame in candump.frames(lines):
            for reading in decoder.receive(frame):
                if reading.path == path and (not told or told[-1] != (reading.value, reading.reason)):
                    told.append((reading.value, reading.reason))
    jump, value = (None, "jump"), (26.5, None)
    assert told == [(None, "settling"), value, jump, value, jump, value]


@NEEDS_LOGS
@pytest.mark.parametrize(
    ("log", "open_door", "has_key"),
    [
        ("eup_kcan_wakeup_errors", None, False),
        ("eup_kcan_klima_69e", None, False),
        ("eup_kcan_setpoint_19c", "Vehicle.Carshare.Door.FrontRight.IsOpen", True),
    ],
)
def test_doors_key_and_charging_of_a_car_on_its_comfort_bus(log: str, open_door: str | None, has_key: bool) -> None:
    states = {path: [value for _, value in changes(values)] for path, values in believed(log).items()}
    doors = [f"Vehicle.Carshare.Door.{each}.IsOpen" for each in ("FrontLeft", "FrontRight", "RearLeft", "RearRight")]
    for path in (*doors, "Vehicle.Body.Hood.IsOpen", "Vehicle.Body.Trunk.Rear.IsOpen"):
        assert states[path] == [path == open_door], path
    assert states["Vehicle.Carshare.IsKeyInIgnitionLock"] == [has_key]
    assert states["Vehicle.LowVoltageSystemState"] == ["OFF"]
    # At waking it looks like charging; only one of the recordings has the message.
    assert states.get(f"{_BATTERY}.Charging.IsCharging", [False]) == [False]
    assert (f"{_BATTERY}.Range" in states) is has_key


@NEEDS_LOGS
@pytest.mark.parametrize("log", sorted(path.name.removesuffix(".log.xz") for path in LOGS.glob("*.log.xz")) or ["any"])
def test_start_up_markers_never_appear_as_values_whatever_car_the_recording_is_of(log: str) -> None:
    shown = believed(log, VEHICLE_OF.get(log, "nissan_leaf_ze1"))
    for path, markers in NEVER.items():
        assert not markers & {value for _, value in shown.get(path, ())}, path
    for path in (f"{_BATTERY}.StateOfCharge.Current", f"{_BATTERY}.StateOfCharge.Displayed"):
        assert all(isinstance(value, float) and 0 <= value <= 100 for _, value in shown.get(path, ())), path


@NEEDS_LOGS
@pytest.mark.parametrize("log", VEHICLE_OF)
def test_a_recording_of_the_right_car_is_no_mismatch(log: str) -> None:
    """Messages are longer in some cars of a series than in others, and that is no other meaning."""
    found = Coverage(profile(VEHICLE_OF[log]))
    with lzma.open(LOGS / f"{log}.log.xz", "rt") as lines:
        found.hear(candump.frames(lines))
    assert [(mismatch.plan.name, mismatch.problem) for mismatch in found.mismatches()] == []


@NEEDS_LOGS
def test_the_odometer_of_a_car_never_falls() -> None:
    for log in VEHICLE_OF:
        metres = [value for _, value in believed(log).get("Vehicle.TraveledDistance", ())]
        assert metres == sorted(metres), log
    for logs in SAME_CARS:
        ends = [believed(log)["Vehicle.TraveledDistance"][-1][1] for log in logs]
        assert ends == sorted(ends), logs


@NEEDS_LOGS
@pytest.mark.parametrize("vehicle", sorted(set(VEHICLE_OF.values())))
def test_a_recording_of_another_make_shows_nothing(vehicle: str) -> None:
    assert not believed("zoe_ph2_hevcan_isolator_removed", vehicle)
    assert vehicle == "bmw_i3" or not believed("i3_ignition_on", vehicle)
