"""H25: which 32 bytes may become a key. The oracle is the group law itself, written out."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.keys import load_public_key
from tests.support.envelopes import COMMAND_KEY

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """Edwards addition, affine (RFC 8032, section 5.1.4 before projective coordinates)."""
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def x_of(y: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for x in (root, root * ROOT_OF_MINUS_1 % P):
        if x * x % P == square:
            return x
    return None


def times_prime_order(point: Point) -> Point:
    order = 2**252 + 27742317777372353535851937790883648493
    result: Point = (0, 1)
    while order:
        if order & 1:
            result = add(result, point)
        point = add(point, point)
        order >>= 1
    return result


def encodings(point: Point) -> list[bytes]:
    """The point's bytes, and those of the same y with the other sign and, where they fit, of y + p."""
    x, y = point
    found = [(y | sign << 255).to_bytes(32, "little") for sign in (x & 1, 1 - (x & 1))]
    if y + P < 2**255:
        found += [(y + P | sign << 255).to_bytes(32, "little") for sign in (0, 1)]
    return found


def small_order_points() -> set[Point]:
    """All eight: what is left of a point once its large-order part is cancelled."""
    found: set[Point] = set()
    y = 2
    while len(found) < 8:
        if (x := x_of(y)) is not None:
            point = times_prime_order((x, y))
            multiple: Point = (0, 1)
            for _ in range(8):
                found.add(multiple)
                multiple = add(multiple, point)
        y += 1
    return found


def test_ordinary_keys_are_loaded() -> None:
    for number in range(64):
        key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key()
        loaded = load_public_key(key.public_bytes_raw())
        assert loaded is not None and loaded.public_bytes_raw() == key.public_bytes_raw()


def test_all_points_of_small_order_are_refused_in_every_spelling() -> None:
    points = small_order_points()
    assert len(points) == 8
    spellings = {raw for point in points for raw in encodings(point)}
    assert len(spellings) == 14  # the list of 14 that other implementations carry
    assert [raw.hex() for raw in spellings if load_public_key(raw) is not None] == []


@pytest.mark.parametrize("y", [P, P + 1, P + 3, P + 18, 2**255 - 1])
def test_y_not_below_the_prime_is_refused(y: int) -> None:
    for sign in (0, 1):
        assert load_public_key((y | sign << 255).to_bytes(32, "little")) is None


def test_y_that_no_point_has_is_refused() -> None:
    """About half of all y; the refused are exactly those without an x."""
    for y in range(2, 100):
        is_loaded = load_public_key(y.to_bytes(32, "little")) is not None
        assert is_loaded == (x_of(y) is not None), y


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_other_length_is_refused(length: int) -> None:
    raw = COMMAND_KEY.public_key().public_bytes_raw() * 2
    assert load_public_key(raw[:length]) is None
