"""A recorded log through the same decoder and state as live frames: `carshare-agent decode`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from agent.decode.decoder import Decoder
from agent.decode.overheard import Overheard
from agent.errors import ConfigurationError
from agent.model.frame import Frame
from agent.model.reading import Reading
from agent.profiles.schema import Profile
from agent.state.tracker import Tracker

# Of log times; a double has less left of times above 1e10 s.
_RESOLUTION_S = 1e-6


class Replay:
    """Decodes frames of a log; the log's times take the place of boot time.

    A line is given for each reading that differs from the one before under the same path, and for each that
    grew stale because its frames stopped; with `is_every_reading` for each reading at all.
    """

    def __init__(self, profile: Profile, *, bus: str | None, is_every_reading: bool) -> None:
        self._buses = tuple(plan.name for plan in profile.buses)
        self._speaking = tuple(plan.name for plan in profile.buses if plan.awake_with is None)
        if bus is not None and bus not in self._buses:
            raise ConfigurationError(f"--bus {bus}: {profile.name} has no such bus; it has {', '.join(self._buses)}")
        self._profile = profile
        self._bus = bus
        self._asked = {signal.path for plan in profile.polls for signal in plan.signals}
        self._is_every_reading = is_every_reading
        self._decoder = Decoder(profile)
        self._overheard = Overheard(profile)
        self._tracker = Tracker(profile)
        self._told: dict[str, Reading] = {}
        self._end_s: float | None = None

    def run(self, frames: Iterable[Frame]) -> Iterator[dict[str, object]]:
        """Readings of the log in its order. `Frame.bus` is the log's channel, `received_at_s` the log's time."""
        for frame in frames:
            now_s = frame.received_at_s
            yield from self._grown_stale(now_s)
            self._end_s = now_s if self._end_s is None else max(self._end_s, now_s)
            readings = self._taken(frame._replace(bus=self._bus_of(frame.bus)))
            for reading in (*readings, *self._derived_from(readings, now_s)):
                if self._is_every_reading or self._is_change(reading):
                    self._told[reading.path] = reading
                    yield _document(reading, now_s)

    def _taken(self, frame: Frame) -> Sequence[Reading]:
        """What the state made of a frame, which may end an answer to whoever asked."""
        if self._overheard.takes(frame):
            answered = self._overheard.hear(frame)
            self._tracker.answer(answered)
            # As it stands: the car's own word may go before.
            return [self._tracker.reading(reading.path, frame.received_at_s) for reading in answered]
        readings = self._decoder.receive(frame)
        self._tracker.fold(readings)
        return [
            self._tracker.reading(reading.path, frame.received_at_s) if reading.path in self._asked else reading
            for reading in readings
        ]

    def _derived_from(self, readings: Iterable[Reading], now_s: float) -> Iterator[Reading]:
        """The derived states these are inputs of, once of all their inputs something is known."""
        paths = dict.fromkeys(path for reading in readings for path in self._tracker.dependents[reading.path])
        for path in paths:
            if self._tracker.last_known(path) is not None:
                yield self._tracker.reading(path, now_s)

    def latest(self) -> Iterator[dict[str, object]]:
        """Every path of the profile as it stands at the end of the log."""
        end_s = self._end_s or 0.0
        for path in self._profile.paths:
            yield _document(self._tracker.reading(path, end_s), end_s)

    @property
    def has_readings(self) -> bool:
        """Whether any frame gave a reading."""
        return bool(self._told)

    def never_received(self) -> Iterator[dict[str, object]]:
        """The paths the log said nothing of."""
        end_s = self._end_s or 0.0
        for path in self._profile.paths:
            if self._tracker.last_known(path) is None:
                yield _document(self._tracker.reading(path, end_s), end_s)

    def _bus_of(self, channel: str) -> str:
        if self._bus is not None:
            return self._bus
        if channel in self._buses:
            return channel
        if len(self._speaking) == 1:
            return self._speaking[0]
        raise ConfigurationError(
            f"the log's channel {channel!r} is no bus of {self._profile.name}; "
            f"say which one it is with --bus ({', '.join(self._buses)})"
        )

    def _is_change(self, reading: Reading) -> bool:
        told = self._told.get(reading.path)
        return told is None or (told.value, told.quality, told.reason) != (
            reading.value,
            reading.quality,
            reading.reason,
        )

    def _grown_stale(self, now_s: float) -> Iterator[dict[str, object]]:
        if self._end_s is None:
            return
        while (stale_at_s := self._tracker.next_stale_at(self._end_s)) is not None and stale_at_s < now_s:
            # Freshness is inclusive, so a reading is stale from the next time there is.
            self._end_s = after_s = max(stale_at_s + _RESOLUTION_S, math.nextafter(stale_at_s, math.inf))
            for reading in self._tracker.snapshot(after_s).values():
                if self._tracker.last_known(reading.path) is not None and self._is_change(reading):
                    self._told[reading.path] = reading
                    yield _document(reading, after_s)


def _document(reading: Reading, time_s: float) -> dict[str, object]:
    return {
        "time_s": round(time_s, 6),
        "path": reading.path,
        "value": reading.value,
        "unit": reading.unit,
        "quality": reading.quality.value,
        "reason": reading.reason,
    }
