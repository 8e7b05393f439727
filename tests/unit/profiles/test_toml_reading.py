"""Keys and types of `profile.toml`, and the files it names."""

from __future__ import annotations

import pytest

from agent.profiles.findings import Findings
from agent.profiles.toml_model import ProfileTable
from agent.profiles.toml_reading import TEXT_CHARACTERS_MAX, named_files, read_tables
from tests.support.small_car import HEAD, signal_table

SOUND = HEAD + signal_table("Vehicle.Speed", "Motion", "Speed")


def read(text: str) -> ProfileTable | list[str]:
    findings = Findings(text, "profile.toml")
    tables = read_tables(text, findings, "profile.toml")
    if findings:
        return [str(fault) for fault in findings.listed()]
    assert tables is not None
    return tables


def told(text: str) -> list[str]:
    faults = read(text)
    assert isinstance(faults, list)
    return faults


def test_defaults_are_those_the_format_names() -> None:
    tables = read(SOUND)
    assert isinstance(tables, ProfileTable)
    bus, signal = tables.buses["body"], tables.signals[0]
    assert bus is not None
    assert signal is not None
    assert (bus.listen_only, tables.messages, tables.actions) == (False, [], {})
    assert (signal.report.deadband, signal.report.interval_s, signal.report.event) == (0.0, 1.0, None)


def test_a_text_that_is_no_toml_is_told_with_its_line() -> None:
    (fault,) = told(SOUND + "what is this\n")
    assert fault.startswith(f"profile.toml:{SOUND.count(chr(10)) + 1}: not valid TOML")


