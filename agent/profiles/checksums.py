"""Checksum algorithms by name: a profile names one, code never guesses one.

Coverage: a checksum that fills one byte of its own covers all other bytes of the payload in their order; any other
one covers the whole payload with the checksum's own bits set to zero.  That is the rule of the published protections
behind the names below; one that mixes in a secret or a data id (AUTOSAR E2E with data id, SecOC) is not among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor

from agent.model.frame import BitField


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A checksum of `length` bits over bytes."""

    name: str
    length: int
    over: Callable[[bytes], int]


@dataclass(frozen=True, slots=True)
class PayloadChecksum:
    """An algorithm with its coverage: called with a whole payload it returns the raw value that `field` must hold."""

    algorithm: Algorithm
    field: BitField

    def __call__(self, payload: bytes) -> int:
        if (index := _own_byte(self.field)) is not None:
            return self.algorithm.over(payload[:index] + payload[index + 1 :])
        return self.algorithm.over(self.field.insert(payload, 0))


def _own_byte(field: BitField) -> int | None:
    if field.length != 8 or field.shift % 8:
        return None
    index = field.shift // 8
    return index if field.is_little_endian else field.size_bytes - 1 - index


def _crc8(polynomial: int, initial: int, final: int) -> Callable[[bytes], int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte << 1 ^ polynomial if byte & 0x80 else byte << 1  # noqa: PLW2901 (the register is the byte)
            byte &= 0xFF  # noqa: PLW2901
        table.append(byte)

    def over(covered: bytes) -> int:
        register = initial
        for byte in covered:
            register = table[register ^ byte]
        return register ^ final

    return over


def _xor8(covered: bytes) -> int:
    return reduce(xor, covered, 0)


def _sum8(covered: bytes) -> int:
    return sum(covered) & 0xFF


ALGORITHMS: Mapping[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        # The first two as in AUTOSAR's Specification of CRC Routines; the third is one maker's own.
        Algorithm("crc8_sae_j1850", 8, _crc8(0x1D, 0xFF, 0xFF)),
        Algorithm("crc8_8h2f", 8, _crc8(0x2F, 0xFF, 0xFF)),
        Algorithm("crc8_0x85", 8, _crc8(0x85, 0x00, 0x00)),
        Algorithm("xor8", 8, _xor8),
        Algorithm("sum8", 8, _sum8),
    )
}
