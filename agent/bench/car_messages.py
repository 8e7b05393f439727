"""The virtual car's frames, made and read by the profile and its DBC alone: no bit position stands here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.model.frame import BitField, Frame
from agent.model.reading import Value
from agent.model.recipe import ChecksumField, FrameTemplate
from agent.profiles.database import MessageDatabase
from agent.profiles.message_spec import MessageSpec
from agent.profiles.schema import MessagePlan, Profile

NOT_AVAILABLE = "NotAvailable"
"""What value tables call a value that is not known yet."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame of a message that others send. `values` are names where the DBC has them; `counter` is None without."""

    message: str
    values: Mapping[str, float | str]
    counter: int | None
    is_checksum_good: bool


@dataclass(frozen=True, slots=True)
class _Protection:
    """Rolling counter and checksum of a message, and the names of their signals."""

    counter: BitField | None
    checksum: ChecksumField | None
    signals: frozenset[str]


class CarMessages:
    """All messages of one bus: those with a cycle time are the car's own, the others it listens for."""

    def __init__(self, profile: Profile, database: MessageDatabase, bus: str) -> None:
        self.bus = bus
        self._database = database
        self._plans = {plan.name: plan for plan in profile.messages if plan.bus == bus}
        self._templates = {(one.arbitration_id, one.is_extended_id): one for one in _templates(profile, bus)}
        self._protections = {name: self._protection(spec) for name, spec in database.messages.items()}
        self._markers = {name: _markers(spec, self._plans.get(name)) for name, spec in database.messages.items()}
        self.cycles_s: Mapping[str, float] = {
            name: spec.cycle_time_s for name, spec in database.messages.items() if spec.cycle_time_s is not None
        }

    def encode(
        self,
        message: str,
        values: Mapping[str, Value],
        *,
        at_s: float,
        counter: int = 0,
        is_measured: bool = True,
        is_checksum_wrong: bool = False,
    ) -> Frame:
        """A frame of `message`; before a value has been measured the DBC's and the profile's markers stand for it."""
        spec, protection = self._database.messages[message], self._protections[message]
        payload = self._database.encode(message, {**values, **dict.fromkeys(protection.signals, 0)})
        if not is_measured:
            payload = self._unmeasured(message, payload)
        if protection.counter is not None:
            payload = protection.counter.insert(payload, counter)
        if protection.checksum is not None:
            payload = protection.checksum.field.insert(
                payload, protection.checksum.compute(payload) ^ is_checksum_wrong
            )
        return Frame(self.bus, spec.arbitration_id, payload, at_s, spec.is_extended_id, spec.is_fd)

    def hear(self, frame: Frame) -> Heard | None:
        """What somebody else's frame says; None if the DBC has no such message, or the frame is too short for it."""
        spec = self._database.message_of_frame(frame.arbitration_id, is_extended_id=frame.is_extended_id)
        if spec is None or len(frame.data) < spec.length_bytes:
            return None
        protection = self._protections[spec.name]
        values: dict[str, float | str] = {}
        for name, number in self._database.decode(spec.name, frame.data).items():
            values[name] = spec.signals[name].names.get(int(number), number)
        checksum = protection.checksum
        return Heard(
            spec.name,
            values,
            None if protection.counter is None else protection.counter.extract(frame.data),
            checksum is None or checksum.field.extract(frame.data) == checksum.compute(frame.data),
        )

    def _protection(self, spec: MessageSpec) -> _Protection:
        """From the message's plan where the profile reads it, from the action's template where it is only sent."""
        plan: MessagePlan | None = self._plans.get(spec.name)
        template = self._templates.get((spec.arbitration_id, spec.is_extended_id))
        counter = plan.counter.field if plan and plan.counter else template.counter if template else None
        checksum = plan.checksum if plan and plan.checksum else template.checksum if template else None
        fields = [counter, checksum.field if checksum else None]
        places = {(field.shift, field.length, field.is_little_endian) for field in fields if field is not None}
        return _Protection(
            counter,
            checksum,
            frozenset(
                name
                for name, signal in spec.signals.items()
                if (signal.field.shift, signal.field.length, signal.field.is_little_endian) in places
            ),
        )

    def _unmeasured(self, message: str, payload: bytes) -> bytes:
        plan = self._plans.get(message)
        page = plan.selector.extract(payload) if plan and plan.selector else None
        for field, raw, pages in self._markers[message]:
            if pages is None or page in pages:
                payload = field.insert(payload, raw)
        return payload


def _templates(profile: Profile, bus: str) -> list[FrameTemplate]:
    frames = [frame for recipe in profile.recipes.values() for frame in recipe.frames]
    frames += [frame for recipe in profile.recipes.values() if recipe.wake for frame in recipe.wake.frames]
    return [frame for frame in frames if frame.bus == bus]


def _markers(spec: MessageSpec, plan: MessagePlan | None) -> list[tuple[BitField, int, frozenset[int] | None]]:
    """Field, raw value and pages of every signal that has a way to say "not known yet"."""
    planned = {signal.signal: signal for signal in plan.signals} if plan else {}
    markers: list[tuple[BitField, int, frozenset[int] | None]] = []
    for name, signal in spec.signals.items():
        plan_of = planned.get(name)
        pages = plan_of.selector_values if plan_of else None
        invalid = [*plan_of.invalid_raw, *(last for _, last in plan_of.invalid_ranges)] if plan_of else []
        if invalid:
            markers.append((signal.field, max(invalid), pages))
        elif raws := signal.raws_named(NOT_AVAILABLE):
            markers.append((signal.field, raws[0], pages))
    return markers
