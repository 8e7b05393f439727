"""Who may sign in the simulated worlds, and who would like to."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.backend.settings import Car, Operator
from agent.command.verify import KeyRecord
from agent.model.command import Action
from tests.support.pair import CAR, KEYS, KID, VEHICLE_KEY


def _key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(f"{name} of the simulated worlds".encode()).digest())


OPERATORS: Final = tuple(Operator(1, name, _key(name)) for name in ("first key", "second key", "reading key"))
"""Three command keys of one operator; the last may only ask questions."""

STRANGERS_KEY: Final = _key("stranger's key")
OTHER_CARS_KEY: Final = _key("another car's vehicle key")
OTHER_CAR: Final = sha256(b"another car").digest()[:8]

THE_CAR: Final = Car("demo", CAR, VEHICLE_KEY.public_key())


def _record(operator: Operator, actions: frozenset[int]) -> KeyRecord:
    return replace(KEYS[KID], kid=operator.kid, public_key=operator.key.public_key(), actions=actions)


AGENT_KEYS: Final = {
    operator.kid: _record(operator, frozenset(Action) if index < 2 else frozenset({Action.REPORT, Action.CHECK_RETURN}))
    for index, operator in enumerate(OPERATORS)
}
