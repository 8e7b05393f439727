"""Asking, in virtual time: what is sent and when, what each kind of answer comes to, and that no car is kept awake."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from agent.asking import GAP_S, SETTLE_S, UNUSED_ASKED_S_MAX, Asking
from agent.model.command import Reason
from agent.model.effects import SendFrame
from agent.model.events import FrameNotSent, FrameSent
from agent.model.frame import Frame
from agent.model.reading import Quality, Reading
from agent.pending import Pending
from agent.profiles.schema import Profile
from agent.questions import BACK_OFF_S_MAX, back_off_s
from tests.support.small_car import HEAD, SIGNALS, parsed, signal_table

SOC = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"
VOLTS = "Vehicle.LowVoltageBattery.CurrentVoltage"
GEAR = "Vehicle.Powertrain.Transmission.SelectedGear"
PERIOD_S = 30.0
POLLS = f"""
[[polls]]
name = "charge"
request_id = 0x79B
response_id = 0x7BB
service = 0x21
identifier = 0x01
period_s = {PERIOD_S}
lengths = [10, 12]
[[polls.values]]
path = "{SOC}"
when_length = [10]
byte = 8
bits = 16
scale = 0.01
unit = "percent"
max = 100.0
[[polls.values]]
path = "{SOC}"
when_length = [12]
byte = 10
bits = 16
scale = 0.01
unit = "percent"
max = 100.0

[[polls]]
name = "supply"
request_id = 0x797
response_id = 0x79A
service = 0x22
identifier = 0x1103
period_s = {PERIOD_S}
lengths = [1]
[[polls.values]]
path = "{VOLTS}"
byte = 0
scale = 0.1
unit = "V"
"""


def profile() -> Profile:
    return parsed(HEAD + signal_table(GEAR, *SIGNALS[GEAR]) + POLLS)


@dataclass
class Told:
    """Stands for telemetry: whether the bus is awake is the test's to say."""

    is_awake: bool = True
    is_in_use: bool = False
    readings: list[Reading] = field(default_factory=list)
    known: dict[str, Reading] = field(default_factory=dict)
    reasons: list[tuple[str, str]] = field(default_factory=list)

    def is_asleep(self, bus: str, now_s: float) -> bool:
        return not self.is_awake

    def reading(self, path: str, now_s: float) -> Reading:
        return self.known.get(path, Reading(path, None, None, now_s, Quality.UNKNOWN, "never_received"))

    def answered(self, readings: tuple[Reading, ...], now_s: float) -> None:
        self.readings += readings

    def not_answered(self, paths: tuple[str, ...], reason: str, now_s: float) -> None:
        self.reasons += [(path, str(reason)) for path in paths]


class Bench:
    """A bus with two control units that answer when the test says so."""

    def __init__(self, plan: Profile | None = None) -> None:
        self.now_s = 100.0
        self.told = Told()
        self.command = SimpleNamespace(
            command=None,
            answer_heard=lambda _frame, _now_s: False,
            asks_only_after=lambda _free_at_s: None,
            asks_until_s=lambda _bus: float("-inf"),
        )
        self.pending = Pending(1)
        self.sent: list[tuple[float, Frame]] = []
        self.is_sending = True
        self.asking = Asking(plan or profile(), self.pending, self.told, self.command, self.now_s)  # type: ignore[arg-type]

    def run(self, seconds: float, step_s: float = 0.05) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s - 1e-9:
            self.now_s = round(self.now_s + step_s, 6)
            self.asking.handle_timer(self.now_s)
            self.perform()

    def perform(self) -> None:
        while (effect := self.pending.pop()) is not None:
            if isinstance(effect, SendFrame):
                if self.is_sending and self.asking.may_send(effect.token, self.now_s):
                    self.sent.append((self.now_s, effect.frame))
                    self.asking.frame_told(FrameSent(effect.token, self.now_s), self.now_s)
                else:
                    self.asking.frame_told(FrameNotSent(effect.token, Reason.EXPIRED), self.now_s)

    def answer(self, arbitration_id: int, *texts: str) -> None:
        for text in texts:
            frame = Frame("body", arbitration_id, bytes.fromhex(text), self.now_s)
            assert self.asking.takes(frame, self.now_s)
            self.perform()

    @property
    def requests(self) -> list[str]:
        return [frame.data.hex() for _, frame in self.sent]

    def count(self, poll: str, key: str) -> object:
        return self.asking.status()["polls"][poll].get(key, 0)  # type: ignore[index]


CHARGE, SUPPLY, FLOW = "0221010000000000", "0322110300000000", "3000050000000000"


