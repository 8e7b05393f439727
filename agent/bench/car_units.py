"""The units of the virtual car that act when asked: a lock, which may lock again by itself, immobiliser and lamps."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from agent.bench.car_ear import Heard
from agent.bench.car_faults import CarFault
from agent.bench.car_immobiliser import Immobiliser
from agent.bench.car_lamps import LampUnit
from agent.bench.car_lock import LockUnit
from agent.bench.car_requests import HeardAs
from agent.model.command import Action

Note = tuple[str, dict[str, object]]
"""Name and fields of something to be told."""


class CarUnits:
    """With `relock_after_s` the car locks again so long after it was unlocked, if nobody opened a door."""

    def __init__(self, *, is_locked: bool, is_drive_enabled: bool, relock_after_s: float | None) -> None:
        self.lock = LockUnit(is_locked=is_locked)
        self.immobiliser = Immobiliser(is_drive_enabled=is_drive_enabled)
        self.lamps = LampUnit()
        self._relock_after_s = relock_after_s
        self._relocks_at_s: float | None = None

    @property
    def is_moving(self) -> bool:
        return self.lock.is_moving or self.immobiliser.is_moving

    @property
    def times_s(self) -> Iterator[float]:
        """When something will be done without being asked for."""
        for time_s in (self.lock.arrives_at_s, self.immobiliser.arrives_at_s, self._relocks_at_s):
            if time_s is not None:
                yield time_s

    def hear(self, heard: Heard, now_s: float) -> Note | None:
        """A request of which the last frame has just come."""
        unit: LockUnit | Immobiliser | LampUnit
        match heard.action:
            case Action.UNLOCK | Action.LOCK:
                unit, name = self.lock, "lock_request"
            case Action.ENABLE_DRIVE | Action.DISABLE_DRIVE:
                unit, name = self.immobiliser, "drive_request"
            case Action.LOCATE:
                unit, name = self.lamps, "locate_request"
            case _:
                return None
        heard_as = unit.hear(heard, now_s)
        if heard_as is HeardAs.REQUEST:
            return name, {"count": unit.requests.seen, "request": heard.action.name.lower()}
        return (f"{name}_refused", {"why": heard_as.value}) if heard_as.is_refusal else None

    def relock(self, now_s: float) -> None:
        """Do it now."""
        self._relocks_at_s = now_s

    def forget_relock(self) -> None:
        """Somebody is there."""
        self._relocks_at_s = None

    def forget_counters(self) -> None:
        """The units were asleep."""
        for unit in (self.lock, self.immobiliser, self.lamps):
            unit.requests.forget_counter()

    def advance(self, now_s: float) -> Iterator[Note]:
        """Let time pass; what has come about."""
        if self._relocks_at_s is not None and self._relocks_at_s <= now_s:
            self._relocks_at_s = None
            if not self.lock.is_locked:
                self.lock.change(True, now_s=now_s)
                yield "relocks", {}
        if self.lock.advance(now_s):
            if not self.lock.is_locked and self._relock_after_s is not None:
                self._relocks_at_s = now_s + self._relock_after_s
            yield "lock_moved", {"state": self.lock.state.value}
        if self.immobiliser.advance(now_s):
            yield "immobiliser_changed", {"state": self.immobiliser.state.value}

    def break_by(self, faults: AbstractSet[CarFault]) -> None:
        """From now on exactly these faults are there."""
        lock, immobiliser = self.lock, self.immobiliser
        lock.is_obeying = not faults & {CarFault.LOCK_IGNORES, CarFault.LOCK_DEAD, CarFault.LOCK_REFUSES}
        lock.is_blocked = CarFault.LOCK_BLOCKED in faults
        lock.is_slow = CarFault.LOCK_SLOW in faults
        immobiliser.is_obeying = not faults & {
            CarFault.IMMOBILISER_IGNORES,
            CarFault.IMMOBILISER_DEAD,
            CarFault.IMMOBILISER_REFUSES,
        }
        immobiliser.is_blocked = CarFault.IMMOBILISER_BLOCKED in faults
        immobiliser.is_slow = CarFault.IMMOBILISER_SLOW in faults
        self.lamps.is_dead = CarFault.LAMPS_DEAD in faults
