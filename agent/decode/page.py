"""The signals of a message that are present together, as they were read last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from agent.decode.choice import Choice, MeaningOf
from agent.decode.meaning import meaning_of
from agent.decode.reader import Reader, reader_of
from agent.decode.settling import Settling
from agent.model.frame import BitField
from agent.model.reading import Reading
from agent.profiles.schema import MessagePlan, Selection, SignalPlan

ByteOrder = Literal["little", "big"]

# Longer than what goes on unchanged is ever left unlooked at.
FOLLOWED_S_MAX = 30.0


class Page:
    """One page; without multiplexing a message is one.

    All of it is compared at once, as two whole numbers under the mask of its signals' bits: counters are not among
    them.  `at_s` is when the page was last seen, `last` the bytes it was seen in then, if those may be compared with.
    """

    def __init__(
        self,
        message: MessagePlan,
        group: int,
        signals: Sequence[SignalPlan],
        choices: Mapping[str, Sequence[Choice]],
    ) -> None:
        self.group = group
        self.groups = (group,)
        self.selector_values = signals[0].selector_values
        self.freshness_s = min(plan.freshness_s for plan in signals)
        self.last: bytes | None = None
        self.at_s = self._ahead_s = -math.inf
        self._selections: tuple[Selection, ...] = signals[0].selections
        self._choices = tuple(choice for plan in signals for choice in choices[plan.path])
        self._chosen: tuple[MeaningOf, ...] = ()
        # Little endian where the signals are of both orders.
        self._order: ByteOrder = "little" if any(plan.field.is_little_endian for plan in signals) else "big"
        self._payload = 0
        self._settlings: list[tuple[int, Settling]] = []
        # The bits of values that still have to stand: they are read again although they did not change.
        self._unsettled = 0
        self._known: list[Reading | None] = [None] * len(signals)
        masks = [mask_of(plan.field, self._order) for plan in signals]
        self._mask = 0
        for mask in masks:
            self._mask |= mask
        self._fields = tuple(
            (mask, self._reader(plan, mask, message, choices[plan.path]))
            for plan, mask in zip(signals, masks, strict=True)
        )

    def is_in(self, data: bytes) -> bool:
        """Whether the further multiplexers select this page."""
        return all(selection.field.extract(data) in selection.values for selection in self._selections)

    def hear(self, data: bytes, at_s: float) -> Sequence[Reading]:
        """Readings of the signals whose bits changed; of all if the frame does not follow the last one in time."""
        payload = int.from_bytes(data, self._order)
        is_next = 0.0 <= at_s - self.at_s <= self.freshness_s
        if is_next and not (self._choices and self._has_choice_changed()):
            changed = (payload ^ self._payload) & self._mask | self._unsettled
        else:
            changed = self._mask
        self._payload = payload
        readings: Sequence[Reading] = ()
        if changed:
            readings = self._read(changed, at_s, is_next=is_next)
        else:
            self.at_s = at_s
        # One older than another is no other's last; and values that have to stand are looked at frame by frame.
        self.last = data if self.at_s == at_s and not self._unsettled else None
        return readings

    def seen(self, at_s: float) -> Sequence[Reading]:
        """The page was on the bus at `at_s` as it was last: readings of what has stood for long enough by then."""
        if not 0.0 <= at_s - self.at_s <= self.freshness_s:
            return ()
        if self._unsettled:
            return self._read(self._unsettled, at_s, is_next=True)
        self.at_s = at_s
        return ()

    def follow(self, at_s: float) -> None:
        """What comes at `at_s` follows what was there: it went on coming, with the bits it was last seen with."""
        # Somebody who would have said if it had not, within half a freshness, was asleep after so long a gap.
        if self.freshness_s < at_s - self.at_s < self.freshness_s + FOLLOWED_S_MAX:
            self.at_s = at_s - 0.5 * self.freshness_s

    @property
    def settles(self) -> bool:
        """Whether a value of it has to stand before it counts."""
        return bool(self._settlings)

    @property
    def is_unsettled(self) -> bool:
        """Whether a value has to stand at present."""
        return self._unsettled != 0

    def readings(self, at_s: float) -> Sequence[Reading]:
        """All that is known of a page just seen at `at_s`."""
        return [reading._replace(at_s=at_s) for reading in self._known if reading is not None]

    def _read(self, changed: int, at_s: float, *, is_next: bool) -> Sequence[Reading]:
        for _, settling in self._settlings:
            if is_next:
                settling.follow(self.at_s)
            else:
                settling.begin()
        # A frame older than another is read, but nothing is compared with it.
        if at_s >= self.at_s and at_s >= self._ahead_s:
            self.at_s = at_s
        else:
            self._ahead_s, self.at_s = max(self._ahead_s, self.at_s), -math.inf
        readings = []
        for number, (mask, read) in enumerate(self._fields):
            if changed & mask:
                self._known[number] = reading = read(self._payload, at_s)
                readings.append(reading)
        self._unsettled = 0
        for mask, settling in self._settlings:
            if settling.is_pending:
                self._unsettled |= mask
        return readings

    def _reader(self, plan: SignalPlan, mask: int, message: MessagePlan, choices: Sequence[Choice]) -> Reader:
        read = reader_of(plan, message.name, choices[-1].read if choices else meaning_of(plan))
        if plan.field.is_little_endian is not (self._order == "little"):
            read = _of_big_endian(read, message.length_bytes)
        if plan.settle is not None:
            settling = Settling(plan.settle, plan.freshness_s)
            self._settlings.append((mask, settling))
            read = _settled(read, settling)
        return read

    def _has_choice_changed(self) -> bool:
        before, self._chosen = self._chosen, tuple(choice.meaning for choice in self._choices)
        return before != self._chosen


def mask_of(field: BitField, order: ByteOrder) -> int:
    """The field's bits in the payload read as an integer in that order."""
    return int.from_bytes(field.insert(bytes(field.size_bytes), (1 << field.length) - 1), order)


def _of_big_endian(read: Reader, length_bytes: int) -> Reader:
    """The reader of a big endian signal, for a payload read as little endian."""
    return lambda payload, at_s: read(int.from_bytes(payload.to_bytes(length_bytes, "little"), "big"), at_s)


def _settled(read: Reader, settling: Settling) -> Reader:
    return lambda payload, at_s: settling.take(read(payload, at_s))
