"""Values that must stand for a while: states seen for a moment, and jumps of what moves slowly (SR-05)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.decode.decoder import Decoder
from agent.model.reading import Reading, Value
from agent.profiles.schema import SettleRule
from agent.state.tracker import Tracker
from tests.support.plans import IS_LOCKED, SPEED, frame_of, message_plan, profile_of, signal_plan

INVALID = 255
STATE = signal_plan(IS_LOCKED, choices={0: False, 1: True}, invalid_raw=frozenset({INVALID}))
CHARGE = signal_plan(SPEED, invalid_raw=frozenset({INVALID}))
Shown = tuple[Value | None, str | None]


def state_decoder() -> Decoder:
    return Decoder(profile_of(message_plan(replace(STATE, settle=SettleRule(0.5)))))


def charge_decoder() -> Decoder:
    return Decoder(profile_of(message_plan(replace(CHARGE, settle=SettleRule(0.5, step_max=2.0)))))


def shown(decoder: Decoder, *frames: tuple[float, int]) -> list[Shown]:
    """Value and reason after each frame."""
    readings: list[Reading] = []
    for at_s, raw in frames:
        readings += decoder.receive(frame_of(raw, at_s=at_s))
    return [(reading.value, reading.reason) for reading in readings]


def test_a_state_counts_once_it_has_stood() -> None:
    assert shown(state_decoder(), (1.0, 0), (1.4, 0), (1.5, 0)) == [
        (None, "settling"),
        (None, "settling"),
        (False, None),
    ]


def test_a_state_seen_for_a_moment_is_no_reading_and_the_one_before_counts_again_at_once() -> None:
    frames = ((1.0, 0), (1.5, 0), (1.6, 1), (1.7, 1), (1.8, 0))
    assert shown(state_decoder(), *frames)[1:] == [
        (False, None),
        (None, "settling"),
        (None, "settling"),
        (False, None),
    ]


def test_another_state_starts_anew_and_so_does_one_that_was_interrupted() -> None:
    frames = ((1.0, 0), (1.5, 0), (1.6, 1), (2.0, 0), (2.1, 1), (2.5, 1), (2.6, 1))
    assert shown(state_decoder(), *frames)[-3:] == [(None, "settling"), (None, "settling"), (True, None)]


def test_no_value_is_told_at_once_and_what_follows_it_soon_goes_on_from_what_was_before() -> None:
    frames = ((1.0, 0), (1.5, 0), (1.6, INVALID), (1.7, 0), (1.8, INVALID), (1.9, 1))
    assert shown(state_decoder(), *frames)[1:] == [
        (False, None),
        (None, "invalid_marker"),
        (False, None),
        (None, "invalid_marker"),
        (None, "settling"),
    ]


def test_a_value_that_was_hidden_for_longer_than_its_freshness_is_forgotten() -> None:
    decoder = state_decoder()
    hidden = tuple((1.6 + 0.5 * number, INVALID) for number in range(4))
    assert shown(decoder, (1.0, 0), (1.5, 0), *hidden, (3.2, 0))[-1] == (None, "settling")


def test_after_a_silence_the_first_value_has_to_stand_again() -> None:
    frames = ((1.0, 0), (1.5, 0), (2.5, 0), (3.6, 0), (4.1, 0))
    assert [value for value, _ in shown(state_decoder(), *frames)] == [None, False, False, None, False]


def test_small_steps_go_on_and_a_jump_is_no_value() -> None:
    """A range check cannot tell 79.5 % from 26.5 %."""
    frames = ((1.0, 26), (1.5, 26), (1.6, 28), (1.7, 79), (1.8, 28), (1.9, 29))
    assert shown(charge_decoder(), *frames)[1:] == [(26, None), (28, None), (None, "jump"), (28, None), (29, None)]


def test_a_step_that_stands_is_believed_also_if_it_moves_meanwhile() -> None:
    frames = ((1.0, 26), (1.5, 26), (1.6, 79), (1.8, 80), (2.0, 81), (2.1, 82), (2.2, 83))
    assert [value for value, _ in shown(charge_decoder(), *frames)] == [None, 26, None, None, None, 82, 83]


def test_stray_frames_among_true_ones_never_come_to_stand() -> None:
    frames = [(1.0 + 0.1 * step, 79 if step % 2 else 26) for step in range(100)]
    assert 79 not in [value for value, _ in shown(charge_decoder(), *frames)]


def test_a_frame_older_than_the_last_follows_nothing() -> None:
    assert shown(state_decoder(), (1.0, 0), (1.5, 0), (1.4, 0))[-1] == (None, "settling")


@pytest.mark.parametrize("seen_at_s", [1.5, 1.9])
def test_unseen_frames_that_changed_nothing_let_it_stand(seen_at_s: float) -> None:
    """Where the kernel watches, a state that stays is announced once; that it stood is told by `seen`."""
    decoder, tracker = state_decoder(), Tracker(profile_of(message_plan(STATE)))
    tracker.hear(decoder.hear(frame_of(1, at_s=1.0)), 1.0)
    tracker.known_until("body", 1.0)
    tracker.goes_on("Status", "body", 0.0)
    assert list(decoder.seen("Status", 0.9)) == [], "that was before"
    assert [reading.value for reading in decoder.seen("Status", 1.4)] == [None]
    settled = decoder.seen("Status", seen_at_s)
    tracker.known_until("body", seen_at_s)
    tracker.fold(settled)
    assert (tracker.reading(IS_LOCKED, 1.9).value, tracker.reading(IS_LOCKED, 1.9).at_s) == (True, seen_at_s)
    assert list(decoder.seen("Status", 2.0)) == []


def test_a_message_that_never_came_is_not_made_known_by_time() -> None:
    decoder = state_decoder()
    assert list(decoder.seen("Status", 5.0)) == []
    assert Tracker(profile_of(message_plan(STATE))).reading(IS_LOCKED, 5.0).reason == "never_received"


def test_other_signals_of_the_message_do_not_wait() -> None:
    plan = message_plan(replace(STATE, settle=SettleRule(0.5)), signal_plan(SPEED, byte=1))
    decoder = Decoder(profile_of(plan))
    for at_s, speed in ((1.0, 10), (1.1, 20)):
        readings = {reading.path: reading for reading in decoder.receive(frame_of(0, speed, at_s=at_s))}
        assert (readings[SPEED].value, readings[IS_LOCKED].value) == (speed, None)
