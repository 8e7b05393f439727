"""`rotate`, `revoke key`, `bundle`, `decommission` and `clock-reset`, as a person types them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agent.backend.bundles import next_bundle
from agent.backend.cli import main
from agent.backend.keys import key_id, make_key, raw_public, read_key
from agent.backend.settings import load_settings
from agent.backend.signing import bundle_draft, read_bundle, read_draft
from agent.command.bundle import decode_bundle
from agent.command.orders import Decommission, OrderRefusal, Reset, judge_decommission, judge_reset
from agent.command.trust import judge_bundle
from tests.support.fleets import FleetDesk, fleet_desk

FLOOR, EARLIER = 4_102_444_800, 1_790_000_000


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> FleetDesk:
    return fleet_desk(tmp_path, capsys)


def draft_keys(desk: FleetDesk) -> dict[str, tuple[bool, int]]:
    """Of each key in the draft: whether it is revoked, and its end."""
    bundle = decode_bundle(read_draft(desk.fleet.draft_file).payload)
    return {key.kid.hex(): (key.is_revoked, key.not_after_unix_s) for key in bundle.keys}


def kid_in_use(desk: FleetDesk) -> str:
    return load_settings(desk.fleet.configuration).operator.kid.hex()


def test_rotating_makes_a_key_and_a_draft_that_cars_would_take(desk: FleetDesk) -> None:
    old = kid_in_use(desk)
    said = desk.run("rotate", "--overlap-days", "7", *desk.root(1), *desk.root(3), "--json")
    assert said.status == 0
    new = said.document["new_kid"]
    assert (said.document["old_kid"], said.document["version"], said.document["is_complete"]) == (old, 2, True)
    assert "bundle publish" in said.err
    offered = read_bundle(desk.fleet.draft_file)
    assert judge_bundle(read_bundle(desk.fleet.bundle_file), offered) is None
    key = read_key(desk.fleet.command_key_file(bytes.fromhex(new)))
    assert key_id(key.public_key()).hex() == new
    assert draft_keys(desk).keys() == {old, new}
    assert draft_keys(desk)[old][1] - offered.bundle.date_unix_s == pytest.approx(7 * 86_400, abs=2)
    assert kid_in_use(desk) == old  # cars do not know the new one yet


def test_signatures_are_gathered_from_root_to_root(desk: FleetDesk, tmp_path: Path) -> None:
    """Each root on a machine of its own, with nothing but the draft and its key."""
    assert desk.run("rotate").status == 0
    carried = tmp_path / "carried.draft"
    shutil.copy(desk.fleet.draft_file, carried)
    for number, (count, words) in enumerate([(1, "1 more must sign"), (2, "complete")], 1):
        away = tmp_path / f"root-{number}"
        away.mkdir()
        shutil.copy(desk.fleet.root_file(number), away / "root.key")
        said = desk.run("--config", away / "backend.toml", "bundle", "sign", carried, "--root", away / "root.key")
        assert said.status == 0, said.err
        assert "bundle version 2" in said.out  # what one puts one's name to is shown
        assert f"signed by {count} root" in said.out
        assert words in said.out
    assert judge_bundle(read_bundle(desk.fleet.bundle_file), read_bundle(carried)) is None


def test_signing_twice_with_one_root_counts_once(desk: FleetDesk) -> None:
    desk.run("rotate", *desk.root(1))
    said = desk.run("bundle", "sign", desk.fleet.draft_file, *desk.root(1), *desk.root(1), "--json")
    assert (said.document["signatures"], said.document["needed"], said.document["is_complete"]) == (1, 2, False)


def test_a_change_of_a_draft_takes_its_signatures_away(desk: FleetDesk) -> None:
    """Else roots would have signed what they have not seen."""
    desk.run("rotate", *desk.root(1), *desk.root(2))
    old = kid_in_use(desk)
    said = desk.run("revoke", "key", old, "--json")
    assert said.status == 0
    assert (said.document["version"], said.document["signatures"]) == (2, 0)
    assert "still signs with it" in said.err
    assert draft_keys(desk)[old][0]


def test_a_second_rotation_before_the_first_is_in_use_is_refused(desk: FleetDesk) -> None:
    desk.run("rotate", *desk.root(1), *desk.root(2))
    keys = sorted(desk.fleet.folder.glob("command-*.key"))
    said = desk.run("rotate")
    assert said.status == 2
    assert "has a successor already" in said.err
    assert sorted(desk.fleet.folder.glob("command-*.key")) == keys


def test_the_only_key_is_not_revoked(desk: FleetDesk) -> None:
    said = desk.run("revoke", "key", kid_in_use(desk), *desk.root(1), *desk.root(2))
    assert said.status == 2
    assert "the only command key of operator 1" in said.err
    assert not desk.fleet.draft_file.exists()


def test_an_unknown_key_is_not_revoked(desk: FleetDesk) -> None:
    said = desk.run("revoke", "key", "00000000")
    assert said.status == 2
    assert f"it has {kid_in_use(desk)} (operator 1)" in said.err


@pytest.mark.hazard("H130")
def test_a_draft_with_too_few_signatures_is_not_published(desk: FleetDesk) -> None:
    before = desk.fleet.bundle_file.read_bytes()
    desk.run("rotate")
    said = desk.run("bundle", "publish")
    assert said.status == 2
    assert "no root has signed it" in said.err
    desk.run("bundle", "sign", desk.fleet.draft_file, *desk.root(2))
    said = desk.run("bundle", "publish")
    assert said.status == 2
    assert "cars would refuse it (signatures); signed by 1 root, 2 needed: 1 more must sign" in said.err
    assert desk.fleet.bundle_file.read_bytes() == before


@pytest.mark.parametrize("words", [["rotate"], ["bundle", "sign", "DRAFT"], ["decommission", "demo"]])
def test_a_key_that_is_no_root_signs_nothing(desk: FleetDesk, words: list[str]) -> None:
    desk.enroll("demo")
    draft = desk.scratch / "draft"
    desk.run("rotate")
    desk.fleet.draft_file.replace(draft)
    before = draft.read_bytes()
    stranger = desk.scratch / "stranger.key"
    make_key(stranger)
    said = desk.run(*[str(draft) if word == "DRAFT" else word for word in words], "--root", stranger)
    assert (said.status, said.out) == (2, "")
    assert "and no root; they are" in said.err
    assert draft.read_bytes() == before
    assert not desk.fleet.draft_file.exists()
    assert not Path("demo.decom").exists()


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (None, 0o600, "there is no key file"),
        ("rubbish", 0o600, "does not hold a key"),
        ("00" * 32, 0o644, "can be read or changed by others"),
    ],
)
def test_a_root_that_cannot_be_read_signs_nothing(
    desk: FleetDesk, content: str | None, mode: int, problem: str
) -> None:
    path = desk.scratch / "root.key"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    said = desk.run("rotate", "--root", path)
    assert said.status == 2
    assert problem in said.err
    assert len(list(desk.fleet.folder.glob("command-*.key"))) == 1
    assert not desk.fleet.draft_file.exists()


def test_a_bundle_dated_ahead_is_not_signed(desk: FleetDesk) -> None:
    """It would raise the floor of every car, and end keys, for good."""
    present = read_bundle(desk.fleet.bundle_file).bundle
    ahead = next_bundle(present, after=present, date_unix_s=present.date_unix_s + 3 * 86_400 + 3600)
    desk.fleet.draft_file.write_bytes(bundle_draft(ahead).raw)
    said = desk.run("bundle", "sign", desk.fleet.draft_file, *desk.root(1))
    assert said.status == 2
    assert "dated 3 days after this machine's clock" in said.err


def test_a_clock_that_is_behind_makes_no_draft(desk: FleetDesk) -> None:
    present = read_bundle(desk.fleet.bundle_file).bundle
    draft = bundle_draft(replace(present, date_unix_s=present.date_unix_s + 86_400))
    for number in (1, 2):
        draft = draft.signed(read_key(desk.fleet.root_file(number)))
    desk.fleet.bundle_file.write_bytes(draft.raw)
    said = desk.run("rotate")
    assert said.status == 2
    assert "behind the date of the bundle in force" in said.err
    assert len(list(desk.fleet.folder.glob("command-*.key"))) == 1


def test_what_is_in_force_and_what_is_under_way_are_shown(desk: FleetDesk) -> None:
    said = desk.run("bundle", "show")
    assert f"command key {kid_in_use(desk)} good for ever: unlock, lock, report" in said.out
    assert "signed by 3 roots, 2 needed: complete" in said.out
    assert "not in force" not in said.out
    desk.run("rotate", *desk.root(1))
    desk.run("revoke", "key", kid_in_use(desk), *desk.root(2))
    said = desk.run("bundle", "show")
    assert "not in force:\nbundle version 2" in said.out
    assert f"command key {kid_in_use(desk)} REVOKED" in said.out
    assert "signed by 1 root, 2 needed: 1 more must sign" in said.out
    document = desk.run("bundle", "show", "--json").document
    assert (document["version"], document["draft"]["version"]) == (1, 2)
    assert document["draft"]["keys"] == desk.run("bundle", "show", desk.fleet.draft_file, "--json").document["keys"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a document that roots sign"),
        (b"\x84\x40\xa0\x41\x00\x80", "not a document that roots sign"),
        (b"{}", "not a document that roots sign"),
        (bytes(5000), "larger than 4096 bytes"),
    ],
)
@pytest.mark.parametrize("verb", ["show", "sign"])
def test_what_is_no_document_is_one_message(desk: FleetDesk, verb: str, content: bytes, problem: str) -> None:
    path = desk.scratch / "some"
    path.write_bytes(content)
    said = desk.run("bundle", verb, path, *(desk.root(1) if verb == "sign" else ()))
    assert (said.status, said.out) == (2, "")
    assert problem in said.err
    assert path.read_bytes() == content


@pytest.mark.parametrize("verb", [["rotate"], ["bundle", "show"], ["bundle", "publish"], ["revoke", "key", "00000000"]])
def test_without_a_bundle_nothing_goes(desk: FleetDesk, verb: list[str]) -> None:
    desk.fleet.bundle_file.unlink()
    said = desk.run(*verb)
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert "there is no trust bundle" in said.err


def test_an_order_to_decommission_is_for_one_car_and_needs_two_roots(desk: FleetDesk) -> None:
    desk.enroll("demo")
    car = load_settings(desk.fleet.configuration).car("demo").id
    in_force, path = read_bundle(desk.fleet.bundle_file).bundle, desk.scratch / "order"
    said = desk.run("decommission", "demo", *desk.root(1), "--out", path)
    assert said.status == 0
    assert "1 more must sign" in said.out
    assert judge_decommission(path.read_bytes(), in_force, car=car) is OrderRefusal.SIGNATURES
    said = desk.run("bundle", "sign", path, *desk.root(2), "--json")
    assert said.document["is_complete"]
    order = judge_decommission(path.read_bytes(), in_force, car=car)
    assert isinstance(order, Decommission)
    assert said.document["order_id"] == order.order_id.hex()
    assert judge_decommission(path.read_bytes(), in_force, car=bytes(8)) is OrderRefusal.WRONG_CAR


def test_no_two_orders_are_one(desk: FleetDesk) -> None:
    desk.enroll("demo")
    ids = {
        desk.run("decommission", "demo", "--out", desk.scratch / name, "--json").document["order_id"] for name in "ab"
    }
    assert len(ids) == 2


def test_a_clock_reset_is_bound_to_car_and_floor(desk: FleetDesk) -> None:
    desk.enroll("demo")
    car = load_settings(desk.fleet.configuration).car("demo").id
    in_force, path = read_bundle(desk.fleet.bundle_file).bundle, desk.scratch / "order"
    floors = ["--from", str(FLOOR), "--to", str(EARLIER)]
    said = desk.run("clock-reset", "demo", *floors, *desk.root(1), *desk.root(3), "--out", path)
    assert said.status == 0
    assert "back from 2100-01-01 00:00:00 UTC to 2026-09-21" in said.out
    judged = judge_reset(path.read_bytes(), in_force, car=car, floor_unix_s=FLOOR, done=frozenset())
    assert isinstance(judged, Reset)
    assert (judged.floor_from_unix_s, judged.floor_to_unix_s) == (FLOOR, EARLIER)
    refused = judge_reset(path.read_bytes(), in_force, car=car, floor_unix_s=FLOOR + 1, done=frozenset())
    assert refused is OrderRefusal.FLOOR


@pytest.mark.parametrize("to", [FLOOR, FLOOR + 1])
def test_a_clock_reset_forward_is_refused(desk: FleetDesk, to: int) -> None:
    desk.enroll("demo")
    path = desk.scratch / "order"
    said = desk.run("clock-reset", "demo", "--from", str(FLOOR), "--to", str(to), "--out", path)
    assert said.status == 2
    assert "sets the floor back" in said.err
    assert not path.exists()


@pytest.mark.parametrize("verb", [["decommission"], ["clock-reset", "--from", "2", "--to", "1"]])
def test_an_order_that_is_there_is_not_overwritten(desk: FleetDesk, verb: list[str]) -> None:
    desk.enroll("demo")
    path = desk.scratch / "order"
    path.write_text("mine")
    said = desk.run(verb[0], "demo", *verb[1:], "--out", path)
    assert (said.status, path.read_text()) == (2, "mine")
    assert "is there already" in said.err


@pytest.mark.parametrize("verb", [["decommission"], ["clock-reset", "--from", "2", "--to", "1"]])
def test_an_order_for_an_unknown_car_is_refused(desk: FleetDesk, verb: list[str]) -> None:
    said = desk.run(verb[0], "nobody", *verb[1:])
    assert said.status == 2
    assert "There is no car named 'nobody'" in said.err


def test_there_is_no_key_to_switch_to_without_rotation(desk: FleetDesk) -> None:
    said = desk.run("rotate", "--switch")
    assert said.status == 2
    assert "make one with: carshare-backend rotate" in said.err


def test_a_draft_that_is_overtaken_is_told(desk: FleetDesk) -> None:
    desk.run("rotate", *desk.root(1), *desk.root(2))
    shutil.copy(desk.fleet.draft_file, desk.fleet.bundle_file)
    said = desk.run("revoke", "key", kid_in_use(desk))
    assert said.status == 2
    assert "is no successor of the bundle in force" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["revoke"],
        ["revoke", "key", "xyz"],
        ["revoke", "key", "C0DE0001"],
        ["bundle"],
        ["bundle", "sign", "bundle.draft"],
        ["rotate", "--overlap-days", "-1"],
        ["rotate", "--overlap-days", "3651"],
        ["bundle", "publish", "--wait", "0"],
        ["clock-reset", "demo", "--from", "1"],
        ["clock-reset", "demo", "--from", "-1", "--to", "0"],
        ["clock-reset", "demo", "--from", str(2**53), "--to", "0"],
    ],
)
def test_wrong_use_ends_with_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


def test_the_new_key_is_not_the_old_one(desk: FleetDesk) -> None:
    desk.run("rotate")
    keys = [read_key(path) for path in desk.fleet.folder.glob("command-*.key")]
    assert len({raw_public(key.public_key()) for key in keys}) == 2


@pytest.mark.parametrize(
    ("words", "problem"), [(["--anyway"], "goes with --switch"), (["--switch"], "leave --root away")]
)
def test_options_that_do_not_go_together_are_told(desk: FleetDesk, words: list[str], problem: str) -> None:
    said = desk.run("rotate", *words, *desk.root(1))
    assert said.status == 2
    assert problem in said.err
    assert not desk.fleet.draft_file.exists()


def test_a_publication_that_was_cut_off_goes_on(desk: FleetDesk) -> None:
    """The draft was in force already, and still lay there; the broker is another matter."""
    desk.run("rotate", *desk.root(1), *desk.root(2))
    shutil.copy(desk.fleet.draft_file, desk.fleet.bundle_file)
    said = desk.run("bundle", "publish")
    assert said.status == 3
    assert "The broker localhost:8883 cannot be used" in said.err
    assert not desk.fleet.draft_file.exists()


def test_a_draft_is_in_force_before_it_is_published(desk: FleetDesk) -> None:
    """Else a car could have what the next bundle is not made from."""
    desk.run("rotate", *desk.root(1), *desk.root(2))
    draft = desk.fleet.draft_file.read_bytes()
    assert desk.run("bundle", "publish").status == 3
    assert desk.fleet.bundle_file.read_bytes() == draft
    assert not desk.fleet.draft_file.exists()


@pytest.mark.hazard("H129")
def test_a_draft_that_skips_nothing_but_is_older_is_not_published(desk: FleetDesk) -> None:
    desk.run("rotate", *desk.root(1), *desk.root(2))
    first = desk.fleet.bundle_file.read_bytes()
    desk.fleet.draft_file.replace(desk.fleet.bundle_file)
    desk.fleet.draft_file.write_bytes(first)
    said = desk.run("bundle", "publish")
    assert said.status == 2
    assert "cars would refuse it (older)" in said.err


@pytest.mark.hazard("H135")
def test_a_tls_key_that_others_can_read_connects_to_nobody(desk: FleetDesk) -> None:
    (desk.fleet.folder / "backend-tls.key").chmod(0o640)
    said = desk.run("bundle", "publish")
    assert said.status == 2
    assert "backend-tls.key can be read or changed by others (mode 0640)" in said.err
