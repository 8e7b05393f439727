"""Every action beside lock and unlock, through engine, virtual car and backend in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.bench.car import CarFault
from agent.bench.car_body import Ignition, Opening
from agent.command.envelope import Result
from agent.config import EndOfRentalTable
from agent.model.command import Action, Answer, Condition, Executed, Reason, Stage
from agent.model.events import BusChanged
from agent.model.frame import BusState
from agent.model.reading import Quality
from tests.support.pair import OPENINGS, Pair

DRIVE_ENABLED = "Vehicle.Carshare.IsDriveEnabled"
SPEED = "Vehicle.Speed"
IGNITION = "Vehicle.LowVoltageSystemState"

VERIFIED = (Stage.VERIFIED, Reason.OK, Executed.YES)
UNHEARD = (Stage.FAILED, Reason.CAN_DOWN, Executed.UNKNOWN)
DONE = (Stage.EXECUTED_UNVERIFIED, Reason.OK, Executed.YES)


def awake(*, is_drive_enabled: bool = True) -> Pair:
    pair = Pair()
    pair.car.switch_immobiliser(pair.now_s, is_drive_enabled=is_drive_enabled)
    pair.run(2.0)
    return pair


def said(result: Result) -> tuple[Stage, Reason, Executed]:
    return result.stage, result.reason, result.executed


# --- enable_drive and disable_drive ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "is_enabled"), [(Action.ENABLE_DRIVE, True), (Action.DISABLE_DRIVE, False)])
def test_immobiliser_is_switched_and_the_result_shows_it(action: Action, is_enabled: bool) -> None:
    """SR-04"""
    pair = awake(is_drive_enabled=not is_enabled)
    result = pair.ask(action)
    assert said(result) == VERIFIED
    assert pair.car.immobiliser.is_drive_enabled is is_enabled
    (shown,) = [piece for piece in result.evidence if piece.path == DRIVE_ENABLED]
    assert (shown.value, shown.message) == (is_enabled, "DriveStatus")
    assert (pair.car.immobiliser.requests_seen, pair.car.lock_requests_seen) == (1, 0)


@pytest.mark.parametrize("action", [Action.ENABLE_DRIVE, Action.DISABLE_DRIVE, Action.LOCATE])
def test_sleeping_car_is_woken_for_each_action(action: Action) -> None:
    """SR-08, H103"""
    pair = Pair(is_asleep=True)
    pair.car.immobiliser.is_on = action is Action.DISABLE_DRIVE
    assert pair.ask(action).executed is Executed.YES
    assert pair.car.wake_frames_seen > 0


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        (CarFault.IMMOBILISER_IGNORES, (Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO)),
        (CarFault.IMMOBILISER_SILENT, (Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, Executed.UNKNOWN)),
        (CarFault.IMMOBILISER_DEAD, (Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, Executed.UNKNOWN)),
        (CarFault.IMMOBILISER_BLOCKED, (Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, Executed.UNKNOWN)),
        (CarFault.IMMOBILISER_SLOW, VERIFIED),
        (CarFault.LOCK_DEAD, VERIFIED),
    ],
)
@pytest.mark.parametrize("action", [Action.ENABLE_DRIVE, Action.DISABLE_DRIVE])
def test_faults_of_the_immobiliser_are_told_apart(
    action: Action, fault: CarFault, end: tuple[Stage, Reason, Executed]
) -> None:
    """SR-04, H94, H95"""
    pair = awake(is_drive_enabled=action is Action.DISABLE_DRIVE)
    pair.car.set_fault(fault, pair.now_s, is_on=True)
    assert said(pair.ask(action)) == end


def no_drive_frame_left(pair: Pair) -> bool:
    return pair.car.immobiliser.requests_seen == 0 and pair.sent == []


def test_disable_drive_of_a_moving_car_is_refused() -> None:
    """SR-06, H101: moving"""
    pair = awake()
    pair.car.press_key_fob(pair.now_s, is_locked=False)
    pair.run(1.0)
    pair.car.drive(500, pair.now_s)
    pair.run(3.0)
    assert said(pair.ask(Action.DISABLE_DRIVE)) == (Stage.REJECTED, Reason.MOVING, Executed.NO)
    assert no_drive_frame_left(pair)
    pair.run(120.0, until=lambda: not pair.car.body.is_driving)
    pair.run(1.0)
    assert said(pair.ask(Action.DISABLE_DRIVE)) == VERIFIED


def test_disable_drive_with_a_speed_nobody_knows_is_refused() -> None:
    """SR-06, H101: the wheel sensors send their marker"""
    pair = Pair()
    pair.run(0.25)
    assert said(pair.ask(Action.DISABLE_DRIVE)) == (Stage.REJECTED, Reason.SPEED_UNKNOWN, Executed.NO)
    assert no_drive_frame_left(pair)


def test_disable_drive_with_a_speed_600_ms_old_is_refused() -> None:
    """SR-06, H101"""
    pair = awake()
    raw = pair.command(Action.DISABLE_DRIVE)
    pair.car.set_fault(CarFault.BUS_SILENT, pair.now_s, is_on=True)
    pair.run(0.6)
    pair.deliver("cmd", raw)
    assert said(pair.final_results()[-1]) == (Stage.REJECTED, Reason.PRECONDITION_STALE, Executed.NO)
    assert no_drive_frame_left(pair)


def test_disable_drive_with_the_ignition_on_is_refused() -> None:
    """SR-06"""
    pair = awake()
    pair.car.set_ignition(pair.now_s, is_on=True)
    pair.run(1.0)
    assert said(pair.ask(Action.DISABLE_DRIVE)) == (Stage.REJECTED, Reason.IGNITION_ON, Executed.NO)
    assert no_drive_frame_left(pair)


def test_disable_drive_stops_asking_as_soon_as_the_car_is_switched_on() -> None:
    """SR-06: the preconditions are asked again before each frame, and what was asked is told as it is."""
    pair = awake()
    pair.car.set_fault(CarFault.IMMOBILISER_IGNORES, pair.now_s, is_on=True)
    pair.deliver("cmd", pair.command(Action.DISABLE_DRIVE))
    pair.run(0.25)
    pair.car.set_ignition(pair.now_s, is_on=True)
    pair.run(0.25)
    frames = len(pair.sent)
    assert 0 < frames < 10
    pair.run(4.0)
    assert len(pair.sent) == frames
    assert said(pair.final_results()[-1]) == (Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO)


def test_disable_drive_of_a_woken_car_waits_for_the_speed_of_that_car() -> None:
    """SR-06, A3: what was known before it slept does not count."""
    pair = awake()
    pair.car.sleep(pair.now_s)
    pair.run(10.0)
    result = pair.ask(Action.DISABLE_DRIVE)
    assert said(result) == VERIFIED
    conditions = {piece.path: (piece.value, piece.quality) for piece in result.evidence}
    assert conditions[SPEED] == (0, Quality.OK)
    assert conditions[IGNITION] == ("OFF", Quality.OK)


def test_driving_is_enabled_whatever_the_car_does() -> None:
    pair = Pair()
    pair.car.immobiliser.is_on = False
    pair.run(0.25)
    assert said(pair.ask(Action.ENABLE_DRIVE)) == VERIFIED


def test_nothing_but_a_lock_supersedes_anything() -> None:
    """A9: two wishes about the immobiliser do not cross each other."""
    pair = awake()
    pair.car.set_fault(CarFault.IMMOBILISER_SLOW, pair.now_s, is_on=True)
    pair.deliver("cmd", pair.command(Action.DISABLE_DRIVE))
    pair.run(0.1)
    pair.deliver("cmd", pair.command(Action.ENABLE_DRIVE))
    assert said(pair.final_results()[-1]) == (Stage.REJECTED, Reason.BUSY, Executed.NO)


def test_open_end_of_a_lock_command_holds_up_its_opposite_alone() -> None:
    """A lock unit that may still close says nothing of the immobiliser, and must not make the horn sound longer."""
    pair = awake()
    pair.car.set_fault(CarFault.LOCK_DEAD, pair.now_s, is_on=True)
    assert pair.ask(Action.UNLOCK).executed is Executed.UNKNOWN
    pair.car.set_fault(CarFault.LOCK_DEAD, pair.now_s, is_on=False)
    pair.sent.clear()
    before_s = pair.now_s
    assert said(pair.ask(Action.LOCATE)) == DONE
    assert len(pair.sent) == 3
    assert said(pair.ask(Action.DISABLE_DRIVE)) == VERIFIED
    assert pair.now_s - before_s < 1.5


# --- locate ---------------------------------------------------------------------------------------------------------


def test_locate_is_executed_unverified_because_nothing_on_the_bus_can_tell() -> None:
    """A4: no feedback in the profile, so stage 4 and `executed = yes` when its frames have left."""
    pair = awake()
    result = pair.ask(Action.LOCATE)
    assert said(result) == DONE
    assert pair.car.lamps.flashes_seen == 1
    assert len(pair.sent) == 3


@pytest.mark.parametrize(
    ("is_acknowledged", "end", "record"),
    [
        (None, DONE, {"frames": "handed_over", "frames_sent": 3}),
        (True, DONE, {"frames": "acknowledged", "frames_sent": 3, "frames_echoed": 3}),
        (False, UNHEARD, {"frames": "unacknowledged", "frames_sent": 3, "frames_echoed": 0}),
    ],
)
def test_without_feedback_done_is_said_only_of_frames_that_may_have_been_on_the_wire(
    is_acknowledged: bool | None, end: object, record: dict[str, object]
) -> None:
    """A driver that tells and does not tell of ours: nobody on the bus heard them, and they may leave yet."""
    pair = awake()
    pair.is_acknowledged = is_acknowledged
    assert said(pair.ask(Action.LOCATE)) == end
    pair.run(2.0)
    (told,) = (event for event in pair.events() if event["kind"] == "command")
    assert {key: value for key, value in told.items() if key.startswith("frames")} == record


def test_locate_of_a_moving_car_is_refused_and_of_one_whose_speed_is_not_known_is_not() -> None:
    pair = awake()
    pair.car.body.speed_ms = 5.0
    pair.run(0.5)
    assert said(pair.ask(Action.LOCATE)) == (Stage.REJECTED, Reason.MOVING, Executed.NO)
    assert pair.car.lamps.flashes_seen == 0
    pair = Pair()
    pair.run(0.25)
    assert said(pair.ask(Action.LOCATE)) == DONE


def test_locate_whose_frames_find_no_room_is_not_said_to_be_done() -> None:
    """A4, H100: of a frame that timed out nobody can be sure."""
    pair = awake()
    raw = pair.command(Action.LOCATE)
    pair.send_refusal = Reason.TIMEOUT
    pair.deliver("cmd", raw)
    pair.run(2.0)
    assert said(pair.final_results()[-1]) == (Stage.FAILED, Reason.TIMEOUT, Executed.UNKNOWN)


# --- check_return ---------------------------------------------------------------------------------------------------


def test_car_that_stands_switched_off_and_closed_may_be_given_back() -> None:
    """A13: the reading of every condition is in the signed answer, and no frame left."""
    pair = awake()
    result = pair.ask(Action.CHECK_RETURN)
    assert said(result) == DONE
    assert [piece.path for piece in result.evidence] == [rule.path for rule in pair.profile.return_conditions]
    assert all(piece.quality is Quality.OK and piece.age_ms < 500 for piece in result.evidence)
    assert pair.sent == []
    assert pair.disk.journal == {}


@pytest.mark.parametrize("opening", OPENINGS)
def test_car_with_a_door_open_may_not(opening: Opening) -> None:
    pair = awake()
    pair.car.set_opening(opening, pair.now_s, is_open=True)
    pair.run(1.0)
    result = pair.ask(Action.CHECK_RETURN)
    assert said(result) == (Stage.REJECTED, Reason.DOOR_OPEN, Executed.NO)
    assert (result.evidence[0].value, len(result.evidence)) == (True, 7)
    pair.car.set_opening(opening, pair.now_s, is_open=False)
    pair.run(1.0)
    assert said(pair.ask(Action.CHECK_RETURN)) == DONE


@pytest.mark.parametrize(("ignition", "speed_ms", "reason"), [("On", 0.0, "ignition_on"), ("Off", 3.0, "moving")])
def test_car_that_moves_or_is_switched_on_may_not(ignition: str, speed_ms: float, reason: str) -> None:
    pair = awake()
    pair.car.body.ignition, pair.car.body.speed_ms = Ignition(ignition), speed_ms
    pair.run(1.0)
    assert said(pair.ask(Action.CHECK_RETURN)) == (Stage.REJECTED, Reason[reason.upper()], Executed.NO)


def test_car_that_sleeps_is_not_woken_and_not_taken_back() -> None:
    """SR-05, SR-08: what it said before it slept is no answer."""
    pair = awake()
    pair.car.sleep(pair.now_s)
    pair.run(10.0)
    result = pair.ask(Action.CHECK_RETURN)
    assert said(result) == (Stage.REJECTED, Reason.PRECONDITION_STALE, Executed.NO)
    assert {(piece.value, piece.quality) for piece in result.evidence} == {(None, Quality.STALE)}
    assert pair.sent == []


def test_car_never_heard_is_not_taken_back() -> None:
    """SR-05"""
    pair = Pair(is_asleep=True)
    result = pair.ask(Action.CHECK_RETURN)
    assert said(result) == (Stage.REJECTED, Reason.SPEED_UNKNOWN, Executed.NO)
    assert {piece.quality for piece in result.evidence} == {Quality.UNKNOWN}


def test_interface_that_is_down_gives_the_reason_of_what_is_not_known_any_more() -> None:
    """No frame is asked for, so its being down is no failure of the question."""
    pair = awake()
    pair.engine.receive_link(BusChanged("body", BusState.DOWN), pair.now_s)
    pair.car.set_fault(CarFault.BUS_SILENT, pair.now_s, is_on=True)
    pair.run(3.0)
    assert said(pair.ask(Action.CHECK_RETURN)) == (Stage.REJECTED, Reason.PRECONDITION_STALE, Executed.NO)


@pytest.mark.parametrize("is_open", [False, True])
def test_same_question_gets_the_same_answer_in_the_same_bytes(is_open: bool) -> None:
    """Kept as refusals are; and a question uses up no counter."""
    pair = awake()
    pair.car.set_opening(Opening.TRUNK, pair.now_s, is_open=is_open)
    pair.run(1.0)
    unlock, question = pair.command(Action.UNLOCK), pair.command(Action.CHECK_RETURN)
    pair.deliver("cmd", question)
    pair.car.set_opening(Opening.TRUNK, pair.now_s, is_open=not is_open)
    pair.run(1.0)
    pair.deliver("cmd", question)
    first, second = [one.payload for one in pair.published if one.topic.endswith("/res")]
    assert first == second
    pair.deliver("cmd", unlock)
    pair.run(3.0)
    assert said(pair.final_results()[-1]) == VERIFIED


def conditions(result: Result) -> dict[Condition, Answer]:
    return {each.condition: each.answer for each in result.conditions}


ALL_HOLD = dict.fromkeys((Condition.NOT_MOVING, Condition.IGNITION_OFF, Condition.DOORS_CLOSED), Answer.YES)


def test_each_condition_is_answered_by_itself_with_value_and_age() -> None:
    """SR-05: of a sleeping car none is known."""
    pair = awake()
    assert conditions(pair.ask(Action.CHECK_RETURN)) == ALL_HOLD
    pair.car.set_opening(Opening.TRUNK, pair.now_s, is_open=True)
    pair.run(1.0)
    result = pair.ask(Action.CHECK_RETURN)
    assert conditions(result) == ALL_HOLD | {Condition.DOORS_CLOSED: Answer.NO}
    (doors,) = [each for each in result.conditions if each.condition is Condition.DOORS_CLOSED]
    assert doors.value is True
    assert doors.age_ms is not None and doors.age_ms < 500
    pair.car.sleep(pair.now_s)
    pair.run(10.0)
    asleep = pair.ask(Action.CHECK_RETURN)
    assert set(conditions(asleep).values()) == {Answer.UNKNOWN}
    assert all(each.value is None and each.age_ms is not None and each.age_ms > 5000 for each in asleep.conditions)


def test_end_of_a_lock_tells_the_conditions_and_other_ends_do_not() -> None:
    pair = awake()
    unlocked = pair.ask(Action.UNLOCK)
    assert (said(unlocked), unlocked.conditions) == (VERIFIED, ())
    locked = pair.ask(Action.LOCK)
    assert (said(locked), conditions(locked)) == (VERIFIED, ALL_HOLD)


def test_operator_says_in_the_configuration_what_it_asks_for() -> None:
    """What this car cannot tell is not known to hold, and the rental does not end."""
    pair = awake()
    own = EndOfRentalTable(operator=1, conditions=["locked", "energy"], energy_percent_min=5.0)
    energy = replace(own, conditions=["energy"])

    def ask(table: EndOfRentalTable) -> Result:
        pair.end_of_rental = [table]
        pair.restart()
        pair.run(2.0)
        return pair.ask(Action.CHECK_RETURN)

    result = ask(own)
    assert said(result) == (Stage.REJECTED, Reason.RETURN_CONDITION, Executed.NO)
    assert conditions(result) == {Condition.LOCKED: Answer.UNKNOWN, Condition.ENERGY: Answer.YES}
    assert said(ask(energy)) == DONE
    assert conditions(ask(replace(energy, energy_percent_min=100.0))) == {Condition.ENERGY: Answer.NO}
    assert conditions(ask(replace(own, operator=2))) == ALL_HOLD


def test_profile_without_conditions_has_no_answer() -> None:
    pair = awake()
    assert "check_return" in pair.capabilities()["actions"]
    pair.profile = replace(pair.profile, return_conditions=())
    pair.restart()
    pair.run(1.0)
    assert said(pair.ask(Action.CHECK_RETURN)) == (Stage.REJECTED, Reason.UNSUPPORTED_ACTION, Executed.NO)
    assert "check_return" not in pair.capabilities()["actions"]


def test_report_shows_whether_driving_is_enabled() -> None:
    """Duty 7: after an open end a read-back decides."""
    pair = awake(is_drive_enabled=False)
    shown = {piece.path: piece.value for piece in pair.ask(Action.REPORT).evidence}
    assert shown[DRIVE_ENABLED] is False
