"""Ed25519 as RFC 8032 has it, from a key's file at either end to the verdict on a signature."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.files import read_key_file
from agent.backend.keys import raw_public, read_key
from agent.command.envelope import ALG_ED25519, Envelope, MessageKind, check_signature
from agent.command.keys import load_public_key

DOCUMENT = json.loads((Path(__file__).parents[2] / "vectors" / "rfc8032.json").read_text())
VECTORS = [pytest.param(vector, id=vector["name"]) for vector in DOCUMENT["vectors"]]
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493

Vector = dict[str, Any]


def signed(vector: Vector) -> Envelope:
    """An envelope whose signed bytes are the vector's message."""
    return Envelope(
        kind=MessageKind.CMD,
        alg=ALG_ED25519,
        kid=b"",
        payload={},
        signed_bytes=bytes.fromhex(vector["message_hex"]),
        signature=bytes.fromhex(vector["signature_hex"]),
        digest=b"",
    )


def is_good(envelope: Envelope, public_hex: str) -> bool:
    public_key = load_public_key(bytes.fromhex(public_hex))
    assert public_key is not None
    return check_signature(envelope, public_key)


def test_all_five_vectors_of_section_7_1_are_there() -> None:
    assert [vector["name"] for vector in DOCUMENT["vectors"]] == [
        "TEST 1", "TEST 2", "TEST 3", "TEST 1024", "TEST SHA(abc)",
    ]  # fmt: skip
    assert [len(vector["message_hex"]) // 2 for vector in DOCUMENT["vectors"]] == [0, 1, 2, 1023, 64]


@pytest.mark.parametrize("vector", VECTORS)
def test_key_files_of_both_ends_give_the_keys_and_signatures_of_the_rfc(vector: Vector, tmp_path: Path) -> None:
    path = tmp_path / "vector.key"
    path.write_text(vector["seed_hex"] + "\n")
    path.chmod(0o600)
    for key in (read_key(path), Ed25519PrivateKey.from_private_bytes(read_key_file(path))):
        assert raw_public(key.public_key()).hex() == vector["public_hex"]
        assert key.sign(bytes.fromhex(vector["message_hex"])).hex() == vector["signature_hex"]


@pytest.mark.parametrize("vector", VECTORS)
def test_signatures_of_the_rfc_are_good_and_no_change_of_them_is(vector: Vector) -> None:
    envelope, public_hex = signed(vector), vector["public_hex"]
    assert is_good(envelope, public_hex)
    for place in range(0, 64 * 8, 7):
        flipped = bytearray(envelope.signature)
        flipped[place // 8] ^= 1 << place % 8
        assert not is_good(replace(envelope, signature=bytes(flipped)), public_hex)
    assert not is_good(replace(envelope, signed_bytes=envelope.signed_bytes + b"\0"), public_hex)
    assert not is_good(replace(envelope, alg=-8), public_hex)
    for other in DOCUMENT["vectors"]:
        assert is_good(envelope, other["public_hex"]) == (other is vector or other["public_hex"] == public_hex)


@pytest.mark.parametrize("vector", VECTORS)
def test_second_spelling_of_a_signature_is_not_good(vector: Vector) -> None:
    """S is below the group's order (RFC 8032, section 5.1.7), or anybody could write a second signature."""
    envelope = signed(vector)
    s = int.from_bytes(envelope.signature[32:], "little")
    spelled_otherwise = envelope.signature[:32] + (s + GROUP_ORDER).to_bytes(32, "little")
    assert not is_good(replace(envelope, signature=spelled_otherwise), vector["public_hex"])
