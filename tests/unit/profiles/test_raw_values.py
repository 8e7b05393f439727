"""Raw values as a profile writes them, singly and in ranges."""

from __future__ import annotations

import pytest

from agent.decode.decoder import Decoder
from tests.support.small_car import DBC, HEAD, faults, frame, parsed, signal_table

OUTSIDE = "Vehicle.Exterior.AirTemperature"
GEAR = "Vehicle.Powertrain.Transmission.SelectedGear"


@pytest.mark.parametrize(("raw", "value"), [
    (0xFFFB, 655.31), (0xFFFC, None), (0xFFFD, None), (0xFFFF, None), (0, None), (9, 0.09), (10, None), (12, None),
    (13, 0.13),
])  # fmt: skip
def test_ranges_stand_beside_values_and_hold_both_their_ends(raw: int, value: float | None) -> None:
    further = 'invalid = [0, "0xFFFC..0xFFFF", "10 .. 12"]'
    (reading,) = Decoder(parsed(HEAD + signal_table("Vehicle.Speed", "Motion", "Speed", further))).receive(
        frame(256, f"{raw:04X}000000000000")
    )
    assert (reading.value, reading.reason) == (value, None if value is not None else "invalid_marker")


def test_a_range_of_a_signed_signal_is_signed() -> None:
    decoder = Decoder(parsed(HEAD + signal_table(OUTSIDE, "Motion", "Outside", 'invalid = ["-512..-510"]')))
    for raw, is_marker in ((-512, True), (-510, True), (-509, False), (0, False)):
        payload = ((raw & 0x3FF) << 16).to_bytes(8, "little")
        (reading,) = decoder.receive(frame(256, payload.hex()))
        assert (reading.reason == "invalid_marker") is is_marker


def test_a_range_goes_before_the_choices() -> None:
    further = 'choices = { Drive = 127, Park = 126 }\ninvalid = ["5..7"]'
    decoder = Decoder(parsed(HEAD + signal_table(GEAR, "Motion", "Gear", further)))
    reasons = [decoder.receive(frame(256, f"000000{gear << 2:02X}00000000"))[0].reason for gear in (4, 5, 7, 3)]
    assert reasons == [None, "invalid_marker", "invalid_marker", "no_meaning"]


def test_a_word_may_be_a_range_of_raw_values() -> None:
    further = 'choices = { "0..2" = 126, Drive = 127 }'
    decoder = Decoder(parsed(HEAD + signal_table(GEAR, "Motion", "Gear", further)))
    values = [decoder.receive(frame(256, f"000000{gear << 2:02X}00000000"))[0].value for gear in range(4)]
    assert values == [126, 126, 126, None]


@pytest.mark.parametrize(("choices", "problem"), [
    ('"0..64" = 126', "raw value 64 does not fit Gear"),
    ('"0..256" = 126', "too many raw values"),
    ('"0..2" = 126, "2" = 127', "raw value 2 stands here twice"),
])  # fmt: skip
def test_a_range_of_choices_that_the_signal_cannot_have_is_a_fault(choices: str, problem: str) -> None:
    found = faults(HEAD + signal_table(GEAR, "Motion", "Gear", f"choices = {{ {choices} }}"))
    assert any(problem in fault.problem for fault in found), found


def test_a_range_holds_what_the_dbc_has_a_word_for() -> None:
    dbc = DBC.replace("VAL_ 768", 'VAL_ 256 Speed 65534 "Fault" 65535 "NotAvailable" ;\nVAL_ 768')
    assert parsed(HEAD + signal_table("Vehicle.Speed", "Motion", "Speed", 'invalid = ["0xFFFE..0xFFFF"]'), dbc)


@pytest.mark.parametrize(("invalid", "problem"), [
    ('"5"', "'5' is no range of raw values"),
    ('"7..5"', "'7..5' is no range of raw values"),
    ('"5..x"', "'5..x' is no range of raw values"),
    ('"5...7"', "'5...7' is no range of raw values"),
    ('"0..0x10000"', "raw value 65536 does not fit Speed"),
    ('"-1..1"', "raw value -1 does not fit Speed"),
    ('"' + "9" * 500 + '..1"', "is no range of raw values"),
])  # fmt: skip
def test_what_is_no_range_of_this_signal_is_a_fault(invalid: str, problem: str) -> None:
    (fault,) = faults(HEAD + signal_table("Vehicle.Speed", "Motion", "Speed", f"invalid = [{invalid}]"))
    assert (fault.key, problem in fault.problem) == ("signals[0].invalid", True)


def test_a_limit_for_jumps_needs_to_know_for_how_long_one_must_stand() -> None:
    (fault,) = faults(HEAD + signal_table("Vehicle.Speed", "Motion", "Speed", "max_step = 5.0"))
    assert (fault.key, fault.problem) == ("signals[0].settle_s", "missing beside max_step")
    (fault,) = faults(
        HEAD + signal_table(GEAR, "Motion", "Gear", 'choices = { "4" = 126 }\nmax_step = 1.0\nsettle_s = 1.0')
    )
    assert fault.key == "signals[0].max_step"
    (signal,) = (
        parsed(HEAD + signal_table("Vehicle.Speed", "Motion", "Speed", "max_step = 5.0\nsettle_s = 1.0"))
        .messages[0]
        .signals
    )
    assert signal.settle is not None
    assert (signal.settle.settle_s, signal.settle.step_max) == (1.0, 5.0)
