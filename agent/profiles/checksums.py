"""Checksum algorithms by name or by the parameters of a CRC: a profile says which, code never guesses one.

Coverage, unless the profile lists the bytes: a checksum that fills one byte of its own covers all other bytes of the
payload in their order; any other one covers the whole payload with the checksum's own bits set to zero.  That is the
rule of the published protections behind the names below; one that mixes in a secret or a data id (AUTOSAR E2E with data
id, SecOC) is not among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import reduce
from operator import xor
from typing import NamedTuple

from agent.model.frame import BitField
from agent.model.quick_dataclass import dataclass


class CrcParameters(NamedTuple):
    """As `crc` takes them."""

    bits: int
    polynomial: int
    initial: int
    final: int
    is_reflected: bool


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A checksum of `length` bits over bytes; of a CRC its parameters, by which alone it can be made again."""

    name: str
    length: int
    over: Callable[[bytes], int] = field(compare=False)
    parameters: CrcParameters | None = None


@dataclass(frozen=True, slots=True)
class PayloadChecksum:
    """An algorithm with its coverage: called with a whole payload it returns the raw value that `field` must hold.

    `covered` are the bytes it is computed over, in this order; None for the rule above.
    """

    algorithm: Algorithm
    field: BitField
    covered: tuple[int, ...] | None = None

    def __call__(self, payload: bytes) -> int:
        if self.covered is not None:
            blank = self.field.insert(payload, 0)
            return self.algorithm.over(bytes(blank[index] for index in self.covered))
        if (index := _own_byte(self.field)) is not None:
            return self.algorithm.over(payload[:index] + payload[index + 1 :])
        return self.algorithm.over(self.field.insert(payload, 0))


def _own_byte(field: BitField) -> int | None:
    if field.length != 8 or field.shift % 8:
        return None
    index = field.shift // 8
    return index if field.is_little_endian else field.size_bytes - 1 - index


CRC_BITS = (8, 16, 32)


def crc(name: str, bits: int, polynomial: int, initial: int, final: int, *, is_reflected: bool = False) -> Algorithm:
    """A CRC of 8, 16 or 32 bits by the usual parameters: the polynomial without its highest term, the register at the
    start, what the register is combined with at the end, and whether bytes and result are taken lowest bit first."""
    top, ones = 1 << bits - 1, (1 << bits) - 1
    table = []
    for byte in range(256):
        register = byte << bits - 8
        for _ in range(8):
            register = (register << 1 ^ polynomial if register & top else register << 1) & ones
        table.append(register)

    def over(covered: bytes) -> int:
        register = initial
        for byte in covered:
            taken = _reversed(byte, 8) if is_reflected else byte
            register = table[register >> bits - 8 ^ taken] ^ register << 8 & ones
        return (_reversed(register, bits) if is_reflected else register) ^ final

    return Algorithm(name, bits, over, CrcParameters(bits, polynomial, initial, final, is_reflected))


def _reversed(value: int, bits: int) -> int:
    return int(f"{value:0{bits}b}"[::-1], 2)


def _xor8(covered: bytes) -> int:
    return reduce(xor, covered, 0)


def _sum8(covered: bytes) -> int:
    return sum(covered) & 0xFF


ALGORITHMS: Mapping[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        # The first two as in AUTOSAR's Specification of CRC Routines; the third is one maker's own.
        crc("crc8_sae_j1850", 8, 0x1D, 0xFF, 0xFF),
        crc("crc8_8h2f", 8, 0x2F, 0xFF, 0xFF),
        crc("crc8_0x85", 8, 0x85, 0x00, 0x00),
        Algorithm("xor8", 8, _xor8),
        Algorithm("sum8", 8, _sum8),
    )
}
