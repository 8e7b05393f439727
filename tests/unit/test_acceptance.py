"""`carshare-agent accept`: what a car takes for an answer to its request, and what it refuses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.backend.authority import load_authority, make_authority
from agent.backend.keys import read_key
from agent.backend.signing import bundle_draft, read_bundle
from agent.bench.vehicle import demo_folder
from agent.cli import main
from agent.command.bundle import Bundle, KeyEntry, OperatorEntry
from tests.support.fleets import FleetDesk, fleet_desk

Answer = dict[str, Any]
MADE = ("ca.pem", "car.pem", "bundle.cbor", "agent.toml")


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> FleetDesk:
    return fleet_desk(tmp_path, capsys, "--broker", "broker.example")


def accept(answer: Path, folder: Path) -> int:
    return main(["accept", str(answer), str(folder), "--profile", str(demo_folder())])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_car_takes_what_its_operator_answered(desk: FleetDesk, capsys: pytest.CaptureFixture[str]) -> None:
    answer, folder = desk.enroll("demo"), desk.car_folder("demo")
    assert accept(answer, folder) == 0
    told = json.loads(capsys.readouterr().out)
    written = json.loads(answer.read_text())
    bundle = read_bundle(desk.fleet.bundle_file).bundle
    assert (told["car"], told["fleet"], told["bundle_version"]) == (written["car"], bundle.fleet.hex(), 1)
    assert len(told["roots"]) == 3
    made = files(folder)
    assert made.keys() == {*MADE, "vehicle.key", "tls.key", "request.json"}
    assert made["bundle.cbor"] == desk.fleet.bundle_file.read_bytes()
    assert made["car.pem"].decode() == written["certificate"]
    assert main(["check", "--config", str(folder / "agent.toml")]) == 0


def test_the_same_answer_again_changes_nothing(desk: FleetDesk) -> None:
    """A power cut in between leaves a part of the files, and the same command the rest."""
    answer, folder = desk.enroll("demo"), desk.car_folder("demo")
    assert accept(answer, folder) == 0
    before = files(folder)
    (folder / "agent.toml").unlink()
    assert accept(answer, folder) == 0
    assert files(folder) == before


@pytest.mark.parametrize("name", MADE)
def test_what_a_car_was_given_is_never_overwritten(
    desk: FleetDesk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, folder = desk.enroll("demo"), desk.car_folder("demo")
    (folder / name).write_text("mine")
    before = files(folder)
    assert accept(answer, folder) == 2
    assert f"{folder / name}: is there already" in capsys.readouterr().err
    assert files(folder) == before


def of_other_car(answer: Answer, desk: FleetDesk) -> None:
    answer |= json.loads(desk.enroll("other").read_text())


def issued_by_other_ca(answer: Answer, desk: FleetDesk) -> None:
    answer["ca"] = make_authority(desk.scratch / "other ca", "other").pem.decode()


def naming_other_car(answer: Answer, desk: FleetDesk) -> None:
    answer["car"] = "00" * 8


def for_another_key(answer: Answer, desk: FleetDesk) -> None:
    authority = load_authority(desk.fleet.authority_folder)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    answer["certificate"] = authority.issue_client(answer["car"], key).public_bytes(Encoding.PEM).decode()


def with_bundle(change: Callable[[Bundle], Bundle], roots: int) -> Callable[[Answer, FleetDesk], None]:
    """The answer with another bundle, signed by so many of the fleet's roots."""

    def changed(answer: Answer, desk: FleetDesk) -> None:
        draft = bundle_draft(change(read_bundle(desk.fleet.bundle_file).bundle))
        for number in range(1, roots + 1):
            draft = draft.signed(read_key(desk.fleet.root_file(number)))
        answer["bundle"] = base64.b64encode(draft.raw).decode()

    return changed


def of_operator_9(bundle: Bundle) -> Bundle:
    keys = tuple(replace(key, operator=9) for key in bundle.keys)
    return replace(bundle, operators=(OperatorEntry(9),), keys=keys)


def with_its_key_revoked(bundle: Bundle) -> Bundle:
    return replace(bundle, keys=tuple(replace(key, is_revoked=True) for key in bundle.keys))


