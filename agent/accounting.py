"""Every frame accounted for: what became of those that did not come to be values, by message and cause."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict

from agent.chronicle import Chronicle
from agent.decode.screen import FrameCounts
from agent.model.events import FramesCounted, FramesLost
from agent.model.reading import INVALID, Reading
from agent.profiles.schema import Profile
from agent.profiles.watches import ids_of

# Of one bus it is told so often at most; what is lost for want of room is told at once as well (`frames_lost`).
TOLD_INTERVAL_S = 3600.0

# Counts are summed up so often: a bus that has begun to go wrong is told of within this, and nobody waits for it.
LOOK_INTERVAL_S = 60.0

# Rows of one record, those with the most refusals: with their names and counts some 2 KB, 50 KB a day for a bus that
# never gets well, of the megabyte a car has.
ROWS_MAX = 16

# What the edge counts and a sound bus does not have.
_EDGE_FAULTS = ("garbled", "dropped", "lost")

# What every car does: to repeat itself, to say in one way or another that it does not know yet, and to send a value
# before its unit.
_SOUND = frozenset({"received", "left_out", "invalid_marker", "no_meaning", "unit_unknown"})


class Accounting:
    """Counts since start. `refused` are the decoder's own, by the name of the message."""

    def __init__(self, profile: Profile, refused: Mapping[str, FrameCounts], chronicle: Chronicle) -> None:
        self._names = {number: plan.name for plan in profile.messages for number in ids_of(plan)}
        self._by_bus: dict[str, list[str]] = {bus.name: [] for bus in profile.buses}
        for plan in profile.messages:
            self._by_bus[plan.bus].append(plan.name)
        self._refused = refused
        self._chronicle = chronicle
        self._values: dict[str, Counter[str]] = defaultdict(Counter)
        self._edge: dict[str, Mapping[str, int]] = {}
        self._left_out: dict[str, int] = {}
        self._faults_told: dict[str, int] = {}
        self._next_at_s: dict[str, float] = {}
        self._look_at_s = float("-inf")

    def counted(self, event: FramesCounted) -> None:
        """The edge's own counts of a bus since start."""
        self._edge[event.bus] = event.counts
        for message, count in event.left_out.items():
            if (name := self._names.get(message)) is not None:
                self._left_out[name] = count

    def lost(self, event: FramesLost, now_s: float) -> None:
        """The kernel had no room for what came."""
        self._chronicle.frames_lost(event, now_s)

    def value_refused(self, reading: Reading) -> None:
        """A believed frame held a value that is none: beyond its range, a marker, without a meaning."""
        if reading.quality is INVALID and reading.reason is not None:
            self._values[reading.message][reading.reason] += 1

    def tell_due(self, now_s: float, *, is_last: bool = False) -> None:
        """Put what went wrong on a bus since it was last told into the outbox, within the bounds."""
        if now_s < self._look_at_s and not is_last:
            return
        self._look_at_s = now_s + LOOK_INTERVAL_S
        for bus, names in self._by_bus.items():
            rows = {name: row for name in names if (row := self._row(name))}
            edge = self._edge.get(bus, {})
            faults = sum(_weight(row) for row in rows.values()) + sum(edge.get(key, 0) for key in _EDGE_FAULTS)
            is_time = is_last or now_s >= self._next_at_s.get(bus, float("-inf"))
            if is_time and faults > self._faults_told.get(bus, 0):
                self._faults_told[bus] = faults
                self._next_at_s[bus] = now_s + TOLD_INTERVAL_S
                worst = sorted(rows, key=lambda name: -_weight(rows[name]))
                told = [name for name in worst if _weight(rows[name])][:ROWS_MAX]
                fields = {"counts": dict(edge), "messages": [{"message": name, **rows[name]} for name in told]}
                self._chronicle.bus("frames", bus, fields, now_s)

    def status(self) -> dict[str, object]:
        """For the local status socket."""
        return {
            "frames": {name: asdict(counts) for name, counts in self._refused.items()},
            "values_refused": {name: dict(counts) for name, counts in self._values.items()},
        }

    def _row(self, name: str) -> dict[str, int]:
        """The counts of one message that are not 0."""
        counts = {**asdict(self._refused[name]), **self._values.get(name, {}), "left_out": self._left_out.get(name, 0)}
        return {cause: count for cause, count in counts.items() if count}


def _weight(row: Mapping[str, int]) -> int:
    """How much of a message no sound car would have sent."""
    return sum(count for cause, count in row.items() if cause not in _SOUND)
