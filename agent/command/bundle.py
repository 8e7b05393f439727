"""The trust bundle: who the roots are, which operators there are, and what each of their keys may do.

`agent/PROTOCOL.md` prints the tables of this file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Final, TypeVar, cast

from agent.command.cosign import SIGNATURES_MAX, key_id
from agent.command.envelope import ALG_ED25519
from agent.command.fields import (
    COMMAND_KID_BYTES,
    COUNTERS_MAX,
    VERSION,
    Field,
    FieldTable,
    is_unsigned,
    sized_bytes,
    unsigned,
)
from agent.command.keys import load_public_key
from agent.model.quick_dataclass import dataclass

Ordered = TypeVar("Ordered", int, bytes)

FLEET_BYTES: Final = 8
PUBLIC_KEY_BYTES: Final = 32
ROOTS_MAX: Final = SIGNATURES_MAX
OPERATORS_MAX: Final = 16
"""A shared car has an operator or two, and those of the region it is lent to."""

OPERATOR_NUMBER_MAX: Final = 2**31 - 1
NAME_BYTES_MAX: Final = 64
KEYS_MAX: Final = 32
COMMAND_KEYS_MAX: Final = COUNTERS_MAX
"""Of one operator: a `hello` has room for the counters of so many."""

NUMBER_MAX: Final = 2**53 - 1
"""Versions and dates stay exact in every JSON number."""

MASK_MAX: Final = 2**32 - 1


class Role(IntEnum):
    """What a key is for. A command is only ever taken from a command key (H31)."""

    COMMAND = 1
    GRANT = 2
    TIME = 3


class Transport(IntEnum):
    """Bit of the transports mask: the way on which a key's messages may come."""

    MQTT = 0
    LOCAL = 1


@dataclass(frozen=True, slots=True)
class OperatorEntry:
    number: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key of an operator. `actions` are action numbers; those this version does not know are kept."""

    operator: int
    public_key: bytes
    role: int = Role.COMMAND
    actions: frozenset[int] = frozenset()
    transports: frozenset[int] = frozenset({int(Transport.MQTT)})
    not_before_unix_s: int = 0
    not_after_unix_s: int = NUMBER_MAX
    is_revoked: bool = False

    @property
    def kid(self) -> bytes:
        return key_id(self.public_key)


@dataclass(frozen=True, slots=True)
class Bundle:
    """`fleet` (8 bytes) is the scope a bundle is made for; `date_unix_s` when it was signed; roots are raw keys."""

    fleet: bytes
    version: int
    date_unix_s: int
    roots: tuple[bytes, ...]
    threshold: int
    operators: tuple[OperatorEntry, ...]
    keys: tuple[KeyEntry, ...] = ()


KEY_FIELDS: tuple[Field, ...] = (
    sized_bytes("kid", COMMAND_KID_BYTES),
    unsigned("op"),
    Field("alg", "int", lambda value: type(value) is int),
    sized_bytes("pk", PUBLIC_KEY_BYTES),
    unsigned("role"),
    unsigned("actions"),
    unsigned("transports"),
    unsigned("nbf"),
    unsigned("naf"),
    Field("revoked", "bool", lambda value: type(value) is bool),
)
"""The places of a key's array, in their order."""


def _is_root(value: object) -> bool:
    return type(value) is bytes and len(value) == PUBLIC_KEY_BYTES


def _is_operator(value: object) -> bool:
    return type(value) is list and len(value) == 2 and is_unsigned(value[0]) and type(value[1]) is str


def _is_key(value: object) -> bool:
    return (
        type(value) is list
        and len(value) == len(KEY_FIELDS)
        and all(field.accepts(item) for field, item in zip(KEY_FIELDS, value, strict=True))
    )


BUNDLE_FIELDS: FieldTable = {
    1: unsigned("v"),
    2: sized_bytes("fleet", FLEET_BYTES),
    3: unsigned("ver"),
    4: unsigned("date"),
    5: Field(
        "roots",
        f"array of bytes({PUBLIC_KEY_BYTES}), 1 to {ROOTS_MAX}",
        lambda value: type(value) is list and 1 <= len(value) <= ROOTS_MAX and all(map(_is_root, value)),
    ),
    6: unsigned("thr"),
    7: Field(
        "operators",
        f"array of [uint, text], 1 to {OPERATORS_MAX}",
        lambda value: type(value) is list and 1 <= len(value) <= OPERATORS_MAX and all(map(_is_operator, value)),
    ),
    8: Field(
        "keys",
        f"array of arrays, at most {KEYS_MAX}",
        lambda value: type(value) is list and len(value) <= KEYS_MAX and all(map(_is_key, value)),
    ),
    9: Field("policy", "map, empty", lambda value: type(value) is dict and not value),
}


def encode_bundle(bundle: Bundle) -> dict[int, object]:
    return {
        1: VERSION,
        2: bundle.fleet,
        3: bundle.version,
        4: bundle.date_unix_s,
        5: sorted(bundle.roots),
        6: bundle.threshold,
        7: [[operator.number, operator.name] for operator in sorted(bundle.operators, key=lambda one: one.number)],
        8: [
            [
                key.kid,
                key.operator,
                ALG_ED25519,
                key.public_key,
                int(key.role),
                _mask(key.actions),
                _mask(key.transports),
                key.not_before_unix_s,
                key.not_after_unix_s,
                key.is_revoked,
            ]
            for key in sorted(bundle.keys, key=lambda one: one.kid)
        ],
        9: {},
    }


