"""What `carshare-backend` does for a fleet and its cars: begin, enrol, revoke. Each returns what it has to say."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

from agent.backend.authority import load_authority
from agent.backend.enrolment import answer_text, read_enrol_request
from agent.backend.files import read_file, write_new
from agent.backend.fleet import Fleet, FleetPlan, init_fleet, revoke_certificates
from agent.backend.issued import note_issued, read_issued
from agent.backend.keys import CarRequest
from agent.backend.reception import Ignored, open_receipt
from agent.backend.registry import add_car, require_new_car, revoke_car
from agent.backend.settings import Car, load_settings
from agent.backend.signing import read_bundle
from agent.backend.told import Told, bundle_document, bundle_words, counted
from agent.command.envelope import Retired
from agent.command.fields import CAR_BYTES, ENVELOPE_BYTES_MAX
from agent.command.trust import has_own_threshold
from agent.errors import ConfigurationError


def init(folder: Path, plan: FleetPlan) -> Told:
    fleet = init_fleet(folder, plan)
    bundle = read_bundle(fleet.bundle_file).bundle
    return Told(
        bundle_document(bundle),
        bundle_words(bundle),
        (
            f"Made the fleet in {folder}.",
            f"Move the three keys in {folder}/roots to three places that are not online: two of them together can give",
            "every car new masters. They are needed only to sign bundles and orders.",
            f"Keep {folder}/ca/ca.key offline too, except to enrol cars and to revoke them.",
            f"The broker needs the files in {folder}/broker.",
            f"Next: carshare-backend --config {fleet.configuration} enroll REQUEST.json --name NAME",
        ),
    )


def enroll(config: Path, request_file: Path, name: str | None, answer_file: Path | None) -> Told:
    """Check a car's request, give it an id and a certificate, register it, and write the answer it needs."""
    fleet = Fleet(config.parent)
    settings = load_settings(config)
    request = read_enrol_request(request_file)
    authority = load_authority(fleet.authority_folder)
    signed = read_bundle(fleet.bundle_file)
    if not has_own_threshold(signed):
        raise ConfigurationError(f"{fleet.bundle_file}: too few roots have signed it; no car would take it")
    known = {car.id.hex() for car in (*settings.cars.values(), *settings.revoked)}
    known |= {one.subject for one in read_issued(fleet.issued_file).values()}
    car = new_car_id(known)
    name = name or car.hex()
    registered = CarRequest(car.hex(), request.public_key.hex())
    require_new_car(config, name, registered)
    certificate = authority.issue_client(car.hex(), request.tls_public_key)
    note_issued(fleet.issued_file, certificate.serial_number, car.hex())
    answer = answer_text(
        car=car,
        certificate=certificate,
        authority_pem=authority.pem,
        bundle=signed.raw,
        broker=settings.broker,
        operator=settings.operator.number,
    )
    path = answer_file or Path(f"{name}.answer.json")
    write_new(path, answer.encode())
    add_car(config, name, registered)
    return Told(
        {"name": name, "car": car.hex(), "answer": str(path), "bundle_version": signed.bundle.version},
        f"{name}: car {car.hex()} of operator {settings.operator.number}, answer in {path}",
        (f"Next, on the car as root: carshare-agent accept {path.name} /etc/carshare-agent --profile PROFILE_DIR",),
    )


def new_car_id(known: Iterable[str]) -> bytes:
    """8 random bytes that no car of this fleet ever had; a car that is provisioned again is another car (H138)."""
    taken = set(known)
    while (car := secrets.token_bytes(CAR_BYTES)).hex() in taken:
        pass
    return car


def revoke_one_car(config: Path, name: str, receipt_file: Path | None) -> Told:
    """A car that was stolen, or taken out of service: its certificate and its vehicle key count no more.

    With the receipt of its decommissioning only if the car itself signed that, which shows that its key is gone.
    """
    fleet = Fleet(config.parent)
    car = load_settings(config).car(name)
    receipt = None if receipt_file is None else _receipt(receipt_file, car)
    count = revoke_certificates(fleet, car.id.hex())
    revoke_car(config, name)
    listed = fleet.revocation_list_file
    return Told(
        {
            "name": name,
            "car": car.id.hex(),
            "certificates": count,
            "revocation_list": str(listed),
            "last_event": None if receipt is None else receipt.event_sequence,
        },
        f"{name}: car {car.id.hex()} is revoked, and {counted(count, 'certificate')} of it"
        + ("" if receipt is None else f"; its last event was number {receipt.event_sequence}"),
        (
            f"Bring {listed} to the broker and start the broker anew: it reads the list at the start, and that also",
            "ends the connection the car may have.",
            *(() if count else ("The fleet's CA has issued no certificate to it; revoke it where it comes from.",)),
        ),
    )


def _receipt(path: Path, car: Car) -> Retired:
    receipt = open_receipt(read_file(path, ENVELOPE_BYTES_MAX), car)
    if isinstance(receipt, Ignored):
        raise ConfigurationError(
            f"{path}: is no receipt of the car {car.name!r} ({receipt.value}); expected the file that "
            "`carshare-agent decommission --receipt` wrote on it"
        )
    return receipt
