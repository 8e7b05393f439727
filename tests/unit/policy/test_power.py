"""The ladder of the 12 V battery: every pair of its table, each span and threshold, and no step on a guess."""

from __future__ import annotations

from itertools import product

import pytest

from agent.policy.power import LOOK_GAP_S_MAX, TRANSITIONS, Ladder, Limits, Sign, Step

LIMITS = Limits(
    warn_v=12.4, warn_s=180.0, shed_v=12.3, shed_s=180.0, off_v=12.2, off_s=240.0, resume_v=12.8, resume_s=60.0
)


def climbed(ladder: Ladder, volts: float | None, seconds: range, *, is_fed: bool = False) -> list[tuple[int, Step]]:
    """Each step taken as soon as it is due, with the second."""
    taken = []
    for now_s in seconds:
        ladder.note(volts, is_fed=is_fed, now_s=float(now_s))
        if (step := ladder.due()) is not None:
            ladder.take(step)
            taken.append((now_s, step))
    return taken


def test_table_has_every_pair_and_goes_down_one_rung_at_a_time() -> None:
    assert set(TRANSITIONS) == set(product(Step, Sign))
    rungs = list(Step)
    for (step, _), then in TRANSITIONS.items():
        assert rungs.index(then) <= rungs.index(step) + 1


@pytest.mark.parametrize(
    ("volts", "steps"),
    [
        (12.4, []),
        (12.39, [(180, Step.WARNED)]),
        (12.3, [(180, Step.WARNED)]),
        (12.29, [(180, Step.WARNED), (181, Step.SHEDDING)]),
        (12.2, [(180, Step.WARNED), (181, Step.SHEDDING)]),
        (12.19, [(180, Step.WARNED), (181, Step.SHEDDING), (240, Step.POWER_OFF)]),
    ],
)
def test_each_rung_begins_below_its_voltage_after_its_time(volts: float, steps: list[tuple[int, Step]]) -> None:
    assert climbed(Ladder(LIMITS), volts, range(2000)) == steps


@pytest.mark.parametrize("volts", [12.19, 12.29, 12.39])
def test_all_is_well_again_at_the_highest_voltage_alone(volts: float) -> None:
    """Hysteresis: a battery that recovers because load was shed is not charged yet."""
    ladder = Ladder(LIMITS)
    climbed(ladder, volts, range(1000))
    assert climbed(ladder, 12.79, range(1000, 3000)) == []
    assert climbed(ladder, 12.8, range(3000, 4000)) == [(3060, Step.NORMAL)]


def test_dip_while_a_motor_turns_is_no_warning() -> None:
    ladder = Ladder(LIMITS)
    for begin in range(0, 3000, 200):
        assert climbed(ladder, 11.0, range(begin, begin + 150)) == []
        assert climbed(ladder, 12.6, range(begin + 150, begin + 200)) == []


def test_voltage_that_is_not_known_moves_nothing_down_and_nothing_up() -> None:
    """SR-05: what was low before the car slept says nothing of now."""
    ladder = Ladder(LIMITS)
    assert climbed(ladder, 12.0, range(170)) == []
    assert climbed(ladder, None, range(170, 3000)) == []
    assert climbed(ladder, 12.0, range(3000, 3170)) == []
    climbed(ladder, 12.0, range(3170, 4000))
    assert ladder.step is Step.POWER_OFF
    assert climbed(ladder, 14.0, range(4000, 4050)) == []
    assert climbed(ladder, None, range(4050, 8000)) == []
    assert ladder.step is Step.POWER_OFF


def test_time_in_which_nobody_looked_does_not_count() -> None:
    """A suspended computer knows two voltages and nothing of the hours between them."""
    ladder = Ladder(LIMITS)
    for now_s in (0.0, 5.0, 5.0 + LOOK_GAP_S_MAX + 0.1, 7200.0):
        ladder.note(12.0, is_fed=False, now_s=now_s)
        assert ladder.due() is None


def test_car_that_is_ready_or_charges_is_warned_and_keeps_its_load() -> None:
    ladder = Ladder(LIMITS)
    assert climbed(ladder, 11.0, range(3000), is_fed=True) == [(180, Step.WARNED)]
    assert climbed(ladder, 11.0, range(3000, 4000)) == [(3180, Step.SHEDDING), (3240, Step.POWER_OFF)]
    assert climbed(ladder, None, range(4000, 5000), is_fed=True) == [(4060, Step.WARNED)]


def test_step_that_is_due_is_not_taken_by_itself() -> None:
    """It is announced first; until it is taken it stays due."""
    ladder = Ladder(LIMITS)
    for now_s in range(400):
        ladder.note(12.0, is_fed=False, now_s=float(now_s))
    assert (ladder.step, ladder.due()) == (Step.NORMAL, Step.WARNED)
