"""Orders of the roots: for one car, by enough of the roots in force, and a clock reset once and for one floor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.command.cosign import DocumentKind, seal_document
from agent.command.orders import (
    Decommission,
    OrderRefusal,
    Reset,
    judge_decommission,
    judge_reset,
    seal_decommission,
    seal_reset,
)
from tests.support.roots import BUNDLE, DATE_UNIX_S, OTHER_ROOTS, ROOTS, STRANGERS, roots_of

CAR = b"this car"
OTHER_CAR = b"that car"
ID = b"id of this order"
RESET = Reset(CAR, ID, DATE_UNIX_S + 100, DATE_UNIX_S)
ORDER = Decommission(CAR, ID, DATE_UNIX_S)
NONE: frozenset[bytes] = frozenset()
PAYLOAD = {1: 1, 2: CAR, 3: ID, 4: DATE_UNIX_S + 100, 5: DATE_UNIX_S}


def reset_payload(**changes: object) -> bytes:
    fields: dict[int, object] = PAYLOAD | {int(key.removeprefix("key_")): value for key, value in changes.items()}
    return seal_document(
        DocumentKind.RESET, {key: value for key, value in fields.items() if value is not None}, ROOTS[:2]
    )


RESETS: dict[str, tuple[bytes, Reset | OrderRefusal]] = {
    "in_order": (seal_reset(RESET, ROOTS[:2]), RESET),
    "by_all_roots": (seal_reset(RESET, ROOTS), RESET),
    "to_zero": (seal_reset(replace(RESET, floor_to_unix_s=0), ROOTS), replace(RESET, floor_to_unix_s=0)),
    "upwards": (seal_reset(replace(RESET, floor_to_unix_s=2**40), ROOTS), replace(RESET, floor_to_unix_s=2**40)),
    "noise": (b"noise", OrderRefusal.MALFORMED),
    "cut_short": (seal_reset(RESET, ROOTS[:2])[:-1], OrderRefusal.MALFORMED),
    "one_signature": (seal_reset(RESET, ROOTS[:1]), OrderRefusal.SIGNATURES),
    "strangers": (seal_reset(RESET, STRANGERS), OrderRefusal.SIGNATURES),
    "another_car": (seal_reset(replace(RESET, car=OTHER_CAR), ROOTS), OrderRefusal.WRONG_CAR),
    "another_floor": (seal_reset(replace(RESET, floor_from_unix_s=DATE_UNIX_S + 99), ROOTS), OrderRefusal.FLOOR),
    "later_floor": (seal_reset(replace(RESET, floor_from_unix_s=DATE_UNIX_S + 101), ROOTS), OrderRefusal.FLOOR),
    "beyond_every_number": (seal_reset(replace(RESET, floor_to_unix_s=2**53), ROOTS), OrderRefusal.MALFORMED),
    "another_version": (reset_payload(key_1=2), OrderRefusal.MALFORMED),
    "negative_floor": (reset_payload(key_5=-1), OrderRefusal.MALFORMED),
    "unknown_key": (reset_payload(key_6=0), OrderRefusal.MALFORMED),
    "missing_key": (reset_payload(key_3=None), OrderRefusal.MALFORMED),
    "signed_as_another_kind": (seal_document(DocumentKind.DECOM, PAYLOAD, ROOTS), OrderRefusal.SIGNATURES),
}


@pytest.mark.hazard("H133")
@pytest.mark.parametrize(("raw", "expected"), RESETS.values(), ids=RESETS.keys())
def test_a_clock_reset_is_for_one_car_and_one_floor_h133(raw: bytes, expected: object) -> None:
    assert judge_reset(raw, BUNDLE, car=CAR, floor_unix_s=DATE_UNIX_S + 100, done=NONE) == expected


@pytest.mark.hazard("H133")
def test_a_clock_reset_is_obeyed_once_h133() -> None:
    """Even when the floor has come to stand again where the order wants it."""
    raw = seal_reset(RESET, ROOTS)
    done = frozenset({ID})
    assert judge_reset(raw, BUNDLE, car=CAR, floor_unix_s=DATE_UNIX_S + 100, done=done) is OrderRefusal.REPEATED


@pytest.mark.hazard("H138")
def test_a_decommission_order_is_for_one_car_h138() -> None:
    """A car that is provisioned anew has another id, and the order for the old one moves nothing."""
    raw = seal_decommission(ORDER, ROOTS[:2])
    assert judge_decommission(raw, BUNDLE, car=CAR) == ORDER
    assert judge_decommission(raw, BUNDLE, car=OTHER_CAR) is OrderRefusal.WRONG_CAR
    other_roots = replace(BUNDLE, roots=roots_of(OTHER_ROOTS))
    assert judge_decommission(raw, other_roots, car=OTHER_CAR) is OrderRefusal.WRONG_CAR


def test_a_decommission_order_needs_the_roots_in_force() -> None:
    assert judge_decommission(seal_decommission(ORDER, ROOTS[:1]), BUNDLE, car=CAR) is OrderRefusal.SIGNATURES
    assert judge_decommission(seal_decommission(ORDER, OTHER_ROOTS), BUNDLE, car=CAR) is OrderRefusal.SIGNATURES
    assert judge_decommission(b"", BUNDLE, car=CAR) is OrderRefusal.MALFORMED
    reset = seal_reset(RESET, ROOTS)
    assert judge_decommission(reset, BUNDLE, car=CAR) is OrderRefusal.MALFORMED


def test_an_order_the_car_could_not_read_is_not_made() -> None:
    with pytest.raises(ValueError, match="not a reset"):
        seal_reset(replace(RESET, order_id=b"short"), ROOTS)
    with pytest.raises(ValueError, match="not a decom"):
        seal_decommission(replace(ORDER, date_unix_s=-1), ROOTS)
