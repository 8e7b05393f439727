"""Documents of the roots (bundle, clock reset, decommissioning): refused with a word, or taken with one meaning.

Whatever the content, nothing is taken that the threshold of the present roots did not sign, and what is taken can be
used: its keys become records, and written again it is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

from agent.command.bundle import encode_bundle, faults
from agent.command.cosign import DOCUMENT_LIMITS, DocumentKind, encode_document, open_document, sign_body, signers
from agent.command.orders import (
    Decommission,
    OrderRefusal,
    Reset,
    judge_decommission,
    judge_reset,
    seal_decommission,
    seal_reset,
)
from agent.command.scan import decode_strict, encode_canonical
from agent.command.trust import DOCUMENT_BYTES_MAX, SignedBundle, Trust, judge_offer, key_records, open_bundle
from tests.fuzz.intake import Intake, edit, edited
from tests.fuzz.target_envelope import TOKENS as CBOR_TOKENS
from tests.support.envelopes import CAR
from tests.support.roots import BUNDLE, OTHER_ROOTS, ROOTS, entry, roots_of, sealed, signed

KINDS = tuple(DocumentKind)
FLOOR_UNIX_S = 1_790_000_000
ORDER_ID = bytes(range(16))
TOKENS = CBOR_TOKENS

_RAW, _EDITED, _BODY, _BODY_EDITED = range(4)
"""The bytes behind the first three: a document, changes of a good one, and the same for the part that is signed."""

SIGNERS = ((), ROOTS[:1], ROOTS[:2], ROOTS, OTHER_ROOTS, (*ROOTS[:2], *OTHER_ROOTS[:2]))
"""Who signs what the fuzzer made of a body: too few, enough, and others."""


@cache
def golden() -> Mapping[DocumentKind, bytes]:
    after = replace(BUNDLE, version=6, keys=(*BUNDLE.keys, entry("a second key", operator=2)))
    return {
        DocumentKind.BUNDLE: sealed(after),
        DocumentKind.RESET: seal_reset(Reset(CAR, ORDER_ID, FLOOR_UNIX_S, FLOOR_UNIX_S - 86_400), ROOTS[:2]),
        DocumentKind.DECOM: seal_decommission(Decommission(CAR, ORDER_ID, FLOOR_UNIX_S), ROOTS[:2]),
    }


@cache
def present() -> SignedBundle:
    return signed(BUNDLE)


def run(data: bytes) -> None:
    intake = Intake(data)
    kind, what = KINDS[intake.number() % len(KINDS)], intake.number() % 4
    raw = _document(kind, what, intake)
    document = open_document(kind, raw)
    if document is not None:
        assert encode_canonical(decode_strict(document.body, DOCUMENT_LIMITS)) == document.body
        assert encode_document(document.body, document.signatures) == raw
        assert signers(document, BUNDLE.roots) <= set(BUNDLE.roots)
    if kind is DocumentKind.BUNDLE:
        check_bundle(raw)
    else:
        check_order(kind, raw)


def _document(kind: DocumentKind, what: int, intake: Intake) -> bytes:
    who, whole = SIGNERS[intake.number() % len(SIGNERS)], golden()[kind]
    if what == _RAW:
        return intake.rest()
    if what == _EDITED:
        return edited(whole, intake)
    document = open_document(kind, whole)
    assert document is not None
    body = intake.rest() if what == _BODY else edited(document.body, intake)
    signatures = sorted(sign_body(kind, body, root) for root in who)
    entries = [[encode_canonical({1: -19, 4: kid}), {}, signature] for kid, signature in signatures]
    return encode_canonical([b"", {}, body, entries])


def check_bundle(raw: bytes) -> None:
    found = judge_offer(present(), raw)
    opened = open_bundle(raw)
    if not isinstance(found, SignedBundle):
        return
    assert isinstance(opened, SignedBundle)
    assert len(raw) <= DOCUMENT_BYTES_MAX
    assert len(signers(found.document, BUNDLE.roots)) >= BUNDLE.threshold
    assert found.bundle.fleet == BUNDLE.fleet
    assert found.bundle.version > BUNDLE.version
    assert list(faults(found.bundle)) == []
    known = {key: value for key, value in decode_payload(found).items() if key < 128}
    assert encode_canonical(encode_bundle(found.bundle)) == encode_canonical(known)
    trust = Trust(present()).succeeded_by(found)
    records = key_records(trust)
    assert {key.kid for key in found.bundle.keys} <= records.keys()
    assert all(record.kid == kid for kid, record in records.items())


def decode_payload(found: SignedBundle) -> Mapping[int, object]:
    payload = found.document.payload
    assert isinstance(payload, dict)
    return payload


def check_order(kind: DocumentKind, raw: bytes) -> None:
    """An order that is carried out is for this car, and the roots in force gave it."""
    found: Reset | Decommission | OrderRefusal
    if kind is DocumentKind.RESET:
        found = judge_reset(raw, BUNDLE, car=CAR, floor_unix_s=FLOOR_UNIX_S, done=frozenset({bytes(16)}))
    else:
        found = judge_decommission(raw, BUNDLE, car=CAR)
    if isinstance(found, OrderRefusal):
        return
    document = open_document(kind, raw)
    assert document is not None
    assert len(signers(document, BUNDLE.roots)) >= BUNDLE.threshold
    assert found.car == CAR
    assert found.order_id != bytes(16) or not isinstance(found, Reset)
    assert not isinstance(found, Reset) or found.floor_from_unix_s == FLOOR_UNIX_S


def seeds() -> Iterator[tuple[str, bytes]]:
    """Each kind whole, changed in one place, and its body signed anew by each choice of roots; bundles of all kinds."""
    for index, kind in enumerate(KINDS):
        document = open_document(kind, golden()[kind])
        assert document is not None
        yield f"{kind}_whole", bytes([index, _RAW, 0]) + golden()[kind]
        yield f"{kind}_edited", bytes([index, _EDITED, 0]) + edit(20, 1, b"\x00")
        yield f"{kind}_body_edited", bytes([index, _BODY_EDITED, 2]) + edit(2, 1, b"\x02")
        for who in range(len(SIGNERS)):
            yield f"{kind}_body_{who}", bytes([index, _BODY, who]) + document.body
    for name, bundle in (
        ("other_roots", replace(BUNDLE, version=6, roots=roots_of(OTHER_ROOTS))),
        ("lower_threshold", replace(BUNDLE, version=6, threshold=1)),
        ("no_keys", replace(BUNDLE, version=9, keys=())),
        ("revoked", replace(BUNDLE, version=6, keys=(entry("a second key", is_revoked=True),))),
        ("older", replace(BUNDLE, version=4)),
    ):
        yield name, bytes([0, _BODY, 5]) + encode_canonical(encode_bundle(bundle))
