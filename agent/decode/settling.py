"""A value that must stand for a while before it counts: states seen for a moment, and jumps of what moves slowly.

Time is that of the frames.  What has no value is told as it comes: only values have to stand.
"""

from __future__ import annotations

import math

from agent.model.reading import Quality, Reading, Value
from agent.profiles.schema import SettleRule

# Of times in logs, which have less left of a double than boot time has.
_RESOLUTION_S = 1e-6


class Settling:
    """The values of one signal, frame by frame.

    A value counts once it has stood for `settle_s`, and as long as it goes on from there by steps of at most
    `step_max`.  One beyond that has to stand again; meanwhile there is none, and the one before counts again if it
    comes back.  That one is forgotten when it was not seen for `freshness_s`.
    """

    def __init__(self, rule: SettleRule, freshness_s: float) -> None:
        self._settle_s = rule.settle_s
        # A hair more, for what binary fractions add.
        self._step_max = rule.step_max * (1 + 1e-9)
        self._freshness_s = freshness_s
        self._good: Value | None = None
        self._good_at_s = -math.inf
        self._is_good_last = False
        self._candidate: Value | None = None
        self._since_s = 0.0

    @property
    def is_pending(self) -> bool:
        """Whether the value last taken still has to stand."""
        return self._candidate is not None

    def begin(self) -> None:
        """What comes next follows nothing that is known."""
        self._good = self._candidate = None
        self._is_good_last = False

    def follow(self, seen_at_s: float) -> None:
        """What comes next follows the reading last taken, which stood until `seen_at_s` at least."""
        if self._is_good_last:
            self._good_at_s = seen_at_s

    def take(self, reading: Reading) -> Reading:
        """The reading, without its value as long as that has to stand."""
        value, at_s = reading.value, reading.at_s
        if at_s - self._good_at_s > self._freshness_s:
            self._good = None
        self._is_good_last = False
        if value is None:
            self._candidate = None
            return reading
        if not self._goes_on(self._good, value):
            if not self._goes_on(self._candidate, value):
                self._since_s = at_s
            self._candidate = value
            if at_s - self._since_s < self._settle_s - _RESOLUTION_S:
                return self._without_value(reading)
        self._good, self._good_at_s, self._is_good_last = value, at_s, True
        self._candidate = None
        return reading

    def _goes_on(self, before: Value | None, value: Value) -> bool:
        if before is None:
            return False
        if isinstance(value, bool | str) or isinstance(before, bool | str):
            return before == value
        return abs(value - before) <= self._step_max

    def _without_value(self, reading: Reading) -> Reading:
        if self._step_max and self._good is not None:
            return reading._replace(value=None, quality=Quality.INVALID, reason="jump")
        return reading._replace(value=None, quality=Quality.UNKNOWN, reason="settling")
