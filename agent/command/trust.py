"""Whom the car believes: the bundle in force, and what may take its place.

A judgement is a pure function from values to a reason, and a refusal changes nothing. The frame and its signatures are
`cosign.py`'s, the fields of a bundle `bundle.py`'s, orders that the roots give to one car `orders.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.bundle import (
    BUNDLE_FIELDS,
    Bundle,
    KeyEntry,
    OperatorEntry,
    Role,
    Transport,
    decode_bundle,
    encode_bundle,
    faults,
    is_encoding_of,
    makes_sense,
    weak_keys,
)
from agent.command.cosign import (
    DOCUMENT_BYTES_MAX,
    Document,
    DocumentKind,
    add_signature,
    encode_document,
    key_id,
    open_document,
    seal_document,
    sign_body,
    signers,
)
from agent.command.fields import VERSION, conforms
from agent.command.keys import load_public_key
from agent.command.verify import ROLE_COMMAND, TRANSPORT_MQTT, KeyRecord
from agent.model.quick_dataclass import dataclass
from agent.model.records import Tombstone

__all__ = [
    "DOCUMENT_BYTES_MAX",
    "Bundle",
    "BundleRefusal",
    "Document",
    "DocumentKind",
    "KeyEntry",
    "OperatorEntry",
    "Role",
    "SignedBundle",
    "Transport",
    "Trust",
    "add_signature",
    "encode_document",
    "faults",
    "has_own_threshold",
    "judge_bundle",
    "judge_offer",
    "key_id",
    "key_records",
    "open_bundle",
    "open_document",
    "seal_bundle",
    "sign_body",
    "signers",
]

TOMBSTONES_MAX: Final = 64
"""Two whole bundles of keys taken away. The oldest are forgotten; what they sign is dropped then, and not answered."""

_ROLE_WORDS: Final[Mapping[int, str]] = {Role.COMMAND: ROLE_COMMAND, Role.GRANT: "grant", Role.TIME: "time"}
_TRANSPORT_WORDS: Final[Mapping[int, str]] = {Transport.MQTT: TRANSPORT_MQTT, Transport.LOCAL: "local"}


class BundleRefusal(StrEnum):
    """Why an offered bundle does not take the place of the present one. The words are those of counters and logs."""

    MALFORMED = "malformed"
    FORMAT = "format"
    """Its `v` is another version's."""
    FLEET = "fleet"
    OLDER = "older"
    PRESENT = "present"
    """The very bundle that is in force: what a retained message brings at each connection."""
    OTHER_CONTENT = "other_content"
    SIGNATURES = "signatures"
    """Fewer than the threshold of the present roots."""
    WEAK_KEY = "weak_key"
    UNSOUND = "unsound"
    """Well-formed, but it does not make sense: `bundle.faults` says how."""
    SKIPPED = "skipped"
    """Roots or threshold change, and it is not the very next version."""
    NEW_SIGNATURES = "new_signatures"
    """Roots or threshold change, and fewer than the new threshold of the new roots have signed."""


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """A sound bundle, the document it came in and the very bytes of that. Whether to believe it is `judge_bundle`'s."""

    raw: bytes
    document: Document
    bundle: Bundle


def open_bundle(raw: bytes) -> SignedBundle | BundleRefusal:
    """The bundle in `raw`, or the first thing that is wrong with it, whoever signed it."""
    document = _opened(raw)
    return document if isinstance(document, BundleRefusal) else _sound(raw, document)


def seal_bundle(bundle: Bundle, roots: Iterable[Ed25519PrivateKey]) -> bytes:
    """The bundle signed by each of `roots`, entries put in order. Raises ValueError listing every fault in it."""
    payload = encode_bundle(bundle)
    if found := list(faults(decode_bundle(payload))):
        raise ValueError("not a bundle a car would take: " + "; ".join(found))
    return seal_document(DocumentKind.BUNDLE, payload, roots)


def judge_bundle(present: SignedBundle, offered: SignedBundle) -> BundleRefusal | None:
    """Whether `offered` may take the place of `present`: None if so."""
    return _follows(present, offered.document) or _changes_roots_well(present.bundle, offered)


