"""A car's request: what a stranger could have changed in it is seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from agent.backend.enrolment import read_enrol_request
from agent.errors import ConfigurationError
from agent.provisioning import provision

Request = dict[str, Any]


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    provision(tmp_path / "car")
    return tmp_path / "car" / "request.json"


def csr_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    asked = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    return asked.public_bytes(Encoding.PEM).decode()


def test_a_request_as_a_car_makes_it_is_taken(request_file: Path) -> None:
    request = read_enrol_request(request_file)
    written = json.loads(request_file.read_text())
    assert request.public_key.hex() == written["public_key"]
    assert request.tls_public_key == x509.load_pem_x509_csr(written["csr"].encode()).public_key()


def with_other_csr(request: Request) -> None:
    """Whoever carries the request would like a certificate for a key of his own."""
    request["csr"] = csr_of(ec.generate_private_key(ec.SECP256R1()))


def with_tampered_csr(request: Request) -> None:
    der = bytearray(x509.load_pem_x509_csr(request["csr"].encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    request["csr"] = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()


def with_other_vehicle_key(request: Request) -> None:
    request["public_key"] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, test 1


def with_flipped_proof(request: Request) -> None:
    request["proof"] = f"{int(request['proof'][0], 16) ^ 1:x}" + request["proof"][1:]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (with_other_csr, "proof: the vehicle key did not sign this certificate request"),
        (with_other_vehicle_key, "proof: the vehicle key did not sign this certificate request"),
        (with_flipped_proof, "proof: the vehicle key did not sign this certificate request"),
        (with_tampered_csr, "csr: is not signed by the key it names"),
        (lambda r: r.update(public_key="01" + "00" * 31), "public_key: is not a proper Ed25519 public key"),
        (lambda r: r.update(public_key="ff" * 32), "public_key: is not a proper Ed25519 public key"),
        (lambda r: r.update(public_key=r["public_key"].upper()), "public_key: .*expected 64 hexadecimal digits"),
        (lambda r: r.update(csr="-----BEGIN"), "csr: cannot be read"),
        (lambda r: r.update(csr=7), "csr: 7 does not fit"),
        (lambda r: r.pop("csr"), "csr: missing"),
        (lambda r: r.update(csr=csr_of(ec.generate_private_key(ec.SECP384R1()))), "csr: .*expected P-256"),
        (lambda r: r.pop("proof"), "proof: missing"),
        (lambda r: r.update(proof="00"), "proof: '00' does not fit"),
        (lambda r: r.update(format=2), "format 2; expected 1"),
        (lambda r: r.pop("format"), "format None; expected 1"),
        (lambda r: r.update(car="0123456789abcdef"), "has drawn its own id.*keys add-car"),
    ],
)
def test_a_request_that_is_not_one_cars_own_is_refused(
    request_file: Path, change: Callable[[Request], object], problem: str
) -> None:
    request = json.loads(request_file.read_text())
    change(request)
    request_file.write_text(json.dumps(request))
    with pytest.raises(ConfigurationError, match=problem) as refused:
        read_enrol_request(request_file)
    assert str(request_file) in str(refused.value)


def test_everything_that_is_wrong_is_told_at_once(request_file: Path) -> None:
    request_file.write_text('{"format": 1, "public_key": "x"}')
    with pytest.raises(ConfigurationError) as refused:
        read_enrol_request(request_file)
    assert [line.split(": ")[1] for line in str(refused.value).splitlines()] == ["public_key", "csr"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "not JSON"), ("[" * 9000, "not JSON"), ("[]", "expected a JSON object"), (" " * 20_000, "larger than")],
)
def test_what_is_no_request_is_one_clear_line(request_file: Path, text: str, problem: str) -> None:
    request_file.write_text(text)
    with pytest.raises(ConfigurationError, match=problem):
        read_enrol_request(request_file)
