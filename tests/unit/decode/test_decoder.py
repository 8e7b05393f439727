"""Frames to readings: which frames are wanted, what a value is, and when there is none (SR-05)."""

from __future__ import annotations

import math
import struct

import pytest

from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.model.reading import Quality, Reading, Value
from tests.support.small_car import BATTERY, DBC, HEAD, VECTORS, frame, parsed, signal_table, small_profile_text

MOTION = VECTORS[0][2]


def one(text: str, sent: Frame, dbc: str = DBC) -> Reading:
    """The only reading of one frame by a profile of one signal."""
    (reading,) = Decoder(parsed(text, dbc)).receive(sent)
    return reading


def found(reading: Reading) -> tuple[Value | None, str, str | None]:
    return reading.value, reading.quality.value, reading.reason


def speed(further: str) -> str:
    return HEAD + signal_table("Vehicle.Speed", "Motion", "Speed", further)


def test_frames_nobody_wants_give_nothing_and_are_not_counted() -> None:
    decoder = Decoder(parsed(small_profile_text()))
    payload = bytes.fromhex(MOTION)
    for unwanted in (
        Frame("body", 257, payload),
        Frame("body", 256, payload, is_extended_id=True),
        Frame("elsewhere", 256, payload),
        Frame("body", 0x18FF1234, payload),
        Frame("body", 256 | 0x8000_0000, payload, is_extended_id=True),
    ):
        assert decoder.receive(unwanted) == ()
    assert all(counts.received == 0 for counts in decoder.counts.values())


def test_the_same_identifier_standard_and_extended_are_two_messages() -> None:
    dbc = DBC.replace("BO_ 2566853172 Battery", "BO_ 2147483904 Battery").replace("2566853172", "2147483904")
    decoder = Decoder(parsed(small_profile_text(), dbc))
    assert {r.message for r in decoder.receive(frame(256, MOTION))} == {"Motion"}
    assert {r.message for r in decoder.receive(frame(256, VECTORS[1][2], is_extended_id=True))} == {"Battery"}


def test_an_invalid_marker_is_no_value() -> None:
    reading = one(speed("invalid = [0xFFFF]"), frame(256, "FFFF" + MOTION[4:]))
    assert found(reading) == (None, "invalid", "invalid_marker")


def test_a_signed_invalid_marker_is_written_as_the_signed_raw_value() -> None:
    text = HEAD + signal_table("Vehicle.Exterior.AirTemperature", "Motion", "Outside", "invalid = [-512]")
    assert found(one(text, frame(256, "0000000200000000"))) == (None, "invalid", "invalid_marker")


@pytest.mark.parametrize(
    ("raw", "value"), [(999, None), (1000, 10.0), (2000, 20.0), (2001, None)], ids=["below", "min", "max", "above"]
)
def test_limits_are_inclusive_and_beyond_them_there_is_no_value(raw: int, value: float | None) -> None:
    reading = one(speed("min = 10.0\nmax = 20.0"), frame(256, f"{raw:04X}" + MOTION[4:]))
    expected = (value, "ok", None) if value is not None else (None, "invalid", "out_of_range")
    assert found(reading) == expected


def test_a_value_that_its_datatype_cannot_hold_is_out_of_range() -> None:
    dbc = DBC.replace("Odometer : 39|20@0+ (0.1,0)", "Odometer : 39|20@0- (0.1,0)")
    text = HEAD + signal_table("Vehicle.TraveledDistance", "Motion", "Odometer")
    assert found(one(text, frame(256, "00000000FFFFF000"), dbc)) == (None, "invalid", "out_of_range")


def test_a_raw_value_without_an_entry_in_the_choices_has_no_meaning() -> None:
    path = "Vehicle.Powertrain.Transmission.SelectedGear"
    text = HEAD + signal_table(path, "Motion", "Gear", 'choices = { Drive = 127, "3" = -1 }\ninvalid = [7]')
    values = [found(one(text, frame(256, f"000000{gear << 2:02X}00000000"))) for gear in (5, 3, 4, 7)]
    assert values == [
        (127, "ok", None),
        (-1, "ok", None),
        (None, "invalid", "no_meaning"),
        (None, "invalid", "invalid_marker"),
    ]


