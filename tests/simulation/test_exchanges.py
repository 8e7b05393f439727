"""Actions that are a talk with a control unit, by the whole engine on a car whose body controller works the lock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from agent.bench.car import CarFault
from agent.command.exchange import LATE_S, Exchange
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.effects import Effect, Log, Persist, SendFrame
from agent.model.frame import Frame
from agent.model.records import Done, Intent
from tests.support.pair import BeforeEffect, Pair, PowerCutError
from tests.support.talking_car import (
    BUSY,
    CONDITIONS_NOT_CORRECT,
    LOCK,
    PENDING,
    POLLED,
    REQUEST_ID,
    RESPONSE_ID,
    SESSION,
    UNLOCK,
    TalkingPair,
    talking_profile,
)

VERIFIED = (Stage.VERIFIED, Reason.OK, Executed.YES)
REFUSED = (Stage.FAILED, Reason.NEGATIVE_ANSWER, Executed.UNKNOWN)
ROUND = [SESSION, UNLOCK, UNLOCK]
EFFECTS_MAX = 200


def awake(pair: TalkingPair | None = None) -> TalkingPair:
    pair = pair or TalkingPair()
    pair.run(2.0)
    return pair


def asked(pair: TalkingPair, action: Action = Action.UNLOCK) -> tuple[Stage, Reason, Executed]:
    result = pair.ask(action, seconds=20.0)
    return result.stage, result.reason, result.executed


def told(pair: TalkingPair) -> dict[str, object]:
    """What the record of the command's end says of the requests."""
    pair.run(0.1)
    record = [event for event in pair.events() if event["kind"] == "command"][-1]
    return {key: record[key] for key in ("frames", "answers", "refused_with") if key in record}


# --- answers --------------------------------------------------------------------------------------------------------


def test_unlock_and_lock_by_requests_are_verified_by_the_bus_and_not_by_the_answers_sr_04() -> None:
    pair = awake()
    assert asked(pair) == VERIFIED
    assert not pair.car.lock.is_locked
    assert pair.requests[:3] == ROUND
    assert told(pair)["frames"] == "answered"
    pair.run(10.0)
    pair.car.heard.clear()
    assert asked(pair, Action.LOCK) == VERIFIED
    assert pair.car.lock.is_locked
    assert pair.requests[:3] == [SESSION, LOCK, LOCK]
    assert pair.car.lock_requests_seen == 0


def test_each_request_waits_for_the_answer_to_the_one_before_and_then_for_its_pause() -> None:
    pair = awake()
    pair.car.latency_s = 0.3
    asked(pair)
    times_s = [at_s for at_s, _ in pair.car.heard[:3]]
    assert all(after - before >= 0.34 for before, after in pairwise(times_s)), times_s


def test_positive_answers_alone_are_never_verified_sr_04() -> None:
    """A control unit that takes everything on and moves nothing; without feedback the answers are all there is."""
    pair = awake()
    pair.car.set_fault(CarFault.LOCK_IGNORES, pair.now_s, is_on=True)
    assert asked(pair) == (Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO)
    assert told(pair)["frames"] == "answered"
    pair = awake(TalkingPair(talking_profile(has_feedback=False, repeats_max=1)))
    assert asked(pair) == (Stage.EXECUTED_UNVERIFIED, Reason.OK, Executed.YES)
    assert pair.requests == ROUND
    assert pair.capabilities()["actions"]["unlock"] == "executed_unverified"


def test_what_the_car_shows_before_the_request_that_acts_does_not_count_sr_04() -> None:
    """The session is opened, somebody's key unlocks, and only then the unlock is asked for and refused."""
    pair = awake()
    pair.car.latency_s = 0.5
    pair.car.refusals = {UNLOCK: [CONDITIONS_NOT_CORRECT]}
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    pair.run(0.1)
    assert pair.requests == [SESSION]
    watch = pair.engine._acting._running.lifecycle._watch  # type: ignore[union-attr]
    assert not watch.is_open
    pair.run(0.6)
    assert pair.requests == [SESSION, UNLOCK]
    assert watch.is_open


