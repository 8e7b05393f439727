from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.adapters.files import DATABASES_MAX, provision, read_key_file, read_profile_texts, read_text
from agent.errors import ConfigurationError

SEED = bytes(range(32))


def key_file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_text_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("\ufeffgrüßt".encode())
    assert read_text(tmp_path / "a") == "grüßt"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b"one\ntwo\n\xff\n"), ":3: not UTF-8"),
        (lambda path: path.write_bytes(bytes((1 << 20) + 1)), "larger than 1048576 bytes"),
    ],
)
def test_text_that_cannot_be_had_is_a_fault_of_the_configuration(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "agent.toml"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=words) as fault:
        read_text(path)
    assert str(path) in str(fault.value)


def test_a_profile_is_its_toml_and_the_databases_beside_it(tmp_path: Path) -> None:
    (tmp_path / "profile.toml").write_text("format = 1")
    (tmp_path / "vehicle.dbc").write_bytes(b"VERSION")
    (tmp_path / "OTHER.KCD").write_bytes(b"<x/>")
    (tmp_path / "drive.log").write_bytes(b"(0.0) body 123#00")
    (tmp_path / "folder.dbc").mkdir()
    assert read_profile_texts(tmp_path) == ("format = 1", {"vehicle.dbc": b"VERSION", "OTHER.KCD": b"<x/>"})


def test_a_profile_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        read_profile_texts(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"profile\.toml: no such file"):
        read_profile_texts(tmp_path)


def test_a_profile_has_a_bounded_number_of_databases_sr_09(tmp_path: Path) -> None:
    (tmp_path / "profile.toml").write_text("")
    for number in range(DATABASES_MAX + 1):
        (tmp_path / f"{number}.dbc").touch()
    with pytest.raises(ConfigurationError, match="65 message databases"):
        read_profile_texts(tmp_path)


@pytest.mark.parametrize(
    "content", [SEED, SEED.hex().encode(), SEED.hex().upper().encode() + b"\n", b" " + SEED.hex().encode()]
)
def test_a_key_is_read_raw_or_in_hex(tmp_path: Path, content: bytes) -> None:
    assert read_key_file(key_file(tmp_path / "vehicle.key", content)) == SEED


@pytest.mark.parametrize(
    "content", [b"", SEED[:31], SEED + b"\n", SEED.hex().encode()[:-2], b"z" * 64, "ü".encode() * 32]
)
def test_what_is_no_key_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="no key"):
        read_key_file(key_file(tmp_path / "vehicle.key", content))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o601, 0o644, 0o777])
def test_a_key_others_may_touch_is_refused_with_the_remedy_h135(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path / "vehicle.key", SEED, mode)
    with pytest.raises(ConfigurationError) as fault:
        read_key_file(path)
    assert f"mode {mode:04o}" in str(fault.value)
    assert f"chmod 600 {path}" in str(fault.value)


def test_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"vehicle\.key: cannot be read: No such file"):
        read_key_file(tmp_path / "vehicle.key")


def test_provisioning_makes_a_key_that_stays_and_a_request_that_goes(tmp_path: Path) -> None:
    directory = tmp_path / "car"
    request = provision(directory)
    assert stat.S_IMODE((directory / "vehicle.key").stat().st_mode) == 0o600
    public = Ed25519PrivateKey.from_private_bytes(read_key_file(directory / "vehicle.key")).public_key()
    assert request["public_key"] == public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    assert len(bytes.fromhex(request["car"])) == 8
    assert json.loads((directory / "request.json").read_text()) == request
    assert provision(tmp_path / "other")["car"] != request["car"]


@pytest.mark.parametrize("kept", ["vehicle.key", "request.json"])
def test_an_identity_is_never_overwritten(tmp_path: Path, kept: str) -> None:
    (tmp_path / kept).write_text("mine")
    with pytest.raises(ConfigurationError, match="has an identity and keeps it"):
        provision(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {kept: "mine"}
