"""A car takes the answer to its request to be enrolled, after a look at every part of it (A16)."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.adapters.files import read_bytes, read_key_file, require_private, sync_directory, write_new
from agent.command.bundle import Role
from agent.command.cosign import key_id
from agent.command.enrolment import ANSWER_FORMAT
from agent.command.trust import SignedBundle, has_own_threshold, open_bundle
from agent.config import HexCar
from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass
from agent.profiles.schema import Profile
from agent.provisioning import TLS_KEY_FILE, VEHICLE_KEY_FILE

CONFIGURATION_FILE = "agent.toml"

# Two certificates of a kilobyte each, and a bundle of up to four.
_ANSWER_BYTES_MAX = 64 * 1024
_KEY_BYTES_MAX = 4096


class _Broker(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)


class _Answer(BaseModel):
    """As `carshare-backend enroll` writes it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: int
    car: HexCar
    operator: int = Field(ge=1, le=2**31 - 1)
    broker: _Broker
    certificate: str
    ca: str
    bundle: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was taken: the car's id, and by whom it was given, for a person to compare."""

    car: str
    operator: int
    fleet: str
    bundle_version: int
    roots: tuple[str, ...]


def accept(answer_file: Path, directory: Path, profile: Profile, profile_directory: Path) -> Accepted:
    """Check the answer, and write `ca.pem`, `car.pem`, `bundle.cbor` and a first `agent.toml` beside the car's keys.

    Everything that is wrong is told at once (ConfigurationError), and then nothing is written.  A file that is there
    already with other content is never overwritten; one with the same stays, so that a power cut in between does no
    harm.
    """
    answer = _read(answer_file)
    read_key_file(directory / VEHICLE_KEY_FILE)
    signed = _bundle(answer)
    faults = [*_certificate_faults(answer, directory / TLS_KEY_FILE)]
    faults += [signed] if isinstance(signed, str) else _bundle_faults(answer, signed)
    if faults or isinstance(signed, str):
        raise ConfigurationError("\n".join(f"{answer_file}: {fault}" for fault in faults))
    _write(
        directory,
        {
            "ca.pem": answer.ca.encode(),
            "car.pem": answer.certificate.encode(),
            "bundle.cbor": signed.raw,
            # Last: where there is a configuration, there is all that it names.
            CONFIGURATION_FILE: _configuration(answer, profile, profile_directory).encode(),
        },
    )
    bundle = signed.bundle
    roots = tuple(key_id(root).hex() for root in bundle.roots)
    return Accepted(answer.car, answer.operator, bundle.fleet.hex(), bundle.version, roots)


def _read(path: Path) -> _Answer:
    raw = read_bytes(path, _ANSWER_BYTES_MAX)
    try:
        document: Any = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != ANSWER_FORMAT:
        raise ConfigurationError(
            f"{path}: format {found!r:.20}; expected {ANSWER_FORMAT}, an answer to this car's request"
        )
    try:
        return _Answer.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        lines = [f"{path}: {'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details]
        raise ConfigurationError("\n".join(lines)) from None


def _certificate_faults(answer: _Answer, key_file: Path) -> list[str]:
    require_private(key_file)
    try:
        key = load_pem_private_key(read_bytes(key_file, _KEY_BYTES_MAX), None)
    except (ValueError, TypeError):
        raise ConfigurationError(f"{key_file}: no private key; expected the one that `provision` made") from None
    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
        authority = x509.load_pem_x509_certificate(answer.ca.encode())
        public_key, signer = certificate.public_key(), authority.public_key()
        names = [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except ValueError:
        return ["certificate, ca: cannot be read; expected two certificates in PEM"]
    faults = []
    if public_key != key.public_key():
        faults.append(f"certificate: is not for this car's key in {key_file}; it answers another car's request")
    if names != [answer.car]:
        faults.append(f"certificate: names {', '.join(map(str, names)) or 'nobody'}; expected the car, {answer.car}")
    if not _is_signed_by(certificate, signer):
        faults.append("certificate: was not issued by the CA that comes with it")
    return faults


def _is_signed_by(certificate: x509.Certificate, signer: object) -> bool:
    algorithm = certificate.signature_hash_algorithm
    if not isinstance(signer, ec.EllipticCurvePublicKey) or algorithm is None:
        return False
    try:
        signer.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def _bundle(answer: _Answer) -> SignedBundle | str:
    """The bundle, or what is wrong with it. Whose roots they are, a person has to compare; root put it here."""
    try:
        raw = base64.b64decode(answer.bundle, validate=True)
    except binascii.Error:
        return "bundle: cannot be read; expected base64"
    signed = open_bundle(raw)
    if isinstance(signed, str):
        return f"bundle: is none that a car would take ({signed.value})"
    return signed if has_own_threshold(signed) else "bundle: too few of its own roots have signed it"


def _bundle_faults(answer: _Answer, signed: SignedBundle) -> list[str]:
    keys = signed.bundle.keys
    if any((key.operator, key.role, key.is_revoked) == (answer.operator, Role.COMMAND, False) for key in keys):
        return []
    return [f"bundle: has no command key of operator {answer.operator}, so nobody could ask this car for anything"]


def _write(directory: Path, files: dict[str, bytes]) -> None:
    missing = {name: content for name, content in files.items() if not _is_there(directory / name, content)}
    try:
        for name, content in missing.items():
            write_new(directory / name, content, 0o644)
        sync_directory(directory)
    except OSError as error:
        raise ConfigurationError(f"{error.filename or directory}: cannot be written: {error.strerror}") from None


def _is_there(path: Path, content: bytes) -> bool:
    if not path.exists():
        return False
    if read_bytes(path, _ANSWER_BYTES_MAX) != content:
        raise ConfigurationError(
            f"{path}: is there already, and is not overwritten; a car that has been enrolled keeps what it was given. "
            "To enrol it anew, provision it in a new folder"
        )
    return True


def _configuration(answer: _Answer, profile: Profile, profile_directory: Path) -> str:
    """A first `agent.toml`. The CAN interfaces are guessed: which is behind which bus, only who wired them knows."""
    buses = "\n".join(
        f'[buses.{bus.name}]\ninterface = "socketcan"\nchannel = "can{number}"\n'
        "# As the network units set the link up. `carshare-agent doctor` says when and how to let it send.\n"
        "listen_only = true\n"
        # What only answers is no bus one must have: whoever wires it adds it.
        for number, bus in enumerate(bus for bus in profile.buses if bus.awake_with is None)
    )
    return f"""# Written by `carshare-agent accept`; systemd/agent.toml of the sources explains every key.
# Check the channel of each bus, then: carshare-agent check --config {CONFIGURATION_FILE}

[car]
id = "{answer.car}"
profile = {json.dumps(str(profile_directory.resolve()), ensure_ascii=False)}
key_file = "{VEHICLE_KEY_FILE}"

{buses}
[broker]
host = {json.dumps(answer.broker.host)}
port = {answer.broker.port}
ca_file = "ca.pem"
certificate_file = "car.pem"
key_file = "{TLS_KEY_FILE}"

[trust]
bundle_file = "bundle.cbor"

[reporting]
operator = {answer.operator}
"""
