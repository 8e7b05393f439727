"""What a raw value means: a value in the path's VSS unit, or the reason why there is none. No defaults (SR-05)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping

from agent.model.reading import Quality, Value
from agent.profiles.schema import SignalPlan

Meaning = tuple[Value | None, Quality, str | None]
"""Value, quality and reason of a reading; the value is None unless the quality is ok, the reason None if it is."""

INVALID_MARKER: Meaning = (None, Quality.INVALID, "invalid_marker")
OUT_OF_RANGE: Meaning = (None, Quality.INVALID, "out_of_range")
NO_MEANING: Meaning = (None, Quality.INVALID, "no_meaning")
UNIT_UNKNOWN: Meaning = (None, Quality.UNKNOWN, "unit_unknown")

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


def _of_choices(plan: SignalPlan, choices: Mapping[int, Value]) -> Callable[[int], Meaning]:
    table: dict[int, Meaning] = {raw: (value, Quality.OK, None) for raw, value in choices.items()}
    table.update(dict.fromkeys(plan.invalid_raw, INVALID_MARKER))

    def meaning(raw: int) -> Meaning:
        return table.get(raw, NO_MEANING)

    return meaning


def _of_number(plan: SignalPlan, factor: float, offset: float) -> Callable[[int], Meaning]:
    scale, start = plan.scale * factor, plan.offset * factor + offset
    invalid, digits = plan.invalid_raw, plan.digits
    low = plan.minimum if plan.minimum is not None else -math.inf
    high = plan.maximum if plan.maximum is not None else math.inf
    is_whole = plan.datatype not in ("float", "double")
    # Whole numbers stay whole, so that 64 bits come through unrounded.
    whole = (int(scale), int(start)) if is_whole and scale.is_integer() and start.is_integer() else None
    unpack, size_bytes = _FLOATS[plan.field.length] if plan.field.is_float else (None, 0)

    def meaning(raw: int) -> Meaning:
        if raw in invalid:
            return INVALID_MARKER
        value: int | float
        if unpack is not None:
            (number,) = unpack.unpack(raw.to_bytes(size_bytes, "little"))
            if not math.isfinite(number):
                return INVALID_MARKER  # not a number is what a float says for "not known"
            value = number * scale + start
        elif whole is not None:
            value = raw * whole[0] + whole[1]
        else:
            value = raw * scale + start
        if digits is not None:
            value = round(value, digits) if math.isfinite(value) else value
        if not low <= value <= high or not math.isfinite(value):
            return OUT_OF_RANGE
        return (int(value) if is_whole else float(value)), Quality.OK, None

    return meaning
