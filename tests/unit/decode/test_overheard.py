"""Answers in a recording: whole ones become readings, whoever asked; broken ones, and those to others, do not."""

from __future__ import annotations

from agent.decode.overheard import ANSWERED, SEGMENT_GAP_S, Overheard
from agent.model.frame import Frame
from tests.support.small_car import HEAD, SIGNALS, parsed, signal_table

GEAR = "Vehicle.Powertrain.Transmission.SelectedGear"
VOLTS = "Vehicle.LowVoltageBattery.CurrentVoltage"
SPEED = "Vehicle.Speed"
POLLS = f"""
[[polls]]
name = "block"
request_id = 0x79B
response_id = 0x7BB
service = 0x21
identifier = 0x01
period_s = 60.0
lengths = [10]
[[polls.values]]
path = "{VOLTS}"
byte = 8
bits = 16
scale = 0.01
unit = "V"

[[polls]]
name = "speed"
request_id = 0x79B
response_id = 0x7BB
service = 0x22
identifier = 0x121A
period_s = 60.0
lengths = [2]
[[polls.values]]
path = "{SPEED}"
byte = 0
bits = 16
scale = 0.1
unit = "km/h"
"""
PROFILE = parsed(HEAD + signal_table(GEAR, *SIGNALS[GEAR]) + POLLS)
# 12.4 V = 1240 × 0.01 = 0x04D8 in the last two of ten bytes.
FIRST, REST = "100C610101020304", "210506070804D800"


def told(*frames: tuple[float, str], heard: Overheard | None = None) -> list[tuple[str, object, float]]:
    overheard = heard or Overheard(PROFILE)
    return [
        (reading.path, reading.value, reading.at_s)
        for at_s, data in frames
        for reading in overheard.hear(Frame("body", 0x7BB, bytes.fromhex(data), at_s))
    ]


def test_an_answer_of_two_frames_is_as_old_as_its_first() -> None:
    assert told((5.0, FIRST), (5.1, REST)) == [(VOLTS, 12.4, 5.0)]


def test_a_short_answer_is_told_at_once_and_each_is_told_from_the_others_by_what_it_echoes() -> None:
    assert told((1.0, "0562121A01450000"), (2.0, FIRST), (2.1, REST), (3.0, "0562121A00000000")) == [
        (SPEED, 32.5, 1.0),
        (VOLTS, 12.4, 2.0),
        (SPEED, 0.0, 3.0),
    ]


def test_what_is_heard_with_another_identifier_is_no_answer() -> None:
    overheard = Overheard(PROFILE)
    frame = Frame("body", 0x7BB, bytes.fromhex("0562121A01450000"), 1.0)
    assert overheard.takes(frame)
    for other in (
        frame._replace(arbitration_id=0x79B),
        frame._replace(bus="other"),
        frame._replace(is_extended_id=True),
        frame._replace(is_fd=True),
    ):
        assert not overheard.takes(other)


def test_a_rest_that_comes_too_late_or_out_of_order_belongs_to_nothing() -> None:
    assert told((5.0, FIRST), (5.0 + SEGMENT_GAP_S + 0.01, REST)) == []
    assert told((5.0, FIRST), (5.1, "22" + REST[2:]), (5.2, REST)) == []
    assert told((5.0, REST)) == []


def test_an_answer_that_broke_off_does_not_spoil_the_next() -> None:
    assert told((5.0, FIRST), (5.2, FIRST), (5.3, REST)) == [(VOLTS, 12.4, 5.2)]
    assert told((5.0, FIRST), (5.2, "0562121A01450000")) == [(SPEED, 32.5, 5.2)]


def test_answers_are_counted_and_those_that_are_none_by_reason() -> None:
    overheard = Overheard(PROFILE)
    told(
        (1.0, "0562121A01450000"),
        (2.0, "0462121A01000000"),
        (3.0, "037F223100000000"),
        (4.0, "0562999901450000"),
        heard=overheard,
    )
    assert {name: dict(counts) for name, counts in overheard.counts.items()} == {
        "block": {},
        "speed": {ANSWERED: 1, "wrong_length": 1},
    }