@pytest.mark.parametrize("has_feedback", [True, False])
def test_refusal_ends_the_talk_and_its_reason_is_told(has_feedback: bool) -> None:
    pair = awake(TalkingPair(talking_profile(has_feedback=has_feedback)))
    pair.car.refusals = {UNLOCK: [CONDITIONS_NOT_CORRECT]}
    assert asked(pair) == REFUSED
    assert pair.requests == [SESSION, UNLOCK], "asked again after a refusal"
    assert told(pair) == {"frames": "handed_over", "answers": 1, "refused_with": "conditions_not_correct"}


def test_session_that_is_refused_has_moved_nothing_and_nothing_else_is_asked() -> None:
    pair = awake()
    pair.car.refusals = {SESSION: [0x12]}
    assert asked(pair) == REFUSED
    assert pair.requests == [SESSION]
    assert told(pair)["refused_with"] == "sub_function_not_supported"


def test_second_press_that_is_refused_because_the_first_one_worked_is_still_verified_by_the_car_sr_04() -> None:
    pair = awake()
    pair.car.refusals = {UNLOCK: []}
    pair.before_effect = _once_asked(pair, UNLOCK, lambda: pair.car.refusals.update({UNLOCK: [CONDITIONS_NOT_CORRECT]}))
    assert asked(pair) == VERIFIED
    assert pair.requests == ROUND


def test_control_unit_that_asks_to_be_asked_again_is_asked_in_the_next_round() -> None:
    pair = awake()
    pair.car.refusals = {UNLOCK: [BUSY]}
    assert asked(pair) == VERIFIED
    assert pair.requests == [SESSION, UNLOCK, *ROUND]


def test_control_unit_that_asks_for_patience_gets_it() -> None:
    pair = awake()
    pair.car.refusals = {SESSION: [PENDING]}
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    pair.run(3.0)
    assert pair.requests == [SESSION], "no answer after a second, and yet it said that it comes"
    pair.car.session_until_s = pair.now_s + 5.0
    pair.car.say_later(pair.now_s, b"\x50\xc0")
    pair.run(5.0)
    assert pair.final_results()[-1].stage is Stage.VERIFIED


def test_control_unit_that_only_ever_asks_for_patience_is_given_up() -> None:
    pair = awake()
    pair.car.refusals = {SESSION: [PENDING] * 40}
    for second in range(30):
        pair.car.say_later(pair.now_s + second, bytes([0x7F, 0x10, PENDING]))
    assert pair.ask(Action.UNLOCK, seconds=40.0).reason is Reason.TIMEOUT
    assert UNLOCK not in pair.requests


@pytest.mark.parametrize("silent_to", [SESSION, UNLOCK])
def test_silent_control_unit_is_asked_from_the_beginning_as_often_as_the_recipe_says(silent_to: bytes) -> None:
    pair = awake(TalkingPair(talking_profile(has_feedback=False)))
    pair.car.silent_to = {silent_to}
    assert asked(pair) == (Stage.FAILED, Reason.TIMEOUT, Executed.UNKNOWN)
    assert pair.requests == 2 * ROUND[: ROUND.index(silent_to) + 1]
    again_s = [at_s for at_s, payload in pair.car.heard if payload == SESSION]
    assert again_s[1] - again_s[0] >= 1.0 + LATE_S, "its answer may still come"


