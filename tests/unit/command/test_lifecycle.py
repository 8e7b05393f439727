"""One command from intent to outcome, step by step. Crash cases are the engine's (`tests/simulation`)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.command.lifecycle import SEND_ANSWER_S_MAX, Finish, Lifecycle, Phase, Progress, Send
from agent.model.command import Executed, Reason, Stage
from agent.model.pulse import Pulse
from agent.model.reading import Quality
from tests.support.commands import (
    DEADLINE_S,
    LOCKED,
    NOW_S,
    RELEASE_FRAME,
    SESSION_STARTED_S,
    SPEED,
    STANDS_STILL,
    UNLOCK_FRAME,
    WAKE,
    WAKE_FRAME,
    Run,
    command,
    reading,
    unlock_recipe,
)

NO, YES, UNKNOWN = Executed.NO, Executed.YES, Executed.UNKNOWN
UNLOCK_ID, RELEASE_ID, WAKE_ID = (frame.arbitration_id for frame in (UNLOCK_FRAME, RELEASE_FRAME, WAKE_FRAME))


def acting(**recipe: object) -> Run:
    """An awake car, intent stored, first frame asked for."""
    run = Run(unlock_recipe(**recipe))  # type: ignore[arg-type]
    run.stored()
    return run


def watching(**recipe: object) -> Run:
    """All frames sent, 0.2 s into the window."""
    run = acting(repeats_max=1, **recipe)
    run.sent()
    run.at(NOW_S + 0.2)
    assert run.lifecycle.phase is Phase.WATCHING
    return run


def waking(**recipe: object) -> Run:
    """A sleeping car, intent stored, first wake frame asked for."""
    run = Run(unlock_recipe(**recipe), is_bus_asleep=True)  # type: ignore[arg-type]
    run.stored()
    return run


def settling(**recipe: object) -> Run:
    """A car that has just woken up and said nothing of its speed yet."""
    run = waking(**recipe)
    run.sent()
    run.now_s += 0.05
    run.wakes()
    return run


# --- the straight way ------------------------------------------------------------------------------------------------


def test_unlock_of_an_awake_car_is_verified_by_two_frames_after_ours() -> None:
    """SR-04."""
    run = Run()
    run.stored()
    run.sent()
    run.shows(True)
    run.at(NOW_S + 0.05)
    run.shows(False)
    assert run.verdict is None
    run.at(NOW_S + 0.1)
    run.sent()
    run.at(NOW_S + 0.15)
    run.shows(False)
    assert run.verdict == (Stage.VERIFIED, Reason.OK, YES)
    assert run.stages == [Stage.ACCEPTED, Stage.EXECUTING]
    assert run.ids() == [UNLOCK_ID, UNLOCK_ID]
    assert run.lifecycle.phase is Phase.ENDING


def test_verified_outcome_rests_on_the_feedback_and_the_preconditions() -> None:
    run = watching()
    run.shows(False)
    run.at(NOW_S + 0.4)
    run.shows(False)
    assert run.outcome is not None
    assert [(piece.path, piece.value, piece.age_ms) for piece in run.outcome.evidence] == [
        (LOCKED, False, 0),
        (SPEED, 0.0, 401),
    ]


def test_sleeping_car_is_woken_asked_again_and_unlocked() -> None:
    """H103."""
    run = Run(is_bus_asleep=True)
    run.stored()
    assert run.ids() == [WAKE_ID]
    run.sent()
    run.at(NOW_S + 0.05)
    run.wakes()
    assert run.lifecycle.phase is Phase.SETTLING
    run.at(NOW_S + 0.5)
    run.shows(0.0, path=SPEED)
    assert run.ids() == [WAKE_ID, UNLOCK_ID]
    run.sent()
    for _ in range(3):
        run.at(run.now_s + 0.06)
        run.shows(False)
    assert run.verdict == (Stage.VERIFIED, Reason.OK, YES)


# --- SR-02: nothing moves before the intent is durable ---------------------------------------------------------------


def test_sr_02_nothing_is_sent_before_the_intent_is_stored() -> None:
    run = Run()
    run.shows(True)
    run.at(NOW_S + 5.0)
    run.take(run.lifecycle.timer(run.now_s))
    assert run.steps == []
    assert run.lifecycle.phase is Phase.STORING_INTENT
    run.known[SPEED] = reading(SPEED, 0.0, run.now_s)
    assert run.ids(run.stored()) == [UNLOCK_ID]


def test_intent_stored_twice_is_a_broken_assumption() -> None:
    run = acting()
    with pytest.raises(KeyError):
        run.stored()


def test_recipe_that_cannot_be_begun_is_a_broken_assumption() -> None:
    for recipe, is_asleep in (
        (unlock_recipe(frames=()), False),
        (unlock_recipe(wake=None), True),
        (unlock_recipe(wake=replace(WAKE, frames=())), True),
    ):
        with pytest.raises(ValueError, match="nothing to"):
            Run(recipe, is_bus_asleep=is_asleep)


# --- SR-03: the deadline ---------------------------------------------------------------------------------------------


@pytest.mark.hazard("H87")
def test_h87_sr_03_deadline_passed_while_the_intent_was_stored_rejects_and_sends_nothing() -> None:
    run = Run()
    run.now_s = DEADLINE_S + 0.001
    run.known[SPEED] = reading(SPEED, 0.0, run.now_s)
    run.stored()
    assert [type(step) for step in run.steps] == [Finish]
    assert run.verdict == (Stage.REJECTED, Reason.EXPIRED, NO)


def test_intent_stored_at_the_very_deadline_is_still_acted_on() -> None:
    run = Run()
    run.now_s = DEADLINE_S
    run.known[SPEED] = reading(SPEED, 0.0, run.now_s)
    assert run.ids(run.stored()) == [UNLOCK_ID]


def test_sr_03_every_frame_carries_the_deadline() -> None:
    run = settling(frames=(UNLOCK_FRAME, RELEASE_FRAME))
    run.shows(0.0, path=SPEED)
    run.sent()
    run.sent()
    assert run.ids() == [WAKE_ID, UNLOCK_ID, RELEASE_ID]
    assert {send.not_after_s for send in run.sends} == {DEADLINE_S}


def test_sr_03_deadline_between_rounds_ends_the_sending_but_not_the_watching() -> None:
    run = Run(unlock_recipe(repeats_max=10), now_s=DEADLINE_S - 0.15)
    run.stored()
    for _ in range(2):
        run.sent()
        run.at(run.now_s + 0.1)
    assert len(run.sends) == 2
    assert run.lifecycle.phase is Phase.WATCHING
    run.shows(False)
    run.at(DEADLINE_S + 0.5)
    run.shows(False)
    assert run.verdict == (Stage.VERIFIED, Reason.OK, YES)


def test_sr_03_deadline_within_a_round_holds_back_the_rest_of_it() -> None:
    run = Run(unlock_recipe(frames=(UNLOCK_FRAME, RELEASE_FRAME)), now_s=DEADLINE_S - 0.01)
    run.stored()
    run.sent(after_s=0.02)
    assert run.ids() == [UNLOCK_ID]


def test_sr_03_deadline_ends_the_wake_up() -> None:
    run = Run(unlock_recipe(wake=replace(WAKE, tries_max=1000)), is_bus_asleep=True, now_s=DEADLINE_S - 0.25)
    run.stored()
    for _ in range(3):
        run.sent()
        run.at(run.now_s + 0.1)
    assert run.verdict == (Stage.REJECTED, Reason.EXPIRED, NO)
    assert run.ids() == [WAKE_ID] * 3


def test_sr_03_deadline_ends_the_settling() -> None:
    run = Run(is_bus_asleep=True, now_s=DEADLINE_S - 1.0)
    run.stored()
    run.wakes()
    run.at(DEADLINE_S)
    assert run.verdict == (Stage.REJECTED, Reason.EXPIRED, NO)
    assert run.ids() == [WAKE_ID]


def test_sr_03_wake_frame_that_is_never_answered_does_not_outlive_the_deadline() -> None:
    run = waking()
    run.at(DEADLINE_S)
    assert run.verdict == (Stage.REJECTED, Reason.EXPIRED, NO)


# --- preconditions, asked again at the moment of sending -------------------------------------------------------------


def test_car_that_drove_off_while_the_intent_was_stored_is_not_unlocked() -> None:
    """SR-06."""
    run = Run()
    run.known[SPEED] = reading(SPEED, 8.0, NOW_S)
    run.stored()
    assert run.verdict == (Stage.REJECTED, Reason.MOVING, NO)
    assert run.sends == []
    assert run.outcome is not None
    assert [(piece.path, piece.value) for piece in run.outcome.evidence] == [(SPEED, 8.0)]


def test_car_that_drives_off_between_rounds_gets_no_further_frame() -> None:
    run = acting()
    run.sent()
    run.shows(12.0, path=SPEED)
    run.at(NOW_S + 1.0)
    assert run.ids() == [UNLOCK_ID]
    assert run.lifecycle.phase is Phase.WATCHING


def test_woken_car_is_only_believed_what_it_says_since() -> None:
    """A3: the speed of before the sleep is fresh by its age, and means nothing."""
    run = Run(is_bus_asleep=True)
    run.known[SPEED] = reading(SPEED, 0.0, NOW_S)
    run.stored()
    run.wakes()
    run.at(NOW_S + 1.9)
    assert run.ids() == [WAKE_ID]
    run.at(NOW_S + 2.0)
    assert run.verdict == (Stage.REJECTED, Reason.SPEED_UNKNOWN, NO)


def test_woken_car_that_moves_is_not_unlocked() -> None:
    run = settling()
    run.shows(3.0, path=SPEED)
    assert run.verdict == (Stage.REJECTED, Reason.MOVING, NO)


@pytest.mark.parametrize("quality", [Quality.INVALID, Quality.UNKNOWN, Quality.STALE])
def test_settling_waits_for_a_definite_answer(quality: Quality) -> None:
    """A unit that has just woken up says "not available" for a while; that is no reason to give up."""
    run = settling()
    run.shows(None, path=SPEED, quality=quality)
    run.at(NOW_S + 1.0)
    assert run.lifecycle.phase is Phase.SETTLING
    run.shows(0.0, path=SPEED)
    assert run.ids() == [WAKE_ID, UNLOCK_ID]


def test_settling_ends_with_the_reason_of_what_never_came() -> None:
    run = settling()
    woken_at_s = run.now_s
    run.shows(None, path=SPEED, quality=Quality.INVALID)
    run.at(woken_at_s + 1.999)
    assert run.verdict is None
    run.at(woken_at_s + 2.0)
    assert run.verdict == (Stage.REJECTED, Reason.SPEED_UNKNOWN, NO)


def test_settling_is_counted_from_the_first_frame_however_many_come() -> None:
    run = settling()
    woken_at_s = run.now_s
    for _ in range(30):
        run.at(run.now_s + 0.1)
        run.wakes()
    assert run.verdict == (Stage.REJECTED, Reason.SPEED_UNKNOWN, NO)
    assert run.outcome is not None and run.lifecycle.next_timer() is None
    assert woken_at_s + 2.0 == pytest.approx(NOW_S + 2.051)


def test_settling_waits_for_every_path_even_for_one_that_may_be_missing() -> None:
    """Lock with an open door is refused if the door is known; a woken car is given the time to say it."""
    may_be_missing = replace(STANDS_STILL, when_unknown=None, when_stale=None)
    run = settling(preconditions=(may_be_missing,))
    assert run.lifecycle.phase is Phase.SETTLING
    run.at(run.now_s + 2.0)
    assert run.ids() == [WAKE_ID, UNLOCK_ID]


def test_command_without_preconditions_follows_the_wake_up_at_once() -> None:
    run = settling(preconditions=())
    assert run.ids() == [WAKE_ID, UNLOCK_ID]


# --- waking ----------------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H103")
def test_wake_frames_are_repeated_up_to_their_limit_and_then_the_car_has_time_to_answer() -> None:
    run = waking()
    sent_at_s = []
    for _ in range(3):
        sent_at_s.append(run.now_s)
        run.sent()
        run.at(run.now_s + 0.099)
    assert sent_at_s == pytest.approx([NOW_S, NOW_S + 0.1, NOW_S + 0.2])
    assert run.ids() == [WAKE_ID] * 3
    run.at(NOW_S + 2.19)
    assert run.verdict is None
    run.at(NOW_S + 2.2)
    assert run.verdict == (Stage.REJECTED, Reason.BUS_ASLEEP, NO)
    assert run.ids() == [WAKE_ID] * 3


@pytest.mark.hazard("H103")
def test_h103_car_that_wakes_two_seconds_after_the_last_call_is_unlocked() -> None:
    run = waking()
    for _ in range(3):
        run.sent()
        run.at(run.now_s + 0.099)
    run.at(NOW_S + 2.1)
    run.wakes()
    run.shows(0.0, path=SPEED)
    assert run.ids() == [*[WAKE_ID] * 3, UNLOCK_ID]


def test_first_frame_ends_the_wake_up_even_while_a_wake_frame_is_under_way() -> None:
    run = waking()
    run.wakes()
    late = run.sends[0].token
    run.shows(0.0, path=SPEED)
    assert run.ids() == [WAKE_ID, UNLOCK_ID]
    assert run.take(run.lifecycle.frame_sent(late, run.now_s, is_echo_due=False)) == ()
    assert run.lifecycle.stage is Stage.ACCEPTED
    run.at(NOW_S + 2.0)
    assert run.ids() == [WAKE_ID, UNLOCK_ID], "nor did the late answer pass for the command frame's"


def test_late_answer_of_a_wake_frame_is_not_taken_for_a_command_frame() -> None:
    run = waking()
    run.wakes()
    assert run.lifecycle.phase is Phase.SETTLING
    assert run.take(run.lifecycle.frame_sent(run.sends[0].token, run.now_s, is_echo_due=False)) == ()
    run.take(run.lifecycle.stop(run.now_s))
    assert run.verdict == (Stage.REJECTED, Reason.SHUTTING_DOWN, NO)


def test_car_that_woke_while_the_intent_was_stored_needs_no_wake_frame() -> None:
    run = Run(is_bus_asleep=True)
    run.now_s += 0.01
    assert run.wakes() == ()
    run.shows(0.0, path=SPEED)
    run.stored()
    assert run.ids() == [UNLOCK_ID]


def test_frames_of_an_awake_bus_mean_nothing_to_the_wake_up() -> None:
    run = acting()
    assert run.wakes() == ()
    again = settling()
    assert again.wakes() == ()


def test_all_wake_frames_are_sent_each_time() -> None:
    run = waking(wake=replace(WAKE, frames=(WAKE_FRAME, RELEASE_FRAME), tries_max=2))
    for _ in range(4):
        run.sent()
        run.at(run.now_s + 0.1)
    assert run.ids() == [WAKE_ID, RELEASE_ID] * 2


@pytest.mark.hazard("H98")
@pytest.mark.parametrize(
    ("reason", "verdict"),
    [
        (Reason.CAN_DOWN, (Stage.FAILED, Reason.CAN_DOWN, NO)),  # H98
        (Reason.BUS_OFF, (Stage.REJECTED, Reason.BUS_OFF, NO)),  # A3: nothing of the action was asked for yet
        (Reason.INTERNAL, (Stage.REJECTED, Reason.INTERNAL, NO)),
    ],
)
def test_bus_that_fails_under_a_wake_frame_ends_the_command_with_nothing_done(reason: Reason, verdict: object) -> None:
    run = waking()
    run.not_sent(reason)
    assert run.verdict == verdict


def test_wake_frame_that_finds_no_room_is_tried_again_within_its_limit() -> None:
    run = waking()
    for _ in range(3):
        run.not_sent(Reason.TIMEOUT)
        run.at(run.now_s + 0.1)
    run.at(NOW_S + 3.0)
    assert run.ids() == [WAKE_ID] * 3
    assert run.verdict == (Stage.REJECTED, Reason.BUS_ASLEEP, NO)


# --- acting ----------------------------------------------------------------------------------------------------------


def test_frames_are_repeated_an_interval_apart_until_the_limit() -> None:
    run = acting()
    asked_at_s = []
    while run.lifecycle.phase is Phase.ACTING:
        asked_at_s.append(run.now_s)
        run.sent()
        due_s = run.lifecycle.next_timer()
        assert due_s is not None
        run.at(due_s) if run.lifecycle.phase is Phase.ACTING else None
    assert asked_at_s == pytest.approx([NOW_S, NOW_S + 0.1, NOW_S + 0.2])


def test_one_frame_is_under_way_at_a_time() -> None:
    run = acting(frames=(UNLOCK_FRAME, RELEASE_FRAME))
    run.at(NOW_S + 1.0)
    assert run.ids() == [UNLOCK_ID], "however long the answer takes"
    assert run.ids(run.sent()) == [RELEASE_ID]


def test_feedback_stops_the_repetition() -> None:
    run = acting()
    run.sent()
    run.shows(False)
    run.at(NOW_S + 0.099)
    assert run.verdict is None
    run.now_s = NOW_S + 0.102  # the timer of the next round is late
    run.shows(False)
    assert run.verdict == (Stage.VERIFIED, Reason.OK, YES)
    run.at(NOW_S + 10.0)
    assert run.ids() == [UNLOCK_ID]


def test_feedback_does_not_tear_a_round_apart() -> None:
    """Press and release belong together."""
    press_press_release = (UNLOCK_FRAME, UNLOCK_FRAME, RELEASE_FRAME)
    run = acting(frames=press_press_release)
    run.sent()
    run.shows(False)
    run.now_s += 0.2
    run.shows(False)
    assert run.verdict is None
    run.sent()
    assert run.ids() == [UNLOCK_ID, UNLOCK_ID, RELEASE_ID]
    run.sent()
    assert run.verdict == (Stage.VERIFIED, Reason.OK, YES)


@pytest.mark.hazard("H97")
def test_h97_sr_04_feedback_from_before_our_frame_left_verifies_nothing() -> None:
    """Received while the frame was on its way out: it may tell of somebody else's unlock."""
    run = acting(repeats_max=1)
    for at_s in (NOW_S, NOW_S + 0.2, NOW_S + 0.4):
        run.now_s = at_s
        run.shows(False)
    run.sent()
    sent_at_s = run.now_s
    run.receive(reading(LOCKED, False, sent_at_s), reading(SPEED, 0.0, sent_at_s))
    run.receive(reading(LOCKED, False, sent_at_s - 0.001))
    assert run.verdict is None
    run.at(sent_at_s + 3.0)
    assert run.verdict == (Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, UNKNOWN)


