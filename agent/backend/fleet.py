"""The folder of a fleet: where what is, and how `fleet init` makes it."""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from agent.backend.authority import Authority, load_authority, make_authority, new_tls_key
from agent.backend.broker_files import access_list, backend_name, mosquitto_conf
from agent.backend.bundles import first_bundle
from agent.backend.files import replace, write_new
from agent.backend.issued import note_issued, note_revoked, read_issued
from agent.backend.keys import key_id, make_key, raw_public, store_key, toml_text
from agent.backend.signing import bundle_draft
from agent.command.bundle import FLEET_BYTES, OperatorEntry
from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass

ROOTS = 3
THRESHOLD = 2
"""One root may be lost, and one may be stolen, without losing the fleet."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The files beside a `backend.toml`."""

    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "backend.toml"

    @property
    def bundle_file(self) -> Path:
        """The bundle in force: what cars are enrolled with, and what `bundle publish` publishes."""
        return self.folder / "bundle.cbor"

    @property
    def draft_file(self) -> Path:
        """Its successor, while signatures are being gathered."""
        return self.folder / "bundle.draft"

    @property
    def authority_folder(self) -> Path:
        return self.folder / "ca"

    @property
    def issued_file(self) -> Path:
        return self.authority_folder / "issued.jsonl"

    @property
    def revocation_list_file(self) -> Path:
        return self.folder / "broker" / "revoked.crl"

    def root_file(self, number: int) -> Path:
        return self.folder / "roots" / f"root-{number}.key"

    def command_key_file(self, kid: bytes) -> Path:
        return self.folder / f"command-{kid.hex()}.key"


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What `fleet init` is told. Cars and the backend reach the broker at `host`, `port`."""

    operator: OperatorEntry
    actions: Iterable[int]
    host: str
    port: int


def init_fleet(folder: Path, plan: FleetPlan) -> Fleet:
    """Make roots, CA, the broker's files, a command key, the first bundle and `backend.toml` in a new folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder}: is there already, and a fleet is never overwritten; name a new folder")
    fleet = Fleet(folder)
    roots = [make_key(fleet.root_file(number)) for number in range(1, ROOTS + 1)]
    scope = secrets.token_bytes(FLEET_BYTES)
    authority = make_authority(fleet.authority_folder, f"carshare fleet {scope.hex()}")
    _make_broker_files(fleet, authority, plan)
    _certify(fleet, authority, backend_name(plan.operator.number), folder / "backend-tls.key", folder / "backend.pem")
    command_key = Ed25519PrivateKey.generate()
    store_key(fleet.command_key_file(key_id(command_key.public_key())), command_key)
    draft = bundle_draft(
        first_bundle(
            scope,
            [raw_public(root.public_key()) for root in roots],
            THRESHOLD,
            plan.operator,
            raw_public(command_key.public_key()),
            plan.actions,
            date_unix_s=int(datetime.datetime.now(datetime.UTC).timestamp()),
        )
    )
    for root in roots:
        draft = draft.signed(root)
    write_new(fleet.bundle_file, draft.raw)
    write_new(fleet.configuration, _configuration(fleet, plan, key_id(command_key.public_key())).encode())
    return fleet


def revoke_certificates(fleet: Fleet, subject: str) -> int:
    """Revoke all certificates of a common name and write the broker's list anew; how many there were."""
    authority = load_authority(fleet.authority_folder)
    serials = [one.serial for one in read_issued(fleet.issued_file).values() if one.subject == subject]
    for serial in serials:
        note_revoked(fleet.issued_file, serial)
    write_revocation_list(fleet, authority)
    return len(serials)


def write_revocation_list(fleet: Fleet, authority: Authority) -> None:
    issued = read_issued(fleet.issued_file).values()
    revoked = {one.serial: one.revoked_at for one in issued if one.revoked_at is not None}
    content = authority.revocation_list(revoked, datetime.datetime.now(datetime.UTC))
    replace(fleet.revocation_list_file, content)


def _make_broker_files(fleet: Fleet, authority: Authority, plan: FleetPlan) -> None:
    folder = fleet.folder / "broker"
    key = new_tls_key(folder / "broker.key")
    certificate = authority.issue_server(plan.host, key.public_key())
    note_issued(fleet.issued_file, certificate.serial_number, plan.host)
    write_new(folder / "broker.pem", certificate.public_bytes(Encoding.PEM))
    write_new(folder / "ca.pem", authority.pem)
    write_revocation_list(fleet, authority)
    write_new(folder / "mosquitto.conf", mosquitto_conf(plan.port).encode())
    write_new(folder / "acl", access_list(plan.operator.number).encode())


def _certify(fleet: Fleet, authority: Authority, name: str, key_file: Path, certificate_file: Path) -> None:
    certificate = authority.issue_client(name, new_tls_key(key_file).public_key())
    note_issued(fleet.issued_file, certificate.serial_number, name)
    write_new(certificate_file, certificate.public_bytes(Encoding.PEM))


def _configuration(fleet: Fleet, plan: FleetPlan, kid: bytes) -> str:
    return f"""# Written by `carshare-backend fleet init`. `carshare-backend sample` explains every key.

[operator]
number = {plan.operator.number}
name = {toml_text(plan.operator.name)}
key_file = {toml_text(fleet.command_key_file(kid).name)}

[broker]
host = {json.dumps(plan.host)}
port = {plan.port}
ca_file = "ca/ca.pem"
certificate_file = "backend.pem"
key_file = "backend-tls.key"
"""
