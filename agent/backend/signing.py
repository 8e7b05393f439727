"""Documents on their way from root to root: each signs on its own machine, until as many have signed as are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.backend.files import read_file
from agent.command.bundle import BUNDLE_FIELDS, Bundle, decode_bundle, encode_bundle, faults, is_encoding_of
from agent.command.cosign import (
    DOCUMENT_BYTES_MAX,
    DOCUMENT_LIMITS,
    DocumentKind,
    encode_document,
    open_document,
    sign_body,
    signers,
)
from agent.command.fields import conforms
from agent.command.orders import ORDER_FIELDS
from agent.command.scan import decode_strict, encode_canonical
from agent.command.trust import SignedBundle, open_bundle
from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass

_FIELDS = {DocumentKind.BUNDLE: BUNDLE_FIELDS, **ORDER_FIELDS}


@dataclass(frozen=True, slots=True)
class Draft:
    """A document with the signatures it has so far, by root kid; with none yet, no car would read it."""

    kind: DocumentKind
    body: bytes
    signatures: Mapping[bytes, bytes] = field(default_factory=dict)

    @property
    def payload(self) -> Mapping[int, object]:
        return cast("Mapping[int, object]", decode_strict(self.body, DOCUMENT_LIMITS))

    @property
    def raw(self) -> bytes:
        """Its bytes; a document proper from the first signature on."""
        if self.signatures:
            return encode_document(self.body, self.signatures)
        return encode_canonical([b"", {}, self.body, []])

    def signed_by(self, roots: Iterable[bytes]) -> frozenset[bytes]:
        """Those of the raw public keys `roots` that have signed it."""
        document = open_document(self.kind, self.raw)
        return frozenset() if document is None else signers(document, roots)

    def signed(self, root: Ed25519PrivateKey) -> Draft:
        """With the signature of one more root."""
        kid, signature = sign_body(self.kind, self.body, root)
        return replace(self, signatures={**self.signatures, kid: signature})


def draft_of(kind: DocumentKind, payload: Mapping[int, object]) -> Draft:
    return Draft(kind, encode_canonical(dict(payload)))


def bundle_draft(bundle: Bundle) -> Draft:
    """The unsigned document of a bundle; ConfigurationError with every reason for which no car would take it."""
    payload = encode_bundle(bundle)
    if found := list(faults(decode_bundle(payload))):
        raise ConfigurationError("not a bundle that a car would take:\n" + "\n".join(f"  {fault}" for fault in found))
    draft = draft_of(DocumentKind.BUNDLE, payload)
    # Every root may come to sign it.
    room = DOCUMENT_BYTES_MAX - len(draft.raw) - len(bundle.roots) * _SIGNATURE_ROOM_BYTES
    if room < 0:
        raise ConfigurationError(f"the bundle is {-room} bytes too large for a car; take keys or operators out of it")
    return draft


_SIGNATURE_ROOM_BYTES = 80
"""A signature of 64 bytes with the id of its root, headers included."""


def read_draft(path: Path) -> Draft:
    """The document in a file, with or without signatures; what kind it is shows in its fields, which no two share."""
    raw = read_file(path, DOCUMENT_BYTES_MAX)
    for kind in DocumentKind:
        draft = _opened(kind, raw)
        if draft is not None and conforms(_FIELDS[kind], draft.payload):
            if kind is DocumentKind.BUNDLE:
                _require_sound(draft, path)
            return draft
    raise ConfigurationError(f"{path}: not a document that roots sign; expected a bundle, an order or a draft of one")


def read_bundle(path: Path) -> SignedBundle:
    """The bundle in a file, with its signatures; whether they are enough is another question."""
    if not path.exists():
        raise ConfigurationError(
            f"{path}: there is no trust bundle; expected the one that `carshare-backend fleet init` makes"
        )
    opened = open_bundle(read_file(path, DOCUMENT_BYTES_MAX))
    if isinstance(opened, str):
        raise ConfigurationError(f"{path}: not a trust bundle that a car would take ({opened})")
    return opened


def _opened(kind: DocumentKind, raw: bytes) -> Draft | None:
    document = open_document(kind, raw)
    if document is not None:
        return Draft(kind, document.body, document.signatures)
    outer = decode_strict(raw, DOCUMENT_LIMITS)
    if type(outer) is not list or len(outer) != 4 or outer[:2] != [b"", {}] or outer[3] != []:
        return None
    body = outer[2]
    is_readable = type(body) is bytes and decode_strict(body, DOCUMENT_LIMITS) is not None
    return Draft(kind, body) if is_readable else None


def _require_sound(draft: Draft, path: Path) -> None:
    bundle = decode_bundle(draft.payload)
    found = list(faults(bundle))
    if not is_encoding_of(bundle, draft.payload):
        found.append("its fields contradict each other")
    if found:
        raise ConfigurationError("\n".join(f"{path}: {fault}" for fault in found))
