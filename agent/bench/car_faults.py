"""What can be wrong with the virtual car."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from enum import StrEnum


class CarFault(StrEnum):
    """What can be wrong with the car.

    `lock_ignores`: the lock unit reports and does not act. `lock_silent`: it acts and does not report.
    `lock_dead`: neither. `lock_slow`: its motors take 2 s. `lock_blocked`: they do not move, and it says so.
    `immobiliser_…`: likewise. `lamps_dead`: the lamp unit does not act; it never reports.
    `bus_silent`: the bus carries nothing, either way. `wake_deaf`: a sleeping car stays asleep.
    `checksum_wrong`, `counter_stuck`: of every frame that has one.
    """

    LOCK_IGNORES = "lock_ignores"
    LOCK_SILENT = "lock_silent"
    LOCK_DEAD = "lock_dead"
    LOCK_SLOW = "lock_slow"
    LOCK_BLOCKED = "lock_blocked"
    IMMOBILISER_IGNORES = "immobiliser_ignores"
    IMMOBILISER_SILENT = "immobiliser_silent"
    IMMOBILISER_DEAD = "immobiliser_dead"
    IMMOBILISER_SLOW = "immobiliser_slow"
    IMMOBILISER_BLOCKED = "immobiliser_blocked"
    LAMPS_DEAD = "lamps_dead"
    BUS_SILENT = "bus_silent"
    WAKE_DEAF = "wake_deaf"
    CHECKSUM_WRONG = "checksum_wrong"
    COUNTER_STUCK = "counter_stuck"


_MUTES = {
    CarFault.LOCK_SILENT: "LockStatus",
    CarFault.LOCK_DEAD: "LockStatus",
    CarFault.IMMOBILISER_SILENT: "DriveStatus",
    CarFault.IMMOBILISER_DEAD: "DriveStatus",
}


def muted_messages(faults: AbstractSet[CarFault]) -> frozenset[str]:
    """Messages of which no frame is sent while these faults last."""
    return frozenset(message for fault, message in _MUTES.items() if fault in faults)
