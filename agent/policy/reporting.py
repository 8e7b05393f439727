"""What is worth telling, and when: samples on change beyond a deadband, paced by how the car is used; events at once.

An event is a change of an input from one known value to another that stood for its time, within the input's cap.
All else is a sample: the first value of an input, its growing stale, and what its cap holds back.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.quick_dataclass import dataclass
from agent.model.reading import OK, UNKNOWN, Reading, Value
from agent.model.use import Pace, VehicleUse
from agent.policy.debounce import Debounce
from agent.policy.event_cap import EventCap
from agent.profiles.schema import ReportRule

# Events wait only until the next `due`, which a slow card can hold up for seconds. What flaps meanwhile beyond this
# is held back as if it were beyond its cap.
EVENTS_MAX = 64

# Not `bool`, which is a number to Python alone.
_NUMBERS = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class Change:
    """An input went from one known value to another."""

    before: Value
    reading: Reading


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be told now: events each for itself, samples as one batch."""

    events: tuple[Change, ...]
    samples: tuple[Reading, ...]


def is_news(told: Reading | None, new: Reading, deadband: float) -> bool:
    """Whether `new` differs from what was told last by more than `deadband` (VSS unit)."""
    if told is None:
        return new.quality is not UNKNOWN
    if told.quality is not new.quality or told.reason != new.reason:
        return True
    before, value = told.value, new.value
    if type(before) in _NUMBERS and type(value) in _NUMBERS:
        return bool(abs(value - before) > deadband)  # type: ignore[operator]
    return before != value


def pace_of(rule: ReportRule, use: VehicleUse, general: Pace) -> Pace:
    """The pace of one signal: the profile's own for this use, else the general one, but not below the signal's least.

    A value is not told again oftener than it may be told when it changes.
    """
    own = rule.paces.get(use)
    least_s = max(rule.interval_s_min, general.interval_s_min) if own is None else own.interval_s_min
    most_s = general.interval_s_max if own is None or own.interval_s_max is None else own.interval_s_max
    return Pace(least_s, None if most_s is None else max(most_s, least_s))