@pytest.mark.hazard("H94")
def test_car_without_feedback_is_believed_to_have_done_it_after_the_last_frame() -> None:
    run = acting(feedback=(), repeats_max=2)
    run.sent()
    assert run.verdict is None
    run.at(NOW_S + 0.1)
    run.sent()
    assert run.verdict == (Stage.EXECUTED_UNVERIFIED, Reason.OK, YES)


def test_car_without_feedback_whose_frames_were_cut_short_is_unknown() -> None:
    run = Run(unlock_recipe(feedback=(), frames=(UNLOCK_FRAME, RELEASE_FRAME)), now_s=DEADLINE_S - 0.01)
    run.stored()
    run.sent(after_s=0.02)
    assert run.verdict == (Stage.FAILED, Reason.EXPIRED, UNKNOWN)


@pytest.mark.hazard("H98")
@pytest.mark.parametrize(
    ("reason", "verdict"),
    [
        (Reason.CAN_DOWN, (Stage.FAILED, Reason.CAN_DOWN, NO)),  # H98, A4: the one failure of a bus that says "no"
        (Reason.BUS_OFF, (Stage.FAILED, Reason.BUS_OFF, UNKNOWN)),  # it may be in the controller still
        (Reason.INTERNAL, (Stage.FAILED, Reason.INTERNAL, UNKNOWN)),  # A4: all others unknown
    ],
)
def test_first_frame_that_does_not_leave_ends_the_command(reason: Reason, verdict: object) -> None:
    run = acting()
    run.not_sent(reason)
    assert run.verdict == verdict