def judge_offer(present: SignedBundle, raw: bytes) -> SignedBundle | BundleRefusal:
    """The bundle in a stranger's `raw` if it may take the place of `present`, else why not.

    As `open_bundle` and `judge_bundle` together, but the costly look at each key comes after the signatures: else
    whoever can send 2 KB could keep a small computer busy for a tenth of a second with it.
    """
    document = _opened(raw)
    if isinstance(document, BundleRefusal):
        return document
    if (refusal := _follows(present, document)) is not None:
        return refusal
    offered = _sound(raw, document)
    if isinstance(offered, BundleRefusal):
        return offered
    return _changes_roots_well(present.bundle, offered) or offered


def has_own_threshold(signed: SignedBundle) -> bool:
    """Whether enough of its own roots signed it: all that can be asked of a first bundle, and true of each after it."""
    return len(signers(signed.document, signed.bundle.roots)) >= signed.bundle.threshold


def _opened(raw: bytes) -> Document | BundleRefusal:
    document = open_document(DocumentKind.BUNDLE, raw)
    if document is None or not conforms(BUNDLE_FIELDS, document.payload):
        return BundleRefusal.MALFORMED
    return document if _payload(document)[1] == VERSION else BundleRefusal.FORMAT


def _follows(present: SignedBundle, document: Document) -> BundleRefusal | None:
    """Whether the present roots say that this follows: all that can be asked without a look at its keys."""
    before, after = present.bundle, decode_bundle(_payload(document))
    if after.fleet != before.fleet:
        return BundleRefusal.FLEET
    if after.version < before.version:
        return BundleRefusal.OLDER
    if after.version == before.version:
        is_same = document.digest == present.document.digest
        return BundleRefusal.PRESENT if is_same else BundleRefusal.OTHER_CONTENT
    return BundleRefusal.SIGNATURES if len(signers(document, before.roots)) < before.threshold else None


def _sound(raw: bytes, document: Document) -> SignedBundle | BundleRefusal:
    bundle = decode_bundle(_payload(document))
    if weak_keys(bundle):
        return BundleRefusal.WEAK_KEY
    if not is_encoding_of(bundle, _payload(document)) or not makes_sense(bundle):
        return BundleRefusal.UNSOUND
    return SignedBundle(raw, document, bundle)


def _changes_roots_well(before: Bundle, offered: SignedBundle) -> BundleRefusal | None:
    after = offered.bundle
    if (after.roots, after.threshold) == (before.roots, before.threshold):
        return None
    if after.version != before.version + 1:
        return BundleRefusal.SKIPPED
    return None if has_own_threshold(offered) else BundleRefusal.NEW_SIGNATURES


def _payload(document: Document) -> Mapping[int, object]:
    return cast("Mapping[int, object]", document.payload)


@dataclass(frozen=True, slots=True)
class Trust:
    """The bundle in force, and the keys that earlier ones had and it has not: they are known still, to be answered."""

    signed: SignedBundle
    tombstones: tuple[Tombstone, ...] = ()

    @property
    def bundle(self) -> Bundle:
        return self.signed.bundle

    def succeeded_by(self, offered: SignedBundle) -> Trust:
        """The trust once `offered`, which `judge_bundle` allowed, is in force."""
        kids = {key.kid for key in offered.bundle.keys}
        gone = [Tombstone(key.kid, key.operator, key.public_key, key.role) for key in self.bundle.keys]
        buried = [stone for stone in (*self.tombstones, *gone) if stone.kid not in kids]
        return Trust(offered, tuple(buried[-TOMBSTONES_MAX:]))


def key_records(trust: Trust) -> dict[bytes, KeyRecord]:
    """What `verify` and `authorise` are to know of each key, by id."""
    gone = (KeyEntry(stone.operator, stone.public_key, stone.role, is_revoked=True) for stone in trust.tombstones)
    records = (_record(key) for key in (*gone, *trust.bundle.keys))
    return {record.kid: record for record in records if record is not None}


def _record(key: KeyEntry) -> KeyRecord | None:
    """None for a key that cannot be one: a bundle has none, but a row of the store may have rotted."""
    public_key = load_public_key(key.public_key)
    if public_key is None or key.role not in _ROLE_WORDS:
        return None
    return KeyRecord(
        kid=key.kid,
        operator=key.operator,
        public_key=public_key,
        actions=key.actions,
        not_before_unix_s=key.not_before_unix_s,
        not_after_unix_s=key.not_after_unix_s,
        role=_ROLE_WORDS[key.role],
        transports=frozenset(_TRANSPORT_WORDS[bit] for bit in key.transports if bit in _TRANSPORT_WORDS),
        is_revoked=key.is_revoked,
    )