def asked() -> Bench:
    bench = Bench()
    bench.run(SETTLE_S + 0.1)
    assert bench.requests == [CHARGE]
    return bench


def test_question_that_is_not_on_the_send_list_is_not_asked_sr_01() -> None:
    """Whatever goes wrong between plan and question: here the list is lost once the questions are made."""
    bench = Bench()
    bench.asking._profile = replace(bench.asking._profile, send_list=())
    bench.run(SETTLE_S + 1.0)
    assert bench.sent == []
    assert bench.count("charge", "not_sent") == 1


def test_one_request_is_in_flight_and_the_next_follows_the_answer() -> None:
    bench = asked()
    bench.run(0.9)
    assert bench.requests == [CHARGE]
    bench.answer(0x7BB, "100C610101020304")
    assert bench.requests == [CHARGE, FLOW]
    bench.answer(0x7BB, "2105060708138800")
    (reading,) = bench.told.readings
    assert (reading.path, reading.value, reading.message) == (SOC, 50.0, "charge")
    bench.run(GAP_S + 0.1)
    assert bench.requests == [CHARGE, FLOW, SUPPLY]
    bench.answer(0x79A, "046211037E")
    assert bench.told.readings[-1].value == 12.6
    bench.run(PERIOD_S - 5)
    assert len(bench.sent) == 3
    bench.run(5)
    assert bench.requests[3:] == [CHARGE]


def test_a_value_is_as_old_as_the_first_frame_of_its_answer() -> None:
    bench = asked()
    bench.answer(0x7BB, "100C610101020304")
    first_at_s = bench.now_s
    bench.run(0.5)
    bench.answer(0x7BB, "2105060708138800")
    assert bench.told.readings[0].at_s == first_at_s


def test_sr08_nothing_is_asked_on_a_bus_that_sleeps_and_an_answer_wakes_nobody() -> None:
    bench = Bench()
    bench.told.is_awake = False
    bench.run(100)
    assert not bench.sent
    bench.answer(0x79A, "046211037E")
    bench.run(10)
    assert not bench.sent
    assert not bench.told.readings


def test_sr08_the_frame_is_held_back_if_the_bus_fell_asleep_meanwhile() -> None:
    bench = Bench()
    bench.run(SETTLE_S)
    bench.now_s += 0.1
    bench.asking.handle_timer(bench.now_s)
    bench.told.is_awake = False
    bench.perform()
    assert not bench.sent
    assert (SOC, "not_sent") in bench.told.reasons


def test_sr08_a_car_that_is_only_awake_is_asked_for_ten_minutes_and_again_once_it_drives_or_woke() -> None:
    bench = Bench()
    bench.run(UNUSED_ASKED_S_MAX + 5, step_s=0.5)
    count = len(bench.sent)
    assert count > 2
    bench.run(1000, step_s=0.5)
    assert len(bench.sent) == count
    bench.told.is_in_use = True
    bench.run(30, step_s=0.5)
    assert len(bench.sent) > count
    bench.told.is_in_use = False
    bench.run(UNUSED_ASKED_S_MAX + 60, step_s=0.5)
    count = len(bench.sent)
    bench.told.is_awake = False
    bench.run(10)
    bench.told.is_awake = True
    bench.run(10)
    assert len(bench.sent) > count


def test_a_command_goes_first_and_the_question_is_asked_again_afterwards() -> None:
    bench = asked()
    bench.command.command = SimpleNamespace(action=1)
    bench.run(5)
    bench.answer(0x7BB, "100C610101020304")
    assert bench.requests == [CHARGE]
    bench.command.command = None
    bench.run(1)
    assert bench.requests == [CHARGE, SUPPLY] or bench.requests == [CHARGE, CHARGE]
    assert bench.count("charge", "broken_off") == 1
    assert not bench.told.reasons


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ((), "no_answer"),
        (("037F2131",), "negative_answer"),
        (("046101AABB",), "wrong_length"),
        (("046102AABB",), "wrong_echo"),
        (("100C610101020304", "2205060708138800"), "broken_answer"),
        (("100C610101020304",), "no_answer"),
    ],
)
def test_each_way_not_to_answer_has_its_reason_and_its_count(frames: tuple[str, ...], reason: str) -> None:
    bench = asked()
    bench.answer(0x7BB, *frames)
    bench.run(3)
    assert bench.told.reasons[0] == (SOC, reason)
    assert bench.count("charge", reason) == 1
    assert not bench.told.readings
    assert bench.requests.count(CHARGE) == 1, "not again before its time"