def test_a_boolean_of_one_bit_without_names_needs_no_choices() -> None:
    text = HEAD + signal_table("Vehicle.Carshare.CentralLock.IsLocked", "Lock", "IsLocked")
    assert one(text, frame(768, "00000100")).value is True
    assert one(text, frame(768, "00000000")).value is False


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_float_that_is_not_finite_is_no_value(number: float) -> None:
    text = HEAD + signal_table(f"{BATTERY}.StateOfCharge.CurrentEnergy", "Wide", "Energy")
    payload = bytes(8).hex() + struct.pack("<d", number).hex()
    assert found(one(text, frame(512, payload))) == (None, "invalid", "invalid_marker")


def test_a_float_that_overflows_when_it_is_converted_is_out_of_range() -> None:
    dbc = DBC.replace('64|64@1- (1,0) [0|0] "kWh"', '64|64@1- (1e300,0) [0|0] "kWh"')
    text = HEAD + signal_table(f"{BATTERY}.StateOfCharge.CurrentEnergy", "Wide", "Energy")
    assert found(one(text, frame(512, bytes(8).hex() + struct.pack("<d", 1e300).hex()), dbc))[2] == "out_of_range"


def test_numbers_print_as_a_person_would_write_them() -> None:
    dbc = DBC.replace("7|16@0+ (0.01,0)", "7|16@0+ (0.1,0)")
    texts = [repr(one(speed(""), frame(256, f"{raw:04X}" + "00" * 6), dbc).value) for raw in (3, 7, 11, 1234)]
    assert texts == ["0.3", "0.7", "1.1", "123.4"]


def test_units_are_converted_once_here() -> None:
    dbc = DBC.replace('"km/h"', '"m/s"')
    assert one(speed(""), frame(256, "03E8" + MOTION[4:]), dbc).value == 36.0
    assert one(speed('unit = "mph"'), frame(256, "03E8" + MOTION[4:]), dbc).value == pytest.approx(16.09344, abs=1e-9)


UNIT_BY = HEAD + signal_table(
    "Vehicle.TraveledDistance",
    "Motion",
    "Odometer",
    'unit_by = { message = "Lock", signal = "Miles", units = { 0 = "km", 1 = "mi" } }',
)


def test_without_its_unit_a_value_is_unknown_until_the_unit_came() -> None:
    """SR-05: a number whose unit is not known is no value."""
    decoder = Decoder(parsed(UNIT_BY))
    (before,) = decoder.receive(frame(256, MOTION, 1.0))
    assert (before.value, before.quality, before.reason) == (None, Quality.UNKNOWN, "unit_unknown")
    assert decoder.receive(frame(768, "00000000", 2.0)) == ()
    (in_km,) = decoder.receive(frame(256, MOTION, 3.0))
    assert (in_km.value, in_km.unit, in_km.at_s) == (54_321_000, "m", 3.0)
    decoder.receive(frame(768, "00000200", 4.0))
    (in_miles,) = decoder.receive(frame(256, MOTION, 5.0))
    assert in_miles.value == round(54_321 * 1609.344)


def test_a_unit_the_profile_does_not_know_is_unknown() -> None:
    text = UNIT_BY.replace(', 1 = "mi"', "")
    decoder = Decoder(parsed(text))
    decoder.receive(frame(768, "00000200"))
    (reading,) = decoder.receive(frame(256, MOTION))
    assert found(reading) == (None, "unknown", "unit_unknown")


def test_a_refused_frame_chooses_no_unit() -> None:
    decoder = Decoder(parsed(UNIT_BY))
    assert decoder.receive(frame(768, "000000")) == ()
    (reading,) = decoder.receive(frame(256, MOTION))
    assert reading.reason == "unit_unknown"


@pytest.mark.hazard("H106")
def test_an_unknown_multiplexer_value_gives_no_multiplexed_reading_and_is_counted() -> None:
    """SR-05, H106: what no page is known for is not guessed from another page's layout."""
    decoder = Decoder(parsed(small_profile_text()))
    readings = decoder.receive(frame(0x18FF1234, "0040C643030000FF", is_extended_id=True))
    assert [reading.path for reading in readings] == [f"{BATTERY}.CurrentVoltage"]
    assert decoder.counts["Battery"].unknown_selector == 1
    decoder.receive(frame(0x18FF1234, VECTORS[2][2], is_extended_id=True))
    assert decoder.counts["Battery"].unknown_selector == 1


