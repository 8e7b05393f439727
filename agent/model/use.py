"""How the car is being used, as far as it matters for what is told of it and how often."""

from __future__ import annotations

from enum import StrEnum

from agent.model.quick_dataclass import dataclass


class VehicleUse(StrEnum):
    """The first that applies: driving, charging, awake, asleep."""

    DRIVING = "driving"
    CHARGING = "charging"
    AWAKE = "awake"
    ASLEEP = "asleep"


@dataclass(frozen=True, slots=True)
class Pace:
    """A value that changes is told no oftener than `interval_s_min`, one that does not at least every
    `interval_s_max` (None: not again)."""

    interval_s_min: float
    interval_s_max: float | None = None
