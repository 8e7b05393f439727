"""Logs as the tools read them: each channel given the bus it is, a word on a terminal while it takes long."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from agent.adapters.log_reader import read_log
from agent.errors import ConfigurationError
from agent.model.frame import Frame
from agent.profiles.schema import Profile

_FRAMES_A_WORD = 200_000
"""A reader takes some two seconds for so many."""


class Channels:
    """Which bus a log's channel is: as `--bus` says, by its own name, or the only bus there is.

    `given` are the values of `--bus`: NAME for all channels, or CHANNEL=NAME for one, and then for no other.
    """

    def __init__(
        self, buses: Sequence[str], given: Sequence[str] = (), *, owner: str = "", speaking: Sequence[str] | None = None
    ) -> None:
        """`speaking` are those of the buses on which the car speaks by itself; None: all of them."""
        self._buses = tuple(buses)
        self._speaking = self._buses if speaking is None else tuple(speaking)
        self._owner = owner
        self._all: str | None = None
        self._each: dict[str, str] = {}
        for word in given:
            channel, equals, bus = word.rpartition("=")
            if bus not in self._buses:
                raise ConfigurationError(f"--bus {word}: {owner} has no bus {bus!r}; it has {', '.join(self._buses)}")
            if equals:
                self._each[channel] = bus
            else:
                self._all = bus
        if self._all is not None and len(given) > 1:
            raise ConfigurationError(
                "--bus NAME says what all frames are; to tell channels apart: --bus CHANNEL=NAME …"
            )

    @classmethod
    def of(cls, profile: Profile, given: Sequence[str]) -> Channels:
        """The channels that a profile's buses are."""
        speaking = [bus.name for bus in profile.buses if bus.awake_with is None]
        return cls([bus.name for bus in profile.buses], given, owner=profile.name, speaking=speaking)

    def bus_of(self, channel: str) -> str | None:
        """None: frames of that channel are left out. ConfigurationError: it is not known which bus it is."""
        if self._all is not None:
            return self._all
        if self._each:
            return self._each.get(channel)
        if channel in self._buses:
            return channel
        if len(self._speaking) == 1:
            return self._speaking[0]
        raise ConfigurationError(
            f"the log's channel {channel!r} is no bus of {self._owner}; say which one it is: "
            f"--bus {channel or 'CHANNEL'}={self._buses[0]} (there are {', '.join(self._buses)}), or --bus NAME for all"
        )


def frames_of(log: Path, channels: Channels | None = None) -> Iterator[Frame]:
    """Frames of a log with their bus; with the log's own channel if `channels` is None."""
    known: dict[str, str | None] = {}
    for count, frame in enumerate(read_log(log)):
        if count % _FRAMES_A_WORD == 0 and count and sys.stderr.isatty():
            sys.stderr.write(f"{log}: {count} frames …\n")
        if channels is None:
            yield frame
            continue
        if frame.bus not in known:
            known[frame.bus] = channels.bus_of(frame.bus)
        if (bus := known[frame.bus]) is not None:
            yield frame._replace(bus=bus)


class Span:
    """From when to when the frames were that went through `watched`."""

    def __init__(self) -> None:
        self.begin_s = self.end_s = 0.0

    def watched(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        is_first = True
        for frame in frames:
            if is_first:
                self.begin_s = self.end_s = frame.received_at_s
                is_first = False
            self.end_s = max(self.end_s, frame.received_at_s)
            yield frame
