"""Laws of the vehicle state for every order of readings and questions (SR-05)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.model.reading import Quality, Reading
from agent.state.tracker import Tracker
from tests.support.plans import IS_LOCKED, SPEED, message_plan, profile_of, signal_plan

FRESHNESS_S = {SPEED: 0.5, IS_LOCKED: 2.25}
PROFILE = profile_of(message_plan(*(signal_plan(path, freshness_s=limit_s) for path, limit_s in FRESHNESS_S.items())))

PATHS = st.sampled_from(sorted(FRESHNESS_S))
QUARTERS = st.integers(0, 12).map(lambda quarters: quarters / 4)
TIMES = st.floats(0.0, 20.0) | QUARTERS


def reading(path: str, value: int, at_s: float, is_ok: bool) -> Reading:
    if is_ok:
        return Reading(path, value, None, at_s, Quality.OK)
    return Reading(path, None, None, at_s, Quality.INVALID, "invalid_marker")


READINGS = st.lists(st.builds(reading, PATHS, st.integers(0, 255), TIMES, st.booleans()), max_size=30)


@given(READINGS, PATHS, TIMES)
def test_value_is_the_newest_received_and_never_older_than_its_freshness(
    readings: list[Reading], path: str, now_s: float
) -> None:
    """SR-05."""
    tracker = Tracker(PROFILE)
    for each in readings:
        tracker.fold([each])
    now = tracker.reading(path, now_s)
    newest_at_s = max((each.at_s for each in readings if each.path == path), default=None)
    newest = [each for each in readings if each.path == path and each.at_s == newest_at_s]
    if not newest:
        assert (now.quality, now.value) == (Quality.UNKNOWN, None)
    elif now_s - newest[-1].at_s > FRESHNESS_S[path]:
        assert (now.quality, now.value, now.at_s) == (Quality.STALE, None, newest_at_s)
    else:
        assert now == newest[-1]
    assert (now.value is not None) == (now.quality is Quality.OK)


@given(READINGS, TIMES)
def test_snapshot_is_each_path_asked_for_by_itself(readings: list[Reading], now_s: float) -> None:
    tracker = Tracker(PROFILE)
    tracker.fold(readings)
    assert tracker.snapshot(now_s) == {path: tracker.reading(path, now_s) for path in FRESHNESS_S}


@given(
    st.lists(st.tuples(st.builds(reading, PATHS, st.integers(0, 3), QUARTERS, st.booleans()), st.booleans())), QUARTERS
)
def test_what_was_just_taken_in_stands_as_its_path_does(heard: list[tuple[Reading, bool]], later_s: float) -> None:
    """Whether it is the newest or not, and however old it was when it came (SR-05)."""
    tracker = Tracker(PROFILE)
    for each, is_of_a_frame in heard:
        if is_of_a_frame:
            tracker.hear(((0,), [each]), each.at_s)
        else:
            tracker.fold([each])
        for now_s in (each.at_s, each.at_s + later_s):
            assert tracker.standing(each, now_s) == tracker.reading(each.path, now_s)


@given(
    st.lists(st.builds(reading, PATHS, st.just(1), QUARTERS.map(lambda at_s: at_s - 3.0), st.booleans()), max_size=10),
    QUARTERS,
)
def test_nothing_grows_stale_before_the_time_foretold_and_something_does_after(
    readings: list[Reading], later_s: float
) -> None:
    now_s = 0.0
    tracker = Tracker(PROFILE)
    tracker.fold(readings)
    stale_at_s = tracker.next_stale_at(now_s)
    before, later = stale_paths(tracker, now_s), stale_paths(tracker, now_s + later_s)
    if stale_at_s is None:
        assert later == before
    else:
        assert stale_at_s >= now_s
        assert (later > before) == (now_s + later_s > stale_at_s)


def stale_paths(tracker: Tracker, now_s: float) -> set[str]:
    return {path for path, reading in tracker.snapshot(now_s).items() if reading.quality is Quality.STALE}
