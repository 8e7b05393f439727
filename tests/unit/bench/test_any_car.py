"""The virtual car of every profile: what it puts on the buses is read back as what is true of it.

Values are made raw value by raw value with the decoder's tables, set by hand, sent by the car (cantools places the
bits) and read by the decoder from the frames.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping
from functools import cache

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agent.bench.car import VirtualCar
from agent.bench.car_body import Opening
from agent.bench.vehicle import load_vehicle
from agent.decode.decoder import Decoder
from agent.decode.meaning import Meaning, meaning_of, meanings_by_unit
from agent.model.reading import Quality, Reading, Value
from agent.profiles.database import MessageDatabase
from agent.profiles.message_spec import raw_range
from agent.profiles.parse import parse_profile
from agent.profiles.schema import Profile, SignalPlan
from tests.profiles.shipped import VEHICLES, files, folder, profile_text

SEEN_AFTER_S = 24.0
"""Two of the slowest message, and what its values have to stand for."""

NOT_TOLD = {
    ("bmw_i3", "Vehicle.Body.Trunk.Rear.IsOpen", True),
    ("bmw_i3", "Vehicle.Powertrain.Transmission.SelectedGear", 127),
}
"""What a car is, and its profile has no raw value for."""


@cache
def vehicle(name: str) -> tuple[Profile, Mapping[str, MessageDatabase]]:
    return load_vehicle(folder(name))


def awake(name: str) -> VirtualCar:
    return VirtualCar(*vehicle(name), is_asleep=False, sleep_after_s=1e9)


def read_back(car: VirtualCar, name: str, until_s: float = SEEN_AFTER_S) -> dict[str, Reading]:
    """The last reading of each path, from the frames alone; at most so long until each has come with a value."""
    profile = vehicle(name)[0]
    decoder = Decoder(profile)
    paths = {plan.path for message in profile.messages for plan in message.signals}
    second, readings = until_s - SEEN_AFTER_S, dict[str, Reading]()
    while second < until_s and not (second > until_s - SEEN_AFTER_S + 2 and paths <= known(readings)):
        second += 1.0
        for frame in car.step(second):
            readings.update({reading.path: reading for reading in decoder.receive(frame)})
    return readings


def known(readings: Mapping[str, Reading]) -> set[str]:
    return {path for path, reading in readings.items() if reading.value is not None}


def meaning(plan: SignalPlan, raw: int) -> Meaning:
    """Of a unit that depends on another signal, the first."""
    if plan.unit_choice is not None:
        return next(iter(meanings_by_unit(plan).values()))(raw)
    return meaning_of(plan)(raw)


def drawn(profile: Profile, chance: random.Random) -> dict[str, Value]:
    """A value for every path that comes in frames, those that share bits fitting together."""
    values: dict[str, Value] = {}
    for message in profile.messages:
        for name in dict.fromkeys(plan.signal for plan in message.signals):
            plans = [plan for plan in message.signals if plan.signal == name]
            low, high = raw_range(plans[0].field)
            choices = [*(plans[0].choices or ())]
            while True:
                raw = chance.choice(choices) if choices else chance.choice(EDGES)(low, high, chance)
                if plans[0].field.is_float:
                    raw = float_raw(chance)
                meanings = [meaning(plan, raw) for plan in plans]
                if all(quality is Quality.OK for _, quality, _ in meanings):
                    break
            values |= {
                plan.path: value for plan, (value, _, _) in zip(plans, meanings, strict=True) if value is not None
            }
    return values


EDGES = (
    lambda low, high, chance: chance.randint(low, high),
    lambda low, high, chance: chance.randint(max(low, 0), min(high, 300)),
    lambda low, high, chance: chance.choice((low, low + 1, high - 1, high)),
)


def float_raw(chance: random.Random) -> int:
    """The bits of 0 to 150 in steps that single precision holds."""
    return int.from_bytes(struct.pack("<f", chance.randint(0, 1200) / 8), "little")


@pytest.mark.parametrize("name", VEHICLES)
@settings(deadline=None, max_examples=6, phases=[Phase.reuse, Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_every_value_a_profile_can_read_is_sent_as_that_value(name: str, seed: int) -> None:
    car = awake(name)
    wanted = drawn(vehicle(name)[0], random.Random(seed))  # noqa: S311 - for a test
    car.shown.update(wanted)
    told = read_back(car, name)
    assert {path: told[path].value for path in wanted} == wanted


def test_a_unit_of_another_zero_is_turned_back_too() -> None:
    text = profile_text("demo_hatchback")
    was = 'signal = "OutsideTemperature"\nunit = "celsius"'
    assert was in text
    parsed = parse_profile(text.replace(was, was.replace("celsius", "degF")), files("demo_hatchback"), source="")
    assert isinstance(parsed, Profile), parsed
    car = VirtualCar(parsed, vehicle("demo_hatchback")[1], is_asleep=False)
    car.body.outside_temperature_c = -3.0  # 26.6 °F
    decoder = Decoder(parsed)
    told = [reading.value for frame in car.step(2.0) for reading in decoder.receive(frame) if "AirTemp" in reading.path]
    assert told[-1] == pytest.approx(-3.0)


def test_polls_are_answered_with_what_is_true() -> None:
    for name in VEHICLES:
        car = VirtualCar(*vehicle(name))
        unknown = {
            plan.path for poll in vehicle(name)[0].polls for plan in poll.signals if car.value_of(plan.path) is None
        }
        assert unknown == set()


def truths(car: VirtualCar, name: str) -> dict[str, Value | None]:
    return {plan.path: car.value_of(plan.path) for message in vehicle(name)[0].messages for plan in message.signals}


def is_told(plan: SignalPlan, reading: Reading, true: Value) -> bool:
    """Whether a reading is what is true, as finely as the signal says it."""
    if isinstance(true, bool | str) or plan.choices is not None or isinstance(reading.value, bool | str | None):
        return reading.value == true
    unit_factor = max(plan.unit_choice.factors.values()) if plan.unit_choice else plan.unit_factor
    step = 0.001 if plan.field.is_float else abs(plan.scale * unit_factor)
    rounding = 0.0 if plan.digits is None else 10.0**-plan.digits
    return abs(reading.value - true) <= step * 0.501 + rounding


def scene(name: str, what: str) -> VirtualCar:
    car = awake(name)
    match what:
        case "open":
            car.press_key_fob(0.0, is_locked=False)
            for opening in Opening:
                car.set_opening(opening, 0.0, is_open=True)
        case "driving":
            car.press_key_fob(0.0, is_locked=False)
            car.step(2.0)
            car.drive(50_000, 2.0)
        case "charging":
            car.charge(0.0)
    return car


@pytest.mark.parametrize("what", ["parked", "open", "driving", "charging"])
@pytest.mark.parametrize("name", VEHICLES)
def test_what_is_true_of_the_car_is_read_from_its_frames(name: str, what: str) -> None:
    car = scene(name, what)
    read_back(car, name)
    told, true = read_back(car, name, 2 * SEEN_AFTER_S), truths(car, name)
    plans = {plan.path: plan for message in vehicle(name)[0].messages for plan in message.signals}
    moves = (
        {"Vehicle.TraveledDistance", "Vehicle.Powertrain.TractionBattery.CurrentCurrent"}
        if what == "driving"
        else set()
    )
    for path, plan in plans.items():
        value = true[path]
        assert value is not None, f"the car has nothing to say of {path}"
        if (name, path, value) in NOT_TOLD:
            assert told[path].value is None
        elif path not in moves:
            assert is_told(plan, told[path], value), (path, told[path], value)
    if "Vehicle.Speed" in plans and what == "driving":
        assert told["Vehicle.Speed"].value == pytest.approx(50, abs=1.0)
