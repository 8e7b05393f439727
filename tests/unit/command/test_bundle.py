"""The trust bundle: every field, and each thing that keeps one from being taken, whoever signed it."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from agent.command.bundle import (
    COMMAND_KEYS_MAX,
    KEYS_MAX,
    NUMBER_MAX,
    OPERATORS_MAX,
    Bundle,
    KeyEntry,
    OperatorEntry,
    Role,
    decode_bundle,
    encode_bundle,
    faults,
)
from agent.command.cosign import DocumentKind, seal_document
from agent.command.trust import BundleRefusal, SignedBundle, open_bundle, seal_bundle
from tests.support.roots import BUNDLE, ENTRY, ROOTS, entry, private_key, public, sealed
from tests.unit.command.test_keys import P, encodings, small_order_points


def opened(payload: dict[int, object]) -> BundleRefusal | SignedBundle:
    return open_bundle(seal_document(DocumentKind.BUNDLE, payload, ROOTS[:2]))


def changed(**changes: object) -> dict[int, object]:
    """The golden payload with fields exchanged by `key_N`, or taken away by None."""
    fields = encode_bundle(BUNDLE) | {int(key.removeprefix("key_")): value for key, value in changes.items()}
    return {key: value for key, value in fields.items() if value is not None}


def key_array(**changes: object) -> list[object]:
    places = ("kid", "op", "alg", "pk", "role", "actions", "transports", "nbf", "naf", "revoked")
    (row,) = cast("list[list[object]]", encode_bundle(BUNDLE)[8])
    return list((dict(zip(places, row, strict=True)) | changes).values())


def test_a_bundle_comes_back_as_it_was_made() -> None:
    bundle = replace(BUNDLE, keys=tuple(sorted((ENTRY, entry("b", 2, is_revoked=True)), key=lambda key: key.kid)))
    found = open_bundle(sealed(bundle))
    assert isinstance(found, SignedBundle)
    assert found.bundle == bundle


def test_entries_are_put_in_order() -> None:
    bundle = replace(
        BUNDLE,
        roots=tuple(reversed(BUNDLE.roots)),
        operators=tuple(reversed(BUNDLE.operators)),
        keys=tuple(sorted((ENTRY, entry("b")), key=lambda key: key.kid, reverse=True)),
    )
    assert sealed(bundle) == sealed(decode_bundle(encode_bundle(bundle)))


def test_extensions_from_128_on_are_ignored() -> None:
    assert isinstance(opened(changed(key_128="later")), SignedBundle)


def test_a_bundle_at_every_bound_is_taken() -> None:
    keys = [
        KeyEntry(operator, public(private_key(f"{operator} {number}")), actions=frozenset(range(32)))
        for operator in range(1, 5)
        for number in range(COMMAND_KEYS_MAX)
    ]
    operators = tuple(OperatorEntry(number, "a name") for number in range(1, OPERATORS_MAX + 1))
    raw = sealed(replace(BUNDLE, operators=operators, keys=tuple(keys)))
    found = open_bundle(raw)
    assert isinstance(found, SignedBundle)
    assert len(found.bundle.keys) == KEYS_MAX


def command_keys(count: int) -> tuple[KeyEntry, ...]:
    return tuple(entry(f"key {number}") for number in range(count))


OVERFULL = tuple(entry(f"{n} {operator}", operator, role=Role.GRANT) for n in range(17) for operator in (1, 2))

UNSOUND: dict[str, tuple[Bundle, str]] = {
    "version_0": (replace(BUNDLE, version=0), "version 0"),
    "version_above_bound": (replace(BUNDLE, version=NUMBER_MAX + 1), "version"),
    "date_above_bound": (replace(BUNDLE, date_unix_s=NUMBER_MAX + 1), "date"),
    "threshold_0": (replace(BUNDLE, threshold=0), "threshold 0"),
    "threshold_above_roots": (replace(BUNDLE, threshold=4), "threshold 4"),
    "a_root_twice": (replace(BUNDLE, roots=(BUNDLE.roots[0], *BUNDLE.roots)), "roots"),
    "operator_twice": (replace(BUNDLE, operators=(BUNDLE.operators[0], *BUNDLE.operators)), "operators"),
    "operator_0": (replace(BUNDLE, operators=(OperatorEntry(0), *BUNDLE.operators)), "operator 0"),
    "operator_above_bound": (replace(BUNDLE, operators=(*BUNDLE.operators, OperatorEntry(2**31))), "operator"),
    "long_name": (replace(BUNDLE, operators=(OperatorEntry(1, "ä" * 33),)), "64 bytes"),
    "a_key_twice": (replace(BUNDLE, keys=(ENTRY, ENTRY)), "keys"),
    "33_keys": (replace(BUNDLE, keys=OVERFULL), "at most 32"),
    "nine_command_keys_of_an_operator": (replace(BUNDLE, keys=command_keys(9)), "9 command keys"),
    "key_of_nobody": (replace(BUNDLE, keys=(entry("x", 3),)), "operator 3"),
    "role_0": (replace(BUNDLE, keys=(entry("x", role=0),)), "role 0"),
    "role_4": (replace(BUNDLE, keys=(entry("x", role=4),)), "role 4"),
    "root_as_command_key": (replace(BUNDLE, keys=(replace(ENTRY, public_key=BUNDLE.roots[0]),)), "is a root too"),
    "ends_before_it_begins": (
        replace(BUNDLE, keys=(replace(ENTRY, not_before_unix_s=2, not_after_unix_s=1),)),
        "valid from 2 to 1",
    ),
    "end_above_bound": (replace(BUNDLE, keys=(replace(ENTRY, not_after_unix_s=NUMBER_MAX + 1),)), "valid from"),
    "wide_mask": (replace(BUNDLE, keys=(replace(ENTRY, actions=frozenset({32})),)), "32 bits"),
    "wide_transports": (replace(BUNDLE, keys=(replace(ENTRY, transports=frozenset({32})),)), "32 bits"),
}


@pytest.mark.parametrize(("bundle", "words"), UNSOUND.values(), ids=UNSOUND.keys())
def test_a_bundle_that_makes_no_sense_is_neither_made_nor_taken(bundle: Bundle, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sealed(bundle)
    assert opened(encode_bundle(bundle)) in (BundleRefusal.UNSOUND, BundleRefusal.MALFORMED)


def test_all_faults_are_told_at_once() -> None:
    assert len(list(faults(replace(BUNDLE, version=0, threshold=9, keys=(entry("x", 3),))))) == 3
    with pytest.raises(ValueError, match=r"version 0.*threshold 9.*operator 3"):
        sealed(replace(BUNDLE, version=0, threshold=9, keys=(entry("x", 3),)))


WEAK_KEYS = sorted(
    {raw for point in small_order_points() for raw in encodings(point)}
    | {y.to_bytes(32, "little") for y in (P, P + 1, P + 3, P + 18, 2**255 - 1)}
)
"""Every spelling of the points of small order, and encodings beyond the prime."""


@pytest.mark.hazard("H25")
@pytest.mark.parametrize("raw", WEAK_KEYS, ids=bytes.hex)
def test_a_weak_key_in_a_bundle_is_refused_at_import_h25(raw: bytes) -> None:
    """Whoever signed it: as a command key and as a root, and no backend makes such a bundle."""
    for bundle in (
        replace(BUNDLE, keys=(replace(ENTRY, public_key=raw),)),
        replace(BUNDLE, roots=(*BUNDLE.roots, raw)),
    ):
        with pytest.raises(ValueError, match="is not a proper Ed25519 public key"):
            seal_bundle(bundle, ROOTS)
        assert opened(encode_bundle(bundle)) is BundleRefusal.WEAK_KEY


MALFORMED: dict[str, dict[int, object]] = {
    **{f"without_key_{key}": changed(**{f"key_{key}": None}) for key in range(1, 10)},
    "unknown_key_10": changed(key_10=0),
    "fleet_of_seven_bytes": changed(key_2=b"fleet--"),
    "version_is_true": changed(key_3=True),
    "date_is_negative": changed(key_4=-1),
    "no_roots": changed(key_5=[]),
    "nine_roots": changed(key_5=[bytes([n]) * 32 for n in range(9)]),
    "root_of_31_bytes": changed(key_5=[bytes(31)]),
    "no_operators": changed(key_7=[]),
    "17_operators": changed(key_7=[[n, ""] for n in range(1, 18)]),
    "operator_without_name": changed(key_7=[[1]]),
    "name_is_bytes": changed(key_7=[[1, b"name"]]),
    "33_key_arrays": changed(key_8=[key_array()] * 33),
    "key_of_nine_places": changed(key_8=[key_array()[:9]]),
    "key_of_eleven_places": changed(key_8=[[*key_array(), 0]]),
    "revoked_is_0": changed(key_8=[key_array(revoked=0)]),
    "actions_are_an_array": changed(key_8=[key_array(actions=[1])]),
    "policy_is_not_empty": changed(key_9={1: True}),
    "policy_is_an_array": changed(key_9=[]),
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_payload_that_is_no_bundle_is_malformed(payload: dict[int, object]) -> None:
    assert opened(payload) is BundleRefusal.MALFORMED


INCONSISTENT: dict[str, dict[int, object]] = {
    "roots_in_descending_order": changed(key_5=sorted(BUNDLE.roots, reverse=True)),
    "operators_in_descending_order": changed(key_7=[[2, ""], [1, ""]]),
    "id_is_not_the_key's": changed(key_8=[key_array(kid=bytes(4))]),
    "algorithm_is_another": changed(key_8=[key_array(alg=-8)]),
}


@pytest.mark.parametrize("payload", INCONSISTENT.values(), ids=INCONSISTENT.keys())
def test_a_bundle_that_says_one_thing_twice_differently_is_unsound(payload: dict[int, object]) -> None:
    assert opened(payload) is BundleRefusal.UNSOUND


def test_a_bundle_of_another_version_is_told_apart() -> None:
    assert opened(changed(key_1=2)) is BundleRefusal.FORMAT


def test_actions_that_are_not_known_yet_are_kept() -> None:
    """A later backend may list a later action; an older car must not lose the revocations beside it."""
    found = opened(changed(key_8=[key_array(actions=1 << 31 | 2)]))
    assert isinstance(found, SignedBundle)
    assert found.bundle.keys[0].actions == {1, 31}
