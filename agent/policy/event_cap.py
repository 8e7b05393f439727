"""No input, however it flaps, makes more events than a stated rate; what is held back is counted and told."""

from __future__ import annotations

from collections import deque

from agent.model.quick_dataclass import dataclass

WINDOW_S = 3600.0

# So often at most it is told what was held back: a flapping input must not flood by being told of.
TOLD_INTERVAL_S = 600.0


@dataclass(frozen=True, slots=True)
class Suppressed:
    """What was held back of one input since it was last told: events beyond the cap, and bounces."""

    name: str
    capped: int
    bounced: int


class EventCap:
    """Times of the events of the last hour, by input; never more of one input than its cap."""

    def __init__(self) -> None:
        self._told_at_s: dict[str, deque[float]] = {}
        self._capped: dict[str, int] = {}
        self._bounced: dict[str, int] = {}
        self._tell_at_s = float("-inf")

    def allows(self, name: str, per_hour_max: int, now_s: float) -> bool:
        """Whether one more event of this input is within its cap; it counts from here on, as told or as held back."""
        times_s = self._told_at_s.setdefault(name, deque())
        while times_s and times_s[0] <= now_s - WINDOW_S:
            times_s.popleft()
        if len(times_s) >= per_hour_max:
            self._capped[name] = self._capped.get(name, 0) + 1
            return False
        times_s.append(now_s)
        return True

    def note_bounce(self, name: str) -> None:
        """A change that did not stand for its time."""
        self._bounced[name] = self._bounced.get(name, 0) + 1

    def take_suppressed(self, now_s: float, *, is_last: bool = False) -> tuple[Suppressed, ...]:
        """What is to be told of what was held back; empty when nothing was, or it was told a short while ago."""
        names = sorted(self._capped.keys() | self._bounced.keys())
        if not names or (now_s < self._tell_at_s and not is_last):
            return ()
        self._tell_at_s = now_s + TOLD_INTERVAL_S
        found = tuple(Suppressed(name, self._capped.get(name, 0), self._bounced.get(name, 0)) for name in names)
        self._capped.clear()
        self._bounced.clear()
        return found
