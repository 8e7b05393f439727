"""What a unit of the virtual car makes of the request frames it hears, before it acts on any."""

from __future__ import annotations

from enum import StrEnum

from agent.bench.car_ear import Heard
from agent.model.command import Action

REQUEST_GAP_S = 2.0  # more than the interval in which any profile repeats a request


class HeardAs(StrEnum):
    """What the unit made of a request frame."""

    REQUEST = "request"
    REPETITION = "repetition"
    WRONG_CHECKSUM = "checksum"
    WRONG_COUNTER = "counter"

    @property
    def is_refusal(self) -> bool:
        return self in (HeardAs.WRONG_CHECKSUM, HeardAs.WRONG_COUNTER)

    @property
    def is_valid(self) -> bool:
        """Whether the unit is to act on it."""
        return self in (HeardAs.REQUEST, HeardAs.REPETITION)


class Requests:
    """One unit's checks: a good checksum, and a counter, if there is one, that was not just seen."""

    def __init__(self) -> None:
        self.seen = 0
        """Requests, each counted once however often its frame was repeated."""
        self.frames_seen = 0
        """Request frames that passed the checks."""
        self._counter: int | None = None
        self._last: tuple[Action, float] | None = None

    def hear(self, heard: Heard, now_s: float) -> HeardAs:
        """Judge a request frame."""
        if not heard.is_checksum_good:
            return HeardAs.WRONG_CHECKSUM
        if heard.counter is not None and heard.counter == self._counter:
            return HeardAs.WRONG_COUNTER
        self._counter = heard.counter
        previous, self._last = self._last, (heard.action, now_s)
        self.frames_seen += 1
        if previous is not None and previous[0] is heard.action and now_s - previous[1] <= REQUEST_GAP_S:
            return HeardAs.REPETITION
        self.seen += 1
        return HeardAs.REQUEST

    def forget_counter(self) -> None:
        """The unit was asleep: any counter is a new beginning."""
        self._counter = None
