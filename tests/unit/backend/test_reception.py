"""H70: what the broker, or anybody else, makes up about a car is not believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.backend.reception import SESSION_MS_MAX, Ignored, IgnoredCounts, open_hello, open_result
from agent.command.envelope import (
    Hello,
    MessageKind,
    Result,
    encode_hello,
    encode_result,
    seal,
)
from agent.model.command import Executed, Reason, Stage
from agent.model.events import ClockTrust
from tests.support.scripted_car import CAR, CAR_KEY, LOCK_EVIDENCE, STRANGERS_KEY

HELLO = Hello(CAR.id, b"session1", 5000, ClockTrust.ATTESTED, b"store--1", 7, {b"keyk": 3}, 1_800_000_000, b"n" * 16)
RESULT = Result(
    CAR.id, b"c" * 16, 1, Stage.VERIFIED, Reason.OK, Executed.YES, b"session1", 6000, b"d" * 8, LOCK_EVIDENCE, 8
)
OTHER_CAR = bytes.fromhex("fedcba9876543210")


def sealed_hello(hello: Hello = HELLO) -> bytes:
    return seal(MessageKind.HELLO, encode_hello(hello), CAR_KEY, CAR.id)


def sealed_result(result: Result = RESULT) -> bytes:
    return seal(MessageKind.RES, encode_result(result), CAR_KEY, CAR.id)


def test_what_the_car_signed_comes_through_unchanged() -> None:
    assert open_hello(sealed_hello(), CAR) == HELLO
    assert open_result(sealed_result(), CAR, operator=1) == RESULT


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", Ignored.MALFORMED),
        (b"\xa1\x01\x01", Ignored.MALFORMED),
        (b"\xc2" * 1025, Ignored.MALFORMED),
        (sealed_hello()[:-1], Ignored.MALFORMED),
        (sealed_result(), Ignored.MALFORMED),
        (sealed_hello()[:-1] + bytes([sealed_hello()[-1] ^ 1]), Ignored.FORGED),
        (seal(MessageKind.HELLO, encode_hello(HELLO), STRANGERS_KEY, CAR.id), Ignored.FORGED),
        (seal(MessageKind.HELLO, encode_hello(HELLO), CAR_KEY, OTHER_CAR), Ignored.FORGED),
        (sealed_hello(replace(HELLO, car=OTHER_CAR)), Ignored.FOREIGN),
        (sealed_hello(replace(HELLO, version=2)), Ignored.FOREIGN),
        (sealed_hello(replace(HELLO, session_ms=SESSION_MS_MAX + 1)), Ignored.MALFORMED),
    ],
)
def test_any_other_hello_is_ignored_with_a_reason(raw: bytes, why: Ignored) -> None:
    assert open_hello(raw, CAR) is why


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"not CBOR", Ignored.MALFORMED),
        (sealed_hello(), Ignored.MALFORMED),
        (sealed_result()[:-1] + bytes([sealed_result()[-1] ^ 1]), Ignored.FORGED),
        (seal(MessageKind.RES, encode_result(RESULT), STRANGERS_KEY, CAR.id), Ignored.FORGED),
        (seal(MessageKind.RES, encode_result(RESULT), CAR_KEY, OTHER_CAR), Ignored.FORGED),
        (sealed_result(replace(RESULT, car=OTHER_CAR)), Ignored.FOREIGN),
        (sealed_result(replace(RESULT, operator=2)), Ignored.FOREIGN),
        (sealed_result(replace(RESULT, version=2)), Ignored.FOREIGN),
    ],
)
def test_any_other_result_is_ignored_with_a_reason(raw: bytes, why: Ignored) -> None:
    assert open_result(raw, CAR, operator=1) is why


def test_every_bit_of_a_result_is_covered_by_the_signature_or_the_form() -> None:
    raw = sealed_result()
    for position in range(len(raw)):
        for bit in range(8):
            changed = raw[:position] + bytes([raw[position] ^ 1 << bit]) + raw[position + 1 :]
            assert open_result(changed, CAR, operator=1) in (Ignored.MALFORMED, Ignored.FORGED)


def test_what_is_ignored_is_counted_by_reason() -> None:
    counts = IgnoredCounts()
    counts.add(Ignored.FORGED)
    assert counts[Ignored.FORGED] == 1
    assert sum(counts.counts.values()) == 1
