"""`agent.toml`: what is right becomes a `Config`, what is wrong is told all at once, each with its place (H136)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from agent.ability import as_allowed, as_wired
from agent.config import ACTIONS, ActionWord, ConditionWord, Config, check_against_profile, parse_config
from agent.faults import Fault
from agent.loading import load_profile
from agent.model.command import Condition
from agent.model.pulse import Pulse
from agent.model.use import VehicleUse
from agent.profiles.findings import FAULTS_MAX
from tests.support.plans import SPEED, message_plan, profile_of, signal_plan

MINIMAL = f"""\
[car]
id = "5ca1ab1e0ddba115"
profile = "dbc/demo"
key_file = "vehicle.key"
[buses.body]
channel = "can0"
[broker]
host = "broker.example"
[[operators]]
number = 7
[[operators.command_keys]]
id = "00000001"
public_key = "{"0" * 64}"
actions = ["unlock", "lock"]
"""


def key(kid: str, further: str = "") -> str:
    public_key = "1" * 64
    return f'[[operators.command_keys]]\nid = "{kid}"\npublic_key = "{public_key}"\nactions = ["lock"]\n{further}\n'


def accepted(text: str) -> Config:
    config = parse_config(text, source="agent.toml")
    assert isinstance(config, Config), "\n".join(map(str, config))
    return config


def refused(text: str) -> list[Fault]:
    faults = parse_config(text, source="agent.toml")
    assert isinstance(faults, list)
    assert faults
    return faults


def line_of(text: str, beginning: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith(beginning))


def test_end_of_rental_is_read_and_its_faults_are_told_at_once() -> None:
    text = MINIMAL + '[[end_of_rental]]\noperator = 7\nconditions = ["locked", "energy"]\nenergy_percent_min = 20\n'
    (table,) = accepted(text).end_of_rental
    assert (table.operator, table.conditions, table.energy_percent_min) == (7, ["locked", "energy"], 20.0)
    twice = text + '[[end_of_rental]]\noperator = 7\nconditions = ["locked"]\nenergy_percent_min = 20\n'
    assert {fault.key for fault in refused(twice)} == {
        "end_of_rental[1].operator",
        "end_of_rental[1].energy_percent_min",
    }
    (fault,) = refused(text.replace('"energy"]', '"enrgy"]'))
    assert "enrgy" in str(fault)
    assert fault.line == line_of(text, "conditions")


def test_words_for_conditions_are_those_of_the_protocol() -> None:
    assert list(get_args(ConditionWord)) == [condition.name.lower() for condition in Condition]


def test_shortest_configuration_is_filled_with_defaults() -> None:
    config = accepted(MINIMAL)
    assert config.buses["body"].interface == "socketcan"
    assert (config.broker.port, config.broker.keep_alive_s, config.broker.ca_file) == (8883, 330, None)
    assert config.store.directory == "/var/lib/carshare-agent"
    assert (config.reporting.batch_s, config.reporting.state_interval_s) == (5, 1800)
    assert (config.reporting.outbox_records_max, config.reporting.outbox_bytes_max) == (10_000, 67_108_864)
    assert config.reporting.outbox_age_s_max == 7 * 86_400
    assert {use: config.reporting.pace(use).interval_s_min for use in VehicleUse} == {
        VehicleUse.DRIVING: 30.0,
        VehicleUse.CHARGING: 300.0,
        VehicleUse.AWAKE: 60.0,
        VehicleUse.ASLEEP: 600.0,
    }
    assert config.reporting.table(VehicleUse.ASLEEP).heartbeat_s == 3600.0
    assert config.status.socket == "/run/carshare-agent/status.sock"
    (command_key,) = config.operators[0].command_keys
    assert (command_key.not_before_unix_s, command_key.not_after_unix_s) == (0, None)


def test_all_faults_are_told_at_once_in_the_order_of_their_lines() -> None:
    text = (
        MINIMAL.replace('id = "5ca1ab1e0ddba115"', 'id = "VIN12345678901234"')
        .replace('channel = "can0"', 'chanel = "can0"')
        .replace('host = "broker.example"', "host = 1883\nport = 70000")
        .replace('"unlock", "lock"', '"unlock", "fly"')
    )
    faults = refused(text)
    assert [(fault.key, fault.line) for fault in faults] == [
        ("car.id", line_of(text, "id =")),
        ("buses.body.chanel", line_of(text, "chanel")),
        ("broker.host", line_of(text, "host")),
        ("broker.port", line_of(text, "port")),
        ("operators[0].command_keys[0].actions[1]", line_of(text, "actions")),
    ]
    assert [fault.problem for fault in faults] == [
        "'VIN12345678901234' does not fit",
        "unknown key",
        "1883 does not fit",
        "70000 does not fit",
        "'fly' does not fit",
    ]
    assert all(fault.source == "agent.toml" and fault.expected for fault in faults)
    assert [fault.expected for fault in faults[:4]] == [
        "16 hexadecimal digits, in lower case",
        "channel",
        "a valid string",
        "less than or equal to 65535",
    ]


def test_a_key_that_no_other_is_like_is_told_beside_those_there_are() -> None:
    (fault,) = refused(MINIMAL + "[status]\nport = 80\n")
    assert (fault.key, fault.expected) == ("status.port", "one of socket")
    assert [fault.expected for fault in refused(MINIMAL + "[reporting.driving]\nintervals = 3\n")] == ["interval_s"]


@pytest.mark.parametrize("channel", ["can/0", "..", "can 0", "can:0", "a" * 16])
def test_a_name_that_no_interface_of_linux_can_have_is_refused(channel: str) -> None:
    text = MINIMAL.replace("can0", channel)
    (fault,) = refused(text)
    assert (fault.key, fault.line) == ("buses.body.channel", line_of(text, "channel"))
    serial = text.replace("[buses.body]\n", '[buses.body]\ninterface = "slcan"\n')
    assert accepted(serial).buses["body"].channel == channel


def test_an_operator_has_a_number_above_zero() -> None:
    (fault,) = refused(MINIMAL.replace("[[operators]]", "[reporting]\noperator = -3\n[[operators]]", 1))
    assert (fault.key, fault.expected) == ("reporting.operator", "greater than or equal to 1")


def test_key_of_the_second_operator_is_not_looked_for_in_the_first() -> None:
    text = MINIMAL + "[[operators]]\nnumber = 8\n" + key("00000002", "not_before_unix_s = -1")
    (fault,) = refused(text)
    assert fault.key == "operators[1].command_keys[0].not_before_unix_s"
    assert fault.line == line_of(text, "not_before")


@pytest.mark.parametrize("table", ["car", "buses", "broker"])
def test_table_without_defaults_must_be_there(table: str) -> None:
    parts = re.split(r"(?m)^(?=\[)", MINIMAL)
    (fault,) = refused("".join(part for part in parts if not part.strip("[").startswith(table)))
    assert (fault.key, fault.line, fault.problem) == (table, 0, "missing")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[car\n", id="no TOML"),
        pytest.param("a = " + "[" * 5000, id="nested without end"),
        pytest.param("a = " + "9" * 5000, id="number of 5000 digits"),
        pytest.param(MINIMAL + "[reporting]\noutbox_records_max = 0x" + "f" * 9000, id="number beyond writing out"),
        pytest.param(MINIMAL + "[reporting]\nbatch_s = " + "9" * 4000, id="number beyond a float"),
        pytest.param('"" = {}', id="key without a name"),
        pytest.param("operators = 1", id="table that is a number"),
        pytest.param("buses = [1]", id="table that is a list"),
        pytest.param("\x00", id="control character"),
        pytest.param("a = 2026-11-23T02:03:04Z\n", id="date"),
    ],
)
def test_bad_text_gives_faults_and_raises_nothing(text: str) -> None:
    assert all(len(str(fault)) < 400 for fault in refused(text))


def test_text_that_is_no_toml_is_told_with_its_line() -> None:
    (fault,) = refused(MINIMAL + "]")
    assert fault.line == len(MINIMAL.splitlines()) + 1
    assert "not valid TOML" in fault.problem


def test_faults_are_bounded() -> None:
    faults = refused(MINIMAL + "".join(f"[unknown_{number}]\n" for number in range(FAULTS_MAX + 50)))
    assert len(faults) == FAULTS_MAX + 1
    assert faults[-1].problem == "and 50 faults more"


@pytest.mark.parametrize(
    ("table", "name", "least", "most", "step"),
    [
        ("[broker]", "port", 1, 65_535, 1),
        ("[broker]", "keep_alive_s", 5, 1200, 1),
        ("[reporting]", "batch_s", 0.1, 5.0, 0.001),
        ("[reporting]", "state_interval_s", 0.5, 3600.0, 0.001),
        ("[reporting.driving]", "heartbeat_s", 5.0, 86_400.0, 0.001),
        ("[reporting.asleep]", "interval_s", 0.0, 86_400.0, 0.001),
        ("[reporting]", "outbox_age_s_max", 3600, 2_592_000, 1),
        ("[reporting]", "outbox_records_max", 100, 10_000, 1),
        ("[reporting]", "outbox_bytes_max", 65_536, 67_108_864, 1),
        ("[power]", "warn_s", 10.0, 3600.0, 0.001),
        ("[power]", "off_after_s", 10.0, 600.0, 0.001),
    ],
)
def test_limits_are_inclusive(table: str, name: str, least: float, most: float, step: float) -> None:
    """SR-09: what bounds a buffer cannot be configured away; samples wait at most 5 s (SR-07)."""
    text = MINIMAL if table in MINIMAL else MINIMAL + table + "\n"
    for value in (least, most):
        accepted(text.replace(table, f"{table}\n{name} = {value}"))
    for value in (least - step, most + step):
        (fault,) = refused(text.replace(table, f"{table}\n{name} = {value}"))
        assert fault.key.endswith(name)


def test_ladder_of_the_battery_goes_down() -> None:
    """R7: thresholds that do not descend would skip a step, or flap; each that is wrong is told."""
    config = accepted(MINIMAL)
    assert (config.power.warn_v, config.power.shed_v, config.power.off_v, config.power.resume_v) == (
        12.4,
        12.3,
        12.2,
        12.8,
    )
    assert (config.power.warn_s, config.power.shed_s, config.power.off_s, config.power.resume_s) == (180, 180, 240, 60)
    assert config.power.supervisor is None
    accepted(MINIMAL + "[power]\nwarn_v = 24.8\nshed_v = 24.6\noff_v = 24.4\nresume_v = 25.6\n")
    faults = refused(MINIMAL + "[power]\nwarn_v = 12.9\nshed_v = 12.3\noff_v = 12.3\n")
    assert [(fault.key, fault.problem, fault.expected) for fault in faults] == [
        ("power.warn_v", "12.9 V is not below resume_v = 12.8", "resume_v > warn_v > shed_v > off_v"),
        ("power.off_v", "12.3 V is not below shed_v = 12.3", "resume_v > warn_v > shed_v > off_v"),
    ]


@pytest.mark.parametrize("name", ["batch_s", "state_interval_s"])
@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf", "true", '"5"'])
def test_time_must_be_a_finite_number(name: str, value: str) -> None:
    (fault,) = refused(f"{MINIMAL}[reporting]\n{name} = {value}\n")
    assert fault.key == f"reporting.{name}"
    assert fault.expected in ("a finite number", "a valid number")


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("id", '"5ca1ab1e0ddba115"', '"5CA1AB1E0DDBA115"'),
        ("id", '"5ca1ab1e0ddba115"', '"5ca1ab1e0ddba115\\n"'),
        ("id", '"5ca1ab1e0ddba115"', '"5ca1ab1e0ddba1"'),
        ("id", '"00000001"', '"0000001"'),
        ("public_key", f'"{"0" * 64}"', f'"{"0" * 63}"'),
        ("number", "7", "0"),
        ("number", "7", "2147483648"),
        ("number", "7", "true"),
        ("channel", '"can0"', '""'),
        ("host", '"broker.example"', '""'),
        ("actions", '["unlock", "lock"]', "[]"),
    ],
)
def test_value_of_another_form_is_refused(name: str, right: str, wrong: str) -> None:
    (fault,) = refused(MINIMAL.replace(f"{name} = {right}", f"{name} = {wrong}"))
    assert fault.key.rpartition(".")[2] == name


def test_certificate_and_its_key_go_together() -> None:
    (fault,) = refused(MINIMAL.replace("[broker]", '[broker]\nca_file = "ca.pem"\ncertificate_file = "car.pem"'))
    assert (fault.key, fault.line) == ("broker", line_of(MINIMAL, "[broker]"))
    (fault,) = refused(MINIMAL.replace("[broker]", '[broker]\nca_file = "ca.pem"\nkey_file = "car.key"'))
    assert fault.key == "broker"
    accepted(
        MINIMAL.replace("[broker]", '[broker]\nca_file = "ca.pem"\ncertificate_file = "car.pem"\nkey_file = "car.key"')
    )


def test_certificate_is_for_tls_only() -> None:
    (fault,) = refused(MINIMAL.replace("[broker]", '[broker]\ncertificate_file = "car.pem"\nkey_file = "car.key"'))
    assert fault.problem == "certificate_file without ca_file"


def test_a_connection_is_encrypted_or_it_is_said_that_it_need_not_be() -> None:
    assert not accepted(MINIMAL).broker.allow_unencrypted_network
    allowed = "[broker]\nallow_unencrypted_network = true"
    assert accepted(MINIMAL.replace("[broker]", allowed)).broker.allow_unencrypted_network
    text = MINIMAL.replace("[broker]", allowed + '\nca_file = "ca.pem"')
    (fault,) = refused(text)
    assert (fault.key, fault.line) == (
        "broker.allow_unencrypted_network",
        line_of(text, "allow_unencrypted_network = true"),
    )


def test_operator_number_stands_once() -> None:
    eight = "[[operators]]\nnumber = 8\n" + key("00000002")
    text = MINIMAL + eight + "[[operators]]\nnumber = 7 # again\n" + key("00000003")
    (fault,) = refused(text)
    assert (fault.key, fault.line) == ("operators[2].number", line_of(text, "number = 7 # again"))


def test_key_id_stands_once_among_all_operators() -> None:
    text = MINIMAL + "[[operators]]\nnumber = 8\n" + key("00000001")
    (fault,) = refused(text)
    assert fault.key == "operators[1].command_keys[0].id"
    assert fault.line > line_of(text, "number = 8")


def test_key_must_not_end_before_it_begins() -> None:
    (fault,) = refused(MINIMAL + key("00000002", "not_before_unix_s = 10\nnot_after_unix_s = 9"))
    assert fault.key == "operators[0].command_keys[1].not_after_unix_s"
    accepted(MINIMAL + key("00000002", "not_before_unix_s = 10\nnot_after_unix_s = 10"))


ROOTED = MINIMAL[: MINIMAL.index("[[operators]]")] + '[trust]\nbundle_file = "bundle.cbor"\n'


def test_operators_come_from_a_bundle_or_from_here() -> None:
    config = accepted(ROOTED)
    assert config.trust is not None
    assert (config.trust.bundle_file, config.operators) == ("bundle.cbor", [])
    assert accepted(MINIMAL).trust is None


def test_operators_from_both_places_are_refused() -> None:
    text = MINIMAL + '[trust]\nbundle_file = "bundle.cbor"\n'
    (fault,) = refused(text)
    assert (fault.key, fault.line) == ("operators", line_of(text, "[[operators]]"))


def test_operators_from_nowhere_are_refused() -> None:
    (fault,) = refused(MINIMAL[: MINIMAL.index("[[operators]]")])
    assert (fault.line, fault.problem) == (0, "nobody to take commands from")


def test_a_bundle_may_come_to_have_the_operator_that_gets_telemetry() -> None:
    accepted(ROOTED + "[reporting]\noperator = 8\n")


@pytest.mark.parametrize("number", [1, 8])
def test_telemetry_goes_to_no_operator_that_is_not_there(number: int) -> None:
    text = f"{MINIMAL}[reporting]\noperator = {number}\n"
    (fault,) = refused(text)
    assert (fault.key, fault.line, fault.expected) == ("reporting.operator", line_of(text, "operator ="), "one of 7")


def test_every_action_has_its_word() -> None:
    assert set(get_args(ActionWord)) == set(ACTIONS)


def test_buses_of_profile_and_configuration_must_be_the_same() -> None:
    config = accepted(MINIMAL)
    profile = profile_of(
        message_plan(signal_plan(SPEED), bus="drive"),
        message_plan(signal_plan("Vehicle.X"), bus="charge", name="Other"),
    )
    faults = check_against_profile(config, profile, MINIMAL, source="agent.toml")
    assert [(fault.key, fault.line) for fault in faults] == [
        ("buses.drive", 0),
        ("buses.charge", 0),
        ("buses.body", line_of(MINIMAL, "[buses.body]")),
    ]
    assert faults[2].expected == "one of drive, charge"


def test_matching_buses_are_no_fault() -> None:
    profile = profile_of(message_plan(signal_plan(SPEED)))
    assert check_against_profile(accepted(MINIMAL), profile, MINIMAL, source="agent.toml") == []


def test_a_bus_on_which_the_car_only_answers_may_be_left_out_and_is_then_not_there() -> None:
    profile = load_profile(Path(__file__).resolve().parents[2] / "dbc" / "bmw_i3")
    without = MINIMAL.replace("[buses.body]", "[buses.pt]")
    with_socket = without + '[buses.obd]\nchannel = "can1"\n'
    for text, names in ((without, ["pt"]), (with_socket, ["pt", "obd"])):
        assert check_against_profile(accepted(text), profile, text, source="agent.toml") == []
        assert [bus.name for bus in as_wired(profile, accepted(text)).buses] == names
    (fault,) = check_against_profile(
        accepted(text := MINIMAL.replace("[buses.body]", "[buses.obd]")), profile, text, source="agent.toml"
    )
    assert fault.key == "buses.pt"


def test_bus_that_only_listens_takes_away_what_sends_on_it_and_leaves_the_rest() -> None:
    profile = load_profile(Path(__file__).resolve().parents[2] / "dbc" / "demo_hatchback")
    assert as_allowed(profile, accepted(MINIMAL)) == profile
    silent = as_allowed(profile, accepted(MINIMAL.replace("[buses.body]", "[buses.body]\nlisten_only = true")))
    assert (silent.recipes, silent.send_list) == ({}, ())
    assert silent.unsupported.keys() >= profile.recipes.keys()
    assert (silent.messages, silent.return_conditions) == (profile.messages, profile.return_conditions)


def test_wake_up_on_a_bus_that_only_listens_is_sending_too() -> None:
    profile = load_profile(Path(__file__).resolve().parents[2] / "dbc" / "demo_hatchback")
    recipe = next(recipe for recipe in profile.recipes.values() if recipe.wake is not None)
    assert recipe.wake is not None
    woken_elsewhere = replace(recipe, wake=replace(recipe.wake, bus="gateway"))
    config = accepted(MINIMAL + '[buses.gateway]\nchannel = "can1"\nlisten_only = true\n')
    altered = as_allowed(replace(profile, recipes={recipe.action: woken_elsewhere}), config)
    assert altered.recipes == {}


RELAY = '[relays.fob_unlock]\nchip = "/dev/gpiochip0"\noffset = 17\n'


def test_relay_is_a_line_of_a_chip_that_closes_when_high() -> None:
    relay = accepted(MINIMAL + RELAY).relays["fob_unlock"]
    assert (relay.chip, relay.offset, relay.active_low) == ("/dev/gpiochip0", 17, False)


def test_two_relays_at_one_line_are_refused() -> None:
    (fault,) = refused(MINIMAL + RELAY + RELAY.replace("fob_unlock", "fob_lock"))
    assert (fault.key, fault.problem) == ("relays.fob_lock.offset", "the line of relays.fob_unlock too")


def test_relay_that_the_profile_pulses_nowhere_is_a_fault_and_a_line_without_a_relay_is_none() -> None:
    profile = profile_of(message_plan(signal_plan(SPEED)))
    text = MINIMAL + RELAY
    (fault,) = check_against_profile(accepted(text), profile, text, source="agent.toml")
    assert (fault.key, fault.line) == ("relays.fob_unlock", line_of(text, "[relays.fob_unlock]"))
    wired = replace(profile, pulse_list=(Pulse("fob_unlock", 0.3, 0.2), Pulse("fob_lock", 0.3, 0.2)))
    assert check_against_profile(accepted(text), wired, text, source="agent.toml") == []
