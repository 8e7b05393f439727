"""Orders of the roots on the car's own files: what is deleted, what is kept, and what a cut in between leaves."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters import removal
from agent.adapters.store import Stores
from agent.cli import main
from agent.command.envelope import MessageKind, Retired, check_signature, decode_retired, open_unverified
from agent.command.orders import Decommission, Reset, seal_decommission, seal_reset
from agent.model.records import BundleTaken, SequenceReserved
from tests.support.rooted import RootedCar, rooted_car
from tests.support.roots import BUNDLE, DATE_UNIX_S, OTHER_ROOTS, ROOTS, roots_of, sealed

ID = b"id of this order"
FLOOR_UNIX_S = DATE_UNIX_S + 10**8
FIRST = sealed(replace(BUNDLE, version=1))
ROTATED = sealed(replace(BUNDLE, version=2, roots=roots_of(OTHER_ROOTS)), (*ROOTS[:2], *OTHER_ROOTS[:2]))


@pytest.fixture
def car(tmp_path: Path) -> RootedCar:
    """A car that ran for a while: its bundle is in the store, signed with a date far ahead."""
    found = rooted_car(tmp_path / "car", FIRST)
    found.write([BundleTaken(1, FIRST, (), FLOOR_UNIX_S)], [SequenceReserved(1001)])
    return found


def order_file(car: RootedCar, raw: bytes) -> str:
    path = car.folder.parent / "order.cbor"
    path.write_bytes(raw)
    return str(path)


def reset(car: RootedCar, **changes: object) -> Reset:
    return replace(Reset(car.car, ID, FLOOR_UNIX_S, DATE_UNIX_S), **changes)  # type: ignore[arg-type]


def run(car: RootedCar, verb: str, *options: str) -> int:
    return main([verb, "--config", str(car.agent_toml), *options])


# --- clock reset -----------------------------------------------------------------------------------------------------


def test_the_floor_is_shown_for_the_order_that_is_to_replace_it(
    car: RootedCar, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(car, "clock-reset") == 0
    assert json.loads(capsys.readouterr().out) == {"car": car.car.hex(), "floor_unix_s": FLOOR_UNIX_S}
    assert car.found().trust.floor_unix_s == FLOOR_UNIX_S


@pytest.mark.hazard("H133")
def test_a_reset_sets_the_floor_once_h133(car: RootedCar, capsys: pytest.CaptureFixture[str]) -> None:
    order = order_file(car, seal_reset(reset(car), ROOTS[:2]))
    assert run(car, "clock-reset", "--order", order) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"car": car.car.hex(), "floor_unix_s": DATE_UNIX_S, "was_unix_s": FLOOR_UNIX_S}
    assert (car.found().trust.floor_unix_s, car.found().trust.resets) == (DATE_UNIX_S, frozenset({ID}))
    assert car.found().trust.raw == FIRST
    # The floor has come to stand where it was: the same order is refused all the same.
    car.write([BundleTaken(1, FIRST, (), FLOOR_UNIX_S)])
    assert run(car, "clock-reset", "--order", order) == 1
    assert "each order is obeyed once" in capsys.readouterr().err
    assert car.found().trust.floor_unix_s == FLOOR_UNIX_S


@pytest.mark.hazard("H133")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda car: b"noise", "no such order"),
        (lambda car: seal_reset(reset(car), ROOTS[:1]), "too few of the roots"),
        (lambda car: seal_reset(reset(car), OTHER_ROOTS), "2 of 3 are needed"),
        (lambda car: seal_reset(replace(reset(car), car=b"that car"), ROOTS), "wrong_car"),
        (lambda car: seal_reset(reset(car, floor_from_unix_s=FLOOR_UNIX_S + 1), ROOTS), f"which is {FLOOR_UNIX_S}"),
    ],
    ids=["noise", "one_signature", "other_roots", "another_car", "another_floor"],
)
def test_a_reset_that_does_not_hold_changes_nothing_h133(
    car: RootedCar, capsys: pytest.CaptureFixture[str], make: Callable[[RootedCar], bytes], words: str
) -> None:
    assert run(car, "clock-reset", "--order", order_file(car, make(car))) == 1
    assert words in capsys.readouterr().err
    assert (car.found().trust.floor_unix_s, car.found().trust.resets) == (FLOOR_UNIX_S, frozenset())


def test_a_car_that_never_ran_has_no_floor_to_reset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = rooted_car(tmp_path / "car", FIRST)
    order = order_file(fresh, seal_reset(reset(fresh, floor_from_unix_s=0), ROOTS))
    assert run(fresh, "clock-reset", "--order", order) == 1
    assert "start it once" in capsys.readouterr().err
    assert not fresh.store.exists()
    fresh.write([SequenceReserved(2)])
    assert run(fresh, "clock-reset", "--order", order) == 1
    assert "start it once" in capsys.readouterr().err


# --- decommission ----------------------------------------------------------------------------------------------------


def decommission(car: RootedCar) -> bytes:
    return seal_decommission(Decommission(car.car, ID, DATE_UNIX_S), ROOTS[:2])


def left_in(car: RootedCar) -> set[str]:
    """Names of all files of the car, wherever in its folder."""
    return {path.name for path in car.folder.rglob("*") if path.is_file()}


def receipt_of(raw: bytes, key: Ed25519PrivateKey) -> Retired:
    envelope = open_unverified(MessageKind.RETIRED, raw)
    assert envelope is not None
    assert check_signature(envelope, key.public_key())
    return decode_retired(envelope.payload)


def test_a_car_out_of_service_has_no_keys_and_no_stores_and_leaves_a_receipt(
    car: RootedCar, capsys: pytest.CaptureFixture[str]
) -> None:
    found = car.found()
    (car.store / "authority.sqlite3.damaged-1").write_bytes(b"an older one")
    receipt = car.folder.parent / "receipt.cbor"
    options = ("--order", order_file(car, decommission(car)), "--receipt", str(receipt))
    assert run(car, "decommission", *options) == 0
    told = json.loads(capsys.readouterr().out)
    assert base64.b64decode(told["receipt"]) == receipt.read_bytes()
    assert receipt_of(receipt.read_bytes(), car.vehicle_key) == Retired(car.car, ID, 1000, found.store_id)
    assert left_in(car) == {"agent.toml"}


@pytest.mark.hazard("H138")
def test_an_old_order_does_not_hold_for_the_car_that_was_provisioned_again_h138(
    tmp_path: Path, car: RootedCar, capsys: pytest.CaptureFixture[str]
) -> None:
    old = order_file(car, decommission(car))
    assert run(car, "decommission", "--order", old) == 0
    again = rooted_car(tmp_path / "again", FIRST, car=b"new name")
    again.write([BundleTaken(1, FIRST, (), FLOOR_UNIX_S)])
    before = left_in(again)
    capsys.readouterr()
    assert run(again, "decommission", "--order", old) == 1
    assert f"wrong_car: it is for another car than {again.car.hex()}" in capsys.readouterr().err
    assert left_in(again) == before


def test_the_roots_in_force_decide_not_those_of_the_file(car: RootedCar, capsys: pytest.CaptureFixture[str]) -> None:
    car.write([BundleTaken(2, ROTATED, (), FLOOR_UNIX_S)])
    before = left_in(car)
    assert run(car, "decommission", "--order", order_file(car, decommission(car))) == 1
    assert "too few of the roots" in capsys.readouterr().err
    assert left_in(car) == before
    by_new = seal_decommission(Decommission(car.car, ID, DATE_UNIX_S), OTHER_ROOTS[:2])
    assert run(car, "decommission", "--order", order_file(car, by_new)) == 0
    assert left_in(car) == {"agent.toml"}


def test_a_receipt_takes_no_other_files_place(car: RootedCar, capsys: pytest.CaptureFixture[str]) -> None:
    precious = car.folder.parent / "precious"
    precious.write_text("something else")
    before = left_in(car)
    options = ("--order", order_file(car, decommission(car)), "--receipt", str(precious))
    assert run(car, "decommission", *options) == 2
    assert "name another file" in capsys.readouterr().err
    assert precious.read_text() == "something else"
    assert left_in(car) == before


def test_a_running_agent_is_in_the_way(car: RootedCar, capsys: pytest.CaptureFixture[str]) -> None:
    with running(car):
        assert run(car, "decommission", "--order", order_file(car, decommission(car))) == 1
        assert run(car, "clock-reset") == 1
    assert capsys.readouterr().err.count("in use by another agent") == 2
    assert "vehicle.key" in left_in(car)


@contextmanager
def running(car: RootedCar) -> Iterator[None]:
    stores = Stores(car.store, car.car)
    stores.open()
    yield
    stores.close()


def test_a_car_with_operators_pinned_by_hand_has_no_roots(car: RootedCar, capsys: pytest.CaptureFixture[str]) -> None:
    text = car.agent_toml.read_text()
    pinned = f'[[operators]]\nnumber = 1\n[[operators.command_keys]]\nid = "00000000"\npublic_key = "{"0" * 64}"\n'
    car.agent_toml.write_text(text[: text.index("[trust]")] + pinned + 'actions = ["lock"]\n')
    assert run(car, "decommission", "--order", order_file(car, decommission(car))) == 2
    assert run(car, "clock-reset") == 2
    assert capsys.readouterr().err.count("pinned by hand") == 2


class PowerCutError(BaseException):
    """Nothing in the program may catch it, as nothing can do anything about a power cut."""


def cut_after(removals: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The power goes before the removal after so many."""
    left = iter(range(removals))
    remove = removal.remove_durably

    def cut(path: Path) -> bool:
        if next(left, None) is None:
            raise PowerCutError
        return remove(path)

    monkeypatch.setattr(removal, "remove_durably", cut)