def with_a_changed_byte(answer: Answer, desk: FleetDesk) -> None:
    raw = bytearray(base64.b64decode(answer["bundle"]))
    raw[-1] ^= 1
    raw[-70 - 80] ^= 1
    answer["bundle"] = base64.b64encode(bytes(raw)).decode()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (of_other_car, "certificate: is not for this car's key"),
        (for_another_key, "certificate: is not for this car's key"),
        (naming_other_car, "expected the car, 0000000000000000"),
        (issued_by_other_ca, "certificate: was not issued by the CA that comes with it"),
        (with_bundle(lambda bundle: bundle, 1), "bundle: too few of its own roots have signed it"),
        (with_bundle(of_operator_9, 2), "bundle: has no command key of operator 1"),
        (with_bundle(with_its_key_revoked, 2), "bundle: has no command key of operator 1"),
        (lambda a, d: a.update(bundle="AAAA"), "bundle: is none that a car would take (malformed)"),
        (lambda a, d: a.update(bundle="no base64"), "bundle: cannot be read; expected base64"),
        (lambda a, d: a.update(certificate="-----BEGIN"), "certificate, ca: cannot be read"),
        (lambda a, d: a.update(car="x"), "car: String should match pattern"),
        (lambda a, d: a.update(operator=0), "operator: Input should be greater"),
        (lambda a, d: a["broker"].update(port="8883"), "broker.port: Input should be a valid integer"),
        (lambda a, d: a.update(extra=1), "extra: Extra inputs are not permitted"),
        (lambda a, d: a.pop("ca"), "ca: Field required"),
        (lambda a, d: a.update(format=2), "format 2; expected 1"),
    ],
)
def test_an_answer_that_is_not_wholly_right_changes_nothing(
    desk: FleetDesk, change: Callable[[Answer, FleetDesk], object], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = desk.enroll("demo"), desk.car_folder("demo")
    answer = json.loads(path.read_text())
    change(answer, desk)
    path.write_text(json.dumps(answer))
    before = files(folder)
    capsys.readouterr()
    assert accept(path, folder) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert problem in told.err
    assert files(folder) == before


def test_everything_that_is_wrong_is_told_at_once(desk: FleetDesk, capsys: pytest.CaptureFixture[str]) -> None:
    path, folder = desk.enroll("demo"), desk.car_folder("demo")
    answer = json.loads(path.read_text())
    naming_other_car(answer, desk)
    issued_by_other_ca(answer, desk)
    with_bundle(of_operator_9, 2)(answer, desk)
    path.write_text(json.dumps(answer))
    capsys.readouterr()
    assert accept(path, folder) == 2
    assert capsys.readouterr().err.count(f"{path}: ") == 3


@pytest.mark.parametrize(
    ("name", "mode", "problem"),
    [
        ("vehicle.key", None, "vehicle.key: cannot be read: No such file"),
        ("tls.key", None, "tls.key: cannot be read: No such file"),
        ("vehicle.key", 0o644, "others may read or change this key"),
        ("tls.key", 0o640, "others may read or change this key"),
    ],
)
@pytest.mark.hazard("H135")
def test_a_car_without_safe_keys_takes_no_answer(
    desk: FleetDesk, name: str, mode: int | None, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, folder = desk.enroll("demo"), desk.car_folder("demo")
    if mode is None:
        (folder / name).unlink()
    else:
        (folder / name).chmod(mode)
    capsys.readouterr()
    assert accept(answer, folder) == 2
    assert problem in capsys.readouterr().err
    assert not (folder / "agent.toml").exists()


@pytest.mark.parametrize(
    ("text", "problem"), [("", "not JSON"), ("[]", "format None"), ("[" * 9000, "not JSON"), (None, "no such file")]
)
def test_what_is_no_answer_is_one_message(
    desk: FleetDesk, text: str | None, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.provision("demo")
    path = desk.scratch / "answer.json"
    if text is not None:
        path.write_text(text)
    assert accept(path, desk.car_folder("demo")) == 2
    told = capsys.readouterr()
    assert problem in told.err.splitlines()[-1]


def test_a_profile_that_is_not_there_is_told_first(desk: FleetDesk, capsys: pytest.CaptureFixture[str]) -> None:
    answer, folder = desk.enroll("demo"), desk.car_folder("demo")
    capsys.readouterr()
    assert main(["accept", str(answer), str(folder), "--profile", str(desk.scratch / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert not (folder / "agent.toml").exists()


def test_a_key_of_the_grant_role_does_not_make_an_operator(desk: FleetDesk, capsys: pytest.CaptureFixture[str]) -> None:
    def only_grants(bundle: Bundle) -> Bundle:
        (key,) = bundle.keys
        return replace(bundle, keys=(KeyEntry(1, key.public_key, 2),))

    path, folder = desk.enroll("demo"), desk.car_folder("demo")
    answer = json.loads(path.read_text())
    with_bundle(only_grants, 2)(answer, desk)
    path.write_text(json.dumps(answer))
    assert accept(path, folder) == 2
    assert "has no command key of operator 1" in capsys.readouterr().err
