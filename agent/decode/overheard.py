"""Answers of control units in what is heard, whoever asked: from the frames of a recording to readings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import field

from agent.decode.answer import Answers, Unanswered
from agent.decode.segments import Heard, Segments
from agent.model.diagnostics import NEGATIVE
from agent.model.frame import Frame
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Reading
from agent.profiles.schema import PollPlan, Profile

SEGMENT_GAP_S = 1.0
"""N_Cr of ISO 15765-2: what comes later than this after the frame before it is no part of the same answer."""

ANSWERED = "answered"
"""How answers that gave readings are counted."""

_Source = tuple[str, int, bool]
"""Bus and identifier that answers come with."""


@dataclass(slots=True)
class _Unit:
    """One control unit: the answer it is in the middle of, and the polls it answers."""

    segments: Segments
    polls: list[tuple[PollPlan, Answers]] = field(default_factory=list)
    first_at_s: float = 0.0
    last_at_s: float = 0.0


class Overheard:
    """Reads the answers to a profile's polls. `counts` tells by name of the poll how often, and why not."""

    def __init__(self, profile: Profile) -> None:
        self._units: dict[_Source, dict[bytes, _Unit]] = {}
        for plan in profile.polls:
            units = self._units.setdefault((plan.bus, plan.response_id, plan.is_extended_id), {})
            unit = units.setdefault(plan.address, _Unit(Segments(plan.address)))
            unit.polls.append((plan, Answers(plan)))
        self.counts: Mapping[str, Counter[str]] = {plan.name: Counter() for plan in profile.polls}

    def takes(self, frame: Frame) -> bool:
        """Whether a frame is of an identifier that answers come with."""
        return not frame.is_fd and (frame.bus, frame.arbitration_id, frame.is_extended_id) in self._units

    def hear(self, frame: Frame) -> tuple[Reading, ...]:
        """The readings of an answer that this frame completes; their time is that of its first frame."""
        units = self._units.get((frame.bus, frame.arbitration_id, frame.is_extended_id), {})
        for unit in units.values():
            if (payload := _taken(unit, frame)) is not None:
                return self._read(unit, payload)
        return ()

    def _read(self, unit: _Unit, payload: bytes) -> tuple[Reading, ...]:
        if payload[0] == NEGATIVE:
            # It names the service and not the identifier, so of several polls it is not known which was refused.
            if len(unit.polls) == 1 and len(payload) == 3:
                self.counts[unit.polls[0][0].name][Unanswered.NEGATIVE_ANSWER] += 1
            return ()
        for plan, answers in unit.polls:
            found = answers.read(payload, unit.first_at_s)
            if not isinstance(found, Unanswered):
                self.counts[plan.name][ANSWERED] += 1
                return found
            if found is not Unanswered.WRONG_ECHO:
                self.counts[plan.name][found] += 1
                return ()
        return ()


def _taken(unit: _Unit, frame: Frame) -> bytes | None:
    """The payload if this frame completes one."""
    segments, at_s = unit.segments, frame.received_at_s
    if segments.is_open and not 0.0 <= at_s - unit.last_at_s <= SEGMENT_GAP_S:
        segments.forget()
    was_open = segments.is_open
    taken = segments.take(frame.data)
    if taken is Heard.BROKEN:
        # Frames of a recording are lost: what broke off an answer may be the beginning of another.
        was_open, taken = False, segments.take(frame.data)
    if taken is not Heard.ASIDE:
        unit.last_at_s = at_s
    if taken is Heard.BEGUN or (isinstance(taken, bytes) and not was_open):
        unit.first_at_s = at_s
    return taken if isinstance(taken, bytes) else None
