"""Names looked up in the DBC files: what is not there, and what is there and cannot be used."""

from __future__ import annotations

import pytest

from tests.support.small_car import DBC, HEAD, SIGNALS, faults, parsed, signal_table, small_profile_text

SPEED = signal_table("Vehicle.Speed", "Motion", "Speed")


def told(text: str, dbc: str = DBC) -> list[str]:
    return [str(fault) for fault in faults(text, dbc)]


def test_a_misspelt_bus_message_or_signal_is_told_with_the_nearest_names() -> None:
    found = told(
        HEAD
        + signal_table("Vehicle.Speed", "Motion", "Sped")
        + signal_table("Vehicle.IsMoving", "Moton", "Speed")
        + signal_table("Vehicle.TraveledDistance", "Motion", "Odometer", 'bus = "bdoy"')
    )
    assert found == [
        "dbc/small_car/profile.toml:15: signals[0].signal: Motion has no signal 'Sped'; expected Speed",
        "dbc/small_car/profile.toml:20: signals[1].message: unknown message 'Moton' on bus body; expected Motion",
        "dbc/small_car/profile.toml:28: signals[2].bus: unknown bus 'bdoy'; expected body",
    ]


TWO_BUSES = HEAD + '\n[buses.drive]\ndbc = ["small.dbc"]\nbitrate_bps = 500_000\nfd = true\nsilent_after_s = 1.0\n'


def test_with_two_buses_every_table_must_say_which() -> None:
    assert told(TWO_BUSES + SPEED) == [
        "dbc/small_car/profile.toml:18: signals[0].bus: missing; expected one of body, drive"
    ]


def test_the_same_message_on_two_buses_is_two_messages_by_name() -> None:
    profile = parsed(
        TWO_BUSES
        + signal_table("Vehicle.Speed", "Motion", "Speed", 'bus = "body"')
        + signal_table("Vehicle.TraveledDistance", "Motion", "Odometer", 'bus = "drive"')
        + signal_table("Vehicle.Carshare.CentralLock.IsLocked", "Lock", "IsLocked", 'bus = "body"')
    )
    assert [(message.bus, message.name) for message in profile.messages] == [
        ("body", "body.Motion"),
        ("drive", "drive.Motion"),
        ("body", "Lock"),
    ]


def test_a_missing_file_is_one_fault_and_hides_none_that_shows_without_it() -> None:
    table = SPEED + 'min = 2.0\nmax = 1.0\nfreshness = 1\nunit = "kph/s"\n'
    assert [str(fault) for fault in faults(HEAD + table, files={"smal.dbc": b""})] == [
        f"dbc/small_car/profile.toml:{told}"
        for told in (
            "7: buses.body.dbc[0]: there is no file 'small.dbc' beside the profile; expected smal.dbc",
            "17: signals[0].min: min 2.0 is above max 1.0; expected min <= max",
            "19: signals[0].freshness: unknown key; expected freshness_s",
            "20: signals[0].unit: 'kph/s' does not convert to 'km/h', the unit of Vehicle.Speed; expected kph",
        )
    ]


def test_a_bus_with_a_name_that_is_none_is_a_fault() -> None:
    (fault,) = faults(HEAD.replace("buses.body", "buses.Body") + SPEED)
    assert (fault.key, fault.expected[:18]) == ("buses.Body", "lower-case letters")


def test_a_path_instead_of_a_file_name_is_a_fault() -> None:
    (fault,) = faults(HEAD.replace("small.dbc", "../small.dbc") + SPEED)
    assert "not the name of a file" in fault.problem


def test_a_fault_of_a_dbc_names_the_dbc_and_its_line() -> None:
    (fault,) = faults(HEAD + SPEED, DBC + "what is this\n")
    assert (fault.source, fault.line) == ("dbc/small_car/small.dbc", DBC.count("\n") + 1)


def test_a_message_with_overlapping_signals_is_a_fault_only_where_it_is_used() -> None:
    dbc = DBC.replace("Outside : 16|10", "Outside : 8|10")
    (fault,) = faults(small_profile_text(), dbc)
    assert "Motion cannot be used: The signals" in fault.problem
    parsed(HEAD + signal_table("Vehicle.Carshare.CentralLock.IsLocked", "Lock", "IsLocked"), dbc)


def test_a_can_fd_message_needs_a_can_fd_bus() -> None:
    (fault,) = faults(small_profile_text().replace("fd = true", "fd = false"))
    assert "Wide cannot be used: it is a CAN FD frame" in fault.problem


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('Speed : 7|16@0+ (0.01,0)', 'Speed : 7|16@0+ (0,0)', "Motion.Speed has scale 0.0 and offset 0.0"),
        ('Speed : 7|16@0+ (0.01,0)', 'Speed : 7|16@0+ (1e999,0)', "Motion.Speed has scale inf"),
        ('Speed : 7|16@0+ (0.01,0)', f'Speed : 7|16@0+ ({"9" * 400},0)', "Motion.Speed has scale inf"),
        ("Page M : 32|8@1+ (1,0)", "Page M : 32|8@1+ (2,0)", "'Page', which is not a plain unsigned number"),
        ("Page M : 32|8@1+ (1,0)", "Page M : 32|8@1- (1,0)", "'Page', which is not a plain unsigned number"),
        ("Energy : 64|64@1-", "Energy : 64|63@1-", "Wide.Energy is a float of 63 bits"),
        ("Cell : 55|12@0+ (0.001,0)", "Cell : 7|64@0+ (0.001,0)", None),
    ],
)  # fmt: skip
def test_a_signal_that_cannot_be_decoded_without_guessing_is_a_fault(old: str, new: str, problem: str | None) -> None:
    assert old in DBC
    text, dbc = small_profile_text(), DBC.replace(old, new)
    if problem is None:
        parsed(text, dbc)
    else:
        assert any(problem in fault for fault in told(text, dbc)), told(text, dbc)


def test_a_signal_of_more_than_64_bits_is_no_number() -> None:
    dbc = DBC.replace('Energy : 64|64@1- (1,0) [0|0] "kWh" Agent', 'Energy : 56|72@1- (1,0) [0|0] "kWh" Agent')
    dbc = dbc.replace("SIG_VALTYPE_ 512 Energy : 2;\n", "").replace(" SG_ Cell : 55|12@0+", " SG_ Cell : 47|12@0+")
    assert any("has 72 bits" in fault for fault in told(small_profile_text(), dbc))


def test_every_signal_of_the_small_car_is_found() -> None:
    assert set(parsed(small_profile_text()).paths) == set(SIGNALS)


def test_a_signal_that_begins_before_its_message_is_a_fault() -> None:
    (fault,) = faults(small_profile_text(), DBC.replace("Speed : 7|16@0+", "Speed : -1|16@0+"))
    assert "lies outside of its message" in fault.problem
