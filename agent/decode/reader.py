"""From a payload to one signal's reading, by a function made for that signal."""

from __future__ import annotations

from collections.abc import Callable

from agent.decode.meaning import Meaning
from agent.model.reading import Reading
from agent.profiles.schema import SignalPlan

Reader = Callable[[int, float], Reading]
"""Payload as one integer (in the signal's byte order) and time of receipt, to the reading."""

# What a named tuple's own constructor calls in the end, at half its price.
_tuple = tuple.__new__


def reader_of(plan: SignalPlan, message: str, meaning: Callable[[int], Meaning]) -> Reader:
    """The reader of a signal, whose raw values mean what `meaning` says."""
    path, unit, shift, length = plan.path, plan.unit, plan.field.shift, plan.field.length
    ones = (1 << length) - 1
    # (raw ^ sign) - sign is two's complement; without a sign nothing.
    sign = 1 << length - 1 if plan.field.is_signed else 0

    def read(payload: int, at_s: float) -> Reading:
        value, quality, reason = meaning(((payload >> shift & ones) ^ sign) - sign)
        return _tuple(Reading, (path, value, unit, at_s, quality, reason, message))

    return read
