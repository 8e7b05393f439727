"""The tables that say what a message may hold."""

from __future__ import annotations

import pytest

from agent.command.fields import COUNTERS_MAX, FIELDS, MessageKind, conforms
from agent.command.payloads import encode_hello, encode_result
from agent.model.command import EVIDENCE_MAX
from tests.support.envelopes import HELLO, VERIFIED

HELLO_PAYLOAD = encode_hello(HELLO)
RES_PAYLOAD = encode_result(VERIFIED)


def evidence(**changes: object) -> list[object]:
    """One good piece of evidence with keys exchanged or added: `evidence(key_3=4)`."""
    entry: dict[int, object] = {1: "Vehicle.Speed", 2: 0, 3: 0, 4: 10, 5: "MotionStatus"}
    return [entry | {int(name.removeprefix("key_")): value for name, value in changes.items()}]


@pytest.mark.parametrize(
    "counters",
    [
        {b"\x00\x00\x00\x01": 1},
        [[b"\x00\x00\x00\x01"]],
        [[b"\x00\x00\x00\x01", 1, 1]],
        [[b"\x00\x01", 1]],
        [[b"\x00\x00\x00\x01", -1]],
        [[b"\x00\x00\x00\x01", True]],
        [[b"\x00\x00\x00\x02", 1], [b"\x00\x00\x00\x01", 1]],
        [[b"\x00\x00\x00\x01", 1], [b"\x00\x00\x00\x01", 2]],
        [[bytes([0, 0, 0, number]), 1] for number in range(COUNTERS_MAX + 1)],
    ],
    ids=["map", "no counter", "three", "short kid", "negative", "bool", "descending", "twice", "too many"],
)
def test_counters_of_a_hello_have_one_form(counters: object) -> None:
    assert conforms(FIELDS[MessageKind.HELLO], HELLO_PAYLOAD)
    assert not conforms(FIELDS[MessageKind.HELLO], HELLO_PAYLOAD | {5: counters})


@pytest.mark.parametrize("versions", [0, [0], [0, 0, 0], [0, -1], [0, False]])
def test_versions_of_a_hello_are_two_numbers(versions: object) -> None:
    assert not conforms(FIELDS[MessageKind.HELLO], HELLO_PAYLOAD | {8: versions})


@pytest.mark.parametrize(
    "pieces",
    [
        {},
        evidence() * (EVIDENCE_MAX + 1),
        evidence(key_1=b"Vehicle.Speed"),
        evidence(key_2=1.0),
        evidence(key_2=[1]),
        evidence(key_3=4),
        evidence(key_3=False),
        evidence(key_4=-1),
        evidence(key_5=None),
        evidence(key_6=401),
        evidence(key_6=True),
        evidence(key_7=0),
        [[]],
    ],
)
def test_evidence_has_one_form(pieces: object) -> None:
    assert conforms(FIELDS[MessageKind.RES], RES_PAYLOAD | {10: evidence() * EVIDENCE_MAX})
    assert not conforms(FIELDS[MessageKind.RES], RES_PAYLOAD | {10: pieces})


@pytest.mark.parametrize("value", [True, False, None, "Unlocked", -5, 2**40])
def test_evidence_may_hold_any_value_a_reading_has(value: object) -> None:
    assert conforms(FIELDS[MessageKind.RES], RES_PAYLOAD | {10: evidence(key_2=value)})


@pytest.mark.parametrize(("key", "unknown"), [(5, 0), (5, 8), (6, 1), (6, 99), (7, 3), (7, True)])
def test_stage_reason_and_executed_are_closed_sets(key: int, unknown: object) -> None:
    assert not conforms(FIELDS[MessageKind.RES], RES_PAYLOAD | {key: unknown})


def test_payload_that_is_no_map_does_not_conform() -> None:
    payloads: tuple[object, ...] = (None, [], b"", 1)
    for payload in payloads:
        assert not conforms(FIELDS[MessageKind.CMD], payload)