@pytest.mark.parametrize(
    "foreign",
    [
        bytes.fromhex("7F2222"),  # to a question of somebody else's
        bytes.fromhex("7001000000"),
        bytes.fromhex("70010000"),  # to the opposite
        bytes.fromhex("50C0"),
        bytes.fromhex("7F30"),
        bytes.fromhex("7F303322"),
        bytes.fromhex("62C0DE0000"),
        bytes.fromhex("70"),
    ],
    ids=bytes.hex,
)
def test_answer_to_something_else_is_passed_over(foreign: bytes) -> None:
    pair = awake(TalkingPair(talking_profile(has_feedback=False, repeats_max=1)))
    pair.car.silent_to = {UNLOCK}
    pair.car.said_besides = {UNLOCK: foreign}
    assert asked(pair) == (Stage.FAILED, Reason.TIMEOUT, Executed.UNKNOWN)
    assert "refused_with" not in told(pair)
    assert pair.requests == [SESSION, UNLOCK], "taken for the answer"


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("1006 70010001 0000"),  # a first frame: longer than one
        bytes.fromhex("2170010001000000"),
        bytes.fromhex("0870010001000000"),  # longer than the frame has room for
        bytes.fromhex("0070010001000000"),
        b"",
        b"\x04",
    ],
    ids=bytes.hex,
)
def test_frame_that_holds_no_whole_answer_is_none(data: bytes) -> None:
    pair = awake(TalkingPair(talking_profile(has_feedback=False, repeats_max=1)))
    pair.car.silent_to = {UNLOCK}
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    pair.run(0.3)
    assert pair.requests == [SESSION, UNLOCK]
    pair.engine.receive_frame(Frame("body", RESPONSE_ID, data, pair.now_s), pair.now_s)
    pair.run(0.3)
    assert pair.requests == [SESSION, UNLOCK]


def test_sleeping_car_is_woken_by_its_frames_first_and_answers_do_not_count_as_awake_sr_08() -> None:
    pair = awake(TalkingPair(is_asleep=True))
    assert asked(pair) == VERIFIED
    assert pair.car.wake_frames_seen > 0
    pair.car.sleep(pair.now_s)
    pair.run(60.0)
    pair.engine.receive_frame(Frame("body", RESPONSE_ID, b"\x02\x50\xc0".ljust(8, b"\0"), pair.now_s), pair.now_s)
    assert pair.engine.status(pair.now_s)["buses"] == {"body": "asleep"}


# --- what must not happen -------------------------------------------------------------------------------------------


def test_intent_is_durable_before_the_first_request_and_the_end_after_the_last_sr_02() -> None:
    pair = awake(TalkingPair(talking_profile(repeats_max=1)))
    asked(pair)
    kinds = [
        type(record) if isinstance(effect, Persist) else SendFrame
        for effect in pair.performed
        for record in (effect.records if isinstance(effect, Persist) else [effect])
        if isinstance(effect, Persist | SendFrame)
    ]
    assert [kind for kind in kinds if kind in (Intent, SendFrame, Done)] == [Intent, *3 * [SendFrame], Done]


def lived_until(pair: TalkingPair, raw: bytes) -> None:
    """The command's whole life, or as much of it as there is power for."""
    with contextlib.suppress(PowerCutError):
        pair.deliver("cmd", raw)
        pair.run(8.0, until=lambda: bool(pair.final_results()))


def lives_again(pair: TalkingPair, raw: bytes) -> set[Stage]:
    """A new start, and the same command once more; the stages told as the end."""
    pair.published.clear()
    pair.restart()
    pair.run(3.0)
    pair.deliver("cmd", raw)
    pair.run(3.0)
    return {result.stage for result in pair.final_results()}


@pytest.mark.parametrize("refused", [None, UNLOCK], ids=["obeyed", "refused"])
def test_before_whichever_effect_the_power_is_cut_nothing_is_asked_again_sr_02(refused: bytes | None) -> None:
    def begun() -> tuple[TalkingPair, bytes]:
        pair = awake(TalkingPair(talking_profile(repeats_max=1)))
        pair.car.refusals = {refused: [CONDITIONS_NOT_CORRECT]} if refused else {}
        raw = pair.command(Action.UNLOCK)
        pair.performed.clear()
        return pair, raw

    whole, raw = begun()
    lived_until(whole, raw)
    assert len(whole.performed) < EFFECTS_MAX
    ends = set()
    for cut in range(len(whole.performed)):
        pair, raw = begun()
        pair.cut_power_after(cut)
        lived_until(pair, raw)
        heard = len(pair.car.heard)
        stages = lives_again(pair, raw)
        assert len(pair.car.heard) == heard, f"asked again after a cut before effect {cut}"
        assert pair.car.actuations <= 1
        assert len(stages) == 1, f"two ends after a cut before effect {cut}: {stages}"
        ends |= {(stage, heard) for stage in stages}
    asked_at_most = 2 if refused else 3
    last = Stage.FAILED if refused else Stage.VERIFIED
    wanted = {(Stage.INTERRUPTED, heard) for heard in range(asked_at_most + 1)}
    assert ends == {(Stage.REJECTED, 0), *wanted, (last, asked_at_most)}


