"""What the car must say after our frame before "verified" is said (SR-04)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from agent.command.feedback import FeedbackWatch
from agent.model.command import Executed, Reason, Stage
from agent.model.reading import Quality, Value
from agent.model.recipe import Feedback
from tests.support.commands import IS_UNLOCKED, LOCKED, reading

DOOR = "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
VERIFIED = (Stage.VERIFIED, Reason.OK, Executed.YES)
UNCHANGED = (Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO)
CONFLICT = (Stage.FAILED, Reason.CONFLICTING_STATE, Executed.UNKNOWN)
SILENT = (Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, Executed.UNKNOWN)

Shown = Value | Quality
A, B = "StatusA", "StatusB"


def watch(*feedback: Feedback) -> FeedbackWatch:
    """A window open since 10 s; the last frame left at 11 s."""
    found = FeedbackWatch(feedback or (IS_UNLOCKED,), window_s=3.0, run_s_min=0.1)
    found.frame_sent(10.0)
    found.frame_sent(11.0)
    return found


def after(*frames: tuple[float, str, str, Shown], feedback: tuple[Feedback, ...] = ()) -> FeedbackWatch:
    """The watch once the frames (at_s, message, path, value) have come."""
    found = watch(*feedback)
    for at_s, message, path, shown in frames:
        quality = shown if isinstance(shown, Quality) else Quality.OK
        found.receive(
            [reading(path, None if isinstance(shown, Quality) else shown, at_s, quality=quality, message=message)]
        )
    return found


OLD, NEW, BAD = True, False, Quality.INVALID


@pytest.mark.hazard("H94", "H95", "H96")
@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        ([NEW, NEW], VERIFIED),  # as many in a row as the recipe wants
        ([OLD, OLD, NEW, NEW], VERIFIED),  # a lock takes its time
        ([BAD, NEW, NEW], VERIFIED),  # it may not know its own state while it moves
        ([NEW, BAD, NEW, NEW], VERIFIED),
        ([OLD, OLD, OLD], UNCHANGED),  # H95
        ([OLD], UNCHANGED),
        ([BAD, OLD], UNCHANGED),
        ([], SILENT),  # H94, amended: executed is unknown where feedback was due
        ([BAD, BAD], SILENT),  # frames without a state are no state
        ([NEW], SILENT),  # one of the two that were asked: too little to say anything
        ([NEW, BAD, NEW], SILENT),  # never two in a row
        ([OLD, NEW], CONFLICT),  # the window ended on the change
        ([NEW, OLD], CONFLICT),
        ([NEW, NEW, OLD], CONFLICT),  # taken back before anybody looked
        ([OLD, NEW, OLD, NEW, NEW, NEW], CONFLICT),  # H96: somebody spoofs; no run of frames makes up for that
    ],
)
def test_sr_04_verdict_rests_on_frames_after_ours(shown: list[Shown], verdict: object) -> None:
    frames = [(12.1 + number * 0.125, A, LOCKED, value) for number, value in enumerate(shown)]
    assert after(*frames).verdict() == verdict


@pytest.mark.hazard("H97")
@pytest.mark.parametrize(
    ("at_s", "counts"),
    [
        (9.999, False),  # older than our frame: what the car was, not what it has become (H97)
        (10.0, False),  # of the same moment: it cannot be an answer
        (10.000001, True),
    ],
)
def test_h97_sr_04_feedback_no_newer_than_our_frame_does_not_count(at_s: float, counts: bool) -> None:
    once = replace(IS_UNLOCKED, confirmations=1)
    assert after((at_s, A, LOCKED, NEW), feedback=(once,)).is_verified == counts


def test_nothing_counts_before_a_frame_has_left() -> None:
    closed = FeedbackWatch((replace(IS_UNLOCKED, confirmations=1),), window_s=3.0, run_s_min=0.1)
    closed.receive([reading(LOCKED, NEW, 10.0)])
    assert not closed.is_open and not closed.is_verified
    assert list(closed.readings()) == []
    assert closed.ends_s == math.inf


def test_window_is_counted_from_the_first_frame() -> None:
    assert watch().ends_s == 13.0


def test_car_without_feedback_has_no_window_and_is_never_verified() -> None:
    blind = FeedbackWatch((), window_s=3.0, run_s_min=0.1)
    blind.frame_sent(10.0)
    assert blind.ends_s == math.inf and not blind.is_verified
    assert blind.verdict() == SILENT, "and least of all is it unchanged"


@pytest.mark.hazard("H96")
def test_h96_two_messages_that_disagree_are_a_conflict_with_both_as_evidence() -> None:
    frames = [(11.1 + number * 0.1, A, LOCKED, NEW) for number in range(20)]
    disagreeing = after((11.0, B, LOCKED, OLD), *frames, (13.0, B, LOCKED, OLD))
    assert not disagreeing.is_verified
    assert disagreeing.verdict() == CONFLICT
    assert {(piece.message, piece.value) for piece in disagreeing.readings()} == {(A, NEW), (B, OLD)}


def test_h96_second_message_must_confirm_as_well() -> None:
    frames = [(11.1, A, LOCKED, NEW), (11.25, A, LOCKED, NEW), (11.3, B, LOCKED, NEW)]
    assert not after(*frames).is_verified
    assert after(*frames, (11.45, B, LOCKED, NEW)).is_verified


@pytest.mark.hazard("H96")
@pytest.mark.parametrize("true_at_s", [11.001, 11.0505, 11.0995])
def test_h96_spoofed_frames_at_high_rate_between_true_ones_are_a_conflict(true_at_s: float) -> None:
    """A thousand frames a second say unlocked; ten a second, the lock's own, say locked."""
    spoofed = [(11.0 + number / 1000, A, LOCKED, NEW) for number in range(1, 2000)]
    true = [(true_at_s + number / 10, A, LOCKED, OLD) for number in range(20)]
    frames = sorted(spoofed + true)
    found = watch()
    for number, (at_s, message, path, shown) in enumerate(frames):
        found.receive([reading(path, shown, at_s, message=message)])
        assert not found.is_verified, number
    assert found.verdict() == CONFLICT
    assert {piece.value for piece in found.readings()} == {OLD, NEW}


