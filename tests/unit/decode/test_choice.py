"""Values that count only under a condition in another signal (SR-05)."""

from __future__ import annotations

import pytest

from agent.decode.decoder import Decoder
from agent.model.reading import Reading
from agent.model.reception import MessageId
from agent.profiles.watches import watches
from tests.support.small_car import DBC, HEAD, VECTORS, faults, frame, parsed, signal_table

MOTION = VECTORS[0][2]
SPEED = "Vehicle.Speed"
ELSEWHERE = 'valid_when = { message = "Lock", signal = "Request", values = ["Lock", 1] }'
WITHIN = 'valid_when = { message = "Motion", signal = "Gear", values = ["Drive"] }'


def found(reading: Reading) -> tuple[object, str, str | None]:
    return reading.value, reading.quality.value, reading.reason


def request(raw: int, at_s: float) -> Decoder:
    decoder = Decoder(parsed(HEAD + signal_table(SPEED, "Motion", "Speed", ELSEWHERE)))
    decoder.receive(frame(768, f"00{raw << 4:02X}0000", at_s))
    return decoder


def test_until_the_condition_was_seen_the_value_is_unknown() -> None:
    decoder = Decoder(parsed(HEAD + signal_table(SPEED, "Motion", "Speed", ELSEWHERE)))
    (reading,) = decoder.receive(frame(256, MOTION))
    assert found(reading) == (None, "unknown", "condition_unknown")


@pytest.mark.parametrize(("raw", "expected"), [
    (0, (None, "invalid", "condition_unmet")),
    (1, (369.21, "ok", None)),
    (2, (369.21, "ok", None)),
    (3, (None, "invalid", "condition_unmet")),
])  # fmt: skip
def test_the_value_counts_under_the_values_named_and_no_other(raw: int, expected: tuple[object, ...]) -> None:
    (reading,) = request(raw, 1.0).receive(frame(256, MOTION, 1.1))
    assert found(reading) == expected


def test_a_condition_that_changes_later_changes_an_unchanged_value() -> None:
    decoder = request(1, 1.0)
    values = []
    for number, raw in enumerate((1, 0, 2)):
        decoder.receive(frame(768, f"00{raw << 4:02X}0000", 1.0 + number / 10))
        values += [reading.value for reading in decoder.hear(frame(256, MOTION, 1.05 + number / 10))[1]]
    assert values == [369.21, None, 369.21]


def test_a_condition_may_lie_in_the_same_message() -> None:
    decoder = Decoder(parsed(HEAD + signal_table(SPEED, "Motion", "Speed", WITHIN)))
    (in_drive,) = decoder.receive(frame(256, MOTION, 1.0))
    (in_park,) = decoder.receive(frame(256, MOTION[:6] + f"{4 << 2:02X}" + MOTION[8:], 1.1))
    assert (in_drive.value, found(in_park)) == (369.21, (None, "invalid", "condition_unmet"))


@pytest.mark.parametrize(("raw", "reason"), [
    (99, "condition_unmet"), (100, None), (250, None), (300, None), (301, "condition_unmet"), (400, None),
])  # fmt: skip
def test_a_condition_may_be_a_range_and_of_the_signal_itself(raw: int, reason: str | None) -> None:
    within = 'valid_when = { message = "Motion", signal = "Speed", values = ["100..300", 400] }'
    decoder = Decoder(parsed(HEAD + signal_table(SPEED, "Motion", "Speed", within)))
    (reading,) = decoder.receive(frame(256, f"{raw:04X}" + MOTION[4:]))
    assert reading.reason == reason
    assert (reading.value is None) is (reason is not None)


def test_a_condition_and_a_unit_chosen_elsewhere_both_hold() -> None:
    unit_by = 'unit_by = { message = "Lock", signal = "Miles", units = { 0 = "km", 1 = "mi" } }'
    further = f"{unit_by}\n{WITHIN}"
    decoder = Decoder(parsed(HEAD + signal_table("Vehicle.TraveledDistance", "Motion", "Odometer", further)))
    assert found(decoder.receive(frame(256, MOTION, 1.0))[0])[2] == "unit_unknown"
    decoder.receive(frame(768, "00000000", 1.0))
    assert decoder.receive(frame(256, MOTION, 1.1))[0].value == 54_321_000
    in_park = MOTION[:6] + f"{4 << 2:02X}" + MOTION[8:]
    assert decoder.receive(frame(256, in_park, 1.2))[0].reason == "condition_unmet"