def decode_bundle(payload: Mapping[int, object]) -> Bundle:
    """The bundle of a payload that conforms to `BUNDLE_FIELDS`; `faults` says whether it makes sense."""
    return Bundle(
        fleet=cast("bytes", payload[2]),
        version=cast("int", payload[3]),
        date_unix_s=cast("int", payload[4]),
        roots=tuple(cast("list[bytes]", payload[5])),
        threshold=cast("int", payload[6]),
        operators=tuple(OperatorEntry(number, name) for number, name in cast("list[tuple[int, str]]", payload[7])),
        keys=tuple(_key(entry) for entry in cast("list[list[object]]", payload[8])),
    )


def faults(bundle: Bundle) -> Iterator[str]:
    """Everything that keeps a car from taking this bundle, whoever signed it; nothing if it is sound."""
    yield from (f"public key {raw.hex()} is not a proper Ed25519 public key" for raw in weak_keys(bundle))
    yield from _contradictions(bundle)


def makes_sense(bundle: Bundle) -> bool:
    """Whether it has no fault but weak keys, if it has any of those."""
    return not any(True for _ in _contradictions(bundle))


def weak_keys(bundle: Bundle) -> tuple[bytes, ...]:
    """Those of its raw keys that are no proper points of the curve (H25)."""
    every = (*bundle.roots, *(key.public_key for key in bundle.keys))
    return tuple(raw for raw in every if load_public_key(raw) is None)


def _contradictions(bundle: Bundle) -> Iterator[str]:
    if not 1 <= bundle.version <= NUMBER_MAX:
        yield f"version {bundle.version}: expected 1 to {NUMBER_MAX}"
    if bundle.date_unix_s > NUMBER_MAX:
        yield f"date {bundle.date_unix_s}: expected Unix seconds up to {NUMBER_MAX}"
    yield from _root_faults(bundle)
    numbers = [operator.number for operator in bundle.operators]
    if not 1 <= len(numbers) <= OPERATORS_MAX or not _ascends(numbers):
        yield f"operators {numbers}: expected 1 to {OPERATORS_MAX} numbers, ascending, none twice"
    for operator in bundle.operators:
        if not 1 <= operator.number <= OPERATOR_NUMBER_MAX:
            yield f"operator {operator.number}: expected a number from 1 to {OPERATOR_NUMBER_MAX}"
        if len(operator.name.encode()) > NAME_BYTES_MAX:
            yield f"operator {operator.number}: its name has more than {NAME_BYTES_MAX} bytes"
    if len(bundle.keys) > KEYS_MAX or not _ascends([key.kid for key in bundle.keys]):
        yield f"keys: expected at most {KEYS_MAX}, ascending by id, none twice"
    for key in bundle.keys:
        yield from (f"key {key.kid.hex()}: {fault}" for fault in _key_faults(key, bundle))
    commanders = Counter(key.operator for key in bundle.keys if key.role == Role.COMMAND)
    for number, count in commanders.items():
        if count > COMMAND_KEYS_MAX:
            yield f"operator {number}: {count} command keys, at most {COMMAND_KEYS_MAX}"


def _root_faults(bundle: Bundle) -> Iterator[str]:
    if not 1 <= len(bundle.roots) <= ROOTS_MAX or not _ascends(bundle.roots):
        yield f"roots: expected 1 to {ROOTS_MAX}, ascending, none twice"
    if len({key_id(root) for root in bundle.roots}) != len(bundle.roots):
        yield "roots: two have the same id"  # the signatures of one would hide those of the other
    if not 1 <= bundle.threshold <= len(bundle.roots):
        yield f"threshold {bundle.threshold}: expected 1 to the number of roots ({len(bundle.roots)})"


def _key_faults(key: KeyEntry, bundle: Bundle) -> Iterator[str]:
    if key.operator not in {operator.number for operator in bundle.operators}:
        yield f"is of operator {key.operator}, who is not in the bundle"
    if key.role not in frozenset(Role):
        yield f"has role {key.role}, expected one of {', '.join(map(str, map(int, Role)))}"
    if key.public_key in bundle.roots:
        yield "is a root too; a root signs nothing else"
    if not key.not_before_unix_s <= key.not_after_unix_s <= NUMBER_MAX:
        yield f"is valid from {key.not_before_unix_s} to {key.not_after_unix_s}, expected a span of Unix seconds"
    if _mask(key.actions) > MASK_MAX or _mask(key.transports) > MASK_MAX:
        yield "has a mask of more than 32 bits"


def _key(entry: list[object]) -> KeyEntry:
    _, operator, _, public_key, role, actions, transports, not_before, not_after, is_revoked = entry
    return KeyEntry(
        operator=cast("int", operator),
        public_key=cast("bytes", public_key),
        role=cast("int", role),
        actions=_bits(cast("int", actions)),
        transports=_bits(cast("int", transports)),
        not_before_unix_s=cast("int", not_before),
        not_after_unix_s=cast("int", not_after),
        is_revoked=cast("bool", is_revoked),
    )


def is_encoding_of(bundle: Bundle, payload: Mapping[int, object]) -> bool:
    """Whether the payload says nothing else than the bundle: ids are their keys', the algorithm is Ed25519."""
    return all(payload[number] == value for number, value in encode_bundle(bundle).items())


def _mask(numbers: frozenset[int]) -> int:
    return sum(1 << number for number in numbers)


def _bits(mask: int) -> frozenset[int]:
    return frozenset(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def _ascends(values: Sequence[Ordered]) -> bool:
    return list(values) == sorted(set(values))
