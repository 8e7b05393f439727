"""The lock unit of the virtual car: motors that take their time."""

from __future__ import annotations

from enum import StrEnum

from agent.bench.car_switch import SwitchUnit
from agent.model.command import Action

TRAVEL_S = 0.4  # about what motors take


class LockState(StrEnum):
    """In words that a DBC may have in its value table: what is neither one nor the other shows only there."""

    UNLOCKED = "Unlocked"
    LOCKED = "Locked"
    MOVING = "Moving"
    BLOCKED = "Blocked"


class LockUnit(SwitchUnit):
    """Locked is on."""

    def __init__(self, *, is_locked: bool = True) -> None:
        super().__init__({Action.LOCK: True, Action.UNLOCK: False}, is_on=is_locked, travel_s=TRAVEL_S)

    @property
    def is_locked(self) -> bool:
        return self.is_on

    @property
    def state(self) -> LockState:
        if self.is_blocked:
            return LockState.BLOCKED
        if self.is_moving:
            return LockState.MOVING
        return LockState.LOCKED if self.is_on else LockState.UNLOCKED
