"""Every shipped profile that asks, against control units that answer: all its polls, in virtual time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import SimpleNamespace

import pytest

from agent.asking import Asking
from agent.bench.car_diagnostics import CarDiagnostics, DiagnosticFault
from agent.model.effects import SendFrame
from agent.model.events import FrameSent
from agent.model.frame import Frame
from agent.model.reading import Quality, Reading, Value
from agent.pending import Pending
from agent.policy.sending import is_on_send_list
from agent.profiles.schema import PollPlan, Profile, SignalPlan
from agent.questions import BACK_OFF_S_MAX
from agent.state.tracker import Tracker
from tests.profiles.shipped import VEHICLES, profile

STEP_S = 0.01
ROUND_S = 30.0
"""As long as it takes to ask for everything once; no profile has so many polls that it takes longer."""

ASKING = [name for name in VEHICLES if any(not poll.is_silent for poll in profile(name).polls)]
SILENT = [name for name in VEHICLES if profile(name).polls and name not in ASKING]


def one_value(signal: SignalPlan) -> Value:
    """A value that the signal can have and that is neither its least nor its first."""
    if signal.choices is not None:
        return list(signal.choices.values())[-1]
    least, most = signal.minimum, signal.maximum
    low = 0.0 if least is None else least
    high = low + 100 * signal.scale * signal.unit_factor if most is None or most > 1e9 else most
    raw = round(((low + (high - low) * 0.75 - signal.unit_offset) / signal.unit_factor - signal.offset) / signal.scale)
    value = round((raw * signal.scale + signal.offset) * signal.unit_factor + signal.unit_offset, signal.digits or 0)
    return value if signal.datatype in ("float", "double") else int(value)


@dataclass
class Told:
    """Stands for telemetry: the state is real, whether a bus is awake is the test's to say."""

    profile: Profile
    is_awake: bool = True
    is_in_use: bool = True
    tracker: Tracker = field(init=False)
    reasons: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.profile)

    def is_asleep(self, bus: str, now_s: float) -> bool:
        return not self.is_awake

    def reading(self, path: str, now_s: float) -> Reading:
        return self.tracker.reading(path, now_s)

    def answered(self, readings: tuple[Reading, ...], now_s: float) -> None:
        self.tracker.answer(readings)

    def not_answered(self, given: Iterable[str], reason: str, now_s: float) -> None:
        paths = tuple(given)
        self.tracker.excuse(paths, reason, now_s)
        self.reasons.update(dict.fromkeys(paths, str(reason)))


class Car:
    """A car that answers and its agent's asking half; `in_flight` is told at each request."""

    def __init__(self, vehicle: Profile, lengths: dict[str, int] | None = None) -> None:
        self.profile = vehicle
        self.values = {signal.path: one_value(signal) for poll in vehicle.polls for signal in poll.signals}
        self.diagnostics = CarDiagnostics(vehicle, self.values.get, lengths)
        self.told = Told(vehicle)
        self.pending = Pending(1)
        self.now_s = 100.0
        self.sent: list[tuple[float, Frame]] = []
        self.answered: list[tuple[float, Frame]] = []
        acting = SimpleNamespace(
            command=None,
            answer_heard=lambda _frame, _now_s: False,
            asks_only_after=lambda _free_at_s: None,
            asks_until_s=lambda _bus: float("-inf"),
        )
        self.asking = Asking(vehicle, self.pending, self.told, acting, self.now_s)  # type: ignore[arg-type]

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now_s = round(self.now_s + STEP_S, 6)
            self.asking.handle_timer(self.now_s)
            self._perform()
            for frame in self.diagnostics.step(self.now_s):
                self.answered.append((self.now_s, frame))
                assert self.asking.takes(frame, self.now_s)
                self._perform()

    def sleep(self) -> None:
        self.told.is_awake = False
        self.diagnostics.fall_asleep()

    def _perform(self) -> None:
        while (effect := self.pending.pop()) is not None:
            if isinstance(effect, SendFrame) and self.asking.may_send(effect.token, self.now_s):
                assert is_on_send_list(effect.frame, self.profile.send_list)  # SR-01
                self.sent.append((self.now_s, effect.frame))
                self.asking.frame_told(FrameSent(effect.token, self.now_s), self.now_s)
                self.diagnostics.receive(effect.frame, self.now_s)

    def requests(self, poll: PollPlan) -> list[float]:
        asked = (poll.bus, poll.request_id, poll.request)
        return [at_s for at_s, frame in self.sent if (frame.bus, frame.arbitration_id, frame.data) == asked]