def test_same_command_delivered_twice_is_carried_out_once_sr_02() -> None:
    pair = awake(TalkingPair(talking_profile(repeats_max=1)))
    raw = pair.command(Action.UNLOCK)
    for _ in range(2):
        pair.deliver("cmd", raw)
        pair.run(6.0)
    assert pair.requests == ROUND


def test_deadline_that_passes_during_an_answer_lets_no_further_request_leave_sr_03() -> None:
    pair = awake()
    pair.car.latency_s = 0.6
    pair.deliver("cmd", pair.command(Action.UNLOCK, lifetime_ms=500))
    pair.run(10.0)
    assert pair.requests == [SESSION]
    result = pair.final_results()[-1]
    assert (result.stage, result.executed) == (Stage.FAILED, Executed.UNKNOWN)


def test_car_that_drives_off_during_an_answer_is_not_asked_further_sr_06() -> None:
    pair = awake()
    pair.car.press_key_fob(pair.now_s, is_locked=False)
    pair.car.switch_immobiliser(pair.now_s, is_drive_enabled=True)
    pair.run(2.0)
    pair.car.latency_s = 0.8
    pair.before_effect = _once_asked(pair, SESSION, lambda: pair.car.drive(2000.0, pair.now_s))
    stage, _, executed = asked(pair)
    assert (stage, executed) == (Stage.FAILED, Executed.UNKNOWN)
    assert pair.requests == [SESSION]


def test_newer_wish_waits_for_the_late_answer_and_takes_none_of_it_for_its_own() -> None:
    pair = awake()
    pair.car.latency_s = 0.9
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    pair.run(0.2)
    assert pair.requests == [SESSION]
    begun_s = pair.now_s
    pair.deliver("cmd", pair.command(Action.LOCK))
    pair.run(15.0)
    first, second = pair.final_results()
    assert second.stage is Stage.VERIFIED
    assert (first.reason, first.executed) == (Reason.SUPERSEDED, Executed.UNKNOWN)
    assert UNLOCK not in pair.requests
    again_s = pair.car.heard[1][0]
    assert again_s >= begun_s + 0.9, "asked while the answer to the other was on its way"


