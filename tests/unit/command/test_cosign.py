"""COSE_Sign: what several keys signed together, and everything that is no such document."""

from __future__ import annotations

import cbor2
import pytest

from agent.command.cosign import (
    DOCUMENT_BYTES_MAX,
    SIGNATURES_MAX,
    DocumentKind,
    add_signature,
    encode_document,
    key_id,
    open_document,
    seal_document,
    sign_body,
    signers,
)
from tests.support.roots import ROOTS, STRANGERS, private_key, public

PAYLOAD = {1: 1, 2: b"fleet--1"}
GOLDEN = seal_document(DocumentKind.BUNDLE, PAYLOAD, ROOTS[:2])
PUBLIC = tuple(map(public, ROOTS))


def outer() -> list[object]:
    found = cbor2.loads(GOLDEN)
    assert isinstance(found, list)
    return found


def entries() -> list[list[object]]:
    found = outer()[3]
    assert isinstance(found, list)
    return found


def encoded(item: object) -> bytes:
    return cbor2.dumps(item, canonical=True)


def with_entries(*found: object) -> bytes:
    return encoded([*outer()[:3], list(found)])


def test_those_who_signed_are_found_and_no_others() -> None:
    document = open_document(DocumentKind.BUNDLE, GOLDEN)
    assert document is not None
    assert document.payload == PAYLOAD
    assert signers(document, PUBLIC) == set(PUBLIC[:2])
    assert signers(document, map(public, STRANGERS)) == frozenset()


def test_what_is_signed_can_be_made_by_hand() -> None:
    """RFC 9052, section 4.4, put together from bytes: a stranger's implementation must come to the same."""
    kid = key_id(PUBLIC[0])
    protected = b"\xa2\x01\x32\x04\x44" + kid
    body = b"\xa2\x01\x01\x02\x48fleet--1"
    signed = [b"\x69Signature", b"\x40", b"\x49" + protected, b"\x4bcsa1/bundle", b"\x4d" + body]
    to_sign = b"\x85" + b"".join(signed)
    by_hand = {kid: ROOTS[0].sign(to_sign)}
    document = open_document(DocumentKind.BUNDLE, encode_document(body, by_hand))
    assert document is not None
    assert signers(document, PUBLIC) == {PUBLIC[0]}


def test_signatures_are_added_one_after_another_in_any_order() -> None:
    first = open_document(DocumentKind.BUNDLE, seal_document(DocumentKind.BUNDLE, PAYLOAD, ROOTS[1:2]))
    assert first is not None
    assert add_signature(first, ROOTS[0]) == GOLDEN


def test_a_root_that_signs_twice_counts_once() -> None:
    document = open_document(DocumentKind.BUNDLE, GOLDEN)
    assert document is not None
    assert add_signature(document, ROOTS[0]) == GOLDEN


@pytest.mark.parametrize("kind", [kind for kind in DocumentKind if kind is not DocumentKind.BUNDLE])
def test_a_document_of_one_kind_is_none_of_another(kind: DocumentKind) -> None:
    document = open_document(kind, GOLDEN)
    assert document is not None
    assert signers(document, PUBLIC) == frozenset()


def test_a_signature_of_one_root_under_the_id_of_another_does_not_count() -> None:
    _, signature = sign_body(DocumentKind.BUNDLE, encoded(PAYLOAD), ROOTS[0])
    document = open_document(DocumentKind.BUNDLE, encode_document(encoded(PAYLOAD), {key_id(PUBLIC[1]): signature}))
    assert document is not None
    assert signers(document, PUBLIC) == frozenset()


def test_the_digest_is_of_what_is_signed_alone() -> None:
    other = open_document(DocumentKind.BUNDLE, seal_document(DocumentKind.BUNDLE, PAYLOAD, ROOTS))
    same = open_document(DocumentKind.BUNDLE, GOLDEN)
    assert other is not None and same is not None
    assert other.digest == same.digest


def header(**changes: object) -> bytes:
    fields: dict[int, object] = {1: -19, 4: key_id(PUBLIC[0])}
    return encoded(fields | {int(key.removeprefix("key_")): value for key, value in changes.items()})


