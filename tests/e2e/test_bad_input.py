"""The likeliest mistakes of a person, each made by hand: one clear message, the right exit status, no traceback.

Exit statuses: 0 done, 1 failed, 2 wrong use or a file that is wrong, and of the backend also 3, no answer.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.bench.vehicle import demo_folder
from tests.support.installation import Installation, install
from tests.support.mosquitto import free_port
from tests.support.process import path

PROFILE = demo_folder()
WRONG_USE = 2
FAILED = 1
NO_ANSWER = 3


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended. `faults` are the indented lines of a list of faults."""

    status: int
    stdout: str
    message: str

    @property
    def faults(self) -> list[str]:
        return [line.strip() for line in self.message.splitlines() if line.startswith("  ")]


def run(*command: str | Path, folder: Path) -> Ended:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={"PATH": path(), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def edited_profile(folder: Path, *edits: tuple[str, str]) -> Path:
    """A copy of the demo car's folder with texts in its `profile.toml` replaced."""
    profile = folder / "demo"
    shutil.copytree(PROFILE, profile)
    text = (profile / "profile.toml").read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    (profile / "profile.toml").write_text(text)
    return profile


def edited_configuration(folder: Path, old: str, new: str) -> Path:
    configuration = install(folder, broker_port=1883).files.agent_toml
    text = configuration.read_text()
    assert old in text
    configuration.write_text(text.replace(old, new, 1))
    return configuration


# --- profiles -------------------------------------------------------------------------------------------------------


def test_profile_with_five_faults_reports_five(tmp_path: Path) -> None:
    profile = edited_profile(
        tmp_path,
        ("bitrate_bps = 500_000", 'bitrate_bps = 500_000\ncolour = "red"'),
        ('message = "MotionStatus"\nsignal = "WheelSpeed"', 'message = "MotionStatus"\nsignal = "WheelSped"'),
        ('unit = "percent"', 'unit = "furlong"'),
        ("min = 200.0\nmax = 500.0", "min = 500.0\nmax = 200.0"),
        ('path = "Vehicle.Exterior.AirTemperature"', 'path = "Vehicle.Exterior.AirTemprature"'),
    )
    ended = run("carshare-agent", "check", profile, folder=tmp_path)
    assert ended.status == WRONG_USE
    assert len(ended.faults) == 5, ended.message
    for word in ("colour", "WheelSped", "furlong", "min", "AirTemprature"):
        assert [fault for fault in ended.faults if word in fault], ended.message
    assert all(re.match(r".*profile\.toml:\d+:", fault) for fault in ended.faults), ended.message


def test_missing_dbc_is_named(tmp_path: Path) -> None:
    profile = edited_profile(tmp_path)
    (profile / "vehicle.dbc").unlink()
    ended = run("carshare-agent", "check", profile, folder=tmp_path)
    assert ended.status == WRONG_USE
    assert len(ended.faults) == 1, ended.message
    assert "vehicle.dbc" in ended.faults[0]


def test_unit_that_does_not_fit_is_named_with_its_line(tmp_path: Path) -> None:
    profile = edited_profile(tmp_path, ('unit = "km/h"', 'unit = "V"'))
    line = (profile / "profile.toml").read_text().splitlines().index('unit = "V"') + 1
    ended = run("carshare-agent", "check", profile, folder=tmp_path)
    assert ended.status == WRONG_USE
    assert len(ended.faults) == 1, ended.message
    assert f"profile.toml:{line}:" in ended.faults[0]


def test_folder_that_holds_no_profile_is_named(tmp_path: Path) -> None:
    ended = run("carshare-agent", "check", tmp_path / "nothing", folder=tmp_path)
    assert ended.status == WRONG_USE
    assert str(tmp_path / "nothing") in ended.message


# --- configuration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["check", "run"])
def test_unknown_key_of_the_configuration_is_named_with_its_line(tmp_path: Path, verb: str) -> None:
    configuration = edited_configuration(tmp_path, "batch_s", "bacth_s")
    line = next(n for n, text in enumerate(configuration.read_text().splitlines(), 1) if "bacth_s" in text)
    ended = run("carshare-agent", verb, "--config", configuration, folder=tmp_path)
    assert ended.status == WRONG_USE
    assert len(ended.faults) == 1, ended.message
    assert f"agent.toml:{line}: reporting.bacth_s" in ended.faults[0]


@pytest.mark.hazard("H136")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("batch_s", "bacth_s", "reporting.bacth_s: unknown key"),
        ("batch_s = 0.5", 'batch_s = "5"', "reporting.batch_s: '5' does not fit"),
        ("batch_s = 0.5", "batch_s = 5.1", "reporting.batch_s: 5.1 does not fit"),
        ("[reporting]", "[reporting]\noutbox_age_s_max = 2592001", "reporting.outbox_age_s_max: 2592001 does not fit"),
    ],
    ids=["unknown key", "wrong type", "above the cap", "kept longer than the cap"],
)
def test_agent_does_not_start_with_a_configuration_that_does_not_fit(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """How long a command may live is no key of the configuration: what is kept longest there are records."""
    configuration = edited_configuration(tmp_path, old, new)
    lines = configuration.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.startswith(said.partition(":")[0].split(".")[1]))
    ended = run("carshare-agent", "run", "--config", configuration, folder=tmp_path)
    assert ended.status == WRONG_USE
    assert len(ended.faults) == 1, ended.message
    assert f"agent.toml:{line}: {said}" in ended.faults[0]
    assert not list(configuration.parent.rglob("*.db")), "a store was made"


