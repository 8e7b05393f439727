"""One thing asked of one path: that its value is this, or lies between these."""

from __future__ import annotations

from agent.model.quick_dataclass import dataclass
from agent.model.reading import Value


@dataclass(frozen=True, slots=True)
class Clause:
    """`path` is `equals`, or lies within `minimum` and `maximum` (its VSS unit, inclusive)."""

    path: str
    equals: Value | None = None
    minimum: float | None = None
    maximum: float | None = None

    def is_met_by(self, value: Value | None) -> bool:
        return is_met(value, self.equals, self.minimum, self.maximum)


def is_met(value: Value | None, equals: Value | None, minimum: float | None, maximum: float | None) -> bool:
    """Whether the value is as asked; a kind of value that cannot be judged so is not."""
    if equals is not None:
        # To Python True == 1; to a car "locked" is not the number one.
        return isinstance(value, bool) == isinstance(equals, bool) and value == equals
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if minimum is None and maximum is None:
        return False
    # Written so that not-a-number, which compares as false, is not met.
    return (minimum is None or value >= minimum) and (maximum is None or value <= maximum)
