"""One `[[signals]]` table: what it compiles to, and what it must not say."""

from __future__ import annotations

import pytest

from agent.model.reading import Value
from agent.model.use import Pace, VehicleUse
from agent.profiles.schema import SignalPlan
from agent.profiles.signals import fits_datatype
from tests.support.small_car import BATTERY, DBC, HEAD, faults, parsed, signal_table

GEAR = "Vehicle.Powertrain.Transmission.SelectedGear"
LOCKED = "Vehicle.Carshare.CentralLock.IsLocked"


def plan(path: str, message: str, signal: str, further: str = "", dbc: str = DBC) -> SignalPlan:
    profile = parsed(HEAD + signal_table(path, message, signal, further), dbc)
    return next(signal for message in profile.messages for signal in message.signals)


def test_a_signal_is_compiled_to_its_vss_unit() -> None:
    speed = plan("Vehicle.Speed", "Motion", "Speed")
    assert (speed.unit, speed.unit_factor, speed.unit_offset, speed.digits) == ("km/h", 1.0, 0.0, 2)
    distance = plan("Vehicle.TraveledDistance", "Motion", "Odometer")
    assert (distance.unit, distance.unit_factor, distance.digits) == ("m", 1000.0, 0)
    assert (distance.minimum, distance.maximum) == (0, 2**32 - 1)


@pytest.mark.parametrize(
    ("scale", "offset", "digits"),
    [("1", "0", 0), ("0.1", "0", 1), ("0.5", "-40", 1), ("0.1", "-0.05", 2), ("1e-12", "0", 12), ("0.03125", "0", 5)],
)
def test_digits_hold_every_value_exactly(scale: str, offset: str, digits: int) -> None:
    dbc = DBC.replace("7|16@0+ (0.01,0)", f"7|16@0+ ({scale},{offset})")
    assert plan("Vehicle.Speed", "Motion", "Speed", dbc=dbc).digits == digits


def test_digits_of_a_step_without_end_are_a_thousandth_of_it_or_finer() -> None:
    digits = plan("Vehicle.Speed", "Motion", "Speed", dbc=DBC.replace("(0.01,0)", "(0.0277777777777777,0)")).digits
    assert digits is not None
    assert 5 <= digits <= 9


def test_a_float_is_not_rounded() -> None:
    assert plan(f"{BATTERY}.CurrentVoltage", "Battery", "Voltage").digits is None


def test_reports_have_the_defaults_of_the_format() -> None:
    speed, locked = plan("Vehicle.Speed", "Motion", "Speed").report, plan(LOCKED, "Lock", "IsLocked").report
    assert (speed.deadband, speed.interval_s_min, speed.is_event) == (0.0, 1.0, False)
    assert (locked.deadband, locked.interval_s_min, locked.is_event) == (0.0, 1.0, True)
    silent = plan(LOCKED, "Lock", "IsLocked", "report = { interval_s = 5.0, event = false }").report
    assert (silent.interval_s_min, silent.is_event) == (5.0, False)


def test_choices_are_looked_up_by_name_or_raw_value() -> None:
    gear = plan(GEAR, "Motion", "Gear", 'choices = { Drive = 127, "0x3" = 0, "4" = 126 }')
    assert gear.choices == {5: 127, 3: 0, 4: 126}


def test_a_name_that_stands_for_several_raw_values_is_all_of_them() -> None:
    twice = DBC.replace('5 "Drive" 4 "Park"', '5 "Drive" 6 "Drive" 4 "Park"')
    assert plan(GEAR, "Motion", "Gear", "choices = { Drive = 127 }", twice).choices == {5: 127, 6: 127}


def test_choices_of_a_float_are_floats() -> None:
    path = "Vehicle.Powertrain.TractionBattery.Charging.ChargeRate"
    choices = plan(path, "Motion", "Gear", "choices = { Drive = 11, Park = 0.5 }").choices
    assert choices is not None
    assert [repr(value) for value in choices.values()] == ["11.0", "0.5"]


def test_a_number_without_a_unit_in_vss_takes_the_dbcs_number_only_on_demand() -> None:
    path = "Vehicle.Carshare.TractionBattery.Gids"
    (fault,) = faults(HEAD + signal_table(path, "Motion", "Odometer"))
    assert (fault.key, fault.expected) == ("signals[0].unit", 'unit = "", if the number is meant as it is')
    assert plan(path, "Motion", "Odometer", 'unit = ""').unit_factor == 1.0