SIGNATURE = bytes(64)

REFUSED = {
    "empty": b"",
    "too_long": GOLDEN + bytes(DOCUMENT_BYTES_MAX),
    "one_byte_more": GOLDEN + b"\x00",
    "tagged_cose_sign": b"\xd8\x62" + GOLDEN,
    "no_array": encoded({1: 1}),
    "five_parts": encoded([*outer(), 0]),
    "protected_header_of_the_body": encoded([b"\xa0", *outer()[1:]]),
    "protected_header_is_no_bytes": encoded([{}, *outer()[1:]]),
    "unprotected_header": encoded([b"", {1: 1}, *outer()[2:]]),
    "payload_is_no_bytes": encoded([b"", {}, PAYLOAD, entries()]),
    "payload_is_no_item": encoded([b"", {}, b"\xff", entries()]),
    "payload_in_two_spellings": encoded([b"", {}, b"\xa1\x01\x18\x01", entries()]),
    "no_signatures": with_entries(),
    "signatures_are_no_array": encoded([*outer()[:3], {}]),
    "same_signature_twice": with_entries(entries()[0], entries()[0]),
    "signatures_in_descending_order": with_entries(entries()[1], entries()[0]),
    "nine_signatures": with_entries(
        *([header(key_4=bytes([0, 0, 0, number])), {}, SIGNATURE] for number in range(SIGNATURES_MAX + 1))
    ),
    "entry_is_no_array": with_entries(b""),
    "entry_of_two_parts": with_entries([header(), {}]),
    "entry_with_unprotected_header": with_entries([header(), {4: b"kid4"}, SIGNATURE]),
    "entry_header_is_no_bytes": with_entries([{1: -19}, {}, SIGNATURE]),
    "entry_header_without_kid": with_entries([encoded({1: -19}), {}, SIGNATURE]),
    "entry_header_with_more": with_entries([header(key_5=b""), {}, SIGNATURE]),
    "entry_header_in_two_spellings": with_entries([b"\xa2\x01\x38\x12\x04\x44abcd", {}, SIGNATURE]),
    "algorithm_eddsa": with_entries([header(key_1=-8), {}, SIGNATURE]),
    "algorithm_is_true": with_entries([header(key_1=True), {}, SIGNATURE]),
    "kid_of_five_bytes": with_entries([header(key_4=bytes(5)), {}, SIGNATURE]),
    "kid_is_text": with_entries([header(key_4="abcd"), {}, SIGNATURE]),
    "signature_of_63_bytes": with_entries([header(), {}, bytes(63)]),
    "signature_of_65_bytes": with_entries([header(), {}, bytes(65)]),
    "signature_is_text": with_entries([header(), {}, "s" * 64]),
    "deep": encoded([b"", {}, b"\x81" * 9 + b"\x00", entries()]),
    "many_items": encoded([b"", {}, encoded([0] * 512), entries()]),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_document_is_dropped(raw: bytes) -> None:
    assert open_document(DocumentKind.BUNDLE, raw) is None


def test_eight_signatures_are_taken() -> None:
    roots = [private_key(f"one of eight {number}") for number in range(SIGNATURES_MAX)]
    document = open_document(DocumentKind.BUNDLE, seal_document(DocumentKind.BUNDLE, PAYLOAD, roots))
    assert document is not None
    assert len(signers(document, map(public, roots))) == SIGNATURES_MAX


def test_a_document_the_other_end_would_drop_is_not_made() -> None:
    with pytest.raises(ValueError, match="0 signatures"):
        seal_document(DocumentKind.BUNDLE, PAYLOAD, [])
    with pytest.raises(ValueError, match="bytes"):
        seal_document(DocumentKind.BUNDLE, {1: bytes(DOCUMENT_BYTES_MAX)}, ROOTS)


def test_a_weak_root_signs_nothing() -> None:
    """A key of small order would let one signature fit many documents (H25)."""
    weak = bytes([1]) + bytes(31)
    document = open_document(DocumentKind.BUNDLE, encode_document(encoded(PAYLOAD), {key_id(weak): SIGNATURE}))
    assert document is not None
    assert signers(document, [weak]) == frozenset()
