"""H25: which 32 bytes may become a key, at both ends. The oracle is the group law itself, written out."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import agent.cli as agent_cli
from agent.backend.keys import CarRequest, make_key, read_request
from agent.backend.registry import add_car
from agent.backend.settings import parse_settings
from agent.command.keys import load_public_key
from agent.errors import ConfigurationError
from tests.support.edwards import P, encodings, small_order_points, x_of
from tests.support.envelopes import COMMAND_KEY
from tests.vectors import make_vectors


def test_ordinary_keys_are_loaded() -> None:
    for number in range(64):
        key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key()
        loaded = load_public_key(key.public_bytes_raw())
        assert loaded is not None and loaded.public_bytes_raw() == key.public_bytes_raw()


def test_all_points_of_small_order_are_refused_in_every_spelling() -> None:
    points = small_order_points()
    assert len(points) == 8
    spellings = {raw for point in points for raw in encodings(point)}
    assert len(spellings) == 14  # the list of 14 that other implementations carry
    assert [raw.hex() for raw in spellings if load_public_key(raw) is not None] == []


@pytest.mark.parametrize("y", [P, P + 1, P + 3, P + 18, 2**255 - 1])
def test_y_not_below_the_prime_is_refused(y: int) -> None:
    for sign in (0, 1):
        assert load_public_key((y | sign << 255).to_bytes(32, "little")) is None


def test_y_that_no_point_has_is_refused() -> None:
    """About half of all y; the refused are exactly those without an x."""
    for y in range(2, 100):
        is_loaded = load_public_key(y.to_bytes(32, "little")) is not None
        assert is_loaded == (x_of(y) is not None), y


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_other_length_is_refused(length: int) -> None:
    raw = COMMAND_KEY.public_key().public_bytes_raw() * 2
    assert load_public_key(raw[:length]) is None


# --- the same vectors wherever a key comes in -------------------------------------------------------------------------

VECTORS = json.loads((Path(make_vectors.HERE) / "public_keys.json").read_text())
REFUSED = [pytest.param(vector["public_hex"], id=vector["what"]) for vector in VECTORS["refused"]]

DEMO = Path(make_vectors.HERE).parents[1] / "dbc" / "demo_hatchback"

AGENT_TOML = f"""\
[car]
id = "5ca1ab1e0ddba115"
profile = "{DEMO}"
key_file = "vehicle.key"
[buses.body]
channel = "can0"
[broker]
host = "127.0.0.1"
[[operators]]
number = 7
[[operators.command_keys]]
id = "00000001"
public_key = "KEY"
actions = ["unlock", "lock"]
"""

BACKEND_TOML = """\
[operator]
number = 1
key_file = "operator-1.key"
[broker]
host = "127.0.0.1"
[[cars]]
name = "demo"
id = "0123456789abcdef"
public_key = "KEY"
"""


def test_vectors_are_every_point_of_small_order_and_every_malformed_kind() -> None:
    refused = {bytes.fromhex(vector["public_hex"]) for vector in VECTORS["refused"]}
    assert {raw for point in small_order_points() for raw in encodings(point)} <= refused
    assert all(len(raw) == 32 for raw in refused)
    ys = [int.from_bytes(raw, "little") & (1 << 255) - 1 for raw in refused]
    assert any(y >= P for y in ys)
    assert any(y < P and x_of(y) is None for y in ys)
    assert json.loads(make_vectors.text(make_vectors.public_keys())) == VECTORS


def told_by_the_car(command: str, public_hex: str, folder: Path) -> str:
    """What is wrong with a car's configuration; there is always something, for it has no key of its own."""
    path = folder / "agent.toml"
    kid = sha256(bytes.fromhex(public_hex)).digest()[:4].hex()
    path.write_text(AGENT_TOML.replace("KEY", public_hex).replace("00000001", kid))
    options = agent_cli._parser().parse_args([command, "--config", str(path)])
    with pytest.raises(ConfigurationError) as caught:
        options.work(options)
    return str(caught.value)


@pytest.mark.parametrize("public_hex", REFUSED)
def test_car_refuses_to_start_or_pass_a_check_with_a_weak_key_h25(public_hex: str, tmp_path: Path) -> None:
    for command in ("run", "check"):
        assert "agent.toml:13: operators[0].command_keys[0].public_key: " in told_by_the_car(
            command, public_hex, tmp_path
        )


@pytest.mark.parametrize("public_hex", REFUSED)
def test_backend_refuses_a_car_with_a_weak_key_h25(public_hex: str, tmp_path: Path) -> None:
    """In its configuration, and in the request of a car that is to be added, which then changes nothing."""
    make_key(tmp_path / "operator-1.key")
    path = tmp_path / "backend.toml"
    with pytest.raises(ConfigurationError, match=r":9: cars\[0\]\.public_key: .*no proper Ed25519 public key"):
        parse_settings(BACKEND_TOML.replace("KEY", public_hex), path)
    path.write_text(BACKEND_TOML.partition("[[cars]]")[0])
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"car": "0123456789abcdef", "public_key": public_hex}))
    with pytest.raises(ConfigurationError, match="public_key: is no proper Ed25519 public key"):
        read_request(request)
    with pytest.raises(ConfigurationError, match="no proper Ed25519 public key"):
        add_car(path, "demo", CarRequest("0123456789abcdef", public_hex))
    assert "cars" not in path.read_text()


@pytest.mark.parametrize("public_hex", VECTORS["accepted"])
def test_proper_key_is_taken_at_both_ends(public_hex: str, tmp_path: Path) -> None:
    """So that the refusals above are of the key and of nothing else."""
    make_key(tmp_path / "operator-1.key")
    settings = parse_settings(BACKEND_TOML.replace("KEY", public_hex), tmp_path / "backend.toml")
    assert settings.car("demo").public_key.public_bytes_raw().hex() == public_hex
    for command in ("run", "check"):
        told = told_by_the_car(command, public_hex, tmp_path)
        assert "vehicle.key" in told
        assert "public_key" not in told
