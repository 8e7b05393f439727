"""Message plans as JSON and back: every value with the type it had, or an error; nothing but these shapes can be read.

A plan is written as the list of its fields, a mapping as pairs, a set in order. What is read is built from the types of
`schema` alone, so that a file can bring forth nothing but plans; a checksum is found by its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from agent.model.frame import BitField
from agent.model.recipe import ChecksumField
from agent.profiles.checksums import ALGORITHMS, CRC_BITS, Algorithm, PayloadChecksum, crc
from agent.profiles.schema import MessagePlan

Codec = tuple[Callable[[Any], object], Callable[[Any], Any]]
"""How a value of one type becomes JSON, and how it is made of JSON again; both raise ValueError for anything else."""


def as_json(messages: Sequence[MessagePlan]) -> object:
    """What `json.dumps` is to write; ValueError if a plan holds what could not be read again."""
    return _codec(tuple[MessagePlan, ...])[0](tuple(messages))


def from_json(document: object) -> tuple[MessagePlan, ...]:
    """The plans of which `as_json` made this; ValueError if it made nothing of the kind."""
    plans: tuple[MessagePlan, ...] = _codec(tuple[MessagePlan, ...])[1](document)
    return plans


@cache
def _codec(kind: Any) -> Codec:
    origin, members = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return _union(members)
    if origin is tuple:
        return _sequence(tuple, _codec(members[0]))
    if origin is frozenset:
        return _sequence(frozenset, _codec(members[0]))
    if origin is Mapping:
        return _mapping(_codec(members[0]), _codec(members[1]))
    if kind is ChecksumField:
        return _checksum()
    if is_dataclass(kind):
        return _plan(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return (lambda value: _exactly(kind, value).value), kind
    return (lambda value: _exactly(kind, value)), (lambda given: _exactly(kind, given))


def _exactly(kind: type, value: Any) -> Any:
    """No bool for an int, which would be told differently; a whole number for a float stays one (the limits of uint64
    are no floats)."""
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{value!r:.60} is no {kind.__name__}")
    return value


def _union(members: tuple[Any, ...]) -> Codec:
    """Of scalars, or of one type with None: what there is of both in the plans."""
    further = [member for member in members if member is not NoneType]
    if len(further) == 1:
        write, read = _codec(further[0])
        return (
            lambda value: None if value is None else write(value),
            lambda given: None if given is None else read(given),
        )

    def scalar(value: Any) -> Any:
        if type(value) not in members:
            raise ValueError(f"{value!r:.60} is no scalar")
        return value

    return scalar, scalar


def _sequence(collection: Callable[[Any], Any], item: Codec) -> Codec:
    def write(values: Any) -> object:
        return [item[0](value) for value in (sorted(values) if collection is frozenset else values)]

    def read(given: Any) -> Any:
        values = [item[1](one) for one in _exactly(list, given)]
        if collection is frozenset and len(set(values)) != len(values):
            raise ValueError("a value stands twice in a set")
        return collection(values)

    return write, read


def _mapping(key: Codec, value: Codec) -> Codec:
    def write(mapping: Any) -> object:
        return [[key[0](one), value[0](other)] for one, other in mapping.items()]

    def read(given: Any) -> Any:
        pairs = [_exactly(list, pair) for pair in _exactly(list, given)]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("no pair")
        mapping = {key[1](one): value[1](other) for one, other in pairs}
        if len(mapping) != len(pairs):
            raise ValueError("a key stands twice")
        return mapping

    return write, read


def _plan(kind: Any) -> Codec:
    hints = get_type_hints(kind)
    parts = [(field.name, _codec(hints[field.name])) for field in fields(kind)]

    def write(plan: Any) -> object:
        return [codec[0](getattr(plan, name)) for name, codec in parts]

    def read(given: Any) -> Any:
        if len(_exactly(list, given)) != len(parts):
            raise ValueError(f"{len(given)} fields of a {kind.__name__}")
        return kind(*(codec[1](one) for (_, codec), one in zip(parts, given, strict=True)))

    return write, read


def _checksum() -> Codec:
    """By its name, or the parameters of a CRC that has none: what computes it is the program's, never a file's."""
    write_field, read_field = _codec(BitField)
    write_covered, read_covered = _codec(tuple[int, ...] | None)

    def write(checksum: Any) -> object:
        computed = _exactly(PayloadChecksum, checksum.compute)
        place, covered = write_field(checksum.field), write_covered(computed.covered)
        if ALGORITHMS.get(checksum.algorithm) is computed.algorithm:
            return [checksum.algorithm, place, covered]
        if computed.algorithm.parameters is None or computed.algorithm.name != checksum.algorithm:
            raise ValueError("a checksum that neither a name nor parameters tell")
        return [[checksum.algorithm, *computed.algorithm.parameters], place, covered]

    def read(given: Any) -> Any:
        name, field, covered = _exactly(list, given)
        algorithm = _crc(name) if type(name) is list else ALGORITHMS.get(_exactly(str, name))
        if algorithm is None:
            raise ValueError(f"unknown checksum {name!r:.60}")
        place = read_field(field)
        return ChecksumField(algorithm.name, place, PayloadChecksum(algorithm, place, read_covered(covered)))

    return write, read


def _crc(given: list[Any]) -> Algorithm:
    name, *numbers, is_reflected = given
    bits, polynomial, initial, final = (_exactly(int, number) for number in numbers)
    if bits not in CRC_BITS or not all(0 <= number < 1 << bits for number in (polynomial, initial, final)):
        raise ValueError(f"no CRC has the parameters {given!r:.60}")
    return crc(_exactly(str, name), bits, polynomial, initial, final, is_reflected=_exactly(bool, is_reflected))


def text_of(document: object) -> str:
    """The one way a document is written; ValueError for a number that is none."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
