"""The bytes a fuzzer made up, taken from the front as numbers and strings; there is always something left."""

from __future__ import annotations


class Intake:
    """Reads `data` once from front to back. Beyond its end there are zeros, so that every input means something."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._position < len(self._data)

    def take(self, length: int) -> bytes:
        """The next `length` bytes, or what is left of them."""
        taken = self._data[self._position : self._position + length]
        self._position += length
        return taken

    def number(self, length: int = 1) -> int:
        """The next `length` bytes as a big-endian number."""
        return int.from_bytes(self.take(length).ljust(length, b"\0"), "big")

    def rest(self) -> bytes:
        return self.take(len(self._data))


def edited(base: bytes, edits: Intake, edits_max: int = 16) -> bytes:
    """`base` with pieces replaced: place (2 bytes, counted round), length of the old, length of the new, the new."""
    for _ in range(edits_max):
        if not edits:
            break
        place = edits.number(2) % (len(base) + 1)
        old, new = edits.number(), edits.number()
        base = base[:place] + edits.take(new) + base[place + old :]
    return base


def edit(place: int, old: int, new: bytes) -> bytes:
    """One replacement as `edited` reads it."""
    return place.to_bytes(2, "big") + bytes([old, len(new)]) + new
