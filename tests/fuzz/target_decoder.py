"""Frames of any content on the buses of every shipped profile: no exception, no dishonest reading, none wrong.

One input is a drive: a profile, then frames one after another, each with its own delay, so that counters, pages and
chosen units have a past. Every believed frame is given to cantools too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.profiles.schema import MessagePlan, Profile
from tests.fuzz.intake import Intake
from tests.support.cantools_oracle import FOLDERS, Vehicle, compare_readings, load, load_profile
from tests.support.honest_readings import is_honest

FRAMES_MAX = 64

_REPAIRED, _STRANGE_ID, _OTHER_BUS, _EXTENDED, _FD = 1, 2, 4, 8, 16
"""Bits of a frame's first byte. Repaired: counter and checksum are made good, without which hardly any is believed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A profile as it is driven, and the same without checksums and counters for cantools."""

    profile: Profile
    vehicle: Vehicle


@cache
def subjects() -> tuple[Subject, ...]:
    return tuple(Subject(load_profile(folder), load(folder)) for folder in FOLDERS)


TOKENS = (b"\x01", bytes(8), b"\xff" * 8, b"\x80" * 8, b"\x01\x05\x08", b"\x01\xff\x08", b"\x00\x05\x40")
"""Bytes that mean something here: payloads at the edges, beginnings of frames."""


def run(data: bytes) -> None:
    intake = Intake(data)
    subject = subjects()[intake.number() % len(subjects())]
    decoder, profile = Decoder(subject.profile), subject.profile
    counters: dict[str, int] = {}
    units: dict[str, float] = {}
    now_s, sent = 0.0, 0
    while intake and sent < FRAMES_MAX:
        frame, plan = _frame(intake, profile, counters, now_s)
        now_s, sent = frame.received_at_s, sent + 1
        believed = _believed(decoder)
        readings = decoder.receive(frame)
        assert all(is_honest(reading) for reading in readings)
        assert decoder.message_of(frame) is not None or not readings
        if plan is not None and _believed(decoder) > believed:
            _choose_units(profile, plan, frame, units)
            compare_readings(subject.vehicle, plan, frame, readings, units)
    counts = decoder.counts.values()
    assert sum(count.received for count in counts) <= sent
    assert _believed(decoder) >= 0


def _believed(decoder: Decoder) -> int:
    return sum(
        count.received - count.refused_length - count.refused_checksum - count.refused_counter
        for count in decoder.counts.values()
    )


def _choose_units(profile: Profile, source: MessagePlan, frame: Frame, units: dict[str, float]) -> None:
    """`units` by path after a believed frame of `source`, which may choose some."""
    for message in profile.messages:
        for signal in message.signals:
            choice = signal.unit_choice
            if choice is None or message.bus != source.bus:
                continue
            if (choice.arbitration_id, choice.is_extended_id) == (source.arbitration_id, source.is_extended_id):
                units.pop(signal.path, None)
                raw = choice.field.extract(frame.data)
                if raw in choice.factors:
                    units[signal.path] = choice.factors[raw]


def _frame(
    intake: Intake, profile: Profile, counters: dict[str, int], now_s: float
) -> tuple[Frame, MessagePlan | None]:
    """The next frame, and the plan of its message if it bears an identifier of the profile's on its bus."""
    kind, delay_ms, length = intake.number(), intake.number(), intake.number() % 65
    plan = profile.messages[intake.number() % len(profile.messages)]
    at_s = now_s + delay_ms * 0.02
    if kind & _STRANGE_ID:
        bus = "elsewhere" if kind & _OTHER_BUS else plan.bus
        arbitration_id, is_extended_id = intake.number(4), bool(kind & _EXTENDED)
        return Frame(bus, arbitration_id, intake.take(length), at_s, is_extended_id, bool(kind & _FD)), None
    data = intake.take(length)
    if kind & _REPAIRED:
        data = _repaired(plan, data, counters)
    return Frame(plan.bus, plan.arbitration_id, data, at_s, plan.is_extended_id, plan.is_fd), plan


def _repaired(plan: MessagePlan, data: bytes, counters: dict[str, int]) -> bytes:
    data = data.ljust(plan.length_bytes, b"\0")
    own, beyond = data[: plan.length_bytes], data[plan.length_bytes :]
    if plan.counter is not None:
        counters[plan.name] = counters.get(plan.name, -1) + 1
        own = plan.counter.field.insert(own, counters[plan.name])
    if plan.checksum is not None:
        own = plan.checksum.field.insert(own, plan.checksum.compute(own))
    return own + beyond


def seeds() -> Iterator[tuple[str, bytes]]:
    """Every message of every profile: all bits clear, all set, and a third pattern, each repaired."""
    for number, subject in enumerate(subjects()):
        drive = bytes([number])
        for index, plan in enumerate(subject.profile.messages):
            for pattern in (b"\x00", b"\xff", b"\x5a"):
                head = bytes([_REPAIRED, 5, plan.length_bytes, index])
                drive += head + pattern * plan.length_bytes
        yield subject.profile.name, drive
        yield f"{subject.profile.name}_unrepaired", drive.replace(bytes([_REPAIRED, 5]), b"\x00\x05")
    yield "strangers", bytes([0, _STRANGE_ID, 1, 8, 0]) + b"\x00\x00\x01\x30" + bytes(8) + bytes([_STRANGE_ID | 28, 0])
