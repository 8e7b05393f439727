"""Laws of reporting for every course of values: what was told last becomes the truth, and events are told at once."""

from __future__ import annotations

from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.model.reading import Quality, Reading
from agent.policy.reporting import EVENTS_MAX, Due, Reporter, is_news
from agent.profiles.schema import ReportRule
from tests.support.plans import IS_LOCKED, ODOMETER, SPEED

BATCH_S = 5.0
INTERVAL_S = 12.0
RULES = {
    SPEED: ReportRule(deadband=2.0, interval_s_min=0.0, is_event=False),
    ODOMETER: ReportRule(deadband=0.0, interval_s_min=INTERVAL_S, is_event=False),
    IS_LOCKED: ReportRule(deadband=0.0, interval_s_min=INTERVAL_S, is_event=True),
}
PATHS = sorted(RULES)


def reading(path: str, value: int, quality: Quality) -> Reading:
    if quality is Quality.OK:
        return Reading(path, value > 5 if path == IS_LOCKED else value, None, 0.0, quality)
    return Reading(path, None, None, 0.0, quality, "why")


QUALITIES = st.sampled_from([Quality.OK, Quality.OK, Quality.OK, Quality.STALE, Quality.INVALID])
READINGS = st.builds(reading, st.sampled_from(PATHS), st.integers(0, 10), QUALITIES)

# Seconds that pass, then what is observed, and whether what is due is taken after it.
STEPS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 1.0, 4.0, 20.0]), READINGS, st.booleans()), max_size=60)


class Course:
    """A reporter and everything it told, by path, with the time."""

    def __init__(self) -> None:
        self.report = Reporter(RULES, batch_s=BATCH_S)
        self.now_s = 100.0
        self.observed: dict[str, Reading] = {}
        self.told: dict[str, list[Reading]] = {path: [] for path in PATHS}
        self.samples_at_s: dict[str, list[float]] = {path: [] for path in PATHS}

    def observe(self, reading: Reading) -> None:
        self.report.observe(reading, self.now_s)
        self.observed[reading.path] = reading

    def take(self) -> None:
        due = self.report.due(self.now_s)
        for reading in (*due.events, *due.samples):
            self.told[reading.path].append(reading)
        for reading in due.samples:
            self.samples_at_s[reading.path].append(self.now_s)

    def run_dry(self) -> None:
        """Let time pass, without anything new, until nothing waits."""
        for _ in range(10):
            if (due_at_s := self.report.next_due_at()) is None:
                return
            self.now_s = max(self.now_s, due_at_s)
            self.take()
        raise AssertionError("something waits for ever")


def course_of(steps: list[tuple[float, Reading, bool]]) -> Course:
    course = Course()
    for passed_s, reading, is_taken in steps:
        course.now_s += passed_s
        course.observe(reading)
        if is_taken:
            course.take()
    return course


@given(STEPS)
def test_what_was_told_last_comes_to_be_the_truth_within_the_deadband(
    steps: list[tuple[float, Reading, bool]],
) -> None:
    course = course_of(steps)
    course.run_dry()
    for path, truth in course.observed.items():
        assert course.told[path]
        assert not is_news(course.told[path][-1], truth, RULES[path].deadband)


@given(STEPS)
def test_truth_is_told_within_batch_and_interval(steps: list[tuple[float, Reading, bool]]) -> None:
    course = course_of(steps)
    began_s = course.now_s
    course.run_dry()
    assert course.now_s - began_s <= INTERVAL_S + BATCH_S


@given(STEPS)
def test_flush_leaves_nothing_to_tell(steps: list[tuple[float, Reading, bool]]) -> None:
    course = course_of(steps)
    flushed = course.report.flush(course.now_s)
    assert course.report.due(course.now_s + 1000.0) == Due((), ())
    for path, truth in course.observed.items():
        told = [*course.told[path], *(each for each in (*flushed.events, *flushed.samples) if each.path == path)]
        assert not is_news(told[-1], truth, RULES[path].deadband)


@given(STEPS)
def test_events_are_told_at_once(steps: list[tuple[float, Reading, bool]]) -> None:
    course = course_of(steps)
    course.take()
    truth = course.observed.get(IS_LOCKED)
    if truth is not None and truth.quality is not Quality.STALE:
        assert not is_news(course.told[IS_LOCKED][-1], truth, 0.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=EVENTS_MAX))
def test_every_change_of_an_event_path_is_told_once_and_in_order(changes: list[tuple[bool, bool]]) -> None:
    course = Course()
    for value, is_taken in changes:
        course.observe(Reading(IS_LOCKED, value, None, 0.0, Quality.OK))
        if is_taken:
            course.take()
    course.take()
    assert [reading.value for reading in course.told[IS_LOCKED]] == [
        value for value, _ in groupby(v for v, _ in changes)
    ]


@given(STEPS)
def test_samples_of_a_path_keep_their_interval(steps: list[tuple[float, Reading, bool]]) -> None:
    course = course_of(steps)
    course.run_dry()
    for path, times_s in course.samples_at_s.items():
        gaps_s = [after - before for before, after in pairwise(times_s)]
        assert all(gap_s >= RULES[path].interval_s_min for gap_s in gaps_s)


@given(STEPS)
def test_nothing_is_told_that_was_not_observed(steps: list[tuple[float, Reading, bool]]) -> None:
    """SR-05: no value is made up, and none is told in another quality than it was seen in."""
    course = course_of(steps)
    course.run_dry()
    observed = {reading for _, reading, _ in steps}
    assert all(reading in observed for told in course.told.values() for reading in told)
