"""The header scan: what may be decoded at all, and within which limits."""

from __future__ import annotations

import cbor2
import pytest

from agent.command.scan import Limits, decode_strict, encode_canonical, is_well_formed

ROOMY = Limits(items_max=64, depth_max=4)


@pytest.mark.parametrize(
    "item",
    [
        0,
        23,
        24,
        255,
        256,
        65_535,
        65_536,
        2**32,
        2**63 - 1,
        -1,
        -24,
        -25,
        -(2**63),
        b"",
        b"\xff" * 300,
        "",
        "ä",
        [],
        {},
    ],
)
def test_plain_item_is_decoded(item: object) -> None:
    assert decode_strict(encode_canonical(item), ROOMY) == item


@pytest.mark.parametrize("item", [True, False, [None, {1: [True], 24: b"x"}]])
def test_constants_and_containers_are_decoded(item: object) -> None:
    decoded = decode_strict(encode_canonical(item), ROOMY)
    assert decoded == item and type(decoded) is type(item)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "nothing"),
        ("18", "argument cut off"),
        ("1900", "argument cut off in the middle"),
        ("1817", "23 needs no extra byte"),
        ("1900ff", "255 fits in one byte"),
        ("1a0000ffff", "65,535 fits in two bytes"),
        ("1b00000000ffffffff", "2^32 - 1 fits in four bytes"),
        ("1b8000000000000000", "2^63 is beyond signed 64 bit"),
        ("3b8000000000000000", "-2^63 - 1 likewise"),
        ("1c", "reserved length"),
        ("1f", "an integer cannot be indefinite"),
        ("5f4100ff", "indefinite byte string"),
        ("7f6161ff", "indefinite text"),
        ("9f00ff", "indefinite array"),
        ("bf0000ff", "indefinite map"),
        ("42ff", "string longer than the input"),
        ("8200", "array with an item missing"),
        ("a100", "map with a value missing"),
        ("c000", "tag"),
        ("c100", "tag whose number is that of the items after it"),
        ("18ff00", "an integer, and another"),
        ("19ff", "argument cut off that would do in one byte"),
        ("5820", "string all of which is missing"),
        ("81", "array all of which is missing"),
        ("f7", "undefined"),
        ("f0", "unassigned simple value"),
        ("f818", "simple value in a byte"),
        ("f90000", "half float"),
        ("fa00000000", "float"),
        ("fb0000000000000000", "double"),
        ("ff", "break without a beginning"),
        ("0000", "a second item"),
        ("a12000", "negative key"),
        ("a1f500", "boolean key"),
        ("a1414100", "byte string key"),
        ("a1616100", "text key"),
        ("a18000", "array key"),
        ("a201000000ff", "second key out of place"),
        ("a20100f600", "null as second key"),
    ],
)
def test_anything_else_is_refused(raw: str, why: str) -> None:
    assert not is_well_formed(bytes.fromhex(raw), ROOMY), why


def test_nested_map_key_is_told_from_nested_map_value() -> None:
    assert is_well_formed(bytes.fromhex("a101a102f5"), ROOMY)
    assert not is_well_formed(bytes.fromhex("a101a1f502"), ROOMY)
    assert not is_well_formed(bytes.fromhex("a201a1022002f5f5"), ROOMY)


def test_items_are_counted_up_to_the_limit() -> None:
    limits = Limits(items_max=5, depth_max=4)
    assert is_well_formed(encode_canonical([0, 0, 0, 0]), limits)
    assert not is_well_formed(encode_canonical([0, 0, 0, 0, 0]), limits)
    assert is_well_formed(encode_canonical({1: 0, 2: 0}), limits)
    assert not is_well_formed(encode_canonical({1: 0, 2: 0, 3: 0}), limits)


def test_depth_is_counted_up_to_the_limit_empty_containers_too() -> None:
    assert is_well_formed(encode_canonical([[[[]]]]), ROOMY)
    assert not is_well_formed(encode_canonical([[[[[]]]]]), ROOMY)
    assert not is_well_formed(encode_canonical([[[[{}]]]]), ROOMY)
    assert is_well_formed(encode_canonical([[[[]]], [[[]]]]), ROOMY), "depth is of nesting, not a sum"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("61ff", "invalid UTF-8"),
        ("a202000100", "map keys descending"),
        ("a201000100", "map key twice"),
        ("f6", "a bare null is the answer for 'refused'"),
    ],
)
def test_well_formed_but_not_canonical_is_refused(raw: str, why: str) -> None:
    assert is_well_formed(bytes.fromhex(raw), ROOMY)
    assert decode_strict(bytes.fromhex(raw), ROOMY) is None, why


def test_hostile_tags_never_reach_the_decoder() -> None:
    """H141: `cbor2` alone would spend seconds on these 13 bytes."""
    assert not is_well_formed(bytes.fromhex("d81e816a31653939393939393939"), ROOMY)
    tags = [cbor2.dumps(cbor2.CBORTag(number, [b"\x01", 1])) for number in (2, 4, 18, 28, 30, 35, 258)]
    assert [is_well_formed(raw, ROOMY) for raw in tags] == [False] * len(tags)
