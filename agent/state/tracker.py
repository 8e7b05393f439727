"""Readings folded into vehicle state: the newest of each path, with its age."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

from agent.model.reading import OK, STALE, UNKNOWN, Heard, Reading
from agent.profiles.schema import Profile
from agent.state.derived import RiseCounter, derive
from agent.state.stand_ins import StandIns


class Tracker:
    """The newest reading of every path of one profile.

    A path that never came is `unknown`/`never_received`; one whose frames stopped for longer than its
    freshness is `stale`/`not_received`, whatever it was before (SR-05).  Nothing has a default value.
    """

    def __init__(self, profile: Profile) -> None:
        asked = [signal for poll in profile.polls for signal in poll.signals]
        # The car's own word first where it is asked for too.
        signals = [*asked, *(signal for message in profile.messages for signal in message.signals)]
        self._freshness_s: Mapping[str, float] = {signal.path: signal.freshness_s for signal in signals}
        self.tightest_s = min((signal.freshness_s for signal in signals), default=0.0)
        """No reading younger than this is stale."""
        self._units = {signal.path: signal.unit for signal in signals}
        # Each answer tells all it has: no group of what is asked for is ever only seen again.
        self._group_of = dict.fromkeys((signal.path for signal in asked), len(profile.groups))
        self._group_of |= {signal.path: number for number, group in enumerate(profile.groups) for signal in group}
        self._stand_ins = StandIns(profile)
        self._has_stand_ins = bool(self._stand_ins)
        self._excuses: dict[str, tuple[str, float]] = {}
        # Most frames say only that what they carry was seen again: one time for all the paths of a group.
        self._seen_at_s = [-math.inf] * (len(profile.groups) + 1)
        # Of groups that go on coming: on which buses, and within which time. Until when that is known, by bus.
        self._going_on: dict[int, dict[str, float]] = {}
        self._known_at_s = {bus.name: -math.inf for bus in profile.buses}
        numbers = itertools.count()
        self._groups = {message.name: [next(numbers) for _ in message.groups] for message in profile.messages}
        self._newest: dict[str, Reading] = {}
        self._derived = {plan.path: plan for plan in profile.derived}
        self.paths = (*self._freshness_s, *self._derived)
        self._rises = RiseCounter(profile.derived)
        self._has_more_to_note = bool(profile.derived or self._stand_ins)
        self.dependents: Mapping[str, tuple[str, ...]] = {
            path: tuple(plan.path for plan in profile.derived if path in plan.inputs) for path in self._freshness_s
        }
        """By path, the derived states that it is an input of."""

    def hear(self, heard: Heard, at_s: float) -> None:
        """Take in what a frame received at `at_s` told."""
        groups, changed = heard
        if changed:
            self.fold(changed)
        seen_at_s = self._seen_at_s
        for group in groups:
            if at_s > seen_at_s[group]:
                seen_at_s[group] = at_s

    def goes_on(self, message: str, bus: str, within_s: float) -> None:
        """From now on this message goes on coming on this bus, at least every `within_s` and without a change, until
        it is said that nobody knows any more. Of what is not known yet that says nothing.
        """
        for group in self._groups[message]:
            self._going_on.setdefault(group, {})[bus] = within_s

    def goes_on_no_more(self, message: str, bus: str, by_s: float) -> None:
        """Nobody knows any more whether this message goes on; until `by_s` it did, as far as that was known."""
        until_s = min(by_s, self._known_at_s[bus])
        for group in self._groups[message]:
            if (on := self._going_on.get(group)) is None or bus not in on:
                continue
            self._seen_at_s[group] = max(self._seen_at_s[group], until_s - on.pop(bus))
            if not on:
                del self._going_on[group]

    def known_until(self, bus: str, at_s: float) -> None:
        """What goes on coming on this bus had not stopped by `at_s`."""
        self._known_at_s[bus] = at_s

    def fold(self, readings: Iterable[Reading]) -> None:
        """Take readings in; one older than what is known is left out."""
        newest, seen_at_s, group_of = self._newest, self._seen_at_s, self._group_of
        for reading in readings:
            path, at_s = reading[0], reading[3]
            known = newest.get(path)
            if known is None or (at_s >= known[3] and at_s >= seen_at_s[group_of[path]]):
                newest[path] = reading
                if self._excuses:
                    self._excuses.pop(path, None)
                if self._has_more_to_note:
                    self._stand_ins.outspoken(known, reading)
                    self._rises.note(reading)

    def answer(self, readings: Iterable[Reading]) -> None:
        """Take in what a control unit answered."""
        for reading in readings:
            if reading.path in self._stand_ins:
                self._stand_ins.take(reading)
            else:
                self.fold([reading])

    def excuse(self, paths: Iterable[str], reason: str, at_s: float) -> None:
        """Why what is asked for is not there, or will grow old; until something comes."""
        self._excuses.update((path, (reason, at_s)) for path in paths if path not in self._stand_ins)

    def reading(self, path: str, now_s: float) -> Reading:
        """What is known of `path` now; `at_s` is when it was last received."""
        if (plan := self._derived.get(path)) is not None:
            return derive(plan, lambda source: self.reading(source, now_s), self._rises.count(path))
        known = self._spoken(path)
        is_spoken = known is not None and known.quality is OK and now_s - known.at_s <= self._freshness_s[path]
        if not is_spoken and (answer := self._stand_ins.last_for(path, known)) is not None:
            is_fresh = self._stand_ins.is_fresh(answer, now_s)
            if is_fresh and answer.quality is OK:
                return answer
            if known is None:
                stale = answer._replace(value=None, quality=STALE, reason="not_received")
                return answer if is_fresh else stale
        if known is None:
            reason, at_s = self._excuses.get(path, ("never_received", now_s))
            return Reading(path, None, self._units.get(path), at_s, UNKNOWN, reason)
        if now_s - known.at_s > self._freshness_s[path]:
            reason, _ = self._excuses.get(path, ("not_received", now_s))
            return known._replace(value=None, quality=STALE, reason=reason)
        return known

    def standing(self, reading: Reading, now_s: float) -> Reading:
        """What is known now of the path of a reading just taken in: nearly always that reading."""
        path = reading[0]
        at_s = reading[3]
        is_newest = self._newest.get(path) is reading and at_s >= self._seen_at_s[self._group_of[path]]
        is_spoken = reading.quality is OK or not self._has_stand_ins
        if is_newest and is_spoken and now_s - at_s <= self._freshness_s[path]:
            return reading
        return self.reading(path, now_s)

    def may_age(self, path: str) -> bool:
        """Whether time alone may change what is known of the path, without its being said that something stopped."""
        return self._group_of.get(path) not in self._going_on

    def last_known(self, path: str) -> Reading | None:
        """The newest reading however old it is: for display beside its age, never for a decision."""
        if (plan := self._derived.get(path)) is not None:
            inputs = [reading for source in plan.inputs if (reading := self.last_known(source)) is not None]
            by_path = {reading.path: reading for reading in inputs}
            is_whole = len(by_path) == len(plan.inputs)
            return derive(plan, by_path.__getitem__, self._rises.count(path)) if is_whole else None
        known = self._spoken(path)
        return self._stand_ins.last_for(path, known) or known

    def _spoken(self, path: str) -> Reading | None:
        """The newest reading of what the car said by itself, or of what is only asked for."""
        if (known := self._newest.get(path)) is None:
            return None
        group = self._group_of[path]
        if (seen_at_s := self._seen_at_s[group]) > known.at_s:
            known = self._newest[path] = known._replace(at_s=seen_at_s)
        if (on := self._going_on.get(group)) is not None:
            # Not kept: a change that waits to be looked at may be one that is refused, and of before this.
            going_on_s = max(self._known_at_s[bus] - within_s for bus, within_s in on.items())
            return known if going_on_s <= known.at_s else known._replace(at_s=going_on_s)
        return known

    def snapshot(self, now_s: float) -> dict[str, Reading]:
        """Every path of the profile as it stands now."""
        return {path: self.reading(path, now_s) for path in self.paths}

    def next_stale_at(self, now_s: float) -> float | None:
        """When the next fresh reading grows stale if nothing comes, None if none is fresh.

        Not of what goes on coming, for it is said when that stops.
        """
        newest = [
            known
            for path in self._newest
            if self._group_of[path] not in self._going_on and (known := self._spoken(path)) is not None
        ]
        ends = [*(known.at_s + self._freshness_s[known.path] for known in newest), *self._stand_ins.ends()]
        return min((end for end in ends if end >= now_s), default=None)
