"""A command whose frames the driver gives back once another node has acknowledged them, and one whose it keeps."""

from __future__ import annotations

import pytest

from agent.command.lifecycle import Phase
from agent.command.sent_frames import ECHO_WAIT_S, Carried
from agent.model.command import Executed, Reason, Stage
from tests.support.commands import LOCKED, NOW_S, RELEASE_FRAME, UNLOCK_FRAME, Run, reading, unlock_recipe

UNKNOWN = Executed.UNKNOWN
DONE = (Stage.EXECUTED_UNVERIFIED, Reason.OK, Executed.YES)
UNHEARD = (Stage.FAILED, Reason.CAN_DOWN, UNKNOWN)


def one_round(**recipe: object) -> Run:
    """Two frames a round, one round, no feedback; both left, and the driver is to give them back."""
    frames = (UNLOCK_FRAME, RELEASE_FRAME)
    run = Run(unlock_recipe(**{"feedback": (), "frames": frames, "repeats_max": 1, **recipe}))  # type: ignore[arg-type]
    run.stored()
    run.sent(is_echo_due=True)
    run.sent(is_echo_due=True)
    return run


def test_done_is_said_once_every_frame_of_a_round_was_seen_back() -> None:
    run = one_round()
    assert run.lifecycle.phase is Phase.WATCHING
    run.echoed(0)
    assert run.verdict is None
    run.echoed(1)
    assert run.verdict == DONE
    assert run.lifecycle.sent.document() == {"frames": "acknowledged", "frames_sent": 2, "frames_echoed": 2}


def test_frames_nobody_acknowledges_end_the_command_after_a_bounded_wait_and_may_leave_yet() -> None:
    run = one_round()
    assert run.lifecycle.next_timer() == run.now_s + ECHO_WAIT_S
    run.at(run.now_s + ECHO_WAIT_S)
    assert run.verdict == UNHEARD
    run.echoed(0)
    assert run.verdict == UNHEARD  # nothing after the end


def test_a_round_of_which_a_part_was_seen_back_is_not_what_the_recipe_asks() -> None:
    run = one_round()
    run.echoed(1)
    run.at(run.now_s + ECHO_WAIT_S)
    assert run.verdict == (Stage.FAILED, Reason.TIMEOUT, UNKNOWN)
    assert run.lifecycle.sent.carried is Carried.UNACKNOWLEDGED


def test_the_silent_car_whose_bus_acknowledged_nothing_is_told_apart_from_one_that_may_have_heard() -> None:
    for is_seen_back, verdict in ((False, UNHEARD), (True, (Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, UNKNOWN))):
        run = Run(unlock_recipe(repeats_max=1))
        run.stored()
        run.sent(is_echo_due=True)
        if is_seen_back:
            run.echoed()
        run.at(NOW_S + 10.0)
        assert run.verdict == verdict


def test_unchanged_is_not_said_of_a_car_whose_frames_wait_in_the_queue_yet() -> None:
    run = Run(unlock_recipe(repeats_max=1))
    run.stored()
    run.sent(is_echo_due=True)
    for _ in range(40):
        run.at(run.now_s + 0.1)
        if run.verdict is None:
            run.shows(True)
    assert run.verdict == UNHEARD


def test_an_echo_is_no_feedback_sr_04() -> None:
    run = Run(unlock_recipe(repeats_max=1))
    run.stored()
    run.receive(reading(LOCKED, False, run.now_s))
    run.sent(is_echo_due=True)
    run.echoed()
    assert run.verdict is None
    run.at(NOW_S + 10.0)
    assert run.verdict == (Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, UNKNOWN)


@pytest.mark.parametrize("token", [99, 100])
def test_an_echo_nobody_waits_for_counts_for_nothing(token: int) -> None:
    run = one_round()
    run.echoed(0)
    run.take(run.lifecycle.frame_echoed(token, run.now_s))
    assert run.verdict is None
    assert run.lifecycle.sent.echo_count == 1
