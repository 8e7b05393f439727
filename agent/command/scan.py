"""Strict CBOR: one linear pass over the item headers decides whether a decoder may see the bytes at all.

A general decoder is not safe with a stranger's bytes: tag 30 with a huge exponent keeps `cbor2` busy for seconds in
13 bytes, nested shared references in 212 (hazards H141, H142), and re-encoding alone lets tags and floats through.
"""

from __future__ import annotations

import cbor2

from agent.model.quick_dataclass import dataclass

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_FALSE_TRUE_NULL = frozenset({0xF4, 0xF5, 0xF6})
_INTEGER_MAX = 2**63 - 1
_WIDTH_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
_NEEDS_WIDTH_FROM = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}
"""The least argument that may be written in so many bytes: anything smaller has a shorter form."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`items_max` counts every header, `depth_max` the arrays and maps inside one another, empty ones too."""

    items_max: int
    depth_max: int


def is_well_formed(raw: bytes, limits: Limits) -> bool:
    """Whether `raw` is exactly one item of the plain kinds, in shortest form, within `limits`.

    Allowed: integers of signed 64 bit, byte and text strings, arrays, maps with unsigned keys, false, true, null.
    Time is linear in the input and memory bounded by the depth: a claimed length reserves nothing (H11), nesting
    does not recurse (H12).  A length beyond the input takes `position` there, where nothing is read and nothing
    accepted.  Text is not checked for UTF-8, nor map keys for order: `decode_strict` finds both.
    """
    position = items = 0
    open_counts: list[int] = []  # items still owed to each open container, innermost last
    open_maps: list[bool] = []
    while position < len(raw):
        initial = raw[position]
        position += 1
        items += 1
        major = initial >> 5
        if items > limits.items_max or major == _TAG:
            return False
        if open_maps and open_maps[-1] and open_counts[-1] % 2 == 0 and major != _UNSIGNED:
            return False  # this item is a map key
        children = 0
        if major == _SIMPLE:
            if initial not in _FALSE_TRUE_NULL:
                return False
        else:
            argument, position = _argument(raw, initial & 0x1F, position)
            if argument is None or (major in (_UNSIGNED, _NEGATIVE) and argument > _INTEGER_MAX):
                return False
            if major in (_BYTES, _TEXT):
                position += argument
            elif major in (_ARRAY, _MAP):
                if len(open_counts) >= limits.depth_max:
                    return False
                children = argument * 2 if major == _MAP else argument
        if children:
            open_counts.append(children)
            open_maps.append(major == _MAP)
            continue
        while open_counts:
            open_counts[-1] -= 1
            if open_counts[-1]:
                break
            open_counts.pop()
            open_maps.pop()
        if not open_counts:
            return position == len(raw)
    return False


def _argument(raw: bytes, short: int, position: int) -> tuple[int | None, int]:
    """Argument of a header with low five bits `short`, and where it ends; None if reserved or not in shortest form."""
    if short < 24:
        return short, position
    width = _WIDTH_BYTES.get(short)  # 28 to 30 are reserved, 31 is "indefinite"
    if width is None:
        return None, position
    argument = int.from_bytes(raw[position : position + width], "big")
    return (argument if argument >= _NEEDS_WIDTH_FROM[short] else None), position + width


def decode_strict(raw: bytes, limits: Limits) -> object | None:
    """The one item in `raw`, or None if it is anything but its own canonical encoding (a bare null is refused too)."""
    if not is_well_formed(raw, limits):
        return None
    try:
        item: object = cbor2.loads(raw)
        is_canonical = encode_canonical(item) == raw
    except Exception:  # noqa: BLE001 - a stranger's bytes in a library: whatever goes wrong is the sender's fault, and a drop
        return None
    return item if is_canonical else None


def encode_canonical(item: object) -> bytes:
    """Deterministic CBOR: shortest forms, definite lengths, map keys ascending."""
    return cbor2.dumps(item, canonical=True)
