"""What is worth telling, and when: on change beyond a deadband, not oftener than an interval; events at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.model.reading import Quality, Reading
from agent.profiles.schema import ReportRule

# Events wait only until the next `due`, which a slow card can hold up for seconds. Of a signal that flaps meanwhile
# only the last change is told once so many wait, one a path at the least.
EVENTS_MAX = 64


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be told now: events each for itself, samples as one batch."""

    events: tuple[Reading, ...]
    samples: tuple[Reading, ...]


def is_news(told: Reading | None, new: Reading, deadband: float) -> bool:
    """Whether `new` differs from what was told last by more than `deadband` (VSS unit)."""
    if told is None:
        return new.quality is not Quality.UNKNOWN
    if told.quality is not new.quality or told.reason != new.reason:
        return True
    if isinstance(told.value, bool | str | None) or isinstance(new.value, bool | str | None):
        return told.value != new.value
    return abs(new.value - told.value) > deadband


class Reporter:
    """Remembers what was told of each path and picks what is due.

    A sample waits until `batch_s` after the first one of its batch, and until its own interval is over; only
    the newest value of a path is told.  An event is due at once, each change for itself; growing stale is no event.
    """

    def __init__(self, rules: Mapping[str, ReportRule], *, batch_s: float) -> None:
        self._rules = rules
        self._batch_s = batch_s
        self._told: dict[str, Reading] = {}
        self._told_at_s: dict[str, float] = {}
        self._events: list[Reading] = []
        # The newest of each path only, so the profile itself is the bound.
        self._samples: dict[str, Reading] = {}
        self._batch_at_s: float | None = None

    def observe(self, reading: Reading, now_s: float) -> None:
        """Consider one reading as it stands now."""
        path, rule = reading.path, self._rules[reading.path]
        if not is_news(self._told.get(path), reading, rule.deadband):
            # Back to what was told last before the batch left: nothing to say any more.
            self._samples.pop(path, None)
        elif rule.is_event and reading.quality is not Quality.STALE:
            self._note_event(reading)
        else:
            self._samples[path] = reading
            if self._batch_at_s is None:
                self._batch_at_s = now_s + self._batch_s

    def _note_event(self, reading: Reading) -> None:
        self._samples.pop(reading.path, None)
        if len(self._events) >= EVENTS_MAX:
            self._events = [event for event in self._events if event.path != reading.path]
        self._events.append(reading)
        # Told from here on, so that a change back before `due` is an event too.
        self._told[reading.path] = reading

    def due(self, now_s: float) -> Due:
        """Take what is to be told now; it counts as told from here on."""
        events, self._events = tuple(self._events), []
        samples: tuple[Reading, ...] = ()
        if self._batch_at_s is not None and now_s >= self._batch_at_s:
            ripe = {
                path: reading
                for path, reading in self._samples.items()
                if now_s >= self._told_at_s.get(path, float("-inf")) + self._rules[path].interval_s_min
            }
            samples = tuple(ripe.values())
            for path in ripe:
                del self._samples[path]
            self._batch_at_s = now_s + self._batch_s if self._samples else None
        for reading in samples:
            self._told[reading.path] = reading
        self._told_at_s.update((reading.path, now_s) for reading in (*events, *samples))
        return Due(events, samples)

    def flush(self, now_s: float) -> Due:
        """Everything still waiting, for a last report before the end."""
        if self._samples:
            self._batch_at_s = now_s
            self._told_at_s = {}
        return self.due(now_s)

    def next_due_at(self) -> float | None:
        """When to call `due` again, if nothing new comes; events are due in the past."""
        if self._events:
            return float("-inf")
        return self._batch_at_s
