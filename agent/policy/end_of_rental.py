"""May a rental end here? Each condition by itself: yes, no or unknown, with the value it hangs on.

The conditions are the union of what operators ask for (E1 to E11); which of them one operator asks for it says in the
configuration, and what they mean on a car stands in its profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from agent.model.clause import is_met
from agent.model.command import Answer, Condition, ConditionAnswer, Reason
from agent.model.reading import Quality, Reading
from agent.model.recipe import Precondition

Rules = Mapping[Condition, tuple[Precondition, ...]]
"""What each condition asks of the car, in the order they are asked; nothing where the car cannot tell."""

# An operator's own minimum of energy is asked of the first of these that the car has.
CHARGE_PATHS = (
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed",
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
)


def rules_of(
    conditions: Iterable[Precondition],
    paths: Iterable[str],
    *,
    wanted: Iterable[Condition] | None = None,
    energy_percent_min: float | None = None,
) -> Rules:
    """The profile's `conditions` by what they are about; only the `wanted` ones, if an operator says which.

    `energy_percent_min` takes the place of the profile's own rule about energy.  `paths` are those of the profile.
    """
    given: dict[Condition, tuple[Precondition, ...]] = {}
    for rule in conditions:
        if rule.condition is not None:
            given[rule.condition] = (*given.get(rule.condition, ()), rule)
    if energy_percent_min is not None:
        known = set(paths)
        charge = [path for path in CHARGE_PATHS if path in known][:1]
        given[Condition.ENERGY] = tuple(_energy(path, energy_percent_min) for path in charge)
    return given if wanted is None else {condition: given.get(condition, ()) for condition in dict.fromkeys(wanted)}


def _energy(path: str, percent_min: float) -> Precondition:
    return Precondition(
        path,
        Reason.RETURN_CONDITION,
        minimum=percent_min,
        when_unknown=Reason.PRECONDITION_STALE,
        when_stale=Reason.PRECONDITION_STALE,
        condition=Condition.ENERGY,
    )


def answers(rules: Rules, read: Callable[[str], Reading], now_s: float) -> tuple[ConditionAnswer, ...]:
    """Each condition: no if a fresh value contradicts it, else unknown if one it needs is missing, else yes."""
    return tuple(_answer(condition, asked, read, now_s) for condition, asked in rules.items())


def _answer(
    condition: Condition, rules: tuple[Precondition, ...], read: Callable[[str], Reading], now_s: float
) -> ConditionAnswer:
    pairs = [(rule, read(rule.path)) for rule in rules]
    if not pairs:
        return ConditionAnswer(condition, Answer.UNKNOWN, None, None)
    for rule, reading in pairs:
        if reading.quality is Quality.OK and not is_met(reading.value, rule.equals, rule.minimum, rule.maximum):
            return ConditionAnswer(condition, Answer.NO, reading.value, _age_ms(reading, now_s))
    for _, reading in pairs:
        if reading.quality is not Quality.OK:
            age_ms = None if reading.quality is Quality.UNKNOWN else _age_ms(reading, now_s)
            return ConditionAnswer(condition, Answer.UNKNOWN, None, age_ms)
    oldest = min((reading for _, reading in pairs), key=lambda reading: reading.at_s)
    return ConditionAnswer(condition, Answer.YES, oldest.value, _age_ms(oldest, now_s))


def _age_ms(reading: Reading, now_s: float) -> int:
    return max(0, round((now_s - reading.at_s) * 1000))
