"""What a unit of the virtual car makes of the request frames it hears, before it acts on any."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from agent.bench.car_messages import Heard

REQUEST_GAP_S = 1.0  # ten times the interval in which a request is repeated


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

    @property
    def is_valid(self) -> bool:
        """Whether the unit is to act on it."""
        return self in (HeardAs.REQUEST, HeardAs.REPETITION)


class Requests:
    """One unit's checks, as the DBC has them: a good checksum, and a counter that was not just seen."""

    def __init__(self, words: Iterable[str]) -> None:
        self.seen = 0
        """Requests, each counted once however often its frame was repeated."""
        self.frames_seen = 0
        """Request frames that passed the checks."""
        self._words = frozenset(words)
        self._counter: int | None = None
        self._last: tuple[str, float] | None = None

    def hear(self, heard: Heard, now_s: float) -> HeardAs:
        """Judge a request frame."""
        if not heard.is_checksum_good:
            return HeardAs.WRONG_CHECKSUM
        if heard.counter == self._counter:
            return HeardAs.WRONG_COUNTER
        self._counter = heard.counter
        request = str(heard.values["Request"])
        if request not in self._words:
            return HeardAs.NOTHING
        previous, self._last = self._last, (request, now_s)
        self.frames_seen += 1
        if previous is not None and previous[0] == request and now_s - previous[1] <= REQUEST_GAP_S:
            return HeardAs.REPETITION
        self.seen += 1
        return HeardAs.REQUEST

    def forget_counter(self) -> None:
        """The unit was asleep: any counter is a new beginning."""
        self._counter = None
