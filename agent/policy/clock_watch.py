"""When the wall clock is news: it came to be known, or trusted otherwise, or it jumped."""

from __future__ import annotations

from agent.model.events import ClockSet, ClockTrust
from agent.model.quick_dataclass import dataclass

# NTP slews a clock by less than this between two records; what is more is a step somebody made.
STEP_S = 1.0


@dataclass(frozen=True, slots=True)
class ClockNews:
    """What is known of the clock now, and was before; `step_s` is by how much it was set, None if it was not known."""

    before: ClockTrust
    now: ClockSet
    step_s: float | None

    @property
    def is_known(self) -> bool:
        """Whether anybody vouches for the time; nobody does for that of a computer that just booted."""
        return self.now.trust is not ClockTrust.FLOOR_ONLY


class ClockWatch:
    """Compares what the clock is with what was told of it."""

    def __init__(self) -> None:
        self._told_offset_s: float | None = None
        self._told_trust = ClockTrust.FLOOR_ONLY

    def news(self, clock: ClockSet) -> ClockNews | None:
        """What is worth telling; comes again until `told`."""
        is_known = clock.trust is not ClockTrust.FLOOR_ONLY
        step_s = None if self._told_offset_s is None else clock.offset_s - self._told_offset_s
        has_stepped = is_known and (step_s is None or abs(step_s) > STEP_S)
        if clock.trust is self._told_trust and not has_stepped:
            return None
        return ClockNews(self._told_trust, clock, step_s if has_stepped else None)

    def told(self, news: ClockNews) -> None:
        self._told_trust = news.now.trust
        if news.is_known:
            self._told_offset_s = news.now.offset_s