@pytest.mark.hazard("H99")
@pytest.mark.parametrize("reason", [Reason.CAN_DOWN, Reason.BUS_OFF])
def test_h99_bus_lost_after_the_first_frame_is_unknown(reason: Reason) -> None:
    run = acting()
    run.sent()
    run.at(NOW_S + 0.11)
    run.not_sent(reason)
    assert run.verdict == (Stage.FAILED, reason, UNKNOWN)


@pytest.mark.hazard("H100")
def test_h100_full_send_buffer_is_tried_again_within_the_repeats_and_then_given_up() -> None:
    run = acting()
    for _ in range(3):
        assert run.verdict is None
        run.not_sent(Reason.TIMEOUT)
        run.at(run.now_s + 0.1)
    assert run.ids() == [UNLOCK_ID] * 3
    assert run.verdict == (Stage.FAILED, Reason.TIMEOUT, UNKNOWN)


def test_interface_down_after_a_frame_that_timed_out_is_unknown() -> None:
    """A4: the one that timed out may have left after all."""
    run = acting()
    run.not_sent(Reason.TIMEOUT)
    run.at(NOW_S + 0.1)
    run.not_sent(Reason.CAN_DOWN)
    assert run.verdict == (Stage.FAILED, Reason.CAN_DOWN, UNKNOWN)


