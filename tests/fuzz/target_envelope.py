"""A stranger's bytes as each kind of message: dropped or read, and what is read has one meaning to everybody.

The scan is held against a second reader, the envelope against an independent COSE implementation, and what was read
goes on through the checks a command passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from cwt import COSE, COSEKey
from cwt.cose_key_interface import COSEKeyInterface

from agent.command.envelope import (
    ALG_ED25519,
    Envelope,
    MessageKind,
    Retired,
    check_signature,
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
    open_unverified,
)
from agent.command.fields import EXTENSION_KEY_MIN
from agent.command.scan import Limits, decode_strict, encode_canonical, is_well_formed
from agent.command.verify import Dropped, authorise, verify
from agent.model.command import Command, Evidence, Reason
from agent.model.reading import Quality
from tests.fuzz.intake import Intake, edit, edited
from tests.fuzz.strict_cbor import NotPlainError, read_plain
from tests.support.envelopes import (
    CAR,
    COMMAND_KEY,
    COMMAND_KID,
    HELLO,
    KEYS,
    OPERATOR,
    PING,
    STORE,
    UNLOCK,
    VERIFIED,
    protected_header,
    sign_by_hand,
)

KINDS = tuple(MessageKind)
LIMITS = (Limits(64, 4), Limits(160, 4), Limits(8, 1), Limits(300, 20))

GOLDEN: Mapping[MessageKind, bytes] = {
    MessageKind.CMD: encode_canonical(encode_command(UNLOCK)),
    MessageKind.PING: encode_canonical(encode_ping(PING)),
    MessageKind.HELLO: encode_canonical(encode_hello(HELLO)),
    MessageKind.RES: encode_canonical(encode_result(VERIFIED)),
    MessageKind.RETIRED: encode_canonical(encode_retired(Retired(CAR, bytes(range(16)), 42, STORE))),
}

TOKENS = (
    b"\x18\x01", b"\xd8\x63\x01", b"\x19\x00\x18", b"\x1a\x00\x00\xff\xff", b"\x1b" + bytes(8), b"\x1b\x80" + bytes(7),
    b"\x3b\x80" + bytes(7), b"\x20", b"\x40", b"\x58\x01\x00", b"\x60", b"\x62\xc3\x28", b"\x78\x01a", b"\x80",
    b"\x81", b"\x98\x01", b"\x9f", b"\xa0", b"\xa1\x01\x01", b"\xa2\x02\x00\x01\x00", b"\xa2\x01\x00\x01\x00",
    b"\xbf", b"\xff", b"\xc2\x41\x01", b"\xd2", b"\xd8\x1e\x81", b"\xf4", b"\xf5", b"\xf6", b"\xf7", b"\xf8\x18",
    b"\xf9\x3c\x00", b"\xfb" + bytes(8), b"\x9b\x00\x00\x00\x80" + bytes(4),
)  # fmt: skip
"""Items of CBOR: those that are allowed, and each kind that is not."""

_RAW, _BODY, _HEADER, _BODY_EDITED, _ENVELOPE_EDITED, _SCAN = range(6)
"""What the bytes behind the first two are; the body of a message is signed well in every case."""


def run(data: bytes) -> None:
    intake = Intake(data)
    kind, what = KINDS[intake.number() % len(KINDS)], intake.number() % 6
    if what == _SCAN:
        limits = LIMITS[intake.number() % len(LIMITS)]
        check_scan(intake.rest(), limits)
        return
    raw = _envelope(kind, what, intake)
    check_scan(raw, kind.limits)
    envelope = open_unverified(kind, raw)
    if kind in (MessageKind.CMD, MessageKind.PING):
        check_verdict(kind, raw, envelope)
    if envelope is not None:
        check_envelope(envelope, raw, is_signed=what in (_BODY, _HEADER, _BODY_EDITED))


def _kid(kind: MessageKind) -> bytes:
    return COMMAND_KID if kind.kid_bytes == len(COMMAND_KID) else CAR


def _envelope(kind: MessageKind, what: int, intake: Intake) -> bytes:
    golden, protected = GOLDEN[kind], protected_header(kid=_kid(kind))
    match what:
        case 0:
            return intake.rest()
        case 1:
            return sign_by_hand(kind, intake.rest(), protected=protected)
        case 2:
            return sign_by_hand(kind, golden, protected=intake.rest())
        case 3:
            return sign_by_hand(kind, edited(golden, intake), protected=protected)
    return edited(sign_by_hand(kind, golden, protected=protected), intake)


def check_scan(raw: bytes, limits: Limits) -> None:
    """The agent's reader and the second one agree on what is read and on what is refused."""
    found = decode_strict(raw, limits)
    try:
        expected = read_plain(raw, limits)
    except (NotPlainError, RecursionError):
        expected = None
    assert _is_same(found, expected), f"{raw.hex()}: {found!r}, and by the second reader {expected!r}"
    assert expected is None or is_well_formed(raw, limits)


