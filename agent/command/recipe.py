"""A profile's recipe as frames (counter and checksum filled in), requests or pulses; rounds counted and spaced."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from agent.model.diagnostics import Request
from agent.model.frame import Frame
from agent.model.pulse import Pulse
from agent.model.quick_dataclass import dataclass
from agent.model.recipe import FrameTemplate


def fill(template: FrameTemplate, counter: int) -> Frame:
    """The frame with its rolling counter (taken modulo its width) and, over the result, its checksum."""
    data = template.data
    if template.counter is not None:
        data = template.counter.insert(data, counter)
    if template.checksum is not None:
        data = template.checksum.field.insert(data, template.checksum.compute(data))
    return Frame(
        bus=template.bus,
        arbitration_id=template.arbitration_id,
        data=data,
        is_extended_id=template.is_extended_id,
        is_fd=template.is_fd,
    )


@dataclass(frozen=True, slots=True)
class Repetition:
    """Rounds of the same frames, requests or pulses: all in order each time, `interval_s` from one start to the next.

    It ends by itself after `rounds_max` rounds, so at most `rounds_max × len(frames)` are ever asked for.
    Nothing is due before `held_until_s`.
    """

    frames: tuple[FrameTemplate | Request | Pulse, ...]
    rounds_max: int
    interval_s: float
    rounds: int = 0
    position: int = 0
    round_at_s: float = -math.inf
    held_until_s: float = -math.inf

    @property
    def is_within_round(self) -> bool:
        """Whether a round has begun and not yet come to its end: its next frame is due at once."""
        return self.position > 0

    @property
    def is_over(self) -> bool:
        return self.rounds >= self.rounds_max and not self.is_within_round

    @property
    def due_s(self) -> float:
        """When the next one may be asked for."""
        return max(self.held_until_s, self.round_at_s + (0.0 if self.is_within_round else self.interval_s))

    def is_due(self, now_s: float) -> bool:
        """Whether the next frame may be asked for now."""
        return not self.is_over and now_s >= self.due_s

    def next_frame(self, now_s: float) -> tuple[Frame | Pulse, Repetition]:
        """The next of the round, and the repetition after it. The rolling counter grows with each frame of an id."""
        if self.is_over:
            raise ValueError("no round left")
        rounds, round_at_s = (self.rounds, self.round_at_s) if self.is_within_round else (self.rounds + 1, now_s)
        own_template = self.frames[self.position]
        after = replace(self, rounds=rounds, position=(self.position + 1) % len(self.frames), round_at_s=round_at_s)
        if isinstance(own_template, Pulse):
            return own_template, after
        if isinstance(own_template, Request):
            return own_template.frame, after
        ids = [_id_of(template) for template in self.frames]
        own = ids[self.position]
        counter = (rounds - 1) * Counter(ids)[own] + ids[: self.position].count(own)
        return fill(own_template, counter), after

    def abandon_round(self) -> Repetition:
        """The round is broken off (a frame of it did not leave); what was asked for stays counted."""
        return replace(self, position=0)


def _id_of(template: FrameTemplate | Request | Pulse) -> tuple[str, int, bool] | None:
    """Which counter a template goes by; a pulse and a request have none."""
    if not isinstance(template, FrameTemplate):
        return None
    return template.bus, template.arbitration_id, template.is_extended_id
