"""Calling a sleeping bus: when the calls end, and until when a woken car has time to speak (amendment A3)."""

from __future__ import annotations

import math

from agent.command.recipe import Repetition
from agent.model.quick_dataclass import dataclass
from agent.model.recipe import WakeUp


@dataclass(slots=True)
class WakeCall:
    """`since_s` is when the command found the bus asleep, None if it was awake: of a car that was asleep only what it
    says from then on counts.  `woken_at_s` is when its first frame came.
    """

    calls: Repetition
    settle_s: float
    since_s: float | None
    woken_at_s: float | None = None

    @classmethod
    def of(cls, wake: WakeUp | None, since_s: float | None) -> WakeCall:
        if wake is None:
            return cls(Repetition((), 0, 0.0), 0.0, since_s)
        return cls(Repetition(wake.frames, wake.tries_max, wake.interval_s), wake.settle_s, since_s)

    @property
    def calls_end_s(self) -> float:
        """After the last call the car has as long to answer as to settle."""
        return self.calls.due_s - self.calls.interval_s + max(self.calls.interval_s, self.settle_s)

    @property
    def next_at_s(self) -> float:
        """When the next call is due, or the last one counts as unheard."""
        return self.calls_end_s if self.calls.is_over else self.calls.due_s

    @property
    def settled_at_s(self) -> float:
        """Until when a woken car's preconditions are waited for; infinity before it woke."""
        return math.inf if self.woken_at_s is None else self.woken_at_s + self.settle_s
