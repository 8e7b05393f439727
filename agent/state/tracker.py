"""Readings folded into vehicle state: the newest of each path, with its age."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.model.reading import Quality, Reading
from agent.profiles.schema import Profile


class Tracker:
    """The newest reading of every path of one profile.

    A path that never came is `unknown`/`never_received`; one whose frames stopped for longer than its
    freshness is `stale`/`not_received`, whatever it was before (SR-05).  Nothing has a default value.
    """

    def __init__(self, profile: Profile) -> None:
        self._freshness_s: Mapping[str, float] = {
            signal.path: signal.freshness_s for message in profile.messages for signal in message.signals
        }
        self._units = {signal.path: signal.unit for message in profile.messages for signal in message.signals}
        self._paths: dict[str, tuple[str, ...]] = {
            message.name: tuple(signal.path for signal in message.signals) for message in profile.messages
        }
        self._newest: dict[str, Reading] = {}

    def fold(self, readings: Iterable[Reading]) -> None:
        """Take readings in; one older than what is known is left out."""
        for reading in readings:
            known = self._newest.get(reading.path)
            if known is None or reading.at_s >= known.at_s:
                self._newest[reading.path] = reading

    def seen(self, message: str, at_s: float) -> None:
        """A frame of this message came at `at_s` that changed nothing."""
        for path in self._paths[message]:
            known = self._newest.get(path)
            if known is not None and known.at_s < at_s:
                self._newest[path] = replace(known, at_s=at_s)

    def reading(self, path: str, now_s: float) -> Reading:
        """What is known of `path` now; `at_s` is when it was last received."""
        known = self._newest.get(path)
        if known is None:
            return Reading(path, None, self._units.get(path), now_s, Quality.UNKNOWN, "never_received")
        if now_s - known.at_s > self._freshness_s[path]:
            return replace(known, value=None, quality=Quality.STALE, reason="not_received")
        return known

    def last_known(self, path: str) -> Reading | None:
        """The newest reading however old it is: for display beside its age, never for a decision."""
        return self._newest.get(path)

    def snapshot(self, now_s: float) -> dict[str, Reading]:
        """Every path of the profile as it stands now."""
        return {path: self.reading(path, now_s) for path in self._freshness_s}

    def next_stale_at(self, now_s: float) -> float | None:
        """When the next fresh reading grows stale if nothing comes, None if none is fresh."""
        ends = (known.at_s + self._freshness_s[path] for path, known in self._newest.items())
        return min((end for end in ends if end >= now_s), default=None)
