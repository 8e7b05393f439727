"""A page as nearly all are, read at a fraction of the price: it says what `Page` says of the same frames.

Of a payload that differs from the last, the highest bit that does leads by a table to the signal it belongs to; that
signal is read, the bits from its lowest up are struck out, and so on until none is left. So a frame costs by the
signals that changed in it, not by those that it has. And nothing is called to read one: raw values of few bits have a
table, and of a number nearly all that a car ever sends lie in one run between the limits and aside of the markers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from agent.decode.choice import Choice
from agent.decode.meaning import Meaning, fraction_of, meaning_of
from agent.decode.page import Page, mask_of
from agent.model.reading import OK, Reading
from agent.profiles.message_spec import raw_range
from agent.profiles.schema import MessagePlan, SignalPlan

# Looked up once, for each is used in nearly every frame. The second is what a named tuple's own constructor calls in
# the end, at half its price.
_bits_of = int.from_bytes
_tuple = tuple.__new__

# Of so few bits the meanings of all raw values are spelt out: yes and no, and most words.
_TABLE_BITS_MAX = 4

# Of CAN FD.
FRAME_BYTES_MAX = 64

# Longer than any measured number; to look for the run takes as many steps.
_RUN_BITS_MAX = 32


class Run(NamedTuple):
    """Raw values `first` to `last` of a number, each of which means (raw × step + origin) / tens, and is ok.

    `tens` is a power of ten, or 0 where the value is a whole number and nothing is divided.
    """

    first: int
    last: int
    step: int
    origin: int
    tens: int

    def value(self, raw: int) -> float:
        """What a raw value means."""
        value = raw * self.step + self.origin
        return value / self.tens if self.tens else value


# One object for all signals: a changed frame costs mostly by how much memory it touches.
_ONES = tuple((1 << bits) - 1 for bits in range(8 * FRAME_BYTES_MAX + 1))

_NO_RUN = Run(first=1, last=0, step=0, origin=0, tens=0)

_Way = tuple[
    int,  # ones below the signal's lowest bit
    int,  # its shift
    int,  # as many ones as it has bits
    int,  # the greatest raw value that is not below zero
    Sequence[Meaning] | None,  # what its raw values mean, without a sign, if they are few
    tuple[int, ...],  # a run of them, first to tens
    Callable[[int], Meaning],  # what any raw value means
    str,  # path
    str | None,  # unit
]
"""All that it takes to read a signal, unpacked in one go."""


class PlainPage(Page):
    """A page of which `is_plain` holds."""

    def __init__(
        self,
        message: MessagePlan,
        group: int,
        signals: Sequence[SignalPlan],
        choices: Mapping[str, Sequence[Choice]],
    ) -> None:
        super().__init__(message, group, signals, choices)
        self._message = message.name
        # By `bit_length` of what changed; bits that are no signal's never are, so what stands there is no matter.
        self._by_highest_bit = [_way(signals[0])] * (self._mask.bit_length() + 1)
        for plan in signals:
            first, above = plan.field.shift + 1, plan.field.shift + plan.field.length + 1
            self._by_highest_bit[first:above] = [_way(plan)] * plan.field.length

    def hear(self, data: bytes, at_s: float) -> Sequence[Reading]:
        """As `Page.hear`."""
        if not 0.0 <= at_s - self.at_s <= self.freshness_s:
            return super().hear(data, at_s)
        payload = _bits_of(data, self._order)
        changed = (payload ^ self._payload) & self._mask
        self._payload, self.at_s, self.last = payload, at_s, data
        by_highest_bit, message = self._by_highest_bit, self._message
        readings = []
        while changed:
            below, shift, ones, most, meanings, run, meaning, path, unit = by_highest_bit[changed.bit_length()]
            changed &= below
            raw = payload >> shift & ones
            if meanings is not None:
                value, quality, reason = meanings[raw]
            else:
                if raw > most:
                    raw -= ones + 1
                first, last, step, origin, tens = run
                if first <= raw <= last:
                    value, quality, reason = raw * step + origin, OK, None
                    if tens:
                        value /= tens
                else:
                    value, quality, reason = meaning(raw)
            readings.append(_tuple(Reading, (path, value, unit, at_s, quality, reason, message)))
        return readings

    def readings(self, at_s: float) -> Sequence[Reading]:
        """As `Page.readings`, from the payload: what it means depends on nothing else."""
        return [read(self._payload, at_s) for _, read in self._fields]


def is_plain(signals: Sequence[SignalPlan]) -> bool:
    """Whether each bit is one signal's, all in one byte order, and means the same in every frame."""
    mask = 0
    for plan in signals:
        own = mask_of(plan.field, "little")
        if own & mask or plan.settle is not None or plan.chosen_by:
            return False
        mask |= own
    return len({plan.field.is_little_endian for plan in signals}) == 1


def run_of(plan: SignalPlan) -> Run:
    """The longest run of raw values that have one; an empty one if the signal is not a number of such."""
    fraction = fraction_of(plan, plan.unit_factor, plan.unit_offset)
    if fraction is None or fraction[0] <= 0 or plan.choices is not None or plan.field.length > _RUN_BITS_MAX:
        return _NO_RUN
    step, origin, tens = fraction
    first, last = raw_range(plan.field)
    raws = range(first, last + 1)
    whole = Run(first, last, step, origin, tens if plan.datatype in ("float", "double") else 0)
    if plan.minimum is not None:
        first = raws[0] + bisect_left(raws, plan.minimum, key=whole.value)
    if plan.maximum is not None:
        last = raws[0] + bisect_right(raws, plan.maximum, key=whole.value) - 1
    runs = []
    for low, high in sorted((*((raw, raw) for raw in plan.invalid_raw), *plan.invalid_ranges)):
        runs.append((first, min(low - 1, last)))
        first = max(first, high + 1)
    first, last = max((*runs, (first, last)), key=lambda run: run[1] - run[0])
    return whole._replace(first=first, last=last) if first <= last else _NO_RUN


def _way(plan: SignalPlan) -> _Way:
    meaning, shift, length = meaning_of(plan), plan.field.shift, plan.field.length
    ones, most = _ONES[length], _ONES[length - 1 if plan.field.is_signed else length]
    meanings = None
    if length <= _TABLE_BITS_MAX:
        meanings = [meaning(raw - ones - 1 if raw > most else raw) for raw in range(ones + 1)]
    return _ONES[shift], shift, ones, most, meanings, tuple(run_of(plan)), meaning, plan.path, plan.unit