@pytest.mark.parametrize(("text", "key"), [
    (ELSEWHERE.replace('"Lock", 1', '"Loc"'), "valid_when.values"),
    (ELSEWHERE.replace('"Lock", 1', "4"), "valid_when.values"),
    (ELSEWHERE.replace('"Lock", 1', '"1..4"'), "valid_when.values"),
    (ELSEWHERE.replace('"Lock", 1', '"3..1"'), "valid_when.values"),
    (ELSEWHERE.replace("Request", "Requets"), "valid_when.signal"),
    (ELSEWHERE.replace('message = "Lock"', 'message = "Look"'), "valid_when.message"),
    ('valid_when = { message = "Battery", signal = "Health", values = [1] }', "valid_when.signal"),
])  # fmt: skip
def test_a_condition_that_cannot_be_looked_up_is_a_fault(text: str, key: str) -> None:
    assert any(
        f"signals[0].{key}" == fault.key for fault in faults(HEAD + signal_table(SPEED, "Motion", "Speed", text))
    )


def test_one_identifier_means_on_each_bus_what_that_bus_says() -> None:
    """The same identifier and payload on two buses with layouts of their own."""
    other = DBC.replace("Speed : 7|16@0+ (0.01,0)", "Speed : 7|15@0+ (0.5,0)")
    head = HEAD + '\n[buses.front]\ndbc = ["front.dbc"]\nbitrate_bps = 500_000\nfd = true\nsilent_after_s = 2.0\n'
    text = head + signal_table(SPEED, "Motion", "Speed", 'bus = "body"')
    text += signal_table("Vehicle.AverageSpeed", "Motion", "Speed", 'bus = "front"')
    decoder = Decoder(parsed(text, files={"small.dbc": DBC.encode(), "front.dbc": other.encode()}))
    on_body = decoder.receive(frame(256, MOTION))
    on_front = decoder.receive(frame(256, MOTION)._replace(bus="front"))
    assert [(each.path, each.value, each.message) for each in (*on_body, *on_front)] == [
        (SPEED, 369.21, "body.Motion"),
        ("Vehicle.AverageSpeed", (0x9039 >> 1) * 0.5, "front.Motion"),
    ]


TWO_BUSES = HEAD + '\n[buses.front]\ndbc = ["front.dbc"]\nbitrate_bps = 500_000\nfd = true\nsilent_after_s = 2.0\n'
ALSO_ON = '\n[[messages]]\nbus = "body"\nmessage = "Motion"\nalso_on = ["front"]\n'
OTHER_DBC = DBC.replace("BO_ 256 Motion", "BO_ 257 Motion").replace("VAL_ 256", "VAL_ 257")


def test_a_message_may_come_on_another_bus_in_some_cars_of_a_series() -> None:
    text = TWO_BUSES + ALSO_ON + signal_table(SPEED, "Motion", "Speed", 'bus = "body"')
    profile = parsed(text, files={"small.dbc": DBC.encode(), "front.dbc": OTHER_DBC.encode()})
    for bus in ("body", "front"):
        (reading,) = Decoder(profile).receive(frame(256, MOTION)._replace(bus=bus))
        assert reading.value == 369.21
        (watch,) = watches(profile, bus)
        assert (watch.message, watch.masks) == (MessageId(bus, 256, False), (bytes.fromhex("ffff000000000000"),))


def test_where_it_comes_on_both_the_newest_frame_counts() -> None:
    text = TWO_BUSES + ALSO_ON + signal_table(SPEED, "Motion", "Speed", 'bus = "body"')
    decoder = Decoder(parsed(text, files={"small.dbc": DBC.encode(), "front.dbc": OTHER_DBC.encode()}))
    slow, fast = frame(256, "0001" + MOTION[4:], 1.0), frame(256, MOTION, 1.1)._replace(bus="front")
    assert [decoder.receive(each)[0].value for each in (slow, fast, slow._replace(received_at_s=1.2))] == [
        0.01,
        369.21,
        0.01,
    ]


@pytest.mark.parametrize(("also_on", "other", "key"), [
    ('["body"]', OTHER_DBC, "also_on"),
    ('["front"]', DBC, "also_on"),
    ('["rear"]', OTHER_DBC, "bus"),
])  # fmt: skip
def test_a_bus_where_the_identifier_means_something_else_is_refused(also_on: str, other: str, key: str) -> None:
    text = TWO_BUSES + ALSO_ON.replace('["front"]', also_on) + signal_table(SPEED, "Motion", "Speed", 'bus = "body"')
    (fault,) = faults(text, files={"small.dbc": DBC.encode(), "front.dbc": other.encode()})
    assert fault.key == f"messages[0].{key}"