def test_one_frame_that_found_room_makes_it_worth_watching() -> None:
    run = acting()
    run.not_sent(Reason.TIMEOUT)
    run.at(NOW_S + 0.1)
    run.sent()
    run.at(NOW_S + 0.3)
    run.not_sent(Reason.TIMEOUT)
    assert run.lifecycle.phase is Phase.WATCHING
    run.shows(False)
    run.at(NOW_S + 0.5)
    run.shows(False)
    assert run.verdict == (Stage.VERIFIED, Reason.OK, YES)


def test_round_whose_frame_found_no_room_begins_again_at_its_first() -> None:
    run = acting(frames=(UNLOCK_FRAME, RELEASE_FRAME), repeats_max=3)
    run.not_sent(Reason.TIMEOUT)
    assert run.ids() == [UNLOCK_ID], "a release without a press is no request"
    run.at(NOW_S + 0.1)
    run.sent()
    run.not_sent(Reason.TIMEOUT)
    run.at(NOW_S + 0.25)
    run.sent()
    assert run.ids() == [UNLOCK_ID, UNLOCK_ID, RELEASE_ID, UNLOCK_ID, RELEASE_ID]


def test_wake_round_whose_frame_found_no_room_begins_again_at_its_first() -> None:
    run = waking(wake=replace(WAKE, frames=(WAKE_FRAME, RELEASE_FRAME)))
    run.not_sent(Reason.TIMEOUT)
    assert run.ids() == [WAKE_ID]
    run.at(NOW_S + 0.1)
    run.sent()
    assert run.ids() == [WAKE_ID, WAKE_ID, RELEASE_ID]