NAMED = DBC.replace("VAL_ 256 Gear", 'VAL_ 256 Speed 65535 "NotAvailable" 0 "Still" ;\nVAL_ 256 Gear')


def test_a_raw_value_with_a_name_must_not_pass_for_a_number() -> None:
    """SR-05: "not available" is not 655.35 km/h; the profile has to say what it is."""
    table = signal_table("Vehicle.Speed", "Motion", "Speed")
    found = faults(HEAD + table, NAMED)
    assert [fault.key for fault in found] == ["signals[0].invalid"] * 2
    assert "calls raw value 65535 'NotAvailable', and it would be read as the number 655.35" in found[0].problem
    impossible = NAMED.replace("65535 ", "65536 ").replace('0 "Still" ', "")
    plan("Vehicle.Speed", "Motion", "Speed", "", impossible)
    for further in ("invalid = [0xFFFF, 0]", "min = 0.01\nmax = 655.34", "invalid = [0]\nmax = 250.0"):
        plan("Vehicle.Speed", "Motion", "Speed", further, NAMED)


TWO_BITS = DBC.replace("IsLocked : 16|1@1+ (1,0) [0|1]", "IsLocked : 20|2@1+ (1,0) [0|3]")
NAMED_BIT = DBC.replace("VAL_ 768", 'VAL_ 768 IsLocked 0 "Locked" 1 "Unlocked" ;\nVAL_ 768')


@pytest.mark.parametrize(("dbc", "why"), [(TWO_BITS, "it has 2 bits"), (NAMED_BIT, "the DBC names its values")])
def test_what_is_true_is_never_guessed(dbc: str, why: str) -> None:
    """SR-05: a bit called "Unlocked" read as `IsLocked` would be the opposite of the truth."""
    (fault,) = faults(HEAD + signal_table(LOCKED, "Lock", "IsLocked"), dbc)
    assert (fault.key, why in fault.problem) == ("signals[0].choices", True)


@pytest.mark.parametrize(
    ("path", "signal", "further", "key", "problem"),
    [
        ("Vehicle.Sped", "Speed", "", "path", "unknown path 'Vehicle.Sped'"),
        ("Vehicle.Speed", "Speed", 'unit = "kmm/h"', "unit", "'kmm/h' does not convert to 'km/h'"),
        ("Vehicle.Speed", "Odometer", "", "unit", "the DBC's unit 'km' does not convert to 'km/h'"),
        ("Vehicle.Speed", "Gear", "", "unit", "the DBC's unit '' does not convert to 'km/h'"),
        ("Vehicle.Speed", "Speed", "min = 2.0\nmax = 1.0", "min", "min 2.0 is above max 1.0"),
        ("Vehicle.Speed", "Speed", "invalid = [0x10000]", "invalid", "raw value 65536 does not fit Speed"),
        ("Vehicle.Speed", "Speed", "invalid = [-1]", "invalid", "raw value -1 does not fit Speed"),
        ("Vehicle.Exterior.AirTemperature", "Outside", "invalid = [512]", "invalid", "raw value 512 does not fit"),
        (GEAR, "Gear", "choices = { Drvie = 127 }", "choices.Drvie", "the DBC has no value called 'Drvie' for Gear"),
        (GEAR, "Gear", 'choices = { "8" = 127 }', "choices.8", "raw value 8 does not fit Gear"),
        (GEAR, "Gear", 'choices = { "5" = 1, Drive = 2 }', "choices.Drive", "raw value 5 stands here twice"),
        (GEAR, "Gear", 'choices = { Drive = "D" }', "choices.Drive", "'D' is not of the type"),
        (GEAR, "Gear", "choices = { Drive = 128 }", "choices.Drive", "128 is not of the type"),
        (GEAR, "Gear", "choices = { Drive = true }", "choices.Drive", "True is not of the type"),
        (GEAR, "Gear", "choices = { Drive = 1 }\nmin = 0.0", "min", "has no meaning"),
        (GEAR, "Gear", 'choices = { Drive = 1 }\nunit = ""', "unit", "has no meaning"),
        (GEAR, "Gear", "choices = { Drive = 1 }\nreport = { deadband = 1.0 }", "report.deadband", "no meaning"),
        ("Vehicle.LowVoltageSystemState", "Gear", "", "choices", "missing: Vehicle.LowVoltageSystemState is a string"),
    ],
)  # fmt: skip
def test_a_table_that_contradicts_the_dbc_or_vss_is_a_fault(
    path: str, signal: str, further: str, key: str, problem: str
) -> None:
    found = faults(HEAD + signal_table(path, "Motion", signal, further))
    assert any(fault.key == f"signals[0].{key}" and problem in fault.problem for fault in found), found
    assert all(fault.line >= 12 and fault.expected for fault in found)


