"""`carshare-agent provision`: a car makes its own keys, none of which ever leaves it, and asks to be enrolled (A16)."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from agent.adapters.files import SEED_BYTES, sync_directory, write_new
from agent.command.enrolment import REQUEST_FORMAT, proof_bytes
from agent.command.fields import CAR_BYTES
from agent.errors import ConfigurationError

VEHICLE_KEY_FILE = "vehicle.key"
TLS_KEY_FILE = "tls.key"
REQUEST_FILE = "request.json"


def provision(directory: Path, *, is_standalone: bool = False) -> dict[str, object]:
    """Make key V (`vehicle.key`), the TLS key (`tls.key`), and `request.json` for the operator, who draws the car's id.

    Returns the request: `{"format": 1, "public_key": 64 hex digits of V, "csr": certificate request signed by the TLS
    key, PEM, "proof": 128 hex digits, V's signature over it}`.  A car that nobody enrols draws its id itself: with
    `is_standalone` the request has `"car": 16 hex digits` too.  Files that are there already are never overwritten: a
    car that has an identity keeps it (ConfigurationError).
    """
    seed = secrets.token_bytes(SEED_BYTES)
    vehicle_key = Ed25519PrivateKey.from_private_bytes(seed)
    tls_key = ec.generate_private_key(ec.SECP256R1())
    request: dict[str, object] = {"car": secrets.token_hex(CAR_BYTES)} if is_standalone else {}
    request |= _request(vehicle_key, tls_key)
    files = {
        VEHICLE_KEY_FILE: (seed.hex().encode() + b"\n", 0o600),
        TLS_KEY_FILE: (tls_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600),
        # Last: where there is a request, there are the keys that it speaks of.
        REQUEST_FILE: (json.dumps(request).encode() + b"\n", 0o644),
    }
    for name in files:
        if (directory / name).exists():
            raise ConfigurationError(_kept(directory / name))
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, (content, mode) in files.items():
            write_new(directory / name, content, mode)
        sync_directory(directory)
    except FileExistsError as error:
        raise ConfigurationError(_kept(error.filename)) from None
    except OSError as error:
        raise ConfigurationError(f"{error.filename or directory}: cannot be written: {error.strerror}") from None
    return request


def _kept(path: Path | str) -> str:
    return f"{path}: is there already; this car has an identity and keeps it. To give it a new one, move the old away"


def _request(vehicle_key: Ed25519PrivateKey, tls_key: ec.EllipticCurvePrivateKey) -> dict[str, object]:
    """The subject stays empty: who this car is, is for the operator to say, in the certificate."""
    asked = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(tls_key, hashes.SHA256())
    return {
        "format": REQUEST_FORMAT,
        "public_key": vehicle_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
        "csr": asked.public_bytes(Encoding.PEM).decode(),
        "proof": vehicle_key.sign(proof_bytes(asked.public_bytes(Encoding.DER))).hex(),
    }