def test_frame_held_back_for_its_deadline_has_not_left() -> None:
    run = Run(now_s=DEADLINE_S - 0.01)
    run.stored()
    run.now_s = DEADLINE_S + 0.01
    run.not_sent(Reason.EXPIRED)
    assert run.verdict == (Stage.REJECTED, Reason.EXPIRED, NO)


def test_wake_frame_held_back_for_its_deadline_ends_the_wake_up() -> None:
    run = waking()
    run.now_s = DEADLINE_S
    run.not_sent(Reason.EXPIRED)
    assert run.verdict == (Stage.REJECTED, Reason.EXPIRED, NO)


def test_frame_held_back_before_the_deadline_is_tried_again_in_the_next_round() -> None:
    """A slow card held it up for longer than its preconditions were good for; nothing left (H87)."""
    run = Run()
    run.stored()
    run.not_sent(Reason.EXPIRED)
    assert run.verdict is None
    run.at(run.now_s + 0.5)
    assert len(run.sends) == 2


@pytest.mark.hazard("H99")
def test_bus_that_fails_after_a_frame_left_ends_the_command_unknown() -> None:
    """H99"""
    run = Run()
    run.stored()
    assert run.lifecycle.bus_failed(Reason.BUS_OFF, run.now_s) == ()
    run.sent()
    (finish,) = run.lifecycle.bus_failed(Reason.BUS_OFF, run.now_s)
    assert isinstance(finish, Finish)
    outcome = finish.outcome
    assert (outcome.stage, outcome.reason, outcome.executed) == (Stage.FAILED, Reason.BUS_OFF, Executed.UNKNOWN)


