"""From a value to the raw value that stands for it: a signal's plan, from the other side."""

from __future__ import annotations

from agent.model.reading import Value
from agent.profiles.schema import SignalPlan


def raw_of(plan: SignalPlan, value: Value | None) -> int | None:
    """The raw value nearest to `value`, which is in the VSS unit; for None the signal's marker for "not known".

    None if there is none: no marker, a word or number that the signal has no room for.
    """
    if value is None:
        return min(plan.invalid_raw, default=next((first for first, _ in plan.invalid_ranges), None))
    if plan.choices is not None:
        # 1 is not True: a profile that writes a number for yes is another one.
        return next(
            (raw for raw, chosen in plan.choices.items() if chosen == value and type(chosen) is type(value)), None
        )
    if isinstance(value, str) or plan.field.is_float:
        return None
    raw = round(((value - plan.unit_offset) / plan.unit_factor - plan.offset) / plan.scale)
    bits = plan.field.length
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if plan.field.is_signed else (0, (1 << bits) - 1)
    return raw if low <= raw <= high else None
