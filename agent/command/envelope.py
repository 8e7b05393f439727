"""Signed envelopes: COSE_Sign1 over canonical CBOR, strict and bounded, the same code at both ends.

An envelope is the untagged array `[protected, {}, payload, signature]` with `protected` = `{1: alg, 4: kid}`.
What is signed is `["Signature1", protected, b"csa1/<kind>", payload]` (RFC 9052, section 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.command.fields import ENVELOPE_BYTES_MAX, FIELDS, MessageKind, conforms
from agent.command.payloads import (
    CommandPayload,
    Hello,
    Ping,
    Result,
    Retired,
    decode_command,
    decode_hello,
    decode_ping,
    decode_result,
    decode_retired,
    encode_command,
    encode_hello,
    encode_ping,
    encode_result,
    encode_retired,
)
from agent.command.scan import decode_strict, encode_canonical
from agent.model.quick_dataclass import dataclass

__all__ = [
    "ALG_ED25519",
    "CommandPayload",
    "Envelope",
    "Hello",
    "MessageKind",
    "Ping",
    "Result",
    "Retired",
    "check_signature",
    "decode_command",
    "decode_hello",
    "decode_ping",
    "decode_result",
    "decode_retired",
    "encode_command",
    "encode_hello",
    "encode_ping",
    "encode_result",
    "encode_retired",
    "open_unverified",
    "seal",
]

ALG_ED25519: Final = -19
"""RFC 9864's fully specified Ed25519. The old polymorphic EdDSA (-8) is refused like any other number."""

_ALG, _KID = 1, 4
_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Envelope:
    """Well-formed bytes of a stranger: nothing in here is believed until `check_signature` says so.

    `payload` has the exact types of its field table, `signed_bytes` is the COSE Sig_structure, `digest` the SHA-256
    of the whole envelope as it arrived.
    """

    kind: MessageKind
    alg: int
    kid: bytes
    payload: Mapping[int, object]
    signed_bytes: bytes
    signature: bytes
    digest: bytes


def seal(kind: MessageKind, payload: Mapping[int, object], key: Ed25519PrivateKey, kid: bytes) -> bytes:
    """Signed envelope around `payload`. Raises ValueError for one that the other end would have to drop."""
    protected = encode_canonical({_ALG: ALG_ED25519, _KID: kid})
    body = encode_canonical(dict(payload))
    signature = key.sign(_signed_bytes(kind, protected, body))
    raw = encode_canonical([protected, {}, body, signature])
    if open_unverified(kind, raw) is None:
        raise ValueError(f"not a {kind} the other end would read: {len(raw)} bytes, keys {sorted(payload)}")
    return raw


def open_unverified(kind: MessageKind, raw: bytes) -> Envelope | None:
    """The envelope in `raw`, or None if a single bit of it is not as the protocol has it."""
    if not 1 <= len(raw) <= ENVELOPE_BYTES_MAX:
        return None
    outer = decode_strict(raw, kind.limits)
    if type(outer) is not list or len(outer) != 4:
        return None
    protected, unprotected, body, signature = cast("list[object]", outer)
    if type(protected) is not bytes or type(body) is not bytes or type(signature) is not bytes:
        return None
    if unprotected != {} or len(signature) != _SIGNATURE_BYTES:
        return None
    header = decode_strict(protected, kind.limits)
    if type(header) is not dict or header.keys() != {_ALG, _KID}:
        return None
    alg, kid = header[_ALG], header[_KID]
    if type(alg) is not int or type(kid) is not bytes or len(kid) != kind.kid_bytes:
        return None
    payload = decode_strict(body, kind.limits)
    if not conforms(FIELDS[kind], payload):
        return None
    return Envelope(
        kind=kind,
        alg=alg,
        kid=kid,
        payload=cast("Mapping[int, object]", payload),
        signed_bytes=_signed_bytes(kind, protected, body),
        signature=signature,
        digest=sha256(raw).digest(),
    )


def check_signature(envelope: Envelope, public_key: Ed25519PublicKey) -> bool:
    """Whether the holder of `public_key` signed exactly this, as a message of this kind, with Ed25519."""
    if envelope.alg != ALG_ED25519:
        return False
    try:
        public_key.verify(envelope.signature, envelope.signed_bytes)
    except InvalidSignature:
        return False
    return True


def _signed_bytes(kind: MessageKind, protected: bytes, body: bytes) -> bytes:
    return encode_canonical(["Signature1", protected, kind.context, body])