def test_request_that_is_not_on_the_send_list_is_not_asked_for_sr_01(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong between recipe and step: here the lifecycle asks for another byte than the profile has."""
    send = Exchange._send

    def asks_for_more(self: Exchange, frame: Frame) -> object:
        return send(self, frame._replace(data=frame.data[:-1] + b"\x01"))

    monkeypatch.setattr(Exchange, "_send", asks_for_more)
    pair = awake()
    assert asked(pair) == (Stage.FAILED, Reason.INTERNAL, Executed.UNKNOWN)
    assert pair.requests == []
    assert any(isinstance(effect, Log) and effect.event == "not_on_send_list" for effect in pair.performed)


def test_bus_that_only_listens_makes_its_action_unsupported() -> None:
    profile = talking_profile()
    assert {rule.value for rule in profile.send_list if rule.arbitration_id == REQUEST_ID} == {
        (bytes([len(payload)]) + payload).ljust(8, b"\0") for payload in (SESSION, LOCK, UNLOCK)
    }
    # By its requests alone: a wake-up would send too.
    recipes = {action: replace(recipe, wake=None) for action, recipe in profile.recipes.items() if recipe.requests}
    quiet = TalkingPair(replace(profile, recipes=recipes))
    quiet._is_listen_only = True
    quiet._start()
    quiet.run(2.0)
    assert asked(quiet) == (Stage.REJECTED, Reason.UNSUPPORTED_ACTION, Executed.NO)
    assert quiet.requests == []


# --- beside the questions of `[[polls]]` ----------------------------------------------------------------------------


def test_command_waits_for_the_question_in_flight_and_no_question_is_asked_meanwhile() -> None:
    """One request in flight a bus: the same control unit is asked for a value and told to unlock."""
    pair = awake(TalkingPair(talking_profile(has_poll=True)))
    pair.car.silent_to = {POLLED}
    pair.car.heard.clear()
    pair.run(60.0, until=lambda: POLLED in pair.requests)
    asked_s = pair.car.heard[-1][0]
    result = pair.ask(Action.UNLOCK, seconds=20.0)
    assert result.stage is Stage.VERIFIED
    command = [(at_s, payload) for at_s, payload in pair.car.heard if at_s > asked_s]
    assert command[0][1] == SESSION
    assert command[0][0] >= asked_s + 1.0, "asked while the answer to the question was on its way"
    assert POLLED not in [payload for _, payload in command]
    pair.run(60.0)
    assert pair.requests[-1] == POLLED, "it is asked again afterwards"


def test_no_question_is_asked_while_the_answer_to_an_ended_command_may_still_come() -> None:
    pair = awake(TalkingPair(talking_profile(has_poll=True, has_feedback=False, repeats_max=1)))
    pair.car.silent_to = {SESSION}
    (polled_s, payload) = pair.car.heard[-1]
    assert payload == POLLED
    pair.run(polled_s + 19.6 - pair.now_s)  # it was refused: the next time is 20 s later, while the command runs
    pair.car.heard.clear()
    assert asked(pair)[1] is Reason.TIMEOUT
    pair.run(60.0, until=lambda: POLLED in pair.requests)
    (session_s, _), (polled_s, _) = pair.car.heard
    assert session_s + 1.0 < polled_s < session_s + 10.0
    assert polled_s - session_s >= 1.0 + LATE_S


def test_last_request_without_an_answer_leaves_the_round_incomplete() -> None:
    pair = awake(TalkingPair(talking_profile(has_feedback=False, repeats_max=1, times=1)))
    pair.car.silent_to = {UNLOCK}
    assert asked(pair) == (Stage.FAILED, Reason.TIMEOUT, Executed.UNKNOWN)
    assert told(pair) == {"frames": "handed_over", "answers": 1}


@pytest.mark.parametrize(("reason", "waits_s"), [(Reason.TIMEOUT, 1.0 + LATE_S), (Reason.EXPIRED, 0.0)])
def test_answer_to_a_request_that_may_have_left_is_waited_out(reason: Reason, waits_s: float) -> None:
    """One request in flight a bus: of a frame that timed out nobody knows, one that was held back did not leave."""
    pair = awake(TalkingPair(talking_profile(has_feedback=False)))
    asked_s: list[float] = []

    def watch(_pair: Pair, effect: Effect) -> None:
        if isinstance(effect, SendFrame):
            asked_s.append(pair.now_s)
            pair.send_refusal = reason if len(asked_s) == 1 else None

    pair.before_effect = watch
    assert asked(pair)[0] is Stage.EXECUTED_UNVERIFIED
    assert pair.requests == ROUND
    interval_s = 1.0
    assert asked_s[1] - asked_s[0] == pytest.approx(max(waits_s, interval_s), abs=0.05)


def test_late_refusal_of_a_question_is_not_taken_for_the_commands() -> None:
    pair = awake(TalkingPair(talking_profile(has_poll=True)))
    pair.car.said_besides = {SESSION: b"\x7f\x22\x31"}
    assert asked(pair) == VERIFIED


def _once_asked(pair: TalkingPair, payload: bytes, does: Callable[[], None]) -> BeforeEffect:
    """Does something once, just after this request has left."""

    def watch(_pair: Pair, effect: Effect) -> None:
        if any(heard == payload for _, heard in pair.car.heard):
            pair.before_effect = None
            does()

    return watch
