"""`backend.toml`: what it gives, and every fault in it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.backend.keys import make_key, raw_public
from agent.backend.registry import example_text
from agent.backend.settings import BrokerAddress, is_loopback, load_settings, parse_settings
from agent.errors import ConfigurationError
from tests.support.scripted_car import settings

PUBLIC_KEY = "11" * 32

GOOD = f"""[operator]
number = 1
name = "Demo operator"
key_file = "operator-1.key"

[broker]
host = "127.0.0.1"
port = 1883

[[cars]]
name = "demo"
id = "0123456789abcdef"
public_key = "{PUBLIC_KEY}"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_key(tmp_path / "operator-1.key")
    return tmp_path / "backend.toml"


def faults_in(text: str, path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(text, path)
    return [line.removeprefix(str(path)) for line in str(caught.value).splitlines()]


def test_a_good_file_gives_operator_broker_and_cars(path: Path) -> None:
    path.write_text(GOOD)
    settings = load_settings(path)
    assert (settings.operator.number, settings.operator.name) == (1, "Demo operator")
    assert len(settings.operator.kid) == 4
    assert settings.broker == BrokerAddress("127.0.0.1", 1883)
    car = settings.car("demo")
    assert (car.name, car.id.hex(), raw_public(car.public_key).hex()) == ("demo", "0123456789abcdef", PUBLIC_KEY)


def test_the_sample_shows_every_key_and_loads(path: Path) -> None:
    path.write_text(example_text())
    settings = load_settings(path)
    folder = path.parent
    assert settings.broker == BrokerAddress(
        "broker.example.org", 8883, folder / "ca.pem", folder / "backend.pem", folder / "backend-tls.key", 30
    )
    for key in ("number", "name", "key_file", "host", "port", "ca_file", "certificate_file", "keep_alive_s"):
        assert f"\n{key} = " in example_text()


def test_five_faults_are_told_at_once_with_their_lines(path: Path) -> None:
    text = (
        GOOD.replace("number = 1\n", "number = 0\n")
        .replace('host = "127.0.0.1"', 'hosts = "127.0.0.1"')
        .replace("port = 1883", 'port = "1883"')
        .replace("0123456789abcdef", "0123")
    )
    assert faults_in(text, path) == [
        ":2: operator.number: 0 does not fit; expected Input should be greater than or equal to 1",
        ":6: broker.host: missing; expected a value; there is no default",
        ":7: broker.hosts: unknown key; expected one of host",
        ":8: broker.port: '1883' does not fit; expected Input should be a valid integer",
        ":12: cars[0].id: '0123' does not fit; expected String should match pattern '^[0-9a-f]{16}$'",
    ]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[broker]", "[broker", ":6: not valid TOML"),
        ('host = "127.0.0.1"', 'host = "10.0.0.1"', ":7: broker.host: a plain connection to '10.0.0.1'; expected ca_"),
        ("port = 1883", 'certificate_file = "b.pem"', ":6: broker: certificate_file and key_file go together"),
        ("port = 1883", 'certificate_file = "b.pem"', ":6: broker: certificate_file without ca_file"),
        ("port = 1883", 'ca_file = ""', ":8: broker.ca_file: '' does not fit"),
        ("port = 1883", "port = 70000", ":8: broker.port: 70000 does not fit"),
        ("port = 1883", "keep_alive_s = 4", ":8: broker.keep_alive_s: 4 does not fit"),
        ('"operator-1.key"', '"nowhere.key"', ":4: operator.key_file: there is no key file"),
        ('"demo"', '"de mo"', ":11: cars[0].name: 'de mo' does not fit"),
        (PUBLIC_KEY, "AB" * 32, ":13: cars[0].public_key: "),
        ("[[cars]]", "[[car]]", ":10: car: unknown key; expected one of cars"),
        ("[operator]", "[operators]", "operator: missing"),
    ],
)
def test_a_fault_has_its_line_key_and_expectation(path: Path, old: str, new: str, fault: str) -> None:
    assert old in GOOD
    assert any(line.startswith(fault) or fault in line for line in faults_in(GOOD.replace(old, new), path))


def test_a_car_that_stands_twice_is_told_along_with_other_faults(path: Path) -> None:
    second = GOOD[GOOD.index("[[cars]]") :]
    lines = faults_in(GOOD.replace("1883", "0") + "\n" + second, path)
    assert [line.split(":")[1] for line in lines] == ["8", "16", "17"]
    assert "cars[1].name: 'demo' stands here twice" in lines[1]
    assert "cars[1].id: '0123456789abcdef' stands here twice" in lines[2]


def test_a_key_that_others_can_read_is_a_fault_of_the_line_that_names_it(path: Path) -> None:
    (path.parent / "operator-1.key").chmod(0o644)
    (line,) = faults_in(GOOD, path)
    assert line.startswith(":4: operator.key_file: ")
    assert "mode 0644" in line
    assert "chmod 600" in line


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Name one with --config.*fleet init DIR"):
        load_settings(tmp_path / "backend.toml")


def test_a_folder_or_a_binary_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)
    (tmp_path / "backend.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"not UTF-8 text \(byte 0\)"):
        load_settings(tmp_path / "backend.toml")


def test_an_unknown_car_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"no car named 'demmo'\. Did you mean 'demo'\? Known: demo"):
        settings().car("demmo")


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("0.0.0.0", False),  # noqa: S104 - not listened on
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_only_a_loopback_address_may_go_without_tls(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local
