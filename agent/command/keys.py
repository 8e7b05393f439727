"""Public keys from outside: only proper points of the curve become keys."""

from __future__ import annotations

from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_PRIME = 2**255 - 19
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME

# The y of the points of order 1, 2, 4 and 8; each but the first two belongs to two points, told apart by the sign bit.
_SMALL_ORDER_Y = frozenset(
    {
        1,
        _PRIME - 1,
        0,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)


@lru_cache(maxsize=128)
def load_public_key(raw: bytes) -> Ed25519PublicKey | None:
    """The Ed25519 key in `raw`, or None if it is not 32 bytes that name a point a key can be (H25).

    Refused are the eight points of small order, under which one signature can fit many messages; a y that is not
    below the prime, a second spelling of another key; and a y that no point of the curve has.
    """
    if len(raw) != 32:
        return None
    y = int.from_bytes(raw, "little") & (1 << 255) - 1
    if y >= _PRIME or y in _SMALL_ORDER_Y or not _is_on_curve(y):
        return None
    return Ed25519PublicKey.from_public_bytes(raw)


def _is_on_curve(y: int) -> bool:
    """Whether x² = (y² - 1) / (d·y² + 1) has a root (Euler's criterion)."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _PRIME)
    return pow(square, (_PRIME - 1) // 2, _PRIME) == 1
