"""`carshare-agent doctor` beside a real broker with TLS and a real agent: what it finds there is what is there."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.bench.broker import BenchBroker
from agent.bench.vehicle import demo_folder
from agent.cli import main
from agent.config import BrokerTable
from agent.doctor import examination
from agent.doctor.connection import broker_facts, certificate_facts
from agent.doctor.examination import _expected
from agent.doctor.system import key_facts
from agent.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from agent.loading import load_profile
from agent.model.table import checked
from agent.policy.happenings import LOW_VOLTAGE
from tests.support.installation import install
from tests.support.live_car import live_car, soon
from tests.support.mosquitto import Authority, Mosquitto, free_port, mosquitto, tls_options

pytestmark = pytest.mark.broker


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secured(tmp_path: Path, authority: Authority) -> Iterator[Mosquitto]:
    """A broker that takes nobody without a certificate; doctor shows none, and finds what it looks for all the same."""
    server = authority.issue("broker", is_server=True, host="127.0.0.1", ends_s=40 * 86_400)
    with mosquitto(tmp_path, tls_options(server, authority.ca_file)) as broker:
        yield broker


def table(port: int, **changes: object) -> BrokerTable:
    return checked(BrokerTable, {"host": "127.0.0.1", "port": port, "ca_file": "ca.pem"} | changes)


def test_broker_with_tls_is_reached_and_its_certificate_read(tmp_path: Path, secured: Mosquitto) -> None:
    facts = broker_facts(table(secured.port), tmp_path)
    assert (facts.addresses, facts.lookup_error, facts.connect_error, facts.tls_error) == (("127.0.0.1",), "", "", "")
    assert facts.certificate == certificate_facts(tmp_path / "broker.pem")
    assert facts.certificate is not None
    assert facts.certificate.name == "broker"


def test_certificate_for_another_name_is_told_as_such(tmp_path: Path, secured: Mosquitto) -> None:
    facts = broker_facts(table(secured.port, host="localhost"), tmp_path)
    assert "certificate is not accepted" in facts.tls_error
    assert facts.connect_error == ""


def test_certificate_of_another_ca_is_told_as_such(tmp_path: Path, secured: Mosquitto) -> None:
    Authority(tmp_path, "other")
    assert "certificate is not accepted" in broker_facts(table(secured.port, ca_file="other.pem"), tmp_path).tls_error


def test_broker_that_is_not_there_and_a_name_that_is_nobodys(tmp_path: Path, authority: Authority) -> None:
    assert "refused" in broker_facts(table(free_port()), tmp_path).connect_error
    assert "looked up" in broker_facts(table(1, host="broker.invalid"), tmp_path).lookup_error


def test_file_that_is_no_certificate_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "car.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"car\.pem: no certificate"):
        certificate_facts(tmp_path / "car.pem")


# --- the command ----------------------------------------------------------------------------------------------------


def doctor(config: Path) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit status, and findings by name."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = main(["doctor", "--config", str(config), "--listen-s", "0.1", "--json"])
    found = [json.loads(line) for line in said.getvalue().splitlines()]
    assert all(each.keys() == {"name", "verdict", "found", "advice"} for each in found)
    return status, {each["name"]: each for each in found}


def verdicts(found: dict[str, dict[str, str]], *, of: str) -> dict[str, str]:
    return {name: each["verdict"] for name, each in found.items() if name.startswith(of)}


async def test_agent_at_work_is_well_and_says_what_it_has_heard(tmp_path: Path) -> None:
    async with BenchBroker() as broker, live_car(tmp_path, car_port=broker.port, backend_port=broker.port) as live:
        expected = _expected(load_profile(demo_folder()), "body")
        await soon(lambda: all(live.status()["frames"][name]["received"] for name in expected), what="every message")
        await soon(lambda: live.status()["readings"][LOW_VOLTAGE]["value"], what="more than start-up markers")
        status, found = await asyncio.to_thread(doctor, live.installed.files.agent_toml)
    assert (status, [each for each in found.values() if each["verdict"] == "fault"]) == (EXIT_DONE, [])
    assert verdicts(found, of="can.body") == {
        "can.body.link": "ok",
        "can.body.bit_rate": "ok",
        "can.body.listen_only": "unknown",
        "can.body.frames": "ok",
        "can.body.profile": "ok",
        "can.body.health": "ok",
    }
    for name in ("configuration", "key.vehicle.key", "broker.name", "broker.connection", "broker.link", "store"):
        assert found[name]["verdict"] == "ok", found[name]
    assert found["supply_12v"]["found"].endswith("not below power.warn_v = 12.4 V")
    assert found["power_supervisor"]["found"].startswith("none is configured")


def test_car_on_which_nothing_is_in_order_is_told_all_of_it_at_once(tmp_path: Path) -> None:
    installed = install(tmp_path / "bench", broker_port=free_port(), channel="can987")
    config = installed.files.agent_toml
    (config.parent / "vehicle.key").unlink()
    status, found = doctor(config)
    assert status == EXIT_FAILED
    faults = {name for name, each in found.items() if each["verdict"] == "fault"}
    assert faults >= {"configuration", "key.vehicle.key", "can.body.link", "broker.connection"}
    assert all(each["advice"] for each in found.values() if each["verdict"] in ("fault", "warning"))
    assert verdicts(found, of="supply") == {"supply_12v": "unknown"}


def test_configuration_that_cannot_be_read_leaves_the_computer_to_be_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text("[car]\nname = 7\n")
    status, found = doctor(config)
    assert status == EXIT_FAILED
    assert "car.name" in found["configuration"]["found"]
    assert found["clock"]["verdict"] != "unknown"
    assert {"can", "broker", "store"} <= {name for name, each in found.items() if each["verdict"] == "unknown"}
    assert main(["doctor", "--config", str(config)]) == EXIT_FAILED
    assert "fault    configuration" in capsys.readouterr().out


def test_place_that_may_not_be_looked_at_ends_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may look everywhere, so a name that is too long stands for one that is not allowed."""
    installed = install(tmp_path / "bench", broker_port=free_port())
    (installed.files.agent_toml.parent / "vehicle.key").unlink()
    place = tmp_path / ("x" * 300)
    monkeypatch.setattr(examination, "SEALED", place)
    monkeypatch.setattr(examination, "key_facts", partial(key_facts, sealed=place))
    status, found = doctor(installed.files.agent_toml)
    assert status == EXIT_FAILED
    assert found["key"]["verdict"] == "unknown"
    assert "File name too long" in found["key"]["found"]


def test_file_that_may_not_be_looked_at_is_a_fault_and_the_rest_is_told(tmp_path: Path) -> None:
    config = install(tmp_path / "bench", broker_port=free_port()).files.agent_toml
    config.write_text(re.sub(r'profile = ".*"', f'profile = "{"x" * 300}"', config.read_text()))
    status, found = doctor(config)
    assert status == EXIT_FAILED
    assert "File name too long" in found["configuration"]["found"]
    assert "clock" in found


def test_check_that_fails_itself_says_so_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("nobody thought of this")

    installed = install(tmp_path / "bench", broker_port=free_port())
    monkeypatch.setattr(examination, "check_bus", broken)
    _, found = doctor(installed.files.agent_toml)
    assert found["can"]["verdict"] == "unknown"
    assert "nobody thought of this" in found["can"]["found"]
    assert list(found)[-1] == "power_supervisor"
