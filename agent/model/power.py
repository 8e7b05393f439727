"""What a power supervisor says: the device that feeds the computer, measures the 12 V, and can cut the power."""

from __future__ import annotations

from enum import StrEnum

from agent.model.quick_dataclass import dataclass


class Wake(StrEnum):
    """Why the supervisor switched the computer on."""

    POWER = "power"
    IGNITION = "ignition"
    TIMER = "timer"
    BUS = "bus"
    VOLTAGE = "voltage"
    BUTTON = "button"


@dataclass(frozen=True, slots=True)
class SupervisorFound:
    """It answers, or no longer: `detail` says why, for a person."""

    is_there: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SupplyMeasured:
    """The voltage of the 12 V supply, measured at `at_s` (boot time)."""

    volts: float
    at_s: float


@dataclass(frozen=True, slots=True)
class IgnitionLine:
    """The ignition wire (terminal 15) has power, or not."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class PowerFails:
    """The supply is gone; what is left in the supervisor lasts for seconds."""


@dataclass(frozen=True, slots=True)
class Woken:
    """Why the computer runs."""

    reason: Wake


SupervisorNews = SupervisorFound | SupplyMeasured | IgnitionLine | PowerFails | Woken
