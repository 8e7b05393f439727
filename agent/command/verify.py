"""Envelope × keys → a command whose sender is known; then whether that sender may ask for it.

Steps 1 to 8 and 14 of the order of checks. The journal look-up comes between the two functions (amendment A2):
a command carried out before is answered with its result even if its key has expired since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.command.envelope import Envelope, check_signature, open_unverified
from agent.command.fields import VERSION, MessageKind
from agent.command.payloads import Ping, decode_command, decode_ping
from agent.model.command import Action, Command, Reason
from agent.model.quick_dataclass import dataclass

ROLE_COMMAND: Final = "command"
TRANSPORT_MQTT: Final = "mqtt"

_ACTIONS = frozenset(Action)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the car knows of one public key. The message's header must equal the record; it never chooses."""

    kid: bytes
    operator: int
    public_key: Ed25519PublicKey
    actions: frozenset[int]
    not_before_unix_s: int
    not_after_unix_s: int
    role: str = ROLE_COMMAND
    transports: frozenset[str] = frozenset({TRANSPORT_MQTT})
    is_revoked: bool = False
    """Still known, so that its holder is told; nothing he signs is obeyed."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Authentic: the holder of `record`'s key signed `message`. Nothing is said yet of what he may ask."""

    record: KeyRecord
    message: Command | Ping


@dataclass(frozen=True, slots=True)
class Dropped:
    """Not answered: the sender is not known, so an answer would serve an attacker as oracle and amplifier."""

    why: str


def verify(kind: MessageKind, raw: bytes, *, is_retained: bool, keys: Mapping[bytes, KeyRecord]) -> Verified | Dropped:
    """Steps 1 to 5 for a `cmd` or `ping` delivery; `keys` by kid."""
    if is_retained:
        return Dropped("retained")  # a broker keeps state, never a wish (H56, H57)
    envelope = open_unverified(kind, raw)
    if envelope is None:
        return Dropped("malformed")
    record = keys.get(envelope.kid)
    if record is None:
        return Dropped("unknown_key")
    if not check_signature(envelope, record.public_key):
        return Dropped("bad_signature")
    return Verified(record, decode_ping(envelope.payload) if kind is MessageKind.PING else _command(envelope))


def authorise(
    message: Command | Ping,
    record: KeyRecord,
    *,
    topic_operator: int,
    car: bytes,
    floor_unix_s: int,
    attested_unix_s: int | None = None,
) -> Reason | None:
    """Steps 6 to 8 and 14: whether this key may ask this car for this, over MQTT. None if it may.

    A key has expired once `floor_unix_s` is past its end, and is too early only by `attested_unix_s`, a time
    somebody signed (amendment A10): no clock an attacker can move decides in his favour.
    """
    if message.car != car:
        return Reason.WRONG_CAR
    if message.version != VERSION:
        return Reason.VERSION
    if not message.operator == record.operator == topic_operator:
        return Reason.OPERATOR_MISMATCH
    if record.role != ROLE_COMMAND:
        return Reason.ROLE
    if TRANSPORT_MQTT not in record.transports:
        return Reason.TRANSPORT
    if record.is_revoked:
        return Reason.KEY_REVOKED
    if floor_unix_s > record.not_after_unix_s:
        return Reason.KEY_EXPIRED
    if attested_unix_s is not None and attested_unix_s < record.not_before_unix_s:
        return Reason.KEY_EXPIRED  # the one reason for "not within its dates" (H34)
    return _action_refusal(message, record) if isinstance(message, Command) else None


def _action_refusal(command: Command, record: KeyRecord) -> Reason | None:
    if command.action not in _ACTIONS:
        return Reason.UNSUPPORTED_ACTION
    if command.action not in record.actions:
        return Reason.ACTION_NOT_ALLOWED
    if command.parameters:
        # No action of this version has any, and one that is not understood may be what the sender's wish hangs on.
        return Reason.BAD_PARAMS
    return None


def _command(envelope: Envelope) -> Command:
    payload = decode_command(envelope.payload)
    return Command(
        car=payload.car,
        cid=payload.cid,
        operator=payload.operator,
        sid=payload.sid,
        counter=payload.counter,
        deadline_ms=payload.deadline_ms,
        action=payload.action,
        kid=envelope.kid,
        digest=envelope.digest,
        parameters=payload.parameters,
        ref=payload.ref,
        version=payload.version,
    )
