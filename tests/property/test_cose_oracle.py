"""An independent COSE implementation (`cwt`) beside ours, in both directions.

What we sign it verifies. What it signs we accept where it keeps to the protocol's profile, and drop where COSE leaves
more room than the protocol does: there both implementations are asked, so that the refusal is the profile's alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cwt import COSE, COSEKey
from cwt.cose_key_interface import COSEKeyInterface
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.command.envelope import (
    MessageKind,
    check_signature,
    decode_command,
    encode_command,
    encode_hello,
    encode_ping,
    encode_result,
    open_unverified,
    seal,
)
from agent.command.payloads import CommandPayload, Retired, encode_retired
from agent.command.result_pieces import Payload
from agent.command.scan import encode_canonical
from agent.command.verify import Dropped, verify
from tests.support.envelopes import (
    CAR,
    COMMAND_KEY,
    COMMAND_KID,
    COMMAND_SEED,
    HELLO,
    KEYS,
    PING,
    UNLOCK,
    VEHICLE_KEY,
    VEHICLE_SEED,
    VERIFIED,
)
from tests.support.payloads import commands

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "envelopes.json").read_text())
TAG_18 = b"\xd2"
"""cwt reads and writes COSE_Sign1 with its tag; the protocol has it without."""

Signer = tuple[Ed25519PrivateKey, bytes, bytes]
BACKEND: Signer = (COMMAND_KEY, COMMAND_SEED, COMMAND_KID)
VEHICLE: Signer = (VEHICLE_KEY, VEHICLE_SEED, CAR)

GOLDEN: Mapping[MessageKind, tuple[Payload, Signer]] = {
    MessageKind.CMD: (encode_command(UNLOCK), BACKEND),
    MessageKind.PING: (encode_ping(PING), BACKEND),
    MessageKind.HELLO: (encode_hello(HELLO), VEHICLE),
    MessageKind.RES: (encode_result(VERIFIED), VEHICLE),
    MessageKind.RETIRED: (encode_retired(Retired(CAR, bytes(range(16)), 43, b"store--1")), VEHICLE),
}


def cose_key(public: bytes, kid: bytes, seed: bytes | None = None, *, alg: int = -19) -> COSEKeyInterface:
    parameters: dict[int, object] = {1: 1, 2: kid, 3: alg, -1: 6, -2: public}
    return COSEKey.new(parameters if seed is None else parameters | {-4: seed})


def key_of(signer: Signer, *, alg: int = -19) -> COSEKeyInterface:
    key, seed, kid = signer
    return cose_key(key.public_key().public_bytes_raw(), kid, seed, alg=alg)


def signed_by_cose(
    body: bytes,
    signer: Signer,
    context: bytes,
    *,
    protected: Mapping[int, object] | None = None,
    unprotected: Mapping[int, object] | None = None,
    alg: int = -19,
) -> bytes:
    """A tagged COSE_Sign1 as cwt makes it, with the headers of the protocol if no others are given."""
    header = {1: alg, 4: signer[2]} if protected is None else dict(protected)
    tagged = COSE.new().encode_and_sign(
        body, key_of(signer, alg=alg), protected=header, unprotected=dict(unprotected or {}), external_aad=context
    )
    assert isinstance(tagged, bytes)
    return tagged


def is_good_to_cose(tagged: bytes, key: COSEKeyInterface, context: bytes) -> bool:
    try:
        COSE.new().decode(tagged, key, external_aad=context)
    except Exception:  # noqa: BLE001 - it has one kind of error for a signature and others for what it cannot read
        return False
    return True


# --- ours to them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["envelopes"], ids=lambda vector: vector["name"])
def test_independent_cose_verifies_what_we_sign(vector: dict[str, str]) -> None:
    keys = VECTORS["keys"][vector["signer"]]
    key = cose_key(bytes.fromhex(keys["public_hex"]), bytes.fromhex(keys["kid_hex"]))
    tagged = TAG_18 + bytes.fromhex(vector["envelope_hex"])
    context = b"csa1/" + vector["kind"].encode()
    assert COSE.new().decode(tagged, key, external_aad=context).hex() == vector["payload_hex"]


@settings(max_examples=50, deadline=None)
@given(commands)
def test_independent_cose_verifies_every_command_we_sign(command: CommandPayload) -> None:
    body = encode_command(command)
    tagged = TAG_18 + seal(MessageKind.CMD, body, COMMAND_KEY, COMMAND_KID)
    assert COSE.new().decode(tagged, key_of(BACKEND), external_aad=b"csa1/cmd") == encode_canonical(body)


@pytest.mark.parametrize("kind", MessageKind)
def test_independent_cose_refuses_our_message_as_one_of_another_kind_or_key(kind: MessageKind) -> None:
    body, signer = GOLDEN[kind]
    tagged = TAG_18 + seal(kind, body, signer[0], signer[2])
    assert is_good_to_cose(tagged, key_of(signer), kind.context)
    other = VEHICLE if signer is BACKEND else BACKEND
    assert not is_good_to_cose(tagged, key_of((other[0], other[1], signer[2])), kind.context)
    assert not any(is_good_to_cose(tagged, key_of(signer), one.context) for one in MessageKind if one is not kind)
    for place in range(0, len(tagged), 3):
        changed = bytearray(tagged)
        changed[place] ^= 1
        assert not is_good_to_cose(bytes(changed), key_of(signer), kind.context)


# --- theirs to us -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MessageKind)
def test_we_accept_every_kind_an_independent_cose_signs_to_the_byte(kind: MessageKind) -> None:
    """Ed25519 is deterministic, so the two make the same message or one of them is wrong."""
    body, signer = GOLDEN[kind]
    raw = signed_by_cose(encode_canonical(body), signer, kind.context)[1:]
    envelope = open_unverified(kind, raw)
    assert envelope is not None
    assert check_signature(envelope, signer[0].public_key())
    assert raw == seal(kind, body, signer[0], signer[2])


@settings(max_examples=50, deadline=None)
@given(commands)
def test_we_verify_what_an_independent_cose_signs(command: CommandPayload) -> None:
    tagged = signed_by_cose(encode_canonical(encode_command(command)), BACKEND, b"csa1/cmd")
    envelope = open_unverified(MessageKind.CMD, tagged[1:])
    assert envelope is not None and decode_command(envelope.payload) == command
    assert check_signature(envelope, COMMAND_KEY.public_key())


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=64))
def test_we_refuse_what_an_independent_cose_signs_in_another_context(context: bytes) -> None:
    tagged = signed_by_cose(encode_canonical(encode_command(UNLOCK)), BACKEND, context)
    envelope = open_unverified(MessageKind.CMD, tagged[1:])
    assert envelope is not None
    assert check_signature(envelope, COMMAND_KEY.public_key()) == (context == b"csa1/cmd")


UNLOCK_BODY = encode_canonical(encode_command(UNLOCK))

OUTSIDE_THE_PROFILE: Mapping[str, bytes] = {
    "kid in the unprotected header": signed_by_cose(
        UNLOCK_BODY, BACKEND, b"csa1/cmd", protected={1: -19}, unprotected={4: COMMAND_KID}
    ),
    "a content type in the unprotected header": signed_by_cose(UNLOCK_BODY, BACKEND, b"csa1/cmd", unprotected={3: 60}),
    "a content type in the protected header": signed_by_cose(
        UNLOCK_BODY, BACKEND, b"csa1/cmd", protected={1: -19, 3: 60, 4: COMMAND_KID}
    ),
    "the old EdDSA": signed_by_cose(UNLOCK_BODY, BACKEND, b"csa1/cmd", alg=-8),
    "a payload that is no map": signed_by_cose(b"unlock", BACKEND, b"csa1/cmd"),
    "a payload with an indefinite length": signed_by_cose(b"\xbf" + UNLOCK_BODY[1:] + b"\xff", BACKEND, b"csa1/cmd"),
    "a payload of another kind": signed_by_cose(encode_canonical(encode_ping(PING)), BACKEND, b"csa1/cmd"),
    "an empty payload": signed_by_cose(b"", BACKEND, b"csa1/cmd"),
    "a message of more than a kilobyte": signed_by_cose(
        encode_canonical(encode_command(UNLOCK) | {200: bytes(1024)}), BACKEND, b"csa1/cmd"
    ),
}


@pytest.mark.parametrize("what", OUTSIDE_THE_PROFILE)
def test_what_cose_allows_and_the_protocol_does_not_is_dropped(what: str) -> None:
    """H8, H14, H17, H18, H21: good COSE, signed well, and not ours."""
    tagged = OUTSIDE_THE_PROFILE[what]
    key = key_of(BACKEND, alg=-8 if what == "the old EdDSA" else -19)
    assert is_good_to_cose(tagged, key, b"csa1/cmd")
    assert isinstance(verify(MessageKind.CMD, tagged[1:], is_retained=False, keys=KEYS), Dropped)


def test_tag_is_dropped_and_without_it_the_same_bytes_are_not() -> None:
    """H10"""
    tagged = signed_by_cose(UNLOCK_BODY, BACKEND, b"csa1/cmd")
    assert isinstance(verify(MessageKind.CMD, tagged, is_retained=False, keys=KEYS), Dropped)
    assert not isinstance(verify(MessageKind.CMD, tagged[1:], is_retained=False, keys=KEYS), Dropped)


def test_key_id_of_another_length_is_dropped() -> None:
    """H22: the id names the record that says what the key may do; cwt takes any."""
    key, seed, _ = BACKEND
    longer: Signer = (key, seed, COMMAND_KID + b"\0")
    tagged = signed_by_cose(UNLOCK_BODY, longer, b"csa1/cmd")
    assert is_good_to_cose(tagged, key_of(longer), b"csa1/cmd")
    assert open_unverified(MessageKind.CMD, tagged[1:]) is None
