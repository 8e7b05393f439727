"""A recording in which each signal of a car goes through a series of raw values, its markers and choices among them.

Where a signal lies is said here by its lowest bit, counted as one reads a payload, and what a raw value means as a
person would say it: neither DBC nor profile is asked.  All bits that nobody named are noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.profiles.golden_log import GoldenLog, Readings, Rule, Shown, Stands, crc8

Notes = dict[str, int]
"""Raw values last sent of the signals that others depend on, by name."""


@dataclass(frozen=True, slots=True)
class Place:
    """`bits` bits, the lowest of which is bit `low` of byte `byte`; what is more goes up and to the bytes before.

    Where `is_little`, to the bytes after.
    """

    byte: int
    low: int
    bits: int
    is_little: bool = False

    def put(self, payload: bytes, raw: int) -> bytes:
        order: Literal["little", "big"] = "little" if self.is_little else "big"
        shift = 8 * (self.byte if self.is_little else len(payload) - 1 - self.byte) + self.low
        mask = (1 << self.bits) - 1
        whole = int.from_bytes(payload, order) & ~(mask << shift) | (raw & mask) << shift
        return whole.to_bytes(len(payload), order)


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal's path, place, the raw values it goes through, and what they mean; a `note` is kept for others."""

    path: str
    place: Place
    raws: Sequence[int]
    shown: Callable[[int, Notes], Shown]
    stands: Stands | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message, sent every `period_ms`, each raw value `hold` times.

    `selector` is sent with each of `pages` in turn, which carry those signals; without one there is page 0 alone.
    """

    bus: str
    arbitration_id: int
    size_bytes: int
    period_ms: int
    freshness_ms: int
    pages: Mapping[int, Sequence[Signal]]
    selector: Place | None = None
    hold: int = 1
    crc_polynomial: int = 0
    crc_start: int = 0
    is_crc_first: bool = False
    counter: Place | None = None
    from_ms: int = 0
    bad_at: Sequence[int] = field(default=())
    """Numbers of the frames after which come one with a wrong checksum, one sent twice and one cut short."""


def write(
    messages: Sequence[Sent],
    others: Sequence[tuple[int, str, int, bytes]] = (),
    derived: Mapping[str, Rule] | None = None,
) -> GoldenLog:
    """The recording of all messages, each for as long as its series takes, and of `others` (ms, bus, id, payload)."""
    signals = [(each, message) for message in messages for page in message.pages.values() for each in page]
    golden = GoldenLog(
        {each.path: message.freshness_ms for each, message in signals},
        derived,
        stands={each.path: each.stands for each, _ in signals if each.stands is not None},
    )
    notes: Notes = {}
    sendings = [
        (message.from_ms + number * message.period_ms + order, order, number)
        for order, message in enumerate(messages)
        for number in range(_length(message))
    ]
    waiting = sorted(others, key=lambda other: other[0])
    for at_ms, order, number in sorted(sendings):
        while waiting and waiting[0][0] <= at_ms:
            golden.frame(*waiting.pop(0))
        _send(golden, messages[order], number, at_ms, notes)
    return golden


class Rises:
    """The value of a derived state that counts how often its input came to be `value`."""

    def __init__(self, value: Shown) -> None:
        self._value = value
        self._before: Shown | None = None
        self._count = 0

    def __call__(self, shown: Shown) -> Shown:
        self._count += self._before is not None and shown == self._value != self._before
        self._before = shown
        return self._count


def _length(message: Sent) -> int:
    longest = max(len(each.raws) for page in message.pages.values() for each in page)
    return longest * message.hold * len(message.pages)


def _send(golden: GoldenLog, message: Sent, number: int, at_ms: int, notes: Notes) -> None:
    page = list(message.pages)[number % len(message.pages)]
    step = number // (message.hold * len(message.pages))
    raws = {each.path: each.raws[step % len(each.raws)] for each in message.pages[page]}
    payload = _payload(message, page, raws, number)
    notes.update({each.note: raws[each.path] for each in message.pages[page] if each.note})
    readings: Readings = {
        each.path: each.shown(raws[each.path], notes) for each in message.pages[page] if not each.note
    }
    golden.frame(at_ms, message.bus, message.arbitration_id, payload, readings)
    if number in message.bad_at:
        _bad(golden, message, number, at_ms)


def _payload(message: Sent, page: int, raws: Mapping[str, int], number: int) -> bytes:
    payload = bytes(
        (number * 73 + message.arbitration_id * 31 + index * 151) & 0xFF for index in range(message.size_bytes)
    )
    if message.selector is not None:
        payload = message.selector.put(payload, page)
    for each in message.pages[page]:
        payload = each.place.put(payload, raws[each.path])
    if message.counter is not None:
        payload = message.counter.put(payload, number)
    if message.crc_polynomial:
        covered = payload[1:] if message.is_crc_first else payload[:-1]
        crc = bytes([crc8(covered, polynomial=message.crc_polynomial, start=message.crc_start, final=0)])
        payload = crc + covered if message.is_crc_first else covered + crc
    return payload


def _bad(golden: GoldenLog, message: Sent, number: int, at_ms: int) -> None:
    """None of these is to be believed; each would change every signal."""
    other = {
        each.path: each.raws[(number // message.hold + 2) % len(each.raws)]
        for page in message.pages.values()
        for each in page
    }
    kind = list(message.bad_at).index(number)
    if kind == 0:
        payload = _payload(message, 0, other, number + 1)
        payload = payload[:-1] + bytes([payload[-1] ^ 1])
    else:
        payload = _payload(message, 0, other, number)[: message.size_bytes - (kind == 2)]
    golden.frame(at_ms, message.bus, message.arbitration_id, payload)
