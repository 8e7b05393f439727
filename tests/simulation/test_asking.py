"""Asking by the whole engine, on the virtual car with a control unit beside it."""

from __future__ import annotations

import json

from agent.bench.car_diagnostics import DiagnosticFault
from agent.model.command import Action, Stage
from agent.model.effects import Effect, SendFrame
from agent.model.reading import Quality
from tests.support.control_unit import CYCLES, PERIOD_S, REQUEST_ID, ControlUnit, asked_car
from tests.support.pair import Pair


class Asked:
    """A car and its agent; the control unit's frames reach the agent after each turn."""

    def __init__(self, *, is_asleep: bool = False) -> None:
        self.unit: ControlUnit | None = ControlUnit(4711)
        self.heard = 0
        self.pair = Pair(profile=asked_car(), is_asleep=is_asleep)
        # The virtual car's own control unit leaves the answers to the one beside it.
        self.pair.car.diagnostics.faults |= {poll.name: DiagnosticFault.SILENT for poll in asked_car().polls}

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.pair.run(0.05)
            new, self.heard = self.pair.sent[self.heard :], len(self.pair.sent)
            for frame in new:
                for answer in self.unit.hear(frame, self.pair.now_s) if self.unit else ():
                    self.pair.engine.receive_frame(answer, self.pair.now_s)
                    self.pair.perform()

    @property
    def questions(self) -> int:
        return sum(frame.arbitration_id == REQUEST_ID for frame in self.pair.sent)

    def reading(self) -> dict[str, object]:
        document = json.loads(json.dumps(self.pair.engine.status(self.pair.now_s)))
        found: dict[str, object] = document["readings"][CYCLES]
        return found


def test_a_value_that_is_asked_for_is_a_reading_like_any_other() -> None:
    car = Asked()
    assert car.reading()["reason"] == "never_received"
    car.run(3)
    assert (car.reading()["value"], car.reading()["quality"]) == (4711, "ok")
    assert car.unit is not None
    assert len(car.unit.requests_s) == 1
    car.run(3 * PERIOD_S)
    assert len(car.unit.requests_s) in (3, 4)


def test_sr08_nothing_is_asked_of_a_sleeping_car_and_its_value_grows_old() -> None:
    car = Asked(is_asleep=True)
    car.run(60)
    assert car.questions == 0
    car = Asked()
    car.run(5)
    car.pair.car.sleep(car.pair.now_s)
    car.run(3)
    before = car.questions
    car.run(60)
    assert car.questions == before
    assert car.reading()["quality"] == Quality.STALE.value


def test_sr08_answers_alone_do_not_make_a_bus_awake() -> None:
    car = Asked()
    car.run(3)
    car.pair.car.sleep(car.pair.now_s)
    assert car.unit is not None
    request = next(frame for frame in car.pair.sent if frame.arbitration_id == REQUEST_ID)
    for _ in range(40):  # another tester asks all the time, and the control unit answers it
        car.run(0.25)
        for frame in car.unit.hear(request, car.pair.now_s):
            car.pair.engine.receive_frame(frame, car.pair.now_s)
    assert car.pair.engine.status(car.pair.now_s)["buses"] == {"body": "asleep"}


def test_a_silent_control_unit_is_told_of_with_its_reason() -> None:
    car = Asked()
    car.unit = None
    car.run(5)
    reading = car.reading()
    assert (reading["value"], reading["quality"], reading["reason"]) == (None, "unknown", "no_answer")
    car.run(60)
    assert car.questions <= 4


def test_an_unlock_is_carried_out_while_a_question_is_in_flight() -> None:
    car = Asked()
    car.unit = None
    car.run(1.2)
    assert car.questions == 1
    during: list[int] = []

    def watch(pair: Pair, effect: Effect) -> None:
        if isinstance(effect, SendFrame) and pair.engine.is_commanding:
            during.append(effect.frame.arbitration_id)

    car.pair.before_effect = watch
    assert car.pair.ask(Action.UNLOCK).stage is Stage.VERIFIED
    assert REQUEST_ID not in during
