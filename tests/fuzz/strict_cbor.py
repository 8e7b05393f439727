"""A second reader of the protocol's CBOR, written from the document alone: the oracle of the scan.

`agent/PROTOCOL.md`, "Encoding": shortest forms, definite lengths, plain kinds only, map keys unsigned and ascending.
It recurses and copies, which the agent's scan must not.
"""

from __future__ import annotations

from agent.command.scan import Limits


class NotPlainError(ValueError):
    """The bytes are not the one encoding of one plain item."""


def read_plain(raw: bytes, limits: Limits) -> object:
    """The item in `raw`; NotPlainError if it is not the canonical encoding of exactly one item within the limits."""
    reader = _Reader(raw, limits)
    item = reader.item(0)
    if reader.position != len(raw):
        raise NotPlainError("more than one item")
    return item


class _Reader:
    def __init__(self, raw: bytes, limits: Limits) -> None:
        self.position = 0
        self._raw = raw
        self._limits = limits
        self._items = 0

    def item(self, depth: int) -> object:
        self._items += 1
        if self._items > self._limits.items_max:
            raise NotPlainError("too many items")
        (initial,) = self._bytes(1)
        match initial >> 5:
            case 0:
                return self._integer(initial)
            case 1:
                return -1 - self._integer(initial)
            case 2:
                return self._bytes(self._argument(initial))
            case 3:
                return self._text(initial)
            case 4:
                self._go_below(depth)
                return [self.item(depth + 1) for _ in range(self._argument(initial))]
            case 5:
                self._go_below(depth)
                return self._map(self._argument(initial), depth + 1)
        if initial not in (0xF4, 0xF5, 0xF6):
            raise NotPlainError("a tag, a float or a simple value")
        return {0xF4: False, 0xF5: True, 0xF6: None}[initial]

    def _map(self, length: int, depth: int) -> dict[int, object]:
        found: dict[int, object] = {}
        last = -1
        for _ in range(length):
            key = self.item(depth)
            if type(key) is not int or key <= last:
                raise NotPlainError("a key out of order, or none that a map may have")
            found[key] = self.item(depth)
            last = key
        return found

    def _go_below(self, depth: int) -> None:
        if depth >= self._limits.depth_max:
            raise NotPlainError("too deep")

    def _integer(self, initial: int) -> int:
        number = self._argument(initial)
        if number >= 1 << 63:
            raise NotPlainError("beyond 64 bits with a sign")
        return number

    def _text(self, initial: int) -> str:
        try:
            return self._bytes(self._argument(initial)).decode()
        except UnicodeDecodeError:
            raise NotPlainError("text that is no UTF-8") from None

    def _argument(self, initial: int) -> int:
        short = initial & 31
        if short < 24:
            return short
        if short > 27:
            raise NotPlainError("an indefinite or reserved length")
        number = int.from_bytes(self._bytes(1 << short - 24), "big")
        if number < (24, 1 << 8, 1 << 16, 1 << 32)[short - 24]:
            raise NotPlainError("not the shortest form")
        return number

    def _bytes(self, length: int) -> bytes:
        taken = self._raw[self.position : self.position + length]
        if len(taken) < length:
            raise NotPlainError("cut off")
        self.position += length
        return taken
