"""Key files, car requests, and the tables made of them."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from agent.backend.keys import (
    CarRequest,
    car_table,
    key_id,
    make_key,
    operator_table,
    raw_public,
    read_key,
    read_request,
)
from agent.config import parse_config
from agent.errors import ConfigurationError
from tests.support.scripted_car import OPERATOR_KEY

AGENT_TOML = """
[car]
id = "0123456789abcdef"
profile = "demo"
key_file = "car.key"

[buses.body]
channel = "can0"

[broker]
host = "localhost"

"""


def test_a_key_that_was_made_is_read_again_and_only_the_owner_can(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "operator-1.key"
    made = make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert raw_public(read_key(path).public_key()) == raw_public(made.public_key())


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    make_key(tmp_path / "operator-1.key")
    before = (tmp_path / "operator-1.key").read_bytes()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        make_key(tmp_path / "operator-1.key")
    assert (tmp_path / "operator-1.key").read_bytes() == before


def test_no_two_keys_are_alike(tmp_path: Path) -> None:
    keys = [make_key(tmp_path / name) for name in ("a", "b")]
    assert len({raw_public(key.public_key()) for key in keys}) == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_touch_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "operator-1.key"
    make_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"mode {mode:04o}.*chmod 600"):
        read_key(path)


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32, "-----BEGIN PRIVATE KEY-----", "\0" * 300])
def test_a_file_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "operator-1.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="expected 64 hexadecimal digits"):
        read_key(path)


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="carshare-backend keys new"):
        read_key(tmp_path / "operator-1.key")


def test_the_operators_table_is_what_the_cars_agent_reads() -> None:
    table = operator_table(3, 'Gmünd "Mobil"', OPERATOR_KEY.public_key())
    config = parse_config(AGENT_TOML + table, source="agent.toml")
    assert not isinstance(config, list), config
    (operator,) = config.operators
    (key,) = operator.command_keys
    assert (operator.number, operator.name) == (3, 'Gmünd "Mobil"')
    assert key.id == key_id(OPERATOR_KEY.public_key()).hex() == "56475aa7"
    assert key.public_key == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    assert key.actions == ["unlock", "lock", "report"]


def test_a_cars_request_becomes_its_table(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text('{"car": "0123456789abcdef", "public_key": "' + "11" * 32 + '", "agent": "0.1.0"}')
    request = read_request(path)
    assert request == CarRequest("0123456789abcdef", "11" * 32)
    assert tomllib.loads(car_table("demo", request)) == {
        "cars": [{"name": "demo", "id": "0123456789abcdef", "public_key": "11" * 32}]
    }


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["not JSON"]),
        ("[" * 60_000, ["not JSON"]),
        ("[]", ["expected a JSON object"]),
        ("{}", ["car: missing", "public_key: missing"]),
        (
            '{"csr": "-----BEGIN", "public_key": "ab"}',
            ["gives it one: carshare-backend enroll", "--standalone"],
        ),
        ('{"car": 1, "public_key": "AB"}', ["car: 1 does not fit", "public_key: 'AB' does not fit"]),
        ('{"car": "0123456789ABCDEF", "public_key": null}', ["lower case", "public_key: None does not fit"]),
    ],
)
def test_a_request_is_refused_with_everything_that_is_wrong(tmp_path: Path, text: str, problems: list[str]) -> None:
    path = tmp_path / "request.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_request(path)
    for problem in problems:
        assert problem in str(caught.value)


def test_a_missing_request_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"request\.json: cannot be read: No such file or directory"):
        read_request(tmp_path / "request.json")
