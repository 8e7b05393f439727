"""The next bundle, made of the one before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.backend.bundles import first_bundle, next_bundle, with_new_key, with_revoked_key
from agent.backend.keys import raw_public
from agent.command.bundle import COMMAND_KEYS_MAX, NUMBER_MAX, Bundle, KeyEntry, OperatorEntry, Role, faults
from agent.errors import ConfigurationError

DATE = 1_800_000_000
DAY = 86_400


def public(number: int) -> bytes:
    return raw_public(Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big")).public_key())


ROOTS = [public(number) for number in (1, 2, 3)]
OLD, NEW = KeyEntry(7, public(10)).kid, KeyEntry(7, public(11)).kid


@pytest.fixture
def bundle() -> Bundle:
    operator = OperatorEntry(7, "Seven")
    return first_bundle(bytes(8), ROOTS, 2, operator, public(10), {1, 2}, date_unix_s=DATE)


def keys_of(bundle: Bundle) -> dict[bytes, KeyEntry]:
    return {key.kid: key for key in bundle.keys}


def with_keys(bundle: Bundle, keys: Iterable[KeyEntry]) -> Bundle:
    return replace(bundle, keys=tuple(sorted(keys, key=lambda key: key.kid)))


def test_the_first_bundle_is_sound(bundle: Bundle) -> None:
    assert list(faults(bundle)) == []
    assert (bundle.version, bundle.threshold, sorted(bundle.roots)) == (1, 2, list(bundle.roots))
    assert keys_of(bundle)[OLD].actions == {1, 2}


def test_the_next_is_one_version_on_and_dated_anew(bundle: Bundle) -> None:
    later = next_bundle(bundle, after=bundle, date_unix_s=DATE + 5)
    assert later == replace(bundle, version=2, date_unix_s=DATE + 5)
    assert next_bundle(later, after=bundle, date_unix_s=DATE + 6).version == 2  # a draft that is changed once more


def test_a_clock_that_is_behind_the_bundle_in_force_is_told(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="1 s behind the date of the bundle in force"):
        next_bundle(bundle, after=bundle, date_unix_s=DATE - 1)


def test_a_new_key_has_the_rights_of_the_old_and_the_old_one_ends(bundle: Bundle) -> None:
    changed = with_new_key(bundle, OLD, public(11), old_ends_unix_s=DATE + 30 * DAY)
    old, new = keys_of(changed)[OLD], keys_of(changed)[NEW]
    assert list(faults(changed)) == []
    assert new == KeyEntry(7, public(11), Role.COMMAND, frozenset({1, 2}), not_after_unix_s=NUMBER_MAX)
    assert old == replace(keys_of(bundle)[OLD], not_after_unix_s=DATE + 30 * DAY)


def test_rotating_lengthens_no_keys_life(bundle: Bundle) -> None:
    ending = with_keys(bundle, [replace(keys_of(bundle)[OLD], not_after_unix_s=DATE + DAY)])
    changed = with_new_key(ending, OLD, public(11), old_ends_unix_s=DATE + 30 * DAY)
    assert keys_of(changed)[OLD].not_after_unix_s == DATE + DAY


def test_the_successor_of_a_revoked_key_is_none_itself(bundle: Bundle) -> None:
    revoked = with_keys(bundle, [replace(keys_of(bundle)[OLD], is_revoked=True)])
    changed = with_new_key(revoked, OLD, public(11), old_ends_unix_s=DATE)
    assert {kid: key.is_revoked for kid, key in keys_of(changed).items()} == {OLD: True, NEW: False}


def test_keys_that_have_ended_make_room(bundle: Bundle) -> None:
    ended = KeyEntry(7, public(12), not_after_unix_s=DATE - 1)
    others = KeyEntry(7, public(13), Role.GRANT)
    changed = with_new_key(
        with_keys(bundle, [*bundle.keys, ended, others]), OLD, public(11), old_ends_unix_s=DATE + DAY
    )
    assert keys_of(changed).keys() == {OLD, NEW, others.kid}


def test_a_full_bundle_parts_with_its_revoked_keys(bundle: Bundle) -> None:
    revoked = [KeyEntry(7, public(20 + number), is_revoked=True) for number in range(COMMAND_KEYS_MAX - 1)]
    full = with_keys(bundle, [*bundle.keys, *revoked])
    changed = with_new_key(full, OLD, public(11), old_ends_unix_s=DATE + DAY)
    assert list(faults(changed)) == []
    assert keys_of(changed).keys() == {OLD, NEW}


def test_a_revoked_key_stays_to_be_answered(bundle: Bundle) -> None:
    changed = with_revoked_key(with_new_key(bundle, OLD, public(11), old_ends_unix_s=DATE), OLD)
    assert {kid: key.is_revoked for kid, key in keys_of(changed).items()} == {OLD: True, NEW: False}


@pytest.mark.parametrize(
    "others",
    [
        [],
        [KeyEntry(7, public(12), is_revoked=True)],
        [KeyEntry(7, public(12), not_after_unix_s=DATE - 1)],
        [KeyEntry(7, public(12), Role.GRANT)],
        [KeyEntry(8, public(12))],
    ],
)
def test_the_last_key_that_works_is_not_revoked(bundle: Bundle, others: list[KeyEntry]) -> None:
    two = replace(bundle, operators=(*bundle.operators, OperatorEntry(8)))
    with pytest.raises(ConfigurationError, match=r"the only command key of operator 7 that works.*rotate"):
        with_revoked_key(with_keys(two, [*bundle.keys, *others]), OLD)


def test_what_cannot_be_revoked_is_told(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match=f"no key 00000000 in the bundle; it has {OLD.hex()} .operator 7"):
        with_revoked_key(bundle, bytes(4))
    changed = with_revoked_key(with_new_key(bundle, OLD, public(11), old_ends_unix_s=DATE), OLD)
    with pytest.raises(ConfigurationError, match="is revoked already"):
        with_revoked_key(changed, OLD)


def test_only_a_command_key_has_a_successor(bundle: Bundle) -> None:
    grant = KeyEntry(7, public(12), Role.GRANT)
    with pytest.raises(ConfigurationError, match="is no command key"):
        with_new_key(with_keys(bundle, [*bundle.keys, grant]), grant.kid, public(11), old_ends_unix_s=DATE)
