"""The immobiliser of the virtual car: engaged it keeps the car from starting, and does not stop one that drives."""

from __future__ import annotations

from enum import StrEnum

from agent.bench.car_switch import SwitchUnit

CHANGE_S = 0.3  # the DBC's "about 0.3 s"


class ImmobiliserState(StrEnum):
    """Named as in the DBC's value table."""

    RELEASED = "Released"
    ENGAGED = "Engaged"
    CHANGING = "Changing"
    BLOCKED = "Blocked"


class Immobiliser(SwitchUnit):
    """Released, which is driving enabled, is on."""

    def __init__(self, *, is_drive_enabled: bool = True) -> None:
        super().__init__({"Release": True, "Engage": False}, is_on=is_drive_enabled, travel_s=CHANGE_S)

    @property
    def is_drive_enabled(self) -> bool:
        return self.is_on

    @property
    def state(self) -> ImmobiliserState:
        if self.is_blocked:
            return ImmobiliserState.BLOCKED
        if self.is_moving:
            return ImmobiliserState.CHANGING
        return ImmobiliserState.RELEASED if self.is_on else ImmobiliserState.ENGAGED