def test_h96_frames_in_a_row_must_span_a_repetition_of_ours() -> None:
    burst = [(11.1 + number / 1000, A, LOCKED, NEW) for number in range(5)]
    assert not after(*burst).is_verified
    assert after(*burst, (11.201, A, LOCKED, NEW)).is_verified


def test_h96_span_is_counted_anew_after_an_interruption() -> None:
    frames: list[tuple[float, str, str, Shown]] = [
        (11.1, A, LOCKED, NEW),
        (11.25, A, LOCKED, BAD),
        (11.26, A, LOCKED, NEW),
        (11.27, A, LOCKED, NEW),
    ]
    assert not after(*frames).is_verified
    assert after(*frames, (11.37, A, LOCKED, NEW)).is_verified


def test_single_frame_is_enough_where_one_is_asked() -> None:
    """A lock that reports on change and then is silent."""
    assert after((11.1, A, LOCKED, NEW), feedback=(replace(IS_UNLOCKED, confirmations=1),)).is_verified


def test_all_paths_must_show_the_asked_state() -> None:
    both = (IS_UNLOCKED, Feedback(DOOR, equals=False))
    frames = [(11.1, A, LOCKED, NEW), (11.25, A, LOCKED, NEW)]
    assert not after(*frames, feedback=both).is_verified
    assert after(*frames, (11.3, B, DOOR, NEW), feedback=both).is_verified
    assert after(*frames, (11.3, B, DOOR, OLD), feedback=both).verdict() == CONFLICT


def test_unchanged_is_not_said_while_one_path_is_silent() -> None:
    both = (IS_UNLOCKED, Feedback(DOOR, equals=False))
    found = after((11.5, A, LOCKED, OLD), feedback=both)
    assert found.verdict() == SILENT
    assert [(piece.path, piece.quality) for piece in found.readings()] == [
        (LOCKED, Quality.OK),
        (DOOR, Quality.UNKNOWN),
    ]


def test_unchanged_is_not_said_of_a_source_that_fell_silent_before_the_end() -> None:
    """ "To the end of the window" (A4): it said locked for a while, and nothing once the locks may have moved."""
    assert after((10.5, A, LOCKED, OLD)).verdict() == SILENT
    assert after((12.0, A, LOCKED, OLD)).verdict() == SILENT
    assert after((12.0001, A, LOCKED, OLD)).verdict() == UNCHANGED
    assert after((10.5, A, LOCKED, OLD), (12.5, B, LOCKED, OLD)).verdict() == SILENT


def test_unchanged_is_not_said_of_a_source_whose_motors_run_at_the_end() -> None:
    """A4: it reported the old state, and then none at all, which is what a lock on its way reports."""
    assert after((12.5, A, LOCKED, OLD), (12.9, A, LOCKED, BAD)).verdict() == SILENT


