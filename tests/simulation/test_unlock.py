"""Whole commands through engine, virtual car and backend in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.bench.car import CarFault
from agent.bench.car_body import Opening
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.effects import Acknowledge, Persist, SendFrame
from agent.model.events import BusChanged
from agent.model.frame import BusState
from agent.model.records import Done, Intent
from tests.support.pair import Pair


def awake() -> Pair:
    pair = Pair()
    pair.run(2.0)
    return pair


def test_unlock_of_an_awake_car_is_verified_by_frames_received_after_ours() -> None:
    """SR-04"""
    pair = awake()
    result = pair.ask(Action.UNLOCK)
    assert (result.stage, result.reason, result.executed) == (Stage.VERIFIED, Reason.OK, Executed.YES)
    assert not pair.car.lock.is_locked
    lock = next(piece for piece in result.evidence if piece.path == "Vehicle.Carshare.CentralLock.IsLocked")
    assert lock.value is False


def test_lock_after_unlock_is_verified() -> None:
    pair = awake()
    pair.ask(Action.UNLOCK)
    assert pair.ask(Action.LOCK).stage is Stage.VERIFIED
    assert pair.car.lock.is_locked


def test_sleeping_car_is_woken_for_a_command_only_and_unlocked() -> None:
    """SR-08, H103: no frame leaves towards a sleeping car until somebody asks for something."""
    pair = Pair(is_asleep=True)
    pair.run(10.0)
    assert pair.sent == []
    assert pair.ask(Action.UNLOCK).stage is Stage.VERIFIED
    assert pair.car.wake_frames_seen > 0


@pytest.mark.hazard("H103")
def test_sleeping_car_that_never_wakes_is_refused_as_asleep_and_no_command_frame_leaves() -> None:
    """H103"""
    pair = Pair(is_asleep=True)
    pair.car.set_fault(CarFault.WAKE_DEAF, pair.now_s, is_on=True)
    result = pair.ask(Action.UNLOCK)
    assert (result.stage, result.reason, result.executed) == (Stage.REJECTED, Reason.BUS_ASLEEP, Executed.NO)
    assert pair.lock_requests() == []


@pytest.mark.hazard("H95")
def test_lock_unit_that_reports_but_ignores_gives_failed_no_state_change() -> None:
    """H95"""
    pair = awake()
    pair.car.set_fault(CarFault.LOCK_IGNORES, pair.now_s, is_on=True)
    result = pair.ask(Action.UNLOCK)
    assert (result.stage, result.reason, result.executed) == (Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO)


@pytest.mark.hazard("H94")
def test_silent_lock_unit_gives_executed_unverified_unknown() -> None:
    """H94"""
    pair = awake()
    pair.car.set_fault(CarFault.LOCK_SILENT, pair.now_s, is_on=True)
    result = pair.ask(Action.UNLOCK)
    assert (result.stage, result.executed) == (Stage.EXECUTED_UNVERIFIED, Executed.UNKNOWN)


@pytest.mark.hazard("H102")
def test_lock_is_refused_while_a_door_is_open() -> None:
    """H102"""
    pair = awake()
    pair.ask(Action.UNLOCK)
    pair.car.set_opening(next(iter(Opening)), pair.now_s, is_open=True)
    pair.run(1.0)
    result = pair.ask(Action.LOCK)
    assert (result.stage, result.reason, result.executed) == (Stage.REJECTED, Reason.DOOR_OPEN, Executed.NO)
    assert not pair.car.lock.is_locked


def test_unlock_is_refused_while_the_car_moves() -> None:
    """SR-06"""
    pair = awake()
    pair.ask(Action.UNLOCK)
    pair.car.drive(5000.0, pair.now_s)
    pair.run(10.0)
    result = pair.ask(Action.UNLOCK)
    assert (result.stage, result.reason) == (Stage.REJECTED, Reason.MOVING)


@pytest.mark.hazard("H39")
def test_same_bytes_again_get_the_same_answer_and_move_nothing() -> None:
    """SR-02, H39"""
    pair = awake()
    raw = pair.command(Action.UNLOCK)
    pair.deliver("cmd", raw)
    pair.run(5.0, until=lambda: bool(pair.final_results()))
    sent = len(pair.sent)
    pair.deliver("cmd", raw)
    pair.run(2.0)
    first, again = pair.final_results()
    assert first == again
    assert len(pair.sent) == sent
    assert pair.car.lock_requests_seen == 1


@pytest.mark.hazard("H40")
def test_same_bytes_again_after_a_restart_get_the_stored_answer() -> None:
    """SR-02, H40"""
    pair = awake()
    raw = pair.command(Action.UNLOCK)
    pair.deliver("cmd", raw)
    pair.run(5.0, until=lambda: bool(pair.final_results()))
    sent = len(pair.sent)
    pair.restart()
    pair.run(3.0)
    pair.deliver("cmd", raw)
    pair.run(2.0)
    assert {(result.cid, result.stage) for result in pair.final_results()} == {
        (pair.final_results()[0].cid, Stage.VERIFIED)
    }
    assert len(pair.final_results()) == 2
    assert len(pair.sent) == sent


@pytest.mark.hazard("H42")
def test_other_bytes_under_a_known_id_are_a_conflict() -> None:
    """H42"""
    pair = awake()
    cid = bytes(range(16))
    pair.deliver("cmd", pair.command(Action.UNLOCK, cid=cid))
    pair.run(5.0, until=lambda: bool(pair.final_results()))
    sent = len(pair.sent)
    pair.deliver("cmd", pair.command(Action.LOCK, cid=cid))
    result = pair.final_results()[-1]
    assert (result.stage, result.reason, result.executed) == (Stage.REJECTED, Reason.CID_CONFLICT, Executed.UNKNOWN)
    assert len(pair.sent) == sent


@pytest.mark.hazard("H48")
def test_command_for_another_session_is_refused_with_a_fresh_hello() -> None:
    """SR-03, H48"""
    pair = awake()
    old = pair.command(Action.UNLOCK)
    pair.restart()
    pair.run(2.0)
    before = len(pair.hellos())
    pair.deliver("cmd", old)
    result = pair.final_results()[-1]
    assert (result.reason, result.executed) == (Reason.STALE_SESSION, Executed.NO)
    assert pair.hellos()[before].nonce == result.cid
    assert pair.sent == []


def test_command_of_a_session_this_store_never_knew_is_not_said_to_be_unexecuted() -> None:
    """H41"""
    pair = awake()
    pair.deliver("cmd", pair.command(Action.UNLOCK, sid=b"strange!"))
    result = pair.final_results()[-1]
    assert (result.reason, result.executed) == (Reason.STALE_SESSION, Executed.UNKNOWN)


@pytest.mark.hazard("H43", "H44")
def test_older_counter_is_refused() -> None:
    """SR-03, H43, H44: lock (2) arrives before unlock (1)."""
    pair = awake()
    unlock, lock = pair.command(Action.UNLOCK), pair.command(Action.LOCK)
    pair.deliver("cmd", lock)
    pair.run(5.0, until=lambda: bool(pair.final_results()))
    pair.deliver("cmd", unlock)
    assert [result.reason for result in pair.final_results()] == [Reason.OK, Reason.COUNTER]
    assert pair.car.lock.is_locked


def test_refused_command_leaves_the_counter_as_it_was() -> None:
    """SR-03: a refusal changes nothing, so an older command that is still in time is judged on its own."""
    pair = awake()
    pair.car.set_opening(Opening.TRUNK, pair.now_s, is_open=True)
    pair.run(1.0)
    unlock, refused = pair.command(Action.UNLOCK), pair.command(Action.LOCK)
    pair.deliver("cmd", refused)
    pair.deliver("cmd", unlock)
    pair.run(5.0)
    assert [result.reason for result in pair.final_results()] == [Reason.DOOR_OPEN, Reason.OK]


def test_command_after_its_deadline_is_refused() -> None:
    """SR-03, H45"""
    pair = awake()
    raw = pair.command(Action.UNLOCK, lifetime_ms=1000)
    pair.run(1.1)
    pair.deliver("cmd", raw)
    assert pair.final_results()[-1].reason is Reason.EXPIRED
    assert pair.sent == []


def test_command_signed_by_a_stranger_moves_nothing_and_is_not_answered() -> None:
    """SR-03"""
    pair = awake()
    pair.deliver("cmd", pair.command(Action.UNLOCK, key=Ed25519PrivateKey.generate()))
    pair.run(3.0)
    assert pair.results() == []
    assert pair.sent == []


@pytest.mark.hazard("H28")
def test_command_for_another_car_moves_nothing() -> None:
    """SR-03, H28"""
    pair = awake()
    pair.deliver("cmd", pair.command(Action.UNLOCK, car=b"othercar"))
    result = pair.final_results()[-1]
    assert (result.reason, result.executed) == (Reason.WRONG_CAR, Executed.NO)


@pytest.mark.hazard("H30")
def test_command_on_another_operators_topic_moves_nothing() -> None:
    """SR-03, H30"""
    pair = awake()
    pair.deliver("cmd", pair.command(Action.UNLOCK), operator=2)
    assert pair.sent == []
    assert pair.final_results()[-1].reason is Reason.OPERATOR_MISMATCH


@pytest.mark.hazard("H57")
def test_retained_command_is_dropped() -> None:
    """H57"""
    pair = awake()
    pair.deliver("cmd", pair.command(Action.UNLOCK), is_retained=True)
    pair.run(2.0)
    assert pair.results() == []
    assert pair.sent == []


def test_every_delivery_is_acknowledged_whatever_becomes_of_it() -> None:
    pair = awake()
    for raw in (b"", b"\xff" * 2000, pair.command(Action.UNLOCK)):
        pair.deliver("cmd", raw)
    pair.run(5.0)
    assert pair.acknowledged == sorted(pair.acknowledged)
    assert len(pair.acknowledged) == 4  # the three above and the ping of the last


def test_intent_is_durable_before_the_acknowledgement_and_before_any_frame() -> None:
    """SR-02"""
    pair = Pair(is_asleep=True)
    pair.run(1.0)
    pair.performed.clear()
    pair.ask(Action.UNLOCK)

    def first(wanted: type) -> int:
        return next(index for index, effect in enumerate(pair.performed) if isinstance(effect, wanted))

    def persisted(wanted: type) -> int:
        return next(
            index
            for index, effect in enumerate(pair.performed)
            if isinstance(effect, Persist) and any(isinstance(record, wanted) for record in effect.records)
        )

    delivery = max(index for index, effect in enumerate(pair.performed) if isinstance(effect, Acknowledge))
    assert persisted(Intent) < delivery
    assert persisted(Intent) < first(SendFrame) < persisted(Done)


@pytest.mark.hazard("H84", "H85")
def test_store_that_fails_at_the_intent_refuses_and_stops_and_no_frame_leaves() -> None:
    """SR-02, H84, H85"""
    pair = awake()
    raw = pair.command(Action.UNLOCK)
    pair.is_store_broken = True
    pair.deliver("cmd", raw)
    assert pair.stopped is not None
    assert pair.sent == []
    assert [result.reason for result in pair.final_results()] == [Reason.STORAGE]


@pytest.mark.hazard("H87")
def test_store_that_stalls_past_the_deadline_ends_in_expired_and_no_frame() -> None:
    """H87: the sync stalls 20 s with the deadline 10 s away."""
    pair = awake()
    raw = pair.command(Action.UNLOCK, lifetime_ms=10_000)
    pair.store_delay_s = 20.0
    pair.deliver("cmd", raw)
    pair.store_delay_s = 0.0
    pair.run(1.0)
    result = pair.final_results()[-1]
    assert (result.stage, result.reason, result.executed) == (Stage.REJECTED, Reason.EXPIRED, Executed.NO)
    assert pair.sent == []


def test_deadline_is_asked_again_at_the_moment_of_sending() -> None:
    """The deadline passes while a sleeping car wakes up: nothing but wake frames left (A3)."""
    pair = Pair(is_asleep=True)
    pair.car.set_fault(CarFault.WAKE_DEAF, pair.now_s, is_on=True)
    pair.deliver("cmd", pair.command(Action.UNLOCK, lifetime_ms=500))
    pair.run(0.6)
    pair.car.set_fault(CarFault.WAKE_DEAF, pair.now_s, is_on=False)
    pair.car.rouse(pair.now_s)
    pair.run(5.0)
    assert pair.final_results()[-1].reason is Reason.EXPIRED
    assert pair.lock_requests() == []


@pytest.mark.hazard("H104")
def test_lock_supersedes_a_running_unlock() -> None:
    """H104, A9"""
    pair = awake()
    pair.car.set_fault(CarFault.LOCK_SLOW, pair.now_s, is_on=True)
    unlock, lock = pair.command(Action.UNLOCK), pair.command(Action.LOCK)
    pair.deliver("cmd", unlock)
    pair.run(0.2)
    pair.deliver("cmd", lock)
    pair.run(10.0)
    assert [(result.stage, result.reason) for result in pair.final_results()] == [
        (Stage.FAILED, Reason.SUPERSEDED),
        (Stage.VERIFIED, Reason.OK),
    ]
    assert pair.car.lock.is_locked


def test_second_unlock_while_one_runs_is_busy() -> None:
    """H55"""
    pair = awake()
    first, second = pair.command(Action.UNLOCK), pair.command(Action.UNLOCK)
    pair.deliver("cmd", first)
    pair.deliver("cmd", second)
    pair.run(5.0)
    assert sorted(result.reason for result in pair.final_results()) == [Reason.OK, Reason.BUSY]


@pytest.mark.hazard("H55")
def test_fifty_unlocks_in_a_second_make_one_actuation() -> None:
    """H55"""
    pair = awake()
    commands = []
    for _ in range(50):
        commands.append(pair.command(Action.UNLOCK))
        pair.run(0.06)
    for raw in commands:
        pair.deliver("cmd", raw)
    pair.run(6.0)
    verified = [result for result in pair.final_results() if result.stage is Stage.VERIFIED]
    others = {result.reason for result in pair.final_results()} - {Reason.OK}
    assert len(verified) == 1
    assert others <= {Reason.BUSY, Reason.RATE_LIMITED}
    assert pair.car.lock_requests_seen == 1


@pytest.mark.hazard("H98")
def test_interface_that_is_down_before_acting_fails_with_nothing_executed() -> None:
    """H98"""
    pair = awake()
    raw = pair.command(Action.UNLOCK)
    pair.send_refusal = Reason.CAN_DOWN
    pair.deliver("cmd", raw)
    pair.run(1.0)
    result = pair.final_results()[-1]
    assert (result.stage, result.reason, result.executed) == (Stage.FAILED, Reason.CAN_DOWN, Executed.NO)


@pytest.mark.hazard("H98")
@pytest.mark.parametrize("state", [BusState.DOWN, BusState.GONE])
def test_interface_known_to_be_down_or_absent_fails_at_once(state: BusState) -> None:
    """H98: stage 5, reason 60, nothing executed; said before anything is tried."""
    pair = awake()
    pair.engine.receive_link(BusChanged("body", state), pair.now_s)
    result = pair.ask(Action.UNLOCK)
    assert (result.stage, result.reason, result.executed) == (Stage.FAILED, Reason.CAN_DOWN, Executed.NO)
    assert pair.sent == []


@pytest.mark.hazard("H99")
def test_bus_off_after_the_first_frame_is_unknown() -> None:
    """H99"""
    pair = awake()
    pair.car.set_fault(CarFault.LOCK_IGNORES, pair.now_s, is_on=True)
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    pair.send_refusal = Reason.BUS_OFF
    pair.run(5.0)
    result = pair.final_results()[-1]
    assert (result.stage, result.reason, result.executed) == (Stage.FAILED, Reason.BUS_OFF, Executed.UNKNOWN)


def test_report_is_answered_with_readings_and_sends_no_frame() -> None:
    pair = awake()
    result = pair.ask(Action.REPORT)
    assert (result.stage, result.executed) == (Stage.EXECUTED_UNVERIFIED, Executed.YES)
    assert {piece.path for piece in result.evidence} >= {"Vehicle.TraveledDistance"}
    assert pair.sent == []


def test_action_without_a_recipe_is_unsupported() -> None:
    pair = awake()
    pair.profile = replace(pair.profile, recipes={})
    pair.restart()
    pair.run(1.0)
    for action in (Action.UNLOCK, Action.LOCATE):
        assert pair.ask(action).reason is Reason.UNSUPPORTED_ACTION


@pytest.mark.hazard("H77", "H78")
def test_result_that_was_not_acknowledged_is_offered_again_after_a_restart() -> None:
    """H77, H78: the same result under the same number."""
    pair = awake()
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    pair.is_broker_up = False
    pair.run(5.0)
    assert pair.final_results() == []
    pair.is_broker_up = True
    pair.restart()
    pair.run(1.0)
    assert [result.stage for result in pair.final_results()] == [Stage.VERIFIED]
    number = pair.final_results()[0].event_sequence
    assert number is not None
    pair.restart()
    pair.run(1.0)
    assert [result.event_sequence for result in pair.final_results()] == [number]