def test_a_page_the_dbc_knows_and_the_profile_does_not_want_is_not_counted_as_unknown() -> None:
    text = HEAD + signal_table(f"{BATTERY}.CurrentCurrent", "Battery", "Current")
    decoder = Decoder(parsed(text))
    assert decoder.receive(frame(0x18FF1234, VECTORS[2][2], is_extended_id=True)) == ()
    assert decoder.counts["Battery"].unknown_selector == 0


def test_an_unchanged_frame_gives_the_same_readings_at_the_new_time() -> None:
    decoder = Decoder(parsed(small_profile_text()))
    first = decoder.receive(frame(256, MOTION, 1.0))
    second = decoder.receive(frame(256, MOTION, 2.0))
    assert [reading._replace(at_s=2.0) for reading in first] == list(second)


def test_a_change_of_one_bit_is_seen_in_every_wanted_bit() -> None:
    """What is remembered of an unchanged payload must not hide a changed one."""
    profile = parsed(small_profile_text())
    for arbitration_id, is_extended_id, payload, _ in VECTORS:
        size_bits = len(payload) * 4
        sound = int(payload, 16)
        reused = Decoder(profile)
        for bit in range(size_bits):
            for changed in (sound, sound ^ 1 << bit):
                sent = frame(arbitration_id, f"{changed:0{len(payload)}X}", float(bit), is_extended_id=is_extended_id)
                assert reused.receive(sent) == Decoder(profile).receive(sent)


def test_a_frame_longer_than_its_message_is_read_like_one_of_its_length() -> None:
    for arbitration_id, is_extended_id, payload, values in VECTORS:
        sent = frame(arbitration_id, payload + "A5C3", is_extended_id=is_extended_id)
        read = {reading.path: reading.value for reading in Decoder(parsed(small_profile_text())).receive(sent)}
        assert read == values


def test_pages_are_remembered_apart() -> None:
    decoder = Decoder(parsed(small_profile_text()))
    pages = [VECTORS[1][2], VECTORS[2][2], VECTORS[1][2], VECTORS[2][2]]
    read = [
        {reading.path: reading.value for reading in decoder.receive(frame(0x18FF1234, page, 1.0, is_extended_id=True))}
        for page in pages
    ]
    assert read == [VECTORS[1][3], VECTORS[2][3]] * 2


NESTED = """VERSION ""
NS_ :
BS_:
BU_: Car Agent

BO_ 256 Cells: 8 Car
 SG_ Module M : 0|8@1+ (1,0) [0|0] "" Agent
 SG_ Kind m1M : 8|8@1+ (1,0) [0|0] "" Agent
 SG_ CellMin m0 : 16|16@1+ (0.001,0) [0|0] "V" Agent
 SG_ CellMax m1 : 16|16@1+ (0.001,0) [0|0] "V" Agent
 SG_ Average m2 : 16|16@1+ (0.1,0) [0|0] "V" Agent

SG_MUL_VAL_ 256 Kind Module 1-1;
SG_MUL_VAL_ 256 CellMin Kind 0-0, 4-5;
SG_MUL_VAL_ 256 CellMax Kind 1-1;
SG_MUL_VAL_ 256 Average Module 2-3;
"""


def test_extended_multiplexing_needs_every_multiplexer_to_agree() -> None:
    text = (
        HEAD
        + signal_table(f"{BATTERY}.CellVoltage.Min", "Cells", "CellMin", "freshness_s = 1.0")
        + signal_table(f"{BATTERY}.CellVoltage.Max", "Cells", "CellMax", "freshness_s = 1.0")
        + signal_table(f"{BATTERY}.CurrentVoltage", "Cells", "Average", "freshness_s = 1.0")
    )
    decoder = Decoder(parsed(text, NESTED))
    read = {
        (module, kind): [
            (reading.path.removeprefix(f"{BATTERY}."), reading.value)
            for reading in decoder.receive(frame(256, f"{module:02X}{kind:02X}A00F00000000"))
        ]
        for module in range(5)
        for kind in range(7)
    }
    lowest, highest, average = ("CellVoltage.Min", 4.0), ("CellVoltage.Max", 4.0), ("CurrentVoltage", 400.0)
    expected = {(1, 0): [lowest], (1, 4): [lowest], (1, 5): [lowest], (1, 1): [highest]}
    expected |= {(module, kind): [average] for module in (2, 3) for kind in range(7)}
    assert {key: value for key, value in read.items() if value} == expected
    assert decoder.counts["Cells"].unknown_selector == 2 * 7  # modules 0 and 4
