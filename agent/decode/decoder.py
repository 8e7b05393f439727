"""Believed frames to readings under VSS paths, by the masks and shifts the profile was compiled to.

Most frames on a bus repeat the one before. Such a frame is compared with what is known, under the mask of the wanted
bits, and says no more than that its signals were seen again; of one that differs only the signals whose bits did are
decoded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from agent.decode.meaning import UNIT_UNKNOWN, Meaning, meaning_of, meanings_by_unit
from agent.decode.screen import FrameCounts, Screen, Verdict
from agent.model.frame import BitField, Frame
from agent.model.reading import NOTHING_HEARD, Heard, Reading
from agent.profiles.schema import MessagePlan, Profile, Selection, SignalPlan, UnitChoice

# An extended id and a standard one of the same number are two ids; this is the kernel's CAN_EFF_FLAG.
_EXTENDED = 0x8000_0000


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
            by_key = self._by_bus.setdefault(plan.bus, {})
            by_key[_key(plan.arbitration_id, plan.is_extended_id)] = stream
        for plan, stream in zip(profile.messages, self._streams.values(), strict=True):
            for unit in stream.units:
                source = self._by_bus[plan.bus][_key(unit.choice.arbitration_id, unit.choice.is_extended_id)]
                source.chosen.append(unit)
        self.counts: Mapping[str, FrameCounts] = {name: stream.screen.counts for name, stream in self._streams.items()}

    def hear(self, frame: Frame) -> Heard:
        """What a frame tells; nothing if nobody wants it or it is refused.

        A group heard for the first time, after a silence longer than its tightest freshness, or from a frame older
        than the one before it is told whole, so that what became of it meanwhile does not matter.
        """
        bus, arbitration_id, data, at_s, is_extended_id, _ = frame
        stream = self._by_bus.get(bus, _NOTHING).get(arbitration_id | _EXTENDED if is_extended_id else arbitration_id)
        return NOTHING_HEARD if stream is None else stream.hear(data, at_s)

    def readings(self, groups: Iterable[int], at_s: float) -> tuple[Reading, ...]:
        """All that is known of these groups, which were just heard at `at_s`: the changed and the unchanged."""
        return tuple(reading for group in groups for reading in self._pages[group].readings(at_s))

    def receive(self, frame: Frame) -> tuple[Reading, ...]:
        """Readings of all wanted signals in a frame; none if nobody wants the frame or it is refused."""
        return self.readings(self.hear(frame).groups, frame.received_at_s)

    def message_of(self, frame: Frame) -> str | None:
        """The DBC message of a frame, None if nobody wants it."""
        stream = self._by_bus.get(frame.bus, _NOTHING).get(_key(frame.arbitration_id, frame.is_extended_id))
        return None if stream is None else stream.message

    def refused_last(self, message: str) -> bool:
        """Whether the newest frame of a message was refused; False before the first one."""
        return self._streams[message].screen.is_refused_last


def _key(arbitration_id: int, is_extended_id: bool) -> int:
    return arbitration_id | _EXTENDED if is_extended_id else arbitration_id


class _Unit:
    """The unit of one signal, as another signal of the same bus chooses it: not known before that one came."""

    def __init__(self, plan: SignalPlan, choice: UnitChoice) -> None:
        self.choice = choice
        self.meaning: Callable[[int], Meaning] = _unit_unknown
        self._meanings = meanings_by_unit(plan)

    def choose(self, data: bytes) -> None:
        self.meaning = self._meanings.get(self.choice.field.extract(data), _unit_unknown)


def _unit_unknown(_raw: int) -> Meaning:
    return UNIT_UNKNOWN


class _Field:
    """One signal ready for decoding: where it lies in the payload read as an integer, and what its raw value means.

    `known` is the meaning it had when its bits were last seen to change.
    """

    __slots__ = ("is_little_endian", "known", "meaning", "ones", "path", "shift", "sign", "unit", "unit_choice")

    def __init__(self, plan: SignalPlan, unit: _Unit | None) -> None:
        field = plan.field
        self.path = plan.path
        self.unit = plan.unit
        self.shift = field.shift
        self.ones = (1 << field.length) - 1
        self.sign = 1 << field.length - 1 if field.is_signed else 0
        self.is_little_endian = field.is_little_endian
        self.meaning = meaning_of(plan)
        self.unit_choice = unit
        self.known: Meaning = UNIT_UNKNOWN

    def read(self, little: int, big: int) -> Meaning:
        raw = (little if self.is_little_endian else big) >> self.shift & self.ones
        if self.sign:
            raw = (raw ^ self.sign) - self.sign  # two's complement
        self.known = self.meaning(raw) if self.unit_choice is None else self.unit_choice.meaning(raw)
        return self.known


class _Page:
    """The signals of a message that are present together, with what was last read from their bits.

    Without multiplexing a message is one page. The mask leaves out all bits but the wanted ones, counters among them.
    """

    def __init__(self, message: str, group: int, signals: Sequence[SignalPlan], units: Mapping[str, _Unit]) -> None:
        self.group = group
        self.selector_values = signals[0].selector_values
        self._message = message
        self._selections: tuple[Selection, ...] = signals[0].selections
        self._units = tuple(units[plan.path] for plan in signals if plan.path in units)
        self._unit_meanings: tuple[Callable[[int], Meaning], ...] = ()
        self._fields = tuple((_little_endian_mask(plan.field), _Field(plan, units.get(plan.path))) for plan in signals)
        self._mask = 0
        for mask, _ in self._fields:
            self._mask |= mask
        self._has_motorola = any(not plan.field.is_little_endian for plan in signals)
        self._freshness_s = min(plan.freshness_s for plan in signals)
        self._little = 0
        self._at_s = -math.inf

    def is_in(self, data: bytes) -> bool:
        """Whether the further multiplexers select this page."""
        return all(selection.field.extract(data) in selection.values for selection in self._selections)

    def hear(self, data: bytes, little: int, at_s: float) -> tuple[Reading, ...]:
        """Readings of the signals whose bits changed, or of all if that cannot be said."""
        changed = (little ^ self._little) & self._mask
        since_s = at_s - self._at_s
        # A frame older than the last one is read, but nothing is compared with it.
        self._at_s = at_s if since_s >= 0.0 else -math.inf
        if not 0.0 <= since_s <= self._freshness_s or (self._units and self._has_unit_changed()):
            changed = self._mask
        if not changed:
            return ()
        self._little = little
        big = int.from_bytes(data, "big") if self._has_motorola else 0
        message = self._message
        readings = []
        for mask, field in self._fields:
            if changed & mask:
                value, quality, reason = field.read(little, big)
                readings.append(Reading(field.path, value, field.unit, at_s, quality, reason, message))
        return tuple(readings)

    def readings(self, at_s: float) -> Iterable[Reading]:
        for _, field in self._fields:
            value, quality, reason = field.known
            yield Reading(field.path, value, field.unit, at_s, quality, reason, self._message)

    def _has_unit_changed(self) -> bool:
        before, self._unit_meanings = self._unit_meanings, tuple(unit.meaning for unit in self._units)
        return before != self._unit_meanings


class _Stream:
    """All frames of one message on one bus. `pages` are its groups in their order."""

    def __init__(self, plan: MessagePlan, first_group: int) -> None:
        self.screen = Screen(plan)
        self.message = plan.name
        units = {
            signal.path: _Unit(signal, signal.unit_choice) for signal in plan.signals if signal.unit_choice is not None
        }
        self.units = tuple(units.values())
        self.chosen: list[_Unit] = []
        self.pages = tuple(
            _Page(plan.name, number, group, units) for number, group in enumerate(plan.groups, first_group)
        )
        self._length_bytes = plan.length_bytes
        self._selector = plan.selector
        self._selector_known = plan.selector_known
        # Nearly every message is one page that is always there, and its heard groups are always the same.
        is_plain = len(self.pages) == 1 and plan.selector is None and not plan.groups[0][0].selections
        self._only = self.pages[0] if is_plain else None
        self._unchanged = Heard(tuple(page.group for page in self.pages), ())
        self._by_selector: dict[int | None, list[_Page]] = {}
        for page in self.pages:
            for value in (None,) if page.selector_values is None else sorted(page.selector_values):
                self._by_selector.setdefault(value, []).append(page)

    def hear(self, data: bytes, at_s: float) -> Heard:
        if self.screen.judge(data, at_s) is not Verdict.BELIEVED:
            return NOTHING_HEARD
        if len(data) > self._length_bytes:
            data = data[: self._length_bytes]
        for unit in self.chosen:
            unit.choose(data)
        if self._only is not None:
            changed = self._only.hear(data, int.from_bytes(data, "little"), at_s)
            return Heard(self._unchanged.groups, changed) if changed else self._unchanged
        return self._hear_pages(data, at_s)

    def _hear_pages(self, data: bytes, at_s: float) -> Heard:
        pages = list(self._by_selector.get(None, ()))
        if self._selector is not None:
            selected = self._selector.extract(data)
            pages += self._by_selector.get(selected, ())
            if self._selector_known is not None and selected not in self._selector_known:
                self.screen.counts.unknown_selector += 1
        present = [page for page in pages if page.is_in(data)]
        little = int.from_bytes(data, "little")
        changed = [reading for page in present for reading in page.hear(data, little, at_s)]
        return Heard(tuple(page.group for page in present), tuple(changed))


def _little_endian_mask(field: BitField) -> int:
    """The field's bits in the payload read as a little-endian integer."""
    return int.from_bytes(field.insert(bytes(field.size_bytes), (1 << field.length) - 1), "little")


_NOTHING: Mapping[int, _Stream] = {}