def test_unchanged_needs_a_word_after_a_frame_that_may_have_left_late() -> None:
    found = after((12.5, A, LOCKED, OLD))
    found.frame_in_doubt(12.6)
    assert found.verdict() == SILENT


def test_a_frame_that_was_not_believed_breaks_the_run() -> None:
    """H96: between two frames that show the asked state another was refused; what it would have said is not known."""
    found = after((12.1, A, LOCKED, NEW))
    found.refused(A)
    found.receive([reading(LOCKED, NEW, 12.3, message=A)])
    assert not found.is_verified
    found.receive([reading(LOCKED, NEW, 12.5, message=A)])
    assert found.is_verified


@pytest.mark.hazard("H96")
def test_a_sender_that_pushes_the_true_one_out_of_step_verifies_nothing() -> None:
    """H96: spoofed frames with a running counter make the lock unit's own frames fail theirs, again and again."""
    found = watch()
    for number in range(20):
        at_s = 11.1 + number * 0.05
        found.receive([reading(LOCKED, NEW, at_s, message=A)])
        if number % 5 == 4:
            found.refused(A)
    assert found.verdict() == CONFLICT


def test_refused_frames_of_other_messages_and_before_our_frame_mean_nothing() -> None:
    found = FeedbackWatch((IS_UNLOCKED,), window_s=3.0, run_s_min=0.1)
    for _ in range(5):
        found.refused(A)
    found.frame_sent(10.0)
    for _ in range(5):
        found.refused(B)
    for at_s in (10.1, 10.3):
        found.receive([reading(LOCKED, NEW, at_s, message=A)])
    assert found.is_verified


def test_nothing_counts_while_an_earlier_command_may_still_take_effect() -> None:
    """SR-04: a lock seen right after an unlock was superseded may be the state before the unlock took effect."""
    found = FeedbackWatch((IS_UNLOCKED,), window_s=3.0, run_s_min=0.1, settled_at_s=12.0)
    found.frame_sent(10.0)
    assert found.ends_s == 15.0
    for at_s in (10.1, 10.3, 11.9, 12.0):
        found.receive([reading(LOCKED, NEW, at_s, message=A)])
    assert not found.is_verified
    for at_s in (12.1, 12.3):
        found.receive([reading(LOCKED, NEW, at_s, message=A)])
    assert found.is_verified


def test_truth_and_number_are_different_states() -> None:
    assert after(*[(12.1 + n / 4, A, LOCKED, 0) for n in range(3)]).verdict() == UNCHANGED
    number = Feedback(LOCKED, equals=0)
    assert after((11.1, A, LOCKED, 0.0), feedback=(number,)).is_verified


def test_other_paths_are_no_feedback() -> None:
    assert after((11.1, A, DOOR, NEW), (11.2, A, DOOR, NEW)).verdict() == SILENT


def test_verified_has_the_newest_frames_as_evidence_not_the_old_state() -> None:
    found = after((11.1, A, LOCKED, OLD), (11.2, A, LOCKED, NEW), (11.4, A, LOCKED, NEW))
    assert [(piece.at_s, piece.value) for piece in found.readings()] == [(11.4, NEW)]


def test_state_shown_within_a_pulse_verifies_nothing_and_yet_it_is_not_unchanged() -> None:
    """A4: a pulse works before its end is told."""
    for is_pulsing, verdict in ((True, CONFLICT), (False, UNCHANGED)):
        found = FeedbackWatch((IS_UNLOCKED,), window_s=3.0, run_s_min=0.1)
        found.is_pulsing = is_pulsing
        found.receive([reading(LOCKED, NEW, at_s) for at_s in (9.7, 9.8, 9.9)])
        found.frame_sent(10.0)
        assert not found.is_verified
        found.receive([reading(LOCKED, OLD, 10.0 + tenth / 10) for tenth in range(1, 30)])
        assert found.verdict() == verdict


def test_frame_older_than_a_pulse_that_is_over_says_nothing_of_it() -> None:
    found = FeedbackWatch((IS_UNLOCKED,), window_s=3.0, run_s_min=0.1)
    found.is_pulsing = True
    found.frame_sent(10.0)
    found.receive([reading(LOCKED, NEW, 9.9)])
    found.receive([reading(LOCKED, OLD, 10.0 + tenth / 10) for tenth in range(1, 30)])
    assert found.verdict() == UNCHANGED
