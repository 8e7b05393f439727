"""What comes from a car: only what its vehicle key V signed gets through (H70); the rest has a name and is counted."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from agent.backend.settings import Car
from agent.command.envelope import (
    Envelope,
    Hello,
    MessageKind,
    Result,
    Retired,
    check_signature,
    decode_hello,
    decode_result,
    decode_retired,
    open_unverified,
)
from agent.command.fields import VERSION
from agent.model.quick_dataclass import dataclass

# Some 285,000 years: beyond any session, and far enough from 2^63 to add a lifetime to.
SESSION_MS_MAX = 2**53


class Ignored(StrEnum):
    """Why something that arrived was not used."""

    RETAINED = "retained"
    """Answers are events: one that the broker kept is old by definition."""
    MALFORMED = "malformed"
    FORGED = "forged"
    """Not signed by this car's key."""
    FOREIGN = "foreign"
    """Signed by this car, but of another car, operator or protocol version by its own words."""
    UNASKED = "unasked"
    """A nonce or command id that is not, or no longer, waited for: late, replayed, or another backend's."""
    UNKNOWN_TOPIC = "unknown_topic"


@dataclass(slots=True)
class IgnoredCounts:
    """How often each reason occurred since the backend was opened."""

    counts: dict[Ignored, int] = field(default_factory=lambda: dict.fromkeys(Ignored, 0))

    def add(self, reason: Ignored) -> None:
        self.counts[reason] += 1

    def __getitem__(self, reason: Ignored) -> int:
        return self.counts[reason]


def open_hello(raw: bytes, car: Car) -> Hello | Ignored:
    """The hello in `raw`, if it is this car's own; whether it was asked for is for the session to say."""
    envelope = _authentic(MessageKind.HELLO, raw, car)
    if isinstance(envelope, Ignored):
        return envelope
    hello = decode_hello(envelope.payload)
    if hello.session_ms > SESSION_MS_MAX:
        return Ignored.MALFORMED
    return hello if (hello.version, hello.car) == (VERSION, car.id) else Ignored.FOREIGN


def open_result(raw: bytes, car: Car, operator: int) -> Result | Ignored:
    """The result in `raw`, if it is this car's own answer to `operator`."""
    envelope = _authentic(MessageKind.RES, raw, car)
    if isinstance(envelope, Ignored):
        return envelope
    result = decode_result(envelope.payload)
    claim = (result.version, result.car, result.operator)
    return result if claim == (VERSION, car.id, operator) else Ignored.FOREIGN


def open_receipt(raw: bytes, car: Car) -> Retired | Ignored:
    """The receipt in `raw`, if it is this car's own: its last word, before it deleted the key that signed it."""
    envelope = _authentic(MessageKind.RETIRED, raw, car)
    if isinstance(envelope, Ignored):
        return envelope
    receipt = decode_retired(envelope.payload)
    return receipt if (receipt.version, receipt.car) == (VERSION, car.id) else Ignored.FOREIGN


def _authentic(kind: MessageKind, raw: bytes, car: Car) -> Envelope | Ignored:
    envelope = open_unverified(kind, raw)
    if envelope is None:
        return Ignored.MALFORMED
    if envelope.kid != car.id or not check_signature(envelope, car.public_key):
        return Ignored.FORGED
    return envelope
