"""What of a profile is heard in recordings, what is not believed and why, and what the profile has no word for.

A *mismatch* is an id that is heard and whose frames are not what the profile says: the same id means something else on
this car, or the profile is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import field

from agent.decode.decoder import Decoder
from agent.decode.overheard import Overheard
from agent.decode.screen import FrameCounts
from agent.errors import ConfigurationError
from agent.model.frame import BitField, Frame
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Quality, Reading, Value
from agent.profile_tools.odometer import Journey
from agent.profile_tools.traffic import IDS_MAX, FrameId, Rhythm, id_of
from agent.profiles.schema import MessagePlan, PollPlan, Profile

FRAMES_MIN = 3
"""Fewer frames than this prove nothing against a profile: one can be a fault on the wire."""

MISFIT_SHARE = 0.5
"""When more than half of what was heard cannot be, it is the profile that is wrong and not the frames."""

SETTLING_MIN = 50
"""Readings that still had to stand, and never one that had: no state or slow value of a car changes with each frame."""

VALUES_MAX = 12
"""Words of one signal that are listed; a signal with more of them is a number."""

NO_MEANING, SETTLING = "no_meaning", "settling"
MISFIT_REASONS = frozenset({"out_of_range", "jump"})
"""Reasons that speak against the profile; a marker for "not known" or a missing condition does not."""


@dataclass(slots=True)
class MessageSeen:
    """Frames of one message of the profile, over all logs."""

    plan: MessagePlan
    rhythm: Rhythm = field(default_factory=Rhythm)
    counts: FrameCounts = field(default_factory=FrameCounts)

    def add(self, counts: FrameCounts) -> None:
        self.counts.received += counts.received
        self.counts.refused_length += counts.refused_length
        self.counts.refused_checksum += counts.refused_checksum
        self.counts.refused_counter += counts.refused_counter
        self.counts.unknown_selector += counts.unknown_selector


@dataclass(slots=True)
class PollSeen:
    """Answers to one poll, over all logs, whoever asked."""

    plan: PollPlan
    signals: tuple[SignalSeen, ...]
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class SignalSeen:
    """Readings of one path: those with a value, the others by reason, and what the values were."""

    path: str
    message: str
    unit: str | None
    bits: BitField
    ok: int = 0
    not_ok: Counter[str] = field(default_factory=Counter)
    low: float | None = None
    high: float | None = None
    values: dict[Value, int] = field(default_factory=dict)
    meaningless: set[int] = field(default_factory=set)

    def hear_meaningless(self, raw: int) -> None:
        if len(self.meaningless) < VALUES_MAX:
            self.meaningless.add(raw)

    def hear(self, reading: Reading) -> None:
        value = reading.value
        if reading.quality is not Quality.OK or value is None:
            self.not_ok[reading.reason or reading.quality.value] += 1
            return
        self.ok += 1
        if isinstance(value, bool | str):
            if value in self.values or len(self.values) < VALUES_MAX:
                self.values[value] = self.values.get(value, 0) + 1
        else:
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)

    @property
    def misfits(self) -> dict[str, int]:
        """Readings by reason that speak against the profile."""
        return {reason: count for reason, count in self.not_ok.items() if self._is_misfit(reason, count)}

    def _is_misfit(self, reason: str, count: int) -> bool:
        if reason == NO_MEANING:
            return len(self.meaningless) > 1  # one raw value alone is "not available"
        if reason == SETTLING:
            return not self.ok and count >= SETTLING_MIN
        return reason in MISFIT_REASONS


@dataclass(frozen=True, slots=True)
class Mismatch:
    """`kind`: length, checksum, counter, multiplexer, values, journey, bus (it came on `other_bus`, not on its own)."""

    plan: MessagePlan
    kind: str
    problem: str
    other_bus: str | None = None

    @property
    def bus(self) -> str:
        """Where the frames came that do not fit."""
        return self.plan.bus if self.other_bus is None else self.other_bus


class Coverage:
    """Takes logs one after another (`hear`), or frames as they come; the rest is asked after the end of a log."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.messages = {plan.name: MessageSeen(plan) for plan in profile.messages}
        self.signals = {
            signal.path: SignalSeen(signal.path, plan.name, signal.unit, signal.field)
            for plan in profile.messages
            for signal in plan.signals
        }
        self.polls = {plan.name: PollSeen(plan, _answered(plan)) for plan in profile.polls}
        self.unknown: dict[FrameId, Rhythm] = {}
        self.sent = {FrameId(rule.bus, rule.arbitration_id, rule.is_extended_id) for rule in profile.send_list}
        self.frames = 0
        self.duration_s = 0.0
        self._journey = Journey(profile)
        self._decoder, self._overheard = Decoder(profile), Overheard(profile)
        self._begin_s: float | None = None
        self._end_s = 0.0

    def hear(self, frames: Iterable[Frame]) -> None:
        """All frames of one log, in its order, on the profile's buses."""
        for frame in frames:
            self.take(frame)
        self.end_log()

    def take(self, frame: Frame) -> None:
        """One frame; `end_log` after the last of them."""
        self.frames += 1
        at_s = frame.received_at_s
        self._begin_s = at_s if self._begin_s is None else self._begin_s
        self._end_s = at_s
        if self._overheard.takes(frame):
            self._hear_answers(self._overheard.hear(frame))
            return
        message = self._decoder.message_of(frame)
        rhythm = self._unknown_rhythm(frame) if message is None else self.messages[message].rhythm
        rhythm.hear(len(frame.data), at_s)
        if message is not None:
            self._hear_readings(self._decoder.receive(frame), frame.data)

    def end_log(self) -> None:
        """What comes next is of another log: its times and counters begin anew."""
        if self._begin_s is not None:
            self.duration_s += max(self._end_s - self._begin_s, 0.0)
        self._begin_s = None
        for name, counts in self._decoder.counts.items():
            self.messages[name].add(counts)
        for rhythm in (*self.unknown.values(), *(seen.rhythm for seen in self.messages.values())):
            rhythm.end_log()
        self._journey.end_log()
        for name, answers in self._overheard.counts.items():
            self.polls[name].counts += answers
        self._decoder, self._overheard = Decoder(self.profile), Overheard(self.profile)

    def mismatches(self) -> list[Mismatch]:
        """By message in the order of the profile."""
        found = [mismatch for seen in self.messages.values() for mismatch in self._of_message(seen)]
        found += [Mismatch(plan, "journey", problem) for plan, problem in self._journey.contradictions()]
        found += self._on_another_bus()
        return found

    def never_heard(self) -> list[MessagePlan]:
        return [seen.plan for seen in self.messages.values() if not seen.rhythm.frames]

    def _on_another_bus(self) -> Iterator[Mismatch]:
        """Ids of messages that came on another bus instead, where nothing that the profile knows did: wires mixed up.

        Where something known comes too, an id it has no word for has a meaning of its own there, as ids do.
        """
        fitting = {bus for seen in self.messages.values() if seen.rhythm.frames for bus in seen.plan.buses}
        for key, rhythm in sorted(self.unknown.items()):
            is_strange = rhythm.frames >= FRAMES_MIN and key.bus not in fitting
            for plan in self.never_heard() if is_strange else ():
                if (plan.arbitration_id, plan.is_extended_id) == (key.arbitration_id, key.is_extended_id):
                    problem = (
                        f"{rhythm.frames} frames came on {key.bus} and none on {plan.bus}: "
                        "mixed-up wires, or another meaning on this car"
                    )
                    yield Mismatch(plan, "bus", problem, key.bus)

    def _hear_readings(self, readings: Iterable[Reading], data: bytes) -> None:
        for reading in readings:
            seen = self.signals[reading.path]
            seen.hear(reading)
            if reading.reason == NO_MEANING:
                seen.hear_meaningless(seen.bits.extract(data))
            self._journey.hear(reading)

    def _hear_answers(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            for seen in self.polls[reading.message].signals:
                if seen.path == reading.path:
                    seen.hear(reading)

    def _unknown_rhythm(self, frame: Frame) -> Rhythm:
        key = id_of(frame)
        if key not in self.unknown and len(self.unknown) >= IDS_MAX:
            raise ConfigurationError(f"more than {IDS_MAX} ids; this is no recording of a car's bus")
        return self.unknown.setdefault(key, Rhythm())

    def _of_message(self, seen: MessageSeen) -> Iterator[Mismatch]:
        plan, counts = seen.plan, seen.counts
        heard = counts.received
        if heard < FRAMES_MIN:
            return
        longest = max(seen.rhythm.lengths)
        if _is_most(counts.refused_length, heard):
            problem = f"{_of(counts.refused_length, heard)} frames have fewer bytes than the {plan.length_bytes} it has"
            yield Mismatch(plan, "length", problem)
            return
        if min(seen.rhythm.lengths) > plan.length_bytes > _needed_bytes(plan):
            yield Mismatch(
                plan, "length", f"its frames have up to {longest} bytes, and the DBC says {plan.length_bytes}"
            )
        whole = heard - counts.refused_length
        if _is_most(counts.refused_checksum, whole):
            yield Mismatch(plan, "checksum", f"{_of(counts.refused_checksum, whole)} frames have a wrong checksum")
            return
        whole -= counts.refused_checksum
        if _is_most(counts.refused_counter, whole):
            problem = f"in {_of(counts.refused_counter, whole)} frames the counter stands or leaps"
            yield Mismatch(plan, "counter", problem)
            return
        if _is_most(counts.unknown_selector, whole):
            problem = f"{_of(counts.unknown_selector, whole)} frames have a multiplexer value the DBC does not know"
            yield Mismatch(plan, "multiplexer", problem)
        yield from self._of_values(plan)

    def _of_values(self, plan: MessagePlan) -> Iterator[Mismatch]:
        for signal in plan.signals:
            seen = self.signals[signal.path]
            misfits = sum(seen.misfits.values())
            if _is_most(misfits, whole := seen.ok + misfits):
                problem = f"{_of(misfits, whole)} values of {seen.path} cannot be ({', '.join(sorted(seen.misfits))})"
                yield Mismatch(plan, "values", problem)


def _answered(plan: PollPlan) -> tuple[SignalSeen, ...]:
    return tuple(SignalSeen(signal.path, plan.name, signal.unit, signal.field) for signal in plan.signals)


def _needed_bytes(plan: MessagePlan) -> int:
    """Up to the last bit that is wanted. A DBC that gives the message no more does not say how long it is."""
    return max(((signal.field.mask.bit_length() + 7) // 8 for signal in plan.signals), default=0)


def _is_most(count: int, whole: int) -> bool:
    return count >= FRAMES_MIN and count > MISFIT_SHARE * whole


def _of(count: int, whole: int) -> str:
    return f"all {whole}" if count == whole else f"{count} of {whole}"
