"""The curve of Ed25519 written out (RFC 8032, section 5.1): slow, plain, and nothing of the program's."""

from __future__ import annotations

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


def order_of(point: Point) -> int:
    """The order of a point of small order: 1, 2, 4 or 8."""
    multiple, order = point, 1
    while multiple != (0, 1):
        multiple, order = add(multiple, point), order + 1
    return order
