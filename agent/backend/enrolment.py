"""A car's request to be enrolled, checked in every part; and the answer that makes it a car of the fleet."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from agent.backend.files import read_object
from agent.backend.keys import raw_public
from agent.backend.settings import BrokerAddress
from agent.command.enrolment import ANSWER_FORMAT, REQUEST_FORMAT, proof_bytes
from agent.command.keys import load_public_key
from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass

# A request is about 700 bytes; the answer, with two certificates and a bundle, up to 10 KiB.
_REQUEST_BYTES_MAX = 16 * 1024


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """What a car asked for, and proved: V signed the certificate request, and that is signed by the TLS key in it."""

    public_key: bytes
    tls_public_key: ec.EllipticCurvePublicKey


def read_enrol_request(path: Path) -> EnrolRequest:
    """The request in a file that `carshare-agent provision` wrote; ConfigurationError with everything wrong in it."""
    document = read_object(path, _REQUEST_BYTES_MAX)
    if "car" in document:
        raise ConfigurationError(
            f"{path}: this car has drawn its own id (provision --standalone), and a fleet gives it one; provision it "
            "again without --standalone, or register it with: carshare-backend keys add-car NAME REQUEST.json"
        )
    if document.get("format") != REQUEST_FORMAT:
        raise ConfigurationError(
            f"{path}: format {document.get('format')!r:.20}; expected {REQUEST_FORMAT}, which this version's "
            "`carshare-agent provision` writes"
        )
    vehicle_key, asked = _vehicle_key(document), _certificate_request(document)
    faults = [fault for fault in (vehicle_key, asked) if isinstance(fault, str)]
    if isinstance(vehicle_key, str) or isinstance(asked, str):
        raise ConfigurationError("\n".join(f"{path}: {fault}" for fault in faults))
    csr, tls_public_key = asked
    if fault := _proof_fault(document, vehicle_key, csr):
        raise ConfigurationError(f"{path}: {fault}")
    return EnrolRequest(raw_public(vehicle_key), tls_public_key)


def answer_text(
    *,
    car: bytes,
    certificate: x509.Certificate,
    authority_pem: bytes,
    bundle: bytes,
    broker: BrokerAddress,
    operator: int,
) -> str:
    """What the car is told, as JSON; nothing in it is secret."""
    document = {
        "format": ANSWER_FORMAT,
        "car": car.hex(),
        "operator": operator,
        "broker": {"host": broker.host, "port": broker.port},
        "certificate": certificate.public_bytes(Encoding.PEM).decode(),
        "ca": authority_pem.decode(),
        "bundle": base64.b64encode(bundle).decode(),
    }
    return json.dumps(document, indent=1) + "\n"


def _vehicle_key(document: dict[str, object]) -> Ed25519PublicKey | str:
    """The key V, or what is wrong with it."""
    text = document.get("public_key")
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-f]{64}", text):
        return f"public_key: {_shown(text)}; expected 64 hexadecimal digits in lower case"
    return load_public_key(bytes.fromhex(text)) or (
        "public_key: is not a proper Ed25519 public key; the car must make a new one"
    )


def _certificate_request(
    document: dict[str, object],
) -> tuple[x509.CertificateSigningRequest, ec.EllipticCurvePublicKey] | str:
    """The certificate request and the TLS key that it is of, or what is wrong with it."""
    text = document.get("csr")
    if not isinstance(text, str):
        return f"csr: {_shown(text)}; expected a certificate request in PEM"
    try:
        asked = x509.load_pem_x509_csr(text.encode())
        key = asked.public_key()
        is_own = asked.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "csr: cannot be read; expected a certificate request in PEM"
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        return "csr: its key is not of the kind that cars have; expected P-256"
    if not is_own:
        return "csr: is not signed by the key it names; it was changed on the way, or names another's key"
    return asked, key


def _proof_fault(
    document: dict[str, object], vehicle_key: Ed25519PublicKey, asked: x509.CertificateSigningRequest
) -> str | None:
    text = document.get("proof")
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-f]{128}", text):
        return f"proof: {_shown(text)}; expected 128 hexadecimal digits in lower case"
    try:
        vehicle_key.verify(bytes.fromhex(text), proof_bytes(asked.public_bytes(Encoding.DER)))
    except InvalidSignature:
        return "proof: the vehicle key did not sign this certificate request; the two are not of one car"
    return None


def _shown(value: object) -> str:
    return "missing" if value is None else f"{value!r:.40} does not fit"
