"""From a payload to one signal's reading, by a function made for that signal.

A reading is made for each signal of each frame that changed, so what is known of the signal beforehand is decided
beforehand: most are numbers without limits and markers, and for them there is nothing left to ask.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.decode.meaning import Meaning, fraction_of
from agent.model.reading import Quality, Reading
from agent.profiles.schema import SignalPlan

Reader = Callable[[int, float], Reading]
"""Payload as one integer (in the signal's byte order) and time of receipt, to the reading."""

# What a named tuple's own constructor calls in the end, at half its price.
_tuple = tuple.__new__


def reader_of(plan: SignalPlan, message: str, meaning: Callable[[int], Meaning]) -> Reader:
    """The reader of a signal, whose raw values mean what `meaning` says."""
    is_judged = plan.minimum is not None or plan.maximum is not None or plan.invalid_raw or plan.invalid_ranges
    fraction = fraction_of(plan, plan.unit_factor, plan.unit_offset)
    if fraction is None or is_judged or plan.chosen_by or plan.choices is not None:
        return _by_meaning(plan, message, meaning)
    return _of_number(plan, message, *fraction)


def _by_meaning(plan: SignalPlan, message: str, meaning: Callable[[int], Meaning]) -> Reader:
    path, unit, shift, ones, sign = plan.path, plan.unit, plan.field.shift, *_ones_and_sign(plan)

    def read(payload: int, at_s: float) -> Reading:
        raw = ((payload >> shift & ones) ^ sign) - sign
        value, quality, reason = meaning(raw)
        return _tuple(Reading, (path, value, unit, at_s, quality, reason, message))

    return read


def _of_number(plan: SignalPlan, message: str, step: int, origin: int, tens: int) -> Reader:
    path, unit, shift, ones, sign = plan.path, plan.unit, plan.field.shift, *_ones_and_sign(plan)
    ok = Quality.OK
    origin -= sign * step

    def whole(payload: int, at_s: float) -> Reading:
        value = ((payload >> shift & ones) ^ sign) * step + origin
        return _tuple(Reading, (path, value, unit, at_s, ok, None, message))

    def decimal(payload: int, at_s: float) -> Reading:
        value = (((payload >> shift & ones) ^ sign) * step + origin) / tens
        return _tuple(Reading, (path, value, unit, at_s, ok, None, message))

    return whole if plan.datatype not in ("float", "double") else decimal


def _ones_and_sign(plan: SignalPlan) -> tuple[int, int]:
    """Mask of as many ones as the signal has bits, and its sign bit: `(raw ^ sign) - sign` is two's complement."""
    length = plan.field.length
    return (1 << length) - 1, 1 << length - 1 if plan.field.is_signed else 0
