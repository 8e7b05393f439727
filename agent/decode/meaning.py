"""What a raw value means: a value in the path's VSS unit, or the reason why there is none. No defaults (SR-05)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping

from agent.model.reading import INVALID, OK, UNKNOWN, Quality, Value
from agent.profiles.schema import SignalPlan

Meaning = tuple[Value | None, Quality, str | None]
"""Value, quality and reason of a reading; the value is None unless the quality is ok, the reason None if it is."""

INVALID_MARKER: Meaning = (None, INVALID, "invalid_marker")
OUT_OF_RANGE: Meaning = (None, INVALID, "out_of_range")
NO_MEANING: Meaning = (None, INVALID, "no_meaning")
UNIT_UNKNOWN: Meaning = (None, UNKNOWN, "unit_unknown")
CONDITION_UNKNOWN: Meaning = (None, UNKNOWN, "condition_unknown")
CONDITION_UNMET: Meaning = (None, INVALID, "condition_unmet")

# A power of ten that a double holds exactly; more decimals than these no profile of a car has.
_DIGITS_EXACT_MAX = 22

_FLOATS: Mapping[int, tuple[struct.Struct, int]] = {
    bits: (struct.Struct(code), bits // 8) for bits, code in ((16, "<e"), (32, "<f"), (64, "<d"))
}


def meaning_of(plan: SignalPlan) -> Callable[[int], Meaning]:
    """The function from a signal's raw value to its meaning, its unit being known."""
    if plan.choices is not None:
        return _of_choices(plan, plan.choices)
    return _of_number(plan, plan.unit_factor, plan.unit_offset)


def meanings_by_unit(plan: SignalPlan) -> Mapping[int, Callable[[int], Meaning]]:
    """The same for a signal with a `unit_choice`: by raw value of the signal that chooses the unit."""
    factors = plan.unit_choice.factors if plan.unit_choice is not None else {}
    return {raw: _of_number(plan, factor, 0.0) for raw, factor in factors.items()}


class _Table(dict[int, Meaning]):
    def __missing__(self, _raw: int) -> Meaning:
        return NO_MEANING


def _of_choices(plan: SignalPlan, choices: Mapping[int, Value]) -> Callable[[int], Meaning]:
    table = _Table({raw: (value, OK, None) for raw, value in choices.items()})
    table.update(dict.fromkeys(plan.invalid_raw, INVALID_MARKER))
    if not plan.invalid_ranges:
        return table.__getitem__
    markers = _markers(plan)
    return lambda raw: INVALID_MARKER if raw in markers else table[raw]


class _Markers:
    """Single raw values and ranges of them."""

    def __init__(self, singles: frozenset[int], ranges: tuple[tuple[int, int], ...]) -> None:
        self._singles = singles
        self._ranges = ranges

    def __contains__(self, raw: int) -> bool:
        return raw in self._singles or any(low <= raw <= high for low, high in self._ranges)


def _markers(plan: SignalPlan) -> _Markers | frozenset[int]:
    return _Markers(plan.invalid_raw, plan.invalid_ranges) if plan.invalid_ranges else plan.invalid_raw


def _of_number(plan: SignalPlan, factor: float, offset: float) -> Callable[[int], Meaning]:
    scale, start = plan.scale * factor, plan.offset * factor + offset
    low = plan.minimum if plan.minimum is not None else -math.inf
    high = plan.maximum if plan.maximum is not None else math.inf
    is_whole = plan.datatype not in ("float", "double")
    if plan.field.is_float:
        return _of_float(plan, scale, start, low, high, is_whole=is_whole)
    if (fraction := fraction_of(plan, factor, offset)) is not None:
        return _of_fraction(_markers(plan), *fraction, low, high, is_whole=is_whole)
    return _of_rounded(plan, scale, start, low, high, is_whole=is_whole)


def fraction_of(plan: SignalPlan, factor: float, offset: float) -> tuple[int, int, int] | None:
    """(step, origin, tens) if each value is exactly (raw × step + origin) / tens, a power of ten; None if not.

    Of a whole number `tens` is 1: it stays whole, so that 64 bits come through unrounded.
    """
    scale, start = plan.scale * factor, plan.offset * factor + offset
    if plan.field.is_float:
        return None
    if plan.datatype not in ("float", "double"):
        return (int(scale), int(start), 1) if scale.is_integer() and start.is_integer() else None
    if plan.digits is None or plan.digits > _DIGITS_EXACT_MAX:
        return None
    tens = 10**plan.digits
    step, origin = round(scale * tens), round(start * tens)
    return (step, origin, tens) if (step / tens, origin / tens) == (scale, start) else None


def _of_fraction(
    invalid: _Markers | frozenset[int], step: int, origin: int, tens: int, low: float, high: float, *, is_whole: bool
) -> Callable[[int], Meaning]:
    """(raw × step + origin) / tens in whole numbers: one division, which gives the nearest number there is."""

    def whole(raw: int) -> Meaning:
        if raw in invalid:
            return INVALID_MARKER
        value = raw * step + origin
        return (value, OK, None) if low <= value <= high else OUT_OF_RANGE

    def decimal(raw: int) -> Meaning:
        if raw in invalid:
            return INVALID_MARKER
        value = (raw * step + origin) / tens
        return (value, OK, None) if low <= value <= high else OUT_OF_RANGE

    return whole if is_whole else decimal


def _of_rounded(
    plan: SignalPlan, scale: float, start: float, low: float, high: float, *, is_whole: bool
) -> Callable[[int], Meaning]:
    """A scale no decimals hold, such as that from km/h to m/s."""
    invalid, digits = _markers(plan), plan.digits

    def meaning(raw: int) -> Meaning:
        if raw in invalid:
            return INVALID_MARKER
        return _judged(raw * scale + start, digits, low, high, is_whole=is_whole)

    return meaning


def _of_float(
    plan: SignalPlan, scale: float, start: float, low: float, high: float, *, is_whole: bool
) -> Callable[[int], Meaning]:
    invalid, digits = _markers(plan), plan.digits
    unpack, size_bytes = _FLOATS[plan.field.length]

    def meaning(raw: int) -> Meaning:
        (number,) = unpack.unpack(raw.to_bytes(size_bytes, "little"))
        if raw in invalid or not math.isfinite(number):
            return INVALID_MARKER  # not a number is what a float says for "not known"
        return _judged(number * scale + start, digits, low, high, is_whole=is_whole)

    return meaning


def _judged(value: float, digits: int | None, low: float, high: float, *, is_whole: bool) -> Meaning:
    if not math.isfinite(value):
        return OUT_OF_RANGE
    if digits is not None:
        value = round(value, digits)
    if not low <= value <= high or not math.isfinite(value):
        return OUT_OF_RANGE
    return (int(value) if is_whole else value), OK, None