def test_a_float_has_no_choices() -> None:
    table = signal_table(GEAR, "Wide", "Energy", 'choices = { "1" = 1 }')
    (fault,) = faults(HEAD + table)
    assert (fault.key, fault.problem) == ("signals[0].choices", "Energy is a float")


def test_one_path_has_one_signal() -> None:
    table = signal_table("Vehicle.Speed", "Motion", "Speed")
    (fault,) = faults(HEAD + table + table)
    assert (fault.key, fault.problem) == ("signals[1].path", "Vehicle.Speed is given by signals[0] already")


UNIT_BY = 'unit_by = { message = "Lock", signal = "Miles", units = { 0 = "km", 1 = "mi" } }'


def test_a_unit_chosen_by_another_signal_brings_that_message_with_it() -> None:
    profile = parsed(HEAD + signal_table("Vehicle.TraveledDistance", "Motion", "Odometer", UNIT_BY))
    assert [(message.name, len(message.signals)) for message in profile.messages] == [("Motion", 1), ("Lock", 0)]
    choice = profile.messages[0].signals[0].unit_choice
    assert choice is not None
    assert (choice.arbitration_id, choice.factors) == (768, {0: 1000.0, 1: 1609.344})


@pytest.mark.parametrize(
    ("old", "new", "key", "problem"),
    [
        ("Lock", "Lokc", "unit_by.message", "unknown message 'Lokc'"),
        ("Miles", "Mile", "unit_by.signal", "has no signal 'Mile'"),
        ('"mi"', '"V"', "unit_by.units.1", "'V' does not convert to 'm'"),
        ("1 = ", "2 = ", "unit_by.units.2", "raw value 2 does not fit Miles"),
        ("1 = ", "one = ", "unit_by.units.one", "no value called 'one'"),
        ("unit_by", 'unit = "km"\nunit_by', "unit_by", "exclude each other"),
    ],
)
def test_a_unit_that_cannot_be_chosen_is_a_fault(old: str, new: str, key: str, problem: str) -> None:
    found = faults(HEAD + signal_table("Vehicle.TraveledDistance", "Motion", "Odometer", UNIT_BY.replace(old, new)))
    assert any(fault.key == f"signals[0].{key}" and problem in fault.problem for fault in found), found


def test_units_that_differ_by_an_offset_cannot_be_chosen_between() -> None:
    choice = UNIT_BY.replace('"km"', '"celsius"').replace('"mi"', '"fahrenheit"')
    (fault,) = faults(HEAD + signal_table("Vehicle.Exterior.AirTemperature", "Motion", "Outside", choice))
    assert "differs from 'Celsius' by an offset" in fault.problem


@pytest.mark.parametrize(
    ("value", "datatype", "does_fit"),
    [
        (True, "boolean", True), (1, "boolean", False), ("x", "string", True), (1, "string", False),
        (255, "uint8", True), (256, "uint8", False), (-1, "uint8", False), (1.0, "uint8", False),
        (-128, "int8", True), (1, "float", True), (1.5, "double", True), (True, "float", False), ("1", "float", False),
    ],
)  # fmt: skip
def test_a_value_fits_a_datatype_or_not(value: Value, datatype: str, does_fit: bool) -> None:
    assert fits_datatype(value, datatype) == does_fit


def test_signal_has_its_own_pace_for_some_uses_and_its_own_bounce_and_cap() -> None:
    text = (
        "report = { debounce_s = 2.0, events_per_hour = 5, driving = { interval_s = 5.0, repeat_s = 60.0 },"
        " asleep = { interval_s = 900.0 } }"
    )
    rule = plan(LOCKED, "Lock", "IsLocked", text).report
    assert (rule.debounce_s, rule.events_per_hour_max) == (2.0, 5)
    assert rule.paces == {VehicleUse.DRIVING: Pace(5.0, 60.0), VehicleUse.ASLEEP: Pace(900.0)}
