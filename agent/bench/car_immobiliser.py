"""The immobiliser of the virtual car: engaged it keeps the car from starting, and does not stop one that drives."""

from __future__ import annotations

from enum import StrEnum

from agent.bench.car_switch import SwitchUnit
from agent.model.command import Action

CHANGE_S = 0.3  # about what such a unit takes


class ImmobiliserState(StrEnum):
    """In words that a DBC may have in its value table: what is neither one nor the other shows only there."""

    RELEASED = "Released"
    ENGAGED = "Engaged"
    CHANGING = "Changing"
    BLOCKED = "Blocked"


class Immobiliser(SwitchUnit):
    """Released, which is driving enabled, is on."""

    def __init__(self, *, is_drive_enabled: bool = True) -> None:
        super().__init__(
            {Action.ENABLE_DRIVE: True, Action.DISABLE_DRIVE: False}, is_on=is_drive_enabled, travel_s=CHANGE_S
        )

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
