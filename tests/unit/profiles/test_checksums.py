"""Checksums against published check values, against another way of computing them, and what they cover."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.model.frame import BitField
from agent.profiles.checksums import ALGORITHMS, PayloadChecksum, crc

# The check value of a CRC is its value over these nine characters; those of J1850 and 8H2F are in AUTOSAR's
# Specification of CRC Routines. 0x85 has no published one and is held against the division below.
CHECK = b"123456789"


def by_division(polynomial: int, initial: int, final: int) -> Callable[[bytes], int]:
    """A CRC as it is defined: the remainder of a division, bit by bit."""

    def over(covered: bytes) -> int:
        remainder = initial
        for byte in covered:
            for place in range(7, -1, -1):
                is_odd = (remainder >> 7 ^ byte >> place) & 1
                remainder = (remainder << 1 & 0xFF) ^ (polynomial if is_odd else 0)
        return remainder ^ final

    return over


DIVISIONS = {
    "crc8_sae_j1850": by_division(0x1D, 0xFF, 0xFF),
    "crc8_8h2f": by_division(0x2F, 0xFF, 0xFF),
    "crc8_0x85": by_division(0x85, 0x00, 0x00),
}


@pytest.mark.parametrize(
    ("name", "check"),
    [("crc8_sae_j1850", 0x4B), ("crc8_8h2f", 0xDF), ("xor8", 0x31), ("sum8", 0xDD)],
)
def test_published_check_value(name: str, check: int) -> None:
    assert ALGORITHMS[name].over(CHECK) == check


# Of each width one plain and one reflected, from the published catalogues of CRC parameters.
@pytest.mark.parametrize(
    ("bits", "polynomial", "initial", "final", "is_reflected", "check"),
    [
        (8, 0x07, 0x00, 0x00, False, 0xF4),
        (8, 0x31, 0x00, 0x00, True, 0xA1),
        (16, 0x1021, 0xFFFF, 0x0000, False, 0x29B1),
        (16, 0x8005, 0xFFFF, 0x0000, True, 0x4B37),
        (32, 0x04C11DB7, 0xFFFFFFFF, 0xFFFFFFFF, False, 0xFC891918),
        (32, 0x04C11DB7, 0xFFFFFFFF, 0xFFFFFFFF, True, 0xCBF43926),
    ],
)
def test_a_crc_by_its_parameters_has_the_published_check_value(
    bits: int, polynomial: int, initial: int, final: int, is_reflected: bool, check: int
) -> None:
    assert crc("any", bits, polynomial, initial, final, is_reflected=is_reflected).over(CHECK) == check


def test_bytes_listed_are_taken_in_their_order_and_its_own_bits_count_as_nought() -> None:
    own = field(16, 4)
    checksum = PayloadChecksum(ALGORITHMS["sum8"], own, (3, 0, 2))
    assert checksum(bytes([1, 99, 0xF7, 4])) == 4 + 1 + 0xF0
    order = PayloadChecksum(ALGORITHMS["crc8_0x85"], field(24, 8), (1, 0))
    assert order(bytes([1, 2, 9, 9])) == DIVISIONS["crc8_0x85"](bytes([2, 1]))


@pytest.mark.parametrize("name", sorted(DIVISIONS))
def test_a_crc_equals_the_division_it_stands_for(name: str) -> None:
    for covered in (b"", CHECK, *(bytes([byte]) for byte in range(256)), bytes(range(0, 256, 3))):
        assert ALGORITHMS[name].over(covered) == DIVISIONS[name](covered)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_every_algorithm_sees_a_single_flipped_bit(name: str) -> None:
    sound = bytes(range(7))
    for bit in range(56):
        corrupt = (int.from_bytes(sound, "big") ^ 1 << bit).to_bytes(7, "big")
        assert ALGORITHMS[name].over(corrupt) != ALGORITHMS[name].over(sound)


def field(shift: int, length: int, *, is_little_endian: bool = True) -> BitField:
    return BitField(shift, length, is_little_endian, size_bytes=4)


@pytest.mark.parametrize(
    ("where", "covered"),
    [
        (field(0, 8), "223344"),
        (field(24, 8), "112233"),
        (field(0, 8, is_little_endian=False), "112233"),
        (field(16, 8, is_little_endian=False), "113344"),
    ],
)
def test_a_checksum_in_a_byte_of_its_own_covers_all_other_bytes_in_order(where: BitField, covered: str) -> None:
    checksum = PayloadChecksum(ALGORITHMS["crc8_8h2f"], where)
    assert checksum(bytes.fromhex("11223344")) == DIVISIONS["crc8_8h2f"](bytes.fromhex(covered))


def test_any_other_checksum_covers_the_payload_with_its_own_bits_zero() -> None:
    checksum = PayloadChecksum(ALGORITHMS["crc8_8h2f"], field(4, 8))
    assert checksum(bytes.fromhex("FFFF0102")) == DIVISIONS["crc8_8h2f"](bytes.fromhex("0FF00102"))


def test_what_the_checksum_bits_hold_does_not_matter() -> None:
    for where in (field(0, 8), field(4, 8), field(8, 8, is_little_endian=False)):
        checksum = PayloadChecksum(ALGORITHMS["crc8_sae_j1850"], where)
        payload = bytes.fromhex("A1B2C3D4")
        assert {checksum(where.insert(payload, raw)) for raw in range(256)} == {checksum(payload)}
