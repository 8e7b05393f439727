"""What each kind of message may hold: keys, exact types, limits. `agent/PROTOCOL.md` prints these tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from agent.command.scan import Limits
from agent.model.command import EVIDENCE_MAX, Answer, Condition, Executed, Reason, Stage
from agent.model.events import ClockTrust
from agent.model.quick_dataclass import dataclass

VERSION: Final = 1
ENVELOPE_BYTES_MAX: Final = 1024
"""Any message fits in 250 B but a result with evidence; 1 KiB keeps the cost of a stranger's bytes negligible."""

CAR_BYTES: Final = 8
COMMAND_KID_BYTES: Final = 4
NONCE_BYTES: Final = 16
DIGEST_BYTES: Final = 8
COUNTERS_MAX: Final = 8
EXTENSION_KEY_MIN: Final = 128
"""Payload keys from here on may be ignored by who does not know them; below, an unknown key refuses the message."""


class MessageKind(StrEnum):
    """What is signed by one key; the name is part of every signature, and of the topic for all but `retired`."""

    CMD = "cmd"
    PING = "ping"
    HELLO = "hello"
    RES = "res"
    RETIRED = "retired"

    @property
    def context(self) -> bytes:
        """COSE external_aad: a message of one kind can never be read as another (H23)."""
        return b"csa1/" + self.value.encode("ascii")

    @property
    def kid_bytes(self) -> int:
        """The backend's keys have short ids; the car's only key is named by the car id."""
        return COMMAND_KID_BYTES if self in (MessageKind.CMD, MessageKind.PING) else CAR_BYTES

    @property
    def limits(self) -> Limits:
        """Eight pieces of evidence are 104 items and eleven conditions 66, so a result may have more than the rest."""
        return Limits(items_max=224 if self is MessageKind.RES else 64, depth_max=4)


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a map. `shape` is how the documents write the type that `accepts` checks."""

    name: str
    shape: str
    accepts: Callable[[object], bool]
    is_required: bool = True


FieldTable = Mapping[int, Field]


def conforms(table: FieldTable, payload: object) -> bool:
    """Whether `payload` is a map with every required key, no unknown one below 128, and exactly the types asked."""
    if type(payload) is not dict:
        return False
    for key, value in payload.items():
        field = table.get(key)
        if field is None:
            if key < EXTENSION_KEY_MIN:
                return False
        elif not field.accepts(value):
            return False
    return all(key in payload for key, field in table.items() if field.is_required)


# Types are compared by identity throughout: to Python `True` is an integer, to this protocol it is not (H143).


def is_unsigned(value: object) -> bool:
    return type(value) is int and value >= 0


def unsigned(name: str, *, is_required: bool = True) -> Field:
    return Field(name, "uint", is_unsigned, is_required)


def sized_bytes(name: str, length: int, *, is_required: bool = True) -> Field:
    return Field(name, f"bytes({length})", lambda value: type(value) is bytes and len(value) == length, is_required)


def _one_of(name: str, numbers: type[Stage] | type[Reason] | type[Executed] | type[ClockTrust]) -> Field:
    known = frozenset(int(number) for number in numbers)
    return Field(name, "uint, see below", lambda value: type(value) is int and value in known)


def _text(name: str) -> Field:
    return Field(name, "text", lambda value: type(value) is str)


def _is_counters(value: object) -> bool:
    if type(value) is not list or len(value) > COUNTERS_MAX:
        return False
    for pair in value:
        if type(pair) is not list or len(pair) != 2:
            return False
        kid, counter = pair
        if type(kid) is not bytes or len(kid) != COMMAND_KID_BYTES or not is_unsigned(counter):
            return False
    kids = [pair[0] for pair in value]
    return kids == sorted(set(kids))


def _is_versions(value: object) -> bool:
    return type(value) is list and len(value) == 2 and all(is_unsigned(number) for number in value)


def _is_evidence(value: object) -> bool:
    return (
        type(value) is list and len(value) <= EVIDENCE_MAX and all(conforms(EVIDENCE_FIELDS, entry) for entry in value)
    )


def _is_conditions(value: object) -> bool:
    return (
        type(value) is list
        and len(value) <= len(Condition)
        and all(_is_condition(entry) for entry in value)
        and len({entry[0] for entry in value}) == len(value)
    )


def _is_condition(value: object) -> bool:
    if type(value) is not list or len(value) != 5:
        return False
    condition, answer, given, exponent, age_ms = value
    return (
        type(condition) is int
        and condition in frozenset(Condition)
        and type(answer) is int
        and answer in frozenset(Answer)
        and (given is None or type(given) in (bool, int, str))
        and type(exponent) is int
        and -EXPONENT_MAX <= exponent <= EXPONENT_MAX
        and (age_ms is None or is_unsigned(age_ms))
    )


QUALITY_CODES_MAX: Final = 3
EXPONENT_MAX: Final = 400
"""Beyond the range of any double; keeps a hostile result from asking for an enormous power of ten."""

EVIDENCE_FIELDS: FieldTable = {
    1: _text("path"),
    2: Field("value", "bool, int, text or null", lambda value: value is None or type(value) in (bool, int, str)),
    3: Field("quality", "uint, see below", lambda value: type(value) is int and 0 <= value <= QUALITY_CODES_MAX),
    4: unsigned("age_ms"),
    5: _text("message"),
    6: Field(
        "exponent",
        "int",
        lambda value: type(value) is int and -EXPONENT_MAX <= value <= EXPONENT_MAX,
        is_required=False,
    ),
}

FIELDS: Mapping[MessageKind, FieldTable] = {
    MessageKind.CMD: {
        1: unsigned("v"),
        2: sized_bytes("car", CAR_BYTES),
        3: sized_bytes("cid", 16),
        4: unsigned("op"),
        5: sized_bytes("sid", 8),
        6: unsigned("ctr"),
        7: unsigned("dl"),
        8: unsigned("act"),
        9: Field("par", "map", lambda value: type(value) is dict, is_required=False),
        10: sized_bytes("ref", 8, is_required=False),
    },
    MessageKind.PING: {
        1: unsigned("v"),
        2: sized_bytes("car", CAR_BYTES),
        3: unsigned("op"),
        4: sized_bytes("n", NONCE_BYTES),
    },
    MessageKind.HELLO: {
        1: unsigned("v"),
        2: sized_bytes("car", CAR_BYTES),
        3: sized_bytes("sid", 8),
        4: unsigned("st"),
        5: Field("ctr", f"array of [bytes({COMMAND_KID_BYTES}), uint], at most {COUNTERS_MAX}", _is_counters),
        6: _one_of("ts", ClockTrust),
        7: unsigned("t", is_required=False),
        8: Field("ver", "[uint, uint]", _is_versions),
        9: sized_bytes("store", 8),
        10: sized_bytes("n", NONCE_BYTES, is_required=False),
        11: unsigned("ev"),
        12: sized_bytes("tn", NONCE_BYTES, is_required=False),
    },
    MessageKind.RES: {
        1: unsigned("v"),
        2: sized_bytes("car", CAR_BYTES),
        3: sized_bytes("cid", 16),
        4: unsigned("op"),
        5: _one_of("stage", Stage),
        6: _one_of("reason", Reason),
        7: _one_of("executed", Executed),
        8: sized_bytes("sid", 8),
        9: unsigned("st"),
        10: Field("evidence", f"array of maps, at most {EVIDENCE_MAX}", _is_evidence, is_required=False),
        11: unsigned("ev", is_required=False),
        12: sized_bytes("digest", DIGEST_BYTES),
        13: Field("degraded", "bool", lambda value: type(value) is bool, is_required=False),
        14: Field("conditions", f"array of arrays, at most {len(Condition)}", _is_conditions, is_required=False),
    },
    MessageKind.RETIRED: {
        1: unsigned("v"),
        2: sized_bytes("car", CAR_BYTES),
        3: sized_bytes("id", NONCE_BYTES),
        4: unsigned("ev"),
        5: sized_bytes("store", 8),
    },
}
