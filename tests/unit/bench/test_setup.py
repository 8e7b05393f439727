"""The files of one bench run: what an installer would have made, and nobody else can read."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pytest

from agent.backend.settings import load_settings
from agent.bench.choices import CanChoice, choose_can, choose_channels, mosquitto_program
from agent.bench.setup import BATCH_S, CAR_NAME, make_folder
from agent.bench.vehicle import demo_folder
from agent.cli import main as agent_main
from agent.config import Config, parse_config
from agent.errors import ConfigurationError

CAN = CanChoice("body", "virtual", "test-setup", "for a test")


def test_both_configurations_are_valid_and_know_each_other(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, profile=demo_folder(), can=CAN, broker_host="127.0.0.1", broker_port=40_001)
    config = parse_config(folder.agent_toml.read_text(), source="agent.toml")
    settings = load_settings(folder.backend_toml)
    assert isinstance(config, Config)
    assert settings.car(CAR_NAME).id.hex() == config.car.id
    assert settings.operator.kid.hex() == config.operators[0].command_keys[0].id
    assert (config.broker.port, settings.broker.port) == (40_001, 40_001)
    assert config.reporting.batch_s == BATCH_S
    assert agent_main(["check", "--config", str(folder.agent_toml)]) == 0


def test_keys_are_their_owners_alone_and_new_each_time(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        folder = make_folder(tmp_path / name, profile=demo_folder(), can=CAN, broker_host="127.0.0.1", broker_port=1)
        files = [folder.agent_toml.parent / "vehicle.key", folder.backend_toml.parent / "operator.key"]
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
        keys += [file.read_text() for file in files]
    assert len(set(keys)) == 4


def test_the_command_for_a_second_terminal_names_a_program_and_the_configuration(tmp_path: Path) -> None:
    spaced = tmp_path / "a folder"
    folder = make_folder(spaced, profile=demo_folder(), can=CAN, broker_host="127.0.0.1", broker_port=1)
    words = shlex.split(folder.backend_command("unlock"))
    assert words[-4:] == ["--config", str(folder.backend_toml), "unlock", CAR_NAME]
    assert Path(words[0]).is_file()


def test_the_can_interface_is_chosen_and_explained() -> None:
    choice = choose_can("body")
    assert choice.bus == "body"
    assert (choice.interface, choice.channel) == ("socketcan", "vcan0") or (
        choice.interface == "virtual" and "vcan0" in choice.words
    )


def test_each_bus_of_a_car_has_a_channel_and_a_table(tmp_path: Path) -> None:
    choice = choose_can("ev", "car")
    assert list(choice.channels) == ["ev", "car"]
    assert len(set(choice.channels.values())) == 2
    profile = demo_folder().parent / "nissan_leaf_ze1"
    can = CanChoice("ev", "virtual", "one", "for a test", {"car": "two"})
    folder = make_folder(tmp_path, profile=profile, can=can, broker_host="127.0.0.1", broker_port=1)
    assert agent_main(["check", "--config", str(folder.agent_toml)]) == 0
    config = parse_config(folder.agent_toml.read_text(), source="agent.toml")
    assert isinstance(config, Config)
    assert {bus: table.channel for bus, table in config.buses.items()} == {"ev": "one", "car": "two"}


@pytest.mark.parametrize(
    ("buses", "asked", "channels"),
    [
        (["body"], [], {"body": "vcan0"}),
        (["ev", "car"], [], {"ev": "vcan0", "car": "vcan1"}),
        (["body"], ["can3"], {"body": "can3"}),
        (["body"], ["body=can3"], {"body": "can3"}),
        (["ev", "car"], ["car=can0", "ev=can1"], {"ev": "can1", "car": "can0"}),
    ],
)
def test_channels_are_those_asked_for(buses: list[str], asked: list[str], channels: dict[str, str]) -> None:
    assert choose_channels(buses, asked) == channels


@pytest.mark.parametrize(
    "asked", [["can0"], ["ev=can0"], ["ev=can0", "ev=can1"], ["ev=can0", "can1"], ["ev=", "car=c"], ["ev=a", "x=b"]]
)
def test_channels_that_leave_a_bus_without_one_are_refused_with_what_is_expected(asked: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="expected --channel ev=vcan0 --channel car=vcan1"):
        choose_channels(["ev", "car"], asked)


def test_mosquitto_is_found_on_the_path_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mosquitto_program() == str(program)
