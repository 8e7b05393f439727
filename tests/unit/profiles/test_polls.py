"""`[[polls]]` from text to plan, and every fault with its place."""

from __future__ import annotations

import pytest

from agent.decode.answer import Answers, Unanswered
from agent.profiles.recall import Program, Sources, recalled, sealed
from agent.profiles.schema import Profile
from tests.support.small_car import DBC, HEAD, SIGNALS, faults, parsed, signal_table

GEAR = "Vehicle.Powertrain.Transmission.SelectedGear"
VOLTS = "Vehicle.LowVoltageBattery.CurrentVoltage"
BASE = HEAD + signal_table(GEAR, *SIGNALS[GEAR])
POLL = f"""
[[polls]]
name = "supply"
request_id = 0x6F1
response_id = 0x607
address = 0x07
tester_address = 0xF1
padding = 0xFF
service = 0x22
identifier = 0x1103
period_s = 60.0
lengths = [2]
[[polls.values]]
path = "{VOLTS}"
byte = 1
scale = 0.1
unit = "V"
"""

SECOND = f'[[polls.values]]\npath = "{VOLTS}"\nbyte = 0\nscale = 0.1\nunit = "V"\n'


def test_a_poll_is_compiled_to_its_frames_and_signals() -> None:
    (poll,) = parsed(BASE + POLL).polls
    assert poll.request == bytes.fromhex("07 03 221103 FFFFFF")
    assert poll.flow_control == bytes.fromhex("07 300005 FFFFFFFF")
    assert (poll.address, poll.echo) == (b"\xf1", bytes.fromhex("621103"))
    (signal,) = poll.answers[2]
    assert (signal.path, signal.unit, signal.freshness_s) == (VOLTS, "V", 185.0)


def test_polled_paths_are_paths_of_the_profile_and_may_be_inputs() -> None:
    derived = f'\n[[derived]]\npath = "Vehicle.IsMoving"\nall = [ {{ path = "{VOLTS}", min = 9.0 }} ]\n'
    profile = parsed(BASE + POLL + derived)
    assert profile.paths == (GEAR, VOLTS, "Vehicle.IsMoving")
    assert VOLTS in profile.report_rules


def test_a_profile_recalled_from_its_kept_plan_asks_the_same() -> None:
    text = BASE + POLL
    profile, sources = parsed(text), Sources(text, {"small.dbc": DBC.encode()})
    program = Program("test", b"secret")
    content = sealed(profile, sources, program)
    assert isinstance(content, bytes), content
    found = recalled(content, sources, program)
    assert isinstance(found, Profile)
    assert found.polls == profile.polls
    assert found.send_list == profile.send_list


@pytest.mark.parametrize(
    ("before", "after", "key", "problem"),
    [
        ("response_id = 0x607", "response_id = 0x6F1", "response_id", "the same as request_id"),
        ("response_id = 0x607", "response_id = 0x100", "response_id", "a message with wanted signals"),
        ("request_id = 0x6F1", "request_id = 0x18DADAF1", "request_id", "more than 11 bits"),
        ("tester_address = 0xF1\n", "", "address", "go together"),
        ("service = 0x22", "service = 0x21", "identifier", "more than 8 bits"),
        ("service = 0x22", "service = 0x2E", "service", "does not fit"),
        ("period_s = 60.0", "period_s = 0.1", "period_s", "does not fit"),
        ("period_s = 60.0", "period_s = 60.0\nfreshness_s = 5.0", "freshness_s", "stale before"),
        ("byte = 1", "byte = 2", "values[0].byte", "ends in byte 2"),
        ("byte = 1", "byte = 0\nwhen_length = [3]", "values[0].when_length", "no answer has 3 bytes"),
        ("[[polls.values]]", SECOND + "[[polls.values]]", "values[1].path", "given twice"),
        ("lengths = [2]", "lengths = [2, 3]\nlonger = true", "longer", "tell answers apart"),
        ('unit = "V"', 'unit = "km"', "values[0].unit", "does not convert"),
        ("scale = 0.1", "scales = 0.1", "values[0].scales", "unknown key"),
    ],
)
def test_each_fault_is_told_at_its_place(before: str, after: str, key: str, problem: str) -> None:
    assert POLL.count(before) == 1
    found = faults(BASE + POLL.replace(before, after))
    assert any(fault.key == f"polls[0].{key}" and problem in fault.problem for fault in found), found


