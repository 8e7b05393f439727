"""Acting where CAN cannot: pulses of relays keep the rules that frames keep (SR-01 to SR-06), whatever cuts in."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest

from agent.command.lifecycle import Lifecycle
from agent.config_table import RelayTable
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.effects import Effect, Log, Persist, PulseRelay, SendFrame
from agent.model.events import StopAsked
from agent.model.pulse import Pulse
from agent.model.records import Done, Intent
from tests.support.pair import Pair, PowerCutError
from tests.support.relay_pair import LINES, LOCK, UNLOCK, RelayPair, relay_profile

VERIFIED = (Stage.VERIFIED, Reason.OK, Executed.YES)
EFFECTS_MAX = 200


def awake(pair: RelayPair | None = None) -> RelayPair:
    pair = pair or RelayPair()
    pair.run(2.0)
    return pair


def asked(pair: RelayPair, action: Action) -> tuple[Stage, Reason, Executed]:
    result = pair.ask(action, seconds=20.0)
    return result.stage, result.reason, result.executed


def test_unlock_and_lock_by_the_buttons_of_the_fob_are_verified_by_the_bus_sr_04() -> None:
    pair = awake()
    assert asked(pair, Action.UNLOCK) == VERIFIED
    assert not pair.car.lock.is_locked
    assert asked(pair, Action.LOCK) == VERIFIED
    assert pair.car.lock.is_locked
    assert [pulse for pulse, _ in pair.pulses] == [UNLOCK, LOCK]
    assert pair.car.lock_requests_seen == 0


def test_sleeping_car_is_woken_by_frames_before_its_button_is_pressed() -> None:
    pair = awake(RelayPair(is_asleep=True))
    assert asked(pair, Action.UNLOCK) == VERIFIED
    assert pair.car.wake_frames_seen > 0


def test_without_a_wake_up_what_must_be_known_refuses_while_the_car_sleeps_and_nothing_is_pressed_sr_06() -> None:
    """Such a recipe asks no bus; an awake car is unlocked, and one whose values are gone is locked all the same."""
    pair = awake(RelayPair(relay_profile(has_wake=False)))
    assert asked(pair, Action.UNLOCK) == VERIFIED
    pair.car.sleep(pair.now_s)
    pair.run(60.0)
    pair.pulses.clear()
    assert asked(pair, Action.UNLOCK) == (Stage.REJECTED, Reason.PRECONDITION_STALE, Executed.NO)
    assert (pair.pulses, pair.sent) == ([], [])
    assert asked(pair, Action.LOCK) == VERIFIED
    assert [pulse.line for pulse, _ in pair.pulses] == ["fob_lock"]


def test_fob_that_does_nothing_is_never_verified_and_is_pressed_no_more_than_its_rounds_sr_04() -> None:
    pair = awake()
    pair.is_fob_dead = True
    assert asked(pair, Action.UNLOCK) == (Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO)
    assert [pulse for pulse, _ in pair.pulses] == [UNLOCK, UNLOCK]


def test_car_without_feedback_is_told_to_be_unverified_once_its_pulses_are_done() -> None:
    pair = awake(RelayPair(relay_profile(has_feedback=False, times=2)))
    assert asked(pair, Action.UNLOCK) == (Stage.EXECUTED_UNVERIFIED, Reason.OK, Executed.YES)
    assert [pulse for pulse, _ in pair.pulses] == [UNLOCK] * 4
    closed_s = [at_s for _, at_s in pair.pulses]
    assert all(after - before >= 0.499 for before, after in pairwise(closed_s))
    assert pair.capabilities()["actions"]["unlock"] == "executed_unverified"


def test_intent_is_durable_before_the_first_pulse_and_the_end_after_the_last_sr_02() -> None:
    pair = awake()
    asked(pair, Action.UNLOCK)
    kinds = [
        type(record) if isinstance(effect, Persist) else PulseRelay
        for effect in pair.performed
        for record in (effect.records if isinstance(effect, Persist) else [effect])
        if isinstance(effect, Persist | PulseRelay)
    ]
    wanted = [kind for kind in kinds if kind in (Intent, PulseRelay, Done)]
    assert wanted == [Intent, PulseRelay, Done]


def lived_until(pair: RelayPair, raw: bytes) -> None:
    """The command's whole life, or as much of it as there is power for."""
    with contextlib.suppress(PowerCutError):
        pair.deliver("cmd", raw)
        pair.run(5.0, until=lambda: bool(pair.final_results()))


