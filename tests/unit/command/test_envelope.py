"""Hazards of the envelope and the decoder: each is a drop unless it says otherwise.

Every drop is one of the whole engine too, which must be none the worse for it (`tests/support/attacked.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import cast

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.envelope import (
    ALG_ED25519,
    Envelope,
    MessageKind,
    check_signature,
    encode_command,
    encode_hello,
    encode_ping,
    encode_result,
    open_unverified,
    seal,
)
from agent.command.verify import Dropped, Verified, authorise, verify
from agent.model.command import Command, Reason
from tests.support import attacked
from tests.support.envelopes import (
    CAR,
    COMMAND_KEY,
    COMMAND_KID,
    HELLO,
    KEYS,
    OPERATOR,
    PING,
    UNLOCK,
    UNLOCK_FIELDS,
    VEHICLE_KEY,
    VERIFIED,
    byte_string,
    command_by_hand,
    head,
    key_record,
    map_by_hand,
    protected_header,
    sign_by_hand,
)

CMD = MessageKind.CMD
GOLDEN = seal(CMD, encode_command(UNLOCK), COMMAND_KEY, COMMAND_KID)
BODY = map_by_hand(UNLOCK_FIELDS)
REFUSED = json.loads((Path(__file__).parents[2] / "vectors" / "refused.json").read_text())


@pytest.fixture(autouse=True)
def none_the_worse() -> Iterator[None]:
    with attacked.none_the_worse():
        yield


def is_dropped(raw: bytes, kind: MessageKind = CMD) -> bool:
    """Whether the check drops it; what it does, the engine must do."""
    by_check = isinstance(verify(kind, raw, is_retained=False, keys=KEYS), Dropped)
    assert attacked.agent().drops(raw, kind) is by_check
    return by_check


def opened(raw: bytes, kind: MessageKind = CMD) -> Envelope:
    envelope = open_unverified(kind, raw)
    assert envelope is not None
    return envelope


def test_golden_command_is_verified_and_equals_the_one_made_by_hand() -> None:
    """Without this, all the refusals below would prove nothing."""
    assert not is_dropped(GOLDEN)
    assert command_by_hand() == GOLDEN


def test_envelope_says_what_was_sealed() -> None:
    envelope = opened(GOLDEN)
    assert (envelope.alg, envelope.kid, envelope.payload) == (ALG_ED25519, COMMAND_KID, encode_command(UNLOCK))
    assert check_signature(envelope, COMMAND_KEY.public_key())


@pytest.mark.parametrize(
    ("kind", "payload", "key", "kid"),
    [
        (MessageKind.PING, encode_ping(PING), COMMAND_KEY, COMMAND_KID),
        (MessageKind.HELLO, encode_hello(HELLO), VEHICLE_KEY, CAR),
        (MessageKind.RES, encode_result(VERIFIED), VEHICLE_KEY, CAR),
    ],
)
def test_every_kind_can_be_sealed_and_opened(
    kind: MessageKind, payload: dict[int, object], key: Ed25519PrivateKey, kid: bytes
) -> None:
    envelope = opened(seal(kind, payload, key, kid), kind)
    assert envelope.payload == payload
    assert check_signature(envelope, key.public_key())


@pytest.mark.parametrize(
    ("payload", "kid"),
    [
        (encode_command(UNLOCK) | {8: True}, COMMAND_KID),
        (encode_command(UNLOCK) | {200: bytes(1024)}, COMMAND_KID),
        ({}, COMMAND_KID),
        (encode_command(UNLOCK), CAR),
    ],
)
def test_nothing_is_sealed_that_the_other_end_would_drop(payload: dict[int, object], kid: bytes) -> None:
    with pytest.raises(ValueError, match="not a cmd"):
        seal(CMD, payload, COMMAND_KEY, kid)


@pytest.mark.hazard("H1")
def test_h1_empty_payload_is_dropped() -> None:
    assert is_dropped(b"")
    assert is_dropped(sign_by_hand(CMD, b""))
    assert is_dropped(sign_by_hand(CMD, b"\xa0"))


@pytest.mark.hazard("H3")
def test_h3_golden_command_cut_at_any_byte_is_dropped() -> None:
    assert [length for length in range(len(GOLDEN)) if not is_dropped(GOLDEN[:length])] == []


@pytest.mark.hazard("H4")
def test_h4_golden_command_with_any_bit_flipped_is_dropped() -> None:
    """SR-03: every single bit is covered by the signature or by the shape of the envelope."""
    flips = [(at, 1 << bit) for at in range(len(GOLDEN)) for bit in range(8)]
    assert len(flips) > 1_000
    accepted = []
    for at, mask in flips:
        flipped = bytearray(GOLDEN)
        flipped[at] ^= mask
        if not is_dropped(bytes(flipped)):
            accepted.append((at, mask))
    assert accepted == []


@pytest.mark.hazard("H5")
def test_h5_appended_byte_is_dropped() -> None:
    assert is_dropped(GOLDEN + b"\x00")
    assert is_dropped(sign_by_hand(CMD, BODY + b"\x00"))
    assert is_dropped(sign_by_hand(CMD, BODY, protected=protected_header() + b"\x00"))


@pytest.mark.hazard("H6")
def test_h6_key_there_twice_is_dropped() -> None:
    assert is_dropped(sign_by_hand(CMD, head(5, 9) + BODY[1:] + b"\x08\x01"))
    assert is_dropped(sign_by_hand(CMD, head(5, 9) + BODY[1:] + b"\x08\x02"))


@pytest.mark.hazard("H7")
@pytest.mark.parametrize("encoded", ["1801", "190001", "1a00000001", "1b0000000000000001"])
def test_h7_integer_not_in_shortest_form_is_dropped(encoded: str) -> None:
    assert is_dropped(command_by_hand(key_6=bytes.fromhex(encoded)))


@pytest.mark.hazard("H7")
def test_h7_length_not_in_shortest_form_is_dropped() -> None:
    assert is_dropped(command_by_hand(key_2=b"\x58\x08" + CAR))
    assert is_dropped(sign_by_hand(CMD, b"\xb8\x08" + BODY[1:]))
    assert is_dropped(b"\x98\x04" + GOLDEN[1:])


@pytest.mark.hazard("H8")
def test_h8_indefinite_lengths_are_dropped() -> None:
    assert is_dropped(command_by_hand(key_2=b"\x5f" + byte_string(CAR) + b"\xff"))
    assert is_dropped(sign_by_hand(CMD, b"\xbf" + BODY[1:] + b"\xff"))
    assert is_dropped(b"\x9f" + GOLDEN[1:] + b"\xff")
    assert is_dropped(command_by_hand(key_200=b"\x7f\x61a\xff"))


@pytest.mark.hazard("H9")
def test_h9_keys_out_of_order_are_dropped() -> None:
    assert is_dropped(sign_by_hand(CMD, map_by_hand(dict(reversed(UNLOCK_FIELDS.items())))))
    header = b"\xa2\x04" + byte_string(COMMAND_KID) + b"\x01\x32"
    assert is_dropped(sign_by_hand(CMD, BODY, protected=header))


@pytest.mark.hazard("H10")
@pytest.mark.parametrize(
    "tagged",
    [
        cbor2.dumps(cbor2.CBORTag(18, 0)),
        cbor2.dumps(2**70),
        cbor2.dumps(cbor2.CBORTag(0, "2026-01-01T00:00:00Z")),
        bytes.fromhex("d81c81d81d00"),  # an array that is its own first item
        cbor2.dumps(cbor2.CBORTag(35, "(a+)+$")),
    ],
    ids=["cose", "bignum", "date", "reference_cycle", "regular_expression"],
)
def test_h10_tags_are_dropped(tagged: bytes) -> None:
    assert is_dropped(tagged)
    assert is_dropped(command_by_hand(key_6=tagged))
    assert is_dropped(command_by_hand(key_200=tagged)), "not even where the value would be ignored"
    assert is_dropped(sign_by_hand(CMD, tagged))
    assert is_dropped(b"\xd2" + GOLDEN)


@pytest.mark.hazard("H11")
@pytest.mark.parametrize("major", [2, 3, 4, 5])
def test_h11_claimed_length_of_2_to_the_39_is_dropped_without_allocating(major: int) -> None:
    claim = bytes([major << 5 | 27]) + (2**39).to_bytes(8, "big")
    assert is_dropped(claim)
    assert is_dropped(command_by_hand(key_200=claim))


@pytest.mark.hazard("H12")
def test_h12_nesting_is_dropped_without_recursion() -> None:
    assert is_dropped(b"\x81" * 1023 + b"\x80")
    assert is_dropped(b"\x81" * 2000 + b"\x80")
    assert is_dropped(command_by_hand(key_200=b"\x81" * 800 + b"\x80"))


@pytest.mark.hazard("H13")
@pytest.mark.parametrize("encoded", ["f90000", "f93c00", "f97e00", "fb3ff0000000000000", "f7"])
def test_h13_float_nan_and_undefined_are_dropped(encoded: str) -> None:
    value = bytes.fromhex(encoded)
    assert is_dropped(command_by_hand(key_6=value))
    assert is_dropped(command_by_hand(key_9=b"\xa1\x01" + value)), "as a value"
    assert is_dropped(command_by_hand(key_9=b"\xa1" + value + b"\x01")), "as a key"


@pytest.mark.hazard("H14")
def test_h14_text_for_bytes_and_invalid_utf8_are_dropped() -> None:
    assert is_dropped(command_by_hand(key_2=b"\x68carcarca"))
    assert is_dropped(command_by_hand(key_200=b"\x62\xc3\x28"))
    assert not is_dropped(command_by_hand(key_200=b"\x62\xc3\xa4")), "the same with valid UTF-8"


@pytest.mark.hazard("H15")
def test_h15_integer_of_2_to_the_63_and_negative_deadline_are_dropped() -> None:
    assert is_dropped(command_by_hand(key_6=b"\x1b\x80" + bytes(7)))
    assert is_dropped(command_by_hand(key_7=b"\x1b\x80" + bytes(7)))
    assert is_dropped(command_by_hand(key_7=b"\x20"))
    assert not is_dropped(command_by_hand(key_6=b"\x1b\x7f" + b"\xff" * 7)), "2^63 - 1 is for the counter check"


@pytest.mark.hazard("H16")
def test_h16_unknown_key_is_dropped_below_128_and_ignored_above() -> None:
    assert is_dropped(command_by_hand(key_11=b"\x00"))
    assert is_dropped(command_by_hand(key_60=b"\x00"))
    assert is_dropped(command_by_hand(key_127=b"\x00"))
    for raw in (command_by_hand(key_128=b"\x00"), command_by_hand(key_200=b"\x00")):
        verified = verify(CMD, raw, is_retained=False, keys=KEYS)
        assert isinstance(verified, Verified) and isinstance(verified.message, Command)
        assert verified.message.action == UNLOCK.action


@pytest.mark.hazard("H16")
def test_h16_missing_key_is_dropped() -> None:
    for missing in UNLOCK_FIELDS:
        fields = {key: value for key, value in UNLOCK_FIELDS.items() if key != missing}
        assert is_dropped(sign_by_hand(CMD, map_by_hand(fields))), missing


@pytest.mark.hazard("H17")
def test_h17_unprotected_header_and_further_protected_header_are_dropped() -> None:
    assert is_dropped(sign_by_hand(CMD, BODY, unprotected=b"\xa1\x04" + byte_string(COMMAND_KID)))
    assert is_dropped(sign_by_hand(CMD, BODY, unprotected=b"\xf6"))
    assert is_dropped(sign_by_hand(CMD, BODY, unprotected=b"\x80"))
    three = b"\xa3" + protected_header()[1:] + b"\x05\x40"
    assert is_dropped(sign_by_hand(CMD, BODY, protected=three))
    assert is_dropped(sign_by_hand(CMD, BODY, protected=b"\xa1\x01\x32"))
    assert is_dropped(sign_by_hand(CMD, BODY, protected=b""))


@pytest.mark.hazard("H18")
def test_h18_anything_above_1024_bytes_is_dropped() -> None:
    padding = 1024 - len(command_by_hand(key_200=byte_string(bytes(256))))
    full = command_by_hand(key_200=byte_string(bytes(256 + padding)))
    over = command_by_hand(key_200=byte_string(bytes(257 + padding)))
    assert (len(full), len(over)) == (1024, 1025)
    assert not is_dropped(full)
    assert is_dropped(over)
    assert is_dropped(GOLDEN + bytes(65_536 - len(GOLDEN)))


@pytest.mark.hazard("H19")
def test_h19_other_version_is_answered_with_its_reason() -> None:
    found = verify(CMD, command_by_hand(key_1=b"\x02"), is_retained=False, keys=KEYS)
    assert isinstance(found, Verified)
    reason = authorise(found.message, found.record, topic_operator=OPERATOR, car=CAR, floor_unix_s=0)
    assert reason is Reason.VERSION


@pytest.mark.hazard("H20")
def test_h20_json_and_plain_text_are_dropped_and_told_once_an_hour() -> None:
    agent = attacked.agent()
    for _ in range(2):
        agent.now_s += 3600.0
        told = agent.events
        for _ in range(20):
            assert is_dropped(b'{"act": 1}')
            assert is_dropped(b"unlock")
        assert agent.events == told + 1


@pytest.mark.hazard("H21")
@pytest.mark.parametrize("alg", [b"\x26", b"\x27", b"\x05", b"\x00", b"\x33", b"\x29"], ids=str)
def test_h21_other_algorithm_is_dropped(alg: bytes) -> None:
    raw = sign_by_hand(CMD, BODY, protected=protected_header(alg=alg))
    assert open_unverified(CMD, raw) is not None, "well-formed: it is the algorithm that is refused"
    assert is_dropped(raw)


@pytest.mark.hazard("H21")
def test_h21_algorithm_of_another_type_is_dropped() -> None:
    for alg in (b"\xf5", b"\x67Ed25519", b"\x41\x32", b"\xf6"):
        raw = sign_by_hand(CMD, BODY, protected=protected_header(alg=alg))
        assert open_unverified(CMD, raw) is None
        assert is_dropped(raw)


@pytest.mark.hazard("H22")
@pytest.mark.parametrize("kid", [b"\xc0\xde\x00\x02", b"", bytes(255), CAR], ids=["unknown", "empty", "255 B", "car"])
def test_h22_unknown_key_id_is_dropped(kid: bytes) -> None:
    assert is_dropped(sign_by_hand(CMD, BODY, protected=protected_header(kid=kid)))


@pytest.mark.hazard("H22")
def test_h22_key_id_of_another_type_is_dropped() -> None:
    header = b"\xa2\x01\x32\x04\x64" + b"code"
    assert is_dropped(sign_by_hand(CMD, BODY, protected=header))


@pytest.mark.hazard("H23")
def test_h23_message_of_one_kind_is_no_other() -> None:
    ping = seal(MessageKind.PING, encode_ping(PING), COMMAND_KEY, COMMAND_KID)
    assert is_dropped(ping)
    assert is_dropped(GOLDEN, MessageKind.PING)
    own_result = seal(MessageKind.RES, encode_result(VERIFIED), VEHICLE_KEY, CAR)
    assert is_dropped(own_result)


@pytest.mark.hazard("H23")
def test_h23_context_alone_tells_kinds_apart() -> None:
    """The very payload of a command, signed by the right key for another context."""
    for context in ("ping", "hello", "res", "grant", "", "cmd2"):
        assert is_dropped(sign_by_hand(context, BODY)), context
    assert not is_dropped(sign_by_hand("cmd", BODY))


@pytest.mark.hazard("H27")
@pytest.mark.parametrize("length", [0, 63, 65])
def test_h27_signature_of_other_length_is_dropped(length: int) -> None:
    raw = GOLDEN[:-66] + byte_string((GOLDEN[-64:] + b"\x00")[:length])
    assert open_unverified(CMD, raw) is None, "before any key is asked"
    assert is_dropped(raw)


@pytest.mark.hazard("H27")
def test_h27_signature_of_zeros_or_of_another_key_is_dropped() -> None:
    assert is_dropped(GOLDEN[:-64] + bytes(64))
    assert is_dropped(sign_by_hand(CMD, BODY, key=VEHICLE_KEY))


@pytest.mark.hazard("H33")
def test_h33_grant_presented_as_a_command_is_dropped() -> None:
    """What a phone would show at the reader, and the payload of a command signed as a grant."""
    grant = {
        1: b"\x01",
        2: byte_string(CAR),
        3: byte_string(bytes(8)),
        4: head(0, OPERATOR),
        5: head(0, 1_790_000_000),
        6: head(0, 1_790_086_400),
        7: b"\xa3\x01\x01\x20\x06\x21" + byte_string(VEHICLE_KEY.public_key().public_bytes_raw()),
        8: b"\x03",
        9: b"\x14",
        10: b"\x01",
        11: b"\x00",
    }
    assert is_dropped(sign_by_hand("grant", map_by_hand(grant)))
    assert is_dropped(sign_by_hand(CMD, map_by_hand(grant)))
    assert is_dropped(sign_by_hand("grant", BODY))


@pytest.mark.hazard("H140")
def test_h140_unknown_key_and_bad_signature_are_equally_silent() -> None:
    """`is_dropped` sees to it that no answer, no event and no line of the log tells one from the other."""
    told = attacked.agent().events
    attacked.agent().now_s += 7200.0  # an event would be due
    assert is_dropped(sign_by_hand(CMD, BODY, protected=protected_header(kid=b"\xc0\xde\x00\x02")))
    assert is_dropped(sign_by_hand(CMD, BODY, key=VEHICLE_KEY))
    assert is_dropped(GOLDEN[:-64] + bytes(64))
    assert attacked.agent().events == told


def drop_time_s(raw: bytes) -> float:
    """How long a drop takes at best, other processes being at work too."""
    times_s = []
    for _ in range(10):
        began_s = perf_counter()
        assert is_dropped(raw)
        times_s.append(perf_counter() - began_s)
    return min(times_s)


@pytest.mark.hazard("H141")
def test_h141_hostile_tag_is_dropped_in_under_five_milliseconds() -> None:
    hostile = bytes.fromhex("d81e816a31653939393939393939")
    for raw in (hostile, sign_by_hand(CMD, hostile), command_by_hand(key_200=hostile)):
        assert drop_time_s(raw) < 0.005


@pytest.mark.hazard("H142")
def test_h142_shared_references_are_dropped_in_under_five_milliseconds() -> None:
    """Of 24 shared arrays each holds the one before it twice: millions of items in 212 bytes."""
    doubling = b"".join(b"\xd8\x1c\x82" + 2 * (b"\xd8\x1d" + head(0, level)) for level in range(23))
    hostile = b"\x98\x18" + b"\xd8\x1c\x80" + doubling
    assert len(hostile) == 212
    for raw in (hostile, sign_by_hand(CMD, hostile), command_by_hand(key_200=hostile)):
        assert drop_time_s(raw) < 0.005


@pytest.mark.hazard("H143")
@pytest.mark.parametrize("key", [1, 4, 6, 7, 8])
def test_h143_true_for_an_integer_is_dropped(key: int) -> None:
    assert is_dropped(command_by_hand(**{f"key_{key}": b"\xf5"}))


@pytest.mark.parametrize("key", sorted(UNLOCK_FIELDS))
@pytest.mark.parametrize("encoded", ["f6", "80", "a0", "20", "40", "60", "f4"])
def test_field_of_any_other_type_is_dropped(key: int, encoded: str) -> None:
    assert is_dropped(command_by_hand(**{f"key_{key}": bytes.fromhex(encoded)}))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{case['hazard']}: {case['what']}", marks=pytest.mark.hazard(case["hazard"]))
        for case in REFUSED
    ],
)
def test_refused_vectors_are_dropped(case: dict[str, str]) -> None:
    assert is_dropped(bytes.fromhex(case["envelope_hex"]), MessageKind(case["kind"]))


def test_envelope_is_dropped_whose_outer_array_is_another() -> None:
    parts = cast("list[bytes]", cbor2.loads(GOLDEN))
    assert is_dropped(cbor2.dumps(parts[:3]))
    assert is_dropped(cbor2.dumps([*parts, b""]))
    assert is_dropped(cbor2.dumps(dict(enumerate(parts))))
    assert is_dropped(cbor2.dumps([parts[3], *parts[1:]]))
    assert is_dropped(cbor2.dumps([0, *parts[1:]]))


def test_record_with_another_key_under_the_same_id_drops() -> None:
    keys = {COMMAND_KID: key_record(public_key=VEHICLE_KEY.public_key())}
    assert isinstance(verify(CMD, GOLDEN, is_retained=False, keys=keys), Dropped)
