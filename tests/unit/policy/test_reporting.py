"""What is told and when: samples in batches beyond a deadband, events at once, and in the end always the truth."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agent.model.reading import Quality, Reading, Value
from agent.model.use import Pace, VehicleUse
from agent.policy.event_cap import EventCap, Suppressed
from agent.policy.reporting import EVENTS_MAX, Change, Due, Reporter, is_news, pace_of
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
    return Reporter(RULES, batch_s=BATCH_S, paces=dict.fromkeys(VehicleUse, Pace(0.0)), cap=EventCap())


def known(value: bool = True) -> Reporter:
    """One that was told of the lock already."""
    report = reporter()
    report.observe(ok(IS_LOCKED, value), 0.0)
    assert report.due(BATCH_S).samples == (ok(IS_LOCKED, value),)
    return report


def change(value: bool) -> Change:
    return Change(not value, ok(IS_LOCKED, value))


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
    report = known()
    report.observe(ok(IS_LOCKED, False), 100.0)
    assert report.next_due_at() == float("-inf")
    assert report.due(100.0) == Due((change(False),), ())
    assert report.due(100.0) == NOTHING


def test_first_value_of_an_input_is_no_event() -> None:
    """Nothing happened: the agent began to look. A dozen inputs at every start would be a dozen records."""
    report = reporter()
    report.observe(ok(IS_LOCKED, False), 100.0)
    assert report.due(100.0) == NOTHING
    assert report.due(105.0) == Due((), (ok(IS_LOCKED, False),))


def test_change_before_the_first_value_was_told_is_an_event() -> None:
    report = reporter()
    report.observe(ok(IS_LOCKED, True), 100.0)
    report.observe(ok(IS_LOCKED, False), 101.0)
    assert report.due(101.0) == Due((change(False),), ())
    assert report.due(200.0) == NOTHING


def test_input_that_does_not_change_is_no_event() -> None:
    report = known()
    for second in range(3):
        report.observe(ok(IS_LOCKED, True, at_s=second), second)
        assert report.due(second) == NOTHING


def test_event_does_not_drag_the_batch_along() -> None:
    report = known()
    report.observe(ok(SPEED, 50), 100.0)
    report.observe(ok(IS_LOCKED, False), 101.0)
    assert report.due(101.0) == Due((change(False),), ())
    assert report.next_due_at() == 105.0


def test_change_and_change_back_while_a_slow_write_holds_things_up_are_two_events() -> None:
    """A door that was opened and closed was opened, and is closed."""
    report = known()
    report.observe(ok(IS_LOCKED, False), 101.0)
    report.observe(ok(IS_LOCKED, True), 102.0)
    assert report.due(120.0).events == (change(False), change(True))


def test_events_that_wait_are_bounded_and_the_truth_is_told() -> None:
    """SR-09: a signal that flaps at 100 Hz through a write of 20 s."""
    report = known(value=False)
    for number in range(2000):
        report.observe(ok(IS_LOCKED, number % 2 == 0), 100.0 + number / 100)
    due = report.due(125.0)
    assert len(due.events) <= EVENTS_MAX
    told = [each.reading for each in due.events] + list(due.samples)
    assert told[-1] == ok(IS_LOCKED, False)


def test_growing_stale_is_a_sample_even_for_an_event_path() -> None:
    report = known()
    stale = no_value(IS_LOCKED, Quality.STALE, "not_received")
    report.observe(stale, 110.0)
    assert report.due(110.0) == NOTHING
    assert report.due(115.0) == Due((), (stale,))


def test_input_that_comes_back_as_it_was_is_no_event_and_as_something_else_is_one() -> None:
    """The car slept: who locked it meanwhile was not seen, but that somebody did is known."""
    for value in (True, False):
        report = known()
        report.observe(no_value(IS_LOCKED, Quality.STALE, "not_received"), 10.0)
        report.due(20.0)
        report.observe(ok(IS_LOCKED, value), 30.0)
        assert report.due(30.0).events == (() if value else (change(False),))


def test_staleness_that_waits_is_dropped_when_the_value_comes_back() -> None:
    """SR-05 the other way round: nothing is called stale that is not."""
    report = known()
    report.observe(no_value(IS_LOCKED, Quality.STALE, "not_received"), 110.0)
    report.observe(ok(IS_LOCKED, False), 111.0)
    assert report.due(111.0).events == (change(False),)
    assert report.due(120.0) == NOTHING


def test_value_that_grew_stale_before_it_was_told_is_told_as_stale() -> None:
    """SR-05."""
    report = reporter()
    report.observe(ok(SPEED, 50), 100.0)
    report.observe(STALE, 102.0)
    assert report.due(105.0).samples == (STALE,)


def test_flush_tells_what_still_waits_at_once() -> None:
    report = known()
    report.observe(ok(ODOMETER, 1), 100.0)
    report.due(105.0)
    report.observe(ok(ODOMETER, 2), 106.0)
    report.observe(ok(IS_LOCKED, False), 106.0)
    assert report.flush(106.0) == Due((change(False),), (ok(ODOMETER, 2),))
    assert report.flush(106.0) == NOTHING


# --- how often, by how the car is used ----------------------------------------------------------------------------

PACES = {
    VehicleUse.DRIVING: Pace(10.0, 60.0),
    VehicleUse.CHARGING: Pace(30.0),
    VehicleUse.AWAKE: Pace(60.0),
    VehicleUse.ASLEEP: Pace(600.0),
}


def paced(use: VehicleUse, rules: dict[str, ReportRule] = RULES) -> Reporter:
    report = Reporter(rules, batch_s=BATCH_S, paces=PACES, cap=EventCap())
    report.use(use)
    return report


@pytest.mark.parametrize(("use", "interval_s"), [(use, pace.interval_s_min) for use, pace in PACES.items()])
def test_value_that_changes_all_the_time_is_told_at_the_pace_of_the_use(use: VehicleUse, interval_s: float) -> None:
    report = paced(use)
    told_at_s = []
    for second in range(2000):
        report.observe(ok(SPEED, 2 * second), second)
        told_at_s += [second for _ in report.due(second).samples]
    gaps_s = [after - before for before, after in pairwise(told_at_s)]
    assert gaps_s
    assert all(interval_s <= gap_s <= interval_s + BATCH_S for gap_s in gaps_s)


def test_change_of_use_quickens_what_waits() -> None:
    report = paced(VehicleUse.AWAKE)
    report.observe(ok(SPEED, 0), 0.0)
    report.due(5.0)
    report.observe(ok(SPEED, 30), 15.0)
    assert report.due(20.0) == NOTHING
    report.use(VehicleUse.DRIVING)
    assert report.due(25.0).samples == (ok(SPEED, 30),)


def test_value_that_does_not_change_is_told_again_after_its_longest_interval() -> None:
    report = paced(VehicleUse.DRIVING)
    told_at_s = []
    for second in range(200):
        report.observe(ok(SPEED, 50, at_s=second), second)
        told_at_s += [second for _ in report.due(second).samples]
    assert told_at_s == [5, 70, 135]


def test_stale_value_is_not_told_again() -> None:
    report = paced(VehicleUse.DRIVING)
    report.observe(ok(SPEED, 50), 0.0)
    report.due(5.0)
    told: list[Reading] = []
    for second in range(6, 300):
        report.observe(STALE, second)
        told += report.due(second).samples
    assert told == [STALE]


def test_changes_of_values_first_told_at_different_times_leave_together() -> None:
    """A message each would cost more than all of their readings."""
    paths = [f"Vehicle.Path{number}" for number in range(4)]
    rules = dict.fromkeys(paths, ReportRule(deadband=0.0, interval_s_min=0.0, is_event=False))
    report = paced(VehicleUse.DRIVING, rules)
    batches = []
    for now_s in range(int(30 * PACES[VehicleUse.DRIVING].interval_s_min)):
        for number, path in enumerate(paths):
            if now_s >= number * 2 * BATCH_S:
                report.observe(ok(path, now_s), now_s)
        if samples := report.due(now_s).samples:
            batches.append((now_s, samples))
    assert all(len(samples) == len(paths) for _, samples in batches[len(paths) + 1 :])
    late = [now_s for now_s, _ in batches[len(paths) + 1 :]]
    assert all(after - before >= PACES[VehicleUse.DRIVING].interval_s_min for before, after in pairwise(late))


def test_that_a_value_is_lost_waits_for_no_interval() -> None:
    """SR-05: nobody looks at a value for ten minutes that is none any more."""
    report = paced(VehicleUse.ASLEEP)
    report.observe(ok(SPEED, 50), 0.0)
    report.due(5.0)
    report.observe(STALE, 6.0)
    assert report.due(11.0).samples == (STALE,)


def test_pace_of_the_profile_goes_before_the_general_one() -> None:
    own = {VehicleUse.DRIVING: Pace(2.0, 30.0)}
    rule = ReportRule(0.0, 20.0, is_event=False, paces=own)
    assert pace_of(rule, VehicleUse.DRIVING, Pace(10.0)) == Pace(2.0, 30.0)
    assert pace_of(rule, VehicleUse.AWAKE, Pace(10.0, 15.0)) == Pace(20.0, 20.0)


# --- inputs that bounce and flap ----------------------------------------------------------------------------------

DEBOUNCED = {IS_LOCKED: ReportRule(0.0, 0.0, is_event=True, debounce_s=0.5, events_per_hour_max=3)}


def test_change_counts_once_it_has_stood_for_its_time_and_has_the_time_it_began() -> None:
    report = paced(VehicleUse.AWAKE, DEBOUNCED)
    report.observe(ok(IS_LOCKED, True), 0.0)
    report.due(5.0)
    report.observe(ok(IS_LOCKED, False, at_s=10.0), 10.0)
    report.observe(ok(IS_LOCKED, False, at_s=10.4), 10.4)
    assert report.due(10.4) == NOTHING
    assert report.next_due_at() == 10.5
    assert report.due(10.5).events == (Change(True, ok(IS_LOCKED, False, at_s=10.0)),)


def test_bounce_is_no_event_and_is_counted() -> None:
    cap = EventCap()
    report = Reporter(DEBOUNCED, batch_s=BATCH_S, paces=PACES, cap=cap)
    report.observe(ok(IS_LOCKED, True), 0.0)
    report.due(5.0)
    report.observe(ok(IS_LOCKED, False), 10.0)
    report.observe(ok(IS_LOCKED, True), 10.1)
    assert report.due(20.0) == NOTHING
    assert cap.take_suppressed(20.0) == (Suppressed(IS_LOCKED, capped=0, bounced=1),)


def test_change_that_is_lost_before_it_stood_is_none() -> None:
    report = paced(VehicleUse.AWAKE, DEBOUNCED)
    report.observe(ok(IS_LOCKED, True), 0.0)
    report.due(5.0)
    report.observe(ok(IS_LOCKED, False), 10.0)
    report.observe(no_value(IS_LOCKED, Quality.STALE, "not_received"), 10.2)
    assert report.due(11.0) == NOTHING


def test_change_that_waits_is_told_before_the_end() -> None:
    report = paced(VehicleUse.AWAKE, DEBOUNCED)
    report.observe(ok(IS_LOCKED, True), 0.0)
    report.due(5.0)
    report.observe(ok(IS_LOCKED, False), 10.0)
    assert report.flush(10.1).events == (change(False),)


def test_input_beyond_its_cap_is_told_as_a_sample_and_ends_in_the_truth() -> None:
    report = paced(VehicleUse.DRIVING, DEBOUNCED)
    report.observe(ok(IS_LOCKED, True), 0.0)
    report.due(5.0)
    events: list[Change] = []
    samples: list[Reading] = []
    for second in range(10, 110):
        report.observe(ok(IS_LOCKED, second % 2 == 0), second)
        due = report.due(second + 0.5)
        events += due.events
        samples += due.samples
    due = report.due(200.0)
    assert len(events) == 3
    assert len(samples) <= 100 / 10 + 1
    assert [*(each.reading for each in events), *samples, *due.samples][-1] == ok(IS_LOCKED, False)
