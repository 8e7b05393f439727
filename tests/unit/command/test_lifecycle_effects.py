"""What a command's frames may still do, what those of the one before it may, and what the evidence is counted from."""

from __future__ import annotations

import math

import pytest

from agent.command.lifecycle import Lifecycle, Phase, Send
from agent.model.command import Executed, Reason, Stage
from agent.model.reading import Reading
from tests.support.commands import (
    DEADLINE_S,
    LOCKED,
    NOW_S,
    RELEASE_FRAME,
    SESSION_STARTED_S,
    SPEED,
    UNLOCK_FRAME,
    Run,
    command,
    reading,
    unlock_recipe,
)

NO, YES, UNKNOWN = Executed.NO, Executed.YES, Executed.UNKNOWN
WINDOW_S = unlock_recipe().feedback_window_s


def ages_ms(run: Run) -> dict[str, int | None]:
    """What the outcome's evidence says, by path."""
    assert run.outcome is not None
    return {piece.path: piece.age_ms for piece in run.outcome.evidence}


def test_command_is_known_to_who_asks() -> None:
    assert Run().lifecycle.command == command()


# --- after a command that was superseded -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("busy_s", "frames"),
    [
        (-1.0, 2),  # it is over: as often as the recipe says
        (0.0, 2),
        (0.25, 5),  # two and a half intervals: three rounds more
        (0.3, 5),
    ],
)
def test_a9_lock_unit_that_is_still_busy_is_asked_until_it_is_not(busy_s: float, frames: int) -> None:
    run = Run(unlock_recipe(repeats_max=2), settled_at_s=NOW_S + busy_s)
    run.stored()
    while run.lifecycle.phase is Phase.ACTING:
        run.sent(after_s=0.0)
        run.at(run.now_s + 0.1)
    assert len(run.sends) == frames


def test_a9_sr_04_state_shown_while_the_earlier_command_may_take_effect_verifies_nothing() -> None:
    run = Run(settled_at_s=NOW_S + 1.0)
    run.stored()
    run.sent()
    for _ in range(9):
        run.at(run.now_s + 0.1)
        run.shows(False)
    assert run.now_s < NOW_S + 1.0
    assert run.verdict is None


# --- how long frames may take effect ---------------------------------------------------------------------------------


def test_command_that_sent_nothing_has_no_effect_to_wait_for() -> None:
    run = Run()
    run.stored()
    assert run.lifecycle.effect_until_s == -math.inf


def test_frame_that_left_may_take_effect_for_the_length_of_the_window() -> None:
    run = Run()
    run.stored()
    run.sent()
    assert run.lifecycle.effect_until_s == run.now_s + WINDOW_S
    sent_at_s = run.now_s
    run.at(NOW_S + 0.05)
    run.take(run.lifecycle.supersede(run.now_s))
    assert run.lifecycle.effect_until_s == sent_at_s + WINDOW_S, "not from its breaking off: that one had left"


def test_a4_frame_that_timed_out_may_have_left_at_the_last_moment() -> None:
    run = Run()
    run.stored()
    run.now_s = NOW_S + 0.5
    run.not_sent(Reason.TIMEOUT)
    assert run.lifecycle.effect_until_s == NOW_S + 0.5 + WINDOW_S


def test_h104_frame_under_way_when_its_command_is_superseded_may_still_take_effect() -> None:
    run = Run()
    run.stored()
    run.now_s = NOW_S + 0.5
    run.take(run.lifecycle.supersede(run.now_s))
    assert run.lifecycle.effect_until_s == NOW_S + 0.5 + WINDOW_S


# --- may the frame leave ---------------------------------------------------------------------------------------------


def test_sr_03_frame_may_leave_at_the_deadline_and_not_after() -> None:
    run = Run()
    run.stored()
    token = run.sends[-1].token
    assert run.lifecycle.may_leave(token, DEADLINE_S)
    assert not run.lifecycle.may_leave(token, math.nextafter(DEADLINE_S, math.inf))


