"""What a car believes when it starts: its store, the file that root installed, or an end with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.command.trust import Bundle, KeyEntry
from agent.model.effects import Persist
from agent.model.records import BundleTaken, RecoveredTrust, Tombstone
from agent.pending import Pending
from agent.trusting import Beginning, Trusting, beginning
from tests.support.roots import BUNDLE, DATE_UNIX_S, ENTRY, OTHER_ROOTS, ROOTS, STRANGERS, entry, roots_of, sealed

GONE = entry("gone")
STONES = (Tombstone(GONE.kid, 1, GONE.public_key, 1),)
V5 = sealed(BUNDLE)
V4 = sealed(replace(BUNDLE, version=4))
V6 = sealed(replace(BUNDLE, version=6, date_unix_s=DATE_UNIX_S + 60))
NEW_ROOTS = replace(BUNDLE, version=7, roots=roots_of(OTHER_ROOTS))
V7_SKIPS = sealed(NEW_ROOTS, (*ROOTS, *OTHER_ROOTS))
V6_SKIPS_NOT = sealed(replace(NEW_ROOTS, version=6), (*ROOTS[:2], *OTHER_ROOTS[:2]))
ONE_SIGNATURE = sealed(replace(BUNDLE, version=6), ROOTS[:1])


def rotten(raw: bytes) -> bytes:
    """One bit of the payload has flipped on the card."""
    at = raw.index(BUNDLE.fleet) + 12
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def stored(raw: bytes | None, version: int = 5, floor_unix_s: int = DATE_UNIX_S + 1000) -> RecoveredTrust:
    return RecoveredTrust(version, raw, STONES, floor_unix_s)


BEGUN: dict[str, tuple[RecoveredTrust, bytes | None, int, bool, int | None, str]] = {
    # what is stored, what is in the file → version in force, whether stored, version offered, words of a note
    "first_start": (RecoveredTrust(), V5, 5, False, None, ""),
    "file_has_gone": (stored(V5), None, 5, True, None, ""),
    "same_in_both": (stored(V5), V5, 5, True, None, ""),
    "file_is_older": (stored(V5), V4, 5, True, None, ""),
    "file_is_newer": (stored(V5), V6, 5, True, 6, ""),
    "file_has_new_roots": (stored(V5), V6_SKIPS_NOT, 5, True, 6, ""),
    "file_cannot_follow": (stored(V5), V7_SKIPS, 5, True, None, "skipped"),
    "file_is_of_strangers": (stored(V5), sealed(replace(BUNDLE, version=6), STRANGERS), 5, True, None, "signatures"),
    "file_is_noise": (stored(V5), b"noise", 5, True, None, "malformed"),
    "store_is_rotten": (stored(rotten(V5)), V5, 5, False, None, "took its place"),
    "store_is_rotten_and_file_newer": (stored(rotten(V5)), V6, 6, False, None, "took its place"),
}


@pytest.mark.parametrize(
    ("recovered", "file", "version", "is_stored", "offered", "note"), BEGUN.values(), ids=BEGUN.keys()
)
def test_what_is_believed_at_start(
    recovered: RecoveredTrust, file: bytes | None, version: int, is_stored: bool, offered: int | None, note: str
) -> None:
    begun = beginning(recovered, file)
    assert isinstance(begun, Beginning), begun
    assert (begun.trust.bundle.version, begun.is_stored) == (version, is_stored)
    assert (None if begun.offered is None else begun.offered.bundle.version) == offered
    assert (note in begun.notes[0]) if note else not begun.notes
    assert begun.trust.tombstones == recovered.tombstones


END: dict[str, tuple[RecoveredTrust, bytes | None, str]] = {
    "nothing_at_all": (RecoveredTrust(), None, "no trust bundle yet, and the bundle file cannot be read"),
    "noise": (RecoveredTrust(), b"noise", "is not sound (malformed)"),
    "one_signature": (RecoveredTrust(), ONE_SIGNATURE, "is not sound (signatures)"),
    "signed_by_strangers": (RecoveredTrust(), sealed(BUNDLE, STRANGERS), "is not sound (signatures)"),
    "rotten_and_no_file": (stored(rotten(V5)), None, "the bundle file cannot be read"),
    "rotten_and_an_older_file": (stored(rotten(V5)), V4, "the bundle file is older (version 4)"),
}


@pytest.mark.parametrize(("recovered", "file", "words"), END.values(), ids=END.keys())
def test_a_car_with_nothing_to_believe_does_not_start(
    recovered: RecoveredTrust, file: bytes | None, words: str
) -> None:
    """Above all it does not fall back to a bundle older than one it had: keys may have been revoked since."""
    problem = beginning(recovered, file)
    assert isinstance(problem, str)
    assert words in problem


@pytest.mark.parametrize(
    ("recovered", "file", "floor_unix_s"),
    [
        (RecoveredTrust(), V5, DATE_UNIX_S),
        (RecoveredTrust(floor_unix_s=DATE_UNIX_S + 7), V5, DATE_UNIX_S + 7),
        (stored(V5), V5, DATE_UNIX_S + 1000),
        (stored(V5, floor_unix_s=5), V5, 5),
        (stored(rotten(V5), floor_unix_s=5), V5, DATE_UNIX_S),
    ],
    ids=["first", "floor_outlived_the_bundle", "as_kept", "as_reset", "rotten"],
)
def test_the_floor_at_start(recovered: RecoveredTrust, file: bytes, floor_unix_s: int) -> None:
    begun = beginning(recovered, file)
    assert isinstance(begun, Beginning)
    assert begun.floor_unix_s == floor_unix_s


def trusting(begun: Beginning | str) -> tuple[Trusting, Pending]:
    assert isinstance(begun, Beginning)
    pending = Pending(1)
    return Trusting(begun, pending, pinned={}, operators=(), now_s=0.0), pending


def taken(pending: Pending) -> list[BundleTaken]:
    effects = iter(pending.pop, None)
    records = [record for effect in effects if isinstance(effect, Persist) for record in effect.records]
    return [record for record in records if isinstance(record, BundleTaken)]


def test_a_bundle_of_the_file_is_in_force_at_once_and_made_durable() -> None:
    car, pending = trusting(beginning(RecoveredTrust(), V5))
    assert (car.version, car.operators, [*car.keys]) == (5, (1, 2), [ENTRY.kid])
    assert taken(pending) == [BundleTaken(5, V5, (), DATE_UNIX_S)]


def test_a_newer_bundle_of_the_file_is_in_force_once_durable() -> None:
    car, pending = trusting(beginning(stored(V5), V6))
    effect = pending.pop()
    assert isinstance(effect, Persist)
    assert effect.records == (BundleTaken(6, V6, STONES, DATE_UNIX_S + 1000),)
    assert car.version == 5
    assert car.stored(effect.token, 1.0)
    assert car.version == 6
    assert not car.stored(effect.token, 1.0)


def test_a_date_raises_the_floor_once_it_is_durable() -> None:
    car, pending = trusting(beginning(stored(V5, floor_unix_s=DATE_UNIX_S), V6))
    effect = pending.pop()
    assert isinstance(effect, Persist)
    assert car.floor_unix_s(10.0) == DATE_UNIX_S + 10
    car.stored(effect.token, 20.0)
    assert car.floor_unix_s(25.0) == DATE_UNIX_S + 65


def test_a_date_in_the_past_does_not_lower_the_floor() -> None:
    car, pending = trusting(beginning(stored(V5, floor_unix_s=DATE_UNIX_S + 500), V6))
    effect = pending.pop()
    assert isinstance(effect, Persist)
    car.stored(effect.token, 20.0)
    assert car.floor_unix_s(20.0) == DATE_UNIX_S + 520


def test_keys_pinned_by_hand_have_no_floor_and_no_timer() -> None:
    car = Trusting(None, Pending(1), pinned={}, operators=(3,), now_s=0.0)
    assert (car.version, car.operators, car.is_rooted) == (0, (3,), False)
    assert (car.floor_unix_s(1e6), car.next_timer()) == (0, float("inf"))


def test_keys_of_an_operator_are_those_of_the_bundle() -> None:
    bundle: Bundle = replace(BUNDLE, keys=tuple(sorted((ENTRY, entry("b", 2)), key=kid_of)))
    car, _ = trusting(beginning(stored(sealed(bundle)), None))
    assert GONE.kid in car.keys
    assert car.command_kids(1) == (ENTRY.kid,)
    assert car.command_kids(2) == (entry("b", 2).kid,)
    assert car.command_kids(3) == ()


def kid_of(key: KeyEntry) -> bytes:
    return key.kid
