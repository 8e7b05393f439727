"""An answer stands in for what the car does not say by itself, and never for one that is newer (SR-05)."""

from __future__ import annotations

from agent.model.reading import Quality, Reading
from agent.state.tracker import Tracker
from tests.support.small_car import HEAD, SIGNALS, parsed, signal_table

GEAR, VOLTS = "Vehicle.Powertrain.Transmission.SelectedGear", "Vehicle.LowVoltageBattery.CurrentVoltage"
PARK, DRIVE = 126, 127
FRESH_S, ANSWER_FRESH_S = 1.0, 8.0
"""The message has a cycle of 0.1 s, and the poll says how long its answers count."""
PROFILE = parsed(
    HEAD
    + signal_table(GEAR, *SIGNALS[GEAR])
    + f"""
[[polls]]
name = "lever"
request_id = 0x797
response_id = 0x79A
service = 0x22
identifier = 0x1156
period_s = 5.0
freshness_s = {ANSWER_FRESH_S}
lengths = [2]
[[polls.values]]
path = "{GEAR}"
byte = 0
choices = {{ 1 = 126, 4 = 127 }}
[[polls.values]]
path = "{VOLTS}"
byte = 1
scale = 0.1
unit = "V"
"""
)
NO_MEANING = Reading(GEAR, None, None, 0.0, Quality.INVALID, "no_meaning", "Motion")


def spoken(gear: int, at_s: float) -> Reading:
    return Reading(GEAR, gear, None, at_s, Quality.OK, None, "Motion")


def answer(gear: int | None, at_s: float) -> Reading:
    if gear is None:
        return NO_MEANING._replace(at_s=at_s, message="lever")
    return Reading(GEAR, gear, None, at_s, Quality.OK, None, "lever")


def shown(tracker: Tracker, now_s: float) -> tuple[object, str, str | None]:
    reading = tracker.reading(GEAR, now_s)
    return reading.value, reading.quality.value, reading.reason


def test_without_a_word_of_the_car_the_answer_counts_for_as_long_as_the_poll_says() -> None:
    tracker = Tracker(PROFILE)
    tracker.answer([answer(DRIVE, 10.0)])
    assert shown(tracker, 10.0 + ANSWER_FRESH_S) == (DRIVE, "ok", None)
    assert shown(tracker, 10.0 + ANSWER_FRESH_S + 0.1) == (None, "stale", "not_received")
    assert tracker.last_known(GEAR) == answer(DRIVE, 10.0)
    assert tracker.next_stale_at(10.0) == 10.0 + ANSWER_FRESH_S


def test_the_cars_own_word_goes_first_while_it_is_fresh() -> None:
    tracker = Tracker(PROFILE)
    tracker.fold([spoken(PARK, 10.0)])
    tracker.answer([answer(DRIVE, 10.1)])
    assert shown(tracker, 10.0 + FRESH_S) == (PARK, "ok", None)
    assert shown(tracker, 10.0 + FRESH_S + 0.1) == (DRIVE, "ok", None)


def test_an_answer_older_than_the_cars_last_word_never_covers_its_silence() -> None:
    tracker = Tracker(PROFILE)
    tracker.answer([answer(DRIVE, 10.0)])
    tracker.fold([spoken(PARK, 10.5)])
    assert shown(tracker, 10.5 + FRESH_S + 0.1) == (None, "stale", "not_received")


def test_an_answer_from_before_does_not_cover_a_value_without_a_meaning() -> None:
    """READY shows as a value the profile has no word for: the "off" of before it is old."""
    tracker = Tracker(PROFILE)
    tracker.answer([answer(DRIVE, 10.0)])
    tracker.fold([spoken(PARK, 10.5)])
    tracker.fold([NO_MEANING._replace(at_s=10.6)])
    assert shown(tracker, 10.7) == (None, "invalid", "no_meaning")
    tracker.answer([answer(DRIVE, 10.8)])
    assert shown(tracker, 10.9) == (DRIVE, "ok", None)


def test_an_answer_without_a_value_stands_in_for_nothing() -> None:
    tracker = Tracker(PROFILE)
    tracker.fold([NO_MEANING._replace(at_s=10.0)])
    tracker.answer([answer(None, 10.1)])
    assert shown(tracker, 10.2) == (None, "invalid", "no_meaning")
    assert tracker.reading(GEAR, 10.2).message == "Motion"


def test_an_answer_that_comes_late_does_not_replace_a_newer_one() -> None:
    tracker = Tracker(PROFILE)
    tracker.answer([answer(DRIVE, 10.0)])
    tracker.answer([answer(PARK, 9.0)])
    assert shown(tracker, 10.1) == (DRIVE, "ok", None)


def test_why_nothing_was_answered_is_said_of_what_is_only_asked_for() -> None:
    tracker = Tracker(PROFILE)
    tracker.excuse((GEAR, VOLTS), "no_answer", 10.0)
    assert tracker.reading(GEAR, 10.0).reason == "never_received"
    assert tracker.reading(VOLTS, 10.0).reason == "no_answer"


def test_a_word_without_a_meaning_stands_as_the_answer_does_that_came_after_it() -> None:
    tracker = Tracker(PROFILE)
    heard = NO_MEANING._replace(at_s=10.0)
    tracker.fold([heard])
    assert tracker.standing(heard, 10.0) == heard
    tracker.answer([answer(DRIVE, 10.1)])
    assert tracker.standing(heard, 10.2) == tracker.reading(GEAR, 10.2) == answer(DRIVE, 10.1)
