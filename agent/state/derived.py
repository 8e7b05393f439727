"""States that no single signal gives, from readings as they stand: a pure function, and one counter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from agent.model.reading import INVALID, OK, STALE, UNKNOWN, Reading, Value
from agent.profiles.schema import Derivation, DerivedPlan

# Which input without a value is named as the reason: what was never there says more than what grew old.
_GRAVITY = {UNKNOWN: 2, INVALID: 1, STALE: 0}


def derive(plan: DerivedPlan, read: Callable[[str], Reading], rises: int | None) -> Reading:
    """The state as `read` gives its inputs now; `rises` is how often its clause came to be met (None: never known).

    It has a value only if every input has one (SR-05), and the time and message of the oldest; else quality, reason,
    time and message are those of the gravest input.
    """
    inputs = [read(path) for path in plan.inputs]
    missing = [reading for reading in inputs if reading.quality is not OK]
    if missing:
        gravest = max(missing, key=lambda reading: _GRAVITY[reading.quality])
        return gravest._replace(path=plan.path, unit=plan.unit, value=None)
    oldest = min(inputs, key=lambda reading: reading.at_s)
    value = _value(plan, {reading.path: reading.value for reading in inputs}, rises)
    if not isinstance(value, bool | str) and not _is_held(value, plan):
        return oldest._replace(path=plan.path, unit=plan.unit, value=None, quality=INVALID, reason="out_of_range")
    return oldest._replace(path=plan.path, unit=plan.unit, value=value)


def _is_held(value: float, plan: DerivedPlan) -> bool:
    """Whether the path's datatype can hold the number; unsigned ones hold none below zero."""
    if plan.maximum is None:
        return math.isfinite(value)
    return (0 if plan.datatype.startswith("u") else -plan.maximum - 1) <= value <= plan.maximum


def _value(plan: DerivedPlan, values: dict[str, Value | None], rises: int | None) -> Value:
    match plan.how:
        case Derivation.ALL:
            return all(clause.is_met_by(values[clause.path]) for clause in plan.clauses)
        case Derivation.ANY:
            return any(clause.is_met_by(values[clause.path]) for clause in plan.clauses)
        case Derivation.RISES:
            return rises or 0
        case Derivation.PRODUCT:
            product = math.prod((_number(values[clause.path]) for clause in plan.clauses), start=plan.factor)
            # Infinity cannot be rounded to a whole number.
            return round(product, plan.digits or None) if math.isfinite(product) else product


def _number(value: Value | None) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


class RiseCounter:
    """How often each clause that is counted came to be met, from one known value to the next."""

    def __init__(self, plans: Iterable[DerivedPlan]) -> None:
        self._plans = [plan for plan in plans if plan.how is Derivation.RISES]
        self._was_met: dict[str, bool] = {}
        self._counts: dict[str, int] = {}

    def note(self, reading: Reading) -> None:
        """A new reading of some path; one without a value is passed over, and the known before it counts on."""
        for plan in self._plans:
            clause = plan.clauses[0]
            if reading.path != clause.path or reading.quality is not OK:
                continue
            is_met = clause.is_met_by(reading.value)
            if is_met and self._was_met.get(plan.path) is False:
                self._counts[plan.path] = self._counts.get(plan.path, 0) + 1
            self._was_met[plan.path] = is_met

    def count(self, path: str) -> int | None:
        """None until its input was known."""
        return self._counts.get(path, 0) if path in self._was_met else None
