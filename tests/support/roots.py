"""Three roots, an operator or two with their keys, and bundles made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.trust import Bundle, KeyEntry, OperatorEntry, Role, SignedBundle, open_bundle, seal_bundle

FLEET = b"fleet--1"
DATE_UNIX_S = 1_790_000_000
EVERY_ACTION = frozenset(range(1, 8))


def private_key(name: str) -> Ed25519PrivateKey:
    """The same for the same name, in every run."""
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


ROOTS = tuple(private_key(f"root {number}") for number in (1, 2, 3))
OTHER_ROOTS = tuple(private_key(f"other root {number}") for number in (1, 2, 3))
STRANGERS = tuple(private_key(f"stranger {number}") for number in (1, 2, 3))

ENTRY = KeyEntry(operator=1, public_key=public(private_key("command key")), actions=EVERY_ACTION)

BUNDLE = Bundle(
    fleet=FLEET,
    version=5,
    date_unix_s=DATE_UNIX_S,
    roots=tuple(sorted(map(public, ROOTS))),
    threshold=2,
    operators=(OperatorEntry(1, "first"), OperatorEntry(2, "second")),
    keys=(ENTRY,),
)


def roots_of(keys: Sequence[Ed25519PrivateKey]) -> tuple[bytes, ...]:
    return tuple(sorted(map(public, keys)))


def entry(name: str, operator: int = 1, *, role: int = Role.COMMAND, is_revoked: bool = False) -> KeyEntry:
    key = KeyEntry(operator, public(private_key(name)), role, EVERY_ACTION)
    return replace(key, is_revoked=is_revoked)


def sealed(bundle: Bundle, roots: Sequence[Ed25519PrivateKey] = ROOTS[:2]) -> bytes:
    return seal_bundle(bundle, roots)


def signed(bundle: Bundle, roots: Sequence[Ed25519PrivateKey] = ROOTS[:2]) -> SignedBundle:
    opened = open_bundle(sealed(bundle, roots))
    assert isinstance(opened, SignedBundle), opened
    return opened
