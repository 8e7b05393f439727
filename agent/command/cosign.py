"""Documents that several roots sign together: COSE_Sign over canonical CBOR, strict and bounded, as `envelope.py` is.

A document is the untagged array `[b"", {}, payload, [[protected, {}, signature], …]]`, each `protected` =
`{1: alg, 4: kid}`, kids ascending so that no root counts twice. What a root signs is
`["Signature", b"", protected, b"csa1/<kind>", payload]` (RFC 9052, section 4.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Final, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.envelope import ALG_ED25519
from agent.command.keys import load_public_key
from agent.command.scan import Limits, decode_strict, encode_canonical
from agent.model.quick_dataclass import dataclass

DOCUMENT_BYTES_MAX: Final = 4096
"""A bundle of two operators with three keys each is 700 bytes; one MQTT packet and one NFC exchange hold this much."""

DOCUMENT_LIMITS: Final = Limits(items_max=512, depth_max=8)
"""Thirty-two keys are 352 items; for the document, its payload and each protected header by itself."""

SIGNATURES_MAX: Final = 8
"""As many as there can be roots."""

ROOT_KID_BYTES: Final = 4

_ALG, _KID = 1, 4
_SIGNATURE_BYTES = 64


class DocumentKind(StrEnum):
    """What roots sign; the name is part of every signature, so that none can be read as another."""

    BUNDLE = "bundle"
    RESET = "reset"
    DECOM = "decom"

    @property
    def context(self) -> bytes:
        """COSE external_aad."""
        return b"csa1/" + self.value.encode("ascii")


@dataclass(frozen=True, slots=True)
class Document:
    """Well-formed bytes of a stranger: nothing in here is believed until `signers` says so.

    `body` is the encoded payload that is signed, `payload` what it decodes to; `signatures` by root kid, ascending;
    `digest` the SHA-256 of the body, which other signatures on it do not change.
    """

    kind: DocumentKind
    body: bytes
    payload: object
    signatures: Mapping[bytes, bytes]

    @property
    def digest(self) -> bytes:
        return sha256(self.body).digest()


def key_id(public_key: bytes) -> bytes:
    """The id of a root or command key: the first 4 bytes of SHA-256 of the raw 32 bytes."""
    return sha256(public_key).digest()[:ROOT_KID_BYTES]


def open_document(kind: DocumentKind, raw: bytes) -> Document | None:
    """The document in `raw`, or None if a single bit of its frame is not as the protocol has it."""
    if not 1 <= len(raw) <= DOCUMENT_BYTES_MAX:
        return None
    outer = decode_strict(raw, DOCUMENT_LIMITS)
    if type(outer) is not list or len(outer) != 4:
        return None
    protected, unprotected, body, entries = cast("list[object]", outer)
    if type(protected) is not bytes or protected or type(unprotected) is not dict or unprotected:
        return None
    if type(body) is not bytes or type(entries) is not list or not 1 <= len(entries) <= SIGNATURES_MAX:
        return None
    signatures: dict[bytes, bytes] = {}
    for entry in cast("list[object]", entries):
        if (found := _signature(entry)) is None:
            return None
        kid, signature = found
        if signatures and kid <= max(signatures):
            return None
        signatures[kid] = signature
    if (payload := decode_strict(body, DOCUMENT_LIMITS)) is None:
        return None
    return Document(kind, body, payload, signatures)


def encode_document(body: bytes, signatures: Mapping[bytes, bytes]) -> bytes:
    """The bytes of a document. Raises ValueError if the other end would have to drop them."""
    entries = [[_protected(kid), {}, signatures[kid]] for kid in sorted(signatures)]
    raw = encode_canonical([b"", {}, body, entries])
    if open_document(DocumentKind.BUNDLE, raw) is None:
        raise ValueError(f"not a document the other end would read: {len(raw)} bytes, {len(entries)} signatures")
    return raw


def sign_body(kind: DocumentKind, body: bytes, root: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    """(kid, signature) of one root over an encoded payload."""
    # Roots sign, cars do not: an agent that starts does without this.
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    kid = key_id(root.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    return kid, root.sign(_signed_bytes(kind, kid, body))


def seal_document(kind: DocumentKind, payload: Mapping[int, object], roots: Iterable[Ed25519PrivateKey]) -> bytes:
    """Document around `payload`, signed by each of `roots`. Raises ValueError as `encode_document` does."""
    body = encode_canonical(dict(payload))
    return encode_document(body, dict(sign_body(kind, body, root) for root in roots))


def add_signature(document: Document, root: Ed25519PrivateKey) -> bytes:
    """The same document with one more signature: the roots live in several places and sign one after another."""
    kid, signature = sign_body(document.kind, document.body, root)
    return encode_document(document.body, {**document.signatures, kid: signature})


def signers(document: Document, roots: Iterable[bytes]) -> frozenset[bytes]:
    """Those of the raw public keys `roots` that signed exactly this, as a document of this kind.

    A signature of nobody among them does not count and does no harm; how many are enough is the caller's to say.
    """
    found = set()
    for root in roots:
        kid = key_id(root)
        signature, public_key = document.signatures.get(kid), load_public_key(root)
        if signature is None or public_key is None:
            continue
        try:
            public_key.verify(signature, _signed_bytes(document.kind, kid, document.body))
        except InvalidSignature:
            continue
        found.add(root)
    return frozenset(found)


def _signature(entry: object) -> tuple[bytes, bytes] | None:
    """(kid, signature) of one COSE_Signature."""
    if type(entry) is not list or len(entry) != 3:
        return None
    protected, unprotected, signature = cast("list[object]", entry)
    if type(protected) is not bytes or type(unprotected) is not dict or unprotected:
        return None
    if type(signature) is not bytes or len(signature) != _SIGNATURE_BYTES:
        return None
    header = decode_strict(protected, DOCUMENT_LIMITS)
    if type(header) is not dict or header.keys() != {_ALG, _KID}:
        return None
    alg, kid = header[_ALG], header[_KID]
    # No other algorithm is known for a root, so a document that names one is none of this version's.
    if type(alg) is not int or alg != ALG_ED25519 or type(kid) is not bytes or len(kid) != ROOT_KID_BYTES:
        return None
    return kid, signature


def _protected(kid: bytes) -> bytes:
    return encode_canonical({_ALG: ALG_ED25519, _KID: kid})


def _signed_bytes(kind: DocumentKind, kid: bytes, body: bytes) -> bytes:
    return encode_canonical(["Signature", b"", _protected(kid), kind.context, body])
