"""A profile as a whole: every fault at once, and a frozen profile where there is none."""

from __future__ import annotations

from agent.profiles.parse import named_files, parse_profile
from tests.support.small_car import DBC, HEAD, SIGNALS, faults, parsed, signal_table, small_profile_text

FIVE_FAULTS = """format = 1
name = "small_car"
title = "Small car"
vss = "6.0"

[buses.body]
dbc = ["small.dbc"]
bitrate_bps = 500_000
silent_afetr_s = 2.0

[[signals]]
path = "Vehicle.Speed"
message = "Motion"
signal = "WheelSpeed"

[[signals]]
path = "Vehicle.TraveledDistance"
message = "Motion"
signal = "Odometer"
unit = "Km"

[[signals]]
path = "Vehicle.Powertrain.Transmission.SelectedGear"
message = "Motion"
signal = "Gear"
choices = { Drvie = 127, Park = 126 }

[[signals]]
path = "Vehicle.Exterior.AirTemperature"
message = "Motion"
signal = "Outside"
min = 50.0
max = -40.0
"""


def test_five_faults_are_five_lines_each_with_file_line_key_and_what_was_expected() -> None:
    place = "dbc/small_car/profile.toml"
    assert [str(fault) for fault in faults(FIVE_FAULTS)] == [
        f"{place}:9: buses.body.silent_afetr_s: unknown key; expected silent_after_s",
        f"{place}:14: signals[0].signal: Motion has no signal 'WheelSpeed'; expected Speed",
        f"{place}:20: signals[1].unit: 'Km' does not convert to 'm', the unit of Vehicle.TraveledDistance; expected km",
        f"{place}:26: signals[2].choices.Drvie: the DBC has no value called 'Drvie' for Gear; expected Drive",
        f"{place}:32: signals[3].min: min 50.0 is above max -40.0; expected min <= max",
    ]


def test_a_sound_profile_is_the_vehicle() -> None:
    profile = parsed(small_profile_text())
    assert (profile.name, profile.title, profile.vss_release) == ("small_car", "Small car", "6.0")
    assert [
        (bus.name, bus.bitrate_bps, bus.is_fd, bus.silent_after_s, bus.is_listen_only) for bus in profile.buses
    ] == [("body", 500_000, True, 2.0, False)]
    assert profile.paths == tuple(SIGNALS)
    assert [(message.name, message.length_bytes) for message in profile.messages] == [
        ("Motion", 8),
        ("Battery", 8),
        ("Wide", 16),
    ]


def test_the_same_text_gives_an_equal_profile() -> None:
    assert parsed(small_profile_text()) == parsed(small_profile_text())


def test_the_selector_of_a_message_is_its_outermost_multiplexer() -> None:
    battery = parsed(small_profile_text()).messages[1]
    selected = {signal.signal: signal.selector_values for signal in battery.signals}
    assert battery.selector is not None
    assert (battery.selector.shift, battery.selector.length) == (32, 8)
    assert selected == {"Voltage": None, "Current": frozenset({201}), "Health": frozenset({2})}
    assert battery.selector_known == frozenset({201, 2})


def test_a_profile_for_another_vss_release_is_a_fault() -> None:
    (fault,) = faults(small_profile_text().replace('vss = "6.0"', 'vss = "5.0"'))
    assert (fault.key, fault.line, "'6.0'" in fault.expected) == ("vss", 4, True)


def test_several_dbc_files_make_one_bus() -> None:
    at = DBC.index("BO_ 512 Wide")
    end = DBC.index("BA_DEF_ BO_")
    one = DBC[:at] + DBC[end:].replace("SIG_VALTYPE_ 512 Energy : 2;\n", "")
    one = one.replace('VAL_ 768 Request 2 "Lock" 1 "Unlock" 0 "None" ;\n', "")
    two = DBC[: DBC.index("BO_ 256")] + DBC[at:end]
    text = (
        HEAD.replace('["small.dbc"]', '["one.dbc", "two.dbc"]')
        + signal_table("Vehicle.Speed", "Motion", "Speed")
        + signal_table("Vehicle.Carshare.CentralLock.IsLocked", "Lock", "IsLocked", "freshness_s = 1.0")
    )
    profile = parse_profile(text, {"one.dbc": one.encode(), "two.dbc": two.encode()}, source="profile.toml")
    assert not isinstance(profile, list), profile
    assert [message.name for message in profile.messages] == ["Motion", "Lock"]
    assert named_files(text) == ("one.dbc", "two.dbc")


def test_an_empty_text_is_a_list_of_what_is_missing() -> None:
    found = parse_profile("", {}, source="profile.toml")
    assert isinstance(found, list)
    assert {fault.key for fault in found} == {"format", "name", "title", "vss", "buses", "signals"}
