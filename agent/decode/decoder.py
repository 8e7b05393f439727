"""Believed frames to readings under VSS paths, by the masks and shifts the profile was compiled to.

Most frames on a bus repeat the one before. Such a frame is compared with what is known, under the mask of the wanted
bits, and says no more than that its signals were seen again; of one that differs only the signals whose bits did are
decoded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from agent.decode.choice import Choice, MeaningOf, choices_of
from agent.decode.meaning import meaning_of
from agent.decode.reader import Reader, reader_of
from agent.decode.screen import FrameCounts, Screen, Verdict
from agent.decode.settling import Settling
from agent.model.frame import BitField, Frame
from agent.model.reading import NOTHING_HEARD, Heard, Reading
from agent.profiles.schema import MessagePlan, Profile, Selection, SignalPlan

# An extended id and a standard one of the same number are two ids; this is the kernel's CAN_EFF_FLAG.
_EXTENDED = 0x8000_0000

# Looked up once: to ask an enumeration for a member costs a tenth of decoding a frame.
_BELIEVED = Verdict.BELIEVED


class Decoder:
    """Decodes the frames of all buses of one profile.

    `counts` tells by message what came and what was refused.
    """

    def __init__(self, profile: Profile) -> None:
        self._streams: dict[str, _Stream] = {}
        self._pages: list[_Page] = []
        self._by_bus: dict[str, dict[int, _Stream]] = {}
        for plan in profile.messages:
            stream = self._streams[plan.name] = _Stream(plan, first_group=len(self._pages))
            self._pages += stream.pages
            for bus in plan.buses:
                by_key = self._by_bus.setdefault(bus, {})
                by_key[_key(plan.arbitration_id, plan.is_extended_id)] = stream
        for plan, stream in zip(profile.messages, self._streams.values(), strict=True):
            for choice in stream.choices:
                source = self._by_bus[plan.bus][_key(choice.source.arbitration_id, choice.source.is_extended_id)]
                source.choose(choice)
        self.counts: Mapping[str, FrameCounts] = {name: stream.screen.counts for name, stream in self._streams.items()}

    def hear(self, frame: Frame) -> Heard:
        """What a frame tells; nothing if nobody wants it or it is refused.

        A group heard for the first time, after a silence longer than its tightest freshness, or from a frame older
        than the one before it is told whole, so that what became of it meanwhile does not matter.
        """
        bus, arbitration_id, data, at_s, is_extended_id, _ = frame
        try:
            stream = self._by_bus[bus][arbitration_id | _EXTENDED if is_extended_id else arbitration_id]
        except KeyError:
            return NOTHING_HEARD
        if (page := stream.only) is None:
            return stream.hear(data, at_s)
        is_next = 0.0 <= at_s - page.at_s <= page.freshness_s
        if is_next and data == page.last:
            # The bytes of the last frame, which was believed: known without looking at them.
            page.at_s = at_s
            stream.counts.received += 1
            return page.unchanged
        page.last = None
        if stream.is_checked or len(data) < stream.length_bytes:
            if stream.screen.judge(data, at_s) is not _BELIEVED:
                return NOTHING_HEARD
        else:
            stream.counts.received += 1
            stream.screen.is_refused_last = False
        cut = data if len(data) == stream.length_bytes else data[: stream.length_bytes]
        changed = page.hear(cut, at_s, is_next)
        # One older than another is no other's last; and values that have to stand are looked at frame by frame.
        if page.at_s == at_s and not page.unsettled:
            page.last = data
        return (page.groups, changed) if changed else page.unchanged

    def seen(self, message: str, at_s: float) -> Sequence[Reading]:
        """A frame of this message came at `at_s`, unseen by us, that changed no wanted bit: what has stood by then."""
        return [reading for page in self._streams[message].pages for reading in page.seen(at_s)]

    def readings(self, groups: Iterable[int], at_s: float) -> tuple[Reading, ...]:
        """All that is known of these groups, which were just heard at `at_s`: the changed and the unchanged."""
        return tuple(reading for group in groups for reading in self._pages[group].readings(at_s))

    def receive(self, frame: Frame) -> tuple[Reading, ...]:
        """Readings of all wanted signals in a frame; none if nobody wants the frame or it is refused."""
        groups, _ = self.hear(frame)
        return self.readings(groups, frame.received_at_s)

    def message_of(self, frame: Frame) -> str | None:
        """The DBC message of a frame, None if nobody wants it."""
        stream = self._by_bus.get(frame.bus, _NOTHING).get(_key(frame.arbitration_id, frame.is_extended_id))
        return None if stream is None else stream.message

    def forget_count(self, frame: Frame) -> None:
        """Between this frame of its message and the one before or after it others may have gone unseen."""
        if (message := self.message_of(frame)) is not None:
            self._streams[message].screen.forget_count()

    def refused_last(self, message: str) -> bool:
        """Whether the newest frame of a message was refused; False before the first one."""
        return self._streams[message].screen.is_refused_last


def _key(arbitration_id: int, is_extended_id: bool) -> int:
    return arbitration_id | _EXTENDED if is_extended_id else arbitration_id


class _Page:
    """The signals of a message that are present together, with what was last read from their bits.

    Without multiplexing a message is one page. The mask leaves out all bits but the wanted ones, counters among them.
    `at_s` is when the page was last seen, `last` the bytes it was seen in then, if those may be compared with.
    `unsettled` are the bits of values that still have to stand: they are read again although they did not change.
    """

    def __init__(
        self, message: str, group: int, signals: Sequence[SignalPlan], choices: Mapping[str, Sequence[Choice]]
    ) -> None:
        self.group = group
        self.selector_values = signals[0].selector_values
        self.freshness_s = min(plan.freshness_s for plan in signals)
        self.unsettled = 0
        self._choices = tuple(choice for plan in signals for choice in choices[plan.path])
        self.groups = (group,)
        self.unchanged: Heard = (self.groups, ())
        self.last: bytes | None = None
        self.at_s = self._ahead_s = -math.inf
        self._selections: tuple[Selection, ...] = signals[0].selections
        self._chosen: tuple[MeaningOf, ...] = ()
        self._settlings: list[tuple[int, Settling]] = []
        self._known: list[Reading | None] = [None] * len(signals)
        # Compared in the byte order of the signals, and little endian where they are of both.
        is_little = any(plan.field.is_little_endian for plan in signals)
        self._order: Literal["little", "big"] = "little" if is_little else "big"
        self._is_mixed = is_little and not all(plan.field.is_little_endian for plan in signals)
        self._payload = self._other = 0
        self._fields = tuple(
            (
                _mask(plan.field, self._order),
                number,
                plan.field.is_little_endian is not is_little,
                self._reader(plan, message, choices[plan.path]),
            )
            for number, plan in enumerate(signals)
        )
        self._mask, self._is_disjoint = 0, True
        for mask, *_ in self._fields:
            self._is_disjoint = self._is_disjoint and not self._mask & mask
            self._mask |= mask

    def is_in(self, data: bytes) -> bool:
        """Whether the further multiplexers select this page."""
        return all(selection.field.extract(data) in selection.values for selection in self._selections)

    def hear(self, data: bytes, at_s: float, is_next: bool) -> Sequence[Reading]:
        """Readings of the signals whose bits changed; of all if the frame does not follow the last one in time."""
        payload = int.from_bytes(data, self._order)
        if is_next and not (self._choices and self._has_choice_changed()):
            changed = (payload ^ self._payload) & self._mask | self.unsettled
            if not changed:
                self.at_s = at_s
                return ()
        else:
            changed = self._mask
        self._payload = payload
        self._other = int.from_bytes(data, "big") if self._is_mixed else 0
        if self._settlings:
            return self._read_settling(changed, at_s, is_next)
        self._be_at(at_s)
        return self._read(changed, at_s)

    def seen(self, at_s: float) -> Sequence[Reading]:
        """The page was on the bus at `at_s` as it was last: readings of what has stood for long enough by then."""
        if not 0.0 <= at_s - self.at_s <= self.freshness_s:
            return ()
        if self.unsettled:
            return self._read_settling(self.unsettled, at_s, True)
        self.at_s = at_s
        return ()

    def _read_settling(self, changed: int, at_s: float, is_next: bool) -> Sequence[Reading]:
        """As `_read`, where some values have to stand."""
        for _, settling in self._settlings:
            if is_next:
                settling.follow(self.at_s)
            else:
                settling.begin()
        self._be_at(at_s)
        readings = self._read(changed, at_s)
        self.unsettled = 0
        for mask, settling in self._settlings:
            if settling.is_pending:
                self.unsettled |= mask
        return readings

    def _be_at(self, at_s: float) -> None:
        """A frame older than another is read, but nothing is compared with it."""
        if at_s >= self.at_s and at_s >= self._ahead_s:
            self.at_s = at_s
        else:
            self._ahead_s, self.at_s = max(self._ahead_s, self.at_s), -math.inf

    def _read(self, changed: int, at_s: float) -> Sequence[Reading]:
        payload, other, known, is_disjoint = self._payload, self._other, self._known, self._is_disjoint
        readings = []
        for mask, number, is_other, read in self._fields:
            if changed & mask:
                known[number] = reading = read(other if is_other else payload, at_s)
                readings.append(reading)
                if is_disjoint and not (changed := changed & ~mask):
                    break
        return readings

    def readings(self, at_s: float) -> Iterator[Reading]:
        """All that is known of a page just seen at `at_s`."""
        return (reading._replace(at_s=at_s) for reading in self._known if reading is not None)

    def _reader(self, plan: SignalPlan, message: str, choices: Sequence[Choice]) -> Reader:
        read = reader_of(plan, message, choices[-1].read if choices else meaning_of(plan))
        if plan.settle is None:
            return read
        settling = Settling(plan.settle, plan.freshness_s)
        self._settlings.append((_mask(plan.field, self._order), settling))
        return lambda payload, at_s: settling.take(read(payload, at_s))

    def _has_choice_changed(self) -> bool:
        before, self._chosen = self._chosen, tuple(choice.meaning for choice in self._choices)
        return before != self._chosen


class _Stream:
    """All frames of one message on one bus. `pages` are its groups in their order.

    `only` is the page of a message that has no other and nothing that could make the same bytes mean something else:
    no counter (which would refuse them), nothing chosen by another message, nothing chosen for another.
    """

    def __init__(self, plan: MessagePlan, first_group: int) -> None:
        self.screen = Screen(plan)
        self.counts = self.screen.counts
        self.message = plan.name
        self.length_bytes = plan.length_bytes
        self.is_checked = plan.checksum is not None or plan.counter is not None
        choices = {signal.path: choices_of(signal) for signal in plan.signals}
        self.choices = tuple(choice for chosen in choices.values() for choice in chosen)
        self.pages = tuple(
            _Page(plan.name, number, group, choices) for number, group in enumerate(plan.groups, first_group)
        )
        is_one_page = len(self.pages) == 1 and plan.selector is None and not plan.groups[0][0].selections
        self.only = self.pages[0] if is_one_page and plan.counter is None and not self.choices else None
        self._choosing: list[Choice] = []
        self._selector = plan.selector
        self._selector_known = plan.selector_known
        self._by_selector: dict[int | None, list[_Page]] = {}
        for page in self.pages:
            for value in (None,) if page.selector_values is None else sorted(page.selector_values):
                self._by_selector.setdefault(value, []).append(page)

    def choose(self, choice: Choice) -> None:
        """Frames of this message decide that choice."""
        self._choosing.append(choice)
        self.only = None

    def hear(self, data: bytes, at_s: float) -> Heard:
        if self.screen.judge(data, at_s) is not _BELIEVED:
            return NOTHING_HEARD
        if len(data) > self.length_bytes:
            data = data[: self.length_bytes]
        for choice in self._choosing:
            choice.choose(data)
        present = [page for page in self._selected(data) if page.is_in(data)]
        changed = [
            reading
            for page in present
            for reading in page.hear(data, at_s, 0.0 <= at_s - page.at_s <= page.freshness_s)
        ]
        return tuple(page.group for page in present), changed

    def _selected(self, data: bytes) -> Sequence[_Page]:
        pages = self._by_selector.get(None, [])
        if self._selector is None:
            return pages
        selected = self._selector.extract(data)
        if self._selector_known is not None and selected not in self._selector_known:
            self.counts.unknown_selector += 1
        return pages + self._by_selector.get(selected, [])


def _mask(field: BitField, order: Literal["little", "big"]) -> int:
    """The field's bits in the payload read as an integer in that order."""
    return int.from_bytes(field.insert(bytes(field.size_bytes), (1 << field.length) - 1), order)


_NOTHING: Mapping[int, _Stream] = {}
