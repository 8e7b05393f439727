"""The physical car: driving moves the odometer by exactly the way asked for, and everything costs energy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bench.car import VirtualCar
from agent.bench.car_body import CarBody, CarRefusesError, Gear, Ignition, Opening
from agent.bench.car_commands import USAGE, perform, state
from agent.bench.vehicle import demo_folder, load_vehicle

PROFILE, DATABASES = load_vehicle(demo_folder())


def drive_to_the_end(body: CarBody, step_s: float = 0.5) -> float:
    """Seconds it took."""
    elapsed_s = 0.0
    while body.is_driving:
        body.advance(step_s)
        elapsed_s += step_s
        assert elapsed_s < 3600
    return elapsed_s


@settings(deadline=None)
@given(step_s=st.floats(0.003, 5.0), distance_m=st.floats(1.0, 3000.0), cruise_kmh=st.floats(5.0, 130.0))
def test_a_drive_ends_after_exactly_its_distance(step_s: float, distance_m: float, cruise_kmh: float) -> None:
    body = CarBody()
    before_m = body.odometer_m
    body.drive(distance_m, cruise_kmh=cruise_kmh)
    drive_to_the_end(body, step_s)
    assert body.odometer_m == before_m + distance_m
    assert (body.speed_ms, body.gear, body.ignition) == (0.0, Gear.PARK, Ignition.OFF)


def test_two_kilometres_in_town_take_their_time_and_energy() -> None:
    body = CarBody()
    before_wh = body.energy_wh
    body.drive(2000)
    fastest_kmh = 0.0
    for _ in range(60):
        body.advance(1.0)
        fastest_kmh = max(fastest_kmh, body.speed_kmh)
    assert fastest_kmh == pytest.approx(50.0)
    assert 60 + drive_to_the_end(body) == pytest.approx(151, abs=3)
    assert 100 < before_wh - body.energy_wh < 400


def test_current_flows_out_when_driving_off_and_in_when_braking_or_charging() -> None:
    body = CarBody()
    body.drive(100)
    body.advance(2.0)
    assert body.battery_current_a < -10
    currents = []
    while body.is_driving:
        body.advance(0.02)
        currents.append(body.battery_current_a)
    assert max(currents) > 10
    body.plug_in(charger_kw=7.4)
    body.advance(1.0)
    assert body.battery_current_a == pytest.approx(7400 * 0.9 / body.pack_voltage_v, rel=0.01)
    assert (body.grid_power_w, body.low_voltage_v) == (7400, 14.2)


def test_charging_ends_when_the_battery_is_full() -> None:
    body = CarBody(energy_wh=38_990.0)
    body.plug_in(charger_kw=11.0)
    body.advance(10.0)
    assert (body.is_full, body.is_charging, body.grid_power_w) == (True, False, 0.0)
    assert (body.state_of_charge_percent, body.state_of_charge_shown_percent) == (100.0, 100.0)


def test_an_empty_battery_ends_the_drive_where_it_is() -> None:
    body = CarBody(energy_wh=50.0)
    before_m = body.odometer_m
    body.drive(100_000)
    drive_to_the_end(body)
    assert body.energy_wh == 0
    assert 0 < body.odometer_m - before_m < 2000


@pytest.mark.parametrize(
    ("prepare", "line", "problem"),
    [
        ("", "drive 2", "locked"),
        ("fob unlock, charge", "drive 2", "cable"),
        ("fob unlock, open trunk", "drive 2", "open: trunk"),
        ("fob unlock, drive 2", "drive 2", "driving already"),
        ("fob unlock, drive 2", "open driver_door", "while the car drives"),
        ("fob unlock, drive 2", "charge", "driving"),
        ("fob unlock", "drive 0", "above 0"),
        ("fob unlock", "drive -1", "above 0"),
        ("", "charge 0", "above 0"),
        ("", "fly", "no command 'fly'; expected one of open, close"),
        ("", "open window", "expected: open driver_door | passenger_door"),
        ("", "open", "expected: open"),
        ("", "drive two", "expected: drive KILOMETRES"),
        ("", "drive 1 2 3", "expected: drive KILOMETRES"),
        ("", "fob open", "expected: fob lock | unlock"),
        ("", "fault everything", "expected: fault lock_ignores"),
        ("", "sleep now", "expected: sleep"),
        ("", "set Vehicle.Doors 1", "no VSS path 'Vehicle.Doors'"),
        ("", "set Vehicle.Speed fast", "expected: set PATH VALUE"),
        ("", "set Vehicle.IsMoving 1", "expected: set PATH VALUE"),
    ],
)
def test_what_the_car_does_not_do_is_refused_in_words(prepare: str, line: str, problem: str) -> None:
    car = VirtualCar(PROFILE, DATABASES, is_asleep=False)
    now_s = 1.0
    for command in filter(None, prepare.split(", ")):
        perform(car, command, now_s)
        now_s += 1.0
        car.step(now_s)
    with pytest.raises(CarRefusesError, match=problem):
        perform(car, line, now_s)


def test_every_command_has_a_usage_and_does_what_it_says() -> None:
    car = VirtualCar(PROFILE, DATABASES, time_compression=20.0)
    for now_s, line in enumerate(
        [
            *("wake", "fob unlock", "open driver_door", "close driver_door"),
            *(
                "immobiliser engage",
                "immobiliser release",
                "ignition on",
                "ignition off",
                "drive 0.5 80",
                "",
                "charge 11",
                "unplug",
            ),
        ]
    ):
        perform(car, line, now_s * 4.0)
        car.step(now_s * 4.0 + 4.0)
    perform(car, "fault lock_dead", 56.0)
    assert state(car)["faults"] == ["lock_dead"]
    perform(car, "mend all", 56.0)
    assert state(car)["faults"] == []
    perform(car, "sleep", 57.0)
    assert state(car)["asleep"]
    done = [event.name for event in car.drain_events()]
    assert done == [
        *("woke", "lock_moved", "opened", "closed", "immobiliser_changed", "immobiliser_changed"),
        *("switched_on", "switched_off", "drive_started", "drive_ended", "charge_started", "unplugged"),
        *("fault", "mended", "slept"),
    ]
    assert set(USAGE) == {
        *(
            "open",
            "close",
            "drive",
            "charge",
            "unplug",
            "fob",
            "relock",
            "immobiliser",
            "ignition",
            "supply",
            "set",
            "wake",
            "sleep",
            "fault",
            "mend",
        ),
    }


def test_a_value_set_by_hand_is_told_until_it_is_left_to_the_car_again() -> None:
    car = VirtualCar(PROFILE, DATABASES, is_asleep=False)
    path = "Vehicle.Exterior.AirTemperature"
    perform(car, f"set {path} -7.5", 1.0)
    assert car.value_of(path) == -7.5
    perform(car, f"set {path} auto", 2.0)
    assert car.value_of(path) == car.body.outside_temperature_c


def test_a_door_left_open_shows_in_the_state() -> None:
    car = VirtualCar(PROFILE, DATABASES, is_asleep=False)
    car.set_opening(Opening.TRUNK, 1.0, is_open=True)
    assert state(car)["open"] == ["trunk"]


def test_resting_voltage_is_what_a_person_says_and_wakes_nobody() -> None:
    """The ladder of the 12 V battery can be walked down by hand; a converter that feeds the battery hides it."""
    car = VirtualCar(PROFILE, DATABASES)
    perform(car, "supply 12.1", 1.0)
    assert (car.is_asleep, state(car)["low_voltage_v"]) == (True, 12.1)
    perform(car, "ignition on", 2.0)
    assert state(car)["low_voltage_v"] == 14.2
    for words in ("supply", "supply low", "supply -1", "supply 26", "supply nan", "supply 12 12"):
        with pytest.raises(CarRefusesError):
            perform(car, words, 3.0)
    assert car.body.resting_v == 12.1
