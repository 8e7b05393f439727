"""Vehicle state has an age: a value is shown while it is fresh, and never after (SR-05)."""

from __future__ import annotations

import pytest

from agent.model.reading import Quality, Reading
from agent.state.tracker import Tracker
from tests.support.plans import IS_LOCKED, SPEED, message_plan, profile_of, signal_plan

PROFILE = profile_of(
    message_plan(
        signal_plan(SPEED, unit="km/h", freshness_s=0.5),
        signal_plan(IS_LOCKED, byte=1, choices={0: False, 1: True}, freshness_s=2.0),
    )
)


def speed(value: int, at_s: float) -> Reading:
    return Reading(SPEED, value, "km/h", at_s, Quality.OK, message="Status")


def tracker(*readings: Reading) -> Tracker:
    state = Tracker(PROFILE)
    state.fold(readings)
    return state


def test_path_that_never_came_is_unknown_and_has_no_value() -> None:
    """SR-05: nothing has a default value."""
    assert Tracker(PROFILE).reading(SPEED, 10.0) == Reading(
        SPEED, None, "km/h", 10.0, Quality.UNKNOWN, "never_received"
    )


def test_value_is_shown_up_to_its_freshness_and_not_after() -> None:
    """SR-05."""
    state = tracker(speed(50, 10.0))
    assert state.reading(SPEED, 10.0) == speed(50, 10.0)
    assert state.reading(SPEED, 10.5) == speed(50, 10.0)
    stale = state.reading(SPEED, 10.501)
    assert (stale.value, stale.quality, stale.reason) == (None, Quality.STALE, "not_received")
    assert (stale.at_s, stale.unit, stale.message) == (10.0, "km/h", "Status")


def test_every_path_has_its_own_freshness() -> None:
    state = tracker(speed(50, 10.0), Reading(IS_LOCKED, True, None, 10.0, Quality.OK))
    assert state.reading(SPEED, 11.0).quality is Quality.STALE
    assert state.reading(IS_LOCKED, 11.0).value is True


def test_invalid_reading_replaces_the_value_before_it() -> None:
    """SR-05: the car says that it does not know, and then neither do we."""
    invalid = Reading(SPEED, None, "km/h", 10.1, Quality.INVALID, "invalid_marker")
    state = tracker(speed(50, 10.0), invalid)
    assert state.reading(SPEED, 10.2) == invalid
    assert state.reading(SPEED, 10.7).quality is Quality.STALE


def test_newer_reading_wins_whatever_the_order() -> None:
    state = tracker(speed(60, 10.2), speed(50, 10.1))
    assert state.reading(SPEED, 10.2).value == 60
    state.fold([speed(70, 10.2)])
    assert state.reading(SPEED, 10.2).value == 70


def test_value_comes_back_with_the_frames() -> None:
    state = tracker(speed(50, 10.0))
    assert state.reading(SPEED, 20.0).quality is Quality.STALE
    state.fold([speed(0, 20.0)])
    assert state.reading(SPEED, 20.0) == speed(0, 20.0)


def test_last_known_reading_stays_however_old() -> None:
    state = tracker(speed(50, 10.0))
    assert state.last_known(SPEED) == speed(50, 10.0)
    assert state.last_known(IS_LOCKED) is None


def test_snapshot_has_every_path_of_the_profile_as_it_stands() -> None:
    state = tracker(speed(50, 10.0))
    assert state.snapshot(11.0) == {
        SPEED: speed(50, 10.0)._replace(value=None, quality=Quality.STALE, reason="not_received"),
        IS_LOCKED: Reading(IS_LOCKED, None, None, 11.0, Quality.UNKNOWN, "never_received"),
    }


def test_next_time_something_grows_stale_is_known() -> None:
    state = tracker(speed(50, 10.0), Reading(IS_LOCKED, True, None, 10.0, Quality.OK))
    assert state.next_stale_at(10.0) == 10.5
    assert state.next_stale_at(10.5) == 10.5
    assert state.next_stale_at(10.6) == 12.0
    assert state.next_stale_at(12.1) is None
    assert Tracker(PROFILE).next_stale_at(0.0) is None


@pytest.mark.parametrize("at_s", [0.0, 1e9 + 0.1])
def test_reading_is_fresh_at_the_very_time_it_was_received(at_s: float) -> None:
    assert tracker(speed(50, at_s)).reading(SPEED, at_s).value == 50
