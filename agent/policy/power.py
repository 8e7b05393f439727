"""The ladder of the 12 V battery (R7): warn, shed load, want the power off, and up again, with hysteresis.

Pure: voltages and times in, the next step out.  A step is due before it is taken, so that it can be announced first.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from agent.model.quick_dataclass import dataclass

# Voltages looked at further apart than this say nothing of the time between: the computer was suspended or held up.
LOOK_GAP_S_MAX: Final = 25.0


class Step(StrEnum):
    """How far down the ladder the car is."""

    NORMAL = "normal"
    WARNED = "warned"
    SHEDDING = "shedding"
    POWER_OFF = "power_off"


class Sign(StrEnum):
    """What has stood for its time."""

    OVER = "over"
    """At or above the voltage at which all is well again."""
    FED = "fed"
    """The car is ready to drive or charges: its converter feeds the battery, whatever the voltage is."""
    LOW = "low"
    LOWER = "lower"
    LOWEST = "lowest"


TRANSITIONS: Final[Mapping[tuple[Step, Sign], Step]] = {
    (Step.NORMAL, Sign.OVER): Step.NORMAL,
    (Step.NORMAL, Sign.FED): Step.NORMAL,
    (Step.NORMAL, Sign.LOW): Step.WARNED,
    (Step.NORMAL, Sign.LOWER): Step.NORMAL,
    (Step.NORMAL, Sign.LOWEST): Step.NORMAL,
    (Step.WARNED, Sign.OVER): Step.NORMAL,
    (Step.WARNED, Sign.FED): Step.WARNED,
    (Step.WARNED, Sign.LOW): Step.WARNED,
    (Step.WARNED, Sign.LOWER): Step.SHEDDING,
    (Step.WARNED, Sign.LOWEST): Step.WARNED,
    (Step.SHEDDING, Sign.OVER): Step.NORMAL,
    (Step.SHEDDING, Sign.FED): Step.WARNED,
    (Step.SHEDDING, Sign.LOW): Step.SHEDDING,
    (Step.SHEDDING, Sign.LOWER): Step.SHEDDING,
    (Step.SHEDDING, Sign.LOWEST): Step.POWER_OFF,
    (Step.POWER_OFF, Sign.OVER): Step.NORMAL,
    (Step.POWER_OFF, Sign.FED): Step.WARNED,
    (Step.POWER_OFF, Sign.LOW): Step.POWER_OFF,
    (Step.POWER_OFF, Sign.LOWER): Step.POWER_OFF,
    (Step.POWER_OFF, Sign.LOWEST): Step.POWER_OFF,
}
"""Every pair. Down one rung at a time, so that no step comes unannounced; any other rung's sign moves nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Volts below which each rung down begins and for how many seconds, and those at which all is well again."""

    warn_v: float
    warn_s: float
    shed_v: float
    shed_s: float
    off_v: float
    off_s: float
    resume_v: float
    resume_s: float

    def stand_s(self, sign: Sign) -> float:
        """How long a sign must stand. To be fed counts after as long as to be well."""
        return {
            Sign.OVER: self.resume_s,
            Sign.FED: self.resume_s,
            Sign.LOW: self.warn_s,
            Sign.LOWER: self.shed_s,
            Sign.LOWEST: self.off_s,
        }[sign]


class Ladder:
    """Where the car stands, and since when each sign has."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._since_s: dict[Sign, float] = {}
        self._noted_at_s = float("-inf")
        self.step = Step.NORMAL

    def note(self, volts: float | None, *, is_fed: bool, now_s: float) -> None:
        """The voltage as it stands now, None if it is not known: then nothing is low, and nothing is over (SR-05)."""
        if now_s - self._noted_at_s > LOOK_GAP_S_MAX:
            self._since_s.clear()
        self._noted_at_s = now_s
        limits = self._limits
        standing = {
            Sign.OVER: volts is not None and volts >= limits.resume_v,
            Sign.FED: is_fed,
            # A converter that feeds nothing is worth a warning; the car that is being used keeps its power.
            Sign.LOW: volts is not None and volts < limits.warn_v,
            Sign.LOWER: volts is not None and volts < limits.shed_v and not is_fed,
            Sign.LOWEST: volts is not None and volts < limits.off_v and not is_fed,
        }
        for sign, stands in standing.items():
            if stands:
                self._since_s.setdefault(sign, now_s)
            else:
                self._since_s.pop(sign, None)

    def due(self) -> Step | None:
        """The step to be taken next, by what was noted last; None to stay."""
        for sign in Sign:
            since_s = self._since_s.get(sign)
            if since_s is None or self._noted_at_s - since_s < self._limits.stand_s(sign):
                continue
            if (step := TRANSITIONS[self.step, sign]) is not self.step:
                return step
        return None

    def next_at(self) -> float:
        """When a step will be due if what was noted last stands; infinity if none will."""
        ends = (
            since_s + self._limits.stand_s(sign)
            for sign, since_s in self._since_s.items()
            if TRANSITIONS[self.step, sign] is not self.step
        )
        return min(ends, default=float("inf"))

    def take(self, step: Step) -> None:
        """Stand on this step from now on."""
        self.step = step