def lives_again(pair: RelayPair, raw: bytes) -> set[Stage]:
    """A new start, and the same command once more; the stages told as the end."""
    pair.published.clear()
    pair.restart()
    pair.run(3.0)
    pair.deliver("cmd", raw)
    pair.run(3.0)
    return {result.stage for result in pair.final_results()}


def test_before_whichever_effect_the_power_is_cut_the_button_is_never_pressed_again_sr_02() -> None:
    whole = awake()
    raw = whole.command(Action.UNLOCK)
    whole.performed.clear()
    lived_until(whole, raw)
    assert len(whole.performed) < EFFECTS_MAX
    ends = set()
    for cut in range(len(whole.performed)):
        pair = awake()
        raw = pair.command(Action.UNLOCK)
        pair.cut_power_after(cut)
        lived_until(pair, raw)
        pressed = len(pair.pulses)
        stages = lives_again(pair, raw)
        assert len(pair.pulses) == pressed <= 1, f"pressed again after a cut before effect {cut}"
        assert len(stages) == 1, f"two ends after a cut before effect {cut}"
        ends |= {(stage, pressed) for stage in stages}
    assert ends == {(Stage.REJECTED, 0), (Stage.INTERRUPTED, 0), (Stage.INTERRUPTED, 1), (Stage.VERIFIED, 1)}


def test_state_reached_within_a_pulse_and_left_before_its_pause_is_over_is_not_unchanged() -> None:
    """A4: the lock opened for us and was closed by a key, all before the agent hears that its pulse is done."""
    pair = awake(RelayPair(relay_profile(repeats_max=1)))
    pair.car.lock._travel_s = 0.05
    hear_for = pair._hear_for

    def hear_until_the_key(seconds: float) -> None:
        hear_for(seconds)
        if seconds == UNLOCK.pulse_s:
            assert not pair.car.lock.is_locked
            pair.car.press_key_fob(pair.now_s, is_locked=True)

    pair._hear_for = hear_until_the_key  # type: ignore[method-assign]
    assert asked(pair, Action.UNLOCK) == (Stage.FAILED, Reason.CONFLICTING_STATE, Executed.UNKNOWN)


def test_power_cut_within_a_pulse_ends_interrupted_and_the_button_is_not_pressed_again_sr_02() -> None:
    pair = awake()
    raw = pair.command(Action.UNLOCK)
    pair.has_power_within_pulses = False
    lived_until(pair, raw)
    pair.has_power_within_pulses = True
    assert lives_again(pair, raw) == {Stage.INTERRUPTED}
    assert len(pair.pulses) == 1


def test_same_command_delivered_twice_presses_once_sr_02() -> None:
    pair = awake()
    raw = pair.command(Action.UNLOCK)
    pair.deliver("cmd", raw)
    pair.run(5.0)
    pair.deliver("cmd", raw)
    pair.run(5.0)
    assert len(pair.pulses) == 1


def test_newer_wish_takes_the_place_of_pulses_that_do_nothing() -> None:
    pair = awake()
    pair.is_fob_dead = True
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    pair.is_fob_dead = False
    assert asked(pair, Action.LOCK)[0] is not Stage.REJECTED
    pair.run(5.0)
    first = pair.final_results()[0]
    assert (first.stage, first.reason, first.executed) == (Stage.FAILED, Reason.SUPERSEDED, Executed.UNKNOWN)
    lines = [pulse.line for pulse, _ in pair.pulses]
    assert lines == sorted(lines, reverse=True)  # no unlock after the first lock
    assert lines.count("fob_lock") <= 2, "no more than its rounds, though the other wish may still take effect"


