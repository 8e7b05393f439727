"""Laws of the 12 V ladder for every course of voltages: in order, each span stood for, and no flapping."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.policy.power import Ladder, Limits, Step

LIMITS = Limits(
    warn_v=12.4, warn_s=30.0, shed_v=12.3, shed_s=30.0, off_v=12.2, off_s=40.0, resume_v=12.8, resume_s=10.0
)
HASTY = Limits(warn_v=12.4, warn_s=45.0, shed_v=12.3, shed_s=9.0, off_v=12.2, off_s=2.0, resume_v=12.8, resume_s=30.0)
RUNGS = list(Step)

# Seconds for which a voltage stands (or is not known), and whether the car is fed meanwhile.
COURSES = st.lists(
    st.tuples(
        st.sampled_from([None, 11.0, 12.15, 12.25, 12.35, 12.5, 12.79, 12.8, 14.2]) | st.floats(6.0, 16.0),
        st.booleans(),
        st.sampled_from([1, 2, 9, 10, 11, 29, 30, 31, 45, 100]),
    ),
    max_size=25,
)


Volts = list[tuple[float | None, bool, int]]


class Course:
    """What a ladder did of a course, second by second, and what it was shown."""

    def __init__(self, course: Volts, limits: Limits) -> None:
        self.shown: list[tuple[float | None, bool]] = []
        self.taken: list[tuple[int, Step, Step]] = []
        ladder = Ladder(limits)
        for volts, is_fed, seconds in course:
            for _ in range(seconds):
                self._second(ladder, volts, is_fed=is_fed)

    def _second(self, ladder: Ladder, volts: float | None, *, is_fed: bool) -> None:
        now_s = len(self.shown)
        self.shown.append((volts, is_fed))
        ladder.note(volts, is_fed=is_fed, now_s=float(now_s))
        if (step := ladder.due()) is not None:
            self.taken.append((now_s, ladder.step, step))
            ladder.take(step)

    def stood(self, until_s: int, seconds: float) -> list[tuple[float | None, bool]]:
        """What was shown within so many seconds up to a step; shorter if the course had just begun."""
        return self.shown[max(0, until_s - int(seconds)) : until_s + 1]


@given(COURSES, st.sampled_from([LIMITS, HASTY]))
def test_down_goes_rung_by_rung_each_after_its_voltage_stood_for_its_time(course: Volts, limits: Limits) -> None:
    lived = Course(course, limits)
    spans = {
        Step.WARNED: (limits.warn_v, limits.warn_s),
        Step.SHEDDING: (limits.shed_v, limits.shed_s),
        Step.POWER_OFF: (limits.off_v, limits.off_s),
    }
    for at_s, before, step in lived.taken:
        if RUNGS.index(step) > RUNGS.index(before):
            below_v, seconds = spans[step]
            stood = lived.stood(at_s, seconds)
            assert RUNGS.index(step) == RUNGS.index(before) + 1
            assert len(stood) == seconds + 1
            assert all(volts is not None and volts < below_v for volts, _ in stood)
            assert step is Step.WARNED or not any(is_fed for _, is_fed in stood)


@given(COURSES, st.sampled_from([LIMITS, HASTY]))
def test_up_goes_only_by_a_battery_that_is_well_or_fed_for_its_time(course: Volts, limits: Limits) -> None:
    lived = Course(course, limits)
    for at_s, before, step in lived.taken:
        if RUNGS.index(step) < RUNGS.index(before):
            stood = lived.stood(at_s, limits.resume_s)
            assert len(stood) == limits.resume_s + 1
            if step is Step.NORMAL:
                assert all(volts is not None and volts >= limits.resume_v for volts, _ in stood)
            else:
                assert step is Step.WARNED and all(is_fed for _, is_fed in stood)


@given(COURSES, st.sampled_from([LIMITS, HASTY]))
def test_nothing_flaps(course: Volts, limits: Limits) -> None:
    """Up again costs the time of resuming, and the next way down begins with that of a warning."""
    lived = Course(course, limits)
    for (first_s, _, first), (then_s, before, then) in pairwise(lived.taken):
        assert before is first and then is not first
        if RUNGS.index(then) < RUNGS.index(first):
            assert then_s - first_s >= 0
        elif first is Step.NORMAL:
            assert then_s - first_s >= limits.warn_s
    returns = [at_s for at_s, _, step in lived.taken if step is Step.NORMAL]
    assert all(then_s - first_s >= limits.warn_s + limits.resume_s for first_s, then_s in pairwise(returns))