@pytest.mark.parametrize("removals", range(13))
def test_an_order_cut_off_anywhere_is_ended_by_the_same_order(
    car: RootedCar, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], removals: int
) -> None:
    receipt = car.folder.parent / "receipt.cbor"
    options = ("--order", order_file(car, decommission(car)), "--receipt", str(receipt))
    with monkeypatch.context() as patch:
        cut_after(removals, patch)
        try:
            status = run(car, "decommission", *options)
        except PowerCutError:
            status = None
    # The first two removals make room for the order itself.
    assert (car.folder / "vehicle.key").exists() == (removals <= 2)
    assert receipt_of(receipt.read_bytes(), car.vehicle_key).order_id == ID, "the receipt is there before anything goes"
    assert run(car, "decommission", *options) == 0
    assert left_in(car) == {"agent.toml"}
    assert receipt_of(receipt.read_bytes(), car.vehicle_key).order_id == ID
    assert status in (None, 0)


def test_a_cut_off_order_is_ended_by_no_other(
    car: RootedCar, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        cut_after(4, patch)
        with pytest.raises(PowerCutError):
            run(car, "decommission", "--order", order_file(car, decommission(car)))
    assert not (car.folder / "vehicle.key").exists()
    other = seal_decommission(Decommission(car.car, b"id of the second", DATE_UNIX_S), ROOTS)
    assert run(car, "decommission", "--order", order_file(car, other)) == 1
    kept = car.store / "decommission.cbor"
    assert f"--order {kept}" in capsys.readouterr().err
    assert run(car, "decommission", "--order", str(kept)) == 0
    assert left_in(car) == {"agent.toml"}


def test_an_agent_that_was_started_again_meanwhile_is_in_the_way(
    car: RootedCar, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The power went before the first key did, and came back."""
    options = ("--order", order_file(car, decommission(car)))
    with monkeypatch.context() as patch:
        cut_after(2, patch)
        with pytest.raises(PowerCutError):
            run(car, "decommission", *options)
    with running(car):
        assert run(car, "decommission", *options) == 1
    assert "in use by another agent" in capsys.readouterr().err
    assert (car.folder / "vehicle.key").exists()
    assert run(car, "decommission", *options) == 0


def test_a_receipt_is_made_anew_if_the_agent_has_run_since(
    car: RootedCar, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = car.folder.parent / "receipt.cbor"
    options = ("--order", order_file(car, decommission(car)), "--receipt")
    with monkeypatch.context() as patch:
        cut_after(2, patch)
        with pytest.raises(PowerCutError):
            run(car, "decommission", *options, str(receipt))
    car.write([SequenceReserved(2001)])
    assert run(car, "decommission", *options, str(receipt)) == 2
    assert "name another file" in capsys.readouterr().err
    assert run(car, "decommission", *options, str(receipt.with_name("second"))) == 0
    assert receipt_of(receipt.with_name("second").read_bytes(), car.vehicle_key).event_sequence == 2000


def test_a_key_that_is_somewhere_else_is_not_taken_for_one_that_was_deleted(
    car: RootedCar, capsys: pytest.CaptureFixture[str]
) -> None:
    (car.folder / "vehicle.key").rename(car.folder.parent / "elsewhere")
    before = left_in(car)
    assert run(car, "decommission", "--order", order_file(car, decommission(car))) == 2
    assert "vehicle.key" in capsys.readouterr().err
    assert left_in(car) == before


def test_check_says_what_is_wrong_with_the_bundle_file(car: RootedCar, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(car.agent_toml)]) == 0
    car.bundle_file.write_bytes(sealed(BUNDLE, ROOTS[:1]))
    assert main(["check", "--config", str(car.agent_toml)]) == 2
    assert f"{car.bundle_file}: no trust bundle yet, and the bundle file is not sound" in capsys.readouterr().err
    car.bundle_file.unlink()
    assert main(["check", "--config", str(car.agent_toml)]) == 2
    assert f"{car.bundle_file}: no such file" in capsys.readouterr().err