def test_interface_that_nobody_drives_is_named_by_check(tmp_path: Path) -> None:
    """Else it would show at the first start alone, in the car."""
    configuration = edited_configuration(tmp_path, 'interface = "socketcan"', 'interface = "sockercan"')
    ended = run("carshare-agent", "check", "--config", configuration, folder=tmp_path)
    assert ended.status == WRONG_USE
    (fault,) = ended.faults
    assert fault.endswith(
        "buses.body.interface: python-can has no interface 'sockercan'; expected socketcan or socketcand"
    )


def test_configuration_that_is_no_toml_is_named(tmp_path: Path) -> None:
    configuration = edited_configuration(tmp_path, "[broker]", "[broker")
    ended = run("carshare-agent", "check", "--config", configuration, folder=tmp_path)
    assert ended.status == WRONG_USE
    assert "not valid TOML" in ended.message


def test_missing_configuration_is_named(tmp_path: Path) -> None:
    ended = run("carshare-agent", "run", "--config", "agent.toml", folder=tmp_path)
    assert ended.status == WRONG_USE
    assert "agent.toml: no such file" in ended.message


@pytest.mark.hazard("H135")
def test_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """H135."""
    configuration = install(tmp_path, broker_port=1883).files.agent_toml
    (configuration.parent / "vehicle.key").chmod(0o644)
    ended = run("carshare-agent", "run", "--config", configuration, folder=tmp_path)
    assert ended.status == WRONG_USE
    assert "chmod 600" in ended.message


def test_plain_connection_to_another_machine_is_refused(tmp_path: Path) -> None:
    configuration = edited_configuration(tmp_path, 'host = "127.0.0.1"', 'host = "broker.example"')
    ended = run("carshare-agent", "run", "--config", configuration, folder=tmp_path)
    assert ended.status == WRONG_USE
    assert "ca_file" in ended.message
    allowed = "[broker]\nallow_unencrypted_network = true"
    configuration.write_text(configuration.read_text().replace("[broker]", allowed))
    assert run("carshare-agent", "check", "--config", configuration, folder=tmp_path).status == 0


# --- logs -----------------------------------------------------------------------------------------------------------


def test_truncated_log_gives_what_was_good_and_says_where_it_ends(tmp_path: Path) -> None:
    log = (PROFILE / "drive.log").read_bytes()
    cut = log[: len(log) // 2].rpartition(b"\n")[0] + b"\n(1000000000.0"
    (tmp_path / "cut.log").write_bytes(cut)
    lines = cut.count(b"\n")
    ended = run("carshare-agent", "decode", PROFILE, "cut.log", folder=tmp_path)
    assert ended.status == WRONG_USE
    assert ended.stdout.count("\n") > 10
    assert f"cut.log:{lines + 1}:" in ended.message
    assert len(ended.message.splitlines()) == 1, ended.message


def test_missing_log_is_named(tmp_path: Path) -> None:
    ended = run("carshare-agent", "decode", PROFILE, "nothing.log", folder=tmp_path)
    assert ended.status == WRONG_USE
    assert "nothing.log: no such file" in ended.message


# --- wrong use ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["carshare-agent", "carshare-backend", "carshare-bench"])
def test_command_without_arguments_shows_how_to_use_it(tmp_path: Path, command: str) -> None:
    ended = run(command, folder=tmp_path)
    assert ended.status == WRONG_USE
    assert "usage:" in ended.message


@pytest.mark.parametrize("command", ["carshare-agent", "carshare-backend", "carshare-bench"])
def test_help_has_an_example(tmp_path: Path, command: str) -> None:
    ended = run(command, "--help", folder=tmp_path)
    assert ended.status == 0
    assert re.search(rf"^  {command} [a-z]", ended.stdout, re.MULTILINE)


def test_car_that_is_not_registered_is_named(tmp_path: Path) -> None:
    files = install(tmp_path, broker_port=1883).files
    ended = run("carshare-backend", "unlock", "dmeo", "--config", files.backend_toml, folder=tmp_path)
    assert ended.status == WRONG_USE
    assert "Did you mean 'demo'" in ended.message


# --- at run time ----------------------------------------------------------------------------------------------------


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An agent on a CAN bus of its own, with a broker that is not there."""
    return install(tmp_path, broker_port=free_port(), interface="virtual", channel=tmp_path.name)


def test_unreachable_broker_is_told_by_the_backend(installation: Installation) -> None:
    files = installation.files
    ended = run(
        *("carshare-backend", "unlock", "demo", "--config", files.backend_toml, "--timeout", "3"), folder=files.path
    )
    assert ended.status == NO_ANSWER
    assert "127.0.0.1" in ended.message
    assert len(ended.message.splitlines()) == 1, ended.message


def test_agent_goes_on_trying_an_unreachable_broker_and_says_so(installation: Installation) -> None:
    """A car in a garage has no connection; that is no reason to end."""
    with installation.agent() as agent:
        agent.until(lambda: "broker" in agent.said(), within_s=20, what="the missing broker is told")
        assert agent.is_running()
        assert agent.end() == 0
    assert "Traceback" not in agent.said()


def test_second_agent_on_the_same_store_is_refused(installation: Installation) -> None:
    """Two journals of one car would let a command run twice (SR-02)."""
    files = installation.files
    with installation.agent() as agent:
        agent.until((installation.store / "authority.sqlite3").exists, within_s=20, what="the store is made")
        ended = run("carshare-agent", "run", "--config", files.agent_toml, folder=files.path)
        assert ended.status == FAILED
        assert "store" in ended.message
        assert len(ended.message.splitlines()) == 1, ended.message
        assert agent.end() == 0