@pytest.mark.parametrize("text", ["a = " + "9" * 5000, "a = " + "[" * 100_000, "=" * TEXT_CHARACTERS_MAX + "=", "\x00"])
def test_a_text_made_to_break_the_reader_is_one_fault(text: str) -> None:
    assert len(told(text)) == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("fd = true", "fdd = true", "profile.toml:9: buses.body.fdd: unknown key; expected fd"),
        ("bitrate_bps = 500_000\n", "", "profile.toml:6: buses.body.bitrate_bps: missing; expected a value"),
        ("500_000", '"fast"', "profile.toml:8: buses.body.bitrate_bps: 'fast' does not fit; expected a valid integer"),
        ("500_000", "500_000.0", "profile.toml:8: buses.body.bitrate_bps: 500000.0 does not fit"),
        ("fd = true", "fd = 1", "profile.toml:9: buses.body.fd: 1 does not fit; expected a valid boolean"),
        ("format = 1", "format = 2", "profile.toml:1: format: 2 does not fit; expected 1"),
        ("silent_after_s = 2.0", "silent_after_s = nan", "toml:10: buses.body.silent_after_s: nan does not fit"),
        ("500_000", "0x" + "F" * 5000, "buses.body.bitrate_bps: a number of 20000 bits does not fit"),
        ('dbc = ["small.dbc"]', 'dbc = "small.dbc"', "buses.body.dbc: 'small.dbc' does not fit; expected a valid list"),
        ('signal = "Speed"', 'sginal = "Speed"', "signals[0].sginal: unknown key; expected signal"),
        ('signal = "Speed"', 'signal = "Speed"\nchecksum = 1', "signals[0].checksum: unknown key; expected one of"),
        ('signal = "Speed"', 'signal = "Speed"\nreport = { dedband = 1 }', "signals[0].report.dedband: unknown key; "),
        ('signal = "Speed"', 'signal = "Speed"\nunit_by = { messag = 1 }', "signals[0].unit_by.messag: unknown key; "),
        ('signal = "Speed"', 'signal = "Speed"\nchoices = { A = [1] }', "choices.A: a list does not fit; "),
        ('signal = "Speed"', 'signal = "Speed"\ninvalid = [true]', "signals[0].invalid[0]: True does not fit"),
        ('signal = "Speed"', 'signal = "Speed"\nmin = 1979-05-27', "signals[0].min: a date does not fit"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_type_is_told_with_line_key_and_what_was_expected(old: str, new: str, told: str) -> None:
    assert old in SOUND
    faults = read(SOUND.replace(old, new))
    assert isinstance(faults, list)
    assert any(told in fault for fault in faults), faults


def test_all_faults_are_told_at_once_and_each_once() -> None:
    broken = SOUND.replace("format = 1", "format = 2").replace("fd = true", "fdd = 1").replace("path =", "paht =")
    faults = read(broken + "choices = { A = {} }\n")
    assert isinstance(faults, list)
    assert [fault.split(":")[2].strip() for fault in faults] == [
        "format", "buses.body.fdd", "signals[0].paht", "signals[0].choices.A",
    ]  # fmt: skip


ACTION = """
[actions.unlock]
frames = [ { message = "Lock" } ]
repeats_max = 3
interval_s = 0.1
feedback = []
preconditions = [ { path = "Vehicle.Speed", max = 0.0, reason = "moving" } ]
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("format = 1", "format = 2"),
        ('title = "Small car"\n', ""),
        ("500_000", "true"),
        ("silent_after_s = 2.0\n", ""),
        ("fd = true", "fd = 7\nfdd = 7"),
        ("repeats_max = 3", "repeats_max = -3"),
        ("feedback = []", "feedback = [1]"),
        ("max = 0.0", 'max = "0"'),
        ('path = "Vehicle.Speed", max', "max"),
        ('{ message = "Lock" }', "{ }"),
        ('signal = "Speed"', ""),
        ('signal = "Speed"', 'signal = "Speed"\nmin = "0"\nreport = 1'),
        ("[actions.unlock]", "[unsupported]\nlock = 1\n[actions.unlock]"),
        ("bitrate_bps = 500_000\nfd = true\n", "[strange]\nfd = true\n"),
        ('dbc = ["small.dbc"]\nbitrate_bps = 500_000\n', ""),
        ("[actions.unlock]", "[unsupported]\nlock = []\nopen = 1\n[actions.unlock]"),
        ("[actions.unlock]", "[wake]\nbody = 1\n[actions.unlock]"),
        ("[actions.unlock]", '[[return_conditions]]\npath = 1\nmax = "0"\n[actions.unlock]'),
        ("[actions.unlock]", "return_conditions = 7\n[actions.unlock]"),
        ("[actions.unlock]", '[[messages]]\nmessage = "Lock"\nchecksum = { algorithm = 1 }\n[actions.unlock]'),
    ],
)
def test_a_faulty_value_keeps_nothing_else_from_being_read(old: str, new: str) -> None:
    assert old in SOUND + ACTION
    text = (SOUND + ACTION).replace(old, new, 1)
    findings = Findings(text, "profile.toml")
    tables = read_tables(text, findings, "profile.toml")
    assert findings
    assert tables is not None
    assert (list(tables.buses), len(tables.signals), list(tables.actions)) == (["body"], 1, ["unlock"])


def test_a_faulty_table_keeps_its_place_so_that_its_neighbours_keep_theirs() -> None:
    text = HEAD + "[[signals]]\npath = 1\n" + signal_table("Vehicle.Speed", "Motion", "Speed")
    tables = read_tables(text, Findings(text, "profile.toml"), "profile.toml")
    assert tables is not None
    assert [table and table.path for table in tables.signals] == [None, "Vehicle.Speed"]


def test_the_files_a_profile_names_are_told_to_the_edge() -> None:
    text = '[buses.a]\ndbc = ["one.dbc", "two.kcd"]\n[buses.b]\ndbc = ["one.dbc"]\n'
    assert named_files(text) == ("one.dbc", "two.kcd")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../other.dbc", "a/b.dbc", "..", ".", "", "a\\\\b.dbc", "C:\\\\b.dbc", "a\\u0000.dbc"]
)
def test_nothing_outside_the_profiles_folder_is_ever_asked_for(name: str) -> None:
    assert named_files(f'[buses.a]\ndbc = ["{name}"]\n') == ()


@pytest.mark.parametrize("text", ["", "?", "buses = 1", "[buses]\na = 1", "[buses.a]\ndbc = 1", "[buses.a]\ndbc = [1]"])
def test_an_unreadable_text_names_no_files(text: str) -> None:
    assert named_files(text) == ()
