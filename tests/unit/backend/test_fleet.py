"""`fleet init`, `enroll` and `revoke car`, as a person types them."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography import x509

from agent.backend.cli import main
from agent.backend.fleet_commands import new_car_id
from agent.backend.keys import read_key
from agent.backend.settings import load_settings
from agent.backend.signing import read_bundle
from agent.command.envelope import MessageKind, Retired, encode_retired, seal
from agent.command.trust import has_own_threshold, open_bundle, signers
from tests.support.fleets import FleetDesk, fleet_desk

SECRET = {
    "ca/ca.key",
    "backend-tls.key",
    "broker/broker.key",
    "roots/root-1.key",
    "roots/root-2.key",
    "roots/root-3.key",
}


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> FleetDesk:
    return fleet_desk(tmp_path, capsys, "--broker", "broker.example:1234")


def test_a_fleet_is_complete(desk: FleetDesk) -> None:
    folder, settings = desk.fleet.folder, load_settings(desk.fleet.configuration)
    command_key = f"command-{settings.operator.kid.hex()}.key"
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert files.keys() - SECRET == {
        *("backend.toml", "backend.pem", "bundle.cbor", command_key, "ca/ca.pem", "ca/issued.jsonl"),
        *("broker/acl", "broker/broker.pem", "broker/ca.pem", "broker/mosquitto.conf", "broker/revoked.crl"),
    }
    for name in SECRET | {command_key}:
        assert stat.S_IMODE(files[name].stat().st_mode) == 0o600, name
    assert (settings.broker.host, settings.broker.port) == ("broker.example", 1234)

    bundle = read_bundle(desk.fleet.bundle_file)
    assert (len(bundle.bundle.roots), bundle.bundle.threshold, bundle.bundle.version) == (3, 2, 1)
    assert len(signers(bundle.document, bundle.bundle.roots)) == 3
    (key,) = bundle.bundle.keys
    assert (key.kid, key.operator, sorted(key.actions)) == (settings.operator.kid, 1, [1, 2, 6])


def test_a_fleet_is_never_overwritten(desk: FleetDesk, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in desk.fleet.folder.rglob("*") if path.is_file()}
    assert main(["fleet", "init", str(desk.fleet.folder), "--operator", "1"]) == 2
    assert "a fleet is never overwritten" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in desk.fleet.folder.rglob("*") if path.is_file()} == before


@pytest.mark.hazard("H139")
def test_no_private_key_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = FleetDesk(tmp_path / "fleet", capsys)
    said = desk.run("fleet", "init", desk.fleet.folder, "--operator", "1", "--json")
    said_later = desk.run("rotate", *desk.root(1), *desk.root(2))
    printed = said.out + said.err + said_later.out + said_later.err
    keys = list(desk.fleet.folder.rglob("*.key"))
    assert len(keys) == len(SECRET) + 2
    for path in keys:
        lines = [line for line in path.read_text().splitlines() if "-----" not in line]
        assert lines
        assert not any(line in printed for line in lines)


@pytest.mark.parametrize(
    "words",
    [
        ["--operator", "0"],
        [],
        ["--operator", "1", "--broker", "ho st"],
        ["--operator", "1", "--broker", "host:0"],
        ["--operator", "1", "--broker", "host:65536"],
        ["--operator", "1", "--actions", "unlock,fly"],
        ["--operator", "1", "--actions", "unlock,unlock"],
        ["--operator", "1", "--name", "ä" * 33],
    ],
)
def test_wrong_use_of_init_makes_nothing(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fleet", "init", str(tmp_path / "fleet"), *words])
    assert ended.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_key_may_be_given_every_action(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "unlock,lock,enable-drive,disable_drive,locate,report,check-return"
    desk = fleet_desk(tmp_path, capsys, "--actions", words)
    assert read_bundle(desk.fleet.bundle_file).bundle.keys[0].actions == set(range(1, 8))


def test_an_enrolled_car_is_known_and_gets_all_it_needs(desk: FleetDesk) -> None:
    answer = json.loads(desk.enroll("demo").read_text())
    car = load_settings(desk.fleet.configuration).car("demo")
    assert answer["car"] == car.id.hex()
    assert (answer["operator"], answer["broker"]) == (1, {"host": "broker.example", "port": 1234})
    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(answer["ca"].encode()))
    request = json.loads((desk.car_folder("demo") / "request.json").read_text())
    assert certificate.public_key() == x509.load_pem_x509_csr(request["csr"].encode()).public_key()
    bundle = open_bundle(base64.b64decode(answer["bundle"]))
    assert not isinstance(bundle, str)
    assert has_own_threshold(bundle)
    issued = desk.fleet.issued_file.read_text().splitlines()
    assert json.loads(issued[-1])["subject"] == car.id.hex()


def test_without_a_name_a_car_is_called_by_its_id(
    desk: FleetDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = desk.provision("demo")
    monkeypatch.chdir(tmp_path)
    document = desk.run("enroll", request, "--json").document
    assert document["name"] == document["car"]
    assert (tmp_path / f"{document['car']}.answer.json").exists()


def test_an_id_is_never_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([bytes(8), b"\1" * 8, b"\2" * 8])
    monkeypatch.setattr("secrets.token_bytes", lambda length: next(drawn))
    assert new_car_id(["00" * 8, "01" * 8]) == b"\2" * 8


def unchanged(desk: FleetDesk) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in desk.scratch.rglob("*") if path.is_file()}


def test_a_name_that_is_taken_changes_nothing(desk: FleetDesk) -> None:
    desk.enroll("demo")
    request = desk.provision("other")
    before = unchanged(desk)
    said = desk.run("enroll", request, "--name", "demo")
    assert (said.status, said.out) == (2, "")
    assert "there is a car named 'demo' already" in said.err
    assert unchanged(desk) == before


@pytest.mark.parametrize("name", ["de mo", "../demo", 'x"', "-demo"])
def test_a_name_that_is_none_changes_nothing(desk: FleetDesk, name: str) -> None:
    request = desk.provision("other")
    before = unchanged(desk)
    said = desk.run("enroll", request, f"--name={name}", "--answer", desk.scratch / "answer")
    assert said.status == 2
    assert "is no name for a car" in said.err
    assert unchanged(desk) == before


@pytest.mark.parametrize("is_revoked", [False, True])
def test_a_car_that_is_or_was_there_makes_new_keys_first(desk: FleetDesk, is_revoked: bool) -> None:
    desk.enroll("demo")
    if is_revoked:
        assert desk.run("revoke", "car", "demo").status == 0
    before = unchanged(desk)
    said = desk.run("enroll", desk.car_folder("demo") / "request.json", "--name", "again")
    assert said.status == 2
    assert "provision the car anew" in said.err
    assert unchanged(desk) == before


def test_an_answer_that_is_there_is_not_overwritten_and_the_car_not_registered(desk: FleetDesk) -> None:
    request, path = desk.provision("demo"), desk.scratch / "answer.json"
    path.write_text("mine")
    said = desk.run("enroll", request, "--name", "demo", "--answer", path)
    assert said.status == 2
    assert "is there already" in said.err
    assert path.read_text() == "mine"
    assert load_settings(desk.fleet.configuration).cars == {}


def test_a_bundle_that_no_car_would_take_enrols_none(desk: FleetDesk) -> None:
    assert desk.run("rotate", *desk.root(1)).status == 0
    desk.fleet.draft_file.replace(desk.fleet.bundle_file)
    said = desk.run("enroll", desk.provision("demo"), "--name", "demo")
    assert said.status == 2
    assert "too few roots have signed it" in said.err


@pytest.mark.parametrize(
    ("missing", "problem"),
    [
        ("ca/ca.key", "ca.key cannot be read: No such file"),
        ("bundle.cbor", "bundle.cbor: there is no trust bundle"),
        ("backend.toml", "backend.toml: there is no such configuration"),
        ("backend.toml command", "there is no key file"),
    ],
)
def test_a_folder_that_is_not_whole_is_one_message(desk: FleetDesk, missing: str, problem: str) -> None:
    request = desk.provision("demo")
    if missing.endswith("command"):
        next(desk.fleet.folder.glob("command-*.key")).unlink()
    else:
        (desk.fleet.folder / missing).unlink()
    said = desk.run("enroll", request, "--name", "demo")
    assert (said.status, said.out) == (2, "")
    assert problem in said.err
    assert said.err.count("\n") == 1


def test_a_request_that_is_missing_is_one_message(desk: FleetDesk) -> None:
    said = desk.run("enroll", desk.scratch / "no.json")
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert "no.json: cannot be read: No such file" in said.err


def test_a_revoked_car_is_on_the_brokers_list_and_believed_no_more(desk: FleetDesk) -> None:
    serials = {}
    for name in ("demo", "other"):
        answer = json.loads(desk.enroll(name).read_text())
        serials[name] = x509.load_pem_x509_certificate(answer["certificate"].encode()).serial_number
    said = desk.run("revoke", "car", "demo", "--json")
    assert said.status == 0
    assert said.document["certificates"] == 1
    assert "start the broker anew" in said.err
    listed = x509.load_pem_x509_crl(desk.fleet.revocation_list_file.read_bytes())
    assert {entry.serial_number for entry in listed} == {serials["demo"]}
    settings = load_settings(desk.fleet.configuration)
    assert (list(settings.cars), [car.name for car in settings.revoked]) == (["other"], ["demo"])
    for words in (["unlock", "demo"], ["revoke", "car", "demo"], ["decommission", "demo"]):
        said = desk.run(*words)
        assert said.status == 2
        assert "'demo' was revoked" in said.err


def test_an_unknown_car_is_not_revoked(desk: FleetDesk) -> None:
    desk.enroll("demo")
    before = unchanged(desk)
    said = desk.run("revoke", "car", "dmeo")
    assert said.status == 2
    assert "Did you mean 'demo'?" in said.err
    assert unchanged(desk) == before


def test_a_car_that_is_provisioned_anew_is_another_car_of_the_same_name(desk: FleetDesk) -> None:
    first = json.loads(desk.enroll("demo").read_text())["car"]
    assert desk.run("revoke", "car", "demo").status == 0
    request = desk.provision("demo again")
    second = desk.run("enroll", request, "--name", "demo", "--answer", desk.scratch / "second", "--json").document[
        "car"
    ]
    settings = load_settings(desk.fleet.configuration)
    assert second != first
    assert settings.car("demo").id.hex() == second
    assert [car.id.hex() for car in settings.revoked] == [first]


def receipt_of(desk: FleetDesk, name: str, *, car: bytes | None = None, signer: str | None = None) -> Path:
    """A receipt as the car `signer` would sign it, by default the car of that name for itself."""
    own = load_settings(desk.fleet.configuration).car(name).id
    key = read_key(desk.car_folder(signer or name) / "vehicle.key")
    said = Retired(car or own, bytes(16), 41, b"store id")
    path = desk.scratch / "receipt"
    path.write_bytes(seal(MessageKind.RETIRED, encode_retired(said), key, own))
    return path


def test_a_receipt_is_checked_before_a_car_is_revoked_by_it(desk: FleetDesk) -> None:
    desk.enroll("demo")
    said = desk.run("revoke", "car", "demo", "--receipt", receipt_of(desk, "demo"), "--json")
    assert (said.status, said.document["last_event"]) == (0, 41)
    assert load_settings(desk.fleet.configuration).cars == {}


@pytest.mark.parametrize(
    ("car", "signer", "problem"),
    [
        (None, "other", "forged"),
        (b"otherone", "demo", "foreign"),
    ],
)
def test_a_receipt_of_another_car_revokes_none(desk: FleetDesk, car: bytes | None, signer: str, problem: str) -> None:
    desk.enroll("demo")
    desk.enroll("other")
    path = receipt_of(desk, "demo", car=car, signer=signer)
    before = unchanged(desk)
    said = desk.run("revoke", "car", "demo", "--receipt", path)
    assert said.status == 2
    assert f"is no receipt of the car 'demo' ({problem})" in said.err
    assert unchanged(desk) == before


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "malformed"), (bytes(2000), "larger than 1024"), (None, "No such")]
)
def test_what_is_no_receipt_revokes_none(desk: FleetDesk, content: bytes | None, problem: str) -> None:
    desk.enroll("demo")
    path = desk.scratch / "receipt"
    if content is not None:
        path.write_bytes(content)
    said = desk.run("revoke", "car", "demo", "--receipt", path)
    assert said.status == 2
    assert problem in said.err
    assert list(load_settings(desk.fleet.configuration).cars) == ["demo"]
