"""May a rental end here: each condition by itself, yes, no or unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.command import Answer, Condition, ConditionAnswer, Reason
from agent.model.reading import Quality, Reading, Value
from agent.model.recipe import Precondition
from agent.policy.end_of_rental import CHARGE_PATHS, answers, rules_of

LEFT, RIGHT, LOCKED = "Left.IsOpen", "Right.IsOpen", "IsLocked"


def rule(path: str, condition: Condition, equals: Value) -> Precondition:
    return Precondition(path, Reason.RETURN_CONDITION, equals=equals, condition=condition)


DOORS = rule(LEFT, Condition.DOORS_CLOSED, False), rule(RIGHT, Condition.DOORS_CLOSED, False)
CLOSED_AND_LOCKED = (DOORS[0], rule(LOCKED, Condition.LOCKED, True), DOORS[1])


def ok(path: str, value: Value, at_s: float = 9.0) -> Reading:
    return Reading(path, value, None, at_s, Quality.OK)


def no(path: str, quality: Quality, at_s: float = 4.0) -> Reading:
    return Reading(path, None, None, at_s, quality, "because")


def told(*readings: Reading, condition: Condition = Condition.DOORS_CLOSED) -> ConditionAnswer:
    found = answers(rules_of(CLOSED_AND_LOCKED, ()), {each.path: each for each in readings}.__getitem__, 10.0)
    return next(each for each in found if each.condition is condition)


LOCK = ok(LOCKED, True)


def test_condition_of_several_rules_holds_if_all_do_and_is_as_old_as_the_oldest() -> None:
    answer = told(ok(LEFT, False, 9.5), ok(RIGHT, False, 8.0), LOCK)
    assert answer == ConditionAnswer(Condition.DOORS_CLOSED, Answer.YES, False, 2000)


@pytest.mark.parametrize("other", [ok(RIGHT, False), no(RIGHT, Quality.STALE), no(RIGHT, Quality.UNKNOWN)])
def test_one_fresh_value_against_it_is_a_no_whatever_else_is_not_known(other: Reading) -> None:
    assert told(ok(LEFT, True), other, LOCK) == ConditionAnswer(Condition.DOORS_CLOSED, Answer.NO, True, 1000)


@pytest.mark.parametrize(
    ("quality", "age_ms"), [(Quality.STALE, 6000), (Quality.INVALID, 6000), (Quality.UNKNOWN, None)]
)
def test_missing_value_is_unknown_and_never_a_yes(quality: Quality, age_ms: int | None) -> None:
    """SR-05"""
    answer = told(ok(LEFT, False), no(RIGHT, quality), LOCK)
    assert answer == ConditionAnswer(Condition.DOORS_CLOSED, Answer.UNKNOWN, None, age_ms)


def test_operator_asks_for_some_and_what_the_car_cannot_tell_is_unknown() -> None:
    rules = rules_of(CLOSED_AND_LOCKED, (), wanted=[Condition.LOCKED, Condition.IN_ZONE, Condition.LOCKED])
    assert list(rules) == [Condition.LOCKED, Condition.IN_ZONE]
    found = answers(rules, {LOCKED: LOCK}.__getitem__, 10.0)
    assert found == (
        ConditionAnswer(Condition.LOCKED, Answer.YES, True, 1000),
        ConditionAnswer(Condition.IN_ZONE, Answer.UNKNOWN, None, None),
    )


@pytest.mark.parametrize("path", CHARGE_PATHS)
@pytest.mark.parametrize(("percent", "answer"), [(19.9, Answer.NO), (20.0, Answer.YES)])
def test_operators_own_minimum_of_energy(path: str, percent: float, answer: Answer) -> None:
    own = Precondition(path, Reason.RETURN_CONDITION, minimum=90.0, condition=Condition.ENERGY)
    rules = rules_of([own], [path], energy_percent_min=20.0)
    found = answers(rules, {path: ok(path, percent)}.__getitem__, 10.0)
    assert found == (ConditionAnswer(Condition.ENERGY, answer, percent, 1000),)


def test_minimum_of_energy_on_a_car_that_does_not_tell_it_is_unknown() -> None:
    known: dict[str, Reading] = {}
    found = answers(rules_of([], ["Vehicle.Speed"], energy_percent_min=20.0), known.__getitem__, 10.0)
    assert found == (ConditionAnswer(Condition.ENERGY, Answer.UNKNOWN, None, None),)


READINGS = st.one_of(
    st.booleans().map(lambda value: ("", value)),
    st.sampled_from([Quality.STALE, Quality.INVALID, Quality.UNKNOWN]).map(lambda quality: (quality.value, None)),
)


@given(READINGS, READINGS)
def test_answer_is_yes_exactly_if_every_value_is_there_and_as_asked(
    left: tuple[str, bool | None], right: tuple[str, bool | None]
) -> None:
    readings = [
        no(path, Quality(quality)) if value is None else ok(path, value)
        for path, (quality, value) in ((LEFT, left), (RIGHT, right))
    ]
    answer = told(*readings, LOCK)
    values = [left[1], right[1]]
    assert (answer.answer is Answer.YES) == (values == [False, False])
    assert (answer.answer is Answer.NO) == (True in values)
