"""What can be wrong with the virtual car."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum

LOCK_ENDINGS = (".IsLocked", ".IsLockedBesideDriver")
IMMOBILISER_ENDINGS = (".IsDriveEnabled",)


class CarFault(StrEnum):
    """What can be wrong with the car.

    `lock_ignores`: the lock unit reports and does not act. `lock_silent`: it acts and does not report: its message is
    missing, with whatever else this car tells in it. `lock_dead`: neither. `lock_slow`: its motors take 2 s.
    `lock_blocked`: they do not move, and it says so if the DBC has a word for that. `lock_refuses`: a control unit that
    is told by diagnostic requests says no (0x22) to what acts; told by frames it can only ignore them. A dead one
    answers no request, a silent one does.
    `immobiliser_…`: likewise. `lamps_dead`: the lamp unit does not act; it never reports.
    `bus_silent`: the bus carries nothing, either way. `wake_deaf`: a sleeping car stays asleep.
    `checksum_wrong`, `counter_stuck`: of every frame that has one.
    """

    LOCK_IGNORES = "lock_ignores"
    LOCK_SILENT = "lock_silent"
    LOCK_DEAD = "lock_dead"
    LOCK_SLOW = "lock_slow"
    LOCK_BLOCKED = "lock_blocked"
    LOCK_REFUSES = "lock_refuses"
    IMMOBILISER_IGNORES = "immobiliser_ignores"
    IMMOBILISER_SILENT = "immobiliser_silent"
    IMMOBILISER_DEAD = "immobiliser_dead"
    IMMOBILISER_SLOW = "immobiliser_slow"
    IMMOBILISER_BLOCKED = "immobiliser_blocked"
    IMMOBILISER_REFUSES = "immobiliser_refuses"
    LAMPS_DEAD = "lamps_dead"
    BUS_SILENT = "bus_silent"
    WAKE_DEAF = "wake_deaf"
    CHECKSUM_WRONG = "checksum_wrong"
    COUNTER_STUCK = "counter_stuck"


_MUTES: Mapping[CarFault, tuple[str, ...]] = {
    CarFault.LOCK_SILENT: LOCK_ENDINGS,
    CarFault.LOCK_DEAD: LOCK_ENDINGS,
    CarFault.IMMOBILISER_SILENT: IMMOBILISER_ENDINGS,
    CarFault.IMMOBILISER_DEAD: IMMOBILISER_ENDINGS,
}


def muted_endings(faults: AbstractSet[CarFault]) -> tuple[str, ...]:
    """Endings of the paths that are not told of while these faults last."""
    return tuple(dict.fromkeys(ending for fault in sorted(faults) for ending in _MUTES.get(fault, ())))