def lengths_of(vehicle: Profile) -> list[dict[str, int]]:
    """Each length of each answer once."""
    most = max(len(poll.answers) for poll in vehicle.polls)
    return [
        {poll.name: sorted(poll.answers)[turn % len(poll.answers)] for poll in vehicle.polls} for turn in range(most)
    ]


@pytest.mark.parametrize("vehicle", ASKING)
def test_all_polls_of_a_profile_are_answered_to_the_values_that_the_car_has(vehicle: str) -> None:
    for lengths in lengths_of(profile(vehicle)):
        car = Car(profile(vehicle), lengths)
        car.run(ROUND_S)
        for poll in car.profile.polls:
            assert car.requests(poll), poll.name
            places = set()
            for signal in poll.answers[lengths[poll.name]]:
                reading = car.told.reading(signal.path, car.now_s)
                assert reading.quality is Quality.OK, signal.path
                # Of two that are read in one place the first says what stands there.
                assert reading.value == car.values[signal.path] or signal.field in places, signal.path
                places.add(signal.field)


@pytest.mark.parametrize("vehicle", ASKING)
def test_on_a_bus_one_request_is_in_flight_at_most(vehicle: str) -> None:
    car = Car(profile(vehicle))
    car.run(ROUND_S)
    for bus in {poll.bus for poll in car.profile.polls}:
        requests = [at_s for at_s, frame in car.sent if frame.bus == bus and not is_flow_control(frame, car.profile)]
        answers = [at_s for at_s, frame in car.answered if frame.bus == bus]
        for asked_s, next_s in pairwise(requests):
            assert any(asked_s < at_s < next_s for at_s in answers)


@pytest.mark.parametrize("vehicle", ASKING)
def test_sr08_nothing_is_asked_once_the_bus_sleeps_and_what_was_known_grows_old(vehicle: str) -> None:
    car = Car(profile(vehicle))
    car.run(ROUND_S)
    car.sleep()
    before = len(car.sent)
    car.run(120.0)
    assert len(car.sent) == before
    freshness_s = max(signal.freshness_s for poll in car.profile.polls for signal in poll.signals)
    late_s = car.now_s + freshness_s
    assert not any(car.told.reading(path, late_s).quality is Quality.OK for path in car.values)


@pytest.mark.parametrize("vehicle", ASKING)
def test_each_refusal_and_silence_is_a_reason_and_the_others_are_asked_on(vehicle: str) -> None:
    car = Car(profile(vehicle))
    names = [poll.name for poll in car.profile.polls]
    faults = (DiagnosticFault.SILENT, DiagnosticFault.REFUSES, DiagnosticFault.PENDING)
    car.diagnostics.faults.update(zip(names, faults, strict=False))
    car.run(2 * ROUND_S)
    assert [car.asking.status()["polls"][name]["last_failure"] for name in names[:3]] == [  # type: ignore[index]
        "no_answer",
        "negative_answer",
        None,
    ]
    for poll in car.profile.polls[2:]:
        assert all(
            car.told.reading(signal.path, car.now_s).quality is Quality.OK for signal in poll.answers[min(poll.answers)]
        )


@pytest.mark.parametrize("vehicle", SILENT)
def test_sr01_a_profile_whose_bus_only_listens_asks_for_nothing_and_says_so(vehicle: str) -> None:
    car = Car(profile(vehicle))
    car.run(BACK_OFF_S_MAX / 10)
    assert not car.sent
    assert set(car.told.reasons.values()) == {"listen_only"}


@pytest.mark.parametrize("vehicle", [name for name in ASKING if any(bus.awake_with for bus in profile(name).buses)])
def test_where_the_diagnostic_socket_is_not_wired_nothing_is_asked_on_it(vehicle: str) -> None:
    plan = profile(vehicle)
    car = Car(replace(plan, buses=tuple(bus for bus in plan.buses if bus.awake_with is None)))
    car.run(ROUND_S)
    assert not car.sent
    assert set(car.told.reasons.values()) == {"not_wired"}


def is_flow_control(frame: Frame, vehicle: Profile) -> bool:
    return frame.data in {poll.flow_control for poll in vehicle.polls}
