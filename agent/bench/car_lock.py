"""The lock unit of the virtual car: its own checks, motors that take their time, and the ways it can fail."""

from __future__ import annotations

from enum import StrEnum

from agent.bench.car_messages import Heard

TRAVEL_S = 0.4  # the DBC's "about 0.4 s"
SLOW_TRAVEL_S = 2.0
REQUEST_GAP_S = 1.0  # ten times the interval in which a request is repeated


class LockState(StrEnum):
    """Named as in the DBC's value table."""

    UNLOCKED = "Unlocked"
    LOCKED = "Locked"
    MOVING = "Moving"
    BLOCKED = "Blocked"


class HeardAs(StrEnum):
    """What the unit made of a request frame."""

    REQUEST = "request"
    REPETITION = "repetition"
    WRONG_CHECKSUM = "checksum"
    WRONG_COUNTER = "counter"
    NOTHING = "nothing"

    @property
    def is_refusal(self) -> bool:
        return self in (HeardAs.WRONG_CHECKSUM, HeardAs.WRONG_COUNTER)


class LockUnit:
    """Where the locks stand, and where they are on their way to. Times are the caller's `now_s`."""

    def __init__(self, *, is_locked: bool = True) -> None:
        self.is_locked = is_locked
        self.last_request_from = "Nobody"
        self.is_obeying = True
        self.is_blocked = False
        self.travel_s = TRAVEL_S
        self.requests_seen = 0
        """Requests, each counted once however often its frame was repeated."""
        self.frames_seen = 0
        """Request frames that passed the unit's checks."""
        self._target: bool | None = None
        self._arrives_at_s = 0.0
        self._counter: int | None = None
        self._request: tuple[str, float] | None = None

    @property
    def state(self) -> LockState:
        if self.is_blocked:
            return LockState.BLOCKED
        if self._target is not None:
            return LockState.MOVING
        return LockState.LOCKED if self.is_locked else LockState.UNLOCKED

    @property
    def arrives_at_s(self) -> float | None:
        """When the motors will have done their work, None while they stand."""
        return None if self._target is None else self._arrives_at_s

    def hear(self, heard: Heard, now_s: float) -> HeardAs:
        """A LockRequest: acted on with a good checksum and a counter that was not just seen, as the DBC has it."""
        if not heard.is_checksum_good:
            return HeardAs.WRONG_CHECKSUM
        if heard.counter == self._counter:
            return HeardAs.WRONG_COUNTER
        self._counter = heard.counter
        request = heard.values["Request"]
        if request not in ("Lock", "Unlock"):
            return HeardAs.NOTHING
        previous, self._request = self._request, (str(request), now_s)
        self.frames_seen += 1
        self.move(is_locked=request == "Lock", sender="Telematics", now_s=now_s)
        if previous is not None and previous[0] == request and now_s - previous[1] <= REQUEST_GAP_S:
            return HeardAs.REPETITION
        self.requests_seen += 1
        return HeardAs.REQUEST

    def move(self, *, is_locked: bool, sender: str, now_s: float) -> None:
        """Start the motors, unless the locks are there or on their way already, or the unit does not obey."""
        if not self.is_obeying:
            return
        self.last_request_from = sender
        if not self.is_blocked and is_locked != (self.is_locked if self._target is None else self._target):
            self._target = is_locked
            self._arrives_at_s = now_s + self.travel_s

    def advance(self, now_s: float) -> bool:
        """Let time pass; True if the locks have just arrived."""
        if self._target is None or now_s < self._arrives_at_s:
            return False
        self.is_locked = self._target
        self._target = None
        return True

    def forget_counter(self) -> None:
        """The unit was asleep: any counter is a new beginning."""
        self._counter = None
