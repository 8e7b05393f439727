"""Believed frames to readings under VSS paths, by the masks and shifts the profile was compiled to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from agent.decode.meaning import UNIT_UNKNOWN, Meaning, meaning_of, meanings_by_unit
from agent.decode.screen import FrameCounts, Screen, Verdict
from agent.model.frame import Frame
from agent.model.reading import Reading
from agent.profiles.schema import MessagePlan, Profile, Selection, SignalPlan, UnitChoice

# An extended id and a standard one of the same number are two ids; this is the kernel's CAN_EFF_FLAG.
_EXTENDED = 0x8000_0000


class Decoder:
    """Decodes the frames of all buses of one profile.

    `counts` tells by message what came and what was refused.
    """

    def __init__(self, profile: Profile) -> None:
        streams = {message.name: _Stream(message) for message in profile.messages}
        self._streams = streams
        self._by_bus: dict[str, dict[int, _Stream]] = {}
        for plan, stream in zip(profile.messages, streams.values(), strict=True):
            by_key = self._by_bus.setdefault(plan.bus, {})
            by_key[_key(plan.arbitration_id, plan.is_extended_id)] = stream
        for plan, stream in zip(profile.messages, streams.values(), strict=True):
            for unit in stream.units:
                source = self._by_bus[plan.bus][_key(unit.choice.arbitration_id, unit.choice.is_extended_id)]
                source.chosen.append(unit)
        self.counts: Mapping[str, FrameCounts] = {name: stream.screen.counts for name, stream in streams.items()}

    def receive(self, frame: Frame) -> tuple[Reading, ...]:
        """Readings of all wanted signals in a frame; none if nobody wants the frame or it is refused."""
        stream = self._by_bus.get(frame.bus, _NOTHING).get(_key(frame.arbitration_id, frame.is_extended_id))
        return stream.receive(frame.data, frame.received_at_s) if stream is not None else ()

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
    """One signal ready for decoding: where it lies in the payload read as an integer, and what its raw value means."""

    __slots__ = ("is_little_endian", "meaning", "ones", "path", "shift", "sign", "unit", "unit_choice")

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

    def read(self, little: int, big: int) -> Meaning:
        raw = (little if self.is_little_endian else big) >> self.shift & self.ones
        raw = (raw ^ self.sign) - self.sign  # two's complement; nothing where sign is 0
        return self.meaning(raw) if self.unit_choice is None else self.unit_choice.meaning(raw)


class _Page:
    """The signals of a message that are present together, with what was last read from their bits.

    Without multiplexing a message is one page.  Frames that do not change the page's bits (the mask leaves out all
    others, counters among them) give the same readings with a new time and are not decoded again.
    """

    __slots__ = ("fields", "mask", "message", "read", "seen", "selections", "units")

    def __init__(self, message: str, signals: Iterable[SignalPlan], units: Mapping[str, _Unit]) -> None:
        plans = tuple(signals)
        self.message = message
        self.selections: tuple[Selection, ...] = plans[0].selections
        self.units = tuple(units[plan.path] for plan in plans if plan.path in units)
        self.fields = tuple(_Field(plan, units.get(plan.path)) for plan in plans)
        self.mask = 0
        for plan in plans:
            self.mask |= plan.field.mask
        self.seen: tuple[int, tuple[Callable[[int], Meaning], ...]] | None = None
        self.read: tuple[tuple[_Field, Meaning], ...] = ()

    def readings(self, data: bytes, little: int, big: int, at_s: float) -> list[Reading]:
        for selection in self.selections:
            if selection.field.extract(data) not in selection.values:
                return []
        seen = (little & self.mask, tuple(unit.meaning for unit in self.units))
        if seen != self.seen:
            self.read = tuple((field, field.read(little, big)) for field in self.fields)
            self.seen = seen
        message = self.message
        return [
            Reading(field.path, value, field.unit, at_s, quality, reason, message)
            for field, (value, quality, reason) in self.read
        ]


class _Stream:
    """All frames of one message on one bus."""

    def __init__(self, plan: MessagePlan) -> None:
        self.screen = Screen(plan)
        self.message = plan.name
        units = {
            signal.path: _Unit(signal, signal.unit_choice) for signal in plan.signals if signal.unit_choice is not None
        }
        self.units = tuple(units.values())
        self.chosen: list[_Unit] = []
        self._length_bytes = plan.length_bytes
        self._selector = plan.selector
        self._selector_known = plan.selector_known
        self._pages = _pages(plan, units)
        self._has_motorola = any(not signal.field.is_little_endian for signal in plan.signals)

    def receive(self, data: bytes, at_s: float) -> tuple[Reading, ...]:
        if self.screen.judge(data, at_s) is not Verdict.BELIEVED:
            return ()
        if len(data) > self._length_bytes:
            data = data[: self._length_bytes]
        for unit in self.chosen:
            unit.choose(data)
        little = int.from_bytes(data, "little")
        big = int.from_bytes(data, "big") if self._has_motorola else 0
        readings: list[Reading] = []
        for page in self._pages.get(None, ()):
            readings += page.readings(data, little, big, at_s)
        if self._selector is not None:
            selected = self._selector.extract(data)
            for page in self._pages.get(selected, ()):
                readings += page.readings(data, little, big, at_s)
            if self._selector_known is not None and selected not in self._selector_known:
                self.screen.counts.unknown_selector += 1
        return tuple(readings)


def _pages(plan: MessagePlan, units: Mapping[str, _Unit]) -> dict[int | None, tuple[_Page, ...]]:
    """Pages by value of the selector; under None those that do not depend on it."""
    together: dict[tuple[frozenset[int] | None, tuple[Selection, ...]], list[SignalPlan]] = {}
    for signal in plan.signals:
        together.setdefault((signal.selector_values, signal.selections), []).append(signal)
    pages: dict[int | None, list[_Page]] = {}
    for (values, _), signals in together.items():
        page = _Page(plan.name, signals, units)
        for value in (None,) if values is None else sorted(values):
            pages.setdefault(value, []).append(page)
    return {value: tuple(listed) for value, listed in pages.items()}


_NOTHING: Mapping[int, _Stream] = {}