def test_late_command_presses_nothing_sr_03() -> None:
    pair = awake()
    raw = pair.command(Action.UNLOCK, lifetime_ms=1000)
    pair.run(2.0)
    pair.deliver("cmd", raw)
    pair.run(2.0)
    assert pair.pulses == []
    assert pair.final_results()[-1].reason is Reason.EXPIRED


def test_car_that_drives_off_between_two_presses_is_not_pressed_again_sr_06() -> None:
    pair = awake(RelayPair(relay_profile(has_feedback=False, times=4)))
    pair.car.press_key_fob(pair.now_s, is_locked=False)
    pair.car.switch_immobiliser(pair.now_s, is_drive_enabled=True)
    pair.run(2.0)
    pair.is_fob_dead = True

    def drive_off(_pair: Pair, effect: Effect) -> None:
        if isinstance(effect, PulseRelay) and len(pair.pulses) == 1:
            pair.before_effect = None
            pair.car.drive(2000.0, pair.now_s)
            pair._hear_for(0.4)

    pair.before_effect = drive_off
    stage, _, executed = asked(pair, Action.UNLOCK)
    assert (stage, executed) == (Stage.FAILED, Executed.UNKNOWN)
    assert len(pair.pulses) == 1


def test_line_that_cannot_be_had_moves_nothing_and_says_so() -> None:
    pair = awake()
    pair.refusal = Reason.CAN_DOWN
    assert asked(pair, Action.UNLOCK) == (Stage.FAILED, Reason.CAN_DOWN, Executed.NO)


def test_line_that_failed_within_a_pulse_leaves_it_open_what_happened() -> None:
    pair = awake()
    pair.refusal = Reason.INTERNAL
    assert asked(pair, Action.UNLOCK) == (Stage.FAILED, Reason.INTERNAL, Executed.UNKNOWN)


def test_agent_that_is_to_end_finishes_the_pulse_and_presses_no_more() -> None:
    pair = awake()
    pair.is_fob_dead = True
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    pair.engine.receive_link(StopAsked(is_final=True), pair.now_s)
    pair.perform()
    result = pair.final_results()[-1]
    assert (result.stage, result.reason, result.executed) == (
        Stage.INTERRUPTED,
        Reason.SHUTTING_DOWN,
        Executed.UNKNOWN,
    )
    pair.run(5.0)
    assert len(pair.pulses) == 1


def test_pulse_that_is_not_on_the_send_list_is_not_asked_for_sr_01(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong between recipe and step: here the lifecycle asks for a longer pulse than the profile has."""
    send = Lifecycle._send

    def asks_for_more(self: Lifecycle, frame: object) -> object:
        step = send(self, frame)  # type: ignore[arg-type]
        return replace(step, frame=replace(step.frame, pulse_s=0.5)) if isinstance(step.frame, Pulse) else step

    monkeypatch.setattr(Lifecycle, "_send", asks_for_more)
    pair = awake()
    asked(pair, Action.UNLOCK)
    assert not any(isinstance(effect, PulseRelay) for effect in pair.performed)
    assert any(isinstance(effect, Log) and effect.event == "not_on_send_list" for effect in pair.performed)


def test_line_without_a_relay_makes_its_action_unsupported_with_the_reason_in_caps() -> None:
    class Unwired(RelayPair):
        relays: Mapping[str, RelayTable] = {"fob_lock": LINES["fob_lock"]}

    pair = awake(Unwired())
    assert asked(pair, Action.UNLOCK) == (Stage.REJECTED, Reason.UNSUPPORTED_ACTION, Executed.NO)
    assert pair.capabilities()["unsupported"]["unlock"] == "no relay: agent.toml has no table [relays.fob_unlock]"
    assert pair.engine._acting._profile.pulse_list == (LOCK,), "SR-01: what is unsupported is on no list"
    assert asked(pair, Action.LOCK) == VERIFIED
    assert [pulse.line for pulse, _ in pair.pulses] == ["fob_lock"]


def test_action_by_relay_sends_no_frame_but_those_that_wake() -> None:
    pair = awake()
    asked(pair, Action.UNLOCK)
    assert not any(isinstance(effect, SendFrame) for effect in pair.performed)
