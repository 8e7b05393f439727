"""Payload codecs: what is encoded is read back the same, and always fits an envelope."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.command.envelope import MessageKind, open_unverified, seal
from agent.command.payloads import (
    Hello,
    decode_command,
    decode_hello,
    decode_ping,
    decode_result,
    encode_command,
    encode_hello,
    encode_ping,
    encode_result,
)
from agent.model.command import Answer, Condition, ConditionAnswer, Evidence, Executed, Reason, Stage
from agent.model.events import ClockTrust
from agent.model.reading import Quality, Value
from tests.support.envelopes import CAR, COMMAND_KID, HELLO, NONCE, PING, UNLOCK, VEHICLE_KEY, VERIFIED

LONGEST_PATH = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed.Of.A.Very.Long.Branch"


def piece(value: Value | None, quality: Quality = Quality.OK) -> Evidence:
    return Evidence("Vehicle.Speed", value, quality, 10, "MotionStatus")


def told(value: Value | None) -> Evidence:
    """The evidence the other end reads."""
    raw = seal(MessageKind.RES, encode_result(replace(VERIFIED, evidence=(piece(value),))), VEHICLE_KEY, CAR)
    envelope = open_unverified(MessageKind.RES, raw)
    assert envelope is not None
    return decode_result(envelope.payload).evidence[0]


def test_command_is_read_back() -> None:
    full = replace(UNLOCK, parameters={1: "both"}, ref=bytes(8))
    assert decode_command(encode_command(UNLOCK)) == UNLOCK
    assert decode_command(encode_command(full)) == full


def test_absent_fields_take_no_key() -> None:
    assert encode_command(UNLOCK).keys() == set(range(1, 9))
    assert encode_hello(replace(HELLO, unix_s=None, nonce=None)).keys() == {1, 2, 3, 4, 5, 6, 8, 9, 11}
    assert encode_result(replace(VERIFIED, evidence=(), event_sequence=None)).keys() == {*range(1, 10), 12}


VALUES: list[Value] = [True, 0.0, -1.5e-300, 2**70, "OFF", 80.5]
EVERY_CONDITION = tuple(
    ConditionAnswer(condition, Answer.YES, value, 86_400_000)
    for condition, value in zip(Condition, VALUES * 2, strict=False)
)


def told_conditions(*conditions: ConditionAnswer) -> tuple[ConditionAnswer, ...]:
    """The conditions the other end reads, all the evidence there may be beside them."""
    evidence = (replace(piece(0.1), path=LONGEST_PATH),) * 8
    result = replace(VERIFIED, evidence=evidence, conditions=conditions)
    envelope = open_unverified(MessageKind.RES, seal(MessageKind.RES, encode_result(result), VEHICLE_KEY, CAR))
    assert envelope is not None
    return decode_result(envelope.payload).conditions


def test_conditions_are_read_back_and_come_before_evidence() -> None:
    assert len(EVERY_CONDITION) == len(Condition)
    assert told_conditions(*EVERY_CONDITION) == EVERY_CONDITION


def test_longest_conditions_fit_an_envelope() -> None:
    """A text too long for it is left out, and its answer stays."""
    longest = tuple(replace(each, value="ß" * 32, age_ms=2**53) for each in EVERY_CONDITION)
    assert told_conditions(*longest) == longest
    (told_one,) = told_conditions(replace(EVERY_CONDITION[0], answer=Answer.NO, value="x" * 33))
    assert (told_one.answer, told_one.value) == (Answer.NO, None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_condition_that_hangs_on_no_number_is_unknown(value: float) -> None:
    """SR-05"""
    (told_one,) = told_conditions(replace(EVERY_CONDITION[0], value=value))
    assert (told_one.answer, told_one.value) == (Answer.UNKNOWN, None)


def test_ping_is_read_back() -> None:
    assert decode_ping(encode_ping(PING)) == PING


@pytest.mark.parametrize(
    "hello",
    [
        HELLO,
        replace(HELLO, counters={}, unix_s=None, nonce=None, clock_trust=ClockTrust.FLOOR_ONLY),
        replace(HELLO, counters={b"\x02\x00\x00\x00": 5, b"\x01\x00\x00\x00": 2**53 - 1}, time_nonce=NONCE),
    ],
)
def test_hello_is_read_back(hello: Hello) -> None:
    envelope = open_unverified(MessageKind.HELLO, seal(MessageKind.HELLO, encode_hello(hello), VEHICLE_KEY, CAR))
    assert envelope is not None
    assert decode_hello(envelope.payload) == hello


def test_hello_addresses_the_key_it_has_counters_of() -> None:
    assert encode_hello(HELLO)[5] == [[COMMAND_KID, 1]]


def test_result_is_read_back() -> None:
    rejected = replace(
        VERIFIED,
        stage=Stage.REJECTED,
        reason=Reason.DOOR_OPEN,
        executed=Executed.NO,
        evidence=(piece(None, Quality.STALE), piece(None, Quality.INVALID), piece(None, Quality.UNKNOWN), piece(True)),
        event_sequence=None,
        is_degraded=True,
    )
    for result in (VERIFIED, rejected):
        assert decode_result(encode_result(result)) == result


def test_degraded_is_absent_unless_true() -> None:
    """A12: who does not look for it must not miss it by reading a false as good news."""
    assert 13 not in encode_result(VERIFIED)
    assert encode_result(replace(VERIFIED, is_degraded=True))[13] is True


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 0.1, -12.5, 102.3, 1e-7, 5.0, 1234567.891, 1e22, 1.7976931348623157e308, 5e-324, 1 / 3]
)
def test_float_goes_through_exactly_without_a_float_on_the_wire(value: float) -> None:
    assert told(value).value == value


@pytest.mark.parametrize("value", [0, -7, 2**63 - 1, True, False, "Unlocked", "", None])
def test_other_values_keep_their_type(value: Value | None) -> None:
    found = told(value).value
    assert found == value and type(found) is type(value)


def test_integer_beyond_64_bit_is_told_in_the_precision_of_a_float() -> None:
    assert told(2**64 - 1).value == float(2**64)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_not_told_as_a_value(value: float) -> None:
    """SR-05."""
    assert (told(value).value, told(value).quality) == (None, Quality.INVALID)


@pytest.mark.parametrize("mantissa", [2**62, -(2**62)])
def test_evidence_beyond_every_double_is_read_as_invalid(mantissa: int) -> None:
    """SR-05: a car may sign an exponent that no value of its own could have."""
    payload = encode_result(VERIFIED)
    payload[10] = [{1: "Vehicle.Speed", 2: mantissa, 3: 0, 4: 10, 5: "MotionStatus", 6: 400}]
    envelope = open_unverified(MessageKind.RES, seal(MessageKind.RES, payload, VEHICLE_KEY, CAR))
    assert envelope is not None
    assert decode_result(envelope.payload).evidence == (piece(None, Quality.INVALID),)


def test_age_is_never_negative() -> None:
    result = replace(VERIFIED, evidence=(replace(piece(0), age_ms=-3),))
    assert decode_result(encode_result(result)).evidence[0].age_ms == 0


def test_at_most_eight_pieces_of_evidence_are_told_the_first_ones() -> None:
    result = replace(VERIFIED, evidence=tuple(piece(number) for number in range(9)))
    assert [entry.value for entry in decode_result(encode_result(result)).evidence] == list(range(8))


@pytest.mark.parametrize("length", [*range(60, 130), 900, 2000])
def test_result_with_much_evidence_still_fits_and_keeps_the_first(length: int) -> None:
    pieces = tuple(Evidence(LONGEST_PATH, "x" * length, Quality.OK, 10, f"Message{number}") for number in range(6))
    payload = encode_result(replace(VERIFIED, evidence=pieces))
    raw = seal(MessageKind.RES, payload, VEHICLE_KEY, CAR)
    kept = decode_result(payload).evidence
    assert kept == pieces[: len(kept)]
    assert len(raw) <= 1024
    if length >= 900:
        assert kept == () and 10 not in payload


def test_no_evidence_is_left_out_that_would_fit() -> None:
    """One byte of text more or less is the difference between five pieces and four."""
    sizes = {}
    for length in range(60, 130):
        pieces = tuple(Evidence(LONGEST_PATH, "x" * length, Quality.OK, 10, "Message") for _ in range(6))
        payload = encode_result(replace(VERIFIED, evidence=pieces))
        sizes[len(decode_result(payload).evidence)] = len(seal(MessageKind.RES, payload, VEHICLE_KEY, CAR))
    assert max(sizes.values()) > 1010
