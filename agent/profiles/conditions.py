"""Preconditions and feedback of a profile, compiled: each on a path that the profile has a signal for."""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.command import STATE_REASONS, Reason
from agent.model.reading import Value
from agent.model.recipe import Feedback, Precondition
from agent.profiles.findings import expected_of
from agent.profiles.lookup import Lookup, Place
from agent.profiles.polls import Given
from agent.profiles.schema import DerivedPlan, SignalPlan
from agent.profiles.signals import NUMBERS, fits_datatype
from agent.profiles.toml_model import FeedbackTable, PreconditionTable

# What a precondition may give as its reason: the words about the state of the car.
REASONS: Mapping[str, Reason] = {reason.name.lower(): reason for reason in Reason if reason in STATE_REASONS}


class Conditions:
    """Preconditions and feedback, each on a path that the profile has a signal for."""

    def __init__(self, signals: Given, asked: set[str] | None, polled: frozenset[str], lookup: Lookup) -> None:
        self._signals = signals
        self._polled = polled
        self._asked = asked
        self._lookup = lookup
        self._told = lookup.findings

    def feedback(self, table: FeedbackTable, place: Place) -> Feedback:
        if isinstance(self._check(table.path, table.equals, place), DerivedPlan):
            # A command counts frames received after ours, and of a derived state none is received (SR-04).
            self._told.add((*place, "path"), f"{table.path} is derived", "the path of a signal that shows it")
        if table.path in self._polled:
            # When the control unit looked is not known: it may have been before our frame came to it (SR-04).
            self._told.add((*place, "path"), f"{table.path} is asked for", "the path of a signal that the car sends")
        return Feedback(table.path, table.equals, table.confirmations)

    def precondition(self, table: PreconditionTable, place: Place) -> Precondition:
        signal = self._check(table.path, table.equals, place)
        has_limits = table.min is not None or table.max is not None
        if has_limits == (table.equals is not None):
            self._told.add(place, "says nothing, or two things", "`equals`, or `min` and `max`")
        if table.min is not None and table.max is not None and table.min > table.max:
            self._told.add((*place, "min"), f"min {table.min} is above max {table.max}", "min <= max")
        if has_limits and signal is not None and signal.datatype not in NUMBERS:
            self._told.add(place, f"{table.path} is a {signal.datatype}", "`equals`")
        when_unknown = self._reason(table.unknown, (*place, "unknown"))
        return Precondition(
            path=table.path,
            reason=self._reason(table.reason, (*place, "reason")) or Reason.INTERNAL,
            equals=table.equals,
            minimum=table.min,
            maximum=table.max,
            when_unknown=when_unknown,
            # What must be known does not become dispensable by growing old.
            when_stale=self._reason(table.stale, (*place, "stale")) or when_unknown,
        )

    def _check(self, path: str, equals: Value | None, place: Place) -> SignalPlan | DerivedPlan | None:
        """A value that the signal can never have would forbid for ever, or never be seen."""
        signal = self._signals.get(path)
        if self._asked is not None and path not in self._asked:
            self._told.add((*place, "path"), f"the profile has no signal for {path!r}", expected_of(self._asked, path))
        if signal is None or equals is None:
            return signal
        if not fits_datatype(equals, signal.datatype):
            self._told.add((*place, "equals"), f"{equals!r} is not of the type of {path}", f"a {signal.datatype}")
        elif isinstance(signal, SignalPlan) and signal.choices is not None and equals not in signal.choices.values():
            values = expected_of((repr(value) for value in signal.choices.values()), repr(equals))
            self._told.add((*place, "equals"), f"{path} is never {equals!r}", values)
        return signal

    def _reason(self, word: str | None, place: Place) -> Reason | None:
        if word is not None and word not in REASONS:
            self._told.add(place, f"unknown reason {word!r}", expected_of(REASONS, word))
        return REASONS.get(word) if word is not None else None
