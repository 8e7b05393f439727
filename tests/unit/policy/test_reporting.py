"""What is told and when: samples in batches beyond a deadband, events at once, and in the end always the truth."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agent.model.reading import Quality, Reading, Value
from agent.policy.reporting import EVENTS_MAX, Due, Reporter, is_news
from agent.profiles.schema import ReportRule
from tests.support.plans import IS_LOCKED, ODOMETER, SPEED

RULES = {
    SPEED: ReportRule(deadband=1.0, interval_s_min=0.0, is_event=False),
    ODOMETER: ReportRule(deadband=0.0, interval_s_min=10.0, is_event=False),
    IS_LOCKED: ReportRule(deadband=0.0, interval_s_min=0.0, is_event=True),
}
BATCH_S = 5.0
NOTHING = Due((), ())


def ok(path: str, value: Value, at_s: float = 0.0) -> Reading:
    return Reading(path, value, None, at_s, Quality.OK)


def no_value(path: str, quality: Quality, reason: str) -> Reading:
    return Reading(path, None, None, 0.0, quality, reason)


STALE = no_value(SPEED, Quality.STALE, "not_received")
INVALID = no_value(SPEED, Quality.INVALID, "invalid_marker")


def reporter() -> Reporter:
    return Reporter(RULES, batch_s=BATCH_S)


@pytest.mark.parametrize(
    ("told", "new", "is_so"),
    [
        (None, ok(SPEED, 0), True),
        (None, INVALID, True),
        (None, no_value(SPEED, Quality.UNKNOWN, "unit_unknown"), False),
        (ok(SPEED, 50), ok(SPEED, 51), False),
        (ok(SPEED, 50), ok(SPEED, 51.001), True),
        (ok(SPEED, 50), ok(SPEED, 48.999), True),
        (ok(SPEED, 50), STALE, True),
        (STALE, ok(SPEED, 50), True),
        (STALE, STALE, False),
        (INVALID, no_value(SPEED, Quality.INVALID, "out_of_range"), True),
        (ok(IS_LOCKED, True), ok(IS_LOCKED, False), True),
        (ok(IS_LOCKED, True), ok(IS_LOCKED, True), False),
        (ok("Vehicle.X", "DRIVE"), ok("Vehicle.X", "PARK"), True),
    ],
)
def test_news_is_what_differs_by_more_than_the_deadband(told: Reading | None, new: Reading, is_so: bool) -> None:
    assert is_news(told, new, 1.0) is is_so


def test_samples_leave_together_after_the_batch_time() -> None:
    report = reporter()
    report.observe(ok(SPEED, 50), 100.0)
    report.observe(ok(ODOMETER, 7), 103.0)
    assert report.next_due_at() == 105.0
    assert report.due(104.999) == NOTHING
    assert report.due(105.0) == Due((), (ok(SPEED, 50), ok(ODOMETER, 7)))
    assert report.next_due_at() is None
    assert report.due(110.0) == NOTHING


def test_only_the_newest_value_of_a_batch_is_told() -> None:
    report = reporter()
    for value in (50, 60, 70):
        report.observe(ok(SPEED, value), 100.0)
    assert report.due(105.0).samples == (ok(SPEED, 70),)


def test_slow_drift_is_told_once_it_exceeds_the_deadband() -> None:
    report = reporter()
    report.observe(ok(SPEED, 50), 0.0)
    report.due(5.0)
    told: list[Reading] = []
    for step in range(1, 34):
        report.observe(ok(SPEED, 50 + step / 10), 5.0 + step)
        told += report.due(5.0 + step).samples
    assert told == [ok(SPEED, 51.6), ok(SPEED, 53.2)]


def test_change_that_came_back_before_the_batch_left_is_not_told() -> None:
    report = reporter()
    report.observe(ok(SPEED, 50), 0.0)
    report.due(5.0)
    report.observe(ok(SPEED, 60), 6.0)
    report.observe(ok(SPEED, 50.5), 7.0)
    assert report.due(20.0) == NOTHING
    assert report.next_due_at() is None


def test_path_is_not_told_oftener_than_its_interval() -> None:
    report = reporter()
    told_at = []
    for second in range(60):
        report.observe(ok(ODOMETER, second), second)
        if report.due(second).samples:
            told_at.append(second)
    assert told_at[0] == BATCH_S
    gaps_s = [after - before for before, after in pairwise(told_at)]
    assert len(gaps_s) >= 3
    assert all(10.0 <= gap_s <= 10.0 + BATCH_S for gap_s in gaps_s)


def test_event_is_due_at_once() -> None:
    report = reporter()
    report.observe(ok(IS_LOCKED, False), 100.0)
    assert report.next_due_at() == float("-inf")
    assert report.due(100.0) == Due((ok(IS_LOCKED, False),), ())
    assert report.due(100.0) == NOTHING


def test_event_path_that_does_not_change_is_no_event() -> None:
    report = reporter()
    for second in range(3):
        report.observe(ok(IS_LOCKED, False, at_s=second), second)
        assert len(report.due(second).events) == (second == 0)


def test_event_does_not_drag_the_batch_along() -> None:
    report = reporter()
    report.observe(ok(SPEED, 50), 100.0)
    report.observe(ok(IS_LOCKED, False), 101.0)
    assert report.due(101.0) == Due((ok(IS_LOCKED, False),), ())
    assert report.next_due_at() == 105.0


def test_change_and_change_back_while_a_slow_write_holds_things_up_are_two_events() -> None:
    """A door that was opened and closed was opened, and is closed."""
    report = reporter()
    report.observe(ok(IS_LOCKED, True), 100.0)
    report.due(100.0)
    report.observe(ok(IS_LOCKED, False), 101.0)
    report.observe(ok(IS_LOCKED, True), 102.0)
    assert report.due(120.0).events == (ok(IS_LOCKED, False), ok(IS_LOCKED, True))


def test_events_that_wait_are_bounded_and_end_in_the_truth() -> None:
    """SR-09: a signal that flaps at 100 Hz through a write of 20 s."""
    report = reporter()
    for change in range(2000):
        report.observe(ok(IS_LOCKED, change % 2 == 1), 100.0 + change / 100)
    events = report.due(120.0).events
    assert len(events) <= EVENTS_MAX
    assert events[-1] == ok(IS_LOCKED, True)


def test_growing_stale_is_a_sample_even_for_an_event_path() -> None:
    report = reporter()
    report.observe(ok(IS_LOCKED, True), 100.0)
    report.due(100.0)
    stale = no_value(IS_LOCKED, Quality.STALE, "not_received")
    report.observe(stale, 110.0)
    assert report.due(110.0) == NOTHING
    assert report.due(115.0) == Due((), (stale,))


def test_staleness_that_waits_is_dropped_when_the_value_comes_back() -> None:
    """SR-05 the other way round: nothing is called stale that is not."""
    report = reporter()
    report.observe(ok(IS_LOCKED, True), 100.0)
    report.due(100.0)
    report.observe(no_value(IS_LOCKED, Quality.STALE, "not_received"), 110.0)
    report.observe(ok(IS_LOCKED, False), 111.0)
    assert report.due(111.0).events == (ok(IS_LOCKED, False),)
    assert report.due(120.0) == NOTHING


def test_value_that_grew_stale_before_it_was_told_is_told_as_stale() -> None:
    """SR-05."""
    report = reporter()
    report.observe(ok(SPEED, 50), 100.0)
    report.observe(STALE, 102.0)
    assert report.due(105.0).samples == (STALE,)


def test_flush_tells_what_still_waits_at_once() -> None:
    report = reporter()
    report.observe(ok(ODOMETER, 1), 100.0)
    report.due(105.0)
    report.observe(ok(ODOMETER, 2), 106.0)
    report.observe(ok(IS_LOCKED, True), 106.0)
    assert report.flush(106.0) == Due((ok(IS_LOCKED, True),), (ok(ODOMETER, 2),))
    assert report.flush(106.0) == NOTHING
