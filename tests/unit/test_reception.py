"""What the engine makes of a bus that the kernel watches, and when it wants every frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.command import Action, Stage
from agent.model.effects import Attend, Persist, SendFrame, WatchAfresh
from agent.model.events import FramesLost
from agent.model.frame import Frame
from agent.model.reading import Quality, Reading
from agent.model.reception import GoesOn, MessageId, WatchNews
from agent.model.records import Done, Intent
from agent.profiles.watches import attended
from agent.state.tracker import Tracker
from tests.support.pair import Pair
from tests.support.plans import IS_LOCKED, SPEED, message_plan, profile_of, signal_plan

LOCK_PATH = "Vehicle.Carshare.CentralLock.IsLocked"


def asked_for(pair: Pair, action: Action) -> list[int]:
    """Places in what was performed of: attention, intent, first frame, end of attention, end of the command."""
    begin = len(pair.performed)
    pair.run(1.0)
    assert pair.ask(action).stage is Stage.VERIFIED
    effects = pair.performed[begin:]

    def first(condition: type, *, of: type | None = None, messages: object = None) -> int:
        return next(
            place
            for place, effect in enumerate(effects)
            if isinstance(effect, condition)
            and (of is None or (isinstance(effect, Persist) and isinstance(effect.records[0], of)))
            and (messages is None or (isinstance(effect, Attend) and effect.messages == messages))
        )

    wanted = attended(pair.profile, pair.profile.recipes[action])
    return [
        first(Attend, messages=wanted),
        first(Persist, of=Intent),
        first(SendFrame),
        first(Attend, messages=()),
        first(Persist, of=Done),
    ]


@pytest.mark.parametrize("action", [Action.UNLOCK, Action.DISABLE_DRIVE])
def test_every_frame_that_decides_is_wanted_from_before_the_intent_to_the_result_sr_04(action: Action) -> None:
    places = asked_for(Pair(), action)
    assert places == sorted(places)


def frame_of(pair: Pair, path: str) -> Frame:
    """The car's next frame with this path, which the agent has not got yet."""
    (message,) = (plan for plan in pair.profile.messages if any(signal.path == path for signal in plan.signals))
    while True:
        pair.now_s += 0.01
        for frame in pair.car.step(pair.now_s):
            if frame.arbitration_id == message.arbitration_id:
                return frame


def reading(pair: Pair, path: str) -> dict[str, object]:
    readings = pair.engine.status(pair.now_s)["readings"]
    assert isinstance(readings, dict)
    found = readings[path]
    assert isinstance(found, dict)
    return found


def changed(frame: Frame, now_s: float) -> WatchNews:
    """The kernel gives this frame; its message goes on coming at least every quarter of a second."""
    return WatchNews("body", (), now_s, [frame], [GoesOn(id_of(frame), 0.25)])


def id_of(frame: Frame) -> MessageId:
    return MessageId(frame.bus, frame.arbitration_id, frame.is_extended_id)


def test_an_unchanged_value_is_fresh_while_its_message_is_seen_and_stale_soon_after_sr_05() -> None:
    pair = Pair()
    pair.run(5.0)  # a car that was just started says that it does not know yet
    frame = frame_of(pair, LOCK_PATH)
    pair.engine.receive_watched(changed(frame, pair.now_s), pair.now_s)
    for _ in range(40):
        pair.now_s += 0.1
        pair.engine.receive_watched(WatchNews("body", known_at_s=pair.now_s), pair.now_s)
        found = reading(pair, LOCK_PATH)
        assert found["quality"] == "ok"
    assert found["age_s"] == 0.25
    pair.now_s += 0.1
    pair.engine.receive_watched(WatchNews("body", [id_of(frame)], pair.now_s), pair.now_s)
    assert reading(pair, LOCK_PATH)["quality"] == "ok"
    pair.now_s += 0.2
    assert reading(pair, LOCK_PATH)["quality"] == "stale"


def test_counters_of_changes_are_not_compared_for_those_between_went_unseen() -> None:
    pair = Pair()
    # Every seventh frame, and as if each had come a moment after the one before: no silence excuses the jump.
    frames = [frame_of(pair, LOCK_PATH) for _ in range(15)][::7]
    frames = [frame._replace(received_at_s=pair.now_s + 0.1 * number) for number, frame in enumerate(frames)]
    pair.engine.receive_watched(WatchNews("body", changes=frames[:2]), pair.now_s)
    pair.engine.receive_frame(frames[2], pair.now_s)
    counts = pair.engine.status(pair.now_s)["frames"]
    assert isinstance(counts, dict)
    assert counts["LockStatus"]["received"] == 3
    assert counts["LockStatus"]["refused_counter"] == 0


def test_after_a_refused_change_its_message_is_watched_afresh_and_not_seen_sr_05() -> None:
    pair = Pair()
    pair.run(5.0)  # a car that was just started says that it does not know yet
    frame = frame_of(pair, LOCK_PATH)
    pair.engine.receive_watched(changed(frame, pair.now_s), pair.now_s)
    broken = Frame(frame.bus, frame.arbitration_id, bytes(8), pair.now_s)
    pair.engine.receive_watched(changed(broken, pair.now_s), pair.now_s)
    pair.perform()
    assert WatchAfresh(id_of(frame)) in pair.performed
    pair.now_s += 1.0
    pair.engine.receive_watched(WatchNews("body", known_at_s=pair.now_s), pair.now_s)
    assert reading(pair, LOCK_PATH)["quality"] == "stale"


def test_what_was_lost_is_told_with_its_sum() -> None:
    pair = Pair()
    for count in (3, 4):
        pair.engine.receive_link(FramesLost("body", count), pair.now_s)
    pair.run(10.0)
    told = [event for event in pair.events() if event["kind"] == "frames_lost"]
    assert [(event["lost"], event["lost_since_start"]) for event in told] == [(3, 3), (4, 7)]


PROFILE = profile_of(
    message_plan(signal_plan(SPEED)),
    message_plan(signal_plan(IS_LOCKED, choices={0: False}), name="Lock", arbitration_id=0x101),
)


@given(st.floats(0.0, 10.0), st.lists(st.floats(0.0, 10.0)), st.floats(10.0, 12.0))
def test_being_seen_only_moves_the_time_of_what_is_known_and_never_back_sr_05(
    at_s: float, seen_at_s: list[float], now_s: float
) -> None:
    tracker = Tracker(PROFILE)
    for message in ("Status", "Lock"):
        tracker.known_until("body", 5.0)
        tracker.goes_on(message, "body", 0.0)
    assert tracker.reading(SPEED, now_s).quality is Quality.UNKNOWN, "nothing is known yet, and nothing is known by it"
    tracker.fold([Reading(SPEED, 7, None, at_s, Quality.OK, message="Status")])
    for each_s in seen_at_s:
        tracker.known_until("body", each_s)
    tracker.goes_on_no_more("Status", "body", now_s)
    tracker.known_until("body", now_s)
    newest_s = max([at_s, *seen_at_s[-1:], *([] if seen_at_s else [5.0])])
    known = tracker.last_known(SPEED)
    assert known is not None and (known.value, known.at_s) == (7, newest_s)
    assert (tracker.reading(SPEED, now_s).value == 7) == (now_s - newest_s <= 1.0)
    assert tracker.last_known(IS_LOCKED) is None
