"""Laws of reporting for every course of values: what was told last becomes the truth, and events are told at once."""

from __future__ import annotations

from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.model.reading import Quality, Reading
from agent.model.use import Pace, VehicleUse
from agent.policy.event_cap import WINDOW_S, EventCap
from agent.policy.reporting import EVENTS_MAX, Change, Due, Reporter, is_news
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


def readings_of(due: Due) -> list[Reading]:
    return [*(change.reading for change in due.events), *due.samples]


class Course:
    """A reporter and everything it told, by path, with the time."""

    def __init__(self) -> None:
        self.report = Reporter(RULES, batch_s=BATCH_S, paces=dict.fromkeys(VehicleUse, Pace(0.0)), cap=EventCap())
        self.now_s = 100.0
        self.observed: dict[str, Reading] = {}
        self.told: dict[str, list[Reading]] = {path: [] for path in PATHS}
        self.events: list[Change] = []
        self.samples_at_s: dict[str, list[float]] = {path: [] for path in PATHS}

    def observe(self, reading: Reading) -> None:
        self.report.observe(reading, self.now_s)
        self.observed[reading.path] = reading

    def take(self) -> None:
        due = self.report.due(self.now_s)
        for reading in readings_of(due):
            self.told[reading.path].append(reading)
        self.events += due.events
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
        told = [*course.told[path], *(each for each in readings_of(flushed) if each.path == path)]
        assert not is_news(told[-1], truth, RULES[path].deadband)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=EVENTS_MAX - 4))
def test_every_change_of_an_input_is_an_event_told_at_once_and_in_order(changes: list[tuple[bool, bool]]) -> None:
    course = Course()
    course.observe(Reading(IS_LOCKED, True, None, 0.0, Quality.OK))
    for value, is_taken in changes:
        course.observe(Reading(IS_LOCKED, value, None, 0.0, Quality.OK))
        if is_taken:
            course.take()
    course.take()
    known = [value for value, _ in groupby([True, *(value for value, _ in changes)])]
    assert [(change.before, change.reading.value) for change in course.events] == list(pairwise(known))


@given(STEPS)
def test_samples_of_a_path_keep_their_interval_unless_a_value_is_lost(
    steps: list[tuple[float, Reading, bool]],
) -> None:
    course = course_of(steps)
    course.run_dry()
    for path, times_s in course.samples_at_s.items():
        if RULES[path].is_event:
            continue
        for (at_s, then_s), reading in zip(pairwise(times_s), course.told[path][1:], strict=True):
            assert then_s - at_s >= RULES[path].interval_s_min or reading.quality is not Quality.OK


@given(
    st.lists(st.tuples(st.sampled_from([0.05, 0.3, 1.0, 60.0, 900.0]), st.booleans()), max_size=150),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.25]),
)
def test_no_input_exceeds_its_cap_in_any_hour_and_all_that_was_held_back_is_counted(
    steps: list[tuple[float, bool]], per_hour_max: int, debounce_s: float
) -> None:
    """SR-09, R16: events, bounces and what the cap held back are together all changes there were."""
    rule = ReportRule(0.0, 0.0, is_event=True, debounce_s=debounce_s, events_per_hour_max=per_hour_max)
    cap = EventCap()
    report = Reporter({IS_LOCKED: rule}, batch_s=BATCH_S, paces=dict.fromkeys(VehicleUse, Pace(0.0)), cap=cap)
    now_s, known, changes = 0.0, True, 0
    events_at_s: list[float] = []
    told: list[Reading] = []

    def take() -> None:
        due = report.due(now_s)
        events_at_s.extend([now_s] * len(due.events))
        told.extend(readings_of(due))

    report.observe(Reading(IS_LOCKED, True, None, 0.0, Quality.OK), now_s)
    for passed_s, value in steps:
        now_s += passed_s
        take()
        changes += value is not known
        known = value
        report.observe(Reading(IS_LOCKED, value, None, now_s, Quality.OK), now_s)
        take()
    for _ in range(3):
        now_s += BATCH_S
        take()
    for at_s in events_at_s:
        assert sum(at_s - WINDOW_S < other <= at_s for other in events_at_s) <= per_hour_max
    held_back = cap.take_suppressed(now_s, is_last=True)
    # A bounce is two changes: there and back.
    assert len(events_at_s) + sum(each.capped + 2 * each.bounced for each in held_back) == changes
    assert told[-1].value is known


@given(STEPS)
def test_nothing_is_told_that_was_not_observed(steps: list[tuple[float, Reading, bool]]) -> None:
    """SR-05: no value is made up, and none is told in another quality than it was seen in."""
    course = course_of(steps)
    course.run_dry()
    observed = {reading for _, reading, _ in steps}
    assert all(reading in observed for told in course.told.values() for reading in told)