class Reporter:
    """Remembers what was told of each path and picks what is due.

    A sample waits until `batch_s` after the first one of its batch, and until its own interval is over; only
    the newest value of a path is told.  That a value is none any more (stale, invalid) waits for the batch alone.
    Changes of value alone leave together, no oftener than the shortest interval of this use: told each at its own
    time, as many messages would go out as there are paths, and a message costs more than three readings.
    """

    def __init__(
        self,
        rules: Mapping[str, ReportRule],
        *,
        batch_s: float,
        paces: Mapping[VehicleUse, Pace],
        cap: EventCap,
    ) -> None:
        self._rules = rules
        self._batch_s = batch_s
        self._paces = {
            use: {path: pace_of(rule, use, paces[use]) for path, rule in rules.items()} for use in VehicleUse
        }
        self._pace = self._paces[VehicleUse.AWAKE]
        self._gather_s = {
            use: min((pace.interval_s_min for pace in paces.values()), default=0.0)
            for use, paces in self._paces.items()
        }
        self._gathered_s = self._gather_s[VehicleUse.AWAKE]
        self._batch_told_at_s = float("-inf")
        self._waiting_since_s = float("-inf")
        self._cap = cap
        self._debounce = Debounce()
        self._told: dict[str, Reading] = {}
        self._told_at_s: dict[str, float] = {}
        # Of inputs: the value that counts, told or about to be.
        self._known: dict[str, Value] = {}
        self._events: list[Change] = []
        # The newest of each path only, so the profile itself is the bound.
        self._samples: dict[str, Reading] = {}
        self._batch_at_s: float | None = None

    def use(self, use: VehicleUse) -> None:
        """From here on the pace is that of this use."""
        if self._pace is not self._paces[use]:
            self._pace = self._paces[use]
            self._gathered_s = self._gather_s[use]
            if self._batch_at_s is not None:
                self._batch_soon(self._waiting_since_s)

    @property
    def waiting(self) -> Mapping[str, Reading]:
        """By path, the samples that wait to be told, as they were considered last: what is known now may be newer."""
        return self._samples

    def observe(self, reading: Reading, now_s: float) -> None:
        """Consider one reading as it stands now."""
        path = reading.path
        rule = self._rules[path]
        if rule.is_event and self._is_input_change(reading, rule, now_s):
            return
        waiting = self._samples.get(path)
        if waiting is not None and waiting.quality is reading.quality:
            # Whether it is news is asked again when it leaves: it may be back to what was told last by then.
            self._samples[path] = reading
        elif self._is_to_be_told(reading, now_s):
            self._samples[path] = reading
            self._batch_with(reading, now_s)
        elif waiting is not None:
            del self._samples[path]

    def due(self, now_s: float) -> Due:
        """Take what is to be told now; it counts as told from here on."""
        for reading in self._debounce.settled(now_s):
            self._settle(reading, now_s)
        events, self._events = tuple(self._events), []
        samples: tuple[Reading, ...] = ()
        if self._batch_at_s is not None and now_s >= self._batch_at_s:
            self._samples = {
                path: reading for path, reading in self._samples.items() if self._is_to_be_told(reading, now_s)
            }
            samples = tuple(reading for reading in self._samples.values() if now_s >= self._ripe_at(reading))
            is_early = now_s < self._batch_told_at_s + self._gathered_s
            if is_early and not any(self._is_first_or_lost(reading) for reading in samples):
                samples = ()
            elif samples:
                self._batch_told_at_s = now_s
            for reading in samples:
                del self._samples[reading.path]
                self._told[reading.path] = reading
            self._batch_at_s = None
            self._batch_soon(now_s)
        self._told_at_s.update((reading.path, now_s) for reading in samples)
        self._told_at_s.update((change.reading.path, now_s) for change in events)
        return Due(events, samples)

    def flush(self, now_s: float) -> Due:
        """Everything still waiting, for a last report before the end."""
        for reading in self._debounce.settled(float("inf")):
            self._settle(reading, now_s)
        if self._samples:
            self._batch_at_s = now_s
            self._told_at_s = {}
            self._batch_told_at_s = float("-inf")
        return self.due(now_s)

    def next_due_at(self) -> float | None:
        """When to call `due` again, if nothing new comes; events are due in the past."""
        if self._events:
            return float("-inf")
        if not self._debounce:
            return self._batch_at_s
        wanted = [at_s for at_s in (self._batch_at_s, self._debounce.next_at()) if at_s is not None]
        return min(wanted, default=None)

    def next_overdue_at(self) -> float | None:
        """When the next value that does not change is to be told again, None if none is."""
        ends = (
            told_at_s + most_s
            for path, told_at_s in self._told_at_s.items()
            if (most_s := self._pace[path].interval_s_max) is not None
            and path not in self._samples
            and self._told[path].quality is OK
        )
        return min(ends, default=None)

    def _is_input_change(self, reading: Reading, rule: ReportRule, now_s: float) -> bool:
        """Whether this is, or may become, an event; if not it is a sample like any other."""
        path, value = reading.path, reading.value
        if (stood := self._debounce.stood(path, now_s)) is not None:
            # Before what came next: told late by whoever gathers, it must not look as if it had not stood.
            self._settle(stood, now_s)
        if value is None:
            # Not known any more, so nothing stands any more.
            self._debounce.cancel(path)
            return False
        if self._known.setdefault(path, value) == value:
            if self._debounce.cancel(path):
                self._cap.note_bounce(path)
            return False
        self._samples.pop(path, None)
        if rule.debounce_s > 0.0:
            self._debounce.change(reading, rule.debounce_s, now_s)
        else:
            self._settle(reading, now_s)
        return True

    def _settle(self, reading: Reading, now_s: float) -> None:
        path = reading.path
        before, self._known[path] = self._known[path], reading.value if reading.value is not None else False
        per_hour_max = self._rules[path].events_per_hour_max if len(self._events) < EVENTS_MAX else 0
        if self._cap.allows(path, per_hour_max, now_s):
            self._events.append(Change(before, reading))
            # Told from here on, so that a change back before `due` is an event too.
            self._told[path] = reading
        elif is_news(self._told.get(path), reading, 0.0):
            self._samples[path] = reading
            self._batch_with(reading, now_s)

    def _is_to_be_told(self, reading: Reading, now_s: float) -> bool:
        deadband = self._rules[reading.path].deadband
        return is_news(self._told.get(reading.path), reading, deadband) or self._is_overdue(reading, now_s)

    def _batch_soon(self, since_s: float) -> None:
        """All that waits has waited since this time."""
        for reading in self._samples.values():
            self._batch_with(reading, since_s)

    def _batch_with(self, reading: Reading, since_s: float) -> None:
        """This sample, which has waited since this time, leaves with the next batch or before it."""
        if self._batch_at_s is not None and self._batch_at_s <= since_s + self._batch_s:
            return  # sooner it could not leave
        gathered_at_s = self._batch_told_at_s + self._gathered_s
        if self._is_first_or_lost(reading):
            gathered_at_s = since_s
        at_s = max(since_s + self._batch_s, self._ripe_at(reading), gathered_at_s)
        if self._batch_at_s is None:
            self._batch_at_s, self._waiting_since_s = at_s, since_s
        elif at_s < self._batch_at_s:
            self._batch_at_s = at_s

    def _ripe_at(self, reading: Reading) -> float:
        told = self._told.get(reading.path)
        if reading.quality is not OK and told is not None and told.quality is OK:
            return float("-inf")
        return self._told_at_s.get(reading.path, float("-inf")) + self._pace[reading.path].interval_s_min

    def _is_first_or_lost(self, reading: Reading) -> bool:
        """Nothing was told of this path, or another quality: no mere change of a value."""
        told = self._told.get(reading.path)
        return told is None or told.quality is not reading.quality

    def _is_overdue(self, reading: Reading, now_s: float) -> bool:
        """A value that has not changed is told again after its longest interval; what is no value is not."""
        most_s, told_at_s = self._pace[reading.path].interval_s_max, self._told_at_s.get(reading.path)
        is_repeatable = reading.quality is OK and most_s is not None and told_at_s is not None
        return is_repeatable and now_s >= (told_at_s or 0.0) + (most_s or 0.0)