def test_a_foreign_answer_is_passed_over_and_the_right_one_taken() -> None:
    bench = asked()
    bench.answer(0x7BB, "046102AABB", "100C610101020304", "2105060708138800")
    assert [reading.value for reading in bench.told.readings] == [50.0]
    assert bench.count("charge", "foreign") == 1


def test_pending_is_waited_for_but_not_for_ever() -> None:
    bench = asked()
    bench.run(0.8)
    bench.answer(0x7BB, "037F2178")
    bench.run(4)
    bench.answer(0x7BB, "100C610101020304", "2105060708138800")
    assert [reading.value for reading in bench.told.readings] == [50.0]
    bench = asked()
    for _ in range(30):
        if bench.told.reasons:
            break
        bench.answer(0x7BB, "037F2178")
        bench.run(1)
    assert bench.told.reasons == [(SOC, "pending")]
    assert bench.now_s < 100 + SETTLE_S + 22


def test_a_busy_control_unit_is_asked_again_at_once_three_times() -> None:
    bench = asked()
    for _ in range(10):
        if bench.requests[-1] == CHARGE:
            bench.answer(0x7BB, "037F2121")
        elif bench.requests[-1] == SUPPLY:
            bench.answer(0x79A, "046211037E")
        bench.run(0.6)
    assert bench.requests.count(CHARGE) == 4
    assert (SOC, "busy") in bench.told.reasons


def test_what_is_not_answered_is_asked_ever_less_often() -> None:
    assert [back_off_s(30.0, failures) for failures in (1, 2, 3)] == [60.0, 120.0, 240.0]
    assert back_off_s(30.0, 1000) == BACK_OFF_S_MAX
    assert back_off_s(3600.0, 5) == 3600.0


def test_answers_to_another_tester_give_nothing() -> None:
    bench = Bench()
    bench.answer(0x7BB, "100C610101020304", "2105060708138800")
    assert not bench.told.readings
    assert bench.asking.status()["unasked"] == {"body": 2}


def test_sr01_where_the_link_only_listens_nothing_is_asked_and_the_values_say_so() -> None:
    bench = Bench(replace(profile(), send_list=()))
    bench.run(100)
    assert not bench.sent
    assert dict(bench.told.reasons) == {SOC: "listen_only", VOLTS: "listen_only"}


def test_sr01_requests_and_flow_control_are_on_the_send_list_and_nothing_else() -> None:
    found = {(rule.arbitration_id, rule.value.hex(), rule.mask.hex()) for rule in profile().send_list}
    assert found == {
        (0x79B, CHARGE, "ff" * 8),
        (0x79B, FLOW, "ff" * 8),
        (0x797, SUPPLY, "ff" * 8),
        (0x797, FLOW, "ff" * 8),
    }


LEVER = f"""
[[polls]]
name = "lever"
request_id = 0x797
response_id = 0x79A
service = 0x22
identifier = 0x1156
period_s = {PERIOD_S}
lengths = [1]
[[polls.values]]
path = "{GEAR}"
byte = 0
choices = {{ 1 = 126, 4 = 127 }}
"""
ASK_LEVER = "0322115600000000"


def test_what_the_car_says_by_itself_is_asked_for_only_while_it_does_not() -> None:
    bench = Bench(parsed(HEAD + signal_table(GEAR, *SIGNALS[GEAR]) + LEVER))
    bench.told.known[GEAR] = Reading(GEAR, 126, None, 100.0, Quality.OK, None, "Motion")
    bench.run(3 * PERIOD_S)
    assert bench.requests == []
    bench.told.known[GEAR] = Reading(GEAR, None, None, 190.0, Quality.INVALID, "no_meaning", "Motion")
    bench.run(PERIOD_S)
    assert bench.requests == [ASK_LEVER]


def test_what_is_only_known_from_an_answer_is_asked_for_again() -> None:
    bench = Bench(parsed(HEAD + signal_table(GEAR, *SIGNALS[GEAR]) + LEVER))
    bench.run(SETTLE_S + 1)
    bench.answer(0x79A, "0462115604000000")
    bench.told.known[GEAR] = Reading(GEAR, 127, None, bench.now_s, Quality.OK, None, "lever")
    bench.run(PERIOD_S)
    assert bench.requests == [ASK_LEVER, ASK_LEVER]


def test_where_the_installation_has_no_such_bus_nothing_is_asked_and_the_values_say_so() -> None:
    bench = Bench(replace(profile(), buses=()))
    bench.run(100)
    assert not bench.sent
    assert dict(bench.told.reasons) == {SOC: "not_wired", VOLTS: "not_wired"}
