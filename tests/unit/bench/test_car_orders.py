"""The virtual car told what to do by diagnostic requests: what it answers, byte by byte, and what it does."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from agent.bench.car import CarEvent, VirtualCar
from agent.bench.car_diagnostics import ANSWER_AFTER_S
from agent.bench.car_faults import CarFault
from agent.bench.car_orders import SESSION_S
from agent.model.frame import Frame
from agent.profiles.database import MessageDatabase
from agent.profiles.parse import parse_profile
from agent.profiles.schema import Profile
from tests.profiles.shipped import files, profile_text
from tests.profiles.smart_453_acting import acting_text
from tests.support.control_unit import POLL

SESSION, LOCK, UNLOCK = "02 10 C0 00 00 00 00 00", "04 30 01 00 00 00 00 00", "04 30 01 00 01 00 00 00"
LOCATE = "04 30 08 20 02 00 00 00"
IN_SESSION, TOLD = "02 50 C0 00 00 00 00 00", "02 70 01 00 00 00 00 00"
NOT_IN_SESSION, NOT_NOW = "03 7F 30 7F 00 00 00 00", "03 7F 30 22 00 00 00 00"

ROUTINES = """
[actions.enable_drive]
exchange = { request_id = 0x6F1, response_id = 0x640, address = 0x40, tester_address = 0xF1, requests = [
  { send = [0x31, 0x01, 0x02], answer = [0x71, 0x01, 0x02] },
  { send = [0x31, 0x01, 0x03], answer = [0x71, 0x01, 0x03] },
] }
repeats_max = 1
interval_s = 1.0
feedback = []
preconditions = []
"""


def demo(further: str) -> str:
    """The demo car, whose immobiliser is released by requests in place of frames."""
    text, count = re.subn(r"(?ms)^\[actions\.enable_drive\].*?(?=^\[)", "", profile_text("demo_hatchback"))
    assert count == 1
    return text + further


class OnTheBus:
    """An awake car of one bus, and what follows from a frame alone."""

    def __init__(self, name: str, text: str, *, request_id: int) -> None:
        profile = parse_profile(text, files(name), source="profile.toml")
        database = MessageDatabase.load(files(name))
        assert isinstance(profile, Profile), profile
        assert isinstance(database, MessageDatabase), database
        (bus,) = profile.buses
        self.car = VirtualCar(profile, {bus.name: database}, is_asleep=False, sleep_after_s=1e9)
        self._answers = {request.response_id for recipe in profile.recipes.values() for request in recipe.requests}
        self._bus, self._request_id = bus.name, request_id
        self.now_s = 0.0
        self.car.drain_events()

    def says(self, data: str) -> list[str]:
        """What is answered within P2 of the standard."""
        self.car.receive(Frame(self._bus, self._request_id, bytes.fromhex(data)), self.now_s)
        self.now_s += ANSWER_AFTER_S
        frames = self.car.step(self.now_s)
        return [frame.data.hex(" ").upper() for frame in frames if frame.arbitration_id in self._answers]

    def says_each(self, *payloads: str) -> list[list[str]]:
        return [self.says(data) for data in payloads]

    def waits(self, seconds: float) -> Sequence[CarEvent]:
        """Let time pass; what happened."""
        self.now_s += seconds
        self.car.step(self.now_s)
        return self.car.drain_events()


def smart() -> OnTheBus:
    return OnTheBus("smart_453", acting_text(), request_id=0x745)


def test_recipe_of_the_readme_unlocks_in_its_order_once_however_often_it_presses() -> None:
    on_bus = smart()
    assert on_bus.says_each(SESSION, *5 * [UNLOCK]) == [[IN_SESSION], *5 * [[TOLD]]]
    events = on_bus.waits(1.0)
    assert [event.name for event in events] == ["lock_request", "lock_moved"]
    assert events[0].fields == {"count": 1, "request": "unlock"}
    assert not on_bus.car.lock.is_locked
    assert on_bus.says_each(SESSION, LOCK) == [[IN_SESSION], [TOLD]]
    on_bus.waits(1.0)
    assert on_bus.car.lock.is_locked


def test_indicators_are_asked_for_in_the_same_session() -> None:
    on_bus = smart()
    assert on_bus.says_each(SESSION, LOCATE, UNLOCK) == [[IN_SESSION], ["02 70 08 00 00 00 00 00"], [TOLD]]
    on_bus.waits(1.0)
    assert (on_bus.car.lamps.flashes_seen, on_bus.car.lock.is_locked) == (1, False)


@pytest.mark.parametrize("before", ["", "late", "asleep"])
def test_what_acts_is_refused_without_a_session_and_moves_nothing(before: str) -> None:
    on_bus = smart()
    if before:
        on_bus.says(SESSION)
    if before == "late":
        on_bus.waits(SESSION_S + 0.1)
    if before == "asleep":
        on_bus.car.sleep(on_bus.now_s)
        on_bus.car.rouse(on_bus.now_s)
        on_bus.waits(1.0)
    assert on_bus.says(UNLOCK) == [NOT_IN_SESSION]
    on_bus.waits(1.0)
    assert on_bus.car.lock.is_locked
    assert on_bus.car.lock_requests_seen == 0


def test_sleeping_car_answers_nothing_and_is_not_woken_sr_08() -> None:
    on_bus = smart()
    on_bus.car.sleep(on_bus.now_s)
    assert on_bus.says_each(SESSION, UNLOCK) == [[], []]
    assert on_bus.car.is_asleep


@pytest.mark.parametrize(
    ("fault", "answers", "opens"),
    [
        (CarFault.LOCK_REFUSES, [[IN_SESSION], [NOT_NOW]], False),
        (CarFault.LOCK_IGNORES, [[IN_SESSION], [TOLD]], False),
        (CarFault.LOCK_BLOCKED, [[IN_SESSION], [TOLD]], False),
        (CarFault.LOCK_SILENT, [[IN_SESSION], [TOLD]], True),
        (CarFault.LOCK_DEAD, [[IN_SESSION], []], False),
        (CarFault.BUS_SILENT, [[], []], False),
        (CarFault.IMMOBILISER_REFUSES, [[IN_SESSION], [TOLD]], True),
        (CarFault.IMMOBILISER_DEAD, [[IN_SESSION], [TOLD]], True),
    ],
)
def test_each_fault_shows_on_the_wire(fault: CarFault, answers: list[list[str]], opens: bool) -> None:
    on_bus = smart()
    on_bus.car.set_fault(fault, 0.0, is_on=True)
    assert on_bus.says_each(SESSION, UNLOCK) == answers
    on_bus.waits(1.0)
    assert on_bus.car.lock.is_locked is not opens
    on_bus.car.set_fault(fault, on_bus.now_s, is_on=False)
    assert on_bus.says_each(SESSION, UNLOCK) == [[IN_SESSION], [TOLD]]


def test_routines_behind_an_address_act_with_the_last_one_and_in_their_order() -> None:
    on_bus = OnTheBus("demo_hatchback", demo(ROUTINES), request_id=0x6F1)
    on_bus.car.switch_immobiliser(0.0, is_drive_enabled=False)
    on_bus.waits(1.0)
    first, second = "40 03 31 01 02 00 00 00", "40 03 31 01 03 00 00 00"
    assert on_bus.says(second) == ["F1 03 7F 31 24 00 00 00"]
    assert on_bus.says("41 03 31 01 02 00 00 00") == []
    assert on_bus.says(first) == ["F1 03 71 01 02 00 00 00"]
    assert [event.name for event in on_bus.waits(1.0)] == []
    assert on_bus.says(second) == ["F1 03 71 01 03 00 00 00"]
    assert [event.name for event in on_bus.waits(1.0)] == ["drive_request", "immobiliser_changed"]
    assert on_bus.car.immobiliser.is_drive_enabled
    on_bus.car.set_fault(CarFault.IMMOBILISER_REFUSES, on_bus.now_s, is_on=True)
    assert on_bus.says(first) == ["F1 03 7F 31 22 00 00 00"]


def test_unit_that_is_also_asked_for_a_value_answers_both() -> None:
    exchange = ROUTINES.replace("0x6F1", "0x740").replace("0x640", "0x760")
    exchange = exchange.replace("address = 0x40, tester_address = 0xF1, ", "")
    on_bus = OnTheBus("demo_hatchback", demo(POLL + exchange), request_id=0x740)
    assert on_bus.says("03 31 01 02 00 00 00 00") == ["03 71 01 02 00 00 00 00"]
    on_bus.car.show("Vehicle.Carshare.IgnitionCycles", 4711, on_bus.now_s)
    assert on_bus.says("03 22 C0 DE 00 00 00 00") == ["10 0B 62 C0 DE 00 00 00"]
    assert on_bus.says("03 31 01 03 00 00 00 00") == ["03 71 01 03 00 00 00 00"]
    assert on_bus.says("02 10 03 00 00 00 00 00") == ["03 7F 10 11 00 00 00 00"]
