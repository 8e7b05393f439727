"""Answers of control units about what the car also says by itself: they count while its own word is missing.

An answer is older than it looks, since nobody asks all the time.  So it stands in for a broadcast only if nothing was
broadcast since: READY shows as a value the profile has no word for, and the "off" of a minute ago must not cover it.
"""

from __future__ import annotations

from agent.model.reading import OK, Reading
from agent.profiles.schema import Profile


class StandIns:
    """The newest answer of each path of one profile that is both asked for and broadcast."""

    def __init__(self, profile: Profile) -> None:
        asked = (signal for poll in profile.polls for signal in poll.signals)
        spoken = profile.broadcast_paths
        self._freshness_s = {signal.path: signal.freshness_s for signal in asked if signal.path in spoken}
        self._answers: dict[str, Reading] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._freshness_s

    def __bool__(self) -> bool:
        return bool(self._freshness_s)

    def take(self, reading: Reading) -> None:
        """An answer; one older than what is known is left out."""
        known = self._answers.get(reading.path)
        if known is None or reading.at_s >= known.at_s:
            self._answers[reading.path] = reading

    def outspoken(self, before: Reading | None, reading: Reading) -> None:
        """The car said something itself: when a value of its own is gone again, what was answered before it is old."""
        if before is not None and before.quality is OK and reading.quality is not OK:
            self._answers.pop(reading.path, None)

    def last_for(self, path: str, spoken: Reading | None) -> Reading | None:
        """The answer to be taken for `spoken`, the car's own last word, however old both are; None if there is none."""
        answer = self._answers.get(path)
        if answer is None or spoken is None or spoken.quality is not OK or answer.at_s > spoken.at_s:
            return answer
        return None

    def ends(self) -> list[float]:
        """Until when each answer is fresh."""
        return [answer.at_s + self._freshness_s[path] for path, answer in self._answers.items()]

    def is_fresh(self, answer: Reading, now_s: float) -> bool:
        return now_s - answer.at_s <= self._freshness_s[answer.path]