def test_wake_frame_needs_no_precondition() -> None:
    """A3: of a sleeping car nothing is known; the preconditions are asked once it is awake."""
    run = Run(is_bus_asleep=True)
    run.stored()
    assert run.lifecycle.may_leave(run.sends[-1].token, run.now_s)


def test_sr_06_frame_does_not_leave_for_a_car_that_has_driven_off() -> None:
    run = Run()
    run.stored()
    run.known[SPEED] = reading(SPEED, 4.0, NOW_S)
    assert not run.lifecycle.may_leave(run.sends[-1].token, run.now_s)


def test_sr_06_frame_does_not_leave_on_what_was_known_before_the_sleep() -> None:
    run = Run(is_bus_asleep=True)
    run.stored()
    run.now_s += 0.1
    run.wakes()
    run.shows(0.0, path=SPEED)
    token = run.sends[-1].token
    assert run.lifecycle.may_leave(token, run.now_s)
    run.known[SPEED] = reading(SPEED, 0.0, NOW_S)
    assert not run.lifecycle.may_leave(token, run.now_s)


def test_preconditions_are_asked_as_of_the_moment_of_leaving() -> None:
    asked_at_s: list[float] = []

    def permits(now_s: float, since_s: float | None) -> tuple[Reason | None, tuple[Reading, ...]]:
        asked_at_s.append(now_s)
        return None, ()

    lifecycle = Lifecycle(
        command(),
        unlock_recipe(),
        now_s=NOW_S,
        session_started_s=SESSION_STARTED_S,
        is_bus_asleep=False,
        permits=permits,
    )
    (send,) = [step for step in lifecycle.stored(NOW_S + 1.0) if isinstance(step, Send)]
    assert lifecycle.may_leave(send.token, NOW_S + 2.0)
    assert asked_at_s == [NOW_S + 1.0, NOW_S + 2.0]


# --- frames that were not believed -----------------------------------------------------------------------------------


def test_h96_refused_frame_breaks_the_run_of_its_own_message() -> None:
    run = Run(unlock_recipe(repeats_max=1))
    run.stored()
    run.sent()
    run.shows(False)
    run.now_s += 0.2
    run.lifecycle.refused("Status")
    run.shows(False)
    assert run.verdict is None, "the second in a row is asked for, and this one begins a new row"
    run.lifecycle.refused("Another")
    run.now_s += 0.2
    run.shows(False)
    assert run.verdict == (Stage.VERIFIED, Reason.OK, YES)


# --- sending ends ----------------------------------------------------------------------------------------------------


def test_h87_command_whose_every_frame_was_held_back_has_done_nothing() -> None:
    run = Run(unlock_recipe(repeats_max=2))
    run.stored()
    for _ in range(2):
        run.not_sent(Reason.EXPIRED)
        run.at(run.now_s + 0.1)
    assert len(run.sends) == 2
    assert run.verdict == (Stage.REJECTED, Reason.TIMEOUT, NO)


def test_round_cut_short_by_the_deadline_is_verified_with_evidence_of_that_moment() -> None:
    run = Run(unlock_recipe(frames=(UNLOCK_FRAME, UNLOCK_FRAME, RELEASE_FRAME)), now_s=DEADLINE_S - 0.5)
    run.stored()
    run.sent()
    run.shows(False)
    run.now_s += 0.2
    run.shows(False)
    seen_at_s = run.now_s
    run.now_s = DEADLINE_S
    run.sent(after_s=0.01)
    assert run.verdict == (Stage.VERIFIED, Reason.OK, YES)
    assert ages_ms(run)[LOCKED] == round((run.now_s - seen_at_s) * 1000)


# --- waking ----------------------------------------------------------------------------------------------------------


def test_woken_car_is_not_given_up_for_what_was_known_before_the_sleep() -> None:
    """A3: it has its time to speak, whatever an old reading would permit."""
    run = Run(is_bus_asleep=True)
    run.known[SPEED] = reading(SPEED, 0.0, NOW_S)
    run.stored()
    run.now_s += 0.1
    run.wakes()
    assert run.lifecycle.phase is Phase.SETTLING
    assert run.verdict is None
