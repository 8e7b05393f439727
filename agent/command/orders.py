"""Orders that the roots give to one car: a clock reset, and the end of its service. The agent is stopped meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.bundle import NUMBER_MAX, Bundle
from agent.command.cosign import DocumentKind, open_document, seal_document, signers
from agent.command.fields import CAR_BYTES, NONCE_BYTES, VERSION, FieldTable, conforms, sized_bytes, unsigned
from agent.model.quick_dataclass import dataclass

RESET_FIELDS: FieldTable = {
    1: unsigned("v"),
    2: sized_bytes("car", CAR_BYTES),
    3: sized_bytes("id", NONCE_BYTES),
    4: unsigned("from"),
    5: unsigned("to"),
}

DECOM_FIELDS: FieldTable = {
    1: unsigned("v"),
    2: sized_bytes("car", CAR_BYTES),
    3: sized_bytes("id", NONCE_BYTES),
    4: unsigned("date"),
}

ORDER_FIELDS: Mapping[DocumentKind, FieldTable] = {
    DocumentKind.RESET: RESET_FIELDS,
    DocumentKind.DECOM: DECOM_FIELDS,
}


class OrderRefusal(StrEnum):
    """Why an order of the roots is not carried out."""

    MALFORMED = "malformed"
    WRONG_CAR = "wrong_car"
    SIGNATURES = "signatures"
    """Fewer than the threshold of the roots in force."""
    FLOOR = "floor"
    """It replaces another floor than the car's."""
    REPEATED = "repeated"
    """A document of this id was carried out before."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Clock reset: the one way for the time floor to fall. `order_id` has 16 bytes; floors are Unix seconds."""

    car: bytes
    order_id: bytes
    floor_from_unix_s: int
    floor_to_unix_s: int


@dataclass(frozen=True, slots=True)
class Decommission:
    """The order that takes a car out of the fleet: it deletes its keys and stores."""

    car: bytes
    order_id: bytes
    date_unix_s: int


def seal_reset(reset: Reset, roots: Iterable[Ed25519PrivateKey]) -> bytes:
    payload = {1: VERSION, 2: reset.car, 3: reset.order_id, 4: reset.floor_from_unix_s, 5: reset.floor_to_unix_s}
    return _seal_order(DocumentKind.RESET, payload, roots)


def seal_decommission(order: Decommission, roots: Iterable[Ed25519PrivateKey]) -> bytes:
    payload = {1: VERSION, 2: order.car, 3: order.order_id, 4: order.date_unix_s}
    return _seal_order(DocumentKind.DECOM, payload, roots)


def judge_reset(
    raw: bytes, in_force: Bundle, *, car: bytes, floor_unix_s: int, done: frozenset[bytes]
) -> Reset | OrderRefusal:
    """The reset in `raw` if it is for this car, replaces its persisted floor and its id is not among those `done`."""
    payload = _authentic(DocumentKind.RESET, raw, in_force, car)
    if isinstance(payload, OrderRefusal):
        return payload
    reset = Reset(
        car=cast("bytes", payload[2]),
        order_id=cast("bytes", payload[3]),
        floor_from_unix_s=cast("int", payload[4]),
        floor_to_unix_s=cast("int", payload[5]),
    )
    if reset.floor_to_unix_s > NUMBER_MAX:
        return OrderRefusal.MALFORMED
    if reset.order_id in done:
        return OrderRefusal.REPEATED
    return reset if reset.floor_from_unix_s == floor_unix_s else OrderRefusal.FLOOR


def judge_decommission(raw: bytes, in_force: Bundle, *, car: bytes) -> Decommission | OrderRefusal:
    """The order in `raw` if the roots in force gave it for this car."""
    payload = _authentic(DocumentKind.DECOM, raw, in_force, car)
    if isinstance(payload, OrderRefusal):
        return payload
    return Decommission(
        car=cast("bytes", payload[2]), order_id=cast("bytes", payload[3]), date_unix_s=cast("int", payload[4])
    )


def _authentic(kind: DocumentKind, raw: bytes, in_force: Bundle, car: bytes) -> Mapping[int, object] | OrderRefusal:
    document = open_document(kind, raw)
    if document is None or not conforms(ORDER_FIELDS[kind], document.payload):
        return OrderRefusal.MALFORMED
    payload = cast("Mapping[int, object]", document.payload)
    if payload[1] != VERSION:
        return OrderRefusal.MALFORMED
    if payload[2] != car:
        return OrderRefusal.WRONG_CAR  # before the signatures: an old car's order was signed by roots long gone (H138)
    if len(signers(document, in_force.roots)) < in_force.threshold:
        return OrderRefusal.SIGNATURES
    return payload


def _seal_order(kind: DocumentKind, payload: Mapping[int, object], roots: Iterable[Ed25519PrivateKey]) -> bytes:
    if not conforms(ORDER_FIELDS[kind], payload):
        raise ValueError(f"not a {kind} the other end would read: {sorted(payload)}")
    return seal_document(kind, payload, roots)
