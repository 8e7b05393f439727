"""What the frames of an unknown bus look like: per id its rhythm, bits that change, likely counters and checksums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from itertools import pairwise

from agent.errors import ConfigurationError
from agent.model.frame import Frame
from agent.model.quick_dataclass import dataclass
from agent.profile_tools.traffic import IDS_MAX, FrameId, Rhythm, id_of
from agent.profiles.checksums import ALGORITHMS

PAYLOADS_MAX = 600
"""Kept of one id, from its first frame on: twice the round of a counter of eight bits."""

DISTINCT_MIN = 8
"""Different payloads that a checksum must fit: eight bits fit eight of them by chance once in 2**64."""

FITTING_SHARE = 0.95
"""Of the payloads: some are damaged on the wire, or injected by a person who tries what the car says to it."""

STEPS_MIN = 8
ONE_STEP_SHARE, FEW_STEPS_SHARE = 0.8, 0.97
"""Of a counter's steps are 1, and are so few that no more than lost frames explain them. The next wider field of bits
that stay 0 steps wrong at each round, which is one step in 16 for a counter of four bits."""


@dataclass(frozen=True, slots=True)
class BitRange:
    """`length` bits of one byte from bit `shift` upwards."""

    byte: int
    shift: int
    length: int

    @property
    def mask(self) -> int:
        return (1 << self.length) - 1 << self.shift

    def __str__(self) -> str:
        if self.length == 8:
            return f"byte {self.byte}"
        last = self.shift + self.length - 1
        return f"byte {self.byte} bits {self.shift}-{last}" if self.length > 1 else f"byte {self.byte} bit {self.shift}"


@dataclass(frozen=True, slots=True)
class Findings:
    """Of one id. `changing` is a mask a byte, `constant` the bytes that never change with their value."""

    length_bytes: int
    changing: tuple[int, ...]
    constant: dict[int, int]
    counters: tuple[BitRange, ...]
    checksum: tuple[int, str] | None


@dataclass(slots=True)
class IdSeen:
    """Frames of one id as they come; bits are compared over all of them, the rest over the first few hundred."""

    rhythm: Rhythm = field(default_factory=Rhythm)
    is_fd: bool = False
    payloads: list[bytes] = field(default_factory=list)
    _first: bytes = b""
    _changed: int = 0

    def hear(self, frame: Frame) -> None:
        data = frame.data
        if not self.rhythm.frames:
            self._first = data
        self.rhythm.hear(len(data), frame.received_at_s)
        self.is_fd = self.is_fd or frame.is_fd
        common = min(len(data), len(self._first))
        self._changed |= int.from_bytes(data[:common], "little") ^ int.from_bytes(self._first[:common], "little")
        if len(self.payloads) < PAYLOADS_MAX:
            self.payloads.append(data)

    def findings(self) -> Findings:
        length = max(self.rhythm.lengths)
        whole = [payload for payload in self.payloads if len(payload) == length]
        masks = list(self._changed.to_bytes(length, "little"))
        for byte in range(min(self.rhythm.lengths), length):
            masks[byte] |= 0xFF  # not in every frame, so nobody knows that it stays
        checksum = _checksum(whole, masks)
        counters = [found for byte, mask in enumerate(masks) if (found := _counter(whole, byte, mask)) is not None]
        if checksum is not None:
            counters = [counter for counter in counters if counter.byte != checksum[0]]
        constant = {byte: self._first[byte] for byte, mask in enumerate(masks) if not mask}
        return Findings(length, tuple(masks), constant, tuple(counters), checksum)


class Draft:
    """Takes the frames of one or more buses."""

    def __init__(self) -> None:
        self.ids: dict[FrameId, IdSeen] = {}

    def hear(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            key = id_of(frame)
            if (seen := self.ids.get(key)) is None:
                if len(self.ids) >= IDS_MAX:
                    raise ConfigurationError(f"more than {IDS_MAX} ids; this is no recording of a car's bus")
                seen = self.ids[key] = IdSeen()
            seen.hear(frame)

    @property
    def buses(self) -> list[str]:
        return sorted({key.bus for key in self.ids})


def _counter(payloads: Sequence[bytes], byte: int, mask: int) -> BitRange | None:
    """The widest run of changing bits of a byte that counts; None if there is none of two bits or more."""
    values = [payload[byte] for payload in payloads if len(payload) > byte]
    if len(values) <= STEPS_MIN:
        return None
    for length in range(8, 1, -1):
        for shift in range(9 - length):
            field_bits = BitRange(byte, shift, length)
            if mask & field_bits.mask == field_bits.mask and _counts([each >> shift for each in values], length):
                return field_bits
    return None


def _counts(values: Sequence[int], length: int) -> bool:
    modulus_mask = (1 << length) - 1
    steps = [later - earlier & modulus_mask for earlier, later in pairwise(values)]
    few_max = max(1, min(3, (1 << length) // 4))
    ones = sum(step == 1 for step in steps)
    few = sum(1 <= step <= few_max for step in steps)
    return ones >= ONE_STEP_SHARE * len(steps) and few >= FEW_STEPS_SHARE * len(steps)


def _checksum(payloads: Sequence[bytes], masks: Sequence[int]) -> tuple[int, str] | None:
    """The byte and the first algorithm that fit nearly every payload."""
    distinct = list(dict.fromkeys(payloads))
    if len(distinct) < DISTINCT_MIN:
        return None
    # An exclusive or fits at every byte alike, so the usual places are asked first: the last byte, then the first.
    last = len(masks) - 1
    places = sorted(range(len(masks)), key=lambda byte: (byte != last, byte))
    for byte in places:
        # What changes in few values is a state; a checksum takes as many as there are payloads, or nearly.
        if not masks[byte] or len({payload[byte] for payload in distinct}) < DISTINCT_MIN / 2:
            continue
        for name, algorithm in ALGORITHMS.items():
            if algorithm.length != 8:
                continue
            fitting = sum(payload[byte] == algorithm.over(payload[:byte] + payload[byte + 1 :]) for payload in distinct)
            if fitting >= max(DISTINCT_MIN, FITTING_SHARE * len(distinct)):
                return byte, name
    return None
