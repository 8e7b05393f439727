"""The virtual car of every profile that asks answers all its questions while it is awake, and none while it sleeps."""

from __future__ import annotations

import pytest

from agent.bench.car import VirtualCar
from agent.bench.car_body import Ignition
from agent.bench.car_faults import CarFault
from agent.bench.vehicle import load_vehicle
from agent.decode.overheard import ANSWERED, Overheard
from agent.model.frame import Frame
from agent.model.reading import Quality, Reading
from tests.profiles.shipped import VEHICLES, folder, profile

ASKED = [name for name in VEHICLES if profile(name).polls]


def answers(name: str, *, is_asleep: bool = False, fault: CarFault | None = None) -> tuple[Overheard, list[Reading]]:
    """Each question once, with flow control in case there is more; the ignition is on, for one unit can say no more."""
    plan, databases = load_vehicle(folder(name))
    car = VirtualCar(plan, databases, is_asleep=is_asleep, sleep_after_s=1e9)
    car.body.ignition = Ignition.ON
    if fault is not None:
        car.set_fault(fault, 0.0, is_on=True)
    overheard, readings, now_s = Overheard(plan), list[Reading](), 1.0
    for poll in plan.polls:
        for payload in (poll.request, poll.flow_control):
            car.step(now_s)
            car.receive(Frame(poll.bus, poll.request_id, payload, now_s, poll.is_extended_id), now_s)
            now_s += 0.5
            for frame in car.step(now_s):
                readings += overheard.hear(frame)
    return overheard, readings


@pytest.mark.parametrize("name", ASKED)
def test_every_question_of_its_profile_is_answered_with_values(name: str) -> None:
    overheard, readings = answers(name)
    assert {poll: counts[ANSWERED] for poll, counts in overheard.counts.items()} == dict.fromkeys(overheard.counts, 1)
    assert all(reading.quality is Quality.OK for reading in readings)


@pytest.mark.parametrize("name", ASKED)
def test_sr08_a_sleeping_car_answers_nothing_and_is_not_woken_by_a_question(name: str) -> None:
    assert answers(name, is_asleep=True)[1] == []
    assert answers(name, fault=CarFault.BUS_SILENT)[1] == []