def _is_same(one: object, other: object) -> bool:
    """Equal with types, for to Python True is 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_is_same(one[key], other[key]) for key in one)
    return one == other


def check_envelope(envelope: Envelope, raw: bytes, *, is_signed: bool) -> None:
    """An envelope that was read is its own canonical encoding, signed as COSE understands it, and has a meaning."""
    outer = cast("list[Any]", decode_strict(raw, envelope.kind.limits))
    assert encode_canonical(outer) == raw
    is_good = check_signature(envelope, COMMAND_KEY.public_key())
    if is_signed:
        assert is_good == (envelope.alg == ALG_ED25519)
    if is_good:
        tagged = b"\xd2" + raw
        assert COSE.new().decode(tagged, _cose_key(envelope.kid), external_aad=envelope.kind.context) == outer[2]
    check_payload(envelope)


def _cose_key(kid: bytes) -> COSEKeyInterface:
    return COSEKey.new({1: 1, 2: kid, 3: ALG_ED25519, -1: 6, -2: COMMAND_KEY.public_key().public_bytes_raw()})


_CODECS: Mapping[MessageKind, tuple[Callable[..., object], Callable[..., Mapping[int, object]]]] = {
    MessageKind.CMD: (decode_command, encode_command),
    MessageKind.PING: (decode_ping, encode_ping),
    MessageKind.HELLO: (decode_hello, encode_hello),
    MessageKind.RETIRED: (decode_retired, encode_retired),
}


def check_payload(envelope: Envelope) -> None:
    """What was read is written again as it was, but for keys that may be ignored."""
    if envelope.kind is MessageKind.RES:
        result = decode_result(envelope.payload)
        for piece in result.evidence:
            assert not isinstance(piece.value, float) or math.isfinite(piece.value)
        encode_result(result)
        return
    decode, encode = _CODECS[envelope.kind]
    known = {key: value for key, value in envelope.payload.items() if key < EXTENSION_KEY_MIN}
    assert encode_canonical(encode(decode(envelope.payload))) == encode_canonical(known)


def check_verdict(kind: MessageKind, raw: bytes, envelope: Envelope | None) -> None:
    """The checks of the car end in a verdict, never in an exception, and only for what was read (SR-03)."""
    found = verify(kind, raw, is_retained=False, keys=KEYS)
    if isinstance(found, Dropped):
        return
    assert envelope is not None
    refusal = authorise(found.message, found.record, topic_operator=OPERATOR, car=CAR, floor_unix_s=1_790_000_000)
    assert refusal is None or isinstance(refusal, Reason)
    if isinstance(found.message, Command) and refusal is None:
        assert found.message.car == CAR
        assert found.message.operator == OPERATOR


def seeds() -> Iterator[tuple[str, bytes]]:
    """Each kind whole, as a body, changed in one place; headers that are almost right; items the scan must know."""
    for index, kind in enumerate(KINDS):
        body, protected = GOLDEN[kind], protected_header(kid=_kid(kind))
        yield f"{kind}_whole", bytes([index, _RAW]) + sign_by_hand(kind, body, protected=protected)
        yield f"{kind}_body", bytes([index, _BODY]) + body
        yield f"{kind}_header", bytes([index, _HEADER]) + protected
        yield f"{kind}_edited", bytes([index, _BODY_EDITED]) + edit(1, 1, b"\x01")
        yield f"{kind}_envelope_edited", bytes([index, _ENVELOPE_EDITED]) + edit(0, 1, b"\xd2\x84")
    far = encode_result(
        replace(VERIFIED, evidence=(Evidence("Vehicle.Speed", 1.5e300, Quality.OK, 1, "MotionStatus"),))
    )
    yield "res_exponent", bytes([KINDS.index(MessageKind.RES), _BODY]) + encode_canonical(far)
    for name, item in (
        ("nested", b"\x81" * 5 + b"\x80"),
        ("wide", b"\x98\x3f" + bytes(63)),
        ("map", b"\xa3\x00\xf6\x01\x81\x20\x18\x18\x63abc"),
        ("largest", b"\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"),
        ("tag", b"\xc2\x41\x01"),
        ("float", b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00"),
        ("surrogate", b"\x63\xed\xa0\x80"),
    ):
        yield f"scan_{name}", bytes([0, _SCAN, 3]) + item