def test_frame_asked_for_may_leave_only_while_it_is_wanted_and_in_time() -> None:
    """SR-06: asked at the moment of sending, after everything that came before was taken in."""
    run = Run()
    run.stored()
    (send,) = run.sends
    assert run.lifecycle.may_leave(send.token, run.now_s)
    assert not run.lifecycle.may_leave(send.token + 1, run.now_s)
    assert not run.lifecycle.may_leave(send.token, DEADLINE_S + 0.001)
    run.lifecycle.supersede(run.now_s)
    assert not run.lifecycle.may_leave(send.token, run.now_s)


def test_round_torn_apart_by_the_deadline_is_still_verified() -> None:
    run = Run(unlock_recipe(frames=(UNLOCK_FRAME, UNLOCK_FRAME, RELEASE_FRAME)), now_s=DEADLINE_S - 0.5)
    run.stored()
    run.sent()
    run.shows(False)
    run.now_s = DEADLINE_S + 0.01
    run.shows(False)
    assert run.verdict is None
    run.not_sent(Reason.EXPIRED)
    assert run.verdict == (Stage.VERIFIED, Reason.OK, YES)


def test_frame_that_timed_out_at_the_deadline_may_have_left() -> None:
    run = Run(now_s=DEADLINE_S - 0.01)
    run.stored()
    run.now_s = DEADLINE_S + 0.01
    run.not_sent(Reason.TIMEOUT)
    assert run.verdict == (Stage.FAILED, Reason.TIMEOUT, UNKNOWN)


def test_frame_that_is_never_answered_does_not_hold_the_command_for_ever() -> None:
    """SR-10."""
    run = acting()
    end_s = DEADLINE_S + 3.0 + 1.0  # window, and the time an answer may be late
    run.at(end_s - 0.001)
    assert run.verdict is None
    run.at(end_s)
    assert run.verdict == (Stage.FAILED, Reason.TIMEOUT, UNKNOWN)


# --- watching --------------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H94")
def test_h94_silent_car_is_executed_unverified_and_unknown() -> None:
    run = watching()
    run.at(NOW_S + 3.0)
    assert run.verdict is None
    run.at(NOW_S + 3.001)
    assert run.verdict == (Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, UNKNOWN)


@pytest.mark.hazard("H95")
def test_h95_car_that_reports_the_old_state_to_the_end_has_not_done_it() -> None:
    run = watching()
    for _ in range(20):
        run.shows(True)
        run.at(run.now_s + 0.1)
    assert run.verdict is None
    run.at(NOW_S + 3.1)
    assert run.verdict == (Stage.FAILED, Reason.NO_STATE_CHANGE, NO)


@pytest.mark.hazard("H96")
def test_h96_disagreeing_sources_are_a_conflict_with_both_as_evidence() -> None:
    run = watching()
    for _ in range(5):
        run.shows(False, message="StatusA")
        run.shows(True, message="StatusB")
        run.at(run.now_s + 0.2)
    run.at(NOW_S + 3.1)
    assert run.verdict == (Stage.FAILED, Reason.CONFLICTING_STATE, UNKNOWN)
    assert run.outcome is not None
    assert {(piece.message, piece.value) for piece in run.outcome.evidence if piece.path == LOCKED} == {
        ("StatusA", False),
        ("StatusB", True),
    }


def test_window_is_counted_from_the_first_frame_and_ends_the_sending() -> None:
    run = acting(repeats_max=100, window_s=0.25)
    for _ in range(5):
        if run.lifecycle.phase is Phase.ACTING:
            run.sent()
            run.shows(True)
            run.at(run.now_s + 0.1)
    assert run.verdict == (Stage.FAILED, Reason.NO_STATE_CHANGE, NO)
    assert len(run.sends) == 3