def test_nothing_is_asked_for_on_a_bus_that_only_listens() -> None:
    profile = parsed(BASE.replace("silent_after_s", "listen_only = true\nsilent_after_s") + POLL)
    assert profile.send_list == ()
    (poll,) = profile.polls
    assert (poll.is_silent, poll.send_rules) == (True, ())


OBD = """
[buses.obd]
dbc = []
bitrate_bps = 500_000
silent_after_s = 2.0
awake_with = "body"
"""


def test_a_bus_on_which_the_car_only_answers_is_no_bus_that_signals_come_from() -> None:
    profile = parsed(HEAD + OBD + BASE.removeprefix(HEAD) + POLL.replace('"supply"', '"supply"\nbus = "obd"'))
    assert [(bus.name, bus.awake_with) for bus in profile.buses] == [("body", None), ("obd", "body")]
    assert [plan.bus for plan in profile.messages] == ["body"]
    assert {rule.bus for rule in profile.send_list} == {"obd"}


@pytest.mark.parametrize(
    ("before", "after", "key", "problem"),
    [
        ('awake_with = "body"', 'awake_with = "obd"', "buses.obd.awake_with", "no bus on which the car speaks"),
        ('awake_with = "body"', 'awake_with = "bodi"', "buses.obd.awake_with", "no bus on which the car speaks"),
        ('awake_with = "body"\n', "", "buses.obd.dbc", "no file"),
        ("dbc = []", 'dbc = ["small.dbc"]', "buses.obd.dbc", "says nothing by itself"),
    ],
)
def test_a_bus_that_is_awake_with_another_is_checked(before: str, after: str, key: str, problem: str) -> None:
    text = HEAD + OBD.replace(before, after) + BASE.removeprefix(HEAD)
    found = faults(text)
    assert any(fault.key == key and problem in fault.problem for fault in found), found


def test_an_answer_may_have_more_than_it_must_where_the_profile_says_so() -> None:
    (exact,) = parsed(BASE + POLL).polls
    (open_ended,) = parsed(BASE + POLL.replace("lengths = [2]", "lengths = [2]\nlonger = true")).polls
    answer = bytes.fromhex("621103 007B 0102")
    assert Answers(exact).read(answer, 1.0) is Unanswered.WRONG_LENGTH
    found = Answers(open_ended).read(answer, 1.0)
    assert not isinstance(found, Unanswered)
    assert [reading.value for reading in found] == [12.3]
    assert Answers(open_ended).read(answer[:4], 1.0) is Unanswered.WRONG_LENGTH


def test_a_path_may_be_broadcast_and_asked_for_but_not_asked_for_twice() -> None:
    gear = POLL.replace(VOLTS, GEAR).replace('scale = 0.1\nunit = "V"\n', "choices = { 1 = 126 }\n")
    profile = parsed(BASE + gear)
    assert profile.paths == (GEAR,)
    twice = gear.replace('"supply"', '"again"').replace("0x1103", "0x1104")
    assert any("given already" in fault.problem for fault in faults(BASE + gear + twice))


def test_an_answer_is_no_feedback() -> None:
    action = f"""
[actions.lock]
frames = [ {{ message = "Lock", values = {{ Request = "Lock" }} }} ]
repeats_max = 1
interval_s = 1.0
feedback = [ {{ path = "{VOLTS}", equals = 12.0 }} ]
feedback_window_s = 3.0
preconditions = []
"""
    assert any("is asked for" in fault.problem for fault in faults(BASE + POLL + action))


def test_a_value_that_stands_twice_in_one_answer_is_a_fault() -> None:
    value = POLL[POLL.index("[[polls.values]]") :]
    assert any("twice in one answer" in fault.problem for fault in faults(BASE + POLL + value))
