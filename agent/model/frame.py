"""CAN frames, bit fields in them, and the list of what may be sent."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from agent.model.quick_dataclass import dataclass


class Frame(NamedTuple):
    """One CAN frame, a tuple for its price.

    `bus` is the profile's name of the bus, `received_at_s` boot time (0 for a frame to be sent).
    """

    bus: str
    arbitration_id: int
    data: bytes
    received_at_s: float = 0.0
    is_extended_id: bool = False
    is_fd: bool = False


@dataclass(frozen=True, slots=True)
class SendRule:
    """A frame that may be sent: this bus, id and length, and `data & mask == value & mask`.

    Bits outside the mask are those the agent itself computes (rolling counter, checksum).
    """

    bus: str
    arbitration_id: int
    is_extended_id: bool
    is_fd: bool
    value: bytes
    mask: bytes


@dataclass(frozen=True, slots=True)
class BitField:
    """Where a raw value lies in a payload of `size_bytes`, in DBC's terms reduced to a shift.

    The payload is read as one integer, little endian for Intel and big endian for Motorola; the value is
    `length` bits wide and starts `shift` bits above the lowest bit of that integer.
    """

    shift: int
    length: int
    is_little_endian: bool
    size_bytes: int
    is_signed: bool = False
    is_float: bool = False

    def extract(self, data: bytes) -> int:
        """Raw value as an integer (two's complement applied if signed; a float's bits stay bits)."""
        order = "little" if self.is_little_endian else "big"
        raw = int.from_bytes(data[: self.size_bytes], order) >> self.shift & (1 << self.length) - 1  # type: ignore[arg-type]
        if self.is_signed and raw >> self.length - 1:
            raw -= 1 << self.length
        return raw

    @property
    def mask(self) -> int:
        """The field's bits in the payload read as a little-endian integer."""
        return int.from_bytes(self.insert(bytes(self.size_bytes), (1 << self.length) - 1), "little")

    def insert(self, data: bytes, raw: int) -> bytes:
        """Payload (at least `size_bytes` long) with the field set to `raw`, reduced to the field's width."""
        order = "little" if self.is_little_endian else "big"
        mask = (1 << self.length) - 1 << self.shift
        whole = int.from_bytes(data[: self.size_bytes], order)  # type: ignore[arg-type]
        changed = whole & ~mask | raw << self.shift & mask
        return changed.to_bytes(self.size_bytes, order) + data[self.size_bytes :]  # type: ignore[arg-type]


class BusState(StrEnum):
    """What an interface says of itself; silence is not among them, it is found from the frames."""

    UP = "up"
    ERROR_PASSIVE = "error_passive"
    BUS_OFF = "bus_off"
    DOWN = "down"
    GONE = "gone"