def test_window_that_ends_before_the_next_round_is_not_waited_over() -> None:
    run = acting(window_s=0.05)
    run.sent()
    assert run.lifecycle.next_timer() == pytest.approx(NOW_S + 0.051)


def test_timer_that_comes_early_concludes_nothing() -> None:
    run = watching()
    assert run.take(run.lifecycle.timer(NOW_S + 1.0)) == ()
    assert run.lifecycle.phase is Phase.WATCHING


def test_nothing_is_concluded_while_a_frame_may_yet_leave() -> None:
    """ "Unchanged, executed: no", and then the car unlocks: that must not be."""
    run = acting(window_s=0.15)
    run.sent()
    run.at(NOW_S + 0.11)
    assert len(run.sends) == 2
    run.shows(True)
    run.at(NOW_S + 1.0)
    assert run.verdict is None
    run.sent()
    assert run.verdict == (Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, UNKNOWN)


# --- superseded, stopped ---------------------------------------------------------------------------------------------


def in_phase(phase: Phase) -> Run:
    match phase:
        case Phase.STORING_INTENT:
            run = Run()
        case Phase.WAKING:
            run = waking()
            run.sent()
        case Phase.SETTLING:
            run = settling()
        case Phase.ACTING:
            run = acting()
        case Phase.WATCHING:
            run = watching()
        case Phase.ENDING:
            run = watching()
            run.at(NOW_S + 4.0)
    assert run.lifecycle.phase is phase
    return run


@pytest.mark.hazard("H104")
@pytest.mark.parametrize(
    ("phase", "verdict"),
    [
        (Phase.STORING_INTENT, (Stage.REJECTED, Reason.SUPERSEDED, NO)),
        (Phase.WAKING, (Stage.REJECTED, Reason.SUPERSEDED, NO)),  # wake frames are not the action
        (Phase.SETTLING, (Stage.REJECTED, Reason.SUPERSEDED, NO)),
        (Phase.ACTING, (Stage.FAILED, Reason.SUPERSEDED, UNKNOWN)),  # asked to be sent: it may leave yet
        (Phase.WATCHING, (Stage.FAILED, Reason.SUPERSEDED, UNKNOWN)),
        (Phase.ENDING, (Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, UNKNOWN)),  # what was said stands
    ],
)
def test_h104_superseded_command_says_what_may_have_happened(phase: Phase, verdict: object) -> None:
    run = in_phase(phase)
    run.take(run.lifecycle.supersede(run.now_s))
    assert run.verdict == verdict


@pytest.mark.hazard("H92")
@pytest.mark.parametrize("phase", [Phase.STORING_INTENT, Phase.WAKING, Phase.SETTLING])
@pytest.mark.parametrize("is_final", [False, True])
def test_h92_stop_refuses_what_has_moved_nothing(phase: Phase, is_final: bool) -> None:
    run = in_phase(phase)
    run.take(run.lifecycle.stop(run.now_s, is_final=is_final))
    assert run.verdict == (Stage.REJECTED, Reason.SHUTTING_DOWN, NO)


def test_h92_wake_frame_under_way_is_nothing_moved() -> None:
    run = waking()
    run.take(run.lifecycle.stop(run.now_s))
    assert run.verdict == (Stage.REJECTED, Reason.SHUTTING_DOWN, NO)


def test_answer_to_the_frame_of_a_superseded_command_comes_too_late() -> None:
    run = acting()
    run.take(run.lifecycle.supersede(run.now_s))
    assert run.sent() == ()
    assert run.not_sent(Reason.TIMEOUT) == ()


@pytest.mark.hazard("H92")
@pytest.mark.parametrize("phase", [Phase.ACTING, Phase.WATCHING])
def test_h92_stop_lets_a_command_that_has_begun_go_on_until_it_is_final(phase: Phase) -> None:
    run = in_phase(phase)
    assert run.take(run.lifecycle.stop(run.now_s)) == ()
    assert run.lifecycle.phase is phase
    run.take(run.lifecycle.stop(run.now_s, is_final=True))
    assert run.verdict == (Stage.INTERRUPTED, Reason.SHUTTING_DOWN, UNKNOWN)


@pytest.mark.hazard("H92")
def test_h92_command_that_goes_on_after_stop_may_still_be_verified() -> None:
    run = in_phase(Phase.ACTING)
    run.take(run.lifecycle.stop(run.now_s))
    run.sent()
    run.shows(False)
    run.at(NOW_S + 0.2)
    run.sent()
    run.shows(False)
    assert run.verdict == (Stage.VERIFIED, Reason.OK, YES)


