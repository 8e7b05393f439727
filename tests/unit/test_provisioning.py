"""The keys of a car, and the request that speaks of them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from agent.adapters.files import read_key_file
from agent.cli import main
from agent.command.enrolment import proof_bytes
from agent.errors import ConfigurationError
from agent.provisioning import provision

FILES = {"vehicle.key": 0o600, "tls.key": 0o600, "request.json": 0o644}


def test_keys_stay_and_a_request_goes(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "car"
    request = provision(folder)
    assert json.loads((folder / "request.json").read_text()) == request
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == FILES
    assert request.keys() == {"format", "public_key", "csr", "proof"}

    vehicle_key = Ed25519PrivateKey.from_private_bytes(read_key_file(folder / "vehicle.key"))
    assert request["public_key"] == vehicle_key.public_key().public_bytes_raw().hex()

    asked = x509.load_pem_x509_csr(str(request["csr"]).encode())
    tls_key = load_pem_private_key((folder / "tls.key").read_bytes(), None)
    assert isinstance(tls_key, ec.EllipticCurvePrivateKey)
    assert tls_key.curve.name == "secp256r1"
    assert asked.is_signature_valid
    assert asked.public_key() == tls_key.public_key()
    assert list(asked.subject) == []
    vehicle_key.public_key().verify(bytes.fromhex(str(request["proof"])), proof_bytes(asked.public_bytes(Encoding.DER)))


def test_no_two_cars_are_alike(tmp_path: Path) -> None:
    one, other = (provision(tmp_path / name, is_standalone=True) for name in ("one", "other"))
    assert all(one[key] != other[key] for key in ("car", "public_key", "csr", "proof"))


def test_a_car_without_a_fleet_draws_its_own_id(tmp_path: Path) -> None:
    assert len(bytes.fromhex(str(provision(tmp_path, is_standalone=True)["car"]))) == 8


@pytest.mark.parametrize("kept", FILES)
def test_an_identity_is_never_overwritten(tmp_path: Path, kept: str) -> None:
    (tmp_path / kept).write_text("mine")
    with pytest.raises(ConfigurationError, match=rf"{kept}: is there already; this car has an identity and keeps it"):
        provision(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {kept: "mine"}


def test_a_folder_that_cannot_be_made_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["provision", str(tmp_path / "file" / "car")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "cannot be written: Not a directory" in told.err


@pytest.mark.hazard("H139")
def test_no_private_key_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["provision", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == json.loads((tmp_path / "request.json").read_text())
    for name in ("vehicle.key", "tls.key"):
        secret = [line for line in (tmp_path / name).read_text().splitlines() if "-----" not in line]
        assert secret
        assert not any(line in told.out + told.err for line in secret)


def test_the_proof_is_no_signature_of_a_message() -> None:
    """Made once and written down: what is signed may not change under cars that are being enrolled."""
    assert proof_bytes(b"csr").hex() == "846a5369676e61747572653140" + "4c637361312f72657175657374" + "43637372"
