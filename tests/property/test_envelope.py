"""Laws of the envelope over all bytes: nothing escapes, and nothing is read two ways."""

from __future__ import annotations

from dataclasses import replace
from hashlib import shake_128

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.command.envelope import MessageKind, check_signature, open_unverified, seal
from agent.command.payloads import CommandPayload, Result, decode_command, decode_result, encode_command, encode_result
from agent.command.scan import Limits, decode_strict, encode_canonical, is_well_formed
from agent.command.verify import Dropped, verify
from agent.model.command import Evidence, Executed, Reason, Stage
from agent.model.reading import Quality
from tests.support.envelopes import (
    CAR,
    COMMAND_KEY,
    COMMAND_KID,
    KEYS,
    UNLOCK,
    VEHICLE_KEY,
    sign_by_hand,
)
from tests.support.payloads import commands, unsigned

CMD = MessageKind.CMD
GOLDEN = seal(CMD, encode_command(UNLOCK), COMMAND_KEY, COMMAND_KID)
ROOMY = Limits(items_max=160, depth_max=4)

scalars = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.binary(max_size=40), st.text(max_size=20), st.booleans(), st.none()
)
items = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(unsigned, inner, max_size=4)),
    max_leaves=12,
)
values = st.one_of(
    st.booleans(), st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
evidence = st.builds(
    Evidence,
    path=st.text(max_size=40),
    value=st.none() | values,
    quality=st.sampled_from(Quality),
    age_ms=st.integers(0, 2**40),
    message=st.text(max_size=20),
)
results = st.builds(
    Result,
    car=st.just(CAR),
    cid=st.binary(min_size=16, max_size=16),
    operator=unsigned,
    stage=st.sampled_from(Stage),
    reason=st.sampled_from(Reason),
    executed=st.sampled_from(Executed),
    sid=st.binary(min_size=8, max_size=8),
    session_ms=unsigned,
    digest=st.binary(min_size=8, max_size=8),
    evidence=st.lists(evidence, max_size=8).map(tuple),
    event_sequence=st.none() | unsigned,
    is_degraded=st.booleans(),
)


def is_dropped(raw: bytes) -> bool:
    return isinstance(verify(CMD, raw, is_retained=False, keys=KEYS), Dropped)


def test_h2_random_strings_are_dropped() -> None:
    """Sixteen thousand of the million here, the same ones each time."""
    accepted = []
    for number in range(16_384):
        stream = shake_128(number.to_bytes(4, "big")).digest(1026)
        raw = stream[2 : 3 + int.from_bytes(stream[:2], "big") % 1024]
        if not is_dropped(raw):
            accepted.append(number)
    assert accepted == []


def test_h2_random_strings_with_the_beginning_of_an_envelope_are_dropped() -> None:
    """Past the first refusal there are others."""
    for cut in range(1, len(GOLDEN), 3):
        for number in range(32):
            tail = shake_128(bytes([cut, number])).digest(len(GOLDEN) - cut)
            assert is_dropped(GOLDEN[:cut] + tail)


@settings(max_examples=600, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_answered_and_what_is_accepted_has_one_encoding(raw: bytes) -> None:
    item = decode_strict(raw, ROOMY)
    if item is not None:
        assert encode_canonical(item) == raw
    for kind in MessageKind:
        assert open_unverified(kind, raw) is None


@settings(max_examples=600, deadline=None)
@given(items)
def test_plain_item_within_limits_is_read_as_what_it_is(item: object) -> None:
    raw = encode_canonical(item)
    assert decode_strict(raw, Limits(items_max=200, depth_max=20)) == item
    assert is_well_formed(raw, Limits(items_max=200, depth_max=20))


@settings(max_examples=600, deadline=None)
@given(items, st.data())
def test_scan_accepts_nothing_the_decoder_would_choke_on(item: object, data: st.DataObject) -> None:
    """A byte changed at random: if the scan lets it pass, `cbor2` reads it to its end, and in no time."""
    raw = bytearray(encode_canonical(item))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if is_well_formed(bytes(raw), ROOMY):
        try:
            cbor2.loads(bytes(raw))
        except cbor2.CBORDecodeError as error:
            # What the scan leaves to the decoder; cbor2 5 and 6 word it differently.
            assert "unicode string" in str(error) or "text string" in str(error)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_two_changes_to_a_golden_command_are_dropped_as_well(data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(GOLDEN) - 1), min_size=2, max_size=2, unique=True))
    changed = bytearray(GOLDEN)
    for place in places:
        changed[place] ^= data.draw(st.integers(1, 255))
    assert is_dropped(bytes(changed))


@settings(max_examples=200, deadline=None)
@given(items)
def test_signed_payload_of_any_shape_is_answered_without_an_exception(item: object) -> None:
    is_dropped(sign_by_hand(CMD, encode_canonical(item)))


@settings(max_examples=150, deadline=None)
@given(commands)
def test_every_command_is_read_back_as_written(command: CommandPayload) -> None:
    envelope = open_unverified(CMD, seal(CMD, encode_command(command), COMMAND_KEY, COMMAND_KID))
    assert envelope is not None
    assert decode_command(envelope.payload) == command
    assert check_signature(envelope, COMMAND_KEY.public_key())
    assert not check_signature(envelope, VEHICLE_KEY.public_key())


@settings(max_examples=150, deadline=None)
@given(results)
def test_every_result_fits_and_is_read_back_as_written(result: Result) -> None:
    raw = seal(MessageKind.RES, encode_result(result), VEHICLE_KEY, CAR)
    envelope = open_unverified(MessageKind.RES, raw)
    assert envelope is not None
    found = decode_result(envelope.payload)
    assert found.evidence == result.evidence[: len(found.evidence)]
    assert replace(found, evidence=()) == replace(result, evidence=())