def test_retry_that_waits_for_its_turn_counts_as_begun() -> None:
    """The frame that timed out may have left."""
    run = acting()
    run.not_sent(Reason.TIMEOUT)
    assert run.take(run.lifecycle.stop(run.now_s)) == ()
    run.take(run.lifecycle.supersede(run.now_s))
    assert run.verdict == (Stage.FAILED, Reason.SUPERSEDED, UNKNOWN)


def test_after_the_end_everything_is_ignored() -> None:
    run = in_phase(Phase.ENDING)
    steps_before = list(run.steps)
    token = run.sends[-1].token
    life = run.lifecycle
    for late in (
        life.stored(run.now_s),
        life.bus_awake(run.now_s),
        life.readings([reading(LOCKED, False, run.now_s)], run.now_s),
        life.readings([reading(LOCKED, False, run.now_s + 1.0)], run.now_s + 1.0),
        life.frame_sent(token, run.now_s, is_echo_due=False),
        life.frame_not_sent(token, Reason.BUS_OFF, run.now_s),
        life.supersede(run.now_s),
        life.stop(run.now_s, is_final=True),
        life.timer(run.now_s + 1000.0),
    ):
        assert late == ()
    assert run.steps == steps_before
    assert life.next_timer() is None


def test_answer_to_a_frame_of_another_command_is_ignored() -> None:
    run = acting()
    assert run.lifecycle.frame_sent(99, NOW_S, is_echo_due=False) == ()
    assert run.lifecycle.frame_not_sent(99, Reason.BUS_OFF, NOW_S) == ()
    assert run.ids(run.sent(after_s=0.001)) == []
    assert run.stages == [Stage.ACCEPTED, Stage.EXECUTING]


# --- what is told on the way -----------------------------------------------------------------------------------------


def test_stages_are_told_as_they_are_reached() -> None:
    run = Run(is_bus_asleep=True)
    assert run.stored()[0] == Progress(Stage.ACCEPTED)
    assert run.sent()[0] == Progress(Stage.EXECUTING), "a wake frame is on the bus"
    run.wakes()
    run.shows(0.0, path=SPEED)
    run.sent()
    assert run.stages == [Stage.ACCEPTED, Stage.EXECUTING]


@pytest.mark.parametrize(
    ("phase", "stage"),
    [
        (Phase.STORING_INTENT, Stage.ACCEPTED),
        (Phase.ACTING, Stage.ACCEPTED),  # asked for, not yet on the bus
        (Phase.SETTLING, Stage.EXECUTING),
        (Phase.WATCHING, Stage.EXECUTING),
    ],
)
def test_present_stage_is_known_to_who_asks(phase: Phase, stage: Stage) -> None:
    """A2: a command repeated while it runs is answered with its present stage."""
    assert in_phase(phase).lifecycle.stage is stage


def test_tokens_count_on_over_commands() -> None:
    run = acting()
    assert isinstance(run.sends[0], Send) and run.sends[0].token == 100
    alone = Lifecycle(
        command(),
        run.recipe,
        now_s=NOW_S,
        session_started_s=SESSION_STARTED_S,
        is_bus_asleep=False,
        permits=lambda now_s, since_s: (None, ()),
    )
    assert [step.token for step in alone.stored(NOW_S) if isinstance(step, Send)] == [1]


def test_deadline_is_in_boot_time() -> None:
    assert Run().lifecycle.deadline_s == DEADLINE_S


def test_answer_to_a_long_pulse_is_waited_for_as_long_as_it_takes() -> None:
    """SR-10: and no longer; it may have closed at the very deadline."""
    pulse = Pulse("door", 2.0, 1.0)
    recipe = replace(unlock_recipe(frames=(), wake=None, feedback=(), window_s=0.0), pulses=(pulse,), interval_s=3.0)
    run = Run(recipe)
    run.stored()
    assert run.sends[-1].frame == pulse
    assert run.lifecycle.next_timer() == DEADLINE_S + 3.0 + SEND_ANSWER_S_MAX
    run.at(DEADLINE_S + 3.0 + SEND_ANSWER_S_MAX)
    assert run.verdict == (Stage.FAILED, Reason.TIMEOUT, Executed.UNKNOWN)


def test_button_is_pressed_no_oftener_though_an_earlier_wish_may_still_take_effect() -> None:
    """A lock unit is asked on until that is over; a button pressed once more might be taken for another wish."""
    pulse = Pulse("fob_unlock", 0.3, 0.2)
    recipe = replace(unlock_recipe(frames=(), wake=None, repeats_max=1), pulses=(pulse,), interval_s=0.6)
    run = Run(recipe, settled_at_s=NOW_S + 5.0)
    run.stored()
    run.sent(after_s=0.5)
    run.at(NOW_S + 4.0)
    assert len(run.sends) == 1
