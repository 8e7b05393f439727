"""A signal whose meaning hangs on another signal of the same bus: on its unit, or on whether it counts at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agent.decode.meaning import (
    CONDITION_UNKNOWN,
    CONDITION_UNMET,
    UNIT_UNKNOWN,
    Meaning,
    meaning_of,
    meanings_by_unit,
)
from agent.profiles.schema import Condition, SignalPlan, UnitChoice

MeaningOf = Callable[[int], Meaning]
"""From a raw value to its meaning."""


class Choice:
    """Which meaning of one signal counts, as another signal chooses it.

    `meaning` is the one in force: no value and the reason, before that other signal came.
    """

    def __init__(
        self,
        source: UnitChoice | Condition,
        meanings: Mapping[int, MeaningOf],
        *,
        unseen: MeaningOf,
        others: MeaningOf,
        ranges: Sequence[tuple[int, int, MeaningOf]] = (),
    ) -> None:
        self.source = source
        self.meaning = unseen
        self._meanings = meanings
        self._others = others
        self._ranges = ranges

    def choose(self, data: bytes) -> None:
        """A believed frame of the other signal's message."""
        raw = self.source.field.extract(data)
        spanned = next((meaning for first, last, meaning in self._ranges if first <= raw <= last), self._others)
        self.meaning = self._meanings.get(raw, spanned)

    def read(self, raw: int) -> Meaning:
        """What the raw value means now."""
        return self.meaning(raw)


def choices_of(plan: SignalPlan) -> tuple[Choice, ...]:
    """The choices of a signal, one within the other: its meaning is what the last of them reads."""
    choices: list[Choice] = []
    if plan.unit_choice is not None:
        by_unit = meanings_by_unit(plan)
        choices.append(Choice(plan.unit_choice, by_unit, unseen=_unit_unknown, others=_unit_unknown))
    if plan.condition is not None:
        inner = choices[-1].read if choices else meaning_of(plan)
        met = dict.fromkeys(plan.condition.values, inner)
        spans = [(first, last, inner) for first, last in plan.condition.ranges]
        choices.append(Choice(plan.condition, met, unseen=_condition_unknown, others=_condition_unmet, ranges=spans))
    return tuple(choices)


def _unit_unknown(_raw: int) -> Meaning:
    return UNIT_UNKNOWN


def _condition_unknown(_raw: int) -> Meaning:
    return CONDITION_UNKNOWN


def _condition_unmet(_raw: int) -> Meaning:
    return CONDITION_UNMET
