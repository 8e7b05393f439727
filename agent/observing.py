"""Frames to readings to vehicle state; and what it tells of a message that it goes on coming, or has stopped.

Of most messages the kernel gives the changes alone.  Until it says that one has stopped, what it said last is as fresh
as if each of its frames had come here; so nobody has to look whether it still is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.model.reading import Heard, Reading
from agent.model.reception import GoesOn, WatchNews
from agent.profiles.schema import Profile
from agent.profiles.watches import ids_of
from agent.state.tracker import Tracker

OnReadings = Callable[[Sequence[Reading], float], None]


class Observing:
    """The decoder and the tracker of one profile, and the messages that go on coming without being given."""

    def __init__(self, profile: Profile) -> None:
        self.decoder = Decoder(profile)
        self.tracker = Tracker(profile)
        self._messages = {each: plan.name for plan in profile.messages for each in ids_of(plan)}
        # By bus: those that go on, within which time each; and the longest of these times.
        self._going_on: dict[str, dict[str, float]] = {}
        self._within_s: dict[str, float] = {}

    def receive_watched(
        self, news: WatchNews, on_readings: OnReadings, now_s: float
    ) -> tuple[list[Heard], list[Frame]]:
        """Fold in what the kernel told; `on_readings` gets what each change tells that is new, once it is folded in.

        Returns what each change told, and the changes that were refused: their messages go on coming, and nobody knows
        what they say.
        """
        bus, silent, known_at_s, changes, going_on = news
        if silent:
            for number in silent:
                self._goes_on_no_more(self._messages[number], bus)
        if known_at_s is not None:
            self.tracker.known_until(bus, known_at_s)
            if self.decoder.has_unsettled:
                self._settle(bus, known_at_s, on_readings, now_s)
        told: list[Heard] = []
        refused: list[Frame] = []
        hear, take = self.decoder.hear_change, self.tracker.hear
        for frame in changes:
            told.append(heard := hear(frame))
            groups, changed = heard
            if groups:
                take(heard, frame.received_at_s)
                if changed:
                    on_readings(changed, now_s)
            elif (message := self.refused_message(frame)) is not None:
                refused.append(frame)
                self._goes_on_no_more(message, bus, frame.received_at_s)
        if going_on is not None:
            self._go_on(bus, going_on)
        return told, refused

    def within_s(self, bus: str) -> float | None:
        """Within which time each message that goes on coming on this bus does so; None if none is known to."""
        return self._within_s.get(bus)

    def readings_of(self, heard: Heard, frame: Frame) -> tuple[Reading, ...]:
        """All readings of the frame just received, the unchanged ones too: a command counts frames, not changes."""
        return self.decoder.readings(heard[0], frame.received_at_s)

    def refused_message(self, frame: Frame) -> str | None:
        """Name of the message of a frame just received, if it was wanted and not believed."""
        message = self.decoder.message_of(frame)
        return message if message is not None and self.decoder.refused_last(message) else None

    def _settle(self, bus: str, known_at_s: float, on_readings: OnReadings, now_s: float) -> None:
        for message, within_s in self._going_on.get(bus, {}).items():
            if settled := self.decoder.seen(message, known_at_s - within_s):
                self.tracker.fold(settled)
                on_readings(settled, now_s)

    def _go_on(self, bus: str, going_on: Iterable[GoesOn]) -> None:
        named = {self._messages[each.message]: each.within_s for each in going_on}
        for message in self._going_on.get(bus, {}).keys() - named.keys():
            self._goes_on_no_more(message, bus)
        for message, within_s in named.items():
            if not self.decoder.refused_last(message):
                self.tracker.goes_on(message, bus, within_s)
                self.decoder.goes_on(message, bus, is_so=True)
                self._going_on.setdefault(bus, {})[message] = within_s
        self._note_slowest(bus)

    def _goes_on_no_more(self, message: str, bus: str, by_s: float = math.inf) -> None:
        self.tracker.goes_on_no_more(message, bus, by_s)
        self.decoder.goes_on(message, bus, is_so=False)
        self._going_on.get(bus, {}).pop(message, None)
        self._note_slowest(bus)

    def _note_slowest(self, bus: str) -> None:
        self._within_s.pop(bus, None)
        if going_on := self._going_on.get(bus):
            self._within_s[bus] = max(going_on.values())
